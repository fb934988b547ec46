"""Methods that score edges and units: against networks that are run edge by edge, finite
differences, every order of putting edges back, and numbers by hand.
"""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from test_edge_masks import CASES, network, run_by_edges

from xor_mi.errors import XorMiError
from xor_mi.exam import ExamProblem
from xor_mi.exam._edge_methods import (
    EDGE_METHODS,
    eap,
    eap_ig,
    eap_ig_inputs,
    eap_ig_pairs,
    eap_pairs,
    edge_denoising,
    edge_noising,
    gradient_x_weight,
    magnitude,
    random_edges,
    shapley_accuracy,
    shapley_margin,
)
from xor_mi.exam._exact_methods import shapley_of_sets
from xor_mi.exam._sets import edge_pruning, subnetwork_probing
from xor_mi.exam._unit_methods import (
    UNIT_METHODS,
    attribution_patching,
    conductance,
    integrated_gradients,
    random_units,
    unit_denoising,
    unit_magnitude,
    unit_noising,
    unit_shapley_accuracy,
    unit_shapley_margin,
)
from xor_mi.graph import Edge
from xor_mi.model import HookedMLP
from xor_mi.search import Convention
from xor_mi.training import train

SMOOTH = [
    ((2, 2, 1), {"act_fn": "tanh"}, {"ablation": "mean"}),
    ((2, 3, 1), {"act_fn": "sigmoid"}, {"n_noisy": 2, "noise_sd": 0.3}),
    ((2, 2, 2), {"act_fn": "gelu", "decision_rule": "argmax"}, {"ablation": "mean"}),
    ((2, 2, 2, 1), {"act_fn": "tanh", "out_act_fn": "tanh"}, {"biases": "drop"}),
]
"""Networks with a slope everywhere, and what they are asked under."""


def problem_of(sizes, settings, switches, pairs=None) -> ExamProblem:
    """A network as it is drawn, asked for what it computes itself."""
    model = network(sizes, seed=len(sizes), **settings)
    convention = Convention(reference="model", **switches)
    return ExamProblem.of(model, convention=convention, pairs=pairs)


def margins_by_hand(problem: ExamProblem, outputs: np.ndarray) -> np.ndarray:
    """How far outputs [row, output] are on the right side of the decision, [row]."""
    labels = problem.labels.numpy()
    if problem.convention.decision == "round":
        low, high = labels - 0.5, labels + 0.5
        return np.minimum(outputs - low, high - outputs).min(1)
    distance = outputs - problem.model.threshold
    if problem.model.rule.name == "argmax":
        others = [np.delete(outputs, k, 1).max(1) for k in range(outputs.shape[1])]
        distance = outputs - np.stack(others, 1)
        if outputs.shape[1] == 2:
            distance = distance[:, 1:]
    return np.where(labels == 1, distance, -distance).min(1)


def margins_with(problem: ExamProblem, kept: set[Edge]) -> np.ndarray:
    """The margin of every row where the network keeps these edges, edge by edge."""
    outputs = run_by_edges(
        problem.model, kept, problem.numbers.rows, problem.convention, drop_unfed=True
    )
    return margins_by_hand(problem, outputs)


def between(problem: ExamProblem, units: set) -> set[Edge]:
    """The edges that do not touch a hidden unit outside these."""
    gone = set(problem.units) - units
    return {edge for edge in problem.edges if edge.src not in gone and edge.dst not in gone}


@pytest.mark.as_a_user
@pytest.mark.parametrize(("sizes", "settings", "switches"), CASES)
def test_noising_and_denoising_edge_by_edge(sizes, settings, switches):
    """One edge or unit less than all, one more than none, on networks of every kind."""
    problem = problem_of(sizes, settings, switches)
    every, nothing = set(problem.edges), set()

    def change(first: set[Edge], second: set[Edge]) -> float:
        return np.abs(margins_with(problem, first) - margins_with(problem, second)).mean()

    dropped = [change(every, every - {edge}) for edge in problem.edges]
    restored = [change(nothing, {edge}) for edge in problem.edges]
    np.testing.assert_allclose(edge_noising(problem), dropped, atol=1e-7)
    np.testing.assert_allclose(edge_denoising(problem), restored, atol=1e-7)
    units = set(problem.units)
    without = [change(every, between(problem, units - {unit})) for unit in problem.units]
    empty = between(problem, set())
    alone = [change(empty, between(problem, {unit})) for unit in problem.units]
    np.testing.assert_allclose(unit_noising(problem), without, atol=1e-7)
    np.testing.assert_allclose(unit_denoising(problem), alone, atol=1e-7)


def test_one_edge_restored_feeds_nothing_forward(deep):
    """Behind a hidden layer, an edge of an empty network moves nothing but where it ends in an
    output, and there nothing either: its source is dropped.
    """
    problem = ExamProblem.of(deep, convention=Convention(reference="model"))
    assert edge_denoising(problem).tolist() == [0.0] * len(problem.edges)
    assert edge_noising(problem).max() > 0.01


class Twin:
    """The network in NumPy, unit by unit, with edges that are kept in part.

    An edge adds weight x (part x (value - carried) + carried), and whatever is put on top of it.
    """

    def __init__(self, problem: ExamProblem):
        self.problem, self.model = problem, problem.model
        keeps_bias = problem.convention.biases == "keep"
        self.layers = [
            (weight.numpy(), bias.numpy() * keeps_bias)
            for weight, bias in self.model.float64_layers()
        ]
        mean = problem.convention.ablation == "mean"
        values = self.model.rows().double().numpy()
        self.carried = [values.mean(0) * mean]
        for number, (weight, bias) in enumerate(self.model.float64_layers()):
            values = self.activated(values @ weight.numpy().T + bias.numpy(), number)
            self.carried.append(values.mean(0) * mean)

    def activated(self, pre: np.ndarray, number: int) -> np.ndarray:
        return self.model.activate(torch.tensor(pre), number).numpy()

    def run(
        self,
        part: np.ndarray | None = None,
        inputs: np.ndarray | None = None,
        added: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """Values [row, unit] of every layer.

        Args:
            part: [edge], by default 1.
            inputs: [row, d_in], by default the problem's.
            added: what each edge adds on top of its own, [row, edge].
        """
        values = [self.problem.numbers.rows if inputs is None else inputs]
        edge = 0
        for number, (weight, bias) in enumerate(self.layers):
            pre = np.tile(bias, (len(values[0]), 1))
            for target in range(len(weight)):
                for source in range(weight.shape[1]):
                    carried = self.carried[number][source]
                    share = 1.0 if part is None else part[edge]
                    value = share * (values[-1][:, source] - carried) + carried
                    pre[:, target] += weight[target, source] * value
                    if added is not None:
                        pre[:, target] += added[:, edge]
                    edge += 1
            values.append(self.activated(pre, number))
        return values

    def margins(self, part=None, inputs=None, added=None) -> np.ndarray:
        return margins_by_hand(self.problem, self.run(part, inputs, added)[-1])

    def sent(self, values: list[np.ndarray]) -> np.ndarray:
        """weight x what its source holds, of every edge, [row, edge]."""
        parts = [
            (weight[None] * value[:, None, :]).reshape(len(value), -1)
            for (weight, _), value in zip(self.layers, values, strict=False)
        ]
        return np.concatenate(parts, axis=1)


def slope(function: Callable[[float], np.ndarray]) -> np.ndarray:
    """The slope of a function of one number at 0, by a difference on both sides."""
    return (function(1e-5) - function(-1e-5)) / 2e-5


def slopes_in_mask(twin: Twin, part: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The margin's slopes where masks move in each direction [direction, edge]: [row, direction]."""
    slopes = [slope(lambda h, d=direction: twin.margins(part + h * d)) for direction in directions]
    return np.stack(slopes, axis=1)


@pytest.mark.as_a_user
@pytest.mark.parametrize(("sizes", "settings", "switches"), SMOOTH)
def test_gradients_in_masks_by_differences(sizes, settings, switches):
    """EAP and its average along the masks, of edges and of units, all from masks moved by hand."""
    problem = problem_of(sizes, settings, switches)
    twin, n_edges = Twin(problem), len(problem.edges)
    middles = (np.arange(7) + 0.5) / 7
    single, whole = np.eye(n_edges), np.ones(n_edges)
    at_whole = slopes_in_mask(twin, whole, single)
    np.testing.assert_allclose(eap(problem), np.abs(at_whole).mean(0), atol=1e-6)
    on_path = np.mean([slopes_in_mask(twin, t * whole, single) for t in middles], axis=0)
    np.testing.assert_allclose(eap_ig(problem, n_steps=7), np.abs(on_path).mean(0), atol=1e-6)
    # a unit's mask is on all that it sends
    sent = np.array([[edge.src == unit for edge in problem.edges] for unit in problem.units], float)
    by_units = slopes_in_mask(twin, whole, sent)
    np.testing.assert_allclose(attribution_patching(problem), np.abs(by_units).mean(0), atol=1e-6)
    read = 1 - sent.sum(0)  # the edges from inputs, which always stay
    masks = [read + t * (1 - read) for t in middles]
    on_path = np.mean([slopes_in_mask(twin, mask, sent) for mask in masks], axis=0)
    scores = integrated_gradients(problem, n_steps=7)
    np.testing.assert_allclose(scores, np.abs(on_path).mean(0), atol=1e-6)


@pytest.mark.as_a_user
@pytest.mark.parametrize(("sizes", "settings", "switches"), SMOOTH)
def test_gradients_between_inputs_by_differences(sizes, settings, switches):
    """EAP-IG over inputs, and both methods of pairs: an edge adds a little more at each point."""
    pairs = [("00", "11"), ("10", "01"), ("00", "01"), ("11", "00")]
    problem = problem_of(sizes, settings, switches, pairs)
    twin, rows = Twin(problem), problem.numbers.rows
    middles = (np.arange(5) + 0.5) / 5
    n_edges = len(problem.edges)

    def effects(points: list[np.ndarray], moved: np.ndarray) -> np.ndarray:
        """[row, edge]: the slope where each edge adds its own move, the mean over the points."""
        of_points = []
        for inputs in points:
            of_edges = [
                slope(
                    lambda h, e=edge, x=inputs: twin.margins(
                        None, x, h * moved * np.eye(n_edges)[e]
                    )
                )
                for edge in range(n_edges)
            ]
            of_points.append(np.stack(of_edges, axis=1))
        return np.mean(of_points, axis=0)

    values = twin.run()
    baseline = np.tile(twin.carried[0], (len(rows), 1))
    moved = twin.sent(values) - twin.sent(twin.run(inputs=baseline))
    points = [baseline + t * (rows - baseline) for t in middles]
    by_hand = np.abs(effects(points, moved)).mean(0)
    np.testing.assert_allclose(eap_ig_inputs(problem, n_steps=5), by_hand, atol=1e-6)

    of_pairs, of_lines = [], []
    for clean, corrupted in problem.pairs:
        other = twin.run(inputs=np.tile(rows[corrupted], (len(rows), 1)))
        moved = twin.sent(values) - twin.sent(other)
        points = [rows[corrupted] + t * (rows - rows[corrupted]) for t in middles]
        of_pairs.append(effects([rows], moved)[clean])
        of_lines.append(effects(points, moved)[clean])
    np.testing.assert_allclose(eap_pairs(problem), np.abs(of_pairs).mean(0), atol=1e-6)
    scores = eap_ig_pairs(problem, n_steps=5)
    np.testing.assert_allclose(scores, np.abs(of_lines).mean(0), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sizes", [(2, 2, 1), (2, 3, 3, 1), (2, 2, 2)])
def test_gradient_times_weight_is_the_sum_of_eap(sizes, seed):
    """Where a dropped edge carries nothing; and each against a weight that is a little larger."""
    problem = ExamProblem.of(network(sizes, seed), convention=Convention(reference="model"))
    rows_added_up = problem.gradient(np.ones((1, len(problem.edges))))[0].mean(0).abs()
    scores = gradient_x_weight(problem)
    np.testing.assert_allclose(scores, rows_added_up.numpy(), atol=1e-12)
    layers = problem.model.float64_layers()
    by_hand = []
    for number, (weight, _) in enumerate(layers):
        for place in np.ndindex(*weight.shape):

            def mean_margin(h, number=number, place=place):
                changed = [(weight.clone(), bias) for weight, bias in layers]
                changed[number][0][place] *= 1 + h
                model = problem.model.with_weights(changed)
                outputs = model(model.rows()).detach().numpy()
                return margins_by_hand(problem, outputs).mean()

            by_hand.append(abs(slope(mean_margin)))
    np.testing.assert_allclose(scores, by_hand, atol=1e-5)


@pytest.mark.parametrize("sizes", [(2, 2, 1), (2, 3, 3, 1), (2, 2, 2, 1)])
def test_integrated_gradients_add_up(sizes):
    """Where only one row has a metric and every effect is positive, the scores add up to what the
    whole network has over the empty one; conductance in every layer.
    """
    drawn = network(sizes, 1)
    layers = [(weight.abs(), bias) for weight, bias in drawn.float64_layers()]
    layers[0] = (layers[0][0], layers[0][1].abs())
    model = drawn.with_weights(layers)
    row_11 = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    problem = ExamProblem.of(model, "AND", metric=lambda outputs: outputs[..., 0] * row_11)
    whole, empty = problem.values([[1] * len(problem.edges), [0] * len(problem.edges)])
    change = (whole - empty).mean().item()
    assert change > 0.01
    assert eap_ig(problem, n_steps=2000).sum() == pytest.approx(change, rel=1e-3)
    assert integrated_gradients(problem, n_steps=2000).sum() == pytest.approx(change, rel=1e-3)
    outputs = model(torch.tensor([[0, 0], [1, 1]]))[:, 0]
    scores = conductance(problem, n_steps=2000)
    from_00 = (outputs[1] - outputs[0]).item() / 4
    for layer in range(len(sizes) - 2):
        of_layer = [unit.layer == layer for unit in problem.units]
        assert scores[of_layer].sum() == pytest.approx(from_00, rel=1e-3)


def test_conductance_by_hand(textbook):
    """On row 11 the OR unit goes from 0 to 2 and the AND unit from 0 to 1, read with 1 and -2; on
    01 and 10 only the OR unit moves, by 1.
    """
    scores = conductance(ExamProblem.of(textbook))
    np.testing.assert_allclose(scores, [(1 + 1 + 2) / 4, 2 / 4])


def shapley_by_orders(worth: Callable[[frozenset], float], elements: list) -> list[float]:
    """The mean gain by each element over every order."""
    gains = dict.fromkeys(elements, 0.0)
    orders = list(permutations(elements))
    for order in orders:
        there: frozenset = frozenset()
        for element in order:
            gains[element] += worth(there | {element}) - worth(there)
            there |= {element}
    return [gains[element] / len(orders) for element in elements]


@pytest.mark.as_a_user
@pytest.mark.parametrize(
    ("sizes", "settings", "switches"),
    [
        ((2, 2, 1), {}, {}),
        ((2, 2, 1), {"act_fn": "tanh"}, {"ablation": "mean"}),
        ((1, 2, 1), {"act_fn": "sigmoid"}, {"n_noisy": 3, "noise_sd": 0.4}),
        ((2, 1, 1), {}, {"biases": "drop"}),
    ],
)
def test_shapley_values_by_every_order(sizes, settings, switches):
    """Edges and units, margin and share of right rows, by the definition."""
    problem = problem_of(sizes, settings, switches)
    known: dict[frozenset, np.ndarray] = {}

    def margins(kept: frozenset) -> np.ndarray:
        if kept not in known:
            known[kept] = margins_with(problem, set(kept))
        return known[kept]

    def of_edges(measure):
        return shapley_by_orders(lambda kept: measure(margins(kept)), list(problem.edges))

    def of_units(measure):
        return shapley_by_orders(
            lambda units: measure(margins(frozenset(between(problem, set(units))))),
            list(problem.units),
        )

    def share_right(margin: np.ndarray) -> float:
        return (margin > 0).mean()

    np.testing.assert_allclose(shapley_margin(problem), of_edges(np.mean), atol=1e-7)
    np.testing.assert_allclose(shapley_accuracy(problem), of_edges(share_right), atol=1e-12)
    np.testing.assert_allclose(unit_shapley_margin(problem), of_units(np.mean), atol=1e-7)
    np.testing.assert_allclose(unit_shapley_accuracy(problem), of_units(share_right), atol=1e-12)


def test_shapley_values_of_six_players_by_every_order():
    """Any worths at all, the empty set's too."""
    of_sets = np.random.default_rng(0).normal(size=64)

    def worth(players: frozenset) -> float:
        return of_sets[sum(2**player for player in players)]

    np.testing.assert_allclose(shapley_of_sets(of_sets), shapley_by_orders(worth, list(range(6))))


def test_shapley_values_add_up():
    """On a trained network with 2^18 sets of edges and 2^6 of units."""
    model = train("XOR", hidden=(3, 3), seed=1).model
    problem = ExamProblem.of(model)
    every, nothing = set(problem.edges), set()
    margin = margins_with(problem, every).mean() - margins_with(problem, nothing).mean()
    right = 1 - (margins_with(problem, nothing) > 0).mean()
    assert shapley_margin(problem).sum() == pytest.approx(margin, abs=1e-7)
    assert shapley_accuracy(problem).sum() == pytest.approx(right)
    assert problem.cost.forwards == 2 * 2**18
    assert unit_shapley_margin(problem).sum() == pytest.approx(margin, abs=1e-7)
    assert unit_shapley_accuracy(problem).sum() == pytest.approx(right)
    assert problem.cost.forwards == 2 * 2**18 + 2 * 2**6
    # a metric of the problem's own is not what these two are asked for
    other = ExamProblem.of(model, metric="accuracy")
    np.testing.assert_array_equal(shapley_margin(other), shapley_margin(problem))


def test_magnitudes_by_hand(counted):
    """The absolute weights in the order of edges; of units, the norms on both sides multiplied."""
    problem = ExamProblem.of(counted, "OR")
    assert magnitude(problem).tolist() == [1, 2, 3, 4, 7, 8]
    assert problem.cost.forwards == 0
    by_hand = [np.sqrt(1 + 4) * 7, np.sqrt(9 + 16) * 8]
    np.testing.assert_allclose(unit_magnitude(problem), by_hand)


def test_the_magnitude_of_a_unit_does_not_depend_on_its_scale(counted):
    """A ReLU unit that reads ten times as much and is read a tenth as much is the same unit."""
    (first, first_bias), (last, last_bias) = counted.float64_layers()
    scale = torch.tensor([10.0, 0.5], dtype=torch.float64)
    layers = [(first * scale[:, None], first_bias * scale), (last / scale, last_bias)]
    rescaled = HookedMLP.from_weights(layers)
    np.testing.assert_allclose(
        unit_magnitude(ExamProblem.of(rescaled, "OR")),
        unit_magnitude(ExamProblem.of(counted, "OR")),
    )


def test_chance_is_the_problems_own(textbook):
    """The same again under the same seed, another under another."""
    first, second = (ExamProblem.of(textbook, seed=seed) for seed in (0, 1))
    for chance in (random_edges, random_units):
        scores = chance(first)
        assert scores.tolist() == chance(ExamProblem.of(textbook, seed=0)).tolist()
        assert scores.tolist() != chance(second).tolist()
    assert len(random_edges(first)) == 6
    assert len(random_units(first)) == 2


@pytest.mark.parametrize(
    ("method", "forwards", "backwards"),
    [
        (edge_noising, 7, 0),
        (edge_denoising, 7, 0),
        (eap, 1, 1),
        (eap_ig, 50, 50),
        (eap_ig_inputs, 51.25, 50),
        (eap_pairs, 1 + 8 / 4, 8 / 4),
        (eap_ig_pairs, 1 + 50 * 8 / 4, 50 * 8 / 4),
        (gradient_x_weight, 1, 1),
        (shapley_margin, 64, 0),
        (shapley_accuracy, 64, 0),
        (magnitude, 0, 0),
        (random_edges, 0, 0),
        (unit_noising, 3, 0),
        (unit_denoising, 3, 0),
        (attribution_patching, 1, 1),
        (integrated_gradients, 50, 50),
        (conductance, 101, 50),
        (unit_shapley_margin, 4, 0),
        (unit_shapley_accuracy, 4, 0),
        (unit_magnitude, 0, 0),
        (random_units, 0, 0),
    ],
)
def test_what_a_method_costs(textbook, method, forwards, backwards):
    """Forwards over all 4 rows, counted on the fingers: 6 edges, 2 units, 8 pairs, 50 steps."""
    problem = ExamProblem.of(textbook)
    method(problem)
    assert (problem.cost.forwards, problem.cost.backwards) == (forwards, backwards)


def test_every_method_answers_in_the_order_of_the_problem():
    """Finite numbers, one per element; names are there once."""
    model = train("XOR", hidden=(3, 3), seed=1).model
    problem = ExamProblem.of(model)
    methods = [*EDGE_METHODS, *UNIT_METHODS]
    assert len({method.name for method in methods}) == len(methods)
    for method in methods:
        scores = np.asarray(method(problem))
        assert scores.shape == (len(problem.elements(method.over)),), method.name
        assert np.isfinite(scores).all(), method.name


GRADIENTS = [
    *(eap, eap_ig, eap_ig_inputs, eap_pairs, eap_ig_pairs, gradient_x_weight),
    *(attribution_patching, integrated_gradients, conductance),
    *(edge_pruning, subnetwork_probing),
]


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_flat_metric_is_refused(textbook, method):
    """Whether a row is right has no slope."""
    with pytest.raises(XorMiError, match="'accuracy' has no slope; take 'margin'"):
        method(ExamProblem.of(textbook, metric="accuracy"))


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_metric_cut_off_from_the_outputs_is_refused(textbook, method):
    """A person's own metric may be flat too, and says so only when it is asked for its slope."""
    problem = ExamProblem.of(textbook, metric=lambda outputs: (outputs[..., 0] > 0.5).double())
    with pytest.raises(XorMiError, match="the metric has no slope in the outputs; give one that"):
        method(problem)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", GRADIENTS)
def test_gradients_are_there_where_the_caller_has_them_off(textbook, method, off):
    """The same scores."""
    expected = np.asarray(method(ExamProblem.of(textbook)))
    with off():
        assert np.asarray(method(ExamProblem.of(textbook))).tolist() == expected.tolist()


@pytest.mark.parametrize("method", [eap_pairs, eap_ig_pairs])
def test_no_pairs_are_refused(textbook, method):
    """Where every row has the same label."""
    with pytest.raises(
        XorMiError, match="no pairs of rows: none were given, or all its labels are"
    ):
        method(ExamProblem.of(textbook, "FALSE"))


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "method",
    [m for m in GRADIENTS if m not in (eap, eap_pairs, gradient_x_weight, attribution_patching)],
)
@pytest.mark.parametrize("n_steps", [0, 2.5, "many"])
def test_steps_that_are_none_are_refused(textbook, method, n_steps):
    """Whole numbers of at least 1."""
    with pytest.raises(XorMiError, match="n_steps must be a whole number of at least 1"):
        method(ExamProblem.of(textbook), n_steps=n_steps)


def test_too_many_sets_are_refused():
    """With the number and what to take instead."""
    problem = ExamProblem.of(network((2, 4, 3, 1), 0), convention=Convention(reference="model"))
    with pytest.raises(XorMiError, match="23 edges.*more than the 20.*over='units'"):
        shapley_margin(problem)
    wide = ExamProblem.of(network((2, 21, 1), 0), convention=Convention(reference="model"))
    with pytest.raises(XorMiError, match="21 units.*more than the 20.*method with gradients$"):
        unit_shapley_accuracy(wide)


def test_shapley_values_of_what_never_changes_are_zero():
    """Not what rounding leaves of a sum over all sets, which would put edges in an order."""
    of_sets = np.full(2**8, 0.7)
    assert shapley_of_sets(of_sets).tolist() == [0.0] * 8
