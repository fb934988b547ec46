"""Counts of subcircuits and of interpretations, held against a slow listing and published facts."""

import json
from dataclasses import replace
from itertools import pairwise

import demo_network
import numpy as np
import pytest
import torch
from oracles import counting

from xor_mi.errors import XorMiError
from xor_mi.graph import Subcircuit
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.plots import counts_figure
from xor_mi.search import (
    Convention,
    ConventionCounts,
    ExplanationCounts,
    as_network,
    compare_conventions,
    count_perfect_subcircuits,
    find_subcircuits,
    identifiability_report,
)
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

DEMO = counting.Network(
    layers=demo_network.LAYERS,
    act_fns=("leaky_relu",) * 3,
    slope=demo_network.SLOPE,
    step_at_zero=0,
    levels=(0, 1),
    cut=demo_network.THRESHOLD,
    argmax=False,
    tables=((0, 1, 1, 0),),
)


def test_the_released_network_has_the_counts_that_others_count():
    """Under both presets subcircuits, perfect ones, interpretations and alignments of the released
    network are those of an independent count.
    """
    model = HookedMLP.from_weights(
        demo_network.LAYERS,
        act_fn="leaky_relu",
        out_act_fn="leaky_relu",
        negative_slope=demo_network.SLOPE,
        decision_threshold=demo_network.THRESHOLD,
        target="XOR",
    )
    presets = {"meloux_paper": "meloux_paper", "meloux_code": "meloux_code"}
    table = compare_conventions(model, conventions=presets).frame().set_index("convention")
    for preset, pairs, facts in (
        ("meloux_paper", "all", demo_network.PAPER),
        ("meloux_code", "unordered", demo_network.CODE),
    ):
        found = table.loc[preset]
        assert found[["n_subcircuits", "n_perfect", "n_interpretations"]].tolist() == [
            *facts.values()
        ]
        aligned = found[["n_aligned", "n_alignments"]].tolist()
        assert tuple(aligned) == demo_network.ALIGNED[pairs]


def test_the_slow_count_of_the_released_network_agrees():
    """A listing in plain Python, from the definitions, comes to the same numbers as published for
    the released code.
    """
    convention = Convention.meloux_code()
    rules = counting.Rules(
        all_units=convention.all_units,
        decision=convention.decision,
        constants=convention.constants,
        ban_parity=convention.ban_parity,
    )
    total, right = counting.perfect(DEMO, rules)
    n_interpretations = sum(counting.n_interpretations(DEMO, part, rules) for part in right)
    assert {
        "subcircuits": total,
        "perfect": len(right),
        "interpretations": n_interpretations,
    } == demo_network.CODE


@pytest.mark.parametrize("preset", ["default", "meloux_paper", "meloux_code"])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 1, 1, 1), (2, 2, 1, 1), (3, 2, 2, 1)]
)
def test_a_last_hidden_layer_of_any_width_is_counted(sizes, preset):
    """One unit in the last hidden layer too: counted as many as are listed, and some are."""
    some = 0
    for seed in range(2):
        d_in, *d_hidden, _ = sizes
        model = HookedMLP(HookedMLPConfig(d_in, tuple(d_hidden), seed=seed, target="x0"))
        listed = find_subcircuits(model, convention=preset).n_perfect
        assert count_perfect_subcircuits(model, convention=preset) == listed
        reference = Convention(reference="model")
        n_alike = find_subcircuits(model, convention=reference).n_perfect
        assert count_perfect_subcircuits(model, convention=reference) == n_alike
        some += n_alike
    assert some


def test_a_layer_of_more_than_16_units_is_listed_whole():
    """17 units read by one output: the last of them is kept in as many subcircuits as the first,
    where they are copies.
    """
    copies = [(torch.ones(17, 1), torch.zeros(17)), (torch.ones(1, 17), torch.zeros(1))]
    model = HookedMLP.from_weights(copies, target="x0", decision_threshold=0.5)
    search = find_subcircuits(model)
    assert search.n_perfect == search.total == 2**17 - 1
    n_kept = [int((layer > 0).sum()) for layer in search.masks[0].T]
    assert n_kept == [2**16] * 17
    last = np.unique(search.masks[1])
    assert len(last) == search.n_perfect
    assert search[search.n_perfect - 1].units == tuple(model.units)


@pytest.mark.parametrize("all_units", [True, False])
def test_a_count_beyond_64_bits_is_whole(all_units):
    """XOR by two units beside 38 that are dead: each of these may be dropped or read any inputs."""
    n_dead = 38
    weight = torch.zeros(n_dead + 2, 2, dtype=torch.float64)
    weight[:2] = 1
    bias = torch.zeros(n_dead + 2, dtype=torch.float64)
    bias[1] = -1
    read = torch.ones(1, n_dead + 2, dtype=torch.float64)
    read[0, 1] = -2
    layers = [(weight, bias), (read, torch.zeros(1, dtype=torch.float64))]
    model = HookedMLP.from_weights(layers, target="XOR", decision_threshold=0.5)
    expected = 4**n_dead if all_units else 4**n_dead - 3**n_dead
    assert count_perfect_subcircuits(model, convention=Convention(all_units=all_units)) == expected


@pytest.mark.parametrize(
    ("sizes", "sources", "says"),
    [
        ((2, 2), (((0, 1), (0, 1)),), "not layer sizes"),
        ((2, 2, 1), (((0, 1), ()),), "a tuple of 2, one per linear layer"),
        ((2, 2, 1), (((0, 1),), ((0,),)), "a tuple of 2, one per target"),
        ((2, 2, 1), (((0, 1), ()), ((0,), (0,))), "a tuple of 1, one per target"),
        ((2, 2, 1), (((0, 2), ()), ((0,),)), "some of"),
        ((2, 2, 1), (((0, 1), ()), ((1,),)), r"some of \(0,\)"),
        ((2, 2, 1), (((1, 0), ()), ((0,),)), "ascending"),
        ((2, 2, 1), (((0, 0), ()), ((0,),)), "ascending"),
        ((2, 2, 1), (([0, 1], ()), ((0,),)), "give a tuple"),
        ((2, 2, 1), (((0, True), ()), ((0,),)), "some of"),
        ((2, 1, 2), (((0, 1),), ((0,), ())), "every output"),
    ],
)
def test_what_is_no_subcircuit_is_refused(sizes, sources, says):
    """Sizes, lengths and sources that are not there say which they are, in one line."""
    with pytest.raises(XorMiError, match=says):
        Subcircuit(sizes, sources)


def test_what_would_be_too_large_is_refused_at_once():
    """Sizes are multiplied before anything is made, and the number stands in the refusal."""
    wide = HookedMLP(HookedMLPConfig(2, (5_000,), target="XOR"))
    with pytest.raises(XorMiError, match="15,000 edges are more than the 10,000"):
        find_subcircuits(wide)
    with pytest.raises(XorMiError, match=r"about 10\^.* combinations in one half"):
        count_perfect_subcircuits(wide)
    long = HookedMLP(HookedMLPConfig(2, (12, 2), act_fn="tanh", target="XOR"))
    with pytest.raises(XorMiError, match="16,777,216 choices of what the last hidden layer"):
        count_perfect_subcircuits(long)
    noisy = Convention(n_noisy=10**12, noise_sd=0.1)
    with pytest.raises(XorMiError, match="noisy copies of 4 rows would take .* smaller n_noisy"):
        find_subcircuits(HookedMLP(HookedMLPConfig(target="XOR")), convention=noisy)


def test_a_subcircuit_keeps_all_conventions_of_its_network():
    """As a network of its own it has every setting but those that its weights decide, and is in
    float64, whatever the network is in.
    """
    settings = {
        "act_fn": "leaky_relu",
        "out_act_fn": "sigmoid",
        "negative_slope": 0.2,
        "step_at_zero": 1,
        "input_levels": (-1.0, 1.0),
        "decision_threshold": 0.25,
        "loss_fn": "bce",
        "target": "x0 & ~x1",
        "seed": 7,
        "use_edge_result": True,
    }
    model = HookedMLP(HookedMLPConfig(**settings))
    own = as_network(model, Subcircuit((2, 2, 1), (((0, 1), ()), ((0,),))))
    assert own.cfg.conventions() == model.cfg.conventions() | {"dtype": torch.float64}
    argmax = HookedMLP(HookedMLPConfig(2, (2,), 2, decision_rule="argmax", loss_fn="ce"))
    part = Subcircuit((2, 2, 2), (((0, 1), ()), ((0,), (0,))))
    assert as_network(argmax, part).cfg.conventions() == argmax.cfg.conventions() | {
        "dtype": torch.float64
    }


def test_counts_of_any_size_are_whole_in_frames_and_files(tmp_path):
    """Beyond 2^63 a count is a whole number in the frame, in its sum, as JSON and in words, and the
    figure draws it.
    """
    large = 3 * 2**70 + 1
    one = ExplanationCounts(
        name="default",
        convention=Convention(),
        n_subcircuits=large,
        n_perfect=large,
        n_minimal=None,
        n_interpretations=large,
    )
    counts = ConventionCounts((one, replace(one, name="again", n_minimal=2, n_interpretations=5)))
    table = counts.frame()
    assert table["n_interpretations"].sum() == large + 5
    assert table["n_subcircuits"].tolist() == [large, large]
    assert table["n_minimal"].isna().tolist() == [True, False]
    assert str(table["n_minimal"].dtype) == "Int64"
    content = json.loads(json.dumps([row.to_dict() for row in counts.counts]))
    assert [row["n_interpretations"] for row in content] == [large, 5]
    assert [row["n_minimal"] for row in content] == [None, 2]
    assert f"{large:,}" in str(counts)
    figure = counts_figure(counts)
    figure.write_html(tmp_path / "counts.html", include_plotlyjs=False)
    assert f"{large:,}" in figure.data[0].text


def test_a_report_holds_counts_beyond_64_bits():
    """A network with seven units has more interpretations than 64 bits hold, and its report comes
    out: in words, as a frame and as JSON.
    """
    weight = [[1.0, 1.0], [1.0, 1.0], *[[0.5, 0.25]] * 5]
    layers = [(weight, [0.0, -1.0, *[0.1] * 5]), ([[1.0, -2.0, *[0.0] * 5]], [-0.5])]
    report = identifiability_report(
        HookedMLP.from_weights(layers, target="XOR"), depth=1, conventions={"default": None}
    )
    assert report.frame()["n_interpretations"][0] > 2**63
    content = json.loads(json.dumps(report.to_dict()))
    of_each = [row["n_interpretations"] for row in content["subcircuits"]]
    assert max(of_each) > 2**63
    assert content["counts"][0]["n_interpretations"] == sum(of_each)
    assert report.subcircuits_frame()["n_interpretations"].sum() == sum(of_each)


def drawn(sizes, seed, **settings):
    """A network with drawn weights, and what it decides, undecided as 0.

    Half of the networks have whole numbers, so that sums are often equal.
    """
    d_in, *d_hidden, d_out = sizes
    cfg = HookedMLPConfig(d_in, tuple(d_hidden), d_out, seed=seed, **settings)
    rng = np.random.default_rng(seed)
    layers = []
    for before, after in pairwise(sizes):
        weights = rng.normal(0, 2, (after, before + 1))
        weights = weights.round() if seed % 2 else weights
        layers.append((weights[:, 1:], weights[:, 0]))
    model = HookedMLP(cfg).with_weights(layers, dtype=torch.float64)
    tables = (decisions(model) > 0).long().T.tolist()
    return model, BooleanFunction(d_in, tuple(map(tuple, tables)))


@pytest.mark.parametrize("settings", [{}, {"decision_rule": "argmax"}, {"act_fn": "tanh"}])
@pytest.mark.parametrize(
    "sizes", [(2, 3, 2), (2, 2, 3), (1, 2, 4), (2, 2, 2, 2), (2, 1, 2, 3), (2, 2, 2, 2, 2)]
)
def test_several_outputs_are_counted(sizes, settings):
    """By thresholds, or by which is the largest: as many as are listed."""
    counts = []
    for seed, all_units, ablation in ((0, True, "zero"), (1, False, "mean"), (2, False, "zero")):
        model, target = drawn(sizes, seed, **settings)
        convention = Convention(all_units=all_units, ablation=ablation)
        counts.append(count_perfect_subcircuits(model, target, convention=convention))
        assert counts[-1] == find_subcircuits(model, target, convention=convention).n_perfect
    assert any(counts)


def test_rows_of_which_no_output_or_several_should_be_largest_are_never_right():
    """Of three outputs one wins: labels with two ones, or none, are decided by no subcircuit."""
    model, _ = drawn((2, 2, 3), 0, decision_rule="argmax")
    for tables in (((0, 1, 1, 0), (0, 1, 0, 0), (1, 0, 0, 1)), ((0,) * 4,) * 3):
        target = BooleanFunction(2, tables)
        assert count_perfect_subcircuits(model, target) == 0
        assert find_subcircuits(model, target).n_perfect == 0


@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
@pytest.mark.parametrize(
    "sizes",
    [(2, 2, 2, 2, 1), (2, 1, 3, 2, 1), (2, 3, 2, 2, 1), (2, 2, 1, 2, 1), (1, 2, 2, 2, 2, 1)],
)
def test_more_than_two_hidden_layers_are_counted(sizes, act_fn):
    """As many as are listed, whatever the convention."""
    counts = []
    for seed, all_units, biases in ((0, True, "keep"), (1, False, "keep"), (3, False, "drop")):
        model, target = drawn(sizes, seed, act_fn=act_fn)
        convention = Convention(all_units=all_units, biases=biases)
        counts.append(count_perfect_subcircuits(model, target, convention=convention))
        assert counts[-1] == find_subcircuits(model, target, convention=convention).n_perfect
    assert any(counts)
