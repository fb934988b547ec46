"""model + two inputs -> what happens on the straight way from one to the other.

The input modified gradually.
"""

from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, whole_number
from xor_mi.finding import Finding
from xor_mi.geometry._brackets import CHANGE_RESOLUTION, bracketed_changes
from xor_mi.geometry._pieces import (
    Changes,
    Pieces,
    decision_changes,
    follow,
    is_piecewise_linear,
    without_rounding,
)
from xor_mi.graph import Unit, layers_of
from xor_mi.kinds import Row
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.truth import as_row
from xor_mi.values import forward_float64

N_BRACKETS = 64
"""Smooth units: the path is searched for changes in so many equal parts to begin with."""


@dataclass(frozen=True)
class Kink:
    """A place on the way where units turn on or off.

    t runs from 0 (start) to 1 (end); `input` is the input there.
    """

    t: float
    input: tuple[float, ...]
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class DecisionChange:
    """A place on the way where an output is decided differently before and after.

    Decisions are 1, 0, or -1 for undecided.
    """

    t: float
    input: tuple[float, ...]
    output: int
    before: int
    after: int


@dataclass(frozen=True, eq=False)
class InputPath(Finding):
    """A network along the straight way from one input to another.

    Attributes:
        t: where it was evaluated, from 0 to 1: an even grid, and every kink and change.
        inputs, outputs: the input and the output at each t.
        units, values: every unit (inputs, hidden units, outputs), and its value after its
            activation at each t.
        kinks: where units turn on or off, in order; empty for smooth activations, which have none.
        changes: where decisions change, in order.
        threshold: what the outputs are decided at.
        tolerance: 0 where kinks and changes are in closed form (up to float64 rounding); else how
            close two changes may be and be missed.
    """

    start: tuple[float, ...]
    end: tuple[float, ...]
    t: Float[Tensor, " n"] = field(repr=False)
    inputs: Float[Tensor, "n d_in"] = field(repr=False)
    outputs: Float[Tensor, "n d_out"] = field(repr=False)
    units: tuple[Unit, ...] = field(repr=False)
    values: Float[Tensor, "n unit"] = field(repr=False)
    kinks: tuple[Kink, ...]
    changes: tuple[DecisionChange, ...]
    threshold: float
    tolerance: float

    def frame(self) -> pd.DataFrame:
        """One line per t: t, x0, x1, ..., y0, y1, ..."""
        columns = {"t": self.t.tolist()}
        columns |= {f"x{i}": column.tolist() for i, column in enumerate(self.inputs.T)}
        columns |= {f"y{k}": column.tolist() for k, column in enumerate(self.outputs.T)}
        return pd.DataFrame(columns)


@torch.no_grad()
def path(
    model: HookedMLP, start: Row, end: Row, *, n_points: int = 101, progress: bool = True
) -> InputPath:
    """Walk straight from one input to another.

    Reports where units turn on or off, where a decision changes, and the values in between.

    Kinks and changes are in closed form for piecewise linear units; `tolerance` says how near
    together changes may be for the others.

    Args:
        start, end: inputs as bits ('01') or as real numbers, one per input; any number of inputs.
        n_points: how many evenly spaced points are evaluated besides.
        progress: a bar, where the work takes over two seconds.

    >>> from xor_mi.handmade import textbook_xor
    >>> walk = path(textbook_xor(), "00", "11")
    >>> [(kink.t, kink.units) for kink in walk.kinks]
    [(0.5, (h0.1,))]
    >>> [(change.t, change.before, change.after) for change in walk.changes]
    [(0.25, 0, 1), (0.75, 1, 0)]

    Raises:
        XorMiError: ends that are not inputs of this network or are the same, fewer than 2 points,
            hooks, train mode, weights that are not finite.
    """
    require_plain_mlp(model, "a path")
    first, last = (_as_point(point, model.cfg.d_in) for point in (start, end))
    if first == last:
        raise XorMiError(f"the path starts and ends at {list(first)}; give two different inputs")
    n_points = whole_number("n_points", n_points, at_least=2)
    origin, step = np.array(first), np.array(last) - np.array(first)
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    offset = (weight @ origin + bias)[None]
    slope = without_rounding(weight @ step, np.abs(weight) @ np.abs(step))[None]
    if is_piecewise_linear(model):
        pieces = follow(model, 0, offset, slope, low=0.0, high=1.0)
        changes, turns, tolerance = decision_changes(pieces), _turns(model, pieces), 0.0
    else:
        edges = np.linspace(0, 1, N_BRACKETS + 1)
        changes = bracketed_changes(model, 0, offset, slope, edges, progress=progress)
        turns, tolerance = [], CHANGE_RESOLUTION
    # Kinks and changes are points of their own, wherever they lie between those of the grid.
    special = {*(t for t, _ in turns), *changes.t.tolist()}
    every_t = sorted(special.union(np.linspace(0, 1, n_points).tolist()))
    grid = torch.tensor(every_t, dtype=torch.float64)
    inputs = torch.from_numpy(origin) + grid[:, None] * torch.from_numpy(step)
    layers = [layer.post for layer in forward_float64(model, inputs)]

    def at(t: float) -> tuple[float, ...]:
        return tuple((origin + t * step).tolist())

    return InputPath(
        start=first,
        end=last,
        t=grid,
        inputs=inputs,
        outputs=layers[-1],
        units=tuple(chain.from_iterable(layers_of(model.layer_sizes))),
        values=torch.cat([inputs, *layers], dim=1),
        kinks=tuple(Kink(t, at(t), units) for t, units in turns),
        changes=tuple(
            DecisionChange(t=t, input=at(t), output=output, before=before, after=after)
            for t, output, before, after in _sorted(changes)
        ),
        threshold=model.threshold,
        tolerance=tolerance,
    )


def _turns(model: HookedMLP, pieces: Pieces) -> list[tuple[float, tuple[Unit, ...]]]:
    """Between which neighbouring pieces of one line which units turn on or off."""
    units = list(chain.from_iterable(layers_of(model.layer_sizes)[1:]))
    turns = []
    for t, before, after in zip(pieces.low[1:].tolist(), pieces.on, pieces.on[1:], strict=False):
        turned = tuple(units[k] for k in np.nonzero(before != after)[0])
        if turned:
            turns.append((t, turned))
    return turns


def _sorted(changes: Changes) -> list[tuple[float, int, int, int]]:
    """The changes of one line in order of t: (t, output, before, after)."""
    columns = (changes.t, changes.output, changes.before, changes.after)
    lists = [column.tolist() for column in columns]
    return sorted(zip(*lists, strict=True))


def _as_point(point: Row, d_in: int) -> tuple[float, ...]:
    """Bits as text, or real numbers -> one number per input."""
    if isinstance(point, str):
        return tuple(float(bit) for bit in as_row(point, d_in))
    try:
        values = torch.as_tensor(point, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        bits = ("01" * d_in)[:d_in]
        raise XorMiError(
            f"{point!r} is not an input; give {d_in} numbers, or bits such as '{bits}'"
        ) from None
    if values.shape != (d_in,) or not torch.isfinite(values).all():
        raise XorMiError(f"{point!r} is not an input; this network takes {d_in} finite numbers")
    return tuple(values.tolist())
