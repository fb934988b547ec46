"""a network + a change of weights -> another network; and single weights and biases by name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, shown, unknown
from xor_mi.graph import Edge, Unit
from xor_mi.kinds import Number, Numbers, Place, SomePlace
from xor_mi.model import HookedMLP, require_hooked_mlp
from xor_mi.model._numbers import in_dtype, read_numbers

_PLACE = re.compile(r"[xyh]\d")
_SYMBOL = re.compile(r"[wbvu]\d+(?:_\d+)*|c\d*")
_PARAMETER = re.compile(
    r"(fc\d+\.(?:weight|bias)|direct\.weight)(?:\[\s*(\d+)\s*(?:,\s*(\d+)\s*)?\])?"
)


@dataclass(frozen=True)
class Entry:
    """One number among a network's weights.

    Attributes:
        layer: its linear layer, counted from 0.
        unit: the unit of that layer it belongs to.
        source: which of `model.sources` of that layer the weight multiplies; None for a bias.
        direct_input: for a direct connection, the input that is its source; else None.

    >>> Entry(layer=0, unit=0, source=1).name, Entry(layer=0, unit=0, source=None).name
    ('fc1.weight[0, 1]', 'fc1.bias[0]')
    """

    layer: int
    unit: int
    source: int | None
    direct_input: int | None = None

    @property
    def tensor(self) -> str:
        """The parameter that it belongs to, such as 'fc1.weight'."""
        if self.direct_input is not None:
            return "direct.weight"
        return f"fc{self.layer + 1}.{'bias' if self.source is None else 'weight'}"

    @property
    def index(self) -> tuple[int, ...]:
        """Its index in that parameter."""
        if self.direct_input is not None:
            return (self.unit, self.direct_input)
        return (self.unit,) if self.source is None else (self.unit, self.source)

    def of(self, layers: Sequence[tuple[Tensor, Tensor]]) -> float:
        """Its value among a network's `float64_layers`."""
        weight, bias = layers[self.layer]
        number = bias[self.unit] if self.source is None else weight[self.unit, self.source]
        return number.item()

    @property
    def name(self) -> str:
        return f"{self.tensor}[{', '.join(map(str, self.index))}]"


@torch.no_grad()
def edit(model: HookedMLP, changes: Mapping[SomePlace, Number | Numbers]) -> HookedMLP:
    """A new model with some weights replaced; the given model is not changed.

    Args:
        changes: parameter -> its new value. A parameter is an entry, "fc1.weight[0, 1]" or
            "fc2.bias[0]"; a whole tensor, "fc1.weight"; or a place: the edge "x1->h0.0" (or an
            `Edge`) is its weight, the unit "h0.0" (or a `Unit`) its bias. Direct connections are
            "direct.weight", and the edge "x1->y0" one of them.

    >>> from xor_mi.handmade import textbook_xor
    >>> edit(textbook_xor(), {"fc1.weight[0, 1]": 1.5, "h0.1": -2}).fc1.weight.tolist()
    [[1.0, 1.5], [1.0, 1.0]]

    Raises:
        XorMiError: a parameter that the network does not have, or a value that is not a finite
            number of the parameter's shape.
    """
    require_hooked_mlp(model, "edit")
    if not isinstance(changes, Mapping) or not changes:
        raise XorMiError("give the changes as a dict, such as {'fc1.weight[0, 1]': 1.5}")
    tensors = {name: tensor.clone() for name, tensor in model.named_parameters()}
    for parameter, value in changes.items():
        name, index = _located(model, parameter)
        tensors[name][index] = _as_value(value, tensors[name][index], str(parameter))
    numbers = range(1, len(model.linears) + 1)
    layers = [(tensors[f"fc{number}.weight"], tensors[f"fc{number}.bias"]) for number in numbers]
    if model.cfg.direct:
        readout, bias = layers[-1]
        layers[-1] = (torch.cat([readout, tensors["direct.weight"]], dim=1), bias)
    return model.with_weights(layers)


def entries(model: HookedMLP, parameter: Place | None = None) -> list[Entry]:
    """Every weight and bias, layer by layer; or those of one parameter, named as in `edit`.

    Raises:
        XorMiError: a parameter that the network does not have.
    """
    every = list(_every_entry(model))
    if parameter is None:
        return every
    tensor, index = _located(model, parameter)
    return [entry for entry in every if entry.tensor == tensor and index in ((), entry.index)]


def _every_entry(model: HookedMLP) -> Iterator[Entry]:
    for layer, sources in enumerate(model.sources):
        d_out = model.layer_sizes[layer + 1]
        for unit in range(d_out):
            for number, source in enumerate(sources):
                is_direct = layer > 0 and source.layer < 0
                yield Entry(layer, unit, number, source.index if is_direct else None)
        for unit in range(d_out):
            yield Entry(layer, unit, None)


def _as_value(value: Number | Numbers, before: Tensor, parameter: str) -> Tensor:
    """The new value of a parameter, checked to be finite numbers of its shape."""
    try:
        read = read_numbers(value)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(f"{parameter} cannot become {shown(value)}; give numbers") from None
    new = in_dtype(read, before.dtype, parameter).to(before.device)
    if new.shape != before.shape or not torch.isfinite(new).all():
        numbers = f"finite numbers {list(before.shape)}" if before.ndim else "a finite number"
        raise XorMiError(f"{parameter} cannot become {shown(value)}; give {numbers}")
    return new


def _located(model: HookedMLP, parameter: Place) -> tuple[str, tuple[int, ...]]:
    """A parameter as people name it -> the model's tensor, and the entry's index in it.

    The index is () for the whole tensor.
    """
    if isinstance(parameter, (Unit, Edge)):
        return _of_place(model, parameter)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    match = None
    if isinstance(parameter, str):
        if _PLACE.match(parameter):
            return _of_place(model, parameter)
        match = _PARAMETER.fullmatch(parameter)
    if match is None or match[1] not in shapes:
        has = "this network has (entries as 'fc1.weight[0, 1]')"
        if isinstance(parameter, str) and _SYMBOL.fullmatch(parameter):
            has = f"margins.weight_symbols(model) says what '{parameter}' is; {has}"
        raise unknown("parameter", parameter, shapes, where=has)
    shape = shapes[match[1]]
    index = tuple(int(number) for number in match.groups()[1:] if number is not None)
    if index and not _is_inside(index, shape):
        raise XorMiError(
            f"no entry {parameter}; {match[1]} has shape {list(shape)}, counted from 0"
        )
    return match[1], index


def _is_inside(index: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether this is the index of one entry."""
    return len(index) == len(shape) and all(
        number < size for number, size in zip(index, shape, strict=True)
    )


def _of_place(model: HookedMLP, name: Place) -> tuple[str, tuple[int, ...]]:
    """An edge -> its weight; a unit -> its bias."""
    place = model.place(name)
    if isinstance(place, Edge):
        is_direct = place.dst.layer - place.src.layer > 1
        tensor = "direct.weight" if is_direct else f"fc{place.dst.layer + 1}.weight"
        return tensor, (place.dst.index, place.src.index)
    if place.layer < 0:
        raise XorMiError(
            f"{place} is an input and has no bias; name an edge such as '{place}->h0.0', "
            "or a unit such as 'h0.0'"
        )
    return f"fc{place.layer + 1}.bias", (place.index,)
