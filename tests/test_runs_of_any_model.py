"""Runs of models that people bring: what is decided, keyword inputs, and what copies share.

Each against TransformerLens' own functions, or one example at a time through `run_with_hooks`.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from models import native_transformer
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.patching import generic_activation_patch

from xor_mi import find_gates, metrics, scan_gates
from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.interventions import (
    HighLevelModel,
    Site,
    ablation_sweep,
    das_accuracy,
    interchange_accuracy,
    patch_sweep,
    sites,
)
from xor_mi.interventions._hooks import probe_hooks
from xor_mi.metrics import by_threshold

pytestmark = pytest.mark.as_a_user

GENERATOR_SEED = 5


def drawn(*shape: int) -> torch.Tensor:
    """Numbers of a seed, some of them equal."""
    generator = torch.Generator().manual_seed(GENERATOR_SEED)
    return torch.randint(-3, 4, shape, generator=generator).float() / 2


def tokens(n: int, length: int = 5, vocabulary: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean and corrupted tokens of a seed."""
    generator = torch.Generator().manual_seed(GENERATOR_SEED)
    both = torch.randint(0, vocabulary, (2, n, length), generator=generator)
    return both[0], both[1]


def sign(scores: np.ndarray, cut: float = 0.0) -> list[int]:
    """1 above the cut, 0 below it, -1 on it."""
    return np.where(scores == cut, -1, (scores > cut).astype(int)).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ready_made_decisions_are_those_of_numpy(dtype):
    """A threshold, the largest class and two tokens, on outputs with ties."""
    flat, sequences = drawn(60, 3).to(dtype), drawn(40, 4, 5).to(dtype)
    numbers, in_numpy = flat.float().numpy(), sequences.float().numpy()
    assert metrics.by_threshold(0.5, output=1)(flat).tolist() == sign(numbers[:, 1], 0.5)
    at = metrics.by_threshold(output=2, position=-2)
    assert at(sequences).tolist() == sign(in_numpy[:, -2, 2])
    of_all = numbers[:, 2] - numbers[:, :2].max(1)
    assert metrics.by_argmax(one=2)(flat).tolist() == sign(of_all)
    of_two = numbers[:, 2] - numbers[:, 0]
    assert metrics.by_argmax(one=2, among=[0, 2])(flat).tolist() == sign(of_two)
    between = in_numpy[:, -1, 3] - in_numpy[:, -1, 1]
    assert metrics.by_tokens(3, 1)(sequences).tolist() == sign(between)
    assert -1 in sign(of_all)
    assert -1 in sign(between)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: metrics.by_threshold(float("nan")), "threshold is nan; give a finite number"),
        (lambda: metrics.by_threshold(position=0.5), "position is 0.5; give a whole number"),
        (lambda: metrics.by_argmax(one=1, among=[1]), "nothing to compare class 1 with"),
        (lambda: metrics.by_tokens(3, 3), "token 3 is compared with itself"),
        (lambda: metrics.by_tokens(3, 1)(drawn(4, 5)), "have positions: give position=None"),
        (lambda: metrics.by_threshold()(drawn(4, 5, 6)), "say which position is read"),
        (lambda: metrics.by_tokens(3, 1, position=5)(drawn(4, 5, 6)), "no position 5; the outputs"),
        (lambda: metrics.by_argmax(one=7)(drawn(4, 5)), "no output 7; this network has 5"),
        (lambda: metrics.by_argmax(one=0)(drawn(4, 1)), "only one class, which always wins"),
    ],
)
def test_decisions_that_cannot_be_say_why(call, says):
    """One sentence each."""
    with pytest.raises(XorMiError, match=says):
        call()


def test_a_sweep_reads_what_decide_says():
    """Decisions and flips of a transformer are those of its outputs, one example at a time."""
    model = native_transformer(d_model=16, d_head=4, n_ctx=6, d_mlp=24, d_vocab=11, seed=0)
    clean, corrupted = tokens(6)
    site, decide = Site("blocks.0.mlp.hook_post"), metrics.by_tokens(3, 7)
    _, cache = model.run_with_cache(clean)
    patched = model.run_with_hooks(
        corrupted, fwd_hooks=[(site.hook_name, lambda value, hook: cache[site.hook_name].clone())]
    )
    sweep = patch_sweep(model, (clean, corrupted), [site], decide=decide)
    assert sweep.metrics == ("logit_difference",)
    assert sweep.decisions[0].tolist() == decide(patched).tolist()
    before = decide(model(corrupted)).tolist()
    flips = [a != b for a, b in zip(before, decide(patched).tolist(), strict=True)]
    assert sweep.frame()["flips"].tolist() == flips
    assert True in flips
    assert False in flips
    own = patch_sweep(
        model, (clean, corrupted), [site], metrics=decide.score, decide=lambda o: decide(o)
    )
    assert own.decisions.tolist() == sweep.decisions.tolist()
    ablated = ablation_sweep(model, [site], rows=clean, value="zero", decide=decide)
    zeroed = model.run_with_hooks(clean, fwd_hooks=[(site.hook_name, lambda v, hook: v * 0)])
    assert ablated.frame()["decision_after"].tolist() == decide(zeroed).tolist()


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("decide", "says"),
    [
        (lambda outputs: outputs[:, -1, 3], "decide gives .* it must give 1, 0, or -1"),
        (lambda outputs: outputs[:, -1] > 0, r"decide gives shape \[6, 11\] for 6 examples"),
        (lambda outputs: "yes", "decide gives 'yes'; it must give 1, 0 or -1 per example"),
        ("argmax", "decide is 'argmax'; give a function"),
        (
            lambda outputs: torch.full((len(outputs),), 255, dtype=torch.uint8),
            "decide gives 255 for",
        ),
        (lambda outputs: torch.full((len(outputs),), 1 + 2**-23), "decide gives 1.00000011920"),
    ],
)
def test_a_decide_that_decides_nothing_is_refused(decide, says):
    """Numbers, several decisions, text, or no function."""
    model = native_transformer(d_model=16, d_head=4, n_ctx=6, d_mlp=24, d_vocab=11, seed=0)
    with pytest.raises(XorMiError, match=says):
        patch_sweep(
            model,
            tokens(6),
            [Site("blocks.0.mlp.hook_post")],
            metrics=lambda outputs: outputs[:, -1, 3],
            decide=decide,
        )


@pytest.mark.parametrize("bound", [None, 1])
def test_keyword_inputs_go_with_their_input(bound):
    """An attention mask per input, the same tokens under two masks, against one run at a time."""
    model = native_transformer(d_model=16, d_head=4, n_ctx=6, d_mlp=24, d_vocab=11, seed=0)
    clean, corrupted = tokens(4)
    # the first two pairs differ in their masks alone
    clean[1], corrupted[1] = clean[0], corrupted[0]
    masks = torch.ones(2, 4, 5, dtype=torch.long)
    masks[0, 1, 0], masks[1, 2, :2], masks[1, 3, 1] = 0, 0, 0
    score = metrics.by_tokens(3, 7).score
    site = Site("blocks.1.attn.hook_z", (None, 2))
    sweep = patch_sweep(
        model,
        (clean, corrupted),
        [site],
        metrics=score,
        model_kwargs={"attention_mask": (masks[0], masks[1])},
        max_batch_bytes=bound,
        progress=False,
    )
    for pair in range(4):
        one, other = slice(pair, pair + 1), (masks[0, pair][None], masks[1, pair][None])
        _, cache = model.run_with_cache(clean[one], attention_mask=other[0])

        def write(value, hook, cache=cache):
            value = value.clone()
            value[:, :, 2] = cache[site.hook_name][:, :, 2]
            return value

        with model.hooks(fwd_hooks=[(site.hook_name, write)]):
            patched = model(corrupted[one], attention_mask=other[1])
        assert torch.allclose(sweep.values[0, 0, pair], score(patched)[0], atol=1e-5)
    assert abs(sweep.clean[0, 0] - sweep.clean[0, 1]) > 1e-3


def test_keyword_inputs_that_do_not_fit_are_refused():
    """Another number of entries, a tuple where there are no pairs, and a HookedMLP."""
    model = native_transformer(d_model=16, d_head=4, n_ctx=6, d_mlp=24, d_vocab=11, seed=0)
    site, decide = Site("blocks.1.attn.hook_z"), metrics.by_tokens(3, 7)
    mask = torch.ones(3, 5)
    one, two = {"attention_mask": mask}, {"attention_mask": (mask, mask)}
    with pytest.raises(XorMiError, match=r"has shape \[3, 5\] for 4 pairs"):
        patch_sweep(model, tokens(4), [site], decide=decide, model_kwargs=one)
    with pytest.raises(XorMiError, match="is a tuple; one of two tensors is for pairs"):
        ablation_sweep(model, [site], rows=tokens(3)[0], decide=decide, model_kwargs=two)
    with pytest.raises(XorMiError, match="over has no entries of attention_mask"):
        ablation_sweep(
            model,
            [site],
            rows=tokens(3)[0],
            over=tokens(3)[1],
            decide=decide,
            model_kwargs={"attention_mask": mask},
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("hook", ["attn.hook_z", "attn.hook_k", "mlp.hook_post"])
def test_grouped_heads_and_16_bits_equal_generic_activation_patch(hook, dtype):
    """A native bridge with four heads on two key/value heads, whole and in chunks."""
    cfg = TransformerBridgeConfig(
        d_model=16,
        d_head=4,
        n_layers=3,
        n_ctx=6,
        n_heads=4,
        n_key_value_heads=2,
        d_mlp=8,
        d_vocab=11,
        act_fn="relu",
        seed=0,
    )
    with torch.random.fork_rng():
        model = TransformerBridge.boot_native(cfg).eval().to(dtype)
    clean, corrupted = tokens(3)
    score = metrics.by_tokens(3, 7).score
    n_units = {"attn.hook_z": 4, "attn.hook_k": 2, "mlp.hook_post": 8}[hook]
    places = [(layer, unit) for layer in range(3) for unit in range(n_units)]

    def setter(value, index, clean_value):
        value = value.clone()
        value[:, :, index[1]] = clean_value[:, :, index[1]]
        return value

    _, cache = model.run_with_cache(clean)
    with torch.no_grad():
        theirs = generic_activation_patch(
            model,
            corrupted,
            cache,
            score,
            setter,
            hook.removeprefix("attn.hook_").removeprefix("mlp.hook_"),
            index_df=pd.DataFrame(places, columns=["layer", "unit"]),
            reduce="none",
        ).values
    sites = [Site(f"blocks.{layer}.{hook}", (None, unit)) for layer, unit in places]
    # in 16 bits a batch of another size is summed in another order
    atol = 1e-6 if dtype == torch.float32 else 2**-4
    for bound in (None, 20_000):
        ours = patch_sweep(
            model,
            (clean, corrupted),
            sites,
            metrics=score,
            max_batch_bytes=bound,
            progress=False,
        )
        assert torch.allclose(ours.values[0], theirs, atol=atol)
    assert (ours.effect.abs() > 3 * atol).any()


class Skipping(HookedRootModule):
    """Three blocks in a row, and perhaps the embedding once more after them."""

    def __init__(self, *, skips: bool):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.skips = skips
        self.blocks = nn.ModuleList([Block(generator) for _ in range(3)])
        self.last = nn.Parameter(torch.randn(4, 2, generator=generator))
        self.cfg = type("Cfg", (), {"device": "cpu", "n_layers": 3})()
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 4] -> [batch, 2]"""
        value = x
        for block in self.blocks:
            value = block(value)
        return (value + x if self.skips else value) @ self.last


class Block(nn.Module):
    """One layer with a hook, and a count of the examples that it has seen."""

    def __init__(self, generator: torch.Generator):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, generator=generator))
        self.hook_out = HookPoint()
        self.n_seen = 0

    def forward(self, x):
        """[batch, 4] -> [batch, 4]"""
        self.n_seen += len(x)
        return x + self.hook_out(torch.tanh(x @ self.weight))


@pytest.mark.parametrize("skips", [False, True])
def test_copies_share_what_comes_before_the_first_block_that_is_written(skips):
    """In chunks, every patch is that of one run at a time; early blocks see fewer examples, unless
    something leads past the blocks.
    """
    model = Skipping(skips=skips)
    both = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(2))
    sites = [Site(f"blocks.{layer}.hook_out", (unit,)) for layer in range(3) for unit in range(4)]
    _, cache = model.run_with_cache(both[0])
    for block in model.blocks:
        block.n_seen = 0
    sweep = patch_sweep(
        model,
        (both[0], both[1]),
        sites,
        metrics=lambda outputs: outputs[:, 0],
        max_batch_bytes=2000,
        progress=False,
    )
    seen = [block.n_seen for block in model.blocks]
    assert (seen[0] < 0.8 * seen[2]) != skips
    for number, site in enumerate(sites):

        def write(value, hook, site=site):
            value = value.clone()
            value[:, site.index[0]] = cache[site.hook_name][:, site.index[0]]
            return value

        expected = model.run_with_hooks(both[1], fwd_hooks=[(site.hook_name, write)])
        assert torch.allclose(sweep.values[0, number], expected[:, 0], atol=1e-6)


class Carrying(HookedRootModule):
    """One hook for a layer; others carry a tuple and a number, and one is never reached."""

    def __init__(self):
        super().__init__()
        self.layer = nn.utils.skip_init(nn.Linear, 3, 2)
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.hook_layer, self.hook_pair = HookPoint(), HookPoint()
        self.hook_number, self.hook_never = HookPoint(), HookPoint()
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 3] -> [batch, 2]"""
        value = self.hook_layer(self.layer(x.float()))
        self.hook_pair((value, None))
        self.hook_number(3)
        return value


@pytest.mark.parametrize("inputs", [None, torch.ones(4, 3)])
def test_only_hooks_that_can_be_written_are_listed(inputs):
    """Also where no inputs are given: the model is tried on as many zeros as its weights take."""
    assert sites(Carrying(), "hook", inputs=inputs) == [Site("hook_layer")]


class Written(HookedRootModule):
    """One hook, and a forward that a test gives."""

    def __init__(self, forward):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randn(3, 4, generator=generator))
        self.last = nn.Parameter(torch.randn(4, 2, generator=generator))
        self.kept = torch.zeros(64, 2)
        self.hook_h = HookPoint()
        self._forward = forward
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 3] -> [batch, 2]"""
        return self._forward(self, x)


def summed_down_the_batch(model, x):
    """The first example of a batch is what it is alone; the others are not."""
    return model.hook_h(torch.tanh(x @ model.first)).cumsum(0) @ model.last


def noise_by_place(model, x):
    """Seeded noise, that goes by the place in the batch."""
    hidden = model.hook_h(torch.tanh(x @ model.first))
    noise = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0))
    return (hidden + noise) @ model.last


def centred(model, x):
    """The mean of the batch taken away."""
    hidden = model.hook_h(torch.tanh(x @ model.first))
    return (hidden - hidden.mean(0)) @ model.last


def inputs_of(n: int, *, first_twice: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean and corrupted inputs of a seed."""
    clean, corrupted = torch.randn(2, n, 3, generator=torch.Generator().manual_seed(4))
    if first_twice:
        clean[1] = clean[0]
    return clean, corrupted


@pytest.mark.parametrize("forward", [summed_down_the_batch, noise_by_place, centred])
def test_examples_that_are_coupled_in_any_place_are_warned_of(forward):
    """The second example is held against itself alone too, and differs from the first."""
    clean, corrupted = inputs_of(4, first_twice=True)
    first_number = {"metrics": lambda outputs: outputs[:, 0]}
    with pytest.warns(XorMiWarning, match="the examples of a batch are coupled"):
        patch_sweep(Written(forward), (clean, corrupted), [Site("hook_h")], **first_number)
    with pytest.warns(XorMiWarning, match="the examples of a batch are coupled"):
        ablation_sweep(Written(forward), [Site("hook_h")], rows=clean, **first_number)


def test_coupled_examples_are_warned_of_once_a_call_and_not_where_they_run_alone():
    """One warning of everything that takes `max_batch_bytes=`; with a bound of one byte there is none,
    and no forward but a look at two examples has more than one.
    """
    sizes: list[int] = []

    def told(model, x):
        sizes.append(len(x))
        return centred(model, x)

    model, site, (clean, corrupted) = Written(told), Site("hook_h", 0), inputs_of(4)
    inputs, bits = torch.cat([clean, corrupted]), {"a": [0, 1] * 4}
    follows = HighLevelModel({"v": "a"}, "v", inputs=("a",))
    said = {"inputs": inputs, "features": bits, "decide": by_threshold()}
    calls = (
        lambda **bound: scan_gates(model, inputs, bits, "hook_h", **bound),
        lambda **bound: find_gates(
            model, inputs, bits, "hook_h", decide=by_threshold(), n_pairs=5, **bound
        ),
        lambda **bound: patch_sweep(
            model, (clean, corrupted), [site], decide=by_threshold(), **bound
        ),
        lambda **bound: interchange_accuracy(model, follows, {"v": site}, **said, **bound),
        lambda **bound: das_accuracy(
            model, follows, "v", Site("hook_h"), max_runs=4, epochs=1, **said, **bound
        ),
    )
    for call in calls:
        with warnings.catch_warnings(record=True) as shared:
            warnings.simplefilter("always")
            call(progress=False)
        assert sum("examples of a batch are coupled" in str(one.message) for one in shared) == 1
        sizes.clear()
        with warnings.catch_warnings(record=True) as alone:
            warnings.simplefilter("always")
            call(progress=False, max_batch_bytes=1)
        assert not [one for one in alone if "coupled" in str(one.message)]
        assert max(sizes) == 2


def test_outputs_that_a_model_writes_into_again_are_kept_as_they_were():
    """A model that returns a buffer of its own gives the numbers of one that does not."""

    def plain(model, x):
        return torch.tanh(model.hook_h(x @ model.first)) @ model.last

    def buffered(model, x):
        model.kept[: len(x)] = plain(model, x)
        return model.kept[: len(x)]

    sweeps = [
        patch_sweep(
            Written(forward),
            inputs_of(5),
            [Site("hook_h", (unit,)) for unit in range(4)],
            metrics=lambda outputs: outputs[:, 0],
            max_batch_bytes=bound,
            progress=False,
        )
        for forward in (plain, buffered)
        for bound in (None, 1)
    ]
    for sweep in sweeps[1:]:
        assert torch.allclose(sweep.clean, sweeps[0].clean, atol=1e-6)
        assert torch.allclose(sweep.values, sweeps[0].values, atol=1e-6)


class OutOfOrder(Skipping):
    """Blocks run as 0, 2, 1."""

    def forward(self, x):
        """[batch, 4] -> [batch, 2]"""
        for number in (0, 2, 1):
            x = self.blocks[number](x)
        return x @ self.last


class Counting(Skipping):
    """A model that wants as many examples after its blocks as before them."""

    def forward(self, x):
        """[batch, 4] -> [batch, 2]"""
        value = x
        for block in self.blocks:
            value = block(value)
        assert len(value) == len(x)
        return value @ self.last


@pytest.mark.parametrize("kind", [OutOfOrder, Counting])
def test_models_that_do_not_allow_shared_blocks_are_run_without(kind):
    """In chunks of any size the numbers are those of one forward."""
    model = kind(skips=False)
    both = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(2))
    sets = [
        (Site("blocks.1.hook_out", (unit,)), Site("blocks.2.hook_out", (unit,)))
        for unit in range(4)
    ]
    whole, *parts = [
        patch_sweep(
            model,
            (both[0], both[1]),
            sets,
            metrics=lambda outputs: outputs[:, 0],
            max_batch_bytes=bound,
            progress=False,
        ).values
        for bound in (None, 2000, 3000, 4000)
    ]
    assert all(torch.allclose(part, whole, atol=1e-6) for part in parts)


@pytest.mark.filterwarnings("ignore:A hook on attn.hook_attn_scores:UserWarning")
@pytest.mark.filterwarnings("ignore:noise at:xor_mi.errors.XorMiWarning")
@pytest.mark.filterwarnings("ignore:all sites of this sweep have:xor_mi.errors.XorMiWarning")
def test_a_hook_of_tokens_is_tried_with_tokens_that_there_are():
    """The check whether anything reads a hook writes no token outside the vocabulary."""
    model = native_transformer(d_model=16, d_head=4, n_ctx=5, d_mlp=24, d_vocab=11, seed=0)
    clean = torch.full((1, 5), 10)
    sweep = patch_sweep(
        model, (clean, clean), sites(model, "hook"), decide=metrics.by_tokens(3, 7), progress=False
    )
    assert sweep.effect.abs().max() < 1e-5


@pytest.mark.unchecked
def test_a_decision_that_was_not_made_says_how():
    """The function that makes a decision in place of one; a number that nothing reads."""
    model, pairs = Written(centred), inputs_of(3)
    with pytest.raises(XorMiError, match=r"call it: by_argmax\(\)"):
        patch_sweep(model, pairs, [Site("hook_h")], decide=metrics.by_argmax)
    with pytest.raises(XorMiError, match="output=1 has no effect"):
        patch_sweep(model, pairs, [Site("hook_h")], decide=metrics.by_argmax(), output=1)
    bridge = native_transformer(d_model=16, d_head=4, n_ctx=6, d_mlp=24, d_vocab=11, seed=0)
    with pytest.raises(XorMiError, match="gives no number to measure; give metrics="):
        patch_sweep(
            bridge,
            tokens(2),
            [Site("blocks.0.attn.hook_z")],
            decide=lambda outputs: (outputs[:, -1, 1] > outputs[:, -1, 0]).long(),
        )


class Masked(HookedRootModule):
    """Attention of one query to three keys: keys of 0 are minus infinity before the softmax."""

    def __init__(self):
        super().__init__()
        self.hook_keys, self.hook_scores, self.hook_doubled = HookPoint(), HookPoint(), HookPoint()
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 3] -> [batch, 2]"""
        keys = self.hook_keys(x)
        scores = self.hook_scores(keys.cos().masked_fill(x == 0, -torch.inf))
        weights = self.hook_doubled(scores.softmax(-1) * 2)
        return torch.stack([(weights * keys).sum(-1), weights[:, 0]], dim=1)


def test_infinite_activations_are_written_as_one_at_a_time():
    """Minus infinity on both sides changes nothing, on one side what TransformerLens says; a set
    after which nothing is left to look at is NaN, and the others stand.
    """
    model = Masked()
    clean = torch.tensor([[0.0, 2.0, 3.0], [0.0, 1.0, 0.5]])
    corrupted = torch.tensor([[1.5, 0.0, 0.0], [0.0, 3.0, 2.0]])
    chosen = [Site("hook_scores", k) for k in range(3)]
    chosen += [Site("hook_scores"), Site("hook_scores", ([1, 2],)), Site("hook_doubled", 1)]
    with pytest.warns(XorMiWarning) as told:
        sweep = patch_sweep(
            model, (clean, corrupted), chosen, metrics={"m": lambda outputs: outputs[:, 0]}
        )
    _, cache = model.run_with_cache(clean)
    for together, of_site in zip(sweep.sites, sweep.values[0], strict=True):
        (site,) = together

        def written(activation, hook, site=site):
            new = activation.clone()
            place = (
                slice(None),
                *(list(entry) if isinstance(entry, tuple) else entry for entry in site.index),
            )
            new[place] = cache[site.hook_name][place]
            return new

        alone = model.run_with_hooks(corrupted, fwd_hooks=[(site.hook_name, written)])[:, 0]
        assert torch.equal(of_site.isnan(), alone.isnan())
        assert torch.equal(of_site.nan_to_num(), alone.nan_to_num())
    # the one score that is left is masked in the first pair alone
    assert sweep.values[0].isnan().nonzero().tolist() == [[0, 0]]
    texts = [str(one.message) for one in told]
    assert any("hook_scores[0] is NaN or infinite on 1 of 2 inputs" in text for text in texts)
    assert any("1 of 12 numbers are not finite" in text for text in texts)
    assert not any("hook_scores[1]" in text for text in texts)


class Chain(HookedRootModule):
    """Three activations, of which none is held while the next but one is made."""

    def __init__(self):
        super().__init__()
        self.hook_a, self.hook_b, self.hook_c = HookPoint(), HookPoint(), HookPoint()
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 4] -> [batch, 4]"""
        for hook in (self.hook_a, self.hook_b, self.hook_c):
            x = hook(x + 1)
        return x * 2


def test_each_activation_counts_for_the_bound_where_memory_is_used_again():
    """Three hooks and the outputs, of four numbers of four bytes each."""
    assert probe_hooks(Chain(), drawn(2, 4)).bytes_per_example == 4 * 4 * 4


def test_two_names_of_one_hook_in_a_set_overlap():
    """A bridge lists some hooks twice: which of the two came last would decide."""
    bridge = native_transformer(d_model=8, d_head=2, n_ctx=5, d_mlp=8, d_vocab=11, seed=0)
    clean, corrupted = tokens(2)
    metric = {"metrics": lambda outputs: outputs[:, -1, 1]}
    first, second = "blocks.0.hook_attn_out", "blocks.0.attn.hook_out"
    assert bridge.hook_dict[first] is bridge.hook_dict[second]
    with pytest.raises(XorMiError, match=r"hook_attn_out and .*hook_out\[0\] overlap"):
        patch_sweep(bridge, (clean, corrupted), [(first, Site(second, 0))], **metric)
    with pytest.raises(XorMiError, match="overlap"):
        ablation_sweep(
            bridge, [Site(first, 0), Site(second, 0)], rows=clean, subsets="pairs", **metric
        )
    apart = [(Site(first, 0), Site(second, 1)), (Site(first, ([0, 1],)),)]
    values = patch_sweep(bridge, (clean, corrupted), apart, **metric).values
    assert torch.equal(values[:, 0], values[:, 1])
