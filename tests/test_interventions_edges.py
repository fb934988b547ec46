"""Where interventions could go quietly wrong: chunks, overlapping sites, several outputs, rounding,
metrics of every kind, other models.
"""

import warnings
from functools import partial
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import OwnModel
from networks import OR_AND

from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.interventions import (
    METHODS,
    HighLevelModel,
    Site,
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
    sites,
    subsets,
    subspace_accuracy,
)
from xor_mi.model import HookedMLP, HookedMLPConfig

POST = "blocks.0.mlp.hook_post"


def test_a_chunk_stays_under_the_bound_and_no_row_is_run_twice(deep):
    """56 pairs x 6 units under 4 KiB: no forward is larger than the bound allows, and run are the 8
    different rows, and the pairs once per unit.
    """
    whole = patch_sweep(deep)
    batches = []
    deep.add_perma_hook("hook_embed", lambda value, hook: batches.append(len(value)))
    chunked = patch_sweep(deep, max_batch_bytes=4096)
    per_row = 2 * 2 * sum(deep.layer_sizes) * 4
    assert len(batches) > 10
    assert max(batches) * per_row <= 4096
    assert sum(batches) == 8 + 56 * 6
    assert torch.allclose(chunked.values, whole.values, atol=1e-6)
    assert torch.allclose(chunked.clean, whole.clean, atol=1e-6)
    assert torch.equal(chunked.decisions, whole.decisions)
    for value in (0, -1):
        with pytest.raises(XorMiError, match="max_batch_bytes is"):
            patch_sweep(deep, max_batch_bytes=value)


def test_chunks_on_a_users_model_and_a_metric_that_looks_at_places():
    """A metric that treats each pair differently gets the pairs of one site in order, however they
    were run.
    """
    clean, corrupted = (
        torch.rand(7, 3, generator=torch.Generator().manual_seed(1)),
        torch.zeros(7, 3),
    )
    weights = torch.arange(7.0)
    chosen = [Site("hook_first", k) for k in range(6)]
    metrics = {"weighted": lambda outputs: outputs[:, 0] * weights}
    whole = patch_sweep(OwnModel(), (clean, corrupted), chosen, metrics=metrics)
    assert whole.effect.abs().max() > 0.1
    assert torch.allclose(
        patch_sweep(
            OwnModel(), (clean, corrupted), chosen, metrics=metrics, max_batch_bytes=200
        ).values,
        whole.values,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("together", "said"),
    [
        (("h0.0", Site(POST, 0)), "h0.0 and .* overlap"),
        (("h0.1", Site(POST, -1)), "h0.1 and .* overlap"),
        (("h0.0", POST), "h0.0 and .* overlap"),
        ((Site(POST), Site(POST)), "hook_post is there twice"),
        (("x0->h0.0", Site("blocks.0.hook_edge", 0)), "x0->h0.0 and .* overlap"),
    ],
)
def test_sites_written_together_must_be_different_places(textbook, together, said):
    """The same place under another name, a negative index, a whole hook: which came last would
    decide, so it is refused.
    """
    with pytest.raises(XorMiError, match=said):
        patch_sweep(textbook, sites=[together])
    with pytest.raises(XorMiError, match=said):
        interchange(
            textbook,
            dict.fromkeys(together, "11")
            if len(set(together)) > 1
            else {together[0]: "11", POST: "00"},
            base="01",
        )
    with pytest.raises(XorMiError, match=said):
        interchange_accuracy(textbook, OR_AND, dict(zip(("either", "both"), together, strict=True)))


def test_decisions_are_the_networks_whatever_the_metrics(textbook):
    """Flips and the reason for no fraction come from the output against its threshold, not from a
    metric that has another zero.
    """
    pairs = [("01", "11"), ("00", "11")]
    plain = patch_sweep(textbook, pairs)
    other = patch_sweep(
        textbook,
        pairs,
        metrics={
            "margin": lambda outputs: outputs[:, 0] - 0.5,
            "negative": lambda outputs: -outputs[:, 0],
        },
    )
    assert torch.equal(plain.decisions, other.decisions)
    frame = other.frame()
    assert frame["flips"].tolist() == plain.frame()["flips"].tolist() == [False, True, False, True]
    assert (
        frame["why_no_fraction"].tolist()
        == frame["why_no_fraction_negative"].tolist()
        == ["", "", *["clean and corrupted are both decided 0"] * 2]
    )
    assert torch.equal(other["negative"].decisions, plain.decisions)
    assert frame["effect_negative"].tolist() == (-plain.frame()["effect_output"]).tolist()


def test_no_fraction_of_rounding():
    """Clean and corrupted that differ by rounding alone count as the same: no fraction of 1e15."""
    weights = [([[0.1, 0.2], [0.3, 0.0]], [0, 0]), ([[1, -1]], [0])]
    weights = [
        (torch.tensor(w, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
        for w, b in weights
    ]
    model = HookedMLP.from_weights(weights, decision_threshold=0.5)
    outputs = model(model.rows(["00", "11"])).flatten().tolist()
    assert 0 < abs(outputs[0] - outputs[1]) < 1e-15
    model.cfg.decision_threshold = 1e-17
    for effect in patch_sweep(model, [("00", "11"), ("00", "10")], ["h0.0", "h0.1"]):
        assert effect.recovered_fraction is None or abs(effect.recovered_fraction) < 10
        assert (effect.recovered_fraction is None) == bool(effect.why_no_fraction)


def test_direct_logit_is_of_the_output_asked_for():
    """Two outputs that agree on the pair are still told apart; edges and whole hooks of the last
    layer count, sites further back are 0.
    """
    model = HookedMLP.from_weights([([[1, 0], [0, 1]], [0, 0]), ([[1, 0], [0, 1]], [0, 0])])
    pairs = [("11", "00")]
    chosen = ["h0.0", "h0.1", "h0.1->y1", "h0.1->y0", POST, "y1", "y0", "x0"]
    scores = (
        attribute(
            model,
            method="direct_logit",
            pairs=pairs,
            sites=chosen,
            metrics=lambda outputs: outputs[:, 1],
        )
        .frame()["score"]
        .tolist()
    )
    assert scores == [0, 1, 1, 0, 1, 1, 0, 0]
    exact = (
        attribute(
            model,
            method="exact_patching",
            pairs=pairs,
            sites=chosen[:-1],
            metrics=lambda outputs: outputs[:, 1],
        )
        .frame()["score"]
        .tolist()
    )
    assert exact == pytest.approx(scores[:-1])


def test_score_methods_on_a_users_model_says_which_method_is_not_for_it():
    """One call scores all the others; the one that needs a HookedMLP has its reason in why_not."""
    clean, corrupted = (
        torch.rand(4, 3, generator=torch.Generator().manual_seed(1)),
        torch.zeros(4, 3),
    )
    table = score_methods(
        OwnModel(),
        pairs=(clean, corrupted),
        sites=[Site("hook_second", k) for k in range(4)],
        metrics=lambda o: o[:, 0],
    )
    table = table.frame().set_index("method")
    assert "HookedMLP" in table.loc["direct_logit", "why_not"]
    assert table.loc["exact_patching", "mean_abs_error"] == 0
    assert pd.isna(table.loc["direct_logit", "mean_abs_error"])
    assert (table.drop("direct_logit")["n_cells"] == 16).all()
    # the readout is linear in hook_second, so first order is exact
    assert table.loc["attribution_patching", "mean_abs_error"] < 1e-6


def test_integrated_gradients_in_chunks_is_the_same(deep, monkeypatch):
    """The memory bound changes how many runs it takes, nothing else."""
    whole = attribute(deep, method="integrated_gradients").frame()["score"]
    monkeypatch.setattr("xor_mi.interventions._forward.MLP_BATCH_BYTES", 20_000)
    assert attribute(deep, method="integrated_gradients").frame()[
        "score"
    ].tolist() == pytest.approx(whole.tolist(), abs=1e-6)


def test_gradients_check_their_sites():
    """A hook that never fired, one that fires twice, and an index outside are refused as patching
    refuses them.
    """
    pairs = (torch.ones(2, 3), torch.zeros(2, 3))

    class Twice(OwnModel):
        def forward(self, x):
            return super().forward(self.hook_unused(self.hook_unused(x)))

    for model, site, message in (
        (OwnModel(), Site("hook_first", 99), "index \\[99\\] is outside"),
        (Twice(), Site("hook_unused", 0), "fired 2 times"),
    ):
        with pytest.raises(XorMiError, match=message):
            attribute(
                model,
                method="attribution_patching",
                pairs=pairs,
                sites=[site],
                metrics=lambda outputs: outputs[:, 0],
            )


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "call",
    [
        lambda m: interchange(m, {"h0.0": "11"}, "01"),
        lambda m: paths_from(m, "x0"),
        differing_pairs,
        sites,
    ],
)
def test_what_needs_rows_of_bits_says_so(call):
    """On another model than a HookedMLP: one error that names what does work there."""
    with pytest.raises(
        XorMiError, match="needs a HookedMLP, not OwnModel; other models take patch_sweep"
    ):
        call(OwnModel())


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: interchange_accuracy(m, OR_AND, {"either": "h0.0"}), "give inputs="),
        (lambda m: subspace_accuracy(m, OR_AND, "either", POST, torch.eye(2)), "give inputs="),
        (lambda m: das_accuracy(m, OR_AND, "either", POST), "give inputs="),
        (lambda m: path_sweep(m, [["x0", "h0.0"]]), "give pairs="),
    ],
)
def test_what_has_a_default_on_rows_of_bits_asks_for_it_elsewhere(call, message):
    """On another model than a HookedMLP the inputs are asked for."""
    with pytest.raises(XorMiError, match=message):
        call(OwnModel())


def test_patch_and_hooks_on_a_users_model():
    """One patch between two tensors, and the list of its hooks as sites, without the one that is
    never reached.
    """
    model = OwnModel()
    clean, corrupted = torch.ones(1, 3), torch.zeros(1, 3)
    effect = patch(
        model, clean, corrupted, Site("hook_first"), metrics=lambda outputs: outputs[:, 0]
    )
    assert effect.patched == pytest.approx(model(clean)[0, 0].item(), abs=1e-6)
    assert [site.name for site in sites(model, "hook")] == ["hook_first", "hook_second"]


def test_coordinates_of_every_result(textbook):
    """Granularity, component, value, positions, direction and set, as attributes, for each kind of
    result.
    """
    assert path_sweep(textbook, [["x0", "h0.0", "y0"]]).coordinates[:1] == ("path",)
    assert (
        path_sweep(textbook, [["x0", "h0.0", "y0"]]).coordinates.set
        == "the edges of one path together"
    )
    assert ablation_sweep(textbook, subsets="all").coordinates.set == "sites of a set together"
    assert ablation_sweep(textbook).coordinates.value == "mean over the rows run on"
    assert interchange(textbook, {"h0.0": "11"}, "01").coordinates.granularity == "unit"
    assert (
        interchange_accuracy(textbook, OR_AND, {"either": "h0.0"}).coordinates.component == "h0.0"
    )
    assert attribute(textbook).coordinates.value == "exact_patching, from the clean input"
    own = patch_sweep(
        OwnModel(),
        (torch.ones(1, 3), torch.zeros(1, 3)),
        [Site("hook_first", 1)],
        metrics=lambda outputs: outputs[:, 0],
    )
    assert own.coordinates.granularity == "hook_first"


@pytest.mark.unchecked
def test_ablation_takes_numbers_and_whole_activations(textbook):
    """A number, one value per unit, and one per input and unit: by hand on h0 - 2 h1."""
    assert ablation_sweep(textbook, ["h0.0"], value=3).after.tolist() == [[3, 3, 3, 1]]
    assert ablation_sweep(textbook, ["h0.1"], value=torch.tensor([9.0, 0.5])).after.tolist() == [
        [-1, 0, 0, 1]
    ]
    each = torch.stack([torch.arange(4.0), torch.zeros(4)], 1)
    assert ablation_sweep(textbook, ["h0.0"], value=each).after.tolist() == [[0, 1, 2, 1]]
    with pytest.raises(XorMiError, match="no ablation value 'median'"):
        ablation_sweep(textbook, value="median")
    for empty in ({"rows": []}, {"over": []}):
        with pytest.raises(XorMiError, match="no rows given"):
            ablation_sweep(textbook, **empty)


def test_resampling_takes_from_the_rows_given(textbook):
    """With over=, every resampled value is one that a row in over has; with rows=, right and wrong
    are still known.
    """
    sweep = ablation_sweep(textbook, ["h0.0"], value="resample", over=["11"])
    assert sweep.after.tolist() == [[2, 2, 2, 0]]
    assert sweep.value == "resample from given rows (seed 0)"
    assert ablation_sweep(textbook, rows=["01", "11"]).labels == (1, 0)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"rows": ["11"]}, "the mean is taken over 1 row, the same one: nothing is ablated"),
        ({"rows": ["11", "11"]}, "the mean is taken over 2 rows, all of them the same: nothing"),
        ({"rows": ["11"], "over": ["11"]}, "the mean is taken over 1 row"),
        ({"rows": ["11", "11"], "value": "resample"}, "the values are drawn from 2 rows, all of"),
        (
            {"rows": ["11"], "over": ["11"], "value": "resample"},
            r"the values are drawn from 1 row, the same one: .* over=model.rows\(\)",
        ),
    ],
)
def test_an_input_that_is_its_own_mean_is_warned_of(textbook, asked, message):
    """Nothing is ablated then; with other inputs for the mean something is, and nothing is said."""
    with pytest.warns(XorMiWarning, match=message):
        assert not ablation_sweep(textbook, **asked).effect.any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ablated = ablation_sweep(textbook, rows=["11"], over=textbook.rows())
        assert ablated.effect.all()
        ablation_sweep(textbook, rows=["11"], value="zero")
    with pytest.raises(XorMiError, match=r"at least two inputs, .* or over= the inputs to draw"):
        ablation_sweep(textbook, rows=["11"], value="resample")


def test_pairs_of_many_sites_are_counted_rightly(monkeypatch):
    """50 sites have 1,225 pairs, which are run where so many are allowed, and not where one fewer
    is; all their subsets are refused, in a sweep and in the list.
    """
    wide = HookedMLP(HookedMLPConfig(d_hidden=(50,), seed=0))
    for call in (lambda: ablation_sweep(wide, subsets="all"), lambda: subsets(range(60))):
        with pytest.raises(XorMiError, match="subsets of (50|60) sites; at most 100000"):
            call()
    pairs = partial(ablation_sweep, wide, subsets="pairs", rows=["01"], value="zero")
    monkeypatch.setattr("xor_mi.interventions._ablation.MAX_SUBSETS", 1_225)
    assert len(pairs().sites) == 1_225
    monkeypatch.setattr("xor_mi.interventions._ablation.MAX_SUBSETS", 1_224)
    with pytest.raises(XorMiError, match="1225 subsets of 50 sites; at most 1224"):
        pairs()


def test_a_summary_keeps_ablations_of_one_site_apart(textbook):
    """Three ablations are three lines, whatever they are called."""
    alike = [Site(POST, 0, "unit"), Site(POST, 0, "unit"), "h0.0"]
    assert ablation_sweep(textbook, alike).summary()["site"].tolist() == ["unit", "unit", "h0.0"]


def test_paths_are_read_at_the_output_they_end_at():
    """y1 is read for a path to y1 without being asked; paths to several outputs at once are
    refused.
    """
    model = HookedMLP.from_weights([([[1, 0], [0, 1]], [0, 0]), ([[1, 0], [0, 3]], [0, 0])])
    assert path_sweep(model, [["x1", "h0.1", "y1"]], [("01", "00")]).effect.tolist() == [[3]]
    with pytest.raises(XorMiError, match="end at outputs y0, y1"):
        path_sweep(model, paths_from(model, "x0"))


@pytest.mark.unchecked
def test_metrics_in_every_form(textbook):
    """One function, Boolean values, one that edits what it is given; what is not a metric is named."""
    by_function = patch_sweep(textbook, metrics=lambda outputs: outputs[:, 0])
    assert torch.equal(by_function.values, patch_sweep(textbook).values)

    def edits(outputs):
        outputs += 5
        return outputs[:, 0]

    both = patch_sweep(
        textbook, metrics={"edits": edits, "above": lambda outputs: outputs[:, 0] > 0.5}
    )
    assert torch.equal(both.values[0], by_function.values[0] + 5)
    assert torch.equal(both.values[1], (by_function.values[0] > 0.5).float())
    for metrics in (3, {"logit": 3}, {}):
        with pytest.raises(XorMiError, match="metric"):
            patch_sweep(textbook, metrics=metrics)


@pytest.mark.unchecked
@pytest.mark.parametrize("index", ["0", 1.0, True, (0, "1"), (slice(0, 1), 1.5)])
def test_an_index_is_whole_numbers_or_none(index):
    """A slip in a Site is named where it is made; a single number and a list are taken as meant."""
    with pytest.raises(XorMiError, match="an index entry is a whole number, or None"):
        Site(POST, index)
    assert Site(POST, 0) == Site(POST, [0]) == Site(POST, (0,), "any label")


def test_attribution_takes_one_site_at_a_time(textbook):
    """A bare name is one site; a set is refused with what to use instead."""
    assert len(attribute(textbook, sites="h0.0").frame()) == 12
    with pytest.raises(XorMiError, match="scores single sites; patch_sweep takes sets"):
        attribute(textbook, sites=[("h0.0", "h0.1")])


@pytest.mark.unchecked
def test_a_basis_must_be_orthonormal(textbook):
    """Columns of another length, and other shapes, are refused before they give a number."""
    for basis in (5 * torch.ones(2, 1), torch.eye(3), [[1.0], [0.0]]):
        with pytest.raises(XorMiError, match="basis"):
            subspace_accuracy(textbook, OR_AND, "either", POST, basis)


def test_a_forward_that_returns_no_tensor_is_named():
    """A tuple of outputs cannot be read."""

    class Pair(OwnModel):
        def forward(self, x):
            return super().forward(x), None

    with pytest.raises(
        XorMiError,
        match="the model returned a tuple for [0-9] inputs; its forward must return one tensor",
    ):
        patch_sweep(
            Pair(),
            (torch.ones(1, 3), torch.zeros(1, 3)),
            [Site("hook_first", [0]), Site("hook_first", 1)],
            metrics=lambda o: o[:, 0],
        )


weights = st.integers(0, 10_000).map(lambda seed: torch.Generator().manual_seed(seed))
shapes = st.sampled_from([(2, 2, 1), (2, 5, 1), (3, 4, 2, 2), (2, 3, 3, 1)])
acts = st.sampled_from(["relu", "tanh", "sigmoid", "leaky_relu"])


def network(generator, shape, act_fn):
    """Normal weights."""
    layers = [
        (torch.randn(b, a, generator=generator), torch.randn(b, generator=generator))
        for a, b in pairwise(shape)
    ]
    return HookedMLP.from_weights(layers, act_fn=act_fn)


@settings(max_examples=25, deadline=None)
@given(weights, shapes, acts, st.sampled_from(["denoising", "noising"]))
def test_invariants_of_patching(generator, shape, act_fn, direction):
    """A site's own value changes nothing; all units of a layer, and all inputs, give the other run;
    a whole hook equals its units.
    """
    model = network(generator, shape, act_fn)
    rows = list(product((0, 1), repeat=shape[0]))
    own = patch_sweep(
        model,
        [(row, row) for row in rows],
        sites(model, "unit") + sites(model, "edge"),
        direction=direction,
    )
    assert own.effect.abs().max() < 1e-5
    layers = [
        tuple(site for site in sites(model, "unit") if site.hook_name == hook)
        for hook in {s.hook_name for s in sites(model, "unit")}
    ]
    joint = [
        *layers,
        tuple(sites(model, "input")),
        *((Site(layer[0].hook_name),) for layer in layers),
    ]
    sweep = patch_sweep(model, sites=joint, direction=direction)
    other = sweep.clean if direction == "denoising" else sweep.corrupted
    assert torch.allclose(sweep.values[0], other.expand(len(joint), -1), atol=1e-5)
    outputs = model(model.rows())
    assert (sweep.effect.abs().max() > 1e-4) == (
        (outputs[:, 0].max() - outputs[:, 0].min()) > 1e-4
    ), "not vacuous where rows differ"


@pytest.mark.as_a_user
@settings(max_examples=15, deadline=None)
@given(weights, shapes, acts, st.booleans())
def test_every_intervention_leaves_everything_as_it_was(generator, shape, act_fn, raises):
    """Weights, mode, hooks, switches and the caller's tensors byte for byte, also where the user's
    own hook raises.
    """
    model = network(generator, shape, act_fn)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clean, corrupted = model.rows()[:2], model.rows()[1:3]
    kept = clean.clone(), corrupted.clone()

    def users(value, hook):
        if raises:
            raise RuntimeError("planted")
        return value

    model.add_perma_hook("hook_logits", users)
    variable = HighLevelModel({"a": "x0"}, "a")
    basis = torch.eye(shape[1])[:, :1]
    calls = [
        lambda: patch_sweep(model, (clean, corrupted), ["h0.0", "x0->h0.1"]),
        lambda: patch_sweep(model, max_batch_bytes=500),
        lambda: ablation_sweep(model, subsets="all"),
        lambda: interchange(model, {"h0.0": rows_name(shape[0])}, "0" * shape[0]),
        lambda: interchange_accuracy(model, variable, {"a": "x0->h0.0"}),
        lambda: subspace_accuracy(model, variable, "a", POST, basis),
        lambda: path_sweep(model, [["x0", "h0.0"]]),
        lambda: attribute(model, method="integrated_gradients"),
        lambda: attribute(model, method="shapley", sites=["h0.0", "h0.1"]),
    ]
    for call in calls:
        if raises:
            with pytest.raises(RuntimeError, match="planted"):
                call()
        else:
            call()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [name for name, point in model.hook_dict.items() if point.fwd_hooks] == ["hook_logits"]
    assert (model.cfg.use_edge_result, model.training) == (False, False)
    assert torch.equal(clean, kept[0])
    assert torch.equal(corrupted, kept[1])
    assert all(parameter.grad is None for parameter in model.parameters())


def rows_name(n):
    """'11...1'"""
    return "1" * n


@pytest.mark.parametrize(
    "scores_of",
    [
        lambda clean, sites: torch.zeros(len(clean), len(sites)),
        lambda clean, sites: torch.zeros(len(sites)),
        lambda clean, sites: torch.tensor(0.0),
        lambda clean, sites: None,
    ],
    ids=["transposed", "one axis", "one number", "nothing"],
)
@pytest.mark.unchecked
def test_a_method_of_ones_own_gives_site_by_pair(textbook, scores_of):
    """Scores laid out otherwise are refused, not read as those of other sites and pairs; among
    several methods the one is told why and the others are scored.
    """
    pairs = [("00", "01"), ("00", "10"), ("00", "11")]

    def method(model, clean, corrupted, sites, metric):
        return scores_of(clean, sites)

    with pytest.raises(XorMiError, match=r"give a tensor \[site, pair\], here \[2, 3\]"):
        attribute(textbook, pairs, method=method)
    both = {"mine": method, "random": METHODS["random"]}
    mine, chance = score_methods(textbook, pairs, methods=both).scores
    assert "[site, pair]" in mine.why_not
    assert not chance.why_not


@pytest.mark.unchecked
def test_slips_at_a_sweep_are_named(textbook):
    """A tensor of sites, a pair of one site, a metric without a gradient, no methods, a label that
    is not text: each is answered with what to give.
    """
    one = HookedMLP.from_weights([([[1.0, 1.0]], [0.5]), ([[1.0]], [-1.0])])

    def decided(outputs):
        return (outputs[:, 0] > 0).long()

    with pytest.raises(XorMiError, match="sites are a tensor; name places"):
        patch_sweep(textbook, sites=torch.tensor([0, 1]))
    with pytest.raises(XorMiError, match="1 site has no pairs; give two sites or more"):
        ablation_sweep(one, subsets="pairs")
    with pytest.raises(XorMiError, match="this metric has no gradient"):
        attribute(textbook, method="attribution_patching", metrics=decided)
    with pytest.raises(XorMiError, match="methods is empty"):
        score_methods(textbook, methods={})
    with pytest.raises(XorMiError, match="the label of 'hook_embed' is 3; give text"):
        Site("hook_embed", 0, label=3)
    with pytest.raises(XorMiError, match="seed must be a whole number"):
        ablation_sweep(textbook, value="resample", seed=1.5)
    assert ablation_sweep(textbook, value="resample", seed=np.int64(3)).after.shape == (2, 4)
    assert Site("hook_embed", np.int64(1)) == Site("hook_embed", 1)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "pairs",
    [
        [(0, 1)],
        [(0, 1), (1, 0), (1, 1)],
        {"01": "11"},
        torch.zeros(1, 2),
        torch.rand(4, 2),
        [(0.5, "01")],
    ],
)
def test_what_is_no_list_of_pairs_of_rows(textbook, pairs):
    """Numbers where rows belong, a mapping, and one array of rows are refused as no pairs."""
    with pytest.raises(XorMiError, match="are not pairs; give"):
        patch_sweep(textbook, pairs)
