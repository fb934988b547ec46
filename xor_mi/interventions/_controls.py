"""an alignment -> what it must be better than: other places, and an untrained model.

An interchange accuracy says little alone: a network of many units follows many algorithms somewhere
(Sutter et al. 2025, arXiv 2507.08802).
"""

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from xor_mi.errors import XorMiError, cut_short
from xor_mi.graph import Entry, Site
from xor_mi.interventions._placed import Alignment, Placed, Shapes, width_of
from xor_mi.kinds import HookedModel

SHUFFLED, UNTRAINED, OTHER_ROLE = "shuffled sites", "untrained network", "another role"
"""The kinds of control of `interchange_accuracy`."""

MOST_OF_A_REASON = 160
"""So many characters of another package's message are quoted."""

Goes = Mapping[int, Sequence[int]]
"""Axis of an activation -> where each of its entries goes."""

Model = TypeVar("Model", bound=HookedModel)


def untrained(model: Model, seed: int) -> Model:
    """A copy of the model with fresh weights, by TransformerLens' `reinitialized`.

    Raises:
        XorMiError: a model that TransformerLens cannot make anew, with its reason.
    """
    from transformer_lens.tools.analysis.interchange import reinitialized

    assert isinstance(model, nn.Module)  # every hooked model is one
    try:
        # a bridge prints where it is moved to
        with redirect_stdout(StringIO()):
            fresh: Model = reinitialized(model, seed)  # pyright: ignore[reportAssignmentType]
    # whatever a model's own copying, or a reset_parameters, may raise
    except Exception as error:
        reason = cut_short(str(error) or type(error).__name__, at_most=MOST_OF_A_REASON)
        raise XorMiError(
            f"TransformerLens cannot give this {type(model).__name__} fresh weights: {reason}"
        ) from None
    return fresh


def shuffled(aligned: Alignment, shapes: Shapes, seed: int) -> Alignment:
    """The variables at other entries of their own hooks, drawn by seed.

    Of each hook the entries along one axis change places: the last one that its sites have an index
    on. A subspace gets random directions. What was apart stays apart. Variables at whole hooks have
    no other entries, and are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    places = list(chain.from_iterable(aligned.values()))
    goes_at = {
        hook_name: _goes(
            [place.site for place in places if place.site.hook_name == hook_name], shape, generator
        )
        for hook_name, shape in shapes.items()
    }
    random_bases = _random_bases(places, shapes, generator)
    moved: dict[str, tuple[Placed, ...]] = {}
    for variable, of_variable in aligned.items():
        elsewhere: list[Placed] = []
        for place in of_variable:
            site = place.site
            if place.basis is not None:
                elsewhere.append(Placed(site, random_bases.get(id(place.basis))))
            else:
                goes = goes_at[site.hook_name]
                elsewhere.append(Placed(_moved(site, shapes[site.hook_name], goes)))
        if all(_differ(a, b) for a, b in zip(of_variable, elsewhere, strict=True)):
            moved[variable] = tuple(elsewhere)
    return moved


def _differ(place: Placed, moved: Placed) -> bool:
    """Whether a place has gone somewhere else."""
    if place.basis is not None:
        return moved.basis is not None
    return place.site != moved.site


def _goes(sites: Sequence[Site], shape: Sequence[int], generator: torch.Generator) -> Goes:
    """Where the entries of one hook go, such that none stays where it was."""
    axes = [_indexed_axes(site, shape) for site in sites]
    last = {of_site[-1] for of_site in axes if of_site}
    # Of sites with an index on different axes all of these move, so that they stay apart.
    moving = last if len(last) == 1 else set(chain.from_iterable(axes))
    goes: dict[int, list[int]] = {}
    for axis in sorted(moving):
        order = torch.randperm(shape[axis], generator=generator).tolist()
        goes[axis] = [0] * len(order)
        # Each goes to the place of the next one, in one round through all.
        for number, entry in enumerate(order):
            goes[axis][entry] = order[(number + 1) % len(order)]
    return goes


def _indexed_axes(site: Site, shape: Sequence[int]) -> list[int]:
    """The axes of which a site takes some entries and leaves some."""
    named = site.axes(shape)
    return [axis for axis, numbers in enumerate(named) if len(numbers) < shape[axis]]


def _moved(site: Site, shape: Sequence[int], goes: Goes) -> Site:
    """A site with its entries gone to other places."""
    index: list[Entry] = list(site.index)
    for axis, numbers in enumerate(site.axes(shape)):
        if axis in goes and index[axis] is not None:
            to = [goes[axis][number] for number in numbers]
            index[axis] = to[0] if isinstance(index[axis], int) else to
    return Site(site.hook_name, tuple(index))


def _random_bases(
    places: Sequence[Placed], shapes: Shapes, generator: torch.Generator
) -> dict[int, Tensor]:
    """Random directions in place of each basis, by the identity of the basis.

    Those of one site are perpendicular, as the bases are. Where they leave no direction of the site
    out, there are no others.
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
