"""The engine that numba compiles, held against PyTorch's: the same networks but for the last bits."""

import ast
import io
import math
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit

from xor_mi import HookedMLP, HookedMLPConfig, XorMiError, kernels, progress
from xor_mi.population import (
    _plan,
    _shards,
    population_from_census,
    read_census,
    run_census,
    width_study,
    write_census,
)
from xor_mi.population._plan import stored_plan
from xor_mi.search import _fitting
from xor_mi.training import (
    TrainConfig,
    _engine,
    _fit,
    _fit_lanes,
    _lane_numbers,
    _lanes,
    _noise,
    _train,
    train,
    train_population,
)

NETWORKS = 50
"""No multiple of 16, by which lanes are in use: some of them are empty."""

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


@pytest.fixture(autouse=True)
def _asked_anew():
    """What is known of this machine's numba is not kept from one test to the next."""
    yield
    for known in (kernels.why_not_numba, _engine._say_it, _engine._say_why_not):
        known.cache_clear()


def without_numba(monkeypatch):
    """As on a machine that has none; `find_spec` answers so of a module that is None."""
    monkeypatch.setitem(sys.modules, "numba", None)
    kernels.why_not_numba.cache_clear()


def trained(engine, target="XOR", n_networks=NETWORKS, **settings):
    """Networks of seed 0 and on, after 100 steps unless said otherwise."""
    settings = {"max_steps": 100, "stop_loss": 1e-9} | settings
    return train_population(target, n_networks, engine=engine, progress=False, **settings)


@pytest.mark.as_a_user
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


def test_adam_goes_on_past_the_end_of_its_table(monkeypatch):
    """Its factors no longer change there: a table of every step gives the same bits, of every rule
    that the torch engine has for them. SGD has no table.
    """
    last = _fit.STEPS_UNTIL_CONSTANT
    assert 30_000 < last < 40_000
    assert _fit.adam_factors(last - 10_000, 0.01) != _fit.adam_factors(last, 0.01)
    for step in (last + 1, 10 * last, 10**9):
        assert _fit.adam_factors(step, 0.01) == _fit.adam_factors(last, 0.01)
    settings = {"max_steps": last + 3000, "stop_loss": 1e-30, "out_act_fn": "sigmoid"}
    settings |= {"loss_fn": "mse", "weight_decay": 0.01}  # does not come to rest
    learning = _fit_lanes._adam(TrainConfig(**settings))
    assert learning.shape == (last, 2)
    assert _fit_lanes._adam(TrainConfig(optimizer="sgd")).shape == (0, 2)
    short = trained("numba", n_networks=3, **settings)
    monkeypatch.setattr(_fit_lanes, "STEPS_UNTIL_CONSTANT", 10**9)
    full = trained("numba", n_networks=3, **settings)
    assert torch.equal(short.flat, full.flat)
    assert torch.equal(short.losses, full.losses)
    before = trained("numba", n_networks=3, **(settings | {"max_steps": last}))
    assert not torch.equal(before.flat, full.flat)


def test_however_many_steps_are_done_at_once(monkeypatch):
    """The same bits; a large network looks at the keyboard after every step."""
    asked = []
    advance = _lanes.advance

    def noted(*given):
        asked.append(given[-1])
        return advance(*given)

    monkeypatch.setattr(_lanes, "advance", noted)
    by_default = trained("numba", max_steps=450)
    # the first call takes no step: it compiles
    assert set(asked[1:]) == {_fit_lanes.WORK_AT_ONCE // (4 * 9)} == {200}
    monkeypatch.setattr(_fit_lanes, "WORK_AT_ONCE", 1)
    asked.clear()
    one_by_one = trained("numba", max_steps=450)
    assert set(asked[1:]) == {1}
    assert len(asked) > 400
    assert torch.equal(by_default.flat, one_by_one.flat)
    assert torch.equal(by_default.steps, one_by_one.steps)


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
    without_numba(monkeypatch)
    assert trained(None).engine == "torch"
    with pytest.raises(XorMiError, match=r"pip install 'xor-mi\[fast\]'"):
        trained("numba")


def test_a_numba_that_does_not_load_is_said_and_done_without(monkeypatch, tmp_path):
    """As with a NumPy that is newer than it: once in a warning, or in an error where it is asked
    for. Counting does without it, too.
    """
    (tmp_path / "numba").mkdir()
    refusal = "raise ImportError('Numba needs NumPy 2.3 or less. Got NumPy 2.4.')"
    (tmp_path / "numba" / "__init__.py").write_text(refusal, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "numba")
    kernels.why_not_numba.cache_clear()
    why = r"numba is installed but does not load \(ImportError: Numba needs NumPy 2.3 or less"
    with pytest.warns(UserWarning, match=why):
        assert trained(None, max_steps=1).engine == "torch"
    assert trained(None, max_steps=1).engine == "torch"  # a second warning would be an error
    with pytest.raises(XorMiError, match="engine='numba' is installed but does not load .*upgrade"):
        trained("numba")
    _engine._say_why_not.cache_clear()
    with pytest.warns(UserWarning, match=why):
        assert not _fitting.numba_is_usable()


def test_kernels_are_known_by_all_that_they_are_compiled_from(tmp_path):
    """Their name on disk is another once a file changes; and they take nothing from elsewhere."""
    package = Path(kernels.__file__).parent
    digests = set()
    for name in ("_lanes.py", "_lane_numbers.py"):
        (tmp_path / name).write_text("", encoding="utf-8")
        digests.add(kernels.sources_digest(tmp_path / "_lanes.py"))
    (tmp_path / "_lane_numbers.py").write_text("ONE = 2", encoding="utf-8")
    digests.add(kernels.sources_digest(tmp_path / "_lanes.py"))
    assert len(digests) == 3
    assert _lanes.advance.__qualname__ == f"advance_{kernels.sources_digest(Path(_lanes.__file__))}"
    holders = [
        file
        for file in package.rglob("*.py")
        if "from xor_mi.kernels import" in file.read_text(encoding="utf-8")
        and file.parent.name in ("training", "search")
        and not file.name.startswith("_engine")
    ]
    assert {"_lanes.py", "_lane_numbers.py", "_bitset_kernels.py"} <= {one.name for one in holders}
    for file in holders:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        taken = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        own = f"xor_mi.{file.parent.name}"
        known = {"xor_mi.kernels", "xor_mi.kinds", own}
        elsewhere = {
            name
            for name in taken
            if name.startswith("xor_mi") and name not in known and not name.startswith(f"{own}.")
        }
        assert not elsewhere, f"{file.name} takes from {elsewhere}, which sources_digest leaves out"


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
    without_numba(monkeypatch)
    monkeypatch.setattr(_engine, "WORTH_SAYING", 20)
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


CENSUS = {"config": TrainConfig(max_steps=20), "shard_size": 5, "n_jobs": 1, "progress": False}


def test_compiling_is_where_ctrl_c_is_heard(monkeypatch):
    """The first call, which compiles, takes no step and is not in a thread; all others are."""
    advance, calls = _lanes.advance, []

    def watched(*args):
        calls.append((threading.current_thread() is threading.main_thread(), args[-1] == 0))
        return advance(*args)

    monkeypatch.setattr(_lanes, "advance", watched)
    trained("numba")
    assert calls[0] == (True, True)
    assert set(calls[1:]) == {(False, False)}


class Terminal(io.StringIO):
    """Standard error that a person watches."""

    def isatty(self):
        return True


@pytest.mark.parametrize("must_compile", [True, False])
def test_the_bar_says_that_the_first_call_compiles(monkeypatch, must_compile):
    """While nothing is counted yet it says why; once networks are done it says so no more."""
    monkeypatch.setattr(progress, "SECONDS_BEFORE_A_BAR", 0.0)
    monkeypatch.setattr(_train, "must_compile", lambda: must_compile)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    compile_first = _fit_lanes._compile

    def slowly(*arguments):
        compile_first(*arguments)
        deadline = time.monotonic() + 20
        while terminal.getvalue().count("training: 0") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)

    monkeypatch.setattr(_fit_lanes, "_compile", slowly)
    train_population("XOR", 20, engine="numba", max_steps=20)
    drawn = terminal.getvalue().split("\r")
    assert any("0 of 20 networks" in line for line in drawn)
    assert any("first under way, compiling, once" in line for line in drawn) == must_compile
    assert "compiling" not in drawn[-1]


KEPT_OR_NOT = """
from xor_mi.kernels import compiled, is_kept

@compiled
def one(number):
    return number + 1

print(is_kept(one))
one(1)
print(is_kept(one))
"""


def test_what_is_compiled_once_is_known_by_the_next_process(tmp_path):
    """Not before its first call, from then on in this process, and in the next from the start."""
    script = tmp_path / "kernel.py"
    script.write_text(KEPT_OR_NOT, encoding="utf-8")
    settings = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    for said in ("False\nTrue\n", "True\nTrue\n"):
        command = [sys.executable, str(script)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=settings, check=True, timeout=120
        )
        assert done.stdout == said
    assert kernels.is_kept(len), "a function of Python need not be compiled"


def test_a_census_is_of_one_engine(monkeypatch, tmp_path):
    """The plan says which; by default it goes on with it, and with another not. The networks that
    are read from it know it.
    """
    folder = run_census("XOR", 6, directory=tmp_path / "torch", engine="torch", **CENSUS)
    run_census("XOR", 8, directory=folder, **CENSUS)  # numba is here, and the plan counts
    with pytest.raises(XorMiError, match=r"'torch' there, 'numba' asked.*--engine torch .*'torch'"):
        run_census("XOR", 8, directory=folder, engine="numba", **CENSUS)
    assert stored_plan(folder).engine == "torch"
    cfg = train_population("XOR", 1, max_steps=1, progress=False).cfg
    assert population_from_census(read_census(folder), cfg).engine == "torch"
    assert (
        population_from_census(read_census(next(folder.glob("*.parquet"))), cfg).engine == "torch"
    )
    by_numba = run_census("XOR", 1, directory=tmp_path / "numba", **CENSUS)
    assert stored_plan(by_numba).engine == "numba"
    run_census("XOR", 3, directory=by_numba, **CENSUS)
    read = population_from_census(read_census(by_numba), cfg)
    assert read.engine == "numba"
    assert torch.equal(read.flat, trained("numba", n_networks=3, max_steps=20, stop_loss=0.01).flat)
    without_numba(monkeypatch)
    with pytest.raises(XorMiError, match=r"'numba' there, 'torch' asked.*xor-mi\[fast\]"):
        run_census("XOR", 8, directory=by_numba, **CENSUS)
    run_census("XOR", 9, directory=folder, **CENSUS)
    assert len(read_census(folder)) == 9


def test_a_census_from_before_there_were_engines_goes_on(tmp_path):
    """Its plan and its shards name none: PyTorch trained them."""
    folder = run_census("XOR", 5, directory=tmp_path, engine="torch", **CENSUS)
    plan = stored_plan(folder)
    settings = {name: value for name, value in plan.settings.items() if name != "engine"}
    older = replace(plan, settings=settings)
    (shard,) = older.shards()
    networks = read_census(folder)
    about = older.about(shard) | {"versions": dict(older.versions[0])}
    write_census(networks, shard.file(folder), about=about)
    (folder / "_plan.json").write_text(older.to_json(), encoding="utf-8")
    run_census("XOR", 7, directory=folder, **CENSUS)
    again = read_census(folder)
    assert len(again) == 7
    assert again.attrs["engine"] == "torch"
    whole = trained("torch", n_networks=7, max_steps=20, stop_loss=0.01)
    assert torch.equal(population_from_census(again, whole.cfg).flat, whole.flat)


def test_a_worker_without_numba_says_what_it_lacks(monkeypatch, tmp_path):
    """As on another machine of a cluster."""

    def versions_of_a_worker(name):
        raise PackageNotFoundError(name)

    def shard_by_a_worker(*given):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(_plan, "version", versions_of_a_worker)
            return run_shard(*given)

    run_shard = _shards._run_shard
    monkeypatch.setattr(_shards, "_run_shard", shard_by_a_worker)
    with pytest.raises(XorMiError, match=r"a worker has xor-mi .* with no numba, and .* numba \d"):
        run_census("XOR", 6, directory=tmp_path, engine="numba", **CENSUS)


def test_the_settings_of_a_census_are_tried_with_its_engine(monkeypatch, tmp_path):
    """So that what numba compiles is there before several workers want it."""
    found = []

    def noted(*given, **settings):
        population = train_population(*given, **settings)
        found.append((len(population), population.engine, population.steps.max().item()))
        return population

    monkeypatch.setattr(_shards, "train_population", noted)
    run_census("XOR", 1, directory=tmp_path, seed=2**53 - 1, **CENSUS)
    assert found == [(2, "numba", 1), (2, "numba", 1), (1, "numba", 20)]


def test_a_study_says_its_engine_and_what_numba_would_save(monkeypatch):
    """Of all its networks together, in a column and in a warning."""
    asked = {"widths": [1, 2], "act_fns": "relu", "progress": False}
    asked |= {"config": TrainConfig(max_steps=2)}
    study = width_study("XOR", 4, engine="numba", **asked)
    assert study["engine"].tolist() == ["numba", "numba"]
    without_numba(monkeypatch)
    monkeypatch.setattr(_engine, "WORTH_SAYING", 8)
    with pytest.warns(UserWarning, match="some twenty times as long"):
        study = width_study("XOR", 4, **asked)
    assert study["engine"].tolist() == ["torch", "torch"]
