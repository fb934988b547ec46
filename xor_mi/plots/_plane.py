"""the space between the inputs -> the plane with its regions, boundary and path.

And the output along a path.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.basedatatypes import BaseTraceType
from torch import Tensor

from xor_mi import geometry
from xor_mi.errors import require_at_most, require_kind, whole_number
from xor_mi.finding import ROUNDING, count_text, number_text
from xor_mi.geometry import Boundary, DecisionChange, InputPath, InputPlane, Kink, Region, Regions
from xor_mi.geometry._pieces import has_pieces, turns_on_at_zero
from xor_mi.graph import Unit, name_of_set
from xor_mi.kinds import Bounds
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, require_output
from xor_mi.plots._places import Box, Point, Way, label_places
from xor_mi.plots._plane_labels import Taken, crossings, numbers_of
from xor_mi.plots._style import (
    BOUNDARY_LINE,
    DECISION_SYMBOLS,
    DIVERGING,
    INK,
    NEGATIVE,
    POSITIVE,
    THRESHOLD_LINE,
    columns_of,
    corner_points,
    decision_text,
    distance_title,
    input_axis,
    is_output_name,
    label_width,
    line_trace,
    point_text,
    rounded,
    score_axis,
    score_ends,
    text_beside,
    text_width,
    titled,
    without_rounding,
)
from xor_mi.truth import row_name, truth_rows
from xor_mi.values import forward_float64, own_score_scale

DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")
CHANGE = {"symbol": "square", "size": 11, "color": "#ffffff", "line": {"width": 2.5, "color": INK}}
"""The marker of a decision change."""
CONTOUR_LINE = {"width": 0.7, "color": "#b0b0b0"}
"""Contours are paler than the edges of regions, which are dashed."""
EDGE_LINE = {"width": 1.2, "color": "#555555", "dash": "2px,3px"}
SAME_LINE = 10.0
"""Lines whose ends are nearer to each other than so many pixels share one name."""
MOST_REGIONS_NAMED = 12
"""The most regions whose names are written into the plane; hover texts name them all."""
POINTS_A_SEGMENT = 33
"""Points along each piece of the boundary and of the path, from which names keep off."""
HALO = "0 0 3px #ffffff, 0 0 3px #ffffff, 0 0 3px #ffffff"
"""Around what is written across lines."""
MOST_CHANGES = 4
"""The most changes of a decision that a title names."""
IS_ZERO = ("is zero", "are zero")
"""What one unit does on its line, and what several do."""
TOO_CLOSE = 0.02
"""Kinks nearer to each other than this (of the whole path) share one name."""
SIDE_OF_BITS = 2.0
"""The side of the plane around the levels 0 and 1, for which numbers of axes are rounded; larger or
smaller planes are rounded in proportion.
"""

MOST_DECIMALS = 4
"""Decimals of a contour's number; a smaller number is written with its power of ten."""
N_CONTOURS = 8
"""About so many steps between the lowest and the highest contour."""
BRIGHTEST = 1.5
"""Beyond so many times the largest distance at an input, all has the darkest colour."""
SIDE, LEFT, RIGHT = 430.0, 62, 108
"""Pixels of a side of the plane, and beside it; 600 in all."""
LEGEND_LINE = 20
"""Pixels of a line of the legend, which stands under the plane."""
NAME_LINE = 14.0
"""Pixels of a line of a name in the plane."""
LETTER = (16.0, 16.0)
"""Pixels of the letter of a region whose name has no room in it."""
CHARACTER_OF_A_NUMBER = 6.6
"""Pixels of a character of a contour's number."""
POINT = (18.0, 18.0)
"""Pixels of an input, a kink or a decision change."""
CORNER_NAME, CORNER_CHARACTER, ABOVE_A_CORNER = 18.0, 8.0, 17.0
"""Pixels of what is decided at an input: its height, one of its characters, and from the middle of
the input up to its own.
"""
LEGEND_ROOM = 196.0
"""Pixels of the text of an entry of the legend, of which two stand side by side."""
MOST_POINTS_DRAWN = 1_000_000
"""A surface of more points is refused: a page with so many takes some 9 MB."""


def input_plane(
    model: HookedMLP,
    *,
    bounds: Bounds | None = None,
    path: InputPath | None = None,
    show_regions: bool = True,
    output: int = 0,
    n_points: int = 61,
    progress: bool = True,
) -> go.Figure:
    """The output over the input plane, with the decision boundary and the four inputs.

    Numbered contours show the output's distance to the threshold; for argmax over two outputs, the
    second minus the first. The axes have the numbers that the network takes as inputs.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)). By default the range
            reaches half the distance between the input levels beyond each: (-0.5, 1.5) for 0 and 1.
        path: a `geometry.path` to draw, with its kinks and decision changes.
        show_regions: also draw the pieces on which the network is affine, each named by the hidden
            units that are on; smooth units have no such pieces.
        n_points: grid points per side of the surface. Boundary, regions and path do not depend on
            it if units are piecewise linear.
        progress: a bar, where the work takes over half a second.

    Raises:
        XorMiError: a network without exactly two inputs, an output that does not exist, empty
            bounds, too many regions, or more than `MOST_POINTS_DRAWN` points.
    """
    if path is not None:
        require_kind("path", path, InputPath, give="what geometry.path returns")
    n_points = whole_number("n_points", n_points, at_least=2)
    _require_few_points(n_points**2)
    plane = geometry.input_plane(
        model, bounds=bounds, output=output, n_points=n_points, progress=progress
    )
    edge = geometry.boundary(model, bounds=bounds, output=output, progress=progress)
    last = forward_float64(model, model.rows())[-1]
    at_rows = model.rule.scores(last.post)[:, output] - plane.threshold
    shades = _Shades.of(plane, at_rows, scale=own_score_scale(model, model.rows()))
    figure = go.Figure(_surface(plane, shades))
    decided = decisions(model)[:, output].tolist()
    names = _corner_names(decided)
    happens = ("turns on", "turn on") if turns_on_at_zero(model) else IS_ZERO
    labels = _unit_labels(plane, names, happens)
    taken = _taken_by_inputs(_bounds_of(plane), plane.levels, names)
    _keep_off_lines(taken, edge, path)
    for label in labels:
        if label.at is not None:
            taken.add_box(label.at, label.size)
    if show_regions and has_pieces(model):
        pieces = geometry.regions(model, bounds=bounds, progress=progress)
        # with argmax over two outputs, the score of the decision is the second minus the first
        shown = output if model.cfg.n_decisions == model.cfg.d_out else (1, 0)
        _add_regions(figure, pieces, shown, taken)
    _add_contour_numbers(figure, plane, shades, taken)
    _add_unit_lines(figure, plane, labels)
    figure.add_trace(line_trace(edge.segments.tolist(), BOUNDARY_LINE, "decision boundary"))
    if path is not None:
        _add_path(figure, path, output)
    figure.add_trace(corner_trace(decided, plane.levels))
    return _plane_layout(figure, plane, _plane_title(plane, shades, decided))


def plane_figure(plane: InputPlane) -> go.Figure:
    """Draw a `geometry.input_plane`: the output's distance to the threshold over the plane.

    It has the line on which each unit of the first layer is zero. `plots.input_plane(model)` adds
    boundary, regions and inputs.

    Raises:
        XorMiError: more than `MOST_POINTS_DRAWN` points.
    """
    require_kind("plane", plane, InputPlane, give="what geometry.input_plane returns")
    _require_few_points(plane.outputs.numel())
    shades = _Shades.of(plane, None, scale=0.0)
    figure = go.Figure(_surface(plane, shades))
    labels = _unit_labels(plane, (), IS_ZERO)
    taken = _taken_by_inputs(_bounds_of(plane), plane.levels, ())
    for label in labels:
        if label.at is not None:
            taken.add_box(label.at, label.size)
    _add_contour_numbers(figure, plane, shades, taken)
    _add_unit_lines(figure, plane, labels)
    return _plane_layout(figure, plane, _plane_title(plane, shades, None))


def _require_few_points(n_points: int) -> None:
    require_at_most(
        n_points, MOST_POINTS_DRAWN, what="points of a surface", do="give a smaller n_points"
    )


def regions_figure(pieces: Regions, *, output: int = 0) -> go.Figure:
    """`geometry.regions`: the pieces of the plane on which the network is affine.

    Each is named by the hidden units that are on; hovering shows the map of one output.

    Args:
        output: the number of an output.

    Raises:
        XorMiError: an output that does not exist.
    """
    require_kind("pieces", pieces, Regions, give="what geometry.regions returns")
    require_output(output, n_outputs=len(pieces[0].bias))
    figure = go.Figure()
    _add_regions(figure, pieces, output, _taken_by_inputs(pieces.bounds, pieces.levels, ()))
    _label_plane(figure, pieces.levels, pieces.bounds)
    title = f"{len(pieces)} regions of the input plane on which the network is affine"
    return _square(figure, title, right=30)


def boundary_figure(edge: Boundary) -> go.Figure:
    """A `geometry.boundary`: the lines of the input plane along which the decision changes."""
    require_kind("edge", edge, Boundary, give="what geometry.boundary returns")
    figure = go.Figure(
        line_trace(edge.segments.tolist(), BOUNDARY_LINE, f"decision boundary of {edge.score}")
    )
    _label_plane(figure, edge.levels)
    title = f"Where the decision of {edge.score} changes, {edge.length:.3g} long in all"
    return _square(figure, title, right=30).update_layout(showlegend=False)


def path_figure(path: InputPath) -> go.Figure:
    """The output along a `geometry.path`, with the threshold; for argmax, the decisions' scores.

    It marks where units turn on or off and where the decision changes.
    """
    require_kind("path", path, InputPath, give="what geometry.path returns")
    figure = go.Figure()
    looks = cycle([(POSITIVE, "solid"), (NEGATIVE, "dash"), (INK, "dot")])
    shown = without_rounding(path.scores, path.threshold, scale=path.scale)
    scores = zip(path.score_names, shown.T.tolist(), looks, strict=False)
    for name, values, (colour, dash) in scores:
        line = {"color": colour, "width": 3, "dash": dash}
        figure.add_trace(
            go.Scatter(x=path.t.tolist(), y=values, mode="lines", line=line, name=name)
        )
    _add_kink_lines(figure, path.kinks)
    figure.add_hline(path.threshold, opacity=1, line=THRESHOLD_LINE)
    if path.changes:
        figure.add_trace(_changes_along(path.changes, path.threshold))
    start, end = point_text(path.start, 6), point_text(path.end, 6)
    figure.update_xaxes(
        title=f"t: 0 is {start}, 1 is {end}<br>(dotted: these units turn {_turned(path)})",
        range=[-0.02, 1.08],
    )
    ends = score_ends(path.scores, path.threshold, scale=path.scale)
    figure.update_yaxes(title=score_axis(path.score_names, path.threshold), range=ends)
    several = path.scores.shape[1] > 1
    # names of units stand over the frame, aslant where there are many
    titled(figure, path_title(path), inside=270, above=35, below=60)
    return figure.update_layout(margin={"l": LEFT, "r": 20}, showlegend=several)


def path_title(path: InputPath) -> str:
    """The places t at which a decision changes on the way, and the decisions before and after."""
    start, end = point_text(path.start, 3), point_text(path.end, 3)
    several = path.scores.shape[1] > 1
    changes: list[str] = []
    for change in path.changes:
        of = f" of {path.score_names[change.output]}" if several else ""
        before, after = decision_text(change.before), decision_text(change.after)
        changes.append(f"{before} → {after}{of} at t = {change.place}")
    way = f"From {start} to {end}"
    if not changes:
        return f"{way} no decision changes"
    more = len(changes) - MOST_CHANGES
    if more > 0:
        changes = [*changes[:MOST_CHANGES], f"{more} more"]
    return f"{way} the decision changes: {', '.join(changes)}"


def corners_marker(decided: Sequence[int]) -> dict[str, Any]:
    """The markers of the four inputs, whose symbols show the decisions."""
    return {
        "size": 13,
        "color": INK,
        "symbol": [DECISION_SYMBOLS[bit] for bit in decided],
        "line": {"width": 2},
    }


# the plane


@dataclass(frozen=True)
class _Shades:
    """The colours of distances to the threshold.

    Attributes:
        distance: [x0, x1], with rounding set to 0.
        bound: the distance that has the darkest colour.
        is_flat: whether the output is the same everywhere.
        is_cut: whether some distances are larger.
        rows_are_rounding: whether the distances at the inputs are known and are only rounding.
    """

    distance: Tensor
    bound: float
    is_flat: bool
    is_cut: bool
    rows_are_rounding: bool

    @classmethod
    def of(cls, plane: InputPlane, at_rows: Tensor | None, *, scale: float) -> "_Shades":
        """The colours of a plane.

        Args:
            at_rows: the distances at the inputs, if they are known.
            scale: the size of the terms of the scores.
        """
        distance = plane.outputs - plane.threshold
        largest = distance.abs().max().item()
        nothing = ROUNDING * max(scale, largest)
        distance = torch.where(distance.abs() <= nothing, 0.0, distance)
        is_flat = (distance.max() - distance.min()).item() <= nothing
        if is_flat:
            distance = torch.full_like(distance, distance.median().item())
        # a plane that lies on the threshold everywhere still needs a scale
        largest = distance.abs().max().item() or scale or 1.0
        of_rows = None if at_rows is None else at_rows.abs().max().item()
        rows_are_rounding = of_rows is not None and of_rows <= nothing
        bound = largest
        if of_rows and not rows_are_rounding:
            bound = min(bound, BRIGHTEST * of_rows)
        return cls(distance, bound, is_flat, largest > bound, rows_are_rounding)


def _surface(plane: InputPlane, shades: _Shades) -> list[BaseTraceType]:
    """The distance to the threshold as colours, and numbered contours on it."""
    # [x0, x1] -> plotly's [row of y, column of x]
    distance = rounded(shades.distance.T, largest=shades.bound, digits=4).tolist()
    x, y = _written(plane.x0), _written(plane.x1)
    colours = go.Heatmap(
        x=x,
        y=y,
        z=distance,
        zsmooth="best",
        colorscale=DIVERGING,
        zmin=-shades.bound,
        zmax=shades.bound,
        colorbar=distance_bar(plane.score, bound=shades.bound, is_cut=shades.is_cut),
        opacity=0.75,
        hovertemplate=(
            f"at x0 %{{x}}, x1 %{{y}}, {plane.score} is %{{z}} from the threshold<extra></extra>"
        ),
    )
    if shades.is_flat:
        return [colours]
    lowest, highest, step = _levels(shades)
    contours = go.Contour(
        x=x,
        y=y,
        z=distance,
        line=CONTOUR_LINE,
        contours={"coloring": "none", "start": lowest, "end": highest, "size": step},
        hoverinfo="skip",
        showscale=False,
        name="contours, with their distance to the threshold",
        showlegend=True,
    )
    return [colours, contours]


def _levels(shades: _Shades) -> tuple[float, float, float]:
    """The lowest and the highest height of contours, and the step between them."""
    low, high = shades.distance.min().item(), shades.distance.max().item()
    step = _step((high - low) / N_CONTOURS)
    # none at 0, where the boundary is
    return step * (math.ceil(low / step - 0.5) + 0.5), high, step


def _small_texts(
    spots: Sequence[Point], texts: Sequence[str], *, name: str, hoverinfo: str
) -> go.Scatter:
    """Texts in the plane, each at its place, readable on any background."""
    x, y = columns_of(spots)
    return go.Scatter(
        x=x,
        y=y,
        mode="text",
        text=list(texts),
        textfont={"size": 11, "color": INK, "shadow": HALO},
        hoverinfo=hoverinfo,
        name=name,
        showlegend=False,
    )


def _add_contour_numbers(
    figure: go.Figure, plane: InputPlane, shades: _Shades, taken: Taken
) -> None:
    """Write the number of each contour where there is room, those near the threshold first."""
    if shades.is_flat:
        return
    lowest, highest, step = _levels(shades)
    n_levels = math.floor((highest - lowest) / step) + 1
    levels = sorted([lowest + k * step for k in range(n_levels)], key=abs)
    # half a step has one decimal more than a step
    decimals = min(MOST_DECIMALS, max(0, 1 - math.floor(math.log10(step))))
    x, y = _written(plane.x0), _written(plane.x1)
    height = shades.distance.double().numpy(force=True)
    spots: list[Point] = []
    texts: list[str] = []
    for level in levels:
        text = number_text(level, decimals=decimals)
        size = (CHARACTER_OF_A_NUMBER * len(text), NAME_LINE)
        placed = numbers_of(crossings(x, y, height, level), size, taken)
        spots += placed
        texts += [text] * len(placed)
    figure.add_trace(_small_texts(spots, texts, name="numbers of contours", hoverinfo="skip"))


def distance_bar(score: str, *, bound: float, is_cut: bool) -> dict[str, Any]:
    """The colour bar of distances to the threshold; if distances are cut off, its ends say so."""
    text = text_beside(bound, largest=bound)
    low, high = ("≤ ", "≥ ") if is_cut else ("", "")
    return {
        "title": {"text": distance_title(score), "font": {"size": 12}},
        "tickvals": [-bound, 0, bound],
        "ticktext": [f"{low}-{text}", "0", f"{high}+{text}"],
        "thickness": 12,
        "len": 0.9,
        "exponentformat": "power",
    }


def _step(least: float) -> float:
    """The smallest number of at least this size that is 1, 2 or 5 times a power of ten.

    >>> _step(0.3), _step(2.1)
    (0.5, 5.0)
    """
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least)


# lines on which units turn on


@dataclass(frozen=True)
class _UnitLabel:
    """The label at the line of a unit.

    Attributes:
        at: its place, in the axes' units; None if there is no room.
        size: pixels across and down.
        is_shared: whether it is part of the label of another unit that has the same line.
    """

    text: str
    at: Point | None
    size: Point
    is_shared: bool


def _bounds_of(plane: InputPlane) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of the axes."""
    x0, x1 = _written(plane.x0), _written(plane.x1)
    return (x0[0], x0[-1]), (x1[0], x1[-1])


def _pixels(bounds: tuple[tuple[float, float], tuple[float, float]]) -> float:
    """Pixels of one unit of both axes."""
    return SIDE / max(high - low for low, high in bounds)


def _unit_labels(
    plane: InputPlane, names: Sequence[str], happens: tuple[str, str]
) -> list[_UnitLabel]:
    """A label on each line on which a first-layer unit is zero, away from inputs and other labels.

    Units that have the same line share one label, at the first of them.

    Args:
        names: what is written above the inputs.
        happens: what one unit does there, and what several do.
    """
    (left, right), (bottom, top) = _bounds_of(plane)
    scale = _pixels(_bounds_of(plane))
    origin = torch.tensor([left, bottom], dtype=torch.float64)
    ways: dict[str, Way] = {}
    for unit, ends in plane.lines.items():
        a, b = (scale * (torch.tensor(ends, dtype=torch.float64) - origin)).tolist()
        ways[unit.name] = Way(((a[0], a[1]), (b[0], b[1])))
    shared: dict[str, list[str]] = {}
    for name, way in ways.items():
        first = next((other for other in shared if _are_one(ways[other], way)), name)
        shared.setdefault(first, []).append(name)
    one_does, several_do = happens
    texts: dict[str, str] = {}
    for first, units in shared.items():
        does = one_does if len(units) == 1 else several_do
        texts[first] = f"{', '.join(units)} {does}"
    sizes = {name: (text_width(text) + 4, NAME_LINE + 4) for name, text in texts.items()}
    corners = (scale * (torch.tensor(corner_points(plane.levels)).double() - origin)).tolist()
    boxes = [Box((x, y), POINT) for x, y in corners]
    for (x, y), name in zip(corners, names, strict=False):
        boxes.append(Box((x, y + ABOVE_A_CORNER), _corner_size(name)))
    picture = (scale * (right - left), scale * (top - bottom))
    places = label_places({name: ways[name] for name in texts}, sizes, boxes, picture)
    labels: list[_UnitLabel] = []
    for name in ways:
        if name not in texts:
            labels.append(_UnitLabel(f"{name} {one_does}", None, (0.0, 0.0), is_shared=True))
            continue
        at = None
        if name in places:
            x, y = places[name]
            at = (left + x / scale, bottom + y / scale)
        labels.append(_UnitLabel(texts[name], at, sizes[name], is_shared=False))
    return labels


def _are_one(way: Way, other: Way) -> bool:
    """Whether two lines lie on each other, whichever end comes first."""
    a, b = way.points
    ends = [other.points, other.points[::-1]]
    return any(math.dist(a, c) < SAME_LINE and math.dist(b, d) < SAME_LINE for c, d in ends)


def _add_unit_lines(figure: go.Figure, plane: InputPlane, labels: Sequence[_UnitLabel]) -> None:
    """Add the line on which each first-layer unit is zero, with hover texts."""
    drawn = zip(plane.lines.values(), labels, cycle(DASHES), strict=False)
    for ends, label, dash in drawn:
        x, y = columns_of(ends)
        line = {"color": INK, "width": 1.8, "dash": dash}
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                line=line,
                name=label.text,
                hoverinfo="name",
                showlegend=label.at is None and not label.is_shared,
            )
        )
        if label.at is not None:
            figure.add_annotation(
                x=label.at[0],
                y=label.at[1],
                text=label.text,
                showarrow=False,
                font={"size": 12, "color": INK},
                bgcolor="rgba(255,255,255,0.85)",
                borderpad=1,
            )


def corner_trace(decided: list[int], levels: tuple[float, float]) -> go.Scatter:
    """The four inputs, each with its bits and its decision as symbol and as text."""
    x, y = columns_of(corner_points(levels))
    return go.Scatter(
        x=x,
        y=y,
        mode="markers+text",
        marker=corners_marker(decided),
        text=[f"<b>{name}</b>" for name in _corner_names(decided)],
        textposition="top center",
        textfont={"color": INK, "shadow": HALO},
        # an input may lie so near the edge of the panel that its text does not fit inside
        cliponaxis=False,
        name="inputs (filled: decided 1)",
    )


def _corner_names(decided: Sequence[int]) -> list[str]:
    """The bits of each input and the decision, as "10: 1"."""
    rows = map(row_name, truth_rows(2))
    return [f"{row}: {decision_text(bit)}" for row, bit in zip(rows, decided, strict=True)]


def _corner_size(name: str) -> Point:
    """Pixels of the text above an input."""
    return CORNER_CHARACTER * len(name), CORNER_NAME


def _plane_title(plane: InputPlane, shades: _Shades, decided: list[int] | None) -> str:
    """The inputs at which the score is above the threshold; or that it is the same everywhere.

    Args:
        decided: the decisions at the inputs, if they are known.
    """
    cut = (
        f"the threshold {plane.threshold:g}"
        if is_output_name(plane.score)
        else f"{plane.threshold:g}"
    )
    if shades.is_flat:
        height = shades.distance[0, 0].item()
        value = number_text(height + plane.threshold)
        where = "on" if height == 0 else "above" if height > 0 else "below"
        return f"{plane.score} is {value} everywhere: {where} {cut}, whatever the input"
    if decided is None:
        share = 100 * (shades.distance > 0).double().mean().item()
        return f"{plane.score} is above {cut} on {share:.0f}% of this plane"
    rows = [row_name(row) for row in truth_rows(2)]
    if shades.rows_are_rounding:
        return f"{plane.score} is {cut} at every input, up to rounding"
    parts: list[str] = []
    for bit, where in ((1, "above"), (0, "below"), (-1, "on")):
        names = [row for row, own in zip(rows, decided, strict=True) if own == bit]
        if names:
            parts.append(f"{where} {cut if not parts else 'it'} at {', '.join(names)}")
    return f"{plane.score} is {'; '.join(parts)}"


def _plane_layout(figure: go.Figure, plane: InputPlane, title: str) -> go.Figure:
    _label_plane(figure, plane.levels, _bounds_of(plane))
    return _square(figure, title, right=RIGHT)


def _square(figure: go.Figure, title: str, *, right: int) -> go.Figure:
    """The plane at its size, the title above it and the legend below it.

    Args:
        right: pixels to the right of the plane, where a colour bar may be.
    """
    width = LEFT + round(SIDE) + right
    traces: Any = figure.data
    names = [one.name for one in traces if one.name and one.showlegend is not False]
    per_line = 2 if label_width(names) <= LEGEND_ROOM else 1
    below = 58 + LEGEND_LINE * -(-len(names) // per_line)
    titled(figure, title, inside=round(SIDE), below=below, width=width)
    return figure.update_layout(
        margin={"l": LEFT, "r": right},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -52 / SIDE,
            "yanchor": "top",
            "entrywidth": 1 / per_line,
            "entrywidthmode": "fraction",
            "font": {"size": 12},
        },
    )


def _written(axis: Tensor) -> list[float]:
    """The numbers of a plane's axis, rounded against its length."""
    shift = round(math.log10((axis[-1] - axis[0]).item() / SIDE_OF_BITS))
    return axis.round(decimals=6 - shift).tolist()


def _label_plane(
    figure: go.Figure,
    levels: tuple[float, float],
    bounds: tuple[tuple[float, float], tuple[float, float]] | None = None,
) -> None:
    """The axes of the plane, equally long, with the inputs' levels."""
    range_x0, range_x1 = (None, None) if bounds is None else map(list, bounds)
    title_x0, title_x1 = (input_axis(name, levels) for name in ("x0", "x1"))
    figure.update_xaxes(title=title_x0, range=range_x0, constrain="domain")
    figure.update_yaxes(title=title_x1, range=range_x1, scaleanchor="x", constrain="domain")


# the names of regions


def _taken_by_inputs(
    bounds: tuple[tuple[float, float], tuple[float, float]],
    levels: tuple[float, float],
    names: Sequence[str],
) -> Taken:
    """A plane with its four inputs.

    Args:
        names: what is written above them, if anything is.
    """
    across, down = bounds
    scale = _pixels(bounds)
    taken = Taken(across, down, scale)
    corners = corner_points(levels)
    for x, y in corners:
        taken.add_box((x, y), POINT)
    for (x, y), name in zip(corners, names, strict=False):
        taken.add_box((x, y + ABOVE_A_CORNER / scale), _corner_size(name))
    return taken


def _keep_off_lines(taken: Taken, edge: Boundary, path: InputPath | None) -> None:
    """Keep names off the decision boundary, and off a path with its kinks and changes."""
    steps = torch.linspace(0, 1, POINTS_A_SEGMENT, dtype=torch.float64)[:, None]
    # [segment, step, (x0, x1)], then one list of points
    along_edge = torch.lerp(edge.segments[:, :1], edge.segments[:, 1:], steps).flatten(0, 1)
    taken.add_points(along_edge.tolist())
    if path is None:
        return
    ends = torch.tensor([path.start, path.end], dtype=torch.float64)
    taken.add_points(torch.lerp(ends[:1], ends[1:], steps).tolist())
    for place in (*path.kinks, *path.changes):
        taken.add_box((place.input[0], place.input[1]), POINT)


def _add_regions(
    figure: go.Figure,
    pieces: Regions,
    output: int | tuple[int, int],
    taken: Taken,
) -> None:
    """The pieces' edges, and inside each, off what is drawn, which units are on.

    A name without room is replaced by a letter, which the legend explains. The hover text has the
    affine map of the piece.
    """
    rims = [[*piece.vertices.tolist(), piece.vertices[0].tolist()] for piece in pieces]
    deep = len({unit.layer for piece in pieces for unit in piece.on if not unit.is_output}) > 1
    edges = "; dotted: where deeper units turn on or off" if deep else ""
    called = f"{count_text(len(pieces), 'affine region')}{edges}"
    figure.add_trace(line_trace(rims, EDGE_LINE, called))
    spots: list[Point] = []
    written: list[str] = []
    maps: list[str] = []
    lettered: list[str] = []
    for piece in pieces:
        name = _name_of_region(piece)
        maps.append(f"{name}<br>{_affine_map(piece, output)}")
        spot = None
        text = ""
        if len(pieces) <= MOST_REGIONS_NAMED:
            corners = piece.vertices.numpy(force=True)
            text = name
            spot = taken.place_inside(corners, _name_size(name))
            if spot is None:
                text = chr(ord("A") + len(lettered))
                spot = taken.place_inside(corners, LETTER)
            if spot is not None and text != name:
                lettered.append(f"{text}  {name.replace('<br>', '; ')}")
                text = f"<b>{text}</b>"
        middle = piece.center.tolist()
        written.append("" if spot is None else text)
        spots.append((middle[0], middle[1]) if spot is None else spot)
    names = _small_texts(spots, written, name="names of regions", hoverinfo="text")
    figure.add_trace(names.update(hovertext=maps))
    for name in lettered:
        # a trace that is only a line of the legend
        unseen = {"color": "rgba(0,0,0,0)"}
        entry = go.Scatter(x=[None], y=[None], mode="markers", marker=unseen, name=name)
        figure.add_trace(entry)


def _name_of_region(piece: Region) -> str:
    hidden = [unit for unit in sorted(piece.on) if not unit.is_output]
    if not hidden:
        return "all off"
    # each part on its own line, because a name must not be long
    full = [unit for unit in hidden if unit in piece.full]
    on = [unit for unit in hidden if unit not in piece.full]
    named = [
        f"{state}: {name_of_set(units)}" for state, units in (("on", on), ("full", full)) if units
    ]
    return "<br>".join(named)


def _affine_map(piece: Region, output: int | tuple[int, int]) -> str:
    if isinstance(output, int):
        name, weight, bias = f"y{output}", piece.weight[output], piece.bias[output]
    else:
        own, other = output
        name = f"y{own} - y{other}"
        weight = piece.weight[own] - piece.weight[other]
        bias = piece.bias[own] - piece.bias[other]
    a, b = weight.tolist()
    return f"{name} = {a:.3g} x0 {b:+.3g} x1 {bias:+.3g}"


def _name_size(name: str) -> Point:
    """Pixels of a region's name, across and down."""
    return text_width(name), NAME_LINE * (name.count("<br>") + 1)


# paths


def _add_path(figure: go.Figure, path: InputPath, output: int) -> None:
    """The path as an arrow in the plane, with its kinks and decision changes."""
    figure.add_trace(_arrow(path))
    if path.kinks:
        x, y = columns_of([kink.input for kink in path.kinks])
        marker = {"symbol": "diamond-open", "size": 12, "color": INK, "line": {"width": 2}}
        name = f"kink: a unit turns {_turned(path)}"
        figure.add_trace(go.Scatter(x=x, y=y, mode="markers", marker=marker, name=name))
    changes = [change for change in path.changes if change.output == output]
    if changes:
        x, y = columns_of([change.input for change in changes])
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="markers", marker=CHANGE, name="decision changes")
        )


def _turned(path: InputPath) -> str:
    """How units turn at the kinks of a path, in words."""
    return "on, off or full" if any(kink.full for kink in path.kinks) else "on or off"


def _arrow(path: InputPath) -> go.Scatter:
    (a0, a1), (b0, b1) = path.start, path.end
    # the head stands before the end, so that the marker of the input there stays visible
    head_at = 0.93
    head = {
        "symbol": "arrow",
        "angleref": "previous",
        "size": [0, 16, 0],
        "color": INK,
        "line": {"width": 0},
    }
    return go.Scatter(
        x=[a0, a0 + head_at * (b0 - a0), b0],
        y=[a1, a1 + head_at * (b1 - a1), b1],
        mode="lines+markers",
        line={"color": INK, "width": 2.5},
        marker=head,
        name="path",
    )


def _add_kink_lines(figure: go.Figure, kinks: Sequence[Kink]) -> None:
    """A dotted line at each kink, and over it the units that turn.

    Kinks that are too close to each other share one label.
    """
    # several names side by side would run together, so they are slanted
    slant = -30 if len(kinks) > 3 else 0
    turning: list[Unit] = []
    for n, kink in enumerate(kinks):
        figure.add_vline(kink.t, opacity=1, line={"color": "#777777", "width": 1, "dash": "dot"})
        turning += kink.units
        # the next kink writes the names of this kink too
        if n + 1 < len(kinks) and kinks[n + 1].t - kink.t < TOO_CLOSE:
            continue
        figure.add_annotation(
            x=kink.t,
            y=1,
            yref="paper",
            yanchor="bottom",
            text=name_of_set(turning),
            textangle=slant,
            showarrow=False,
        )
        turning = []


def _changes_along(changes: Sequence[DecisionChange], threshold: float) -> go.Scatter:
    """Squares on the threshold where the decision changes, with the decisions before and after."""
    text: list[str] = []
    sides: list[str] = []
    for change in changes:
        before, after = decision_text(change.before), decision_text(change.after)
        text.append(f"<b>{before} → {after}</b><br>t = {change.place}")
        sides.append("top left" if change.after > change.before else "top right")
    return go.Scatter(
        x=[change.t for change in changes],
        y=[threshold] * len(changes),
        mode="markers+text",
        text=text,
        textposition=sides,
        marker=CHANGE,
        name="decision changes",
    )
