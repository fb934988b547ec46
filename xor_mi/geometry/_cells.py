"""a network of two inputs -> the convex pieces of the plane on which it is one affine map.

The network's units must be piecewise linear.

The square is cut along the lines on which a unit of the first layer is at a kink, then each piece
along the lines of the second layer in that piece, and so on. The method is that of Humayun et al.,
SplineCam (2023, arXiv 2302.12828), with few enough polygons to hold all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from numbers import Real

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, require_memory
from xor_mi.finding import Finding, number_text
from xor_mi.geometry._count import most_pieces, pieces_of_all_at_least
from xor_mi.geometry._pieces import (
    FULL,
    PIECEWISE_LINEAR,
    PiecewiseLinearUnit,
    has_pieces,
    state_text,
)
from xor_mi.geometry._rounding import EPSILON, rounding_of_sum, without_rounding
from xor_mi.graph import Unit, layers_of
from xor_mi.kinds import Bounds
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar

MAX_REGIONS = 20_000
"""More convex pieces than this are refused."""

BYTES_OF_A_MAP = 96
"""Memory of a unit's map on a piece: three numbers, of which four copies exist at once."""

BESIDE_THE_LEVELS = 0.5
"""How far the plane goes beyond the two input levels, as a fraction of their distance."""

THINNEST = 64 * EPSILON
"""A part of the plane that is thinner than this, relative to the rectangle's sides, is rounding."""

ON_AN_EDGE = 1e-13
"""A point this near to an edge, relative to the rectangle's sides, is on it."""


@dataclass(frozen=True, eq=False)
class Region:
    """A convex piece of the plane on which outputs = weight @ input + bias.

    With a smooth output activation this holds for the values before that activation.

    Attributes:
        vertices: the corners, counter-clockwise.
        on: the hidden units and outputs that are past their first kink inside: above zero, or above
            -1 for hardtanh and -3 for hardsigmoid. Identity units have no such state.
        bounds: (low, high) of x0 and of x1 of the rectangle that it is a piece of.
        full: those of them that are past their second kink, too, and do not grow further: above 6
            for relu6, 1 for hardtanh, 3 for hardsigmoid.
    """

    vertices: Float[Tensor, "n 2"] = field(repr=False)
    on: frozenset[Unit]
    weight: Float[Tensor, "d_out 2"]
    bias: Float[Tensor, " d_out"]
    bounds: tuple[tuple[float, float], tuple[float, float]]
    full: frozenset[Unit] = frozenset()

    def __str__(self) -> str:
        units = sorted(self.on, key=lambda unit: (unit.is_output, unit.layer, unit.index))
        on = state_text(units, self.full) if units else "no unit"
        x0, x1 = (number_text(number) for number in self.center.tolist())
        return f"a region of area {number_text(self.area)} around ({x0}, {x1}), with {on} on"

    @property
    def area(self) -> float:
        """The area, in units of x0 times x1."""
        # relative to a corner, because far from 0 the products would cancel
        x, y = (self.vertices - self.vertices[0]).T
        # the shoelace formula
        return (0.5 * (x * y.roll(-1) - y * x.roll(-1)).sum()).item()

    @property
    def center(self) -> Float[Tensor, " 2"]:
        """The mean of the corners, which lies inside."""
        return self.vertices.mean(0)

    def contains(
        self, points: Float[Tensor, "*batch 2"], *, tolerance: float = ON_AN_EDGE
    ) -> Bool[Tensor, "*batch"]:
        """Which points lie inside, or on an edge within the tolerance.

        Every point of the rectangle is in a region, and only points on an edge are in several.

        Args:
            tolerance: relative to the sides of the rectangle that was cut; 0 leaves out points that
                rounding puts outside all regions.

        Raises:
            XorMiError: not a tensor of points with two inputs, or a tolerance that is not a number.
        """
        require_kind("points", points, Tensor, give="a tensor [..., 2] of inputs")
        if not points.ndim or points.shape[-1] != 2:
            raise XorMiError(
                f"points have the shape {list(points.shape)}; give points whose last axis is 2"
            )
        require_kind("tolerance", tolerance, Real, give="a part of a side, such as 1e-13")
        sides = torch.tensor([high - low for low, high in self.bounds], dtype=torch.float64)
        # scaled to sides of about 1, because products of tiny sides are 0; powers of two round
        # nothing
        powers = -sides.frexp().exponent
        sides = sides.ldexp(powers)
        edges = (self.vertices.roll(-1, 0) - self.vertices).ldexp(powers)
        to = (points.double()[..., None, :] - self.vertices).ldexp(powers)
        # edge length times the distance to the edge, positive to its left, which is inside
        cross = edges[:, 0] * to[..., 1] - edges[:, 1] * to[..., 0]
        allowed = tolerance * (edges[:, 0].abs() * sides[1] + edges[:, 1].abs() * sides[0])
        return (cross >= -allowed).all(-1)


@dataclass(frozen=True, eq=False)
class Regions(Finding):
    """All regions of a rectangle of the plane. They fill it without overlap.

    They can be iterated over and indexed.

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
        bounds: (low, high) for both inputs, or ((low, high), (low, high)). By default the plane
            goes half the distance between the input levels beyond them: (-0.5, 1.5) for 0 and 1.
        progress: show a bar if the work takes over half a second.

    >>> from xor_mi.handmade import textbook_xor
    >>> [(region.area, region.weight.tolist()) for region in regions(textbook_xor())]
    [(0.5, [[0.0, 0.0]]), (1.5, [[1.0, 1.0]]), (2.0, [[-1.0, -1.0]])]

    Raises:
        XorMiError: a network without exactly two inputs, hidden units that are not piecewise
            linear, empty bounds, more than `MAX_REGIONS` pieces, or more maps than there is memory
            for.
    """
    require_plain_mlp(model, "cutting the plane into regions")
    if not has_pieces(model):
        smooth = [name for name in model.cfg.act_fns if name not in PIECEWISE_LINEAR]
        raise XorMiError(
            f"{smooth[0]} units have no affine pieces, those of "
            f"{', '.join(PIECEWISE_LINEAR)} do; path and boundary take both"
        )
    frame = Frame.of(as_box(model, bounds))
    units = list(chain.from_iterable(layers_of(model.layer_sizes)[1:]))
    cells = cut_plane(model, frame, progress=progress)
    return Regions(
        regions=tuple(_as_region(cell, frame, units) for cell in cells),
        bounds=as_bounds(frame.box),
        levels=model.cfg.input_levels,
    )


def as_bounds(
    box: Float[ndarray, "2 2"],
) -> tuple[tuple[float, float], tuple[float, float]]:
    """A rectangle as plain numbers."""
    (left, right), (low, high) = box.tolist()
    return (left, right), (low, high)


def default_bounds(model: HookedMLP) -> tuple[float, float]:
    """(low, high) of both inputs: half the distance of the two levels beyond each of them."""
    of_zero, of_one = model.cfg.input_levels
    way = of_one - of_zero
    ends = of_zero - BESIDE_THE_LEVELS * way, of_one + BESIDE_THE_LEVELS * way
    return min(ends), max(ends)


def as_box(model: HookedMLP, bounds: Bounds | None) -> Float[ndarray, "2 2"]:
    """(low, high), or one such pair per input -> [[low0, high0], [low1, high1]].

    None stands for `default_bounds`.

    Raises:
        XorMiError: a network without exactly two inputs, or bounds with nothing between them.
    """
    if model.cfg.d_in != 2:
        raise XorMiError(
            f"the input plane needs a network with 2 inputs; this one has {model.cfg.d_in}: use "
            "xor_mi.geometry.path(model, start, end), or, for 3 or 4 inputs, the bench "
            "(xor_mi.bench.write_bench), which holds the others at their sliders"
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
class Frame:
    """A rectangle of inputs, mapped to the square from about -1 to 1 in which it is cut.

    In the square every tolerance has one size, wherever the rectangle lies and however large it is.

    Attributes:
        box: [[low0, high0], [low1, high1]].
        center: the input at (0, 0) of the square.
        scale: the length in x0 and in x1 of a length of 1 in the square; powers of two, so that
            nothing is rounded.
    """

    box: Float[ndarray, "2 2"]
    center: Float[ndarray, " 2"]
    scale: Float[ndarray, " 2"]

    @classmethod
    def of(cls, box: Float[ndarray, "2 2"]) -> "Frame":
        """The frame of a rectangle."""
        half = np.maximum(box[:, 1] / 2 - box[:, 0] / 2, np.finfo(float).tiny)
        center = box[:, 0] / 2 + box[:, 1] / 2
        return cls(box=box, center=center, scale=2.0 ** np.ceil(np.log2(half)))

    @property
    def sides(self) -> Float[ndarray, "2 2"]:
        """The rectangle in the square: [[low0, high0], [low1, high1]]."""
        return (self.box - self.center[:, None]) / self.scale[:, None]

    def inputs(self, points: Float[ndarray, "*batch 2"]) -> Float[ndarray, "*batch 2"]:
        """Points of the square as inputs; those on its sides are on the rectangle's."""
        inputs = self.center + self.scale * points
        for axis, sides in enumerate(self.sides):
            for side, end in zip(sides, self.box[axis], strict=True):
                inputs[..., axis] = np.where(points[..., axis] == side, end, inputs[..., axis])
        return np.clip(inputs, *self.box.T)


@dataclass(frozen=True, eq=False)
class Cell:
    """A convex polygon in the square of a `Frame`, and the affine map of the current layer on it.

    Attributes:
        corners: counter-clockwise.
        affine: the map, as its weights along the square's two axes and its value at (0, 0) there.
        error: the largest rounding error of each number of the map.
        bias: the map's value where both inputs are 0.
        states: the states of the units of the layers so far, see `PiecewiseLinearUnit`; a smooth
            output has none.
    """

    corners: Float[ndarray, "corner 2"]
    affine: Float[ndarray, "width 3"]
    error: Float[ndarray, "width 3"]
    bias: Float[ndarray, " width"]
    states: tuple[int, ...] = ()

    def values(self, points: Float[ndarray, "*batch 2"]) -> Float[ndarray, "*batch width"]:
        """The affine map at these points of the square."""
        return points @ self.affine[:, :2].T + self.affine[:, 2]

    def beside(self, inputs: "Cell") -> "Cell":
        """The map, followed by the inputs: what a readout with direct connections reads."""
        return replace(
            self,
            affine=np.concatenate([self.affine, inputs.affine]),
            error=np.concatenate([self.error, inputs.error]),
            bias=np.concatenate([self.bias, inputs.bias]),
        )

    def tolerance(self, kink: float = 0.0) -> Float[ndarray, " width"]:
        """How far from a kink each value may be at a corner that lies on it.

        Both the map and the corner are rounded.
        """
        reach = np.abs(self.affine).sum(1) + abs(kink)
        return self.error.sum(1) + 8 * EPSILON * reach

    def cut_by(self, kinks: tuple[float, ...]) -> Bool[ndarray, "kink width"]:
        """Which values are at which kink somewhere inside."""
        values = self.values(self.corners)
        highest, lowest = values.max(0), values.min(0)
        cutting = np.empty((len(kinks), len(self.affine)), dtype=bool)
        for number, kink in enumerate(kinks):
            tolerance = self.tolerance(kink)
            cutting[number] = (highest - kink > tolerance) & (kink - lowest > tolerance)
        return cutting

    def halves(self, number: int, kink: float = 0.0) -> "list[Cell]":
        """The two parts on which value `number` of the map is below and above a kink.

        The cell itself if the line between the parts only touches it.
        """
        distance = self.corners @ self.affine[number, :2] + (self.affine[number, 2] - kink)
        distance[np.abs(distance) <= self.tolerance(kink)[number]] = 0.0
        # a corner on the line itself is on both sides: it cuts nothing off
        if distance.min() >= 0 or distance.max() <= 0:
            return [self]
        sides = [_side(self.corners, sign * distance) for sign in (-1, 1)]
        # if lines are nearly parallel, rounding moves the corner in which they meet further
        if any(_is_thin(corners) for corners in sides):
            return [self]
        return [replace(self, corners=corners) for corners in sides]


def through(
    cells: list[Cell], weight: Float[ndarray, "d_out width"], bias: Float[ndarray, " d_out"]
) -> list[Cell]:
    """The cells after a linear layer, all at once."""
    size = np.abs(weight)
    affine, bias_alone = np.stack([cell.affine for cell in cells]), np.array([0.0, 0.0, 1.0])
    terms = size @ np.abs(affine) + np.abs(bias)[:, None] * bias_alone
    errors = size @ np.stack([cell.error for cell in cells])
    errors += rounding_of_sum(terms, weight.shape[1] + 1)
    affine = without_rounding(weight @ affine + bias[:, None] * bias_alone, errors)
    biases = np.stack([cell.bias for cell in cells]) @ weight.T + bias
    return [
        replace(cell, affine=of_cell, error=error, bias=own_bias)
        for cell, of_cell, error, own_bias in zip(cells, affine, errors, biases, strict=True)
    ]


def activated(cells: list[Cell], unit: PiecewiseLinearUnit) -> list[Cell]:
    """The cells, which no unit's line cuts, after a piecewise linear activation."""
    affine = np.stack([cell.affine for cell in cells])
    middles = np.array([[*cell.corners.sum(0) / len(cell.corners), 1.0] for cell in cells])
    states = unit.states((affine @ middles[..., None])[..., 0])
    factor, added = unit.factors(states), unit.added(states)
    affine *= factor[..., None]
    errors = np.stack([cell.error for cell in cells]) * np.abs(factor)[..., None]
    errors += EPSILON * np.abs(affine)
    affine[..., 2] += added
    errors[..., 2] += EPSILON * np.abs(added)
    biases = np.stack([cell.bias for cell in cells]) * factor + added
    after = zip(cells, affine, errors, biases, states.tolist(), strict=True)
    return [
        replace(cell, affine=of_cell, error=error, bias=bias, states=(*cell.states, *of_units))
        for cell, of_cell, error, bias, of_units in after
    ]


def _first_cell(model: HookedMLP, frame: Frame) -> tuple[Cell, Cell]:
    """The whole rectangle with the inputs as its map, and with the first layer's sums as its map.

    The first layer's sums at the centre are computed in exact fractions, because far from 0 their
    terms are much larger than the sums.
    """
    (left, right), (low, high) = frame.sides
    inputs = Cell(
        corners=np.array([[left, low], [right, low], [right, high], [left, high]]),
        affine=np.column_stack([np.diag(frame.scale), frame.center]),
        error=np.zeros((2, 3)),
        bias=np.zeros(2),
    )
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    affine = np.column_stack([weight * frame.scale, exact_sums(weight, bias, frame.center)])
    first = replace(inputs, affine=affine, error=EPSILON * np.abs(affine), bias=bias)
    return inputs, first


def exact_sums(
    weight: Float[ndarray, "unit 2"], bias: Float[ndarray, " unit"], point: Float[ndarray, " 2"]
) -> Float[ndarray, " unit"]:
    """weight @ point + bias, rounded once, at the end."""
    at = [Fraction(value) for value in point.tolist()]
    sums = []
    for (w0, w1), b in zip(weight.tolist(), bias.tolist(), strict=True):
        sums.append(float(Fraction(w0) * at[0] + Fraction(w1) * at[1] + Fraction(b)))
    return np.array(sums)


def cut_plane(model: HookedMLP, frame: Frame, *, progress: bool = True) -> list[Cell]:
    """The cells of the rectangle, layer by layer, each with the outputs' affine map.

    The map is taken before a smooth activation of the output.

    Raises:
        XorMiError: more than `MAX_REGIONS` cells.
    """
    inputs, first = _first_cell(model, frame)
    cells = [first]
    cfg = model.cfg
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        if cfg.direct and layer == cfg.n_layers:
            cells = [cell.beside(inputs) for cell in cells]
        if layer > 0:
            cells = through(cells, weight.numpy(), bias.numpy())
        if cfg.act_name(layer) not in PIECEWISE_LINEAR:
            continue  # the value of a smooth output is not affine, but the readout is
        unit = PiecewiseLinearUnit.of(model, layer)
        cells = _cut_by_all(cells, unit.kinks, layer, progress)
        cells = activated(cells, unit)
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
    # a line that does not cut a cell does not cut a part of it either
    parts = [(cell, cell.cut_by(kinks)) for cell in cells]
    _require_few(parts, kinks)
    for number in bar:
        for which, kink in enumerate(kinks):
            before, parts = parts, []
            for cell, cutting in before:
                if not cutting[which, number]:
                    parts.append((cell, cutting))
                    continue
                halves = cell.halves(number, kink)
                parts += [(half, half.cut_by(kinks) & cutting) for half in halves]
            if len(parts) > MAX_REGIONS:
                raise _too_many()
    _require_room(len(parts), len(numbers))
    return [cell for cell, _ in parts]


def _require_few(
    parts: list[tuple[Cell, Bool[ndarray, "kink width"]]], kinks: tuple[float, ...]
) -> None:
    """Refuse too many pieces before they are cut; they are counted by where the lines cross.

    Args:
        parts: cells, each with the lines that cut it.
    """
    if sum(most_pieces(int(cutting.sum())) for _, cutting in parts) <= MAX_REGIONS:
        return
    lines: list[ndarray] = []
    for cell, cutting in parts:
        which, numbers = np.nonzero(cutting)
        own = cell.affine[numbers]
        own[:, 2] -= np.array(kinks)[which]
        lines.append(own)
    polygons = [cell.corners for cell, _ in parts]
    at_least = pieces_of_all_at_least(polygons, lines, enough=MAX_REGIONS)
    if at_least > MAX_REGIONS:
        raise _too_many()
    _require_room(at_least, len(parts[0][0].bias))


def _too_many() -> XorMiError:
    return XorMiError(
        f"the plane has more than {MAX_REGIONS:,} pieces; "
        "narrow the bounds or study a smaller network"
    )


def _require_room(n_pieces: int, width: int) -> None:
    require_memory(
        n_pieces * width * BYTES_OF_A_MAP,
        what=f"{n_pieces:,} pieces of the plane with the maps of {width:,} units",
        do="narrow the bounds or study a smaller network",
    )


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
        # The distance is linear from start to end. It is measured from the nearer one, so that the
        # place is the same in whichever direction an edge is followed.
        if at_start * at_end < 0 and abs(at_start) <= abs(at_end):
            side.append(start + (end - start) * (at_start / (at_start - at_end)))
        elif at_start * at_end < 0:
            side.append(end + (start - end) * (at_end / (at_end - at_start)))
    return np.array(side)


def _is_thin(corners: Float[ndarray, "corner 2"]) -> bool:
    """Whether rounding alone may have made a convex polygon, because its width is next to zero."""
    x, y = (corners - corners[0]).T
    area = 0.5 * (x[:-1] * y[1:] - x[1:] * y[:-1]).sum()
    longest = max(np.ptp(x), np.ptp(y))
    return bool(area <= THINNEST * longest)


def _as_region(cell: Cell, frame: Frame, units: list[Unit]) -> Region:
    """A cell of `cut_plane` as a `Region`; units are the hidden units and the outputs."""
    # not strict: a smooth output has no state
    states = dict(zip(units, cell.states, strict=False))
    return Region(
        vertices=torch.from_numpy(frame.inputs(cell.corners)),
        on=frozenset(unit for unit, state in states.items() if state),
        weight=torch.from_numpy(cell.affine[:, :2] / frame.scale),
        bias=torch.from_numpy(cell.bias),
        bounds=as_bounds(frame.box),
        full=frozenset(unit for unit, state in states.items() if state == FULL),
    )
