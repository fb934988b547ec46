"""sums of float64 numbers -> their largest rounding errors.

Two numbers count as equal in this room if their difference is not larger than the rounding of the
sums that they come from. That bound is computed together with the sums, from the weights and the
sizes of the values that are added up. It has no fixed size, and does not depend on the coordinates
of a corner or point. So a network whose weights are all a million times smaller is divided in the
same way.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from xor_mi.geometry._scores import rivals_of
from xor_mi.model import STEPS, HookedMLP
from xor_mi.values import LayerValues

EPSILON = float(np.finfo(float).eps)
"""The distance from 1 to the next float64; one operation rounds by at most half of it."""


def rounding_of_sum(terms: Float[ndarray, "*shape"], n_terms: int) -> Float[ndarray, "*shape"]:
    """The largest error of a sum of products, in whatever order it is added up.

    Each product and each addition rounds by half of `EPSILON`, relative to numbers that are at most
    as large as all terms together.

    Args:
        terms: the sum of the sizes of the terms.
        n_terms: how many terms there are.
    """
    return EPSILON * (n_terms + 1) * terms


def without_rounding(
    sums: Float[ndarray, "*shape"], error: Float[ndarray, "*shape"]
) -> Float[ndarray, "*shape"]:
    """The sums, with zero for each sum that is not larger than its error."""
    return np.where(np.abs(sums) <= error, 0.0, sums)


def rounding_on_rows(
    model: HookedMLP, layers: list[LayerValues]
) -> list[tuple[Float[ndarray, "row _"], Float[ndarray, "row _"]]]:
    """The largest errors of the values that `forward_float64` gives, layer by layer.

    There are two arrays per layer: for what the layer reads, and for what it adds up.

    A value within rounding of a step counts as on the step, so a step does not pass errors on.
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
    """The largest error of the scores on each row, as `rule.scores` gives them."""
    _, sums = rounding_on_rows(model, layers)[-1]
    outputs = _handed_on(model, model.cfg.n_layers, layers[-1], sums)
    if model.rule.name == "threshold":
        return outputs + EPSILON * abs(model.rule.cut)
    rivals = np.abs(rivals_of(model))
    return np.einsum("ro,dco->rdc", outputs, rivals).max(-1)


def _handed_on(
    model: HookedMLP, number: int, layer: LayerValues, error: Float[ndarray, "row d_out"]
) -> Float[ndarray, "row d_out"]:
    """The largest errors of activations whose pre-activations have errors of up to `error`."""
    if model.cfg.act_name(number) in STEPS:
        return np.zeros_like(error)
    off_by = [
        (model.activate(layer.pre + sign * torch.from_numpy(error), number) - layer.post).abs()
        for sign in (-1, 1)
    ]
    of_the_function = 2 * EPSILON * layer.post.abs()
    return (torch.maximum(*off_by) + of_the_function).numpy()
