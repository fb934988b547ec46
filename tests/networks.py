"""Networks with random weights, shared by several test files."""

from itertools import pairwise

import numpy as np
import torch

from xor_mi.interventions import HighLevelModel
from xor_mi.model import HookedMLP

OR_AND = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
"""XOR as the textbook has it: one of two, and not both."""


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
    in_the_middle = smooth(torch.full((1, sizes[0]), 0.1)).detach().numpy()[0]
    # steps give the same sum in a whole region, where rounding would have to decide its sign
    beside = 0.1 if act_fn in ("heaviside", "sign") else 0.0
    layers[-1] = (layers[-1][0], beside - in_the_middle)  # outputs of both signs
    return HookedMLP.from_weights(layers, act_fn=act_fn, out_act_fn=out_act_fn, **settings)


def xor_by_other_conventions(name):
    """The textbook's XOR, or another of two units or one, as people write it: "levels" takes -1 and
    1, "argmax" has a class for each answer, "steps" are on at zero, "direct" has one hidden unit
    beside direct connections, "mixed" has two layers with different activations.
    """
    or_and = ([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0])
    made = {
        "levels": (
            [([[0.5, 0.5], [0.5, 0.5]], [1.0, 0.0]), ([[1.0, -2.0]], [-0.5])],
            {"input_levels": (-1, 1)},
        ),
        "argmax": (
            [or_and, ([[0.0, 0.0], [1.0, -2.0]], [0.5, 0.0])],
            {"decision_rule": "argmax"},
        ),
        "steps": (
            [([[1.0, 1.0], [1.0, 1.0]], [-1.0, -2.0]), ([[1.0, -1.0]], [-0.5])],
            {"act_fn": "heaviside", "step_at_zero": 1},
        ),
        "direct": (
            [([[1.0, 1.0]], [-1.0]), ([[-2.0]], [-0.5])],
            {"direct": [[1.0, 1.0]]},
        ),
        "mixed": (
            [or_and, ([[1.0, -2.0]], [-0.5]), ([[1.0]], [0.0])],
            {"act_fn": ("relu", "tanh")},
        ),
    }
    layers, settings = made[name]
    return HookedMLP.from_weights(layers, target="XOR", **settings)
