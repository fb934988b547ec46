"""the candidate units -> the minimal sets that the decisions need, and that are enough for them.

A unit is ablated by its mean over the inputs; a unit with whole numbers has no mean of its type and
is left out. A set is necessary if ablating exactly this set changes a decision, and sufficient if
ablating all other candidates changes no decision. Only minimal sets are listed.
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
"""If there are more candidates than this, only sets of whole groups are tried."""

MOST_RUNS = 2**18
"""The largest number of runs (subsets times inputs)."""

MOST_NAMED = 5
"""At most so many candidates that are left out are named."""

WITHOUT_MEAN = "whole numbers, which have no mean of their type"
"""The reason why candidates are left out."""

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
    """The atoms that sets are made of; none if there are too many.

    Attributes:
        note: what the atoms are, or why there are none.
    """

    atoms: tuple[Atom, ...]
    note: str


def plan_of(
    units: Sequence[Site], groups: Sequence[Atom], n_inputs: int, without_mean: Collection[str] = ()
) -> Plan:
    """Single units if every subset of them can be tried, else groups of copies, else nothing.

    Args:
        groups: sites that belong together; no site is in two of them.
        without_mean: hooks of whole numbers, which have no mean of their type; their units are left
            out, and the note says so.
    """
    if not units:
        return Plan((), "there are no candidates")
    averaged = [unit for unit in units if unit.hook_name not in without_mean]
    # all units of a group are of one hook
    of_averaged = [group for group in groups if group[0].hook_name not in without_mean]
    left_out = list(dict.fromkeys([one.name for one in units if one not in averaged]))
    if not averaged:
        return Plan((), f"the candidates are at hooks of {WITHOUT_MEAN}, so no set was tried")
    plan = _plan_of(averaged, of_averaged, n_inputs)
    if not left_out:
        return plan
    named = f"{', '.join(left_out[:MOST_NAMED])}{' ...' if len(left_out) > MOST_NAMED else ''}"
    return plan._replace(
        note=f"{plan.note}; {len(left_out)} of hooks of {WITHOUT_MEAN}, {named}, were left out"
    )


def _plan_of(units: Sequence[Site], groups: Sequence[Atom], n_inputs: int) -> Plan:
    """The atoms that sets are made of, for units that have a mean."""
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
    """Every set of atoms except the empty one; set number n has atom k if bit k of n + 1 is 1."""
    return [_sites_in(atoms, number) for number in range(1, 2 ** len(atoms))]


def _sites_in(atoms: Sequence[Atom], number: int) -> tuple[Site, ...]:
    """The sites of the atoms in a set, which has atom k if bit k of its number is 1."""
    together = [atom for k, atom in enumerate(atoms) if number >> k & 1]
    return tuple(chain.from_iterable(together))


def minimal_sets(plan: Plan, breaks: Bool[Tensor, " subset"]) -> MinimalSets:
    """Which sets change a decision when ablated -> the minimal necessary and sufficient sets.

    Args:
        breaks: whether each subset does, in the order of `subsets_of`.
    """
    if not plan.atoms:
        return MinimalSets((), (), plan.note)
    # the empty set, which does not change the model, breaks nothing
    is_broken = np.concatenate([[False], breaks.numpy()])
    n_atoms = len(plan.atoms)
    # a set is kept if all others are ablated: complements have the numbers in reverse order
    return MinimalSets(
        necessary=tuple([_sites_in(plan.atoms, one) for one in _minimal(is_broken, n_atoms)]),
        sufficient=tuple(
            [_sites_in(plan.atoms, one) for one in _minimal(~is_broken[::-1], n_atoms)]
        ),
        note=plan.note,
    )


def _minimal(has: np.ndarray, n_atoms: int) -> list[int]:
    """The numbers of the sets that have a property, but of which no part has it."""
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
    """The replacement of the bases' values by the mean over all inputs, as `intervene` takes it."""
    del name
    mean = seen.double().mean(0)
    return mean.to(seen.dtype).expand(len(numbers), *mean.shape)
