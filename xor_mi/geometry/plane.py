"""a network of two inputs -> the plane it divides.

Between and beyond the four corners the inputs are real numbers: the network's output is a surface over the plane, its decision boundary
the line where that surface meets the threshold, and each unit of the first layer turns on along a straight line.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.activations import exact_forward
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP, require_exact


@dataclass(frozen=True, eq=False)
class InputPlane:
    """The output over a square grid: outputs[i, j] is the output at (x0 = grid[i], x1 = grid[j]).

    Attributes:
        lines: unit -> the two ends of the line w.x + b = 0 inside the square; units whose line passes outside have none.
    """

    grid: Float[Tensor, " n"] = field(repr=False)
    outputs: Float[Tensor, "n n"] = field(repr=False)
    lines: dict[Unit, tuple[tuple[float, float], tuple[float, float]]]
    threshold: float


def input_plane(model: HookedMLP, low: float = -0.5, high: float = 1.5, n_points: int = 61, output: int = 0) -> InputPlane:
    """Evaluate a two-input network on a grid, and find where each first-layer unit turns on, exactly.

    Raises:
        XorMiError: a network with other than two inputs, an empty range, train mode, weights that are not finite.
    """
    require_exact(model, "the input plane")
    if model.cfg.d_in != 2:
        raise XorMiError(f"the input plane is drawn for 2 inputs; this network has {model.cfg.d_in}")
    if not (low < high and n_points >= 2):
        raise XorMiError(f"a plane from {low} to {high} with {n_points} points is empty; give low < high and at least 2 points")
    grid = torch.linspace(low, high, n_points, dtype=torch.float64)
    outputs = exact_forward(model, torch.cartesian_prod(grid, grid))[-1].post[:, output].reshape(n_points, n_points)
    weight, bias = model.exact()[0]
    ends = {Unit(0, j): _clip_line(weight[j].tolist(), bias[j].item(), low, high) for j in range(len(bias))}
    return InputPlane(grid, outputs, {unit: line for unit, line in ends.items() if line is not None}, model.threshold)


def _clip_line(weight: list[float], bias: float, low: float, high: float) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Where w0 x0 + w1 x1 + b = 0 crosses the sides of the square [low, high]^2: its two ends there, or None."""
    w0, w1 = weight
    crossings = [(-(bias + w1 * side) / w0, side) for side in (low, high) if w0] + [
        (side, -(bias + w0 * side) / w1) for side in (low, high) if w1
    ]
    inside = sorted({point for point in crossings if all(low <= value <= high for value in point)})
    return (inside[0], inside[-1]) if len(inside) >= 2 else None
