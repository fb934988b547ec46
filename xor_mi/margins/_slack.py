"""a network -> how far each weight may move alone before a decision changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from numbers import Real

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from xor_mi.errors import XorMiError, require_kind
from xor_mi.finding import ROUNDING, Finding, number_text
from xor_mi.geometry._brackets import CHANGE_RESOLUTION, bracketed_changes
from xor_mi.geometry._pieces import Changes, Lines, decision_changes, follow, is_piecewise_linear
from xor_mi.geometry._rounding import rounding_of_scores, rounding_on_rows, without_rounding
from xor_mi.handmade._edits import Entry, entries
from xor_mi.kinds import Place, Rows
from xor_mi.margins._conditions import weight_symbols
from xor_mi.model import UNDECIDED, HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar
from xor_mi.truth import row_name
from xor_mi.values import LayerValues, forward_float64

FURTHEST_MOVE = 2.0**20
"""How far a weight before smooth units is moved in search of a flip: this many times the move that
changes its unit's pre-activation by the size of its terms, or by 1.
"""

FIRST_BRACKET = 0.25
"""How far the first stretch that is searched for a flip reaches, in the same units."""


@dataclass(frozen=True)
class WeightSlack:
    """How far one weight may move alone.

    Attributes:
        parameter: the weight, such as "fc1.weight[0, 1]".
        value: the weight's present value.
        down, up: how far it may move down and up before a decision changes; infinite if no value
            changes one.
        row_lower, output_lower: the row and output whose decision changes first at the lower end
            ("" if there is no end); several are joined by ", ".
        row_upper, output_upper: the same at the upper end.
    """

    parameter: str
    value: float
    down: float
    up: float
    row_lower: str
    output_lower: str
    row_upper: str
    output_upper: str

    def __str__(self) -> str:
        value = f"{self.parameter} = {number_text(self.value)}"
        if self.slack == inf:
            return f"{value} may move anywhere: no value of it changes a decision"
        ends = ((self.down, "down", self.row_lower), (self.up, "up", self.row_upper))
        said = [
            f"{way} by {number_text(far)} until {_flips(rows)}" if far < inf else f"{way} freely"
            for far, way, rows in ends
        ]
        return f"{value} may move {' and '.join(said)}"

    @property
    def lower(self) -> float:
        """The lower end of the open interval of values that keep every decision."""
        return self.value - self.down

    @property
    def upper(self) -> float:
        """The upper end of that interval."""
        return self.value + self.up

    @property
    def slack(self) -> float:
        """How far it may move in either direction: the smaller of down and up."""
        return min(self.down, self.up)


def _flips(rows: str) -> str:
    """'row 11 flips' or 'rows 01, 10 flip'."""
    return f"rows {rows} flip" if ", " in rows else f"row {rows} flips"


@dataclass(frozen=True)
class Slack(Finding):
    """How far each weight may move alone; iterating gives a `WeightSlack` for each.

    Attributes:
        tolerance: 0 if the ends are in closed form (up to float64 rounding); else two changes that
            are nearer to each other than this may be missed.
        symbols: parameter -> the short name that `weight_symbols` gives it, for pictures.
        floor: flips by a smaller move than this were left out.
        n_left_out: how many weights have such a flip.
        sizes: parameter -> the largest weight or bias of its layer; a millionth of it is rounding.
            Layers may have very different sizes.
    """

    weights: tuple[WeightSlack, ...] = field(repr=False)
    tolerance: float
    symbols: dict[str, str] = field(default_factory=dict, repr=False)
    floor: float = 0.0
    n_left_out: int = 0
    sizes: dict[str, float] = field(default_factory=dict, repr=False)

    @property
    def smallest(self) -> WeightSlack:
        """The weight that may move least; the first one if several may move as little."""
        return min(self.weights, key=lambda weight: weight.slack)

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "tolerance": self.tolerance,
            "floor": self.floor,
            "n_left_out": self.n_left_out,
        }

    def frame(self) -> pd.DataFrame:
        """One line per weight; see `WeightSlack`.

        Columns parameter, value, lower, upper (the open interval of values that keep every
        decision), down, up, slack, row_lower, output_lower, row_upper, output_upper.
        """
        lines = [
            {
                "parameter": weight.parameter,
                "value": weight.value,
                "lower": weight.lower,
                "upper": weight.upper,
                "down": weight.down,
                "up": weight.up,
                "slack": weight.slack,
                "row_lower": weight.row_lower,
                "output_lower": weight.output_lower,
                "row_upper": weight.row_upper,
                "output_upper": weight.output_upper,
            }
            for weight in self
        ]
        return pd.DataFrame(lines)

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[WeightSlack]:
        return iter(self.weights)

    def __str__(self) -> str:
        least = self.smallest
        if least.slack == inf:
            return f"none of {len(self)} weights, moved alone, changes a decision"
        size = self.sizes.get(least.parameter, 0.0)
        value = number_text(least.value, scale=size)
        by = number_text(least.slack, scale=size)
        return f"{least.parameter} = {value} may move least, by {by}, of {len(self)} weights"


@torch.no_grad()
def slack_to_flip(
    model: HookedMLP,
    parameter: Place | None = None,
    *,
    rows: Rows | None = None,
    floor: float = 0.0,
    progress: bool = True,
) -> Slack:
    """How far each weight may move alone, up and down, before a decision on an input row changes.

    Decisions are those of the float64 weights; with argmax over tanh or sigmoid outputs, those of
    the values before these functions. An undecided row that stays undecided has not changed.

    For piecewise linear units, and for any weight of the last layer, the ends are in closed form,
    up to float64 rounding (an output is piecewise affine in one weight). For weights before smooth
    units (tanh, sigmoid, gelu, ...), a flip is located to about 1e-12 of the move. A decision that
    flips back within 1e-9 of the move, or within 1e-9 of the move that changes its unit's
    pre-activation by the size of its terms, may be missed. The pre-activation is moved by at most
    `FURTHEST_MOVE` (2^20) times the size of its terms, or by 2^20.

    Args:
        parameter: one entry, named as in `edit`, or a whole tensor; all by default.
        rows: the input rows watched; all by default.
        floor: flips by a smaller move than this are left out. `rounding_of_weights(model)` leaves
            out the flips of decisions that are made by rounding alone.
        progress: show a bar if the work takes over half a second.

    >>> from xor_mi.handmade import textbook_xor
    >>> least = slack_to_flip(textbook_xor(), "fc1.bias[1]").smallest
    >>> least.lower, least.upper, least.row_lower, least.row_upper
    (-1.25, -0.75, '11', '01, 10')

    Raises:
        XorMiError: a parameter the network does not have, rows that are not bits, a floor that is
            not a number of at least 0, hooks, train mode, weights that are not finite, or a smooth
            network whose output stays within rounding of the threshold along a whole stretch of a
            weight.
    """
    require_plain_mlp(model, "the slack of a weight")
    require_kind("floor", floor, Real, give="the least move that counts, such as 0.0")
    if not 0 <= floor < inf:
        raise XorMiError(f"floor={floor:g}; give a move of at least 0, such as 1e-6")
    moved = entries(model, parameter)
    bits = model.read_rows(rows)
    if not bits:
        raise XorMiError("rows is empty; name the input rows to watch, or leave it out for all")
    watched = WatchedRows.of(model, bits)
    of_layers = _sizes_of_layers(model)
    bar = progress_bar(moved, doing="slack", unit="weight", progress=progress)
    of_weights = [_slack_of(watched, entry, floor=floor) for entry in bar]
    return Slack(
        weights=tuple(weight for weight, _ in of_weights),
        tolerance=0.0 if is_piecewise_linear(model) else CHANGE_RESOLUTION,
        symbols={parameter: symbol for symbol, parameter in weight_symbols(model).items()},
        floor=float(floor),
        n_left_out=sum(is_left_out for _, is_left_out in of_weights),
        sizes={entry.name: of_layers[entry.layer] for entry in moved},
    )


def rounding_of_weights(model: HookedMLP) -> float:
    """A smaller move of a weight than this is rounding compared with the weights of every layer.

    Layers may have very different sizes: what is rounding in one may not be rounding in another.
    """
    sizes = [size for size in _sizes_of_layers(model) if size]
    return ROUNDING * min(sizes, default=0.0)


def _sizes_of_layers(model: HookedMLP) -> list[float]:
    """The largest weight or bias of each layer."""
    return [
        max(weight.abs().max().item(), bias.abs().max().item())
        for weight, bias in model.float64_layers()
    ]


def _decided(model: HookedMLP, layers: list[LayerValues]) -> Int[ndarray, "row decision"]:
    """What is decided on each row; also undecided where only rounding moves a score off its cut."""
    outputs = layers[-1].post
    is_on_cut = np.abs(model.rule.distance(outputs).numpy()) <= rounding_of_scores(model, layers)
    return np.where(is_on_cut, UNDECIDED, model.rule.decide(outputs).numpy())


@dataclass(frozen=True, eq=False)
class WatchedRows:
    """The rows that are watched: their names, the network's values on them, its decisions.

    Attributes:
        errors: the largest rounding errors of what each layer reads and adds up.
    """

    model: HookedMLP
    names: tuple[str, ...]
    layers: list[LayerValues]
    errors: list[tuple[Float[ndarray, "row _"], Float[ndarray, "row _"]]]
    decided: Int[ndarray, "row decision"]

    @classmethod
    def of(cls, model: HookedMLP, bits: Sequence[tuple[int, ...]]) -> "WatchedRows":
        """The network's values and decisions on these rows, in float64."""
        layers = forward_float64(model, model.rows(bits))
        return cls(
            model=model,
            names=tuple(row_name(row) for row in bits),
            layers=layers,
            errors=rounding_on_rows(model, layers),
            decided=_decided(model, layers),
        )


def _slack_of(rows: WatchedRows, entry: Entry, *, floor: float) -> tuple[WeightSlack, bool]:
    """One weight moved: the nearest change of a decision on each side that is not below the floor.

    Also returns whether there is a nearer change.
    """
    moved = MovedWeight.of(rows, entry)
    lower, upper = moved.first(-1, floor=floor), moved.first(1, floor=floor)
    nearest = min(moved.first(-1).move, moved.first(1).move)
    weight = WeightSlack(
        parameter=entry.name,
        value=moved.value,
        down=lower.move,
        up=upper.move,
        row_lower=lower.rows,
        output_lower=lower.outputs,
        row_upper=upper.rows,
        output_upper=upper.outputs,
    )
    return weight, nearest < floor


def _moved(rows: WatchedRows, entry: Entry) -> "MovedWeight":
    """Every change of a decision as one weight moves."""
    model = rows.model
    # The layer that the weight is in: its inputs [row, source] and pre-activations [row, d_out].
    layer, (read_error, pre_error) = rows.layers[entry.layer], rows.errors[entry.layer]
    pre = layer.pre.numpy()
    # moving the weight by t adds t times its input to one unit's pre-activation
    slope, slope_error = np.zeros_like(pre), np.zeros_like(pre)
    if not _is_read(model, entry):
        pass
    elif entry.source is None:
        slope[:, entry.unit] = 1.0
    else:
        slope[:, entry.unit] = layer.inputs[:, entry.source].numpy()
        slope_error[:, entry.unit] = read_error[:, entry.source]
    slope = without_rounding(slope, slope_error)
    # Only rows on which this weight matters are followed: `case` in the changes counts these rows.
    touched = np.nonzero(slope[:, entry.unit])[0]
    moved = Lines(pre[touched], slope[touched])
    # the inputs do not change
    inputs = rows.layers[0].inputs.numpy()[touched]
    still = Lines(inputs, np.zeros_like(inputs))
    # Also in closed form with smooth hidden units if the weight is after them.
    is_closed_form = is_piecewise_linear(model, entry.layer)
    if is_closed_form:
        error = Lines(pre_error[touched], slope_error[touched])
        pieces = follow(model, entry.layer, moved, still, error=error)
        changes = decision_changes(model, pieces, at_zero=rows.decided[touched])
        near_zero = changes.error
        reach = inf
    else:
        edges = _bracketed_moves(rows, entry, moved.slope[:, entry.unit])
        unit = edges[len(edges) // 2 + 1] / FIRST_BRACKET
        changes = bracketed_changes(
            model, entry.layer, moved, still, edges, unit=unit, progress=False
        )
        # if a decision is undecided, a change this near is at the weight's value itself
        is_open = rows.decided[touched[changes.case], changes.output] == UNDECIDED
        near_zero = np.where(is_open, CHANGE_RESOLUTION * unit, 0.0)
        reach = float(edges[-1])
    weight, bias = model.float64_layers()[entry.layer]
    value = bias[entry.unit] if entry.source is None else weight[entry.unit, entry.source]
    return MovedWeight(
        rows=rows,
        value=value.item(),
        changes=changes,
        touched=touched,
        near_zero=near_zero,
        at_no_value=moved.offset[:, entry.unit] / -moved.slope[:, entry.unit],
        reach=reach,
    )


def _is_read(model: HookedMLP, entry: Entry) -> bool:
    """Whether weights other than zero lead from the unit of this weight to an output."""
    is_read = torch.ones(model.cfg.d_out, dtype=torch.bool)
    for layer in range(model.cfg.n_layers, entry.layer, -1):
        weight, _ = model.float64_layers()[layer]
        # a readout's inputs come after its units
        is_read = (weight[is_read] != 0).any(0)[: model.layer_sizes[layer]]
    return bool(is_read[entry.unit])


def _bracketed_moves(
    rows: WatchedRows, entry: Entry, slope: Float[ndarray, " case"]
) -> Float[ndarray, " edge"]:
    """Between these moves changes are bracketed: finely near 0, and ever wider further away.

    Args:
        slope: how fast the unit's pre-activation grows with the weight, on the watched rows.
    """
    weight, bias = (value.numpy() for value in rows.model.float64_layers()[entry.layer])
    read = rows.layers[entry.layer].inputs.numpy()
    largest_terms = (np.abs(read) @ np.abs(weight[entry.unit])).max() + abs(bias[entry.unit])
    # smooth activations bend at pre-activations of about 1
    least = largest_terms if 0 < largest_terms < 1 else 1.0
    most = max(1.0, largest_terms)
    steepest = np.abs(slope).max(initial=0.0) or 1.0
    low, high = np.round(np.log2([FIRST_BRACKET * least, FURTHEST_MOVE * most])).astype(int)
    steps = 2.0 ** (np.arange(low, high + 1) - round(float(np.log2(steepest))))
    return np.concatenate([-steps[::-1], [0.0], steps])


@dataclass(frozen=True)
class _Flip:
    """The nearest change on one side: how far away, and on which rows and outputs ("" for none)."""

    move: float
    rows: str
    outputs: str


@dataclass(frozen=True, eq=False)
class MovedWeight:
    """Changes of decisions as one weight moves by t.

    Attributes:
        value: the weight's present value.
        touched: the row of each case of the changes.
        near_zero: a change that is no further away than this is at the weight's value itself.
        at_no_value: the move at which its unit's pre-activation is zero, on these rows.
        reach: changes are known for moves up to this size, in both directions.
    """

    rows: WatchedRows
    value: float
    changes: Changes
    touched: Int[ndarray, " case"]
    near_zero: Float[ndarray, " change"]
    at_no_value: Float[ndarray, " case"]
    reach: float

    @classmethod
    def of(cls, rows: WatchedRows, entry: Entry) -> "MovedWeight":
        """One of the network's weights."""
        return _moved(rows, entry)

    def moves_to(self, wanted: Int[ndarray, "row decision"]) -> list[tuple[float, float]]:
        """The open intervals of moves at which every decision is the one wanted, in order."""
        is_touched = np.isin(np.arange(len(wanted)), self.touched)
        if (self.rows.decided != wanted)[~is_touched].any():
            return []
        moves = [(-self.reach, self.reach)]
        for case, row in enumerate(self.touched):
            for output, decision in enumerate(wanted[row]):
                moves = _common(moves, self._moves_of(case, output, int(decision)))
        return moves

    def _moves_of(self, case: int, output: int, wanted: int) -> list[tuple[float, float]]:
        """The moves at which one decision on one row is the one wanted."""
        here = np.nonzero((self.changes.case == case) & (self.changes.output == output))[0]
        if not len(here):
            is_wanted = self.rows.decided[self.touched[case], output] == wanted
            return [(-inf, inf)] if is_wanted else []
        ends = [-inf, *self.changes.t[here].tolist(), inf]
        decided = [self.changes.before[here[0]], *self.changes.after[here]]
        stretches = zip(pairwise(ends), decided, strict=True)
        return [ends for ends, decision in stretches if decision == wanted]

    def first(self, side: int, *, floor: float = 0.0) -> _Flip:
        """The nearest change above (side 1) or below (side -1) the weight's value.

        Args:
            floor: nearer changes than this are skipped.
        """
        distance, counts = self._distances(side)
        counts &= distance >= floor
        if not counts.any():
            return _Flip(inf, "", "")
        first = np.where(counts, distance, inf).argmin()
        nearest, error = float(distance[first]), self.changes.error
        # rows that flip at the same move, up to rounding, are named together
        is_first = counts & (distance - nearest <= error + error[first])
        rows = sorted(set(self.touched[self.changes.case[is_first]].tolist()))
        outputs = sorted(set(self.changes.output[is_first].tolist()))
        return _Flip(
            move=nearest,
            rows=", ".join(self.rows.names[row] for row in rows),
            outputs=", ".join(self.rows.model.decision_units[k].name for k in outputs),
        )

    def _distances(self, side: int) -> tuple[Float[ndarray, " change"], ndarray]:
        """How far away each change is on this side, and whether it counts there."""
        changes = self.changes
        distance = side * changes.t
        # at t = 0 itself: any move that takes an output off the threshold decides it
        is_here = np.abs(distance) <= self.near_zero
        distance = np.where(is_here, 0.0, distance)
        before = self.rows.decided[self.touched[changes.case], changes.output]
        beyond = changes.after if side > 0 else changes.before
        return distance, (distance > 0) | (is_here & (beyond != before))


def _common(
    some: list[tuple[float, float]], others: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """The intersections of the intervals of both lists."""
    both = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
    return [(low, high) for low, high in both if low < high]
