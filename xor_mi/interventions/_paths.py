"""a path through the network -> the effect that travels along it and nowhere else.

Patching a unit cannot tell mediation (A acts on C through B) from A acting on C beside B. Patching
a path can: only the first unit's change is carried over, along the named edges; every other edge
keeps its value from the unpatched run. A direct connection is a path too, from an input straight to
an output. On other models a path leads from site to site (`_site_paths.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, pairwise, product
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, require_at_most, require_kind, require_memory
from xor_mi.graph import Edge, Site, Unit, layers_of
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._forward import (
    OnActivation,
    bytes_per_number,
    cache_all,
    hook_that_keeps,
    inputs_per_run,
    run_hooked,
)
from xor_mi.interventions._hooks import warn_of_unread
from xor_mi.interventions._pairs import names_of_pairs, read_pairs
from xor_mi.interventions._patching import PatchSweep, require_direction, rounding_of, source_of
from xor_mi.interventions._placed import shapes_at
from xor_mi.interventions._readout import readers_of, warn_of_cells
from xor_mi.interventions._site_paths import (
    Points,
    along_sites,
    hooks_held,
    is_site_path,
    places_of,
    read_steps,
    sites_in,
)
from xor_mi.interventions._sites import (
    SiteSet,
    coordinates,
    entries_of,
    require_mlp,
    require_own_names,
    require_ready,
    site_of,
)
from xor_mi.interventions._write import Layout, hooks_that_write
from xor_mi.kinds import (
    Decide,
    Direction,
    HookedModel,
    Metrics,
    ModelKwargs,
    OneSite,
    Pairs,
    Place,
    Sites,
)
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.values import own_score_scale

Route = tuple[Unit, ...]
"""The units of a path, each joined by an edge to the one before."""


MAX_PATHS = 1_000_000
"""More paths than this are refused rather than listed."""

THE_REST = "the receivers of one path together, what is frozen held before"
"""How several places on a path of sites are patched together."""


def paths_from(model: HookedMLP, start: Place, end: Place | None = None) -> list[Route]:
    """Every path from a unit or input to another unit or output (to every output by default).

    Where there are direct connections from inputs to outputs, they come last.

    >>> from xor_mi.handmade import textbook_xor
    >>> paths_from(textbook_xor(), "x0")
    [(x0, h0.0, y0), (x0, h0.1, y0)]

    Raises:
        XorMiError: an edge or an unknown unit, or more paths than `MAX_PATHS`.
    """
    require_mlp(model, "listing paths")
    layers = layers_of(model.layer_sizes)
    first = _unit(model, start)
    ends = layers[-1] if end is None else [_unit(model, end)]
    between = [layer for layer in layers if first.layer < layer[0].layer < ends[0].layer]
    later = [unit for unit in ends if unit.layer > first.layer]
    require_at_most(
        prod(map(len, [*between, later])),
        MAX_PATHS,
        what=f"paths from {first.name}",
        do="start at a later unit, or give the end",
    )
    routes: list[Route] = [(first, *middle, last) for *middle, last in product(*between, later)]
    return routes + [(first, last) for last in later if _is_direct(model, first, last)]


@torch.no_grad()
def path_sweep(
    model: HookedModel,
    paths: Iterable[Sequence[OneSite | Iterable[OneSite]]],
    pairs: Pairs | None = None,
    *,
    frozen: Sites | None = None,
    metrics: Metrics | None = None,
    direction: Direction = "denoising",
    decide: Decide | None = None,
    output: int | None = None,
    model_kwargs: ModelKwargs | None = None,
    pair_names: Sequence[str] | None = None,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> PatchSweep:
    """Patch each path for every (clean, corrupted) pair.

    On a HookedMLP a path names units from layer to layer, such as ["h0.1", "h1.0", "y0"], or an
    input and an output that are joined by a direct connection, ["x0", "y0"]; if it ends at a hidden
    unit, that unit's new value acts on everything after it.

    On any model a path is (sender, receiver), each a `Site` or several: the sender takes its value
    from the source, everything `frozen` keeps its value from the base, and the values that the
    receivers then have are written into a second run, in which nothing is frozen. In a longer path
    each receiver is the next sender. The receiver may be a later head's query, or the last residual
    stream for the direct effect on the outputs.

    Args:
        model: a `HookedMLP`, any `HookedRootModule`, or a `TransformerBridge`.
        paths: sequences of units, which `paths_from` lists, or of sites.
        pairs, direction, decide, model_kwargs, pair_names: as in `patch_sweep`.
        frozen: sites that are held while a sender's value travels to its receivers; a receiver
            among them is read first. By default, in models with TransformerLens' names, every other
            head and the output of every MLP (within the sender's own part, the rest of its hook);
            in a HookedMLP the hidden layers between. In other models it must be given; [] holds
            nothing.
        metrics: as in `patch_sweep`; by default the score of decision `output`.
        output: the number of the decision; by default that of the output the paths end at, or 0 if
            they end at hidden units or at sites. Flips are those of the same decision. By argmax
            over two outputs there is one decision, wherever the paths end.
        max_batch_bytes: as in `patch_sweep`.

    Raises:
        XorMiError: a path that skips a layer or has fewer than two places, a receiver that is not
            reached after its sender, nothing that says what is frozen, paths that end at different
            outputs or at another one than `output`, and all that `patch_sweep` refuses.
    """
    require_kind("paths", paths, Iterable, give="paths, such as [['x0', 'h0.1', 'y0']]")
    require_ready(model, "path patching")
    require_direction(direction)
    read = read_pairs(model, pairs, model_kwargs)
    n_pairs = len(read.names)
    called = names_of_pairs(read.names, pair_names)
    given = list(paths)
    if not read.names or not given:
        raise XorMiError(
            f"{n_pairs} pairs and {len(given)} paths given; a sweep needs at least one of each"
        )
    travels = _travels(model, given, frozen, read.examples, max_batch_bytes)
    asked = _output_read(model, [one.units for one in travels if one.units], output)
    readers = readers_of(model, metrics, asked, read.inputs[read.clean], decide)
    require_memory(
        len(readers.functions) * len(travels) * n_pairs * bytes_per_number(model),
        what=f"the results of {len(travels):,} paths on {n_pairs:,} pairs",
        do="give fewer paths or pairs",
    )

    denoising = direction == "denoising"
    base, source = (read.corrupted, read.clean) if denoising else (read.clean, read.corrupted)
    hooks = set(chain.from_iterable(travel.hooks for travel in travels))
    plain, seen = cache_all(model, read.examples, hooks, max_batch_bytes=max_batch_bytes)
    cleans, corrupteds = (list(side) for side in zip(*read.names, strict=True))
    clean_outputs, corrupted_outputs = plain[read.clean], plain[read.corrupted]
    of_clean = readers.read(clean_outputs, cleans)
    # [function, (clean, corrupted), pair]
    unpatched = torch.stack([of_clean, readers.read(corrupted_outputs, corrupteds)], dim=1)
    # [function, path, pair]
    values = unpatched.new_empty(len(unpatched), len(travels), n_pairs)
    # Only now, so that the runs above are the network's own instead of sums over its edges.
    with _edge_hooks(model, travels):
        at_once = inputs_per_run(model, read.examples, max_batch_bytes)
        parts = torch.arange(n_pairs, device=base.device).split(at_once)
        for number, travel in enumerate(
            progress_bar(travels, doing="patching paths", unit="path", progress=progress)
        ):
            outputs = [travel.run(read.examples, seen, base[part], source[part]) for part in parts]
            values[:, number] = readers.read_runs(torch.cat(outputs)[None])[:, 0]

    _warn_of_no_effects(model, read.examples, travels, values, unpatched[:, int(denoising)])
    n_metrics = len(readers.metrics)
    names = [travel.name for travel in travels]
    warn_of_cells(readers.metrics, values[:n_metrics], names, [(name,) for name in called])
    sets = tuple((_called(one.ends[0], one.name),) for one in travels)
    alone = f"{source_of(direction)}, along the path alone"
    # The end of a path says little about it; what was patched is the path.
    of_sites = coordinates(model, sets, value=alone, direction=direction)
    what = {"the edges of one path together" if one.units else THE_REST for one in travels}
    return PatchSweep(
        pairs=read.names,
        sites=sets,
        direction=direction,
        metrics=readers.metrics,
        clean=unpatched[:n_metrics, 0],
        corrupted=unpatched[:n_metrics, 1],
        values=values[:n_metrics],
        coordinates=of_sites._replace(granularity="path", set=", or ".join(sorted(what))),
        decided=readers.decided(unpatched, values),
        rounding=rounding_of(model, readers, (clean_outputs, corrupted_outputs), unpatched),
        pair_names=called,
        scale=own_score_scale(model, read.inputs) if metrics is None else 0.0,
    )


def _warn_of_no_effects(
    model: HookedModel,
    examples: Examples,
    travels: Sequence["_Travel"],
    values: Float[Tensor, "function path pair"],
    before: Float[Tensor, "function pair"],
) -> None:
    """If a path of sites changes no number, warn of places that nothing reads."""
    if isinstance(model, HookedMLP):
        return
    suspects: set[str] = set()
    read: set[str] = set()
    for number, travel in enumerate(travels):
        same = torch.equal(values[:, number], before)
        (suspects if same else read).update(site.hook_name for site in travel.places)
    warn_of_unread(model, examples, suspects - read)


class _Travel(NamedTuple):
    """A path that can be run.

    Attributes:
        ends: where it ends.
        places: where it starts, leads through and ends.
        hooks: the hooks whose values on plain inputs it needs.
        units: of a path along the edges of a HookedMLP; empty for one of sites.
        run: examples, what the hooks saw on all of them, and the numbers of base and source inputs
            [pair] -> the outputs of the base inputs, after the first place's value from the source
            has travelled.
    """

    name: str
    ends: SiteSet
    places: SiteSet
    hooks: frozenset[str]
    units: Route
    run: Callable[[Examples, Mapping[str, Tensor], Tensor, Tensor], Tensor]


def _travels(
    model: HookedModel,
    paths: Sequence[object],
    frozen: Sites | None,
    examples: Examples,
    max_batch_bytes: int | None,
) -> list[_Travel]:
    """The paths that a caller names, along edges or between sites."""
    of_sites = [is_site_path(model, path) for path in paths]
    if frozen is not None and not any(of_sites):
        raise XorMiError(
            "frozen is for paths of sites; along the edges of a HookedMLP nothing else changes "
            "anyway: leave it out"
        )
    points = Points(model, examples, max_batch_bytes) if any(of_sites) else None
    steps_of = {
        number: read_steps(model, path, frozen, points)
        for number, path in enumerate(paths)
        if points is not None and of_sites[number]
    }
    if points is not None:
        everywhere = list(chain.from_iterable(map(sites_in, steps_of.values())))
        require_own_names([(site,) for site in everywhere])
        shapes_at(model, examples, tuple(dict.fromkeys(everywhere)))
    travels: list[_Travel] = []
    for number, path in enumerate(paths):
        if points is None or number not in steps_of:
            assert isinstance(model, HookedMLP)  # all other paths are of sites
            travels.append(_on_edges(model, _route(model, path)))
            continue
        steps = steps_of[number]
        run = partial(along_sites, model, steps, points)
        travels.append(
            _Travel(
                name=steps.name,
                ends=steps.hops[-1].receivers,
                places=tuple(places_of(steps)),
                hooks=frozenset(hooks_held(steps)),
                units=(),
                run=run,
            )
        )
    return travels


def _on_edges(model: HookedMLP, route: Route) -> _Travel:
    start, end = site_of(model, route[0]), site_of(model, route[-1])

    def run(examples: Examples, seen: Mapping[str, Tensor], base: Tensor, source: Tensor) -> Tensor:
        at_start = seen[start.hook_name]
        carried = at_start[entries_of(start, at_start)]
        return _along(model, examples.inputs[base], carried[source], route)

    name = " -> ".join(unit.name for unit in route)
    return _Travel(name, (end,), (start, end), frozenset([start.hook_name]), route, run)


def _called(site: Site, name: str) -> Site:
    """A site under the name of the path that ends there."""
    return Site(site.hook_name, site.index, label=name)


def _edge_hooks(model: HookedModel, travels: Sequence[_Travel]) -> AbstractContextManager[None]:
    """The edge hooks switched on inside a `with` block, if a path leads along edges."""
    is_needed = any(travel.units for travel in travels)
    return model.edge_hooks() if is_needed and isinstance(model, HookedMLP) else nullcontext()


def _output_read(model: HookedModel, routes: Sequence[Route], output: int | None) -> int:
    """The output that all routes end at, or the output asked for if they end elsewhere.

    If two outputs make one decision, that decision is read, whichever of them the routes end at.
    """
    if not isinstance(model, HookedMLP):
        return output or 0
    asked = None if output is None else model.require_output(output)
    ends = sorted({route[-1].index for route in routes if route[-1].is_output})
    if model.cfg.n_decisions == 1 or not ends:
        return asked or 0
    if len(ends) > 1:
        raise XorMiError(
            f"these paths end at outputs {', '.join(f'y{k}' for k in ends)}; "
            "sweep the paths to one output at a time"
        )
    if asked not in (None, ends[0]):
        raise XorMiError(
            f"these paths end at y{ends[0]}, and nothing travels along them to y{asked}; "
            f"give output={ends[0]}, or leave it out"
        )
    return ends[0]


def _along(model: HookedMLP, base: Tensor, value: Tensor, route: Route) -> Tensor:
    """Outputs [input, output] after the first unit's value [input] has travelled along the route.

    Each edge is one forward of the base inputs in which that edge alone carries the new value; what
    its target becomes is carried on. The last forward holds the outputs.
    """
    layout = Layout(n_plain=0, n_sets=1, n_base=len(base))
    outputs = base
    for src, dst in pairwise(route):
        edge, target = site_of(model, Edge(src, dst)), site_of(model, dst)
        weights = _weights_into(model, src, dst)
        term = value * weights[dst.index, src.index]
        # [pair, target, source], with one number in all entries; only the edge's own entry is
        # written.
        everywhere = term[:, None, None].expand(-1, *weights.shape)
        hooks: dict[str, OnActivation] = {
            **hooks_that_write([(edge,)], layout, lambda *_, new=everywhere: new)
        }
        at_target: list[Tensor] = []
        hooks[target.hook_name] = hook_that_keeps(target.hook_name, len(base), at_target)
        outputs = run_hooked(model, base, hooks)
        # Each hook fires exactly once in a forward: there is one activation.
        value = at_target[0][entries_of(target, at_target[0])]
    return outputs


def _weights_into(model: HookedMLP, src: Unit, dst: Unit) -> Tensor:
    """The weight matrix that holds this edge, [target, source]."""
    if model.direct is not None and _is_direct(model, src, dst):
        return model.direct.weight
    return model.linears[dst.layer].weight


def _is_direct(model: HookedMLP, src: Unit, dst: Unit) -> bool:
    """Whether a direct connection joins these two: an input and an output, past hidden layers."""
    return model.cfg.direct and src.layer < 0 and dst.is_output


def _unit(model: HookedMLP, place: Place) -> Unit:
    unit = model.place(place)
    if isinstance(unit, Edge):
        raise XorMiError(f"{unit.name} is an edge; a path is named by its units")
    return unit


def _route(model: HookedMLP, path: object) -> Route:
    require_kind(
        "a path", path, (list, tuple), give="a list of paths, such as [['x0', 'h0.1', 'y0']]"
    )
    assert isinstance(path, (list, tuple))
    route = tuple(_unit(model, place) for place in path)
    joined = [b.layer == a.layer + 1 or _is_direct(model, a, b) for a, b in pairwise(route)]
    if len(route) < 2 or not all(joined):
        names = " -> ".join(unit.name for unit in route)
        direct = ", or an input and an output" if model.cfg.direct else ""
        raise XorMiError(
            f"'{names}' is not a path: give two units or more, each in the layer after the one "
            f"before{direct}"
        )
    return route
