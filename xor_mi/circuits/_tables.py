"""truth tables of gates with more parents than a `BooleanFunction` may have inputs, as tensors.

A layer of 16 units has 65,536 combinations of bits: few enough to hold, too many to go through one
by one. What `truth` does row by row is done here for the whole table at once.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from xor_mi.truth import MAX_INPUTS, BooleanFunction, row_numbers

MAX_UNITS = 16
"""A layer has at most so many units, and an output reads at most so many units and inputs: the
table of a local gate then has 65,536 entries.
"""

Table = tuple[int, ...]


def combinations_of(n_parents: int) -> Tensor:
    """Every combination of so many bits, in the order of a truth table, [combination, parent].

    >>> combinations_of(2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    shifts = torch.arange(n_parents - 1, -1, -1)  # the first parent is the most significant
    return torch.arange(2**n_parents)[:, None] >> shifts & 1


def essential_parents(table: Table) -> tuple[int, ...]:
    """The parents that a table depends on.

    >>> essential_parents((0, 0, 1, 1))
    (0,)
    """
    ones, n_parents = _as_number(table), len(table).bit_length() - 1
    essential: list[int] = []
    for k in range(n_parents):
        flip = 1 << n_parents - 1 - k  # the first parent is the most significant
        if (ones ^ ones >> flip) & _without(n_parents, flip):
            essential.append(k)
    return tuple(essential)


def over_essential(table: Table) -> tuple[tuple[int, ...], Table]:
    """The parents that a table depends on, and the same function as a table over these alone."""
    essential = essential_parents(table)
    if 2 ** len(essential) == len(table):
        return essential, table
    cube = _cube(table)
    # from the last axis back, so that the numbers of the axes before it stay
    for k in reversed(range(cube.dim())):
        if k not in essential:
            cube = cube.select(k, 0)
    return essential, _table(cube)


def with_constants(table: Table, constant: Mapping[int, int]) -> Table:
    """The table as if each constant parent always had its bit."""
    if not constant:
        return table
    cube = _cube(table)
    for k, bit in constant.items():
        cube = cube.select(k, bit).unsqueeze(k).expand(cube.shape)
    return _table(cube)


def rearranged(table: Table, where: Sequence[int]) -> Table:
    """The table after parent i has become parent where[i].

    >>> rearranged((0, 0, 1, 0), (1, 0))
    (0, 1, 0, 0)
    """
    return _table(_cube(table).permute(*sorted(range(len(where)), key=lambda i: where[i])))


def complemented(table: Table, flip: int, signs: Sequence[int]) -> Table:
    """The table complemented if `flip` is 1, after the parents whose sign is 1 were complemented.

    >>> complemented((0, 0, 0, 1), 1, (1, 1))
    (0, 1, 1, 1)
    """
    turned = [k for k, sign in enumerate(signs) if sign]
    if not turned and not flip:
        return table
    return _table(_cube(table).flip(turned) ^ flip)


def turns(table: Table, parent: int) -> tuple[int, int]:
    """On how many combinations of the others turning this parent on turns the gate on, and off.

    >>> turns((0, 0, 1, 0), 0)
    (1, 0)
    """
    n_parents = len(table).bit_length() - 1
    flip = 1 << n_parents - 1 - parent  # the first parent is the most significant
    ones, without = _as_number(table), _without(n_parents, flip)
    off, on = ones & without, ones >> flip & without
    return (on & ~off).bit_count(), (off & ~on).bit_count()


DIGITS = bytes([ord("0"), ord("1")]) + bytes(254)
"""A bit of a table -> its digit."""


# this is computed for each parent of a gate in turn
@lru_cache(maxsize=64)
def _as_number(table: Table) -> int:
    """A table as the bits of a whole number; the first combination is the lowest bit."""
    return int(bytes(reversed(table)).translate(DIGITS), 2)


@lru_cache(maxsize=1024)
def _without(n_parents: int, flip: int) -> int:
    """The combinations whose number lacks this bit, as the bits of a whole number."""
    block, n_combinations = (1 << flip) - 1, 2**n_parents
    return sum(block << first for first in range(0, n_combinations, 2 * flip))


def formula_over(table: Table, names: Sequence[str], *, occurring: Tensor | None = None) -> str:
    """A gate's formula over its parents' names.

    If the gate depends on too many parents to find a formula, only their names are given: 'f(h0.0,
    h0.1, ...)'.

    Args:
        occurring: the combinations of the parents' bits that occur, [combination, parent]; a term
            that is true on none of them is left out. Default: all.

    >>> formula_over((0, 0, 1, 0), ["h0.0", "h0.1"])
    'h0.0 & ~h0.1'
    """
    if len(names) > MAX_INPUTS:
        essential, table = over_essential(table)
        names = [names[k] for k in essential]
        occurring = None if occurring is None else occurring[:, list(essential)]
    if not names:
        return "TRUE" if table[0] else "FALSE"
    if len(names) > MAX_INPUTS:
        return named(names)
    never: set[int] = set()
    if occurring is not None:
        never = set(range(len(table))).difference(row_numbers(occurring).tolist())
    return BooleanFunction(len(names), (table,)).formula_over(names, never=never)


def named(names: Sequence[str]) -> str:
    """Some function of these names, whichever it is: 'f(h0.0, h0.1)'."""
    return f"f({', '.join(names)})"


def as_tensor(table: Table) -> Tensor:
    """The same as a tensor of bytes, [combination]."""
    # through bytes: a list of 65,536 numbers takes torch a hundred times as long
    return torch.frombuffer(bytearray(table), dtype=torch.int8)


def _cube(table: Table) -> Tensor:
    """One axis of length 2 per parent."""
    n_parents = len(table).bit_length() - 1
    return as_tensor(table).reshape((2,) * n_parents)


def _table(cube: Tensor) -> Table:
    return tuple(cube.flatten().tolist())
