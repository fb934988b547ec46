"""autolrp's relevance on the problem of the exam, against its rule by hand, in NumPy."""

import sys

import numpy as np
import pytest
import torch
from networks import random_network

from xor_mi.errors import XorMiError
from xor_mi.exam import ExamProblem
from xor_mi.exam._autolrp import LRP_METHODS, relevance, relevance_of_rows
from xor_mi.handmade import textbook_xor
from xor_mi.model import HookedMLP
from xor_mi.search import Convention

autolrp = pytest.importorskip("autolrp", reason="autolrp is not installed: the extra `exam`")

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}


def without_biases(seed, act_fn, sizes=(2, 3, 3, 1)):
    """A random network whose biases are 0, so that no relevance stays with them."""
    made = random_network(seed, act_fn, sizes=sizes)
    layers = [(weight, 0 * bias) for weight, bias in made.float64_layers()]
    return HookedMLP.from_weights(layers, act_fn=act_fn, target="XOR")


@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
@pytest.mark.parametrize("over", ["units", "edges"])
def test_relevance_is_conserved_where_no_bias_keeps_any(act_fn, over):
    """What each layer's elements get sums to the output, row by row; on row 00 all is 0."""
    network = without_biases(5, act_fn)
    outputs = network(network.rows())[:, 0].detach().numpy()
    assert (np.abs(outputs) > 0.01).any()
    for at_place in relevance_of_rows(ExamProblem.of(network), over):
        np.testing.assert_allclose(at_place.flatten(1).sum(1).numpy(), outputs, atol=1e-9)


@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
@pytest.mark.parametrize("over", ["units", "edges"])
def test_relevance_is_the_rule_by_hand(act_fn, over):
    """Each layer keeps of its relevance the share |sum| / (|sum| + |bias|), and hands that down in
    proportion to weight times value; activations pass theirs on.
    """
    network = random_network(7, act_fn, sizes=(2, 3, 3, 1))
    problem = ExamProblem.of(network, "XOR")
    values, layers = network.rows().numpy(), []
    for number, (weight, bias) in enumerate(network.float64_layers()):
        products = values[:, None, :] * weight.numpy()
        layers.append((products, np.broadcast_to(bias.numpy(), products.shape[:2])))
        sums = products.sum(-1) + bias.numpy()
        values = sums if number == 2 else ACTIVATIONS[act_fn](sums)
    of_layer, of_units, of_edges = values, [], []
    for products, bias in reversed(layers):
        sums = products.sum(-1)
        kept = np.abs(sums) + np.abs(bias)
        share = np.divide(np.abs(sums), kept, out=np.zeros_like(sums), where=kept > 0) * of_layer
        parts = np.divide(
            products, sums[..., None], out=np.zeros_like(products), where=sums[..., None] != 0
        )
        of_edges.insert(0, parts * share[..., None])
        of_layer = of_edges[0].sum(1)
        of_units.insert(0, of_layer)
    wanted = of_edges if over == "edges" else of_units[1:]
    found = relevance_of_rows(problem, over)
    for mine, by_hand in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine.numpy(), by_hand, atol=1e-8)
    together = np.concatenate([np.abs(one).reshape(4, -1).mean(0) for one in wanted])
    np.testing.assert_allclose(relevance(problem, over), together, atol=1e-8)


def test_sums_of_products_are_shared_by_absolute_values():
    """Why edges are not read off the hook of edges: of 3 - 1 = 2 proportion gives 3/2 and -1/2, and
    the library gives 3/4 and 1/4. A matrix product it shares in proportion.
    """
    terms = torch.tensor([[3.0, -1.0]])
    summed = autolrp.tensor(terms)
    summed.sum(-1)[0].lrp()
    assert summed.relevance.tolist() == [[0.75, 0.25]]
    multiplied = autolrp.tensor(terms)
    (multiplied @ torch.ones(2, 1))[0, 0].lrp()
    assert multiplied.relevance.tolist() == [[1.5, -0.5]]


def test_relevance_of_the_textbook_network():
    """y is 0, 1, 1, 0. On 01 and 10 all of the 1 is h0's, and the one edge's into it that carries
    anything; where y is 0 there is none to hand down, though at 11 both units are at work.
    """
    problem = ExamProblem.of(textbook_xor())
    assert relevance(problem, "units").tolist() == pytest.approx([0.5, 0.0])
    assert relevance(problem, "edges").tolist() == pytest.approx([0.25, 0.25, 0, 0, 0.5, 0])


def test_of_several_decisions_the_worst_is_explained():
    """Two outputs, x0 + x1 and x0 - x1 from units that are these; on 01, for AND and x0, the first
    is wrong by 1 and the second right by 1.
    """
    layers = [([[1.0, 1.0], [1.0, -1.0]], [0.0, 0.0]), ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])]
    network = HookedMLP.from_weights(layers, act_fn="identity", dtype="float64")
    (units,) = relevance_of_rows(ExamProblem.of(network, "a & b, a"), "units")
    # 10: the first is wrong by 1, the second right by 1; 11: right by 2, and by 0
    wanted = np.array([[0, 0], [1, 0], [1, 0], [0, 0]])
    np.testing.assert_allclose(units.numpy(), wanted, atol=1e-9)


@pytest.mark.parametrize("decision_rule", ["argmax", "threshold"])
@pytest.mark.parametrize("out_act_fn", ["identity", "sigmoid"])
def test_it_runs_on_any_rule(decision_rule, out_act_fn):
    """With several decisions, with one over two outputs, with an activation after the readout."""
    network = random_network(3, out_act_fn=out_act_fn, sizes=(2, 3, 2), decision_rule=decision_rule)
    target = "XOR" if decision_rule == "argmax" else "a & b, a ^ b"
    problem = ExamProblem.of(network, target)
    assert relevance(problem, "units").shape == (3,)
    assert np.isfinite(relevance(problem, "edges")).all()


@pytest.mark.parametrize("method", LRP_METHODS, ids=lambda method: method.name)
def test_the_network_is_left_alone_and_runs_are_counted(method):
    """Of units a forward and a backward per layer; of edges a second forward, and a backward for
    each of the 6 targets. Noisy rows have relevance too.
    """
    convention = Convention(n_noisy=2, noise_sd=0.1)
    problem = ExamProblem.of(random_network(1, sizes=(2, 3, 2, 1)), "XOR", convention=convention)
    before = {key: value.clone() for key, value in problem.model.state_dict().items()}
    with problem.counting():
        found = method(problem)
    wanted = (2, 2) if method.over == "units" else (2 * 3, 3 + 6)
    assert (problem.cost.forwards, problem.cost.backwards) == wanted
    assert found.shape == (len(problem.elements(method.over)),)
    with torch.no_grad():
        assert (found == method(problem)).all()
    assert all((value == before[key]).all() for key, value in problem.model.state_dict().items())
    assert not any(point._forward_hooks for point in problem.model.hook_dict.values())
    assert all(one.grad is None for one in problem.model.parameters())


def test_without_the_package_the_command_is_named(monkeypatch):
    """None in `sys.modules` is what Python takes for a package that is not there."""
    problem = ExamProblem.of(textbook_xor())
    monkeypatch.setitem(sys.modules, "autolrp", None)
    with pytest.raises(XorMiError, match=r"autolrp, which is not .*pip install 'xor-mi\[exam\]'"):
        relevance(problem, "units")
