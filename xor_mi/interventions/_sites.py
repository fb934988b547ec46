"""a place in a model -> hook name + index: where a value is read and written."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, combinations
from math import comb
from typing import Any, NamedTuple

from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Edge, Site, Unit, edges_of, layers_of
from xor_mi.model import HookedMLP, hook_site, kind_of_hook, require_evaluable

KINDS = ("unit", "edge", "input", "logit", "hook")


MAX_SUBSETS = 100_000
"""More subsets than this are refused rather than begun."""

SiteSet = tuple[Site, ...]
"""Sites written together: one intervention."""


def name_of(together: SiteSet) -> str:
    """'h0.0' for one site, 'h0.0 + h0.1' for two written together."""
    return " + ".join(site.name for site in together)


def sites(model: Any, kind: str = "unit") -> list[Site]:
    """All sites of one kind: hidden units, edges, input bits, logits, or whole hooks. On other
    models than a HookedMLP, whole hooks only.

    >>> from xor_mi.handmade import textbook_xor
    >>> sites(textbook_xor(), "edge")
    [x0->h0.0, x1->h0.0, x0->h0.1, x1->h0.1, h0.0->y0, h0.1->y0]

    Raises:
        XorMiError: a kind that is none of `KINDS`.
    """
    if kind == "hook" and not isinstance(model, HookedMLP):
        require_hooked(model, "listing hooks")
        return [Site(hook_name) for hook_name in model.hook_dict]
    require_mlp(model, f"listing sites of kind {kind!r}")
    if kind == "hook":
        return [Site(hook_name) for hook_name, _ in model.hook_places()]
    if kind not in KINDS:
        raise unknown("kind of site", kind, KINDS, where="kinds are")
    return list(_listed(model.layer_sizes, kind))


@lru_cache(maxsize=64)
def _listed(layer_sizes: tuple[int, ...], kind: str) -> SiteSet:
    """All sites of one kind; they follow from the layer sizes alone."""
    layers = layers_of(layer_sizes)
    places: dict[str, list[Unit] | list[Edge]] = {
        "unit": [unit for layer in layers[1:-1] for unit in layer],
        "edge": list(edges_of(layer_sizes)),
        "input": layers[0],
        "logit": layers[-1],
    }
    return tuple(Site(*hook_site(place), place.name) for place in places[kind])


def site_of(model: Any, asked: Any) -> Site:
    """A Site, or on a `HookedMLP` a unit, an edge, a name such as 'h0.1' or a hook name -> the
    Site, checked to exist.

    >>> from xor_mi.handmade import textbook_xor
    >>> site_of(textbook_xor(), "h0.1").hook_name
    'blocks.0.mlp.hook_post'

    Raises:
        XorMiError: nothing of this name, listing what there is.
    """
    if isinstance(asked, Site):
        if asked.hook_name not in list(model.hook_dict):
            raise unknown("hook", asked.hook_name, model.hook_dict, where="this model has")
        return asked
    if isinstance(asked, str) and asked in model.hook_dict:
        return Site(asked)
    if isinstance(model, HookedMLP):
        hook_name, index = model.hook_site(asked)
        return Site(hook_name, index, model.place(asked).name)
    raise unknown("hook", asked, model.hook_dict, where="this model has")


def site_sets(model: Any, asked: Any) -> tuple[SiteSet, ...]:
    """Each entry is one site, or several (a tuple, list or set) that are written together."""
    found, known = [], model.hook_dict
    for entry in (
        asked
        if isinstance(asked, Iterable) and not isinstance(asked, (str, Site, Unit, Edge))
        else [asked]
    ):
        if type(entry) is Site and isinstance(entry.hook_name, str) and entry.hook_name in known:
            found.append((entry,))
            continue
        together = list(entry) if isinstance(entry, (tuple, list, set, frozenset)) else [entry]
        if not together:
            raise XorMiError(
                "an empty set of sites given; an intervention writes at least one site"
            )
        found.append(tuple(site_of(model, one) for one in together))
    return tuple(found)


def subsets(
    asked: Sequence[Any], *, min_size: int = 1, max_size: int | None = None
) -> list[tuple[Any, ...]]:
    """All non-empty subsets of sites, smallest first; each is one joint intervention.

    >>> subsets(["h0.0", "h0.1"])
    [('h0.0',), ('h0.1',), ('h0.0', 'h0.1')]
    """
    sizes = range(min_size, (len(asked) if max_size is None else max_size) + 1)
    count = sum(comb(len(asked), size) for size in sizes)
    if count > MAX_SUBSETS:
        raise XorMiError(
            f"{count} subsets of {len(asked)} sites; at most {MAX_SUBSETS} are listed: give fewer sites, or max_size=2"
        )
    return list(chain.from_iterable(combinations(asked, size) for size in sizes))


def require_ready(model: Any, operation: str) -> None:
    """Refuse train mode anywhere in the model, and parameters that are not finite; on any hooked
    model.

    Raises:
        XorMiError: naming the module or the parameter.
    """
    require_hooked(model, operation)
    require_evaluable(model, operation)


def require_hooked(model: Any, operation: str) -> None:
    """Refuse what has no hooks. `XorMiError` says what would do."""
    if not hasattr(model, "hook_dict") or not hasattr(model, "hooks"):
        raise XorMiError(
            f"{operation} needs a hooked model: a HookedMLP, a HookedRootModule after setup(), or a TransformerBridge"
        )


def require_mlp(model: Any, operation: str) -> None:
    """Refuse anything but a HookedMLP, where rows of bits or single units must have a meaning."""
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            f"{operation} needs a HookedMLP, not {type(model).__name__}; other models take patch_sweep, ablation_sweep, attribute"
        )


def default_sites(model: Any) -> list[Site]:
    """All hidden units of a HookedMLP; other models have no default."""
    if isinstance(model, HookedMLP):
        return sites(model, "unit")
    raise XorMiError(
        "give sites=[Site(hook_name, index), ...]; all hidden units are the default on a HookedMLP only"
    )


class Coordinates(NamedTuple):
    """What was intervened on and how: scores are comparable where these agree (Miller, Chughtai and
    Saunders 2024, arXiv 2407.08734).
    """

    granularity: str
    component: str
    value: str
    positions: str
    direction: str
    set: str


def coordinates(is_mlp: bool, sets: Sequence[SiteSet], value: str, direction: str) -> Coordinates:
    """The six coordinates of an intervention on these sets of sites, of a HookedMLP or of another
    model.
    """
    hooks = {site.hook_name for together in sets for site in together}
    kinds = {kind_of_hook(name) if is_mlp else name.rpartition(".")[2] for name in hooks}
    whole = all(not site.index for together in sets for site in together)
    return Coordinates(
        granularity="whole hook" if whole else " and ".join(sorted(kinds)),
        component=", ".join(name_of(together) for together in sets),
        value=value,
        positions="none: an MLP has no sequence axis"
        if is_mlp
        else "as each site's index says; all where it is left out",
        direction=direction,
        set="one site at a time"
        if all(len(together) == 1 for together in sets)
        else "sites of a set together",
    )


@contextmanager
def edges_on(model: Any, sets: Iterable[SiteSet]) -> Iterator[None]:
    """Switch a HookedMLP's edge hooks on while one of these sites needs them."""
    hook_names = {site.hook_name for together in sets for site in together}
    if (
        not isinstance(model, HookedMLP)
        or model.cfg.use_edge_result
        or not any(kind_of_hook(name) == "edge" for name in hook_names)
    ):
        yield
        return
    model.set_use_edge_result(True)
    try:
        yield
    finally:
        model.set_use_edge_result(False)


def check_index(site: Site, activation: Tensor) -> None:
    """The site's index lies inside this activation [batch, ...]."""
    shape = activation.shape[1:]
    if len(site.index) > len(shape) or any(
        i is not None and not -size <= i < size for i, size in zip(site.index, shape, strict=False)
    ):
        raise XorMiError(
            f"index {list(site.index)} is outside '{site.hook_name}', whose activation is [batch, {', '.join(map(str, shape))}]"
        )
