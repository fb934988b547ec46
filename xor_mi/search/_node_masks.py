"""a network -> every set of hidden units that could be its circuit, scored by observation and by
counterfactual patching.

Observation asks whether the units do the task alone; patching asks four things of them, each a
recovered fraction that should be 1. The scores are those of Rios-Sialer's identifiability toy study
(2026): R = (patched - corrupted) / (clean - corrupted) of the output."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from xor_mi.errors import XorMiError
from xor_mi.graph import Subcircuit, Unit
from xor_mi.search._convention import Convention
from xor_mi.search._interchange import (
    interchange_outputs,
    interchanged,
    require_output,
    whole_network,
)
from xor_mi.search._subcircuits import Problem, problem_of
from xor_mi.truth import row_name, truth_rows

MAX_MASKS = 2**14
SCORES = ("sufficiency", "completeness", "necessity", "independence")
"""Clean values put into the set, into the rest; corrupted values put into the set, into the
rest.
"""


def node_masks(
    model: Any, target: Any = None, *, convention: Any = None, output: Any = 0
) -> pd.DataFrame:
    """One row per choice of at least one unit in every hidden layer; all edges among kept units
    stay.

    Columns: units; n_units; whole (every unit is kept); perfect (decides every row right alone);
    n_right_rows; then the mean over all ordered pairs of inputs that the network decides
    differently: sufficiency (clean values into the set restore), completeness (1 - what clean
    values into the rest restore), necessity (1 - what is left with corrupted values in the set) and
    independence (what is left with corrupted values in the rest); and worst, the smallest of the
    four over all pairs, with worst_pair.

    >>> from xor_mi.handmade import textbook_xor
    >>> node_masks(textbook_xor())[["units", "perfect", "sufficiency", "independence"]].values.tolist()
    [['h0.0', False, 0.0, 0.0], ['h0.1', False, 1.0, 1.0], ['h0.0 h0.1', True, 1.0, 1.0]]

    Raises:
        XorMiError: no target, a network that decides all inputs alike, or more than `MAX_MASKS`
            sets.
    """
    convention = Convention.of(convention)
    setting = problem_of(model, target, convention)
    require_output(model, output)
    widths = model.layer_sizes[1:-1]
    if np.prod([2.0**width - 1 for width in widths]) > MAX_MASKS:
        raise XorMiError(
            f"{np.prod([2.0**width - 1 for width in widths]):.0f} sets of units; at most {MAX_MASKS} are scored"
        )
    masks = np.array(
        [
            sum(choice, ())
            for choice in product(*(list(product((0, 1), repeat=width))[1:] for width in widths))
        ],
        dtype=bool,
    )
    whole = whole_network(model)
    rows = np.arange(2**model.cfg.d_in)
    nobody = np.zeros_like(masks[:1])
    plain = interchange_outputs(setting, whole, nobody, (rows, rows))[0][0, :, output]
    decided = interchanged(setting, whole, nobody, (rows, rows))[0, :, output]
    clean, corrupted = np.nonzero(
        (decided[:, None] != decided) & (decided[:, None] >= 0) & (decided >= 0)
    )
    if not len(clean):
        raise XorMiError("the network decides all inputs alike, so there is nothing to restore")

    def fraction(units: np.ndarray, base: np.ndarray, source: np.ndarray) -> np.ndarray:
        outputs, _ = interchange_outputs(setting, whole, units, (base, source))
        return (outputs[..., output] - plain[corrupted]) / (plain[clean] - plain[corrupted])

    scores = np.stack(
        [fraction(masks, corrupted, clean), 1 - fraction(~masks, corrupted, clean),
         1 - fraction(masks, clean, corrupted), fraction(~masks, clean, corrupted)]
    )  # fmt: skip
    names = [row_name(row) for row in truth_rows(model.cfg.d_in)]
    units, found = model.units, []
    for mask, score in zip(masks, scores.transpose(1, 0, 2), strict=True):
        kept = [unit for unit, on in zip(units, mask, strict=True) if on]
        right = _right_rows(setting, _induced(model.layer_sizes, kept))
        worst = int(score.min(0).argmin())
        found.append(
            (
                " ".join(unit.name for unit in kept),
                len(kept),
                len(kept) == len(units),
                bool(right.all()),
                int(right.sum()),
                *(score.mean(1) + 0.0).tolist(),
                float(score.min() + 0.0),
                f"clean {names[clean[worst]]}, corrupted {names[corrupted[worst]]}",
            )
        )
    return pd.DataFrame(
        found,
        columns=[
            "units",
            "n_units",
            "whole",
            "perfect",
            "n_right_rows",
            *SCORES,
            "worst",
            "worst_pair",
        ],
    ).sort_values(["n_units", "units"], ignore_index=True)


def _induced(layer_sizes: tuple[int, ...], kept: list[Unit]) -> Subcircuit:
    """These hidden units with every edge among them, inputs and outputs."""
    alive = [
        range(layer_sizes[0]),
        *([u.index for u in kept if u.layer == layer] for layer in range(len(layer_sizes) - 2)),
    ]
    sources = [
        tuple(tuple(before) if target in after else () for target in range(size))
        for before, after, size in zip(
            alive, [*alive[1:], range(layer_sizes[-1])], layer_sizes[1:], strict=True
        )
    ]
    return Subcircuit(layer_sizes, tuple(sources))


def _right_rows(setting: Problem, part: Subcircuit) -> np.ndarray:
    """Which rows a subcircuit decides right, all outputs, [row]."""
    values = setting.rows
    for number, (weight, bias) in enumerate(setting.kept(part)):
        values = setting.activate(values @ weight.T + bias, number)
    return np.asarray(((values > setting.low) & (values < setting.high)).all(1))
