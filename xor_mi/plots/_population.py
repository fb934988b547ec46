"""findings over many networks -> shares, success curves, weights by family."""

from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xor_mi.errors import XorMiError, require_kind, whole_number
from xor_mi.plots._style import BAR, INK, NEGATIVE, POSITIVE, bars_height, interval_bars, layout
from xor_mi.population import counted_as, family_shares

MOST_FAMILIES_DRAWN = 6
"""Panels of `family_weights`, the most frequent first."""
SHARE_IN_VIEW = 0.99
"""A few weights lie far outside; the axes reach as far as this share of them."""


def gate_shares_figure(shares: pd.DataFrame, *, n_solved: int, n_networks: int) -> go.Figure:
    """How often each set of hidden gates occurs among the solved networks, with 95 % intervals.

    Args:
        shares: what `population.gate_shares` returns.
    """
    require_kind("shares", shares, pd.DataFrame, give="what gate_shares returns")
    percent = 100 * shares[["share", "ci_low", "ci_high"]]
    bars = go.Bar(
        y=shares["gates"],
        x=percent["share"],
        error_x=interval_bars(percent, "share"),
        orientation="h",
        textposition="inside",
        marker=BAR,
        text=shares["n_networks"],
        insidetextanchor="start",
    )
    figure = go.Figure(bars)
    figure.update_xaxes(title="% of solved networks (count inside the bar)", rangemode="tozero")
    figure.update_yaxes(title="hidden gates", autorange="reversed")
    title = f"Gates found in {n_solved} solved of {n_networks} trained networks (95% intervals)"
    return layout(figure, title, height=bars_height(len(shares)))


def success_curve(study: pd.DataFrame) -> go.Figure:
    """A `width_study`: share of networks that solve the task against hidden width.

    With 95 % intervals, beside the published shares.
    """
    require_kind("study", study, pd.DataFrame, give="what width_study returns")
    figure = go.Figure()
    looks = cycle(
        [(POSITIVE, "circle", "solid"), (NEGATIVE, "square", "dash"), (INK, "diamond", "dot")]
    )
    by_activation = study.groupby("act_fn", sort=False)
    for (act_fn, lines), (colour, symbol, dash) in zip(by_activation, looks, strict=False):
        percent = 100 * lines[["rate", "ci_low", "ci_high", "published"]]
        measured = go.Scatter(
            x=lines["width"],
            y=percent["rate"],
            error_y=interval_bars(percent, "rate"),
            mode="lines+markers",
            name=f"{act_fn}, {lines['n_networks'].iloc[0]} networks each",
            line={"color": colour, "dash": dash},
            marker={"color": colour, "symbol": symbol, "size": 8},
        )
        figure.add_trace(measured)
        known = percent["published"].notna()
        if known.any():
            marker = {"color": colour, "symbol": f"{symbol}-open", "size": 11, "line": {"width": 2}}
            published = go.Scatter(
                x=lines["width"][known],
                y=percent["published"][known],
                mode="markers",
                marker=marker,
                name=f"{act_fn}, published (Swirszcz et al. 2016)",
            )
            figure.add_trace(published)
    figure.update_xaxes(title="hidden units", dtick=1)
    figure.update_yaxes(title="% of networks that solve it", range=[-3, 103])
    return layout(figure, "How often training succeeds (95% intervals)", width=860)


def family_weights(networks: pd.DataFrame, *, width: int = 2) -> go.Figure:
    """A census of 2-h-1 networks: the input weights of every hidden unit of the solved ones.

    One panel per family, most frequent first, and one for those of which no circuit is proved.

    A unit that adds its inputs lies along one diagonal, one that compares them along the other;
    colour and symbol give the sign with which the output reads it.

    Raises:
        XorMiError: no solved network, or networks of another shape.
    """
    width = whole_number("width", width, at_least=1)
    require_kind("networks", networks, pd.DataFrame, give="what census returns")
    solved = networks[networks["solved"]]
    n_weights = 4 * width + 1
    if len(solved) == 0 or solved["weights"].map(len).unique().tolist() != [n_weights]:
        raise XorMiError(
            f"this picture needs solved networks 2-{width}-1, {n_weights} weights each; "
            "give the census and its width"
        )
    shares = family_shares(networks).head(MOST_FAMILIES_DRAWN)
    titles = [
        f"{line['family']}<br>{100 * line['share']:.0f}% ({line['n_networks']})"
        for line in shares.to_dict("records")
    ]
    figure = make_subplots(
        cols=len(shares), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04
    )
    bound = 0.0
    for column, family in enumerate(shares["family"], start=1):
        weights = np.stack(solved["weights"][counted_as(solved) == family].to_list())
        bound = max(bound, _add_units_of(figure, weights, width, column))
    # one scale for all panels, and for both weights, so that diagonals look like diagonals
    limits = [-1.1 * bound, 1.1 * bound]
    figure.update_xaxes(title="weight from x0", range=limits, zeroline=True)
    figure.update_yaxes(range=limits, zeroline=True)
    figure.update_yaxes(title="weight from x1", col=1)
    layout(figure, "Hidden units' weights by family", width=330 * len(shares) + 170, height=460)
    return figure.update_layout(margin={"t": 110})


def _add_units_of(figure: go.Figure, weights: np.ndarray, width: int, column: int) -> float:
    """One family's hidden units, by the sign they are read with.

    Returns how far their weights reach, outliers left out.
    """
    # a network's weights, flat: into the hidden units, their biases, the readout, its bias
    into = weights[:, : 2 * width].reshape(-1, 2)
    readout = weights[:, 3 * width : 4 * width].ravel()
    for sign, colour, symbol, name in ((1, POSITIVE, "circle", "+"), (-1, NEGATIVE, "x", "-")):
        x, y = into[np.sign(readout) == sign].T
        units = go.Scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 4, "opacity": 0.5},
            legendgroup=name,
            showlegend=column == 1,
            name=f"read with {name}",
        )
        figure.add_trace(units, row=1, col=column)
    return float(np.quantile(np.abs(into), SHARE_IN_VIEW))
