"""The networks of the exam: always the same ones, all of them right, as many as there should be."""

import subprocess
import sys
from hashlib import sha256
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from xor_mi.errors import XorMiError
from xor_mi.exam import CONVENTIONS, Task, task, tasks
from xor_mi.search import Problem
from xor_mi.training import train, train_population
from xor_mi.truth import BooleanFunction

FORMULAS = {
    "XOR": lambda a, b: a ^ b,
    "parity-3": lambda a, b, c: a ^ b ^ c,
    "majority-3": lambda a, b, c: int(a + b + c >= 2),
    "two-hop": lambda a, b, c: (a ^ b) & c,
}
"""The targets of trained tasks, written in Python."""

TRAINED = [name for name, one in tasks().items() if one.kind == "trained"]


def digest(networks):
    """All weights, bit for bit."""
    numbers = [
        weights.detach().numpy().tobytes()
        for net in networks.values()
        for weights in net.parameters()
    ]
    return sha256(b"".join(numbers)).hexdigest()


@pytest.mark.as_a_user
@pytest.mark.parametrize("name", TRAINED)
def test_trained_networks_decide_every_row_as_the_formula_does(name):
    """Forward written in NumPy from the weights."""
    acts = {
        "relu": lambda pre: np.maximum(pre, 0),
        "tanh": np.tanh,
        "sigmoid": lambda pre: 1 / (1 + np.exp(-pre)),
    }
    one = task(name)
    networks = one.networks(5, progress=False)
    rows = list(product((0, 1), repeat=one.layer_sizes[0]))
    wanted = [FORMULAS[name.split()[0]](*row) for row in rows]
    for model in networks.values():
        assert model.layer_sizes == one.layer_sizes
        assert model.cfg.act_fn == one.activation == name.split()[2]
        values = np.array(rows, dtype=float)
        *hidden, (readout, bias) = [(w.numpy(), b.numpy()) for w, b in model.float64_layers()]
        for weight, of_hidden in hidden:
            values = acts[one.activation](values @ weight.T + of_hidden)
        outputs = (values @ readout.T + bias)[:, 0]
        assert (outputs > 0).astype(int).tolist() == wanted


@pytest.mark.as_a_user
def test_the_first_solved_networks_of_a_population_are_taken():
    """Those that `train_population` calls solved, by seed, and nothing of them is changed."""
    networks = task("XOR 2-3-3-1 relu").networks(20, progress=False)
    population = train_population("XOR", 100, hidden=(3, 3), engine="torch", progress=False)
    seeds = population.solved.nonzero().flatten().tolist()[:20]
    assert [model.cfg.seed for model in networks.values()] == seeds
    assert networks.n_tried == seeds[-1] + 1
    for seed, model in zip(seeds, networks.values(), strict=True):
        for ours, theirs in zip(
            model.float64_layers(), population[seed].float64_layers(), strict=True
        ):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])


@pytest.mark.as_a_user
def test_one_network_is_that_of_train():
    """The population of one, from the same seed."""
    (model,) = task("XOR 2-3-1 tanh").networks(1, progress=False).values()
    alone = train("XOR", hidden=3, act_fn="tanh", seed=model.cfg.seed, progress=False).model
    for ours, theirs in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.as_a_user
@pytest.mark.parametrize("name", ["XOR 2-2-2-1 relu", "planted cancelling tanh"])
def test_networks_are_the_same_in_any_number_and_from_any_seed(name):
    """Bit for bit. Of the trained ones there are so many that a second lot must be trained."""
    many = task(name).networks(15, progress=False)
    few = task(name).networks(3, progress=False)
    assert list(few) == list(many)[:3]
    assert digest(few) == digest({seed: many[seed] for seed in few})
    # from a later seed on, it is the same networks
    second = list(many.values())[1]
    moved = task(name).networks(2, seed=second.cfg.seed, progress=False)
    assert digest(moved) == digest({seed: many[seed] for seed in list(many)[1:3]})


@pytest.mark.as_a_user
def test_networks_are_the_same_in_another_process():
    """Bit for bit, trained and planted ones."""
    names = ["XOR 2-3-1 tanh", "planted cancelling tanh", "planted two hops relu"]
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        "from test_exam_tasks import digest; from xor_mi.exam import task; "
        f"print([digest(task(name).networks(4, progress=False)) for name in {names}])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    here = [digest(task(name).networks(4, progress=False)) for name in names]
    assert told.stdout.strip() == str(here)


def test_tasks_are_small_enough_to_try_every_mask():
    """Names are told apart, and nothing has more than twenty edges."""
    names = list(tasks())
    assert len(names) == len(set(names)) == len(tasks().frame())
    for one in tasks().values():
        n_edges = sum(
            before * after
            for before, after in zip(one.layer_sizes, one.layer_sizes[1:], strict=False)
        )
        assert one.n_edges == n_edges <= 20
        assert one.n_units == sum(one.layer_sizes) - one.layer_sizes[0] - one.layer_sizes[-1]
    of_planted = {name.split(" ", 1)[1].rsplit(" ", 1)[0] for name in names if "planted" in name}
    assert of_planted == {
        *("gates", "halves", "copies", "cancelling", "dead", "constant", "two hops"),
    }


def test_a_task_and_its_networks_say_what_they_are():
    """In words and as tables; a planted network has its circuit beside it."""
    networks = task("planted gates relu").networks(2, progress=False)
    assert str(networks) == "2 networks of the task 'planted gates relu', written by hand"
    assert networks.frame().planted_edges.tolist() == [6, 6]
    assert (
        list(networks.planted)
        == list(networks)
        == [
            "planted gates relu, seed 0",
            "planted gates relu, seed 1",
        ]
    )
    trained = task("XOR 2-2-1 relu").networks(2, progress=False)
    assert trained.planted == {}
    assert trained.frame().planted_edges.isna().all()
    assert trained.head() == {"task": "XOR 2-2-1 relu", "n_tried": 6}
    assert str(trained) == "2 networks of the task 'XOR 2-2-1 relu', the first of 6 trained"
    line = task("XOR 2-2-1 relu").frame().iloc[0]
    assert (line.layer_sizes, line.n_edges, line.target, line.kind) == (
        "2-2-1",
        6,
        "XOR",
        "trained",
    )
    assert str(task("XOR 2-2-1 relu")).startswith("XOR 2-2-1 relu (trained, 6 edges): ")
    assert str(tasks()).count("\n") == len(tasks()) - 1


def test_unknown_names_are_answered_with_those_that_exist():
    """Of tasks and of networks; and numbers that are none."""
    with pytest.raises(XorMiError, match="did you mean 'XOR 2-2-1 relu'"):
        task("XOR 2-2-1 relus")
    with pytest.raises(XorMiError, match="no task 'XOR'; the exam has: XOR 2-2-1 relu"):
        task("XOR")
    with pytest.raises(XorMiError, match="no network 'seed 0'"):
        task("planted gates relu").networks(1, progress=False)["seed 0"]
    with pytest.raises(XorMiError, match="n_networks must be a whole number of at least 1"):
        task("planted gates relu").networks(0)
    with pytest.raises(XorMiError, match="seeds must be below 2\\^62"):
        task("planted gates relu").networks(2, seed=2**62 - 1)


def test_a_task_that_no_network_learns_comes_to_an_end(monkeypatch):
    """XOR by one hidden unit, which cannot be: said, and not tried for ever."""
    monkeypatch.setattr("xor_mi.exam._tasks.MOST_WITHOUT_ONE", 64)
    too_narrow = Task(
        name="XOR 2-1-1",
        says="Exclusive or by one unit.",
        layer_sizes=(2, 1, 1),
        target=BooleanFunction.named("XOR"),
        activation="relu",
    )
    with pytest.raises(XorMiError, match=r"none of 64 networks 2-1-1.*take more hidden units"):
        too_narrow.networks(1, progress=False)


def test_conventions_are_told_apart_by_ablation_and_noise():
    """Four of them; noisy rows are four copies of each."""
    assert {name: one.ablation for name, one in CONVENTIONS.items()} == {
        "zero": "zero",
        "mean": "mean",
        "zero noisy": "zero",
        "mean noisy": "mean",
    }
    (model,) = task("planted gates relu").networks(1, progress=False).values()
    n_rows = {name: len(Problem.of(model, None, one).rows) for name, one in CONVENTIONS.items()}
    assert n_rows == {"zero": 4, "mean": 4, "zero noisy": 20, "mean noisy": 20}


WRONG_TASKS = [
    (
        {"layer_sizes": (3, 2, 1)},
        "layer_sizes .3, 2, 1., and its target has 2 inputs and 1 output; give",
    ),
    ({"layer_sizes": (2, 3, 2)}, "layer_sizes .2, 3, 2., and its target has 2 inputs"),
    ({"recipe": "gate"}, "no recipe 'gate'; recipes are: gates"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG_TASKS)
def test_a_task_that_does_not_fit_is_refused(wrong, message):
    """Its table would say other sizes than its networks have."""
    fitting = {
        "name": "one",
        "says": "One.",
        "layer_sizes": (2, 2, 1),
        "target": BooleanFunction.of("XOR", None),
        "activation": "relu",
    }
    assert Task(**fitting).n_edges == 6
    with pytest.raises(XorMiError, match=message):
        Task(**fitting | wrong)
