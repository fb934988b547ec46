"""Gates, netlists and formulas -> weights, held against identification, brute force over all rows,
and the zoo.
"""

from itertools import combinations as ways_to_pick

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import xor_by_other_conventions

from xor_mi import identify_circuit, zoo
from xor_mi.errors import XorMiError
from xor_mi.handmade import from_formula, from_gates, from_netlist
from xor_mi.handmade._separation import separating_weights
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.truth import GATES, BooleanFunction, formula_trees, truth_rows

WITH_CIRCUIT = [
    name for name in zoo.names() if zoo.recorded(name)["verdict"] in ("identified", "ambiguous")
]


def tables_of(model):
    """What the network decides on all rows, one table per output."""
    return [tuple(column) for column in decisions(model).T.tolist()]


def random_threshold_layers(seed, widths):
    """Layers of random threshold gates, each over the layer before, drawn by their weights in
    NumPy.
    """
    rng, layers = np.random.default_rng(seed), []
    for width, parents in zip(widths[1:], widths[:-1], strict=True):
        rows = np.array(truth_rows(parents))
        layers.append([])
        for _ in range(width):
            w = rng.normal(size=parents)
            pre = rows @ w - rng.permutation(rows @ w)[0] + 1e-6
            layers[-1].append(BooleanFunction(parents, tuple((pre > 0).astype(int).tolist())))
    return layers


def composed(layers, n_inputs):
    """Brute force: every gate looked up on every row."""
    outputs = []
    for row in truth_rows(n_inputs):
        bits = row
        for gates in layers:
            bits = tuple(gate(*bits) for gate in gates)
        outputs.append(bits)
    return list(zip(*outputs, strict=True))


@pytest.mark.as_a_user
@pytest.mark.parametrize("act_fn", ["heaviside", "sigmoid", "tanh"])
@pytest.mark.parametrize("name", WITH_CIRCUIT)
def test_identify_compile_identify_is_the_identity_on_the_zoo(name, act_fn):
    """Every circuit of the zoo, compiled and identified again, has the same signature and family
    and decides alike.
    """
    circuit = identify_circuit(zoo.load(name), with_evidence=False)
    again = identify_circuit(from_netlist(circuit, act_fn=act_fn), with_evidence=False)
    assert again.verdict == "identified"
    assert (again.signature, again.family) == (circuit.signature, circuit.family)
    assert again.target.tables == circuit.target.tables


def random_widths(seed):
    """Two to four inputs, up to three hidden layers of up to four units, one output or two."""
    rng = np.random.default_rng(seed)
    n_hidden = rng.integers(1, 4)
    return [
        int(rng.integers(2, 5)),
        *(int(width) for width in rng.integers(1, 5, size=n_hidden)),
        int(rng.integers(1, 3)),
    ]


def planted_tables(layers, n_inputs):
    """Layer by layer, the combinations that interchanges can produce, and every gate on these.

    Units of a layer that are equal or complements, whatever interchanges do before them, move
    together. A unit of the first layer that is constant is so in every interchange.
    """
    bits, produced, planted = np.array(truth_rows(n_inputs)), [], []
    for number, gates in enumerate(layers):
        width = bits.shape[1]
        combinations = np.array(truth_rows(width))
        possible = np.ones(len(combinations), dtype=bool)
        varies = np.ptp(bits, axis=0) > 0
        for a, b in ways_to_pick(np.flatnonzero(varies) if number else [], 2):
            apart = np.vstack([bits, *produced])[:, [a, b]].sum(1) % 2
            if np.ptp(apart) == 0:
                possible &= combinations[:, [a, b]].sum(1) % 2 == apart[0]
        # in interchanges of this layer itself a constant unit stays what it is
        unmoved = (combinations == bits[0])[:, ~varies].all(1)
        if number == 1:
            possible &= unmoved
        tables = np.array([gate.bits for gate in gates])
        planted.append((np.flatnonzero(possible), tables))
        before = [*produced, combinations[possible & unmoved]] if number else []
        bits, *produced = (
            tables[:, one @ (2 ** np.arange(width)[::-1])].T for one in [bits, *before]
        )
    return planted


@pytest.mark.as_a_user
@pytest.mark.parametrize("seed", range(40))
def test_random_netlists_come_back_as_they_were(seed):
    """Random layers of threshold gates: compiled, they are identified at the joint level, with
    every gate as it was on all that an interchange can produce; and so once more.
    """
    widths = random_widths(seed)
    layers = random_threshold_layers(seed, widths)
    model = from_netlist(layers, n_inputs=widths[0])
    assert tables_of(model) == composed(layers, widths[0])
    first = identify_circuit(model, with_evidence=False)
    assert (first.verdict, first.proof_level) == ("identified", "joint")
    assert_planted(first, layers, widths[0])
    again = identify_circuit(from_netlist(first), with_evidence=False)
    assert (again.verdict, again.signature, again.formula) == (
        first.verdict,
        first.signature,
        first.formula,
    )


def assert_planted(circuit, layers, n_inputs):
    """Every gate of the circuit is the one that was compiled."""
    for layer, (possible, tables) in enumerate(planted_tables(layers, n_inputs)):
        measured = [gate.bits for gate in circuit.netlist if gate.unit.layer == layer]
        np.testing.assert_array_equal(np.array(measured)[:, possible], tables[:, possible])


@pytest.mark.parametrize("act_fn", ["heaviside", "sign", "sigmoid", "tanh"])
def test_a_gate_that_is_constant_on_all_rows_comes_back_too(act_fn):
    """h1.1 is never on, since nothing is AND and not OR; with OR taken from another row it is, and
    the output follows it.
    """
    layers = [["AND", "OR"], ["x1", "x0 & ~x1"], ["x0 | x1"]]
    circuit = identify_circuit(from_netlist(layers, act_fn=act_fn), with_evidence=False)
    assert (circuit.verdict, circuit.proof_level) == ("identified", "joint")
    gates = [[BooleanFunction.of(gate, 2) for gate in of_layer] for of_layer in layers]
    assert_planted(circuit, gates, 2)
    assert circuit.units[3].note == "dead"
    assert not circuit.units[3].idle


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_come_back_with_their_signature(seed):
    """A random relu or tanh network's circuit, identified or ambiguous, is compiled: its primary
    reading comes back.
    """
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(size=(3, 2)), rng.normal(size=3)),
        (rng.normal(size=(2, 3)), rng.normal(size=2)),
        (rng.normal(size=(1, 2)), [0.0]),
    ]
    circuit = identify_circuit(
        HookedMLP.from_weights(layers, act_fn=("relu", "tanh")[seed % 2], dtype="float64"),
        with_evidence=False,
    )
    if circuit.primary is None:
        with pytest.raises(
            XorMiError, match=f"no netlist to compile: its verdict is {circuit.verdict}"
        ):
            from_netlist(circuit)
        return
    again = identify_circuit(from_netlist(circuit), with_evidence=False)
    from xor_mi.circuits import signature_of

    assert again.signature == signature_of(circuit.primary.netlist, circuit.layer_sizes)
    if circuit.verdict == "identified":
        assert again.signature == circuit.signature
    assert (
        from_netlist(circuit.primary).fc1.weight.tolist()
        == from_netlist(circuit).fc1.weight.tolist()
    )


@pytest.mark.parametrize(
    ("netlist", "settings_", "message"),
    [
        ([["OR", "AND"], ["x0 ^ x1"]], {}, "no single unit is XOR"),
        ([["OR", "AND"]], {}, "is not a netlist"),
        ("OR", {}, "is not a netlist"),
        ([["OR"], "AND"], {}, "is not a layer of 1 to 12 gates"),
        ([["OR"], []], {}, "is not a layer of 1 to 12 gates"),
        (
            [["OR", "AND"], ["x0 & x2"]],
            {},
            "'x0 & x2' uses x2, but the function has 2 inputs",
        ),
        (
            [["OR", "AND"], ["x0"]],
            {"act_fn": "relu"},
            "no two-level activation 'relu'; a netlist compiles to: heaviside, sigmoid, tanh, sign",
        ),
    ],
)
@pytest.mark.unchecked
def test_what_cannot_be_compiled_is_refused(netlist, settings_, message):
    """A gate no unit can be, no layers, a gate over too many parents, another activation."""
    with pytest.raises(XorMiError, match=message):
        from_netlist(netlist, **settings_)


def test_every_circuit_that_survives_is_compiled_not_only_the_first():
    """Each of an ambiguous or approximate network's circuits compiles to a network that is
    identified with its formula.
    """
    layers = [([[5.0, 5.0], [1.0, 1.0]], [-5.0, -1.5]), ([[1.0, -4.0]], [-0.5])]
    circuit = identify_circuit(
        HookedMLP.from_weights(layers, act_fn="tanh", dtype="float64"), with_evidence=False
    )
    assert circuit.circuits
    for one in circuit.circuits:
        again = identify_circuit(from_netlist(one), with_evidence=False)
        assert (again.verdict, again.formula) == ("identified", one.formula)


def test_direct_connections_are_refused():
    """One line: which output reads the inputs beside the hidden units."""
    direct = identify_circuit(xor_by_other_conventions("direct"))
    with pytest.raises(XorMiError, match="y0 reads h0.0, x0, x1; .* no direct connections"):
        from_netlist(direct)


def test_a_network_without_a_circuit_has_no_netlist():
    """The verdict is named."""
    with pytest.raises(XorMiError, match="its verdict is not_computing"):
        from_netlist(identify_circuit(zoo.load("unsolved")))


# formulas


FORMULAS = [
    ("x0 ^ x1 ^ x2", (3, 3, 1)), ("x0", (1, 1, 1)), ("TRUE", (1, 1, 1)), ("~x0 ^ ~x1", (2, 2, 1)), ("x0 ^ x0", (1, 1, 1)),
    ("(x0 & x1) ^ (x0 & x1)", (2, 1, 1)), ("MAJ", None), ("x0 & (x1 | x2)", (3, 1, 1)), ("x0 == x1, x0 != x1", (2, 2, 2)),
    ("XOR(x0,x1,x2,x3,x4,x5,x6,x7,x8,x9,x10,x11)", (12, 12, 1)), ("IMPLIES(x0, x1) ^ NIMP(x0, x1)", (2, 1, 1)),
    ("(x0 ^ x1) & (x2 ^ x3)", (4, 4, 2, 1)), ("x0 ^ x1 ^ x2, x3", (4, 4, 2)), ("NAND(x0, x1, x2) >= NOR(x1, x2)", (3, 1, 1)),
    ("(x0 & ~x1) ^ (x1 & ~x0)", (2, 2, 1)), ("(x0 & x1) ^ (~x0 & x2)", None), ("(x0 & x1) ^ (~x0 & ~x1) ^ (x0 & ~x1)", None),
    ("((x0 ^ x1) & x2) ^ ((x0 ^ x1) | x3)", None), ("x0 <= x1 ^ x2 < x3", None),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "sizes"), [case for case in FORMULAS if case[0] != "MAJ"])
def test_formulas_by_hand(formula, sizes):
    """The network decides what the formula says, with the layers one would draw."""
    model = from_formula(formula)
    assert tables_of(model) == list(BooleanFunction.from_formula(formula).tables)
    assert sizes is None or model.layer_sizes == sizes


def formulas(n_inputs):
    """Random formula text over n inputs, from every operator the reader knows."""
    leaves = st.sampled_from([f"x{i}" for i in range(n_inputs)])
    binary = st.sampled_from(["&", "|", "^", ">", ">=", "<", "<=", "==", "!="])
    calls = st.sampled_from(["AND", "OR", "XOR", "NAND", "NOR", "XNOR"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(lambda text: f"~({text})"),
            st.tuples(inner, binary, inner).map(
                lambda parts: f"(({parts[0]}) {parts[1]} ({parts[2]}))"
            ),
            st.tuples(calls, st.lists(inner, min_size=1, max_size=4)).map(
                lambda parts: f"{parts[0]}({', '.join(parts[1])})"
            ),
        ),
        max_leaves=12,
    )


@pytest.mark.as_a_user
@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(formulas(5), st.sampled_from(["heaviside", "sigmoid", "tanh"]))
def test_any_formula_becomes_a_network_that_decides_it(formula, act_fn):
    """Whatever the formula and the activation, all 32 rows are decided as its table says, each with
    margin 1 at least.
    """
    function = BooleanFunction.from_formula(formula, n_inputs=5)
    model = from_formula(formula, act_fn=act_fn, n_inputs=5)
    assert tables_of(model) == list(function.tables)
    assert model(model.rows()).abs().min() > 1 - 1e-6


@settings(max_examples=120, deadline=None, derandomize=True)
@given(formulas(4))
def test_trees_mean_what_the_formula_means(formula):
    """formula_trees, evaluated by a few lines of Python, gives the table that reading the formula
    gives.
    """

    def value(tree, row):
        if tree.kind in ("input", "constant"):
            return row[tree.value] if tree.kind == "input" else tree.value
        bits = [value(part, row) for part in tree.parts]
        return {
            "not": lambda: 1 - bits[0],
            "and": lambda: min(bits),
            "or": lambda: max(bits),
            "xor": lambda: sum(bits) % 2,
        }[tree.kind]()

    (tree,) = formula_trees(formula)
    assert (
        tuple(value(tree, row) for row in truth_rows(4))
        == BooleanFunction.from_formula(formula, n_inputs=4).bits
    )


def test_shared_subformulas_are_built_once():
    """Written twice, negated, or by De Morgan: the layers are those of writing it once."""
    once = from_formula("((x0 ^ x1) & x2) | ((x2 ^ x3) & x1)")
    twice = from_formula("~(~((x0 != x1) & x2) & ~(~(x2 == x3) & x1)) | (x0 ^ x1) & x2")
    assert once.layer_sizes[1] == from_formula("(x0 ^ x1) & x2, (x2 ^ x3) & x1").layer_sizes[1]
    assert tables_of(twice) == list(
        BooleanFunction.from_formula("((x0 ^ x1) & x2) | ((x2 ^ x3) & x1)").tables
    )
    assert from_formula("~(~x0 | ~x1) ^ (x1 & x0) ^ x2").layer_sizes == (3, 1, 1)
    assert from_formula("(x0 ^ x1) & x2, ~(x0 ^ x1) | x3").layer_sizes == (4, 4, 3, 2)


@pytest.mark.parametrize(("formula", "settings_", "message"), [
    ("x0 ^", {}, "cannot be read"), ("x0 ^ x13", {}, "1 to 12 inputs"), ("f(x0)", {}, "no input|not a Boolean"), ("x0", {"act_fn": "gelu"}, "no two-level activation 'gelu'"),
    ("x0 ^ x3", {"n_inputs": 2}, "the function has 2 inputs"),
])  # fmt: skip
@pytest.mark.unchecked
def test_formulas_that_cannot_be_compiled_are_refused(formula, settings_, message):
    """Unreadable, too wide, unknown calls, another activation."""
    with pytest.raises(XorMiError, match=message):
        from_formula(formula, **settings_)


# gates of more inputs, and the linear program under them


def test_gates_of_three_inputs_and_two_outputs():
    """Parity and majority of three inputs from the same three counting units."""
    model = from_gates(
        ["OR", "MAJ".replace("MAJ", "(x0 & x1) | (x0 & x2) | (x1 & x2)"), "AND"],
        "x0 ^ x1 ^ x2, (x0 & x1) | (x2 & (x0 | x1))",
        n_inputs=3,
    )
    assert tables_of(model) == list(
        BooleanFunction.from_formula("x0 ^ x1 ^ x2, (x0 & x1) | (x2 & (x0 | x1))").tables
    )
    bits = (model.run_with_cache(model.rows())[1]["pre", 0] > 0).int()
    assert torch.equal(bits.sum(1), model.rows().sum(1).int())


@pytest.mark.parametrize(("gates", "settings_", "message"), [
    ("OR", {}, "'OR' given; from_gates takes 1 to 12 gates in a list"), (["OR"] * 13, {}, "13 gates given"), ([BooleanFunction.from_formula("x0, x1"), "AND"], {}, "has 2 outputs; a hidden unit"),
    (["OR", "AND"], {"n_inputs": 3}, "do not admit XOR|has 2 inputs"), (["AND"], {"n_inputs": 13}, "1 to 12 inputs"),
])  # fmt: skip
def test_gates_that_are_no_list_of_units_are_refused(gates, settings_, message):
    """A name alone, too many, one with two outputs, too many inputs."""
    with pytest.raises(XorMiError, match=message):
        from_gates(gates, **settings_)


def test_every_function_of_three_inputs_is_separated_or_not():
    """104 of the 256 functions of three inputs are thresholds (Muroga 1971; 14 of the 16 of two
    inputs), and their weights have margin 1.
    """
    for n_inputs, count in ((2, 14), (3, 104)):
        rows = np.array(truth_rows(n_inputs), dtype=float)
        found = 0
        for number in range(2 ** len(rows)):
            bits = np.array([number >> k & 1 for k in range(len(rows))])
            answer = separating_weights(rows, bits)
            if answer is not None:
                found += 1
                assert (
                    np.where(bits == 1, 1, -1) * (rows @ answer[0] + answer[1])
                ).min() >= 1 - 1e-9
        assert found == count
    assert {
        name
        for name in GATES
        if separating_weights(np.array(truth_rows(2), dtype=float), np.array(GATES[name])) is None
    } == {
        "XOR",
        "XNOR",
    }
