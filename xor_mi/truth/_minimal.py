"""truth table -> the shortest of a few kinds of formula."""

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import NamedTuple

from xor_mi.truth._gates import row_number, truth_rows
from xor_mi.truth._two_level import (
    MAX_TWO_LEVEL_INPUTS,
    Product,
    Rising,
    n_bits_of_rows,
    rows_without,
    shortest_sum,
)

TWO_LEVELS = ((" | ", 1), (" & ", 0))
"""Sum of products, product of sums: the sign between parts, and the bit where a product holds."""

DIGITS = (bytes([ord("1"), ord("0")]) + bytes(254), bytes([ord("0"), ord("1")]) + bytes(254))
"""For each bit: how a table's bits become digits, 1 where the table has that bit."""


def essential_inputs(table: Sequence[int]) -> tuple[int, ...]:
    """The inputs a truth table depends on: flipping one of them changes the output on some row.

    >>> essential_inputs((0, 0, 1, 1))
    (0,)
    """
    n_inputs = len(table).bit_length() - 1
    ones = rows_that_are(table, 1)
    essential: list[int] = []
    for i in range(n_inputs):
        # the bit that input i is in the number of a row: the first input is the most significant
        flip = 1 << n_inputs - 1 - i
        if (ones ^ ones >> flip) & rows_without(n_inputs, flip):
            essential.append(i)
    return tuple(essential)


@lru_cache(maxsize=65536)
def short_formula(
    n_inputs: int, table: tuple[int, ...], *, never: frozenset[int] = frozenset()
) -> str:
    """The shortest of three forms: sum of products, product of sums, algebraic normal form.

    Length is counted in literals, then in characters. Up to 5 essential inputs no shorter formula
    of the three kinds exists. With 6 to 8 the two-level forms are short, not always the shortest;
    with more, only the algebraic normal form is tried, which is unique and quick. A shorter formula
    of three or more levels may exist.

    Args:
        never: the numbers of rows that do not occur. Products that are true on no other row are
            left out, and so are the sums of a product of sums that are false on no other row. Apart
            from that the form is that of the whole table: it is not made shorter by giving these
            rows another bit.
    """
    if len(set(table)) == 1:
        return _constant(table[0])
    essential = essential_inputs(table)
    if len(essential) < n_inputs:
        # the same function over the essential inputs; the others do not matter, and are held at 0
        reduced: list[int] = []
        for row in truth_rows(len(essential)):
            bit_of_input = dict(zip(essential, row, strict=True))
            whole_row = [bit_of_input.get(i, 0) for i in range(n_inputs)]
            reduced.append(table[row_number(whole_row)])
        formula = short_formula(
            len(essential), tuple(reduced), never=_over(essential, n_inputs, never)
        )
        # its inputs are numbered from 0; each gets its own number back
        return re.sub(r"x(\d+)", lambda match: f"x{essential[int(match[1])]}", formula)
    if not never:
        return _shortest(n_inputs, table)
    forms = [_normal_form(n_inputs, table, never)]
    if n_inputs <= MAX_TWO_LEVEL_INPUTS:
        forms += _two_level_forms(n_inputs, table, never)
    return min(forms, key=_length).text


def _shortest(n_inputs: int, table: tuple[int, ...]) -> str:
    """The shortest form if all rows occur: only the forms with the fewest literals are written."""
    n_literals = n_bits_of_rows(n_inputs, _coefficients(n_inputs, table))
    forms: list[tuple[int, Callable[[], str]]] = [
        (n_literals, partial(algebraic_normal_form, n_inputs, table))
    ]
    if n_inputs <= MAX_TWO_LEVEL_INPUTS:
        for outer, bit in TWO_LEVELS:

            def write(outer: str = outer, bit: int = bit) -> str:
                return _written(_two_level(n_inputs, table, bit), outer, bit)

            forms.append((_n_literals(n_inputs, table, bit), write))
    fewest = min(n_literals for n_literals, _ in forms)
    texts = [write() for n_literals, write in forms if n_literals == fewest]
    return min(texts, key=lambda text: (len(text), text))


class _Form(NamedTuple):
    """One form of a function, and the part that is needed on the rows that occur."""

    text: str
    whole: str


def _length(form: _Form) -> tuple[int, int, int, int, str]:
    """The length as written, where every literal has one x; among equals, that of the whole form.

    The text itself breaks ties, so that the choice is always the same.
    """
    text, whole = form
    return text.count("x"), len(text), whole.count("x"), len(whole), text


def _over(essential: Sequence[int], n_inputs: int, never: frozenset[int]) -> frozenset[int]:
    """The rows over only these inputs that are part of no row that occurs."""
    if not never:
        return never
    occurring = {row_number([row[i] for i in essential]) for row in _occurring(n_inputs, never)}
    return frozenset(range(2 ** len(essential))) - occurring


def _occurring(n_inputs: int, never: frozenset[int]) -> list[tuple[int, ...]]:
    """The rows that do occur."""
    return [row for number, row in enumerate(truth_rows(n_inputs)) if number not in never]


def _normal_form(n_inputs: int, table: tuple[int, ...], never: frozenset[int]) -> _Form:
    """The algebraic normal form."""
    whole = algebraic_normal_form(n_inputs, table)
    text = algebraic_normal_form(n_inputs, table, never=never) if never else whole
    return _Form(text, whole)


def _two_level_forms(n_inputs: int, table: tuple[int, ...], never: frozenset[int]) -> list[_Form]:
    """Sum of products and product of sums."""
    rows = _occurring(n_inputs, never)
    forms = []
    for outer, bit in TWO_LEVELS:
        # Where the function is 0, a product of sums is a sum of products of the complements.
        products = _two_level(n_inputs, table, bit)
        whole = _written(products, outer, bit)
        text = _written(_that_occur(products, rows), outer, bit) if never else whole
        forms.append(_Form(text, whole))
    return forms


def _n_literals(n_inputs: int, table: tuple[int, ...], bit: int) -> int:
    """How many literals the products of `_two_level` have in total."""
    rising = Rising.of(n_inputs, rows_that_are(table, bit))
    if rising is not None:
        return rising.n_literals
    return sum(map(len, _two_level(n_inputs, table, bit)))


# the slow part, which does not depend on the rows that occur
@lru_cache(maxsize=4096)
def _two_level(n_inputs: int, table: tuple[int, ...], bit: int) -> tuple[Product, ...]:
    """Products that together are 1 exactly on the rows on which the table has this bit."""
    return shortest_sum(n_inputs, rows_that_are(table, bit), plain=bit)


def _that_occur(products: Sequence[Product], rows: Sequence[tuple[int, ...]]) -> list[Product]:
    """The products that are 1 on some of the rows, without literals that are 1 on all of them.

    If several become equal, one is kept; a product that holds only where another holds is dropped.
    """
    always: set[tuple[int, int]] = set()
    for i, bits in enumerate(zip(*rows, strict=True)):
        if len(set(bits)) == 1:
            always.add((i, bits[0]))
    kept: list[Product] = []
    for product in products:
        if any(_holds(product, row) for row in rows):
            kept.append(tuple(literal for literal in product if literal not in always))
    kept = list(dict.fromkeys(kept))
    return [one for one in kept if not any(set(other) < set(one) for other in kept)]


def _holds(product: Product, row: tuple[int, ...]) -> bool:
    """Whether every literal of a product is true on a row."""
    return all(row[i] == bit for i, bit in product)


def _written(products: Sequence[Product], outer: str, bit: int) -> str:
    """Products as the sum that they are, or by De Morgan as a product of sums.

    Args:
        outer: what stands between the parts, " | " or " & ".
        bit: the function's value where one of the products holds.
    """
    if not products:
        return _constant(1 - bit)
    # an empty product holds everywhere, and so does the sum of x and ~x
    singles = {product[0] for product in products if len(product) == 1}
    if () in products or any((i, 1 - b) in singles for i, b in singles):
        return _constant(bit)
    inner = " & " if outer == " | " else " | "
    parts = [sorted([(wanted != bit, i) for i, wanted in product]) for product in products]
    parts.sort(key=_place)
    texts = []
    for part in parts:
        text = inner.join([f"~x{i}" if is_not else f"x{i}" for is_not, i in part])
        texts.append(f"({text})" if len(part) > 1 and len(parts) > 1 else text)
    return outer.join(texts)


def _place(part: Sequence[tuple[bool, int]]) -> tuple[int, int, tuple[bool, ...], tuple[int, ...]]:
    """The sort key of a part in a sum or product: short parts with few NOTs first."""
    is_not, inputs = zip(*part, strict=True)
    return len(part) + sum(is_not), len(part), is_not, inputs


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
        never: the numbers of rows that do not occur; a product that is true on no other row is left
            out, and so is an input that is on in all other rows.

    >>> algebraic_normal_form(2, (0, 1, 1, 1))
    'x0 ^ x1 ^ (x0 & x1)'
    """
    coefficients = _coefficients(n_inputs, table)
    ordered = _products_in_order(n_inputs)
    factors = [inputs for row, inputs in ordered if coefficients >> row & 1]
    if never:
        factors = sorted(_on_some_row(factors, _occurring(n_inputs, never)), key=_shortest_first)
    # the product of no inputs is the constant 1, written as a NOT below
    products = [inputs for inputs in factors if inputs]
    is_turned = len(products) < len(factors)
    if not products:
        return _constant(is_turned)
    terms = map(_term, products) if len(products) > 1 else [_term(products[0]).strip("()")]
    text = " ^ ".join(terms)
    return f"~({text})" if is_turned else text


# there are 4,096 products of 12 inputs
@lru_cache(maxsize=8192)
def _term(inputs: tuple[int, ...]) -> str:
    """A product as it is written among others."""
    product = " & ".join(f"x{i}" for i in inputs)
    return f"({product})" if len(inputs) > 1 else product


def _shortest_first(inputs: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    return len(inputs), inputs


@cache
def _products_in_order(n_inputs: int) -> list[tuple[int, tuple[int, ...]]]:
    """The number of each row with the inputs that are on in it; rows with fewest such inputs
    first."""
    rows = [(row, _inputs_on(bits)) for row, bits in enumerate(truth_rows(n_inputs))]
    return sorted(rows, key=lambda one: _shortest_first(one[1]))


def rows_that_are(table: Sequence[int], bit: int) -> int:
    """The rows on which a table has this bit, as the bits of a whole number."""
    digits = bytes(reversed(table)).translate(DIGITS[bit])
    return int(digits, 2)


def _coefficients(n_inputs: int, table: Sequence[int]) -> int:
    """The rows whose inputs that are on form a product of the normal form, as the bits of a whole
    number.
    """
    coefficients = rows_that_are(table, 1)
    # One pass per input: where the input is on, XOR in the entry where it is off.
    for shift in range(n_inputs):
        flip = 1 << shift
        coefficients ^= (coefficients & rows_without(n_inputs, flip)) << flip
    return coefficients


def _inputs_on(row: Sequence[int]) -> tuple[int, ...]:
    return tuple(i for i, bit in enumerate(row) if bit)


def _on_some_row(
    products: Sequence[tuple[int, ...]], rows: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """The products of inputs that are true on some row, without inputs that are always on."""
    columns = zip(*rows, strict=True)
    always = {i for i, bits in enumerate(columns) if all(bits)}
    kept: set[tuple[int, ...]] = set()
    for inputs in products:
        if any(_is_true(inputs, row) for row in rows):
            # two products that become equal cancel
            kept ^= {tuple(i for i in inputs if i not in always)}
    return list(kept)


def _is_true(product: tuple[int, ...], row: Sequence[int]) -> bool:
    """Whether all inputs of a product are on."""
    return all(row[i] for i in product)
