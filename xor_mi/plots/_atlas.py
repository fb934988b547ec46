"""the atlas of least widths -> classes by width and training's success, and counts of functions."""

from collections.abc import Sequence
from math import hypot, log10, sqrt
from typing import NamedTuple, get_args

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xor_mi.errors import XorMiError, require_kind, unknown, whole_number
from xor_mi.finding import count_text
from xor_mi.least_units import AtlasUnit
from xor_mi.plots._style import INK, NEGATIVE, POSITIVE, as_written, layout

WIDTHS: dict[str, tuple[str, str, str]] = {
    "threshold": ("threshold units", POSITIVE, ""),
    "threshold_direct": ("threshold units, direct", POSITIVE, "/"),
    "relu": ("ReLU units", NEGATIVE, ""),
    "relu_direct": ("ReLU units, direct", NEGATIVE, "/"),
}
"""Column of the atlas -> what it counts, and the colour and hatching of its bars."""
LOOKS = (
    ("#bbbbbb", "circle"),
    ("#e6a817", "circle"),
    ("#1b7837", "square"),
    ("#762a83", "diamond"),
    ("#000000", "star"),
)
"""Colour and symbol of a class by its least number of the other units, from 0."""
STAR_SIZE = {"star": 1.8}
"""A star is enlarged by this factor, so that it is as easily seen as the other symbols."""
SMALLEST, LARGEST = 4.0, 7.5
"""Pixels across the mark of the smallest class and of the largest."""
LARGEST_CLASS = 768
"""Functions in the largest class of four inputs: 2^4 negations x 4! orders x 2 for the output."""
CORNERS = 1.2
"""How much further a square or a diamond reaches than a circle of its size."""
ROUNDING = 1e-6
"""Pixels by which marks may overlap."""
LEAST_WIDTH = 480
"""Pixels across both panels, at least; more if the marks need more."""
MARKS_HEIGHT = 660
"""Pixels from 0 to 100 % success."""
BEYOND = 2
"""Per cent of the axis below 0 and above 100, so that a mark there is whole."""
BARS_HEIGHT, BETWEEN = 260, 80
"""Pixels of the panel of counts below, and of the gap above it."""
LEFT, RIGHT, TOP, BOTTOM = 108, 12, 120, 190
"""Pixels of the margins: the legend stands in the one at the bottom."""


def atlas_figure(
    table: pd.DataFrame, *, n_inputs: int | None = None, unit: AtlasUnit = "relu"
) -> go.Figure:
    """`least_units.atlas`: which functions need how many hidden units, and how often training finds
    a network that small.

    Every class is one mark above its least number of units. Its height is the share of ReLU
    networks of the least width that learn it, its size grows with the number of functions in the
    class, and colour and symbol give the least number of the other kind of units. Marks that would
    cover each other stand side by side. The panel below has the number of *functions* that need
    each number of units, on a logarithmic axis.

    Args:
        table: what `least_units.atlas` returns, or some of its lines.
        n_inputs: the number of inputs whose classes are drawn; by default the largest in the table.
        unit: the kind of units whose least number is the horizontal axis.

    Raises:
        XorMiError: another table, a number of inputs without a class in it, or an unknown unit.
    """
    require_kind("table", table, pd.DataFrame, give="what least_units.atlas() returns")
    if unit not in get_args(AtlasUnit):
        raise unknown("unit", unit, get_args(AtlasUnit), where="the classes stand by")
    lines = _lines_of(table, n_inputs)
    widths = range(int(lines[list(WIDTHS)].to_numpy().max()) + 1)
    other: AtlasUnit = "threshold" if unit == "relu" else "relu"
    shown = sorted(set(lines[unit]))
    spots = {width: _spots(lines[lines[unit] == width], other=other) for width in shown}
    reach = {width: max(map(_far, spots[width]), default=0.0) for width in shown}
    centre, marks_width = _columns(reach)
    marks_height = MARKS_HEIGHT * (100 + 2 * BEYOND) / 100
    panels = marks_height + BETWEEN + BARS_HEIGHT
    figure = make_subplots(
        rows=2,
        row_heights=[marks_height, BARS_HEIGHT],
        vertical_spacing=BETWEEN / panels,
    )
    _add_marks(figure, lines, spots, centre, by=unit, other=other)
    _add_counts(figure, lines, widths)
    _label(
        figure, unit, centre, marks_width=marks_width, n_functions=int(lines["n_functions"].sum())
    )
    inputs = count_text(int(lines["n_inputs"].iloc[0]), "input")
    needing = lines.groupby(unit)["n_functions"].sum()
    # the width that most functions need
    commonest = int(needing.index[int(needing.to_numpy().argmax())])
    units = WIDTHS[unit][0] if commonest != 1 else WIDTHS[unit][0][:-1]
    title = f"{needing.max():,} of {needing.sum():,} functions of {inputs} need {commonest} {units}"
    key = f"a mark is a class: its colour says its least {WIDTHS[other][0]}, its size its functions"
    width, height = marks_width + LEFT + RIGHT, panels + TOP + BOTTOM
    layout(figure, f"{title}<br>({key})", width=width, height=round(height))
    legend = {
        "orientation": "h",
        "y": -60 / panels,
        "yanchor": "top",
        "x": 0,
        "entrywidth": 0.5,
        "entrywidthmode": "fraction",
        "font": {"size": 11},
    }
    margin = {"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM}
    return figure.update_layout(legend=legend, margin=margin, barmode="group")


def _label(
    figure: go.Figure,
    unit: AtlasUnit,
    centre: dict[int, float],
    *,
    marks_width: int,
    n_functions: int,
) -> None:
    """Titles and ranges of the axes."""
    figure.update_xaxes(
        title=f"least number of {WIDTHS[unit][0]}",
        range=[0, marks_width],
        tickvals=list(centre.values()),
        ticktext=list(map(str, centre)),
        row=1,
    )
    share = "% of ReLU networks of the least width that solve it"
    figure.update_yaxes(title=share, range=[-BEYOND, 100 + BEYOND], row=1)
    figure.update_xaxes(title="least number of units", dtick=1, row=2)
    figure.update_yaxes(
        type="log",
        dtick=1,
        # powers of ten, with room for the number over the highest bar
        range=[0, log10(n_functions) + 1.2],
        title="functions",
        exponentformat="none",
        separatethousands=True,
        row=2,
    )


def _lines_of(table: pd.DataFrame, n_inputs: int | None) -> pd.DataFrame:
    """The classes of functions of so many inputs; by default of the largest number in the table."""
    needed = ["n_inputs", "table", "function", "n_functions", *WIDTHS, "n_gate_sets", "n_families"]
    needed += ["n_networks", "n_solved", "success", "success_low", "success_high"]
    missing = [name for name in needed if name not in table]
    if missing:
        raise XorMiError(
            f"this table has no column {', '.join(missing)}; give what least_units.atlas() returns"
        )
    if n_inputs is None:
        if len(table) == 0:
            raise XorMiError("this table has no class; give what least_units.atlas() returns")
        n_inputs = int(table["n_inputs"].max())
    n_inputs = whole_number("n_inputs", n_inputs, at_least=1)
    lines = table[table["n_inputs"] == n_inputs]
    if len(lines) == 0:
        there = sorted(set(table["n_inputs"]))
        raise XorMiError(
            f"this table has no class of {count_text(n_inputs, 'input')}; it has classes of "
            f"{', '.join(map(str, there)) or 'none'}"
        )
    return lines


# where the marks stand


class _Spot(NamedTuple):
    """The place of a mark, in pixels.

    Attributes:
        aside: its distance from the middle of its column.
        high: its height above 0 % success.
        across: its width.
    """

    aside: float
    high: float
    across: float


def _spots(lines: pd.DataFrame, *, other: AtlasUnit) -> list[_Spot]:
    """Places of marks that do not touch: each as near to the middle as the lower marks allow."""
    high = (lines["success"] * MARKS_HEIGHT).tolist()
    counted = zip(lines["n_functions"].tolist(), lines[other].tolist(), strict=True)
    across = [_size(n_functions, symbol=_look(number)[1]) for n_functions, number in counted]
    spots: dict[int, _Spot] = {}
    for number in sorted(range(len(high)), key=lambda number: high[number]):
        spots[number] = _free_spot(high[number], across[number], list(spots.values()))
    return [spots[number] for number in range(len(high))]


def _look(number: int) -> tuple[str, str]:
    """Colour and symbol of a class by its other least number."""
    return LOOKS[min(int(number), len(LOOKS) - 1)]


def _size(n_functions: int, *, symbol: str) -> float:
    """Pixels across a mark: its area grows with the number of functions."""
    size = SMALLEST + (LARGEST - SMALLEST) * min(1.0, sqrt(n_functions / LARGEST_CLASS))
    return STAR_SIZE.get(symbol, 1.0) * size


def _free_spot(high: float, across: float, taken: Sequence[_Spot]) -> _Spot:
    """The place nearest to the middle where a mark of this height touches none that stands."""
    tried = [0.0]
    for other in taken:
        reach = CORNERS * (across + other.across) / 2
        if abs(high - other.high) < reach:
            beside = sqrt(reach**2 - (high - other.high) ** 2)
            tried += [other.aside - beside, other.aside + beside]
    places = (_Spot(aside, high, across) for aside in sorted(tried, key=abs))
    # the outermost of the places tried is always free
    return next(place for place in places if not any(_touch(place, other) for other in taken))


def _touch(one: _Spot, other: _Spot) -> bool:
    apart = hypot(one.aside - other.aside, one.high - other.high)
    return apart < CORNERS * (one.across + other.across) / 2 - ROUNDING


def _far(spot: _Spot) -> float:
    """Pixels from the middle of a column to the outer edge of a mark."""
    return abs(spot.aside) + spot.across / 2


def _columns(reach: dict[int, float]) -> tuple[dict[int, float], int]:
    """The middle of each column of marks, and the width of all, in pixels."""
    centre: dict[int, float] = {}
    right = 0.0
    for width, far in reach.items():
        half = max(36.0, far + 10)
        centre[width] = right + half
        right += 2 * half
    room = max(0.0, LEAST_WIDTH - right) / (2 * len(reach))
    apart = {width: at + (2 * place + 1) * room for place, (width, at) in enumerate(centre.items())}
    return apart, max(LEAST_WIDTH, round(right))


# what is drawn


def _add_marks(
    figure: go.Figure,
    lines: pd.DataFrame,
    spots: dict[int, list[_Spot]],
    centre: dict[int, float],
    *,
    by: AtlasUnit,
    other: AtlasUnit,
) -> None:
    """One trace for each least number of the other kind of units."""
    x: dict[int, float] = {}
    across: dict[int, float] = {}
    for width, places in spots.items():
        for index, spot in zip(lines.index[lines[by] == width], places, strict=True):
            x[index] = centre[width] + spot.aside
            across[index] = spot.across
    for number in sorted(set(lines[other])):
        chosen = lines[lines[other] == number]
        colour, symbol = _look(number)
        marks = go.Scatter(
            x=[x[index] for index in chosen.index],
            y=(100 * chosen["success"]).tolist(),
            mode="markers",
            marker={
                "color": colour,
                "symbol": symbol,
                "size": [across[index] for index in chosen.index],
                "line": {"color": INK, "width": 0.5},
                "opacity": 1.0,
            },
            name=f"{number} {WIDTHS[other][0] if number != 1 else WIDTHS[other][0][:-1]}",
            hovertext=[_said(line) for line in chosen.to_dict("records")],
            hoverinfo="text",
        )
        figure.add_trace(marks, row=1, col=1)


def _said(line: dict) -> str:
    """The text beside the pointer."""
    share, low, high = (100 * line[name] for name in ("success", "success_low", "success_high"))
    return "<br>".join(
        [
            f"<b>{as_written(line['function'])}</b>",
            f"table {line['table']}, {line['n_functions']} functions in the class",
            f"threshold units: {line['threshold']}, with direct {line['threshold_direct']}",
            f"ReLU units: {line['relu']}, with direct {line['relu_direct']}",
            f"{line['n_gate_sets']:,} sets of gates in {line['n_families']:,} families",
            f"{line['n_solved']:,} of {line['n_networks']:,} networks solve it: "
            f"{share:.1f}% ({low:.1f} to {high:.1f}%)",
        ]
    )


def _add_counts(figure: go.Figure, lines: pd.DataFrame, widths: range) -> None:
    """The number of functions per number of units, a bar for each kind of network."""
    for column, (name, colour, hatching) in WIDTHS.items():
        counted = lines.groupby(column)["n_functions"].sum()
        numbers = [int(counted.get(width, 0)) for width in widths]
        bars = go.Bar(
            x=list(widths),
            # a logarithmic axis has no zero
            y=[number or None for number in numbers],
            name=name,
            marker={
                "color": "#ffffff" if hatching else colour,
                "line": {"color": colour, "width": 1},
                "pattern": {"shape": hatching, "fgcolor": colour, "size": 5},
            },
            text=[f"{number:,}" if number else "" for number in numbers],
            textposition="outside",
            textangle=-90,
            textfont={"size": 11},
            constraintext="none",
            cliponaxis=False,
            hovertemplate=f"%{{y:,}} functions need %{{x}} {name}<extra></extra>",
        )
        figure.add_trace(bars, row=2, col=1)
