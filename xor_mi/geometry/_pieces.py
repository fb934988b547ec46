"""pre-activations that are affine in one number t -> the network's pieces and decisions in t.

The one computation behind a path through the inputs (t is the position on it) and behind the slack
of a weight (t is the change of it): what enters a layer is offset + slope t, and every unit of a
piecewise linear activation cuts the line where its own value is zero. Many lines ("cases") run at
once.
"""

from dataclasses import dataclass, replace
from math import atanh, inf, log

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from xor_mi.model import HookedMLP

PIECEWISE_LINEAR = ("relu", "leaky_relu", "identity", "heaviside")
"""Activations of two affine pieces, which meet (or jump) at zero; the identity has one."""

MONOTONE = ("sigmoid", "tanh")
"""Output activations that can be undone: comparing the readout with a moved threshold is enough."""

NEGLIGIBLE_SHARE = 1e-12
"""A sum this small against its terms is rounding, and counts as zero. A piece this short against
its distance from t = 0 (or against 1, where it is nearer) is rounding too, and is left out.
"""


@dataclass(frozen=True)
class PiecewiseLinearUnit:
    """What a unit of a piecewise linear activation gives.

    factor_off * pre-activation while that is at most zero, and factor_on * pre-activation +
    constant_on above.

    Attributes:
        has_states: whether on and off differ at all; an identity unit is neither.
    """

    factor_off: float
    factor_on: float
    constant_on: float
    has_states: bool = True

    @classmethod
    def of(cls, act_fn: str, negative_slope: float) -> "PiecewiseLinearUnit":
        """The unit of one of the `PIECEWISE_LINEAR` activations."""
        units = {
            "relu": cls(factor_off=0.0, factor_on=1.0, constant_on=0.0),
            "leaky_relu": cls(factor_off=negative_slope, factor_on=1.0, constant_on=0.0),
            "identity": cls(factor_off=1.0, factor_on=1.0, constant_on=0.0, has_states=False),
            "heaviside": cls(factor_off=0.0, factor_on=0.0, constant_on=1.0),
        }
        return units[act_fn]

    def factors(self, on: Bool[ndarray, "*units"]) -> Float[ndarray, "*units"]:
        """The factor of each unit, by whether it is on."""
        return np.where(on, self.factor_on, self.factor_off)

    def constants(self, on: Bool[ndarray, "*units"]) -> Float[ndarray, "*units"]:
        """The constant of each unit, by whether it is on."""
        return np.where(on, self.constant_on, 0.0)


def without_rounding(
    sums: Float[ndarray, "*shape"], terms: Float[ndarray, "*shape"]
) -> Float[ndarray, "*shape"]:
    """Sums, with zero where one is rounding against the total size of its terms."""
    return np.where(np.abs(sums) <= NEGLIGIBLE_SHARE * terms, 0.0, sums)


@dataclass(frozen=True, eq=False)
class Pieces:
    """Stretches low < t < high of the line `case` on which the values are offset + slope t.

    Pieces of one case are neighbours, in order. `on` holds the bits of every unit passed so far,
    [piece, unit]; an identity unit has no bit and counts as 0.
    """

    case: Int[ndarray, " piece"]
    low: Float[ndarray, " piece"]
    high: Float[ndarray, " piece"]
    offset: Float[ndarray, "piece width"]
    slope: Float[ndarray, "piece width"]
    on: Int[ndarray, "piece unit"]

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

    def split(self) -> "Pieces":
        """Cut every piece where one of its values is zero."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            roots = -self.offset / self.slope
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
            on=self.on[parent],
        )

    def activated(self, act_fn: str, negative_slope: float) -> "Pieces":
        """After a piecewise linear activation; its units cut the line first."""
        unit = PiecewiseLinearUnit.of(act_fn, negative_slope)
        if not unit.has_states:
            no_bits = np.zeros_like(self.offset, dtype=int)
            return replace(self, on=np.concatenate([self.on, no_bits], axis=1))
        cut = self.split()
        on = cut.offset + cut.slope * cut.middle[:, None] > 0
        factor = unit.factors(on)
        return replace(
            cut,
            offset=cut.offset * factor + unit.constants(on),
            slope=cut.slope * factor,
            on=np.concatenate([cut.on, on.astype(int)], axis=1),
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


def is_piecewise_linear(model: HookedMLP, layer: int = 0) -> bool:
    """Whether all that follows linear layer `layer` can be followed in closed form."""
    smooth_inside = layer < model.cfg.n_layers and model.cfg.act_fn not in PIECEWISE_LINEAR
    return not smooth_inside and model.cfg.out_act_fn in (*PIECEWISE_LINEAR, *MONOTONE)


def readout_cut(model: HookedMLP) -> float:
    """The value of the readout above which an output is decided 1.

    For an output activation that is the identity, sigmoid or tanh.
    """
    threshold, act_fn = model.threshold, model.cfg.out_act_fn
    if act_fn not in MONOTONE:
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
    offset: Float[ndarray, "case width"],
    slope: Float[ndarray, "case width"],
    *,
    low: float = -inf,
    high: float = inf,
) -> Pieces:
    """Pre-activations offset + slope t of linear layer `layer` -> the pieces of the outputs.

    The values are each output minus its cut, and the pieces are cut at the crossings too.

    Above zero is decided 1, below 0; zero on a whole piece is undecided. Needs
    `is_piecewise_linear(model, layer)`.
    """
    n_cases = len(offset)
    pieces = Pieces(
        case=np.arange(n_cases),
        low=np.full(n_cases, low),
        high=np.full(n_cases, high),
        offset=offset,
        slope=slope,
        on=np.zeros((n_cases, 0), dtype=int),
    )
    cfg = model.cfg
    for weight, bias in model.float64_layers()[layer + 1 :]:
        pieces = pieces.activated(cfg.act_fn, cfg.negative_slope)
        pieces = pieces.through(weight.numpy(), bias.numpy())
    if cfg.out_act_fn in PIECEWISE_LINEAR:
        pieces = pieces.activated(cfg.out_act_fn, cfg.negative_slope)
        cut = model.threshold
    else:
        cut = readout_cut(model)
    if np.isinf(cut):
        # A sigmoid or tanh that never reaches the threshold (or is always above): one decision.
        decided = np.full_like(pieces.offset, -np.sign(cut))
        return replace(pieces, offset=decided, slope=np.zeros_like(pieces.slope))
    distance = without_rounding(pieces.offset - cut, np.abs(pieces.offset) + abs(cut))
    return replace(pieces, offset=distance).split()


@dataclass(frozen=True, eq=False)
class Changes:
    """Where the decision of an output changes along a line.

    Arrays of one length, in order of case, output and t.

    `before` and `after` are decisions: 0, 1, or -1 for undecided.
    """

    case: Int[ndarray, " change"]
    output: Int[ndarray, " change"]
    t: Float[ndarray, " change"]
    before: Int[ndarray, " change"]
    after: Int[ndarray, " change"]


def decision_changes(pieces: Pieces) -> Changes:
    """The ends between neighbouring pieces of one case whose decisions differ."""
    sign = np.sign(pieces.offset + pieces.slope * pieces.middle[:, None])
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
