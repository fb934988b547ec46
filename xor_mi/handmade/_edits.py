"""a network + a change of weights -> another network."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Edge, Unit
from xor_mi.model import HookedMLP


@torch.no_grad()
def edit(model: Any, changes: Any) -> HookedMLP:
    """A new model with some weights replaced; the given one is left alone.

    Args:
        changes: parameter -> its new value. A parameter is an entry, "fc1.weight[0, 1]" or
            "fc2.bias[0]"; a whole tensor, "fc1.weight"; or a place: the edge "x1->h0.0" (or an
            `Edge`) is its weight, the unit "h0.0" (or a `Unit`) its bias.

    >>> from xor_mi.handmade import textbook_xor
    >>> edit(textbook_xor(), {"fc1.weight[0, 1]": 1.5, "h0.1": -2}).fc1.weight.tolist()
    [[1.0, 1.5], [1.0, 1.0]]

    Raises:
        XorMiError: a parameter that the network does not have, or a value that is no finite number
            of the parameter's shape.
    """
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            f"edit needs a HookedMLP, not {type(model).__name__}: take result.model, or HookedMLP.from_sequential(net)"
        )
    if not isinstance(changes, Mapping) or not changes:
        raise XorMiError("give the changes as a dict, such as {'fc1.weight[0, 1]': 1.5}")
    edited = HookedMLP(replace(model.cfg))
    edited.load_state_dict(model.state_dict())
    for asked, value in changes.items():
        name, index = located(model, asked)
        tensor = edited.get_parameter(name)
        try:
            new = torch.as_tensor(value, dtype=tensor.dtype, device=tensor.device)
        except (TypeError, ValueError, RuntimeError):
            raise XorMiError(f"{asked} cannot become {value!r}; give numbers") from None
        shape = tensor[index].shape
        if new.shape != shape or not torch.isfinite(new).all():
            raise XorMiError(
                f"{asked} cannot become {value!r}; give {'a finite number' if not shape else f'finite numbers {list(shape)}'}"
            )
        tensor[index] = new
    return edited


def located(model: HookedMLP, asked: Any) -> tuple[str, tuple[int, ...]]:
    """A parameter as people name it -> (parameter of the model, index of the entry; () for the
    whole).
    """
    if isinstance(asked, (Unit, Edge)) or (isinstance(asked, str) and re.match(r"[xyh]\d", asked)):
        place = model.place(asked)
        if isinstance(place, Edge):
            return f"fc{place.dst.layer + 1}.weight", (place.dst.index, place.src.index)
        if place.layer < 0:
            raise XorMiError(
                f"{place} is an input and has no bias; name an edge such as '{place}->h0.0', or a unit such as 'h0.0'"
            )
        return f"fc{place.layer + 1}.bias", (place.index,)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    match = (
        re.fullmatch(r"(fc\d+\.(?:weight|bias))(?:\[\s*(\d+)\s*(?:,\s*(\d+)\s*)?\])?", asked)
        if isinstance(asked, str)
        else None
    )
    if match is None or match[1] not in shapes:
        raise unknown("parameter", asked, shapes, where="entries, such as 'fc1.weight[0, 1]', of")
    index = tuple(int(number) for number in match.groups()[1:] if number is not None)
    shape = shapes[match[1]]
    if index and (
        len(index) != len(shape) or any(k >= size for k, size in zip(index, shape, strict=True))
    ):
        raise XorMiError(f"no entry {asked}; {match[1]} has shape {list(shape)}, counted from 0")
    return match[1], index


def entries(model: HookedMLP) -> Iterator[tuple[str, int, int, int | None]]:
    """Every weight and bias, layer by layer: (name, layer, unit, source or None for a bias)."""
    for layer, linear in enumerate(model.linears):
        d_out, d_in = linear.weight.shape
        yield from (
            (f"fc{layer + 1}.weight[{j}, {i}]", layer, j, i)
            for j in range(d_out)
            for i in range(d_in)
        )
        yield from ((f"fc{layer + 1}.bias[{j}]", layer, j, None) for j in range(d_out))
