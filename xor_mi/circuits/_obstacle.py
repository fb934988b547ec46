"""a network whose units no joint reading fits -> where the search stops: layer, unit and rows.

The search goes layer by layer, and so does this. In the first layer in which nothing survives, each
unit is tried alone, the others left as they are, under the reading that comes closest.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from xor_mi.circuits._facts import Failing, Obstacle
from xor_mi.circuits._netlist import compose, measure_netlist
from xor_mi.circuits._readings import (
    Reading,
    consistent,
    faithful_readings,
    levels_of,
    unit_readings,
)
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP
from xor_mi.truth import name_of_bits, row_name, truth_rows
from xor_mi.values import LayerValues, forward_float64

MAX_TRIED = 100_000
"""Up to this many joint readings of a layer the one that comes closest is looked for."""
AT_ONCE = 4096
"""So many joint readings are run through the rest of the network together."""
MAX_MEASURED = 100
"""Of so many joint readings the netlist is measured, to find the one that comes closest."""

_Choice = tuple[tuple[Reading, ...], ...]
"""One reading per unit, layer by layer."""


class _Fit(NamedTuple):
    """How well a reading fits: best is the smallest. The gate settles ties."""

    n_rows: int
    gate: str
    rows: tuple[str, ...]


@torch.no_grad()
def certain_gates(model: HookedMLP) -> tuple[tuple[Unit, str], ...]:
    """The hidden units with exactly one reading, and their gates."""
    certain = []
    for layer, values in enumerate(forward_float64(model, model.rows())[:-1]):
        for index, column in enumerate(values.post.T):
            readings = unit_readings(column)
            if len(readings) == 1:
                certain.append((Unit(layer, index), readings[0].gate))
    return tuple(certain)


@torch.no_grad()
def find_obstacle(model: HookedMLP) -> Obstacle | None:
    """Where no joint reading gets further; None where one survives."""
    layers = forward_float64(model, model.rows())
    decided = model.rule.decide(layers[-1].post)
    choices: list[_Choice] = [()]
    for layer in range(model.cfg.n_layers):
        options = [option for option, _ in faithful_readings(model, layers, layer, decided=decided)]
        if not options:
            return _of_levels(model, layers, layer, decided)
        going_on = [
            (*before, option)
            for before, option in product(choices, options)
            if not before or consistent(before[-1], option)
        ]
        if not going_on:
            return _of_consistency(model, choices, options, layer)
        choices = going_on
    return _of_composition(model, choices, decided)


def _of_levels(
    model: HookedMLP, layers: Sequence[LayerValues], layer: int, decided: Tensor
) -> Obstacle:
    """Two levels per unit of this layer flip a decision, whichever way its units are read."""
    columns = list(layers[layer].post.T)
    options = [unit_readings(column) for column in columns]
    failing = []
    for index, readings in enumerate(options):
        # this unit at its two levels, all others as they are, [reading, row, unit]
        values = layers[layer].post.repeat(len(readings), 1, 1)
        values[..., index] = torch.stack([levels_of(reading) for reading in readings])
        flipped = _flipped(model, layers, layer, values, decided)
        fits = [
            _fit(model, reading.gate, rows) for reading, rows in zip(readings, flipped, strict=True)
        ]
        failing += _failing(Unit(layer, index), fits)
    return Obstacle(
        kind="levels",
        layer=layer,
        units=tuple(failing),
        rows=_closest_levels(model, layers, layer, options, decided),
    )


def _closest_levels(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    layer: int,
    options: Sequence[Sequence[Reading]],
    decided: Tensor,
) -> tuple[str, ...]:
    """The rows that flip under the joint reading of the layer that flips fewest."""
    if prod(map(len, options)) > MAX_TRIED:
        return ()
    levels = [torch.stack([levels_of(reading) for reading in unit]) for unit in options]
    numbers = [torch.arange(len(unit)) for unit in options]
    choices = torch.cartesian_prod(*numbers).reshape(-1, len(options))
    fewest: Tensor | None = None
    for chunk in choices.split(AT_ONCE):
        columns = [of_unit[chunk[:, u]] for u, of_unit in enumerate(levels)]
        flipped = _flipped(model, layers, layer, torch.stack(columns, dim=-1), decided)
        rows = flipped[flipped.sum(1).argmin()]
        if fewest is None or rows.sum() < fewest.sum():
            fewest = rows
    return () if fewest is None else _names(model, fewest)


def _flipped(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    layer: int,
    values: Tensor,
    decided: Tensor,
) -> Tensor:
    """Which rows are decided otherwise with these values in the layer, [..., row]."""
    rest = forward_float64(model, values, start=layer + 1, inputs=layers[0].inputs)
    return (model.rule.decide(rest[-1].post) != decided).any(-1)


def _of_consistency(
    model: HookedMLP,
    choices: Sequence[_Choice],
    options: Sequence[tuple[Reading, ...]],
    layer: int,
) -> Obstacle:
    """Some unit of this layer is no function of the bits of the layer before."""
    before = list(dict.fromkeys(choice[-1] for choice in choices))
    failing = []
    for index in range(model.cfg.d_hidden[layer]):
        readings = list(dict.fromkeys(option[index] for option in options))
        fits = [
            _fit(model, reading.gate, _clashing(readings_before, [reading]))
            for readings_before, reading in product(before, readings)
        ]
        failing += _failing(Unit(layer, index), fits)
    pairs = list(product(before, options))[:MAX_TRIED]
    clashes = [_clashing(readings_before, option) for readings_before, option in pairs]
    closest = min(clashes, key=lambda rows: int(rows.sum()))
    return Obstacle(
        kind="consistency", layer=layer, units=tuple(failing), rows=_names(model, closest)
    )


def _clashing(before: Sequence[Reading], after: Sequence[Reading]) -> Tensor:
    """Rows on which the layer before has the same bits, but these readings differ, [row]."""
    bits_before = list(zip(*(reading.bits for reading in before), strict=True))
    bits_after = list(zip(*(reading.bits for reading in after), strict=True))
    seen: defaultdict[tuple[int, ...], set[tuple[int, ...]]] = defaultdict(set)
    for parents, bits in zip(bits_before, bits_after, strict=True):
        seen[parents].add(bits)
    return torch.tensor([len(seen[parents]) > 1 for parents in bits_before])


def _of_composition(
    model: HookedMLP, choices: Sequence[_Choice], decided: Tensor
) -> Obstacle | None:
    """The netlist, run on the rows, gives other bits than were read, or other decisions."""
    closest: tuple[Failing, ...] | None = None
    for readings in choices[:MAX_MEASURED]:
        wrong = _composed_otherwise(model, readings, decided)
        if closest is None or _n_rows(wrong) < _n_rows(closest):
            closest = wrong
    if not closest:
        return None
    rows = {row for one in closest for row in one.rows}
    return Obstacle(
        kind="composition",
        layer=min(one.unit.layer for one in closest),
        units=closest,
        rows=tuple(sorted(rows)),
    )


def _composed_otherwise(
    model: HookedMLP, readings: _Choice, decided: Tensor
) -> tuple[Failing, ...]:
    """The units and outputs whose gates do not compose to their bits, with the rows."""
    composed = compose(measure_netlist(model, readings), model.layer_sizes)
    expected = {
        Unit(layer, index): torch.tensor(reading.bits)
        for layer, of_layer in enumerate(readings)
        for index, reading in enumerate(of_layer)
    }
    expected |= dict(zip(model.decision_units, decided.T, strict=True))
    failing = []
    for unit, bits in composed.items():
        wrong = bits != expected[unit]
        if wrong.any():
            gate = name_of_bits(tuple(expected[unit].tolist()))
            failing.append(Failing(unit, gate, _names(model, wrong)))
    return tuple(failing)


def _n_rows(failing: Iterable[Failing]) -> int:
    return sum(len(one.rows) for one in failing)


def _fit(model: HookedMLP, gate: str, rows: Tensor) -> _Fit:
    return _Fit(n_rows=int(rows.sum()), gate=gate, rows=_names(model, rows))


def _failing(unit: Unit, fits: Sequence[_Fit]) -> list[Failing]:
    """The unit under its closest reading, if even that fails somewhere."""
    best = min(fits)
    return [Failing(unit, best.gate, best.rows)] if best.n_rows else []


def _names(model: HookedMLP, rows: Tensor) -> tuple[str, ...]:
    """The names of the rows that are marked, [row]."""
    marked = zip(truth_rows(model.cfg.d_in), rows.tolist(), strict=True)
    return tuple(row_name(row) for row, here in marked if here)
