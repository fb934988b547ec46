"""The whole truth of a network: against one hooked forward per mask, and against plain counting of
sets, orders and neighbours.
"""

from functools import partial
from itertools import combinations, permutations

import numpy as np
import pytest
import torch

from xor_mi.errors import XorMiError
from xor_mi.exam import ExamProblem, Truth
from xor_mi.handmade import textbook_xor
from xor_mi.model import HookedMLP
from xor_mi.search import Convention, edge_masks, find_subcircuits
from xor_mi.training import train

pytestmark = pytest.mark.as_a_user


def trained(target: str, hidden: tuple[int, ...], seed: int, **settings) -> HookedMLP:
    """A trained network that does its task, the first from this seed on."""
    for later in range(seed, seed + 20):
        result = train(target, hidden=hidden, seed=later, progress=False, **settings)
        if result.solved:
            return result.model
    raise AssertionError("no network was trained")


def winner() -> HookedMLP:
    """XOR by which of two outputs is the larger."""
    layers = [([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]), ([[0.1, 0.2], [1.0, -2.0]], [0.4, 0.0])]
    return HookedMLP.from_weights(layers, target="XOR", decision_rule="argmax")


def hooked_outputs(model: HookedMLP, kept: np.ndarray, means: dict) -> torch.Tensor:
    """One forward with the terms of dropped edges replaced by hooks, [row, output].

    A unit that no edge reaches is replaced too: nothing, or its mean, leaves it.

    Args:
        means: name of a hook -> what dropped terms are replaced by, [d_out, d_in].
    """
    hooks = []
    sizes = model.layer_sizes
    is_there = np.ones(sizes[0], dtype=bool)
    first = 0
    for layer in range(len(sizes) - 1):
        shape = (sizes[layer + 1], sizes[layer])
        of_layer = kept[first : first + shape[0] * shape[1]].reshape(shape) & is_there
        first += shape[0] * shape[1]
        is_last = layer == len(sizes) - 2
        name = "hook_edge" if is_last else f"blocks.{layer}.hook_edge"
        dropped = torch.from_numpy(~of_layer)
        instead = means[name]

        def cut(value, hook, dropped, instead):
            return torch.where(dropped, instead, value)

        hooks.append((name, partial(cut, dropped=dropped, instead=instead)))
        is_there = of_layer.any(1)
    return model.run_with_hooks(model.rows(), fwd_hooks=hooks)


NETWORKS = {
    "2-2-1": lambda: trained("XOR", (2,), 29),
    "2-3-1 tanh": lambda: trained("XOR", (3,), 0, act_fn="tanh"),
    "2-2-2-1": lambda: trained("XOR", (2, 2), 11),
    "2-4-1": lambda: trained("XOR", (4,), 1),
    "3-3-1": lambda: trained("x0 & x1 | x2", (3,), 0),
    "2-2-2 argmax": winner,
}


LARGE = {"2-2-2-1": "mean", "2-4-1": "zero", "3-3-1": "mean"}
"""Networks with ten edges and more, and the one ablation that they are run with, mask by mask."""
MASKS_RUN = 512
"""Of a large network so many masks are run one by one: the first, the last and others."""


@pytest.mark.parametrize(
    ("name", "ablation"),
    [
        (name, ablation)
        for name in NETWORKS
        for ablation in ("zero", "mean")
        if LARGE.get(name, ablation) == ablation
    ],
)
def test_every_mask_against_one_hooked_forward(name, ablation):
    """Rows right and the mean margin of all masks, on networks with up to 12 edges; of ten edges
    and more of a sample.
    """
    brought = NETWORKS[name]()
    model = brought.with_weights(brought.float64_layers(), dtype=torch.float64)
    problem = ExamProblem.of(model, convention=Convention(ablation=ablation))
    truth = Truth.of(problem)
    assert len(truth) == 2 ** len(problem.edges) <= 2**12
    model.set_use_edge_result(True)
    signs = 2 * problem.labels.double() - 1
    others = np.random.default_rng(0).permutation(len(truth))[:MASKS_RUN]
    cache = model.run_with_cache(model.rows())[1]
    means = {name: terms.mean(0) for name, terms in cache.items() if name.endswith("hook_edge")}
    if ablation == "zero":
        means = {name: torch.zeros_like(mean) for name, mean in means.items()}
    numbers = sorted({0, len(truth) - 1, *others.tolist()})
    n_right, margins = [], []
    for number in numbers:
        kept = (number >> np.arange(len(problem.edges)) & 1).astype(bool)
        outputs = hooked_outputs(model, kept, means)
        scores = outputs[:, 1:] - outputs[:, :1] if model.rule.name == "argmax" else outputs
        margin = ((scores - model.rule.cut) * signs).amin(1)
        n_right.append((margin > 1e-9).sum().item())
        margins.append(margin.mean().item())
    np.testing.assert_allclose(truth.values[numbers], margins, atol=1e-6)
    assert truth.n_right_rows[numbers].tolist() == n_right


def test_units_are_masks_of_edges():
    """A set of units is the set of all edges whose hidden ends are in it."""
    problem = ExamProblem.of(trained("XOR", (3, 3), 1))
    over_edges, over_units = Truth.of(problem), Truth.of(problem, over="units")
    for number in range(len(over_units)):
        units = {unit for k, unit in enumerate(problem.units) if number >> k & 1}
        kept = [
            all(end in units or end.layer < 0 or end.is_output for end in (edge.src, edge.dst))
            for edge in problem.edges
        ]
        mask = over_edges.mask_of(np.array(kept))
        assert over_units.n_right_rows[number] == over_edges.n_right_rows[mask]
        assert over_units.values[number] == pytest.approx(over_edges.values[mask])


@pytest.fixture(scope="module")
def truth() -> Truth:
    """All sets of edges of a network with 12 of them, among which the levels differ."""
    return Truth.of(ExamProblem.of(trained("XOR", (4,), 1)))


def sets_of(truth: Truth, masks: np.ndarray) -> set[frozenset[int]]:
    """Masks as sets of numbers."""
    return {
        frozenset(k for k in range(truth.n_elements) if mask >> k & 1)
        for mask in np.flatnonzero(masks).tolist()
    }


def test_the_levels_by_their_definitions(truth):
    """Sets and their subsets, one by one."""
    perfect = sets_of(truth, truth.perfect)
    quasi = {one for one in perfect if any(one - {k} not in perfect for k in one)}
    locally = {one for one in perfect if all(one - {k} not in perfect for k in one)}
    subset = {one for one in perfect if not any(other < one for other in perfect)}
    least = min(map(len, perfect))
    cardinally = {one for one in perfect if len(one) == least}
    assert sets_of(truth, truth.quasi) == quasi
    assert sets_of(truth, truth.locally) == locally
    assert sets_of(truth, truth.subset) == subset
    assert sets_of(truth, truth.cardinally) == cardinally
    assert len(cardinally) <= len(subset) <= len(locally) <= len(quasi) <= len(perfect)
    assert truth.minimum == least
    assert truth.is_unique == (len(cardinally) == 1)
    assert set(np.flatnonzero(truth.union)) == frozenset().union(*subset)
    assert set(np.flatnonzero(truth.intersection)) == frozenset.intersection(*subset)
    ways = [(one, k) for one in perfect for k in set(range(truth.n_elements)) - one]
    broken = [one | {k} not in perfect for one, k in ways]
    assert truth.monotonicity_defect == pytest.approx(np.mean(broken))


def test_a_locally_minimal_circuit_that_is_not_subset_minimal():
    """Two cancelling units: without either the rest is wrong, without both it is right."""
    # AND of both inputs, and two equal units of opposite readout
    model = HookedMLP.from_weights(
        [([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [-1.0, 0.0, 0.0]), ([[1.0, 5.0, -5.0]], [-0.5])],
        target="AND",
    )
    truth = Truth.of(ExamProblem.of(model), over="units")
    assert sets_of(truth, truth.perfect) == {frozenset({0}), frozenset({0, 1, 2})}
    assert sets_of(truth, truth.locally) == {frozenset({0}), frozenset({0, 1, 2})}
    assert sets_of(truth, truth.subset) == {frozenset({0})}
    # of the two ways to add a unit to {AND}, both break it
    assert truth.monotonicity_defect == 1.0


def test_distance_to_the_nearest_minimal_one(truth):
    """The elements by which a mask differs, the least over the subset-minimal ones."""
    minimal = np.flatnonzero(truth.subset)
    for mask in range(0, len(truth), 7):
        assert truth.distance[mask] == min(bin(mask ^ one).count("1") for one in minimal.tolist())


def test_chance_counts_every_order():
    """The smallest perfect top-k of all orders of six edges, one by one."""
    truth = Truth.of(ExamProblem.of(NETWORKS["2-2-1"]()))
    counted = np.zeros(truth.n_elements + 1)
    orders = list(permutations(range(truth.n_elements)))
    for order in orders:
        masks = [sum(1 << k for k in order[:n]) for n in range(truth.n_elements + 1)]
        counted[next(n for n, mask in enumerate(masks) if truth.perfect[mask])] += 1
    np.testing.assert_allclose(truth.chance_of_size, counted / len(orders), atol=1e-12)


def test_means_by_size(truth):
    """Of random sets of three: all of them."""
    values = [
        truth.values[sum(1 << k for k in one)] for one in combinations(range(truth.n_elements), 3)
    ]
    assert truth.mean_by_size(truth.values)[3] == pytest.approx(np.mean(values))
    assert [len(masks) for masks in truth.by_size] == np.bincount(truth.n_kept).tolist()


def test_the_table(truth):
    """Per size, the same counts as the masks have."""
    frame = truth.frame()
    assert frame["n_masks"].sum() == len(truth)
    assert frame["n_perfect"].sum() == truth.perfect.sum()
    assert frame.loc[truth.minimum, "n_cardinally"] == truth.cardinally.sum()
    assert (frame.loc[: truth.minimum - 1, "n_perfect"] == 0).all()


def test_faithfulness_is_that_of_the_benchmark(truth):
    """0 of nothing, 1 of the whole network, by the mean margin."""
    faithfulness = truth.faithfulness
    assert (faithfulness[0], faithfulness[-1]) == (0, 1)
    empty, whole = truth.values[0], truth.values[-1]
    assert faithfulness[5] == pytest.approx((truth.values[5] - empty) / (whole - empty))


def test_noisy_rows_count():
    """A mask is perfect where the noisy rows are right too, as in the search for subcircuits."""
    model = NETWORKS["2-2-1"]()
    convention = Convention(noise_sd=0.2, n_noisy=20)
    problem = ExamProblem.of(model, convention=convention)
    truth = Truth.of(problem)
    assert truth.n_rows == 84
    assert truth.perfect.tolist() == edge_masks(model, convention=convention).perfect.tolist()
    over_units = Truth.of(problem, over="units")
    assert over_units.n_right_rows[-1] == truth.n_right_rows[-1]


def test_the_pilot_on_one_network():
    """A 2-3-3-1 has as many perfect subcircuits as the search lists: 584 of the network of seed 1."""
    model = trained("XOR", (3, 3), 1)
    truth = Truth.of(ExamProblem.of(model))
    connected = edge_masks(model).is_subcircuit
    assert (truth.perfect & connected).sum() == len(find_subcircuits(model)) == 584


def test_metrics_of_ones_own():
    """The accuracy, and any function of the outputs; one that is not finite is refused."""
    accuracy = Truth.of(ExamProblem.of(textbook_xor(), metric="accuracy"))
    assert accuracy.values.tolist() == (accuracy.n_right_rows / 4).tolist()
    largest = Truth.of(ExamProblem.of(textbook_xor(), metric=lambda outputs: outputs[..., 0]))
    assert largest.values[-1] == pytest.approx(0.5)
    with pytest.raises(XorMiError, match="the metric is inf for a part of the network"):
        Truth.of(ExamProblem.of(textbook_xor(), metric=lambda outputs: 1 / outputs[..., 0]))
    with pytest.raises(XorMiError, match=r"the metric gave \[64\].*a number per row"):
        ExamProblem.of(textbook_xor(), metric=lambda outputs: outputs.sum((-1, -2))).metric_of(
            torch.zeros(64, 4, 1)
        )


def test_what_cannot_be_enumerated_is_refused():
    """By the number, and what would do."""
    wide = ExamProblem.of(trained("XOR", (4, 4), 1))
    with pytest.raises(
        XorMiError, match="28 edges are more than the 24.*268,435,456 sets.*over units"
    ):
        Truth.of(wide)
    assert Truth.of(wide, over="units").n_elements == 8


def test_no_perfect_mask_is_said():
    """A network that does not do its task has no circuit."""
    wrong = ExamProblem.of(textbook_xor(), "AND")
    truth = Truth.of(wrong)
    if truth.perfect.any():  # a part of it may still compute AND
        assert truth.minimum > 0
    constant = HookedMLP.from_weights([([[0.0, 0.0]], [0.0]), ([[0.0]], [0.0])], target="XOR")
    with pytest.raises(XorMiError, match="no set of edges decides every row right"):
        _ = Truth.of(ExamProblem.of(constant)).minimum
