"""many networks -> what happened to each while it trained, and when; their circuits over time."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from xor_mi.circuits import MIN_MARGIN, ProofLevel, Summary, identify_many
from xor_mi.circuits._required import Required
from xor_mi.errors import as_path, require_kind, unknown
from xor_mi.kinds import CheckpointSteps, PathLike
from xor_mi.metrics import share_interval
from xor_mi.population._census import ENGINE, NOT_TRIED, counted_as
from xor_mi.population._events import events_of_all
from xor_mi.population._identified import (
    WRONG,
    Identities,
    identified,
    looks_at_every_step,
)
from xor_mi.population._paths import Paths, facts_of, networks_of
from xor_mi.population._trajectory import require_every_step, steps_of, trained_rows_of
from xor_mi.population._trajectory_files import TRAJECTORY_COLUMNS, in_folder, plan_of
from xor_mi.progress import progress_bar
from xor_mi.training import Population, replay
from xor_mi.training._population import solved_by

BYTES_AT_ONCE = 2**27
"""Bytes: as many networks are looked at together as need no more for all their steps."""

UNTRIED = Summary(
    verdict=None,
    n_readings=None,
    n_circuits=None,
    n_circuits_single=None,
    n_circuits_joint=None,
)
"""The summary of a network whose weights are not finite."""

_ASKED_OF: dict[str, Callable[[Summary], str]] = {
    "family": attrgetter("family"),
    "verdict": lambda summary: summary.verdict or NOT_TRIED,
    "gates": attrgetter("gate_set"),
    "signature": attrgetter("signature"),
}
"""What `gates_over_time` counts -> how to get it from a summary."""


def trajectories(
    population: Population,
    *,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    every_step: bool = False,
    directory: PathLike | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """One line per network and event: what happened to it while it trained, and when.

    All networks are trained again, bit for bit, and every step is looked at, as `trajectory` does
    for one network. Every network has at least one line, its end: 'finished' or 'out_of_steps'.

    Columns: seed; solved, steps and family of the finished network, as in `census`; event (one of
    `EVENTS`), unit ("h0.1"; "" for the whole network), step (optimiser steps taken), before, after;
    see `Event`. The events of a network follow each other in the order of steps.

    Args:
        population: what `train_population` returned.
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        every_step: as in `trajectory`: identify every step, even of networks that are identified
            one by one.
        directory: a folder for the table, with one Parquet file for every 1,000 networks; made if
            missing. A call with the same networks, or with more from the same first seed, checks
            every byte that is there and makes only what is missing.
        overwrite: replace damaged files in that folder, and write beside foreign files.
        progress: show a bar if it takes over half a second.

    Raises:
        XorMiError: a population that does not say how it was trained, or whose engine this machine
            does not have; a folder that cannot be written, or that holds other trajectories, a
            damaged part or files that xor-mi did not write.

    >>> from xor_mi.training import train_population
    >>> happened = trajectories(train_population("XOR", 8, engine="torch"))
    >>> happened[happened["event"] == "first_solved"][["seed", "step"]].values.tolist()
    [[2, 36], [5, 58]]
    """
    require_kind("population", population, Population, give="what train_population returns")
    require_every_step(every_step)
    require, min_margin = Required.of(require, min_margin)
    every_step = every_step or looks_at_every_step(population.cfg)
    find = partial(
        _lines_of, population, require=require, min_margin=min_margin, every_step=every_step
    )
    if directory is not None:
        plan = plan_of(population, require=require, min_margin=min_margin, every_step=every_step)
        folder = as_path("directory", directory)
        make = partial(_found, find, lambda _: None)
        return in_folder(folder, plan, make, overwrite=overwrite, progress=progress)
    bar = progress_bar(
        doing="trajectories", unit="network", total=len(population), progress=progress
    )
    with bar:
        found = _found(find, bar.update, range(len(population)))
    found.attrs[ENGINE] = population.engine
    return found


_Line = tuple[object, ...]


def _found(
    find: Callable[[range], tuple[list[_Line], int]],
    report: Callable[[int], object],
    numbers: range,
) -> pd.DataFrame:
    """The table of these networks, part by part.

    Args:
        find: numbers of networks -> the lines of the first of them, and how many networks these
            are.
        report: called with the number of networks just done.
    """
    lines: list[_Line] = []
    while numbers:
        of_part, n_done = find(numbers)
        lines += of_part
        report(n_done)
        numbers = numbers[n_done:]
    return pd.DataFrame(lines, columns=list(TRAJECTORY_COLUMNS)).astype({"steps": "int32"})


def _lines_of(
    population: Population,
    numbers: range,
    *,
    require: ProofLevel,
    min_margin: float,
    every_step: bool,
) -> tuple[list[_Line], int]:
    """The lines of as many of these networks as are looked at together, and their number."""
    numbers = numbers[: _at_once(population)]
    # the last step that any of these networks needs
    last = int(population.steps[list(numbers)].max())
    again = replay(population, numbers, checkpoints=range(last + 1), progress=False)
    paths = Paths.of(again)
    facts = facts_of(paths.flat, paths.cfg, min_margin=min_margin)
    identities = Identities(sum(population.cfg.d_hidden))
    codes = identified(
        paths,
        facts,
        identities,
        require=require,
        min_margin=min_margin,
        every_step=every_step,
        report=lambda _: None,
    )
    trained = trained_rows_of(population)
    happened = events_of_all(paths, facts, codes, identities.known, trained=trained)
    families = [identities.known[code].family for code in codes[paths.last]]
    # as in `census` for a network that cannot be identified
    is_finite = again.flat.isfinite().all(1).numpy()
    ends = zip(
        again.seeds.tolist(),
        again.solved.tolist(),
        again.steps.int().tolist(),
        np.where(is_finite, families, "").tolist(),
        strict=True,
    )
    lines: list[_Line] = []
    for end, events in zip(ends, happened, strict=True):
        for one in events:
            lines.append((*end, one.event, one.unit, one.step, one.before, one.after))
    return lines, len(numbers)


def _at_once(population: Population) -> int:
    """How many networks are looked at together."""
    cfg = population.cfg
    n_values = 2**cfg.d_in * sum(cfg.d_hidden)
    # per state: its weights twice (checkpoint and path), ranks of both kinds, rows, a code
    n_bytes = 3 * population.flat.element_size() * population.flat.shape[1]
    n_bytes += 4 * n_values + 2**cfg.d_in + sum(cfg.d_hidden) + 16
    n_states = max(1, int(population.steps.max())) + 1
    return max(1, BYTES_AT_ONCE // (n_bytes * n_states))


def gates_over_time(
    population: Population,
    *,
    checkpoints: CheckpointSteps = "log",
    by: str = "family",
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    progress: bool = True,
) -> pd.DataFrame:
    """The share of the networks that have each family, checkpoint by checkpoint.

    All networks are trained again, bit for bit. A network that has finished keeps its weights at
    later checkpoints. Networks that decide some row wrong at a checkpoint count as 'not_computing';
    networks of which no circuit is proved to the required level count as in `family_shares`.

    Columns: step; `by`; n_networks; share (of all networks); ci_low, ci_high (95 %
    Clopper-Pearson). Every value that occurs at some checkpoint has a line at each.

    Args:
        population: what `train_population` returned.
        checkpoints: the steps to look at: their numbers, "log" or "every 10".
        by: what to count: "family", "verdict", "gates" (sets of them) or "signature".
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        progress: show a bar if it takes over half a second.

    Raises:
        XorMiError: a population that does not say how it was trained, checkpoints that do not
            exist, or a `by` that is none of these.

    >>> from xor_mi.training import train_population
    >>> population = train_population("XOR", 8, engine="torch")
    >>> shares = gates_over_time(population, checkpoints=[0, 50, 2000], by="verdict")
    >>> solved = shares[shares["verdict"] == "identified"]
    >>> solved[["step", "n_networks"]].values.tolist()
    [[0, 0], [50, 1], [2000, 2]]
    """
    require_kind("population", population, Population, give="what train_population returns")
    if not isinstance(by, str) or by not in _ASKED_OF:
        raise unknown("column", by, _ASKED_OF, where="counted are")
    require, min_margin = Required.of(require, min_margin)
    again = replay(population, checkpoints=_asked(population, checkpoints), progress=progress)
    steps = again.checkpoints.steps
    numbers, summaries = _at_checkpoints(again, require, min_margin, progress=progress)
    counted = _counted(summaries, by)
    codes, values = pd.factorize(counted, sort=True)
    # [checkpoint, value]
    counts = np.stack([np.bincount(codes[one], minlength=len(values)) for one in numbers])
    lines = []
    # values that occur at no checkpoint come from summaries that stand for all networks
    for value, of_value in zip(values, counts.T, strict=True):
        if not of_value.any():
            continue
        for step, count in zip(steps, of_value.tolist(), strict=True):
            share, low, high = share_interval(count, len(population))
            line = {"step": step, by: value, "n_networks": count}
            lines.append(line | {"share": share, "ci_low": low, "ci_high": high})
    return pd.DataFrame(lines).sort_values("step", kind="stable", ignore_index=True)


def _counted(summaries: Sequence[Summary], by: str) -> pd.Series:
    """What each of these summaries counts as."""
    of_all = {
        "verdict": [one.verdict or NOT_TRIED for one in summaries],
        by: [_ASKED_OF[by](one) for one in summaries],
    }
    return counted_as(pd.DataFrame(of_all), by=by)


def _asked(population: Population, checkpoints: CheckpointSteps) -> CheckpointSteps:
    """The checkpoints as step numbers, if the population says how many steps there are."""
    config = population.config
    return checkpoints if config is None else steps_of(checkpoints, config)


def _at_checkpoints(
    population: Population, require: ProofLevel, min_margin: float, *, progress: bool
) -> tuple[Int[np.ndarray, "checkpoint network"], list[Summary]]:
    """The number of each network's summary at each checkpoint, and the summaries.

    A network that decides some row wrong is not identified, and a finished network is identified
    only once.
    """
    kept, cfg = population.checkpoints, population.cfg
    before = torch.tensor([-1, *kept.steps[:-1]])
    is_new = before[:, None] < population.steps  # [checkpoint, network]
    is_new[0] = True
    flat = kept.flat[is_new]
    is_finite = flat.isfinite().all(1)
    is_right = solved_by(flat.T.contiguous(), cfg) & is_finite
    networks = networks_of(flat[is_right], cfg)
    found = identify_many(
        networks.__getitem__,
        networks.weights,
        cfg,
        require=require,
        min_margin=min_margin,
        progress=progress,
    )
    number = torch.where(is_finite, 0, 1)
    number[is_right] = torch.arange(len(found)) + 2
    numbers = torch.zeros(is_new.shape, dtype=torch.long)
    numbers[is_new] = number
    for checkpoint in range(1, len(numbers)):
        new = is_new[checkpoint]
        numbers[checkpoint] = torch.where(new, numbers[checkpoint], numbers[checkpoint - 1])
    return numbers.numpy(), [WRONG, UNTRIED, *found]
