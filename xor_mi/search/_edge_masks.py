"""a network -> every set of edges that could be its circuit, and which of them do the task.

This is the truth that a method for finding circuits can be graded against. It is not one right
answer: it says for each of the 2^edges masks whether the network decides every row right if only
these edges are kept. `find_subcircuits` lists only the masks that leave no unit unconnected; here
no mask is left out.

A unit of the last hidden layer has as many different values as it has sets of sources, times the
masks of the layers before. An output adds up one of these values for each unit that it reads. So
sums are computed only over the units that are read, and hold for every mask of the other units.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, reduce
from itertools import pairwise, product
from operator import or_

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from xor_mi.errors import (
    XorMiError,
    require_at_most,
    require_kind,
    require_memory,
    shown,
    whole_number,
)
from xor_mi.finding import Finding, count_text
from xor_mi.graph import Edge, Subcircuit, edges_of
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar
from xor_mi.search._convention import AnyConvention, Convention
from xor_mi.search._mask_cube import minimal_among
from xor_mi.search._problem import (
    VALUES_AT_ONCE,
    CutLayer,
    KeptEdges,
    Numbers,
    Problem,
    activate,
    clean_rows,
    cut_layers,
    kept_edges,
)
from xor_mi.search._subcircuits import values_by_subset

MAX_MASKED_EDGES = 24
"""A network with more edges is refused: it has more masks than are tried."""
MASKS_AT_ONCE = 2**20
"""How many masks are processed together if each has its own number."""

Counts = NDArray[np.unsignedinteger]
"""A whole number per mask, [mask]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EdgeMasks(Finding):
    """Every set of edges of a network, tried: mask m keeps edge e where bit e of m is set.

    Attributes:
        layer_sizes: (d_in, *d_hidden, d_out) of the network.
        convention: the convention under which they were tried.
        drop_unfed: whether a unit that reads nothing is dropped; see `edge_masks`.
        edges: all edges in the order of the bits: layer by layer, by target and then by source.
        n_rows: how many rows there are to decide.
        n_right_rows: how many of them each mask decides right, at all outputs, [mask].
        perfect: which masks decide every row right, [mask].
    """

    layer_sizes: tuple[int, ...]
    convention: Convention
    drop_unfed: bool
    edges: tuple[Edge, ...] = field(repr=False)
    n_rows: int
    n_right_rows: Counts = field(repr=False)
    perfect: NDArray[np.bool_] = field(repr=False)

    def __len__(self) -> int:
        return len(self.perfect)

    @property
    def n_perfect(self) -> int:
        """How many masks decide every row right."""
        return int(np.count_nonzero(self.perfect))

    @cached_property
    def n_edges(self) -> Counts:
        """How many edges each mask keeps, [mask]."""
        return np.bitwise_count(np.arange(len(self), dtype=np.uint32))

    @cached_property
    def minimal(self) -> NDArray[np.bool_]:
        """Which masks are perfect and contain no other perfect one, [mask]."""
        return minimal_among(self.perfect)

    @cached_property
    def is_subcircuit(self) -> NDArray[np.bool_]:
        """Which masks are subcircuits in the sense of `find_subcircuits`, [mask].

        In such a mask every kept edge leads somewhere and comes from somewhere, all inputs are
        read, and under a convention with all_units=False some hidden unit is dropped.
        """
        is_one = np.empty(len(self), dtype=np.bool_)
        for start in range(0, len(self), MASKS_AT_ONCE):
            stop = min(start + MASKS_AT_ONCE, len(self))
            is_one[start:stop] = self._are_subcircuits(np.arange(start, stop))
        return is_one

    def _are_subcircuits(self, masks: NDArray[np.int64]) -> NDArray[np.bool_]:
        kept = np.full(len(masks), 2 ** self.layer_sizes[0] - 1)  # units of a layer, as bits
        fits = np.ones(len(masks), dtype=np.bool_)
        keeps_all = np.ones(len(masks), dtype=np.bool_)
        for n_sources, n_targets in pairwise(self.layer_sizes):
            read, reading = np.zeros_like(kept), np.zeros_like(kept)
            for target in range(n_targets):
                sources = masks & (2**n_sources - 1)
                masks = masks >> n_sources
                read |= sources
                reading |= (sources > 0) << target
            fits &= read == kept
            keeps_all &= kept == 2**n_sources - 1
            kept = reading
        fits &= kept == 2 ** self.layer_sizes[-1] - 1  # all outputs read
        return fits if self.convention.all_units else fits & ~keeps_all

    def kept(self, masks: int | slice | ArrayLike) -> NDArray[np.bool_]:
        """Which edges these masks keep, [mask, edge]; for one mask, [edge].

        >>> from xor_mi.handmade import textbook_xor
        >>> edge_masks(textbook_xor()).kept(0b101).tolist()
        [True, False, True, False, False, False]

        Args:
            masks: the number of one or of several, a slice, or a truth value for every mask, such
                as `perfect`.

        Raises:
            XorMiError: other numbers.
        """
        numbers = self._numbers(masks)
        return (numbers[..., None] >> np.arange(len(self.edges)) & 1).astype(bool)

    def _numbers(self, masks: int | slice | ArrayLike) -> NDArray[np.int64]:
        """The numbers of these masks."""
        if isinstance(masks, slice):
            try:
                return np.arange(*masks.indices(len(self)))
            except (TypeError, ValueError):  # ends that are not whole numbers, or a step of 0
                raise XorMiError(
                    f"masks is {shown(masks)}; give a slice of whole numbers, whose step is not 0"
                ) from None
        try:
            numbers = np.asarray(masks)
        except ValueError:  # lines of different lengths
            numbers = np.empty((0, 0))
        if numbers.shape == (0,):  # without numbers the dtype is not known
            numbers = numbers.astype(np.int64)
        if numbers.dtype == bool and numbers.shape == self.perfect.shape:
            return np.flatnonzero(numbers)
        is_whole = numbers.dtype.kind in "iu" and numbers.ndim <= 1
        if not is_whole or ((numbers < 0) | (numbers >= len(self))).any():
            raise XorMiError(
                f"masks is {shown(masks)}; give whole numbers from 0 to {len(self) - 1:,}, a "
                "slice, or True or False for every mask"
            )
        return numbers.astype(np.int64)

    def mask_of(self, subcircuit: Subcircuit) -> int:
        """The number of the mask that keeps a subcircuit's edges.

        Raises:
            XorMiError: a subcircuit of another network.
        """
        require_kind("subcircuit", subcircuit, Subcircuit, give="one of find_subcircuits(model)")
        if subcircuit.layer_sizes != self.layer_sizes:
            raise XorMiError(
                f"a subcircuit of a network {subcircuit.layer_sizes}; this network is "
                f"{self.layer_sizes}: take one from find_subcircuits(model)"
            )
        flat = np.concatenate([of_layer[0].ravel() for of_layer in kept_edges(subcircuit)])
        return sum(1 << edge for edge in np.flatnonzero(flat).tolist())

    def subcircuit(self, mask: int) -> Subcircuit:
        """One mask as a subcircuit, such as `as_network` takes.

        >>> from xor_mi.handmade import textbook_xor
        >>> masks = edge_masks(textbook_xor())
        >>> masks.subcircuit(len(masks) - 1).edges
        (x0->h0.0, x1->h0.0, x0->h0.1, x1->h0.1, h0.0->y0, h0.1->y0)

        Raises:
            XorMiError: no such mask, or a mask that keeps an edge of a unit that reads nothing, or
                that leaves an output without any edge.
        """
        whole_number("mask", mask, below=len(self))
        sources: list[tuple[tuple[int, ...], ...]] = []
        for (of_layer,) in by_layer(self.kept([mask]), self.layer_sizes):
            sources.append(tuple(tuple(np.flatnonzero(unit).tolist()) for unit in of_layer))
        return Subcircuit(self.layer_sizes, tuple(sources))

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "layer_sizes": self.layer_sizes,
            "edges": [edge.name for edge in self.edges],
            "n_rows": self.n_rows,
            "n_masks": len(self),
            "n_perfect": self.n_perfect,
            "drop_unfed": self.drop_unfed,
            "convention": asdict(self.convention),
        }

    def frame(self) -> pd.DataFrame:
        """One row per number of kept edges.

        Columns: n_edges, n_masks, n_perfect, n_minimal.
        """
        sizes = len(self.edges) + 1
        return pd.DataFrame(
            {
                "n_edges": np.arange(sizes),
                "n_masks": np.bincount(self.n_edges, minlength=sizes),
                "n_perfect": np.bincount(self.n_edges[self.perfect], minlength=sizes),
                "n_minimal": np.bincount(self.n_edges[self.minimal], minlength=sizes),
            }
        )

    def __str__(self) -> str:
        text = (
            f"{self.n_perfect:,} of {len(self):,} sets of edges "
            f"{'decides' if self.n_perfect == 1 else 'decide'} every row right, "
            f"{np.count_nonzero(self.minimal):,} of them minimal"
        )
        if not self.n_perfect:
            return text
        fewest = int(self.n_edges[self.perfect].min())
        return f"{text}; the smallest keep {count_text(fewest, 'edge')}"


def edge_masks(
    model: HookedMLP,
    target: Target | None = None,
    *,
    convention: AnyConvention = None,
    drop_unfed: bool = True,
    progress: bool = True,
) -> EdgeMasks:
    """Try every set of edges: does the network decide every row right when it keeps only these?

    It works for any number of layers and outputs. A dropped edge carries what the convention's
    `ablation` says. Its `decision`, `reference` and noise say what decides, what is right, and on
    which rows.

    The result needs two bytes per mask, or three if there are more than 255 rows: half a megabyte
    for the 2^18 masks of a 2-3-3-1 network, 32 MiB for the most that are tried. The work needs a
    few times `VALUES_AT_ONCE` numbers more.

    Args:
        drop_unfed: whether a hidden unit that reads nothing (no edge, or only edges from such
            units) is dropped, with the edges from it. If False, it stays, with the value that its
            bias gives.

    >>> from xor_mi.handmade import textbook_xor
    >>> masks = edge_masks(textbook_xor())
    >>> print(masks)
    1 of 64 sets of edges decides every row right, 1 of them minimal; the smallest keep 6 edges
    >>> masks.perfect.nonzero()[0].tolist(), masks.n_right_rows[0b010011].item()
    ([63], 3)

    Raises:
        XorMiError: a network that weight arithmetic alone does not describe (hooks, train mode) or
            with direct connections, no target, more than `MAX_MASKED_EDGES` edges, or more values
            of units than there is memory for.
    """
    require_kind("drop_unfed", drop_unfed, bool, give="True or False")
    problem = Problem.of(model, target, convention)
    edges = _edges_to_mask(problem)
    n_rows = len(problem.rows)
    n_right = np.zeros(2 ** len(edges), dtype=np.min_scalar_type(n_rows))

    def right_rows(outputs: Numbers) -> Counts:
        return problem.right_rows(outputs).sum(-1, dtype=n_right.dtype)

    with progress_bar(
        doing="edge masks", unit="mask", total=len(n_right), progress=progress
    ) as bar:
        for n_masks in _fill(n_right, problem, right_rows, drop_unfed=drop_unfed):
            bar.update(n_masks)
    return EdgeMasks(
        layer_sizes=problem.sizes,
        convention=problem.convention,
        drop_unfed=drop_unfed,
        edges=edges,
        n_rows=n_rows,
        n_right_rows=n_right,
        perfect=n_right == n_rows,
    )


def _edges_to_mask(problem: Problem) -> tuple[Edge, ...]:
    """The edges of which every set is tried, or an error that says why they are too many."""
    edges = tuple(edges_of(problem.sizes))
    require_at_most(
        len(edges),
        MAX_MASKED_EDGES,
        what="edges",
        do="count_perfect_subcircuits counts the perfect ones of a network that wide, and "
        "outputs_of_edge_masks runs the masks that you give it",
    )
    n_rows = len(problem.rows)
    n_values = _n_values_by_subset(problem.sizes) * n_rows
    require_memory(
        3 * 8 * n_values,
        what=f"{n_values:,} values of the last hidden layer's units on {n_rows:,} rows",
        do="take a smaller n_noisy, or a network with fewer inputs",
    )
    return edges


def metric_of_edge_masks(
    problem: Problem,
    metric: Callable[[Numbers], Numbers],
    *,
    drop_unfed: bool = True,
    progress: bool = True,
) -> Numbers:
    """A metric of the outputs for every set of edges that the network could keep, [mask].

    Args:
        problem: the network under a convention, `Problem.of(model, target, convention)`.
        metric: float64 outputs [..., row, output] -> [...], such as their mean margin; the rows are
            `problem.rows`, the clean ones and then the noisy ones.
        drop_unfed: as in `edge_masks`.

    >>> from xor_mi.handmade import textbook_xor
    >>> problem = Problem.of(textbook_xor())
    >>> largest = metric_of_edge_masks(problem, lambda outputs: outputs[..., 0].max(-1))
    >>> largest[[0b000000, 0b010011, 0b111111]].tolist()
    [0.0, 2.0, 1.0]

    Raises:
        XorMiError: more than `MAX_MASKED_EDGES` edges, more values of units or numbers than there
            is memory for.
    """
    require_kind("drop_unfed", drop_unfed, bool, give="True or False")
    n_masks = 2 ** len(_edges_to_mask(problem))
    require_memory(8 * n_masks, what=f"a number of each of {n_masks:,} masks", do="drop some edges")
    of_masks = np.empty(n_masks)
    with progress_bar(doing="edge masks", unit="mask", total=n_masks, progress=progress) as bar:
        for n_done in _fill(of_masks, problem, metric, drop_unfed=drop_unfed):
            bar.update(n_done)
    return of_masks


def outputs_of_edge_masks(
    model: HookedMLP,
    kept: ArrayLike,
    *,
    convention: AnyConvention = None,
    drop_unfed: bool = True,
    progress: bool = True,
) -> Numbers:
    """What the network gives on every clean row when it keeps only some edges.

    It works for a network of any size, and the outputs allow any metric.

    Args:
        kept: which edges each mask keeps, [mask, edge], in the order of `graph.edges_of`, such as
            `EdgeMasks.kept` gives it.
        convention: what a dropped edge carries, and whether biases stay.
        drop_unfed: as in `edge_masks`.

    Returns:
        float64 outputs, [mask, row, output].

    >>> from xor_mi.handmade import textbook_xor
    >>> outputs_of_edge_masks(textbook_xor(), [[1, 1, 0, 0, 1, 0]])[0, :, 0].tolist()
    [0.0, 1.0, 1.0, 2.0]

    Raises:
        XorMiError: what `as_network` refuses; masks with other numbers than 0 and 1, or for another
            number of edges; more outputs than there is memory for.
    """
    require_kind("drop_unfed", drop_unfed, bool, give="True or False")
    require_plain_mlp(model, "an edge mask")
    model.require_no_direct("an edge mask")
    masks = _as_masks(kept, model.layer_sizes)
    rows = clean_rows(model)
    n_outputs = len(masks) * len(rows) * model.layer_sizes[-1]
    require_memory(8 * n_outputs, what=f"{n_outputs:,} outputs", do="give fewer masks at a time")
    layers = cut_layers(model, Convention.of(convention))
    outputs = np.empty((len(masks), len(rows), model.layer_sizes[-1]))
    n_edges = sum(a * b for a, b in pairwise(model.layer_sizes))
    step = max(1, VALUES_AT_ONCE // max(max(model.layer_sizes) * len(rows), n_edges))
    for start in progress_bar(
        range(0, len(masks), step),
        doing="edge masks",
        unit=f"{step} masks",
        progress=progress,
    ):
        some = by_layer(masks[start : start + step], model.layer_sizes)
        values, _ = _through(model, layers, rows, some, drop_unfed=drop_unfed)
        outputs[start : start + step] = values.transpose(0, 2, 1)
    return outputs


def _as_masks(kept: ArrayLike, layer_sizes: Sequence[int]) -> NDArray[np.bool_]:
    """Masks of this network, [mask, edge], or an error that says what they are."""
    n_edges = sum(a * b for a, b in pairwise(layer_sizes))
    try:
        masks: NDArray[np.generic] = np.asarray(kept)
    except ValueError:  # lines of different lengths
        masks = np.empty(0, dtype=object)
    if masks.ndim != 2 or masks.shape[-1] != n_edges or masks.dtype.kind not in "biuf":
        raise XorMiError(
            f"kept has the shape {masks.shape}; give 0 or 1 for each of the {n_edges} edges of "
            f"{tuple(layer_sizes)}, [mask, edge], in the order of graph.edges_of"
        )
    if not np.isin(masks, (0, 1)).all():
        raise XorMiError(
            "kept has other numbers than 0 and 1; give 1 for an edge that is kept, and 0 for one "
            "that is dropped"
        )
    return masks.astype(bool)


def by_layer(kept: NDArray[np.bool_], layer_sizes: Sequence[int]) -> list[KeptEdges]:
    """Masks [mask, edge] -> per linear layer [mask, d_out, d_in]; extra edges are ignored."""
    layers: list[KeptEdges] = []
    first = 0
    for n_sources, n_targets in pairwise(layer_sizes):
        n_edges = n_sources * n_targets
        of_layer = kept[:, first : first + n_edges]
        layers.append(of_layer.reshape(len(kept), n_targets, n_sources))
        first += n_edges
    return layers


def _through(
    model: HookedMLP,
    layers: Sequence[CutLayer],
    rows: Numbers,
    edges: Sequence[KeptEdges],
    *,
    drop_unfed: bool,
) -> tuple[Numbers, NDArray[np.bool_]]:
    """Each mask's values after the layers for which edges are given, mask by mask.

    Returns:
        The values, [mask, unit, row], and which of these units are not dropped, [mask, unit].
    """
    n_masks = len(edges[0]) if edges else 1
    values = np.broadcast_to(rows.T, (n_masks, *rows.T.shape))
    is_there = np.ones(values.shape[:2], dtype=np.bool_)
    for number, is_kept in enumerate(edges):
        cut = layers[number]
        live: NDArray[np.bool_] = is_kept & is_there[:, None]
        pre = (cut.weight * live) @ (values - cut.carried[:, None])
        values = activate(model, pre + cut.bias_if_all_dropped[:, None], number)
        reads = np.asarray(live.any(axis=2), dtype=np.bool_)
        is_there = reads if drop_unfed else np.ones_like(reads)
    return values, is_there


def _n_values_by_subset(layer_sizes: Sequence[int]) -> int:
    """How many values the last hidden layer's units have on a row, by their own sources."""
    *_, n_sources, n_units, _ = layer_sizes
    return n_units * 2**n_sources


def _fill(
    of_masks: NDArray[np.generic],
    problem: Problem,
    measure: Callable[[Numbers], NDArray[np.generic]],
    *,
    drop_unfed: bool,
) -> Iterator[int]:
    """Write a measure of the outputs for all masks; yields how many are done after each step.

    Args:
        of_masks: where it is written, [mask].
        measure: outputs [..., row, output] -> a number of each, [...].
    """
    *before, n_units, n_outputs = problem.sizes
    n_earlier = 2 ** sum(a * b for a, b in pairwise(before))  # masks of the layers before
    n_rows, n_subsets = len(problem.rows), 2 ** before[-1]
    # the sets of units that each output reads, the sources of each unit, and the earlier masks:
    # the last of each is the first in the order of the bits
    axes = (2**n_units,) * n_outputs + (n_subsets,) * n_units + (n_earlier,)
    by_choice = of_masks.reshape(axes)
    step = max(1, VALUES_AT_ONCE // (_n_values_by_subset(problem.sizes) * n_rows))
    for start in range(0, n_earlier, step):
        earlier = np.arange(start, min(start + step, n_earlier))
        added = _added(problem, earlier, drop_unfed=drop_unfed)
        for reads in product(range(2**n_units), repeat=n_outputs):
            of_these = by_choice[reads][..., start : start + step]
            for place, outputs in _outputs_of(problem, added, reads[::-1]):
                of_these[place] = measure(outputs)
            yield of_these.size


def _added(problem: Problem, earlier: NDArray[np.int64], *, drop_unfed: bool) -> Numbers:
    """The value of each unit of the last hidden layer, minus what a dropped edge of it carries.

    [unit, set of its sources, earlier mask, row].
    """
    number = len(problem.layers) - 2
    n_edges = sum(a * b for a, b in pairwise(problem.sizes[: number + 1]))
    kept = (earlier[:, None] >> np.arange(n_edges) & 1).astype(bool)
    edges = by_layer(kept, problem.sizes[: number + 1])
    values, is_there = _through(
        problem.model, problem.layers, problem.rows, edges, drop_unfed=drop_unfed
    )
    carried = problem.layers[number].carried[:, None]
    values = np.where(is_there[..., None], values, carried)  # [earlier mask, source, row]
    n_sources = values.shape[1]
    subsets = np.arange(2**n_sources)
    by_subset = values_by_subset(problem, number, values, subsets)  # [.., unit, subset, row]
    added = by_subset - problem.layers[-1].carried[:, None, None]
    if drop_unfed:
        bits_there = is_there @ (1 << np.arange(n_sources))
        is_fed = (bits_there[:, None] & subsets) > 0  # [earlier mask, subset]
        added *= is_fed[:, None, :, None]
    return np.ascontiguousarray(added.transpose(1, 2, 0, 3))


_Place = tuple[slice, ...]
"""Which sets of sources of each unit of the last hidden layer, the last unit first."""


def _outputs_of(
    problem: Problem, added: Numbers, reads: Sequence[int]
) -> Iterator[tuple[_Place, Numbers]]:
    """The outputs if they read these units, for some sets of sources at a time.

    Args:
        added: what `_added` returns.
        reads: for each output, the units that it reads, as bits.

    Yields:
        The place, and the outputs there, [sources of a unit.., earlier mask, row, output], with an
        axis of length 1 where they do not depend on a unit.
    """
    last = problem.layers[-1]
    n_units, n_subsets, n_earlier, n_rows = added.shape
    n_outputs = len(reads)
    units = range(n_units - 1, -1, -1)
    read_by_any = reduce(or_, reads)
    is_read = [bool(read_by_any >> unit & 1) for unit in units]
    # units whose sets are tried one by one, so that the rest fits into memory
    n_single = 0
    size = n_subsets ** sum(is_read) * n_earlier * n_rows * n_outputs
    single = [False] * n_units
    while size > VALUES_AT_ONCE and n_single < n_units:
        if is_read[n_single]:
            single[n_single] = True
            size //= n_subsets
        n_single += 1
    one_by_one, all_at_once = [slice(k, k + 1) for k in range(n_subsets)], [slice(None)]
    choices = [one_by_one if alone else all_at_once for alone in single]
    for place in product(*choices):
        outputs: list[Numbers] = []
        for read, weight, bias in zip(reads, last.weight, last.bias_if_all_dropped, strict=True):
            total = np.full((1,) * n_units + (1, n_rows), bias)
            for axis, unit in enumerate(units):
                if read >> unit & 1:
                    own = weight[unit] * added[unit, place[axis]]
                    total = total + own[(None,) * axis + (slice(None),) + (None,) * unit]
            outputs.append(total)
        together = np.stack(np.broadcast_arrays(*outputs), axis=-1)
        yield place, problem.activate(together, len(problem.layers) - 1)
