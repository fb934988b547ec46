"""findings of `margins` -> the conditions on the weights, and how far each weight may move."""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite

import plotly.graph_objects as go

from xor_mi.errors import XorMiError, require_kind
from xor_mi.finding import ROUNDING, number_text
from xor_mi.margins import Condition, Conditions, Slack, WeightSlack
from xor_mi.plots._style import (
    BAR,
    CHARACTER_WIDTH,
    HOLDS_OR_FAILS,
    INK,
    NEGATIVE,
    WIDTH,
    label_width,
    listed,
    reach,
    text_beside,
    text_width,
    titled,
    wrapped,
)

TEXT_LINE, BAR_HEIGHT, BAR_GAP = 16, 20, 16
"""Pixels of a line of an inequality, of the bar below it, and of the gap to the next."""
MOST_SYMBOLS = 12
"""The most weights of an inequality whose parameters the hover text names."""
MOST_NEAREST = 4
"""The most inputs nearest to flipping that a title names."""
SYMBOL = re.compile(r"[a-z]\d+(?:_\d+)*|[a-z]\b")
"""The pattern of a weight's symbol in an inequality."""

SLACK_HEIGHT = 30
"""Pixels of a weight."""
SLACK_DOMAIN = (0.33, 0.72)
"""The range in which intervals are drawn; beside it stand the inputs that flip at each end."""
END_CHARACTERS = 22
"""Characters that have room beside an interval."""
HOVER_WIDTH = 560
"""Pixels of a line of hover text."""


def conditions_figure(conditions: Conditions) -> go.Figure:
    """`margins.conditions`: one bar per inequality, its slack, with the inequality above it.

    The bar of a failed condition points left, is hatched and is marked "fails".

    Raises:
        XorMiError: anything but conditions, or no conditions.
    """
    require_kind(
        "conditions", conditions, Conditions, give="what margins.conditions(model) returns"
    )
    if not len(conditions):
        raise XorMiError(
            "conditions is empty, so there is nothing to draw; give what "
            "margins.conditions(model) returns"
        )
    names = _places(conditions)
    left = 40 + round(label_width(names))
    # the distance of bars depends on the longest inequality
    room = int((WIDTH - left - 30) / CHARACTER_WIDTH)
    texts = [textwrap.wrap(condition.inequality, room) for condition in conditions]
    n_lines = max(map(len, texts))
    slot = n_lines * TEXT_LINE + BAR_HEIGHT + BAR_GAP
    size = _size_of(conditions)
    bars = [
        _bars(conditions, slot=slot, size=size, satisfied=True),
        _bars(conditions, slot=slot, size=size, satisfied=False),
    ]
    figure = go.Figure(bars)
    inequalities: list[dict[str, object]] = [
        {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": number - 0.5 + (BAR_GAP / 2 + (n_lines - len(lines)) * TEXT_LINE) / slot,
            "yanchor": "top",
            "text": "<br>".join(lines),
            "xshift": 6,
            "align": "left",
            "showarrow": False,
            "borderpad": 0,
            # the line of zero ends at the text
            "bgcolor": "#ffffff",
        }
        for number, lines in enumerate(texts)
    ]
    figure.update_layout(annotations=inequalities)
    figure.update_xaxes(
        title="slack: how far the left side is from flipping<br>"
        "(units of the output before its activation function)",
        zeroline=True,
        range=_slack_range(conditions, size, WIDTH - left - 20),
    )
    figure.update_yaxes(
        # beside the middle of each bar
        tickvals=[number + 0.5 - (BAR_HEIGHT + BAR_GAP) / 2 / slot for number in range(len(names))],
        ticktext=names,
        ticks="",
        range=[len(conditions) - 0.5, -0.5],
        title="input",
    )
    inside = slot * len(conditions)
    titled(figure, _how_many_hold(conditions, size), inside=inside, below=80)
    return figure.update_layout(barmode="overlay", margin={"l": left, "r": 20}, showlegend=False)


def _slack_range(conditions: Conditions, size: float, width: int) -> list[float]:
    """The axis of slacks, with room for the text beside the bars.

    Args:
        width: pixels of the axis.
    """
    room = {-1: 0.02, 1: 0.02}
    for condition in conditions:
        text = f"{text_beside(condition.slack, largest=size, signed=True)} fails"
        side = -1 if condition.slack < 0 else 1
        room[side] = max(room[side], (text_width(text) + 12) / width)
    slacks = [condition.slack for condition in conditions]
    # if all are rounding, the axis has the length of the compared numbers
    floor = ROUNDING * size
    lowest = min(*slacks, 0.0)
    highest = max(*slacks, size if max(map(abs, slacks)) <= floor else 0.0)
    span = (highest - lowest) / (1 - room[-1] - room[1])
    return [lowest - room[-1] * span, highest + room[1] * span]


def _size_of(conditions: Conditions) -> float:
    """The size of the largest slack; if all are rounding, the size of the compared numbers."""
    compared = [abs(condition.value) + abs(condition.slack) for condition in conditions]
    scale = max(*compared, conditions.scale)
    return reach([condition.slack for condition in conditions], scale=scale)


def _how_many_hold(conditions: Conditions, size: float) -> str:
    """How many conditions hold, and the input that is nearest to flipping or most wrong."""
    n, of = conditions.n_satisfied, len(conditions)
    target = conditions.target.name
    if n < of:
        worst = min(conditions, key=lambda condition: condition.slack)
        by = number_text(-worst.slack, scale=size)
        # on the threshold
        much = f"by {by}, the most" if float(by) else "only by rounding"
        return f"{n} of {of} conditions for {target} hold; {worst.row} fails {much}"
    least = min(condition.slack for condition in conditions)
    near = [one.row for one in conditions if one.slack <= least + ROUNDING * size]
    rows = list(dict.fromkeys(near))
    named = listed(rows) if len(rows) <= MOST_NEAREST else f"{len(rows)} inputs"
    is_are = "is" if len(rows) == 1 else "are"
    away = number_text(least, scale=size)
    return (
        f"All {of} conditions for {target} hold; {named} {is_are} nearest to flipping, {away} away"
    )


def _bars(conditions: Conditions, *, slot: int, size: float, satisfied: bool) -> go.Bar:
    """The bars of the inequalities that hold, or of those that fail.

    Args:
        slot: pixels from one bar to the next.
    """
    look = HOLDS_OR_FAILS[satisfied]
    shown: dict[int, Condition] = {}
    for number, condition in enumerate(conditions):
        if condition.satisfied == satisfied:
            shown[number] = condition
    marker = {"line": {"color": look.edge, "width": 1.5}, "color": look.fill}
    if look.hatching:
        marker["pattern"] = {"shape": look.hatching, "fgcolor": NEGATIVE, "size": 6}
    texts: list[str] = []
    hovers: list[str] = []
    for condition in shown.values():
        slack = text_beside(condition.slack, largest=size, signed=True)
        texts.append(f"{slack} {look.word}")
        hovers.append(_condition_sentence(condition, slack, conditions.symbols))
    return go.Bar(
        x=[condition.slack for condition in shown.values()],
        y=list(shown),
        text=texts,
        hovertext=hovers,
        hoverinfo="text",
        width=BAR_HEIGHT / slot,
        # under the inequality
        offset=0.5 - (BAR_HEIGHT + BAR_GAP / 2) / slot,
        orientation="h",
        marker=marker,
        name=look.word,
        textposition="outside",
        cliponaxis=False,
    )


def _condition_sentence(condition: Condition, slack: str, symbols: dict[str, str]) -> str:
    """The inequality in symbols and numbers, and the parameter of each symbol."""
    word = "holds" if condition.satisfied else "fails"
    said = [
        f"on {condition.row}, {condition.place}: {condition.inequality} {word}, slack {slack}",
        f"in numbers: {condition.numbers}",
    ]
    found = dict.fromkeys(SYMBOL.findall(condition.inequality))
    weights = [f"{name} is {symbols[name]}" for name in found if name in symbols]
    if weights:
        more = len(weights) - MOST_SYMBOLS
        rest = f", and {more} more" if more > 0 else ""
        said.append(f"{', '.join(weights[:MOST_SYMBOLS])}{rest}")
    return "<br>".join(wrapped(line, HOVER_WIDTH) for line in said)


def _places(conditions: Conditions) -> list[str]:
    """The row, and the place if there are several places, for the axis."""
    several_places = len({condition.place for condition in conditions}) > 1
    if not several_places:
        return [condition.row for condition in conditions]
    return [f"{condition.row} {condition.place}" for condition in conditions]


def slack_figure(slack: Slack) -> go.Figure:
    """`margins.slack_to_flip`: the interval in which each weight may move alone, and its value.

    Beside each interval stand the input that flips at its end, and the value there. An arrow marks
    an interval that does not end in the picture.

    Raises:
        XorMiError: anything but slack, or slack without weights.
    """
    require_kind("slack", slack, Slack, give="what margins.slack_to_flip(model) returns")
    if not len(slack):
        raise XorMiError(
            "slack is empty, so there is nothing to draw; give what margins.slack_to_flip(model) "
            "returns"
        )
    reached = _reach(slack)
    names = [_symbol_of(slack, weight) for weight in slack]
    domain = [*SLACK_DOMAIN]
    # a weight without a symbol has a long name
    domain[0] = min(0.5, max(domain[0], (150 + label_width(names)) / (WIDTH - 30)))
    figure = go.Figure([_intervals(slack, reached), _ends(slack, reached), _own_values(slack)])
    figure.update_xaxes(
        title="value of the weight",
        range=[reached.low, reached.high],
        domain=domain,
        nticks=4,
    )
    figure.update_yaxes(
        tickvals=list(range(len(slack))),
        ticktext=names,
        range=[len(slack) - 0.5, -1.2],
    )
    texts: list[dict[str, object]] = [
        {
            "x": domain[0],
            "xref": "paper",
            "xanchor": "right",
            "xshift": -6,
            "y": -0.85,
            "text": "<i>weight</i>",
            "showarrow": False,
            "font": {"size": 11},
        }
    ]
    for number, weight in enumerate(slack):
        for is_upper in (False, True):
            text = _end_text(slack, weight, is_upper=is_upper)
            texts.append(_text_at_end(text, y=float(number), is_upper=is_upper))
    for text, is_upper in (("moved down, flips", False), ("moved up, flips", True)):
        texts.append(_text_at_end(f"<i>{text}</i>", y=-0.85, is_upper=is_upper))
    # added together: plotly checks all annotations at each addition
    figure.update_layout(annotations=texts)
    inside = SLACK_HEIGHT * len(slack) + 20
    titled(figure, _least(slack), inside=inside, below=60)
    return figure.update_layout(margin={"l": 15, "r": 15}, showlegend=False)


@dataclass(frozen=True)
class _Reach:
    """The range of the axis of values.

    Attributes:
        low, high: its ends.
        margin: the strip at both ends for arrows.
    """

    low: float
    high: float
    margin: float

    def shows(self, end: float) -> bool:
        """Whether an end of an interval is in the picture."""
        return self.low < end < self.high


def _reach(slack: Slack) -> _Reach:
    """The axis contains all values, and the ends that are not too far from them."""
    values = [weight.value for weight in slack]
    size = reach(values)
    # an end further away than this would squeeze all others
    far = 1.5 * size
    ends: Iterable[float] = [end for one in slack for end in (one.lower, one.upper)]
    near = [end for end in ends if min(values) - far <= end <= max(values) + far]
    drawn = [*values, *near]
    span = max(drawn) - min(drawn)
    margin = 0.25 * (span if span > ROUNDING * size else size)
    return _Reach(min(drawn) - margin, max(drawn) + margin, margin)


def _size_of_layer(slack: Slack, weight: WeightSlack) -> float:
    """The scale beside which a number of this weight is rounding; 0 if it is unknown."""
    return slack.sizes.get(weight.parameter, 0.0)


def _symbol_of(slack: Slack, weight: WeightSlack) -> str:
    """The symbol of a weight, or its parameter if it has no symbol."""
    return slack.symbols.get(weight.parameter, weight.parameter)


def _least(slack: Slack) -> str:
    """The weight that may move least, the direction, and the row that flips then."""
    least = slack.smallest
    if least.slack == inf:
        but = ", except by rounding" if slack.n_left_out else ""
        return f"Each weight may move alone as far as it likes: no decision changes{but}"
    is_up = least.up <= least.down
    row = least.row_upper if is_up else least.row_lower
    way, by = ("up", least.up) if is_up else ("down", least.down)
    text = number_text(by, scale=_size_of_layer(slack, least))
    flip = "flip" if ", " in row else "flips"
    symbol = _symbol_of(slack, least)
    left_out = "; flips by rounding are left out" if slack.n_left_out else ""
    return f"{symbol} may move least: {text} {way}, then {row} {flip} (circle: its value{left_out})"


def _drawn_end(weight: WeightSlack, reached: _Reach, *, is_upper: bool) -> float:
    """The place where an interval ends in the picture: at its end, or at its arrow."""
    end = weight.upper if is_upper else weight.lower
    if reached.shows(end):
        return end
    side = 1 if is_upper else -1
    limit = reached.high if is_upper else reached.low
    return limit - side * 0.2 * reached.margin


def _intervals(slack: Slack, reached: _Reach) -> go.Scatter:
    """A line for each weight."""
    x: list[float | None] = []
    y: list[float | None] = []
    for number, weight in enumerate(slack):
        x += [_drawn_end(weight, reached, is_upper=upper) for upper in (False, True)]
        y += [number, number]
        # plotly breaks a line at None
        x.append(None)
        y.append(None)
    line = {"color": INK, "width": 2}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name="interval")


def _ends(slack: Slack, reached: _Reach) -> go.Scatter:
    """A stroke where an interval ends, and an arrow where it continues."""
    x: list[float] = []
    y: list[int] = []
    symbols: list[str] = []
    hovers: list[str] = []
    for number, weight in enumerate(slack):
        for is_upper in (False, True):
            end = weight.upper if is_upper else weight.lower
            arrow = "triangle-right" if is_upper else "triangle-left"
            x.append(_drawn_end(weight, reached, is_upper=is_upper))
            y.append(number)
            symbols.append("line-ns" if reached.shows(end) else arrow)
            hovers.append(_slack_sentence(slack, weight))
    marker = {"symbol": symbols, "size": 12, "color": INK, "line": {"color": INK, "width": 2}}
    return go.Scatter(
        x=x, y=y, mode="markers", marker=marker, hovertext=hovers, hoverinfo="text", name="end"
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
        hovertext=[_slack_sentence(slack, weight) for weight in slack],
        hoverinfo="text",
        mode="markers",
        marker=marker,
        name="value",
    )


def _slack_sentence(slack: Slack, weight: WeightSlack) -> str:
    """A weight's two names, its value, and how far it may move in each direction."""
    size = _size_of_layer(slack, weight)
    symbol = _symbol_of(slack, weight)
    named = symbol if symbol == weight.parameter else f"{symbol} ({weight.parameter})"
    ways: list[str] = []
    for way, by, row in (
        ("down", weight.down, weight.row_lower),
        ("up", weight.up, weight.row_upper),
    ):
        if by == inf:
            ways.append(f"{way} as far as it likes")
        else:
            flip = "flip" if ", " in row else "flips"
            ways.append(f"{way} by {number_text(by, scale=size)}, then {row} {flip}")
    value = number_text(weight.value, scale=size)
    return wrapped(f"{named} is {value}; alone it may move {'; '.join(ways)}", HOVER_WIDTH)


def _end_text(slack: Slack, weight: WeightSlack, *, is_upper: bool) -> str:
    """The inputs that flip at an end, as many as there is room for, and the value there."""
    end, row = (weight.upper, weight.row_upper) if is_upper else (weight.lower, weight.row_lower)
    if not isfinite(end):
        return "nothing"
    rows = row.split(", ")
    at = f" at {number_text(end, scale=_size_of_layer(slack, weight))}"
    for n_named in range(len(rows), 0, -1):
        more = f" and {len(rows) - n_named} more" if n_named < len(rows) else ""
        text = f"{', '.join(rows[:n_named])}{more}{at}"
        if len(text) <= END_CHARACTERS:
            return text
    return f"{len(rows)} inputs{at}" if len(rows) > 1 else f"{row}{at}"


def _text_at_end(text: str, *, y: float, is_upper: bool) -> dict[str, object]:
    """To the left or the right of all intervals, in the row of a weight."""
    return {
        "x": 1 if is_upper else 0,
        "xref": "paper",
        "xanchor": "right" if is_upper else "left",
        "y": y,
        "yref": "y",
        "yanchor": "middle",
        "text": text,
        "showarrow": False,
        "font": {"size": 11},
    }
