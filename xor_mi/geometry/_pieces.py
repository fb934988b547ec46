"""pre-activations that are affine in one number t -> the network's pieces in t, and where its
decisions change.

The one computation behind a path through the inputs (t is the position on it) and behind the slack
of a weight (t is the change of it): what enters a layer is offset + slope t, and every unit of a
piecewise linear activation cuts the line where its own value is zero. Many lines ("cases") run at
once."""

from dataclasses import dataclass, replace
from math import atanh, inf, log

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from xor_mi.model import HookedMLP

PIECEWISE_LINEAR = ("relu", "leaky_relu", "identity", "heaviside")
MONOTONE = ("sigmoid", "tanh")
ROUNDING = 1e-12
"""Pieces shorter than this (relative to t, at least absolute), and sums this much smaller than
their terms, are rounding.
"""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Stretches low < t < high of the line `case` on which the values are offset + slope t, and
    which units are above zero there.

    Pieces of one case are neighbours, in order. `on` holds the bits of every unit passed so far,
    [piece, unit]; an identity unit has no bit and counts as 0."""

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
        return np.where(
            np.isinf(self.low),
            np.where(np.isinf(self.high), 0.0, high - room),
            np.where(np.isinf(self.high), low + room, (low + high) / 2),
        )

    def split(self) -> "Pieces":
        """Cut every piece where one of its values is zero."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            roots = -self.offset / self.slope
        low, high = self.low[:, None], self.high[:, None]
        inside = np.isfinite(roots) & (roots > low) & (roots < high)
        edges = np.concatenate([low, np.sort(np.where(inside, roots, high), axis=1), high], axis=1)
        low, high = edges[:, :-1], edges[:, 1:]
        with np.errstate(invalid="ignore"):
            kept = (high > low) & ~(
                high - low <= ROUNDING * np.maximum(1, np.minimum(np.abs(low), np.abs(high)))
            )
        which = np.nonzero(kept)[0]
        return Pieces(
            self.case[which],
            low[kept],
            high[kept],
            self.offset[which],
            self.slope[which],
            self.on[which],
        )

    def activated(self, act_fn: str, negative_slope: float) -> "Pieces":
        """After a piecewise linear activation; its units cut the line first."""
        if act_fn == "identity":
            return replace(
                self, on=np.concatenate([self.on, np.zeros_like(self.offset, dtype=int)], axis=1)
            )
        cut = self.split()
        on = cut.offset + cut.slope * cut.middle[:, None] > 0
        factor = np.where(
            on, float(act_fn != "heaviside"), negative_slope if act_fn == "leaky_relu" else 0.0
        )
        offset = on.astype(float) if act_fn == "heaviside" else cut.offset * factor
        return replace(
            cut,
            offset=offset,
            slope=cut.slope * factor,
            on=np.concatenate([cut.on, on.astype(int)], axis=1),
        )

    def through(
        self, weight: Float[ndarray, "d_out width"], bias: Float[ndarray, " d_out"]
    ) -> "Pieces":
        """After a linear layer; a sum that is rounding against its terms is zero."""
        offset, slope = self.offset @ weight.T + bias, self.slope @ weight.T
        offset[
            np.abs(offset) <= ROUNDING * (np.abs(self.offset) @ np.abs(weight.T) + np.abs(bias))
        ] = 0
        slope[np.abs(slope) <= ROUNDING * (np.abs(self.slope) @ np.abs(weight.T))] = 0
        return replace(self, offset=offset, slope=slope)


def is_piecewise_linear(model: HookedMLP, layer: int = 0) -> bool:
    """Whether all that follows linear layer `layer` can be followed in closed form."""
    smooth_inside = layer < model.cfg.n_layers and model.cfg.act_fn not in PIECEWISE_LINEAR
    return not smooth_inside and model.cfg.out_act_fn in (*PIECEWISE_LINEAR, *MONOTONE)


def readout_cut(model: HookedMLP) -> float:
    """The value of the readout above which an output is decided 1, where the output activation is
    the identity, sigmoid or tanh.
    """
    threshold, act_fn = model.threshold, model.cfg.out_act_fn
    low = {"sigmoid": 0.0, "tanh": -1.0}.get(act_fn, -inf)
    if threshold <= low or (act_fn in MONOTONE and threshold >= 1):
        return -inf if threshold <= low else inf
    return {
        "sigmoid": lambda: log(threshold / (1 - threshold)),
        "tanh": lambda: atanh(threshold),
    }.get(act_fn, lambda: threshold)()


def follow(
    model: HookedMLP,
    layer: int,
    offset: Float[ndarray, "case width"],
    slope: Float[ndarray, "case width"],
    low: float = -inf,
    high: float = inf,
) -> Pieces:
    """Pre-activations offset + slope t of linear layer `layer` -> the pieces of every output minus
    its cut, cut at the crossings too.

    Above zero is decided 1, below 0; zero on a whole piece is undecided. Needs
    `is_piecewise_linear(model, layer)`."""
    ones = np.ones(len(offset))
    pieces = Pieces(
        np.arange(len(offset)),
        low * ones,
        high * ones,
        offset,
        slope,
        np.zeros((len(offset), 0), dtype=int),
    )
    for after in range(layer + 1, model.cfg.n_layers + 1):
        weight, bias = (value.numpy() for value in model.float64_layers()[after])
        pieces = pieces.activated(model.cfg.act_fn, model.cfg.negative_slope).through(weight, bias)
    cut = readout_cut(model)
    if model.cfg.out_act_fn in PIECEWISE_LINEAR:
        pieces, cut = (
            pieces.activated(model.cfg.out_act_fn, model.cfg.negative_slope),
            model.threshold,
        )
    if np.isinf(cut):
        return replace(
            pieces,
            offset=np.full_like(pieces.offset, -np.sign(cut)),
            slope=np.zeros_like(pieces.slope),
        )
    distance = pieces.offset - cut
    distance[np.abs(distance) <= ROUNDING * (np.abs(pieces.offset) + abs(cut))] = 0
    return replace(pieces, offset=distance).split()


@dataclass(frozen=True, eq=False)
class Changes:
    """Where the decision of an output changes along a line: arrays of one length, in order of case,
    output and t.

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
    differ = (decided[1:] != decided[:-1]) & (pieces.case[1:] == pieces.case[:-1])[:, None]
    output, place = np.nonzero(differ.T)
    order = np.lexsort((pieces.low[place + 1], output, pieces.case[place]))
    place, output = place[order], output[order]
    return Changes(
        pieces.case[place],
        output,
        pieces.low[place + 1],
        decided[place, output],
        decided[place + 1, output],
    )
