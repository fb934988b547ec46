"""a network of two inputs -> the plane of its inputs.

Between and beyond the four corners the inputs are real numbers: the network's output is a surface
over the plane, its decision boundary is the line where that surface meets the threshold, and each
unit of the first layer turns on along a straight line.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from xor_mi.errors import require_memory, whole_number
from xor_mi.finding import Finding, number_text
from xor_mi.geometry._cells import as_box
from xor_mi.geometry._rounding import rounding_of_sum
from xor_mi.geometry._scores import score_names
from xor_mi.graph import Unit
from xor_mi.kinds import Bounds
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar
from xor_mi.values import forward_float64

Point = tuple[float, float]
"""(x0, x1)."""

VALUES_AT_ONCE = 1_000_000
"""Values of a layer on so many points times units are computed at once: a grid is cut in strips."""


@dataclass(frozen=True, eq=False)
class InputPlane(Finding):
    """The score of one decision over a rectangle's grid: outputs[i, j] is at (x0[i], x1[j]).

    With a threshold the score is an output, with argmax over two outputs their difference.

    Attributes:
        lines: unit -> the two ends of the line w.x + b = 0 inside the rectangle; units whose line
            is outside are not included.
        threshold: the number that scores are compared with; 0 with argmax.
        output: the number of the decision; the decision of an output has the output's number.
        score: what the decision is made by, such as "y0", or "y1 - y0" for argmax over two outputs.
        levels: the numbers that stand for bit 0 and bit 1.
    """

    x0: Float[Tensor, " n"] = field(repr=False)
    x1: Float[Tensor, " n"] = field(repr=False)
    outputs: Float[Tensor, "n n"] = field(repr=False)
    lines: dict[Unit, tuple[Point, Point]]
    threshold: float
    output: int
    score: str = "y0"
    levels: tuple[float, float] = (0.0, 1.0)

    def __str__(self) -> str:
        low, high = self.outputs.min().item(), self.outputs.max().item()
        percent = 100 * (self.outputs > self.threshold).double().mean().item()
        units = "1 unit turns" if len(self.lines) == 1 else f"{len(self.lines)} units turn"
        return (
            f"{self.score} on {len(self.x0)} x {len(self.x1)} points, from {number_text(low)} to "
            f"{number_text(high)}: above {number_text(self.threshold)} on "
            f"{number_text(percent, decimals=0)} % of them; {units} on along a line here"
        )

    def frame(self) -> pd.DataFrame:
        """One line per grid point: x0, x1, output (its number), value (of its score)."""
        points = torch.cartesian_prod(self.x0, self.x1)
        columns = {
            "x0": points[:, 0].tolist(),
            "x1": points[:, 1].tolist(),
            "output": self.output,
            "value": self.outputs.flatten().tolist(),
        }
        return pd.DataFrame(columns)


def input_plane(
    model: HookedMLP,
    *,
    bounds: Bounds | None = None,
    n_points: int = 61,
    output: int = 0,
    progress: bool = True,
) -> InputPlane:
    """Evaluate a two-input network on a grid.

    It also finds the line along which each first-layer unit turns on.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)). By default the plane
            goes half the distance between the input levels beyond them: (-0.5, 1.5) for 0 and 1.
        n_points: grid points per side.
        progress: show a bar if the work takes over half a second.

    Raises:
        XorMiError: a network without exactly two inputs, empty bounds, fewer than 2 points or more
            than there is memory for, no such output, train mode, weights that are not finite.
    """
    require_plain_mlp(model, "the input plane")
    box = as_box(model, bounds)
    n_points = whole_number("n_points", n_points, at_least=2)
    require_memory(
        8 * n_points**2,
        what=f"a grid of {n_points:,} x {n_points:,} points",
        do="give a smaller n_points",
    )
    output = model.require_output(output)
    x0, x1 = (torch.linspace(low, high, n_points, dtype=torch.float64) for low, high in box)
    return InputPlane(
        x0=x0,
        x1=x1,
        outputs=_scores_on_grid(model, output, x0, x1, progress),
        lines=_unit_lines(model, box),
        threshold=model.rule.cut,
        output=output,
        score=score_names(model)[output],
        levels=model.cfg.input_levels,
    )


def _scores_on_grid(
    model: HookedMLP, output: int, x0: Float[Tensor, " n"], x1: Float[Tensor, " n"], progress: bool
) -> Float[Tensor, "n n"]:
    """The score of one decision at every point, strip by strip."""
    n_lines = max(1, VALUES_AT_ONCE // (len(x1) * max(model.layer_sizes)))
    values = torch.empty(len(x0), len(x1), dtype=torch.float64)
    strips = range(0, len(x0), n_lines)
    bar = progress_bar(strips, doing="evaluating the plane", unit="strip", progress=progress)
    for at in bar:
        own = x0[at : at + n_lines]
        outputs = forward_float64(model, torch.cartesian_prod(own, x1))[-1].post
        values[at : at + n_lines] = model.rule.scores(outputs)[:, output].reshape(len(own), -1)
    return values


def _unit_lines(model: HookedMLP, box: Float[ndarray, "2 2"]) -> dict[Unit, tuple[Point, Point]]:
    """Where each unit of the first layer is zero inside the rectangle."""
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    corners = _corners(box)
    at_corners = corners @ weight.T + bias
    error = rounding_of_sum(np.abs(corners) @ np.abs(weight.T) + np.abs(bias), n_terms=3)
    lines: dict[Unit, tuple[Point, Point]] = {}
    is_unsure = np.any(np.abs(at_corners) <= error, axis=0)
    is_met = is_unsure | (np.any(at_corners > 0, axis=0) & np.any(at_corners < 0, axis=0))
    for j in np.nonzero(is_met)[0].tolist():
        (w0, w1), b = weight[j].tolist(), bias[j].item()
        if is_unsure[j]:
            ends = _exact_line(w0, w1, b, box.tolist())
        else:
            ends = _clipped_line(w0, w1, b, box.tolist(), at_corners[:, j] > 0)
        if ends is not None:
            lines[Unit(0, j)] = ends
    return lines


def _clipped_line(
    w0: float, w1: float, bias: float, box: list[list[float]], is_above: Bool[ndarray, "4"]
) -> tuple[Point, Point]:
    """The ends of a line that goes through no corner: they are on the sides whose corners it
    separates.

    Args:
        is_above: on which side of the line each corner is, counter-clockwise.
    """
    (left, right), (low, high) = box
    met: list[Point] = []
    for side in range(4):
        if is_above[side] == is_above[(side + 1) % 4]:
            continue
        if side % 2 == 0:
            x1 = low if side == 0 else high
            met.append((min(max(-(bias + w1 * x1) / w0, left), right), x1))
        else:
            x0 = right if side == 1 else left
            met.append((x0, min(max(-(bias + w0 * x0) / w1, low), high)))
    return min(met), max(met)


def _corners(box: Float[ndarray, "2 2"]) -> Float[ndarray, "4 2"]:
    (left, right), (low, high) = box
    return np.array([[left, low], [right, low], [right, high], [left, high]])


def _exact_line(
    w0: float, w1: float, bias: float, box: list[list[float]]
) -> tuple[Point, Point] | None:
    """The two ends of the line w0 x0 + w1 x1 + b = 0 on the sides of the rectangle, or None.

    Weights and sides are float64 numbers, so fractions say exactly which sides are met, and whether
    a line goes through a corner.
    """
    slopes, constant = (Fraction(w0), Fraction(w1)), Fraction(bias)
    sides = [[Fraction(end) for end in ends] for ends in box]
    met: set[tuple[Fraction, Fraction]] = set()
    for axis, other in ((0, 1), (1, 0)):
        if not slopes[axis]:
            continue
        for side in sides[other]:
            at = -(constant + slopes[other] * side) / slopes[axis]
            if sides[axis][0] <= at <= sides[axis][1]:
                met.add((at, side) if axis == 0 else (side, at))
    # A line through a corner meets two sides in one point: two different points are needed.
    if len(met) < 2:
        return None
    (start0, start1), (end0, end1) = min(met), max(met)
    return (float(start0), float(start1)), (float(end0), float(end1))
