"""A network on paper: what it is on any inputs, with any of its places written over, and how sure
that is.

Places are named as the package prints them: "x0", "h0.1", "y0", and "x0->h0.1" for an edge. Every
number comes with a bound of its rounding, followed through all layers; of weights and activations
that floating point adds and multiplies exactly (integers and quarters; relu, steps) it is zero.
"""

from dataclasses import dataclass
from itertools import product
from math import erf, sqrt

import numpy as np

ROOT = sqrt(2 / np.pi)
ERF = np.vectorize(erf, otypes=[float])
ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0.0),
    "relu6": lambda x: np.minimum(np.maximum(x, 0.0), 6.0),
    "hardtanh": lambda x: np.minimum(np.maximum(x, -1.0), 1.0),
    "hardsigmoid": lambda x: np.minimum(np.maximum(x + 3.0, 0.0), 6.0) / 6.0,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.exp(-np.logaddexp(0.0, -x)),
    # PyTorch's softplus is the identity above 20
    "softplus": lambda x: np.where(x > 20.0, x, np.logaddexp(0.0, x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "silu": lambda x: x * np.exp(-np.logaddexp(0.0, -x)),
    "gelu": lambda x: 0.5 * x * (1.0 + ERF(x / sqrt(2.0))),
    "gelu_tanh": lambda x: 0.5 * x * (1.0 + np.tanh(ROOT * (x + 0.044715 * x**3))),
    "identity": lambda x: x,
}
"""All but leaky_relu, which has a slope, and the steps, which have a value at zero."""
STEPS = {"heaviside": (0.0, 1.0), "sign": (-1.0, 1.0)}
EXACT = {"relu", "leaky_relu", "relu6", "hardtanh", "identity", "heaviside", "sign"}
"""Of quarters they make quarters."""
STEEPEST = 1.2
"""No activation but leaky_relu has a larger slope anywhere."""


@dataclass
class Net:
    """Weights and conventions.

    Attributes:
        layers: (weight [to, from], bias [to]) of every linear layer, the readout last.
        acts: one activation per hidden layer.
        direct: weights from inputs to outputs, [output, input].
        levels: what stands for bit 0 and for bit 1.
        rule: "threshold" or "argmax".
        eps: the rounding of one sum as a part of its terms; 0 where sums are exact.
    """

    layers: list
    acts: tuple
    out_act: str = "identity"
    slope: float = 0.01
    step_at_zero: int = 0
    direct: np.ndarray | None = None
    levels: tuple = (0.0, 1.0)
    rule: str = "threshold"
    threshold: float = 0.0
    eps: float = 1e-14

    @property
    def n_inputs(self):
        """How many bits a row has."""
        return self.layers[0][0].shape[1]

    @property
    def rows(self):
        """All rows of bits, [row, input]."""
        return np.array(list(product((0, 1), repeat=self.n_inputs)))

    def inputs(self, bits):
        """Bits -> the numbers that the network reads."""
        low, high = self.levels
        return np.where(np.asarray(bits) > 0, high, low).astype(float)


def activate(net, name, pre, error):
    """Sums and their bounds -> values and theirs; the bound is infinite next to a step."""
    if name in STEPS:
        low, high = STEPS[name]
        on = pre >= 0 if net.step_at_zero else pre > 0
        near = (np.abs(pre) <= error) & (error > 0)
        return np.where(on, high, low), np.where(near, np.inf, 0.0)
    if name == "leaky_relu":
        value, steepest = np.where(pre > 0, pre, net.slope * pre), max(1.0, abs(net.slope))
    else:
        value, steepest = ACTIVATIONS[name](pre), STEEPEST
    # an infinite bound times nothing is not a bound
    return value, np.where(error > 0, error * steepest, 0.0) + 2 * net.eps * (1 + np.abs(value))


def place(name):
    """A name -> ("unit", layer, index), layer 0 being the inputs and -1 the outputs; or an edge."""
    if "->" in name:
        return ("edge", *(place(end)[1:] for end in name.split("->")))
    if name[0] in "xy":
        return "unit", 0 if name[0] == "x" else -1, int(name[1:])
    layer, index = name[1:].split(".")
    return "unit", int(layer) + 1, int(index)


def run(net, inputs, writes=()):
    """Run the network with some of its places written over.

    Args:
        inputs: numbers, [run, input].
        writes: (name of a place, values [run], their bounds [run]).

    Returns:
        Values and bounds, each a list: inputs, every hidden layer, outputs, [run, unit].
    """
    writes = [(place(name), value, error) for name, value, error in writes]
    value = np.array(inputs, dtype=float)
    error = np.zeros_like(value)
    _write_units(writes, (0,), value, error)
    values, errors = [value], [error]
    last = len(net.layers) - 1
    for number, (weight, bias) in enumerate(net.layers):
        reads = [(number, weight)]
        if number == last and net.direct is not None:
            reads.append((0, net.direct))
        pre, bound, terms = bias + np.zeros((len(value), 1)), 0.0, np.abs(bias)
        for source, matrix in reads:
            pre = pre + values[source] @ matrix.T
            terms = terms + np.abs(values[source]) @ np.abs(matrix).T
            bound = bound + _through(errors[source], matrix)
        for (kind, *ends), new, new_error in writes:
            if kind != "edge" or ends[1][0] not in _names_of(number + 1, last):
                continue
            (source, i), (_, j) = ends
            matrix = dict(reads)[source]
            old = matrix[j, i] * values[source][:, i]
            # the old term is in the sum with its bound, so the new sum is less sure, never more
            pre[:, j] += new - old
            terms[:, j] += np.abs(new) + np.abs(old)
            bound[:, j] = bound[:, j] + new_error
        name = (*net.acts, net.out_act)[number]
        value, error = activate(net, name, pre, bound + net.eps * terms)
        _write_units(writes, _names_of(number + 1, last), value, error)
        values.append(value)
        errors.append(error)
    return values, errors


def _through(error, matrix):
    """The bounds of a layer, times the sizes of the weights that carry them."""
    carried = np.where(np.isinf(error), 1e300, error) @ np.abs(matrix).T
    return np.where(carried >= 1e290, np.inf, carried)


def _names_of(layer, last):
    """The numbers that a layer is called by: the outputs are -1 too."""
    return (layer, -1) if layer == last + 1 else (layer,)


def _write_units(writes, layers, value, error):
    for (kind, *ends), new, new_error in writes:
        if kind == "unit" and ends[0] in layers:
            value[:, ends[1]], error[:, ends[1]] = new, new_error


def scores(net, outputs, error):
    """Outputs -> the number each decision is made by, minus the cut, and its bound."""
    if net.rule == "threshold":
        rounding = net.eps * (np.abs(outputs) + abs(net.threshold))
        return outputs - net.threshold, error + rounding
    best = [np.delete(outputs, k, axis=1).max(1) for k in range(outputs.shape[1])]
    score = outputs - np.stack(best, axis=1)
    bound = np.broadcast_to(2 * error.max(1, keepdims=True), score.shape)
    return (score[:, 1:], bound[:, 1:]) if outputs.shape[1] == 2 else (score, bound)


def decide(net, outputs, error):
    """1 above the cut, 0 below, -1 on it; and whether that is sure, [run, decision]."""
    score, bound = scores(net, outputs, error)
    sure = (np.abs(score) > bound) | (bound == 0)
    return np.where(score == 0, -1, (score > 0).astype(int)), sure
