"""The gate rule of Chen et al. and joint removal: against enumeration, hand-made networks and loops
of one run per edge.
"""

import itertools

import numpy as np
import pytest
import torch

from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.exam import (
    GATE_METHODS,
    ExamProblem,
    agreement_with_circuit,
    chance_of_agreement,
    chen_toy,
    gate_rule_chen,
    gate_rule_joint,
    gate_table,
    proven_gates,
)
from xor_mi.graph import Unit
from xor_mi.handmade import from_formula, from_gates, textbook_xor
from xor_mi.model import HookedMLP
from xor_mi.training import train_population
from xor_mi.truth import GATES, name_of_bits

RIGHT = {"FALSE", "TRUE", "AND", "NAND", "OR", "NOR", "x0", "x1", "~x0", "~x1"}
"""What the rule names right; the others are XOR, XNOR and the four one-sided gates."""


def patterns(observed):
    """Gates that look alike: what is observed of a table -> the gates."""
    alike = {}
    for gate, (at_00, at_01, at_10, at_11) in GATES.items():
        alike.setdefault(observed(at_00, at_01, at_10, at_11), set()).add(gate)
    return sorted(alike.values(), key=sorted)


def test_what_single_edges_tell_of_the_16_gates():
    """The numbers at the top of the module, by enumeration."""

    def noising(a, b, c, d):
        return d != b, d != c

    def denoising(a, b, c, d):
        return a != c, a != b

    by_noising, by_denoising = patterns(noising), patterns(denoising)
    assert [len(alike) for alike in by_noising] == [4] * 4
    assert [len(alike) for alike in by_denoising] == [4] * 4
    assert any({"AND", "XNOR"} <= alike for alike in by_noising)
    assert any({"OR", "XOR"} <= alike for alike in by_denoising)
    both = patterns(lambda *table: noising(*table) + denoising(*table))
    assert len(both) == 8
    for one, other in both:
        assert GATES[one] == tuple(1 - bit for bit in GATES[other])
    # the values of the clean run and of each edge noised, without and with the joint removal
    assert len(patterns(lambda a, b, c, d: (d, b, c))) == 8
    assert len(patterns(lambda a, b, c, d: (d, b, c, a))) == 16
    # no three of the four runs are enough
    for runs in itertools.combinations(range(4), 3):
        assert len(patterns(lambda *table, runs=runs: tuple(table[run] for run in runs))) == 8


def test_the_table_of_16_gates():
    """Each edge's name from the four values, with no code of the package."""
    table = gate_table().frame()
    assert table["gate"].tolist() == list(GATES)
    assert set(table["gate"][table["chen_right"]]) == RIGHT
    assert table["joint_right"].all()
    assert table["joint"].tolist() == table["gate"].tolist()
    names = {(1, 0): "AND", (0, 1): "OR", (1, 1): "ADDER", (0, 0): "none"}
    for line in table.itertuples():
        at_00, at_01, at_10, at_11 = GATES[line.gate]
        assert line.edge_0 == names[int(at_11 != at_01), int(at_10 != at_00)]
        assert line.edge_1 == names[int(at_11 != at_10), int(at_01 != at_00)]
        assert line.chen_right == (line.chen == line.gate)
    published = table.set_index("gate")[["edge_0", "edge_1"]].T.to_dict("list")
    # the facts of the paper's rule that are known: AND, OR, and what it makes of XOR
    assert [published[gate] for gate in ("AND", "NAND")] == [["AND", "AND"]] * 2
    assert [published[gate] for gate in ("OR", "NOR")] == [["OR", "OR"]] * 2
    assert [published[gate] for gate in ("XOR", "XNOR")] == [["ADDER", "ADDER"]] * 2
    for gate in ("x0>x1", "x1>x0", "x0>=x1", "x1>=x0"):
        assert sorted(published[gate]) == ["AND", "OR"]


def test_the_toy():
    """relu(x0 + x1 - 1), 1 - relu(1 - x0 - x1) and x0 + x1, edge by edge by hand."""
    toy = chen_toy()
    gates = {
        "AND": lambda a, b: max(a + b - 1, 0),
        "OR": lambda a, b: 1 - max(1 - a - b, 0),
        "ADDER": lambda a, b: a + b,
    }
    outputs = toy(toy.rows()).tolist()
    for row, (a, b) in enumerate(itertools.product((0, 1), repeat=2)):
        assert outputs[row] == [gate(a, b) for gate in gates.values()]
    lines = gate_table().toy_frame()
    assert lines["label"].tolist() == ["AND"] * 2 + ["OR"] * 2 + ["ADDER"] * 2
    for line in lines.itertuples():
        gate = gates[line.gate]
        noised = gate(0, 1) if line.edge == "x0" else gate(1, 0)
        denoised = gate(1, 0) if line.edge == "x0" else gate(0, 1)
        assert line.noising == gate(1, 1) - noised
        assert line.denoising == denoised - gate(0, 0)
    named = gate_rule_chen(ExamProblem.of(toy))
    # 1 - OR is the hidden unit, and the output adds up what it reads
    assert [named[Unit(0, k)] for k in range(3)] == ["AND", "NOR", "ADDER(x0, x1)"]


@pytest.mark.parametrize("act_fn", ["heaviside", "relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("gate", [gate for gate in GATES if gate not in ("XOR", "XNOR")])
def test_hand_made_units(gate, act_fn):
    """One unit that is the gate, with weights from a plane that separates its ones from its zeros.

    Of XOR and XNOR there is no such unit; the next test has them as outputs.
    """
    if gate == "FALSE" and act_fn == "sigmoid":
        # a unit that is always 0.27 is read as on, as `identify_circuit` reads it
        return
    model = from_gates([gate], gate, act_fn=act_fn)
    problem = ExamProblem.of(model)
    joint = gate_rule_joint(problem)
    assert joint == {Unit(0, 0): gate, Unit(1, 0, is_output=True): gate}
    if act_fn == "heaviside":
        assert (gate_rule_chen(problem)[Unit(0, 0)] == gate) == (gate in RIGHT)


@pytest.mark.parametrize(("gate", "levels"), [*itertools.product(GATES, [(0, 1), (1, -1)])])
def test_outputs_of_two_levels_are_all_16_gates(gate, levels):
    """A readout of OR and AND, or of whatever the formula needs, is named by composition."""
    model = from_formula(sum_of_ones(gate), input_levels=levels)
    y0 = Unit(len(model.layer_sizes) - 2, 0, is_output=True)
    assert gate_rule_joint(ExamProblem.of(model, gate))[y0] == gate


def sum_of_ones(gate):
    """The gate as a sum of its ones."""
    ones = [row for row, bit in enumerate(GATES[gate]) if bit]
    terms = [f"({'' if row & 2 else '~'}x0 & {'' if row & 1 else '~'}x1)" for row in ones]
    return " | ".join(terms) or "x0 & ~x0"


@pytest.mark.parametrize(
    "formula", ["x0 ^ x1 ^ x2", "x0 & x1 | x1 & x2 | x0 & x2", "x0 & ~x1 & x2"]
)
def test_three_senders_and_more_layers(formula):
    """Every unit against its own values on all rows, above or below the middle."""
    model = from_formula(formula)
    problem = ExamProblem.of(model)
    joint = gate_rule_joint(problem)
    with torch.no_grad():
        outputs, cache = model.run_with_cache(model.rows())
    for unit in problem.units:
        values = cache[f"blocks.{unit.layer}.mlp.hook_post"][:, unit.index]
        middle = (values.min() + values.max()) / 2
        if values.unique().numel() == 2:
            assert joint[unit] == name_of_bits(tuple((values > middle).int().tolist()))
    decided = (outputs[:, 0] > model.cfg.decision_threshold).int().tolist()
    y0 = Unit(len(model.layer_sizes) - 2, 0, is_output=True)
    assert joint[y0] == name_of_bits(tuple(decided))


def label_by_hand(model, layer, unit, sender):
    """One receiver, one edge: four runs of the sum, by loops."""
    with torch.no_grad():
        _, cache = model.run_with_cache(model.rows())
    held = model.rows() if layer == 0 else cache[f"blocks.{layer - 1}.mlp.hook_post"]
    weight, bias = model.float64_layers()[layer]

    def receiver(values):
        pre = bias[unit] + sum(w * v for w, v in zip(weight[unit], values, strict=True))
        return float(model.activate(pre.reshape(1), layer))

    clean, corrupted = held[-1].double(), held[0].double()
    on_rows = [receiver(values.double()) for values in held]
    least = (max(on_rows) - min(on_rows)) / (2 * len(clean))
    noised, denoised = clean.clone(), corrupted.clone()
    noised[sender], denoised[sender] = corrupted[sender], clean[sender]
    by_noising = abs(receiver(clean) - receiver(noised)) > least
    by_denoising = abs(receiver(denoised) - receiver(corrupted)) > least
    return {(1, 0): "AND", (0, 1): "OR", (1, 1): "ADDER"}.get((by_noising, by_denoising))


@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
def test_labels_of_trained_networks_by_loops(act_fn):
    """Each name that tells edges has exactly those that a loop of runs finds, with their labels;
    each gate comes of edges with one label.
    """
    told = gates = 0
    for model in train_population("XOR", 8, hidden=(3, 2), act_fn=act_fn, progress=False):
        if model.layer_sizes != (2, 3, 2, 1):
            continue
        problem = ExamProblem.of(model)
        named = gate_rule_chen(problem)
        for unit in problem.units:
            senders = ["x0", "x1"] if unit.layer == 0 else ["h0.0", "h0.1", "h0.2"]
            labels = {
                sender: label_by_hand(model, unit.layer, unit.index, place)
                for place, sender in enumerate(senders)
            }
            found = {sender: label for sender, label in labels.items() if label}
            if "(" in named[unit] and named[unit].split("(")[0] in ("AND", "OR", "ADDER"):
                told += 1
                parts = {}
                for part in named[unit].split("), "):
                    label, edges = part.rstrip(")").split("(")
                    parts |= dict.fromkeys(edges.split(", "), label)
                assert parts == found
            elif len(found) > 1:
                gates += 1
                assert len(set(found.values())) == 1
                assert "ADDER" not in found.values()
    assert told
    assert gates


def relu_network(layers, target="AND"):
    """Weights by hand."""
    return HookedMLP.from_weights(layers, act_fn="relu", target=target)


def test_a_sender_that_is_low_in_the_clean_run():
    """NOR is 1 in the corrupted run and 0 in the clean one; what passes it on is NOR too, and what
    adds 1 and takes it away is OR.
    """
    layers = [([[-1, -1]], [1]), ([[1], [-1]], [0, 1]), ([[0, 1]], [-0.5])]
    for rule in (gate_rule_chen, gate_rule_joint):
        named = rule(ExamProblem.of(relu_network(layers, "OR")))
        assert list(named.values()) == ["NOR", "NOR", "OR", "OR"]


def test_edges_of_one_label_that_push_both_ways_are_no_gate():
    """relu(2 x0 - x1 + 2 x2 - 2): at 111 it is 1, without x0 or x2 0, and without x1 2; no sender
    alone moves it from 0.
    """
    layers = [([[2, -1, 2]], [-2]), ([[1]], [-0.5])]
    model = relu_network(layers, "x0 & x2")
    assert gate_rule_chen(ExamProblem.of(model))[Unit(0, 0)] == "AND(x0, x1, x2)"


def test_the_cut_of_a_unit_with_three_values():
    """relu(x0 + x1 - 0.5) is 0, 0.5, 0.5, 1.5, and its widest gap is below 1.5.

    Where nothing reads it, and where XOR needs all three of its values, it is cut there, as AND;
    where the decision needs the other cut, as OR.
    """
    count = [1, 1]
    alone = relu_network([([count, [1, 0]], [-0.5, 0]), ([[0, 1]], [-0.5])], "x0")
    assert gate_rule_joint(ExamProblem.of(alone))[Unit(0, 0)] == "AND"
    tent = [([count], [-0.5]), ([[1], [1]], [-0.25, -0.5]), ([[1, -2]], [-0.1])]
    model = relu_network(tent, "XOR")
    assert (model(model.rows())[:, 0] > 0).int().tolist() == [0, 1, 1, 0]
    assert gate_rule_joint(ExamProblem.of(model))[Unit(0, 0)] == "AND"
    read_as_or = relu_network([([count], [-0.5]), ([[1]], [-0.1])], "OR")
    assert gate_rule_joint(ExamProblem.of(read_as_or))[Unit(0, 0)] == "OR"


def test_idle_units_have_no_proven_gate():
    """The textbook network, and a unit that nothing reads."""
    layers = [([[1, 1], [1, 1], [1, 0]], [0, -1, 0]), ([[1, -2, 0]], [-0.5])]
    problem = ExamProblem.of(relu_network(layers, "XOR"))
    assert proven_gates(problem) == {Unit(0, 0): (0, 1, 1, 1), Unit(0, 1): (0, 0, 0, 1)}
    assert agreement_with_circuit({Unit(0, 2): "x0"}, problem) == 0


def test_the_cost_is_counted():
    """Of the textbook network: its rows once; then 2 layers x 2 senders x 2 runs of one row; joint
    removal runs 2 x 4 combinations, and tries 3 cuts, on 4 rows each.
    """
    problem = ExamProblem.of(textbook_xor())
    gate_rule_chen(problem)
    assert problem.cost.forwards == 1 + 8 / 4
    problem = ExamProblem.of(textbook_xor())
    gate_rule_joint(problem)
    # OR by the first cut; of AND the one cut that there is
    assert problem.cost.forwards == 1 + 8 / 4 + 2


@pytest.mark.as_a_user
def test_joint_removal_agrees_with_the_circuit_of_every_small_network():
    """2-2-1, as `identify_circuit` proves each unit by interchange."""
    n_graded = 0
    for act_fn in ("relu", "sigmoid"):
        for model in train_population("XOR", 40, hidden=(2,), act_fn=act_fn, progress=False):
            problem = ExamProblem.of(model)
            circuit = identify_circuit(model, with_evidence=False, progress=False)
            agreement = agreement_with_circuit(gate_rule_joint(problem), problem)
            if circuit.verdict != "identified":
                continue
            live = [unit for unit in circuit.units if not unit.idle]
            named = gate_rule_joint(problem)
            right = [named[unit.place] == unit.gate for unit in live]
            assert agreement == sum(right) / len(right) == 1
            n_graded += 1
    assert n_graded > 20


def test_chance_is_the_mean_over_all_ways_to_deal_out_the_names():
    """By all n! permutations of the names over the proven units."""
    model = from_formula("x0 & x1 | ~x0 & ~x1 & x2 | x1 & ~x2")
    problem = ExamProblem.of(model)
    proven = proven_gates(problem)
    assert len(proven) >= 3
    units = list(proven)
    joint = gate_rule_joint(problem)
    for answer in (joint, gate_rule_chen(problem), {**joint, units[0]: joint[units[1]]}):
        of_all = []
        for names in itertools.permutations([answer[unit] for unit in units]):
            dealt = answer | dict(zip(units, names, strict=True))
            of_all.append(agreement_with_circuit(dealt, problem))
        assert chance_of_agreement(answer, problem) == pytest.approx(np.mean(of_all))


def test_agreement_by_hand():
    """OR and AND of the textbook network: right, half right, by another spelling, and not named."""
    problem = ExamProblem.of(textbook_xor())
    first, second = problem.units
    assert proven_gates(problem) == {first: (0, 1, 1, 1), second: (0, 0, 0, 1)}
    for answer, expected in (
        ({first: "OR", second: "AND"}, 1),
        ({first: "x1 | x0", second: "~(~x0 | ~x1)"}, 1),
        ({first: "AND", second: "AND"}, 0.5),
        ({first: "NOR", second: "ADDER(x0, x1)"}, 0),
        ({second: "AND"}, 0.5),
        ({}, 0),
    ):
        assert agreement_with_circuit(answer, problem) == expected


def test_where_nothing_is_proven_there_is_no_agreement():
    """A network that does not compute its target has no circuit."""
    layers = [([[1, 1], [1, 1]], [0, -1]), ([[1, 1]], [0])]
    model = HookedMLP.from_weights(layers, act_fn="relu", target="XOR")
    problem = ExamProblem.of(model)
    answer = gate_rule_joint(problem)
    assert proven_gates(problem) == {}
    assert agreement_with_circuit(answer, problem) is None
    assert chance_of_agreement(answer, problem) is None


def test_dead_units_and_the_larger_of_two_outputs():
    """A unit that is 0 throughout is FALSE, one that is 1 throughout TRUE, by both rules; a decision
    between two outputs is that of the output that stands for it.
    """
    layers = [([[1, 1], [0, 0], [0, 0]], [-1, -1, 1]), ([[0, 0, 0], [1, 0, 0]], [0.5, 0])]
    model = HookedMLP.from_weights(layers, act_fn="relu", decision_rule="argmax", target="AND")
    for named in (gate_rule_chen, gate_rule_joint):
        found = named(ExamProblem.of(model))
        assert found[Unit(0, 0)] == found[Unit(1, 1, is_output=True)] == "AND"
        assert [found[Unit(0, 1)], found[Unit(0, 2)]] == ["FALSE", "TRUE"]
        assert len(found) == 4


@pytest.mark.unchecked
def test_wrong_answers_are_refused():
    """With what to give."""
    problem = ExamProblem.of(textbook_xor())
    for answer in (None, [("h0.0", "AND")], {"h0.0": "AND"}, {Unit(0, 0): 3}):
        for function in (agreement_with_circuit, chance_of_agreement):
            with pytest.raises(XorMiError, match="a mapping of units to names of gates"):
                function(answer, problem)
    for rule in (gate_rule_chen, gate_rule_joint, proven_gates):
        with pytest.raises(XorMiError, match="give an ExamProblem"):
            rule(textbook_xor())


def test_methods_are_ready_to_run():
    """Each answers for every hidden unit and output."""
    problem = ExamProblem.of(textbook_xor())
    for method in GATE_METHODS:
        assert method.gives == "gates"
        assert set(method(problem)) == {*problem.units, Unit(1, 0, is_output=True)}
