"""Labels of figures where they used to collide: kinks at nearly one place, names of regions on the
boundary, bars of two kinds.
"""

import re

import numpy as np
import pytest
from networks import random_network

from xor_mi import HookedMLP, census, geometry, margins, plots, train_population, zoo

pytestmark = pytest.mark.as_a_user


def distance_to_segment(point, segment) -> float:
    """Plain geometry, apart from the package's."""
    start, end = np.array(segment)
    part = np.clip(np.dot(point - start, end - start) / np.dot(end - start, end - start), 0, 1)
    return float(np.linalg.norm(point - start - part * (end - start)))


def test_kinks_at_nearly_one_place_share_a_name():
    """Two units turn over within a thousandth: one label names both; two that are apart keep a
    label each.
    """
    close = geometry.path(zoo.load("gt-lt"), "01", "10")
    assert 0 < close.kinks[1].t - close.kinks[0].t < 0.002
    assert [label.text for label in plots.path_figure(close).layout.annotations] == ["h0.0 + h0.1"]
    apart = plots.path_figure(geometry.path(zoo.load("or-and"), "00", "11"))
    assert [label.text for label in apart.layout.annotations] == ["h0.0", "h0.1"]


@pytest.mark.parametrize("name", ["or-and", "gt-lt"])
def test_names_of_regions_keep_off_the_decision_boundary(name):
    """Every name that is written stands at least a tenth away from the boundary."""
    model = zoo.load(name)
    (written,) = [
        trace for trace in plots.input_plane(model).data if trace.name == "names of regions"
    ]
    spots = [
        np.array([x, y])
        for x, y, text in zip(written.x, written.y, written.text, strict=True)
        if text
    ]
    assert len(spots) >= 2
    assert (
        min(
            distance_to_segment(spot, ends)
            for spot in spots
            for ends in geometry.boundary(model).segments.tolist()
        )
        > 0.1
    )


@pytest.mark.parametrize("sizes", [(2, 2, 1), (2, 3, 1), (2, 3, 3, 1)])
def test_what_is_written_in_the_plane_keeps_apart(sizes):
    """Names of lines and of regions, letters, numbers of contours, and the inputs with what is
    decided there: in pixels none lies on another, and all but the inputs' are inside the frame.
    Pixels of a character are those of DejaVu Sans in these sizes, rounded down.
    """
    n_letters = 0
    for seed in range(4):
        model = random_network(seed, sizes=sizes, target="XOR")
        way = geometry.path(model, "00", "11") if seed % 2 else None
        figure = plots.input_plane(model, path=way)
        low, high = figure.layout.xaxis.range
        margin = figure.layout.margin
        scale = (figure.layout.width - margin.l - margin.r) / (high - low)
        inside = [(note.x, note.y, note.text, 6.5) for note in figure.layout.annotations]
        for trace in figure.data:
            if trace.name in ("names of regions", "numbers of contours"):
                spots = zip(trace.x, trace.y, trace.text, strict=True)
                inside += [(x, y, text, 6) for x, y, text in spots if text]
        boxes = [box(x * scale, y * scale, text, width) for x, y, text, width in inside]
        for left, right, bottom, top in boxes:
            assert low * scale < left < right < high * scale
            assert low * scale < bottom < top < high * scale
        corners = next(trace for trace in figure.data if trace.name and "inputs" in trace.name)
        for x, y, text in zip(corners.x, corners.y, corners.text, strict=True):
            boxes.append(box(x * scale, y * scale, "--", 6.5))
            boxes.append(box(x * scale, y * scale + 16, text, 7))
        for number, one in enumerate(boxes):
            assert not [other for other in boxes[:number] if lie_on(one, other)]
        n_letters += explained(figure, model)
    assert sizes == (2, 2, 1) or n_letters > 0


def box(x, y, text, width):
    """Left, right, bottom and top of a text around a place, in pixels."""
    lines = re.sub("</?b>", "", text).split("<br>")
    half = width * max(map(len, lines)) / 2, 6 * len(lines)
    return x - half[0], x + half[0], y - half[1], y + half[1]


def lie_on(one, other):
    """Whether two boxes do."""
    left, right, bottom, top = one
    return left < other[1] and other[0] < right and bottom < other[3] and other[2] < top


def explained(figure, model):
    """How many regions have a letter: the legend says of each which units are on there, which is
    what the network has at that place, as it has where the name itself stands.
    """
    legend = {
        trace.name[0]: trace.name[3:] for trace in figure.data if (trace.name or "")[1:3] == "  "
    }
    names = next(trace for trace in figure.data if trace.name == "names of regions")
    n_letters = 0
    for x, y, text in zip(names.x, names.y, names.text, strict=True):
        if not text:
            continue
        layers = model.float64_layers()
        values = np.array([x, y])
        on = []
        for layer, (weight, bias) in enumerate(layers[:-1]):
            values = np.maximum(weight.numpy() @ values + bias.numpy(), 0)
            on += [f"h{layer}.{k}" for k in np.flatnonzero(values)]
        shown = text
        if text.startswith("<b>"):
            n_letters += 1
            shown = legend.pop(text[3])
        assert shown == (f"on: {' + '.join(on)}" if on else "all off")
    assert legend == {}
    return n_letters


def test_bars_of_conditions_are_equally_high():
    """Whether one, two or three hold; each is under its inequality and within its own slot."""
    tried = HookedMLP.from_weights([([[1, -1], [-1, 1]], [0, 0]), ([[1, 1]], [-2])], target="XOR")
    figure = plots.conditions_figure(margins.conditions(tried))
    assert len({(bar.width, bar.offset) for bar in figure.data}) == 1
    bar = figure.data[0]
    assert -0.5 < bar.offset < bar.offset + bar.width <= 0.5
    for number, note in enumerate(figure.layout.annotations):
        slot = (figure.layout.height - figure.layout.margin.t - figure.layout.margin.b) / 4
        lowest = note.y + 15 * (note.text.count("<br>") + 1) / slot
        assert number - 0.5 <= note.y < lowest <= number + bar.offset


def test_family_weights_draws_every_hidden_unit_of_the_solved():
    """As many dots as solved networks have hidden units, one panel per family."""
    networks = census(train_population("XOR", 60))
    figure = plots.family_weights(networks)
    assert sum(len(trace.x) for trace in figure.data) == 2 * networks["solved"].sum()
