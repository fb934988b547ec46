"""a training followed step by step -> when each gate appears, and the moving weights and plane.

Steps stand on a logarithmic axis that begins at 0: a step s is drawn at log10(s + 1), because most
events are early.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, groupby, product
from math import ceil, floor, inf, log10
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType
from plotly.subplots import make_subplots

from xor_mi import geometry
from xor_mi.errors import XorMiError, require_kind, unknown
from xor_mi.finding import ROUNDING, count_text, in_words, number_text
from xor_mi.margins import weight_symbols
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.plots._sliders import (
    Traces,
    add_frames,
    label_plane,
    largest_distance,
    plane_traces,
    with_slider,
)
from xor_mi.plots._style import (
    BAR,
    CHARACTER_WIDTH,
    INK,
    NEGATIVE,
    POSITIVE,
    WIDTH,
    as_written,
    label_width,
    legend_below,
    legend_height,
    text_beside,
    text_width,
    titled,
)
from xor_mi.population import EVENTS, AtStep, Event, Moment, Trajectory
from xor_mi.values import own_score_scale

TrajectoryKind = Literal["gates", "plane", "weights", "moving"]
TRAJECTORY_KINDS = ("gates", "plane", "weights", "moving")

TINTS = {
    "AND": "#9ecae1",
    "OR": "#fdd0a2",
    "XOR": "#dadaeb",
    "NAND": "#c7e9c0",
    "NOR": "#fde0dd",
    "XNOR": "#d9d9d9",
    "x0>x1": "#a1d99b",
    "x1>x0": "#fdae6b",
    "x0>=x1": "#bcbddc",
    "x1>=x0": "#fa9fb5",
}
"""The fill of the gates of two inputs that units read as most often, light enough for dark text."""
MORE_TINTS = ("#ccebc5", "#fed9a6", "#b3cde3", "#fddaec", "#e5d8bd", "#ffffcc", "#decbe4")
"""The fills of all other gates, in the order in which they appear; after the last, the first is
used again.
"""
WITHOUT_TINT = "#eeeeee"
"""The fill of a unit without a gate."""
UNSOLVED, NO_CIRCUIT, IDLE, DEAD = "not solved", "no circuit", "idle", "dead"
"""The state of a unit without a gate -> its look."""
LEGEND = {
    UNSOLVED: "not solved: some row is wrong",
    NO_CIRCUIT: "solved, but no circuit reads it",
    IDLE: "idle: no output depends on it",
    DEAD: "dead: one value on every row",
}
MORE_HATCHINGS = ("", "\\", "x", "|")
"""Hatchings that distinguish gates of the same tint."""
HATCHED = {DEAD: "/", IDLE: ".", NO_CIRCUIT: "-"}
"""Hatchings of the grey states."""
SYMBOLS = {
    "first_fitted": "star-open",
    "first_solved": "star",
    "solution_lost": "x",
    "solved_again": "star-diamond",
    "reading_appears": "circle-open",
    "reading_first_holds": "diamond",
    "reading_last_changes": "diamond-wide",
    "reading_lost": "x-thin",
    "family_settles": "square",
    "unit_dies": "triangle-down",
    "unit_revives": "triangle-up",
    "finished": "line-ns",
    "out_of_steps": "line-ew",
}
"""The marker of each event."""
BAND_TINTS = (TINTS["OR"], TINTS["AND"], TINTS["NAND"], TINTS["XOR"], *MORE_TINTS)
"""The fills of shares, from the most frequent on."""
NOT_COMPUTING = "not_computing"
MOST_SHARES, LEAST_SHARE_NAMED = 7, 4.0
"""The most shares that are drawn separately; names beside the picture need at least so many per
cent.
"""
MOST_LOSS_TICKS = 7
"""The most labels that have room beside the panel of losses."""
STEP_TITLE = "step (logarithmic, from 0)"
LEFT, RIGHT = 70, 20
"""Pixels beside the panels, without the labels of the bands."""
PANEL = 130
"""Pixels of the panel of losses, and of the panel of rows."""
BAND, BETWEEN = 30, 26
"""Pixels of a band, and between two panels."""
ROOM = 10
"""Pixels of a stretch beside its name."""
APART = 0.3
"""The distance between markers of the same step, in bands."""
MOVING_GAP = 70
"""Pixels between the moving weights and the moving plane."""
PLANE_HEIGHT, WEIGHT_HEIGHT = 330, 20
"""Pixels of the moving plane, and of one of the weights."""
SHARES_HEIGHT, NAME_WIDTH = 340, 110.0
"""Pixels of the stacked shares, and of a name beside them."""
UNDER_BANDS, UNDER_SHARES = 50, 50
"""Pixels from the axis of steps down to the legend."""
MOST_CHARACTERS, FEWEST_CHARACTERS = 40, 8
"""A longer name is cut in a label, and left out if not even the fewest characters have room; the
hover text has the whole name.
"""
SLIDER_CHARACTER = 7.6
"""Pixels of a character of a slider's text."""
SURFACE_POINTS, BOUNDARY_POINTS = 31, 61
"""Grid points per side of the plane at each checkpoint, and of the boundary of smooth units."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive steps with the same state, from start up to but not including end."""

    start: int
    end: int
    state: str


@dataclass(frozen=True)
class Look:
    """The look of a state in a band and in the legend.

    Attributes:
        name: its whole name, in the legend.
        number: replaces the name in narrow stretches, and precedes it in the legend; "" if it is
            not needed.
        written: its text in stretches; by default the name.
    """

    name: str
    tint: str
    hatching: str
    number: str = ""
    written: str = ""

    def text(self, width: float) -> str:
        """The text in a stretch of so many pixels."""
        name = _cut_to(self.written or self.name)
        if text_width(name) + ROOM <= width:
            return name
        return self.number if text_width(self.number) + ROOM / 2 <= width else ""


def trajectory_figure(trajectory: Trajectory, *, kind: TrajectoryKind = "gates") -> go.Figure:
    """A `population.trajectory`: what happened at which step, or what moved.

    Args:
        kind: "gates" draws loss and rows over the steps, and below them a band for each hidden
            unit, coloured by its gate and named; "plane" the decision boundary moving (of two
            inputs), "weights" every weight, "moving" both, with a slider over the checkpoints.

    Raises:
        XorMiError: a kind that does not exist, or the plane of a network without exactly two
            inputs.
    """
    give = "what population.trajectory returns"
    require_kind("trajectory", trajectory, Trajectory, give=give)
    if not isinstance(kind, str) or kind not in TRAJECTORY_KINDS:
        raise unknown("kind of picture", kind, TRAJECTORY_KINDS, where="a trajectory is drawn as")
    if kind == "gates":
        return _gates_figure(trajectory)
    return _moving_figure(trajectory, kind)


# loss, rows and bands


def _at_step(step: int) -> float:
    """The place of a step on the axis.

    >>> _at_step(0), _at_step(9)
    (0.0, 1.0)
    """
    return log10(step + 1)


def _unit_stretches(trajectory: Trajectory, unit: int) -> list[Stretch]:
    """The band of one hidden unit: its states over the steps."""
    n_rows = _n_rows(trajectory)
    return _stretches([_unit_state(at_step, unit, n_rows) for at_step in trajectory.by_step])


def _family_stretches(trajectory: Trajectory) -> list[Stretch]:
    """The band of the whole network: the family of its circuit, or why it has none."""
    n_rows = _n_rows(trajectory)
    states: list[str] = []
    for at_step in trajectory.by_step:
        is_solved = at_step.n_rows_right == n_rows
        without = NO_CIRCUIT if is_solved else UNSOLVED
        states.append(at_step.family if any(at_step.gates) and is_solved else without)
    return _stretches(states)


def _hidden_names(trajectory: Trajectory) -> list[str]:
    """'h0.0' and so on, in the order of a moment's gates."""
    return [unit.name for unit in _any_network(trajectory).units]


def _any_network(trajectory: Trajectory) -> HookedMLP:
    """One of the networks, for the shape and the conventions that all share."""
    return next(iter(trajectory.networks.values()))


def _n_rows(trajectory: Trajectory) -> int:
    return 2 ** _any_network(trajectory).cfg.d_in


def _drawn_moments(trajectory: Trajectory) -> list[Moment]:
    """The checkpoints up to the end of training; the first one after it stands at the end, where
    nothing changes any more.
    """
    drawn: list[Moment] = []
    for moment in trajectory.moments:
        drawn.append(moment._replace(step=min(moment.step, trajectory.n_steps)))
        if moment.step >= trajectory.n_steps:
            break
    return drawn


def _unit_state(at_step: AtStep, unit: int, n_rows: int) -> str:
    """The state of one hidden unit at a step: its gate, or why it has none."""
    if at_step.dead[unit]:
        return DEAD
    if at_step.gates[unit]:
        return at_step.gates[unit]
    return NO_CIRCUIT if at_step.n_rows_right == n_rows else UNSOLVED


def _stretches(states: Sequence[str]) -> list[Stretch]:
    """States at every step -> stretches without a gap, each ending where the next begins.

    >>> _stretches(["not solved", "OR", "OR"])
    [Stretch(start=0, end=1, state='not solved'), Stretch(start=1, end=3, state='OR')]
    """
    found: list[Stretch] = []
    start = 0
    for state, same in groupby(states):
        end = start + len(list(same))
        found.append(Stretch(start, end, state))
        start = end
    return found


def _gates_figure(trajectory: Trajectory) -> go.Figure:
    """Loss, rows decided right, and below them the bands, over one axis of steps."""
    names = _hidden_names(trajectory)
    bands = [*names, "circuit"]
    heights = [PANEL, PANEL, BAND * len(bands)]
    figure = make_subplots(
        rows=3,
        shared_xaxes=True,
        row_heights=heights,
        vertical_spacing=BETWEEN / (sum(heights) + 2 * BETWEEN),
    )
    _add_losses(figure, trajectory)
    _add_rows_right(figure, trajectory)
    _add_bands(figure, trajectory, bands)
    _add_events(figure, trajectory, bands)
    return _gates_layout(figure, trajectory, bands, heights)


def _add_losses(figure: go.Figure, trajectory: Trajectory) -> None:
    steps = list(range(len(trajectory.losses)))
    losses = go.Scatter(
        x=[_at_step(step) for step in steps],
        y=list(trajectory.losses),
        mode="lines",
        line={"color": POSITIVE, "width": 2},
        hovertext=[
            f"step {step}: loss {number_text(loss, decimals=4)}"
            for step, loss in zip(steps, trajectory.losses, strict=True)
        ],
        hoverinfo="text",
        name="loss",
        showlegend=False,
    )
    figure.add_trace(losses, row=1, col=1)


def _add_rows_right(figure: go.Figure, trajectory: Trajectory) -> None:
    """The share of rows decided right at every step: of all, or trained and held out."""
    by_step, n_rows = trajectory.by_step, _n_rows(trajectory)
    counts = {"rows": ([one.n_rows_right for one in by_step], n_rows)}
    n_trained = len(set(trajectory.trained_rows))
    if n_trained < n_rows:
        trained = [one.n_trained_right for one in by_step]
        held_out = [one.n_held_out_right for one in by_step]
        counts = {
            "rows trained on": (trained, n_trained),
            "rows held out": (held_out, n_rows - n_trained),
        }
    looks = cycle([(POSITIVE, "solid"), (NEGATIVE, "dash")])
    for (name, (right, of)), (colour, dash) in zip(counts.items(), looks, strict=False):
        share = go.Scatter(
            x=[_at_step(step) for step in range(len(right))],
            y=[100 * n / of for n in right],
            customdata=[(step, n, of) for step, n in enumerate(right)],
            mode="lines",
            # the decisions stay until the next step
            line={"color": colour, "width": 2, "dash": dash, "shape": "hv"},
            hovertemplate=(
                f"step %{{customdata[0]}}: %{{customdata[1]}} of %{{customdata[2]}} {name} right"
                "<extra></extra>"
            ),
            name=f"{name}, decided right",
            legendgroup="rows",
            showlegend=len(counts) > 1,
        )
        figure.add_trace(share, row=2, col=1)


def _add_bands(figure: go.Figure, trajectory: Trajectory, bands: Sequence[str]) -> None:
    """Add one trace per gate, with all its stretches, so that the legend names each once."""
    of_units = [_unit_stretches(trajectory, unit) for unit in range(len(bands) - 1)]
    width = _pixels(trajectory)
    for state, look in _looks(of_units, width).items():
        placed: list[tuple[int, Stretch]] = []
        for unit, band in enumerate(of_units):
            placed += [(unit, stretch) for stretch in band if stretch.state == state]
        texts = [look.text(width(stretch)) for _, stretch in placed]
        figure.add_trace(_band_trace(placed, texts, look, bands), row=3, col=1)
    for stretch in _family_stretches(trajectory):
        look = _look_of(stretch.state, "#ffffff")
        text = _cut_to(stretch.state, width(stretch) - ROOM)
        band = _band_trace([(len(bands) - 1, stretch)], [text], look, bands)
        figure.add_trace(band.update(showlegend=False), row=3, col=1)


def _pixels(trajectory: Trajectory) -> Callable[[Stretch], float]:
    """The width of a stretch in pixels."""
    pixels = (WIDTH - LEFT - RIGHT) / _at_step(trajectory.n_steps + 1)
    return lambda stretch: pixels * (_at_step(stretch.end) - _at_step(stretch.start))


def _looks(
    bands: Sequence[Sequence[Stretch]], width: Callable[[Stretch], float]
) -> dict[str, Look]:
    """State -> its look: gates in the order in which they appear, then the other states.

    A gate whose name is too long for one of its stretches has a number, which the legend repeats.
    """
    stretches = list(chain.from_iterable(bands))
    different = list(dict.fromkeys(stretch.state for stretch in stretches))
    gates = [state for state in different if state not in LEGEND]
    more = ((tint, hatching) for hatching, tint in cycle(product(MORE_HATCHINGS, MORE_TINTS)))
    looks: dict[str, Look] = {}
    for number, gate in enumerate(gates, start=1):
        tint, hatching = (TINTS[gate], "") if gate in TINTS else next(more)
        needed = text_width(_cut_to(gate)) + ROOM
        is_narrow = any(width(one) < needed for one in stretches if one.state == gate)
        looks[gate] = Look(gate, tint, hatching, f"{number}" if is_narrow else "")
    without = [state for state in LEGEND if state in different]
    return looks | {state: _look_of(state, WITHOUT_TINT) for state in without}


def _look_of(state: str, tint: str) -> Look:
    """The look of a state that is not a gate, or of a family in this tint."""
    if state in LEGEND:
        return Look(LEGEND[state], WITHOUT_TINT, HATCHED.get(state, ""), written=state)
    return Look(state, tint, "")


def _band_trace(
    placed: Sequence[tuple[int, Stretch]], texts: Sequence[str], look: Look, bands: Sequence[str]
) -> go.Bar:
    """The stretches of one state as bars that lie on the axis of steps.

    Args:
        placed: each with the number of its band.
    """
    starts = [_at_step(stretch.start) for _, stretch in placed]
    lengths = [_at_step(stretch.end) - _at_step(stretch.start) for _, stretch in placed]
    hovers: list[str] = []
    for band, stretch in placed:
        until = "" if stretch.end == stretch.start + 1 else f" to {stretch.end - 1}"
        hovers.append(f"{bands[band]}, step {stretch.start}{until}: {as_written(look.name)}")
    pattern = {"shape": look.hatching, "fgcolor": "#999999", "size": 6}
    number = f"{look.number}: " if look.number else ""
    return go.Bar(
        y=[band for band, _ in placed],
        base=starts,
        x=lengths,
        customdata=[(stretch.start, stretch.end) for _, stretch in placed],
        orientation="h",
        width=0.86,
        marker={
            "color": look.tint,
            "line": {"color": "#777777", "width": 0.8},
            "pattern": pattern if look.hatching else None,
        },
        text=[as_written(text) for text in texts],
        textposition="inside",
        insidetextanchor="middle",
        insidetextfont={"color": INK, "size": 12},
        textangle=0,
        constraintext="none",
        hovertext=hovers,
        hoverinfo="text",
        name=as_written(number + _cut_to(look.name)),
    )


def _cut_to(name: str, width: float | None = None) -> str:
    """A name, cut to the room of a label; "" if there is too little room for any part of it.

    >>> _cut_to("OR"), len(_cut_to("x" * 100))
    ('OR', 40)
    >>> _cut_to("OR & ~AND", 65.0), _cut_to("OR & ~AND", 20.0)
    ('OR & ~...', '')
    """
    most = MOST_CHARACTERS if width is None else min(MOST_CHARACTERS, int(width / CHARACTER_WIDTH))
    if len(name) <= most:
        return name
    return f"{name[: most - 3]}..." if most >= FEWEST_CHARACTERS else ""


def _add_events(figure: go.Figure, trajectory: Trajectory, bands: Sequence[str]) -> None:
    """Add a line at each step with an event, and a marker on the band that it happened to."""
    for step in sorted({one.step for one in trajectory.happened}):
        figure.add_shape(
            type="line",
            xref="x",
            yref="paper",
            x0=_at_step(step),
            x1=_at_step(step),
            y0=0,
            y1=1,
            line={"color": INK, "width": 1.2, "dash": "dot"},
            opacity=0.6,
        )
    for event, happened in _placed_events(trajectory, bands).items():
        markers = go.Scatter(
            x=[_at_step(one.step) for one, _ in happened],
            y=[place for _, place in happened],
            customdata=[one.step for one, _ in happened],
            mode="markers",
            marker={
                "symbol": SYMBOLS[event],
                "size": 9,
                "color": INK,
                "line": {"color": INK, "width": 1.5},
            },
            hovertext=[_event_text(one) for one, _ in happened],
            hoverinfo="text",
            name=in_words(event),
            legendgroup="events",
        )
        figure.add_trace(markers, row=3, col=1)


def _placed_events(
    trajectory: Trajectory, bands: Sequence[str]
) -> dict[str, list[tuple[Event, float]]]:
    """Event -> each time that it happened, with the height of its marker.

    Markers of one step on one band stand one above the other.
    """
    together: dict[tuple[int, int], list[Event]] = {}
    for one in trajectory.happened:
        band = bands.index(one.unit) if one.unit else len(bands) - 1
        together.setdefault((one.step, band), []).append(one)
    placed: dict[str, list[tuple[Event, float]]] = {event: [] for event in EVENTS}
    for (_, band), events in together.items():
        for number, one in enumerate(events):
            place = band + APART * (number - (len(events) - 1) / 2)
            placed[one.event].append((one, place))
    return {event: happened for event, happened in placed.items() if happened}


def _event_text(event: Event) -> str:
    """'step 131, h0.1: reading first holds, NOR (before: XNOR)'."""
    where = f", {event.unit}" if event.unit else ""
    text = f"step {event.step}{where}: {in_words(event.event)}"
    if event.after:
        text += f", {_cut_to(event.after)}"
    if event.before:
        text += f" (before: {_cut_to(event.before)})"
    return as_written(text)


def _step_ticks(last: int) -> list[int]:
    """0, 1, 3, 10, 30, ... up to the last step.

    >>> _step_ticks(213)
    [0, 1, 3, 10, 30, 100, 213]
    """
    ticks = [0]
    tick = 1
    while tick < last:
        ticks.append(tick)
        tick = 3 * tick if str(tick)[0] == "1" else 10 * tick // 3
    # of two labels that would touch, only one is written
    far = 0.06 * _at_step(last)
    kept = [tick for tick in ticks if tick == 0 or _at_step(last) - _at_step(tick) > far]
    return [*kept, last] if last else kept


def _step_axis(last: int) -> dict[str, Any]:
    """The axis of steps, up to the last one."""
    ticks = _step_ticks(last)
    edge = 0.01 * _at_step(last + 1)
    return {
        "tickvals": [_at_step(tick) for tick in ticks],
        "ticktext": [str(tick) for tick in ticks],
        "range": [-edge, _at_step(last + 1) + edge],
    }


def _loss_axis(losses: Sequence[float]) -> dict[str, Any]:
    """The axis of losses, logarithmic if all are above 0, with round labels that have room.

    Losses that hardly differ have a linear axis from 0, so that it is not stretched over rounding.

    >>> _loss_axis([0.7, 0.05])["tickvals"]
    [0.05, 0.1, 0.2, 0.5]
    >>> _loss_axis([1.5, 1e-9])["tickvals"]
    [1e-08, 1e-06, 0.0001, 0.01, 1.0]
    >>> _loss_axis([0.5, 0.5 + 1e-9])["range"]
    [0, 0.6]
    """
    least, most = min(losses), max(losses)
    axis: dict[str, Any] = {"title": "loss", "type": "log" if least > 0 else "linear"}
    if not (least > 0 and most < inf and most > 3 * least):
        is_level = most < inf and most - least <= ROUNDING * max(abs(most), abs(least))
        return axis | (
            {"type": "linear", "range": [0, round(1.2 * most, 6) or 1.0]} if is_level else {}
        )
    low, high = floor(log10(least)), ceil(log10(most))
    ticks = [float(f"{digit}e{power}") for power in range(low, high + 1) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if least <= tick <= most]
    if len(ticks) > MOST_LOSS_TICKS:
        apart = ceil((high - low) / MOST_LOSS_TICKS)
        ticks = [float(f"1e{power}") for power in range(low, high + 1) if power % apart == 0]
        ticks = [tick for tick in ticks if least <= tick <= most]
    return axis | {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _gates_layout(
    figure: go.Figure, trajectory: Trajectory, bands: Sequence[str], heights: Sequence[int]
) -> go.Figure:
    figure.update_xaxes(_step_axis(trajectory.n_steps))
    figure.update_xaxes(title=STEP_TITLE, row=3, col=1)
    figure.update_yaxes(_loss_axis(trajectory.losses), row=1, col=1)
    figure.update_yaxes(title="% of rows right", range=[-6, 106], row=2, col=1)
    figure.update_yaxes(
        tickvals=list(range(len(bands))),
        ticktext=list(bands),
        # the first unit on top
        range=[len(bands) - 0.5, -0.5],
        ticks="",
        # room between the names and the bands
        ticksuffix=" ",
        row=3,
        col=1,
    )
    traces: tuple[BaseTraceType, ...] = figure.data  # pyright: ignore[reportAssignmentType]
    names = [str(trace["name"]) for trace in traces if trace["showlegend"] is not False]
    inside = sum(heights) + 2 * BETWEEN
    title = as_written(str(trajectory).splitlines()[0])
    titled(figure, title, inside=inside, below=UNDER_BANDS + legend_height(names))
    return figure.update_layout(
        barmode="overlay",
        margin={"l": LEFT, "r": RIGHT},
        legend=legend_below(names, under=UNDER_BANDS, inside=inside),
    )


# what moves


def _moving_figure(trajectory: Trajectory, kind: TrajectoryKind) -> go.Figure:
    """The weights, the plane or both at each checkpoint, with a slider."""
    n_inputs = _any_network(trajectory).cfg.d_in
    if kind == "plane" and n_inputs != 2:
        raise XorMiError(
            f"the plane of a network with {count_text(n_inputs, 'input')} cannot be drawn; give "
            "kind='weights' or kind='gates'"
        )
    moments = _drawn_moments(trajectory)
    networks = list(trajectory.networks.values())[: len(moments)]
    has_weights, has_plane = kind != "plane", kind != "weights" and n_inputs == 2
    bars = _weight_frames(networks) if has_weights else [[] for _ in networks]
    planes = [_plane_of(network) for network in networks] if has_plane else []
    titles = ["weights"] * has_weights + ["plane"] * has_plane
    figure = make_subplots(cols=len(titles))
    moving = [[*of_step] for of_step in bars]
    heights = [WEIGHT_HEIGHT * len(_weights_by_edge(networks[0])) + 20] * has_weights
    heights += [PLANE_HEIGHT] * has_plane
    inside = sum(heights) + MOVING_GAP * (len(heights) - 1)
    if has_plane:
        scales = [own_score_scale(network, network.rows()) for network in networks]
        bound = largest_distance(planes, scale=max(scales))
        for traces, plane, network in zip(moving, planes, networks, strict=True):
            edge = geometry.boundary(network, n_points=BOUNDARY_POINTS, progress=False)
            # beside the plane, which is the lowest panel
            beside = {"y": 0, "yanchor": "bottom", "lenmode": "pixels", "len": PLANE_HEIGHT}
            decided = decisions(network)[:, 0].tolist()
            traces += plane_traces(plane, edge, decided, bound, bar=beside)
    start = len(moving) - 1
    n_left = len(moving[0]) if len(titles) == 1 else 1
    add_frames(figure, moving, n_still=0, shown_first=start, n_left=n_left)
    if has_weights:
        _label_weights(figure, networks)
    if has_plane:
        label_plane(figure, planes[0], column=len(titles))
    _below_each_other(figure, heights)
    labels = [_moment_text(moment, 2**n_inputs, WIDTH - 100) for moment in moments]
    title = _how_it_went(trajectory, moments)
    with_slider(figure, title, labels, active=start, width=WIDTH, height=inside + 100)
    titled(figure, title, inside=inside, below=170)
    figure.update_layout(margin={"l": 110 if has_weights else 60, "r": 30})
    return _with_button(figure)


def _below_each_other(figure: go.Figure, heights: Sequence[int]) -> None:
    """Put the panels, which plotly has side by side for their slider, one below the other.

    Args:
        heights: pixels of each, from the top down.
    """
    inside = sum(heights) + MOVING_GAP * (len(heights) - 1)
    high = inside
    for number, height in enumerate(heights):
        suffix = f"{number + 1}" if number else ""
        figure.layout[f"xaxis{suffix}"].domain = [0, 1]
        figure.layout[f"yaxis{suffix}"].domain = [max(0.0, (high - height) / inside), high / inside]
        high -= height + MOVING_GAP


def _how_it_went(trajectory: Trajectory, moments: Sequence[Moment]) -> str:
    """How many rows were decided right at the start and at the end."""
    of, first, last = _n_rows(trajectory), moments[0], moments[-1]
    return (
        f"{_subject(trajectory)}: {first.n_rows_right} of {of} rows right at step {first.step}, "
        f"{last.n_rows_right} of {of} at step {last.step}; every weight as it moves"
    )


def _with_button(figure: go.Figure) -> go.Figure:
    """Add a button beside the slider that plays the steps."""
    each = {
        "mode": "immediate",
        "fromcurrent": False,
        "frame": {"duration": 250, "redraw": True},
        "transition": {"duration": 0},
    }
    play = {"method": "animate", "args": [None, each], "label": "play"}
    stop_each = each | {"frame": {"duration": 0, "redraw": True}}
    stop = {"method": "animate", "args": [[None], stop_each], "label": "stop"}
    buttons = {
        "type": "buttons",
        "direction": "left",
        "buttons": [play, stop],
        "showactive": False,
        "x": 0,
        "xanchor": "right",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 75, "r": 12},
    }
    return figure.update_layout(updatemenus=[buttons])


def _subject(trajectory: Trajectory) -> str:
    """'XOR, seed 29'."""
    return f"{as_written(_cut_to(trajectory.target.name))}, seed {trajectory.seed}"


def _moment_text(moment: Moment, n_rows: int, width: int) -> str:
    """The slider's text at a checkpoint: step, loss, right rows, and gates if there are any.

    Args:
        width: pixels of the text; gates without room are replaced by dots.
    """
    loss = number_text(moment.loss, decimals=3)
    text = f"step {moment.step}: loss {loss}, {moment.n_rows_right} of {n_rows} rows right"
    for number, gate in enumerate(moment.gates if any(moment.gates) else ()):
        longer = f"{text}{', ' if number else '; '}{_cut_to(gate)}"
        if len(longer) * SLIDER_CHARACTER > width:
            text += ", ..."
            break
        text = longer
    return as_written(text)


def _weights_by_edge(model: HookedMLP) -> dict[str, float]:
    """Every weight by its edge, and every bias by its unit, in the order of `weight_symbols`.

    >>> from xor_mi.handmade import textbook_xor
    >>> list(_weights_by_edge(textbook_xor()).items())[:3]
    [('x0->h0.0', 1.0), ('x1->h0.0', 1.0), ('x0->h0.1', 1.0)]
    """
    named: dict[str, float] = {}
    n_layers = len(model.layer_sizes) - 1
    layers = zip(model.sources, model.float64_layers(), strict=True)
    for layer, (sources, (weight, bias)) in enumerate(layers):
        to = [f"h{layer}.{k}" if layer < n_layers - 1 else f"y{k}" for k in range(len(bias))]
        for name, numbers in zip(to, weight.tolist(), strict=True):
            for source, number in zip(sources, numbers, strict=True):
                named[f"{source.name}->{name}"] = number
        for name, number in zip(to, bias.tolist(), strict=True):
            named[f"bias of {name}"] = number
    return named


def _weight_frames(networks: Sequence[HookedMLP]) -> list[Traces]:
    """For each network, a bar for each weight."""
    symbols = list(weight_symbols(networks[0]))
    largest = _largest_weight(networks)
    frames: list[Traces] = []
    for network in networks:
        named = _weights_by_edge(network)
        values = list(named.values())
        bars = go.Bar(
            y=symbols,
            customdata=list(named),
            hovertemplate="%{y}, %{customdata}: %{x:.4g}<extra></extra>",
            x=values,
            orientation="h",
            marker=BAR,
            text=[text_beside(value, largest=largest, signed=True) for value in values],
            textposition="outside",
            cliponaxis=False,
            name="weight",
        )
        frames.append([bars])
    return frames


def _largest_weight(networks: Sequence[HookedMLP]) -> float:
    """The size of the largest weight of all; 1 where all are 0."""
    sizes = [abs(value) for network in networks for value in _weights_by_edge(network).values()]
    return max(sizes) or 1.0


def _label_weights(figure: go.Figure, networks: Sequence[HookedMLP]) -> None:
    reach = 1.45 * _largest_weight(networks)
    figure.update_xaxes(
        title="value of the weight", range=[-reach, reach], zeroline=True, row=1, col=1
    )
    figure.update_yaxes(
        title="weight or bias",
        type="category",
        autorange="reversed",
        dtick=1,
        row=1,
        col=1,
    )


def _plane_of(network: HookedMLP) -> geometry.InputPlane:
    return geometry.input_plane(network, n_points=SURFACE_POINTS, progress=False)


# many networks


def families_figure(table: pd.DataFrame) -> go.Figure:
    """`population.gates_over_time`: the share of each family at each checkpoint, stacked.

    The most frequent families at the end are named, and all others share one area.

    Raises:
        XorMiError: anything but such a table, or an empty table.
    """
    give = "what population.gates_over_time returns"
    require_kind("table", table, pd.DataFrame, give=give)
    by = _counted_column(table, give)
    steps = sorted(table["step"].unique().tolist())
    shares = table.pivot_table(index="step", columns=by, values="share", fill_value=0.0)
    shares = _few(shares.loc[steps])
    figure = go.Figure()
    looks = cycle([(tint, hatching) for hatching in MORE_HATCHINGS for tint in BAND_TINTS])
    below = 0.0
    names: list[str] = []
    for (name, column), (tint, hatching) in zip(shares.items(), looks, strict=False):
        percent = (100 * column).tolist()
        tint = WITHOUT_TINT if name == NOT_COMPUTING else tint
        area = go.Scatter(
            x=[_at_step(step) for step in steps],
            y=percent,
            customdata=steps,
            stackgroup="shares",
            mode="lines",
            line={"width": 1, "color": "#777777"},
            fillcolor=tint,
            fillpattern={"shape": hatching, "fgcolor": "#999999", "bgcolor": tint, "size": 7},
            hovertemplate=f"step %{{customdata}}: %{{y:.1f}} % {_share_name(name)}<extra></extra>",
            name=_share_name(name),
        )
        figure.add_trace(area)
        middle = below + percent[-1] / 2
        below += percent[-1]
        if percent[-1] > LEAST_SHARE_NAMED:
            text = f"{_share_name(name, NAME_WIDTH)}, {percent[-1]:.0f} %"
            names.append(text)
            figure.add_annotation(
                x=1.01,
                xref="paper",
                y=middle,
                text=text,
                showarrow=False,
                xanchor="left",
            )
    figure.update_xaxes(_step_axis(steps[-1]), title=STEP_TITLE)
    figure.update_yaxes(title="% of all networks", range=[0, 100])
    last = shares.iloc[-1]
    most = _share_name(last.idxmax())
    title = (
        f"At step {steps[-1]} most networks are {most}, {100 * last.max():.0f} % "
        f"(by {in_words(by)})"
    )
    entries = [_share_name(name) for name in shares.columns]
    below = UNDER_SHARES + legend_height(entries)
    titled(figure, title, inside=SHARES_HEIGHT, below=below)
    return figure.update_layout(
        margin={"l": 60, "r": 30 + round(label_width(names))},
        legend=legend_below(entries, under=UNDER_SHARES, inside=SHARES_HEIGHT),
    )


def _share_name(name: object, width: float | None = None) -> str:
    """A family as text; a verdict that replaces a family is written in words."""
    return as_written(_cut_to(in_words(str(name)), width))


def _counted_column(table: pd.DataFrame, give: str) -> str:
    """The column that the table counts, beside the columns of steps, numbers and intervals."""
    others = ["step", "n_networks", "share", "ci_low", "ci_high"]
    counted = [str(name) for name in table.columns if name not in others]
    if len(counted) != 1 or not set(others) <= set(table.columns) or table.empty:
        raise XorMiError(f"table is not a table of shares over steps; give {give}")
    return counted[0]


def _few(shares: pd.DataFrame) -> pd.DataFrame:
    """The columns with the largest shares at the end, not solved first, and the others' sum."""
    shares = shares.loc[:, shares.max() > 0]
    order = shares.iloc[-1].sort_values(ascending=False).index.tolist()
    order.sort(key=lambda name: name != NOT_COMPUTING)
    few = shares[order[:MOST_SHARES]].copy()
    if len(order) > MOST_SHARES:
        few["all others"] = shares[order[MOST_SHARES:]].sum(axis=1)
    return few


def event_steps_figure(table: pd.DataFrame) -> go.Figure:
    """`population.trajectories`: at which steps each event happens.

    A box contains the middle half of the times of an event, its whiskers 5 to 95 %; its label says
    how often it happened, and in how many networks.

    Raises:
        XorMiError: anything but such a table, or a table without a line.
    """
    give = "what population.trajectories returns"
    require_kind("table", table, pd.DataFrame, give=give)
    if not {"seed", "event", "step"} <= set(table.columns) or table.empty:
        raise XorMiError(f"table is not a table of events; give {give}")
    n_networks = table["seed"].nunique()
    names: list[str] = []
    figure = go.Figure()
    for event in EVENTS:
        own = table[table["event"] == event]
        if own.empty:
            continue
        there = own["seed"].nunique()
        names.append(f"{in_words(event)}<br>{len(own):,} in {there:,} networks")
        low, first, middle, third, high = own["step"].quantile([0.05, 0.25, 0.5, 0.75, 0.95])
        box = go.Box(
            y=[names[-1]],
            lowerfence=[log10(low + 1)],
            q1=[log10(first + 1)],
            median=[log10(middle + 1)],
            q3=[log10(third + 1)],
            upperfence=[log10(high + 1)],
            orientation="h",
            fillcolor=BAR["color"],
            line={"color": INK, "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_trace(box)
        marks = go.Scatter(
            x=[log10(step + 1) for step in (low, first, middle, third, high)],
            y=[names[-1]] * 5,
            mode="markers",
            marker={"size": 8, "opacity": 0},
            customdata=[low, first, middle, third, high],
            hovertext=_quantile_texts([low, first, middle, third, high]),
            hoverinfo="text",
            showlegend=False,
        )
        figure.add_trace(marks)
    figure.update_xaxes(_step_axis(int(table["step"].max())), title=STEP_TITLE)
    figure.update_yaxes(type="category", autorange="reversed", ticksuffix=" ")
    title = f"{_most_frequent(table)} (of {n_networks:,}; box: the middle half; 5 to 95 %)"
    titled(figure, title, inside=48 * len(names), below=60)
    return figure.update_layout(margin={"l": 190, "r": 20})


def _most_frequent(table: pd.DataFrame) -> str:
    """In how many networks all rows come right, and by which step in half of them."""
    counts: dict[str, int] = {}
    for event in EVENTS:
        counts[event] = table.loc[table["event"] == event, "seed"].nunique()
    event = "first_solved" if counts["first_solved"] else max(counts, key=lambda one: counts[one])
    middle = table.loc[table["event"] == event, "step"].median()
    what = in_words(event).capitalize()
    return f"{what}: {counts[event]:,} networks, half of the times by step {middle:,.0f}"


def _quantile_texts(steps: Sequence[float]) -> list[str]:
    """The hover texts of the 5, 25, 50, 75 and 95 % quantiles of the times of an event."""
    shares = ("5 %", "a quarter", "half", "three quarters", "95 %")
    return [
        f"{share} of them by step {step:,.0f}" for share, step in zip(shares, steps, strict=True)
    ]
