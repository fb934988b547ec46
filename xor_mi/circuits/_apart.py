"""several circuits that are proved equally far -> what tells each further one apart from the first.

Two things may tell them apart: an interchange on which they predict different decisions, and an
input between the rows. At such an input each circuit reads the first hidden layer's units by its
own thresholds, from the values that the network itself has there, and its netlist says what
follows. If all joint interchanges were run, circuits that are proved jointly never predict
different decisions: they are right on every interchange, and the interchanges have every
combination of bits. Such circuits may still predict different bits for a hidden unit of a later
layer.

Inputs are tried from coarse grids to fine ones, so that the first found has round coordinates. If
one grid has several such inputs, the input that is furthest from every threshold is chosen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xor_mi.circuits import _wording
from xor_mi.circuits._candidates import CandidateCircuit
from xor_mi.circuits._facts import Apart, LookedAt, ProofLevel, TellingInput, TellingInterchange
from xor_mi.circuits._interchange import Interchanges
from xor_mi.circuits._netlist import LocalGate, run
from xor_mi.circuits._readings import ROUNDING
from xor_mi.circuits._variables import unconnected_units, values_on_rows, variables_of_all
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP
from xor_mi.truth import truth_rows
from xor_mi.values import LayerValues, forward_float64

MAX_APART = 100
"""At most so many further circuits are compared with the first."""
STEPS = (2, 4, 10, 20, 50, 100, 200)
"""The numbers of steps between the two input levels that are tried, one after the other."""
MAX_POINTS = 201**2
"""A grid with more points is sampled. The finest grid of two inputs has so many."""
N_SAMPLED = 4096
"""The number of points that are sampled from a grid."""


@dataclass(frozen=True, kw_only=True)
class Difference(Apart):
    """What tells a circuit apart from the first: the facts are fields, the sentence follows."""

    def __str__(self) -> str:
        return _wording.difference(self)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values, units by name, with the sentence."""
        return {
            "circuits": list(self.circuits),
            "unit": self.unit.name,
            "gates": list(self.gates),
            "interchange": _interchange_dict(self.interchange) if self.interchange else None,
            "input": _input_dict(self.input) if self.input else None,
            "looked_at": self.looked_at._asdict(),
            "sentence": str(self),
        }


@torch.no_grad()
def differences_of(
    model: HookedMLP, circuits: Sequence[CandidateCircuit], *, require: ProofLevel
) -> tuple[Difference, ...]:
    """What tells each circuit apart from the first, for at most `MAX_APART` circuits.

    Args:
        circuits: those that are proved as far as `require` says.
    """
    first, *others = circuits[: MAX_APART + 1]
    # proved jointly, both predict what the network does: no interchange tells them apart
    interchanges = None if require == "joint" else _interchanges(model)
    inputs, looked_at = _telling_inputs(model, first, others)
    differences = []
    for number, (other, telling) in enumerate(zip(others, inputs, strict=True), start=1):
        unit, gates = _first_unit(model, first, other)
        difference = Difference(
            circuits=(0, number),
            unit=unit,
            gates=gates,
            interchange=_telling_interchange(interchanges, first, other) if interchanges else None,
            input=telling,
            looked_at=looked_at,
        )
        differences.append(difference)
    return tuple(differences)


def _interchanges(model: HookedMLP) -> Interchanges:
    layers = values_on_rows(model)
    return Interchanges.of(model, layers, variables_of_all(model, layers, unconnected_units(model)))


def _telling_interchange(
    interchanges: Interchanges, first: CandidateCircuit, other: CandidateCircuit
) -> TellingInterchange | None:
    # a prediction depends on live units alone, so one reading stands for all
    a, b = (interchanges.with_bits(circuit.readings[0]) for circuit in (first, other))
    return interchanges.telling_apart(a, b)


def _first_unit(
    model: HookedMLP, first: CandidateCircuit, other: CandidateCircuit
) -> tuple[Unit, tuple[str | None, str | None]]:
    """The first unit that two circuits read differently, with its gate under each."""
    for unit in model.units:
        gates = _gate_of(first, unit), _gate_of(other, unit)
        if gates[0] != gates[1]:
            return unit, gates
    # all units are read alike, so a gate's table differs
    pairs = zip(first.netlist, other.netlist, strict=True)
    a, b = next(pair for pair in pairs if pair[0] != pair[1])
    return a.unit, (a.formula, b.formula)


def _gate_of(circuit: CandidateCircuit, unit: Unit) -> str | None:
    """The unit's gate; None where it is idle."""
    return circuit.readings[0].of(unit).gate if unit in circuit.live else None


@dataclass(frozen=True)
class _Points:
    """Inputs with what the network does at them, in float64.

    Attributes:
        inputs: [point, input].
        layers: all values there.
        distance: of every decision from its threshold, as a fraction of the largest on the rows,
            [point, decision].
    """

    inputs: Tensor
    layers: Sequence[LayerValues]
    distance: Tensor


@dataclass(frozen=True)
class _Box:
    """The box between the input levels, with the network's values on the rows, looked up once.

    Attributes:
        low, high: what every input is at bit 0 and at bit 1, [input].
        on_rows: all values on the rows.
    """

    model: HookedMLP
    low: Tensor
    high: Tensor
    on_rows: Sequence[LayerValues]

    @classmethod
    def of(cls, model: HookedMLP) -> "_Box":
        rows = model.rows().double()
        return cls(model, rows[0], rows[-1], forward_float64(model, rows))

    def points(self, numbers: Tensor, n_steps: int) -> _Points:
        """The points of a grid with these numbers, 0 to n_steps, [point, input]."""
        # divided last, so that 0.3 is 0.3
        inputs = (self.low * (n_steps - numbers) + self.high * numbers) / n_steps
        layers = forward_float64(self.model, inputs)
        scale = self.model.rule.distance(self.on_rows[-1].post).abs().max()
        return _Points(inputs, layers, self.model.rule.distance(layers[-1].post) / scale)

    def range_of(self, unit: Unit) -> float:
        """A unit's range: the difference of its largest and smallest value on the rows."""
        values = self.on_rows[unit.layer].post[:, unit.index]
        return (values.max() - values.min()).item()


@dataclass(frozen=True)
class _Predicted:
    """What one circuit says at some inputs.

    Attributes:
        bits: of every unit and decision, by name, [point].
        clear: how far the units that are read are from their thresholds, as a fraction of their
            range, [point].
    """

    bits: Mapping[str, Tensor]
    clear: Tensor


def _telling_inputs(
    model: HookedMLP, first: CandidateCircuit, others: Sequence[CandidateCircuit]
) -> tuple[list[TellingInput | None], LookedAt]:
    """For each further circuit, an input for which it predicts something else than the first.

    It predicts another decision if there is such an input, else another bit of a hidden unit.
    """
    box = _Box.of(model)
    of_decisions: list[TellingInput | None] = [None] * len(others)
    of_units = list(of_decisions)
    n_tried, all_grids = 0, True
    for numbers, n_steps, is_grid in _grids(model.cfg.d_in):
        points = box.points(numbers, n_steps)
        n_tried, all_grids = n_tried + len(numbers), all_grids and is_grid
        by_first = _predicted(box, first, points)
        for k, other in enumerate(others):
            if of_decisions[k] is None:
                by_other = _predicted(box, other, points)
                of_decisions[k] = _other_decisions(model, points, by_first, by_other)
                if of_decisions[k] is None and of_units[k] is None:
                    shared = _read_alike(first, other)
                    of_units[k] = _other_bit(box, points, shared, first, by_first, by_other)
        if None not in of_decisions:
            break
    # every grid has the points of those before it
    looked_at = LookedAt(n=len(numbers) if all_grids else n_tried, grid=all_grids)
    pairs = zip(of_decisions, of_units, strict=True)
    return [decided or of_unit for decided, of_unit in pairs], looked_at


def _grids(n_inputs: int) -> Iterator[tuple[Tensor, int, bool]]:
    """The points of ever finer grids by number, the steps of each, and whether it is complete."""
    generator = torch.Generator().manual_seed(0)
    for n_steps in STEPS:
        if (n_steps + 1) ** n_inputs <= MAX_POINTS:
            along = [torch.arange(n_steps + 1)] * n_inputs
            # reshape: of a single input the product has no axis for it
            yield torch.cartesian_prod(*along).reshape(-1, n_inputs), n_steps, True
        else:
            sample = torch.randint(n_steps + 1, (N_SAMPLED, n_inputs), generator=generator)
            between = _between_rows(n_inputs, n_steps, generator)
            yield torch.cat([between, sample]), n_steps, False


def _between_rows(n_inputs: int, n_steps: int, generator: torch.Generator) -> Tensor:
    """The points of a grid on the lines between two rows, for all pairs or for a seeded sample."""
    rows = torch.tensor(truth_rows(n_inputs))
    n_pairs = MAX_POINTS // (n_steps - 1)
    if len(rows) * (len(rows) - 1) // 2 <= n_pairs:
        pairs = torch.combinations(torch.arange(len(rows)))
    else:
        pairs = torch.randint(len(rows), (n_pairs, 2), generator=generator)
    steps = torch.arange(1, n_steps)[:, None]
    ends = rows[pairs][:, :, None]  # [pair, end, 1, input]
    return (ends[:, 0] * (n_steps - steps) + ends[:, 1] * steps).reshape(-1, n_inputs)


def _predicted(box: _Box, circuit: CandidateCircuit, points: _Points) -> _Predicted:
    """The first hidden layer read by the circuit's thresholds, and what its netlist makes of it."""
    clear = torch.full((len(points.inputs),), float("inf"), dtype=torch.float64)
    bits: dict[str, Tensor] = {}
    for gate in circuit.netlist:
        unit = gate.unit
        if unit.layer == 0:
            threshold = circuit.readings[0].of(unit).threshold
            above = points.layers[0].post[:, unit.index] - threshold
            bits[unit.name] = (above > 0).long()
            clear = torch.minimum(clear, above.abs() / box.range_of(unit))
    # where outputs read the inputs too, these are read halfway between their levels
    above = (points.inputs - (box.low + box.high) / 2) / (box.high - box.low)
    bits |= {f"x{i}": (above[:, i] > 0).long() for i in range(above.shape[1])}
    if box.model.cfg.direct:
        clear = torch.minimum(clear, above.abs().amin(1))
    # a decision that depends on nothing has its one bit
    later = [gate for gate in circuit.netlist if gate.unit.layer > 0]
    bits |= {gate.unit.name: torch.full_like(bits["x0"], gate.bits[0]) for gate in later}
    return _Predicted(run([gate for gate in later if gate.parents], bits), clear)


def _other_decisions(
    model: HookedMLP, points: _Points, by_first: _Predicted, by_other: _Predicted
) -> TellingInput | None:
    """The clearest of the points at which two circuits predict different decisions."""
    names = [unit.name for unit in model.decision_units]
    a, b = (torch.stack([one.bits[name] for name in names], -1) for one in (by_first, by_other))
    clear = torch.minimum(by_first.clear, by_other.clear)
    clear = torch.minimum(clear, points.distance.abs().amin(-1))
    at = _clearest((a != b).any(-1), clear)
    if at is None:
        return None
    return TellingInput(
        predicted=(tuple(a[at].tolist()), tuple(b[at].tolist())),
        decided=tuple((points.distance[at] > 0).int().tolist()),
        values=tuple(points.inputs[at].tolist()),
        unit=None,
    )


def _read_alike(first: CandidateCircuit, other: CandidateCircuit) -> list[LocalGate]:
    """The hidden units after the first layer that are live in both, and read alike."""
    theirs = {gate.unit for gate in other.netlist if not gate.unit.is_output}
    both = [gate for gate in first.netlist if gate.unit.layer > 0 and gate.unit in theirs]
    return [gate for gate in both if _gate_of(first, gate.unit) == _gate_of(other, gate.unit)]


def _other_bit(
    box: _Box,
    points: _Points,
    shared: Sequence[LocalGate],
    first: CandidateCircuit,
    by_first: _Predicted,
    by_other: _Predicted,
) -> TellingInput | None:
    """The clearest of the points at which two circuits predict different bits of a hidden unit."""
    for gate in shared:
        unit = gate.unit
        a, b = by_first.bits[unit.name], by_other.bits[unit.name]
        threshold = first.readings[0].of(unit).threshold
        above = points.layers[unit.layer].post[:, unit.index] - threshold
        clear = torch.minimum(by_first.clear, by_other.clear)
        clear = torch.minimum(clear, above.abs() / box.range_of(unit))
        at = _clearest(a != b, clear)
        if at is not None:
            return TellingInput(
                predicted=((int(a[at]),), (int(b[at]),)),
                decided=(int(above[at] > 0),),
                values=tuple(points.inputs[at].tolist()),
                unit=unit,
            )
    return None


def _clearest(apart: Tensor, clear: Tensor) -> int | None:
    """The first of the marked points that are furthest from every threshold, to six digits.

    None if every one lies on a threshold, up to rounding.
    """
    # parts of a range: six digits say the same of a network of any scale
    at = torch.where(apart & (clear > ROUNDING), clear, 0.0).round(decimals=6)
    best = at.max()
    return int((at == best).nonzero()[0]) if best > 0 else None


def _interchange_dict(one: TellingInterchange) -> dict[str, object]:
    return {
        "kind": one.kind,
        "layer": one.layer,
        "variables": [[unit.name for unit in units] for units in one.variables],
        "base": one.base,
        "sources": list(one.sources),
        "predicted": [list(bits) for bits in one.predicted],
        "decided": list(one.decided),
    }


def _input_dict(one: TellingInput) -> dict[str, object]:
    return {
        "values": list(one.values),
        "unit": one.unit.name if one.unit else None,
        "predicted": [list(bits) for bits in one.predicted],
        "decided": list(one.decided),
    }
