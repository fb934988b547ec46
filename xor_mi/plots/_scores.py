"""scores and shares of one network -> bars, one per thing that was scored."""

from collections.abc import Sequence

import plotly.graph_objects as go

from xor_mi.circuits import ControlRates
from xor_mi.errors import require_kind
from xor_mi.gate_scan import GateScan
from xor_mi.interventions import InterchangeAccuracy, MethodScores
from xor_mi.plots._style import BAR, as_written, bars_height, interval_bars, layout


def interchange_accuracy_bars(accuracy: InterchangeAccuracy) -> go.Figure:
    """How often network and algorithm decide alike: one bar per variable, and one for all."""
    require_kind(
        "accuracy", accuracy, InterchangeAccuracy, give="what interchange_accuracy returns"
    )
    table = accuracy.frame()
    written = [
        f"{agreed} of {runs}"
        for agreed, runs in zip(table["n_agreed"], table["n_runs"], strict=True)
    ]
    names = [as_written(name) for name in table["what"]]
    figure = share_bars(names, table["accuracy"].tolist(), written)
    figure.update_xaxes(title="% of interchanges decided as the algorithm does")
    figure.update_yaxes(title="variable")
    return layout(figure, "Interchange accuracy", height=bars_height(len(table)))


def method_scores_bars(scores: MethodScores) -> go.Figure:
    """`score_methods`: how far each attribution method is from exact patching.

    A method that is not for this model has no bar and says why.
    """
    require_kind("scores", scores, MethodScores, give="what score_methods returns")
    table = scores.frame()
    several = table["metric"].nunique() > 1
    names = table["method"] + (" (" + table["metric"].map(as_written) + ")" if several else "")
    written = [
        as_written(line["why_not"]) or f"{line['mean_abs_error']:.3g}"
        for line in table.to_dict("records")
    ]
    bars = go.Bar(
        y=names,
        x=table["mean_abs_error"],
        orientation="h",
        marker=BAR,
        text=written,
        textposition="outside",
        cliponaxis=False,
    )
    figure = go.Figure(bars)
    figure.update_xaxes(title="mean absolute error (units of the metric)", rangemode="tozero")
    figure.update_yaxes(title="method", type="category", autorange="reversed")
    title = "Attribution methods against exact patching"
    return layout(figure, title, width=860, height=bars_height(len(table)))


def control_rates_figure(rates: ControlRates) -> go.Figure:
    """`control_rates`: how often gates are named where there are none, with 95 % intervals."""
    require_kind("rates", rates, ControlRates, give="what control_rates returns")
    table = rates.frame()
    written = [f"{k} of {n}" for k, n in zip(table["n_positive"], table["n"], strict=True)]
    figure = share_bars(table["control"].tolist(), table["rate"].tolist(), written)
    percent = 100 * table[["rate", "ci_low", "ci_high"]]
    figure.update_traces(error_x=interval_bars(percent, "rate"))
    figure.update_xaxes(title="% that are given gates")
    figure.update_yaxes(title="control")
    title = "How often gates are named where there are none (95% intervals)"
    return layout(figure, title, width=860, height=bars_height(len(table)))


def gate_scan_figure(scan: GateScan) -> go.Figure:
    """`scan_gates`: how many units separate each gate of the features, the most frequent first.

    A unit with several cuts counts for the gate of each. The title says how often any gate is
    separated by chance.
    """
    require_kind("scan", scan, GateScan, give="what scan_gates returns")
    n_units = scan.separating()["formula"].value_counts(sort=True)
    bars = go.Bar(
        y=list(map(as_written, n_units.index)),
        x=n_units.tolist(),
        orientation="h",
        marker=BAR,
        text=n_units.tolist(),
    )
    figure = go.Figure(bars)
    is_few = n_units.max() < 10 if len(n_units) else True
    figure.update_xaxes(title="units", rangemode="tozero", dtick=1 if is_few else None)
    figure.update_yaxes(title="gate", type="category", autorange="reversed")
    title = (
        f"Gates of {', '.join(map(as_written, scan.features))} that units separate "
        f"({scan.control_rate:.1%} separate one by chance)"
    )
    return layout(figure, title, width=860, height=bars_height(len(n_units)))


def share_bars(
    names: Sequence[str], shares: Sequence[float | None], written: Sequence[str]
) -> go.Figure:
    """Shares from 0 to 1 as bars in per cent, the first one on top, with a text in each."""
    percent = [None if share is None else 100 * share for share in shares]
    bars = go.Bar(
        y=list(names),
        x=percent,
        orientation="h",
        marker=BAR,
        text=list(written),
        textposition="auto",
        insidetextanchor="start",
    )
    figure = go.Figure(bars)
    figure.update_xaxes(range=[0, 103])
    return figure.update_yaxes(type="category", autorange="reversed")
