"""What tells the circuits of an ambiguous network apart: the unit they read differently, an
interchange and an input between the rows on which they predict differently.

The oracle knows the weights and the bits that each circuit's units are read as, nothing else: NumPy
finds thresholds, levels and what follows from them anew.
"""

import json
from itertools import product

import numpy as np
import pytest
import torch
from networks import random_network

from xor_mi import identify_circuit
from xor_mi.circuits import Difference
from xor_mi.circuits._apart import _grids
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP

pytestmark = pytest.mark.as_a_user

ACTS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "heaviside": lambda z: (z > 0).astype(float),
    "identity": lambda z: z,
}


class Oracle:
    """A network in NumPy, and what a circuit says of it."""

    def __init__(self, model, circuit=None):
        self.layers = [(w.numpy(), b.numpy()) for w, b in model.float64_layers()]
        cfg = model.cfg
        self.acts = [ACTS[cfg.act_name(k)] for k in range(len(self.layers))]
        self.direct, self.argmax = cfg.direct, cfg.decision_rule == "argmax"
        self.cut = 0.0 if self.argmax else model.threshold
        low, high = cfg.input_levels
        self.middle = (low + high) / 2
        self.rows = low + (high - low) * np.array(list(product((0, 1), repeat=cfg.d_in)))
        self.inputs_of_bits = lambda bits: low + (high - low) * bits
        values, self.on_rows = self.rows, []
        for layer in range(len(self.layers) - 1):
            values = self.next(layer, values, self.rows)
            self.on_rows.append(values)
        if circuit is not None:
            self.read(circuit)

    def read(self, circuit):
        """Thresholds halfway between the values on both sides, levels the means of either side."""
        self.thresholds, self.levels = [], []
        for values, readings in zip(self.on_rows, circuit.readings[0].readings, strict=True):
            thresholds, levels = [], []
            for column, reading in zip(values.T, readings, strict=True):
                on = np.array(reading.bits, dtype=bool)
                if on.all() or not on.any():
                    thresholds.append(-np.inf if on.all() else np.inf)
                    levels.append([column.mean(), column.mean()])
                else:
                    thresholds.append((column[~on].max() + column[on].min()) / 2)
                    levels.append([column[~on].mean(), column[on].mean()])
            self.thresholds.append(np.array(thresholds))
            self.levels.append(np.array(levels))

    def next(self, layer, values, inputs):
        """Values entering a layer -> those leaving it."""
        weight, bias = self.layers[layer]
        if layer == len(self.layers) - 1 and self.direct:
            values = np.concatenate([values, inputs], axis=-1)
        return self.acts[layer](values @ weight.T + bias)

    def decide(self, outputs):
        """Outputs -> decisions, as a tuple."""
        if self.argmax:
            outputs = outputs[1:] - outputs[:1] if len(outputs) == 2 else outputs
        return tuple((outputs > self.cut).astype(int).tolist())

    def network(self, x):
        """What the network decides at any input, and its units' values there."""
        values, hidden = np.array(x), []
        for layer in range(len(self.layers)):
            values = self.next(layer, values, np.array(x))
            hidden.append(values)
        return self.decide(values), hidden

    def circuit_from(self, layer, bits, inputs):
        """The circuit from the bits of a hidden layer on: decisions, and the bits of later layers."""
        all_bits = [None] * layer + [bits]
        for number in range(layer, len(self.levels)):
            values = self.levels[number][np.arange(len(bits)), bits.astype(int)]
            values = self.next(number + 1, values, inputs)
            if number + 1 < len(self.levels):
                bits = values > self.thresholds[number + 1]
                all_bits.append(bits)
        return self.decide(values), all_bits

    def circuit_at(self, x):
        """What the circuit decides at any input, and the bits it says."""
        first = self.next(0, np.array(x), None) > self.thresholds[0]
        inputs = self.inputs_of_bits(np.array(x) > self.middle)
        return self.circuit_from(0, first, inputs)


def both(model, circuits, difference):
    """An oracle for each of the two circuits."""
    return [Oracle(model, circuits[number]) for number in difference.circuits]


def checked_input(model, circuits, difference):
    """The input that was found, held against NumPy."""
    found, pair = difference.input, both(model, circuits, difference)
    low, high = model.cfg.input_levels
    assert all(min(low, high) <= value <= max(low, high) for value in found.values)
    decided, hidden = pair[0].network(found.values)
    said = [oracle.circuit_at(found.values) for oracle in pair]
    if found.unit is None:
        predicted = tuple(decisions for decisions, _ in said)
    else:
        layer, index = found.unit.layer, found.unit.index
        assert said[0][0] == said[1][0]
        predicted = tuple((int(bits[layer][index]),) for _, bits in said)
        decided = (int(hidden[layer][index] > pair[0].thresholds[layer][index]),)
    assert found.predicted == predicted
    assert predicted[0] != predicted[1]
    assert found.decided == decided
    assert found.sides_with == {predicted[0]: 0, predicted[1]: 1}.get(decided)


def checked_interchange(model, circuits, difference):
    """The interchange that was found, run in NumPy."""
    found, pair = difference.interchange, both(model, circuits, difference)
    number = {
        "".join(map(str, row)): k for k, row in enumerate(product((0, 1), repeat=model.cfg.d_in))
    }
    base = number[found.base] if found.base else 0
    values = pair[0].on_rows[found.layer][base].copy()
    taken = [
        (unit, number[row])
        for units, row in zip(found.variables, found.sources, strict=True)
        for unit in units
    ]
    for unit, row in taken:
        values[unit.index] = pair[0].on_rows[found.layer][row][unit.index]
    inputs, outputs = pair[0].rows[base], values
    for layer in range(found.layer + 1, len(pair[0].layers)):
        outputs = pair[0].next(layer, outputs, inputs)
    assert found.decided == pair[0].decide(outputs)
    for oracle, predicted in zip(pair, found.predicted, strict=True):
        on = oracle.on_rows[found.layer] > oracle.thresholds[found.layer]
        bits = on[base].copy()
        for unit, row in taken:
            bits[unit.index] = on[row][unit.index]
        assert oracle.circuit_from(found.layer, bits, inputs)[0] == predicted
    assert found.predicted[0] != found.predicted[1]


def two_ors():
    """OR by two units that can each be read as OR; or one of them as AND, or the other as x0."""
    hidden, readout = ([[1.0, 1.0], [2.0, 1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [-0.75])
    return HookedMLP.from_weights([hidden, readout], act_fn="relu", target="OR")


def masked():
    """x0, by a unit (x0 OR h0.1) that matters only where x0 is 1. So h0.1 can be read as OR and as
    x1, and every interchange comes out as either says.
    """
    first = ([[1.0, 0.0], [1.0, 2.0]], [0.0, 0.0])
    second = ([[2.0, 1.0], [1.0, 0.0]], [0.0, 0.0])
    return HookedMLP.from_weights(
        [first, second, ([[1.0, 6.0]], [-6.75])], act_fn="relu", target="x0"
    )


def steps_then_relu():
    """`two_ors` behind two steps, which are x0 and x1 at every input."""
    steps = ([[1.0, 0.0], [0.0, 1.0]], [-0.5, -0.5])
    second, readout = ([[1.0, 1.0], [2.0, 1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [-0.75])
    return HookedMLP.from_weights(
        [steps, second, readout], act_fn=("heaviside", "relu"), target="OR"
    )


def test_two_readings_of_one_unit_are_told_apart_by_an_input_with_few_digits():
    """The unit, its two gates, one interchange and one input, all by hand: at 0.3, 0.1 the units are
    at 0.4 and 0.7, and 0.7 is above the threshold of OR (0.5) and below that of x0 (1.5).
    """
    circuit = identify_circuit(two_ors(), require="substitution")
    assert (circuit.verdict, len(circuit.passing)) == ("ambiguous", 3)
    difference = circuit.differences[0]
    assert isinstance(difference, Difference)
    assert (difference.circuits, difference.unit) == ((0, 1), Unit(0, 1))
    assert difference.gates == ("OR", "x0")
    assert difference.input is not None
    assert difference.interchange is not None
    assert difference.input.values == (0.3, 0.1)
    assert difference.input.predicted == ((1,), (0,))
    assert (difference.input.decided, difference.input.sides_with) == ((1,), 0)
    assert difference.interchange.kind == "single"
    for one in circuit.differences:
        checked_interchange(circuit.model, circuit.circuits, one)
    checked_input(circuit.model, circuit.circuits, difference)


def test_coarser_grids_have_no_such_input():
    """0.3, 0.1 is on the grid of tenths; halves and quarters have no point between the thresholds,
    and points on one are not taken.
    """
    circuit = identify_circuit(two_ors(), require="substitution")
    pair = both(circuit.model, circuit.circuits, circuit.differences[0])

    def found(n_steps):
        points = np.array(list(product(range(n_steps + 1), repeat=2))) / n_steps
        values = pair[0].next(0, points, None)
        on_one = [(np.abs(values - one.thresholds[0]) < 1e-9).any(1) for one in pair]
        off = points[~(on_one[0] | on_one[1])]
        return [x for x in off if len({one.circuit_at(x)[0] for one in pair}) == 2]

    assert found(2) == found(4) == []
    assert [0.3, 0.1] in np.round(found(10), 9).tolist()


def test_where_no_input_differs_it_is_said_where_it_was_looked():
    """The third circuit reads x0 + x1 as AND, and 2 x0 + x1 > 0.5 wherever x0 + x1 > 0.5: no input
    tells it apart from the first, and NumPy finds none either.
    """
    circuit = identify_circuit(two_ors(), require="substitution")
    difference = circuit.differences[1]
    assert difference.gates == ("OR", "AND")
    assert difference.input is None
    assert difference.looked_at == (201**2, True)
    assert "40,401 points of a grid" in str(difference)
    pair = both(circuit.model, circuit.circuits, difference)
    points = np.random.default_rng(0).uniform(size=(2000, 2))
    assert all(pair[0].circuit_at(x)[0] == pair[1].circuit_at(x)[0] for x in points)


def test_of_many_inputs_grids_are_sampled():
    """Up to 40,401 points a grid is tried whole; of a larger one a sample, and points on lines
    between two rows. Each is within the box, and the same every time.
    """
    assert [is_whole for _, _, is_whole in _grids(2)] == [True] * 7
    for n_inputs in (4, 12):
        for numbers, n_steps, is_whole in _grids(n_inputs):
            assert is_whole == ((n_steps + 1) ** n_inputs <= 201**2)
            assert 0 <= numbers.min() <= numbers.max() <= n_steps
            assert len(numbers) <= 50_000
            if not is_whole:
                # on a line between two rows an input is 0, n_steps, k or n_steps - k
                line = numbers[: len(numbers) - 4096]
                k = torch.minimum(line, n_steps - line)
                assert ((k == 0) | (k == k.max(1, keepdim=True).values)).all()
                assert len(line) > 1000
    again = zip(_grids(5), _grids(5), strict=True)
    assert all(torch.equal(a[0], b[0]) for a, b in again)


def test_circuits_that_are_proved_jointly_are_told_apart_by_a_hidden_unit():
    """Both predict every interchange and decide every input alike, but say different things of a
    unit that is masked there; the network sides with one of them.
    """
    circuit = identify_circuit(masked())
    assert circuit.verdict == "ambiguous"
    (difference,) = circuit.differences
    assert (difference.unit, difference.gates) == (Unit(0, 1), ("OR", "x1"))
    assert difference.interchange is None
    assert difference.input is not None
    assert difference.input.unit == Unit(1, 0)
    checked_input(circuit.model, circuit.circuits, difference)


def test_behind_steps_no_input_is_between_the_rows():
    """Steps are 0 or 1 at every input, so what is behind them sees nothing but rows."""
    circuit = identify_circuit(steps_then_relu(), require="substitution")
    assert circuit.verdict == "ambiguous"
    assert [one.input for one in circuit.differences] == [None] * (len(circuit.passing) - 1)
    for one in circuit.differences:
        checked_interchange(circuit.model, circuit.circuits, one)


def test_a_copy_is_read_with_the_unit_that_it_is_a_copy_of():
    """h0.2 is 7 - 2 h0.1: nothing is told of it, and inputs and interchanges are right with it."""
    hidden = ([[1.0, 1.0], [2.0, 1.0], [-4.0, -2.0]], [0.0, 0.0, 7.0])
    readout = ([[1.0, 0.5, -0.25]], [1.0])
    model = HookedMLP.from_weights([hidden, readout], act_fn="relu", target="OR")
    circuit = identify_circuit(model, require="substitution")
    assert circuit.copies == ((Unit(0, 1), Unit(0, 2)),)
    assert [one.gates for one in circuit.differences] == [("OR", "x0"), ("OR", "AND")]
    assert [one.unit for one in circuit.differences] == [Unit(0, 1), Unit(0, 0)]
    checked_input(circuit.model, circuit.circuits, circuit.differences[0])
    for one in circuit.differences:
        checked_interchange(circuit.model, circuit.circuits, one)


def test_a_unit_may_be_idle_in_one_circuit():
    """Then it has a gate in one and none in the other."""
    idle = []
    for seed in range(12):
        model = random_network(seed, "relu", sizes=(2, 3, 1))
        circuit = identify_circuit(model, require="substitution", with_evidence=False)
        for one in circuit.differences:
            live = [one.unit in circuit.circuits[number].live for number in one.circuits]
            assert [gate is not None for gate in one.gates] == live
            before = [unit for unit in model.units if unit < one.unit]
            readings = [circuit.circuits[number] for number in one.circuits]
            for unit in before:  # read alike, or idle in both
                bits = [c.readings[0].of(unit).bits if unit in c.live else None for c in readings]
                assert bits[0] == bits[1]
            idle.append(None in one.gates)
    assert {False, True} == set(idle)


@pytest.mark.parametrize(
    ("act_fn", "sizes", "settings", "seeds"),
    [
        ("relu", (2, 3, 1), {}, range(12)),
        ("tanh", (3, 3, 1), {}, range(2)),
        ("relu", (2, 3, 2, 1), {}, range(14)),
        ("relu", (2, 3, 1), {"input_levels": (-1, 1)}, range(8)),
        ("relu", (2, 3, 2), {"decision_rule": "argmax"}, range(10)),
        ("tanh", (4, 2, 1), {}, range(4)),
    ],
)
def test_inputs_and_interchanges_of_random_networks(act_fn, sizes, settings, seeds):
    """Every one that is given tells the two circuits apart, by NumPy."""
    n_inputs = 0
    for seed in seeds:
        model = random_network(seed, act_fn, sizes=sizes, **settings)
        circuit = identify_circuit(model, require="substitution", with_evidence=False)
        for one in circuit.differences[:12]:
            if one.input is not None:
                checked_input(circuit.model, circuit.circuits, one)
                n_inputs += 1
            if one.interchange is not None:
                checked_interchange(circuit.model, circuit.circuits, one)
    assert n_inputs > 1


def test_with_direct_connections_inputs_are_read_halfway():
    """An output that reads the inputs too: the bit of an input is whether it is above the middle of
    its levels.
    """
    n_inputs = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        layers = [(rng.normal(size=(2, 2)), rng.normal(size=2)), (rng.normal(size=(1, 2)), [0.1])]
        model = HookedMLP.from_weights(layers, act_fn="relu", direct=rng.normal(size=(1, 2)))
        circuit = identify_circuit(model, require="substitution", with_evidence=False)
        for one in circuit.differences:
            if one.input is not None:
                checked_input(circuit.model, circuit.circuits, one)
                n_inputs += 1
    assert n_inputs > 0


def test_only_an_ambiguous_verdict_has_differences():
    """Jointly none of the three circuits' rivals is left."""
    circuit = identify_circuit(two_ors())
    assert (circuit.verdict, circuit.differences) == ("identified", ())
    assert "apart" not in circuit.explain()


def test_the_difference_is_told():
    """In the reason, on the page, and as JSON; a second look gives the same."""
    circuit = identify_circuit(two_ors(), require="substitution")
    first = circuit.differences[0]
    assert str(first) in circuit.reason
    assert str(first) in str(circuit)
    assert all(str(one) in circuit.explain() for one in circuit.differences)
    told = json.loads(circuit.to_json())["differences"]
    assert told == [one.to_dict() for one in circuit.differences]
    assert told[0]["input"]["values"] == [0.3, 0.1]
    assert identify_circuit(two_ors(), require="substitution").differences == circuit.differences
