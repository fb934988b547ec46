"""What is in the way of a network that does not compute its target, held against brute force over
readouts and finite differences of the loss.
"""

from itertools import product

import numpy as np
import pytest
import torch

from xor_mi import HookedMLP, handmade, train
from xor_mi.circuits import diagnose
from xor_mi.training import TrainConfig

pytestmark = pytest.mark.as_a_user

BITS = np.array(list(product((0.0, 1.0), repeat=2)))
GRID = np.arange(-4, 5) / 2
"""Readout weights that are tried by brute force: enough for hidden values of small whole numbers."""


def hidden_of(weight, bias):
    """ReLU values of one hidden layer on all rows, in plain NumPy, [row, unit]."""
    return np.maximum(BITS @ np.array(weight).T + np.array(bias), 0)


def some_readout(hidden, goal):
    """Whether any readout with weights of the grid has the ones above 0 and the zeros below."""
    for *weight, bias in product(GRID, repeat=hidden.shape[1] + 1):
        out = hidden @ np.array(weight) + bias
        if np.all(np.where(goal == 1, out > 0, out < 0)):
            return True
    return False


def test_against_every_readout_and_every_pair_of_rows():
    """Of small whole weights: constant units, rows alike and whether a readout exists are those
    that brute force finds.
    """
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        weight, bias = rng.integers(-1, 2, (2, 2)), rng.integers(-1, 2, 2)
        hidden = hidden_of(weight, bias)
        model = HookedMLP.from_weights([(weight.tolist(), bias.tolist()), ([[0.0, 0.0]], [-1.0])])
        found = diagnose(model, "XOR").shortfall
        goal = np.array([0, 1, 1, 0])
        constant = [f"h0.{k}" for k in range(2) if len(set(hidden[:, k])) == 1]
        alike = [
            (a, b)
            for a, b in ((0, 1), (0, 2), (1, 3), (2, 3))  # XOR tells these apart
            if np.array_equal(hidden[a], hidden[b])
        ]
        names = ["00", "01", "10", "11"]
        assert [unit.name for unit, _ in found.constant] == constant
        assert list(found.alike) == [(names[a], names[b]) for a, b in alike]
        assert found.readout_exists == some_readout(hidden, goal)
        assert not (alike and found.readout_exists)
        seen.add((bool(constant), bool(alike), found.readout_exists))
    assert {one[2] for one in seen} == {True, False}


def test_the_slope_is_that_of_finite_differences():
    """The largest derivative of the loss agrees with moving each weight a little either way."""
    model = train("XOR", hidden=2, seed=3, max_steps=15, progress=False).model
    found = diagnose(model).shortfall
    layers = model.float64_layers()

    def loss(moved):
        other = model.with_weights(moved, dtype=torch.float64)
        return other(other.rows(), return_type="loss").item()

    slopes = []
    for n, (weight, bias) in enumerate(layers):
        for tensor in (weight, bias):
            flat = tensor.view(-1)
            for k in range(len(flat)):
                before, ends = flat[k].item(), []
                for step in (1e-6, -1e-6):
                    flat[k] = before + step
                    ends.append(loss(layers))
                flat[k] = before
                slopes.append(abs(ends[0] - ends[1]) / 2e-6)
        assert n < len(layers)
    assert found.steepest == pytest.approx(max(slopes), rel=1e-3)
    assert found.loss == pytest.approx(loss(layers))
    assert not found.at_rest


def test_a_network_that_is_stuck():
    """Trained to the end without success: it is at rest, and dead units are named with their
    value.
    """
    model = train("XOR", hidden=3, seed=7, progress=False).model
    found = diagnose(model).shortfall
    assert found.at_rest
    assert [(unit.name, value) for unit, value in found.constant] == [("h0.0", 0.0), ("h0.2", 0.0)]
    assert found.readout_exists is False
    assert "gradient descent stays here" in str(found)


def test_a_network_whose_hidden_units_cannot_learn():
    """Both ReLUs are off on every row, so that by the chain rule every derivative but that of the
    output's bias is zero: training goes on, and 00 and 01 stay alike.
    """
    dead = HookedMLP.from_weights(
        [([[1.0, 1.0], [1.0, 1.0]], [-3.0, -4.0]), ([[1.0, -2.0]], [-0.5])], target="XOR"
    )
    found = diagnose(dead).shortfall
    assert found.steepest > 0.1
    assert found.steepest_hidden == 0.0
    assert found.hidden_at_rest
    assert not found.at_rest
    assert found.sentences[-1].endswith("moves the readout alone, which cannot help")
    # alive, and not yet right: the hidden units move as well
    alive = HookedMLP.from_weights(
        [([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]), ([[1.0, -1.5]], [0.1])], target="XOR"
    )
    found = diagnose(alive).shortfall
    assert found.steepest_hidden > 0
    assert "more steps may help" in found.sentences[-1]


@pytest.mark.parametrize(
    ("model", "exists"),
    [
        # two outputs of which the larger wins: one decision
        (
            HookedMLP.from_weights(
                [([[1, 1], [1, 1]], [0, -1]), ([[0, 0], [0, 0]], [0, 1])],
                decision_rule="argmax",
                target="XOR",
            ),
            True,
        ),
        # an output that cannot get below its threshold
        (
            HookedMLP.from_weights(
                [([[1, 1], [1, 1]], [0, -1]), ([[0, 0]], [1])], out_act_fn="relu", target="XOR"
            ),
            None,
        ),
        # direct connections: the output reads the inputs as well
        (
            HookedMLP.from_weights([([[1, 1]], [-1]), ([[0]], [1])], direct=[[0, 0]], target="XOR"),
            True,
        ),
    ],
)
def test_other_conventions(model, exists):
    """Argmax, an output's own activation and direct connections are read as what they are."""
    assert diagnose(model).shortfall.readout_exists is exists


def test_nothing_is_in_the_way_of_a_network_that_works():
    """No shortfall where the target is computed, and none where it has other outputs."""
    assert diagnose(handmade.textbook_xor()).shortfall is None
    two_outputs = HookedMLP.from_weights([([[1, 1], [1, 1]], [0, -1]), ([[1, 0], [0, 1]], [0, 0])])
    assert diagnose(two_outputs, "XOR").shortfall is None


def test_deeper_layers():
    """The layer that first has rows alike is named, not those after it."""
    layers = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0]), ([[1]], [-0.5])]
    found = diagnose(HookedMLP.from_weights(layers, target="x0 > x1")).shortfall
    assert (found.alike, found.alike_layer) == ((("01", "10"),), 1)


def test_every_loss_has_its_slope():
    """With mse, ce and bce alike; of a population that did not solve its task."""
    for settings in ({"loss_fn": "mse"}, {"loss_fn": "ce"}, {}):
        config = TrainConfig(max_steps=5, **settings)
        found = diagnose(train("XOR", seed=0, config=config, progress=False).model).shortfall
        assert found.steepest > 0
