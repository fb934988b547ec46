"""model + two inputs -> what happens on the straight line from one to the other.

The input changes gradually.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from xor_mi.errors import XorMiError, require_memory, whole_number
from xor_mi.finding import ROUNDING, Finding, number_text
from xor_mi.geometry._brackets import CHANGE_RESOLUTION, bracketed_changes
from xor_mi.geometry._pieces import (
    FULL,
    Changes,
    Lines,
    Pieces,
    decision_changes,
    follow,
    is_piecewise_linear,
)
from xor_mi.geometry._rounding import EPSILON, rounding_of_sum
from xor_mi.geometry._scores import score_names
from xor_mi.graph import Unit, layers_of
from xor_mi.kinds import Row
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.truth import as_row
from xor_mi.values import forward_float64, own_score_scale

N_BRACKETS = 64
"""With smooth units, the search for changes begins with so many equal parts of the path."""

MAX_NAMED = 6
"""A sentence names at most so many changes, kinks or numbers."""

VALUES_HELD = 4
"""How many numbers a path holds at once for each point and unit."""


@dataclass(frozen=True)
class Kink:
    """A place on the path where units turn on or off, or become full or stop being full.

    t goes from 0 (start) to 1 (end); `input` is the input there. A unit is full where it does not
    grow further, see `Region`; `full` has those of the units that become full or stop being full.
    """

    t: float
    input: tuple[float, ...]
    units: tuple[Unit, ...]
    full: tuple[Unit, ...] = ()

    def __str__(self) -> str:
        names = ", ".join(unit.name for unit in self.units)
        bend = "bends" if len(self.units) == 1 else "bend"
        return f"{names} {bend} at t = {number_text(self.t, scale=1.0)}"


@dataclass(frozen=True)
class DecisionChange:
    """A place on the path where one decision is different before and after.

    Decisions are 1, 0, or -1 for undecided; `output` is the number of the decision, as in
    `Boundary`.
    """

    t: float
    input: tuple[float, ...]
    output: int
    before: int
    after: int

    def __str__(self) -> str:
        return f"y{self.output} changes {self.step} at t = {self.place}"

    @property
    def step(self) -> str:
        """The two decisions as text, such as '0 -> 1'."""
        before, after = [
            "undecided" if decision < 0 else str(decision) for decision in (self.before, self.after)
        ]
        return f"{before} -> {after}"

    @property
    def place(self) -> str:
        """t as text, with a remark if only rounding separates it from an end."""
        off_the_end = min(self.t, 1 - self.t)
        why = " (by rounding)" if 0 < off_the_end < ROUNDING else ""
        return f"{number_text(self.t, scale=1.0)}{why}"


@dataclass(frozen=True, eq=False)
class InputPath(Finding):
    """A network along the straight line from one input to another.

    Attributes:
        t: where it was evaluated, from 0 to 1: an even grid, and every kink and change.
        inputs, outputs: the input and the output at each t.
        scores, score_names: the score of each decision at each t, and its name. With a threshold
            these are the outputs, such as "y0"; with argmax over two outputs "y1 - y0".
        units, values: every unit (inputs, hidden units, outputs), and its value after its
            activation at each t.
        kinks: where units turn on or off (or full), in order; empty for smooth activations, which
            have none.
        changes: where decisions change, in order.
        threshold: the number that scores are compared with; 0 with argmax.
        tolerance: 0 if kinks and changes are in closed form (up to float64 rounding); else two
            changes that are nearer to each other than this may be missed.
        scale: the size of the terms that the scores are sums of; 0 if it is not known.
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
    scores: Float[Tensor, "n decision"] = field(repr=False)
    score_names: tuple[str, ...] = field(repr=False)
    scale: float = field(default=0.0, repr=False)

    def __str__(self) -> str:
        ends = f"from {_point(self.start)} to {_point(self.end)}"
        changes = [self._of_change(change) for change in self.changes]
        said = [f"{ends} {_counted(changes, 'decision changes', 'decisions change')}"]
        kinks = [
            f"{', '.join([unit.name for unit in kink.units])} at {number_text(kink.t, scale=1.0)}"
            for kink in self.kinks
        ]
        if kinks:
            said.append(_counted(kinks, "place where units bend", "places where units bend"))
        if self.tolerance:
            said.append(f"two changes nearer than {number_text(self.tolerance)} may be missed")
        return "; ".join(said)

    def _of_change(self, change: DecisionChange) -> str:
        """'0 -> 1 at 0.25'; with several decisions also the output."""
        of_output = f"y{change.output} " if len(self.score_names) > 1 else ""
        return f"{of_output}{change.step} at {change.place}"

    def frame(self) -> pd.DataFrame:
        """One line per t: t, x0, x1, ..., y0, y1, ..., and by name each score not an output."""
        columns = {"t": self.t.tolist()}
        columns |= {f"x{i}": column.tolist() for i, column in enumerate(self.inputs.T)}
        columns |= {f"y{k}": column.tolist() for k, column in enumerate(self.outputs.T)}
        scores = zip(self.score_names, self.scores.T.tolist(), strict=True)
        # a score that is an output has the output's name, and is there already
        return pd.DataFrame(columns | dict(scores))


def _point(numbers: tuple[float, ...]) -> str:
    """An input as text, at most its first few numbers."""
    more = ", ..." if len(numbers) > MAX_NAMED else ""
    return f"({', '.join([f'{number + 0.0:.3g}' for number in numbers[:MAX_NAMED]])}{more})"


def _counted(texts: Sequence[str], one: str, several: str) -> str:
    """How many there are, and the first few of them."""
    if not texts:
        return f"no {one}"
    more = f" and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    what = one if len(texts) == 1 else several
    return f"{len(texts)} {what}: {', '.join(texts[:MAX_NAMED])}{more}"


@torch.no_grad()
def path(
    model: HookedMLP, start: Row, end: Row, *, n_points: int = 101, progress: bool = True
) -> InputPath:
    """Follow the straight line from one input to another.

    It reports where units turn on or off, where a decision changes, and the values in between.

    Kinks and changes are in closed form for piecewise linear units. For other units, changes that
    are nearer to each other than `tolerance` may be missed.

    Args:
        start, end: inputs as bits in a text ('01'), or as the real numbers that the network takes,
            one per input; any number of inputs.
        n_points: how many evenly spaced points are evaluated in addition.
        progress: show a bar if the work takes over half a second.

    >>> from xor_mi.handmade import textbook_xor
    >>> walk = path(textbook_xor(), "00", "11")
    >>> [(kink.t, kink.units) for kink in walk.kinks]
    [(0.5, (h0.1,))]
    >>> [(change.t, change.before, change.after) for change in walk.changes]
    [(0.25, 0, 1), (0.75, 1, 0)]

    Raises:
        XorMiError: ends that are not inputs of this network or are the same, fewer than 2 points,
            more points or pieces than there is memory for, hooks, train mode, weights that are not
            finite.
    """
    require_plain_mlp(model, "a path")
    first, last = (_as_point(model, point) for point in (start, end))
    if first == last:
        raise XorMiError(f"the path starts and ends at {list(first)}; give two different inputs")
    n_points = whole_number("n_points", n_points, at_least=2)
    n_units = sum(model.layer_sizes)
    require_memory(
        VALUES_HELD * 8 * n_points * n_units,
        what=f"{n_points:,} points of a path through {n_units:,} units",
        do="give a smaller n_points",
    )
    origin, step = np.array(first), np.array(last) - np.array(first)
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    pre = Lines((weight @ origin + bias)[None], (weight @ step)[None])
    inputs_on_line = Lines(origin[None], step[None])
    if is_piecewise_linear(model):
        error = _rounding_on_line(weight, bias, origin, step)
        pieces = follow(
            model, 0, pre, inputs_on_line, error=error, low=0.0, high=1.0, progress=progress
        )
        changes, turns, tolerance = decision_changes(model, pieces), _turns(model, pieces), 0.0
    else:
        edges = np.linspace(0, 1, N_BRACKETS + 1)
        changes = bracketed_changes(model, 0, pre, inputs_on_line, edges, progress=progress)
        turns, tolerance = [], CHANGE_RESOLUTION
    # Kinks and changes are additional points between those of the grid.
    special = {*(t for t, _, _ in turns), *changes.t.tolist()}
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
        kinks=tuple(Kink(t, at(t), units, full) for t, units, full in turns),
        changes=tuple(
            DecisionChange(t=t, input=at(t), output=output, before=before, after=after)
            for t, output, before, after in _sorted(changes)
        ),
        threshold=model.rule.cut,
        tolerance=tolerance,
        scores=model.rule.scores(layers[-1]),
        score_names=score_names(model),
        scale=own_score_scale(model, inputs),
    )


def _rounding_on_line(
    weight: Float[ndarray, "d_out d_in"],
    bias: Float[ndarray, " d_out"],
    origin: Float[ndarray, " d_in"],
    step: Float[ndarray, " d_in"],
) -> Lines:
    """The largest rounding errors of the first layer's pre-activations along a path."""
    size, n_terms = np.abs(weight), weight.shape[1] + 1
    at_start = rounding_of_sum(size @ np.abs(origin) + np.abs(bias), n_terms)
    # the step is itself a difference, which was rounded
    along = rounding_of_sum(size @ np.abs(step), n_terms) + EPSILON * (size @ np.abs(step))
    return Lines(at_start[None], along[None])


def _turns(
    model: HookedMLP, pieces: Pieces
) -> list[tuple[float, tuple[Unit, ...], tuple[Unit, ...]]]:
    """Which units change their state between which neighbouring pieces of one line.

    Each comes with those of the units that become full or stop being full.
    """
    units = list(chain.from_iterable(layers_of(model.layer_sizes)[1:]))
    turns = []
    starts = pieces.low[1:].tolist()
    for t, before, after in zip(starts, pieces.states, pieces.states[1:], strict=False):
        turned = np.nonzero(before != after)[0]
        if len(turned):
            full = tuple(units[k] for k in turned if FULL in (before[k], after[k]))
            turns.append((t, tuple(units[k] for k in turned), full))
    return turns


def _sorted(changes: Changes) -> list[tuple[float, int, int, int]]:
    """The changes of one line in order of t: (t, output, before, after)."""
    columns = (changes.t, changes.output, changes.before, changes.after)
    lists = [column.tolist() for column in columns]
    return sorted(zip(*lists, strict=True))


def _as_point(model: HookedMLP, point: Row) -> tuple[float, ...]:
    """Bits as text, or real numbers -> one number per input."""
    d_in = model.cfg.d_in
    if isinstance(point, str):
        return tuple(model.cfg.input_levels[bit] for bit in as_row(point, d_in))
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
