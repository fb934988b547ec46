"""a `population.Stuck` -> where its decision changes, and beside it the nudges of its weights."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xor_mi import geometry
from xor_mi.errors import require_kind
from xor_mi.metrics import decisions
from xor_mi.plots._plane import corner_trace
from xor_mi.plots._style import BAR, BOUNDARY_LINE, NEGATIVE, input_axis, layout, line_trace
from xor_mi.population import Nudge, Stuck

LINE_HEIGHT = 34
"""Pixels of one bar."""

FREES = BAR | {"pattern": {"shape": "/", "fgcolor": NEGATIVE, "size": 6}}
"""The marker of a nudge after which training comes to a solution."""


def stuck_figure(stuck: Stuck, *, progress: bool = True) -> go.Figure:
    """`population.stuck_in`: the smallest nudge of each weight that makes it compute, and what
    frees it.

    Beside them, of a network with two inputs and one decision, the plane with the line along which
    the decision changes and what is decided on the four inputs.

    Args:
        progress: a bar, where the boundary takes over two seconds.

    Raises:
        XorMiError: something else.
    """
    require_kind("stuck", stuck, Stuck, give="what population.stuck_in(model) returns")
    has_plane = stuck.model.cfg.d_in == 2 and stuck.model.cfg.n_decisions == 1
    figure = make_subplots(rows=1, cols=2 if has_plane else 1, horizontal_spacing=0.2)
    if has_plane:
        _add_plane(figure, stuck, progress=progress)
    bars_at = 2 if has_plane else 1
    for nudges, name, marker in (
        (stuck.nudges, "computes at once", BAR),
        ([stuck.frees] if stuck.frees else [], "training then solves it", FREES),
    ):
        figure.add_trace(_bars(nudges, name, marker), row=1, col=bars_at)
    figure.update_xaxes(title="size of the move (units of the weight)", rangemode="tozero")
    figure.update_yaxes(
        title="parameter", type="category", autorange="reversed", row=1, col=bars_at
    )
    if has_plane:
        first, second = (input_axis(name, stuck.model.cfg.input_levels) for name in ("x0", "x1"))
        figure.update_xaxes(title=first, rangemode="normal", row=1, col=1)
        figure.update_yaxes(title=second, row=1, col=1)
    if not (stuck.nudges or stuck.frees):
        figure.add_annotation(
            text="no nudge found", showarrow=False, x=0.5, y=0.5, row=1, col=bars_at
        )
    n_bars = len(stuck.nudges) + (stuck.frees is not None)
    title = f"Stuck short of {stuck.target}: {stuck.kind.replace('_', ' ')}"
    layout(figure, title, width=960, height=max(400, LINE_HEIGHT * n_bars + 150))
    return figure.update_layout(margin={"b": 60})


def _add_plane(figure: go.Figure, stuck: Stuck, *, progress: bool) -> None:
    """Where the decision changes, and what is decided on the inputs."""
    edge = geometry.boundary(stuck.model, progress=progress)
    lines = line_trace(edge.segments.tolist(), BOUNDARY_LINE, "decision boundary")
    figure.add_trace(lines, row=1, col=1)
    decided = decisions(stuck.model)[:, 0].tolist()
    figure.add_trace(corner_trace(decided, stuck.model.cfg.input_levels), row=1, col=1)


def _bars(nudges: "tuple[Nudge, ...] | list[Nudge]", name: str, marker: dict) -> go.Bar:
    """One bar per nudge: how far the weight moves."""
    return go.Bar(
        x=[abs(nudge.move) for nudge in nudges],
        y=[nudge.parameter for nudge in nudges],
        text=[f"{nudge.move:+.3g}" for nudge in nudges],
        orientation="h",
        marker=marker,
        name=name,
        textposition="outside",
        cliponaxis=False,
    )
