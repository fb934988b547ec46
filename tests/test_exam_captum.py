"""captum's methods on the problem of the exam: against hand arithmetic on the textbook network,
NumPy, brute force, and `xor_mi.interventions` where both compute the same thing.
"""

import pickle
import sys
from itertools import permutations, product

import numpy as np
import pytest
import torch
from networks import random_network

from xor_mi.errors import XorMiError
from xor_mi.exam import METHODS, ExamProblem
from xor_mi.exam._captum import (
    CAPTUM_METHODS,
    conductance,
    deeplift,
    deeplift_modules,
    feature_ablation,
    gradient_x_activation,
    integrated_gradients,
    layer_integrated_gradients,
    shapley_sampling,
    shapley_values,
)
from xor_mi.exam._libraries import MetricOf, ModuleTwin, hook_points, hooked_copy
from xor_mi.handmade import textbook_xor
from xor_mi.interventions import attribute
from xor_mi.search import Convention

captum = pytest.importorskip("captum.attr", reason="captum is not installed: the extra `exam`")

BY_NAME = {method.name: method for method in CAPTUM_METHODS}


def first_output(outputs):
    """The first output, row by row: a metric whose slope has one sign."""
    return outputs[..., 0]


def at_11(outputs):
    """The first output on row 11, four times, so that a mean over four rows is its value there."""
    return 4 * first_output(outputs) * torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)


def problem_of(seed, *, act_fn="relu", sizes=(2, 3, 3, 1), **settings):
    """A random network in float64, held against XOR, which it need not compute."""
    return ExamProblem.of(random_network(seed, act_fn, sizes=sizes), "XOR", **settings)


# the textbook network: h0 = relu(x0 + x1), h1 = relu(x0 + x1 - 1), y = h0 - 2 h1


@pytest.mark.parametrize(
    ("method", "within"),
    [
        (feature_ablation, 1e-9),
        (shapley_values, 1e-6),
        (shapley_sampling, 1e-6),
        (layer_integrated_gradients, 1e-6),
        (conductance, 0.005),
        (integrated_gradients, 0.001),
        (gradient_x_activation, 1e-9),
        (deeplift, 1e-9),
        (deeplift_modules, 1e-9),
    ],
)
def test_units_of_the_textbook_network(method, within):
    """The readout is linear, so all agree: h0 is 0, 1, 1, 2 and 2 h1 is 0, 0, 0, 2."""
    found = method(ExamProblem.of(textbook_xor()), "units")
    np.testing.assert_allclose(found, [1.0, 0.5], atol=within)


def test_edges_of_the_textbook_network_along_the_path_of_what_is_kept():
    """With a share t of every edge kept, row 11 gives t 2t - 2 t relu(2t - 1): an edge into h0 has
    the slope t, so 1/2, one out of it 2t, so 1; into h1 -2t where t > 1/2, so -3/4, and out of it
    -2 (2t - 1) there, so -1/2. Of h0, rows 01 and 10 give t t: 1/2 for each of the two edges.
    """
    at_01_or_10, at_11_in, at_11_out = 1 / 2, 1 / 2, 1
    wanted = [
        (at_01_or_10 + at_11_in) / 4,
        (at_01_or_10 + at_11_in) / 4,
        0.75 / 4,
        0.75 / 4,
        (2 * at_01_or_10 + at_11_out) / 4,
        0.5 / 4,
    ]
    found = integrated_gradients(ExamProblem.of(textbook_xor()), "edges")
    np.testing.assert_allclose(found, wanted, atol=0.002)


def test_conductance_of_the_textbook_network_at_11_is_two_and_minus_two():
    """Along the line from 00 to 11 h0 rises from 0 to 2, h1 from 0 to 1, and y = h0 - 2 h1."""
    network = textbook_xor()
    problem = ExamProblem.of(network, metric=first_output)
    copied = hooked_copy(problem, "units")
    (place,) = hook_points(copied, problem, "units")
    inputs = problem.inputs.requires_grad_()
    found = captum.LayerConductance(MetricOf(problem, copied), place).attribute(
        inputs, torch.zeros_like(inputs).requires_grad_()
    )
    torch.testing.assert_close(found[3], torch.tensor([2.0, -2.0]).double(), atol=0.005, rtol=0)


def test_deeplift_does_not_see_functions():
    """From 00 to 11 the output does not change, so what the inputs get must sum to 0, as it does on
    the twin of modules. On functions it is their slope on 11: 1 - 2 for each input, in silence.
    """
    problem = ExamProblem.of(textbook_xor(), metric=first_output)
    on_functions = MetricOf(problem, hooked_copy(problem, "units"))
    on_modules = MetricOf(problem, ModuleTwin(problem))
    for metric, wanted in ((on_functions, [-1.0, -1.0]), (on_modules, [0.0, 0.0])):
        inputs = problem.inputs.clone().requires_grad_()
        with pytest.warns(UserWarning, match="Setting forward, backward hooks"):
            found = captum.DeepLift(metric).attribute(
                inputs, torch.zeros_like(inputs).requires_grad_()
            )
        assert found[3].tolist() == wanted


def test_deeplift_of_edges_of_the_textbook_network():
    """At 11 h1 went from 0 to 1 while its sum went from -1 to 1, a ratio of 1/2: its two edges, of
    1 each, are worth 2 * 1/2. Where the activation is not seen the slope is 1: worth 2.
    """
    problem = ExamProblem.of(textbook_xor(), metric=at_11)
    assert deeplift_modules(problem, "edges").tolist() == [1, 1, 1, 1, 2, 2]
    assert deeplift(problem, "edges").tolist() == [1, 1, 2, 2, 2, 2]


# random networks, against NumPy


def layers_in_numpy(problem, rows):
    """(what enters, sums, values) of every linear layer on inputs [row, d_in]."""
    values, found = rows, []
    act = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[problem.model.cfg.act_fns[0]]
    layers = problem.numbers.layers
    for number, layer in enumerate(layers):
        sums = values @ layer.weight.T + layer.bias
        after = sums if number == len(layers) - 1 else act(sums)
        found.append((values, sums, after))
        values = after
    return found


@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
@pytest.mark.parametrize("ablation", ["zero", "mean"])
@pytest.mark.parametrize("over", ["units", "edges"])
def test_deeplift_on_modules_is_the_rescale_rule(act_fn, ablation, over):
    """Backwards through the layers by hand, each activation by its ratio of differences."""
    convention = Convention(ablation=ablation)
    problem = problem_of(5, act_fn=act_fn, convention=convention, metric=first_output)
    rows = problem.numbers.rows
    dropped = np.broadcast_to(problem.numbers.layers[0].carried, rows.shape)
    on_rows = layers_in_numpy(problem, rows)
    on_baseline = layers_in_numpy(problem, dropped)
    worth = np.ones((len(rows), 1))  # of the layer's values
    of_units, of_edges = [], []
    for number in reversed(range(3)):
        weight = problem.numbers.layers[number].weight
        entering, sums, values = (
            here - there for here, there in zip(on_rows[number], on_baseline[number], strict=True)
        )
        if number < 2:
            of_units.insert(0, worth * values)
            ratio = np.divide(values, sums, out=np.zeros_like(sums), where=np.abs(sums) > 1e-9)
            worth = worth * ratio
        of_edges.insert(0, (worth[:, :, None] * weight * entering[:, None]).reshape(len(rows), -1))
        worth = worth @ weight
    wanted = np.abs(np.concatenate(of_units if over == "units" else of_edges, axis=1)).mean(0)
    np.testing.assert_allclose(deeplift_modules(problem, over), wanted, atol=1e-9)


@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
@pytest.mark.parametrize("over", ["units", "edges"])
def test_gradient_x_activation_is_the_chain_rule(act_fn, over):
    """Backwards through the layers by hand."""
    problem = problem_of(3, act_fn=act_fn)
    on_rows = layers_in_numpy(problem, problem.numbers.rows)
    worth, of_units, of_edges = np.ones((4, 1)), [], []
    for number in reversed(range(3)):
        entering, sums, values = on_rows[number]
        weight = problem.numbers.layers[number].weight
        if number < 2:
            of_units.insert(0, worth * values)
            worth = worth * (sums > 0 if act_fn == "relu" else 1 - values**2)
        of_edges.insert(0, (worth[:, :, None] * weight * entering[:, None]).reshape(4, -1))
        worth = worth @ weight
    wanted = np.abs(np.concatenate(of_units if over == "units" else of_edges, axis=1)).mean(0)
    np.testing.assert_allclose(gradient_x_activation(problem, over), wanted, atol=1e-9)


@pytest.mark.parametrize("over", ["units", "edges"])
@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_feature_ablation_is_one_run_without_each_element(over, ablation):
    """Hooked forwards of the network, one element at a time at what the convention leaves of it."""
    problem = problem_of(8, convention=Convention(ablation=ablation))
    model = problem.model
    model.set_use_edge_result(True)
    whole, cache = model.run_with_cache(problem.inputs)
    before, wanted = problem.metric_of(whole.detach()), []
    for element in problem.elements(over):
        name, index = model.hook_site(element)

        def drop(value, hook, name=name, index=index):
            value = value.clone()
            left = cache[name].mean(0) if ablation == "mean" else torch.zeros_like(value[0])
            value[(slice(None), *index)] = left[index]
            return value

        changed = model.run_with_hooks(problem.inputs, fwd_hooks=[(name, drop)])
        effects = problem.metric_of(changed.detach()) - before
        wanted.append(effects.abs().mean().item())
    np.testing.assert_allclose(feature_ablation(problem, over), wanted, atol=1e-9)


# against our own


@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
def test_layer_integrated_gradients_are_our_own(act_fn):
    """From the activations on 00 to those on each row, by 64 midpoints here and 50 nodes there."""
    problem = problem_of(4, act_fn=act_fn)
    pairs = [(row, "00") for row in ("01", "10", "11")]
    ours = attribute(
        problem.model,
        pairs,
        [str(unit) for unit in problem.units],
        method="integrated_gradients",
        progress=False,
    )
    frame = ours.frame()
    # row 00 is its own baseline: 0
    wanted = frame.assign(score=frame["score"].abs()).groupby("site")["score"].sum() / 4
    found = dict(
        zip(map(str, problem.units), layer_integrated_gradients(problem, "units"), strict=True)
    )
    for unit, number in wanted.items():
        # a kink between two nodes is off by less than a node's share of the slope's jump
        assert found[unit] == pytest.approx(number, rel=0.05, abs=0.02)


@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
@pytest.mark.parametrize("ablation", ["zero", "mean"])
@pytest.mark.parametrize("biases", ["keep", "drop"])
def test_methods_that_are_ours_too(act_fn, ablation, biases):
    """The library and the exam's own methods, where both compute the same thing. Integrals are over
    other points, of a function with kinks where the activation has one.
    """
    convention = Convention(ablation=ablation, biases=biases, n_noisy=1, noise_sd=0.1)
    problem = problem_of(11, act_fn=act_fn, convention=convention)
    same = [
        ("captum_feature_ablation_edges", "edge_noising"),
        ("captum_feature_ablation", "unit_noising"),
    ]
    if ablation == "zero":  # the library's other baseline is 0 whatever is dropped
        same += [
            ("captum_gradient_x_activation_edges", "eap"),
            ("captum_gradient_x_activation", "attribution_patching"),
        ]
    for theirs, ours in same:
        np.testing.assert_allclose(METHODS[theirs](problem), METHODS[ours](problem), atol=1e-9)
    # captum takes the slope at one end of each of 50 steps: it is off by some 3 %, and with 1,000 by 0.15 %
    for theirs, ours, within in (
        ("captum_integrated_gradients_edges", "eap_ig", 0.005),
        ("captum_conductance", "conductance", 0.04),
    ):
        mine = METHODS[ours](problem)
        atol = (within if act_fn == "tanh" else 0.05) * mine.max()
        np.testing.assert_allclose(METHODS[theirs](problem), mine, atol=atol)


def brute_shapley(problem, over):
    """The mean over every order of what each element adds, row by row; absolute, mean over rows."""
    n = len(problem.elements(over))
    sets = list(product((0, 1), repeat=n))
    masks = problem.edges_between(sets) if over == "units" else sets
    worth = dict(zip(sets, problem.values(masks).numpy(), strict=True))
    total, orders = np.zeros((n, problem.n_rows)), list(permutations(range(n)))
    for order in orders:
        for place, element in enumerate(order):
            before = tuple(int(one in order[:place]) for one in range(n))
            after = tuple(int(one in order[: place + 1]) for one in range(n))
            total[element] += worth[after] - worth[before]
    return np.abs(total / len(orders)).mean(1)


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_shapley_values_are_those_of_every_order(ablation):
    """Of four units in two layers, by runs of the network without the library."""
    problem = problem_of(6, sizes=(2, 2, 2, 1), convention=Convention(ablation=ablation))
    np.testing.assert_allclose(
        shapley_values(problem, "units"), brute_shapley(problem, "units"), rtol=1e-5
    )


def test_shapley_sampling_is_near_every_order_and_seeded():
    """Six edges, 25 orders of 720, of which each gives an edge 0 to 2 on row 11 and 0 or 1 elsewhere:
    the mean of 25 is within 0.2 of that of all on this seed.
    """
    problem = ExamProblem.of(textbook_xor())
    first = shapley_sampling(problem, "edges")
    np.testing.assert_allclose(first, brute_shapley(problem, "edges"), atol=0.2)
    assert (first == shapley_sampling(problem, "edges")).all()
    other = shapley_sampling(ExamProblem.of(textbook_xor(), seed=1), "edges")
    assert (first != other).any()


# what is given to the library


@pytest.mark.parametrize("act_fn", ["relu", "tanh", "sigmoid", "leaky_relu", "elu", "softplus"])
@pytest.mark.parametrize("out_act_fn", ["identity", "sigmoid"])
def test_the_twin_of_modules_is_the_network(act_fn, out_act_fn):
    """Output by output, to the last bits."""
    network = random_network(2, act_fn, out_act_fn, sizes=(3, 4, 2, 2))
    problem = ExamProblem.of(network, "a & b, a ^ c")
    torch.testing.assert_close(
        ModuleTwin(problem)(problem.inputs), network(problem.inputs), atol=1e-12, rtol=0
    )


def test_biases_are_those_of_the_convention():
    """Where the convention drops biases, what is explained has none: 1 at 01 is 1, and 1 at 11
    makes h1 2, with a slope of -2 each.
    """
    convention = Convention(biases="drop")
    problem = ExamProblem.of(textbook_xor(), convention=convention, metric=at_11)
    twin, copied = ModuleTwin(problem), hooked_copy(problem, "units")
    assert twin(problem.inputs).flatten().tolist() == [0, -1, -1, -2]
    assert copied(problem.inputs).flatten().tolist() == [0, -1, -1, -2]
    assert gradient_x_activation(problem, "units").tolist() == [2, 4]


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_every_method_gives_scores_and_leaves_the_network_alone(name, ablation):
    """On two layers, noisy rows and all; in the same order of elements; two runs are the same."""
    convention = Convention(ablation=ablation, n_noisy=2, noise_sd=0.1)
    problem = problem_of(1, sizes=(2, 3, 2, 1), convention=convention)
    before = {key: value.clone() for key, value in problem.model.state_dict().items()}
    method = BY_NAME[name]
    with problem.counting():
        first = method(problem)
    assert first.shape == (len(problem.elements(method.over)),)
    assert np.isfinite(first).all()
    assert first.any()
    with torch.no_grad():
        assert (first == method(problem)).all()
    # also in another process
    assert (first == pickle.loads(pickle.dumps(method))(problem)).all()
    assert problem.cost.forwards > 0
    assert all((value == before[key]).all() for key, value in problem.model.state_dict().items())
    assert not problem.model.cfg.use_edge_result
    assert not any(point._forward_hooks for point in problem.model.hook_dict.values())
    assert all(one.grad is None for one in problem.model.parameters())


@pytest.mark.parametrize(
    ("name", "forwards", "backwards"),
    [
        ("captum_feature_ablation", 3, 0),  # the whole, and without each of two units
        ("captum_feature_ablation_edges", 7, 0),
        ("captum_integrated_gradients", 50, 50),  # captum's 50 steps
        ("captum_shapley_values", 4, 0),  # every set of two units
        ("captum_shapley_sampling", 51, 0),  # nothing kept, then 25 orders of two
        ("captum_deeplift_modules", 2, 2),  # the rows and their baselines
        ("captum_gradient_x_activation_edges", 2, 2),  # each of two layers of edges
    ],
)
def test_what_is_run_is_counted_once(name, forwards, backwards):
    """Though the problem counts the calls of its model at the same time."""
    problem = ExamProblem.of(textbook_xor())
    with problem.counting():
        BY_NAME[name](problem)
    assert (problem.cost.forwards, problem.cost.backwards) == (forwards, backwards)


@pytest.mark.parametrize("decision_rule", ["threshold", "argmax"])
def test_several_outputs(decision_rule):
    """The margin is the least over the decisions; on every method, a number for each element."""
    network = random_network(3, sizes=(2, 3, 2), decision_rule=decision_rule)
    target = "XOR" if decision_rule == "argmax" else "a & b, a ^ b"
    problem = ExamProblem.of(network, target)
    for method in CAPTUM_METHODS:
        found = method(problem)
        assert found.shape == (len(problem.elements(method.over)),)
        assert np.isfinite(found).all()


# what is refused


@pytest.mark.parametrize(
    "name", [name for name in BY_NAME if "shapley" not in name and "feature" not in name]
)
def test_a_flat_metric_has_no_slope(name):
    """Before anything of the library runs."""
    problem = ExamProblem.of(textbook_xor(), metric="accuracy")
    with pytest.raises(XorMiError, match="'accuracy' has no slope; take 'margin'"):
        BY_NAME[name](problem)


def test_a_flat_metric_has_shapley_values():
    """With both units all four rows are right; without h1 row 11 is wrong; without any, or h0, 01
    and 10 are, so h0 gives two rows 1, and h1 gives row 11 the half that h0 takes from it.
    """
    problem = ExamProblem.of(textbook_xor(), metric="accuracy")
    assert shapley_values(problem, "units").tolist() == [(1 + 1 + 0.5) / 4, 0.5 / 4]


def test_too_many_orders_are_refused():
    """5,040 of seven units; the message names what would do."""
    problem = ExamProblem.of(random_network(0, sizes=(2, 7, 1)), "XOR")
    with pytest.raises(XorMiError, match=r"5,040.*captum_shapley_sampling"):
        shapley_values(problem, "units")


def test_deeplift_names_the_activations_it_knows():
    """A twin of other modules would be explained wrongly in silence."""
    problem = ExamProblem.of(random_network(0, "gelu", sizes=(2, 2, 1)), "XOR")
    with pytest.raises(XorMiError, match="no module for the activation gelu; it knows relu"):
        deeplift_modules(problem, "units")
    assert deeplift(problem, "units").shape == (2,)


def test_without_the_package_the_command_is_named(monkeypatch):
    """None in `sys.modules` is what Python takes for a package that is not there."""
    problem = ExamProblem.of(textbook_xor())
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(
        XorMiError, match=r"captum, which is not installed: pip install 'xor-mi\[exam\]'"
    ):
        conductance(problem, "units")


def test_a_package_that_does_not_load_says_so(monkeypatch):
    """The package is there, and its part is not."""
    problem = ExamProblem.of(textbook_xor())
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(XorMiError, match="captum is installed but does not load"):
        conductance(problem, "units")
