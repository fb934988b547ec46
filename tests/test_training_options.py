"""Options of training: each is what plain PyTorch does, and none depends on the batch."""

import math
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xor_mi import handmade
from xor_mi.errors import XorMiError
from xor_mi.metrics import decisions
from xor_mi.model import ACTIVATIONS, STEPS, HookedMLP, HookedMLPConfig, initial_weights
from xor_mi.training import TrainConfig, TrainSettings, starting_weights, train, train_population
from xor_mi.training._arithmetic import Sample, Task
from xor_mi.training._noise import kept, normal, rows_drawn
from xor_mi.training._population import flat_parameters, initial_parameters
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

TORCHS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "elu": F.elu,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "identity": lambda z: z,
}
"""Every activation that can be trained, as PyTorch has it."""

CLASSES = BooleanFunction(2, ("1000", "0110", "0001"))
"""How many inputs are on: one of three classes on every row."""


# random numbers, in Python's own integers


def bits_of(seed, stream, counter):
    """64 bits of splitmix64: of a seed, of what they are drawn for, and of their number."""
    golden = 0x9E3779B97F4A7C15

    def mixed(z):
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    key = mixed((seed + golden) % 2**64)
    if stream:
        key = mixed((key + stream) % 2**64)
    return mixed((key + counter * golden) % 2**64)


def drawn_by_hand(seed, step, n_rows, n_drawn):
    """The rows with the smallest numbers, in order."""
    numbers = [bits_of(seed, 1, step * n_rows + row) >> 1 for row in range(n_rows)]
    return sorted(sorted(range(n_rows), key=numbers.__getitem__)[:n_drawn])


def masks_by_hand(seed, step, n_rows, widths, dropped):
    """What each hidden unit is multiplied by on each row, one array [row, unit] per layer."""
    count = n_rows * sum(widths)
    shares = iter([(bits_of(seed, 2, step * count + k) >> 40) / 2**24 for k in range(count)])
    return [
        torch.tensor(
            [
                [(next(shares) >= dropped) / (1 - dropped) for _ in range(width)]
                for _ in range(n_rows)
            ],
            dtype=torch.float64,
        )
        for width in widths
    ]


def test_rows_and_masks_are_drawn_by_splitmix64():
    """Batches and dropout equal those drawn in Python's integers, and their shares are right."""
    seeds = torch.tensor([0, 5, 2**61])
    rows = rows_drawn(seeds, step=7, n_rows=8, n_drawn=3)
    for column, seed in enumerate(seeds.tolist()):
        assert rows[:, column].tolist() == drawn_by_hand(seed, 7, 8, 3)
    units = kept(seeds, start=40, count=20, dropped=0.3)
    for column, seed in enumerate(seeds.tolist()):
        expected = [(bits_of(seed, 2, 40 + k) >> 40) / 2**24 >= 0.3 for k in range(20)]
        assert units[:, column].tolist() == expected
    many = torch.arange(4000)
    times_drawn = rows_drawn(many, step=3, n_rows=4, n_drawn=2).flatten().bincount()
    assert (times_drawn / 4000 - 0.5).abs().max() < 0.04
    share = kept(many, start=0, count=50, dropped=0.3).float().mean().item()
    assert share == pytest.approx(0.7, abs=0.01)


# gradients


def plain_outputs(parameters, inputs, cfg, masks=None):
    """A network in plain PyTorch: what goes into the output's activation, and what comes out.

    Parameters are W, b of each layer; a readout's further columns are those of the inputs."""
    value = inputs
    names = [*cfg.act_fns, cfg.out_act_fn]
    readout = value
    for number, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        if number == cfg.n_layers and cfg.direct:
            value = torch.cat([value, inputs], dim=1)
        readout = value @ weight.T + bias
        value = TORCHS[names[number]](readout)
        if masks is not None and number < cfg.n_layers:
            value = value * masks[number]
    return readout, value


def plain_loss(readout, outputs, bits, cfg):
    """The loss by PyTorch's own functions. bits [row, decision] of the target."""
    if cfg.loss_fn == "ce":
        classes = bits[:, 0].long() if cfg.d_out == 2 else bits.argmax(1)
        return F.cross_entropy(outputs, classes)
    goal = F.one_hot(bits[:, 0].long(), 2).double() if cfg.n_decisions < cfg.d_out else bits
    if cfg.loss_fn == "mse":
        return F.mse_loss(outputs, goal)
    logits = readout if cfg.out_act_fn == "sigmoid" else outputs
    return F.binary_cross_entropy_with_logits(logits, goal)


def leaves(layers):
    """Weights and biases of a network, as leaves in float64."""
    return [part.double().clone().requires_grad_() for layer in layers for part in layer]


ADDER = BooleanFunction.from_formula("x0 & x1, x0 ^ x1")
SHAPES: dict[str, dict[str, object]] = {
    "one output": {},
    "two layers": {"d_hidden": (3, 4), "act_fn": ("silu", "hardtanh")},
    "two outputs": {"d_out": 2, "target": ADDER, "out_act_fn": "sigmoid"},
    "mse": {"loss_fn": "mse", "out_act_fn": "softplus"},
    "levels": {"input_levels": (-1, 1)},
    "levels down": {"input_levels": (0.75, -2), "d_hidden": (3, 4)},
    "direct": {"direct": True},
    "direct, deep, levels": {"direct": True, "d_hidden": (3, 2), "input_levels": (-1, 1)},
    "classes": {"d_out": 2, "loss_fn": "ce"},
    "three classes": {"d_out": 3, "loss_fn": "ce", "target": CLASSES, "direct": True},
    "classes by mse": {"d_out": 2, "decision_rule": "argmax", "loss_fn": "mse"},
    "classes by bce": {"d_out": 3, "decision_rule": "argmax", "loss_fn": "bce", "target": CLASSES},
}


N_TRIED = 6
"""Networks whose gradients are compared."""


def alike(a, b, *, digits=9):
    """Equal to so many digits, and to twelve places after the point."""
    return torch.allclose(a, b, rtol=10.0**-digits, atol=1e-12)


def gradient_and_autograd(cfg, noise=None):
    """Loss and gradients of a few networks, written out by hand and by autograd."""
    seeds = torch.arange(N_TRIED)
    # large enough that every piece of an activation is met
    flat = 4 * initial_parameters(cfg.layer_sizes, seeds, direct=cfg.direct).double()
    low, high = cfg.input_levels
    bits = torch.tensor(cfg.target.rows())
    rows = torch.where(bits == 1, float(high), float(low)).double()
    goal = torch.tensor(cfg.target.tables).T.double()
    labels = goal if cfg.n_decisions == cfg.d_out else torch.cat([1 - goal, goal], dim=1)
    task = Task(rows, labels, cfg)
    gradient = torch.full_like(flat, torch.nan)
    layers = task.views(flat)
    values = task.values(layers, noise)
    losses, slope = task.losses(values[-1].post)
    task.gradient(layers, values, slope, out=task.views(gradient))
    for k in range(N_TRIED):
        own = [(weight[..., k], bias[:, k]) for weight, bias in layers]
        parameters = leaves(own)
        inputs = rows if noise is None else rows + noise[..., k]
        loss = plain_loss(*plain_outputs(parameters, inputs, cfg), goal, cfg)
        loss.backward()
        by_autograd = torch.cat([part.grad.flatten() for part in parameters])
        yield losses[k].item(), gradient[:, k], loss.item(), by_autograd, own


@pytest.mark.parametrize("act_fn", list(TORCHS))
def test_the_gradient_of_every_activation_is_autograd_s(act_fn):
    """In hidden layers and at the output, float64, and HookedMLP's own gradient too."""
    assert set(TORCHS) == set(ACTIVATIONS) - set(STEPS)
    # PyTorch's slope of hardsigmoid, 1 / 6, has the digits of a float32
    digits = 6 if act_fn == "hardsigmoid" else 9
    for out_act_fn in (act_fn, "identity"):
        cfg = HookedMLPConfig(
            2, (6, 5), act_fn=act_fn, out_act_fn=out_act_fn, target="XOR", dtype="float64"
        )
        largest = 0.0
        for loss, gradient, expected_loss, expected, layers in gradient_and_autograd(cfg):
            assert loss == pytest.approx(expected_loss, rel=1e-12)
            assert alike(gradient, expected, digits=digits)
            model = HookedMLP(cfg).with_weights(layers)
            model(model.rows(), return_type="loss").backward()
            own = [(linear.weight.grad, linear.bias.grad) for linear in model.linears]
            assert alike(gradient, flat_parameters(own), digits=digits)
            largest = max(largest, expected.abs().max().item())
        assert largest > 0.01


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_gradient_of_every_shape_is_autograd_s(shape, noisy):
    """Levels, direct weights, classes, one activation per layer; with and without noise."""
    settings = {"d_hidden": 3, "act_fn": "tanh", "target": "XOR", "dtype": "float64"}
    cfg = HookedMLPConfig(**(settings | SHAPES[shape]))
    noise = (0.3 * normal(torch.arange(N_TRIED), start=0, count=8)).double().view(4, 2, N_TRIED)
    for loss, gradient, expected_loss, expected, _ in gradient_and_autograd(
        cfg, noise if noisy else None
    ):
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        assert alike(gradient, expected)
        assert expected.abs().max() > 1e-6


@pytest.mark.parametrize("name", ["relu6", "hardtanh", "hardsigmoid", "softplus", "elu", "relu"])
def test_at_kinks_and_far_out_activations_are_pytorch_s(name):
    """Exactly on a kink, and where exponentials would overflow: value and slope are PyTorch's."""
    points = torch.tensor([-1e3, -40, -3, -1, -0.0, 0, 1, 3, 6, 19.9, 20, 20.1, 40, 1e3]).double()
    cfg = HookedMLPConfig(1, 1, act_fn=name, loss_fn="mse", target="x0", dtype="float64")
    task = Task(points[:, None], torch.zeros(len(points), 1).double(), cfg)
    values = task.values(task.views(torch.tensor([[1.0], [0], [1], [0]]).double()))
    pre = points.clone().requires_grad_()
    TORCHS[name](pre).sum().backward()
    assert alike(values[0].post.flatten(), TORCHS[name](points), digits=12)
    slope = task.gradients[0](torch.ones_like(values[0].pre), values[0].pre, values[0].post)
    assert alike(slope.flatten(), pre.grad, digits=6 if name == "hardsigmoid" else 12)


# whole trainings


def random_init(seed, sizes, *, direct=False):
    """Layers in float64, the readout's last columns those of the inputs where direct."""
    rng = np.random.default_rng(seed)
    widths = [(b, a) for a, b in pairwise(sizes)]
    if direct:
        widths[-1] = (widths[-1][0], widths[-1][1] + sizes[0])
    return [(rng.normal(size=shape), rng.normal(size=shape[0])) for shape in widths]


def plain_training(init, target, config, *, seed, n_steps):
    """The same training as a plain PyTorch loop: the parameters and the losses before each step."""
    parameters = leaves([(torch.tensor(w), torch.tensor(b)) for w, b in init])
    sizes = [parameters[0].shape[1], *(len(bias) for bias in parameters[1::2])]
    cfg = HookedMLPConfig(
        *(sizes[0], tuple(sizes[1:-1]), sizes[-1]),
        **{
            name: getattr(config, name)
            for name in (
                *("act_fn", "out_act_fn", "loss_fn", "decision_rule", "input_levels", "direct"),
            )
        },
    )
    momentum = {"momentum": config.momentum} if config.optimizer == "sgd" else {}
    made = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    optimizer = made[config.optimizer](
        parameters, lr=config.lr, weight_decay=config.weight_decay, **momentum
    )
    bits = torch.tensor(target.rows())
    low, high = config.input_levels
    rows, goal = torch.where(bits == 1, high, low).double(), torch.tensor(target.tables).T.double()
    n_rows = len(rows)
    n_drawn = config.batch_size or n_rows
    losses = []
    for step in range(n_steps):
        inputs = rows
        if config.input_noise:
            count = rows.numel()
            noise = normal(torch.tensor([seed]), start=step * count, count=count)
            inputs = rows + (config.input_noise * noise).double().view(rows.shape)
        losses.append(plain_loss(*plain_outputs(parameters, inputs, cfg), goal, cfg).item())
        batch = drawn_by_hand(seed, step, n_rows, n_drawn)
        masks = None
        if config.dropout:
            masks = masks_by_hand(seed, step, n_drawn, sizes[1:-1], config.dropout)
        loss = plain_loss(*plain_outputs(parameters, inputs[batch], cfg, masks), goal[batch], cfg)
        penalty = sum(weight.abs().sum() for weight in parameters[::2])
        optimizer.zero_grad()
        (loss + config.l1 * penalty).backward()
        optimizer.step()
    return parameters, losses


XOR = BooleanFunction.of("XOR")
PARITY = BooleanFunction.of("XOR", 3)
OPTIONS: dict[str, dict[str, object]] = {
    "nothing": {},
    "momentum": {"optimizer": "sgd", "lr": 0.2, "momentum": 0.9},
    "momentum and decay": {"optimizer": "sgd", "lr": 0.2, "momentum": 0.5, "weight_decay": 0.1},
    "batches of one": {"batch_size": 1, "optimizer": "adamw", "weight_decay": 0.1},
    "batches of three": {"batch_size": 3, "optimizer": "sgd", "lr": 0.3},
    "all rows as a batch": {"batch_size": 4},
    "l1": {"l1": 0.02},
    "l1 and decay": {"l1": 0.02, "optimizer": "adamw", "weight_decay": 0.1},
    "l1 by sgd": {"l1": 0.1, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9},
    "dropout": {"dropout": 0.3, "hidden": (5, 3), "optimizer": "sgd", "lr": 0.3},
    "noise": {"input_noise": 0.2},
    "classes": {"loss_fn": "ce"},
    "classes by mse": {"decision_rule": "argmax", "loss_fn": "mse"},
    "three classes": {"loss_fn": "ce", "target": CLASSES},
    "levels": {"input_levels": (-1, 1)},
    "direct": {"direct": True, "hidden": 1},
    "activations": {"act_fn": ("silu", "hardtanh"), "hidden": (3, 4)},
    "everything": {
        "batch_size": 5, "dropout": 0.25, "input_noise": 0.1, "l1": 0.01, "optimizer": "sgd",
        "momentum": 0.8, "weight_decay": 0.01, "lr": 0.1, "direct": True, "loss_fn": "ce",
        "input_levels": (-1, 2), "act_fn": ("elu", "gelu_tanh"), "hidden": (4, 3), "target": PARITY,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", list(OPTIONS))
def test_every_option_is_what_a_plain_pytorch_loop_does(name):
    """Thirty steps in float64 from the same weights: weights and every loss equal to nine digits.

    The optimisers are PyTorch's; batches and masks are drawn by hand."""
    options = {"act_fn": "tanh"} | OPTIONS[name]
    target, hidden = options.pop("target", XOR), options.pop("hidden", 3)
    widths = (hidden,) if isinstance(hidden, int) else hidden
    config = TrainConfig(stop_loss=1e-9, max_steps=30, **options)
    d_out = 2 if config.decision_rule == "argmax" and target.n_outputs == 1 else target.n_outputs
    init = random_init(1, (target.n_inputs, *widths, d_out), direct=config.direct)
    ours = train(target, init=init, seed=6, config=config)
    parameters, losses = plain_training(init, target, config, seed=6, n_steps=30)
    plain = torch.cat([part.detach().flatten() for part in parameters])
    trained = flat_parameters(ours.model.float64_layers())
    assert alike(trained, plain)
    assert ours.loss_history[:-1] == pytest.approx(losses, rel=1e-9)
    start = torch.cat([torch.tensor(part).flatten() for layer in init for part in layer])
    assert (trained - start).abs().max() > 0.1


@pytest.mark.parametrize(
    "option",
    [
        {"momentum": 0.9}, {"batch_size": 3}, {"l1": 0.02}, {"dropout": 0.3}, {"direct": True},
        {"weight_decay": 0.1}, {"input_levels": (-1, 1)}, {"loss_fn": "ce"}, {"act_fn": "elu"},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_changes_what_comes_out(option):
    """A guard of the test above: with the option the losses are others than without."""
    settings = {"optimizer": "sgd", "lr": 0.2, "max_steps": 5, "hidden": 3}
    with_option = train("XOR", seed=6, **settings, **option).loss_history
    without = train("XOR", seed=6, **settings).loss_history
    assert with_option[2:] != without[2:]


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 2}, {"batch_size": 3, "input_noise": 0.1, "act_fn": "silu"},
        {"dropout": 0.3, "hidden": (3, 3)}, {"l1": 0.01, "optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "sgd", "lr": 0.3, "momentum": 0.9}, {"loss_fn": "ce", "act_fn": "softplus"},
        {"direct": True, "hidden": 1, "act_fn": "sigmoid"}, {"input_levels": (-1, 1), "act_fn": "elu"},
        {"decision_rule": "argmax", "loss_fn": "mse", "act_fn": "gelu_tanh"},
        {"act_fn": ("relu6", "hardsigmoid"), "hidden": (3, 3)}, {"act_fn": "hardtanh"},
        {"direct": True, "batch_size": 2, "dropout": 0.2, "input_levels": (-1, 2), "hidden": 5},
    ],
    ids=str,
)  # fmt: skip
def test_a_network_is_bitwise_the_same_alone_and_in_any_batch(settings):
    """Pieces of 4,100 networks (two blocks), trained alone and by `train`, have the same bits."""
    settings = {"max_steps": 20} | settings
    big = train_population("XOR", 4100, engine="torch", **settings)
    assert len(big.flat.unique(dim=0)) == 4100
    for first, n in ((0, 1), (4090, 10), (63, 65)):
        few = train_population("XOR", n, seed=first, engine="torch", **settings)
        cut = slice(first, first + n)
        for name in ("flat", "losses", "steps", "solved"):
            assert torch.equal(getattr(big, name)[cut], getattr(few, name)), (first, n, name)
    alone = train("XOR", seed=4095, **settings)
    assert torch.equal(flat_parameters(alone.model.float64_layers()).float(), big.flat[4095])
    assert alone.solved == big.solved[4095]
    assert alone.final_loss == big.losses[4095]


# what comes out


def test_classes_are_learnt_and_solved_means_decided():
    """Two outputs of which the larger wins learn XOR; `solved` is what an argmax by NumPy says."""
    population = train_population("XOR", 60, hidden=4, loss_fn="ce")
    outputs = population.outputs().numpy()
    right = (outputs[..., 1] > outputs[..., 0]) == np.array([False, True, True, False])
    assert population.solved.tolist() == right.all(1).tolist()
    assert 20 < population.solved.sum() < 60
    assert (population.cfg.decision_rule, population.cfg.loss_fn) == ("argmax", "ce")
    model = population[int(population.solved.nonzero()[0])]
    assert decisions(model).flatten().tolist() == [0, 1, 1, 0]


def test_three_classes_are_learnt():
    """How many inputs are on, one output for each answer."""
    result = train(CLASSES, hidden=4, loss_fn="ce", seed=1)
    assert result.solved
    assert result.model(result.model.rows()).argmax(1).tolist() == [0, 1, 1, 2]
    assert result.model.cfg.d_out == 3


def test_one_hidden_unit_is_enough_with_direct_connections():
    """2-1-1 with direct weights solves XOR, and without it never does."""
    settings = {"hidden": 1, "act_fn": "sigmoid", "lr": 0.1}
    assert train_population("XOR", 60, direct=True, **settings).solved.sum() > 10
    assert not train_population("XOR", 60, **settings).solved.any()


def test_levels_reach_the_network():
    """Networks trained on -1 and 1 solve XOR on inputs -1 and 1; a population's outputs are so."""
    population = train_population("XOR", 20, hidden=3, act_fn="tanh", input_levels=(-1, 1))
    assert population.solved.sum() > 5
    inputs = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    for index in (0, 11):
        model = population[index]
        assert model.cfg.input_levels == (-1, 1)
        assert torch.allclose(population.outputs()[index], model(inputs), atol=1e-6)
        solved = (model(inputs).flatten() > 0).tolist() == [False, True, True, False]
        assert solved == bool(population.solved[index])


def test_the_trained_network_has_all_its_units():
    """After dropout and batches the last loss is the network's own, on all rows with all units."""
    result = train("XOR", hidden=6, dropout=0.3, batch_size=2, max_steps=50, seed=3)
    whole = result.model(result.model.rows(), return_type="loss").item()
    assert result.final_loss == pytest.approx(whole, abs=1e-6)
    assert len(set(result.loss_history)) == 51


def test_l1_leaves_biases_alone_and_brings_weights_to_zero():
    """With a large penalty the weights go to zero; the biases still learn the share of ones."""
    model = train("x0 | x1", hidden=3, l1=0.5, max_steps=1500, lr=0.01, act_fn="tanh").model
    assert all(linear.weight.abs().max() < 0.03 for linear in model.linears)
    assert model.fc2.bias.item() == pytest.approx(math.log(3), abs=0.1)


# where training starts


def test_untrained_networks_are_hooked_mlps_of_these_seeds():
    """With direct weights, of one or more hidden layers: the start is HookedMLP's own."""
    for sizes in ((2, 1, 1), (3, 4, 2), (2, 3, 3, 2)):
        seeds = torch.tensor([7, 2**61])
        start = starting_weights(sizes, seeds, direct=True)
        for number, seed in enumerate(seeds.tolist()):
            expected = initial_weights(sizes, seed, direct=True)
            for (weight, bias), (w, b) in zip(start, expected, strict=True):
                assert torch.equal(weight[number], w)
                assert torch.equal(bias[number], b)
    result = train("XOR", direct=True, hidden=1, seed=3, max_steps=1)
    untrained = HookedMLP(HookedMLPConfig(2, 1, direct=True, target="XOR", seed=3))
    assert result.loss_history[0] == pytest.approx(
        untrained(untrained.rows(), return_type="loss").item(), abs=1e-6
    )


def test_training_goes_on_from_a_network():
    """Its sizes, target and conventions are used; it is left alone; its twin is trained."""
    network = HookedMLP.from_weights(
        random_init(2, (2, 3, 1)), act_fn="leaky_relu", negative_slope=0.3, loss_fn="mse",
        decision_threshold=0.4, input_levels=(-1, 1), target="OR",
    )  # fmt: skip
    before = [part.clone() for part in network.state_dict().values()]
    result = train(init=network, max_steps=60, seed=9)
    assert result.loss_history[0] == pytest.approx(
        network(network.rows(), return_type="loss").item(), rel=1e-9
    )
    assert result.model.cfg.conventions() == network.cfg.conventions() | {"seed": 9}
    assert result.final_loss < result.loss_history[0]
    assert all(
        torch.equal(old, new)
        for old, new in zip(before, network.state_dict().values(), strict=True)
    )
    assert train("AND", init=network, max_steps=1).model.cfg.target.name == "AND"


def test_training_starts_from_lists_and_half_numbers():
    """Lists are float32, arrays float64; float16 is trained in float32; one step moves little."""
    textbook = handmade.textbook_xor()
    layers = [(w.tolist(), b.tolist()) for w, b in textbook.float64_layers()]
    result = train(init=layers, max_steps=1, lr=1e-3)
    assert result.model.cfg.dtype == torch.float32
    for (trained, _), (given, _) in zip(
        result.model.float64_layers(), textbook.float64_layers(), strict=True
    ):
        assert (trained - given).abs().max() < 0.0011
    double = train(init=[(np.array(w), np.array(b)) for w, b in layers], max_steps=1)
    assert double.model.cfg.dtype == torch.float64
    half = HookedMLP.from_weights(layers, dtype="float16", target="XOR")
    assert train(init=half, max_steps=1).model.cfg.dtype == torch.float32


def test_one_start_for_many_networks():
    """Each goes its own way by its own batches; all start there; the same ones are refused."""
    network = HookedMLP(HookedMLPConfig(2, 3, target="XOR", seed=4))
    population = train_population(init=network, n_networks=3, batch_size=2, max_steps=20)
    assert len(population.flat.unique(dim=0)) == 3
    for weight, expected in zip(population.start[0][0], [network.fc1.weight] * 3, strict=True):
        assert torch.equal(weight, expected)
    with pytest.raises(XorMiError, match="3 networks that all start from init would be the same"):
        train_population(init=network, n_networks=3)
    with pytest.raises(XorMiError, match="would be the same one; give n_networks=1"):
        train_population(init=network, n_networks=3, batch_size=4)


# settings


def test_settings_are_keywords_and_take_the_place_of_the_config_s():
    """A keyword is the field of that name; the others are those of the config."""
    by_config = train("XOR", config=TrainConfig(lr=0.1, act_fn="tanh", max_steps=7))
    by_keyword = train("XOR", lr=0.1, act_fn="tanh", max_steps=7)
    over = train("XOR", config=TrainConfig(lr=0.5, act_fn="tanh", max_steps=7), lr=0.1)
    assert by_config.loss_history == by_keyword.loss_history == over.loss_history
    # every field is a keyword for type checkers too
    names = {field.name for field in fields(TrainConfig)}
    assert set(TrainSettings.__annotations__) == names


def test_the_rule_and_the_loss_bring_each_other():
    """Where a config says neither; a config that says one keeps it."""

    def pair(config):
        return config.loss_fn, config.decision_rule

    assert pair(TrainConfig()) == ("bce", "threshold")
    assert pair(TrainConfig(loss_fn="ce")) == pair(TrainConfig(decision_rule="argmax"))
    assert pair(TrainConfig.of(TrainConfig(lr=0.1), loss_fn="ce")) == ("ce", "argmax")
    assert pair(TrainConfig.of(TrainConfig(), decision_rule="argmax")) == ("ce", "argmax")
    by_bce = TrainConfig(decision_rule="argmax", loss_fn="bce")
    assert pair(TrainConfig.of(by_bce, lr=0.1)) == ("bce", "argmax")
    assert pair(TrainConfig.of(TrainConfig(loss_fn="mse"), decision_rule="argmax"))[0] == "mse"


@pytest.mark.parametrize(
    ("settings", "layers"),
    [({}, 3), ({"n_inputs": 4}, 4), ({"target": BooleanFunction.of("XOR", 3)}, 3)],
)
def test_a_formula_says_how_many_inputs_there_are(settings, layers):
    """a ^ b ^ c has three inputs, also for many networks; a number that is given wins."""
    settings = {"target": "a ^ b ^ c", "max_steps": 2} | settings
    assert train(**settings).model.layer_sizes == (layers, 2, 1)
    assert train_population(n_networks=2, **settings).cfg.d_in == layers


TEXTBOOK = handmade.textbook_xor()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: train("XOR", momentun=0.9), "no setting 'momentun'; training takes: lr, .*init.*; did you mean 'momentum'"),
        (lambda: train("XOR", hiden=3), "no setting 'hiden'.*did you mean 'hidden'"),
        (lambda: train("XOR", engine="numba"), "no setting 'engine'"),
        (lambda: TrainConfig.of(None, bananas=1), "no setting 'bananas'; training takes: lr"),
        (lambda: train("XOR", momentum=0.9), "momentum is for optimizer='sgd'; adam has its own"),
        (lambda: TrainConfig(optimizer="sgd", momentum=1), "momentum is 1.0; it must be below 1"),
        (lambda: TrainConfig(dropout=1.0), "dropout is 1.0; it must be below 1"),
        (lambda: TrainConfig(dropout=math.nan), "dropout is nan"),
        (lambda: TrainConfig(l1=-1), "l1 is -1.0; it must be a number of at least 0"),
        (lambda: TrainConfig(l1="much"), "l1 is 'much'; give a number"),
        (lambda: TrainConfig(batch_size=0), "batch_size must be .* at least 1, not 0"),
        (lambda: train("XOR", batch_size=5), "batch_size is 5, of 4 rows; give at most 4"),
        (lambda: train_population("XOR", 2, rows=["01"], batch_size=2), "2, of 1 rows"),
        (lambda: TrainConfig(act_fn="sign"), "sign has no gradient, so it cannot be trained"),
        (lambda: TrainConfig(act_fn=("relu", "heaviside")), "heaviside has no gradient"),
        (lambda: TrainConfig(act_fn=["relu", "rel"]), "no activation 'rel'"),
        (lambda: TrainConfig(act_fn=()), "act_fn has 0 activations"),
        (lambda: train(act_fn=("relu", "tanh")), "act_fn has 2 activations for 1 hidden layers"),
        (lambda: TrainConfig(input_levels=(1, 1)), "input_levels are both 1"),
        (lambda: TrainConfig(loss_fn="cee"), "no loss 'cee'"),
        (lambda: TrainConfig(loss_fn="ce", decision_rule="threshold"), "loss_fn='ce' is for"),
        (lambda: TrainConfig(direct=1), "direct must be True or False"),
        (lambda: train("x0, x1", loss_fn="ce"), "the target has 2 outputs; the network has one decision"),
        (lambda: train("x0, x1, 0", loss_fn="ce"), "one output wins on every row; the target has 0 on 00"),
        (lambda: train("a ^ b ^ c", n_inputs=2), "n_inputs is 2, but 'a . b . c' has 3 inputs; leave n_inputs out, or give 3"),
        (lambda: train(PARITY, n_inputs=2), "n_inputs is 2, but 'XOR' has 3 inputs"),
        (lambda: train("x0>x1", n_inputs=0), "n_inputs must be .* at least 1, not 0"),
        (lambda: train(init=TEXTBOOK, hidden=3), r"init has hidden layers \(2,\), and hidden=3 is asked"),
        (lambda: train(init=TEXTBOOK, n_inputs=3), "init has 2 inputs, and n_inputs=3 is asked"),
        (lambda: train("a ^ b ^ c", init=TEXTBOOK), "n_inputs is 2, but 'a . b . c' has 3 inputs"),
        (lambda: train(init=TEXTBOOK, act_fn="tanh"), "init is a network with act_fn='relu', and act_fn='tanh' is asked"),
        (lambda: train(init=TEXTBOOK, config=TrainConfig(loss_fn="ce")), "a network with loss_fn='mse'"),
        (lambda: train(init=TEXTBOOK, direct=True), "a network with direct=False, and direct=True is asked"),
        (lambda: train(init=HookedMLP.from_weights(TEXTBOOK.float64_layers(), act_fn="heaviside")), "heaviside has no gradient"),
        (lambda: train(init=HookedMLP.from_weights(TEXTBOOK.float64_layers(), act_fn="tanh"), act_fn="relu"), "with act_fn='tanh'"),
        (lambda: train(init="my-model"), r"HookedMLP.from_pretrained\('my-model'\)"),
        (lambda: train(init=nn.Sequential(nn.ReLU())), r"give HookedMLP.from_module\(net\)"),
        (lambda: train(init=7), "starting from init needs a HookedMLP, not int"),
        (lambda: train(init=[]), "0 layers of weights given"),
        (lambda: train(init=[([[1.0, 1]], [0.0]), ([[1.0]], None)], direct=True), "one column per hidden unit and then one per input"),
        (lambda: train(init=[([1.0, 1], [0.0]), ([[1.0]], None)], direct=True), "weight"),
        (lambda: train(init=[([[math.nan, 1]], None), ([[1.0]], None)]), "NaN or infinite"),
        (lambda: train("x0, x1", init=TEXTBOOK), "the target has 2 outputs; the network has 1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(build, message):
    """Each with the name and the number that was given, what exists and what to do."""
    with pytest.raises(XorMiError, match=message):
        build()


OF_A_WRONG_KIND = [object(), [object()], "no such thing", -7, math.nan, 10**400, np.array([1, 2])]


@pytest.mark.parametrize("name", [*TrainSettings.__annotations__, "init", "n_inputs"])
def test_a_setting_of_a_wrong_kind_is_refused(name):
    """Every setting, given what it cannot be, is one line that names it or what exists."""
    for value in OF_A_WRONG_KIND:
        with pytest.raises(XorMiError) as refused:
            train(**({"max_steps": 1} | {name: value}))
        assert "\n" not in str(refused.value)


def test_a_sample_of_all_rows_is_all_rows():
    """A guard of the tests above: rows drawn in order give the losses of no sample at all."""
    cfg = HookedMLPConfig(2, 3, act_fn="tanh", target="XOR", dtype="float64")
    flat = initial_parameters(cfg.layer_sizes, torch.arange(3)).double()
    task = Task(torch.tensor(XOR.rows()).double(), torch.tensor(XOR.tables).T.double(), cfg)
    layers = task.views(flat)
    whole = task.losses(task.values(layers)[-1].post)[0]
    for rows, same in (([0, 1, 2, 3], True), ([0, 0, 1, 2], False)):
        sample = Sample(torch.tensor(rows)[:, None].expand(4, 3), None)
        part = task.losses(task.values(layers, sample=sample)[-1].post, sample)[0]
        assert alike(part, whole) == same
