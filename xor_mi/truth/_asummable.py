"""a truth table -> two rows that are 1 and two that are 0 with the same sum, if such rows exist.

A function without such rows is *2-asummable*. A threshold function always is: both pairs of rows
have the same total weight, and two ones weigh more than two zeros. Up to eight inputs the converse
holds too (Muroga 1971), so that this test decides on its own; with nine it does not.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from xor_mi.truth._gates import row_name, truth_rows

if TYPE_CHECKING:
    from numpy import int64, intp
    from numpy.typing import NDArray

InputRow = tuple[int, ...]
"""One bit per input."""

Conflict = tuple[tuple[InputRow, InputRow], tuple[InputRow, InputRow]]
"""Two rows that are 1 and two that are 0."""


def conflict_of(table: Sequence[int], n_inputs: int) -> Conflict | None:
    """Two rows that are 1 and two that are 0 with the same sum, if there are any.

    It takes the first such pair of zeros, in the order of rows, and then the first pair of ones. No
    row has to be taken twice: a sum with entries 0 and 2 only is not the sum of two different rows.

    Args:
        table: one bit per row.

    >>> conflict_of((0, 1, 1, 0), 2)
    (((0, 1), (1, 0)), ((0, 0), (1, 1)))
    """
    import numpy as np  # here, so that truth tables need no NumPy

    codes, bits = _codes(n_inputs), np.array(table)
    ones, zeros = np.flatnonzero(bits == 1), np.flatnonzero(bits == 0)
    is_sum_of_ones = np.zeros(3**n_inputs, dtype=bool)
    for place, row in enumerate(ones):
        is_sum_of_ones[codes[row] + codes[ones[place + 1 :]]] = True
    for place, row in enumerate(zeros):
        later = zeros[place + 1 :]
        sums = codes[row] + codes[later]
        met = np.flatnonzero(is_sum_of_ones[sums])
        if met.size:
            rows = truth_rows(n_inputs)
            first, second = _first_pair(ones, int(sums[met[0]]), n_inputs)
            return (rows[first], rows[second]), (rows[row], rows[later[met[0]]])
    return None


def _first_pair(numbers: "NDArray[intp]", total: int, n_inputs: int) -> tuple[int, int]:
    """The first two of these rows whose codes add up to a total that two of them have."""
    codes = _codes(n_inputs)[numbers]
    row_of_code = dict(zip(codes.tolist(), numbers.tolist(), strict=True))
    first = next(code for code in row_of_code if total - code in row_of_code)
    return row_of_code[first], row_of_code[total - first]


@cache
def _codes(n_inputs: int) -> "NDArray[int64]":
    """Every row read as a number in base 3, where two rows are added without a carry."""
    import numpy as np

    powers = 3 ** np.arange(n_inputs, dtype=np.int64)[::-1]
    return np.array(truth_rows(n_inputs)) @ powers


def conflict_text(ones: Mapping[InputRow, int], zeros: Mapping[InputRow, int]) -> str:
    """Two equal sums as text; each row is taken as many times as its number says.

    >>> conflict_text({(0, 1): 1, (1, 0): 1}, {(0, 0): 1, (1, 1): 1})
    '01 + 10 = 00 + 11'
    """
    return f"{_sum_text(ones)} = {_sum_text(zeros)}"


def _sum_text(times: Mapping[InputRow, int]) -> str:
    """Rows that are added up.

    >>> _sum_text({(0, 1, 1): 2, (1, 0, 1): 1})
    '2 x 011 + 101'
    """
    return " + ".join(
        row_name(row) if n == 1 else f"{n} x {row_name(row)}" for row, n in times.items()
    )
