"""numbers per input, unit or pair -> labelled heatmaps.

Activations, comparison, contributions, patching, ablation, interchange.
"""

import numpy as np
import plotly.graph_objects as go

from xor_mi.circuits import Circuit
from xor_mi.errors import require_kind
from xor_mi.graph import layers_of
from xor_mi.interventions import AblationSweep, Attribution, PatchSweep
from xor_mi.model import stage_of_hook
from xor_mi.plots._style import POSITIVE, heatmap, heatmap_height
from xor_mi.terms import Contributions, DifferenceExplanation
from xor_mi.values import Activations, Comparison


def activations_heatmap(values: Activations) -> go.Figure:
    """Every value at every hook point, one line per input row."""
    require_kind("values", values, Activations, give="what activations(model) returns")
    table = values.wide_frame()
    figure = heatmap(
        table.to_numpy(float).tolist(),
        columns=list(table.columns),
        rows=list(table.index),
        unit="value",
        title="Activations on every input",
    )
    return figure.update_yaxes(title="input").update_xaxes(title="unit and hook")


def comparison_heatmap(comparison: Comparison) -> go.Figure:
    """Two inputs side by side: every value on each, and their difference."""
    require_kind("comparison", comparison, Comparison, give="what compare(model, a, b) returns")
    table = comparison.frame()
    shown_columns = ["value_a", "value_b", "difference"]
    hooks = table["hook"].map(stage_of_hook)
    figure = heatmap(
        [table[column].tolist() for column in shown_columns],
        columns=(table["unit"] + " " + hooks).tolist(),
        rows=[comparison.a, comparison.b, "difference"],
        unit="value",
        title=f"Inputs {comparison.a} and {comparison.b} side by side",
    )
    return figure.update_yaxes(title="input").update_xaxes(title="unit and hook")


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
    figure = heatmap(
        _term_values(explained),
        columns=columns,
        rows=list(explained.rows),
        unit="pre-<br>activation",
        title="Contributions: weight x value along each edge, and their sum (pre-activation)",
    )
    figure.update_yaxes(title="input").update_xaxes(title="unit, and what adds to it")
    # labels of two lines need more room above, and narrower cells keep the picture on a page
    return figure.update_layout(
        width=max(640, 58 * len(columns) + 170),
        height=heatmap_height(len(explained.rows)) + 20,
        margin={"t": 145},
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
    figure = heatmap(
        values,
        columns=[*(f"via {source}" for source in sources), "sum", "passed on"],
        rows=explained.units["unit"].tolist(),
        unit="change of<br>pre-activation",
        title=f"Change of each value from {explained.a} to {explained.b}, edge by edge",
    )
    return figure.update_yaxes(title="unit").update_xaxes(
        title="weight x change of source, their sum, the change after activation"
    )


def patching_heatmap(sweep: PatchSweep) -> go.Figure:
    """Effect of each patch on the first metric; * marks a flipped decision.

    One line per pair (clean -> corrupted), one column per site.
    """
    require_kind("sweep", sweep, PatchSweep, give="what patch_sweep or path_sweep returns")
    names = list(sweep.site_names)
    # iterating goes pair by pair, and then site by site
    stars = [" *" if effect.flips else "" for effect in sweep]
    marks = [stars[p * len(names) : (p + 1) * len(names)] for p in range(len(sweep.pairs))]
    run = "corrupted" if sweep.direction == "denoising" else "clean"
    metric = sweep.metrics[0]
    legend = " (* = decision flips)" if any(stars) else ""
    figure = heatmap(
        sweep.effect.T.tolist(),  # [site, pair], and a line of the picture is a pair
        columns=names,
        rows=[f"{clean} -> {corrupted}" for clean, corrupted in sweep.pairs],
        unit=f"effect<br>({metric})",
        title=f"Patching, {sweep.direction}: change of the {run} run's {metric}{legend}",
        marks=marks,
    )
    figure.update_yaxes(title="clean -> corrupted").update_xaxes(title="patched")
    return figure.update_layout(width=max(620, 90 * len(names) + 260))


def ablation_heatmap(sweep: AblationSweep) -> go.Figure:
    """Change of the metric by each ablation, on each input row; * marks a flipped decision."""
    require_kind("sweep", sweep, AblationSweep, give="what ablation_sweep returns")
    marks = None
    if sweep.decided is not None:
        flipped = sweep.decided.decisions_after != sweep.decided.decisions_before
        marks = np.where(flipped.numpy(), " *", "").tolist()
    legend = " (* = decision flips)" if marks else ""
    figure = heatmap(
        sweep.effect.tolist(),
        columns=list(sweep.rows),
        rows=list(sweep.site_names),
        unit=f"effect<br>({sweep.metrics[0]})",
        title=f"Ablation, {sweep.value}: change of the {sweep.metrics[0]}{legend}",
        marks=marks,
    )
    return figure.update_yaxes(title="ablated together").update_xaxes(title="input")


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
    figure.update_yaxes(title="unit taken from the source")
    figure.update_xaxes(title="role it is scored in (its own is framed)")
    return figure.update_layout(width=max(680, 110 * len(table) + 240))


def attribution_heatmap(attribution: Attribution) -> go.Figure:
    """One method's scores in the first metric.

    One line per pair (clean -> corrupted), one column per site.
    """
    require_kind("attribution", attribution, Attribution, give="what attribute returns")
    metric = attribution.metrics[0]
    names = [site.name for site in attribution.sites]
    figure = heatmap(
        attribution.scores[0].T.tolist(),
        columns=names,
        rows=[f"{clean} -> {corrupted}" for clean, corrupted in attribution.pairs],
        unit=f"score<br>({metric})",
        title=f"Attribution by {attribution.method}, in the {metric}",
    )
    figure.update_yaxes(title="clean -> corrupted").update_xaxes(title="site")
    return figure.update_layout(width=max(620, 90 * len(names) + 260))
