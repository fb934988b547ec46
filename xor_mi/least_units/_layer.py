"""weights of one hidden layer, in the form of its units -> the network with the units asked for.

A layer is written for four forms of unit: a step (0 or 1), a ReLU, a leaky ReLU, and a clip, which
is its input limited to -1 and 1. Every kind of unit is one of these forms up to affine changes of
its input and output, which are absorbed into the weights; a smooth unit approximates one.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from xor_mi.errors import XorMiError
from xor_mi.least_units._units import Form, HiddenUnit
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction

NEGATIVE_SLOPE = 0.01
"""The slope of leaky ReLUs below zero, the default of PyTorch and HookedMLP."""

STEEPNESS = (10.0, 100.0, 1_000.0, 10_000.0)
"""Factors for the input of a smooth unit, tried until every row is decided right."""


@dataclass(frozen=True)
class Layer:
    """A network of one hidden layer.

    Attributes:
        form: the form of its units. In a layer made by hand, the input of a step or a clip is at
            least 1 from zero.
        weights, biases: those of the units, [unit, input] and [unit].
        readout, out_biases: those of the outputs, [output, unit] and [output].
        direct: the outputs' weights from the inputs, [output, input]; None without direct
            connections.
    """

    form: Form
    weights: Float[ndarray, "unit input"]
    biases: Float[ndarray, " unit"]
    readout: Float[ndarray, "output unit"]
    out_biases: Float[ndarray, " output"]
    direct: Float[ndarray, "output input"] | None = None

    @property
    def n_units(self) -> int:
        return len(self.weights)

    def beside_direct(self) -> "Layer":
        """The same layer with direct connections whose weights are 0."""
        n_inputs, n_outputs = self.weights.shape[1], len(self.out_biases)
        return replace(self, direct=np.zeros((n_outputs, n_inputs)))

    def of_form(self, form: Form) -> "Layer":
        """The same function of the inputs, by units of another form.

        It goes from steps to clips, whose inputs stay at least 1 away from zero, and from ReLUs to
        leaky ReLUs, which needs two for one, or one with direct connections.
        """
        if (self.form, form) == ("step", "clip"):
            # a step is half of (1 + clip)
            return replace(
                self,
                form="clip",
                readout=self.readout / 2,
                out_biases=self.out_biases + self.readout.sum(axis=1) / 2,
            )
        if (self.form, form) == ("relu", "leaky_relu"):
            return self._leaky()
        assert self.form == form
        return self

    def _leaky(self) -> "Layer":
        slope = NEGATIVE_SLOPE
        if self.direct is None:
            # leaky(z) + slope leaky(-z) is (1 - slope^2) relu(z)
            readout = self.readout / (1 - slope**2)
            return replace(
                self,
                form="leaky_relu",
                weights=np.concatenate([self.weights, -self.weights]),
                biases=np.concatenate([self.biases, -self.biases]),
                readout=np.concatenate([readout, slope * readout], axis=1),
            )
        # leaky(z) - slope z is (1 - slope) relu(z), and z is affine in the inputs
        readout = self.readout / (1 - slope)
        return replace(
            self,
            form="leaky_relu",
            readout=readout,
            out_biases=self.out_biases - slope * readout @ self.biases,
            direct=self.direct - slope * readout @ self.weights,
        )

    def network(self, function: BooleanFunction, unit: HiddenUnit) -> HookedMLP | None:
        """The network in float64; None if it does not decide every row as the function does.

        A layer without units becomes a network with one unit that nothing reads.
        """
        layer = self if self.n_units else self._with_an_idle_unit()
        if unit.is_exact:
            return layer._if_right(function, unit, steepness=1.0)
        tried = (layer._if_right(function, unit, steepness=steepness) for steepness in STEEPNESS)
        return next((network for network in tried if network is not None), None)

    def _with_an_idle_unit(self) -> "Layer":
        n_inputs, n_outputs = self.weights.shape[1], len(self.out_biases)
        return replace(
            self,
            weights=np.zeros((1, n_inputs)),
            biases=-np.ones(1),
            readout=np.zeros((n_outputs, 1)),
        )

    def _if_right(
        self, function: BooleanFunction, unit: HiddenUnit, *, steepness: float
    ) -> HookedMLP | None:
        """The network, if it decides every row right."""
        network = self._hooked(function, unit, steepness=steepness)
        wanted = np.array(function.tables).T
        is_right = np.array_equal(decisions(network).numpy(), wanted)
        return network if is_right else None

    def _hooked(
        self, function: BooleanFunction, unit: HiddenUnit, *, steepness: float
    ) -> HookedMLP:
        """The network, with the affine changes from its units to the form put into the weights."""
        # form(z) = gain act_fn(scale z + shift) + offset
        scale, shift, gain, offset = _AFFINE[unit.name]
        scale = scale * steepness
        if unit.name == "elu":
            gain = gain / steepness
        hidden = (scale * self.weights, scale * self.biases + shift)
        readout = (gain * self.readout, self.out_biases + offset * self.readout.sum(axis=1))
        return HookedMLP.from_weights(
            [hidden, readout],
            direct=self.direct,
            act_fn=unit.act_fn,
            negative_slope=NEGATIVE_SLOPE,
            target=function,
            dtype="float64",
            decision_threshold=0.0,
        )


_AFFINE: dict[str, tuple[float, float, float, float]] = {
    "threshold": (1.0, 0.0, 1.0, 0.0),
    # a step is half of (1 + sign)
    "sign": (1.0, 0.0, 0.5, 0.5),
    "relu": (1.0, 0.0, 1.0, 0.0),
    "leaky_relu": (1.0, 0.0, 1.0, 0.0),
    # relu6(3 z + 3) is 3 (1 + clip(z))
    "relu6": (3.0, 3.0, 1 / 3, -1.0),
    "hardtanh": (1.0, 0.0, 1.0, 0.0),
    # hardsigmoid(3 z) is half of (1 + clip(z))
    "hardsigmoid": (3.0, 0.0, 2.0, -1.0),
    "sigmoid": (1.0, 0.0, 1.0, 0.0),
    "tanh": (1.0, 0.0, 0.5, 0.5),
    "elu": (1.0, 0.0, 1.0, 0.0),
}
"""Kind of unit -> (scale, shift, gain, offset): its form at z is gain act_fn(scale z + shift) +
offset. For a smooth kind this holds in the limit of large scales.
"""


def require_right(layer: Layer, function: BooleanFunction, unit: HiddenUnit) -> HookedMLP:
    """The network of a layer that was proved to compute a function.

    Raises:
        XorMiError: in float64 it decides a row differently, because its weights are too large.
    """
    network = layer.network(function, unit)
    if network is None:
        raise XorMiError(
            f"{layer.n_units} {unit.name} units compute {function.name} exactly, with weights that "
            "float64 rounds until a row is decided otherwise; please report the function"
        )
    return network
