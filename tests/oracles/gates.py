"""The names of gates, what one threshold decides, and which functions are one up to renaming."""

from functools import cache
from itertools import permutations, product

import numpy as np

MEANINGS = {
    "FALSE": "0", "AND": "a and b", "x0>x1": "a and not b", "x0": "a", "x1>x0": "b and not a", "x1": "b",
    "XOR": "a != b", "OR": "a or b", "NOR": "not (a or b)", "XNOR": "a == b", "~x1": "not b", "x0>=x1": "a or not b",
    "~x0": "not a", "x1>=x0": "b or not a", "NAND": "not (a and b)", "TRUE": "1",
}  # fmt: skip
"""Gate -> what it says, as Python reads it."""


def table_of(name):
    """The gate's bits on the rows 00, 01, 10, 11."""
    rows = product((0, 1), repeat=2)
    return tuple(int(bool(eval(MEANINGS[name], {}, {"a": a, "b": b}))) for a, b in rows)


@cache
def threshold_tables(n_inputs):
    """Every table that one threshold of a weighted sum gives, found by trying.

    Whole weights up to 2 are enough for three inputs; thresholds lie between whole numbers.
    """
    rows = list(product((0, 1), repeat=n_inputs))
    found = set()
    for weights in product(range(-2, 3), repeat=n_inputs):
        sums = [sum(w * bit for w, bit in zip(weights, row, strict=True)) for row in rows]
        for cut in range(min(sums) - 1, max(sums) + 1):
            found.add(tuple(int(one > cut) for one in sums))
    return frozenset(found)


def depends_on(table):
    """The inputs whose change changes the value on some row."""
    n_inputs = len(table).bit_length() - 1
    cube = np.asarray(table).reshape((2,) * n_inputs)
    halves = [(cube.take(0, axis=k), cube.take(1, axis=k)) for k in range(n_inputs)]
    return tuple(k for k, (low, high) in enumerate(halves) if (low != high).any())


def variants(table, n_inputs):
    """All tables that are this one after inputs are exchanged or complemented, or the output is."""
    rows = list(product((0, 1), repeat=n_inputs))
    value = dict(zip(rows, table, strict=True))
    found = set()
    for order in permutations(range(n_inputs)):
        for flips in product((0, 1), repeat=n_inputs):
            for flip in (0, 1):
                seen = [tuple(row[order[k]] ^ flips[k] for k in range(n_inputs)) for row in rows]
                found.add(tuple(value[row] ^ flip for row in seen))
    return found
