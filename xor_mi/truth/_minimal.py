"""truth table -> the shortest of a few kinds of formula."""

import re
from collections.abc import Sequence
from functools import lru_cache

from xor_mi.truth._gates import row_number, truth_rows

MAX_TWO_LEVEL_INPUTS = 8
"""Quine-McCluskey is run up to this many inputs; beyond, it takes too long."""


def essential_inputs(table: Sequence[int]) -> tuple[int, ...]:
    """The inputs a truth table depends on: flipping one of them changes the output on some row.

    >>> essential_inputs((0, 0, 1, 1))
    (0,)
    """
    n_inputs = len(table).bit_length() - 1
    essential: list[int] = []
    for i in range(n_inputs):
        # the bit that input i is in the number of a row: the first input is the most significant
        flip = 1 << n_inputs - 1 - i
        if any(table[row] != table[row ^ flip] for row in range(len(table))):
            essential.append(i)
    return tuple(essential)


@lru_cache(maxsize=65536)
def minimal_formula(n_inputs: int, table: tuple[int, ...]) -> str:
    """The shortest of three forms: sum of products, product of sums, algebraic normal form.

    Length is counted in literals, then in characters. Two-level forms are minimal (Quine-McCluskey
    in sympy) up to 8 essential inputs; beyond, only the algebraic normal form is tried, which is
    unique and quick. A shorter formula of three or more levels may exist.
    """
    if len(set(table)) == 1:
        return "TRUE" if table[0] else "FALSE"
    essential = essential_inputs(table)
    if len(essential) < n_inputs:
        # the same function over the essential inputs alone; the others do not matter, so held at 0
        reduced: list[int] = []
        for row in truth_rows(len(essential)):
            bit_of_input = dict(zip(essential, row, strict=True))
            whole_row = [bit_of_input.get(i, 0) for i in range(n_inputs)]
            reduced.append(table[row_number(whole_row)])
        formula = minimal_formula(len(essential), tuple(reduced))
        # its inputs are numbered from 0; each gets its own number back
        return re.sub(r"x(\d+)", lambda match: f"x{essential[int(match[1])]}", formula)
    candidates = [algebraic_normal_form(n_inputs, table)]
    if n_inputs <= MAX_TWO_LEVEL_INPUTS:
        # here, so that importing truth does not import sympy
        from sympy import symbols
        from sympy.logic import POSform, SOPform

        inputs = symbols(f"x0:{n_inputs}")
        minterms = [row for row, bit in enumerate(table) if bit]
        candidates += [str(SOPform(inputs, minterms)), str(POSform(inputs, minterms))]
    # every literal has one x; the text itself settles ties, so that the choice is always the same
    return min(candidates, key=lambda text: (text.count("x"), len(text), text))


def algebraic_normal_form(n_inputs: int, table: Sequence[int]) -> str:
    """The XOR of products of inputs that computes a table (also: Reed-Muller, or Zhegalkin, form).

    It is unique. The coefficient of a product is the XOR of the table over the rows below it, which
    the Moebius transform over GF(2) gives for all products at once. A leading 1 is written as a
    NOT around the whole.

    >>> algebraic_normal_form(2, (0, 1, 1, 1))
    'x0 ^ x1 ^ (x0 & x1)'
    """
    # One pass per input, in place: where the input is on, XOR in the entry where it is off.
    coefficients = list(table)
    for shift in range(n_inputs):
        on = 1 << shift
        for row in range(len(table)):
            if row & on:
                coefficients[row] ^= coefficients[row ^ on]
    rows = truth_rows(n_inputs)
    products: list[list[int]] = []
    for row, coefficient in enumerate(coefficients):
        # row 0 has no input on: its product is the constant 1, written as a NOT below
        if coefficient and row > 0:
            products.append([i for i, bit in enumerate(rows[row]) if bit])
    products.sort(key=lambda inputs: (len(inputs), inputs))
    terms: list[str] = []
    for inputs in products:
        product = " & ".join(f"x{i}" for i in inputs)
        needs_brackets = len(inputs) > 1 and len(products) > 1
        terms.append(f"({product})" if needs_brackets else product)
    if not terms:
        return "TRUE" if coefficients[0] else "FALSE"
    text = " ^ ".join(terms)
    return f"~({text})" if coefficients[0] else text
