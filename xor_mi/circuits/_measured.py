"""many choices of readings -> the local gates of each, and which of them compose, all together.

A network of eight tanh units has thousands of faithful choices of readings. Their gates are
measured as one tensor, and only for those that compose are there `LocalGate`s.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from xor_mi.circuits import _tables
from xor_mi.circuits._netlist import LocalGate
from xor_mi.circuits._readings import ROUNDING, Reading, Variables
from xor_mi.graph import Unit, layers_of
from xor_mi.model import UNDECIDED, HookedMLP, decide
from xor_mi.truth import MAX_INPUTS, row_numbers

Readings = tuple[tuple[Reading, ...], ...]
"""One reading per unit, layer by layer."""

MAX_NUMBERS = 2**22
"""At most so many values of units, on all combinations of their parents, are held at once."""


@dataclass(frozen=True)
class _LayerOfGates:
    """The gates of one layer under every choice.

    Attributes:
        places: whose gates these are.
        read: the numbers of their parents among what the layer reads.
        parents: the same by name.
        tables: [choice, place, combination], `UNDECIDED` where there is no bit.
    """

    places: tuple[Unit, ...]
    read: list[int]
    parents: tuple[str, ...]
    tables: Tensor


@dataclass(frozen=True)
class MeasuredChoices:
    """The local gates of a network under several choices of readings.

    Attributes:
        variables: per hidden layer, its units, copies of one another together.
    """

    model: HookedMLP
    choices: Sequence[Readings]
    variables: Sequence[Variables]

    @cached_property
    def bits(self) -> list[Tensor]:
        """Per hidden layer, the bit that each unit is read as, [choice, row, unit]."""
        layers = range(self.model.cfg.n_layers)
        return [self._of_readings(layer, attrgetter("bits")).mT for layer in layers]

    def _of_readings(self, layer: int, value: Callable[[Reading], object]) -> Tensor:
        """One value of every reading of a hidden layer, [choice, unit, ...]; numbers as doubles."""
        of_choices = []
        for readings in self.choices:
            of_choices.append([value(reading) for reading in readings[layer]])
        # by way of NumPy, which makes doubles of Python's numbers
        return torch.from_numpy(np.array(of_choices))

    @cached_property
    def later(self) -> list[_LayerOfGates]:
        """The gates of every hidden layer but the first, and of the decisions.

        Those of the first layer are the readings themselves: a unit's bits on the rows are its
        table over the inputs.
        """
        return [self._measured(layer) for layer in range(1, self.model.cfg.n_layers + 1)]

    def _measured(self, layer: int) -> _LayerOfGates:
        """The gates of one layer with their parents set to every combination of their levels.

        Copies of a unit move with it. Whatever their own bit in a combination is, they are at the
        level that belongs to the bit of the unit that stands for them, so no gate depends on them.
        """
        model = self.model
        sources = model.sources[layer]
        levels = self._levels(layer)  # [choice, source, bit]
        # whether a unit has one level or two does not depend on its reading, so one choice is
        # enough
        read = parents_of(levels[0])
        combinations = torch.zeros(2 ** len(read), len(sources), dtype=torch.long)
        combinations[:, read] = _tables.combinations_of(len(read))
        bits = combinations.expand(len(self.choices), -1, -1).clone()
        read_as = self.bits[layer - 1]
        for first, copy in copies_of(self.variables[layer - 1]):
            # a copy is read as the unit itself or as its complement
            turned = (read_as[..., first] != read_as[..., copy]).any(-1)
            bits[..., copy] = bits[..., first] ^ turned[:, None]
        # [choice, combination, source], each source at the level of its bit
        values = levels.mT.gather(1, bits)
        weight, bias = model.float64_layers()[layer]
        reached = model.activate(values @ weight.T + bias, layer)
        if layer < model.cfg.n_layers:
            places = layers_of(model.layer_sizes)[layer + 1]
            tables = self._unit_tables(layer, reached)
        else:
            places = model.decision_units
            tables = _bits_of(model.rule.distance(reached))
        return _LayerOfGates(
            places=tuple(places),
            read=read,
            parents=tuple(sources[k].name for k in read),
            tables=tables.mT,
        )

    def _levels(self, layer: int) -> Tensor:
        """What a layer reads, at bit 0 and at bit 1, [choice, source, bit]."""
        levels = self._of_readings(layer - 1, attrgetter("low", "high"))
        if len(self.model.sources[layer]) == levels.shape[1]:
            return levels
        # outputs that read the inputs directly do so after the units
        rows = self.model.rows().double()
        of_inputs = torch.stack([rows[0], rows[-1]], dim=-1)  # all bits are 0, and all are 1
        return torch.cat([levels, of_inputs.expand(len(levels), -1, -1)], dim=1)

    def _unit_tables(self, layer: int, reached: Tensor) -> Tensor:
        """Values of hidden units on all combinations -> bits by their readings."""
        thresholds = self._of_readings(layer, attrgetter("threshold"))
        one_level = self._of_readings(layer, attrgetter("one_level"))
        tables = _bits_of(reached - thresholds[:, None])
        # Of a unit with one level the threshold is that: every combination would be a tie.
        own_bit = self.bits[layer][:, :1]
        return torch.where(one_level[:, None], own_bit, tables)

    def composing(self, decided: Tensor, *, unconnected: Collection[Unit]) -> list[int]:
        """The numbers of the choices whose gates, run on all rows, give what the network gives.

        They must give every hidden unit the bits it is read as, and the outputs the network's
        decisions. The bits of a unit that leads nowhere do not matter.

        Args:
            decided: what the network decides, [row, decision].
        """
        composes = torch.ones(len(self.choices), dtype=torch.bool)
        wanted = [*self.bits[1:], decided.expand(len(self.choices), -1, -1)]
        inputs = _tables.combinations_of(self.model.cfg.d_in)
        values = self.bits[0]
        for layer, (gates, expected) in enumerate(zip(self.later, wanted, strict=True), start=1):
            if len(self.model.sources[layer]) > values.shape[-1]:
                values = torch.cat([values, inputs.expand(len(values), -1, -1)], dim=-1)
            rows = row_numbers(values[..., gates.read])  # [choice, row]
            # what has no bit is run as 0
            tables = gates.tables.clamp(min=0)
            found = tables.gather(2, rows[:, None].expand(-1, tables.shape[1], -1)).mT
            counts = [k for k, unit in enumerate(gates.places) if unit not in unconnected]
            composes &= (found == expected)[..., counts].flatten(1).all(1)
            values = found
        return composes.nonzero().flatten().tolist()

    @cached_property
    def _first_layer(self) -> tuple[list[Unit], tuple[str, ...]]:
        """The units of the first layer, and the names of the inputs."""
        inputs, first, *_ = layers_of(self.model.layer_sizes)
        return first, tuple(unit.name for unit in inputs)

    def netlist(self, number: int) -> tuple[LocalGate, ...]:
        """The local gate of every hidden unit and decision under one choice, layer by layer."""
        first, names = self._first_layer
        read_as = self.choices[number][0]
        gates = [
            _first_gate(unit, names, reading.bits)
            for unit, reading in zip(first, read_as, strict=True)
        ]
        for layer in self.later:
            for unit, table in zip(layer.places, layer.tables[number].tolist(), strict=True):
                known = tuple(table)
                # nearly every table is complete, and may have thousands of entries
                if UNDECIDED in table:
                    known = tuple(None if bit == UNDECIDED else bit for bit in table)
                gates.append(LocalGate(unit, layer.parents, known))
        return tuple(gates)


# a unit has few readings, which many choices have in common
@lru_cache(maxsize=4096)
def _first_gate(unit: Unit, names: tuple[str, ...], bits: tuple[int, ...]) -> LocalGate:
    return LocalGate(unit, names, bits)


def in_batches(
    model: HookedMLP, choices: Sequence[Readings], variables: Sequence[Variables]
) -> Iterator[MeasuredChoices]:
    """The choices, as many together as there is room for."""
    n_numbers = 2**model.cfg.d_in * max(model.cfg.d_hidden)
    for layer in range(1, model.cfg.n_layers + 1):
        n_sources = len(model.sources[layer])
        n_combinations = 2 ** min(n_sources, _tables.MAX_UNITS)
        n_numbers = max(n_numbers, n_combinations * (n_sources + model.layer_sizes[layer + 1]))
    size = max(1, MAX_NUMBERS // n_numbers)
    for start in range(0, len(choices), size):
        yield MeasuredChoices(model, choices[start : start + size], variables)


def measure_netlist(
    model: HookedMLP, readings: Readings, variables: Sequence[Variables]
) -> tuple[LocalGate, ...]:
    """The local gate of every hidden unit and decision, layer by layer, under one choice.

    Args:
        variables: per hidden layer, its units, copies of one another together.
    """
    return MeasuredChoices(model, [readings], variables).netlist(0)


def copies_of(variables: Variables) -> list[tuple[int, int]]:
    """Each unit that is a copy, after the unit that stands for it."""
    return [(first, copy) for first, *copies in variables for copy in copies]


def parents_of(levels: Tensor) -> list[int]:
    """Which of the units and inputs that are read are a local gate's parents, by their numbers.

    All of them are; if there are more than 12, only those with two levels, and at least one.

    Args:
        levels: what each is at bit 0 and at bit 1, [source, bit].
    """
    everyone = list(range(len(levels)))
    if len(levels) <= MAX_INPUTS:
        return everyone
    return [k for k in everyone if levels[k, 0] != levels[k, 1]] or everyone[:1]


def _bits_of(distance: Tensor) -> Tensor:
    """Distances to the threshold, [choice, combination, place] -> bits.

    `UNDECIDED` on the threshold, up to rounding, which is relative to the largest distance.
    """
    on_it = distance.abs() <= ROUNDING * distance.abs().amax(1, keepdim=True)
    return torch.where(on_it, UNDECIDED, decide(distance))
