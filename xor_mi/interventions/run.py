"""inputs x sets of sites -> one batched forward -> what comes out under every intervention.

Every kind of intervention here (patching, ablation, interchange) says the same three things: on which inputs to run, which sites to write
together, and the value each site gets for each input. `intervene` lays all of them out along the batch, runs the model once (or in as few
chunks as a memory bound allows), and reads the metrics. It checks that every site it meant to write was reached exactly once.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from xor_mi.errors import XorMiError
from xor_mi.interventions.sites import Site, SiteSet, check_index
from xor_mi.model import HookedMLP

Metrics = Mapping[str, Callable[[Tensor], Tensor]]
"""Names of metrics -> functions of the model's outputs [batch, ...] giving one number per example, [batch]."""


def cache_all(model: Any, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """One plain run -> the outputs and every activation that fired, by hook name."""
    if isinstance(model, HookedMLP):
        return model.run_with_cache(inputs, return_cache_object=False)
    outputs, cache = model.run_with_cache(inputs)
    return outputs, {name: value for name, value in cache.items() if isinstance(value, Tensor)}


def bytes_per_input(cache: Mapping[str, Tensor], n_inputs: int) -> int:
    """What the cached activations of one input take."""
    return sum(value.numel() * value.element_size() for value in cache.values()) // n_inputs


def read_metrics(metrics: Metrics, outputs: Tensor) -> Tensor:
    """Every metric of these outputs, [metric, batch]; `XorMiError` for a metric that is not one number per example."""
    rows = []
    for name, function in metrics.items():
        value = torch.as_tensor(function(outputs))
        if value.shape != outputs.shape[:1]:
            raise XorMiError(f"metric '{name}' gives shape {list(value.shape)} for {len(outputs)} examples; it must give one number each")
        if not torch.isfinite(value).all():
            raise XorMiError(
                f"metric '{name}' is not finite on {int((~torch.isfinite(value)).sum())} examples: the network overflows there"
            )
        rows.append(value.detach())
    if not rows:
        raise XorMiError("no metric given; give at least one, such as {'logit': metrics.logit}")
    return torch.stack(rows)


@torch.no_grad()
def intervene(
    model: Any,
    inputs: Tensor,
    targets: Sequence[SiteSet],
    values: Callable[[SiteSet, Site], Tensor],
    metrics: Metrics,
    input_bytes: int,
    max_batch_bytes: int,
    progress: bool = False,
    rowwise: bool = False,
) -> Tensor:
    """Run every set of sites on every input -> metrics [metric, target, input].

    Args:
        inputs: what the model runs on, [input, ...].
        targets: sets of sites; each is one intervention.
        values: (set, site) -> the whole activation [input, ...] at the site's hook, of which the site's index is written.
        rowwise: the metrics look at each example alone, so that all sets are read in one call.
        input_bytes: what the activations of one input take, for the memory bound.

    Raises:
        XorMiError: an index outside its activation, a value of another shape, or a site that did not fire exactly once.
    """
    n = len(inputs)
    sets_per_run = max(1, max_batch_bytes // max(1, 2 * input_bytes * n))
    inputs_per_run = n if sets_per_run > 1 else max(1, min(n, max_batch_bytes // max(1, 2 * input_bytes)))
    starts = range(0, len(targets), sets_per_run)
    found = []
    for start in tqdm(starts, desc="intervening", unit="run", disable=None if progress and len(starts) > 1 else True):
        chunk = targets[start : start + sets_per_run]
        parts = [slice(i, i + inputs_per_run) for i in range(0, n, inputs_per_run)]
        outputs = [_run(model, inputs[part], chunk, values, part) for part in parts]
        joined = torch.cat(outputs, dim=1)  # [set, input, ...]: metrics see the inputs of one set, in order
        if rowwise:
            found.append(read_metrics(metrics, joined.flatten(0, 1)).reshape(-1, len(chunk), n))
        else:
            found.append(torch.stack([read_metrics(metrics, one) for one in joined], dim=1))
    return torch.cat(found, dim=1)


def _run(model: Any, inputs: Tensor, targets: Sequence[SiteSet], values: Callable[[SiteSet, Site], Tensor], part: slice) -> Tensor:
    """One forward: the inputs repeated once per set, each repetition with its set written -> outputs [set, input, ...]."""
    writes: dict[str, list[tuple[int, Site, Tensor]]] = {}
    for slot, together in enumerate(targets):
        for site in together:
            writes.setdefault(site.hook_name, []).append((slot, site, values(together, site)))
    fired: Counter[str] = Counter()
    hooks = [(name, partial(_write, name, planned, len(targets), part, fired)) for name, planned in writes.items()]
    with model.hooks(fwd_hooks=hooks):
        outputs = model(inputs.repeat(len(targets), *[1] * (inputs.ndim - 1)))
    for name in writes:
        if fired[name] != 1:
            raise XorMiError(f"hook '{name}' fired {fired[name]} times in one forward; an intervention needs it to fire exactly once")
    return outputs.reshape(len(targets), len(inputs), *outputs.shape[1:])


def _write(
    name: str, planned: list[tuple[int, Site, Tensor]], n_sets: int, part: slice, fired: Counter[str], activation: Tensor, hook: Any
) -> Tensor:
    """A new activation with every planned value written; [set * input, ...] is seen as [set, input, ...]."""
    del hook  # a TransformerBridge may call it by another name than the one asked for
    fired[name] += 1
    if len(activation) % n_sets:
        raise XorMiError(f"hook '{name}' has an activation without a batch axis, {list(activation.shape)}; it cannot be written per input")
    new = activation.clone().reshape(n_sets, -1, *activation.shape[1:])
    first = planned[0][2]
    plain = all(len(site.index) == len(planned[0][1].index) and None not in site.index and value is first for _, site, value in planned)
    for value in {id(value): value for _, _, value in planned}.values():
        if value.shape[1:] != activation.shape[1:]:
            raise XorMiError(f"a value of shape {list(value.shape[1:])} for '{name}', whose activation is {list(activation.shape[1:])}")
    for site in {site for _, site, _ in planned}:
        check_index(site, activation)
    if plain and planned[0][1].index:  # one indexed write for all: the usual case, units of one layer
        slots = torch.tensor([slot for slot, _, _ in planned], device=new.device)
        index = tuple(torch.tensor(axis, device=new.device) for axis in zip(*(site.index for _, site, _ in planned), strict=True))
        new[(slots, slice(None), *index)] = first[(part, *index)].transpose(0, 1).to(new.dtype)
    else:
        for slot, site, value in planned:
            new[(slot, slice(None), *site.slices)] = value[(part, *site.slices)].to(new.dtype)
    return new.reshape(activation.shape)
