"""a training -> its loss, step by step."""

import plotly.graph_objects as go

from xor_mi.errors import require_kind
from xor_mi.plots._style import POSITIVE, as_written, layout
from xor_mi.training import TrainResult


def loss_curve(result: TrainResult) -> go.Figure:
    """The loss at every step of a training, on a logarithmic scale."""
    require_kind("result", result, TrainResult, give="what train returns")
    table = result.frame()
    curve = go.Scatter(
        x=table["step"].tolist(),
        y=table["loss"].tolist(),
        mode="lines",
        line={"color": POSITIVE, "width": 2},
        name="loss",
    )
    figure = go.Figure(curve)
    figure.update_xaxes(title="step").update_yaxes(title="loss", type="log")
    return layout(figure, f"Training: {as_written(str(result))}", width=760).update_layout(
        margin={"b": 60}
    )
