"""a function -> its symmetries, and what each gate becomes under them.

A symmetry permutes the inputs and negates some of them. Threshold functions stay threshold
functions, so a set of gates that a function can be read from becomes another such set. One set of
each kind is searched for, and the others are its images.
"""

from functools import cache
from itertools import permutations, product

import numpy as np
from jaxtyping import Int, UInt8, UInt32
from numpy import ndarray

from xor_mi.truth import BooleanFunction, row_numbers, truth_rows

NUMBERS_AT_ONCE = 1 << 21
"""So many sets are transformed in one step."""


def row_moves(function: BooleanFunction) -> Int[ndarray, "move row"]:
    """The row that each row becomes, for all symmetries up to complements of outputs.

    These are the permutations and negations of inputs after which every output is itself or its
    complement. The first changes nothing.
    """
    tables = np.array(function.tables)
    moves = all_moves(function.n_inputs)
    changed = tables[:, moves] != tables[:, None]
    # an output is the same on all rows, or negated on all rows
    is_kept = (changed == changed[:, :, :1]).all(axis=(0, 2))
    return moves[is_kept]


def orders_kept(function: BooleanFunction) -> Int[ndarray, "move row"]:
    """The same for permutations of the inputs alone, and outputs that do not change."""
    tables = np.array(function.tables)
    moves = all_moves(function.n_inputs)
    is_order = moves[:, 0] == 0
    is_kept = (tables[:, moves] == tables[:, None]).all(axis=(0, 2))
    return moves[is_order & is_kept]


def moved_gates(
    gates: UInt32[ndarray, " gate"],
    bits: UInt8[ndarray, "gate row"],
    moves: Int[ndarray, "move row"],
) -> Int[ndarray, "move gate"]:
    """The number of the gate that each gate becomes, up to complement.

    Args:
        gates: packed tables, ascending, of all gates that are 0 on the first row.
        bits: the same, one bit per row.
    """
    weights = np.int64(1) << np.arange(bits.shape[1], dtype=np.int64)
    images = []
    for move in moves:
        moved = bits[:, move]
        packed = (moved ^ moved[:, :1]).astype(np.int64) @ weights
        images.append(np.searchsorted(gates, packed))
    return np.array(images)


def all_images(
    sets: Int[ndarray, "set unit"], images: Int[ndarray, "move gate"], *, at_most: int
) -> Int[ndarray, "more_sets unit"] | None:
    """Every set that one of these becomes, each once, with gates and sets in ascending order.

    None if there are more than `at_most`.
    """
    n_gates = images.shape[1]
    found = np.empty(0, dtype=np.int64)
    per_step = max(1, NUMBERS_AT_ONCE // max(1, len(sets)))
    for start in range(0, len(images), per_step):
        moved = as_numbers(images[start : start + per_step, sets], n_gates)
        found = np.union1d(found, moved)
        if len(found) > at_most:
            return None
    return as_sets(found, n_gates, sets.shape[1])


def as_numbers(sets: Int[ndarray, "*lead unit"], n_gates: int) -> Int[ndarray, "*lead"]:
    """Each set as one whole number that does not depend on the order of its gates.

    The gates in ascending order are its digits, to the base `n_gates`.
    """
    ascending = np.sort(sets, axis=-1)
    numbers = np.zeros(sets.shape[:-1], dtype=np.int64)
    for place in range(sets.shape[-1]):
        numbers = numbers * n_gates + ascending[..., place]
    return numbers


def as_sets(numbers: Int[ndarray, " set"], n_gates: int, n_units: int) -> Int[ndarray, "set unit"]:
    """The gates of each set, from `as_numbers`."""
    places = [numbers // n_gates**power % n_gates for power in reversed(range(n_units))]
    return np.stack(places, axis=1)


@cache
def all_moves(n_inputs: int) -> Int[ndarray, "move row"]:
    """The row that each row becomes, for every permutation and negation of the inputs."""
    rows = np.array(truth_rows(n_inputs))
    orders = permutations(range(n_inputs))
    changes = product(orders, product((0, 1), repeat=n_inputs))
    return np.array(
        [row_numbers(rows[:, list(order)] ^ np.array(turned)) for order, turned in changes]
    )
