"""The engine that numba compiles, held against PyTorch's: the same networks but for the last bits."""

import math
import threading

import numpy as np
import pytest
import torch
from numba import njit

from xor_mi import HookedMLP, HookedMLPConfig, XorMiError
from xor_mi.population import run_census, width_study
from xor_mi.training import (
    _engine,
    _fit_lanes,
    _lane_numbers,
    _lanes,
    _noise,
    train,
    train_population,
)

NETWORKS = 48
"""Not a multiple of the lanes that are in use together by chance: some lanes are empty."""

TASKS = {
    "by default": {},
    "two layers": {"hidden": (3, 3)},
    "squared error": {"loss_fn": "mse"},
    "cross-entropy": {"loss_fn": "ce"},
    "sgd": {"optimizer": "sgd", "lr": 0.5},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "weight decay": {"weight_decay": 0.1},
    "noise": {"input_noise": 0.1},
    "batches": {"batch_size": 2},
    "dropout": {"dropout": 0.3, "hidden": 4},
    "all that is drawn": {
        "dropout": 0.3,
        "hidden": (4, 3),
        "batch_size": 3,
        "input_noise": 0.1,
    },
    "direct connections": {"direct": True},
    "levels -1 and 1": {"input_levels": (-1, 1)},
    "sigmoid output": {"out_act_fn": "sigmoid"},
    "tanh output": {"out_act_fn": "tanh", "loss_fn": "mse"},
    "some rows": {"rows": ["00", "01", "11"]},
    "three inputs, two outputs": {"target": "a ^ b ^ c, a & b", "hidden": 4},
} | {
    name: {"act_fn": name, "hidden": 3}
    for name in _lanes.ACT_FNS
    if name not in ("relu", "identity", "heaviside", "sign")
}


def trained(engine, target="XOR", n_networks=NETWORKS, **settings):
    """Networks of seed 0 and on, after 100 steps unless said otherwise."""
    settings = {"max_steps": 100, "stop_loss": 1e-9} | settings
    return train_population(target, n_networks, engine=engine, progress=False, **settings)


@pytest.mark.parametrize("task", TASKS)
def test_a_network_of_one_engine_is_that_of_the_other(task):
    """After 100 steps weights agree to 1e-5, but for few where a last bit grows: Adam divides by
    slopes, and where these are nearly nothing it makes a step of what was rounding.
    """
    settings = dict(TASKS[task])
    by_torch, by_numba = trained("torch", **settings), trained("numba", **settings)
    apart = (by_torch.flat - by_numba.flat).abs().amax(1)
    assert apart.median() < 2e-6
    same = apart < 1e-5
    assert same.float().mean() >= 0.9
    assert torch.equal(by_torch.steps, by_numba.steps)
    assert torch.allclose(by_torch.losses[same], by_numba.losses[same], atol=1e-5)
    assert [by_torch.engine, by_numba.engine] == ["torch", "numba"]


def test_l1_where_a_weight_changes_its_sign():
    """What the absolute value costs jumps at 0, so a last bit decides; one step agrees."""
    by_torch, by_numba = (trained(one, l1=0.01, max_steps=1) for one in ("torch", "numba"))
    assert torch.allclose(by_torch.flat, by_numba.flat, atol=1e-6)
    longer = [trained(one, l1=0.01) for one in ("torch", "numba")]
    assert (longer[0].flat - longer[1].flat).abs().amax(1).median() < 1e-5


def test_finished_networks_are_the_same_ones():
    """To their end, through lanes that are used again and again."""
    by_torch, by_numba = (
        train_population("XOR", 600, hidden=4, engine=one, progress=False)
        for one in ("torch", "numba")
    )
    assert (by_torch.solved != by_numba.solved).sum() <= 6
    same = by_torch.steps == by_numba.steps
    assert same.float().mean() > 0.95
    assert torch.allclose(by_torch.losses[same], by_numba.losses[same], atol=1e-3)
    assert (by_numba.losses[by_numba.steps < 2000] < 0.01).all()


@pytest.mark.parametrize("settings", [{}, {"hidden": (3, 2), "dropout": 0.2, "batch_size": 3}])
def test_a_network_does_not_depend_on_its_neighbours(settings):
    """Bit for bit, in any batch, with any number of threads, also of one network."""
    settings = {"max_steps": 300, "engine": "numba", "progress": False} | settings
    whole = train_population("XOR", 2500, **settings)
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for first, n in ((0, 2500), (1, 1), (7, 3), (2200, 300)):
            part = train_population("XOR", n, seed=first, **settings)
            assert torch.equal(part.flat, whole.flat[first : first + n])
            assert torch.equal(part.steps, whole.steps[first : first + n])
            assert torch.equal(part.losses, whole.losses[first : first + n])
    finally:
        torch.set_num_threads(n_threads)


def test_a_network_that_diverges_is_never_done_early():
    """NaN is not below any loss, and the others are what they are without it."""
    settings = {"lr": 1e30, "optimizer": "sgd", "max_steps": 20, "hidden": 3}
    by_torch, by_numba = (trained(one, **settings) for one in ("torch", "numba"))
    is_nan = by_torch.losses.isnan()
    assert is_nan.any()
    assert torch.equal(by_numba.losses.isnan(), is_nan)
    assert (by_numba.steps[is_nan] == 20).all()
    assert not by_numba.solved[is_nan].any()


def test_random_numbers_are_those_of_the_other_engine():
    """64 bits of each stream, of small, large and far seeds."""
    seeds = [0, 1, 2**31, 2**53 - 1, 2**62]
    random_bits = njit(_lane_numbers.random_bits)
    for stream in _noise.Stream:
        expected = _noise._bits(torch.tensor(seeds), stream, start=5, count=4)
        for number, seed in enumerate(seeds):
            for counter in range(4):
                drawn = random_bits(seed, np.uint64(stream), counter + 5)
                assert np.uint64(drawn) == np.uint64(expected[counter, number].item() % 2**64)


def test_exponential_and_logarithm_are_right_to_a_few_of_the_last_bits():
    """Against NumPy's in float64."""
    exponential = njit(_lane_numbers.exponential)
    log_of_1_and = njit(_lane_numbers.log_of_1_and)
    below = -np.linspace(0, 86, 5001, dtype=np.float32)
    found = np.array([exponential(x) for x in below])
    assert np.abs(found / np.exp(below.astype(np.float64)) - 1).max() < 2 * 2**-24
    assert exponential(np.float32(-1e30)) < 1e-37
    assert math.isnan(exponential(np.float32("nan")))
    inside = np.linspace(0, 1, 5001, dtype=np.float32)
    found = np.array([log_of_1_and(x) for x in inside])
    exact = np.log1p(inside.astype(np.float64))
    assert np.abs(found - exact).max() < 4 * 2**-24


@pytest.mark.parametrize(("name", "exact"), [("elu", np.expm1), ("tanh", np.tanh)])
def test_small_numbers_keep_their_bits(name, exact):
    """Relative to the number itself: a difference of nearly equal numbers would have none left."""
    function = njit(getattr(_lane_numbers, name))
    below = -np.logspace(-30, 1.9, 5001, dtype=np.float32)
    found = np.array([function(x, np.float32(0)) for x in below])
    assert np.abs(found / exact(below.astype(np.float64)) - 1).max() < 6 * 2**-24


def test_the_engine_is_chosen_and_said(monkeypatch):
    """numba where it is there and can do it; what it cannot do is refused in one sentence."""
    assert trained(None).engine == "numba"
    assert str(trained(None)).endswith("trained by numba")
    assert trained(None, n_networks=1).engine == "torch"
    assert len(trained(None, n_networks=1).loss_history[0]) == 101
    assert trained("numba", n_networks=1).loss_history == ()
    layers = train("XOR", max_steps=1).model.float64_layers()
    init = HookedMLP.from_weights(layers, dtype="float64")
    in_float64 = {"init": init, "n_networks": 2, "input_noise": 0.1}
    assert trained(None, **in_float64).engine == "torch"
    with pytest.raises(XorMiError, match="trains in float32"):
        trained("numba", **in_float64)
    monkeypatch.setattr(_engine, "numba_is_installed", lambda: False)
    assert trained(None).engine == "torch"
    with pytest.raises(XorMiError, match=r"pip install 'xor-mi\[fast\]'"):
        trained("numba")


def test_on_an_accelerator_torch_trains():
    """Chosen by itself; numba is refused by name, whether or not there is one here."""
    cfg = HookedMLPConfig(act_fn="relu")
    asked = {"n_networks": 200, "cfg": cfg, "device": torch.device("cuda")}
    assert _engine.engine_of(None, **asked) == "torch"
    assert _engine.engine_of("torch", **asked) == "torch"
    with pytest.raises(XorMiError, match="engine='numba' trains on the CPU, not on 'cuda'; leave"):
        _engine.engine_of("numba", **asked)


@pytest.mark.unchecked
def test_an_engine_that_does_not_exist_is_refused():
    """With the names of those that do."""
    with pytest.raises(XorMiError, match="no engine 'jax'.*torch, numba"):
        trained("jax")


def test_without_numba_it_is_said_once_what_it_saves(monkeypatch):
    """Of a long run, and of no short one."""
    monkeypatch.setattr(_engine, "numba_is_installed", lambda: False)
    monkeypatch.setattr(_engine, "WORTH_SAYING", 20)
    _engine._say_it.cache_clear()
    trained(None, n_networks=19)
    with pytest.warns(UserWarning, match="some twenty times as long"):
        trained(None, n_networks=20, max_steps=1)
    trained(None, n_networks=20, max_steps=1)  # a second warning would be an error


def test_after_ctrl_c_no_thread_goes_on(monkeypatch):
    """The threads end before the call does, and nothing of numba's is left running."""
    stopped = []

    def interrupted(running, return_when):
        del running, return_when
        stopped.append(threading.active_count())
        raise KeyboardInterrupt

    monkeypatch.setattr(_fit_lanes, "wait", interrupted)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        train_population(
            "XOR", 4096, max_steps=10**6, stop_loss=1e-30, engine="numba", progress=False
        )
    assert stopped[0] > before
    assert threading.active_count() == before


def test_a_census_is_of_one_engine(tmp_path):
    """The plan says which, and another does not go on with it; a study says it in a column."""
    run_census("XOR", 6, directory=tmp_path, shard_size=5, n_jobs=1, engine="torch")
    with pytest.raises(XorMiError, match="engine"):
        run_census("XOR", 6, directory=tmp_path, shard_size=5, n_jobs=1, engine="numba")
    study = width_study("XOR", 4, widths=[2], act_fns="relu", engine="numba", progress=False)
    assert study["engine"].tolist() == ["numba"]
