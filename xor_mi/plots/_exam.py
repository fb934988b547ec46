"""grades of methods, and the truth -> boards, curves, and the networks where methods fail."""

from collections.abc import Iterator, Sequence
from math import ceil, isfinite, log10
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from xor_mi.errors import XorMiError, require_kind, unknown
from xor_mi.exam import MEASURES, ExamNetwork, Grade, Grades, Over, Truth
from xor_mi.finding import count_text, in_words, number_text
from xor_mi.graph import Edge, Unit, edges_of, layers_of
from xor_mi.metrics import mean_interval
from xor_mi.plots._style import (
    BAR,
    INK,
    NEGATIVE,
    POSITIVE,
    WIDTH,
    as_written,
    label_width,
    legend_below,
    legend_height,
    line_trace,
    titled,
    wrapped,
)

GradesKind = Literal["board", "faithfulness", "failures"]
"""The pictures of `Grades`."""
MOST_CURVES = 6
"""The most curves that are drawn at first; a click in the legend shows others."""
MOST_NAMED = 3
"""The most methods without a value that a title names."""
BAR_HEIGHT = 34
"""Pixels from one method to the next on a board."""
FIRST_MEASURES = ("size", "perfect", "gate_agreement", "interchange_accuracy")
"""The measures of a board: methods of one kind show the first of these that they have."""
LOOKS = (
    (POSITIVE, "solid"),
    (NEGATIVE, "solid"),
    ("#1b7837", "solid"),
    ("#762a83", "solid"),
    ("#b35806", "solid"),
    ("#01665e", "solid"),
    ("#666666", "solid"),
    ("#c51b7d", "solid"),
    (POSITIVE, "dot"),
    (NEGATIVE, "dot"),
    ("#1b7837", "dot"),
    ("#762a83", "dot"),
    ("#b35806", "dot"),
    ("#01665e", "dot"),
    ("#666666", "dot"),
    ("#c51b7d", "dot"),
)
"""Colour and dash of a method's curve, in turn."""
CELL = (280, 245)
"""Pixels of one network in the picture of failures, with its three lines of title."""
CELLS_A_LINE = 2
LEAST_BOARD = 300
"""Pixels of the bars of a board, at any length of the methods' names."""
BOARD_LEGEND = ("mean and 95 % interval", "by chance")
CURVES_HEIGHT = 360
"""Pixels of the curves."""


def grades_figure(
    grades: Grades,
    *,
    kind: GradesKind = "board",
    measure: str | None = None,
    over: Over = "edges",
    methods: list[str] | tuple[str, ...] | None = None,
) -> go.Figure:
    """A picture of grades.

    Args:
        kind: "board" is `grades_board`, "faithfulness" `faithfulness_curves`, "failures"
            `failures_figure`.
        measure: the measure of the board.
        over: the elements of the curves.
        methods: the methods of the curves or failures.

    Raises:
        XorMiError: an unknown kind, or as in the function of that kind.
    """
    if kind not in get_args(GradesKind):
        raise unknown("picture of grades", kind, get_args(GradesKind), where="there are")
    if measure is not None and kind != "board":
        raise XorMiError(f"measure= is for the board, but kind is {kind!r}; leave one of them out")
    if kind == "board":
        return grades_board(grades, measure=measure)
    if kind == "faithfulness":
        return faithfulness_curves(grades, over=over, methods=methods)
    return failures_figure(grades, methods=methods)


# the board


def grades_board(grades: Grades, *, measure: str | None = None) -> go.Figure:
    """A row per method, the best first: its mean with the 95 % interval, and the level by chance.

    Methods over edges, over units and over neither have a part each.

    Args:
        measure: the measure that is drawn; by default the size of the smallest perfect circuit that
            a method finds, or its replacement for methods without a size.

    Raises:
        XorMiError: an unknown measure, or one for which no method has a value.
    """
    require_kind("grades", grades, Grades, give="what exam.grade returns")
    name = _measure_drawn(grades, measure)
    table = grades.board([name])
    drawn = table[table[name].notna()]
    boards: list[pd.DataFrame] = []
    for over in ("edges", "units", None):
        of_kind = drawn[drawn["over"].isna()] if over is None else drawn[drawn["over"] == over]
        if len(of_kind):
            better_is_lower = MEASURES[name].better == "lower"
            # a mean over some networks cannot be compared with a mean over all
            of_kind = of_kind.assign(is_partial=of_kind[f"{name}_n"] < of_kind["n_networks"])
            ordered = ["is_partial", name]
            is_rising = [True, better_is_lower]
            boards.append(of_kind.sort_values(ordered, ascending=is_rising, kind="stable"))
    figure = go.Figure()
    left = 30 + round(_widest_label(boards))
    inside_width = max(LEAST_BOARD, WIDTH - left - 20)
    _add_boards(figure, boards, name, grades, width=inside_width)
    figure.update_layout(barmode="overlay", bargap=0.35)
    without = [method for method in grades.methods if method not in set(drawn["method"])]
    n_rows = sum(map(len, boards)) + len(boards)
    inside = BAR_HEIGHT * n_rows
    under = 55 + 19 * _axis_title(name, inside_width).count("<br>")
    below = under + legend_height(BOARD_LEGEND)
    titled(
        figure,
        _best(boards, grades, name, without),
        inside=inside,
        below=below,
        width=left + inside_width + 20,
    )
    return figure.update_layout(
        margin={"l": left, "r": 20},
        legend=legend_below(BOARD_LEGEND, under=under, inside=inside),
    )


def _best(boards: Sequence[pd.DataFrame], grades: Grades, name: str, without: Sequence[str]) -> str:
    """The best method of each kind, its mean, and the methods without a value."""
    firsts: list[str] = []
    for board in boards:
        first = board.iloc[0]
        of = f" over {first['over']}" if isinstance(first["over"], str) else ""
        n_best = int((board[name] == first[name]).sum())
        if n_best == 1:
            who = f"{as_written(first['method'])} is best"
        elif n_best == len(board):
            who = f"{'both' if n_best == 2 else f'all {n_best}'} methods have the same mean"
        else:
            who = f"{n_best} of {len(board)} methods share the best mean"
        firsts.append(f"{who}{of}, {number_text(first[name])}")
    title = (
        f"{'; '.join(firsts)} ({_in_words(name)}, mean over "
        f"{count_text(len(grades.networks), 'network')}; {MEASURES[name].better} is better)"
    )
    if len(without) > MOST_NAMED:
        title += f"; {len(without)} methods have no such value"
    elif without:
        title += f"; without a value: {', '.join(map(as_written, without))}"
    return title


def _measure_drawn(grades: Grades, measure: str | None) -> str:
    """The measure asked for, or the first that has a value."""
    if measure is None:
        there = [*(name for name in FIRST_MEASURES if name in grades.measures), *grades.measures]
        if not there:
            raise XorMiError(
                "no method has a grade here, so there is nothing to draw; why_not in .frame() "
                "gives the reasons"
            )
        return there[0]
    if not isinstance(measure, str) or measure not in MEASURES:
        raise unknown("measure", measure, MEASURES, where="measures are")
    if measure not in grades.measures:
        there = ", ".join(grades.measures) or "none"
        raise XorMiError(
            f"no method here has a value of {measure}; measures with values are: {there}"
        )
    return measure


def _board_labels(boards: Sequence[pd.DataFrame]) -> list[tuple[str, bool]]:
    """Each line of the boards, a heading or a method, and whether it is a heading."""
    labels: list[tuple[str, bool]] = []
    for board in boards:
        over = board["over"].iloc[0]
        heading = {"edges": "over edges", "units": "over units"}.get(over, "gates and alignments")
        labels.append((heading, True))
        labels += [(as_written(method), False) for method in board["method"]]
    return labels


def _widest_label(boards: Sequence[pd.DataFrame]) -> float:
    """Pixels of the widest line of the boards."""
    return label_width([text for text, _ in _board_labels(boards)])


def _add_boards(
    figure: go.Figure,
    boards: Sequence[pd.DataFrame],
    name: str,
    grades: Grades,
    *,
    width: int,
) -> None:
    """The boards one below the other, each under its heading.

    Args:
        width: pixels of the bars.
    """
    labels: list[str] = []
    for text, is_heading in _board_labels(boards):
        labels.append(f"<b>{text}</b>" if is_heading else text)
    places: list[int] = []
    place = 0
    for board in boards:
        place += 1
        places += range(place, place + len(board))
        place += len(board)
    lines = pd.concat(boards)
    means = lines[name].astype(float)
    low, high = lines[f"{name}_low"].astype(float), lines[f"{name}_high"].astype(float)
    chance = lines[f"{name}_chance"].astype(float)
    texts: list[str] = []
    for method, *numbers in zip(lines["method"], means, low, high, strict=True):
        texts.append(_numbers_text(*numbers) + _of_how_many(grades, method, name))
    bars = go.Bar(
        y=places,
        x=means,
        orientation="h",
        marker=BAR,
        error_x={"type": "data", "array": high - means, "arrayminus": means - low, "color": INK},
        customdata=list(zip(lines["method"].map(as_written), texts, strict=True)),
        hovertemplate="%{customdata[0]}: %{customdata[1]}<extra></extra>",
        name=BOARD_LEGEND[0],
    )
    figure.add_trace(bars)
    known = chance.notna()
    marks = go.Scatter(
        y=np.array(places)[known.to_numpy()].tolist(),
        x=chance[known],
        mode="markers",
        marker={"symbol": "diamond-open", "size": 10, "color": NEGATIVE, "line": {"width": 2}},
        hovertext=[f"by chance: {number_text(level)}" for level in chance[known]],
        hoverinfo="text",
        name=BOARD_LEGEND[1],
    )
    figure.add_trace(marks)
    ends = pd.concat([means, high, chance], axis=1).max(axis=1)
    figure.add_trace(_texts_beside(places, ends.tolist(), texts))
    figure.update_xaxes(
        title=_axis_title(name, width), range=_range_with_room(means, low, ends, texts, width)
    )
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=labels,
        range=[len(labels) - 0.4, -0.6],
        ticks="",
    )


def _texts_beside(places: Sequence[int], ends: Sequence[float], texts: Sequence[str]) -> go.Scatter:
    """Numbers to the right of everything else in their row."""
    return go.Scatter(
        y=list(places),
        x=list(ends),
        mode="text",
        text=[f"   {text}" for text in texts],
        textposition="middle right",
        textfont={"size": 11},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )


def _range_with_room(
    means: pd.Series, low: pd.Series, ends: pd.Series, texts: Sequence[str], width: int
) -> list[float]:
    """The axis from 0 or below to where every number has room, in so many pixels."""
    lowest = min(0.0, float(means.min()), float(low.min()) if low.notna().any() else 0.0)
    reach = 0.0
    for end, text in zip(ends.tolist(), texts, strict=True):
        room = (label_width([text]) + 20) / width
        reach = max(reach, (end - lowest) / max(0.25, 1 - room))
    return [lowest - (0.02 * reach if lowest < 0 else 0), lowest + (reach or 1.0)]


def _numbers_text(mean: float, low: float, high: float) -> str:
    """'9.23 [8.90, 9.51]'."""
    text = number_text(mean)
    return f"{text} [{number_text(low)}, {number_text(high)}]" if isfinite(low) else text


def _of_how_many(grades: Grades, method: str, name: str) -> str:
    """The number of networks on which a measure has a value; "" if it is all of them."""
    n_known = sum(grade.values.get(name) is not None for grade in grades.of(method))
    n = len(grades.networks)
    return "" if n_known == n else f", of {n_known} of {n} networks"


def _in_words(name: str) -> str:
    """A measure's name as the beginning of a title."""
    words = name.upper() if name in ("cpr", "cmd") else in_words(name).capitalize()
    return words.replace("Auroc", "AUROC").replace("Ap ", "Average precision, ")


def _axis_title(name: str, width: int) -> str:
    """The meaning of a measure, in lines of so many pixels."""
    return wrapped(MEASURES[name].what, width)


# faithfulness


class _Curve(NamedTuple):
    """The mean over networks at each share kept, with its 95 % interval."""

    part: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def faithfulness_curves(
    grades: Grades, *, over: Over = "edges", methods: list[str] | tuple[str, ...] | None = None
) -> go.Figure:
    """The faithfulness of each method's top-k over the share kept, as a mean over networks.

    1 is the whole network, 0 the network with everything dropped. The dashed line is the mean of
    all circuits of a size, which is the level by chance. For networks of several sizes, curves are
    interpolated between their own points.

    Args:
        over: "edges" or "units", the elements that the methods score.
        methods: names of methods; by default all, of which the best `MOST_CURVES` are drawn and a
            click in the legend shows others.

    Raises:
        XorMiError: no method scores these elements, an unknown method, or an empty list.
    """
    require_kind("grades", grades, Grades, give="what exam.grade returns")
    if over not in get_args(Over):
        raise unknown("kind of element", over, get_args(Over), where="there are")
    scored = _scored(grades, over)
    if not scored:
        raise XorMiError(f"no method here scores {over}, so there is no curve to draw")
    names = _names(methods, list(scored), where=f"those that score {over} are")
    chosen = {name: scored[name] for name in names}
    curves = {name: _curve([one.faithfulness for one in chosen[name]]) for name in chosen}
    ordered = sorted(curves, key=lambda name: _distance_to_whole(curves[name]))
    figure = go.Figure()
    for number, name in enumerate(ordered):
        shown = methods is not None or number < MOST_CURVES
        figure.add_traces(_curve_traces(name, curves[name], number, shown=shown))
    by_chance = _by_chance(grades, over)
    dashed = {"color": INK, "width": 1.5, "dash": "dash"}
    figure.add_trace(
        go.Scatter(
            x=by_chance.part.tolist(),
            y=by_chance.mean.tolist(),
            mode="lines",
            line=dashed,
            name="by chance",
            hovertemplate="%{x:.0%} kept: %{y:.3f}<extra>by chance</extra>",
        )
    )
    figure.add_hline(y=1, line={"color": "#999999", "width": 0.8})
    shown_curves = [curves[name] for name in ordered[:MOST_CURVES]] + [by_chance]
    figure.update_yaxes(title="faithfulness", range=_range_of(shown_curves))
    figure.update_xaxes(title=f"share of the {over} kept", range=[0, 1], tickformat=".0%")
    n_networks = max(len(of_method) for of_method in chosen.values())
    title = (
        f"{as_written(ordered[0])} stays nearest to the whole network, faithfulness 1 (top-k "
        f"{over}, mean over {count_text(n_networks, 'network')} with its 95 % interval)"
    )
    if methods is None and len(ordered) > MOST_CURVES:
        title += (
            f"; the {MOST_CURVES} nearest to 1 of {len(ordered)} are drawn, click in the legend "
            "for others"
        )
    names = [*map(as_written, ordered), "by chance"]
    below = 60 + legend_height(names)
    titled(figure, title, inside=CURVES_HEIGHT, below=below)
    return figure.update_layout(
        margin={"l": 60, "r": 20},
        legend=legend_below(names, under=60, inside=CURVES_HEIGHT),
    )


def _names(methods: object, there: Sequence[str], *, where: str) -> list[str]:
    """The methods asked for, or all.

    Raises:
        XorMiError: an unknown method, or an empty list.
    """
    if methods is None:
        return list(there)
    give = "names of methods, such as ['random']"
    require_kind("methods", methods, (list, tuple), give=give)
    assert isinstance(methods, (list, tuple))
    for name in methods:
        if not isinstance(name, str) or name not in there:
            raise unknown("method", name, there, where=where)
    if not methods:
        raise XorMiError(f"methods is empty; give {give}")
    return list(methods)


def _scored(grades: Grades, over: Over) -> dict[str, list[Grade]]:
    """Method -> its grades that have a curve."""
    found: dict[str, list[Grade]] = {}
    for grade in grades.grades:
        if grade.over == over and grade.faithfulness:
            found.setdefault(grade.method, []).append(grade)
    return found


def _curve(curves: Sequence[Sequence[float]]) -> _Curve:
    """Mean and interval at each share kept; curves of several lengths use the finest grid."""
    n_most = max(map(len, curves))
    part = np.linspace(0, 1, n_most)
    read = [np.interp(part, np.linspace(0, 1, len(one)), one) for one in curves]
    at_part = np.stack(read, axis=1)
    # mean, low and high at each share; without an interval, low and high are None, here NaN
    of_all = np.array([mean_interval(values) for values in at_part.tolist()], dtype=np.float64)
    mean, low, high = of_all.T
    return _Curve(part, mean, low, high)


def _by_chance(grades: Grades, over: Over) -> _Curve:
    """The mean of all circuits of each size."""
    levels: list[Sequence[float]] = []
    for network in grades.networks:
        for truth in network.truths:
            if truth.over == over and truth.mean_faithfulness:
                levels.append(truth.mean_faithfulness)
    return _curve(levels)


def _distance_to_whole(curve: _Curve) -> float:
    """The area between a curve and 1."""
    return float(np.trapezoid(np.abs(1 - curve.mean), curve.part))


def _curve_traces(name: str, curve: _Curve, number: int, *, shown: bool) -> list[go.Scatter]:
    """A line and the band around it, as one entry of the legend."""
    colour, dash = LOOKS[number % len(LOOKS)]
    visible = True if shown else "legendonly"
    part = curve.part.tolist()
    traces = [
        go.Scatter(
            x=part,
            y=curve.mean.tolist(),
            mode="lines",
            line={"color": colour, "width": 2, "dash": dash},
            name=as_written(name),
            legendgroup=name,
            visible=visible,
            hovertemplate=f"%{{x:.0%}} kept: %{{y:.3f}}<extra>{as_written(name)}</extra>",
        )
    ]
    if np.isfinite(curve.low).all():
        traces.append(
            go.Scatter(
                x=[*part, *reversed(part)],
                y=[*curve.high.tolist(), *reversed(curve.low.tolist())],
                mode="lines",
                fill="toself",
                fillcolor=colour,
                opacity=0.1,
                line={"width": 0},
                hoverinfo="skip",
                legendgroup=name,
                showlegend=False,
                visible=visible,
            )
        )
    return traces


def _range_of(curves: Sequence[_Curve]) -> list[float]:
    """From the lowest to the highest mean, with 0 and 1 inside."""
    means = np.concatenate([curve.mean for curve in curves])
    low, high = min(0.0, float(means.min())), max(1.0, float(means.max()))
    margin = 0.06 * (high - low)
    return [low - margin, high + margin]


# where methods fail


def failures_figure(
    grades: Grades, *, methods: list[str] | tuple[str, ...] | None = None
) -> go.Figure:
    """For each method, the smallest network on which it is not right, and its circuit there.

    For scores the circuit is the smallest top-k that decides every row right; for a set it is the
    set. It is drawn beside a smallest perfect circuit. Among networks of the same size, the one
    where the method is furthest off is drawn. Gates and alignments are not circuits, and are not
    drawn.

    Args:
        methods: names of methods; by default all that fail somewhere.

    Raises:
        XorMiError: an unknown method, an empty list, or no method that fails with a circuit to
            draw.
    """
    require_kind("grades", grades, Grades, give="what exam.grade returns")
    cells: list[_Failed] = []
    for name in _names(methods, grades.methods, where="these grades have"):
        drawable = [one for one in grades.failures(name) if one.gives in ("scores", "set")]
        if drawable:
            cells.append(_Failed.of(drawable[0], grades.network(drawable[0].network)))
    if not cells:
        raise XorMiError(
            "no method that returns circuits fails here, so there is nothing to draw; "
            ".failures(method) has the failures of a method"
        )
    n_lines = ceil(len(cells) / CELLS_A_LINE)
    n_across = min(CELLS_A_LINE, len(cells))
    figure = go.Figure()
    for look in _EDGE_LOOKS:
        lines: list[list[tuple[float, float]]] = []
        for number, cell in enumerate(cells):
            lines += cell.lines(look, _corner(number))
        trace = line_trace(lines, look.line, look.word)
        figure.add_trace(trace.update(showlegend=True))
    notes: list[dict[str, object]] = []
    for number, cell in enumerate(cells):
        notes += _notes(cell, _corner(number))
    # added together: plotly checks all traces at each addition
    figure.update_layout(annotations=notes)
    figure.update_xaxes(visible=False, range=[0, CELL[0] * n_across])
    figure.update_yaxes(visible=False, range=[CELL[1] * n_lines, 0])
    title = (
        f"Not right everywhere: {count_text(len(cells), 'method')}; the circuit of each on the "
        "smallest network where it fails, beside a smallest perfect one"
    )
    words = [look.word for look in _EDGE_LOOKS]
    inside = CELL[1] * n_lines
    titled(figure, title, inside=inside, below=10 + legend_height(words))
    return figure.update_layout(
        margin={"l": 20, "r": WIDTH - 20 - CELL[0] * n_across},
        legend=legend_below(words, under=10, inside=inside),
    )


class _EdgeLook(NamedTuple):
    """The look of one kind of edges: kept by the method or not, by a smallest circuit or not."""

    word: str
    is_kept: bool
    is_needed: bool
    line: dict[str, object]


_EDGE_LOOKS = (
    _EdgeLook("in neither", False, False, {"color": "#dddddd", "width": 1}),
    _EdgeLook("in both", True, True, {"color": INK, "width": 3}),
    _EdgeLook("only in the method's", True, False, {"color": NEGATIVE, "width": 3, "dash": "dash"}),
    _EdgeLook("only in the smallest", False, True, {"color": POSITIVE, "width": 3, "dash": "dot"}),
)


class _Failed(NamedTuple):
    """A method's circuit on one network, beside a smallest perfect one."""

    grade: Grade
    layer_sizes: tuple[int, ...]
    kept: frozenset[Edge]
    needed: frozenset[Edge]
    minimum: int

    @classmethod
    def of(cls, grade: Grade, network: ExamNetwork) -> "_Failed":
        over: Over = grade.over or "edges"
        truth = network.truth(over)
        size = grade.values.get("size")
        kept = grade.kept if grade.gives == "set" or size is None else grade.kept[: int(size)]
        return cls(
            grade=grade,
            layer_sizes=network.cfg.layer_sizes,
            kept=_edges(network, over, kept),
            needed=_edges(network, over, truth.smallest),
            minimum=truth.minimum,
        )

    def lines(
        self, look: _EdgeLook, corner: tuple[float, float]
    ) -> list[list[tuple[float, float]]]:
        """The edges of one kind, from point to point."""
        spots = _spots(self.layer_sizes, corner)
        return [
            [spots[edge.src], spots[edge.dst]]
            for edge in edges_of(self.layer_sizes)
            if (edge in self.kept) == look.is_kept and (edge in self.needed) == look.is_needed
        ]

    @property
    def heading(self) -> str:
        """The method, the network and the size found, in three lines."""
        over, size = self.grade.over, self.grade.values.get("size")
        found = "not perfect" if size is None else f"{int(size)} {over}"
        return (
            f"<b>{as_written(self.grade.method)}</b><br>"
            f"{as_written(self.grade.network)}<br>{found}, smallest {self.minimum}"
        )


def _edges(network: ExamNetwork, over: Over, numbers: Sequence[int]) -> frozenset[Edge]:
    """Elements by number -> the edges that are kept with them."""
    elements = network.elements(over)
    chosen = {elements[number] for number in numbers}
    if over == "edges":
        return frozenset(one for one in chosen if isinstance(one, Edge))
    dropped = set(elements) - chosen
    every = edges_of(network.cfg.layer_sizes)
    return frozenset(edge for edge in every if not {edge.src, edge.dst} & dropped)


def _corner(number: int) -> tuple[float, float]:
    """Where the upper left corner of a cell is, in pixels."""
    line, column = divmod(number, CELLS_A_LINE)
    return CELL[0] * column, CELL[1] * line


def _spots(sizes: Sequence[int], corner: tuple[float, float]) -> dict[Unit, tuple[float, float]]:
    """Layers from left to right, each centred, below the heading of its cell."""
    across = (CELL[0] - 90) / (len(sizes) - 1)
    down = (CELL[1] - 85) / max(sizes)
    middle = 60 + (CELL[1] - 65) / 2
    spots: dict[Unit, tuple[float, float]] = {}
    for column, layer in enumerate(layers_of(sizes)):
        for unit in layer:
            x = corner[0] + 35 + across * column
            spots[unit] = (x, corner[1] + middle + down * (unit.index - (len(layer) - 1) / 2))
    return spots


def _notes(cell: _Failed, corner: tuple[float, float]) -> Iterator[dict[str, object]]:
    """The heading of a cell, and its units by name."""
    yield {
        "x": corner[0] + 10,
        "y": corner[1] + 4,
        "text": cell.heading,
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "top",
        "align": "left",
        "font": {"size": 12},
    }
    for unit, (x, y) in _spots(cell.layer_sizes, corner).items():
        yield {
            "x": x,
            "y": y,
            "text": unit.name,
            "showarrow": False,
            "bgcolor": "#ffffff",
            "bordercolor": "#999999",
            "borderpad": 2,
            "font": {"size": 11},
        }


# the truth


def truth_by_size(truth: Truth) -> go.Figure:
    """The number of sets of elements of each size, and of circuits of each kind.

    Each kind contains the next: all, perfect, locally minimal, subset-minimal, cardinally minimal.
    The scale of counts is logarithmic; a count of 0 has no bar.

    Raises:
        XorMiError: anything but the truth of a network.
    """
    require_kind("truth", truth, Truth, give="what Truth.of returns")
    table = truth.frame()
    figure = go.Figure()
    for kind in _KINDS:
        counts = table[kind.column]
        bars = go.Bar(
            x=table["n_kept"].tolist(),
            y=counts.where(counts > 0).tolist(),
            width=kind.width,
            name=kind.word,
            marker={
                "color": kind.colour,
                "line": {"color": INK, "width": 1},
                "pattern": {"shape": kind.hatching},
            },
            hovertemplate=f"%{{y:,}} of %{{x}} {truth.over}: {kind.word}<extra></extra>",
        )
        figure.add_trace(bars)
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title=f"{truth.over} kept", dtick=1 if truth.n_elements <= 18 else None)
    # the axis starts at a half, so that a count of 1 has a bar
    log_range = [log10(0.5), log10(2 * table["n_masks"].max())]
    figure.update_yaxes(
        title=f"sets of {truth.over}, log scale", type="log", range=log_range, dtick=1
    )
    words = [kind.word for kind in _KINDS]
    below = 60 + legend_height(words)
    titled(figure, _sentence(str(truth)), inside=CURVES_HEIGHT, below=below)
    legend = legend_below(words, under=60, inside=CURVES_HEIGHT)
    return figure.update_layout(margin={"l": 80, "r": 20}, legend=legend)


class _Kind(NamedTuple):
    """The bars of one kind of circuits: narrower than those of the kinds that contain it."""

    column: str
    word: str
    colour: str
    hatching: str
    width: float


_KINDS = (
    _Kind("n_masks", "all", "#eeeeee", "", 0.9),
    _Kind("n_perfect", "decide every row right", "#92c5de", "", 0.74),
    _Kind("n_locally", "locally minimal", "#4393c3", "/", 0.56),
    _Kind("n_subset", "subset-minimal", POSITIVE, "", 0.38),
    _Kind("n_cardinally", "with the fewest", NEGATIVE, "x", 0.2),
)


def _sentence(text: str) -> str:
    """The text with a capital, as the beginning of a title."""
    return text[:1].upper() + text[1:]
