"""subcircuit -> every way to read it as gates: counted in closed form, listed lazily.

An interpretation gives every kept unit one reading (a threshold between two of its values) such
that its bits are a function of its kept parents' bits, and every unit and output a local gate: that
function, with the rows that never occur filled in (in every way, or left open, as the convention
says). A unit is read within the subcircuit, not within the whole network."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import torch

from xor_mi.circuits import unit_readings
from xor_mi.graph import Unit, layers_of
from xor_mi.search._convention import Convention
from xor_mi.search._subcircuits import problem_of, require_shape
from xor_mi.truth import BooleanFunction, truth_rows

Bits = tuple[int, ...]


@dataclass(frozen=True)
class OpenGate:
    """A local gate: its kept parents and its table over them, None where no input produces the row
    and the convention leaves it open.
    """

    unit: Unit
    parents: tuple[str, ...]
    table: tuple[int | None, ...]

    @property
    def formula(self) -> str:
        """The gate over its parents' names; open rows are shown as '-' in the table instead."""
        if None in self.table:
            return "".join("-" if bit is None else str(bit) for bit in self.table)
        return BooleanFunction(len(self.parents), (self.table,)).formula_over(self.parents)


@dataclass(frozen=True)
class Interpretation:
    """One local gate per kept unit and output, in order of layers."""

    gates: tuple[OpenGate, ...]

    def __str__(self) -> str:
        return "; ".join(f"{gate.unit.name} = {gate.formula}" for gate in self.gates)


@dataclass(frozen=True)
class _Layer:
    """One layer of a subcircuit: per kept unit its parents (positions among the kept units before)
    and its possible bits.
    """

    units: tuple[Unit, ...]
    parents: tuple[tuple[int, ...], ...]
    names: tuple[tuple[str, ...], ...]
    readings: tuple[tuple[Bits, ...], ...]


def count_interpretations(
    model: Any, subcircuit: Any, target: Any = None, *, convention: Any = None
) -> int:
    """How many interpretations a subcircuit has, without listing them.

    Layer by layer: for each joint choice of bits, how many ways lead to it; given the parents'
    bits, the units of a layer are independent.

    >>> from xor_mi.handmade import textbook_xor
    >>> from xor_mi.search import find_subcircuits
    >>> count_interpretations(textbook_xor(), find_subcircuits(textbook_xor())[0])  # OR, AND; the row that never occurs is filled both ways
    2

    Raises:
        XorMiError: a subcircuit of another shape.
    """
    convention = Convention.of(convention)
    states: Counter[tuple[Bits, ...]] = Counter({_input_bits(model): 1})
    for layer in _read(model, subcircuit, target, convention):
        after: Counter[tuple[Bits, ...]] = Counter()
        for bits, ways in states.items():
            options = [
                [
                    (own, n)
                    for own in readings
                    if (n := _n_tables([bits[p] for p in parents], own, convention))
                ]
                for parents, readings in zip(layer.parents, layer.readings, strict=True)
            ]
            for choice in product(*options):
                after[tuple(own for own, _ in choice)] += ways * prod(n for _, n in choice)
        states = after
    return sum(states.values())


def interpretations(
    model: Any, subcircuit: Any, target: Any = None, *, convention: Any = None
) -> Iterator[Interpretation]:
    """Every interpretation of a subcircuit, one at a time.

    >>> from xor_mi.handmade import textbook_xor
    >>> from xor_mi.search import find_subcircuits
    >>> [str(found) for found in interpretations(textbook_xor(), find_subcircuits(textbook_xor())[0], convention="meloux_paper")]
    ['h0.0 = x0 | x1; h0.1 = x0 & x1; y0 = h0.0 & ~h0.1']
    """
    convention = Convention.of(convention)
    yield from _listed(
        _read(model, subcircuit, target, convention), _input_bits(model), (), convention
    )


def _listed(
    layers: Sequence[_Layer],
    bits: tuple[Bits, ...],
    gates: tuple[OpenGate, ...],
    convention: Convention,
) -> Iterator[Interpretation]:
    if not layers:
        yield Interpretation(gates)
        return
    layer, *rest = layers
    options = [
        [
            (own, OpenGate(unit, names, table))
            for own in readings
            for table in _tables([bits[p] for p in parents], own, convention)
        ]
        for unit, parents, names, readings in zip(
            layer.units, layer.parents, layer.names, layer.readings, strict=True
        )
    ]
    for choice in product(*options):
        yield from _listed(
            rest,
            tuple(own for own, _ in choice),
            (*gates, *(gate for _, gate in choice)),
            convention,
        )


def _input_bits(model: Any) -> tuple[Bits, ...]:
    return tuple(zip(*truth_rows(model.cfg.d_in), strict=True))


def _read(model: Any, subcircuit: Any, target: Any, convention: Convention) -> list[_Layer]:
    """Every kept unit's possible bits within the subcircuit; the outputs' are what they must be."""
    require_shape(model, subcircuit)
    setting = problem_of(model, target, convention)
    places = layers_of(model.layer_sizes)
    n_rows = 2**model.cfg.d_in
    values = setting.rows[:n_rows].T
    kept_before, found = list(range(model.cfg.d_in)), []
    for number, (sources, (weight, bias)) in enumerate(
        zip(subcircuit.sources, setting.kept(subcircuit), strict=True)
    ):
        values = setting.activate(weight @ values + bias[:, None], number)
        is_output = number == model.cfg.n_layers
        kept = [j for j, indices in enumerate(sources) if indices]
        if is_output:
            readings = [(tuple(setting.labels[:n_rows, j].tolist()),) for j in kept]
        else:
            every = [unit_readings(torch.from_numpy(values[j])) for j in kept]
            readings = [
                tuple(r.bits for r in unit if _counts(r.margin, convention)) for unit in every
            ]
        parents = [tuple(kept_before.index(i) for i in sources[j]) for j in kept]
        names = [tuple(places[number][i].name for i in sources[j]) for j in kept]
        found.append(
            _Layer(
                tuple(places[number + 1][j] for j in kept),
                tuple(parents),
                tuple(names),
                tuple(readings),
            )
        )
        kept_before = kept
    return found


def _counts(margin: float | None, convention: Convention) -> bool:
    return convention.constants if margin is None else margin >= convention.margin


def _occurring(parents: Sequence[Bits], own: Bits) -> dict[int, int] | None:
    """Row of the local table -> bit, for the rows that inputs produce; None where the bits are no
    function of the parents'.
    """
    seen: dict[int, int] = {}
    for row, bit in enumerate(own):
        index = 0
        for bits in parents:
            index = 2 * index + bits[row]
        if seen.setdefault(index, bit) != bit:
            return None
    return seen


def _parity(n_parents: int) -> tuple[Bits, Bits]:
    table = tuple(sum(row) % 2 for row in truth_rows(n_parents))
    return table, tuple(1 - bit for bit in table)


def _n_tables(parents: Sequence[Bits], own: Bits, convention: Convention) -> int:
    """How many local tables fit."""
    seen = _occurring(parents, own)
    if seen is None:
        return 0
    unseen = 2 ** len(parents) - len(seen)
    banned = 0
    if convention.ban_parity and len(parents) > 1:
        banned = sum(
            all(table[index] == bit for index, bit in seen.items())
            for table in _parity(len(parents))
        )
    if convention.completion == "open":
        return int(not (banned and unseen == 0))
    return 2**unseen - banned


def _tables(
    parents: Sequence[Bits], own: Bits, convention: Convention
) -> Iterator[tuple[int | None, ...]]:
    """The local tables that fit, each a tuple over the parents' rows."""
    seen = _occurring(parents, own)
    if seen is None:
        return
    size = 2 ** len(parents)
    unseen = [index for index in range(size) if index not in seen]
    fillings: Any = (
        [[None] * len(unseen)]
        if convention.completion == "open"
        else product((0, 1), repeat=len(unseen))
    )
    for filling in fillings:
        table = [seen.get(index) for index in range(size)]
        for index, bit in zip(unseen, filling, strict=True):
            table[index] = bit
        if not (
            convention.ban_parity and len(parents) > 1 and tuple(table) in _parity(len(parents))
        ):
            yield tuple(table)
