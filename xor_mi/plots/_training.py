"""a training -> the curve of its loss."""

import plotly.graph_objects as go

from xor_mi.errors import require_kind
from xor_mi.plots._style import POSITIVE, as_written, titled
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
    figure.update_xaxes(title="step").update_yaxes(title="loss (logarithmic)", type="log", dtick=1)
    return titled(figure, f"Training: {as_written(str(result))}", inside=300, below=60)
