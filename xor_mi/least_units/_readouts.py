"""sets of gates -> can every output be a threshold of the gates, and which thresholds fit?

The gates of a set produce some patterns of bits on the rows with a 1 and some on the rows with a 0.
An output is a threshold of the gates if some threshold function of as many inputs as there are
gates is 1 on all the former and 0 on all the latter; its value on patterns that no row produces is
free.
"""

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt32, UInt64
from numpy import ndarray

from xor_mi.truth import BooleanFunction, threshold_tables

SETS_AT_ONCE = 1 << 16
"""So many sets are processed in one step."""

CELLS_AT_ONCE = 1 << 22
"""So many pairs of patterns and threshold functions are compared in one step."""

HALF = np.uint64(32)
"""Two masks of 32 bits are stored in one word of 64."""


def pairs_told_apart(
    function: BooleanFunction, bits: UInt8[ndarray, "gate row"]
) -> Bool[ndarray, "gate pair"]:
    """Which gates differ on which pairs of rows, for all pairs on which some output differs.

    Some gate of every set must differ there, because the output reads only the gates.
    """
    tables = np.array(function.tables)
    first, second = np.triu_indices(tables.shape[1], k=1)
    differ = (tables[:, first] != tables[:, second]).any(axis=0)
    return bits[:, first[differ]] != bits[:, second[differ]]


def have_readout(
    sets: Int[ndarray, "set unit"],
    function: BooleanFunction,
    bits: UInt8[ndarray, "gate row"],
) -> Bool[ndarray, " set"]:
    """Whether every output is a threshold of the gates, set by set.

    Args:
        sets: numbers of gates that tell apart all pairs of rows on which an output differs.
    """
    parts = np.split(sets, range(SETS_AT_ONCE, len(sets), SETS_AT_ONCE))
    return np.concatenate([_have_readout(part, function, bits) for part in parts])


def _have_readout(
    sets: Int[ndarray, "set unit"],
    function: BooleanFunction,
    bits: UInt8[ndarray, "gate row"],
) -> Bool[ndarray, " set"]:
    possible = np.ones(len(sets), dtype=bool)
    for masks in pattern_masks(sets, function, bits):
        # thousands of sets produce the same few patterns
        different, which = np.unique(masks, return_inverse=True)
        per_step = max(1, CELLS_AT_ONCE // len(threshold_tables(sets.shape[1])))
        steps = np.split(different, range(per_step, len(different), per_step))
        found = [readouts_fit(step, sets.shape[1]).any(axis=1) for step in steps]
        possible &= np.concatenate(found)[which]
    return possible


def pattern_masks(
    sets: Int[ndarray, "set unit"],
    function: BooleanFunction,
    bits: UInt8[ndarray, "gate row"],
) -> UInt64[ndarray, "output set"]:
    """Per output, the patterns that the gates produce on its ones and those on its zeros.

    The first gate is the most significant bit of a pattern. Pattern p is bit 32 + p for a row with
    a 1, and bit p for a row with a 0.
    """
    n_units = sets.shape[1]
    patterns = np.zeros((len(sets), bits.shape[1]), dtype=np.uint64)
    for place in range(n_units):
        patterns = patterns << np.uint64(1) | bits[sets[:, place]]
    produced = np.uint64(1) << patterns
    masks = []
    for table in np.array(function.tables, dtype=bool):
        ones = np.bitwise_or.reduce(produced[:, table], axis=1)
        zeros = np.bitwise_or.reduce(produced[:, ~table], axis=1)
        masks.append(ones << HALF | zeros)
    return np.array(masks)


def readouts_fit(masks: UInt64[ndarray, " set"], n_units: int) -> Bool[ndarray, "set readout"]:
    """Which of `threshold_tables(n_units)` are 1 and 0 where they must be."""
    tables: UInt32[ndarray, " readout"] = threshold_tables(n_units)
    ones = (masks >> HALF).astype(np.uint32)[:, None]
    zeros = masks.astype(np.uint32)[:, None]
    return ((tables & ones) == ones) & ((tables & zeros) == 0)
