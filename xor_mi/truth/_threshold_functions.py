"""Why one hidden unit is not enough: every function that n-1-1 networks can compute, each with a
proof that they can or cannot.

The network decides whether c * act(w . x + b) + d lies above a threshold. Where act never falls
(relu, leaky_relu with a slope of at least 0, tanh, sigmoid, identity, heaviside), this is monotone
along w: all inputs on one side of a hyperplane are decided alike, so the network is a threshold
function. A function is one if it has weights that realise it, and it is none if two inputs decided
1 and two decided 0 have the same sum: the pre-activation is affine, so both pairs have the same
total, yet one pair lies above every point of the other. For XOR, 01 + 10 = 00 + 11. That is enough
for up to three inputs (Muroga 1971: every function of at most eight inputs that is no threshold
function has such pairs)."""

from functools import cache
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, Any

from xor_mi.errors import XorMiError
from xor_mi.truth._function import BooleanFunction
from xor_mi.truth._gates import row_name, truth_rows

if TYPE_CHECKING:
    import pandas as pd

MONOTONE = ("relu", "leaky_relu", "tanh", "sigmoid", "identity", "heaviside")
"""Activations that never fall; gelu dips below zero."""
MAX_INPUTS = 3

_Table = tuple[int, ...]


def threshold_functions(n_inputs: int = 2, *, act_fn: str = "relu") -> "pd.DataFrame":
    """Every Boolean function of n inputs: can a network with one hidden unit compute it, and the
    proof.

    Columns: function, table, possible, weights and threshold (of a unit that is above the threshold
    where the table is 1; None if impossible), conflict (two rows decided 1 and two decided 0 with
    the same sum; "" if possible).

    >>> proof = threshold_functions()
    >>> int(proof["possible"].sum()), proof[~proof["possible"]][["function", "conflict"]].values.tolist()
    (14, [['XOR', '01 + 10 = 00 + 11'], ['XNOR', '00 + 11 = 01 + 10']])

    Raises:
        XorMiError: more than three inputs, or an activation that is not monotone: gelu dips below
            zero, and one gelu unit can do XOR.
    """
    if act_fn not in MONOTONE:
        raise XorMiError(
            f"the argument needs an activation that never falls: {', '.join(MONOTONE)}; not {act_fn!r}"
        )
    if (
        isinstance(n_inputs, bool)
        or not isinstance(n_inputs, int)
        or not 1 <= n_inputs <= MAX_INPUTS
    ):
        raise XorMiError(
            f"n_inputs is {n_inputs!r}; the functions of 1 to {MAX_INPUTS} inputs are listed"
        )
    import pandas as pd  # here, so that truth tables need no pandas

    lines = []
    for table in product((0, 1), repeat=2**n_inputs):
        witness, pairs = _witnesses(n_inputs).get(table), _conflict(table, n_inputs)
        assert (witness is None) != (pairs is None)  # each function has exactly one of the two
        line: dict[str, Any] = {
            "function": BooleanFunction(n_inputs, (table,)).name,
            "table": row_name(table),
            "possible": pairs is None,
        }
        line |= {"weights": witness and witness[0], "threshold": witness and witness[1]}
        lines.append(
            line
            | {
                "conflict": " = ".join(" + ".join(map(row_name, pair)) for pair in pairs)
                if pairs
                else ""
            }
        )
    return pd.DataFrame(lines).astype({"weights": object, "threshold": object})


@cache
def _witnesses(n_inputs: int) -> dict[_Table, tuple[tuple[int, ...], float]]:
    """Table -> whole weights and a threshold halfway between two values; the smallest weights that
    do it.
    """
    found: dict[_Table, tuple[tuple[int, ...], float]] = {}
    for weights in sorted(product(range(-2, 3), repeat=n_inputs), key=lambda w: sum(map(abs, w))):
        sums = [
            sum(w * bit for w, bit in zip(weights, row, strict=True))
            for row in truth_rows(n_inputs)
        ]
        for value in sorted({min(sums) - 1, *sums}):
            found.setdefault(tuple(int(total > value) for total in sums), (weights, value + 0.5))
    return found


def _conflict(table: _Table, n_inputs: int) -> tuple[tuple[Any, Any], tuple[Any, Any]] | None:
    """Two rows that are 1 and two that are 0 with the same sum."""
    rows, sums = truth_rows(n_inputs), {}
    for bit in (1, 0):
        for a, b in combinations_with_replacement(
            [row for row, value in zip(rows, table, strict=True) if value == bit], 2
        ):
            total = tuple(x + y for x, y in zip(a, b, strict=True))
            if bit == 0 and total in sums:
                return sums[total], (a, b)
            if bit == 1:
                sums.setdefault(total, (a, b))
    return None
