"""pre-activations that are affine in one number t -> the network's pieces and decisions in t.

The one computation behind a path through the inputs (t is the position on it) and behind the slack
of a weight (t is the change of it): what enters a layer is offset + slope t, and every unit of a
piecewise linear activation cuts the line where its own value is at one of its kinks. Many lines
("cases") run at once.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cache
from math import atanh, inf, log

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from xor_mi.geometry._scores import rivals_of, sign_of_decisions
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP

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
"""Output activations that can be undone: comparing the readout with a moved threshold is enough."""

NEGLIGIBLE_SHARE = 1e-12
"""A sum this small against its terms is rounding, and counts as zero. A piece this short against
its distance from t = 0 (or against 1, where it is nearer) is rounding too, and is left out.
"""

FULL = 2
"""The state of a unit that is past its second kink, where it grows no more."""


@dataclass(frozen=True)
class PiecewiseLinearUnit:
    """What a unit of a piecewise linear activation gives: slope * pre-activation + constant.

    Its state says on which piece it is: 0 for off, 1 for on (past its first kink), 2 for full (past
    its second). A unit without a kink is always in state 0.

    Attributes:
        kinks: the pre-activations between its pieces, in order.
        slopes, constants: of each piece, one more than there are kinks.
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


def without_rounding(
    sums: Float[ndarray, "*shape"], terms: Float[ndarray, "*shape"]
) -> Float[ndarray, "*shape"]:
    """Sums, with zero where one is rounding against the total size of its terms."""
    return np.where(np.abs(sums) <= NEGLIGIBLE_SHARE * terms, 0.0, sums)


@dataclass(frozen=True, eq=False)
class Lines:
    """Values offset + slope t, one line per case."""

    offset: Float[ndarray, "case width"]
    slope: Float[ndarray, "case width"]

    def __len__(self) -> int:
        return len(self.offset)

    def those(self, cases: Int[ndarray, " chosen"]) -> "Lines":
        """Some of the lines, in the order asked for."""
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
    """

    case: Int[ndarray, " piece"]
    low: Float[ndarray, " piece"]
    high: Float[ndarray, " piece"]
    offset: Float[ndarray, "piece width"]
    slope: Float[ndarray, "piece width"]
    states: Int[ndarray, "piece unit"]

    @property
    def middle(self) -> Float[ndarray, " piece"]:
        """A point inside each piece, finite also where the piece is not."""
        low, high = (np.where(np.isfinite(end), end, 0) for end in (self.low, self.high))
        room = 1 + np.abs(low) + np.abs(high)
        has_no_low, has_no_high = np.isinf(self.low), np.isinf(self.high)
        return np.select(
            [has_no_low & has_no_high, has_no_low, has_no_high],
            [np.zeros_like(room), high - room, low + room],
            (low + high) / 2,
        )

    def split(self, kinks: tuple[float, ...] = (0.0,)) -> "Pieces":
        """Cut every piece where one of its values is at a kink."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            roots = np.concatenate([(kink - self.offset) / self.slope for kink in kinks], axis=1)
        low, high = self.low[:, None], self.high[:, None]
        inside = np.isfinite(roots) & (roots > low) & (roots < high)
        # A value without a root inside cuts at the piece's end: the part behind it has no length.
        cuts = np.sort(np.where(inside, roots, high), axis=1)
        edges = np.concatenate([low, cuts, high], axis=1)
        low, high = edges[:, :-1], edges[:, 1:]
        with np.errstate(invalid="ignore"):
            distance = np.maximum(1, np.minimum(np.abs(low), np.abs(high)))
            is_piece = (high > low) & ~(high - low <= NEGLIGIBLE_SHARE * distance)
        # [piece, stretch between two cuts] -> one new piece each, which knows its parent's number
        parent = np.nonzero(is_piece)[0]
        return Pieces(
            case=self.case[parent],
            low=low[is_piece],
            high=high[is_piece],
            offset=self.offset[parent],
            slope=self.slope[parent],
            states=self.states[parent],
        )

    def activated(self, unit: PiecewiseLinearUnit) -> "Pieces":
        """After a piecewise linear activation; its units cut the line first."""
        cut = self.split(unit.kinks) if unit.kinks else self
        states = unit.states(cut.offset + cut.slope * cut.middle[:, None])
        factor = unit.factors(states)
        return replace(
            cut,
            offset=cut.offset * factor + unit.added(states),
            slope=cut.slope * factor,
            states=np.concatenate([cut.states, states], axis=1),
        )

    def through(
        self, weight: Float[ndarray, "d_out width"], bias: Float[ndarray, " d_out"]
    ) -> "Pieces":
        """After a linear layer."""
        size = np.abs(weight.T)
        offset_terms = np.abs(self.offset) @ size + np.abs(bias)
        return replace(
            self,
            offset=without_rounding(self.offset @ weight.T + bias, offset_terms),
            slope=without_rounding(self.slope @ weight.T, np.abs(self.slope) @ size),
        )

    def beside(self, inputs: Lines) -> "Pieces":
        """The values and then the network's inputs: what a readout with direct weights reads."""
        own = inputs.those(self.case)
        return replace(
            self,
            offset=np.concatenate([self.offset, own.offset], axis=1),
            slope=np.concatenate([self.slope, own.slope], axis=1),
        )


def is_piecewise_linear(model: HookedMLP, layer: int = 0) -> bool:
    """Whether all that follows linear layer `layer` can be followed in closed form."""
    is_smooth_inside = any(name not in PIECEWISE_LINEAR for name in model.cfg.act_fns[layer:])
    return not is_smooth_inside and model.cfg.out_act_fn in (*PIECEWISE_LINEAR, *MONOTONE)


def readout_cut(model: HookedMLP) -> float:
    """The value of the readout above which an output is decided 1.

    For the rule "threshold" and an output activation that is the identity, sigmoid or tanh. For
    "argmax" it is what the difference of two readouts is held against: 0.
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
    low: float = -inf,
    high: float = inf,
) -> Pieces:
    """Pre-activations of linear layer `layer` -> the pieces of what decides.

    The values are those of `rivals_of`, [piece, decision * rival], each minus its cut, and the
    pieces are cut at the crossings too. A decision is 1 where all of its own are above zero, 0
    where one is below; else it is undecided. Needs `is_piecewise_linear(model, layer)`.

    Args:
        inputs: the network's inputs on the same lines, for direct connections.
    """
    n_cases = len(pre)
    pieces = Pieces(
        case=np.arange(n_cases),
        low=np.full(n_cases, low),
        high=np.full(n_cases, high),
        offset=pre.offset,
        slope=pre.slope,
        states=np.zeros((n_cases, 0), dtype=int),
    )
    cfg = model.cfg
    for number, (weight, bias) in enumerate(model.float64_layers()[layer + 1 :], start=layer + 1):
        pieces = pieces.activated(PiecewiseLinearUnit.of(model, number - 1))
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
    distance = without_rounding(pieces.offset - cut, np.abs(pieces.offset) + abs(cut))
    return replace(pieces, offset=distance).split()


@dataclass(frozen=True, eq=False)
class Changes:
    """Where a decision changes along a line.

    Arrays of one length, in order of case, decision (`output`) and t.

    `before` and `after` are decisions: 0, 1, or -1 for undecided.
    """

    case: Int[ndarray, " change"]
    output: Int[ndarray, " change"]
    t: Float[ndarray, " change"]
    before: Int[ndarray, " change"]
    after: Int[ndarray, " change"]


def decision_changes(model: HookedMLP, pieces: Pieces) -> Changes:
    """The ends between neighbouring pieces of one case whose decisions differ."""
    values = pieces.offset + pieces.slope * pieces.middle[:, None]
    sign = sign_of_decisions(values, model.cfg.n_decisions)
    decided = np.select([sign > 0, sign < 0], [1, 0], -1)
    same_case = pieces.case[1:] == pieces.case[:-1]
    differ = (decided[1:] != decided[:-1]) & same_case[:, None]
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
    )
