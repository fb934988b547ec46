"""a network that is moved -> figures with a slider: along an input path, and along one weight.
Every frame is computed beforehand.
"""

from math import isfinite
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from xor_mi import geometry
from xor_mi.circuits import identify_circuit
from xor_mi.graph import layers_of
from xor_mi.handmade import edit
from xor_mi.margins import conditions, slack_to_flip
from xor_mi.metrics import decision
from xor_mi.model import HookedMLP
from xor_mi.plots._style import BAR, DIVERGING, INK, NEGATIVE, POSITIVE, layout, line_trace
from xor_mi.values import forward_float64


def input_slider(model: HookedMLP, start: Any, end: Any, *, n_frames: int = 41) -> go.Figure:
    """The input moved gradually from one to another: the output so far along the way, and every
    unit's value there.

    Frames stand on an even grid and on every kink and decision change.

    Raises:
        XorMiError: as `geometry.path`.
    """
    path = geometry.path(model, start, end, n_points=n_frames)
    layers = forward_float64(model, path.inputs)
    names = [unit.name for layer in layers_of(model.layer_sizes) for unit in layer]
    values = torch.cat([path.inputs, *(layer.post for layer in layers)], 1).tolist()
    decided = decision(path.outputs, path.threshold).tolist()
    figure = make_subplots(
        cols=2, subplot_titles=("output along the way", "every value here"), horizontal_spacing=0.12
    )
    for k, (column, dash) in enumerate(
        zip(path.outputs.T.tolist(), ("solid", "dash", "dot", "dashdot") * 3, strict=False)
    ):
        line = {"color": POSITIVE, "width": 3, "dash": dash}
        figure.add_trace(
            go.Scatter(x=path.t.tolist(), y=column, mode="lines", line=line, name=f"y{k}"),
            row=1,
            col=1,
        )
    figure.add_hline(
        path.threshold, opacity=1, line={"color": INK, "width": 1.5, "dash": "dash"}, row=1, col=1
    )  # pyright: ignore
    n_outputs = len(decided[0])

    def moving(n: int) -> list[Any]:
        marker = {
            "size": 14,
            "color": INK,
            "symbol": ["circle" if bit == 1 else "circle-open" for bit in decided[n]],
            "line": {"width": 3},
        }
        text = [f"{value + 0.0:.2f}" for value in np.round(values[n], 2)]
        return [
            go.Scatter(
                x=[path.t[n].item()] * n_outputs,
                y=path.outputs[n].tolist(),
                mode="markers",
                marker=marker,
                name="here",
            ),
            go.Bar(
                x=names,
                y=values[n],
                marker=BAR,
                text=text,
                textposition="outside",
                cliponaxis=False,
                name="value",
            ),
        ]

    for column, trace in enumerate(moving(0), start=1):
        figure.add_trace(trace, row=1, col=column)
    traces = [n_outputs, n_outputs + 1]
    figure.frames = [
        go.Frame(data=moving(n), traces=traces, name=str(n)) for n in range(len(path.t))
    ]
    said = [
        f"t = {t:.3g}, input {_point(x)}, decided {', '.join(map(_bit, d))}"
        for t, x, d in zip(path.t.tolist(), path.inputs.tolist(), decided, strict=True)
    ]
    bounds = [min(map(min, values)), max(map(max, values))]
    room = 0.12 * (bounds[1] - bounds[0])
    figure.update_xaxes(
        title=f"t: 0 is {_point(path.start)}, 1 is {_point(path.end)}",
        range=[-0.05, 1.05],
        row=1,
        col=1,
    )
    figure.update_yaxes(title=f"output (dashed: threshold {path.threshold:g})", row=1, col=1)
    figure.update_xaxes(title="input, hidden unit, output", type="category", row=1, col=2)
    figure.update_yaxes(
        title="value after activation",
        range=[min(0, bounds[0]) - room, bounds[1] + room],
        row=1,
        col=2,
    )
    return _with_slider(figure, "The input modified gradually (filled: decided 1)", said, 0)


def weight_slider(
    model: HookedMLP, *, parameter: str | None = None, n_frames: int = 25
) -> go.Figure:
    """One weight moved past both ends of its slack: each input's distance to the threshold and, of
    two inputs, the plane.

    The frames stand on an even grid and on the weight's own value; the slider says the value, the
    verdict and the readout at each.

    Args:
        parameter: named as in `handmade.edit`, by default the one that may move least.

    Raises:
        XorMiError: no target in the config, or a parameter the network does not have.
    """
    slack = slack_to_flip(model, parameter)
    line = slack.iloc[int(slack["slack"].argmin())]
    name, value = line["parameter"], float(line["value"])
    reach = [x for x in (line["down"], line["up"]) if isfinite(x)] or [max(1.0, abs(value))]
    low, high = (
        value - 1.5 * min(line["down"], 2 * max(reach)),
        value + 1.5 * min(line["up"], 2 * max(reach)),
    )
    at = sorted({*np.linspace(low, high, n_frames).tolist(), value})
    models = [edit(model, {name: x}) for x in at]
    planar = model.cfg.d_in == 2
    titles = ("slack of each input's condition", *(("the input plane",) if planar else ()))
    figure = make_subplots(cols=len(titles), subplot_titles=titles, horizontal_spacing=0.18)
    tables = [conditions(moved) for moved in models]
    most = max(table["slack"].abs().max() for table in tables) or 1.0
    bound = (
        max(
            (geometry.input_plane(models[n], n_points=2).outputs - model.threshold)
            .abs()
            .max()
            .item()
            for n in (0, -1)
        )
        if planar
        else 1.0
    )

    def moving(n: int) -> list[Any]:
        holds = tables[n]["satisfied"].tolist()
        marker = {
            "color": ["#bbbbbb" if ok else "#ffffff" for ok in holds],
            "line": {"color": [INK if ok else NEGATIVE for ok in holds], "width": 1.5},
            "pattern": {"shape": ["" if ok else "/" for ok in holds], "fgcolor": NEGATIVE},
        }
        names = [
            f"{row} {place}"
            for row, place in zip(tables[n]["row"], tables[n]["place"], strict=True)
        ]
        text = [
            f"{x:+.2f} {'holds' if ok else 'fails'}"
            for x, ok in zip(tables[n]["slack"], holds, strict=True)
        ]
        bars = go.Bar(
            y=names,
            x=tables[n]["slack"].tolist(),
            orientation="h",
            marker=marker,
            text=text,
            textposition="outside",
            cliponaxis=False,
        )
        if not planar:
            return [bars]
        plane = geometry.input_plane(models[n], n_points=31)
        z = (plane.outputs.T - plane.threshold).round(decimals=3).tolist()
        bar = {"title": "output -<br>threshold", "len": 0.8}
        surface = go.Heatmap(
            x=plane.x0.tolist(),
            y=plane.x1.tolist(),
            z=z,
            colorscale=DIVERGING,
            zmin=-bound,
            zmax=bound,
            opacity=0.75,
            colorbar=bar,
        )
        edge = line_trace(
            geometry.boundary(models[n], n_points=61).segments.tolist(),
            {"color": INK, "width": 4},
            "decision boundary",
        )
        table = models[n].cfg.target
        bits = decision(forward_float64(models[n], models[n].rows())[-1].post, model.threshold)[
            :, 0
        ].tolist()
        dots = {
            "size": 13,
            "color": INK,
            "symbol": [{1: "circle", 0: "circle-open", -1: "x"}[bit] for bit in bits],
            "line": {"width": 2},
        }
        x, y = zip(*table.rows(), strict=True) if table else ((), ())
        return [
            bars,
            surface,
            edge,
            go.Scatter(x=x, y=y, mode="markers", marker=dots, name="inputs"),
        ]

    here = at.index(value)
    for k, trace in enumerate(moving(here)):
        figure.add_trace(trace, row=1, col=min(k, 1) + 1)
    figure.frames = [
        go.Frame(data=moving(n), traces=list(range(len(figure.data))), name=str(n))
        for n in range(len(at))
    ]
    found = [identify_circuit(moved, with_evidence=False) for moved in models]
    said = [
        f"{name} = {x:.4g}{' (as it is)' if n == here else ''}: {c.verdict}{f', {c.readout}' if c.readout else ''}"
        for n, (x, c) in enumerate(zip(at, found, strict=True))
    ]
    figure.update_xaxes(
        title="slack (output before its activation)", range=[-1.6 * most, 1.6 * most], row=1, col=1
    )
    figure.update_yaxes(
        title="input and output", type="category", autorange="reversed", row=1, col=1
    )
    if planar:
        figure.update_xaxes(title="x0", range=[-0.5, 1.5], row=1, col=2).update_yaxes(
            title="x1", range=[-0.5, 1.5], row=1, col=2
        )
    return _with_slider(figure, f"One weight moved: {name}, all others as they are", said, here)


def _with_slider(figure: go.Figure, title: str, said: list[str], active: int) -> go.Figure:
    """A slider over the figure's frames, saying each."""
    still = {
        "mode": "immediate",
        "frame": {"duration": 0, "redraw": True},
        "transition": {"duration": 0},
    }
    steps = [
        {"method": "animate", "args": [[str(n)], still], "label": text}
        for n, text in enumerate(said)
    ]
    current = {"prefix": "", "font": {"size": 14}, "xanchor": "left"}
    slider = {
        "steps": steps,
        "active": active,
        "currentvalue": current,
        "pad": {"t": 60},
        "font": {"color": "rgba(0,0,0,0)"},
        "ticklen": 0,
    }
    slider["currentvalue"]["font"]["color"] = INK
    return layout(figure, title, width=960, height=520).update_layout(
        sliders=[slider], showlegend=False, margin={"t": 90, "b": 60}
    )


def _point(values: Any) -> str:
    return f"({', '.join(f'{value:.3g}' for value in values)})"


def _bit(bit: int) -> str:
    return str(bit) if bit >= 0 else "undecided"
