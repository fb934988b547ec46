"""a netlist or a formula -> weights: the opposite of `identify_circuit`.

Every unit is a threshold of its parents' bits with pre-activation at least 1 on its ones and at
most -1 on its zeros, so a heaviside or sign unit is the gate exactly. With sigmoid or tanh units
the pre-activations are multiplied by `SATURATING_GAIN`: the two levels exactly. Units of other
activations take more than two values and are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Int8
from numpy import ndarray

from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Unit
from xor_mi.handmade._gates import as_levels, over_levels, unit_weights
from xor_mi.handmade._separation import separating_weights
from xor_mi.kinds import Levels, Target, TwoLevelActivation
from xor_mi.model import STEPS, HookedMLP
from xor_mi.truth import (
    MAX_INPUTS,
    BooleanFunction,
    Tree,
    formula_trees,
    row_numbers,
    truth_rows,
)

SATURATING_GAIN = 800.0
"""The factor on pre-activations of smooth units.

A sigmoid is exactly 0 below -746. With less gain a unit that is off on all rows would have several
tiny values, as if it varied.
"""

LEVELS: dict[TwoLevelActivation, tuple[float, float]] = {
    "heaviside": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "sign": (-1.0, 1.0),
}
"""The activations that units may have, with the values that stand for the bits 0 and 1."""


@runtime_checkable
class NetlistGate(Protocol):
    """What one unit computes from the layer before; a `circuits.LocalGate` is one."""

    @property
    def unit(self) -> Unit:
        """The unit whose gate this is."""
        ...

    @property
    def parents(self) -> tuple[str, ...]:
        """All units of the layer before, most significant first."""
        ...

    @property
    def table(self) -> tuple[int | None, ...]:
        """The bit on every combination of the parents; None for a combination without a bit."""
        ...


@runtime_checkable
class HasNetlist(Protocol):
    """A `Circuit`, or one of its `JointReading`s."""

    @property
    def netlist(self) -> Sequence[NetlistGate]:
        """Gates, layer by layer; the outputs come last."""
        ...


@runtime_checkable
class HasReadings(Protocol):
    """A `Circuit`, or one of its `CandidateCircuit`s, whose own netlist leaves idle units out."""

    # units have readings too, so a `JointReading` is recognised by lacking this
    @property
    def proof_level(self) -> str | None:
        """The level of proof that it has."""
        ...

    @property
    def readings(self) -> Sequence[HasNetlist]:
        """Joint readings, each with the gates of all units."""
        ...


Netlist = HasNetlist | Sequence[Sequence[Target]]
"""A circuit, or layers of gates from the first hidden layer to the outputs."""

Parent = TypeVar("Parent", int, bytes)


@dataclass(frozen=True)
class ThresholdGate(Generic[Parent]):
    """A unit on bits: 1 where the weighted sum of its parents' bits plus the bias is above zero.

    The sum is at least 1 there and at most -1 elsewhere.
    """

    weights: Mapping[Parent, float]
    bias: float

    def negated(self) -> "ThresholdGate[Parent]":
        """The complement."""
        weights = {parent: -weight for parent, weight in self.weights.items()}
        return ThresholdGate(weights, -self.bias)


def from_netlist(
    netlist: Netlist,
    *,
    act_fn: TwoLevelActivation = "heaviside",
    n_inputs: int = 2,
    input_levels: Levels = (0.0, 1.0),
) -> HookedMLP:
    """A circuit -> a network with its gates: for each unit of the circuit one unit with its gate.

    Identifying the result gives the same signature.

    Args:
        netlist: a `Circuit` (its primary reading; if it is approximate, the reading of the closest
            circuit, which the compiled network then computes), one of `Circuit.circuits` (its first
            reading), a `JointReading`, or layers of gates from the first hidden layer to the
            outputs, each over the layer before: [["OR", "AND"], ["x0 & ~x1"]].
        act_fn: heaviside or sign, or sigmoid or tanh with a large gain.
        n_inputs: the number of inputs, only for layers of gates.
        input_levels: the numbers that stand for bit 0 and bit 1.

    >>> from xor_mi import identify_circuit
    >>> from xor_mi.handmade import textbook_xor
    >>> circuit = identify_circuit(textbook_xor())
    >>> identify_circuit(from_netlist(circuit)).signature == circuit.signature == 'OR & ~AND'
    True

    Raises:
        XorMiError: a circuit without a reading, one whose outputs read the inputs directly or
            whose units have three levels, a gate that no single unit can compute (XOR;
            `from_formula` uses several units), another act_fn.
    """
    _require_two_levels(act_fn)
    layers = _gate_layers(netlist, n_inputs)
    d_in = layers[0][0].n_inputs
    bits = np.array(truth_rows(d_in), dtype=int)  # [row, unit] of the layer before
    compiled: list[list[ThresholdGate[int]]] = []
    for gates in layers:
        points = np.array(truth_rows(gates[0].n_inputs), dtype=float)
        compiled.append([_as_threshold(gate, points) for gate in gates])
        # A gate's table [row of the layer before, gate], read at the rows that occur.
        bits = np.array([gate.bits for gate in gates]).T[row_numbers(bits)]
    target = BooleanFunction(d_in, tuple(map(tuple, bits.T.tolist())))
    return _network(compiled, act_fn, target, as_levels(input_levels))


def from_formula(
    formula: str,
    *,
    act_fn: TwoLevelActivation = "heaviside",
    n_inputs: int | None = None,
    input_levels: Levels = (0.0, 1.0),
) -> HookedMLP:
    """A formula -> a network that decides it; several outputs are separated by commas.

    A subformula that one unit can compute from the inputs is one unit; if it occurs again, also
    negated or written in another way, it is not built again. AND and OR of k parts are one unit;
    XOR of k parts is k units, "at least 1, 2, ... of them", read with alternating signs (for parity
    this is the network of Minsky and Papert, 1969). Units are handed on unchanged if a later layer
    needs them.

    Args:
        formula: as `BooleanFunction.from_formula` reads it, 1 to 12 inputs.
        act_fn: heaviside or sign, or sigmoid or tanh with a large gain.
        n_inputs: the number of inputs, if the formula does not name the last of them.
        input_levels: the numbers that stand for bit 0 and bit 1.

    >>> from_formula("x0 ^ x1 ^ x2").layer_sizes
    (3, 3, 1)

    Raises:
        XorMiError: a formula that cannot be read, or another act_fn.
    """
    _require_two_levels(act_fn)
    target = BooleanFunction.from_formula(formula, n_inputs=n_inputs)
    nodes = _Nodes(target.n_inputs)
    outputs = [nodes.signal_of(tree) for tree in formula_trees(formula)]
    return _network(_in_layers(nodes, outputs), act_fn, target, as_levels(input_levels))


def _require_two_levels(act_fn: str) -> None:
    if not isinstance(act_fn, str) or act_fn not in LEVELS:
        raise unknown("two-level activation", act_fn, LEVELS, where="a netlist compiles to")


# netlists


def _gate_layers(netlist: Netlist, n_inputs: int) -> list[list[BooleanFunction]]:
    """A netlist -> the gates of each layer, each over all units of the layer before."""
    if isinstance(netlist, HasNetlist):
        if not netlist.netlist:
            verdict = getattr(netlist, "verdict", "unknown")
            raise XorMiError(f"this circuit has no netlist to compile: its verdict is {verdict}")
        is_whole = not isinstance(netlist, HasReadings)
        return _measured_layers(netlist.netlist if is_whole else netlist.readings[0].netlist)
    if not isinstance(netlist, Sequence) or isinstance(netlist, str) or len(netlist) < 2:
        raise XorMiError(
            f"{netlist!r} is not a netlist; give a Circuit, or layers of gates such as "
            "[['OR', 'AND'], ['x0 & ~x1']]"
        )
    layers: list[list[BooleanFunction]] = []
    width = n_inputs
    for gates in netlist:
        is_list = isinstance(gates, Sequence) and not isinstance(gates, str)
        if not is_list or not 1 <= len(gates) <= MAX_INPUTS:
            raise XorMiError(
                f"{gates!r} is not a layer of 1 to {MAX_INPUTS} gates; write for example "
                "[['OR', 'AND'], ['x0 & ~x1']]"
            )
        layer: list[BooleanFunction] = []
        for gate in gates:
            layer += BooleanFunction.of(gate, width).outputs
        layers.append(layer)
        width = len(layer)
    return layers


def _measured_layers(netlist: Sequence[NetlistGate]) -> list[list[BooleanFunction]]:
    """The gates of a circuit, layer by layer.

    Raises:
        XorMiError: a gate that does not read exactly the layer before, with two levels per unit.
    """
    layers: list[list[BooleanFunction]] = []
    before = netlist[0].parents
    for _, members in groupby(netlist, key=lambda gate: gate.unit.layer):
        gates = list(members)
        for gate in gates:
            if gate.parents != before or len(gate.table) != 2 ** len(before):
                raise XorMiError(
                    f"{gate.unit.name} reads {', '.join(gate.parents)}; from_netlist builds units "
                    "that read the whole layer before, with two levels per unit, and no direct "
                    "connections: give layers of such gates, or a formula to from_formula"
                )
        layers.append(list(map(_as_function, gates)))
        before = tuple(gate.unit.name for gate in gates)
    return layers


def _as_function(gate: NetlistGate) -> BooleanFunction:
    """A gate of a circuit as a function; a combination without a bit is 0, as in
    `LocalGate.bits`."""
    return BooleanFunction(len(gate.parents), (tuple(bit or 0 for bit in gate.table),))


def _as_threshold(gate: BooleanFunction, points: ndarray) -> ThresholdGate[int]:
    weights, bias = unit_weights(gate, points)
    return ThresholdGate(dict(enumerate(weights.tolist())), bias)


# weights


def _network(
    layers: Sequence[Sequence[ThresholdGate[int]]],
    act_fn: TwoLevelActivation,
    target: BooleanFunction,
    input_levels: tuple[float, float],
) -> HookedMLP:
    """Layers over bits -> weights over the numbers that stand for 0 and 1 in the layer before."""
    pairs: list[tuple[ndarray, ndarray]] = []
    width, levels = target.n_inputs, input_levels  # of the layer before
    for number, layer in enumerate(layers, start=1):
        weight = np.zeros((len(layer), width))
        for unit, gate in enumerate(layer):
            sources = list(gate.weights)
            weight[unit, sources] = list(gate.weights.values())
        bias = np.array([gate.bias for gate in layer])
        is_smooth = act_fn not in STEPS and number < len(layers)
        gain = SATURATING_GAIN if is_smooth else 1.0
        weight, bias = over_levels(weight, bias, levels)
        pairs.append((gain * weight, gain * bias))
        width, levels = len(layer), LEVELS[act_fn]
    return HookedMLP.from_weights(
        pairs, act_fn=act_fn, target=target, input_levels=input_levels, dtype=torch.float64
    )


# formulas: trees -> nodes -> layers


@dataclass(frozen=True)
class _Signal:
    """A node or an input, named by its bits on all rows; negated if its complement is meant."""

    table: bytes
    is_negated: bool = False

    @property
    def bits(self) -> Int8[ndarray, " row"]:
        """The signal on all rows."""
        return np.frombuffer(self.table, dtype=np.int8) ^ self.is_negated

    def complement(self) -> "_Signal":
        return _Signal(self.table, not self.is_negated)


@dataclass(frozen=True)
class _Node:
    """A unit that is built once, over inputs and other nodes.

    `depth` is the first layer it can stand in, counted from 1.
    """

    gate: ThresholdGate[bytes]
    depth: int


class _Nodes:
    """The nodes that carry a formula's parts.

    Each function over the inputs has one node, for the function or for its complement.
    """

    def __init__(self, n_inputs: int) -> None:
        self.rows = np.array(truth_rows(n_inputs), dtype=np.int8)
        self.inputs = {column.tobytes(): i for i, column in enumerate(self.rows.T)}
        self.nodes: dict[bytes, _Node] = {}

    def depth_of(self, table: bytes) -> int:
        """The layer of a node; inputs are layer 0."""
        return 0 if table in self.inputs else self.nodes[table].depth

    def signal_of(self, tree: Tree) -> _Signal:
        """The signal that carries a formula, with the nodes it needs."""
        if tree.kind == "input":
            return _Signal(self.rows[:, tree.value].tobytes())
        if tree.kind == "constant":
            table = np.full(len(self.rows), tree.value, dtype=np.int8)
            always = ThresholdGate[bytes](weights={}, bias=2.0 * tree.value - 1)
            return self._known(table) or self._add(table, always)
        signals = [self.signal_of(part) for part in tree.parts]
        if tree.kind == "not":
            return signals[0].complement()
        if tree.kind == "xor":
            return self._parity(signals)
        return self._at_least(len(signals) if tree.kind == "and" else 1, signals)

    def _known(self, table: Int8[ndarray, " row"]) -> _Signal | None:
        """The signal that already carries this function or its complement."""
        for is_negated in (False, True):
            name = (table ^ is_negated).astype(np.int8).tobytes()
            if name in self.inputs or name in self.nodes:
                return _Signal(name, is_negated)
        return None

    def _add(self, table: Int8[ndarray, " row"], gate: ThresholdGate[bytes]) -> _Signal:
        """A new node: over the inputs only, if one unit can compute it from them, else as given."""
        name = table.tobytes()
        gate = self._over_inputs(table) or gate
        depth = 1 + max((self.depth_of(parent) for parent in gate.weights), default=0)
        self.nodes[name] = _Node(gate, depth)
        return _Signal(name)

    def _over_inputs(self, table: Int8[ndarray, " row"]) -> ThresholdGate[bytes] | None:
        """The function as one unit over the inputs; None if no unit computes it."""
        if not _is_unate(table, len(self.inputs)):
            return None
        weights = separating_weights(self.rows.astype(float), table)
        if weights is None:
            return None
        of_input, bias = weights
        named = zip(self.inputs, of_input.tolist(), strict=True)
        return ThresholdGate({name: weight for name, weight in named if weight}, bias)

    def _at_least(self, least: int, signals: Sequence[_Signal]) -> _Signal:
        """Whether at least this many of the signals are 1."""
        total = np.sum([signal.bits for signal in signals], axis=0)
        table = np.asarray(total >= least, dtype=np.int8)
        known = self._known(table)
        if known is not None:
            return known
        # 2 * (the sum of the bits) - (2 * least - 1) is odd: at least 1, or at most -1.
        return self._add(table, _weighted_sum(signals, [2.0] * len(signals), 1.0 - 2 * least))

    def _parity(self, signals: Sequence[_Signal]) -> _Signal:
        """Whether an odd number of the signals are 1."""
        # a ^ a = 0, and a negation moves to the front: the rest are different plain signals.
        n_times: dict[bytes, int] = {}
        for signal in signals:
            n_times[signal.table] = n_times.get(signal.table, 0) + 1
        is_negated = sum(signal.is_negated for signal in signals) % 2 == 1
        plain = [_Signal(table) for table, n in n_times.items() if n % 2]
        table = np.zeros(len(self.rows), dtype=np.int8)
        for signal in plain:
            table = table ^ signal.bits
        parity = self._known(table)
        if parity is None:
            # 1 - 1 + 1 ... over "at least 1, 2, ... of them" is 1 for an odd number of ones.
            counts = [self._at_least(least, plain) for least in range(1, len(plain) + 1)]
            signs = [2.0 if least % 2 else -2.0 for least in range(1, len(plain) + 1)]
            # If the parts exclude each other, "at least 1" is the parity, which may be known by
            # now.
            parity = self._known(table) or self._add(table, _weighted_sum(counts, signs, -1.0))
        return parity.complement() if is_negated else parity


def _weighted_sum(
    signals: Sequence[_Signal], weights: Sequence[float], bias: float
) -> ThresholdGate[bytes]:
    """The sum of the signals' bits times their weights, over the tables that carry them.

    A negated bit is 1 - bit.
    """
    by_table: dict[bytes, float] = {}
    for signal, weight in zip(signals, weights, strict=True):
        sign = -1.0 if signal.is_negated else 1.0
        by_table[signal.table] = by_table.get(signal.table, 0.0) + sign * weight
        bias += weight if signal.is_negated else 0.0
    return ThresholdGate(by_table, bias)


def _in_layers(nodes: _Nodes, outputs: Sequence[_Signal]) -> list[list[ThresholdGate[int]]]:
    """The nodes that the outputs need, layer by layer; the outputs come last.

    Each node is handed on up to the last layer that reads it.
    """
    deepest = max(nodes.depth_of(signal.table) for signal in outputs)
    last = max(2, deepest)  # a network has a hidden layer, whatever the formula
    readouts = [_readout(nodes, signal, last) for signal in outputs]
    until = _needed_until(nodes, readouts, last)
    layers: list[list[ThresholdGate[int]]] = []
    position = nodes.inputs  # the position of every table that the layer before gives
    for layer in range(1, last):
        tables = [name for name, end in until.items() if nodes.depth_of(name) <= layer <= end]
        units = [_in_layer(nodes, table, layer) for table in tables]
        # Constant outputs read nothing, but a layer needs a unit: one that is always 0.
        layers.append(_placed(units, position) or [ThresholdGate({}, -1.0)])
        position = {table: number for number, table in enumerate(tables)}
    return [*layers, _placed(readouts, position)]


def _in_layer(nodes: _Nodes, table: bytes, layer: int) -> ThresholdGate[bytes]:
    """The gate that carries this table in a layer: first the node itself, in later layers a
    copy."""
    if nodes.depth_of(table) == layer:
        return nodes.nodes[table].gate
    return ThresholdGate({table: 2.0}, -1.0)


def _readout(nodes: _Nodes, output: _Signal, last: int) -> ThresholdGate[bytes]:
    """An output as a unit of the last layer."""
    gate = _in_layer(nodes, output.table, last)
    return gate.negated() if output.is_negated else gate


def _needed_until(
    nodes: _Nodes, readouts: Sequence[ThresholdGate[bytes]], last: int
) -> dict[bytes, int]:
    """Every table that is read -> the last layer that must give it."""
    until: dict[bytes, int] = {}
    waiting = [(gate, last) for gate in readouts]  # gates whose parents are still to be seen
    while waiting:
        gate, layer = waiting.pop()
        for parent in gate.weights:
            if parent in nodes.nodes and parent not in until:
                node = nodes.nodes[parent]
                waiting.append((node.gate, node.depth))
            until[parent] = max(until.get(parent, 0), layer - 1)
    return until


def _placed(
    gates: Sequence[ThresholdGate[bytes]], position: Mapping[bytes, int]
) -> list[ThresholdGate[int]]:
    """Gates over tables -> the same gates over the positions of the tables in the layer before."""
    placed: list[ThresholdGate[int]] = []
    for gate in gates:
        weights = {position[parent]: weight for parent, weight in gate.weights.items()}
        placed.append(ThresholdGate(weights, gate.bias))
    return placed


def _is_unate(table: Int[ndarray, " row"], n_inputs: int) -> bool:
    """Whether every input moves the function in only one direction.

    Every threshold function is like that, and this is quicker to check.
    """
    cube = table.astype(np.int8).reshape((2,) * n_inputs)
    steps = [np.diff(cube, axis=axis) for axis in range(n_inputs)]
    return all((step >= 0).all() or (step <= 0).all() for step in steps)
