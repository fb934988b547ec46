"""One network in plain Python: outputs with some units set by hand, and what is decided by them.

Numbers are Python's, so integer weights give exact sums, and ties stay ties.
"""

from collections.abc import Mapping, Sequence
from math import exp, log

Layers = Sequence[tuple[Sequence[Sequence[float]], Sequence[float]]]
"""(weight [d_out][d_in], bias [d_out]) of each layer, the readout last."""

ACTIVATIONS = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.25 * x,
    "identity": lambda x: x,
    "hardtanh": lambda x: min(max(x, -1.0), 1.0),
    "heaviside": lambda x: 1.0 if x > 0 else 0.0,
    "sign": lambda x: 1.0 if x > 0 else -1.0,
    "sigmoid": lambda x: 1 / (1 + exp(-x)),
}


def run(
    layers: Layers,
    act: str,
    out_act: str,
    row: Sequence[float],
    held: Mapping[tuple[int, int], float] | None = None,
) -> tuple[list[list[float]], list[float]]:
    """The hidden values layer by layer, and the outputs, with the held units (layer, unit) set."""
    held = {} if held is None else held
    values, hidden = [float(x) for x in row], []
    for number, (weight, bias) in enumerate(layers):
        sums = [
            sum(w * v for w, v in zip(line, values, strict=True)) + b
            for line, b in zip(weight, bias, strict=True)
        ]
        is_last = number == len(layers) - 1
        values = [ACTIVATIONS[out_act if is_last else act](x) for x in sums]
        values = [held.get((number, unit), value) for unit, value in enumerate(values)]
        if not is_last:
            hidden.append(values)
    return hidden, values


def decide(outputs: Sequence[float], rule: str, threshold: float) -> list[int]:
    """1, 0 or -1 for each decision: of argmax over two outputs there is one, else one per output."""
    if rule == "threshold":
        return [-1 if y == threshold else int(y > threshold) for y in outputs]
    largest = max(outputs)
    winners = [k for k, y in enumerate(outputs) if y == largest]
    each = [
        0 if k not in winners else (1 if len(winners) == 1 else -1) for k in range(len(outputs))
    ]
    return each[1:] if len(outputs) == 2 else each


def score(outputs: Sequence[float], rule: str, output: int) -> float:
    """What a decision is made by: an output, or its lead over the best of the others."""
    if rule == "threshold":
        return outputs[output]
    asked = 1 if len(outputs) == 2 else output
    return outputs[asked] - max(y for k, y in enumerate(outputs) if k != asked)


def probability(outputs: Sequence[float], rule: str, output: int) -> float:
    """Of logits: the sigmoid, or the share of the exponentials where the largest wins."""
    if rule == "threshold":
        return 1 / (1 + exp(-outputs[output]))
    asked = 1 if len(outputs) == 2 else output
    return exp(outputs[asked]) / sum(exp(y) for y in outputs)


def log_odds(p: float) -> float:
    """The logit of a probability."""
    return log(p) - log(1 - p)
