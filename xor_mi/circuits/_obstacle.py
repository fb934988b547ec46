"""a network without a circuit -> where the search stops: layer, unit and rows, or unit and margin.

Both the search and this module go layer by layer. In the first layer in which nothing survives,
each unit is tried alone, with the others unchanged, under the reading that comes closest. If
circuits survive but all have margins that are too small, the first of them shows which margins.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice, product
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from xor_mi.circuits._candidates import CandidateCircuit
from xor_mi.circuits._facts import Failing
from xor_mi.circuits._layerwise import Choice, LayerRead, NetworkOnRows, read_layers
from xor_mi.circuits._measured import Readings, measure_netlist
from xor_mi.circuits._netlist import compose
from xor_mi.circuits._readings import Reading, levels_of_option, options_of, unit_readings
from xor_mi.circuits._told import Obstacle
from xor_mi.circuits._variables import values_on_rows
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP
from xor_mi.truth import name_of_bits, row_name, truth_rows
from xor_mi.values import forward_float64

MAX_TRIED = 100_000
"""The joint reading of a layer that comes closest is searched for among at most so many."""
AT_ONCE = 4096
"""So many joint readings are run through the rest of the network together."""
MAX_MEASURED = 100
"""The netlist is measured for at most so many joint readings, to find the closest."""


class _Fit(NamedTuple):
    """How well a reading fits: the smallest is the best. The gate settles ties."""

    n_rows: int
    gate: str
    rows: tuple[str, ...]


@torch.no_grad()
def certain_gates(model: HookedMLP) -> tuple[tuple[Unit, str], ...]:
    """The hidden units with exactly one reading, and their gates."""
    certain = []
    for layer, values in enumerate(values_on_rows(model)[:-1]):
        for index, column in enumerate(values.post.T):
            readings = unit_readings(column)
            if len(readings) == 1:
                certain.append((Unit(layer, index), readings[0].gate))
    return tuple(certain)


@torch.no_grad()
def find_obstacle(model: HookedMLP) -> Obstacle | None:
    """The place that no joint reading gets past; None if one survives."""
    network = NetworkOnRows.of(model)
    read: LayerRead | None = None
    for read in read_layers(network, progress=False):
        if not read.options:
            return _of_levels(network, read.layer)
        if not read.choices:
            return _of_consistency(network, read)
    return _of_composition(network, read.choices) if read else None


def margin_obstacle(left_out: CandidateCircuit, min_margin: float) -> Obstacle:
    """The margins below `min_margin` that alone leave a circuit out."""
    failing = []
    # for copies, the unit that stands for them
    hidden = [gate.unit for gate in left_out.netlist if not gate.unit.is_output]
    for unit in hidden:
        reading = left_out.readings[0].of(unit)
        if reading.margin is not None and reading.margin < min_margin:
            failing.append(Failing(unit, reading.gate, rows=(), margin=reading.margin))
    return Obstacle(
        kind="margin",
        layer=min(one.unit.layer for one in failing),
        units=tuple(failing),
        rows=(),
        lets_in=left_out.smallest_margin,
    )


def _of_levels(network: NetworkOnRows, layer: int) -> Obstacle:
    """Two levels per unit of this layer flip a decision, however its units are read."""
    post = network.layers[layer].post
    variables = network.variables[layer]
    options = options_of(network.model, network.layers, layer, variables)
    levels = [levels_of_option(option) for option in options]
    failing = []
    for units, option, of_option in zip(variables, options, levels, strict=True):
        # this unit at its levels, all others unchanged, [reading, row, unit]
        values = post.repeat(len(option), 1, 1)
        values[..., list(units)] = of_option
        flipped = _flipped(network, layer, values)
        fits = [
            _fit(network.model, of_places[0].gate, rows)
            for of_places, rows in zip(option, flipped, strict=True)
        ]
        failing += _failing(Unit(layer, units[0]), fits)
    return Obstacle(
        kind="levels",
        layer=layer,
        units=tuple(failing),
        rows=_closest_levels(network, layer, levels),
    )


def _closest_levels(
    network: NetworkOnRows, layer: int, levels: Sequence[Tensor]
) -> tuple[str, ...]:
    """The rows that flip under the joint reading of the layer that flips fewest.

    Args:
        levels: per variable, its places under each of its readings, [reading, row, place].
    """
    if prod(map(len, levels)) > MAX_TRIED:
        return ()
    numbers = [torch.arange(len(of_variable)) for of_variable in levels]
    choices = torch.cartesian_prod(*numbers).reshape(-1, len(levels))
    fewest: Tensor | None = None
    for chunk in choices.split(AT_ONCE):
        shape = network.layers[layer].post.shape
        values = torch.empty(len(chunk), *shape, dtype=torch.float64)
        for v, units in enumerate(network.variables[layer]):
            values[..., list(units)] = levels[v][chunk[:, v]]
        flipped = _flipped(network, layer, values)
        rows = flipped[flipped.sum(1).argmin()]
        if fewest is None or rows.sum() < fewest.sum():
            fewest = rows
    return () if fewest is None else _names(network.model, fewest)


def _flipped(network: NetworkOnRows, layer: int, values: Tensor) -> Tensor:
    """Which rows are decided differently with these values in the layer, [..., row]."""
    inputs = network.layers[0].inputs
    rest = forward_float64(network.model, values, start=layer + 1, inputs=inputs)
    return (network.model.rule.decide(rest[-1].post) != network.decided).any(-1)


def _of_consistency(network: NetworkOnRows, read: LayerRead) -> Obstacle:
    """Some unit of this layer is not a function of the bits of the layer before."""
    model, layer = network.model, read.layer
    connected = network.connected(layer)
    before = list(dict.fromkeys(choice.readings[-1] for choice in read.before))
    failing = []
    for index in connected:
        readings = list(dict.fromkeys(option[index] for option in read.options))
        fits = [
            _fit(model, reading.gate, _clashing(readings_before, [reading]))
            for readings_before, reading in product(before, readings)
        ]
        failing += _failing(Unit(layer, index), fits)
    clashes = [
        _clashing(readings_before, [option[index] for index in connected])
        for readings_before, option in islice(product(before, read.options), MAX_TRIED)
    ]
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


def _of_composition(network: NetworkOnRows, choices: Sequence[Choice]) -> Obstacle | None:
    """The netlist, run on the rows, gives other bits than were read, or other decisions."""
    closest: tuple[Failing, ...] | None = None
    for choice in choices[:MAX_MEASURED]:
        composed = _composed_otherwise(network, choice.readings)
        # the bits of a unit that leads nowhere do not matter
        wrong = tuple(one for one in composed if one.unit not in network.unconnected)
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


def _composed_otherwise(network: NetworkOnRows, readings: Readings) -> tuple[Failing, ...]:
    """The units and outputs whose gates do not compose to their bits, with the rows."""
    model = network.model
    composed = compose(measure_netlist(model, readings, network.variables), model.layer_sizes)
    expected = {
        Unit(layer, index): torch.tensor(reading.bits)
        for layer, of_layer in enumerate(readings)
        for index, reading in enumerate(of_layer)
    }
    expected |= dict(zip(model.decision_units, network.decided.T, strict=True))
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
