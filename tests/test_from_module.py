"""HookedMLP.from_module: networks of every style in one call, and what stands in the way said."""

import threading
import warnings

import numpy as np
import pytest
import torch
from own_networks import (
    ROWS,
    XOR,
    Functional,
    Normed,
    Regression,
    WithoutBias,
    same_state,
    state,
    trained,
)
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from xor_mi import handmade, identify_circuit
from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.model import HookedMLP
from xor_mi.model._read_module import CopiedModule

# a rule for each: a network that learned little may have outputs near 0 and 1 by chance
SETTINGS = {
    Functional: {},
    WithoutBias: {"decision_threshold": 0},
    Normed: {"decision_threshold": 0},
    Regression: {"loss_fn": "mse"},
}
ALL_STYLES = [
    (kind, seed) for kind in (Functional, WithoutBias, Normed, Regression) for seed in range(13)
]


@pytest.mark.as_a_user
@pytest.mark.parametrize(("kind", "seed"), ALL_STYLES)
def test_a_trained_network_is_brought_in_by_one_call(kind, seed):
    """Outputs are PyTorch's and NumPy's on every row, decisions and circuit are those of the same
    weights copied by hand, and the module is left as it was.
    """
    net = trained(kind, seed)
    before = state(net)
    model = HookedMLP.from_module(net, target="XOR", **SETTINGS[kind])
    assert same_state(before, state(net))
    net.eval()
    outputs = model(ROWS).detach()
    assert torch.allclose(outputs.flatten(), net(ROWS).detach().flatten(), atol=1e-5)
    assert np.allclose(outputs.double().numpy(), net.in_numpy(ROWS.double().numpy()), atol=1e-5)
    layers, settings = net.layers()
    by_hand = HookedMLP.from_weights(layers, dtype="float32", target="XOR", **settings)
    mine, theirs = (identify_circuit(one, with_evidence=False) for one in (model, by_hand))
    assert (mine.verdict, mine.reason) == (theirs.verdict, theirs.reason)
    if mine.verdict == "identified":
        assert (mine.family, mine.signature) == (theirs.family, theirs.signature)


@pytest.mark.parametrize("kind", [Functional, WithoutBias, Normed, Regression])
def test_most_of_the_trained_networks_compute_xor(kind):
    """The tests above are about networks that learned something: at least six of thirteen."""
    solved = 0
    for seed in range(13):
        net = trained(kind, seed).eval()
        threshold = 0.5 if kind in (Functional, Regression) else 0.0
        solved += int(((net(ROWS).view(-1, 1) > threshold) == (XOR > 0.5)).all())
    assert solved >= 6


class Net(nn.Module):
    """Two layers and a forward that is given; further modules and parameters by name."""

    def __init__(self, forward, width=3, **parts):
        super().__init__()
        self.run = forward
        self.fc1, self.fc2 = linear(2, width, 1), linear(width, 1, 2)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


def linear(d_in, d_out, seed=0, bias=True):
    """A linear layer with weights from a seed."""
    layer = nn.utils.skip_init(nn.Linear, d_in, d_out, bias=bias)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layer


def weights(*shape, seed=0):
    """A parameter with values from a seed."""
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def in_place(net, x):
    """A method that changes its tensor, its result not used."""
    h = net.fc1(x)
    h.relu_()
    return net.fc2(h)


def in_place_function(net, x):
    """The same with a function."""
    h = net.fc1(x)
    F.leaky_relu(h, 0.2, True)
    return net.fc2(h)


class Step(torch.autograd.Function):
    """A step with a gradient of its own."""

    @staticmethod
    def forward(ctx, z):
        return (z > 0).to(z.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def looks_at_shapes(net, x):
    """Decisions on shapes, which the rows' values do not enter."""
    if x.dim() == 1:
        x = x.unsqueeze(0)
    assert x.shape[1] == 2, x.shape
    return net.fc2(torch.relu(net.fc1(x.reshape(len(x), -1)))).squeeze(-1)


def by_hand(net, x):
    """Neuron by neuron, with a sigmoid written out."""
    a, b = x[:, 0], x[:, 1]
    w = net.w
    h0 = 1 / (1 + torch.exp(-(w[0] * a + w[1] * b + w[2])))
    h1 = 1 / (1 + torch.exp(-(w[3] * a + w[4] * b + w[5])))
    return w[6] * h0 + w[7] * h1 + w[8]


STYLES = {
    "functional": (lambda n, x: n.fc2(F.relu(n.fc1(x))), "relu", "identity", {}),
    "method": (lambda n, x: n.fc2(n.fc1(x).tanh()).sigmoid(), "tanh", "sigmoid", {}),
    "clamp": (lambda n, x: n.fc2(n.fc1(x).clamp(min=0)), "relu", "identity", {}),
    "gelu": (lambda n, x: n.fc2(F.gelu(n.fc1(x))), "gelu", "identity", {}),
    "in place": (in_place, "relu", "identity", {}),
    "in place function": (in_place_function, "leaky_relu", "identity", {}),
    "shapes": (looks_at_shapes, "relu", "identity", {}),
    "dropout": (lambda n, x: n.fc2(F.dropout(torch.relu(n.fc1(x)), 0.5, n.training)), "relu", "identity", {}),
    "F.linear": (lambda n, x: F.linear(torch.relu(F.linear(x, n.W, n.b)), n.V), "relu", "identity", {"W": weights(3, 2), "b": weights(3), "V": weights(1, 3)}),
    "x @ W.T + b": (lambda n, x: torch.relu(x @ n.W.T + n.b) @ n.V.T + n.c, "relu", "identity", {"W": weights(3, 2), "b": weights(3), "V": weights(1, 3), "c": weights(1)}),
    "addmm": (lambda n, x: torch.addmm(n.c, torch.relu(torch.addmm(n.b, x, n.W)), n.V), "relu", "identity", {"W": weights(2, 3), "b": weights(3), "V": weights(3, 1), "c": weights(1)}),
    "matmul, product, sum": (lambda n, x: (torch.sigmoid(torch.matmul(x, n.W) + n.b) * n.v).sum(-1), "sigmoid", "identity", {"W": weights(2, 3), "b": weights(3), "v": weights(3)}),
    "columns": (lambda n, x: (n.V @ torch.relu(n.W @ x.T + n.b)).T, "relu", "identity", {"W": weights(3, 2), "b": weights(3, 1), "V": weights(1, 3)}),
    "neuron by neuron": (by_hand, "sigmoid", "identity", {"w": weights(9, seed=3)}),
    "one module per neuron": (lambda n, x: n.fc2(torch.tanh(torch.cat([n.a(x), n.b(x), n.c(x)], dim=1))), "tanh", "identity", {"a": linear(2, 1, 5), "b": linear(2, 1, 6), "c": linear(2, 1, 7)}),
    "activations put together": (lambda n, x: n.fc2(torch.cat([torch.tanh(n.a(x)), torch.tanh(n.b(x))], 1)), "tanh", "identity", {"a": linear(2, 1, 5), "b": linear(2, 2, 6)}),
    "steps": (lambda n, x: (n.fc2((n.fc1(x) > 0).to(x.dtype)) > 0.1).to(x.dtype), "heaviside", "heaviside", {}),
    "where": (lambda n, x: n.fc2(torch.where(n.fc1(x) > 0.2, 1.0, 0.0).to(x.dtype)), "heaviside", "identity", {}),
    "inputs made -1 and +1": (lambda n, x: n.fc2(torch.relu(n.fc1(2 * x - 1))), "relu", "identity", {}),
    "output picked": (lambda n, x: n.out(torch.relu(n.fc1(x)))[:, 1], "relu", "identity", {"out": linear(3, 2)}),
    "difference of two": (lambda n, x: (lambda z: z[:, 1] - z[:, 0])(n.out(torch.relu(n.fc1(x)))), "relu", "identity", {"out": linear(3, 2)}),
    "a list of layers": (lambda n, x: n.two[1](torch.tanh(n.two[0](x))), "tanh", "identity", {"two": [linear(2, 3), linear(3, 1)]}),
    "made a tensor": (lambda n, x: n.fc2(torch.relu(n.fc1(torch.as_tensor(x, dtype=x.dtype) if torch.is_tensor(x) else None))), "relu", "identity", {}),
    "kept in a list": (lambda n, x: (n.log.append(n.fc1(x).relu()), n.fc2(n.log[-1]))[1], "relu", "identity", {"log": []}),
    "scaled between": (lambda n, x: n.fc2(2 * torch.relu(n.fc1(x)) - 1), "relu", "identity", {}),
    "unpacked": (lambda n, x: (lambda a, b: n.fc2(torch.relu(n.fc1(torch.stack([b, a], -1)))))(*x.T), "relu", "identity", {}),
    "something that has no copy": (lambda n, x: n.fc2(torch.relu(n.fc1(x))), "relu", "identity", {"lock": threading.Lock()}),
    "residual": (lambda n, x: n.fc2(torch.relu(n.fc1(x))) + n.skip(x), "relu", "identity", {"skip": linear(2, 1, 8)}),
    "the inputs added": (lambda n, x: torch.sigmoid(n.fc2(torch.tanh(n.fc1(x))) + x.sum(1, keepdim=True)), "tanh", "sigmoid", {}),
    "inputs beside units": (lambda n, x: n.out(torch.cat([torch.relu(n.fc1(x)), x], 1)), "relu", "identity", {"out": linear(5, 1)}),
    "inputs before units, two layers": (lambda n, x: n.out(torch.cat((x, n.mid(n.fc1(x).relu()).relu()), -1)), "relu", "identity", {"mid": linear(3, 3), "out": linear(5, 1)}),
    "an activation per layer": (lambda n, x: n.fc2(torch.tanh(n.mid(torch.relu(n.fc1(x))))), ("relu", "tanh"), "identity", {"mid": linear(3, 3)}),
    "inputs projected and added": (lambda n, x: n.fc2(torch.relu(n.fc1(x)) + n.project(x)), "relu", "identity", {"project": linear(2, 3, 4)}),
    "inputs made -1 and +1, and added": (lambda n, x: (lambda z: n.fc2(torch.relu(n.fc1(z))) + n.skip(z))(2 * x - 1), "relu", "identity", {"skip": linear(2, 1, 8)}),
    "einsum": (lambda n, x: torch.einsum("bh,ho->bo", torch.relu(torch.einsum("oi,bi->bo", n.W, x) + n.b), n.V), "relu", "identity", {"W": weights(3, 2), "b": weights(3), "V": weights(3, 1)}),
    "einsum of columns": (lambda n, x: torch.einsum("hb, h -> b", torch.relu(torch.einsum("oi,bi->ob", n.W, x) + n.b), n.v), "relu", "identity", {"W": weights(3, 2), "b": weights(3, 1), "v": weights(3)}),
    "a gradient of its own": (lambda n, x: n.fc2(Step.apply(n.fc1(x))), "heaviside", "identity", {}),
    "relu by hand": (lambda n, x: (lambda z: n.fc2(z * (z > 0)))(n.fc1(x)), "relu", "identity", {}),
    "relu by where": (lambda n, x: (lambda z: n.fc2(torch.where(z > 0, z, torch.zeros_like(z))))(n.fc1(x)), "relu", "identity", {}),
    "relu by where, turned": (lambda n, x: (lambda z: n.fc2(torch.where(z < 0, 0, z)))(n.fc1(x)), "relu", "identity", {}),
    "leaky relu by where": (lambda n, x: (lambda z: n.fc2(torch.where(z > 0, z, 0.3 * z)))(n.fc1(x)), "leaky_relu", "identity", {}),
    "silu by hand": (lambda n, x: (lambda z: n.fc2(torch.sigmoid(z) * z))(n.fc1(x)), "silu", "identity", {}),
    "softplus": (lambda n, x: n.fc2(F.softplus(n.fc1(x))), "softplus", "identity", {}),
    "softplus by hand": (lambda n, x: torch.log1p(n.fc2((1 + n.fc1(x).exp()).log()).exp()), "softplus", "softplus", {}),
    "elu": (lambda n, x: F.elu(n.fc2(nn.ELU()(n.fc1(x)))), "elu", "elu", {}),
    "celu": (lambda n, x: n.fc2(nn.CELU()(n.fc1(x))), "elu", "identity", {}),
    "silu": (lambda n, x: n.fc2(F.silu(n.fc1(x))), "silu", "identity", {"act": nn.SiLU()}),
    "silu as a module": (lambda n, x: n.fc2(n.act(n.fc1(x))), "silu", "identity", {"act": nn.SiLU()}),
    "hardtanh": (lambda n, x: nn.Hardtanh()(n.fc2(F.hardtanh(n.fc1(x)))), "hardtanh", "hardtanh", {}),
    "hardtanh as a method": (lambda n, x: n.fc2(n.fc1(x).clamp(-1, 1)), "hardtanh", "identity", {}),
    "relu6": (lambda n, x: nn.ReLU6()(n.fc2(F.relu6(5 * n.fc1(x)))), "relu6", "relu6", {}),
    "relu6 as a method": (lambda n, x: n.fc2((5 * n.fc1(x)).clamp(0, 6)), "relu6", "identity", {}),
    "hardsigmoid": (lambda n, x: nn.Hardsigmoid()(n.fc2(F.hardsigmoid(4 * n.fc1(x)))), "hardsigmoid", "hardsigmoid", {}),
    "gelu by tanh": (lambda n, x: n.fc2(nn.GELU(approximate="tanh")(n.fc1(x))), "gelu_tanh", "identity", {}),
    "signs": (lambda n, x: torch.sign(n.fc2(n.fc1(x).sign())), "sign", "sign", {}),
    "signs by arithmetic": (lambda n, x: 2 * (n.fc2(2 * (n.fc1(x) > 0).to(x.dtype) - 1) > 0).to(x.dtype) - 1, "sign", "sign", {}),
    "signs by where": (lambda n, x: torch.where(n.fc2(torch.where(n.fc1(x) > 0, 1.0, -1.0).to(x.dtype)) > 0, 1, -1).to(x.dtype), "sign", "sign", {}),
    "falling signs by where": (lambda n, x: torch.where(n.fc2(torch.where(n.fc1(x) < 0, -1.0, 1.0).to(x.dtype)) > 0, -1.0, 1.0).to(x.dtype), "sign", "sign", {}),
    "steps made of signs": (lambda n, x: n.fc2((torch.sign(n.fc1(x)) + 1) / 2), "heaviside", "identity", {}),
    "steps turned round": (lambda n, x: (~(n.fc2(1 - (n.fc1(x) > 0).to(x.dtype)) > 0)).to(x.dtype), "heaviside", "heaviside", {}),
    "steps of > and >=": (lambda n, x: (n.fc2((n.fc1(x) > 0).to(x.dtype)) >= 0.1).to(x.dtype), "heaviside", "heaviside", {}),
    "torch.heaviside": (lambda n, x: torch.heaviside(n.fc2(torch.heaviside(n.fc1(x), x.new_tensor(0.5))), x.new_ones(1)), "heaviside", "heaviside", {}),
    "steps that pass gradients": (lambda n, x: (lambda z: n.fc2(z + (torch.sign(z) - z).detach()))(n.fc1(x)), "sign", "identity", {}),
    "the same through hardtanh": (lambda n, x: (lambda z: n.fc2(((z > 0).to(x.dtype) - F.hardtanh(z)).detach() + F.hardtanh(z)))(n.fc1(x)), "heaviside", "identity", {}),
    "the second of two probabilities": (lambda n, x: F.softmax(n.out(torch.relu(n.fc1(x))), dim=1)[:, 1], "relu", "sigmoid", {"out": linear(3, 2)}),
    "the first of two probabilities": (lambda n, x: n.out(torch.relu(n.fc1(x))).softmax(-1)[:, 0], "relu", "sigmoid", {"out": linear(3, 2)}),
    "attributes left behind": (lambda n, x: (setattr(n, "seen", n.fc1(x)), n.fc2(n.seen.relu()))[1], "relu", "identity", {}),
}  # fmt: skip


@pytest.mark.as_a_user
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_styles_of_writing_a_forward(style, dtype):
    """However a forward is written, the network made gives what it gives, and nothing is left of
    the reading in the module.
    """
    forward, act_fn, out_act_fn, parts = STYLES[style]
    net = Net(forward, **parts).to(dtype).eval()
    for part in parts.get("two", []):
        part.to(dtype)
    before = state(net)
    model = HookedMLP.from_module(net, decision_threshold=0.5)
    assert same_state(before, state(net))
    assert (model.cfg.act_fn, model.cfg.out_act_fn, model.cfg.dtype) == (act_fn, out_act_fn, dtype)
    x = ROWS.to(dtype)
    atol = 1e-6 if dtype == torch.float32 else 1e-12
    assert torch.allclose(model(x).flatten(), net(x).flatten(), atol=atol)


@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_computed_are_the_effective_ones():
    """Weight norm (both kinds), spectral norm and a weight tied to another are read as they act."""
    with torch.random.fork_rng():
        old = nn.utils.weight_norm(linear(2, 3))
        spectral = parametrizations.spectral_norm(linear(2, 3))
    for first in (old, parametrizations.weight_norm(linear(2, 3)), spectral):
        net = nn.Sequential(first, nn.Tanh(), linear(3, 1)).eval()
        net(ROWS).sum().backward()  # what a person has after training
        before = state(net)
        model = HookedMLP.from_module(net, decision_threshold=0)
        assert same_state(before, state(net))
        assert torch.allclose(model(ROWS), net(ROWS), atol=1e-6)


def test_one_layer_called_twice_is_two_layers():
    """Modules are read by call."""
    shared = linear(3, 3)
    net = nn.Sequential(linear(2, 3), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), linear(3, 1))
    model = HookedMLP.from_module(net, decision_threshold=0)
    assert model.cfg.layer_sizes == (2, 3, 3, 3, 1)
    assert torch.equal(model(ROWS), net(ROWS))


def test_batch_norm_is_folded_into_the_layer_beside_it():
    """After a layer, after an activation, and on the inputs: in float16 and bfloat16 too, within
    what the dtype can hold.
    """
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        generator = torch.Generator().manual_seed(4)
        norms = [nn.BatchNorm1d(n, dtype=dtype) for n in (2, 3, 3)]
        for norm in norms:
            for tensor in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        layers = [norms[0], linear(2, 3), norms[1], nn.ReLU(), norms[2], linear(3, 1)]
        net = nn.Sequential(*layers).to(dtype).train()
        model = HookedMLP.from_module(net, decision_threshold=-100)
        assert net.training
        assert model.cfg.dtype == dtype
        wanted = net.eval()(ROWS.to(dtype)).double()
        assert torch.allclose(
            model(ROWS).double(), wanted, rtol=0, atol=60 * torch.finfo(dtype).eps
        )


def test_wrappers_are_taken_off():
    """Compiled modules, outside, inside and in place, and DataParallel are what they hold."""
    net = nn.Sequential(linear(2, 3), nn.GELU(), linear(3, 1))
    inside = nn.Sequential(torch.compile(net[:2]), net[2])
    in_place = nn.Sequential(*net)
    in_place.compile()
    for wrapped in (torch.compile(net), inside, in_place, nn.DataParallel(net)):
        model = HookedMLP.from_module(wrapped, decision_threshold=0)
        assert torch.equal(model(ROWS), net(ROWS))


def test_lazy_layers_are_read_once_they_have_values():
    """Before their first run they have no weights, and that is said."""
    net = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(1))
    with pytest.raises(XorMiError, match=r"0\.weight has no values yet: run the module once"):
        HookedMLP.from_module(net)
    with torch.random.fork_rng():
        net(ROWS)
    assert torch.equal(HookedMLP.from_module(net, decision_threshold=0)(ROWS), net(ROWS))


def test_a_hook_that_only_looks_is_fine_and_one_that_changes_is_not():
    """What a forward hook adds cannot be read off the layers; the comparison finds it."""
    net = nn.Sequential(linear(2, 3), nn.ReLU(), linear(3, 1))
    seen = []
    handle = net[1].register_forward_hook(lambda module, given, output: seen.append(output))
    HookedMLP.from_module(net, decision_threshold=0)
    handle.remove()
    net[1].register_forward_hook(lambda module, given, output: output + 1)
    with pytest.raises(XorMiError, match=r"on row 00 the module gives .* forward hook on 1 is not"):
        HookedMLP.from_module(net)


def test_more_than_twelve_inputs_are_compared_on_drawn_rows():
    """A wide module is read as well, and torch's random state is left alone."""
    net = nn.Sequential(linear(20, 3), nn.ReLU(), linear(3, 2))
    model = HookedMLP.from_module(net, decision_threshold=0)
    x = torch.randint(2, (50, 20), generator=torch.Generator().manual_seed(1)).float()
    assert torch.equal(model(x), net(x))


def branches(net, x):
    """Decides on a sum over the batch."""
    h = net.fc1(x)
    if h[:, 0].sum() > 0:
        h = h * 2
    return net.fc2(h)


def decides(net, x):
    """Decides on one row's value."""
    h = net.fc1(x)
    return net.fc2(h) if h[0, 0] > 0 else net.fc2(-h)


REFUSED = {
    "inputs to a hidden layer": (lambda n, x: n.fc2(torch.relu(n.mid(torch.cat([torch.relu(n.fc1(x)), x], 1)))), "module mid is Linear: the inputs are added to layer 2, .* direct connections to its outputs only", {"mid": linear(5, 3)}),
    "past a hidden layer": (lambda n, x: (lambda h: n.fc2(torch.relu(n.mid(h))) + n.head(h))(torch.relu(n.fc1(x))), "connected past the layer after it; only the inputs may be", {"mid": linear(3, 3), "head": linear(3, 1)}),
    "two in one layer": (lambda n, x: n.fc2(torch.cat([torch.tanh(n.a(x)), torch.relu(n.b(x))], 1)), "units of one layer have different activations, tanh and relu", {"a": linear(2, 1), "b": linear(2, 2)}),
    "unknown activation": (lambda n, x: n.fc2(F.mish(n.fc1(x))), "layer 1 has the activation mish, which a HookedMLP does not have", {}),
    "another alpha": (lambda n, x: n.fc2(nn.ELU(0.7)(n.fc1(x))), "layer 1 has elu with alpha=0.7; a HookedMLP has it with alpha=1 only", {}),
    "another alpha of celu": (lambda n, x: n.fc2(F.celu(n.fc1(x), 2.0)), "layer 1 has the activation celu", {}),
    "another beta": (lambda n, x: F.softplus(n.fc2(torch.relu(n.fc1(x))), beta=2), "layer 2 has softplus with beta=2; a HookedMLP has it with beta=1 only", {}),
    "other limits": (lambda n, x: n.fc2(n.act(n.fc1(x))), "module act is Hardtanh; layer 1 has hardtanh with min_val=-2.0; a HookedMLP has it with min_val=-1 only", {"act": nn.Hardtanh(-2, 2)}),
    "two slopes": (lambda n, x: n.fc2(F.leaky_relu(n.mid(F.leaky_relu(n.fc1(x), 0.1)), 0.2)), "leaky_relu slopes 0.1, 0.2 differ", {"mid": linear(3, 3)}),
    "a sign on its step": (lambda n, x: n.fc2(torch.sign(x @ n.W)), "this step gives 0 at exactly zero, where unit h0.0 is on row 00; a HookedMLP's gives -1 or 1: write it with > or >=", {"W": weights(2, 3)}),
    "> and >= on their steps": (lambda n, x: (n.fc2((x @ n.W >= 0).float()) * 0 > 0).float(), "this step is on at exactly zero, where unit h0.0 is on row 00, and another layer's is not; .* write all with > or all with >=|this step is off at exactly zero, where unit y0 is on row 00", {"W": weights(2, 3)}),
    "a softmax inside": (lambda n, x: n.fc2(F.softmax(n.fc1(x), dim=1)), "layer 1 is a softmax, whose values depend on each other", {}),
    "a softmax over rows": (lambda n, x: F.softmax(n.out(torch.relu(n.fc1(x))), dim=0), "a softmax goes over the outputs of one row: give it dim=-1, not 0", {"out": linear(3, 2)}),
    "a softmax over one": (lambda n, x: F.softmax(n.fc2(torch.relu(n.fc1(x))), dim=1), "a softmax over one output is 1 on every row; use a sigmoid there, or two outputs", {}),
    "two of three probabilities": (lambda n, x: F.softmax(n.out(torch.relu(n.fc1(x))), dim=1)[:, :2], "the outputs are some of a softmax: return all of them", {"out": linear(3, 3)}),
    "sum of all": (branches, r"line \d+ of test_from_module.py \(`if h\[:, 0\]\.sum\(\) > 0:`\); 'sum' cannot be read", {}),
    "one row decides": (decides, r"line \d+ of test_from_module.py .*: it does not treat every input row alike", {}),
    "values decide": (lambda n, x: n.fc2(torch.relu(n.fc1(x))) if n.fc1(x).squeeze() > 0 else x, r"line \d+ of test_from_module.py", {}),
    "argmax": (lambda n, x: n.fc2(torch.relu(n.fc1(x))).argmax(1), "'argmax' cannot be read as a layer: return the outputs themselves, and give decision_rule='argmax'", {}),
    "the largest": (lambda n, x: n.fc2(torch.relu(n.fc1(x))).max(1)[1], "'max' cannot be read as a layer: return the outputs themselves, and give", {}),
    "rounded": (lambda n, x: torch.sigmoid(n.fc2(torch.relu(n.fc1(x)))).round(), "'round' cannot be read as a layer: return the values before it, and give decision_threshold", {}),
    "a product of units": (lambda n, x: n.fc2(n.fc1(x) * n.fc1(x)), "'mul' cannot be read as a layer", {}),
    "a product of two layers": (lambda n, x: n.fc2(n.fc1(x) * torch.sigmoid(n.gate(x))), "'mul' cannot be read as a layer", {"gate": linear(2, 3, 4)}),
    "another where": (lambda n, x: (lambda z: n.fc2(torch.where(z > 1, z, 0.3 * z)))(n.fc1(x)), "'where' cannot be read as a layer", {}),
    "to NumPy": (lambda n, x: torch.tensor(n.fc2(n.fc1(x)).numpy()), r"line \d+ of test_from_module.py .*'numpy' cannot be read", {}),
    "a number": (lambda n, x: n.fc2(n.fc1(x)) * float(x.sum(1)[0]), r"cannot be followed at line \d+ of test_from_module.py", {}),
    "two answers": (lambda n, x: (n.fc2(n.fc1(x)), x), "returns a tuple of 2", {}),
    "no input": (lambda n, x: n.fc2.weight, "does not depend on the input", {}),
    "the inputs": (lambda n, x: x, "no linear layer", {}),
    "a step on a sigmoid": (lambda n, x: (torch.sigmoid(n.fc2(torch.relu(n.fc1(x)))) > 0.5).float(), "return the value before the step, and give decision_threshold", {}),
    "scaled at the end": (lambda n, x: 2 * torch.sigmoid(n.fc2(torch.relu(n.fc1(x)))) - 1, "the output is scaled, shifted or put together after its last activation", {}),
    "dropout always on": (lambda n, x: n.fc2(F.dropout(torch.relu(n.fc1(x)), 0.5)), "it drops values in eval mode too", {}),
    "a random number": (lambda n, x: n.fc2(torch.relu(n.fc1(x))) + torch.randn(1), "on row 00 the module gives", {}),
    "random numbers": (lambda n, x: n.fc2(torch.relu(n.fc1(x + torch.randn_like(x)))), "'randn_like' cannot be read", {}),
    "shapes that do not fit": (lambda n, x: n.fc2(torch.relu(n.wide(x))), "module fc2 is Linear: it takes 3 values and is given 4", {"wide": linear(2, 4)}),
    "a widened batch": (lambda n, x: n.fc2(torch.relu(n.fc1(x))).squeeze(-1) + n.fc2(torch.relu(n.fc1(x))), "it adds values of different input rows", {}),
    "an outer product": (lambda n, x: torch.einsum("bi,bj->bij", x, x), "'einsum' cannot be read as a layer", {}),
    "layer norm": (lambda n, x: n.fc2(F.layer_norm(n.fc1(x), (3,))), "'layer_norm' cannot be read", {}),
    "mean of the batch": (lambda n, x: n.fc2(n.fc1(x) - n.fc1(x).mean(0)), "'mean' cannot be read", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_stands_in_the_way_is_said(case):
    """One XorMiError of one line; the module and the random state are as they were."""
    forward, message, parts = REFUSED[case]
    net = Net(forward, **parts)
    before = state(net)
    with pytest.raises(XorMiError, match=message) as caught:
        HookedMLP.from_module(net)
    assert "\n" not in str(caught.value)
    assert same_state(before, state(net))


def test_weights_that_cannot_be_used_are_refused():
    """Several dtypes, no values, no Python, no running statistics, no numbers."""
    plain = nn.Sequential(linear(2, 3), nn.ReLU(), linear(3, 1))
    mixed = nn.Sequential(linear(2, 3), nn.ReLU(), linear(3, 1).double())
    batch = nn.Sequential(linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.ReLU(), linear(3, 1))  # fmt: skip
    empty = nn.Sequential(*(type(one)(*size, device="meta") for one, size in ((linear(2, 3), (2, 3)), (linear(3, 1), (3, 1)))))  # fmt: skip
    broken = nn.Sequential(linear(2, 3), nn.ReLU(), linear(3, 1))
    broken[0].weight.data[0, 0] = float("nan")
    for net, message in (
        (mixed, "weights are torch.float32, torch.float64; .* module.double"),
        (batch, "module 1 is BatchNorm1d; a batch norm without running statistics"),
        (empty, "meta device"),
        (broken, "fc1 has NaN or infinite entries"),
        (nn.Sequential(), "no linear layer"),
        (handmade.textbook_xor(), "a HookedMLP already"),
    ):
        with pytest.raises(XorMiError, match=message):
            HookedMLP.from_module(net)
    for setting in ({"act_fn": "tanh"}, {"out_act_fn": "sigmoid"}, {"negative_slope": 0.5}):
        with pytest.raises(XorMiError, match="follow from the module; leave them out"):
            HookedMLP.from_module(plain, **setting)
    with pytest.raises(XorMiError, match="no setting 'layout'"):
        HookedMLP.from_module(plain, layout="in_out")


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning"
)
def test_a_script_has_no_python_to_follow():
    """torch.jit's modules are refused with what to give instead."""
    net = torch.jit.trace(nn.Sequential(linear(2, 3), nn.ReLU(), linear(3, 1)), ROWS)
    with pytest.raises(XorMiError, match="give the module it was made from"):
        HookedMLP.from_module(net)


def zero_and_one(net_kind=nn.Sequential):
    """The textbook network as a module: outputs 0, 1, 1, 0."""
    model = handmade.textbook_xor()
    net = net_kind(nn.Linear(2, 2, device="meta"), nn.ReLU(), nn.Linear(2, 1, device="meta"))
    net.to_empty(device="cpu")
    with torch.no_grad():
        for mine, theirs in zip(net.parameters(), model.parameters(), strict=True):
            mine.copy_(theirs)
    return net


def test_targets_of_0_and_1_without_a_rule_are_warned_of():
    """The warning names decision_threshold and points at the caller's line; a rule ends it."""
    net = zero_and_one()
    for load in (HookedMLP.from_module, HookedMLP.from_sequential):
        with pytest.warns(XorMiWarning, match="decision_threshold=0.5 or loss_fn='mse'") as said:
            assert load(net).threshold == 0
        assert said[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert load(net, loss_fn="mse").threshold == 0.5
            assert load(net, decision_threshold=0.5).threshold == 0.5
            assert load(net, decision_threshold=0, target="XOR").cfg.target is not None
            wide = nn.Sequential(*net[:2], linear(2, 1))  # outputs far from 0 and 1
            wide[2].weight.data.mul_(10)
            load(wide)
            load(nn.Sequential(*net, nn.Sigmoid()))


def test_squared_error_on_minus_1_and_1_is_warned_of():
    """Where an output lies between 0 and 0.5 and another near -1; a threshold ends the warning."""
    net = nn.Sequential(linear(2, 2), nn.Tanh(), linear(2, 1), nn.Tanh())
    with torch.no_grad():
        net[0].weight.fill_(10)
        net[0].bias.copy_(torch.tensor([-10, 10]))
        net[2].weight.copy_(torch.tensor([[-0.5, 1]]))
        net[2].bias.fill_(-0.75 - 0.3)
    settings = {"input_levels": (-1, 1), "loss_fn": "mse"}
    with pytest.warns(
        XorMiWarning, match=r"output 0.422 on row 01 is below .* decision_threshold=0,"
    ):
        assert HookedMLP.from_module(net, **settings).threshold == 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HookedMLP.from_module(net, decision_threshold=0, **settings)
        HookedMLP.from_module(net, decision_threshold=0.5, **settings)
        HookedMLP.from_module(net, input_levels=(-1, 1))
        net[2].bias.data.fill_(-0.75)  # 0.635 on row 01: both thresholds say the same
        HookedMLP.from_module(net, **settings)


def two_outputs(seed=0):
    """Three hidden units and two outputs, of which sometimes both and sometimes none are above
    zero.
    """
    net = nn.Sequential(linear(2, 3, seed), nn.ReLU(), linear(3, 2, seed + 1))
    net[2].weight.data.mul_(10)
    return net


def larger(outputs):
    """Whether output 1 is the larger, row by row."""
    return (outputs[:, 1:] > outputs[:, :1]).long()


def test_two_outputs_and_the_larger_decides():
    """By loss_fn='ce', decision_rule='argmax', or a target that is one decision; 3 and more too."""
    for seed in range(0, 40, 2):
        net = two_outputs(seed)
        wanted = larger(net(ROWS))
        for settings in (
            {"loss_fn": "ce"},
            {"decision_rule": "argmax"},
            {"target": "XOR"},
            {"target": "XOR", "loss_fn": "mse"},
        ):
            model = HookedMLP.from_module(net, **settings)
            assert model.cfg.decision_rule == "argmax"
            assert torch.equal(model.rule.decide(model(ROWS)), wanted)
            assert torch.equal(model(ROWS), net(ROWS))
    three = nn.Sequential(linear(2, 3), nn.ReLU(), linear(3, 3, 4))
    model = HookedMLP.from_module(three, loss_fn="ce")
    assert torch.equal(model.rule.decide(model(ROWS)), F.one_hot(three(ROWS).argmax(1), 3))


def test_a_target_of_two_outputs_and_a_threshold_that_is_given_stay_thresholds():
    """A half adder has two decisions; a rule that is given is never changed."""
    net = two_outputs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for settings in (
            {"target": "x0 ^ x1, x0 & x1"},
            {"decision_threshold": 0},
            {"loss_fn": "bce"},
            {"decision_rule": "threshold"},
        ):
            model = HookedMLP.from_module(net, **settings)
            assert model.cfg.decision_rule == "threshold"
            assert model.cfg.n_decisions == 2
    for settings in ({"decision_threshold": 0}, {"loss_fn": "bce"}):
        with pytest.raises(XorMiError, match="decision_rule='argmax'"):
            HookedMLP.from_module(net, target="XOR", **settings)


def test_outputs_that_argmax_reads_otherwise_are_warned_of():
    """The warning comes exactly where the outputs above zero are not the largest alone, and names
    the first such row; the outputs of a threshold network are left as they are.
    """
    said_on = 0
    for seed in range(0, 60, 2):
        net = two_outputs(seed)
        outputs = net(ROWS)
        above = (outputs > 0).long()
        alone = F.one_hot(outputs.argmax(1), 2)
        differs = (above != alone).any(1).nonzero().flatten().tolist()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = HookedMLP.from_module(net)
        assert model.cfg.decision_rule == "threshold"
        assert len(said) == bool(differs)
        if differs:
            name = "".join(str(int(bit)) for bit in ROWS[differs[0]].tolist())
            assert (
                f"on row {name}; if the largest output decides, give decision_rule='argmax'"
                in str(said[0].message)
            )
            assert said[0].category is XorMiWarning
            assert said[0].filename == __file__
            said_on += 1
    assert 5 < said_on < 30


@pytest.mark.parametrize("last", ["module", "function", "log", "log module", "default dim"])
@pytest.mark.filterwarnings("ignore:Implicit dimension choice for softmax")
def test_a_last_softmax_changes_no_decision_and_is_left_out(last):
    """The network made gives the logits; their softmax is what the module gives."""
    makes = {
        "module": nn.Softmax(dim=1),
        "function": lambda z: F.softmax(z, -1),
        "log": lambda z: z.log_softmax(1),
        "log module": nn.LogSoftmax(dim=-1),
        "default dim": nn.Softmax(),
    }
    for n_out in (2, 3):
        for dtype in (torch.float32, torch.float64):
            net = Net(
                lambda n, x: makes[last](n.out(torch.tanh(n.fc1(x)))), out=linear(3, n_out)
            ).to(dtype)
            model = HookedMLP.from_module(net)
            assert (model.cfg.decision_rule, model.cfg.loss_fn) == ("argmax", "ce")
            assert model.cfg.out_act_fn == "identity"
            x = ROWS.to(dtype)
            logits = model(x)
            soft = logits.log_softmax(1) if "log" in last else logits.softmax(1)
            assert torch.allclose(soft, net(x), atol=1e-6)
            best = net(x).argmax(1)
            wanted = best[:, None] if n_out == 2 else F.one_hot(best, n_out)
            assert torch.equal(model.rule.decide(logits), wanted)
    for setting in (
        {"decision_threshold": 0.5},
        {"decision_rule": "threshold"},
        {"loss_fn": "bce"},
    ):
        with pytest.raises(
            XorMiError, match=r"softmax, so its largest output decides; leave .* out"
        ):
            HookedMLP.from_module(net, **setting)


def test_a_softmax_after_an_activation_is_left_out_too():
    """The largest of the activated outputs is the largest of their softmax; ties stay ties."""
    for seed in range(8):
        layers = [linear(2, 3, seed), nn.Tanh(), linear(3, 2, seed + 9), nn.ReLU()]
        model = HookedMLP.from_module(nn.Sequential(*layers, nn.Softmax(dim=1)))
        plain = nn.Sequential(*layers)
        assert model.cfg.out_act_fn == "relu"
        assert torch.equal(model(ROWS), plain(ROWS))
        difference = plain(ROWS)[:, 1:] - plain(ROWS)[:, :1]
        wanted = torch.where(difference == 0, -1, (difference > 0).long())
        assert torch.equal(model.rule.decide(model(ROWS)), wanted)


def test_a_softmax_that_does_more_is_found():
    """A temperature is part of the last layer; a mistake in the module's softmax is not read over.

    The module below is followed as a softmax and computes another function, by a hook.
    """
    net = nn.Sequential(linear(2, 3), nn.ReLU(), linear(3, 2), nn.Softmax(dim=1))
    warm = Net(lambda n, x: F.softmax(n.out(torch.relu(n.fc1(x))) / 4, 1), out=linear(3, 2))
    assert torch.allclose(HookedMLP.from_module(warm)(ROWS).softmax(1), warm(ROWS), atol=1e-6)
    net[3].register_forward_hook(lambda module, given, output: output * 0.99)
    with pytest.raises(XorMiError, match=r"on row 00 the module gives .* forward hook on 3"):
        HookedMLP.from_module(net)


@pytest.mark.parametrize("levels", [(-1, 1), (1, -1), (0.1, 0.9), (5, 2)])
def test_input_levels_are_what_the_module_is_compared_on(levels):
    """Outputs agree at the levels, and rows are still named by bits.

    A module that is right on 0 and 1 only is refused, with the row's bits.
    """
    net = Net(lambda n, x: n.fc2(torch.relu(n.fc1(x))))
    model = HookedMLP.from_module(net, input_levels=levels, decision_threshold=0)
    assert model.cfg.input_levels == levels
    x = torch.tensor(
        [[levels[int(bit)] for bit in row] for row in ROWS.tolist()], dtype=torch.float32
    )
    assert torch.equal(model(x), net(x))
    assert torch.equal(model.rows(), x)
    seen = []
    net.fc1.register_forward_hook(lambda module, given, output: seen.append(given[0].clone()))
    net.fc2.register_forward_hook(
        lambda module, given, output: output + (seen[-1] == levels[1]).all(1, keepdim=True)
    )
    with pytest.raises(XorMiError, match="on row 11 the module gives"):
        HookedMLP.from_module(net, input_levels=levels, decision_threshold=0)
    assert torch.equal(seen[-1], x)


def test_steps_are_read_at_the_levels_that_are_given():
    """A sum of two inputs is on its step on rows 01 and 10 at -1 and 1, and never at 0.5 and 1."""
    ones = nn.Parameter(torch.ones(2, 1))
    net = Net(lambda n, x: (n.out(torch.sign(x @ n.w)) > 0).float(), w=ones, out=linear(1, 1))
    with pytest.raises(XorMiError, match=r"gives 0 at exactly zero, where unit h0.0 is on row 01"):
        HookedMLP.from_module(net, input_levels=(-1, 1))
    model = HookedMLP.from_module(net, input_levels=(0.5, 1))
    assert (model.cfg.act_fn, model.cfg.out_act_fn) == ("sign", "heaviside")


def test_what_steps_do_at_zero_is_read():
    """> is off there and >= is on; where a network has both, the one that never matters gives way.

    On every row here some unit of the first layer is exactly on its step.
    """
    w = nn.Parameter(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))

    def first(compare):
        return lambda net, x: (
            net.c + (compare(x @ net.w, 0)).float().sum(1, keepdim=True) >= 0
        ).float()

    for compare, step_at_zero in ((torch.gt, 0), (torch.ge, 1)):
        net = Net(first(compare), w=w, c=nn.Parameter(torch.tensor([-1.5])))
        model = HookedMLP.from_module(net)
        assert model.cfg.step_at_zero == step_at_zero
        assert torch.equal(model(ROWS), net(ROWS))
        with pytest.raises(XorMiError, match="step_at_zero follow from the module"):
            HookedMLP.from_module(net, step_at_zero=1)


def test_a_decision_at_the_edge_is_not_changed_by_rounding():
    """Folded batch norm may round an output across the threshold; that is refused, not hidden."""
    net = nn.Sequential(linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(), linear(2, 1)).eval()
    with torch.no_grad():
        net[1].running_mean.fill_(0.3)
        net[1].running_var.fill_(0.7)
    exact = net.double()(ROWS.double())
    net.float()
    refused = []
    for output in exact.flatten().tolist():
        for step in range(-6, 7):
            threshold = output * (1 + step * 2e-8)
            try:
                model = HookedMLP.from_module(net, decision_threshold=threshold)
            except XorMiError as error:
                refused.append(str(error))
                continue
            assert torch.equal(model(ROWS) > threshold, net(ROWS) > threshold)
    # both happen: some thresholds lie between the two ways to round
    assert 0 < len(refused) < 52
    assert all("on two sides of the threshold" in message for message in refused)


DESCRIBED = {
    "residual": Net(lambda n, x: n.fc2(torch.relu(n.fc1(x))) + n.skip(x), skip=linear(2, 1, 8)),
    "the inputs themselves": Net(lambda n, x: n.fc2(torch.relu(n.fc1(x))) + x.sum(1, keepdim=True)),
    "skip to a hidden layer": Net(
        lambda n, x: n.fc2(torch.tanh(n.mid(torch.cat([F.elu(n.fc1(x), 0.7), x], 1)))),
        mid=linear(5, 3, 8),
    ),
    "inputs beside units": Net(
        lambda n, x: n.out(torch.cat([torch.tanh(n.fc1(x)), x], 1)), out=linear(5, 1, 8)
    ),
    "one activation per layer": Net(
        lambda n, x: F.softplus(n.fc2(F.hardtanh(n.mid(F.silu(n.fc1(x)))))), mid=linear(3, 3, 8)
    ),
    "steps that are on at zero": Net(lambda n, x: n.fc2((n.fc1(x) >= 0).float())),
}


@pytest.mark.parametrize("case", DESCRIBED)
def test_a_description_is_what_the_module_computes(case):
    """Layer by layer, with PyTorch's own activations, a description gives what the module gives;
    connections from the inputs to a hidden layer are described too, and refused after that.
    """
    net = DESCRIBED[case]
    described = CopiedModule(net).described()
    value = ROWS
    for layer in described.layers:
        pre = value @ layer.weight.T + layer.bias
        if layer.direct is not None:
            pre = pre + ROWS @ layer.direct.T
        name, parameters = layer.activation.name, layer.activation.parameters
        if name == "heaviside":
            value = (pre >= 0).float() if parameters["at_zero"] else (pre > 0).float()
        elif name == "identity":
            value = pre
        else:
            value = getattr(F, name)(pre, **parameters)
    assert torch.allclose(value, net(ROWS), atol=1e-6)
    has_direct = [layer.direct is not None for layer in described.layers]
    assert any(has_direct) == (
        case
        in ("residual", "the inputs themselves", "skip to a hidden layer", "inputs beside units")
    )
    if case == "skip to a hidden layer":
        with pytest.raises(XorMiError, match="direct connections to its outputs only"):
            HookedMLP.from_module(net)
    else:
        model = HookedMLP.from_module(net, decision_threshold=0.5)
        assert torch.allclose(model(ROWS), net(ROWS), atol=1e-6)


def test_nothing_of_pytorch_stays_replaced():
    """torch.tensor and nn.Module's call are PyTorch's own afterwards, after a failure too."""
    kept = (torch.tensor, torch.as_tensor, torch.is_tensor, nn.Module.__call__)
    HookedMLP.from_module(Net(STYLES["functional"][0]), decision_threshold=0)
    with pytest.raises(XorMiError):
        HookedMLP.from_module(Net(REFUSED["a number"][0]))
    assert kept == (torch.tensor, torch.as_tensor, torch.is_tensor, nn.Module.__call__)
