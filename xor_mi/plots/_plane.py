"""the space between the inputs -> the plane with its regions, boundary and path.

And the output along a path.
"""

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from xor_mi import geometry
from xor_mi.errors import require_at_most, require_kind, whole_number
from xor_mi.geometry import Boundary, DecisionChange, InputPath, InputPlane, Kink, Region, Regions
from xor_mi.geometry._pieces import has_pieces, turns_on_at_zero
from xor_mi.graph import Unit, name_of_set
from xor_mi.kinds import Bounds
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, require_output
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
    layout,
    line_trace,
    point_text,
    rounded,
    score_axis,
)
from xor_mi.truth import row_name, truth_rows

DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")
CHANGE = {"symbol": "square", "size": 11, "color": "#ffffff", "line": {"width": 2.5, "color": INK}}
"""The marker of a decision change."""
MOST_REGIONS_NAMED = 12
"""Up to this many regions are written into the plane; hovering names them all."""
LEAST_AREA_NAMED = 0.04
"""A region with a smaller share of the plane than this has no room for its name."""
WAYS_TO_A_CORNER = (0, 0.35, 0.6)
"""Where the name of a region may stand, between its centre and each corner."""
POINTS_A_SEGMENT = 33
"""Points along each piece of the boundary that names of regions keep away from."""
TOO_CLOSE = 0.02
"""Kinks nearer to each other than this (of the whole path) share one name."""
SIDE_OF_BITS = 2.0
"""The side of the plane around the levels 0 and 1, whose numbers are rounded as they are written;
of a larger or smaller plane they are rounded alike.
"""

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

    Numbered contours show the output's distance to the threshold; by argmax over two outputs the
    second minus the first. The axes are in the numbers that the network takes.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)). By default half the
            distance between the input levels more on each side: (-0.5, 1.5) for 0 and 1.
        path: a `geometry.path` to draw, with its kinks and decision changes.
        show_regions: also draw the pieces on which the network is affine, each named by the hidden
            units that are on; smooth units have none.
        n_points: grid points a side of the surface. Boundary, regions and path do not depend on it
            where units are piecewise linear.
        progress: a bar, where the work takes over two seconds.

    Raises:
        XorMiError: other than two inputs, no such output, empty bounds, more regions than are cut,
            more than `MOST_POINTS_DRAWN` points.
    """
    if path is not None:
        require_kind("path", path, InputPath, give="what geometry.path returns")
    n_points = whole_number("n_points", n_points, at_least=2)
    _require_few_points(n_points**2)
    plane = geometry.input_plane(
        model, bounds=bounds, output=output, n_points=n_points, progress=progress
    )
    edge = geometry.boundary(model, bounds=bounds, output=output, progress=progress)
    figure = go.Figure(_contours(plane))
    if show_regions and has_pieces(model):
        pieces = geometry.regions(model, bounds=bounds, progress=progress)
        # by argmax over two outputs the one decision is by the second minus the first
        shown = output if model.cfg.n_decisions == model.cfg.d_out else (1, 0)
        _add_regions(figure, pieces, shown, _spots_to_avoid(edge, path))
    _add_unit_lines(figure, plane, "turns on" if turns_on_at_zero(model) else "is zero")
    figure.add_trace(line_trace(edge.segments.tolist(), BOUNDARY_LINE, "decision boundary"))
    if path is not None:
        _add_path(figure, path, output)
    figure.add_trace(corner_trace(decisions(model)[:, output].tolist(), plane.levels))
    return _plane_layout(figure, plane)


def plane_figure(plane: InputPlane) -> go.Figure:
    """A `geometry.input_plane`: the output's distance to the threshold over the plane.

    With the line on which each unit of the first layer is zero. `plots.input_plane(model)` adds
    boundary, regions and inputs.

    Raises:
        XorMiError: more than `MOST_POINTS_DRAWN` points.
    """
    require_kind("plane", plane, InputPlane, give="what geometry.input_plane returns")
    _require_few_points(plane.outputs.numel())
    figure = go.Figure(_contours(plane))
    _add_unit_lines(figure, plane, "is zero")
    return _plane_layout(figure, plane)


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
        XorMiError: no such output.
    """
    require_kind("pieces", pieces, Regions, give="what geometry.regions returns")
    require_output(output, n_outputs=len(pieces[0].bias))
    figure = go.Figure()
    _add_regions(figure, pieces, output, corner_points(pieces.levels))
    _label_plane(figure, pieces.levels, pieces.bounds)
    title = f"{len(pieces)} regions of the input plane on which the network is affine"
    layout(figure, title, width=640, height=560)
    return figure.update_layout(showlegend=False, margin={"b": 60})


def boundary_figure(edge: Boundary) -> go.Figure:
    """A `geometry.boundary`: the lines of the input plane along which the decision changes."""
    require_kind("edge", edge, Boundary, give="what geometry.boundary returns")
    figure = go.Figure(
        line_trace(edge.segments.tolist(), BOUNDARY_LINE, f"decision boundary of {edge.score}")
    )
    _label_plane(figure, edge.levels)
    title = f"Where the decision of {edge.score} changes, {edge.length:.3g} long in all"
    return layout(figure, title, width=640, height=560).update_layout(margin={"b": 60})


def path_figure(path: InputPath) -> go.Figure:
    """The output along a `geometry.path`, with the threshold; by argmax what is decided by.

    Marked are where units turn on or off and where the decision changes.
    """
    require_kind("path", path, InputPath, give="what geometry.path returns")
    figure = go.Figure()
    looks = cycle([(POSITIVE, "solid"), (NEGATIVE, "dash"), (INK, "dot")])
    scores = zip(path.score_names, path.scores.T.tolist(), looks, strict=False)
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
        title=f"t: 0 is {start}, 1 is {end}; dotted: these units turn {_turned(path)}",
        range=[-0.02, 1.08],
    )
    figure.update_yaxes(title=score_axis(path.score_names, path.threshold))
    several = path.scores.shape[1] > 1
    is_output = several or is_output_name(path.score_names[0])
    shown = "The output" if is_output else path.score_names[0]
    layout(figure, f"{shown} on the straight way from {start} to {end}", width=760)
    return figure.update_layout(margin={"t": 100, "b": 60}, showlegend=several)


def corners_marker(decided: Sequence[int]) -> dict[str, Any]:
    """The marker of the four inputs, whose symbol is the decision there."""
    return {
        "size": 13,
        "color": INK,
        "symbol": [DECISION_SYMBOLS[bit] for bit in decided],
        "line": {"width": 2},
    }


# the plane


def _contours(plane: InputPlane) -> go.Contour:
    """The distance to the threshold as a surface with numbered contours."""
    # [x0, x1] -> plotly's [row of y, column of x]
    distance = plane.outputs.T - plane.threshold
    # a plane that lies on the threshold everywhere still needs a scale
    bound = distance.abs().max().item() or 1.0
    distance = rounded(distance, largest=bound, digits=4)
    return go.Contour(
        x=_written(plane.x0),
        y=_written(plane.x1),
        z=distance.tolist(),
        colorscale=DIVERGING,
        zmin=-bound,
        zmax=bound,
        colorbar={"title": distance_title(plane.score), "len": 0.5, "y": 0.25},
        opacity=0.75,
        ncontours=9,
        line={"width": 0.6, "color": "#777777"},
        contours={"coloring": "heatmap", "showlabels": True, "labelfont": {"size": 10}},
        hovertemplate="x0 %{x}, x1 %{y}: %{z}<extra></extra>",
    )


def _add_unit_lines(figure: go.Figure, plane: InputPlane, happens: str) -> None:
    """The line on which each first-layer unit is zero, called what happens there."""
    for (unit, ends), dash in zip(plane.lines.items(), cycle(DASHES), strict=False):
        x, y = columns_of(ends)
        line = {"color": INK, "width": 1.5, "dash": dash}
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="lines", line=line, name=f"{unit.name} {happens}")
        )


def corner_trace(decided: list[int], levels: tuple[float, float]) -> go.Scatter:
    """The four inputs, each with its bits and its decision as symbol and as text."""
    rows = truth_rows(2)
    x, y = columns_of(corner_points(levels))
    text = [
        f"<b>{row_name(row)}: {decision_text(bit)}</b>"
        for row, bit in zip(rows, decided, strict=True)
    ]
    return go.Scatter(
        x=x,
        y=y,
        mode="markers+text",
        marker=corners_marker(decided),
        text=text,
        textposition="top center",
        # a corner may lie so near the edge of the panel that its text does not fit inside
        cliponaxis=False,
        name="inputs (filled: decided 1)",
    )


def _plane_layout(figure: go.Figure, plane: InputPlane) -> go.Figure:
    x0, x1 = _written(plane.x0), _written(plane.x1)
    _label_plane(figure, plane.levels, ((x0[0], x0[-1]), (x1[0], x1[-1])))
    against = "the threshold " if is_output_name(plane.score) else ""
    title = (
        f"The input plane: {plane.score} above (blue, +) and below (red, -) "
        f"{against}{plane.threshold:g}"
    )
    return layout(figure, title, width=820, height=600).update_layout(margin={"b": 60})


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


def _spots_to_avoid(edge: Boundary, path: InputPath | None) -> list[list[float]]:
    """Points that no name should cover: the inputs, the boundary, the path."""
    steps = torch.linspace(0, 1, POINTS_A_SEGMENT, dtype=torch.float64)[:, None]
    # [segment, step, (x0, x1)], then one list of points
    along_edge = torch.lerp(edge.segments[:, :1], edge.segments[:, 1:], steps).flatten(0, 1)
    along_path = path.inputs.tolist() if path else []
    return [*corner_points(edge.levels), *along_edge.tolist(), *along_path]


def _add_regions(
    figure: go.Figure, pieces: Regions, output: int | tuple[int, int], avoid: list[list[float]]
) -> None:
    """The pieces' edges, and inside each, away from what is to be avoided, which units are on.

    The affine map that holds there shows on hovering.
    """
    rims = [[*piece.vertices.tolist(), piece.vertices[0].tolist()] for piece in pieces]
    rim_line = {"color": INK, "width": 0.8}
    figure.add_trace(line_trace(rims, rim_line, f"{len(pieces)} affine regions"))
    least_area = LEAST_AREA_NAMED * sum(piece.area for piece in pieces)
    # the inputs, the boundary and the path first, then every name already placed
    taken = list(avoid)
    spots: list[list[float]] = []
    written: list[str] = []
    maps: list[str] = []
    for piece in pieces:
        name = _name_of_region(piece)
        has_room = len(pieces) <= MOST_REGIONS_NAMED and piece.area > least_area
        written.append(name if has_room else "")
        maps.append(f"{name}<br>{_affine_map(piece, output)}")
        if len(pieces) > MOST_REGIONS_NAMED:  # with no name to read there is nothing to avoid
            spots.append(piece.center.tolist())
            continue
        spot = _free_spot(piece, torch.tensor(taken, dtype=torch.float64))
        taken.append(spot)
        spots.append(spot)
    x, y = columns_of(spots)
    names = go.Scatter(
        x=x,
        y=y,
        mode="text",
        text=written,
        textfont={"size": 11, "shadow": "0 0 4px #ffffff, 0 0 4px #ffffff"},
        hovertext=maps,
        hoverinfo="text",
        # a long name near a side is written over it
        cliponaxis=False,
        showlegend=False,
    )
    figure.add_trace(names)


def _name_of_region(piece: Region) -> str:
    hidden = [unit for unit in sorted(piece.on) if not unit.is_output]
    if not hidden:
        return "all off"
    # on a line of their own: a name must not be long
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


def _free_spot(piece: Region, avoid: Tensor) -> list[float]:
    """The centre, or a place on the way to a corner: the furthest from what is to be avoided."""
    towards_corners = piece.vertices - piece.center
    spots = torch.cat([piece.center + way * towards_corners for way in WAYS_TO_A_CORNER])
    # names are wider than high, so a distance along x0 counts half
    shape_of_a_name = torch.tensor([0.5, 1.0], dtype=torch.float64)
    distance = torch.cdist(spots * shape_of_a_name, avoid * shape_of_a_name)
    return spots[distance.min(1).values.argmax()].tolist()


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
    """What units turn at the kinks of a path."""
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

    Kinks that are too close to each other share one name.
    """
    # several names beside each other would run together: they are slanted
    slant = -30 if len(kinks) > 3 else 0
    turning: list[Unit] = []
    for n, kink in enumerate(kinks):
        figure.add_vline(kink.t, opacity=1, line={"color": "#777777", "width": 1, "dash": "dot"})
        turning += kink.units
        # the next kink writes the names of this one as well
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
    """Squares on the threshold where the decision changes, and from what to what."""
    text: list[str] = []
    sides: list[str] = []
    for change in changes:
        before, after = decision_text(change.before), decision_text(change.after)
        text.append(f"<b>{before} → {after}</b><br>t = {change.t:.4g}")
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
