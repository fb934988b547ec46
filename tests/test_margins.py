"""Conditions and slack: against brute force over random weights, hand arithmetic and
scans.
"""

import copy
import re

import numpy as np
import pytest
import torch
from networks import random_network

from xor_mi.errors import XorMiError
from xor_mi.geometry import boundary
from xor_mi.handmade import edit, from_formula, from_gates, textbook_xor
from xor_mi.margins import conditions, move_weight, slack_to_flip, weight_symbols
from xor_mi.metrics import decision
from xor_mi.model import ACTIVATIONS, HookedMLP, HookedMLPConfig
from xor_mi.training import train
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

OUTPUTS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "heaviside", "softplus")
KINDS = [(act, "identity") for act in ACTIVATIONS] + [
    (act, out) for act in ("relu", "tanh") for out in OUTPUTS
]


def decided(model):
    """The network's decisions on all rows."""
    return decision(model(model.rows()), threshold=model.threshold)


def number_of(model, parameter):
    """The entry's value, found by evaluating its name on the model."""
    name, index = re.fullmatch(r"(.*)\[(.*)\]", parameter).groups()
    return model.get_parameter(name)[tuple(map(int, index.split(",")))].item()


def number_into(model, parameter, value):
    """The entry of this name set to a value, in place."""
    name, index = re.fullmatch(r"(.*)\[(.*)\]", parameter).groups()
    with torch.no_grad():
        model.get_parameter(name)[tuple(map(int, index.split(",")))] = value


# conditions


@pytest.mark.parametrize(("act_fn", "out_act_fn"), KINDS)
def test_all_satisfied_exactly_when_the_network_computes_the_target(act_fn, out_act_fn):
    """Random 2-3-1 networks, each held against what it decides and against XOR: all conditions hold
    exactly if all rows are decided so.
    """
    held = failed = 0
    for seed in range(12):
        model = random_network(
            seed,
            act_fn,
            out_act_fn,
            sizes=(2, 3, 1),
            decision_threshold={"sigmoid": 0.45, "heaviside": 0.5}.get(out_act_fn, 0.1),
        )
        own = tuple(decided(model)[:, 0].tolist())
        for target in ("XOR", *([f"{''.join(map(str, own))}"] if -1 not in own else [])):
            goal = (0, 1, 1, 0) if target == "XOR" else own
            held_against = conditions(model, BooleanFunction(2, goal))
            frame = held_against.frame()
            assert len(frame) == len(held_against) == 4
            assert frame["satisfied"].all() == held_against.all_satisfied == (own == goal)
            assert ((frame["slack"] > 0) == frame["satisfied"]).all()
            held, failed = held + (own == goal), failed + (own != goal)
    assert min(held, failed) > 5


def test_the_textbook_s_conditions_by_hand(textbook):
    """Row 11 of XOR in the notebook's symbols, in numbers, with value, slack and pattern."""
    frame = conditions(textbook).frame()
    assert frame.columns.tolist() == [
        "row",
        "place",
        "kind",
        "inequality",
        "numbers",
        "value",
        "slack",
        "satisfied",
        "pattern",
    ]
    assert frame.iloc[3].tolist() == [
        "11", "y0", "decision", "v1*(w11 + w12 + b1) + v2*(w21 + w22 + b2) + c < 0.5", "1*(1 + 1 + 0) - 2*(1 + 1 - 1) + 0 < 0.5",
        0.0, 0.5, True, "on: h0.0 + h0.1",
    ]  # fmt: skip
    assert frame["inequality"].tolist()[:3] == [
        "c < 0.5",
        "v1*(w12 + b1) + c > 0.5",
        "v1*(w11 + b1) + c > 0.5",
    ]


def test_the_notebook_s_network_needs_row_sums_near_zero():
    """{x0>x1, x1>x0}: on 11 both units are off because w11 + w12 + b1 <= 0, so the output is c
    alone, which must be negative.
    """
    model = HookedMLP.from_weights([([[2, -2], [-2, 2]], [0, 0]), ([[1, 1]], [-1])], target="XOR")
    frame = conditions(model, per_unit=True).frame()
    row = frame[frame["row"] == "11"]
    assert row["inequality"].tolist() == ["c < 0", "w11 + w12 + b1 <= 0", "w21 + w22 + b2 <= 0"]
    assert row["value"].tolist() == [-1, 0, 0]
    assert frame["satisfied"].all()


@pytest.mark.parametrize("act_fn", ["relu", "leaky_relu", "heaviside", "identity", "tanh"])
@pytest.mark.parametrize("sizes", [(2, 2, 1), (2, 3, 2), (3, 3, 2, 2)])
def test_symbols_and_numbers_evaluate_to_the_value(act_fn, sizes):
    """Python's own evaluation of the inequality, with each symbol put to its parameter, gives
    value, and the printed numbers give it roughly.
    """
    model = random_network(7, act_fn, sizes=sizes, negative_slope=0.25)
    target = ", ".join(["x0 ^ x1"] * sizes[-1])
    held = conditions(model, BooleanFunction.from_formula(target, n_inputs=sizes[0]), per_unit=True)
    symbols = {symbol: number_of(model, parameter) for symbol, parameter in held.symbols.items()}
    assert len(symbols) == sum(p.numel() for p in model.parameters())
    for line in held.frame().to_dict("records"):
        left, sign, bound = re.fullmatch(r"(.*) (<=|<|>) (\S+)", line["inequality"]).groups()
        value = eval(left, {"tanh": np.tanh}, symbols)
        assert value == pytest.approx(line["value"], abs=1e-9)
        assert line["slack"] == pytest.approx(
            (value - float(bound)) * (1 if sign == ">" else -1), abs=1e-9
        )
        if line["kind"] == "decision":
            k, row = int(line["place"][1:]), [float(bit) for bit in line["row"]]
            assert model([row])[0, k].item() == pytest.approx(value, abs=1e-6)
        roughly = eval(re.fullmatch(r"(.*) (<=|<|>) (\S+)", line["numbers"])[1], {"tanh": np.tanh})
        assert roughly == pytest.approx(value, abs=0.02)


def test_near_another_network_all_satisfied_is_sufficient(textbook):
    """Edited networks held against the textbook's pattern: where all conditions hold, XOR is
    computed; where the pattern is lost, it shows.
    """
    rng = np.random.default_rng(0)
    start = {name: number_of(textbook, name) for name in conditions(textbook).symbols.values()}
    own_pattern = conditions(textbook, per_unit=True).frame()["pattern"].tolist()
    sufficient = lost = 0
    for _ in range(150):
        moved = {name: value + rng.normal() * 0.4 for name, value in start.items()}
        model = edit(textbook, moved)
        frame = conditions(model, near=textbook).frame()
        pattern_kept = frame[frame["kind"] == "unit"]["satisfied"].all()
        pattern = conditions(model, per_unit=True).frame()["pattern"].tolist()
        assert pattern_kept == (pattern == own_pattern)
        computes = decided(model).flatten().tolist() == [0, 1, 1, 0]
        if pattern_kept:
            assert frame["satisfied"].all() == computes
            sufficient += computes
        lost += not pattern_kept
    assert sufficient >= 2
    assert lost > 20


def test_wide_and_deep_conditions_stay_readable():
    """Above 400 characters an inequality is written over the last layer's units; indices above 9
    are told apart.
    """
    model = random_network(1, "tanh", sizes=(4, 11, 11, 1))
    held = conditions(model, "x0 ^ x1 ^ x2 ^ x3")
    frame = held.frame()
    assert frame["inequality"].str.len().max() < 1000
    assert frame["inequality"][0].startswith("v1*h1.0 + v2*h1.1")
    assert frame["inequality"][0].endswith(" 0")
    assert {"w1_11", "w1_11_1", "w2_11", "w2_1_11", "w2_11_1", "w2_11_11"} <= set(held.symbols)
    assert held.symbols["w1_11_1"] == "fc1.weight[10, 0]"
    assert len(held.symbols) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("sizes", "direct", "names"),
    [
        ((2, 2, 1), False, "w11 w12 w21 w22 b1 b2 v1 v2 c"),
        ((2, 1, 1), True, "w11 w12 b1 v1 u1 u2 c"),
        ((2, 1, 2), False, "w11 w12 b1 v11 v21 c1 c2"),
        ((2, 2, 1, 1), False, "w1_11 w1_12 w1_21 w1_22 b1_1 b1_2 w2_11 w2_12 b2_1 v1 c"),
    ],
)
def test_every_weight_has_one_short_name(sizes, direct, names):
    """Names written by hand, in the order of the layers; each stands for another number."""
    cfg = HookedMLPConfig(
        d_in=sizes[0], d_hidden=list(sizes[1:-1]), d_out=sizes[-1], direct=direct, seed=0
    )
    model = HookedMLP(cfg)
    symbols = weight_symbols(model)
    assert list(symbols) == names.split()
    numbers = {number_of(model, parameter) for parameter in symbols.values()}
    assert numbers == {one.item() for tensor in model.parameters() for one in tensor.flatten()}


def test_conditions_refuse_what_they_cannot_hold_a_network_against(textbook, counted):
    """No target, another width, another shape for the pattern."""
    with pytest.raises(XorMiError, match="this network has no target"):
        conditions(counted)
    with pytest.raises(XorMiError, match="the target has 2 outputs; the network has 1"):
        conditions(textbook, "x0 & x1, x0 | x1")
    with pytest.raises(XorMiError, match="near is a network of"):
        conditions(textbook, near=random_network(0, sizes=(2, 3, 1)))


# slack


def test_the_textbook_s_slack_by_hand(textbook):
    """h = relu(x0 + x1), relu(x0 + x1 - 1), y = h0 - 2 h1 > 0.5: b2 up by a quarter lifts h1 on 01
    and 10 to 0.25; w22 likewise.
    """
    frame = slack_to_flip(textbook).frame().set_index("parameter")
    assert frame.loc[
        "fc1.bias[1]", ["lower", "upper", "slack", "row_lower", "row_upper"]
    ].tolist() == [-1.25, -0.75, 0.25, "11", "01, 10"]
    assert frame.loc["fc2.weight[0, 1]", ["lower", "upper", "row_lower", "row_upper"]].tolist() == [
        -np.inf,
        -1.5,
        "",
        "11",
    ]
    assert frame.loc["fc2.bias[0]", ["lower", "upper", "row_lower", "row_upper"]].tolist() == [
        -0.5,
        0.5,
        "01, 10",
        "00, 11",
    ]
    assert len(frame) == 9
    assert slack_to_flip(textbook).tolerance == 0


@pytest.mark.parametrize(("act_fn", "out_act_fn"), KINDS)
@pytest.mark.parametrize("sizes", [(2, 3, 2, 2)])
def test_slack_against_a_scan_of_every_weight(act_fn, out_act_fn, sizes):
    """Each weight moved by hand to a dozen values: all inside the interval keep every decision, and
    beyond its ends the named row flips.
    """
    threshold = {"sigmoid": 0.45, "heaviside": 0.5, "relu": 0.1}.get(out_act_fn, 0.05)
    model = random_network(
        3, act_fn, out_act_fn, sizes=sizes, decision_threshold=threshold, negative_slope=0.2
    )
    rows = model.rows()
    before, finite, moved = decided(model), 0, copy.deepcopy(model)
    for line in slack_to_flip(model).frame().to_dict("records"):
        for side, end in ((-1, line["down"]), (1, line["up"])):
            moves = torch.linspace(0, 8, 9, dtype=torch.float64).tolist() + (
                [end - 1e-7, end + 1e-6] if end < 1e3 else []
            )
            for move in moves:
                number_into(moved, line["parameter"], line["value"] + side * move)
                flips = decision(moved(rows), threshold=model.threshold) != before
                if move < end - 1e-8:
                    assert not flips.any(), (line, move)
                elif move == end + 1e-6:
                    suffix = "upper" if side > 0 else "lower"
                    finite += 1
                    assert flips.any(), line
                    flipped = {
                        "".join(str(int(bit)) for bit in rows[r].tolist())
                        for r in flips.any(1).nonzero().flatten().tolist()
                    }
                    assert flipped & set(line[f"row_{suffix}"].split(", "))
                    assert {f"y{k}" for k in flips.any(0).nonzero().flatten().tolist()} & set(
                        line[f"output_{suffix}"].split(", ")
                    )
            number_into(moved, line["parameter"], line["value"])
    assert finite > 5


def test_one_parameter_or_one_tensor_or_some_rows(trained):
    """The lines asked for are those of the whole table; fewer rows never give less slack."""
    model = trained.model
    whole = slack_to_flip(model).frame().set_index("parameter")
    assert slack_to_flip(model, "x1->h0.0").frame().set_index("parameter")["slack"].tolist() == [
        whole.loc["fc1.weight[0, 1]", "slack"]
    ]
    assert (
        slack_to_flip(model, "fc2.weight").frame()["slack"].tolist()
        == whole.loc[["fc2.weight[0, 0]", "fc2.weight[0, 1]"], "slack"].tolist()
    )
    assert (
        slack_to_flip(model, rows=["01"]).frame().set_index("parameter")["slack"] >= whole["slack"]
    ).all()


def test_a_tie_has_no_slack():
    """An output on the threshold is taken off it by any move; one that stays there is no change."""
    model = HookedMLP.from_weights([([[1.0]], [0.0]), ([[1.0]], [0.0])])
    frame = slack_to_flip(model).frame().set_index("parameter")
    assert frame.loc["fc2.bias[0]", "slack"] == 0
    assert frame.loc["fc1.bias[0]", ["down", "up"]].tolist() == [
        1.0,
        0.0,
    ]  # row 0 stays at 0 below, row 1 flips at -1
    assert frame.loc["fc2.weight[0, 0]", ["down", "row_lower"]].tolist() == [1.0, "1"]


def test_compiled_and_trained_networks_have_slack():
    """Networks that compute their target with room: every slack is positive, and half of it leaves
    all conditions satisfied.
    """
    for model in (
        from_formula("x0 ^ x1 ^ x2"),
        from_gates(["OR", "AND"]),
        textbook_xor(),
        train("XOR", seed=29).model,
    ):
        assert conditions(model).all_satisfied
        for line in slack_to_flip(model).frame().to_dict("records"):
            assert line["slack"] > 0
            if np.isfinite(line["slack"]):
                for side in (-0.5, 0.5):
                    assert conditions(
                        edit(model, {line["parameter"]: line["value"] + side * line["slack"]})
                    ).all_satisfied


def test_slack_refuses_what_the_network_does_not_have(textbook):
    """A parameter, rows."""
    with pytest.raises(XorMiError, match="no parameter 'fc9.bias"):
        slack_to_flip(textbook, "fc9.bias[0]")
    with pytest.raises(XorMiError, match="is not a bit"):
        slack_to_flip(textbook, rows=["02"])


# a weight moved


def test_a_moved_weight_goes_past_both_ends_of_its_slack(textbook):
    """c of the textbook network may go from -0.5 to 0.5; it is moved from -0.75 to 0.75, and each
    step is the network with that weight.
    """
    sweep = move_weight(textbook, "fc2.bias[0]", n_steps=7)
    assert sweep.values == pytest.approx([-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75])
    assert (sweep.start, sweep.values[sweep.start]) == (3, 0)
    assert (sweep.slack.lower, sweep.slack.upper) == (-0.5, 0.5)
    for step, model in enumerate(sweep.models):
        outputs = torch.tensor([[0.0], [1.0], [1.0], [0.0]]) + sweep.values[step]
        assert torch.allclose(sweep.outputs[step].float(), outputs)
        assert torch.equal(sweep.decisions[step], decided(model))
        assert sweep.conditions[step] == conditions(model)
        kept = torch.equal(sweep.decisions[step], decided(textbook))
        assert kept == (-0.5 < sweep.values[step] < 0.5)
        assert sweep.boundaries[step].segments.tolist() == boundary(model).segments.tolist()


def test_a_moved_weight_s_table_has_each_step_row_and_output():
    """Two outputs on four rows, and no plane of three inputs."""
    two = from_formula("x0 ^ x1, x0 & x1")
    frame = move_weight(two, n_steps=5).frame()
    assert len(frame) == frame["step"].nunique() * 4 * 2
    assert frame["place"].unique().tolist() == ["y0", "y1"]
    assert (frame["satisfied"] == (frame["slack"] > 0)).all()
    three = move_weight(from_formula("x0 & x1 & x2"), n_steps=3)
    assert (three.planes, three.boundaries) == ((), ())
    assert len(three.frame()) == len(three) * 8


def test_the_weight_that_may_move_least_is_moved(trained):
    """By default; the table of slack says which."""
    sweep = move_weight(trained.model, n_steps=2)
    slack = slack_to_flip(trained.model).frame().set_index("parameter")["slack"]
    assert sweep.parameter == slack.idxmin()
    assert sweep.slack.slack == slack.min()


@pytest.mark.unchecked
def test_a_weight_is_moved_in_at_least_two_steps(textbook, counted):
    """One step, no number, no target, no such weight."""
    for n_steps in (1, 2.5, True):
        with pytest.raises(XorMiError, match="n_steps must be a whole number of at least 2"):
            move_weight(textbook, n_steps=n_steps)
    with pytest.raises(XorMiError, match="this network has no target"):
        move_weight(counted)
    with pytest.raises(XorMiError, match="no parameter 'fc9.bias"):
        move_weight(textbook, "fc9.bias[0]")


def test_what_a_finding_of_margins_says(textbook):
    """One sentence each; failing conditions are listed."""
    weaker = edit(textbook, {"fc1.weight[0, 1]": 0.25})
    assert str(conditions(weaker, "XOR")).splitlines() == [
        "3 of 4 conditions for XOR hold",
        "  01 fails by 0.25: v1*(w12 + b1) + c > 0.5",
    ]
    # in float32 the next number below -0.5 is 2**-24 away
    rounded = edit(textbook, {"fc2.bias[0]": -0.5 - 2.0**-24})
    assert str(conditions(rounded, "XOR")).splitlines() == [
        "2 of 4 conditions for XOR hold",
        "  01 fails by rounding alone (6.0e-08): v1*(w12 + b1) + c > 0.5",
        "  10 fails by rounding alone (6.0e-08): v1*(w11 + b1) + c > 0.5",
    ]
    assert (
        str(slack_to_flip(textbook))
        == "fc1.weight[1, 0] = 1.00 may move least, by 0.25, of 9 weights"
    )
    assert "every decision is kept between -0.5 and 0.5" in str(
        move_weight(textbook, "fc2.bias[0]", n_steps=3)
    )


def test_flips_by_rounding_are_left_out_below_a_floor():
    """h is AND, and y0 = h - 1e-8: but for 11 only rounding decides. Exactly, b may be moved up by
    1e-8; what is no rounding takes 1: any of them moved down flips 11, and b moved up flips 00.
    """
    and_unit = ([[1.0, 1.0]], [-1.0])
    model = HookedMLP.from_weights([and_unit, ([[1.0]], [-1e-8])], target="AND")
    exact = slack_to_flip(model, progress=False)
    assert exact.smallest.slack == pytest.approx(1e-8, rel=1e-6)
    assert exact.n_left_out == 0
    slack = slack_to_flip(model, floor=1e-6, progress=False)
    never = float("inf")
    assert [weight.up for weight in slack] == pytest.approx([never, never, 1.0, never, never])
    assert [weight.down for weight in slack] == pytest.approx([1.0] * 5, rel=1e-6)
    assert {weight.row_lower for weight in slack} == {"11"}
    # all but v, which multiplies 0 on the other rows
    assert slack.n_left_out == 4
    moved = move_weight(model, progress=False)
    assert moved.slack.slack == pytest.approx(1.0, rel=1e-6)
    assert max(abs(value - moved.slack.value) for value in moved.values) > 1


@pytest.mark.unchecked
@pytest.mark.parametrize("floor", [-1e-9, float("inf"), float("nan")])
def test_a_floor_is_a_move(floor):
    """Less than none, or no number, is refused."""
    with pytest.raises(XorMiError, match="floor"):
        slack_to_flip(textbook_xor(), floor=floor)


def test_a_zero_of_a_condition_has_no_minus():
    """Weights and biases of -0.0, written in numbers as those of 0.0 are."""
    signed, plain = [
        HookedMLP.from_weights(
            [([[zero, 1], [1, zero]], [zero, zero]), ([[1, zero]], [zero])], target="XOR"
        )
        for zero in (-0.0, 0.0)
    ]
    written = [one.numbers for one in conditions(signed)]
    assert written == [one.numbers for one in conditions(plain)]
    assert not [text for text in written if re.search(r"-0(?![.\d])", text)]


def test_what_rounding_is_beside_values_of_a_step():
    """Sums of ten million before a sigmoid, which conditions compare, and before a step, which has
    values 0 and 1: a slack of a half is rounding beside the one, and not beside the other.
    """
    layers = [([[1, 1], [1, 1]], [0, -1]), ([[2e7, -4e7]], [-1e7])]
    made = [
        HookedMLP.from_weights(
            layers, out_act_fn=out, decision_threshold=0.5, dtype="float64", target="XOR"
        )
        for out in ("heaviside", "sigmoid")
    ]
    step, smooth = [conditions(model) for model in made]
    assert [one.slack for one in step] == [0.5] * 4
    # a sigmoid's sums: the largest is 2 * 4e7
    assert (step.scale, smooth.scale) == (1.0, 8e7)
