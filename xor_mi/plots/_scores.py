"""scores and shares of one network -> bars, one per thing that was scored."""

from collections.abc import Sequence
from math import isnan

import pandas as pd
import plotly.graph_objects as go

from xor_mi.circuits import ControlRates
from xor_mi.errors import require_kind
from xor_mi.finding import ROUNDING, count_text, number_text
from xor_mi.gate_scan import GateScan
from xor_mi.interventions import InterchangeAccuracy, MethodScores
from xor_mi.plots._style import (
    BAR,
    CONTROL_HATCHING,
    WIDTH,
    as_written,
    bars_height,
    interval_bars,
    label_width,
    layout,
    listed,
    reach,
    text_beside,
    wrapped,
)

EXACT = "exact_patching"
"""The method with which the others are compared."""
MOST_NAMED = 4
"""The most variables whose shares a title has."""
LEAST_BARS = 320
"""Pixels of bars, at any length of their names."""


def interchange_accuracy_bars(accuracy: InterchangeAccuracy) -> go.Figure:
    """How often network and algorithm decide alike: one bar per variable, and one for all.

    Controls are hatched, and stand below.
    """
    require_kind(
        "accuracy", accuracy, InterchangeAccuracy, give="what interchange_accuracy returns"
    )
    table = accuracy.frame()
    table["is_control"] = [name in accuracy.controls for name in table["what"]]
    table["written"] = [
        f"{agreed} of {runs}"
        for agreed, runs in zip(table["n_agreed"], table["n_runs"], strict=True)
    ]
    table["name"] = [as_written(name) for name in table["what"]]
    table = table.sort_values("is_control", kind="stable")
    figure = share_bars(
        table["name"].tolist(), table["accuracy"].tolist(), table["written"].tolist()
    )
    hatchings = ["/" if is_control else "" for is_control in table["is_control"]]
    figure.update_traces(marker_pattern=CONTROL_HATCHING | {"shape": hatchings})
    figure.update_xaxes(title="% of interchanges decided as the algorithm does")
    has_controls = any(table["is_control"])
    figure.update_yaxes(title="variable (hatched: a control)" if has_controls else "variable")
    own, controls = table[~table["is_control"]], table[table["is_control"]]
    said = [f"{line.written} for {line.name}" for line in own.itertuples(index=False)]
    if len(own) > MOST_NAMED:
        worst = own.iloc[int(own["accuracy"].fillna(2).argmin())]
        said = [f"at least {worst['written']} for {worst['name']}"]
    title = f"Network and algorithm decide alike in {listed(said)}"
    if len(controls):
        best = controls.iloc[int(controls["accuracy"].fillna(-1).argmax())]
        title += f"; controls in at most {best['written']}"
    return layout(figure, title, height=bars_height(len(table)))


def method_scores_bars(scores: MethodScores) -> go.Figure:
    """`score_methods`: how far each attribution method is from exact patching.

    A method that cannot be used on this model has no bar; its label gives the reason.
    """
    require_kind("scores", scores, MethodScores, give="what score_methods returns")
    table = scores.frame()
    several = table["metric"].nunique() > 1
    names: list[str] = []
    for method, metric in zip(table["method"], table["metric"], strict=True):
        names.append(f"{method} ({as_written(metric)})" if several else method)
    errors = table["mean_abs_error"].astype(float)
    largest = reach(errors.dropna().tolist(), scale=scores.scale)
    written = ["" if isnan(error) else text_beside(error, largest=largest) for error in errors]
    bars = go.Bar(
        y=names,
        x=errors,
        orientation="h",
        marker=BAR,
        text=written,
        textposition="outside",
        cliponaxis=False,
        hovertext=[
            f"{name} is {text} off on average" for name, text in zip(names, written, strict=True)
        ],
        hoverinfo="text",
    )
    figure = go.Figure(bars)
    left = 40 + round(label_width(names))
    width = max(WIDTH, left + LEAST_BARS)
    for name, why_not in zip(names, table["why_not"], strict=True):
        if why_not:
            figure.add_annotation(
                x=0,
                y=name,
                text=wrapped(as_written(why_not), width - left - 20),
                showarrow=False,
                xanchor="left",
                align="left",
                font={"size": 11},
            )
    # room for the number beside the longest bar
    figure.update_xaxes(title="mean absolute error (units of the metric)", range=[0, 1.2 * largest])
    figure.update_yaxes(title="method", type="category", autorange="reversed")
    layout(figure, _nearest(table, scores.scale), width=width, height=bars_height(len(table)))
    return figure.update_layout(margin={"l": left, "r": 20, "b": 60})


def _nearest(table: pd.DataFrame, scale: float) -> str:
    """The method nearest to exact patching, and its distance.

    Args:
        scale: the size of the measured effects.
    """
    tried = table[(table["method"] != EXACT) & table["mean_abs_error"].notna()]
    if tried.empty:
        return "No attribution method can be used on this model"
    errors = tried["mean_abs_error"].astype(float)
    largest = reach(errors.tolist(), scale=scale)
    first = tried.iloc[int(errors.to_numpy().argmin())]
    # a distance that differs from the smallest only by rounding counts as equal
    is_near = errors <= errors.min() + ROUNDING * largest
    near = tried["method"][is_near & (tried["metric"] == first["metric"])].tolist()
    named = listed(near) if len(near) <= MOST_NAMED else f"{len(near)} methods"
    verb = "is" if len(near) == 1 else "are"
    off = number_text(errors.min(), scale=largest)
    return (
        f"{named} {verb} nearest to exact patching: {off} off on average in the "
        f"{as_written(first['metric'])}"
    )


def control_rates_figure(rates: ControlRates) -> go.Figure:
    """`control_rates`: how often gates are found where there are none, with 95 % intervals."""
    require_kind("rates", rates, ControlRates, give="what control_rates returns")
    table = rates.frame()
    written = [f"{k} of {n}" for k, n in zip(table["n_positive"], table["n"], strict=True)]
    figure = share_bars(table["control"].tolist(), table["rate"].tolist(), written)
    percent = 100 * table[["rate", "ci_low", "ci_high"]]
    figure.update_traces(error_x=interval_bars(percent, "rate"))
    figure.update_xaxes(title="% that are given gates")
    figure.update_yaxes(title="control")
    said = [f"{text} {name}" for name, text in zip(table["control"], written, strict=True)]
    title = f"Gates are found where there are none in {listed(said)} (95 % intervals)"
    return layout(figure, title, height=bars_height(len(table)))


def gate_scan_figure(scan: GateScan) -> go.Figure:
    """`scan_gates`: how many units separate each gate of the features, most frequent gates first.

    A unit with several cuts counts for the gate of each cut. The title says how often a unit
    separates some gate by chance.
    """
    require_kind("scan", scan, GateScan, give="what scan_gates returns")
    n_units = scan.separating()["formula"].value_counts(sort=True)
    bars = go.Bar(
        y=list(map(as_written, n_units.index)),
        x=n_units.tolist(),
        orientation="h",
        marker=BAR,
        text=n_units.tolist(),
        hovertemplate="%{y}: separated by %{x} units<extra></extra>",
    )
    figure = go.Figure(bars)
    is_few = n_units.max() < 10 if len(n_units) else True
    figure.update_xaxes(title="units", rangemode="tozero", dtick=1 if is_few else None)
    figure.update_yaxes(title="gate", type="category", autorange="reversed")
    of = f"gates of {', '.join(map(as_written, scan.features))}"
    found = f"No unit separates one of the {of}"
    if len(n_units):
        most = count_text(int(n_units.iloc[0]), "unit")
        found = f"Of the {of}, {as_written(n_units.index[0])} is separated by most units, {most}"
    title = f"{found} ({scan.control_rate:.1%} separate one by chance)"
    return layout(figure, title, height=bars_height(len(n_units)))


def share_bars(
    names: Sequence[str], shares: Sequence[float | None], written: Sequence[str]
) -> go.Figure:
    """Shares from 0 to 1 as bars in per cent, with texts, the first on top."""
    percent = [None if share is None else 100 * share for share in shares]
    bars = go.Bar(
        y=list(names),
        x=percent,
        orientation="h",
        marker=BAR,
        text=list(written),
        textposition="auto",
        insidetextanchor="start",
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_xaxes(range=[0, 103])
    return figure.update_yaxes(type="category", autorange="reversed")
