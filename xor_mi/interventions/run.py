"""inputs x sets of sites -> one batched forward -> what comes out under every intervention.

Every kind of intervention here (patching, ablation, interchange) says the same three things: which inputs to run plainly, which of them
each set of sites is written on, and what a hook's activation is replaced by. `intervene` lays it all out along the batch, the plain inputs
first and then one copy of the base inputs per set, and runs the model once (or in as few chunks as a memory bound allows). What a hook is
replaced by is made from the plain inputs' own activation in the same forward: no separate caching run is needed. Every site it meant to
write must be reached exactly once.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from xor_mi.errors import XorMiError
from xor_mi.interventions.sites import Site, SiteSet, check_index
from xor_mi.model import HookedMLP, all_finite

Metrics = Mapping[str, Callable[[Tensor], Tensor]]
"""Names of metrics -> functions of the model's outputs [batch, ...] giving one number per example, [batch]."""

Values = Callable[[str, Tensor], Tensor]
"""(hook name, its activation on the plain inputs [plain, ...]) -> what the base inputs get there, [base, ...]."""

MAX_BATCH_BYTES = 2**25
"""The default memory bound of one forward: 32 MiB of activations. Larger batches leave the processor's cache and are slower, not faster."""

Planned = tuple[list[int], list[Site]]
"""What is written at one hook: the number of the set, and the site, entry by entry."""


def cache_all(model: Any, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """One plain run -> the outputs and every activation that fired, by hook name."""
    if isinstance(model, HookedMLP):
        return model.run_with_cache(inputs, return_cache_object=False)
    outputs, cache = model.run_with_cache(inputs)
    return outputs, {name: value for name, value in cache.items() if isinstance(value, Tensor)}


def bytes_per_input(model: Any, inputs: Tensor) -> int:
    """What the activations of one input take, for the memory bound."""
    if isinstance(model, HookedMLP):
        sizes = model.layer_sizes
        edges = sum(a * b for a, b in pairwise(sizes)) if model.cfg.use_edge_result else 0
        return (2 * sum(sizes) + edges) * model.linears[0].weight.element_size()
    _, cache = cache_all(model, inputs[:1])
    return sum(value.numel() * value.element_size() for value in cache.values())


def read_metrics(metrics: Metrics, outputs: Tensor) -> Tensor:
    """Every metric of these outputs, [metric, batch]; `XorMiError` for a metric that is not one number per example."""
    rows = []
    for name, function in metrics.items():
        value = torch.as_tensor(function(outputs))
        if value.shape != outputs.shape[:1]:
            raise XorMiError(f"metric '{name}' gives shape {list(value.shape)} for {len(outputs)} examples; it must give one number each")
        if not all_finite(value):
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
    plain: Tensor,
    base: slice | Tensor,
    targets: Sequence[SiteSet],
    values: Values,
    metrics: Metrics,
    max_batch_bytes: int,
    progress: bool = False,
    rowwise: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run every set of sites on every base input -> the plain outputs [plain, ...] and metrics [metric, target, base].

    Args:
        plain: inputs that are run untouched, [plain, ...].
        base: which of them each set of sites is written on.
        targets: sets of sites; each is one intervention.
        values: (hook name, activation on the plain inputs) -> the activation of the base inputs, of which each site's index is written.
        rowwise: the metrics look at each example alone, so that all sets are read in one call.

    Raises:
        XorMiError: an index outside its activation, a value of another shape, or a site that did not fire exactly once.
    """
    inputs = plain[base]
    n, size = len(inputs), 2 * bytes_per_input(model, plain)
    sets_per_run = max(1, max_batch_bytes // (size * n))
    inputs_per_run = n if sets_per_run > 1 else max(1, min(n, max_batch_bytes // size))
    parts = [slice(i, i + inputs_per_run) for i in range(0, n, inputs_per_run)]
    starts = range(0, len(targets), sets_per_run)
    untouched, found = None, []
    for start in tqdm(starts, desc="intervening", unit="run", disable=None) if progress and len(starts) > 1 else starts:
        chunk = targets[start : start + sets_per_run]
        outputs = [_run(model, plain, inputs[part], chunk, values, part) for part in parts]
        untouched = outputs[0][0] if untouched is None else untouched
        joined = torch.cat([written for _, written in outputs], dim=1)  # [set, base, ...]: metrics see the inputs of one set, in order
        if rowwise:
            found.append(read_metrics(metrics, joined.flatten(0, 1)).reshape(-1, len(chunk), n))
        else:
            found.append(torch.stack([read_metrics(metrics, one) for one in joined], dim=1))
    assert untouched is not None  # callers give at least one set
    return untouched, torch.cat(found, dim=1)


def _run(model: Any, plain: Tensor, inputs: Tensor, targets: Sequence[SiteSet], values: Values, part: slice) -> tuple[Tensor, Tensor]:
    """One forward: the plain inputs, then the base inputs once per set with that set written -> both outputs."""
    planned: dict[str, Planned] = {}
    for number, together in enumerate(targets):
        for site in together:
            numbers, sites = planned.setdefault(site.hook_name, ([], []))
            numbers.append(number)
            sites.append(site)
    fired: Counter[str] = Counter()
    shape = (len(plain), len(targets), len(inputs))
    hooks = [(name, partial(_write, name, plan, shape, values, part, fired)) for name, plan in planned.items()]
    with model.hooks(fwd_hooks=hooks):
        outputs = model(torch.cat([plain, inputs.expand(len(targets), *inputs.shape).flatten(0, 1)]))
    for name in planned:
        if fired[name] != 1:
            times = "never fired" if not fired[name] else f"fired {fired[name]} times in one forward"
            raise XorMiError(f"hook '{name}' {times}; an intervention needs it to fire exactly once")
    return outputs[: len(plain)], outputs[len(plain) :].unflatten(0, shape[1:])


def _write(
    name: str,
    planned: Planned,
    shape: tuple[int, int, int],
    values: Values,
    part: slice,
    fired: Counter[str],
    activation: Tensor,
    hook: Any,
) -> Tensor:
    """A new activation [plain + set * base, ...] with every planned value written."""
    del hook  # a TransformerBridge may call it by another name than the one asked for
    fired[name] += 1
    n_plain, n_sets, n = shape
    if activation.ndim == 0 or len(activation) != n_plain + n_sets * n:
        raise XorMiError(f"hook '{name}' has an activation without a batch axis, {list(activation.shape)}; it cannot be written per input")
    numbers, sites = planned
    value = values(name, activation[:n_plain])
    if value.shape[1:] != activation.shape[1:]:
        raise XorMiError(f"a value of shape {list(value.shape[1:])} for '{name}', whose activation is {list(activation.shape[1:])}")
    value = value[part].to(activation.dtype)
    new = activation.clone()
    written = new[n_plain:].unflatten(0, (n_sets, n))
    indices = [site.index for site in sites]
    if len(set(map(len, indices))) == 1 and indices[0] and not any(None in index for index in indices):
        axes = list(zip(*indices, strict=True))  # the usual case, units of one layer: one indexed write for all
        if len(axes) >= value.ndim or any(min(axis) < -d or max(axis) >= d for axis, d in zip(axes, value.shape[1:], strict=False)):
            for site in sites:
                check_index(site, activation)
        which, *index = (torch.from_numpy(np.array(entries)).to(new.device) for entries in (numbers, *axes))
        written.movedim(1, len(axes) + 1)[(which, *index)] = value.movedim(0, len(axes))[tuple(index)]
    else:
        for number, site in zip(numbers, sites, strict=True):
            check_index(site, activation)
            written[(number, slice(None), *site.slices)] = value[(slice(None), *site.slices)]
    return new
