"""a search for subcircuits -> the lattice of the perfect ones."""

from collections import defaultdict

import numpy as np
import plotly.graph_objects as go

from xor_mi.errors import XorMiError
from xor_mi.graph import Subcircuit
from xor_mi.plots._style import INK, layout
from xor_mi.search import SubcircuitSearch


def subcircuit_lattice(search: SubcircuitSearch, *, limit: int = 150) -> go.Figure:
    """The subcircuits that decide every input right, by number of edges; lines join each to the
    next larger ones that contain it, and the minimal ones are filled squares. Beyond `limit` those
    with the fewest edges are drawn, and the title says so.

    Raises:
        XorMiError: no perfect subcircuit to draw, or a limit below 1.
    """
    if search.n_perfect == 0 or limit < 1:
        raise XorMiError(
            f"{search.n_perfect} perfect subcircuits and a limit of {limit}: nothing to draw; try another network or convention"
        )
    minimal = set(search.minimal)
    sizes = np.sum([np.bitwise_count(layer).astype(int).sum(1) for layer in search.masks], axis=0)
    shown = [search[index] for index in np.argsort(sizes, kind="stable")[:limit].tolist()]
    edges = [frozenset(part.edges) for part in shown]
    above = _covers(edges)
    x = _positions(edges, above)
    figure = go.Figure()
    lines_x, lines_y = [], []
    for low, high in above:
        lines_x += [x[low], x[high], None]
        lines_y += [len(edges[low]), len(edges[high]), None]
    line = {"color": "#999999", "width": 0.8}
    figure.add_trace(
        go.Scatter(
            x=lines_x, y=lines_y, mode="lines", line=line, hoverinfo="skip", name="is contained in"
        )
    )
    for is_minimal, name, marker in (
        (False, "perfect", {"symbol": "circle-open", "size": 8, "color": INK}),
        (True, "minimal: contains no other", {"symbol": "square", "size": 12, "color": INK}),
    ):
        chosen = [k for k, part in enumerate(shown) if (part in minimal) == is_minimal]
        points = {
            "x": [x[k] for k in chosen],
            "y": [len(edges[k]) for k in chosen],
            "hovertext": [_said(shown[k]) for k in chosen],
        }
        figure.add_trace(
            go.Scatter(**points, mode="markers", hoverinfo="text", marker=marker, name=name)
        )
    by_size = defaultdict(int)
    for part in edges:
        by_size[len(part)] += 1
    ticks = sorted(by_size)
    figure.update_yaxes(
        title="edges kept (subcircuits drawn)",
        tickvals=ticks,
        ticktext=[f"{n} ({by_size[n]})" for n in ticks],
    )
    figure.update_xaxes(visible=False)
    drawn = "" if search.n_perfect <= limit else f"; the {limit} with the fewest edges drawn"
    stopped = "" if search.complete else " (search stopped early)"
    title = f"{search.n_perfect} of {search.total} subcircuits decide every input right, {len(minimal)} minimal{stopped}{drawn}"
    return layout(figure, title, width=900, height=max(360, 60 * len(ticks) + 160))


def _covers(edges: list[frozenset]) -> list[tuple[int, int]]:
    """(small, large) where nothing drawn lies between; the sets come in order of size."""
    inside = np.array([[a < b for b in edges] for a in edges])
    between = inside.astype(int) @ inside.astype(int) > 0
    return [(int(a), int(b)) for a, b in np.argwhere(inside & ~between)]


def _positions(edges: list[frozenset], above: list[tuple[int, int]]) -> list[float]:
    """Each level spread evenly over [0, 1], in the order of the mean place of what its members
    contain.
    """
    below = defaultdict(list)
    for low, high in above:
        below[high].append(low)
    levels = defaultdict(list)
    for k, part in enumerate(edges):
        levels[len(part)].append(k)
    x = [0.5] * len(edges)
    for size in sorted(levels):
        place = {
            k: float(np.mean([x[low] for low in below[k]])) if below[k] else 0.5
            for k in levels[size]
        }
        for rank, k in enumerate(sorted(levels[size], key=lambda k: place[k]), start=1):
            x[k] = rank / (len(levels[size]) + 1)
    return x


def _said(part: Subcircuit) -> str:
    return (
        f"{len(part.edges)} edges, units {', '.join(unit.name for unit in part.units)}<br>"
        + "<br>".join(
            ", ".join(edge.name for edge in part.edges if edge.dst == unit)
            for unit in dict.fromkeys(edge.dst for edge in part.edges)
        )
    )
