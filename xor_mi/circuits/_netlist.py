"""one reading per unit -> the local gate of every unit and output, measured, and what they compose
to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xor_mi.circuits._readings import ROUNDING, Reading
from xor_mi.graph import Unit, layers_of
from xor_mi.metrics import UNDECIDED, decision
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction, row_name, truth_rows
from xor_mi.values import forward_float64


@dataclass(frozen=True)
class LocalGate:
    """What one unit or output computes from the layer before, measured on every combination of that
    layer's levels.

    Attributes:
        unit: whose gate this is.
        parents: the names of its inputs, most significant first.
        function: its truth table over them.
        undecided: combinations, never produced by an input, on which an output lies exactly on the
            threshold (the table has 0 there).
    """

    unit: Unit
    parents: tuple[str, ...]
    function: BooleanFunction
    undecided: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        return self.function.formula_over(self.parents)

    @property
    def depends_on(self) -> tuple[int, ...]:
        """The positions of the parents that can change its bit."""
        return self.function.essential_inputs


def measure_netlist(
    model: HookedMLP, readings: Sequence[Sequence[Reading]]
) -> tuple[LocalGate, ...]:
    """The local gate of every hidden unit and output: its parents set to every combination of their
    levels.
    """
    places = layers_of(model.layer_sizes)
    inputs = tuple(unit.name for unit in places[0])
    first = zip(places[1], readings[0], strict=True)
    gates = [
        LocalGate(unit, inputs, BooleanFunction(model.cfg.d_in, (reading.bits,)))
        for unit, reading in first
    ]
    for layer, before in enumerate(readings, start=1):
        combinations = torch.tensor(truth_rows(len(before)))
        levels = torch.tensor(
            [(reading.low, reading.high) for reading in before], dtype=torch.float64
        )
        values = levels[torch.arange(len(before)), combinations]
        reached = forward_float64(model, values, start=layer)[0].post
        is_output = layer == len(readings)
        cuts = (
            [model.threshold] * len(places[-1])
            if is_output
            else [reading.threshold for reading in readings[layer]]
        )
        parents = tuple(unit.name for unit in places[layer])
        for unit, column, cut in zip(places[layer + 1], reached.T, cuts, strict=True):
            distance = (column - cut).abs()
            decided = torch.where(
                distance <= ROUNDING * distance.max(), UNDECIDED, decision(column, threshold=cut)
            )
            if (
                not is_output and readings[layer][unit.index].constant
            ):  # a constant unit is what it is, not a tie
                decided = torch.full_like(decided, readings[layer][unit.index].bits[0])
            ties = tuple(row_name(bits) for bits in combinations[decided == UNDECIDED].tolist())
            function = BooleanFunction(len(before), (tuple(decided.clamp(min=0).tolist()),))
            gates.append(LocalGate(unit, parents, function, ties))
    return tuple(gates)


def compose(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> dict[Unit, Tensor]:
    """Run the netlist on all input rows -> the bit of every hidden unit and output, [row]."""
    rows = torch.tensor(truth_rows(layer_sizes[0]))
    values = {f"x{i}": rows[:, i] for i in range(layer_sizes[0])}
    found = {}
    for gate in netlist:
        index = torch.zeros(len(rows), dtype=torch.long)
        for parent in gate.parents:
            index = 2 * index + values[parent]
        found[gate.unit] = values[gate.unit.name] = torch.tensor(gate.function.bits)[index]
    return found


def compose_swapped(
    netlist: Sequence[LocalGate], layer_sizes: Sequence[int], units: Sequence[Unit], bits: Tensor
) -> Tensor:
    """The netlist's interchange: each unit in turn set to each of its bits [unit, source] -> [base,
    unit, source, output].
    """
    return _run(netlist, layer_sizes, units, bits)[:, 1:]


def compose_from(
    netlist: Sequence[LocalGate], layer_sizes: Sequence[int], layer: int, bits: Tensor
) -> Tensor:
    """The netlist run on from one hidden layer's bits [case, unit] -> the outputs' bits, [case,
    output].
    """
    values = {unit.name: bits[:, unit.index] for unit in layers_of(layer_sizes)[layer + 1]}
    for gate in netlist:
        if gate.unit.layer > layer:
            index = torch.zeros(len(bits), dtype=torch.long)
            for parent in gate.parents:
                index = 2 * index + values[parent]
            values[gate.unit.name] = torch.tensor(gate.function.bits)[index]
    return torch.stack([values[f"y{k}"] for k in range(layer_sizes[-1])], dim=-1)


def _run(
    netlist: Sequence[LocalGate], layer_sizes: Sequence[int], units: Sequence[Unit], bits: Tensor
) -> Tensor:
    """[row, 1 + unit, source, output]: slot 0 runs undisturbed, slot 1 + u with unit u's bit set to
    that of each source.
    """
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
    """A local gate's formula with its parents' formulas put in, in brackets where they are not a
    single name.
    """
    if gate.formula in written:  # a unit that only hands its parent on
        return written[gate.formula]
    names = [written.get(parent, parent) for parent in gate.parents]
    return gate.function.formula_over([name if name.isalnum() else f"({name})" for name in names])


@dataclass(frozen=True)
class JointReading:
    """One reading for every hidden unit, with the netlist measured under it.

    Attributes:
        readings: per hidden layer, one `Reading` per unit.
        netlist: the local gate of every hidden unit, layer by layer, then of every output.
        worst_margin: smallest distance to the threshold, on the side of the original decision, over
            all rows, outputs and layers when a layer is replaced by its levels. In the output's
            units.
        interchange: unit -> how many of the n_interchange (base, source) pairs the network decides
            as the netlist predicts.
    """

    readings: tuple[tuple[Reading, ...], ...]
    netlist: tuple[LocalGate, ...] = field(repr=False)
    worst_margin: float
    interchange: dict[Unit, int] = field(repr=False, hash=False)
    n_interchange: int

    def of(self, unit: Unit) -> Reading:
        """The reading of one hidden unit."""
        return self.readings[unit.layer][unit.index]

    @property
    def gates(self) -> tuple[tuple[str, ...], ...]:
        """Gate names, layer by layer."""
        return tuple(tuple(reading.gate for reading in layer) for layer in self.readings)

    @property
    def interchange_accuracy(self) -> float:
        """Mean over units of the fraction of (base, source) pairs decided as predicted."""
        return sum(self.interchange.values()) / (self.n_interchange * len(self.interchange))

    @property
    def formula(self) -> str:
        """The netlist from inputs to every output, joined by ', '."""
        return ", ".join(
            self.formula_of(gate.unit.index) for gate in self.netlist if gate.unit.is_output
        )

    def formula_of(self, output: int = 0) -> str:
        """The netlist from inputs to one output, as one nested formula."""
        written = {
            gate.unit.name: nested_formula(gate, {})
            for gate in self.netlist
            if gate.unit.layer == 0
        }
        for gate in self.netlist:
            if gate.unit.layer > 0:
                written[gate.unit.name] = nested_formula(gate, written)
        return written[f"y{output}"]
