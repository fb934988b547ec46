"""an answer and the truth -> measures, each beside its chance level.

Chance is a random order of the elements for scores, and a random set of the same size for sets. Its
level is exact: all masks are known, so nothing is sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from xor_mi.exam._answer import Kept, Scores
from xor_mi.exam._truth import Truth

Better = Literal["higher", "lower"]
Numbers = NDArray[np.float64]


TIE = 1e-12
"""Scores that differ by at most this part of the largest score count as equal."""


class Measure(NamedTuple):
    """What a measure means.

    Attributes:
        what: its meaning in words, with the unit.
        better: whether higher or lower values are better.
        is_share: whether each network has a yes or a no, so that the mean is a share.
        at_least, at_most: its bounds, if it has any.
    """

    what: str
    better: Better
    is_share: bool = False
    at_least: float = -inf
    at_most: float = inf


MEASURES: Mapping[str, Measure] = {
    # for scores and sets
    "size": Measure(
        "elements of the smallest perfect top-k; for a set, its own if it is perfect",
        "lower",
        at_least=0,
    ),
    "excess": Measure(
        "size minus the fewest elements that a perfect circuit keeps", "lower", at_least=0
    ),
    "finds_minimum": Measure(
        "whether the size is the fewest elements that a perfect circuit keeps",
        "higher",
        is_share=True,
    ),
    "rank": Measure(
        "share of all sets of the same size that decide fewer rows right (equal ones count "
        "half); for scores, at the fewest elements that a perfect circuit keeps",
        "higher",
        at_least=0,
        at_most=1,
    ),
    # for scores only
    "tied": Measure(
        "elements that share their score with another element: their order is drawn at random",
        "lower",
        at_least=0,
    ),
    "perfect_share": Measure(
        "share of k = 1 ... all whose top-k is perfect", "higher", at_least=0, at_most=1
    ),
    "cpr": Measure("area under the faithfulness of the top-k, over the share kept", "higher"),
    "cmd": Measure(
        "area between the faithfulness of the top-k and 1, over the share kept", ("lower")
    ),
    "auroc_union": Measure(
        "area under the ROC curve for being in some subset-minimal circuit",
        "higher",
        at_least=0,
        at_most=1,
    ),
    "ap_union": Measure(
        "average precision for being in some subset-minimal circuit",
        "higher",
        at_least=0,
        at_most=1,
    ),
    "auroc_intersection": Measure(
        "area under the ROC curve for being in every subset-minimal circuit",
        "higher",
        at_least=0,
        at_most=1,
    ),
    "ap_intersection": Measure(
        "average precision for being in every subset-minimal circuit",
        "higher",
        at_least=0,
        at_most=1,
    ),
    "auroc_gates": Measure(
        "for scores over units: area under the ROC curve for being a unit whose gate the "
        "identified circuit uses",
        "higher",
        at_least=0,
        at_most=1,
    ),
    # for sets only
    "perfect": Measure("whether the set decides every row right", "higher", is_share=True),
    "locally_minimal": Measure(
        "whether it is perfect and no single element can be removed", "higher", is_share=True
    ),
    "subset_minimal": Measure(
        "whether it is perfect and contains no other perfect set", "higher", is_share=True
    ),
    "distance": Measure(
        "number of elements that differ from the nearest subset-minimal circuit",
        "lower",
        at_least=0,
    ),
    "faithfulness": Measure("faithfulness of the set; 1 is the whole network's", "higher"),
    # for gates and alignments
    "gate_agreement": Measure(
        "share of the units with a proved gate whose gate it names right",
        "higher",
        at_least=0,
        at_most=1,
    ),
    "interchange_accuracy": Measure(
        "share of all interchanges that come out as the causal model predicts, for the worst "
        "variable",
        "higher",
        at_least=0,
        at_most=1,
    ),
}
"""Every measure, in the order of the tables."""


@dataclass(frozen=True)
class Measured:
    """The measures of one answer; a measure that has no meaning for it is None.

    Attributes:
        values: measure -> its value.
        chance: measure -> its level by chance.
        faithfulness: of the top-k, for k = 0 ... all; only for scores.
        right_rows: how many rows the top-k decides right, for k = 0 ... all; only for scores.
        kept: elements by number: for scores all of them, best first; for a set those in it.
    """

    values: dict[str, float | None]
    chance: dict[str, float | None]
    faithfulness: tuple[float, ...] = ()
    right_rows: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()


def measures_of_scores(scores: Scores, truth: Truth, generator: np.random.Generator) -> Measured:
    """Grade an order of the elements.

    Args:
        generator: draws the order of elements with equal scores, so that no method wins or loses by
            the order in which the edges are listed. Neighbouring scores count as equal if they
            differ by at most `TIE` of the largest.
    """
    n = truth.n_elements
    numbers = _levelled(scores.numbers)
    shuffled = generator.permutation(n)
    order = shuffled[np.argsort(-numbers[shuffled], kind="stable")]
    masks = np.concatenate([[0], np.cumsum(1 << order.astype(np.int64))])
    is_perfect = truth.perfect[masks]
    size = int(np.argmax(is_perfect))  # not None: the whole network is perfect
    sizes = np.arange(n + 1)
    minimum = truth.minimum
    mean_size = float(truth.chance_of_size @ sizes)
    values: dict[str, float | None] = {
        "size": float(size),
        "excess": float(size - minimum),
        "finds_minimum": float(size == minimum),
        "rank": _rank(truth, int(masks[minimum])),
        "tied": float(_n_tied(numbers)),
        "perfect_share": float(is_perfect[1:].mean()),
    }
    chance: dict[str, float | None] = {
        "size": mean_size,
        "excess": mean_size - minimum,
        "finds_minimum": float(truth.chance_of_size[minimum]),
        "rank": 0.5,
        "perfect_share": float(truth.chance_of_perfect[1:].mean()),
    }
    faithfulness = truth.faithfulness
    curve = () if faithfulness is None else tuple(faithfulness[masks].tolist())
    at_masks = None if faithfulness is None else faithfulness[masks]
    areas = _areas(at_masks, None if at_masks is None else np.abs(1 - at_masks))
    areas_by_chance = _areas(truth.mean_faithfulness, truth.mean_distance_to_whole)
    for name, labels in (("union", truth.union), ("intersection", truth.intersection)):
        values[f"auroc_{name}"] = auroc(numbers, labels)
        chance[f"auroc_{name}"] = None if values[f"auroc_{name}"] is None else 0.5
        values[f"ap_{name}"] = average_precision(labels[order])
        chance[f"ap_{name}"] = chance_of_precision(int(labels.sum()), n)
    return Measured(
        values=_in_order(values | areas),
        chance=_in_order(chance | areas_by_chance),
        faithfulness=curve,
        right_rows=tuple(truth.n_right_rows[masks].tolist()),
        kept=tuple(order.tolist()),
    )


def _levelled(numbers: Numbers) -> Numbers:
    """Scores -> numbers in the same order, equal for scores that differ only by rounding."""
    order = np.argsort(numbers, kind="stable")
    tie = TIE * np.abs(numbers).max(initial=0.0)
    with np.errstate(over="ignore"):  # the distance between the largest floats is infinite
        is_above = np.diff(numbers[order], prepend=numbers[order[:1]]) > tie
    levels = np.empty(len(numbers))
    levels[order] = np.cumsum(is_above)
    return levels


def measures_of_set(answer: Kept, truth: Truth) -> Measured:
    """Grade a set of elements."""
    mask = truth.mask_of(answer.kept)
    size = int(truth.n_kept[mask])
    is_perfect = bool(truth.perfect[mask])
    mean_size = float(truth.chance_of_size @ np.arange(truth.n_elements + 1))
    values: dict[str, float | None] = {
        "size": float(size) if is_perfect else None,
        "excess": float(size - truth.minimum) if is_perfect else None,
        "finds_minimum": float(truth.cardinally[mask]),
        "rank": _rank(truth, mask),
        "perfect": float(is_perfect),
        "locally_minimal": float(truth.locally[mask]),
        "subset_minimal": float(truth.subset[mask]),
        "distance": float(truth.distance[mask]),
        "faithfulness": None,
    }
    alike = truth.by_size[size]
    chance: dict[str, float | None] = {
        "size": mean_size if is_perfect else None,
        "excess": mean_size - truth.minimum if is_perfect else None,
        "finds_minimum": float(truth.cardinally[alike].mean()),
        "rank": 0.5,
        "perfect": float(truth.perfect[alike].mean()),
        "locally_minimal": float(truth.locally[alike].mean()),
        "subset_minimal": float(truth.subset[alike].mean()),
        "distance": float(truth.distance[alike].mean()),
        "faithfulness": None,
    }
    if truth.faithfulness is not None:
        values["faithfulness"] = float(truth.faithfulness[mask])
        chance["faithfulness"] = float(truth.faithfulness[alike].mean())
    return Measured(
        values=_in_order(values),
        chance=_in_order(chance),
        kept=tuple(np.flatnonzero(answer.kept).tolist()),
    )


def _in_order(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: values[name] for name in MEASURES if name in values}


def _rank(truth: Truth, mask: int) -> float:
    """The share of masks of the same size that decide fewer rows right; equal ones count half."""
    n_right = truth.n_right_rows[truth.by_size[truth.n_kept[mask]]]
    own = truth.n_right_rows[mask]
    return float((n_right < own).mean() + (n_right == own).mean() / 2)


def _n_tied(scores: Numbers) -> int:
    """How many scores are equal to another score."""
    _, counts = np.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def _areas(faithfulness: Numbers | None, distance: Numbers | None) -> dict[str, float | None]:
    """CPR and CMD: areas over the share of elements that is kept, from 0 to 1, by trapezoids."""
    return {"cpr": _area(faithfulness), "cmd": _area(distance)}


def _area(at_parts: Numbers | None) -> float | None:
    """The area under values at even steps from no element to all; None without values."""
    if at_parts is None:
        return None
    return float(np.trapezoid(at_parts, np.linspace(0, 1, len(at_parts))))


def auroc(scores: Numbers, labels: NDArray[np.bool_]) -> float | None:
    """The chance that a positive scores above a negative (ties count half); None without both.

    >>> auroc(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.5
    """
    n_positive = int(labels.sum())
    n_negative = len(labels) - n_positive
    if not n_positive or not n_negative:
        return None
    ranks = rankdata(scores)[labels].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def average_precision(labels: NDArray[np.bool_]) -> float | None:
    """The mean over the positives of the precision down to each of them; None without positives.

    Args:
        labels: whether each element is a positive, the best-scored element first.

    >>> round(average_precision(np.array([True, False, True])), 4)
    0.8333
    """
    if not labels.any():
        return None
    precision = np.cumsum(labels) / np.arange(1, len(labels) + 1)
    return float(precision[labels].mean())


def chance_of_precision(n_positive: int, n: int) -> float | None:
    """The mean average precision over all orders of n elements, of which n_positive are positives.

    Before a positive at place k there are, on average, (n_positive - 1) (k - 1) / (n - 1) other
    positives.

    >>> chance_of_precision(1, 2)
    0.75
    """
    if not n_positive:
        return None
    if n == 1:
        return 1.0
    place = np.arange(1, n + 1)
    return float(((1 + (place - 1) * (n_positive - 1) / (n - 1)) / place).mean())
