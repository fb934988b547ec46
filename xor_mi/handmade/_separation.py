"""points and the side each must lie on -> the weights of one unit that separates them, or the proof
that none does.

A linear program: the least total |weight| + |bias| for which w.x + b is at least 1 on the ones and
at most -1 on the zeros. On 0/1 points such weights are small, mostly whole numbers. HiGHS decides
feasibility, so None means that no line, plane, ... separates the points."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import linprog


def separating_weights(
    points: Float[ndarray, "point d_in"], bits: Int[ndarray, " point"]
) -> tuple[Float[ndarray, " d_in"], float] | None:
    """The smallest w, b with w.x + b >= 1 where the bit is 1 and <= -1 where it is 0; None if there
    are none.

    >>> separating_weights(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 0, 0, 1]))
    (array([2., 2.]), -3.0)
    """
    signed = np.where(bits == 1, -1.0, 1.0)[:, None] * np.concatenate(
        [points, np.ones((len(points), 1))], axis=1
    )
    n = signed.shape[1]
    found = linprog(
        np.ones(2 * n),
        A_ub=np.concatenate([signed, -signed], axis=1),
        b_ub=-np.ones(len(points)),
        method="highs",
    )
    if found.x is None:
        return None
    exact = found.x[:n] - found.x[n:]
    for factor in (
        1,
        2,
        3,
        4,
        5,
        6,
    ):  # a vertex of the program is rational; print it as one where that loses nothing
        rounded = np.round(exact * factor) / factor
        if np.abs(rounded - exact).max() < 1e-7 and (signed @ rounded <= -1 + 1e-9).all():
            exact = rounded
            break
    return exact[:-1] + 0.0, float(exact[-1])
