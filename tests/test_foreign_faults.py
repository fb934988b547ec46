"""What went wrong on models that are not ours, kind by kind, against runs of one example at a time.

Gradients have a file of their own, tests/test_attribution_any_model.py; scans of gates and interchange
theirs.
"""

import math
import re
import warnings
from functools import partial

import pytest
import torch
from models import native_transformer
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

import xor_mi
from xor_mi import XorMiError, metrics
from xor_mi.errors import XorMiWarning
from xor_mi.interventions import (
    Site,
    ablation_sweep,
    attribute,
    patch,
    patch_sweep,
    path_sweep,
    score_methods,
)
from xor_mi.interventions import sites as sites_of
from xor_mi.interventions._hooks import probe_hooks, why_not_writable
from xor_mi.testing import assert_patch_effect


class Own(HookedRootModule):
    """Two layers of weights, hooks of any name, and a forward that is given."""

    def __init__(self, forward, hooks=("hook_h",), d_in=3, width=4, d_out=1):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.a = nn.Parameter(torch.randn(d_in, width, generator=generator))
        self.b = nn.Parameter(torch.randn(width, d_out, generator=generator))
        self.run, self.sizes = forward, []
        for name in hooks:
            setattr(self, name, HookPoint())
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, d_in] -> [batch, d_out]"""
        self.sizes.append(len(x))
        return self.run(self, x)


def plain(model, x):
    """The ordinary one."""
    return torch.tanh(model.hook_h(x @ model.a)) @ model.b


def first(outputs):
    """One number per example."""
    return outputs[:, 0]


def some_pairs(*shape, seed=0):
    """Clean and corrupted inputs."""
    return tuple(torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed)))


PAIRS = some_pairs(3, 3)


@torch.no_grad()
def one_by_one(model, hook_name, pairs=PAIRS):
    """The effect of a whole hook's clean value on each pair alone, by run_with_hooks."""
    effects = []
    for clean, corrupted in zip(*pairs, strict=True):
        seen = []

        def keep(value, hook, seen=seen):
            seen.append(value.clone())

        def write(value, hook, seen=seen):
            return seen[0]

        model.run_with_hooks(clean[None].clone(), fwd_hooks=[(hook_name, keep)])
        after = model.run_with_hooks(corrupted[None].clone(), fwd_hooks=[(hook_name, write)])
        effects.append(first(after - model(corrupted[None].clone())).item())
    return torch.tensor(effects)


def sweep_of(model, hook_names=("hook_h",), pairs=PAIRS, **given):
    """`patch_sweep` of whole hooks."""
    return patch_sweep(
        model, pairs, list(hook_names), **{"metrics": first, "progress": False} | given
    )


# wrong numbers


@pytest.mark.parametrize("hook_name", ["hook_turned", "hook_weight"])
def test_a_hook_whose_first_axis_is_as_long_as_the_batch_by_chance(hook_name):
    """A batch on the second axis, and no batch at all, are refused by sweeps of any size."""

    def forward(model, x):
        turned = model.hook_turned(x.expand(3, *x.shape))
        return (turned @ model.hook_weight(model.a)).sum(0) @ model.b

    model = Own(forward, hooks=("hook_turned", "hook_weight"))
    for n_pairs in (1, 2, 3):
        pairs = some_pairs(n_pairs, 3)
        for bound in (None, 1):
            asked = {"metrics": first, "max_batch_bytes": bound, "progress": False}
            with pytest.raises(
                XorMiError, match=f"'{hook_name}' has an activation without a batch"
            ):
                patch_sweep(model, pairs, [hook_name], **asked)
            with pytest.raises(
                XorMiError, match=f"'{hook_name}' has an activation without a batch"
            ):
                ablation_sweep(model, [hook_name], rows=pairs[0], **asked)


@pytest.mark.parametrize("bound", [None, 1])
def test_a_model_that_edits_in_place_and_reads_what_it_kept(bound):
    """Unpatched numbers are the model's own, and effects are those of one pair at a time, whatever
    the memory bound.
    """

    def forward(model, x):
        kept = x @ model.a
        hidden = model.hook_h(kept)
        hidden.add_(1.0)
        return torch.tanh(kept + hidden) @ model.b

    model = Own(forward)
    sweep = sweep_of(model, max_batch_bytes=bound)
    ablated = ablation_sweep(model, ["hook_h"], rows=PAIRS[0], metrics=first, max_batch_bytes=bound)
    clean = torch.cat([first(model(one[None].clone())) for one in PAIRS[0]]).detach()
    assert torch.allclose(sweep.clean[0], clean, atol=1e-6)
    assert torch.allclose(ablated.before[0], clean, atol=1e-6)
    expected = one_by_one(model, "hook_h")
    assert expected.abs().max() > 0.1
    assert torch.allclose(sweep.effect[0], expected, atol=1e-5)


def test_no_fraction_is_taken_of_inputs_that_are_decided_alike():
    """With `decide=`; without it nothing is known of decisions and there are no columns of them."""
    pairs = some_pairs(12, 3)
    model = Own(plain)
    decided = sweep_of(model, pairs=pairs, decide=metrics.by_threshold(0.0)).frame()
    before = [first(model(side)) > 0 for side in pairs]
    alike = (before[0] == before[1]).tolist()
    assert 0 < sum(alike) < 12
    assert decided["recovered_fraction"].isna().tolist() == alike
    assert [bool(why) for why in decided["why_no_fraction"]] == alike
    undecided = sweep_of(model, pairs=pairs).frame()
    assert not {"flips", "decision_patched"} & set(undecided.columns)
    assert undecided["recovered_fraction"].notna().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_no_fraction_is_taken_of_rounding(dtype):
    """Inputs that differ in the order of their numbers only have the same sum but for rounding, in
    every dtype; ones that do differ have a fraction.
    """

    def in_order(model, x):
        total = torch.zeros_like(x[:, :1]) + 0 * model.b[:1, 0]
        for values in model.hook_h(x).split(1, dim=1):
            total = total + values
        return total

    summed = Own(in_order, d_in=40).to(dtype)
    clean = torch.randn(40, 40, generator=torch.Generator().manual_seed(1)).to(dtype) * 10
    sweep = sweep_of(summed, pairs=(clean, clean.flip(1)))
    assert (sweep.clean != sweep.corrupted).any()
    assert sweep.frame()["recovered_fraction"].isna().all()
    opposite = sweep_of(summed, pairs=(clean, -clean))
    furthest = opposite.clean[0].abs().argmax().item()
    assert opposite.frame()["recovered_fraction"][furthest] == 1


def test_models_whose_examples_are_not_each_alone_are_said_to_be_so():
    """A mean over the batch, batch statistics, and random numbers; each warns, in every analysis."""

    def centred(model, x):
        hidden = model.hook_h(x @ model.a)
        return torch.tanh(hidden - hidden.mean(0)) @ model.b

    def noisy(model, x):
        return plain(model, x) + torch.randn(len(x), 1)

    for forward, message in ((centred, "beside another one than alone"), (noisy, "each time")):
        model = Own(forward)
        calls = [
            lambda model=model: sweep_of(model),
            lambda model=model: ablation_sweep(model, ["hook_h"], rows=PAIRS[0], metrics=first),
            lambda model=model: attribute(
                model, PAIRS, ["hook_h"], metrics=first, method="attribution_patching"
            ),
        ]
        for call in calls:
            before = torch.get_rng_state()
            with pytest.warns(XorMiWarning, match=message):
                call()
            torch.set_rng_state(before)


def shared_in_place(model, x):
    """What one hook saw is changed after the next one."""
    hidden = model.hook_h(x @ model.a)
    again = model.hook_g(hidden)
    again += 1.0
    return torch.tanh(hidden) @ model.b


def skipped_in_place(model, x):
    """The embedding is changed where it is kept, unless a hook puts another tensor there."""
    embedded = x @ model.a
    hidden = model.hook_h(embedded)
    hidden += model.hook_g(torch.tanh(hidden))
    return torch.tanh(embedded + hidden) @ model.b


@pytest.mark.parametrize("forward", [shared_in_place, skipped_in_place])
@pytest.mark.parametrize("bound", [None, 1])
def test_the_effect_of_a_site_is_the_same_whatever_else_is_in_the_sweep(forward, bound):
    """Of models that work in place, against one pair and one hook at a time."""
    model, names = Own(forward, hooks=("hook_h", "hook_g")), ("hook_h", "hook_g")
    expected = torch.stack([one_by_one(model, name) for name in names])
    effect = sweep_of(model, names, max_batch_bytes=bound).effect
    assert effect.shape == expected.shape
    assert torch.allclose(effect, expected, atol=1e-5)
    scored = attribute(model, PAIRS, list(names), metrics=first, method="exact_patching")
    assert torch.allclose(scored.scores[0], expected, atol=1e-5)


def centred_and_back(model, x):
    """What the hook sees depends on the batch, and the outputs do not."""
    hidden = x @ model.a
    centre = hidden.mean(0)
    return torch.tanh(model.hook_h(hidden - centre) + centre) @ model.b


def sorted_and_back(model, x):
    """The hook sees the inputs in another order."""
    order = x[:, 0].argsort()
    return (torch.tanh(model.hook_h(x[order] @ model.a)) @ model.b)[order.argsort()]


def divided_by_the_largest(model, x):
    """By that of the batch, where it is large."""
    hidden = x @ model.a
    return torch.tanh(model.hook_h(hidden / hidden.abs().max().clamp(min=3.0))) @ model.b


UNEVEN = tuple(torch.cat([values[:1] * 0.1, values[1:] * 9]) for values in some_pairs(3, 3, seed=4))


@pytest.mark.parametrize(
    ("forward", "pairs"),
    [
        (centred_and_back, PAIRS),
        (sorted_and_back, tuple(values[values[:, 0].argsort(descending=True)] for values in PAIRS)),
        (divided_by_the_largest, UNEVEN),
    ],
)
def test_a_hook_whose_rows_are_coupled_is_warned_of(forward, pairs):
    """Also where the outputs are not; the numbers are not those of one pair at a time, and with one
    input per forward they are.
    """
    model = Own(forward)
    expected = one_by_one(model, "hook_h", pairs)
    with pytest.warns(XorMiWarning, match="'hook_h' differs between an input alone|coupled"):
        together = sweep_of(model, pairs=pairs).effect[0]
    assert (together - expected).abs().max() > 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = sweep_of(model, pairs=pairs, max_batch_bytes=1).effect[0]
    assert torch.allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize(("by_the_batch", "is_coupled"), [(1e-7, False), (1e-2, True)])
def test_complex_numbers_are_compared_as_real_ones_are(by_the_batch, is_coupled):
    """What goes by the size of the batch is rounding where it is small; some processors round so."""

    def turned(model, x):
        hidden = torch.exp(1j * (x @ model.a)) * (1 + by_the_batch * len(x))
        return torch.tanh(model.hook_h(hidden).imag) @ model.b

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sweep_of(Own(turned), ["hook_h"])
    assert any("coupled" in str(one.message) for one in said) == is_coupled


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_of_batches_is_not_called_coupling(dtype):
    """Large numbers that cancel, one input and many, in three precisions; nothing warns."""

    def cancelling(model, x):
        large = model.hook_g(100 * (x @ model.a) + 1000)
        return torch.tanh(model.hook_h(large - 1000) / 100) @ model.b

    model = Own(cancelling, hooks=("hook_g", "hook_h"), d_in=64, width=64).to(dtype)
    rows = torch.randn(70, 64, generator=torch.Generator().manual_seed(1)).to(dtype)
    for n in (1, 70):
        swept = ablation_sweep(
            model, ["hook_g", "hook_h"], rows=rows[:n], value="zero", metrics=first, progress=False
        )
        assert swept.values.isfinite().all()


def test_copies_of_one_input_that_couple_are_warned_of():
    """Of one input there is no other to hold it against; noise in one of two copies shows it."""

    def centred(model, x):
        hidden = model.hook_h(x @ model.a)
        return torch.tanh(hidden - hidden.mean(0)) @ model.b

    units = [Site("hook_h", (unit,)) for unit in range(4)]
    asked = {"rows": PAIRS[0][:1], "value": "zero", "metrics": first, "progress": False}
    with pytest.warns(XorMiWarning, match="beside another one than alone"):
        ablation_sweep(Own(centred), units, **asked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ablation_sweep(Own(plain), units, **asked)


@pytest.mark.parametrize("bound", [None, 1])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_a_hook_as_long_as_the_longest_input_is_refused(bound, order):
    """A place counted from the end would depend on the other inputs."""

    def trimmed(model, x):
        longest = int((x != 0).sum(1).max())
        return model.hook_h(torch.tanh(x[:, :longest, None] * model.a[0])).sum(1) @ model.b

    inputs = torch.tensor([[1.0, 2.0, 0.0], [3.0, 1.0, 0.0], [1.0, 2.0, 3.0]])[order]
    with pytest.raises(XorMiError, match="hook 'hook_h' has an activation"):
        sweep_of(
            Own(trimmed), [Site("hook_h", (-1, 0))], (inputs, inputs + 0.5), max_batch_bytes=bound
        )


def test_listing_hooks_leaves_a_model_in_train_mode_alone():
    """It is refused before it is run, as by every other function."""
    normed = Own(lambda model, x: model.norm(model.hook_h(x @ model.a)) @ model.b)
    normed.norm = nn.BatchNorm1d(4)
    with pytest.raises(XorMiError, match="train mode"):
        sites_of(normed, "hook", inputs=PAIRS[0])
    assert int(normed.norm.num_batches_tracked) == 0


def test_inputs_that_cannot_be_are_refused_in_one_line():
    """NaN in every method, inputs without an axis, keyword inputs that nothing takes, bounds that
    are not numbers, and decisions without numbers.
    """
    broken = (PAIRS[0].clone().fill_(math.nan), PAIRS[1])
    model, site = Own(plain), Site("hook_h", (0,))
    for method in ("attribution_patching", "integrated_gradients", "exact_patching"):
        with pytest.raises(XorMiError, match="the inputs have NaN or infinite"):
            attribute(model, broken, [site], metrics=first, method=method)
    calls = {
        "without an axis": lambda: sites_of(model, "hook", inputs=torch.tensor(1.0)),
        "takes no keyword input 'mask'": lambda: sweep_of(model, model_kwargs={"mask": 1}),
        "max_batch_bytes is True": lambda: sweep_of(model, max_batch_bytes=True),
        "on 'meta'": lambda: sweep_of(model, metrics=lambda outputs: first(outputs).to("meta")),
    }
    for says, call in calls.items():
        with pytest.raises(XorMiError, match=says):
            call()
    bounded, unbounded = sweep_of(model, max_batch_bytes=10**40), sweep_of(model)
    assert torch.equal(bounded.values, unbounded.values)


def test_a_model_that_takes_no_example_alone_says_so():
    """With batch statistics; a model that refuses any number of examples says so itself."""
    normed = Own(lambda model, x: model.norm(model.hook_h(x @ model.a)) @ model.b)
    normed.norm = nn.BatchNorm1d(4, track_running_stats=False).eval()
    refusing = Own(lambda model, x: model.hook_h(x) @ model.b)
    for call in (sweep_of, partial(attribute, pairs=PAIRS, sites=["hook_h"], metrics=first)):
        with pytest.raises(XorMiError, match="takes two inputs and not one alone .ValueError: Exp"):
            call(normed)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            call(refusing)


def test_the_memory_bound_counts_outputs():
    """Of a model whose outputs are much larger than all that is hooked."""
    model = Own(lambda model, x: model.hook_h(x) @ model.a @ model.b, d_out=2000)
    pairs = some_pairs(30, 3)
    sites = [Site("hook_h", (k,)) for k in range(3)]
    patch_sweep(model, pairs, sites, metrics=first, max_batch_bytes=200_000, progress=False)
    assert max(model.sizes) * 2000 * 4 <= 200_000
    assert max(model.sizes) > 2


# silent no-ops


@pytest.mark.filterwarnings("ignore:A hook on attn.hook_attn_scores")
@pytest.mark.filterwarnings("ignore:nothing is written into the residual stream")
def test_a_hook_that_nobody_reads_is_noticed():
    """Of a transformer's attention scores, which its bridge fires and does not read; the pattern at
    the same place is read.
    """
    bridge = native_transformer(d_model=8, d_head=2, n_ctx=4, d_mlp=8, d_vocab=5, seed=0)
    pairs = (torch.tensor([[0, 1, 2]]), torch.tensor([[3, 4, 0]]))
    last = {"metrics": lambda outputs: outputs[:, -1, 0], "progress": False}
    scores, pattern = (f"blocks.0.attn.{one}" for one in ("hook_attn_scores", "hook_pattern"))
    for call in (
        partial(patch_sweep, bridge, pairs, [scores], **last),
        partial(score_methods, bridge, pairs, [scores], **last),
        partial(attribute, bridge, pairs, [scores], method="attribution_patching", **last),
        partial(ablation_sweep, bridge, [scores], rows=torch.cat(pairs), **last),
    ):
        with pytest.warns(XorMiWarning, match="noise at 'blocks.0.attn.hook_"):
            call()
    assert patch_sweep(bridge, pairs, [pattern], **last).effect.abs().max() > 0


def test_arguments_that_nothing_reads_are_refused():
    """`over` of a zero ablation, and `output` beside metrics."""
    model = Own(plain)
    with pytest.raises(XorMiError, match="over has no effect"):
        ablation_sweep(model, ["hook_h"], value="zero", rows=PAIRS[0], over=PAIRS[1], metrics=first)
    for call in (
        lambda: ablation_sweep(model, ["hook_h"], rows=PAIRS[0], metrics=first, output=17),
        lambda: sweep_of(model, output=17),
        lambda: attribute(model, PAIRS, ["hook_h"], metrics=first, output=17),
    ):
        with pytest.raises(XorMiError, match="output=17 has no effect"):
            call()


# crashes


def test_a_model_of_one_number_takes_an_array_of_them():
    """`rows` of shape [input] are as many inputs, each ablated as it is when run alone."""
    rows = PAIRS[0][:, 0]

    def of_one(model, x):
        return plain(model, x[:, None] * torch.ones(3))

    model = Own(of_one)
    found = ablation_sweep(model, ["hook_h"], rows=rows, metrics=first, value="zero")
    assert found.rows == ("0", "1", "2")
    assert found.before[0].tolist() == pytest.approx(model(rows)[:, 0].tolist())
    assert not found.after.any()


class Carries(Own):
    """Hooks that carry no tensor beside one that does."""

    def __init__(self):
        hooks = ("hook_h", "hook_tuple", "hook_int", "hook_none", "hook_dict_", "hook_silent")
        super().__init__(None, hooks)

    def forward(self, x):
        """[batch, 3] -> [batch, 1]"""
        self.hook_tuple((x, x))
        self.hook_int(3)
        self.hook_none(None)
        self.hook_dict_({"x": x})
        return plain(self, x)


def test_hooks_that_carry_no_tensor_are_left_alone():
    """The hook beside them is patched, ablated and scored as without them; asked for by name, they
    say what they carry; the list of hooks has those that can be written.
    """
    model = Carries()
    effect = sweep_of(model).effect[0]
    assert torch.allclose(effect, one_by_one(Own(plain), "hook_h"), atol=1e-6)
    ablation_sweep(model, ["hook_h"], rows=PAIRS[0], metrics=first)
    table = score_methods(model, PAIRS, ["hook_h"], metrics=first, progress=False).frame()
    assert (table.set_index("method")["why_not"].drop("direct_logit") == "").all()
    for name, carries in (
        ("hook_tuple", "carries tuple"),
        ("hook_int", "carries int"),
        ("hook_none", "carries NoneType"),
        ("hook_dict_", "carries dict"),
        ("hook_silent", "never fired"),
    ):
        for call in (
            lambda name=name: sweep_of(model, [name]),
            lambda name=name: ablation_sweep(model, [name], rows=PAIRS[0], metrics=first),
            lambda name=name: score_methods(model, PAIRS, [name], metrics=first),
            lambda name=name: attribute(
                model, PAIRS, [name], metrics=first, method="integrated_gradients"
            ),
        ):
            with pytest.raises(XorMiError, match=f"'{name}' {carries}"):
                call()


def test_every_hook_that_a_bridge_lists_can_be_patched():
    """Those that are switched off are not listed; asked for by name, what switches them on is said."""
    bridge = native_transformer(d_model=8, d_head=2, n_ctx=4, d_mlp=8, d_vocab=5, seed=0)
    pairs = (torch.tensor([[0, 1, 2]]), torch.tensor([[3, 4, 0]]))
    asked = {"metrics": lambda outputs: outputs[:, -1, 0], "progress": False}
    off = "blocks.0.attn.hook_result"
    for method in ("exact_patching", "integrated_gradients", "attribution_patching"):
        with pytest.raises(XorMiError, match=f"hook '{off}' is switched off"):
            attribute(bridge, pairs, [off], method=method, **asked)
    with pytest.raises(XorMiError, match=f"hook '{off}' is switched off"):
        patch_sweep(bridge, pairs, [off], **asked)
    listed = [site.hook_name for site in sites_of(bridge, "hook")]
    # a hook point of two names is listed under one of them
    points = {id(bridge.hook_dict[name]) for name in listed}
    for name in ("hook_embed", "blocks.1.hook_mlp_out", "blocks.0.attn.hook_z"):
        assert id(bridge.hook_dict[name]) in points
    assert off not in listed


@pytest.mark.parametrize("method", ["patch", "ablate", "integrated_gradients", "score_methods"])
def test_a_model_in_which_nothing_fires(method):
    """No hook is reached on one example: the hook is named, and nothing is divided by zero."""
    model = Own(lambda model, x: plain(model, x) if len(x) > 2 else x @ model.a @ model.b)
    calls = {
        "patch": lambda: sweep_of(model),
        "ablate": lambda: ablation_sweep(model, ["hook_h"], rows=PAIRS[0], metrics=first),
        "integrated_gradients": lambda: attribute(
            model, PAIRS, ["hook_h"], metrics=first, method="integrated_gradients"
        ),
        "score_methods": lambda: score_methods(model, PAIRS, ["hook_h"], metrics=first),
    }
    with pytest.raises(XorMiError, match="hook 'hook_h' never fired"):
        calls[method]()


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.bool, torch.complex64])
def test_hooks_of_other_kinds_of_number_are_patched(kind):
    """Whole numbers, yes and no, complex numbers: effects are those of one pair at a time; ablating
    by the mean of numbers that have none is one sentence.
    """

    def forward(model, x):
        counted = model.hook_h((3 * x).round().to(kind))
        return (counted.abs() if kind != torch.bool else counted).float() @ model.a @ model.b

    model = Own(forward)
    expected = one_by_one(model, "hook_h")
    assert expected.abs().max() > 0.1
    assert torch.allclose(sweep_of(model).effect[0], expected, atol=1e-5)
    zeroed = ablation_sweep(model, ["hook_h"], rows=PAIRS[0], metrics=first, value="zero")
    assert torch.allclose(zeroed.values, torch.zeros(1, 1, 3), atol=1e-6)
    if kind != torch.complex64:
        with pytest.raises(XorMiError, match="numbers, which have no mean of their kind"):
            ablation_sweep(model, ["hook_h"], rows=PAIRS[0], metrics=first, value="mean")


def test_an_ablation_by_the_mean_leaves_out_what_has_none():
    """Whole numbers are NaN, undecided and flip nothing, alone and beside another site, and named
    in one warning; the other site has the numbers and decisions that it has alone.
    """

    def forward(model, x):
        return (
            model.hook_h(x) @ model.a @ model.b + model.hook_count(x.round().long()).sum(1)[:, None]
        )

    model = Own(forward, ("hook_h", "hook_count"))
    by_hand = [metrics.by_threshold(), lambda outputs: (outputs[:, 0] > 0).long()]
    for decide in by_hand:
        asked = {"rows": PAIRS[0], "metrics": first, "value": "mean", "decide": decide}
        alone = ablation_sweep(model, ["hook_h"], **asked)
        with pytest.warns(XorMiWarning, match="hook 'hook_count' carries int64 .* not run") as said:
            swept = ablation_sweep(model, ["hook_count", "hook_h"], subsets="all", **asked)
        assert len(said) == 1
        assert swept.site_names == ("hook_count", "hook_h", "hook_count + hook_h")
        assert torch.equal(swept.values[:, 1:2], alone.values)
        assert torch.equal(swept.decisions[1:2], alone.decisions)
        assert set(alone.decisions.flatten().tolist()) <= {0, 1}
        for k in (0, 2):
            assert swept.values[:, k].isnan().all()
            assert swept.decisions[k].tolist() == [-1] * 3
        n_flipped = swept.summary()["n_flipped"].tolist()
        assert n_flipped == [0, alone.summary()["n_flipped"].item(), 0]
        swept.plot()
        assert "hook_h has the largest" in swept._repr_html_()


IMAGINARY = torch.tensor(1j)


@pytest.mark.parametrize(
    ("kind", "held", "not_held"),
    [
        (
            torch.int64,
            [0, 2.0, True, torch.tensor([3, -4, 5])],
            [0.5, math.nan, 2.0**63, IMAGINARY],
        ),
        (torch.uint8, [0, 255, torch.tensor(7.0)], [-1, 256, 0.5]),
        (torch.bool, [0, 1, True, 0.0], [2, 0.5, -1]),
        (torch.complex64, [0.5, 2, IMAGINARY], [1e39]),
        (torch.float32, [0.5, True], [1e39, IMAGINARY]),
    ],
)
def test_a_given_value_is_written_where_the_hook_s_numbers_hold_it(kind, held, not_held):
    """What comes out is the model's own run with that value set by hand; a number that is lost in
    the hook's dtype is one sentence.
    """
    set_to = None

    def forward(model, x):
        counted = model.hook_h((3 * x).round().to(kind))
        if set_to is not None:
            counted = torch.as_tensor(set_to).to(kind).expand_as(counted)
        return (counted.abs() if kind.is_complex else counted).float() @ model.a @ model.b

    model, asked = Own(forward), {"rows": PAIRS[0], "metrics": first}
    for value in held:
        set_to = None
        swept = ablation_sweep(model, ["hook_h"], value=value, **asked)
        set_to = value
        assert torch.allclose(swept.values[0, 0], first(model(PAIRS[0])), atol=1e-5)
    set_to = None
    for value in not_held:
        with pytest.raises(XorMiError, match="the value has .*, which .* cannot hold"):
            ablation_sweep(model, ["hook_h"], value=value, **asked)


def test_parameters_of_other_kinds_of_number():
    """Complex ones and ones of 8 bits are looked at like others; a NaN among them is found."""

    def forward(model, x):
        return (model.hook_h(x.to(torch.complex64) @ model.turned)).abs() @ model.b

    model, generator = Own(forward), torch.Generator().manual_seed(6)
    model.turned = nn.Parameter(torch.complex(*torch.randn(2, 3, 4, generator=generator)))
    model.small = nn.Parameter(torch.ones(2).to(torch.float8_e4m3fn), requires_grad=False)
    expected = one_by_one(model, "hook_h")
    assert torch.allclose(sweep_of(model).effect[0], expected, atol=1e-5)
    nan = {"turned": model.turned.detach() * math.nan, "small": (torch.ones(2) * math.nan)}
    for name, values in nan.items():
        kept = getattr(model, name)
        values = values.to(kept.dtype)
        setattr(model, name, nn.Parameter(values, requires_grad=False))
        with pytest.raises(XorMiError, match=f"{name} has NaN"):
            sweep_of(model)
        setattr(model, name, kept)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "call",
    [
        lambda model: xor_mi.compare(model, "000", "001"),
        lambda model: xor_mi.activations(model),
        lambda model: metrics.decisions(model),
        lambda model: xor_mi.plots.network_diagram(model),
        lambda model: xor_mi.identifiability_report(model),
        lambda model: xor_mi.identify_circuit(model),
        lambda model: xor_mi.contributions(model),
    ],
)
def test_what_needs_a_hooked_mlp_says_so_of_another_model(call):
    """In one sentence, and not by an attribute that is missing."""
    with pytest.raises(XorMiError, match="HookedMLP"):
        call(Own(plain))


# unclear messages


def test_inputs_that_are_no_pairs_are_told_apart():
    """No pairs at all, and inputs without an axis of pairs."""
    model = Own(plain)
    with pytest.raises(XorMiError, match="there are no pairs"):
        sweep_of(model, pairs=(torch.ones(0, 3), torch.ones(0, 3)))
    with pytest.raises(XorMiError, match="without an axis of pairs"):
        sweep_of(model, pairs=(torch.ones(3), torch.ones(3)))


def test_a_metric_that_is_not_finite_after_one_intervention_does_not_lose_the_others():
    """Which site and which input is said; the numbers of the others stand. Before anything is
    changed it is refused, naming the input.
    """
    sites = [Site("hook_h", (k,)) for k in range(4)]
    outputs_before = first(Own(plain)(PAIRS[1]))

    def broken(outputs):
        """NaN wherever the second pair's output is not what it was."""
        values = outputs[:, 0].clone()
        values[1] = torch.where(values[1] > outputs_before[1] + 1e-4, math.nan, values[1])
        return values

    pairs = (PAIRS[1], PAIRS[1])
    with pytest.warns(
        XorMiWarning, match=r"metric 'broken' is nan after hook_h\[\d\] is changed, on"
    ):
        sweep = patch_sweep(Own(plain), (PAIRS[0], PAIRS[1]), sites, metrics=broken, progress=False)
    assert 0 < sweep.values.isnan().sum() < 4
    assert sweep.values[0, :, [0, 2]].isfinite().all()
    with pytest.raises(XorMiError, match="metric 'never' is nan on clean 0"):
        sweep_of(Own(plain), pairs=pairs, metrics={"never": lambda o: o[:, 0] * math.nan})


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_model_says_that_compilation_passes_over_hooks(in_place):
    """One that torch.compile wrapped, or .compile() changed, seen from its hooks, which never
    fire.
    """

    class Wrapped(Own):
        """As torch.compile leaves a model: the original, or its call, is kept under a name."""

        def forward(self, x):
            return x @ self.a @ self.b

    model = Wrapped(plain)
    if in_place:
        model._compiled_call_impl = model._call_impl
    else:
        model._orig_mod = nn.Identity().eval()
    with pytest.raises(XorMiError, match="a compiled model passes over hooks"):
        sweep_of(model)


def test_a_hook_that_is_switched_off_is_said_alike_everywhere():
    """The setting to switch on is in the words of patching, of paths and of what is left out."""
    bridge = native_transformer(d_model=8, d_head=2, n_ctx=4, d_mlp=8, d_vocab=5, seed=0)
    tokens = torch.tensor([[0, 1, 2], [3, 4, 0]])
    pairs, off = (tokens[:1], tokens[1:]), "blocks.1.attn.hook_q_input"
    given = {"metrics": lambda outputs: outputs[:, -1, 0], "progress": False}
    says = r"is switched off: .*set_use_split_qkv_input\(True\)"
    with pytest.raises(XorMiError, match=f"hook '{off}' {says}"):
        patch_sweep(bridge, pairs, [off], **given)
    with pytest.raises(XorMiError, match=f"hook '{off}' {says}"):
        path_sweep(bridge, [(Site("blocks.0.attn.hook_z"), off)], pairs, **given)
    # what `GateScan.left_out` holds
    assert re.match(says, why_not_writable(bridge, probe_hooks(bridge, tokens), off))


@pytest.mark.unchecked
@pytest.mark.parametrize("ask", [patch, partial(assert_patch_effect, effect=1.0)])
def test_inputs_without_a_batch_axis_are_said(ask):
    """`patch` takes one input each and no pairs: the answer names neither pairs nor rows."""
    one, other = (side[0] for side in PAIRS)
    with pytest.raises(XorMiError, match=r"give one input each with a batch axis, such as x\[None"):
        ask(Own(plain), one, other, Site("hook_h"), metrics=first)
