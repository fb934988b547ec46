"""Every set of threshold gates that computes a function, against plain loops over all sets, against
what `identify_circuit` says of networks built of them, and against published counts.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import combinations, permutations, product
from math import comb

import numpy as np
import pytest

from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.handmade import from_gates
from xor_mi.least_units import _direct_readouts, _families, _gate_sets, gate_sets
from xor_mi.least_units._gate_sets import a_gate_set, gates_of
from xor_mi.model import HookedMLP
from xor_mi.truth import (
    BooleanFunction,
    count_threshold_functions,
    threshold_tables,
    truth_rows,
)

Table = tuple[int, ...]
PARITY_OF_FOUR = "x0 ^ x1 ^ x2 ^ x3"
FULL_ADDER = "x0 ^ x1 ^ x2, (x0 & x1) | (x0 & x2) | (x1 & x2)"


@cache
def thresholds_by_weights(n_inputs: int) -> dict[Table, tuple[Table, float]]:
    """Every threshold function of up to four inputs, with whole weights from -3 to 3, which are
    enough (the counts below are published), and a threshold.
    """
    rows = np.array(truth_rows(n_inputs))
    found = {}
    for weights in product(range(-3, 4), repeat=n_inputs):
        sums = rows @ np.array(weights)
        for cut in {sums.min() - 1, *sums.tolist()}:
            table = tuple((sums > cut).astype(int).tolist())
            found.setdefault(table, (weights, cut + 0.5))
    return found


def gates_by_weights(n_inputs: int) -> list[Table]:
    """One of every gate and its complement, no constants."""
    return sorted(table for table in thresholds_by_weights(n_inputs) if not table[0] and any(table))


def is_threshold_of(columns: list[Table], table: Table) -> bool:
    """Whether some threshold function of these columns is the table on every row, tried one by one."""
    n_inputs = len(columns)
    patterns = [int("".join(map(str, bits)), 2) for bits in zip(*columns, strict=True)]
    return any(
        all(readout[pattern] == bit for pattern, bit in zip(patterns, table, strict=True))
        for readout in thresholds_by_weights(n_inputs)
    )


def sets_by_brute_force(
    function: BooleanFunction, n_units: int, *, direct: bool
) -> set[frozenset[Table]]:
    """Every set, by a plain loop over all of them."""
    inputs = list(zip(*truth_rows(function.n_inputs), strict=True)) if direct else []
    return {
        frozenset(chosen)
        for chosen in combinations(gates_by_weights(function.n_inputs), n_units)
        if all(is_threshold_of([*chosen, *inputs], table) for table in function.tables)
    }


def sets_found(function: BooleanFunction, n_units: int, *, direct: bool) -> set[frozenset[Table]]:
    """The same as `gate_sets` has them."""
    found = gate_sets(function, n_units, direct=direct, progress=False)
    bits = found.tables[:, :, None] >> np.arange(2**function.n_inputs, dtype=np.uint32) & 1
    sets = {frozenset(map(tuple, gates)) for gates in bits.tolist()}
    assert len(sets) * 2**n_units == found.n_sets
    return sets


@pytest.mark.parametrize("n_inputs", [1, 2, 3, 4])
def test_the_gates_are_all_threshold_functions_up_to_complement(n_inputs):
    """A000609 counts 4, 14, 104 and 1,882, two of them constant."""
    packed, bits = gates_of(n_inputs)
    assert len(packed) == {1: 1, 2: 6, 3: 51, 4: 940}[n_inputs]
    assert sorted(map(tuple, bits.tolist())) == gates_by_weights(n_inputs)


@pytest.mark.parametrize("direct", [False, True])
def test_one_input_has_one_gate(direct):
    """The input itself, up to its complement: more units have no set, of any function."""
    for table in product((0, 1), repeat=2):
        function = BooleanFunction(1, table)
        assert len(sets_found(function, 1, direct=direct)) == 1
        for n_units in (2, 3, 4):
            assert sets_found(function, n_units, direct=direct) == set()


@pytest.mark.parametrize(("n_units", "direct"), [(1, False), (2, False), (1, True), (2, True)])
def test_all_functions_of_two_inputs_against_all_sets(n_units, direct):
    """Every table, with and without direct connections."""
    for table in product((0, 1), repeat=4):
        function = BooleanFunction(2, table)
        expected = sets_by_brute_force(function, n_units, direct=direct)
        assert sets_found(function, n_units, direct=direct) == expected


@pytest.mark.parametrize(
    ("target", "n_units", "direct"),
    [
        ("x0 ^ x1 ^ x2", 2, False),
        ("x0 ^ x1 ^ x2", 1, True),
        ("(x0 & x1) | (~x0 & x2)", 2, False),
        ("x0 ^ (x1 & x2)", 1, True),
        (FULL_ADDER, 2, False),
        ("x0 ^ x1, x1 & x2", 2, False),
        ("x0 & ~x2, x0 ^ x1", 1, True),
    ],
)
def test_functions_of_three_inputs_against_all_sets(target, n_units, direct):
    """One and two outputs; with and without any set, and symmetry or none."""
    function = BooleanFunction.of(target, 3)
    expected = sets_by_brute_force(function, n_units, direct=direct)
    assert sets_found(function, n_units, direct=direct) == expected


def test_sets_of_three_against_all_sets():
    """20,825 sets of three gates; parity by way of its symmetries, the other without any."""
    parity = BooleanFunction.of("x0 ^ x1 ^ x2", 3)
    lopsided = BooleanFunction.of("x0 ^ x1 ^ x2, x0 & ~x1, x1 | x2", 3)
    chosen_three = list(combinations(gates_by_weights(3), 3))
    readouts = np.array(list(thresholds_by_weights(3)))
    columns = np.array(chosen_three)
    patterns = columns[:, 0] * 4 + columns[:, 1] * 2 + columns[:, 2]
    for function in (parity, lopsided):
        fits = np.ones(len(columns), dtype=bool)
        for table in function.tables:
            fits &= (readouts[:, patterns] == table).all(axis=2).any(axis=0)
        expected = {
            frozenset(chosen) for chosen, fit in zip(chosen_three, fits, strict=True) if fit
        }
        assert expected
        assert sets_found(function, 3, direct=False) == expected


@pytest.mark.parametrize("seed", range(2))
def test_one_gate_beside_four_inputs_against_all_threshold_functions_of_five(seed):
    """A gate will do exactly where some threshold function of the gate and the inputs is the output
    on the sixteen rows that occur; the 94,572 of them are tried on all 940 gates.
    """
    table = np.random.default_rng(seed).integers(0, 2, 16)
    packed, bits = gates_of(4)
    readouts = threshold_tables(5)[:, None] >> np.arange(32, dtype=np.uint32) & 1
    # the gate first: it is 0 on the first sixteen rows of five inputs and 1 on the others
    without, with_gate = readouts[:, :16] == table, readouts[:, 16:] == table
    possible = (without | with_gate).all(axis=1)
    expected = [
        int(gate)
        for gate, on in zip(packed, bits.astype(bool), strict=True)
        if np.where(on, with_gate[possible], without[possible]).all(axis=1).any()
    ]
    found = gate_sets(BooleanFunction(4, table.tolist()), 1, direct=True)
    assert found.tables[:, 0].tolist() == expected


def test_linear_programs_decide_what_the_perceptron_leaves_open(monkeypatch):
    """With a perceptron that gives up at once, each of 51 gates beside three inputs is decided by
    the programs and their checks in whole numbers; the answers are those of the plain loops.
    """
    monkeypatch.setattr(_direct_readouts, "STEPS", 1)
    _, bits = gates_of(3)
    inputs = list(zip(*truth_rows(3), strict=True))
    gates = list(map(tuple, bits.tolist()))
    each_alone = np.arange(len(gates))[:, None]
    n_possible = []
    for target in ("x0 ^ x1 ^ x2", "x0 ^ x1, x0 & ~x2"):
        function = BooleanFunction.of(target, 3)
        expected = [
            all(is_threshold_of([gate, *inputs], table) for table in function.tables)
            for gate in gates
        ]
        decided = _direct_readouts.have_direct_readout(each_alone, function, bits)
        assert decided.tolist() == expected
        n_possible.append(sum(expected))
    assert all(0 < count < len(gates) for count in n_possible)


def networks(
    function: BooleanFunction, n_units: int, *, signs: bool
) -> Iterator[tuple[tuple[Table, ...], HookedMLP]]:
    """A network of heaviside units for every set of gates and every threshold function of them that
    is the output on all rows.

    Args:
        signs: also for every choice of gates that are turned over.
    """
    by_weights = thresholds_by_weights(function.n_inputs)
    of_units = thresholds_by_weights(n_units)
    turned = (0, 1) if signs else (0,)
    sides = product(turned, repeat=n_units)
    gates = gates_by_weights(function.n_inputs)
    for chosen, flips in product(combinations(gates, n_units), list(sides)):
        columns = [
            tuple(bit ^ flip for bit in gate) for gate, flip in zip(chosen, flips, strict=True)
        ]
        patterns = [int("".join(map(str, bits)), 2) for bits in zip(*columns, strict=True)]
        fitting = [
            [readout for readout in of_units if [readout[p] for p in patterns] == list(table)]
            for table in function.tables
        ]
        for outputs in product(*fitting):
            hidden = [by_weights[column] for column in columns]
            last = [of_units[output] for output in outputs]
            layers = [
                ([list(weights) for weights, _ in layer], [-threshold for _, threshold in layer])
                for layer in (hidden, last)
            ]
            model = HookedMLP.from_weights(
                layers, act_fn="heaviside", decision_threshold=0.0, target=function
            )
            yield tuple(columns), model


@pytest.mark.parametrize(
    ("target", "n_units", "signs"),
    [
        ("XOR", 2, True),
        ("XNOR", 2, True),
        ("x0 ^ x1, x0 & x1", 2, True),
        ("AND", 2, False),
        ("(x0 & x1) | (~x0 & x2)", 2, False),
        ("x0 & ~x2, x0 | x1", 2, False),
    ],
)
def test_families_are_those_of_the_circuits_of_networks(target, n_units, signs):
    """Networks are built of every set with every output; the families that `identify_circuit` gives
    them, with the sets that are of each, are the ones counted. AND by two gates has outputs that
    read one of them alone.
    """
    function = BooleanFunction.of(target, None)
    found = gate_sets(function, n_units, progress=False)
    sets_of_family = defaultdict(set)
    for columns, model in networks(function, n_units, signs=signs):
        family = identify_circuit(model, with_evidence=False).family
        sets_of_family[family].add(frozenset(columns))
    n_signs = 1 if signs else 2**n_units
    expected = {family: len(sets) * n_signs for family, sets in sets_of_family.items()}
    assert expected
    assert found.families == expected
    assert found.n_families == len(expected)


def test_xor_by_hand():
    """Four choices of signs for {OR, AND}, four for {x0>x1, x1>x0}; and with a direct connection one
    gate that is 1, or 0, on exactly one row.
    """
    found = gate_sets("XOR", 2)
    assert found.families == {"OR & ~AND": 4, "x0>x1 | x1>x0": 4}
    assert found.head()["n_sets"] == 8
    assert found.frame()["share"].tolist() == [0.5, 0.5]
    assert str(found) == (
        "8 sets of 2 threshold units compute XOR, by family: OR & ~AND (4); x0>x1 | x1>x0 (4)"
    )
    past_them = gate_sets("XOR", 1, direct=True)
    assert past_them.families == {"x1>x0": 4, "OR": 2, "AND": 2}
    assert str(gate_sets("XOR", 1)) == "no set of 1 threshold unit computes XOR"


def test_families_of_a_larger_function_are_told_apart_by_their_texts():
    """As many texts as families, over every order of three inputs, and sets add up by orbits."""
    found = gate_sets("x0 ^ x1 ^ x2", 3)
    assert len(found.families) == found.n_families
    # each set of three gates lies in an orbit of at most 3! under the orders of the inputs
    assert all(count % 8 == 0 and count // 8 <= 6 for count in found.families.values())
    assert sum(found.families.values()) >= found.n_sets


@pytest.mark.parametrize(
    ("target", "n_units", "is_possible"),
    [
        (FULL_ADDER, 1, False),
        (FULL_ADDER, 2, False),
        (FULL_ADDER, 3, True),
        ("x0 ^ x1, x0 & x1", 1, False),
        ("x0 ^ x1, x0 & x1", 2, True),
        (PARITY_OF_FOUR, 3, False),
        (PARITY_OF_FOUR, 4, True),
    ],
)
def test_the_first_set_computes_the_function_and_none_is_a_proof(target, n_units, is_possible):
    """What z3 says of the adders and of parity; what is found runs as a network on every row."""
    found = a_gate_set(target, n_units, progress=False)
    function = BooleanFunction.of(target, None)
    assert found.n_sets == comb(len(gates_by_weights(function.n_inputs)), n_units)
    assert (found.gates is not None) == is_possible
    if found.gates is not None:
        assert len({gate.bits for gate in found.gates}) == n_units
        model = from_gates(found.gates, function, act_fn="heaviside", n_inputs=function.n_inputs)
        decided = (model(model.rows()) > 0).int().tolist()
        assert tuple(map(tuple, decided)) == tuple(zip(*function.tables, strict=True))


def test_parity_of_four_has_the_sets_found_without_its_symmetries():
    """12,404 sets of four gates: a search without symmetries found as many in three minutes."""
    assert gate_sets(PARITY_OF_FOUR, 4).n_sets == 16 * 12_404


def classes(n_inputs: int) -> Iterator[tuple[BooleanFunction, int]]:
    """One function of each class under orders of inputs and complements, and how many are in it."""
    rows = np.array(truth_rows(n_inputs))
    powers = 2 ** np.arange(2**n_inputs)
    place = 2 ** np.arange(n_inputs)[::-1]
    changes = product(permutations(range(n_inputs)), rows)
    moves = np.array([(rows[:, order] ^ turned) @ place for order, turned in changes])
    seen = set()
    for packed in range(2**2**n_inputs):
        if packed not in seen:
            table = packed // powers % 2
            images = {*(table[moves] @ powers).tolist(), *((1 - table)[moves] @ powers).tolist()}
            seen |= images
            yield BooleanFunction(n_inputs, table.tolist()), len(images)


@pytest.mark.parametrize(
    ("n_inputs", "by_width"),
    [(2, {1: 14, 2: 2}), (3, {1: 104, 2: 150, 3: 2}), (4, {1: 1882, 2: 39732, 3: 23920, 4: 2})],
)
def test_functions_by_the_fewest_gates(n_inputs, by_width):
    """All functions, one of each class; the published counts. Constants are threshold functions."""
    counts = defaultdict(int)
    for function, size in classes(n_inputs):
        width = 1
        while a_gate_set(function, width, progress=False).gates is None:
            width += 1
        counts[width] += size
    assert dict(counts) == by_width


def test_an_order_of_inputs_changes_no_count():
    """Relabelled inputs and a complement give as many sets and families as before."""
    rng = np.random.default_rng(23)
    table = rng.integers(0, 2, 8)
    cube = table.reshape(2, 2, 2)
    before = gate_sets(BooleanFunction(3, table.tolist()), 2)
    for order in permutations(range(3)):
        moved = BooleanFunction(3, (1 - cube.transpose(order)).reshape(-1).tolist())
        after = gate_sets(moved, 2)
        assert (after.n_sets, after.n_families) == (before.n_sets, before.n_families)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x0 ^ x1 ^ x2 ^ x3 ^ x4", 2), "at most 4"),
        (("XOR", 0), "n_units"),
        (("XOR", 5), "n_units"),
        (("XOR", True), "n_units"),
        (("XORR", 2), "did you mean 'XOR'"),
    ],
)
def test_what_cannot_be_looked_through_is_refused(arguments, said):
    """Too many inputs, no width, no function."""
    with pytest.raises(XorMiError, match=said):
        gate_sets(*arguments)
    with pytest.raises(XorMiError, match=said):
        a_gate_set(*arguments)


def test_too_many_sets_are_refused(monkeypatch):
    """The limits are those of a million; here they are small."""
    monkeypatch.setattr(_gate_sets, "MOST_SETS", 1)
    with pytest.raises(XorMiError, match="more than 1 sets of 2 gates compute XOR; ask for fewer"):
        gate_sets("XOR", 2)
    monkeypatch.setattr(_gate_sets, "MOST_DECIDED", 3)
    with pytest.raises(XorMiError, match="4 sets of 1 gate would have to be decided"):
        gate_sets("XOR", 1, direct=True)
    assert a_gate_set("XOR", 2).gates is not None
    monkeypatch.undo()
    monkeypatch.setattr(_families, "MOST_READINGS", 1)
    with pytest.raises(XorMiError, match="choices of outputs"):
        gate_sets("XOR", 2)


@pytest.mark.parametrize("n_inputs", range(1, 5))
def test_threshold_tables_are_those_that_weights_reach(n_inputs):
    """All weights from -3 to 3 in every order and sign, packed by hand."""
    by_hand = [
        sum(bit << row for row, bit in enumerate(table))
        for table in thresholds_by_weights(n_inputs)
    ]
    assert threshold_tables(n_inputs).tolist() == sorted(by_hand)


def test_threshold_functions_are_counted_as_published():
    """OEIS A000609; six inputs are refused."""
    counts = [count_threshold_functions(n_inputs) for n_inputs in range(6)]
    assert counts == [2, 4, 14, 104, 1882, 94572]
    with pytest.raises(XorMiError, match="n_inputs"):
        threshold_tables(6)
