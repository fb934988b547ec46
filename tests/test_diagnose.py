"""Diagnosis: what a network computes, and which change of reading makes it what was asked; where
the search for gates stops; held against plain NumPy.
"""

from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
from oracles.cuts import cuts as all_cuts
from published import PUBLISHED

from xor_mi import (
    BooleanFunction,
    HookedMLP,
    TrainConfig,
    Unit,
    XorMiError,
    identify_circuit,
    train_population,
)
from xor_mi.circuits import Diagnosis, diagnose
from xor_mi.model import HookedMLPConfig

pytestmark = pytest.mark.as_a_user

ACTS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "identity": lambda x: x,
    ">": lambda x: (x > 0) * 1.0,
    ">=": lambda x: (x >= 0) * 1.0,
}
BITS = np.array(list(product((0.0, 1.0), repeat=2)))


def plain_outputs(layers, act, out, levels=(0, 1)):
    """The network in plain NumPy, [row, output]."""
    values = np.where(BITS == 1, levels[1], levels[0]).astype(float)
    for number, (weight, bias) in enumerate(layers):
        total = values @ np.array(weight, dtype=float).T + np.array(bias, dtype=float)
        values = ACTS[act if number < len(layers) - 1 else out](total)
    return values


def table(decided):
    """Decisions [row] as a text of bits."""
    return "".join(str(int(bit)) for bit in decided)


BIPOLAR = [([[10, 10], [10, 10]], [-10, 10]), ([[-0.5, 1]], [-0.75])]
AT_LEAST = [([[1, 1], [-1, -1]], [-1, 1]), ([[1, 1]], [-2])]
TEXTBOOK = [([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])]
TWO_LOGITS = [([[1, 1], [1, 1]], [0, -1]), ([[-1, 2], [1, -2]], [10.5, 9.5])]
CLAIMED = [([[1, 1], [1, 1]], [-1, -1.5]), ([[1, -2]], [0.5])]


@pytest.mark.parametrize(
    ("layers", "settings", "kind", "value"),
    [
        (TEXTBOOK, {}, "decision_threshold", 0.5),
        (BIPOLAR, {"act_fn": "tanh", "out_act_fn": "tanh"}, "input_levels", (-1.0, 1.0)),
        (AT_LEAST, {"act_fn": "heaviside", "out_act_fn": "heaviside"}, "step_at_zero", 1),
        (TWO_LOGITS, {}, "decision_rule", "argmax"),
    ],
)
def test_the_one_setting_an_author_did_not_say_is_found(layers, settings, kind, value):
    """Networks as their authors print them, loaded without their convention: the diagnosis names
    it, and it is the only answer; with it the network computes XOR.
    """
    model = HookedMLP.from_weights(layers, **settings)
    found = diagnose(model, "XOR")
    assert not found.works
    assert [(one.kind, one.value) for one in found.answers] == [(kind, value)]
    (answer,) = found.answers
    assert answer.computes.name == "XOR"
    assert identify_circuit(answer.model, "XOR").verdict == "identified"
    assert str(answer) in str(found)
    # the network that was asked about is left as it was
    assert model.cfg == HookedMLP.from_weights(layers, **settings).cfg


def test_the_outputs_and_decisions_are_plain_numpy_s():
    """What it computes, its outputs and how far it is off, from the same sums done in NumPy; the
    author who claimed XOR for a NAND is told so, and that no change of reading helps.
    """
    found = diagnose(HookedMLP.from_weights(CLAIMED, act_fn="sigmoid", out_act_fn="sigmoid"), "XOR")
    outputs = plain_outputs(CLAIMED, "sigmoid", "sigmoid")
    np.testing.assert_allclose(found.outputs, outputs, rtol=1e-12)
    assert found.computes.name == "NAND"
    assert table(outputs[:, 0] > 0.5) == "1110"
    assert found.answers == ()
    assert found.closest is None
    assert found.problems == (("wrong", ("00",)),)
    assert found.off_by == pytest.approx(outputs[0, 0] - 0.5)
    for fact in ("NAND", "wrong on 00", "0.5997", "no single change"):
        assert fact in str(found)


def test_a_transposed_layer_is_found():
    """A square first layer stored [in, out]: transposing it alone gives the target."""
    weight = [[3.0, -2.0], [2.5, 1.0]]
    readout = ([[1.0, -1.5]], [0.2])
    right = [(weight, [-0.5, 0.5]), readout]
    wrong = [(np.transpose(weight).tolist(), [-0.5, 0.5]), readout]
    meant = table(plain_outputs(right, "relu", "identity")[:, 0] > 0)
    assert meant != table(plain_outputs(wrong, "relu", "identity")[:, 0] > 0)
    found = diagnose(HookedMLP.from_weights(wrong), BooleanFunction(2, meant))
    assert ("layout", ("fc1.weight",)) in [(one.kind, one.value) for one in found.answers]


def test_complement_and_orders_are_found():
    """A network of x0>x1 asked for its complement, for x1>x0 and for both: complement, swapped
    inputs; two outputs the other way round: swapped outputs.
    """
    greater = [([[1, -1]], [0]), ([[1]], [-0.5])]
    model = HookedMLP.from_weights(greater)
    kinds = {
        target: [one.kind for one in diagnose(model, target).answers]
        for target in ("x0>x1", "x1>=x0", "x1>x0")
    }
    assert kinds == {"x0>x1": [], "x1>=x0": ["complement"], "x1>x0": ["input_order"]}
    two = [([[1, 1], [1, 1]], [0, -1]), ([[1, 0], [0, 1]], [-0.5, -0.5])]  # OR, AND
    found = diagnose(HookedMLP.from_weights(two), "x0 & x1, x0 | x1")
    assert found.computes.name == "OR, AND"
    assert ("output_order", (1, 0)) in [(one.kind, one.value) for one in found.answers]


def test_orders_of_three_inputs_say_which_column_goes_where():
    """x0 & ~x1 | x2 asked with its inputs turned in a circle: the order named gives it, in NumPy
    too.
    """
    function = BooleanFunction.of("(x0 & ~x1) | x2", 3)
    weight, bias = np.array([[1.0, -1.0, 2.0]]), [0.0]
    model = HookedMLP.from_weights([(weight.tolist(), bias), ([[1.0]], [-0.5])])
    assert diagnose(model, function).works
    asked = BooleanFunction.of("(x1 & ~x2) | x0", 3)
    (answer,) = diagnose(model, asked).answers
    assert answer.kind == "input_order"
    moved = weight[:, list(answer.value)]
    rows = np.array(asked.rows())
    decided = np.maximum(rows @ moved.T, 0)[:, 0] > 0.5
    assert tuple(decided.astype(int)) == asked.bits


def computed(outputs, threshold=0.0):
    """Outputs [row] as the bits that they are decided as; ? on the threshold."""
    return "".join("?" if y == threshold else str(int(y > threshold)) for y in outputs)


def changed_tables(layers, act):
    """What a 2-h-1 network computes under every single change, by hand; its own bits; its outputs."""

    def outputs(changed, levels=(0, 1)):
        return plain_outputs(changed, act, "identity", levels)[:, 0]

    (weight, bias), readout = layers
    plain = outputs(layers)
    own = computed(plain)
    tables = {
        ("decision_threshold", 0.5): computed(plain, 0.5),
        ("input_levels", (-1.0, 1.0)): computed(outputs(layers, (-1, 1))),
        ("complement", None): own.translate(str.maketrans("01", "10")),
        ("input_order", (1, 0)): computed(outputs([(weight[:, ::-1], bias), readout])),
    }
    if len(weight) == 2:
        tables["layout", ("fc1.weight",)] = computed(outputs([(weight.T, bias), readout]))
    return tables, own, plain


def eighths(rng, *shape):
    """Random weights that every precision holds exactly."""
    return (rng.normal(size=shape) * 8).round() / 8


@pytest.mark.parametrize("hidden", [2, 3])
def test_random_networks_against_brute_force(hidden):
    """Of 60 random networks and a random target each, what they compute and the answers are those
    of the same changes made in NumPy.
    """
    rng = np.random.default_rng(hidden)
    seen = Counter()
    for _ in range(60):
        act = str(rng.choice(["relu", "tanh"]))
        layers = [
            (eighths(rng, hidden, 2), eighths(rng, hidden)),
            (eighths(rng, 1, hidden), eighths(rng, 1)),
        ]
        expected, own, plain = changed_tables(layers, act)
        # most targets of random networks are out of reach: take one that some change gives
        within_reach = sorted({bits for bits in expected.values() if "?" not in bits} - {own})
        target = str(rng.choice(within_reach))
        if "?" in own:
            continue  # on the threshold it computes nothing
        found = diagnose(HookedMLP.from_weights(layers, act_fn=act), BooleanFunction(2, target))
        assert table(found.computes.bits) == own
        named = {key for key, bits in expected.items() if bits == target != own}
        # a threshold that separates the outputs is tried where the usual ones do not help
        ones, zeros = [
            [float(value) for value, bit in zip(plain, target, strict=True) if bit == side]
            for side in "10"
        ]
        separated = ones and zeros and max(zeros) < min(ones)
        if target != own and separated and ("decision_threshold", 0.5) not in named:
            (between,) = [one for one in found.answers if one.between is not None]
            assert between.between == pytest.approx((max(zeros), min(ones)))
            named.add((between.kind, between.value))
        got = {(one.kind, one.value) for one in found.answers}
        assert got == named
        seen.update(kind for kind, _ in got)
    assert {"decision_threshold", "input_levels", "complement"} <= set(seen)


def test_a_network_that_is_right_is_said_to_be(textbook):
    """Nothing is tried, and nothing is wrong."""
    found = diagnose(textbook)
    assert found.works
    assert found.tried == found.answers == found.rows_wrong == ()
    assert found.off_by == 0
    assert "it computes XOR as it is read" in str(found)


def test_the_frame_has_one_line_per_way_of_reading():
    """The first is the network as it is; one line works, and it is the threshold's."""
    frame = diagnose(HookedMLP.from_weights(TEXTBOOK), "XOR").frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["change", "computes", "n_wrong", "rows_wrong", "works"]
    assert frame["change"][0] == "as it is"
    assert frame["computes"][0] == "", "rows 00 and 11 are on the threshold"
    assert frame["rows_wrong"][0] == "00 11"
    assert frame[frame["works"]]["change"].tolist() == ["decision_threshold=0.5"]


def test_a_decision_by_rounding_alone_is_found():
    """A sum of 1e-9 beside 1 is lost in float32: reading the weights in float64 is the answer."""
    layers = [([[1.0, 1.0]], [0.0]), ([[1.0]], [-1e-9])]
    model = HookedMLP.from_weights(layers, decision_threshold=1 - 5e-10)
    found = diagnose(model, "x0 & x1")
    assert found.problems == (("rounding", ("01", "10")),)
    assert ("dtype", "float64") in [(one.kind, one.value) for one in found.answers]


def test_what_cannot_be_diagnosed_is_refused(textbook):
    """A target of another width, and what is not a network."""
    with pytest.raises(XorMiError, match="2 outputs"):
        diagnose(textbook, "x0, x1")
    with pytest.raises(XorMiError):
        diagnose("folder", "XOR")


def test_without_a_target_it_says_what_is_computed(textbook):
    """Nothing is asked, so nothing is wrong; a row that is undecided is said to be."""
    nameless = textbook.with_weights(textbook.float64_layers(), target=None)
    found = diagnose(nameless)
    assert found.works
    assert found.computes.name == "XOR"
    assert str(found).startswith("it computes XOR as it is read (y0 is 0, 1, 1, 0 on 00,")
    on_the_cut = textbook.with_weights(textbook.float64_layers(), target=None, decision_threshold=0)
    assert diagnose(on_the_cut).computes is None
    assert diagnose(on_the_cut).problems == (("undecided", ("00", "11")),)


def test_both_names_of_two_logits_point_at_argmax():
    """Two outputs raised by ten, asked for what each of them stands for: the larger decides."""
    hidden = ([[1, 1], [1, 1]], [0, -1])
    layers = [hidden, ([[-1, 2], [1, -2]], [10.5, 9.7])]
    found = diagnose(HookedMLP.from_weights(layers), "XNOR, XOR")
    assert ("decision_rule", "argmax") in [(one.kind, one.value) for one in found.answers]
    # a threshold that fits these weights is not a convention, and comes last
    assert [one.kind for one in found.answers][-1] == "decision_threshold"
    model = HookedMLP.from_weights(layers, loss_fn="ce", target="XNOR, XOR")
    assert model.cfg.target == BooleanFunction.of("XOR")
    assert identify_circuit(model, "XNOR, XOR").verdict == "identified"
    with pytest.raises(XorMiError, match="2 outputs; the network has 1"):
        HookedMLPConfig(target="XNOR, XOR")


def test_a_circuit_s_reason_carries_the_diagnosis():
    """The sentence of not_computing is the diagnosis', and the circuit has it as data; a network
    that computes its target has none.
    """
    model = HookedMLP.from_weights(BIPOLAR, act_fn="tanh", out_act_fn="tanh")
    circuit = identify_circuit(model, "XOR")
    assert isinstance(circuit.diagnosis, Diagnosis)
    assert circuit.problems == circuit.diagnosis.problems
    assert circuit.reason == str(diagnose(model, "XOR"))
    assert "input_levels=(-1, 1)" in circuit.reason
    assert identify_circuit(model, "NAND").diagnosis is None


def test_wide_functions_are_not_spelled_out():
    """A network of 8 inputs that is asked for parity answers within its means: no formula of 256
    rows, but how often it is 1.
    """
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(size=(3, 8)).tolist(), [0.1, 0.2, -0.1]),
        (rng.normal(size=(1, 3)).tolist(), [0.05]),
    ]
    found = diagnose(HookedMLP.from_weights(layers), BooleanFunction.named("XOR", 8))
    assert sum(found.computes.bits) == sum(bits == (1,) for bits in found.decided)
    assert f"1 on {sum(found.computes.bits)} of 256 rows" in str(found)


# where the search for gates stops


GRADED = [([[1, 4], [0, 2], [-2, -3]], [-3, 1, 1]), ([[-4, 2, -3]], [-1.5])]


def cuts(values):
    """Every way to read values as bits: [(bits, replaced values)]."""
    read = [(np.array(cut.bits, bool), cut) for cut in all_cuts(values)]
    return [(bits, np.where(bits, cut.high, cut.low)) for bits, cut in read]


def sides(logits):
    """1 above zero, 0 below, -1 on it but for rounding."""
    return np.where(np.abs(logits) < 1e-12, -1, logits > 0)


def closest_alone(values, readout, bias, unit):
    """The fewest rows that flip, or come undecided, when one unit alone has two levels."""
    decided = sides(values @ readout + bias)
    flips = []
    for _, replaced in cuts(values[:, unit]):
        changed = values.copy()
        changed[:, unit] = replaced
        flips.append(int((sides(changed @ readout + bias) != decided).sum()))
    return min(flips)


def test_the_obstacle_names_layer_unit_and_rows():
    """The unit that alone cannot be read, by brute force over its cuts; the joint reading that
    comes closest flips as many rows as the best of all choices.
    """
    model = HookedMLP.from_weights(GRADED, target="XOR")
    circuit = identify_circuit(model)
    assert circuit.verdict == "no_gate_reading"
    obstacle = circuit.obstacle
    assert (obstacle.kind, obstacle.layer) == ("levels", 0)
    (weight, bias), (readout, readout_bias) = [(np.array(w), np.array(b)) for w, b in GRADED]
    values = np.maximum(BITS @ weight.T + bias, 0)
    alone = [closest_alone(values, readout[0], readout_bias[0], unit) for unit in range(3)]
    assert {one.unit: len(one.rows) for one in obstacle.units} == {
        Unit(0, unit): flips for unit, flips in enumerate(alone) if flips
    }
    decided = sides(values @ readout[0] + readout_bias[0])
    best = 4
    for choice in product(*(cuts(values[:, unit]) for unit in range(3))):
        levels = np.stack([replaced for _, replaced in choice], axis=1)
        flips = sides(levels @ readout[0] + readout_bias[0]) != decided
        best = min(best, int(flips.sum()))
    assert len(obstacle.rows) == best
    for one in obstacle.units:
        assert one.unit.name in circuit.reason
    assert "layer 0" in circuit.reason


def test_units_of_one_or_two_values_keep_their_gates():
    """Beside a graded unit that no reading fits, a step and a dead unit are certain: their gates
    are named in the data and in the sentence.
    """
    layers = [
        ([[1, 4], [0, 2], [-2, -3], [1, 1], [-1, -1]], [-3, 1, 1, -1, -1]),
        ([[-4, 2, -3, 0, 0]], [-1.5]),
    ]
    circuit = identify_circuit(HookedMLP.from_weights(layers, target="XOR"))
    assert circuit.verdict == "no_gate_reading"
    (weight, bias), _ = [(np.array(w), np.array(b)) for w, b in layers]
    values = np.maximum(BITS @ weight.T + bias, 0)
    certain = {
        Unit(0, unit): BooleanFunction(2, table(cuts(column)[0][0])).name
        for unit, column in enumerate(values.T)
        if len(cuts(column)) == 1
    }
    assert dict(circuit.certain_gates) == certain
    assert certain[Unit(0, 3)] == "AND"
    assert certain[Unit(0, 4)] == "FALSE"
    assert "h0.3 AND, h0.4 FALSE" in circuit.reason
    # they are certain, and still no circuit
    assert all(unit.gate is None for unit in circuit.units)


def trained_without_a_reading(hidden, act, n):
    """Networks that compute XOR and have no joint reading."""
    config = TrainConfig(max_steps=1500, act_fn=act)
    population = train_population("XOR", n, hidden=hidden, config=config, engine="torch")
    for index in range(n):
        if population.solved[index]:
            circuit = identify_circuit(population[index], with_evidence=False)
            if circuit.verdict == "no_gate_reading":
                yield population[index], circuit


def test_obstacles_of_deeper_networks():
    """Of trained 2-2-2-1 networks without a reading, each obstacle says what can be checked: a unit
    that alone flips rows does so at every cut, by forward runs in NumPy; a netlist that does not
    compose differs on the rows that it names.
    """
    kinds = Counter()
    for model, circuit in trained_without_a_reading((2, 2), "tanh", 60):
        obstacle = circuit.obstacle
        kinds[obstacle.kind] += 1
        assert obstacle.rows
        assert obstacle.units or obstacle.kind != "composition"
        layers = [(w.numpy(), b.numpy()) for w, b in model.float64_layers()]
        hidden = [np.tanh(BITS @ layers[0][0].T + layers[0][1])]
        hidden.append(np.tanh(hidden[0] @ layers[1][0].T + layers[1][1]))

        def decide(values, start, layers=layers):
            for number in range(start, len(layers)):
                weight, bias = layers[number]
                values = values @ weight.T + bias
                values = np.tanh(values) if number < len(layers) - 1 else values
            return values[:, 0] > 0

        decided = decide(hidden[0], 1)
        assert table(decided) == "0110"
        for one in obstacle.units if obstacle.kind == "levels" else ():
            layer, index = one.unit.layer, one.unit.index
            flips = []
            for _, replaced in cuts(hidden[layer][:, index]):
                changed = hidden[layer].copy()
                changed[:, index] = replaced
                flips.append(int((decide(changed, layer + 1) != decided).sum()))
            assert min(flips) == len(one.rows) > 0
    assert kinds["levels"] > 0
    assert len(kinds) > 1, "the population has more than one kind of obstacle"


def test_a_network_with_a_reading_has_no_obstacle(textbook):
    """Neither a circuit nor a network that is wrong says where the search stopped."""
    assert identify_circuit(textbook).obstacle is None
    assert identify_circuit(textbook, "AND").obstacle is None
    assert dict(identify_circuit(textbook).certain_gates) == {Unit(0, 1): "AND"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_without_their_conventions(name):
    """Printed weights read by the defaults, as somebody types them in: the network either computes
    what its author says, or the diagnosis names the author's convention. An author who was wrong is
    told what the network computes, and is offered no other reading.
    """
    network = PUBLISHED[name]
    settings = {
        "direct": network.direct,
        "act_fn": network.act_fn,
        "out_act_fn": network.out_act_fn,
    }
    bits = BooleanFunction(2, network.decisions)
    asked = BooleanFunction.of(network.target or "XOR")
    if bits != asked:
        as_meant = HookedMLP.from_weights(
            network.layers, **settings, step_at_zero=int(network.on_at_zero), **network.settings()
        )
        found = diagnose(as_meant, asked)
        assert found.computes == bits
        assert found.answers == ()
        assert "no single change" in str(found)
        return
    found = diagnose(HookedMLP.from_weights(network.layers, **settings), asked)
    conventions = {
        ("decision_threshold", network.threshold),
        ("input_levels", tuple(map(float, network.levels))),
        ("step_at_zero", int(network.on_at_zero)),
        ("decision_rule", "argmax" if network.threshold is None else "threshold"),
    }
    assert found.works or {(one.kind, one.value) for one in found.answers} & conventions


@pytest.mark.parametrize(
    ("n_inputs", "target", "said"),
    [
        (2, "AND", "compute AND:"),
        (3, "XOR", "compute XOR of x0, x1, x2:"),
        (3, "x0 & x1", "compute x0 & x1:"),
        (5, "AND", "compute AND of x0 to x4:"),
    ],
)
def test_a_gate_of_many_inputs_is_named_with_them(n_inputs, target, said):
    """XOR of three inputs is their parity, and not the XOR of the first two."""
    ones = HookedMLP.from_weights([([[1.0] * n_inputs], [0.0]), ([[0.0]], [1.0])])
    function = BooleanFunction.of(target, n_inputs)
    assert function.bits.count(0) > 0  # the network decides 1 everywhere, so it is wrong
    assert f"it does not {said}" in str(diagnose(ones, function))
