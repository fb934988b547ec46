"""sets of gates -> can every output be a threshold of the gates and the inputs?

If the inputs reach the outputs, too, no gate is needed to tell two rows apart. A gate is needed for
a conflict: two rows decided 1 and two decided 0 with the same sum of inputs, which no threshold of
the inputs separates. A gate breaks a conflict if its own two sums differ. Sets that break every
conflict are then decided one by one. Either there are integer weights that separate the rows, or
there are integer multiplicities of the rows with 1 and of the rows with 0 for which both sums are
equal. Both are checked in whole numbers, so the result does not rely on the search for weights or
the linear program.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray

from xor_mi.truth import BooleanFunction, truth_rows

STEPS = 300
"""The perceptron rule is tried for so many steps; it finds most weights that there are."""

SETS_AT_ONCE = 1 << 14
"""So many sets are processed in one step."""

WEIGHT_SCALE = 2**20
"""Weights of the linear program, which leave a distance of 1 on either side, are rounded to whole
numbers after they are multiplied by this.
"""

LARGEST_TOTAL = 5000
"""The largest sum of the multiplicities of rows. With up to four inputs and four gates it is at
most the sum of 9 determinants of 0/1 matrices with 9 rows, each below 145.
"""


def conflicts_broken(
    function: BooleanFunction, bits: UInt8[ndarray, "gate row"]
) -> Bool[ndarray, "gate conflict"]:
    """Which gates break which conflict of some output."""
    found = sorted({rows for table in function.tables for rows in _conflicts(table, function)})
    a, b, c, d = np.array(found, dtype=np.int64).reshape(-1, 4).T
    return bits[:, a] + bits[:, b] != bits[:, c] + bits[:, d]


def _conflicts(
    table: tuple[int, ...], function: BooleanFunction
) -> list[tuple[int, int, int, int]]:
    """Two rows with a 1 and two with a 0 that have the same sum, by their numbers.

    No row occurs twice: twice a corner of a cube is not the sum of two other corners.
    """
    rows = np.array(truth_rows(function.n_inputs))
    zeros_of_sum: dict[bytes, list[tuple[int, int]]] = {}
    for pair in combinations(np.flatnonzero(np.equal(table, 0)).tolist(), 2):
        zeros_of_sum.setdefault(rows[list(pair)].sum(axis=0).tobytes(), []).append(pair)
    conflicts = []
    for pair in combinations(np.flatnonzero(table).tolist(), 2):
        for other in zeros_of_sum.get(rows[list(pair)].sum(axis=0).tobytes(), []):
            conflicts.append((*pair, *other))
    return conflicts


def have_direct_readout(
    sets: Int[ndarray, "set unit"],
    function: BooleanFunction,
    bits: UInt8[ndarray, "gate row"],
) -> Bool[ndarray, " set"]:
    """Whether every output is a threshold of the gates and the inputs, set by set."""
    possible = np.ones(len(sets), dtype=bool)
    for table in function.tables:
        for start in range(0, len(sets), SETS_AT_ONCE):
            part = slice(start, start + SETS_AT_ONCE)
            possible[part] &= _are_separated(_signed_points(sets[part], table, bits))
    return possible


def _signed_points(
    sets: Int[ndarray, "set unit"], table: tuple[int, ...], bits: UInt8[ndarray, "gate row"]
) -> Int[ndarray, "set row coordinate"]:
    """Per set and row the inputs, the gates and a 1, all negated where the output is 0.

    Weights separate the rows if they give a positive number on every row.
    """
    n_rows = bits.shape[1]
    rows = np.array(truth_rows(n_rows.bit_length() - 1))
    inputs = np.broadcast_to(rows, (len(sets), *rows.shape))
    gates = bits[sets].transpose(0, 2, 1)
    ones = np.ones((len(sets), n_rows, 1), dtype=np.int64)
    points = np.concatenate([inputs, gates, ones], axis=2).astype(np.int64)
    return points * np.where(table, 1, -1)[:, None]


def _are_separated(points: Int[ndarray, "set row coordinate"]) -> Bool[ndarray, " set"]:
    """Whether there are weights that give a positive number on every row, set by set."""
    separated = np.zeros(len(points), dtype=bool)
    weights = np.zeros((len(points), points.shape[2]), dtype=np.int64)
    open_sets = np.arange(len(points))
    for _ in range(STEPS):
        totals = np.einsum("src,sc->sr", points[open_sets], weights[open_sets])
        worst = totals.argmin(axis=1)
        is_wrong = totals[np.arange(len(worst)), worst] <= 0
        separated[open_sets[~is_wrong]] = True
        open_sets = open_sets[is_wrong]
        if not len(open_sets):
            return separated
        # the perceptron rule: the row that is furthest on the wrong side is added to the weights
        weights[open_sets] += points[open_sets, worst[is_wrong]]
    for number in open_sets:
        separated[number] = _is_separated(points[number])
    return separated


def _is_separated(points: Int[ndarray, "row coordinate"]) -> bool:
    """The same for one set, by two linear programs of which one has a solution (Gordan 1873)."""
    from scipy.optimize import linprog

    n_rows, n_coordinates = points.shape
    program = linprog(
        np.zeros(n_coordinates),
        A_ub=-points,
        b_ub=-np.ones(n_rows),
        bounds=(None, None),
        method="highs",
    )
    if program.x is not None:
        whole = np.rint(program.x * WEIGHT_SCALE).astype(np.int64)
        if (points @ whole > 0).all():
            return True
    # shares of rows that add up to 1 and at which everything cancels
    with_total = np.concatenate([points.T, np.ones((1, n_rows))])
    balance = linprog(
        np.zeros(n_rows), A_eq=with_total, b_eq=np.eye(n_coordinates + 1)[-1], method="highs"
    )
    shares = np.zeros(n_rows) if balance.x is None else balance.x
    times = np.rint(shares * np.arange(1, LARGEST_TOTAL)[:, None]).astype(np.int64)
    cancels = (times >= 0).all(axis=1) & times.any(axis=1) & ((times @ points) == 0).all(axis=1)
    # both are checked in whole numbers, and one of the two always passes
    assert cancels.any()
    return False
