"""a model and its inputs -> what its units are on them, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.graph import Site
from xor_mi.interventions._run import call_hooked
from xor_mi.interventions._sites import entries_of
from xor_mi.kinds import HookedModel
from xor_mi.model import all_finite
from xor_mi.progress import progress_bar
from xor_mi.values import DISTINCT

__all__ = ["Block", "Units", "in_blocks", "passes", "read_activations", "wanted_units"]

ROUNDINGS = 16
"""Widths are not told apart within so many units in the last place of the unit's largest value."""


TIED_MARGINS = 1e-6
"""Two cuts closer in width than this share of the unit's range are equally wide."""


BYTES_OF_A_PASS = 2**28
"""So much of the activations is kept at once; the model is run again for the next units."""


class Units(NamedTuple):
    """Some units of one hook.

    Attributes:
        shape: of the activation of one input.
        numbers: of the units in it, flattened.
        itemsize: bytes of one value.
    """

    hook: str
    shape: tuple[int, ...]
    numbers: Int[Tensor, " unit"]
    itemsize: int


def wanted_units(
    model: HookedModel, inputs: Tensor, sites_of: Mapping[str, Sequence[Site]]
) -> list[Units]:
    """Hook by hook, the units that the sites name, each once."""
    # Two small runs: they tell a batch axis from another axis that happens to be as long.
    probed: list[dict[str, Tensor]] = []
    for batch in (inputs[:1], inputs[:2]):
        probed.append({})
        hooks = {hook: partial(probed[-1].__setitem__, hook) for hook in sites_of}
        call_hooked(model, batch, hooks)
        for hook, activation in probed[-1].items():
            _require_batch_axis(hook, probed[0][hook], activation, len(batch))
    wanted: list[Units] = []
    for hook, sites in sites_of.items():
        activation = probed[1][hook]
        shape = tuple(activation.shape[1:])
        every = torch.arange(prod(shape)).reshape(1, *shape)
        numbers: dict[int, None] = {}  # a set that keeps the order
        for site in sites:
            entries = entries_of(site, every)
            numbers |= dict.fromkeys(every[entries].flatten().tolist())
        of_hook = torch.tensor(list(numbers), dtype=torch.long)
        wanted.append(Units(hook, shape, of_hook, activation.element_size()))
    return wanted


def _require_batch_axis(hook: str, of_one: object, activation: object, n_inputs: int) -> None:
    """An activation must have one entry per input, each of the shape that a single input has."""
    if isinstance(of_one, Tensor) and isinstance(activation, Tensor):
        shape = list(activation.shape)
        if shape == [n_inputs, *of_one.shape[1:]]:
            return
    else:
        shape = type(activation).__name__
    raise XorMiError(
        f"hook '{hook}' gives {shape} on {n_inputs} inputs: no batch axis, "
        "so nothing to read per input; leave it out"
    )


def passes(wanted: Sequence[Units], n_inputs: int) -> Iterator[list[Units]]:
    """The units in the order asked for, as many at a time as are kept at once."""
    planned: list[Units] = []
    left = BYTES_OF_A_PASS
    for units in wanted:
        start = 0
        while start < len(units.numbers):
            room = left // (units.itemsize * n_inputs)
            if room < 1 and planned:
                yield planned
                planned, left = [], BYTES_OF_A_PASS
                continue
            some = units.numbers[start : start + max(1, room)]
            planned.append(units._replace(numbers=some))
            start += len(some)
            left -= len(some) * units.itemsize * n_inputs
    if planned:
        yield planned


def read_activations(
    model: HookedModel,
    inputs: Tensor,
    planned: Sequence[Units],
    size: int,
    progress: bool,
) -> list[Float[Tensor, "input unit"]]:
    """The activations of some units on all inputs."""
    read: list[list[Tensor]] = [[] for _ in planned]
    batches = inputs.split(size)
    for batch in progress_bar(batches, doing="running the model", unit="batch", progress=progress):
        hooks = {
            units.hook: partial(_keep, values, units, len(batch))
            for units, values in zip(planned, read, strict=True)
        }
        call_hooked(model, batch, hooks)
    return [torch.cat(values) for values in read]


def _keep(read: list[Tensor], units: Units, n_inputs: int, activation: Tensor) -> None:
    _require_batch_axis(units.hook, torch.empty(1, *units.shape), activation, n_inputs)
    # An index makes a copy: the model may go on to edit its activation in place.
    read.append(activation.reshape(n_inputs, -1)[:, units.numbers].cpu())


@dataclass(frozen=True, eq=False)
class Block:
    """Some units of one hook, as many as are worked on at once.

    Attributes:
        indices: of each unit, after the batch axis.
        values: their activations.
        spread: the range of each unit.
        noise: a gap no wider than this is none.
        tied: gaps that differ by no more than this are equally wide.
        same: values no further apart than this are equal.
        is_constant: whether the range is rounding.
    """

    hook: str
    indices: list[tuple[int, ...]]
    values: Float[Tensor, "input unit"]
    spread: Float[Tensor, " unit"]
    noise: Float[Tensor, " unit"]
    tied: Float[Tensor, " unit"]
    same: Float[Tensor, " unit"]
    is_constant: Bool[Tensor, " unit"]


def in_blocks(units: Units, values: Tensor, n_at_once: int) -> Iterator[Block]:
    """The units of a pass, block by block."""
    starts = range(0, len(units.numbers), n_at_once)
    for start in starts:
        some = slice(start, start + n_at_once)
        yield _block(units.hook, units.shape, units.numbers[some], values[:, some])


def _block(hook: str, shape: tuple[int, ...], numbers: Tensor, flat: Tensor) -> Block:
    """Activations [input, unit] with what is rounding in them."""
    # Whole numbers and bools have no range in floating point: bfloat16 is the least that has.
    values = flat.to(torch.promote_types(flat.dtype, torch.bfloat16))
    if not all_finite(values):
        n_wrong = int((~values.isfinite()).sum())
        raise XorMiError(
            f"hook '{hook}' has {n_wrong} activations that are NaN or infinite; leave it out"
        )
    bottom, top = torch.stack(torch.aminmax(values, dim=0)).double()
    largest = torch.maximum(top.abs(), bottom.abs())
    one_rounding = torch.finfo(values.dtype).eps * largest
    # A few units in the last place of the unit's largest value.
    rounding = 4 * one_rounding
    spread = top - bottom
    is_constant = spread <= rounding
    same = torch.where(is_constant, spread, torch.minimum(rounding, DISTINCT * spread))
    index = np.unravel_index(numbers.numpy(), shape) if shape else ()
    indices = list(zip(*(axis.tolist() for axis in index), strict=True)) if shape else [()]
    return Block(
        hook=hook,
        indices=indices,
        values=values,
        spread=spread,
        noise=torch.maximum(DISTINCT * spread, rounding),
        tied=torch.maximum(TIED_MARGINS * spread, ROUNDINGS * one_rounding),
        same=same,
        is_constant=is_constant,
    )
