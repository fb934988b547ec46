"""the space between the inputs -> the plane with its regions, boundary and path; the output along a
path.
"""

from itertools import cycle
from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from xor_mi import geometry
from xor_mi.geometry import InputPath, boundary, regions
from xor_mi.geometry._pieces import PIECEWISE_LINEAR
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.plots._style import DIVERGING, INK, NEGATIVE, POSITIVE, layout
from xor_mi.truth import row_name, truth_rows

DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")
CHANGE = {"symbol": "square", "size": 11, "color": "#ffffff", "line": {"width": 2.5, "color": INK}}
"""The marker of a decision change."""
NAMED = 12
"""Up to this many regions are written into the plane; hovering names them all."""

# the argument `regions` is the name people look for; inside, the function of that name is meant
_regions = regions


def input_plane(
    model: HookedMLP,
    *,
    bounds: Any = (-0.5, 1.5),
    path: InputPath | None = None,
    show_regions: bool = True,
    output: int = 0,
    n_points: int = 61,
) -> go.Figure:
    """The output over the input plane, numbered contours of its distance to the threshold, the
    decision boundary and the four inputs.

    Args:
        bounds: (low, high) for both inputs, or ((low, high), (low, high)).
        path: a `geometry.path` to draw, with its kinks and decision changes.
        regions: also draw the pieces on which the network is affine, each named by the hidden units
            that are on; smooth units have none.
        n_points: grid points a side of the surface. Boundary, regions and path do not depend on it
            where units are piecewise linear.

    Raises:
        XorMiError: other than two inputs, no such output, empty bounds, more regions than are cut.
    """
    plane = geometry.input_plane(model, bounds=bounds, path=n_points, show_regions=output)
    distance = (plane.outputs.T - plane.threshold).round(decimals=4).tolist()
    bound = max(abs(value) for line in distance for value in line) or 1.0
    x0, x1 = (axis.round(decimals=6).tolist() for axis in (plane.x0, plane.x1))
    bar = {"title": "output -<br>threshold", "len": 0.5, "y": 0.25}
    surface = {
        "colorscale": DIVERGING,
        "zmin": -bound,
        "zmax": bound,
        "colorbar": bar,
        "opacity": 0.75,
        "ncontours": 9,
    }
    lines = {
        "line": {"width": 0.6, "color": "#777777"},
        "contours": {"coloring": "heatmap", "showlabels": True, "labelfont": {"size": 10}},
    }
    figure = go.Figure(
        go.Contour(
            x=x0,
            y=x1,
            z=distance,
            **surface,
            **lines,
            hovertemplate="x0 %{x}, x1 %{y}: %{z}<extra></extra>",
        )
    )
    exact = model.cfg.act_fn in PIECEWISE_LINEAR
    segments = boundary(model, bounds=bounds, output=output).segments
    if show_regions and exact:
        along = torch.lerp(
            segments[:, :1], segments[:, 1:], torch.linspace(0, 1, 33, dtype=torch.float64)[:, None]
        ).flatten(0, 1)
        _add_regions(
            figure,
            model,
            bounds,
            output,
            [*truth_rows(2), *along.tolist(), *(path.inputs.tolist() if path else [])],
        )
    for (unit, ends), dash in zip(plane.lines.items(), cycle(DASHES), strict=False):
        x, y = zip(*ends, strict=True)
        line = {"color": INK, "width": 1.5, "dash": dash}
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                line=line,
                name=f"{unit.name} {'turns on' if exact else 'is zero'}",
            )
        )
    figure.add_trace(line_trace(segments.tolist(), {"color": INK, "width": 4}, "decision boundary"))
    if path is not None:
        _add_path(figure, path, output)
    rows, decided = truth_rows(2), decisions(model)[:, output].tolist()
    x, y = zip(*rows, strict=True)
    symbols = [{1: "circle", 0: "circle-open", -1: "x"}[bit] for bit in decided]
    marker = {"size": 13, "color": INK, "symbol": symbols, "line": {"width": 2}}
    text = [
        f"<b>{row_name(row)}: {bit if bit >= 0 else 'undecided'}</b>"
        for row, bit in zip(rows, decided, strict=True)
    ]
    corners = {
        "mode": "markers+text",
        "marker": marker,
        "text": text,
        "textposition": "top center",
        "name": "inputs (filled: decided 1)",
    }
    figure.add_trace(go.Scatter(x=x, y=y, **corners))
    figure.update_xaxes(title="x0", range=[x0[0], x0[-1]], constrain="domain")
    figure.update_yaxes(title="x1", range=[x1[0], x1[-1]], scaleanchor="x", constrain="domain")
    title = f"The input plane: y{output} above (blue, +) and below (red, -) the threshold {plane.threshold:g}"
    return layout(figure, title, width=820, height=600).update_layout(margin={"b": 60})


def line_trace(lines: list[Any], line: dict[str, Any], name: str) -> go.Scatter:
    """Separate lines of points as one trace, with gaps between them."""
    x, y = [], []
    for points in lines:
        x += [*(point[0] for point in points), None]
        y += [*(point[1] for point in points), None]
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name=name)


def _add_regions(
    figure: go.Figure, model: HookedMLP, bounds: Any, output: int, taken: list[Any]
) -> None:
    """The exact pieces: their edges, and inside each, away from what is taken, which units are on
    and the affine map that holds there.
    """
    found = _regions(model, bounds)
    rims = [[*region.vertices.tolist(), region.vertices[0].tolist()] for region in found]
    figure.add_trace(line_trace(rims, {"color": INK, "width": 0.8}, f"{len(found)} affine regions"))
    on = [[unit.name for unit in sorted(region.on) if not unit.is_output] for region in found]
    names = [f"on: {', '.join(units)}" if units else "all off" for units in on]
    maps = [
        f"{named}<br>y{output} = {a:.3g} x0 {b:+.3g} x1 {region.bias[output]:+.3g}"
        for named, region in zip(names, found, strict=True)
        for a, b in [region.weight[output].tolist()]
    ]
    least = 0.04 * sum(region.area for region in found)
    written = [
        name if len(found) <= NAMED and region.area > least else ""
        for name, region in zip(names, found, strict=True)
    ]
    spots = list(taken)
    for region in found:
        spots.append(_free_spot(region, torch.tensor(spots, dtype=torch.float64)))
    x, y = zip(*spots[len(taken) :], strict=True)
    text = {"text": written, "textfont": {"size": 11, "shadow": "0 0 4px #ffffff, 0 0 4px #ffffff"}}
    figure.add_trace(
        go.Scatter(
            x=x, y=y, mode="text", **text, hovertext=maps, hoverinfo="text", showlegend=False
        )
    )


def _free_spot(region: geometry.Region, taken: Tensor) -> list[float]:
    """The centre, or a place on the way to a corner, whichever is furthest from what is taken;
    names are wider than high.
    """
    spots = torch.cat(
        [region.center + part * (region.vertices - region.center) for part in (0, 0.35, 0.6)]
    )
    flat = torch.tensor([0.5, 1.0], dtype=torch.float64)
    return spots[torch.cdist(spots * flat, taken * flat).min(1).values.argmax()].tolist()


def _add_path(figure: go.Figure, path: InputPath, output: int) -> None:
    (a0, a1), (b0, b1) = path.start, path.end
    head = {
        "symbol": "arrow",
        "angleref": "previous",
        "size": [0, 16, 0],
        "color": INK,
        "line": {"width": 0},
    }
    x, y = [a0, a0 + 0.93 * (b0 - a0), b0], [a1, a1 + 0.93 * (b1 - a1), b1]
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": INK, "width": 2.5},
            marker=head,
            name="path",
        )
    )
    if path.kinks:
        x, y = zip(*(kink.input for kink in path.kinks), strict=True)
        marker = {"symbol": "diamond-open", "size": 12, "color": INK, "line": {"width": 2}}
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="markers", marker=marker, name="kink: a unit turns on or off")
        )
    changes = [change for change in path.changes if change.output == output]
    if changes:
        x, y = zip(*(change.input for change in changes), strict=True)
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="markers", marker=CHANGE, name="decision changes")
        )


def path_figure(path: InputPath) -> go.Figure:
    """The output along a `geometry.path`: where units turn on or off, where the decision changes,
    and the threshold.
    """
    figure = go.Figure()
    looks = cycle([(POSITIVE, "solid"), (NEGATIVE, "dash"), (INK, "dot")])
    for k, (values, (colour, dash)) in enumerate(zip(path.outputs.T.tolist(), looks, strict=False)):
        figure.add_trace(
            go.Scatter(
                x=path.t.tolist(),
                y=values,
                mode="lines",
                line={"color": colour, "width": 3, "dash": dash},
                name=f"y{k}",
            )
        )
    named = ""
    for n, kink in enumerate(path.kinks):
        figure.add_vline(kink.t, opacity=1, line={"color": "#777777", "width": 1, "dash": "dot"})
        named += ", ".join(unit.name for unit in kink.units)
        if (
            n + 1 < len(path.kinks) and path.kinks[n + 1].t - kink.t < 0.02
        ):  # too close for a name of its own
            named += ", "
            continue
        slant = -30 if len(path.kinks) > 3 else 0
        figure.add_annotation(
            x=kink.t,
            y=1,
            yref="paper",
            yanchor="bottom",
            text=named,
            textangle=slant,
            showarrow=False,
        )
        named = ""
    figure.add_hline(path.threshold, opacity=1, line={"color": INK, "width": 1.5, "dash": "dash"})
    if path.changes:
        said = {1: "1", 0: "0", -1: "undecided"}
        text = [
            f"<b>{said[change.before]} → {said[change.after]}</b><br>t = {change.t:.4g}"
            for change in path.changes
        ]
        x, sides = (
            [change.t for change in path.changes],
            [
                "top left" if change.after > change.before else "top right"
                for change in path.changes
            ],
        )
        labels = {
            "mode": "markers+text",
            "text": text,
            "textposition": sides,
            "marker": CHANGE,
            "name": "decision changes",
        }
        figure.add_trace(go.Scatter(x=x, y=[path.threshold] * len(x), **labels))
    start, end = (
        f"({', '.join(f'{value:g}' for value in point)})" for point in (path.start, path.end)
    )
    figure.update_xaxes(
        title=f"t: 0 is {start}, 1 is {end}; dotted: these units turn on or off",
        range=[-0.02, 1.08],
    )
    figure.update_yaxes(title=f"output (dashed: threshold {path.threshold:g})")
    return layout(
        figure, f"The output on the straight way from {start} to {end}", width=760
    ).update_layout(margin={"t": 100, "b": 60}, showlegend=path.outputs.shape[1] > 1)
