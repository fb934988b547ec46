"""The look that every figure shares: colours, layout, the labelled heatmap."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

POSITIVE, NEGATIVE, INK = "#2166ac", "#b2182b", "#222222"
DIVERGING = [[0.0, NEGATIVE], [0.5, "#ffffff"], [1.0, POSITIVE]]
BAR = {"color": "#bbbbbb", "line": {"color": INK, "width": 1}}
"""The marker of a bar without a sign."""


def layout(figure: go.Figure, title: str, width: int = 700, height: int = 420) -> go.Figure:
    """Set theme, title and size on the figure itself, nothing globally."""
    return figure.update_layout(
        template="simple_white",
        title={"text": title, "x": 0.02, "font": {"size": 15}},
        width=width,
        height=height,
        font={"color": INK},
        margin={"b": 40},
    )


def heatmap(
    values: Sequence[Sequence[float | None]],
    columns: list[str],
    rows: list[str],
    unit: str,
    title: str,
    marks: Any = None,
) -> go.Figure:
    """A labelled heatmap, colours centred at zero. None leaves a cell empty. marks: text put behind
    each number, [row][column].
    """
    bound = (
        max((abs(value) for line in values for value in line if value is not None), default=0)
        or 1.0
    )
    marks = marks or [[""] * len(columns) for _ in rows]
    text = [
        [
            "" if value is None else f"{round(value, 2) + 0.0:.2f}{mark}"
            for value, mark in zip(*lines, strict=True)
        ]
        for lines in zip(values, marks, strict=True)
    ]
    scale = {
        "colorscale": DIVERGING,
        "zmin": -bound,
        "zmax": bound,
        "colorbar": {"title": {"text": unit}},
    }
    figure = go.Figure(
        go.Heatmap(
            z=values, x=columns, y=rows, text=text, texttemplate="%{text}", xgap=2, ygap=2, **scale
        )
    )
    figure.update_xaxes(type="category", side="top", ticks="")
    figure.update_yaxes(type="category", autorange="reversed", ticks="")
    return layout(
        figure,
        title,
        width=max(520, 90 * len(columns) + 220),
        height=max(310, 34 * len(rows) + 205),
    ).update_layout(margin={"t": 125})
