"""a `population.Stuck` -> the plane with its decisions, and below it the nudges of its weights."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType
from plotly.subplots import make_subplots

from xor_mi import geometry
from xor_mi.errors import require_kind
from xor_mi.finding import in_words, number_text
from xor_mi.margins import weight_symbols
from xor_mi.metrics import decisions
from xor_mi.plots._plane import corner_trace
from xor_mi.plots._style import (
    BAR,
    BOUNDARY_LINE,
    NEGATIVE,
    input_axis,
    legend_below,
    legend_height,
    line_trace,
    reach,
    text_beside,
    titled,
)
from xor_mi.population import Nudge, Stuck

LINE_HEIGHT = 34
"""Pixels of one bar."""
PLANE_HEIGHT, GAP = 260, 70
"""Pixels of the plane, and between it and the bars."""

FREES = BAR | {"pattern": {"shape": "/", "fgcolor": NEGATIVE, "size": 6}}
"""The marker of a nudge after which training ends solved."""


def stuck_figure(stuck: Stuck, *, progress: bool = True) -> go.Figure:
    """`population.stuck_in`: the nudges that make the network compute, and the one that frees it.

    For a network with two inputs and one decision, the plane above has the line along which the
    decision changes, and the decisions on the four inputs.

    Args:
        progress: a bar, if the boundary takes over half a second.

    Raises:
        XorMiError: anything but a `population.Stuck`.
    """
    require_kind("stuck", stuck, Stuck, give="what population.stuck_in(model) returns")
    has_plane = stuck.model.cfg.d_in == 2 and stuck.model.cfg.n_decisions == 1
    bars_at = 2 if has_plane else 1
    bars = [(stuck.nudges, "computes at once", BAR)]
    if stuck.frees:
        bars.append(((stuck.frees,), "training then solves it", FREES))
    n_bars = sum(len(nudges) for nudges, _, _ in bars)
    bars_height = max(100, LINE_HEIGHT * n_bars)
    heights = [PLANE_HEIGHT, bars_height] if has_plane else [bars_height]
    inside = sum(heights) + GAP * (len(heights) - 1)
    figure = make_subplots(rows=bars_at, row_heights=heights, vertical_spacing=GAP / inside)
    if has_plane:
        _add_plane(figure, stuck, progress=progress)
    largest = reach([nudge.move for nudges, _, _ in bars for nudge in nudges])
    symbols = {parameter: name for name, parameter in weight_symbols(stuck.model).items()}
    for nudges, name, marker in bars:
        trace = _bars(nudges, name, marker, largest=largest, symbols=symbols)
        figure.add_trace(trace, row=bars_at, col=1)
    figure.update_xaxes(
        title="size of the move (units of the weight)",
        range=[0, 1.25 * largest],
        row=bars_at,
        col=1,
    )
    figure.update_yaxes(title="weight", type="category", autorange="reversed", row=bars_at, col=1)
    if has_plane:
        first, second = (input_axis(name, stuck.model.cfg.input_levels) for name in ("x0", "x1"))
        figure.update_xaxes(title=first, row=1, col=1)
        figure.update_yaxes(title=second, row=1, col=1)
    if not n_bars:
        figure.add_annotation(
            text="no nudge found", showarrow=False, x=0.5, y=0.5, row=bars_at, col=1
        )
    traces: tuple[BaseTraceType, ...] = figure.data  # pyright: ignore[reportAssignmentType]
    names = [str(trace["name"]) for trace in traces]
    below = 60 + legend_height(names)
    titled(figure, _smallest(stuck, symbols), inside=inside, below=below)
    legend = legend_below(names, under=60, inside=inside)
    return figure.update_layout(margin={"l": 70, "r": 20}, legend=legend)


def _smallest(stuck: Stuck, symbols: dict[str, str]) -> str:
    """The kind of being stuck, and the smallest nudge that makes the network compute."""
    title = f"Stuck short of {stuck.target}: {in_words(stuck.kind)}"
    if stuck.nudges:
        least = min(stuck.nudges, key=lambda nudge: abs(nudge.move))
        symbol = symbols.get(least.parameter, least.parameter)
        move = number_text(least.move, signed=True)
        return f"{title}; the smallest nudge after which it computes: {symbol} by {move}"
    if stuck.frees:
        symbol = symbols.get(stuck.frees.parameter, stuck.frees.parameter)
        move = number_text(stuck.frees.move, signed=True)
        return f"{title}; {symbol} by {move}, and training solves it"
    return f"{title}; no nudge of one weight was found that helps"


def _add_plane(figure: go.Figure, stuck: Stuck, *, progress: bool) -> None:
    """Add the decision boundary, and the decisions on the inputs."""
    edge = geometry.boundary(stuck.model, progress=progress)
    lines = line_trace(edge.segments.tolist(), BOUNDARY_LINE, "decision boundary")
    figure.add_trace(lines, row=1, col=1)
    decided = decisions(stuck.model)[:, 0].tolist()
    figure.add_trace(corner_trace(decided, stuck.model.cfg.input_levels), row=1, col=1)


def _bars(
    nudges: Sequence[Nudge],
    name: str,
    marker: dict[str, Any],
    *,
    largest: float,
    symbols: dict[str, str],
) -> go.Bar:
    """One bar per nudge, as long as the weight's move."""
    texts: list[str] = []
    hovers: list[str] = []
    for nudge in nudges:
        move = text_beside(nudge.move, largest=largest, signed=True)
        symbol = symbols.get(nudge.parameter, nudge.parameter)
        texts.append(move)
        hovers.append(f"{symbol} ({nudge.parameter}) moved by {move}: {name}")
    return go.Bar(
        x=[abs(nudge.move) for nudge in nudges],
        y=[symbols.get(nudge.parameter, nudge.parameter) for nudge in nudges],
        text=texts,
        hovertext=hovers,
        hoverinfo="text",
        orientation="h",
        marker=marker,
        name=name,
        textposition="outside",
        cliponaxis=False,
    )
