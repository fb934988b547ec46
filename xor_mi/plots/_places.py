"""boxes, arrows between them and labels on the arrows -> the place of each label.

Plain geometry in pixels: x to the right, y upwards. A label lies on its own arrow and keeps off
boxes, other labels and, if possible, other arrows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import dist
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

Point = tuple[float, float]
Name = TypeVar("Name")
Rectangles = Float[ndarray, "... 4"]
"""Left, right, bottom and top of each."""

SHARES = tuple(np.linspace(0.05, 0.95, 41).tolist())
"""The range of an arrow on which its label may stand, as shares of its length."""
ASIDE = (0.0, -6.0, 6.0)
"""Pixels that a label may stand above its arrow and still touch it."""
BEST = 0.45
"""The share at which it stands if all places are equally good."""
HEAD = 22.0
"""Pixels of the end of an arrow that no label covers: its head."""
CLEAR = 2.0
"""Pixels between a label and a box, or an arrow that is not its own."""
APART = 5.0
"""Pixels between two labels side by side, which would be read as one."""
NEAR = 9.0
"""A label nearer than this to another arrow is harder to assign to its own."""
POINTS_AN_ARROW = 64
"""Points of an arrow that labels keep off."""
OFF_ITS_OWN, NEAR_AN_ARROW, ON_AN_ARROW, ON_A_BOX, ON_A_LABEL = 0.6, 0.5, 4.0, 100.0, 100.0
"""The cost of standing off the middle of its own arrow, near another arrow, on it, on a box or
outside the picture, and on another label.
"""
MOST_LABELS = 150
"""With more arrows than this, none is labelled, because labels would overlap."""
N_STARTS = 20
"""How often labels are placed anew, from other spots; the best result is taken."""
RISING = (1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 15.0, *[ON_A_LABEL] * 8)
"""The cost of standing on another label, round by round: at first labels may pass each other."""


@dataclass(frozen=True)
class Box:
    """A box: its middle, and its size across and down."""

    middle: Point
    size: Point

    @property
    def left(self) -> float:
        return self.middle[0] - self.size[0] / 2

    @property
    def right(self) -> float:
        return self.middle[0] + self.size[0] / 2

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top."""
        half = self.size[1] / 2
        return self.left, self.right, self.middle[1] - half, self.middle[1] + half


@dataclass(frozen=True)
class Way:
    """The points of an arrow, from its start to its tip, joined by straight lines."""

    points: tuple[Point, ...]

    @property
    def end(self) -> Point:
        return self.points[-1]

    @cached_property
    def length(self) -> float:
        return sum(dist(a, b) for a, b in pairwise(self.points))

    def at(self, far: float) -> Point:
        """The point that is so many pixels from the start, along the way."""
        for a, b in pairwise(self.points):
            part = dist(a, b)
            if far <= part:
                share = far / part if part else 0.0
                return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
            far -= part
        return self.end

    def through(self, shares: Sequence[float]) -> list[Point]:
        """The points at these shares of its length, and its corners, in order."""
        corners: list[tuple[float, Point]] = []
        far = 0.0
        for a, b in pairwise(self.points):
            corners.append((far, a))
            far += dist(a, b)
        between = [(share * far, self.at(share * far)) for share in shares]
        return [point for _, point in sorted([*corners, *between, (far, self.end)])]

    def short(self, by: float) -> "Way":
        """The way without so many pixels at its end."""
        return Way((*self.points[:-1], self.at(self.length - by)))


def label_places(
    ways: Mapping[Name, Way],
    sizes: Mapping[Name, Point],
    boxes: Sequence[Box],
    picture: Point,
) -> dict[Name, Point]:
    """The middle of each arrow's label; without those that have no room.

    Every label starts at a spot that is best, or nearly best, for itself, and is moved as long as
    its cost falls. A label that then still touches a box or another label is left out.

    Args:
        sizes: pixels across and down of each label.
        boxes: boxes that labels keep off.
        picture: pixels across and down of the picture.
    """
    names = list(ways)
    if not names or len(names) > MOST_LABELS:
        return {}
    spots = np.array([_spots(ways[name]) for name in names])
    half = np.array([sizes[name] for name in names])[:, None, :] / 2
    # [arrow, spot, edge]
    candidates = np.stack(
        [
            spots[..., 0] - half[..., 0],
            spots[..., 0] + half[..., 0],
            spots[..., 1] - half[..., 1],
            spots[..., 1] + half[..., 1],
        ],
        axis=-1,
    )
    cost = _own_cost(candidates, [ways[name] for name in names], boxes, picture)
    chosen = _improved(candidates, cost)
    at = np.arange(len(names))
    taken = candidates[at, chosen]
    fits = cost[at, chosen] < ON_A_BOX
    kept: dict[Name, Point] = {}
    kept_numbers: list[int] = []
    for number in np.argsort(cost[at, chosen], kind="stable").tolist():
        if fits[number] and not _touch(taken[number], taken[kept_numbers]).any():
            kept_numbers.append(number)
    for number in sorted(kept_numbers):
        x, y = spots[number, chosen[number]].tolist()
        kept[names[number]] = (x, y)
    return kept


def _spots(way: Way) -> list[Point]:
    """The points at which the middle of a label may be."""
    length = max(way.length - HEAD, 0.0)
    on_it = [way.at(share * length) for share in SHARES]
    return [(x, y + aside) for aside in ASIDE for x, y in on_it]


def _own_cost(
    candidates: Float[ndarray, "arrow spot 4"],
    ways: Sequence[Way],
    boxes: Sequence[Box],
    picture: Point,
) -> Float[ndarray, "arrow spot"]:
    """The cost of each spot, regardless of the other labels."""
    along = np.abs(np.array(SHARES) - BEST)
    cost = np.concatenate([along + OFF_ITS_OWN * (aside != 0) for aside in ASIDE])
    cost = np.tile(cost, (len(ways), 1))
    for box in boxes:
        cost += ON_A_BOX * _touch(np.array(box.edges), candidates, apart=CLEAR)
    left, right, bottom, top = np.moveaxis(candidates, -1, 0)
    cost += ON_A_BOX * ((left < 0) | (right > picture[0]) | (bottom < 0) | (top > picture[1]))
    for other, way in enumerate(ways):
        for clear, price in ((CLEAR, ON_AN_ARROW), (NEAR, NEAR_AN_ARROW)):
            covers = _covers(candidates, way, clear)
            # a label may stand on its own arrow
            covers[other] = False
            cost += price * covers
    return cost


def _covers(
    candidates: Float[ndarray, "arrow spot 4"], way: Way, clear: float
) -> Bool[ndarray, "arrow spot"]:
    """Whether a label there would cover an arrow, or come within so many pixels of it."""
    along = np.linspace(0, way.length, POINTS_AN_ARROW).tolist()
    x, y = np.array([way.at(far) for far in along]).T
    left, right, bottom, top = np.moveaxis(candidates[..., None], -2, 0)
    inside = (x > left - clear) & (x < right + clear) & (y > bottom - clear) & (y < top + clear)
    return inside.any(-1)


def _improved(
    candidates: Float[ndarray, "arrow spot 4"], cost: Float[ndarray, "arrow spot"]
) -> ndarray:
    """The number of the spot of each label: the best result of several starts."""
    at = np.arange(len(cost))
    generator = np.random.default_rng(0)
    best = _moved(candidates, cost, cost.argmin(1))
    for _ in range(N_STARTS):
        # the cheap spots of each label, in another order
        start = (cost + generator.uniform(0, ON_AN_ARROW, cost.shape)).argmin(1)
        found = _moved(candidates, cost, start)
        if _total(candidates, cost, found) < _total(candidates, cost, best):
            best = found
        if cost[at, best].max() < NEAR_AN_ARROW:
            break
    return best


def _total(
    candidates: Float[ndarray, "arrow spot 4"], cost: Float[ndarray, "arrow spot"], chosen: ndarray
) -> float:
    """The total cost of these spots."""
    at = np.arange(len(chosen))
    taken = candidates[at, chosen]
    # each pair counts twice, and every label touches itself
    n_touching = (_touch(taken[:, None], taken[None]).sum() - len(at)) / 2
    return float(cost[at, chosen].sum() + ON_A_LABEL * n_touching)


def _moved(
    candidates: Float[ndarray, "arrow spot 4"], cost: Float[ndarray, "arrow spot"], start: ndarray
) -> ndarray:
    """Spots from which no label gets better by being moved alone."""
    chosen = start.copy()
    at = np.arange(len(chosen))
    for price in RISING:
        before = chosen.copy()
        for number in at:
            others = candidates[at, chosen][at != number]
            # [spot, other]
            touched = _touch(candidates[number][:, None], others[None])
            chosen[number] = (cost[number] + price * touched.sum(1)).argmin()
        if price == ON_A_LABEL and (chosen == before).all():
            break
    return chosen


def _touch(a: Rectangles, b: Rectangles, *, apart: float = APART) -> Bool[ndarray, "..."]:
    """Whether two rectangles overlap, or nearly.

    Args:
        apart: pixels required between them side by side; two labels need more, to be read apart.
    """
    return (
        (a[..., 0] < b[..., 1] + apart)
        & (b[..., 0] < a[..., 1] + apart)
        & (a[..., 2] < b[..., 3] + CLEAR)
        & (b[..., 2] < a[..., 3] + CLEAR)
    )
