"""Networks that are kept while they train: what is kept is what shorter training gives, and asking
for it changes nothing.
"""

import pickle
import warnings

import numpy as np
import pytest
import torch

from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.model import HookedMLP
from xor_mi.population import census, population_from_census
from xor_mi.training import Population, _fit, _train, replay, train, train_population

ENGINES = ("torch", "numba")
SETTINGS = {
    "adam": {},
    "noise": {"input_noise": 0.1},
    "dropout": {"dropout": 0.2, "hidden": 3},
    "batches": {"batch_size": 2},
    "momentum": {"optimizer": "sgd", "lr": 0.5, "momentum": 0.9},
    "decay": {"optimizer": "adamw", "weight_decay": 0.1, "l1": 0.001},
    "direct": {"direct": True},
    "deep": {"hidden": (2, 3), "act_fn": "tanh"},
    "two classes": {"loss_fn": "ce"},
    "some rows": {"rows": ["00", "01", "11"]},
}
"""Whatever is drawn or kept from step to step could differ."""
N_NETWORKS, N_STEPS = 70, 120


def trained(engine, *, n_networks=N_NETWORKS, **settings):
    """Some of these finish before the last step, and some do not."""
    chosen = {"max_steps": N_STEPS, "stop_loss": 0.2, "lr": 0.1} | settings
    return train_population("XOR", n_networks, engine=engine, progress=False, **chosen)


def same(one: Population, other: Population) -> bool:
    """Whether two populations are equal bit for bit."""
    parts = [
        (getattr(one, name), getattr(other, name)) for name in ("steps", "losses", "solved", "flat")
    ]
    return all(torch.equal(a, b) for a, b in parts)


@pytest.mark.as_a_user
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_checkpoints_are_what_fewer_steps_give(engine, settings):
    """At every step that is kept, every number is that of the same training with max_steps there;
    and the finished networks are those of a training that keeps none.
    """
    steps = (0, 1, 31, 120)
    population = trained(engine, checkpoints=steps, **settings)
    assert population.checkpoints.steps == steps
    finished = population.steps < N_STEPS
    assert same(population, trained(engine, **settings))
    assert same(population.checkpoints[120], population)
    for step in steps[1:]:
        assert same(population.checkpoints[step], trained(engine, **settings | {"max_steps": step}))
    at_start = population.checkpoints[0]
    for own, drawn in zip(at_start.weights, population.start, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(own, drawn, strict=True))
    assert at_start.steps.tolist() == [0] * N_NETWORKS
    if not settings.keys() & {"dropout", "batch_size", "weight_decay"}:
        assert finished.any()
    assert not finished.all(), "some go on to the last step"


@pytest.mark.parametrize("engine", ENGINES)
def test_more_networks_than_go_at_once(engine, monkeypatch):
    """Blocks, lanes and networks that take a finished one's place: each has its own checkpoints."""
    monkeypatch.setattr(_fit, "NETWORKS_PER_BLOCK", 128)
    settings = {"n_networks": 600, "max_steps": 90, "stop_loss": 0.4}
    steps = (0, 7, 50)
    population = trained(engine, checkpoints=steps, **settings)
    assert population.steps.unique().numel() > 10
    for step in steps[1:]:
        assert same(population.checkpoints[step], trained(engine, **settings | {"max_steps": step}))


def test_a_network_is_where_pytorch_takes_it():
    """After 1, 10 and 100 steps of torch.optim.Adam on an nn.Sequential, within rounding."""
    result = train("XOR", seed=29, lr=0.02, max_steps=100, checkpoints=[0, 1, 10, 100])
    start = result.checkpoints[0]
    with torch.random.fork_rng():
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    with torch.no_grad():
        for layer, own in ((net[0], start.fc1), (net[2], start.fc2)):
            layer.weight.copy_(own.weight)
            layer.bias.copy_(own.bias)
    rows = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    labels = torch.tensor([[0.0], [1], [1], [0]])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for step in range(1, 101):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(rows), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in result.checkpoints:
            kept = result.checkpoints[step]
            torch.testing.assert_close(kept.fc1.weight, net[0].weight, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(kept.fc2.bias, net[2].bias, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(start.fc1.weight, net[0].weight, atol=0.1), "it moved"


def test_of_one_network_models_are_kept():
    """`train` gives models, with their seed, and the losses of its history."""
    result = train("XOR", seed=29, checkpoints="every 50")
    assert list(result.checkpoints) == list(range(0, 2001, 50))
    assert all(isinstance(model, HookedMLP) for model in result.checkpoints.values())
    assert result.checkpoints[100].cfg.seed == 29
    assert torch.equal(result.checkpoints[2000].fc1.weight, result.model.fc1.weight)
    losses = result.checkpoints.losses[:, 0].tolist()
    assert losses[:4] == list(result.loss_history[0:200:50])
    assert losses[-1] == result.final_loss


def test_steps_may_come_in_any_form():
    """In any order, twice, as a range, an array or a tensor; nothing asked is nothing kept."""
    for asked in ([10, 0, 10], range(0, 20, 10), np.array([0, 10]), torch.tensor([10, 0]), {0, 10}):
        assert train(max_steps=10, checkpoints=asked).checkpoints.steps == (0, 10)
    for every in ("every 0010", "every 11", "every " + "9" * 5000):
        assert train(max_steps=10, checkpoints=every).checkpoints.steps == (0, 10)
    assert len(train(max_steps=10, checkpoints=[]).checkpoints) == 0
    assert len(train(max_steps=10).checkpoints) == 0


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([11], "at step 11, and training has steps 0 to 10.*max_steps"),
        ([-1], "at step -1"),
        ([1.5], "a checkpoint is 1.5; give step numbers"),
        ([5.0], "a checkpoint is 5.0"),
        ([True], "a checkpoint is True"),
        (["10"], "a checkpoint is '10'"),
        ([float("nan")], "a checkpoint is nan"),
        ([None], "a checkpoint is None"),
        (torch.tensor(3), "checkpoints is tensor.3.; give step numbers"),
        (5, "checkpoints is 5; give step numbers such as"),
        ("linear", "'linear'.*'log' or 'every 10'"),
        ("every", "'every'"),
        ("every 0", "'every 0'"),
        ("every -1", "'every -1'"),
        ("", "checkpoints is ''"),
        (b"log", "checkpoints is b'log'"),
        ({0: 1}, "checkpoints is"),
    ],
)
@pytest.mark.parametrize("of", [train, train_population])
def test_steps_that_cannot_be_are_refused_before_training(of, asked, message, monkeypatch):
    """One sentence that says what to give, and no step is taken."""

    def fit(*_, **__):
        raise AssertionError("training has begun")

    monkeypatch.setattr("xor_mi.training._train.fit", fit)
    with pytest.raises(XorMiError, match=message):
        of(max_steps=10, checkpoints=asked)


@pytest.mark.unchecked
def test_what_was_not_kept_is_no_key():
    """As in any mapping, and the error names the nearest steps."""
    checkpoints = train(max_steps=100, checkpoints="every 10").checkpoints
    assert {20, np.int64(30)} <= set(checkpoints)
    assert not [step for step in (21, "20", True, 20.0) if step in checkpoints]
    assert checkpoints.get(21) is None
    with pytest.raises(
        XorMiError, match=r"no checkpoint at step 57; of 11 the nearest.* 30, 40, 50, 60, 70, 80;"
    ) as raised:
        _ = checkpoints[np.int64(57)]
    assert isinstance(raised.value, KeyError)
    assert str(raised.value).startswith("no checkpoint"), "without the quotes of a KeyError"
    for no_step in ("20", 20.0, True, None):
        with pytest.raises(XorMiError, match=r"is not a step.*first are at 0, 10, 20"):
            _ = checkpoints[no_step]
    with pytest.raises(XorMiError, match="no checkpoints were asked for"):
        _ = train(max_steps=5).checkpoints[0]
    assert str(checkpoints) == "11 checkpoints, from step 0 to step 100"


@pytest.mark.as_a_user
@pytest.mark.parametrize("engine", ENGINES)
def test_a_function_sees_every_step(engine, monkeypatch):
    """In order, each as it is kept there; True keeps a step; it ends with the last network."""
    # so that they are trained again several times, some steps at a time
    monkeypatch.setattr("xor_mi.training._train.SHOWN_BYTES", 4 * 9 * N_NETWORKS * 50)
    settings = {"stop_loss": 0.5, "max_steps": 150}
    seen: dict[int, Population] = {}

    def function(step, networks):
        seen[step] = networks
        return step % 40 == 0

    population = trained(engine, checkpoints=function, **settings)
    all_steps = trained(engine, checkpoints="every 1", **settings)
    assert same(population, all_steps)
    assert list(seen) == list(range(int(population.steps.max()) + 1))
    assert all(same(seen[step], all_steps.checkpoints[step]) for step in (0, 1, 49, 50, 51, 150))
    assert population.checkpoints.steps == (0, 40, 80, 120)
    assert torch.equal(population.checkpoints.flat, all_steps.checkpoints.flat[:121:40])
    assert population.checkpoints.failure == ""


@pytest.mark.as_a_user
def test_a_function_sees_one_network_while_it_trains():
    """Every step once, as a model; whatever it does to the model does not come back."""
    plain, steps, models = train("XOR", seed=29, checkpoints="every 1"), [], {}

    def function(step, model):
        steps.append(step)
        models[step] = model.fc1.weight.detach().clone()
        with torch.no_grad():
            model.fc1.weight.zero_()
        return "kept" if step == 3 else step in (5, 7)

    result = train("XOR", seed=29, checkpoints=function)
    assert torch.equal(result.model.fc1.weight, plain.model.fc1.weight)
    assert steps == list(range(result.steps + 1))
    assert torch.equal(models[100], plain.checkpoints[100].fc1.weight)
    assert result.checkpoints.steps == (5, 7), "True keeps a step, and nothing else does"
    assert torch.equal(result.checkpoints[7].fc1.weight, plain.checkpoints[7].fc1.weight)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_done_to_networks_that_were_kept_does_not_come_back(engine):
    """By a function while it is shown them, or later: what is kept is as it was trained."""

    def spoil(networks):
        for weight, bias in networks.weights:
            weight.zero_()
            bias.zero_()
        networks.losses.zero_()
        networks.seeds.zero_()

    def function(step, networks):
        assert networks.seeds.tolist() == list(range(3, 9))
        spoil(networks)
        return step in (5, 20)

    settings = {"n_networks": 6, "seed": 3, "max_steps": 50}
    shown = trained(engine, checkpoints=function, **settings)
    plain = trained(engine, checkpoints=[5, 20], **settings)
    assert shown.checkpoints.failure == ""
    spoil(shown.checkpoints[20])
    assert same(shown, plain)
    assert shown.seeds.tolist() == list(range(3, 9))
    for step in (5, 20):
        assert same(shown.checkpoints[step], plain.checkpoints[step])
        assert shown.checkpoints[step].flat.abs().min() > 0


def test_a_function_sees_what_was_trained_on_a_device(monkeypatch):
    """Networks are trained again for it where they were trained: elsewhere they are others."""
    there, asked = torch.device("cpu", 0), []

    def replay_there(*args, **settings):
        asked.append(settings["device"])
        return replay(*args, **settings)

    monkeypatch.setattr(_train, "require_device", lambda _: there)
    monkeypatch.setattr(_train, "replay", replay_there)
    trained("torch", n_networks=3, max_steps=5, checkpoints=lambda step, _: step == 2)
    assert asked == [there]
    assert there != torch.device("cpu"), "which is where it would be trained by default"


@pytest.mark.parametrize("of", [train, train_population])
def test_a_function_that_fails_loses_no_training(of):
    """It is called no more, a warning says why, the networks are there, with what was kept."""
    calls = []

    def function(step, _):
        calls.append(step)
        if step == 4:
            raise OSError("the disk is full")
        return True

    size = {} if of is train else {"n_networks": 5}
    with pytest.warns(XorMiWarning, match="OSError at step 4: the disk is full.*training goes on"):
        result = of("XOR", max_steps=30, checkpoints=function, **size)
    assert calls == [0, 1, 2, 3, 4]
    assert result.checkpoints.steps == (0, 1, 2, 3)
    assert result.checkpoints.failure == "OSError at step 4: the disk is full"
    plain = of("XOR", max_steps=30, **size)
    weights = (result.model, plain.model) if of is train else (result[4], plain[4])
    assert torch.equal(weights[0].fc1.weight, weights[1].fc1.weight)


@pytest.mark.parametrize("of", [train, train_population])
def test_ctrl_c_in_a_function_stops(of):
    """What is no Exception is not taken for a failure."""

    def function(step, _):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        of("XOR", max_steps=30, checkpoints=function)


@pytest.mark.parametrize("engine", ENGINES)
def test_networks_are_trained_again(engine):
    """Any of them, in any order, bit for bit, with the checkpoints that are asked for then."""
    population = trained(engine, input_noise=0.1, rows=["00", "01", "10"], l1=0.01)
    again = replay(population, [33, 5], checkpoints=[40])
    assert again.engine == engine
    assert again.seeds.tolist() == [33, 5]
    assert torch.equal(again.flat, population.flat[[33, 5]])
    assert torch.equal(again.losses, population.losses[[33, 5]])
    assert same(replay(population), population)
    at_40 = trained(engine, input_noise=0.1, rows=["00", "01", "10"], l1=0.01, max_steps=40)
    assert torch.equal(again.checkpoints[40].flat, at_40.flat[[33, 5]])
    one = replay(population, [7], checkpoints=[])
    assert torch.equal(one.flat, population.flat[[7]]), "alone as among others"


def test_a_checkpoint_is_trained_again_to_where_it_was():
    """What stands at a step says that it was trained for so many steps."""
    at_30 = trained("torch", checkpoints=[0, 30]).checkpoints[30]
    assert same(replay(at_30), at_30)


def test_what_starts_from_weights_is_trained_again_from_there():
    """`init` is part of how a network was trained."""
    first = train("XOR", seed=29, max_steps=50).model
    settings = {"init": first, "input_noise": 0.05, "max_steps": 60, "progress": False}
    population = train_population("XOR", 4, engine="torch", **settings)
    again = replay(population, [2], checkpoints=[0])
    assert torch.equal(again.flat, population.flat[[2]])
    assert torch.equal(again.checkpoints[0][0].fc1.weight, first.fc1.weight)


@pytest.mark.unchecked
def test_what_does_not_say_how_it_was_trained_cannot_be_trained_again():
    """Networks of a census have lost that; the error says what to give."""
    population = trained("torch", n_networks=3)
    read = population_from_census(census(population), population.cfg)
    with pytest.raises(XorMiError, match="does not say how it was trained.*train_population"):
        replay(read)
    with pytest.raises(XorMiError, match="does not say how it was trained"):
        replay(trained("torch", n_networks=3, checkpoints=[0]).checkpoints[0])
    for numbers, message in (
        ([3], "below 3, not 3"),
        ([], "numbers is empty"),
        (5, "numbers is 5"),
    ):
        with pytest.raises(XorMiError, match=message):
            replay(population, numbers)
    with pytest.raises(XorMiError, match="give what train_population returns"):
        replay("population")
    with pytest.raises(XorMiError, match="device"):
        replay(population, device="gpu")


def test_more_checkpoints_than_fit_into_memory_are_refused():
    """Before any training, with the next step."""
    with pytest.raises(
        XorMiError, match="with 2,001 checkpoints would take.*give fewer checkpoints"
    ):
        train_population("XOR", 1_000_000, checkpoints="every 1")


def test_some_rows_are_learnt_by_one_network_too():
    """`train(rows=)` is a population of one on these rows; it is judged on all."""
    result = train("XOR", seed=29, rows=["00", "01"], max_steps=300)
    population = train_population("XOR", 1, seed=29, rows=["00", "01"], max_steps=300)
    assert torch.equal(result.model.fc1.weight, population[0].fc1.weight)
    assert not result.solved
    assert {"10", "11"} & set(result.wrong_rows)


def test_populations_with_checkpoints_go_through_pickle():
    """As joblib sends them."""
    population = trained("torch", n_networks=3, checkpoints=[0, 5])
    there = pickle.loads(pickle.dumps(population))
    assert same(there.checkpoints[5], population.checkpoints[5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(pickle.loads(pickle.dumps(trained("torch", n_networks=3))).checkpoints) == 0


def test_true_of_numpy_and_of_a_tensor_is_true():
    """What `population.solved.any()` and comparisons of a loss give; other things mean nothing."""
    answers = [True, np.True_, torch.tensor(True), torch.tensor([[True]]), np.array([True])]
    answers += [False, np.False_, torch.tensor(False), None, 1, "yes", torch.tensor(1)]
    answers += [torch.tensor([True, True]), np.array([])]

    def asked(step, network):
        return answers[step]

    n_steps = len(answers) - 1
    one = train("XOR", checkpoints=asked, max_steps=n_steps, progress=False)
    assert one.checkpoints.steps == tuple(range(5))
    assert one.checkpoints.failure == ""
    many = train_population("XOR", 2, checkpoints=asked, max_steps=n_steps, progress=False)
    assert many.checkpoints.steps == tuple(range(5))


@pytest.mark.unchecked
def test_a_function_is_not_blamed_for_a_run_that_diverges():
    """It sees the steps at which weights are finite; then there is one error, and no warning."""
    seen = []
    settings = {"act_fn": "leaky_relu", "optimizer": "sgd", "lr": 1e38, "max_steps": 9}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(XorMiError, match="training diverged"):
            train(checkpoints=lambda step, _: seen.append(step), progress=False, **settings)
    assert seen == [0, 1]
