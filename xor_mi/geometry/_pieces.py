"""pre-activations that are affine in one number t -> the network's pieces and decisions in t.

The one computation behind a path through the inputs (t is the position on it) and behind the slack
of a weight (t is the change of it): what enters a layer is offset + slope t, and every unit with a
piecewise linear activation cuts the line where its value is at one of its kinks. Many lines
("cases") are processed at once.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cache
from math import atanh, inf, log

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from xor_mi.errors import require_memory
from xor_mi.geometry._rounding import EPSILON, rounding_of_sum, without_rounding
from xor_mi.geometry._scores import rivals_of, sign_of_decisions
from xor_mi.graph import Unit
from xor_mi.model import UNDECIDED, HookedMLP
from xor_mi.progress import progress_bar

PIECEWISE_LINEAR = (
    "relu",
    "leaky_relu",
    "relu6",
    "hardtanh",
    "hardsigmoid",
    "identity",
    "heaviside",
    "sign",
)
"""Activations of one, two or three affine pieces, which meet (or jump) at their kinks."""

MONOTONE = ("sigmoid", "tanh")
"""Output activations that can be undone, by comparing the readout with a moved threshold."""

VALUES_HELD = 8
"""So many numbers are held at once for a value on a piece: offset, slope, errors, their parts."""

FULL = 2
"""The state of a unit that is past its second kink, where it does not grow further."""


@dataclass(frozen=True)
class PiecewiseLinearUnit:
    """The value of a unit with a piecewise linear activation: slope * pre-activation + constant.

    Its state says on which piece it is: 0 for off, 1 for on (past its first kink), 2 for full (past
    its second). A unit without a kink is always in state 0.

    Attributes:
        kinks: the pre-activations between its pieces, in order.
        slopes, constants: those of each piece; there is one piece more than there are kinks.
        kink_is_above: whether a pre-activation exactly on a kink is on the piece above it.
    """

    kinks: tuple[float, ...]
    slopes: tuple[float, ...]
    constants: tuple[float, ...]
    kink_is_above: bool = False

    @classmethod
    def of(cls, model: HookedMLP, layer: int) -> "PiecewiseLinearUnit":
        """The units of a layer whose activation is one of `PIECEWISE_LINEAR`."""
        cfg = model.cfg
        return _unit(cfg.act_name(layer), cfg.negative_slope, at_zero=bool(cfg.step_at_zero))

    def states(self, pre: Float[ndarray, "*units"]) -> Int[ndarray, "*units"]:
        """How many kinks each pre-activation is past."""
        kinks = np.array(self.kinks)
        passed = pre[..., None] >= kinks if self.kink_is_above else pre[..., None] > kinks
        return passed.sum(-1)

    def factors(self, states: Int[ndarray, "*units"]) -> Float[ndarray, "*units"]:
        """The slope of each unit, by its state."""
        return np.array(self.slopes)[states]

    def added(self, states: Int[ndarray, "*units"]) -> Float[ndarray, "*units"]:
        """The constant of each unit, by its state."""
        return np.array(self.constants)[states]


@cache
def _unit(act_fn: str, slope: float, *, at_zero: bool) -> PiecewiseLinearUnit:
    one = PiecewiseLinearUnit
    units = {
        "relu": one((0.0,), slopes=(0.0, 1.0), constants=(0.0, 0.0)),
        "leaky_relu": one((0.0,), slopes=(slope, 1.0), constants=(0.0, 0.0)),
        "relu6": one((0.0, 6.0), slopes=(0.0, 1.0, 0.0), constants=(0.0, 0.0, 6.0)),
        "hardtanh": one((-1.0, 1.0), slopes=(0.0, 1.0, 0.0), constants=(-1.0, 0.0, 1.0)),
        "hardsigmoid": one((-3.0, 3.0), slopes=(0.0, 1 / 6, 0.0), constants=(0.0, 0.5, 1.0)),
        "identity": one((), slopes=(1.0,), constants=(0.0,)),
        "heaviside": one((0.0,), (0.0, 0.0), (0.0, 1.0), kink_is_above=at_zero),
        "sign": one((0.0,), (0.0, 0.0), (-1.0, 1.0), kink_is_above=at_zero),
    }
    return units[act_fn]


def has_pieces(model: HookedMLP) -> bool:
    """Whether the units of every hidden layer are piecewise linear."""
    return all(name in PIECEWISE_LINEAR for name in model.cfg.act_fns)


def turns_on_at_zero(model: HookedMLP) -> bool:
    """Whether the units of the first layer turn on where their pre-activation is zero."""
    if model.cfg.act_name(0) not in PIECEWISE_LINEAR:
        return False
    return 0.0 in PiecewiseLinearUnit.of(model, 0).kinks[:1]


def state_text(units: Iterable[Unit], full: Collection[Unit]) -> str:
    """Units that are on, as text; a full one says so."""
    return " + ".join(f"{unit.name} (full)" if unit in full else unit.name for unit in units)


@dataclass(frozen=True, eq=False)
class Lines:
    """Values offset + slope t, one line per case."""

    offset: Float[ndarray, "case width"]
    slope: Float[ndarray, "case width"]

    def __len__(self) -> int:
        return len(self.offset)

    def those(self, cases: Int[ndarray, " chosen"]) -> "Lines":
        """The lines with these numbers, in the given order."""
        return Lines(self.offset[cases], self.slope[cases])

    def at(self, t: Float[ndarray, " case"]) -> Float[ndarray, "case width"]:
        """The values of each line at its own t."""
        return self.offset + self.slope * t[..., None]

    def between(
        self, low: Float[ndarray, " case"], high: Float[ndarray, " case"]
    ) -> tuple[Float[ndarray, "case width"], Float[ndarray, "case width"]]:
        """The least and the largest values of each line between two t."""
        at_low, at_high = self.at(low), self.at(high)
        return np.minimum(at_low, at_high), np.maximum(at_low, at_high)


@dataclass(frozen=True, eq=False)
class Pieces:
    """Stretches low < t < high of the line `case` on which the values are offset + slope t.

    Pieces of one case are neighbours, in order. `states` holds the state of every unit passed so
    far, [piece, unit]; see `PiecewiseLinearUnit`.

    Attributes:
        low_error, high_error, offset_error, slope_error: the largest rounding error of each.
    """

    case: Int[ndarray, " piece"]
    low: Float[ndarray, " piece"]
    high: Float[ndarray, " piece"]
    low_error: Float[ndarray, " piece"]
    high_error: Float[ndarray, " piece"]
    offset: Float[ndarray, "piece width"]
    slope: Float[ndarray, "piece width"]
    offset_error: Float[ndarray, "piece width"]
    slope_error: Float[ndarray, "piece width"]
    states: Int[ndarray, "piece unit"]

    @property
    def middle(self) -> Float[ndarray, " piece"]:
        """A point inside each piece; it is finite even if the piece is not."""
        low, high = (np.where(np.isfinite(end), end, 0) for end in (self.low, self.high))
        room = 1 + np.abs(low) + np.abs(high)
        has_no_low, has_no_high = np.isinf(self.low), np.isinf(self.high)
        before_high = np.where(has_no_high, 0.0, high - room)
        past_low = np.where(has_no_high, low + room, (low + high) / 2)
        return np.where(has_no_low, before_high, past_low)

    def split(self, kinks: tuple[float, ...] = (0.0,)) -> "Pieces":
        """Cut every piece where one of its values is at a kink."""
        cuts, errors = self._cuts(kinks)
        edges = np.concatenate([self.low[:, None], cuts, self.high[:, None]], axis=1)
        errors = np.concatenate([self.low_error[:, None], errors, self.high_error[:, None]], axis=1)
        with np.errstate(invalid="ignore"):
            gap = np.diff(edges, axis=1)
        are_one = (gap > 0) & (gap <= errors[:, 1:] + errors[:, :-1])
        for piece in np.nonzero(are_one.any(1))[0]:
            edges[piece], errors[piece] = _without_slivers(edges[piece], errors[piece])
        low, high = edges[:, :-1], edges[:, 1:]
        is_piece = high > low
        # [piece, stretch between two cuts] -> one new piece each, which knows its parent's number
        parent = np.nonzero(is_piece)[0]
        return Pieces(
            case=self.case[parent],
            low=low[is_piece],
            high=high[is_piece],
            low_error=errors[:, :-1][is_piece],
            high_error=errors[:, 1:][is_piece],
            offset=self.offset[parent],
            slope=self.slope[parent],
            offset_error=self.offset_error[parent],
            slope_error=self.slope_error[parent],
            states=self.states[parent],
        )

    def _cuts(
        self, kinks: tuple[float, ...]
    ) -> tuple[Float[ndarray, "piece cut"], Float[ndarray, "piece cut"]]:
        """Where values are at a kink, in order, and the largest error of each place.

        A value that is not at a kink inside cuts at the piece's end, which adds a part of no
        length.
        """
        low, high = self.low[:, None], self.high[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            roots = (np.array(kinks)[:, None, None] - self.offset) / self.slope
            way = np.abs(roots)
            of_slope = self.slope_error / np.abs(self.slope) + EPSILON
            errors = self.offset_error / np.abs(self.slope) + way * of_slope
        # [kink, piece, width] -> [piece, cut]
        roots, errors = (np.concatenate(list(each), axis=1) for each in (roots, errors))
        inside = np.isfinite(roots) & (roots > low) & (roots < high)
        cuts, errors = np.where(inside, roots, high), np.where(inside, errors, 0.0)
        order = np.argsort(cuts, axis=1, kind="stable")
        rows = np.arange(len(cuts))[:, None]
        return cuts[rows, order], errors[rows, order]

    def activated(self, unit: PiecewiseLinearUnit) -> "Pieces":
        """The pieces after a piecewise linear activation; its units cut the line first."""
        cut = self.split(unit.kinks) if unit.kinks else self
        states = unit.states(cut.offset + cut.slope * cut.middle[:, None])
        factor = unit.factors(states)
        offset, slope = cut.offset * factor + unit.added(states), cut.slope * factor
        size = np.abs(factor)
        return replace(
            cut,
            offset=offset,
            slope=slope,
            offset_error=cut.offset_error * size + EPSILON * np.abs(offset),
            slope_error=cut.slope_error * size + EPSILON * np.abs(slope),
            states=np.concatenate([cut.states, states], axis=1),
        )

    def through(
        self, weight: Float[ndarray, "d_out width"], bias: Float[ndarray, " d_out"]
    ) -> "Pieces":
        """The pieces after a linear layer."""
        size, n_terms = np.abs(weight.T), weight.shape[1] + 1
        terms = np.abs(self.offset) @ size + np.abs(bias)
        offset_error = self.offset_error @ size + rounding_of_sum(terms, n_terms)
        terms = np.abs(self.slope) @ size
        slope_error = self.slope_error @ size + rounding_of_sum(terms, n_terms)
        return replace(
            self,
            offset=without_rounding(self.offset @ weight.T + bias, offset_error),
            slope=without_rounding(self.slope @ weight.T, slope_error),
            offset_error=offset_error,
            slope_error=slope_error,
        )

    def beside(self, inputs: Lines) -> "Pieces":
        """The values followed by the network's inputs: what a readout with direct weights reads."""
        own = inputs.those(self.case)
        # a start is exact, a direction is the rounded difference of two inputs
        no_error, error = np.zeros_like(own.offset), EPSILON * np.abs(own.slope)
        return replace(
            self,
            offset=np.concatenate([self.offset, own.offset], axis=1),
            slope=np.concatenate([self.slope, own.slope], axis=1),
            offset_error=np.concatenate([self.offset_error, no_error], axis=1),
            slope_error=np.concatenate([self.slope_error, error], axis=1),
        )


def _without_slivers(
    edges: Float[ndarray, " edge"], errors: Float[ndarray, " edge"]
) -> tuple[Float[ndarray, " edge"], Float[ndarray, " edge"]]:
    """Neighbouring cuts that may be the same place are moved to the most accurate one.

    The two ends, which other pieces share, are not moved.
    """
    edges, errors = edges.copy(), errors.copy()
    last = len(edges) - 1
    first_of_group, surest = 0, 0
    for k in range(1, last + 1):
        if edges[k] > edges[surest] + (errors[k] + errors[surest]):
            first_of_group = surest = k
            continue
        is_surer = k == last or (surest > 0 and errors[k] < errors[surest])
        if is_surer and first_of_group > 0:
            surest = k
        # a group that reaches from one end to the other does not include the last end
        group = slice(first_of_group, k + 1 if k < last or first_of_group > 0 else k)
        edges[group], errors[group] = edges[surest], errors[surest]
    return edges, errors


def is_piecewise_linear(model: HookedMLP, layer: int = 0) -> bool:
    """Whether everything after linear layer `layer` can be followed in closed form."""
    is_smooth_inside = any(name not in PIECEWISE_LINEAR for name in model.cfg.act_fns[layer:])
    return not is_smooth_inside and model.cfg.out_act_fn in (*PIECEWISE_LINEAR, *MONOTONE)


def readout_cut(model: HookedMLP) -> float:
    """The value of the readout above which an output is decided 1.

    It is for the rule "threshold" and an output activation that is the identity, sigmoid or tanh.
    For "argmax" it is what the difference of two readouts is compared with: 0.
    """
    threshold, act_fn = model.rule.cut, model.cfg.out_act_fn
    if model.rule.name == "argmax" or act_fn not in MONOTONE:
        return threshold
    lowest = 0.0 if act_fn == "sigmoid" else -1.0
    if threshold <= lowest:
        return -inf
    if threshold >= 1:
        return inf
    return log(threshold / (1 - threshold)) if act_fn == "sigmoid" else atanh(threshold)


def follow(
    model: HookedMLP,
    layer: int,
    pre: Lines,
    inputs: Lines,
    *,
    error: Lines,
    low: float = -inf,
    high: float = inf,
    progress: bool = False,
) -> Pieces:
    """Pre-activations of linear layer `layer` -> the pieces of the scores.

    The values are those of `rivals_of`, [piece, decision * rival], each minus its cut, and the
    pieces are cut at the crossings too. A decision is 1 if all of its values are above zero, 0 if
    one is below; else it is undecided. It needs `is_piecewise_linear(model, layer)`.

    Args:
        inputs: the network's inputs on the same lines, for direct connections.
        error: the largest rounding errors of the offsets and slopes of `pre`.
        progress: show a bar if the work takes over half a second.

    Raises:
        XorMiError: more pieces of so wide layers than there is memory for.
    """
    n_cases = len(pre)
    pieces = Pieces(
        case=np.arange(n_cases),
        low=np.full(n_cases, low),
        high=np.full(n_cases, high),
        low_error=np.zeros(n_cases),
        high_error=np.zeros(n_cases),
        offset=without_rounding(pre.offset, error.offset),
        slope=without_rounding(pre.slope, error.slope),
        offset_error=error.offset,
        slope_error=error.slope,
        states=np.zeros((n_cases, 0), dtype=int),
    )
    cfg = model.cfg
    later = list(enumerate(model.float64_layers()[layer + 1 :], start=layer + 1))
    bar = progress_bar(later, doing="following the line", unit="layer", progress=progress)
    for number, (weight, bias) in bar:
        unit = PiecewiseLinearUnit.of(model, number - 1)
        # for every value its cuts, and where they are, in order
        _require_room(pieces, pieces.offset.shape[1] * len(unit.kinks))
        pieces = pieces.activated(unit)
        _require_room(pieces, len(weight))
        if cfg.direct and number == cfg.n_layers:
            pieces = pieces.beside(inputs)
        pieces = pieces.through(weight.numpy(), bias.numpy())
    if cfg.out_act_fn in PIECEWISE_LINEAR:
        pieces = pieces.activated(PiecewiseLinearUnit.of(model, cfg.n_layers))
        cut = model.rule.cut
    else:
        cut = readout_cut(model)
    if np.isinf(cut):
        # A sigmoid or tanh that never reaches the threshold (or is always above): one decision.
        decided = np.full_like(pieces.offset, -np.sign(cut))
        return replace(pieces, offset=decided, slope=np.zeros_like(pieces.slope))
    if model.rule.name != "threshold":
        rivals = rivals_of(model).reshape(-1, cfg.d_out)
        pieces = pieces.through(rivals, np.zeros(len(rivals)))
    of_distance = pieces.offset_error + EPSILON * (np.abs(pieces.offset) + abs(cut))
    distance = without_rounding(pieces.offset - cut, of_distance)
    return replace(pieces, offset=distance, offset_error=of_distance).split()


def _require_room(pieces: Pieces, n_values: int) -> None:
    """Refuse more values on the pieces than there is memory for, before they are computed."""
    n_pieces = len(pieces.case)
    require_memory(
        8 * VALUES_HELD * n_pieces * n_values,
        what=f"{n_pieces:,} pieces of lines with {n_values:,} values each",
        do="study a narrower network",
    )


@dataclass(frozen=True, eq=False)
class Changes:
    """Where a decision changes along a line.

    It has arrays of one length, in order of case, decision (`output`) and t.

    `before` and `after` are decisions: 0, 1, or -1 for undecided. `error` is the largest rounding
    error of t.
    """

    case: Int[ndarray, " change"]
    output: Int[ndarray, " change"]
    t: Float[ndarray, " change"]
    before: Int[ndarray, " change"]
    after: Int[ndarray, " change"]
    error: Float[ndarray, " change"]


def decision_changes(
    model: HookedMLP,
    pieces: Pieces,
    *,
    at_zero: Int[ndarray, "case decision"] | None = None,
) -> Changes:
    """The ends between neighbouring pieces of one case whose decisions differ.

    Args:
        at_zero: what is decided at t = 0 itself. If both sides of it have the same decision and t =
            0 another, that is a change, too.
    """
    values = pieces.offset + pieces.slope * pieces.middle[:, None]
    sign = sign_of_decisions(values, model.cfg.n_decisions)
    decided = np.where(sign == 0, UNDECIDED, sign > 0)
    same_case = pieces.case[1:] == pieces.case[:-1]
    differ = decided[1:] != decided[:-1]
    if at_zero is not None:
        is_zero = np.abs(pieces.low[1:]) <= pieces.low_error[1:]
        differ |= is_zero[:, None] & (decided[1:] != at_zero[pieces.case[1:]])
    differ &= same_case[:, None]
    # `before` is the number of the piece in front of a change, `before + 1` of that behind it.
    output, before = np.nonzero(differ.T)
    order = np.lexsort((pieces.low[before + 1], output, pieces.case[before]))
    before, output = before[order], output[order]
    return Changes(
        case=pieces.case[before],
        output=output,
        t=pieces.low[before + 1],
        before=decided[before, output],
        after=decided[before + 1, output],
        error=pieces.low_error[before + 1],
    )
