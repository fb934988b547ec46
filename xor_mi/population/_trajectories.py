"""many networks -> when what happened to each while it trained; and what they were on the way."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from xor_mi.circuits import MIN_MARGIN, ProofLevel, Summary, identify_many
from xor_mi.circuits._required import Required
from xor_mi.errors import require_kind, unknown
from xor_mi.kinds import CheckpointSteps
from xor_mi.metrics import share_interval
from xor_mi.population._census import CIRCUIT_COLUMNS, ENGINE, NO_GATES, NOT_TRIED, counted_as
from xor_mi.population._events import events_of_all
from xor_mi.population._identified import (
    WRONG,
    Identities,
    identified,
    looks_at_every_step,
)
from xor_mi.population._paths import Paths, facts_of, networks_of
from xor_mi.population._trajectory import require_every_step, steps_of, trained_rows_of
from xor_mi.progress import progress_bar
from xor_mi.training import Population, replay
from xor_mi.training._population import solved_by

TRAJECTORY_COLUMNS = (
    *("seed", "solved", "steps", "family"),
    *("event", "unit", "step", "before", "after"),
)
"""The columns of a table of trajectories, in their order."""

BYTES_AT_ONCE = 2**27
"""So many networks are looked at together that what is known of all their steps takes no more."""

UNTRIED = Summary(
    verdict=None,
    n_readings=None,
    n_circuits=None,
    n_circuits_single=None,
    n_circuits_joint=None,
)
"""Of a network whose weights are not finite."""

COUNTED = ("verdict", *CIRCUIT_COLUMNS)
"""What `gates_over_time` counts."""


def trajectories(
    population: Population,
    *,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    every_step: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """One line per network and event: when what happened to it while it trained.

    All are trained again, bit for bit, and looked at at every step, as `trajectory` looks at one.
    Every network has at least one line, its end: 'finished' or 'out_of_steps'.

    Columns: seed; solved, steps and family of the finished network, as `census` has them; event
    (one of `EVENTS`), unit ("h0.1"; "" for the whole network), step (optimiser steps taken),
    before, after; see `Event`. The events of a network follow each other in the order of steps.

    Args:
        population: what `train_population` returned.
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        every_step: as in `trajectory`: identify every step also of networks that are identified one
            by one.
        progress: show a bar when it takes over two seconds.

    Raises:
        XorMiError: a population that does not say how it was trained, or whose engine is not here.

    >>> from xor_mi.training import train_population
    >>> happened = trajectories(train_population("XOR", 8, engine="torch"))
    >>> happened[happened["event"] == "first_solved"][["seed", "step"]].values.tolist()
    [[2, 36], [5, 58]]
    """
    require_kind("population", population, Population, give="what train_population returns")
    require_every_step(every_step)
    require, min_margin = Required.of(require, min_margin)
    every_step = every_step or looks_at_every_step(population.cfg)
    identities = Identities(sum(population.cfg.d_hidden))
    lines: list[tuple[object, ...]] = []
    bar = progress_bar(
        doing="trajectories", unit="network", total=len(population), progress=progress
    )
    with bar:
        for numbers in _chunks(population):
            # every step of a network that ended before the last one needs no step after that
            last = int(population.steps[list(numbers)].max())
            again = replay(population, numbers, checkpoints=range(last + 1), progress=False)
            paths = Paths.of(again)
            facts = facts_of(paths.flat, paths.cfg, min_margin=min_margin)
            codes = identified(
                paths,
                facts,
                identities,
                require=require,
                min_margin=min_margin,
                every_step=every_step,
                report=lambda _: None,
            )
            happened = events_of_all(
                paths, facts, codes, identities.known, trained=trained_rows_of(population)
            )
            families = [identities.known[code].family for code in codes[paths.last]]
            # as `census` has it of a network that cannot be identified
            is_finite = again.flat.isfinite().all(1).numpy()
            ends = zip(
                again.seeds.tolist(),
                again.solved.tolist(),
                again.steps.tolist(),
                np.where(is_finite, families, "").tolist(),
                strict=True,
            )
            for end, events in zip(ends, happened, strict=True):
                for one in events:
                    lines.append((*end, one.event, one.unit, one.step, one.before, one.after))
            bar.update(len(numbers))
    found = pd.DataFrame(lines, columns=list(TRAJECTORY_COLUMNS))
    found.attrs[ENGINE] = population.engine
    return found


def _chunks(population: Population) -> Iterator[range]:
    """The networks in parts that are looked at together."""
    cfg = population.cfg
    n_values = 2**cfg.d_in * sum(cfg.d_hidden)
    # per state: weights where they were kept and as a path, ranks of both kinds, rows, a code
    n_bytes = 3 * population.flat.element_size() * population.flat.shape[1]
    n_bytes += 4 * n_values + 2**cfg.d_in + sum(cfg.d_hidden) + 16
    n_states = max(1, int(population.steps.max())) + 1
    at_once = max(1, BYTES_AT_ONCE // (n_bytes * n_states))
    for first in range(0, len(population), at_once):
        yield range(first, min(first + at_once, len(population)))


def gates_over_time(
    population: Population,
    *,
    checkpoints: CheckpointSteps = "log",
    by: str = "family",
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    progress: bool = True,
) -> pd.DataFrame:
    """What share of the networks is of each family, checkpoint by checkpoint.

    All are trained again, bit for bit. A network that has finished stands at later checkpoints as
    it finished. Networks that decide some row wrong at a checkpoint count as 'not_computing', and
    those of which no circuit is proved as far as was required as in `family_shares`.

    Columns: step; `by`; n_networks; share (of all networks); ci_low, ci_high (95 %
    Clopper-Pearson). Every value that occurs at some checkpoint has a line at each.

    Args:
        population: what `train_population` returned.
        checkpoints: the steps to look at: their numbers, "log" or "every 10".
        by: "family", "verdict", "gates" (sets of them) or "signature".
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        progress: show a bar when it takes over two seconds.

    Raises:
        XorMiError: a population that does not say how it was trained, no such checkpoints, or
            nothing of that name to count.

    >>> from xor_mi.training import train_population
    >>> population = train_population("XOR", 8, engine="torch")
    >>> shares = gates_over_time(population, checkpoints=[0, 50, 2000], by="verdict")
    >>> solved = shares[shares["verdict"] == "identified"]
    >>> solved[["step", "n_networks"]].values.tolist()
    [[0, 0], [50, 1], [2000, 2]]
    """
    require_kind("population", population, Population, give="what train_population returns")
    if not isinstance(by, str) or by not in COUNTED:
        raise unknown("column", by, COUNTED, where="counted are")
    require, min_margin = Required.of(require, min_margin)
    again = replay(population, checkpoints=_asked(population, checkpoints), progress=progress)
    steps = again.checkpoints.steps
    numbers, summaries = _at_checkpoints(again, require, min_margin, progress=progress)
    table = pd.DataFrame(
        {
            "verdict": [one.verdict or NOT_TRIED for one in summaries],
            "family": [one.family for one in summaries],
            "gates": [one.gate_set for one in summaries],
            "signature": [one.signature for one in summaries],
        }
    )
    counted = counted_as(table, by=by).replace("", NO_GATES)
    at_checkpoints = counted.to_numpy(dtype=str)[numbers]  # [checkpoint, network]
    values, codes = np.unique(at_checkpoints, return_inverse=True)
    lines = []
    for step, of_step in zip(steps, codes.reshape(numbers.shape), strict=True):
        counts = np.bincount(of_step, minlength=len(values))
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            share, low, high = share_interval(count, len(population))
            line = {"step": step, by: value, "n_networks": count}
            lines.append(line | {"share": share, "ci_low": low, "ci_high": high})
    return pd.DataFrame(lines)


def _asked(population: Population, checkpoints: CheckpointSteps) -> CheckpointSteps:
    """The checkpoints as step numbers, where the population says how many steps there are."""
    config = population.config
    return checkpoints if config is None else steps_of(checkpoints, config)


def _at_checkpoints(
    population: Population, require: ProofLevel, min_margin: float, *, progress: bool
) -> tuple[Int[np.ndarray, "checkpoint network"], list[Summary]]:
    """What each network is at each checkpoint: the number of a summary, and the summaries.

    A network that decides some row wrong needs no identification, nor does one that has finished a
    second time.
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
