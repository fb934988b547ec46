"""Formulas without terms that can never be true: where the inputs of a gate hang on one another, so
that some combinations of them never occur.

The oracle reads formulas with Python's own parser into a small tree of its own, and tries rows.
"""

import ast
from itertools import product

import numpy as np
import pytest

from xor_mi import identify_circuit, train_population
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

SIGNS = {ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^"}
JOIN = {"&": all, "|": any, "^": lambda bits: sum(bits) % 2 == 1}


def tree(formula):
    """Text -> ("x", name), ("~", part) or (sign, part, part, ...), chains of one sign flat."""

    def of(node):
        if isinstance(node, ast.UnaryOp):
            return ("~", of(node.operand))
        if isinstance(node, ast.BinOp):
            sign, parts = SIGNS[type(node.op)], [of(node.left), of(node.right)]
            if isinstance(node.left, ast.BinOp) and type(node.left.op) is type(node.op):
                parts[:1] = parts[0][1:]
            return (sign, *parts)
        return ("x", ast.unparse(node))

    return of(ast.parse(formula, mode="eval").body)


def value(node, bits):
    """The formula's value where each name has its bit."""
    sign, *parts = node
    if sign == "x":
        return bits[parts[0]]
    if sign == "~":
        return not value(parts[0], bits)
    return JOIN[sign](value(part, bits) for part in parts)


def idle_parts(node, rows):
    """Parts of sums that are true on no row, and parts of products that are false on none."""
    sign, *parts = node
    if sign == "x":
        return []
    found = [one for part in parts for one in idle_parts(part, rows)]
    if sign in "|^":
        found += [part for part in parts if not any(value(part, bits) for bits in rows)]
    if sign == "&":
        found += [part for part in parts if all(value(part, bits) for bits in rows)]
    return found


def named(rows):
    """Rows of bits -> name -> bit."""
    return [{f"x{i}": bool(bit) for i, bit in enumerate(row)} for row in rows]


def checked(n_inputs, table, occurring):
    """One function held to the rows that occur: right on all of them, no part that never matters,
    no longer than the formula for all rows. Returns whether it is shorter.
    """
    function = BooleanFunction(n_inputs, table)
    never = [row for row in range(2**n_inputs) if row not in occurring]
    names = [f"x{i}" for i in range(n_inputs)]
    formula, whole = function.formula_over(names, never=never), function.formula
    if formula in ("TRUE", "FALSE"):
        assert {table[row] for row in occurring} <= {int(formula == "TRUE")}
        return formula != whole
    parsed, rows = tree(formula), list(product((0, 1), repeat=n_inputs))
    got = [value(parsed, bits) for bits in named(rows[row] for row in occurring)]
    assert got == [bool(table[row]) for row in occurring], formula
    assert idle_parts(parsed, named(rows[row] for row in occurring)) == [], formula
    assert formula.count("x") <= whole.count("x")
    return formula.count("x") < whole.count("x")


def test_all_tables_of_two_inputs_on_all_sets_of_rows():
    """A formula is right on the rows that occur, and nothing in it is without effect there."""
    shorter = []
    for table in product((0, 1), repeat=4):
        for bits in product((0, 1), repeat=4):
            shorter.append(checked(2, table, [row for row in range(4) if bits[row]]))
    assert 20 < sum(shorter) < len(shorter)  # something changed, and something stayed


def test_tables_of_three_inputs_on_sets_of_rows():
    """The same for functions of three inputs."""
    rng = np.random.default_rng(0)
    shorter = []
    for _ in range(600):
        table, bits = rng.integers(0, 2, size=(2, 8)).tolist()
        shorter.append(checked(3, tuple(table), [row for row in range(8) if bits[row]]))
    assert 20 < sum(shorter) < len(shorter)


def test_without_rows_that_never_occur_nothing_changes():
    """No such row named, or only rows of inputs that do not matter: the formula stays."""
    majority = BooleanFunction.from_callable(lambda a, b, c: int(a + b + c > 1))
    assert majority.formula_over(["x0", "x1", "x2"], never=[]) == majority.formula
    wide = BooleanFunction.from_callable(lambda a, b, c: int(a != b))
    # rows 110 and 111 are one row of the two inputs that matter
    assert wide.formula_over(["a", "b", "c"], never=[6]) == "a ^ b"
    assert wide.formula_over(["a", "b", "c"], never=[2, 3, 6, 7]) == "a"


def test_of_more_than_eight_inputs_products_of_the_xor_form_go():
    """The one form that is tried there loses its products too."""
    function = BooleanFunction.from_callable(
        lambda *b: b[0] ^ (b[1] & b[2]) ^ b[3 + sum(b[3:]) % 6], 9
    )
    rows = list(product((0, 1), repeat=9))
    never = [number for number, row in enumerate(rows) if sum(row) > 2]
    formula = function.formula_over([f"x{i}" for i in range(9)], never=never)
    few = [row for row in rows if sum(row) <= 2]
    assert len(formula) < len(function.formula)
    assert [value(tree(formula), bits) for bits in named(few)] == [function(row) for row in few]
    assert idle_parts(tree(formula), named(few)) == []


@pytest.mark.parametrize("never", [[4], [-1], ["01"], [True], [0.5]])
@pytest.mark.unchecked
def test_a_row_that_a_function_does_not_have_is_refused(never):
    """Rows go by their numbers."""
    with pytest.raises(XorMiError, match="a row that never occurs must be a whole number"):
        BooleanFunction.named("OR").formula_over(["a", "b"], never=never)


def majority_of_steps():
    """Two of three steps, x0>x1, x1>x0 and OR, of which the first two are never on together."""
    hidden = ([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]], [-0.5, -0.5, -0.5])
    readout = ([[1.0, 1.0, 1.0]], [-1.5])
    return HookedMLP.from_weights([hidden, readout], act_fn="heaviside", target="XOR")


def test_the_gate_stays_as_measured_and_the_nested_formula_loses_the_term():
    """The majority of three keeps all its products over the units; over the inputs the product of
    two units that exclude one another is gone.
    """
    circuit = identify_circuit(majority_of_steps())
    assert circuit.verdict == "identified"
    over_units, nested = circuit.formulas["y0"]["units"], circuit.formulas["y0"]["nested"]
    assert BooleanFunction.of(over_units.replace("h0.", "x"), 3).bits == (0, 0, 0, 1, 0, 1, 1, 1)
    assert "(x0 & ~x1) & (x1 & ~x0)" not in nested
    assert nested.count("(x0 & ~x1)") == nested.count("(x1 & ~x0)") == 1
    assert BooleanFunction.of(nested).name == "XOR"


@pytest.mark.parametrize(("hidden", "act_fn"), [((3,), "tanh"), ((3, 3), "relu")])
def test_nested_formulas_of_trained_networks(hidden, act_fn):
    """They are the target on every row, by two readers, and have no product that is never true."""
    population = train_population("XOR", 16, hidden=hidden, act_fn=act_fn, progress=False)
    rows = named(product((0, 1), repeat=2))
    n_formulas = 0
    for number in range(len(population)):
        circuit = identify_circuit(population[number], with_evidence=False, progress=False)
        for one in circuit.circuits[:4]:
            n_formulas += 1
            assert BooleanFunction.from_formula(one.formula, n_inputs=2).name == "XOR"
            parsed = tree(one.formula)
            assert [value(parsed, bits) for bits in rows] == [False, True, True, False]
            never = [part for part in products_of(parsed) if not any(value(part, b) for b in rows)]
            assert never == [], one.formula
    assert n_formulas > 4


def products_of(node):
    """What is joined by OR or XOR, at every depth."""
    sign, *parts = node
    if sign == "x":
        return []
    inside = [found for part in parts for found in products_of(part)]
    return inside + parts if sign in "|^" else inside
