"""tables of `handmade` -> what the weights must satisfy, and how far each may move."""

import textwrap
from math import isfinite

import pandas as pd
import plotly.graph_objects as go

from xor_mi.errors import XorMiError
from xor_mi.plots.style import BAR, INK, NEGATIVE, layout


def conditions_figure(frame: pd.DataFrame) -> go.Figure:
    """`handmade.conditions`: one bar per inequality, its slack; a failed one points left, is hatched and says so.

    Raises:
        XorMiError: a table without conditions.
    """
    _require(frame, ["row", "inequality", "slack", "satisfied"], "handmade.conditions(model)")
    lines = frame.to_dict("records")
    several = frame["place"].nunique() > 1
    names = [f"{line['row']}{' ' + line['place'] if several else ''}: " + textwrap.shorten(line["inequality"], 70) for line in lines]
    figure = go.Figure()
    for satisfied, word, fill in ((True, "holds", {"color": "#bbbbbb"}), (False, "fails", {"color": "#ffffff"})):
        chosen = [k for k, line in enumerate(lines) if line["satisfied"] == satisfied]
        pattern = {} if satisfied else {"pattern": {"shape": "/", "fgcolor": NEGATIVE, "size": 6}}
        marker = {"line": {"color": INK if satisfied else NEGATIVE, "width": 1.5}} | fill | pattern
        text = [f"{lines[k]['slack']:+.3g} {word}" for k in chosen]
        bars = {"x": [lines[k]["slack"] for k in chosen], "y": chosen, "text": text, "hovertext": [lines[k]["inequality"] for k in chosen]}
        figure.add_trace(go.Bar(**bars, orientation="h", marker=marker, name=word, textposition="outside", cliponaxis=False))
    reach = max((abs(line["slack"]) for line in lines), default=0) or 1.0
    low, high = frame["slack"].min(), frame["slack"].max()
    x_range = [min(low, 0) - 0.5 * reach * (low < 0), max(high, 0) + 0.4 * reach * (high >= 0)]
    figure.update_xaxes(title="slack: distance to the other side (units of the output before its activation)", zeroline=True, range=x_range)
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, autorange="reversed", title="input: inequality")
    n = int(frame["satisfied"].sum())
    title = f"Conditions on the weights: {n} of {len(frame)} hold"
    return layout(figure, title, width=900, height=max(260, 42 * len(lines) + 140)).update_layout(barmode="overlay", margin={"b": 60})


def slack_figure(frame: pd.DataFrame) -> go.Figure:
    """`handmade.slack_to_flip`: the interval in which each weight may move alone, its value, and the input that flips at each end.

    An arrow stands for an interval without an end.

    Raises:
        XorMiError: a table without intervals.
    """
    _require(frame, ["parameter", "value", "lower", "upper", "row_lower", "row_upper"], "handmade.slack_to_flip(model)")
    finite = [x for column in ("value", "lower", "upper") for x in frame[column] if isfinite(x)] or [0.0]
    margin = 0.22 * (max(finite) - min(finite) or 1.0)
    low, high = min(finite) - margin, max(finite) + margin
    figure = go.Figure()
    for k, line in enumerate(frame.to_dict("records")):
        for side, end, row, limit in ((-1, line["lower"], line["row_lower"], low), (1, line["upper"], line["row_upper"], high)):
            position = "middle right" if side > 0 else "middle left"
            if isfinite(end):
                symbol, label, x = "line-ns", row, end
            else:
                symbol, label, x = "triangle-right" if side > 0 else "triangle-left", "", limit - side * 0.2 * margin
            size = {"size": [0, 12], "symbol": symbol, "line": {"color": INK, "width": 2}, "color": INK}
            trace = {"x": [line["value"], x], "y": [k, k], "text": ["", label], "textposition": position, "hoverinfo": "x"}
            figure.add_trace(go.Scatter(**trace, mode="lines+markers+text", marker=size, line={"color": INK, "width": 2}, showlegend=False))
    marker = {"symbol": "circle", "size": 10, "color": BAR["color"], "line": BAR["line"] | {"width": 2}}
    text = [f"slack {slack:.3g}" for slack in frame["slack"]]
    values = {"x": frame["value"].tolist(), "y": list(range(len(frame))), "hovertext": text, "hoverinfo": "text+x"}
    figure.add_trace(go.Scatter(**values, mode="markers", marker=marker, showlegend=False))
    figure.update_xaxes(title="value of the weight (beyond an end, the input named there is decided otherwise)", range=[low, high])
    figure.update_yaxes(tickvals=list(range(len(frame))), ticktext=frame["parameter"].tolist(), autorange="reversed", title="parameter")
    title = "How far each weight may move alone before a decision changes (circle: its value)"
    return layout(figure, title, width=860, height=max(280, 34 * len(frame) + 150)).update_layout(margin={"b": 60})


def _require(frame: pd.DataFrame, columns: list[str], source: str) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing or frame.empty:
        what = f"no column {', '.join(missing)}" if missing else "no line"
        raise XorMiError(f"this table has {what}; give the one that {source} returns")
