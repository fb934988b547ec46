"""The census: the same answers as one by one, through Parquet and shards, whatever interrupts
it.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from xor_mi import cli
from xor_mi.circuits import Summary, _summary, identify_circuit, identify_many, summarize
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.population import (
    CENSUS_COLUMNS,
    census,
    counted_as,
    family_shares,
    outcome_by_initial_signs,
    population_from_census,
    read_census,
    run_census,
    verdict_shares,
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
@pytest.mark.parametrize(("width", "n"), [(1, 30), (2, 60), (3, 45), (4, 12)])
def test_many_at_once_is_identify_circuit_for_each(act, width, n, monkeypatch):
    """Solved, unsolved and dead networks at widths 1 to 4; most are decided in the batch itself.
    `fuzz_census` tries any number of them.
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
    trained = train_population("XOR", 24, hidden=2)
    (w1, b1), (w2, b2) = trained.weights
    doubled = ((torch.cat([w1, w1], 1), torch.cat([b1, b1], 1)), (torch.cat([w2, w2], 2) / 2, b2))
    with_dead = (
        (torch.cat([w1, 0 * w1[:, :1]], 1), torch.cat([b1, -torch.ones(24, 1)], 1)),
        (torch.cat([w2, w2[:, :, :1]], 2), b2),
    )
    tied = tuple((w.round(), b.round()) for w, b in trained.weights)
    for layers, width in ((doubled, 4), (with_dead, 3), (tied, 2)):
        population = replace(trained, cfg=replace(trained.cfg, d_hidden=(width,)), weights=layers)
        found = identify_many(population.__getitem__, layers, population.cfg)
        assert [k for k in range(24) if not same(found[k], one_by_one(population, k))] == []
    for target, width in (("x0 & x1, x0 ^ x1", 3), (BooleanFunction.named("AND", 3), 2), ("OR", 2)):
        population = train_population(target, 30, hidden=width, config=SHORT)
        found = identify_many(population.__getitem__, population.weights, population.cfg)
        assert [k for k in range(30) if not same(found[k], one_by_one(population, k))] == []
        assert population.solved.any()


@pytest.mark.parametrize("act", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize(
    ("target", "hidden", "n"),
    [
        ("XOR", (2, 2), 30),
        ("XOR", (3, 2), 12),
        ("x0 & x1, x0 ^ x1", (3, 2), 10),
        (BooleanFunction.named("AND", 3), (2, 2), 10),
        ("XOR", (2, 2, 2), 10),
    ],
)
def test_deeper_networks_at_once_are_identify_circuit_for_each(act, target, hidden, n, monkeypatch):
    """Two hidden layers and more, solved or not; nearly all are decided in the batch itself."""
    alone, original = [], _summary._alone
    monkeypatch.setattr(
        _summary, "_alone", lambda *asked: alone.append(asked[1]) or original(*asked)
    )
    config = TrainConfig(act_fn=act, max_steps=500)
    population = train_population(target, n, hidden=hidden, config=config)
    found = identify_many(population.__getitem__, population.weights, population.cfg)
    assert [k for k in range(n) if not same(found[k], one_by_one(population, k))] == []
    assert len(alone) < 0.2 * n


def planted(layers, how):
    """Two hidden layers of weights, with a first and second unit that are one, or idle."""
    planted = [(weight.clone(), bias.clone()) for weight, bias in layers]
    for (weight, bias), (after, _) in pairwise(planted):
        match how:
            case "copies":
                weight[:, 1], bias[:, 1] = 2 * weight[:, 0], 2 * bias[:, 0]
            case "complements":
                weight[:, 1], bias[:, 1] = -weight[:, 0], -bias[:, 0]
            case "a cancelling pair":
                weight[:, 1], bias[:, 1], after[..., 1] = weight[:, 0], bias[:, 0], -after[..., 0]
            case "a unit that leads nowhere":
                after[..., 1] = 0
            case "a constant unit":
                weight[:, 1], bias[:, 1] = 0, 20
    return planted


@pytest.mark.parametrize("act", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize(
    "how",
    [
        "nothing",
        "copies",
        "complements",
        "a cancelling pair",
        "a unit that leads nowhere",
        "a constant unit",
    ],
)
def test_deeper_networks_with_copies_and_idle_units(act, how):
    """Random networks, held against what most of them compute: as one by one, whatever is asked."""
    generator = torch.Generator().manual_seed(1)
    layers = [
        (
            4 * torch.randn(2000, after, before, generator=generator),
            4 * torch.randn(2000, after, generator=generator),
        )
        for before, after in pairwise((2, 3, 3, 1))
    ]
    layers = planted(layers, how)
    cfg = HookedMLPConfig(d_hidden=(3, 3), act_fn=act)
    values = HookedMLP(cfg).rows()
    for number, (weight, bias) in enumerate(layers):
        values = cfg.activation(number)(values @ weight.mT + bias[:, None])
    tables = [tuple(table) for table in (values[..., 0] > 0).int().tolist()]
    commonest = Counter(table for table in tables if len(set(table)) == 2).most_common(1)[0][0]
    chosen = [k for k, table in enumerate(tables) if table == commonest][:6]
    cfg = replace(cfg, target=BooleanFunction(2, (commonest,)))
    some = [(weight[chosen], bias[chosen]) for weight, bias in layers]
    models = [
        HookedMLP(cfg).with_weights([(weight[k], bias[k]) for weight, bias in some])
        for k in range(len(chosen))
    ]
    gates = set()
    for asked in ({}, {"require": "single", "min_margin": 0.2}):
        found = identify_many(models.__getitem__, some, cfg, **asked)
        for one, model in zip(found, models, strict=True):
            assert same(one, summarize(identify_circuit(model, with_evidence=False, **asked)))
            gates.add(one.gates)
    assert len(gates) > 1


def test_what_is_not_covered_goes_one_by_one():
    """Direct connections, and weights that are not finite: the first are identified, the second
    say why not.
    """
    config = TrainConfig(act_fn="tanh", max_steps=500, direct=True)
    direct = train_population("XOR", 8, hidden=2, config=config)
    found = identify_many(direct.__getitem__, direct.weights, direct.cfg)
    assert [k for k, one in enumerate(found) if not same(one, one_by_one(direct, k))] == []
    broken = train_population("XOR", 3, config=SHORT)
    broken.weights[0][0][1] = torch.nan
    line = census(broken).iloc[1]
    assert line["verdict"] == "not_tried"
    assert "finite" in line["why_not"]
    assert line["n_readings"] is pd.NA
    assert line["n_circuits"] is line["n_circuits_single"] is line["n_circuits_joint"] is pd.NA
    assert line["proof_level"] == ""


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


OLDER = [
    *("seed", "solved", "steps", "loss", "verdict", "why_not", "gates", "family", "signature"),
    *("n_readings", "margins", "weights"),
]
"""The columns of a census of format 2."""


def of_format_2(networks, path):
    """Write the columns that format 2 had, as it wrote them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_census(networks, path)
    table = pq.read_table(path).select(OLDER)
    pq.write_table(table.replace_schema_metadata({"xor_mi_census_format": "2"}), path)
    assert pa.types.is_int32(table.schema.field("n_readings").type)


def test_an_older_census_loads_and_says_what_it_lacks(population, networks, tmp_path):
    """A file of format 2 gives the columns it has, and its networks; asked for what it lacks it
    says so, and so does a table that needs it. It is not read together with a newer one.
    """
    path = tmp_path / "old.parquet"
    of_format_2(networks, path)
    old = read_census(path)
    pd.testing.assert_frame_equal(old, networks[OLDER])
    assert read_census(path, columns=["solved"])["solved"].sum() == networks["solved"].sum()
    with pytest.raises(XorMiError, match="of format 2, .* has no n_circuits, proof_level; read it"):
        read_census(path, columns=["n_circuits", "seed", "proof_level"])
    with pytest.raises(
        XorMiError, match="this census has no n_circuits, n_circuits_single, n_circ"
    ):
        verdict_shares(old)
    again = census(population_from_census(old.head(20), population.cfg))
    pd.testing.assert_frame_equal(again, networks.head(20))
    write_census(networks.head(2), tmp_path / "new.parquet")
    with pytest.raises(XorMiError, match="new.parquet' is a census of format 3 and old.parquet of"):
        read_census(tmp_path)


def test_requirements_do_not_mix(tmp_path):
    """Networks identified with other requirements are another census: not written into one file,
    not read from one folder, not resumed, not counted in one table.
    """
    population = train_population("XOR", 6, hidden=3, config=SHORT)
    joint, single = census(population), census(population, require="single", min_margin=0.25)
    assert set(joint["require"]) == {"joint"} != set(single["require"])
    assert set(joint["min_margin"]) == {0.01}
    assert set(single["min_margin"]) == {0.25}
    both = pd.concat([joint[:3], single[3:]])
    for ask in (
        lambda: write_census(both, tmp_path / "both.parquet"),
        lambda: family_shares(both),
        lambda: verdict_shares(both),
    ):
        with pytest.raises(XorMiError, match="require='joint', min_margin=0.01, others with requi"):
            ask()
    write_census(joint[:3], tmp_path / "a.parquet")
    write_census(single[3:], tmp_path / "b.parquet")
    with pytest.raises(XorMiError, match="require='(joint|single)', .* others with require='"):
        read_census(tmp_path, columns=["seed"])

    asked = {"n_networks": 6, "hidden": 3, "config": SHORT, "n_jobs": 1}
    folder = run_census(directory=tmp_path / "c", require="single", min_margin=0.25, **asked)
    pd.testing.assert_frame_equal(read_census(folder), single)
    message = "require: 'single' there, 'joint' asked; min_margin: 0.25 there, 0.01 asked"
    with pytest.raises(XorMiError, match=message):
        run_census(directory=folder, **asked)


def test_shares_of_verdicts_are_counts_over_the_solved(networks):
    """Each line of `verdict_shares` counted by hand on a table made for it, unsolved networks left
    out, those that were not tried in a line of their own; intervals hold the shares; and of trained
    2-2-1 networks, all have one circuit, proved.
    """
    made = pd.DataFrame(
        {
            "solved": [True] * 5 + [False],
            "n_readings": pd.array([1, 2, 3, 4, None, 0], dtype="Int32"),
            "n_circuits": pd.array([1, 1, 2, 3, None, 0], dtype="Int32"),
            "n_circuits_single": pd.array([1, 1, 1, 0, None, 0], dtype="Int32"),
            "n_circuits_joint": pd.array([1, 1, 0, 0, None, 0], dtype="Int32"),
        }
    )
    shares = verdict_shares(made).set_index("counted")
    assert shares["n_networks"].to_dict() == {
        "one_reading": 1,
        "one_circuit": 2,
        "one_single": 3,
        "one_joint": 2,
        "none_joint": 2,
        "not_tried": 1,
    }
    assert shares["share"].tolist() == [0.2, 0.4, 0.6, 0.4, 0.4, 0.2]
    assert ((shares["ci_low"] < shares["share"]) & (shares["share"] < shares["ci_high"])).all()
    trained = verdict_shares(networks).set_index("counted")["n_networks"]
    assert trained["one_joint"] == networks["solved"].sum() > 0
    assert verdict_shares(networks[~networks["solved"]])["share"].isna().all()


def test_a_circuit_that_is_not_proved_is_no_family():
    """Of 2-3-1 networks of tanh many have a family by a circuit that interchange contradicts; in
    shares and by starts they are counted apart, and all solved networks are counted.
    """
    config = TrainConfig(act_fn="tanh", max_steps=500)
    networks = census(train_population("XOR", 60, hidden=3, config=config))
    approximate = networks["verdict"] == "approximate"
    assert approximate.sum() > 10
    assert not networks[approximate]["family"].str.contains("proved").any()
    for by in ("family", "gates", "signature"):
        shares = family_shares(networks, by=by).set_index(by)["n_networks"]
        assert shares["(no circuit proved)"] == approximate.sum()
        assert shares.sum() == networks["solved"].sum()
        expected = networks[networks["verdict"] == "identified"][by].value_counts()
        assert shares.drop("(no circuit proved)").to_dict() == expected.to_dict()
        assert (counted_as(networks, by=by) == "(no circuit proved)").equals(approximate)
    assert counted_as(networks, by="verdict").equals(networks["verdict"])
    ends = outcome_by_initial_signs(networks, (2, 3, 1)).groupby("family")["n_in_family"].sum()
    assert ends["(no circuit proved)"] == approximate.sum()


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
    with pytest.raises(XorMiError, match="seed: 5 there, 6 asked"):
        run_census(config=SHORT, directory=folder, n_networks=230, seed=6, shard_size=100)


def test_a_plan_names_later_settings_only_where_they_matter(tmp_path):
    """An ordinary plan is as it was before there were options, so an older census is resumed; one
    with options is another census, and is resumed itself.
    """
    asked = {"n_networks": 2, "n_jobs": 1}
    folder = run_census("a ^ b ^ c", config=SHORT, directory=tmp_path / "plain", **asked)
    plan = json.loads((folder / "_plan.json").read_text(encoding="utf-8"))
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
import os
from xor_mi.population import run_census
from xor_mi.training import TrainConfig
if __name__ == "__main__":
    for _ in range(2):
        child = os.fork()
        if child == 0:
            run_census(
                n_networks=4000, directory={out!r}, config=TrainConfig(max_steps=250), shard_size=500, n_jobs=1
            )
            os._exit(0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Two processes, one after the other, of a parent that has imported torch once; of each its number
and its exit status.
"""


def test_killed_twice_it_resumes_and_loses_nothing(tmp_path):
    """SIGKILL at a random moment of a random shard, twice; the resumed census equals one that
    nobody disturbed, row for row.
    """
    out, chance = tmp_path / "killed", random.Random(3)
    script = tmp_path / "run.py"
    script.write_text(RUN.format(out=str(out)), encoding="utf-8")
    killed = []
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        for wanted in (chance.randint(1, 2), chance.randint(3, 5)):
            child = int(parent.stdout.readline())
            while len(list(out.glob("*.parquet"))) < wanted:
                os.kill(child, 0)  # raises where it is there no longer
                time.sleep(0.02)
            time.sleep(chance.random() * 0.05)
            os.kill(child, signal.SIGKILL)
            killed.append((int(parent.stdout.readline()), len(list(out.glob("*.parquet")))))
    assert all(status == -signal.SIGKILL and wanted < 8 for status, wanted in killed), killed
    run_census(config=SHORT, directory=out, n_networks=4000, shard_size=500, n_jobs=1)
    pd.testing.assert_frame_equal(
        read_census(out), census(train_population("XOR", 4000, config=SHORT))
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
        (lambda path: run_census(directory=path, shard_size=10**6), "1,000,000 .* GB.*--shard"),
        (lambda path: run_census(directory=path, hidden=10**7), "2-10000000-1 .* GB.*narrower"),
        (lambda path: run_census(directory=path, target="XORR"), "no gate 'XORR'"),
        (lambda path: run_census(directory=path, require="all"), "no level of proof 'all'"),
        (
            lambda path: run_census(directory=path, min_margin=2),
            "min_margin is 2; give a fraction of",
        ),
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
    said = " ".join(printed.out.split())
    assert f"200 networks in {tmp_path / 'c'}, {solved} solved XOR" in said
    assert "OR & ~AND" in printed.out
    assert "one circuit, by joint interchange" in said
    for words in (
        [*common, "--seed", "9"],
        [*common, "--require", "single"],
        [*common, "--min-margin", "0.2"],
        ["--require", "all"],
        ["--min-margin", "2"],
        ["--act", "rel"],
        ["--jobs", "0"],
        ["--hidden", "0"],
    ):
        status, printed = run(*words)
        assert (status, printed.err.count("\n")) == (2, 1), words
