"""model + two inputs -> what happens on the straight way from one to the other: the input modified
gradually.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.geometry._brackets import TOLERANCE, bracketed_changes
from xor_mi.geometry._pieces import Pieces, decision_changes, follow, is_piecewise_linear
from xor_mi.graph import Unit, layers_of
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.truth import as_row
from xor_mi.values import forward_float64


@dataclass(frozen=True)
class Kink:
    """A place on the way where units turn on or off: t from 0 (start) to 1 (end), the input there,
    and the units.
    """

    t: float
    input: tuple[float, ...]
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class DecisionChange:
    """A place on the way where an output is decided differently before and after; -1 is
    undecided.
    """

    t: float
    input: tuple[float, ...]
    output: int
    before: int
    after: int


@dataclass(frozen=True, eq=False)
class InputPath:
    """A network along the straight way from one input to another.

    Attributes:
        t: where it was evaluated, from 0 to 1: an even grid, and every kink and change.
        inputs, outputs: the input and the output at each t.
        kinks: where units turn on or off, in order; empty for smooth activations, which have none.
        changes: where decisions change, in order.
        tolerance: 0 where kinks and changes are exact (up to float64 rounding); else how close two
            changes may be and be missed.
    """

    start: tuple[float, ...]
    end: tuple[float, ...]
    t: Float[Tensor, " n"] = field(repr=False)
    inputs: Float[Tensor, "n d_in"] = field(repr=False)
    outputs: Float[Tensor, "n d_out"] = field(repr=False)
    kinks: tuple[Kink, ...]
    changes: tuple[DecisionChange, ...]
    threshold: float
    tolerance: float

    def frame(self) -> pd.DataFrame:
        """One line per t: t, x0, x1, ..., y0, y1, ..."""
        columns = {"t": self.t.tolist()} | {
            f"x{i}": column.tolist() for i, column in enumerate(self.inputs.T)
        }
        return pd.DataFrame(
            columns | {f"y{k}": column.tolist() for k, column in enumerate(self.outputs.T)}
        )


@torch.no_grad()
def path(model: Any, start: Any, end: Any, *, n_points: Any = 101) -> InputPath:
    """Walk straight from one input to another: exact kinks, the exact places where a decision
    changes, values in between.

    Args:
        start, end: inputs as bits ('01') or as real numbers, one per input; any number of inputs.
        n_points: how many evenly spaced points are evaluated besides.

    >>> from xor_mi.handmade import textbook_xor
    >>> walk = path(textbook_xor(), "00", "11")
    >>> [(kink.t, kink.units) for kink in walk.kinks], [(change.t, change.before, change.after) for change in walk.changes]
    ([(0.5, (h0.1,))], [(0.25, 0, 1), (0.75, 1, 0)])

    Raises:
        XorMiError: ends that are no inputs of this network or are the same, fewer than 2 points,
            hooks, train mode, weights not finite.
    """
    require_plain_mlp(model, "a path")
    ends = [_as_point(point, model.cfg.d_in) for point in (start, end)]
    if ends[0] == ends[1]:
        raise XorMiError(f"the path starts and ends at {list(ends[0])}; give two different inputs")
    if isinstance(n_points, bool) or not isinstance(n_points, int) or n_points < 2:
        raise XorMiError(f"n_points is {n_points!r}; give at least 2")
    origin, step = np.array(ends[0]), np.array(ends[1]) - np.array(ends[0])
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    offset, slope = (weight @ origin + bias)[None], (weight @ step)[None]
    slope[np.abs(slope) <= 1e-12 * (np.abs(weight) @ np.abs(step))] = 0
    if is_piecewise_linear(model):
        pieces = follow(model, 0, offset, slope, 0.0, 1.0)
        changes, tolerance, turns = decision_changes(pieces), 0.0, _turns(model, pieces)
    else:
        changes, tolerance, turns = (
            bracketed_changes(model, 0, offset, slope, np.linspace(0, 1, 65)),
            TOLERANCE,
            [],
        )
    special = [t for t, _ in turns] + changes.t.tolist()
    grid = torch.tensor(
        sorted({*np.linspace(0, 1, n_points).tolist(), *special}), dtype=torch.float64
    )
    inputs = torch.from_numpy(origin) + grid[:, None] * torch.from_numpy(step)

    def at(t: float) -> tuple[float, ...]:
        return tuple((origin + t * step).tolist())

    return InputPath(
        start=ends[0],
        end=ends[1],
        t=grid,
        inputs=inputs,
        outputs=forward_float64(model, inputs)[-1].post,
        kinks=tuple(Kink(t, at(t), units) for t, units in turns),
        changes=tuple(
            DecisionChange(t, at(t), k, before, after)
            for t, k, before, after in sorted(
                zip(
                    changes.t.tolist(),
                    changes.output.tolist(),
                    changes.before.tolist(),
                    changes.after.tolist(),
                    strict=True,
                )
            )
        ),
        threshold=model.threshold,
        tolerance=tolerance,
    )


def _turns(model: HookedMLP, pieces: Pieces) -> list[tuple[float, tuple[Unit, ...]]]:
    """Between which neighbouring pieces of one line which units turn on or off."""
    units = [unit for layer in layers_of(model.layer_sizes)[1:] for unit in layer]
    found = []
    for t, before, after in zip(pieces.low[1:].tolist(), pieces.on, pieces.on[1:], strict=False):
        turned = tuple(units[k] for k in np.nonzero(before != after)[0])
        if turned:
            found.append((t, turned))
    return found


def _as_point(point: Any, d_in: int) -> tuple[float, ...]:
    if isinstance(point, str):
        return tuple(float(bit) for bit in as_row(point, d_in))
    try:
        values = torch.as_tensor(point, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(
            f"{point!r} is no input; give {d_in} numbers, or bits such as '{'01' * d_in:.{d_in}}'"
        ) from None
    if values.shape != (d_in,) or not torch.isfinite(values).all():
        raise XorMiError(f"{point!r} is no input; this network takes {d_in} finite numbers")
    return tuple(values.tolist())
