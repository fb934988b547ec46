"""numbers per input, unit or pair -> labelled heatmaps: activations, contributions, patching,
ablation, interchange.
"""

import plotly.graph_objects as go

from xor_mi.circuits import Circuit
from xor_mi.graph import layers_of
from xor_mi.interventions import AblationSweep, PatchSweep
from xor_mi.interventions._sites import name_of
from xor_mi.metrics import decision
from xor_mi.plots._style import POSITIVE, heatmap
from xor_mi.terms import Contributions, DifferenceExplanation
from xor_mi.values import Activations


def activations_heatmap(found: Activations) -> go.Figure:
    """Every value at every hook point, one line per input row."""
    table = found.table()
    figure = heatmap(
        table.to_numpy(float).tolist(),
        list(table.columns),
        list(table.index),
        "value",
        "Activations on every input",
    )
    return figure.update_yaxes(title="input").update_xaxes(title="unit and hook")


def contributions_heatmap(found: Contributions | DifferenceExplanation) -> go.Figure:
    """The term each edge adds. Of `contributions`: per input row, the terms of each unit, its bias
    and their sum, the pre-activation. Of `explain_difference`: per unit, the terms by which its
    pre-activation changes, their sum, and what passes its activation function."""
    if isinstance(found, DifferenceExplanation):
        return _difference_heatmap(found)
    columns, values = [], [[] for _ in found.rows]
    units = layers_of(found.layer_sizes)
    for layer, (terms, bias, pre) in enumerate(
        zip(found.terms, found.biases, found.pre, strict=True)
    ):
        for j, target in enumerate(units[layer + 1]):
            columns += [
                f"{target.name}<br>{source}"
                for source in [*(unit.name for unit in units[layer]), "bias", "sum"]
            ]
            for r, line in enumerate(values):
                line += [*terms[r, j].tolist(), bias[j].item(), pre[r, j].item()]
    title = "Contributions: weight x value along each edge, and their sum (pre-activation)"
    figure = heatmap(values, columns, list(found.rows), "pre-<br>activation", title)
    return (
        figure.update_yaxes(title="input")
        .update_xaxes(title="unit, and what adds to it")
        .update_layout(
            width=max(640, 58 * len(columns) + 170),
            height=figure.layout.height + 20,
            margin={"t": 145},
        )
    )


def _difference_heatmap(found: DifferenceExplanation) -> go.Figure:
    terms = {
        (edge["target"], edge["source"]): edge["term_change"]
        for edge in found.edges.to_dict("records")
    }
    sources = list(dict.fromkeys(source for _, source in terms))
    values = [
        [
            *(terms.get((unit["unit"], source)) for source in sources),
            unit["pre_change"],
            unit["post_change"],
        ]
        for unit in found.units.to_dict("records")
    ]
    title = f"Change of each value from {found.a} to {found.b}, edge by edge"
    columns = [*(f"via {source}" for source in sources), "sum", "passed on"]
    figure = heatmap(
        values, columns, found.units["unit"].tolist(), "change of<br>pre-activation", title
    )
    return figure.update_yaxes(title="unit").update_xaxes(
        title="weight x change of source, their sum, the change after activation"
    )


def patching_heatmap(sweep: PatchSweep) -> go.Figure:
    """Effect of each patch on the logit: one line per pair (clean -> corrupted), one column per
    site; * marks a flipped decision.
    """
    pairs = [f"{clean} -> {corrupted}" for clean, corrupted in sweep.labels]
    names = [name_of(together) for together in sweep.sites]
    flips = [effect.flips for effect in sweep]
    marks = [
        [" *" if flips[p * len(names) + s] else "" for s in range(len(names))]
        for p in range(len(pairs))
    ]
    run, metric = "corrupted" if sweep.direction == "denoising" else "clean", sweep.metrics[0]
    title = f"Patching, {sweep.direction}: change of the {run} run's {metric}{' (* = decision flips)' if any(flips) else ''}"
    figure = heatmap(sweep.effect.tolist(), names, pairs, f"effect<br>({metric})", title, marks)
    figure.update_yaxes(title="clean -> corrupted").update_xaxes(title="patched")
    return figure.update_layout(width=max(620, 90 * len(names) + 260))


def ablation_heatmap(sweep: AblationSweep) -> go.Figure:
    """Change of the metric by each ablation, on each input row; * marks a flipped decision."""
    effect = (sweep.after - sweep.before).tolist()
    marks = None
    if sweep.threshold is not None:
        flipped = sweep.decisions != decision(sweep.before, sweep.threshold)
        marks = [[" *" if flips else "" for flips in line] for line in flipped.tolist()]
    title = f"Ablation, {sweep.value}: change of the {sweep.metric}{' (* = decision flips)' if marks else ''}"
    names = [name_of(together) for together in sweep.sites]
    figure = heatmap(effect, list(sweep.rows), names, f"effect<br>({sweep.metric})", title, marks)
    return figure.update_yaxes(title="ablated together").update_xaxes(title="input")


def interchange_matrix(circuit: Circuit) -> go.Figure:
    """Each unit tried in every unit's role: on how many (base, source) pairs the network decides as
    predicted; its own role is framed.

    Raises:
        XorMiError: a circuit without evidence.
    """
    table = circuit.interchange_matrix()
    n = circuit.primary.n_interchange if circuit.primary else 0
    title = f"Interchange: of {n} (base, source) pairs, how many come out as the role predicts"
    figure = heatmap(
        table.to_numpy(float).tolist(),
        list(table.columns),
        list(table.index),
        "pairs as<br>predicted",
        title,
    )
    share = [[f"{count} of {n}" for count in line] for line in table.to_numpy().tolist()]
    figure.update_traces(text=share, zmin=0, zmax=n, colorscale=[[0, "#ffffff"], [1, POSITIVE]])
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
    figure.update_yaxes(title="unit taken from the source").update_xaxes(
        title="role it is scored in (its own is framed)"
    )
    return figure.update_layout(width=max(680, 110 * len(table) + 240))
