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
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from xor_mi.kinds import ActivationName
from xor_mi.model import HookedMLPConfig

Layer = tuple[Tensor, Tensor]
"""W [d_out, d_in, seed] and b [d_out, seed], views of the flat parameters."""


class Values(NamedTuple):
    """A layer's pre- and post-activation, each [row, unit, seed].

    Attributes:
        sources: what the layer reads, [row, d_in, seed]; None for the rows of bits themselves.
    """

    pre: Tensor
    post: Tensor
    sources: Tensor | None


@dataclass(frozen=True)
class Sample:
    """What each network learns from at one step, if that is not all rows and all units.

    Attributes:
        rows: the numbers of the rows, each network's own; None for all.
        factors: per hidden layer, what dropout multiplies each unit by: 0, or 1 / (1 - share).
    """

    rows: Int[Tensor, "batch seed"] | None
    factors: Sequence[Float[Tensor, "batch _ seed"]] | None


Activation = Callable[[Tensor], Tensor]
"""Pre-activation -> post-activation."""

ActivationGradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(gradient at the post-activation, pre-, post-activation) -> gradient at the pre-activation."""


def layer_shapes(sizes: Sequence[int], *, direct: bool = False) -> list[tuple[int, int]]:
    """(d_out, d_in) of every layer; with direct connections the last one reads the inputs too.

    >>> layer_shapes((2, 3, 1)), layer_shapes((2, 3, 1), direct=True)
    ([(3, 2), (1, 3)], [(3, 2), (1, 5)])
    """
    shapes = [(d_out, d_in) for d_in, d_out in pairwise(sizes)]
    if direct:
        d_out, d_last = shapes[-1]
        shapes[-1] = (d_out, d_last + sizes[0])
    return shapes


def views(
    flat: Float[Tensor, "parameter seed"], sizes: Sequence[int], *, direct: bool = False
) -> list[Layer]:
    """Flat parameters (W, then b, layer by layer) -> each layer's W and b, sharing memory."""
    layers = []
    start = 0
    for d_out, d_in in layer_shapes(sizes, direct=direct):
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


def _leaky_relu_rule(slope: float) -> tuple[Activation, ActivationGradient]:
    def gradient(grad: Tensor, pre: Tensor, _post: Tensor) -> Tensor:
        # False: it is given the pre-activation, not the result
        return torch.ops.aten.leaky_relu_backward(grad, pre, slope, False)

    return partial(F.leaky_relu, negative_slope=slope), gradient


def _tanh_gradient(grad: Tensor, _pre: Tensor, post: Tensor) -> Tensor:
    return (1 - post * post).mul_(grad)


def _sigmoid_gradient(grad: Tensor, _pre: Tensor, post: Tensor) -> Tensor:
    return (1 - post).mul_(post).mul_(grad)


def _same(pre: Tensor) -> Tensor:
    return pre


def _same_gradient(grad: Tensor, _pre: Tensor, _post: Tensor) -> Tensor:
    return grad


def _softplus(pre: Tensor) -> Tensor:
    # log(1 + exp(x)), with exp(-|x|), which never overflows
    soft = torch.log1p(torch.exp(-pre.abs())).add_(torch.relu(pre))
    return torch.where(pre > SOFTPLUS_IS_STRAIGHT_ABOVE, pre, soft)


def _softplus_gradient(grad: Tensor, pre: Tensor, _post: Tensor) -> Tensor:
    slope = torch.where(pre > SOFTPLUS_IS_STRAIGHT_ABOVE, 1.0, _sigmoid(pre))
    return slope.mul_(grad)


def _elu(pre: Tensor) -> Tensor:
    return torch.expm1(pre.clamp(max=0)).add_(torch.relu(pre))


def _elu_gradient(grad: Tensor, pre: Tensor, _post: Tensor) -> Tensor:
    # exp(x) below zero, 1 above
    return torch.exp(pre.clamp(max=0)).mul_(grad)


def _silu(pre: Tensor) -> Tensor:
    return _sigmoid(pre).mul_(pre)


def _silu_gradient(grad: Tensor, pre: Tensor, _post: Tensor) -> Tensor:
    sigmoid = _sigmoid(pre)
    # silu(x) = x * s, so its slope is s + x * s * (1 - s)
    return (1 - sigmoid).mul_(pre).add_(1).mul_(sigmoid).mul_(grad)


def _tanh_in_gelu(pre: Tensor) -> Tensor:
    return torch.tanh((pre * pre).mul_(GELU_CUBIC).add_(1).mul_(pre).mul_(GELU_SCALE))


def _gelu_tanh(pre: Tensor) -> Tensor:
    return _tanh_in_gelu(pre).add_(1).mul_(pre).div_(2)


def _gelu_tanh_gradient(grad: Tensor, pre: Tensor, _post: Tensor) -> Tensor:
    tanh = _tanh_in_gelu(pre)
    slope_inside = (pre * pre).mul_(3 * GELU_CUBIC).add_(1).mul_(GELU_SCALE)
    # gelu(x) = x * (1 + t) / 2, so its slope is (1 + t) / 2 + x * (1 - t^2) * inside' / 2
    from_tanh = (1 - tanh * tanh).mul_(pre).mul_(slope_inside)
    return tanh.add_(1).add_(from_tanh).div_(2).mul_(grad)


def _hardsigmoid(pre: Tensor) -> Tensor:
    return (pre + 3).clamp_(0, 6).div_(6)


def _between(low: float, high: float, slope: float = 1.0) -> ActivationGradient:
    """The gradient of an activation that rises between two kinks, which count as outside."""

    def gradient(grad: Tensor, pre: Tensor, _post: Tensor) -> Tensor:
        is_inside = (pre > low) & (pre < high)
        return torch.where(is_inside, grad * slope, 0.0)

    return gradient


SOFTPLUS_IS_STRAIGHT_ABOVE = 20.0
"""Where PyTorch's softplus hands its argument on."""

GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715
"""Constants of the approximation of gelu by tanh."""

ACTIVATION_RULES: dict[str, tuple[Activation, ActivationGradient]] = {
    "relu": (torch.relu, _relu_gradient),
    "relu6": (partial(torch.clamp, min=0, max=6), _between(0.0, 6.0)),
    "hardtanh": (partial(torch.clamp, min=-1, max=1), _between(-1.0, 1.0)),
    "hardsigmoid": (_hardsigmoid, _between(-3.0, 3.0, 1 / 6)),
    "tanh": (torch.tanh, _tanh_gradient),
    "sigmoid": (_sigmoid, _sigmoid_gradient),
    "softplus": (_softplus, _softplus_gradient),
    "elu": (_elu, _elu_gradient),
    "silu": (_silu, _silu_gradient),
    "gelu": (_gelu, _gelu_gradient),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_gradient),
    "identity": (_same, _same_gradient),
}
"""name -> activation and its gradient; where there is a kink, the gradient is PyTorch's.

leaky_relu, whose slope is a setting, is made by `_rules`.
"""


def _act_fns(cfg: HookedMLPConfig) -> list[ActivationName]:
    """What the network applies after every linear layer."""
    return [cfg.act_name(number) for number in range(cfg.n_layers + 1)]


def _rules(
    act_fns: Sequence[ActivationName], cfg: HookedMLPConfig
) -> list[tuple[Activation, ActivationGradient]]:
    """These activations and their gradients; steps have none."""
    rules = []
    for number, name in enumerate(act_fns):
        if name == "leaky_relu":
            rules.append(_leaky_relu_rule(cfg.negative_slope))
        elif name in ACTIVATION_RULES:
            rules.append(ACTIVATION_RULES[name])
        else:  # a step runs, but `TrainConfig` refuses to train it
            rules.append((cfg.activation(number), _no_gradient))
    return rules


def _no_gradient(grad: Tensor, _pre: Tensor, _post: Tensor) -> Tensor:
    return torch.zeros_like(grad)


class Forward:
    """Inputs through all networks of one shape at once.

    Args:
        rows: the network's inputs, with bits at their levels.
    """

    def __init__(self, rows: Float[Tensor, "row d_in"], cfg: HookedMLPConfig) -> None:
        self.rows = rows
        self.sizes = cfg.layer_sizes
        self.direct = cfg.direct
        # for rows of zeros and ones the inputs that are on; None if a product is needed
        are_bits = bool(((rows == 0) | (rows == 1)).all())
        self.inputs_on = [_ones(row) for row in rows.tolist()] if are_bits else None
        self.activations = [activate for activate, _ in _rules(_act_fns(cfg), cfg)]

    def views(self, flat: Float[Tensor, "parameter seed"]) -> list[Layer]:
        """Flat parameters -> each layer's W and b, sharing memory."""
        return views(flat, self.sizes, direct=self.direct)

    def values(
        self,
        layers: Sequence[Layer],
        noise: Float[Tensor, "row d_in seed"] | None = None,
        *,
        sample: Sample | None = None,
    ) -> list[Values]:
        """Pre- and post-activation of every layer.

        Args:
            noise: added to the inputs.
            sample: the rows that are used and the units that are left out.
        """
        values = []
        # None stands for the rows themselves, whose bits need no product
        inputs = self._inputs(noise, sample)
        sources = inputs
        last = len(layers) - 1
        factors = None if sample is None else sample.factors
        for number, (weight, bias) in enumerate(layers):
            if self.direct and number == last:
                sources = self._with_inputs(sources, inputs)
            if sources is None:
                pre = self._first_layer(weight, bias)
            else:
                pre = _affine(weight, bias, sources)
            post = self.activations[number](pre)
            values.append(Values(pre, post, sources))
            sources = post
            if factors is not None and number < last:
                sources = post * factors[number]
        return values

    def _inputs(
        self, noise: Float[Tensor, "row d_in seed"] | None, sample: Sample | None
    ) -> Float[Tensor, "batch d_in *seed"] | None:
        """The values that the first layer reads; None for the rows of bits themselves."""
        rows = self.rows[..., None]
        if noise is not None:
            return _drawn(rows + noise, sample)
        is_whole = sample is None or sample.rows is None
        return None if is_whole and self.inputs_on is not None else _drawn(rows, sample)

    def _with_inputs(
        self, hidden: Tensor | None, inputs: Tensor | None
    ) -> Float[Tensor, "batch d_in seed"]:
        """The values that a readout with direct connections reads: the last hidden layer, the
        inputs."""
        assert hidden is not None  # there is a hidden layer before every readout
        inputs = self.rows[..., None] if inputs is None else inputs
        return torch.cat([hidden, inputs.expand(-1, -1, hidden.shape[2])], dim=1)

    def _first_layer(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Pre-activations [row, d_out, seed]; rows of bits need no product.

        For a row it is the sum of the bias and the weights of the inputs that are on.
        """
        pre_of_row = []
        for inputs_on in self.inputs_on or ():
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
        # -1 where the target is 1, 1 where it is 0: the product with a wrong output is above zero
        self.signs = 1 - 2 * self.targets
        # what is applied after every linear layer
        self.act_fns = _act_fns(cfg)
        if cfg.loss_fn == "bce" and cfg.out_act_fn == "sigmoid":
            # Binary cross-entropy is then computed from the logits, before the sigmoid.
            self.act_fns[-1] = "identity"
        rules = _rules(self.act_fns, cfg)
        # one per layer; they take the place of those that only run forward
        self.activations = [activate for activate, _ in rules]
        self.gradients = [gradient for _, gradient in rules]

    def losses(
        self, outputs: Float[Tensor, "batch d_out seed"], sample: Sample | None = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs -> each network's mean loss [seed], and the loss's gradient at the outputs."""
        n_rows, d_out, _ = outputs.shape
        # a mean is a sum times this
        share = 1 / (n_rows * d_out)
        if self.loss_fn == "ce":
            return _cross_entropy(outputs, _drawn(self.targets, sample))
        if self.loss_fn == "mse":
            error = outputs - _drawn(self.targets, sample)
            return _mean(error * error, share), error * (2 * share)
        signs = _drawn(self.signs, sample)
        # Binary cross-entropy is log(1 + exp(wrong)), and its slope sigmoid(wrong). Both are
        # written with exp(-|wrong|), which never overflows.
        wrong = outputs * signs
        decay = torch.exp(-wrong.abs())
        loss = torch.log1p(decay).add_(torch.relu(wrong))
        # 1 / (1 + decay) above zero, decay / (1 + decay) below; decay itself is not needed again
        numerator = torch.where(wrong > 0, 1.0, decay)
        slope = numerator.div_(decay.add_(1)).mul_(signs * share)
        return _mean(loss, share), slope

    def gradient(
        self,
        layers: Sequence[Layer],
        values: Sequence[Values],
        slope: Float[Tensor, "batch d_out seed"],
        *,
        out: Sequence[Layer],
        sample: Sample | None = None,
    ) -> None:
        """The loss's gradient at the outputs -> at every weight and bias, written into `out`."""
        last = len(layers) - 1
        factors = None if sample is None else sample.factors
        for number in reversed(range(len(layers))):
            pre, post, sources = values[number]
            if factors is not None and number < last:
                slope = slope * factors[number]
            # from the post-activation to the pre-activation, [row, d_out, seed]
            slope = self.gradients[number](slope, pre, post)
            into_weight, into_bias = out[number]
            _total_into(into_bias, slope)
            if sources is None:
                self._first_weight_gradient(into_weight, slope)
            else:
                _total_into(into_weight, _outer(slope, sources))
            if number > 0:
                # on to the layer before, [row, d_in, seed]: a sum over this layer's units
                weight, _ = layers[number]
                if self.direct and number == last:
                    weight = weight[:, : self.sizes[number]]
                slope = _chain([slope[:, k, None] * weight[k] for k in range(len(weight))])

    def _first_weight_gradient(self, into_weight: Tensor, slope: Tensor) -> None:
        """Write the gradient of the first layer's weights; rows of bits need no product here
        either.

        An input's weights get the slopes of the rows on which it is on.
        """
        inputs_on = self.inputs_on or ()
        for i in range(self.rows.shape[1]):
            slopes_on = [slope[row] for row, on in enumerate(inputs_on) if i in on]
            # an input that is off on every row never gets a gradient
            into_weight[:, i] = reduce(torch.add, slopes_on) if slopes_on else 0.0


def _cross_entropy(
    outputs: Float[Tensor, "batch d_out seed"], targets: Float[Tensor, "batch d_out *seed"]
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the class that the one-hot target names, and its gradient."""
    share = 1 / len(outputs)
    # the largest output is subtracted from all, so that no exponential overflows
    shifted = outputs - reduce(torch.maximum, outputs.unbind(1))[:, None]
    exponentials = torch.exp(shifted)
    total = reduce(torch.add, exponentials.unbind(1))  # [row, seed]
    right = _chain(list((shifted * targets).unbind(1)))
    slope = exponentials.div_(total[:, None]).sub_(targets).mul_(share)
    return _total(torch.log(total).sub_(right)).mul_(share), slope


def _mean(losses: Float[Tensor, "row d_out seed"], share: float) -> Float[Tensor, " seed"]:
    return _total(_total(losses)).mul_(share)


def _drawn(
    values: Float[Tensor, "row unit *seed"], sample: Sample | None
) -> Float[Tensor, "batch unit *drawn"]:
    """Each network's own rows of values, which are [row, unit, seed], or [row, unit, 1] for all."""
    if sample is None or sample.rows is None:
        return values
    n_rows, n_networks = sample.rows.shape
    n_units = values.shape[1]
    values = values.expand(-1, -1, n_networks)
    return values.gather(0, sample.rows[:, None].expand(n_rows, n_units, n_networks))


def _ones(row: Sequence[float]) -> list[int]:
    """The indices of the inputs that are on."""
    return [i for i, bit in enumerate(row) if bit]


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
