"""findings over many networks -> shares, success curves, weights by family."""

from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xor_mi.errors import XorMiError
from xor_mi.plots._style import BAR, INK, NEGATIVE, POSITIVE, layout
from xor_mi.population import family_shares


def gate_shares_figure(shares: pd.DataFrame, n_solved: int, n_networks: int) -> go.Figure:
    """How often each set of hidden gates occurs among the solved networks, with 95 % intervals."""
    percent = 100 * shares[["share", "ci_low", "ci_high"]]
    error = {
        "type": "data",
        "array": percent["ci_high"] - percent["share"],
        "arrayminus": percent["share"] - percent["ci_low"],
    }
    look = {"marker": BAR, "text": shares["n_networks"], "insidetextanchor": "start"}
    figure = go.Figure(
        go.Bar(
            y=shares["gates"],
            x=percent["share"],
            error_x=error,
            orientation="h",
            textposition="inside",
            **look,
        )
    )
    figure.update_xaxes(title="% of solved networks (count inside the bar)", rangemode="tozero")
    figure.update_yaxes(title="hidden gates", autorange="reversed")
    title = f"Gates found in {n_solved} solved of {n_networks} trained networks (95% intervals)"
    return layout(figure, title, height=max(260, 44 * len(shares) + 140))


def success_curve(study: pd.DataFrame) -> go.Figure:
    """A `width_study`: share of networks that solve the task against hidden width, with 95 %
    intervals, beside the published shares.
    """
    figure, looks = (
        go.Figure(),
        cycle(
            [(POSITIVE, "circle", "solid"), (NEGATIVE, "square", "dash"), (INK, "diamond", "dot")]
        ),
    )
    for (act_fn, lines), (colour, symbol, dash) in zip(
        study.groupby("act_fn", sort=False), looks, strict=False
    ):
        percent = 100 * lines[["rate", "ci_low", "ci_high", "published"]]
        error = {
            "type": "data",
            "array": percent["ci_high"] - percent["rate"],
            "arrayminus": percent["rate"] - percent["ci_low"],
        }
        style = {
            "line": {"color": colour, "dash": dash},
            "marker": {"color": colour, "symbol": symbol, "size": 8},
        }
        name = f"{act_fn}, {lines['n_networks'].iloc[0]} networks each"
        figure.add_trace(
            go.Scatter(
                x=lines["width"],
                y=percent["rate"],
                error_y=error,
                mode="lines+markers",
                name=name,
                **style,
            )
        )
        known = percent["published"].notna()
        if known.any():
            open_marker = {
                "color": colour,
                "symbol": f"{symbol}-open",
                "size": 11,
                "line": {"width": 2},
            }
            points = {
                "x": lines["width"][known],
                "y": percent["published"][known],
                "mode": "markers",
                "marker": open_marker,
            }
            figure.add_trace(
                go.Scatter(**points, name=f"{act_fn}, published (Swirszcz et al. 2016)")
            )
    figure.update_xaxes(title="hidden units", dtick=1).update_yaxes(
        title="% of networks that solve it", range=[-3, 103]
    )
    return layout(figure, "How often training succeeds (95% intervals)", width=860)


def family_weights(networks: pd.DataFrame, *, width: int = 2) -> go.Figure:
    """A census of 2-h-1 networks: the input weights of every hidden unit of the solved ones, one
    panel per family, most frequent first.

    A unit that adds its inputs lies along one diagonal, one that compares them along the other;
    colour and symbol give the sign with which the output reads it."""
    solved = networks[networks["solved"]]
    expected = 4 * width + 1
    if len(solved) == 0 or solved["weights"].map(len).unique().tolist() != [expected]:
        raise XorMiError(
            f"this picture needs solved networks 2-{width}-1, {expected} weights each; give the census and its width"
        )
    found = family_shares(networks).head(6)
    titles = [
        f"{line['family']}<br>{100 * line['share']:.0f}% ({line['n_networks']})"
        for line in found.to_dict("records")
    ]
    figure = make_subplots(
        cols=len(found), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04
    )
    bound = 0.0
    for column, family in enumerate(found["family"], start=1):
        flat = np.stack(solved[solved["family"] == family]["weights"].to_list())
        into, readout = flat[:, : 2 * width].reshape(-1, 2), flat[:, 3 * width : 4 * width].ravel()
        bound = max(bound, float(np.quantile(np.abs(into), 0.99)))
        for sign, colour, symbol, name in ((1, POSITIVE, "circle", "+"), (-1, NEGATIVE, "x", "-")):
            x, y = into[np.sign(readout) == sign].T
            marker = {"color": colour, "symbol": symbol, "size": 4, "opacity": 0.5}
            points = {
                "x": x,
                "y": y,
                "mode": "markers",
                "marker": marker,
                "legendgroup": name,
                "showlegend": column == 1,
            }
            figure.add_trace(go.Scatter(**points, name=f"read with {name}"), row=1, col=column)
    limits = [-1.1 * bound, 1.1 * bound]
    figure.update_xaxes(title="weight from x0", range=limits, zeroline=True).update_yaxes(
        range=limits, zeroline=True
    )
    figure.update_yaxes(title="weight from x1", col=1)
    return layout(
        figure, "Hidden units' weights by family", width=330 * len(found) + 170, height=460
    ).update_layout(margin={"t": 110})
