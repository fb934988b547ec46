"""What figures show is not stretched over rounding, is read at 600 pixels, and says what was found."""

import re

import pytest
from contrast import LEAST, channels, contrast, least_contrast, shades
from networks import random_network

from xor_mi import HookedMLP, geometry, plots, train
from xor_mi.circuits import identify_circuit
from xor_mi.interventions import ablation_sweep, attribute, patch_sweep, score_methods
from xor_mi.margins import conditions, slack_to_flip
from xor_mi.plots._heatmap import parted
from xor_mi.plots._style import reach, text_beside
from xor_mi.terms import contributions, explain_difference
from xor_mi.values import activations

pytestmark = pytest.mark.as_a_user


@pytest.fixture(scope="module")
def dead():
    """Both units are off on every row, and what is left of the output is nothing beside weights."""
    layers = [([[1.0, 1.0], [1.0, 1.0]], [-3.0, -4.0]), ([[1.0, -2.0]], [-9e-9])]
    return HookedMLP.from_weights(layers, target="XOR", dtype="float64")


@pytest.fixture(scope="module")
def wide():
    """2-8-1, whose columns have no room side by side."""
    return random_network(1, sizes=(2, 8, 1), target="XOR")


def texts_of(figure):
    """Every text of every cell."""
    return [text for trace in figure.data for line in trace.text for text in line]


def test_what_rounding_left_is_white_and_zero(dead):
    """The output is -9e-9 where weights are 1 and values 4: its cells, its bar, its conditions say
    0, and no scale ends below a millionth of 1.
    """
    *_, of_output = plots.activations_heatmap(activations(dead)).data
    assert {line[-1] for line in of_output.text} == {"0.00"}
    added = plots.contributions_heatmap(contributions(dead)).data[-1]
    assert {float(text) for line in added.text for text in line} == {0.0}
    for figure in (plots.figure(patch_sweep(dead)), plots.figure(ablation_sweep(dead))):
        assert {float(text) for text in texts_of(figure)} == {0.0}
        assert figure.data[0].zmax == -figure.data[0].zmin >= 1
        assert "changes nothing" in figure.layout.title.text.replace("<br>", " ")
    held = plots.conditions_figure(conditions(dead))
    assert {text for bar in held.data for text in bar.text} == {"0.00 holds", "0.00 fails"}
    low, high = held.layout.xaxis.range
    assert high - low > 0.1
    assert "only by rounding" in held.layout.title.text
    assert "at 0.00" in {
        note.text[-7:] for note in plots.slack_figure(slack_to_flip(dead)).layout.annotations
    }


def test_a_small_network_is_no_rounding(textbook):
    """All weights times 2^-30: hidden values are as many times as small and are written, beside
    inputs of 1, in panels with colours of their own.
    """
    factor = 2.0**-30
    layers = [(weight * factor, bias * factor) for weight, bias in textbook.float64_layers()]
    small = HookedMLP.from_weights(layers, target="XOR", dtype="float64", decision_threshold=0)
    before, after = (activations(model) for model in (textbook, small))
    panels = plots.activations_heatmap(after).data
    assert [panel.zmax for panel in panels[:2]] == [1.0, 2 * factor]
    hidden = before["blocks.0.mlp.hook_pre"].double() * factor
    written = [[float(text) for text in line] for line in panels[1].text]
    assert written == [pytest.approx(line, rel=0.005) for line in hidden.tolist()]


def test_numbers_beside_others_have_no_sign_of_nothing():
    """A zero has no sign, and what is rounding beside a scale has the scale."""
    assert text_beside(-1e-17, largest=2.0, signed=True) == "0.00"
    assert text_beside(1e-17, largest=2e-9, signed=True) == "0"
    assert reach([1e-17, -1e-16], scale=0.25) == 0.25
    assert reach([1e-6, -2.0, float("inf")], scale=5.0) == 2.0


@pytest.mark.parametrize(("together", "n_columns", "most"), [(1, 25, 9), (4, 32, 9), (4, 12, 3)])
def test_parts_hold_every_column_once(together, n_columns, most):
    """In order, none larger than there is room for, none through what belongs together."""
    parts = parted(n_columns, most, together)
    assert [k for part in parts for k in range(part.start, part.stop)] == list(range(n_columns))
    assert all(part.stop - part.start <= most for part in parts)
    if together <= most:
        assert all(part.start % together == 0 for part in parts)


def test_wide_heatmaps_stand_in_panels_of_layers(wide):
    """Each is at most 640 pixels wide; every column is there once; panels have titles, which say
    the layer; the four columns of a hidden unit stay together.
    """
    found = {
        "activations": plots.activations_heatmap(activations(wide)),
        "contributions": plots.contributions_heatmap(contributions(wide)),
        "difference": plots.contributions_heatmap(explain_difference(wide, "00", "11")),
        "patching": plots.patching_heatmap(patch_sweep(wide)),
    }
    for figure in found.values():
        assert len(figure.data) > 1
        assert figure.layout.width <= 640
        columns = [name for panel in figure.data for name in panel.x]
        assert len(set(columns)) == len(columns)
        assert all(axis.title.text for axis in axes_of(figure))
    n_columns = {name: sum(len(p.x) for p in figure.data) for name, figure in found.items()}
    # inputs, 8 before and after, output; 8 units of 4 and one of 10; 10 sources and 2 sums
    assert n_columns == {"activations": 19, "contributions": 42, "difference": 12, "patching": 8}
    for panel in found["contributions"].data[:-1]:
        units = [name.split("<br>")[0] for name in panel.x]
        assert all(units.count(unit) == 4 for unit in units if unit.startswith("h"))
    titles = [axis.title.text for axis in axes_of(found["activations"])]
    assert [title.replace("<br>", " ") for title in titles] == [
        "x0 to x1, as an input",
        "h0.0 to h0.7, before activation",
        "h0.0 to h0.7, after activation",
        "y0, as an output",
    ]


@pytest.mark.parametrize("direct", [None, [[1.0, -2.0]]])
def test_panels_have_the_lines_that_their_sources_feed(direct):
    """2-3-3-1: inputs feed the first hidden layer, that the second, that the output; the inputs
    also feed the output where there are direct connections. Sums are of every unit. No line is
    empty, and a panel is as high as its lines.
    """
    deep = random_network(1, sizes=(2, 3, 3, 1), target="XOR", direct=direct)
    figure = plots.contributions_heatmap(explain_difference(deep, "00", "11"))
    layers = [[f"h{layer}.{k}" for k in range(3)] for layer in range(2)]
    straight = [] if direct is None else ["y0"]
    expected = [[*layers[0], *straight], layers[1], ["y0"], [*layers[0], *layers[1], "y0"]]
    assert [list(panel.y) for panel in figure.data] == expected
    inside = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    for panel in figure.data:
        assert all(any(number is not None for number in line) for line in panel.z)
        assert len(panel.z) == len(panel.text) == len(panel.hovertext) == len(panel.y)
        axis = figure.layout[panel.yaxis.replace("y", "yaxis")]
        assert list(axis.tickvals) == list(panel.y)
        assert 29.9 <= (axis.domain[1] - axis.domain[0]) * inside / len(panel.y) <= 45
    low = [figure.layout[panel.yaxis.replace("y", "yaxis")].domain[0] for panel in figure.data]
    assert low == sorted(low, reverse=True)
    assert low[-1] == pytest.approx(0)


def test_numbers_are_read_on_every_colour(textbook):
    """At least 4.5 to 1 by the formula of WCAG, whose own value for #767676 on white is 4.54; of
    numbers in cells, and of what is written on the plane, which is paler than its scale.
    """
    assert contrast(channels("#767676"), channels("#ffffff")) == pytest.approx(4.54, abs=0.01)
    cells = (
        plots.activations_heatmap(activations(textbook)),
        plots.interchange_matrix(identify_circuit(textbook)),
    )
    for figure in cells:
        (panel,) = figure.data
        assert panel.texttemplate == "%{text}"
        assert least_contrast(panel.textfont.color, shades(panel.colorscale)) >= LEAST
    plane = plots.input_plane(textbook)
    surface = plane.data[0]
    on = shades(surface.colorscale, opacity=surface.opacity)
    inks = {
        one.name: one.textfont.color
        for one in plane.data
        if one.type == "scatter" and "text" in one.mode
    }
    assert {"numbers of contours", "names of regions"} < set(inks)
    for ink in inks.values():
        assert least_contrast(ink, on) >= LEAST


def axes_of(figure):
    """The axis of columns of each panel."""
    return [figure.layout[panel.xaxis.replace("x", "xaxis")] for panel in figure.data]


def test_roles_are_framed_in_the_panel_where_they_stand():
    """Each unit's frame is around the column of its own role, in whichever panel that is."""
    circuit = identify_circuit(train("XOR", hidden=8, seed=1, progress=False).model)
    figure = plots.interchange_matrix(circuit)
    assert len(figure.data) > 1
    for unit, frame in zip(circuit.units, figure.layout.shapes, strict=True):
        (panel,) = [one for one in figure.data if one.xaxis == frame.xref]
        column = panel.x[round(frame.x0 + 0.5)]
        assert f"({unit.place.name})" in column
        assert panel.y[round(frame.y0 + 0.5)] == unit.place.name


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_hovering_over_a_patch_is_a_sentence(textbook, direction):
    """From, into, before, after and what becomes of the decision, as the frame has them."""
    sweep = patch_sweep(textbook, direction=direction)
    (panel,) = plots.patching_heatmap(sweep).data
    said = {text.replace("<br>", " ") for line in panel.hovertext for text in line}
    expected = set()
    for line in sweep.frame().itertuples():
        ends = [line.clean, line.corrupted]
        source, into = ends if direction == "denoising" else ends[::-1]
        before = line.corrupted_output if direction == "denoising" else line.clean_output
        expected.add(
            f"patching {line.site} from {source} into {into}: output {before:.2f} -> "
            f"{line.patched_output:.2f}, the decision {'flips' if line.flips else 'stays'}"
        )
    assert said == expected
    assert len(said) == 24


def test_hovering_over_values_terms_and_ablations_is_a_sentence(textbook):
    """By hand on row 11 of the textbook network: units 2 and 1, 1*2 - 2*1 = 0."""
    of_values = plots.activations_heatmap(activations(textbook)).data[0].hovertext
    assert "on 11, h0.0 is 2.00 after activation" in of_values[3]
    of_terms = [
        panel.hovertext[3] for panel in plots.contributions_heatmap(contributions(textbook)).data
    ]
    assert "on 11, h0.1 into y0 adds -2.00" in of_terms[-1]
    assert "on 11, y0 adds up to +0.00 before activation" in of_terms[-1]
    ablated = plots.ablation_heatmap(ablation_sweep(textbook, value="zero")).data[0]
    said = ablated.hovertext[0][1].replace("<br>", " ")
    assert said == "ablating h0.0 on 01: output 1.00 -> 0.00, the decision flips"


def test_titles_say_how_many_decisions_flip(wide, textbook):
    """Of few sites each, of many the three that flip most: counted in the frame."""
    flips = patch_sweep(textbook).frame().groupby("site")["flips"].sum()
    title = plots.patching_heatmap(patch_sweep(textbook)).layout.title.text
    assert title.replace("<br>", " ").startswith(
        f"Patching h0.0 flips {flips['h0.0']} of 12 decisions, h0.1 {flips['h0.1']} ("
    )
    sweep = patch_sweep(wide)
    counts = (
        sweep.frame().groupby("site")["flips"].sum().sort_values(ascending=False, kind="stable")
    )
    title = plots.patching_heatmap(sweep).layout.title.text.replace("<br>", " ")
    numbers = re.search(
        r"flips (\d+) of 12 decisions, h0.\d (\d+), h0.\d (\d+), each of 5 more", title
    )
    assert [int(number) for number in numbers.groups()] == counts.tolist()[:3]


def test_long_inequalities_are_wrapped_and_not_cut(wide):
    """Every inequality is there in full, in lines that have room."""
    held = conditions(wide)
    figure = plots.conditions_figure(held)
    notes = [note.text for note in figure.layout.annotations]
    assert [note.replace("<br>", " ") for note in notes] == [one.inequality for one in held]
    lines = [line for note in notes for line in note.split("<br>")]
    assert max(map(len, notes)) > 100
    assert 7 * max(map(len, lines)) <= figure.layout.width - figure.layout.margin.l
    hovers = [text for bar in figure.data for text in bar.hovertext]
    assert all("is fc2.weight[0, " in text for text in hovers if "v" in text)
    least = min(held, key=lambda one: one.slack)
    assert f"{least.row} " in figure.layout.title.text


def test_scores_that_are_rounding_have_the_scale_of_their_network(dead):
    """All weights are about 1 and the output is -9e-9 along the way: by hand a layer of weights up
    to 2 that reads 0 after and 4 before activation is made of 8, and so long is each half of the
    axis; what attributions and methods differ by is written as 0, on bars that end at 8.
    """
    way = geometry.path(dead, "00", "11")
    assert way.scale == 8.0
    for figure in (plots.path_figure(way), plots.input_slider(way)):
        assert figure.layout.yaxis.range == (-8.0, 8.0)
        assert set(next(one for one in figure.data if one.name == "y0").y) == {0.0}
    scored = attribute(dead, method="exact_patching")
    (panel,) = plots.attribution_heatmap(scored).data
    assert panel.zmax == -panel.zmin == 8.0
    assert {float(text) for line in panel.text for text in line} == {0.0}
    assert plots.figure(score_methods(dead)).layout.xaxis.range[1] >= 8.0
