"""a network of two inputs -> the segments along which its decision changes.

Piecewise linear hidden units: in closed form. The plane is cut into the pieces on which the network
is affine, each piece along the threshold, and the boundary is every edge between two pieces that
are decided differently (so the jumps of heaviside units and the rims of undecided areas belong to
it). Smooth hidden units: marching squares (Lorensen and Cline 1987, in two dimensions) on a grid
whose crossings are bracketed and found on the grid lines; each segment is a chord of the boundary
between two of its points.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.spatial import KDTree
from torch import Tensor

from xor_mi.errors import whole_number
from xor_mi.finding import Finding
from xor_mi.geometry._brackets import roots, scores_at
from xor_mi.geometry._cells import Cell, as_box, cut_at, cut_plane, size_of
from xor_mi.geometry._pieces import (
    NEGLIGIBLE_SHARE,
    PIECEWISE_LINEAR,
    Lines,
    is_piecewise_linear,
    readout_cut,
)
from xor_mi.geometry._scores import rivals_of, score_names
from xor_mi.kinds import Bounds
from xor_mi.metrics import UNDECIDED
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar

SAME_POINT = 1e-10
"""Corners of neighbouring cells nearer than this, against the size of the plane, are one point."""


@dataclass(frozen=True, eq=False)
class Boundary(Finding):
    """The boundary of one decision: segments [segment, end, (x0, x1)].

    Each runs from left to right (upwards where it is vertical); they are in order of their starts.

    Attributes:
        output: which decision it is; that of an output has the output's number.
        is_piecewise_linear: whether the boundary is made of straight lines, so that every point of
            every segment is on it (up to float64 rounding). If not, only the ends are, to about
            1e-12 of a grid step, and a closed boundary that fits between two grid lines is not
            seen.
        step: the grid's step along x0 and x1 where the boundary is curved, else None.
        score: what is decided by, such as "y0", or "y1 - y0" for argmax over two outputs.
        levels: the numbers that stand for bit 0 and bit 1.
    """

    segments: Float[Tensor, "segment 2 2"] = field(repr=False)
    output: int
    is_piecewise_linear: bool
    step: tuple[float, float] | None
    score: str = "y0"
    levels: tuple[float, float] = (0.0, 1.0)

    @property
    def length(self) -> float:
        """The total length."""
        return self._lengths().sum().item()

    def frame(self) -> pd.DataFrame:
        """One line per segment: output, start_x0, start_x1, end_x0, end_x1, length."""
        (start_x0, start_x1), (end_x0, end_x1) = self.segments.permute(1, 2, 0).tolist()
        columns = {
            "output": self.output,
            "start_x0": start_x0,
            "start_x1": start_x1,
            "end_x0": end_x0,
            "end_x1": end_x1,
            "length": self._lengths().tolist(),
        }
        return pd.DataFrame(columns)

    def _lengths(self) -> Float[Tensor, " segment"]:
        return (self.segments[:, 1] - self.segments[:, 0]).norm(dim=1)


def boundary(
    model: HookedMLP,
    *,
    bounds: Bounds | None = None,
    output: int = 0,
    n_points: int = 201,
    progress: bool = True,
) -> Boundary:
    """Where one decision changes inside a rectangle of the plane.

    By a threshold each output is a decision, by argmax over two outputs there is one, and its
    boundary is where the two are equal; by argmax over more, decision k is whether output k wins.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)). By default half the
            distance between the input levels more on each side: (-0.5, 1.5) for 0 and 1.
        n_points: grid lines each way, for hidden units that are not piecewise linear; not used
            otherwise.
        progress: a bar, where the work takes over two seconds.

    >>> from xor_mi.handmade import textbook_xor
    >>> boundary(textbook_xor(), bounds=(0, 1)).segments.tolist()
    [[[0.0, 0.5], [0.5, 0.0]], [[0.5, 1.0], [1.0, 0.5]]]

    Raises:
        XorMiError: other than two inputs, no such output, empty bounds, fewer than 2 grid lines, or
            more pieces than `regions` allows.
    """
    require_plain_mlp(model, "the decision boundary")
    box = as_box(model, bounds)
    output = model.require_output(output)
    n_points = whole_number("n_points", n_points, at_least=2)
    if is_piecewise_linear(model):
        cells = _decided_cells(model, box, output, progress)
        segments, step = _between_cells(cells, size_of(model, box), progress), None
    else:
        segments = _marched(model, box, output, n_points)
        step_x0, step_x1 = ((box[:, 1] - box[:, 0]) / (n_points - 1)).tolist()
        step = (step_x0, step_x1)
    return Boundary(
        segments=_ordered(segments),
        output=output,
        is_piecewise_linear=step is None,
        step=step,
        score=score_names(model)[output],
        levels=model.cfg.input_levels,
    )


def _ordered(segments: Float[ndarray, "segment 2 2"]) -> Float[Tensor, "segment 2 2"]:
    """The same segments with their ends, and themselves, in one order."""
    directed = [sorted(map(tuple, ends)) for ends in segments.tolist()]
    return torch.tensor(sorted(directed), dtype=torch.float64).reshape(-1, 2, 2)


# piecewise linear units: edges between cells


@dataclass(frozen=True, eq=False)
class _DecidedCell:
    """A convex polygon all of which is decided alike.

    1, 0, or -1 where the output is the threshold itself.
    """

    corners: Float[ndarray, "corner 2"]
    decision: int


def _decided_cells(
    model: HookedMLP, box: Float[ndarray, "2 2"], output: int, progress: bool
) -> list[_DecidedCell]:
    """The plane as polygons with one decision each."""
    # A smooth output is not affine: there the readout is held against a moved threshold.
    follows_output = model.cfg.out_act_fn in PIECEWISE_LINEAR
    cut = model.rule.cut if follows_output else readout_cut(model)
    rivals = rivals_of(model)[output]  # [rival, d_out]
    decided: list[_DecidedCell] = []
    for cell in cut_plane(model, box, progress=progress):
        if np.isinf(cut):
            decided.append(_DecidedCell(cell.corners, int(cut < 0)))
            continue
        above_cut = cell.through(rivals, np.full(len(rivals), -cut))
        reach = np.abs(cell.corners).max()
        of_outputs = np.abs(cell.bias) + reach * np.abs(cell.weight).sum(1)
        terms = abs(cut) + np.abs(rivals) @ of_outputs
        parts = [above_cut]
        for rival in range(len(rivals)):
            parts = cut_at(parts, rival)
        decided += [_DecidedCell(part.corners, _decision_in(part, terms)) for part in parts]
    return decided


def _decision_in(part: Cell, terms: Float[ndarray, " rival"]) -> int:
    """What is decided in a cell on which each rival is on one side of the cut, or flat on it."""
    is_flat = np.abs(part.values(part.corners)).max(0) <= NEGLIGIBLE_SHARE * terms
    sign = np.where(is_flat, 0, np.where(part.values(part.corners.mean(0)) > 0, 1, -1)).min()
    return UNDECIDED if sign == 0 else int(sign > 0)


def _between_cells(
    cells: list[_DecidedCell], size: float, progress: bool
) -> Float[ndarray, "segment 2 2"]:
    """The edges between polygons of different decisions.

    Args:
        size: how large numbers in the plane are.
    """
    corners = np.concatenate([cell.corners for cell in cells])
    # Corners that are the same point get the number of the first of them, then one number each.
    nearby = KDTree(corners).query_ball_point(corners, SAME_POINT * size)
    first = np.array([min(numbers) for numbers in nearby])
    distinct, number_of = np.unique(first, return_inverse=True)
    points = corners[distinct]
    # Each piece of an edge, between two neighbouring points, with the decisions on its sides.
    sides: dict[tuple[int, int], list[int]] = {}
    n_passed = 0
    for cell in progress_bar(cells, doing="comparing regions", unit="region", progress=progress):
        numbers = number_of[n_passed : n_passed + len(cell.corners)].tolist()
        n_passed += len(numbers)
        for here, there in zip(numbers, [*numbers[1:], numbers[0]], strict=True):
            for a, b in pairwise(_on_segment(points, here, there, size)):
                sides.setdefault((min(a, b), max(a, b)), []).append(cell.decision)
    segments = []
    for (a, b), decisions in sides.items():
        # one decision only: the rim of the box
        if a != b and len(decisions) == 2 and decisions[0] != decisions[1]:
            segments.append((points[a], points[b]))
    return np.array(segments).reshape(-1, 2, 2)


def _on_segment(points: Float[ndarray, "point 2"], here: int, there: int, size: float) -> list[int]:
    """The points that lie on the way from one to another, both included, in order.

    There may be some between them, because neighbours' edges may end within this one.
    """
    way = points[there] - points[here]
    length = np.hypot(way[0], way[1])
    if length == 0:
        return [here]
    to = points - points[here]
    along = to @ way / length
    aside = np.abs(to[:, 0] * way[1] - to[:, 1] * way[0]) / length
    near = SAME_POINT * size
    between = np.nonzero((aside <= near) & (along > near) & (along < length - near))[0]
    return [here, *between[np.argsort(along[between])].tolist(), there]


# smooth units: marching squares


def _marched(
    model: HookedMLP, box: Float[ndarray, "2 2"], output: int, n_points: int
) -> Float[ndarray, "segment 2 2"]:
    """Chords between the crossings of the grid lines, square by square."""
    x0, x1 = (np.linspace(low, high, n_points) for low, high in box)
    nodes = np.stack(np.meshgrid(x0, x1, indexing="ij"), -1)
    above = _is_above(model, output, nodes)
    # [i, j]: the crossing on the grid line that starts at node (i, j), along x0 and along x1.
    on_x0_lines = _crossings(model, output, nodes[:-1], nodes[1:], above[:-1] != above[1:])
    on_x1_lines = _crossings(
        model, output, nodes[:, :-1], nodes[:, 1:], above[:, :-1] != above[:, 1:]
    )
    bottom, top = on_x0_lines[:, :-1], on_x0_lines[:, 1:]
    left, right = on_x1_lines[:-1], on_x1_lines[1:]
    # [i, j, (bottom, right, top, left), 2]: the crossings on the rim of square (i, j).
    around = np.stack([bottom, right, top, left], axis=2)
    is_crossing = ~np.isnan(around[..., 0])
    n_crossings = is_crossing.sum(-1)
    single = n_crossings == 2
    chords = [around[single][is_crossing[single]].reshape(-1, 2, 2)]
    for i, j in np.argwhere(n_crossings == 4):
        # A saddle: the value in the middle says which corners hang together.
        bottom, right, top, left = around[i, j]
        middle = (nodes[i, j] + nodes[i + 1, j + 1]) / 2
        if _is_above(model, output, middle[None])[0] == above[i, j]:
            chords.append(np.array([[bottom, right], [top, left]]))
        else:
            chords.append(np.array([[bottom, left], [top, right]]))
    return np.concatenate(chords)


def _is_above(
    model: HookedMLP, output: int, points: Float[ndarray, "*batch 2"]
) -> Bool[ndarray, "*batch"]:
    """Whether the score is above the cut at these points."""
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    return scores_at(model, 0, points @ weight.T + bias, points)[..., output] > 0


def _crossings(
    model: HookedMLP,
    output: int,
    starts: Float[ndarray, "i j 2"],
    ends: Float[ndarray, "i j 2"],
    differ: Bool[ndarray, "i j"],
) -> Float[ndarray, "i j 2"]:
    """Where the score crosses the cut between starts and ends that are decided differently.

    NaN on the stretches whose ends are decided alike.
    """
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    start, way = starts[differ], ends[differ] - starts[differ]
    n = len(start)
    t = roots(
        model,
        0,
        Lines(start @ weight.T + bias, way @ weight.T),
        Lines(start, way),
        output=np.full(n, output),
        low=np.zeros(n),
        high=np.ones(n),
    )
    crossings = np.full(starts.shape, np.nan)
    crossings[differ] = start + t[:, None] * way
    return crossings
