"""All subcircuits of a small network, one mask of edges after the other, and what each decides."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np

from oracles.networks import run, scores


def valid_masks(sizes):
    """Every choice of edges, [to, from] per layer of weights, that is a subcircuit.

    Kept units and outputs read at least one edge; kept units and inputs are read by at least one.
    A hidden unit is kept or dropped with all its edges.
    """
    found = []
    shapes = [(after, before) for before, after in pairwise(sizes)]
    numbers = [range(2 ** (a * b)) for a, b in shapes]
    for choice in product(*numbers):
        masks = [
            np.array([number >> k & 1 for k in range(a * b)]).reshape(a, b)
            for number, (a, b) in zip(choice, shapes, strict=True)
        ]
        reads = [mask.any(1) for mask in masks]
        is_read = [mask.any(0) for mask in masks]
        hidden = all((reads[k] == is_read[k + 1]).all() for k in range(len(masks) - 1))
        if is_read[0].all() and reads[-1].all() and hidden:
            found.append(masks)
    return found


def outputs_of(net, masks, *, carries_mean, keeps_biases):
    """Outputs on every row with only these edges, and the bounds of their rounding."""
    inputs = net.inputs(net.rows)
    whole, _ = run(net, inputs)
    layers = []
    for (weight, bias), mask, values in zip(net.layers, masks, whole, strict=False):
        carried = values.mean(0) if carries_mean else np.zeros(values.shape[1])
        kept_bias = bias if keeps_biases else np.zeros_like(bias)
        layers.append((weight * mask, kept_bias + (weight * (1 - mask)) @ carried))
    values, errors = run(replace(net, layers=layers), inputs)
    return values[-1], errors[-1]


def is_right(net, outputs, error, labels, *, rounds):
    """Whether every decision is right on every row, and whether that is sure.

    Args:
        labels: bits, [row, decision].
        rounds: each output rounded to the nearest whole number, halves to even, is the label;
            otherwise the network's own decision is, and a tie is not right.
    """
    if rounds:
        nearest = np.round(outputs)
        right, distance = nearest == labels, np.abs(np.abs(outputs - labels) - 0.5)
        bound = error
    else:
        score, bound = scores(net, outputs, error)
        right = np.where(labels == 1, score > 0, score < 0)
        distance = np.abs(score)
    # the package calls what is within a billionth of the terms a tie; so near, nothing is sure
    size = 1 + max(np.abs(weight).sum() for weight, _ in net.layers) * (1 + np.abs(outputs).max())
    is_clear = (distance > bound + 1e-7 * size) | (distance == 0)
    return bool(right.all()), bool(is_clear.all())


def minimal(perfect):
    """Those that contain no other, as sets of edges."""
    return {one for one in perfect if not any(other < one for other in perfect)}


def edges_of(masks):
    """The names of the kept edges."""
    found, last = set(), len(masks) - 1
    for layer, mask in enumerate(masks):
        for j, i in np.argwhere(mask):
            source = f"x{i}" if layer == 0 else f"h{layer - 1}.{i}"
            found.add(f"{source}->" + (f"y{j}" if layer == last else f"h{layer}.{j}"))
    return frozenset(found)
