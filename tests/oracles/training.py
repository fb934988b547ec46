"""Steps of gradient descent on paper: losses, their gradients, and the optimisers by their formulas."""

from dataclasses import replace

import numpy as np

from oracles.gradients import backward, forward, is_near_a_kink

BETAS, EPS = (0.9, 0.999), 1e-8
NEAR = {"float64": 1e-9, "float32": 1e-4}
"""So near a kink the two ways may stand on different sides of it."""


def loss_of(net, name, inputs, targets):
    """The mean loss, its gradient at the outputs, values and sums.

    Args:
        name: "bce" of logits (before a sigmoid output), "mse", or "ce" over the outputs.
        targets: what each output should be, [row, output].
    """
    if name == "bce" and net.out_act == "sigmoid":
        net = replace(net, out_act="identity")
    values, pres = forward(net, inputs)
    outputs, n = values[-1], targets.size
    if name == "mse":
        loss, slope = ((outputs - targets) ** 2).mean(), 2 * (outputs - targets) / n
    elif name == "ce":
        shifted = outputs - outputs.max(1, keepdims=True)
        chance = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
        chosen = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        loss, slope = -(targets * chosen).sum(1).mean(), (chance - targets) / len(targets)
    else:
        signs = 1 - 2 * targets
        loss = np.logaddexp(0, outputs * signs).mean()
        slope = signs * np.exp(-np.logaddexp(0, -outputs * signs)) / n
    return loss, slope, net, values, pres


def gradient_of(net, slope, values, pres):
    """The gradient at every weight and bias, the direct weights as the readout's last columns.

    And the sum of its terms' sizes: where the terms cancel, what is left is rounding.
    """
    _, at_pres = backward(net, pres, slope)
    found, sizes = [], []
    for number in range(len(net.layers)):
        reads = values[number]
        if number == len(net.layers) - 1 and net.direct is not None:
            reads = np.concatenate([reads, values[0]], axis=1)
        at_pre = at_pres[number + 1]
        found += [at_pre.T @ reads, at_pre.sum(0)]
        sizes += [np.abs(at_pre).T @ np.abs(reads), np.abs(at_pre).sum(0)]
    return found, sizes


def joined(net):
    """(weight, bias) of every layer, the direct weights as the readout's last columns."""
    layers = [(weight.copy(), bias.copy()) for weight, bias in net.layers]
    if net.direct is not None:
        weight, bias = layers[-1]
        layers[-1] = (np.concatenate([weight, net.direct], axis=1), bias)
    return layers


def with_layers(net, layers):
    """The network with these weights, written as `joined` writes them."""
    layers, direct = list(layers), None
    if net.direct is not None:
        weight, bias = layers[-1]
        width = weight.shape[1] - net.direct.shape[1]
        layers[-1], direct = (weight[:, :width], bias), weight[:, width:]
    return replace(net, layers=layers, direct=direct)


def trained(
    net,
    inputs,
    targets,
    *,
    loss,
    n_steps,
    stop_loss,
    lr,
    optimizer,
    dtype,
    weight_decay,
    momentum,
    l1,
):
    """Train on all rows at every step.

    Returns:
        The network, the loss at every step, and whether no kink was near.
    """
    parameters = [one for pair in joined(net) for one in pair]
    means = [np.zeros_like(one) for one in parameters]
    squares = [np.zeros_like(one) for one in parameters]
    history, is_sure = [], True
    for step in range(n_steps + 1):
        now = with_layers(net, list(zip(parameters[::2], parameters[1::2], strict=True)))
        value, slope, seen, values, pres = loss_of(now, loss, inputs, targets)
        history.append(value)
        is_sure = is_sure and not any(
            is_near_a_kink(name, pre, NEAR[dtype] * (1 + np.abs(pre).max()))
            for name, pre in zip((*seen.acts, seen.out_act), pres[1:], strict=True)
        )
        is_sure = is_sure and abs(value - stop_loss) > NEAR[dtype] * stop_loss
        if value < stop_loss or step == n_steps:
            break
        gradients, sizes = gradient_of(seen, slope, values, pres)
        if optimizer != "sgd":  # Adam makes a step of what is only rounding
            cancelled = zip(gradients, sizes, strict=True)
            is_sure = is_sure and not any(
                ((np.abs(one) < 1e-6 * size) & (size > 0)).any() for one, size in cancelled
            )
        for k, gradient in enumerate(gradients):
            is_weight = k % 2 == 0
            gradient = gradient + l1 * np.sign(parameters[k]) * is_weight
            if optimizer == "adamw":
                parameters[k] = parameters[k] * (1 - lr * weight_decay)
            else:
                gradient = gradient + weight_decay * parameters[k]
            if optimizer == "sgd":
                means[k] = momentum * means[k] + gradient
                parameters[k] = parameters[k] - lr * means[k]
                continue
            means[k] = BETAS[0] * means[k] + (1 - BETAS[0]) * gradient
            squares[k] = BETAS[1] * squares[k] + (1 - BETAS[1]) * gradient**2
            mean = means[k] / (1 - BETAS[0] ** (step + 1))
            square = squares[k] / (1 - BETAS[1] ** (step + 1))
            parameters[k] = parameters[k] - lr * mean / (np.sqrt(square) + EPS)
    return now, history, is_sure
