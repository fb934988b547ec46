"""one reading per unit -> the local gate of every unit and output, measured, and what they compose to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xor_mi.activations import exact_forward
from xor_mi.circuits.readings import Reading
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
        combinations = truth_rows(len(before))
        values = torch.tensor([[(r.low, r.high)[bit] for r, bit in zip(before, bits, strict=True)] for bits in combinations])
        reached = exact_forward(model, values.double(), start=layer)[0].post
        is_output = layer == len(readings)
        cuts = [model.threshold] * len(places[-1]) if is_output else [reading.threshold for reading in readings[layer]]
        for unit, column, cut in zip(places[layer + 1], reached.T, cuts, strict=True):
            decided = decision(column, cut)
            ties = tuple(row_name(bits) for bits, d in zip(combinations, decided, strict=True) if d == UNDECIDED)
            function = BooleanFunction(len(before), (tuple(decided.clamp(min=0).tolist()),))
            gates.append(LocalGate(unit, tuple(u.name for u in places[layer]), function, ties))
    return tuple(gates)


def compose(netlist: Sequence[LocalGate], layer_sizes: Sequence[int], swap: tuple[Unit, Tensor] | None = None) -> Tensor:
    """Run the netlist on all input rows -> its outputs, [base, source, output].

    swap = (unit, bits [source]) sets that unit's bit to each of the given ones in turn; without it the source axis has length 1.
    """
    rows = torch.tensor(truth_rows(layer_sizes[0]))
    n_sources = 1 if swap is None else len(swap[1])
    values = {f"x{i}": rows[:, i : i + 1].expand(-1, n_sources) for i in range(layer_sizes[0])}
    for gate in netlist:
        index = torch.zeros(len(rows), n_sources, dtype=torch.long)
        for parent in gate.parents:
            index = 2 * index + values[parent]
        values[gate.unit.name] = torch.tensor(gate.function.bits)[index]
        if swap is not None and gate.unit == swap[0]:
            values[gate.unit.name] = swap[1].expand(len(rows), -1)
    return torch.stack([values[f"y{k}"] for k in range(layer_sizes[-1])], dim=-1)


def nested_formula(gate: LocalGate, written: dict[str, str]) -> str:
    """A local gate's formula with its parents' formulas put in, in brackets where they are not a single name."""
    names = []
    for parent in gate.parents:
        inner = written.get(parent, parent)
        names.append(inner if inner.isalnum() else f"({inner})")
    return gate.function.formula_over(names)
