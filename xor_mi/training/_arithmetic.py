"""stacked weights + inputs -> loss and gradient of every network, the chain rule written out; the
seed axis is last.

Two reasons not to use autograd here. It is several times slower at these widths, where an operation
costs more to start than to do. And a network's result must not depend, even in the last bit, on how
many others are in the batch, while PyTorch's reductions, its fused multiply-adds and its logistic
function round an entry differently by its place in the batch. So every sum over rows, inputs or
units is a chain of additions in a fixed order, a product and a sum are never fused, and sigmoid is
written with tanh. Each operation then acts on every network alike, and a loop over networks lies in
contiguous memory."""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Layer = tuple[Tensor, Tensor]
"""W [d_out, d_in, seed] and b [d_out, seed], views of the flat parameters."""


def views(flat: Float[Tensor, "parameter seed"], sizes: Sequence[int]) -> list[Layer]:
    """Flat parameters (W, then b, layer by layer) -> each layer's W and b, sharing memory."""
    found, at = [], 0
    for d_in, d_out in pairwise(sizes):
        weight = flat[at : at + d_out * d_in].view(d_out, d_in, -1)
        found.append((weight, flat[at + d_out * d_in : at + d_out * d_in + d_out]))
        at += d_out * d_in + d_out
    return found


def _sigmoid(pre: Tensor) -> Tensor:
    return torch.tanh(pre / 2).add_(1).div_(2)


def _normal_share(pre: Tensor) -> Tensor:
    return torch.erf(pre * 0.5**0.5).add_(1).div_(2)


Rule = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]]
ACTIVATION_RULES: dict[str, Rule] = {
    "relu": (torch.relu, lambda grad, pre, post: torch.ops.aten.threshold_backward(grad, post, 0)),
    "leaky_relu": (
        F.leaky_relu,
        lambda grad, pre, post: torch.ops.aten.leaky_relu_backward(grad, pre, 0.01, False),
    ),
    "tanh": (torch.tanh, lambda grad, pre, post: (1 - post * post).mul_(grad)),
    "sigmoid": (_sigmoid, lambda grad, pre, post: (1 - post).mul_(post).mul_(grad)),
    "gelu": (
        lambda pre: _normal_share(pre).mul_(pre),
        lambda grad, pre, post: (
            torch.exp(pre * pre / -2).mul_(pre).div_(math.sqrt(2 * math.pi)) + _normal_share(pre)
        ).mul_(grad),
    ),
    "identity": (lambda pre: pre, lambda grad, pre, post: grad),
}
"""name -> activation, and (gradient of its value, pre, post) -> gradient of pre; the gradient where
there is a kink is PyTorch's.
"""


class Task:
    """What all networks are trained on: rows, targets, and the shape and conventions they share."""

    def __init__(
        self, rows: Float[Tensor, "row d_in"], targets: Float[Tensor, "row d_out"], cfg: Any
    ) -> None:
        self.rows, self.sizes, self.loss_fn = rows, cfg.layer_sizes, cfg.loss_fn
        self.on = [[i for i, bit in enumerate(row) if bit] for row in rows.tolist()]
        self.targets, self.signs = targets[..., None], (1 - 2 * targets)[..., None]
        self.share = 1 / targets.numel()
        self.rules = [ACTIVATION_RULES[cfg.act_fn]] * cfg.n_layers + [
            ACTIVATION_RULES[cfg.out_act_fn]
        ]
        if cfg.loss_fn == "bce" and cfg.out_act_fn == "sigmoid":  # the loss then takes the logits
            self.rules[-1] = ACTIVATION_RULES["identity"]

    def forward(self, layers: Sequence[Layer], noise: Tensor | None = None) -> list[Layer]:
        """Pre- and post-activation of every layer, each [row, unit, seed]. noise: [row, d_in,
        seed], added to the inputs.
        """
        found, values = [], None if noise is None else self.rows[..., None] + noise
        for (weight, bias), (activate, _) in zip(layers, self.rules, strict=True):
            pre = self._first(weight, bias) if values is None else _affine(weight, bias, values)
            values = activate(pre)
            found.append((pre, values))
        return found

    def _first(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Rows of bits need no product: each row's pre-activation is the bias and the weights of
        the inputs that are on.
        """
        return torch.stack([reduce(torch.add, [weight[:, i] for i in on], bias) for on in self.on])

    def losses(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [row, d_out, seed] -> each network's mean loss [seed], and the loss's gradient at
        the outputs.
        """
        if self.loss_fn == "mse":
            error = outputs - self.targets
            return _total(_total(error * error)).mul_(self.share), error * (2 * self.share)
        wrong = outputs * self.signs  # above zero where the decision is wrong
        decay = torch.exp(-wrong.abs())
        loss = torch.log1p(decay).add_(torch.relu(wrong))
        slope = torch.where(wrong > 0, 1.0, decay).div_(decay.add_(1)).mul_(self.signs * self.share)
        return _total(_total(loss)).mul_(self.share), slope

    def gradient(
        self,
        layers: Sequence[Layer],
        values: Sequence[Layer],
        slope: Tensor,
        out: Sequence[Layer],
        noise: Any = None,
    ) -> None:
        """The loss's gradient at the outputs -> at every weight and bias, written into `out`."""
        for number in reversed(range(len(layers))):
            pre, post = values[number]
            slope = self.rules[number][1](slope, pre, post)
            into_weight, into_bias = out[number]
            _total(slope, into_bias)
            if number:
                inputs = values[number - 1][1]
                _total(slope[:, :, None] * inputs[:, None], into_weight)
                weight = layers[number][0]
                slope = _chain([slope[:, k, None] * weight[k] for k in range(len(weight))])
            elif noise is None:
                for i in range(self.rows.shape[1]):
                    on = [slope[row] for row, inputs_on in enumerate(self.on) if i in inputs_on]
                    into_weight[:, i] = reduce(torch.add, on) if on else 0.0
            else:
                _total(slope[:, :, None] * (self.rows[..., None] + noise)[:, None], into_weight)


def _affine(weight: Tensor, bias: Tensor, values: Tensor) -> Tensor:
    """W [d_out, d_in, seed], b, values [row, d_in, seed] -> [row, d_out, seed]."""
    return _chain([weight[:, i] * values[:, i, None] for i in range(weight.shape[1])]).add_(bias)


def _chain(terms: Sequence[Tensor]) -> Tensor:
    """The sum of fresh tensors, in order, in the memory of the first."""
    for term in terms[1:]:
        terms[0].add_(term)
    return terms[0]


def _total(values: Tensor, out: Tensor | None = None) -> Tensor:
    """Sum over the first axis, in order."""
    total = (
        torch.add(values[0], values[1], out=out)
        if len(values) > 1
        else values[0].clone()
        if out is None
        else out.copy_(values[0])
    )
    for value in values[2:]:
        total.add_(value)
    return total
