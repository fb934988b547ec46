"""a network's decisions under interchange, run once -> how far each circuit predicts them.

- *single*: one variable takes its value from another row (the source), and everything else is as on
  the base; this is done for all ordered pairs of rows;
- *joint*: all variables of a layer are taken from other rows at once, each from its own source.

A variable is one unit, or several units that are copies of one another and move together.
Everything is computed in float64. A run whose score is on the threshold, up to rounding, is
undecided, and no netlist predicts that. If there are too many joint interchanges, a seeded sample
is run; for the last hidden layer it is still known exactly whether all of them are as predicted
(`_extremes`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from xor_mi.circuits._extremes import Extremes
from xor_mi.circuits._facts import InterchangeCount, TellingInterchange
from xor_mi.circuits._netlist import JointReading, LocalGate, compose_from
from xor_mi.circuits._predicted import DecisionTable, NumbersOfRuns, Predicts
from xor_mi.circuits._readings import ROUNDING, Reading, Variables
from xor_mi.circuits._told import Contradiction
from xor_mi.circuits._variables import MAX_JOINT, by_unit, joint_sources, taken_from
from xor_mi.graph import Unit
from xor_mi.metrics import UNDECIDED
from xor_mi.model import HookedMLP
from xor_mi.truth import row_name, row_number, row_numbers, truth_rows
from xor_mi.values import LayerValues, forward_float64

RUNS_AT_ONCE = 262_144
"""So many single interchanges go through the rest of the network together."""
NUMBERS_AT_ONCE = 2**22
"""So many numbers are held for circuits that are tested together."""


@dataclass(frozen=True)
class WithBits:
    """A circuit whose units are read as bits, by one of its joint readings.

    Attributes:
        readings: per hidden layer, one per unit.
        variables: per hidden layer, its units, copies of one another together.
    """

    netlist: Sequence[LocalGate]
    readings: Sequence[Sequence[Reading]]
    variables: Sequence[Variables]
    layer_sizes: Sequence[int]

    def levels(self, layer: int) -> Tensor:
        """The bits of the units that stand for the variables, [row, variable]."""
        of_units = [self.readings[layer][units[0]].bits for units in self.variables[layer]]
        return torch.tensor(of_units).T

    def decided(self, layer: int, levels: Tensor, inputs: Tensor) -> Tensor:
        """What the netlist decides from a layer's bits on, [..., decision]."""
        # no gate reads a copy, so the bit of the unit that stands for it is enough
        bits = by_unit(levels, self.variables[layer])
        decided = compose_from(self.netlist, self.layer_sizes, layer, bits, inputs=inputs)
        return decided.to(torch.int8)


@dataclass(frozen=True)
class _GatesOfLayer:
    """The gates of one layer under several joint readings, which have their parents in common.

    Attributes:
        read: the numbers of the parents among what the layer reads: units, and after them inputs.
        tables: [circuit, unit, combination].
    """

    read: list[int]
    tables: Tensor

    @classmethod
    def of(
        cls, model: HookedMLP, layer: int, of_circuits: list[list[LocalGate]]
    ) -> "_GatesOfLayer":
        """Of each circuit the gates of this layer, in order."""
        places = {unit.name: number for number, unit in enumerate(model.sources[layer])}
        tables = [gate.bits for gates in of_circuits for gate in gates]
        together = torch.frombuffer(bytearray().join(map(bytes, tables)), dtype=torch.int8)
        shape = len(of_circuits), len(of_circuits[0]), -1
        read = [places[name] for name in of_circuits[0][0].parents]
        return cls(read, together.reshape(shape))

    def run(self, values: Tensor) -> Tensor:
        """Bits of what the layer reads -> its own, [circuit, combination, unit].

        Args:
            values: [circuit, combination, source]; with one circuit, it is the same for all.
        """
        rows = row_numbers(values[..., self.read])
        if len(rows) == 1:
            return self.tables.index_select(2, rows[0]).mT
        found = self.tables.gather(2, rows[:, None].expand(-1, self.tables.shape[1], -1))
        return found.mT


@dataclass(frozen=True)
class AllWithBits:
    """Several circuits of one network, as `WithBits` has one.

    Attributes:
        bits: per hidden layer, of the units that stand for its variables,
            [circuit, row, variable].
        gates: those of all hidden layers but the first, and of the decisions.
    """

    model: HookedMLP
    variables: Sequence[Variables]
    bits: list[Tensor]
    gates: list[_GatesOfLayer]

    @classmethod
    def of(
        cls, model: HookedMLP, variables: Sequence[Variables], joints: Sequence[JointReading]
    ) -> "AllWithBits":
        """The circuits that these are joint readings of."""
        bits = []
        for layer, of_layer in enumerate(variables):
            stands = [units[0] for units in of_layer]
            of_circuits = []
            for joint in joints:
                readings = joint.readings[layer]
                of_circuits.append([readings[k].bits for k in stands])
            # by way of NumPy, which reads nested tuples faster
            bits.append(torch.from_numpy(np.array(of_circuits)).mT)
        netlists = [_by_layer(joint.netlist) for joint in joints]
        gates = []
        for layer in range(1, model.cfg.n_layers + 1):
            of_netlists = [netlist[layer] for netlist in netlists]
            gates.append(_GatesOfLayer.of(model, layer, of_netlists))
        return cls(model, variables, bits, gates)

    def levels(self, layer: int) -> Tensor:
        """The bits of the units that stand for the variables, [circuit, row, variable]."""
        return self.bits[layer]

    def decided(self, layer: int, levels: Tensor, inputs: Tensor) -> Tensor:
        """What each netlist decides from a layer's bits on, [circuit, combination, decision]."""
        values = by_unit(levels, self.variables[layer])[None]
        for number, gates in enumerate(self.gates[layer:], start=layer + 1):
            if len(self.model.sources[number]) > values.shape[-1]:
                of_inputs = inputs.expand(len(values), -1, -1)
                values = torch.cat([values, of_inputs], dim=-1)
            values = gates.run(values)
        return values


def _by_layer(netlist: Sequence[LocalGate]) -> list[list[LocalGate]]:
    """The gates of each hidden layer, and last the decisions'."""
    return [list(gates) for _, gates in groupby(netlist, key=lambda gate: gate.unit.layer)]


@dataclass(frozen=True)
class JointRuns:
    """Joint interchanges of one hidden layer, and what the network decides in each.

    Attributes:
        sources: the row that each variable is taken from, [run, variable].
        bases: the row of the inputs, which matters where outputs read them directly, [run].
        n_read: how many inputs outputs read directly.
        decided: [run, decision]; UNDECIDED on the threshold.
        n: how many joint interchanges there are; more than the runs where these are a sample.
        scale: the largest distance to the threshold in any of them.
        extremes: if these are a sample of sums, what the worst of all is computed from.
    """

    sources: Tensor
    bases: Tensor
    n_read: int
    decided: Tensor
    n: int
    scale: float
    extremes: Extremes | None

    @property
    def exhaustive(self) -> bool:
        """Whether these are all that there are."""
        return len(self.sources) == self.n

    @cached_property
    def numbers(self) -> NumbersOfRuns:
        """Which combination of levels, and of inputs that outputs read, each run sets."""
        of_inputs = self.bases[:, None].expand(-1, self.n_read)
        return NumbersOfRuns(torch.cat([self.sources, of_inputs], dim=1))


@dataclass(frozen=True)
class Tested:
    """How far one circuit predicts the network.

    Attributes:
        by_variable: for the variables of all layers, on how many pairs of rows their single
            interchanges are as predicted.
        single: all single interchanges together.
        joint: the joint interchanges of each hidden layer.
        contradiction: the first interchange that is not as predicted; None where all are.
    """

    by_variable: tuple[int, ...]
    single: InterchangeCount
    joint: tuple[InterchangeCount, ...]
    contradiction: Contradiction | None


@dataclass(frozen=True)
class Interchanges:
    """What a network decides under every interchange.

    Attributes:
        variables: per hidden layer, its units, copies of one another together.
        single: [base, source, variable, decision], the variables of all layers one after the other;
            UNDECIDED on the threshold.
        joint: per hidden layer.
    """

    model: HookedMLP
    variables: tuple[Variables, ...]
    single: Tensor
    joint: tuple[JointRuns, ...]

    @classmethod
    def of(
        cls,
        model: HookedMLP,
        layers: Sequence[LayerValues],
        variables: tuple[Variables, ...],
    ) -> "Interchanges":
        """Run them all.

        Args:
            layers: all values on all rows, in float64.
        """
        joint = tuple(
            _joint_runs(model, layers, layer, of_layer) for layer, of_layer in enumerate(variables)
        )
        single = [
            _single_runs(model, layers, layer, units, scale=joint[layer].scale)
            for layer, of_layer in enumerate(variables)
            for units in of_layer
        ]
        return cls(model, variables, single=torch.stack(single, dim=2), joint=joint)

    @cached_property
    def places(self) -> list[tuple[int, tuple[int, ...]]]:
        """(layer, units) of every variable, in the order of `single`."""
        return [(layer, units) for layer, group in enumerate(self.variables) for units in group]

    @cached_property
    def variable_of(self) -> dict[Unit, int]:
        """Unit -> the number of its variable, in the order of `single`."""
        places = enumerate(self.places)
        return {Unit(layer, k): number for number, (layer, units) in places for k in units}

    def with_bits(self, joint: JointReading) -> WithBits:
        """The circuit that this is a joint reading of."""
        return WithBits(joint.netlist, joint.readings, self.variables, self.model.layer_sizes)

    def tables(self, circuit: Predicts) -> list[DecisionTable]:
        """Per hidden layer, what a circuit decides on every combination of its levels."""
        bits, direct = _input_bits(self.model), self.model.cfg.direct
        layers = range(len(self.joint))
        return [DecisionTable.of(circuit, layer, bits, direct=direct) for layer in layers]

    def predicted_single(self, tables: Sequence[DecisionTable]) -> Tensor:
        """What the circuit with these tables decides, in the shape of `single`.

        With several circuits together, the circuit axis comes first.
        """
        of_layers = [
            table.single(len(of_layer))
            for table, of_layer in zip(tables, self.variables, strict=True)
        ]
        return torch.cat(of_layers, dim=-2)

    def predicted_joint(self, table: DecisionTable, layer: int) -> Tensor:
        """What the circuit with this table decides in a layer's joint runs, [decision, run]."""
        return self._looked_up(layer, table.decided, table.added.tolist())

    def _looked_up(self, layer: int, decided: Tensor, added: list[list[int]]) -> Tensor:
        """What a circuit decides in a layer's joint runs, [decision, run].

        Args:
            decided: on every combination, [decision, combination].
            added: what each digit adds to the number of a combination, on each row.
        """
        numbers = self.joint[layer].numbers.of(list(map(tuple, added)))
        return torch.stack([of_one.index_select(0, numbers) for of_one in decided])

    def tested(self, circuit: Predicts) -> Tested:
        """A circuit, compared with all interchanges."""
        alone = [
            DecisionTable(table.on_rows[None], table.weights, table.decided[None])
            for table in self.tables(circuit)
        ]
        return next(self._held_against(alone, [circuit]))

    def tested_all(self, joints: Sequence[JointReading]) -> Iterator[Tested]:
        """The circuits that these are joint readings of, each compared with all interchanges.

        What they decide is computed for as many circuits together as there is room for.
        """
        n_decisions = self.single.shape[-1]
        n_sources = max(map(len, self.model.sources[1:]))
        n_combinations = 2 ** max(n_sources, *map(len, self.variables))
        n_numbers = max(
            n_combinations * max(self.model.layer_sizes[1:]),
            self.single[..., 0].numel() * (1 + n_decisions),
        )
        size = max(1, NUMBERS_AT_ONCE // n_numbers)
        for start in range(0, len(joints), size):
            some = joints[start : start + size]
            tables = self.tables(AllWithBits.of(self.model, self.variables, some))
            yield from self._held_against(tables, [self.with_bits(joint) for joint in some])

    def _held_against(
        self, tables: Sequence[DecisionTable], circuits: Sequence[Predicts]
    ) -> Iterator[Tested]:
        """Circuits with their tables, per hidden layer, of all together."""
        predicted = self.predicted_single(tables)  # [circuit, base, source, variable, decision]
        as_predicted = (predicted == self.single).all(-1)
        by_variable = as_predicted.sum((1, 2)).tolist()
        first_single = self._first_single(predicted, as_predicted)
        added = [table.added.tolist() for table in tables]
        for number, circuit in enumerate(circuits):
            contradiction = first_single[number]
            counts = []
            for layer, table in enumerate(tables):
                decided = self._looked_up(layer, table.decided[number], added[layer][number])
                agreed = _alike(decided, self.joint[layer].decided)
                contradiction = contradiction or self._first_joint(layer, decided, agreed)
                count, wrong = self._joint_count(circuit, layer, agreed)
                counts.append(count)
                contradiction = contradiction or wrong
            yield Tested(
                by_variable=tuple(by_variable[number]),
                single=InterchangeCount(sum(by_variable[number]), as_predicted[number].numel()),
                joint=tuple(counts),
                contradiction=contradiction,
            )

    def _first_single(self, predicted: Tensor, as_predicted: Tensor) -> list[Contradiction | None]:
        """Of each circuit the first single interchange not as predicted, variable by variable.

        Args:
            predicted: [circuit, base, source, variable, decision].
            as_predicted: [circuit, base, source, variable].
        """
        n_rows = len(self.single)
        # variable by variable, then base by base
        as_predicted = as_predicted.permute(0, 3, 1, 2).flatten(1)
        passes = as_predicted.all(1).tolist()
        first = as_predicted.to(torch.int8).argmin(1)  # of equal ones the first
        numbers, bases, sources = first // n_rows**2, first // n_rows % n_rows, first % n_rows
        each = torch.arange(len(first))
        of_circuits = predicted[each, bases, sources, numbers].tolist()
        of_network = self.single[bases, sources, numbers].tolist()
        found: list[Contradiction | None] = []
        places = zip(passes, numbers.tolist(), bases.tolist(), sources.tolist(), strict=True)
        for k, (all_right, number, base, source) in enumerate(places):
            if all_right:
                found.append(None)
                continue
            layer, units = self.places[number]
            found.append(
                Contradiction(
                    kind="single",
                    layer=layer,
                    variables=(tuple(Unit(layer, unit) for unit in units),),
                    base=self._row_name(base),
                    sources=(self._row_name(source),),
                    predicted=tuple(of_circuits[k]),
                    decided=tuple(of_network[k]),
                )
            )
        return found

    def _joint_count(
        self, circuit: Predicts, layer: int, agreed: Tensor
    ) -> tuple[InterchangeCount, Contradiction | None]:
        """The count for one layer; if a sample agrees, also the worst run if that does not.

        Args:
            agreed: whether each run is as predicted, [run].
        """
        runs = self.joint[layer]
        n_agreed, n_runs = int(agreed.count_nonzero()), len(agreed)
        n_all = None if runs.exhaustive else runs.n
        if n_agreed < n_runs or runs.extremes is None:
            return InterchangeCount(n_agreed, n_runs, n_all), None
        worst = self._worst(circuit, layer, runs)
        if worst is None:
            return InterchangeCount(runs.n, runs.n), None
        # the sample missed the worst run, which is one run more
        return InterchangeCount(n_agreed, n_runs + 1, n_all), worst

    def _first_joint(self, layer: int, predicted: Tensor, agreed: Tensor) -> Contradiction | None:
        """The first joint run of a layer that is not as predicted.

        Args:
            predicted: [decision, run].
            agreed: whether each run is as predicted, [run].
        """
        run = int(agreed.to(torch.int8).argmin())  # of equal ones the first
        if agreed[run]:
            return None
        runs = self.joint[layer]
        return self._contradiction(
            layer, runs.sources[run], int(runs.bases[run]), predicted[:, run], runs.decided[run]
        )

    def telling_apart(self, first: Predicts, other: Predicts) -> TellingInterchange | None:
        """The first interchange whose decisions two circuits predict differently.

        Single interchanges come first; None if the two predict the same for all that were run.
        """
        of_both = self.tables(first), self.tables(other)
        both = torch.stack([self.predicted_single(tables) for tables in of_both])
        agreed = (both[0] == both[1]).all(-1)
        of_first, of_other = self._first_single(both, agreed.expand(2, -1, -1, -1))
        for layer, (own, others) in enumerate(zip(*of_both, strict=True)):
            if of_first and of_other:
                break
            a, b = self.predicted_joint(own, layer), self.predicted_joint(others, layer)
            agreed = _alike(a, b.T)
            of_first = self._first_joint(layer, a, agreed)
            of_other = self._first_joint(layer, b, agreed)
        if not (of_first and of_other):
            return None
        return TellingInterchange(
            predicted=(of_first.predicted, of_other.predicted),
            decided=of_first.decided,
            kind=of_first.kind,
            layer=of_first.layer,
            variables=of_first.variables,
            base=of_first.base,
            sources=of_first.sources,
        )

    def _worst(self, circuit: Predicts, layer: int, runs: JointRuns) -> Contradiction | None:
        """The joint interchange furthest on the wrong side; None if all are on the right side."""
        assert runs.extremes is not None  # called only if there are interchanges on the wrong side
        n_variables, n_inputs = len(self.variables[layer]), self.model.cfg.d_in
        on_rows = circuit.levels(layer)
        if self.model.cfg.direct:
            on_rows = torch.cat([on_rows, _input_bits(self.model)], dim=1)
        # a constant unit keeps its level in every interchange of its own layer
        at_each = [levels.unique() for levels in on_rows.T]
        # reshape: of a single variable the product has no axis for it
        combinations = torch.cartesian_prod(*at_each).reshape(-1, len(at_each))
        inputs = combinations[:, n_variables:]
        if not self.model.cfg.direct:
            inputs = torch.zeros(len(combinations), n_inputs, dtype=torch.long)
        predicted = circuit.decided(layer, combinations[:, :n_variables], inputs)
        worst = runs.extremes.worst(on_rows, combinations, predicted)
        if worst.distance > ROUNDING * runs.scale:
            return None
        sources = torch.tensor([worst.rows[:n_variables]])
        base = row_number(worst.levels[n_variables:]) if self.model.cfg.direct else 0
        bases = torch.tensor([base])
        layers = forward_float64(self.model, self.model.rows().double())
        distance = _distance(self.model, layers, layer, self.variables[layer], sources, bases)
        return self._contradiction(
            layer,
            sources[0],
            base,
            self._predicted(circuit, layer, sources, bases)[0],
            _decided(distance, runs.scale)[0],
        )

    def _predicted(self, circuit: Predicts, layer: int, sources: Tensor, bases: Tensor) -> Tensor:
        """What a circuit decides in these joint interchanges, [run, decision]."""
        levels = circuit.levels(layer).gather(0, sources)
        return circuit.decided(layer, levels, _input_bits(self.model)[bases])

    def _contradiction(
        self, layer: int, sources: Tensor, base: int, predicted: Tensor, decided: Tensor
    ) -> Contradiction:
        """One joint interchange that is not as predicted."""
        groups = self.variables[layer]
        return Contradiction(
            kind="joint",
            layer=layer,
            variables=tuple(tuple(Unit(layer, unit) for unit in units) for units in groups),
            base=self._row_name(base) if self.model.cfg.direct else None,
            sources=tuple(self._row_name(source) for source in sources.tolist()),
            predicted=tuple(predicted.tolist()),
            decided=tuple(decided.tolist()),
        )

    def _row_name(self, row: int) -> str:
        return row_name(truth_rows(self.model.cfg.d_in)[row])


def _input_bits(model: HookedMLP) -> Tensor:
    """The inputs' bits on all rows, [row, input]."""
    return torch.tensor(truth_rows(model.cfg.d_in))


def _alike(predicted: Tensor, decided: Tensor) -> Tensor:
    """Whether all decisions are the same, [decision, run] and [run, decision] -> [run]."""
    # one decision after the other: `all` over an axis that short takes many times as long
    first, *others = zip(predicted, decided.T, strict=True)
    alike = torch.eq(*first)
    for own, expected in others:
        alike &= own == expected
    return alike


def _joint_runs(
    model: HookedMLP, layers: Sequence[LayerValues], layer: int, variables: Variables
) -> JointRuns:
    """All joint interchanges of one layer, or a seeded sample of them."""
    n_rows = 2**model.cfg.d_in
    # a row for every variable, and where outputs read the inputs directly, one for the base
    n_drawn = len(variables) + model.cfg.direct
    n = n_rows**n_drawn
    extremes = None
    drawn = joint_sources(n_rows, n_drawn, at_most=MAX_JOINT)
    if n > MAX_JOINT and layer == model.cfg.n_layers - 1:
        extremes = Extremes.of(model, layers, variables)
    # Without direct connections the inputs make no difference here, so any column is right.
    sources, bases = drawn[:, : len(variables)], drawn[:, -1]
    distance = _distance(model, layers, layer, variables, sources, bases)
    scale = extremes.largest if extremes else distance.abs().max().item()
    return JointRuns(
        sources=sources,
        bases=bases,
        n_read=model.cfg.d_in * model.cfg.direct,
        decided=_decided(distance, scale),
        n=n,
        scale=scale,
        extremes=extremes,
    )


def _distance(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    layer: int,
    variables: Variables,
    sources: Tensor,
    bases: Tensor,
) -> Tensor:
    """From the threshold, in these joint interchanges, [run, decision]."""
    post = layers[layer].post
    values = taken_from(post, sources, variables)
    rest = forward_float64(model, values, start=layer + 1, inputs=layers[0].inputs[bases])
    return model.rule.distance(rest[-1].post)


def _single_runs(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    layer: int,
    units: Sequence[int],
    *,
    scale: float,
) -> Tensor:
    """What is decided with one variable from each source, [base, source, decision]."""
    post, inputs = layers[layer].post, layers[0].inputs
    n_rows = len(post)
    decided = []
    for bases in torch.arange(n_rows).split(max(1, RUNS_AT_ONCE // n_rows)):
        values = post[bases][:, None].repeat(1, n_rows, 1)  # [base, source, unit]
        values[..., list(units)] = post[:, list(units)]
        rest = forward_float64(model, values, start=layer + 1, inputs=inputs[bases][:, None])
        decided.append(_decided(model.rule.distance(rest[-1].post), scale))
    return torch.cat(decided)


def _decided(distance: Tensor, scale: float) -> Tensor:
    """Distances to the threshold -> bits; UNDECIDED on it, up to rounding."""
    bits = (distance > 0).to(torch.int8)
    return torch.where(distance.abs() <= ROUNDING * scale, UNDECIDED, bits).to(torch.int8)
