"""`_bitsets` compiled by numba, which does not need to look at every tile of left halves.

Left halves are ordered by their rank on the first row, so a tile that is past a right half's
position there can be skipped. The kernels are not annotated, because numba finds the types.
"""

from threading import Event
from typing import no_type_check

import numpy as np

from xor_mi.kernels import compiled, inlined
from xor_mi.search._bitsets import TILE, WORDS, Wholes

U = np.uint64


RIGHTS_AT_ONCE = 2**18
"""One kernel compares so many right halves with a tile: this takes some hundredths of a second, and
after it Ctrl-C takes effect.
"""


def n_lefts_below(ranks: Wholes, positions: Wholes, stop: Event) -> Wholes:
    """As `_bitsets.n_lefts_below`."""
    n_rows, n_left = ranks.shape
    n_right = positions.shape[1]
    # the highest first: in a tile past its position there is nothing left to do
    order = np.argsort(-positions[0], kind="stable")
    by_first_row = np.empty(n_left, dtype=np.int64)
    by_first_row[ranks[0]] = np.arange(n_left)
    ranks = np.ascontiguousarray(ranks[1:])
    positions = np.ascontiguousarray(positions[:, order])
    counts = np.zeros(n_right, dtype=np.int64)
    n_words = n_left // 64 + 1
    lowest = np.zeros((n_rows - 1, TILE + 1, WORDS), dtype=np.uint64)
    marks = np.zeros((n_rows - 1, n_words), dtype=np.uint64)
    n_before = np.zeros((n_rows - 1, n_words), dtype=np.int64)
    place = np.zeros(n_left, dtype=np.int64)
    entries = np.zeros(n_rows, dtype=np.int64)
    kept = np.zeros(WORDS, dtype=np.uint64)
    for start in range(0, n_left, TILE):
        # no right half is above a left half of this tile, or of a later one
        if stop.is_set() or positions[0, 0] <= start:
            break
        tile = by_first_row[start : start + TILE]
        fill_tables(tile, ranks, lowest, marks, n_before, place)
        for first in range(0, n_right, RIGHTS_AT_ONCE):
            if stop.is_set():
                break
            last = min(first + RIGHTS_AT_ONCE, n_right)
            add_lefts_below(
                start,
                len(tile),
                positions,
                first,
                last,
                counts,
                lowest,
                marks,
                n_before,
                entries,
                kept,
            )
    in_their_order = np.empty_like(counts)
    in_their_order[order] = counts
    return in_their_order


@inlined
@no_type_check
def n_bits(word):
    """How many bits are set; compilers know this form and turn it into one instruction."""
    word = word - ((word >> U(1)) & U(0x5555555555555555))
    word = (word & U(0x3333333333333333)) + ((word >> U(2)) & U(0x3333333333333333))
    word = (word + (word >> U(4))) & U(0x0F0F0F0F0F0F0F0F)
    return (word * U(0x0101010101010101)) >> U(56)


@compiled
@no_type_check
def _fill_table(lowest, marks, n_before, place, ranks, tile, size):
    """For one row, fill `lowest[k]` with the set of the k left halves of a tile that lie lowest.

    Also fill in which ranks are in the tile, as bits, and how many lie below each word of these.
    """
    marks[:] = U(0)
    for k in range(size):
        rank = ranks[tile[k]]
        marks[rank >> 6] |= U(1) << U(rank & 63)
        place[rank] = k
    lowest[0] = U(0)
    n = 0
    for word in range(len(marks)):
        n_before[word] = n
        rest = marks[word]
        while rest:
            last = rest & (~rest + U(1))
            k = place[64 * word + np.int64(n_bits(last - U(1)))]
            for w in range(WORDS):
                lowest[n + 1, w] = lowest[n, w]
            lowest[n + 1, k >> 6] |= U(1) << U(k & 63)
            n += 1
            rest ^= last


@compiled
@no_type_check
def fill_tables(tile, ranks, lowest, marks, n_before, place):
    """For every row except the first, which left halves of a tile lie lowest.

    Args:
        tile: the lefts of the tile.
        ranks: [other row, left].
        lowest, marks, n_before: of every other row, as `_fill_table` fills them.
        place: scratch, a number for each left.
    """
    for row in range(len(ranks)):
        _fill_table(lowest[row], marks[row], n_before[row], place, ranks[row], tile, len(tile))


@inlined
@no_type_check
def _entry(marks, n_before, position):
    """How many lefts of the tile lie below a position, on one row: the place in its table."""
    word = position >> 6
    below = marks[word] & ((U(1) << U(position & 63)) - U(1))
    return n_before[word] + np.int64(n_bits(below))


@inlined
@no_type_check
def _n_common(one, other, third, n_inside):
    """How many bits three sets have in common, in their first words."""
    n_words = n_inside >> 6
    total = U(0)
    if n_words == WORDS:  # a constant for the compiler
        for w in range(WORDS):
            total += n_bits(one[w] & other[w] & third[w])
        return np.int64(total)
    for w in range(n_words):
        total += n_bits(one[w] & other[w] & third[w])
    last = (U(1) << U(n_inside & 63)) - U(1)
    return np.int64(total + n_bits(one[n_words] & other[n_words] & third[n_words] & last))


@compiled
@no_type_check
def add_lefts_below(
    start, size, positions, first, last, counts, lowest, marks, n_before, entries, kept
):
    """Add to `counts` how many left halves of a tile each of some right halves is above.

    Args:
        start, size: which ranks of the first row are those of the tile.
        positions: [row, right]; those of the first row are descending.
        first, last: which right halves to count for.
        lowest, marks, n_before: of every other row, as `fill_tables` fills them.
        entries, kept: scratch, a number for each row and each word.
    """
    n_others = len(lowest)
    for right in range(first, last):
        n_inside = min(positions[0, right] - start, size)
        if n_inside <= 0:
            break  # nor is any later right half above a left half of this tile
        # the last three rows are intersected at once; using a row twice changes nothing
        for row in range(n_others):
            entries[row] = _entry(marks[row], n_before[row], positions[row + 1, right])
        if n_others == 0:
            counts[right] += n_inside
            continue
        c = n_others - 1
        a, b = max(c - 2, 0), max(c - 1, 0)
        one = lowest[a, entries[a]]
        for row in range(a):
            for w in range(WORDS):
                before = kept[w] if row > 0 else one[w]
                kept[w] = before & lowest[row, entries[row], w]
        one = kept if a > 0 else one
        other, third = lowest[b, entries[b]], lowest[c, entries[c]]
        counts[right] += _n_common(one, other, third, n_inside)
