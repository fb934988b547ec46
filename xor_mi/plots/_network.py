"""a network and its circuit -> the diagram."""

import textwrap

import plotly.graph_objects as go

from xor_mi.circuits import Circuit
from xor_mi.graph import edges_of, layers_of
from xor_mi.model import HookedMLP
from xor_mi.plots._style import INK, NEGATIVE, POSITIVE, layout


def network_diagram(model: HookedMLP, circuit: Circuit | None = None) -> go.Figure:
    """The network as drawn on a board: weights as arrows (blue +, red dashed -, width by size),
    biases and gates on the units.
    """
    layers = layers_of(model.layer_sizes)
    widest = max(map(len, layers))
    spot = {
        unit.name: (float(unit.layer), (len(layer) - 1) / 2 - unit.index)
        for layer in layers
        for unit in layer
    }
    weights = model.float64_layers()
    bound = max(weight.abs().max().item() for weight, _ in weights) or 1.0
    figure, placed = go.Figure(), []
    for edge in edges_of(model.layer_sizes):
        weight = weights[edge.dst.layer][0]
        value = weight[edge.dst.index, edge.src.index].item()
        (x0, y0), (x1, y1) = spot[edge.src.name], spot[edge.dst.name]
        colour, dash = (POSITIVE, "solid") if value >= 0 else (NEGATIVE, "dash")
        line = {"color": colour, "width": 0.8 + 5 * abs(value) / bound, "dash": dash}
        ends = {"x": [x0, x0 + 0.76 * (x1 - x0), x1], "y": [y0, y0 + 0.76 * (y1 - y0), y1]}
        head = {
            "line": {"width": 0},
            "opacity": 1,
            "symbol": "arrow",
            "angleref": "previous",
            "size": [0, 10 + 9 * abs(value) / bound, 0],
            "color": colour,
        }
        figure.add_trace(
            go.Scatter(
                **ends,
                mode="lines+markers",
                line=line,
                marker=head,
                hoverinfo="skip",
                showlegend=False,
            )
        )
        # of several spots along the edge, the one furthest from the labels already there
        spots = [
            (x0 + at * (x1 - x0), y0 + at * (y1 - y0)) for at in (0.3, 0.22, 0.38, 0.46, 0.54, 0.62)
        ]
        x, y = max(
            spots,
            key=lambda s: min(
                (2 * abs(s[0] - u) + 3 * abs(s[1] - v) for u, v in placed), default=0
            ),
        )
        placed.append((x, y))
        label = {"x": x, "y": y, "text": f"{value:+.2f}", "font": {"color": colour, "size": 12}}
        figure.add_annotation(**label, showarrow=False, bgcolor="#ffffff")
    gates = {unit.place.name: unit.gate or "no gate" for unit in circuit.units} if circuit else {}
    if circuit:
        gates |= {gate.unit.name: gate.formula for gate in circuit.netlist if gate.unit.is_output}
    for layer in layers:
        for unit in layer:
            lines = [f"<b>{unit.name}</b>", *textwrap.wrap(gates.get(unit.name, ""), 22)]
            lines += (
                [f"bias {weights[unit.layer][1][unit.index].round(decimals=2) + 0.0:+.2f}"]
                if unit.layer >= 0
                else []
            )
            x, y = spot[unit.name]
            box = {
                "bgcolor": "#ffffff",
                "bordercolor": INK,
                "borderwidth": 1.5,
                "borderpad": 6,
                "font": {"size": 13},
            }
            figure.add_annotation(x=x, y=y, text="<br>".join(lines), showarrow=False, **box)
    figure.update_xaxes(visible=False, range=[-1.3, len(layers) - 1.5])
    figure.update_yaxes(visible=False, range=[-widest / 2 - 0.1, widest / 2 + 0.1])
    title = f"Weights{' and gates' if circuit and circuit.primary else ''} (blue solid +, red dashed -; width by size)"
    return layout(
        figure, title, width=max(700, 280 * len(layers)), height=max(360, 110 * widest + 120)
    )
