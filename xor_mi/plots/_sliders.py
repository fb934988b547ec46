"""a finding with steps -> figures with a slider: along an input path, and along one weight.

Every frame is computed beforehand.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.basedatatypes import BaseTraceType
from plotly.subplots import make_subplots

from xor_mi.circuits import Circuit
from xor_mi.errors import whole_number
from xor_mi.finding import ROUNDING, number_text
from xor_mi.geometry import Boundary, InputPath, InputPlane
from xor_mi.margins import WeightSweep
from xor_mi.model import decide
from xor_mi.plots._frames import (
    SliderFrame,
    largest_weight,
    path_frames,
    symbol_of,
    weight_frames,
)
from xor_mi.plots._plane import corners_marker, distance_bar, path_title
from xor_mi.plots._style import (
    BAR,
    BOUNDARY_LINE,
    DECISION_SYMBOLS,
    DIVERGING,
    HOLDS_OR_FAILS,
    INK,
    NEGATIVE,
    POSITIVE,
    THRESHOLD_LINE,
    WIDTH,
    columns_of,
    corner_points,
    input_axis,
    layout,
    line_trace,
    point_text,
    reach,
    rounded,
    score_axis,
    score_ends,
    text_beside,
    titled,
    without_rounding,
    wrapped,
)

LEFT, RIGHT, BELOW = 70, 100, 170
"""Pixels beside and below the panels of a figure with a slider."""
PANEL, SIDE, BETWEEN = 200, 400, 90
"""Pixels of a panel from top to bottom, of the plane, and between two panels."""
OUTPUT_DASHES = ("solid", "dash", "dot", "dashdot")
"""The colours of outputs; a fifth output has the first colour again."""
BAR_AT_THE_FOOT = {"len": 0.5, "y": 0.25}
"""The place of the colour bar of a plane in the lower of two panels."""
Traces = list[BaseTraceType | dict[str, Any]]
"""The moving traces at one step. A large trace is a dictionary, because plotly would check all
numbers of a `go.Heatmap` twice, when it is made and in its frame.
"""


def input_slider(path: InputPath, *, shown_first: int = 0) -> go.Figure:
    """The input modified gradually along a `geometry.path`.

    It shows the output along the whole way (for argmax the scores of decisions), and every unit's
    value at each point.

    There is a frame for each of the path's points: an even grid, and every kink and decision
    change.

    Args:
        shown_first: the number of the point that is shown until the slider moves.

    Raises:
        XorMiError: a point that does not exist.
    """
    frames = path_frames(path)
    shown_first = whole_number("shown_first", shown_first, below=len(frames))
    moving = [_values_here(path, n, frame) for n, frame in enumerate(frames)]
    along = "output" if score_axis(path.score_names, 0.0).startswith("output") else "score"
    figure = make_subplots(
        rows=2,
        subplot_titles=(f"{along} along the way (circle: here)", "every value here"),
        vertical_spacing=0.24,
    )
    _add_score_lines(figure, path)
    # of the still parts only the lines of scores are traces; the threshold is a shape
    n_still = path.scores.shape[1]
    add_frames(figure, moving, n_still=n_still, shown_first=shown_first, stacked=True)
    _label_path_axes(figure, path, frames)
    labels = [frame.label for frame in frames]
    return _stacked(figure, path_title(path), labels, active=shown_first, height=2 * PANEL + 110)


def weight_slider(
    sweep: WeightSweep,
    circuits: Sequence[Circuit] | None = None,
    *,
    shown_first: int | None = None,
) -> go.Figure:
    """One weight moved past both ends of its slack (`margins.move_weight`).

    It shows the slack of each input's condition and, for two inputs, the plane.

    The slider has the weight's value at each step and, with circuits, the verdict and the readout.

    Args:
        circuits: the circuit of each of `sweep.models`, in order.
        shown_first: the number of the step that is shown until the slider moves; by default the
            unmoved weight.

    Raises:
        XorMiError: not one circuit for each step of the sweep, or a step that does not exist.
    """
    frames = weight_frames(sweep, circuits)
    if shown_first is None:
        shown_first = sweep.start
    shown_first = whole_number("shown_first", shown_first, below=len(frames))
    is_planar = bool(sweep.planes)
    bound = _plane_bound(sweep) if is_planar else 1.0
    titles = ["slack of each input's condition"]
    n_bars = len(frames[0].values)
    heights = [max(PANEL, 34 * n_bars)]
    if is_planar:
        titles.append("the input plane (filled: decided 1)")
        heights.append(SIDE)
    figure = make_subplots(
        rows=len(titles),
        subplot_titles=titles,
        row_heights=heights,
        vertical_spacing=BETWEEN / (sum(heights) + BETWEEN) if is_planar else 0,
    )
    moving: list[Traces] = []
    for step, frame in enumerate(frames):
        on_the_plane = _plane_at(sweep, step, bound) if is_planar else []
        moving.append([_slack_bars(sweep, step, frame), *on_the_plane])
    add_frames(figure, moving, n_still=0, shown_first=shown_first, stacked=True)
    _label_weight_axes(figure, sweep, frames, sweep.planes[0] if is_planar else None)
    labels = [frame.label for frame in frames]
    height = sum(heights) + (BETWEEN if is_planar else 0)
    return _stacked(figure, _weight_title(sweep), labels, active=shown_first, height=height)


def _weight_title(sweep: WeightSweep) -> str:
    """The values at which a decision changes, and which decision."""
    slack = sweep.slack
    symbol = symbol_of(sweep)
    scale = largest_weight(sweep)
    ends: list[str] = []
    for by, side, end, row in (
        (slack.down, "below", slack.lower, slack.row_lower),
        (slack.up, "above", slack.upper, slack.row_upper),
    ):
        if isfinite(by):
            # an end that differs only by rounding is the value itself
            at = "that" if by < ROUNDING * scale else number_text(end, scale=scale)
            ends.append(f"{side} {at} {_what_changes(row)}")
    own = f"{symbol} is {number_text(slack.value, scale=scale)}"
    return f"{own}: {', '.join(ends)}" if ends else f"{own}: no value of it changes a decision"


def _what_changes(rows: str) -> str:
    """'the decision on input 01 changes', or 'the decisions on inputs 01, 10 change'.

    Args:
        rows: as `WeightSlack` has them, with commas between them.
    """
    if ", " in rows:
        return f"the decisions on inputs {rows} change"
    return f"the decision on input {rows} changes"


# the input modified gradually


def _add_score_lines(figure: go.Figure, path: InputPath) -> None:
    """Add what does not move: each score along the whole way, and the threshold."""
    t = path.t.tolist()
    shown = without_rounding(path.scores, path.threshold, scale=path.scale)
    for k, column in enumerate(shown.T.tolist()):
        line = {"color": POSITIVE, "width": 3, "dash": OUTPUT_DASHES[k % len(OUTPUT_DASHES)]}
        trace = go.Scatter(x=t, y=column, mode="lines", line=line, name=path.score_names[k])
        figure.add_trace(trace, row=1, col=1)
    # plotly takes numbers here, although its stubs say texts
    first: Any = 1
    figure.add_hline(path.threshold, opacity=1, line=THRESHOLD_LINE, row=first, col=first)


def _values_here(path: InputPath, n: int, frame: SliderFrame) -> Traces:
    """The scores as circles at one point of the way, and every unit's value as a bar."""
    scores = without_rounding(path.scores[n], path.threshold, scale=path.scale)
    decided = decide(scores, cut=path.threshold).tolist()
    here = go.Scatter(
        x=[path.t[n].item()] * len(scores),
        y=scores.tolist(),
        mode="markers",
        marker={
            "size": 14,
            "color": INK,
            "symbol": [DECISION_SYMBOLS[bit] for bit in decided],
            "line": {"width": 3},
        },
        name="here",
    )
    values = list(frame.values.values())
    largest = max(map(abs, values))
    bars = go.Bar(
        x=list(frame.values),
        y=values,
        marker=BAR,
        text=[text_beside(value, largest=largest) for value in values],
        textposition="outside",
        cliponaxis=False,
        name="value",
    )
    return [here, bars]


def _label_path_axes(figure: go.Figure, path: InputPath, frames: list[SliderFrame]) -> None:
    start, end = point_text(path.start, 3), point_text(path.end, 3)
    figure.update_xaxes(title=f"t: 0 is {start}, 1 is {end}", range=[-0.05, 1.05], row=1, col=1)
    ends = score_ends(path.scores, path.threshold, scale=path.scale)
    title = score_axis(path.score_names, path.threshold)
    figure.update_yaxes(title=title, range=ends, row=1, col=1)
    figure.update_xaxes(title="input, hidden unit, output", type="category", row=2, col=1)
    low = min(min(frame.values.values()) for frame in frames)
    high = max(max(frame.values.values()) for frame in frames)
    room = 0.12 * (high - low)
    ends = [min(0, low) - room, high + room]
    figure.update_yaxes(title="value after activation", range=ends, row=2, col=1)


# one weight moved


def _slack_bars(sweep: WeightSweep, step: int, frame: SliderFrame) -> go.Bar:
    """Each condition's slack; a failed condition is hatched and says so."""
    looks = [HOLDS_OR_FAILS[condition.satisfied] for condition in sweep.conditions[step]]
    slacks = list(frame.values.values())
    scale = max(held.scale for held in sweep.conditions)
    largest = reach(slacks, scale=scale)
    texts = [
        f"{text_beside(slack, largest=largest, signed=True)} {look.word}"
        for slack, look in zip(slacks, looks, strict=True)
    ]
    return go.Bar(
        y=list(frame.values),
        x=slacks,
        orientation="h",
        marker={
            "color": [look.fill for look in looks],
            "line": {"color": [look.edge for look in looks], "width": 1.5},
            "pattern": {"shape": [look.hatching for look in looks], "fgcolor": NEGATIVE},
        },
        text=texts,
        textposition="outside",
        cliponaxis=False,
    )


def _plane_at(sweep: WeightSweep, step: int, bound: float) -> Traces:
    """The plane at one step."""
    decided = sweep.decisions[step, :, 0].tolist()
    edge = sweep.boundaries[step]
    return plane_traces(sweep.planes[step], edge, decided, bound, is_cut=True)


def plane_traces(
    plane: InputPlane,
    edge: Boundary,
    decided: Sequence[int],
    bound: float,
    *,
    is_cut: bool = False,
    bar: dict[str, Any] = BAR_AT_THE_FOOT,
) -> Traces:
    """The plane in one frame: the output as a surface, the boundary, the inputs.

    Args:
        decided: 1, 0 or -1 on each row.
        bound: the distance to the threshold that has the darkest colour in every frame.
        is_cut: whether there may be larger distances; the colour bar says so.
        bar: where the colour bar stands.
    """
    x, y = columns_of(corner_points(plane.levels))
    inputs = go.Scatter(x=x, y=y, mode="markers", marker=corners_marker(decided), name="inputs")
    return [
        _surface(plane, distance_bar(plane.score, bound=bound, is_cut=is_cut) | bar, bound),
        line_trace(edge.segments.tolist(), BOUNDARY_LINE, "decision boundary"),
        inputs,
    ]


def _surface(plane: InputPlane, bar: dict[str, Any], bound: float) -> dict[str, Any]:
    """The distance to the threshold, with the same colours at every step."""
    return {
        "type": "heatmap",
        "x": plane.x0.tolist(),
        "y": plane.x1.tolist(),
        # [x0, x1] -> plotly's [row of y, column of x]
        "z": rounded(plane.outputs.T - plane.threshold, largest=bound, digits=3).tolist(),
        "zsmooth": "best",
        "colorscale": DIVERGING,
        "zmin": -bound,
        "zmax": bound,
        "opacity": 0.75,
        "colorbar": bar,
        "hovertemplate": (
            f"at x0 %{{x}}, x1 %{{y}}, {plane.score} is %{{z}} from the threshold<extra></extra>"
        ),
    }


def _plane_bound(sweep: WeightSweep) -> float:
    """The largest distance of the unmoved network."""
    scale = max([held.scale for held in sweep.conditions], default=0.0)
    return largest_distance([sweep.planes[sweep.start]], scale=scale)


def largest_distance(planes: Sequence[InputPlane], *, scale: float) -> float:
    """The largest distance to the threshold at a corner of one of these planes.

    If it is only rounding beside `scale`, the size of the terms of the outputs, it is `scale`; 1 if
    that is 0 too.
    """
    outputs = torch.stack([plane.outputs for plane in planes])
    # [plane, corner]: low and high x0 with low and high x1
    corners = outputs[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    distances = (corners - planes[0].threshold).abs()
    return reach([distances.max().item()], scale=scale)


def _label_weight_axes(
    figure: go.Figure, sweep: WeightSweep, frames: list[SliderFrame], plane: InputPlane | None
) -> None:
    scale = max(held.scale for held in sweep.conditions)
    slacks = [slack for frame in frames for slack in frame.values.values()]
    half = 1.6 * reach(slacks, scale=scale)
    title = "slack: distance to the other decision (output before its activation)"
    figure.update_xaxes(title=title, range=[-half, half], row=1, col=1)
    figure.update_yaxes(
        title="input and output", type="category", autorange="reversed", row=1, col=1
    )
    if plane is not None:
        label_plane(figure, plane, column=1, row=2)
        figure.update_yaxes(scaleanchor="x2", constrain="domain", row=2, col=1)
        figure.update_xaxes(constrain="domain", row=2, col=1)


def label_plane(figure: go.Figure, plane: InputPlane, *, column: int, row: int = 1) -> None:
    """The axes of a plane in this column and row."""
    x0, x1 = plane.x0.tolist(), plane.x1.tolist()
    title = input_axis("x0", plane.levels)
    figure.update_xaxes(title=title, range=[x0[0], x0[-1]], row=row, col=column)
    title = input_axis("x1", plane.levels)
    figure.update_yaxes(title=title, range=[x1[0], x1[-1]], row=row, col=column)


# the slider


def add_frames(
    figure: go.Figure,
    moving: list[Traces],
    *,
    n_still: int,
    shown_first: int,
    n_left: int = 1,
    stacked: bool = False,
) -> None:
    """Add the traces that move, after those that do not, and a frame for each step.

    The first `n_left` of them stand in the first panel, the others in the second: beside it, or
    under it where they are stacked.
    """
    for k, trace in enumerate(moving[shown_first]):
        panel = 1 if k < n_left else 2
        figure.add_trace(trace, row=panel if stacked else 1, col=1 if stacked else panel)
    # a frame replaces traces by their number in the figure
    traces = list(range(n_still, n_still + len(moving[shown_first])))
    # as dictionaries: plotly would check a `go.Frame` twice
    figure.frames = [
        {"data": data, "traces": traces, "name": str(n)} for n, data in enumerate(moving)
    ]


def _stacked(
    figure: go.Figure, title: str, labels: list[str], *, active: int, height: int
) -> go.Figure:
    """A slider under panels that stand one under the other, so many pixels high together."""
    labels = [wrapped(label, WIDTH - 40) for label in labels]
    with_slider(figure, title, labels, active=active, width=WIDTH)
    titled(figure, title, inside=height, above=15, below=BELOW)
    return figure.update_layout(margin={"l": LEFT, "r": RIGHT})


def with_slider(
    figure: go.Figure,
    title: str,
    labels: list[str],
    *,
    active: int,
    width: int = 960,
    height: int = 520,
) -> go.Figure:
    """A slider over the figure's frames, with a text for each."""
    at_once = {
        "mode": "immediate",
        "frame": {"duration": 0, "redraw": True},
        "transition": {"duration": 0},
    }
    steps = [
        {"method": "animate", "args": [[str(n)], at_once], "label": label}
        for n, label in enumerate(labels)
    ]
    slider = {
        "steps": steps,
        "active": active,
        "currentvalue": {"prefix": "", "font": {"size": 14, "color": INK}, "xanchor": "left"},
        "pad": {"t": 60},
        # the labels of the steps would overlap, so only the current one is written
        "font": {"color": "rgba(0,0,0,0)"},
        "ticklen": 0,
    }
    layout(figure, title, width=width, height=height)
    return figure.update_layout(sliders=[slider], showlegend=False, margin={"t": 90, "b": 60})
