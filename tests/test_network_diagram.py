"""The diagram of a network: every weight is on its arrow by name and number, and nothing lies on
anything else. Places are worked out here from the figure's own size, ranges and texts.
"""

import re
from itertools import combinations, pairwise

import numpy as np
import pytest

from xor_mi import HookedMLP, HookedMLPConfig, identify_circuit, plots, train, zoo
from xor_mi.margins import weight_symbols

pytestmark = pytest.mark.as_a_user

SHAPES = ((2, 2, 1), (2, 3, 1), (3, 4, 1), (2, 8, 1), (2, 3, 3, 1), (3, 2, 2))
# thousandths of the height that characters of Verdana are wide, the widest of plotly's fonts
VERDANA = dict.fromkeys("0123456789_", 636) | {" ": 352, ".": 364, "+": 818, "-": 454}
VERDANA |= {"w": 818, "v": 592, "u": 633, "c": 521, "e": 596}


def network(sizes, *, direct=False):
    """A network of this shape with its weights as training begins."""
    cfg = HookedMLPConfig(sizes[0], list(sizes[1:-1]), sizes[-1], direct=direct, seed=1)
    return HookedMLP(cfg)


def drawn(figure):
    """The labels and the boxes as rectangles in pixels from the lower left corner, and the arrows as
    lists of points; all by name.
    """
    layout = figure.layout
    across, down = layout.xaxis.range, layout.yaxis.range
    # one unit of the axes is a pixel
    inside = layout.width - layout.margin.l - layout.margin.r
    assert across == pytest.approx((0, inside), abs=0.5)
    assert down == pytest.approx((0, layout.height - layout.margin.t - layout.margin.b), abs=0.5)
    labels = {}
    for note in layout.annotations:
        if note.name and "->" in note.name:
            lines = note.text.split("<br>")
            widths = [sum(VERDANA[sign] for sign in line) / 1000 for line in lines]
            half, high = max(widths) * note.font.size / 2, 7 * len(lines)
            labels[note.name] = (note.x - half, note.x + half, note.y - high, note.y + high)
    boxes = {
        box.name: (
            box.xanchor + box.x0,
            box.xanchor + box.x1,
            box.yanchor + box.y0,
            box.yanchor + box.y1,
        )
        for box in layout.shapes
    }
    arrows = {
        trace.name: np.array([trace.x, trace.y]).T for trace in figure.data if trace.mode == "lines"
    }
    return labels, boxes, arrows


def touch(a, b):
    """Whether two rectangles (left, right, bottom, top) lie on each other."""
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def crossings(one, other):
    """The points in which two lines of points meet."""
    met = []
    for a, b in pairwise(one):
        for c, d in pairwise(other):
            sides = np.array([b - a, c - d]).T
            if abs(np.linalg.det(sides)) > 1e-9:
                shares = np.linalg.solve(sides, c - a)
                if ((shares > 0) & (shares < 1)).all():
                    met.append(a + shares[0] * (b - a))
    return met


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("sizes", SHAPES)
def test_labels_lie_on_nothing(sizes, direct):
    """Every weight has its label; no label lies on another one, on a unit or outside the picture; and
    none where two arrows cross, but for two of the more than twenty of a wide network.
    """
    figure = plots.network_diagram(network(sizes, direct=direct))
    labels, boxes, arrows = drawn(figure)
    assert labels.keys() == arrows.keys()
    for one, other in combinations(labels, 2):
        assert not touch(labels[one], labels[other]), (one, other)
    width, height = figure.layout.xaxis.range[1], figure.layout.yaxis.range[1]
    for label in labels.values():
        assert not [box for box in boxes.values() if touch(label, box)]
        assert min(label[0], label[2], width - label[1], height - label[3]) >= 0
    covering = set()
    for one, other in combinations(arrows, 2):
        for x, y in crossings(arrows[one], arrows[other]):
            covering |= {name for name, at in labels.items() if touch(at, (x, x, y, y))}
    assert len(covering) <= (2 if len(labels) > 15 else 0)


@pytest.mark.parametrize("sizes", SHAPES)
def test_the_diagram_has_every_weight_by_name_and_number(sizes):
    """The parameter behind each symbol has the number beside it, sign by colour and dash; the mouse
    says both, and to which unit it leads.
    """
    model = network(sizes)
    figure = plots.network_diagram(model)
    places = weight_symbols(model)
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    written = [note for note in figure.layout.annotations if note.name in lines]
    assert len(written) == sum(weight.numel() for weight, _ in model.float64_layers())
    for note in written:
        symbol, number = note.text.replace("<br>", " ").split(" ")
        name, index = re.fullmatch(r"(.*)\[(.*)\]", places[symbol]).groups()
        value = model.get_parameter(name)[tuple(map(int, index.split(",")))].item()
        assert float(number) == pytest.approx(value, abs=0.005, rel=0.01)
        line = lines[note.name]
        assert (line.line.color, line.line.dash) == (
            ("#2166ac", "solid") if value > 0 else ("#b2182b", "7px,4px")
        )
        source, unit = note.name.split("->")
        assert line.hovertext == note.hovertext
        assert line.hovertext.startswith(f"{unit} takes {number} times {source}<br>{symbol} = ")
        assert line.hovertext.endswith(f"({places[symbol]})")


def test_every_arrow_has_a_head_at_the_unit_it_leads_to():
    """At both signs, in the arrow's colour, on the left side of the box."""
    figure = plots.network_diagram(train("XOR", seed=29).model)
    _, boxes, arrows = drawn(figure)
    (heads,) = [trace for trace in figure.data if trace.name == "heads"]
    tips = list(zip(heads.x[1::2], heads.y[1::2], heads.marker.color[1::2], strict=True))
    assert min(heads.marker.size[1::2]) >= 9
    assert {colour for _, _, colour in tips} == {"#2166ac", "#b2182b"}
    for (name, points), (x, y, colour) in zip(arrows.items(), tips, strict=True):
        left, _, bottom, top = boxes[name.split("->")[1]]
        assert x == pytest.approx(left)
        assert bottom < y < top
        assert colour == next(trace.line.color for trace in figure.data if trace.name == name)
        assert np.hypot(*(points[-1] - (x, y))) < 12


def test_wide_networks_say_that_their_numbers_are_on_the_mouse():
    """300 arrows have no room for their numbers: the key says how many, and each says its own."""
    figure = plots.network_diagram(network((10, 30, 1)))
    labels, _, arrows = drawn(figure)
    assert (len(labels), len(arrows)) == (0, 330)
    key = next(note.text for note in figure.layout.annotations if note.name == "key")
    assert "330 of 330 numbers have no room" in key
    assert all(trace.hovertext for trace in figure.data if trace.mode == "lines")


def test_the_title_says_what_the_circuit_is(textbook):
    """The gates of the live units and the readout; or how many inputs are decided otherwise."""
    assert plots.network_diagram(textbook).layout.title.text == "The 6 weights of a 2-2-1 network"
    for name, title in (
        ("or-and", "h0.0 acts as OR, h0.1 as AND: XOR = h0.0 & ~h0.1"),
        ("gt-lt", "h0.0 acts as x1>x0, h0.1 as x0>x1: XOR = h0.0 | h0.1"),
    ):
        model = zoo.load(name)
        figure = plots.network_diagram(model, identify_circuit(model))
        assert figure.layout.title.text.replace("<br>", " ") == title
    never = HookedMLP.from_weights(
        [([[1, 1], [1, 1]], [-3, -4]), ([[1, -2]], [-0.5])], target="XOR"
    )
    title = plots.network_diagram(never, identify_circuit(never)).layout.title.text
    assert title == "No circuit: 2 of 4 inputs are not decided as XOR says"


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e6])
def test_rounding_is_written_as_zero_beside_what_a_layer_has(size):
    """A ten-millionth of a layer's largest weight is written as zero; the same layer a billion times
    as small is written by its powers of ten, and is not zero.
    """
    layers = [
        ([[1 * size, 1e-7 * size], [2 * size, -2 * size]], [0, 1e-8 * size]),
        ([[1, -2]], [0]),
    ]
    model = HookedMLP.from_weights(layers, dtype="float64")
    notes = plots.network_diagram(model).layout.annotations
    texts = dict(note.text.split(" ") for note in notes if note.name and "->" in note.name)
    assert texts["w12"] == "+0.00"
    assert float(texts["w11"]) == size
    assert float(texts["w22"]) == -2 * size
    assert next(note.text for note in notes if note.name == "h0.1").endswith("b2 +0.00")
