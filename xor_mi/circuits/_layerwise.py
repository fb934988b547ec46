"""network -> the choices of one reading per unit, layer by layer, that are faithful and consistent.

Identifying a circuit uses the choices that are left after the last layer. If no choice is left, the
first layer after which there is no choice shows what is in the way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xor_mi.circuits._measured import Readings
from xor_mi.circuits._readings import (
    MAX_TRIED,
    Reading,
    Variables,
    faithful_readings,
    too_many_for,
)
from xor_mi.circuits._variables import unconnected_units, values_on_rows, variables_of_all
from xor_mi.errors import TooManyReadings
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.values import LayerValues


@dataclass(frozen=True)
class NetworkOnRows:
    """A network with what is looked up once: its values, decisions and variables.

    Attributes:
        layers: all values on all rows.
        decided: [row, decision].
        variables: per hidden layer, its units, copies of one another together.
        unconnected: the units that no output can depend on.
    """

    model: HookedMLP
    layers: Sequence[LayerValues]
    decided: Tensor
    variables: tuple[Variables, ...]
    unconnected: frozenset[Unit]

    @classmethod
    def of(cls, model: HookedMLP, layers: Sequence[LayerValues] | None = None) -> "NetworkOnRows":
        """A network whose values on all rows may be known already."""
        layers = values_on_rows(model) if layers is None else layers
        unconnected = unconnected_units(model)
        return cls(
            model=model,
            layers=layers,
            decided=model.rule.decide(layers[-1].post),
            variables=variables_of_all(model, layers, unconnected),
            unconnected=unconnected,
        )

    def connected(self, layer: int) -> list[int]:
        """The units of a hidden layer that an output can depend on."""
        width = self.model.cfg.d_hidden[layer]
        return [k for k in range(width) if Unit(layer, k) not in self.unconnected]


class Choice(NamedTuple):
    """One reading per unit, layer by layer, and the worst margin over these layers."""

    readings: Readings
    worst_margin: float


class LayerRead(NamedTuple):
    """A hidden layer that was read.

    Attributes:
        layer: its number.
        before: the choices up to the layer before it.
        options: the choices of one reading per unit of this layer alone that leave every decision
            unchanged.
        choices: the choices before, each extended by every option that is consistent with it.
    """

    layer: int
    before: list[Choice]
    options: list[tuple[Reading, ...]]
    choices: list[Choice]


def read_layers(
    network: NetworkOnRows, *, max_readings: int | None = None, progress: bool = True
) -> Iterator[LayerRead]:
    """Every hidden layer in turn, up to the first that leaves no choice.

    A choice that is inconsistent in one layer is never combined with the readings of later layers.

    Args:
        max_readings: stop as soon as there are more choices than this; None for no such limit.

    Raises:
        TooManyReadings: more than that, or more than can be tried.
    """
    choices = [Choice((), float("inf"))]
    for layer in range(network.model.cfg.n_layers):
        faithful = faithful_readings(
            network.model,
            network.layers,
            layer,
            variables=network.variables[layer],
            decided=network.decided,
            # of the first layer all go on
            at_most=max_readings if layer == 0 else None,
            progress=progress,
        )
        read = LayerRead(layer, choices, [option for option, _ in faithful], choices=[])
        margins = [margin for _, margin in faithful]
        for choice in _going_on(network, read, margins, progress=progress):
            read.choices.append(choice)
            if max_readings is not None and len(read.choices) > max_readings:
                raise TooManyReadings(too_many_for(max_readings))
        yield read
        choices = read.choices
        if not choices:
            return


def _going_on(
    network: NetworkOnRows, read: LayerRead, margins: Sequence[float], *, progress: bool
) -> Iterator[Choice]:
    """Every choice up to the layer before with every option of this layer that is consistent."""
    layer, options = read.layer, read.options
    n_tried = len(read.before) * len(options)
    if n_tried > MAX_TRIED:
        raise TooManyReadings(
            f"{n_tried:,} joint readings up to layer {layer}; at most {MAX_TRIED:,} can be tried: "
            "study fewer units, or single units with scan_gates, patch_sweep and contributions"
        )
    if not options:
        return
    connected = network.connected(layer)
    bits = torch.tensor([[reading.bits for reading in option] for option in options])
    bits = bits[:, connected]  # [option, unit, row]
    doing = f"combining readings of layer {layer}"
    for before in progress_bar(read.before, doing=doing, unit="choice", progress=progress):
        numbers: Sequence[int] = range(len(options))
        if layer > 0:
            numbers = consistent(before.readings[-1], bits)
        for k in numbers:
            margin = min(before.worst_margin, margins[k])
            yield Choice((*before.readings, options[k]), margin)


def consistent(before: Sequence[Reading], bits: Tensor) -> list[int]:
    """The numbers of the options whose bits are a function of the bits of the layer before.

    Args:
        bits: of each option, the bits of the units that count, [option, unit, row].
    """
    first_with: dict[tuple[int, ...], int] = {}  # the layer before on one row -> the first such row
    on_rows = zip(*(reading.bits for reading in before), strict=True)
    first = [first_with.setdefault(parents, row) for row, parents in enumerate(on_rows)]
    fits = (bits == bits[..., first]).flatten(1).all(1)
    return fits.nonzero().flatten().tolist()
