"""Which unit acts as which gate: golden values, an independent brute-force oracle, and honest
verdicts.
"""

import itertools
import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from oracles import readings
from transformer_lens.tools.analysis import interchange

from xor_mi.circuits import VERDICTS, _interchange, control_rates, identify_circuit, unit_readings
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.handmade import from_gates
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.training import TrainConfig, train, train_population
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user


def exact_layers(model):
    """The weights as plain Python floats, for the oracle."""
    (w1, b1), (w2, b2) = model.float64_layers()
    return w1.tolist(), b1.tolist(), w2[0].tolist(), b2[0].item()


def test_the_textbook_network(textbook):
    """Unit 0 OR, unit 1 AND, readout OR AND NOT AND, identified, interchange 16 of 16 for each."""
    circuit = identify_circuit(textbook)
    assert circuit.verdict == "identified"
    assert [(u.layer, u.index, u.gate, u.margin, u.interchange) for u in circuit.units] == [
        (0, 0, "OR", 0.5, 16),
        (0, 1, "AND", 1.0, 16),
    ]
    assert circuit.readout == "h0.0 & ~h0.1"
    assert circuit.formula == "(x0 | x1) & ~(x0 & x1)"
    assert len(circuit.readings) == 1
    assert circuit.primary.n_interchange == 16
    # the levels of the OR unit are 0 and 4/3, of the AND unit 0 and 1; the closest row is 01: 4/3 -
    # 0.5
    assert circuit.primary.readings[0][0].high == pytest.approx(4 / 3)
    assert circuit.primary.worst_margin == pytest.approx(0.5)


def test_one_unit_has_several_readings():
    """relu(a + b) = 0, 1, 1, 2 reads as OR and as AND, each with half its range as margin; alone it
    decides nothing.
    """
    readings = unit_readings(torch.tensor([0.0, 1.0, 1.0, 2.0]))
    assert [(r.gate, r.margin, r.threshold, r.low, r.high) for r in readings] == [
        ("OR", 0.5, 0.5, 0.0, pytest.approx(4 / 3)),
        ("AND", 0.5, 1.5, pytest.approx(2 / 3), 2.0),
    ]


def test_constant_units_say_dead_or_always_on():
    """No gap, no margin; the gate is FALSE or TRUE. Rounding noise around a constant is not a gap."""
    for values, gate, note in (
        ([0.0] * 4, "FALSE", "dead"),
        ([3.0, 3.0, 3.0 + 1e-10, 3.0], "TRUE", "always on"),
        ([-1.0] * 4, "FALSE", "dead"),
    ):
        (reading,) = unit_readings(torch.tensor(values, dtype=torch.float64))
        assert (reading.gate, reading.note, reading.margin) == (gate, note, None)
        assert reading.low == reading.high == pytest.approx(values[0])


def test_readings_do_not_depend_on_the_unit_s_scale():
    """Positive rescaling of a unit leaves bits and margins as they are, down to 1e-12."""
    values = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
    for scale in (1e-12, 1.0, 1e9):
        assert [(r.bits, round(r.margin, 9)) for r in unit_readings(values * scale)] == [
            (r.bits, round(r.margin, 9)) for r in unit_readings(values)
        ]


def test_units_acting_as(textbook):
    """OR as itself, NOR as its complement with polarity -1 (unless switched off), XOR not at all;
    aliases and unknown names.
    """
    circuit = identify_circuit(textbook)
    assert [(a.place, a.polarity, a.gate) for a in circuit.units_acting_as("OR")] == [
        (Unit(0, 0), 1, "OR")
    ]
    assert [(a.place, a.polarity) for a in circuit.units_acting_as("NAND")] == [(Unit(0, 1), -1)]
    assert circuit.units_acting_as("NOR", up_to_complement=False) == ()
    assert circuit.units_acting_as("XOR") == ()
    assert circuit.units_acting_as("conjunction")[0].place == Unit(0, 1)
    with pytest.raises(XorMiError, match="no gate 'ORR'"):
        circuit.units_acting_as("ORR")


def test_every_solved_network_of_500_agrees_with_the_oracle(population):
    """One verdict each, and every label equals the brute-force search written separately; unsolved
    networks get no gate.
    """
    counts = Counter()
    for index in range(len(population)):
        model = population[index]
        circuit = identify_circuit(model)
        decided, expected = readings.faithful_gates(*exact_layers(model))
        assert circuit.verdict in VERDICTS
        assert (
            (circuit.verdict != "not_computing")
            == (decided == [False, True, True, False])
            == bool(population.solved[index])
        )
        if circuit.verdict == "not_computing":
            assert circuit.units_acting_as("OR") == () == circuit.readings
            assert all(unit.gate is None for unit in circuit.units)
            continue
        found = [[reading.gate for reading in joint.readings[0]] for joint in circuit.readings]
        assert sorted(found) == sorted(expected)
        assert circuit.verdict == {0: "no_gate_reading", 1: "identified"}.get(
            len(expected), "ambiguous"
        )
        counts[frozenset(unit.gate for unit in circuit.units)] += 1
    assert len(counts) == 6, "all six ReLU families occur"
    or_and = (
        counts[frozenset({"OR", "AND"})]
        + counts[frozenset({"NOR", "AND"})]
        + counts[frozenset({"NOR", "NAND"})]
    )
    assert 0.25 < or_and / sum(counts.values()) < 0.6


@pytest.mark.parametrize("hidden", [3, 4])
def test_wider_networks_agree_with_the_oracle(hidden):
    """Every solved 2-3-1 and 2-4-1 network: the same set of faithful readings as brute force,
    ambiguous ones included.
    """
    population = train_population("XOR", 60, hidden=(hidden,), config=TrainConfig(max_steps=600))
    verdicts = Counter()
    for index in range(len(population)):
        circuit = identify_circuit(population[index], min_margin=0, require="substitution")
        verdicts[circuit.verdict] += 1
        if circuit.verdict != "not_computing":
            _, expected = readings.faithful_gates(*exact_layers(population[index]))
            assert sorted(
                [r.gate for r in joint.readings[0]] for joint in circuit.readings
            ) == sorted(expected)
    assert verdicts["ambiguous"] > 0
    assert verdicts["identified"] > 0


def test_interchange_counts_agree_with_transformer_lens(trained):
    """Each unit's count, recomputed with TransformerLens' interchange on the neuron basis and the
    gates' own bits.
    """
    model, circuit = trained.model, identify_circuit(trained.model)
    rows = model.rows()
    bases, sources = rows.repeat_interleave(4, 0), rows.repeat(4, 1)
    hook = "blocks.0.mlp.hook_post"
    activations = interchange.collect_activations(model, hook, sources, model)
    gate = {unit.index: BooleanFunction.named(unit.gate) for unit in circuit.units}
    readout = circuit.netlist[-1].function
    for unit in circuit.units:
        step = interchange.SubspaceInterchange(interchange.neuron_basis(2, [unit.index]))
        decided = (
            interchange.intervened_logits(model, hook, step, bases, activations, model).flatten()
            > 0
        )
        bits = [
            [gate[k](*(source if k == unit.index else base)) for k in (0, 1)]
            for base, source in zip(bases.tolist(), sources.tolist(), strict=True)
        ]
        predicted = [bool(readout(*pair)) for pair in bits]
        assert (
            sum(d == p for d, p in zip(decided.tolist(), predicted, strict=True))
            == unit.interchange
            == 16
        )


def test_the_unsolved_network_is_not_computing(unsolved):
    """The verdict names the wrong rows, and no label is given for anything."""
    circuit = identify_circuit(unsolved.model)
    assert circuit.verdict == "not_computing"
    assert all(row in circuit.reason for row in unsolved.wrong_rows)
    assert circuit.formula is circuit.readout is circuit.gate_set is circuit.primary is None


def test_an_undecided_row_is_reported_not_rounded():
    """An output exactly on the threshold is named as undecided."""
    model = HookedMLP.from_weights(
        [([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])]
    )  # threshold 0 instead of 0.5
    circuit = identify_circuit(model, "XOR")
    assert circuit.verdict == "not_computing"
    assert circuit.problems == (("undecided", ("00", "11")),)
    assert circuit.reason.startswith("it does not compute XOR: undecided on 00, 11; ")


def test_graded_units_give_no_gate_reading():
    """XOR by the size of graded values: the network is right on every row, yet no way to cut its
    units into two levels keeps it so.
    """
    layers = [([[1, 4], [0, 2], [-2, -3]], [-3, 1, 1]), ([[-4, 2, -3]], [-1.5])]
    model = HookedMLP.from_weights(layers, target="XOR")
    decided, expected = readings.faithful_gates(*exact_layers(model))
    circuit = identify_circuit(model)
    assert decided == [False, True, True, False]
    assert expected == []
    assert circuit.verdict == "no_gate_reading"
    assert circuit.units_acting_as("OR") == ()
    assert [unit.gate for unit in circuit.units] == [None, None, None]
    assert "no reading of its units" in circuit.reason


def test_a_different_target_changes_the_verdict(textbook):
    """Held against any function it does not compute, the network is not_computing; against none, it
    is held against itself.
    """
    for name in ("AND", "OR", "XNOR"):
        assert identify_circuit(textbook, name).verdict == "not_computing"
    free = from_gates(["OR", "AND"])
    free.cfg.target = None
    assert identify_circuit(free).target.name == "XOR"
    assert identify_circuit(free).verdict == "identified"


def test_a_dead_unit_is_named_and_changes_nothing_else(textbook):
    """A third unit that is never on reads as FALSE, dead; the other two keep their gates, and
    interchange still holds.
    """
    (w1, b1), (w2, b2) = textbook.float64_layers()
    w1, b1 = torch.cat([w1, torch.tensor([[-1.0, -1.0]])]), torch.cat([b1, torch.tensor([-1.0])])
    model = HookedMLP.from_weights(
        [(w1, b1), (torch.cat([w2, torch.tensor([[5.0]])], 1), b2)],
        decision_threshold=0.5,
        target="XOR",
    )
    circuit = identify_circuit(model)
    assert circuit.verdict == "identified"
    assert [(unit.gate, unit.note) for unit in circuit.units] == [
        ("OR", ""),
        ("AND", ""),
        ("FALSE", "dead"),
    ]
    assert circuit.units[2].margin is None
    assert [unit.interchange for unit in circuit.units] == [16, 16, 16]
    assert "dead" in str(circuit)


def test_deeper_networks_are_read_layer_by_layer():
    """A 2-2-2-1 network written by hand: (OR, NAND) pass through two copying units, and the output
    ANDs them.
    """
    layers = [([[2, 2], [-2, -2]], [-1, 3]), ([[1, 0], [0, 1]], [-0.5, -0.5]), ([[2, 2]], [-3])]
    model = HookedMLP.from_weights(layers, act_fn="heaviside", target="XOR")
    circuit = identify_circuit(model)
    assert circuit.verdict == "identified"
    assert [unit.gate for unit in circuit.units] == ["OR", "NAND", "OR", "NAND"]
    assert [gate.formula for gate in circuit.netlist] == [
        "x0 | x1",
        "~x0 | ~x1",
        "h0.0",
        "h0.1",
        "h1.0 & h1.1",
    ]
    assert circuit.formula == "(x0 | x1) & (~x0 | ~x1)"
    assert BooleanFunction.from_formula(circuit.formula).name == "XOR"


def test_trained_deep_network_composes():
    """A trained 2-3-3-1 network: whatever is kept is consistent, and its netlist gives XOR on every
    row.
    """
    result = next(
        r
        for r in (
            train("XOR", hidden=(3, 3), seed=s, config=TrainConfig(act_fn="tanh")) for s in range(5)
        )
        if r.solved
    )
    circuit = identify_circuit(result.model)
    assert circuit.readings
    for joint in circuit.readings:
        assert BooleanFunction.from_formula(joint.formula_of()).name == "XOR"
        for before, after in zip(joint.readings, joint.readings[1:], strict=False):
            parents = list(zip(*(r.bits for r in before), strict=True))
            bits = list(zip(*(r.bits for r in after), strict=True))
            assert len(set(zip(parents, bits, strict=True))) == len(set(parents))


def test_several_outputs_and_three_inputs():
    """A half adder and three-bit parity: gates of units, one formula per output."""
    adder = train("x0 & x1, x0 ^ x1", hidden=(4,), seed=1).model
    circuit = identify_circuit(adder)
    assert circuit.primary
    assert [output.name for output in BooleanFunction.from_formula(circuit.formula).outputs] == [
        "AND",
        "XOR",
    ]
    assert circuit.formula in circuit.reason
    layers = [([[2, 2, 2]] * 3, [-1, -3, -5]), ([[2, -2, 2]], [-1])]
    parity = HookedMLP.from_weights(
        layers, act_fn="heaviside", target=BooleanFunction.named("XOR", 3)
    )
    circuit = identify_circuit(parity)
    assert circuit.verdict == "identified"
    assert [unit.gate for unit in circuit.units][::2] == ["OR", "AND"]
    assert circuit.units_acting_as("NAND")[0].place == Unit(0, 2)
    assert BooleanFunction.from_formula(circuit.formula).name == "XOR"


def test_every_reading_of_an_ambiguous_network_is_listed():
    """A 2-4-1 network with several circuits: all its readings are those of brute force, each
    composes to XOR, and readings are grouped by what differs in units that matter.
    """
    population = train_population("XOR", 60, hidden=(4,), config=TrainConfig(max_steps=600))
    settings = {"require": "substitution", "min_margin": 0, "with_evidence": False}
    found = (identify_circuit(network, **settings) for network in population)
    circuit = next(one for one in found if one.verdict == "ambiguous")
    _, expected = readings.faithful_gates(*exact_layers(circuit.model))
    found = [[r.gate for r in joint.readings[0]] for joint in circuit.readings]
    assert sorted(found) == sorted(expected)
    assert f"{len(circuit.passing)} circuits survive" in circuit.reason
    assert all(
        BooleanFunction.from_formula(joint.formula_of()).name == "XOR" for joint in circuit.readings
    )
    of_live_units = [tuple(zip(one.live, one.gates, strict=True)) for one in circuit.circuits]
    for one, live in zip(circuit.circuits, of_live_units, strict=True):
        for joint in one.readings:
            assert all(joint.of(unit).gate == gate for unit, gate in live)


def test_copies_are_one_variable_in_two_places(textbook):
    """Two copies of each textbook unit, the outgoing weights shared out: one circuit, the
    textbook's, with every copy named; read apart, a copy could be AND as well.
    """
    model = HookedMLP.from_weights(
        [([[1, 1]] * 4, [0, 0, -1, -1]), ([[0.25, 0.75, -1, -1]], [0])],
        decision_threshold=0.5,
        target="XOR",
    )
    circuit = identify_circuit(model)
    assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
    assert [joint.gates for joint in circuit.readings] == [(("OR", "OR", "AND", "AND"),)]
    assert circuit.signature == identify_circuit(textbook).signature
    assert [[unit.name for unit in units] for units in circuit.copies] == [
        ["h0.0", "h0.1"],
        ["h0.2", "h0.3"],
    ]
    assert circuit.circuits[0].live == tuple(model.units)
    assert {edge.name for edge in circuit.edges if edge.dst.is_output} == {
        *("h0.0->y0", "h0.1->y0", "h0.2->y0", "h0.3->y0"),
    }


def test_the_circuit_to_believe_comes_first():
    """By level of proof, single interchanges as predicted, the smallest margin of a live unit (to
    six digits), and the fewest live variables.
    """
    population = train_population("XOR", 60, hidden=(4,), config=TrainConfig(max_steps=600))
    circuits = [identify_circuit(network, with_evidence=False) for network in population]
    several = [circuit for circuit in circuits if len(circuit.circuits) > 1]
    assert len(several) > 5
    for circuit in several:
        keys = []
        for one in circuit.circuits:
            first = one.readings[0]
            margins = [first.of(unit).margin for unit in one.live]
            single = sum(first.interchange[unit] for unit in circuit.model.units)
            n_copies = sum(
                len(set(units) & set(one.live)) - 1
                for units in circuit.copies
                if set(units) & set(one.live)
            )
            level = ("joint", "single", "substitution").index(one.proof_level)
            smallest = -float(f"{min(margins):.6g}")
            keys.append((level, -one.single.n_right, smallest, len(one.live) - n_copies))
            if not circuit.copies:
                assert one.single == (single, 16 * len(circuit.model.units), None)
        assert keys == sorted(keys)


def test_json_holds_everything(textbook):
    """The dict is JSON-ready and carries verdict, gates, netlist bits and interchange counts."""
    data = json.loads(json.dumps(identify_circuit(textbook).to_dict()))
    assert data["format"] == "xor_mi.Circuit/5"
    assert data["verdict"] == "identified"
    assert [unit["gate"] for unit in data["units"]] == ["OR", "AND"]
    assert data["readings"][0]["netlist"]["y0"] == {
        "parents": ["h0.0", "h0.1"],
        "bits": [0, 0, 1, 0],
        "formula": "h0.0 & ~h0.1",
        "undecided": [],
    }
    assert data["readings"][0]["interchange"] == {"h0.0": 16, "h0.1": 16}


def test_bad_requests_are_refused(textbook, deep):
    """Train mode, targets of another shape, weights that are not finite, and more readings than the
    bound.
    """
    with pytest.raises(XorMiError, match="3 inputs; the network has 2"):
        identify_circuit(textbook, BooleanFunction.named("XOR", 3))
    with pytest.raises(XorMiError, match="the target has 1 output; the network has 2"):
        identify_circuit(deep, BooleanFunction.named("XOR", 3))
    with pytest.raises(XorMiError, match="more than max_readings=3 faithful joint readings"):
        identify_circuit(HookedMLP(HookedMLPConfig(seed=1, act_fn="tanh")), max_readings=3)
    with pytest.raises(XorMiError, match="layer 0 has [0-9,]+ joint readings; at most"):
        identify_circuit(HookedMLP(HookedMLPConfig(3, (12,), seed=1, act_fn="tanh")))
    with torch.no_grad():
        textbook.fc1.bias[0] = float("inf")
    with pytest.raises(XorMiError, match="fc1.bias has NaN or infinite"):
        identify_circuit(textbook)
    with pytest.raises(XorMiError, match="call model.eval"):
        identify_circuit(deep.train())


def test_a_decision_that_rests_on_rounding_is_not_called_computed():
    """0.3 - 0.2 - 0.1 is zero in one precision and not in another: the row is named instead of a
    gate.
    """
    model = HookedMLP.from_weights(
        [([[1, 1], [-0.2, -0.1]], [-0.5, 0.3]), ([[2, 2]], [-3])], act_fn="heaviside", target="XOR"
    )
    assert decisions(model).flatten().tolist() == [0, 1, 1, 0]
    circuit = identify_circuit(model)
    assert circuit.verdict == "not_computing"
    assert "decided by rounding alone on 11" in circuit.reason


def test_a_unit_with_a_large_offset_is_still_read():
    """A unit that varies by 2 around three million is not a constant."""
    offset = 3e6
    layers = [([[1.0, 1.0], [1.0, 1.0]], [-1.0, offset]), ([[-2.0, 1.0]], [-offset - 0.5])]
    layers = [
        (torch.tensor(w, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
        for w, b in layers
    ]
    circuit = identify_circuit(HookedMLP.from_weights(layers, target="XOR"))
    assert (circuit.verdict, [unit.gate for unit in circuit.units]) == ("identified", ["AND", "OR"])


def test_ties_of_unobserved_combinations_are_named():
    """NOR, x1>x0 and x0>x1 with a readout that is exactly 0 (in decimals) when the last two are on
    together, which no input does.
    """
    layers = [([[-2, -2], [-2, 2], [2, -2]], [1, -1, -1]), ([[0, -0.5, 0.8]], [-0.3])]
    model = HookedMLP.from_weights(layers, act_fn="heaviside", target="x0>x1")
    readout = identify_circuit(model).netlist[-1]
    assert readout.undecided == ("011", "111")
    assert readout.function.bits[3] == 0


@pytest.mark.unchecked
def test_hooks_and_other_models_are_refused():
    """What plain arithmetic cannot speak for: a network with hooks attached, a result instead of
    its model, another module.
    """
    model = from_gates(["OR", "AND"])
    model.add_hook("blocks.0.mlp.hook_post", lambda value, hook: value * 0)
    with pytest.raises(XorMiError, match="hook on 'blocks.0.mlp.hook_post' changes the run"):
        identify_circuit(model)
    with pytest.raises(XorMiError, match="needs a HookedMLP, not Linear"):
        identify_circuit(torch.nn.utils.skip_init(torch.nn.Linear, 2, 1))


def test_labels_of_a_circuit_can_be_asked_for():
    """Formula labels of three-input units, and functions, are accepted like gate names."""
    layers = [([[2, 2, 2]] * 3, [-1, -3, -5]), ([[2, -2, 2]], [-1])]
    circuit = identify_circuit(
        HookedMLP.from_weights(layers, act_fn="heaviside", target=BooleanFunction.named("XOR", 3))
    )
    assert [
        a.place.index
        for unit in circuit.units
        for a in circuit.units_acting_as(unit.gate, up_to_complement=False)
    ] == [0, 1, 2]
    assert hash(circuit.primary) == hash(replace(circuit.primary))


def test_what_stands_for_copies_does_not_hang_on_their_numbers():
    """AND and its complement as copies beside OR, in every order: the same signature, and the same
    circuit listed with all its places.
    """
    gates = [([1, 1], -1.5, -1), ([-1, -1], 1.5, 1), ([1, 1], -0.5, 2)]
    found = set()
    for order in itertools.permutations(gates):
        layers = [
            ([weight for weight, _, _ in order], [bias for _, bias, _ in order]),
            ([[weight for _, _, weight in order]], [-2]),
        ]
        circuit = identify_circuit(HookedMLP.from_weights(layers, act_fn="heaviside", target="XOR"))
        assert (circuit.verdict, len(circuit.copies)) == ("identified", 1)
        found.add(
            (circuit.signature, circuit.circuits[0].n_variables, *sorted(circuit.circuits[0].gates))
        )
    assert found == {("OR & ~AND", 2, "AND", "NAND", "OR")}


def test_units_that_are_alike_on_the_rows_and_part_under_interchange_are_no_copies():
    """The second layer copies OR, and makes OR of OR and AND: the same on every row, since AND is
    never on without OR. Where an interchange sets AND alone they differ, and so does the output.
    """
    layers = [
        ([[2, 2], [2, 2]], [-1, -3]),
        ([[2, 0], [2, 2], [0, 2]], [-1, -1, -1]),
        ([[1, 1, -3]], [-0.5]),
    ]
    circuit = identify_circuit(HookedMLP.from_weights(layers, act_fn="heaviside", target="XOR"))
    assert [unit.gate for unit in circuit.units[2:]] == ["OR", "OR", "AND"]
    assert circuit.copies == ()
    assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
    assert [gate.formula for gate in circuit.netlist[2:5]] == ["h0.0", "h0.0 | h0.1", "h0.1"]


def test_more_joint_interchanges_than_are_run_are_counted():
    """Five inputs and six units: 32^6 joint interchanges. Before the outputs it is exact whether all
    are as predicted, so all are counted; in a layer before that a sample is run, which says so.
    """
    counts = ([[2] * 5] * 5 + [[0] * 5], [-1, -3, -5, -7, -9, 1])
    readout = ([[2, -2, 2, -2, 2, 0]], [-1])
    circuit = identify_circuit(HookedMLP.from_weights([counts, readout], act_fn="heaviside"))
    assert circuit.proof_level == "joint"
    assert circuit.circuits[0].joint == ((32**6, 32**6, None),)
    assert f"{32**6:,} of {32**6:,} joint interchanges come out" in circuit.reason
    same = ([[2 * (i == j) for j in range(6)] for i in range(6)], [-1] * 6)
    circuit = identify_circuit(HookedMLP.from_weights([counts, same, readout], act_fn="heaviside"))
    sampled, exact = circuit.circuits[0].joint
    assert (sampled.n, sampled.n_all, sampled.exhaustive) == (65536, 32**6, False)
    assert (exact.n, exact.exhaustive) == (32**6, True)
    sampled_words = f"65,536 of 65,536 in layer 0 (a seeded sample of {32**6:,})"
    assert f"{sampled_words} and {32**6:,} of {32**6:,} in" in circuit.reason
    assert not circuit.circuits[0].exhaustive


def test_the_worst_joint_interchange_is_found_where_a_sample_misses_it(monkeypatch):
    """Of networks with a hidden layer the exact answer, by the worst run of every combination of
    bits, is that of running them all: with the number of runs cut down to a sample of 4.
    """
    population = train_population("XOR", 60, hidden=(3,), config=TrainConfig(max_steps=600))
    settings = {"require": "substitution", "with_evidence": False}
    levels = []
    for network in population:
        whole = identify_circuit(network, **settings)
        with monkeypatch.context() as patched:
            patched.setattr(_interchange, "MAX_JOINT", 4)
            few = identify_circuit(network, **settings)
        assert [one.proof_level for one in few.circuits] == [
            one.proof_level for one in whole.circuits
        ]
        levels += [one.proof_level for one in few.circuits]
        for one in few.circuits:
            assert (one.contradiction is None) == (one.proof_level == "joint")
    assert levels.count("joint") > 5
    assert len(levels) - levels.count("joint") > 5


def test_what_varies_by_rounding_alone_is_constant():
    """0.1 + 0.2 - 0.3 of three copies is 0 or 5.6e-17: that unit is dead, and XOR beside it is
    found.
    """
    first = ([[7, 7]] * 4, [-3, -10, -3, -3])
    second = ([[6, -6, 0, 0], [0.1, 0, 0.2, -0.3]], [-6, 0])
    layers = [
        (torch.tensor(weight, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64))
        for weight, bias in [first, second, ([[4.0, 1.0]], [0.0])]
    ]
    model = HookedMLP.from_weights(layers, act_fn="tanh", dtype="float64")
    circuit = identify_circuit(model, "XOR")
    assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
    assert [unit.gate for unit in circuit.units] == ["OR", "AND", "OR", "OR", "XOR", "FALSE"]


def test_direct_connections_beside_two_hidden_layers_are_read():
    """AND through two layers, against OR past them: XOR, with every interchange as predicted."""
    layers = [([[1, 1]], [-1.5]), ([[1]], [-0.5]), ([[-2]], [-0.5])]
    circuit = identify_circuit(
        HookedMLP.from_weights(layers, direct=[[1, 1]], act_fn="heaviside", target="XOR")
    )
    assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
    assert [unit.gate for unit in circuit.units] == ["AND", "AND"]


def test_no_unit_acts_as_a_gate_in_a_circuit_that_is_not_proved():
    """An approximate network has gates to show and none to rely on; nor has an idle unit."""
    found = (
        identify_circuit(network, with_evidence=False)
        for network in train_population("XOR", 40, hidden=(3,), config=TrainConfig(act_fn="tanh"))
    )
    circuits = [circuit for circuit in found if circuit.circuits]
    unproved = [circuit for circuit in circuits if circuit.verdict == "approximate"]
    proved = [circuit for circuit in circuits if circuit.passing]
    assert unproved
    assert proved
    for circuit in unproved:
        assert all(not circuit.units_acting_as(unit.gate) for unit in circuit.units)
    for circuit in proved:
        for unit in circuit.units:
            acting = {one.place for one in circuit.units_acting_as(unit.gate)}
            assert (unit.place in acting) == (not unit.idle or unit.constant)


def test_controls_are_held_to_what_the_verdict_is_held_to():
    """Untrained networks have more circuits that survive substitution than that pass interchange,
    and the controls of a verdict are counted as it is.
    """
    rates = {}
    for require in ("substitution", "joint"):
        model = HookedMLP(HookedMLPConfig(d_hidden=(3,), act_fn="tanh", target="XOR"))
        measured = control_rates(model, "XOR", n_networks=40, require=require, progress=False)
        rates[require] = {rate.control: rate.n_positive for rate in measured.rates}
    own = "untrained_own_function"
    assert rates["substitution"][own] > rates["joint"][own] > 0
