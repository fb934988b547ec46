"""smooth activations: the decision along a line, by enclosures and bracketing root finding.

On a stretch of the line every layer's values are enclosed by interval arithmetic. A stretch whose
output is enclosed on one side of the threshold is decided as a whole; the others are halved until
they are shorter than `CHANGE_RESOLUTION`. So a change is missed only if the decision changes back
within that length (relative to t where |t| > 1), and each one that is seen is then located to about
1e-12 by Chandrupatla's method. Enclosures are rounded as float64 rounds, not outward.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.optimize import elementwise

from xor_mi.errors import XorMiError
from xor_mi.geometry._pieces import Changes
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar

CHANGE_RESOLUTION = 1e-9
"""Two changes nearer to each other than this are not told apart."""

ROOT_TOLERANCE = 1e-12
"""How near a change is located."""

MAX_STRETCHES = 1_000_000
"""Undecided stretches held at once: an output that lies on the threshold along a whole stretch
would have ever more.
"""

_TURNING_POINTS = {"gelu": -0.7517915246935645, "leaky_relu": 0.0}
"""Where an activation that is not monotone turns."""


def values_at(
    model: HookedMLP, layer: int, pre: Float[ndarray, "*batch width"]
) -> Float[ndarray, "*batch d_out"]:
    """The outputs that follow from pre-activations of linear layer `layer`, in float64."""
    weights = model.float64_layers()
    value = torch.from_numpy(pre)
    for number in range(layer, model.cfg.n_layers + 1):
        if number > layer:
            value = value @ weights[number][0].T + weights[number][1]
        value = model.activate(value, number)
    return value.numpy()


def enclosed(
    model: HookedMLP,
    layer: int,
    low: Float[ndarray, "cell width"],
    high: Float[ndarray, "cell width"],
) -> tuple[Float[ndarray, "cell d_out"], Float[ndarray, "cell d_out"]]:
    """Bounds of pre-activations of linear layer `layer` -> bounds of the outputs."""
    weights = model.float64_layers()
    for number in range(layer, model.cfg.n_layers + 1):
        if number > layer:
            weight, bias = (value.numpy() for value in weights[number])
            positive, negative = np.maximum(weight, 0).T, np.minimum(weight, 0).T
            # A positive weight is lowest at the low end of its input, a negative one at the high.
            lowest = low @ positive + high @ negative + bias
            highest = high @ positive + low @ negative + bias
            low, high = lowest, highest
        act_fn = model.cfg.out_act_fn if number == model.cfg.n_layers else model.cfg.act_fn
        # An activation is extreme at an end of the interval, or where it turns inside it.
        turning = np.clip(_TURNING_POINTS.get(act_fn, 0.0), low, high)
        points = (torch.from_numpy(point) for point in (low, turning, high))
        reached = [model.activate(point, number).numpy() for point in points]
        low, high = np.minimum.reduce(reached), np.maximum.reduce(reached)
    return low, high


@dataclass(frozen=True, eq=False)
class _Stretches:
    """Stretches low < t < high of the line `case` on which one output is looked at.

    `state` is 1 where it is above the threshold all along, 0 where it is below, -1 where that is
    not settled.
    """

    case: Int[ndarray, " stretch"]
    output: Int[ndarray, " stretch"]
    low: Float[ndarray, " stretch"]
    high: Float[ndarray, " stretch"]
    state: Int[ndarray, " stretch"]

    def __len__(self) -> int:
        return len(self.case)

    def those(self, which: Bool[ndarray, " stretch"] | Int[ndarray, " chosen"]) -> "_Stretches":
        """Some of the stretches, in the order asked for."""
        return _Stretches(
            case=self.case[which],
            output=self.output[which],
            low=self.low[which],
            high=self.high[which],
            state=self.state[which],
        )

    def halved(self) -> "_Stretches":
        """Each stretch as its two halves."""
        middle = (self.low + self.high) / 2
        return _Stretches(
            case=np.repeat(self.case, 2),
            output=np.repeat(self.output, 2),
            low=np.stack([self.low, middle], axis=1).ravel(),
            high=np.stack([middle, self.high], axis=1).ravel(),
            state=np.repeat(self.state, 2),
        )

    def in_order(self) -> "_Stretches":
        """The stretches by case, output and t."""
        return self.those(np.lexsort((self.low, self.output, self.case)))


def bracketed_changes(
    model: HookedMLP,
    layer: int,
    offset: Float[ndarray, "case width"],
    slope: Float[ndarray, "case width"],
    edges: Float[ndarray, " edge"],
    *,
    progress: bool = True,
) -> Changes:
    """Where decisions change on lines offset + slope t of pre-activations.

    Looked for between the first and the last of the edges given.

    Raises:
        XorMiError: an output that stays on the threshold along a whole stretch.
    """
    n_outputs, n_stretches = model.cfg.d_out, len(edges) - 1
    case, output, number = np.indices((len(offset), n_outputs, n_stretches)).reshape(3, -1)
    open_stretches = _Stretches(
        case=case,
        output=output,
        low=edges[number],
        high=edges[number + 1],
        state=np.full(len(case), -1),
    )
    # Begun with no stretch at all, so that there is something to join where none is settled.
    settled = [open_stretches.those(np.zeros(0, dtype=int))]
    bar = progress_bar(doing="bracketing decision changes", unit="round", progress=progress)
    with bar:
        while len(open_stretches):
            if len(open_stretches) > MAX_STRETCHES:
                raise XorMiError(
                    f"an output stays within rounding of the threshold {model.threshold} "
                    "along a whole stretch; shift a bias"
                )
            tried = _settle(model, layer, offset, slope, open_stretches)
            settled.append(tried.those(tried.state >= 0))
            middle = np.abs((tried.low + tried.high) / 2)
            is_long = tried.high - tried.low > CHANGE_RESOLUTION * np.maximum(1, middle)
            open_stretches = tried.those((tried.state < 0) & is_long).halved()
            bar.update()
    return _between(model, layer, offset, slope, _joined(settled).in_order())


def _settle(
    model: HookedMLP,
    layer: int,
    offset: Float[ndarray, "case width"],
    slope: Float[ndarray, "case width"],
    stretches: _Stretches,
) -> _Stretches:
    """Stretches -> the same with their state, as far as enclosures settle it."""
    case = stretches.case
    at_low = offset[case] + slope[case] * stretches.low[:, None]
    at_high = offset[case] + slope[case] * stretches.high[:, None]
    lowest, highest = enclosed(
        model, layer, np.minimum(at_low, at_high), np.maximum(at_low, at_high)
    )
    # Of all outputs [stretch, d_out] each stretch looks at one.
    own = np.arange(len(case)), stretches.output
    above, below = lowest[own] > model.threshold, highest[own] < model.threshold
    return replace(stretches, state=np.select([above, below], [1, 0], -1))


def _joined(stretches: list[_Stretches]) -> _Stretches:
    return _Stretches(
        case=np.concatenate([part.case for part in stretches]),
        output=np.concatenate([part.output for part in stretches]),
        low=np.concatenate([part.low for part in stretches]),
        high=np.concatenate([part.high for part in stretches]),
        state=np.concatenate([part.state for part in stretches]),
    )


def _between(
    model: HookedMLP,
    layer: int,
    offset: Float[ndarray, "case width"],
    slope: Float[ndarray, "case width"],
    settled: _Stretches,
) -> Changes:
    """Where one output is settled differently on two neighbours: the change is between them."""
    before = settled.those(np.arange(len(settled) - 1))
    after = settled.those(np.arange(1, len(settled)))
    same_line = (after.case == before.case) & (after.output == before.output)
    is_change = same_line & (after.state != before.state)
    before, after = before.those(is_change), after.those(is_change)
    t = roots(
        model,
        layer,
        offset[before.case],
        slope[before.case],
        output=before.output,
        low=before.high,
        high=after.low,
    )
    return Changes(
        case=before.case, output=before.output, t=t, before=before.state, after=after.state
    )


def roots(
    model: HookedMLP,
    layer: int,
    offset: Float[ndarray, "case width"],
    slope: Float[ndarray, "case width"],
    *,
    output: Int[ndarray, " case"],
    low: Float[ndarray, " case"],
    high: Float[ndarray, " case"],
) -> Float[ndarray, " case"]:
    """Where each line's output equals the threshold, to about `ROOT_TOLERANCE`.

    It is looked for between two points on which the output lies on different sides.
    """
    if not len(low):
        return low

    def distance(t: ndarray, case: ndarray) -> ndarray:
        # SciPy hands on only the cases that have not converged, so their numbers come along.
        values = values_at(model, layer, offset[case] + slope[case] * t[..., None])
        return values[np.arange(len(case)), output[case]] - model.threshold

    result = elementwise.find_root(
        distance,
        (low, high),
        args=(np.arange(len(low)),),
        tolerances={"xatol": ROOT_TOLERANCE, "fatol": 0.0},
    )
    return result.x
