"""Interventions on networks that are read in another way than by 0/1 inputs and a threshold: other
input levels, argmax, steps that are on at zero, direct connections.

Each such network is held against an ordinary one that must do the same, against TransformerLens'
own hooks, or against arithmetic by hand.
"""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from networks import OR_AND

from xor_mi.errors import XorMiError
from xor_mi.gate_scan import scan_gates
from xor_mi.interventions import (
    METHODS,
    ablation_sweep,
    attribute,
    das_accuracy,
    differing_pairs,
    interchange,
    interchange_accuracy,
    patch,
    patch_sweep,
    path_sweep,
    paths_from,
    score_methods,
    site_of,
    sites,
    subspace_accuracy,
)
from xor_mi.interventions._forward import inputs_per_run
from xor_mi.metrics import UNDECIDED, decisions
from xor_mi.model import HookedMLP
from xor_mi.truth import truth_rows

pytestmark = pytest.mark.as_a_user

LEVELS = [(-1.0, 1.0), (1.0, 0.0), (0.25, -1.5)]
ARGMAX = {"decision_rule": "argmax"}
TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}


def random_layers(seed, sizes):
    """Per layer W [d_out, d_in] and b, in float64."""
    rng = np.random.default_rng(seed)
    return [(2 * rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in pairwise(sizes)]


def with_levels(layers, levels, **settings):
    """(a network with these levels, the 0/1 network that does the same on every row of bits)."""
    low, high = levels
    weight, bias = layers[0]
    folded = (weight * (high - low), bias + weight @ np.full(weight.shape[1], low))
    network = HookedMLP.from_weights(layers, input_levels=levels, **settings)
    return network, HookedMLP.from_weights([folded, *layers[1:]], **settings)


def with_argmax(layers, **settings):
    """(a network of two outputs by argmax, the network of one output that decides the same)."""
    weight, bias = layers[-1]
    subtracted = (weight[1:] - weight[:1], bias[1:] - bias[:1])
    network = HookedMLP.from_weights(layers, **ARGMAX, **settings)
    return network, HookedMLP.from_weights([*layers[:-1], subtracted], **settings)


def with_direct(seed, sizes=(2, 3, 1), **settings):
    """(a ReLU network with direct connections, the same with units that pass the inputs on).

    The passing units come last in each hidden layer; on inputs of 0 and 1 a ReLU passes them on.
    """
    layers = random_layers(seed, sizes)
    n_inputs = sizes[0]
    direct = 2 * np.random.default_rng(seed + 100).normal(size=(sizes[-1], n_inputs))
    passing = []
    for number, (weight, bias) in enumerate(layers[:-1]):
        n_before = weight.shape[1] if number else 0
        wide = np.zeros((weight.shape[0], n_before + n_inputs))
        wide[:, : weight.shape[1]] = weight
        pass_on = np.hstack([np.zeros((n_inputs, n_before)), np.eye(n_inputs)])
        passing.append((np.vstack([wide, pass_on]), np.append(bias, np.zeros(n_inputs))))
    weight, bias = layers[-1]
    passing.append((np.hstack([weight, direct]), bias))
    network = HookedMLP.from_weights(layers, direct=direct, **settings)
    return network, HookedMLP.from_weights(passing, **settings)


def same_sweeps(a, b):
    """Two sweeps have the same numbers, pairs and decisions."""
    torch.testing.assert_close(a.values, b.values, **TOLERANCE)
    torch.testing.assert_close(a.clean, b.clean, **TOLERANCE)
    assert a.pairs == b.pairs
    assert torch.equal(a.decisions, b.decisions)
    return [effect.flips for effect in a] == [effect.flips for effect in b]


# input levels


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("kind", ["unit", "edge", "input", "logit"])
@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_patches_with_other_levels_are_those_of_the_folded_network(levels, kind, direction):
    """Every patch of every kind of site equals the patch in the 0/1 network with W * (high - low)
    and b + W @ low; pairs are named by bits.
    """
    network, folded = with_levels(random_layers(1, (2, 3, 2, 1)), levels, act_fn="tanh")
    found, expected = (
        patch_sweep(model, sites=sites(model, kind), direction=direction)
        for model in (network, folded)
    )
    assert same_sweeps(found, expected)
    assert found.pairs[0] == ("00", "01")


@pytest.mark.parametrize("levels", LEVELS)
def test_ablation_with_other_levels(levels):
    """Mean and resampling ablation commute with the levels; zero is the number 0, which in the
    folded network is the input (0 - low) / (high - low).
    """
    network, folded = with_levels(random_layers(2, (2, 3, 1)), levels, act_fn="sigmoid")
    for kind, value in product(("unit", "input"), ("mean", "resample")):
        a, b = (
            ablation_sweep(model, sites(model, kind), value=value, subsets="all")
            for model in (network, folded)
        )
        torch.testing.assert_close(a.values, b.values, **TOLERANCE)
        assert torch.equal(a.decisions, b.decisions)
    low, high = levels
    zero = ablation_sweep(network, ["x0", "x1"], value="zero")
    by_hand = ablation_sweep(folded, ["x0", "x1"], value=(0 - low) / (high - low))
    torch.testing.assert_close(zero.values, by_hand.values, **TOLERANCE)
    assert zero.rows == ("00", "01", "10", "11")


@pytest.mark.parametrize("levels", LEVELS)
def test_interchange_and_paths_with_other_levels(levels):
    """Interchanges, subspaces, a fitted subspace and paths are those of the folded network."""
    network, folded = with_levels(random_layers(3, (2, 2, 1)), levels)
    both = (network, folded)
    a, b = (interchange(model, {"h0.0": "11", "h0.1": "00"}, base="01") for model in both)
    assert a.outputs == pytest.approx(b.outputs)
    assert (a.decisions, a.base, a.sources) == (b.decisions, b.base, b.sources)
    places = {"either": "h0.0", "both": "h0.1"}
    a, b = (interchange_accuracy(model, OR_AND, places) for model in both)
    assert (a.n_agreed, a.n_matched_value) == (b.n_agreed, b.n_matched_value)
    hook = "blocks.0.mlp.hook_post"
    basis = torch.eye(2, dtype=torch.float64)[:, :1]
    a, b = (subspace_accuracy(model, OR_AND, "either", hook, basis).n_agreed for model in both)
    assert a == b
    a, b = (das_accuracy(model, OR_AND, "either", hook, epochs=3).n_agreed for model in both)
    assert {a[key] for key in ("das", "placebo")} == {b[key] for key in ("das", "placebo")}
    a, b = (path_sweep(model, paths_from(model, "x0")) for model in both)
    assert same_sweeps(a, b)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "random"])
def test_attribution_with_other_levels(method):
    """A gradient times a difference does not depend on how the input is scaled."""
    network, folded = with_levels(random_layers(4, (2, 3, 1)), (-1.0, 1.0), act_fn="softplus")
    for kind in ("unit", "input"):
        a, b = (
            attribute(model, sites=sites(model, kind), method=method).scores
            for model in (network, folded)
        )
        torch.testing.assert_close(a, b, **TOLERANCE)


def test_a_gate_scan_reads_levels_and_names_features_by_bits():
    """Run on levels with the bits as features, the -1/+1 network's units are those of the folded
    network.
    """
    network, folded = with_levels(random_layers(5, (2, 4, 1)), (-1.0, 1.0))
    rows = list(truth_rows(2)) * 5
    features = {name: [row[k] for row in rows] for k, name in enumerate("ab")}
    hooks = ["hook_embed", "blocks.0.mlp.hook_post", "hook_logits"]
    a, b = (
        scan_gates(model, model.rows(rows), features, hooks, n_permutations=5).frame()
        for model in (network, folded)
    )
    same = ["hook", "index", "gate", "formula", "table", "n_ones", "n_zeros", "p_value"]
    assert a[same].equals(b[same])
    assert a.loc[a["hook"] == "hook_embed", "gate"].tolist() == ["x0", "x1"]


# argmax


@pytest.mark.parametrize("kind", ["unit", "input"])
@pytest.mark.parametrize("act_fn", ["relu", ("tanh", "relu")])
def test_argmax_over_two_is_the_network_of_their_difference(kind, act_fn):
    """Patches, ablations, flips and pairs are those of the one output y1 - y0."""
    both = with_argmax(random_layers(6, (3, 3, 3, 2)), act_fn=act_fn)
    a, b = (patch_sweep(model, sites=sites(model, kind)) for model in both)
    assert same_sweeps(a, b)
    assert a.metrics == ("logit",)
    a, b = (ablation_sweep(model, sites(model, kind), subsets="pairs") for model in both)
    torch.testing.assert_close(a.values, b.values, **TOLERANCE)
    assert a.frame()["flips"].tolist() == b.frame()["flips"].tolist()
    assert differing_pairs(both[0]) == differing_pairs(both[1])


def test_an_edge_into_both_outputs_is_the_edge_into_their_difference():
    """Patching h0.0->y0 and h0.0->y1 together has the effect of the one edge; apart, their effects
    add up to it. So do the paths to y0 and to y1, which end in one decision.
    """
    network, one = with_argmax(random_layers(7, (2, 3, 2)))
    for unit in range(3):
        together = (f"h0.{unit}->y0", f"h0.{unit}->y1")
        expected = patch_sweep(one, sites=[f"h0.{unit}->y0"])
        assert same_sweeps(patch_sweep(network, sites=[together]), expected)
        apart = patch_sweep(network, sites=list(together)).effect.sum(0)
        torch.testing.assert_close(apart, expected.effect[0], **TOLERANCE)
    to_both = path_sweep(network, paths_from(network, "x1"))
    to_one = path_sweep(one, paths_from(one, "x1"))
    assert to_both.site_names[:2] == ("x1 -> h0.0 -> y0", "x1 -> h0.0 -> y1")
    summed = to_both.effect.view(3, 2, -1).sum(1)
    torch.testing.assert_close(summed, to_one.effect, **TOLERANCE)


def test_interchange_by_argmax_agrees_with_the_difference():
    """Accuracies of units, of a subspace and of a fitted one are the same; no output is 0 or 1, so
    matched values are not counted.
    """
    layers = [([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]), ([[-0.5, 1.0], [0.25, -1.0]], [0.3, 0.1])]
    both = with_argmax([(np.array(w), np.array(b)) for w, b in layers])
    places = {"either": "h0.0", "both": "h0.1"}
    a, b = (interchange_accuracy(model, OR_AND, places) for model in both)
    assert (a.n_agreed, a.n_runs) == (b.n_agreed, b.n_runs)
    assert a.n_matched_value is None
    assert "n_matched_value" not in a.frame()
    hook = "blocks.0.mlp.hook_post"
    basis = torch.eye(2, dtype=torch.float64)[:, :1]
    a, b = (subspace_accuracy(model, OR_AND, "either", hook, basis).n_agreed for model in both)
    assert a == b
    a, b = (das_accuracy(model, OR_AND, "both", hook, epochs=3).n_agreed["das"] for model in both)
    assert a == b


def test_one_interchange_has_two_outputs_and_one_decision():
    """The decision stands at y1; a tie is undecided."""
    network, _ = with_argmax([(np.eye(2), np.zeros(2)), (np.eye(2), np.zeros(2))])
    won = interchange(network, {"h0.1": "01"}, base="00")
    assert (won.outputs, won.decisions) == ((0.0, 1.0), (1,))
    assert won.frame()["decision"].isna().tolist() == [True, False]
    tied = interchange(network, {"h0.1": "01"}, base="10")
    assert tied.decisions == (UNDECIDED,)
    assert patch(network, "01", "10", "h0.1").decision_patched == UNDECIDED
    assert ablation_sweep(network, ["h0.1"], value=1, rows=["10"]).decisions.item() == UNDECIDED


def test_a_tie_agrees_with_no_prediction():
    """A network that is undecided everywhere never decides as the algorithm does."""
    silent = HookedMLP.from_weights(
        [(np.eye(2), np.zeros(2)), (np.zeros((2, 2)), np.zeros(2))], **ARGMAX
    )
    hook = "blocks.0.mlp.hook_post"
    basis = torch.eye(2, dtype=torch.float64)[:, :1]
    assert interchange_accuracy(silent, OR_AND, {"both": "h0.1"}).n_agreed == {"both": 0}
    assert subspace_accuracy(silent, OR_AND, "both", hook, basis).n_agreed == {"both": 0}


@pytest.mark.parametrize("method", [name for name in METHODS if name != "random"])
def test_attribution_by_argmax_is_that_of_the_difference(method):
    """Every method scores y1 - y0; direct_logit reads the difference of the readout's rows."""
    both = with_argmax(random_layers(8, (2, 3, 2)), act_fn="silu")
    a, b = (attribute(model, method=method).scores for model in both)
    torch.testing.assert_close(a, b, **TOLERANCE)


def test_argmax_over_three_is_one_hot():
    """Scores and decisions are NumPy's: an output less the largest other one; a caller's own metric
    sees the raw outputs.
    """
    layers = random_layers(9, (2, 3, 3))
    network = HookedMLP.from_weights(layers, **ARGMAX, act_fn="tanh")
    (w1, b1), (w2, b2) = layers
    for k in range(3):
        sweep = patch_sweep(network, metrics={"raw": lambda outputs, k=k: outputs[:, k]}, output=k)
        score = patch_sweep(network, output=k)
        for p, ((clean, corrupted), unit) in enumerate(product(sweep.pairs, range(3))):
            pair, site = divmod(p, 3)
            hidden = np.tanh(w1 @ np.array([int(bit) for bit in corrupted]) + b1)
            hidden[unit] = np.tanh(w1 @ np.array([int(bit) for bit in clean]) + b1)[unit]
            outputs = w2 @ hidden + b2
            margin = outputs[k] - np.delete(outputs, k).max()
            assert sweep.patched[site, pair].item() == pytest.approx(outputs[k])
            assert score.patched[site, pair].item() == pytest.approx(margin)
            assert sweep.decisions[site, pair].item() == int(outputs.argmax() == k)
    table = score_methods(network).frame().set_index("method")["why_not"]
    assert "direct_logit measures a logit itself" in table["direct_logit"]
    assert (table.drop("direct_logit") == "").all()


def test_what_counts_decisions_refuses_others():
    """Two outputs by argmax are decision 0 alone, in every function that takes output=."""
    network, _ = with_argmax(random_layers(10, (2, 2, 2)))
    calls = [
        lambda: patch_sweep(network, output=1),
        lambda: ablation_sweep(network, output=1),
        lambda: attribute(network, output=1),
        lambda: path_sweep(network, [["x0", "h0.0"]], output=1),
        lambda: interchange_accuracy(network, OR_AND, {"both": "h0.0"}, output=1),
        lambda: das_accuracy(network, OR_AND, "both", "blocks.0.mlp.hook_post", output=1),
        lambda: differing_pairs(network, output=1),
    ]
    for call in calls:
        with pytest.raises(XorMiError, match="output"):
            call()


# steps


@pytest.mark.parametrize(("step_at_zero", "off"), [(0, 0.0), (1, 1.0)])
def test_a_patch_that_lands_on_a_step_is_decided_as_the_network_says(step_at_zero, off):
    """x0 + x1 - 1 on 01 is exactly zero: the step gives 0, or 1 where the network says >=; patched
    into 00, the output is that value.
    """
    network = HookedMLP.from_weights(
        [([[1.0, 1.0]], [-1.0]), ([[1.0]], [0.0])],
        act_fn="heaviside",
        step_at_zero=step_at_zero,
        decision_threshold=0.5,
    )
    for site in ("h0.0", "x1", "x1->h0.0"):
        assert patch(network, "01", "00", site).patched == off


# direct connections


def test_direct_edges_are_sites():
    """They are listed after the other edges of their output, found by name, and read at a hook of
    their own.
    """
    network, _ = with_direct(11, (2, 2, 2))
    names = [site.name for site in sites(network, "edge")]
    assert len(names) == len(set(names)) == 12
    assert names[-4:] == ["h0.0->y1", "h0.1->y1", "x0->y1", "x1->y1"]
    assert site_of(network, "x1->y0").hook_name == "hook_edge_direct"
    assert site_of(network, "x1->y0").index == (0, 1)
    assert [site_of(network, name) for name in names] == sites(network, "edge")


@pytest.mark.parametrize("sizes", [(2, 3, 1), (3, 2, 2, 2)])
def test_direct_connections_are_units_that_pass_the_input_on(sizes):
    """Patching and ablating x0->y0 is patching the edge from the unit that passes x0 on; inputs,
    units and other edges are the same in both; so are the paths.
    """
    network, passing = with_direct(12, sizes)
    last = len(sizes) - 3
    first_passing = sizes[-2]

    def elsewhere(name):
        source, arrow, target = name.partition("->")
        if arrow and source[0] == "x" and target[0] == "y":
            return f"h{last}.{first_passing + int(source[1:])}->{target}"
        return name

    for kind in ("edge", "unit", "input"):
        names = [site.name for site in sites(network, kind)]
        there = [elsewhere(name) for name in names]
        for output in range(sizes[-1]):
            a = patch_sweep(network, sites=names, output=output)
            assert same_sweeps(a, patch_sweep(passing, sites=there, output=output))
        for value in ("mean", "zero", "resample"):
            a = ablation_sweep(network, names, value=value)
            b = ablation_sweep(passing, there, value=value)
            torch.testing.assert_close(a.values, b.values, **TOLERANCE)
    # the one path past the hidden layers, and one through them
    through = [f"h{layer}.0" for layer in range(last + 1)]
    on_the_way = [f"h{layer}.{size}" for layer, size in enumerate(sizes[1:-1])]
    a = path_sweep(network, [["x0", "y0"], ["x0", *through, "y0"]])
    b = path_sweep(passing, [["x0", *on_the_way, "y0"], ["x0", *through, "y0"]])
    assert same_sweeps(a, b)
    assert a.site_names[0] == "x0 -> y0"


def test_paths_through_direct_connections_are_listed_last():
    """From an input there is one more path to each output; from a hidden unit there is none."""
    network, _ = with_direct(13, (2, 2, 1))
    assert [str(path) for path in paths_from(network, "x0")] == [
        "(x0, h0.0, y0)",
        "(x0, h0.1, y0)",
        "(x0, y0)",
    ]
    assert paths_from(network, "h0.0") == [(network.place("h0.0"), network.place("y0"))]
    assert len(paths_from(network, "x0", "h0.1")) == 1
    with pytest.raises(XorMiError, match="or an input and an output"):
        path_sweep(network, [["h0.0", "h0.1"]])


def test_all_paths_of_a_linear_network_add_up_to_the_input_s_effect():
    """With identity activations the effects along all paths from x0, the direct one among them, sum
    to the effect of patching x0.
    """
    network, _ = with_direct(14, (2, 3, 2, 1), act_fn="identity")
    summed = path_sweep(network, paths_from(network, "x0")).effect.sum(0)
    torch.testing.assert_close(summed, patch_sweep(network, sites=["x0"]).effect[0], **TOLERANCE)


def test_direct_logit_counts_direct_terms():
    """An input's own share is its direct weight times its change, a direct edge's the same; with
    the last hidden units they sum to the whole change of the logit.
    """
    network, _ = with_direct(15, (2, 3, 1))
    direct = network.direct.weight.detach()[0]
    clean, corrupted = network.rows(["01"]), network.rows(["10"])
    request = {"pairs": (clean, corrupted), "method": "direct_logit"}
    inputs = attribute(network, sites=["x0", "x1"], **request).scores[0, :, 0]
    edges = attribute(network, sites=["x0->y0", "x1->y0"], **request).scores[0, :, 0]
    units = attribute(network, **request).scores[0, :, 0]
    torch.testing.assert_close(inputs, direct * (clean - corrupted)[0], **TOLERANCE)
    torch.testing.assert_close(edges, inputs)
    whole = attribute(network, sites=["y0"], **request).scores[0, 0, 0]
    with torch.no_grad():
        change = (network(clean) - network(corrupted))[0, 0]
    torch.testing.assert_close(whole, change, **TOLERANCE)
    torch.testing.assert_close(inputs.sum() + units.sum(), whole, **TOLERANCE)


def test_every_method_agrees_with_the_network_of_passing_units():
    """Scores of edges into the output, direct ones among them, by every method but chance."""
    network, passing = with_direct(16, (2, 2, 1), act_fn="relu")
    here = ["h0.0->y0", "h0.1->y0", "x0->y0", "x1->y0"]
    there = ["h0.0->y0", "h0.1->y0", "h0.2->y0", "h0.3->y0"]
    for method in METHODS:
        if method != "random":
            a = attribute(network, sites=here, method=method).scores
            b = attribute(passing, sites=there, method=method).scores
            torch.testing.assert_close(a, b, **TOLERANCE)


def test_the_memory_bound_counts_direct_edges():
    """The estimate of what an input takes is at least what the hooks of one forward hold and at most
    three times that, and many small runs give what one run does.
    """
    network, _ = with_direct(17, (3, 2, 4))
    with network.edge_hooks():
        _, cache = network.run_with_cache(network.rows(["010"]), return_cache_object=False)
        held = sum(value.numel() * value.element_size() for value in cache.values())
        estimate = 2**20 / (2 * inputs_per_run(network, network.rows(), 2**20))
    assert held <= estimate * 1.001
    assert estimate <= 3 * held
    edges = sites(network, "edge")
    many = patch_sweep(network, sites=edges, max_batch_bytes=1, pairs=[("010", "111")])
    assert same_sweeps(many, patch_sweep(network, sites=edges, pairs=[("010", "111")]))


# everything at once, against TransformerLens


def everything(seed):
    """Levels -1/+1, argmax, two activations, steps that are on at zero, direct connections."""
    layers = random_layers(seed, (2, 3, 2, 2))
    direct = np.random.default_rng(seed).normal(size=(2, 2))
    return HookedMLP.from_weights(
        layers,
        direct=direct,
        act_fn=("tanh", "sign"),
        step_at_zero=1,
        input_levels=(-1.0, 1.0),
        **ARGMAX,
    )


@pytest.mark.parametrize("seed", range(2))
def test_every_patched_number_is_that_of_transformer_lens_hooks(seed):
    """For all kinds of site: the score and the decision after run_with_hooks, hook by hook."""
    model = everything(seed)
    for kind in ("unit", "edge", "input", "logit"):
        places = sites(model, kind)
        sweep = patch_sweep(model, sites=places)
        with model.edge_hooks(kind == "edge"):
            for effect, (pair, site) in zip(sweep, product(sweep.pairs, places), strict=True):
                clean, corrupted = (model.rows([row]) for row in pair)
                _, cache = model.run_with_cache(clean, return_cache_object=False)
                where = (slice(None), *site.index)

                def write(value, hook, where=where, cache=cache):
                    new = value.clone()
                    new[where] = cache[hook.name][where]
                    return new

                with torch.no_grad():
                    outputs = model.run_with_hooks(corrupted, fwd_hooks=[(site.hook_name, write)])
                score = (outputs[0, 1] - outputs[0, 0]).item()
                assert effect.patched == pytest.approx(score, abs=1e-9)
                assert effect.decision_patched == int(score > 0)


def test_unpatched_decisions_are_the_network_s_own():
    """What a sweep says of the runs before a patch is what the network decides by its rule."""
    model = everything(4)
    sweep = patch_sweep(model)
    own = {
        "".join(map(str, row)): decided
        for row, decided in zip(truth_rows(2), decisions(model)[:, 0].tolist(), strict=True)
    }
    of_clean, of_corrupted = sweep.decided.decisions_before.tolist()
    assert of_clean == [own[clean] for clean, _ in sweep.pairs]
    assert of_corrupted == [own[corrupted] for _, corrupted in sweep.pairs]
