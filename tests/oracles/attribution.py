"""Scores of places on paper: the gradient at one run, its mean along a line, Shapley's by orders.

Places are units and inputs. The metric is one output, or the second minus the first of two.
"""

from itertools import permutations

import numpy as np

from oracles.gradients import backward, forward, is_near_a_kink
from oracles.networks import place
from oracles.patching import metric, patched

NEAR = 1e-9


def shares(net, k):
    """The metric's gradient at the outputs, [output]."""
    n_outputs = len(net.layers[-1][1])
    if net.rule == "argmax":
        return np.array([-1.0, 1.0])
    return np.eye(n_outputs)[k]


def _gradient(net, k, inputs, layer, replaced=None):
    """The metric's gradient at a layer's values, [run, unit], and whether no kink is near."""
    _, pres = forward(net, inputs, replaced)
    at_outputs = np.broadcast_to(shares(net, k), pres[-1].shape)
    at_values, _ = backward(net, pres, at_outputs, stop=layer)
    names = (*net.acts, net.out_act)
    scale = 1 + max(np.abs(pre).max() for pre in pres[1:])
    near = [
        is_near_a_kink(name, pre, NEAR * scale)
        for name, pre in list(zip(names, pres[1:], strict=True))[layer:]
    ]
    return at_values[layer], not any(near)


def by_gradient(net, k, clean, corrupted, name):
    """(Gradient at the corrupted run) x (clean - corrupted), [pair], and if sure."""
    layer, index = _where(net, name)
    gradient, is_sure = _gradient(net, k, corrupted, layer)
    difference = forward(net, clean)[0][layer] - forward(net, corrupted)[0][layer]
    return (gradient * difference)[:, index], is_sure


def along_the_line(net, k, clean, corrupted, name, *, n_steps=64):
    """The gradient's mean at the midpoints from the corrupted to the clean values of the layer,
    everything else being as in the corrupted run, x (clean - corrupted); and if sure.
    """
    layer, index = _where(net, name)
    low, high = (forward(net, inputs)[0][layer] for inputs in (corrupted, clean))
    total, is_sure = 0.0, True
    for step in range(n_steps):
        point = low + (step + 0.5) / n_steps * (high - low)
        gradient, sure = _gradient(net, k, corrupted, layer, (layer, point))
        total, is_sure = total + gradient / n_steps, is_sure and sure
    return (total * (high - low))[:, index], is_sure


def by_orders(net, k, clean, corrupted, names):
    """Shapley's values, [site][pair], and the largest bound: the mean over all orders of patching."""
    before = {}

    def worth(together):
        key = frozenset(together)
        if key not in before:
            before[key] = metric(net, patched(net, corrupted, clean, sorted(key)), k)[0]
        return before[key]

    scores = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    for order in orders:
        for position, name in enumerate(order):
            with_it, without = worth(order[: position + 1]), worth(order[:position])
            scores[name] = scores[name] + (with_it[0] - without[0]) / len(orders)
    return [scores[name] for name in names], 2 * np.max([bound for _, bound in before.values()])


def directly(net, k, clean, corrupted, name):
    """What a place adds to the metric by itself, clean - corrupted: its weights into the outputs."""
    layer, index = _where(net, name)
    difference = forward(net, clean)[0][layer] - forward(net, corrupted)[0][layer]
    share = shares(net, k)
    if layer == len(net.layers):
        weights = np.eye(len(share))[:, index]
    elif layer == len(net.layers) - 1:
        weights = net.layers[-1][0][:, index]
    elif layer == 0 and net.direct is not None:
        weights = net.direct[:, index]
    else:
        weights = np.zeros(len(share))
    return difference[:, index] * (share @ weights)


def _where(net, name):
    """A unit's layer, counted from the inputs, and its number."""
    _, layer, index = place(name)
    return (len(net.layers) if layer == -1 else layer), index
