"""one function of up to 12 inputs -> weights that make it a threshold function, or why none do.

Both answers are found by linear programs (scipy's HiGHS) and checked in whole numbers afterwards,
so that nothing depends on a solver's rounding. Weights are a solution of the program that asks for
a gap between ones and zeros. If it has no solution, its dual has one: a weighted mean of ones that
equals one of zeros (Farkas), so that some rows that are 1, each taken a number of times, have the
same sum as equally many rows that are 0. Two of each are enough for most functions, and are found
without a program.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING

from xor_mi.errors import XorMiError, cut_short, whole_number
from xor_mi.finding import Finding
from xor_mi.truth._asummable import InputRow, conflict_of, conflict_text
from xor_mi.truth._function import BooleanFunction
from xor_mi.truth._gates import row_name, truth_rows

if TYPE_CHECKING:
    import pandas as pd
    from numpy import float64, int64
    from numpy.typing import NDArray

NOT_ZERO = 1e-9
"""A multiplier below this counts as 0. The multipliers of the ones add up to 1, and so do those of
the zeros.
"""


@dataclass(frozen=True)
class ThresholdProof(Finding):
    """Whether a function is a threshold function, and the proof.

    Attributes:
        function: the function that was asked about.
        is_threshold: whether weights and a threshold realise it.
        weights: whole numbers, one per input, or None.
        threshold: halfway between two whole sums: the function is 1 exactly where weights . row is
            above it. None if there are no weights.
        ones: rows that are 1 -> how many times each is taken. They are as many as those in `zeros`
            and have the same sum, input by input, so that any weights give both the same total.
            Empty for a threshold function.
        zeros: the same for rows that are 0.
        two_asummable: whether no two ones have the same sum as two zeros. With nine inputs or more,
            some such functions are not threshold functions.
    """

    function: BooleanFunction
    is_threshold: bool
    weights: tuple[int, ...] | None
    threshold: float | None
    ones: Mapping[InputRow, int]
    zeros: Mapping[InputRow, int]
    two_asummable: bool

    @property
    def conflict(self) -> str:
        """The sums that are equal, such as "01 + 10 = 00 + 11"; "" for a threshold function."""
        return "" if self.is_threshold else conflict_text(self.ones, self.zeros)

    def head(self) -> dict[str, object]:
        """The answer, the weights or the conflict, and whether the function is 2-asummable."""
        return {
            "is_threshold": self.is_threshold,
            "weights": None if self.weights is None else list(self.weights),
            "threshold": self.threshold,
            "conflict": self.conflict,
            "two_asummable": self.two_asummable,
        }

    def frame(self) -> "pd.DataFrame":
        """A line per row of the truth table.

        Columns: row, decided (the function's bit), total (weights . row; NaN if there are no
            weights), times (how often the conflict takes the row).
        """
        import pandas as pd

        times = {**self.ones, **self.zeros}
        lines = [
            {
                "row": row_name(row),
                "decided": bit,
                "total": float("nan") if self.weights is None else _total(self.weights, row),
                "times": times.get(row, 0),
            }
            for row, bit in zip(self.function.rows(), self.function.bits, strict=True)
        ]
        return pd.DataFrame(lines)

    def __str__(self) -> str:
        """The answer with its proof in one sentence."""
        name = cut_short(self.function.name)
        if self.weights is not None:
            left = _weighted_text(self.weights)
            return f"{name} is a threshold function: 1 exactly where {left} > {self.threshold}"
        return (
            f"{name} is not a threshold function: {self.conflict}, rows that are 1 on the left and "
            "as many that are 0 on the right"
        )


def threshold_proof(
    target: BooleanFunction | str, *, n_inputs: int | None = None
) -> ThresholdProof:
    """Whether one unit with a threshold can compute a function, with weights or a proof against it.

    Constants are threshold functions with weights 0. The proof against consists of two ones and two
    zeros with the same sum, if such rows exist.

    Args:
        target: a gate, a formula or a `BooleanFunction` of one output and up to 12 inputs.
        n_inputs: the number of inputs of a gate or a formula; by default as many as it names, at
            least two.

    Raises:
        XorMiError: more inputs, several outputs, or anything but a function.

    >>> print(threshold_proof("x0 & (x1 | x2)"))
    x0 & (x1 | x2) is a threshold function: 1 exactly where 2 x0 + x1 + x2 > 2.5
    >>> proof = threshold_proof("XOR")
    >>> proof.is_threshold, proof.conflict
    (False, '01 + 10 = 00 + 11')
    """
    if n_inputs is not None:
        n_inputs = whole_number("n_inputs", n_inputs, at_least=1)
    function = BooleanFunction.of(target, n_inputs)
    if function.n_outputs != 1:
        raise XorMiError(
            f"{cut_short(function.name)} has {function.n_outputs} outputs; ask for the proof of "
            "each of .outputs"
        )
    conflict = conflict_of(function.bits, function.n_inputs)
    if conflict is not None:
        ones, zeros = conflict
        return _impossible(function, dict.fromkeys(ones, 1), dict.fromkeys(zeros, 1), two=True)
    separated = _separated(function)
    if separated is not None:
        weights, threshold = separated
        return ThresholdProof(
            function=function,
            is_threshold=True,
            weights=weights,
            threshold=threshold,
            ones={},
            zeros={},
            two_asummable=True,
        )
    return _impossible(function, *_same_sums(function), two=False)


def _impossible(
    function: BooleanFunction,
    ones: Mapping[InputRow, int],
    zeros: Mapping[InputRow, int],
    *,
    two: bool,
) -> ThresholdProof:
    """The proof that a function is not a threshold function; `two`: with two rows of each bit."""
    return ThresholdProof(
        function=function,
        is_threshold=False,
        weights=None,
        threshold=None,
        ones=ones,
        zeros=zeros,
        two_asummable=not two,
    )


def _separated(function: BooleanFunction) -> tuple[tuple[int, ...], float] | None:
    """Whole weights and a threshold, tried on every row; None if there are none."""
    import numpy as np
    from scipy.optimize import linprog

    n = function.n_inputs
    rows, bits = np.array(function.rows()), np.array(function.bits)
    # w is the difference of two non-negative halves, so that their sum is the size of all weights;
    # the last column is the threshold: sums of ones are 1/2 above it, those of zeros 1/2 below
    sides = np.where(bits == 1, -1.0, 1.0)[:, None]
    program = linprog(
        np.append(np.ones(2 * n), 0.0),
        A_ub=sides * np.concatenate([rows, -rows, -np.ones((len(rows), 1))], axis=1),
        b_ub=np.full(len(rows), -0.5),
        bounds=[(0, None)] * (2 * n) + [(None, None)],
        method="highs",
    )
    if program.x is None:
        return None
    fractions = program.x[:n] - program.x[n : 2 * n]
    # Rounding moves a sum of n weights by at most n/2, and scaled by n + 1 the gap is n + 1.
    for scale in range(1, n + 2):
        weights = np.round(scale * fractions).astype(np.int64)
        threshold = _threshold_between(rows @ weights, bits)
        if threshold is not None:
            return tuple(weights.tolist()), threshold
    return None


def _threshold_between(totals: "NDArray[int64]", bits: "NDArray[int64]") -> float | None:
    """One half above the largest total of a zero, if the totals of all ones are above that."""
    of_ones, of_zeros = totals[bits == 1], totals[bits == 0]
    cut = int(of_zeros.max()) if len(of_zeros) else int(of_ones.min()) - 1
    return cut + 0.5 if (of_ones > cut).all() else None


def _same_sums(function: BooleanFunction) -> tuple[dict[InputRow, int], dict[InputRow, int]]:
    """As many ones as zeros with the same sum: row -> how many times it is taken.

    Raises:
        XorMiError: the solver's answer did not pass the check.
    """
    import numpy as np

    bits = np.array(function.bits)
    # [equation, row]: every input's sum and the number of rows taken, for ones minus zeros
    equations = np.concatenate([np.array(function.rows()), np.ones((len(bits), 1), dtype=int)], 1)
    equations = equations.T * np.where(bits == 1, 1, -1)
    multipliers = _multipliers(equations, bits)
    if multipliers is not None:
        taken = np.flatnonzero(multipliers > NOT_ZERO).tolist()
        times = _whole_kernel([[int(entry) for entry in line] for line in equations[:, taken]])
        if times is not None and min(times) > 0:
            rows = truth_rows(function.n_inputs)
            pairs = list(zip(taken, times, strict=True))
            ones = {rows[row]: n for row, n in pairs if bits[row] == 1}
            zeros = {rows[row]: n for row, n in pairs if bits[row] == 0}
            return ones, zeros
    raise XorMiError(
        f"the linear programs of {cut_short(function.name)} have no answer that holds in whole "
        "numbers; report the function"
    )


def _multipliers(equations: "NDArray[int64]", bits: "NDArray[int64]") -> "NDArray[float64] | None":
    """The weight of each row so that all equations hold and the ones have 1 in all; None if none.

    It is a vertex: the columns of the rows with a weight depend on one another in only one way.
    """
    import numpy as np
    from scipy.optimize import linprog

    return linprog(
        np.zeros(len(bits)),
        A_eq=np.concatenate([equations, (bits == 1)[None].astype(int)]),
        b_eq=np.append(np.zeros(len(equations)), 1.0),
        bounds=(0, None),
        method="highs-ds",
    ).x


def _whole_kernel(matrix: list[list[int]]) -> list[int] | None:
    """The one direction that a matrix takes to zero, in the smallest whole numbers.

    The last number that is not zero is positive. None if there is no direction, or more than one.
    It is exact, by elimination with fractions.

    >>> _whole_kernel([[2, -3, 0], [0, 1, -2]])
    [3, 2, 1]
    """
    lines = [[Fraction(entry) for entry in line] for line in matrix]
    n_columns = len(matrix[0])
    pivots: list[int] = []
    for column in range(n_columns):
        n_done = len(pivots)
        found = next((k for k in range(n_done, len(lines)) if lines[k][column]), None)
        if found is None:
            continue
        lines[n_done], lines[found] = lines[found], lines[n_done]
        lead = lines[n_done][column]
        pivot = [entry / lead for entry in lines[n_done]]
        lines[n_done] = pivot
        for k, line in enumerate(lines):
            if k != n_done and line[column]:
                factor = line[column]
                lines[k] = [entry - factor * one for entry, one in zip(line, pivot, strict=True)]
        pivots.append(column)
    free = [column for column in range(n_columns) if column not in pivots]
    if len(free) != 1:
        return None
    direction = [Fraction(0)] * n_columns
    direction[free[0]] = Fraction(1)
    for line, column in zip(lines, pivots, strict=False):
        direction[column] = -line[free[0]]
    scale = lcm(*(entry.denominator for entry in direction))
    return [int(entry * scale) for entry in direction]


def _total(weights: tuple[int, ...], row: InputRow) -> int:
    return sum(weight * bit for weight, bit in zip(weights, row, strict=True))


def _weighted_text(weights: tuple[int, ...]) -> str:
    """A weighted sum as people write it.

    >>> _weighted_text((2, 0, -1)), _weighted_text((-1, 3)), _weighted_text((0, 0))
    ('2 x0 - x2', '-x0 + 3 x1', '0')
    """
    text = ""
    for index, weight in enumerate(weights):
        if weight == 0:
            continue
        size = "" if abs(weight) == 1 else f"{abs(weight)} "
        # the first term has its sign close to it, and no sign if it is positive
        first = "-" if weight < 0 else ""
        sign = (" - " if weight < 0 else " + ") if text else first
        text += f"{sign}{size}x{index}"
    return text or "0"
