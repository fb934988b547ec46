"""Grading: answers of every kind, what goes wrong, costs, tables, and JSON."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.utils.prune

from xor_mi.errors import XorMiError
from xor_mi.exam import (
    CONVENTIONS,
    METHODS,
    AlignedModel,
    ExamMethod,
    ExamProblem,
    Grades,
    Truth,
    grade,
    joined,
    proven_gates,
    task,
)
from xor_mi.graph import Edge, Unit
from xor_mi.handmade import textbook_xor
from xor_mi.model import HookedMLP
from xor_mi.search import Convention, find_subcircuits
from xor_mi.training import train_population

pytestmark = pytest.mark.as_a_user


def magnitude(problem: ExamProblem) -> np.ndarray:
    """|weight| of every edge."""
    return np.abs(np.concatenate([weight.ravel() for weight, _ in problem.numbers.whole]))


def noising(problem: ExamProblem) -> torch.Tensor:
    """What taking away one edge does to the metric."""
    n = len(problem.edges)
    values = problem.values(np.concatenate([np.ones((1, n)), 1 - np.eye(n)]))
    return (values[1:] - values[0]).abs().mean(1)


def random(problem: ExamProblem) -> np.ndarray:
    """Chance."""
    return problem.generator("random").normal(size=len(problem.edges))


def whole(problem: ExamProblem) -> list[Edge]:
    """Every edge."""
    return list(problem.edges)


def units(problem: ExamProblem) -> np.ndarray:
    """Hidden units by the size of what they read and are read by."""
    return np.arange(len(problem.units))


def test_what_pytorch_is_set_to_stays():
    """A method that turns gradients off or takes another default dtype does not decide on others."""

    def sets(problem: ExamProblem) -> np.ndarray:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return magnitude(problem)

    def sees(problem: ExamProblem) -> np.ndarray:
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32
        return magnitude(problem)

    grades = grade([sets, sees], textbook_xor())
    assert [one.why_not for one in grades.grades] == ["", ""]


def test_pairs_that_are_given_once_are_those_of_every_network():
    """A generator of pairs is as good as a list of them."""
    pairs = [("01", "11"), ("10", "00")]
    networks = [textbook_xor(), textbook_xor()]
    listed = grade("eap_pairs", networks, pairs=pairs)
    given_once = grade("eap_pairs", networks, pairs=iter(pairs))
    assert [one.why_not for one in given_once.grades] == ["", ""]
    assert given_once.grades == listed.grades


def test_a_metric_that_says_yes_or_no_is_a_number():
    """It is graded as the same metric in float64."""

    def is_positive(outputs: torch.Tensor) -> torch.Tensor:
        return outputs[..., 0] > 0

    def of_float64(outputs: torch.Tensor) -> torch.Tensor:
        return (outputs[..., 0] > 0).double()

    methods = ["edge_noising", "acdc", "smallest_by_tests"]
    whether = grade(methods, textbook_xor(), metric=is_positive)
    assert whether.grades == grade(methods, textbook_xor(), metric=of_float64).grades
    assert whether.grades[0].faithfulness[-1] == 1


@pytest.fixture(scope="module")
def networks() -> dict[str, HookedMLP]:
    """Some networks that do XOR, and one that does not."""
    population = train_population("XOR", 30, hidden=(3,), engine="torch", progress=False)
    solved = [k for k in range(30) if population.solved[k]][:5]
    unsolved = next(k for k in range(30) if not population.solved[k])
    return {f"seed {k}": population[k] for k in [*solved, unsolved]}


@pytest.fixture(scope="module")
def grades(networks) -> Grades:
    """Five methods on them."""
    return grade([magnitude, noising, random, whole, units], networks, progress=False)


def test_a_line_per_method_and_network(grades, networks):
    """Each measure as the truth of that network says, with its chance beside it."""
    frame = grades.frame()
    assert len(frame) == 5 * 5
    for name in list(networks)[:5]:
        truth = Truth.of(ExamProblem.of(networks[name]))
        line = frame[(frame["network"] == name) & (frame["method"] == "whole")].iloc[0]
        assert (line["size"], line["perfect"]) == (9, 1)
        assert line["excess"] == 9 - truth.minimum
        assert line["size_chance"] == pytest.approx(truth.chance_of_size @ np.arange(10))
        weights = magnitude(ExamProblem.of(networks[name]))
        order = np.argsort(-weights)
        sizes = [k for k in range(10) if truth.perfect[(1 << order[:k].astype(int)).sum()]]
        line = frame[(frame["network"] == name) & (frame["method"] == "magnitude")].iloc[0]
        assert line["size"] == min(sizes)
    assert set(frame["over"]) == {"edges", "units"}


def test_a_network_that_does_not_do_its_task_is_left_out(grades, networks):
    """Named, with the rows that are wrong; alone it is an error."""
    (name,) = grades.left_out
    assert name == list(networks)[-1]
    assert "the whole network decides rows" in grades.left_out[name]
    assert "1 network is left out" in str(grades)
    with pytest.raises(XorMiError, match="no network can be graded on.*decides rows"):
        grade(magnitude, networks[name])


def test_costs_are_counted(grades):
    """Forwards over all rows: ten of noising, none of weights."""
    frame = grades.frame().set_index("method")
    assert set(frame.loc["noising", "forwards"]) == {10}
    assert set(frame.loc["magnitude", "forwards"]) == {0}

    def by_hooks(problem: ExamProblem) -> np.ndarray:
        rows = problem.model.rows().requires_grad_()
        problem.model(rows).sum().backward()
        problem.model(problem.model.rows(["01", "10"]))
        return problem.gradient(np.ones((3, 6)))[0].abs().mean(0).numpy()

    (one,) = grade(by_hooks, textbook_xor()).grades
    assert (one.forwards, one.backwards) == (1 + 0.5 + 3, 1 + 3)


ANSWERS: dict[str, Callable[[ExamProblem], object]] = {
    "a tensor": lambda problem: torch.arange(6),
    "a tensor of half the bits": lambda problem: torch.arange(6, dtype=torch.bfloat16),
    "a list": lambda problem: [0, 1, 2, 3, 4, 5],
    "a list of tensors": lambda problem: list(torch.arange(6.0, requires_grad=True)),
    "a mapping": lambda problem: {edge: k for k, edge in enumerate(problem.edges)},
}


@pytest.mark.parametrize("name", ANSWERS)
def test_scores_in_every_form(name):
    """The same numbers are the same order."""
    (one,) = grade({"method": ANSWERS[name]}, textbook_xor()).grades
    assert one.kept == (5, 4, 3, 2, 1, 0)
    assert one.gives == "scores"


SETS: dict[str, Callable[[ExamProblem], object]] = {
    "True and False": lambda problem: np.array([True] * 4 + [False] * 2),
    "edges": lambda problem: set(problem.edges[:4]),
    "a generator": lambda problem: (edge for edge in problem.edges[:4]),
}


@pytest.mark.parametrize("name", SETS)
def test_sets_in_every_form(name):
    """The same edges are the same set."""
    (one,) = grade({"method": SETS[name]}, textbook_xor()).grades
    assert one.kept == (0, 1, 2, 3)
    assert one.gives == "set"
    assert one.over == "edges"


def test_a_subcircuit_is_a_set():
    """One that the search gives; and units are a set over units."""
    smallest = find_subcircuits(textbook_xor())[0]
    (one,) = grade({"method": lambda problem: smallest}, textbook_xor()).grades
    assert one.values["subset_minimal"] == 1
    assert one.is_right
    (one,) = grade({"method": lambda problem: list(problem.units)}, textbook_xor()).grades
    assert one.over == "units"
    assert one.values["perfect"] == 1


def leaves(problem: ExamProblem) -> np.ndarray:
    """It would end the program."""
    raise SystemExit(3)


def raises(problem: ExamProblem) -> np.ndarray:
    """An error of its own, on two lines."""
    raise ZeroDivisionError("by nothing\nat all")


def changes_weights(problem: ExamProblem) -> np.ndarray:
    """It sets a layer to zero."""
    with torch.no_grad():
        problem.model.fc1.weight.zero_()
    return magnitude(problem)


def changes_rows(problem: ExamProblem) -> np.ndarray:
    """It writes into the rows."""
    problem.numbers.rows[:] = 0
    return magnitude(problem)


def leaves_a_hook(problem: ExamProblem) -> np.ndarray:
    """It leaves a hook behind."""
    problem.model.add_hook("hook_embed", lambda value, hook: value * 0)
    return magnitude(problem)


def leaves_train_mode(problem: ExamProblem) -> np.ndarray:
    """It leaves the network in train mode."""
    problem.model.train()
    return magnitude(problem)


def changes_as_it_is_read(problem: ExamProblem) -> Iterator[Edge]:
    """A generator, which runs only when its answer is looked at."""
    with torch.no_grad():
        problem.model.fc1.weight.zero_()
    yield from problem.edges


def changes_the_dtype(problem: ExamProblem) -> np.ndarray:
    """It rounds the network to half precision."""
    problem.model.half()
    return magnitude(problem)


def changes_labels(problem: ExamProblem) -> np.ndarray:
    """It writes into what is right."""
    problem.numbers.labels[:] = 0
    return magnitude(problem)


def changes_clean_rows(problem: ExamProblem) -> np.ndarray:
    """It writes into the rows without noise."""
    problem.numbers.clean[:] = 0
    return magnitude(problem)


def takes_another_layer(problem: ExamProblem) -> np.ndarray:
    """It puts another layer in the place of one."""
    problem.model.fc1 = copy.deepcopy(problem.model.fc1)
    return magnitude(problem)


def prunes(problem: ExamProblem) -> np.ndarray:
    """It takes PyTorch's pruning, which puts a mask and a hook beside a weight."""
    torch.nn.utils.prune.l1_unstructured(problem.model.fc1, "weight", amount=2)
    return magnitude(problem)


def leaves_a_hook_of_pytorch(problem: ExamProblem) -> np.ndarray:
    """It leaves a hook behind that is none of TransformerLens."""
    problem.model.fc2.register_forward_hook(lambda module, given, value: value * 0)
    return magnitude(problem)


def changes_settings(problem: ExamProblem) -> np.ndarray:
    """It moves the threshold of the network's decisions."""
    problem.model.cfg.decision_threshold = 7.0
    return magnitude(problem)


def has_no_place_for_a_variable(problem: ExamProblem) -> AlignedModel:
    """An alignment of one variable of two."""
    return AlignedModel(METHODS["interchange_of_units"](problem).model, {"either": "h0.0"})


def has_a_place_that_is_not_there(problem: ExamProblem) -> AlignedModel:
    """A unit that the network does not have."""
    model = METHODS["interchange_of_units"](problem).model
    return AlignedModel(model, {"either": "h0.0", "both": "h7.9"})


def has_no_causal_model(problem: ExamProblem) -> AlignedModel:
    """A formula in the place of the model."""
    return AlignedModel("x0 | x1", {"either": "h0.0"})


def has_no_control(problem: ExamProblem) -> AlignedModel:
    """A control that is not a number."""
    answer = METHODS["interchange_of_units"](problem)
    return answer._replace(control=float("nan"))


WRONG = {
    "the wrong length": (lambda problem: [1, 2, 3], r"shape \[3\]; this network has 6 edges and 2"),
    "two axes": (lambda problem: np.ones((6, 4)), r"shape \[6, 4\]"),
    "not finite": (lambda problem: [np.nan] * 6, "gave nan for x0->h0.0, and 6 of 6"),
    "text": (lambda problem: "edges", "gave 'edges'; give a number for each"),
    "nothing": (lambda problem: None, "gave None"),
    "words": (lambda problem: ["a"] * 6, "scores of dtype"),
    "ragged": (lambda problem: [[1], [1, 2]], "give a number for each"),
    "half a mapping": (
        lambda problem: {problem.edges[0]: 1.0},
        "no score for x1->h0.0.*give a number for each of the 6 edges",
    ),
    "another network's edge": (
        lambda problem: [Edge(Unit(-1, 0), Unit(0, 7))],
        "x0->h0.7, which is neither an edge",
    ),
    "edges and units": (
        lambda problem: [problem.edges[0], problem.units[0]],
        "edges and units together",
    ),
    "an error of its own": (raises, "ZeroDivisionError: by nothing at all"),
    "the end of the program": (leaves, "SystemExit: 3"),
    "changed weights": (changes_weights, "changed the weight fc1.weight; work on a copy"),
    "changed rows": (changes_rows, "changed the problem's numbers"),
    "a hook": (leaves_a_hook, "changed hooks"),
    "train mode": (leaves_train_mode, "changed the mode"),
    "a generator that changes weights": (changes_as_it_is_read, "changed the weight fc1.weight"),
    "another dtype": (changes_the_dtype, "changed the weight fc1.weight"),
    "changed labels": (changes_labels, "changed the problem's numbers"),
    "changed clean rows": (changes_clean_rows, "changed the problem's numbers"),
    "another layer": (takes_another_layer, "changed the parts of the network"),
    "pruned": (prunes, "changed the parts of fc1"),
    "a hook of PyTorch": (leaves_a_hook_of_pytorch, "changed hooks"),
    "settings": (changes_settings, "changed the network's settings"),
    "a variable without a place": (has_no_place_for_a_variable, "has no place for both"),
    "a place that is not there": (has_a_place_that_is_not_there, "no unit or edge 'h7.9'"),
    "no causal model": (has_no_causal_model, "give AlignedModel.a HighLevelModel"),
    "a unit by its name": (
        lambda problem: {"h0.0": "OR"},
        "gate of 'h0.0', which is not a unit of this network; give some of problem.units",
    ),
    "no control": (has_no_control, "the control nan; give a finite number, or None"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_method_that_fails_does_not_lose_the_others(name):
    """It is told in one sentence, and the next method finds the network as it was."""
    method, message = WRONG[name]
    model = textbook_xor()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rest = {"right": magnitude, "again": noising, "gates": "gate_rule_joint"}
    grades = grade({"wrong": method} | rest, model)
    wrong, *others = grades.grades
    assert wrong.values == {}
    assert pd.Series([wrong.why_not]).str.contains(message).all()
    assert "\n" not in wrong.why_not
    assert [one.why_not for one in others] == ["", "", ""]
    alone = grade(rest, textbook_xor()).grades
    assert [one.values for one in others] == [one.values for one in alone]
    assert torch.equal(model(model.rows()), textbook_xor()(model.rows()))
    assert model.cfg == textbook_xor().cfg
    assert list(model.state_dict()) == list(before)
    assert not model.training
    assert all(not point.fwd_hooks for point in model.hook_dict.values())
    for key, value in model.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])
    assert grades.board().set_index("method").loc["wrong", "n_failed"] == 1


def test_the_board_is_the_frame_in_short(grades):
    """Means over networks; intervals as SciPy's t and the exact binomial have them."""
    from scipy import stats

    frame, board = grades.frame(), grades.board().set_index("method")
    for method in ("magnitude", "noising", "random"):
        values = frame.loc[frame["method"] == method, "cpr"]
        low, high = stats.t.interval(
            0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values)
        )
        assert board.loc[method, "cpr"] == pytest.approx(values.mean())
        assert board.loc[method, "cpr_low"] == pytest.approx(low)
        assert board.loc[method, "cpr_high"] == pytest.approx(high)
        found = frame.loc[frame["method"] == method, "finds_minimum"]
        exact = stats.binomtest(int(found.sum()), len(found)).proportion_ci(0.95)
        assert board.loc[method, "finds_minimum_low"] == pytest.approx(exact.low)
        assert board.loc[method, "finds_minimum_high"] == pytest.approx(exact.high)
    with pytest.raises(XorMiError, match="measures are: size"):
        grades.board(["sizes"])


def test_the_board_is_best_first_whatever_is_asked():
    """Also of measures that say nothing of it; of gates and alignments by what they are right in."""
    networks = task("planted copies relu").networks(3, progress=False)
    asked = ["magnitude", "greedy_removal", "random_subspace", "gate_rule_chen", "das"]
    grades = grade([*asked, "gate_rule_joint"], networks)
    expected = ["greedy_removal", "magnitude", "das", "random_subspace", "gate_rule_joint"]
    for measures in (None, ["auroc_union"], ["size", "interchange_accuracy"]):
        board = grades.board(measures)
        assert board["method"].tolist() == [*expected, "gate_rule_chen"]


def test_what_cannot_be_said_is_no_failure():
    """A network without a proved gate: no agreement, and so neither right nor wrong."""
    networks = task("XOR 2-3-3-1 relu").networks(1, progress=False)
    (model,) = networks.values()
    assert proven_gates(ExamProblem.of(model)) == {}
    grades = grade("gate_rule_joint", networks)
    assert grades.grades[0].is_right is None
    assert grades.failures("gate_rule_joint") == ()


def test_sets_that_are_not_perfect_are_the_furthest_off(networks):
    """Before those that are perfect and too large."""
    names = list(networks)[:2]
    some = {name: networks[name] for name in names}

    def whole_or_nothing(problem: ExamProblem) -> list[Edge]:
        return list(problem.edges) if problem.model.cfg.seed == first.cfg.seed else []

    first = some[names[0]]
    excess = 9 - Truth.of(ExamProblem.of(first)).minimum
    wrong = grade(whole_or_nothing, some).failures("whole_or_nothing")
    if excess:
        assert [one.network for one in wrong] == [names[1], names[0]]
    assert wrong[0].values["perfect"] == 0


def test_json_and_back(grades):
    """Everything, the networks too."""
    text = grades.to_json()
    again = Grades.from_json(text)
    assert again.to_json() == text
    pd.testing.assert_frame_equal(again.frame(), grades.frame())
    pd.testing.assert_frame_equal(again.board(), grades.board())
    pd.testing.assert_frame_equal(again.truth_frame(), grades.truth_frame())
    rows = again.networks[0].model.rows()
    assert torch.equal(again.networks[0].model(rows), grades.networks[0].model(rows))
    for bad in ("{}", text[:200], text.replace("Grades/1", "Grades/9"), "[]"):
        with pytest.raises(XorMiError, match="grade the methods again"):
            Grades.from_json(bad)


def test_the_same_seed_gives_the_same_grades(networks):
    """By the network's name, not by what else is graded."""
    names = list(networks)
    both = grade(random, {name: networks[name] for name in names[:2]})
    alone = grade(random, {names[1]: networks[names[1]]})
    assert both.grades[1] == alone.grades[0]
    other = grade(random, {names[1]: networks[names[1]]}, seed=1)
    assert other.grades[0].kept != alone.grades[0].kept


def test_a_population_is_several_networks():
    """The same grades as its networks in a list; those that did not learn it are left out."""
    population = train_population("XOR", 12, hidden=(3,), engine="torch", progress=False)
    grades = grade(magnitude, population)
    n_solved = int(population.solved.sum())
    assert (len(grades.networks), len(grades.left_out)) == (n_solved, 12 - n_solved)
    listed = grade(magnitude, [population[number] for number in range(12)])
    pd.testing.assert_frame_equal(grades.frame(), listed.frame())


def test_lots_are_joined(grades, networks):
    """As if they had been graded together."""
    names = list(networks)
    methods = [magnitude, noising, random, whole, units]
    lots = [
        grade(methods, {name: networks[name] for name in some}) for some in (names[:2], names[2:])
    ]
    together = joined(lots)
    pd.testing.assert_frame_equal(together.board(), grades.board())
    assert together.left_out == grades.left_out
    with pytest.raises(XorMiError, match="is in two of the grades"):
        joined([lots[0], lots[0]])
    with pytest.raises(
        XorMiError, match="differ in methods: magnitude, .* and random; join grades"
    ):
        joined([lots[0], grade(random, {"x": networks[names[2]]})])
    other = grade(methods, {"x": networks[names[0]]}, Convention(ablation="mean"))
    with pytest.raises(XorMiError, match="differ in convention"):
        joined([lots[0], other])


def test_failures_come_with_the_smallest_network_first(grades):
    """Those where the method found no smallest circuit, the furthest off first."""
    wrong = grades.failures("random")
    frame = grades.frame()
    of_random = frame[frame["method"] == "random"]
    assert len(wrong) == (of_random["finds_minimum"] == 0).sum()
    excesses = [one.values["excess"] for one in wrong]
    assert excesses == sorted(excesses, reverse=True)
    with pytest.raises(XorMiError, match="these grades have: magnitude"):
        grades.failures("nothing")


def test_conventions_decide_what_is_true():
    """Mean ablation, noisy rows and another target are those of the search."""
    model = textbook_xor()
    for convention in (Convention(ablation="mean"), Convention(noise_sd=0.1, n_noisy=3)):
        grades = grade([whole, noising], model, convention)
        truth = Truth.of(ExamProblem.of(model, convention=convention))
        assert grades.networks[0].truth("edges").n_perfect == truth.perfect.sum()
        assert grades.convention == convention
    with pytest.raises(XorMiError, match="no network can be graded"):
        grade(whole, model, target="AND")


def test_conventions_go_by_name():
    """Those of the exam, and the presets that it can take."""
    for name, convention in CONVENTIONS.items():
        assert grade(whole, textbook_xor(), name).convention == convention
    assert grade(whole, textbook_xor(), "meloux_paper").convention.ban_parity
    with pytest.raises(XorMiError, match="all_units=False, under which the whole network is no"):
        grade(whole, textbook_xor(), "meloux_code")


def test_a_measure_says_on_how_many_networks_it_has_a_value(networks):
    """A set that is perfect on some networks only has a size on these."""

    def first_six(problem: ExamProblem) -> list[Edge]:
        return list(problem.edges[:6])

    def sometimes(problem: ExamProblem) -> list[Edge]:
        is_first = problem.numbers.whole[0][0][0, 0] > 0
        return list(problem.edges) if is_first else first_six(problem)

    grades = grade({"sometimes": sometimes}, networks)
    (line,) = grades.board(["size", "perfect"]).to_dict("records")
    n_perfect = sum(one.values["perfect"] == 1 for one in grades.grades)
    assert 0 < n_perfect < line["n_networks"]
    assert (line["size_n"], line["perfect_n"]) == (n_perfect, line["n_networks"])
    assert f", on {n_perfect}" in grades.compact_board()["size"].iloc[0]


BAD = [
    ({"methods": "magnitud", "networks": textbook_xor()}, "METHODS has"),
    ({"methods": [], "networks": textbook_xor()}, "no methods were given"),
    ({"methods": [magnitude, magnitude], "networks": textbook_xor()}, "two methods are called"),
    ({"methods": 5, "networks": textbook_xor()}, "methods is 5"),
    ({"methods": [5], "networks": textbook_xor()}, "a method is 5"),
    ({"methods": magnitude}, "no networks were given"),
    ({"methods": magnitude, "networks": []}, "networks is empty"),
    ({"methods": magnitude, "networks": [torch.nn.Linear(2, 1)]}, "the exam needs a HookedMLP"),
    ({"methods": magnitude, "networks": 5}, "networks is 5"),
    (
        {"methods": magnitude, "networks": task("XOR 2-2-1 relu")},
        r"networks is of type Task; give .* a task's .networks\(20\)",
    ),
    ({"methods": magnitude, "networks": {0: textbook_xor(), "0": textbook_xor()}}, "two networks"),
    ({"methods": {0: magnitude, "0": noising}, "networks": textbook_xor()}, "two methods have"),
    ({"methods": magnitude, "networks": textbook_xor(), "metric": "loss"}, "metric 'loss'"),
    ({"methods": magnitude, "networks": textbook_xor(), "seed": -1}, "seed"),
    (
        {"methods": magnitude, "networks": textbook_xor(), "convention": "zeros"},
        "convention 'zeros'",
    ),
    ({"methods": magnitude, "networks": textbook_xor(), "pairs": [("00", "111")]}, "111"),
]


@pytest.mark.parametrize(("asked", "message"), BAD)
def test_what_is_asked_wrongly(asked, message):
    """One sentence each."""
    with pytest.raises(XorMiError, match=message):
        grade(**asked)


def test_a_network_that_is_too_large_is_refused():
    """Before any method runs, by the number of its edges."""
    population = train_population("XOR", 12, hidden=(4, 4), engine="torch", progress=False)
    model = next(population[k] for k in range(12) if population.solved[k])
    calls = []

    def run(problem: ExamProblem) -> np.ndarray:
        calls.append(problem)
        return magnitude(problem)

    method = ExamMethod(name="of edges", run=run, over="edges", gives="scores", source="here")
    with pytest.raises(XorMiError, match="28 edges are more than the 24.*268,435,456"):
        grade(method, model)
    assert calls == []
    assert grade(units, model).networks[0].truth("units").n_elements == 8


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_graded_and_answers_as_it_says(name, networks):
    """Under both ablations, on a trained network; noise and all."""
    method = METHODS[name]
    assert name == method.name
    assert name.isidentifier()
    model = networks[next(iter(networks))]
    for convention in (None, Convention(ablation="mean", noise_sd=0.01, n_noisy=2)):
        (one,) = grade(name, model, convention).grades
        assert one.why_not == ""
        assert one.gives == method.gives
        if method.gives in ("scores", "set"):
            assert one.over == method.over
        assert one.values
        assert all(value is None or np.isfinite(value) for value in one.values.values())
