"""Networks with random weights, shared by several test files."""

from itertools import pairwise

import numpy as np
import torch

from xor_mi.model import HookedMLP


def random_network(
    seed, act_fn="relu", out_act_fn="identity", sizes=(3, 5, 4, 2), scale=3.0, **settings
):
    """A network with weights and biases of a few units, in float64, so that decisions change
    often.
    """
    rng = np.random.default_rng(seed)
    layers = [
        (scale * rng.normal(size=(b, a)) / a**0.5, rng.normal(size=b)) for a, b in pairwise(sizes)
    ]
    smooth = HookedMLP.from_weights(
        [*layers[:-1], (layers[-1][0], np.zeros(sizes[-1]))], act_fn=act_fn
    )
    layers[-1] = (
        layers[-1][0],
        -smooth(torch.full((1, sizes[0]), 0.1)).detach().numpy()[0],
    )  # outputs of both signs
    return HookedMLP.from_weights(layers, act_fn=act_fn, out_act_fn=out_act_fn, **settings)
