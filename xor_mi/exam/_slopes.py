"""one ExamProblem -> the slopes of its metric in the whole network, layer by layer and row by row.

`ExamProblem.gradient` has the slopes in the masks of edges. The functions here run the whole
network on any inputs, such as points between two rows, and give the slopes in the sums of each
layer.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.search import Problem

Given = ParamSpec("Given")
Result = TypeVar("Result")


def with_gradients(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The same function with gradients on, even if the caller has them off."""

    @wraps(function)
    def run(*args: Given.args, **settings: Given.kwargs) -> Result:
        with torch.inference_mode(mode=False), torch.enable_grad():
            return function(*args, **settings)

    return run


class LayerValues(NamedTuple):
    """A run of the whole network.

    Attributes:
        entering: per linear layer the values of its sources, [..., row, source].
        sums: per linear layer the sums of its targets before the activation, [..., row, target].
        outputs: [..., row, output].
    """

    entering: list[Tensor]
    sums: list[Tensor]
    outputs: Tensor


def weights_of(numbers: Problem) -> list[Tensor]:
    """The weights of each linear layer, float64, [target, source] each."""
    return [torch.from_numpy(layer.weight) for layer in numbers.layers]


def run_whole(
    numbers: Problem,
    inputs: Float[Tensor, "*batch row d_in"],
    weights: Sequence[Tensor] | None = None,
) -> LayerValues:
    """Run the whole network, with the convention's biases.

    Args:
        weights: other weights than the network's, such as copies with requires_grad.
    """
    entering: list[Tensor] = []
    sums: list[Tensor] = []
    values = inputs
    for number, weight in enumerate(weights_of(numbers) if weights is None else weights):
        entering.append(values)
        added = values @ weight.T + torch.from_numpy(numbers.layers[number].bias)
        # a leaf of its own graph if nothing before it requires a gradient
        sums.append(added if added.requires_grad else added.requires_grad_())
        values = numbers.model.activate(sums[-1], number)
    return LayerValues(entering, sums, values)


def add_edges_up(sums: Sequence[Tensor], entering: Sequence[Tensor], numbers: Problem) -> Tensor:
    """Slopes in sums, and moves of sources -> the first-order change through each edge.

    Args:
        sums: per linear layer, [..., target].
        entering: per linear layer, [..., source].

    Returns:
        [..., edge], in the order of `problem.edges`.
    """
    of_layers: list[Tensor] = []
    for slopes, moved, weight in zip(sums, entering, weights_of(numbers), strict=True):
        effects = slopes[..., :, None] * weight * moved[..., None, :]
        of_layers.append(effects.flatten(-2))
    return torch.cat(of_layers, dim=-1)


def midpoints(n_steps: int) -> Float[Tensor, " step"]:
    """The midpoints of n_steps equal parts of the line from 0 to 1."""
    return torch.from_numpy((np.arange(n_steps) + 0.5) / n_steps)
