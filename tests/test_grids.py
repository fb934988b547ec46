"""Grids of layers, metrics and names of a caller's own in pictures and frames; no label is cut."""

import html

import numpy as np
import pytest
import torch
from models import native_transformer

from xor_mi import plots
from xor_mi.errors import XorMiError
from xor_mi.graph import Site
from xor_mi.handmade import textbook_xor
from xor_mi.interventions import ablation_sweep, attribute, patch_sweep, path_sweep, sites, subsets
from xor_mi.model._layer_sites import place_in_block
from xor_mi.plots._heatmap import heatmap

METRICS = {
    "difference": lambda outputs: outputs[:, -1, 3] - outputs[:, -1, 4],
    "first": lambda outputs: outputs[:, 0, 0],
}
PAIRS = ["cat -> dog", "a name that is longer than all the others here", "c"]


@pytest.fixture(scope="module")
def bridge():
    """Two layers of four heads."""
    return native_transformer(d_model=16, d_head=4, n_ctx=8, d_vocab=10, d_mlp=40)


@pytest.fixture(scope="module")
def tokens():
    """Three pairs."""
    return torch.randint(10, (6, 5), generator=torch.Generator().manual_seed(0)).chunk(2)


def test_a_grid_has_the_mean_of_each_place(bridge, tokens):
    """Layer by number, by hand from the sweep's own numbers; the places are given out of order, one
    is missing and is an empty cell, and what has no number is left out and said.
    """
    places = [*sites(bridge, "head")[::-1][1:], Site("hook_embed")]
    sweep = patch_sweep(bridge, tokens, places, metrics=METRICS)
    for metric in METRICS:
        values = plots.grid_heatmap(sweep, metric=metric).data[0].z
        assert np.shape(values) == (2, 4)
        assert values[1][3] is None
        effect = sweep[metric].effect
        for number, site in enumerate(places[:-1]):
            layer, head = int(site.hook_name.split(".")[1]), site.index[1]
            assert values[layer][head] == pytest.approx(effect[number].mean().item(), abs=1e-6)
            one = plots.grid_heatmap(sweep, metric=metric, pairs=2).data[0].z[layer][head]
            assert one == pytest.approx(effect[number, 2].item(), abs=1e-6)
    figure = plots.grid_heatmap(sweep)
    assert "1 site of another kind is not drawn" in figure.layout.title.text.replace("<br>", " ")
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("head", "layer")
    assert list(figure.data[0].y) == ["L0", "L1"]


def test_grids_of_ablation_and_attribution(bridge, tokens):
    """Positions of two hooks have a line per layer and hook; neurons stand without numbers; both
    hold what the finding says.
    """
    positions = [
        *sites(bridge, "position", inputs=5),
        *sites(bridge, "position", inputs=4, hook="hook_attn_out"),
    ]
    rows = tokens[0]
    sweep = ablation_sweep(
        bridge, positions, rows=rows, value="zero", metrics=METRICS, row_names=list("abc")
    )
    drawn = plots.grid_heatmap(sweep, pairs="b").data[0]
    assert list(drawn.y) == ["L0 resid_pre", "L0 attn_out", "L1 resid_pre", "L1 attn_out"]
    assert list(drawn.z[0]) == pytest.approx(sweep.effect[:5, 1].tolist())
    assert list(drawn.z[1][:4]) == pytest.approx(sweep.effect[10:14, 1].tolist())
    assert drawn.z[1][4] is None
    assert list(sweep.frame()["row"][:3]) == list("abc")
    neurons = sites(bridge, "neuron")
    scored = attribute(bridge, tokens, neurons, method="attribution_patching", metrics=METRICS)
    figure = plots.grid_heatmap(scored, metric="first")
    drawn = [np.array(panel.z, dtype=float) for panel in figure.data]
    means = scored["first"].scores[0].double().mean(dim=1).reshape(2, 40)
    assert np.allclose(np.concatenate(drawn, axis=1), means.numpy(), atol=1e-7)
    assert figure.layout.width <= 640


def test_lines_of_a_grid_stand_as_the_model_runs_them(bridge, tokens):
    """Layer by layer, and within one in the order in which the hooks fire, however they are given."""
    fired = []
    parts = ["hook_resid_pre", "attn.hook_in", "hook_attn_out", "mlp.hook_in", "hook_resid_post"]
    hooks = [f"blocks.{layer}.{part}" for layer in range(2) for part in parts]
    bridge.run_with_hooks(
        tokens[0],
        fwd_hooks=[(name, lambda *_, of=name, **__: fired.append(of)) for name in hooks],
    )
    assert sorted(fired) == sorted(hooks)
    places = [Site(hook, (4,), hook) for hook in sorted(hooks)]
    drawn = plots.grid_heatmap(patch_sweep(bridge, tokens, places, metrics=METRICS)).data[0]
    words = [name.removeprefix("blocks.").replace("hook_", "") for name in fired]
    assert list(drawn.y) == [f"L{name.replace('.', ' ', 1)}" for name in words]
    # of a TransformerLens transformer without a bridge
    assert place_in_block("hook_attn_out") < place_in_block("hook_resid_mid")
    assert place_in_block("hook_resid_mid") < place_in_block("mlp.hook_post")
    # hooks of one's own: as given
    assert place_in_block("hook_mine") == place_in_block("conv.hook_out")


def test_units_of_a_network_are_a_grid_too():
    """A HookedMLP's own units: layer by unit, over all pairs."""
    sweep = patch_sweep(textbook_xor())
    figure = plots.grid_heatmap(sweep)
    assert figure.layout.xaxis.title.text == "unit"
    assert list(figure.data[0].z[0]) == pytest.approx(sweep.effect.mean(dim=1).tolist())


def test_a_kind_is_picked_from_a_sweep_of_several(bridge, tokens):
    """Each kind's grid is that of a sweep of this kind alone, and the rest is said to be left out."""
    places = {"head": sites(bridge, "head"), "neuron": sites(bridge, "neuron")[:3]}
    both = patch_sweep(bridge, tokens, [*places["head"], *places["neuron"]], metrics=METRICS)
    for kind, alone in places.items():
        sweep = patch_sweep(bridge, tokens, alone, metrics=METRICS)
        picked, expected = plots.grid_heatmap(both, kind=kind), plots.grid_heatmap(sweep)
        assert picked.layout.xaxis.title.text == kind
        assert [list(line) for line in picked.data[0].z] == [
            pytest.approx(list(line)) for line in expected.data[0].z
        ]
        assert (
            f"{len(both.sites) - len(alone)} sites of another kind"
            in picked.layout.title.text.replace("<br>", " ")
        )


@pytest.mark.parametrize(
    ("places", "options", "says"),
    [
        (
            lambda model: [Site("hook_embed")],
            {},
            "this finding has no site with a layer and a number",
        ),
        (
            lambda model: sites(model, "head") + sites(model, "neuron")[:2],
            {},
            "heads and neurons; give kind='head'",
        ),
        (
            lambda model: sites(model, "head"),
            {"kind": "position"},
            "no kind 'position'; kinds .* head",
        ),
        (
            lambda model: sites(model, "head")[:1] * 2,
            {},
            "two sites of this finding lie in one cell",
        ),
        (lambda model: sites(model, "head"), {"metric": "loss"}, "no metric 'loss'; this sweep"),
        (
            lambda model: sites(model, "head"),
            {"pairs": 3},
            "a whole number of at least 0 and below 3, not 3",
        ),
        (lambda model: sites(model, "head"), {"pairs": "z"}, "no pair 'z'"),
    ],
)
def test_what_is_no_grid_is_said(bridge, tokens, places, options, says):
    """One sentence, with what to do."""
    sweep = patch_sweep(bridge, tokens, places(bridge), metrics=METRICS)
    with pytest.raises(XorMiError, match=says):
        plots.grid_heatmap(sweep, **options)


def test_a_picture_of_another_metric(bridge, tokens):
    """`metric=` of each kind of picture is the finding in that metric; another name is refused."""
    places = sites(bridge, "head")[:3]
    found = [
        patch_sweep(bridge, tokens, places, metrics=METRICS),
        ablation_sweep(bridge, places, rows=tokens[0], metrics=METRICS),
        attribute(bridge, tokens, places, metrics=METRICS),
    ]
    for finding in found:
        drawn = finding.plot(metric="first")
        assert drawn.to_json() == finding["first"].plot().to_json() != finding.plot().to_json()
        with pytest.raises(XorMiError, match="no metric 'third'; this .* has: difference, first"):
            finding.plot(metric="third")


def test_own_names_of_pairs_are_everywhere(bridge, tokens):
    """In the frame, in iteration and in pictures; another number of them, or one twice, is not
    taken.
    """
    place = sites(bridge, "head")[0]
    sweep = patch_sweep(bridge, tokens, place, metrics=METRICS, pair_names=PAIRS)
    scored = attribute(bridge, tokens, place, metrics=METRICS["first"], pair_names=PAIRS)
    assert list(sweep.frame()["pair"]) == [effect.pair for effect in sweep] == PAIRS
    assert list(scored.frame()["pair"]) == PAIRS
    assert list(sweep.plot().data[0].y) == list(scored.plot().data[0].y) == PAIRS
    assert sweep["first"].pair_names == tuple(PAIRS)
    paths = [[place, Site("blocks.1.hook_resid_post")]]
    along = path_sweep(bridge, paths, tokens, metrics=METRICS, pair_names=PAIRS)
    assert list(along.frame()["pair"]) == PAIRS
    for wrong in (PAIRS[:2], ["a", "a", "b"]):
        with pytest.raises(XorMiError, match="give 3, all different"):
            patch_sweep(bridge, tokens, place, metrics=METRICS, pair_names=wrong)
    with pytest.raises(XorMiError, match="row_names has 2 names"):
        ablation_sweep(bridge, place, rows=tokens[0], metrics=METRICS, row_names=["a", "b"])


def test_no_label_is_cut_and_no_picture_is_too_wide(bridge, tokens):
    """Every label fits its margin at seven pixels a character, every title its picture, and every
    column is there once, in panels of at most 450 pixels of cells; two of one name stay two.
    """
    heads = sites(bridge, "head")
    together = [*subsets(heads, max_size=2), Site(heads[0].hook_name, heads[0].index)]
    # the same place under its own name, and twice under one label
    twice = [Site(heads[0].hook_name, (None, 1), "alike")] * 2
    sweep = patch_sweep(bridge, tokens, [*together, *twice], metrics=METRICS, pair_names=PAIRS)
    figure = plots.patching_heatmap(sweep)
    layout = figure.layout
    columns = [name for panel in figure.data for name in panel.x]
    assert len(set(columns)) == len(columns) == len(sweep.sites)
    assert columns[-2:] == ["alike", "alike (2)"]
    assert layout.margin.l >= 7 * max(map(len, PAIRS)) + 40
    inside = layout.height - layout.margin.t - layout.margin.b
    below = 1.0
    for number, panel in enumerate(figure.data, start=1):
        suffix = "" if number == 1 else number
        x_axis, y_axis = layout[f"xaxis{suffix}"], layout[f"yaxis{suffix}"]
        assert list(x_axis.tickvals) == list(panel.x)
        room = layout.margin.t - 50 if number == 1 else (below - y_axis.domain[1]) * inside
        longest = max(map(len, panel.x))
        width = (layout.width - layout.margin.l - layout.margin.r) / len(figure.data[0].x)
        assert (7 * longest <= room) if x_axis.tickangle else (7 * longest <= width)
        below = y_axis.domain[0]
    assert layout.width - layout.margin.l - layout.margin.r <= 450
    assert max(map(len, layout.title.text.split("<br>"))) * 8.5 <= layout.width


def test_texts_of_a_caller_are_drawn_sign_by_sign(bridge, tokens):
    """What plotly would read as HTML is escaped in labels, names and titles, and read back it is
    what was given; two that differ by their signs alone stay two.
    """
    metric = {"<b> &amp; so on": METRICS["first"]}
    labels = ["<s> the", "&lt;s> the"]
    places = [
        Site("blocks.0.attn.hook_z", (None, head), label=label) for head, label in enumerate(labels)
    ]
    pair_names = ["<s> a", "<i>b", "c & d"]
    given = {"metrics": metric, "pair_names": pair_names}
    sweep = patch_sweep(bridge, tokens, places, **given)
    scored = attribute(bridge, tokens, places, method="attribution_patching", **given)
    ablated = ablation_sweep(
        bridge, places, rows=tokens[0], value="zero", metrics=metric, row_names=pair_names
    )
    by_pair, by_row = {"x": labels, "y": pair_names}, {"y": labels, "x": pair_names}
    for finding, drawn in ((sweep, by_pair), (scored, by_pair), (ablated, by_row)):
        figure = finding.plot()
        for axis, texts in drawn.items():
            written = list(figure.data[0][axis])
            assert [html.unescape(text) for text in written] == texts
            assert not any("<" in text for text in written)
        assert "<b>" not in figure.layout.title.text
        assert "&lt;b> &amp;amp; so on" in figure.layout.title.text.replace("<br>", " ")
    grid = plots.grid_heatmap(sweep, pairs="<i>b")
    assert "&lt;i>b" in grid.layout.title.text
    # a label is as wide as it is drawn
    plain = [Site(site.hook_name, site.index, label="-s- the") for site in places[:1]]
    drawn, same = [patch_sweep(bridge, tokens, one, **given).plot() for one in (places[:1], plain)]
    assert drawn.layout.height == same.layout.height


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([-0.02, -0.00431, 0.0], ["-0.0200", "-0.0043", "0.0000"]),
        ([2.0, -0.001, 1 / 3], ["2.00", "0.00", "0.33"]),
        ([54.321, 0.5], ["54.3", "0.5"]),
        ([1234.0, 0.4], ["1234", "0"]),
        ([2e-7, -3.14e-8], ["2e-07", "-3.1e-08"]),
        ([3.456e9, 1.0], ["3.46e+09", "0"]),
        ([float("nan"), 2.0], ["nan", "2.00"]),
    ],
)
def test_the_cells_of_a_picture_have_one_number_of_decimals(values, texts):
    """Three figures of the largest, and as many decimals in all; the values themselves stay."""
    figure = heatmap(
        [values],
        columns=list("abc"[: len(values)]),
        rows=["r"],
        column_title="",
        row_title="",
        unit="",
        title="",
    )
    assert list(figure.data[0].text[0]) == texts
    assert np.array_equal(figure.data[0].z[0], values, equal_nan=True)


def test_pictures_of_paths_say_so(bridge, tokens):
    """In the title and on the axis; a grid has no cell for one."""
    path = [Site("blocks.0.attn.hook_z", (None, 0)), Site("blocks.1.attn.hook_z", (None, 1))]
    sweep = path_sweep(bridge, [path], tokens, metrics=METRICS)
    layout = sweep.plot().layout
    title = layout.title.text.replace("<br>", " ")
    assert title.startswith("Patching along blocks.0.attn.hook_z[:, 0] -> blocks.1.attn")
    assert layout.xaxis.title.text == "path"
    with pytest.raises(XorMiError, match="no cell for a path.*patching_heatmap"):
        plots.grid_heatmap(sweep)
