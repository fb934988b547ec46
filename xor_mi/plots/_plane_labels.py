"""drawn parts of the input plane -> the places where names and numbers have room.

Plain geometry. Places are in the units of the axes, sizes in pixels; in a plane of two equal sides
one is so many times the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from xor_mi.plots._places import Box, Point

Spots = Float[ndarray, "spot 2"]
Corners = Float[ndarray, "corner 2"]
Which = Bool[ndarray, " spot"]
AT_THE_FRAME = 4.0
"""Pixels between a label and the frame."""
CLEAR = 2.0
"""Pixels between two labels, and between a label and what it keeps off."""
SPOTS_A_SIDE = 81
"""Places along each side of the plane that are tried for a name."""
GRAIN = 3.0
"""Points of a line that are nearer to each other than so many pixels count once."""
FAR = 60.0
"""Beyond so many pixels of free space around a label, more space does not count."""
APART = 170.0
"""Pixels between two numbers of one contour."""


@dataclass
class Taken:
    """The parts of a plane that are taken, and the places that still have room.

    Attributes:
        across, down: the ends of the axes.
        scale: pixels of one unit of both axes.
    """

    across: Point
    down: Point
    scale: float
    _points: Spots = field(default_factory=lambda: np.empty((0, 2)))
    _boxes: list[tuple[float, float, float, float]] = field(default_factory=list)

    def add_points(self, points: Iterable[Sequence[float]]) -> None:
        """Keep labels off these points, such as the points of a line."""
        added = np.array([*map(list, points)], dtype=float).reshape(-1, 2)
        grains = np.round(added * self.scale / GRAIN)
        _, first = np.unique(grains, axis=0, return_index=True)
        self._points = np.concatenate([self._points, added[first]])

    def add_box(self, middle: Point, size: Point) -> None:
        """Keep labels off a box of so many pixels."""
        box = Box(middle, (size[0] / self.scale, size[1] / self.scale))
        self._boxes.append(box.edges)

    def free(self, spots: Spots, size: Point) -> Which:
        """Whether a label of this size in pixels has room with its middle there."""
        half = np.array(size) / 2 / self.scale
        near, rim = CLEAR / self.scale, AT_THE_FRAME / self.scale
        low = np.array([self.across[0], self.down[0]]) + half + rim
        high = np.array([self.across[1], self.down[1]]) - half - rim
        is_free = np.all((spots >= low) & (spots <= high), axis=1)
        # [spot, point, axis]
        beside = np.abs(spots[:, None] - self._points[None]) < half + near
        is_free &= ~np.any(np.all(beside, axis=-1), axis=-1)
        for left, right, bottom, top in self._boxes:
            x, y = spots.T
            is_beside = (x > left - half[0] - near) & (x < right + half[0] + near)
            is_beside &= (y > bottom - half[1] - near) & (y < top + half[1] + near)
            is_free &= ~is_beside
        return is_free

    def room_around(self, spots: Spots) -> Float[ndarray, " spot"]:
        """Pixels from each spot to what is nearest to it, at most `FAR`."""
        # names are wider than they are high, so a distance along x0 counts half
        shape = self.scale * np.array([0.5, 1.0])
        low = np.array([self.across[0], self.down[0]])
        high = np.array([self.across[1], self.down[1]])
        to_frame = np.minimum(spots - low, high - spots) * shape
        nearest = np.minimum(FAR, to_frame.min(1))
        if len(self._points):
            away = np.linalg.norm((spots[:, None] - self._points[None]) * shape, axis=-1)
            nearest = np.minimum(nearest, away.min(1))
        for left, right, bottom, top in self._boxes:
            inside = np.clip(spots, [left, bottom], [right, top])
            nearest = np.minimum(nearest, np.linalg.norm((spots - inside) * shape, axis=-1))
        return nearest

    def place_inside(self, corners: Corners, size: Point) -> Point | None:
        """The place inside a convex region where a whole label has most room; None without room.

        Args:
            corners: counter-clockwise.
            size: pixels across and down.
        """
        x = np.linspace(*self.across, SPOTS_A_SIDE)
        y = np.linspace(*self.down, SPOTS_A_SIDE)
        # the middle of a small region may lie between the places of the grid
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        spots = np.concatenate([corners.mean(0)[None], grid])
        half = np.array(size) / 2 / self.scale
        signs = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        for sign in signs:
            spots = spots[_is_inside(spots + sign * half, corners)]
        spots = spots[self.free(spots, size)]
        return self._take(spots, size)

    def place_on(self, spots: Spots, size: Point) -> Point | None:
        """The place, of these, where a label has most room; None without room."""
        return self._take(spots[self.free(spots, size)], size)

    def _take(self, spots: Spots, size: Point) -> Point | None:
        """Take the best of the places that have room."""
        if not len(spots):
            return None
        x, y = spots[self.room_around(spots).argmax()].tolist()
        self.add_box((x, y), size)
        return x, y


def _is_inside(spots: Spots, corners: Corners) -> Which:
    """Whether each spot lies in a convex region."""
    sides = np.roll(corners, -1, axis=0) - corners
    # [spot, side, axis]
    to_spot = spots[:, None] - corners[None]
    turns = sides[:, 0] * to_spot[..., 1] - sides[:, 1] * to_spot[..., 0]
    return np.all(turns >= 0, axis=1)


def crossings(
    x: Sequence[float], y: Sequence[float], height: Float[ndarray, "x y"], level: float
) -> Spots:
    """The points on the lines of a grid at which a surface has this level.

    >>> crossings([0.0, 1.0], [0.0, 1.0], np.array([[0.0, 0.0], [4.0, 4.0]]), 1.0).tolist()
    [[0.25, 0.0], [0.25, 1.0]]
    """
    grid = np.stack(np.meshgrid(np.array(x), np.array(y), indexing="ij"), axis=-1)
    found: list[Spots] = []
    for axis in (0, 1):
        first = (slice(None, -1), slice(None))[:: 1 if axis == 0 else -1]
        second = (slice(1, None), slice(None))[:: 1 if axis == 0 else -1]
        below, above = height[first] - level, height[second] - level
        crosses = below * above < 0
        share = (below / np.where(crosses, below - above, 1.0))[crosses][:, None]
        found.append(grid[first][crosses] * (1 - share) + grid[second][crosses] * share)
    return np.concatenate(found)


def numbers_of(spots: Spots, size: Point, taken: Taken) -> list[Point]:
    """The places of a contour's number: where there is most room, and once more far from there.

    Args:
        spots: points of the contour.
    """
    placed: list[Point] = []
    for _ in range(2):
        here = taken.place_on(spots, size)
        if here is None:
            break
        placed.append(here)
        away = np.linalg.norm((spots - np.array(here)) * taken.scale, axis=-1)
        spots = spots[away > APART]
    return placed
