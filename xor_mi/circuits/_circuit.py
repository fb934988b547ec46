"""circuits + verdict -> Circuit: the answer and the questions it can be asked."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pandas as pd
from torch import Tensor

from xor_mi.circuits import _export, _wording
from xor_mi.circuits._apart import Difference, differences_of
from xor_mi.circuits._candidates import CandidateCircuit
from xor_mi.circuits._diagnose import Diagnosis, diagnose, name_of
from xor_mi.circuits._evidence import Evidence, Proof, RedundancyGroup
from xor_mi.circuits._explain import explain
from xor_mi.circuits._facts import Problems, ProofLevel, Verdict, constant_note
from xor_mi.circuits._netlist import READABLE, JointReading, LocalGate, output_units
from xor_mi.circuits._obstacle import certain_gates, find_obstacle, margin_obstacle
from xor_mi.circuits._ordered import OrderedCircuits
from xor_mi.circuits._readings import MIN_MARGIN, Reading
from xor_mi.circuits._signature import family_of, or_empty, signature_of_all
from xor_mi.circuits._stored import Misshapen, restored, stored
from xor_mi.circuits._told import Contradiction, Obstacle, OnStep
from xor_mi.circuits._variables import unconnected_units, values_on_rows, variables_of_all
from xor_mi.errors import XorMiError, require_kind, shown, unknown
from xor_mi.finding import Finding, Listed, in_words, number_text
from xor_mi.graph import Edge, Unit, layers_of, sources_of
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.reading import read_json_text
from xor_mi.truth import BooleanFunction

if TYPE_CHECKING:
    import networkx

QUOTABLE = 200
"""A longer nested formula is given over the last hidden layer's units in the verdict's sentence;
`Circuit.formulas` has all three forms.
"""
SHORT = 24
"""The verdict's sentence gives the gates of units up to so many characters."""
MAX_IN_JSON = 100
"""`to_dict` writes at most so many joint readings or circuits, and the number of all of them."""
FORMAT = "xor_mi.Circuit/"
VERSION = 5
"""Since format 5 a circuit can be read back."""
VERDICTS = ("identified", "ambiguous", "approximate", "no_gate_reading", "not_computing")
"""From the verdict that names one circuit to the one of a network that computes something else."""


class CircuitUnit(NamedTuple):
    """One hidden unit of a circuit.

    Attributes:
        place: which unit it is; `place.name` is 'h0.1'.
        gate: its gate under the primary reading; None when the network has no circuit.
        margin: the margin of its reading; None without a circuit, and for a constant unit.
        constant: whether its reading says that it has the same value on every row.
        interchange: on how many (base, source) pairs the network decides as the netlist predicts;
            None without a circuit.
        idle: whether no output of the first circuit depends on it.
        could_be: the gates that an idle unit could be read as, `gate` among them: the circuit is
            the same. Empty for a live unit.
        copy_of: the unit that stands for it in the circuit, where it is a copy; None for all others
            and for idle ones.
    """

    place: Unit
    gate: str | None = None
    margin: float | None = None
    constant: bool = False
    interchange: int | None = None
    idle: bool = False
    could_be: tuple[str, ...] = ()
    copy_of: Unit | None = None

    @property
    def layer(self) -> int:
        """The hidden layer it is in."""
        return self.place.layer

    @property
    def index(self) -> int:
        """Its number within its layer."""
        return self.place.index

    @property
    def note(self) -> str:
        """ "dead" or "always on" for a constant unit, "idle" for another idle one, else ""."""
        if self.constant:
            return constant_note(self.gate == "TRUE")
        return "idle" if self.idle else ""

    def __str__(self) -> str:
        said = [f"{self.place.name} {self.gate or 'without a gate'}"]
        if self.margin is not None:
            said.append(f"margin {number_text(self.margin)}")
        said.append(_aside(self).removeprefix(", ") or self.note)
        return ", ".join(filter(None, said))

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the unit among others."""
        line: dict[str, object] = {"unit": self.place.name, "gate": self.gate}
        line |= {"margin": self.margin, "interchange": self.interchange}
        return line | {"note": _aside(self).removeprefix(", ") or self.note}


class ActsAs(NamedTuple):
    """A unit that acts as the gate asked for (polarity +1) or as its complement (polarity -1)."""

    place: Unit
    polarity: Literal[1, -1]
    gate: str

    def __str__(self) -> str:
        complement = ", the complement of the gate asked for" if self.polarity < 0 else ""
        return f"{self.place.name} acts as {self.gate}{complement}"

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the unit among others."""
        return {"unit": self.place.name, "gate": self.gate, "polarity": self.polarity}


@dataclass(frozen=True)
class Circuit(Finding):
    """What a network's units compute, with its evidence and verdict.

    Attributes:
        target: the function that the network was compared with.
        verdict: one of `VERDICTS`.
        circuits: all that survive two-level substitution, however far they are proved. The first is
            the one that a person would believe first (level of proof, single interchanges as
            predicted, smallest margin of a live unit, fewest live units, shortest canonical text).
            The other attributes and the methods describe this first circuit.
        cfg, weights: a snapshot of the network at identification time.
        require, min_margin: the proof level and the margin that a circuit needs in order to count;
            see `identify_circuit`.
        left_out: the first circuit that survives substitution, if every one that survives has a
            live unit with a margin below `min_margin`; else None.
        proof: what was measured for the first circuit; None without one, or where evidence was not
            asked for.
        problems: problem -> the rows that have it, where the verdict is not_computing: "wrong",
            "undecided", or "rounding" (decided as they should be by rounding alone).
        on_step: the units whose sum is exactly on their step on some row (heaviside or sign); None
            where there are none.
        ordered: the circuits whose units have up to three levels, if `levels=3` was asked for and
            no circuit of two levels is proved far enough; else None. The verdict is still the one
            for two levels.
    """

    target: BooleanFunction
    verdict: Verdict
    circuits: tuple[CandidateCircuit, ...] = field(repr=False)
    cfg: HookedMLPConfig = field(repr=False, compare=False)
    weights: tuple[tuple[Tensor, Tensor], ...] = field(repr=False, compare=False)
    require: ProofLevel = "joint"
    min_margin: float = MIN_MARGIN
    left_out: CandidateCircuit | None = field(default=None, repr=False)
    proof: Proof | None = field(default=None, repr=False, compare=False)
    problems: Problems = field(default=(), repr=False)
    on_step: OnStep | None = field(default=None, repr=False)
    ordered: OrderedCircuits | None = field(default=None, repr=False)

    @cached_property
    def reason(self) -> str:
        """The facts that decided the verdict, in a sentence or two; no comparison looks into it.

        If there is no circuit, the cause is searched for when this is first read.
        """
        match self.verdict:
            case "not_computing":
                reason = str(self.diagnosis)
            case "no_gate_reading" if self.obstacle is not None:
                reason = _wording.no_gate_reading(
                    name_of(self.target),
                    self.obstacle,
                    self.certain_gates,
                    min_margin=self.min_margin,
                )
            case _:
                reason = self._survivors()
        return ". ".join([reason, *self.remarks])

    @property
    def remarks(self) -> tuple[str, ...]:
        """The further sentences of the reason: what tells circuits apart, steps, a third level."""
        said: list[str] = []
        if self.differences:
            said.append(_wording.differences(self.differences))
        if self.on_step:
            said.append(_wording.on_step(self.on_step))
        if self.ordered:
            sentence = self.ordered.sentence
            said.append(f"{sentence[0].upper()}{sentence[1:]}")
        return tuple(said)

    def _survivors(self) -> str:
        """How many circuits are proved as far as required, and what the first of them says."""
        first = self.circuits[0]
        formula = first.formula
        if len(formula) > QUOTABLE:
            formula = f"({self._short_readout()})"
        named = [
            (unit, gate if len(gate) <= SHORT else None)
            for unit, gate in zip(first.live, first.gates, strict=True)
        ]
        return _wording.survivors(
            self.target.name,
            formula,
            named,
            require=self.require,
            n_circuits=len(self.circuits),
            n_passing=len(self.passing),
            single=first.single,
            joint=first.joint,
            idle=[one.unit for one in first.idle],
            contradiction=first.contradiction,
        )

    def _short_readout(self) -> str:
        """The readout, with a gate's name in place of a formula that is too long to print."""
        outputs = [gate for gate in self.netlist if gate.unit.is_output]
        return ", ".join(
            gate.formula if len(gate.formula) <= READABLE else gate.named for gate in outputs
        )

    @cached_property
    def diagnosis(self) -> Diagnosis | None:
        """What the network computes instead, and what would make it the target; see `diagnose`.

        None for every verdict but not_computing.
        """
        return diagnose(self.model, self.target) if self.verdict == "not_computing" else None

    @cached_property
    def obstacle(self) -> Obstacle | None:
        """Where the search for a circuit stops, by layer, unit and row, or unit and margin.

        None for every verdict but no_gate_reading.
        """
        if self.left_out is not None:
            return margin_obstacle(self.left_out, self.min_margin)
        return find_obstacle(self.model) if self.verdict == "no_gate_reading" else None

    @cached_property
    def certain_gates(self) -> tuple[tuple[Unit, str], ...]:
        """The hidden units that have one value or two on the rows, with their gates.

        Such a unit has one reading only, so its gate is certain whatever the verdict.
        """
        return certain_gates(self.model)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(d_in, *d_hidden, d_out)."""
        return self.cfg.layer_sizes

    @cached_property
    def model(self) -> HookedMLP:
        """The network at identification time; training the original further does not change it."""
        return HookedMLP(self.cfg).with_weights(self.weights)

    @cached_property
    def readings(self) -> tuple[JointReading, ...]:
        """The joint readings of all circuits, those of the first one first.

        Several readings of one circuit differ only in units that no output depends on.
        """
        return tuple(chain.from_iterable(one.readings for one in self.circuits))

    @property
    def passing(self) -> tuple[CandidateCircuit, ...]:
        """The circuits that are proved as far as `require` says."""
        return Listed(one for one in self.circuits if one.has(self.require))

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """What tells each further circuit that is proved as far as required apart from the first.

        Each names the unit that the two read differently, and an interchange and a real-valued
        input on which they predict differently, if there are any. Empty for every verdict but
        ambiguous. If there are very many circuits, only the first ones are compared. Computed when
        this is first read.
        """
        if self.verdict != "ambiguous":
            return ()
        return differences_of(self.model, self.passing, require=self.require)

    @property
    def proof_level(self) -> ProofLevel | None:
        """How far the first circuit is proved; None without one."""
        return self.circuits[0].proof_level if self.circuits else None

    @property
    def contradiction(self) -> Contradiction | None:
        """The first interchange that does not come out as the first circuit predicts.

        None if all do, and without a circuit.
        """
        return self.circuits[0].contradiction if self.circuits else None

    @property
    def primary(self) -> JointReading | None:
        """The reading under which the circuit is reported; None without a circuit."""
        return self.readings[0] if self.readings else None

    @property
    def units(self) -> tuple[CircuitUnit, ...]:
        """Every hidden unit with its gate and counts under the primary reading."""
        places = list(chain.from_iterable(layers_of(self.layer_sizes)[1:-1]))
        if self.primary is None:
            return Listed(CircuitUnit(place) for place in places)
        could_be = {one.unit: one.gates for one in self.circuits[0].idle}
        standing = {unit: copies[0] for copies in self.copies for unit in copies[1:]}
        units = []
        for place in places:
            reading = self.primary.of(place)
            unit = CircuitUnit(
                place=place,
                gate=reading.gate,
                margin=reading.margin,
                constant=reading.constant,
                interchange=self.primary.interchange[place],
                idle=place in could_be,
                could_be=could_be.get(place, ()),
                copy_of=None if place in could_be else standing.get(place),
            )
            units.append(unit)
        return Listed(units)

    @property
    def netlist(self) -> tuple[LocalGate, ...]:
        """The measured local gates under the primary reading; empty without a circuit."""
        return Listed(self.primary.netlist if self.primary else ())

    @property
    def formula(self) -> str | None:
        """The netlist over the inputs, one formula per decision, joined by ', '.

        None without a circuit.
        """
        return self.primary.formula if self.primary else None

    @property
    def readout(self) -> str | None:
        """Each decision's gate over what the outputs read, such as 'h0.0 & ~h0.1'.

        That is the last hidden layer's units, and the inputs where they are connected to the
        outputs. None without a circuit.
        """
        gates = [gate.formula for gate in self.netlist if gate.unit.is_output]
        return ", ".join(gates) or None

    @property
    def gate_set(self) -> str | None:
        """The live hidden units' gates in alphabetical order, such as '{AND, OR}'.

        A first name for the kind of circuit; None without one.
        """
        if not self.circuits:
            return None
        return "{" + ", ".join(sorted(self.circuits[0].gates)) + "}"

    @property
    def formulas(self) -> dict[str, dict[str, str]]:
        """Output -> its formula in three ways; empty without a circuit.

        Over the last layer's "units" (and inputs that are connected to the output), "nested" down
        to the inputs, and minimal over the "inputs" (XOR as ^). The first is the gate as measured,
        on all combinations of levels, because joint interchanges produce them all; the second has
        no term that no input can make true. If two outputs are one decision, the formula is listed
        with the output that wins at 1.
        """
        if self.primary is None:
            return {}
        local = {gate.unit: gate.formula for gate in self.netlist}
        decided = zip(output_units(self.netlist), self.target.outputs, strict=True)
        return {
            unit.name: {
                "units": local[unit],
                "nested": self.primary.formula_of(k),
                "inputs": function.formula,
            }
            for k, (unit, function) in enumerate(decided)
        }

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The weights the circuit is made of; empty without a circuit.

        An edge belongs to the circuit if the gate of a live unit or of an output depends on the
        edge's source. If the largest output wins, a decision depends on all outputs.
        """
        if not self.circuits:
            return ()
        outputs = layers_of(self.layer_sizes)[-1]
        live = set(self.circuits[0].live)
        read: dict[Unit, set[str]] = {}  # unit -> the names of the parents it depends on
        for gate in self.netlist:
            if not gate.unit.is_output and gate.unit not in live:
                continue
            together = gate.unit.is_output and self.cfg.rule.name == "argmax"
            parents = {gate.parents[k] for k in gate.depends_on}
            for copies in self.copies:
                # a gate that depends on a unit reads its copies too
                if parents.intersection(unit.name for unit in copies):
                    parents |= {unit.name for unit in copies if self._is_read(unit, gate.unit)}
            for unit in outputs if together else [gate.unit]:
                read.setdefault(unit, set()).update(parents)
        edges = []
        for unit, parents in read.items():
            edges += [Edge(one, unit) for one in self._sources(unit) if one.name in parents]
        return tuple(edges)

    @cached_property
    def copies(self) -> tuple[tuple[Unit, ...], ...]:
        """Hidden units whose values are copies of one another, up to scale, sign and shift.

        They are one variable in several places: they are read alike and moved together.
        """
        layers = values_on_rows(self.model)
        found = []
        for layer, variables in enumerate(
            variables_of_all(self.model, layers, unconnected_units(self.model))
        ):
            for units in variables:
                if len(units) > 1:
                    found.append(tuple(Unit(layer, index) for index in units))
        return tuple(found)

    def _is_read(self, unit: Unit, reader: Unit) -> bool:
        """Whether the weight between the two is not zero."""
        weight, _ = self.weights[reader.layer]  # [d_out, d_in]
        return bool(weight[reader.index, self._sources(reader).index(unit)] != 0)

    def _sources(self, unit: Unit) -> list[Unit]:
        """What a unit or output reads, in the order of its weights."""
        return sources_of(self.layer_sizes, direct=self.cfg.direct)[unit.layer]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """One value per claim about the primary reading."""
        return Listed(self.proof.claims if self.proof else ())

    @property
    def redundancy_groups(self) -> tuple[RedundancyGroup, ...]:
        """Groups of units that carry the same bit."""
        return Listed(self.proof.redundancy_groups if self.proof else ())

    def frame(self) -> pd.DataFrame:
        """One line per hidden unit under the primary reading.

        Columns: unit, layer, index, gate, margin, note, interchange (as predicted, of
        n_interchange), idle, could_be (the gates that an idle unit could be read as),
        n_interchange.
        """
        n_interchange = self.primary.n_interchange if self.primary else None
        rows = []
        for unit in self.units:
            words = {"could_be": ", ".join(unit.could_be), "n_interchange": n_interchange}
            rows.append(_unit_dict(unit) | words)
        return pd.DataFrame(rows)

    def interchange_matrix(self) -> pd.DataFrame:
        """Unit x variable: how far each unit plays each variable's role.

        An entry counts the (base, source) pairs on which the network, with the unit taken from the
        source, decides as the netlist does with that variable taken from the source. The diagonal
        has each unit in its own role; the number of pairs is `primary.n_interchange`.

        Raises:
            XorMiError: a circuit without evidence.
        """
        if self.proof is None:
            raise XorMiError(
                f"no interchange matrix: the verdict is {self.verdict}, "
                "or identify_circuit was called with with_evidence=False"
            )
        return pd.DataFrame(
            self.proof.interchange_matrix,
            index=pd.Index([unit.place.name for unit in self.units], name="unit"),
            columns=[f"{unit.gate} ({unit.place.name})" for unit in self.units],
        )

    @cached_property
    def signature(self) -> str:
        """What renumbering, rescaling or copying units does not change, nor adding dead ones.

        Rescaling means by positive factors. There is one canonical text, such as 'OR & ~AND', for
        each circuit that is proved as far as required, or, if none is, for each circuit that
        survives substitution. Several are joined by ' / '; very many are counted and hashed.
        Without a circuit it is the verdict.

        Raises:
            XorMiError: too many orders of interchangeable units to find a canonical one.
        """
        counted = self.passing or self.circuits
        if not counted:
            return self.verdict
        netlists = [one.readings[0].netlist for one in counted]
        return signature_of_all(netlists, self.layer_sizes)

    @cached_property
    def family(self) -> str:
        """The primary reading's NPN class; without a reading, the verdict.

        This is a canonical text that complementing hidden units and permuting the inputs does not
        change either.

        Raises:
            XorMiError: as `signature` does.
        """
        return family_of(self.primary.netlist, self.layer_sizes) if self.primary else self.verdict

    def gate_of(self, unit: str | Unit) -> str | None:
        """The gate of a hidden unit, a Unit or a name such as 'h0.1'; None without a circuit.

        Raises:
            XorMiError: no such hidden unit.
        """
        gates = {one.place.name: one.gate for one in self.units}
        name = unit.name if isinstance(unit, Unit) else unit
        # a list, so that a value without a hash gets the message and not a TypeError
        if name not in list(gates):
            raise unknown("hidden unit", name, gates, where="this circuit has")
        return gates[name]

    def units_acting_as(self, gate: Target, *, up_to_complement: bool = True) -> tuple[ActsAs, ...]:
        """Units whose bits under the primary reading are this gate, or its complement.

        Polarity is +1 for the gate, -1 for its complement; the tuple is empty if no unit acts as
        either. A unit that varies and that no output depends on does not act as a gate, and neither
        does any unit of a circuit that is not proved as far as `require` says.

        A unit is never given the gate that is merely nearest.

        Raises:
            XorMiError: not a gate name, formula or function of this many inputs.
        """
        function = BooleanFunction.of(gate, self.layer_sizes[0])
        if not self.passing:
            return Listed()
        # names are canonical, one per function, so comparing names compares bits
        polarity: dict[str | None, Literal[1, -1]] = {function.name: 1}
        if up_to_complement:
            polarity[function.complement().name] = -1
        return Listed(
            ActsAs(place=unit.place, polarity=polarity[unit.gate], gate=unit.gate)
            for unit in self.units
            if unit.gate is not None and unit.gate in polarity and (unit.constant or not unit.idle)
        )

    def _shown(self) -> tuple[str, pd.DataFrame]:
        words = f"{in_words(self.verdict)}: {self.reason}"
        if self.proof is not None:
            n_hold = sum(claim.holds for claim in self.evidence)
            words += f"\n{n_hold} of {len(self.evidence)} claims hold: see .evidence"
        lines = [unit.shown_line() for unit in self.units]
        if self.primary is not None:
            for line in lines:
                line["interchange"] = f"{line['interchange']} of {self.primary.n_interchange}"
        for gate in self.netlist:
            if gate.unit.is_output:
                lines.append(gate.shown_line())
        return words, pd.DataFrame(lines)

    def __str__(self) -> str:
        lines = [f"{in_words(self.verdict)}: {self.reason}"]
        if self.primary:
            gates = [unit.gate or "" for unit in self.units]
            longest = min(max(map(len, ["FALSE", *gates])), SHORT)
            for unit in self.units:
                margin = (
                    f"margin {number_text(unit.margin)}" if unit.margin is not None else unit.note
                )
                count = f"interchange {unit.interchange:,}/{self.primary.n_interchange:,}"
                gate = (unit.gate or "").ljust(longest)
                lines.append(f"  {unit.place.name}  {gate}  {margin}, {count}{_aside(unit)}")
            lines.append(f"  output  {self._short_readout()}")
        return "\n".join(lines)

    def explain(self) -> str:
        """A page of text with this network's own numbers.

        It says what each unit does, how each row is decided, why inputs are decided alike, and what
        was tested.
        """
        return explain(
            self.model,
            verdict=self.verdict,
            reason=self.reason,
            circuits=self.circuits,
            passing=self.passing,
            proof=self.proof,
            differences=self.differences,
            ordered=self.ordered,
        )

    def to_networkx(self) -> "networkx.DiGraph":
        """A `networkx.DiGraph` of the units and the weights the circuit is made of."""
        return _export.to_networkx(self._graph())

    def to_dot(self) -> str:
        """Graphviz DOT."""
        return _export.to_dot(self._graph())

    def to_mermaid(self) -> str:
        """A Mermaid flowchart."""
        return _export.to_mermaid(self._graph())

    def to_latex(self) -> str:
        """An `aligned` block of the local gates and each output's formula.

        Raises:
            XorMiError: a network without a circuit.
        """
        return _export.to_latex(self.netlist, self.formulas, self.verdict)

    def to_json(self) -> str:
        """`to_dict` as indented text; its last line is long, and only `from_json` reads it."""
        content = self.to_dict()
        fields_of_it = json.dumps(content.pop("fields"))
        text = json.dumps(content, indent=2).removesuffix("\n}")
        return f'{text},\n  "fields": {fields_of_it}\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> "Circuit":
        """The circuit that `to_json` wrote, with its network; every answer is the same.

        >>> from xor_mi.handmade import textbook_xor
        >>> from xor_mi.circuits import identify_circuit
        >>> circuit = identify_circuit(textbook_xor())
        >>> Circuit.from_json(circuit.to_json()) == circuit
        True

        Raises:
            XorMiError: text that is cut off or edited, that is not a circuit or has another format,
                or that was written for more than `MAX_IN_JSON` circuits or readings.
        """
        require_kind("text", text, str, give="what Circuit.to_json wrote")
        content = read_json_text(text, called="the text of a circuit", next_step=_NEXT_STEP)
        if not isinstance(content, dict):
            raise XorMiError(f"the text of a circuit is not an object; {_NEXT_STEP}")
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "Circuit":
        """The circuit that `to_dict` wrote; see `from_json`.

        Raises:
            XorMiError: as `from_json` does.
        """
        require_kind("values", values, Mapping, give="what Circuit.to_dict wrote")
        _require_format(values.get("format"))
        if "fields" in values and values["fields"] is None:
            raise XorMiError(
                f"this network has more than {MAX_IN_JSON:,} circuits or readings, and only the "
                "first are stored, so the circuit cannot be read back; identify the network again"
            )
        try:
            circuit = restored(values.get("fields"), cls, "fields")
            # a fact that is written twice must be the same in both places
            facts = circuit._facts_in_json()
            edited = [name for name in facts if values.get(name) != facts[name]]
            # the weights are those of such a network, and the gates belong together
            _ = circuit.model, circuit.formulas, circuit.edges
            _ = circuit._sets("necessary"), circuit._sets("sufficient")
            or_empty(lambda: circuit.signature)
        except (Misshapen, XorMiError) as error:
            raise XorMiError(f"a circuit cannot be read: {error}; {_NEXT_STEP}") from None
        except (LookupError, ValueError, StopIteration):
            # one part has a unit, a row or a decision that another part does not have
            raise XorMiError(
                f"a circuit cannot be read: the parts of its 'fields' do not fit; {_NEXT_STEP}"
            ) from None
        if edited:
            raise XorMiError(
                f"a circuit cannot be read: '{edited[0]}' is {shown(values.get(edited[0]))}, and "
                f"'fields' says {shown(facts[edited[0]])}; {_NEXT_STEP}"
            )
        return circuit

    def _facts_in_json(self) -> dict[str, object]:
        """The short entries of `to_dict` that neither wording nor rounding can change."""
        tables = [list(table) for table in self.target.tables]
        return {
            "layer_sizes": list(self.layer_sizes),
            "target": {"name": self.target.name, "tables": tables},
            "verdict": self.verdict,
            "require": self.require,
            "min_margin": self.min_margin,
            "proof_level": self.proof_level,
            "n_circuits": len(self.circuits),
            "n_passing": len(self.passing),
            "n_readings": len(self.readings),
            "units": [_unit_dict(unit) for unit in self.units],
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything above as JSON-ready values.

        If there are more than `MAX_IN_JSON` circuits or readings, only the first are written, with
        the number of all. `fields` is what `from_dict` reads: the network, and the fields of this
        class with their contents; None if not all circuits and readings are written.
        """
        is_whole = len(self.circuits) <= MAX_IN_JSON and len(self.readings) <= MAX_IN_JSON
        matrix = self.proof.interchange_matrix if self.proof else ()
        groups = [_names(group.units) for group in self.redundancy_groups]
        facts = self._facts_in_json()
        return {
            "format": f"{FORMAT}{VERSION}",
            "layer_sizes": facts["layer_sizes"],
            "target": facts["target"],
            "verdict": self.verdict,
            "reason": self.reason,
            "formula": self.formula,
            "readout": self.readout,
            "units": facts["units"],
            "formulas": self.formulas,
            "require": self.require,
            "min_margin": self.min_margin,
            "proof_level": self.proof_level,
            "n_circuits": facts["n_circuits"],
            "n_passing": facts["n_passing"],
            "n_readings": facts["n_readings"],
            "circuits": [_candidate_dict(one) for one in self.circuits[:MAX_IN_JSON]],
            "differences": [one.to_dict() for one in self.differences[:MAX_IN_JSON]],
            "contradiction": _contradiction_dict(self.contradiction),
            "copies": [_names(units) for units in self.copies] if self.circuits else [],
            "signature": or_empty(lambda: self.signature) or None,
            "family": or_empty(lambda: self.family) or None,
            "edges": [edge.name for edge in self.edges],
            "evidence": [evidence.to_dict() for evidence in self.evidence],
            "interchange_matrix": [list(row) for row in matrix],
            "redundancy_groups": groups,
            "necessary_sets": self._sets("necessary"),
            "sufficient_sets": self._sets("sufficient"),
            "readings": [_reading_dict(joint) for joint in self.readings[:MAX_IN_JSON]],
            "on_step": _on_step_dict(self.on_step) if self.on_step else None,
            "ordered": self.ordered.to_dict() if self.ordered else None,
            "fields": stored(self) if is_whole else None,
        }

    def _sets(self, kind: Literal["necessary", "sufficient"]) -> dict[str, list[list[str]]]:
        """Ablation value -> the minimal sets, units by name; empty without evidence."""
        names: dict[str, list[list[str]]] = {}
        if self.proof is None:
            return names
        of_value = self.proof.necessary if kind == "necessary" else self.proof.sufficient
        for ablation in self.proof.ablations:
            sets = of_value(ablation.value)
            names[ablation.value] = [_names(units) for units in sets]
        return names

    def _graph(self) -> _export.CircuitGraph:
        # the circuit does not need an idle unit, whatever gate it could be read as
        gates = {unit.place: unit.note or unit.gate or "" for unit in self.units}
        formulas = {gate.unit: gate.formula for gate in self.netlist}
        layers = layers_of(self.layer_sizes)
        # an output has no reading, so it is labelled with what it should compute
        targets = [output.name for output in self.target.outputs]
        gates |= dict(zip(self.model.decision_units, targets, strict=True))
        nodes = [
            _export.Node(
                name=place.name,
                kind=_kind(place),
                layer=place.layer,
                gate=gates.get(place, ""),
                formula=formulas.get(place, ""),
            )
            for place in chain.from_iterable(layers)
        ]
        arrows = []
        for edge in self.edges:
            weight, _ = self.weights[edge.dst.layer]  # [d_out, d_in]
            arrow = _export.Arrow(
                src=edge.src.name,
                dst=edge.dst.name,
                weight=weight[edge.dst.index, self._sources(edge.dst).index(edge.src)].item(),
            )
            arrows.append(arrow)
        return _export.CircuitGraph(
            verdict=self.verdict,
            target=self.target.name,
            formula=self.formula or "",
            nodes=tuple(nodes),
            arrows=tuple(arrows),
        )


_NEXT_STEP = "give the unchanged text or dict that Circuit.to_json or to_dict wrote"


def _require_format(written: object) -> None:
    """Refuse what is not a stored circuit, and a format that cannot be read back."""
    version = written.removeprefix(FORMAT) if isinstance(written, str) else ""
    if not (isinstance(written, str) and written.startswith(FORMAT) and version.isdecimal()):
        raise XorMiError(
            f"a circuit cannot be read: its 'format' is {shown(written)}; {_NEXT_STEP}"
        )
    if int(version) < VERSION:
        raise XorMiError(
            f"this circuit is of format {version}, which does not hold its network; "
            "identify the network again"
        )
    if int(version) > VERSION:
        raise XorMiError(
            f"this circuit is of format {version}; this xor-mi reads {VERSION}: "
            "install a later xor-mi"
        )


def _names(units: Iterable[Unit]) -> list[str]:
    return [unit.name for unit in units]


def _kind(place: Unit) -> Literal["input", "hidden", "output"]:
    if place.is_output:
        return "output"
    # inputs are layer -1, before hidden layer 0
    return "input" if place.layer < 0 else "hidden"


def _unit_dict(unit: CircuitUnit) -> dict[str, object]:
    return {
        "unit": unit.place.name,
        "layer": unit.layer,
        "index": unit.index,
        "gate": unit.gate,
        "margin": unit.margin,
        "note": unit.note,
        "interchange": unit.interchange,
        "idle": unit.idle,
        "could_be": list(unit.could_be),
    }


def _aside(unit: CircuitUnit) -> str:
    """The end of a unit's line, empty for a live unit that is not a copy.

    It is ', idle: no output depends on it (could also be AND)' for an idle unit that varies, and ',
    a copy of h0.0' for a copy.
    """
    if unit.copy_of is not None:
        return f", a copy of {unit.copy_of.name}"
    if not unit.idle or unit.constant:
        return ""
    others = [gate for gate in unit.could_be if gate != unit.gate]
    too = f" (could also be {', '.join(others)})" if others else ""
    return f", idle: no output depends on it{too}"


def _candidate_dict(one: CandidateCircuit) -> dict[str, object]:
    margin = one.smallest_margin
    return {
        "formula": one.formula,
        "proof_level": one.proof_level,
        "live": dict(zip(_names(one.live), one.gates, strict=True)),
        "idle": {idle.unit.name: list(idle.gates) for idle in one.idle},
        # JSON has no infinity: a circuit without live units has no margin
        "smallest_margin": margin if isfinite(margin) else None,
        "single": one.single._asdict(),
        "joint": [count._asdict() for count in one.joint],
        "n_readings": len(one.readings),
    }


def _contradiction_dict(one: Contradiction | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {
        "kind": one.kind,
        "layer": one.layer,
        "variables": [_names(units) for units in one.variables],
        "base": one.base,
        "sources": list(one.sources),
        "predicted": list(one.predicted),
        "decided": list(one.decided),
    }


def _reading_dict(joint: JointReading) -> dict[str, Any]:
    return {
        "units": {unit.name: _unit_reading_dict(joint.of(unit)) for unit in joint.interchange},
        "netlist": {gate.unit.name: _gate_dict(gate) for gate in joint.netlist},
        "worst_margin": joint.worst_margin,
        "interchange": {unit.name: count for unit, count in joint.interchange.items()},
        "n_interchange": joint.n_interchange,
    }


def _unit_reading_dict(reading: Reading) -> dict[str, object]:
    return {
        "gate": reading.gate,
        "bits": list(reading.bits),
        "threshold": reading.threshold,
        "margin": reading.margin,
        "low": reading.low,
        "high": reading.high,
        "note": reading.note,
    }


def _on_step_dict(facts: OnStep) -> dict[str, object]:
    return {
        "units": {unit.name: list(rows) for unit, rows in facts.units},
        "step_at_zero": facts.step_at_zero,
        "rows_otherwise": list(facts.rows_otherwise),
    }


def _gate_dict(gate: LocalGate) -> dict[str, object]:
    return {
        "parents": list(gate.parents),
        "bits": list(gate.bits),
        "formula": gate.formula,
        "undecided": list(gate.undecided),
    }
