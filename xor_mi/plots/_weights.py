"""tables of `handmade` -> what the weights must satisfy, and how far each may move."""

import textwrap
from math import isinf

import pandas as pd
import plotly.graph_objects as go

from xor_mi.errors import XorMiError
from xor_mi.plots._style import BAR, INK, NEGATIVE, layout


def conditions_figure(frame: pd.DataFrame) -> go.Figure:
    """`handmade.conditions`: one bar per inequality, its slack; a failed one points left, is
    hatched and says so.

    Raises:
        XorMiError: a table without conditions.
    """
    _require(frame, ["row", "inequality", "slack", "satisfied"], "handmade.conditions(model)")
    lines = frame.to_dict("records")
    several = frame["place"].nunique() > 1
    names = [
        f"{line['row']}{' ' + line['place'] if several else ''}: "
        + textwrap.shorten(line["inequality"], 70)
        for line in lines
    ]
    figure = go.Figure()
    for satisfied, word, fill in (
        (True, "holds", {"color": "#bbbbbb"}),
        (False, "fails", {"color": "#ffffff"}),
    ):
        chosen = [k for k, line in enumerate(lines) if line["satisfied"] == satisfied]
        pattern = {} if satisfied else {"pattern": {"shape": "/", "fgcolor": NEGATIVE, "size": 6}}
        marker = {"line": {"color": INK if satisfied else NEGATIVE, "width": 1.5}} | fill | pattern
        text = [f"{lines[k]['slack']:+.3g} {word}" for k in chosen]
        bars = {
            "x": [lines[k]["slack"] for k in chosen],
            "y": chosen,
            "text": text,
            "hovertext": [lines[k]["inequality"] for k in chosen],
        }
        figure.add_trace(
            go.Bar(
                **bars,
                width=0.8,
                orientation="h",
                marker=marker,
                name=word,
                textposition="outside",
                cliponaxis=False,
            )
        )
    reach = max((abs(line["slack"]) for line in lines), default=0) or 1.0
    low, high = frame["slack"].min(), frame["slack"].max()
    x_range = [min(low, 0) - 0.5 * reach * (low < 0), max(high, 0) + 0.4 * reach * (high >= 0)]
    figure.update_xaxes(
        title="slack: distance to the other side (units of the output before its activation)",
        zeroline=True,
        range=x_range,
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        autorange="reversed",
        title="input: inequality",
    )
    n = int(frame["satisfied"].sum())
    title = f"Conditions on the weights: {n} of {len(frame)} hold"
    return layout(figure, title, width=900, height=max(260, 42 * len(lines) + 140)).update_layout(
        barmode="overlay", margin={"b": 60}
    )


def slack_figure(frame: pd.DataFrame) -> go.Figure:
    """`handmade.slack_to_flip`: the interval in which each weight may move alone, its value, and
    the input that flips at each end.

    An arrow stands for an interval that does not end in the picture; where it ends is written
    beside it.

    Raises:
        XorMiError: a table without intervals.
    """
    _require(
        frame,
        ["parameter", "value", "lower", "upper", "row_lower", "row_upper"],
        "handmade.slack_to_flip(model)",
    )
    values = frame["value"]
    reach = 1.5 * (values.abs().max() or 1.0)
    ends = [
        x
        for column in ("value", "lower", "upper")
        for x in frame[column]
        if values.min() - reach <= x <= values.max() + reach
    ]
    margin = 0.25 * (max(ends) - min(ends) or 1.0)
    low, high = min(ends) - margin, max(ends) + margin
    figure = go.Figure()
    for k, line in enumerate(frame.to_dict("records")):
        for side, end, row in (
            (-1, line["lower"], line["row_lower"]),
            (1, line["upper"], line["row_upper"]),
        ):
            inside = low < end < high
            x = (
                end
                if inside
                else (high if side > 0 else low) - side * (0.1 if isinf(end) else 0.7) * margin
            )
            arrow = "triangle-right" if side > 0 else "triangle-left"
            label = row if inside else "" if isinf(end) else f"{row} at {end:.4g}"
            size = {
                "size": [0, 12],
                "symbol": "line-ns" if inside else arrow,
                "line": {"color": INK, "width": 2},
                "color": INK,
            }
            trace = {"x": [line["value"], x], "y": [k, k], "text": ["", label], "hoverinfo": "x"}
            position = {"textposition": "middle right" if side > 0 else "middle left"}
            look = {"marker": size, "line": {"color": INK, "width": 2}, "showlegend": False}
            figure.add_trace(go.Scatter(**trace, **position, **look, mode="lines+markers+text"))
    marker = {
        "symbol": "circle",
        "size": 10,
        "color": BAR["color"],
        "line": BAR["line"] | {"width": 2},
    }
    text = [f"slack {slack:.3g}" for slack in frame["slack"]]
    points = {
        "x": frame["value"].tolist(),
        "y": list(range(len(frame))),
        "hovertext": text,
        "hoverinfo": "text+x",
    }
    figure.add_trace(go.Scatter(**points, mode="markers", marker=marker, showlegend=False))
    figure.update_xaxes(
        title="value of the weight (beyond an end, the input named there is decided otherwise)",
        range=[low, high],
    )
    figure.update_yaxes(
        tickvals=list(range(len(frame))),
        ticktext=frame["parameter"].tolist(),
        autorange="reversed",
        title="parameter",
    )
    title = "How far each weight may move alone before a decision changes (circle: its value)"
    return layout(figure, title, width=860, height=max(280, 34 * len(frame) + 150)).update_layout(
        margin={"b": 60}
    )


def _require(frame: pd.DataFrame, columns: list[str], source: str) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing or frame.empty:
        what = f"no column {', '.join(missing)}" if missing else "no line"
        raise XorMiError(f"this table has {what}; give the one that {source} returns")
