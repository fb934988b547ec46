"""units read with up to three levels -> the circuits that survive, with their proofs.

The definitions are those of two levels. A *joint reading* gives every variable one reading. It is
kept if replacing each hidden layer by the mean values of its levels keeps every decision, and if
the gates, measured on every combination of the levels of the layer before, give every unit the
levels it is read at. If no output depends on a cut of a live unit, the cut says nothing: such a
reading is left out, because the reading without that cut says the same. Readings that agree on the
live units are one circuit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf, prod

import numpy as np
import torch
from torch import Tensor

from xor_mi.circuits._candidates import IdleUnit, compared_margin
from xor_mi.circuits._diagnose import own_function, problems_of
from xor_mi.circuits._facts import PROOF_LEVELS, ProofLevel
from xor_mi.circuits._interchange import Interchanges, Tested
from xor_mi.circuits._levels import (
    MOST_LEVELS,
    OrderedReading,
    ordered_readings,
    read_alike,
)
from xor_mi.circuits._ordered import OrderedCircuit, OrderedCircuits, OrderedGate
from xor_mi.circuits._ordered_form import Cube, OrderedCore
from xor_mi.circuits._pruned import promising_choices
from xor_mi.circuits._readings import (
    CHOICES_AT_ONCE,
    MAX_READINGS,
    MAX_TRIED,
    MIN_MARGIN,
    ROUNDING,
    Variables,
)
from xor_mi.circuits._required import Required
from xor_mi.circuits._variables import unconnected_units, values_on_rows, variables_of_all
from xor_mi.errors import TooManyReadings, XorMiError, whole_number
from xor_mi.graph import Unit
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.model._range import require_finite_run
from xor_mi.progress import progress_bar
from xor_mi.truth import BooleanFunction, truth_rows
from xor_mi.values import LayerValues, forward_float64

MAX_COMBINATIONS = 65_536
"""A layer may have at most so many combinations of levels: those of ten units with three levels."""


@dataclass(frozen=True)
class _Variable:
    """One variable of a hidden layer, with all its readings.

    Attributes:
        number: which one it is among the variables of its layer, unconnected ones counted.
        units: its places, the one that stands for it first.
        options: per reading, one `OrderedReading` per place.
    """

    number: int
    units: tuple[int, ...]
    options: tuple[tuple[OrderedReading, ...], ...]

    def levels(self, option: int) -> np.ndarray:
        """What level it is at on every row, [row]."""
        return np.array(self.options[option][0].levels)

    def n_levels(self, option: int) -> int:
        return self.options[option][0].n_levels

    def values_at_levels(self, option: int) -> Tensor:
        """The values of its places at each of its levels, [level, place]."""
        first, *copies = self.options[option]
        columns = [first.values]
        for copy in copies:
            # a copy that falls where the first rises counts its levels from the other end
            is_turned = copy.levels != first.levels
            columns.append(copy.values[::-1] if is_turned else copy.values)
        return torch.tensor(columns, dtype=torch.float64).T


@dataclass(frozen=True)
class _Joint:
    """A joint reading that is kept.

    Attributes:
        choices: per hidden layer, the number of each variable's reading.
        tables: per hidden layer, each variable's level on every combination of the layer before;
            of the first layer empty, since there the rows are the combinations.
        decisions: each decision on every combination of the last layer's levels.
        worst: the smallest distance to the threshold under substitution, over the layers.
    """

    choices: tuple[tuple[int, ...], ...] = ()
    tables: tuple[tuple[Cube, ...], ...] = ()
    decisions: tuple[Cube, ...] = ()
    worst: float = inf


@dataclass(frozen=True)
class _Search:
    """A network that computes its target, and its variables.

    Attributes:
        layers: all values on all rows.
        decided: [row, decision].
        variables: per hidden layer, those that an output is connected to.
        n_variables: per hidden layer, how many there are in all.
        unconnected: per hidden layer, the units that lead nowhere, with all their readings.
    """

    model: HookedMLP
    layers: Sequence[LayerValues]
    decided: Tensor
    variables: tuple[tuple[_Variable, ...], ...]
    n_variables: tuple[int, ...]
    unconnected: tuple[dict[int, tuple[OrderedReading, ...]], ...]

    @classmethod
    def of(
        cls,
        model: HookedMLP,
        layers: Sequence[LayerValues],
        decided: Tensor,
        grouped: Sequence[Variables],
        *,
        most_levels: int,
    ) -> "_Search":
        """Every reading of every variable, not yet combined."""
        nowhere = unconnected_units(model)
        variables, unconnected = [], []
        for layer, groups in enumerate(grouped):
            columns = layers[layer].post.T
            of_layer = []
            for number, units in enumerate(groups):
                connected = tuple(k for k in units if Unit(layer, k) not in nowhere)
                if connected:
                    places = [columns[k] for k in connected]
                    options = tuple(read_alike(places, most_levels=most_levels))
                    of_layer.append(_Variable(number, connected, options))
            variables.append(tuple(of_layer))
            apart = sorted(unit.index for unit in nowhere if unit.layer == layer)
            all_of = {k: ordered_readings(columns[k], most_levels=most_levels) for k in apart}
            unconnected.append({k: tuple(readings) for k, readings in all_of.items()})
        search = cls(
            model=model,
            layers=layers,
            decided=decided,
            variables=tuple(variables),
            n_variables=tuple(map(len, grouped)),
            unconnected=tuple(unconnected),
        )
        search._require_narrow()
        return search

    def _require_narrow(self) -> None:
        """Refuse a layer whose combinations of levels are too many to be one table."""
        for layer, variables in enumerate(self.variables):
            n_inputs = self.model.cfg.d_in if self._reads_inputs(layer) else 0
            most = [max((one[0].n_levels for one in v.options), default=1) for v in variables]
            n_combinations = prod(most) * 2**n_inputs
            if n_combinations > MAX_COMBINATIONS:
                raise XorMiError(
                    f"layer {layer} has {n_combinations:,} combinations of three levels; at most "
                    f"{MAX_COMBINATIONS:,} are measured, those of ten units: read it with levels=2"
                )

    def _reads_inputs(self, layer: int) -> bool:
        """Whether what reads this hidden layer reads the inputs, too."""
        return self.model.cfg.direct and layer == self.model.cfg.n_layers - 1

    # joint readings

    def kept(self, *, max_readings: int, progress: bool) -> Iterator[_Joint]:
        """Every joint reading that is faithful layer by layer and composes."""
        kept = [_Joint()]
        for layer in range(self.model.cfg.n_layers):
            choices, worst = self._faithful(layer, progress=progress)
            if len(kept) * len(choices) > MAX_TRIED:
                raise TooManyReadings(
                    f"{len(kept) * len(choices):,} joint readings with up to three levels up to "
                    f"layer {layer}; at most {MAX_TRIED:,} can be tried: study fewer units, or "
                    "read it with levels=2"
                )
            longer: list[_Joint] = []
            for joint in progress_bar(
                kept, doing="reading three levels", unit="reading", progress=progress
            ):
                longer += self._extended(joint, layer, choices, worst)
                if len(longer) > max_readings:
                    raise TooManyReadings(
                        f"more than max_readings={max_readings} faithful joint readings with up to "
                        "three levels; raise it, study fewer units, or read it with levels=2"
                    )
            kept = longer
        bar = progress_bar(kept, doing="measuring three levels", unit="reading", progress=progress)
        for joint in bar:
            finished = self._with_decisions(joint)
            if finished is not None:
                yield finished

    def _faithful(self, layer: int, *, progress: bool) -> tuple[Tensor, Tensor]:
        """The choices of readings that keep every decision, [choice, variable], with margins."""
        variables = self.variables[layer]
        if not all(variable.options for variable in variables):  # no reading fits all copies alike
            return torch.zeros(0, len(variables), dtype=torch.long), torch.zeros(0)
        levels = []  # per variable, what its places are replaced by, [reading, row, place]
        for variable in variables:
            replaced = [
                variable.values_at_levels(option)[torch.from_numpy(variable.levels(option))]
                for option in range(len(variable.options))
            ]
            levels.append(torch.stack(replaced))
        numbers = [torch.arange(len(variable.options)) for variable in variables]
        units = [variable.units for variable in variables]
        if not numbers:  # no output is connected to this layer
            choices = torch.zeros(1, 0, dtype=torch.long)
        elif prod(map(len, numbers)) > MAX_TRIED:
            choices = promising_choices(
                self.model,
                self.layers,
                layer,
                levels,
                variables=units,
                decided=self.decided,
                progress=progress,
            )
        else:
            # reshape: of a single variable the product has no axis for it
            choices = torch.cartesian_prod(*numbers).reshape(-1, len(numbers))
        sides = (2 * self.decided - 1).double()  # +1 where the decision is 1, -1 where it is 0
        post, inputs = self.layers[layer].post, self.layers[0].inputs
        margins, scales = [], []
        bar = progress_bar(
            choices.split(CHOICES_AT_ONCE),
            doing=f"trying readings of layer {layer}",
            unit=f"{CHOICES_AT_ONCE} readings",
            progress=progress,
        )
        for chunk in bar:
            # a unit that leads nowhere keeps its own values
            values = post.repeat(len(chunk), 1, 1)  # [choice, row, unit]
            for k, places in enumerate(units):
                values[..., list(places)] = levels[k][chunk[:, k]]
            rest = forward_float64(self.model, values, start=layer + 1, inputs=inputs)
            distance = (self.model.rule.distance(rest[-1].post) * sides).flatten(1)
            margins.append(distance.amin(1))
            scales.append(distance.abs().amax(1))
        margin = torch.cat(margins)
        keeps = margin > ROUNDING * torch.cat(scales)
        return choices[keeps], margin[keeps]

    def _extended(
        self, joint: _Joint, layer: int, choices: Tensor, worst: Tensor
    ) -> Iterator[_Joint]:
        """The joint reading, extended by every choice for the next layer that its gates give."""
        variables = self.variables[layer]
        tables: list[dict[int, Cube]] = [{} for _ in variables]
        if layer > 0:
            reached = self._measured(joint, layer - 1)
            on_rows = self._on_rows(joint, layer - 1)
            tables = [_composing(variable, reached, on_rows) for variable in variables]
            for k, allowed in enumerate(tables):
                fits = torch.isin(choices[:, k], torch.tensor(list(allowed), dtype=torch.long))
                choices, worst = choices[fits], worst[fits]
        for choice, margin in zip(choices.tolist(), worst.tolist(), strict=True):
            measured = ()
            if layer > 0:
                measured = tuple(table[n] for table, n in zip(tables, choice, strict=True))
            yield _Joint(
                choices=(*joint.choices, tuple(choice)),
                tables=(*joint.tables, measured),
                worst=min(joint.worst, margin),
            )

    def _with_decisions(self, joint: _Joint) -> _Joint | None:
        """The joint reading with the gates of its decisions; None if they decide differently."""
        last = self.model.cfg.n_layers - 1
        outputs = torch.from_numpy(self._measured(joint, last))
        distance = self.model.rule.distance(outputs).numpy()
        on_rows = self._on_rows(joint, last)
        decisions = []
        for k in range(distance.shape[-1]):
            column = distance[..., k]
            bits = (column > ROUNDING * np.abs(column).max()).astype(np.int8)
            if (bits[on_rows] != self.decided[:, k].numpy()).any():
                return None
            decisions.append(bits)
        return _Joint(joint.choices, joint.tables, tuple(decisions), joint.worst)

    def _measured(self, joint: _Joint, layer: int) -> Cube:
        """The next layer on every combination of this layer's levels, [..., unit]."""
        weight, bias = self.model.float64_layers()[layer + 1]
        added = [
            variable.values_at_levels(option) @ weight[:, list(variable.units)].T
            for variable, option in zip(self.variables[layer], joint.choices[layer], strict=True)
        ]
        if self._reads_inputs(layer):
            inputs = self.layers[0].inputs
            low_and_high = inputs[[0, -1]]  # on the first row all bits are 0, on the last all are 1
            width = self.model.cfg.d_hidden[layer]
            added += [
                low_and_high[:, [i]] * weight[:, width + i] for i in range(self.model.cfg.d_in)
            ]
        total = bias
        for of_levels in added:
            total = total[..., None, :] + of_levels
        return self.model.activate(total, layer + 1).numpy()

    def _on_rows(self, joint: _Joint, layer: int) -> tuple[np.ndarray, ...]:
        """Where the rows are among the combinations that the next layer is measured on."""
        variables = zip(self.variables[layer], joint.choices[layer], strict=True)
        levels = [variable.levels(option) for variable, option in variables]
        return *levels, *(self.input_bits if self._reads_inputs(layer) else ())

    @property
    def input_bits(self) -> tuple[np.ndarray, ...]:
        """Per input, [row]."""
        return tuple(np.array(truth_rows(self.model.cfg.d_in)).T)

    # circuits

    def core_of(self, joint: _Joint) -> OrderedCore | None:
        """The joint reading without everything idle; None if a live unit has an idle cut."""
        readers, live = list(joint.decisions), []
        tables: list[tuple[Cube, ...]] = []
        for layer in reversed(range(len(joint.choices))):
            numbers = []
            for k in range(len(joint.choices[layer])):
                tells = _cuts_that_tell(readers, axis=k)
                if any(tells) and not all(tells):
                    return None
                if any(tells):
                    numbers.append(k)
            # from the last axis back, so that the numbers of the axes before it stay
            for k in reversed(range(len(joint.choices[layer]))):
                if k not in numbers:
                    readers = [cube.take(0, axis=k) for cube in readers]
            tables.insert(0, tuple(readers))
            live.insert(0, tuple(numbers))
            readers = [joint.tables[layer][k] for k in numbers] if layer > 0 else []
        levels = [
            tuple(self.variables[layer][k].levels(joint.choices[layer][k]) for k in numbers)
            for layer, numbers in enumerate(live)
        ]
        return OrderedCore(
            live=tuple(live),
            levels=tuple(levels),
            tables=((), *tables[:-1]),
            decisions=tables[-1],
        )

    def smallest_margin(self, core: OrderedCore, joint: _Joint) -> float:
        """The smallest margin of a live unit; infinite where no unit has one."""
        margins = [
            reading.margin
            for layer, numbers in enumerate(core.live)
            for k in numbers
            for reading in self.variables[layer][k].options[joint.choices[layer][k]]
        ]
        return min((margin for margin in margins if margin is not None), default=inf)

    def circuit_of(
        self, core: OrderedCore, joints: Sequence[_Joint], tested: Tested
    ) -> OrderedCircuit:
        """The circuit of the joint readings that agree on this core."""
        # shown under the reading with the fewest levels, then the largest margin
        first = min(joints, key=lambda joint: (self._n_levels(joint), -joint.worst))
        readings, live, idle = [], [], []
        for layer, variables in enumerate(self.variables):
            # a unit that leads nowhere could be any gate; the others are as these joint readings
            # say
            could_be = dict(self.unconnected[layer])
            shown = {unit: options[0] for unit, options in could_be.items()}
            for k, variable in enumerate(variables):
                numbers = dict.fromkeys(joint.choices[layer][k] for joint in joints)
                for place, unit in enumerate(variable.units):
                    shown[unit] = variable.options[first.choices[layer][k]][place]
                    could_be[unit] = tuple(variable.options[n][place] for n in numbers)
                if k in core.live[layer]:
                    live += [Unit(layer, unit) for unit in variable.units]
            readings.append(tuple(shown[unit] for unit in sorted(shown)))
            for unit, options in sorted(could_be.items()):
                if Unit(layer, unit) not in live:
                    gates = sorted({reading.gate for reading in options})
                    idle.append(IdleUnit(Unit(layer, unit), tuple(gates), options[0].constant))
        return OrderedCircuit(
            readings=tuple(readings),
            netlist=tuple(self._netlist(core)),
            live=tuple(sorted(live)),
            idle=tuple(idle),
            smallest_margin=self.smallest_margin(core, first),
            single=tested.single,
            joint=tested.joint,
            contradiction=tested.contradiction,
            n_readings=len(joints),
        )

    def _n_levels(self, joint: _Joint) -> int:
        """How many levels all units have together."""
        return sum(
            variable.n_levels(option)
            for variables, choice in zip(self.variables, joint.choices, strict=True)
            for variable, option in zip(variables, choice, strict=True)
        )

    def _netlist(self, core: OrderedCore) -> Iterator[OrderedGate]:
        """The gates of the live units, each over what it depends on; then the decisions."""
        n_inputs = self.model.cfg.d_in
        inputs = tuple(Unit(-1, i).name for i in range(n_inputs))
        before = inputs
        for layer, numbers in enumerate(core.live):
            units = [Unit(layer, self.variables[layer][k].units[0]) for k in numbers]
            # a first layer's table is its levels on the rows
            tables = core.tables[layer]
            if layer == 0:
                tables = [levels.reshape((2,) * n_inputs) for levels in core.levels[layer]]
            for unit, levels, cube in zip(units, core.levels[layer], tables, strict=True):
                yield _gate(unit, before, cube, n_levels=int(levels.max()) + 1)
            before = tuple(unit.name for unit in units)
        read = before + (inputs if self.model.cfg.direct else ())
        for unit, cube in zip(self.model.decision_units, core.decisions, strict=True):
            yield _gate(unit, read, cube)


def _gate(unit: Unit, parents: Sequence[str], cube: Cube, *, n_levels: int = 2) -> OrderedGate:
    """A gate over those of the parents that it depends on."""
    essential = [k for k in range(cube.ndim) if any(_cuts_that_tell([cube], axis=k))]
    # from the last axis back, so that the numbers of the axes before it stay
    for k in reversed(range(cube.ndim)):
        if k not in essential:
            cube = cube.take(0, axis=k)
    return OrderedGate(
        unit=unit,
        parents=tuple(parents[k] for k in essential),
        radices=cube.shape,
        table=tuple(cube.flatten().tolist()),
        n_levels=n_levels,
    )


def _cuts_that_tell(cubes: Sequence[Cube], *, axis: int) -> list[bool]:
    """Per cut between two levels, whether any of the tables differs across it."""
    if not cubes:
        return []
    n_levels = cubes[0].shape[axis]
    return [
        any((cube.take(low, axis) != cube.take(low + 1, axis)).any() for cube in cubes)
        for low in range(n_levels - 1)
    ]


def _composing(
    variable: _Variable, reached: Cube, on_rows: tuple[np.ndarray, ...]
) -> dict[int, Cube]:
    """The readings of a variable that the layer before gives on all rows, each with its table.

    Args:
        reached: the variable's layer on every combination of the layer before, [..., unit].
        on_rows: where the rows are among these.
    """
    tables = {}
    for number, readings in enumerate(variable.options):
        measured = [
            _levels_of(reached[..., unit], reading.thresholds)
            for unit, reading in zip(variable.units, readings, strict=True)
        ]
        gives = [
            (table[on_rows] == np.array(reading.levels)).all()
            for table, reading in zip(measured, readings, strict=True)
        ]
        if all(gives):
            tables[number] = measured[0]
    return tables


def _levels_of(values: Cube, thresholds: Sequence[float]) -> Cube:
    """Values -> levels; a value on a threshold, up to rounding, is below it."""
    levels = np.zeros(values.shape, dtype=np.int8)
    for threshold in thresholds:
        distance = values - threshold
        levels += distance > ROUNDING * np.abs(distance).max()
    return levels


@dataclass(frozen=True)
class _WithLevels:
    """A circuit as interchange tests it.

    Attributes:
        rest: per hidden layer, the decisions on every combination of its live variables' levels
            (and of the inputs, where outputs read them directly), [..., decision].
    """

    search: _Search
    core: OrderedCore
    rest: tuple[Cube, ...]

    @classmethod
    def of(cls, search: _Search, core: OrderedCore) -> "_WithLevels":
        """The core's gates put together, from the last hidden layer back."""
        rest = [np.stack(core.decisions, axis=-1)]
        for tables in reversed(core.tables[1:]):
            rest.insert(0, rest[0][tables] if tables else rest[0])
        return cls(search, core, tuple(rest))

    def levels(self, layer: int) -> Tensor:
        """The level of each variable on every row, [row, variable]; always 0 for an idle one.

        No decision depends on an idle variable, so one level is enough.
        """
        n_rows = len(self.search.decided)
        levels = torch.zeros(n_rows, self.search.n_variables[layer], dtype=torch.long)
        for number, own in zip(self._live(layer), self.core.levels[layer], strict=True):
            levels[:, number] = torch.from_numpy(own)
        return levels

    def decided(self, layer: int, levels: Tensor, inputs: Tensor) -> Tensor:
        """What the netlist decides from a layer's levels on, [..., decision]."""
        read = list(levels.numpy()[..., self._live(layer)].T)
        if self.search.model.cfg.direct:
            read += list(inputs.numpy().T)
        shape = levels.shape[:-1]
        # the axes of an array turned by .T come in the other order
        decided = self.rest[layer][tuple(axis.T for axis in read)]
        decided = np.broadcast_to(decided, (*shape, decided.shape[-1]))
        return torch.from_numpy(decided.astype(np.int8))

    def _live(self, layer: int) -> list[int]:
        """The live variables, by their numbers among all of the layer."""
        variables = self.search.variables[layer]
        return [variables[k].number for k in self.core.live[layer]]


@torch.no_grad()
def ordered_circuits(
    model: HookedMLP,
    target: Target | None = None,
    *,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    max_readings: int = MAX_READINGS,
    progress: bool = True,
) -> OrderedCircuits:
    """The circuits of a network whose units are read with two or three levels.

    Use it for units that use three levels, such as a count of 0, 1 and 2, or tanh at -1, 0 and 1. A
    circuit is tested as with two levels (see `xor_mi.circuits`), so the circuits with two levels
    are among the results; both cuts of a live unit must matter to some output. If a unit has four
    values, three levels fit almost anything: `benchmarks/ordered.py` counts how often they explain
    networks that were never trained.

    Args:
        target: what the network computes. Default: `model.cfg.target`, or if that is None, whatever
            it decides.
        require: which proof a circuit needs to count, one of `PROOF_LEVELS`.
        min_margin: leave out circuits with a live unit whose smaller gap is a smaller fraction of
            its range than this.
        max_readings: refuse to list more joint readings than this.
        progress: show a bar if the work takes over half a second.

    The majority of three, by a unit that counts two of them, at -1, 0 and 1:

    >>> hidden = [[4.0, 4.0, 0.0], [0.0, 0.0, 8.0]], [-4.0, -4.0]
    >>> majority = HookedMLP.from_weights([hidden, ([[2.0, 1.0]], [0.0])], act_fn="tanh")
    >>> first = ordered_circuits(majority).first
    >>> first.formula, first.gates
    ('(h0.0 >= 1 & h0.1) | h0.0 = 2', ((h0.0, 'x0 | x1, x0 & x1'), (h0.1, 'x2')))

    Raises:
        XorMiError: train mode, weights that are not finite, a network that does not compute the
            target, a requirement that does not exist, a margin outside 0 to 1, a layer with too
            many combinations of levels, or too many joint readings.
    """
    require_plain_mlp(model, "identifying a circuit")
    require, min_margin = Required.of(require, min_margin)
    max_readings = whole_number("max_readings", max_readings)
    layers = values_on_rows(model)
    require_finite_run(model, [one.inputs for one in layers], "identifying a circuit")
    decided = model.rule.decide(layers[-1].post)
    function = own_function(decided)
    if target is not None or model.cfg.target is not None:
        function = model.target_of(target)
    if problems_of(model, function, decided):
        raise XorMiError(
            f"the network does not compute {function.name}, so there is no circuit to read with "
            "three levels; diagnose(model) says what it computes"
        )
    return circuits_of(
        model,
        layers,
        decided,
        function,
        variables=variables_of_all(model, layers, unconnected_units(model)),
        require=require,
        min_margin=min_margin,
        max_readings=max_readings,
        progress=progress,
    )


def circuits_of(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    decided: Tensor,
    function: BooleanFunction,
    *,
    variables: tuple[Variables, ...],
    require: ProofLevel,
    min_margin: float,
    max_readings: int,
    progress: bool,
    interchanges: Interchanges | None = None,
    most_levels: int = MOST_LEVELS,
) -> OrderedCircuits:
    """The same for a network that is known to compute its target.

    Args:
        layers: all values on all rows, in float64.
        variables: per hidden layer, its units, copies of one another together.
        interchanges: what it decides under all interchanges, if they were run already.
    """
    search = _Search.of(model, layers, decided, variables, most_levels=most_levels)
    grouped: dict[tuple[object, ...], tuple[OrderedCore, list[_Joint]]] = {}
    for joint in search.kept(max_readings=max_readings, progress=progress):
        core = search.core_of(joint)
        if core is not None:
            # the core has its tables, as far as they matter
            bare = replace(joint, tables=(), decisions=())
            grouped.setdefault(core.key, (core, []))[1].append(bare)
    if interchanges is None:
        interchanges = Interchanges.of(model, layers, variables)
    found = []
    bar = progress_bar(
        grouped.values(), doing="testing circuits", unit="circuit", progress=progress
    )
    for core, joints in bar:
        if search.smallest_margin(core, joints[0]) >= min_margin:
            tested = interchanges.tested(_WithLevels.of(search, core))
            found.append((search.circuit_of(core, joints, tested), core))
    return OrderedCircuits(
        target=function,
        circuits=tuple(_in_order(found, progress=progress)),
        require=require,
        min_margin=min_margin,
    )


def _in_order(
    found: Sequence[tuple[OrderedCircuit, OrderedCore]], *, progress: bool
) -> list[OrderedCircuit]:
    """The circuits in order, beginning with the one that a person would believe first.

    The order is: highest proof level; below "single", the most single interchanges as predicted;
    fewest units of three levels; largest smallest margin; fewest live variables; shortest canonical
    text; then by that text.
    """
    bar = progress_bar(
        total=len(found), doing="ordering circuits", unit="circuit", progress=progress
    )

    def canonical(one: tuple[OrderedCircuit, OrderedCore]) -> tuple[int, str, str]:
        bar.update()
        return _canonical(one)

    ordered: list[OrderedCircuit] = []
    with bar:
        for _, group in groupby(sorted(found, key=_credit), key=_credit):
            equal = list(group)
            if len(equal) > 1:  # a canonical text is slow to find
                equal.sort(key=canonical)
            ordered += [circuit for circuit, _ in equal]
    return ordered


def _credit(one: tuple[OrderedCircuit, OrderedCore]) -> tuple[int | float, ...]:
    circuit, core = one
    return (
        -PROOF_LEVELS.index(circuit.proof_level),
        -circuit.single.n_right,
        core.n_three_levels,
        -compared_margin(circuit.smallest_margin),
        core.n_live,
    )


def _canonical(one: tuple[OrderedCircuit, OrderedCore]) -> tuple[int, str, str]:
    family, text = one[1].texts()
    return len(family), family, text
