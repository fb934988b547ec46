"""Networks of seven kinds trained on XOR in plain PyTorch, many at once, and what they compute by a
brute force of their own in NumPy.

Nothing here knows the package: `test_brought_networks.py` and `benchmarks/brought_networks.py`
bring these networks in and compare.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from oracles import readings
from oracles.cuts import cuts as all_cuts
from torch import nn
from torch.nn import functional as F

BITS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR = torch.tensor([[0.0], [1.0], [1.0], [0.0]])

GATES = {
    "0000": "FALSE", "0001": "AND", "0010": "x0>x1", "0011": "x0", "0100": "x1>x0", "0101": "x1", "0110": "XOR", "0111": "OR",
    "1000": "NOR", "1001": "XNOR", "1010": "~x1", "1011": "x0>=x1", "1100": "~x0", "1101": "x1>=x0", "1110": "NAND", "1111": "TRUE",
}  # fmt: skip


class TwoLogits(nn.Sequential):
    """A classifier with an output per class."""

    def __init__(self):
        super().__init__(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))


class Regression(nn.Sequential):
    """A linear output, targets 0 and 1."""

    def __init__(self):
        super().__init__(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


class Bipolar(nn.Sequential):
    """Inputs and targets -1 and 1, tanh everywhere."""

    def __init__(self):
        super().__init__(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), nn.Tanh())


class Functional(nn.Module):
    """fc1 and fc2, activations as functions."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(2, 3)
        self.fc2 = nn.Linear(3, 1)

    def forward(self, x):
        h = F.softplus(self.fc1(x))
        return torch.sigmoid(self.fc2(h))


class WithoutBias(nn.Module):
    """Two matrices and nothing else, targets 0 and 1."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(2, 4, bias=False)
        self.fc2 = nn.Linear(4, 1, bias=False)

    def forward(self, x):
        return self.fc2(self.fc1(x).relu())


class Skip(nn.Module):
    """The inputs are added to the output through weights of their own."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(2, 2)
        self.fc2 = nn.Linear(2, 1)
        self.skip = nn.Linear(2, 1, bias=False)

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(x))) + self.skip(x)


class Normed(nn.Module):
    """Batch norm before the activation, dropout after it."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(0.1))
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(self.body(x))


def identity(z):
    """z"""
    return z


@dataclass(frozen=True)
class Kind:
    """How networks of one class are trained, brought in and decided.

    Attributes:
        loss: (outputs, XOR) -> the loss.
        settings: what a person says who brings one in.
        act: the hidden activation in NumPy.
        out: the output's.
        levels: the numbers for bits 0 and 1.
        threshold: of the outputs; None where the larger of two decides.
        raised: what is added to every output's bias after training.
    """

    module: type[nn.Module]
    loss: Callable
    settings: dict
    act: Callable
    out: Callable = identity
    levels: tuple = (0.0, 1.0)
    threshold: float | None = 0.0
    raised: float = 0.0

    def rows(self):
        """The four rows at this kind's levels."""
        low, high = self.levels
        return low + BITS * (high - low)


def relu(z):
    """max(z, 0)"""
    return np.maximum(z, 0)


def sigmoid(z):
    """1 / (1 + exp(-z))"""
    return 1 / (1 + np.exp(-z))


def classes(outputs, goal):
    """Cross-entropy of two classes."""
    return F.cross_entropy(outputs, goal.flatten().long())


KINDS = {
    "two logits": Kind(TwoLogits, classes, {"loss_fn": "ce"}, relu, threshold=None),
    "two logits raised by 10": Kind(
        TwoLogits, classes, {"decision_rule": "argmax"}, relu, threshold=None, raised=10
    ),
    "squared error on 0 and 1": Kind(
        Regression, F.mse_loss, {"loss_fn": "mse"}, relu, threshold=0.5
    ),
    "tanh on -1 and 1": Kind(
        Bipolar,
        lambda outputs, goal: F.mse_loss(outputs, 2 * goal - 1),
        {"input_levels": (-1, 1)},
        np.tanh,
        np.tanh,
        levels=(-1.0, 1.0),
    ),
    "functions": Kind(
        Functional,
        F.binary_cross_entropy,
        {},
        lambda z: np.log1p(np.exp(z)),
        sigmoid,
        threshold=0.5,
    ),
    "no bias": Kind(WithoutBias, F.mse_loss, {"loss_fn": "mse"}, relu, threshold=0.5),
    "skip connection": Kind(
        Skip, F.binary_cross_entropy_with_logits, {"decision_threshold": 0}, np.tanh
    ),
    "batch norm and dropout": Kind(
        Normed, F.binary_cross_entropy_with_logits, {"decision_threshold": 0}, relu
    ),
}


def trained(kind, n_networks, seed=0, steps=200, lr=0.1):
    """So many networks of a kind, trained at once by Adam; torch's random state is left alone.

    All of them learn on the four rows, in train mode; they are handed out in eval mode.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        nets = [kind.module() for _ in range(n_networks)]
        parameters, buffers = torch.func.stack_module_state(nets)
        template = nets[0]
        rows = kind.rows()

        def loss(own, state):
            outputs = torch.func.functional_call(template, (own, state), (rows,))
            return kind.loss(outputs, XOR)

        losses = torch.vmap(loss, randomness="different")
        optimizer = torch.optim.Adam(parameters.values(), lr=lr)
        for _ in range(steps):
            optimizer.zero_grad()
            losses(parameters, buffers).sum().backward()
            optimizer.step()
    for k, net in enumerate(nets):
        own = {name: value[k].detach() for name, value in (parameters | buffers).items()}
        net.load_state_dict(own)
        net.eval()
        if kind.raised:
            net[-1].bias.data += kind.raised
    return nets


def layers_of(kind, net):
    """W1, b1, W2, b2 and the direct weights (or None) in float64, batch norm worked in by hand."""
    state = {name: value.double().numpy() for name, value in net.state_dict().items()}
    if kind.module is Normed:
        scale = state["body.1.weight"] / np.sqrt(state["body.1.running_var"] + 1e-5)
        first = state["body.0.weight"] * scale[:, None]
        shift = (state["body.0.bias"] - state["body.1.running_mean"]) * scale
        return first, shift + state["body.1.bias"], state["out.weight"], state["out.bias"], None
    names = ("fc1", "fc2") if "fc1.weight" in state else ("0", "2")
    w1, w2 = (state[f"{name}.weight"] for name in names)
    b1, b2 = (
        state.get(f"{name}.bias", np.zeros(len(w))) for name, w in zip(names, (w1, w2), strict=True)
    )
    return w1, b1, w2, b2, state.get("skip.weight")


def distances(kind, outputs):
    """How far each row is on the side of 1, [..., row]."""
    if kind.threshold is None:
        return outputs[..., 1] - outputs[..., 0]
    return outputs[..., 0] - kind.threshold


def cuts(values):
    """All ways to cut a unit's four values in two: pairs (bits, what it is replaced by)."""
    return [
        ("".join(map(str, cut.bits)), np.where(cut.bits, cut.high, cut.low))
        for cut in all_cuts(values)
    ]


def brute_force(kind, net):
    """(decisions as text, every choice of one gate per unit that keeps them all and reads copies
    alike).

    Each unit is replaced by its two means, all at once, and the readout is worked out again; a row
    that comes to lie on the threshold is not kept.
    """
    w1, b1, w2, b2, direct = layers_of(kind, net)
    inputs = kind.rows().double().numpy()
    units = kind.act(inputs @ w1.T + b1)  # [row, unit]
    past = b2 if direct is None else b2 + inputs @ direct.T
    plain = distances(kind, kind.out(units @ w2.T + past))
    options = [cuts(values) for values in units.T]
    choices = list(product(*options))
    # [choice, row, unit]
    replaced = np.array([[levels for _, levels in choice] for choice in choices]).transpose(0, 2, 1)
    made = distances(kind, kind.out(replaced @ w2.T + past))  # [choice, row]
    towards = made * np.sign(plain)
    kept = towards.min(1) > 1e-9 * np.abs(made).max(1)
    gates = [
        [GATES[bits] for bits, _ in choice]
        for choice, is_kept in zip(choices, kept, strict=True)
        if is_kept and not readings.read_apart(units.T.tolist(), [bits for bits, _ in choice])
    ]
    return "".join("1" if one > 0 else "0" for one in plain), gates
