"""a problem -> the scores that decide it, each a sum of what the last hidden layer adds to outputs.

On every row each score must lie between two numbers. With a threshold each output is a score; if
the largest output wins, its lead over each of the others is a score.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xor_mi.errors import XorMiError
from xor_mi.search._problem import Numbers, Problem


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores and their bounds, one column for every score on every row.

    Attributes:
        signs: the coefficient of each output in the score, [column, output].
        rows: the row of the problem that the score belongs to, [column].
        low: what the score must lie strictly above, [column].
        high: what the score must lie strictly below, [column].
    """

    signs: Numbers
    rows: np.ndarray
    low: Numbers
    high: Numbers

    @classmethod
    def of(cls, problem: Problem) -> "Scores":
        """The scores that must be right, before the output's activation.

        Raises:
            XorMiError: an output activation that is not increasing, or any output activation if
                outputs are compared.
        """
        if problem.model.rule.name == "threshold":
            return cls._of_outputs(problem)
        name = problem.model.cfg.out_act_fn
        if name != "identity":
            raise XorMiError(
                f"the output activation {name} cannot be undone in a difference of two outputs; "
                "use find_subcircuits"
            )
        if problem.sizes[-1] == 2:
            return cls._of_difference(problem)
        return cls._of_the_largest(problem)

    @classmethod
    def _of_outputs(cls, problem: Problem) -> "Scores":
        n_rows, n_outputs = problem.low.shape
        low, high = _before_activation(problem)
        return cls(
            signs=np.repeat(np.eye(n_outputs), n_rows, axis=0),
            rows=np.tile(np.arange(n_rows), n_outputs),
            low=low.T.reshape(-1),
            high=high.T.reshape(-1),
        )

    @classmethod
    def _of_difference(cls, problem: Problem) -> "Scores":
        n_rows = len(problem.rows)
        return cls(
            signs=np.tile([-1.0, 1.0], (n_rows, 1)),
            rows=np.arange(n_rows),
            low=problem.low[:, 0],
            high=problem.high[:, 0],
        )

    @classmethod
    def _of_the_largest(cls, problem: Problem) -> "Scores":
        """The output that must win, minus each of the others; a tie is not decided."""
        n_outputs = problem.sizes[-1]
        signs: list[Numbers] = []
        rows: list[int] = []
        low: list[float] = []
        for row, labels in enumerate(problem.labels):
            winners = np.flatnonzero(labels)
            # no output should win, or several, which is impossible: nothing is above infinity
            if len(winners) != 1:
                winners = np.array([0])
            (winner,) = winners
            possible = labels.sum() == 1
            for other in range(n_outputs):
                if other != winner:
                    signs.append(np.eye(n_outputs)[winner] - np.eye(n_outputs)[other])
                    rows.append(row)
                    low.append(problem.low[row, winner] if possible else np.inf)
        return cls(
            signs=np.array(signs),
            rows=np.array(rows),
            low=np.array(low),
            high=np.full(len(rows), np.inf),
        )


def _before_activation(problem: Problem) -> tuple[Numbers, Numbers]:
    """The bounds on each output before its activation function, [row, output] each."""
    name = problem.model.cfg.out_act_fn
    slope = problem.model.cfg.negative_slope
    inverses: dict[str, Callable[[Numbers], Numbers]] = {
        "identity": lambda y: y,
        "leaky_relu": lambda y: np.where(y > 0, y, y / slope),
        "tanh": _inverse_tanh,
        "sigmoid": _inverse_sigmoid,
        "softplus": _inverse_softplus,
        "elu": _inverse_elu,
    }
    if name not in inverses or (name == "leaky_relu" and slope <= 0):
        raise XorMiError(f"the output activation {name} cannot be undone; use find_subcircuits")
    # a bound that no output reaches divides by zero; `np.where` then puts infinity there
    with np.errstate(invalid="ignore", divide="ignore"):
        return inverses[name](problem.low), inverses[name](problem.high)


def _inverse_tanh(y: Numbers) -> Numbers:
    """What is never reached lies at infinity."""
    inside = np.arctanh(np.clip(y, -1, 1))
    return np.where(y <= -1, -np.inf, np.where(y >= 1, np.inf, inside))


def _inverse_sigmoid(y: Numbers) -> Numbers:
    """What is never reached lies at infinity."""
    inside = np.log(np.clip(y, 0, 1) / np.clip(1 - y, 0, 1))
    return np.where(y <= 0, -np.inf, np.where(y >= 1, np.inf, inside))


def _inverse_softplus(y: Numbers) -> Numbers:
    """What is never reached lies at infinity."""
    return np.where(y <= 0, -np.inf, y + np.log(-np.expm1(-np.abs(y))))


def _inverse_elu(y: Numbers) -> Numbers:
    """What is never reached lies at infinity."""
    below = np.where(y <= -1, -np.inf, np.log1p(np.clip(y, -1, 0)))
    return np.where(y > 0, y, below)
