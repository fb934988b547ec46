"""The look that every figure shares: colours, layout, the labelled heatmap."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import floor, log10
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from torch import Tensor

from xor_mi.finding import number_text
from xor_mi.kinds import Number
from xor_mi.truth import truth_rows

# the ends of ColorBrewer's RdBu, which colour-blind readers tell apart
POSITIVE, NEGATIVE, INK = "#2166ac", "#b2182b", "#222222"
DIVERGING = [[0.0, NEGATIVE], [0.5, "#ffffff"], [1.0, POSITIVE]]
Marks = list[list[str]]
"""Text put behind each number of a heatmap, [row][column]."""

UNSEEN = 1e-9
"""A number that is a smaller part of the largest in its picture than this is a zero with rounding.
"""
MOST_DECIMALS = 300
"""A float64 of 1e-300 has more digits than this, but ten to this power is still a number."""

BAR = {"color": "#bbbbbb", "line": {"color": INK, "width": 1}}
"""The marker of a bar without a sign."""
BOUNDARY_LINE = {"color": INK, "width": 4}
"""The line along which a decision changes."""
THRESHOLD_LINE = {"color": INK, "width": 1.5, "dash": "dash"}
DECISION_SYMBOLS = {1: "circle", 0: "circle-open", -1: "x"}
"""Filled: decided 1; open: decided 0; a cross: undecided."""


@dataclass(frozen=True)
class Look:
    """How something is told apart without colour: a word and a hatching."""

    word: str
    fill: str
    edge: str
    hatching: str


HOLDS_OR_FAILS = {
    True: Look("holds", fill="#bbbbbb", edge=INK, hatching=""),
    False: Look("fails", fill="#ffffff", edge=NEGATIVE, hatching="/"),
}


def layout(figure: go.Figure, title: str, *, width: int = 700, height: int = 420) -> go.Figure:
    """Set theme, title and size on the figure itself, nothing globally."""
    return figure.update_layout(
        template="simple_white",
        title={"text": title, "x": 0.02, "font": {"size": 15}},
        width=width,
        height=height,
        font={"color": INK},
        margin={"b": 40},
    )


def decision_text(bit: int) -> str:
    """1, 0 or -1 -> "1", "0" or "undecided"."""
    return str(bit) if bit >= 0 else "undecided"


def input_axis(name: str, levels: tuple[float, float]) -> str:
    """The title of an input's axis, which says its levels where they are not 0 and 1."""
    if levels == (0.0, 1.0):
        return name
    return f"{name} (bit 0 is {levels[0]:g}, bit 1 is {levels[1]:g})"


def corner_points(levels: tuple[float, float]) -> list[list[float]]:
    """The four inputs in the plane, in the order of the rows."""
    return [[levels[bit] for bit in row] for row in truth_rows(2)]


def score_axis(names: Sequence[str], threshold: float) -> str:
    """The title of an axis of what is decided by, and the dashed line at which it is."""
    if all(is_output_name(name) for name in names):
        return f"output (dashed: threshold {threshold:g})"
    what = names[0] if len(names) == 1 else "output - best other"
    return f"score {what} (dashed: {threshold:g})"


def distance_title(name: str) -> str:
    """The title of a colour bar of what is decided by, minus the threshold."""
    return "output -<br>threshold" if is_output_name(name) else name.replace(" - ", " -<br>")


def is_output_name(name: str) -> bool:
    """Whether what is decided by is an output itself, and no difference of several."""
    return " " not in name


def point_text(point: Sequence[float], digits: int) -> str:
    """An input as text, such as "(0, 0.25)"."""
    numbers = [f"{value:.{digits}g}" for value in point]
    return f"({', '.join(numbers)})"


def heatmap(
    values: Sequence[Sequence[float | None]],
    *,
    columns: list[str],
    rows: list[str],
    unit: str,
    title: str,
    marks: Marks | None = None,
) -> go.Figure:
    """A labelled heatmap, colours centred at zero. None leaves a cell empty.

    Args:
        unit: what the numbers are, written over the colour bar.
    """
    filled = [value for value in chain.from_iterable(values) if value is not None]
    bound = max(map(abs, filled), default=0) or 1.0
    marks = marks or [[""] * len(columns) for _ in rows]
    cells = go.Heatmap(
        z=values,
        x=columns,
        y=rows,
        text=[
            _cell_texts(numbers, of_line, largest=bound)
            for numbers, of_line in zip(values, marks, strict=True)
        ],
        texttemplate="%{text}",
        xgap=2,
        ygap=2,
        colorscale=DIVERGING,
        zmin=-bound,
        zmax=bound,
        colorbar={"title": {"text": unit}},
    )
    figure = go.Figure(cells)
    figure.update_xaxes(type="category", side="top", ticks="")
    figure.update_yaxes(type="category", autorange="reversed", ticks="")
    layout(
        figure,
        title,
        width=max(520, 90 * len(columns) + 220),
        height=heatmap_height(len(rows)),
    )
    return figure.update_layout(margin={"t": 125})


def _cell_texts(
    values: Sequence[float | None], marks: Sequence[str], *, largest: float
) -> list[str]:
    """One line's numbers, each with its mark.

    Args:
        largest: of all cells.
    """
    texts: list[str] = []
    for value, mark in zip(values, marks, strict=True):
        texts.append("" if value is None else f"{text_beside(value, largest=largest)}{mark}")
    return texts


def text_beside(value: float, *, largest: float, signed: bool = False) -> str:
    """A number as it stands beside others, of which the largest has this size.

    What is only rounding beside that one is written as zero.
    """
    return number_text(value if abs(value) > UNSEEN * largest else 0.0, signed=signed)


def rounded(values: Tensor, *, largest: float, digits: int) -> Tensor:
    """Values to so many decimals beside a largest of 1, and as fine beside any other.

    A page that is written with all their digits would be twice as long.
    """
    decimals = digits - floor(log10(largest))
    return values.double().round(decimals=min(decimals, MOST_DECIMALS))


def columns_of(points: Iterable[Sequence[Number]]) -> tuple[list[Number], list[Number]]:
    """Points (x, y) -> all their x, and all their y, as plotly takes them."""
    listed = list(points)
    return [point[0] for point in listed], [point[1] for point in listed]


def line_trace(
    lines: Sequence[Sequence[Sequence[float]]], line: dict[str, Any], name: str
) -> go.Scatter:
    """Separate lines of points as one trace, with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    # plotly breaks a line at None
    for points in lines:
        x += [*(point[0] for point in points), None]
        y += [*(point[1] for point in points), None]
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name=name)


def bars_height(n_bars: int) -> int:
    """Pixels for so many bars under a title and over an axis."""
    return max(260, 44 * n_bars + 140)


def heatmap_height(n_rows: int) -> int:
    """Pixels for so many rows under a title and the names of the columns."""
    return max(310, 34 * n_rows + 205)


def interval_bars(percent: pd.DataFrame, column: str) -> dict[str, object]:
    """A confidence interval as plotly's error bar: columns ci_low and ci_high around another."""
    return {
        "type": "data",
        "array": percent["ci_high"] - percent[column],
        "arrayminus": percent[column] - percent["ci_low"],
    }
