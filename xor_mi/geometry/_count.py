"""convex polygons and the lines that cross them -> how many pieces they are cut into, at least.

They are counted from where the lines cross one another, without cutting, so that too many are
refused before the work begins.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

SAME_PLACE = 1e-9
"""Crossings that are nearer to each other than this count as one, and crossings this near to an
edge do not count; the square that is cut goes from -1 to 1.
"""

LEAST_ANGLE = 1e-6
"""Lines that cross at a smaller angle count as parallel."""

LINES_AT_ONCE = 64
"""So many lines are compared with all earlier lines at once."""


def pieces_at_least(
    corners: Float[ndarray, "corner 2"], lines: Float[ndarray, "line 3"], *, enough: int
) -> int:
    """How many pieces lines cut a convex polygon into, or fewer if lines nearly coincide.

    A line adds one piece, and one more for each place inside where it crosses earlier lines.

    Args:
        corners: counter-clockwise.
        lines: (a, b, c) of a x + b y + c = 0.
        enough: counting stops as soon as there are more than this.
    """
    size = np.hypot(lines[:, 0], lines[:, 1])
    lines = lines[size > 0] / size[size > 0, None]
    distance = corners @ lines[:, :2].T + lines[:, 2]  # [corner, line]
    crosses = (distance.max(0) > SAME_PLACE) & (distance.min(0) < -SAME_PLACE)
    lines, distance = lines[crosses], distance[:, crosses]
    starts, lengths = _chords(corners, lines, distance)
    is_new = np.ones(len(lines), dtype=bool)
    n_pieces = 1
    for first in range(0, len(lines), LINES_AT_ONCE):
        own = slice(first, first + LINES_AT_ONCE)
        of_each = _added(lines, starts, lengths, is_new, own)
        n_pieces += int(of_each.sum())
        if n_pieces > enough:
            break
    return n_pieces


def pieces_of_all_at_least(
    polygons: Sequence[Float[ndarray, "_corner 2"]],
    lines: Sequence[Float[ndarray, "_line 3"]],
    *,
    enough: int,
) -> int:
    """The same for several polygons, each cut by its own lines."""
    n_pieces = len(polygons)
    # the polygons with most lines come first, because they have most pieces
    order = sorted(range(len(polygons)), key=lambda k: -len(lines[k]))
    for k in order:
        if n_pieces > enough or not len(lines[k]):
            break
        n_pieces += pieces_at_least(polygons[k], lines[k], enough=enough - n_pieces + 1) - 1
    return n_pieces


def most_pieces(n_lines: int) -> int:
    """How many pieces so many lines cut a convex polygon into at most."""
    return 1 + n_lines + n_lines * (n_lines - 1) // 2


def _directions(lines: Float[ndarray, "line 3"]) -> Float[ndarray, "line 2"]:
    """The direction in which each line is followed, for lines with a normal of length 1."""
    return np.stack([-lines[:, 1], lines[:, 0]], axis=1)


def _chords(
    corners: Float[ndarray, "corner 2"],
    lines: Float[ndarray, "line 3"],
    distance: Float[ndarray, "corner line"],
) -> tuple[Float[ndarray, "line 2"], Float[ndarray, " line"]]:
    """Where each line enters the polygon, and how long it is inside."""
    after = np.roll(distance, -1, axis=0)
    is_met = (distance > 0) != (after > 0)
    # the fraction of each edge up to where the line meets it
    share = np.where(is_met, distance, 0) / np.where(is_met, distance - after, 1)
    edges = np.roll(corners, -1, axis=0) - corners
    places = corners[:, None] + share[..., None] * edges[:, None]  # [corner, line, axis]
    along = (places * _directions(lines)).sum(-1)
    lowest = np.where(is_met, along, np.inf).min(0)
    highest = np.where(is_met, along, -np.inf).max(0)
    # from the point of each line that is nearest to the square's centre
    starts = -lines[:, 2:] * lines[:, :2] + lowest[:, None] * _directions(lines)
    return starts, highest - lowest


def _added(
    lines: Float[ndarray, "line 3"],
    starts: Float[ndarray, "line 2"],
    lengths: Float[ndarray, " line"],
    is_new: Bool[ndarray, " line"],
    own: slice,
) -> ndarray:
    """How many pieces each of some lines adds to those of the earlier lines.

    Args:
        is_new: whether a line differs from all earlier lines; for `own` this is found here.
    """
    until = min(own.stop, len(lines))
    before, numbers = lines[:until], np.arange(own.start, until)
    is_before = np.arange(until) < numbers[:, None]  # [own, before]
    ways, length = _directions(lines[own]), lengths[own]
    at_start = starts[own] @ before[:, :2].T + before[:, 2]
    slope = ways @ before[:, :2].T
    at_end = at_start + length[:, None] * slope
    coincides = (np.abs(at_start) <= SAME_PLACE) & (np.abs(at_end) <= SAME_PLACE)
    is_new[own] = ~(coincides & is_before).any(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = -at_start / slope
    counts = is_before & is_new[:until] & (np.abs(slope) > LEAST_ANGLE)
    counts &= (t > SAME_PLACE) & (t < length[:, None] - SAME_PLACE)
    t = np.sort(np.where(counts, t, np.inf), axis=1)
    with np.errstate(invalid="ignore"):
        is_another = np.diff(t, axis=1, prepend=-np.inf) > SAME_PLACE
    crossings = (is_another & np.isfinite(t)).sum(1)
    return np.where(is_new[own], 1 + crossings, 0)
