"""a network of two inputs -> the segments along which its decision changes.

Piecewise linear hidden units: exact. The plane is cut into the pieces on which the network is
affine, each piece along the threshold, and the boundary is every edge between two pieces that are
decided differently (so the jumps of heaviside units and the rims of undecided areas belong to it).
Smooth hidden units: marching squares (Lorensen and Cline 1987, in two dimensions) on a grid whose
crossings are bracketed and found on the grid lines; each segment is a chord of the boundary between
two of its points."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial import KDTree
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.geometry._brackets import roots, values_at
from xor_mi.geometry._cells import Cell, as_box, cut_at_zero, cut_plane
from xor_mi.geometry._pieces import PIECEWISE_LINEAR, ROUNDING, is_piecewise_linear, readout_cut
from xor_mi.model import HookedMLP, require_plain_mlp


@dataclass(frozen=True, eq=False)
class Boundary:
    """The decision boundary of one output: segments [segment, end, (x0, x1)], each from left to
    right (upwards where it is vertical), in order of their starts.

    Attributes:
        exact: whether every point of every segment is on the boundary (up to float64 rounding). If
            not, only the ends are, to about 1e-12 of a grid step, and a closed boundary that fits
            between two grid lines is not seen.
        step: the grid's step along x0 and x1 where it is not exact, else None.
    """

    segments: Float[Tensor, "segment 2 2"] = field(repr=False)
    output: int
    exact: bool
    step: tuple[float, float] | None

    @property
    def length(self) -> float:
        """The total length."""
        return (self.segments[:, 1] - self.segments[:, 0]).norm(dim=1).sum().item()


def boundary(
    model: Any, *, bounds: Any = (-0.5, 1.5), output: Any = 0, n_points: Any = 201
) -> Boundary:
    """Where one output's decision changes inside a rectangle of the plane.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)).
        n_points: grid lines each way, for hidden units that are not piecewise linear; not used
            otherwise.

    >>> from xor_mi.handmade import textbook_xor
    >>> boundary(textbook_xor(), bounds=(0, 1)).segments.tolist()
    [[[0.0, 0.5], [0.5, 0.0]], [[0.5, 1.0], [1.0, 0.5]]]

    Raises:
        XorMiError: other than two inputs, no such output, empty bounds, fewer than 2 grid lines, or
            more pieces than `regions` allows.
    """
    require_plain_mlp(model, "the decision boundary")
    box = as_box(model, bounds)
    if isinstance(output, bool) or not isinstance(output, int) or not 0 <= output < model.cfg.d_out:
        raise XorMiError(
            f"no output {output!r}; this network has {model.cfg.d_out}: 0 to {model.cfg.d_out - 1}"
        )
    if isinstance(n_points, bool) or not isinstance(n_points, int) or n_points < 2:
        raise XorMiError(f"n_points is {n_points!r}; give at least 2")
    if is_piecewise_linear(model):
        return Boundary(
            _ordered(_between_cells(_decided_cells(model, box, output), box)), output, True, None
        )
    steps = (box[:, 1] - box[:, 0]) / (n_points - 1)
    return Boundary(
        _ordered(_marched(model, box, output, n_points)),
        output,
        False,
        (steps[0].item(), steps[1].item()),
    )


def _ordered(segments: ndarray) -> Tensor:
    """[n, 2, 2] -> the same with ends and segments in one order."""
    return torch.tensor(
        sorted(sorted(map(tuple, ends)) for ends in segments.tolist()), dtype=torch.float64
    ).reshape(-1, 2, 2)


def _decided_cells(model: HookedMLP, box: ndarray, output: int) -> list[tuple[ndarray, int]]:
    """Convex polygons with one decision each: 1, 0, or -1 where the output is the threshold
    itself.
    """
    cut = model.threshold if model.cfg.out_act_fn in PIECEWISE_LINEAR else readout_cut(model)
    found = []
    for cell in cut_plane(model, box):
        if np.isinf(cut):
            found.append((cell.corners, int(cut < 0)))
            continue
        weight, bias = cell.weight[output : output + 1], cell.bias[output : output + 1] - cut
        scale = (
            abs(cut) + np.abs(cell.bias[output]) + np.abs(cell.corners).max() * np.abs(weight).sum()
        )
        for part in cut_at_zero(Cell(cell.corners, weight, bias)):
            value = part.values(part.corners.mean(0))[0]
            flat = np.abs(part.values(part.corners)).max() <= ROUNDING * scale
            found.append((part.corners, -1 if flat else int(value > 0)))
    return found


def _between_cells(cells: list[tuple[ndarray, int]], box: ndarray) -> ndarray:
    """The edges between polygons of different decisions, as segments [n, 2, 2]."""
    size = np.abs(box).max() + 1
    corners = np.concatenate([polygon for polygon, _ in cells])
    first = np.array(
        [min(near) for near in KDTree(corners).query_ball_point(corners, 1e-10 * size)]
    )  # each corner has one number
    numbers, first = np.unique(first, return_inverse=True)
    points, place = corners[numbers], 0
    seen: dict[tuple[int, int], list[int]] = {}
    for polygon, decided in cells:
        names = first[place : place + len(polygon)].tolist()
        place += len(polygon)
        for here, there in zip(names, [*names[1:], names[0]], strict=True):
            chain = _on_segment(points, here, there, size)
            for a, b in pairwise(chain):
                seen.setdefault((min(a, b), max(a, b)), []).append(decided)
    segments = [
        (points[a], points[b])
        for (a, b), sides in seen.items()
        if a != b and len(sides) == 2 and sides[0] != sides[1]
    ]
    return np.array(segments).reshape(-1, 2, 2)


def _on_segment(points: ndarray, here: int, there: int, size: float) -> list[int]:
    """The corners that lie on the way from one to another, both included, in order: neighbours'
    edges may end within this one.
    """
    way = points[there] - points[here]
    length = np.hypot(*way)
    if length == 0:
        return [here]
    to = points - points[here]
    along, aside = to @ way / length, np.abs(to[:, 0] * way[1] - to[:, 1] * way[0]) / length
    between = np.nonzero(
        (aside <= 1e-10 * size) & (along > 1e-10 * size) & (along < length - 1e-10 * size)
    )[0]
    return [here, *between[np.argsort(along[between])].tolist(), there]


def _marched(model: HookedMLP, box: ndarray, output: int, n_points: int) -> ndarray:
    """Chords between the crossings of the grid lines, cell by cell, [n, 2, 2]."""
    x, y = (np.linspace(low, high, n_points) for low, high in box)
    nodes = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    above = values_at(model, 0, nodes @ weight.T + bias)[..., output] > model.threshold
    crossing = []  # [x index, y index] -> the crossing on the grid line that starts there, along x0 and along x1
    for start, end, differ in (
        (nodes[:-1], nodes[1:], above[:-1] != above[1:]),
        (nodes[:, :-1], nodes[:, 1:], above[:, :-1] != above[:, 1:]),
    ):
        a, b = start[differ], end[differ]
        n = len(a)
        t = roots(
            model,
            0,
            a @ weight.T + bias,
            (b - a) @ weight.T,
            np.full(n, output),
            np.zeros(n),
            np.ones(n),
        )
        points = np.full((*differ.shape, 2), np.nan)
        points[differ] = a + t[:, None] * (b - a)
        crossing.append(points)
    across, along = crossing
    around = np.stack(
        [across[:, :-1], along[1:], across[:, 1:], along[:-1]], axis=2
    )  # [i, j, (bottom, right, top, left), 2]
    count = (~np.isnan(around[..., 0])).sum(-1)
    single = around[count == 2]
    segments = [single[~np.isnan(single[..., 0])].reshape(-1, 2, 2)]
    for i, j in zip(
        *np.nonzero(count == 4), strict=True
    ):  # a saddle: the value in the middle says which corners hang together
        bottom, right, top, left = around[i, j]
        middle = (nodes[i, j] + nodes[i + 1, j + 1]) / 2
        joined = (values_at(model, 0, weight @ middle + bias)[output] > model.threshold) == above[
            i, j
        ]
        segments.append(
            np.array([[bottom, right], [top, left]] if joined else [[bottom, left], [top, right]])
        )
    return np.concatenate(segments)
