"""what networks are at every step -> what happens to each while it trains, event by event."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from xor_mi.circuits import Summary
from xor_mi.graph import layers_of
from xor_mi.model import HookedMLPConfig
from xor_mi.population._paths import DEAD, VARIES, Facts, Paths
from xor_mi.truth import BooleanFunction

EVENTS: Mapping[str, str] = {
    "first_fitted": "all rows trained on are decided right for the first time (if rows= was given)",
    "first_solved": "all rows are decided right for the first time",
    "solution_lost": "some row is decided wrong again, after all were right",
    "solved_again": "all rows are decided right again, after some row was wrong again",
    "unit_dies": "a hidden unit has one value on all rows from here on",
    "unit_revives": "a hidden unit that had one value on all rows has several again",
    "reading_appears": (
        "for the first time a unit's values separate the rows as its gate at the end does; the "
        "network need not be solved"
    ),
    "reading_first_holds": "for the first time the circuit reads a unit as it does at the end",
    "reading_lost": "a unit that the circuit read as a gate is read as another gate, or not at all",
    "reading_last_changes": "from here on the circuit reads a unit as it does at the end",
    "family_settles": "from here on the circuit has the family that it has at the end",
    "finished": "the loss fell below stop_loss: training is over",
    "out_of_steps": "training is over after max_steps, and the loss is not below stop_loss",
}
"""The events of training -> what each means.

Events of the same step stand in this order.
"""

IDLE = "idle"
"""The reading of a unit that no output of the circuit depends on."""


class Event(NamedTuple):
    """Something that is true at one step and was not at the step before.

    Attributes:
        step: optimiser steps taken; 0 for what is true from the start.
        event: one of `EVENTS`.
        unit: the hidden unit that it happened to, such as "h0.1"; "" for the whole network.
        before, after: the reading, family, number of right rows or state of the unit at the step
            before and at this one; "" where there is none.
    """

    step: int
    event: str
    unit: str
    before: str
    after: str

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the event among others."""
        return self._asdict()


class Identity(NamedTuple):
    """The part of a circuit that events depend on.

    Attributes:
        readings: per hidden unit its gate, `IDLE`, or "" without a circuit.
        has_circuit: whether some circuit survives substitution.
    """

    verdict: str | None
    family: str
    readings: tuple[str, ...]
    has_circuit: bool

    @classmethod
    def of(cls, summary: Summary, n_units: int) -> "Identity":
        """From the summary of an identification."""
        return cls(
            summary.verdict, summary.family, readings_of(summary, n_units), has_circuit(summary)
        )


def has_circuit(summary: Summary) -> bool:
    """Whether a circuit survives substitution, proved further or not."""
    return bool(summary.n_circuits)


def readings_of(summary: Summary, n_units: int) -> tuple[str, ...]:
    """What the circuit reads each hidden unit as."""
    if not has_circuit(summary):
        return ("",) * n_units
    read = zip(summary.gates, summary.live, strict=True)
    return tuple(gate if is_live else IDLE for gate, is_live in read)


def unit_names(cfg: HookedMLPConfig) -> list[str]:
    """The hidden units, layer by layer."""
    return [unit.name for layer in layers_of(cfg.layer_sizes)[1:-1] for unit in layer]


class Told(NamedTuple):
    """The facts about one network at each of its steps, in order.

    Attributes:
        right: [step, row]; whether each row is decided right.
        trained: which rows were trained on, [row]; None for all.
        units: [step, unit]; see `Facts`.
        ranks: [step, unit, row].
        codes: the number of each step's identity, [step].
        identities: number -> identity.
        finished: whether the loss fell below `stop_loss`.
    """

    right: Bool[np.ndarray, "step row"]
    trained: Bool[np.ndarray, " row"] | None
    units: Int[np.ndarray, "step unit"]
    ranks: Int[np.ndarray, "step unit row"]
    codes: Int[np.ndarray, " step"]
    identities: Sequence[Identity]
    finished: bool


def events_of_all(
    paths: Paths,
    facts: Facts,
    codes: Int[np.ndarray, " state"],
    identities: Sequence[Identity],
    *,
    trained: Bool[np.ndarray, " row"] | None,
) -> Iterator[tuple[Event, ...]]:
    """The events of every network, in the order of steps."""
    names = unit_names(paths.cfg)
    for first, last, finished in zip(paths.first, paths.last, paths.finished, strict=True):
        states = slice(first, last + 1)
        told = Told(
            right=facts.right[states],
            trained=trained,
            units=facts.units[states],
            ranks=facts.ranks[states],
            codes=codes[states],
            identities=identities,
            finished=bool(finished),
        )
        yield events_of(told, names)


def events_of(told: Told, names: Sequence[str]) -> tuple[Event, ...]:
    """The events of one network, in the order of steps, and of one step in that of `EVENTS`."""
    found = [*_of_rows(told), *_of_units(told, names), *_of_circuit(told, names)]
    how = "finished" if told.finished else "out_of_steps"
    found.append(Event(len(told.codes) - 1, how, "", "", _rows_text(told.right[-1])))
    order = {name: number for number, name in enumerate(EVENTS)}
    return tuple(sorted(found, key=lambda one: (one.step, order[one.event], one.unit)))


def _of_rows(told: Told) -> Iterator[Event]:
    """When rows are first right, wrong again, and right again."""
    if told.trained is not None:
        yield from _first_right("first_fitted", told.right[:, told.trained])
    yield from _first_right("first_solved", told.right)
    is_solved = np.asarray(told.right.all(1))
    for step in np.flatnonzero(is_solved[:-1] & ~is_solved[1:]) + 1:
        yield _at(step, "solution_lost", "", *_rows_texts(told.right, step))
    # the first time has an event of its own
    for step in np.flatnonzero(~is_solved[:-1] & is_solved[1:]) + 1:
        if is_solved[:step].any():
            yield _at(step, "solved_again", "", *_rows_texts(told.right, step))


def _first_right(event: str, right: Bool[np.ndarray, "step row"]) -> Iterator[Event]:
    """The first step at which all these rows are right, if there is one."""
    is_right = right.all(1)
    if is_right.any():
        step = int(is_right.argmax())
        yield _at(step, event, "", *_rows_texts(right, step))


def _of_units(told: Told, names: Sequence[str]) -> Iterator[Event]:
    """When units die and come back."""
    is_constant = told.units != VARIES
    for number, name in enumerate(names):
        of_unit = is_constant[:, number]
        if of_unit[0]:
            yield Event(0, "unit_dies", name, "", _state_text(told.units[0, number]))
        for step in np.flatnonzero(of_unit[1:] != of_unit[:-1]) + 1:
            before, after = (_state_text(told.units[k, number]) for k in (step - 1, step))
            yield _at(step, "unit_dies" if of_unit[step] else "unit_revives", name, before, after)


def _of_circuit(told: Told, names: Sequence[str]) -> Iterator[Event]:
    """When the circuit first reads, stops reading and settles the reading of each unit."""
    # the steps at which the identity changes, and the identity from there on
    changes = np.flatnonzero(told.codes[1:] != told.codes[:-1]) + 1
    steps = [0, *changes.tolist()]
    runs = [told.identities[told.codes[step]] for step in steps]
    final = runs[-1]
    for number, name in enumerate(names):
        readings = [run.readings[number] for run in runs]
        yield from _lost(steps, readings, name)
        gate = readings[-1]
        if gate in ("", IDLE):
            continue
        yield from _appears(told.ranks[:, number], gate, name)
        yield _change(steps, readings, readings.index(gate), "reading_first_holds", name)
        yield _change(steps, readings, _last_change(readings), "reading_last_changes", name)
    if final.has_circuit:
        families = [run.family if run.has_circuit else "" for run in runs]
        yield _change(steps, families, _last_change(families), "family_settles", "")


def _lost(steps: Sequence[int], readings: Sequence[str], name: str) -> Iterator[Event]:
    """Where a unit that was read as a gate is read differently."""
    for number in range(1, len(steps)):
        before, after = readings[number - 1], readings[number]
        if before not in ("", IDLE) and after != before:
            yield Event(steps[number], "reading_lost", name, before, after)


def _appears(ranks: Int[np.ndarray, "step row"], gate: str, name: str) -> Iterator[Event]:
    """Where a unit's values first separate the rows as this gate does."""
    bits = _bits_of(gate, ranks.shape[1].bit_length() - 1)
    # a constant unit that is read all the same, against the other level of its activation
    if bits.all() or not bits.any():
        return
    separates = ranks[:, bits].min(1) > ranks[:, ~bits].max(1)
    # it does so at the end, or the circuit would not read it as this gate
    yield Event(int(separates.argmax()), "reading_appears", name, "", gate)


def _last_change(values: Sequence[str]) -> int:
    """The number of the run from which on the value equals the last one."""
    number = len(values) - 1
    while number and values[number - 1] == values[-1]:
        number -= 1
    return number


def _change(
    steps: Sequence[int], values: Sequence[str], number: int, event: str, name: str
) -> Event:
    """The event that a run begins."""
    before = values[number - 1] if number else ""
    return Event(steps[number], event, name, before, values[number])


@lru_cache(maxsize=4096)
def _bits_of(gate: str, n_inputs: int) -> Bool[np.ndarray, " row"]:
    """A gate of the inputs by name or formula -> its bits on the rows."""
    return np.array(BooleanFunction.of(gate, n_inputs).tables[0], dtype=bool)


def _at(step: np.integer | int, event: str, unit: str, before: str, after: str) -> Event:
    return Event(int(step), event, unit, before, after)


def _state_text(unit: np.integer) -> str:
    """Whether a unit is dead, always on or varies, in words."""
    if unit == VARIES:
        return "varies"
    return "dead" if unit == DEAD else "always on"


def _rows_texts(right: Bool[np.ndarray, "step row"], step: np.integer | int) -> tuple[str, str]:
    """How many rows are right at the step before, and at this one."""
    return ("" if step == 0 else _rows_text(right[step - 1])), _rows_text(right[step])


def _rows_text(right: Bool[np.ndarray, " row"]) -> str:
    return f"{int(right.sum())} of {len(right)} rows"
