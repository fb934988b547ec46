"""Methods that give a set: against removals by hand over the truth of all masks."""

import numpy as np
import pytest
import torch
from test_edge_masks import CASES, network
from test_exam_methods import margins_with

from xor_mi.errors import XorMiError
from xor_mi.exam import ExamProblem
from xor_mi.exam._sets import (
    SET_METHODS,
    _quick_outputs,
    acdc,
    acdc_decisions,
    edge_pruning,
    greedy_removal,
    greedy_removal_once,
    greedy_removal_units,
    subnetwork_probing,
)
from xor_mi.model import HookedMLP
from xor_mi.search import Convention, edge_masks
from xor_mi.training import train_population


@pytest.fixture(scope="module")
def solved() -> list[HookedMLP]:
    """Ten trained 2-3-3-1 networks that compute XOR, some of which lose more at a second look."""
    population = train_population("XOR", 80, hidden=(3, 3), progress=False)
    numbers = population.solved.nonzero().flatten().tolist()
    return [population[number] for number in numbers[17:27]]


def mask_of(kept: np.ndarray) -> int:
    """The number of a mask, bit by bit."""
    return sum(1 << edge for edge, is_kept in enumerate(kept) if is_kept)


def removed_by_hand(perfect: np.ndarray, order: list[int], *, again: bool) -> int:
    """The mask that is left when edges go in this order where it stays perfect."""
    mask = len(perfect) - 1
    while True:
        before = mask
        for edge in order:
            if mask >> edge & 1 and perfect[mask ^ 1 << edge]:
                mask ^= 1 << edge
        if not again or mask == before:
            return mask


OUTPUTS_FIRST = [15, 16, 17, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 1, 2, 3, 4, 5]
"""The edges of a 2-3-3-1 from the outputs to the inputs, in each layer in their order."""


def test_removal_over_the_truth_of_all_masks(solved):
    """All three, on ten networks; the one that looks again ends where no edge alone can go."""
    looked_again_helps = 0
    for model in solved:
        problem = ExamProblem.of(model)
        masks = edge_masks(model, progress=False)
        again, once = mask_of(greedy_removal(problem)), mask_of(greedy_removal_once(problem))
        assert again == removed_by_hand(masks.perfect, OUTPUTS_FIRST, again=True)
        assert once == removed_by_hand(masks.perfect, OUTPUTS_FIRST, again=False)
        backwards = list(range(17, -1, -1))
        reverse = removed_by_hand(masks.perfect, backwards, again=False)
        assert mask_of(acdc_decisions(problem)) == reverse
        assert masks.perfect[again]
        assert not any(masks.perfect[again ^ 1 << edge] for edge in range(18) if again >> edge & 1)
        looked_again_helps += again != once
    assert looked_again_helps


def test_only_what_was_right_must_stay_right():
    """A network that is wrong on a row is asked for its right rows alone: the textbook network held
    against OR is wrong on 11, and needs no AND unit for the rest.
    """
    from xor_mi.handmade import textbook_xor

    problem = ExamProblem.of(textbook_xor(), "OR")
    assert greedy_removal(problem).tolist() == [True, True, False, False, True, False]
    assert greedy_removal_units(problem).tolist() == [True, False]


@pytest.mark.as_a_user
@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3])
@pytest.mark.parametrize(("sizes", "settings", "switches"), CASES[:10])
def test_acdc_edge_by_edge(sizes, settings, switches, threshold):
    """The algorithm as the paper has it, on networks that are run edge by edge."""
    model = network(sizes, seed=len(sizes), **settings)
    problem = ExamProblem.of(model, convention=Convention(reference="model", **switches))
    whole = margins_with(problem, set(problem.edges))
    kept = set(problem.edges)

    def distance(edges: set) -> float:
        return np.abs(margins_with(problem, edges) - whole).mean()

    at_most = threshold * distance(set())
    for edge in reversed(problem.edges):
        if distance(kept - {edge}) - distance(kept) < at_most:
            kept -= {edge}
    by_hand = [edge in kept for edge in problem.edges]
    assert acdc(problem, threshold=threshold).tolist() == by_hand


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf"), True, "low"])
@pytest.mark.unchecked
def test_a_threshold_that_is_none_is_refused(textbook, threshold):
    """Numbers from 0 on."""
    with pytest.raises(XorMiError, match="threshold is .*; give a finite number of at least 0"):
        acdc(ExamProblem.of(textbook), threshold=threshold)


def test_units_over_all_sets_of_units(solved):
    """No unit alone can go from what is left, and the rows are right."""
    for model in solved:
        problem = ExamProblem.of(model)
        kept = greedy_removal_units(problem)
        assert problem.right(problem.edges_between(kept[None])).all()
        for unit in np.flatnonzero(kept):
            fewer = kept.copy()
            fewer[unit] = False
            assert not problem.right(problem.edges_between(fewer[None])).all()


def with_a_spare_unit() -> HookedMLP:
    """The textbook network with a third unit that reads and is read a little, and is not needed."""
    first = torch.tensor([[1.0, 1.0], [0.1, -0.1], [1.0, 1.0]])
    return HookedMLP.from_weights(
        [
            (first, torch.tensor([0.0, 0.05, -1.0])),
            (torch.tensor([[1.0, 0.1, -2.0]]), torch.zeros(1)),
        ],
        target="XOR",
        decision_threshold=0.5,
    )


@pytest.mark.as_a_user
@pytest.mark.parametrize("method", [edge_pruning, subnetwork_probing])
def test_optimised_masks_find_the_one_circuit(method):
    """Six of nine edges are the only minimal circuit, by all 2^9 masks; the same in every run."""
    model = with_a_spare_unit()
    masks = edge_masks(model, progress=False)
    only = [True, True, False, False, True, True, True, False, True]
    assert masks.kept(masks.minimal).tolist() == [only]
    assert method(ExamProblem.of(model)).tolist() == only


@pytest.mark.as_a_user
@pytest.mark.parametrize("method", [edge_pruning, subnetwork_probing])
def test_optimised_masks_keep_every_right_row(solved, method):
    """Whatever they drop; and they drop some edges of a network with room for it."""
    dropped = 0
    for model in solved[:3]:
        kept = method(ExamProblem.of(model))
        assert edge_masks(model, progress=False).perfect[mask_of(kept)]
        dropped += (~kept).sum()
        assert method(ExamProblem.of(model)).tolist() == kept.tolist()
    assert dropped > 3


@pytest.mark.parametrize(("sizes", "settings", "switches"), CASES)
def test_the_quick_forward_is_the_problems_own(sizes, settings, switches):
    """Masks of parts, many of them none, so that whole units fall away."""
    model = network(sizes, seed=len(sizes), **settings)
    problem = ExamProblem.of(model, convention=Convention(reference="model", **switches))
    drawn = np.random.default_rng(0).normal(size=(40, len(problem.edges)))
    kept = torch.from_numpy(drawn.clip(0, 1))
    assert (kept == 0).any()
    quick, slow = _quick_outputs(problem)(kept), problem.outputs(kept)
    np.testing.assert_allclose(quick.numpy(), slow.numpy(), atol=1e-12)


def test_a_wide_network_is_asked_for_fewer_sizes():
    """Of 90 edges 24 sizes, 8 times, in the one step; the whole network before and after."""
    problem = ExamProblem.of(network((2, 30, 1), 0), convention=Convention(reference="model"))
    kept = edge_pruning(problem, n_steps=1)
    assert problem.right(kept[None]).all()
    assert problem.cost.forwards == 1 + 24 * 8 + (1 + 24 * 8) + 1


def test_every_set_is_of_the_problems_elements(solved):
    """True or False, one per element; names are there once."""
    problem = ExamProblem.of(solved[0])
    assert len({method.name for method in SET_METHODS}) == len(SET_METHODS)
    for method in SET_METHODS:
        kept = np.asarray(method(problem))
        assert kept.dtype == bool, method.name
        assert kept.shape == (len(problem.elements(method.over)),), method.name


@pytest.mark.parametrize(
    ("method", "forwards", "backwards"),
    [
        (greedy_removal, 7, 0),
        (greedy_removal_once, 7, 0),
        (acdc_decisions, 7, 0),
        (acdc, 2 + 6, 0),
        (greedy_removal_units, 3, 0),
        # the whole network, 3 steps of 8 starts at 6 sizes, and what came of them with the whole
        (lambda problem: edge_pruning(problem, n_steps=3), 1 + 3 * 48 + 49, 3 * 48),
        # the same of 6 weights
        (lambda problem: subnetwork_probing(problem, n_steps=3), 1 + 3 * 48 + 49, 3 * 48),
    ],
)
def test_what_a_set_costs(textbook, method, forwards, backwards):
    """Forwards over all rows on the network of 6 edges and 2 units, of which none can go."""
    problem = ExamProblem.of(textbook)
    method(problem)
    assert (problem.cost.forwards, problem.cost.backwards) == (forwards, backwards)
