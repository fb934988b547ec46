"""The same network in other units of measure: all outputs, all hidden units or all inputs by a
power of two, so that every sum is the same to the last bit. What is said of it must be the same,
and what is measured in those units must be so many times as large.
"""

import json
from fractions import Fraction
from itertools import chain, product

import numpy as np
import pytest
import torch
from networks import OR_AND, random_network

from xor_mi import HookedMLP, HookedMLPConfig, activations, diagnose, identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.finding import number_text
from xor_mi.handmade import edit, from_gates
from xor_mi.interventions import (
    HighLevelModel,
    ablation_sweep,
    das_accuracy,
    interchange_accuracy,
    patch_sweep,
    score_methods,
)
from xor_mi.plots import input_plane, patching_heatmap
from xor_mi.report import find_out, to_dict
from xor_mi.testing import assert_patch_effect, assert_same_circuit

pytestmark = pytest.mark.as_a_user

FACTORS = (2.0**-100, 2.0**-23, 2.0**23)
"""About 1e-30, 1e-7 and 1e7."""
LEAST = 2.0**-149
"""The least number above 0 that float32 has."""


def layers_of(model):
    """The weights, to be changed."""
    return [(weight.clone(), bias.clone()) for weight, bias in model.float64_layers()]


def again(model, layers, **changed):
    """The network with other weights, read by the same conventions but for those changed."""
    settings = {
        "act_fn": model.cfg.act_fns,
        "out_act_fn": model.cfg.out_act_fn,
        "decision_threshold": model.cfg.decision_threshold,
        "target": model.cfg.target,
        "dtype": "float64",
    }
    return HookedMLP.from_weights(layers, **settings | changed)


def outputs_times(model, factor):
    """Readout and threshold times a factor: the same decisions by outputs of another size."""
    *hidden, (weight, bias) = layers_of(model)
    threshold = model.cfg.decision_threshold * factor
    layers = [*hidden, (weight * factor, bias * factor)]
    return again(model, layers, decision_threshold=threshold)


def units_times(model, factor):
    """A relu layer times a factor, which the next one takes back."""
    (weight, bias), (after, shift), *rest = layers_of(model)
    return again(model, [(weight * factor, bias * factor), (after / factor, shift), *rest])


def inputs_times(model, factor):
    """Input levels times a factor, which the first layer takes back."""
    (weight, bias), *rest = layers_of(model)
    levels = [level * factor for level in model.cfg.input_levels]
    return again(model, [(weight / factor, bias), *rest], input_levels=levels)


CHANGES = {"outputs": outputs_times, "units": units_times, "inputs": inputs_times}


@pytest.fixture(scope="module")
def network():
    """A 2-3-1 network with weights that are no round numbers."""
    return random_network(4, sizes=(2, 3, 1), dtype="float64", decision_threshold=0.0)


@pytest.mark.parametrize("factor", [*FACTORS, 2.0**-600])
def test_methods_are_scored_alike(network, factor):
    """How far a method agrees with patching in sign and order hangs on no unit of measure."""
    before = score_methods(network, progress=False).frame()
    after = score_methods(outputs_times(network, factor), progress=False).frame()
    assert before["sign_agreement"].between(0, 0.999).any()
    before["mean_abs_error"] *= factor
    assert before.equals(after)


@pytest.mark.parametrize("factor", [*FACTORS, 1.0])
def test_values_are_matched_exactly(textbook, factor):
    """An output is the predicted 0 or 1 where it is in exact arithmetic, however small all outputs
    are.
    """
    readout = Fraction(factor), -2 * Fraction(factor)
    n_exact = dict.fromkeys(["either", "both"], 0)
    for base, source in product(product((0, 1), repeat=2), repeat=2):
        for unit, name in enumerate(n_exact):
            taken = [base, base]
            taken[unit] = source
            units = sum(taken[0]), max(sum(taken[1]) - 1, 0)
            either, both = max(taken[0]), min(taken[1])
            predicted = int(either and not both)
            n_exact[name] += sum(w * h for w, h in zip(readout, units, strict=True)) == predicted
    model = outputs_times(textbook, factor)
    places = {"either": "h0.0", "both": "h0.1"}
    found = interchange_accuracy(model, OR_AND, places, joint=False, progress=False)
    assert found.n_matched_value == n_exact


def test_a_subspace_is_found_at_any_scale():
    """DAS finds the direction of a variable also where all outputs are tiny."""
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    layers = [(turn, [0.0, 0.0]), (torch.ones(1, 2, dtype=torch.float64) @ turn.T, [-1.5])]
    model = HookedMLP.from_weights(layers, act_fn="identity", target="AND", dtype="float64")
    inputs = HighLevelModel({"first": "x0", "second": "x1"}, "first & second")
    small = outputs_times(model, 2.0**-100)
    hook = "blocks.0.mlp.hook_post"
    found = das_accuracy(small, inputs, "first", hook, epochs=15, progress=False)
    assert found.n_agreed["das"] == 16


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("factor", FACTORS)
def test_no_number_of_a_page_vanishes(textbook, change, factor):
    """Where the page of the ordinary network has a number, that of the other has none that reads as
    zero; and every zero stays one.
    """
    pages = [
        identify_circuit(model, progress=False).explain()
        for model in (textbook, CHANGES[change](textbook, factor))
    ]
    zeros = [
        [float(word) == 0 for word in page.replace("(", " ").replace(",", " ").split() if _is(word)]
        for page in (_without_levels(page) for page in pages)
    ]
    assert sum(zeros[0]) not in (0, len(zeros[0]))
    assert zeros[0] == zeros[1]


def _without_levels(page):
    """The page after its first line, which names other levels than 0 and 1; without colons."""
    return page.split("\n", 1)[1].replace(":", " ")


def _is(word):
    """Whether a word is a number with a point or a power of ten, and no row."""
    try:
        float(word)
    except ValueError:
        return False
    return "." in word or "e" in word


def test_numbers_are_written_so_that_they_show():
    """Decimals where they show two figures or more of a number, three figures elsewhere, and a zero
    without a sign.
    """
    written = {0.0: "0.00", 0.25: "0.25", -1.5: "-1.50", 4e-5: "4e-05"}
    written |= {1 / 3e9: "3.33e-10", 999999.0: "999999.00", 1e30: "1e+30", -1e-300: "-1e-300"}
    assert {number: number_text(number) for number in written} == written
    assert [number_text(x, decimals=3, signed=True) for x in (-0.0, 2.0, 2e-4)] == [
        "+0.000",
        "+2.000",
        "+0.0002",
    ]


def test_pictures_of_small_outputs_are_not_blank(network):
    """The plane and the heatmap of a network show the same, whatever its outputs' unit."""
    small = outputs_times(network, 2.0**-100)
    (before,), (after,) = (
        [trace.z for trace in input_plane(model, n_points=3).data if trace.type == "contour"]
        for model in (network, small)
    )
    ratio = torch.tensor(after) / torch.tensor(before) / 2.0**-100
    assert torch.allclose(ratio, torch.ones_like(ratio), rtol=0.01)
    texts = [patching_heatmap(patch_sweep(model)).data[0].text for model in (network, small)]
    is_zero = [
        [float(text.rstrip(" *")) == 0 for text in chain.from_iterable(each)] for each in texts
    ]
    assert is_zero[0] == is_zero[1]


def test_a_report_keeps_every_digit(network):
    """What stands in report.json is the number itself, however small."""
    small = outputs_times(network, 2.0**-40)
    written = json.loads(json.dumps(to_dict(find_out(small, progress=False)), allow_nan=False))
    values = activations(small).frame()["value"].tolist()
    assert [line["value"] for line in written["activations"]] == values
    assert 0 < min(map(abs, filter(None, values))) < 1e-12


# numbers given as lists


NARROW = [([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]), ([[1.0, -2.0]], [-0.5])]


def with_number(number):
    """The textbook's layers as lists, with another first weight."""
    (weight, bias), readout = NARROW
    return [([[number, 1.0], weight[1]], bias), readout]


@pytest.mark.parametrize("number", [1e-50, 1e-42, 1e39, 10**40])
def test_weights_in_lists_lose_nothing(number):
    """What float32 cannot hold makes a float64 network, and in a float32 one it is refused, with
    the number, what would become of it and the way out; what it can hold stays in float32.
    """
    assert HookedMLP.from_weights(NARROW).cfg.dtype == torch.float32
    model = HookedMLP.from_weights(with_number(number))
    assert (model.cfg.dtype, model.fc1.weight[0, 0].item()) == (torch.float64, float(number))
    said = f"fc1 has {number:g}, which float32 cannot hold.* dtype='float64'"
    for given in (with_number(number), model.float64_layers()):
        with pytest.raises(XorMiError, match=said.replace("+", "[+]")):
            HookedMLP.from_weights(given, dtype="float32")
    with pytest.raises(XorMiError, match="float32 cannot hold"):
        HookedMLP.from_weights(NARROW).with_weights(with_number(number))


def test_lists_in_a_float64_network_are_not_rounded_on_the_way():
    """0.1 in a list is Python's 0.1, as a weight, as an input, and as what replaces a value."""
    model = HookedMLP.from_weights(with_number(0.1), dtype="float64")
    assert model.fc1.weight[0, 0].item() == 0.1
    assert model([[0.1, 0.0]]).item() == 0.1 * 0.1 - 0.5
    assert activations(model, [[0.1, 0.0]]).rows == ("(0.1, 0.0)",)
    sweep = ablation_sweep(model, ["h0.0"], value=0.3, progress=False)
    assert sweep.after[0].tolist() == [0.3 - 0.5, 0.3 - 0.5, 0.3 - 0.5, 0.3 - 2 - 0.5]


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda model: model([[1e-50, 1.0]]), "the input has 1e-50"),
        (lambda model: model(np.array([[1e39, 1.0]])), r"the input has 1e\+39"),
        (lambda model: activations(model, [[0.5, 1e-50]]), "the input has 1e-50"),
        (lambda model: edit(model, {"fc1.bias[0]": 1e-50}), r"fc1.bias\[0\] has 1e-50"),
        (lambda model: ablation_sweep(model, value=1e-50), "the value has 1e-50"),
        (lambda model: HookedMLPConfig(input_levels=(1e-50, 1)), "input_levels has 1e-50"),
        (lambda model: HookedMLPConfig(decision_threshold=1e39), r"decision_threshold has 1e\+39"),
        (lambda model: from_gates(["OR", "AND"], input_levels=(0, 1e-39)), "has 1e"),
    ],
)
def test_what_float32_cannot_hold_is_refused_everywhere(call, what, textbook):
    """Inputs, values, edits, levels and thresholds say so in one sentence, instead of being 0 or
    infinite.
    """
    with pytest.raises(XorMiError, match=f"{what}.* float32 cannot hold: it would become"):
        call(textbook)


def test_an_example_of_small_outputs_is_checked(textbook):
    """Outputs of a millionth that are printed with three digits fit the right layout, and not the
    other one, as those of the ordinary network do.
    """
    (_, bias), readout = NARROW
    layers = [([[1.0, 3.0], [2.0, 1.0]], bias), readout]
    for factor in (1.0, 2.0**-23, 2.0**-100):
        small = [layers[0], tuple([torch.tensor(one).double() * factor for one in readout])]
        model = HookedMLP.from_weights(small, dtype="float64")
        outputs = [[float(f"{one:.3g}")] for one in model(model.rows())[:, 0].tolist()]
        example = (model.rows(), outputs)
        assert HookedMLP.from_weights(small, dtype="float64", example=example)
        turned = [(torch.tensor(small[0][0]).T, bias), small[1]]
        with pytest.raises(XorMiError, match="the example"):
            HookedMLP.from_weights(turned, dtype="float64", example=example)


# tolerances of tests


@pytest.mark.parametrize("factor", [1.0, *FACTORS])
def test_assertions_on_small_outputs_can_fail(textbook, factor):
    """An effect that is wrong by a half, and a margin that lost a tenth, are found at every scale;
    what is right passes.
    """
    model = outputs_times(textbook, factor)
    *hidden, readout = layers_of(model)
    nearer = again(model, [*hidden, readout], decision_threshold=0.45 * factor)
    assert_patch_effect(model, "01", "11", "h0.1", effect=2 * factor)
    assert_same_circuit(model, model, tolerance=1e-6)
    with pytest.raises(AssertionError, match="effect: expected"):
        assert_patch_effect(model, "01", "11", "h0.1", effect=3 * factor)
    with pytest.raises(AssertionError, match="effect: expected 0"):
        assert_patch_effect(model, "01", "11", "h0.1", effect=0)
    with pytest.raises(AssertionError, match="worst margin"):
        assert_same_circuit(nearer, model, tolerance=1e-6)


# networks by hand, and what is in the way of trained ones


@pytest.mark.parametrize("factor", [2.0**-120, *FACTORS])
def test_gates_are_compiled_at_every_level(factor):
    """Levels times a factor give the first layer divided by it, and nothing else changes."""
    usual = from_gates(["OR", "NAND"], "XOR", input_levels=(-1, 1))
    other = from_gates(["OR", "NAND"], "XOR", input_levels=(-factor, factor))
    assert torch.equal(other.fc1.weight * factor, usual.fc1.weight)
    names = ("fc1.bias", "fc2.weight", "fc2.bias")
    assert all(torch.equal(other.state_dict()[one], usual.state_dict()[one]) for one in names)


def test_rounding_is_no_reason_for_another_readout():
    """A saturated unit that varies in its last digits alone tells no rows apart: a readout that
    lives on these is none, though in exact arithmetic a line would do.
    """
    layers = [([[0.1, 0.1], [1.0, 1.0]], [-0.1, 15.0]), ([[1.0, 1.0]], [0.0])]
    model = HookedMLP.from_weights(layers, act_fn="tanh", target="XOR", dtype="float64")
    _, (low, high, _, highest) = activations(model)["blocks.0.mlp.hook_post"].T.tolist()
    assert low < high < highest < low + 1e-12
    shortfall = diagnose(model).shortfall
    assert [unit.name for unit, _ in shortfall.constant] == ["h0.1"]
    assert shortfall.readout_exists is False


@pytest.mark.parametrize("factor", [1.0, *FACTORS, 2.0**-130, LEAST])
def test_a_threshold_is_found_between_outputs_of_any_size(textbook, factor):
    """The threshold that makes the network compute its target is halfway; where float32 has no
    number there, none is found.
    """
    *hidden, (weight, bias) = layers_of(outputs_times(textbook, factor))
    raised = [*hidden, (weight, bias + 8 * factor)]
    model = HookedMLP.from_weights(raised, dtype="float32", target="XOR", decision_threshold=0)
    found = [one.value for one in diagnose(model).answers if one.kind == "decision_threshold"]
    assert found == ([] if factor == LEAST else [8.5 * factor])
