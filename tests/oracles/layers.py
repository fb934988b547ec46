"""A network seen layer by layer: what it is on every row, and under every interchange."""

from itertools import product

import numpy as np

from oracles.cuts import TOLERANCES
from oracles.networks import activate, run, scores

MOST_RUNS = 300_000
"""More joint interchanges of a layer than this are not run one by one."""


class Layers:
    """A network seen layer by layer, and what it is on every row."""

    def __init__(self, net):
        self.net, self.n_inputs, self.direct = net, net.n_inputs, net.direct is not None
        self.bits = net.rows
        self.rows = net.inputs(net.rows)
        values, errors = run(net, self.rows)
        self.values = values[1:-1]
        self.distance, bound = scores(net, values[-1], errors[-1])
        self.decided = (self.distance > 0).astype(int)
        # no step and no decision hangs on rounding
        clear = (np.abs(self.distance) > bound) | (bound == 0)
        self.is_sure = bool(clear.all()) and all(np.isfinite(error).all() for error in errors)

    def inputs_at(self, bits):
        """Bits -> inputs."""
        return self.net.inputs(bits)

    def next_values(self, layer, values):
        """Values of a hidden layer -> those of the next, [run, unit]."""
        weight, bias = self.net.layers[layer + 1]
        pre = values @ weight.T + bias
        return activate(self.net, self.net.acts[layer + 1], pre, 0 * pre)[0]

    def after(self, layer, values, inputs=None):
        """Values of a hidden layer -> the decisions' distances from the cut, [run, decision]."""
        for number in range(layer, len(self.net.acts) - 1):
            values = self.next_values(number, values)
        weight, bias = self.net.layers[-1]
        pre = values @ weight.T + bias
        if self.direct:
            pre = pre + inputs @ self.net.direct.T
        outputs = activate(self.net, self.net.out_act, pre, 0 * pre)[0]
        return scores(self.net, outputs, 0 * outputs)[0]

    @property
    def leads_nowhere(self):
        """Per hidden layer, whether each unit leads to no output."""
        found, reached = [], np.ones(len(self.net.layers[-1][0]), dtype=bool)
        for weight, _ in reversed(self.net.layers[1:]):
            reached = (weight[reached] != 0).any(0)
            found.insert(0, ~reached)
        return found


def keeps_decisions(layers, layer, choice):
    """Whether a layer replaced by the levels of its readings leaves every decision as it was."""
    levels = [[(one.low, one.high)[bit] for bit in one.bits] for one in choice]
    distance = layers.after(layer, np.array(levels).T, layers.rows)
    distance = distance * (2 * layers.decided - 1)
    return distance.min() > TOLERANCES["rounding"] * np.abs(distance).max()


def interchanges(layers, layer, groups):
    """All joint and all single interchanges of a layer.

    Returns:
        for each of the two: the rows that every unit's value comes from, [run, unit], the row of
        the inputs, [run], and what is decided, [run, decision], with -1 on the cut.
    """
    values = layers.values[layer]
    n_rows, width = values.shape
    n_drawn = len(groups) + layers.direct
    if n_rows**n_drawn > MOST_RUNS:
        raise ValueError("too many joint interchanges to make them all")
    place = np.array([next(n for n, g in enumerate(groups) if k in g) for k in range(width)])
    drawn = np.array(list(product(range(n_rows), repeat=n_drawn)))
    kinds = [(drawn[:, place], drawn[:, -1])]
    one, bases = [], []
    for group in groups:
        for base, source in product(range(n_rows), repeat=2):
            rows = np.full(width, base)
            rows[list(group)] = source
            one.append(rows)
            bases.append(base)
    kinds.append((np.array(one), np.array(bases)))
    made, scale = [], None
    for rows, inputs in kinds:
        taken = values[rows, np.arange(width)]
        distance = layers.after(layer, taken, layers.rows[inputs])
        # single interchanges are ties on the scale of the joint ones
        scale = np.abs(distance).max() if scale is None else scale
        on_it = np.abs(distance) <= TOLERANCES["rounding"] * scale
        made.append((rows, inputs, np.where(on_it, -1, (distance > 0).astype(int))))
    return made
