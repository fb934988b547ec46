"""a seed -> a network written by hand, whose circuit is known because it was planted.

The circuit of a trained network can only be found by trying every part of it. The circuit of a
planted network is known beforehand. InterpBench (Gupta et al. 2024, arXiv 2407.14494) trains known
circuits into its networks; here they are written into the weights, together with things that
mislead methods: copies of one unit, two units that cancel each other, a unit that is never on, a
unit that is always on.

Every network has numbers of its own, drawn from its seed. ReLU units are scaled (incoming weights
by a factor, outgoing ones by its inverse, which changes nothing else); tanh and sigmoid units get a
gain; tanh units may be mirrored (all their weights and biases change sign); the outputs are scaled,
and the units of a layer are put in a random order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.typing import NDArray

from xor_mi.finding import Finding
from xor_mi.graph import Edge, Unit, edges_of, layers_of
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction

PlantedActivation = Literal["relu", "tanh", "sigmoid"]
"""The activations that hidden units of planted networks may have."""

LEAST_GAIN, MOST_GAIN = 6.0, 12.0
"""The range of the gains of tanh and sigmoid units, which multiply their pre-activations."""
MOST_SCALE = 4.0
"""ReLU units and outputs are scaled by at most this factor, and at least its inverse."""
MOST_STRAY = 0.05
"""The largest stray weight where nothing was planted, before units are scaled."""
LOUD = 3.0
"""The readout of a unit that must not matter: three times that of a unit that does."""
PAIR_GATES = ("OR", "AND", "x0>x1", "x1>x0")
"""The gates of two units that cancel each other; the seed chooses one."""
ALWAYS_ON = 2.0
"""The bias of a unit that is on for every row; minus twice this, it is off."""

FROM_BITS: Mapping[str, tuple[tuple[float, float], float]] = {
    "OR": ((1.0, 1.0), 0.0),
    "AND": ((1.0, 1.0), -1.0),
    "x0>x1": ((1.0, -1.0), 0.0),
    "x1>x0": ((-1.0, 1.0), 0.0),
}
"""Weights and bias whose sum is at least 1 where the gate is 1, and at most 0 elsewhere."""

READOUT: Mapping[PlantedActivation, tuple[float, float, float]] = {
    "relu": (1.0, -2.0, -0.5),
    "tanh": (1.0, -1.0, -0.8),
    "sigmoid": (1.0, -1.0, -0.5),
}
"""XOR of the units OR and AND: their weights and the bias. With ReLU units, OR is 2 on row 11."""
READOUT_OF_HALVES: Mapping[PlantedActivation, tuple[float, float, float]] = {
    "relu": (1.0, -2.0, -0.6),
    "tanh": (1.0, -0.25, -0.81),
    "sigmoid": (1.0, -0.6, -0.6),
}
"""The same, such that half of OR, or half of AND, would decide some row wrong."""
READOUT_OF_WHOLES: Mapping[PlantedActivation, tuple[float, float, float]] = {
    "relu": (1.0, -1.75, -0.4),
    "tanh": (1.0, -1.0, -1.5),
    "sigmoid": (1.0, -1.0, -0.5),
}
"""The same, such that AND may be there once or twice."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Planted(Finding):
    """A network written by hand, and the circuit that was planted in it.

    Attributes:
        model: the network, in float64.
        circuit: the edges that were written to compute the target. It is the intention, not a
            claim: if a circuit has a unit twice, fewer edges may be enough. `search.edge_masks`
            finds which edges are, under a convention.
        gates: the gate of the inputs that each hidden unit was written to be. A unit's bit is 1 if
            its value is one of its larger values; a unit with only one value is TRUE above 0,
            otherwise FALSE.
    """

    model: HookedMLP
    circuit: frozenset[Edge]
    gates: Mapping[Unit, str] = field(repr=False)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges of the network, layer by layer, by target and then by source."""
        return tuple(edges_of(self.model.layer_sizes))

    def frame(self) -> pd.DataFrame:
        """One line per edge: edge, weight, planted (in the circuit), gate of its source."""
        weights = [weight.flatten() for weight, _ in self.model.float64_layers()]
        return pd.DataFrame(
            {
                "edge": [edge.name for edge in self.edges],
                "weight": torch.cat(weights).numpy(),
                "planted": [edge in self.circuit for edge in self.edges],
                "gate": [self.gates.get(edge.src, edge.src.name) for edge in self.edges],
            }
        )

    def __str__(self) -> str:
        gates = ", ".join(f"{unit.name} {gate}" for unit, gate in self.gates.items())
        planted = f"{len(self.circuit)} of {len(self.edges)} edges compute"
        return f"{planted} {self.model.target_of().name}; units: {gates}"


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A hidden layer before its numbers are drawn.

    Attributes:
        gates: the units' gates of the inputs.
        in_circuit: whether the edges of each unit belong to the circuit.
    """

    weight: Float[ndarray, "unit source"]
    bias: Float[ndarray, " unit"]
    gates: Sequence[str]
    in_circuit: Sequence[bool]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A network before its numbers are drawn.

    Attributes:
        readout, bias: the weights of the one output over the last hidden layer, and its bias.
        stray: whether zero weights are replaced by small ones.
    """

    hidden: Sequence[_Layer]
    readout: Sequence[float]
    bias: float
    stray: bool = False


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A unit that reads two bits, and its weight in the output."""

    gate: str
    weights: tuple[float, float]
    bias: float
    readout: float
    in_circuit: bool = True


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How networks of one kind are written.

    Attributes:
        says: a sentence on what is planted.
        layer_sizes: inputs, hidden layers, outputs.
        target: the function that they compute.
        plan: an activation and random numbers -> one network before scaling.
    """

    says: str
    layer_sizes: tuple[int, ...]
    target: Target
    plan: Callable[[PlantedActivation, np.random.Generator], _Plan]


def _gate(
    gate: str, activation: PlantedActivation, readout: float, *, in_circuit: bool = True
) -> _Part:
    """A unit that is a gate of two bits."""
    weights, bias = FROM_BITS[gate]
    return _Part(
        gate=gate,
        weights=weights,
        bias=bias - _threshold(activation),
        readout=readout,
        in_circuit=in_circuit,
    )


def _threshold(activation: PlantedActivation) -> float:
    """The sum at which a unit turns on: 0 for a ReLU unit, between 0 and 1 for others."""
    return 0.0 if activation == "relu" else 0.5


def _of_parts(parts: Sequence[_Part], bias: float) -> _Plan:
    """A network of one hidden layer."""
    layer = _Layer(
        weight=np.array([part.weights for part in parts]),
        bias=np.array([part.bias for part in parts]),
        gates=[part.gate for part in parts],
        in_circuit=[part.in_circuit for part in parts],
    )
    return _Plan(hidden=[layer], readout=[part.readout for part in parts], bias=bias)


def _or_and(activation: PlantedActivation) -> tuple[list[_Part], float]:
    """The units OR and AND with weights that make XOR, and the output's bias."""
    of_or, of_and, bias = READOUT[activation]
    return [_gate("OR", activation, of_or), _gate("AND", activation, of_and)], bias


def _plain(activation: PlantedActivation, _: np.random.Generator) -> _Plan:
    return _of_parts(*_or_and(activation))


def _halves(activation: PlantedActivation, _: np.random.Generator) -> _Plan:
    of_or, of_and, bias = READOUT_OF_HALVES[activation]
    half_of_or = _gate("OR", activation, of_or / 2)
    half_of_and = _gate("AND", activation, of_and / 2)
    return _of_parts([half_of_or, half_of_or, half_of_and, half_of_and], bias)


def _wholes(activation: PlantedActivation, _: np.random.Generator) -> _Plan:
    of_or, of_and, bias = READOUT_OF_WHOLES[activation]
    unit_and = _gate("AND", activation, of_and)
    return _of_parts([_gate("OR", activation, of_or), unit_and, unit_and], bias)


def _cancelling(activation: PlantedActivation, generator: np.random.Generator) -> _Plan:
    parts, bias = _or_and(activation)
    gate = PAIR_GATES[int(generator.integers(len(PAIR_GATES)))]
    for readout in (LOUD, -LOUD):
        parts.append(_gate(gate, activation, readout, in_circuit=False))
    return _of_parts(parts, bias)


def _dead(activation: PlantedActivation, _: np.random.Generator) -> _Plan:
    parts, bias = _or_and(activation)
    # a tanh unit that is off gives -1: a unit that must do nothing reads nothing
    is_silent = activation == "tanh"
    dead = _Part(
        gate="FALSE",
        weights=(0.0, 0.0) if is_silent else (1.0, 1.0),
        bias=0.0 if is_silent else -2 * ALWAYS_ON,
        readout=LOUD,
        in_circuit=False,
    )
    return _of_parts([*parts, dead], bias)


def _constant(activation: PlantedActivation, _: np.random.Generator) -> _Plan:
    parts, bias = _or_and(activation)
    # a ReLU unit is constant only if it reads nothing; the other activations are flat at both ends
    reads_nothing = activation == "relu"
    constant = _Part(
        gate="TRUE",
        weights=(0.0, 0.0) if reads_nothing else (1.0, 1.0),
        bias=1.0 if reads_nothing else ALWAYS_ON,
        readout=bias,
        in_circuit=False,
    )
    return _of_parts([*parts, constant], 0.0)


def _two_hops(activation: PlantedActivation, _: np.random.Generator) -> _Plan:
    threshold = _threshold(activation)
    first = _Layer(
        weight=np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        bias=np.array([0.0, -1.0, 0.0]) - threshold,
        gates=["x0 | x1", "x0 & x1", "x2"],
        in_circuit=[True, True, True],
    )
    # of_or * OR + of_and * AND + x2, and the threshold above which the formula is true
    of_or, of_and = READOUT[activation][:2]
    exceeded = {"relu": 1.0, "sigmoid": 1.5, "tanh": 2.0}[activation]
    second = _Layer(
        weight=np.array([[of_or, of_and, 1.0]]),
        bias=np.array([-exceeded]),
        gates=["(x0 ^ x1) & x2"],
        in_circuit=[True],
    )
    middle = 0.0 if activation == "tanh" else 0.5
    return _Plan(hidden=[first, second], readout=[1.0], bias=-middle, stray=True)


RECIPES: Mapping[str, Recipe] = {
    "gates": Recipe(
        says="A unit OR and a unit AND, and nothing else.",
        layer_sizes=(2, 2, 1),
        target="XOR",
        plan=_plain,
    ),
    "halves": Recipe(
        says="OR twice and AND twice, each copy with half of the readout.",
        layer_sizes=(2, 4, 1),
        target="XOR",
        plan=_halves,
    ),
    "copies": Recipe(
        says="OR once and AND twice, each copy with a readout that is enough on its own.",
        layer_sizes=(2, 3, 1),
        target="XOR",
        plan=_wholes,
    ),
    "cancelling": Recipe(
        says="OR, AND, and two equal units that cancel each other at the output.",
        layer_sizes=(2, 4, 1),
        target="XOR",
        plan=_cancelling,
    ),
    "dead": Recipe(
        says="OR, AND, and a unit with a large readout that is 0 on every row.",
        layer_sizes=(2, 3, 1),
        target="XOR",
        plan=_dead,
    ),
    "constant": Recipe(
        says="OR, AND, and a unit that is the same on every row, in place of the output's bias.",
        layer_sizes=(2, 3, 1),
        target="XOR",
        plan=_constant,
    ),
    "two hops": Recipe(
        says="OR, AND and x2, read by a unit (x0 ^ x1) & x2; small weights elsewhere.",
        layer_sizes=(3, 3, 1, 1),
        target="(x0 ^ x1) & x2",
        plan=_two_hops,
    ),
}
"""Name -> the recipe for networks with such a circuit."""


def planted(recipe: Recipe, activation: PlantedActivation, *, seed: int) -> Planted:
    """The network of this seed.

    >>> one = planted(RECIPES["copies"], "relu", seed=0)
    >>> len(one.circuit), sorted(one.gates.values())
    (9, ['AND', 'AND', 'OR'])
    """
    generator = np.random.default_rng(seed)
    plan = recipe.plan(activation, generator)
    drawn = _Drawn.of(plan, layer_sizes=recipe.layer_sizes)
    if plan.stray:
        drawn.fill_in(generator)
    for number in range(len(plan.hidden)):
        factors = _factors(plan.hidden[number].gates, activation, generator)
        drawn.scale(number, factors, only_signs_come_back=activation != "relu")
        drawn.rearrange(number, generator.permutation(len(factors)))
    scale = _scale(generator)
    drawn.weights[-1] *= scale
    drawn.biases[-1] *= scale
    model = HookedMLP.from_weights(
        list(zip(drawn.weights, drawn.biases, strict=True)),
        act_fn=activation,
        target=BooleanFunction.of(recipe.target, recipe.layer_sizes[0]),
        seed=seed,
        dtype=torch.float64,
    )
    flags = np.concatenate([of_layer.ravel() for of_layer in drawn.in_circuit]).tolist()
    edges = zip(edges_of(recipe.layer_sizes), flags, strict=True)
    gates: dict[Unit, str] = {}
    for units, of_layer in zip(layers_of(recipe.layer_sizes)[1:-1], drawn.gates, strict=True):
        gates |= {unit: gate.name for unit, gate in zip(units, of_layer, strict=True)}
    return Planted(
        model=model,
        circuit=frozenset([edge for edge, in_circuit in edges if in_circuit]),
        gates=gates,
    )


@dataclass
class _Drawn:
    """A planned network while its numbers are drawn, layer by layer.

    Attributes:
        weights, biases: per layer, [target, source] and [target]; the readout comes last.
        in_circuit: which edges belong to the circuit, per layer, [target, source].
        gates: the gates of the units of each hidden layer.
    """

    weights: list[NDArray[np.float64]]
    biases: list[NDArray[np.float64]]
    in_circuit: list[NDArray[np.bool_]]
    gates: list[list[BooleanFunction]]

    @classmethod
    def of(cls, plan: _Plan, *, layer_sizes: Sequence[int]) -> "_Drawn":
        """Start with the plan's own numbers."""
        weights = [*(layer.weight.copy() for layer in plan.hidden), np.array([plan.readout])]
        biases = [*(layer.bias.copy() for layer in plan.hidden), np.array([plan.bias])]
        always = np.ones(max(layer_sizes), dtype=np.bool_)
        units = [always[: layer_sizes[0]]]
        units += [np.array(layer.in_circuit) for layer in plan.hidden]
        units.append(always[: layer_sizes[-1]])
        in_circuit = [
            (weight != 0) & targets[:, None] & sources
            for weight, (sources, targets) in zip(weights, pairwise(units), strict=True)
        ]
        gates = [
            [BooleanFunction.of(gate, layer_sizes[0]) for gate in layer.gates]
            for layer in plan.hidden
        ]
        return cls(weights=weights, biases=biases, in_circuit=in_circuit, gates=gates)

    def fill_in(self, generator: np.random.Generator) -> None:
        """Replace zero weights by small random ones."""
        for weight in self.weights:
            stray = generator.uniform(-MOST_STRAY, MOST_STRAY, weight.shape)
            np.copyto(weight, stray, where=weight == 0)

    def scale(
        self, layer: int, factors: Float[ndarray, " unit"], *, only_signs_come_back: bool
    ) -> None:
        """Multiply the sums of a hidden layer's units, and undo it in the weights that read them.

        Args:
            only_signs_come_back: undo only the signs: the factors are gains that stay.
        """
        self.weights[layer] *= factors[:, None]
        self.biases[layer] *= factors
        self.weights[layer + 1] /= np.sign(factors) if only_signs_come_back else factors
        turned_over = (factors < 0).tolist()
        self.gates[layer] = [
            gate.complement() if is_turned else gate
            for gate, is_turned in zip(self.gates[layer], turned_over, strict=True)
        ]

    def rearrange(self, layer: int, order: Int[ndarray, " unit"]) -> None:
        """Put the units of a hidden layer in another order."""
        self.weights[layer] = self.weights[layer][order]
        self.biases[layer] = self.biases[layer][order]
        self.in_circuit[layer] = self.in_circuit[layer][order]
        self.weights[layer + 1] = self.weights[layer + 1][:, order]
        self.in_circuit[layer + 1] = self.in_circuit[layer + 1][:, order]
        self.gates[layer] = [self.gates[layer][unit] for unit in order.tolist()]


def _factors(
    gates: Sequence[str], activation: PlantedActivation, generator: np.random.Generator
) -> Float[ndarray, " unit"]:
    """The factors of each unit's weights and bias.

    Units of the same gate get the same gain, so that units that cancel do so exactly.
    """
    if activation == "relu":
        return np.array([_scale(generator) for _ in gates])
    gains = {gate: generator.uniform(LEAST_GAIN, MOST_GAIN) for gate in dict.fromkeys(gates)}
    signs = np.ones(len(gates))
    if activation == "tanh":
        signs = generator.choice([-1.0, 1.0], len(gates))
        # a constant unit is not mirrored
        signs[[gate in ("TRUE", "FALSE") for gate in gates]] = 1.0
    return signs * [gains[gate] for gate in gates]


def _scale(generator: np.random.Generator) -> float:
    """A factor, as likely above 1 as below."""
    return float(MOST_SCALE ** generator.uniform(-1.0, 1.0))
