"""A network that was read from elsewhere -> the layers and settings of a HookedMLP.

A `Description` says what a network is, even if a HookedMLP cannot be that: layers with their own
activations, and direct weights from the inputs. `parts_of` is the one place that knows what a
HookedMLP can be, and refuses the rest with one sentence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.model._config import ACTIVATIONS, STEPS

SOFTMAXES = ("softmax", "log_softmax")
"""What may stand after the last layer without changing which output is the largest."""

BETWEEN = 0.5
"""At exactly zero a step may also give the middle of its two values, as torch.sign gives 0."""

_DEFAULTS: dict[str, Mapping[str, float]] = {
    "softplus": {"beta": 1, "threshold": 20},
    "elu": {"alpha": 1},
    "hardtanh": {"min_val": -1, "max_val": 1},
}
"""Activations that a HookedMLP has with these parameters only, PyTorch's defaults."""


@dataclass(frozen=True)
class Activation:
    """An activation function as it was found.

    Attributes:
        name: in this package's spelling where it has one, otherwise PyTorch's.
        parameters: what else the function depends on, such as negative_slope. A step has at_zero,
            which is 0, 1 or `BETWEEN`; a softmax after another activation has on_units, True.
        where: the place it was found at, for a message.
        is_turned: whether a step was written with < and is made of one with >.
    """

    name: str = "identity"
    parameters: Mapping[str, object] = field(default_factory=dict)
    where: str = ""
    is_turned: bool = False

    @property
    def at_zero(self) -> float | None:
        """What a step gives at exactly zero; None if it is not a step, or nobody said."""
        given = self.parameters.get("at_zero") if self.name in STEPS else None
        return float(given) if isinstance(given, (int, float)) else None


@dataclass(frozen=True)
class Layer:
    """One layer: activation(weight @ before + direct @ inputs + bias).

    Attributes:
        weight: [d_out, d_before].
        bias: [d_out].
        direct: [d_out, d_in] where the inputs are added past the layers before; None elsewhere.
        where: the place it was found at, for a message.
    """

    weight: Tensor
    bias: Tensor
    activation: Activation = field(default_factory=Activation)
    direct: Tensor | None = None
    where: str = ""


@dataclass(frozen=True)
class Description:
    """What a network from elsewhere computes: its layers, the readout last, and its dtype."""

    layers: tuple[Layer, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Parts:
    """What a HookedMLP is made of that computes the described network.

    Attributes:
        layers: (W [d_out, d_in], b [d_out]) layer by layer.
        direct: weights [d_out, d_in] from the inputs to the outputs, where there are any.
        settings: what the network itself says of its activations, dtype and decision.
        activations: as they were found, the output's last.
        softmax: the one of `SOFTMAXES` that was left out at the end, or "".
    """

    layers: list[tuple[Tensor, Tensor]]
    direct: Tensor | None
    settings: dict[str, object]
    activations: tuple[Activation, ...]
    softmax: str = ""


def parts_of(described: Description) -> Parts:
    """A description -> the weights and settings of a HookedMLP that computes the same.

    Raises:
        XorMiError: something that a HookedMLP cannot be, and where it stands.
    """
    layers, softmax = _without_softmax(described.layers)
    if len(layers) < 2:
        raise XorMiError(
            f"{len(layers) or 'no'} linear layer found; "
            "a HookedMLP has at least one hidden layer and a readout"
        )
    _require_direct_at_the_end(layers)
    for number, layer in enumerate(layers, start=1):
        _require_known(layer.activation, number)
    activations = tuple(layer.activation for layer in layers)
    names = tuple(activation.name for activation in activations)
    settings: dict[str, object] = {
        "act_fn": names[:-1],
        "out_act_fn": names[-1],
        "dtype": described.dtype,
    }
    slopes = _slopes(activations)
    if slopes:
        settings["negative_slope"] = slopes.pop()
    steps = [one.at_zero for one in activations if one.at_zero is not None]
    if steps:
        settings["step_at_zero"] = int(next((one for one in steps if one != BETWEEN), 0))
    if softmax:
        settings["decision_rule"] = "argmax"
    pairs = [(layer.weight, layer.bias) for layer in layers]
    return Parts(pairs, layers[-1].direct, settings, activations, softmax)


def _without_softmax(layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], str]:
    """The layers without a softmax at the end, and its name."""
    for number, layer in enumerate(layers[:-1], start=1):
        if layer.activation.name in SOFTMAXES:
            raise XorMiError(
                f"{_stands(layer.activation)}layer {number} is a softmax, whose values depend on "
                "each other; a HookedMLP has one only after its last layer"
            )
    if not layers or layers[-1].activation.name not in SOFTMAXES:
        return layers, ""
    last = layers[-1]
    if len(last.bias) == 1:
        raise XorMiError(
            f"{_stands(last.activation)}a softmax over one output is 1 on every row; "
            "use a sigmoid there, or two outputs"
        )
    if last.activation.parameters.get("on_units"):
        # it follows an activation, and its layer only passes the units on
        return layers[:-1], last.activation.name
    plain = Layer(last.weight, last.bias, Activation(), last.direct, last.where)
    return (*layers[:-1], plain), last.activation.name


def _require_direct_at_the_end(layers: Sequence[Layer]) -> None:
    for number, layer in enumerate(layers[:-1], start=1):
        if layer.direct is not None:
            raise XorMiError(
                f"{layer.where or f'fc{number}'}: the inputs are added to layer {number}, past the "
                "layers before it; a HookedMLP has direct connections to its outputs only"
            )


def _slopes(activations: Sequence[Activation]) -> set[object]:
    """The slope of leaky_relu, or nothing where it is not used."""
    slopes = {
        activation.parameters["negative_slope"]
        for activation in activations
        if "negative_slope" in activation.parameters
    }
    if len(slopes) > 1:
        listed = ", ".join(sorted(map(str, slopes)))
        raise XorMiError(f"leaky_relu slopes {listed} differ; a HookedMLP has one negative_slope")
    return slopes


def _require_known(activation: Activation, number: int) -> None:
    """Refuse an activation that a HookedMLP does not have, or not with these parameters."""
    if activation.name not in ACTIVATIONS:
        raise XorMiError(
            f"{_stands(activation)}layer {number} has the activation {activation.name}, which a "
            f"HookedMLP does not have; known activations: {', '.join(ACTIVATIONS)}"
        )
    defaults = _DEFAULTS.get(activation.name, {})
    for name, default in defaults.items():
        given = activation.parameters.get(name, default)
        if given != default:
            raise XorMiError(
                f"{_stands(activation)}layer {number} has {activation.name} with {name}={given}; "
                f"a HookedMLP has it with {name}={default} only"
            )


def _stands(activation: Activation) -> str:
    """The place of an activation, as the beginning of a message."""
    return f"{activation.where}; " if activation.where else ""
