"""numbers with labelled lines and columns -> one heatmap, in panels readable at 600 pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from math import ceil, copysign, isinf
from typing import Any, TypeVar

import plotly.graph_objects as go

from xor_mi.finding import ROUNDING
from xor_mi.plots._style import (
    DIVERGING,
    INK,
    TITLE_LINE,
    WIDTH,
    label_width,
    reach,
    text_beside,
    text_width,
    titled,
    told_apart,
    wrapped,
)

Texts = list[list[str]]
"""A text for each cell, [row][column]."""
Cell = TypeVar("Cell")

LABEL_GAP = 8
"""Pixels between the labels of two columns, at least."""
NARROWEST_COLUMN, WIDEST_COLUMN = 40, 90
"""Pixels of a column with numbers."""
MIN_GAPPED = 10
"""Columns of fewer pixels than this stand without a gap."""
PANEL_GAP = 24
"""Pixels between two panels."""
LEAST_CELLS, LEAST_WIDTH = 240, 560
"""Pixels of the cells of a panel, at any length of line names, and of the whole picture."""
ROW_HEIGHT, LOW_ROW, MANY_ROWS = 30, 20, 20
"""Pixels of a line, and of a line among many."""
BAR_LENGTH = 100
"""Pixels of a colour bar, at least."""
BAR_GAP, BAR_THICKNESS, UNIT_LINE = 8, 12, 18
"""Pixels between the cells and the colour bar, of the bar, and of a line of what its numbers are.
"""
CELL_CHARACTER, CELL_FONT = 6.6, 11
"""Pixels of a character of a number in a cell, and its size."""
LEAST_SHARED = 0.05
"""Panels share a colour bar if the largest number of each is at least this share of the overall
largest.
"""
HOVER_WIDTH = 560
"""Pixels of a line of hover text."""


@dataclass(frozen=True)
class Group:
    """Columns that belong together, such as those of one layer.

    Attributes:
        name: the title over their panel, if the heatmap is split.
        n_columns: the number of columns.
        scale: the size of the terms of their numbers, as in `reach`.
        together: so many consecutive columns stay in one panel, such as the terms of a unit.
    """

    name: str
    n_columns: int
    scale: float = 0.0
    together: int = 1


@dataclass(frozen=True)
class Panel:
    """Some columns side by side.

    Attributes:
        title: above their labels.
        part: the columns, as a slice.
        lines: the lines that have a number in these columns, from the top down.
        bound: the number at which the colours end.
        is_turned: whether the labels are turned, because they are wider than a column.
        above: pixels of labels and title above the cells.
        height: pixels of the cells, from top to bottom.
    """

    title: str
    part: slice
    lines: tuple[int, ...]
    bound: float
    is_turned: bool
    above: int
    height: int

    @property
    def n_columns(self) -> int:
        return self.part.stop - self.part.start

    def rows_of(self, rows: Sequence[str]) -> list[str]:
        """The names of its lines, of those of all."""
        return [rows[number] for number in self.lines]

    def cells_of(self, table: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
        """What stands in its cells, of a table of all."""
        return [list(table[number][self.part]) for number in self.lines]


def heatmap(
    values: Sequence[Sequence[float | None]],
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    column_title: str,
    row_title: str,
    unit: str,
    title: str,
    groups: Sequence[Group] = (),
    scale: float = 0.0,
    marks: Texts | None = None,
    hovers: Texts | None = None,
    column_width: int | None = None,
    with_numbers: bool = True,
    in_panels: bool = True,
) -> go.Figure:
    """A labelled heatmap, colours centred at zero. None leaves a cell empty.

    Columns that do not fit side by side into 600 pixels are split into panels, one below the other;
    a group has one panel or several. Groups are also split if some have much smaller numbers than
    others; then each has its own colour scale. A panel has only lines with a number. Margins grow
    with the labels; labels wider than their column are turned. A number that is only rounding is
    white, and written as zero.

    Args:
        column_title, row_title: what columns and lines are; the latter may have several lines.
        unit: what the numbers are, written beside the colour bar.
        groups: of the columns, in their order; by default one, of this `scale`.
        scale: the size of what the numbers are made of, as `reach` takes it.
        marks: put behind each number.
        hovers: what hovering says of each cell; by default its line, column and number.
        column_width: in pixels; by default as wide as its numbers and labels need.
        with_numbers: whether each cell has its number as text, and each column its label; without,
            as many labels as there is room for.
        in_panels: whether many columns are split.
    """
    groups = groups or [Group(column_title, len(columns), scale)]
    columns, rows = told_apart(columns), told_apart(rows)
    bounds = _bounds(values, groups)
    written = _cell_texts(values, groups, bounds, marks)
    has_several_bars = len(set(bounds)) > 1
    height = _Height(
        row=LOW_ROW if len(rows) > MANY_ROWS else ROW_HEIGHT,
        # room for what is written upwards beside the lines
        least=12 + round(text_width(row_title)),
    )
    n_fewest = min(len(_lines_of(values, part)) for part in _slices(groups))
    unit = wrapped(unit, height.of(n_fewest, has_bar=True))
    left = 56 + round(label_width(rows)) + UNIT_LINE * row_title.count("<br>")
    to_unit = BAR_GAP + BAR_THICKNESS + 20 + _ticks_width(bounds)
    right = to_unit + UNIT_LINE * (unit.count("<br>") + 1) + 4
    if column_width is None:
        column_width = _column_width(written, columns)
    every = 1 if with_numbers else ceil((label_width(columns) + LABEL_GAP) / column_width)
    most = max(LEAST_CELLS, WIDTH - left - right) // column_width
    is_split = in_panels and (len(columns) > most or has_several_bars)
    if is_split:
        parts = list(_parts(groups, bounds, most))
    else:
        parts = [(column_title, slice(0, len(columns)), max(bounds))]
    n_widest = max(part.stop - part.start for _, part, _ in parts)
    width = max(LEAST_WIDTH, column_width * n_widest + left + right)
    shown: list[Panel] = []
    for name, part, bound in parts:
        lines = _lines_of(values, part)
        panel = _panel(
            name,
            part,
            bound,
            lines=lines,
            height=height.of(len(lines), has_bar=not shown or has_several_bars),
            columns=columns,
            label_room=column_width * every,
            title_room=2 * left + (width - left - right) * (part.stop - part.start) // n_widest,
            may_turn=every == 1,
        )
        shown.append(panel)
    inside = shown[0].height
    inside += sum(panel.height + panel.above + PANEL_GAP for panel in shown[1:])
    figure = go.Figure()
    for number, panel in enumerate(shown):
        suffix = f"{number + 1}" if number else ""
        cells = go.Heatmap(
            z=_shown_values(values, panel, with_numbers=with_numbers),
            x=columns[panel.part],
            y=panel.rows_of(rows),
            text=panel.cells_of(written),
            texttemplate="%{text}" if with_numbers else None,
            textfont={"size": CELL_FONT, "color": INK},
            xgap=2 if column_width >= MIN_GAPPED else 0,
            ygap=2,
            colorscale=DIVERGING,
            zmin=-panel.bound,
            zmax=panel.bound,
            showscale=number == 0 or has_several_bars,
            xaxis=f"x{suffix}",
            yaxis=f"y{suffix}",
        )
        figure.add_trace(_with_hovers(cells, hovers, panel, with_numbers=with_numbers))
    titled(figure, title, inside=inside, below=20, above=shown[0].above, width=width)
    figure.update_layout(margin={"l": left, "r": right})
    _place(
        figure,
        shown,
        rows=rows,
        columns=columns,
        inside=inside,
        every=every,
    )
    for number, panel in enumerate(shown):
        # Any: plotly's stubs do not type the entries of a layout
        axis: Any = figure.layout[f"yaxis{number + 1 if number else ''}"]
        top = axis.domain[1]
        bar = _colour_bar(panel, top=top)
        figure.update_traces(colorbar=bar, selector=number)
        if number == 0 or has_several_bars:
            figure.add_annotation(
                text=unit,
                textangle=-90,
                x=1,
                xref="paper",
                xanchor="left",
                xshift=to_unit,
                y=top,
                yref="paper",
                yanchor="middle",
                yshift=-panel.height / 2,
                showarrow=False,
            )
    return figure.update_yaxes(title={"text": row_title, "standoff": 8})


@dataclass(frozen=True)
class _Height:
    """How many pixels a panel's cells have from top to bottom.

    Attributes:
        row: pixels of a line.
        least: pixels of all lines together, at least.
    """

    row: int
    least: int

    def of(self, n_lines: int, *, has_bar: bool) -> int:
        """With so many lines, and perhaps a colour bar beside them."""
        return max(self.row * n_lines, self.least, BAR_LENGTH if has_bar else 0)


def _lines_of(values: Sequence[Sequence[float | None]], part: slice) -> tuple[int, ...]:
    """The lines with a number in these columns; if there are none, all lines."""
    every = range(len(values))
    filled = [k for k in every if any(number is not None for number in values[k][part])]
    return tuple(filled or every)


def _slices(groups: Sequence[Group]) -> list[slice]:
    """The columns of each group."""
    ends = list(accumulate([group.n_columns for group in groups], initial=0))
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _bounds(values: Sequence[Sequence[float | None]], groups: Sequence[Group]) -> list[float]:
    """The number at which the colours of each group end; shared, unless some are much smaller."""
    bounds: list[float] = []
    is_blank: list[bool] = []
    for group, part in zip(groups, _slices(groups), strict=True):
        cells = list(chain.from_iterable(line[part] for line in values))
        numbers = [number for number in cells if number is not None]
        bounds.append(reach(numbers, scale=group.scale))
        is_blank.append(not any(numbers))
    sized = [bound for bound, blank in zip(bounds, is_blank, strict=True) if not blank] or bounds
    # zeros are white on any scale
    own = [max(sized) if blank else bound for bound, blank in zip(bounds, is_blank, strict=True)]
    is_shared = min(own) >= LEAST_SHARED * max(own)
    return [max(own)] * len(own) if is_shared else own


def _cell_texts(
    values: Sequence[Sequence[float | None]],
    groups: Sequence[Group],
    bounds: Sequence[float],
    marks: Texts | None,
) -> Texts:
    """Every number as written beside those of its group, with its mark."""
    texts: Texts = [[] for _ in values]
    for part, bound in zip(_slices(groups), bounds, strict=True):
        for line, numbers in zip(texts, values, strict=True):
            line += [
                "" if number is None else text_beside(number, largest=bound)
                for number in numbers[part]
            ]
    if marks is None:
        return texts
    return [
        [text + mark for text, mark in zip(line, of_line, strict=True)]
        for line, of_line in zip(texts, marks, strict=True)
    ]


def _column_width(texts: Texts, columns: Sequence[str]) -> int:
    """Pixels that the numbers need, and the labels too if they are not much wider."""
    longest = max([len(text) for text in chain.from_iterable(texts)], default=0)
    needed = CELL_CHARACTER * longest + LABEL_GAP
    labels = label_width(columns) + LABEL_GAP
    wanted = max(needed, labels) if labels <= WIDEST_COLUMN else needed
    return ceil(min(max(wanted, NARROWEST_COLUMN), max(WIDEST_COLUMN, needed)))


def _parts(
    groups: Sequence[Group], bounds: Sequence[float], most: int
) -> Iterator[tuple[str, slice, float]]:
    """Title, columns and bound of each panel; a group has as many panels as it needs."""
    for group, part, bound in zip(groups, _slices(groups), bounds, strict=True):
        for number, own in enumerate(parted(group.n_columns, most, group.together)):
            name = f"{group.name}, continued" if number else group.name
            yield name, slice(part.start + own.start, part.start + own.stop), bound


def parted(n_columns: int, most: int, together: int = 1) -> list[slice]:
    """Split columns into panels of nearly equal width, each of at most `most` columns.

    Args:
        together: so many consecutive columns are not split, if they fit.

    >>> parted(25, 9)
    [slice(0, 9, None), slice(9, 18, None), slice(18, 25, None)]
    >>> parted(12, 9, together=4)
    [slice(0, 8, None), slice(8, 12, None)]
    """
    most = max(1, most)
    if together > most:
        together = 1
    n_blocks = ceil(n_columns / together) or 1
    n_panels = ceil(n_blocks / (most // together))
    size = ceil(n_blocks / n_panels) * together
    return [slice(start, min(start + size, n_columns)) for start in range(0, n_columns or 1, size)]


def _panel(
    name: str,
    part: slice,
    bound: float,
    *,
    lines: tuple[int, ...],
    height: int,
    columns: Sequence[str],
    label_room: int,
    title_room: int,
    may_turn: bool,
) -> Panel:
    """A panel, with the room that its title and its labels need.

    Args:
        label_room: pixels of a label that is not turned.
        title_room: pixels of the title, which has its middle over that of the cells.
    """
    names = columns[part]
    is_turned = may_turn and label_width(names) + LABEL_GAP > label_room
    n_lines = max([label.count("<br>") + 1 for label in names], default=1)
    labels = round(label_width(names)) if is_turned else 15 * n_lines
    title = wrapped(name, title_room - 10)
    return Panel(
        title,
        part,
        lines,
        bound,
        is_turned,
        above=labels + 30 + TITLE_LINE * title.count("<br>"),
        height=height,
    )


def _shown_values(
    values: Sequence[Sequence[float | None]], panel: Panel, *, with_numbers: bool
) -> list[list[float | None]]:
    """The numbers of a panel; an infinite one has the colour at the end of the scale."""
    shown: list[list[float | None]] = []
    for line in panel.cells_of(values):
        numbers: list[float | None] = []
        for number in line:
            if number is not None and isinf(number):
                number = copysign(panel.bound, number)
            # the hover text has its number, which no text in the cell shows
            elif not with_numbers and number is not None and abs(number) < ROUNDING * panel.bound:
                number = 0.0
            numbers.append(number)
        shown.append(numbers)
    return shown


def _with_hovers(
    cells: go.Heatmap, hovers: Texts | None, panel: Panel, *, with_numbers: bool
) -> go.Heatmap:
    """The cells with their hover texts: a sentence each, or line, column and number."""
    if hovers is not None:
        own = panel.cells_of(hovers)
        sentences = [[wrapped(text, HOVER_WIDTH) for text in line] for line in own]
        return cells.update(hovertext=sentences, hoverinfo="text")
    number = "%{text}" if with_numbers else "%{z:.3g}"
    return cells.update(hovertemplate=f"%{{y}}, %{{x}}: {number}<extra></extra>")


def _place(
    figure: go.Figure,
    shown: Sequence[Panel],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    inside: int,
    every: int,
) -> None:
    """The axes of the panels, from the top down, each with its column labels above it."""
    n_widest = max(panel.n_columns for panel in shown)
    high = inside
    for number, panel in enumerate(shown):
        high -= panel.above + PANEL_GAP if number else 0
        suffix = f"{number + 1}" if number else ""
        figure.layout[f"xaxis{suffix}"] = {
            "type": "category",
            "side": "top",
            "ticks": "",
            "showline": False,
            "tickmode": "array",
            "tickvals": list(columns[panel.part][::every]),
            "tickangle": -90 if panel.is_turned else 0,
            # a panel with fewer columns keeps their width
            "domain": [0, panel.n_columns / n_widest if n_widest else 1],
            "anchor": f"y{suffix}",
            "title": {"text": panel.title, "standoff": 8},
        }
        figure.layout[f"yaxis{suffix}"] = {
            "type": "category",
            "autorange": "reversed",
            "ticks": "",
            "showline": False,
            "tickmode": "array",
            "tickvals": panel.rows_of(rows),
            "domain": [max(0.0, (high - panel.height) / inside), high / inside],
            "anchor": f"x{suffix}",
        }
        high -= panel.height


def _ticks_width(bounds: Sequence[float]) -> int:
    """Pixels of the longest number beside a colour bar."""
    return round(max([text_width(text_beside(-bound, largest=bound)) for bound in bounds]))


def _colour_bar(panel: Panel, *, top: float) -> dict[str, object]:
    """A thin bar beside a panel, its ends and its middle in numbers as those in the cells.

    Args:
        top: of the panel, as a part of the picture's inside.
    """
    numbers = [-panel.bound, -panel.bound / 2, 0.0, panel.bound / 2, panel.bound]
    return {
        "tickvals": numbers,
        "ticktext": [text_beside(number, largest=panel.bound) for number in numbers],
        "lenmode": "pixels",
        "len": panel.height,
        "y": top,
        "yanchor": "top",
        "xpad": BAR_GAP,
        "thickness": BAR_THICKNESS,
        "ypad": 0,
    }
