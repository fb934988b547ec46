"""variables of an algorithm -> the places of a model that carry them, and what is written there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._forward import cache_all
from xor_mi.interventions._run import Replacement
from xor_mi.interventions._sites import (
    Site,
    SiteSet,
    edges_where_needed,
    entries_of,
    require_own_names,
    site_of,
    site_sets,
)
from xor_mi.interventions._write import Running, require_disjoint, with_one_name_each
from xor_mi.kinds import HookedModel, OneSite

MOST_OVERLAP = 1e-4
"""Directions count as perpendicular and as of length 1 up to this; lengths have no unit."""


@dataclass(frozen=True, eq=False)
class Subspace:
    """Some directions among the numbers at a site: a place that lies across units.

    The entries of the site are taken as one list of numbers, [width], in their order.

    Attributes:
        site: a hook, or a `Site` with an index, or on a HookedMLP a unit or an input.
        basis: orthonormal, such as TransformerLens' `neuron_basis` or what `das_accuracy` found.

    >>> Subspace("blocks.0.mlp.hook_post", torch.tensor([[0.6], [0.8]])).rank
    1

    Raises:
        XorMiError: a basis whose columns are not perpendicular and of length 1.
    """

    site: OneSite
    basis: Float[Tensor, "width rank"]

    def __post_init__(self) -> None:
        require_orthonormal(self.basis)

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return self.basis.shape[1]


def require_orthonormal(basis: object, width: int | None = None) -> Tensor:
    """Refuse a basis [width, rank] whose columns are not perpendicular and of length 1.

    With such a basis, an interchange would not swap coordinates.

    Args:
        width: how many numbers the site holds, if that is known.

    Raises:
        XorMiError: another basis.
    """
    shape = list(basis.shape) if isinstance(basis, Tensor) else None
    fits = shape is not None and len(shape) == 2 and 1 <= shape[1] <= shape[0]
    if not isinstance(basis, Tensor) or not fits or width not in (None, basis.shape[0]):
        wide = "width" if width is None else width
        raise XorMiError(
            f"the basis is {shape or type(basis).__name__}; give a tensor [{wide}, rank] of rank 1 "
            f"to {wide}, such as neuron_basis({wide}, [0])"
        )
    if not basis.is_floating_point():
        raise XorMiError(f"the basis holds {basis.dtype} numbers; give real ones, basis.float()")
    # 16-bit numbers cannot have length 1 as exactly
    at_most = max(MOST_OVERLAP, 8 * torch.finfo(basis.dtype).eps)
    columns = basis.detach().double()
    products = columns.T @ columns
    if not torch.allclose(products, torch.eye(len(products)).to(products), rtol=0, atol=at_most):
        raise XorMiError(
            "the basis is not orthonormal: its columns must be perpendicular and of length 1 "
            "(torch.linalg.qr makes them so)"
        )
    return basis


class Placed(NamedTuple):
    """One place that carries a variable: all entries of a site, or a subspace of them.

    Attributes:
        site: where it is.
        basis: of the subspace; None for all entries.
    """

    site: Site
    basis: Tensor | None = None

    @property
    def name(self) -> str:
        """What it is called in a table."""
        if self.basis is None:
            return self.site.name
        return f"{self.site.name} (subspace of rank {self.basis.shape[1]})"


Alignment = Mapping[str, tuple[Placed, ...]]
"""Variable -> the places that carry it."""

Shapes = Mapping[str, Sequence[int]]
"""Hook name -> the shape of one example's activation."""


def name_of_places(places: Iterable[Placed]) -> str:
    """Several places that carry one variable, as text."""
    return " + ".join(place.name for place in places)


def sites_of(places: Iterable[Placed]) -> SiteSet:
    """The sites that these places lie in, each once."""
    return tuple(dict.fromkeys(place.site for place in places))


def read_alignment(
    model: HookedModel,
    names: Sequence[str],
    alignment: Mapping[str, OneSite | Subspace | Sequence[OneSite | Subspace]],
) -> Alignment:
    """What a caller aligns, in the order of the algorithm's variables.

    Args:
        names: of the algorithm's variables.

    Raises:
        XorMiError: a variable that the algorithm does not have, no variables, an unknown site, or
            one name for different sites.
    """
    for name in alignment:
        if name not in names:
            raise unknown("variable", name, names, where="the algorithm has")
    aligned = {name: _placed(model, alignment[name]) for name in names if name in alignment}
    if not aligned:
        raise XorMiError(
            "no variable is aligned; align at least one variable with the sites that carry it"
        )
    require_own_names([sites_of(places) for places in aligned.values()])
    return aligned


def _placed(
    model: HookedModel, places: OneSite | Subspace | Sequence[OneSite | Subspace]
) -> tuple[Placed, ...]:
    """The places that carry one variable."""
    if isinstance(places, Subspace):
        return (Placed(site_of(model, places.site), places.basis.detach()),)
    has_subspace = isinstance(places, (list, tuple)) and any(
        isinstance(place, Subspace) for place in places
    )
    if has_subspace:
        assert isinstance(places, (list, tuple))
        return tuple(chain.from_iterable(_placed(model, place) for place in places))
    (together,) = site_sets(model, [places])  # pyright: ignore[reportArgumentType]
    return tuple(Placed(site) for site in together)


def shapes_at(model: HookedModel, examples: Examples, sites: SiteSet) -> dict[str, tuple[int, ...]]:
    """Hook name -> the shape of one example's activation there, with every index checked.

    Raises:
        XorMiError: an index outside its activation, or a hook that cannot be written.
    """
    with edges_where_needed(model, [sites]):
        _, cache = cache_all(model, examples[:1], [site.hook_name for site in sites])
    for site in sites:
        entries_of(site, cache[site.hook_name])  # refuses an index outside
    return {name: tuple(value.shape[1:]) for name, value in cache.items()}


def width_of(site: Site, shapes: Shapes) -> int:
    """How many numbers a site holds per example."""
    shape = shapes[site.hook_name]
    named = [len(numbers) for numbers in site.axes(shape)]
    return prod([*named, *shape[len(named) :]])


def require_apart(model: HookedModel, places: Sequence[Placed], shapes: Shapes) -> None:
    """Refuse places that overlap: none may take its value from two sources (definition 44).

    Subspaces of one site do not overlap if they are perpendicular.

    Raises:
        XorMiError: two places that overlap, or a basis of another width than its site.
    """
    for place in places:
        if place.basis is not None:
            require_orthonormal(place.basis, width_of(place.site, shapes))
    for a, b in combinations(places, 2):
        if a.site != b.site or a.basis is None or b.basis is None:
            continue
        if (a.basis.double().T @ b.basis.double()).abs().max() > MOST_OVERLAP:
            raise XorMiError(
                f"{a.name} and {b.name} overlap; subspaces of one site must be perpendicular"
            )
    # The other cases: sites that are not both subspaces of the same entries.
    of_subspaces = {place.site for place in places if place.basis is not None}
    others = [place.site for place in places if place.basis is None]
    sites = with_one_name_each(model, [*of_subspaces, *others])
    require_disjoint([0] * len(sites), sites, shapes)


def require_real(model: HookedModel, examples: Examples, sites: SiteSet) -> None:
    """Refuse subspaces of these sites where a hook holds no real numbers, or 8-bit ones.

    Directions lie across numbers, and what is written would be rounded to whole numbers.

    Raises:
        XorMiError: naming the hook and what it holds.
    """
    if not sites:
        return
    with edges_where_needed(model, [sites]):
        _, cache = cache_all(model, examples[:1], [site.hook_name for site in sites])
    for name, seen in cache.items():
        # 8-bit numbers cannot be added
        if not seen.is_floating_point() or seen.itemsize < 2:
            kind = str(seen.dtype).removeprefix("torch.")
            raise XorMiError(
                f"hook '{name}' holds {kind} numbers, and a subspace needs real ones of 16 bits or "
                "more; interchange the site itself, or a hook of real numbers"
            )


class Write(NamedTuple):
    """A place that takes its value from source inputs, by number, one per run."""

    place: Placed
    source: Int[Tensor, " run"]


def from_sources(writes: Sequence[Write]) -> Replacement:
    """Each place takes its value from its own source; the rest stays as in the run."""

    def replacement(hook_name: str, activation: Tensor, numbers: Tensor) -> Tensor | Running:
        # the inputs were numbered on the CPU, and the runs are on the model's device
        which = numbers.cpu()
        given = [
            (place, activation[source[which].to(activation.device)])
            for place, source in writes
            if place.site.hook_name == hook_name
        ]
        if any(place.basis is not None for place, _ in given):
            return partial(_moved_into, given)
        # only the sites' own entries are written
        (_, new), *others = given
        for (site, _), value in others:
            entries = entries_of(site, activation)
            new[entries] = value[entries]
        return new

    return replacement


def _moved_into(given: Sequence[tuple[Placed, Tensor]], running: Tensor) -> Tensor:
    """The base inputs' activation at a hook, with each place taken from its own source.

    Outside a subspace they keep their values of this run, in which an earlier place may already
    come from a source.
    """
    new = running.clone()
    for (site, basis), value in given:
        entries = entries_of(site, running)
        if basis is None:
            new[entries] = value[entries]
            continue
        # as TransformerLens' SubspaceInterchange; perpendicular subspaces do not affect each other
        before = running[entries]
        directions = basis.to(running)
        away = (value[entries] - before).reshape(len(before), -1)
        moved = away @ directions @ directions.T
        new[entries] = new[entries] + moved.reshape(before.shape)
    return new
