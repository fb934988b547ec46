"""Verdicts held against a slow implementation that shares nothing with the package, against other
ways to write the same network, and against what was planted.

`benchmarks/verdicts_slowly.py` and `benchmarks/verdict_invariance.py` do the first two with many
more networks.
"""

from functools import cache
from itertools import combinations, product

import numpy as np
import pytest
from networks import random_network
from oracles.gates import depends_on
from oracles.tables import reduced
from same_networks import ACTS, CHANGES, canonical, changes_for, copied, split, summary
from slow_verdicts import differences, gate_of, slow_verdict_of

from xor_mi import HookedMLP, handmade, identify_circuit, train_population
from xor_mi.errors import XorMiError
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

ROWS_OF_THE_TABLE = [
    ("relu", (2,)),
    ("sigmoid", (2,)),
    ("relu", (3,)),
    ("tanh", (3,)),
    ("relu", (4,)),
    ("relu", (3, 3)),
]


def identified(model, **settings):
    """Its circuit, without what is not asked about here."""
    return identify_circuit(model, with_evidence=False, progress=False, **settings)


def weights_of(model):
    """In NumPy, the readout last."""
    return [(weight.numpy(), bias.numpy()) for weight, bias in model.float64_layers()]


@cache
def solved(act_fn, hidden, n_networks=40):
    """Networks that solve XOR."""
    settings = {"hidden": hidden, "act_fn": act_fn, "max_steps": 600, "progress": False}
    population = train_population("XOR", n_networks, **settings)
    return [population[index] for index in population.solved.nonzero().flatten().tolist()]


# A second, slow way.


@pytest.mark.parametrize(("act_fn", "hidden"), ROWS_OF_THE_TABLE)
def test_the_slow_way_comes_to_the_same_on_trained_networks(act_fn, hidden):
    """Verdict, readings, circuits at every level of proof, their live units, gates and counts."""
    # a third of the narrow ones solve XOR
    models = solved(act_fn, hidden, 60 if hidden == (2,) else 24)
    for model in models:
        assert differences(slow_verdict_of(model), identified(model)) == []
    assert len(models) >= 8


@pytest.mark.parametrize(
    ("act_fn", "sizes"),
    [("relu", (2, 3, 1)), ("tanh", (2, 2, 2, 1)), ("sigmoid", (3, 2, 2)), ("relu", (2, 2, 3, 2))],
)
def test_the_slow_way_comes_to_the_same_on_random_networks(act_fn, sizes):
    """Also where there is more than one verdict, and with another requirement and margin."""
    verdicts = set()
    for seed in range(8):
        model = random_network(seed, act_fn, sizes=sizes)
        for settings in ({}, {"require": "single", "min_margin": 0.1}):
            slow = slow_verdict_of(model, **settings)
            assert differences(slow, identified(model, **settings)) == []
            verdicts.add(slow.verdict)
    assert len(verdicts) > 1


def test_a_difference_between_the_two_ways_is_seen():
    """Where one of them is asked something else."""
    models = solved("tanh", (3,), 24)
    asked = [slow_verdict_of(model, min_margin=0.3) for model in models]
    assert any(differences(slow, identified(one)) for slow, one in zip(asked, models, strict=True))
    others = [slow_verdict_of(model) for model in models]
    pairs = zip(others, [*models[1:], models[0]], strict=True)
    assert all(differences(slow, identified(model)) for slow, model in pairs)


# Other ways to write the same network.


@pytest.mark.parametrize(
    ("act_fn", "sizes"),
    [("relu", (2, 3, 1)), ("tanh", (2, 3, 1)), ("sigmoid", (2, 2, 2, 1)), ("relu", (3, 3, 1))],
)
def test_no_other_way_to_write_a_network_changes_its_verdict(act_fn, sizes):
    """Nor its circuits, how far each is proved, or which is the first: hidden units renumbered,
    rescaled or complemented, inputs swapped, dead units added or joined, a unit split.
    """
    n_compared = 0
    for seed in range(3):
        model = random_network(seed, act_fn, sizes=sizes)
        rng, layers = np.random.default_rng(seed), weights_of(model)
        before = identified(written(layers, act_fn))
        for name in changes_for(act_fn):
            other = CHANGES[name](rng, layers, act_fn)
            asked = {"any_order_of_inputs": name == "swapped"}
            after = identified(written(other, act_fn))
            assert summary(after, sizes[0], **asked) == summary(before, sizes[0], **asked), name
            n_compared += bool(before.circuits)
    assert n_compared > 5


def written(layers, act_fn):
    """A network of these weights that decides at 0."""
    return HookedMLP.from_weights(layers, act_fn=act_fn, decision_threshold=0, dtype="float64")


@pytest.mark.parametrize("act_fn", ["relu", "tanh", "sigmoid"])
def test_the_changes_change_weights_and_no_output(act_fn):
    """But for those of inputs, which move with them."""
    layers = weights_of(random_network(1, act_fn, sizes=(2, 3, 3, 1)))
    rows = np.array(list(product((0.0, 1.0), repeat=2)))
    for name in set(changes_for(act_fn)) - {"dead_units_joined"}:
        other = CHANGES[name](np.random.default_rng(0), layers, act_fn)
        shapes = [weight.shape for weight, _ in other] == [weight.shape for weight, _ in layers]
        pairs = zip(other, layers, strict=True)
        assert not shapes or any((a != b).any() for (a, _), (b, _) in pairs), name
        order = [0, 2, 1, 3] if name == "swapped" else [0, 1, 2, 3]
        was, now = (outputs(one, rows, act_fn) for one in (layers, other))
        np.testing.assert_allclose(now, was[order], atol=1e-9)


def outputs(layers, value, act_fn):
    """In NumPy."""
    for weight, bias in layers[:-1]:
        value = ACTS[act_fn](value @ weight.T + bias)
    return value @ layers[-1][0].T + layers[-1][1]


def test_other_circuits_have_another_text():
    """XOR by OR and AND, by NOR and AND (a complement), and by x0>x1 and x1>x0."""
    texts = []
    for gates in (["OR", "AND"], ["NOR", "AND"], ["x0>x1", "x1>x0"]):
        model = handmade.from_gates(gates, act_fn="heaviside")
        texts.append(canonical(identified(model).circuits[0], 2))
    assert texts[0] == texts[1]
    assert texts[2] != texts[0]


# What was planted.


def planted_layers(rng):
    """Layers of random threshold gates, the outputs' last, and what every unit is on all rows.

    No hidden unit is constant, and none of a layer is another one or its complement.
    """
    n_inputs = int(rng.integers(2, 4))
    layers, bits = [], np.array(list(product((0, 1), repeat=n_inputs)))
    columns = []
    for is_output in [False] * int(rng.integers(1, 3)) + [True]:
        gates, found = [], []
        for _ in range(int(rng.integers(1, 3 if is_output else 5))):
            n_parents = bits.shape[1]
            combinations_of = np.array(list(product((0, 1), repeat=n_parents)))
            weight = rng.normal(size=n_parents)
            sums = combinations_of @ weight
            table = (sums >= np.sort(sums)[rng.integers(1, len(sums))]).astype(int)
            column = table[bits @ (2 ** np.arange(n_parents)[::-1])]
            is_new = not any((column == one).all() or (column != one).all() for one in found)
            if is_output or (is_new and np.ptp(column)):
                gates.append(BooleanFunction(n_parents, (tuple(table.tolist()),)))
                found.append(column)
        if not gates:
            return planted_layers(rng)
        layers.append(gates)
        bits = np.array(found).T
        columns.append(bits)
    return n_inputs, layers, columns


def netlist_of(layers):
    """(layer, unit) -> its parents and its table over them, of the live units and the outputs."""
    tables = [[gate.tables[0] for gate in gates] for gates in layers]
    wanted, found = range(len(tables[-1])), {}
    for layer in reversed(range(len(tables))):
        before = f"h{layer - 1}." if layer else "x"
        for unit in wanted:
            parents, table = reduced(tables[layer][unit])
            found[layer, unit] = tuple(f"{before}{k}" for k in parents), table
        wanted = sorted({parent for unit in wanted for parent in depends_on(tables[layer][unit])})
    return found


def read_netlist(circuit):
    """The same of what the package found."""
    return {(gate.unit.layer, gate.unit.index): gate_of(gate) for gate in circuit.netlist}


@pytest.mark.parametrize("act_fn", ["heaviside", "sign", "sigmoid", "tanh"])
def test_a_compiled_netlist_is_identified_as_it_was_planted(act_fn):
    """Random netlists of two or three inputs and one or two hidden layers: one circuit, every
    interchange as predicted, the planted gates, and all other units idle.
    """
    n_idle = 0
    for seed in range(12):
        n_inputs, layers, columns = planted_layers(np.random.default_rng(seed))
        model = handmade.from_netlist(layers, act_fn=act_fn, n_inputs=n_inputs)
        circuit = identified(model)
        assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
        (one,) = circuit.circuits
        planted = netlist_of(layers)
        assert read_netlist(one) == planted
        for unit in one.live:
            bits = one.readings[0].of(unit).bits
            assert bits == tuple(columns[unit.layer][:, unit.index].tolist())
        hidden = {(n, k) for n, gates in enumerate(layers[:-1]) for k in range(len(gates))}
        assert {(idle.unit.layer, idle.unit.index) for idle in one.idle} == hidden - planted.keys()
        n_idle += len(one.idle)
    assert n_idle > 0


GATES_OF_ONE_UNIT = {
    "AND": (0, 0, 0, 1), "OR": (0, 1, 1, 1), "NAND": (1, 1, 1, 0), "NOR": (1, 0, 0, 0),
    "x0>x1": (0, 0, 1, 0), "x1>x0": (0, 1, 0, 0), "x0>=x1": (1, 0, 1, 1), "x1>=x0": (1, 1, 0, 1),
}  # fmt: skip


def test_two_gates_that_give_xor_are_identified():
    """Every pair that determines XOR, by relu units where those can carry it."""
    n_seen = 0
    for pair in combinations(GATES_OF_ONE_UNIT, 2):
        tables = [GATES_OF_ONE_UNIT[gate] for gate in pair]
        seen = dict(zip(zip(*tables, strict=True), (0, 1, 1, 0), strict=True))
        if [seen[bits] for bits in zip(*tables, strict=True)] != [0, 1, 1, 0]:
            continue
        circuit = identified(handmade.from_gates(list(pair)))
        assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
        first = circuit.primary
        assert [reading.bits for reading in first.readings[0]] == tables
        n_seen += 1
    assert n_seen == 8


@pytest.mark.parametrize(
    "formula", ["x0 ^ x1", "(x0 | x1) & ~x2", "x0 & x1 | x2", "x0 ^ x1 ^ x2", "x0 & ~x1 | x1 & x2"]
)
def test_a_compiled_formula_is_identified(formula):
    """At the joint level, with the gates that its steps have by their weights."""
    model = handmade.from_formula(formula)
    circuit = identified(model)
    assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
    layers = []
    for weight, bias in weights_of(model):
        rows = np.array(list(product((0, 1), repeat=weight.shape[1])))
        tables = (rows @ weight.T + bias > 0).astype(int).T
        layers.append([BooleanFunction(weight.shape[1], (tuple(t.tolist()),)) for t in tables])
    assert read_netlist(circuit.circuits[0]) == netlist_of(layers)


PLANTED_INTO = {
    "textbook": (handmade.textbook_xor, "relu"),
    "steps": (lambda: handmade.from_netlist([["OR", "AND"], ["x0 & ~x1", "x1"], ["x0 & ~x1"]]), "heaviside"),
    "sigmoid": (lambda: handmade.from_netlist([["OR", "NAND"], ["AND"]], act_fn="sigmoid"), "sigmoid"),
    "tanh": (lambda: handmade.from_netlist([["OR", "AND"], ["x0 & ~x1", "x1"], ["x0 & ~x1"]], act_fn="tanh"), "tanh"),
}  # fmt: skip


def with_unit(layers, number, weight, bias, out):
    """One more unit at the end of a hidden layer."""
    layers = copied(layers)
    (before, shift), (after, last) = layers[number : number + 2]
    layers[number] = np.vstack([before, weight]), np.append(shift, bias)
    layers[number + 1] = np.hstack([after, np.reshape(out, (-1, 1))]), last
    return layers


def planted_into(name):
    """Its weights, its activation, the model's settings and its circuit."""
    make, act_fn = PLANTED_INTO[name]
    model = make()
    settings = {"act_fn": act_fn, "decision_threshold": model.cfg.decision_threshold}
    circuit = identified(model)
    assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
    return weights_of(model), act_fn, settings, circuit.circuits[0]


def idle_of(one):
    """(layer, unit) of what is listed as idle."""
    return {(idle.unit.layer, idle.unit.index) for idle in one.idle}


@pytest.mark.parametrize("name", PLANTED_INTO)
def test_planted_idle_units_are_idle(name):
    """Without a way to the outputs, in every hidden layer, and with the second layer's reading the
    first's: the same circuit.
    """
    layers, _, settings, was = planted_into(name)
    n_hidden = len(layers) - 1
    for seed in range(3):
        rng, other, planted = np.random.default_rng(seed), layers, idle_of(was)
        for number in range(n_hidden):
            weight, bias = other[number]
            width, n_read = len(bias), len(other[number + 1][1])
            other = with_unit(
                other, number, rng.normal(size=weight.shape[1]), rng.normal(), np.zeros(n_read)
            )
            planted = planted | {(number, width)}
        if n_hidden == 2:  # what leads only to a unit that leads nowhere is idle too
            other[1][0][-1, -1] = 1.0
        circuit = identified(HookedMLP.from_weights(other, **settings))
        assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
        assert canonical(circuit.circuits[0], 2) == canonical(was, 2)
        assert idle_of(circuit.circuits[0]) == planted


@pytest.mark.parametrize("name", PLANTED_INTO)
def test_planted_copies_are_one_variable(name):
    """A unit in two places, its weight shared out unevenly; then one of them complemented."""
    layers, act_fn, settings, was = planted_into(name)
    n_live = len(was.live)
    for seed in range(3):
        other = split(np.random.default_rng(seed), layers, act_fn)
        variants = [other]
        if act_fn in ("sigmoid", "tanh"):
            variants.append(with_last_complemented(other, layers, act_fn))
        for one in variants:
            circuit = identified(HookedMLP.from_weights(one, **settings))
            assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
            first = circuit.circuits[0]
            assert canonical(first, 2) == canonical(was, 2)
            assert (len(first.live), first.n_variables) == (n_live + 1, was.n_variables)
            assert [len(units) for units in circuit.copies] == [2]


def with_last_complemented(layers, before, act_fn):
    """The unit that `split` added turned over."""
    layers = copied(layers)
    pairs = enumerate(zip(layers, before, strict=True))
    number = next(n for n, ((_, bias), (_, was)) in pairs if len(bias) > len(was))
    (weight, bias), (after, shift) = layers[number : number + 2]
    if act_fn == "sigmoid":
        shift += after[:, -1]
    for part in (weight, bias):
        part[-1] *= -1
    after[:, -1] *= -1
    return layers


def one_of_its_own(rng, layers, number, act_fn):
    """Weights and bias of a unit that is neither constant nor nearly a copy of another one."""
    value = np.array(list(product((0.0, 1.0), repeat=2)))
    for weight, bias in layers[:number]:
        value = ACTS[act_fn](value @ weight.T + bias)
    there = ACTS[act_fn](value @ layers[number][0].T + layers[number][1])
    while True:
        weight, bias = rng.normal(size=value.shape[1]), rng.normal() / 2
        unit = ACTS[act_fn](value @ weight + bias)
        if np.ptp(unit) and np.abs(np.corrcoef(unit, there.T)[0, 1:]).max() < 0.9:
            return weight, bias


@pytest.mark.parametrize("name", PLANTED_INTO)
def test_a_pair_that_cancels_is_idle(name):
    """Two equal units with opposite weights, in every hidden layer: no output depends on them."""
    layers, act_fn, settings, was = planted_into(name)
    for seed in range(3):
        for number in range(len(layers) - 1):
            rng = np.random.default_rng(seed)
            width = len(layers[number][1])
            out = rng.normal(size=len(layers[number + 1][1]))
            pair = one_of_its_own(rng, layers, number, act_fn)
            other = with_unit(layers, number, *pair, out)
            other = with_unit(other, number, *pair, -out)
            circuit = identified(HookedMLP.from_weights(other, **settings))
            assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
            first = circuit.circuits[0]
            assert canonical(first, 2) == canonical(was, 2)
            assert idle_of(first) == idle_of(was) | {(number, width), (number, width + 1)}


# What is refused.


@pytest.mark.unchecked
@pytest.mark.parametrize("require", ["proof", "Joint", "", None, 3, True, ["joint"]])
def test_a_requirement_that_does_not_exist_is_refused(textbook, require):
    """In one line that lists those there are."""
    with pytest.raises(XorMiError) as refused:
        identify_circuit(textbook, require=require)
    message = str(refused.value)
    assert "\n" not in message
    assert repr(require).strip("'") in message
    assert "substitution, single, joint" in message


@pytest.mark.unchecked
@pytest.mark.parametrize("min_margin", [float("inf"), -float("inf"), "0.1", [0.1], 1 + 1e-9])
def test_a_margin_outside_0_to_1_is_refused(textbook, min_margin):
    """Others are in `test_min_margin.py`."""
    with pytest.raises(XorMiError, match=r"^min_margin is .*from 0 to 1$"):
        identify_circuit(textbook, min_margin=min_margin)


def test_more_joint_interchanges_than_are_run_are_sampled():
    """Six gates of three inputs before another layer: 8^6, of which 65,536 are run, and it says so.
    Before the outputs one bit decides: 8.
    """
    gates = ["x0", "x1", "x2", "x0 & x1", "x1 & x2", "x0 | x2"]
    all_of_them = " & ".join(f"x{k}" for k in range(6))
    model = handmade.from_netlist([gates, [all_of_them], ["x0"]], n_inputs=3)
    circuit = identify_circuit(model, with_evidence=False)
    sampled, exact = circuit.circuits[0].joint
    assert (sampled.n, sampled.n_all, sampled.exhaustive) == (65_536, 8**6, False)
    assert (exact.n, exact.exhaustive) == (8, True)
    assert f"65,536 of 65,536 in layer 0 (a seeded sample of {8**6:,})" in circuit.reason
    again = identify_circuit(model, with_evidence=False)
    assert again.circuits[0].joint == circuit.circuits[0].joint
