"""a path through the network -> the effect that travels along it and nowhere else.

Patching a unit cannot tell mediation (A acts on C through B) from A acting on C beside B. Patching
a path can: only the first unit's change is carried over, along the named edges; every other edge
keeps its value from the unpatched run."""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Edge, Site, Unit, layers_of
from xor_mi.interventions._patching import DIRECTIONS, PatchSweep, read_pairs
from xor_mi.interventions._sites import edges_on, require_mlp, require_ready, site_of
from xor_mi.metrics import logit
from xor_mi.model import HookedMLP


def paths_from(model: Any, start: Any, end: Any = None) -> list[tuple[Unit, ...]]:
    """Every path from a unit or input to another unit or output (to every output by default).

    >>> from xor_mi.handmade import textbook_xor
    >>> paths_from(textbook_xor(), "x0")
    [(x0, h0.0, y0), (x0, h0.1, y0)]
    """
    require_mlp(model, "listing paths")
    first = _unit(model, start)
    last = layers_of(model.layer_sizes)[-1] if end is None else [_unit(model, end)]
    between = [
        layer
        for layer in layers_of(model.layer_sizes)
        if first.layer < layer[0].layer < last[0].layer
    ]
    return [
        (first, *middle, unit)
        for middle in product(*between)
        for unit in last
        if unit.layer > first.layer
    ]


@torch.no_grad()
def path_sweep(
    model: Any,
    paths: Sequence[Sequence[Any]],
    pairs: Any = None,
    *,
    direction: str = "denoising",
    output: int = 0,
) -> PatchSweep:
    """Patch each path for every (clean, corrupted) pair. A path names units from layer to layer,
    such as ["h0.1", "h1.0", "y0"]; where it ends at a hidden unit, that unit's new value acts on
    everything after it. The metric is the logit of the output a path ends at, or of `output` where
    it ends at a hidden unit.

    Raises:
        XorMiError: a path that skips a layer or has fewer than two units, and all that
            `patch_sweep` refuses.
    """
    require_mlp(model, "path patching")
    require_ready(model, "path patching")
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS, where="directions")
    labels, clean, corrupted = read_pairs(model, pairs)
    named = [_route(model, path) for path in paths]
    if not labels or not named:
        raise XorMiError(
            f"{len(labels)} pairs and {len(named)} paths given; a sweep needs at least one of each"
        )
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    _, source_cache = model.run_with_cache(source, return_cache_object=False)
    ends = [route[-1].index if route[-1].is_output else output for route in named]
    if len(set(ends)) > 1:
        raise XorMiError(
            f"these paths end at outputs {', '.join(f'y{k}' for k in sorted(set(ends)))}; sweep the paths to one output at a time"
        )
    values = torch.stack(
        [logit(_along(model, base, source_cache, route), ends[0]) for route in named]
    )
    plain = torch.stack([logit(model(inputs), ends[0]) for inputs in (clean, corrupted)])
    sets = tuple(
        (Site(*model.hook_site(route[-1]), label=" -> ".join(unit.name for unit in route)),)
        for route in named
    )
    shown = (tuple(labels), sets, direction, ("logit",), "paths")
    return PatchSweep(*shown, plain[:1], plain[1:], values[None], model.threshold, plain, values)


def _along(
    model: HookedMLP, base: Tensor, source_cache: dict[str, Tensor], route: Sequence[Unit]
) -> Tensor:
    """Outputs [input, output] after the first unit's source value has travelled along the route."""
    hook_name, index = model.hook_site(route[0])
    value = source_cache[hook_name][(slice(None), *index)]
    edges = [Edge(src, dst) for src, dst in pairwise(route)]
    with edges_on(model, [(site_of(model, edges[0]),)]):
        for edge in edges:
            edge_hook, (j, i) = model.hook_site(edge)
            term = value * model.linears[edge.dst.layer].weight[j, i]
            with model.hooks(fwd_hooks=[(edge_hook, _writer((j, i), term))]):
                outputs, cache = model.run_with_cache(base, return_cache_object=False)
            hook_name, index = model.hook_site(edge.dst)
            value = cache[hook_name][(slice(None), *index)]
        if route[-1].is_output:
            return outputs
        with model.hooks(fwd_hooks=[(hook_name, _writer(index, value))]):
            return model(base)


def _writer(index: tuple[int, ...], value: Tensor) -> Any:
    def write(activation: Tensor, hook: Any) -> Tensor:  # noqa: ARG001 (a hook's signature)
        new = activation.clone()
        new[(slice(None), *index)] = value
        return new

    return write


def _unit(model: HookedMLP, asked: Any) -> Unit:
    place = model.place(asked)
    if isinstance(place, Edge):
        raise XorMiError(f"{place.name} is an edge; a path is named by its units")
    return place


def _route(model: HookedMLP, path: Sequence[Any]) -> tuple[Unit, ...]:
    route = tuple(_unit(model, one) for one in path)
    if len(route) < 2 or any(b.layer != a.layer + 1 for a, b in pairwise(route)):
        names = " -> ".join(unit.name for unit in route)
        raise XorMiError(
            f"'{names}' is no path: give two units or more, each in the layer after the one before"
        )
    return route
