"""rows, bits and gate names: the tables that all other modules use."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from numbers import Integral
from typing import Any, Protocol, TypeGuard, TypeVar, runtime_checkable

from xor_mi.errors import XorMiError, shown, unknown


@runtime_checkable
class ArrayLike(Protocol):
    """A tensor or an array: anything that gives its values as a list.

    A protocol, so that truth needs neither torch nor NumPy.
    """

    def tolist(self) -> Any:
        """The values as nested Python lists, or as one number."""
        ...


def is_array(value: object) -> TypeGuard[ArrayLike]:
    """Whether this is an `ArrayLike`: many times faster than Python's look at a protocol.

    >>> is_array([0, 1])
    False
    """
    return hasattr(value, "tolist")


Row = str | Sequence[int | float | ArrayLike] | ArrayLike
"""One input: "01", [0, 1], (False, True), a tensor or an array."""

MAX_INPUTS = 12
"""A truth table is held whole, and analyses try every row: at most 4,096 rows."""

GATES: dict[str, tuple[int, ...]] = {
    "FALSE": (0, 0, 0, 0),
    "AND": (0, 0, 0, 1),
    "x0>x1": (0, 0, 1, 0),
    "x0": (0, 0, 1, 1),
    "x1>x0": (0, 1, 0, 0),
    "x1": (0, 1, 0, 1),
    "XOR": (0, 1, 1, 0),
    "OR": (0, 1, 1, 1),
    "NOR": (1, 0, 0, 0),
    "XNOR": (1, 0, 0, 1),
    "~x1": (1, 0, 1, 0),
    "x0>=x1": (1, 0, 1, 1),
    "~x0": (1, 1, 0, 0),
    "x1>=x0": (1, 1, 0, 1),
    "NAND": (1, 1, 1, 0),
    "TRUE": (1, 1, 1, 1),
}
"""The 16 two-input gates: name -> bits on the rows 00, 01, 10, 11."""

_ALIASES = {
    "x0>x1": "NIMP NIMPLIES NOTIMPLIES GT x>y a>b y<x b<a x1<x0 INHIBIT",
    "x1>x0": "CNIMP CONVERSENIMP LT y>x b>a x<y a<b x0<x1",
    "x1>=x0": "IMPLIES IMP IF-THEN x<=y a<=b y>=x b>=a x0<=x1 x->y a->b x0->x1",
    "x0>=x1": "CIMP CONVERSE IF x>=y a>=b y<=x b<=a x1<=x0 y->x b->a x1->x0",
    "x0": "A X IDENTITY",
    "x1": "B Y",
    "~x0": "NOTX0 NOTA NOTX NOT !x0 !a !x ~a ~x",
    "~x1": "NOTX1 NOTB NOTY !x1 !b !y ~b ~y",
    "XOR": "EOR NEQ PARITY x!=y a!=b x0!=x1 ^",
    "XNOR": "EQ IFF NXOR EQUALS x==y a==b x0==x1",
    "AND": "CONJUNCTION &",
    "OR": "DISJUNCTION |",
    "FALSE": "0 ZERO CONTRADICTION",
    "TRUE": "1 ONE TAUTOLOGY",
}
# upper case, so that a name is found in any spelling
_GATE_OF_ALIAS = {name.upper(): name for name in GATES}
for _gate, _names in _ALIASES.items():
    _GATE_OF_ALIAS |= dict.fromkeys(_names.upper().split(), _gate)

FAMILIES: dict[str, Callable[[Sequence[int]], bool]] = {
    "FALSE": lambda _: False,
    "TRUE": lambda _: True,
    "AND": all,
    "NAND": lambda row: not all(row),
    "OR": any,
    "NOR": lambda row: not any(row),
    "XOR": lambda row: sum(row) % 2 == 1,
    "XNOR": lambda row: sum(row) % 2 == 0,
}
"""Gates that keep their name for any number of inputs; XOR of n inputs is their parity."""


@cache
def _rows(n_inputs: int) -> tuple[tuple[int, ...], ...]:
    return tuple(product((0, 1), repeat=n_inputs))


@cache
def _known_rows(n_inputs: int) -> dict[Row, tuple[int, ...]]:
    """Rows by their usual spellings, so that most are read by one look-up."""
    known: dict[Row, tuple[int, ...]] = {}
    for row in _rows(n_inputs):
        # (False, True) and (0.0, 1.0) hash and compare as (0, 1): one entry serves them all
        known[row] = row
        known[row_name(row)] = row
    return known


def truth_rows(n_inputs: int) -> tuple[tuple[int, ...], ...]:
    """All 2^n input rows in lexicographic order, first input most significant.

    Raises:
        XorMiError: a number of inputs that is not between 1 and `MAX_INPUTS`.

    >>> truth_rows(2)
    ((0, 0), (0, 1), (1, 0), (1, 1))
    """
    is_whole = isinstance(n_inputs, Integral) and not isinstance(n_inputs, bool)
    if not is_whole or not 1 <= n_inputs <= MAX_INPUTS:
        raise XorMiError(
            f"n_inputs is {shown(n_inputs)}; a truth table here has 1 to {MAX_INPUTS} inputs, a "
            "whole number"
        )
    return _rows(n_inputs)


def row_name(row: Sequence[int]) -> str:
    """Bits as people write them: (0, 1) -> '01'."""
    return "".join(str(int(bit)) for bit in row)


def as_row(row: Row, n_inputs: int) -> tuple[int, ...]:
    """One input given as '01', [0, 1], (False, True), a tensor or an array -> a tuple of n bits.

    Raises:
        XorMiError: a value that is not 0 or 1, or the wrong number of them.
    """
    # beyond MAX_INPUTS there is no table to look a row up in, but rows of bits are still read
    if n_inputs <= MAX_INPUTS and isinstance(row, (str, tuple)):
        try:
            known = _known_rows(n_inputs).get(row)
        except TypeError:  # a tuple of something that has no hash is not a row; say so below
            known = None
        if known is not None:
            return known
    values: object = row
    if not isinstance(row, (str, list, tuple)) and is_array(row):
        values = row.tolist()
    if not isinstance(values, (str, list, tuple)):
        example = ("01" * n_inputs)[:n_inputs]
        raise XorMiError(
            f"{shown(row)} is not an input row; give {n_inputs} bits such as '{example}'"
        )
    # digits are read one by one below; '0 0', '[0,0]' and 'h0.1' have none
    if isinstance(values, str) and not (values.isascii() and values.isdecimal()):
        raise XorMiError(f"{shown(row)} is not bits; {_how_to_write_bits(n_inputs)}")
    bits = tuple(as_bit(value, row) for value in values)
    if len(bits) != n_inputs:
        counted = "1 bit" if len(bits) == 1 else f"{len(bits)} bits"
        raise XorMiError(f"{shown(row)} has {counted}; this network has {n_inputs} inputs")
    return bits


def _how_to_write_bits(n_inputs: int) -> str:
    """write '00' or [0, 0]."""
    zeros = [0] * n_inputs
    return f"write {shown(row_name(zeros))} or {shown(zeros)}"


def as_bit(value: object, source: object = None) -> int:
    """0, 1, 0.0, 1.0, False, True, '0' or '1', also of NumPy and torch -> 0 or 1.

    Args:
        source: what the value was found in, for the message.

    Raises:
        XorMiError: anything else.
    """
    # the common case first: asking whether a value fits a protocol takes far longer
    if isinstance(value, int) and value in (0, 1):
        return int(value)
    # only a single number is a bit, not a list that holds one
    if is_array(value) and getattr(value, "ndim", 0) == 0:
        value = value.tolist()
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return int(value)
    if isinstance(value, str) and value in ("0", "1"):
        return int(value)
    is_all = isinstance(source, str) and source == value
    inside = "" if source is None or is_all else f" in {shown(source)}"
    raise XorMiError(f"{shown(value)}{inside} is not a bit; only 0 and 1 are")


def gate_name(name: str) -> str:
    """Any usual name of a two-input gate -> its name in this package.

    >>> gate_name("implies"), gate_name("NIMP"), gate_name("x > y")
    ('x1>=x0', 'x0>x1', 'x0>x1')
    """
    if not is_gate_name(name):
        raise unknown("gate", name, GATES, where="the 16 gates are")
    return _GATE_OF_ALIAS[_key(name)]


def is_gate_name(name: object) -> bool:
    """Whether a two-input gate goes by this name."""
    return isinstance(name, str) and _key(name) in _GATE_OF_ALIAS


def _key(name: str) -> str:
    """A name as `_GATE_OF_ALIAS` lists it: "not x0" -> "NOTX0"."""
    return re.sub(r"[\s_]", "", name).upper()


def row_number(bits: Sequence[int]) -> int:
    """Bits, the first most significant -> the number of their row in `truth_rows`.

    >>> row_number((1, 0))
    2
    """
    number = 0
    for bit in bits:
        number = 2 * number + int(bit)
    return number


BitArray = TypeVar("BitArray", bound=ArrayLike)
"""A NumPy array or a tensor of bits."""


def row_numbers(bits: BitArray) -> BitArray:
    """`row_number` over the last axis of an array or a tensor, [..., bit] -> 64-bit integers [...].

    >>> import numpy as np
    >>> row_numbers(np.array([[0, 1], [1, 0]])).tolist()
    [1, 2]
    """
    array: Any = bits
    # wide integers first: doubling a bool or an int8 would overflow
    array = array.long() if hasattr(array, "long") else array.astype("int64")
    # zeros of the shape without the bit axis, on the same device
    number = 0 * array.sum(-1)
    for position in range(array.shape[-1]):
        number = 2 * number + array[..., position]
    return number
