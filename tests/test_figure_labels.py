"""Labels of figures where they used to collide: kinks at nearly one place, names of regions on the
boundary, bars of two kinds.
"""

import numpy as np
import pytest

from xor_mi import HookedMLP, census, geometry, margins, plots, train_population, zoo
from xor_mi.circuits import identify_circuit

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
        trace
        for trace in plots.input_plane(model).data
        if trace.type == "scatter" and trace.mode == "text"
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


@pytest.mark.parametrize("hidden", [(2,), (4,), (3, 2)])
def test_numbers_of_weights_keep_off_the_boxes_of_units(hidden):
    """In pixels, as the figure's own size and ranges give them: a number of 36 by 14 touches no box,
    whose characters are 6.5 wide and whose lines are 16 high, however long the gate in it is.
    """
    model = train_population("XOR", 1, hidden=hidden)[0]
    figure = plots.network_diagram(model, identify_circuit(model, with_evidence=False))
    layout = figure.layout
    # plotly's own margins but for the lower one
    scale = np.array(
        [
            (layout.width - 160) / np.ptp(layout.xaxis.range),
            (layout.height - 100 - layout.margin.b) / np.ptp(layout.yaxis.range),
        ]
    )
    boxes = [note for note in layout.annotations if note.text.startswith("<b>")]
    numbers = [note for note in layout.annotations if not note.text.startswith("<b>")]
    assert len(numbers) == len(figure.data)
    for box in boxes:
        lines = box.text.replace("<b>", "").replace("</b>", "").split("<br>")
        reach = np.array([6.5 * max(map(len, lines)) + 12 + 36, 16 * len(lines) + 12 + 14]) / 2
        for number in numbers:
            away = abs(np.array([number.x - box.x, number.y - box.y])) * scale
            assert (away > reach).any(), (number.text, box.text)


def test_bars_of_conditions_are_equally_high():
    """Whether one, two or three hold."""
    tried = HookedMLP.from_weights([([[1, -1], [-1, 1]], [0, 0]), ([[1, 1]], [-2])], target="XOR")
    assert {bar.width for bar in plots.conditions_figure(margins.conditions(tried)).data} == {0.8}


def test_family_weights_draws_every_hidden_unit_of_the_solved():
    """As many dots as solved networks have hidden units, one panel per family."""
    networks = census(train_population("XOR", 60))
    figure = plots.family_weights(networks)
    assert sum(len(trace.x) for trace in figure.data) == 2 * networks["solved"].sum()
