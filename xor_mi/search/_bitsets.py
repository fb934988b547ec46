"""ranks of left halves, positions of right ones -> how many lefts each right is above on every row.

Sets of lefts are bits, 64 in a word. Lefts are taken in tiles; of every row there is a table with
the set of those of a tile that lie lowest, for each number of them. The lefts that a right half is
above are the intersection of one set from each table, and are counted word by word. Here by NumPy;
`_bitset_kernels` is some twenty times as fast, where numba is installed.
"""

from threading import Event

import numpy as np
from numpy.typing import NDArray

Wholes = NDArray[np.int64]

WORDS = 64
"""Of a tile, which has 64 lefts a word: few enough for the tables to stay near, and enough to be
worth looking them up.
"""

TILE = 64 * WORDS

RIGHTS_AT_ONCE = 2**14
"""So many right halves are held against a tile in one step of NumPy's."""


def n_lefts_below(ranks: Wholes, positions: Wholes, stop: Event) -> Wholes:
    """Of each right half, how many lefts have on every row a rank below its position.

    Of these, the ones that were met before it was told to stop.

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
