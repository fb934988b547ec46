"""a network of two inputs -> the segments along which its decision changes.

With piecewise linear hidden units it is in closed form. The plane is cut into the pieces on which
the network is affine, and each piece along the threshold. The boundary is every edge between two
pieces that are decided differently (so the jumps of heaviside units and the rims of undecided areas
belong to it). With smooth hidden units, marching squares (Lorensen and Cline 1987, in two
dimensions) run on a grid, and the crossings are bracketed and found on the grid lines; each segment
is a chord between two points of the boundary.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import KDTree
from torch import Tensor

from xor_mi.errors import XorMiError, require_at_most, whole_number
from xor_mi.finding import Finding, number_text
from xor_mi.geometry._brackets import roots, scores_at
from xor_mi.geometry._cells import MAX_REGIONS, Cell, Frame, as_box, cut_at, cut_plane, through
from xor_mi.geometry._pieces import (
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
"""Corners of neighbouring cells that are nearer than this in a `Frame`'s square are one point."""

NODES_AT_ONCE = 1_000_000
"""Values of a layer on so many nodes times units are computed at once; a grid is cut in strips."""

MAX_DECIDED = 2 * MAX_REGIONS
"""More pieces with one decision each than this are refused; a cut at most doubles the regions."""

MAX_NODES = 10**9
"""A grid of more nodes than this is refused."""


@dataclass(frozen=True, eq=False)
class Boundary(Finding):
    """The boundary of one decision: segments [segment, end, (x0, x1)].

    Each segment goes from left to right (upwards if it is vertical); they are ordered by their
    starts.

    Attributes:
        output: the number of the decision; the decision of an output has the output's number.
        is_piecewise_linear: whether the boundary is made of straight lines, so that every point of
            every segment is on it (up to float64 rounding). If not, only the ends are on it, to
            about 1e-12 of a grid step, and a closed boundary that fits between two grid lines is
            missed.
        step: the grid's step along x0 and x1 if the boundary is curved, else None.
        score: what the decision is made by, such as "y0", or "y1 - y0" for argmax over two outputs.
        levels: the numbers that stand for bit 0 and bit 1.
    """

    segments: Float[Tensor, "segment 2 2"] = field(repr=False)
    output: int
    is_piecewise_linear: bool
    step: tuple[float, float] | None
    score: str = "y0"
    levels: tuple[float, float] = (0.0, 1.0)

    def __str__(self) -> str:
        if not len(self.segments):
            return f"the decision by {self.score} does not change anywhere in this rectangle"
        several = "straight segments" if self.is_piecewise_linear else "chords of a curve"
        return (
            f"the decision by {self.score} changes along {len(self.segments)} {several}, "
            f"{number_text(self.length)} long in all"
        )

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

    With a threshold each output is a decision. With argmax over two outputs there is one decision,
    and its boundary is where the two outputs are equal; with argmax over more, decision k is
    whether output k wins.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)). By default the plane
            goes half the distance between the input levels beyond them: (-0.5, 1.5) for 0 and 1.
        n_points: grid lines in each direction, used only for hidden units that are not piecewise
            linear.
        progress: show a bar if the work takes over half a second.

    >>> from xor_mi.handmade import textbook_xor
    >>> boundary(textbook_xor(), bounds=(0, 1)).segments.tolist()
    [[[0.0, 0.5], [0.5, 0.0]], [[0.5, 1.0], [1.0, 0.5]]]

    Raises:
        XorMiError: a network without exactly two inputs, no such output, empty bounds, fewer than 2
            grid lines, more than `MAX_NODES` nodes of the grid, or more pieces than `regions`
            allows.
    """
    require_plain_mlp(model, "the decision boundary")
    box = as_box(model, bounds)
    output = model.require_output(output)
    n_points = whole_number("n_points", n_points, at_least=2)
    if is_piecewise_linear(model):
        frame = Frame.of(box)
        cells = _decided_cells(model, frame, output, progress)
        segments, step = frame.inputs(_between_cells(cells, progress)), None
    else:
        segments = _marched(model, box, output, n_points, progress)
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
    """The same segments in a fixed order, each with its ends in a fixed order."""
    directed = [sorted(map(tuple, ends)) for ends in segments.tolist()]
    return torch.tensor(sorted(directed), dtype=torch.float64).reshape(-1, 2, 2)


# piecewise linear units: edges between cells


@dataclass(frozen=True, eq=False)
class _DecidedCell:
    """A convex polygon with one decision.

    It is 1, 0, or -1 if the output is the threshold itself. Corners are those of a `Cell`.
    """

    corners: Float[ndarray, "corner 2"]
    decision: int


def _decided_cells(
    model: HookedMLP, frame: Frame, output: int, progress: bool
) -> list[_DecidedCell]:
    """The plane as polygons with one decision each."""
    # A smooth output is not affine, so the readout is compared with a moved threshold.
    follows_output = model.cfg.out_act_fn in PIECEWISE_LINEAR
    cut = model.rule.cut if follows_output else readout_cut(model)
    rivals = rivals_of(model)[output]  # [rival, d_out]
    decided: list[_DecidedCell] = []
    cells = cut_plane(model, frame, progress=progress)
    if np.isinf(cut):
        return [_DecidedCell(cell.corners, int(cut < 0)) for cell in cells]
    whole = through(cells, rivals, np.full(len(rivals), -cut))
    bar = progress_bar(whole, doing="cutting at the decision", unit="region", progress=progress)
    for cell in bar:
        parts = [cell]
        for rival in range(len(rivals)):
            parts = cut_at(parts, rival)
        decided += [_DecidedCell(part.corners, _decision_in(part)) for part in parts]
        if len(decided) > MAX_DECIDED:
            raise XorMiError(
                f"the plane has more than {MAX_DECIDED:,} pieces with one decision each; "
                "narrow the bounds or study a smaller network"
            )
    return decided


def _decision_in(part: Cell) -> int:
    """The decision in a cell on which each rival is on one side of the cut, or equals it."""
    is_flat = np.abs(part.values(part.corners)).max(0) <= part.tolerance()
    sign = np.where(is_flat, 0, np.where(part.values(part.corners.mean(0)) > 0, 1, -1)).min()
    return UNDECIDED if sign == 0 else int(sign > 0)


def _between_cells(cells: list[_DecidedCell], progress: bool) -> Float[ndarray, "segment 2 2"]:
    """The edges between polygons of different decisions."""
    corners = np.concatenate([cell.corners for cell in cells])
    # Corners that are the same point get the number of the first of them, and are then renumbered.
    nearby = KDTree(corners).query_ball_point(corners, SAME_POINT)
    first = np.array([min(numbers) for numbers in nearby])
    distinct, number_of = np.unique(first, return_inverse=True)
    points = corners[distinct]
    tree = KDTree(points)
    # Each piece of an edge, between two neighbouring points. A cell lies to the left of its edges:
    # how often each decision is on the left of the step from a to b, minus how often on the right.
    sides: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    n_passed = 0
    for cell in progress_bar(cells, doing="comparing regions", unit="region", progress=progress):
        numbers = number_of[n_passed : n_passed + len(cell.corners)].tolist()
        n_passed += len(numbers)
        for here, there in zip(numbers, [*numbers[1:], numbers[0]], strict=True):
            for a, b in pairwise(_on_segment(points, tree, here, there)):
                sides[min(a, b), max(a, b)][cell.decision] += 1 if a < b else -1
    # On the rim of the box there is only one side. A cell that is too thin has an edge on both
    # sides of one step, and so does not count.
    segments = [
        (points[a], points[b])
        for (a, b), counts in sides.items()
        if min(counts.values()) < 0 < max(counts.values())
    ]
    return np.array(segments).reshape(-1, 2, 2)


def _on_segment(
    points: Float[ndarray, "point 2"], tree: KDTree, here: int, there: int
) -> list[int]:
    """The points on the segment from one point to another, both included, in order.

    There may be points between them, because neighbours' edges may end inside this one.

    Args:
        tree: a search tree of the points.
    """
    way = points[there] - points[here]
    length = np.hypot(way[0], way[1])
    if length == 0:
        return [here]
    around = tree.query_ball_point(points[here] + way / 2, length / 2 + SAME_POINT)
    numbers = np.array(around, dtype=int)
    to = points[numbers] - points[here]
    along = to @ way / length
    aside = np.abs(to[:, 0] * way[1] - to[:, 1] * way[0]) / length
    between = (aside <= SAME_POINT) & (along > SAME_POINT) & (along < length - SAME_POINT)
    order = np.argsort(along[between])
    return [here, *numbers[between][order].tolist(), there]


# smooth units: marching squares


@dataclass(frozen=True, eq=False)
class _Crossed:
    """Steps between neighbouring nodes of the grid whose ends are decided differently.

    Attributes:
        start: (i, j) of the node where each step starts.
        axis: whether the step is along x0 or x1.
        is_above: whether its start is above the cut.
    """

    start: Int[ndarray, "crossing 2"]
    axis: Int[ndarray, " crossing"]
    is_above: Bool[ndarray, " crossing"]


def _marched(
    model: HookedMLP, box: Float[ndarray, "2 2"], output: int, n_points: int, progress: bool
) -> Float[ndarray, "segment 2 2"]:
    """Chords between the crossings of the grid lines, square by square."""
    require_at_most(n_points**2, MAX_NODES, what="points of the grid", do="give a smaller n_points")
    x0, x1 = (np.linspace(low, high, n_points) for low, high in box)
    crossed = _crossed_steps(model, output, x0, x1, progress)
    ends = crossed.start + np.eye(2, dtype=int)[crossed.axis]
    starts, ends = (np.stack([x0[at[:, 0]], x1[at[:, 1]]], axis=1) for at in (crossed.start, ends))
    crossings = _crossings(model, output, starts, ends)
    square, crossing = _around_squares(crossed, n_points)
    chords = [np.zeros((0, 2, 2))]
    squares, first, n_crossings = np.unique(square, return_index=True, return_counts=True)
    single = first[n_crossings == 2]
    chords.append(crossings[np.stack([crossing[single], crossing[single + 1]], axis=1)])
    for number, at in zip(squares[n_crossings == 4], first[n_crossings == 4], strict=True):
        i, j = divmod(int(number), n_points)
        bottom, right, top, left = crossings[crossing[at : at + 4]]
        # A saddle: the value in the middle says which corners are connected.
        middle = np.array([[x0[i] + x0[i + 1], x1[j] + x1[j + 1]]]) / 2
        if _is_above(model, output, middle)[0] == crossed.is_above[crossing[at]]:
            chords.append(np.array([[bottom, right], [top, left]]))
        else:
            chords.append(np.array([[bottom, left], [top, right]]))
    return np.concatenate(chords)


def _crossed_steps(
    model: HookedMLP,
    output: int,
    x0: Float[ndarray, " n"],
    x1: Float[ndarray, " n"],
    progress: bool,
) -> _Crossed:
    """The steps of the grid on which the decision changes, strip by strip."""
    n_lines = max(1, NODES_AT_ONCE // (len(x1) * max(model.layer_sizes)))
    found = [(np.zeros((0, 2), dtype=int), np.zeros(0, dtype=bool), 0)]
    last = np.zeros((0, len(x1)), dtype=bool)
    strips = range(0, len(x0), n_lines)
    bar = progress_bar(strips, doing="evaluating the grid", unit="strip", progress=progress)
    for at in bar:
        nodes = np.stack(np.meshgrid(x0[at : at + n_lines], x1, indexing="ij"), -1)
        own = _is_above(model, output, nodes)
        # together with the last line of the strip before, so that the steps between strips are seen
        above, shift = np.concatenate([last, own]), at - len(last)
        along_x0 = np.argwhere(above[:-1] != above[1:])
        along_x1 = np.argwhere(own[:, :-1] != own[:, 1:])
        found.append((along_x0 + np.array([shift, 0]), above[tuple(along_x0.T)], 0))
        found.append((along_x1 + np.array([at, 0]), own[tuple(along_x1.T)], 1))
        last = own[-1:]
    return _Crossed(
        start=np.concatenate([start for start, _, _ in found]),
        axis=np.repeat([axis for _, _, axis in found], [len(start) for start, _, _ in found]),
        is_above=np.concatenate([is_above for _, is_above, _ in found]),
    )


def _around_squares(
    crossed: _Crossed, n_points: int
) -> tuple[Int[ndarray, " rim"], Int[ndarray, " rim"]]:
    """The squares of the grid that have each crossing on their rim, and which crossing it is.

    They are in order of the squares, and within each: bottom, right, top, left. A square has the
    number of the node where it starts.
    """
    i, j = crossed.start.T
    along_x1 = crossed.axis == 1
    number = np.arange(len(i))
    # a step along x0 is the bottom of the square above it and the top of the one below
    own = np.stack([i, j, np.where(along_x1, 3, 0), number], axis=1)
    before = np.stack([i - along_x1, j - ~along_x1, np.where(along_x1, 1, 2), number], axis=1)
    rims = np.concatenate([own, before])
    is_square = ((rims[:, :2] >= 0) & (rims[:, :2] < n_points - 1)).all(1)
    rims = rims[is_square]
    square = rims[:, 0] * n_points + rims[:, 1]
    order = np.lexsort((rims[:, 2], square))
    return square[order], rims[order, 3]


def _is_above(
    model: HookedMLP, output: int, points: Float[ndarray, "*batch 2"]
) -> Bool[ndarray, "*batch"]:
    """Whether the score is above the cut at these points."""
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    return scores_at(model, 0, points @ weight.T + bias, points)[..., output] > 0


def _crossings(
    model: HookedMLP,
    output: int,
    starts: Float[ndarray, "crossing 2"],
    ends: Float[ndarray, "crossing 2"],
) -> Float[ndarray, "crossing 2"]:
    """Where the score crosses the cut between points that are decided differently."""
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    way = ends - starts
    n = len(starts)
    t = roots(
        model,
        0,
        Lines(starts @ weight.T + bias, way @ weight.T),
        Lines(starts, way),
        output=np.full(n, output),
        low=np.zeros(n),
        high=np.ones(n),
    )
    return starts + t[:, None] * way
