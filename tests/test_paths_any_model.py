"""Path patching between sites of any model: against TransformerLens' direct paths, against one run
after the other by hand, and against the edges of a HookedMLP.
"""

import functools

import pytest
import torch
from models import OwnModel, native_transformer
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.patching import get_act_patch_direct_path

from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.interventions import (
    HighLevelModel,
    Site,
    Subspace,
    patch_sweep,
    path_sweep,
    paths_from,
    subspace_accuracy,
)
from xor_mi.metrics import by_argmax
from xor_mi.model import HookedMLP, HookedMLPConfig

SIZES = {"d_model": 16, "d_head": 4, "n_ctx": 6, "d_mlp": 24, "d_vocab": 11, "seed": 0}


def metric(logits):
    """A logit difference at the last position, one number per example."""
    return logits[:, -1, 3] - logits[:, -1, 7]


def tokens(n_pairs=3):
    """Clean and corrupted tokens."""
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randint(0, 11, (n_pairs, 5), generator=generator) for _ in range(2))


def head(layer, component, number):
    """A head's query, key, value or output at all positions."""
    return Site(f"blocks.{layer}.attn.hook_{component}", (None, number))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A bridge to a little Llama whose four heads share two keys and values, with random weights:
    TransformerLens' direct paths need a way into each head that native bridges do not have.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tokens")
    words = Tokenizer(WordLevel({str(k): k for k in range(11)}, unk_token="0"))
    named = dict.fromkeys(["bos_token", "eos_token", "pad_token", "unk_token"], "0")
    PreTrainedTokenizerFast(tokenizer_object=words, **named).save_pretrained(folder)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=11,
        max_position_embeddings=16,
        initializer_range=0.5,
        attn_implementation="eager",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # in float64: TransformerLens adds a difference where we write the sum
        model = LlamaForCausalLM(config).double().eval()
        return TransformerBridge.boot_transformers(
            "little",
            hf_model=model,
            device="cpu",
            dtype=torch.float64,
            tokenizer=PreTrainedTokenizerFast.from_pretrained(folder),
        ).eval()


def test_paths_between_heads_are_transformer_lens_direct_paths(llama):
    """Every head of the first layer to every head's query in the second, pair by pair, with grouped
    key and value heads.
    """
    clean, corrupted = tokens()
    paths = [(head(0, "z", a), head(1, "q", b)) for a in range(4) for b in range(4)]
    sweep = path_sweep(llama, paths, (clean, corrupted), metrics={"difference": metric})
    assert sweep.effect.abs().max() > 0.01
    for pair in range(len(clean)):
        one = slice(pair, pair + 1)
        caches = [llama.run_with_cache(side[one])[1] for side in (clean, corrupted)]
        for a in range(4):
            theirs = get_act_patch_direct_path(
                llama, corrupted[one], *caches, lambda out: metric(out)[0], 0, a, verbose=False
            )[1]
            ours = sweep.patched[4 * a : 4 * a + 4, pair]
            assert torch.allclose(ours.float(), theirs, atol=1e-6)


def frozen_by_hand(model, base, source, sender, receivers, frozen):
    """Two runs with hooks of TransformerLens: what path patching is."""
    _, of_base = model.run_with_cache(base)
    _, of_source = model.run_with_cache(source)
    kept = {}

    def write(value, hook, name, cache, entries=()):
        new = value.clone()
        new[(slice(None), *entries)] = cache[name][(slice(None), *entries)]
        return new

    def keep(value, hook, name):
        kept[name] = value.clone()

    def at(name, cache, entries=()):
        return name, lambda value, hook: write(value, hook, name, cache, entries)

    first = [(r.hook_name, lambda v, hook, n=r.hook_name: keep(v, hook, n)) for r in receivers]
    first += [at(name, of_base) for name in frozen]
    first += [at(sender.hook_name, of_source, taken(sender))]
    model.run_with_hooks(base, fwd_hooks=first)
    second = [at(r.hook_name, kept, taken(r)) for r in receivers]
    return model.run_with_hooks(base, fwd_hooks=second)


def taken(site):
    """A site's index as torch takes it, after the batch axis."""
    return tuple(slice(None) if entry is None else entry for entry in site.index)


Z, OUT = "blocks.{}.attn.hook_z", "blocks.{}.hook_mlp_out"


@functools.cache
def grouped(dtype):
    """A native bridge with grouped key and value heads."""
    return native_transformer(**SIZES, n_key_value_heads=2).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("sender", "receivers", "frozen"),
    [
        # a head, straight to the logits
        (head(0, "z", 1), ["blocks.1.hook_resid_post"], [Z.format(0), OUT.format(0), Z.format(1), OUT.format(1)]),
        # neurons of the first MLP: its output is on the path
        (Site("blocks.0.mlp.hook_post", (-1, slice(0, 9))), ["blocks.1.mlp.hook_pre"], [Z.format(1)]),
        # the sum over heads is what a receiver after them becomes
        (Site("blocks.0.hook_mlp_out", (0,)), ["blocks.1.hook_attn_out"], []),
        # a value of two heads, to receivers of different depth; the first one is held, once read
        (head(0, "v", 1), ["blocks.0.hook_mlp_out", "blocks.1.mlp.hook_post"], [OUT.format(0), Z.format(1)]),
        (Site("hook_embed"), ["blocks.1.attn.hook_k"], [Z.format(0), OUT.format(0)]),
        (head(0, "z", 1), ["blocks.1.attn.hook_v"], [Z.format(0), OUT.format(0)]),
    ],
)  # fmt: skip
def test_the_default_holds_all_other_heads_and_mlps(sender, receivers, frozen, dtype):
    """What is frozen by default equals the same runs with each hook frozen by hand, on a native
    bridge with grouped key and value heads.
    """
    model = grouped(dtype)
    clean, corrupted = tokens()
    receivers = [Site(name) for name in receivers]
    sweep = path_sweep(
        model, [(sender, receivers)], (clean, corrupted), metrics={"difference": metric}
    )
    expected = frozen_by_hand(model, corrupted, clean, sender, receivers, frozen)
    assert sweep.effect.abs().max() > 1e-5
    assert torch.allclose(sweep.patched[0], metric(expected), atol=1e-6)


def test_own_model_with_what_the_caller_freezes():
    """An own module says what it holds; nothing held is everything after the sender, and noising
    turns the pair around.
    """
    model = OwnModel()
    generator = torch.Generator().manual_seed(1)
    pairs = tuple(torch.randn(4, 3, generator=generator) for _ in range(2))
    sender, receiver = Site("hook_first", (2,)), Site("hook_second", (1,))
    sweep = path_sweep(
        model, [(sender, receiver)], pairs, frozen=[], decide=by_argmax(), direction="noising"
    )
    expected = frozen_by_hand(model, *pairs, sender, [receiver], [])
    assert torch.allclose(sweep.patched[0], (expected[:, 1] - expected[:, 0]), atol=1e-6)
    assert sweep.decisions.tolist() == [(expected[:, 1] > expected[:, 0]).long().tolist()]
    assert sweep.frame()["site"].unique().tolist() == ["hook_first[2] -> hook_second[1]"]
    everything = path_sweep(model, [(sender, Site("hook_second"))], pairs, frozen=[])
    assert torch.allclose(
        everything.patched, patch_sweep(model, pairs, [sender]).patched, atol=1e-6
    )
    held = path_sweep(model, [(sender, Site("hook_second"))], pairs, frozen=["hook_first"])
    assert torch.allclose(held.patched, everything.patched, atol=1e-6)


def test_sites_of_a_hooked_mlp_are_its_units_and_edges():
    """A path through every layer, by sites and by the names of units: the same numbers."""
    model = HookedMLP(HookedMLPConfig(3, (4, 3), 2, act_fn="tanh", seed=5))
    routes = [route for route in paths_from(model, "x1", "y1") if route[1].index < 2]
    by_units = path_sweep(model, routes, output=1)
    stops = [
        [
            Site("hook_embed", (1,)),
            Site("blocks.0.mlp.hook_pre", (route[1].index,)),
            Site("blocks.1.mlp.hook_pre", (route[2].index,)),
            Site("hook_logits", (1,)),
        ]
        for route in routes
    ]
    by_sites = path_sweep(model, stops, output=1)
    assert by_units.effect.abs().max() > 0.01
    assert torch.allclose(by_sites.values, by_units.values, atol=1e-6)
    assert torch.equal(by_sites.decisions, by_units.decisions)
    past = path_sweep(model, [["hook_embed", "hook_logits"]])
    assert past.effect.abs().max() < 1e-6


def test_a_long_path_is_one_step_after_the_other():
    """A head, a later head's query, and what that head gives: a query acts through its head alone,
    so the last step adds nothing.
    """
    model = grouped(torch.float32)
    clean, corrupted = tokens()
    stops = [head(0, "z", 1), head(1, "q", 2), head(1, "z", 2)]
    sweep = path_sweep(model, [stops], (clean, corrupted), metrics={"difference": metric})
    step = path_sweep(model, [stops[:2]], (clean, corrupted), metrics={"difference": metric})
    assert torch.allclose(sweep.patched, step.patched, atol=1e-6)
    assert sweep.effect.abs().max() > 1e-5


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("path", "given", "message"),
    [
        ((Site("hook_first"), Site("hook_second")), {}, "hooks are hook_first, hook_second; give frozen="),
        ((Site("hook_second"), Site("hook_first")), {"frozen": []}, "hook_first is reached before hook_second"),
        ((Site("hook_first", (0,)), Site("hook_first", (1,))), {"frozen": []}, r"hook_first\[1\] is at the same hook as"),
        ((Site("hook_first"),), {"frozen": []}, "a path of 1 places; give a sender and its receivers"),
        ((Site("hook_first", (9,)), Site("hook_second")), {"frozen": []}, "outside 'hook_first'"),
        ((Site("hook_first"), Site("hook_second")), {"frozen": [Site("hook_second", (7,))]}, "outside 'hook_second'"),
        ((Site("hook_first"), Site("hook_unused")), {"frozen": []}, "'hook_unused' never fired"),
        ((Site("hook_first"), "hook_nope"), {"frozen": []}, "no hook 'hook_nope'"),
        ("hook_first", {"frozen": []}, "give a list of paths"),
    ],
)  # fmt: skip
def test_mistakes_in_paths_are_one_sentence(path, given, message):
    """Order, overlap, places and what is held are answered before anything is run."""
    pairs = tuple(torch.randn(2, 3, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    with pytest.raises(XorMiError, match=message) as error:
        path_sweep(OwnModel(), [path], pairs, **given)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:A hook on attn.hook_attn_scores:UserWarning")
def test_a_path_to_where_nobody_reads_is_said():
    """The attention scores of a native bridge are shown and not used: a warning names them."""
    receiver = Site("blocks.1.attn.hook_attn_scores")
    with pytest.warns(XorMiWarning, match="noise at 'blocks.1.attn.hook_"):
        path_sweep(
            grouped(torch.float32), [(head(0, "z", 1), receiver)], tokens(), metrics={"d": metric}
        )


def test_a_path_from_where_nobody_reads_is_said():
    """A sender that reaches nothing has no effect, and a warning names it, and not the receiver."""

    class Unread(OwnModel):
        def __init__(self):
            super().__init__()
            self.hook_unread = HookPoint()
            self.setup()

        def forward(self, x):
            """[batch, 3] -> [batch, 2]"""
            self.hook_unread(x * 2)
            return super().forward(x)

    model = Unread().eval()
    pairs = tuple(torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)))
    with pytest.warns(XorMiWarning) as said:
        found = path_sweep(
            model,
            [("hook_unread", "hook_second")],
            pairs,
            frozen=[],
            metrics={"first": lambda outputs: outputs[:, 0]},
        )
    assert not found.effect.any()
    assert [str(one.message).split("'")[1] for one in said] == ["hook_unread"]


def test_what_is_frozen_has_no_use_along_edges(textbook):
    """An argument without effect is refused, and so is an edge among sites."""
    with pytest.raises(XorMiError, match="frozen is for paths of sites"):
        path_sweep(textbook, [["x0", "h0.0", "y0"]], frozen=["hook_embed"])
    with pytest.raises(XorMiError, match="is an edge; a path is named by its units"):
        path_sweep(textbook, [["hook_embed", "x0->h0.0"]])


@pytest.mark.unchecked
def test_a_path_sweep_says_that_it_is_one():
    """In what it prints; a subspace in place of its site is told where the basis goes."""
    bridge = native_transformer(**SIZES)
    path = (head(0, "z", 1), Site("blocks.1.hook_resid_pre"))
    sweep = path_sweep(bridge, [path], tokens(), metrics=metric, frozen=[])
    assert str(sweep).startswith("Path patching, denoising: 3 pairs x 1 path")
    place = Subspace(Site("blocks.0.hook_mlp_out", (-1,)), torch.eye(16)[:, :1])
    algorithm = HighLevelModel({"v": "x0"}, "v")
    with pytest.raises(XorMiError, match="give the Site, the basis is the next argument"):
        subspace_accuracy(
            bridge,
            algorithm,
            "v",
            place,
            place.basis,
            inputs=tokens()[0],
            features={"a": [0, 1, 0]},
            decide=by_argmax(position=-1),
        )
