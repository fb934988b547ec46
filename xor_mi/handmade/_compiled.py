"""a netlist or a formula -> weights. The way back of `identify_circuit`.

Every unit is a threshold of its parents' bits with pre-activation at least 1 on its ones and at
most -1 on its zeros, so a heaviside unit is the gate exactly. With sigmoid or tanh units the
pre-activations are multiplied by `GAIN`: within 1e-17 of the two levels. relu, leaky_relu, gelu and
identity units take more than two values and are refused."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy import ndarray

from xor_mi.errors import XorMiError, unknown
from xor_mi.handmade._gates import unit_weights
from xor_mi.handmade._separation import separating_weights
from xor_mi.model import HookedMLP
from xor_mi.truth import MAX_INPUTS, BooleanFunction, Tree, formula_trees, truth_rows

GAIN = 40.0
_LEVELS = {"heaviside": (0.0, 1.0), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}

Layer = Sequence[tuple[Mapping[int, float], float]]
"""One layer: per unit its weights by parent, on parents' bits 0 and 1, and its bias."""


def from_netlist(netlist: Any, *, act_fn: str = "heaviside", n_inputs: int = 2) -> HookedMLP:
    """A circuit back into weights: one unit per unit, one local gate each; identifying the result
    gives the same signature.

    Args:
        netlist: a `Circuit` (its primary reading), a `JointReading`, or layers of gates from the
            first hidden layer to the outputs, each over the layer before: [["OR", "AND"], ["x0 &
            ~x1"]].
        act_fn: heaviside (exact), or sigmoid or tanh with a large gain.
        n_inputs: for layers of gates only.

    >>> from xor_mi import identify_circuit
    >>> from xor_mi.handmade import textbook_xor
    >>> circuit = identify_circuit(textbook_xor())
    >>> identify_circuit(from_netlist(circuit)).signature == circuit.signature == 'OR & ~AND'
    True

    Raises:
        XorMiError: a circuit without a reading, a gate that no single unit can be (XOR;
            `from_formula` takes several), another act_fn.
    """
    _require_two_levels(act_fn)
    layers = _gate_layers(netlist, n_inputs)
    compiled, table = [], np.array(truth_rows(layers[0][0].n_inputs), dtype=int)
    d_in = table.shape[1]
    for gates in layers:
        points = np.array(truth_rows(gates[0].n_inputs), dtype=float)
        index = table @ 2 ** np.arange(table.shape[1])[::-1]
        compiled.append(
            [
                (dict(enumerate(weight.tolist())), bias)
                for weight, bias in (unit_weights(gate, points) for gate in gates)
            ]
        )
        table = np.array([gate.bits for gate in gates]).T[index]
    return _network(
        compiled, d_in, act_fn, BooleanFunction(d_in, tuple(map(tuple, table.T.tolist())))
    )


def from_formula(
    formula: str, *, act_fn: str = "heaviside", n_inputs: int | None = None
) -> HookedMLP:
    """A formula -> a network that decides it; several outputs are separated by commas.

    A subformula that one unit can be over the inputs is one unit; one that occurs again, also
    written otherwise or negated, is not built again. AND and OR of k parts are one unit; XOR of k
    parts is k units, "at least 1, 2, ... of them", read with alternating signs (for parity this is
    the network of Minsky and Papert, 1969). Units are handed on unchanged where a later layer needs
    them.

    Args:
        formula: as `BooleanFunction.from_formula` reads it, 1 to 12 inputs.
        act_fn: heaviside (exact), or sigmoid or tanh with a large gain.

    >>> from_formula("x0 ^ x1 ^ x2").layer_sizes
    (3, 3, 1)

    Raises:
        XorMiError: a formula that cannot be read, or another act_fn.
    """
    _require_two_levels(act_fn)
    target = BooleanFunction.from_formula(formula, n_inputs=n_inputs)
    builder = _Builder(target.n_inputs)
    outputs = [builder.build(tree) for tree in formula_trees(formula)]
    return _network(builder.layers(outputs), target.n_inputs, act_fn, target)


def _require_two_levels(act_fn: str) -> None:
    if act_fn not in _LEVELS:
        raise unknown("two-level activation", act_fn, _LEVELS, where="a netlist compiles to")


def _gate_layers(netlist: Any, n_inputs: int) -> list[list[BooleanFunction]]:
    if hasattr(netlist, "netlist"):
        if not netlist.netlist:
            raise XorMiError(
                f"this circuit has no netlist to compile: its verdict is {getattr(netlist, 'verdict', 'unknown')}"
            )
        return [
            [gate.function for gate in layer]
            for _, layer in groupby(netlist.netlist, key=lambda gate: gate.unit.layer)
        ]
    if not isinstance(netlist, Sequence) or isinstance(netlist, str) or len(netlist) < 2:
        raise XorMiError(
            f"{netlist!r} is no netlist; give a Circuit, or layers of gates such as [['OR', 'AND'], ['x0 & ~x1']]"
        )
    layers, width = [], n_inputs
    for gates in netlist:
        if (
            not isinstance(gates, Sequence)
            or isinstance(gates, str)
            or not 1 <= len(gates) <= MAX_INPUTS
        ):
            raise XorMiError(
                f"{gates!r} is no layer of 1 to {MAX_INPUTS} gates; write for example [['OR', 'AND'], ['x0 & ~x1']]"
            )
        layers.append([one for gate in gates for one in BooleanFunction.of(gate, width).outputs])
        width = len(layers[-1])
    return layers


def _network(layers: Sequence[Layer], d_in: int, act_fn: str, target: BooleanFunction) -> HookedMLP:
    """Layers over bits -> weights over what the units of this activation give for the bits 0 and
    1.
    """
    low, high = _LEVELS[act_fn]
    pairs, width, levels = [], d_in, (0.0, 1.0)
    for number, layer in enumerate(layers, start=1):
        weight = np.zeros((len(layer), width))
        for unit, (weights, _) in enumerate(layer):
            weight[unit, list(weights)] = list(weights.values())
        bias = np.array([b for _, b in layer]) - weight.sum(1) * levels[0] / (levels[1] - levels[0])
        gain = 1.0 if act_fn == "heaviside" or number == len(layers) else GAIN
        pairs.append((gain * weight / (levels[1] - levels[0]), gain * bias))
        width, levels = len(layer), (low, high)
    return HookedMLP.from_weights(pairs, act_fn=act_fn, target=target, dtype=torch.float64)


class _Builder:
    """Trees -> nodes, each function over the inputs (or its complement) once.

    A node is (weights by parent, bias); parents are nodes or inputs, named by their truth table as
    bytes. A signal is (name, negated)."""

    def __init__(self, n_inputs: int) -> None:
        self.rows = np.array(truth_rows(n_inputs), dtype=np.int8)
        self.inputs = {column.tobytes(): i for i, column in enumerate(self.rows.T)}
        self.nodes: dict[bytes, tuple[dict[bytes, float], float]] = {}
        self.depth: dict[bytes, int] = dict.fromkeys(self.inputs, 0)

    def build(self, tree: Tree) -> tuple[bytes, bool]:
        """A tree of `formula_trees` -> the signal that carries it."""
        if tree.kind == "input":
            return self.rows[:, tree.value].tobytes(), False
        if tree.kind == "constant":
            return self._at_least(1, [], np.full(len(self.rows), tree.value, dtype=np.int8))
        signals = [self.build(part) for part in tree.parts]
        if tree.kind == "not":
            name, negated = signals[0]
            return name, not negated
        if tree.kind == "xor":
            return self._parity(signals)
        return self._at_least(len(signals) if tree.kind == "and" else 1, signals)

    def _values(self, signal: tuple[bytes, bool]) -> ndarray:
        return np.frombuffer(signal[0], dtype=np.int8) ^ signal[1]

    def _known(self, table: ndarray) -> tuple[bytes, bool] | None:
        """The signal that already carries this function, itself or negated."""
        for negated in (False, True):
            name = (table ^ negated).astype(np.int8).tobytes()
            if name in self.depth:
                return name, negated
        return None

    def _add(self, table: ndarray, weights: dict[bytes, float], bias: float) -> tuple[bytes, bool]:
        """A new node, over the inputs alone where one unit can be it there."""
        name = table.astype(np.int8).tobytes()
        found = (
            separating_weights(self.rows.astype(float), table)
            if _is_unate(table, self.rows.shape[1])
            else None
        )
        if found is not None:
            names = list(self.inputs)
            weights, bias = {names[i]: w for i, w in enumerate(found[0].tolist()) if w}, found[1]
        self.nodes[name] = (weights, bias)
        self.depth[name] = 1 + max((self.depth[parent] for parent in weights), default=0)
        return name, False

    def _at_least(
        self, least: int, signals: Sequence[tuple[bytes, bool]], table: ndarray | None = None
    ) -> tuple[bytes, bool]:
        """At least so many of the signals are 1: 2 * (their sum) - (2 * least - 1) is odd, so at
        least 1 or at most -1.
        """
        if table is None:
            table = np.asarray(
                np.sum([self._values(signal) for signal in signals], axis=0) >= least, dtype=np.int8
            )
        known = self._known(table)
        if known is not None:
            return known
        weights: dict[bytes, float] = {}
        for name, negated in signals:
            weights[name] = weights.get(name, 0.0) + (-2.0 if negated else 2.0)
        return self._add(
            table, weights, 2.0 * sum(negated for _, negated in signals) - (2 * least - 1)
        )

    def _parity(self, signals: Sequence[tuple[bytes, bool]]) -> tuple[bytes, bool]:
        """1 - 1 + 1 ... over "at least 1, 2, ... of them" is 1 for an odd number of ones."""
        odd: dict[bytes, int] = {}
        flip = False
        for name, negated in signals:  # a ^ a = 0, and a negation comes out in front
            odd[name] = odd.get(name, 0) + 1
            flip ^= negated
        kept = [(name, False) for name, count in odd.items() if count % 2]
        table = np.zeros(len(self.rows), dtype=np.int8)
        for signal in kept:
            table = table ^ self._values(signal)
        known = self._known(table)
        if known is None:
            weights: dict[bytes, float] = {}
            bias = -1.0
            for least in range(1, len(kept) + 1):
                name, negated = self._at_least(least, kept)
                sign = 2.0 if least % 2 else -2.0
                weights[name] = weights.get(name, 0.0) + (-sign if negated else sign)
                bias += sign if negated else 0.0
            known = self._known(table) or self._add(
                table, weights, bias
            )  # parts that exclude each other: "at least 1" is their parity
        return known[0], known[1] ^ flip

    def layers(self, outputs: Sequence[tuple[bytes, bool]]) -> list[Layer]:
        """The nodes that the outputs need, layer by layer, each handed on to the last layer that
        reads it; the outputs come last.
        """
        last = max(2, *(self.depth[name] for name, _ in outputs))
        read: list[
            tuple[tuple[dict[bytes, float], float], int]
        ] = []  # (weights and bias, layer) of every node that is built
        until: dict[bytes, int] = {}
        for name, negated in outputs:
            if self.depth[name] == last:
                weights, bias = self.nodes[name]
                read.append(
                    (
                        ({p: -w for p, w in weights.items()}, -bias)
                        if negated
                        else (weights, bias),
                        last,
                    )
                )
            else:
                read.append((({name: -2.0}, 1.0) if negated else ({name: 2.0}, -1.0), last))
        final = [node for node, _ in read]
        while read:
            (weights, _), layer = read.pop()
            for parent in weights:
                if parent in self.nodes and parent not in until:
                    read.append((self.nodes[parent], self.depth[parent]))
                until[parent] = max(until.get(parent, 0), layer - 1)
        built: list[Layer] = []
        place = self.inputs
        for layer in range(1, last):
            names = [name for name, end in until.items() if self.depth[name] <= layer <= end]
            nodes = [
                self.nodes[name] if self.depth[name] == layer else ({name: 2.0}, -1.0)
                for name in names
            ]
            built.append(
                [({place[p]: w for p, w in weights.items()}, bias) for weights, bias in nodes]
                or [({}, -1.0)]
            )
            place = {name: i for i, name in enumerate(names)}
        return [
            *built,
            [({place[p]: w for p, w in weights.items()}, bias) for weights, bias in final],
        ]


def _is_unate(table: ndarray, n_inputs: int) -> bool:
    """Every input moves the function one way only: what a threshold of the inputs needs, and
    quicker to see.
    """
    cube = table.astype(np.int8).reshape((2,) * n_inputs)
    steps = [np.diff(cube, axis=axis) for axis in range(n_inputs)]
    return all((step >= 0).all() or (step <= 0).all() for step in steps)
