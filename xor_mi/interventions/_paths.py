"""a path through the network -> the effect that travels along it and nowhere else.

Patching a unit cannot tell mediation (A acts on C through B) from A acting on C beside B. Patching
a path can: only the first unit's change is carried over, along the named edges; every other edge
keeps its value from the unpatched run. A direct connection is a path of its own, from an input
straight to an output.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from math import prod

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, require_at_most, require_kind, require_memory
from xor_mi.graph import Edge, Site, Unit, layers_of
from xor_mi.interventions._patching import PatchSweep, read_pairs, require_direction, source_of
from xor_mi.interventions._readout import readers_of
from xor_mi.interventions._run import (
    Layout,
    bytes_per_number,
    cache_all,
    hook_that_keeps,
    hooks_that_write,
    inputs_per_run,
    run_hooked,
)
from xor_mi.interventions._sites import (
    coordinates,
    entries_of,
    require_mlp,
    require_ready,
    site_of,
)
from xor_mi.kinds import Direction, Metrics, Pairs, Place
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar

Route = tuple[Unit, ...]
"""The units of a path, each joined by an edge to the one before."""


MAX_PATHS = 1_000_000
"""More paths than this are refused rather than listed."""


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
    model: HookedMLP,
    paths: Iterable[Sequence[Place]],
    pairs: Pairs | None = None,
    *,
    metrics: Metrics | None = None,
    direction: Direction = "denoising",
    output: int | None = None,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> PatchSweep:
    """Patch each path for every (clean, corrupted) pair.

    A path names units from layer to layer, such as ["h0.1", "h1.0", "y0"], or an input and an
    output that are joined by a direct connection, ["x0", "y0"]; where it ends at a hidden unit,
    that unit's new value acts on everything after it.

    Args:
        paths: sequences of units; `paths_from` lists all that leave a unit.
        pairs, direction: as in `patch_sweep`.
        metrics: as in `patch_sweep`; by default the score of decision `output`.
        output: the number of the decision; by default that of the output the paths end at, or 0
            where they end at hidden units. That is also what is decided. By argmax over two outputs
            there is one decision, wherever the paths end.
        max_batch_bytes: as in `patch_sweep`.

    Raises:
        XorMiError: a path that skips a layer or has fewer than two units, paths that end at
            different outputs or at another one than `output`, and all that `patch_sweep` refuses.
    """
    require_kind("paths", paths, Iterable, give="paths, such as [['x0', 'h0.1', 'y0']]")
    require_mlp(model, "path patching")
    require_ready(model, "path patching")
    require_direction(direction)
    read = read_pairs(model, pairs)
    n_pairs = len(read.names)
    routes = [_route(model, path) for path in paths]
    if not read.names or not routes:
        raise XorMiError(
            f"{n_pairs} pairs and {len(routes)} paths given; a sweep needs at least one of each"
        )
    readers = readers_of(
        model, metrics, _output_read(model, routes, output), read.inputs[read.clean]
    )
    require_memory(
        len(readers.functions) * len(routes) * n_pairs * bytes_per_number(model),
        what=f"the results of {len(routes):,} paths on {n_pairs:,} pairs",
        do="give fewer paths or pairs",
    )

    denoising = direction == "denoising"
    base, source = (read.corrupted, read.clean) if denoising else (read.clean, read.corrupted)
    starts = [site_of(model, route[0]).hook_name for route in routes]
    plain, cache = cache_all(model, read.inputs, starts, max_batch_bytes=max_batch_bytes)
    # [function, (clean, corrupted), pair]
    unpatched = readers.read_runs(plain[torch.stack([read.clean, read.corrupted])])
    # [function, path, pair]
    values = unpatched.new_empty(len(unpatched), len(routes), n_pairs)
    # Only now, so that the runs above are the network's own and not sums over its edges.
    with model.edge_hooks():
        at_once = inputs_per_run(model, read.inputs, max_batch_bytes)
        for number, route in enumerate(
            progress_bar(routes, doing="patching paths", unit="path", progress=progress)
        ):
            start = site_of(model, route[0])
            carried = cache[start.hook_name][entries_of(start, cache[start.hook_name])]
            outputs = [
                _along(model, read.inputs[base[part]], carried[source[part]], route)
                for part in torch.arange(n_pairs, device=base.device).split(at_once)
            ]
            values[:, number] = readers.read(torch.cat(outputs))

    n_metrics = len(readers.metrics)
    sets = tuple((_site_of_route(model, route),) for route in routes)
    alone = f"{source_of(direction)}, along the path alone"
    # Where a path ends says little about it; what was patched are its edges.
    of_sites = coordinates(model, sets, value=alone, direction=direction)
    return PatchSweep(
        pairs=read.names,
        sites=sets,
        direction=direction,
        metrics=readers.metrics,
        clean=unpatched[:n_metrics, 0],
        corrupted=unpatched[:n_metrics, 1],
        values=values[:n_metrics],
        coordinates=of_sites._replace(granularity="path", set="the edges of one path together"),
        decided=readers.decided(unpatched, values),
        rounding=torch.zeros(n_metrics, dtype=torch.float64),
    )


def _output_read(model: HookedMLP, routes: Sequence[Route], output: int | None) -> int:
    """The one output all routes end at, or the one asked for where they end at hidden units.

    Where several outputs are one decision, it is read whichever of them the routes end at.
    """
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
        # [pair, target, source], one number everywhere; only the edge's own entry is written.
        everywhere = term[:, None, None].expand(-1, *weights.shape)
        hooks = hooks_that_write([(edge,)], layout, lambda *_, new=everywhere: new)
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


def _site_of_route(model: HookedMLP, route: Route) -> Site:
    """The last unit of a route, called by the whole route."""
    end = site_of(model, route[-1])
    return Site(end.hook_name, end.index, label=" -> ".join(unit.name for unit in route))


def _unit(model: HookedMLP, place: Place) -> Unit:
    unit = model.place(place)
    if isinstance(unit, Edge):
        raise XorMiError(f"{unit.name} is an edge; a path is named by its units")
    return unit


def _route(model: HookedMLP, path: Sequence[Place]) -> Route:
    require_kind("a path", path, (list, tuple), give="units in order, such as ['x0', 'h0.1', 'y0']")
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
