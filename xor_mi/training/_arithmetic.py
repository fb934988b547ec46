"""stacked weights + inputs -> loss and gradient of every network, the chain rule written out.

The seed axis is last everywhere: [parameter, seed], [row, unit, seed].

Two reasons not to use autograd here. It is several times slower at these widths, where an operation
costs more to start than to do. And a network's result must not depend, even in the last bit, on how
many others are in the batch, while PyTorch's reductions, its fused multiply-adds and its logistic
function round an entry differently by its place in the batch. So every sum over rows, inputs or
units is a chain of additions in a fixed order, a product and a sum are never fused, and sigmoid is
written with tanh. Each operation then acts on every network alike, and a loop over networks lies in
contiguous memory.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from xor_mi.model import ACTIVATIONS, HookedMLPConfig

Layer = tuple[Tensor, Tensor]
"""W [d_out, d_in, seed] and b [d_out, seed], views of the flat parameters."""

Values = tuple[Tensor, Tensor]
"""A layer's pre- and post-activation, each [row, unit, seed]."""

Activation = Callable[[Tensor], Tensor]
"""Pre-activation -> post-activation."""

ActivationGradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(gradient at the post-activation, pre-, post-activation) -> gradient at the pre-activation."""

LEAKY_SLOPE = 0.01
"""Slope of leaky_relu below zero in training; `TrainConfig` has no other."""


def views(flat: Float[Tensor, "parameter seed"], sizes: Sequence[int]) -> list[Layer]:
    """Flat parameters (W, then b, layer by layer) -> each layer's W and b, sharing memory."""
    layers = []
    start = 0
    for d_in, d_out in pairwise(sizes):
        bias_at = start + d_out * d_in
        end = bias_at + d_out
        layers.append((flat[start:bias_at].view(d_out, d_in, -1), flat[bias_at:end]))
        start = end
    return layers


def _sigmoid(pre: Tensor) -> Tensor:
    # (tanh(x / 2) + 1) / 2, and not torch.sigmoid: see above
    return torch.tanh(pre / 2).add_(1).div_(2)


def _normal_cdf(pre: Tensor) -> Tensor:
    """The standard normal distribution function."""
    return torch.erf(pre * 0.5**0.5).add_(1).div_(2)


def _gelu(pre: Tensor) -> Tensor:
    return _normal_cdf(pre).mul_(pre)


def _gelu_gradient(grad: Tensor, pre: Tensor, _post: Tensor) -> Tensor:
    # gelu(x) = x * cdf(x), so its slope is x * density(x) + cdf(x)
    density_times_pre = torch.exp(pre * pre / -2).mul_(pre).div_(math.sqrt(2 * math.pi))
    return (density_times_pre + _normal_cdf(pre)).mul_(grad)


def _relu_gradient(grad: Tensor, _pre: Tensor, post: Tensor) -> Tensor:
    # grad where post > 0, else 0
    return torch.ops.aten.threshold_backward(grad, post, 0)


def _leaky_relu_gradient(grad: Tensor, pre: Tensor, _post: Tensor) -> Tensor:
    # False: it is given the pre-activation, not the result
    return torch.ops.aten.leaky_relu_backward(grad, pre, LEAKY_SLOPE, False)


def _tanh_gradient(grad: Tensor, _pre: Tensor, post: Tensor) -> Tensor:
    return (1 - post * post).mul_(grad)


def _sigmoid_gradient(grad: Tensor, _pre: Tensor, post: Tensor) -> Tensor:
    return (1 - post).mul_(post).mul_(grad)


def _same(pre: Tensor) -> Tensor:
    return pre


def _same_gradient(grad: Tensor, _pre: Tensor, _post: Tensor) -> Tensor:
    return grad


ACTIVATION_RULES: dict[str, tuple[Activation, ActivationGradient]] = {
    "relu": (torch.relu, _relu_gradient),
    "leaky_relu": (partial(F.leaky_relu, negative_slope=LEAKY_SLOPE), _leaky_relu_gradient),
    "tanh": (torch.tanh, _tanh_gradient),
    "sigmoid": (_sigmoid, _sigmoid_gradient),
    "gelu": (_gelu, _gelu_gradient),
    "identity": (_same, _same_gradient),
}
"""name -> activation and its gradient; where there is a kink, the gradient is PyTorch's."""


class Forward:
    """Rows of bits through all networks of one shape at once."""

    def __init__(self, rows: Float[Tensor, "row d_in"], cfg: HookedMLPConfig) -> None:
        self.rows = rows
        self.sizes = cfg.layer_sizes
        self.inputs_on = [_ones(row) for row in rows.tolist()]
        names = (*cfg.act_fns, cfg.out_act_fn)
        self.activations = [_activation(name, cfg.negative_slope) for name in names]

    def values(
        self, layers: Sequence[Layer], noise: Float[Tensor, "row d_in seed"] | None = None
    ) -> list[Values]:
        """Pre- and post-activation of every layer. noise is added to the inputs."""
        values = []
        # None stands for the rows themselves, whose bits need no product
        inputs = None if noise is None else self.rows[..., None] + noise
        for (weight, bias), activate in zip(layers, self.activations, strict=True):
            if inputs is None:
                pre = self._first_layer(weight, bias)
            else:
                pre = _affine(weight, bias, inputs)
            inputs = activate(pre)
            values.append((pre, inputs))
        return values

    def _first_layer(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Pre-activations [row, d_out, seed]; rows of bits need no product.

        Each row's is the bias and the weights of the inputs that are on.
        """
        pre_of_row = []
        for inputs_on in self.inputs_on:
            weights_on = [weight[:, i] for i in inputs_on]
            pre_of_row.append(reduce(torch.add, weights_on, bias))
        return torch.stack(pre_of_row)


class Task(Forward):
    """What all networks are trained on: rows, targets, and the shape and conventions they share."""

    def __init__(
        self,
        rows: Float[Tensor, "row d_in"],
        targets: Float[Tensor, "row d_out"],
        cfg: HookedMLPConfig,
    ) -> None:
        super().__init__(rows, cfg)
        self.loss_fn = cfg.loss_fn
        # [row, d_out, 1]: the same for every network
        self.targets = targets[..., None]
        # -1 where the target is 1, 1 where it is 0: an output times this is above zero if wrong
        self.signs = (1 - 2 * targets)[..., None]
        # a mean is a sum times this
        self.share = 1 / targets.numel()
        hidden = [ACTIVATION_RULES[name] for name in cfg.act_fns]
        out = ACTIVATION_RULES[cfg.out_act_fn]
        if cfg.loss_fn == "bce" and cfg.out_act_fn == "sigmoid":
            # Binary cross-entropy is then taken of the logits, before the sigmoid.
            out = ACTIVATION_RULES["identity"]
        # one per layer; they take the place of those that only run forward
        rules = [*hidden, out]
        self.activations = [activate for activate, _ in rules]
        self.gradients = [gradient for _, gradient in rules]

    def losses(self, outputs: Float[Tensor, "row d_out seed"]) -> tuple[Tensor, Tensor]:
        """Outputs -> each network's mean loss [seed], and the loss's gradient at the outputs."""
        if self.loss_fn == "mse":
            error = outputs - self.targets
            return self._mean(error * error), error * (2 * self.share)
        # Binary cross-entropy is log(1 + exp(wrong)), and its slope sigmoid(wrong). Both are
        # written with exp(-|wrong|), which never overflows.
        wrong = outputs * self.signs
        decay = torch.exp(-wrong.abs())
        loss = torch.log1p(decay).add_(torch.relu(wrong))
        # 1 / (1 + decay) above zero, decay / (1 + decay) below; decay itself is not needed again
        numerator = torch.where(wrong > 0, 1.0, decay)
        slope = numerator.div_(decay.add_(1)).mul_(self.signs * self.share)
        return self._mean(loss), slope

    def _mean(self, losses: Tensor) -> Tensor:
        """Losses [row, d_out, seed] -> their mean, [seed]."""
        return _total(_total(losses)).mul_(self.share)

    def gradient(
        self,
        layers: Sequence[Layer],
        values: Sequence[Values],
        slope: Float[Tensor, "row d_out seed"],
        *,
        out: Sequence[Layer],
        noise: Float[Tensor, "row d_in seed"] | None = None,
    ) -> None:
        """The loss's gradient at the outputs -> at every weight and bias, written into `out`."""
        for number in reversed(range(len(layers))):
            pre, post = values[number]
            # from the post-activation to the pre-activation, [row, d_out, seed]
            slope = self.gradients[number](slope, pre, post)
            into_weight, into_bias = out[number]
            _total_into(into_bias, slope)
            if number > 0:
                _, inputs = values[number - 1]
                _total_into(into_weight, _outer(slope, inputs))
                # on to the layer before, [row, d_in, seed]: a sum over this layer's units
                weight, _ = layers[number]
                slope = _chain([slope[:, k, None] * weight[k] for k in range(len(weight))])
            elif noise is not None:
                inputs = self.rows[..., None] + noise
                _total_into(into_weight, _outer(slope, inputs))
            else:
                self._first_weight_gradient(into_weight, slope)

    def _first_weight_gradient(self, into_weight: Tensor, slope: Tensor) -> None:
        """Rows of bits need no product here either.

        An input's weights get the slopes of the rows on which it is on.
        """
        for i in range(self.rows.shape[1]):
            slopes_on = [slope[row] for row, on in enumerate(self.inputs_on) if i in on]
            # an input that is off on every row never gets a gradient
            into_weight[:, i] = reduce(torch.add, slopes_on) if slopes_on else 0.0


def _ones(row: Sequence[float]) -> list[int]:
    """The indices of the inputs that are on."""
    return [i for i, bit in enumerate(row) if bit]


def _activation(name: str, negative_slope: float) -> Activation:
    if name == "leaky_relu":
        return partial(F.leaky_relu, negative_slope=negative_slope)
    if name == "heaviside":  # runs, but has no gradient, so there is no rule
        return ACTIVATIONS[name]
    return ACTIVATION_RULES[name][0]


def _affine(weight: Tensor, bias: Tensor, values: Tensor) -> Tensor:
    """W [d_out, d_in, seed], b, values [row, d_in, seed] -> [row, d_out, seed]."""
    terms = [weight[:, i] * values[:, i, None] for i in range(weight.shape[1])]
    return _chain(terms).add_(bias)


def _outer(slope: Tensor, inputs: Tensor) -> Tensor:
    """[row, d_out, seed], [row, d_in, seed] -> each row's gradient [row, d_out, d_in, seed]."""
    return slope[:, :, None] * inputs[:, None]


def _chain(terms: Sequence[Tensor]) -> Tensor:
    """The sum of fresh tensors, in the memory of the first.

    A chain and not `sum`: PyTorch's reductions choose their order by the shape of the batch, so a
    network's last bit would depend on its neighbours.
    """
    for term in terms[1:]:
        terms[0].add_(term)
    return terms[0]


def _total(values: Tensor) -> Tensor:
    """Sum over the first axis, in order."""
    return _total_into(torch.empty_like(values[0]), values)


def _total_into(out: Tensor, values: Tensor) -> Tensor:
    """Sum over the first axis, in order, written into `out`."""
    if len(values) == 1:
        return out.copy_(values[0])
    torch.add(values[0], values[1], out=out)
    for value in values[2:]:
        out.add_(value)
    return out
