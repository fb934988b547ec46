"""Patching: against TransformerLens, by hand, and leaving everything as it was."""

import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from models import unit_setter
from transformer_lens.patching import generic_activation_patch

from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.interventions import (
    HighLevelModel,
    ablation_sweep,
    all_pairs,
    interchange_accuracy,
    patch,
    patch_sweep,
)
from xor_mi.model import HookedMLP, HookedMLPConfig


def by_transformer_lens(model, pairs, direction):
    """The same sweep through generic_activation_patch: one call per layer, all pairs as its
    batch.
    """
    clean, corrupted = (torch.tensor(list(side)) for side in zip(*pairs, strict=True))
    source, base = (clean, corrupted) if direction == "denoising" else (corrupted, clean)
    _, cache = model.run_with_cache(source)
    index_df = pd.DataFrame(
        [(unit.layer, unit.index) for unit in model.units], columns=["layer", "unit"]
    )
    result = generic_activation_patch(
        model,
        base,
        cache,
        lambda logits: logits[:, 0],
        unit_setter,
        "post",
        index_df=index_df,
        reduce="none",
        baseline=True,
    )
    return result.values, result.effect()


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize(
    "shape",
    [
        None,
        "trained",
        (2, (4,), 1, "relu"),
        (3, (8,), 1, "relu"),
        (2, (3, 3), 1, "tanh"),
        (3, (4, 2), 2, "gelu"),
        (2, (4,), 1, "heaviside"),
    ],
)
def test_a_sweep_equals_generic_activation_patch(textbook, trained, shape, direction):
    """All ordered pairs and all hidden units: patched logits and effects agree with TransformerLens
    to 1e-6.
    """
    if shape is None:
        model = textbook
    elif shape == "trained":
        model = trained.model
    else:
        model = HookedMLP(HookedMLPConfig(*shape[:3], act_fn=shape[3], seed=4))
    sweep = patch_sweep(model, direction=direction)
    assert len(sweep.pairs) == 4**model.cfg.d_in - 2**model.cfg.d_in
    values, effect = by_transformer_lens(model, all_pairs(model.cfg.d_in), direction)
    assert sweep.effect.abs().max() > 1e-4, (
        "the patches changed nothing, so agreement would mean nothing"
    )
    assert torch.allclose(sweep.patched, values, atol=1e-6)
    assert torch.allclose(sweep.effect, effect, atol=1e-6)


def test_one_forward_for_the_whole_sweep(textbook):
    """There is exactly one forward: of the different rows, and from the first hook that is written
    on also of the base inputs, once per site.
    """
    batches = []
    for name in ("hook_embed", "hook_logits"):
        textbook.add_perma_hook(name, lambda value, hook: batches.append(len(value)))
    patch_sweep(textbook)
    assert batches == [4, 4 + 12 * 2]


def test_chunks_give_the_same_result(deep):
    """A memory bound only changes how many forwards it takes."""
    whole = patch_sweep(deep)
    batches = []
    deep.add_perma_hook("hook_embed", lambda value, hook: batches.append(len(value)))
    assert torch.allclose(patch_sweep(deep, max_batch_bytes=5000).patched, whole.patched, atol=1e-6)
    assert len(batches) > 3


def test_textbook_golden_values(textbook):
    """Pairs with 00: only h0.0 carries the difference. Pairs with 11: both do, with overshoot
    outside [0, 1].
    """
    frame = patch_sweep(textbook).frame().set_index(["pair", "site"])
    assert frame.loc[("01 -> 00", "h0.0"), "recovered_fraction"] == 1
    assert frame.loc[("01 -> 00", "h0.1"), "recovered_fraction"] == 0
    assert frame.loc[("01 -> 11", "h0.0"), "recovered_fraction"] == -1
    assert frame.loc[("01 -> 11", "h0.1"), "recovered_fraction"] == 2
    noised = patch_sweep(textbook, direction="noising").frame().set_index(["pair", "site"])
    assert noised.loc[("01 -> 00", "h0.0"), "flips"]
    assert not noised.loc[("01 -> 00", "h0.1"), "flips"]
    assert noised.loc[("01 -> 11", "h0.0"), "patched_output"] == 2
    assert noised.loc[("01 -> 11", "h0.1"), "patched_output"] == -1


def test_the_frame_has_units_and_reasons(textbook):
    """One line per patch; a missing fraction always has its reason, a given one never."""
    frame = patch_sweep(textbook).frame()
    assert len(frame) == 24
    agree = frame["clean"].map({"00": 0, "01": 1, "10": 1, "11": 0}) == frame["corrupted"].map(
        {"00": 0, "01": 1, "10": 1, "11": 0}
    )
    assert (frame["recovered_fraction"].isna() == agree).all()
    assert (frame["why_no_fraction"] != "").tolist() == agree.tolist()
    assert frame[frame["pair"] == "00 -> 11"]["why_no_fraction"].unique().tolist() == [
        "clean and corrupted are both decided 0"
    ]
    assert {"effect_output", "clean_output", "corrupted_output", "patched_output"} <= set(frame)


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("h0.0", -1.0),
        ("h0.1", 2.0),
        ("x0", 1.0),
        ("x1", 0.0),
        ("x0->h0.1", 2.0),
        ("h0.1->y0", 2.0),
        ("y0", 1.0),
    ],
)
def test_patch_any_kind_of_site(textbook, site, expected):
    """01 into 11, by hand: units, inputs, edges of both layers, and the output itself."""
    effect = patch(textbook, clean="01", corrupted="11", site=site)
    assert effect.patched == expected
    assert effect.effect == expected - 0
    assert not textbook.cfg.use_edge_result


def test_patching_a_site_with_its_own_value_changes_nothing(deep):
    """A pair of equal inputs has no effect at any site."""
    rows = [(row, row) for row in product((0, 1), repeat=3)]
    assert patch_sweep(deep, pairs=rows).effect.abs().max() < 1e-6


def test_single_patches_equal_the_sweep(deep):
    """patch is one cell of the sweep."""
    sweep = {(e.pair, e.site): e for e in patch_sweep(deep, output=1, direction="noising")}
    for (pair, site), effect in list(sweep.items())[::17]:
        clean, corrupted = pair.split(" -> ")
        assert patch(
            deep, clean, corrupted, site, direction="noising", output=1
        ).patched == pytest.approx(effect.patched, abs=1e-6)


def test_nothing_of_the_model_is_changed(deep):
    """Weights byte for byte, hooks, mode and edge switch are as before, also after an exception
    inside a hook.
    """
    before = {name: value.clone() for name, value in deep.state_dict().items()}
    patch_sweep(deep, sites=["h0.0", "x0->h0.1"])

    def fail(value, hook):
        raise RuntimeError("planted")

    deep.add_perma_hook("hook_logits", fail)
    with pytest.raises(RuntimeError, match="planted"):
        patch_sweep(deep, sites=["h0.0", "x0->h0.1"])
    assert all(torch.equal(value, before[name]) for name, value in deep.state_dict().items())
    assert [name for name, point in deep.hook_dict.items() if point.fwd_hooks] == ["hook_logits"]
    assert not deep.cfg.use_edge_result
    assert not deep.training


def test_coordinates_say_what_was_done(textbook):
    """The six coordinates of an ablation test."""
    coordinates = patch_sweep(textbook, sites=["h0.0"], direction="noising").coordinates
    assert list(coordinates._fields) == [
        "granularity",
        "component",
        "value",
        "positions",
        "direction",
        "set",
    ]
    assert coordinates.granularity == "unit"
    assert coordinates.value == "interchange, from the corrupted input"
    assert (
        patch_sweep(textbook, sites=["x0", "x0->h0.0", "y0"]).coordinates.granularity
        == "edge and input and output"
    )


@pytest.mark.unchecked
def test_one_row_is_the_same_input_as_a_list_and_as_a_tensor(textbook):
    """[1, d_in] as a list, an array or a tensor is called by its bits; numbers between stay
    numbered.
    """
    by_name = str(patch(textbook, "00", "11", "h0.1"))
    assert "00 -> 11" in by_name
    assert str(patch(textbook, [[0, 0]], [[1, 1]], "h0.1")) == by_name
    assert str(patch(textbook, np.zeros((1, 2)), np.ones((1, 2)), "h0.1")) == by_name
    assert str(patch(textbook, torch.zeros(1, 2), torch.ones(1, 2), "h0.1")) == by_name
    both = patch_sweep(textbook, (torch.tensor([[0, 0], [0, 1]]), torch.tensor([[1, 1], [1, 0]])))
    assert both.pairs == (("00", "11"), ("01", "10"))
    between = patch_sweep(textbook, (torch.zeros(1, 2), torch.full((1, 2), 0.5)))
    assert between.pairs == (("clean 0", "corrupted 0"),)


def test_rows_of_a_network_with_other_levels_are_called_by_their_bits(textbook):
    """A tensor of pairs holds the numbers that are run, and -1 is the bit 0 at levels -1 and 1."""
    levels = HookedMLP.from_weights(textbook.float64_layers(), input_levels=(-1, 1))
    swept = patch_sweep(levels, (torch.tensor([[-1.0, 1.0]]), torch.tensor([[1.0, 1.0]])))
    assert swept.pairs == (("01", "11"),)


def test_a_patch_that_flips_nothing_says_the_decision(textbook):
    """It stays 1, 0 or open; a patch that flips says so, and the fraction of one is a number."""
    # the textbook network has the hidden values (0, 0), (1, 0), (2, 1) and the outputs 0, 1, 0
    assert str(patch(textbook, "01", "11", "h0.1")).endswith("; the decision flips")
    assert str(patch(textbook, "01", "10", "h0.0")).endswith("; the decision stays 1")
    assert str(patch(textbook, "11", "00", "h0.0")).endswith("; the decision flips")
    assert str(patch(textbook, "00", "00", "h0.0")).endswith("; the decision stays 0")
    undecided = HookedMLP.from_weights(textbook.float64_layers(), decision_threshold=0)
    assert str(patch(undecided, "11", "00", "h0.1")).endswith("-2.00; the decision flips")
    assert str(patch(undecided, "00", "00", "h0.1")).endswith("; the decision stays open")
    for pair in (("01", "11"), ("00", "11")):
        assert patch(textbook, *pair, "h0.1").frame()["recovered_fraction"].dtype == float


def test_all_pairs():
    """n(n-1) ordered pairs of distinct rows, no pair twice."""
    assert len(all_pairs(2)) == len(set(all_pairs(2))) == 12
    assert len(all_pairs(3)) == 56


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: patch(m, "01", "11", "h0.9"), "no unit or edge 'h0.9'; this network has"),
        (
            lambda m: patch(m, "01", "11", "h0.0", direction="denoise"),
            "no direction 'denoise'.*did you mean 'denoising'",
        ),
        (lambda m: patch(m, "011", "11", "h0.0"), "has 3 bits"),
        (lambda m: patch(m, [0, float("nan")], "11", "h0.0"), "NaN or infinite"),
        (lambda m: patch(m, [0, "a"], "11", "h0.0"), "not a bit"),
        (lambda m: patch(m, "01", "11", "h0.0", output=1), "no output 1"),
        (lambda m: patch_sweep(m, sites=[]), "12 pairs and 0 sites"),
        (lambda m: patch_sweep(m, pairs=[]), "0 pairs and 2 sites"),
        (lambda m: patch_sweep(m.train()), "call model.eval"),
        (
            lambda m: patch(m, "h0.1", "00", "11"),
            r"clean is 'h0.1', which is a place .*; the order is patch\(model, clean, corrupted, site",
        ),
        (
            lambda m: patch("00", "11", m, "h0.1"),
            r"the model comes first, not '00': patch\(model, ",
        ),
        (
            lambda m: patch_sweep([("00", "11")], m),
            r"the model comes first, .*: patch_sweep\(model, pairs, sites\)",
        ),
        (
            lambda m: ablation_sweep(["h0.0"], m),
            r"the model comes first, .*: ablation_sweep\(model, sites\)",
        ),
        (
            lambda m: interchange_accuracy(HighLevelModel({"a": "x0"}, "a"), m, {"a": "h0.0"}),
            r"the model comes first, .*: interchange_accuracy\(model, high_level, alignment\)",
        ),
        (lambda m: patch_sweep(m, ("00", "11")), r"is one pair; .*: \[\('00', '11'\)\]"),
        (lambda m: patch_sweep(m, ["00", "11"]), r"is one pair; .*: \[\('00', '11'\)\]"),
        (lambda m: patch_sweep(m, ([0, 0], [1, 1])), r": \[\(\[0, 0\], \[1, 1\]\)\]"),
        (lambda m: patch_sweep([m, m]), r"give one of these networks, such as .* networks\[0\]"),
        (lambda m: patch(m, "[0,0]", "11", "h0.1"), r"'\[0,0\]' is not bits; write '00' or \[0, 0"),
        (lambda m: patch(m, "01", "11", 1), "1 is not a unit or an edge; .* such as h0.0$"),
        (lambda m: patch(m, "01", "11", (0, 1)), "0 is not a unit or an edge; units are named by"),
        (
            lambda m: interchange_accuracy(m, HighLevelModel({"a": "x0"}, "a"), {"a": 1}),
            "1 is not a unit or an edge; units are named by layer and index",
        ),
    ],
)
def test_bad_requests_are_refused(textbook, call, message):
    """Sites, directions, rows and modes are checked before anything runs."""
    with pytest.raises(XorMiError, match=message):
        call(textbook)


def test_arrays_of_bits_for_other_levels_are_warned_of(textbook):
    """The numbers 0 and 1 are run as numbers; rows and text are bits."""
    levels = HookedMLP.from_weights(textbook.float64_layers(), input_levels=(-1, 1))
    with pytest.warns(XorMiWarning, match=r"takes -1 and 1: arrays are taken as the numbers"):
        found = patch(levels, torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]]), "h0.1")
    by_numpy = 2.0 - 2 * 0.0  # relu(1 + 1) - 2 relu(0 + 1 - 1)
    assert found.patched == pytest.approx(by_numpy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patch_sweep(levels, (levels.rows(["01"]), levels.rows(["11"])), "h0.1")
