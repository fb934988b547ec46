"""points and the side of each -> the weights of one unit that separates them, or None.

A linear program: the least total |weight| + |bias| for which w.x + b is at least 1 on the ones and
at most -1 on the zeros. On 0/1 points such weights are small, mostly whole numbers. HiGHS decides
feasibility, so None means that no line, plane, ... separates the points.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import linprog

SAME_VERTEX = 1e-7
"""The precision of HiGHS: a fraction nearer to a vertex than this may be the exact solution.

It is absolute, as HiGHS' own tolerances are: callers give points whose coordinates are of size 1,
and the distance of 1 that is asked for is the program's unit.
"""

SEPARATES_WITHIN = 1e-9
"""Fractions meet the conditions this closely, in parts of that 1: only their sums are rounded."""

LARGEST_DENOMINATOR = 6
"""A vertex of the program is rational; it is searched among fractions with these denominators."""


def separating_weights(
    points: Float[ndarray, "point d_in"], bits: Int[ndarray, " point"]
) -> tuple[Float[ndarray, " d_in"], float] | None:
    """The smallest w, b with w.x + b >= 1 where the bit is 1 and <= -1 where it is 0.

    None if there are none.

    Args:
        points: coordinates of size 1, or nearly.

    >>> separating_weights(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 0, 0, 1]))
    (array([2., 2.]), -3.0)
    """
    with_one = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    # One row per point: row @ (w, b) <= -1 says that it lies on its side.
    sides = np.where(bits == 1, -1.0, 1.0)[:, None] * with_one
    n = sides.shape[1]
    # (w, b) is the difference of two non-negative halves, so that their sum is |w| + |b|.
    program = linprog(
        np.ones(2 * n),
        A_ub=np.concatenate([sides, -sides], axis=1),
        b_ub=-np.ones(len(points)),
        method="highs",
    )
    if program.x is None:
        return None
    vertex = _as_fractions(program.x[:n] - program.x[n:], sides)
    return vertex[:-1] + 0.0, float(vertex[-1])  # + 0.0, so that no weight is written -0.0


def _as_fractions(
    vertex: Float[ndarray, " n"], sides: Float[ndarray, "point n"]
) -> Float[ndarray, " n"]:
    """A vertex as exact fractions, if these meet the conditions too."""
    for denominator in range(1, LARGEST_DENOMINATOR + 1):
        rounded = np.round(vertex * denominator) / denominator
        still_separates = (sides @ rounded <= -1 + SEPARATES_WITHIN).all()
        if np.abs(rounded - vertex).max() < SAME_VERTEX and still_separates:
            return rounded
    return vertex
