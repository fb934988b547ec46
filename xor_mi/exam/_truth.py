"""a problem -> Truth: every set of edges, or of units, that could be kept, tried by exhaustion.

Mask m keeps element e if bit e of m is set. A mask is perfect if the network that keeps only its
elements decides every row right. There are four kinds of minimal circuits, each contained in the
one before, after the ladder of Hadad, Katz and Bassan (ICLR 2026, arXiv 2602.16823):

quasi-minimal: perfect, and some element cannot be taken away;
locally minimal: perfect, and no single element can be taken away;
subset-minimal: perfect, and no set of elements can be taken away;
cardinally minimal: perfect, and no perfect mask keeps fewer.

They differ if removal is not monotone: two elements removed together may leave a circuit perfect
although removing either alone breaks it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from xor_mi.circuits import ROUNDING
from xor_mi.errors import XorMiError, require_at_most, require_kind, shown, unknown
from xor_mi.exam._problem import ExamProblem, Over, require_over, run_with_edges
from xor_mi.finding import Finding
from xor_mi.graph import Edge, Unit
from xor_mi.search import MAX_MASKED_EDGES, Convention, metric_of_edge_masks
from xor_mi.search._mask_cube import halves, minimal_among

MAX_UNITS = 20
"""The most hidden units of which all sets are tried."""
MASKS_AT_ONCE = 2**14
"""Sets of units that are run together."""

Level = Literal["perfect", "quasi", "locally", "subset", "cardinally"]
"""Perfect, or minimal in one of four senses; each contains the next."""
Masks = NDArray[np.bool_]
"""A truth value of every mask, [mask]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Truth(Finding):
    """The results of every set of elements of one network.

    Attributes:
        over: whether the elements are edges or hidden units.
        elements: the elements in the order of the bits.
        layer_sizes: (d_in, *d_hidden, d_out) of the network.
        convention: the convention under which the sets were tried.
        n_rows: how many rows there are to decide.
        n_right_rows: how many rows each mask decides right, [mask].
        values: the mean of the problem's metric over the rows, [mask].
    """

    over: Over
    elements: tuple[Edge, ...] | tuple[Unit, ...] = field(repr=False)
    layer_sizes: tuple[int, ...]
    convention: Convention
    n_rows: int
    n_right_rows: NDArray[np.int64] = field(repr=False)
    values: NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(cls, problem: ExamProblem, *, over: Over = "edges", progress: bool = True) -> "Truth":
        """Try every set of edges, or of hidden units with all edges between them.

        >>> from xor_mi.handmade import textbook_xor
        >>> truth = Truth.of(ExamProblem.of(textbook_xor()))
        >>> print(truth)
        1 of 64 sets of edges decides every row right, 1 of them minimal; the smallest keep 6 edges

        Raises:
            XorMiError: more than `search.MAX_MASKED_EDGES` edges, more units than `MAX_UNITS`, or a
                metric that is not finite.
        """
        require_kind("problem", problem, ExamProblem, give="an ExamProblem.of(model)")
        require_over(over)
        if over == "edges":
            by_mask = _of_edges(problem, progress=progress)
        else:
            by_mask = _of_units(problem)
        n_right_rows, values = by_mask
        if not np.isfinite(values).all():
            raise XorMiError(
                f"the metric is {values[~np.isfinite(values)][0]} for a part of the network; give "
                "a metric that is a finite number whatever is dropped"
            )
        return cls(
            over=over,
            elements=problem.elements(over),
            layer_sizes=problem.numbers.sizes,
            convention=problem.convention,
            n_rows=problem.n_rows,
            n_right_rows=n_right_rows,
            values=values,
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_elements(self) -> int:
        """How many edges or units there are."""
        return len(self.elements)

    @cached_property
    def n_kept(self) -> NDArray[np.int64]:
        """How many elements each mask keeps, [mask]."""
        return np.bitwise_count(np.arange(len(self))).astype(np.int64)

    @cached_property
    def by_size(self) -> tuple[NDArray[np.int64], ...]:
        """The masks that keep 0, 1, 2, ... elements."""
        ordered = np.argsort(self.n_kept, kind="stable")
        n_of_size = np.bincount(self.n_kept, minlength=self.n_elements + 1)
        return tuple(np.split(ordered, np.cumsum(n_of_size)[:-1]))

    # --- the ladder

    @cached_property
    def perfect(self) -> Masks:
        """Which masks decide every row right, [mask]."""
        return self.n_right_rows == self.n_rows

    @cached_property
    def quasi(self) -> Masks:
        """Which perfect masks have an element that cannot be taken away, [mask]."""
        breaks = np.zeros(len(self), dtype=np.bool_)
        for element in range(self.n_elements):
            without, _ = halves(self.perfect, element)
            _, breaks_with = halves(breaks, element)
            breaks_with |= ~without
        return self.perfect & breaks

    @cached_property
    def locally(self) -> Masks:
        """Which perfect masks have no single element that can be taken away, [mask]."""
        can_lose = np.zeros(len(self), dtype=np.bool_)
        for element in range(self.n_elements):
            without, _ = halves(self.perfect, element)
            _, can_lose_with = halves(can_lose, element)
            can_lose_with |= without
        return self.perfect & ~can_lose

    @cached_property
    def subset(self) -> Masks:
        """Which perfect masks contain no other perfect one, [mask]."""
        return minimal_among(self.perfect)

    @cached_property
    def cardinally(self) -> Masks:
        """Which perfect masks keep the fewest elements that a perfect one keeps, [mask]."""
        return self.perfect & (self.n_kept == self.minimum)

    def at_level(self, level: Level) -> Masks:
        """Which masks are of this level, [mask].

        Raises:
            XorMiError: a level that does not exist.
        """
        levels: dict[Level, Masks] = {
            "perfect": self.perfect,
            "quasi": self.quasi,
            "locally": self.locally,
            "subset": self.subset,
            "cardinally": self.cardinally,
        }
        if not isinstance(level, str) or level not in levels:
            raise unknown("level", level, levels, where="levels are")
        return levels[level]

    @cached_property
    def minimum(self) -> int:
        """The fewest elements that a perfect mask keeps.

        Raises:
            XorMiError: no mask is perfect, not even the whole network.
        """
        if not self.perfect.any():
            raise XorMiError(
                f"no set of {self.over} decides every row right, so there is no circuit to find; "
                "give a network that computes its target"
            )
        return int(self.n_kept[self.perfect].min())

    # --- what the minimal circuits have in common

    @cached_property
    def is_unique(self) -> bool:
        """Whether only one perfect mask has the fewest elements."""
        return int(np.count_nonzero(self.cardinally)) == 1

    @cached_property
    def union(self) -> Masks:
        """Which elements are in some subset-minimal circuit, [element]."""
        return self._bits(np.bitwise_or.reduce(np.flatnonzero(self.subset)))

    @cached_property
    def intersection(self) -> Masks:
        """Which elements are in every subset-minimal circuit, [element]."""
        return self._bits(np.bitwise_and.reduce(np.flatnonzero(self.subset)))

    def _bits(self, mask: np.int64) -> Masks:
        return (mask >> np.arange(self.n_elements) & 1).astype(np.bool_)

    @cached_property
    def monotonicity_defect(self) -> float | None:
        """Of all ways to add one element to a perfect mask, the share that breaks it.

        None if only the whole network is perfect, so that nothing can be added. If it is 0, greedy
        removal is sure to end at a subset-minimal circuit.
        """
        n_ways = n_broken = 0
        for element in range(self.n_elements):
            without, with_it = halves(self.perfect, element)
            n_ways += np.count_nonzero(without)
            n_broken += np.count_nonzero(without & ~with_it)
        return n_broken / n_ways if n_ways else None

    @cached_property
    def distance(self) -> NDArray[np.int64]:
        """In how many elements each mask differs from the nearest subset-minimal mask, [mask]."""
        far = self.n_elements + 1
        distance = np.where(self.subset, 0, far)
        for element in range(self.n_elements):
            without, with_it = halves(distance, element)
            nearer = np.minimum(without, with_it + 1)
            np.minimum(with_it, without + 1, out=with_it)
            without[...] = nearer
        return distance

    def mask_of(self, kept: ArrayLike) -> int:
        """The number of the mask that keeps these elements.

        Args:
            kept: True or False for each element, [element].

        Raises:
            XorMiError: any other kept.
        """
        try:
            is_kept = np.asarray(kept)
        except ValueError:  # nested lists of different lengths
            is_kept = np.empty(0)
        if is_kept.shape != (self.n_elements,) or not np.isin(is_kept, (0, 1)).all():
            raise XorMiError(
                f"kept is {shown(kept)}; give True or False for each of the {self.n_elements} "
                f"{self.over}"
            )
        return sum(1 << element for element in np.flatnonzero(is_kept).tolist())

    # --- chance: a random order of the elements; every order is equally likely

    @cached_property
    def chance_of_size(self) -> NDArray[np.float64]:
        """The chance that a random order's smallest perfect top-k has 0, 1, 2, ... elements.

        It is exact, [size]: the orders are counted, not drawn.
        """
        # the share of the orders of a mask's elements that met no perfect mask before
        unmet = np.zeros(len(self))
        unmet[0] = 1.0
        chance = np.zeros(self.n_elements + 1)
        chance[0] = float(self.perfect[0])
        for size, masks in enumerate(self.by_size[1:], start=1):
            for element in range(self.n_elements):
                last = masks[masks >> element & 1 == 1]
                before = last ^ (1 << element)
                unmet[last] += np.where(self.perfect[before], 0.0, unmet[before])
            unmet[masks] /= size
            chance[size] = (unmet[masks] * self.perfect[masks]).mean()
        return chance

    def mean_by_size(self, of_masks: NDArray[np.generic]) -> NDArray[np.float64]:
        """The mean over all masks of each size, as expected for a random mask, [size]."""
        total = np.bincount(self.n_kept, weights=of_masks.astype(np.float64))
        return total / np.bincount(self.n_kept)

    @cached_property
    def faithfulness(self) -> NDArray[np.float64] | None:
        """(value - value of nothing) / (value of all - value of nothing), [mask].

        It is defined as in the Mechanistic Interpretability Benchmark (Mueller et al. 2025, arXiv
        2504.13151). None if the metric is the same for the whole and the empty network, up to
        rounding.
        """
        empty, whole = self.values[0], self.values[-1]
        if abs(whole - empty) <= ROUNDING * max(abs(whole), abs(empty)):
            return None
        return (self.values - empty) / (whole - empty)

    @cached_property
    def chance_of_perfect(self) -> NDArray[np.float64]:
        """The share of the masks of each size that are perfect, [size]."""
        return self.mean_by_size(self.perfect)

    @cached_property
    def mean_faithfulness(self) -> NDArray[np.float64] | None:
        """The mean faithfulness of the masks of each size, [size]; None if it is undefined."""
        return None if self.faithfulness is None else self.mean_by_size(self.faithfulness)

    @cached_property
    def mean_distance_to_whole(self) -> NDArray[np.float64] | None:
        """The mean over all masks of each size of how far their faithfulness is from 1, [size]."""
        if self.faithfulness is None:
            return None
        return self.mean_by_size(np.abs(1 - self.faithfulness))

    # --- what is shown

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "over": self.over,
            "elements": [element.name for element in self.elements],
            "layer_sizes": self.layer_sizes,
            "n_rows": self.n_rows,
            "convention": asdict(self.convention),
        }

    def frame(self) -> pd.DataFrame:
        """One line per number of kept elements.

        Columns: n_kept, n_masks, n_perfect, n_locally, n_subset, n_cardinally, mean_value.
        """
        sizes = self.n_elements + 1

        def counted(level: Level) -> NDArray[np.int64]:
            return np.bincount(self.n_kept[self.at_level(level)], minlength=sizes)

        return pd.DataFrame(
            {
                "n_kept": np.arange(sizes),
                "n_masks": np.bincount(self.n_kept, minlength=sizes),
                "n_perfect": counted("perfect"),
                "n_locally": counted("locally"),
                "n_subset": counted("subset"),
                "n_cardinally": counted("cardinally") if self.perfect.any() else 0,
                "mean_value": self.mean_by_size(self.values),
            }
        )

    def __str__(self) -> str:
        n_perfect = np.count_nonzero(self.perfect)
        text = (
            f"{n_perfect:,} of {len(self):,} sets of {self.over} "
            f"{'decides' if n_perfect == 1 else 'decide'} every row right, "
            f"{np.count_nonzero(self.subset):,} of them minimal"
        )
        if not n_perfect:
            return text
        return f"{text}; the smallest keep {self.minimum} {self.over}"


def _of_edges(
    problem: ExamProblem, *, progress: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many rows each set of edges decides right, and the mean metric, [mask] each."""

    n_edges = len(problem.edges)
    require_at_most(
        n_edges,
        MAX_MASKED_EDGES,
        what="edges",
        do=f"2^{n_edges} = {2**n_edges:,} sets of edges are not tried one by one; take methods "
        "over units, or a smaller network",
    )

    def n_right(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return problem.numbers.right_rows(outputs).sum(-1).astype(np.float64)

    def mean_value(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return problem.metric_of(torch.from_numpy(outputs)).mean(-1).numpy()

    right = metric_of_edge_masks(problem.numbers, n_right, progress=progress)
    values = metric_of_edge_masks(problem.numbers, mean_value, progress=progress)
    return right.astype(np.int64), values


def _of_units(problem: ExamProblem) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The same for each set of hidden units."""
    n_units = len(problem.units)
    require_at_most(
        n_units,
        MAX_UNITS,
        what="hidden units",
        do=f"2^{n_units} = {2**n_units:,} sets of them are not tried one by one; take a smaller "
        "network",
    )
    n_right: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float64]] = []
    for numbers in _in_parts(2**n_units):
        kept = (numbers[:, None] >> np.arange(n_units) & 1).astype(np.float64)
        edges = torch.from_numpy(np.asarray(problem.edges_between(kept)))
        outputs = run_with_edges(problem.numbers, edges, problem.inputs)
        n_right.append(problem.numbers.right_rows(outputs.numpy()).sum(-1))
        values.append(problem.metric_of(outputs).mean(-1).numpy())
    return np.concatenate(n_right), np.concatenate(values)


def _in_parts(n_masks: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, n_masks, MASKS_AT_ONCE):
        yield np.arange(start, min(start + MASKS_AT_ONCE, n_masks))
