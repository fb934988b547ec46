"""A network as it was read from elsewhere -> the layers and settings of a HookedMLP.

A `Description` says what a network is, whatever this package can express of it: layers with their
own activations, and direct weights from the inputs. `settings_of` is the one place that knows what
a HookedMLP can be, and refuses the rest with one sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.model._config import ACTIVATIONS


@dataclass(frozen=True)
class Activation:
    """An activation function as it was found.

    Attributes:
        name: in this package's spelling where it has one, otherwise PyTorch's.
        parameters: what else the function depends on, such as negative_slope.
        where: the place it was found at, for a message.
    """

    name: str = "identity"
    parameters: Mapping[str, object] = field(default_factory=dict)
    where: str = ""


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


def settings_of(
    described: Description,
) -> tuple[list[tuple[Tensor, Tensor]], dict[str, object]]:
    """A description -> weights layer by layer, and the settings of the HookedMLP that is the same.

    Raises:
        XorMiError: something that a HookedMLP cannot be, and where it stands.
    """
    layers = described.layers
    if len(layers) < 2:
        raise XorMiError(
            f"{len(layers) or 'no'} linear layer found; "
            "a HookedMLP has at least one hidden layer and a readout"
        )
    for number, layer in enumerate(layers, start=1):
        if layer.direct is not None:
            raise XorMiError(
                f"{layer.where or f'fc{number}'}: the inputs are added to layer {number}, past the "
                "layers before it; a HookedMLP has no such direct connections: "
                "bring a network without them"
            )
        _require_known(layer.activation, number)
    hidden = [layer.activation for layer in layers[:-1]]
    output = layers[-1].activation
    names = {activation.name for activation in hidden}
    if len(names) > 1:
        raise XorMiError(
            f"the hidden layers use {', '.join(sorted(names))}; "
            "a HookedMLP has one hidden activation"
        )
    settings: dict[str, object] = {
        "act_fn": hidden[0].name,
        "out_act_fn": output.name,
        "dtype": described.dtype,
    }
    slopes = {
        activation.parameters["negative_slope"]
        for activation in (*hidden, output)
        if "negative_slope" in activation.parameters
    }
    if len(slopes) > 1:
        listed = ", ".join(sorted(map(str, slopes)))
        raise XorMiError(f"leaky_relu slopes {listed} differ; a HookedMLP has one negative_slope")
    if slopes:
        settings["negative_slope"] = slopes.pop()
    return [(layer.weight, layer.bias) for layer in layers], settings


def _require_known(activation: Activation, number: int) -> None:
    """Refuse an activation that a HookedMLP does not have, or not with these parameters."""
    where = f"{activation.where}; " if activation.where else ""
    if activation.name == "gelu_tanh":
        raise XorMiError(f"{where}only the exact GELU is known here: approximate='none'")
    if activation.name not in ACTIVATIONS:
        raise XorMiError(
            f"{where}layer {number} has the activation {activation.name}, which a HookedMLP does "
            f"not have; known activations: {', '.join(ACTIVATIONS)}"
        )
    if activation.parameters.get("at_zero"):
        raise XorMiError(
            f"{where}layer {number} is a step that is on at exactly zero (>=); "
            "a HookedMLP's heaviside is off there: compare with > instead"
        )
