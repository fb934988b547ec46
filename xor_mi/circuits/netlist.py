"""one reading per unit -> the local gate of every unit and output, measured, and what they compose to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xor_mi.activations import exact_forward
from xor_mi.circuits.readings import ROUNDING, Reading
from xor_mi.graph import Unit, layers_of
from xor_mi.metrics import UNDECIDED, decision
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction, row_name, truth_rows


@dataclass(frozen=True)
class LocalGate:
    """What one unit or output computes from the layer before, measured on every combination of that layer's levels.

    Attributes:
        unit: whose gate this is.
        parents: the names of its inputs, most significant first.
        function: its truth table over them.
        undecided: combinations, never produced by an input, on which an output lies exactly on the threshold (the table has 0 there).
    """

    unit: Unit
    parents: tuple[str, ...]
    function: BooleanFunction
    undecided: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        return self.function.formula_over(self.parents)


def measure_netlist(model: HookedMLP, readings: Sequence[Sequence[Reading]]) -> tuple[LocalGate, ...]:
    """The local gate of every hidden unit and output: its parents set to every combination of their levels."""
    places = layers_of(model.layer_sizes)
    inputs = tuple(unit.name for unit in places[0])
    first = zip(places[1], readings[0], strict=True)
    gates = [LocalGate(unit, inputs, BooleanFunction(model.cfg.d_in, (reading.bits,))) for unit, reading in first]
    for layer, before in enumerate(readings, start=1):
        combinations = torch.tensor(truth_rows(len(before)))
        levels = torch.tensor([(reading.low, reading.high) for reading in before], dtype=torch.float64)
        values = levels[torch.arange(len(before)), combinations]
        reached = exact_forward(model, values, start=layer)[0].post
        is_output = layer == len(readings)
        cuts = [model.threshold] * len(places[-1]) if is_output else [reading.threshold for reading in readings[layer]]
        parents = tuple(unit.name for unit in places[layer])
        for unit, column, cut in zip(places[layer + 1], reached.T, cuts, strict=True):
            distance = (column - cut).abs()
            decided = torch.where(distance <= ROUNDING * distance.max(), UNDECIDED, decision(column, cut))
            ties = tuple(row_name(bits) for bits in combinations[decided == UNDECIDED].tolist())
            function = BooleanFunction(len(before), (tuple(decided.clamp(min=0).tolist()),))
            gates.append(LocalGate(unit, parents, function, ties))
    return tuple(gates)


def compose(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> Tensor:
    """Run the netlist on all input rows -> the outputs' bits, [row, output]."""
    return _run(netlist, layer_sizes, [], torch.zeros(0, 1, dtype=torch.long))[:, 0, 0]


def compose_swapped(netlist: Sequence[LocalGate], layer_sizes: Sequence[int], units: Sequence[Unit], bits: Tensor) -> Tensor:
    """The netlist's interchange: each unit in turn set to each of its bits [unit, source] -> [base, unit, source, output]."""
    return _run(netlist, layer_sizes, units, bits)[:, 1:]


def _run(netlist: Sequence[LocalGate], layer_sizes: Sequence[int], units: Sequence[Unit], bits: Tensor) -> Tensor:
    """[row, 1 + unit, source, output]: slot 0 runs undisturbed, slot 1 + u with unit u's bit set to that of each source."""
    rows = torch.tensor(truth_rows(layer_sizes[0]))
    slot = {unit: number for number, unit in enumerate(units, start=1)}
    shape = (len(rows), 1 + len(units), bits.shape[1])
    values = {f"x{i}": rows[:, i, None, None].expand(shape) for i in range(layer_sizes[0])}
    for gate in netlist:
        index = torch.zeros(shape, dtype=torch.long)
        for parent in gate.parents:
            index = 2 * index + values[parent]
        values[gate.unit.name] = torch.tensor(gate.function.bits)[index]
        if gate.unit in slot:
            values[gate.unit.name][:, slot[gate.unit]] = bits[slot[gate.unit] - 1]
    return torch.stack([values[f"y{k}"] for k in range(layer_sizes[-1])], dim=-1)


def nested_formula(gate: LocalGate, written: dict[str, str]) -> str:
    """A local gate's formula with its parents' formulas put in, in brackets where they are not a single name."""
    if gate.formula in written:  # a unit that only hands its parent on
        return written[gate.formula]
    names = [written.get(parent, parent) for parent in gate.parents]
    return gate.function.formula_over([name if name.isalnum() else f"({name})" for name in names])
