"""Which functions networks n-1-1 with a single hidden unit can compute, with proofs.

The network decides whether c * act(w . x + b) + d lies above a threshold. Where act never falls
(relu, leaky_relu with a slope of at least 0, tanh, sigmoid, ...), this is monotone along w: all
inputs on one side of a hyperplane are decided alike, so the network is a threshold function.

A function is one if it has weights that realise it. It is not one if it is not 2-asummable: if two
inputs decided 1 and two decided 0 have the same sum. The pre-activation is affine, so both pairs
then have the same total, yet one pair lies above every point of the other. For XOR, 01 + 10 = 00 +
11. These two proofs settle all functions of up to three inputs (Muroga 1971: of at most eight
inputs, the threshold functions are exactly the 2-asummable ones).
"""

from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from xor_mi.errors import XorMiError
from xor_mi.truth._asummable import Conflict, conflict_of, conflict_text
from xor_mi.truth._function import BooleanFunction
from xor_mi.truth._gates import row_name, truth_rows

if TYPE_CHECKING:
    import pandas as pd

MONOTONE_ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "relu6",
    "hardtanh",
    "hardsigmoid",
    "tanh",
    "sigmoid",
    "elu",
    "identity",
    "heaviside",
    "sign",
)
"""Activations that never fall.

gelu, gelu_tanh and silu dip below zero. PyTorch's softplus falls by 2e-9 at 20, where it switches
to the identity.
"""

MAX_INPUTS_LISTED = 3
"""More inputs have too many functions to list, and small weights do not reach all of them."""

LARGEST_WEIGHT = 2
"""Whole weights from -2 to 2 reach every threshold function of up to three inputs."""


def threshold_functions(n_inputs: int = 2, *, act_fn: str = "relu") -> "pd.DataFrame":
    """Every Boolean function of n inputs: can one hidden unit compute it, and the proof.

    Columns: function, table, possible, weights and threshold (of a unit that is above the threshold
    where the table is 1; None and NaN if impossible), conflict (the sums that show it is not
    2-asummable: two rows decided 1 and two decided 0 with the same sum; "" if possible).

    Raises:
        XorMiError: more than three inputs, or an activation that is not monotone: gelu dips below
            zero, and one gelu unit can do XOR; so can one of silu.

    >>> proof = threshold_functions()
    >>> int(proof["possible"].sum())
    14
    >>> proof[~proof["possible"]][["function", "conflict"]].values.tolist()
    [['XOR', '01 + 10 = 00 + 11'], ['XNOR', '00 + 11 = 01 + 10']]
    """
    if act_fn not in MONOTONE_ACTIVATIONS:
        raise XorMiError(
            "the argument needs an activation that never falls: "
            f"{', '.join(MONOTONE_ACTIVATIONS)}; not {act_fn!r}"
        )
    is_whole = isinstance(n_inputs, int) and not isinstance(n_inputs, bool)
    if not is_whole or not 1 <= n_inputs <= MAX_INPUTS_LISTED:
        raise XorMiError(
            f"n_inputs is {n_inputs!r}; the functions of 1 to {MAX_INPUTS_LISTED} inputs are "
            "listed: ask threshold_proof about a single function of more"
        )
    import pandas as pd  # here, so that truth tables need no pandas

    realised = _realised(n_inputs)
    lines: list[dict[str, object]] = []
    # all 2^(2^n) tables
    for table in product((0, 1), repeat=2**n_inputs):
        conflict = conflict_of(table, n_inputs)
        # the two proofs exclude each other, and up to three inputs one of them exists
        assert (table in realised) != (conflict is not None)
        weights, threshold = realised.get(table, (None, None))
        lines.append(
            {
                "function": BooleanFunction(n_inputs, (table,)).name,
                "table": row_name(table),
                "possible": conflict is None,
                "weights": weights,
                "threshold": threshold,
                "conflict": "" if conflict is None else _written(conflict),
            }
        )
    return pd.DataFrame(lines).astype({"weights": object, "threshold": object})


@cache
def _realised(n_inputs: int) -> dict[tuple[int, ...], tuple[tuple[int, ...], float]]:
    """Truth table -> the smallest whole weights that compute it, and a threshold between two
    sums."""
    realised: dict[tuple[int, ...], tuple[tuple[int, ...], float]] = {}
    all_weights = product(range(-LARGEST_WEIGHT, LARGEST_WEIGHT + 1), repeat=n_inputs)
    # smallest first, and setdefault keeps the first
    for weights in sorted(all_weights, key=lambda weights: sum(map(abs, weights))):
        sums = [_dot(weights, row) for row in truth_rows(n_inputs)]
        # above each sum, and once below all of them
        for cut in sorted({min(sums) - 1, *sums}):
            table = tuple(int(total > cut) for total in sums)
            realised.setdefault(table, (weights, cut + 0.5))
    return realised


def _written(conflict: Conflict) -> str:
    """The two sums that are the same: "01 + 10 = 00 + 11"."""
    ones, zeros = conflict
    return conflict_text(dict.fromkeys(ones, 1), dict.fromkeys(zeros, 1))


def _dot(weights: tuple[int, ...], row: tuple[int, ...]) -> int:
    return sum(weight * bit for weight, bit in zip(weights, row, strict=True))
