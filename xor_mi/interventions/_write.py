"""sets of sites -> hooks that write each set on its own copy of the base inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations
from typing import NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.graph import KeptEntry, Site
from xor_mi.interventions._forward import require_batch
from xor_mi.interventions._sites import SiteSet, entries_of
from xor_mi.kinds import HookedModel
from xor_mi.model import all_finite, warn

Running = Callable[[Tensor], Tensor]
"""What base inputs get, from what they have at the hook in the same run, [base, ...], with earlier
sites already written.
"""

Value = Callable[[str, Tensor], Tensor | Running]
"""A replacement of the base inputs of one forward: (hook name, its activation on the plain inputs
of that forward) -> what the base inputs get.
"""


class Layout(NamedTuple):
    """How a batch is laid out: the plain inputs, then the base inputs once per set of sites."""

    n_plain: int
    n_sets: int
    n_base: int


class Planned(NamedTuple):
    """What is written at one hook, entry by entry: the number of the set, and the site.

    The numbers are a range if every set is one site of this hook.
    """

    numbers: Sequence[int]
    sites: Sequence[Site]


def hooks_that_write(sets: Sequence[SiteSet], layout: Layout, value: Value) -> dict[str, "Writer"]:
    """Hook name -> a hook that writes every set of sites on its own copy of the base inputs."""
    alone = [together[0] for together in sets if len(together) == 1]
    if len(alone) == len(sets) and len({site.hook_name for site in alone}) == 1:
        name = alone[0].hook_name
        return {name: Writer(name, Planned(range(len(sets)), alone), layout, value)}
    entries: dict[str, list[tuple[int, Site]]] = {}
    for number, together in enumerate(sets):
        for site in together:
            entries.setdefault(site.hook_name, []).append((number, site))
    writers: dict[str, Writer] = {}
    for name, of_hook in entries.items():
        plan = Planned(*zip(*of_hook, strict=True))
        writers[name] = Writer(name, plan, layout, value)
    return writers


@dataclass(frozen=True, eq=False)
class Writer:
    """What is written at one hook, as a function of its activation.

    Attributes:
        name: of the hook.
        plan: which set writes which site.
        layout: of the batch.
        value_of: (hook name, activation on the plain inputs) -> what the base inputs get.
    """

    name: str
    plan: Planned
    layout: Layout
    value_of: Value

    def __call__(self, activation: Tensor) -> Tensor:
        """A new activation [plain + set * base, ...] with every planned value written."""
        n_rows = self.layout.n_plain + self.layout.n_sets * self.layout.n_base
        require_batch(self.name, activation, n_rows)
        # A copy: the activation may be a tensor of the caller's.
        new = activation.clone()
        self.write_into(new)
        return new

    def write_into(self, new: Tensor) -> None:
        """Write every planned value into an activation [plain + set * base, ...]."""
        plan, layout = self.plan, self.layout
        value = self.value_of(self.name, new[: layout.n_plain])
        # A view, so that writing into a copy of the base inputs writes into `new`.
        copies = new[layout.n_plain :].view(layout.n_sets, layout.n_base, *new.shape[1:])
        if isinstance(value, Tensor):
            self._write_value(value, copies)
        else:
            self._write_running(value, copies)
        # Only sites of one set can overlap.
        is_alone = isinstance(plan.numbers, range)
        if not is_alone and len(set(plan.numbers)) < len(plan.numbers):
            require_disjoint(plan.numbers, plan.sites, {self.name: new.shape[1:]})

    def _write_value(self, value: Tensor, copies: Tensor) -> None:
        """The same value [base, ...] for every set."""
        plan = self.plan
        _require_shape(self.name, value, copies)
        if not all_finite(value):
            for number, site in zip(plan.numbers, plan.sites, strict=True):
                _warn_of_not_finite(site, value, copies[number])
        self.write_entries(value, copies)

    def write_entries(self, value: Tensor, copies: Tensor) -> None:
        """A value [base, ...] at the sites of each set, in place of what is there.

        copies: [set, base, ...].
        """
        plan = self.plan
        value = value.to(copies.dtype)
        indices = [site.index for site in plan.sites]
        first = _first_of_diagonal(plan, indices, value.shape[1:])
        if first is not None:
            # as many sets as sites: [base, site]
            units = slice(first, first + len(indices))
            copies.diagonal(first, dim1=0, dim2=2)[:] = value[:, units]
            return
        if _are_points(indices):
            _write_points(plan, list(zip(*indices, strict=True)), value, copies)
            return
        for number, site in zip(plan.numbers, plan.sites, strict=True):
            entries = entries_of(site, value)
            # the copy first: an index list beside its number would be combined with it
            copies[number][entries] = value[entries]

    def _write_running(self, value_of: Running, copies: Tensor) -> None:
        """Write each set from what its own copy of the base inputs has at the hook."""
        plan = self.plan
        for number in dict.fromkeys(plan.numbers):
            value = value_of(copies[number].clone())
            _require_shape(self.name, value, copies)
            is_finite = all_finite(value)
            for of_set, site in zip(plan.numbers, plan.sites, strict=True):
                if of_set == number:
                    if not is_finite:
                        _warn_of_not_finite(site, value, copies[number])
                    entries = entries_of(site, value)
                    copies[number][entries] = value[entries].to(copies.dtype)


def _require_shape(name: str, value: Tensor, copies: Tensor) -> None:
    """Refuse a value that does not have the shape of a copy of the activation."""
    if value.shape[1:] != copies.shape[2:]:
        raise XorMiError(
            f"a value of shape {list(value.shape[1:])} for '{name}', "
            f"whose activation is {list(copies.shape[2:])}"
        )


def _warn_of_not_finite(site: Site, value: Tensor, activation: Tensor) -> None:
    """Warn if a site gets NaN or infinite entries that were not there before.

    A hook may hold minus infinity at every position that is masked, on every input. Writing that
    again changes nothing; anywhere else it is an effect of the intervention.

    value: what is written; activation: what is there, both [base, ...].
    """
    entries = entries_of(site, value)
    written, there = value[entries], activation[entries]
    is_new = ~written.isfinite() & (written != there)
    n_inputs = int(is_new.reshape(len(is_new), -1).any(dim=1).sum())
    if n_inputs:
        warn(
            f"what is written at {site.name} is NaN or infinite on {n_inputs} of {len(value)} "
            "inputs, and not so before; its numbers are what the model makes of that"
        )


def _are_points(indices: Sequence[tuple[KeptEntry, ...]]) -> TypeGuard[list[tuple[int, ...]]]:
    """Whether these are whole numbers on as many axes each, at least one."""
    n_axes = set(map(len, indices))
    return len(n_axes) == 1 and set(map(type, chain.from_iterable(indices))) == {int}


def _write_points(
    plan: Planned, axes: Sequence[tuple[int, ...]], value: Tensor, copies: Tensor
) -> None:
    """The usual case, units of one layer: all sites in one indexed write.

    It is several times faster than site by site.

    axes: the sites' indices, axis by axis; value: [base, ...]; copies: [set, base, ...], written in
    place.
    """
    sizes = value.shape[1:]
    # Torch's own message would name no site.
    too_deep = len(axes) > len(sizes)
    if too_deep or any(
        min(axis) < -size or max(axis) >= size for axis, size in zip(axes, sizes, strict=False)
    ):
        for site in plan.sites:
            site.axes(sizes)
    numbers, *index = [
        torch.from_numpy(np.array(entries)).to(copies.device) for entries in (plan.numbers, *axes)
    ]
    # With the base inputs moved behind the indexed axes, each site is one row [base, ...].
    targets = copies.movedim(1, len(axes) + 1)
    targets[(numbers, *index)] = value.movedim(0, len(axes))[tuple(index)]


def _first_of_diagonal(
    plan: Planned, indices: Sequence[tuple[KeptEntry, ...]], sizes: Sequence[int]
) -> int | None:
    """The first unit, if the sets write consecutive units one by one; else None.

    A sweep over all units of a layer does so. sizes: of an activation, after the batch axis.
    """
    if not isinstance(plan.numbers, range) or len(sizes) != 1 or len(indices[0]) != 1:
        return None
    (first,) = indices[0]
    if not isinstance(first, int) or first < 0 or first + len(indices) > sizes[0]:
        return None
    return first if indices == _units_from(first, len(indices)) else None


@lru_cache(maxsize=64)
def _units_from(first: int, n: int) -> list[tuple[int]]:
    """The indices of consecutive units."""
    return [(unit,) for unit in range(first, first + n)]


def require_disjoint(
    numbers: Sequence[int], sites: Sequence[Site], shapes: Mapping[str, Sequence[int]]
) -> None:
    """Refuse two sites of one set (with the same number) that write the same place.

    Otherwise the order of the sites would decide.

    shapes: hook name -> the shape of its activation after the batch axis.

    Raises:
        XorMiError: two that overlap.
    """
    of_set: dict[tuple[int, str], list[Site]] = {}
    for number, site in zip(numbers, sites, strict=True):
        of_set.setdefault((number, site.hook_name), []).append(site)
    for (_, hook_name), together in of_set.items():
        shape = shapes[hook_name]
        # Single numbers in different places, the usual case, need no comparison of every two.
        indices = [site.index for site in together]
        if _are_points(indices) and len(indices[0]) == len(shape):
            from_front = {_from_front(index, shape) for index in indices}
            if len(from_front) == len(indices):
                continue
        named = [site.axes(shape) for site in together]
        for (a, axes_a), (b, axes_b) in combinations(zip(together, named, strict=True), 2):
            # a site covers an axis that it leaves out completely, so that they share it
            shared_axes = zip(axes_a, axes_b, strict=False)
            if not any(set(numbers).isdisjoint(others) for numbers, others in shared_axes):
                what = (
                    f"{a.name} and {b.name} overlap"
                    if a.name != b.name
                    else f"{a.name} is there twice"
                )
                raise XorMiError(
                    f"{what}; what is written together must be different places: leave one out"
                )


def with_one_name_each(model: HookedModel, sites: Sequence[Site]) -> list[Site]:
    """Sites of one hook point under one name of it, called as before.

    A bridge lists some hook points under two names.
    """
    first_name: dict[int, str] = {}
    hooks = model.hook_dict  # once: a bridge makes it anew every time
    named: list[Site] = []
    for site in sites:
        hook_name = first_name.setdefault(id(hooks[site.hook_name]), site.hook_name)
        named.append(Site(hook_name, site.index, site.name))
    return named


def _from_front(index: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """A point with negative numbers counted from the front."""
    return tuple([entry % size for entry, size in zip(index, shape, strict=False)])
