"""searches for explanations -> the lattice of perfect subcircuits, counts, scores."""

from collections import Counter, defaultdict
from itertools import cycle, product
from math import log10

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from xor_mi.errors import XorMiError, require_kind, whole_number
from xor_mi.graph import Edge, Subcircuit, name_of_set
from xor_mi.plots._heatmap import heatmap
from xor_mi.plots._style import BAR, INK, NEGATIVE, POSITIVE, bars_height, layout, titled
from xor_mi.search import (
    SCORES,
    AlignmentSearch,
    ConventionCounts,
    EdgeMasks,
    IdentifiabilityReport,
    NodeMasks,
    SubcircuitSearch,
)

COUNTS = {
    "n_subcircuits": "subcircuits",
    "n_perfect": "perfect",
    "n_minimal": "minimal",
    "n_interpretations": "interpretations",
    "n_aligned": "formulas that align",
    "n_alignments": "alignments",
}
"""The columns of a table of counts that are drawn -> their names."""
BELOW = 50
"""Pixels of the legend under a picture."""
MOST_DRAWN = 10**300
"""The vertical axis ends a little above this."""

EdgeSets = list[frozenset[Edge]]
Cover = tuple[int, int]
"""(a smaller set, a larger set that contains it, without a set in between), by number."""


def subcircuit_lattice(search: SubcircuitSearch, *, limit: int = 150) -> go.Figure:
    """The subcircuits that decide every input right, by number of edges.

    Lines join each subcircuit to the next larger ones that contain it, and minimal ones are filled
    squares; hover texts list the edges. If there are more than `limit`, those with the fewest edges
    are drawn, and the title says so. If there is only one, the title lists its edges, and a report
    leaves the picture out.

    Raises:
        XorMiError: no perfect subcircuit to draw, or a limit below 1.
    """
    require_kind("search", search, SubcircuitSearch, give="what find_subcircuits returns")
    limit = whole_number("limit", limit, at_least=1)
    if search.n_perfect == 0:
        raise XorMiError(
            "this search has no perfect subcircuit, so there is nothing to draw; try another "
            "network or convention"
        )
    shown = _smallest(search, limit)
    sets = [frozenset(subcircuit.edges) for subcircuit in shown]
    covers = _covers(sets)
    x = _positions(sets, covers)
    figure = go.Figure(_containment_lines(sets, covers, x))
    minimal = set(search.minimal)
    for is_minimal in (False, True):
        numbers = [k for k, one in enumerate(shown) if (one in minimal) == is_minimal]
        figure.add_trace(_points(shown, numbers, x, is_minimal))
    n_of_size = Counter(map(len, sets))
    sizes = sorted(n_of_size)
    figure.update_yaxes(
        title="edges kept (how many so)",
        tickvals=sizes,
        ticktext=[f"{size} ({n_of_size[size]})" for size in sizes],
    )
    figure.update_xaxes(visible=False)
    title = _title(search, len(minimal), limit)
    if search.n_perfect == 1:
        title = (
            f"Only one of {search.total} subcircuits decides every input right: {_edges(shown[0])}"
        )
    height = max(200, 60 * len(sizes))
    legend = {"orientation": "h", "x": 0, "y": -20 / height, "yanchor": "top"}
    figure.update_layout(legend=legend)
    return titled(figure, title, inside=height, below=BELOW).update_layout(margin={"r": 20})


def _edges(subcircuit: Subcircuit) -> str:
    """The number of edges that it keeps, and their names."""
    names = ", ".join(edge.name for edge in subcircuit.edges)
    return f"it keeps {len(subcircuit.edges)} edges, {names}"


def _smallest(search: SubcircuitSearch, limit: int) -> list[Subcircuit]:
    """At most `limit` subcircuits, those with the fewest edges."""
    # search.masks holds, per layer, the kept sources of every unit as bits, [subcircuit, unit]
    n_edges_of_layer = [np.bitwise_count(layer).astype(int).sum(1) for layer in search.masks]
    n_edges = np.sum(n_edges_of_layer, axis=0)
    # stable, so that subcircuits of one size stay in the order of the search
    order = np.argsort(n_edges, kind="stable")
    return [search[number] for number in order[:limit].tolist()]


def _title(search: SubcircuitSearch, n_minimal: int, limit: int) -> str:
    drawn = "" if search.n_perfect <= limit else f"; the {limit} with the fewest edges drawn"
    stopped = "" if search.complete else " (search stopped early)"
    fewest = len(_smallest(search, 1)[0].edges)
    return (
        f"{search.n_perfect} of {search.total} subcircuits decide every input right, "
        f"{n_minimal} minimal; the smallest keep {fewest} edges{stopped}{drawn}"
    )


def _containment_lines(sets: EdgeSets, covers: list[Cover], x: list[float]) -> go.Scatter:
    lines_x: list[float | None] = []
    lines_y: list[int | None] = []
    # plotly breaks a line at None
    for low, high in covers:
        lines_x += [x[low], x[high], None]
        lines_y += [len(sets[low]), len(sets[high]), None]
    return go.Scatter(
        x=lines_x,
        y=lines_y,
        mode="lines",
        line={"color": "#999999", "width": 0.8},
        hoverinfo="skip",
        name="is contained in",
    )


def _points(
    shown: list[Subcircuit], numbers: list[int], x: list[float], is_minimal: bool
) -> go.Scatter:
    name = "minimal: contains no other" if is_minimal else "perfect"
    symbol, size = ("square", 12) if is_minimal else ("circle-open", 8)
    return go.Scatter(
        x=[x[k] for k in numbers],
        y=[len(shown[k].edges) for k in numbers],
        hovertext=[_words(shown[k]) for k in numbers],
        mode="markers",
        hoverinfo="text",
        marker={"symbol": symbol, "size": size, "color": INK},
        name=name,
    )


def _covers(sets: EdgeSets) -> list[Cover]:
    """Pairs of drawn sets without a drawn set in between; the sets come in order of size."""
    n = len(sets)
    is_inside = np.array([a < b for a, b in product(sets, repeat=2)]).reshape(n, n)
    # a set inside a set that is inside this one has another set in between
    is_further = is_inside.astype(int) @ is_inside.astype(int) > 0
    return [(int(a), int(b)) for a, b in np.argwhere(is_inside & ~is_further)]


def _positions(sets: EdgeSets, covers: list[Cover]) -> list[float]:
    """Each level spread evenly over [0, 1].

    Its members are in the order of the mean position of what they contain.
    """
    below: defaultdict[int, list[int]] = defaultdict(list)
    for low, high in covers:
        below[high].append(low)
    levels: defaultdict[int, list[int]] = defaultdict(list)
    for k, edges in enumerate(sets):
        levels[len(edges)].append(k)
    x = [0.5] * len(sets)
    for size in sorted(levels):
        # smaller sets come first, so the sets that a set contains have their positions by now
        mean_below = {k: _mean(x, below[k]) for k in levels[size]}
        for rank, k in enumerate(sorted(levels[size], key=mean_below.__getitem__), start=1):
            x[k] = rank / (len(levels[size]) + 1)
    return x


def _mean(x: list[float], members: list[int]) -> float:
    """The mean position of these sets; the middle if there are none."""
    return float(np.mean([x[k] for k in members])) if members else 0.5


def _words(subcircuit: Subcircuit) -> str:
    """The hover text: its size, and its edges, one line per target unit."""
    into: defaultdict[str, list[str]] = defaultdict(list)
    for edge in subcircuit.edges:
        into[edge.dst.name].append(edge.name)
    head = f"{len(subcircuit.edges)} edges, units {name_of_set(subcircuit.units)}"
    return "<br>".join([head, *(", ".join(names) for names in into.values())])


def counts_figure(counts: ConventionCounts | IdentifiabilityReport) -> go.Figure:
    """`compare_conventions`: the number of explanations under each convention.

    Subcircuits, perfect ones, interpretations and alignments, on a logarithmic scale. A count of 0,
    a count that was not made, or a count of more than 300 digits has no bar.

    Raises:
        XorMiError: a comparison without any convention.
    """
    require_kind(
        "counts",
        counts,
        (ConventionCounts, IdentifiabilityReport),
        give="what compare_conventions returns",
    )
    # the table of a report holds its counts
    table = counts.frame()
    if table.empty:
        raise XorMiError(
            "this comparison has no counts, so there is nothing to draw; leave `conventions` out "
            "to count under all of them"
        )
    figure = go.Figure()
    looks = cycle([(POSITIVE, ""), (NEGATIVE, "/"), ("#bbbbbb", "x")])
    for line, (colour, hatching) in zip(table.to_dict("records"), looks, strict=False):
        made = {name: line[column] for column, name in COUNTS.items() if not pd.isna(line[column])}
        made = {name: count for name, count in made.items() if count < MOST_DRAWN}
        bars = go.Bar(
            x=list(made),
            # a page reads whole numbers of at most 64 bits
            y=[float(count) for count in made.values()],
            text=[f"{count:,}" for count in made.values()],
            textposition="outside",
            cliponaxis=False,
            marker={
                "color": colour,
                "line": {"color": INK, "width": 1},
                "pattern": {"shape": hatching},
            },
            name=line["convention"],
        )
        figure.add_trace(bars)
    figure.update_xaxes(title="explanations of this kind", type="category")
    # the axis begins below 1, so that a count of 1 has a bar
    figure.update_yaxes(
        title="how many (logarithmic)", type="log", autorangeoptions={"include": [0.5]}
    )
    layout(figure, "How many explanations there are, by convention", height=460)
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return figure.update_layout(barmode="group", margin={"b": 60}, legend=legend)


def alignments_figure(search: AlignmentSearch, *, limit: int = 30) -> go.Figure:
    """`find_alignments`: the number of minimal alignments of each formula, the largest first.

    If there are more than `limit` formulas, the title says how many are left out.

    Raises:
        XorMiError: no formula aligns, or a limit below 1.
    """
    require_kind("search", search, AlignmentSearch, give="what find_alignments returns")
    table = search.frame().sort_values("n_minimal_alignments", ascending=False, kind="stable")
    limit = whole_number("limit", limit, at_least=1)
    if table.empty:
        raise XorMiError(
            "no formula aligns, so there is nothing to draw; try a larger depth or another "
            "convention"
        )
    shown = table.head(limit)
    bars = go.Bar(
        y=shown["formula"],
        x=shown["n_minimal_alignments"],
        orientation="h",
        marker=BAR,
        text=shown["n_minimal_alignments"],
    )
    figure = go.Figure(bars)
    figure.update_xaxes(title="minimal alignments", rangemode="tozero")
    figure.update_yaxes(title="formula", type="category", autorange="reversed")
    left_out = f"; {len(table) - limit} more are not drawn" if len(table) > limit else ""
    title = f"{len(table)} of {len(search.formulas)} formulas align{left_out}"
    return layout(figure, title, height=bars_height(len(shown)))


def node_masks_heatmap(masks: NodeMasks) -> go.Figure:
    """`node_masks`: the scores of every set of hidden units under patching.

    * marks a set that decides every row right on its own.
    """
    require_kind("masks", masks, NodeMasks, give="what node_masks returns")
    table = masks.frame()
    marks = {True: " *", False: ""}
    names = table["units"] + table["perfect"].map(marks)
    return heatmap(
        table[list(SCORES)].to_numpy(float).tolist(),
        columns=list(SCORES),
        rows=names.tolist(),
        unit="recovered<br>fraction",
        title="Sets of hidden units under patching (* = decides every row right on its own)",
        row_title="units kept",
        column_title="score",
    )


def edge_masks_bars(masks: EdgeMasks) -> go.Figure:
    """`edge_masks`: the number of sets of edges of each size, and of perfect ones.

    The scale of counts is logarithmic; a count of 0 has no bar.

    Raises:
        XorMiError: anything but what edge_masks returns.
    """
    require_kind("masks", masks, EdgeMasks, give="what edge_masks returns")
    table = masks.frame()
    kinds = (("n_masks", "all", BAR), ("n_perfect", "decide every row right", {"color": POSITIVE}))
    figure = go.Figure(
        [
            go.Bar(
                x=table["n_edges"].tolist(),
                y=table[column].tolist(),
                name=name,
                marker=marker,
                hovertemplate=f"%{{y:,}} of %{{x}} edges: {name}<extra></extra>",
            )
            for column, name, marker in kinds
        ]
    )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="edges kept")
    # the axis starts at a half, so that a count of 1 has a bar
    log_range = [log10(0.5), log10(2 * table["n_masks"].max())]
    figure.update_yaxes(title="sets of edges, log scale", type="log", range=log_range)
    decide = "decides" if masks.n_perfect == 1 else "decide"
    title = f"{masks.n_perfect:,} of {len(masks):,} sets of edges {decide} every row right"
    if masks.n_perfect:
        title += f"; the smallest keep {masks.n_edges[masks.perfect].min()}"
    return layout(figure, title)
