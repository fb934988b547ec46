"""Lines, regions, boundaries, paths and slack against exact fractions: integer, duplicated,
axis-aligned, tiny and huge weights, lines through 0 and through corners, small, large and far boxes.
"""

import random
from fractions import Fraction

import fuzz_geometry
import numpy as np
import pytest
import torch
from networks import random_network
from oracles import geometry as exact

from xor_mi.errors import XorMiError
from xor_mi.geometry import _contour, _plane, boundary, input_plane, path, regions
from xor_mi.graph import Unit
from xor_mi.handmade import edit
from xor_mi.margins import slack_to_flip
from xor_mi.model import HookedMLP

pytestmark = pytest.mark.as_a_user


def network(*layers, **settings):
    """A network of these weights, in float64."""
    tensors = [tuple(torch.from_numpy(np.array(v, dtype=float)) for v in layer) for layer in layers]
    return HookedMLP.from_weights(tensors, **settings)


def test_a_sample_of_drawn_networks_is_divided_as_fractions_divide_it():
    """Twenty networks, about 60 comparisons each."""
    n_made, found = 0, []
    for seed in range(20):
        n, lines = fuzz_geometry.mismatches(random.Random(seed))
        n_made, found = n_made + n, found + lines
    assert n_made > 1000
    assert found == []


def test_the_comparison_finds_a_fault(monkeypatch):
    """With the tolerance of version 0.1.0's kind, absolute and too wide, pieces are missed."""
    monkeypatch.setattr("xor_mi.geometry._cells.EPSILON", 1e-2)
    found = [fuzz_geometry.mismatches(random.Random(seed))[1] for seed in range(4)]
    assert any(found)


def test_a_line_through_0_keeps_the_boundary_that_lies_on_it():
    """The boundary of leaky_relu(0.1 x0) is x0 = 0, whatever the weight's size."""
    for weight in (1.0, 0.1, 1e-8, 1e8):
        model = network(([[weight, 0]], [0.0]), ([[1]], [0.0]), act_fn="leaky_relu")
        segments = boundary(model).segments
        assert segments.numpy() == pytest.approx(np.array([[[0, -0.5], [0, 1.5]]]), abs=1e-15)
        assert [c.t for c in path(model, [-0.5, 0.2], [1.5, 0.2]).changes] == [0.25]


@pytest.mark.parametrize("factor", [2.0, 3.0, 0.1, -7.0, 1e9])
def test_lines_that_coincide_make_one_cut(factor):
    """Two units whose lines are the same up to a factor: two regions of the right areas."""
    line, bias = np.array([0.1, 0.3]), -0.15
    model = network(([line, factor * line], [bias, factor * bias]), ([[1, 1]], [0.0]))
    theirs = exact.regions(
        exact.Network((([line], [bias]), ([[1]], [0.0])), exact.activation("relu")),
        ((-0.5, 1.5), (-0.5, 1.5)),
    )
    areas = sorted(region.area for region in regions(model))
    assert areas == pytest.approx(sorted(float(region.area) for region in theirs), rel=1e-12)


def test_lines_through_corners_are_kept():
    """The diagonal is found whatever its weights' size; a line along a side too; one that only
    touches a corner is none.
    """
    for weight in (1.0, 0.2, 1e-8, 1e8):
        model = network(
            ([[-weight, weight], [weight, 0], [weight, weight]], [0.0, 0.5 * weight, weight]),
            ([[1, 1, 1]], [0.0]),
        )
        assert input_plane(model, n_points=2).lines == {
            Unit(0, 0): ((-0.5, -0.5), (1.5, 1.5)),
            Unit(0, 1): ((-0.5, -0.5), (-0.5, 1.5)),
        }


def test_every_point_is_in_a_region_and_only_points_on_edges_in_several():
    """The network of version 0.1.0's fault, of which a third of the points lay in no region."""
    model = network(
        (
            [[-0.2398, -0.5752], [0, -1.027], [0.2588, -0.3036], [0.9016, 0]],
            [0, 1.7454, 0, 0],
        ),
        ([[0.3217, -0.7178, -1.9704, 0.5]], [0.0]),
        act_fn="leaky_relu",
        negative_slope=0.5,
    )
    for bounds in ((-0.5, 1.5), (0, 1e-3), (-1e4, 1e4)):
        low, high = bounds
        points = torch.rand(
            5000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )
        points = low + (high - low) * points
        found = regions(model, bounds=bounds)
        inside = torch.stack([region.contains(points) for region in found]).sum(0)
        assert (inside == 1).all()
        assert sum(region.area for region in found) == pytest.approx((high - low) ** 2, rel=1e-12)


def test_a_far_and_a_small_rectangle_are_divided_like_one_at_0():
    """Lines moved by 2^20, in a rectangle of 2^-10: the same areas, and the same boundary as well as
    float64 tells points that far out apart.
    """
    here = network(([[1, 1], [1, -1]], [-1, 0.25]), ([[1, -2]], [-0.125]))
    far, size = 2.0**20, 2.0**-10
    there = network(
        ([[1, 1], [1, -1]], [-size - 2 * far, 0.25 * size]), ([[1, -2]], [-0.125 * size])
    )
    bounds = (far - size / 2, far + 1.5 * size)
    ours, moved = regions(here), regions(there, bounds=bounds)
    assert [region.area * size**2 for region in ours] == [region.area for region in moved]
    segments = boundary(there, bounds=bounds).segments
    right = boundary(here).segments.numpy()
    assert ((segments - far) / size).numpy() == pytest.approx(right, abs=2.0**-22)


@pytest.mark.parametrize("act_fn", ["tanh", "gelu", "sigmoid", "silu"])
def test_a_smooth_boundary_meets_the_grid_where_paths_change(act_fn):
    """Along a line of the grid, every change of a path is an end of the boundary's segments."""
    n_changes = 0
    for seed in range(6):
        model = random_network(seed, act_fn, sizes=(2, 4, 1))
        ends = boundary(model, bounds=(-1, 1), n_points=81).segments.reshape(-1, 2)
        for number in (20, 41):
            x1 = float(np.linspace(-1, 1, 81)[number])
            changes = path(model, [-1.0, x1], [1.0, x1], n_points=2).changes
            gaps = np.diff([-1.0, *(change.input[0] for change in changes), 1.0])
            if min(gaps) < 2 / 80:
                continue  # two changes in one step of the grid are not seen by it
            for change in changes:
                n_changes += 1
                away = (ends - torch.tensor(change.input, dtype=torch.float64)).norm(dim=1)
                assert away.min() < 1e-9
    assert n_changes > 3


def test_a_grid_in_strips_is_the_grid_at_once(monkeypatch):
    """Boundary and plane do not depend on how many points are computed at a time."""
    model = random_network(3, "tanh", sizes=(2, 5, 1))
    edge, plane = boundary(model, n_points=41), input_plane(model, n_points=41)
    monkeypatch.setattr(_contour, "NODES_AT_ONCE", 500)
    monkeypatch.setattr(_plane, "VALUES_AT_ONCE", 500)
    in_strips = boundary(model, n_points=41).segments
    assert in_strips.numpy() == pytest.approx(edge.segments.numpy(), abs=1e-12)
    assert torch.allclose(input_plane(model, n_points=41).outputs, plane.outputs, atol=1e-14)


def test_a_saddle_is_drawn_by_the_value_in_its_middle():
    """tanh(x0) tanh(x1)-like: the boundary of x0 x1 = c hangs together as the middle says."""
    model = network(
        ([[1.0, 1.0], [1.0, -1.0]], [0.0, 0.0]), ([[1.0, -1.0]], [-0.001]), act_fn="softplus"
    )
    for sign in (1, -1):
        saddle = edit(model, {"fc2.weight[0, 1]": -1.0, "fc2.bias[0]": sign * 1e-3})
        segments = boundary(saddle, bounds=(-1, 1), n_points=4).segments
        assert len(segments) > 2


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: boundary(m, n_points=40_000), "1,600,000,000 points of the grid are more than"),
        (lambda m: input_plane(m, n_points=20_001), "a grid of 20,001 x 20,001 points would take"),
        (lambda m: path(m, "00", "11", n_points=10**9), "1,000,000,000 points of a path through"),
    ],
)
def test_what_would_fill_the_memory_is_refused_with_the_switch(ask, message):
    """Before anything is computed, with the number asked for and the setting to change."""
    with pytest.raises(XorMiError, match=f"{message}.*give a smaller n_points"):
        ask(random_network(0, "tanh", sizes=(2, 3, 1)))


@pytest.mark.parametrize("room", [5e-10, 5e-13, 2e-14])
def test_slack_is_as_small_as_it_is(room):
    """The textbook's XOR with an output bias that is nearly used up, exactly in fractions."""
    bias = -1 + room
    model = network(([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [bias]), target="XOR")
    held = slack_to_flip(model, "fc2.bias[0]").smallest
    assert held.down == float(Fraction(bias) + 1)
    assert held.row_lower == "01, 10"
    half = edit(model, {"fc2.bias[0]": bias - held.down / 2})
    assert ((half(half.rows()) > 0) == (model(model.rows()) > 0)).all()


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e3, 1e8])
def test_slack_of_all_scales_before_a_smooth_unit(scale):
    """sign of tanh(scale (x + 3e-10)): its bias may fall by what it is, on row 0; the weight by a
    little more than it is.
    """
    model = network(
        ([[scale]], [3e-10 * scale]), ([[1.0]], [0.0]), act_fn="tanh", decision_threshold=0.0
    )
    bias, weight = (
        slack_to_flip(model, name).smallest for name in ("fc1.bias[0]", "fc1.weight[0, 0]")
    )
    assert (bias.down, bias.row_lower) == (pytest.approx(3e-10 * scale, rel=1e-6), "0")
    assert weight.down == pytest.approx(scale * (1 + 3e-10), rel=1e-9)


def test_a_tie_that_any_move_decides_alike_has_no_slack():
    """leaky_relu(x) with slope -1/4 and two outputs 2h and h/5: on 0 both are 0, and beside it the
    first is larger on either side.
    """
    model = network(
        ([[1.0]], [0.0]),
        ([[2.0], [0.2]], [0.0, 0.0]),
        act_fn="leaky_relu",
        negative_slope=-0.25,
        decision_rule="argmax",
    )
    held = slack_to_flip(model, "fc1.bias[0]").smallest
    assert (held.down, held.up, held.row_lower) == (0, 0, "0")


@pytest.mark.parametrize("side", [1e-305, 1e-200, 1e-9, 1e150, 1e300])
def test_every_point_is_in_one_region_however_small_the_rectangle(side):
    """Areas of 1e-400 are 0 and of 1e600 infinite, but a point is on one side of a line only."""
    weight, bias = np.array([[0.5 / side, 0.25 / side]]), np.array([-0.1])
    layers = [(weight, bias), (np.array([[1.0]]), np.array([-0.5]))]
    found = regions(
        HookedMLP.from_weights(layers, act_fn="heaviside"), bounds=((-side, side), (-side, side))
    )
    shares = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = (2 * shares - 1) * side
    is_above = 0.5 * (points[:, 0] / side) + 0.25 * (points[:, 1] / side) > 0.1
    inside = [region.contains(points, tolerance=0.0).tolist() for region in found]
    assert sorted(inside) == sorted([is_above.tolist(), (~is_above).tolist()])
