"""truth table -> the shortest of a few kinds of formula."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from xor_mi.truth._gates import row_number, truth_rows

if TYPE_CHECKING:
    from sympy import Symbol
    from sympy.core.operations import LatticeOp
    from sympy.logic.boolalg import Boolean

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
def minimal_formula(
    n_inputs: int, table: tuple[int, ...], *, never: frozenset[int] = frozenset()
) -> str:
    """The shortest of three forms: sum of products, product of sums, algebraic normal form.

    Length is counted in literals, then in characters. Two-level forms are minimal (Quine-McCluskey
    in sympy) up to 8 essential inputs; beyond, only the algebraic normal form is tried, which is
    unique and quick. A shorter formula of three or more levels may exist.

    Args:
        never: the numbers of rows that do not occur. Of each form, the products that are true on
            none of the others are left out, and so are the sums of a product of sums that are false
            on none of them. Otherwise it stays the form of the whole table: it is not made shorter
            by giving these rows another bit.
    """
    if len(set(table)) == 1:
        return _constant(table[0])
    essential = essential_inputs(table)
    if len(essential) < n_inputs:
        # the same function over the essential inputs alone; the others do not matter, so held at 0
        reduced: list[int] = []
        for row in truth_rows(len(essential)):
            bit_of_input = dict(zip(essential, row, strict=True))
            whole_row = [bit_of_input.get(i, 0) for i in range(n_inputs)]
            reduced.append(table[row_number(whole_row)])
        formula = minimal_formula(
            len(essential), tuple(reduced), never=_over(essential, n_inputs, never)
        )
        # its inputs are numbered from 0; each gets its own number back
        return re.sub(r"x(\d+)", lambda match: f"x{essential[int(match[1])]}", formula)
    forms = [_normal_form(n_inputs, table, never)]
    if n_inputs <= MAX_TWO_LEVEL_INPUTS:
        forms += _two_level_forms(n_inputs, table, never)
    return min(forms, key=_length).text


class _Form(NamedTuple):
    """One form of a function, and what is left of it on the rows that occur."""

    text: str
    whole: str


def _length(form: _Form) -> tuple[int, int, int, int, str]:
    """By how much is written, every literal having one x; of equally short ones, by the whole form.

    The text itself settles ties, so that the choice is always the same.
    """
    text, whole = form
    return text.count("x"), len(text), whole.count("x"), len(whole), text


def _over(essential: Sequence[int], n_inputs: int, never: frozenset[int]) -> frozenset[int]:
    """The rows of these inputs alone that no row that occurs has."""
    if not never:
        return never
    occurring = {row_number([row[i] for i in essential]) for row in _occurring(n_inputs, never)}
    return frozenset(range(2 ** len(essential))) - occurring


def _occurring(n_inputs: int, never: frozenset[int]) -> list[tuple[int, ...]]:
    """The rows that do occur."""
    return [row for number, row in enumerate(truth_rows(n_inputs)) if number not in never]


def _normal_form(n_inputs: int, table: tuple[int, ...], never: frozenset[int]) -> _Form:
    """The algebraic normal form."""
    return _Form(
        text=algebraic_normal_form(n_inputs, table, never=never),
        whole=algebraic_normal_form(n_inputs, table),
    )


def _two_level_forms(n_inputs: int, table: tuple[int, ...], never: frozenset[int]) -> list[_Form]:
    """Sum of products and product of sums."""
    # here, so that importing truth does not import sympy
    from sympy import And, Or

    products, sums = _minimal_two_level(n_inputs, table)
    whole = str(products), str(sums)
    if never:
        inputs, rows = _symbols(n_inputs), _occurring(n_inputs, never)
        # a product matters where it is true, a sum of a product of sums where it is false
        products = Or(*_that_matter(products, inputs, rows, outer=Or, inner=And, where=1))
        sums = And(*_that_matter(sums, inputs, rows, outer=And, inner=Or, where=0))
    # a sum of nothing is written False
    texts = [str(form).upper() if form in (True, False) else str(form) for form in (products, sums)]
    return list(map(_Form, texts, whole))


# the slow part, and the same whichever rows occur
@lru_cache(maxsize=4096)
def _minimal_two_level(n_inputs: int, table: tuple[int, ...]) -> tuple["Boolean", "Boolean"]:
    """The minimal sum of products and product of sums, over symbols called x0, x1, ..."""
    from sympy.logic import POSform, SOPform

    inputs = _symbols(n_inputs)
    minterms = [row for row, bit in enumerate(table) if bit]
    return SOPform(inputs, minterms), POSform(inputs, minterms)


def _symbols(n_inputs: int) -> tuple["Symbol", ...]:
    """x0, x1, ... as sympy has them."""
    from sympy import symbols

    return symbols(f"x0:{n_inputs}")


def _that_matter(
    form: "Boolean",
    inputs: Sequence["Symbol"],
    rows: Sequence[tuple[int, ...]],
    *,
    outer: type["LatticeOp"],
    inner: type["LatticeOp"],
    where: int,
) -> list["Boolean"]:
    """The parts of a two-level form that, on some row, have the bit that decides the whole.

    Each without the literals that, on every row, leave it to the others.

    Args:
        outer, inner: what joins the parts, and what joins the literals of a part.
        where: the bit that decides: 1 of a product in a sum, 0 of a sum in a product.
    """
    number_of: dict[object, int] = {symbol: number for number, symbol in enumerate(inputs)}
    kept = []
    for part in outer.make_args(form):
        # what every literal must be for the part to decide: an input and its bit
        needed = {}
        for literal in inner.make_args(part):
            (symbol,) = literal.free_symbols
            needed[literal] = number_of[symbol], where if literal == symbol else 1 - where
        if any(all(row[i] == bit for i, bit in needed.values()) for row in rows):
            open_to = [
                literal
                for literal, (i, bit) in needed.items()
                if any(row[i] != bit for row in rows)
            ]
            kept.append(inner(*open_to))
    return kept


def _constant(bit: int) -> str:
    return "TRUE" if bit else "FALSE"


def algebraic_normal_form(
    n_inputs: int, table: Sequence[int], *, never: frozenset[int] = frozenset()
) -> str:
    """The XOR of products of inputs that computes a table (also: Reed-Muller, or Zhegalkin, form).

    It is unique. The coefficient of a product is the XOR of the table over the rows below it, which
    the Moebius transform over GF(2) gives for all products at once. A leading 1 is written as a
    NOT around the whole.

    Args:
        never: the numbers of rows that do not occur; a product that is true on none of the others
            is left out, and so is an input that is on in all of them.

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
    of_rows = zip(rows, coefficients, strict=True)
    factors = [_inputs_on(row) for row, coefficient in of_rows if coefficient]
    if never:
        factors = _on_some_row(factors, _occurring(n_inputs, never))
    # the product of no inputs is the constant 1, written as a NOT below
    products = sorted(filter(None, factors), key=lambda inputs: (len(inputs), inputs))
    is_turned = () in factors
    terms: list[str] = []
    for inputs in products:
        product = " & ".join(f"x{i}" for i in inputs)
        needs_brackets = len(inputs) > 1 and len(products) > 1
        terms.append(f"({product})" if needs_brackets else product)
    if not terms:
        return _constant(is_turned)
    text = " ^ ".join(terms)
    return f"~({text})" if is_turned else text


def _inputs_on(row: Sequence[int]) -> tuple[int, ...]:
    return tuple(i for i, bit in enumerate(row) if bit)


def _on_some_row(
    products: Sequence[tuple[int, ...]], rows: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """The products, each of some inputs, that are true on some row, without inputs always on."""
    always = {i for i in range(len(rows[0])) if all(row[i] for row in rows)} if rows else set()
    kept: set[tuple[int, ...]] = set()
    for inputs in products:
        if any(all(row[i] for i in inputs) for row in rows):
            # two that have become the same take each other away
            kept ^= {tuple(i for i in inputs if i not in always)}
    return list(kept)
