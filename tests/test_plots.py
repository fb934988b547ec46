"""Each figure holds the numbers it is a picture of; what it leaves out it says."""

import numpy as np
import pandas as pd
import pytest
import torch
from networks import OR_AND
from scipy.stats import binomtest

from xor_mi import geometry, handmade, margins, plots, zoo
from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.gate_scan import scan_gates
from xor_mi.interventions import ablation_sweep, interchange_accuracy, patch_sweep
from xor_mi.model import HookedMLP
from xor_mi.search import find_subcircuits
from xor_mi.terms import contributions, explain_difference
from xor_mi.training import train
from xor_mi.values import activations


def trace(figure, name):
    """The first trace whose name starts so."""
    return next(trace for trace in figure.data if trace.name and trace.name.startswith(name))


def test_contributions_add_up_in_the_picture(counted):
    """By hand, W = 1 -2 / 3 4, b = 5 -6: on 11 the units are 4 and 1, the output 7*4 - 8*1 + 9 =
    29; each group of cells ends in its sum.
    """
    hidden, readout = plots.contributions_heatmap(contributions(counted)).data
    assert list(hidden.z[3]) == [1, -2, 5, 4, 3, 4, -6, 1]
    assert list(readout.z[3]) == [28, -8, 9, 29]
    assert [name.split("<br>")[1] for name in hidden.x[:4]] == ["x0", "x1", "bias", "sum"]
    found = explain_difference(counted, "00", "11")
    picture = plots.contributions_heatmap(found).data[0]
    filled = [[value for value in line if value is not None] for line in picture.z]
    assert [sum(line[:-2]) for line in filled] == pytest.approx([line[-2] for line in filled])
    assert [line[-2:] for line in filled] == found.units[
        ["pre_change", "post_change"]
    ].to_numpy().tolist()
    assert picture.z[2][0] is None


def test_the_interchange_matrix_is_the_circuits(textbook):
    """Counts as text, and a frame around each unit's own role."""
    figure = plots.interchange_matrix(identify_circuit(textbook))
    assert [list(line) for line in figure.data[0].text] == [
        ["16 of 16", "6 of 16"],
        ["6 of 16", "16 of 16"],
    ]
    assert [(shape.x0, shape.y0) for shape in figure.layout.shapes] == [(-0.5, -0.5), (0.5, 0.5)]
    with pytest.raises(XorMiError, match="no interchange matrix"):
        plots.interchange_matrix(identify_circuit(textbook, with_evidence=False))


def test_the_title_of_an_interchange_matrix_leaves_complements_out():
    """An OR beside a NOR plays its role on every pair: that is not another's. Alone with its
    complement a unit has no other role to play.
    """
    steps = {"act_fn": "heaviside", "out_act_fn": "identity", "decision_threshold": 0.0}
    three = HookedMLP.from_weights(
        [([[1, 1], [-1, -1], [-1, -1]], [-0.5, 0.5, 1.5]), ([[1, -1, 2]], [-2])],
        target="XOR",
        **steps,
    )
    figure = plots.interchange_matrix(identify_circuit(three))
    assert figure.data[0].text[0][1] == "16 of 16"
    title = figure.layout.title.text.replace("<br>", " ")
    assert title.endswith("apart, on at most 6"), title
    two = HookedMLP.from_weights(
        [([[1, 1], [-1, -1]], [-1.5, 1.5]), ([[1, -1]], [0.0])], target="AND", **steps
    )
    assert "another" not in plots.interchange_matrix(identify_circuit(two)).layout.title.text


def test_the_plane_has_the_exact_boundary_regions_and_path(textbook):
    """By hand: the boundary runs along x0 + x1 = 0.5 and 1.5, the kinks lie on 0 and 1; the surface
    is the network's own output.
    """
    path = geometry.path(textbook, [-0.25, 0], [1, 1.25])
    figure = plots.input_plane(textbook, bounds=((-0.5, 2.0), (-0.5, 1.5)), path=path, n_points=11)
    surface, edge = figure.data[0], trace(figure, "decision boundary")
    for i, j in ((0, 0), (4, 7), (10, 2)):
        assert surface.z[j][i] == pytest.approx(
            textbook([[surface.x[i], surface.y[j]]]).item() - 0.5, abs=1e-3
        )
    sums = [x + y for x, y in zip(edge.x, edge.y, strict=True) if x is not None]
    assert sorted({round(value, 9) for value in sums}) == [0.5, 1.5]
    kinks, changes = trace(figure, "kink"), trace(figure, "decision changes")
    assert [x + y for x, y in zip(kinks.x, kinks.y, strict=True)] == pytest.approx([0, 1])
    assert [x + y for x, y in zip(changes.x, changes.y, strict=True)] == pytest.approx([0.5, 1.5])
    maps = [text for one in figure.data if one.hovertext is not None for text in one.hovertext]
    assert "on: h0.0 + h0.1<br>y0 = -1 x0 -1 x1 +2" in maps
    assert trace(figure, "3 affine regions")
    assert not [
        one
        for one in plots.input_plane(textbook, show_regions=False).data
        if one.name and "regions" in one.name
    ]
    assert not [
        one
        for one in plots.input_plane(zoo.load("or-nand")).data
        if one.name and "regions" in one.name
    ]
    with pytest.raises(XorMiError, match="no output 1"):
        plots.input_plane(textbook, output=1)


def test_lines_and_names_of_the_plane_are_told_apart():
    """Each unit's line has its own dash and its name beside it; region borders are thin and dotted;
    names of lines and of regions stand inside the frame and off each other, in pixels as the
    figure's size gives them, a character 6.5 wide.
    """
    figure = plots.input_plane(zoo.load("redundant-4"))
    layout = figure.layout
    lines = [one for one in figure.data if one.name and one.name.startswith("h0.")]
    assert len({one.line.dash for one in lines}) == len(lines) == 4
    assert trace(figure, "decision boundary").line.width > 2 * lines[0].line.width
    rims = next(one for one in figure.data if one.name and "affine region" in one.name)
    assert (rims.line.dash, rims.line.width) == ("2px,3px", 1.2)
    side = layout.width - layout.margin.l - layout.margin.r
    scale = side / (layout.xaxis.range[1] - layout.xaxis.range[0])
    names = next(one for one in figure.data if one.type == "scatter" and one.mode == "text")
    written = [(note.x, note.y, note.text) for note in layout.annotations]
    assert {text for _, _, text in written} <= {one.name for one in lines}
    written += [spot for spot in zip(names.x, names.y, names.text, strict=True) if spot[2]]
    boxes = []
    for x, y, text in written:
        parts = text.split("<br>")
        half = 6.5 * max(map(len, parts)) / 2 / scale, 14 * len(parts) / 2 / scale
        boxes.append((x - half[0], x + half[0], y - half[1], y + half[1]))
    low, high = layout.xaxis.range
    for number, (left, right, bottom, top) in enumerate(boxes):
        assert low <= left < right <= high
        assert low <= bottom < top <= high
        for of_left, of_right, of_bottom, of_top in boxes[:number]:
            assert right < of_left or of_right < left or top < of_bottom or of_top < bottom


@pytest.mark.parametrize("height", [-0.5, 0.25, 1e-9])
def test_a_constant_plane_has_one_colour(height):
    """No contours, one number, and a bar from minus to plus that number; the title says it."""
    layers = [([[1, 1]], [-3]), ([[1e-9]], [height])]
    figure = plots.input_plane(HookedMLP.from_weights(layers, dtype="float64"))
    surface = figure.data[0]
    assert not [one for one in figure.data if one.type == "contour"]
    assert {value for line in surface.z for value in line} == {height}
    assert (surface.zmin, surface.zmax) == (-abs(height), abs(height))
    side = "above" if height > 0 else "below"
    said = figure.layout.title.text.replace("<br>", " ")
    assert f"everywhere: {side} the threshold 0, whatever the input" in said
    assert float(said.split(" ")[2]) == height


def test_rounding_at_the_inputs_is_no_distance_to_the_threshold():
    """Outputs of 1e-9 beside weights of about 1 are said to be the threshold, and drawn as 0."""
    layers = [([[1, 1]], [-3]), ([[1]], [1e-9])]
    title = plots.input_plane(HookedMLP.from_weights(layers, dtype="float64")).layout.title.text
    said = "y0 is 0.00 everywhere: on the threshold 0, whatever the input"
    assert title.replace("<br>", " ") == said
    wide = plots.input_plane(HookedMLP.from_weights(layers, dtype="float64"), bounds=(-1, 4))
    assert wide.layout.title.text == "y0 is the threshold 0 at every input, up to rounding"
    assert {value for line in wide.data[0].z[:2] for value in line[:2]} == {0}


def test_beyond_the_darkest_colour_the_bar_says_so():
    """By hand: the textbook's inputs are at most 0.5 from the threshold, so 0.75 is the darkest; at
    the corner (1.5, 1.5) the output is 3 - 2 * 2 = -1, which is 1.5 below.
    """
    figure = plots.input_plane(handmade.textbook_xor())
    surface = figure.data[0]
    assert (surface.zmin, surface.zmax, surface.z[-1][-1]) == (-0.75, 0.75, -1.5)
    assert surface.colorbar.ticktext == ("≤ -0.750", "0", "≥ +0.750")
    inside = plots.input_plane(handmade.textbook_xor(), bounds=(0, 1)).data[0]
    assert inside.colorbar.ticktext == ("-0.500", "0", "+0.500")


def test_the_title_of_the_plane_says_what_is_decided():
    """By hand, from the truth tables of XOR and of a threshold that is met exactly."""
    title = plots.input_plane(handmade.textbook_xor()).layout.title.text
    assert title == "y0 is above the threshold 0.5 at 01, 10; below it at 00, 11"
    on_it = HookedMLP.from_weights([([[1, 1]], [0]), ([[1]], [-1])])
    title = plots.input_plane(on_it).layout.title.text.replace("<br>", " ")
    assert title == "y0 is above the threshold 0 at 11; below it at 00; on it at 01, 10"


def test_the_path_figure_marks_kinks_changes_and_threshold(textbook):
    """The textbook network from 00 to 11: up to 1 and down again, 0.5 crossed at 1/4 and 3/4, h0.1
    turning on in the middle.
    """
    figure = plots.path_figure(geometry.path(textbook, "00", "11"))
    line, changes = figure.data
    assert list(line.y) == pytest.approx([1 - abs(1 - 2 * t) for t in line.x])
    assert list(changes.x) == [0.25, 0.75]
    assert "0 → 1" in changes.text[0]
    assert "1 → 0" in changes.text[1]
    assert [note.text for note in figure.layout.annotations] == ["h0.1"]
    assert sorted(shape.y0 for shape in figure.layout.shapes if shape.y0 == shape.y1) == [0.5]


def test_failed_conditions_are_told_apart_without_colour(textbook):
    """A failed inequality is hatched, points left and says 'fails'."""
    weaker = handmade.edit(textbook, {"fc1.weight[0, 1]": 0.25})
    holds, fails = plots.conditions_figure(margins.conditions(weaker, "XOR")).data
    assert (list(holds.y), list(fails.y), list(fails.x)) == ([0, 2, 3], [1], [-0.25])
    assert fails.text == ("-0.25 fails",)
    assert (holds.marker.pattern.shape, fails.marker.pattern.shape) == (None, "/")


def test_a_unit_without_effect_is_drawn_as_idle():
    """A unit that no output reads (x0 + 2 x1, three gaps, so three gates) and one that is never on
    are pale, without a gate, and so are their weights; what they could be is said on the mouse.
    """
    layers = [
        ([[1, 1], [1, 1], [1, 2], [-1, -1]], [0, -1, 0, -1]),
        ([[1, -2, 0, 1]], [0]),
    ]
    model = HookedMLP.from_weights(layers, decision_threshold=0.5, target="XOR")
    figure = plots.network_diagram(model, identify_circuit(model))
    boxes = {
        note.text.split("</b>")[0].removeprefix("<b>"): note
        for note in figure.layout.annotations
        if note.text.startswith("<b>")
    }
    written = {name: box.text.split("<br>")[1:2] for name, box in boxes.items()}
    assert [written[f"h0.{k}"] for k in range(4)] == [["OR"], ["AND"], ["idle"], ["dead"]]
    idle, dead = boxes["h0.2"].hovertext, boxes["h0.3"].hovertext
    assert idle.startswith("h0.2 is idle: no output of the circuit depends on it<br>")
    assert idle.endswith("it could be read as AND or OR or x1")
    assert dead == "h0.3 is dead: it has one value on every input, and its gate is FALSE"
    assert boxes["h0.0"].hovertext.startswith("h0.0 acts as OR<br>its bias is +0.00 (fc1.bias[0])")
    frames = {frame.name: frame.line.color for frame in figure.layout.shapes}
    assert frames["h0.2"] == frames["h0.3"] != frames["h0.0"] == frames["y0"]
    # four of the eight arrows into the layer are pale, two of four out of it
    arrows = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(arrows) == 12
    for arrow in arrows:
        ends = set(arrow.name.split("->"))
        assert (arrow.opacity < 1) == bool(ends & {"h0.2", "h0.3"})
    key = next(note for note in figure.layout.annotations if note.name == "key")
    assert "pale: idle or dead; point at a unit to see why" in key.text
    assert key.text.count("pale") == 1
    assert not [
        note for note in plots.network_diagram(model).layout.annotations if "pale" in note.text
    ]


@pytest.mark.parametrize(
    ("require", "says"),
    [("joint", "Not proved, the closest circuit: "), ("substitution", "The first of 2 circuits: ")],
)
def test_the_diagram_says_whose_gates_it_has(require, says):
    """Where the circuit is not the only one that counts, the title says which one is drawn; where
    the network does otherwise than an idle unit's circuit says, the mouse says how often.
    """
    layers = [
        ([[-2.2, 0.5], [1.9, 1.9], [-3.0, 3.0]], [2.2, -1.9, 0.0]),
        ([[-3.9, -3.7, 4.0]], [3.9]),
    ]
    model = HookedMLP.from_weights(layers, target="XOR")
    circuit = identify_circuit(model, require=require, with_evidence=False)
    figure = plots.network_diagram(model, circuit)
    assert figure.layout.title.text.replace("<br>", " ").startswith(says)
    doubt = "?" if require == "joint" else ""
    boxes = [note.text for note in figure.layout.annotations if note.text.startswith("<b>h0.")]
    live = [unit for unit in circuit.units if not unit.idle]
    for unit in live:
        (box,) = [text for text in boxes if text.startswith(f"<b>{unit.place.name}</b>")]
        assert box.split("<br>")[1] == f"{unit.gate}{doubt}"
    said = "no output of the circuit depends on it"
    hovers = {
        note.hovertext
        for note in figure.layout.annotations
        if note.hovertext and note.hovertext.startswith(said)
    }
    assert len(hovers) == len(circuit.circuits[0].idle)
    for unit in circuit.units:
        agrees = f"the network agrees on {unit.interchange} of 16 interchanges"
        assert any(agrees in text for text in hovers) == (unit.idle and unit.interchange < 16)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (plots.conditions_figure, r"give what margins.conditions\(model\) returns"),
        (plots.slack_figure, r"give what margins.slack_to_flip\(model\) returns"),
    ],
)
def test_a_table_is_not_drawn_as_a_finding(textbook, draw, message):
    """A table of a finding is not the finding: the error says what to give."""
    with pytest.raises(XorMiError, match=message):
        draw(margins.conditions(textbook).frame()[["slack"]])


def test_slack_of_layers_of_different_size_is_written_by_the_layer():
    """A first layer of 1 before a readout of 4e7 (by hand: row 10 flips where w11 is 0.5, row 11
    where it is 1.5); beside the readout's weights these would be rounding.
    """
    layers = [([[1, 1], [1, 1]], [0, -1]), ([[2e7, -4e7]], [-1e7])]
    model = HookedMLP.from_weights(
        layers, out_act_fn="sigmoid", decision_threshold=0.5, target="XOR", dtype="float64"
    )
    slack = margins.slack_to_flip(model)
    first = slack.frame().set_index("parameter").loc["fc1.weight[0, 0]"]
    assert first[["lower", "upper"]].tolist() == pytest.approx([0.5, 1.5])
    figure = plots.slack_figure(slack)
    texts = [one.text for one in figure.layout.annotations]
    assert {"10 at 0.50", "11 at 1.50"} <= set(texts)
    assert "0.00" not in figure.data[2].hovertext[0]
    assert ", by 0.25, of 9 weights" in str(slack)
    sweep = margins.move_weight(model, "fc1.weight[0, 0]")
    title = plots.weight_slider(sweep).layout.title.text.replace("<br>", " ")
    assert "below 0.50" in title
    assert "above 1.50" in title


def test_slack_intervals_end_where_they_do(textbook):
    """By hand: w12 may go from 0.5 to 1.5, where 01 and 11 flip, v2 has no lower end and an arrow
    there, and v1 may fall to 0.5, where two inputs flip; all is said in the row of the weight, by
    both of its names.
    """
    slack = margins.slack_to_flip(textbook)
    figure = plots.slack_figure(slack)
    names = figure.layout.yaxis.ticktext
    assert list(names) == list(margins.weight_symbols(textbook))
    lines, ends, values = figure.data
    of = {name: slice(2 * k, 2 * k + 2) for k, name in enumerate(names)}
    assert lines.x[3:5] == ends.x[of["w12"]] == (0.5, 1.5)
    assert ends.marker.symbol[of["w12"]] == ("line-ns", "line-ns")
    assert ends.marker.symbol[of["v2"]] == ("triangle-left", "line-ns")
    said = {(note.y, note.xanchor): note.text for note in figure.layout.annotations}
    assert (said[1, "left"], said[1, "right"]) == ("01 at 0.50", "11 at 1.50")
    assert said[6, "left"] == "01, 10 at 0.50"
    assert said[7, "left"] == "nothing"
    assert values.hovertext[1].replace("<br>", " ") == (
        "w12 (fc1.weight[0, 1]) is 1.00; alone it may move down by 0.50, then 01 flips; up by "
        "0.50, then 11 flips"
    )
    assert figure.layout.title.text.startswith("w21 may move least: 0.25 up, then 10 flips")
    with pytest.raises(XorMiError, match="slack is empty"):
        plots.slack_figure(margins.Slack(weights=(), tolerance=0.0))


def test_the_lattice_is_ordered_by_inclusion():
    """Every line joins a set to a larger one that contains it with none between (brute force);
    minimal ones are the squares.
    """
    search = find_subcircuits(zoo.load("redundant-4"))
    figure = plots.subcircuit_lattice(search)
    parts = [frozenset(part.edges) for part in search]
    covers = {
        (len(a), len(b))
        for a in parts
        for b in parts
        if a < b and not any(a < c < b for c in parts)
    }
    n_covers = sum(a < b and not any(a < c < b for c in parts) for a in parts for b in parts)
    lines, perfect, minimal = figure.data
    drawn = [(lines.y[k], lines.y[k + 1]) for k in range(0, len(lines.y), 3)]
    assert len(drawn) == n_covers > 0
    assert set(drawn) == covers
    assert (len(perfect.x) + len(minimal.x), len(minimal.x)) == (
        search.n_perfect,
        len(search.minimal),
    )
    few = plots.subcircuit_lattice(search, limit=5)
    assert "the 5 with the fewest edges drawn" in few.layout.title.text
    assert sum(len(one.x) for one in few.data[1:]) == 5
    with pytest.raises(XorMiError, match="nothing to draw"):
        plots.subcircuit_lattice(find_subcircuits(train("XOR", seed=0).model))


def test_a_single_subcircuit_is_no_lattice(textbook):
    """The textbook network needs all of its six weights: the title says so, edge by edge."""
    title = plots.subcircuit_lattice(find_subcircuits(textbook)).layout.title.text
    said = "Only one of 9 subcircuits decides every input right: it keeps 6 edges, "
    edges = "x0->h0.0, x1->h0.0, x0->h0.1, x1->h0.1, h0.0->y0, h0.1->y0"
    assert title.replace("<br>", " ") == said + edges


def test_shares_of_gates_are_the_ten_largest_the_networks_own_and_all_others():
    """Thirteen sets of 13, 12, ..., 1 networks, 91 in all: the ten largest, the marked one of 2, and
    3 + 1 as others; shares and intervals by hand and by SciPy.
    """
    counts = list(range(13, 0, -1))
    ends = [binomtest(count, 91).proportion_ci(method="exact") for count in counts]
    shares = pd.DataFrame(
        {
            "gates": [f"set {count}" for count in counts],
            "n_networks": counts,
            "share": [count / 91 for count in counts],
            "ci_low": [end.low for end in ends],
            "ci_high": [end.high for end in ends],
        }
    )
    figure = plots.gate_shares_figure(shares, n_solved=91, n_networks=100, marked="set 2")
    (bars,) = figure.data
    drawn = [f"set {count}" for count in range(13, 3, -1)]
    assert list(bars.y) == [*drawn, "<b>set 2</b>", "other (2 sets)"]
    assert list(bars.x) == pytest.approx([100 * n / 91 for n in [*range(13, 3, -1), 2, 4]])
    of_four = binomtest(4, 91).proportion_ci(method="exact")
    assert bars.x[-1] + bars.error_x.array[-1] == pytest.approx(100 * of_four.high)
    assert bars.x[-1] - bars.error_x.arrayminus[-1] == pytest.approx(100 * of_four.low)
    assert [color == "#2166ac" for color in bars.marker.color] == [*[False] * 10, True, False]
    assert [note.text for note in figure.layout.annotations] == [
        str(n) for n in [*range(13, 3, -1), 2, 4]
    ]
    title = figure.layout.title.text.replace("<br>", " ")
    said = "set 13 is the most frequent: 14% of 91 solved of 100 networks; blue, set 2: 2.2%"
    assert title == said
    unknown = plots.gate_shares_figure(shares, n_solved=91, n_networks=100, marked="{OR}")
    assert unknown.layout.title.text.replace("<br>", " ").endswith("blue, {OR}: none")
    with pytest.raises(XorMiError, match="no shares to draw"):
        plots.gate_shares_figure(shares.head(0), n_solved=0, n_networks=100)
    with pytest.raises(XorMiError, match="no column gates, share"):
        plots.gate_shares_figure(shares[["n_networks"]], n_solved=91, n_networks=100)
    tied = shares.head(2).assign(n_networks=4)
    ties = plots.gate_shares_figure(tied, n_solved=91, n_networks=100)
    assert "is among the most frequent" in ties.layout.title.text.replace("<br>", " ")
    with pytest.raises(XorMiError, match="n_solved and n_networks are missing"):
        plots.gate_shares_figure(shares, n_solved=91)


def test_a_census_is_drawn_as_its_shares_are():
    """Of four networks three solve the task, two of them by OR and AND: bars of 2/3 and 1/3."""
    networks = pd.DataFrame(
        {
            "seed": [0, 1, 2, 3],
            "solved": [True, False, True, True],
            "gates": ["{AND, OR}", "", "{AND, OR}", "{NOR, OR}"],
            "verdict": ["identified", "not_computing", "identified", "identified"],
        }
    )
    figure = plots.gate_shares_figure(networks)
    assert list(figure.data[0].x) == pytest.approx([200 / 3, 100 / 3])
    title = figure.layout.title.text.replace("<br>", " ")
    assert title == "{AND, OR} is the most frequent: 67% of 3 solved of 4 networks"
    with pytest.raises(XorMiError, match="n_networks is 5, but this census has 4"):
        plots.gate_shares_figure(networks, n_networks=5)
    with pytest.raises(XorMiError, match="no shares to draw: no network solves the task"):
        plots.gate_shares_figure(networks[~networks["solved"]])


def test_a_unit_barely_on_is_said_to_be_on():
    """The second unit adds up to 0.002, 0.002 and 4 on the rows that have a 1, and the first to 4 at
    most: a cell shows 0.00, the title says that a ReLU passes it. What is 1e-9 is rounding.
    """

    def title_of(small):
        model = HookedMLP.from_weights(
            [([[2.0, 2.0], [small, small]], [0.0, 0.0]), ([[1.0, -2.0]], [-1.0])], dtype="float64"
        )
        figure = plots.activations_heatmap(activations(model))
        return figure.layout.title.text.replace("<br>", " ")

    on = "Before activation: h0.0 above 0 on 01, 10 and 11; h0.1 above 0 on "
    assert title_of(0.002) == f"{on}01, 10 and 11 (barely on 01, 10 and 11)"
    assert title_of(1e-9) == f"{on}no input"
    both = "Before activation: h0.0 and h0.1 above 0 on 01, 10 and 11"
    assert title_of(0.5) == both


def test_titles_of_controls_say_what_the_claims_say(textbook):
    """OR and AND of the textbook come out on all 16 and 64 interchanges, and no control on half of
    them: the title says the claims' numbers first, and the controls' bars are hatched.
    """
    places = {"either": "h0.0", "both": "h0.1"}
    found = interchange_accuracy(textbook, OR_AND, places, controls=True)
    figure = found.plot()
    (bars,) = figure.data
    claims = ["either", "both", "(joint)"]
    assert list(bars.y[:3]) == claims
    assert len(bars.y) == 3 + len(found.controls)
    assert list(bars.marker.pattern.shape) == ["", "", ""] + ["/"] * len(found.controls)
    most = max(found.controls, key=found.accuracy)
    of_most = f"{found.n_agreed[most]} of {found.n_runs[most]}"
    said = "16 of 16 for either, 16 of 16 for both and 64 of 64 for (joint)"
    title = figure.layout.title.text.replace("<br>", " ")
    assert title == f"Network and algorithm decide alike in {said}; controls in at most {of_most}"
    without = interchange_accuracy(textbook, OR_AND, places).plot()
    assert without.layout.title.text.replace("<br>", " ").endswith(said)
    assert not any(without.data[0].marker.pattern.shape)


@pytest.mark.parametrize(("direction", "gives"), [("denoising", "clean"), ("noising", "corrupted")])
def test_the_axis_of_patching_says_where_the_value_comes_from(textbook, direction, gives):
    """On 01 -> 11 by noising h0.1 of 11, which is 1, goes into the run on 01, whose output falls from
    1 by 2; by denoising the 0 of 01 goes into the run on 11. The legend stays on one line.
    """
    figure = patch_sweep(textbook, [("01", "11")], direction=direction).plot()
    assert figure.layout.yaxis.title.text == f"clean -> corrupted,<br>value from {gives}"
    assert figure.data[0].z[0][1] == {"denoising": 2.0, "noising": -2.0}[direction]
    legend = "*\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}the\N{NO-BREAK SPACE}decision"
    assert legend in figure.layout.title.text


def test_only_sets_are_ablated_together(textbook):
    """Single units are ablated one at a time, and subsets of them together."""
    assert ablation_sweep(textbook).plot().layout.yaxis.title.text == "ablated"
    sets = ablation_sweep(textbook, subsets="all").plot()
    assert sets.layout.yaxis.title.text == "ablated together"


def test_every_frame_of_the_input_slider_is_the_network_there(textbook):
    """Bars are the units' values at that t; the label says the decision."""
    figure = plots.input_slider(geometry.path(textbook, "00", "11", n_points=5))
    assert [step.label.split(",")[0] for step in figure.layout.sliders[0].steps] == [
        "t = 0",
        "t = 0.25",
        "t = 0.5",
        "t = 0.75",
        "t = 1",
    ]
    for frame in figure.frames:
        t = frame.data[0].x[0]
        with torch.no_grad():
            hidden = torch.relu(textbook.fc1(torch.tensor([t, t])))
            assert list(frame.data[1].y) == pytest.approx(
                [t, t, *hidden.tolist(), textbook.fc2(hidden).item()]
            )


def test_every_frame_of_the_weight_slider_is_an_edited_network(textbook):
    """Slack, boundary and verdict of each frame are those of the network with that weight; both
    ends are past the slack.
    """
    sweep = margins.move_weight(textbook, "fc2.bias[0]", n_steps=7)
    circuits = [identify_circuit(model, with_evidence=False) for model in sweep.models]
    figure = plots.weight_slider(sweep, circuits)
    labels = [step.label for step in figure.layout.sliders[0].steps]
    values = [float(label.split(" = ")[1].split(" ")[0].rstrip(":")) for label in labels]
    assert (
        "not computing" in labels[0],
        "identified" in labels[figure.layout.sliders[0].active],
        "not computing" in labels[-1],
    ) == (True,) * 3
    for value, frame in zip(values, figure.frames, strict=True):
        outputs = np.array([0, 1, 1, 0]) + value
        assert list(frame.data[0].x) == pytest.approx((outputs - 0.5) * [-1, 1, 1, -1], abs=1e-4)
    three = plots.weight_slider(
        margins.move_weight(handmade.from_formula("x0 & x1 & x2"), n_steps=3)
    )
    assert len(three.data) == 1


def test_the_weight_slider_says_how_many_conditions_hold_without_circuits(textbook):
    """No circuits: the labels count conditions; circuits of another number are refused."""
    sweep = margins.move_weight(textbook, "fc2.bias[0]", n_steps=3)
    labels = [step.label for step in plots.weight_slider(sweep).layout.sliders[0].steps]
    assert labels == [
        "c = -0.75: 2 of 4 conditions hold",
        "c = 0 (as it is): 4 of 4 conditions hold",
        "c = 0.75: 2 of 4 conditions hold",
    ]
    with pytest.raises(XorMiError, match="circuits has 1 circuit, and the sweep 3 steps"):
        plots.weight_slider(sweep, [identify_circuit(textbook)])


def test_a_slider_stands_at_the_step_that_is_asked_for(textbook):
    """What is drawn and where the slider stands are that frame's; by default the way's start and
    the weight as it is; a step that there is not is refused.
    """
    way = geometry.path(textbook, "00", "11", n_points=5)
    sweep = margins.move_weight(textbook, "fc2.bias[0]", n_steps=3)
    drawn = [
        (plots.input_slider(way), 0),
        (plots.input_slider(way, shown_first=2), 2),
        (plots.weight_slider(sweep), 1),
        (plots.weight_slider(sweep, shown_first=0), 0),
    ]
    for figure, step in drawn:
        assert figure.layout.sliders[0].active == step
        frame = figure.frames[step]
        for number, moved in zip(frame.traces, frame.data, strict=True):
            assert list(figure.data[number].x) == list(moved.x)
    with pytest.raises(XorMiError, match="shown_first"):
        plots.input_slider(way, shown_first=5)
    with pytest.raises(XorMiError, match="shown_first"):
        plots.weight_slider(sweep, shown_first=-1)


def test_titles_of_sliders_say_where_a_decision_changes(textbook):
    """By hand: w12 of 1 keeps all decisions from 0.5 to 1.5, where 01 and 11 change; from 00 to 11
    the output rises to 1 and falls again, through 0.5 at a quarter and three quarters; from 01 to
    10 it stays 1.
    """

    def title(figure):
        return figure.layout.title.text.replace("<br>", " ")

    sweep = margins.move_weight(textbook, "fc1.weight[0, 1]", n_steps=3)
    said = "w12 is 1.00: below 0.50 the decision on input 01 changes, above 1.50 the decision on input 11"
    figure = plots.weight_slider(sweep)
    assert title(figure).startswith(said)
    assert figure.layout.sliders[0].steps[0].label.startswith("w12 = ")
    surfaces = [frame.data[1] for frame in figure.frames]
    assert {surface.zsmooth for surface in surfaces} == {"best"}
    changes = "From (0, 0) to (1, 1) the decision changes: 0 → 1 at t = 0.25, 1 → 0 at t = 0.75"
    there, never = geometry.path(textbook, "00", "11"), geometry.path(textbook, "01", "10")
    for draw in (plots.path_figure, plots.input_slider):
        assert title(draw(there)) == changes
        assert title(draw(never)) == "From (0, 1) to (1, 0) no decision changes"


def test_a_weight_slider_is_not_stretched_over_rounding():
    """Outputs of 1e-9 beside weights of 1 are zero: so they are written, and the axis goes as far
    as the network's own scale.
    """
    layers = [([[1.0, 1.0], [1.0, 1.0]], [-3.0, -4.0]), ([[1.0, -2.0]], [1e-9])]
    model = HookedMLP.from_weights(layers, target="XOR")
    figure = plots.weight_slider(margins.move_weight(model, "fc1.weight[0, 1]", n_steps=3))
    assert figure.layout.xaxis.range[1] > 1e-3
    bars = figure.data[0]
    # the output is above its threshold on every row, by next to nothing
    assert [text.split()[1] for text in bars.text] == ["fails", "holds", "holds", "fails"]
    assert {float(text.split()[0]) for text in bars.text} == {0.0}


def test_a_weight_slider_of_outputs_on_the_threshold_everywhere():
    """A weight that nothing reads, and outputs that are 0 on the whole plane: drawn with a scale."""
    layers = [([[1.0, 1.0]], [0.0]), ([[0.0]], [0.0])]
    model = HookedMLP.from_weights(layers, target="XOR")
    figure = plots.weight_slider(margins.move_weight(model, "fc1.bias[0]", n_steps=3))
    surface = next(trace for trace in figure.data if trace.type == "heatmap")
    assert surface.zmin < 0 < surface.zmax
    assert not np.any(surface.z)


def test_gates_of_a_scan_are_named_by_its_features(textbook):
    """A bar per gate, in the features' own names, as long as how many units separate it."""
    bits = textbook.rows().repeat(8, 1)
    inputs = bits + 0.1 * torch.rand(bits.shape, generator=torch.Generator().manual_seed(0))
    features = {"wet": bits[:, 0], "cold": bits[:, 1]}
    scan = scan_gates(textbook, inputs, features, ["h0.0", "h0.1"], progress=False)
    (bars,) = plots.figure(scan).data
    drawn = dict(zip(bars.y, bars.x, strict=True))
    # both units have both cuts: the noise makes three levels of each
    assert drawn == {"wet | cold": 2, "wet & cold": 2}


def test_units_with_one_line_have_one_name_in_the_plane():
    """h0.0 = relu(x0 - x1) and h0.1 = relu(x1 - x0) turn on along the diagonal, h0.2 at x0 = 1/2;
    h1.0 and h1.1 turn on further in, where edges of regions are dotted and contours paler.
    """
    first = ([[1.0, -1.0], [-1.0, 1.0], [1.0, 0.0]], [0.0, 0.0, -0.5])
    second = ([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [-0.25, -0.25])
    model = HookedMLP.from_weights([first, second, ([[1.0, 0.5]], [-0.4])])
    figure = plots.input_plane(model)
    assert sorted(note.text for note in figure.layout.annotations) == [
        "h0.0, h0.1 turn on",
        "h0.2 turns on",
    ]
    named = {one.name: one for one in figure.data if one.name and one.showlegend is not False}
    edges = next(one for name, one in named.items() if "affine regions" in name)
    assert edges.name.endswith("; dotted: where deeper units turn on or off")
    contours = named["contours, with their distance to the threshold"]
    assert edges.line.dash != "solid"
    assert contours.line.color > edges.line.color  # of two greys the paler one


@pytest.mark.parametrize(
    ("value", "written"),
    [(-0.00255, "-0.0026"), (0.002, "0.0020"), (-0.013, "-0.013"), (0.5, "0.50"), (0.0, "0.00")],
)
def test_a_weight_has_two_figures_at_least(value, written):
    """In the diagram and in what the mouse says of a bias alike."""
    layers = [([[1.0, 1.0], [1.0, 1.0]], [value, -1.0]), ([[1.0, -2.0]], [-0.5])]
    figure = plots.network_diagram(HookedMLP.from_weights(layers))
    signed = written if value < 0 else f"+{written}"
    box = next(note for note in figure.layout.annotations if note.name == "h0.0")
    assert box.text.endswith(f"b1 {signed}")
    assert f"its bias is {signed} " in box.hovertext
