"""places of different depth -> the direct effect of one on another, with the rest held.

Path patching (Wang et al. 2023, arXiv 2211.00593): in one run the sender takes its value from the
source input, everything between is frozen, and the receivers' values are kept; in a second run of
the base input only the receivers are set to these values. A path of more places repeats this for
each step. If the sender is a head and the receiver a later head's query, this is TransformerLens'
`get_act_patch_direct_path`.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import NamedTuple

from torch import Tensor, nn

from xor_mi.errors import XorMiError, names_listed, require_kind
from xor_mi.graph import Edge, Site, Unit, name_of_set
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._forward import OnActivation, run_hooked
from xor_mi.interventions._hooks import (
    Probed,
    probe_hooks,
    require_hooks,
    require_tensor,
    writable_hooks,
)
from xor_mi.interventions._sites import SiteSet, entries_of, require_own_names, site_sets
from xor_mi.kinds import HookedModel, OneSite, Sites
from xor_mi.model import HookedMLP, kind_of_hook
from xor_mi.model._parts import InBlock, ends_of_parts, in_block, inputs_of_heads, number_of_block

SitePath = Sequence[OneSite | Iterable[OneSite]]
"""A sender and its receivers, one or several; in a longer path each receives and then sends."""


class Hop(NamedTuple):
    """One step of a path.

    Attributes:
        senders: the sites that take a new value.
        receivers: the sites that are read afterwards.
        frozen: the sites that keep their values from the base input, except the senders; a site
            that is a receiver as well is read first.
    """

    senders: SiteSet
    receivers: SiteSet
    frozen: SiteSet


class Steps(NamedTuple):
    """A path that can be run: its name, and its steps."""

    name: str
    hops: tuple[Hop, ...]


class Points:
    """The hook points of a model: the order in which they are reached, and their other names."""

    def __init__(
        self, model: HookedModel, examples: Examples, max_batch_bytes: int | None = None
    ) -> None:
        self.model = model
        self.order = _firing_order(model, examples[:1])
        self.names: dict[int, list[str]] = {}
        self.hooks = model.hook_dict  # once: a bridge makes it anew every time
        for name, point in self.hooks.items():
            self.names.setdefault(id(point), []).append(name)
        self.probed: Probed | None = None
        writable = list(model.hook_dict)
        if not isinstance(model, HookedMLP):
            # all hooks: those that a path does not lead through are frozen, and so written too
            self.probed = probe_hooks(
                model, examples, asked=model.hook_dict, max_batch_bytes=max_batch_bytes
            )
            writable = writable_hooks(self.probed)
        self.writable = set(writable)

    def time(self, hook_name: str) -> int:
        """When a hook point is reached.

        Raises:
            XorMiError: a hook point that is not reached.
        """
        point = id(self.hooks[hook_name])
        if point not in self.order:
            if self.probed is not None:
                # raises, and says why the hook is not reached
                require_hooks(self.model, self.probed, [hook_name])
            raise XorMiError(
                f"hook '{hook_name}' never fired; a path leads through hooks that are reached"
            )
        return self.order[point]

    def place(self, hook_name: str) -> InBlock | None:
        """The block and part that a hook point lies in."""
        return in_block(self.names[id(self.hooks[hook_name])])

    def is_same(self, a: str, b: str) -> bool:
        """Whether two names are one hook point."""
        return self.hooks[a] is self.hooks[b]


def _firing_order(model: HookedModel, example: Examples) -> dict[int, int]:
    """Each hook point by identity -> the position at which it is first reached."""
    order: dict[int, int] = {}

    def note(point: nn.Module, *_: object) -> None:
        order.setdefault(id(point), len(order))

    points = {id(point): point for point in model.hook_dict.values()}
    handles = [point.register_forward_hook(note) for point in points.values()]
    try:
        require_tensor(example.call(model), len(example))
    finally:
        for handle in handles:
            handle.remove()
    return order


def is_site_path(model: HookedModel, path: object) -> bool:
    """Whether this is a path of sites, instead of a HookedMLP's units by name."""
    if not isinstance(model, HookedMLP):
        return True
    stops = path if isinstance(path, (list, tuple)) else []
    return any(
        not isinstance(stop, (str, Unit, Edge))
        or (isinstance(stop, str) and stop in model.hook_dict)
        for stop in stops
    )


def read_steps(model: HookedModel, path: object, frozen: Sites | None, points: Points) -> Steps:
    """A path that a caller names, with what is frozen in each step.

    Raises:
        XorMiError: fewer than two places, a receiver that is not reached after its sender, or
            nothing that says what is frozen.
    """
    require_kind(
        "a path",
        path,
        (list, tuple),
        give="a list of paths, [(sender, receivers)], each a Site or several",
    )
    assert isinstance(path, (list, tuple))
    stops = [site_sets(model, [stop])[0] for stop in path]
    if len(stops) < 2:
        raise XorMiError(
            f"a path of {len(stops)} places; give a sender and its receivers, such as "
            "(Site(...), Site(...))"
        )
    require_own_names(stops)
    for stop in stops:
        _require_no_edges(model, stop)
    hops: list[Hop] = []
    for senders, receivers in pairwise(stops):
        _require_later(senders, receivers, points)
        if frozen is None:
            between = _default_frozen(model, senders, receivers, points)
        else:
            between = tuple(chain.from_iterable(site_sets(model, frozen)))
        hops.append(Hop(senders, receivers, between))
    name = " -> ".join(name_of_set(stop) for stop in stops)
    return Steps(name, tuple(hops))


def _require_no_edges(model: HookedModel, stop: SiteSet) -> None:
    for site in stop:
        if isinstance(model, HookedMLP) and kind_of_hook(site.hook_name) == "edge":
            raise XorMiError(
                f"{site.name} is an edge; a path is named by its units, such as "
                "['x0', 'h0.1', 'y0']"
            )


def _require_later(senders: SiteSet, receivers: SiteSet, points: Points) -> None:
    """Refuse a receiver that is not reached after its sender: nothing travels back."""
    first = min(senders, key=lambda site: points.time(site.hook_name))
    for receiver in receivers:
        same = [one for one in senders if points.is_same(one.hook_name, receiver.hook_name)]
        if same or points.time(receiver.hook_name) < points.time(first.hook_name):
            where = "at the same hook as" if same else "reached before"
            raise XorMiError(
                f"{receiver.name} is {where} {(same or [first])[0].name}, so nothing travels "
                "there; name the sender first, and receivers that come after it"
            )


def _default_frozen(
    model: HookedModel, senders: SiteSet, receivers: SiteSet, points: Points
) -> SiteSet:
    """What is held between senders and receivers if the caller does not say it."""
    if isinstance(model, HookedMLP):
        return _hidden_between(model, senders, receivers)
    ends = ends_of_parts(model.hook_dict)
    if not ends:
        hooks = names_listed(sorted(points.writable, key=points.time))
        raise XorMiError(
            f"nothing says what is held between the places of a path in a {type(model).__name__}, "
            f"whose hooks are {hooks}; give frozen=[Site(...), ...] of these, or frozen=[] to hold "
            "nothing"
        )
    start = min(points.time(site.hook_name) for site in senders)
    end = max(points.time(site.hook_name) for site in receivers)
    frozen: list[Site] = []
    for name, place in ends.items():
        if name not in points.writable or not start <= points.time(name) <= end:
            continue
        # Sites before the end of a sender's own part are on the path, and so is that end.
        sending = [one for one in senders if _lies_before(one, name, place, points)]
        receiving = [one for one in receivers if _lies_after(one, name, place, points)]
        if sending:
            frozen += [Site(one.hook_name) for one in sending]
            frozen += _other_inputs(sending, place, points)
        elif receiving:
            frozen += [Site(one.hook_name) for one in receiving]
        else:
            frozen.append(Site(name))
    return tuple(dict.fromkeys(frozen))


def _lies_before(site: Site, end: str, place: InBlock, points: Points) -> bool:
    """Whether a site acts only through the end of this part."""
    is_inside = points.place(site.hook_name) == place
    return is_inside and points.time(site.hook_name) < points.time(end)


def _lies_after(site: Site, end: str, place: InBlock, points: Points) -> bool:
    """Whether a site holds what the end of this part turns into, such as the sum over heads."""
    is_inside = points.place(site.hook_name) == place
    return is_inside and points.time(site.hook_name) > points.time(end)


def _other_inputs(senders: Sequence[Site], place: InBlock, points: Points) -> list[Site]:
    """If a query, key or value sends, all of these are held except the sender's own entries."""
    names = [name for name in inputs_of_heads(place.block) if name in points.writable]
    is_one = any(points.is_same(site.hook_name, name) for site in senders for name in names)
    return [Site(name) for name in names] if is_one else []


def _hidden_between(model: HookedMLP, senders: SiteSet, receivers: SiteSet) -> SiteSet:
    """The hidden layers between, and all other entries of the senders' own hooks."""
    first = min(_layer(model, site) for site in senders)
    last = max(_layer(model, site) for site in receivers)
    own = {_layer(model, site) for site in senders}
    layers = [layer for layer in range(first + 1, last) if layer not in own]
    units = [unit for unit in model.units if unit.index == 0 and unit.layer in layers]
    hooks = [model.hook_site(unit)[0] for unit in units]
    return tuple(Site(name) for name in dict.fromkeys([*hooks, *(s.hook_name for s in senders)]))


def _layer(model: HookedMLP, site: Site) -> int:
    """The layer that a hook lies in: -1 for the inputs, the last one for the outputs."""
    block = number_of_block(site.hook_name)
    if block is not None:
        return block
    return -1 if kind_of_hook(site.hook_name) == "input" else len(model.layer_sizes) - 2


def hooks_held(steps: Steps) -> set[str]:
    """The hooks whose values on plain inputs are needed."""
    return {
        *(site.hook_name for site in steps.hops[0].senders),
        *(site.hook_name for hop in steps.hops for site in hop.frozen),
    }


def places_of(steps: Steps) -> list[Site]:
    """The places that a path leads through, from its start to its end."""
    stops = [steps.hops[0].senders, *(hop.receivers for hop in steps.hops)]
    return [site for together in stops for site in together]


def sites_in(steps: Steps) -> list[Site]:
    """All sites of a path."""
    return [site for hop in steps.hops for together in hop for site in together]


def along_sites(
    model: HookedModel,
    steps: Steps,
    points: Points,
    examples: Examples,
    seen: Mapping[str, Tensor],
    base: Tensor,
    source: Tensor,
) -> Tensor:
    """The outputs of base inputs after the first sender's value from the source has travelled.

    Args:
        seen: what the hooks saw on all inputs, hook name -> [input, ...].
        base, source: numbers of inputs, [pair].
    """
    inputs = examples[base]
    values = {site.hook_name: seen[site.hook_name][source] for site in steps.hops[0].senders}
    for hop in steps.hops:
        held = {site.hook_name: seen[site.hook_name][base] for site in hop.frozen}
        kept: dict[str, Tensor] = {}
        functions: dict[str, OnActivation] = {}
        for names in _by_point([*hop.receivers, *hop.frozen, *hop.senders], points):
            step = partial(_hop, names, hop, held, values, kept)
            functions[names[0]] = step
        run_hooked(model, inputs, functions)
        values = kept
    last = steps.hops[-1].receivers
    functions = {
        names[0]: partial(_written, [site for site in last if site.hook_name in names], values)
        for names in _by_point(last, points)
    }
    return run_hooked(model, inputs, functions)


def _by_point(sites: Iterable[Site], points: Points) -> list[list[str]]:
    """The names of the sites' hooks, those of one hook point together."""
    by_point: dict[int, list[str]] = {}
    for site in sites:
        names = by_point.setdefault(id(points.hooks[site.hook_name]), [])
        if site.hook_name not in names:
            names.append(site.hook_name)
    return list(by_point.values())


def _hop(
    names: Sequence[str],
    hop: Hop,
    held: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    kept: dict[str, Tensor],
    activation: Tensor,
) -> Tensor | None:
    """At one hook point: read the receivers, then write the frozen sites and the senders."""
    for site in hop.receivers:
        if site.hook_name in names:
            kept[site.hook_name] = activation.clone()
    frozen = [site for site in hop.frozen if site.hook_name in names]
    senders = [site for site in hop.senders if site.hook_name in names]
    if not frozen and not senders:
        return None
    new = _written(frozen, held, activation)
    return _written(senders, values, new)


def _written(sites: Sequence[Site], values: Mapping[str, Tensor], activation: Tensor) -> Tensor:
    """A copy of an activation with the sites' entries from these values."""
    new = activation.clone()
    for site in sites:
        entries = entries_of(site, activation)
        new[entries] = values[site.hook_name][entries].to(new.dtype)
    return new
