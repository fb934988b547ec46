"""a place in a model -> hook name + index: where a value is read and written."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import chain, combinations
from math import comb
from numbers import Integral
from typing import Literal, NamedTuple, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from xor_mi.errors import XorMiError, require_kind, shown, unknown, whole_number
from xor_mi.graph import Edge, Site, Unit, edges_of, layers_of, name_of_set
from xor_mi.interventions._examples import as_inputs
from xor_mi.interventions._hooks import Probed, probe_hooks, require_hooks, writable_hooks
from xor_mi.kinds import HookedModel, OneSite, Sites
from xor_mi.model import (
    HookedMLP,
    hook_site,
    how_to_bring,
    kind_of_hook,
    require_evaluable,
    require_hooked_mlp,
)
from xor_mi.model._layer_sites import (
    HOOK_OF,
    LETTERS,
    GridKind,
    counts_first_axis,
    grid_site,
    hooks_by_layer,
    hooks_of_blocks,
)
from xor_mi.truth import ArrayLike

T = TypeVar("T")

SiteKind = Literal["unit", "edge", "input", "logit", "hook", "head", "neuron", "position"]
"""Hidden units, edges, inputs, logits, whole hooks; and each layer's heads, neurons, positions."""

KINDS = get_args(SiteKind)

_LABEL = re.compile(r"L\d+ (?:\S+ )?([HN@])\d+")
"""What a head, a neuron or a position of a layer is called in frames and pictures."""

MAX_SUBSETS = 100_000
"""More subsets than this are refused rather than begun."""

SiteSet = tuple[Site, ...]
"""Sites written together: one intervention."""


def sites(
    model: HookedModel,
    kind: SiteKind = "unit",
    *,
    inputs: ArrayLike | int | None = None,
    hook: str | None = None,
) -> list[Site]:
    """All sites of one kind.

    Hidden units, edges, inputs and logits exist on a HookedMLP; direct connections from inputs to
    outputs are edges too. "hook" is every whole hook, on another model every hook that can be read
    and written per example; if a model lists one hook point under several names, as a bridge does,
    it is listed once, by the name that the hook point itself carries. "head", "neuron" and
    "position" are those of each layer, on any model whose hooks are called `blocks.L....`: every
    head of `attn.hook_z`, every neuron of `mlp.hook_post`, every position of `hook_resid_pre`.

    Args:
        inputs: a few inputs [input, ...], on which a model that is not a HookedMLP is tried.
            Without them it is tried on two tokens, and on as many zeros as its first weights have
            inputs; if it runs on neither, all its hooks are listed. Positions need inputs as long
            as yours, or a whole number of positions.
        hook: for "head", "neuron" and "position", another hook of each block, such as
            "attn.hook_q" or "hook_attn_out".

    >>> from xor_mi.handmade import textbook_xor
    >>> sites(textbook_xor(), "edge")
    [x0->h0.0, x1->h0.0, x0->h0.1, x1->h0.1, h0.0->y0, h0.1->y0]

    Raises:
        XorMiError: an unknown kind, a model without such hooks, or missing inputs.
    """
    if kind not in KINDS:
        raise unknown("kind of site", kind, KINDS, where="kinds are")
    if kind in ("head", "neuron", "position"):
        return _in_layers(model, kind, inputs, hook)
    if hook is not None:
        raise XorMiError(f"hook={hook!r} is for heads, neurons and positions; leave it out")
    # The one kind of site that every hooked model has.
    if kind == "hook" and not isinstance(model, HookedMLP):
        require_hooked(model, "listing hooks")
        probed = _probed(model, inputs)
        names = one_name_each(model)
        if probed is not None:
            writable = set(writable_hooks(probed))
            names = [name for name in names if name in writable]
        return [Site(hook_name) for hook_name in names]
    mlp = require_mlp(model, f"listing sites of kind {kind!r}")
    if inputs is not None:
        raise XorMiError("a HookedMLP's sites are known without inputs; leave inputs out")
    if kind == "hook":
        return [Site(hook_name) for hook_name, _ in mlp.hook_places()]
    return list(_listed(mlp.layer_sizes, mlp.cfg.direct, kind))


def one_name_each(model: HookedModel) -> list[str]:
    """Each hook point once, in the model's order: by the name it carries, else the first name."""
    name_of: dict[int, str] = {}
    for name, point in model.hook_dict.items():
        if name == getattr(point, "name", None):
            name_of[id(point)] = name
        name_of.setdefault(id(point), name)
    return list(name_of.values())


def _in_layers(
    model: HookedModel, kind: GridKind, inputs: ArrayLike | int | None, hook: str | None
) -> list[Site]:
    """The heads, neurons or positions of every layer."""
    require_hooked(model, f"listing sites of kind {kind!r}")
    asked = HOOK_OF[kind] if hook is None else hook
    known = hooks_of_blocks(model.hook_dict)
    if not known:
        raise XorMiError(
            f"listing sites of kind {kind!r} needs a model with blocks, as TransformerLens' "
            "transformers have; name other places by Site(hook_name, index)"
        )
    of_layer = hooks_by_layer(model.hook_dict, asked)
    if not of_layer:
        raise unknown("hook of a block", asked, known, where="the blocks of this model have")
    found: list[Site] = []
    for layer, (name, size, only_axis) in _sizes(model, kind, inputs, of_layer).items():
        found += [grid_site(name, layer, kind, k, only_axis=only_axis) for k in range(size)]
    return found


def _sizes(
    model: HookedModel, kind: GridKind, inputs: ArrayLike | int | None, of_layer: Mapping[int, str]
) -> dict[int, tuple[str, int, bool]]:
    """Layer -> its hook, its number of places of this kind, and whether it has no other axis."""
    if kind == "position" and inputs is None:
        raise XorMiError("how many positions? give inputs as long as yours, or their number")
    if isinstance(inputs, Integral):
        if kind != "position":
            raise XorMiError(f"inputs={inputs} is a number of positions; give inputs for {kind}s")
        n_positions = whole_number("inputs", inputs, at_least=1)
        return {layer: (name, n_positions, False) for layer, name in of_layer.items()}
    probed = _probed(model, inputs)
    if probed is None:
        size = _size_in_config(model, kind, of_layer)
        return {layer: (name, size, False) for layer, name in of_layer.items()}
    require_hooks(model, probed, of_layer.values())
    sizes: dict[int, tuple[str, int, bool]] = {}
    for layer, name in of_layer.items():
        shape = probed.hooks[name].shape or ()
        is_first = len(shape) == 1 or counts_first_axis(name, kind)
        # [pos, head, d_head] and [head, pos, pos]; [pos, neuron] and [neuron]; [pos, ...]
        fits = {
            "head": len(shape) == 3,
            "neuron": len(shape) in (1, 2),
            "position": len(shape) > 1 and not counts_first_axis(name, "head"),
        }
        if not fits[kind]:
            shape_text = ", ".join(map(str, ["batch", *shape]))
            raise XorMiError(
                f"hook '{name}' is [{shape_text}], without an axis of {kind}s; give another hook="
            )
        sizes[layer] = (name, shape[0 if is_first else 1], len(shape) == 1)
    return sizes


def _size_in_config(model: HookedModel, kind: GridKind, of_layer: Mapping[int, str]) -> int:
    """How many heads or neurons the config names, for a model that does not run on two tokens."""
    settings = getattr(model, "cfg", None)
    size = getattr(settings, "n_heads" if kind == "head" else "d_mlp", None)
    usual = hooks_by_layer(of_layer.values(), HOOK_OF[kind])
    if not isinstance(size, int) or not usual:
        raise XorMiError(f"this model does not run on two tokens; give inputs to count its {kind}s")
    return size


def _probed(model: HookedModel, inputs: ArrayLike | int | None) -> Probed | None:
    """What a model's hooks carry on these inputs, or on two tokens; None if it runs on neither."""
    if inputs is not None:
        if not isinstance(inputs, ArrayLike) or isinstance(inputs, Integral):
            raise XorMiError(f"inputs is {shown(inputs)}; give a tensor [input, ...]")
        # a run in train mode may change the model
        require_ready(model, "listing sites")
        return probe_hooks(model, as_inputs(model, inputs, "inputs"), warns=False)
    if isinstance(model, HookedMLP):
        return probe_hooks(model, model.rows())
    require_ready(model, "listing sites")
    for made_up in _made_up_inputs(model):
        try:
            return probe_hooks(model, made_up, warns=False)
        except Exception:  # a model may raise anything on inputs that it does not accept
            continue
    return None


def _made_up_inputs(model: HookedModel) -> Iterator[Tensor]:
    """Inputs that a model may accept: two tokens, then as many zeros as its first weights read."""
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    first = parameters[0] if parameters else torch.empty(0)
    yield torch.tensor([[0, 1], [1, 0]], device=first.device)
    if first.ndim == 2 and first.is_floating_point():
        # [d_out, d_in], as nn.Linear has it, or [d_in, d_out]
        for width in dict.fromkeys(reversed(first.shape)):
            yield torch.zeros(2, width, dtype=first.dtype, device=first.device)


@lru_cache(maxsize=64)
def _listed(layer_sizes: tuple[int, ...], direct: bool, kind: SiteKind) -> SiteSet:
    """All sites of one kind; only the layer sizes and `direct` determine them."""
    layers = layers_of(layer_sizes)
    places: dict[str, list[Unit] | list[Edge]] = {
        "unit": list(chain.from_iterable(layers[1:-1])),
        "edge": list(edges_of(layer_sizes, direct=direct)),
        "input": layers[0],
        "logit": layers[-1],
    }
    return tuple(Site(*hook_site(place), place.name) for place in places[kind])


@lru_cache(maxsize=64)
def _each_alone(layer_sizes: tuple[int, ...], direct: bool, kind: SiteKind) -> tuple[SiteSet, ...]:
    """All sites of one kind as sets of one; they need no check."""
    return tuple((site,) for site in _listed(layer_sizes, direct, kind))


def site_of(model: HookedModel, site: OneSite) -> Site:
    """The Site that a caller names, checked to exist.

    A caller gives a Site or a hook name, or on a `HookedMLP` a unit, an edge or a name such as
    'h0.1'.

    >>> from xor_mi.handmade import textbook_xor
    >>> site_of(textbook_xor(), "h0.1").hook_name
    'blocks.0.mlp.hook_post'

    Raises:
        XorMiError: no place has this name; the message lists those that exist.
    """
    require_hooked(model, "naming a site")
    hooks = model.hook_dict
    if isinstance(site, Site):
        # A list is searched by equality, so that a name of a wrong type gets the message too.
        if site.hook_name not in list(hooks):
            raise unknown("hook", site.hook_name, hooks, where="this model has")
        return site
    if isinstance(site, str) and site in hooks:
        return Site(site)
    if isinstance(model, HookedMLP):
        place = model.place(site)
        return Site(*hook_site(place), place.name)
    if isinstance(site, Integral):
        raise XorMiError(f"{site} is not a site; give Site(hook_name, index), or a hook's name")
    label = _LABEL.fullmatch(site) if isinstance(site, str) else None
    if label is not None:
        (kind,) = [kind for kind, letter in LETTERS.items() if letter == label[1]]
        raise XorMiError(
            f"{site!r} is what a site is called in tables; take the site itself from "
            f"sites(model, {kind!r}), or give Site(hook_name, index)"
        )
    raise unknown("hook", site, hooks, where="this model has")


def site_sets(model: HookedModel, sites: Sites | None) -> tuple[SiteSet, ...]:
    """A caller's sites as sets: an entry is one site, or several that are written together.

    Several sites are a tuple, list or set. A Python set has a different order in every process, so
    its sites are sorted by hook name, then by index.

    Args:
        sites: None for all hidden units of a HookedMLP; other models have no default.

    Raises:
        XorMiError: an unknown site, an empty set, one name for different sites, or no sites if
            there is no default.
    """
    if sites is None:
        return _default_sets(model)
    is_unordered = isinstance(sites, AbstractSet)
    if isinstance(sites, (str, Site, Unit, Edge)) or not isinstance(sites, Iterable):
        sites = [sites]
    sets: list[SiteSet] = []
    hooks = model.hook_dict
    for entry in sites:
        # The usual case first: thousands of sites of a sweep are checked here.
        if type(entry) is Site and isinstance(entry.hook_name, str) and entry.hook_name in hooks:
            sets.append((entry,))
            continue
        # A tensor can be iterated over, but its entries are numbers, not places.
        if isinstance(entry, Tensor):
            raise XorMiError("sites are a tensor; name places such as 'h0.1', or give Sites")
        if isinstance(entry, (str, Site, Unit, Edge)) or not isinstance(entry, Iterable):
            entry = [entry]
        together = tuple(site_of(model, site) for site in entry)
        if isinstance(entry, AbstractSet):
            together = tuple(sorted(together, key=_place_in_order))
        if not together:
            raise XorMiError(
                "an empty set of sites given; an intervention writes at least one site"
            )
        sets.append(together)
    if is_unordered:
        sets.sort(key=lambda together: [_place_in_order(site) for site in together])
    require_own_names(sets)
    return tuple(sets)


def require_own_names(sets: Sequence[SiteSet]) -> None:
    """Refuse one name for different sites, or for different sets of them.

    Frames, sentences and records tell them apart only by their names.

    Raises:
        XorMiError: the message has the name and both places.
    """
    # the usual case of thousands in a sweep first: single sites with different names
    alone = [together[0].name for together in sets if len(together) == 1]
    if len(set(alone)) == len(alone) == len(sets):
        return
    named: dict[str, SiteSet] = {}
    for together in sets:
        for site in together:
            _note_name(named, site.name, (site,))
        if len(together) > 1:
            _note_name(named, name_of_set(together), together)


def _note_name(named: dict[str, SiteSet], name: str, together: SiteSet) -> None:
    """Note the place that a name stands for; refuse a second one."""
    known = named.setdefault(name, together)
    if known is together or known == together or set(known) == set(together):
        return
    both = " and ".join([_unlabelled(one) for one in (known, together)])
    raise XorMiError(
        f"both {both} are called '{name}', and a site is told apart by its name; give each a "
        "label= of its own, or none"
    )


def _unlabelled(together: SiteSet) -> str:
    """Where the sites of a set are, without their labels."""
    return name_of_set([Site(site.hook_name, site.index) for site in together])


def _place_in_order(site: Site) -> tuple[list[tuple[int, str]], list[tuple[int, list[int], str]]]:
    """The sort key of a set's sites: hook names with their numbers as numbers, then indices."""
    parts = re.split(r"(\d+)", site.hook_name)
    # names and numbers take turns
    name = [(int(part) if part.isdecimal() else 0, part) for part in parts]
    index: list[tuple[int, list[int], str]] = []
    for entry in site.index:
        if isinstance(entry, int):
            index.append((1, [entry], ""))
        elif isinstance(entry, tuple):
            index.append((2, list(entry), ""))
        else:
            index.append((0, [], "" if entry is None else repr(entry)))
    return name, index


def subsets(
    sites: Sequence[T], *, min_size: int = 1, max_size: int | None = None
) -> list[tuple[T, ...]]:
    """All non-empty subsets of sites, smallest first; each is one joint intervention.

    >>> subsets(["h0.0", "h0.1"])
    [('h0.0',), ('h0.1',), ('h0.0', 'h0.1')]

    Raises:
        XorMiError: more subsets than `MAX_SUBSETS`.
    """
    require_kind("sites", sites, Sequence, give="sites, such as ['h0.0', 'h0.1']")
    min_size = whole_number("min_size", min_size, at_least=1)
    max_size = len(sites) if max_size is None else whole_number("max_size", max_size)
    n = len(sites)
    sizes = range(min_size, max_size + 1)
    count = sum(comb(n, size) for size in sizes)
    if count > MAX_SUBSETS:
        raise XorMiError(
            f"{count} subsets of {n} sites; at most {MAX_SUBSETS} are listed: give fewer sites, "
            "or max_size=2"
        )
    return list(chain.from_iterable(combinations(sites, size) for size in sizes))


def require_ready(model: object, operation: str) -> None:
    """Refuse train mode anywhere in the model, and parameters that are not finite.

    On any hooked model.

    Raises:
        XorMiError: naming the module or the parameter.
    """
    require_evaluable(require_hooked(model, operation), operation)


def require_hooked(model: object, operation: str) -> nn.Module:
    """Refuse a model without hooks; the `XorMiError` says what to give."""
    hooked = hasattr(model, "hook_dict") and hasattr(model, "hooks")
    if not isinstance(model, nn.Module) or not hooked:
        raise XorMiError(
            f"{operation} needs a hooked model (a HookedMLP, a HookedRootModule after setup() or a "
            f"TransformerBridge), not {type(model).__name__}: {how_to_bring(model)}"
        )
    return model


def require_model_first(model: object, others: Iterable[object], call: str) -> None:
    """Refuse a call whose model stands behind another argument.

    Args:
        others: the arguments that were given after the first.
        call: how the call is written, such as "patch(model, clean, corrupted, site)".

    Raises:
        XorMiError: with the order of the arguments.
    """
    if isinstance(model, nn.Module):
        return
    if any(isinstance(other, nn.Module) for other in others):
        raise XorMiError(f"the model comes first, not {shown(model)}: {call}")


def is_place(model: HookedModel, value: object) -> bool:
    """Whether a value names a place of this model and cannot be an input."""
    if isinstance(value, (Site, Unit, Edge)):
        return True
    if not isinstance(value, str):
        return False
    try:
        site_of(model, value)
    except XorMiError:
        return False
    return True


def require_mlp(model: object, operation: str) -> HookedMLP:
    """Refuse anything but a HookedMLP, if rows of bits or single units must have a meaning."""
    # the class first: a look at a protocol is slow
    if not isinstance(model, HookedMLP) and isinstance(model, HookedModel):
        raise XorMiError(
            f"{operation} needs a HookedMLP, not {type(model).__name__}; "
            "other models take patch_sweep, ablation_sweep, attribute"
        )
    return require_hooked_mlp(model, operation)


def _default_sets(model: HookedModel) -> tuple[SiteSet, ...]:
    """All hidden units of a HookedMLP, each alone."""
    if isinstance(model, HookedMLP):
        return _each_alone(model.layer_sizes, model.cfg.direct, "unit")
    raise XorMiError(
        "give sites=[Site(hook_name, index), ...]; all hidden units are the default on a "
        "HookedMLP only"
    )


class Coordinates(NamedTuple):
    """What was intervened on and how.

    Scores are comparable if these agree (Miller, Chughtai and Saunders 2024, arXiv 2407.08734).
    """

    granularity: str
    component: str
    value: str
    positions: str
    direction: str
    set: str


def coordinates(
    model: HookedModel, sets: Sequence[SiteSet], *, value: str, direction: str
) -> Coordinates:
    """The six coordinates of an intervention on these sets of sites."""
    is_mlp = isinstance(model, HookedMLP)
    flat = list(chain.from_iterable(sets))
    # no set is empty
    single = len(flat) == len(sets)
    hooks = {site.hook_name for site in flat}
    kinds = {kind_of_hook(name) if is_mlp else name.rpartition(".")[2] for name in hooks}
    whole = not any(site.index for site in flat)
    return Coordinates(
        granularity="whole hook" if whole else " and ".join(sorted(kinds)),
        # Single sites, the usual case, need no join each, which every sweep would pay for.
        component=", ".join(
            [site.label or site.name for site in flat] if single else map(name_of_set, sets)
        ),
        value=value,
        positions="none: an MLP has no sequence axis"
        if is_mlp
        else "as each site's index says; all where it is left out",
        direction=direction,
        set="one site at a time" if single else "sites of a set together",
    )


def hooks_of(sets: Iterable[SiteSet]) -> set[str]:
    """The names of the hooks that these sets of sites write."""
    return {site.hook_name for together in sets for site in together}


def edges_where_needed(model: HookedModel, sets: Iterable[SiteSet]) -> AbstractContextManager[None]:
    """The edge hooks of a HookedMLP switched on inside a `with` block, if a site needs them."""
    is_mlp = isinstance(model, HookedMLP)
    if is_mlp and any(kind_of_hook(name) == "edge" for name in hooks_of(sets)):
        return model.edge_hooks()
    return nullcontext()


def entries_of(site: Site, activation: Tensor) -> tuple[slice | int | Tensor, ...]:
    """The site's index into an activation [batch, ...], the batch axis included.

    The values that it reads have the batch axis first, and the others in their order.

    Raises:
        XorMiError: an index outside this activation.
    """
    axes = site.axes(activation.shape[1:])
    entries: list[slice | int] = []
    for entry in site.index:
        if isinstance(entry, tuple):
            # Lists on several axes are all their combinations. A slice between two of them would
            # move the batch axis, so that every axis is a list here.
            return slice(None), *map(torch.from_numpy, np.ix_(*map(np.array, axes)))
        entries.append(slice(None) if entry is None else entry)
    return slice(None), *entries
