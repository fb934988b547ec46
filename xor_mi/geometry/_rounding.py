"""sums of float64 numbers -> how far off rounding may have put them.

Two numbers are held to be equal in this room where their difference is no larger than the rounding
of the sums that they come from. That bound is computed with the sums, from the weights and from how
large the values get that are added up: it knows no fixed size, and no corner's or point's own
coordinates. So a network whose weights are all a million times smaller is divided alike.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from xor_mi.geometry._scores import rivals_of
from xor_mi.model import STEPS, HookedMLP
from xor_mi.values import LayerValues

EPSILON = float(np.finfo(float).eps)
"""The distance from 1 to the next float64; one operation rounds by half of it at most."""


def rounding_of_sum(terms: Float[ndarray, "*shape"], n_terms: int) -> Float[ndarray, "*shape"]:
    """How far off a sum of products may be, in whatever order it is added up.

    Each product and each addition rounds by half of `EPSILON`, relative to numbers that are at most
    as large as all terms together.

    Args:
        terms: the sizes of the terms, added up.
        n_terms: how many there are.
    """
    return EPSILON * (n_terms + 1) * terms


def without_rounding(
    sums: Float[ndarray, "*shape"], error: Float[ndarray, "*shape"]
) -> Float[ndarray, "*shape"]:
    """Sums, with zero where one is no larger than what it may be off by."""
    return np.where(np.abs(sums) <= error, 0.0, sums)


def rounding_on_rows(
    model: HookedMLP, layers: list[LayerValues]
) -> list[tuple[Float[ndarray, "row _"], Float[ndarray, "row _"]]]:
    """How far off the values that `forward_float64` gives may be, layer by layer.

    Each time of what the layer reads and of what it adds up.

    A value within rounding of a step counts as one on it, so steps hand no rounding on.
    """
    errors = []
    n_inputs = model.cfg.d_in
    read = np.zeros(layers[0].inputs.shape)
    for number, layer in enumerate(layers):
        if number == model.cfg.n_layers and model.cfg.direct:
            read = np.concatenate([read, np.zeros((len(read), n_inputs))], axis=1)
        weight, bias = (value.numpy() for value in model.float64_layers()[number])
        terms = np.abs(layer.inputs.numpy()) @ np.abs(weight.T) + np.abs(bias)
        sums = read @ np.abs(weight.T) + rounding_of_sum(terms, weight.shape[1] + 1)
        errors.append((read, sums))
        read = _handed_on(model, number, layer, sums)
    return errors


def rounding_of_scores(
    model: HookedMLP, layers: list[LayerValues]
) -> Float[ndarray, "row decision"]:
    """How far off what decides may be on each row, as `rule.scores` gives it."""
    _, sums = rounding_on_rows(model, layers)[-1]
    outputs = _handed_on(model, model.cfg.n_layers, layers[-1], sums)
    if model.rule.name == "threshold":
        return outputs + EPSILON * abs(model.rule.cut)
    rivals = np.abs(rivals_of(model))
    return np.einsum("ro,dco->rdc", outputs, rivals).max(-1)


def _handed_on(
    model: HookedMLP, number: int, layer: LayerValues, error: Float[ndarray, "row d_out"]
) -> Float[ndarray, "row d_out"]:
    """How far off activations may be whose pre-activations are off by up to `error`."""
    if model.cfg.act_name(number) in STEPS:
        return np.zeros_like(error)
    off_by = [
        (model.activate(layer.pre + sign * torch.from_numpy(error), number) - layer.post).abs()
        for sign in (-1, 1)
    ]
    of_the_function = 2 * EPSILON * layer.post.abs()
    return (torch.maximum(*off_by) + of_the_function).numpy()
