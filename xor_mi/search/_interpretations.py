"""subcircuit -> every way to read it as gates: counted in closed form, listed lazily.

An interpretation gives every kept unit one reading (a threshold between two of its values) such
that its bits are a function of its kept parents' bits, and every unit and output a local gate: that
function, with the don't-care rows filled in every way or left open, as the convention says. A unit
is read within the subcircuit, not within the whole network. If the largest output wins, a gate
belongs to a decision, and reads everything that the outputs read.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, product
from math import prod

import numpy as np
import pandas as pd
import torch

from xor_mi.circuits import LocalGate, unit_readings
from xor_mi.errors import TooManyReadings
from xor_mi.finding import Finding
from xor_mi.graph import Subcircuit, Unit, layers_of
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.search._convention import AnyConvention, Convention
from xor_mi.search._problem import (
    VALUES_AT_ONCE,
    KeptEdges,
    Problem,
    kept_edges,
    require_shape,
)
from xor_mi.truth import GATES, row_number, truth_rows

MAX_CHOICES = 1_000_000
"""At most so many joint choices of readings of a layer are tried."""

Bits = tuple[int, ...]
"""The bits that a unit is read as on the clean rows."""

_Readings = tuple[tuple[Bits, ...], ...]
"""Per unit of a layer, the bits that it may be read as."""

_Indices = tuple[int, ...]
"""Units of a layer, by index and in order."""

_Sources = tuple[_Indices, ...]
"""Per unit of a layer, what it reads; a dropped unit reads nothing."""

OpenTable = tuple[int | None, ...]
"""A local gate's table over its parents' rows; None where a row is left open."""


@dataclass(frozen=True)
class Interpretation(Finding):
    """One local gate per kept unit and decision, in order of layers.

    A gate's table is over its kept parents; it has None where no input produces the row and the
    convention leaves it open.
    """

    gates: tuple[LocalGate, ...]

    def frame(self) -> pd.DataFrame:
        """One row per gate: unit, parents, formula (or the table with open rows, "0-10")."""
        return pd.DataFrame(
            {
                "unit": [gate.unit.name for gate in self.gates],
                "parents": [", ".join(gate.parents) for gate in self.gates],
                "formula": [_gate_text(gate) for gate in self.gates],
            }
        )

    def __str__(self) -> str:
        return "; ".join(f"{gate.unit.name} = {_gate_text(gate)}" for gate in self.gates)


def _gate_text(gate: LocalGate) -> str:
    """A gate's formula; a table with open rows is shown as a table, "0-10"."""
    if None not in gate.table:
        return gate.formula
    return "".join("-" if bit is None else str(bit) for bit in gate.table)


@dataclass(frozen=True, eq=False)
class _KeptUnit:
    """One unit of a subcircuit, with what an interpretation depends on.

    All subcircuits in which it is alike share one object, so that counts can be looked up.

    Attributes:
        parents: positions among the kept units of the layer before.
        names: the parents' names.
        readings: the bits that it may be read as.
    """

    unit: Unit
    parents: tuple[int, ...]
    names: tuple[str, ...]
    readings: tuple[Bits, ...]

    def parents_bits(self, bits_before: Sequence[Bits]) -> list[Bits]:
        """The bits that its parents are read as."""
        return [bits_before[parent] for parent in self.parents]


def count_interpretations(
    model: HookedMLP,
    subcircuit: Subcircuit,
    target: Target | None = None,
    *,
    convention: AnyConvention = None,
) -> int:
    """How many interpretations a subcircuit has, without listing them.

    >>> from xor_mi.handmade import textbook_xor
    >>> from xor_mi.search import find_subcircuits
    >>> whole = find_subcircuits(textbook_xor())[0]
    >>> count_interpretations(textbook_xor(), whole)  # one don't-care row, filled both ways
    2

    Raises:
        XorMiError: a subcircuit of another shape.
        TooManyReadings: more joint choices of readings of a layer than are tried.
    """
    return n_interpretations(Problem.of(model, target, convention), subcircuit)


def interpretations(
    model: HookedMLP,
    subcircuit: Subcircuit,
    target: Target | None = None,
    *,
    convention: AnyConvention = None,
    progress: bool = True,
) -> Iterator[Interpretation]:
    """Every interpretation of a subcircuit, one at a time, without holding them in memory.

    There may be too many to list; `count_interpretations` says how many there are.

    >>> from xor_mi.handmade import textbook_xor
    >>> from xor_mi.search import find_subcircuits
    >>> whole = find_subcircuits(textbook_xor())[0]
    >>> [str(one) for one in interpretations(textbook_xor(), whole, convention="meloux_paper")]
    ['h0.0 = x0 | x1; h0.1 = x0 & x1; y0 = h0.0 & ~h0.1']

    Raises:
        XorMiError: a subcircuit of another shape.
    """
    problem = Problem.of(model, target, convention)
    layers = _kept_units(problem, subcircuit)
    listed = _listed(layers, _input_bits(problem), problem.convention)
    return _under_a_bar(listed, progress)


def _under_a_bar(listed: Iterator[Interpretation], progress: bool) -> Iterator[Interpretation]:
    """The same, with a bar that begins when the first one is asked for."""
    yield from progress_bar(
        listed, doing="interpretations", unit="interpretation", progress=progress
    )


def n_interpretations(problem: Problem, subcircuit: Subcircuit) -> int:
    """How many interpretations a subcircuit of the problem has.

    Raises:
        TooManyReadings: more joint choices of readings of a layer than are tried.
    """
    require_shape(problem.model, subcircuit)
    (n,) = n_interpretations_of_all(problem, kept_edges(subcircuit))
    return n


def n_interpretations_of_all(problem: Problem, edges: Sequence[KeptEdges]) -> Iterator[int]:
    """How many interpretations each of many subcircuits has, one after the other.

    Raises:
        TooManyReadings: more joint choices of readings of a layer than are tried.
    """
    ways = _Ways(problem)
    for layers in _kept_units_of_all(problem, edges):
        yield ways.to_interpret(layers)


_Layers = tuple[tuple[_KeptUnit, ...], ...]
"""The kept units of each hidden layer, and the decisions."""


class _Ways:
    """Counts the ways to read many subcircuits of one problem.

    The subcircuits share most of their parts, so a count that was made once is looked up later.
    """

    def __init__(self, problem: Problem) -> None:
        self.convention = problem.convention
        self.inputs = _input_bits(problem)
        self._options: dict[tuple[_KeptUnit, tuple[Bits, ...]], _Options] = {}
        self._to_read: dict[_Layers, dict[tuple[Bits, ...], int]] = {}
        self._to_decide: dict[tuple[tuple[_Options, ...], tuple[_KeptUnit, ...]], int] = {}

    def to_interpret(self, layers: _Layers) -> int:
        """How many interpretations a subcircuit has.

        They are counted layer by layer: for each joint choice of bits, how many ways lead to it;
        given the parents' bits, the units of a layer are independent. The joint choices of the last
        hidden layer are not listed: see `_n_ways_to_decide`.
        """
        ways_to = self._ways_to_read(layers[:-2])
        return sum(ways * self._ways_to_decide(layers[-2:], bits) for bits, ways in ways_to.items())

    def _ways_to_read(self, layers: _Layers) -> dict[tuple[Bits, ...], int]:
        """For each joint choice of bits of the last of these layers, how many ways lead to it."""
        if not layers:
            return {self.inputs: 1}
        if layers not in self._to_read:
            ways_after: Counter[tuple[Bits, ...]] = Counter()
            for bits, ways in self._ways_to_read(layers[:-1]).items():
                options = [self._options_of(unit, bits) for unit in layers[-1]]
                _require_few(len(ways_after) + prod(map(len, options)))
                for choice in product(*options):
                    own_bits = tuple(own for own, _ in choice)
                    ways_after[own_bits] += ways * prod(n_gates for _, n_gates in choice)
            self._to_read[layers] = ways_after
        return self._to_read[layers]

    def _ways_to_decide(self, layers: _Layers, bits_before: tuple[Bits, ...]) -> int:
        """Ways to read the last hidden layer and the decisions, given the bits before these."""
        last, decisions = layers
        options = tuple(self._options_of(unit, bits_before) for unit in last)
        if (options, decisions) not in self._to_decide:
            self._to_decide[options, decisions] = _n_ways_to_decide(
                options, decisions, self.convention, n_rows=len(bits_before[0])
            )
        return self._to_decide[options, decisions]

    def _options_of(self, unit: _KeptUnit, bits_before: tuple[Bits, ...]) -> "_Options":
        """The bits that a unit may read as, each with its number of local gates."""
        if (unit, bits_before) not in self._options:
            counted = _counted_readings(unit, bits_before, self.convention)
            self._options[unit, bits_before] = counted
        return self._options[unit, bits_before]


def _require_few(n_choices: int) -> None:
    """Refuse more joint choices of readings than are tried."""
    if n_choices > MAX_CHOICES:
        raise TooManyReadings(
            f"{n_choices:,} joint choices of readings in one layer are more than the "
            f"{MAX_CHOICES:,} that are tried; take a narrower network, or Convention(margin=0.1)"
        )


ReadSoFar = tuple[int, ...]
"""For a decision, which rows its parents up to some unit tell apart: a number per row, equal for
rows on which all of them have the same bits. For a gate of two parents it is their bits as a binary
number.
"""


_Options = tuple[tuple[Bits, int], ...]
"""The bits that a unit may read as, each with its number of local gates."""


def _n_ways_to_decide(
    options_of_last: Sequence[_Options],
    decisions: Sequence[_KeptUnit],
    convention: Convention,
    *,
    n_rows: int,
) -> int:
    """Ways to read the last hidden layer and the decisions.

    The units are added one by one. How many gates a decision has depends on which rows its parents
    tell apart, not on how they do it, except for a gate of two parents, which may be a parity. So
    choices that tell the same rows apart are counted together.

    Args:
        options_of_last: the options of each unit of the last hidden layer.
    """
    nothing_read = (0,) * n_rows
    ways_to: dict[tuple[ReadSoFar, ...], int] = {(nothing_read,) * len(decisions): 1}
    for place, options in enumerate(options_of_last):
        _require_few(len(ways_to) * len(options))
        ways_after: dict[tuple[ReadSoFar, ...], int] = defaultdict(int)
        for told_apart, ways in ways_to.items():
            for bits, n_gates in options:
                after = tuple(
                    _told_apart(rows, bits, len(decision.parents))
                    if place in decision.parents
                    else rows
                    for rows, decision in zip(told_apart, decisions, strict=True)
                )
                ways_after[after] += ways * n_gates
        ways_to = ways_after
    return sum(
        ways
        * prod(
            _n_gates_of(decision, rows, convention)
            for decision, rows in zip(decisions, told_apart, strict=True)
        )
        for told_apart, ways in ways_to.items()
    )


@lru_cache(maxsize=2**16)
def _told_apart(rows: ReadSoFar, bits: Bits, n_parents: int) -> ReadSoFar:
    """Which rows are told apart with one more parent."""
    numbers = tuple(2 * row + bit for row, bit in zip(rows, bits, strict=True))
    if n_parents <= 2:
        return numbers
    # numbered in the order in which they come, so that equal partitions are equal
    first_met: dict[int, int] = {}
    return tuple(first_met.setdefault(number, len(first_met)) for number in numbers)


def _n_gates_of(decision: _KeptUnit, rows: ReadSoFar, convention: Convention) -> int:
    """How many local gates a decision has whose parents tell these rows apart."""
    (own,) = decision.readings
    return _n_tables_on(rows, own, len(decision.parents), convention)


def _counted_readings(
    unit: _KeptUnit, bits_before: Sequence[Bits], convention: Convention
) -> _Options:
    """The bits that a unit may be read as given its parents', each with its number of gates."""
    parents = unit.parents_bits(bits_before)
    counted = [(own, _n_tables(parents, own, convention)) for own in unit.readings]
    return tuple((own, n_gates) for own, n_gates in counted if n_gates)


def _listed(
    layers: Sequence[Sequence[_KeptUnit]], bits_before: Sequence[Bits], convention: Convention
) -> Iterator[Interpretation]:
    """The interpretations, given the bits of the inputs."""
    for gates in _listed_from(layers, bits_before, (), convention):
        yield Interpretation(tuple(gate for _, gate in gates))


_ReadGate = tuple[Bits, LocalGate]
"""A unit's bits and its local gate."""


def _listed_from(
    layers: Sequence[Sequence[_KeptUnit]],
    bits_before: Sequence[Bits],
    of_this_layer: tuple[_ReadGate, ...],
    convention: Convention,
) -> Iterator[tuple[_ReadGate, ...]]:
    """All lists of gates that continue the gates that this layer has so far."""
    if not layers:
        yield ()
        return
    layer, *later = layers
    if len(of_this_layer) == len(layer):
        own_bits = [bits for bits, _ in of_this_layer]
        for gates in _listed_from(later, own_bits, (), convention):
            yield (*of_this_layer, *gates)
        return
    # given the bits of the layer before, the units of this one are read independently; nothing is
    # held in memory, because a unit of many parents may have more gates than fit there
    unit = layer[len(of_this_layer)]
    for gate in _gates_of(unit, bits_before, convention):
        yield from _listed_from(layers, bits_before, (*of_this_layer, gate), convention)


def _gates_of(
    unit: _KeptUnit, bits_before: Sequence[Bits], convention: Convention
) -> Iterator[_ReadGate]:
    """The bits that a unit may be read as given its parents', with each of its local gates."""
    parents = unit.parents_bits(bits_before)
    for own in unit.readings:
        for table in _tables(parents, own, convention):
            yield own, LocalGate(unit.unit, unit.names, table)


def _input_bits(problem: Problem) -> tuple[Bits, ...]:
    """Each input's bits on the clean rows."""
    return tuple(zip(*truth_rows(problem.sizes[0]), strict=True))


def _kept_units(problem: Problem, subcircuit: Subcircuit) -> _Layers:
    """Layer by layer the kept units and decisions, with the bits that each may be read as."""
    require_shape(problem.model, subcircuit)
    (layers,) = _kept_units_of_all(problem, kept_edges(subcircuit))
    return layers


def _kept_units_of_all(problem: Problem, edges: Sequence[KeptEdges]) -> Iterator[_Layers]:
    """The same for each of many subcircuits."""
    units = _KeptUnits(problem)
    # some at a time, because the values of all their units are held
    step = max(1, VALUES_AT_ONCE // (max(problem.sizes) * len(problem.clean)))
    for start in range(0, len(edges[0]), step):
        some = [of_layer[start : start + step] for of_layer in edges]
        readings = _possible_bits(problem, some)
        for number in range(len(some[0])):
            sources = [of_layer[number] for of_layer in some]
            yield units.of(sources, [of_layer[number] for of_layer in readings])


_OfLayer = tuple[int, _Sources, _Indices, _Readings]
"""A key that is equal if the kept units of two layers are alike: the layer, what its units read,
which units of the layer before are kept, and what its own units may be read as.
"""

_OfUnit = tuple[Unit, _Indices, _Indices, tuple[Bits, ...]]
"""The same of one unit."""


class _KeptUnits:
    """The kept units of many subcircuits of one problem; those that are alike share one object."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.layers = layers_of(problem.sizes)
        self._sources: dict[tuple[int, bytes], _Sources] = {}
        self._made: dict[_OfLayer, tuple[_KeptUnit, ...]] = {}
        self._units: dict[_OfUnit, _KeptUnit] = {}

    def of(self, edges: Sequence[KeptEdges], readings: Sequence[_Readings]) -> _Layers:
        """The kept units of one subcircuit.

        Args:
            edges: per linear layer, [d_out, d_in].
            readings: the readings of each hidden layer.
        """
        *of_hidden, of_outputs = [
            self._sources_of(number, is_kept) for number, is_kept in enumerate(edges)
        ]
        before = tuple(range(len(self.layers[0])))
        made: list[tuple[_KeptUnit, ...]] = []
        for number, (sources, possible) in enumerate(zip(of_hidden, readings, strict=True)):
            key = (number, sources, before, possible)
            if key not in self._made:
                self._made[key] = self._hidden(number, sources, before, possible)
            made.append(self._made[key])
            before = tuple(index for index, indices in enumerate(sources) if indices)
        key = (len(of_hidden), of_outputs, before, ())
        if key not in self._made:
            self._made[key] = self._decisions(of_outputs, before)
        return (*made, self._made[key])

    def _sources_of(self, number: int, is_kept: KeptEdges) -> _Sources:
        """What each unit of a layer reads, by index."""
        key = (number, is_kept.tobytes())
        if key not in self._sources:
            self._sources[key] = tuple(tuple(np.flatnonzero(row).tolist()) for row in is_kept)
        return self._sources[key]

    def _hidden(
        self, number: int, sources: _Sources, before: _Indices, readings: _Readings
    ) -> tuple[_KeptUnit, ...]:
        """The kept units of a hidden layer, with the bits that each may be read as."""
        kept = [unit for unit in self.layers[number + 1] if sources[unit.index]]
        return tuple(
            self._unit(unit, sources[unit.index], before, readings[unit.index]) for unit in kept
        )

    def _decisions(self, sources: _Sources, before: _Indices) -> tuple[_KeptUnit, ...]:
        """The decisions, whose bits are fixed."""
        model = self.problem.model
        reads = sources
        if model.rule.name == "argmax":
            # outputs are compared, so that every decision depends on what any of them reads
            reads = (tuple(sorted(set(chain.from_iterable(sources)))),) * model.cfg.n_decisions
        tables = self.problem.target.tables
        of_decisions = zip(model.decision_units, reads, tables, strict=True)
        return tuple(self._unit(unit, own, before, (table,)) for unit, own, table in of_decisions)

    def _unit(
        self, unit: Unit, sources: _Indices, before: _Indices, readings: tuple[Bits, ...]
    ) -> _KeptUnit:
        """A unit that reads these of the kept units before it, by index."""
        key = (unit, sources, before, readings)
        if key not in self._units:
            # the number of an output's layer does not say which layer is before it
            number = len(self.layers) - 2 if unit.is_output else unit.layer
            self._units[key] = _KeptUnit(
                unit=unit,
                parents=tuple(before.index(index) for index in sources),
                names=tuple(self.layers[number][index].name for index in sources),
                readings=readings,
            )
        return self._units[key]


def _possible_bits(problem: Problem, edges: Sequence[KeptEdges]) -> list[list[_Readings]]:
    """What the hidden units of subcircuits may be read as, per hidden layer and subcircuit."""
    convention = problem.convention
    # values are those within the subcircuit, where a unit may be read differently than in the
    # network
    values = np.broadcast_to(problem.clean.T, (len(edges[0]), *problem.clean.T.shape))
    readings: list[list[_Readings]] = []
    for number, (weight, bias) in enumerate(problem.kept_of_all(edges)[:-1]):
        values = problem.activate(weight @ values + bias[:, :, None], number)  # [n, unit, row]
        readings.append(
            [
                tuple(
                    _bits_of(
                        of_unit.tobytes(),
                        constants=convention.constants,
                        least_margin=convention.margin,
                    )
                    for of_unit in of_subcircuit
                )
                for of_subcircuit in values
            ]
        )
    return readings


# A unit has few different values over all subcircuits, and measuring them takes most of the time.
@lru_cache(maxsize=2**14)
def _bits_of(values: bytes, *, constants: bool, least_margin: float) -> tuple[Bits, ...]:
    """The same for values as the bytes of float64 numbers."""
    possible: list[Bits] = []
    for reading in unit_readings(torch.from_numpy(np.frombuffer(values).copy())):
        if reading.margin is None:  # a constant unit
            counts = constants
        else:
            counts = reading.margin >= least_margin
        if counts:
            possible.append(reading.bits)
    return tuple(possible)


def _occurring(parents: Sequence[Bits], own: Bits) -> dict[int, int] | None:
    """Row of the local table -> bit, for the rows that inputs produce.

    None if the bits are not a function of the parents' bits.
    """
    seen: dict[int, int] = {}
    local_rows = zip(*parents, strict=True)  # per clean row, the bits of the parents
    for local_row, bit in zip(local_rows, own, strict=True):
        # the same row of the gate with another bit: no gate can do that
        if seen.setdefault(row_number(local_row), bit) != bit:
            return None
    return seen


def _banned(n_parents: int, convention: Convention) -> tuple[Bits, ...]:
    """The tables that no local gate may have: XOR and XNOR, which are gates of two parents."""
    is_banned = convention.ban_parity and n_parents == 2
    return (GATES["XOR"], GATES["XNOR"]) if is_banned else ()


def _n_tables(parents: Sequence[Bits], own: Bits, convention: Convention) -> int:
    """How many local tables fit: the length of `_tables`, without making them."""
    rows = tuple(row_number(local_row) for local_row in zip(*parents, strict=True))
    return _n_tables_on(rows, own, len(parents), convention)


@lru_cache(maxsize=2**16)
def _n_tables_on(rows: ReadSoFar, own: Bits, n_parents: int, convention: Convention) -> int:
    """The same, given which row of the table each clean row comes to.

    The rows of a gate with more than two parents may be numbered in any way.
    """
    seen: dict[int, int] = {}
    for row, bit in zip(rows, own, strict=True):
        # the same row of the gate with another bit: no gate can do that
        if seen.setdefault(row, bit) != bit:
            return 0
    n_unseen = 2**n_parents - len(seen)
    # a banned table that agrees with the rows that occur is exactly one of the completions
    n_banned = 0
    for table in _banned(n_parents, convention):
        n_banned += all(table[row] == bit for row, bit in seen.items())
    if convention.completion == "open":
        # the one open table is a parity only if none of its rows is open
        return int(not (n_banned and n_unseen == 0))
    return 2**n_unseen - n_banned


def _tables(parents: Sequence[Bits], own: Bits, convention: Convention) -> Iterator[OpenTable]:
    """The local tables that fit, each over the parents' rows."""
    seen = _occurring(parents, own)
    if seen is None:
        return
    n_rows = 2 ** len(parents)
    unseen = [row for row in range(n_rows) if row not in seen]
    banned = _banned(len(parents), convention)
    # "open": the one filling has no bit anywhere; a table with an open row is never a parity
    bits = (None,) if convention.completion == "open" else (0, 1)
    for filling in product(bits, repeat=len(unseen)):
        filled: dict[int, int | None] = {**seen, **dict(zip(unseen, filling, strict=True))}
        table = tuple(filled[row] for row in range(n_rows))
        if table not in banned:
            yield table
