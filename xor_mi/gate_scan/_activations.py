"""a model and its inputs -> the activations of its units on them, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.gate_scan._gates import index_text
from xor_mi.graph import Site
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._forward import call_hooked
from xor_mi.interventions._hooks import Probed, require_hooks
from xor_mi.interventions._sites import entries_of
from xor_mi.kinds import HookedModel
from xor_mi.model import all_finite
from xor_mi.progress import progress_bar
from xor_mi.values import DISTINCT

__all__ = ["Block", "Units", "in_blocks", "passes", "read_activations", "wanted_units"]

ROUNDINGS = 16
"""Widths are equal within so many units in the last place of the unit's largest value."""


TIED_MARGINS = 1e-6
"""Two cuts closer in width than this share of the unit's range are equally wide."""


BYTES_OF_A_PASS = 2**28
"""So many bytes of activations are kept at once; the model is run again for the next units."""


EIGHT_BYTES, FARTHEST = 8, 2.0**62
"""Whole numbers of 64 bits that lie further apart than this are not subtracted directly: the
distance might not fit 64 bits.
"""


class Units(NamedTuple):
    """Some units of one hook.

    Attributes:
        shape: the shape of the activation of one input.
        numbers: the numbers of the units in the flattened activation.
        itemsize: bytes of one value.
        labels: number of a unit -> what the caller calls it.
    """

    hook: str
    shape: tuple[int, ...]
    numbers: Int[Tensor, " unit"]
    itemsize: int
    labels: Mapping[int, str]


class UnitLabel(str):
    """The name of a unit of a labelled site with several units: the label, and the index inside it.

    Attributes:
        of_site: the label of the site.
        inside: the unit's numbers along the axes on which the site has more than one entry.

    >>> UnitLabel("L0 H1", (2, 0))
    'L0 H1[2, 0]'
    """

    of_site: str
    inside: tuple[int, ...]

    def __new__(cls, of_site: str, inside: tuple[int, ...] = ()) -> "UnitLabel":
        label = super().__new__(cls, f"{of_site}[{index_text(inside)}]" if inside else of_site)
        label.of_site, label.inside = of_site, inside
        return label


def wanted_units(
    model: HookedModel, probed: Probed, sites_of: Mapping[str, Sequence[Site]]
) -> list[Units]:
    """Hook by hook, the units that the sites name, each once.

    Raises:
        XorMiError: a hook that cannot be read per input, or an index outside its activation.
    """
    require_hooks(model, probed, sites_of)
    wanted: list[Units] = []
    for hook, sites in sites_of.items():
        facts = probed.hooks[hook]
        assert facts.shape is not None and facts.dtype is not None  # noqa: PT018
        every = torch.arange(prod(facts.shape)).reshape(1, *facts.shape)
        numbers: dict[int, None] = {}  # a dict as a set that keeps the order
        labels: dict[int, str] = {}
        for site in sites:
            of_site: list[int] = every[entries_of(site, every)].flatten().tolist()
            numbers |= dict.fromkeys(of_site)
            # a unit named twice keeps its first label
            labels = _labels(site, of_site, facts.shape) | labels
        of_hook = torch.tensor(list(numbers), dtype=torch.long)
        wanted.append(Units(hook, facts.shape, of_hook, facts.dtype.itemsize, labels))
    return wanted


def _labels(site: Site, numbers: Sequence[int], shape: tuple[int, ...]) -> dict[int, str]:
    """The names of the units of a labelled site; if there are several, with the index inside."""
    if not site.label:
        return {}
    if len(numbers) == 1:
        return {numbers[0]: site.label}
    named = [len(of_axis) for of_axis in site.axes(shape)]
    sizes = [*named, *shape[len(named) :]]
    # along the other axes the label is enough
    inside = [axis for axis, size in enumerate(sizes) if size > 1]
    indices = _indices(torch.tensor(numbers), shape)
    labels = [UnitLabel(site.label, tuple([index[axis] for axis in inside])) for index in indices]
    return dict(zip(numbers, labels, strict=True))


def _indices(numbers: Tensor, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Numbers of flattened units -> their indices after the batch axis."""
    if not shape:
        return [()] * len(numbers)
    axes = np.unravel_index(numbers.numpy(), shape)
    return list(zip(*(axis.tolist() for axis in axes), strict=True))


def _require_shape(units: Units, activation: Tensor, n_inputs: int) -> None:
    """Refuse an activation without one entry per input, each of a single input's shape."""
    if list(activation.shape) != [n_inputs, *units.shape]:
        raise XorMiError(
            f"hook '{units.hook}' gives {list(activation.shape)} on {n_inputs} inputs: no batch "
            "axis, so nothing to read per input; leave it out"
        )


def passes(wanted: Sequence[Units], n_inputs: int) -> Iterator[list[Units]]:
    """The units in the given order, as many at a time as may be kept."""
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
    examples: Examples,
    planned: Sequence[Units],
    size: int,
    progress: bool,
) -> list[Shaped[Tensor, "input unit"]]:
    """The activations of some units on all inputs, in the hooks' own types of number."""
    read: list[list[Tensor]] = [[] for _ in planned]
    starts = range(0, len(examples), size)
    for start in progress_bar(starts, doing="running the model", unit="batch", progress=progress):
        batch = examples[start : start + size]
        hooks = {
            units.hook: partial(_keep, values, units, len(batch))
            for units, values in zip(planned, read, strict=True)
        }
        call_hooked(model, batch, hooks)
    return [torch.cat(values) for values in read]


def _keep(read: list[Tensor], units: Units, n_inputs: int, activation: Tensor) -> None:
    _require_shape(units, activation, n_inputs)
    # indexing makes a copy, because the model may edit its activation in place afterwards
    read.append(activation.reshape(n_inputs, -1)[:, units.numbers].cpu())


@dataclass(frozen=True, eq=False)
class Block:
    """Some units of one hook, as many as are processed at once.

    Attributes:
        indices: the index of each unit, after the batch axis.
        labels: the caller's name of each unit; '' if it is named by its hook and index.
        values: their activations; for whole numbers of 64 bits, how far they lie above the lowest.
        lowest: what was subtracted from the values.
        spread: the range of each unit.
        noise: a gap that is not wider than this does not count.
        tied: gaps that differ by no more than this are equally wide.
        same: values no further apart than this are equal.
        is_constant: whether the range is rounding.
    """

    hook: str
    indices: list[tuple[int, ...]]
    labels: list[str]
    values: Float[Tensor, "input unit"]
    lowest: Float[Tensor, " unit"]
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
        yield _block(units._replace(numbers=units.numbers[some]), values[:, some])


def _block(units: Units, flat: Tensor) -> Block:
    """Activations [input, unit], with the sizes of their rounding."""
    hook = units.hook
    values, lowest = _as_numbers(hook, flat)
    if not all_finite(values):
        n_wrong = int((~values.isfinite()).sum())
        raise XorMiError(
            f"hook '{hook}' has {n_wrong} activations that are NaN or infinite; leave it out"
        )
    bottom, top = torch.stack(torch.aminmax(values, dim=0)).double()
    largest = torch.maximum(top.abs(), bottom.abs())
    # whole numbers and bools are exact
    eps = torch.finfo(flat.dtype).eps if flat.is_floating_point() else 0.0
    one_rounding = eps * largest
    # A few units in the last place of the unit's largest value.
    rounding = 4 * one_rounding
    spread = top - bottom
    is_constant = spread <= rounding
    same = torch.where(is_constant, spread, torch.minimum(rounding, DISTINCT * spread))
    return Block(
        hook=hook,
        indices=_indices(units.numbers, units.shape),
        labels=[units.labels.get(number, "") for number in units.numbers.tolist()],
        values=values,
        lowest=lowest,
        spread=spread,
        noise=torch.maximum(DISTINCT * spread, rounding),
        tied=torch.maximum(TIED_MARGINS * spread, ROUNDINGS * one_rounding),
        same=same,
        is_constant=is_constant,
    )


def _as_numbers(
    hook: str, flat: Tensor
) -> tuple[Float[Tensor, "input unit"], Float[Tensor, " unit"]]:
    """Activations in a floating-point type that holds them exactly, and what was subtracted.

    Raises:
        XorMiError: complex numbers.
    """
    if flat.is_complex():
        raise XorMiError(
            f"hook '{hook}' has complex activations, to which no threshold applies; leave it out"
        )
    nothing = torch.zeros(flat.shape[1], dtype=torch.float64)
    if flat.is_floating_point():
        # there is no arithmetic for 8 bits
        return (flat.float() if flat.itemsize == 1 else flat), nothing
    if flat.itemsize < EIGHT_BYTES:
        return flat.double(), nothing
    lowest = flat.amin(0)
    # float64 cannot hold every number of 64 bits, but every distance from the lowest that matters
    above = (flat - lowest).double()
    is_too_far = flat.double().amax(0) - lowest.double() >= FARTHEST
    return torch.where(is_too_far, flat.double() - lowest.double(), above), lowest.double()
