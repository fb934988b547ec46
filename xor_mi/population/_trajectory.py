"""target + seed -> how the circuit forms while the network trains: checkpoints and events.

Training is replayed bit for bit, so every step can be looked at: facts that need no identification
at each step, and the circuit wherever it may have changed (`_identified`). The finished network is
the one that `train` returns, or that `train_population` returns with the same engine.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import starmap
from math import isnan
from typing import NamedTuple, Unpack

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int

from xor_mi.circuits import (
    MIN_MARGIN,
    Circuit,
    ProofLevel,
    Summary,
    identify_circuit,
    identify_many,
)
from xor_mi.circuits._required import Required
from xor_mi.errors import XorMiError, shown, unknown
from xor_mi.finding import Finding, Listed, count_text, in_words, number_text
from xor_mi.kinds import CheckpointSteps, EngineName, Rows, Target, Widths
from xor_mi.margins import conditions
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.population._census import NOT_TRIED
from xor_mi.population._events import (
    EVENTS,
    Event,
    Identity,
    events_of_all,
    has_circuit,
    readings_of,
    unit_names,
)
from xor_mi.population._identified import Identities, identified, looks_at_every_step
from xor_mi.population._paths import VARIES, Facts, Paths, facts_of
from xor_mi.population._stuck import Stuck, stuck_in
from xor_mi.progress import progress_bar
from xor_mi.training import Init, Population, TrainConfig, TrainSettings, train_population
from xor_mi.training._checkpoints import Checkpoints, checkpoint_steps
from xor_mi.training._train import require_converged
from xor_mi.truth import BooleanFunction, as_row, row_name, row_number


class Moment(NamedTuple):
    """A network at one checkpoint.

    Attributes:
        step: optimiser steps taken.
        loss: the mean loss over the rows trained on.
        n_rows_right, n_trained_right, n_held_out_right: how many rows are decided right: of all
            rows, of those trained on, of the others.
        verdict: as in `census`.
        family: the family of the circuit, or what `census` has in its place.
        gates: one text per hidden unit: its gate, or "idle" for a unit that no output depends on;
            "" without a circuit.
        dead: for each hidden unit, whether it has the same value on all rows.
        margin: the smallest margin of a live unit's reading; None without a circuit.
        slack: the smallest distance of a decision to its threshold, in the output's units;
            negative where it is on the wrong side.
    """

    step: int
    loss: float
    n_rows_right: int
    n_trained_right: int
    n_held_out_right: int
    verdict: str
    family: str
    gates: tuple[str, ...]
    dead: tuple[bool, ...]
    margin: float | None
    slack: float

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the checkpoint among others."""
        return self._asdict()


class AtStep(NamedTuple):
    """The facts about a network at one step, checkpoint or not; see `Moment` for each."""

    n_rows_right: int
    n_trained_right: int
    n_held_out_right: int
    family: str
    gates: tuple[str, ...]
    dead: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Trajectory(Finding):
    """How one network and its circuit formed while it trained.

    Attributes:
        target: the function it was trained to compute.
        seed: the seed it was trained from.
        networks: step -> the network at that checkpoint.
        moments: the facts about it at each checkpoint.
        happened: all events, each with its exact step.
        by_step: the facts about it at every step, up to the one at which training ended.
        losses: the loss at each of these steps.
        trained_rows: names of the rows that it was trained on.
        model: the finished network.
        config: how it was trained.
        circuit: the circuit of the finished network; None if it cannot be identified.
        why_not: why it cannot be identified, otherwise "".
        every_step: whether every step with all rows right was identified, or only as many steps as
            it takes to find the changes.
    """

    target: BooleanFunction
    seed: int
    networks: Mapping[int, HookedMLP] = field(repr=False)
    moments: tuple[Moment, ...] = field(repr=False)
    happened: tuple[Event, ...] = field(repr=False)
    by_step: tuple[AtStep, ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    trained_rows: tuple[str, ...]
    model: HookedMLP = field(repr=False)
    config: TrainConfig = field(repr=False)
    circuit: Circuit | None = field(repr=False)
    why_not: str = ""
    every_step: bool = False

    @property
    def n_steps(self) -> int:
        """How many optimiser steps were taken."""
        return len(self.losses) - 1

    def frame(self) -> pd.DataFrame:
        """One line per checkpoint; see `Moment`.

        Columns step, loss, n_rows_right, n_trained_right, n_held_out_right, verdict, family, gates,
        dead, margin, slack.
        """
        return pd.DataFrame(self.moments, columns=list(Moment._fields))

    def events(self) -> pd.DataFrame:
        """One line per event, in the order of steps; see `Event` and `EVENTS`.

        Columns step, event, unit, before, after.
        """
        return pd.DataFrame(self.happened, columns=list(Event._fields))

    def conditions(self) -> pd.DataFrame:
        """One line per checkpoint and inequality that decides a row, with its slack.

        Columns step, and row, place, kind, inequality, numbers, value, slack, satisfied, pattern as
        `margins.conditions` returns them for the network at that checkpoint.
        """
        return self._conditions.copy()

    @cached_property
    def _conditions(self) -> pd.DataFrame:
        tables = []
        for step, network in self.networks.items():
            table = conditions(network, self.target).frame()
            table.insert(0, "step", step)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def stuck(self) -> Stuck | None:
        """What the finished network is stuck in, on the rows that it was trained on; or None.

        It is computed at the first access, by training from up to a hundred nudges, with a bar if
        that takes over half a second. None if the network decides these rows right, or if
        `stuck_in` refuses it: a smooth network, as with tanh, whose output stays at the threshold
        along a whole stretch of a weight.
        """
        return self._stuck_in(retrain=True)

    @cached_property
    def _stuck_kind(self) -> str:
        """The kind of what it is stuck in, without any training; "" if it is not stuck."""
        stuck = self._stuck_in(retrain=False)
        return "" if stuck is None else stuck.kind

    def _stuck_in(self, *, retrain: bool) -> Stuck | None:
        """What it is stuck in; with `retrain` also the nudge that frees it."""
        if self._is_fitted():
            return None
        try:
            return stuck_in(
                self.model,
                rows=self.trained_rows,
                config=self.config,
                retrain=retrain,
                progress=retrain,
            )
        except XorMiError:
            return None

    def _is_fitted(self) -> bool:
        """Whether the finished network is right on the rows that it was trained on."""
        goal = torch.tensor(self.target.tables).T  # [row, decision]
        numbers = [row_number(as_row(row, self.target.n_inputs)) for row in self.trained_rows]
        return bool((decisions(self.model, self.trained_rows) == goal[numbers]).all())

    def head(self) -> dict[str, object]:
        """What no line of the table says: target, seed, steps taken, rows trained on, events."""
        return {
            "target": self.target.name,
            "seed": self.seed,
            "n_steps": self.n_steps,
            "trained_rows": list(self.trained_rows),
            "events": dict(Counter(event.event for event in self.happened)),
            "every_step": self.every_step,
        }

    def step_of(self, event: str, unit: str | None = None) -> int | None:
        """The first step at which something happened; None if it never did.

        Args:
            event: one of `EVENTS`.
            unit: the hidden unit that it happened to, such as "h0.1"; by default any.

        Raises:
            XorMiError: an event or a unit that does not exist.
        """
        if not isinstance(event, str) or event not in EVENTS:
            raise unknown("event", event, EVENTS, where="events are")
        if unit is not None and unit not in self._units:
            raise unknown("hidden unit", unit, self._units, where="this network has")
        for one in self.happened:
            if one.event == event and unit in (None, one.unit):
                return one.step
        return None

    @property
    def _units(self) -> list[str]:
        """The names of the hidden units."""
        return unit_names(self.model.cfg)

    def __str__(self) -> str:
        lines = [f"seed {self.seed} and {self.target.name}: {self._outcome()}"]
        for unit in self._units:
            said = self._of_unit(unit)
            lines += [f"  {unit} {said}"] if said else []
        settled = [one for one in self.happened if one.event == "family_settles"]
        lines += [f"  The gates' family is {one.after} from step {one.step} on" for one in settled]
        if self._stuck_kind:
            lines.append(f"  it is stuck: {in_words(self._stuck_kind)}")
        if self.why_not:
            lines.append(f"  its circuit cannot be identified: {self.why_not}")
        return "\n".join(lines)

    def _outcome(self) -> str:
        """Whether and when all rows came right, and how training ended."""
        by_step = [one for one in self.happened if one.event in _OF_ROWS]
        loss = number_text(self.losses[-1], decimals=4)
        end = f"training ended at step {self.n_steps} (loss {loss})"
        fitted = self.step_of("first_fitted")
        n_trained = len(set(self.trained_rows))
        trained = "" if fitted is None else f"the {n_trained} rows trained on at step {fitted}, "
        if not by_step:
            return f"{trained}never all rows right; {end}"
        first, *later = by_step
        lost = sum(one.event == "solution_lost" for one in later)
        n_rows = 2**self.target.n_inputs
        if self.happened[-1].after != f"{n_rows} of {n_rows} rows":
            return (
                f"{trained}all rows right at step {first.step}, but not from step "
                f"{by_step[-1].step} on; {end}"
            )
        again = f", lost {count_text(lost, 'time')} since, and right at the end" if lost else ""
        return f"{trained}all rows right at step {first.step}{again}; {end}"

    def _of_unit(self, unit: str) -> str:
        """What a unit is read as at the end, and since when."""
        own = {one.event: one for one in self.happened if one.unit == unit}
        parts = []
        if "reading_last_changes" in own:
            settled, first = own["reading_last_changes"], own["reading_first_holds"]
            earlier = f" (first at step {first.step})" if first.step < settled.step else ""
            parts.append(f"acts as {settled.after} from step {settled.step} on{earlier}")
            if "reading_appears" in own:
                step = own["reading_appears"].step
                parts.append(
                    f"its values first separate the rows like {settled.after} at step {step}"
                )
        dies, revives = own.get("unit_dies"), own.get("unit_revives")
        if dies is not None and (revives is None or revives.step < dies.step):
            parts.append(f"is {dies.after} from step {dies.step} on")
        return "; ".join(parts)


_OF_ROWS = ("first_solved", "solution_lost", "solved_again")


def trajectory(
    target: Target | None = None,
    seed: int = 0,
    *,
    hidden: Widths | None = None,
    rows: Rows | None = None,
    n_inputs: int | None = None,
    init: Init | None = None,
    engine: EngineName = "torch",
    checkpoints: CheckpointSteps = "log",
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    every_step: bool = False,
    config: TrainConfig | None = None,
    progress: bool = True,
    **settings: Unpack[TrainSettings],
) -> Trajectory:
    """Train one network and follow it: its circuit at checkpoints, each event at its exact step.

    The finished network is bit for bit the one that `train` returns, or with the engine "numba" the
    one that `train_population` returns. `EVENTS` lists the events. Each has the exact step at which
    it happens: the values of units are looked at at every step, and the circuit at every step at
    which all rows are right. Networks that are identified one by one (wide ones, those with direct
    connections) are identified at fewer steps: at both ends of every stretch of steps in which no
    decision and no order of a unit's values changes, and every 16 steps within it; if two of these
    differ, halving finds the step of the change. A circuit that differs for fewer than 16 steps,
    while all orders stay, can be missed there; `every_step` misses nothing.

    Args:
        target, hidden, rows, n_inputs, init: as in `train`.
        engine: "torch", or "numba" for the networks that it trains.
        checkpoints: the steps to look at: their numbers, "log" or "every 10", as in `train`. Events
            do not depend on them.
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        every_step: identify every step at which all rows are right, even if networks are identified
            one by one.
        progress: show a bar if it takes over half a second.
        settings: any setting of a `TrainConfig`, in place of that of `config`.

    Raises:
        XorMiError: as in `train`; checkpoints that do not exist; a run that diverged.

    >>> found = trajectory("XOR", seed=29)
    >>> found.step_of("first_solved"), found.step_of("reading_appears", "h0.0")
    (60, 44)
    >>> found.moments[-1].gates, found.n_steps
    (('OR', 'AND'), 213)
    """
    config = TrainConfig.of(config, **settings)
    steps = steps_of(checkpoints, config)
    require_every_step(every_step)
    require, min_margin = Required.of(require, min_margin)
    population = train_population(
        target,
        1,
        hidden=hidden,
        seed=seed,
        config=config,
        n_inputs=n_inputs,
        rows=rows,
        init=init,
        engine=engine,
        checkpoints=range(config.max_steps + 1),
        progress=progress,
    )
    require_converged(population)
    paths = Paths.of(population)
    facts = facts_of(paths.flat, paths.cfg, min_margin=min_margin)
    identities = Identities(sum(paths.cfg.d_hidden))
    every_step = every_step or looks_at_every_step(paths.cfg)
    with progress_bar(doing="identifying", unit="step", progress=progress) as bar:
        codes = identified(
            paths,
            facts,
            identities,
            require=require,
            min_margin=min_margin,
            every_step=every_step,
            report=bar.update,
        )
    trained = trained_rows_of(population)
    (happened,) = events_of_all(paths, facts, codes, identities.known, trained=trained)
    # a finished network keeps its weights at later checkpoints
    states = np.minimum(steps, paths.last[0])
    at_checkpoints = paths.networks(states)
    circuit, why_not = _circuit(population[0], require, min_margin, progress=progress)
    # not None: it was just trained
    assert population.cfg.target is not None
    assert population.rows is not None
    return Trajectory(
        target=population.cfg.target,
        seed=int(population.seeds[0]),
        networks=Checkpoints(
            steps=steps,
            flat=at_checkpoints.flat[:, None],
            losses=paths.losses[torch.from_numpy(states)][:, None],
            network_at=at_checkpoints.__getitem__,
        ),
        moments=_moments(
            steps,
            states,
            at_checkpoints,
            paths,
            facts,
            trained=trained,
            require=require,
            min_margin=min_margin,
            progress=progress,
        ),
        happened=happened,
        by_step=_at_every_step(facts, [identities.known[code] for code in codes], trained),
        losses=tuple(paths.losses.tolist()),
        trained_rows=tuple(map(row_name, population.rows)),
        model=population[0],
        config=config,
        circuit=circuit,
        why_not=why_not,
        every_step=every_step,
    )


def steps_of(checkpoints: object, config: TrainConfig) -> tuple[int, ...]:
    """The checkpoints as step numbers.

    Raises:
        XorMiError: an empty list, or a function, which only `train` takes.
    """
    if not isinstance(checkpoints, str | Iterable):
        raise XorMiError(
            f"checkpoints is {shown(checkpoints)}; give step numbers such as [0, 10, 100], "
            "'log' or 'every 10' (a function that sees each network is for train)"
        )
    steps = checkpoint_steps(checkpoints, max_steps=config.max_steps)
    if not steps:
        raise XorMiError("checkpoints is empty; give step numbers, 'log' or 'every 10'")
    return steps


def require_every_step(every_step: object) -> None:
    """Refuse anything but True and False."""
    if not isinstance(every_step, bool):
        raise XorMiError(f"every_step is {shown(every_step)}; give True or False")


def trained_rows_of(population: Population) -> Bool[np.ndarray, " row"] | None:
    """Which of all rows the networks were trained on; None for all."""
    assert population.rows is not None  # not None: the population says how it was trained
    trained = np.zeros(2**population.cfg.d_in, dtype=bool)
    trained[[row_number(row) for row in population.rows]] = True
    return None if trained.all() else trained


def _circuit(
    model: HookedMLP, require: ProofLevel, min_margin: float, *, progress: bool
) -> tuple[Circuit | None, str]:
    """The circuit of the finished network, or None and why it cannot be identified."""
    try:
        found = identify_circuit(model, require=require, min_margin=min_margin, progress=progress)
    except XorMiError as error:
        return None, str(error)
    return found, ""


def _moments(
    steps: Sequence[int],
    states: Int[np.ndarray, " checkpoint"],
    networks: Population,
    paths: Paths,
    facts: Facts,
    *,
    trained: Bool[np.ndarray, " row"] | None,
    require: ProofLevel,
    min_margin: float,
    progress: bool,
) -> Listed[Moment]:
    """The facts about the network at each checkpoint.

    Args:
        states: its state in `paths` at each of these steps.
        networks: the same states as networks.
    """
    summaries = identify_many(
        networks.__getitem__,
        networks.weights,
        networks.cfg,
        require=require,
        min_margin=min_margin,
        progress=progress,
    )
    n_units = facts.units.shape[1]
    columns = zip(
        steps,
        paths.losses[torch.from_numpy(states)].tolist(),
        *_counts_of(facts.right[states], trained),
        [summary.verdict or NOT_TRIED for summary in summaries],
        [summary.family for summary in summaries],
        [readings_of(summary, n_units) for summary in summaries],
        map(tuple, (facts.units[states] != VARIES).tolist()),
        map(_smallest_margin, summaries),
        facts.slack[states].tolist(),
        strict=True,
    )
    return Listed(starmap(Moment, columns))


def _counts_of(
    right: Bool[np.ndarray, "state row"], trained: Bool[np.ndarray, " row"] | None
) -> tuple[list[int], list[int], list[int]]:
    """How many rows are right: of all rows, of those trained on, of the others."""
    is_trained = np.ones(right.shape[1], dtype=bool) if trained is None else trained
    parts = (right, right[:, is_trained], right[:, ~is_trained])
    of_all, of_trained, of_others = (part.sum(1).tolist() for part in parts)
    return of_all, of_trained, of_others


def _at_every_step(
    facts: Facts, identities: Sequence[Identity], trained: Bool[np.ndarray, " row"] | None
) -> tuple[AtStep, ...]:
    """The facts about one network at every step."""
    columns = zip(
        *_counts_of(facts.right, trained),
        [identity.family for identity in identities],
        [identity.readings for identity in identities],
        map(tuple, (facts.units != VARIES).tolist()),
        strict=True,
    )
    return tuple(starmap(AtStep, columns))


def _smallest_margin(summary: Summary) -> float | None:
    """The smallest margin of a live unit's reading; None without a circuit."""
    if not has_circuit(summary):
        return None
    margins = zip(summary.margins, summary.live, strict=True)
    return min(
        (margin for margin, is_live in margins if is_live and not isnan(margin)), default=None
    )
