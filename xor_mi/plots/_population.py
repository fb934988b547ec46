"""findings over many networks -> shares, success curves, weights by family."""

import textwrap
from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xor_mi.errors import XorMiError, require_kind, whole_number
from xor_mi.finding import count_text
from xor_mi.plots._style import BAR, INK, NEGATIVE, POSITIVE, interval_bars, titled
from xor_mi.population import counted_as, family_shares, gate_shares
from xor_mi.population._census import share_columns

MOST_SHARES = 10
"""The most sets of gates with their own bar."""
GATES_A_LINE, FAMILY_A_LINE = 26, 24
"""Characters of a line of a set of gates, and of a family over its panel."""
PANELS_A_ROW = 3
MOST_FAMILIES_DRAWN = 6
"""Panels of `family_weights`, the most frequent first."""
SHARE_IN_VIEW = 0.99
"""A few weights lie far outside; the axes contain this share of them."""


SHARE_COLUMNS = ("gates", "n_networks", "share", "ci_low", "ci_high")
"""The columns of `gate_shares` that are drawn."""


def gate_shares_figure(
    shares: pd.DataFrame,
    *,
    n_solved: int | None = None,
    n_networks: int | None = None,
    marked: str | None = None,
) -> go.Figure:
    """How often each set of hidden gates occurs among the solved networks, with 95 % intervals.

    The ten most frequent sets have a bar each, and all others share one.

    Args:
        shares: a census, as `population.census` and `population.read_census` return it; or what
            `population.gate_shares` returns.
        n_solved, n_networks: how many networks there are, and how many of them solve the task. A
            census says both itself.
        marked: a set of gates, such as "{AND, OR}" (`Circuit.gate_set`), whose bar is blue; it is
            drawn even if it is not among the ten.

    Raises:
        XorMiError: something else than a table, no shares, shares without both numbers, or a census
            with other numbers than its own.
    """
    require_kind("shares", shares, pd.DataFrame, give="a census, or what gate_shares returns")
    if "solved" in shares:
        found = int(shares["solved"].sum()), len(shares)
        for name, given, own in zip(
            ("n_solved", "n_networks"), (n_solved, n_networks), found, strict=True
        ):
            if given not in (None, own):
                raise XorMiError(f"{name} is {given}, but this census has {own}; leave {name} out")
        (n_solved, n_networks), shares = found, gate_shares(shares)
    if n_solved is None or n_networks is None:
        raise XorMiError(
            "n_solved and n_networks are missing, and a table of shares does not have them; give "
            "both, or give the census instead of the shares"
        )
    missing = [name for name in SHARE_COLUMNS if name not in shares]
    if missing:
        raise XorMiError(
            f"shares has no column {', '.join(missing)}; give a census, or what gate_shares returns"
        )
    if len(shares) == 0:
        raise XorMiError(
            "no shares to draw: no network solves the task; give a census with solved networks, "
            "or what gate_shares returns of one"
        )
    shown = _largest_shares(shares, n_solved, marked)
    percent = 100 * shown[["share", "ci_low", "ci_high"]]
    is_marked = [name == marked for name in shown["gates"]]
    names = ["<br>".join(textwrap.wrap(str(name), GATES_A_LINE)) for name in shown["gates"]]
    said = [
        f"{line['gates']}: {line['n_networks']:,} of {n_solved:,} solved networks, "
        f"{100 * line['share']:.1f}% ({100 * line['ci_low']:.1f} to {100 * line['ci_high']:.1f}%)"
        for line in shown.to_dict("records")
    ]
    labels = [f"<b>{name}</b>" if own else name for name, own in zip(names, is_marked, strict=True)]
    bars = go.Bar(
        y=labels,
        x=percent["share"],
        error_x=interval_bars(percent, "share"),
        orientation="h",
        marker={
            "color": [POSITIVE if own else BAR["color"] for own in is_marked],
            "line": BAR["line"],
            "pattern": {"shape": ["/" if own else "" for own in is_marked], "fgcolor": "#ffffff"},
        },
        hovertext=said,
        hoverinfo="text",
    )
    figure = go.Figure(bars)
    for name, high, count in zip(labels, percent["ci_high"], shown["n_networks"], strict=True):
        figure.add_annotation(
            x=high, y=name, text=f"{count:,}", showarrow=False, xanchor="left", xshift=6
        )
    reach = 1.15 * percent["ci_high"].max()
    figure.update_xaxes(title="% of solved networks, 95% interval (how many)", range=[0, reach])
    figure.update_yaxes(title="hidden gates", autorange="reversed", automargin=True)
    title = _shares_title(shares, n_solved, n_networks, marked)
    titled(figure, title, inside=36 * len(shown) + 40, below=60)
    return figure.update_layout(margin={"r": 20})


def _largest_shares(shares: pd.DataFrame, n_solved: int, marked: str | None) -> pd.DataFrame:
    """The most frequent sets of gates, the marked one, and a last line for all others."""
    is_shown = pd.Series(range(len(shares)), index=shares.index) < MOST_SHARES
    if marked is not None:
        is_shown |= shares["gates"] == marked
    # a bar for a single other set would take as much room as that set
    if (~is_shown).sum() <= 1:
        return shares
    n_other = int(shares.loc[~is_shown, "n_networks"].sum())
    name = f"other ({(~is_shown).sum()} sets)"
    other = {"gates": name, "n_networks": n_other}
    other |= share_columns(n_other, n_solved, name="share")
    return pd.concat([shares[is_shown], pd.DataFrame([other])], ignore_index=True)


def _shares_title(shares: pd.DataFrame, n_solved: int, n_networks: int, marked: str | None) -> str:
    """The most frequent gates, and the share of the marked ones."""
    first = shares.iloc[0]
    is_alone = (shares["n_networks"] == first["n_networks"]).sum() == 1
    rank = "the most frequent" if is_alone else "among the most frequent"
    title = (
        f"{first['gates']} is {rank}: {100 * first['share']:.0f}% of {n_solved:,} "
        f"solved of {n_networks:,} networks"
    )
    if marked is None or marked == first["gates"]:
        return title
    own = shares.loc[shares["gates"] == marked, "share"]
    share = f"{100 * own.iloc[0]:.1f}%" if len(own) else "none"
    return f"{title}; blue, {marked}: {share}"


def success_curve(study: pd.DataFrame) -> go.Figure:
    """A `width_study`: the share of networks that solve the task, against hidden width.

    Shares have 95 % intervals and stand beside the published ones.
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
    figure.update_yaxes(title="% of networks that solve it (95% intervals)", range=[-3, 103])
    legend = {"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top"}
    figure.update_layout(legend=legend)
    return titled(figure, _success_title(study), inside=320, below=130)


def _success_title(study: pd.DataFrame) -> str:
    """How often the narrowest and the widest networks of each activation solve the task."""
    parts: list[str] = []
    for act_fn, lines in study.groupby("act_fn", sort=False):
        ordered = lines.sort_values("width")
        narrow, wide = ordered.iloc[0], ordered.iloc[-1]
        least = count_text(int(narrow["width"]), "hidden unit")
        parts.append(
            f"{act_fn}: {100 * narrow['rate']:.0f}% with {least}, "
            f"{100 * wide['rate']:.0f}% with {wide['width']}"
        )
    return f"Solved by {'; '.join(parts)}"


def family_weights(networks: pd.DataFrame, *, width: int = 2) -> go.Figure:
    """A census of 2-h-1 networks: the input weights of every hidden unit of the solved networks.

    There is one panel per family, the most frequent first, and one for networks without a proved
    circuit.

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
            f"this picture needs solved networks of shape 2-{width}-1, with {n_weights} weights "
            "each; give such a census and its width"
        )
    shares = family_shares(networks).head(MOST_FAMILIES_DRAWN)
    titles = [
        f"{'<br>'.join(textwrap.wrap(str(line['family']), FAMILY_A_LINE))}"
        f"<br>{100 * line['share']:.0f}% ({line['n_networks']})"
        for line in shares.to_dict("records")
    ]
    n_columns = min(PANELS_A_ROW, len(shares))
    n_rows = -(-len(shares) // n_columns)
    figure = make_subplots(
        rows=n_rows,
        cols=n_columns,
        subplot_titles=titles,
        shared_yaxes=True,
        horizontal_spacing=0.05,
        vertical_spacing=0.36 / n_rows,
    )
    bound = 0.0
    for number, family in enumerate(shares["family"]):
        weights = np.stack(solved["weights"][counted_as(solved) == family].to_list())
        place = (number // n_columns + 1, number % n_columns + 1)
        bound = max(bound, _add_units_of(figure, weights, width, place))
    # the same scale for all panels and both weights, so that diagonals look like diagonals
    limits = [-1.1 * bound, 1.1 * bound]
    figure.update_xaxes(title="weight from x0", range=limits, zeroline=True)
    figure.update_yaxes(range=limits, zeroline=True)
    figure.update_yaxes(title="weight from x1", col=1)
    figure.update_annotations(font={"size": 11})
    first = shares.iloc[0]
    title = (
        f"{first['family']} is the most frequent family, {100 * first['share']:.0f}% of "
        f"{len(solved):,} solved networks; a dot is a hidden unit"
    )
    # plotly would write the axis' title under each row
    legend = {"orientation": "h", "x": 0, "y": -60 / (250 * n_rows), "yanchor": "top"}
    figure.update_layout(legend=legend)
    # the families are written over the panels
    return titled(figure, title, inside=250 * n_rows, above=50, below=100)


def _add_units_of(
    figure: go.Figure, weights: np.ndarray, width: int, place: tuple[int, int]
) -> float:
    """Add one family's hidden units, by the sign of their outgoing weight.

    Returns the size of their largest weight, without outliers.

    Args:
        place: row and column of the panel.
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
            marker={"color": colour, "symbol": symbol, "size": 4, "opacity": 0.6},
            legendgroup=name,
            showlegend=place == (1, 1),
            name=f"read with {name}",
        )
        figure.add_trace(units, row=place[0], col=place[1])
    return float(np.quantile(np.abs(into), SHARE_IN_VIEW))
