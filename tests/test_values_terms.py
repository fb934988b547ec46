"""Reading values, comparing two inputs, and explaining a difference with nothing left over."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.geometry import input_plane
from xor_mi.handmade import from_gates, textbook_xor
from xor_mi.interventions import patch_sweep
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.terms import contributions, explain_difference
from xor_mi.values import activations, compare, forward_float64


def test_forward_float64_agrees_with_the_hooked_forward(deep):
    """Two ways to run the network: plain float64 arithmetic and the hooks."""
    _, cache = deep.run_with_cache(deep.rows())
    layers = forward_float64(deep, deep.rows())
    for layer in range(2):
        assert torch.allclose(layers[layer].pre.float(), cache["pre", layer], atol=1e-6)
        assert torch.allclose(layers[layer].post.float(), cache["post", layer], atol=1e-6)
    assert torch.allclose(layers[-1].post.float(), cache["hook_logits"], atol=1e-6)
    assert torch.equal(forward_float64(deep, layers[0].post, start=1)[-1].post, layers[-1].post)


def test_activations_name_every_value(textbook):
    """The tidy frame has one line per row, hook and unit; the table has the golden values."""
    found = activations(textbook)
    assert found.rows == ("00", "01", "10", "11")
    assert len(found.frame()) == 4 * (2 + 2 + 2 + 1)
    table = found.wide_frame()
    assert list(table.columns) == [
        "x0 embed",
        "x1 embed",
        "h0.0 pre",
        "h0.1 pre",
        "h0.0 post",
        "h0.1 post",
        "y0 logits",
    ]
    assert table["h0.1 pre"].tolist() == [-1, 0, 0, 1]
    assert table["y0 logits"].tolist() == [0, 1, 1, 0]
    assert activations(textbook, ["11"])["hook_logits"].tolist() == [[0]]


@pytest.mark.unchecked
@pytest.mark.parametrize("asked", ["blocks.0.mlp.hook_pots", ("post", 0), ["hook_logits"], 3])
def test_a_hook_that_activations_do_not_have_is_answered_with_those_they_have(textbook, asked):
    """By name, as every other finding answers; a value without a hash too."""
    with pytest.raises(XorMiError, match="no hook '.*; by full name .*: hook_embed, blocks.0.mlp"):
        activations(textbook)[asked]


def test_an_output_activation_has_its_own_column():
    """A sigmoid output is shown before and after."""
    columns = activations(HookedMLP(HookedMLPConfig(out_act_fn="sigmoid"))).wide_frame().columns
    assert list(columns)[-2:] == ["y0 readout", "y0 logits"]


def test_compare_or_and_network_agrees_only_at_the_output(textbook):
    """[0,0] and [1,1] in the textbook network: every hidden value differs, the output is the
    same.
    """
    found = compare(textbook, [0, 0], [1, 1])
    assert found.same_decision
    assert found.decision_a == (0,)
    assert found.differing == ["h0.0 pre", "h0.1 pre", "h0.0 post", "h0.1 post"]
    frame = found.frame()
    assert list(frame.columns) == ["hook", "unit", "value_a", "value_b", "difference", "same"]
    assert frame.set_index(["hook", "unit"]).loc[("hook_logits", "y0")].tolist() == [
        0.0,
        0.0,
        0.0,
        True,
    ]


@pytest.mark.unchecked
def test_two_networks_in_place_of_two_inputs_are_refused(textbook):
    """The message says what compares networks; with one input it says that two are needed."""
    for networks in ((textbook,), (textbook, "00")):
        with pytest.raises(XorMiError, match=r"two inputs of one network, not two .*_same_circuit"):
            compare(textbook, *networks)
    with pytest.raises(
        XorMiError, match=r"compare\(model, a, b\) takes two inputs .* not one input"
    ):
        compare(textbook, "00")


def test_compare_one_sided_network_is_alike_inside():
    """{x0>x1, x1>x0}: the rows of fc1 cancel, so [0,0] and [1,1] look alike at every hidden value,
    as the old notebook saw.
    """
    found = compare(from_gates(["x0>x1", "x1>x0"]), "00", "11")
    assert found.same_decision
    assert found.differing == []
    assert "no hidden value tells them apart" in str(found)


def test_compare_on_a_trained_network(trained):
    """Equal decisions, different hidden values; the other pair [0,0], [0,1] is decided
    differently.
    """
    assert compare(trained.model, "00", "11").same_decision
    assert compare(trained.model, "00", "11").differing
    assert not compare(trained.model, "00", "01").same_decision


def test_an_undecided_output_is_not_the_same_decision():
    """Two outputs exactly on the threshold are not called alike."""
    model = HookedMLP.from_weights([([[1, 1]], [0]), ([[0]], [0])])
    assert compare(model, "00", "11").decision_a == (-1,)
    assert not compare(model, "00", "11").same_decision


def test_contributions_by_hand(counted):
    """W * x on weights 1 to 9; the readout's terms use the hidden activations."""
    found = contributions(counted, ["11", "01"])
    assert found[0].tolist() == [[[1, -2], [3, 4]], [[0, -2], [0, 4]]]
    assert found[1].tolist() == [[[28, -8]], [[21, 0]]]
    frame = found.frame()
    y0 = frame[(frame["row"] == "11") & (frame["target"] == "y0")]
    assert dict(zip(y0["source"], y0["term"], strict=True)) == {"h0.0": 28, "h0.1": -8, "bias": 9}
    assert set(y0["pre_activation"]) == {29}


def test_textbook_contributions_are_the_golden_ones(textbook):
    """w * h on the four rows: (0,0), (1,0), (1,0), (2,-2)."""
    assert contributions(textbook)[1][:, 0].tolist() == [[0, 0], [1, 0], [1, 0], [2, -2]]


weights = st.floats(-4, 4, allow_nan=False, width=32)


@st.composite
def networks(draw):
    """Weights and settings of a network of random shape."""
    sizes = [
        draw(st.integers(1, 3)),
        *draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)),
        draw(st.integers(1, 2)),
    ]
    layers = []
    for d_in, d_out in pairwise(sizes):
        row = st.lists(weights, min_size=d_in, max_size=d_in)
        layers.append(
            (
                draw(st.lists(row, min_size=d_out, max_size=d_out)),
                draw(st.lists(weights, min_size=d_out, max_size=d_out)),
            )
        )
    return layers, {
        "act_fn": draw(st.sampled_from(["relu", "tanh", "leaky_relu", "gelu"])),
        "out_act_fn": draw(st.sampled_from(["identity", "sigmoid"])),
    }


@given(networks())
@settings(deadline=None, max_examples=40)
def test_contributions_sum_to_the_pre_activation(network):
    """For any network: terms plus bias is the pre-activation, against NumPy, to 1e-12 in
    float64.
    """
    model = HookedMLP.from_weights(network[0], **network[1])
    found = contributions(model)
    value = model.rows().double().numpy()
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        pre = value @ weight.numpy().T + bias.numpy()
        assert np.allclose(found[layer].sum(-1).numpy() + bias.numpy(), pre, atol=1e-12)
        value = model.activate(torch.tensor(pre), layer).numpy()


@given(networks(), st.integers(0, 7), st.integers(0, 7))
@settings(deadline=None, max_examples=40)
def test_a_difference_is_explained_with_nothing_left_over(network, i, j):
    """Each pre-activation's change is its edges' sum, each edge's term is weight times its source's
    change, for any two inputs.
    """
    model = HookedMLP.from_weights(network[0], **network[1])
    rows = model.rows()
    a, b = rows[i % len(rows)].tolist(), rows[j % len(rows)].tolist()
    found = explain_difference(model, a, b)
    assert found.leftover < 1e-12
    changes = dict(zip(found.units["unit"], found.units["post_change"], strict=True)) | {
        f"x{k}": b[k] - a[k] for k in range(len(a))
    }
    for line in found.edges.itertuples():
        assert line.term_change == pytest.approx(line.weight * changes[line.source], abs=1e-9)
    for unit in found.units.itertuples():
        assert found.edges[found.edges["target"] == unit.unit][
            "term_change"
        ].sum() == pytest.approx(unit.pre_change, abs=1e-9)
    exact = forward_float64(model, torch.tensor([a, b]))[-1]
    assert found.of_output()["term_change"].sum() == pytest.approx(
        (exact.pre[1] - exact.pre[0])[0].item(), abs=1e-9
    )


def test_why_01_to_11_turns_the_textbook_network_off(textbook):
    """Both hidden units rise by 1; the readout weighs them 1 and -2, so the output falls by 1."""
    found = explain_difference(textbook, "01", "11")
    assert found.of_output()["term_change"].tolist() == [1.0, -2.0]
    assert found.units.set_index("unit").loc["y0", "post_change"] == -1.0
    assert "y0: +1.000 (h0.0) -2.000 (h0.1) = -1.000" in str(found)
    assert found.frame().equals(found.edges)
    with pytest.raises(XorMiError, match="no output 1; this network has 1"):
        found.of_output(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: compare(m, [0, float("nan")], [1, 1]),
        lambda m: explain_difference(m, "000", "111"),
        lambda m: contributions(m, ["0x"]),
        lambda m: contributions(m, torch.tensor(1.0)),
    ],
)
def test_inputs_that_are_no_bits_are_refused(textbook, call):
    """Values and widths are checked before anything runs."""
    with pytest.raises(XorMiError, match=r"not a bit|not bits|has 3 bits|NaN|one number"):
        call(textbook)


@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1.0, 1e8])
def test_what_differs_does_not_hang_on_the_size_of_the_weights(scale):
    """A first layer scaled by any number tells the same inputs apart."""
    model = textbook_xor()
    (weight, bias), readout = model.float64_layers()
    scaled = model.with_weights([(weight * scale, bias * scale), readout], dtype=torch.float64)
    assert compare(scaled, "00", "11").differing == compare(model, "00", "11").differing


def test_inputs_between_the_levels():
    """Numbers that are not bits are what the network is run on: the terms add up to the values, and
    those to NumPy's, on every kind of input alike.
    """
    model = textbook_xor()
    a, b = [0.25, 1.0], [0.5, -2.0]
    for rows in ([a, b], np.array([a, b]), torch.tensor([a, b])):
        values = activations(model, rows)
        pre = np.array([a, b]) @ np.ones((2, 2)) + np.array([0, -1])
        assert values.rows == ("(0.25, 1.0)", "(0.5, -2.0)")
        assert np.allclose(values["blocks.0.mlp.hook_pre"], pre)
        terms = contributions(model, rows)
        out = np.maximum(pre, 0) @ np.array([1, -2])
        assert np.allclose(terms[1].sum(-1).numpy().ravel(), out)
    compared = compare(model, a, torch.tensor(b))
    assert (compared.a, compared.b) == ("(0.25, 1.0)", "(0.5, -2.0)")
    changed = explain_difference(model, a, np.array(b)).units.set_index("unit")
    assert changed.loc["y0", "post_change"] == pytest.approx(out[1] - out[0])


@pytest.mark.parametrize(
    "call",
    [
        activations,
        contributions,
        lambda m: compare(m, "00", "11"),
        lambda m: explain_difference(m, "00", "11"),
    ],
)
def test_train_mode_is_refused(textbook, call):
    """An analysis of a network in train mode says to call eval."""
    textbook.train()
    with pytest.raises(XorMiError, match="call model.eval"):
        call(textbook)


@pytest.mark.parametrize(
    "call",
    [
        activations,
        contributions,
        lambda m: compare(m, "00", "11"),
        lambda m: explain_difference(m, "00", "11"),
        patch_sweep,
        input_plane,
        identify_circuit,
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_every_analysis_refuses_weights_that_are_not_finite(textbook, call, value):
    """One NaN or infinite weight is named, whichever analysis is asked."""
    with torch.no_grad():
        textbook.fc2.weight[0, 1] = value
    with pytest.raises(XorMiError, match="fc2.weight has NaN or infinite"):
        call(textbook)


def test_an_overflowing_network_is_not_decided():
    """Finite weights whose outputs are not: undecided, and patching says so instead of giving
    numbers.
    """
    huge = [
        (
            torch.tensor([[1e200, 1e200], [1e200, 1e200]], dtype=torch.float64),
            torch.zeros(2).double(),
        )
    ]
    model = HookedMLP.from_weights(
        [*huge, (torch.tensor([[1e200, -2e200]], dtype=torch.float64), torch.zeros(1).double())]
    )
    assert (decisions(model) == -1).any()
    with pytest.raises(XorMiError, match="metric 'logit' is nan on example 1 and 2 more"):
        patch_sweep(model)


def test_comparing_an_input_with_itself_is_refused(textbook):
    """There is nothing to compare; rows given twice or out of order keep their order in a table."""
    with pytest.raises(XorMiError, match="both inputs are 01"):
        compare(textbook, "01", [0, 1])
    assert activations(textbook, ["11", "00"]).wide_frame().index.tolist() == ["11", "00"]


def test_a_trained_one_sided_network_looks_alike_inside(population):
    """{x0>x1, x1>x0}, the commonest family: on [0,0] and [1,1] training made the rows of fc1
    cancel, so both units are (nearly) off on both.
    """
    index = next(
        i
        for i in range(500)
        if population.solved[i] and identify_circuit(population[i]).gate_set == "{x0>x1, x1>x0}"
    )
    found = compare(population[index], "00", "11")
    assert found.same_decision
    post = found.frame().query("hook.str.endswith('post')")["difference"].abs().max()
    largest = activations(population[index])["blocks.0.mlp.hook_post"].max().item()
    assert post < 0.05 * largest
