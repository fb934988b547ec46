"""ranks of left halves, positions of right ones -> how many lefts each right is above on every row.

A set of left halves ("lefts") is stored as bits, 64 in a word. Left halves are processed in tiles.
For every row there is a table that holds, for each k, the set of the k left halves of the tile that
lie lowest. The left halves that a right half is above are the intersection of one set from each
table, and are counted word by word. This module uses NumPy; `_bitset_kernels` is some twenty times
as fast if numba is installed.
"""

from threading import Event

import numpy as np
from numpy.typing import NDArray

Wholes = NDArray[np.int64]

WORDS = 64
"""Words of a tile, with 64 left halves each: few enough for the tables to stay in the cache, and
enough to make looking them up worthwhile.
"""

TILE = 64 * WORDS

RIGHTS_AT_ONCE = 2**14
"""So many right halves are compared with a tile in one step of NumPy."""


def n_lefts_below(ranks: Wholes, positions: Wholes, stop: Event) -> Wholes:
    """For each right half, how many left halves have a rank below its position on every row.

    If it was told to stop, only the left halves before that are counted.

    Args:
        ranks: [row, left], on each row a permutation of the numbers of lefts.
        positions: [row, right], from 0 to the number of lefts.
    """
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
            if stop.is_set():
                return counts
            these = slice(first, first + RIGHTS_AT_ONCE)
            kept = np.uint64(2**64 - 1)
            for table, order, rank, position in zip(
                lowest, orders, of_tile, positions, strict=True
            ):
                kept = kept & table[np.searchsorted(rank[order], position[these])]
            counts[these] += np.bitwise_count(kept).sum(axis=1, dtype=np.int64)
    return counts
