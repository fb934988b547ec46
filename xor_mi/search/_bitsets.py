"""ranks of left halves, positions of right ones -> how many lefts each right is above on every row.

Sets of lefts are bits, 64 in a word. Lefts are taken in tiles; of every row there is a table with
the set of those of a tile that lie lowest, for each number of them. The lefts that a right half is
above are the intersection of one set from each table, which is counted by machine words. numba's
kernels order the lefts by their rank on the first row, so that a tile past a right half's position
is left out.
"""

import numpy as np
from numpy.typing import NDArray

from xor_mi.kernels import numba_is_installed

Wholes = NDArray[np.int64]

WORDS = 64
"""Of a tile, which has 64 lefts a word: few enough for the tables to stay near, and enough to be
worth looking them up.
"""

TILE = 64 * WORDS

RIGHTS_AT_ONCE = 2**14
"""So many right halves are held against a tile in one step of NumPy's."""


def n_lefts_below(ranks: Wholes, positions: Wholes) -> Wholes:
    """Of each right half, how many lefts have on every row a rank below its position.

    Args:
        ranks: [row, left], on each row a permutation of the numbers of lefts.
        positions: [row, right], from 0 to the number of lefts.
    """
    return (_by_numba if numba_is_installed() else _by_numpy)(ranks, positions)


def _by_numpy(ranks: Wholes, positions: Wholes) -> Wholes:
    n_left, n_right = ranks.shape[1], positions.shape[1]
    counts = np.zeros(n_right, dtype=np.int64)
    place = np.arange(TILE)
    alone = np.zeros((TILE, WORDS), dtype=np.uint64)
    alone[place, place // 64] = np.uint64(1) << (place % 64).astype(np.uint64)
    for start in range(0, n_left, TILE):
        of_tile = ranks[:, start : start + TILE]
        orders = np.argsort(of_tile, axis=1)
        lowest = np.zeros((len(ranks), of_tile.shape[1] + 1, WORDS), dtype=np.uint64)
        for table, order in zip(lowest, orders, strict=True):
            np.bitwise_or.accumulate(alone[order], axis=0, out=table[1:])
        for first in range(0, n_right, RIGHTS_AT_ONCE):
            these = slice(first, first + RIGHTS_AT_ONCE)
            kept = np.uint64(2**64 - 1)
            for table, order, rank, position in zip(
                lowest, orders, of_tile, positions, strict=True
            ):
                kept = kept & table[np.searchsorted(rank[order], position[these])]
            counts[these] += np.bitwise_count(kept).sum(axis=1, dtype=np.int64)
    return counts


def _by_numba(ranks: Wholes, positions: Wholes) -> Wholes:
    # not before it is asked for: numba takes a moment to load
    from xor_mi.search._bitset_kernels import add_lefts_below

    n_rows, n_left = ranks.shape
    # the highest first: in a tile past its position nothing is left to do
    order = np.argsort(-positions[0], kind="stable")
    by_first_row = np.empty(n_left, dtype=np.int64)
    by_first_row[ranks[0]] = np.arange(n_left)
    counts = np.zeros(positions.shape[1], dtype=np.int64)
    n_words = n_left // 64 + 1
    add_lefts_below(
        by_first_row,
        np.ascontiguousarray(ranks[1:]),
        np.ascontiguousarray(positions[:, order]),
        counts,
        np.zeros((n_rows - 1, TILE + 1, WORDS), dtype=np.uint64),
        np.zeros((n_rows - 1, n_words), dtype=np.uint64),
        np.zeros((n_rows - 1, n_words), dtype=np.int64),
        np.zeros(n_left, dtype=np.int64),
        np.zeros(n_rows, dtype=np.int64),
        np.zeros(WORDS, dtype=np.uint64),
    )
    in_their_order = np.empty_like(counts)
    in_their_order[order] = counts
    return in_their_order
