"""Labels of figures where they used to collide: kinks at nearly one place, names of regions on the
boundary, bars of two kinds.
"""

import numpy as np
import pytest

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
