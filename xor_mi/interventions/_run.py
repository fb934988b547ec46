"""inputs x sets of sites -> one batched forward -> what comes out under every intervention.

Every kind of intervention here (patching, ablation, interchange) says the same three things: which
inputs to run plainly, which of them each set of sites is written on, and what a hook's activation
is replaced by. `intervene` lays it all out along the batch, the plain inputs first and then one
copy of the base inputs per set, and runs the model once. What a hook is replaced by is made from
the plain inputs' own activation in the same forward: no separate caching run is needed. Where that
one batch would pass the memory bound, the plain inputs are run first and the copies after them,
each in as few chunks as the bound allows. Every site must be reached exactly once.

A model may work in place: change the activation that a hook point saw, or its own input. So every
run gets a copy of the inputs, and what is kept of a hook is a copy made when it fires.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, combinations, pairwise
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from xor_mi.errors import XorMiError, require_kind, require_memory
from xor_mi.graph import Site
from xor_mi.interventions._readout import Readers
from xor_mi.interventions._sites import SiteSet, check_index
from xor_mi.kinds import HookedModel
from xor_mi.model import HookedMLP, all_finite
from xor_mi.model._numbers import in_dtype
from xor_mi.progress import progress_bar
from xor_mi.truth import ArrayLike

Replacement = Callable[[str, Tensor, Tensor], Tensor]
"""(hook name, its activation on the plain inputs [plain, ...], numbers of some base inputs [base])
-> what these base inputs get there, [base, ...]; of it, the entries of the sites are written.
"""

Value = Callable[[str, Tensor], Tensor]
"""A replacement of the base inputs of one forward: (hook name, its activation on the plain inputs
of that forward) -> what the base inputs get.
"""

OnActivation = Callable[[Tensor], Tensor | None]
"""What happens at a hook: its activation -> a new one, or None to leave it."""

MLP_BATCH_BYTES, BATCH_BYTES = 2**25, 2**29
"""The default memory bound of one forward. A HookedMLP's larger batches leave the processor's cache
and are slower, not faster; on other models the cost of a forward itself weighs more.
"""


class Layout(NamedTuple):
    """How a batch is laid out: the plain inputs, then the base inputs once per set of sites."""

    n_plain: int
    n_sets: int
    n_base: int


class Planned(NamedTuple):
    """What is written at one hook, entry by entry: the number of the set, and the site."""

    numbers: list[int]
    sites: list[Site]


@torch.no_grad()
def cache_all(
    model: HookedModel,
    inputs: Tensor,
    hook_names: Iterable[str],
    *,
    max_batch_bytes: int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """A plain run -> the outputs and what these hook points saw, by hook name.

    In chunks where one batch would pass the memory bound.

    Raises:
        XorMiError: a hook that did not fire exactly once, or more than may be held at once.
    """
    return _run_plain(
        model, inputs, set(hook_names), inputs_per_run(model, inputs, max_batch_bytes)
    )


def inputs_per_run(model: HookedModel, inputs: Tensor, max_batch_bytes: int | None = None) -> int:
    """How many inputs one forward may take, at least one."""
    if max_batch_bytes is None:
        max_batch_bytes = MLP_BATCH_BYTES if isinstance(model, HookedMLP) else BATCH_BYTES
    require_kind("max_batch_bytes", max_batch_bytes, int, give=f"bytes, such as {BATCH_BYTES}")
    if max_batch_bytes < 1:
        raise XorMiError(
            f"max_batch_bytes is {max_batch_bytes}; give a number of bytes, such as {BATCH_BYTES}"
        )
    # Twice, because an activation that is written on is a copy.
    return max(1, max_batch_bytes // (2 * _bytes_per_input(model, inputs)))


def _bytes_per_input(model: HookedModel, inputs: Tensor) -> int:
    if isinstance(model, HookedMLP):
        sizes = model.layer_sizes
        # Known from the sizes, without a forward: every layer before and after its activation.
        edges = sum(a * b for a, b in pairwise(sizes)) if model.cfg.use_edge_result else 0
        # Direct connections: a term per edge where the edge hooks fire, else the outputs' sums.
        direct = sizes[-1] * (sizes[0] if model.cfg.use_edge_result else 1)
        numbers = 2 * sum(sizes) + edges + (direct if model.cfg.direct else 0)
        return numbers * model.linears[0].weight.element_size()
    # A copy: the model may change its input.
    _, cache = model.run_with_cache(inputs[:1].clone())
    # By address: a bridge lists some activations under two names.
    sizes_in_bytes = {
        value.data_ptr(): value.numel() * value.element_size()
        for value in cache.values()
        if isinstance(value, Tensor)
    }
    return sum(sizes_in_bytes.values())


def as_inputs(model: HookedModel, inputs: ArrayLike, name: str) -> Tensor:
    """Inputs [input, ...] of any model, given as a tensor or an array, as a tensor.

    An array's real numbers, which NumPy holds in float64, get the dtype of the model's parameters.

    Raises:
        XorMiError: an array that holds no numbers, naming the argument.
    """
    if isinstance(inputs, Tensor):
        return inputs.detach()
    try:
        read = torch.as_tensor(inputs)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(f"{name} holds no numbers; give a tensor [input, ...]") from None
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    dtypes = [one.dtype for one in parameters if one.is_floating_point()]
    return in_dtype(read, dtypes[0], name) if dtypes and read.is_floating_point() else read


def distinct_inputs(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs [input, ...] -> those that differ, in order of appearance, and each one's number.

    Equal is equal to the last bit: 0.0 and -0.0 are two inputs.

    >>> distinct_inputs(torch.tensor([[1.0], [0.0], [1.0]]))[1]
    tensor([0, 1, 0])
    """
    entries = inputs.detach().cpu().reshape(len(inputs), inputs[:1].numel()).contiguous()
    written = entries.view(torch.uint8)
    n_bytes, text = written.shape[1], written.numpy().tobytes()
    numbers: dict[bytes, int] = {}
    number_of = [
        numbers.setdefault(text[k * n_bytes : (k + 1) * n_bytes], len(numbers))
        for k in range(len(inputs))
    ]
    number = torch.tensor(number_of, device=inputs.device)
    if len(numbers) == len(inputs):
        return inputs, number
    first = torch.tensor(_first_of_each(number_of), device=inputs.device)
    return inputs[first], number


def _first_of_each(number_of: Sequence[int]) -> list[int]:
    """Numbers in order of appearance -> where each appears first."""
    firsts: list[int] = []
    for place, number in enumerate(number_of):
        if number == len(firsts):
            firsts.append(place)
    return firsts


@torch.no_grad()
def intervene(
    model: HookedModel,
    plain: Tensor,
    base: slice | Tensor,
    sets: Sequence[SiteSet],
    *,
    replacement: Replacement,
    readers: Readers,
    max_batch_bytes: int | None = None,
    progress: bool = False,
) -> tuple[Tensor, Float[Tensor, "function site base"]]:
    """Run every set of sites on every base input -> the plain outputs, and what the readers read.

    The plain outputs are [plain, ...]; the readers read the outputs after each intervention.

    Args:
        plain: inputs that are run untouched, [plain, ...].
        base: which of them each set of sites is written on; the same one may be there many times.
        sets: sets of sites; each is one intervention, and its sites may not overlap.
        replacement: (hook name, activation on the plain inputs, numbers of base inputs) -> the
            activation of these base inputs, of which each site's index is written.
        max_batch_bytes: what the activations of one forward may take; at least one input is run at
            a time.

    Raises:
        XorMiError: an index outside its activation, a value of another shape or not finite,
            overlapping sites, a site that did not fire exactly once, or results of more than may be
            held at once.
    """
    if plain.is_floating_point() and not all_finite(plain):
        raise XorMiError(
            "the inputs have NaN or infinite entries; an intervention needs finite ones"
        )
    # The plain input that each base input is.
    base = torch.arange(len(plain), device=plain.device)[base]
    n_base = len(base)
    require_memory(
        len(readers.functions) * len(sets) * n_base * bytes_per_number(model),
        what=f"the results of {len(sets):,} interventions on {n_base:,} inputs each",
        do="give fewer sites, or fewer pairs or rows",
    )
    rows_per_run = inputs_per_run(model, plain, max_batch_bytes)
    if len(plain) + len(sets) * n_base <= rows_per_run:
        everyone = torch.arange(n_base, device=plain.device)
        value = partial(_of_these, replacement, everyone)
        untouched, written = _run(model, plain, plain[base], sets, value)
        return untouched, readers.read_runs(written)

    # Too much for one forward: the plain inputs are run once, and the sets part by part.
    hook_names = {site.hook_name for site in chain.from_iterable(sets)}
    untouched, seen = _run_plain(model, plain, hook_names, rows_per_run, progress=progress)
    sets_per_run = max(1, rows_per_run // n_base)
    parts = torch.arange(n_base, device=plain.device).split(rows_per_run)
    starts = range(0, len(sets), sets_per_run)
    values: Tensor | None = None
    for start in progress_bar(starts, doing="intervening", unit="run", progress=progress):
        sets_of_run = sets[start : start + sets_per_run]
        outputs: list[Tensor] = []
        for part in parts:
            value = partial(_of_those_kept, replacement, seen, part)
            # without plain inputs: what they give is known by now
            _, written = _run(model, plain[:0], plain[base[part]], sets_of_run, value)
            outputs.append(written)
        # [set, base, ...]: a metric sees all the base inputs of a set, however they were run
        read = readers.read_runs(torch.cat(outputs, dim=1))
        if values is None:
            values = read.new_empty(len(read), len(sets), n_base)
        values[:, start : start + len(sets_of_run)] = read
    assert values is not None  # there is at least one set: no sites are refused long before
    return untouched, values


def bytes_per_number(model: HookedModel) -> int:
    """The bytes of one output of this model."""
    if isinstance(model, HookedMLP):
        return model.linears[0].weight.element_size()
    sizes = [p.element_size() for p in model.parameters()] if isinstance(model, nn.Module) else []
    return max(sizes, default=torch.get_default_dtype().itemsize)


def _of_these(replacement: Replacement, numbers: Tensor, name: str, seen: Tensor) -> Tensor:
    """The replacement of some base inputs, made from the plain inputs of the same forward."""
    return replacement(name, seen, numbers)


def _of_those_kept(
    replacement: Replacement,
    kept: Mapping[str, Tensor],
    numbers: Tensor,
    name: str,
    seen: Tensor,
) -> Tensor:
    """The replacement of some base inputs, made from plain inputs that were run before."""
    del seen
    return replacement(name, kept[name], numbers)


def _run(
    model: HookedModel,
    plain: Tensor,
    inputs: Tensor,
    sets: Sequence[SiteSet],
    value: Value,
) -> tuple[Tensor, Tensor]:
    """One forward -> outputs [plain, ...] and [set, base, ...].

    The batch is the plain inputs, then the base inputs once per set with that set written.
    """
    layout = Layout(n_plain=len(plain), n_sets=len(sets), n_base=len(inputs))
    # Set after set, each with all the base inputs: the order that `view` undoes below.
    copies = inputs.expand(len(sets), *inputs.shape).flatten(0, 1)
    hooks = hooks_that_write(sets, layout, value)
    outputs = run_hooked(model, torch.cat([plain, copies]), hooks)
    of_plain, of_copies = outputs[: layout.n_plain], outputs[layout.n_plain :]
    return of_plain, of_copies.view(layout.n_sets, layout.n_base, *outputs.shape[1:])


def _run_plain(
    model: HookedModel,
    plain: Tensor,
    hook_names: set[str],
    rows_per_run: int,
    *,
    progress: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The plain inputs in chunks -> their outputs, and every hook's activation on them."""
    whole: dict[str, Tensor] = {}
    outputs: Tensor | None = None
    starts = range(0, len(plain), rows_per_run)
    for start in progress_bar(starts, doing="running inputs", unit="run", progress=progress):
        part = slice(start, start + rows_per_run)
        here = plain[part]
        seen: dict[str, list[Tensor]] = {name: [] for name in hook_names}
        hooks = {name: hook_that_keeps(name, len(here), seen[name]) for name in hook_names}
        outputs_here = run_hooked(model, here, hooks)
        kept = {name: activation for name, (activation,) in seen.items()}
        if outputs is None:
            if len(here) == len(plain):
                return outputs_here, kept
            require_memory(
                sum(_bytes_for(len(plain), one) for one in (outputs_here, *kept.values())),
                what=f"the activations of {len(plain):,} inputs at {len(hook_names)} hook points",
                do="give fewer inputs, or sites of fewer hook points at a time",
            )
            outputs = _empty_for(len(plain), outputs_here)
            whole = {name: _empty_for(len(plain), one) for name, one in kept.items()}
        outputs[part] = outputs_here
        for name, activation in kept.items():
            whole[name][part] = activation
    assert outputs is not None  # there is at least one input
    return outputs, whole


def _bytes_for(n_inputs: int, some: Tensor) -> int:
    """The bytes that [input, ...] takes of all inputs, where it is known of some."""
    return n_inputs * some[0].numel() * some.element_size()


def _empty_for(n_inputs: int, some: Tensor) -> Tensor:
    """Room for [input, ...] of all inputs."""
    return some.new_empty(n_inputs, *some.shape[1:])


def run_hooked(model: HookedModel, inputs: Tensor, functions: Mapping[str, OnActivation]) -> Tensor:
    """One forward with a function at each hook, each of which must be called exactly once.

    Raises:
        XorMiError: a hook that did not fire exactly once, or a forward that does not return one
            tensor [batch, ...].
    """
    return _require_tensor(call_hooked(model, inputs, functions), len(inputs))


def call_hooked(
    model: HookedModel, inputs: Tensor, functions: Mapping[str, OnActivation]
) -> object:
    """`run_hooked` of a model whose forward may return anything.

    Raises:
        XorMiError: a hook that did not fire exactly once.
    """
    fired: Counter[str] = Counter()
    hooks = [(name, partial(_call, function, name, fired)) for name, function in functions.items()]
    with model.hooks(fwd_hooks=hooks):
        # A copy, as a HookedMLP makes itself: the model may change its input.
        outputs = model(inputs if isinstance(model, HookedMLP) else inputs.clone())
    for name in functions:
        if fired[name] != 1:
            times = f"fired {fired[name]} times in one forward" if fired[name] else "never fired"
            raise XorMiError(f"hook '{name}' {times}; it must fire exactly once")
    return outputs


def _call(
    function: OnActivation, name: str, fired: Counter[str], activation: Tensor, hook: Any
) -> Tensor | None:
    """A function on an activation, as a hook of TransformerLens is called; and that it fired."""
    del hook  # a TransformerBridge may call it by another name than the one asked for
    fired[name] += 1
    return function(activation)


def _require_tensor(outputs: object, n_inputs: int) -> Tensor:
    """What a model's forward returned, checked to be one tensor [batch, ...]."""
    if not isinstance(outputs, Tensor) or outputs.ndim < 1 or len(outputs) != n_inputs:
        got = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise XorMiError(
            f"the model returned {got} for {n_inputs} inputs; its forward must return one tensor "
            "[batch, ...]"
        )
    return outputs


def hook_that_keeps(name: str, n_inputs: int, kept: list[Tensor]) -> OnActivation:
    """A hook that appends a copy of its activation to a list."""
    return partial(_keep, name, n_inputs, kept)


def _keep(name: str, n_inputs: int, kept: list[Tensor], activation: Tensor) -> None:
    _require_batch(name, activation, n_inputs)
    kept.append(activation.clone())


@torch.no_grad()
def changed_in_place(model: HookedModel, inputs: Tensor, hook_names: Sequence[str]) -> list[str]:
    """Those of these hook points whose activation the model writes into after they fired.

    What another cache holds of them, without copies, is what was written.
    """
    seen: dict[str, list[tuple[Tensor, int]]] = {name: [] for name in hook_names}
    run_hooked(model, inputs, {name: partial(_keep_count, kept) for name, kept in seen.items()})
    return [
        name
        for name, kept in seen.items()
        if any(activation._version != count for activation, count in kept)
    ]


def _keep_count(kept: list[tuple[Tensor, int]], activation: Tensor) -> None:
    # PyTorch counts the writes into a tensor.
    kept.append((activation, activation._version))


def hooks_that_write(
    sets: Sequence[SiteSet], layout: Layout, value: Value
) -> dict[str, OnActivation]:
    """Hook name -> a hook that writes every set of sites on its own copy of the base inputs."""
    planned: dict[str, Planned] = {}
    for number, together in enumerate(sets):
        for site in together:
            if site.hook_name not in planned:
                planned[site.hook_name] = Planned(numbers=[], sites=[])
            numbers, sites = planned[site.hook_name]
            numbers.append(number)
            sites.append(site)
    return {name: partial(_write, name, plan, layout, value) for name, plan in planned.items()}


def _require_batch(name: str, activation: Tensor, n_inputs: int) -> None:
    if activation.ndim == 0 or len(activation) != n_inputs:
        raise XorMiError(
            f"hook '{name}' has an activation without a batch axis, {list(activation.shape)}; "
            "it cannot be written per input"
        )


def _write(name: str, plan: Planned, layout: Layout, value_of: Value, activation: Tensor) -> Tensor:
    """A new activation [plain + set * base, ...] with every planned value written."""
    _require_batch(name, activation, layout.n_plain + layout.n_sets * layout.n_base)
    value = value_of(name, activation[: layout.n_plain])
    if value.shape[1:] != activation.shape[1:]:
        raise XorMiError(
            f"a value of shape {list(value.shape[1:])} for '{name}', "
            f"whose activation is {list(activation.shape[1:])}"
        )
    if not all_finite(value):
        raise XorMiError(
            f"the value for '{name}' has NaN or infinite entries; an intervention needs finite ones"
        )
    value = value.to(activation.dtype)
    # A copy: the activation may be a tensor of the caller's.
    new = activation.clone()
    # A view of it, so that what is written on a copy of the base inputs is written in `new`.
    copies = new[layout.n_plain :].view(layout.n_sets, layout.n_base, *new.shape[1:])
    indices = [site.index for site in plan.sites]
    if _are_points(indices):
        _write_points(plan, list(zip(*indices, strict=True)), value, copies)
    else:
        for number, site in zip(plan.numbers, plan.sites, strict=True):
            check_index(site, activation)
            entries = (slice(None), *site.slices)
            copies[(number, *entries)] = value[entries]
    # Only sites of one set can be in each other's way.
    if len(set(plan.numbers)) < len(plan.numbers):
        require_disjoint(plan.numbers, plan.sites, {name: activation.shape[1:]})
    return new


def _are_points(indices: list[tuple[int | None, ...]]) -> TypeGuard[list[tuple[int, ...]]]:
    """Whether these are whole numbers on as many axes each, at least one."""
    depths = set(map(len, indices))
    return len(depths) == 1 and 0 not in depths and None not in chain.from_iterable(indices)


def _write_points(
    plan: Planned, axes: Sequence[tuple[int, ...]], value: Tensor, copies: Tensor
) -> None:
    """The usual case, units of one layer: all sites in one indexed write.

    It is several times faster than site by site.

    axes: the sites' indices, axis by axis; value: [base, ...]; copies: [set, base, ...], written in
    place.
    """
    sizes = value.shape[1:]
    # Torch would answer with a message of its own, which names no site.
    too_deep = len(axes) > len(sizes)
    if too_deep or any(
        min(axis) < -size or max(axis) >= size for axis, size in zip(axes, sizes, strict=False)
    ):
        for site in plan.sites:
            check_index(site, value)
    numbers, *index = [
        torch.from_numpy(np.array(entries)).to(copies.device) for entries in (plan.numbers, *axes)
    ]
    # With the base inputs moved behind the indexed axes, each site is one row [base, ...].
    targets = copies.movedim(1, len(axes) + 1)
    targets[(numbers, *index)] = value.movedim(0, len(axes))[tuple(index)]


def require_disjoint(
    numbers: Sequence[int], sites: Sequence[Site], shapes: Mapping[str, Sequence[int]]
) -> None:
    """No two sites of one set (of the same number) write the same place.

    Which of them came last would decide.

    shapes: hook name -> the shape of its activation after the batch axis.

    Raises:
        XorMiError: two that overlap.
    """
    of_set: dict[tuple[int, str], list[Site]] = {}
    for number, site in zip(numbers, sites, strict=True):
        of_set.setdefault((number, site.hook_name), []).append(site)
    for (_, hook_name), together in of_set.items():
        shape = shapes[hook_name]
        indices = [_from_zero(site.index, shape) for site in together]
        points = all(len(index) == len(shape) and None not in index for index in indices)
        # Single numbers in different places, the usual case, need no look at every two of them.
        if points and len(set(indices)) == len(indices):
            continue
        for (a, index_a), (b, index_b) in combinations(zip(together, indices, strict=True), 2):
            # an axis that one of them leaves out, or has None at, it takes whole: that is shared
            shared_axes = zip(index_a, index_b, strict=False)
            if all(None in (i, j) or i == j for i, j in shared_axes):
                raise XorMiError(
                    f"{a.name} and {b.name} overlap; the sites of one set must be different places"
                )


def _from_zero(index: Sequence[int | None], shape: Sequence[int]) -> tuple[int | None, ...]:
    """The index with negative entries counted from the front; None stays."""
    axes = zip(index, shape, strict=False)
    return tuple([None if entry is None else entry % size for entry, size in axes])
