"""The look that every figure shares: colours, layout, the labelled heatmap."""

import html
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import ceil, floor, isfinite, log10
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from torch import Tensor

from xor_mi.finding import LONG_NUMBER, number_text
from xor_mi.kinds import Number
from xor_mi.truth import truth_rows

# the ends of ColorBrewer's RdBu, which colour-blind readers tell apart
POSITIVE, NEGATIVE, INK = "#2166ac", "#b2182b", "#222222"
DIVERGING = [[0.0, NEGATIVE], [0.5, "#ffffff"], [1.0, POSITIVE]]
Marks = list[list[str]]
"""Text put behind each number of a heatmap, [row][column]."""

FIGURES = 3
"""So many figures of the largest number of a picture are written, and no smaller ones of any."""
FEWEST_POWER = 1e-3
"""Of smaller numbers than this the power of ten is written, and from `LONG_NUMBER` on."""
MOST_DECIMALS = 300
"""A float64 of 1e-300 has more digits than this, but ten to this power is still a number."""

CHARACTER_WIDTH, TITLE_CHARACTER_WIDTH = 7.0, 8.5
"""Pixels of a character of a label and of a title, rather more than most take."""
LABEL_GAP = 8
"""Pixels between the labels of two columns, at least."""
MIN_GAPPED = 10
"""Columns of fewer pixels than this stand without a gap."""
PANEL_WIDTH, PANEL_GAP = 1100, 20
"""Pixels that the cells of a heatmap are wide at most, and between two panels of it."""

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


@dataclass(frozen=True)
class Panel:
    """Some columns of a heatmap, side by side.

    Attributes:
        part: which columns.
        is_turned: whether their labels are, being wider than a column.
        above: pixels that the labels take above the cells, with the title of their axis.
    """

    part: slice
    is_turned: bool
    above: int


def heatmap(
    values: Sequence[Sequence[float | None]],
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    column_title: str,
    row_title: str,
    unit: str,
    title: str,
    marks: Marks | None = None,
    column_width: int = 90,
    with_numbers: bool = True,
    in_panels: bool = True,
) -> go.Figure:
    """A labelled heatmap, colours centred at zero. None leaves a cell empty.

    More columns than are read side by side stand in several panels, one below the other. Margins
    grow with the labels; labels that are wider than their column are turned.

    Args:
        column_title, row_title: what columns and lines are.
        unit: what the numbers are, written over the colour bar.
        column_width: in pixels.
        with_numbers: whether each cell has its number as text, and each column its label; without,
            as many labels as there is room for.
        in_panels: whether many columns are split.
    """
    filled = [value for value in chain.from_iterable(values) if value is not None]
    bound = max([abs(value) for value in filled if isfinite(value)], default=0) or 1.0
    marks = marks or [[""] * len(columns) for _ in rows]
    texts = [
        _cell_texts(numbers, of_line, largest=bound)
        for numbers, of_line in zip(values, marks, strict=True)
    ]
    columns, rows = told_apart(columns), told_apart(rows)
    every = 1 if with_numbers else ceil((label_width(columns) + LABEL_GAP) / column_width)
    shown = _panels(columns, column_width * every, in_panels)
    if every > 1:
        shown = [replace(panel, is_turned=False) for panel in shown]
    n_widest = max(len(columns[panel.part]) for panel in shown)
    column_title = wrapped(column_title, max(250, n_widest * column_width))
    first = shown[0]
    shown[0] = replace(first, above=first.above + 18 * column_title.count("<br>"))
    gap = 2 if column_width >= MIN_GAPPED else 0
    figure = go.Figure()
    for number, panel in enumerate(shown, start=1):
        cells = go.Heatmap(
            z=[line[panel.part] for line in values],
            x=columns[panel.part],
            y=rows,
            text=[line[panel.part] for line in texts],
            texttemplate="%{text}" if with_numbers else None,
            hovertemplate="%{y}, %{x}: %{z}<extra></extra>",
            xgap=gap,
            ygap=2,
            colorscale=DIVERGING,
            zmin=-bound,
            zmax=bound,
            colorbar={"title": {"text": unit}},
            showscale=number == 1,
            xaxis="x" if number == 1 else f"x{number}",
            yaxis="y" if number == 1 else f"y{number}",
        )
        figure.add_trace(cells)
    # room for the title of the lines, which is written upwards beside them
    panel_height = max(34 * len(rows), 100, 12 + round(text_width(row_title)))
    _size(figure, shown, panel_height, columns, rows, title, column_width)
    _place(figure, shown, panel_height, columns, rows, every)
    figure.update_layout(xaxis={"title": column_title})
    return figure.update_yaxes(title=row_title)


def _size(
    figure: go.Figure,
    shown: Sequence[Panel],
    panel_height: int,
    columns: Sequence[str],
    rows: Sequence[str],
    title: str,
    column_width: int,
) -> None:
    """Width, height and margins: no label and no title is cut."""
    # the labels of lines and the title of their axis; the colour bar
    left, right = 60 + round(label_width(rows)), 150
    n_widest = max(len(columns[panel.part]) for panel in shown)
    width = max(520, column_width * n_widest + left + right)
    title = wrapped(title, width - 40)
    n_lines = title.count("<br>") + 1
    top = 30 + 20 * n_lines + shown[0].above
    layout(figure, title, width=width, height=_inside(shown, panel_height) + top + 40)
    # plotly puts the middle of the lines where it would put a single one
    pad = {"t": 14 + 11 * (n_lines - 1)}
    figure.update_layout(
        margin={"t": top, "l": left, "r": right},
        title={"y": 1, "yref": "container", "yanchor": "top", "pad": pad},
    )


def _inside(shown: Sequence[Panel], panel_height: int) -> int:
    """Pixels from the top of the first panel to the bottom of the last."""
    between = sum(panel.above + PANEL_GAP for panel in shown[1:])
    return len(shown) * panel_height + between


def _place(
    figure: go.Figure,
    shown: Sequence[Panel],
    panel_height: int,
    columns: Sequence[str],
    rows: Sequence[str],
    every: int,
) -> None:
    """The axes of the panels, from the top down, each with its column labels above it."""
    inside = _inside(shown, panel_height)
    n_widest = max(len(columns[panel.part]) for panel in shown)
    high = inside
    for number, panel in enumerate(shown, start=1):
        high -= panel.above + PANEL_GAP if number > 1 else 0
        suffix = "" if number == 1 else str(number)
        names = columns[panel.part]
        figure.layout[f"xaxis{suffix}"] = {
            "type": "category",
            "side": "top",
            "ticks": "",
            "tickmode": "array",
            "tickvals": list(names[::every]),
            "tickangle": -90 if panel.is_turned else 0,
            # a last panel with fewer columns keeps their width
            "domain": [0, len(names) / n_widest if n_widest else 1],
            "anchor": f"y{suffix}",
        }
        figure.layout[f"yaxis{suffix}"] = {
            "type": "category",
            "autorange": "reversed",
            "ticks": "",
            "tickmode": "array",
            "tickvals": list(rows),
            "domain": [max(0.0, (high - panel_height) / inside), high / inside],
            "anchor": f"x{suffix}",
        }
        high -= panel_height


def _panels(columns: Sequence[str], column_width: int, in_panels: bool) -> list[Panel]:
    """The columns in panels."""
    parts = panels(len(columns), column_width) if in_panels else [slice(0, len(columns))]
    shown: list[Panel] = []
    for part in parts:
        names = columns[part]
        is_turned = label_width(names) + LABEL_GAP > column_width
        n_lines = max([name.count("<br>") + 1 for name in names], default=1)
        labels = round(label_width(names)) if is_turned else 16 * n_lines
        shown.append(Panel(part, is_turned, above=45 + labels))
    return shown


def panels(n_columns: int, column_width: int) -> list[slice]:
    """Columns in panels of nearly the same number, each no wider than a page.

    >>> panels(25, 90)
    [slice(0, 9, None), slice(9, 18, None), slice(18, 25, None)]
    """
    most = max(1, PANEL_WIDTH // column_width)
    n_panels = ceil(n_columns / most) or 1
    size = ceil(n_columns / n_panels) or 1
    return [slice(start, min(start + size, n_columns)) for start in range(0, n_columns or 1, size)]


def told_apart(names: Sequence[str]) -> list[str]:
    """Names as plotly takes them, which draws two of one name in one place: the second as "a (2)".

    >>> told_apart(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    taken: set[str] = set()
    apart: list[str] = []
    for name in names:
        number, called = 1, name
        while called in taken:
            number += 1
            called = f"{name} ({number})"
        taken.add(called)
        apart.append(called)
    return apart


def text_width(text: str) -> float:
    """Pixels of a label at the size of labels, of its longest line."""
    return CHARACTER_WIDTH * max([len(html.unescape(line)) for line in text.split("<br>")])


def as_written(text: str) -> str:
    """A text of a caller's, which plotly would read as HTML, as it is drawn sign by sign.

    >>> as_written("<b> &amp; a & b")
    '&lt;b> &amp;amp; a & b'
    """
    # a & that begins no entity is drawn as it is
    return re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")


def label_width(names: Sequence[str]) -> float:
    """Pixels of the widest of several labels."""
    return max(map(text_width, names), default=0.0)


def wrapped(title: str, width: int) -> str:
    """A title in lines of at most so many pixels.

    >>> wrapped("Patching, denoising", 100)
    'Patching,<br>denoising'
    """
    lines: list[str] = []
    for line in title.split("<br>"):
        lines += textwrap.wrap(line, max(10, int(width / TITLE_CHARACTER_WIDTH))) or [""]
    return "<br>".join(lines)


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

    All have the decimals that show three figures of the largest, and what is only rounding beside
    that one is written as zero.

    >>> text_beside(-0.02, largest=0.02), text_beside(0.00431, largest=0.02)
    ('-0.0200', '0.0043')
    >>> text_beside(3e-8, largest=2e-7), text_beside(1 / 3, largest=300.0)
    ('3e-08', '0')
    """
    if not isfinite(value) or not largest:
        return number_text(value, signed=signed)
    decimals = FIGURES - 1 - floor(log10(largest))
    sign = "+" if signed else ""
    # + 0.0: a zero has no minus
    if not FEWEST_POWER <= largest < LONG_NUMBER:
        return f"{round(value, decimals) + 0.0:{sign}.{FIGURES}g}"
    decimals = max(0, decimals)
    return f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"


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


def interval_bars(percent: pd.DataFrame, column: str) -> dict[str, object]:
    """A confidence interval as plotly's error bar: columns ci_low and ci_high around another."""
    return {
        "type": "data",
        "array": percent["ci_high"] - percent[column],
        "arrayminus": percent[column] - percent["ci_low"],
    }
