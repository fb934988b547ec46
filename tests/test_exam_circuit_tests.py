"""Hypothesis tests of circuits: every null distribution by loops over itertools, one hand-made
forward of plain Python numbers for each set.
"""

import itertools
import math
import statistics
from functools import partial

import numpy as np
import pytest
import torch

from xor_mi.errors import XorMiError
from xor_mi.exam import (
    TEST_METHODS,
    CircuitTests,
    ExamProblem,
    circuit_tests,
    circuit_tests_against_truth,
    smallest_by_tests,
)
from xor_mi.exam import _circuit_tests as module
from xor_mi.graph import Unit
from xor_mi.handmade import from_gates, textbook_xor
from xor_mi.model import HookedMLP
from xor_mi.search import Convention, find_subcircuits, outputs_of_edge_masks
from xor_mi.training import train_population
from xor_mi.truth import GATES

CLOSE = 1e-7
"""Distances that differ by less are the same."""


def solved(hidden, n=1, target="XOR", **settings):
    """The first networks that learned their target."""
    found = []
    for model in train_population(target, 60, hidden=hidden, progress=False, **settings):
        if (model(model.rows())[:, 0] > 0).int().tolist() == list(GATES[target]):
            found.append(model)
        if len(found) == n:
            return found
    raise AssertionError("too few networks learned it")


class Naive:
    """One forward per set, in plain numbers: zero ablation, units that read nothing are dropped."""

    def __init__(self, model, over="edges"):
        self.layers = [(w.tolist(), b.tolist()) for w, b in model.float64_layers()]
        self.sizes = model.layer_sizes
        self.model, self.over = model, over
        self.problem = ExamProblem.of(model)
        self.elements = self.problem.elements(over)
        self.whole = self.worth(self.elements)

    def edges(self, kept):
        if self.over == "edges":
            return set(kept)
        fixed = [unit for unit in self.places() if unit not in self.elements]
        there = {*kept, *fixed}
        return {edge for edge in self.problem.edges if edge.src in there and edge.dst in there}

    def places(self):
        return {unit for edge in self.problem.edges for unit in (edge.src, edge.dst)}

    def worth(self, kept):
        """The margin of the output on the right side of 0, on each row."""
        edges = {edge.name for edge in self.edges(kept)}
        return [
            self.output(row, edges) * (1 if label else -1)
            for row, label in zip(
                itertools.product((0.0, 1.0), repeat=2), self.model.cfg.target.bits, strict=True
            )
        ]

    def output(self, row, edges):
        held, names = list(row), [f"x{k}" for k in range(len(row))]
        there = dict.fromkeys(names, True)
        for number, (weight, bias) in enumerate(self.layers):
            is_last = number == len(self.layers) - 1
            n = len(bias)
            targets = [f"y{k}" if is_last else f"h{number}.{k}" for k in range(n)]
            sums = []
            for target, weights, total in zip(targets, weight, bias, strict=True):
                for name, value, w in zip(names, held, weights, strict=True):
                    if f"{name}->{target}" in edges and there[name]:
                        total += w * value
                        there[target] = True
                there.setdefault(target, False)
                sums.append(total)
            held = (
                sums
                if is_last
                else [float(self.model.activate(torch.tensor([z]).double(), number)) for z in sums]
            )
            names = targets
        return held[0]

    def far(self, kept, other=None):
        """Mean absolute difference to the whole network, or to another set."""
        compared = self.whole if other is None else self.worth(other)
        return statistics.fmean(abs(a - b) for a, b in zip(self.worth(kept), compared, strict=True))

    def without(self, kept):
        return [one for one in self.elements if one not in kept]

    def sets(self, size):
        return [list(one) for one in itertools.combinations(self.elements, size)]

    def connected(self, kept):
        """Whether each edge lies on a path of the set."""
        names = {edge.name for edge in kept}
        on_path = set()
        layers = [[f"x{k}" for k in range(self.sizes[0])]]
        for number, size in enumerate(self.sizes[1:-1]):
            layers.append([f"h{number}.{k}" for k in range(size)])
        layers.append([f"y{k}" for k in range(self.sizes[-1])])
        for path in itertools.product(*layers):
            steps = {f"{a}->{b}" for a, b in itertools.pairwise(path)}
            if steps <= names:
                on_path |= steps
        return on_path == names

    def sufficiency(self, kept, null=None):
        null = self.sets(len(kept)) if null is None else null
        own = self.far(kept)
        return sum(self.far(one) <= own + CLOSE for one in null) / len(null)

    def necessity(self, kept):
        null = self.sets(len(kept))
        own = self.far(self.without(kept))
        return sum(self.far(self.without(one)) >= own - CLOSE for one in null) / len(null)

    def minimality(self, kept):
        moved = [self.far([o for o in kept if o != one], kept) for one in kept]
        if self.over == "units":
            additions = [[one] for one in self.elements]
        else:
            layers = [[Unit(-1, k) for k in range(self.sizes[0])]]
            for number, size in enumerate(self.sizes[1:-1]):
                layers.append([Unit(number, k) for k in range(size)])
            layers.append([Unit(len(self.sizes) - 2, 0, is_output=True)])
            additions = []
            for path in itertools.product(*layers):
                steps = set(itertools.pairwise(path))
                additions.append([e for e in self.elements if (e.src, e.dst) in steps])
        per_addition = []
        for added in additions:
            new = [one for one in added if one not in kept]
            if not new:
                continue
            inflated = [*kept, *new]
            effects = [self.far([o for o in inflated if o != one], inflated) for one in new]
            per_addition.append(effects)
        if not per_addition:
            return None
        of_elements = []
        for effect in moved:
            shares = [
                statistics.fmean(other >= effect - CLOSE for other in effects)
                for effects in per_addition
            ]
            of_elements.append(statistics.fmean(shares))
        return max(of_elements)

    def equivalence(self, kept):
        n = len(self.whole)
        points = 0.0
        for a, b in zip(self.worth(kept), self.whole, strict=True):
            points += 0.5 if abs(a - b) < CLOSE else float(a > b)
        distance = abs(points / n - 0.5)
        return sum(
            math.comb(n, k) * 0.6**k * 0.4 ** (n - k)
            for k in range(n + 1)
            if abs(k / n - 0.5) >= distance - CLOSE
        )

    def independence(self, kept):
        left = self.worth(self.without(kept))
        n = len(left)

        def kernel(values):
            apart = [abs(a - b) for a, b in itertools.combinations(values, 2)]
            apart = [0.0 if one < 1e-9 * max(map(abs, values)) else one for one in apart]
            if not any(apart):
                return [[1.0] * n for _ in range(n)]
            width = statistics.median(apart) or statistics.fmean(one for one in apart if one)
            return [[math.exp(-((a - b) ** 2) / (2 * width**2)) for b in values] for a in values]

        def centred(k):
            of_row = [statistics.fmean(line) for line in k]
            of_all = statistics.fmean(of_row)
            return [[k[i][j] - of_row[i] - of_row[j] + of_all for j in range(n)] for i in range(n)]

        first, second = centred(kernel(self.whole)), centred(kernel(left))

        def dependence(order):
            return (
                sum(first[i][j] * second[order[i]][order[j]] for i in range(n) for j in range(n))
                / (n - 1) ** 2
            )

        own = dependence(range(n))
        of_all = [dependence(order) for order in itertools.permutations(range(n))]
        return sum(one >= own - 1e-9 * max(map(abs, of_all)) for one in of_all) / len(of_all)

    def p_values(self, kept):
        return {
            "sufficiency": self.sufficiency(kept),
            "partial necessity": self.necessity(kept),
            "minimality": self.minimality(kept),
            "non-equivalence": self.equivalence(kept),
            "non-independence": self.independence(kept),
        }


def p_values(tests):
    """Test -> p-value."""
    return {line.name: line.p_value for line in tests.lines}


@pytest.mark.parametrize(("hidden", "act_fn"), [((2,), "relu"), ((3,), "tanh"), ((2, 2), "relu")])
def test_p_values_of_circuits_of_edges_by_loops(hidden, act_fn):
    """Of circuits drawn at random, and of the whole network less an edge."""
    (model,) = solved(hidden, act_fn=act_fn)
    naive = Naive(model)
    generator = np.random.default_rng(0)
    n = len(naive.elements)
    drawn = [generator.permutation(n)[:size] for size in (2, n // 2, n - 1)]
    for places in drawn:
        kept = [one for place, one in enumerate(naive.elements) if place in places]
        tests = circuit_tests(naive.problem, kept)
        assert tests.circuit == tuple(kept)
        assert p_values(tests) == pytest.approx(naive.p_values(kept))
        assert tests["sufficiency"].n_null == math.comb(n, len(kept))
        assert tests["sufficiency"].statistic == pytest.approx(naive.far(kept))
        assert tests["partial necessity"].statistic == pytest.approx(naive.far(naive.without(kept)))


def test_minimality_weighs_every_added_path_alike():
    """Where a path adds one edge or several: p-values between 0 and 1, by loops."""
    naive = Naive(*solved((2, 2)))
    found = []
    for number in (652, 710, 717):
        kept = [one for place, one in enumerate(naive.elements) if number >> place & 1]
        found.append(circuit_tests(naive.problem, kept)["minimality"].p_value)
        assert found[-1] == pytest.approx(naive.minimality(kept))
    assert any(0.1 < p < 0.9 for p in found)


def test_p_values_of_circuits_of_units_by_loops():
    """Units with all edges between them."""
    (model,) = solved((3, 2))
    naive = Naive(model, "units")
    for kept in ([naive.elements[0]], list(naive.elements[1:4]), list(naive.elements[:4])):
        tests = circuit_tests(naive.problem, kept, over="units")
        assert p_values(tests) == pytest.approx(naive.p_values(kept))
    everything = circuit_tests(naive.problem, naive.elements, over="units")
    assert everything["minimality"].p_value is naive.minimality(naive.elements) is None


def test_connected_circuits_are_those_whose_edges_are_on_paths():
    """Each set by its paths; a circuit that is not connected is counted with those that are."""
    (model,) = solved((2, 2))
    naive = Naive(model)
    for kept in (list(naive.elements[:5]), [*naive.elements[:4], *naive.elements[8:]]):
        null = [one for one in naive.sets(len(kept)) if naive.connected(one)]
        if not naive.connected(kept):
            null.append(kept)
        tests = circuit_tests(naive.problem, kept, connected=True)
        assert tests["sufficiency"].n_null == len(null) < math.comb(10, len(kept))
        assert tests["sufficiency"].p_value == pytest.approx(naive.sufficiency(kept, null))


def test_other_conventions_and_metrics():
    """Mean ablation, a metric of one's own, and noisy rows; one call for each set."""
    (model,) = solved((2,), act_fn="sigmoid")
    masks = np.array(list(itertools.product((0, 1), repeat=6)))
    mean = Convention(ablation="mean")
    outputs = outputs_of_edge_masks(model, masks, convention=mean, progress=False)
    problem = ExamProblem.of(model, convention=mean, metric=lambda outputs: 3 * outputs[..., 0])
    distances = np.abs(3 * (outputs - outputs[-1])).mean((1, 2))
    for mask in (0b001111, 0b110110):
        kept = np.array([bool(mask >> place & 1) for place in range(6)])
        own = distances[(masks == kept).all(1)][0]
        alike = distances[masks.sum(1) == kept.sum()]
        tests = circuit_tests(problem, kept)
        assert tests["sufficiency"].p_value == pytest.approx((alike <= own + CLOSE).mean())
    noisy = ExamProblem.of(model, convention=Convention(n_noisy=4, noise_sd=0.1))
    tests = circuit_tests(noisy, noisy.edges[:4])
    assert tests["non-independence"].n_null == 1000
    assert tests["non-equivalence"].n_null == 21


def test_what_four_rows_can_show():
    """The least p-values, by hand: of coins 0.6^4 + 0.4^4, of sets 1 / C(6, k)."""
    problem = ExamProblem.of(textbook_xor())
    whole = circuit_tests(problem, problem.edges)
    assert whole["non-equivalence"].least_p == pytest.approx(0.6**4 + 0.4**4)
    assert p_values(whole) == {
        "sufficiency": 1.0,
        "partial necessity": 1.0,
        "minimality": None,
        "non-equivalence": pytest.approx(1.0),
        "non-independence": 1.0,
    }
    assert [line.passes for line in whole.lines] == [False, False, None, True, True]
    assert (whole.n_passed, whole.passes) == (2, False)
    for size in (1, 2, 3):
        tests = circuit_tests(problem, problem.edges[:size])
        n = math.comb(6, size)
        assert tests["partial necessity"].n_null == n
        for line in tests.lines:
            assert line.p_value is None or line.p_value >= line.least_p - CLOSE
        assert tests["sufficiency"].least_p >= 1 / n


def test_the_removal_of_both_units_of_an_and():
    """AND by two copies of relu(x0 + x1 - 1), and a dead unit: 2 h - 0.5 by hand. The margins are
    0.5, 0.5, 0.5, 1.5; with one copy the last is 0.5, with none -0.5.
    """
    layers = [([[1, 1], [1, 1], [0, 0]], [-1, -1, -1]), ([[1, 1, 1]], [-0.5])]
    model = HookedMLP.from_weights(layers, act_fn="relu", target="AND")
    naive = Naive(model, "units")
    first, second, dead = naive.elements
    both = circuit_tests(naive.problem, [first, second], over="units", alpha=0.4)
    assert both["sufficiency"].statistic == 0
    assert both["partial necessity"].statistic == 2 / 4
    # of 3 pairs the two copies are the nearest, and their removal is the farthest
    assert both["sufficiency"].p_value == both["partial necessity"].p_value == 1 / 3
    # an added dead unit moves nothing
    assert both["minimality"].p_value == 0
    # what is left, -0.5 on all rows, has a margin that falls where the network's rises, at 11:
    # as far apart in 3! of the 4! orders
    assert both["non-independence"].p_value == 1 / 4
    assert [line.passes for line in both.lines] == [True, True, True, True, False]
    with_dead = circuit_tests(naive.problem, [first, dead], over="units", alpha=0.4)
    # the dead unit moves nothing, and nor could less be moved
    assert with_dead["minimality"].p_value == 1
    assert not with_dead.passes


def test_a_sample_of_sets_estimates_the_exact_p_value(monkeypatch):
    """Where the sets of a size are too many, 9,999 of them; within five standard errors."""
    (model,) = solved((3,))
    problem = ExamProblem.of(model)
    kept = problem.edges[:5]
    exact = circuit_tests(problem, kept)
    monkeypatch.setattr(module, "MAX_HELD", 0)
    every = circuit_tests(problem, kept)
    assert p_values(every) == pytest.approx(p_values(exact))
    monkeypatch.setattr(module, "MAX_SETS", 10)
    drawn = circuit_tests(problem, kept)
    assert drawn["sufficiency"].n_null == 10_000
    assert "drawn" in drawn["sufficiency"].null
    for name in ("sufficiency", "partial necessity"):
        p = exact[name].p_value
        assert abs(drawn[name].p_value - p) < 5 * math.sqrt(p * (1 - p) / 9999) + 1e-3
    again = circuit_tests(ExamProblem.of(model), kept)
    assert p_values(again) == p_values(drawn)


@pytest.mark.parametrize("over", ["edges", "units"])
def test_every_circuit_against_the_truth(over):
    """Counts by loops: perfect is every row right, minimal is not a perfect subset."""
    (model,) = solved((2,), target="AND") if over == "edges" else solved((3, 2))
    naive = Naive(model, over)
    elements = naive.elements
    every = [
        frozenset(one)
        for size in range(1, len(elements) + 1)
        for one in itertools.combinations(elements, size)
    ]
    perfect = {one for one in every if min(naive.worth(one)) > 0}
    minimal = {one for one in perfect if not any(other < one for other in perfect)}
    counts = {}
    for one in every:
        tests = circuit_tests(naive.problem, one, over=over, alpha=0.1)
        kind = "minimal" if one in minimal else "perfect" if one in perfect else "imperfect"
        passes = {line.name: line.passes for line in tests.lines} | {"all": tests.passes}
        for name, passed in passes.items():
            n, asked, passing = counts.get((name, kind), (0, 0, 0))
            counts[name, kind] = n + 1, asked + (passed is not None), passing + (passed is True)
    assert minimal < perfect
    rates = circuit_tests_against_truth(naive.problem, over=over, alpha=0.1)
    assert rates.n_circuits == len(every)
    assert len(rates.frame()) == 18
    for line in rates.frame().itertuples():
        n, asked, passing = counts.get((line.test, line.kind), (0, 0, 0))
        assert (line.n, line.n_asked, line.n_passing) == (n, asked, passing)
        assert asked == 0 or line.share == passing / asked
    assert "all five" in str(rates)


@pytest.mark.parametrize("over", ["edges", "units"])
def test_the_smallest_circuit_that_passes_most(over):
    """By a loop: the order by noising, and the tests of each of its beginnings."""
    for model in solved((2,), 2, target="AND") if over == "edges" else solved((2, 2), 2):
        naive = Naive(model, over)
        noised = {one: naive.far([o for o in naive.elements if o != one]) for one in naive.elements}
        order = sorted(naive.elements, key=lambda one, noised=noised: -noised[one])
        passed = []
        for size in range(1, len(order) + 1):
            p = naive.p_values(order[:size])
            passes = [p[name] is not None and p[name] <= 0.05 for name in list(p)[:3]]
            passed.append(sum(passes) + sum(p[name] > 0.05 for name in list(p)[3:]))
        best = passed.index(max(passed)) + 1
        assert set(smallest_by_tests(naive.problem, over=over)) == set(order[:best])
        (method,) = [one for one in TEST_METHODS if one.over == over]
        assert method.gives == "set"
        assert set(method(naive.problem)) == set(order[:best])


def test_all_ways_to_give_a_circuit():
    """A Subcircuit, edges, True and False, a tensor: the same tests."""
    (model,) = solved((3,))
    problem = ExamProblem.of(model)
    subcircuit = find_subcircuits(model, progress=False)[0]
    kept = set(subcircuit.edges)
    mask = [edge in kept for edge in problem.edges]
    expected = circuit_tests(problem, kept).frame()
    for circuit in (subcircuit, list(kept), mask, np.array(mask), torch.tensor(mask)):
        assert circuit_tests(problem, circuit).frame().equals(expected)
    units = circuit_tests(problem, subcircuit, over="units")
    assert units.circuit == subcircuit.units
    assert isinstance(units, CircuitTests)


@pytest.mark.unchecked
def test_what_is_refused():
    """Each with what to give."""
    problem = ExamProblem.of(textbook_xor())
    other = find_subcircuits(solved((3,))[0], progress=False)[0]
    ask = partial(circuit_tests, problem)
    for wrong, message in (
        (3, "circuit is 3; give some of the network's edges"),
        ("x0->h0.0", "give some of the network's edges"),
        ([Unit(0, 0)], "circuit has h0.0; give"),
        ([True, False], "circuit has True; give"),
        (np.ones(6), "circuit has"),
        ([], "nothing to test"),
        (other, "the network has"),
    ):
        with pytest.raises(XorMiError, match=message):
            ask(wrong)
    with pytest.raises(XorMiError, match="no kind of element 'weights'; kinds are: edges, units"):
        ask(problem.edges, over="weights")
    for alpha in (0, 1, "0.05", None, math.nan, True):
        with pytest.raises(XorMiError, match="alpha is .*; give a number between 0 and 1"):
            ask(problem.edges, alpha=alpha)
    with pytest.raises(XorMiError, match="connected=True is for circuits of edges"):
        ask(problem.units, over="units", connected=True)
    with pytest.raises(XorMiError, match="give True or False"):
        ask(problem.edges, connected=1)
    with pytest.raises(XorMiError, match="give an ExamProblem"):
        circuit_tests(textbook_xor(), problem.edges)
    with pytest.raises(XorMiError, match="no test 'necessity'"):
        ask(problem.edges)["necessity"]
    wide = ExamProblem.of(from_gates(["AND"] * 5, "AND"))
    with pytest.raises(XorMiError, match="15 edges"):
        circuit_tests_against_truth(wide)


@pytest.mark.parametrize("held", [2**22, 0])
@pytest.mark.parametrize("over", ["edges", "units"])
def test_a_metric_that_is_no_number_is_refused(held, over, monkeypatch):
    """It would make every comparison false, and every p-value 0."""
    monkeypatch.setattr(module, "MAX_HELD", held)
    problem = ExamProblem.of(textbook_xor(), metric=lambda outputs: (outputs[..., 0] - 0.5).log())
    with pytest.raises(XorMiError, match="the metric is nan for a part of the network"):
        circuit_tests(problem, problem.elements(over)[:1], over=over)


def test_what_is_run_is_counted():
    """Every set once where they are few."""
    problem = ExamProblem.of(textbook_xor())
    circuit_tests(problem, problem.edges[:3])
    assert problem.cost.forwards == 64
    smallest_by_tests(problem, over="units")
    assert problem.cost.forwards == 64 + 4
