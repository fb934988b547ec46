"""a network of two inputs -> the convex pieces of the plane on which it is one affine map.

Its units are piecewise linear.

The square is cut by the line on which each unit of the first layer is zero, each piece by the lines
of the second layer as they run in that piece, and so on. In the manner of Humayun et al., SplineCam
(2023, arXiv 2302.12828), with polygons small enough to be held whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.finding import Finding
from xor_mi.geometry._pieces import (
    PIECEWISE_LINEAR,
    PiecewiseLinearUnit,
    without_rounding,
)
from xor_mi.graph import Unit, layers_of, name_of_set
from xor_mi.kinds import Bounds
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar

MAX_REGIONS = 20_000
"""More convex pieces than this are refused."""


@dataclass(frozen=True, eq=False)
class Region:
    """A convex piece of the plane on which outputs = weight @ input + bias.

    (Before a sigmoid, tanh or gelu on the output.)

    Attributes:
        vertices: the corners, counter-clockwise.
        on: the units that are above zero inside, hidden and output; identity units have no such
            state.
    """

    vertices: Float[Tensor, "n 2"] = field(repr=False)
    on: frozenset[Unit]
    weight: Float[Tensor, "d_out 2"]
    bias: Float[Tensor, " d_out"]

    @property
    def area(self) -> float:
        """The area, in units of x0 times x1."""
        x, y = self.vertices.T
        # the shoelace formula
        return (0.5 * (x * y.roll(-1) - y * x.roll(-1)).sum()).item()

    @property
    def center(self) -> Float[Tensor, " 2"]:
        """The mean of the corners, which lies inside."""
        return self.vertices.mean(0)

    def contains(
        self, points: Float[Tensor, "*batch 2"], *, tolerance: float = 1e-9
    ) -> Bool[Tensor, "*batch"]:
        """Which points lie inside or, within the tolerance, on an edge."""
        edges = self.vertices.roll(-1, 0) - self.vertices
        to = points.double()[..., None, :] - self.vertices
        # edge length times the distance to the edge, positive to its left, which is inside
        cross = edges[:, 0] * to[..., 1] - edges[:, 1] * to[..., 0]
        return (cross >= -tolerance * edges.norm(dim=1)).all(-1)


@dataclass(frozen=True, eq=False)
class Regions(Finding):
    """All regions of a rectangle of the plane, which they fill without overlap.

    Iterate over them, or index them.

    Attributes:
        bounds: (low, high) of x0 and of x1.
    """

    regions: tuple[Region, ...] = field(repr=False)
    bounds: tuple[tuple[float, float], tuple[float, float]]

    def __len__(self) -> int:
        return len(self.regions)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    def __getitem__(self, number: int) -> Region:
        return self.regions[number]

    def frame(self) -> pd.DataFrame:
        """One line per region and output.

        Columns region (its number), on (the units above zero inside, such as 'h0.0 + h0.1'), area,
        center_x0 and center_x1, output, and the map weight_x0 * x0 + weight_x1 * x1 + bias that
        holds there.
        """
        lines: list[dict[str, object]] = []
        for number, region in enumerate(self.regions):
            x0, x1 = region.center.tolist()
            shared = {
                "region": number,
                "on": name_of_set(sorted(region.on)),
                "area": region.area,
                "center_x0": x0,
                "center_x1": x1,
            }
            for output, (weight_x0, weight_x1) in enumerate(region.weight.tolist()):
                own = {
                    "output": output,
                    "weight_x0": weight_x0,
                    "weight_x1": weight_x1,
                    "bias": region.bias[output].item(),
                }
                lines.append(shared | own)
        return pd.DataFrame(lines)

    def __str__(self) -> str:
        (left, right), (low, high) = self.bounds
        where = f"x0 from {left:g} to {right:g} and x1 from {low:g} to {high:g}"
        return f"{len(self)} regions on which the network is affine, for {where}"


def regions(model: HookedMLP, *, bounds: Bounds = (-0.5, 1.5), progress: bool = True) -> Regions:
    """Cut a rectangle of the plane into the convex pieces on which the network is affine.

    The cuts are right up to float64 rounding.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)).
        progress: a bar, where the work takes over two seconds.

    >>> from xor_mi.handmade import textbook_xor
    >>> [(region.area, region.weight.tolist()) for region in regions(textbook_xor())]
    [(0.5, [[0.0, 0.0]]), (1.5, [[1.0, 1.0]]), (2.0, [[-1.0, -1.0]])]

    Raises:
        XorMiError: other than two inputs, hidden units that are not piecewise linear, empty bounds,
            more than `MAX_REGIONS` pieces.
    """
    require_plain_mlp(model, "cutting the plane into regions")
    if model.cfg.act_fn not in PIECEWISE_LINEAR:
        raise XorMiError(
            f"{model.cfg.act_fn} units have no affine pieces, those of "
            f"{', '.join(PIECEWISE_LINEAR)} do; path and boundary take both"
        )
    box = as_box(model, bounds)
    units = list(chain.from_iterable(layers_of(model.layer_sizes)[1:]))
    cut = tuple(_as_region(cell, units) for cell in cut_plane(model, box, progress=progress))
    (left, right), (low, high) = box.tolist()
    return Regions(regions=cut, bounds=((left, right), (low, high)))


def as_box(model: HookedMLP, bounds: Bounds) -> Float[ndarray, "2 2"]:
    """(low, high), or one such pair per input -> [[low0, high0], [low1, high1]].

    Raises:
        XorMiError: other than two inputs, or bounds with nothing between them.
    """
    if model.cfg.d_in != 2:
        raise XorMiError(
            f"a plane is divided for 2 inputs; this network has {model.cfg.d_in}: "
            "use path(model, start, end)"
        )
    try:
        box = np.asarray(bounds, dtype=float)
    except (TypeError, ValueError):
        box = np.zeros(0)
    box = np.stack([box, box]) if box.shape == (2,) else box
    if box.shape != (2, 2) or not np.isfinite(box).all() or not (box[:, 0] < box[:, 1]).all():
        raise XorMiError(
            f"bounds are {bounds!r}; give (low, high) with low < high, "
            "or such a pair for x0 and one for x1"
        )
    return box


@dataclass(frozen=True, eq=False)
class Cell:
    """A convex polygon and the affine map of the current layer on it.

    `on` holds the bits of the units passed, layer by layer; an identity or smooth unit counts as 0.
    """

    corners: Float[ndarray, "corner 2"]
    weight: Float[ndarray, "width 2"]
    bias: Float[ndarray, " width"]
    on: tuple[int, ...] = ()

    def values(self, points: Float[ndarray, "*batch 2"]) -> Float[ndarray, "*batch width"]:
        """The affine map at these points."""
        return points @ self.weight.T + self.bias

    def through(
        self, weight: Float[ndarray, "d_out width"], bias: Float[ndarray, " d_out"]
    ) -> "Cell":
        """After a linear layer."""
        terms = np.abs(weight) @ np.abs(self.weight)
        mapped = without_rounding(weight @ self.weight, terms)
        return replace(self, weight=mapped, bias=weight @ self.bias + bias)

    def activated(self, unit: PiecewiseLinearUnit) -> "Cell":
        """After a piecewise linear activation, in a cell that no unit's line cuts."""
        on = (self.values(self.corners.mean(0)) > 0) & unit.has_states
        factor = unit.factors(on)
        return replace(
            self,
            weight=self.weight * factor[:, None],
            bias=self.bias * factor + unit.constants(on),
            on=(*self.on, *on.astype(int).tolist()),
        )

    def halves(self, number: int) -> "list[Cell]":
        """The two parts on which value `number` of the map is below and above zero.

        The cell itself where the line between them only touches it.
        """
        w, b = self.weight[number], self.bias[number]
        terms = np.abs(self.corners) @ np.abs(w) + abs(b)
        distance = without_rounding(self.corners @ w + b, terms)
        # a corner on the line itself is on both sides: it cuts nothing off
        if (distance >= 0).all() or (distance <= 0).all():
            return [self]
        sides = [_side(self.corners, sign * distance) for sign in (-1, 1)]
        return [replace(self, corners=corners) for corners in sides]


def cut_plane(model: HookedMLP, box: Float[ndarray, "2 2"], *, progress: bool = True) -> list[Cell]:
    """The cells of the box, layer by layer, each with the outputs' affine map.

    The map is taken before a sigmoid, tanh or gelu on the output.

    Raises:
        XorMiError: more than `MAX_REGIONS` cells.
    """
    (left, right), (low, high) = box
    corners = np.array([[left, low], [right, low], [right, high], [left, high]])
    cells = [Cell(corners, weight=np.eye(2), bias=np.zeros(2))]
    cfg = model.cfg
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        cells = [cell.through(weight.numpy(), bias.numpy()) for cell in cells]
        act_fn = cfg.out_act_fn if layer == cfg.n_layers else cfg.act_fn
        if act_fn not in PIECEWISE_LINEAR:
            continue  # a smooth output: its own value is not affine, the readout is
        unit = PiecewiseLinearUnit.of(act_fn, cfg.negative_slope)
        if unit.has_states:
            cells = _cut_by_all(cells, layer, progress)
        cells = [cell.activated(unit) for cell in cells]
    return cells


def cut_at_zero(cells: list[Cell], number: int) -> list[Cell]:
    """Cells, in order, each cut along the line on which value `number` of its map is zero."""
    return list(chain.from_iterable(cell.halves(number) for cell in cells))


def _cut_by_all(cells: list[Cell], layer: int, progress: bool) -> list[Cell]:
    """Cells cut along the zero lines of every unit of a layer."""
    numbers = range(len(cells[0].bias))
    bar = progress_bar(
        numbers, doing=f"cutting along layer {layer}", unit="unit", progress=progress
    )
    for number in bar:
        cells = cut_at_zero(cells, number)
        if len(cells) > MAX_REGIONS:
            raise XorMiError(
                f"the plane falls into more than {MAX_REGIONS} pieces; "
                "narrow the bounds or study a smaller network"
            )
    return cells


def _side(
    corners: Float[ndarray, "corner 2"], distance: Float[ndarray, " corner"]
) -> Float[ndarray, "side 2"]:
    """The part of a convex polygon where the distance to a line is at least zero.

    The distance is given at the polygon's corners.
    """
    side: list[ndarray] = []
    edges = zip(corners, np.roll(corners, -1, 0), distance, np.roll(distance, -1), strict=True)
    for start, end, at_start, at_end in edges:
        if at_start >= 0:
            side.append(start)
        # the distance runs straight from start to end: it is zero at this share of the way
        if at_start * at_end < 0:
            side.append(start + (end - start) * (at_start / (at_start - at_end)))
    return np.array(side)


def _as_region(cell: Cell, units: list[Unit]) -> Region:
    """A cell of `cut_plane` as a person is given it; units are the hidden ones and the outputs."""
    bits = zip(units, cell.on, strict=False)  # a smooth output has no bits
    return Region(
        vertices=torch.from_numpy(cell.corners),
        on=frozenset(unit for unit, bit in bits if bit),
        weight=torch.from_numpy(cell.weight),
        bias=torch.from_numpy(cell.bias),
    )
