"""Ablation, interchange, paths and attribution on networks whose answers are known by hand."""

from itertools import product

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OR_AND

from xor_mi.errors import XorMiError
from xor_mi.handmade import from_gates, textbook_xor
from xor_mi.interventions import (
    METHODS,
    HighLevelModel,
    Site,
    ablation_sweep,
    all_pairs,
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
    subsets,
    subspace_accuracy,
)  # fmt: skip
from xor_mi.model import HookedMLP, HookedMLPConfig

pytestmark = pytest.mark.as_a_user

POST = "blocks.0.mlp.hook_post"


# sites


@pytest.mark.unchecked
def test_sites_of_every_kind(deep):
    """Counts by the layer sizes 3-4-2-2; every site is found again by its name."""
    counts = {kind: len(sites(deep, kind)) for kind in ("unit", "edge", "input", "logit", "hook")}
    assert counts == {"unit": 6, "edge": 3 * 4 + 4 * 2 + 2 * 2, "input": 3, "logit": 2, "hook": 6}
    for kind in ("unit", "edge", "input", "logit"):
        assert [site_of(deep, site.name) for site in sites(deep, kind)] == sites(deep, kind)
    assert site_of(deep, "blocks.0.mlp.hook_pre") == Site("blocks.0.mlp.hook_pre")
    assert repr(Site("blocks.0.attn.hook_z", (None, 2))) == "blocks.0.attn.hook_z[:, 2]"
    with pytest.raises(XorMiError, match="no kind of site 'layer'; kinds are: unit"):
        sites(deep, "layer")
    assert sites(deep, "neuron") == sites(deep, "unit")


def test_differing_pairs(textbook):
    """XOR: 8 of the 12 ordered pairs are decided differently."""
    pairs = differing_pairs(textbook)
    assert len(pairs) == 8
    assert all((a[0] ^ a[1]) != (b[0] ^ b[1]) for a, b in pairs)


# patching: the golden table of the 8 pairs with different labels


def test_and_parts_show_under_noising_and_or_parts_under_denoising():
    """One unit per part: noising any part of an AND breaks it, denoising none restores it; for an
    OR the other way round.
    """
    both = HookedMLP.from_weights([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [-1.5])], target="AND")
    either = HookedMLP.from_weights([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [-0.5])], target="OR")
    pair = [("11", "00")]
    found = {
        (name, direction): [
            effect.flips for effect in patch_sweep(model, pair, direction=direction)
        ]
        for name, model in (("and", both), ("or", either))
        for direction in ("noising", "denoising")
    }
    assert found == {
        ("and", "noising"): [True, True],
        ("and", "denoising"): [False, False],
        ("or", "noising"): [False, False],
        ("or", "denoising"): [True, True],
    }


def test_textbook_patch_table(textbook):
    """All 8 pairs, both units, both directions, by hand: output = h0 - 2 h1 with h = (0,0), (1,0),
    (1,0), (2,1).
    """
    hidden = {"00": (0, 0), "01": (1, 0), "10": (1, 0), "11": (2, 1)}
    pairs = differing_pairs(textbook)
    for direction in ("denoising", "noising"):
        for effect in patch_sweep(textbook, pairs, direction=direction):
            base, source = (
                (effect.corrupted_input, effect.clean_input)
                if direction == "denoising"
                else (effect.clean_input, effect.corrupted_input)
            )
            mixed = list(hidden[base])
            unit = int(effect.site[-1])
            mixed[unit] = hidden[source][unit]
            assert effect.patched == mixed[0] - 2 * mixed[1]


def test_all_units_together_give_the_other_run(trained):
    """Patching every hidden unit at once is the clean run; so is patching the whole hook or both
    inputs.
    """
    everything = [("h0.0", "h0.1"), "blocks.0.mlp.hook_post", ("x0", "x1")]
    sweep = patch_sweep(trained.model, sites=everything)
    for s in range(3):
        assert torch.allclose(sweep.patched[s], sweep.clean[0], atol=1e-5)
    assert sweep.frame()["site"].unique().tolist() == [
        "h0.0 + h0.1",
        "blocks.0.mlp.hook_post",
        "x0 + x1",
    ]
    assert sweep.coordinates.set == "sites of a set together"


def test_several_metrics_in_one_pass(textbook):
    """Metrics get the outputs of all pairs of one site, in order."""
    metrics = {
        "logit": lambda o: o[:, 0],
        "twice": lambda o: 2 * o[:, 0],
        "rank": lambda o: torch.arange(len(o)).float(),
    }
    frame = patch_sweep(textbook, metrics=metrics).frame()
    assert (frame["patched_twice"] == 2 * frame["patched_logit"]).all()
    assert frame["patched_rank"].tolist() == [p for p in range(12) for _ in range(2)]
    assert frame.loc[frame["why_no_fraction"] == "", "recovered_fraction_twice"].equals(
        frame.loc[frame["why_no_fraction"] == "", "recovered_fraction"].rename(
            "recovered_fraction_twice"
        )
    )


def test_plots_are_figures_of_the_numbers(textbook):
    """`.plot()` of a patching and of an ablation sweep: values, marks and zero-centred colours."""
    sweep = patch_sweep(textbook)
    assert torch.equal(torch.tensor(sweep.plot().data[0].z), sweep.effect.T)
    ablated = ablation_sweep(textbook, value="zero", subsets="all")
    heatmap = ablated.plot().data[0]
    assert torch.equal(torch.tensor(heatmap.z), ablated.after - ablated.before[0])
    assert heatmap.zmin == -heatmap.zmax
    assert list(heatmap.y) == ["h0.0", "h0.1", "h0.0 + h0.1"]


# ablation


def test_textbook_ablations_golden(textbook):
    """Zero: without the OR (0,0,0,-2), without the AND (0,1,1,2) = OR. Mean (1, 1/4): NAND, and
    (-.5,.5,.5,1.5), which ties twice.
    """
    assert ablation_sweep(textbook, value="zero").after.tolist() == [[0, 0, 0, -2], [0, 1, 1, 2]]
    mean = ablation_sweep(textbook, value="mean")
    assert mean.after.tolist() == [[1, 1, 1, -1], [-0.5, 0.5, 0.5, 1.5]]
    assert mean.decisions.tolist() == [[1, 1, 1, 0], [0, -1, -1, 1]]
    frame = mean.frame().set_index(["site", "row"])
    assert frame.loc[("h0.1", "01"), "undecided"]
    assert not frame.loc[("h0.1", "01"), "right"]
    summary = mean.summary().set_index("site")
    assert summary["accuracy"].tolist() == [0.75, 0.25]
    assert summary["n_undecided"].tolist() == [0, 2]
    assert mean.value == "mean over the rows run on"


def test_redundancy_hides_from_single_ablation():
    """With every unit doubled, mean-ablating one OR copy changes no decision; ablating both
    does.
    """
    model = HookedMLP.from_weights(
        [([[1, 1]] * 4, [0, 0, -1, -1]), ([[0.5, 0.5, -1, -1]], [0])],
        decision_threshold=0.6,
        target="XOR",
    )
    swept = ablation_sweep(model, value="mean", subsets="all").summary().set_index("site")
    assert len(swept) == 15
    assert swept.loc["h0.0", "accuracy"] == swept.loc["h0.1", "accuracy"] == 1.0
    assert swept.loc["h0.0 + h0.1", "accuracy"] == 0.75


def test_ablation_by_value_reference_and_resampling(deep):
    """A given tensor, a mean over stated rows, and a resample that gives every input another one's
    activation.
    """
    _, cache = deep.run_with_cache(deep.rows())
    given = ablation_sweep(deep, ["h1.0"], value=torch.tensor(0.25), output=1)
    bias, weight = deep.fc3.bias[1], deep.fc3.weight[1]
    assert torch.allclose(
        given.after[0], 0.25 * weight[0] + cache["post", 1][:, 1] * weight[1] + bias, atol=1e-6
    )
    over = ablation_sweep(deep, ["h1.0"], value="mean", over=["000", "111"], output=1)
    mean = (cache["post", 1][0, 0] + cache["post", 1][7, 0]) / 2
    assert torch.allclose(
        over.after[0], mean * weight[0] + cache["post", 1][:, 1] * weight[1] + bias, atol=1e-6
    )
    assert over.value == "mean over given rows"
    resampled = ablation_sweep(
        deep, ["h0.0", "h0.1", "h0.2", "h0.3"], value="resample", subsets="single", seed=3
    )
    assert not torch.allclose(resampled.after, resampled.before[0].expand_as(resampled.after))
    whole = ablation_sweep(deep, ["blocks.1.mlp.hook_post"], value="resample", seed=3)
    assert sorted(whole.after[0].tolist()) == pytest.approx(
        sorted(whole.before[0].tolist()), abs=1e-6
    )
    assert not torch.isclose(whole.after[0], whole.before[0], atol=1e-7).all()


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("settings", "message"),
    [({"value": "median"}, "no ablation value 'median'"), ({"subsets": "triples"}, "no subset rule 'triples'"), ({"sites": []}, "no sites given"),
     ({"value": torch.ones(3)}, "does not fit"), ({"value": "resample", "rows": ["01"]}, "at least two inputs"), ({"rows": ["0a"]}, "is not bits")],
)  # fmt: skip
def test_ablation_mistakes(textbook, settings, message):
    """Unknown words, nothing to ablate, values that do not fit."""
    with pytest.raises(XorMiError, match=message):
        ablation_sweep(textbook, **settings)


def test_too_many_subsets_are_refused_before_they_run():
    """Twenty units have a million subsets: the number is said at once."""
    with pytest.raises(XorMiError, match="1048575 subsets of 20 sites"):
        ablation_sweep(HookedMLP(HookedMLPConfig(d_hidden=(20,))), subsets="all")


# interchange


def test_interchange_by_hand(textbook):
    """Each unit from its own source: OR's value from 11 (2), AND's from 00 (0), gives 2 - 0 = 2."""
    found = interchange(textbook, {"h0.0": "11", "h0.1": "00"}, base="01")
    assert (found.outputs, found.decisions) == ((2.0,), (1,))
    assert found.sources == {"h0.0": "11", "h0.1": "00"}
    with pytest.raises(XorMiError, match="no sources given"):
        interchange(textbook, {}, base="01")


def test_textbook_interchange_accuracy_golden(textbook):
    """OR on unit 0 and AND on unit 1: 16 of 16 each by decision, 10 of 16 by exact value; swapped
    labels 6 of 16 each.
    """
    found = interchange_accuracy(textbook, OR_AND, {"either": "h0.0", "both": "h0.1"})
    assert found.n_agreed == {"either": 16, "both": 16, "(joint)": 64}
    assert (found.n_matched_value["either"], found.n_matched_value["both"]) == (10, 10)
    assert found.accuracy() == 1
    swapped = interchange_accuracy(
        textbook, OR_AND, {"either": "h0.1", "both": "h0.0"}, joint=False
    )
    assert swapped.n_agreed == {"either": 6, "both": 6}
    assert found.frame()["n_runs"].tolist() == [16, 16, 64]


def rotated_and(bias=-1.8):
    """AND through two units that are the inputs turned by 20 degrees: h = Rot(20) x, output h0 + h1
    - 1.8 in the turned-back frame.
    """
    angle = torch.deg2rad(torch.tensor(20.0, dtype=torch.float64))
    rotation = torch.stack(
        [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]
    )
    readout = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    return HookedMLP.from_weights(
        [(rotation, torch.zeros(2).double()), (readout, torch.tensor([bias]).double())],
        act_fn="identity",
        target="AND",
    ), rotation


def test_rotated_network_needs_the_rotated_basis():
    """By units 15 of 16 (swapped 11 of 16); along the rotated axes all 16 of both variables come
    out right.
    """
    inputs = HighLevelModel({"first": "x0", "second": "x1"}, "first & second")
    model, rotation = rotated_and()
    by_units = interchange_accuracy(model, inputs, {"first": "h0.0", "second": "h0.1"}, joint=False)
    assert by_units.n_agreed == {"first": 15, "second": 15}
    swapped = interchange_accuracy(model, inputs, {"first": "h0.1", "second": "h0.0"}, joint=False)
    assert swapped.n_agreed == {"first": 11, "second": 11}
    for name, axis in (("first", 0), ("second", 1)):
        basis = rotation[:, axis : axis + 1]
        found = subspace_accuracy(model, inputs, name, "blocks.0.mlp.hook_post", basis)
        assert (found.n_agreed, found.n_runs) == ({name: 16}, {name: 16})


def test_das_finds_it_and_its_controls_do_not():
    """DAS reaches 16 of 16 on the rotated network; the placebo of the same size does not."""
    inputs = HighLevelModel({"first": "x0", "second": "x1"}, "first & second")
    model, _ = rotated_and(
        bias=-1.6
    )  # DAS minimises cross-entropy, so it needs a margin that can be seen
    single = HookedMLP.from_weights(
        [(w.float(), b.float()) for w, b in model.float64_layers()], act_fn="identity", target="AND"
    )
    found = das_accuracy(single, inputs, "first", "blocks.0.mlp.hook_post", seed=1)
    assert torch.allclose(found.subspace.T @ found.subspace, torch.eye(1), atol=1e-5)
    table = found.frame().set_index("what")
    assert list(table.index) == ["das", "placebo", "arbitrary targets", "untrained network"]
    assert table.loc["das", "n_agreed"] == 16
    assert table.loc["placebo", "n_agreed"] < 16
    assert (table["n_runs"] == 16).all()


def test_subspaces_agree_with_unit_interchange(textbook):
    """TransformerLens' neuron basis and our unit interchange count the same, for every variable and
    unit.
    """
    from transformer_lens.tools.analysis.interchange import neuron_basis

    for variable, unit in product(("either", "both"), (0, 1)):
        ours = interchange_accuracy(textbook, OR_AND, {variable: f"h0.{unit}"}, joint=False)
        theirs = subspace_accuracy(
            textbook, OR_AND, variable, "blocks.0.mlp.hook_post", neuron_basis(2, [unit])
        )
        assert theirs.n_agreed == ours.n_agreed
        assert theirs.n_runs == ours.n_runs == {variable: 16}


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: interchange_accuracy(m, OR_AND, {"neither": "h0.0"}),
            "no variable 'neither'; the algorithm has: either, both",
        ),
        (
            lambda m: interchange_accuracy(m, OR_AND, {"either": "h0.0", "both": "h0.0"}),
            "h0.0 is there twice",
        ),
        (lambda m: interchange_accuracy(m, OR_AND, {}), "align at least one"),
        (lambda m: HighLevelModel({"a": "x0"}, "a & q"), "no variable 'q'"),
        (lambda m: HighLevelModel({}, "1"), "at least one variable"),
        (
            lambda m: subspace_accuracy(m, OR_AND, "either", "hook_nope", torch.eye(2)),
            "no hook 'hook_nope'",
        ),
        (
            lambda m: subspace_accuracy(m, OR_AND, "nope", "blocks.0.mlp.hook_post", torch.eye(2)),
            "no variable 'nope'",
        ),
    ],
)
def test_interchange_mistakes(textbook, call, message):
    """Unknown variables, shared sites, algorithms that make no sense."""
    with pytest.raises(XorMiError, match=message):
        call(textbook)


# paths


def test_paths_tell_mediation_from_a_direct_effect():
    """h0.0 acts on y0 through h1.0 only (h1.1 ignores it): the path through h1.0 carries all of its
    effect, the other none.
    """
    model = HookedMLP.from_weights(
        [([[1, 0], [0, 1]], [0, 0]), ([[2, 0], [0, 3]], [0, 0]), ([[1, 1]], [0])],
        decision_threshold=0.5,
    )
    both = path_sweep(model, paths_from(model, "h0.0"), [("11", "00")])
    assert [effect.site for effect in both] == ["h0.0 -> h1.0 -> y0", "h0.0 -> h1.1 -> y0"]
    assert both.effect.tolist() == [[2.0], [0.0]]
    assert patch(model, "11", "00", "h0.0").effect == 2.0
    assert path_sweep(model, [["x1", "h0.1", "h1.1"]], [("11", "00")]).effect.tolist() == [[3.0]]


def test_path_effects_sum_to_the_unit_effect_in_a_linear_network(deep):
    """Without activation functions the paths out of a unit share its whole effect between them."""
    linear = HookedMLP.from_weights(deep.float64_layers(), act_fn="identity")
    sweep = path_sweep(linear, paths_from(linear, "x1", "y1"), output=1)
    unit = patch_sweep(linear, sites=["x1"], output=1)
    assert sweep.effect.abs().max() > 1e-3
    assert torch.allclose(sweep.effect.sum(0), unit.effect[0], atol=1e-6)
    assert len(sweep.sites) == 4 * 2


def test_a_path_of_one_edge_is_that_edge(deep):
    """The path h0.2 -> h1.1 is the patch of that edge."""
    edge = patch_sweep(deep, sites=["h0.2->h1.1"])
    assert torch.allclose(path_sweep(deep, [["h0.2", "h1.1"]]).effect, edge.effect, atol=1e-6)
    assert edge.effect.abs().max() > 1e-4
    assert not deep.cfg.use_edge_result


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["x0", "h1.0"], "is not a path"),
        (["h0.0"], "is not a path"),
        (["x0", "h0.9"], "no unit or edge"),
        (["x0->h0.0", "h1.0"], "is an edge"),
    ],
)
def test_what_is_no_path(deep, path, message):
    """Skipped layers, single units, unknown units, edges."""
    with pytest.raises(XorMiError, match=message):
        path_sweep(deep, [path])


# attribution


def test_at_the_relu_kink_gradients_are_zero_and_patching_is_not(textbook):
    """On corrupted 00 both pre-activations are at or below 0: attribution says nothing matters
    there, exact patching says otherwise.
    """
    pre = [Site("blocks.0.mlp.hook_pre", (k,)) for k in (0, 1)]
    pairs = [("11", "00")]
    assert attribute(textbook, method="attribution_patching", pairs=pairs, sites=pre).frame()[
        "score"
    ].tolist() == [0.0, 0.0]
    assert attribute(textbook, method="exact_patching", pairs=pairs, sites=pre).frame()[
        "score"
    ].tolist() == [2.0, -2.0]
    assert attribute(textbook, method="integrated_gradients", pairs=pairs, sites=pre).frame()[
        "score"
    ].tolist() == pytest.approx([2.0, -2.0], abs=0.1)


def test_methods_coincide_where_they_must(deep):
    """On the last hidden layer of a network with a linear readout every method but chance is
    exact.
    """
    last = ["h1.0", "h1.1"]
    table = score_methods(deep, sites=last).frame().set_index("method")
    assert set(table.index) == set(METHODS)
    for name in METHODS:
        assert (table.loc[name, "mean_abs_error"] < 1e-6) == (name != "random"), name
    assert table.loc["attribution_patching", "sign_agreement"] == 1
    first = score_methods(deep, sites=["h0.0", "h0.1"]).frame().set_index("method")
    assert first.loc["exact_patching", "mean_abs_error"] == 0
    assert (
        0
        < first.loc["attribution_patching", "mean_abs_error"]
        < first.loc["random", "mean_abs_error"]
    )


def test_shapley_and_integrated_gradients_are_complete(deep):
    """Scores of a whole layer sum to the metric's whole change, clean - corrupted."""
    units = [f"h0.{k}" for k in range(4)]
    sweep = patch_sweep(deep, sites=units)
    change = (sweep.clean - sweep.corrupted)[0]
    for method in ("shapley", "integrated_gradients"):
        total = torch.tensor(
            attribute(deep, method=method, sites=units)
            .frame()
            .groupby("pair", sort=False)["score"]
            .sum()
            .tolist()
        )
        assert torch.allclose(total, change, atol=1e-4), method


def test_shapley_by_hand(textbook):
    """Corrupted 00, clean 11: values 0 and 0; OR alone +2, AND alone -2, both 0: Shapley +2 and
    -2.
    """
    assert attribute(textbook, method="shapley", pairs=[("11", "00")]).frame()[
        "score"
    ].tolist() == [
        2.0,
        -2.0,
    ]


@pytest.mark.unchecked
def test_attribution_mistakes(textbook):
    """Unknown methods, too many sites for Shapley, a metric that is not a logit for the direct
    contribution.
    """
    with pytest.raises(XorMiError, match="no attribution method 'gradcam'"):
        attribute(textbook, method="gradcam")
    with pytest.raises(XorMiError, match="13 sites need 2\\^13"):
        attribute(HookedMLP(HookedMLPConfig(d_hidden=(13,))), method="shapley")
    with pytest.raises(XorMiError, match="measures a logit itself"):
        attribute(textbook, method="direct_logit", metrics=lambda o: o[:, 0] ** 2 + 1)


@pytest.mark.unchecked
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"random"}))  # which reads no metric
@pytest.mark.parametrize(
    "metric", [lambda o: o[:, 0].mean(), lambda o: o, lambda o: None, lambda o: "high"]
)
def test_every_method_wants_one_number_per_example(textbook, method, metric):
    """One number for all, a column too many, nothing, and a word are refused by each alike."""
    with pytest.raises(XorMiError, match="one number (each|per example)|measures a logit itself"):
        attribute(textbook, method=method, metrics=metric)


def test_a_method_of_ones_own(textbook):
    """Anything with the signature can be scored."""

    def nothing(model, clean, corrupted, sites, metric):
        return torch.zeros(len(sites), len(clean))

    table = score_methods(textbook, methods={"nothing": nothing}).frame()
    assert table.loc[0, "mean_abs_error"] > 0
    assert table["correlation"].isna().all()


# one shape for every result

MARGIN_AND_LOGIT = {
    "margin": lambda outputs: outputs[:, 0] - 0.5,
    "logit": lambda outputs: outputs[:, 0],
}


def test_ablation_in_several_metrics(textbook):
    """Metrics are the first axis; decisions, flips and right answers are the network's own whatever
    the metrics.
    """
    plain = ablation_sweep(textbook, value="zero")
    both = ablation_sweep(textbook, value="zero", metrics=MARGIN_AND_LOGIT)
    assert both.values.shape == (2, 2, 4)
    assert torch.equal(both.values[1], plain.values[0])
    assert torch.equal(both.after, plain.after - 0.5)
    assert torch.equal(both.effect, plain.effect)
    assert torch.equal(both.decisions, plain.decisions)
    own, default = both.frame(), plain.frame()
    assert (own["before_margin"] == default["before_output"] - 0.5).all()
    assert own["effect_logit"].equals(default["effect_output"])
    for column in ("decision_before", "decision_after", "flips", "right"):
        assert own[column].equals(default[column]), column
    assert (own["effect_margin"] == own["effect_logit"]).all()
    summary = both.summary()
    assert (summary["mean_effect_margin"] == summary["mean_effect_logit"]).all()
    assert summary["accuracy"].equals(plain.summary()["accuracy"])


def test_paths_in_several_metrics(textbook):
    """A metric of the outputs is read after each path; what is decided stays the output."""
    plain = path_sweep(textbook, paths_from(textbook, "x0"))
    both = path_sweep(textbook, paths_from(textbook, "x0"), metrics=MARGIN_AND_LOGIT)
    assert both.metrics == ("margin", "logit")
    assert torch.equal(both["logit"].values, plain.values)
    assert torch.equal(both.patched, plain.patched - 0.5)
    assert torch.equal(both.decisions, plain.decisions)
    assert plain.effect.abs().max() > 0


def test_attribution_in_several_metrics(textbook):
    """One score per metric, site and pair; the frame goes metric by metric, pair by pair."""
    pairs = [("01", "11"), ("00", "10")]
    plain = attribute(textbook, pairs, method="shapley")
    metrics = {"twice": lambda outputs: 2 * outputs[:, 0], "logit": lambda outputs: outputs[:, 0]}
    both = attribute(textbook, pairs, method="shapley", metrics=metrics)
    assert both.scores.shape == (2, 2, 2)
    assert torch.equal(both.scores[1], plain.scores[0])
    assert torch.equal(both.scores[0], 2 * plain.scores[0])
    frame = both.frame()
    assert list(frame) == ["pair", "site", "method", "metric", "score"]
    assert frame["metric"].tolist() == ["twice"] * 4 + ["logit"] * 4
    assert frame["pair"].tolist() == ["01 -> 11", "01 -> 11", "00 -> 10", "00 -> 10"] * 2
    cell = frame.set_index(["metric", "pair", "site"])["score"]
    assert cell["twice", "01 -> 11", "h0.1"] == both.scores[0, 1, 0]
    table = score_methods(textbook, pairs, metrics=metrics).frame().set_index(["metric", "method"])
    errors = table["mean_abs_error"]
    assert errors["twice", "attribution_patching"] == 2 * errors["logit", "attribution_patching"]
    assert len(table) == 2 * len(METHODS)


def test_attribution_of_another_output(deep):
    """`output` names the default metric, as everywhere."""
    exact = attribute(deep, sites=["h0.0"], output=1)
    assert torch.equal(exact.scores[0], patch_sweep(deep, sites=["h0.0"], output=1).effect)
    with pytest.raises(XorMiError, match="no output 2"):
        attribute(deep, output=2)


def test_one_patch_is_a_line_of_the_sweep(textbook):
    """A single effect's table is that line; an interchange's has a line per output."""
    sweep = patch_sweep(textbook, [("01", "11")])
    lines = pd.concat([effect.frame() for effect in sweep], ignore_index=True)
    pd.testing.assert_frame_equal(lines, sweep.frame())
    single = interchange(textbook, {"h0.0": "11", "h0.1": "00"}, base="01").frame()
    assert single.to_dict("records") == [
        {
            "base": "01",
            "sources": "h0.0 from 11, h0.1 from 00",
            "output": "y0",
            "value": 2.0,
            "decision": 1,
        }
    ]


def test_an_accuracy_of_several_variables_is_asked_by_name(textbook):
    """The joint one or the only one is the default; of several, nobody guesses."""
    only = interchange_accuracy(textbook, OR_AND, {"either": "h0.0"})
    assert only.accuracy() == only.accuracy("either") == 1
    apart = interchange_accuracy(textbook, OR_AND, {"either": "h0.0", "both": "h0.1"}, joint=False)
    with pytest.raises(XorMiError, match="there are: either, both"):
        apart.accuracy()
    assert "both (h0.1): 16 of 16 decided alike" in str(apart)
    controls = das_accuracy(textbook, OR_AND, "either", POST, epochs=2)
    assert controls.sites["placebo"] == POST
    assert controls.n_matched_value is None
    assert list(controls.frame()) == ["what", "control", "sites", "n_agreed", "n_runs", "accuracy"]
    assert controls.accuracy() == controls.accuracy("das")


@pytest.mark.parametrize("call", [subspace_accuracy, das_accuracy])
def test_a_subspace_lies_in_a_hook_or_some_of_its_units(textbook, call):
    """A hook is taken by name or as a Site; one unit of it has one dimension, and a hook of edges
    is refused with what to give instead.
    """
    basis = (torch.eye(2)[:, :1],) if call is subspace_accuracy else ()
    by_name = call(textbook, OR_AND, "either", POST, *basis)
    assert call(textbook, OR_AND, "either", Site(POST), *basis).n_agreed == by_name.n_agreed
    of_unit = call(textbook, OR_AND, "both", "h0.1", *[torch.eye(1) for _ in basis])
    assert next(iter(of_unit.n_agreed.values())) == 16
    with pytest.raises(XorMiError, match="holds a term per edge"):
        call(textbook, OR_AND, "either", "blocks.0.hook_edge", *basis)
    assert not textbook.cfg.use_edge_result


@pytest.mark.parametrize("rank", [0, 3])
def test_a_subspace_has_as_many_dimensions_as_fit(textbook, rank):
    """A rank below 1 or above the width is named."""
    with pytest.raises(XorMiError, match="rank must be a whole number of at least 1 and below 3"):
        das_accuracy(textbook, OR_AND, "either", POST, rank=rank)


def test_progress_reaches_every_bar(deep, monkeypatch):
    """`progress=False` silences chunks, paths, methods and fits; True is the default."""
    seen = []

    def recorded(items, *, doing, unit, total=None, progress=True):
        seen.append(progress)
        return items

    for module in ("_run", "_paths", "_attribution", "_method_scores", "_subspaces"):
        monkeypatch.setattr(f"xor_mi.interventions.{module}.progress_bar", recorded)
    one_input = HighLevelModel({"first": "x0"}, "first")
    calls = [
        lambda **how: patch_sweep(deep, max_batch_bytes=4096, **how),
        lambda **how: ablation_sweep(deep, max_batch_bytes=200, **how),
        lambda **how: path_sweep(deep, [["h0.0", "h1.0"]], **how),
        lambda **how: attribute(deep, **how),
        lambda **how: score_methods(deep, **how),
        lambda **how: interchange_accuracy(
            deep, one_input, {"first": "h0.0"}, max_batch_bytes=200, **how
        ),
        lambda **how: das_accuracy(deep, one_input, "first", POST, epochs=1, **how),
    ]
    for call in calls:
        seen.clear()
        call(progress=False)
        assert seen
        assert not any(seen)
        seen.clear()
        call()
        assert any(seen)


# properties


@given(
    st.integers(0, 10**6),
    st.sampled_from([(2,), (3,), (2, 3)]),
    st.sampled_from(["relu", "tanh", "gelu"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_every_sweep_leaves_the_model_alone(seed, hidden, act_fn, fails):
    """Weights, hooks, mode and edge switch are byte-equal before and after every kind of sweep,
    also when a hook raises.
    """
    model = HookedMLP(HookedMLPConfig(2, hidden, 1, act_fn=act_fn, seed=seed))
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def planted(value, hook):
        raise RuntimeError("planted")

    if fails:
        model.add_perma_hook("hook_logits", planted)
    calls = [
        lambda: patch_sweep(model, sites=[*subsets(["h0.0", "h0.1"]), "x0->h0.0"]),
        lambda: ablation_sweep(model, value="resample", subsets="all"),
        lambda: interchange_accuracy(model, OR_AND, {"either": "h0.0"}),
        lambda: path_sweep(model, paths_from(model, "x0")),
        lambda: score_methods(model),
    ]
    for call in calls:
        if fails:
            with pytest.raises(RuntimeError, match="planted"):
                call()
        else:
            call()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [
        name for name, point in model.hook_dict.items() if point.fwd_hooks or point.bwd_hooks
    ] == (["hook_logits"] if fails else [])
    assert not model.training
    assert not model.cfg.use_edge_result
    assert all(parameter.grad is None for parameter in model.parameters())


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_single_and_batched_patches_are_equal(seed):
    """Any network: the sweep's cells equal patches made one at a time."""
    model = HookedMLP(HookedMLPConfig(2, (3,), 1, act_fn="tanh", seed=seed))
    sweep = patch_sweep(model)
    for p, (clean, corrupted) in enumerate(all_pairs(2)[::5]):
        for s in range(3):
            assert patch(model, clean, corrupted, f"h0.{s}").patched == pytest.approx(
                sweep.patched[s, 5 * p].item(), abs=1e-6
            )


def test_the_callers_tensors_are_untouched(textbook):
    """Clean and corrupted tensors given as inputs are the same afterwards, even with a hook that
    writes in place and returns.
    """
    clean, corrupted = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    copies = clean.clone(), corrupted.clone()

    def overwrite(value, hook):
        value[:] = 0
        return value

    textbook.add_perma_hook("hook_embed", overwrite)
    patch_sweep(textbook, (clean, corrupted))
    assert torch.equal(clean, copies[0])
    assert torch.equal(corrupted, copies[1])


def test_gates_of_the_textbook_family_pass_the_interchange_test():
    """from_gates networks follow their own algorithm, whichever pair of gates they are made of."""
    model = from_gates(["x0>x1", "x1>x0"])
    one_sided = HighLevelModel({"left": "x0 > x1", "right": "x1 > x0"}, "left | right")
    assert interchange_accuracy(model, one_sided, {"left": "h0.0", "right": "h0.1"}).accuracy() == 1
    assert (
        interchange_accuracy(
            textbook_xor(), one_sided, {"left": "h0.0", "right": "h0.1"}
        ).accuracy()
        < 1
    )
