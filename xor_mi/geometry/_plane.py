"""a network of two inputs -> the plane it divides.

Between and beyond the four corners the inputs are real numbers: the network's output is a surface
over the plane, its decision boundary the line where that surface meets the threshold, and each unit
of the first layer turns on along a straight line."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.geometry._cells import as_box
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.values import forward_float64


@dataclass(frozen=True, eq=False)
class InputPlane:
    """The output over a rectangle's grid: outputs[i, j] is the output at (x0[i], x1[j]).

    Attributes:
        lines: unit -> the two ends of the line w.x + b = 0 inside the rectangle; units whose line
            passes outside have none.
    """

    x0: Float[Tensor, " n"] = field(repr=False)
    x1: Float[Tensor, " n"] = field(repr=False)
    outputs: Float[Tensor, "n n"] = field(repr=False)
    lines: dict[Unit, tuple[tuple[float, float], tuple[float, float]]]
    threshold: float


def input_plane(
    model: HookedMLP, *, bounds: Any = (-0.5, 1.5), n_points: int = 61, output: int = 0
) -> InputPlane:
    """Evaluate a two-input network on a grid, and find where each first-layer unit turns on,
    exactly.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)).

    Raises:
        XorMiError: other than two inputs, empty bounds, fewer than 2 points, no such output, train
            mode, weights that are not finite.
    """
    require_plain_mlp(model, "the input plane")
    box = as_box(model, bounds)
    if n_points < 2:
        raise XorMiError(f"a plane of {n_points} points a side is empty; give at least 2")
    if not 0 <= output < model.cfg.d_out:
        raise XorMiError(
            f"no output {output!r}; this network has {model.cfg.d_out}: 0 to {model.cfg.d_out - 1}"
        )
    x0, x1 = (
        torch.linspace(low, high, n_points, dtype=torch.float64) for low, high in box.tolist()
    )
    outputs = (
        forward_float64(model, torch.cartesian_prod(x0, x1))[-1]
        .post[:, output]
        .reshape(n_points, n_points)
    )
    weight, bias = model.float64_layers()[0]
    ends = {
        Unit(0, j): _clip_line(weight[j].tolist(), bias[j].item(), box.tolist())
        for j in range(len(bias))
    }
    return InputPlane(
        x0,
        x1,
        outputs,
        {unit: line for unit, line in ends.items() if line is not None},
        model.threshold,
    )


def _clip_line(
    weight: list[float], bias: float, box: list[list[float]]
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Where w0 x0 + w1 x1 + b = 0 crosses the sides of the rectangle: its two ends there, or
    None.
    """
    w0, w1 = weight
    crossings = [(-(bias + w1 * side) / w0, side) for side in box[1] if w0] + [
        (side, -(bias + w0 * side) / w1) for side in box[0] if w1
    ]
    inside = sorted(
        {
            point
            for point in crossings
            if all(low <= value <= high for value, (low, high) in zip(point, box, strict=True))
        }
    )
    return (inside[0], inside[-1]) if len(inside) >= 2 else None
