"""kept joint readings + verdict -> Circuit: the answer and the questions it can be asked."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from xor_mi.circuits.netlist import LocalGate, nested_formula
from xor_mi.circuits.readings import Reading
from xor_mi.graph import Unit, layers_of
from xor_mi.truth import BooleanFunction

VERDICTS = ("identified", "ambiguous", "no_gate_reading", "not_computing")


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
    interchange: dict[Unit, int] = field(repr=False, hash=False)
    n_interchange: int

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
        return ", ".join(self.formula_of(gate.unit.index) for gate in self.netlist if gate.unit.is_output)

    def formula_of(self, output: int = 0) -> str:
        """The netlist from inputs to one output, as one nested formula."""
        written = {gate.unit.name: nested_formula(gate, {}) for gate in self.netlist if gate.unit.layer == 0}
        for gate in self.netlist:
            if gate.unit.layer > 0:
                written[gate.unit.name] = nested_formula(gate, written)
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
        return self.primary.formula if self.primary else None

    @property
    def readout(self) -> str | None:
        """Each output's gate over the last hidden layer's units, such as 'h0.0 & ~h0.1'; None without a circuit."""
        gates = [gate.formula for gate in self.netlist if gate.unit.is_output]
        return ", ".join(gates) or None

    @property
    def gate_set(self) -> str | None:
        """The hidden units' gates in alphabetical order, such as '{AND, OR}': a first name for the kind of circuit."""
        return "{" + ", ".join(sorted(unit.gate for unit in self.units if unit.gate)) + "}" if self.primary else None

    def units_acting_as(self, gate: Any, up_to_complement: bool = True) -> tuple[ActsAs, ...]:
        """Units whose bits under the primary reading are this gate, or its complement with polarity -1; empty if there are none.

        Never the nearest label. A network without a circuit has no unit that acts as anything.

        Raises:
            XorMiError: what is no gate name, formula or function of this many inputs.
        """
        asked = BooleanFunction.of(gate, self.layer_sizes[0])
        polarity = {asked.name: 1} | ({asked.complement().name: -1} if up_to_complement else {})
        return tuple(ActsAs(u.unit, polarity[u.gate], u.gate) for u in self.units if u.gate is not None and u.gate in polarity)

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


def _reading_dict(joint: JointReading) -> dict[str, Any]:
    units = {unit.name: joint.readings[unit.layer][unit.index] for unit in joint.interchange}
    return {
        "units": {
            name: {
                "gate": r.gate,
                "bits": list(r.bits),
                "threshold": r.threshold,
                "margin": r.margin,
                "low": r.low,
                "high": r.high,
                "note": r.note,
            }
            for name, r in units.items()
        },
        "netlist": {
            gate.unit.name: {
                "parents": list(gate.parents),
                "bits": list(gate.function.bits),
                "formula": gate.formula,
                "undecided": list(gate.undecided),
            }
            for gate in joint.netlist
        },
        "worst_margin": joint.worst_margin,
        "interchange": {unit.name: count for unit, count in joint.interchange.items()},
        "n_interchange": joint.n_interchange,
    }
