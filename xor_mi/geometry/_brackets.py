"""smooth activations: the decision along a line, by enclosures and bracketing root finding.

On a stretch of the line every layer's values are enclosed by interval arithmetic. A stretch whose
output is enclosed on one side of the threshold has one decision; other stretches are halved until
they are shorter than `CHANGE_RESOLUTION`. So a change is missed only if the decision changes back
within that length (relative to t if |t| is above a unit of t). Each change that is seen is then
located to about 1e-12 of t by Chandrupatla's method. Enclosures are rounded as float64 rounds, not
outward.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.optimize import elementwise

from xor_mi.errors import XorMiError
from xor_mi.geometry._pieces import MONOTONE, Changes, Lines
from xor_mi.geometry._scores import rivals_of, smallest_of_decisions
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar

CHANGE_RESOLUTION = 1e-9
"""Two changes nearer to each other than this are not told apart, in units of t."""

ROOT_TOLERANCE = 1e-12
"""How closely a change is located, relative to its t."""

SCORE_NOISE = 2.0**-46
"""How far rounding of a score may move its change, in units of t."""

MAX_STRETCHES = 1_000_000
"""At most so many undecided stretches are held at once: an output that lies on the threshold along
a whole stretch would give ever more of them.
"""

_TURNING_POINTS: dict[str, tuple[float, ...]] = {
    "leaky_relu": (0.0,),
    # where x Phi(x) is least
    "gelu": (-0.7517915246935645,),
    # where x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 is least
    "gelu_tanh": (-0.7524614220710163,),
    # where x sigmoid(x) is least: x = -(1 + W(1/e)) with Lambert's W
    "silu": (-1.278464542761074,),
    # PyTorch's softplus is x itself above 20, where it falls by 2e-9 at once: both sides of that
    # step
    "softplus": (20.0, float(np.nextafter(20.0, 21.0))),
}
"""Where an activation that is not monotone has turning points; all other activations never fall."""


def scores_at(
    model: HookedMLP,
    layer: int,
    pre: Float[ndarray, "*batch width"],
    inputs: Float[ndarray, "*batch d_in"],
) -> Float[ndarray, "*batch decision"]:
    """The scores that follow from pre-activations of linear layer `layer`, minus the cut.

    They are in float64; see `_is_decided_by_readout` for a sigmoid or tanh output.

    Args:
        inputs: the network's inputs, for direct connections.
    """
    cfg, weights = model.cfg, model.float64_layers()
    value = torch.from_numpy(pre)
    for number in range(layer, cfg.n_layers + 1):
        if number > layer:
            if cfg.direct and number == cfg.n_layers:
                value = torch.cat([value, torch.from_numpy(inputs)], dim=-1)
            value = value @ weights[number][0].T + weights[number][1]
        if number < cfg.n_layers or not _is_decided_by_readout(model):
            value = model.activate(value, number)
    return model.rule.distance(value).numpy()


def _is_decided_by_readout(model: HookedMLP) -> bool:
    """Whether the largest readout is compared instead of the largest output, which rounding may
    hide.

    In float64, the sigmoid of 40 and the sigmoid of 50 are both 1.
    """
    return model.rule.name == "argmax" and model.cfg.out_act_fn in ("identity", *MONOTONE)


Interval = tuple[Float[ndarray, "cell _width"], Float[ndarray, "cell _width"]]
"""The least and the largest values in each cell."""


def enclosed(
    model: HookedMLP, layer: int, pre: Interval, inputs: Interval
) -> tuple[Float[ndarray, "cell decision"], Float[ndarray, "cell decision"]]:
    """Bounds of pre-activations of linear layer `layer` -> bounds of the scores, minus the cut."""
    cfg, weights = model.cfg, model.float64_layers()
    rivals = rivals_of(model).reshape(-1, cfg.d_out)
    # the difference of two readouts is bounded as one sum, because what they share cancels
    are_compared = layer < cfg.n_layers and _is_decided_by_readout(model)
    between = pre
    for number in range(layer, cfg.n_layers + 1):
        is_last = number == cfg.n_layers
        if number > layer:
            weight, bias = (value.numpy() for value in weights[number])
            if is_last and cfg.direct:
                between = _beside(between, inputs)
            if is_last and are_compared:
                weight, bias = rivals @ weight, rivals @ bias
            between = _through(between, weight, bias)
        if not is_last or not _is_decided_by_readout(model):
            between = _activated(model, number, between)
    if model.rule.name == "argmax" and not are_compared:
        between = _through(between, rivals, np.zeros(len(rivals)))
    low, high = (smallest_of_decisions(ends, cfg.n_decisions) - model.rule.cut for ends in between)
    return low, high


def _through(
    between: Interval, weight: Float[ndarray, "d_out width"], bias: Float[ndarray, " d_out"]
) -> Interval:
    """Bounds after a linear layer.

    The term of a positive weight is lowest at the low end of what it reads, and that of a negative
    weight at the high end.
    """
    low, high = between
    positive, negative = np.maximum(weight, 0).T, np.minimum(weight, 0).T
    return low @ positive + high @ negative + bias, high @ positive + low @ negative + bias


def _beside(between: Interval, inputs: Interval) -> Interval:
    """The hidden values, followed by the network's inputs."""
    low, high = (np.concatenate(ends, axis=1) for ends in zip(between, inputs, strict=True))
    return low, high


def _activated(model: HookedMLP, layer: int, between: Interval) -> Interval:
    """Bounds after an activation, which is extreme at an end or at a turning point."""
    low, high = between
    turns = _TURNING_POINTS.get(model.cfg.act_name(layer), ())
    points = [low, *(np.clip(turn, low, high) for turn in turns), high]
    reached = [model.activate(torch.from_numpy(point), layer).numpy() for point in points]
    return np.minimum.reduce(reached), np.maximum.reduce(reached)


@dataclass(frozen=True, eq=False)
class _Stretches:
    """Stretches low < t < high of the line `case`, each for one decision (`output`).

    `state` is 1 where its score is above the cut everywhere, 0 where it is below everywhere, and -1
    where this is not settled.
    """

    case: Int[ndarray, " stretch"]
    output: Int[ndarray, " stretch"]
    low: Float[ndarray, " stretch"]
    high: Float[ndarray, " stretch"]
    state: Int[ndarray, " stretch"]

    def __len__(self) -> int:
        return len(self.case)

    def those(self, which: Bool[ndarray, " stretch"] | Int[ndarray, " chosen"]) -> "_Stretches":
        """The stretches with these numbers, in the given order."""
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
    pre: Lines,
    inputs: Lines,
    edges: Float[ndarray, " edge"],
    *,
    unit: float = 1.0,
    progress: bool = True,
) -> Changes:
    """Where decisions change on lines of pre-activations of linear layer `layer`.

    The search goes from the first to the last of the given edges.

    Args:
        inputs: the network's inputs on the same lines, for direct connections.
        unit: the unit of t in which `CHANGE_RESOLUTION` is given.

    Raises:
        XorMiError: an output that stays on the threshold along a whole stretch.
    """
    n_decisions, n_stretches = model.cfg.n_decisions, len(edges) - 1
    case, output, number = np.indices((len(pre), n_decisions, n_stretches)).reshape(3, -1)
    open_stretches = _Stretches(
        case=case,
        output=output,
        low=edges[number],
        high=edges[number + 1],
        state=np.full(len(case), -1),
    )
    # It begins with an empty set of stretches, so that there is something to join if none is
    # settled.
    settled = [open_stretches.those(np.zeros(0, dtype=int))]
    bar = progress_bar(doing="bracketing decision changes", unit="round", progress=progress)
    with bar:
        while len(open_stretches):
            if len(open_stretches) > MAX_STRETCHES:
                held_against = (
                    f"the threshold {model.rule.cut}"
                    if model.rule.name == "threshold"
                    else "a tie with another"
                )
                raise XorMiError(
                    f"an output stays within rounding of {held_against} "
                    "along a whole stretch; shift a bias"
                )
            tried = _settle(model, layer, pre, inputs, open_stretches)
            settled.append(tried.those(tried.state >= 0))
            middle = np.abs((tried.low + tried.high) / 2)
            is_long = tried.high - tried.low > CHANGE_RESOLUTION * np.maximum(unit, middle)
            open_stretches = tried.those((tried.state < 0) & is_long).halved()
            bar.update()
    return _between(model, layer, pre, inputs, _joined(settled).in_order(), unit)


def _settle(
    model: HookedMLP, layer: int, pre: Lines, inputs: Lines, stretches: _Stretches
) -> _Stretches:
    """The stretches with their states, as far as enclosures settle them."""
    case, low, high = stretches.case, stretches.low, stretches.high
    lowest, highest = enclosed(
        model, layer, pre.those(case).between(low, high), inputs.those(case).between(low, high)
    )
    # Each stretch needs one of all decisions [stretch, decision].
    own = np.arange(len(case)), stretches.output
    return replace(stretches, state=np.select([lowest[own] > 0, highest[own] < 0], [1, 0], -1))


def _joined(stretches: list[_Stretches]) -> _Stretches:
    return _Stretches(
        case=np.concatenate([part.case for part in stretches]),
        output=np.concatenate([part.output for part in stretches]),
        low=np.concatenate([part.low for part in stretches]),
        high=np.concatenate([part.high for part in stretches]),
        state=np.concatenate([part.state for part in stretches]),
    )


def _between(
    model: HookedMLP, layer: int, pre: Lines, inputs: Lines, settled: _Stretches, unit: float
) -> Changes:
    """The gaps between neighbours that settle one decision differently: a change is there."""
    before = settled.those(np.arange(len(settled) - 1))
    after = settled.those(np.arange(1, len(settled)))
    same_line = (after.case == before.case) & (after.output == before.output)
    is_change = same_line & (after.state != before.state)
    before, after = before.those(is_change), after.those(is_change)
    t = roots(
        model,
        layer,
        pre.those(before.case),
        inputs.those(before.case),
        output=before.output,
        low=before.high,
        high=after.low,
        tolerance=SCORE_NOISE * ROOT_TOLERANCE * unit,
    )
    return Changes(
        case=before.case,
        output=before.output,
        t=t,
        before=before.state,
        after=after.state,
        error=ROOT_TOLERANCE * np.abs(t) + SCORE_NOISE * unit,
    )


def roots(
    model: HookedMLP,
    layer: int,
    pre: Lines,
    inputs: Lines,
    *,
    output: Int[ndarray, " case"],
    low: Float[ndarray, " case"],
    high: Float[ndarray, " case"],
    tolerance: float = ROOT_TOLERANCE,
) -> Float[ndarray, " case"]:
    """Where each line's score equals the cut, to about `ROOT_TOLERANCE` of t.

    It is searched for between two points at which the score lies on different sides.

    Args:
        tolerance: how closely it is located if t is small.
    """
    if not len(low):
        return low

    def distance(t: ndarray, case: ndarray) -> ndarray:
        # SciPy passes only the cases that have not converged, so their numbers are passed, too.
        scores = scores_at(model, layer, pre.those(case).at(t), inputs.those(case).at(t))
        return scores[np.arange(len(case)), output[case]]

    result = elementwise.find_root(
        distance,
        (low, high),
        args=(np.arange(len(low)),),
        tolerances={"xatol": tolerance, "xrtol": ROOT_TOLERANCE, "fatol": 0.0},
    )
    return result.x
