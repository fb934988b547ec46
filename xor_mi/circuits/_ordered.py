"""findings on units that are read as ordered variables of two or three levels.

Found by `ordered_circuits` in `_ordered_search`, which has the definitions.
"""

from dataclasses import dataclass, field
from math import isfinite

import pandas as pd

from xor_mi.circuits import _wording
from xor_mi.circuits._candidates import IdleUnit
from xor_mi.circuits._facts import PROOF_LEVELS, InterchangeCount, ProofLevel, Verdict
from xor_mi.circuits._levels import OrderedReading, formula_over_levels
from xor_mi.circuits._readings import of_unit
from xor_mi.circuits._required import checked_level, verdict_of
from xor_mi.circuits._told import Contradiction
from xor_mi.finding import Finding, in_words, number_text
from xor_mi.graph import Unit
from xor_mi.truth import BooleanFunction

MAX_LISTED = 5
"""The text of a finding has so many circuits after the first, and the number of the others."""
MAX_IN_JSON = 100
"""`to_dict` writes at most so many circuits."""
COLUMNS = (
    "circuit",
    "formula",
    "proof_level",
    "passes",
    "unit",
    "gate",
    "n_levels",
    "values",
    "margin",
    "live",
)
"""The columns of a finding's table."""


@dataclass(frozen=True)
class OrderedGate:
    """What a unit or a decision computes from the levels of what it reads.

    Attributes:
        unit: whose gate this is; for a decision, the output that stands for it.
        parents: the names of what it depends on, most significant first: live units of the layer
            before, or inputs.
        radices: how many levels each of them has; an input has two.
        table: its own measured level on every combination of theirs. A value on a threshold, up to
            rounding, counts as below.
        n_levels: how many levels it has itself; a decision has two.
    """

    unit: Unit
    parents: tuple[str, ...]
    radices: tuple[int, ...]
    table: tuple[int, ...]
    n_levels: int = 2

    def __str__(self) -> str:
        return f"{self.unit.name}: {self.formula}"

    @property
    def formulas(self) -> tuple[str, ...]:
        """Per cut, the condition on its parents' levels under which it is above that cut."""
        written = []
        for cut in range(1, self.n_levels):
            above = tuple(int(level >= cut) for level in self.table)
            written.append(formula_over_levels(above, self.radices, self.parents))
        return tuple(written)

    @property
    def formula(self) -> str:
        """The cuts' formulas joined by ', ', such as 'h0.0 = 1'."""
        return ", ".join(self.formulas)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return {
            "parents": list(self.parents),
            "radices": list(self.radices),
            "table": list(self.table),
            "n_levels": self.n_levels,
            "formula": self.formula,
        }


@dataclass(frozen=True)
class OrderedCircuit:
    """A netlist over levels on its live units: one explanation of a network.

    Attributes:
        readings: per hidden layer, one reading per unit. An idle unit has that of the first joint
            reading.
        netlist: the gates of the live units over what they depend on, layer by layer, one for all
            copies of a unit; then the decisions.
        live: the units that some output depends on, copies included.
        idle: all others, with the gates they could have.
        smallest_margin: the smallest margin of a live unit; infinite where no unit has one.
        single: on how many single interchanges the network decides as the netlist does.
        joint: the same for all units of a layer at once, one count per hidden layer.
        contradiction: the first interchange that the network decides differently, or None.
        n_readings: how many joint readings agree on it.
    """

    readings: tuple[tuple[OrderedReading, ...], ...] = field(repr=False)
    netlist: tuple[OrderedGate, ...]
    live: tuple[Unit, ...]
    idle: tuple[IdleUnit, ...]
    smallest_margin: float
    single: InterchangeCount
    joint: tuple[InterchangeCount, ...]
    contradiction: Contradiction | None
    n_readings: int

    @property
    def proof_level(self) -> ProofLevel:
        """The highest level of proof that it has."""
        if not self.single.passes:
            return "substitution"
        return "joint" if all(count.passes for count in self.joint) else "single"

    def of(self, unit: Unit) -> OrderedReading:
        """The reading of one hidden unit.

        Raises:
            XorMiError: no such hidden unit.
        """
        return of_unit(self.readings, unit)

    @property
    def three_levels(self) -> tuple[Unit, ...]:
        """The live units that are read with three levels."""
        return tuple(unit for unit in self.live if self.of(unit).n_levels > 2)

    @property
    def gates(self) -> tuple[tuple[Unit, str], ...]:
        """The live units with what their cuts compute, such as (h0.0, 'OR, AND')."""
        return tuple((unit, self.of(unit).gate) for unit in self.live)

    @property
    def formula(self) -> str:
        """Each decision over the levels of the units it reads, joined by ', ': 'h0.0 = 1'."""
        return ", ".join(gate.formula for gate in self.netlist if gate.unit.is_output)

    def has(self, level: ProofLevel) -> bool:
        """Whether it is proved as far as this level, or further.

        Raises:
            XorMiError: a level of proof that does not exist.
        """
        wanted = PROOF_LEVELS.index(checked_level(level))
        return PROOF_LEVELS.index(self.proof_level) >= wanted

    def __str__(self) -> str:
        units = ", ".join(self.named) or "no live unit"
        return f"{self.formula} with {units}; {self.proof_level}"

    @property
    def named(self) -> tuple[str, ...]:
        """The live units with what they compute, for use in a sentence: 'h0.0 (OR, AND)'."""
        three = self.three_levels
        return tuple(
            f"{unit.name} ({gate})" if unit in three else f"{unit.name} {gate}"
            for unit, gate in self.gates
        )

    def lines(self) -> list[str]:
        """One line per hidden unit, then the decisions, for people."""
        local = {gate.unit: gate.formula for gate in self.netlist if gate.unit.layer > 0}
        could_be = {idle.unit: idle.gates for idle in self.idle}
        lines = []
        for unit in sorted([*self.live, *could_be]):
            reading = self.of(unit)
            if unit in could_be:
                lines.append(f"{unit.name}  idle: {' / '.join(could_be[unit])}")
                continue
            at = ", ".join(f"{value:.3g}" for value in reading.values)
            reads = f", {local[unit]}" if unit in local else ""
            # a step that is constant on the rows has two levels, and no margin
            margin = "" if reading.margin is None else f", margin {number_text(reading.margin)}"
            lines.append(f"{unit.name}  {reading.gate}  at {at}{margin}{reads}")
        return [*lines, f"output  {self.formula}"]

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values, units by name."""
        units = {unit.name: _reading_dict(self.of(unit)) for unit in self.live}
        margin = self.smallest_margin
        return {
            "formula": self.formula,
            "proof_level": self.proof_level,
            "live": units,
            "idle": {idle.unit.name: list(idle.gates) for idle in self.idle},
            "netlist": {gate.unit.name: gate.to_dict() for gate in self.netlist},
            # JSON has no infinity: a circuit without live units has no margin
            "smallest_margin": margin if isfinite(margin) else None,
            "single": self.single._asdict(),
            "joint": [count._asdict() for count in self.joint],
            "n_readings": self.n_readings,
        }


def _reading_dict(reading: OrderedReading) -> dict[str, object]:
    return {
        "gate": reading.gate,
        "levels": list(reading.levels),
        "thresholds": list(reading.thresholds),
        "values": list(reading.values),
        "margin": reading.margin,
    }


@dataclass(frozen=True)
class OrderedCircuits(Finding):
    """A network's circuits with two or three levels per unit, and the verdict on them.

    Attributes:
        target: the function that the network computes.
        circuits: all that survive substitution; the first is the one to believe first.
        require: how far a circuit must be proved to count.
        min_margin: circuits with a live unit of a smaller margin were left out.
    """

    target: BooleanFunction
    circuits: tuple[OrderedCircuit, ...]
    require: ProofLevel
    min_margin: float

    @property
    def passing(self) -> tuple[OrderedCircuit, ...]:
        """The circuits that are proved as far as required."""
        return tuple(circuit for circuit in self.circuits if circuit.has(self.require))

    @property
    def verdict(self) -> Verdict:
        """As with two levels: "identified", "ambiguous", "approximate" or "no_gate_reading"."""
        return verdict_of(len(self.circuits), len(self.passing))

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "target": self.target.name,
            "verdict": self.verdict,
            "require": self.require,
            "min_margin": self.min_margin,
            "n_circuits": len(self.circuits),
            "n_passing": len(self.passing),
        }

    @property
    def first(self) -> OrderedCircuit | None:
        """The circuit to believe first; None if there are no circuits."""
        return self.circuits[0] if self.circuits else None

    @property
    def sentence(self) -> str:
        """What three levels give, in one sentence; no comparison depends on its words."""
        first = self.first
        if first is None:
            return _wording.no_ordered_circuit()
        return _wording.ordered_circuits(
            self.target.name,
            first.formula,
            first.named,
            require=self.require,
            n_circuits=len(self.circuits),
            n_passing=len(self.passing),
            single=first.single,
            joint=first.joint,
        )

    def __str__(self) -> str:
        lines = [f"{in_words(self.verdict)}: {self.sentence}"]
        if self.first is not None:
            lines += [f"  {line}" for line in self.first.lines()]
        others = self.circuits[1:]
        lines += [f"  or: {circuit}" for circuit in others[:MAX_LISTED]]
        if len(others) > MAX_LISTED:
            lines.append(f"  and {len(others) - MAX_LISTED} more; .frame() has them all")
        return "\n".join(lines)

    def frame(self) -> pd.DataFrame:
        """One line per circuit and hidden unit.

        Columns circuit, formula, proof_level, passes, unit, gate, n_levels, values, margin, live.
        The gate of an idle unit is every gate that it could be read as, joined by ' / '.
        """
        lines: list[dict[str, object]] = []
        for number, circuit in enumerate(self.circuits):
            could_be = {idle.unit: " / ".join(idle.gates) for idle in circuit.idle}
            for unit in sorted([*circuit.live, *could_be]):
                reading = circuit.of(unit)
                lines.append(
                    {
                        "circuit": number,
                        "formula": circuit.formula,
                        "proof_level": circuit.proof_level,
                        "passes": circuit.has(self.require),
                        "unit": unit.name,
                        "gate": could_be.get(unit, reading.gate),
                        "n_levels": reading.n_levels,
                        "values": reading.values,
                        "margin": reading.margin,
                        "live": unit not in could_be,
                    }
                )
        return pd.DataFrame(lines, columns=list(COLUMNS))

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values; if there are many circuits, only the first, and the number of all."""
        return {
            "target": self.target.name,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "require": self.require,
            "min_margin": self.min_margin,
            "n_circuits": len(self.circuits),
            "n_passing": len(self.passing),
            "circuits": [circuit.to_dict() for circuit in self.circuits[:MAX_IN_JSON]],
        }
