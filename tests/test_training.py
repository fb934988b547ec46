"""Training: deterministic, honest about failure, and the same for one network as for many."""

import pytest
import torch

from xor_mi.errors import XorMiError
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.training import TrainConfig, train, train_population
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

SHORT = {"max_steps": 120}


def test_the_same_seed_gives_the_same_network_bit_for_bit():
    """Twice the same seed: equal weights, losses and steps; another seed: another network."""
    first, second, other = train(seed=29), train(seed=29), train(seed=30)
    assert torch.equal(first.model.fc1.weight, second.model.fc1.weight)
    assert first.loss_history == second.loss_history
    assert not torch.equal(first.model.fc1.weight, other.model.fc1.weight)


def test_training_starts_from_the_model_of_that_seed():
    """The first loss is that of an untrained HookedMLP with this seed."""
    untrained = HookedMLP(HookedMLPConfig(target="XOR", seed=11))
    assert train(seed=11, config=TrainConfig(max_steps=3)).loss_history[0] == pytest.approx(
        untrained(untrained.rows(), return_type="loss").item(), abs=1e-6
    )


def test_a_plain_pytorch_loop_gives_the_same_network():
    """Oracle: nn.Module, Adam and torch's own BCE, 200 steps; weights agree to rounding."""
    config = TrainConfig(max_steps=200, stop_loss=1e-9)
    ours = train(seed=3, hidden=(3,), config=config).model
    plain = HookedMLP(HookedMLPConfig(d_hidden=(3,), target="XOR", seed=3))
    optimizer = torch.optim.Adam(plain.parameters(), lr=config.lr)
    for _ in range(200):
        optimizer.zero_grad()
        plain(plain.rows(), return_type="loss").backward()
        optimizer.step()
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, ours.state_dict()[name], atol=1e-3), name


@pytest.mark.parametrize(
    "settings",
    [{}, {"act_fn": "tanh"}, {"act_fn": "sigmoid", "loss_fn": "mse", "out_act_fn": "sigmoid"}, {"act_fn": "leaky_relu", "loss_fn": "mse"},
     {"optimizer": "sgd", "lr": 0.5}, {"optimizer": "adamw", "weight_decay": 0.1}, {"act_fn": "gelu"}],
)  # fmt: skip
@pytest.mark.parametrize("hidden", [(2,), (5,), (3, 3)])
def test_a_network_is_bitwise_the_same_alone_and_in_any_batch(settings, hidden):
    """Networks 0, 6 and 99 of a population of 150 equal the same seeds trained in batches of 1, 7
    and 100.
    """
    config = TrainConfig(**(SHORT | settings))
    many = train_population("XOR", 150, hidden=hidden, config=config, engine="torch")
    for size in (1, 7, 100):
        few = train_population("XOR", size, hidden=hidden, config=config, engine="torch")
        for (w_many, b_many), (w_few, b_few) in zip(many.weights, few.weights, strict=True):
            assert torch.equal(w_many[:size], w_few)
            assert torch.equal(b_many[:size], b_few)
        assert torch.equal(many.steps[:size], few.steps)
    last = train_population("XOR", 1, hidden=hidden, seed=99, config=config)
    assert torch.equal(last.weights[0][0][0], many.weights[0][0][99])


def test_population_members_are_the_networks_train_gives(trained):
    """population[i] is the HookedMLP that train(seed=i) returns, kept at its own stopping step."""
    population = train_population("XOR", 3, seed=28, engine="torch")
    assert torch.equal(population[1].fc1.weight, trained.model.fc1.weight)
    assert population.steps[1] == trained.steps
    assert population.solved[1]
    assert len(population) == 3


def test_a_finished_network_is_kept_as_it_was(trained):
    """Its loss is below stop_loss and it stopped before max_steps, at the first step below."""
    assert trained.solved
    assert trained.final_loss < 0.01 <= min(trained.loss_history[:-1])
    assert trained.steps == len(trained.loss_history) - 1 < 2000
    assert trained.model(trained.model.rows(), return_type="loss").item() == pytest.approx(
        trained.final_loss, abs=1e-6
    )


def test_solved_is_a_fact_about_decisions(population):
    """The solved flag agrees with every network's own decisions; some networks solve XOR and some
    do not.
    """
    for index in range(0, len(population), 7):
        right = decisions(population[index]).flatten().tolist() == [0, 1, 1, 0]
        assert bool(population.solved[index]) == right
    assert 50 < population.solved.sum() < 250


def test_an_unsolved_network_says_so(unsolved):
    """The result names the rows it got wrong, in its flag and in its text."""
    assert not unsolved.solved
    assert unsolved.wrong_rows
    assert "did NOT solve XOR: wrong or undecided on" in str(unsolved)
    table = dict(zip(("00", "01", "10", "11"), (0, 1, 1, 0), strict=True))
    decided = dict(zip(table, decisions(unsolved.model).flatten().tolist(), strict=True))
    assert set(unsolved.wrong_rows) == {row for row in table if decided[row] != table[row]}


def test_other_targets_and_widths():
    """Three-bit parity, and a function with two outputs."""
    parity = train(BooleanFunction.named("XOR", 3), hidden=(8,), seed=1)
    assert parity.solved
    assert decisions(parity.model).flatten().tolist() == [0, 1, 1, 0, 1, 0, 0, 1]
    adder = train("x0 & x1, x0 ^ x1", hidden=(4,), seed=1)
    assert adder.solved
    assert decisions(adder.model).tolist() == [[0, 0], [0, 1], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TrainConfig(lr=0.0), "lr is 0.0"),
        (lambda: TrainConfig(lr=float("nan")), "lr is nan"),
        (lambda: TrainConfig(max_steps=0), "max_steps must be .* at least 1, not 0"),
        (lambda: TrainConfig(stop_loss=-1.0), "stop_loss is -1.0"),
        (lambda: TrainConfig(optimizer="adan"), "no optimizer 'adan'.*did you mean 'adam'"),
        (lambda: TrainConfig(act_fn="heaviside"), "heaviside has no gradient"),
        (lambda: train("XOR", hidden=()), "hidden is empty; give at least one hidden layer"),
        (lambda: train("XOR", hidden=0), "hidden must be .* at least 1, not 0"),
        (lambda: train("XOR", hidden=(2, 0)), "a width in hidden must be .* at least 1, not 0"),
        (lambda: train("XOR", n_inputs=0), "n_inputs must be .* at least 1, not 0"),
        (lambda: train("XNORR"), "no gate 'XNORR'"),
        (lambda: train_population("XOR", 0), "n_networks must be .* at least 1, not 0"),
        (lambda: train("XOR", seed=-1), "seed must be .* at least 0 and below .*, not -1"),
        (lambda: train("XOR", seed=2**63), "below 2\\^62"),
        (lambda: TrainConfig(act_fn="rel"), "no activation 'rel'"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(build, message):
    """Before any step is taken."""
    with pytest.raises(XorMiError, match=message):
        build()


def test_a_number_for_hidden_and_a_diverged_run():
    """hidden=3 is one layer of three; a run that blew up says so."""
    assert train(hidden=3, seed=2, config=TrainConfig(max_steps=5)).model.layer_sizes == (2, 3, 1)
    with pytest.raises(XorMiError, match="training diverged.*lower lr"):
        train(seed=1, config=TrainConfig(lr=1e20, max_steps=40, optimizer="sgd", loss_fn="mse"))
