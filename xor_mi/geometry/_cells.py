"""a network of two inputs -> the convex pieces of the plane on which it is one affine map.

Its units are piecewise linear.

The square is cut by the lines on which each unit of the first layer is at a kink, each piece by the
lines of the second layer as they run in that piece, and so on. In the manner of Humayun et al.,
SplineCam (2023, arXiv 2302.12828), with polygons small enough to be held whole.
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
    FULL,
    PIECEWISE_LINEAR,
    PiecewiseLinearUnit,
    has_pieces,
    state_text,
    without_rounding,
)
from xor_mi.graph import Unit, layers_of
from xor_mi.kinds import Bounds
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar

MAX_REGIONS = 20_000
"""More convex pieces than this are refused."""

BESIDE_THE_LEVELS = 0.5
"""How far the plane goes beyond the two input levels, against their distance from each other."""


@dataclass(frozen=True, eq=False)
class Region:
    """A convex piece of the plane on which outputs = weight @ input + bias.

    (Before a smooth activation of the output.)

    Attributes:
        vertices: the corners, counter-clockwise.
        on: the units that are past their first kink inside, hidden and output: above zero, or above
            -1 for hardtanh and -3 for hardsigmoid. Identity units have no such state.
        full: those of them that are past their second kink too, and grow no more: above 6 for
            relu6, 1 for hardtanh, 3 for hardsigmoid.
    """

    vertices: Float[Tensor, "n 2"] = field(repr=False)
    on: frozenset[Unit]
    weight: Float[Tensor, "d_out 2"]
    bias: Float[Tensor, " d_out"]
    full: frozenset[Unit] = frozenset()

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
        levels: the numbers that stand for bit 0 and bit 1.
    """

    regions: tuple[Region, ...] = field(repr=False)
    bounds: tuple[tuple[float, float], tuple[float, float]]
    levels: tuple[float, float] = (0.0, 1.0)

    def __len__(self) -> int:
        return len(self.regions)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    def __getitem__(self, number: int) -> Region:
        return self.regions[number]

    def frame(self) -> pd.DataFrame:
        """One line per region and output.

        Columns region (its number), on (the units that are on inside, such as 'h0.0 + h0.1'; a full
        one is 'h0.1 (full)'), area, center_x0 and center_x1, output, and the map weight_x0 * x0 +
        weight_x1 * x1 + bias that holds there.
        """
        lines: list[dict[str, object]] = []
        for number, region in enumerate(self.regions):
            x0, x1 = region.center.tolist()
            shared = {
                "region": number,
                "on": state_text(sorted(region.on), region.full),
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


def regions(model: HookedMLP, *, bounds: Bounds | None = None, progress: bool = True) -> Regions:
    """Cut a rectangle of the plane into the convex pieces on which the network is affine.

    The cuts are right up to float64 rounding.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)). By default half the
            distance between the input levels more on each side: (-0.5, 1.5) for 0 and 1.
        progress: a bar, where the work takes over two seconds.

    >>> from xor_mi.handmade import textbook_xor
    >>> [(region.area, region.weight.tolist()) for region in regions(textbook_xor())]
    [(0.5, [[0.0, 0.0]]), (1.5, [[1.0, 1.0]]), (2.0, [[-1.0, -1.0]])]

    Raises:
        XorMiError: other than two inputs, hidden units that are not piecewise linear, empty bounds,
            more than `MAX_REGIONS` pieces.
    """
    require_plain_mlp(model, "cutting the plane into regions")
    if not has_pieces(model):
        smooth = [name for name in model.cfg.act_fns if name not in PIECEWISE_LINEAR]
        raise XorMiError(
            f"{smooth[0]} units have no affine pieces, those of "
            f"{', '.join(PIECEWISE_LINEAR)} do; path and boundary take both"
        )
    box = as_box(model, bounds)
    units = list(chain.from_iterable(layers_of(model.layer_sizes)[1:]))
    cut = tuple(_as_region(cell, units) for cell in cut_plane(model, box, progress=progress))
    (left, right), (low, high) = box.tolist()
    return Regions(regions=cut, bounds=((left, right), (low, high)), levels=model.cfg.input_levels)


def default_bounds(model: HookedMLP) -> tuple[float, float]:
    """(low, high) of both inputs: the two levels, and half their distance more on each side."""
    of_zero, of_one = model.cfg.input_levels
    way = of_one - of_zero
    ends = of_zero - BESIDE_THE_LEVELS * way, of_one + BESIDE_THE_LEVELS * way
    return min(ends), max(ends)


def size_of(model: HookedMLP, box: Float[ndarray, "2 2"]) -> float:
    """How large numbers in the plane are, for what counts as rounding there."""
    of_zero, of_one = model.cfg.input_levels
    return float(np.abs(box).max() + abs(of_one - of_zero))


def as_box(model: HookedMLP, bounds: Bounds | None) -> Float[ndarray, "2 2"]:
    """(low, high), or one such pair per input -> [[low0, high0], [low1, high1]].

    None stands for `default_bounds`.

    Raises:
        XorMiError: other than two inputs, or bounds with nothing between them.
    """
    if model.cfg.d_in != 2:
        raise XorMiError(
            f"a plane is divided for 2 inputs; this network has {model.cfg.d_in}: "
            "use path(model, start, end)"
        )
    bounds = default_bounds(model) if bounds is None else bounds
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

    `states` holds those of the units passed, layer by layer, see `PiecewiseLinearUnit`; a smooth
    output has none.
    """

    corners: Float[ndarray, "corner 2"]
    weight: Float[ndarray, "width 2"]
    bias: Float[ndarray, " width"]
    states: tuple[int, ...] = ()

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

    def beside(self) -> "Cell":
        """The map, and after it the inputs: what a readout with direct connections reads."""
        inputs, nothing = np.eye(2), np.zeros(2)
        return replace(
            self,
            weight=np.concatenate([self.weight, inputs]),
            bias=np.concatenate([self.bias, nothing]),
        )

    def activated(self, unit: PiecewiseLinearUnit) -> "Cell":
        """After a piecewise linear activation, in a cell that no unit's line cuts."""
        states = unit.states(self.values(self.corners.mean(0)))
        factor = unit.factors(states)
        return replace(
            self,
            weight=self.weight * factor[:, None],
            bias=self.bias * factor + unit.added(states),
            states=(*self.states, *states.tolist()),
        )

    def halves(self, number: int, kink: float = 0.0) -> "list[Cell]":
        """The two parts on which value `number` of the map is below and above a kink.

        The cell itself where the line between them only touches it.
        """
        w, b = self.weight[number], self.bias[number]
        terms = np.abs(self.corners) @ np.abs(w) + abs(b) + abs(kink)
        distance = without_rounding(self.corners @ w + b - kink, terms)
        # a corner on the line itself is on both sides: it cuts nothing off
        if (distance >= 0).all() or (distance <= 0).all():
            return [self]
        sides = [_side(self.corners, sign * distance) for sign in (-1, 1)]
        return [replace(self, corners=corners) for corners in sides]


def cut_plane(model: HookedMLP, box: Float[ndarray, "2 2"], *, progress: bool = True) -> list[Cell]:
    """The cells of the box, layer by layer, each with the outputs' affine map.

    The map is taken before a smooth activation of the output.

    Raises:
        XorMiError: more than `MAX_REGIONS` cells.
    """
    (left, right), (low, high) = box
    corners = np.array([[left, low], [right, low], [right, high], [left, high]])
    cells = [Cell(corners, weight=np.eye(2), bias=np.zeros(2))]
    cfg = model.cfg
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        if cfg.direct and layer == cfg.n_layers:
            cells = [cell.beside() for cell in cells]
        cells = [cell.through(weight.numpy(), bias.numpy()) for cell in cells]
        if cfg.act_name(layer) not in PIECEWISE_LINEAR:
            continue  # a smooth output: its own value is not affine, the readout is
        unit = PiecewiseLinearUnit.of(model, layer)
        cells = _cut_by_all(cells, unit.kinks, layer, progress)
        cells = [cell.activated(unit) for cell in cells]
    return cells


def cut_at(cells: list[Cell], number: int, kink: float = 0.0) -> list[Cell]:
    """Cells, in order, each cut along the line on which value `number` of its map is at a kink."""
    return list(chain.from_iterable(cell.halves(number, kink) for cell in cells))


def _cut_by_all(
    cells: list[Cell], kinks: tuple[float, ...], layer: int, progress: bool
) -> list[Cell]:
    """Cells cut along the lines on which a unit of a layer is at a kink."""
    if not kinks:
        return cells
    numbers = range(len(cells[0].bias))
    bar = progress_bar(
        numbers, doing=f"cutting along layer {layer}", unit="unit", progress=progress
    )
    for number in bar:
        for kink in kinks:
            cells = cut_at(cells, number, kink)
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
    # not strict: a smooth output has no state
    states = dict(zip(units, cell.states, strict=False))
    return Region(
        vertices=torch.from_numpy(cell.corners),
        on=frozenset(unit for unit, state in states.items() if state),
        weight=torch.from_numpy(cell.weight),
        bias=torch.from_numpy(cell.bias),
        full=frozenset(unit for unit, state in states.items() if state == FULL),
    )
