"""one reading per unit -> the local gate of every unit and output, and what they compose to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from xor_mi.circuits import _tables
from xor_mi.circuits._readings import Reading, of_unit, tells_apart
from xor_mi.graph import Unit, layers_of
from xor_mi.model import require_output
from xor_mi.truth import BooleanFunction, truth_rows

READABLE = 1000
"""If a formula over units has more characters, sentences only name what it depends on."""


@dataclass(frozen=True)
class LocalGate:
    """What one unit or decision computes from what it reads, as a truth table over its parents.

    Attributes:
        unit: whose gate this is; for a decision, the output that stands for it.
        parents: the names of its inputs, most significant first: the layer before, and after it
            the network's inputs if an output reads them directly.
        table: its bit on every combination of them; None where it has no bit. In a measured netlist
            this is a combination, never produced by an input, on which an output is undecided.
    """

    unit: Unit
    parents: tuple[str, ...]
    table: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.unit.name} = {self.formula}"

    @cached_property
    def bits(self) -> tuple[int, ...]:
        """The table with 0 where there is no bit."""
        known = cast(tuple[int, ...], self.table)
        # nearly every table is complete, and may have thousands of entries
        return tuple(bit or 0 for bit in self.table) if None in self.table else known

    @cached_property
    def function(self) -> BooleanFunction:
        """`bits` as a function of the parents.

        Raises:
            XorMiError: more parents than a `BooleanFunction` may have inputs; `bits` is still
                there.
        """
        return BooleanFunction(len(self.parents), (self.bits,))

    @property
    def formula(self) -> str:
        """`bits` as a formula over the parents' names.

        It is measured on every combination of their levels, also on those that no input produces,
        because a joint interchange does produce them. If more than 12 parents matter, it only names
        them: 'f(h0.0, h0.1, ...)'.
        """
        return _tables.formula_over(self.bits, self.parents)

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the gate among others."""
        is_short = len(self.formula) <= READABLE
        return {"unit": self.unit.name, "gate": self.formula if is_short else self.named}

    @property
    def named(self) -> str:
        """The parents that it depends on, as 'f(h0.0, h0.1)': for a formula too long to read."""
        return _tables.named([self.parents[k] for k in self.depends_on])

    @property
    def undecided(self) -> tuple[str, ...]:
        """The combinations without a bit, such as ('011',)."""
        width = len(self.parents)
        # the number of a combination, written in bits, is its name
        return tuple(f"{row:0{width}b}" for row, bit in enumerate(self.table) if bit is None)

    @property
    def depends_on(self) -> tuple[int, ...]:
        """The positions of the parents that can change its bit."""
        return _tables.essential_parents(self.bits)


def run(netlist: Sequence[LocalGate], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Run gates, in order of layers -> the bit of every place, by name.

    Args:
        values: the bits of the places that the first gates read, of one common shape.
    """
    values = dict(values)
    for gate in netlist:
        rows = _rows_of(gate, values)
        values[gate.unit.name] = _tables.as_tensor(gate.bits)[rows].long()
    return values


def _rows_of(gate: LocalGate, values: Mapping[str, Tensor]) -> Tensor:
    """`row_numbers` of what a gate reads, without copying all of it side by side."""
    first, *others = (values[parent] for parent in gate.parents)
    rows = first.long().clone()
    for bits in others:
        rows.mul_(2).add_(bits)
    return rows


def compose(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> dict[Unit, Tensor]:
    """Run the netlist on all input rows -> the bit of every hidden unit and decision, [row]."""
    values = run(netlist, _input_bits(layer_sizes[0]))
    return {gate.unit: values[gate.unit.name] for gate in netlist}


def compose_from(
    netlist: Sequence[LocalGate],
    layer_sizes: Sequence[int],
    layer: int,
    bits: Tensor,
    *,
    inputs: Tensor,
) -> Tensor:
    """The netlist run on from one hidden layer's bits -> the decisions, [..., decision].

    Args:
        bits: those of the layer's units, [..., unit].
        inputs: those of the inputs, for outputs that read them directly, [..., input].
    """
    # `layers_of` begins with the inputs, so hidden layer 0 is its second
    places, *hidden = layers_of(layer_sizes)
    start = {unit.name: bits[..., unit.index] for unit in hidden[layer]}
    start |= {unit.name: inputs[..., unit.index] for unit in places}
    later = [gate for gate in netlist if gate.unit.layer > layer]
    return _outputs(run(later, start), netlist)


def _input_bits(n_inputs: int) -> dict[str, Tensor]:
    """Input -> its bit on all rows, [row]."""
    rows = torch.tensor(truth_rows(n_inputs))
    return {f"x{i}": rows[:, i] for i in range(n_inputs)}


def _outputs(values: Mapping[str, Tensor], netlist: Sequence[LocalGate]) -> Tensor:
    """[..., decision]"""
    return torch.stack([values[unit.name] for unit in output_units(netlist)], dim=-1)


def output_units(netlist: Sequence[LocalGate]) -> list[Unit]:
    """The units that stand for the network's decisions, in order."""
    return [gate.unit for gate in netlist if gate.unit.is_output]


def nested_formula(
    gate: LocalGate, written: Mapping[str, str], values: Mapping[str, Tensor]
) -> str:
    """A local gate's formula with its parents' formulas put in.

    These are in brackets unless they are a single name. What the gate does on combinations of its
    parents' bits that no input produces is left out: over the inputs it is never true.

    Args:
        written: the parents' formulas, by name; inputs have none.
        values: the parents' bits on the input rows, by name, [row].
    """
    occurring = torch.stack([values[parent] for parent in gate.parents], dim=-1)
    local = _tables.formula_over(gate.bits, gate.parents, occurring=occurring)
    if local in written:  # a unit that only passes its parent on
        return written[local]
    names = [written.get(parent, parent) for parent in gate.parents]
    bracketed = [name if name.isalnum() else f"({name})" for name in names]
    return _tables.formula_over(gate.bits, bracketed, occurring=occurring)


@dataclass(frozen=True)
class JointReading:
    """One reading for every hidden unit, with the netlist measured under it.

    Attributes:
        readings: per hidden layer, one `Reading` per unit.
        netlist: the local gate of every hidden unit, layer by layer, then of every decision.
        worst_margin: the smallest distance of a score from the threshold, on the side of the
            original decision, over all rows, outputs and layers when a layer is replaced by its
            levels; in the output's units.
        interchange: unit -> how many of the n_interchange (base, source) pairs the network decides
            as the netlist predicts, with this unit, and its copies, taken from the source.
    """

    readings: tuple[tuple[Reading, ...], ...]
    netlist: tuple[LocalGate, ...] = field(repr=False)
    worst_margin: float
    interchange: dict[Unit, int] = field(repr=False, hash=False)
    n_interchange: int

    def __str__(self) -> str:
        return "; ".join(map(str, self.netlist))

    def of(self, unit: Unit) -> Reading:
        """The reading of one hidden unit.

        Raises:
            XorMiError: no such hidden unit.
        """
        return of_unit(self.readings, unit)

    def with_interchange(self, counts: dict[Unit, int]) -> "JointReading":
        """The same with its counts: unit -> pairs of rows."""
        return replace(self, interchange=counts)

    def tells_apart(self, a: Unit, b: Unit) -> bool:
        """Whether two units are read as different gates that are not complements.

        Raises:
            XorMiError: no such hidden unit.
        """
        return tells_apart(self.of(a), self.of(b))

    @property
    def gates(self) -> tuple[tuple[str, ...], ...]:
        """Gate names, layer by layer."""
        names = [[reading.gate for reading in layer] for layer in self.readings]
        return tuple(map(tuple, names))

    @property
    def interchange_accuracy(self) -> float:
        """Mean over units of the fraction of (base, source) pairs decided as predicted."""
        return sum(self.interchange.values()) / (self.n_interchange * len(self.interchange))

    @property
    def formula(self) -> str:
        """The netlist from inputs to every decision, joined by ', '."""
        n_decisions = len(output_units(self.netlist))
        return ", ".join(self.formula_of(output) for output in range(n_decisions))

    def formula_of(self, output: int = 0) -> str:
        """The netlist from inputs to one output, as one nested formula.

        Each gate is as in the netlist, without what it does on combinations of its parents that no
        input produces. So a unit that an output depends on may not occur in the formula; the
        netlist has the gate itself, measured on all combinations.

        Args:
            output: the number of the decision. It is the number of the output, except if two
                outputs are one decision.

        Raises:
            XorMiError: no such decision.
        """
        decisions = output_units(self.netlist)
        number = require_output(output, len(decisions))
        values = run(self.netlist, _input_bits(len(self.netlist[0].parents)))
        written: dict[str, str] = {}
        for gate in self.netlist:
            written[gate.unit.name] = nested_formula(gate, written, values)
        return written[decisions[number].name]
