"""smooth activations: the decision along a line, by enclosures and bracketing root finding.

On a stretch of the line every layer's values are enclosed by interval arithmetic. A stretch whose
output is enclosed on one side of the threshold is decided as a whole; the others are halved until
they are shorter than `TOLERANCE`. So a change is missed only if the decision changes back within
that length (relative to t where |t| > 1), and each one found is then located to about 1e-12 by
Chandrupatla's method. Enclosures are rounded as float64 rounds, not outward."""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import elementwise

from xor_mi.errors import XorMiError
from xor_mi.geometry._pieces import Changes
from xor_mi.model import HookedMLP

TOLERANCE = 1e-9
"""Two changes nearer to each other than this are not told apart."""
MAX_CELLS = 1_000_000
"""Undecided stretches held at once: an output that lies on the threshold along a whole stretch
would have ever more.
"""
_TURNS = {"gelu": -0.7517915246935645, "leaky_relu": 0.0}
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
            up, down = np.maximum(weight, 0).T, np.minimum(weight, 0).T
            low, high = low @ up + high @ down + bias, high @ up + low @ down + bias
        act_fn = model.cfg.out_act_fn if number == model.cfg.n_layers else model.cfg.act_fn
        turn = np.clip(_TURNS.get(act_fn, 0.0), low, high)
        reached = [
            model.activate(torch.from_numpy(end), number).numpy() for end in (low, turn, high)
        ]
        low, high = np.minimum.reduce(reached), np.maximum.reduce(reached)
    return low, high


def bracketed_changes(
    model: HookedMLP,
    layer: int,
    offset: Float[ndarray, "case width"],
    slope: Float[ndarray, "case width"],
    edges: Float[ndarray, " edge"],
) -> Changes:
    """Where decisions change on lines offset + slope t of pre-activations, between the first and
    the last of the edges given.

    Raises:
        XorMiError: an output that stays on the threshold along a whole stretch.
    """
    n_outputs = model.cfg.d_out
    grid = np.indices((len(offset), n_outputs, len(edges) - 1)).reshape(3, -1)
    case, output, low, high = grid[0], grid[1], edges[grid[2]], edges[grid[2] + 1]
    found: list[tuple[ndarray, ...]] = [(case[:0], output[:0], low[:0], high[:0], case[:0])]
    while len(case):
        if len(case) > MAX_CELLS:
            raise XorMiError(
                f"an output stays within rounding of the threshold {model.threshold} along a whole stretch; shift a bias"
            )
        ends = np.stack(
            [offset[case] + slope[case] * low[:, None], offset[case] + slope[case] * high[:, None]]
        )
        bottom, top = (
            bound[np.arange(len(case)), output]
            for bound in enclosed(model, layer, ends.min(0), ends.max(0))
        )
        above, below = bottom > model.threshold, top < model.threshold
        decided = above | below
        found.append(
            (
                case[decided],
                output[decided],
                low[decided],
                high[decided],
                above[decided].astype(int),
            )
        )
        middle = (low + high) / 2
        go_on = ~decided & (high - low > TOLERANCE * np.maximum(1, np.abs(middle)))
        case, output = (np.repeat(values[go_on], 2) for values in (case, output))
        low, high = (
            np.stack([low, middle], 1)[go_on].ravel(),
            np.stack([middle, high], 1)[go_on].ravel(),
        )
    case, output, low, high, state = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((low, output, case))
    case, output, low, high, state = (values[order] for values in (case, output, low, high, state))
    change = np.nonzero(
        (case[1:] == case[:-1]) & (output[1:] == output[:-1]) & (state[1:] != state[:-1])
    )[0]
    case, output = case[change], output[change]
    t = roots(model, layer, offset[case], slope[case], output, high[change], low[change + 1])
    return Changes(case, output, t, state[change], state[change + 1])


def roots(
    model: HookedMLP,
    layer: int,
    offset: Float[ndarray, "case width"],
    slope: Float[ndarray, "case width"],
    output: Int[ndarray, " case"],
    low: Float[ndarray, " case"],
    high: Float[ndarray, " case"],
) -> Float[ndarray, " case"]:
    """Where each line's output equals the threshold, between two points on whose sides it lies
    differently; to about 1e-12.
    """
    if not len(low):
        return low

    def distance(t: ndarray, which: ndarray) -> ndarray:
        return (
            values_at(model, layer, offset[which] + slope[which] * t[..., None])[
                np.arange(len(which)), output[which]
            ]
            - model.threshold
        )

    found = elementwise.find_root(
        distance,
        (low, high),
        args=(np.arange(len(low)),),
        tolerances={"xatol": 1e-12, "fatol": 0.0},
    )
    return found.x
