"""a network of two inputs and piecewise linear units -> the convex pieces of the plane on which it
is one affine map.

The square is cut by the line on which each unit of the first layer is zero, each piece by the lines
of the second layer as they run in that piece, and so on. In the manner of Humayun et al., SplineCam
(2023, arXiv 2302.12828), with polygons small enough to be held whole."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.geometry._pieces import PIECEWISE_LINEAR, ROUNDING
from xor_mi.graph import Unit, layers_of
from xor_mi.model import HookedMLP, require_plain_mlp

MAX_REGIONS = 20_000
"""More convex pieces than this are refused."""


@dataclass(frozen=True, eq=False)
class Region:
    """A convex piece of the plane on which outputs = weight @ input + bias (before a sigmoid, tanh
    or gelu on the output).

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
        return (0.5 * (x * y.roll(-1) - y * x.roll(-1)).sum()).item()

    @property
    def center(self) -> Float[Tensor, " 2"]:
        """The mean of the corners, which lies inside."""
        return self.vertices.mean(0)

    def contains(self, points: Float[Tensor, "*batch 2"], tolerance: float = 1e-9) -> Tensor:
        """Which points lie inside or, within the tolerance, on an edge; bool, [*batch]."""
        edges = self.vertices.roll(-1, 0) - self.vertices
        to = points.double()[..., None, :] - self.vertices
        cross = edges[:, 0] * to[..., 1] - edges[:, 1] * to[..., 0]
        return (cross >= -tolerance * edges.norm(dim=1)).all(-1)


def regions(model: Any, *, bounds: Any = (-0.5, 1.5)) -> tuple[Region, ...]:
    """Cut a rectangle of the plane into the convex pieces on which the network is affine, exactly
    up to float64 rounding.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)).

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
            f"{model.cfg.act_fn} units have no affine pieces, those of {', '.join(PIECEWISE_LINEAR)} do; path and boundary take both"
        )
    units = layers_of(model.layer_sizes)[1:]
    found = []
    for cell in cut_plane(model, as_box(model, bounds)):
        on = frozenset(
            unit
            for layer, bits in zip(units, cell.on, strict=False)
            for unit, bit in zip(layer, bits, strict=True)
            if bit
        )
        found.append(
            Region(
                torch.from_numpy(cell.corners),
                on,
                torch.from_numpy(cell.weight),
                torch.from_numpy(cell.bias),
            )
        )
    return tuple(found)


def as_box(model: HookedMLP, bounds: Any) -> Float[ndarray, "2 2"]:
    """(low, high), or one such pair per input -> [[low0, high0], [low1, high1]].

    Raises:
        XorMiError: other than two inputs, or bounds with nothing between them.
    """
    if model.cfg.d_in != 2:
        raise XorMiError(
            f"a plane is divided for 2 inputs; this network has {model.cfg.d_in}: use path(model, start, end)"
        )
    try:
        box = np.asarray(bounds, dtype=float)
    except (TypeError, ValueError):
        box = np.zeros(0)
    box = np.stack([box, box]) if box.shape == (2,) else box
    if box.shape != (2, 2) or not np.isfinite(box).all() or not (box[:, 0] < box[:, 1]).all():
        raise XorMiError(
            f"bounds are {bounds!r}; give (low, high) with low < high, or such a pair for x0 and one for x1"
        )
    return box


@dataclass(frozen=True, eq=False)
class Cell:
    """A convex polygon [corner, 2], the affine map of the current layer on it, and the bits of the
    layers passed.
    """

    corners: Float[ndarray, "corner 2"]
    weight: Float[ndarray, "width 2"]
    bias: Float[ndarray, " width"]
    on: tuple[tuple[int, ...], ...] = ()

    def values(self, points: ndarray) -> ndarray:
        """The affine map at points [..., 2]."""
        return points @ self.weight.T + self.bias


def cut_plane(model: HookedMLP, box: Float[ndarray, "2 2"]) -> list[Cell]:
    """The cells of the box, layer by layer, each with the outputs' affine map (before a sigmoid,
    tanh or gelu on the output).
    """
    (left, right), (low, high) = box
    corners = np.array([[left, low], [right, low], [right, high], [left, high]])
    cells = [Cell(corners, np.eye(2), np.zeros(2))]
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        is_output = layer == model.cfg.n_layers
        act_fn = model.cfg.out_act_fn if is_output else model.cfg.act_fn
        cells = [_through(cell, weight.numpy(), bias.numpy()) for cell in cells]
        if act_fn in PIECEWISE_LINEAR:
            cells = [
                _activated(part, act_fn, model.cfg.negative_slope)
                for cell in cells
                for part in _parts(cell, act_fn)
            ]
        if len(cells) > MAX_REGIONS:
            raise XorMiError(
                f"the plane falls into more than {MAX_REGIONS} pieces; narrow the bounds or study a smaller network"
            )
    return cells


def cut_at_zero(cell: Cell, width: int | None = None) -> list[Cell]:
    """A cell cut along the lines on which the values of its map are zero."""
    polygons = [cell.corners]
    for w, b in list(zip(cell.weight, cell.bias, strict=True))[:width]:
        polygons = [part for polygon in polygons for part in _halves(polygon, w, b)]
    return [Cell(polygon, cell.weight, cell.bias, cell.on) for polygon in polygons]


def _through(cell: Cell, weight: ndarray, bias: ndarray) -> Cell:
    mapped = weight @ cell.weight
    mapped[np.abs(mapped) <= ROUNDING * (np.abs(weight) @ np.abs(cell.weight))] = 0
    return Cell(cell.corners, mapped, weight @ cell.bias + bias, cell.on)


def _parts(cell: Cell, act_fn: str) -> list[Cell]:
    return [cell] if act_fn == "identity" else cut_at_zero(cell)


def _activated(cell: Cell, act_fn: str, negative_slope: float) -> Cell:
    on = (cell.values(cell.corners.mean(0)) > 0) & (act_fn != "identity")
    if act_fn == "identity":
        return Cell(
            cell.corners, cell.weight, cell.bias, (*cell.on, tuple(on.astype(int).tolist()))
        )
    if act_fn == "heaviside":
        weight, bias = np.zeros_like(cell.weight), on.astype(float)
    else:
        factor = np.where(on, 1.0, negative_slope if act_fn == "leaky_relu" else 0.0)
        weight, bias = cell.weight * factor[:, None], cell.bias * factor
    return Cell(cell.corners, weight, bias, (*cell.on, tuple(on.astype(int).tolist())))


def _halves(polygon: ndarray, w: ndarray, b: float) -> list[ndarray]:
    """A convex polygon cut by the line w.x + b = 0; uncut where the line only touches it."""
    distance = polygon @ w + b
    distance[np.abs(distance) <= ROUNDING * (np.abs(polygon) @ np.abs(w) + abs(b))] = 0
    if (distance >= 0).all() or (distance <= 0).all():
        return [polygon]
    kept: dict[int, list[ndarray]] = {1: [], -1: []}
    for here, there, d_here, d_there in zip(
        polygon, np.roll(polygon, -1, 0), distance, np.roll(distance, -1), strict=True
    ):
        for side in kept:
            if side * d_here >= 0:
                kept[side].append(here)
            if d_here * d_there < 0:
                kept[side].append(here + (there - here) * (d_here / (d_here - d_there)))
    return [np.array(kept[-1]), np.array(kept[1])]
