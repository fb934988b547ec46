"""Slopes of activations, and the chain rule through a small network, written out.

At a kink a slope is what PyTorch says it is.
"""

from math import pi, sqrt

import numpy as np

from oracles.networks import ACTIVATIONS, ERF, ROOT, activate


def _sigmoid(x):
    return ACTIVATIONS["sigmoid"](x)


def _tanh_part(x):
    return np.tanh(ROOT * (x + 0.044715 * x**3))


SLOPES = {
    "relu": lambda x: (x > 0).astype(float),
    "relu6": lambda x: ((x > 0) & (x < 6)).astype(float),
    "hardtanh": lambda x: ((x > -1) & (x < 1)).astype(float),
    "hardsigmoid": lambda x: ((x > -3) & (x < 3)) / 6.0,
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "sigmoid": lambda x: _sigmoid(x) * (1 - _sigmoid(x)),
    "softplus": lambda x: np.where(x > 20, 1.0, _sigmoid(x)),
    "elu": lambda x: np.exp(np.minimum(x, 0.0)),
    "silu": lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "gelu": lambda x: 0.5 * (1 + ERF(x / sqrt(2))) + x * np.exp(-x * x / 2) / sqrt(2 * pi),
    "gelu_tanh": lambda x: (
        0.5 * (1 + _tanh_part(x))
        + 0.5 * x * (1 - _tanh_part(x) ** 2) * ROOT * (1 + 3 * 0.044715 * x**2)
    ),
    "identity": lambda x: np.ones_like(x),
    "heaviside": lambda x: np.zeros_like(x),
    "sign": lambda x: np.zeros_like(x),
}
KINKS = {"relu": (0,), "leaky_relu": (0,), "relu6": (0, 6), "hardtanh": (-1, 1)}
KINKS |= {"hardsigmoid": (-3, 3), "softplus": (20,), "heaviside": (0,), "sign": (0,)}


def slope_at(net, name, pre):
    """The slope of an activation."""
    if name == "leaky_relu":
        return np.where(pre > 0, 1.0, net.slope)
    return SLOPES[name](pre)


def is_near_a_kink(name, pre, within):
    """Whether a sum is so near a kink that rounding says on which side; not where it is on it."""
    return np.any([(np.abs(pre - at) <= within) & (pre != at) for at in KINKS.get(name, ())])


def forward(net, inputs, replaced=None):
    """Values and sums, layer by layer: [inputs, hidden ..., outputs], [None, hidden ..., outputs].

    Args:
        replaced: (layer, values): that layer's values are these instead; the first is 0, the inputs.
    """
    replaced = replaced or (None, None)
    values, pres = [inputs if replaced[0] != 0 else replaced[1]], [None]
    last = len(net.layers) - 1
    for number, (weight, bias) in enumerate(net.layers):
        pre = values[-1] @ weight.T + bias
        if number == last and net.direct is not None:
            pre = pre + values[0] @ net.direct.T
        value = activate(net, (*net.acts, net.out_act)[number], pre, np.zeros_like(pre))[0]
        values.append(value if replaced[0] != number + 1 else replaced[1])
        pres.append(pre)
    return values, pres


def backward(net, pres, at_outputs, stop=0):
    """Gradient at the outputs, [run, output] -> at the sums and at the values of every layer.

    Args:
        stop: the layer that is looked at last; what is before it is not gone through.
    """
    n_layers = len(net.layers)
    at_values, at_pres = {n_layers: at_outputs}, {}
    names = (*net.acts, net.out_act)
    for number in reversed(range(stop, n_layers)):
        slope = slope_at(net, names[number], pres[number + 1])
        at_pres[number + 1] = at_values[number + 1] * slope
        at_values[number] = at_pres[number + 1] @ net.layers[number][0]
    if stop == 0 and net.direct is not None:
        at_values[0] = at_values[0] + at_pres[n_layers] @ net.direct
    return at_values, at_pres
