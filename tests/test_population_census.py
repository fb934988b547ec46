"""The census: the same answers as one by one, through Parquet and shards, whatever interrupts
it.
"""

import json
import math
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from xor_mi import cli
from xor_mi.circuits import Summary, _summary, identify_circuit, identify_many, summarize
from xor_mi.errors import XorMiError
from xor_mi.population import (
    CENSUS_COLUMNS,
    census,
    family_shares,
    outcome_by_initial_signs,
    population_from_census,
    read_census,
    run_census,
    write_census,
)
from xor_mi.training import TrainConfig, train_population
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

SHORT = TrainConfig(max_steps=250)


def same(a: Summary, b: Summary) -> bool:
    """Every word and number alike; margins to nine digits."""
    close = [
        (math.isnan(x) and math.isnan(y)) or abs(x - y) < 1e-9
        for x, y in zip(a.margins, b.margins, strict=True)
    ]
    return all(close) and a._replace(margins=()) == b._replace(margins=())


def one_by_one(population, index):
    """What identify_circuit says of one network."""
    return summarize(identify_circuit(population[index], with_evidence=False))


@pytest.mark.parametrize("act", ["relu", "tanh", "sigmoid", "leaky_relu"])
@pytest.mark.parametrize(("width", "n"), [(1, 100), (2, 300), (3, 100), (4, 40)])
def test_many_at_once_is_identify_circuit_for_each(act, width, n, monkeypatch):
    """Solved, unsolved and dead networks at widths 1 to 4; most are decided in the batch
    itself.
    """
    population, alone = (
        train_population("XOR", n, hidden=width, config=TrainConfig(act_fn=act, max_steps=700)),
        [],
    )
    original = _summary._alone
    monkeypatch.setattr(
        _summary, "_alone", lambda *asked: alone.append(asked[1]) or original(*asked)
    )
    found = identify_many(population.__getitem__, population.weights, population.cfg)
    assert [k for k in range(n) if not same(found[k], one_by_one(population, k))] == []
    assert len(alone) < 0.2 * n
    assert width == 1 or {"not_computing"} < {summary.verdict for summary in found}


def test_copies_dead_units_other_targets_and_several_outputs():
    """Duplicated and dead units, exact ties, a two-output target, three inputs, and a network on
    its threshold: as one by one.
    """
    trained = train_population("XOR", 60, hidden=2)
    (w1, b1), (w2, b2) = trained.weights
    doubled = ((torch.cat([w1, w1], 1), torch.cat([b1, b1], 1)), (torch.cat([w2, w2], 2) / 2, b2))
    with_dead = (
        (torch.cat([w1, 0 * w1[:, :1]], 1), torch.cat([b1, -torch.ones(60, 1)], 1)),
        (torch.cat([w2, w2[:, :, :1]], 2), b2),
    )
    tied = tuple((w.round(), b.round()) for w, b in trained.weights)
    for layers, width in ((doubled, 4), (with_dead, 3), (tied, 2)):
        population = replace(trained, cfg=replace(trained.cfg, d_hidden=(width,)), weights=layers)
        found = identify_many(population.__getitem__, layers, population.cfg)
        assert [k for k in range(60) if not same(found[k], one_by_one(population, k))] == []
    for target, width in (("x0 & x1, x0 ^ x1", 3), (BooleanFunction.named("AND", 3), 2), ("OR", 2)):
        population = train_population(target, 60, hidden=width, config=SHORT)
        found = identify_many(population.__getitem__, population.weights, population.cfg)
        assert [k for k in range(60) if not same(found[k], one_by_one(population, k))] == []
        assert population.solved.any()


def test_what_is_not_covered_goes_one_by_one():
    """Two hidden layers, and weights that are not finite: the first are identified, the second say
    why not.
    """
    deep = train_population(
        "XOR", 8, hidden=(2, 2), config=TrainConfig(act_fn="tanh", max_steps=500)
    )
    assert [
        k
        for k, one in enumerate(identify_many(deep.__getitem__, deep.weights, deep.cfg))
        if not same(one, one_by_one(deep, k))
    ] == []
    broken = train_population("XOR", 3, config=SHORT)
    broken.weights[0][0][1] = torch.nan
    line = census(broken).iloc[1]
    assert line["verdict"] == "not_tried"
    assert "finite" in line["why_not"]
    assert line["n_readings"] is pd.NA


@pytest.fixture(scope="module")
def networks(population):
    """The census of the 500 networks."""
    return census(population)


def test_parquet_out_and_in_changes_nothing(networks, tmp_path):
    """All columns with their types; some columns; the metadata; and the networks themselves, weight
    for weight.
    """
    path = write_census(networks, tmp_path / "some.parquet", about={"hidden": [2]})
    pd.testing.assert_frame_equal(read_census(path), networks)
    assert tuple(read_census(tmp_path).columns) == CENSUS_COLUMNS
    assert list(read_census(path, columns=["family", "solved"]).columns) == ["family", "solved"]
    import pyarrow.parquet as pq

    assert json.loads(pq.read_schema(path).metadata[b"xor_mi"]) == {"hidden": [2]}
    assert list(tmp_path.iterdir()) == [path]


def test_networks_come_back_from_their_lines(population, networks):
    """population_from_census gives models whose weights and decisions are the originals'."""
    again = population_from_census(networks, population.cfg)
    assert all(
        torch.equal(a, b)
        for x, y in zip(again.weights, population.weights, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    assert torch.equal(again[29].fc1.weight, population[29].fc1.weight)
    with pytest.raises(XorMiError, match="9 weights; 2-3-1 has 13"):
        population_from_census(networks, replace(population.cfg, d_hidden=(3,)))


def test_families_and_starts_count_every_network(networks):
    """Two families share the solved; starts count all networks by the signs of their first weights,
    counted here in NumPy.
    """
    found = family_shares(networks)
    assert set(found["family"]) == {"OR & ~AND", "x0>x1 | x1>x0"}
    assert found["n_networks"].sum() == networks["solved"].sum()
    table = outcome_by_initial_signs(networks, (2, 2, 1))
    from xor_mi.model import initial_weights

    drawn = [initial_weights((2, 2, 1), seed)[0][0].numpy() for seed in networks["seed"]]
    counts = np.bincount([(w[:, 0] * w[:, 1] < 0).sum() for w in drawn])
    starts = table.drop_duplicates("n_comparing_units")
    assert starts["n_networks"].tolist() == counts.tolist()
    ends = table.groupby("family")["n_in_family"].sum()
    solved = networks["solved"].sum()
    assert ends[list(found["family"])].sum() == starts["n_solved"].sum() == solved
    assert ends.sum() == len(networks)
    with pytest.raises(XorMiError, match="no column 'famly'"):
        family_shares(networks, by="famly")


def test_a_census_in_shards_is_the_census(tmp_path):
    """Row for row the table of one population; a second run has nothing to do; another census in
    that folder is refused.
    """
    folder = run_census(
        config=SHORT, directory=tmp_path / "a", n_networks=230, seed=5, shard_size=100, n_jobs=1
    )
    assert len(list(folder.glob("*.parquet"))) == 3
    pd.testing.assert_frame_equal(
        read_census(folder), census(train_population("XOR", 230, seed=5, config=SHORT))
    )
    times = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    run_census(config=SHORT, directory=folder, n_networks=230, seed=5, shard_size=100, n_jobs=1)
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == times
    with pytest.raises(XorMiError, match="n_networks: 230 there, 240 asked"):
        run_census(config=SHORT, directory=folder, n_networks=240, seed=5, shard_size=100)


def test_a_plan_names_later_settings_only_where_they_matter(tmp_path):
    """An ordinary plan is as it was before there were options, so an older census is resumed; one
    with options is another census, and is resumed itself.
    """
    asked = {"n_networks": 2, "n_jobs": 1}
    folder = run_census("a ^ b ^ c", config=SHORT, directory=tmp_path / "plain", **asked)
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert plan["target"]["n_inputs"] == 3
    assert list(plan["config"]) == [
        *("lr", "max_steps", "stop_loss", "optimizer", "weight_decay"),
        *("act_fn", "out_act_fn", "loss_fn", "input_noise"),
    ]
    options = TrainConfig(max_steps=5, l1=0.1, act_fn=("relu", "tanh"), batch_size=2)
    asked |= {"hidden": (2, 2), "config": options, "directory": tmp_path / "options"}
    folder = run_census(**asked)
    written = {file: file.read_bytes() for file in folder.iterdir()}
    run_census(**asked)
    assert {file: file.read_bytes() for file in folder.iterdir()} == written
    with pytest.raises(XorMiError, match="l1: 0.1 there"):
        run_census(**(asked | {"config": replace(options, l1=0.0)}))


RUN = """
from xor_mi.population import run_census
from xor_mi.training import TrainConfig
if __name__ == "__main__":
    run_census(
        n_networks=8000, directory={out!r}, config=TrainConfig(max_steps=250), shard_size=1000, n_jobs=1
    )
"""


def test_killed_twice_it_resumes_and_loses_nothing(tmp_path):
    """SIGKILL at a random moment of a random shard, twice; the resumed census equals one that
    nobody disturbed, row for row.
    """
    out, chance = tmp_path / "killed", random.Random(3)
    script = tmp_path / "run.py"
    script.write_text(RUN.format(out=str(out)), encoding="utf-8")
    killed = []
    for wanted in (chance.randint(1, 2), chance.randint(3, 5)):
        process = subprocess.Popen([sys.executable, str(script)])
        while len(list(out.glob("*.parquet"))) < wanted and process.poll() is None:
            time.sleep(0.02)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        killed.append((process.wait(), len(list(out.glob("*.parquet")))))
    assert all(status == -signal.SIGKILL and wanted < 8 for status, wanted in killed), killed
    run_census(config=SHORT, directory=out, n_networks=8000, shard_size=1000, n_jobs=1)
    pd.testing.assert_frame_equal(
        read_census(out), census(train_population("XOR", 8000, config=SHORT))
    )
    assert not list(out.glob(".*"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda path: run_census(directory=path, n_networks=0),
            "n_networks must be .* at least 1, not 0",
        ),
        (
            lambda path: run_census(directory=path, shard_size=0),
            "shard_size must be .* at least 1, not 0",
        ),
        (lambda path: run_census(directory=path, target="XORR"), "no gate 'XORR'"),
        (lambda path: run_census(directory=path / "plain" / "x"), "cannot write"),
        (lambda path: read_census(path), "no census at"),
        (lambda path: read_census(path, columns=["sed"]), "no column 'sed'"),
        (lambda path: read_census(path / "plain"), "is not a census"),
    ],
)
def test_a_census_that_cannot_be_is_refused(call, message, tmp_path):
    """Before any work is done, with the next step."""
    (tmp_path / "plain").write_text("no folder, no Parquet", encoding="utf-8")
    with pytest.raises(XorMiError, match=message):
        call(tmp_path)


def test_the_command_prints_the_families_and_errors_are_one_line(tmp_path, capsys, monkeypatch):
    """xor-mi census writes and counts; a wrong option is one line and status 2."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["xor-mi", "census", *words])
        with pytest.raises(SystemExit) as done:
            cli.main()
        return done.value.code, capsys.readouterr()

    common = ["--out", str(tmp_path / "c"), "--networks", "200", "--jobs", "1", "--steps", "250"]
    status, printed = run(*common)
    solved = int(train_population("XOR", 200, config=SHORT).solved.sum())
    assert status == 0
    assert f"200 networks in '{tmp_path / 'c'}', {solved} solved XOR" in printed.out
    assert "OR & ~AND" in printed.out
    for words in ([*common, "--seed", "9"], ["--act", "rel"], ["--jobs", "0"], ["--hidden", "0"]):
        status, printed = run(*words)
        assert (status, printed.err.count("\n")) == (2, 1), words
