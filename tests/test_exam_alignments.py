"""Alignments with a causal model: the models against truth tables, interchange against
`interchange_accuracy` on every assignment, DAS against a grid of all rotations, chance by hand.
"""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from networks import OR_AND, random_network

from xor_mi.errors import XorMiError
from xor_mi.exam import AlignedModel, ExamProblem
from xor_mi.exam._alignments import (
    ALIGNMENT_METHODS,
    N_FRESH,
    _Bench,
    accuracy_of,
    chance_of,
    das,
    interchange_of_units,
    random_subspace,
)
from xor_mi.exam._causal import causal_model
from xor_mi.handmade import textbook_xor
from xor_mi.interventions import HighLevelModel, Subspace, interchange_accuracy
from xor_mi.model import HookedMLP
from xor_mi.search import Convention
from xor_mi.truth import BooleanFunction

quiet = {"joint": False, "progress": False}

# causal models


@pytest.mark.parametrize(
    ("target", "variables", "output"),
    [
        ("a ^ b", {"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both"),
        ("a == b", {"either": "x0 | x1", "both": "x0 & x1"}, "~either | both"),
        (
            "a ^ b ^ c",
            {
                "at_least_1": "x0 | x1 | x2",
                "at_least_2": "x0 & x1 | x0 & x2 | x1 & x2",
                "at_least_3": "x0 & x1 & x2",
            },
            "at_least_1 & ~at_least_2 | at_least_3",
        ),
        (
            "a & b | b & c | a & c",
            {"either": "x0 | x1", "both": "x0 & x1"},
            "both | either & x2",
        ),
        ("(a ^ b) & c", {"of_x0_x1": "x0 ^ x1"}, "of_x0_x1 & x2"),
        (
            "(a ^ c) & (b | d)",
            {"of_x0_x2": "x0 ^ x2", "of_x1_x3": "x1 | x3"},
            "of_x0_x2 & of_x1_x3",
        ),
        ("a & b & c", {"both": "x0 & x1"}, "both & x2"),
        ("~(a | b | c)", {"either": "x0 | x1"}, "~(either | x2)"),
        # by hand: its prime implicants are three, and no two inputs matter through one bit
        (
            "a & b | ~a & c",
            {"term_0": "x0 & x1", "term_1": "~x0 & x2", "term_2": "x1 & x2"},
            "term_0 | term_1 | term_2",
        ),
    ],
)
def test_the_causal_model_of_a_target(target, variables, output):
    """Written by hand; formulas are held against each other by their tables."""
    function = BooleanFunction.of(target, None)
    by_hand = HighLevelModel(variables, output)
    made = causal_model(function)
    assert set(made.variables) == set(variables)
    n = function.n_inputs
    for name, formula in variables.items():
        assert made.variables[name].count("x") > 0
        assert BooleanFunction.from_formula(made.variables[name], n) == (
            BooleanFunction.from_formula(formula, n)
        )
    in_order = HighLevelModel({name: variables[name] for name in made.variables}, output)
    assert made.readout == in_order.readout
    assert made.table(n) == function.bits == by_hand.table(n)


@pytest.mark.as_a_user
def test_every_function_of_three_inputs_has_a_causal_model_of_itself():
    """All but 32: the 8 of one input or none, and of each of 3 pairs of inputs the 8 that are
    neither XOR nor XNOR.
    """
    without = 0
    for bits in product((0, 1), repeat=8):
        function = BooleanFunction(3, bits)
        try:
            made = causal_model(function)
        except XorMiError:
            without += 1
            assert len(function.essential_inputs) <= 2
            continue
        assert made.table(3) == bits
        # a variable that is the output would say nothing of what is in between
        for formula in made.variables.values():
            assert BooleanFunction.from_formula(formula, 3).bits != bits
    assert without == 8 + 3 * 8


def test_of_several_outputs_the_first_is_modelled():
    """As `interchange_accuracy` compares the first decision."""
    two = BooleanFunction.of("a ^ b, a & b", None)
    assert causal_model(two) == causal_model(BooleanFunction.named("XOR"))


def test_a_target_without_variables_is_refused():
    """So is one of more inputs than a model is made of."""
    with pytest.raises(XorMiError, match="AND has no variable between its inputs and its output"):
        causal_model(BooleanFunction.named("AND"))
    with pytest.raises(XorMiError, match="causal model of your own"):
        causal_model(BooleanFunction.named("XOR", 7))


# against interchange_accuracy


def accuracies(model, causal, unit):
    """Of one unit, for each variable."""
    return [
        interchange_accuracy(model, causal, {name: unit}, **quiet).accuracy()
        for name in causal.variables
    ]


def every_assignment(problem, model):
    """The accuracy of the least variable, and of all, of every assignment by hooks."""
    causal = causal_model(problem.numbers.target)
    names = [str(unit) for unit in problem.units]
    of_units = {name: accuracies(model, causal, name) for name in names}
    found = {}
    for placed in permutations(names, len(causal.variables)):
        each = [of_units[unit][number] for number, unit in enumerate(placed)]
        found[placed] = (min(each), sum(each))
    return found


@pytest.mark.as_a_user
@pytest.mark.parametrize(
    ("target", "sizes", "act_fn"),
    [
        ("XOR", (2, 2, 2, 1), "relu"),
        ("XOR", (2, 3, 1), "tanh"),
        ("a ^ b ^ c", (3, 4, 1), "relu"),
        ("(a ^ b) & c", (3, 2, 2, 1), "relu"),
    ],
)
def test_interchange_of_units_tries_every_assignment(target, sizes, act_fn):
    """Against hooked runs of each, in the network and in those with fresh weights."""
    problem = ExamProblem.of(random_network(4, act_fn, sizes=sizes), target)
    found = interchange_of_units(problem)
    by_hooks = every_assignment(problem, problem.model)
    placed = tuple(found.alignment.values())
    assert by_hooks[placed] == pytest.approx(max(by_hooks.values()))
    assert accuracy_of(found, problem) == pytest.approx(by_hooks[placed][0])
    chance = np.mean([least for least, _ in by_hooks.values()])
    assert chance_of(found, problem) == pytest.approx(chance)
    generator = problem.generator("fresh weights for interchange of units")
    seeds = generator.integers(2**31, size=N_FRESH)
    fresh = [HookedMLP(replace(problem.model.cfg, seed=int(seed))) for seed in seeds]
    reached = [max(every_assignment(problem, model).values())[0] for model in fresh]
    assert found.control == pytest.approx(np.mean(reached))


def test_the_textbook_network_has_its_variables_at_its_units():
    """h0 is on when either is, h1 when both are: by hand, all interchanges are as they should be."""
    problem = ExamProblem.of(textbook_xor())
    found = interchange_of_units(problem)
    assert found.alignment == {"either": "h0.0", "both": "h0.1"}
    assert found.model.output == OR_AND.output
    assert accuracy_of(found, problem) == 1
    # either at h1: y is h0 of the base less 2 h1 of the source. From 11 only base 11 is decided as it
    # should be, from 00 only base 00, from 01 and from 10 bases 01 and 10: 6 of 16
    swapped = accuracy_of(AlignedModel(OR_AND, {"either": "h0.1", "both": "h0.0"}), problem)
    assert swapped == 6 / 16
    assert chance_of(found, problem) == (1 + swapped) / 2


@pytest.mark.as_a_user
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("act_fn", ["relu", "sigmoid"])
def test_subspaces_are_interchanged_as_by_hooks(layer, rank, act_fn):
    """Random ones of either layer, each variable in turn."""
    problem = ExamProblem.of(random_network(9, act_fn, sizes=(3, 3, 4, 1)), "a ^ b ^ c")
    causal = causal_model(problem.numbers.target)
    generator = torch.Generator().manual_seed(1)
    width = problem.numbers.sizes[1 + layer]
    drawn = torch.randn(3, width, rank, generator=generator, dtype=torch.float64)
    bases = torch.linalg.qr(drawn).Q
    bench = _Bench(problem, causal)
    hook, _ = problem.model.hook_site(f"h{layer}.0")
    for number, name in enumerate(causal.variables):
        found = bench.accuracy(layer, bases[None], variable=number)[0]
        for basis, accuracy in zip(bases, found.tolist(), strict=True):
            place = {name: Subspace(hook, basis)}
            hooked = interchange_accuracy(problem.model, causal, place, **quiet)
            assert accuracy == pytest.approx(hooked.accuracy())


# DAS against every rotation of two units


def of_rotations(problem, n=720):
    """The accuracy of the least variable at every rotation of a layer of two units."""
    causal = causal_model(problem.numbers.target)
    angles = np.arange(n) * 2 * np.pi / n
    turned = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    bases = torch.from_numpy(turned).permute(2, 0, 1)  # [angle, width, variable]
    bench = _Bench(problem, causal)
    each = [bench.accuracy(0, bases[None, :, :, [number]], variable=number)[0] for number in (0, 1)]
    return torch.stack(each).amin(0).numpy()


@pytest.mark.parametrize("seed", [0, 1, 2, 5])
def test_das_is_as_good_as_the_best_of_all_rotations(seed):
    """Up to one of 16 interchanges: it follows a slope, and the grid has no cross-entropy."""
    problem = ExamProblem.of(random_network(seed, "tanh", sizes=(2, 2, 1)), "XOR")
    found = das(problem)
    rotations = of_rotations(problem)
    assert accuracy_of(found, problem) >= rotations.max() - 1 / 16 - 1e-9
    # 200 draws of what spreads over at most 1: three deviations are 0.1
    assert chance_of(found, problem) == pytest.approx(rotations.mean(), abs=0.1)


def test_das_finds_variables_that_lie_across_units():
    """The textbook network and a second layer that turns its units by 60 degrees, and a readout that
    turns them back: no units of it hold the variables, and two directions do.
    """
    angle = np.deg2rad(60)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    readout = np.array([[1.0, -2.0]]) @ turn.T
    layers = [([[1, 1], [1, 1]], [0, -1]), (turn, [0, 0]), (readout, [-0.5])]
    model = HookedMLP.from_weights(layers, act_fn=("relu", "identity"), dtype="float64")
    problem = ExamProblem.of(model, "XOR")
    bench = _Bench(problem, OR_AND)
    at_units = bench.accuracy_of_units()[0, 2:]
    assert min(at_units[0, 0], at_units[1, 1]) < 1
    assert min(at_units[1, 0], at_units[0, 1]) < 1
    starts = bench.random_bases(1, 4, torch.Generator().manual_seed(0))
    learned = bench.learned(1, starts)
    accuracy = bench.accuracy(1, learned.mT.unsqueeze(-1))[0].amin(-1)
    best = learned[0, int(accuracy.argmax())]
    assert accuracy.max() == 1
    # perpendicular directions, and not those of units
    torch.testing.assert_close(best.mT @ best, torch.eye(2).double())
    assert accuracy_of(das(problem), problem) == 1


def test_a_random_subspace_is_one_and_the_same_in_every_run():
    """Its accuracy is that of the hooked run, and another seed draws another one."""
    network = random_network(3, sizes=(2, 3, 2, 1))
    first, again = (random_subspace(ExamProblem.of(network, "XOR")) for _ in range(2))
    other = random_subspace(ExamProblem.of(network, "XOR", seed=1))
    for name in first.alignment:
        same = torch.equal(first.alignment[name].basis, again.alignment[name].basis)
        assert same
        assert first.alignment[name].rank == 1
    moved = [first.alignment[name].basis.flatten().tolist() for name in first.alignment]
    assert moved != [other.alignment[name].basis.flatten().tolist() for name in other.alignment]


# grading


def test_the_least_variable_counts():
    """either at its unit, and both at the wrong one: the accuracy is that of both."""
    problem = ExamProblem.of(textbook_xor())
    model, placed = problem.model, {"either": "h0.0", "both": "h0.0"}
    both = interchange_accuracy(model, OR_AND, {"both": "h0.0"}, **quiet).accuracy()
    assert accuracy_of(AlignedModel(OR_AND, placed), problem) == both < 1


def test_chance_of_sets_of_units():
    """Of one variable at both units of a network of two there is one place: chance is that itself."""
    problem = ExamProblem.of(textbook_xor())
    causal = HighLevelModel({"whole": "x0 ^ x1"}, "whole")
    aligned = AlignedModel(causal, {"whole": ["h0.0", "h0.1"]})
    assert accuracy_of(aligned, problem) == 1
    assert chance_of(aligned, problem) == 1


def test_chance_of_more_places_than_there_are():
    """Two variables that share units are drawn as they share them: here both at both."""
    problem = ExamProblem.of(textbook_xor())
    placed = {"either": ["h0.0", "h0.1"], "both": ["h0.0", "h0.1"]}
    aligned = AlignedModel(OR_AND, placed)
    assert chance_of(aligned, problem) == accuracy_of(aligned, problem)
    wide = torch.eye(2).double()
    hook, _ = problem.model.hook_site("h0.0")
    whole = AlignedModel(OR_AND, {name: Subspace(hook, wide) for name in OR_AND.variables})
    assert chance_of(whole, problem) == accuracy_of(whole, problem) == accuracy_of(aligned, problem)


def test_chance_is_not_known_of_other_places():
    """An input, a hidden unit beside a direction, no place at all."""
    problem = ExamProblem.of(textbook_xor())
    hook, _ = problem.model.hook_site("h0.0")
    mixed = {"either": "h0.0", "both": Subspace(hook, torch.tensor([[0.0], [1.0]]))}
    assert chance_of(AlignedModel(OR_AND, {"either": "x0", "both": "h0.1"}), problem) is None
    assert chance_of(AlignedModel(OR_AND, mixed), problem) is None
    assert chance_of(AlignedModel(OR_AND, {"either": [], "both": "h0.1"}), problem) is None
    assert accuracy_of(AlignedModel(OR_AND, mixed), problem) == 1


@pytest.mark.parametrize("method", ALIGNMENT_METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("decision_rule", ["threshold", "argmax"])
def test_every_method_answers_and_leaves_the_network_alone(method, decision_rule):
    """Two outputs, noisy rows, a mean: interchange knows of neither of the last two."""
    convention = Convention(ablation="mean", n_noisy=2, noise_sd=0.1)
    network = random_network(3, sizes=(2, 3, 2), decision_rule=decision_rule)
    target = "XOR" if decision_rule == "argmax" else "a ^ b, a & b"
    problem = ExamProblem.of(network, target, convention=convention)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with problem.counting():
        found = method(problem)
    assert problem.cost.forwards > 0
    assert 0 <= found.control <= 1
    with torch.inference_mode():
        again = method(ExamProblem.of(network, target, convention=convention))
    assert accuracy_of(again, problem) == accuracy_of(found, problem)
    run = problem.cost.forwards
    assert 0 <= accuracy_of(found, problem) <= 1
    assert 0 <= chance_of(found, problem) <= 1
    assert problem.cost.forwards == run
    assert all((value == before[key]).all() for key, value in network.state_dict().items())


def test_what_is_run_of_the_network_itself_is_counted():
    """Two units, 16 pairs of 4 rows: 8 forwards of all rows. DAS: in each of 40 steps 4 starts of 2
    directions, and once more at the end.
    """
    problem = ExamProblem.of(textbook_xor())
    interchange_of_units(problem)
    assert (problem.cost.forwards, problem.cost.backwards) == (2 * 16 / 4, 0)
    problem = ExamProblem.of(textbook_xor())
    das(problem)
    a_step = 4 * 2 * 16 / 4
    assert (problem.cost.forwards, problem.cost.backwards) == (41 * a_step, 40 * a_step)


# what is refused


def test_too_few_units_are_refused():
    """Parity of three has three variables."""
    problem = ExamProblem.of(random_network(0, sizes=(3, 2, 1)), "a ^ b ^ c")
    with pytest.raises(XorMiError, match="3 variables, at_least_1, .* 2 hidden units"):
        interchange_of_units(problem)
    with pytest.raises(XorMiError, match=r"no hidden layer has as many units \(they have 2\)"):
        das(problem)
    with pytest.raises(XorMiError, match="no hidden layer has as many units"):
        random_subspace(problem)


def test_too_many_assignments_are_refused():
    """40 * 39 * 38 ways to place three variables."""
    problem = ExamProblem.of(random_network(0, sizes=(3, 40, 1)), "a ^ b ^ c")
    with pytest.raises(XorMiError, match=r"59,280.*find_alignments"):
        interchange_of_units(problem)


def test_an_answer_without_all_variables_is_refused():
    """It would be graded on the others."""
    problem = ExamProblem.of(textbook_xor())
    half = AlignedModel(OR_AND, {"either": "h0.0"})
    for graded in (accuracy_of, chance_of):
        with pytest.raises(XorMiError, match="no place for both"):
            graded(half, problem)


@pytest.mark.unchecked
def test_what_is_no_alignment_is_refused():
    """Also a pair that looks like one."""
    problem = ExamProblem.of(textbook_xor())
    for graded in (accuracy_of, chance_of):
        with pytest.raises(XorMiError, match="AlignedModel"):
            graded((OR_AND, {"either": "h0.0", "both": "h0.1"}), problem)
