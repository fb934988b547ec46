"""a network -> which unit acts as which gate, proved; or why none does.

    values -> readings of each unit -> joint readings that survive substitution -> measured netlist -> interchange evidence -> verdict

A *reading* of a unit is a threshold strictly between two neighbouring distinct values it takes on the input rows; its bits say on which
rows the unit is above it. relu(x0 + x1) takes 0, 1, 1, 2, so it reads as OR at a low threshold and as AND at a high one: a single unit
decides nothing, the whole network does. A *joint reading* gives every unit one reading. It is kept if it is

- faithful: in each hidden layer in turn, replacing every unit by its two mean levels leaves every decision as it was;
- consistent: every unit's bits are a function of the bits of the layer before;
- composed: the local gates, measured by setting the layer before to *every* combination of its levels (not only those that inputs
  produce, so no don't-care is left to taste), give the network's decisions on all rows.

One kept reading: `identified`. Several: `ambiguous`, all listed. None: `no_gate_reading`. A network that does not compute its target:
`not_computing`. The evidence is interchange (Geiger et al. 2025, arXiv 2301.04709): give one unit the value it has on another input;
the network must decide as the netlist with that unit's bit swapped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xor_mi.activations import LayerValues, exact_forward
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit, layers_of
from xor_mi.interventions import patch_sweep
from xor_mi.metrics import UNDECIDED, decision
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction, complement_name, gate_name, name_of_bits, row_name, truth_rows

DISTINCT = 1e-6
"""Two values of a unit are distinct if further apart than this part of its range."""
ROUNDING = 1e-9
"""A substituted output within this part of the output's scale from the threshold is on it: undecided, so not faithful."""

VERDICTS = ("identified", "ambiguous", "no_gate_reading", "not_computing")


@dataclass(frozen=True)
class Reading:
    """One way to read a unit as a bit.

    Attributes:
        bits: the unit's bit on each input row, in lexicographic order.
        threshold: halfway between the two neighbouring values it separates.
        margin: their gap as a fraction of the unit's range; None for a constant unit.
        low, high: the mean value where the bit is 0 and where it is 1 (both the value itself for a constant unit).
        note: "dead" for a constant unit read as FALSE, "always on" for one read as TRUE, else "".
    """

    bits: tuple[int, ...]
    threshold: float
    margin: float | None
    low: float
    high: float
    note: str = ""

    @property
    def gate(self) -> str:
        """The bits as a function of the network's inputs: a gate's name, or a formula where there is none."""
        return name_of_bits(self.bits)


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


@dataclass(frozen=True)
class JointReading:
    """One reading for every hidden unit, with the netlist measured under it.

    Attributes:
        readings: per hidden layer, one `Reading` per unit.
        netlist: the local gate of every hidden unit, layer by layer, then of every output.
        worst_margin: smallest distance to the threshold, on the side of the original decision, over all rows, outputs and layers when a
            layer is replaced by its levels. In the output's units.
        interchange: unit -> how many of the n_interchange (base, source) pairs the network decides as the netlist predicts.
    """

    readings: tuple[tuple[Reading, ...], ...]
    netlist: tuple[LocalGate, ...] = field(repr=False)
    worst_margin: float
    interchange: dict[Unit, int] = field(repr=False)
    n_interchange: int

    @property
    def gates(self) -> tuple[tuple[str, ...], ...]:
        """Gate names, layer by layer."""
        return tuple(tuple(reading.gate for reading in layer) for layer in self.readings)

    @property
    def interchange_accuracy(self) -> float:
        """Mean over units of the fraction of (base, source) pairs decided as predicted."""
        return sum(self.interchange.values()) / (self.n_interchange * len(self.interchange))

    def formula_of(self, output: int = 0) -> str:
        """The netlist from inputs to one output, as one nested formula."""
        written = {gate.unit.name: _nested(gate, {}) for gate in self.netlist if gate.unit.layer == 0}
        for gate in self.netlist:
            if gate.unit.layer > 0:
                written[gate.unit.name] = _nested(gate, written)
        return written[f"y{output}"]


class CircuitUnit(NamedTuple):
    """One hidden unit of a circuit. `gate` is None when the network has no circuit; `margin` is None for a constant unit too."""

    unit: Unit
    layer: int
    index: int
    gate: str | None
    margin: float | None
    note: str
    interchange: int | None


class ActsAs(NamedTuple):
    """A unit that acts as the gate asked for (polarity +1) or as its complement (polarity -1)."""

    unit: Unit
    polarity: int
    gate: str


@dataclass(frozen=True)
class Circuit:
    """What a network's units compute, with its evidence and verdict.

    Attributes:
        target: the function the network was held against.
        verdict: one of `VERDICTS`.
        reason: the facts that decided the verdict, as one sentence.
        readings: every kept joint reading, the primary one first (highest interchange accuracy, then largest worst margin, then the
            first by gates).
        layer_sizes: (d_in, *d_hidden, d_out).
    """

    target: BooleanFunction
    verdict: str
    reason: str
    readings: tuple[JointReading, ...] = field(repr=False)
    layer_sizes: tuple[int, ...]

    @property
    def primary(self) -> JointReading | None:
        """The reading the circuit is reported under; None when there is none."""
        return self.readings[0] if self.readings else None

    @property
    def units(self) -> tuple[CircuitUnit, ...]:
        """Every hidden unit with its gate, margin and interchange count under the primary reading."""
        found = []
        for layer, members in enumerate(layers_of(self.layer_sizes)[1:-1]):
            for unit in members:
                if self.primary is None:
                    found.append(CircuitUnit(unit, layer, unit.index, None, None, "", None))
                else:
                    reading = self.primary.readings[layer][unit.index]
                    count = self.primary.interchange[unit]
                    found.append(CircuitUnit(unit, layer, unit.index, reading.gate, reading.margin, reading.note, count))
        return tuple(found)

    @property
    def netlist(self) -> tuple[LocalGate, ...]:
        """The measured local gates under the primary reading; empty when there is none."""
        return self.primary.netlist if self.primary else ()

    @property
    def formula(self) -> str | None:
        """The netlist written out over the inputs, one formula per output joined by ', '; None without a circuit."""
        if self.primary is None:
            return None
        return ", ".join(self.primary.formula_of(k) for k in range(self.layer_sizes[-1]))

    @property
    def readout(self) -> str | None:
        """Each output's gate over the last hidden layer's units, such as 'h0.0 & ~h0.1'; None without a circuit."""
        gates = [gate.formula for gate in self.netlist if gate.unit.is_output]
        return ", ".join(gates) or None

    @property
    def gate_set(self) -> str | None:
        """The hidden units' gates in alphabetical order, such as '{AND, OR}': a first name for the kind of circuit."""
        return "{" + ", ".join(sorted(unit.gate for unit in self.units if unit.gate)) + "}" if self.primary else None

    def units_acting_as(self, gate: str, up_to_complement: bool = True) -> tuple[ActsAs, ...]:
        """Units whose bits under the primary reading are this gate, or its complement with polarity -1; empty if there are none.

        Never the nearest label. A network without a circuit has no unit that acts as anything.

        Raises:
            XorMiError: a name that no two-input gate has.
        """
        asked = gate_name(gate) if self.layer_sizes[0] == 2 else BooleanFunction.named(gate, self.layer_sizes[0]).name
        opposite = complement_name(asked) if self.layer_sizes[0] == 2 else BooleanFunction.named(gate, self.layer_sizes[0]).complement().name
        polarity = {asked: 1} | ({opposite: -1} if up_to_complement else {})
        return tuple(ActsAs(u.unit, polarity[u.gate], u.gate) for u in self.units if u.gate in polarity)

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.reason}"]
        if self.primary:
            for unit in self.units:
                margin = f"margin {unit.margin:.2f}" if unit.margin is not None else unit.note
                count = f"interchange {unit.interchange}/{self.primary.n_interchange}"
                lines.append(f"  {unit.unit.name}  {unit.gate:<6} {margin}, {count}")
            lines.append(f"  output  {self.readout}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything above as JSON-ready values."""
        return {
            "format": "xor_mi.Circuit/1",
            "layer_sizes": list(self.layer_sizes),
            "target": {"name": self.target.name, "tables": [list(table) for table in self.target.tables]},
            "verdict": self.verdict,
            "reason": self.reason,
            "formula": self.formula,
            "readout": self.readout,
            "units": [unit._asdict() | {"unit": unit.unit.name} for unit in self.units],
            "readings": [_reading_dict(joint) for joint in self.readings],
        }


@torch.no_grad()
def identify_circuit(model: HookedMLP, target: Any = None, max_joint_readings: int = 1_000_000) -> Circuit:
    """Which hidden unit acts as which gate: every reading tried, the survivors measured, a verdict with its reason.

    Args:
        target: what the network should compute: a gate, a formula or a `BooleanFunction`. Default: `model.cfg.target`, and where that is
            None too, whatever the network decides.
        max_joint_readings: refuse a layer with more combinations of readings than this.

    >>> from xor_mi.handmade import textbook_xor
    >>> circuit = identify_circuit(textbook_xor())
    >>> circuit.verdict, [unit.gate for unit in circuit.units], circuit.readout
    ('identified', ['OR', 'AND'], 'h0.0 & ~h0.1')

    Raises:
        XorMiError: train mode, weights that are not finite, a target of another width, or too many joint readings.
    """
    model.require_ready("identifying a circuit")
    rows = truth_rows(model.cfg.d_in)
    layers = exact_forward(model, torch.tensor(rows))
    decided = decision(layers[-1].post, model.threshold)
    given = model.cfg.target if target is None else target
    function = BooleanFunction.of(_own_function(decided) if given is None else given, model.cfg.d_in)
    if function.n_outputs != model.cfg.d_out:
        raise XorMiError(f"the target has {function.n_outputs} outputs; the network has {model.cfg.d_out}")
    wrong = _wrong_rows(decided, function)
    if wrong:
        return Circuit(function, "not_computing", f"it does not compute {function.name}: {wrong}", (), model.layer_sizes)
    kept = list(_kept_readings(model, layers, decided, max_joint_readings))
    kept = _with_interchange(model, kept)
    kept.sort(key=lambda joint: (-joint.interchange_accuracy, -joint.worst_margin, joint.gates))
    verdict = ("no_gate_reading", "identified")[len(kept)] if len(kept) < 2 else "ambiguous"
    return Circuit(function, verdict, _reason(verdict, function, kept), tuple(kept), model.layer_sizes)


def unit_readings(values: Tensor) -> list[Reading]:
    """A unit's values on all rows, [row] -> every reading of it: one per gap between neighbouring distinct values.

    >>> [(reading.gate, reading.margin) for reading in unit_readings(torch.tensor([0.0, 1.0, 1.0, 2.0]))]
    [('OR', 0.5), ('AND', 0.5)]
    """
    values = values.double()
    ordered = values.sort().values
    spread = (ordered[-1] - ordered[0]).item()
    if spread <= DISTINCT * values.abs().max().item():
        on = bool(values.mean() > 0)
        level = values.mean().item()
        return [Reading((int(on),) * len(values), level, None, level, level, "always on" if on else "dead")]
    found = []
    for below, above in pairwise(ordered.tolist()):
        if above - below > DISTINCT * spread:
            threshold = (below + above) / 2
            bits = values > threshold
            low, high = values[~bits].mean().item(), values[bits].mean().item()
            found.append(Reading(tuple(bits.int().tolist()), threshold, (above - below) / spread, low, high))
    return found


def _own_function(decided: Tensor) -> BooleanFunction:
    n_inputs = len(decided).bit_length() - 1
    return BooleanFunction(n_inputs, tuple(tuple(column) for column in decided.clamp(min=0).T.tolist()))


def _wrong_rows(decided: Tensor, function: BooleanFunction) -> str:
    """'wrong on 01, undecided on 11', or '' where every row is decided as the function says."""
    goal = torch.tensor(function.tables).T
    names = [row_name(row) for row in function.rows()]
    undecided = [name for name, row in zip(names, decided, strict=True) if (row == UNDECIDED).any()]
    wrong = [name for name, d, g in zip(names, decided, goal, strict=True) if ((d != g) & (d != UNDECIDED)).any()]
    parts = [f"{what} on {', '.join(which)}" for what, which in (("wrong", wrong), ("undecided", undecided)) if which]
    return " and ".join(parts)


def _kept_readings(model: HookedMLP, layers: Sequence[LayerValues], decided: Tensor, bound: int) -> Iterator[JointReading]:
    """Joint readings that are faithful, consistent and compose to the network's decisions."""
    per_layer = [_faithful(model, layers, layer, decided, bound) for layer in range(model.cfg.n_layers)]
    if prod(len(options) for options in per_layer) > bound:
        raise XorMiError(f"over {bound} combinations of faithful layer readings; raise max_joint_readings, or study fewer units")
    for choice in product(*per_layer):
        readings = tuple(option for option, _ in choice)
        if not all(_consistent(before, after) for before, after in pairwise(readings)):
            continue
        netlist = _measure_netlist(model, readings)
        if _compose(netlist, model.layer_sizes) == _columns(decided):
            yield JointReading(readings, netlist, min(margin for _, margin in choice), {}, 4**model.cfg.d_in)


def _faithful(
    model: HookedMLP, layers: Sequence[LayerValues], layer: int, decided: Tensor, bound: int
) -> list[tuple[tuple[Reading, ...], float]]:
    """All choices of one reading per unit of this layer that leave every decision as it was, each with its worst margin."""
    options = [unit_readings(values) for values in layers[layer].post.T]
    count = prod(map(len, options))
    if count > bound:
        raise XorMiError(f"layer {layer} has {count} joint readings, more than max_joint_readings={bound}; raise it, or study fewer units")
    levels = [torch.tensor([[(r.low, r.high)[bit] for bit in r.bits] for r in unit], dtype=torch.float64) for unit in options]
    choices = torch.cartesian_prod(*(torch.arange(len(unit)) for unit in options)).reshape(count, len(options))
    sign = (2 * decided - 1).double()
    found = []
    for chunk in choices.split(4096):
        values = torch.stack([levels[u][chunk[:, u]] for u in range(len(options))], dim=-1)  # [choice, row, unit]
        distance = (exact_forward(model, values, start=layer + 1)[-1].post - model.threshold) * sign
        worst, scale = distance.flatten(1).amin(1), distance.flatten(1).abs().amax(1)
        for index in (worst > ROUNDING * scale).nonzero().flatten().tolist():
            picked = chunk[index].tolist()
            found.append((tuple(unit[k] for unit, k in zip(options, picked, strict=True)), worst[index].item()))
    return found


def _consistent(before: Sequence[Reading], after: Sequence[Reading]) -> bool:
    """Every unit's bits are a function of the bits of the layer before."""
    seen: dict[tuple[int, ...], tuple[int, ...]] = {}
    columns = zip(zip(*(r.bits for r in before), strict=True), zip(*(r.bits for r in after), strict=True), strict=True)
    return all(seen.setdefault(parents, bits) == bits for parents, bits in columns)


def _measure_netlist(model: HookedMLP, readings: Sequence[Sequence[Reading]]) -> tuple[LocalGate, ...]:
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


def _columns(bits: Tensor) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(column) for column in bits.T.tolist())


def _compose(netlist: Sequence[LocalGate], layer_sizes: Sequence[int], override: tuple[Unit, Tensor] | None = None) -> Any:
    """Run the netlist on all input rows -> one tuple of bits per output. With override = (unit, bits [source]), that unit's bit is set to
    each of the given bits in turn, and the result is a tensor [base, source, output]."""
    rows = torch.tensor(truth_rows(layer_sizes[0]))
    n_sources = 1 if override is None else len(override[1])
    values = {f"x{i}": rows[:, i : i + 1].expand(-1, n_sources) for i in range(layer_sizes[0])}
    for gate in netlist:
        index = sum(values[parent] << shift for shift, parent in enumerate(reversed(gate.parents)))
        values[gate.unit.name] = torch.tensor(gate.function.bits)[index]
        if override is not None and gate.unit == override[0]:
            values[gate.unit.name] = override[1].expand(len(rows), -1)
    outputs = torch.stack([values[f"y{k}"] for k in range(layer_sizes[-1])], dim=-1)
    return _columns(outputs[:, 0]) if override is None else outputs


def _with_interchange(model: HookedMLP, joints: Sequence[JointReading]) -> list[JointReading]:
    """Score every kept reading: on how many (base, source) pairs does the network, with one unit's value taken from the source, decide as
    the netlist with that unit's bit taken from the source?"""
    if not joints:
        return []
    rows, units = truth_rows(model.cfg.d_in), model.units()
    pairs = [(source, base) for base, source in product(rows, repeat=2)]
    sweeps = [patch_sweep(model, pairs, units, output=k).decisions for k in range(model.cfg.d_out)]
    network = torch.stack(sweeps, dim=-1).reshape(len(rows), len(rows), len(units), -1)  # [base, source, unit, output]
    scored = []
    for joint in joints:
        counts = {}
        for number, unit in enumerate(units):
            bits = torch.tensor(joint.readings[unit.layer][unit.index].bits)
            predicted = _compose(joint.netlist, model.layer_sizes, (unit, bits))
            counts[unit] = int((predicted == network[:, :, number].cpu()).all(-1).sum())
        scored.append(JointReading(joint.readings, joint.netlist, joint.worst_margin, counts, joint.n_interchange))
    return scored


def _nested(gate: LocalGate, written: dict[str, str]) -> str:
    """A local gate's formula with its parents' formulas put in, in brackets where they are not a single name."""
    names = []
    for parent in gate.parents:
        inner = written.get(parent, parent)
        names.append(inner if inner.isalnum() else f"({inner})")
    return gate.function.formula_over(names)


def _reason(verdict: str, function: BooleanFunction, kept: Sequence[JointReading]) -> str:
    if verdict == "no_gate_reading":
        return f"it computes {function.name}, but no way to read its units as bits survives substitution by two levels and composes to its decisions"
    first = kept[0]
    share = f"{sum(first.interchange.values())} of {first.n_interchange * len(first.interchange)}"
    facts = f"the netlist gives {function.name} on all rows, and {share} interchanges come out as it predicts"
    if verdict == "identified":
        return f"exactly one joint reading survives: {function.name} = {first.formula_of()}; {facts}"
    return f"{len(kept)} joint readings survive, so more than one explanation holds; under the first, {function.name} = {first.formula_of()}; {facts}"


def _reading_dict(joint: JointReading) -> dict[str, Any]:
    units = {unit.name: joint.readings[unit.layer][unit.index] for unit in joint.interchange}
    return {
        "units": {
            name: {"gate": r.gate, "bits": list(r.bits), "threshold": r.threshold, "margin": r.margin, "low": r.low, "high": r.high, "note": r.note}
            for name, r in units.items()
        },
        "netlist": {
            gate.unit.name: {"parents": list(gate.parents), "bits": list(gate.function.bits), "formula": gate.formula, "undecided": list(gate.undecided)}
            for gate in joint.netlist
        },
        "worst_margin": joint.worst_margin,
        "interchange": {unit.name: count for unit, count in joint.interchange.items()},
        "n_interchange": joint.n_interchange,
    }
