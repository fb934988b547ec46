"""a network -> every subcircuit of it, and which of them decide every row right.

A subcircuit keeps all inputs and outputs, some hidden units and some edges, so that every kept unit
and output reads at least one edge and every kept unit and input is read by at least one. A unit's
value depends on its own kept edges only, given its sources' values: each (unit, kept edges) is
evaluated once per choice of the layers before, and the combinations are added up, not run one by
one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from math import comb
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from xor_mi.errors import require_at_most, require_memory
from xor_mi.finding import Finding, count_text
from xor_mi.graph import Edge, Subcircuit, layers_of, require_layer_sizes
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar
from xor_mi.search._convention import AnyConvention, Convention
from xor_mi.search._problem import (
    KeptEdges,
    Numbers,
    Problem,
    cut_layers,
    kept_layers,
    require_shape,
)

MAX_EDGES = 10_000
"""A network with more edges has so many subcircuits that Python does not print the number."""
MAX_LISTED = 20_000_000
"""More subcircuits than this are counted (`count_perfect_subcircuits`), not listed."""
NUMBERS_AT_ONCE = 2**22
"""How many numbers one step of the walk may hold."""
CHOICES_AT_ONCE = 2**14
"""How many choices of edges of one layer are processed together."""

Integers = NDArray[np.int64]

Masks = NDArray[np.unsignedinteger]
"""Per subcircuit and unit of one layer the kept sources, as bits (bit i = source i), [n, unit]."""


def count_subcircuits(layer_sizes: Sequence[int]) -> int:
    """How many subcircuits a fully connected network has, in closed form.

    Between a kept sources and b kept targets there are sum_i (-1)^i C(a, i) (2^(a-i) - 1)^b sets of
    edges that leave no unit unconnected.

    >>> [count_subcircuits((2, h, 1)) for h in range(1, 6)]
    [1, 9, 49, 225, 961]
    >>> count_subcircuits((2, 3, 3, 1)), count_subcircuits((2, 5, 5, 1))
    (9625, 7271931361)

    Raises:
        XorMiError: sizes that no network has, or more than `MAX_EDGES` edges.
    """
    require_layer_sizes(layer_sizes)
    n_edges = sum(before * after for before, after in pairwise(layer_sizes))
    require_at_most(
        n_edges,
        MAX_EDGES,
        what="edges",
        do="take a narrower network: the number of its subcircuits has thousands of digits",
    )
    # the number of kept units of a layer -> ways to choose everything up to there
    ways = {layer_sizes[0]: 1}
    for size in layer_sizes[1:-1]:
        ways = {n: comb(size, n) * _ways_to_keep(n, ways) for n in range(1, size + 1)}
    return _ways_to_keep(layer_sizes[-1], ways)


def _ways_to_keep(n_targets: int, ways: dict[int, int]) -> int:
    """Ways to choose all edges up to these targets, added up over the numbers of kept sources."""
    return sum(n_ways * _edge_sets(n_sources, n_targets) for n_sources, n_ways in ways.items())


def _edge_sets(n_sources: int, n_targets: int) -> int:
    """Sets of edges in which every source is read and every target reads.

    By inclusion-exclusion over the sources that are not read.
    """
    return sum(
        (-1) ** n_unread
        * comb(n_sources, n_unread)
        * (2 ** (n_sources - n_unread) - 1) ** n_targets
        for n_unread in range(n_sources + 1)
    )


def as_network(
    model: HookedMLP, subcircuit: Subcircuit, *, convention: AnyConvention = None
) -> HookedMLP:
    """A subcircuit as its own network, in float64, to cache, patch or train further.

    It keeps the network's activations, loss, decision rule, input levels and target.

    >>> from xor_mi.handmade import textbook_xor
    >>> without_and = Subcircuit((2, 2, 1), (((0, 1), ()), ((0,),)))
    >>> as_network(textbook_xor(), without_and)([[1, 1]]).tolist()
    [[2.0]]

    Raises:
        XorMiError: a subcircuit of another shape, or a network with direct connections.
    """
    require_plain_mlp(model, "a subcircuit")
    model.require_no_direct("a subcircuit")
    require_shape(model, subcircuit)
    layers = cut_layers(model, Convention.of(convention))
    tensors = [
        (torch.from_numpy(weight), torch.from_numpy(bias))
        for weight, bias in kept_layers(layers, subcircuit)
    ]
    return model.with_weights(tensors, dtype=torch.float64)


@dataclass(frozen=True, eq=False, kw_only=True)
class SubcircuitSearch(Finding):
    """Every subcircuit of a network, tried. Iterating gives the perfect ones.

    Attributes:
        layer_sizes: (d_in, *d_hidden, d_out) of the network.
        convention: the convention of the search.
        total: how many subcircuits there are under the convention.
        n_perfect: how many decide every row right.
        masks: for the perfect ones, per linear layer and target unit, the kept sources as bits (bit
            i = source i), [perfect, unit].
        n_by_edges: number of kept edges -> (subcircuits, perfect ones).
        complete: False if Ctrl-C stopped the search; then it has what was found until then, and
            `total` is the number that was tried.
    """

    layer_sizes: tuple[int, ...]
    convention: Convention
    total: int
    n_perfect: int
    masks: tuple[Masks, ...] = field(repr=False)
    n_by_edges: dict[int, tuple[int, int]] = field(repr=False)
    complete: bool = True

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "layer_sizes": self.layer_sizes,
            "total": self.total,
            "n_perfect": self.n_perfect,
            "complete": self.complete,
            "convention": asdict(self.convention),
        }

    def __len__(self) -> int:
        return self.n_perfect

    def __getitem__(self, index: int) -> Subcircuit:
        if not -self.n_perfect <= index < self.n_perfect:
            raise IndexError(f"{self.n_perfect:,} perfect subcircuits")
        sources: list[tuple[tuple[int, ...], ...]] = []
        for n_sources, layer in zip(self.layer_sizes, self.masks, strict=False):
            masks = layer[index].tolist()
            sources.append(tuple(_indices(mask, n_sources) for mask in masks))
        return Subcircuit(self.layer_sizes, tuple(sources))

    def __iter__(self) -> Iterator[Subcircuit]:
        return (self[index] for index in range(self.n_perfect))

    @cached_property
    def minimal(self) -> tuple[Subcircuit, ...]:
        """The perfect ones that contain no other perfect one, fewest edges first."""
        return tuple(self[index] for index in self._minimal_indices)

    @cached_property
    def _minimal_indices(self) -> tuple[int, ...]:
        by_size = np.argsort(n_edges(self.masks), kind="stable")
        edges = self._packed_edges()[by_size]
        minimal: list[int] = []
        # the smallest one left contains no other, and whatever contains it is not minimal
        while len(by_size):
            minimal.append(int(by_size[0]))
            lacks_an_edge = (edges[0] & ~edges).any(1)
            by_size, edges = by_size[lacks_an_edge], edges[lacks_an_edge]
        return tuple(minimal)

    def kept_edges(self, which: slice | Integers) -> list[KeptEdges]:
        """The edges that some of the perfect ones keep, chosen by number, layer by layer."""
        by_layer = zip(self.masks, self.layer_sizes, strict=False)
        return [_unpacked(layer[which], width) for layer, width in by_layer]

    def _packed_edges(self) -> NDArray[np.uint8]:
        """Which edges each perfect subcircuit keeps, eight per byte, so that comparing is fast."""
        n_edges_of_network = sum(a * b for a, b in pairwise(self.layer_sizes))
        packed = [np.zeros((0, -(-n_edges_of_network // 8)), dtype=np.uint8)]
        for start in range(0, self.n_perfect, CHOICES_AT_ONCE):
            some = self.kept_edges(slice(start, start + CHOICES_AT_ONCE))
            unpacked = [layer.reshape(len(layer), -1) for layer in some]
            packed.append(np.packbits(np.concatenate(unpacked, axis=1), axis=1))
        return np.concatenate(packed)

    def frame(self) -> pd.DataFrame:
        """One row per perfect subcircuit: n_units, n_edges, edges, and whether it is minimal."""
        minimal = np.zeros(self.n_perfect, dtype=bool)
        minimal[list(self._minimal_indices)] = True
        # a unit without sources is dropped; the last layer has no hidden units
        n_units = sum((layer > 0).sum(1) for layer in self.masks[:-1])
        return pd.DataFrame(
            {
                "n_units": np.asarray(n_units, dtype=np.int64),
                "n_edges": n_edges(self.masks),
                "edges": self._edge_texts(),
                "minimal": minimal,
            }
        )

    def _edge_texts(self) -> list[str]:
        """The kept edges of each perfect subcircuit by name."""
        columns: list[list[str]] = []
        for number, (sources, targets) in enumerate(pairwise(layers_of(self.layer_sizes))):
            for target, masks in zip(targets, self.masks[number].T.tolist(), strict=True):
                # many subcircuits share a target's kept sources, so each set is written once
                spelled: dict[int, str] = {}
                for mask in set(masks):
                    edges = [Edge(sources[i], target) for i in _indices(mask, len(sources))]
                    spelled[mask] = " ".join(edge.name for edge in edges)
                columns.append([spelled[mask] for mask in masks])
        # a dropped unit has no edges and leaves no gap
        return [" ".join(filter(None, texts)) for texts in zip(*columns, strict=True)]

    def __str__(self) -> str:
        stopped = "" if self.complete else "stopped early: "
        return (
            f"{stopped}{self.n_perfect:,} of {count_text(self.total, 'subcircuit')} "
            f"{'decides' if self.n_perfect == 1 else 'decide'} every row right, "
            f"{len(self.minimal):,} of them minimal"
        )


def _indices(mask: int, width: int) -> tuple[int, ...]:
    """The bits that are set."""
    return tuple(i for i in range(width) if mask >> i & 1)


def _unpacked(masks: Masks, width: int) -> KeptEdges:
    """Which edges into a layer are kept, [n, unit, source]."""
    return ((masks[:, :, None] >> np.arange(width)) & 1).astype(bool)


def n_edges(masks: Iterable[Masks | Integers]) -> Integers:
    """How many edges each subcircuit keeps, [n]."""
    return np.sum([np.bitwise_count(layer).astype(np.int64).sum(1) for layer in masks], axis=0)


def find_subcircuits(
    model: HookedMLP,
    target: Target | None = None,
    *,
    convention: AnyConvention = None,
    progress: bool = True,
) -> SubcircuitSearch:
    """Evaluate every subcircuit, and list those that decide every row right.

    >>> from xor_mi.handmade import textbook_xor
    >>> print(find_subcircuits(textbook_xor()))
    1 of 9 subcircuits decides every row right, 1 of them minimal

    Raises:
        XorMiError: a network that weight arithmetic alone does not describe (hooks, train mode) or
            with direct connections, no target, or more than `MAX_LISTED` subcircuits.
    """
    return search_subcircuits(Problem.of(model, target, convention), progress)


def search_subcircuits(problem: Problem, progress: bool) -> SubcircuitSearch:
    """Evaluate every subcircuit of a problem."""
    sizes = problem.sizes
    total = count_subcircuits(sizes)
    require_at_most(
        total, MAX_LISTED, what="subcircuits", do="count_perfect_subcircuits counts them"
    )
    most_edges = sum(a * b for a, b in pairwise(sizes))
    # the values of all units of a layer under every set of sources
    n_values = max(b * 2**a for a, b in pairwise(sizes)) * len(problem.rows)
    require_memory(
        3 * 8 * n_values,
        what=f"{n_values:,} values of one layer's units on {len(problem.rows):,} rows",
        do="take a smaller n_noisy, or a narrower network",
    )
    tried = np.zeros(most_edges + 1, dtype=np.int64)  # by number of edges
    perfect = np.zeros_like(tried)
    # only as many bytes as the sources of each layer need
    kinds = [np.uint16 if size <= 16 else np.uint32 for size in sizes[:-1]]
    # the first chunk is empty, so that there is something to join if nothing is perfect
    nothing = zip(sizes[1:], kinds, strict=True)
    chunks: list[list[Masks]] = [[np.zeros((0, size), dtype=kind) for size, kind in nothing]]
    complete = True
    with progress_bar(
        doing="subcircuits", unit="subcircuit", total=total, progress=progress
    ) as bar:
        try:
            for masks, outputs in _walk(problem):
                if not problem.convention.all_units:
                    # under this convention a subcircuit that keeps every unit does not count
                    some_off = ~_all_on(masks)
                    masks = [layer[some_off] for layer in masks]
                    outputs = outputs[some_off]
                right = problem.right(outputs)
                edges = n_edges(masks)
                tried += np.bincount(edges, minlength=len(tried))
                perfect += np.bincount(edges[right], minlength=len(tried))
                # only the perfect ones are held
                held = zip(masks, kinds, strict=True)
                chunks.append([layer[right].astype(kind) for layer, kind in held])
                bar.update(len(right))
        except KeyboardInterrupt:
            # what was found until now is kept; `complete` says that it is not everything
            complete = False
    joined = tuple(np.concatenate(layer) for layer in zip(*chunks, strict=True))
    by_edges = {n: (int(tried[n]), int(perfect[n])) for n in np.flatnonzero(tried).tolist()}
    return SubcircuitSearch(
        layer_sizes=sizes,
        convention=problem.convention,
        total=int(tried.sum()),
        n_perfect=len(joined[0]),
        masks=joined,
        n_by_edges=by_edges,
        complete=complete,
    )


def _all_on(masks: Sequence[Integers]) -> NDArray[np.bool_]:
    """Whether every hidden unit is kept, [subcircuit]."""
    return np.all([(layer > 0).all(1) for layer in masks[:-1]], axis=0)


class _Choices(NamedTuple):
    """Choices of edges up to some layer, and the values that they give.

    Attributes:
        masks: per linear layer so far the kept sources of each unit as bits, [n, unit].
        values: the values of the units of the last layer so far, [n, unit, row].
        alive: which of these units are kept, as bits, [n].
    """

    masks: list[Integers]
    values: Numbers
    alive: Integers

    def take(self, which: Integers | slice) -> "_Choices":
        masks = [layer[which] for layer in self.masks]
        return _Choices(masks, self.values[which], self.alive[which])


def _walk(problem: Problem) -> Iterator[tuple[list[Integers], Numbers]]:
    """Chunks of subcircuits: masks per linear layer [n, unit], and outputs [n, row, d_out]."""
    # before the first layer there is one choice: all inputs are kept
    all_inputs = np.array([2 ** problem.sizes[0] - 1])
    start = _Choices(masks=[], values=problem.rows.T[None], alive=all_inputs)
    chunks: Iterator[_Choices] = iter([start])
    # the layers' iterators are nested, so no more than a few chunks exist at a time
    for layer in range(len(problem.sizes) - 1):
        chunks = _with_next_layer(problem, layer, _gathered(chunks))
    for masks, values, _ in chunks:
        yield masks, values.transpose(0, 2, 1)


def _gathered(chunks: Iterator[_Choices]) -> Iterator[_Choices]:
    """Small chunks joined, so that the next layer has few of them to look at."""
    waiting: list[_Choices] = []
    for chunk in chunks:
        waiting.append(chunk)
        if sum(choices.values.size for choices in waiting) > NUMBERS_AT_ONCE:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(chunks: list[_Choices]) -> _Choices:
    by_layer = zip(*(chunk.masks for chunk in chunks), strict=True)
    return _Choices(
        masks=[np.concatenate(layer) for layer in by_layer],
        values=np.concatenate([chunk.values for chunk in chunks]),
        alive=np.concatenate([chunk.alive for chunk in chunks]),
    )


def _with_next_layer(
    problem: Problem, layer: int, chunks: Iterator[_Choices]
) -> Iterator[_Choices]:
    """Choices of edges up to the layer before -> those with linear layer `layer` too."""
    n_targets = problem.sizes[layer + 1]
    is_last = layer == len(problem.sizes) - 2
    n_rows = len(problem.rows)
    at_once = max(1, min(CHOICES_AT_ONCE, NUMBERS_AT_ONCE // (n_targets * n_rows)))
    for chunk in chunks:
        if is_last and n_targets == 1:
            yield _read_by_one_output(problem, chunk)
            continue
        for alive in np.unique(chunk.alive).tolist():
            # all of a group have the same sources to choose from, so one grid is enough
            group = chunk.take(np.flatnonzero(chunk.alive == alive))
            for subsets, grid in _edge_choices(alive, n_targets, at_once, is_last=is_last):
                # one earlier choice becomes len(grid) of them, with n_targets x n_rows values each
                step = max(1, NUMBERS_AT_ONCE // max(1, len(grid) * n_targets * n_rows))
                for start in range(0, len(group.alive), step):
                    before = group.take(slice(start, start + step))
                    yield _combined(problem, layer, before, subsets=subsets, grid=grid)


def _read_by_one_output(problem: Problem, chunk: _Choices) -> _Choices:
    """The last layer for a single output, which has no choice: it reads every kept unit."""
    cut = problem.layers[-1]
    n_sources = cut.weight.shape[1]
    kept = (chunk.alive[:, None] >> np.arange(n_sources)) & 1  # [n, source]
    pre = (kept * cut.weight)[:, None] @ (chunk.values - cut.carried[:, None])  # [n, 1, row]
    values = problem.activate(pre + cut.bias_if_all_dropped[:, None], len(problem.layers) - 1)
    reads = chunk.alive[:, None]
    return _Choices([*chunk.masks, reads], values=values, alive=np.ones_like(chunk.alive))


def _combined(
    problem: Problem, layer: int, before: _Choices, *, subsets: Integers, grid: Integers
) -> _Choices:
    """Every choice of earlier edges with every choice of this layer's edges.

    Args:
        subsets: sets of kept sources as bits, [subset].
        grid: per choice and target the number of its subset, [choice, target].
    """
    n_targets = grid.shape[1]
    by_subset = values_by_subset(problem, layer, before.values, subsets)
    values = by_subset[:, np.arange(n_targets), grid]  # [n, choice, unit, row]
    # earlier choice 0 with the whole grid, then earlier choice 1 with the whole grid, ...
    earlier = [np.repeat(masks, len(grid), axis=0) for masks in before.masks]
    own = np.tile(subsets[grid], (len(before.alive), 1))  # [n * choice, unit]
    return _Choices(
        masks=[*earlier, own],
        values=values.reshape(-1, *values.shape[2:]),
        alive=((own > 0) << np.arange(n_targets)).sum(1),
    )


def values_by_subset(problem: Problem, layer: int, values: Numbers, subsets: Integers) -> Numbers:
    """Every unit's value under each of these sets of kept sources, [n, unit, subset, row].

    Args:
        values: those of the sources, [n, source, row].
        subsets: sets of kept sources as bits, [subset].
    """
    cut = problem.layers[layer]
    n_units, n_sources = cut.weight.shape
    kept = (subsets[:, None] >> np.arange(n_sources)) & 1  # [subset, source]
    # one matrix product for all units and subsets; it adds to the value with all edges dropped
    by_subset = (cut.weight[:, None] * kept).reshape(-1, n_sources)  # [unit * subset, source]
    pre = by_subset @ (values - cut.carried[:, None])
    pre = pre.reshape(len(values), n_units, len(subsets), -1)
    return problem.activate(pre + cut.bias_if_all_dropped[:, None, None], layer)


def _edge_choices(
    alive: int, n_targets: int, at_once: int, *, is_last: bool
) -> Iterator[tuple[Integers, Integers]]:
    """The subsets of the kept sources, and in slices all ways to give each target one of them.

    It is not used for a last layer with one output, which has no choice.

    Subsets are bits, [subset]; ways are subset numbers, [choice, target], such that each kept
    source is read. The empty subset drops the target; an output is never dropped.
    """
    n_subsets = 2 ** alive.bit_count()
    if is_last:
        n_subsets -= 1  # the empty one
    total = n_subsets**n_targets
    for start in range(0, total, at_once):
        stop = min(start + at_once, total)
        yield _edge_choices_between(alive, n_targets, is_last=is_last, start=start, stop=stop)


# Every chunk of the walk needs the same few grids again.
@lru_cache(maxsize=256)
def _edge_choices_between(
    alive: int, n_targets: int, *, is_last: bool, start: int, stop: int
) -> tuple[Integers, Integers]:
    """Choices number start to stop of `_edge_choices`."""
    inside = [0]
    while inside[-1] != alive:
        # the next number that has no bit outside `alive`
        inside.append((inside[-1] - alive) & alive)
    # the empty set is the first of them
    subsets = np.array(inside[1:] if is_last else inside, dtype=np.int64)
    # the number of a choice, written in base len(subsets), has one digit per target
    numbers = np.arange(start, stop)
    place_values = len(subsets) ** np.arange(n_targets)[::-1]
    grid = numbers[:, None] // place_values % len(subsets)
    reads_all = np.bitwise_or.reduce(subsets[grid], axis=1) == alive
    return subsets, grid[reads_all]
