"""Sites: which numbers an index names, as NumPy has it; what is not an index is said where it is made."""

import re
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from models import native_transformer
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.gate_scan import find_gates, scan_gates
from xor_mi.graph import Site
from xor_mi.handmade import textbook_xor
from xor_mi.interventions import (
    HighLevelModel,
    ablation_sweep,
    attribute,
    interchange,
    interchange_accuracy,
    patch_sweep,
    path_sweep,
    sites,
)
from xor_mi.metrics import by_threshold
from xor_mi.values import activations
from xor_mi.widgets import playground

SHAPE = (3, 4, 2)
"""Of the activation of one input."""

ENTRIES = [
    *(0, -1, None),
    *(slice(0, 2), slice(1, None), slice(None, -1), slice(0, None, 2)),
    *([0], [2, 0], [-1, 1]),
]
"""Entries that fit an axis of three."""


class Grid(HookedRootModule):
    """Inputs of 24 numbers as a grid, and the sum of the grid's weighted tanh."""

    def __init__(self):
        super().__init__()
        self.hook_grid = HookPoint()
        self.weights = nn.Parameter(torch.linspace(-1, 1, 24).reshape(SHAPE))
        self.setup()
        self.eval()

    def forward(self, values):
        grid = self.hook_grid(values.reshape(-1, *SHAPE) * 1.0)
        return (self.weights * grid).tanh().reshape(len(values), -1).sum(1, keepdim=True)


def first_output(outputs):
    """The metric."""
    return outputs[:, 0]


def named_by_numpy(index, shape=SHAPE):
    """The places that an index names, with every axis as a list of its own and `np.ix_`."""
    whole = [*index, *[None] * (len(shape) - len(index))]
    axes = []
    for entry, size in zip(whole, shape, strict=True):
        every = np.arange(size)
        axes.append(np.atleast_1d(every[slice(None) if entry is None else entry]))
    mask = np.zeros(shape, dtype=bool)
    mask[np.ix_(*axes)] = True
    return mask


@pytest.fixture(scope="module")
def inputs():
    """Three pairs."""
    return torch.randn(6, 24, generator=torch.Generator().manual_seed(0)).chunk(2)


INDICES = [
    (),
    *((entry,) for entry in ENTRIES),
    *product(ENTRIES, (None, 1, slice(1, 3), [3, 1]), ([1], 0, slice(0, 1))),
]


def test_every_kind_of_index_writes_what_numpy_names(inputs):
    """Patched and ablated by hand with NumPy's own mask, one example at a time; all indices are in
    one sweep.
    """
    model = Grid()
    clean, corrupted = inputs
    places = [Site("hook_grid", index) for index in INDICES]
    sweep = patch_sweep(model, (clean, corrupted), places, metrics=first_output)
    zeroed = ablation_sweep(model, places, rows=clean, value="zero", metrics=first_output)
    weights = model.weights.detach().numpy()
    masks = [named_by_numpy(index) for index in INDICES]
    assert len({mask.tobytes() for mask in masks}) > 50
    of_clean, of_corrupted = clean.view(-1, *SHAPE).numpy(), corrupted.view(-1, *SHAPE).numpy()
    for k, mask in enumerate(masks):
        for pair in range(len(clean)):
            patched = np.where(mask, of_clean[pair], of_corrupted[pair])
            assert sweep.values[0, k, pair] == pytest.approx(
                np.tanh(weights * patched).sum(), abs=1e-5
            )
            ablated = np.where(mask, 0, of_clean[pair])
            assert zeroed.values[0, k, pair] == pytest.approx(
                np.tanh(weights * ablated).sum(), abs=1e-5
            )


def test_attribution_and_scan_take_every_kind_of_index(inputs):
    """The gradient times the difference, summed over NumPy's mask; a scan reads exactly its units."""
    model = Grid()
    clean, corrupted = inputs
    some = INDICES[::7]
    places = [Site("hook_grid", index) for index in some]
    found = attribute(
        model, (clean, corrupted), places, method="attribution_patching", metrics=first_output
    )
    weights = model.weights.detach().numpy()
    low = corrupted.view(-1, *SHAPE).numpy()
    each = weights * (1 - np.tanh(weights * low) ** 2) * (clean.view(-1, *SHAPE).numpy() - low)
    for k, index in enumerate(some):
        by_hand = [each[pair][named_by_numpy(index)].sum() for pair in range(len(clean))]
        assert found.scores[0, k].tolist() == pytest.approx(by_hand, abs=1e-5)
    values = torch.cat([clean, corrupted])
    features = {"f": torch.arange(6) % 2}
    for site, index in zip(places, some, strict=True):
        scan = scan_gates(model, values, features, [site], progress=False)
        assert scan.n_units == named_by_numpy(index).sum()


def test_sites_are_values():
    """Equal where they are written alike, with one hash, and written as Python would."""
    site = Site("hook_grid", (slice(0, 2), [1, 3]))
    assert repr(site) == "hook_grid[0:2, [1, 3]]"
    alike = [
        Site("hook_grid", [slice(None, np.int64(2), 1), range(1, 4, 2)]),
        Site("hook_grid", (slice(0, 2), np.array([1, 3])), label="any"),
        Site("hook_grid", (slice(torch.tensor(0), 2), torch.tensor([1, 3]))),
        Site("hook_grid", site.index),
    ]
    assert {site, *alike} == {site}
    assert {hash(one) for one in alike} == {hash(site)}
    assert Site("hook_grid", slice(None)) == Site("hook_grid", None) != Site("hook_grid")
    assert Site("hook_grid", (slice(2, None, 2), -1)).name == "hook_grid[2::2, -1]"
    assert (
        Site("hook_grid", np.int64(1)) == Site("hook_grid", torch.tensor(1)) == Site("hook_grid", 1)
    )


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("index", "says"),
    [
        ([0, 1], r"give \(0, 1\) for one number per axis, or \(\[0, 1\],\) for several"),
        (np.arange(3), r"give \(0, 1, 2\) for one number per axis"),
        (([],), "name at least one number, and each once"),
        (([1, 1],), "name at least one number, and each once"),
        (slice(2, 0, -1), "a slice has whole numbers, and a step of at least 1"),
        (slice(0.0, 2), "a slice has whole numbers"),
        (([True, False, True],), "an index entry is a whole number, or None"),
        (([[0, 1]],), "an index entry is a whole number, or None"),
        (np.array([0.5]), "an index entry is a whole number, or None"),
    ],
)
def test_what_is_no_index_is_refused_where_it_is_made(index, says):
    """Two readings, nothing, a number twice, backwards, masks and fractions."""
    with pytest.raises(XorMiError, match=says):
        Site("hook_grid", index)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ((None, 4), r"\[:, 4\] is outside 'hook_grid', whose activation is \[batch, 3, 4, 2\]"),
        (([0, 3],), "an axis of 3 has no 3"),
        ((slice(0, 4),), "an axis of 3 has no 4"),
        ((slice(-4, None),), "an axis of 3 has no -4"),
        ((slice(3, None),), "3: selects nothing of an axis of 3"),
        ((slice(2, 1),), "2:1 selects nothing of an axis of 3"),
        (([2, -1],), "names a number twice"),
        ((0, 0, 0, 0), "the index has 4 axes"),
    ],
)
def test_an_index_outside_the_activation_names_the_axis(inputs, index, says):
    """One sentence with the axis' size, wherever the site is used."""
    model, (clean, _) = Grid(), inputs
    site = Site("hook_grid", index)
    calls = [
        lambda: patch_sweep(model, inputs, [site, Site("hook_grid", 0)], metrics=first_output),
        lambda: attribute(model, inputs, site, method="attribution_patching", metrics=first_output),
        lambda: scan_gates(model, clean, {"f": torch.arange(3) % 2}, site),
    ]
    for call in calls:
        with pytest.raises(XorMiError, match=says):
            call()


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        ((slice(0, 2),), (1,), True),
        ((slice(0, 2),), (-1,), False),
        (([0, 2], None), ([1], 0), False),
        (([0, 2], None), (None, 3), True),
        ((slice(None, None, 2), [0, 1]), ([0, 1], [1, 2]), True),
        ((slice(None, None, 2), [0, 1]), ([0, 1], [2, 3]), False),
        ((), (None, None, [0]), True),
    ],
)
def test_sites_of_a_set_may_not_meet(inputs, first, second, meet):
    """Two indices overlap exactly where NumPy's masks do."""
    assert (named_by_numpy(first) & named_by_numpy(second)).any() == meet
    together = (Site("hook_grid", first), Site("hook_grid", second))
    if meet:
        with pytest.raises(XorMiError, match="overlap; what is written together"):
            patch_sweep(Grid(), inputs, [together], metrics=first_output)
    else:
        assert len(patch_sweep(Grid(), inputs, [together], metrics=first_output).sites) == 1


def test_a_site_given_twice_is_said_to_be_there_twice(inputs):
    """One name, not two that are the same."""
    twice = Site("hook_grid", (0, 1))
    with pytest.raises(XorMiError, match=r"^hook_grid\[0, 1\] is there twice; "):
        patch_sweep(Grid(), inputs, [(twice, twice)], metrics=first_output)


@pytest.fixture(scope="module")
def bridge():
    """Four heads, of which two pairs share their keys and values."""
    return native_transformer(d_model=16, d_head=4, n_ctx=8, d_vocab=10, n_key_value_heads=2)


def test_sites_of_layers_are_all_there(bridge):
    """As many as the configuration says, of each layer in order, at the index that a run shows: the
    sites of a hook are apart and together all of it.
    """
    tokens = torch.zeros(3, 5, dtype=torch.long)
    _, cache = bridge.run_with_cache(tokens)
    asked = {
        ("head", None): ("blocks.{}.attn.hook_z", 4),
        ("head", "attn.hook_k"): ("blocks.{}.attn.hook_k", 2),
        ("head", "attn.hook_pattern"): ("blocks.{}.attn.hook_pattern", 4),
        ("neuron", None): ("blocks.{}.mlp.hook_post", bridge.cfg.d_mlp),
        ("position", None): ("blocks.{}.hook_resid_pre", 5),
        ("position", "attn.hook_q"): ("blocks.{}.attn.hook_q", 5),
    }
    every: list[Site] = []
    for (kind, hook), (name, size) in asked.items():
        found = sites(bridge, kind, inputs=tokens, hook=hook)
        assert [site.hook_name for site in found] == [
            name.format(layer) for layer in (0, 1) for _ in range(size)
        ]
        for layer in (0, 1):
            shape = cache[name.format(layer)].shape[1:]
            here = [site for site in found if site.hook_name == name.format(layer)]
            masks = sum(named_by_numpy(site.index, shape).astype(int) for site in here)
            assert (masks == 1).all()
        every += found
    assert len({site.name for site in every}) == len({*every}) == len(every)
    assert [str(site) for site in sites(bridge, "head")][3:5] == ["L0 H3", "L1 H0"]
    positions = sites(bridge, "position", inputs=tokens)
    for alike in (5, np.int64(5), tokens.numpy()):
        assert sites(bridge, "position", inputs=alike) == positions
    assert str(sites(bridge, "position", inputs=3, hook="hook_attn_out")[2]) == "L0 attn_out @2"


# TransformerLens and this package both say that nothing reads the scores before the softmax
@pytest.mark.filterwarnings("ignore:A hook on", "ignore:noise at")
def test_listed_hooks_of_a_bridge_can_all_be_patched(bridge):
    """A sweep over all of them runs; those that are switched off are not there."""
    listed = sites(bridge, "hook")
    assert {site.hook_name for site in listed} < set(bridge.hook_dict)
    assert "blocks.0.attn.hook_result" not in {site.hook_name for site in listed}
    tokens = torch.arange(6).reshape(2, 3)
    sweep = patch_sweep(bridge, (tokens[:1], tokens[1:]), listed, metrics=lambda o: o[:, -1, 0])
    assert len(sweep.sites) == len(listed) > 20


def test_a_hook_point_of_two_names_is_listed_once(bridge):
    """By the name that it carries itself: no two are one point, and none that can be written is
    left out.
    """
    names = [site.hook_name for site in sites(bridge, "hook")]
    points = {id(bridge.hook_dict[name]) for name in names}
    assert len(points) == len(names) < len(bridge.hook_dict)
    assert [bridge.hook_dict[name].name for name in names] == names
    _, cache = bridge.run_with_cache(torch.tensor([[0, 1], [1, 0], [1, 1]]))
    per_example = {name for name, value in cache.items() if value.shape[0] == 3}
    assert points == {id(bridge.hook_dict[name]) for name in per_example}


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("position", {}, "how many positions"),
        ("head", {"hook": "attn.hook_zz"}, "the blocks of this model have.*did you mean"),
        ("head", {"hook": "hook_attn_out"}, r"is \[batch, 2, 16\], without an axis of heads"),
        ("position", {"hook": "attn.hook_pattern", "inputs": torch.zeros(1, 3).long()}, "without"),
        ("head", {"inputs": 3}, "inputs=3 is a number of positions"),
        ("head", {"hook": "attn.hook_result"}, "switched off"),
        ("hook", {"hook": "attn.hook_z"}, "is for heads, neurons and positions"),
        ("layer", {}, "no kind of site 'layer'"),
    ],
)
@pytest.mark.unchecked
def test_what_a_model_has_no_sites_of_is_said(bridge, kind, options, says):
    """One sentence: what was asked, and what there is."""
    with pytest.raises(XorMiError, match=says):
        sites(bridge, kind, **options)


def test_a_model_without_blocks_has_no_layers():
    """Own hook names: places are named one by one, and all hooks are listed untried."""
    with pytest.raises(XorMiError, match="needs a model with blocks"):
        sites(Grid(), "head")
    assert sites(Grid(), "hook", inputs=torch.zeros(2, 24)) == [Site("hook_grid")]


@pytest.mark.as_a_user
def test_a_set_of_sites_has_one_order_in_every_process():
    """By hook name, numbers in it as numbers, then by index, whatever Python's hashes are; a list
    keeps its order. Sets lie inside others, and are the whole of what is given.
    """
    bridge = native_transformer(
        n_layers=11, d_model=4, d_head=2, n_ctx=4, d_mlp=4, d_vocab=5, seed=0
    )
    hooks = [f"blocks.{layer}.attn.hook_z" for layer in (0, 2, 10)]
    ordered = [Site(hook, (None, head)) for hook in hooks for head in (0, 1)]
    ordered.insert(2, Site(hooks[0], ([0, 1], 2)))
    names = tuple(site.name for site in ordered)
    tokens = (torch.zeros(1, 3).long(), torch.ones(1, 3).long())
    given = {"metrics": lambda outputs: outputs[:, -1, 0], "progress": False}
    assert patch_sweep(bridge, tokens, set(ordered), **given).site_names == names
    (together,) = patch_sweep(bridge, tokens, [frozenset(ordered)], **given).site_names
    assert together == " + ".join(names)
    listed = patch_sweep(bridge, tokens, ordered[::-1], **given)
    assert listed.site_names == names[::-1]


def pair_of_grids():
    """Two clean inputs and two corrupted ones."""
    both = torch.linspace(-1, 1, 96).reshape(4, 24)
    return both[:2], both[2:]


def gates_at(model, asked):
    """`find_gates` at these sites."""
    inputs = torch.cat(pair_of_grids())
    features = {"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]}
    return find_gates(model, inputs, features, asked, decide=by_threshold())


@pytest.mark.parametrize(
    "use",
    [
        lambda model, asked: patch_sweep(model, pair_of_grids(), asked),
        lambda model, asked: ablation_sweep(model, asked, rows=pair_of_grids()[0]),
        lambda model, asked: attribute(model, pair_of_grids(), asked),
        lambda model, asked: path_sweep(model, [tuple(asked)], pair_of_grids(), frozen=[]),
        gates_at,
    ],
)
def test_two_sites_of_one_name_are_refused(use):
    """Frames and records tell sites apart by name; a label may not be another site's name either."""
    one = Site("hook_grid", (0,), "u")
    for other in (Site("hook_grid", (1,), "u"), Site("hook_grid", (1,), "hook_grid[0]")):
        asked = [one if other.label == "u" else Site("hook_grid", (0,)), other]
        with pytest.raises(XorMiError, match=rf"both .* are called '{re.escape(asked[0].name)}'"):
            use(Grid(), asked)


def test_one_site_given_twice_is_one_place():
    """It has one name, so nothing is mixed up."""
    one = Site("hook_grid", (0,), "u")
    sweep = patch_sweep(Grid(), pair_of_grids(), [one, one], metrics=first_output)
    assert sweep.values[:, 0].equal(sweep.values[:, 1])


def test_two_variables_with_sites_of_one_name_are_refused():
    """An alignment's places are named as those of a sweep are."""
    model = textbook_xor()
    algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    either, both = [Site("blocks.0.mlp.hook_post", (unit,), "u") for unit in (0, 1)]
    with pytest.raises(XorMiError, match="are called 'u'"):
        interchange_accuracy(model, algorithm, {"either": either, "both": both})
    with pytest.raises(XorMiError, match="are called 'u'"):
        interchange(model, {either: "11", both: "01"}, "00")


@pytest.fixture(scope="module")
def small_bridge():
    """Two layers of four heads, and pairs that differ at their last token alone."""
    clean = torch.tensor([[1, 2, 3], [4, 5, 6]])
    corrupted = torch.tensor([[1, 2, 7], [4, 5, 8]])
    model = native_transformer(d_model=16, d_head=4, n_ctx=4, d_vocab=10, d_mlp=8)
    return model, (clean, corrupted)


def last_logit(outputs):
    """The metric."""
    return outputs[:, -1, 0]


def test_a_site_that_is_the_same_in_both_runs_is_warned_of(small_bridge):
    """The first axis of attention's output is the position: index (1, None) is no head. A head at
    all positions is patched, and nothing is said, also beside positions that are the same.
    """
    model, pairs = small_bridge
    hook = "blocks.0.attn.hook_z"
    with pytest.warns(XorMiWarning) as said:
        patched = patch_sweep(model, pairs, [Site(hook, (1, None))], metrics=last_logit)
    assert patched.effect.abs().max() < 1e-6
    (warning,) = [str(one.message) for one in said if "nothing is patched" in str(one.message)]
    assert warning == (
        f"'{hook}[1, :]' has the same value in both runs of every pair, so nothing is patched; "
        f"the index of '{hook}' counts position, head, d_head"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = patch_sweep(model, pairs, [Site(hook, (None, 1))], metrics=last_logit)
        assert head.effect.abs().max() > 1e-4
        places = sites(model, "position", inputs=3)
        assert patch_sweep(model, pairs, places, metrics=last_logit).effect.any()


@pytest.mark.unchecked
def test_what_tables_call_a_site_is_answered_with_where_to_take_it(small_bridge):
    """Labels of heads, neurons and positions; a number; and of many hooks the nearest."""
    model, pairs = small_bridge
    for label, kind in (("L0 H1", "head"), ("L1 N7", "neuron"), ("L0 attn.q H3", "head")):
        with pytest.raises(XorMiError, match=rf"'{label}' is what .* sites\(model, '{kind}'\)"):
            patch_sweep(model, pairs, [label], metrics=last_logit)
    with pytest.raises(XorMiError, match=r"1 is not a site; give Site\(hook_name, index\)"):
        patch_sweep(model, pairs, 1, metrics=last_logit)
    assert len(model.hook_dict) > 24
    with pytest.raises(XorMiError) as refusal:
        patch_sweep(model, pairs, ["blocks.1.attn.hook_y"], metrics=last_logit)
    listed = str(refusal.value).partition("this model has: ")[2].partition(", ...")[0].split(", ")
    assert {"blocks.1.attn.hook_z", "blocks.1.attn.hook_q"} < set(listed)
    assert len(listed) == 8
    assert f"(the nearest of {len(model.hook_dict)})" in str(refusal.value)


@pytest.mark.unchecked
def test_what_needs_a_hooked_mlp_says_what_other_models_take(small_bridge):
    """A transformer cannot be converted, so that no loader is named; a plain module can."""
    model, _ = small_bridge
    for call in (identify_circuit, activations, lambda m: playground(m)):
        with pytest.raises(XorMiError, match="needs a HookedMLP.*patch_sweep, abl") as refusal:
            call(model)
        assert "from_module" not in str(refusal.value)
    with pytest.raises(XorMiError, match=r"give HookedMLP.from_module\(net\)$"):
        identify_circuit(nn.Sequential(nn.ReLU()))
    with pytest.raises(
        XorMiError, match=r"from_module\(net\) if it is made of linear .*find_gates$"
    ):
        identify_circuit(Grid())
