"""Evidence, signature, family, exports and the page of text: each against a second way."""

import json
import re
from dataclasses import replace
from itertools import combinations, permutations, product

import networkx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import readings

from xor_mi import circuits, zoo
from xor_mi.circuits import _wording, control_rates, identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.interventions import HighLevelModel, interchange_accuracy
from xor_mi.model import HookedMLP
from xor_mi.testing import assert_acts_as, compare_records, record_of
from xor_mi.training import TrainConfig, train, train_population
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

H0, H1 = Unit(0, 0), Unit(0, 1)


def rebuilt(model, order=None, scales=None, dead=0, duplicate=False):
    """A one-hidden-layer network with its hidden units renumbered, rescaled, joined by dead ones,
    or all doubled.
    """
    (w1, b1), (w2, b2) = model.float64_layers()
    order = list(range(len(b1))) if order is None else order
    scales = (
        torch.ones(len(b1), dtype=torch.float64)
        if scales is None
        else torch.tensor(scales, dtype=torch.float64)
    )
    w1, b1, w2 = w1[order] * scales[:, None], b1[order] * scales, w2[:, order] / scales
    w1 = torch.cat([w1, -torch.ones(dead, w1.shape[1], dtype=torch.float64)])
    b1, w2 = torch.cat([b1, -torch.ones(dead)]), torch.cat([w2, torch.ones(len(w2), dead)], 1)
    if duplicate:
        w1, b1, w2 = torch.cat([w1, w1]), torch.cat([b1, b1]), torch.cat([w2, w2], 1) / 2
    cfg = model.cfg
    settings = {
        "act_fn": cfg.act_fn,
        "decision_threshold": cfg.decision_threshold,
        "target": cfg.target,
        "loss_fn": cfg.loss_fn,
    }
    return HookedMLP.from_weights([(w1, b1), (w2, b2)], **settings)


def swapped_inputs(model):
    """The same network with its two inputs exchanged."""
    (w1, b1), *rest = model.float64_layers()
    return HookedMLP.from_weights(
        [(w1.flip(1), b1), *rest],
        decision_threshold=model.threshold,
        act_fn=model.cfg.act_fn,
        target="XOR",
    )


def test_textbook_evidence(textbook):
    """Every claim, by hand: margins, 16 of 16, 6 of 16 in the other's role, one row lost without
    the OR (mean), three without the AND.
    """
    circuit = identify_circuit(textbook)
    assert circuit.interchange_matrix().to_numpy().tolist() == [[16, 6], [6, 16]]
    assert circuit.interchange_matrix().columns.tolist() == ["OR (h0.0)", "AND (h0.1)"]
    claims = {evidence.claim: evidence for evidence in circuit.evidence}
    assert all(evidence.holds for evidence in claims.values())
    found = {
        claim: (evidence.effect, evidence.control, evidence.n) for claim, evidence in claims.items()
    }
    assert found.pop("two levels per unit are enough") == (pytest.approx(0.5), 0.5, 4)
    agreed, by_chance, n = found.pop("the units of layer 0 act together as their gates")
    assert agreed == n == 16 > by_chance
    assert found == {
        "h0.0 acts as OR": (16, 6, 16),
        "h0.1 acts as AND": (16, 6, 16),
        "h0.0 is necessary": (1, 0, 4),
        "h0.1 is necessary": (3, 0, 4),
        "h0.0 + h0.1 are sufficient under mean ablation": (4, 3, 4),
        "h0.0 + h0.1 are sufficient under zero ablation": (4, 3, 4),
    }
    assert (
        str(claims["h0.0 acts as OR"])
        == "h0.0 acts as OR: 16 of 16 runs decided as the netlist predicts, control 6 (holds)"
    )
    mean, zero = circuit.proof.ablations
    # means 1 and 0.25: without h0.0 NAND (11 right, 00 wrong: one row); without h0.1 the outputs
    # are -0.5, 0.5, 0.5, 1.5
    assert (mean.value, mean.rows_changed, zero.rows_changed) == ("mean", (1, 3, 4), (2, 1, 2))
    assert mean.breaking == zero.breaking == circuit.proof.necessary() == ((H0,), (H1,))
    assert mean.sufficient == zero.sufficient == ((H0, H1),)


def test_the_interchange_matrix_is_interchange_accuracy_with_the_labels_swapped():
    """Each cell of a trained OR/AND network, recomputed with a high-level model and an
    alignment.
    """
    model = zoo.load("or-and")
    matrix = identify_circuit(model).interchange_matrix().to_numpy()
    algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    for u, v in product(range(2), repeat=2):
        alignment = {("either", "both")[v]: f"h0.{u}"}
        assert (
            matrix[u, v]
            == interchange_accuracy(model, algorithm, alignment).n_agreed[("either", "both")[v]]
        )
    joint = interchange_accuracy(model, algorithm, {"either": "h0.0", "both": "h0.1"}).n_agreed[
        "(joint)"
    ]
    evidence = next(e for e in identify_circuit(model).evidence if e.kind == "joint")
    assert evidence.effect * 4 == joint  # the base makes no difference when every unit is set


STEPS = [([[1, 1], [-1, -1], [-1, -1]], [-0.5, 0.5, 1.5]), ([[1, -1, 2]], [-2])]
RELUS = [([[1, 1], [-1, -1], [1, 1]], [0, 1, -1]), ([[1, -3, -2]], [-0.5])]


@pytest.mark.parametrize(
    ("layers", "act_fn", "gates", "together"),
    [
        (STEPS, "heaviside", ["OR", "NOR", "NAND"], [(0, 1), (0, 1), (2,)]),
        # values 0, 1, 1, 2 and 1, 0, 0, 0: the NOR is not an affine copy of the OR
        (RELUS, "relu", ["OR", "NOR", "AND"], [(0,), (1,), (2,)]),
    ],
)
def test_a_complement_is_not_the_control_of_its_gate(layers, act_fn, gates, together):
    """A NOR beside an OR: every interchange is run in NumPy and decided by formulas in Python. The
    OR comes out best in the NOR's role, and yet its control is the role of the third unit.
    """
    (w1, b1), (w2, b2) = [(np.array(weights), np.array(biases)) for weights, biases in layers]
    rows = np.array(list(product((0, 1), repeat=2)))
    sums = rows @ w1.T + b1
    hidden = np.maximum(sums, 0) if act_fn == "relu" else (sums > 0).astype(float)
    formulas = {
        "OR": lambda a, b: a or b,
        "NOR": lambda a, b: not (a or b),
        "AND": lambda a, b: a and b,
        "NAND": lambda a, b: not (a and b),
    }
    bits = np.array([[formulas[gate](*row) for gate in gates] for row in rows])

    def agreed(unit, role):
        n_agreed = 0
        for base, source in product(range(4), repeat=2):
            values, gate = hidden[base].copy(), bits[base].copy()
            values[list(together[unit])] = hidden[source, list(together[unit])]
            gate[list(together[role])] = bits[source, list(together[role])]
            third = gate[2] if gates[2] == "NAND" else not gate[2]
            decided = values @ w2[0] + b2[0] > 0
            n_agreed += bool(decided) == bool(gate[0] and not gate[1] and third)
        return n_agreed

    model = HookedMLP.from_weights(
        layers, act_fn=act_fn, out_act_fn="identity", decision_threshold=0.0, target="XOR"
    )
    circuit = identify_circuit(model)
    assert [unit.gate for unit in circuit.units] == gates
    if act_fn == "heaviside":  # the OR or the NOR, with the NAND
        by_mean, _ = [one.claim for one in circuit.evidence if one.kind == "sufficient"]
        words = "h0.0 + h0.2 are sufficient under mean ablation (so is 1 other minimal set)"
        assert by_mean == words
    claims = [one for one in circuit.evidence if one.kind == "interchange"]
    assert agreed(0, 1) > agreed(0, 2)
    assert agreed(1, 0) > agreed(1, 2)
    assert [(one.effect, one.control, one.holds) for one in claims] == [
        (16, agreed(0, 2), True),
        (16, agreed(1, 2), True),
        (16, max(agreed(2, 0), agreed(2, 1)), True),
    ]


def test_the_control_of_the_only_gate_of_a_layer_is_nothing():
    """A unit and its complement alone: no other role is left, and the rule says what then."""
    layers = [([[1, 1], [-1, -1]], [-1.5, 1.5]), ([[1, -1]], [0.0])]
    model = HookedMLP.from_weights(
        layers, act_fn="heaviside", out_act_fn="identity", decision_threshold=0.0, target="AND"
    )
    claims = [one for one in identify_circuit(model).evidence if one.kind == "interchange"]
    assert [(one.gate, one.effect, one.control, one.holds) for one in claims] == [
        ("AND", 16, 0, True),
        ("NAND", 16, 0, True),
    ]
    assert claims[0].rule.endswith("complements apart; 0 if there is none")


@pytest.mark.parametrize("value", ["mean", "zero"])
def test_subset_ablation_against_numpy(value):
    """Every subset of a width-4 network's units, in plain NumPy; necessary and sufficient sets by
    their definitions.
    """
    model = train("XOR", hidden=(4,), seed=3).model
    circuit = identify_circuit(model)
    ablation = next(found for found in circuit.proof.ablations if found.value == value)
    (w1, b1), (w2, b2) = [(w.numpy(), b.numpy()) for w, b in model.float64_layers()]
    hidden = np.maximum(np.array(list(product((0, 1), repeat=2))) @ w1.T + b1, 0)
    changed = {}
    for size in range(1, 5):
        for picked in combinations(range(4), size):
            values = hidden.copy()
            values[:, list(picked)] = hidden[:, list(picked)].mean(0) if value == "mean" else 0
            changed[picked] = int(
                ((values @ w2.T + b2 > 0)[:, 0] != np.array([False, True, True, False])).sum()
            )
    assert {
        tuple(u.index for u in units): n
        for units, n in zip(ablation.sets, ablation.rows_changed, strict=True)
    } == changed
    assert any(changed.values())
    harmful = [set(picked) for picked, n in changed.items() if n]
    assert {frozenset(u.index for u in units) for units in ablation.breaking} == {
        frozenset(s) for s in harmful if not any(other < s for other in harmful)
    }
    enough = [set(range(4)) - set(picked) for picked, n in changed.items() if not n] + [
        set(range(4))
    ]
    assert {frozenset(u.index for u in units) for units in ablation.sufficient} == {
        frozenset(s) for s in enough if not any(other < s for other in enough)
    }


def test_nothing_hangs_on_a_sentence(textbook, monkeypatch):
    """With every sentence reworded, verdict, record and assertions are as before: a claim that does
    not hold still fails, and a baseline still fits.
    """
    circuit = identify_circuit(textbook)
    baseline = record_of(circuit)
    sentences = [evidence.claim for evidence in circuit.evidence]
    for name in ("claim", "intervention", "counted", "rule", "summary"):
        monkeypatch.setattr(_wording, name, lambda facts: "in other words")
    assert {evidence.claim for evidence in circuit.evidence} == {"in other words"} != {*sentences}
    again = identify_circuit(textbook)
    assert again == circuit
    assert not compare_records(baseline, record_of(again), tolerance=0)
    assert record_of(again)["joint_interchange"] == baseline["joint_interchange"] == [1.0]
    assert_acts_as(again, {"OR": 0, "AND": 1})
    claims = [
        replace(evidence, effect=15, holds=False) if evidence.gate == "OR" else evidence
        for evidence in again.evidence
    ]
    failing = replace(again, proof=replace(again.proof, claims=tuple(claims)))
    with pytest.raises(AssertionError):
        assert_acts_as(failing, {"OR": 0})
    assert compare_records(baseline, record_of(failing), tolerance=0).numbers


def test_duplicated_units_are_one_redundancy_group(textbook):
    """Every unit doubled: two groups, necessity claimed of each group and of no single copy."""
    circuit = identify_circuit(rebuilt(textbook, duplicate=True))
    assert [[unit.index for unit in group.units] for group in circuit.redundancy_groups] == [
        [0, 2],
        [1, 3],
    ]
    claims = [evidence.claim for evidence in circuit.evidence if evidence.kind == "necessary"]
    assert claims == [
        "h0.0 + h0.2 are necessary (as a group)",
        "h0.1 + h0.3 are necessary (as a group)",
    ]
    assert "Units that carry the same bit" in circuit.explain()
    spare = identify_circuit(zoo.load("redundant-4"))
    assert [group.spare for group in spare.redundancy_groups] == [True, True]
    assert all(group.rows_changed_alone == (0, 0) for group in spare.redundancy_groups)


def test_units_that_differ_are_in_no_group(textbook):
    """OR and AND carry different bits; a dead unit carries none, and no necessity is claimed of
    it.
    """
    assert identify_circuit(textbook).redundancy_groups == ()
    circuit = identify_circuit(rebuilt(textbook, dead=1))
    assert circuit.redundancy_groups == ()
    dead = Unit(0, 2)
    own = [evidence for evidence in circuit.evidence if evidence.units == (dead,)]
    assert [(evidence.kind, evidence.gate, evidence.constant) for evidence in own] == [
        ("interchange", "FALSE", True)
    ]
    assert own[0].claim == "h0.2 acts as FALSE (dead)"


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["or-and", "gt-lt", "nor-nand", "redundant-4", "dead-4"]), st.data())
def test_the_signature_is_invariant(name, data):
    """Renumbering units, positive rescaling, dead units: same signature, same family, same
    verdict.
    """
    model = zoo.load(name)
    width = model.cfg.d_hidden[0]
    order = data.draw(st.permutations(range(width)))
    scales = data.draw(st.lists(st.floats(0.01, 100), min_size=width, max_size=width))
    before, after = (
        identify_circuit(model),
        identify_circuit(rebuilt(model, order, scales, dead=data.draw(st.integers(0, 2)))),
    )
    assert (after.signature, after.family, after.verdict) == (
        before.signature,
        before.family,
        before.verdict,
    )


def test_an_ambiguous_signature_is_invariant():
    """All circuits count, in no order: an ambiguous network, its units renumbered every way."""
    population = train_population("XOR", 80, hidden=(3,))
    settings = {"require": "substitution", "with_evidence": False}
    found = (identify_circuit(network, **settings) for network in population)
    expected = next(circuit for circuit in found if circuit.verdict == "ambiguous")
    assert " / " in expected.signature
    for order in permutations(range(3)):
        found = identify_circuit(rebuilt(expected.model, list(order)), **settings)
        assert (found.signature, found.family) == (expected.signature, expected.family)


def test_signatures_tell_circuits_apart_and_families_join_complements():
    """Eight pairs of gates have eight signatures and two families; swapping inputs changes a
    signature, never a family.
    """
    names = ["or-and", "nor-and", "or-nand", "nor-nand", "gt-lt", "ge-gt", "le-lt", "ge-le"]
    found = {name: identify_circuit(zoo.load(name)) for name in names}
    assert len({circuit.signature for circuit in found.values()}) == 8
    assert [found[name].family for name in names] == ["OR & ~AND"] * 4 + ["x0>x1 | x1>x0"] * 4
    turned = identify_circuit(swapped_inputs(zoo.load("ge-gt")))
    assert turned.signature == found["le-lt"].signature != found["ge-gt"].signature
    assert turned.family == found["ge-gt"].family


def test_a_signature_computes_what_the_network_does():
    """Read as a formula over the gates' own formulas, the signature of a one-hidden-layer network
    is its target, in every trained case.
    """
    population, seen = train_population("XOR", 60, hidden=(3,)), 0
    for index in range(60):
        circuit = identify_circuit(population[index], with_evidence=False)
        if circuit.verdict == "identified" and "'" not in circuit.signature + circuit.family:
            for text in (circuit.signature, circuit.family):
                called = re.sub(r"\b(NAND|NOR|AND|OR)\b", r"\1(x0, x1)", text)
                assert BooleanFunction.from_formula(called, n_inputs=2).name == "XOR"
                seen += 1
    assert seen > 10


def test_flipping_a_label_changes_the_verdict(trained):
    """Held against any table that differs from XOR in one row, the circuit is not_computing and its
    signature says so.
    """
    for row in range(4):
        bits = [0, 1, 1, 0]
        bits[row] ^= 1
        circuit = identify_circuit(trained.model, BooleanFunction(2, (tuple(bits),)))
        assert circuit.verdict == circuit.signature == circuit.family == "not_computing"
        assert circuit.evidence == ()
        with pytest.raises(XorMiError, match="no interchange matrix"):
            circuit.interchange_matrix()


def test_control_rates(trained):
    """Untrained networks and shuffled targets are not named; the interval is Clopper-Pearson's for
    0 of n: 1 - 0.025^(1/n).
    """
    rates = control_rates(trained.model, n_networks=40).frame().set_index("control")
    assert rates.loc["untrained", ["n", "n_positive"]].tolist() == [40, 0]
    assert rates.loc["untrained", "ci_high"] == pytest.approx(1 - 0.025 ** (1 / 40))
    assert 20 < rates.loc["shuffled_targets", "n"] < 40
    assert rates.loc["shuffled_targets", "n_positive"] == 0
    assert rates.loc["untrained_own_function", "n_positive"] > 0
    proved = identify_circuit(trained.model, n_controls=50)
    claims = [e for e in proved.evidence if e.kind == "control"]
    assert [(e.effect, e.holds) for e in claims] == [(0, True), (0, True)]


def test_a_control_can_fail():
    """Held against NOT x0, which many untrained networks compute, the control finds positives and
    its claim does not hold.
    """
    population = train_population("~x0", 20, config=TrainConfig(max_steps=500))
    model = next(population[i] for i in range(20) if population.solved[i])
    rates = control_rates(model, "~x0", n_networks=60).frame().set_index("control")
    assert rates.loc["untrained", "n_positive"] > 0


def test_formulas_edges_and_questions(textbook):
    """Formulas over units and inputs, the edges a gate depends on, the gate of a unit, and what
    cannot be answered.
    """
    circuit = identify_circuit(textbook)
    assert circuit.formulas == {
        "y0": {"units": "h0.0 & ~h0.1", "nested": "(x0 | x1) & ~(x0 & x1)", "inputs": "x0 ^ x1"}
    }
    assert [edge.name for edge in circuit.edges] == [
        "x0->h0.0",
        "x1->h0.0",
        "x0->h0.1",
        "x1->h0.1",
        "h0.0->y0",
        "h0.1->y0",
    ]
    assert circuit.gate_of("h0.1") == circuit.gate_of(H1) == "AND"
    with pytest.raises(XorMiError, match=r"no hidden unit 'h0.7'; this circuit has: h0.0, h0.1"):
        circuit.gate_of("h0.7")
    dead = identify_circuit(zoo.load("dead-4"))
    assert not any("h0.0" in edge.name for edge in dead.edges), "no gate depends on a dead unit"


def test_exports(textbook):
    """networkx has units, gates and weights; DOT, Mermaid and LaTeX name every unit; JSON is the
    dict.
    """
    circuit = identify_circuit(textbook)
    graph = circuit.to_networkx()
    assert networkx.is_directed_acyclic_graph(graph)
    assert list(graph) == ["x0", "x1", "h0.0", "h0.1", "y0"]
    assert graph.nodes["h0.1"] == {
        "kind": "hidden",
        "layer": 0,
        "gate": "AND",
        "formula": "x0 & x1",
    }
    assert graph.edges["h0.1", "y0"]["weight"] == -2
    assert '"h0.1" -> "y0" [label="-2.00", style=dashed];' in circuit.to_dot()
    assert 'h0_1 -.->|"-2.00"| y0' in circuit.to_mermaid()
    assert r"y_{0} &= h_{0,0} \land \lnot h_{0,1}" in circuit.to_latex()
    assert json.loads(circuit.to_json()) == json.loads(json.dumps(circuit.to_dict()))
    lost = identify_circuit(textbook, "AND")
    assert lost.to_networkx().number_of_edges() == 0
    with pytest.raises(XorMiError, match="no formula to write: the verdict is not_computing"):
        lost.to_latex()
    greater = identify_circuit(zoo.load("gt-lt"))
    assert "&gt;" in greater.to_mermaid()


def test_explain_tells_the_old_notebook_s_story(textbook):
    """Why 00 and 11 come out alike, from the network's own numbers: +2 through the OR, -2 through
    the AND.
    """
    page = identify_circuit(textbook).explain()
    for line in (
        "Verdict, identified: exactly one circuit passes joint interchange",
        "h0.1 = relu(+1.00 x0 +1.00 x1 -1.00): 0.00, 0.00, 0.00, 1.00",
        "acts as AND: above 0.50 on 11",
        "11: y0 = +2.00 (h0.0) -2.00 (h0.1) +0.00 (bias) = 0.00, decided 0",
        "00 and 11: between them h0.0 +2.00, h0.1 +1.00",
        "y0 changes by +2.00 (h0.0) -2.00 (h0.1) = +0.00: the changes cancel",
        "01 and 10: no unit of the last hidden layer tells them apart",
        "h0.0 acts as OR: 16 of 16 runs",
    ):
        assert line in page
    lost = identify_circuit(textbook, "AND").explain()
    assert "not computing" in lost
    assert "What was tested" not in lost


@pytest.mark.parametrize("name", zoo.names())
def test_every_page_adds_up(name):
    """For each network of the zoo the terms of every row sum to the value printed, and the
    decisions are the network's own.
    """
    model = zoo.load(name)
    circuit = identify_circuit(model)
    page = circuit.explain()
    lines = [line for line in page.split("\n") if ": y0 = " in line and "decided" in line]
    assert len(lines) == 2**model.cfg.d_in
    decided = (model(model.rows()) > model.threshold)[:, 0].long().tolist()
    for line, bit in zip(lines, decided, strict=True):
        left, _, right = line.partition(" = ")[2].partition(" = ")
        terms = [float(term) for term in re.findall(r"([+-][\d.e-]+) \(", left)]
        assert len(terms) == circuit.layer_sizes[-2] + 1
        assert sum(terms) == pytest.approx(float(right.split(",")[0]), abs=0.06)
        assert line.endswith(f"decided {bit}")
    assert circuit.plot().layout.title.text


def test_the_circuit_keeps_the_network_as_it_was(trained):
    """Training the original on, or editing it, changes neither the circuit's numbers nor its
    picture.
    """
    model = HookedMLP.from_weights(
        [(fc.weight, fc.bias) for fc in trained.model.linears], target="XOR"
    )
    circuit = identify_circuit(model)
    page = circuit.explain()
    with torch.no_grad():
        model.fc1.weight.zero_()
    assert circuit.explain() == page
    assert torch.equal(circuit.model.fc1.weight, trained.model.fc1.weight)


@pytest.mark.parametrize(
    ("act", "hidden", "n"),
    [("tanh", 2, 40), ("sigmoid", 2, 40), ("tanh", 4, 20), ("sigmoid", 4, 20)],
)
def test_smooth_units_agree_with_the_oracle_too(act, hidden, n):
    """Verdict and all readings of every network, against brute force."""
    population = train_population("XOR", n, hidden=(hidden,), config=TrainConfig(act_fn=act))
    read = 0
    for index in range(n):
        circuit = identify_circuit(population[index], min_margin=0, with_evidence=False)
        (w1, b1), (w2, b2) = population[index].float64_layers()
        decided, expected = readings.faithful_gates(
            w1.tolist(), b1.tolist(), w2[0].tolist(), b2[0].item(), act=act
        )
        assert (circuit.verdict != "not_computing") == (decided == [False, True, True, False])
        if circuit.verdict != "not_computing":
            assert sorted(
                [r.gate for r in joint.readings[0]] for joint in circuit.readings
            ) == sorted(expected)
            read += 1
    assert read > 10


def test_readings_of_many_layers_are_joined_layer_by_layer():
    """Five layers of two copying units: what is inconsistent below is never combined with what is
    above, and one reading is left.
    """
    copy = ([[1, 0], [0, 1]], [-0.5, -0.5])
    model = HookedMLP.from_weights(
        [([[2, 2], [-2, -2]], [-1, 3]), *[copy] * 4, ([[2, 2]], [-3])],
        act_fn="heaviside",
        target="XOR",
    )
    circuit = identify_circuit(model)
    assert circuit.verdict == "identified"
    assert circuit.signature.endswith("u4.0 & u4.1")
    assert circuit.primary.gates == (("OR", "NAND"),) * 5


def test_six_inputs_and_two_outputs():
    """Parity of six bits by counting, with 'any' beside it: identified, and the formulas compute
    the target.
    """
    counts = [-1, -3, -5, -7, -9, -11]
    layers = [([[2] * 6] * 6, counts), ([[2, -2, 2, -2, 2, -2], [2, 0, 0, 0, 0, 0]], [-1, -1])]
    target = BooleanFunction.from_callable(lambda *x: (sum(x) % 2, int(any(x))), 6)
    circuit = identify_circuit(HookedMLP.from_weights(layers, act_fn="heaviside", target=target))
    assert circuit.verdict == "identified"
    assert circuit.gate_of("h0.0") == "OR"
    assert all(evidence.holds for evidence in circuit.evidence if evidence.kind == "interchange")
    assert set(circuit.formulas) == {"y0", "y1"}
    assert circuit.formulas["y1"]["units"] == "h0.0"
    assert circuit.formulas["y1"]["nested"] == "x0 | x1 | x2 | x3 | x4 | x5"
    assert BooleanFunction.from_formula(circuit.formulas["y0"]["inputs"], n_inputs=6).name == "XOR"
    assert len(circuit.reason) < 750, (
        "a sentence a person can quote, however long the nested formula is"
    )


def test_more_orders_than_are_tried_is_said(textbook, monkeypatch):
    """The bound on interchangeable units is an error with its number, not a long wait."""
    circuit = identify_circuit(textbook)
    monkeypatch.setattr(circuits._signature, "MAX_ORDERS", 0)
    with pytest.raises(
        XorMiError, match="orders of interchangeable units; a canonical form tries at most 0"
    ):
        _ = circuit.signature


def test_many_copies_need_no_trying():
    """Nine copies of the OR beside one AND: 362,880 orders, of which one is tried; the primary
    reading names all copies alike.
    """
    layers = [([[1, 1]] * 10, [0] * 9 + [-1]), ([[1] * 9 + [-18]], [0])]
    model = HookedMLP.from_weights(layers, decision_threshold=0.5, target="XOR")
    circuit = identify_circuit(model)
    assert {circuit.gate_of(f"h0.{k}") for k in range(9)} == {"OR"}
    assert [len(group.units) for group in circuit.redundancy_groups] == [9]
    assert circuit.signature == identify_circuit(rebuilt(model, list(range(9, -1, -1)))).signature


def test_groups_of_copies_are_found_beyond_the_units_whose_every_subset_is_ablated():
    """Thirteen hidden units in two layers, three of them copies: one group, and necessity is
    claimed of it alone.
    """
    first = [[2, 2]] * 3 + [[2, 2]] + [[-2, -2]] * 8
    layers = [
        (first, [-1] * 3 + [-3] + [-1] * 8),
        ([[1, 1, 1, -3] + [0] * 8], [-0.5]),
        ([[1]], [-0.5]),
    ]
    circuit = identify_circuit(HookedMLP.from_weights(layers, act_fn="heaviside", target="XOR"))
    assert [[unit.index for unit in group.units] for group in circuit.redundancy_groups] == [
        [0, 1, 2]
    ]
    assert not circuit.proof.ablations[0].exhaustive
    claims = [evidence.claim for evidence in circuit.evidence if evidence.kind == "necessary"]
    assert claims[0] == "h0.0 + h0.1 + h0.2 are necessary (as a group)"
    assert not any(claim.startswith("h0.1 ") for claim in claims)


def test_a_hidden_label_never_contradicts_its_own_gate():
    """Every kept reading of deep trained networks: the measured gates, composed in plain Python,
    give each hidden unit its bits.
    """
    rows, kept = list(product((0, 1), repeat=2)), 0
    for act, seeds in (("relu", range(60)), ("tanh", range(6))):
        population = train_population(
            "XOR", len(seeds), hidden=(2, 2), config=TrainConfig(act_fn=act, max_steps=1000)
        )
        for index in seeds:
            for joint in identify_circuit(population[index], with_evidence=False).readings:
                for r, row in enumerate(rows):
                    values = {"x0": row[0], "x1": row[1]}
                    for gate in joint.netlist:
                        values[gate.unit.name] = gate.function(
                            *(values[name] for name in gate.parents)
                        )
                        if not gate.unit.is_output:
                            assert (
                                values[gate.unit.name]
                                == joint.readings[gate.unit.layer][gate.unit.index].bits[r]
                            )
                    assert values["y0"] == (row[0] ^ row[1])
                kept += 1
    assert kept > 10


def test_gates_that_read_alike_in_text_are_told_apart():
    """{x0, x1} read as x0 and not x1, and {x0, ~x1} read as both: two circuits, two signatures, one
    family.
    """
    first = HookedMLP.from_weights(
        [([[2, 0], [0, 2]], [-1, -1]), ([[2, -2]], [-1])], act_fn="heaviside", target="x0 & ~x1"
    )
    second = HookedMLP.from_weights(
        [([[2, 0], [0, -2]], [-1, 1]), ([[2, 2]], [-3])], act_fn="heaviside", target="x0 & ~x1"
    )
    a, b = identify_circuit(first), identify_circuit(second)
    assert a.signature != b.signature
    assert a.family == b.family


def test_a_family_does_not_depend_on_which_inputs_are_used():
    """XOR of x0 and x1 and XOR of x1 and x2, both with a third input unread: one family."""
    found = set()
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        weight = torch.tensor([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0]])[:, order]
        layers = [(weight, [-1, -3]), ([[2, -2]], [-1])]
        found.add(identify_circuit(HookedMLP.from_weights(layers, act_fn="heaviside")).family)
    assert len(found) == 1


def test_constant_units_in_deeper_layers_keep_their_gate():
    """An always-on unit of the second layer is TRUE in its label, its local gate and the exports
    alike.
    """
    layers = [([[2, 2], [-2, -2]], [-1, 3]), ([[1, 1], [0, 0]], [-1.5, 1]), ([[2, 0]], [-1])]
    circuit = identify_circuit(HookedMLP.from_weights(layers, act_fn="heaviside", target="XOR"))
    assert circuit.verdict == "identified"
    assert (circuit.gate_of("h1.1"), circuit.netlist[3].formula, circuit.netlist[3].undecided) == (
        "TRUE",
        "TRUE",
        (),
    )


def test_explain_at_any_scale(textbook):
    """Hidden units a ten-thousandth in size: the page still says that they move, and shows numbers
    that are not zero.
    """
    page = identify_circuit(rebuilt(textbook, scales=[1e-4, 1e-4])).explain()
    assert "00 and 11: between them h0.0 +0.0002, h0.1 +0.0001" in page
    assert "above 5e-05 on 01, 10, 11" in page


@pytest.mark.unchecked
def test_controls_are_refused_what_they_cannot_be_run_on(textbook):
    """No control counts an error as a finding: train mode, no networks, another kind of model."""
    for call, message in (
        (
            lambda: control_rates(textbook, n_networks=0),
            "n_networks must be a whole number of at least 1, not 0",
        ),
        (lambda: control_rates(torch.nn.Identity()), "needs a HookedMLP"),
        (lambda: control_rates(textbook.train()), "eval mode"),
    ):
        with pytest.raises(XorMiError, match=message):
            call()


@pytest.mark.parametrize("name", ["or-and", "gt-lt", "redundant-4", "parity-3", "deep-xor"])
def test_flipping_any_label_of_any_network(name):
    """No row of any network's target can be flipped without losing the verdict."""
    model = zoo.load(name)
    table = list(model.cfg.target.bits)
    for row in range(len(table)):
        flipped = tuple(bit ^ (k == row) for k, bit in enumerate(table))
        assert (
            identify_circuit(model, BooleanFunction(model.cfg.d_in, (flipped,))).verdict
            == "not_computing"
        )
