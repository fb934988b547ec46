"""Measures of answers: by hand, by all orders and all sets, and by scikit-learn's definitions."""

from itertools import combinations, permutations

import numpy as np
import pytest
import torch

from xor_mi.exam import ExamProblem, Truth
from xor_mi.exam._answer import Kept, Scores
from xor_mi.exam._measures import (
    MEASURES,
    auroc,
    average_precision,
    chance_of_precision,
    measures_of_scores,
    measures_of_set,
)
from xor_mi.handmade import textbook_xor
from xor_mi.model import HookedMLP

pytestmark = pytest.mark.as_a_user


@pytest.fixture(scope="module")
def problem() -> ExamProblem:
    """OR of two inputs by two units, of which either is enough with both its inputs.

    Edges 0, 1 feed unit 0, edges 2, 3 unit 1, edge 4 and 5 read them.
    """
    model = HookedMLP.from_weights(
        [([[1.0, 1.0], [2.0, 2.0]], [0.0, 0.0]), ([[1.0, 1.0]], [-0.5])], target="OR"
    )
    return ExamProblem.of(model)


@pytest.fixture(scope="module")
def truth(problem) -> Truth:
    """Its 64 masks."""
    return Truth.of(problem)


def graded(truth: Truth, scores: list[float]):
    """Measures of these scores."""
    numbers = np.array(scores, dtype=np.float64)
    return measures_of_scores(Scores(truth.over, numbers), truth, np.random.default_rng(0))


def test_the_network_by_hand(truth):
    """The smallest circuits: x0 by one unit and x1 by one, with the readouts of these."""
    minimal = {
        frozenset({0, 1, 4}),  # both by unit 0
        frozenset({2, 3, 5}),  # both by unit 1
        frozenset({0, 3, 4, 5}),  # one by each
        frozenset({1, 2, 4, 5}),
    }
    found = {
        frozenset(k for k in range(6) if mask >> k & 1)
        for mask in np.flatnonzero(truth.subset).tolist()
    }
    assert found == minimal
    assert truth.minimum == 3
    assert not truth.is_unique


def test_scores_by_hand(truth):
    """Best first 4, 0, 3, 5, 1, 2: the first perfect top-k is {4, 0, 3, 5}."""
    measured = graded(truth, [5, 2, 1, 4, 6, 3])
    assert measured.kept == (4, 0, 3, 5, 1, 2)
    values = measured.values
    assert (values["size"], values["excess"], values["finds_minimum"]) == (4, 1, 0)
    # perfect at k = 4, 5 and 6, of k = 1 ... 6
    assert values["perfect_share"] == pytest.approx(3 / 6)
    # rows right: nothing is 0 everywhere but the bias -.5, so row 00 alone; {4, 0} adds 10 and 11
    assert measured.right_rows == (1, 1, 3, 3, 4, 4, 4)
    # of sets of three: two decide 4 rows, and those that pass one input decide 3
    n_right = [truth.n_right_rows[sum(1 << k for k in one)] for one in combinations(range(6), 3)]
    own = truth.n_right_rows[0b011001]
    expected = np.mean([(n < own) + (n == own) / 2 for n in n_right])
    assert values["rank"] == pytest.approx(expected)
    # margins of the whole: -(-.5), 2.5, 2.5, 5.5; of nothing .5, -.5, -.5, -.5
    faithfulness = np.array(measured.faithfulness)
    whole, empty = (0.5 + 2.5 + 2.5 + 5.5) / 4, (0.5 - 0.5 * 3) / 4
    top = (0.5 + 0.5 - 0.5 + 0.5) / 4  # {4, 0}
    assert faithfulness[2] == pytest.approx((top - empty) / (whole - empty))
    part = np.arange(7) / 6
    assert values["cpr"] == pytest.approx(np.trapezoid(faithfulness, part))
    assert values["cmd"] == pytest.approx(np.trapezoid(np.abs(1 - faithfulness), part))


def test_union_and_intersection_by_hand(truth):
    """Every edge is in some minimal circuit, none is in all."""
    assert truth.union.all()
    assert not truth.intersection.any()
    values = graded(truth, [5, 2, 1, 4, 6, 3]).values
    assert values["auroc_union"] is None
    assert values["ap_union"] == 1
    assert values["auroc_intersection"] is None
    assert values["ap_intersection"] is None


def test_chance_is_the_mean_over_all_orders(truth):
    """All 720 orders of the six edges, graded one by one."""
    all_graded = [graded(truth, list(order)) for order in permutations(range(6))]
    chance = all_graded[0].chance
    for name in ("size", "excess", "finds_minimum", "perfect_share", "cpr", "cmd", "rank"):
        mean = np.mean([one.values[name] for one in all_graded])
        assert chance[name] == pytest.approx(mean), name


def test_chance_of_a_set_is_the_mean_over_all_of_its_size(truth):
    """All 20 sets of three edges, graded one by one."""
    sets = [np.isin(np.arange(6), one) for one in combinations(range(6), 3)]
    all_graded = [measures_of_set(Kept("edges", one), truth) for one in sets]
    chance = all_graded[0].chance
    for name in ("finds_minimum", "perfect", "locally_minimal", "subset_minimal", "distance"):
        assert chance[name] == pytest.approx(np.mean([one.values[name] for one in all_graded]))
    mean = np.mean([one.values["faithfulness"] for one in all_graded])
    assert chance["faithfulness"] == pytest.approx(mean)
    assert chance["perfect"] == pytest.approx(2 / 20)


def test_a_set_by_hand(truth):
    """{0, 1, 4} is minimal; with edge 2 it is perfect and not minimal; {0, 4} is neither."""
    minimal = measures_of_set(Kept("edges", np.isin(np.arange(6), [0, 1, 4])), truth).values
    assert minimal["size"] == 3
    assert minimal["excess"] == 0
    assert minimal["distance"] == 0
    assert minimal["perfect"] == minimal["locally_minimal"] == minimal["subset_minimal"] == 1
    larger = measures_of_set(Kept("edges", np.isin(np.arange(6), [0, 1, 2, 4])), truth).values
    assert larger["perfect"] == 1
    assert larger["locally_minimal"] == 0
    assert larger["distance"] == 1
    wrong = measures_of_set(Kept("edges", np.isin(np.arange(6), [0, 4])), truth).values
    assert wrong["perfect"] == 0
    assert wrong["size"] is None
    assert wrong["distance"] == 1
    empty = measures_of_set(Kept("edges", np.zeros(6, dtype=bool)), truth).values
    assert empty["perfect"] == 0
    assert empty["faithfulness"] == 0
    assert empty["distance"] == 3


def test_equal_scores_are_put_in_a_random_order(truth):
    """Where all scores are equal, the mean over seeds is chance, not the order of the names."""
    numbers = Scores("edges", np.zeros(6))
    sizes = [
        measures_of_scores(numbers, truth, np.random.default_rng(seed)).values["size"]
        for seed in range(2000)
    ]
    expected = truth.chance_of_size @ np.arange(7)
    assert np.mean(sizes) == pytest.approx(expected, abs=0.08)
    again = measures_of_scores(numbers, truth, np.random.default_rng(3))
    assert again == measures_of_scores(numbers, truth, np.random.default_rng(3))


def test_scores_that_differ_by_rounding_are_equal(truth):
    """.1 + .2 and .3, and -0., 0. and 1e-17, as exact numbers would be."""
    exact = [0.3, 0.3, 0.3, 0.0, 0.0, 0.0]
    rounded = [0.3, 0.1 + 0.2, 0.3, -0.0, 1e-17, -1e-17]
    assert graded(truth, rounded) == graded(truth, exact)
    # and what differs by more is in its own order
    assert graded(truth, [0.3, 0.3 + 1e-9, 0.3 - 1e-9, 3, 2, 1]).kept == (3, 4, 5, 1, 0, 2)
    assert graded(truth, [1e308, -1e308, 9e307, 0, -9e307, 8e307]).kept == (0, 2, 5, 3, 4, 1)


def test_tied_scores_are_counted(truth):
    """Three of one size, two of another, and one alone."""
    assert graded(truth, [1, 1, 1, 2, 2, 3]).values["tied"] == 5
    assert graded(truth, [1, 2, 3, 4, 5, 6]).values["tied"] == 0


def test_auroc_counts_pairs():
    """Positive above negative, ties half."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        scores = generator.integers(0, 4, 8).astype(float)
        labels = generator.random(8) < 0.4
        pairs = [(a > b) + (a == b) / 2 for a in scores[labels] for b in scores[~labels]]
        expected = np.mean(pairs) if pairs else None
        assert auroc(scores, labels) == (None if expected is None else pytest.approx(expected))


def test_precision_over_all_orders():
    """The mean average precision of every arrangement of the positives."""
    for n in range(1, 7):
        for n_positive in range(1, n + 1):
            found = [
                average_precision(np.isin(np.arange(n), places))
                for places in combinations(range(n), n_positive)
            ]
            assert chance_of_precision(n_positive, n) == pytest.approx(np.mean(found))
    assert chance_of_precision(0, 3) is None
    assert average_precision(np.zeros(3, dtype=bool)) is None


def test_a_network_that_is_worth_as_much_as_nothing():
    """A margin that the whole network does not change: faithfulness has no meaning."""
    model = HookedMLP.from_weights(
        [([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0]), ([[1.0, -1.0]], [-0.5])], target="FALSE"
    )
    truth = Truth.of(ExamProblem.of(model))
    measured = graded(truth, [1, 2, 3, 4, 5, 6])
    assert measured.faithfulness == ()
    assert measured.values["cpr"] is None
    assert measured.values["size"] == 0


def test_worth_as_much_as_nothing_but_for_rounding():
    """A difference in the last digits is no worth to divide by: faithfulness has no meaning."""

    def almost_constant(outputs: torch.Tensor) -> torch.Tensor:
        return 3 + 1e-15 * outputs[..., 0]

    truth = Truth.of(ExamProblem.of(textbook_xor(), metric=almost_constant))
    assert truth.values[-1] != truth.values[0]
    assert truth.faithfulness is None
    assert graded(truth, [1, 2, 3, 4, 5, 6]).values["cpr"] is None


def test_every_measure_is_described():
    """Those that a grade has are those of the list, in its order."""
    truth = Truth.of(ExamProblem.of(textbook_xor()))
    of_scores = graded(truth, [1, 2, 3, 4, 5, 6]).values
    of_set = measures_of_set(Kept("edges", np.ones(6, dtype=bool)), truth).values
    assert list(of_scores) == [name for name in MEASURES if name in of_scores]
    assert list(of_set) == [name for name in MEASURES if name in of_set]
    others = {"auroc_gates", "gate_agreement", "interchange_accuracy"}
    assert set(MEASURES) == {*of_scores, *of_set, *others}
