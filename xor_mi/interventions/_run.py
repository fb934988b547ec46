"""inputs x sets of sites -> one batched forward -> what comes out under every intervention.

Every kind of intervention here (patching, ablation, interchange) says the same three things: which
inputs to run plainly, which of them each set of sites is written on, and what a hook's activation
is replaced by. `intervene` lays it all out along the batch, the plain inputs first and then one
copy of the base inputs per set, and runs the model once. What a hook is replaced by is made from
the plain inputs' own activation in the same forward: no separate caching run is needed. Where that
one batch would pass the memory bound, the plain inputs are run first and the copies after them,
each in as few chunks as the bound allows. Every site must be reached exactly once."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, combinations, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from xor_mi.errors import XorMiError
from xor_mi.graph import Site
from xor_mi.interventions._sites import SiteSet, check_index
from xor_mi.model import HookedMLP, all_finite

Metrics = Mapping[str, Callable[[Tensor], Tensor]]
"""Names of metrics -> functions of the model's outputs [batch, ...] giving one number per example,
[batch].
"""

Values = Callable[[str, Tensor], Tensor]
"""(hook name, its activation on the plain inputs [plain, ...]) -> what the base inputs get there,
[base, ...].
"""

MLP_BATCH_BYTES, BATCH_BYTES = 2**25, 2**29
"""The default memory bound of one forward. A HookedMLP's larger batches leave the processor's cache
and are slower, not faster; on other models the cost of a forward itself weighs more."""

Planned = tuple[list[int], list[Site]]
"""What is written at one hook: the number of the set, and the site, entry by entry."""


def cache_all(model: Any, inputs: Tensor) -> tuple[Any, dict[str, Tensor]]:
    """One plain run -> the outputs and every activation that fired, by hook name."""
    if isinstance(model, HookedMLP):
        return model.run_with_cache(inputs, return_cache_object=False)
    outputs, cache = model.run_with_cache(inputs)
    return outputs, {name: value for name, value in cache.items() if isinstance(value, Tensor)}


def inputs_per_run(model: Any, inputs: Tensor, max_batch_bytes: int | None = None) -> int:
    """How many inputs one forward may take, at least one."""
    bound = (
        (MLP_BATCH_BYTES if isinstance(model, HookedMLP) else BATCH_BYTES)
        if max_batch_bytes is None
        else max_batch_bytes
    )
    if bound < 1:
        raise XorMiError(
            f"max_batch_bytes is {bound}; give a number of bytes, such as {BATCH_BYTES}"
        )
    return max(
        1, bound // (2 * _bytes_per_input(model, inputs))
    )  # twice: written activations are copies


def _bytes_per_input(model: Any, inputs: Tensor) -> int:
    if isinstance(model, HookedMLP):
        sizes = model.layer_sizes
        edges = sum(a * b for a, b in pairwise(sizes)) if model.cfg.use_edge_result else 0
        return (2 * sum(sizes) + edges) * model.linears[0].weight.element_size()
    _, cache = cache_all(model, inputs[:1])
    distinct = {
        value.data_ptr(): value.numel() * value.element_size() for value in cache.values()
    }  # a bridge lists some twice
    return sum(distinct.values())


def read_metrics(metrics: Metrics, outputs: Tensor) -> Tensor:
    """Every metric of these outputs, [metric, batch]; `XorMiError` for a metric that is not one
    number per example.
    """
    rows = []
    for name, function in metrics.items():
        value = torch.as_tensor(function(outputs))
        value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
        if value.shape != outputs.shape[:1]:
            raise XorMiError(
                f"metric '{name}' gives shape {list(value.shape)} for {len(outputs)} examples; it must give one number each"
            )
        if not all_finite(value):
            raise XorMiError(
                f"metric '{name}' is not finite on {int((~torch.isfinite(value)).sum())} examples: the network overflows there"
            )
        rows.append(value.detach())
    return torch.stack(rows)


def named_metrics(metrics: Any) -> dict[str, Callable[[Tensor], Tensor]]:
    """One function, or name -> function; each gets a copy of the outputs, so that none can change
    what the next one sees.
    """
    given: Any = {getattr(metrics, "__name__", "metric"): metrics} if callable(metrics) else metrics
    if (
        not isinstance(given, Mapping)
        or not given
        or not all(callable(function) for function in given.values())
    ):
        raise XorMiError(
            "metrics are name -> function of the outputs, at least one, such as {'logit': metrics.logit}; or one function"
        )
    return {name: partial(_of_a_copy, function) for name, function in given.items()}


def _of_a_copy(metric: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
    return metric(outputs.clone())


@torch.no_grad()
def intervene(
    model: Any,
    plain: Tensor,
    base: slice | Tensor,
    targets: Sequence[SiteSet],
    values: Values,
    metrics: Metrics,
    max_batch_bytes: int | None = None,
    rowwise: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run every set of sites on every base input -> the plain outputs [plain, ...] and metrics
    [metric, target, base].

    Args:
        plain: inputs that are run untouched, [plain, ...].
        base: which of them each set of sites is written on.
        targets: sets of sites; each is one intervention, and its sites may not overlap.
        values: (hook name, activation on the plain inputs) -> the activation of the base inputs, of
            which each site's index is written.
        max_batch_bytes: what the activations of one forward may take; at least one input is run at
            a time.
        rowwise: the metrics look at each example alone, so that all sets are read in one call.

    Raises:
        XorMiError: an index outside its activation, a value of another shape or not finite,
            overlapping sites, or a site that did not fire exactly once.
    """
    if plain.is_floating_point() and not all_finite(plain):
        raise XorMiError(
            "the inputs have NaN or infinite entries; an intervention needs finite ones"
        )
    inputs = plain[base]
    n, rows_per_run = len(inputs), inputs_per_run(model, plain, max_batch_bytes)
    if len(plain) + len(targets) * n <= rows_per_run:
        untouched, written = _run(model, plain, inputs, targets, values)
        return untouched, _read(metrics, written, rowwise)
    untouched, replaced = _run_plain(
        model,
        plain,
        {site.hook_name for together in targets for site in together},
        values,
        rows_per_run,
    )
    sets_per_run = max(1, rows_per_run // n)
    parts = [slice(i, i + rows_per_run) for i in range(0, n, rows_per_run)]
    found = []
    starts = range(0, len(targets), sets_per_run)
    for start in tqdm(
        starts, desc="intervening", unit="run", delay=2, disable=None
    ):  # a bar only where it takes over two seconds
        chunk = targets[start : start + sets_per_run]
        outputs = [
            _run(
                model,
                plain[:0],
                inputs[part],
                chunk,
                lambda name, _, part=part: replaced[name][part],
            )[1]
            for part in parts
        ]
        found.append(_read(metrics, torch.cat(outputs, dim=1), rowwise))
    return untouched, torch.cat(found, dim=1)


def _read(metrics: Metrics, outputs: Tensor, rowwise: bool) -> Tensor:
    """Outputs [set, base, ...] -> metrics [metric, set, base]; each metric sees the inputs of one
    set, in order.
    """
    if rowwise:
        return read_metrics(metrics, outputs.flatten(0, 1)).reshape(-1, *outputs.shape[:2])
    return torch.stack([read_metrics(metrics, one) for one in outputs], dim=1)


def _run(
    model: Any, plain: Tensor, inputs: Tensor, targets: Sequence[SiteSet], values: Values
) -> tuple[Tensor, Tensor]:
    """One forward: the plain inputs, then the base inputs once per set with that set written ->
    outputs [plain, ...], [set, base, ...].
    """
    planned: dict[str, Planned] = {}
    for number, together in enumerate(targets):
        for site in together:
            numbers, sites = planned.setdefault(site.hook_name, ([], []))
            numbers.append(number)
            sites.append(site)
    shape = (len(plain), len(targets), len(inputs))
    hooks = {name: partial(_write, name, plan, shape, values) for name, plan in planned.items()}
    outputs = run_hooked(
        model, torch.cat([plain, inputs.expand(len(targets), *inputs.shape).flatten(0, 1)]), hooks
    )
    return outputs[: len(plain)], outputs[len(plain) :].unflatten(0, shape[1:])


def _run_plain(
    model: Any, plain: Tensor, hook_names: set[str], values: Values, rows_per_run: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The plain inputs in chunks -> their outputs, and what the base inputs get at every hook."""
    outputs, seen = [], {name: [] for name in hook_names}
    for part in plain.split(rows_per_run):
        hooks = {name: partial(_keep, name, len(part), seen[name]) for name in hook_names}
        outputs.append(run_hooked(model, part, hooks))
    return torch.cat(outputs), {name: values(name, torch.cat(kept)) for name, kept in seen.items()}


def run_hooked(
    model: Any, inputs: Tensor, functions: Mapping[str, Callable[[Tensor], Tensor | None]]
) -> Tensor:
    """One forward with a function at each hook, each of which must be called exactly once."""
    fired: Counter[str] = Counter()

    def call(name: str, activation: Tensor, hook: Any) -> Tensor | None:
        del hook  # a TransformerBridge may call it by another name than the one asked for
        fired[name] += 1
        return functions[name](activation)

    with model.hooks(fwd_hooks=[(name, partial(call, name)) for name in functions]):
        outputs = model(inputs)
    for name in functions:
        if fired[name] != 1:
            times = (
                "never fired" if not fired[name] else f"fired {fired[name]} times in one forward"
            )
            raise XorMiError(
                f"hook '{name}' {times}; an intervention needs it to fire exactly once"
            )
    if not isinstance(outputs, Tensor) or outputs.ndim < 1 or len(outputs) != len(inputs):
        got = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise XorMiError(
            f"the model returned {got} for {len(inputs)} inputs; its forward must return one tensor [batch, ...]"
        )
    return outputs


def _require_batch(name: str, activation: Tensor, n_inputs: int) -> None:
    if activation.ndim == 0 or len(activation) != n_inputs:
        raise XorMiError(
            f"hook '{name}' has an activation without a batch axis, {list(activation.shape)}; it cannot be written per input"
        )


def _keep(name: str, n_inputs: int, kept: list[Tensor], activation: Tensor) -> None:
    _require_batch(name, activation, n_inputs)
    kept.append(activation.clone())


def _write(
    name: str, planned: Planned, shape: tuple[int, int, int], values: Values, activation: Tensor
) -> Tensor:
    """A new activation [plain + set * base, ...] with every planned value written."""
    n_plain, n_sets, n = shape
    _require_batch(name, activation, n_plain + n_sets * n)
    numbers, sites = planned
    value = values(name, activation[:n_plain])
    if value.shape[1:] != activation.shape[1:]:
        raise XorMiError(
            f"a value of shape {list(value.shape[1:])} for '{name}', whose activation is {list(activation.shape[1:])}"
        )
    if not all_finite(value):
        raise XorMiError(
            f"the value for '{name}' has NaN or infinite entries; an intervention needs finite ones"
        )
    value = value.to(activation.dtype)
    new = activation.clone()
    written = new[n_plain:].unflatten(0, (n_sets, n))
    indices = [site.index for site in sites]
    if len(set(map(len, indices))) == 1 and indices[0] and None not in chain.from_iterable(indices):
        axes = list(
            zip(*indices, strict=True)
        )  # the usual case, units of one layer: one indexed write for all
        if len(axes) >= value.ndim or any(
            min(axis) < -d or max(axis) >= d for axis, d in zip(axes, value.shape[1:], strict=False)
        ):
            for site in sites:
                check_index(site, activation)
        which, *index = (
            torch.from_numpy(np.array(entries)).to(new.device) for entries in (numbers, *axes)
        )
        written.movedim(1, len(axes) + 1)[(which, *index)] = value.movedim(0, len(axes))[
            tuple(index)
        ]
    else:
        for number, site in zip(numbers, sites, strict=True):
            check_index(site, activation)
            written[(number, slice(None), *site.slices)] = value[(slice(None), *site.slices)]
    if len(set(numbers)) < len(numbers):
        require_disjoint(numbers, sites, {name: activation.shape[1:]})
    return new


def require_disjoint(
    numbers: Sequence[int], sites: Sequence[Site], shapes: Mapping[str, Sequence[int]]
) -> None:
    """No two sites of one set (of the same number) write the same place: which of them came last
    would decide.

    shapes: hook name -> the shape of its activation after the batch axis.
    """
    of_set: dict[tuple[int, str], list[Site]] = {}
    for number, site in zip(numbers, sites, strict=True):
        of_set.setdefault((number, site.hook_name), []).append(site)
    for (_, hook_name), together in of_set.items():
        shape = shapes[hook_name]
        places = [
            tuple(None if i is None else i % d for i, d in zip(site.index, shape, strict=False))
            for site in together
        ]
        if len(set(places)) == len(places) and all(
            len(place) == len(shape) and None not in place for place in places
        ):
            continue
        for (a, at), (b, bt) in combinations(zip(together, places, strict=True), 2):
            if all(None in (i, j) or i == j for i, j in zip(at, bt, strict=False)):
                raise XorMiError(
                    f"{a.name} and {b.name} overlap; the sites of one set must be different places"
                )
