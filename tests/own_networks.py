"""XOR networks as people write them in plain PyTorch, and the same in NumPy."""

import copy
import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

ROWS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR = torch.tensor([[0.0], [1.0], [1.0], [0.0]])


class Functional(nn.Module):
    """fc1 and fc2, with functional activations and a sigmoid of its own."""

    def __init__(self, width=3):
        super().__init__()
        self.fc1 = nn.Linear(2, width)
        self.fc2 = nn.Linear(width, 1)

    def forward(self, x):
        x = x.view(x.size(0), -1)
        x = F.leaky_relu(self.fc1(x), negative_slope=0.1)
        return torch.sigmoid(self.fc2(x)).squeeze(-1)

    def layers(self):
        """The weights as a person would copy them, and the settings that go with them."""
        settings = {"act_fn": "leaky_relu", "negative_slope": 0.1, "out_act_fn": "sigmoid"}
        return [pair(self.fc1), pair(self.fc2)], settings

    def in_numpy(self, x):
        (w1, b1), (w2, b2) = self.layers()[0]
        pre = x @ w1.T + b1
        return 1 / (1 + np.exp(-(np.where(pre > 0, pre, 0.1 * pre) @ w2.T + b2)))


class WithoutBias(nn.Module):
    """Parameters multiplied by hand; only the hidden layer has a bias."""

    def __init__(self, width=3):
        super().__init__()
        self.W = nn.Parameter(torch.randn(2, width))
        self.b = nn.Parameter(torch.randn(width))
        self.v = nn.Parameter(torch.randn(width, 1))

    def forward(self, x):
        return torch.tanh(x @ self.W + self.b) @ self.v

    def layers(self):
        w, b, v = (one.detach().double().numpy() for one in (self.W, self.b, self.v))
        return [(w.T, b), (v.T, np.zeros(1))], {"act_fn": "tanh"}

    def in_numpy(self, x):
        (w1, b1), (w2, _) = self.layers()[0]
        return np.tanh(x @ w1.T + b1) @ w2.T


class Normed(nn.Module):
    """Batch norm before the activation and dropout after it, in a Sequential of Sequentials."""

    def __init__(self, width=4):
        super().__init__()
        body = nn.Sequential(nn.Linear(2, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.net = nn.Sequential(body, nn.Dropout(0.05), nn.Linear(width, 1))

    def forward(self, x):
        return self.net(x)

    def layers(self):
        linear, norm, _ = self.net[0]
        weight, _ = pair(linear)
        mean, variance = (one.double().numpy() for one in (norm.running_mean, norm.running_var))
        gamma, beta = (one.detach().double().numpy() for one in (norm.weight, norm.bias))
        scale = gamma / np.sqrt(variance + norm.eps)
        return [(weight * scale[:, None], beta - mean * scale), pair(self.net[2])], {}

    def in_numpy(self, x):
        (w1, b1), (w2, b2) = self.layers()[0]
        return np.maximum(x @ w1.T + b1, 0) @ w2.T + b2


class Regression(Functional):
    """A linear output whose targets were 0 and 1, and a plain ReLU."""

    def __init__(self):
        super().__init__(width=5)

    def forward(self, x):
        return self.fc2(self.fc1(x).relu())

    def layers(self):
        return [pair(self.fc1), pair(self.fc2)], {"loss_fn": "mse"}

    def in_numpy(self, x):
        (w1, b1), (w2, b2) = self.layers()[0]
        return np.maximum(x @ w1.T + b1, 0) @ w2.T + b2


def pair(linear):
    """A layer's weight and bias in float64, zeros where it has no bias."""
    weight = linear.weight.detach().double().numpy()
    bias = np.zeros(len(weight)) if linear.bias is None else linear.bias.detach().double().numpy()
    return weight, bias


def trained(kind, seed, steps=150):
    """A network of this kind, trained on XOR from a seed; torch's random state is left alone.

    Each is trained once, and every caller has a copy of its own.
    """
    return copy.deepcopy(_trained(kind, seed, steps))


@functools.cache
def _trained(kind, seed, steps):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = kind()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        loss_of = {
            Functional: F.binary_cross_entropy,
            WithoutBias: F.binary_cross_entropy_with_logits,
            Normed: F.binary_cross_entropy_with_logits,
            Regression: F.mse_loss,
        }[kind]
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(net(ROWS).view(-1, 1), XOR).backward()
            optimizer.step()
    return net


def state(net):
    """All that a loader must leave alone, as a value that can be compared later."""
    return {
        "mode": [one.training for one in net.modules()],
        "tensors": {name: value.clone() for name, value in net.state_dict().items()},
        "grads": [None if p.grad is None else p.grad.clone() for p in net.parameters()],
        "wanted": [p.requires_grad for p in net.parameters()],
        "hooks": [
            (list(one._forward_hooks), list(one._forward_pre_hooks), list(one._backward_hooks))
            for one in net.modules()
        ],
        "attributes": [copy.copy(sorted(vars(one))) for one in net.modules()],
        "random": torch.get_rng_state(),
    }


def same_state(before, after):
    """Whether two states are equal."""
    plain = all(before[key] == after[key] for key in ("mode", "wanted", "hooks", "attributes"))
    tensors = all(
        torch.equal(before["tensors"][name], after["tensors"][name]) for name in before["tensors"]
    )
    grads = all(
        (a is None and b is None) or torch.equal(a, b)
        for a, b in zip(before["grads"], after["grads"], strict=True)
    )
    return plain and tensors and grads and torch.equal(before["random"], after["random"])
