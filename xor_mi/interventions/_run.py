"""inputs x sets of sites -> batched forwards -> what comes out under every intervention.

Every kind of intervention here (patching, ablation, interchange) says the same three things: which
inputs to run plainly, which of them each set of sites is written on, and what a hook's activation
is replaced by. `intervene` runs the plain inputs, and one copy of the base inputs per set along the
batch, in as few forwards as the memory bound allows. Every site must be reached exactly once.

What lies before the first place that is written is the same for all copies. On a HookedMLP, where
everything passes through each hook, the batch therefore grows at that hook, and the plain inputs
run in the same forward. On other models the plain inputs run in a forward of their own, in which
nothing is written: a model may edit an activation in place and read it elsewhere. Where the copies
do not fit one forward, and a model has blocks, the batch grows before the first block that is
written in; a trial says whether the model allows it.

A model may work in place: change the activation that a hook point saw, or its own input. So every
run gets a copy of the inputs, and what is kept of a hook is a copy made when it fires.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations, pairwise
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from xor_mi.errors import XorMiError, require_kind, require_memory
from xor_mi.graph import KeptEntry, Site
from xor_mi.interventions._examples import Examples, as_examples
from xor_mi.interventions._hooks import (
    Probed,
    probe_hooks,
    require_hooks,
    require_tensor,
    warn_of_unread,
)
from xor_mi.interventions._prefix import (
    Arguments,
    first_block,
    growing_arguments,
    grown_before_block,
)
from xor_mi.interventions._readout import Readers
from xor_mi.interventions._sites import SiteSet, entries_of
from xor_mi.kinds import HookedModel
from xor_mi.model import HookedMLP, all_finite
from xor_mi.progress import progress_bar

Running = Callable[[Tensor], Tensor]
"""What base inputs get, from what they have there in the same run, [base, ...], where sites before
are written already.
"""

Replacement = Callable[[str, Tensor, Tensor], Tensor | Running]
"""(hook name, its activation on the plain inputs [plain, ...], numbers of some base inputs [base])
-> what these base inputs get there, [base, ...]; of it, the entries of the sites are written.
"""

Value = Callable[[str, Tensor], Tensor | Running]
"""A replacement of the base inputs of one forward: (hook name, its activation on the plain inputs
of that forward) -> what the base inputs get.
"""

OnActivation = Callable[[Tensor], Tensor | None]
"""What happens at a hook: its activation -> a new one, or None to leave it."""

MLP_BATCH_BYTES, BATCH_BYTES = 2**24, 2**29
"""The default memory bound of one forward. A HookedMLP's larger batches leave the processor's cache
and are slower, not faster; on other models the cost of a forward itself weighs more.
"""

GROUPED_FROM = 2**20
"""From so many bytes on, the sets of a HookedMLP are run hook by hook, each from its own hook on;
below, one forward of them all is faster.
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
    inputs: Tensor | Examples,
    hook_names: Iterable[str],
    *,
    max_batch_bytes: int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """A plain run -> the outputs and what these hook points saw, by hook name.

    In chunks where one batch would pass the memory bound.

    Raises:
        XorMiError: a hook that did not fire exactly once or has no batch axis, or more than may be
            held at once.
    """
    examples, hook_names = as_examples(inputs), set(hook_names)
    probed = None
    if not isinstance(model, HookedMLP):
        probed = probe_hooks(model, examples, warns=False)
        require_hooks(model, probed, hook_names)
    at_once = inputs_per_run(model, examples, max_batch_bytes, probed)
    return _run_plain(model, examples, hook_names, at_once)


def inputs_per_run(
    model: HookedModel,
    inputs: Tensor | Examples,
    max_batch_bytes: int | None = None,
    probed: Probed | None = None,
) -> int:
    """How many inputs one forward may take, at least one.

    Args:
        probed: what is known of the model's hooks, where it has been run already.
    """
    if max_batch_bytes is None:
        max_batch_bytes = MLP_BATCH_BYTES if isinstance(model, HookedMLP) else BATCH_BYTES
    require_kind("max_batch_bytes", max_batch_bytes, int, give=f"bytes, such as {BATCH_BYTES}")
    if max_batch_bytes < 1:
        raise XorMiError(
            f"max_batch_bytes is {max_batch_bytes}; give a number of bytes, such as {BATCH_BYTES}"
        )
    if isinstance(model, HookedMLP):
        bytes_per_input = _bytes_per_row(model)
    else:
        probed = probe_hooks(model, inputs, warns=False) if probed is None else probed
        bytes_per_input = probed.bytes_per_example
    # Twice, because an activation that is written on is a copy.
    return max(1, max_batch_bytes // (2 * bytes_per_input))


def _bytes_per_row(model: HookedMLP) -> int:
    """Known from the sizes, without a forward: every layer before and after its activation."""
    sizes = model.layer_sizes
    edges = sum(a * b for a, b in pairwise(sizes)) if model.cfg.use_edge_result else 0
    # Direct connections: a term per edge where the edge hooks fire, else the outputs' sums.
    direct = sizes[-1] * (sizes[0] if model.cfg.use_edge_result else 1)
    numbers = 2 * sum(sizes) + edges + (direct if model.cfg.direct else 0)
    return numbers * model.linears[0].weight.element_size()


@torch.no_grad()
def intervene(
    model: HookedModel,
    plain: Tensor | Examples,
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
        plain: inputs that are run untouched, [plain, ...], or examples with keyword inputs.
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
    plain = as_examples(plain)
    if plain.inputs.is_floating_point() and not all_finite(plain.inputs):
        raise XorMiError(
            "the inputs have NaN or infinite entries; an intervention needs finite ones"
        )
    # The plain input that each base input is.
    base = torch.arange(len(plain), device=plain.device)[base]
    require_memory(
        len(readers.functions) * len(sets) * len(base) * bytes_per_number(model),
        what=f"the results of {len(sets):,} interventions on {len(base):,} inputs each",
        do="give fewer sites, or fewer pairs or rows",
    )
    work = _Work(model, plain, base, replacement, readers, max_batch_bytes, progress)
    if isinstance(model, HookedMLP):
        return _intervene_on_mlp(model, work, sets)
    return _intervene_on_any(work, sets)


@dataclass(frozen=True, eq=False)
class _Work:
    """What `intervene` is asked, but for the sets of sites."""

    model: HookedModel
    plain: Examples
    base: Tensor
    replacement: Replacement
    readers: Readers
    max_batch_bytes: int | None
    progress: bool


class _Grown(NamedTuple):
    """Where the batch of base inputs grows into one copy per set: at a hook, or before a block.

    Attributes:
        arguments: what of a block's arguments is repeated.
    """

    hook: str | None = None
    block: int | None = None
    arguments: Arguments = frozenset()


def _intervene_on_mlp(
    model: HookedMLP, work: _Work, sets: Sequence[SiteSet]
) -> tuple[Tensor, Tensor]:
    """Of a network in which everything passes through each hook."""
    plain, base = work.plain, work.base
    rows_per_run = inputs_per_run(model, plain, work.max_batch_bytes)
    n_rows = len(plain) + len(sets) * len(base)
    is_small = n_rows <= rows_per_run and n_rows * _bytes_per_row(model) < GROUPED_FROM
    # direct connections lead past the hooks
    groups = _by_first_hook(model, sets, split=not is_small and not model.cfg.direct)
    if n_rows <= rows_per_run:
        everyone = torch.arange(len(base), device=plain.device)
        value = partial(_of_these, work.replacement, everyone)
        results: list[Tensor] = []
        for hook, numbers in groups:
            of_group = [sets[number] for number in numbers]
            grown = None if model.cfg.direct else hook
            untouched, written = _run_together(model, plain, base, of_group, value, grown)
            results.append(work.readers.read_runs(written))
        return untouched, _in_order(results, [numbers for _, numbers in groups], len(sets))

    hook_names = {site.hook_name for site in chain.from_iterable(sets)}
    untouched, seen = _run_plain(model, plain, hook_names, rows_per_run, progress=work.progress)
    grown_groups = [
        (_Grown() if model.cfg.direct else _Grown(hook=hook), numbers) for hook, numbers in groups
    ]
    return untouched, _in_parts(work, sets, grown_groups, seen, rows_per_run)


def _by_first_hook(
    model: HookedMLP, sets: Sequence[SiteSet], *, split: bool
) -> list[tuple[str, list[int]]]:
    """The sets by the first hook that each writes, with their numbers; together, if not split."""
    everyone = list(range(len(sets)))
    hooks = {site.hook_name for site in chain.from_iterable(sets)}
    if len(hooks) == 1:
        return [(hooks.pop(), everyone)]
    order = {name: place for place, name in enumerate(model.hook_dict)}
    if not split:
        return [(min(hooks, key=order.__getitem__), everyone)]
    first_of = [
        min([site.hook_name for site in together], key=order.__getitem__) for together in sets
    ]
    groups: dict[str, list[int]] = {}
    for number, hook in enumerate(first_of):
        groups.setdefault(hook, []).append(number)
    return list(groups.items())


def _intervene_on_any(work: _Work, sets: Sequence[SiteSet]) -> tuple[Tensor, Tensor]:
    """Of a model of which nothing is known but its hooks."""
    model, plain, base = work.model, work.plain, work.base
    hook_names = {site.hook_name for site in chain.from_iterable(sets)}
    probed = probe_hooks(model, plain)
    require_hooks(model, probed, hook_names)
    rows_per_run = inputs_per_run(model, plain, work.max_batch_bytes, probed)
    untouched, seen = _run_plain(model, plain, hook_names, rows_per_run, progress=work.progress)
    groups = [(_Grown(), list(range(len(sets))))]
    if len(sets) * len(base) > rows_per_run:
        groups = _by_first_block(work, sets, untouched)
    values = _in_parts(work, sets, groups, seen, rows_per_run)
    _warn_of_no_effects(work, sets, untouched, values)
    return untouched, values


def _by_first_block(
    work: _Work, sets: Sequence[SiteSet], untouched: Tensor
) -> list[tuple[_Grown, list[int]]]:
    """The sets by the first block that each writes in, where the batch may grow before it."""
    by_block: dict[int, list[int]] = {}
    for number, together in enumerate(sets):
        by_block.setdefault(first_block(together), []).append(number)
    groups: list[tuple[_Grown, list[int]]] = []
    from_the_start: list[int] = []
    for block, numbers in sorted(by_block.items()):
        arguments = growing_arguments(work.model, block, work.plain, untouched)
        if arguments is None:
            from_the_start += numbers
        else:
            groups.append((_Grown(block=block, arguments=arguments), numbers))
    return [(_Grown(), from_the_start), *groups] if from_the_start else groups


def _warn_of_no_effects(
    work: _Work, sets: Sequence[SiteSet], untouched: Tensor, values: Tensor
) -> None:
    """Where nothing that is written at a hook changes any number, ask whether anything reads it."""
    # as a run of its own: a number that is not finite is answered by who reads the plain inputs
    before = work.readers.read_runs(untouched[work.base].unsqueeze(0))[:, 0]
    is_same = (values == before[:, None]).flatten(2).all(-1).all(0)
    suspects = {site.hook_name for site in chain.from_iterable(sets)}
    for together, same in zip(sets, is_same.tolist(), strict=True):
        if not same:
            suspects -= {site.hook_name for site in together}
    warn_of_unread(work.model, work.plain, suspects)


def _in_parts(
    work: _Work,
    sets: Sequence[SiteSet],
    groups: Sequence[tuple[_Grown, list[int]]],
    seen: Mapping[str, Tensor],
    rows_per_run: int,
) -> Tensor:
    """What the readers read after each set, run part by part; what plain inputs give is known."""
    plain, base = work.plain, work.base
    n_base = len(base)
    sets_per_run = max(1, rows_per_run // n_base)
    parts = torch.arange(n_base, device=plain.device).split(rows_per_run)
    runs = [
        (grown, numbers[start : start + sets_per_run])
        for grown, numbers in groups
        for start in range(0, len(numbers), sets_per_run)
    ]
    results: list[Tensor] = []
    for grown, numbers in progress_bar(
        runs, doing="intervening", unit="run", progress=work.progress
    ):
        of_run = [sets[number] for number in numbers]
        outputs: list[Tensor] = []
        for part in parts:
            value = partial(_of_those_kept, work.replacement, seen, part)
            outputs.append(_run_copies(work.model, plain[base[part]], of_run, value, grown))
        # [set, base, ...]: a metric sees all the base inputs of a set, however they were run
        results.append(work.readers.read_runs(torch.cat(outputs, dim=1)))
    return _in_order(results, [numbers for _, numbers in runs], len(sets))


def _in_order(results: Sequence[Tensor], numbers: Sequence[Sequence[int]], n_sets: int) -> Tensor:
    """What was read of some sets at a time, [function, set, base], as that of all in order."""
    if len(results) == 1:
        return results[0]
    first = results[0]
    values = first.new_empty(first.shape[0], n_sets, first.shape[2])
    for result, of_result in zip(results, numbers, strict=True):
        values[:, list(of_result)] = result
    return values


def bytes_per_number(model: HookedModel) -> int:
    """The bytes of one output of this model."""
    if isinstance(model, HookedMLP):
        return model.linears[0].weight.element_size()
    sizes = [p.element_size() for p in model.parameters()] if isinstance(model, nn.Module) else []
    return max(sizes, default=torch.get_default_dtype().itemsize)


def _of_these(
    replacement: Replacement, numbers: Tensor, name: str, seen: Tensor
) -> Tensor | Running:
    """The replacement of some base inputs, made from the plain inputs of the same forward."""
    return replacement(name, seen, numbers)


def _of_those_kept(
    replacement: Replacement,
    kept: Mapping[str, Tensor],
    numbers: Tensor,
    name: str,
    seen: Tensor,
) -> Tensor | Running:
    """The replacement of some base inputs, made from plain inputs that were run before."""
    del seen
    return replacement(name, kept[name], numbers)


def _run_together(
    model: HookedMLP,
    plain: Examples,
    base: Tensor,
    sets: Sequence[SiteSet],
    value: Value,
    grown: str | None,
) -> tuple[Tensor, Tensor]:
    """One forward of the plain inputs and of a copy of the base inputs per set.

    Outputs [plain, ...] and [set, base, ...]; the copies are made at the hook `grown`, or where
    that is None from the start.
    """
    layout = Layout(n_plain=len(plain), n_sets=len(sets), n_base=len(base))
    hooks = hooks_that_write(sets, layout, value)
    examples = plain
    growing: AbstractContextManager[None] = nullcontext()
    if grown is None:
        examples = plain.and_then(plain[base].repeated(len(sets)))
    else:
        growing = _grown_at_hook(model, grown, base, layout, hooks.pop(grown))
    n_rows = layout.n_plain + layout.n_sets * layout.n_base
    with growing:
        outputs = require_tensor(call_hooked(model, examples, hooks), n_rows)
    of_plain, of_copies = outputs[: layout.n_plain], outputs[layout.n_plain :]
    return of_plain, of_copies.view(layout.n_sets, layout.n_base, *outputs.shape[1:])


def _run_copies(
    model: HookedModel,
    examples: Examples,
    sets: Sequence[SiteSet],
    value: Value,
    grown: _Grown,
) -> Tensor:
    """One forward of a copy of the base inputs per set -> outputs [set, base, ...]."""
    layout = Layout(n_plain=0, n_sets=len(sets), n_base=len(examples))
    hooks = hooks_that_write(sets, layout, value)
    n_rows = layout.n_sets * layout.n_base
    growing: AbstractContextManager[None] = nullcontext()
    if grown.hook is not None:
        everyone = torch.arange(len(examples), device=examples.device)
        growing = _grown_at_hook(model, grown.hook, everyone, layout, hooks.pop(grown.hook))
    elif grown.block is not None:
        growing = grown_before_block(model, grown.block, grown.arguments, len(sets))
    else:
        examples = examples.repeated(len(sets))
    with growing:
        outputs = require_tensor(call_hooked(model, examples, hooks), n_rows)
    return outputs.view(layout.n_sets, layout.n_base, *outputs.shape[1:])


@contextmanager
def _grown_at_hook(
    model: HookedModel, name: str, base: Tensor, layout: Layout, writer: "Writer"
) -> Iterator[None]:
    """Inside: the batch grows at this hook, and what is planned there is written.

    A hook of PyTorch's, after those of the caller: a HookedMLP lets its own hooks return nothing of
    another shape.
    """

    def grow(point: object, given: object, activation: Tensor) -> Tensor:
        del point, given
        grown = _grown(base, layout, activation)
        writer.write_into(grown)
        return grown

    handle = model.hook_dict[name].register_forward_hook(grow)
    try:
        yield
    finally:
        handle.remove()


def _grown(base: Tensor, layout: Layout, activation: Tensor) -> Tensor:
    """An activation [plain, ...] with a copy of the base inputs per set after it.

    Without plain inputs it is that of the base inputs alone.
    """
    n_plain, n_sets, n_base = layout
    grown = activation.new_empty(n_plain + n_sets * n_base, *activation.shape[1:])
    grown[:n_plain] = activation[:n_plain]
    grown[n_plain:].view(n_sets, n_base, *activation.shape[1:])[:] = activation[base]
    return grown


def _run_plain(
    model: HookedModel,
    plain: Examples,
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


def run_hooked(
    model: HookedModel, inputs: Tensor | Examples, functions: Mapping[str, OnActivation]
) -> Tensor:
    """One forward with a function at each hook, each of which must be called exactly once.

    Raises:
        XorMiError: a hook that did not fire exactly once, or a forward that does not return one
            tensor [batch, ...].
    """
    return require_tensor(call_hooked(model, inputs, functions), len(inputs))


def call_hooked(
    model: HookedModel, inputs: Tensor | Examples, functions: Mapping[str, OnActivation]
) -> object:
    """`run_hooked` of a model whose forward may return anything.

    Raises:
        XorMiError: a hook that did not fire exactly once.
    """
    fired: Counter[str] = Counter()
    hooks = [(name, partial(_call, function, name, fired)) for name, function in functions.items()]
    with model.hooks(fwd_hooks=hooks) if hooks else nullcontext():
        outputs = as_examples(inputs).call(model)
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


def hook_that_keeps(name: str, n_inputs: int, kept: list[Tensor]) -> OnActivation:
    """A hook that appends a copy of its activation to a list."""
    return partial(_keep, name, n_inputs, kept)


def _keep(name: str, n_inputs: int, kept: list[Tensor], activation: Tensor) -> None:
    _require_batch(name, activation, n_inputs)
    kept.append(activation.clone())


@torch.no_grad()
def changed_in_place(
    model: HookedModel, inputs: Tensor | Examples, hook_names: Sequence[str]
) -> list[str]:
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


def hooks_that_write(sets: Sequence[SiteSet], layout: Layout, value: Value) -> dict[str, "Writer"]:
    """Hook name -> a hook that writes every set of sites on its own copy of the base inputs."""
    planned: dict[str, Planned] = {}
    for number, together in enumerate(sets):
        for site in together:
            if site.hook_name not in planned:
                planned[site.hook_name] = Planned(numbers=[], sites=[])
            numbers, sites = planned[site.hook_name]
            numbers.append(number)
            sites.append(site)
    return {name: Writer(name, plan, layout, value) for name, plan in planned.items()}


def _require_batch(name: str, activation: Tensor, n_inputs: int) -> None:
    if activation.ndim == 0 or len(activation) != n_inputs:
        raise XorMiError(
            f"hook '{name}' has an activation without a batch axis, {list(activation.shape)}; "
            "it cannot be written per input"
        )


@dataclass(frozen=True, eq=False)
class Writer:
    """What is written at one hook, as a function of its activation.

    Attributes:
        name: of the hook.
        plan: which set writes which site.
        layout: of the batch.
        value_of: (hook name, activation on the plain inputs) -> what the base inputs get.
    """

    name: str
    plan: Planned
    layout: Layout
    value_of: Value

    def __call__(self, activation: Tensor) -> Tensor:
        """A new activation [plain + set * base, ...] with every planned value written."""
        n_rows = self.layout.n_plain + self.layout.n_sets * self.layout.n_base
        _require_batch(self.name, activation, n_rows)
        # A copy: the activation may be a tensor of the caller's.
        new = activation.clone()
        self.write_into(new)
        return new

    def write_into(self, new: Tensor) -> None:
        """Write every planned value into an activation [plain + set * base, ...]."""
        plan, layout = self.plan, self.layout
        value = self.value_of(self.name, new[: layout.n_plain])
        # A view, so that what is written on a copy of the base inputs is written in `new`.
        copies = new[layout.n_plain :].view(layout.n_sets, layout.n_base, *new.shape[1:])
        if isinstance(value, Tensor):
            self._write_value(value, copies)
        else:
            self._write_running(value, copies)
        # Only sites of one set can be in each other's way.
        if len(set(plan.numbers)) < len(plan.numbers):
            require_disjoint(plan.numbers, plan.sites, {self.name: new.shape[1:]})

    def _write_value(self, value: Tensor, copies: Tensor) -> None:
        """The same value [base, ...] for every set."""
        plan = self.plan
        _require_value(self.name, value, copies[0])
        value = value.to(copies.dtype)
        indices = [site.index for site in plan.sites]
        if _are_points(indices):
            _write_points(plan, list(zip(*indices, strict=True)), value, copies)
            return
        for number, site in zip(plan.numbers, plan.sites, strict=True):
            entries = entries_of(site, value)
            # the copy first: a list beside its number would be combined with it
            copies[number][entries] = value[entries]

    def _write_running(self, value_of: Running, copies: Tensor) -> None:
        """Each set from what its own copy of the base inputs has there."""
        plan = self.plan
        for number in dict.fromkeys(plan.numbers):
            value = value_of(copies[number].clone())
            _require_value(self.name, value, copies[0])
            for of_set, site in zip(plan.numbers, plan.sites, strict=True):
                if of_set == number:
                    entries = entries_of(site, value)
                    copies[number][entries] = value[entries].to(copies.dtype)


def _require_value(name: str, value: Tensor, activation: Tensor) -> None:
    """What is written at a hook has the shape of its activation, and finite entries."""
    if value.shape[1:] != activation.shape[1:]:
        raise XorMiError(
            f"a value of shape {list(value.shape[1:])} for '{name}', "
            f"whose activation is {list(activation.shape[1:])}"
        )
    if not all_finite(value):
        raise XorMiError(
            f"the value for '{name}' has NaN or infinite entries; an intervention needs finite ones"
        )


def _are_points(indices: Sequence[tuple[KeptEntry, ...]]) -> TypeGuard[list[tuple[int, ...]]]:
    """Whether these are whole numbers on as many axes each, at least one."""
    n_axes = set(map(len, indices))
    return len(n_axes) == 1 and set(map(type, chain.from_iterable(indices))) == {int}


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
            site.axes(sizes)
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
        # Single numbers in different places, the usual case, need no look at every two of them.
        indices = [site.index for site in together]
        if _are_points(indices) and len(indices[0]) == len(shape):
            from_front = {_from_front(index, shape) for index in indices}
            if len(from_front) == len(indices):
                continue
        named = [site.axes(shape) for site in together]
        for (a, axes_a), (b, axes_b) in combinations(zip(together, named, strict=True), 2):
            # an axis that one of them leaves out is taken whole: it is shared
            shared_axes = zip(axes_a, axes_b, strict=False)
            if not any(set(numbers).isdisjoint(others) for numbers, others in shared_axes):
                raise XorMiError(
                    f"{a.name} and {b.name} overlap; the sites of one set must be different places"
                )


def _from_front(index: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """A point with negative numbers counted from the front."""
    return tuple([entry % size for entry, size in zip(index, shape, strict=False)])
