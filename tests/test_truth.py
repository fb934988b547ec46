"""Boolean functions: rows, bits, names, formulas."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xor_mi.errors import XorMiError
from xor_mi.model import ACTIVATIONS
from xor_mi.truth import (
    GATES,
    MONOTONE_ACTIVATIONS,
    BooleanFunction,
    Tree,
    algebraic_normal_form,
    as_row,
    complement_name,
    formula_trees,
    gate_name,
    name_of_bits,
    packed_input,
    row_name,
    row_number,
    row_numbers,
    threshold_functions,
    truth_rows,
)

PYTHON_GATES = {
    "FALSE": lambda a, b: 0,
    "AND": lambda a, b: a and b,
    "x0>x1": lambda a, b: a > b,
    "x0": lambda a, b: a,
    "x1>x0": lambda a, b: b > a,
    "x1": lambda a, b: b,
    "XOR": lambda a, b: a != b,
    "OR": lambda a, b: a or b,
    "NOR": lambda a, b: not (a or b),
    "XNOR": lambda a, b: a == b,
    "~x1": lambda a, b: not b,
    "x0>=x1": lambda a, b: a >= b,
    "~x0": lambda a, b: not a,
    "x1>=x0": lambda a, b: b >= a,
    "NAND": lambda a, b: not (a and b),
    "TRUE": lambda a, b: 1,
}


def test_rows_are_lexicographic_with_the_first_input_most_significant():
    """Row i spells i in binary."""
    for n in (1, 2, 3, 4):
        assert [row_name(row) for row in truth_rows(n)] == [f"{i:0{n}b}" for i in range(2**n)]


def test_the_sixteen_gates_are_all_functions_of_two_bits_and_mean_what_python_means():
    """One name for each of the 2^4 tables; each table agrees with the operator its name says."""
    assert sorted(GATES.values()) == sorted(product((0, 1), repeat=4))
    for name, function in PYTHON_GATES.items():
        assert BooleanFunction.named(name).bits == tuple(
            int(function(a, b)) for a, b in truth_rows(2)
        )
        assert name_of_bits(GATES[name]) == name


@pytest.mark.parametrize(
    ("alias", "gate"),
    [("implies", "x1>=x0"), ("NIMP", "x0>x1"), ("x>y", "x0>x1"), ("x > y", "x0>x1"), ("b>a", "x1>x0"), ("x<y", "x1>x0"), ("x>=y", "x0>=x1"),
     ("iff", "XNOR"), ("xor", "XOR"), ("not x0", "~x0"), ("A", "x0"), ("!=", None), ("x0 -> x1", "x1>=x0")],
)  # fmt: skip
def test_usual_aliases_are_accepted(alias, gate):
    """A gate is found under its usual other names, whatever the case and spaces."""
    if gate is None:
        with pytest.raises(XorMiError, match="no gate"):
            gate_name(alias)
    else:
        assert gate_name(alias) == gate


def test_complement_is_an_involution_that_flips_every_bit():
    """complement(complement(g)) = g, and no gate is its own complement."""
    for gate, bits in GATES.items():
        other = complement_name(gate)
        assert GATES[other] == tuple(1 - bit for bit in bits)
        assert complement_name(other) == gate


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
def test_every_formula_reads_back_as_its_function(n_inputs):
    """table -> formula -> table is the identity on all functions of up to three inputs."""
    for table in product((0, 1), repeat=2**n_inputs):
        function = BooleanFunction(n_inputs, (table,))
        assert BooleanFunction.from_formula(function.formula, n_inputs=n_inputs) == function, (
            function.formula
        )


def test_xor_is_printed_as_xor():
    """Parity is a XOR of inputs, not a sum of products, at any width; XNOR is its complement."""
    assert BooleanFunction.named("XOR").formula == "x0 ^ x1"
    assert BooleanFunction.named("XNOR").formula == "~(x0 ^ x1)"
    assert BooleanFunction.named("XOR", 4).formula == "x0 ^ x1 ^ x2 ^ x3"
    assert BooleanFunction.named("AND", 3).formula == "x0 & x1 & x2"


def test_families_keep_their_name_at_any_width():
    """AND, OR, XOR and their complements are named for three inputs too."""
    for name in ("AND", "OR", "XOR", "NAND", "NOR", "XNOR", "TRUE", "FALSE"):
        assert BooleanFunction.named(name, 3).name == name
    assert BooleanFunction.named("XOR", 3).bits == tuple(sum(row) % 2 for row in truth_rows(3))
    with pytest.raises(XorMiError, match="gate of two inputs, not 3"):
        BooleanFunction.named("IMPLIES", 3)


@pytest.mark.parametrize(
    ("formula", "name"),
    [("x0 and not x1", "x0>x1"), ("NOT (x0 and x1)", "NAND"), ("x0>x1 | x1>x0", "XOR"), ("AND(OR(x0,x1),NAND(x0,x1))", "XOR"),
     ("x0 OR AND(x0,x1)", "x0"), ("not x0 or x1", "x1>=x0"), ("a ⊕ b", "XOR"), ("x0 == x1", "XNOR"), ("x0 != x1", "XOR"), ("x && !y", "x0>x1"),
     ("x0 <= x1", "x1>=x0"), ("x0 < x1 & 1", "x1>x0"), ("implies(x0, x1)", "x1>=x0"), ("XOR(x0, x1, 0)", "XOR")],
)  # fmt: skip
def test_formulas_are_read_with_the_usual_precedence(formula, name):
    """Words, signs, comparisons and gate calls; ~ and comparisons bind tightest, then & ^ |."""
    assert BooleanFunction.from_formula(formula, n_inputs=2).name == name


def test_several_outputs():
    """A function may have several outputs; each is a function of its own."""
    half_adder = BooleanFunction.from_formula("x0 & x1, x0 ^ x1")
    assert half_adder == BooleanFunction.from_callable(lambda a, b: (a & b, a ^ b))
    assert [output.name for output in half_adder.outputs] == ["AND", "XOR"]
    assert half_adder.name == "AND, XOR"
    assert half_adder(1, 1) == (1, 0)
    with pytest.raises(XorMiError, match="2 outputs"):
        _ = half_adder.bits


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(0, 1), min_size=2**n, max_size=2**n))
    )
)
@settings(deadline=None, max_examples=60)
def test_a_function_returns_its_table(case):
    """Calling the function on each row gives its bits, in order."""
    n_inputs, bits = case
    function = BooleanFunction(n_inputs, bits)
    assert tuple(function(*row) for row in function.rows()) == function.bits == tuple(bits)


@pytest.mark.parametrize(
    "row",
    [
        "01",
        [0, 1],
        (False, True),
        [0.0, 1.0],
        torch.tensor([0, 1]),
        np.array([0, 1]),
        torch.tensor([0.0, 1.0]),
    ],
)
def test_rows_are_accepted_in_every_usual_form(row):
    """Strings, lists, bools, floats that are bits, tensors and arrays all name the same row."""
    assert as_row(row, 2) == (0, 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [([0, 2], "2 in .* is not a bit"), ([0, 0.5], "0.5 .* not a bit"), ([0, float("nan")], "not a bit"), ("0a", r"'0a' is not bits; write '00' or \[0, 0\]"), ("0 0", "'0 0' is not bits"), ("[0,0]", r"'\[0,0\]' is not bits"), ("011", "3 bits"),
     ("2", "^'2' is not a bit; only 0 and 1 are"), ("012", "'2' in '012' is not a bit"), ([1], "1 bit; this network has 2 inputs"), (7, "not an input row"), (None, "not an input row"), ([0, [1]], "not a bit"), ([0, None], "not a bit")],
)  # fmt: skip
@pytest.mark.unchecked
def test_what_is_not_a_row_of_bits_is_refused(row, message):
    """Wrong values and wrong widths are named."""
    with pytest.raises(XorMiError, match=message):
        as_row(row, 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BooleanFunction.named("XORR"), "no gate 'XORR'.*did you mean 'XOR'"),
        (lambda: BooleanFunction.of("bananas"), "no gate 'bananas'"),
        (
            lambda: BooleanFunction.of("majority", 3),
            r"no gate 'majority'.*; or write a formula, such as 'x0 & x1 \| x0 & x2 \| x1 & x2'$",
        ),
        (lambda: BooleanFunction.of(7), "7 is not a target"),
        (
            lambda: BooleanFunction.of(BooleanFunction.named("XOR", 3), 2),
            "3 inputs; the network has 2",
        ),
        (lambda: BooleanFunction(2, (0, 1, 1)), "4 bits per output"),
        (lambda: BooleanFunction(2, (0, 1, 1, 2)), "2 in .* not a bit"),
        (lambda: BooleanFunction(0, ()), "1 to 12 inputs"),
        (lambda: BooleanFunction(99, ()), "1 to 12 inputs"),
        (lambda: BooleanFunction(2, None), "not a truth table"),
        (lambda: BooleanFunction.from_formula("x0 & x5", n_inputs=2), "uses x5"),
        (lambda: BooleanFunction.from_formula("x0 & q"), "no input 'q'"),
        (lambda: BooleanFunction.from_formula("x0 &"), "cannot be read"),
        (lambda: BooleanFunction.from_formula("x0 + x1"), "not a Boolean operator"),
        (
            lambda: BooleanFunction.from_formula("__import__('os').getcwd()"),
            "not a Boolean operator",
        ),
        (lambda: BooleanFunction.from_formula("x0 if x1 else x0"), "not a Boolean operator"),
        (
            lambda: BooleanFunction.from_formula("~" * 3000 + "x0"),
            "nested too deeply|cannot be read",
        ),
        (lambda: BooleanFunction.from_formula(""), "cannot be read"),
        (lambda: BooleanFunction.of("0110", None), r"give BooleanFunction\(2, '0110'\)"),
        (lambda: BooleanFunction(2, "011"), "4 bits per output"),
        (lambda: BooleanFunction.from_callable(lambda *bits: 0), "give n_inputs"),
        (lambda: BooleanFunction.from_callable(max), "give n_inputs"),
        (lambda: BooleanFunction.from_callable(lambda a, b: a, 3), r"with 3 bits: \(a, b\)"),
        (lambda: BooleanFunction.named("OR").formula_over(b"ab"), "give one name per input"),
        (lambda: Tree.input(2).bits(2), "x2 is not one of 2 inputs"),
        (
            lambda: BooleanFunction.from_callable(lambda a, b: (a,) * (1 + b)),
            "different number of outputs",
        ),
        (lambda: BooleanFunction.from_callable(lambda a, b: a + b), "not a bit"),
    ],
)
@pytest.mark.unchecked
def test_what_is_no_function_is_refused_with_the_next_step(build, message):
    """Every mistake is an XorMiError that says what was wrong."""
    with pytest.raises(XorMiError, match=message):
        build()


def test_formula_over_unit_names():
    """A local gate is written over the units that feed it, also past x9."""
    assert BooleanFunction.named("x0>x1").formula_over(["h0.0", "h0.1"]) == "h0.0 & ~h0.1"
    wide = BooleanFunction.from_formula("x1 & x10", n_inputs=11)
    assert wide.formula_over([f"h0.{i}" for i in range(11)]) == "h0.1 & h0.10"
    with pytest.raises(XorMiError, match="1 name for 2 inputs; give one name per input"):
        BooleanFunction.named("OR").formula_over(["h0.0"])


def test_names_of_inputs_are_formulas_at_other_widths():
    """x0, ~x0 and x0>x1 are gates of two inputs, and formulas of any number."""
    for text in ("x0", "~x0", "x0>x1", "x2"):
        assert BooleanFunction.of(text, 3) == BooleanFunction.from_formula(text, n_inputs=3)
    assert BooleanFunction.of("x0", 1).bits == (0, 1)
    assert BooleanFunction.of("X0 ^ X1").name == BooleanFunction.of("A ^ B").name == "XOR"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a ^ b ^ c", lambda a, b, c: a ^ b ^ c), ("x0 ^ x1 ^ x2", lambda a, b, c: a ^ b ^ c),
        ("x | Z", lambda a, _, c: a | c), ("d", lambda a, b, c, d: d),
        ("x0", lambda a, b: a), ("1 ^ b", lambda a, b: 1 - b), ("OR", lambda a, b: a | b),
        ("AND(a, x3)", lambda a, b, c, d: a & d),
    ],
)  # fmt: skip
def test_a_formula_says_how_many_inputs_it_has(text, is_one):
    """Without a number of inputs they are as many as the formula names, and never below two."""
    assert BooleanFunction.of(text, None) == BooleanFunction.from_callable(is_one)
    assert BooleanFunction.of(BooleanFunction.named("XOR", 4), None).n_inputs == 4


@pytest.mark.unchecked
def test_numpy_bits_are_bits():
    """Arrays, numpy scalars and numpy booleans are read like Python's own."""
    assert BooleanFunction(2, np.array([0, 1, 1, 0])).name == "XOR"
    assert as_row([np.int64(0), np.bool_(True)], 2) == (0, 1)
    assert BooleanFunction(2, [False, np.True_, 1, np.int64(0)]).name == "XOR"
    assert BooleanFunction(2, ["0", "1", "1", "0"]).name == "XOR"
    by_numpy = BooleanFunction.of("AND", np.int64(3))
    assert by_numpy == BooleanFunction.of("AND", 3)
    assert type(by_numpy.n_inputs) is int
    assert BooleanFunction.from_callable(lambda a, b: np.logical_xor(a, b)).name == "XOR"
    assert BooleanFunction.from_callable(np.logical_xor, n_inputs=2).name == "XOR"
    with pytest.raises(XorMiError, match="not a Boolean operator"):
        BooleanFunction.from_formula("x0 & 0x1")


def test_row_numbers_are_positions_in_the_list_of_rows():
    """For bits, arrays and tensors of any kind of number, also where a byte would overflow."""
    for n in (1, 2, 3, 10):
        rows = truth_rows(n)
        assert [row_number(row) for row in rows] == list(range(2**n))
        for dtype in (np.int8, bool, float):
            assert row_numbers(np.array(rows, dtype=dtype)).tolist() == list(range(2**n))
        for dtype in (torch.int8, torch.bool, torch.float32):
            assert row_numbers(torch.tensor(rows, dtype=dtype)).tolist() == list(range(2**n))
    assert row_numbers(torch.ones(5, 3, 2)).shape == (5, 3)
    assert row_numbers(np.ones((4, 0))).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
def test_essential_inputs_are_those_that_a_formula_must_name(n_inputs):
    """An input is essential where holding it at 0 and at 1 gives different functions; the shortest
    formula names these and no others.
    """
    rows = truth_rows(n_inputs)
    for table in product((0, 1), repeat=2**n_inputs):
        function = BooleanFunction(n_inputs, table)
        essential = []
        for i in range(n_inputs):
            low, high = (
                [bit for row, bit in zip(rows, table, strict=True) if row[i] == held]
                for held in (0, 1)
            )
            essential += [i] if low != high else []
        assert function.essential_inputs == tuple(essential)
        assert all((f"x{i}" in function.formula) == (i in essential) for i in range(n_inputs))
    half_adder = BooleanFunction.from_formula("x0 & x1, x2", n_inputs=4)
    assert half_adder.essential_inputs == (0, 1, 2)


def test_the_algebraic_normal_form_reads_back_and_is_made_of_xor_and_and():
    """It is the same function, and has one way of being written."""
    for table in product((0, 1), repeat=8):
        text = algebraic_normal_form(3, table)
        assert "|" not in text
        assert BooleanFunction.from_formula(text, n_inputs=3).bits == table
    assert algebraic_normal_form(2, (1, 0, 0, 1)) == "~(x0 ^ x1)"
    assert (algebraic_normal_form(1, (0, 0)), algebraic_normal_form(1, (1, 1))) == ("FALSE", "TRUE")


@pytest.mark.parametrize(
    ("formula", "written"),
    [("x0 & (x1 & x2)", "x0 & x1 & x2"), ("x0 > x1", "x0 & ~x1"), ("x0 <= x1", "~x0 | x1"), ("x0 == x1", "~(x0 ^ x1)"), ("x0 != x1", "x0 ^ x1"),
     ("NAND(x0, x1, x2)", "~(x0 & x1 & x2)"), ("IMPLIES(x0, x1)", "~x0 | x1"), ("NIMP(x0, x1)", "x0 & ~x1"), ("1 ^ x0", "1 ^ x0")],
)  # fmt: skip
def test_a_tree_is_written_as_a_formula_that_reads_back_as_the_same_tree(formula, written):
    """Chains are one node, comparisons and calls are spelled with ~ & | ^."""
    (tree,) = formula_trees(formula)
    assert str(tree) == repr(tree) == written
    assert formula_trees(written) == (tree,)
    assert tree.bits(3) == BooleanFunction.from_formula(formula, n_inputs=3).bits


def test_trees_are_values():
    """Equal where they are written alike, and hashable; a packed table has row r in bit r."""
    tree = Tree("and", (Tree.input(0), Tree("not", (Tree.input(1),))))
    assert {tree, formula_trees("x0 & ~x1")[0]} == {tree}
    assert tree.packed_table(2) == 1 << row_number((1, 0))
    assert packed_input(1, 2) == 0b1010
    assert Tree.constant(1).bits(1) == (1, 1)


def test_a_tree_may_be_deeper_than_python_s_calls():
    """5,001 NOTs in each other are still evaluated."""
    tree = Tree.input(0)
    for _ in range(5001):
        tree = Tree("not", (tree,))
    assert tree.bits(1) == (1, 0)


@pytest.mark.parametrize(
    ("formula", "message"),
    [("IMPLIES(x0)", "IMPLIES in 'IMPLIES.x0.' has 1 argument; it takes 2"), ("NIMP(x0, x1, x2)", "has 3 arguments; it takes 2"),
     ("x0 & x5", "uses x5, but the function has 2 inputs"), ("x0 " * 60_000, "at most 150,000 characters")],
)  # fmt: skip
def test_a_formula_that_does_not_fit_says_what_would(formula, message):
    """Wrong numbers of arguments and of inputs, and a text that is too long."""
    with pytest.raises(XorMiError, match=message):
        BooleanFunction.from_formula(formula, n_inputs=2 if "x5" in formula else None)


def test_the_monotone_activations_are_all_that_never_fall():
    """The proof about one unit covers every activation that a network can have, except those that
    fall: three dip below zero, and PyTorch's softplus steps down by 2e-9 at 20.
    """
    falling = {"gelu", "gelu_tanh", "silu", "softplus"}
    assert set(MONOTONE_ACTIVATIONS) == set(ACTIVATIONS) - falling
    near_20 = 20 + torch.linspace(-1e-10, 1e-10, 21, dtype=torch.float64)
    grid = torch.cat([torch.linspace(-5, 5, 201, dtype=torch.float64), near_20])
    for name, function in ACTIVATIONS.items():
        never_falls = bool((function(grid).diff() >= 0).all())
        assert never_falls == (name in MONOTONE_ACTIVATIONS)


@pytest.mark.unchecked
@pytest.mark.parametrize("n_inputs", [0, 4, True, "2"])
def test_threshold_functions_of_another_width_are_refused(n_inputs):
    """They are listed for one to three inputs."""
    with pytest.raises(
        XorMiError, match="the functions of 1 to 3 inputs are listed: ask threshold_proof"
    ):
        threshold_functions(n_inputs)
