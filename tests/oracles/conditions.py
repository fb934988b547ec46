"""The inequalities of a network, as they are written, worked out with its weights; and what must
follow from them.
"""

import re

import numpy as np

from oracles.networks import ACTIVATIONS

UNIT = re.compile(r"\bh(\d+)\.(\d+)\b")
PARAMETER = re.compile(r"(fc(\d+)|direct)\.(weight|bias)\[([\d, ]+)\]")


def numbers_of(net, symbols):
    """Symbol -> its number, from names such as "fc1.weight[0, 1]"."""
    found = {}
    for symbol, name in symbols.items():
        whole, layer, kind, indices = PARAMETER.fullmatch(name).groups()
        if whole == "direct":
            array = net.direct
        else:
            array = net.layers[int(layer) - 1][kind == "bias"]
        found[symbol] = float(array[tuple(map(int, indices.split(",")))])
    return found


def left_side(net, inequality, numbers, values):
    """The left side of an inequality, and the sum of the sizes of what it is made of.

    Args:
        numbers: symbol -> number.
        values: those of the hidden units on this row, per layer, for a long inequality that names
            them.
    """
    text = re.split(r" [<>]=? ", inequality)[0]
    units = {f"h{n}_{k}": float(one) for n, of in enumerate(values) for k, one in enumerate(of)}
    functions = {name: _function(act) for name, act in ACTIVATIONS.items()}
    functions["leaky_relu"] = lambda x: x if x > 0 else net.slope * x
    functions["heaviside"] = lambda x: float(x >= 0 if net.step_at_zero else x > 0)
    functions["sign"] = lambda x: 2 * functions["heaviside"](x) - 1
    text = UNIT.sub(r"h\1_\2", text)
    return float(eval(text, {"__builtins__": {}}, {**numbers, **units, **functions}))


def _function(act):
    return lambda x: float(act(np.float64(x)))
