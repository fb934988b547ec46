"""How many pieces the plane falls into is counted before it is cut."""

import random

import numpy as np
import pytest
import torch
from networks import random_network
from oracles.geometry import n_pieces

from xor_mi import plots
from xor_mi.errors import XorMiError
from xor_mi.geometry import _cells as cells_module
from xor_mi.geometry import _pieces as pieces_module
from xor_mi.geometry import boundary, path, regions
from xor_mi.geometry._count import most_pieces, pieces_at_least, pieces_of_all_at_least
from xor_mi.model import HookedMLP

SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def lines_of_whole_numbers(rng, n_lines):
    """Many of them meet in one point, are parallel or the same, or touch a corner."""
    return [tuple(float(rng.randint(-3, 3)) for _ in range(3)) for _ in range(n_lines)]


def test_pieces_are_counted_as_exact_fractions_count_them():
    """Of lines of whole numbers, more of them than are held against each other at once."""
    rng = random.Random(0)
    for n_lines in (*range(1, 30), 150):
        lines = lines_of_whole_numbers(rng, n_lines)
        counted = pieces_at_least(SQUARE, np.array(lines), enough=10**6)
        assert counted == n_pieces(lines, ((-1, 1), (-1, 1)))
        assert counted <= most_pieces(n_lines)


def test_counting_ends_once_there_are_enough():
    """The number is above what is enough, and of several polygons it is that of all together."""
    lines = np.array(lines_of_whole_numbers(random.Random(1), 150))
    in_all = pieces_at_least(SQUARE, lines, enough=10**6)
    assert in_all >= pieces_at_least(SQUARE, lines, enough=20) > 20
    several = pieces_of_all_at_least([SQUARE] * 3, [lines, lines[:0], lines], enough=10**6)
    assert several == 2 * in_all + 1
    assert pieces_of_all_at_least([SQUARE] * 3, [lines] * 3, enough=in_all) > in_all


def test_lines_nearly_the_same_never_make_it_more_than_are_cut():
    """Copies of a line that rounding has moved: the cutting makes as many pieces, or more."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        weight = np.repeat(rng.normal(size=(3, 2)), 4, axis=0)
        weight *= 1 + rng.choice([0, 1e-16, 1e-12, 1e-9, 1e-6], size=weight.shape)
        bias = np.repeat(rng.normal(size=3), 4)
        model = HookedMLP.from_weights(
            [(torch.tensor(weight), torch.tensor(bias)), (torch.ones(1, 12), torch.zeros(1))],
            act_fn="relu",
        )
        lines = np.column_stack([weight, bias])
        counted = pieces_at_least(SQUARE, lines, enough=10**6)
        assert 1 < counted <= len(regions(model, bounds=(-1, 1)))


@pytest.mark.parametrize("divide", [regions, boundary])
def test_too_many_pieces_are_refused_before_any_is_cut(divide, monkeypatch):
    """In the first layer, and in a later one before that is begun."""
    n_cut = 0
    halves = cells_module.Cell.halves

    def counted(*arguments):
        nonlocal n_cut
        n_cut += 1
        return halves(*arguments)

    monkeypatch.setattr(cells_module.Cell, "halves", counted)
    with pytest.raises(XorMiError, match="the plane has more than 20,000 pieces"):
        divide(random_network(0, "relu", sizes=(2, 500, 1)))
    assert n_cut == 0
    monkeypatch.setattr(cells_module, "MAX_REGIONS", 30)
    with pytest.raises(XorMiError, match="the plane has more than 30 pieces"):
        divide(random_network(0, "relu", sizes=(2, 2, 60, 1)), bounds=(-3, 3))
    assert n_cut <= 3  # of two lines one may be cut in both its halves


def test_maps_too_large_to_hold_are_refused(monkeypatch):
    """Pieces times units: with the size that there would be."""
    monkeypatch.setattr(cells_module, "BYTES_OF_A_MAP", 10**9)
    with pytest.raises(XorMiError, match=r"4 pieces .* of 2 units would take 9 GB"):
        regions(random_network(1, "relu", sizes=(2, 2, 1)), bounds=(-9, 9))


def test_a_surface_too_large_to_draw_is_refused_before_it_is_computed(monkeypatch):
    """By the number of its points, with the setting to change."""
    monkeypatch.setattr(plots._plane.geometry, "input_plane", None)
    with pytest.raises(XorMiError, match="4,000,000 points of a surface.*give a smaller n_points"):
        plots.input_plane(random_network(0, "relu", sizes=(2, 2, 1)), n_points=2000)


def test_more_regions_than_are_named_are_drawn_at_their_centres():
    """Names of few regions keep clear of each other; of many there are none to read."""
    pieces = regions(random_network(0, "relu", sizes=(2, 12, 1)), bounds=(-3, 3))
    assert len(pieces) > plots._plane.MOST_REGIONS_NAMED
    drawn = plots.figure(pieces).data[-1]
    assert set(drawn.text) == {""}
    assert drawn.x == pytest.approx([piece.center[0].item() for piece in pieces])


def test_a_path_of_too_many_pieces_is_refused_before_they_are_followed(monkeypatch):
    """Pieces times the units of the next layer, with both numbers."""
    monkeypatch.setattr(pieces_module, "VALUES_HELD", 10**8)
    with pytest.raises(XorMiError, match="1 pieces of lines with 5 values each would take 5 GB"):
        path(random_network(0, "relu", sizes=(3, 5, 4, 1)), "000", "111")
