"""a figure -> its place in a page of ours."""

import plotly.graph_objects as go
from markupsafe import Markup

PLOTLY_CONFIG = {"showSendToCloud": False, "displaylogo": False, "responsive": False}
"""Without the first, plotly.js offers to upload the chart to a cloud service."""


def figure_html(figure: go.Figure, *, with_plotly: bool) -> Markup:
    """A figure as part of a page.

    Args:
        with_plotly: write plotly.js into it as well, which a page needs once.
    """
    page = figure.to_html(
        full_html=False, include_plotlyjs=with_plotly, config=PLOTLY_CONFIG, auto_play=False
    )
    return Markup(page)
