"""scores and shares of one network -> bars, one per thing that was scored."""

from collections.abc import Sequence

import plotly.graph_objects as go

from xor_mi.interventions import InterchangeAccuracy
from xor_mi.plots._style import BAR, bars_height, layout


def interchange_accuracy_bars(found: InterchangeAccuracy) -> go.Figure:
    """How often network and algorithm decide alike: one bar per variable, and one for all."""
    table = found.frame()
    written = [
        f"{agreed} of {runs}"
        for agreed, runs in zip(table["n_agreed"], table["n_runs"], strict=True)
    ]
    figure = share_bars(table["what"].tolist(), table["accuracy"].tolist(), written)
    figure.update_xaxes(title="% of interchanges decided as the algorithm does")
    figure.update_yaxes(title="variable")
    return layout(figure, "Interchange accuracy", height=bars_height(len(table)))


def share_bars(
    names: Sequence[str], shares: Sequence[float | None], written: Sequence[str]
) -> go.Figure:
    """Shares from 0 to 1 as bars in per cent, the first one on top, with a text in each."""
    percent = [None if share is None else 100 * share for share in shares]
    bars = go.Bar(
        y=list(names),
        x=percent,
        orientation="h",
        marker=BAR,
        text=list(written),
        textposition="auto",
        insidetextanchor="start",
    )
    figure = go.Figure(bars)
    figure.update_xaxes(range=[0, 103])
    return figure.update_yaxes(type="category", autorange="reversed")
