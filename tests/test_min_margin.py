"""`min_margin`: which circuits it leaves out, what is said where it leaves out all of them, and that
what is left does not hang on the last digits of the weights. Margins are worked out in NumPy.
"""

import json
import re
from functools import cache
from itertools import product

import numpy as np
import pytest
from oracles.cuts import cuts as all_cuts

from xor_mi import HookedMLP, Unit, identify_circuit, train_population
from xor_mi.circuits import MIN_MARGIN
from xor_mi.errors import XorMiError

pytestmark = pytest.mark.as_a_user

BITS = np.array(list(product((0.0, 1.0), repeat=2)))
ACTS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def xor_with_a_gap(gap, *more):
    """XOR of two units and these further ones, (weights, bias, readout): h0.0 is 0, gap, gap and
    1 + gap on the rows, and XOR asks for a threshold in the first step; h0.1 is AND.
    """
    weights = [[1, 1], [1, 1], *(unit[0] for unit in more)]
    biases = [gap - 1, -1, *(unit[1] for unit in more)]
    # two units of output for the gap, less one; where both are on, -2
    readout = [2 / gap, -2 * (1 + gap) / gap - 1, *(unit[2] for unit in more)]
    layers = [(weights, biases), ([readout], [-1])]
    return HookedMLP.from_weights(layers, target="XOR", dtype="float64")


def hidden_values(model):
    """[row, unit], in NumPy."""
    weight, bias = (part.numpy() for part in model.float64_layers()[0])
    return ACTS[model.cfg.act_fn](BITS @ weight.T + bias)


def cuts(column):
    """Bits -> margin, for every threshold between two neighbouring values of a unit."""
    return {cut.bits: cut.margin for cut in all_cuts(column) if cut.margin is not None}


def margin_of(model, circuit):
    """The smallest margin of a live unit."""
    values = hidden_values(model)
    hidden = [gate.unit for gate in circuit.netlist if not gate.unit.is_output]
    return min(cuts(values[:, u.index])[circuit.readings[0].of(u).bits] for u in hidden)


def rounded(model):
    """Weights rounded to bfloat16 and back."""
    layers = [(weight.bfloat16(), bias.bfloat16()) for weight, bias in model.float64_layers()]
    return model.with_weights(layers, dtype="float32")


SHORT = 600
"""Steps of training at most: those that solve XOR do so in fewer, mostly."""


@cache
def solved(act_fn, width):
    """Trained networks that compute XOR, each with the number of its steps."""
    settings = {"hidden": width, "act_fn": act_fn, "max_steps": SHORT}
    population = train_population("XOR", 20 if "relu" in act_fn else 12, **settings)
    indices = population.solved.nonzero().flatten().tolist()
    return [(population[index], int(population.steps[index])) for index in indices]


def passing(circuit):
    """The verdict and the netlists that it counts."""
    return circuit.verdict, {one.netlist for one in circuit.passing}


@pytest.mark.parametrize(("act_fn", "width"), [("leaky_relu", 3), ("tanh", 3)])
def test_circuits_below_the_margin_are_left_out_and_no_others(act_fn, width):
    """What is left is what has no live unit with a smaller margin, in the same order."""
    n_left_out = 0
    for model, _ in solved(act_fn, width)[:6]:
        everything = identify_circuit(model, min_margin=0, with_evidence=False).circuits
        margins = [margin_of(model, one) for one in everything]
        assert [one.smallest_margin for one in everything] == pytest.approx(margins)
        for min_margin in (0.05, 0.4):
            circuit = identify_circuit(model, min_margin=min_margin, with_evidence=False)
            pairs = zip(everything, margins, strict=True)
            left = [one.netlist for one, margin in pairs if margin >= min_margin]
            assert [one.netlist for one in circuit.circuits] == left
            assert (circuit.left_out is None) == bool(left)
            n_left_out += len(everything) - len(left)
    assert n_left_out > 0


def test_the_margin_of_an_idle_unit_does_not_matter():
    """A unit that no output depends on has a threshold in a gap of 0.0005: nothing is left out."""
    graded = ([1, 1.001], 0, 1e-3)  # 0, 1.001, 1 and 2.001
    model = xor_with_a_gap(0.5, graded)
    assert min(cuts(hidden_values(model)[:, 2]).values()) < 0.001
    circuit = identify_circuit(model, min_margin=0.3)
    assert circuit.verdict == "identified"
    assert [one.unit for one in circuit.circuits[0].idle] == [Unit(0, 2)]
    assert circuit.circuits[0].smallest_margin == pytest.approx(0.5 / 1.5)
    everything = identify_circuit(model, min_margin=0)
    assert "x1" in everything.units[2].could_be


@pytest.mark.parametrize("gap", [0.02, 0.2345678])
def test_where_only_the_margin_stands_in_the_way_the_obstacle_says_so(gap):
    """It names the unit, its gate and its margin, and the number that lets the circuit in does."""
    model = xor_with_a_gap(gap)
    margin = gap / (1 + gap)
    assert identify_circuit(model, min_margin=0).proof_level == "joint"
    circuit = identify_circuit(model, min_margin=max(MIN_MARGIN, margin + 0.001))
    assert circuit.verdict == "no_gate_reading"
    assert circuit.circuits == circuit.passing == ()
    assert circuit.left_out.formula == "(x0 | x1) & ~(x0 & x1)"
    obstacle = circuit.obstacle
    assert (obstacle.kind, obstacle.layer, obstacle.rows) == ("margin", 0, ())
    assert [(one.unit, one.gate, one.rows) for one in obstacle.units] == [(Unit(0, 0), "OR", ())]
    assert obstacle.units[0].margin == obstacle.lets_in == pytest.approx(margin)
    assert identify_circuit(model, min_margin=obstacle.lets_in).verdict == "identified"
    above = np.nextafter(obstacle.lets_in, 1)
    assert identify_circuit(model, min_margin=above).obstacle.kind == "margin"
    # the sentence rounds, and what it says works all the same
    assert "h0.0 is read as OR" in circuit.reason
    (named,) = re.findall(r"min_margin=([\d.]+) keeps", circuit.reason)
    assert identify_circuit(model, min_margin=float(named)).verdict == "identified"


def test_the_obstacle_speaks_of_the_circuit_that_is_proved_furthest():
    """Of several that are left out, the first is the one that comes first with min_margin=0."""
    n_seen = 0
    for model, _ in solved("tanh", 3):
        first = identify_circuit(model, min_margin=0).circuits[0]
        circuit = identify_circuit(model, min_margin=1)
        if circuit.left_out is None:
            continue
        n_seen += 1
        assert circuit.left_out.netlist == first.netlist
        assert circuit.obstacle.lets_in == first.smallest_margin
        too_small = {one.unit for one in circuit.obstacle.units}
        values, reading = hidden_values(model), first.readings[0]
        hidden = [gate.unit for gate in first.netlist if not gate.unit.is_output]
        assert too_small == {u for u in hidden if cuts(values[:, u.index])[reading.of(u).bits] < 1}
    assert n_seen > 0


def test_the_margin_is_kept_in_the_record(textbook):
    """Whatever the verdict is."""
    for model, min_margin, verdict in (
        (textbook, MIN_MARGIN, "identified"),
        (textbook, 0.25, "identified"),
        (textbook, 0.75, "no_gate_reading"),
    ):
        circuit = identify_circuit(model, min_margin=min_margin)
        assert circuit.verdict == verdict
        assert circuit.min_margin == min_margin
        assert json.loads(circuit.to_json())["min_margin"] == min_margin
    assert identify_circuit(textbook).min_margin == MIN_MARGIN


@pytest.mark.parametrize("wrong", [-0.01, 1.01, float("nan"), "small", True, None])
def test_a_margin_that_is_no_part_of_a_range_is_refused(textbook, wrong):
    """In one line that says what was given, and what to give."""
    with pytest.raises(XorMiError, match=r"^min_margin is .*from 0 to 1$"):
        identify_circuit(textbook, min_margin=wrong)


def test_rounding_moves_no_threshold_that_the_default_lets_in():
    """Every reading with a margin of the default or more has its bits after rounding to bfloat16;
    of those with a tenth of it, some have not.
    """
    lost = {"large": [], "small": []}
    for act_fn in ("relu", "leaky_relu", "tanh", "sigmoid"):
        for model, _ in solved(act_fn, 3):
            columns = zip(hidden_values(model).T, hidden_values(rounded(model)).T, strict=True)
            for column, after in columns:
                left = cuts(after)
                for bits, margin in cuts(column).items():
                    if margin >= MIN_MARGIN:
                        lost["large"].append(bits not in left)
                    elif margin < MIN_MARGIN / 10:
                        lost["small"].append(bits not in left)
    assert len(lost["large"]) > 100
    assert not any(lost["large"])
    assert any(lost["small"])


@pytest.mark.parametrize(
    ("act_fn", "width"), [("relu", 2), ("sigmoid", 2), ("relu", 3), ("sigmoid", 3)]
)
def test_rounding_to_bfloat16_keeps_the_circuit(act_fn, width):
    """The weights are others, and verdict and netlists the same."""
    n_seen = 0
    for model, _ in solved(act_fn, width):
        other = rounded(model)
        changed = hidden_values(model) - hidden_values(other)
        assert np.abs(changed).max() > 1e-4
        before = identify_circuit(model, with_evidence=False)
        assert passing(identify_circuit(other, with_evidence=False)) == passing(before)
        n_seen += before.verdict == "identified"
    assert n_seen > 1


@pytest.mark.parametrize(("act_fn", "width"), [("relu", 3), ("tanh", 2)])
def test_one_more_step_of_training_keeps_the_circuit(act_fn, width):
    """The same training from the same start, one step longer."""
    n_seen = 0
    for model, steps in solved(act_fn, width):
        longer = {"seed": model.cfg.seed, "max_steps": steps + 1, "stop_loss": 1e-30}
        population = train_population("XOR", 1, hidden=width, act_fn=act_fn, **longer)
        other = population[0]
        changed = np.abs(hidden_values(model) - hidden_values(other)).max()
        assert 1e-6 < changed < 0.5
        before = identify_circuit(model, with_evidence=False)
        assert passing(identify_circuit(other, with_evidence=False)) == passing(before)
        n_seen += before.verdict == "identified"
    assert n_seen > 1
