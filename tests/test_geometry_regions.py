"""Regions and boundaries of the input plane: against a fine grid, autograd, closed forms and each
other.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from networks import random_network

from xor_mi.errors import XorMiError
from xor_mi.geometry import _cells as cells_module
from xor_mi.geometry import boundary, path, regions
from xor_mi.graph import Unit
from xor_mi.metrics import decision
from xor_mi.model import ACTIVATIONS, HookedMLP

pytestmark = pytest.mark.as_a_user

LINEAR_PIECES = (
    "relu",
    "leaky_relu",
    "relu6",
    "hardtanh",
    "hardsigmoid",
    "identity",
    "heaviside",
    "sign",
)
OUTPUTS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "heaviside", "softplus")
BOX = ((-2.0, 1.5), (-1.0, 2.0))


def grid_points(n=81, box=BOX):
    """An n by n grid over the box, [n, n, 2], shifted off round numbers."""
    x, y = (torch.linspace(low + 1e-4, high - 3e-4, n, dtype=torch.float64) for low, high in box)
    return torch.stack(torch.meshgrid(x, y, indexing="ij"), -1)


def crossed(segments, a, b):
    """How many of the segments each straight way from a to b meets, counted by orientation signs.

    Points are [way, 2]; the answer is [way].
    """
    p, q = segments[:, 0], segments[:, 1]
    a, b = a[:, None], b[:, None]  # [way, segment, 2]

    def side(u, v, w):
        return torch.sign(
            (v[..., 0] - u[..., 0]) * (w[..., 1] - u[..., 1])
            - (v[..., 1] - u[..., 1]) * (w[..., 0] - u[..., 0])
        )

    return ((side(p, q, a) != side(p, q, b)) & (side(a, b, p) != side(a, b, q))).sum(-1)


def test_the_textbook_plane_by_hand(textbook):
    """Three strips: both units off, h0.0 on, both on; the boundary is x0 + x1 = 0.5 and 1.5."""
    found = regions(textbook, bounds=(0, 1))
    assert [sorted(region.on) for region in found] == [[Unit(0, 0)], [Unit(0, 0), Unit(0, 1)]]
    assert [region.area for region in found] == [0.5, 0.5]
    assert boundary(textbook, bounds=(0, 1)).length == pytest.approx(2**0.5)


def test_tables_of_regions_and_of_the_boundary(textbook):
    """One line per region and output, and one per segment, with the numbers of the values."""
    found = regions(textbook, bounds=(0, 1))
    assert (len(found), found[0].area, found.bounds) == (2, 0.5, ((0, 1), (0, 1)))
    table = found.frame()
    assert table.columns.tolist() == [
        "region", "on", "area", "center_x0", "center_x1", "output", "weight_x0", "weight_x1", "bias",
    ]  # fmt: skip
    assert table["on"].tolist() == ["h0.0", "h0.0 + h0.1"]
    assert table[["output", "weight_x0", "weight_x1", "bias"]].to_numpy().tolist() == [
        [0, 1, 1, 0],
        [0, -1, -1, 2],
    ]
    assert str(found).startswith("2 regions on which the network is affine")
    line = boundary(textbook, bounds=(0, 1))
    assert line.frame().columns.tolist() == [
        "output", "start_x0", "start_x1", "end_x0", "end_x1", "length",
    ]  # fmt: skip
    assert line.frame().iloc[0].tolist()[:5] == [0, 0, 0.5, 0.5, 0]
    assert line.frame()["length"].sum() == pytest.approx(line.length)
    assert boundary(textbook, bounds=(-3, -2)).frame().empty


@pytest.mark.parametrize("act_fn", LINEAR_PIECES)
@pytest.mark.parametrize("out_act_fn", ["identity", "relu", "heaviside", "leaky_relu"])
def test_inside_a_region_the_network_is_its_affine_map(act_fn, out_act_fn):
    """Every grid point lies in a region, whose map gives the network's outputs there and whose
    weight is autograd's gradient; areas add up.
    """
    points = grid_points(41)
    for seed in range(3):
        model = random_network(seed, act_fn, out_act_fn, sizes=(2, 5, 4, 2), negative_slope=-0.2)
        found = regions(model, bounds=BOX)
        assert sum(region.area for region in found) == pytest.approx(3.5 * 3.0, abs=1e-9)
        inside = torch.stack([region.contains(points, tolerance=0.0) for region in found])
        assert (inside.sum(0) <= 1).all()
        assert inside.any(0).float().mean() > 0.99  # the rest lies on an edge, to rounding
        for region, here in zip(found, inside, strict=True):
            at = points[here].requires_grad_()
            outputs = model(at)
            assert torch.allclose(outputs, at @ region.weight.T + region.bias, atol=1e-9)
            if len(at) and not {"heaviside", "sign"} & {act_fn, out_act_fn}:
                for k in range(2):
                    (gradient,) = torch.autograd.grad(outputs[:, k].sum(), at, retain_graph=True)
                    assert torch.allclose(gradient, region.weight[k].expand_as(gradient), atol=1e-9)
        if act_fn in ("relu", "leaky_relu"):
            assert len(found) > 10


def test_the_units_that_are_on_are_named():
    """The pattern of each region is that of the activations at its centre, cached by the hooks;
    outputs with a kink have one too.
    """
    model = random_network(4, "relu", "relu", sizes=(2, 4, 3, 1))
    for region in regions(model, bounds=BOX):
        _, cache = model.run_with_cache(region.center[None])
        on = {
            Unit(layer, int(j)) for layer in (0, 1) for j in (cache["pre", layer][0] > 0).nonzero()
        }
        on |= {Unit(2, 0, is_output=True)} if cache["hook_readout"][0, 0] > 0 else set()
        assert region.on == on


def test_regions_along_a_path_are_its_kinks():
    """Two ways: a path changes region exactly at its kinks."""
    model = random_network(5, "relu", sizes=(2, 5, 5, 1))
    found = regions(model, bounds=(-2, 2))
    walk = path(model, [-1.9, -1.7], [1.8, 1.95])
    edges = [0.0, *(kink.t for kink in walk.kinks), 1.0]
    middles = torch.tensor([(a + b) / 2 for a, b in pairwise(edges)], dtype=torch.float64)[:, None]
    points = (
        torch.tensor(walk.start)
        + middles * (torch.tensor(walk.end) - torch.tensor(walk.start)).double()
    )
    which = [[k for k, region in enumerate(found) if region.contains(point)] for point in points]
    assert len(edges) > 5
    assert all(len(one) == 1 for one in which)
    assert all(a != b for a, b in pairwise(which))


@pytest.mark.parametrize(
    ("act_fn", "out_act_fn"),
    [(act, "identity") for act in ACTIVATIONS] + [("relu", out) for out in OUTPUTS],
)
def test_no_grid_step_crosses_the_boundary_unseen(act_fn, out_act_fn):
    """Neighbours of a fine grid are decided differently exactly when an odd number of boundary
    segments lies between them; some do.
    """
    points, seen = grid_points(61), 0
    for seed in range(3):
        model = random_network(
            seed,
            act_fn,
            out_act_fn,
            sizes=(2, 5, 4, 2),
            decision_threshold={"sigmoid": 0.45}.get(out_act_fn, 0.3),
        )
        found = boundary(model, bounds=BOX, output=1)
        decided = decision(model(points.reshape(-1, 2)), threshold=model.threshold)[:, 1].reshape(
            points.shape[:2]
        )
        steps = [
            (points[:-1], points[1:], decided[:-1] != decided[1:]),
            (points[:, :-1], points[:, 1:], decided[:, :-1] != decided[:, 1:]),
        ]
        seen += sum(int(differ.sum()) for _, _, differ in steps)
        disagreements = 0
        for a, b, differ in steps:
            met = crossed(found.segments.reshape(-1, 2, 2), a.reshape(-1, 2), b.reshape(-1, 2))
            disagreements += int((met % 2 != differ.reshape(-1)).sum())
        assert disagreements <= (
            0 if found.is_piecewise_linear else 12
        )  # chords cut corners of a curve: a step may end between chord and curve
    assert seen > 20


@pytest.mark.parametrize("act_fn", ["relu", "leaky_relu", "tanh", "gelu", "sigmoid"])
def test_the_output_is_the_threshold_along_the_boundary(act_fn):
    """At the ends of each segment, and where the boundary is exact all along it, the output is the
    threshold.
    """
    model = random_network(2, act_fn, sizes=(2, 6, 4, 1))
    found = boundary(model, bounds=BOX)
    assert len(found.segments) > 1
    assert found.is_piecewise_linear == (act_fn in LINEAR_PIECES)
    for share in (0.0, 0.3, 1.0) if found.is_piecewise_linear else (0.0, 1.0):
        points = found.segments[:, 0] + share * (found.segments[:, 1] - found.segments[:, 0])
        assert model(points).abs().max() < 1e-9


def test_a_smooth_boundary_against_a_closed_form():
    """gelu and tanh of one sum: the boundary is the straight line where the sum is zero, of known
    length.
    """
    model = HookedMLP.from_weights(
        [([[1.0, 2.0]], [-1.5]), ([[3.0]], [0.0])], act_fn="tanh", dtype="float64"
    )
    found = boundary(model, bounds=(0, 1))
    assert found.length == pytest.approx(np.hypot(1, 0.5), abs=1e-9)
    assert (found.segments @ torch.tensor([1.0, 2.0], dtype=torch.float64) - 1.5).abs().max() < 1e-9


def test_a_boundary_that_lies_on_a_kink_is_found():
    """|x0 - 0.5| + |x1 - 0.5| above 0: zero only in a point. relu(x0 - 0.5) at threshold 0: flat
    left of the kink, which is the boundary.
    """
    model = HookedMLP.from_weights([([[1.0, 0.0]], [-0.5]), ([[1.0]], [0.0])])
    assert boundary(model, bounds=(0, 1)).segments.tolist() == [[[0.5, 0.0], [0.5, 1.0]]]
    both = HookedMLP.from_weights(
        [([[1, 0], [0, 1]], [-0.5, -0.5]), ([[1, 1]], [-1.5])], act_fn="heaviside"
    )
    assert boundary(both, bounds=(0, 1)).segments.tolist() == [
        [[0.5, 0.5], [0.5, 1.0]],
        [[0.5, 0.5], [1.0, 0.5]],
    ]


def test_a_constant_decision_has_no_boundary(textbook):
    """Nothing to draw is an empty tensor, of the usual shape."""
    assert boundary(textbook, bounds=(-3, -2)).segments.shape == (0, 2, 2)
    assert boundary(
        random_network(0, "tanh", sizes=(2, 3, 1), decision_threshold=99.0)
    ).segments.shape == (0, 2, 2)
    assert boundary(
        random_network(0, "relu", "sigmoid", sizes=(2, 3, 1), decision_threshold=1.0)
    ).segments.shape == (0, 2, 2)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "bounds", [(1, 0), (0, 0), "01", (0, 1, 2), ((0, 1), (1, 0)), (0, float("inf"))]
)
def test_empty_bounds_are_refused(textbook, bounds):
    """Nothing between them, not two of them, not finite."""
    for function in (regions, boundary):
        with pytest.raises(XorMiError, match="bounds are"):
            function(textbook, bounds=bounds)


def test_what_cannot_be_divided_is_refused(textbook, deep, monkeypatch):
    """Three inputs, smooth units, no such output, no grid, too many pieces."""
    with pytest.raises(XorMiError, match="a network with 2 inputs; this one has 3: use .*path"):
        boundary(deep)
    with pytest.raises(XorMiError, match="tanh units have no affine pieces"):
        regions(random_network(0, "tanh", sizes=(2, 3, 1)))
    with pytest.raises(XorMiError, match="no output 1; this network has 1"):
        boundary(textbook, output=1)
    with pytest.raises(XorMiError, match="n_points must be a whole number of at least 2, not 1"):
        boundary(textbook, n_points=1)
    monkeypatch.setattr(cells_module, "MAX_REGIONS", 2)
    with pytest.raises(XorMiError, match="more than 2 pieces"):
        regions(textbook)
