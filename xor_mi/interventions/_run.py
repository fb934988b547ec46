"""inputs x sets of sites -> batched forwards -> what comes out under every intervention.

Every kind of intervention here (patching, ablation, interchange) says the same three things: which
inputs to run plainly, on which of them each set of sites is written, and what a hook's activation
is replaced by. `intervene` runs the plain inputs, and one copy of the base inputs per set along the
batch, in as few forwards as the memory bound allows. Every site must be reached exactly once.

What lies before the first place that is written is the same for all copies. On a HookedMLP, where
everything passes through each hook, the batch therefore grows at that hook, and the plain inputs
run in the same forward. On other models the plain inputs run in their own forward, in which nothing
is written: a model may edit an activation in place and read it elsewhere. If the copies do not fit
into one forward and the model has blocks, the batch grows before the first block that is written
in; a trial says whether the model allows it.

A model may work in place and change the activation that a hook point saw, or its own input. So
every run gets a copy of the inputs, and a hook's activation is copied when the hook fires.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, require_memory
from xor_mi.interventions._examples import Examples, as_examples, require_finite_inputs
from xor_mi.interventions._forward import (
    bytes_per_number,
    bytes_per_row,
    call_hooked,
    inputs_per_run,
    run_plain,
)
from xor_mi.interventions._hooks import (
    Probed,
    n_writes,
    probe_hooks,
    require_hooks,
    require_tensor,
    warn_of_coupled_batch,
    warn_of_unread,
)
from xor_mi.interventions._prefix import (
    Arguments,
    arguments_of_blocks,
    first_block,
    grown_before_block,
    may_grow_before,
)
from xor_mi.interventions._readout import Readers
from xor_mi.interventions._sites import SiteSet, hooks_of
from xor_mi.interventions._write import (
    Layout,
    Running,
    Value,
    Writer,
    hooks_that_write,
    require_disjoint,
    with_one_name_each,
)
from xor_mi.kinds import HookedModel
from xor_mi.model import HookedMLP, kind_of_hook
from xor_mi.progress import progress_bar

Replacement = Callable[[str, Tensor, Tensor], Tensor | Running]
"""(hook name, its activation on the plain inputs [plain, ...], numbers of some base inputs [base])
-> what these base inputs get there, [base, ...], of which the entries of the sites are written. The
numbers are in order; if there are as many as base inputs, they are all of them.
"""

GROUPED_FROM = 2**20
"""From this many bytes on, the sets of a HookedMLP are run hook by hook, each from its own hook on;
below, one forward of all of them is faster.
"""


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
    is_of_runs: bool = False,
) -> tuple[Tensor, Float[Tensor, "function site base"]]:
    """Run every set of sites on every base input -> the plain outputs, and the readers' numbers.

    The plain outputs are [plain, ...]; the readers read the outputs after each intervention.

    Args:
        plain: inputs that are run untouched, [plain, ...], or examples with keyword inputs.
        base: the plain inputs on which each set of sites is written, a slice or their numbers; the
            same input may appear many times.
        sets: sets of sites; each is one intervention, and its sites may not overlap.
        replacement: (hook name, activation on the plain inputs, numbers of base inputs) -> the
            activation of these base inputs, of which each site's index is written.
        max_batch_bytes: the bytes that the activations of one forward may take; at least one input
            is run at a time.
        is_of_runs: whether the base inputs are runs that the caller did not name, such as draws. A
            message then has the shape of the plain inputs' outputs, otherwise of the base inputs'
            outputs.

    Raises:
        XorMiError: an index outside its activation, a value of another shape, overlapping sites, a
            site that did not fire exactly once, or results that need more memory than is allowed.
    """
    plain = as_examples(plain)
    require_finite_inputs(plain)
    # The number of each base input among the plain inputs.
    if isinstance(base, slice):
        base = torch.arange(len(plain), device=plain.device)[base]
    require_memory(
        len(readers.functions) * len(sets) * len(base) * bytes_per_number(model),
        what=f"the results of {len(sets):,} interventions on {len(base):,} inputs each",
        do="give fewer sites, or fewer pairs or rows",
    )
    work = _Work(model, plain, base, replacement, readers, max_batch_bytes, progress, is_of_runs)
    if isinstance(model, HookedMLP):
        return _intervene_on_mlp(model, work, sets)
    return _intervene_on_any(work, sets)


@dataclass(frozen=True, eq=False)
class _Work:
    """The arguments of `intervene`, without the sets of sites."""

    model: HookedModel
    plain: Examples
    base: Tensor
    replacement: Replacement
    readers: Readers
    max_batch_bytes: int | None
    progress: bool
    is_of_runs: bool

    def read_runs(self, written: Tensor, untouched: Tensor) -> Float[Tensor, "function set base"]:
        """The readers' numbers for outputs [set, base, ...].

        Args:
            untouched: outputs of the plain inputs.

        Raises:
            XorMiError: what the readers refuse. The message has the outputs that the caller knows,
                because a run holds only as many as fit into memory.
        """
        try:
            return self.readers.read_runs(written)
        except XorMiError as error:
            refused = error
        known = untouched if self.is_of_runs else untouched[self.base]
        self.readers.read_runs(known[None])
        raise refused


class _Grown(NamedTuple):
    """The place where the batch of base inputs grows into one copy per set: a hook or a block.

    Attributes:
        arguments: those of the block's arguments that are repeated.
    """

    hook: str | None = None
    block: int | None = None
    arguments: Arguments = frozenset()


def _intervene_on_mlp(
    model: HookedMLP, work: _Work, sets: Sequence[SiteSet]
) -> tuple[Tensor, Tensor]:
    """Run a network in which everything passes through each hook."""
    plain, base = work.plain, work.base
    rows_per_run = inputs_per_run(model, plain, work.max_batch_bytes)
    n_rows = len(plain) + len(sets) * len(base)
    is_small = n_rows <= rows_per_run and n_rows * bytes_per_row(model) < GROUPED_FROM
    # direct connections lead past the hooks
    groups = _by_first_hook(model, sets, split=not is_small and not model.cfg.direct)
    if n_rows <= rows_per_run:
        everyone = torch.arange(len(base), device=plain.device)
        value = partial(_of_these, work.replacement, everyone)
        results: list[Tensor] = []
        for hook, numbers in groups:
            of_group = sets if len(groups) == 1 else [sets[number] for number in numbers]
            grown = None if model.cfg.direct else hook
            untouched, written = _run_together(model, plain, base, of_group, value, grown)
            results.append(work.read_runs(written, untouched))
        return untouched, _in_order(results, [numbers for _, numbers in groups], len(sets))

    hook_names = {site.hook_name for site in chain.from_iterable(sets)}
    untouched, seen = run_plain(model, plain, hook_names, rows_per_run, progress=work.progress)
    grown_groups = [
        (_Grown() if model.cfg.direct else _Grown(hook=hook), numbers) for hook, numbers in groups
    ]
    return untouched, _in_parts(work, sets, grown_groups, untouched, seen, rows_per_run)


def _by_first_hook(
    model: HookedMLP, sets: Sequence[SiteSet], *, split: bool
) -> list[tuple[str, Sequence[int]]]:
    """The sets by the first hook that each writes, with their numbers; in one group if not
    split."""
    everyone: Sequence[int] = range(len(sets))
    hooks = hooks_of(sets)
    if len(hooks) == 1:
        return [(hooks.pop(), everyone)]
    order = {name: place for place, name in enumerate(model.hook_dict)}
    if not split:
        return [(min(hooks, key=order.__getitem__), everyone)]
    groups: dict[str, list[int]] = {}
    for number, together in enumerate(sets):
        first = min(together, key=lambda site: order[site.hook_name])
        groups.setdefault(first.hook_name, []).append(number)
    return list(groups.items())


def _intervene_on_any(work: _Work, sets: Sequence[SiteSet]) -> tuple[Tensor, Tensor]:
    """Run a model of which only the hooks are known."""
    model, plain, base = work.model, work.plain, work.base
    hook_names = {site.hook_name for site in chain.from_iterable(sets)}
    probed = probe_hooks(model, plain, asked=hook_names, max_batch_bytes=work.max_batch_bytes)
    require_hooks(model, probed, hook_names)
    _require_disjoint_points(model, probed, sets)
    rows_per_run = inputs_per_run(model, plain, work.max_batch_bytes, probed)
    untouched, seen = run_plain(model, plain, hook_names, rows_per_run, progress=work.progress)
    warn_of_coupled_batch(model, probed, seen)
    groups = [(_Grown(), list(range(len(sets))))]
    if len(sets) * len(base) > rows_per_run:
        groups = _by_first_block(work, sets, untouched)
    if len(hook_names) > 1 and hook_names & probed.changed:
        groups = _by_written_hooks(sets, groups)
    values = _in_parts(work, sets, groups, untouched, seen, rows_per_run)
    _warn_of_no_effects(work, sets, untouched, values)
    return untouched, values


def _by_written_hooks(
    sets: Sequence[SiteSet], groups: Sequence[tuple[_Grown, Sequence[int]]]
) -> list[tuple[_Grown, Sequence[int]]]:
    """The sets of each group, grouped further by the hooks that they write.

    A hook that writes gives the model a new tensor for the whole batch. If the model then works in
    place, it changes another tensor than in a run that writes nothing at this hook.
    """
    parts: list[tuple[_Grown, Sequence[int]]] = []
    for grown, numbers in groups:
        by_hooks: dict[frozenset[str], list[int]] = {}
        for number in numbers:
            hooks = frozenset([site.hook_name for site in sets[number]])
            by_hooks.setdefault(hooks, []).append(number)
        parts += [(grown, of_hooks) for of_hooks in by_hooks.values()]
    return parts


def _require_disjoint_points(model: HookedModel, probed: Probed, sets: Sequence[SiteSet]) -> None:
    """Refuse sets that write one place of a hook point under two of its names.

    Sites under one name are compared when they are written.
    """
    hooks = model.hook_dict  # once: a bridge makes it anew every time
    points = {site.hook_name: hooks[site.hook_name] for site in chain.from_iterable(sets)}
    if len(set(map(id, points.values()))) == len(points):
        return
    for together in sets:
        if len(together) > 1:
            sites = with_one_name_each(model, together)
            shapes = {site.hook_name: probed.hooks[site.hook_name].shape or () for site in sites}
            require_disjoint([0] * len(sites), sites, shapes)


def _by_first_block(
    work: _Work, sets: Sequence[SiteSet], untouched: Tensor
) -> list[tuple[_Grown, Sequence[int]]]:
    """The sets by the first block that each writes in, if the batch may grow before it."""
    by_block: dict[int, list[int]] = {}
    for number, together in enumerate(sets):
        by_block.setdefault(first_block(together), []).append(number)
    groups: list[tuple[_Grown, Sequence[int]]] = []
    from_the_start: list[int] = []
    model, plain = work.model, work.plain
    arguments_of = arguments_of_blocks(model, by_block, plain)
    for block, numbers in sorted(by_block.items()):
        written = {site.hook_name for number in numbers for site in sets[number]}
        arguments = arguments_of.get(block, frozenset())
        if arguments and may_grow_before(model, block, arguments, written, plain, untouched):
            groups.append((_Grown(block=block, arguments=arguments), numbers))
        else:
            from_the_start += numbers
    return [(_Grown(), from_the_start), *groups] if from_the_start else groups


def _warn_of_no_effects(
    work: _Work, sets: Sequence[SiteSet], untouched: Tensor, values: Tensor
) -> None:
    """Warn of hooks that nothing reads, among those where single writes never have an effect.

    Sets of several hooks do not show it: a set may have an effect although one of its hooks is not
    read.
    """
    # as one run: if a metric is not finite here, the caller names it, with the input
    before = work.readers.read_runs(untouched[work.base][None])[:, 0]
    is_same = (values == before[:, None]).all(-1).all(0)
    hooks_of = [{site.hook_name for site in together} for together in sets]
    suspects = set().union(*hooks_of)
    for hooks, same in zip(hooks_of, is_same.tolist(), strict=True):
        if len(hooks) == 1 and not same:
            suspects -= hooks
    warn_of_unread(work.model, work.plain, suspects)


def _in_parts(
    work: _Work,
    sets: Sequence[SiteSet],
    groups: Sequence[tuple[_Grown, Sequence[int]]],
    untouched: Tensor,
    seen: Mapping[str, Tensor],
    rows_per_run: int,
) -> Tensor:
    """The readers' numbers after each set, run part by part.

    Args:
        untouched, seen: the outputs of the plain inputs, and every hook's activation on them.
    """
    plain, base = work.plain, work.base
    n_base = len(base)
    sets_per_run = max(1, min(len(sets), rows_per_run // n_base))
    parts = torch.arange(n_base, device=plain.device).split(rows_per_run)
    runs = [
        (grown, numbers[start : start + sets_per_run])
        for grown, numbers in groups
        for start in range(0, len(numbers), sets_per_run)
    ]
    is_rowwise = work.readers.rowwise
    if not is_rowwise:
        of_one = untouched[:1]
        require_memory(
            n_base * sets_per_run * of_one.numel() * of_one.element_size(),
            what=f"the outputs of {n_base:,} inputs, which a metric of your own sees together",
            do="give fewer inputs, pairs or runs, or a decision of xor_mi.metrics",
        )
    room = _Room()
    results: list[Tensor] = []
    for grown, numbers in progress_bar(
        runs, doing="intervening", unit="run", progress=work.progress
    ):
        of_run = [sets[number] for number in numbers]
        # [set, base, ...]; or the numbers themselves, if the readers look at each example alone
        outputs: list[Tensor] = []
        for part in parts:
            value = partial(_of_those_kept, work.replacement, seen, part)
            written = _run_copies(work.model, plain[base[part]], of_run, value, grown, room)
            # a copy: a model may return what it writes into again
            read = work.read_runs(written, untouched) if is_rowwise else written.clone()
            outputs.append(read)
        if is_rowwise:
            results.append(torch.cat(outputs, dim=2))
            continue
        # a metric sees all the base inputs of a set, even if they were run in parts
        results.append(work.read_runs(torch.cat(outputs, dim=1), untouched))
    return _in_order(results, [numbers for _, numbers in runs], len(sets))


def _in_order(results: Sequence[Tensor], numbers: Sequence[Sequence[int]], n_sets: int) -> Tensor:
    """The readers' numbers of several groups of sets, [function, set, base], in the sets' order."""
    if len(results) == 1:
        return results[0]
    first = results[0]
    values = first.new_empty(first.shape[0], n_sets, first.shape[2])
    for result, of_result in zip(results, numbers, strict=True):
        values[:, list(of_result)] = result
    return values


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
    room: "_Room",
) -> Tensor:
    """One forward of a copy of the base inputs per set -> outputs [set, base, ...]."""
    layout = Layout(n_plain=0, n_sets=len(sets), n_base=len(examples))
    hooks = hooks_that_write(sets, layout, value)
    n_rows = layout.n_sets * layout.n_base
    growing: AbstractContextManager[None] = nullcontext()
    if grown.hook is not None:
        everyone = torch.arange(len(examples), device=examples.device)
        writer = hooks.pop(grown.hook)
        # an output that grows is returned to the caller, and must not change afterwards
        is_output = kind_of_hook(grown.hook) == "output"
        own = None if is_output else room
        growing = _grown_at_hook(model, grown.hook, everyone, layout, writer, own)
    elif grown.block is not None:
        growing = grown_before_block(model, grown.block, grown.arguments, len(sets))
    else:
        examples = examples.repeated(len(sets))
    with growing:
        outputs = require_tensor(call_hooked(model, examples, hooks), n_rows)
    return outputs.view(layout.n_sets, layout.n_base, *outputs.shape[1:])


@contextmanager
def _grown_at_hook(
    model: HookedModel,
    name: str,
    base: Tensor,
    layout: Layout,
    writer: Writer,
    room: "_Room | None" = None,
) -> Iterator[None]:
    """In this block the batch grows at this hook, and what is planned there is written.

    room: the memory of an earlier run, for base inputs without plain inputs.

    It is a hook of PyTorch's, after the caller's hooks: a HookedMLP does not let its own hooks
    return another shape.
    """

    def grow(point: object, given: object, activation: Tensor) -> Tensor:
        del point, given
        if room is not None:
            return room.written(layout, activation, writer)
        grown = _grown(base, layout, activation)
        writer.write_into(grown)
        return grown

    handle = model.hook_dict[name].register_forward_hook(grow)
    try:
        yield
    finally:
        handle.remove()
    if room is not None:
        room.put_back(layout, writer)


class _Room:
    """Copies of the base inputs' activation at a hook, kept from run to run.

    New memory is given page by page, and filling it takes longer than the rest of a run. So a run
    puts back what was at its sites, and the next run finds the same copies. They are made again if
    the activation differs, or if something else wrote into them.
    """

    def __init__(self) -> None:
        self._copies: Tensor | None = None
        self._of_base = torch.empty(0)
        self._n_writes = 0

    def written(self, layout: Layout, activation: Tensor, writer: Writer) -> Tensor:
        """The activation [base, ...] once per set, with what is planned: [set * base, ...]."""
        n_rows = layout.n_sets * layout.n_base
        copies = self._copies
        if copies is None or len(copies) < n_rows or not _is_same(self._of_base, activation):
            self._copies = None  # before the first copies are made
            # copies: a hook may hold the activation itself
            self._of_base = activation.clone()
            everyone = torch.arange(layout.n_base, device=activation.device)
            self._copies = copies = _grown(everyone, layout, activation)
        grown = copies[:n_rows]
        writer.write_into(grown)
        self._n_writes = n_writes(copies)
        return grown

    def put_back(self, layout: Layout, writer: Writer) -> None:
        """Restore what was at a writer's sites before the run, once the run is over."""
        copies = self._copies
        # under inference_mode PyTorch counts no writes
        if copies is None or copies.is_inference() or n_writes(copies) != self._n_writes:
            self._copies = None
            return
        grown = copies[: layout.n_sets * layout.n_base]
        of_sets = grown.view(layout.n_sets, layout.n_base, *grown.shape[1:])
        writer.write_entries(self._of_base, of_sets)


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the last bit."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(*[values.contiguous().view(torch.uint8) for values in (one, other)])


def _grown(base: Tensor, layout: Layout, activation: Tensor) -> Tensor:
    """An activation [plain, ...], followed by a copy of the base inputs per set.

    Without plain inputs there are only the copies.
    """
    n_plain, n_sets, n_base = layout
    grown = activation.new_empty(n_plain + n_sets * n_base, *activation.shape[1:])
    grown[:n_plain] = activation[:n_plain]
    copies = grown[n_plain:].view(n_sets, n_base, *activation.shape[1:])
    copies[:] = activation.index_select(0, base)
    return grown
