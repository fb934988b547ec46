"""Hand-written gradients, noise by counter, and the promise that a batch changes nothing."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLPConfig, initial_weights
from xor_mi.training import Population, TrainConfig, train, train_population
from xor_mi.training._arithmetic import Task, views
from xor_mi.training._noise import normal
from xor_mi.training._population import initial_parameters
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

ADDER = BooleanFunction.from_formula("x0 & x1, x0 ^ x1")
ACT = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
    "identity": lambda z: z,
}


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(
    ("out_act", "loss_fn"),
    [("identity", "bce"), ("sigmoid", "bce"), ("sigmoid", "mse"), ("tanh", "mse"), ("tanh", "bce")],
)
@pytest.mark.parametrize("act", list(ACT))
def test_gradients_are_autograd_s(act, out_act, loss_fn, noisy):
    """Two hidden layers, two outputs, float64: loss and every gradient equal plain torch with
    autograd to twelve digits.
    """
    cfg = HookedMLPConfig(
        2, (3, 4), 2, act_fn=act, out_act_fn=out_act, loss_fn=loss_fn, target=ADDER
    )
    rows, goal = torch.tensor(ADDER.rows()).double(), torch.tensor(ADDER.tables).T.double()
    flat = (3 * initial_parameters(cfg.layer_sizes, torch.arange(5))).double()
    noise = (
        0.3 * normal(torch.arange(5), start=0, count=8).double().view(4, 2, 5) if noisy else None
    )
    task, gradient = Task(rows, goal, cfg), torch.full_like(flat, torch.nan)
    layers = views(flat, cfg.layer_sizes)
    values = task.values(layers, noise)
    losses, slope = task.losses(values[-1][1])
    into = views(gradient, cfg.layer_sizes)
    task.gradient(layers, values, slope, out=into)
    for k in range(5):
        own = flat[:, k].clone().requires_grad_()
        value = rows if noise is None else rows + noise[..., k]
        for number, (weight, bias) in enumerate(views(own[:, None], cfg.layer_sizes)):
            readout = value @ weight[..., 0].T + bias[:, 0]
            value = ACT[act if number < 2 else out_act](readout)
        if loss_fn == "mse":
            loss = F.mse_loss(value, goal)
        else:
            loss = F.binary_cross_entropy_with_logits(
                readout if out_act == "sigmoid" else value, goal
            )
        loss.backward()
        assert losses[k].item() == pytest.approx(loss.item(), abs=1e-12)
        assert torch.allclose(gradient[:, k], own.grad, atol=1e-12)
        assert own.grad.abs().max() > 1e-6


@pytest.mark.parametrize(
    "settings",
    [
        {"act_fn": "tanh"},
        {"weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "sgd", "lr": 0.5, "weight_decay": 0.01},
    ],
)
def test_optimisers_are_pytorch_s(settings):
    """100 steps of torch.optim on the same start give the same weights to rounding."""
    config = TrainConfig(**({"act_fn": "tanh", "max_steps": 100, "stop_loss": 1e-9} | settings))
    ours = train("XOR", hidden=3, seed=5, config=config).model
    params = [
        part.clone().requires_grad_() for layer in initial_weights((2, 3, 1), 5) for part in layer
    ]
    made = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[
        config.optimizer
    ]
    optimizer = made(params, lr=config.lr, weight_decay=config.weight_decay)
    x, y = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([[0.0], [1], [1], [0]])
    for _ in range(100):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(
            torch.tanh(x @ params[0].T + params[1]) @ params[2].T + params[3], y
        ).backward()
        optimizer.step()
    for mine, theirs in zip(
        [ours.fc1.weight, ours.fc1.bias, ours.fc2.weight, ours.fc2.bias], params, strict=True
    ):
        assert torch.allclose(mine, theirs, atol=2e-4)


@pytest.mark.parametrize(
    "settings",
    [{}, {"act_fn": "tanh"}, {"act_fn": "sigmoid", "loss_fn": "mse", "out_act_fn": "sigmoid"}, {"act_fn": "gelu", "optimizer": "adamw"},
     {"act_fn": "leaky_relu", "input_noise": 0.1}],
)  # fmt: skip
@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_large_batches_and_pieces_of_them_are_bitwise_the_same(engine, settings):
    """Of 5,000 networks (two blocks), any piece trained alone, 1 to 1,000 of them from anywhere,
    has the same bits.
    """
    settings = {"config": TrainConfig(**({"max_steps": 200} | settings)), "engine": engine}
    big = train_population("XOR", 5000, hidden=3, **settings)
    for first, n in ((0, 1), (0, 7), (0, 100), (0, 1000), (4090, 20), (4999, 1), (63, 65)):
        few = train_population("XOR", n, hidden=3, seed=first, **settings)
        cut = slice(first, first + n)
        pairs = [
            (a[cut], b)
            for x, y in zip(big.weights, few.weights, strict=True)
            for a, b in zip(x, y, strict=True)
        ]
        pairs += [
            (big.losses[cut], few.losses),
            (big.steps[cut], few.steps),
            (big.solved[cut], few.solved),
        ]
        assert all(torch.equal(a, b) for a, b in pairs), (first, n)


def test_the_number_of_threads_changes_no_bit():
    """One thread or three: the same population."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(
                train_population(
                    "XOR", 4096, hidden=8, config=TrainConfig(max_steps=60, act_fn="tanh")
                )
            )
    finally:
        torch.set_num_threads(before)
    assert all(
        torch.equal(a, b)
        for x, y in zip(found[0].weights, found[1].weights, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_initial_parameters_are_those_of_a_model_with_that_seed():
    """One draw per network gives what layer by layer gives, bit for bit."""
    flat = initial_parameters((3, 4, 2), torch.tensor([7, 2**61]))
    for column, seed in zip(flat.T, (7, 2**61), strict=True):
        assert torch.equal(
            column,
            torch.cat(
                [part.flatten() for layer in initial_weights((3, 4, 2), seed) for part in layer]
            ),
        )


def test_a_population_has_outputs_a_start_and_flat_parameters(population):
    """Outputs are those of its networks, the start is that of their seeds, and flat parameters
    there and back change nothing.
    """
    outputs = population.outputs()
    assert outputs.shape == (500, 4, 1)
    for index in (0, 29, 499):
        model = population[index]
        assert torch.allclose(outputs[index], model(model.rows()), atol=1e-6)
        untrained = initial_weights((2, 2, 1), index)
        for (weight, bias), (expected_weight, expected_bias) in zip(
            population.start, untrained, strict=True
        ):
            assert torch.equal(weight[index], expected_weight)
            assert torch.equal(bias[index], expected_bias)
    assert torch.equal(population.outputs(["10", (0, 1)]), outputs[:, [2, 1]])
    fields = ("cfg", "seeds", "steps", "losses", "solved")
    again = Population.from_flat(
        population.flat, **{name: getattr(population, name) for name in fields}
    )
    assert torch.equal(again.flat, population.flat)
    assert population.flat.shape == (500, 9)
    with pytest.raises(XorMiError, match="8 weights; 2-2-1 has 9"):
        Population.from_flat(
            population.flat[:, 1:], **{name: getattr(population, name) for name in fields}
        )


@pytest.mark.parametrize(
    ("act", "out_act", "slope"),
    [("leaky_relu", "sigmoid", 0.5), ("heaviside", "identity", 0.01), ("gelu", "tanh", 0.01)],
)
def test_outputs_follow_the_networks_conventions(act, out_act, slope):
    """Another slope, a step and an output with an activation: as each network by itself."""
    trained = train_population("XOR", 5, config=TrainConfig(max_steps=20))
    cfg = replace(trained.cfg, act_fn=act, out_act_fn=out_act, negative_slope=slope)
    population = replace(trained, cfg=cfg)
    for index, outputs in enumerate(population.outputs()):
        model = population[index]
        assert torch.allclose(outputs, model(model.rows()), atol=1e-6)


def test_a_network_is_found_by_its_seed():
    """Number and seed differ where the first seed is not 0; both are said where none is there."""
    population = train_population("XOR", 40, seed=20, config=TrainConfig(max_steps=1))
    assert population[26].cfg.seed == 46
    alone = train("XOR", seed=26, config=TrainConfig(max_steps=1))
    for (weight, bias), (expected_weight, expected_bias) in zip(
        population.of_seed(26).float64_layers(), alone.model.float64_layers(), strict=True
    ):
        assert torch.equal(weight, expected_weight)
        assert torch.equal(bias, expected_bias)
    has = "this population has 40 networks, 0 to 39 (seeds 20 to 59)"
    with pytest.raises(IndexError) as refusal:
        population[45]
    assert str(refusal.value) == f"no network 45; {has}; seed 45 is population.of_seed(45)"
    with pytest.raises(IndexError) as refusal:
        population[-41]
    assert str(refusal.value) == f"no network -41; {has}"
    with pytest.raises(XorMiError) as refusal:
        population.of_seed(3)
    assert str(refusal.value) == f"no network of seed 3; {has}"
    assert population.of_seed(population.seeds[2]).cfg.seed == 22
    assert len(list(population)) == 40


def test_seeds_that_do_not_follow_each_other_are_listed():
    """Two networks of one seed are told apart by their number."""
    trained = train_population("XOR", 3, config=TrainConfig(max_steps=1))
    population = replace(trained, seeds=torch.tensor([7, 3, 7]))
    with pytest.raises(XorMiError, match=r"3 networks, 0 to 2 \(seeds 7, 3, 7\)"):
        population.of_seed(4)
    with pytest.raises(XorMiError, match=r"2 networks have seed 7; .* population\[0\] or popul"):
        population.of_seed(7)
    assert population.of_seed(3).cfg.seed == 3


def test_results_are_tables(population, trained):
    """A population by network, a training by step."""
    table = population.frame()
    assert list(table.columns) == ["seed", "steps", "loss", "solved"]
    assert table["solved"].sum() == population.solved.sum()
    said = f"500 networks 2-2-1, {population.solved.sum()} solved XOR, trained by numba"
    assert str(population) == said
    history = trained.frame()
    assert history["step"].tolist() == list(range(trained.steps + 1))
    assert tuple(history["loss"]) == trained.loss_history


def test_noise_is_splitmix64_and_box_muller():
    """Oracle in Python's own integers; and the numbers look normal, and differ between seeds, steps
    and places.
    """

    def mixed(z):
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    golden, found = 0x9E3779B97F4A7C15, normal(torch.tensor([0, 5, 2**61]), start=40, count=3)
    for column, seed in enumerate((0, 5, 2**61)):
        for line in range(3):
            z = mixed((mixed((seed + golden) % 2**64) + (40 + line) * golden) % 2**64)
            expected = math.sqrt(-2 * math.log(((z >> 40) + 1) / 2**24)) * math.cos(
                2 * math.pi * (z >> 8 & 2**24 - 1) / 2**24
            )
            assert found[line, column].item() == pytest.approx(expected, abs=1e-5)
    many = normal(torch.arange(1000), start=0, count=200).flatten().double()
    assert abs(many.mean()) < 0.01
    assert many.var() == pytest.approx(1, abs=0.02)
    assert (many**4).mean() == pytest.approx(3, abs=0.1)
    assert len(many.unique()) > 0.95 * len(many)


def test_noise_changes_training_and_rows_restrict_it():
    """With input noise the weights differ from those without; on three rows the fourth is not
    learnt; `solved` speaks of all rows.
    """
    quiet, noisy = (
        train_population("XOR", 3, config=TrainConfig(max_steps=50, input_noise=noise))
        for noise in (0.0, 0.2)
    )
    assert not torch.equal(quiet.weights[0][0], noisy.weights[0][0])
    part = train_population("XOR", 40, hidden=4, rows=["00", "01", "10"])
    assert (part.losses < 0.01).float().mean() > 0.8
    assert part.solved.float().mean() < 0.5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TrainConfig(input_noise=-1.0), "input_noise is -1.0"),
        (lambda: TrainConfig(weight_decay=float("inf")), "weight_decay is inf"),
        (lambda: train_population("XOR", 2, rows=[]), "rows is empty"),
        (lambda: train_population("XOR", 2, rows=["011"]), "has 3 bits"),
        (lambda: train_population("XOR", 2, device="nowhere"), "no device 'nowhere'"),
        # 9 weights and 4 outputs a network: 150 + 12 * 9 + 20 * 4 bytes
        (
            lambda: train_population("XOR", 10**8),
            r"training 100,000,000 2-2-1 .* 34 GB.*run_census",
        ),
        # 64 columns of 4,096 rows with 4,109 values and 57,345 weights, 22 bytes each
        (lambda: train("x0", n_inputs=12, hidden=4096), "12-4096-1 .* 4,096 rows .* 24 GB"),
    ],
)
def test_what_cannot_be_trained_is_refused(build, message):
    """With the number or name that was given."""
    with pytest.raises(XorMiError, match=message):
        build()


def test_a_device_that_torch_refuses_without_a_word_is_refused_with_one(monkeypatch):
    """Torch's error may be empty; its kind stands in for the reason."""

    def silent(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(torch, "empty", silent)
    with pytest.raises(XorMiError, match=r"no device 'cpu' here \(RuntimeError\)"):
        train_population("XOR", 2, device="cpu")
