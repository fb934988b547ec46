"""a network of two inputs -> the plane it divides.

Between and beyond the four corners the inputs are real numbers: the network's output is a surface
over the plane, its decision boundary the line where that surface meets the threshold, and each unit
of the first layer turns on along a straight line.
"""

from dataclasses import dataclass, field

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import whole_number
from xor_mi.finding import Finding
from xor_mi.geometry._cells import as_box
from xor_mi.geometry._scores import score_names
from xor_mi.graph import Unit
from xor_mi.kinds import Bounds
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.values import forward_float64

Point = tuple[float, float]
"""(x0, x1)."""


@dataclass(frozen=True, eq=False)
class InputPlane(Finding):
    """What one decision is made by, over a rectangle's grid: outputs[i, j] is at (x0[i], x1[j]).

    By a threshold this is an output, by argmax over two outputs their difference.

    Attributes:
        lines: unit -> the two ends of the line w.x + b = 0 inside the rectangle; units whose line
            passes outside have none.
        threshold: what is decided at; 0 by argmax.
        output: which decision it is; that of an output has the output's number.
        score: what is decided by, such as "y0", or "y1 - y0" for argmax over two outputs.
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
) -> InputPlane:
    """Evaluate a two-input network on a grid.

    Finds the line as well along which each first-layer unit turns on.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)). By default half the
            distance between the input levels more on each side: (-0.5, 1.5) for 0 and 1.
        n_points: grid points a side.

    Raises:
        XorMiError: other than two inputs, empty bounds, fewer than 2 points, no such output, train
            mode, weights that are not finite.
    """
    require_plain_mlp(model, "the input plane")
    box = as_box(model, bounds).tolist()
    n_points = whole_number("n_points", n_points, at_least=2)
    output = model.require_output(output)
    x0, x1 = (torch.linspace(low, high, n_points, dtype=torch.float64) for low, high in box)
    outputs = forward_float64(model, torch.cartesian_prod(x0, x1))[-1].post
    values = model.rule.scores(outputs)[:, output]
    lines: dict[Unit, tuple[Point, Point]] = {}
    weight, bias = model.float64_layers()[0]
    for j, ((w0, w1), b) in enumerate(zip(weight.tolist(), bias.tolist(), strict=True)):
        ends = _clipped_line(w0, w1, b, box)
        if ends is not None:
            lines[Unit(0, j)] = ends
    return InputPlane(
        x0=x0,
        x1=x1,
        outputs=values.reshape(n_points, n_points),
        lines=lines,
        threshold=model.rule.cut,
        output=output,
        score=score_names(model)[output],
        levels=model.cfg.input_levels,
    )


def _clipped_line(
    w0: float, w1: float, bias: float, box: list[list[float]]
) -> tuple[Point, Point] | None:
    """The two ends of the line w0 x0 + w1 x1 + b = 0 on the sides of the rectangle, or None."""
    (left, right), (bottom, top) = box
    crossings: list[Point] = []
    if w0:
        crossings += [(-(bias + w1 * side) / w0, side) for side in (bottom, top)]
    if w1:
        crossings += [(side, -(bias + w0 * side) / w1) for side in (left, right)]
    inside = {(x, y) for x, y in crossings if left <= x <= right and bottom <= y <= top}
    # A line through a corner meets two sides in one point: two different points are needed.
    ends = sorted(inside)
    return (ends[0], ends[-1]) if len(ends) >= 2 else None
