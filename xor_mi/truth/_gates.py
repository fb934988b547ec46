"""rows, bits and gate names: the tables everything else looks things up in."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any, Protocol, runtime_checkable

from xor_mi.errors import XorMiError, unknown


@runtime_checkable
class ArrayLike(Protocol):
    """A tensor or an array: what can say its values as a list. Named here so that no torch is needed."""

    def tolist(self) -> Any:
        """The values as nested Python lists, or as one number."""
        ...


Row = str | Sequence[int] | Sequence[float] | ArrayLike
"""One input: "01", [0, 1], (False, True), a tensor or an array."""

MAX_INPUTS = 12
"""A truth table is held whole; 2^12 rows is far beyond the networks this package can check
exhaustively.
"""

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
_GATE_OF_ALIAS = {name.upper(): name for name in GATES} | {
    alias.upper(): gate for gate, aliases in _ALIASES.items() for alias in aliases.split()
}

FAMILIES: dict[str, Callable[[tuple[int, ...]], bool]] = {
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
def _rows_by_name(n_inputs: int) -> dict[str, tuple[int, ...]]:
    return {row_name(row): row for row in _rows(n_inputs)}


def truth_rows(n_inputs: int) -> tuple[tuple[int, ...], ...]:
    """All 2^n input rows in lexicographic order, first input most significant.

    >>> truth_rows(2)
    ((0, 0), (0, 1), (1, 0), (1, 1))
    """
    if (
        isinstance(n_inputs, bool)
        or not isinstance(n_inputs, int)
        or not 1 <= n_inputs <= MAX_INPUTS
    ):
        raise XorMiError(
            f"n_inputs is {n_inputs!r}; a truth table here has 1 to {MAX_INPUTS} inputs"
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
    if (
        isinstance(row, str)
        and n_inputs <= MAX_INPUTS
        and (known := _rows_by_name(n_inputs).get(row))
    ):
        return known
    values = getattr(row, "tolist", lambda: row)()
    if not isinstance(values, (str, list, tuple)):
        raise XorMiError(
            f"{row!r} is no input row; give {n_inputs} bits such as '{'01' * n_inputs:.{n_inputs}}'"
        )
    if len(values) != n_inputs:
        raise XorMiError(f"{row!r} has {len(values)} bits; this network has {n_inputs} inputs")
    return tuple(as_bit(value, row) for value in values)


def as_bit(value: object, source: object = None) -> int:
    """0, 1, 0.0, 1.0, False, True, '0' or '1', also of numpy and torch -> 0 or 1; anything else is
    refused.
    """
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return int(value)
    if isinstance(value, str) and value in ("0", "1"):
        return int(value)
    inside = "" if source is None else f" in {source!r}"
    raise XorMiError(f"{value!r}{inside} is not a bit; only 0 and 1 are")


def gate_name(name: str) -> str:
    """Any usual name of a two-input gate -> its one name here.

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
