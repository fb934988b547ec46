"""the candidate units -> the smallest sets that the decisions need, and that are enough for them.

A unit is ablated by its mean over the inputs; one of whole numbers has none and is left out. A set
is necessary where ablating exactly it breaks a decision, and sufficient where ablating all other
candidates breaks none; listed are those of which no part is one too.
"""

from collections.abc import Collection, Sequence
from itertools import chain
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

MOST_NAMED = 5
"""So many candidates that are left out are named."""

WITHOUT_MEAN = "whole numbers, which have no mean of their kind"
"""Why candidates are left out."""

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


def plan_of(
    units: Sequence[Site], groups: Sequence[Atom], n_inputs: int, without_mean: Collection[str] = ()
) -> Plan:
    """Single units where every subset of them can be tried, else groups of copies, else none.

    Args:
        groups: sites that belong together; none is in two of them.
        without_mean: hooks of whole numbers, which have no mean of their kind; their units are left
            out, and the note says so.
    """
    if not units:
        return Plan((), "there are no candidates")
    averaged = [unit for unit in units if unit.hook_name not in without_mean]
    # all units of a group are of one hook
    of_averaged = [group for group in groups if group[0].hook_name not in without_mean]
    left_out = list(dict.fromkeys([one.name for one in units if one not in averaged]))
    if not averaged:
        return Plan((), f"the candidates are of hooks of {WITHOUT_MEAN}, so no set was tried")
    plan = _plan_of(averaged, of_averaged, n_inputs)
    if not left_out:
        return plan
    named = f"{', '.join(left_out[:MOST_NAMED])}{' ...' if len(left_out) > MOST_NAMED else ''}"
    return plan._replace(
        note=f"{plan.note}; {len(left_out)} of hooks of {WITHOUT_MEAN}, {named}, were left out"
    )


def _plan_of(units: Sequence[Site], groups: Sequence[Atom], n_inputs: int) -> Plan:
    """What is put together to sets, of units that have a mean."""
    if _is_few(len(units), n_inputs):
        return Plan(tuple((unit,) for unit in units), "every subset of the candidates was tried")
    grouped = set(chain.from_iterable(groups))
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
    return [_sites_in(atoms, number) for number in range(1, 2 ** len(atoms))]


def _sites_in(atoms: Sequence[Atom], number: int) -> tuple[Site, ...]:
    """The sites of the atoms in a set, which has atom k where bit k of its number is."""
    together = [atom for k, atom in enumerate(atoms) if number >> k & 1]
    return tuple(chain.from_iterable(together))


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
        necessary=tuple([_sites_in(plan.atoms, one) for one in _minimal(is_broken, n_atoms)]),
        sufficient=tuple(
            [_sites_in(plan.atoms, one) for one in _minimal(~is_broken[::-1], n_atoms)]
        ),
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


def to_mean(name: str, seen: Tensor, numbers: Tensor) -> Tensor:
    """The replacement of base inputs by the mean over all inputs, as `intervene` takes it."""
    del name
    mean = seen.double().mean(0)
    return mean.to(seen.dtype).expand(len(numbers), *mean.shape)
