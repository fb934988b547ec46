"""exact effects of edges and of units: one dropped, one restored, and all sets of them.

Every function here works for edges and for units; `over` says which.
"""

from dataclasses import replace
from math import comb

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xor_mi.errors import require_at_most
from xor_mi.exam._problem import ExamProblem, MetricName, Over
from xor_mi.search import metric_of_edge_masks

ElementScores = NDArray[np.float64]
"""A number per edge or unit, in the order of the problem."""

MAX_SHAPLEY = 20
"""The most edges or units of which all sets are run for exact Shapley values."""
ROUNDING_OF_SUMS = 1e-13
"""The rounding left in a sum over all sets, in parts of the largest term."""
MASKS_AT_ONCE = 2**12
"""Sets of units that are run together."""


def noising(problem: ExamProblem, over: Over) -> ElementScores:
    """How far the metric moves when one element is dropped from the whole network.

    The score is the mean of the absolute change over rows. Noising finds every part of an AND and
    no part of an OR (Heimersheim and Nanda 2024, arXiv 2404.15255).
    """
    n_elements = len(problem.elements(over))
    whole = np.ones((1, n_elements))
    without_one = whole - np.eye(n_elements)
    return _mean_change(_values(problem, over, np.concatenate([whole, without_one])))


def denoising(problem: ExamProblem, over: Over) -> ElementScores:
    """How far the metric moves when one element is restored while all others are dropped.

    The score is the mean of the absolute change over rows. Denoising finds every part of an OR and
    no part of an AND (Heimersheim and Nanda 2024, arXiv 2404.15255).
    """
    n_elements = len(problem.elements(over))
    nothing = np.zeros((1, n_elements))
    only_one = np.eye(n_elements)
    return _mean_change(_values(problem, over, np.concatenate([nothing, only_one])))


def shapley(problem: ExamProblem, over: Over, metric: MetricName) -> ElementScores:
    """Exact Shapley values of the metric's mean over rows, by running every set of elements.

    A Shapley value is the mean gain by an element over all orders in which the elements could be
    put back (Shapley 1953; for units, Ghorbani and Zou 2020, arXiv 2002.09815). Values are signed;
    they add up to the metric of the whole network minus that of the empty one.

    Raises:
        XorMiError: more than `MAX_SHAPLEY` elements.
    """
    n_elements = len(problem.elements(over))
    other = ", or over='units'" if over == "edges" else ""
    require_at_most(
        n_elements,
        MAX_SHAPLEY,
        what=f"{over} of which all sets are to be run",
        do=f"take noising or a method with gradients{other}",
    )
    asked = replace(problem, metric=metric)

    def mean_metric(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return asked.metric_of(torch.from_numpy(outputs)).mean(-1).numpy()

    if over == "edges":
        of_sets = metric_of_edge_masks(problem.numbers, mean_metric, progress=False)
        problem.cost.forwards += len(of_sets)
        return shapley_of_sets(of_sets)
    of_sets = np.empty(2**n_elements)
    for start in range(0, len(of_sets), MASKS_AT_ONCE):
        sets = np.arange(start, min(start + MASKS_AT_ONCE, len(of_sets)))
        units = sets[:, None] >> np.arange(n_elements) & 1
        of_sets[sets] = _values(asked, over, units).mean(-1)
    return shapley_of_sets(of_sets)


def shapley_of_sets(of_sets: Float[np.ndarray, " set"]) -> ElementScores:
    """The metric of each set -> the Shapley value of each element.

    Args:
        of_sets: the metric of set number s, which has element i if bit i of s is 1.

    >>> shapley_of_sets(np.array([0.0, 1.0, 3.0, 10.0])).tolist()
    [4.0, 6.0]
    """
    n_elements = len(of_sets).bit_length() - 1
    sizes = np.bitwise_count(np.arange(len(of_sets), dtype=np.uint32))
    # a set counts positive for elements in it, negative for the others; the weight is the share of
    # the n! orders in which exactly this set comes before a given element
    share = np.array([1 / (n_elements * comb(n_elements - 1, k)) for k in range(n_elements)])
    gained = np.concatenate([[0.0], share])[sizes]
    gained_over = np.concatenate([share, [0.0]])[sizes]
    without_all = of_sets @ gained_over
    # sum over the sets that have an element, from the last element on; then sets that differ only
    # in this element are merged, and half as many are left
    folded = of_sets * (gained + gained_over)
    scores = np.empty(n_elements)
    for element in reversed(range(n_elements)):
        without, with_it = folded.reshape(2, -1)
        scores[element] = with_it.sum() - without_all
        folded = without + with_it
    # a sum that is this small beside its terms is rounding
    scores[np.abs(scores) <= ROUNDING_OF_SUMS * np.abs(of_sets).max()] = 0.0
    return scores


def _values(problem: ExamProblem, over: Over, kept: NDArray[np.generic]) -> NDArray[np.float64]:
    """The metric on every row when these masks of elements are kept, [mask, row]."""
    edges = kept if over == "edges" else problem.edges_between(kept)
    values: Tensor = problem.values(edges)
    return values.detach().double().numpy()


def _mean_change(values: NDArray[np.float64]) -> ElementScores:
    """The mean distance over rows of each mask's metric from the first mask's, [mask - 1]."""
    return np.abs(values[1:] - values[0]).mean(-1)
