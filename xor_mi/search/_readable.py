"""a problem -> every choice of what the last hidden layer may read, and in how many ways it arises.

A choice is a set of units of the layer before, each with its values on the rows. Equal values count
as one, whatever edges they come from, so there are as many choices as patterns of values, not as
many as sets of edges. A unit's values depend only on what it reads, and what it reads is again such
a choice, of the layer before it. So the choices are made layer by layer.

That every kept unit is read is handled by inclusion and exclusion over the sets of kept units that
may be read: a smaller set is counted with a change of sign for every unit that it leaves out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xor_mi.errors import require_at_most
from xor_mi.search._problem import Numbers, Problem

MAX_CHOICES = 2**22
"""At most so many choices of what the last hidden layer may read are tried, counting equal ones as
often as they arise; so many may take an hour.
"""
MERGED_AT_ONCE = 2**20
"""So many choices of a layer are collected before equal ones are merged."""
MAX_KEY = 2**62
"""The numbers of choices are smaller than this."""

Wholes = NDArray[np.int64]
Ways = NDArray[np.object_]
"""Python's own whole numbers, which can be of any size."""


@dataclass(frozen=True, eq=False)
class Readable:
    """Every choice of what may be read of one layer; a part of a choice comes before it.

    Attributes:
        held: the number of the values that each unit of the layer has, 0 where it may not be read,
            [choice, unit].
        values: for each unit the different values that it may have, numbered from 1; number 0 means
            that it is not there, [number, row] each.
        ways: how many choices of all earlier edges keep exactly these units, with these values.
        ways_all_on: the same, counting only those that keep every hidden unit up to this layer.
    """

    held: Wholes
    values: tuple[Numbers, ...]
    ways: Ways
    ways_all_on: Ways

    def __len__(self) -> int:
        return len(self.held)

    @cached_property
    def keys(self) -> Wholes:
        """One number for each choice, ascending."""
        return self.held @ self._places

    @cached_property
    def _places(self) -> Wholes:
        """What one more in each unit's column adds to the number of a choice."""
        bases = [len(values) for values in self.values]
        return np.array([prod(bases[unit + 1 :]) for unit in range(len(bases))], dtype=np.int64)

    def without(self, unit: int) -> tuple[Wholes, Wholes]:
        """The choices that have a unit, and for each the choice without that unit."""
        has = np.flatnonzero(self.held[:, unit])
        keys = self.keys[has] - self.held[has, unit] * self._places[unit]
        return has, np.searchsorted(self.keys, keys)

    def signed(self, ways: Ways) -> Ways:
        """The signed coefficient of each choice in the count by inclusion and exclusion.

        The wanted sum runs over what is kept: in how many ways it is kept, times how many choices
        read all of it. It equals the sum over what may be read of these coefficients times how many
        choices read nothing else.
        """
        coefficients = ways.copy()
        for unit in range(self.held.shape[1]):
            has, parts = self.without(unit)
            np.subtract.at(coefficients, parts, coefficients[has])
        return coefficients

    def groups(self) -> Iterator[tuple[list[int], Wholes]]:
        """Units that may be read, and which choices may read exactly these; parts come first."""
        sets = (self.held > 0) @ (1 << np.arange(self.held.shape[1]))
        order = np.argsort(sets, kind="stable")
        starts = np.flatnonzero(np.diff(sets[order], prepend=-1))
        for these in np.split(order, starts[1:]):
            units = np.flatnonzero(self.held[these[0]]).tolist()
            if units:  # if there is nothing to read, no output can read a unit
                yield units, these

    def values_of(self, units: list[int], choices: Wholes) -> Numbers:
        """The values of these units in each of these choices, [choice, unit, row]."""
        return np.stack([self.values[unit][self.held[choices, unit]] for unit in units], axis=1)


def readable_by_last_hidden(problem: Problem) -> Readable:
    """What the last hidden layer may read: of the hidden layer before it, or of the inputs.

    Raises:
        XorMiError: more than `MAX_CHOICES` choices.
    """
    readable = _inputs(problem)
    for layer in range(len(problem.sizes) - 3):
        readable = _next_layer(problem, layer, readable)
    return readable


def _inputs(problem: Problem) -> Readable:
    """Sets of inputs; all of them are kept."""
    n_inputs, n_rows = problem.sizes[0], len(problem.rows)
    _require_few(2**n_inputs)
    nothing = np.zeros((1, n_rows))
    held = (np.arange(2**n_inputs)[:, None] >> np.arange(n_inputs)[::-1]) & 1
    ways: Ways = np.zeros(2**n_inputs, dtype=np.object_)
    ways[-1] = 1
    return Readable(
        held=held,
        values=tuple(np.concatenate([nothing, row[None]]) for row in problem.rows.T),
        ways=ways,
        ways_all_on=ways,
    )


class _Found(NamedTuple):
    """Choices of a layer, by their numbers, with the number of ways in which they arise."""

    keys: Wholes
    ways: Ways
    ways_all_on: Ways

    @classmethod
    def merged(cls, found: "list[_Found]") -> "_Found":
        """Equal choices once."""
        every = np.concatenate([some.keys for some in found])
        keys, which = np.unique(every, return_inverse=True)
        ways, ways_all_on = (np.concatenate([some[place] for some in found]) for place in (1, 2))
        summed = np.zeros((2, len(keys)), dtype=np.object_)
        np.add.at(summed[0], which, ways)
        np.add.at(summed[1], which, ways_all_on)
        return cls(keys, summed[0], summed[1])


def _next_layer(problem: Problem, layer: int, before: Readable) -> Readable:
    """What may be read of a layer -> what may be read of the next."""
    # each unit may have a value, or not be there
    _require_few((len(before) - 1) * 2 ** problem.sizes[layer + 1])
    values, numbers = _values_of_units(problem, layer, before)
    places = [prod(len(own) for own in values[unit + 1 :]) for unit in range(len(values))]
    _require_few(prod(len(own) for own in values), at_most=MAX_KEY)
    signed, signed_all_on = before.signed(before.ways), before.signed(before.ways_all_on)
    waiting: list[_Found] = []
    n_met = n_waiting = 0
    for choice in np.flatnonzero((signed != 0) | (signed_all_on != 0)):
        parts = _parts(before, int(choice))
        options = [np.unique(own[parts], return_counts=True) for own in numbers]
        n_found = prod(1 + len(present) for present, _ in options)
        _require_few(n_found)
        keys = np.zeros(1, dtype=np.int64)
        ways, ways_all_on = (
            np.array([some[choice]], dtype=np.object_) for some in (signed, signed_all_on)
        )
        for place, (present, times) in zip(places, options, strict=True):
            keys = np.add.outer(keys, place * np.concatenate([[0], present])).reshape(-1)
            there = np.concatenate([[1], times]).astype(np.object_)
            ways = np.multiply.outer(ways, there).reshape(-1)
            there[0] = 0
            ways_all_on = np.multiply.outer(ways_all_on, there).reshape(-1)
        waiting.append(_Found(keys, ways, ways_all_on))
        n_waiting += n_found
        n_met += n_found
        _require_few(n_met)
        if n_waiting > MERGED_AT_ONCE:
            waiting = [_Found.merged(waiting)]
            n_waiting = 0
    found = _Found.merged(waiting)
    _require_few(len(found.keys))
    bases = [len(own) for own in values]
    held = found.keys[:, None] // np.array(places) % np.array(bases)
    return Readable(held, values, found.ways, found.ways_all_on)


def _parts(before: Readable, choice: int) -> Wholes:
    """All non-empty parts of a choice, including itself."""
    keys = np.zeros(1, dtype=np.int64)
    for unit in np.flatnonzero(before.held[choice]):
        own = before.held[choice, unit] * before._places[unit]
        keys = np.add.outer(keys, np.array([0, own])).reshape(-1)
    return np.searchsorted(before.keys, keys[1:])


def _values_of_units(
    problem: Problem, layer: int, before: Readable
) -> tuple[tuple[Numbers, ...], list[Wholes]]:
    """For each unit, the values that it may have, and which it has when it reads each choice."""
    cut = problem.layers[layer]
    centred = [
        np.concatenate([np.zeros_like(own[:1]), own[1:] - carried])
        for own, carried in zip(before.values, cut.carried, strict=True)
    ]
    values: list[Numbers] = []
    numbers: list[Wholes] = []
    for weights, offset in zip(cut.weight, cut.bias_if_all_dropped, strict=True):
        pre = np.full((len(before), len(problem.rows)), offset)
        for weight, own, held in zip(weights, centred, before.held.T, strict=True):
            pre += weight * own[held]
        unit = problem.activate(pre, layer) + 0.0  # -0 becomes 0
        present, number = np.unique(unit, axis=0, return_inverse=True)
        values.append(np.concatenate([np.zeros_like(unit[:1]), present]))
        numbers.append(number.reshape(-1) + 1)
    return tuple(values), numbers


def _require_few(n_choices: int, *, at_most: int = MAX_CHOICES) -> None:
    require_at_most(
        n_choices,
        at_most,
        what="choices of what the last hidden layer may read",
        do="take a network with fewer inputs or a narrower first layer",
    )
