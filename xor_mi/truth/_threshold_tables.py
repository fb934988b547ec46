"""n inputs -> the truth tables of all threshold functions.

They are found by enumeration. Permuting inputs and turning them over maps threshold functions to
threshold functions, so weights that are not negative and do not fall from input to input reach one
of every kind. Whole weights of at most 5 are enough up to five inputs: what they reach is a
threshold function, and there are as many as OEIS A000609 counts, 2, 4, 14, 104, 1,882 and 94,572.
"""

from functools import cache
from itertools import combinations_with_replacement, permutations, product
from typing import TYPE_CHECKING

from xor_mi.errors import whole_number
from xor_mi.truth._gates import row_numbers, truth_rows

if TYPE_CHECKING:
    from jaxtyping import UInt32
    from numpy import ndarray

MAX_INPUTS_TABLED = 5
"""Six inputs have 15,028,134 threshold functions."""

LARGEST_WHOLE_WEIGHT = 5
"""Whole weights up to this reach every threshold function of up to five inputs."""


def threshold_tables(n_inputs: int) -> "UInt32[ndarray, ' function']":
    """The threshold functions of 0 to 5 inputs, constants among them, as packed tables, ascending.

    Bit r of a table is the function's value on row r. The array cannot be written to.

    Raises:
        XorMiError: more than five inputs.

    >>> [f"{table:04b}" for table in threshold_tables(2)[:4]]
    ['0000', '0001', '0010', '0011']
    """
    return _tables(whole_number("n_inputs", n_inputs, below=MAX_INPUTS_TABLED + 1))


def count_threshold_functions(n_inputs: int) -> int:
    """How many threshold functions of 0 to 5 inputs there are, counted.

    >>> [count_threshold_functions(n_inputs) for n_inputs in range(5)]
    [2, 4, 14, 104, 1882]

    Raises:
        XorMiError: more than five inputs.
    """
    return len(threshold_tables(n_inputs))


@cache
def _tables(n_inputs: int) -> "UInt32[ndarray, ' function']":
    """The same, for a number of inputs that is checked."""
    import numpy as np

    if n_inputs == 0:
        return np.array([0, 1], dtype=np.uint32)
    rows = np.array(truth_rows(n_inputs))
    kinds: set[bytes] = set()
    for weights in combinations_with_replacement(range(LARGEST_WHOLE_WEIGHT + 1), n_inputs):
        sums = rows @ np.array(weights)
        # above each sum, and once below all of them
        kinds |= {(sums > cut).tobytes() for cut in (-1, *sums.tolist())}
    tables = np.array([np.frombuffer(kind, dtype=bool) for kind in sorted(kinds)])
    powers = np.int64(1) << np.arange(2**n_inputs, dtype=np.int64)
    packed = []
    for order in permutations(range(n_inputs)):
        for turned in product((0, 1), repeat=n_inputs):
            moved = row_numbers(rows[:, list(order)] ^ np.array(turned))
            packed.append(tables[:, moved] @ powers)
    found = np.unique(np.concatenate(packed)).astype(np.uint32)
    found.flags.writeable = False
    return found
