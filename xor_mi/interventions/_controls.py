"""an alignment -> what it must be better than: other places, and an untrained model.

An interchange accuracy says little alone: a network of many units follows many algorithms somewhere
(Sutter et al. 2025, arXiv 2507.08802).
"""

from collections.abc import Hashable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import chain
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from xor_mi.errors import XorMiError, cut_short
from xor_mi.graph import Entry, Site
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._placed import Alignment, Placed, Shapes, shapes_at, width_of
from xor_mi.interventions._sites import require_hooked
from xor_mi.kinds import HookedModel

SHUFFLED, UNTRAINED, OTHER_ROLE = "shuffled sites", "untrained network", "another role"
"""The kinds of control of `interchange_accuracy`."""

MOST_OF_A_REASON = 160
"""At most this many characters of another package's message are quoted."""

MOST_DRAWS, MOST_TRIES = 10, 200
"""At most this many different other places are drawn, in at most this many tries."""

Moves = Mapping[int, tuple[Sequence[int], Sequence[int]]]
"""Axis of an activation -> its entries that are moved, and the entries that they may move to."""

Goes = Mapping[int, Mapping[int, int]]
"""Axis of an activation -> where each of its used entries is moved."""

Model = TypeVar("Model", bound=HookedModel)


def require_hooked_alike(
    given: HookedModel | None, controls: bool, examples: Examples, shapes: Shapes
) -> None:
    """Refuse an untrained model that no control uses, or that has other activations.

    Args:
        given: the caller's `untrained=`.
        shapes: those of the model's activations at the hooks that are written.

    Raises:
        XorMiError: naming the hook.
    """
    if given is None:
        return
    if not controls:
        raise XorMiError("untrained= is a control, and controls=False; give controls=True")
    require_hooked(given, "a control by an untrained model")
    missing = [name for name in shapes if name not in given.hook_dict]
    if missing:
        raise XorMiError(
            f"the model of untrained= has no hook '{missing[0]}', which is written; give one with "
            "the same hooks"
        )
    found = shapes_at(given, examples, tuple(Site(name) for name in shapes))
    for name, shape in shapes.items():
        if found[name] != shape:
            raise XorMiError(
                f"at '{name}' the model of untrained= has {list(found[name])} numbers for an "
                f"input, and the model itself {list(shape)}; give one of the same sizes"
            )


def untrained_copy(model: Model, seed: int) -> Model:
    """A copy of the model with fresh weights, by TransformerLens' `reinitialized`.

    Raises:
        XorMiError: a model that TransformerLens cannot make anew, with its reason.
    """
    from transformer_lens.tools.analysis.interchange import reinitialized

    assert isinstance(model, nn.Module)  # every hooked model is one
    try:
        # a bridge prints the device that it is moved to
        with redirect_stdout(StringIO()):
            fresh: Model = reinitialized(model, seed)  # pyright: ignore[reportAssignmentType]
    # whatever a model's own copying, or a reset_parameters, may raise
    except Exception as error:
        reason = cut_short(str(error) or type(error).__name__, at_most=MOST_OF_A_REASON)
        raise XorMiError(
            f"this {type(model).__name__} cannot be given fresh weights; give untrained=, the "
            f"same model before its training (TransformerLens says: {reason})"
        ) from None
    return fresh


class Shuffled(NamedTuple):
    """The variables, moved to other places.

    Attributes:
        draws: different sets of places; a variable that cannot go elsewhere is in none of them.
        why_not: variable -> why it has no other place.
    """

    draws: tuple[Alignment, ...]
    why_not: dict[str, str]


def shuffled(aligned: Alignment, shapes: Shapes, seed: int) -> Shuffled:
    """The variables at entries of their own hooks that the alignment has no site at.

    The sites of a hook move along one axis: the last axis that all of them have an index on and
    that has enough other entries. A subspace gets random directions of its site. Places that did
    not overlap still do not. Up to `MOST_DRAWS` different draws are made by seed, or fewer if no
    more exist.
    """
    generator = torch.Generator().manual_seed(seed)
    places = list(chain.from_iterable(aligned.values()))
    moves_at = {hook_name: _moves(places, hook_name, shape) for hook_name, shape in shapes.items()}
    why_not: dict[str, str] = {}
    for variable, of_variable in aligned.items():
        reasons = [_why_not(place, moves_at, shapes) for place in of_variable]
        if any(reasons):
            why_not[variable] = next(filter(None, reasons))
    movable = {name: places for name, places in aligned.items() if name not in why_not}
    # a set that keeps the order
    draws: dict[tuple[Hashable, ...], Alignment] = {}
    for _ in range(MOST_TRIES if movable else 0):
        draw = _draw(movable, moves_at, shapes, generator)
        key = tuple([_identity(places_of_one) for places_of_one in draw.values()])
        draws.setdefault(key, draw)
        if len(draws) == MOST_DRAWS:
            break
    return Shuffled(tuple(draws.values()), why_not)


def _identity(places: Sequence[Placed]) -> Hashable:
    """A key that is the same for equal places in any order; no two random bases are equal."""
    return frozenset([place.site if place.basis is None else id(place) for place in places])


def _why_not(place: Placed, moves_at: Mapping[str, Moves | None], shapes: Shapes) -> str:
    """Why a place cannot be moved; '' if it can."""
    site = place.site
    if place.basis is not None:
        is_whole = place.basis.shape[1] == width_of(site, shapes)
        return f"its subspace is all of {site.name}" if is_whole else ""
    if not _indexed_axes(site, shapes[site.hook_name]):
        return f"it is at all entries of {site.hook_name}"
    if moves_at[site.hook_name] is None:
        return f"{site.hook_name} has too few entries that the alignment does not use"
    return ""


def _moves(places: Sequence[Placed], hook_name: str, shape: Sequence[int]) -> Moves | None:
    """Which entries of a hook are moved, and to which others; None if there are too few others.

    The alignment uses none of the others.
    """
    sites = [place.site for place in places if place.site.hook_name == hook_name]
    axes = [_indexed_axes(site, shape) for site in sites]
    common = set(range(len(shape))).intersection(*axes)
    for axis in sorted(common, reverse=True):
        used, free = _used_and_free(sites, axis, shape)
        if len(used) <= len(free):
            return {axis: (used, free)}
    if common:
        return None
    # If sites have indices on different axes, all of these move, so that the sites stay apart.
    moves = {axis: _used_and_free(sites, axis, shape) for axis in set(chain.from_iterable(axes))}
    has_room = all(len(used) <= len(free) for used, free in moves.values())
    return moves if has_room else None


def _used_and_free(
    sites: Sequence[Site], axis: int, shape: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The numbers on an axis that the sites use, and the other numbers."""
    indexed = [site for site in sites if axis in _indexed_axes(site, shape)]
    used = set(chain.from_iterable([site.axes(shape)[axis] for site in indexed]))
    return sorted(used), [number for number in range(shape[axis]) if number not in used]


def _draw(
    aligned: Alignment,
    moves_at: Mapping[str, Moves | None],
    shapes: Shapes,
    generator: torch.Generator,
) -> Alignment:
    """All variables at other places, drawn at random."""
    goes_at = {name: _goes(moves or {}, generator) for name, moves in moves_at.items()}
    places = list(chain.from_iterable(aligned.values()))
    random_bases = _random_bases(places, shapes, generator)
    draw: dict[str, tuple[Placed, ...]] = {}
    for variable, of_variable in aligned.items():
        elsewhere: list[Placed] = []
        for place in of_variable:
            site = place.site
            if place.basis is not None:
                elsewhere.append(Placed(site, random_bases[id(place.basis)]))
            else:
                goes = goes_at[site.hook_name]
                elsewhere.append(Placed(_moved(site, shapes[site.hook_name], goes)))
        draw[variable] = tuple(elsewhere)
    return draw


def _goes(moves: Moves, generator: torch.Generator) -> Goes:
    """Where each used number of an axis is moved, no two to the same place."""
    goes: dict[int, dict[int, int]] = {}
    for axis, (used, free) in moves.items():
        order = torch.randperm(len(free), generator=generator)[: len(used)].tolist()
        goes[axis] = {number: free[to] for number, to in zip(used, order, strict=True)}
    return goes


def _indexed_axes(site: Site, shape: Sequence[int]) -> list[int]:
    """The axes on which a site has some of the entries, but not all."""
    named = site.axes(shape)
    return [axis for axis, numbers in enumerate(named) if len(numbers) < shape[axis]]


def _moved(site: Site, shape: Sequence[int], goes: Goes) -> Site:
    """A site with its entries moved."""
    index: list[Entry] = list(site.index)
    numbers_of = site.axes(shape)
    for axis in _indexed_axes(site, shape):
        if axis in goes:
            # in order, so that the same entries are the same site
            to = sorted([goes[axis][number] for number in numbers_of[axis]])
            index[axis] = to[0] if isinstance(index[axis], int) else to
    return Site(site.hook_name, tuple(index))


def _random_bases(
    places: Sequence[Placed], shapes: Shapes, generator: torch.Generator
) -> dict[int, Tensor]:
    """Random directions for each basis, by the identity of the basis.

    Directions of one site are perpendicular, as the bases are. If the bases fill the site, there
    are no other directions.
    """
    bases_at: dict[Site, list[Tensor]] = {}
    for place in places:
        if place.basis is not None:
            bases_at.setdefault(place.site, []).append(place.basis)
    drawn: dict[int, Tensor] = {}
    for site, bases in bases_at.items():
        width = width_of(site, shapes)
        ranks = [basis.shape[1] for basis in bases]
        directions = torch.linalg.qr(torch.randn(width, sum(ranks), generator=generator)).Q
        for basis, of_basis in zip(bases, directions.split(ranks, dim=1), strict=True):
            if basis.shape[1] < width:
                drawn[id(basis)] = of_basis
    return drawn
