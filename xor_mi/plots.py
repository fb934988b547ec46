"""findings -> plotly Figure. Functions return the figure and never show it.

Colours diverge around zero (blue positive, red negative) and never carry meaning alone: every cell and edge has its number.
"""

import textwrap
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xor_mi.activations import Activations
from xor_mi.circuits import Circuit
from xor_mi.errors import XorMiError
from xor_mi.geometry import InputPlane
from xor_mi.graph import edges_of, layers_of
from xor_mi.interventions import AblationSweep, PatchSweep
from xor_mi.interventions.sites import name_of
from xor_mi.metrics import decision, decisions
from xor_mi.model import HookedMLP
from xor_mi.population import shares

POSITIVE, NEGATIVE, INK = "#2166ac", "#b2182b", "#222222"
DIVERGING = [[0.0, NEGATIVE], [0.5, "#ffffff"], [1.0, POSITIVE]]


def _layout(figure: go.Figure, title: str, width: int = 700, height: int = 420) -> go.Figure:
    return figure.update_layout(
        template="simple_white",
        title={"text": title, "x": 0.02, "font": {"size": 15}},
        width=width,
        height=height,
        font={"color": INK},
        margin={"b": 40},
    )


def _heatmap(values: Sequence[Sequence[float]], columns: list[str], rows: list[str], unit: str, title: str, marks: Any = None) -> go.Figure:
    """A labelled heatmap, colours centred at zero. marks: text put behind each number, [row][column]."""
    bound = max((abs(value) for line in values for value in line), default=0) or 1.0
    marks = marks or [[""] * len(columns) for _ in rows]
    text = [[f"{round(value, 2) + 0.0:.2f}{mark}" for value, mark in zip(*lines, strict=True)] for lines in zip(values, marks, strict=True)]
    scale = {"colorscale": DIVERGING, "zmin": -bound, "zmax": bound, "colorbar": {"title": {"text": unit}}}
    figure = go.Figure(go.Heatmap(z=values, x=columns, y=rows, text=text, texttemplate="%{text}", xgap=2, ygap=2, **scale))
    figure.update_xaxes(type="category", side="top", ticks="")
    figure.update_yaxes(type="category", autorange="reversed", ticks="")
    return _layout(figure, title, width=max(520, 90 * len(columns) + 220), height=max(300, 34 * len(rows) + 190)).update_layout(
        margin={"t": 110}
    )


def network_diagram(model: HookedMLP, circuit: Circuit | None = None) -> go.Figure:
    """The network as drawn on a board: weights on the edges (blue +, red -, width by size), biases and gates on the units."""
    layers = layers_of(model.layer_sizes)
    widest = max(map(len, layers))
    spot = {unit.name: (float(unit.layer), (len(layer) - 1) / 2 - unit.index) for layer in layers for unit in layer}
    weights = model.exact()
    bound = max(weight.abs().max().item() for weight, _ in weights) or 1.0
    figure, placed = go.Figure(), []
    for edge in edges_of(model.layer_sizes):
        weight = weights[edge.dst.layer][0]
        value = weight[edge.dst.index, edge.src.index].item()
        (x0, y0), (x1, y1) = spot[edge.src.name], spot[edge.dst.name]
        colour, dash = (POSITIVE, "solid") if value >= 0 else (NEGATIVE, "dash")
        line = {"color": colour, "width": 0.8 + 5 * abs(value) / bound, "dash": dash}
        figure.add_trace(go.Scatter(x=[x0, x1], y=[y0, y1], mode="lines", line=line, hoverinfo="skip", showlegend=False))
        # of several spots along the edge, the one furthest from the labels already there
        spots = [(x0 + at * (x1 - x0), y0 + at * (y1 - y0)) for at in (0.3, 0.22, 0.38, 0.46, 0.54, 0.62)]
        x, y = max(spots, key=lambda s: min((2 * abs(s[0] - u) + 3 * abs(s[1] - v) for u, v in placed), default=0))
        placed.append((x, y))
        label = {"x": x, "y": y, "text": f"{value:+.2f}", "font": {"color": colour, "size": 12}}
        figure.add_annotation(**label, showarrow=False, bgcolor="#ffffff")
    gates = {unit.unit.name: unit.gate or "no gate" for unit in circuit.units} if circuit else {}
    if circuit:
        gates |= {gate.unit.name: gate.formula for gate in circuit.netlist if gate.unit.is_output}
    for layer in layers:
        for unit in layer:
            lines = [f"<b>{unit.name}</b>", *textwrap.wrap(gates.get(unit.name, ""), 22)]
            lines += [f"bias {weights[unit.layer][1][unit.index].round(decimals=2) + 0.0:+.2f}"] if unit.layer >= 0 else []
            x, y = spot[unit.name]
            box = {"bgcolor": "#ffffff", "bordercolor": INK, "borderwidth": 1.5, "borderpad": 6, "font": {"size": 13}}
            figure.add_annotation(x=x, y=y, text="<br>".join(lines), showarrow=False, **box)
    figure.update_xaxes(visible=False, range=[-1.3, len(layers) - 1.5])
    figure.update_yaxes(visible=False, range=[-widest / 2 - 0.1, widest / 2 + 0.1])
    title = f"Weights{' and gates' if circuit and circuit.primary else ''} (blue solid +, red dashed -; width by size)"
    return _layout(figure, title, width=max(700, 280 * len(layers)), height=max(360, 110 * widest + 120))


def activations_heatmap(found: Activations) -> go.Figure:
    """Every value at every hook point, one line per input row."""
    table = found.table()
    return _heatmap(table.to_numpy().tolist(), list(table.columns), list(table.index), "value", "Activations on every input")


def patching_heatmap(sweep: PatchSweep) -> go.Figure:
    """Effect of each patch on the logit: one line per pair (clean -> corrupted), one column per site; * marks a flipped decision."""
    pairs = [f"{clean} -> {corrupted}" for clean, corrupted in sweep.labels]
    names = [name_of(together) for together in sweep.sites]
    flips = [effect.flips for effect in sweep]
    marks = [[" *" if flips[p * len(names) + s] else "" for s in range(len(names))] for p in range(len(pairs))]
    run, metric = "corrupted" if sweep.direction == "denoising" else "clean", sweep.metrics[0]
    title = f"Patching, {sweep.direction}: change of the {run} run's {metric}{' (* = decision flips)' if any(flips) else ''}"
    figure = _heatmap(sweep.effect.tolist(), names, pairs, f"effect<br>({metric})", title, marks)
    return figure.update_yaxes(title="clean -> corrupted").update_layout(width=max(620, 90 * len(names) + 260))


def ablation_heatmap(sweep: AblationSweep) -> go.Figure:
    """Change of the metric by each ablation, on each input row; * marks a flipped decision."""
    effect = (sweep.after - sweep.before).tolist()
    marks = None
    if sweep.threshold is not None:
        flipped = sweep.decisions != decision(sweep.before, sweep.threshold)
        marks = [[" *" if flips else "" for flips in line] for line in flipped.tolist()]
    title = f"Ablation, {sweep.value}: change of the {sweep.metric}{' (* = decision flips)' if marks else ''}"
    figure = _heatmap(
        effect, list(sweep.rows), [name_of(together) for together in sweep.sites], f"effect<br>({sweep.metric})", title, marks
    )
    return figure.update_yaxes(title="ablated together").update_xaxes(title="input")


def input_plane_figure(plane: InputPlane, model: HookedMLP) -> go.Figure:
    """The output over the input plane, its decision boundary, the line along which each first-layer unit turns on, and the four inputs."""
    distance = (plane.outputs.T - plane.threshold).round(decimals=4).tolist()
    bound = max(abs(value) for line in distance for value in line) or 1.0
    grid = plane.grid.round(decimals=6).tolist()
    shared = {"x": grid, "y": grid, "z": distance}
    bar = {"title": "output -<br>threshold", "len": 0.7, "y": 0.35}
    figure = go.Figure(go.Heatmap(**shared, colorscale=DIVERGING, zmin=-bound, zmax=bound, colorbar=bar, opacity=0.75))
    constraint = {"type": "levels", "coloring": "lines", "start": 0, "end": 0, "size": 1}
    line = {"color": INK, "width": 3}
    boundary = {"contours": constraint, "colorscale": [[0, INK], [1, INK]], "showscale": False, "line": line, "name": "decision boundary"}
    figure.add_trace(go.Contour(**shared, **boundary, showlegend=True))
    for (unit, ends), dash in zip(plane.lines.items(), cycle(["dash", "dot", "dashdot", "longdash"]), strict=False):
        x, y = zip(*ends, strict=True)
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line={"color": INK, "width": 1.5, "dash": dash}, name=f"{unit.name} turns on"))
    rows, decided = model.cfg.target.rows() if model.cfg.target else ((0, 0), (0, 1), (1, 0), (1, 1)), decisions(model)[:, 0].tolist()
    x, y = zip(*rows, strict=True)
    symbols = [{1: "circle", 0: "circle-open", -1: "x"}[bit] for bit in decided]
    marker = {"size": 13, "color": INK, "symbol": symbols, "line": {"width": 2}}
    text = [f"{a}{b}: {bit if bit >= 0 else 'undecided'}" for (a, b), bit in zip(rows, decided, strict=True)]
    corners = {"mode": "markers+text", "marker": marker, "text": text, "textposition": "top center", "name": "inputs and decisions"}
    figure.add_trace(go.Scatter(x=x, y=y, **corners))
    low, high = grid[0], grid[-1]
    figure.update_xaxes(title="x0", range=[low, high], constrain="domain").update_yaxes(title="x1", range=[low, high], scaleanchor="x")
    return _layout(figure, "The input plane: output above (blue) and below (red) the threshold", width=700, height=560)


def gate_shares_figure(shares: pd.DataFrame, n_solved: int, n_networks: int) -> go.Figure:
    """How often each set of hidden gates occurs among the solved networks, with 95 % intervals."""
    percent = 100 * shares[["share", "ci_low", "ci_high"]]
    error = {"type": "data", "array": percent["ci_high"] - percent["share"], "arrayminus": percent["share"] - percent["ci_low"]}
    look = {"marker": {"color": "#bbbbbb", "line": {"color": INK, "width": 1}}, "text": shares["n_networks"], "insidetextanchor": "start"}
    figure = go.Figure(go.Bar(y=shares["gates"], x=percent["share"], error_x=error, orientation="h", textposition="inside", **look))
    figure.update_xaxes(title="% of solved networks (count inside the bar)", rangemode="tozero")
    figure.update_yaxes(title="hidden gates", autorange="reversed")
    title = f"Gates found in {n_solved} solved of {n_networks} trained networks (95% intervals)"
    return _layout(figure, title, height=max(260, 44 * len(shares) + 140))


def success_curve(study: pd.DataFrame) -> go.Figure:
    """A `width_study`: share of networks that solve the task against hidden width, with 95 % intervals, beside the published shares."""
    figure, looks = go.Figure(), cycle([(POSITIVE, "circle", "solid"), (NEGATIVE, "square", "dash"), (INK, "diamond", "dot")])
    for (act_fn, lines), (colour, symbol, dash) in zip(study.groupby("act_fn", sort=False), looks, strict=False):
        percent = 100 * lines[["rate", "ci_low", "ci_high", "published"]]
        error = {"type": "data", "array": percent["ci_high"] - percent["rate"], "arrayminus": percent["rate"] - percent["ci_low"]}
        style = {"line": {"color": colour, "dash": dash}, "marker": {"color": colour, "symbol": symbol, "size": 8}}
        name = f"{act_fn}, {lines['n_networks'].iloc[0]} networks each"
        figure.add_trace(go.Scatter(x=lines["width"], y=percent["rate"], error_y=error, mode="lines+markers", name=name, **style))
        known = percent["published"].notna()
        if known.any():
            open_marker = {"color": colour, "symbol": f"{symbol}-open", "size": 11, "line": {"width": 2}}
            points = {"x": lines["width"][known], "y": percent["published"][known], "mode": "markers", "marker": open_marker}
            figure.add_trace(go.Scatter(**points, name=f"{act_fn}, published (Swirszcz et al. 2016)"))
    figure.update_xaxes(title="hidden units", dtick=1).update_yaxes(title="% of networks that solve it", range=[-3, 103])
    return _layout(figure, "How often training succeeds (95% intervals)", width=860)


def family_weights(networks: pd.DataFrame, width: int = 2) -> go.Figure:
    """A census of 2-h-1 networks: the input weights of every hidden unit of the solved ones, one panel per family, most frequent first.

    A unit that adds its inputs lies along one diagonal, one that compares them along the other; colour and symbol give the sign with which
    the output reads it.
    """
    solved = networks[networks["solved"]]
    expected = 4 * width + 1
    if len(solved) == 0 or solved["weights"].map(len).unique().tolist() != [expected]:
        raise XorMiError(f"this picture needs solved networks 2-{width}-1, {expected} weights each; give the census and its width")
    found = shares(networks).head(6)
    titles = [f"{line['family']}<br>{100 * line['share']:.0f}% ({line['n_networks']})" for line in found.to_dict("records")]
    figure = make_subplots(cols=len(found), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04)
    bound = 0.0
    for column, family in enumerate(found["family"], start=1):
        flat = np.stack(solved[solved["family"] == family]["weights"].to_list())
        into, readout = flat[:, : 2 * width].reshape(-1, 2), flat[:, 3 * width : 4 * width].ravel()
        bound = max(bound, float(np.quantile(np.abs(into), 0.99)))
        for sign, colour, symbol, name in ((1, POSITIVE, "circle", "+"), (-1, NEGATIVE, "x", "-")):
            x, y = into[np.sign(readout) == sign].T
            marker = {"color": colour, "symbol": symbol, "size": 4, "opacity": 0.5}
            points = {"x": x, "y": y, "mode": "markers", "marker": marker, "legendgroup": name, "showlegend": column == 1}
            figure.add_trace(go.Scatter(**points, name=f"read with {name}"), row=1, col=column)
    limits = [-1.1 * bound, 1.1 * bound]
    figure.update_xaxes(title="weight from x0", range=limits, zeroline=True).update_yaxes(range=limits, zeroline=True)
    figure.update_yaxes(title="weight from x1", col=1)
    return _layout(figure, "Hidden units' weights by family", width=330 * len(found) + 170, height=460).update_layout(margin={"t": 110})
