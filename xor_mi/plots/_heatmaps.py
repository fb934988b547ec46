"""numbers per input, unit or pair -> labelled heatmaps.

Activations, comparison, contributions, patching, ablation, interchange.
"""

from typing import TypeVar

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from xor_mi.circuits import Circuit
from xor_mi.errors import require_kind
from xor_mi.graph import layers_of
from xor_mi.interventions import AblationSweep, Attribution, PatchSweep
from xor_mi.model import stage_of_hook
from xor_mi.plots._style import POSITIVE, Marks, as_written, heatmap
from xor_mi.terms import Contributions, DifferenceExplanation
from xor_mi.values import Activations, Comparison

Measured = TypeVar("Measured", PatchSweep, AblationSweep, Attribution)
"""A finding in one metric or several."""


def activations_heatmap(values: Activations) -> go.Figure:
    """Every value at every hook point, one line per input row."""
    require_kind("values", values, Activations, give="what activations(model) returns")
    table = values.wide_frame()
    return heatmap(
        table.to_numpy(float).tolist(),
        columns=list(table.columns),
        rows=list(table.index),
        unit="value",
        title="Activations on every input",
        row_title="input",
        column_title="unit and hook",
    )


def comparison_heatmap(comparison: Comparison) -> go.Figure:
    """Two inputs side by side: every value on each, and their difference."""
    require_kind("comparison", comparison, Comparison, give="what compare(model, a, b) returns")
    table = comparison.frame()
    shown_columns = ["value_a", "value_b", "difference"]
    hooks = table["hook"].map(stage_of_hook)
    return heatmap(
        [table[column].tolist() for column in shown_columns],
        columns=(table["unit"] + " " + hooks).tolist(),
        rows=[comparison.a, comparison.b, "difference"],
        unit="value",
        title=f"Inputs {comparison.a} and {comparison.b} side by side",
        row_title="input",
        column_title="unit and hook",
    )


def contributions_heatmap(explained: Contributions | DifferenceExplanation) -> go.Figure:
    """The term each edge adds.

    Of `contributions`: per input row, the terms of each unit, its bias and their sum, the
    pre-activation. Of `explain_difference`: per unit, the terms by which its pre-activation
    changes, their sum, and what passes its activation function.
    """
    require_kind(
        "explained",
        explained,
        (Contributions, DifferenceExplanation),
        give="what contributions or explain_difference returns",
    )
    if isinstance(explained, DifferenceExplanation):
        return _difference_heatmap(explained)
    columns = _term_columns(explained)
    return heatmap(
        _term_values(explained),
        columns=columns,
        rows=list(explained.rows),
        unit="pre-<br>activation",
        title="Contributions: weight x value along each edge, and their sum (pre-activation)",
        # narrower cells keep the picture on a page
        column_width=58,
        row_title="input",
        column_title="unit, and what adds to it",
    )


def _term_columns(explained: Contributions) -> list[str]:
    """Per unit: each source, the bias, the sum."""
    units = layers_of(explained.layer_sizes)[1:]
    columns: list[str] = []
    for sources, targets in zip(explained.sources, units, strict=True):
        adds = [*(source.name for source in sources), "bias", "sum"]
        for target in targets:
            columns += [f"{target.name}<br>{name}" for name in adds]
    return columns


def _term_values(explained: Contributions) -> list[list[float]]:
    """The numbers under `_term_columns`, one line per input row."""
    lines: list[list[float]] = [[] for _ in explained.rows]
    for terms, bias, pre in zip(explained.terms, explained.biases, explained.pre, strict=True):
        # terms [row, unit, source], bias [unit], pre [row, unit]
        for j in range(len(bias)):
            for r, line in enumerate(lines):
                line += [*terms[r, j].tolist(), bias[j].item(), pre[r, j].item()]
    return lines


def _difference_heatmap(explained: DifferenceExplanation) -> go.Figure:
    edges = explained.edges
    change_of: dict[tuple[str, str], float] = {}
    for edge in edges.to_dict("records"):
        change_of[edge["target"], edge["source"]] = edge["term_change"]
    sources = list(dict.fromkeys(edges["source"]))
    values: list[list[float | None]] = []
    for unit in explained.units.to_dict("records"):
        # a source of another layer has no edge to this unit: an empty cell
        along_edges = [change_of.get((unit["unit"], source)) for source in sources]
        values.append([*along_edges, unit["pre_change"], unit["post_change"]])
    return heatmap(
        values,
        columns=[*(f"via {source}" for source in sources), "sum", "passed on"],
        rows=explained.units["unit"].tolist(),
        unit="change of<br>pre-activation",
        title=f"Change of each value from {explained.a} to {explained.b}, edge by edge",
        row_title="unit",
        column_title="weight x change of source, their sum, the change after activation",
    )


def patching_heatmap(sweep: PatchSweep, *, metric: str | None = None) -> go.Figure:
    """Effect of each patch on a metric; * marks a flipped decision.

    One line per pair (clean -> corrupted), one column per site.

    Args:
        metric: its name; by default the first.
    """
    require_kind("sweep", sweep, PatchSweep, give="what patch_sweep or path_sweep returns")
    sweep = in_metric(sweep, metric)
    marks = None
    if sweep.decided is not None:
        of_clean, of_corrupted = sweep.decided.decisions_before
        before = of_corrupted if sweep.direction == "denoising" else of_clean
        marks = stars(before[:, None] != sweep.decided.decisions_after.T)
    run = "corrupted" if sweep.direction == "denoising" else "clean"
    shown = as_written(sweep.metrics[0])
    of_paths = sweep.coordinates.granularity == "path"
    done = "Path patching" if of_paths else "Patching"
    return heatmap(
        sweep.effect.T.tolist(),  # [site, pair], and a line of the picture is a pair
        columns=list(map(as_written, sweep.site_names)),
        rows=list(map(as_written, sweep.pair_names)),
        unit=f"effect<br>({shown})",
        title=f"{done}, {sweep.direction}: change of the {run} run's {shown}{legend_of(marks)}",
        marks=marks,
        row_title="clean -> corrupted",
        column_title="path" if of_paths else "patched",
    )


def ablation_heatmap(sweep: AblationSweep, *, metric: str | None = None) -> go.Figure:
    """Change of a metric by each ablation, on each input row; * marks a flipped decision.

    Args:
        metric: its name; by default the first.
    """
    require_kind("sweep", sweep, AblationSweep, give="what ablation_sweep returns")
    sweep = in_metric(sweep, metric)
    marks = None
    if sweep.decided is not None:
        marks = stars(sweep.decided.decisions_after != sweep.decided.decisions_before)
    shown = as_written(sweep.metrics[0])
    return heatmap(
        sweep.effect.tolist(),
        columns=list(map(as_written, sweep.rows)),
        rows=list(map(as_written, sweep.site_names)),
        unit=f"effect<br>({shown})",
        title=f"Ablation, {sweep.value}: change of the {shown}{legend_of(marks)}",
        marks=marks,
        row_title="ablated together",
        column_title="input",
    )


def in_metric(finding: Measured, metric: str | None) -> Measured:
    """A finding in the metric of this name, or in its first."""
    return finding if metric is None else finding[metric]


def stars(flipped: Tensor) -> Marks:
    """A star behind each number where a decision flips."""
    return np.where(flipped.numpy(force=True), " *", "").tolist()


def legend_of(marks: Marks | None) -> str:
    """What the stars mean, if there are any."""
    return " (* = decision flips)" if marks and any(map(any, marks)) else ""


def interchange_matrix(circuit: Circuit) -> go.Figure:
    """Each unit tried in every unit's role; its own role is framed.

    The numbers say on how many (base, source) pairs the network decides as predicted.

    Raises:
        XorMiError: a circuit without evidence.
    """
    require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    table = circuit.interchange_matrix()
    n = circuit.primary.n_interchange if circuit.primary else 0
    figure = heatmap(
        table.to_numpy(float).tolist(),
        columns=list(table.columns),
        rows=list(table.index),
        unit="pairs as<br>predicted",
        title=f"Interchange: of {n} (base, source) pairs, how many come out as the role predicts",
        column_width=110,
        in_panels=False,
        row_title="unit taken from the source",
        column_title="role it is scored in (its own is framed)",
    )
    counts = table.map(lambda count: f"{count} of {n}").to_numpy().tolist()
    figure.update_traces(text=counts, zmin=0, zmax=n, colorscale=[[0, "#ffffff"], [1, POSITIVE]])
    for k in range(len(table)):
        figure.add_shape(
            type="rect",
            x0=k - 0.5,
            x1=k + 0.5,
            y0=k - 0.5,
            y1=k + 0.5,
            line={"width": 4},
            fillcolor="rgba(0,0,0,0)",
            opacity=1,
        )
    return figure


def attribution_heatmap(attribution: Attribution, *, metric: str | None = None) -> go.Figure:
    """One method's scores in a metric.

    One line per pair (clean -> corrupted), one column per site.

    Args:
        metric: its name; by default the first.
    """
    require_kind("attribution", attribution, Attribution, give="what attribute returns")
    attribution = in_metric(attribution, metric)
    shown = as_written(attribution.metrics[0])
    return heatmap(
        attribution.scores[0].T.tolist(),
        columns=[as_written(site.name) for site in attribution.sites],
        rows=list(map(as_written, attribution.pair_names)),
        unit=f"score<br>({shown})",
        title=f"Attribution by {attribution.method}, in the {shown}",
        row_title="clean -> corrupted",
        column_title="site",
    )
