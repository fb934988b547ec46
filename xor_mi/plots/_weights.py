"""findings of `margins` -> what the weights must satisfy, and how far each may move."""

import textwrap
from math import isinf

import plotly.graph_objects as go

from xor_mi.errors import XorMiError, require_kind
from xor_mi.margins import Condition, Conditions, Slack, WeightSlack
from xor_mi.plots._style import BAR, HOLDS_OR_FAILS, INK, NEGATIVE, layout

LONGEST_NAME = 70
"""A longer inequality is cut on the axis; hovering shows it whole."""


def conditions_figure(conditions: Conditions) -> go.Figure:
    """`margins.conditions`: one bar per inequality, its slack.

    A failed one points left, is hatched and says so.

    Raises:
        XorMiError: something else, or no conditions.
    """
    require_kind(
        "conditions", conditions, Conditions, give="what margins.conditions(model) returns"
    )
    if not len(conditions):
        raise XorMiError("no conditions to draw; give what margins.conditions(model) returns")
    figure = go.Figure([_bars(conditions, satisfied=True), _bars(conditions, satisfied=False)])
    slacks = [condition.slack for condition in conditions]
    size = max(map(abs, slacks)) or 1.0
    low, high = min(slacks), max(slacks)
    # room for the text beside the bars
    left = min(low, 0) - (0.5 * size if low < 0 else 0)
    right = max(high, 0) + (0.4 * size if high >= 0 else 0)
    figure.update_xaxes(
        title="slack: distance to the other side (units of the output before its activation)",
        zeroline=True,
        range=[left, right],
    )
    figure.update_yaxes(
        tickvals=list(range(len(conditions))),
        ticktext=_names(conditions),
        autorange="reversed",
        title="input: inequality",
    )
    title = f"Conditions on the weights: {conditions.n_satisfied} of {len(conditions)} hold"
    layout(figure, title, width=900, height=max(260, 42 * len(conditions) + 140))
    return figure.update_layout(barmode="overlay", margin={"b": 60})


def _bars(conditions: Conditions, *, satisfied: bool) -> go.Bar:
    """The bars of the inequalities that hold, or of those that fail."""
    look = HOLDS_OR_FAILS[satisfied]
    shown: dict[int, Condition] = {}
    for number, condition in enumerate(conditions):
        if condition.satisfied == satisfied:
            shown[number] = condition
    marker = {"line": {"color": look.edge, "width": 1.5}, "color": look.fill}
    if look.hatching:
        marker["pattern"] = {"shape": look.hatching, "fgcolor": NEGATIVE, "size": 6}
    return go.Bar(
        x=[condition.slack for condition in shown.values()],
        y=list(shown),
        text=[f"{condition.slack:+.3g} {look.word}" for condition in shown.values()],
        hovertext=[condition.inequality for condition in shown.values()],
        width=0.8,
        orientation="h",
        marker=marker,
        name=look.word,
        textposition="outside",
        cliponaxis=False,
    )


def _names(conditions: Conditions) -> list[str]:
    """Row, place where there are several, and inequality, for the axis."""
    several_places = len({condition.place for condition in conditions}) > 1
    names: list[str] = []
    for condition in conditions:
        of = f"{condition.row} {condition.place}" if several_places else condition.row
        names.append(f"{of}: {textwrap.shorten(condition.inequality, LONGEST_NAME)}")
    return names


def slack_figure(slack: Slack) -> go.Figure:
    """`margins.slack_to_flip`: the interval in which each weight may move alone, and its value.

    The input that flips is named at each end.

    An arrow stands for an interval that does not end in the picture; where it ends is written
    beside it.

    Raises:
        XorMiError: something else, or no weights.
    """
    require_kind("slack", slack, Slack, give="what margins.slack_to_flip(model) returns")
    if not len(slack):
        raise XorMiError("no slack to draw; give what margins.slack_to_flip(model) returns")
    low, high, margin = _reach(slack)
    figure = go.Figure()
    for number, weight in enumerate(slack):
        figure.add_trace(_interval_end(weight, number, low, margin, is_upper=False))
        figure.add_trace(_interval_end(weight, number, high, margin, is_upper=True))
    figure.add_trace(_own_values(slack))
    figure.update_xaxes(
        title="value of the weight (beyond an end, the input named there is decided otherwise)",
        range=[low, high],
    )
    figure.update_yaxes(
        tickvals=list(range(len(slack))),
        ticktext=[weight.parameter for weight in slack],
        autorange="reversed",
        title="parameter",
    )
    title = "How far each weight may move alone before a decision changes (circle: its value)"
    layout(figure, title, width=860, height=max(280, 34 * len(slack) + 150))
    return figure.update_layout(margin={"b": 60})


def _reach(slack: Slack) -> tuple[float, float, float]:
    """The lowest and highest value drawn, and the margin within them.

    Drawn are all values, and the ends that are not too far from them.
    """
    values = [weight.value for weight in slack]
    # an end further away than this would press all the others together
    far = 1.5 * (max(map(abs, values)) or 1.0)
    lowers = [weight.lower for weight in slack]
    uppers = [weight.upper for weight in slack]
    drawn = [x for x in (*values, *lowers, *uppers) if min(values) - far <= x <= max(values) + far]
    margin = 0.25 * (max(drawn) - min(drawn) or 1.0)
    return min(drawn) - margin, max(drawn) + margin, margin


def _interval_end(
    weight: WeightSlack, number: int, limit: float, margin: float, *, is_upper: bool
) -> go.Scatter:
    """From the weight's value to one end of its interval, or to an arrow at the picture's limit."""
    end, row = (weight.upper, weight.row_upper) if is_upper else (weight.lower, weight.row_lower)
    side = 1 if is_upper else -1
    # end < limit above the weight's value, end > limit below it
    is_drawn = side * end < side * limit
    if is_drawn:
        x, label, symbol = end, row, "line-ns"
    else:
        symbol = "triangle-right" if is_upper else "triangle-left"
        # an arrow of an end that is somewhere leaves room to say where
        room = 0.1 if isinf(end) else 0.7
        x = limit - side * margin * room
        label = "" if isinf(end) else f"{row} at {end:.4g}"
    return go.Scatter(
        x=[weight.value, x],
        y=[number, number],
        text=["", label],
        hoverinfo="x",
        textposition="middle right" if is_upper else "middle left",
        marker={
            "size": [0, 12],
            "symbol": symbol,
            "line": {"color": INK, "width": 2},
            "color": INK,
        },
        line={"color": INK, "width": 2},
        showlegend=False,
        mode="lines+markers+text",
    )


def _own_values(slack: Slack) -> go.Scatter:
    marker = {
        "symbol": "circle",
        "size": 10,
        "color": BAR["color"],
        "line": {"color": INK, "width": 2},
    }
    return go.Scatter(
        x=[weight.value for weight in slack],
        y=list(range(len(slack))),
        hovertext=[f"slack {weight.slack:.3g}" for weight in slack],
        hoverinfo="text+x",
        mode="markers",
        marker=marker,
        showlegend=False,
    )
