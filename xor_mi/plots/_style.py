"""The look that every figure shares: colours, layout and the writing of numbers."""

import html
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, floor, isfinite, log10
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import torch
from torch import Tensor

from xor_mi.finding import LONG_NUMBER, ROUNDING, number_text
from xor_mi.kinds import Number
from xor_mi.truth import truth_rows

# the ends of ColorBrewer's RdBu, which colour-blind readers tell apart
POSITIVE, NEGATIVE, INK = "#2166ac", "#b2182b", "#222222"
HIGH, LOW = "#4393c3", "#dd6b59"
"""The ends of a scale of colours, light enough for dark text on all of it."""
DIVERGING = [[0.0, LOW], [0.5, "#ffffff"], [1.0, HIGH]]
RISING = [[0.0, "#ffffff"], [1.0, HIGH]]
ENDS_IN_DARK = {HIGH: POSITIVE, LOW: NEGATIVE}
"""Its ends on a dark page, dark enough for light text."""
FIGURES = 3
"""The significant figures of the largest number of a picture; others have the same decimals."""
FEWEST_POWER = 1e-3
"""Smaller numbers than this, and numbers from `LONG_NUMBER` on, have a power of ten."""
MOST_DECIMALS = 300
"""A float64 of 1e-300 has more digits than this, but ten to this power is still a number."""

CHARACTER_WIDTH, TITLE_CHARACTER_WIDTH = 7.0, 8.5
"""Pixels of a character of a label and of a title, a little more than most need."""
WIDTH = 600
"""Pixels of a figure that can be read alone."""
TOOLBAR = 60
"""Pixels to the right of a title, for the two plotly buttons that are kept."""
TITLE_LINE = 20
"""Pixels of a line of a title."""
USELESS_BUTTONS = ["zoom", "pan", "select", "lasso", "zoomIn", "zoomOut", "autoScale"]
"""Buttons removed from plotly's toolbar; those that are left save the picture and reset its view.
"""

BAR = {"color": "#bbbbbb", "line": {"color": INK, "width": 1}}
"""The marker of a bar without a sign."""
CONTROL_HATCHING = {"fillmode": "replace", "bgcolor": "#ffffff", "fgcolor": "#bbbbbb"}
"""The look of a bar that is a control: hatched on paper."""
BOUNDARY_LINE = {"color": INK, "width": 4}
"""The look of the line along which a decision changes."""
THRESHOLD_LINE = {"color": INK, "width": 1.5, "dash": "dash"}
DECISION_SYMBOLS = {1: "circle", 0: "circle-open", -1: "x"}
"""Filled: decided 1; open: decided 0; a cross: undecided."""


@dataclass(frozen=True)
class Look:
    """How something can be recognised without colour: by a word and a hatching."""

    word: str
    fill: str
    edge: str
    hatching: str


HOLDS_OR_FAILS = {
    True: Look("holds", fill="#bbbbbb", edge=INK, hatching=""),
    False: Look("fails", fill="#ffffff", edge=NEGATIVE, hatching="/"),
}


@cache
def template() -> go.layout.Template:
    """The theme: plotly's simple_white in ink on white, with powers of ten written as such.

    Without it plotly writes "n" and "\u00b5" behind the numbers of an axis or a colour bar that are
    small, and "k" and "M" behind large ones.
    """
    numbers: dict[str, Any] = {
        "exponentformat": "power",
        "minexponent": 4,
        "separatethousands": True,
    }
    axis = numbers | {"linecolor": INK, "tickcolor": INK, "zerolinecolor": INK}
    bar = numbers | {"thickness": 12, "tickcolor": INK, "outlinewidth": 1, "ticks": "outside"}
    theme: dict[str, Any] = pio.templates["simple_white"].to_plotly_json()
    theme["layout"] |= {
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"color": INK},
        "xaxis": theme["layout"]["xaxis"] | axis,
        "yaxis": theme["layout"]["yaxis"] | axis,
        "coloraxis": {"colorbar": bar},
        "hoverlabel": {"align": "left", "namelength": -1},
        "modebar": {"remove": USELESS_BUTTONS},
    }
    theme["data"]["heatmap"] = [{"type": "heatmap", "colorbar": bar}]
    theme["data"]["contour"] = [{"type": "contour", "colorbar": bar}]
    theme["data"]["scatter"] = [{"type": "scatter", "marker": {"colorbar": bar}}]
    return go.layout.Template(theme)


def layout(figure: go.Figure, title: str, *, width: int = WIDTH, height: int = 420) -> go.Figure:
    """Set theme, title and size on the figure itself; no global setting is changed.

    The title has as many lines as it needs, left of plotly's buttons.
    """
    title = wrapped(title, width - 20 - TOOLBAR)
    n_lines = title.count("<br>") + 1
    # plotly puts the middle of the lines where it would put a single one
    pad = {"t": 14 + 11 * (n_lines - 1)}
    _set_theme(figure)
    return figure.update_layout(
        title={
            "text": title,
            "x": 0.02,
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": pad,
            "font": {"size": 15},
        },
        width=width,
        height=height,
        font={"color": INK},
        # plotly's own, or more for more lines
        margin={"b": 40, "t": max(100, 35 + TITLE_LINE * n_lines)},
    )


def _set_theme(figure: go.Figure) -> None:
    """As `figure.layout.template = template()`, without a check of its parts.

    plotly would check all of them again for each figure, which takes as long as the rest of it.
    """
    figure.layout._validate = False
    try:
        figure.layout.template = template()
    finally:
        figure.layout._validate = True


def titled(
    figure: go.Figure,
    title: str,
    *,
    inside: int,
    below: int,
    above: int = 0,
    width: int = WIDTH,
) -> go.Figure:
    """As `layout`, with a height that fits the drawing, however many lines the title has.

    Args:
        inside: pixels of the drawing, from top to bottom.
        below, above: pixels below the drawing, and between it and the title.
    """
    n_lines = wrapped(title, width - 20 - TOOLBAR).count("<br>") + 1
    top = 42 + TITLE_LINE * n_lines + above
    layout(figure, title, width=width, height=top + inside + below)
    return figure.update_layout(margin={"t": top, "b": below})


LEGEND_LINE, LEGEND_FONT, LEGEND_CHARACTER, LEGEND_SIGN = 22, 11, 6.2, 45
"""Pixels of a line of a legend, the size of its letters, and pixels of one and of a sign."""


def legend_height(names: Sequence[str]) -> int:
    """Pixels that `legend_below` needs."""
    per_line = max(1, (WIDTH - 100) // (_entry_width(names) + LEGEND_SIGN))
    return LEGEND_LINE * ceil(len(names) / per_line) + 10


def legend_below(names: Sequence[str], *, under: int, inside: int) -> dict[str, Any]:
    """A legend under the picture, in as many lines as it needs.

    Args:
        under: pixels from the axis down to it.
        inside: pixels of the drawing, from top to bottom.
    """
    return {
        "orientation": "h",
        "x": 0,
        "y": -under / inside,
        "yanchor": "top",
        "traceorder": "normal",
        "entrywidth": _entry_width(names),
        "font": {"size": LEGEND_FONT},
    }


def _entry_width(names: Sequence[str]) -> int:
    """Pixels of the longest entry, without its sign."""
    return round(LEGEND_CHARACTER * max([len(html.unescape(name)) for name in names], default=0))


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


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["01", "10", "11"]), listed(["01"]), listed([])
    ('01, 10 and 11', '01', '')
    """
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last


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


def reach(values: Iterable[float], *, scale: float = 0.0) -> float:
    """How far a colour bar or an axis of these numbers goes: the size of the largest.

    Where all are rounding beside `scale`, which is the size of what they are made of, it is that
    one, so that nothing is stretched over rounding; 1 where there is nothing at all.

    >>> reach([0.5, -2.0]), reach([1e-16, -2e-16], scale=5.0), reach([])
    (2.0, 5.0, 1.0)
    """
    largest = max([abs(value) for value in values if isfinite(value)], default=0.0)
    if largest <= ROUNDING * scale:
        return scale or 1.0
    return largest


def without_rounding(scores: Tensor, threshold: float, *, scale: float) -> Tensor:
    """Scores, those that differ from the threshold by rounding alone on it.

    >>> import torch
    >>> without_rounding(torch.tensor([0.5, 0.5 + 1e-7]), 0.5, scale=4.0).tolist()
    [0.5, 0.5]
    """
    far = (scores - threshold).abs()
    return torch.where(far <= ROUNDING * scale, threshold, scores)


def score_ends(scores: Tensor, threshold: float, *, scale: float) -> list[float] | None:
    """The ends of an axis of scores that differ from the threshold only by rounding.

    None for all other scores, whose axis plotly chooses.
    """
    if not torch.equal(
        without_rounding(scores, threshold, scale=scale), torch.full_like(scores, threshold)
    ):
        return None
    half = scale or 1.0
    return [threshold - half, threshold + half]


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
        # a zero has no sign
        return number_text(value, signed=signed and bool(value))
    decimals = FIGURES - 1 - floor(log10(largest))
    if FEWEST_POWER <= largest < LONG_NUMBER:
        decimals = max(0, decimals)
    # + 0.0: a zero has no minus, and no plus either
    value = round(value, decimals) + 0.0
    sign = "+" if signed and value else ""
    if not FEWEST_POWER <= largest < LONG_NUMBER:
        return f"{value:{sign}.{FIGURES}g}"
    return f"{value:{sign}.{decimals}f}"


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
