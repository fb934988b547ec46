"""Circuits of networks that are not read on 0 and 1 by a threshold: other levels, steps, two
logits, one activation per layer, direct connections. Held against a brute force of plain floats,
and against the 0/1 threshold network that does the same.
"""

import itertools
import math
from functools import cache

import numpy as np
import pytest
import torch

from xor_mi.circuits import (
    family_of,
    identify_circuit,
    identify_many,
    live_units,
    signature_of,
    summarize,
)
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

# the brute force: everything from the definitions, in plain Python floats

BITS = list(itertools.product((0, 1), repeat=2))


def act(name, value, at_zero):
    """The activation of this name at one number."""
    return {
        "relu": max(value, 0.0),
        "tanh": math.tanh(value),
        "sigmoid": 1 / (1 + math.exp(-value)),
        "identity": value,
        "softplus": math.log1p(math.exp(value)),
        "hardtanh": min(max(value, -1.0), 1.0),
        "heaviside": float(value > 0 or (value == 0 and at_zero)),
        "sign": 1.0 if value > 0 or (value == 0 and at_zero) else -1.0,
    }[name]


class Brute:
    """One network as lists of numbers.

    Every setting is spelled out, and nothing is taken from the package.
    """

    def __init__(self, layers, direct, acts, levels, at_zero, rule, threshold):
        self.layers, self.direct, self.acts = layers, direct, acts
        self.levels, self.at_zero, self.rule = levels, at_zero, rule
        self.threshold = threshold
        self.inputs = [[levels[bit] for bit in row] for row in BITS]

    def centre(self, rng):
        """Put each bias between the sums on two random rows: most units and outputs then vary."""
        values = self.inputs
        for number, (_, bias) in enumerate(self.layers):
            sums = [self.sums(number, v, x) for v, x in zip(values, self.inputs, strict=True)]
            for k, on_rows in enumerate(zip(*sums, strict=True)):
                a, b = rng.choice(on_rows, 2, replace=False)
                bias[k] -= float(a + (b - a) * rng.uniform(0.2, 0.8))
            values = [
                self.one_layer(number, v, x) for v, x in zip(values, self.inputs, strict=True)
            ]

    def sums(self, number, values, inputs):
        """What linear layer `number` adds up, on one row."""
        weight, bias = self.layers[number]
        read = [*values, *inputs] if self.direct and number == len(self.layers) - 1 else values
        rows = (
            zip(weight, self.direct, strict=True)
            if read is not values
            else ((w, ()) for w in weight)
        )
        return [
            sum(w * v for w, v in zip([*own, *past], read, strict=True)) + b
            for (own, past), b in zip(rows, bias, strict=True)
        ]

    def one_layer(self, number, values, inputs):
        """Linear layer `number` and its activation, on one row."""
        return [act(self.acts[number], s, self.at_zero) for s in self.sums(number, values, inputs)]

    def outputs(self, values, inputs, start=0):
        """The rest of the network from linear layer `start` on, on one row."""
        for number in range(start, len(self.layers)):
            values = self.one_layer(number, values, inputs)
        return values

    def decide(self, outputs):
        """One 0, 1 or None (a tie) per decision."""
        if self.rule == "threshold":
            scores = [y - self.threshold for y in outputs]
        elif len(outputs) == 2:
            scores = [outputs[1] - outputs[0]]
        else:
            scores = [
                y - max(other for j, other in enumerate(outputs) if j != k)
                for k, y in enumerate(outputs)
            ]
        return tuple(None if abs(s) < 1e-9 else int(s > 0) for s in scores)

    def decisions(self):
        """[row]"""
        return [self.decide(self.outputs(x, x)) for x in self.inputs]

    def hidden(self):
        """[layer][unit][row]"""
        values, layers = self.inputs, []
        for number in range(len(self.layers) - 1):
            values = [
                self.one_layer(number, v, x) for v, x in zip(values, self.inputs, strict=True)
            ]
            layers.append([list(column) for column in zip(*values, strict=True)])
        return layers

    def has_copies(self):
        """Whether two units of a layer have the same values, up to scale, sign and shift."""
        layers = [[values for values in units if len(set(values)) > 1] for units in self.hidden()]
        pairs = (pair for units in layers for pair in itertools.combinations(units, 2))
        return any(abs(np.corrcoef(a, b)[0, 1]) > 1 - 1e-9 for a, b in pairs)

    def kept(self):
        """Every kept joint reading: (bits per layer and unit, table of every decision)."""
        hidden, decided, found = self.hidden(), self.decisions(), []
        for choice in itertools.product(
            *(itertools.product(*map(cuts, units)) for units in hidden)
        ):
            levels = [
                [means(values, bits) for values, bits in zip(units, of_layer, strict=True)]
                for units, of_layer in zip(hidden, choice, strict=True)
            ]
            if all(
                self._faithful(k, choice[k], levels[k], decided) for k in range(len(hidden))
            ) and self._composes(choice, levels, hidden):
                found.append((choice, self._tables(choice[-1], levels[-1])))
        return found

    def _faithful(self, layer, bits, levels, decided):
        return all(
            self.decide(
                self.outputs(
                    [level[b[r]] for level, b in zip(levels, bits, strict=True)],
                    x,
                    start=layer + 1,
                )
            )
            == decided[r]
            for r, x in enumerate(self.inputs)
        )

    def _composes(self, choice, levels, hidden):
        """The bits of a deeper unit follow from the layer before, set to its levels."""
        for layer in range(1, len(choice)):
            for r in range(4):
                pairs = zip(levels[layer - 1], choice[layer - 1], strict=True)
                before = [level[b[r]] for level, b in pairs]
                reached = self.one_layer(layer, before, self.inputs[r])
                for value, bits, values in zip(reached, choice[layer], hidden[layer], strict=True):
                    off, on = (
                        [v for v, b in zip(values, bits, strict=True) if b == bit] for bit in (0, 1)
                    )
                    # a constant unit has its bit whatever it is set to
                    if off and on and int(value > (max(off) + min(on)) / 2) != bits[r]:
                        return False
        return True

    def _tables(self, bits, levels):
        """[decision][combination of the last units' bits, and of the inputs if they are read]"""
        n_read = 2 if self.direct is not None else 0
        rows = []
        for combination in itertools.product((0, 1), repeat=len(bits) + n_read):
            of_units, of_inputs = combination[: len(bits)], combination[len(bits) :]
            values = [level[b] for level, b in zip(levels, of_units, strict=True)]
            inputs = [self.levels[bit] for bit in of_inputs] or self.inputs[0]
            rows.append(self.decide(self.outputs(values, inputs, start=len(self.layers) - 1)))
        return list(zip(*rows, strict=True))


def cuts(values):
    """Every way to read a unit as bits."""
    spread = max(values) - min(values)
    if spread <= 1e-9 * max(map(abs, values)):
        return [(int(sum(values) > 0),) * 4]
    ordered = sorted(values)
    middles = [(a + b) / 2 for a, b in itertools.pairwise(ordered) if b - a > 1e-6 * spread]
    return [tuple(int(value > middle) for value in values) for middle in middles]


def means(values, bits):
    """Bit -> the unit's mean where it has this bit; a constant unit is at its one value."""
    of_bit = {bit: [v for v, b in zip(values, bits, strict=True) if b == bit] for bit in (0, 1)}
    return {bit: sum(of or values) / len(of or values) for bit, of in of_bit.items()}


# random networks in every encoding

ENCODINGS = {
    "ordinary": {},
    "levels -1 and 1": {"input_levels": (-1, 1), "act_fn": "tanh"},
    "levels upside down": {"input_levels": (0.75, -0.5), "act_fn": "sigmoid"},
    "regression": {"act_fn": "tanh", "decision_threshold": 0.5},
    "softplus": {"act_fn": "softplus", "out_act_fn": "sigmoid"},
    "steps off at zero": {"act_fn": "heaviside", "out_act_fn": "heaviside"},
    "steps on at zero": {"act_fn": "heaviside", "out_act_fn": "heaviside", "step_at_zero": 1},
    "signs": {"act_fn": "sign", "out_act_fn": "sign", "step_at_zero": 1, "input_levels": (-1, 1)},
    "two logits": {"decision_rule": "argmax", "d_out": 2},
    "two probabilities": {"decision_rule": "argmax", "d_out": 2, "out_act_fn": "sigmoid"},
    "one of three": {"decision_rule": "argmax", "d_out": 3, "act_fn": "hardtanh"},
    "two outputs": {"d_out": 2},
    "direct": {"direct": True, "d_hidden": (1,), "act_fn": "sigmoid"},
    "direct, wide": {"direct": True, "act_fn": "relu"},
    "direct, two logits on -1 and 1": {
        "direct": True,
        "d_hidden": (1,),
        "act_fn": "tanh",
        "input_levels": (-1, 1),
        "decision_rule": "argmax",
        "d_out": 2,
    },
    "two activations": {"d_hidden": (2, 2), "act_fn": ("tanh", "relu")},
    "two activations, direct": {
        "d_hidden": (2, 1),
        "act_fn": ("relu", "sigmoid"),
        "direct": True,
    },
}  # fmt: skip
STEPPING = ("steps off at zero", "steps on at zero", "signs")


def drawn(encoding, seed):
    """Random weights in this encoding, as their brute force."""
    settings = dict(ENCODINGS[encoding])
    d_out = settings.pop("d_out", 1)
    sizes = (2, *settings.pop("d_hidden", (2,)), d_out)
    has_direct = settings.pop("direct", False)
    rng = np.random.default_rng([seed, *map(ord, encoding)])

    def draw(*shape):
        # whole numbers where steps are, so that sums lie exactly on them
        whole = rng.integers(-2, 3, shape).astype(float)
        return whole if encoding in STEPPING else rng.normal(size=shape) * 3

    layers = [(draw(b, a), draw(b)) for a, b in itertools.pairwise(sizes)]
    direct = draw(d_out, 2) if has_direct else None
    fns = settings.get("act_fn", "relu")
    hidden_fns = fns if isinstance(fns, tuple) else (fns,) * (len(sizes) - 2)
    out_fn = settings.get("out_act_fn", "identity")
    is_half = out_fn in ("sigmoid", "heaviside")
    brute = Brute(
        [(w.tolist(), b.tolist()) for w, b in layers],
        None if direct is None else direct.tolist(),
        (*hidden_fns, out_fn),
        settings.get("input_levels", (0, 1)),
        settings.get("step_at_zero", 0),
        settings.get("decision_rule", "threshold"),
        settings.get("decision_threshold", 0.5 if is_half else 0.0),
    )
    if encoding not in STEPPING:
        brute.centre(rng)
    return brute


def built(encoding, brute):
    """The network of these weights in this encoding."""
    sizes = ("d_out", "d_hidden", "direct")
    settings = {key: value for key, value in ENCODINGS[encoding].items() if key not in sizes}
    return HookedMLP.from_weights(brute.layers, direct=brute.direct, dtype="float64", **settings)


@cache
def networks(encoding, n_parity=3, n_others=1):
    """The first random networks of this encoding without ties: some that decide XOR or XNOR, some
    others that are not constant. With the brute force of each.
    """
    kinds = {True: n_parity, False: n_others}  # how many are still wanted
    found = []
    for seed in itertools.count():
        if not any(kinds.values()):
            break
        brute = drawn(encoding, seed)
        tables = set(zip(*brute.decisions(), strict=True))
        is_constant = all(len(set(table)) == 1 for table in tables)
        is_parity = not tables.isdisjoint([(0, 1, 1, 0), (1, 0, 0, 1)])
        clear = not is_constant and not any(None in table for table in tables)
        if kinds[is_parity] and clear and not brute.has_copies():
            kinds[is_parity] -= 1
            found.append((built(encoding, brute), brute))
    return found


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_kept_reading_is_that_of_a_brute_force(encoding):
    """Decisions, the bits of every unit in every kept reading, and the measured gates of all
    decisions equal those of plain floats; no other reading is kept, and the verdict follows.
    """
    verdicts = set()
    for model, brute in networks(encoding):
        expected = dict(brute.kept())
        settings = {"require": "substitution", "min_margin": 0, "with_evidence": False}
        circuit = identify_circuit(model, **settings)
        assert circuit.target.tables == tuple(zip(*brute.decisions(), strict=True))
        found = {
            tuple(tuple(r.bits for r in layer) for layer in joint.readings): [
                gate.table for gate in joint.netlist if gate.unit.is_output
            ]
            for joint in circuit.readings
        }
        assert found == expected
        assert (circuit.verdict == "no_gate_reading") == (not expected)
        if len(expected) == 1:
            assert circuit.verdict == "identified"
        verdicts.add(circuit.verdict)
    assert "identified" in verdicts


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if "activations" not in name])
def test_interchanges_are_those_of_a_brute_force(encoding):
    """Each unit set to its value on every source, in the run on every base: the count of runs that
    come out as the brute force's own table says.
    """
    compared = 0
    for model, brute in networks(encoding):
        circuit = identify_circuit(model, min_margin=0, with_evidence=False)
        if circuit.primary is None:
            continue
        bits = tuple(reading.bits for reading in circuit.primary.readings[0])
        tables = dict(brute.kept())[(bits,)]
        (hidden,) = brute.hidden()
        for k, unit in enumerate(circuit.units):
            agreed = 0
            for base, source in itertools.product(range(4), repeat=2):
                rows = [source if j == k else base for j in range(len(bits))]
                values = [unit[r] for unit, r in zip(hidden, rows, strict=True)]
                reached = brute.decide(brute.outputs(values, brute.inputs[base], start=1))
                read = [of_unit[r] for of_unit, r in zip(bits, rows, strict=True)]
                if brute.direct is not None:
                    read += BITS[base]
                number = int("".join(map(str, read)), 2)
                agreed += reached == tuple(table[number] for table in tables)
            assert unit.interchange == agreed
            compared += 1
    assert compared > 1


# the same network said in another encoding


def assert_same_facts(a, b):
    """Two circuits that must say the same of two networks that do the same."""
    assert (a.verdict, a.reason) == (b.verdict, b.reason)
    assert [u.gate for u in a.units] == [u.gate for u in b.units]
    assert [u.interchange for u in a.units] == [u.interchange for u in b.units]
    tables, others = (
        [[gate.table for gate in joint.netlist] for joint in one.readings] for one in (a, b)
    )
    assert tables == others
    assert (a.signature, a.family, a.readout) == (b.signature, b.family, b.readout)
    assert a.proof is None or a.proof.interchange_matrix == b.proof.interchange_matrix
    for mine, other in zip(a.evidence, b.evidence, strict=True):
        assert (mine.claim, mine.n, mine.holds) == (other.claim, other.n, other.holds)
        assert mine.effect == pytest.approx(other.effect, rel=1e-6)
        assert mine.control == pytest.approx(other.control, rel=1e-6)


def on_0_and_1(model, low, high):
    """The layers and direct weights of the network that takes 0 and 1 and does the same."""
    (weight, bias), *between, (readout, readout_bias) = own_layers(model)
    first = (weight * (high - low), bias + weight.sum(1) * low)
    if model.direct is None:
        return [first, *between, (readout, readout_bias)], None
    direct = model.direct.weight.detach()
    last = (readout, readout_bias + direct.sum(1) * low)
    return [first, *between, last], direct * (high - low)


def own_layers(model):
    """W and b of fc1, fc2, ..."""
    return [(linear.weight.detach(), linear.bias.detach()) for linear in model.linears]


@pytest.mark.parametrize("levels", [(-1, 1), (0.75, -0.5), (2, 5)])
@pytest.mark.parametrize("encoding", ["regression", "softplus", "two logits", "direct"])
def test_other_levels_are_other_weights(levels, encoding):
    """A network given low and high equals the one given 0 and 1 whose weights are W (high - low)
    and whose biases are b + W low: verdict, gates, netlists, evidence, signature and family.
    """
    n_kept = 0
    for drawn_model, _ in networks(encoding):
        settings = drawn_model.cfg.conventions()
        direct = None if drawn_model.direct is None else drawn_model.direct.weight
        a = HookedMLP.from_weights(
            own_layers(drawn_model), direct=direct, **settings | {"input_levels": levels}
        )
        layers, past_hidden = on_0_and_1(a, *levels)
        b = HookedMLP.from_weights(layers, direct=past_hidden, **settings)
        circuit = identify_circuit(a)
        assert_same_facts(circuit, identify_circuit(b))
        n_kept += len(circuit.readings)
    assert n_kept


@pytest.mark.parametrize("direct", [False, True])
def test_two_logits_are_their_difference(direct):
    """The larger of two logits decides as one output with weights W[1] - W[0], whatever is added to
    both: the whole circuit is the same, and its one gate stands with y1.
    """
    n_kept = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        hidden = (rng.normal(size=(2, 2)) * 2, rng.normal(size=2) * 2)
        readout, bias, past = rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=(2, 2))
        common = rng.normal() * 10
        two = HookedMLP.from_weights(
            [hidden, (readout, bias + common)],
            direct=past if direct else None,
            decision_rule="argmax",
            act_fn="tanh",
        )
        one = HookedMLP.from_weights(
            [hidden, (readout[1:] - readout[:1], bias[1:] - bias[:1])],
            direct=past[1:] - past[:1] if direct else None,
            act_fn="tanh",
        )
        a, b = identify_circuit(two), identify_circuit(one)
        assert_same_facts(a, b)
        if a.primary:
            n_kept += 1
            assert list(a.formulas) == ["y1"]
            assert a.formulas["y1"] == b.formulas["y0"]
            # what the output reads, both outputs read
            assert {(e.src.name, e.dst.name) for e in a.edges if e.dst.is_output} == {
                (e.src.name, name) for e in b.edges if e.dst.is_output for name in ("y0", "y1")
            }
    assert n_kept > 1


def test_numbers_of_units_and_inputs_do_not_matter():
    """Of networks with direct connections too: hidden units in another order leave the signature,
    swapped inputs leave the family; and the two are not always the same text.
    """
    signatures, families = set(), set()
    for model, _ in networks("direct, wide", n_parity=4, n_others=4):
        (w1, b1), (w2, b2) = own_layers(model)
        direct, swap = model.direct.weight.detach(), [1, 0]
        turned = HookedMLP.from_weights(
            [(w1[swap], b1[swap]), (w2[:, swap], b2)], direct=direct, act_fn="relu"
        )
        mirrored = HookedMLP.from_weights(
            [(w1[:, swap], b1), (w2, b2)], direct=direct[:, swap], act_fn="relu"
        )
        circuits = [identify_circuit(m, with_evidence=False) for m in (model, turned, mirrored)]
        assert len({(c.verdict, c.family) for c in circuits}) == 1
        assert circuits[0].signature == circuits[1].signature
        signatures.add((circuits[0].signature, circuits[2].signature))
        families.add(circuits[0].family)
    assert any(a != b for a, b in signatures)
    assert len(families) > 3


def test_a_unit_that_is_an_input_is_not_the_input_itself():
    """x0 read through a hidden unit and x0 read directly are two circuits, told apart in signature
    and family; a unit that nothing reads is in neither.
    """
    settings = {"act_fn": "heaviside", "target": "x0"}
    hidden = ([[2, 0]], [-1])
    through = HookedMLP.from_weights([hidden, ([[2]], [-1])], direct=[[0, 0]], **settings)
    past = HookedMLP.from_weights([hidden, ([[0]], [-1])], direct=[[2, 0]], **settings)
    a, b = identify_circuit(through), identify_circuit(past)
    assert (a.verdict, b.verdict) == ("identified", "identified")
    assert (a.readout, b.readout) == ("h0.0", "x0")
    assert (a.signature, b.signature) == ("x0", "x0'direct")
    assert a.family != b.family
    assert [len(live_units(c.netlist, c.layer_sizes)) for c in (a, b)] == [1, 0]
    assert [[e.name for e in c.edges] for c in (a, b)] == [
        ["x0->h0.0", "h0.0->y0"],
        ["x0->y0"],
    ]
    assert signature_of(b.netlist, (2, 1, 1)) == b.signature
    assert family_of(b.netlist, (2, 1, 1)) == b.family


# networks from the world


RUMELHART = {
    "layers": [([[-6.4, -6.4]], [2.2]), ([[-9.4]], [6.3])],
    "direct": [[-4.2, -4.2]],
    "act_fn": "sigmoid",
    "out_act_fn": "sigmoid",
    "target": "XOR",
}


def test_one_hidden_unit_is_enough_where_inputs_reach_the_output():
    """Rumelhart's 2-1-1 (Rumelhart, Hinton and Williams 1986): the unit is NOR, the output reads it
    and both inputs, and everything that is said of the circuit says so.
    """
    circuit = identify_circuit(HookedMLP.from_weights(**RUMELHART))
    assert (circuit.verdict, circuit.gate_of("h0.0")) == ("identified", "NOR")
    (hidden, output) = circuit.netlist
    assert (hidden.parents, output.parents) == (("x0", "x1"), ("h0.0", "x0", "x1"))
    # by hand: 6.3 - 9.4 h - 4.2 (x0 + x1), h at 0.90 or at (0.0148 + 0.0148 + 0.00002) / 3
    assert output.table == (1, 1, 1, 0, 0, 0, 0, 0)
    assert BooleanFunction.from_formula(circuit.formula).name == "XOR"
    assert circuit.units[0].interchange == 16
    assert [e.name for e in circuit.edges] == [
        "x0->h0.0", "x1->h0.0", "h0.0->y0", "x0->y0", "x1->y0",
    ]  # fmt: skip
    graph = circuit.to_networkx()
    assert graph.edges["x1", "y0"]["weight"] == pytest.approx(-4.2)
    assert graph.edges["h0.0", "y0"]["weight"] == pytest.approx(-9.4)
    assert '"x0" -> "y0" [label="-4.20", style=dashed]' in circuit.to_dot()
    assert 'x0 -.->|"-4.20"| y0' in circuit.to_mermaid()
    assert "y_{0} &= " in circuit.to_latex()
    assert all(evidence.holds for evidence in circuit.evidence)
    (joint,) = [evidence for evidence in circuit.evidence if evidence.kind == "joint"]
    assert (joint.effect, joint.n) == (16, 16)  # four sources of the unit, on four bases
    page = circuit.explain()
    assert "-9.40 h0.0 -4.20 x0 -4.20 x1 +6.30" in page
    assert "whose inputs are connected to the output too" in page
    assert "01 and 10: between them x0 +1.00, x1 -1.00" in page
    again = circuit.model
    assert torch.equal(again(again.rows()), HookedMLP.from_weights(**RUMELHART)(again.rows()))


def test_without_the_direct_connections_the_same_unit_is_nothing():
    """The guard: the network above without them does not compute XOR, so they were read."""
    model = HookedMLP.from_weights(**(RUMELHART | {"direct": None}))
    assert identify_circuit(model).verdict == "not_computing"


def test_bipolar_inputs_are_read_as_their_author_meant_them():
    """tanh on -1 and 1 with units AND and OR; read on 0 and 1 the same weights compute NAND."""
    layers = [([[10, 10], [10, 10]], [-10, 10]), ([[-0.5, 1]], [-0.75])]
    settings = {"act_fn": "tanh", "out_act_fn": "tanh", "target": "XOR"}
    circuit = identify_circuit(HookedMLP.from_weights(layers, input_levels=(-1, 1), **settings))
    assert circuit.verdict == "identified"
    assert [unit.gate for unit in circuit.units] == ["AND", "OR"]
    assert "whose inputs are -1 for bit 0 and 1 for bit 1" in circuit.explain()
    assert identify_circuit(HookedMLP.from_weights(layers, **settings)).verdict == "not_computing"


def test_the_larger_of_two_logits():
    """Both biases raised by 10: above a threshold both outputs are always on, by the larger of them
    it is XOR of OR and AND.
    """
    layers = [([[1, 1], [1, 1]], [0, -1]), ([[-1, 2], [1, -2]], [10.5, 9.5])]
    circuit = identify_circuit(HookedMLP.from_weights(layers, decision_rule="argmax"), "XOR")
    assert circuit.verdict == "identified"
    assert [unit.gate for unit in circuit.units] == ["OR", "AND"]
    assert circuit.formulas["y1"]["inputs"] == "x0 ^ x1"
    page = circuit.explain()
    assert (
        "01: y1 = +1.00 (h0.0) +0.00 (h0.1) +9.50 (bias) = 10.50, y1 - y0 = +1.00, decided 1"
        in page
    )
    assert "y1 - y0 changes by +4.00 (h0.0) -4.00 (h0.1) = +0.00: the changes cancel" in page
    by_threshold = identify_circuit(HookedMLP.from_weights(layers))
    assert by_threshold.target.name == "TRUE, TRUE"


# steps that fire at exactly zero

AT_LEAST = [([[1, 1], [-1, -1]], [-1, 1]), ([[1, 1]], [-2])]


def stepped(step_at_zero, layers=AT_LEAST, **settings):
    """A network of steps that should compute XOR."""
    return HookedMLP.from_weights(
        layers,
        act_fn="heaviside",
        out_act_fn="heaviside",
        step_at_zero=step_at_zero,
        target="XOR",
        **settings,
    )


def test_units_on_their_step_are_said():
    """Written for >= it is XOR of OR and NAND, read with > it is not; either way the verdict says
    where sums are exactly zero, and which setting reads it the other way.
    """
    off, on = (identify_circuit(stepped(step)) for step in (0, 1))
    assert (off.verdict, on.verdict) == ("not_computing", "identified")
    assert [unit.gate for unit in on.units] == ["OR", "NAND"]
    assert off.reason.endswith(
        ". h0.0 is exactly on its step on 01, 10, h0.1 is exactly on its step on 01, 10; "
        "a network written with >= decides differently: step_at_zero=1"
    )
    assert on.reason.endswith("a network written with > decides differently: step_at_zero=0")
    assert [(unit.name, rows) for unit, rows in on.on_step.units] == [
        ("h0.0", ("01", "10")),
        ("h0.1", ("01", "10")),
        ("y0", ("01", "10")),
    ]
    assert off.on_step.rows_otherwise == on.on_step.rows_otherwise == ("01", "10")
    assert off.to_dict()["on_step"]["units"] == {"h0.0": ["01", "10"], "h0.1": ["01", "10"]}


def test_nothing_is_said_where_nothing_is_on_a_step():
    """Sums of a half, and units that do not jump: no further sentence."""
    half = [([[1, 1], [-1, -1]], [-0.5, 1.5]), ([[1, 1]], [-1.5])]
    circuit = identify_circuit(stepped(0, half))
    assert (circuit.verdict, circuit.on_step) == ("identified", None)
    assert ". " not in circuit.reason
    # relu(0) is 0 whichever way it is written
    relu = identify_circuit(HookedMLP.from_weights(AT_LEAST))
    assert (relu.on_step, relu.to_dict()["on_step"]) == (None, None)


def test_a_step_on_which_nothing_hangs():
    """A third unit is on its step on 00 and read by nothing: said, and that the decisions stay."""
    layers = [([[1, 1], [-1, -1], [1, 1]], [-0.5, 1.5, 0]), ([[1, 1, 0]], [-1.5])]
    circuit = identify_circuit(stepped(0, layers))
    assert circuit.verdict == "identified"
    assert circuit.reason.endswith(
        "h0.2 is exactly on its step on 00; "
        "a network written with >= decides the same: step_at_zero=1"
    )


def test_a_sum_that_is_zero_in_the_network_s_own_dtype_is_on_its_step():
    """0.6 + 0.4 - 1 is 0 in float32, and 3e-8 where the same weights are added in float64."""
    weight, bias = torch.tensor([[0.6, 0.4]]), torch.tensor([-1.0])
    assert (weight.sum() + bias).item() == 0 != (weight.double().sum() + bias.double()).item()
    model = HookedMLP.from_weights([(weight, bias), ([[1]], [-0.5])], act_fn="heaviside")
    assert identify_circuit(model).on_step.units == ((model.place("h0.0"), ("11",)),)


@pytest.mark.parametrize("encoding", STEPPING)
def test_units_on_their_step_are_those_of_a_brute_force(encoding):
    """Every hidden unit and output whose sum of whole numbers is zero, with the rows."""
    n_found = 0
    for seed in range(10):
        brute = drawn(encoding, seed)
        model, hidden = built(encoding, brute), brute.hidden()
        expected = {}
        for number, (weight, bias) in enumerate(brute.layers):
            for k, (row, b) in enumerate(zip(weight, bias, strict=True)):
                name = f"h0.{k}" if number == 0 else f"y{k}"
                on = []
                for r in range(4):
                    read = brute.inputs[r] if number == 0 else [unit[r] for unit in hidden[0]]
                    if sum(w * v for w, v in zip(row, read, strict=True)) + b == 0:
                        on.append("".join(map(str, BITS[r])))
                if on:
                    expected[name] = tuple(on)
        found = identify_circuit(model, max_readings=10**6, with_evidence=False).on_step
        assert {u.name: rows for u, rows in (found.units if found else ())} == expected
        n_found += len(expected)
    assert n_found > 5


# many at once


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_many_at_once_are_as_one_by_one(encoding):
    """`identify_many` says of every network what `identify_circuit` says of it, whether its batch
    covers the encoding or not.
    """
    gates = set()
    for model, brute in networks(encoding):
        target = BooleanFunction(2, tuple(zip(*brute.decisions(), strict=True)))
        model = model.with_weights(model.float64_layers(), target=target)
        layers = [(w[None], b[None]) for w, b in model.float64_layers()]
        (found,) = identify_many(lambda _, model=model: model, layers, model.cfg, progress=False)
        expected = summarize(identify_circuit(model, with_evidence=False))
        assert found._replace(margins=()) == expected._replace(margins=())
        assert found.margins == pytest.approx(expected.margins, nan_ok=True)
        gates.add(found.gates)
    assert len(gates) > 1


def test_many_networks_none_of_which_has_a_reading():
    """A batch in which no reading of any network is faithful: each is told so."""
    layers = [([[2.2, 2.4], [-0.5, 1.9]], [-1.7, -1.3]), ([[3.4, -3.2]], [-1.4])]
    model = HookedMLP.from_weights(layers, target="x0")
    assert identify_circuit(model).verdict == "no_gate_reading"
    batch = [(torch.stack([w, w]), torch.stack([b, b])) for w, b in model.float64_layers()]
    found = identify_many(lambda _: model, batch, model.cfg, progress=False)
    assert [one.verdict for one in found] == ["no_gate_reading"] * 2


@pytest.mark.parametrize(
    ("encoding", "most_alone"),
    [("levels -1 and 1", 3), ("two logits", 3), ("direct", 20), ("one of three", 20)],
)
def test_what_the_batch_covers(encoding, most_alone, monkeypatch):
    """Levels and two logits are identified together, but for a few; direct connections and one of
    three are left to `identify_circuit`.
    """
    from xor_mi.circuits import _summary

    alone, by_itself = [], _summary._alone
    monkeypatch.setattr(
        _summary,
        "_alone",
        lambda *asked: (alone.append(asked[1]), by_itself(*asked))[1],
    )
    models = [built(encoding, drawn(encoding, seed)) for seed in range(20)]
    target = ", ".join(["XOR"] * models[0].cfg.n_decisions)
    models = [model.with_weights(model.float64_layers(), target=target) for model in models]
    layers = [
        tuple(map(torch.stack, zip(*layer, strict=True)))
        for layer in zip(*(model.float64_layers() for model in models), strict=True)
    ]
    identify_many(models.__getitem__, layers, models[0].cfg, progress=False)
    assert len(alone) == 20 if most_alone == 20 else len(alone) <= most_alone


# what cannot be


def test_too_many_combinations_are_refused():
    """13 units and four inputs at one output are 131,072 combinations: refused, with the bound."""
    model = HookedMLP.from_weights(
        [(torch.ones(13, 4), None), (torch.ones(1, 13), None)], direct=torch.ones(1, 4)
    )
    with pytest.raises(XorMiError, match="reads 13 units and 4 inputs .* at most 16 units and inp"):
        identify_circuit(model)


# targets of several outputs


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
def test_the_name_of_a_function_is_read_back(n_inputs):
    """What a verdict prints is accepted as a target, for any functions side by side."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        tables = rng.integers(0, 2, (rng.integers(1, 4), 2**n_inputs)).tolist()
        function = BooleanFunction(n_inputs, tables)
        assert BooleanFunction.of(function.name, n_inputs) == function


def test_names_and_formulas_side_by_side():
    """Commas inside brackets belong to a call; a name that does not exist is told alone."""
    function = BooleanFunction.of("XNOR, AND(x0, x1), x0 > x1")
    assert function.tables == ((1, 0, 0, 1), (0, 0, 0, 1), (0, 0, 1, 0))
    with pytest.raises(XorMiError, match="no gate 'XORR'; .* did you mean 'XOR'"):
        BooleanFunction.of("XORR, AND")
    with pytest.raises(XorMiError, match="cannot be read as a formula"):
        BooleanFunction.of("x0,, x1")


def test_the_printed_target_is_taken_by_the_verdict_and_by_the_model():
    """A network of two outputs is held against the name that its own verdict prints."""
    model = HookedMLP.from_weights(
        [([[1, 1], [1, 1]], [0, -1]), ([[-1, 2], [1, -2]], [0.5, -0.5])], target="XNOR, XOR"
    )
    circuit = identify_circuit(model)
    assert circuit.verdict == "identified"
    assert circuit.reason.startswith("exactly one circuit passes joint interchange: XNOR, XOR = ")
    assert identify_circuit(model, circuit.target.name).verdict == "identified"
    assert identify_circuit(model, "XOR, XNOR").verdict == "not_computing"
