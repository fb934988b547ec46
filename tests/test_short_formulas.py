"""Formulas of truth tables: they say what the table says, and up to five inputs no two-level
formula has fewer literals than there can be.
"""

import random
from itertools import product

import pytest
from oracles.two_level import fewest_literals

from xor_mi.truth import BooleanFunction
from xor_mi.truth._two_level import shortest_sum

F7 = (
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
)
"""Of five inputs; a product of sums of 16 literals is known."""


def fewest(table):
    """The fewest literals of a sum of products or a product of sums."""
    n_inputs = len(table).bit_length() - 1
    rows = [frozenset(row for row, b in enumerate(table) if b == bit) for bit in (0, 1)]
    return min(fewest_literals(n_inputs, one) for one in rows)


def sampled_tables():
    """All functions of three inputs, and some of four."""
    yield from product((0, 1), repeat=8)
    rng = random.Random(0)
    for _ in range(60):
        yield tuple(rng.choices((0, 1), weights=(2, 1), k=16))


def test_no_two_level_formula_has_fewer_literals():
    """The text has at most the literals that going through all sets of rows finds; a sum modulo
    two may have fewer still.
    """
    for table in sampled_tables():
        formula = BooleanFunction(len(table).bit_length() - 1, (table,)).formula
        literals = formula.count("x")
        if "^" not in formula and formula not in ("TRUE", "FALSE"):
            assert literals == fewest(table), formula
        else:
            assert literals <= fewest(table), formula


def test_a_table_of_five_inputs_that_was_written_too_long():
    """Sixteen literals are enough, and no more are written."""
    function = BooleanFunction(5, (F7,))
    assert function.formula.count("x") <= 16
    assert BooleanFunction.from_formula(function.formula, 5).tables == (F7,)


@pytest.mark.parametrize("n_inputs", [4, 5, 6, 7, 8])
def test_formulas_say_what_the_table_says(n_inputs):
    """Read back, a formula has the table that it was written for, however many inputs."""
    rng = random.Random(n_inputs)
    for share in (0.1, 0.5, 0.9):
        table = tuple(int(rng.random() < share) for _ in range(2**n_inputs))
        formula = BooleanFunction(n_inputs, (table,)).formula
        assert BooleanFunction.from_formula(formula, n_inputs).bits == table


def test_rows_that_never_occur_may_be_anything():
    """With rows left out, the formula agrees on all others, and is never longer."""
    rng = random.Random(1)
    for _ in range(40):
        table = tuple(rng.choices((0, 1), k=16))
        never = frozenset(rng.sample(range(16), 5))
        function = BooleanFunction(4, (table,))
        short = function.formula_over([f"x{i}" for i in range(4)], never=never)
        read = BooleanFunction.from_formula(short, 4).bits
        assert all(read[row] == table[row] for row in range(16) if row not in never)
        assert short.count("x") <= function.formula.count("x")


def test_products_of_six_and_seven_inputs_are_prime_and_needed():
    """Beyond five inputs a formula is short, not shortest: of its products none holds on a row that
    is not wanted, none would do so with a literal less, and none can be left out.
    """
    rng = random.Random(1)
    for n_inputs in (6, 7, 7):
        all_rows = list(product((0, 1), repeat=n_inputs))
        wanted = {number for number in range(len(all_rows)) if rng.random() < 0.6}

        def held(literals, all_rows=all_rows):
            return {
                number
                for number, row in enumerate(all_rows)
                if all(row[i] == bit for i, bit in literals)
            }

        products = shortest_sum(n_inputs, sum(1 << row for row in wanted), plain=1)
        assert set().union(*map(held, products)) == wanted
        for one in products:
            assert not any(held(set(one) - {literal}) <= wanted for literal in one)
            assert set().union(*(held(other) for other in products if other != one)) != wanted
