"""When many networks are solved, and of which family they are on the way."""

import pandas as pd
import pytest
import torch
from every_step import events_by_looking, values_on_rows

from xor_mi import census, train_population, trajectory
from xor_mi.circuits import identify_many
from xor_mi.errors import XorMiError
from xor_mi.metrics import share_interval
from xor_mi.population import (
    TRAJECTORY_COLUMNS,
    _trajectories,
    _trajectory_files,
    family_shares,
    gates_over_time,
    population_from_census,
    read_trajectories,
    trajectories,
    write_census,
    write_trajectories,
)
from xor_mi.population._paths import networks_of
from xor_mi.training import replay

QUIET = {"progress": False}
FAST = {"lr": 0.1, "max_steps": 90}


@pytest.fixture(scope="module")
def population():
    """Sixty networks."""
    return train_population("XOR", 60, engine="torch", **FAST, **QUIET)


@pytest.fixture(scope="module")
def happened(population):
    """Their trajectories."""
    return trajectories(population, **QUIET)


def test_the_events_of_each_network_are_those_of_its_own_trajectory(population, happened):
    """Line by line, for solved and for others; every network has its end."""
    assert tuple(happened.columns) == TRAJECTORY_COLUMNS
    assert happened["seed"].unique().tolist() == list(range(60))
    for seed in [*population.solved.nonzero().flatten().tolist()[:5], 0, 1]:
        alone = trajectory("XOR", seed, checkpoints=[90], **FAST, **QUIET).events()
        of_network = happened.loc[happened["seed"] == seed, list(alone.columns)]
        pd.testing.assert_frame_equal(of_network.reset_index(drop=True), alone)


def test_finished_networks_are_those_of_the_census(population, happened):
    """Solved, steps and family, bit for bit, by either engine."""
    networks = census(population, **QUIET).set_index("seed")
    for column in ("solved", "steps", "family"):
        ends = happened.groupby("seed")[column].first()
        assert ends.tolist() == networks[column].tolist()
    pytest.importorskip("numba")
    by_numba = train_population("XOR", 60, engine="numba", **FAST, **QUIET)
    found = trajectories(by_numba, **QUIET).groupby("seed")["family"].first()
    assert found.tolist() == census(by_numba, **QUIET)["family"].tolist()


def test_a_hundred_networks_at_every_single_step():
    """Their events are those of looking at every step by itself, where every network at every step
    is one of a population that was trained for so many steps.
    """
    every = train_population("XOR", 100, engine="torch", checkpoints="every 1", **FAST, **QUIET)
    networks = networks_of(every.checkpoints.flat.flatten(0, 1), every.cfg)
    summaries = identify_many(networks.__getitem__, networks.weights, networks.cfg, progress=False)
    values = values_on_rows(every.checkpoints.flat, every.cfg)  # [step, network, unit, row]
    found = trajectories(every, **QUIET)
    n_solved = 0
    for number in range(100):
        last = int(every.steps[number])
        families, readings = [], []
        for one in summaries[number : 100 * last + number + 1 : 100]:
            wrong = one.verdict == "not_computing"
            families.append(None if wrong else one.family if one.n_circuits else "")
            read = zip(one.gates, one.live, strict=True)
            gates = [gate if live else "idle" for gate, live in read]
            readings.append(gates if one.n_circuits else ["", ""])
        end = "finished" if every.losses[number] < 0.01 else "out_of_steps"
        expected = events_by_looking(values[: last + 1, number], families, readings)
        of_network = found.loc[found["seed"] == number, ["step", "event", "unit"]]
        assert set(of_network.itertuples(index=False, name=None)) == expected | {(last, end, "")}
        n_solved += families[-1] is not None
    assert n_solved > 10


@pytest.mark.as_a_user
def test_the_size_of_parts_changes_nothing(population, happened, monkeypatch):
    """Two networks at a time, and all together."""
    monkeypatch.setattr(_trajectories, "BYTES_AT_ONCE", 2 * 91 * 200)
    assert _trajectories._at_once(population) < 12
    pd.testing.assert_frame_equal(trajectories(population, **QUIET), happened)


def test_shares_at_checkpoints_are_counts_of_a_census_of_as_many_steps(population):
    """The same training with `max_steps` at the checkpoint, by `family_shares` and by hand."""
    shares = gates_over_time(population, checkpoints=[20, 90], **QUIET)
    for step in (20, 90):
        networks = census(
            train_population("XOR", 60, engine="torch", lr=0.1, max_steps=step, **QUIET), **QUIET
        )
        of_step = shares[shares["step"] == step].set_index("family")
        assert of_step["n_networks"].sum() == 60
        n_wrong = int((networks["verdict"] == "not_computing").sum())
        assert of_step["n_networks"]["not_computing"] == n_wrong
        assert tuple(of_step.loc["not_computing", ["share", "ci_low", "ci_high"]]) == (
            share_interval(n_wrong, 60)
        )
        expected = family_shares(networks).set_index("family")["n_networks"]
        found = of_step["n_networks"].drop("not_computing")
        assert found[found > 0].to_dict() == expected.to_dict()
    by_verdict = gates_over_time(population, checkpoints=[90], by="verdict", **QUIET)
    counts = census(population, **QUIET)["verdict"].value_counts()
    assert by_verdict.set_index("verdict")["n_networks"].to_dict() == counts.to_dict()


def test_a_network_that_is_not_finite_is_not_tried():
    """It diverges on the way; the census says the same of it."""
    population = train_population(
        "XOR", 3, engine="torch", lr=1e30, max_steps=5, loss_fn="mse", optimizer="sgd", **QUIET
    )
    assert not torch.isfinite(population.flat).all()
    networks = census(population, **QUIET)
    shares = gates_over_time(population, checkpoints=[0, 5], by="verdict", **QUIET)
    last = shares[shares["step"] == 5].set_index("verdict")["n_networks"]
    assert last["not_tried"] == (networks["verdict"] == "not_tried").sum()
    ends = trajectories(population, **QUIET).groupby("seed")["family"].first()
    assert ends.tolist() == networks["family"].tolist()


@pytest.fixture
def in_three_parts(monkeypatch):
    """Shards of twenty networks, and the numbers of those that are looked at."""
    monkeypatch.setattr(_trajectory_files, "SHARD_SIZE", 20)
    looked = []
    find = _trajectories._lines_of

    def counted(population, numbers, **asked):
        looked.append(numbers)
        if stop_at and len(looked) == stop_at[0]:
            raise KeyboardInterrupt
        return find(population, numbers, **asked)

    stop_at = []
    monkeypatch.setattr(_trajectories, "_lines_of", counted)
    return looked, stop_at


def test_a_folder_that_was_interrupted_goes_on(population, happened, in_three_parts, tmp_path):
    """Stopped in its second shard it keeps the first; the same call makes the other two, and one
    more call none. What comes out is what comes out without a folder.
    """
    looked, stop_at = in_three_parts
    stop_at.append(2)
    with pytest.raises(KeyboardInterrupt):
        trajectories(population, directory=tmp_path / "path", **QUIET)
    files = sorted(file.name for file in (tmp_path / "path").glob("*.parquet"))
    assert files == ["seeds-000000000000-000000000019.parquet"]
    with pytest.raises(XorMiError, match="2 of 3 shards are missing"):
        read_trajectories(tmp_path / "path")
    stop_at.clear()
    looked.clear()
    found = trajectories(population, directory=tmp_path / "path", **QUIET)
    assert looked == [range(20, 40), range(40, 60)]
    pd.testing.assert_frame_equal(found, happened)
    looked.clear()
    trajectories(population, directory=tmp_path / "path", **QUIET)
    assert looked == []
    pd.testing.assert_frame_equal(read_trajectories(tmp_path / "path"), happened)


def test_more_networks_come_to_a_folder_and_others_do_not(population, in_three_parts, tmp_path):
    """Thirty first, then sixty: only what is new is made. Fewer and others are refused."""
    looked, _ = in_three_parts
    half = train_population("XOR", 30, engine="torch", **FAST, **QUIET)
    trajectories(half, directory=tmp_path, **QUIET)
    looked.clear()
    trajectories(population, directory=tmp_path, **QUIET)
    assert looked == [range(30, 50), range(50, 60)]
    with pytest.raises(XorMiError, match="a folder can be extended, not shortened"):
        trajectories(half, directory=tmp_path, **QUIET)
    with pytest.raises(XorMiError, match="other trajectories .*min_margin: 0.01 there, 0.1 asked"):
        trajectories(population, directory=tmp_path, min_margin=0.1, **QUIET)


def test_what_is_damaged_or_foreign_is_refused(population, happened, in_three_parts, tmp_path):
    """A changed byte, another table, a census; overwrite makes a damaged part anew."""
    folder = tmp_path / "path"
    trajectories(population, directory=folder, **QUIET)
    part = folder / "seeds-000000000020-000000000039.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 1
    part.write_bytes(content)
    for ask in (
        lambda: read_trajectories(folder),
        lambda: trajectories(population, directory=folder),
    ):
        with pytest.raises(
            XorMiError, match="a part of this table of trajectories that is damaged"
        ):
            ask()
    looked, _ = in_three_parts
    looked.clear()
    again = trajectories(population, directory=folder, overwrite=True, **QUIET)
    assert looked == [range(20, 40)]
    pd.testing.assert_frame_equal(again, happened)
    write_trajectories(happened, folder / "more.parquet")
    with pytest.raises(XorMiError, match="holds more.parquet, which is not part"):
        read_trajectories(folder)
    write_census(census(population, **QUIET), tmp_path / "census.parquet")
    with pytest.raises(XorMiError, match="is not a table of trajectories"):
        read_trajectories(tmp_path / "census.parquet")
    with pytest.raises(XorMiError, match="no trajectories at"):
        read_trajectories(tmp_path / "nothing")
    with pytest.raises(XorMiError, match="no column family"):
        write_trajectories(happened.drop(columns="family"), tmp_path / "lacking.parquet")
    some = replay(population, [3, 5], checkpoints=[0], **QUIET)
    with pytest.raises(XorMiError, match="a folder holds networks with consecutive seeds"):
        trajectories(some, directory=tmp_path / "other", **QUIET)


@pytest.mark.unchecked
def test_bad_input(population):
    """Populations that cannot be trained again, and names that there are none of."""
    read = population_from_census(census(population, **QUIET), population.cfg)
    for ask in (trajectories, gates_over_time):
        with pytest.raises(XorMiError, match="does not say how it was trained"):
            ask(read)
        with pytest.raises(XorMiError, match="population is 3; give what train_population returns"):
            ask(3)
    with pytest.raises(XorMiError, match="no column 'famly'; .*did you mean 'family'"):
        gates_over_time(population, by="famly")
    with pytest.raises(XorMiError, match="a checkpoint is at step 91"):
        gates_over_time(population, checkpoints=[91])
    with pytest.raises(XorMiError, match="no level of proof"):
        trajectories(population, require="all")
