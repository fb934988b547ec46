"""the candidate units -> the smallest sets that the decisions need, and that are enough for them.

A unit is ablated by its mean over the inputs. A set is necessary where ablating exactly it breaks a
decision, and sufficient where ablating all other candidates breaks none; listed are those of which
no part is one too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from xor_mi.graph import Site

__all__ = ["MinimalSets", "minimal_sets", "plan_of", "to_mean"]

MOST_UNITS = 12
"""Of more candidates than this not every subset is tried, but sets of whole groups."""

MOST_RUNS = 2**18
"""Subsets times inputs: as many runs as are made at most."""

Atom = tuple[Site, ...]
"""Units that are ablated together or not at all."""


class MinimalSets(NamedTuple):
    """Sets of sites, smallest first.

    Attributes:
        note: how they were found, or why they were not.
    """

    necessary: tuple[tuple[Site, ...], ...]
    sufficient: tuple[tuple[Site, ...], ...]
    note: str


class Plan(NamedTuple):
    """What is put together to sets; no atoms where there are too many.

    Attributes:
        note: what the atoms are, or why there are none.
    """

    atoms: tuple[Atom, ...]
    note: str


def plan_of(units: Sequence[Site], groups: Sequence[Atom], n_inputs: int) -> Plan:
    """Single units where every subset of them can be tried, else groups of copies, else none.

    Args:
        groups: sites that belong together; none is in two of them.
    """
    if not units:
        return Plan((), "there are no candidates")
    if _is_few(len(units), n_inputs):
        return Plan(tuple((unit,) for unit in units), "every subset of the candidates was tried")
    grouped = {site for group in groups for site in group}
    atoms = [*groups, *[(unit,) for unit in units if unit not in grouped]]
    if groups and _is_few(len(atoms), n_inputs):
        return Plan(
            tuple(atoms),
            f"of {len(units)} candidates not every subset was tried; groups of copies were taken "
            "whole",
        )
    return Plan(
        (),
        f"the subsets of {len(units)} candidates on {n_inputs:,} inputs are too many to try; give "
        f"fewer hooks or inputs, or a smaller max_p (at most {MOST_UNITS} units or groups, and "
        f"subsets x inputs at most {MOST_RUNS:,})",
    )


def _is_few(n_atoms: int, n_inputs: int) -> bool:
    return n_atoms <= MOST_UNITS and 2**n_atoms * n_inputs <= MOST_RUNS


def subsets_of(atoms: Sequence[Atom]) -> list[tuple[Site, ...]]:
    """Every set of atoms but the empty one; number n of them has atom k where bit k of n + 1 is."""
    return [
        tuple(site for k, atom in enumerate(atoms) if number >> k & 1 for site in atom)
        for number in range(1, 2 ** len(atoms))
    ]


def minimal_sets(plan: Plan, breaks: Bool[Tensor, " subset"]) -> MinimalSets:
    """Which sets break a decision when ablated -> the smallest necessary and sufficient ones.

    Args:
        breaks: of every subset, in the order of `subsets_of`.
    """
    if not plan.atoms:
        return MinimalSets((), (), plan.note)
    # the empty set, which leaves the model as it is, breaks nothing
    is_broken = np.concatenate([[False], breaks.numpy()])
    n_atoms = len(plan.atoms)
    # a set is kept where all the others are ablated: the complement has the numbers backwards
    return MinimalSets(
        necessary=_sites_of(plan.atoms, _minimal(is_broken, n_atoms)),
        sufficient=_sites_of(plan.atoms, _minimal(~is_broken[::-1], n_atoms)),
        note=plan.note,
    )


def _minimal(has: np.ndarray, n_atoms: int) -> list[int]:
    """The sets that have a property, by their numbers, of which no part has it."""
    numbers = np.arange(len(has))
    # whether a set or a part of it has the property
    within = has.copy()
    for k in range(n_atoms):
        with_it = numbers[(numbers >> k & 1) == 1]
        within[with_it] |= within[with_it ^ (1 << k)]
    is_minimal = has.copy()
    for k in range(n_atoms):
        with_it = numbers[(numbers >> k & 1) == 1]
        is_minimal[with_it] &= ~within[with_it ^ (1 << k)]
    return sorted(numbers[is_minimal].tolist(), key=lambda number: (number.bit_count(), number))


def _sites_of(atoms: Sequence[Atom], numbers: Sequence[int]) -> tuple[tuple[Site, ...], ...]:
    return tuple(
        tuple(site for k, atom in enumerate(atoms) if number >> k & 1 for site in atom)
        for number in numbers
    )


def to_mean(name: str, seen: Tensor, numbers: Tensor) -> Tensor:
    """The replacement of base inputs by the mean over all inputs, as `intervene` takes it."""
    del name
    mean = seen.double().mean(0)
    if not seen.is_floating_point():
        # of whole numbers the nearest one
        mean = mean.round()
    return mean.to(seen.dtype).expand(len(numbers), *mean.shape)
