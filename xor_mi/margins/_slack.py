"""a network -> how far each weight may move alone before a decision changes."""

from math import inf, prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from xor_mi.errors import XorMiError
from xor_mi.geometry._brackets import CHANGE_RESOLUTION, bracketed_changes
from xor_mi.geometry._pieces import Changes, decision_changes, follow, is_piecewise_linear
from xor_mi.handmade._edits import entries
from xor_mi.metrics import decision
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.truth import row_name
from xor_mi.values import forward_float64

LIMIT = 2.0**20
"""How far a weight of a network with smooth units is moved in search of a flip."""
_STEPS = 2.0 ** np.arange(-2, 21)
_EDGES = np.concatenate([-_STEPS[::-1], [0.0], _STEPS])


@torch.no_grad()
def slack_to_flip(
    model: Any, parameter: Any = None, *, rows: Any = None, progress: bool = True
) -> pd.DataFrame:
    """How far each weight may move alone, up and down, before a decision on an input row changes.

    Args:
        parameter: one entry, named as in `edit`, or a whole tensor; all by default.
        rows: the input rows watched; all by default.
        progress: a bar, where there is more than a second of work.

    Returns one line per parameter: parameter, value, lower and upper (the open interval of values
    that keep every decision; infinite where no value changes one), down = value - lower, up = upper
    - value, slack (the smaller of the two), row_lower and output_lower (whose decision changes
    first at the lower end; several rows are joined by ', '), row_upper and output_upper. Decisions
    are those of the float64 weights; an undecided row that stays undecided has not changed.

    Units that are piecewise linear, and any weight of the last layer: exact up to float64 rounding
    (an output is piecewise affine in one weight). Weights before smooth units (tanh, sigmoid,
    gelu): a flip is located to about 1e-12, one that flips back within 1e-9 (times the move, where
    that is above 1) may be missed, and moves beyond `LIMIT` (2^20) are not tried.
    `frame.attrs["tolerance"]` is 0 or 1e-9.

    >>> from xor_mi.handmade import textbook_xor
    >>> slack_to_flip(textbook_xor(), "fc1.bias[1]")[["lower", "upper", "row_lower", "row_upper"]].values.tolist()
    [[-1.25, -0.75, '11', '01, 10']]

    Raises:
        XorMiError: a parameter the network does not have, rows that are no bits, hooks, train mode,
            weights that are not finite.
    """
    require_plain_mlp(model, "the slack of a weight")
    asked = entries(model, parameter)
    bits = model.read_rows(rows)
    if not bits:
        raise XorMiError("rows is empty; name the input rows to watch, or leave it out for all")
    names = [row_name(row) for row in bits]
    layers = forward_float64(model, torch.tensor(bits).reshape(-1, model.cfg.d_in))
    decided = decision(layers[-1].post, model.threshold).numpy()
    lines = []
    slow = len(asked) * len(bits) * prod(model.cfg.d_hidden) > 20_000
    for entry in tqdm(
        asked, desc="slack", unit="weight", disable=None if progress and slow else True
    ):
        layer, unit, source = entry.layer, entry.unit, entry.source
        pre = layers[layer].pre.numpy()
        slope = np.zeros_like(pre)
        slope[:, unit] = 1.0 if source is None else layers[layer].inputs[:, source].numpy()
        moved = np.nonzero(slope[:, unit])[0]  # rows on which this weight does anything
        if is_piecewise_linear(model, layer):
            changes = decision_changes(follow(model, layer, pre[moved], slope[moved]))
        else:
            changes = bracketed_changes(
                model, layer, pre[moved], slope[moved], _EDGES, progress=False
            )
        linear = model.float64_layers()[layer]
        value = (linear[1][unit] if source is None else linear[0][unit, source]).item()
        down, *lower = _first(changes, moved, names, decided, -1)
        up, *upper = _first(changes, moved, names, decided, 1)
        ends = dict(
            zip(
                ("row_lower", "output_lower", "row_upper", "output_upper"),
                (*lower, *upper),
                strict=True,
            )
        )
        moves = {
            "lower": value - down,
            "upper": value + up,
            "down": down,
            "up": up,
            "slack": min(down, up),
        }
        lines.append({"parameter": entry.name, "value": value} | moves | ends)
    frame = pd.DataFrame(lines)
    frame.attrs["tolerance"] = 0.0 if is_piecewise_linear(model) else CHANGE_RESOLUTION
    return frame


def _first(
    changes: Changes, moved: Any, names: list[str], decided: Any, side: int
) -> tuple[float, str, str]:
    """The nearest change on one side of t = 0: how far, on which rows and outputs ('' where there
    is none).
    """
    t = side * changes.t
    here = (
        np.abs(t) <= CHANGE_RESOLUTION
    )  # at t = 0 itself: an output on the threshold is decided by any move that takes it off
    t = np.where(here, 0.0, t)
    before = decided[moved[changes.case], changes.output]
    beyond = changes.after if side > 0 else changes.before
    valid = (t > 0) | (here & (beyond != before))
    if not valid.any():
        return inf, "", ""
    nearest = t[valid].min()
    first = valid & (t <= nearest + CHANGE_RESOLUTION * max(1.0, nearest))
    rows = dict.fromkeys(names[k] for k in sorted(moved[changes.case[first]]))
    return (
        float(nearest),
        ", ".join(rows),
        ", ".join(f"y{k}" for k in sorted(set(changes.output[first].tolist()))),
    )
