"""joint readings -> circuits: counted on their live units, each with how far it is proved.

Readings that differ only in a unit that no output depends on are one circuit. Circuits are ordered
by what a person would believe first. The order does not depend on how units are numbered, nor on
whether the network learned a unit or its complement.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby
from operator import itemgetter
from typing import NamedTuple

from xor_mi.circuits import _wording
from xor_mi.circuits._facts import PROOF_LEVELS, InterchangeCount, ProofLevel
from xor_mi.circuits._interchange import Interchanges, Tested
from xor_mi.circuits._netlist import JointReading, LocalGate
from xor_mi.circuits._readings import Variables
from xor_mi.circuits._required import checked_level
from xor_mi.circuits._signature import CanonicalTexts, live_netlist, reduced_layers
from xor_mi.circuits._told import Contradiction
from xor_mi.errors import XorMiError, require_kind
from xor_mi.graph import Unit
from xor_mi.progress import progress_bar


class IdleUnit(NamedTuple):
    """A unit that no output of a circuit depends on.

    Attributes:
        unit: which unit it is.
        gates: the gates that it could be read as, in alphabetical order: the circuit is the same.
        constant: whether it has the same value on every row.
    """

    unit: Unit
    gates: tuple[str, ...]
    constant: bool

    def __str__(self) -> str:
        if self.constant:
            return f"no output depends on {self.unit.name}, which has the same value on every row"
        gates = " or ".join(self.gates)
        return f"no output depends on {self.unit.name}, which could be read as {gates}"


@dataclass(frozen=True)
class CandidateCircuit:
    """A netlist on its live units that survives two-level substitution, and how far it is proved.

    Attributes:
        netlist: the gates of the live units and of every decision, each over what it depends on.
            One unit stands for all its copies.
        readings: the joint readings that agree on it; they differ in idle units only.
        live: the hidden units that some output depends on, copies included.
        idle: all other hidden units, with the gates that they could be read as.
        smallest_margin: the smallest margin of a live unit, as a part of that unit's range;
            infinite where no unit is live.
        single: on how many single interchanges the network decides as the netlist predicts.
        joint: the same for the joint interchanges of each hidden layer.
        contradiction: the first interchange that does not come out as the netlist predicts; None if
            all do.
    """

    netlist: tuple[LocalGate, ...]
    readings: tuple[JointReading, ...] = field(repr=False)
    live: tuple[Unit, ...]
    idle: tuple[IdleUnit, ...]
    smallest_margin: float
    single: InterchangeCount
    joint: tuple[InterchangeCount, ...]
    contradiction: Contradiction | None = field(repr=False)

    @property
    def proof_level(self) -> ProofLevel:
        """The highest level of proof that it has."""
        if not self.single.passes:
            return "substitution"
        return "joint" if all(count.passes for count in self.joint) else "single"

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates of the live units, in their order."""
        return tuple(self.readings[0].of(unit).gate for unit in self.live)

    @property
    def formula(self) -> str:
        """The formula of every decision over the inputs, joined by ', '."""
        return self.readings[0].formula

    @property
    def exhaustive(self) -> bool:
        """Whether every interchange is known; else those of some layer are a seeded sample."""
        return all(count.exhaustive for count in self.joint)

    @cached_property
    def n_variables(self) -> int:
        """How many live units there are, copies counted once."""
        return sum(not gate.unit.is_output for gate in self.netlist)

    def has(self, level: ProofLevel) -> bool:
        """Whether it is proved as far as this level, or further.

        Raises:
            XorMiError: a level of proof that does not exist.
        """
        wanted = PROOF_LEVELS.index(checked_level(level))
        return PROOF_LEVELS.index(self.proof_level) >= wanted

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the circuit among others."""
        named = zip(self.live, self.gates, strict=True)
        return {
            "formula": self.formula,
            "units": ", ".join(f"{unit.name} {gate}" for unit, gate in named),
            "proof level": self.proof_level,
            "smallest margin": self.smallest_margin,
            "idle": ", ".join(one.unit.name for one in self.idle),
        }

    def beside(self, first: "CandidateCircuit") -> str:
        """How it differs from another circuit of the same network, and how far it is proved.

        It names the units that the two read differently and those that only one of them needs. If
        all units are read alike, it names the first unit or decision whose gate differs.

        Raises:
            XorMiError: `first` is not a circuit, or is a circuit of another network.
        """
        require_kind("first", first, CandidateCircuit, give="one of Circuit.circuits")
        ours, theirs = (dict(zip(one.live, one.gates, strict=True)) for one in (self, first))
        units = self.readings[0].interchange
        if units.keys() != first.readings[0].interchange.keys():
            raise XorMiError(
                "first is a circuit of another network; give one of the same Circuit.circuits"
            )
        differing = [
            (unit.name, ours.get(unit), theirs.get(unit))
            for unit in units
            if ours.get(unit) != theirs.get(unit)
        ]
        if not differing:
            pairs = zip(self.netlist, first.netlist, strict=True)
            differing = [(a.unit.name, a.formula, b.formula) for a, b in pairs if a != b][:1]
        return _wording.beside(differing, level=self.proof_level)

    def __str__(self) -> str:
        named = zip(self.live, self.gates, strict=True)
        units = ", ".join(f"{unit.name} {gate}" for unit, gate in named) or "no live unit"
        return f"{self.formula} ({units}; {self.proof_level})"


def compared_margin(margin: float) -> float:
    """A margin as circuits are ordered by it.

    It keeps six digits. Later digits change with the order of additions, and the order of equally
    good circuits must not depend on them.
    """
    return float(f"{margin:.6g}")


def candidates_of(
    joints: Sequence[JointReading],
    interchanges: Interchanges,
    *,
    layer_sizes: Sequence[int],
    unconnected: Collection[Unit],
    min_margin: float,
    progress: bool,
) -> tuple[CandidateCircuit, ...]:
    """The circuits of these joint readings, first the one that a person would believe first.

    Args:
        joints: without their interchange counts, which are measured here.
        unconnected: the units that no output can depend on.
        min_margin: circuits with a smaller margin of a live unit are left out.
    """
    groups: dict[tuple[LocalGate, ...], _Group] = {}
    for joint in joints:
        reduced = reduced_layers(joint.netlist, layer_sizes)
        netlist = live_netlist(joint.netlist, layer_sizes, reduced=reduced)
        group = groups.get(netlist)
        if group is None:
            group = _Group(netlist, CanonicalTexts(reduced, layer_sizes), [])
            groups[netlist] = group
        group.members.append(joint)
    places = _places_of(interchanges.variables, unconnected)
    found = []
    for group in groups.values():
        live = _live(group.netlist, places)
        if _smallest_margin(live, group.members[0]) >= min_margin:
            found.append((group, live))
    # a prediction depends on live units alone, so one reading stands for all
    tested = interchanges.tested_all([group.members[0] for group, _ in found])
    shown = progress_bar(found, doing="testing circuits", unit="circuit", progress=progress)
    units = interchanges.model.units
    candidates = [
        _candidate(group, live, units, how_far, interchanges.variable_of)
        for (group, live), how_far in zip(shown, tested, strict=True)
    ]
    texts = [group.texts for group, _ in found]
    return tuple(_in_order(candidates, texts, progress=progress))


class _Group(NamedTuple):
    """The joint readings of one circuit.

    Attributes:
        netlist: the gates of its live units and of the decisions.
        texts: its canonical texts.
        members: the joint readings.
    """

    netlist: tuple[LocalGate, ...]
    texts: CanonicalTexts
    members: list[JointReading]


def _candidate(
    group: _Group,
    live: tuple[Unit, ...],
    units: Sequence[Unit],
    tested: Tested,
    variable_of: Mapping[Unit, int],
) -> CandidateCircuit:
    """One circuit with its readings.

    Args:
        units: all hidden units.
        variable_of: the number of each one's variable.
    """
    # unit -> on how many pairs of rows it has the effect that its gate says
    by_unit = {unit: tested.by_variable[variable_of[unit]] for unit in units}
    readings = [joint.with_interchange(dict(by_unit)) for joint in group.members]
    return CandidateCircuit(
        netlist=group.netlist,
        readings=tuple(sorted(readings, key=_clearest)),
        live=live,
        idle=tuple(_idle(unit, group.members) for unit in units if unit not in live),
        smallest_margin=_smallest_margin(live, group.members[0]),
        single=tested.single,
        joint=tested.joint,
        contradiction=tested.contradiction,
    )


def _clearest(joint: JointReading) -> tuple[object, ...]:
    """What the readings of one circuit are ordered by: they differ in idle units only."""
    return -compared_margin(joint.worst_margin), joint.gates


def _places_of(
    variables: Sequence[Variables], unconnected: Collection[Unit]
) -> dict[Unit, list[Unit]]:
    """Unit that stands for a variable -> itself, and its copies that an output can depend on."""
    places: dict[Unit, list[Unit]] = {}
    for layer, of_layer in enumerate(variables):
        for first, *copies in of_layer:
            units = [Unit(layer, index) for index in copies]
            connected = [unit for unit in units if unit not in unconnected]
            places[Unit(layer, first)] = [Unit(layer, first), *connected]
    return places


def _live(netlist: Sequence[LocalGate], places: Mapping[Unit, Sequence[Unit]]) -> tuple[Unit, ...]:
    """The units of the netlist, and those that are copies of them."""
    hidden = [gate.unit for gate in netlist if not gate.unit.is_output]
    units = list(chain.from_iterable(places[unit] for unit in hidden))
    # the netlist goes from layer to layer, so without copies they are in order
    return tuple(units if len(units) == len(hidden) else sorted(units))


def _idle(unit: Unit, members: Sequence[JointReading]) -> IdleUnit:
    gates = {joint.of(unit).gate for joint in members}
    return IdleUnit(unit=unit, gates=tuple(sorted(gates)), constant=members[0].of(unit).constant)


def _smallest_margin(live: Sequence[Unit], joint: JointReading) -> float:
    """The smallest margin of a live unit under this reading; infinite where there is none."""
    margins = [joint.of(unit).margin for unit in live]
    return min((margin for margin in margins if margin is not None), default=float("inf"))


def _in_order(
    candidates: Sequence[CandidateCircuit], texts: Sequence[CanonicalTexts], *, progress: bool
) -> Iterator[CandidateCircuit]:
    """The circuits in order, beginning with the one that a person would believe first.

    They are ordered by the level of proof, the single interchanges that come out as predicted, the
    smallest margin and the fewest live units; then by the shortest canonical text.
    """
    bar = progress_bar(
        total=len(candidates), doing="ordering circuits", unit="circuit", progress=progress
    )
    texts_of = {id(one): of_one for one, of_one in zip(candidates, texts, strict=True)}

    def length(candidate: CandidateCircuit) -> tuple[int]:
        bar.update()
        return (len(texts_of[id(candidate)].text),)

    def canonical(candidate: CandidateCircuit) -> tuple[object, ...]:
        return _canonical(candidate, texts_of[id(candidate)])

    with bar:
        for equal in _sorted_groups(candidates, _credit):
            # a canonical text is slow to find, that of all orders of the inputs more so, and so are
            # gates' formulas
            for as_short in _sorted_groups(equal, length):
                for same in _sorted_groups(as_short, canonical):
                    yield from chain.from_iterable(_sorted_groups(same, _by_gates))


def _sorted_groups(
    candidates: Sequence[CandidateCircuit], key: Callable[[CandidateCircuit], tuple[object, ...]]
) -> Iterator[list[CandidateCircuit]]:
    """Candidates with equal keys together, in order of the keys; a single one needs no key."""
    if len(candidates) == 1:
        yield list(candidates)
        return
    keyed = [(key(candidate), candidate) for candidate in candidates]
    keyed.sort(key=itemgetter(0))
    for _, group in groupby(keyed, key=itemgetter(0)):
        yield [candidate for _, candidate in group]


def _credit(candidate: CandidateCircuit) -> tuple[int, int, float, int]:
    return (
        -PROOF_LEVELS.index(candidate.proof_level),
        -candidate.single.n_right,
        -compared_margin(candidate.smallest_margin),
        candidate.n_variables,
    )


def _canonical(
    candidate: CandidateCircuit, texts: CanonicalTexts
) -> tuple[str, str, tuple[float, ...]]:
    """What renumbering and complementing units cannot change: texts, of those that are as short,
    and then all margins, the largest first.
    """
    first = candidate.readings[0]
    margins = sorted(first.of(unit).margin or 0 for unit in candidate.live)
    clearest = tuple(-compared_margin(margin) for margin in margins)
    return texts.family, texts.text, clearest


def _by_gates(
    candidate: CandidateCircuit,
) -> tuple[tuple[str, ...], tuple[Unit, ...], tuple[str, ...]]:
    """A key from the gates, which renumbering cannot change, and then from the units' numbers."""
    gates = candidate.gates
    return tuple(sorted(gates)), candidate.live, gates
