"""a network and its circuit -> the diagram."""

import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain

import plotly.graph_objects as go

from xor_mi.circuits import Circuit
from xor_mi.errors import require_kind
from xor_mi.finding import number_text
from xor_mi.graph import Edge, Unit, edges_of, layers_of
from xor_mi.model import HookedMLP, require_hooked_mlp
from xor_mi.plots._style import INK, NEGATIVE, POSITIVE, columns_of, layout

Point = tuple[float, float]

LABEL_PLACES = (0.3, 0.27, 0.34, 0.38, 0.42, 0.46, 0.5, 0.54, 0.58, 0.62)
"""Where on an edge its weight may be written, as a share of its length; the first is best."""
LETTER_SIZE = (7.5, 16)
"""Pixels that a character of a weight's number takes, across and down."""
UNIT_PIXELS = (240, 100)
"""Pixels from one layer to the next, and from a unit to the one below it."""
ARROW_AT = 0.76
"""Where on an edge the head of its arrow is, as a share of its length: before the unit's box."""
ARC_SHARES = tuple(sorted({ARROW_AT, *(n / 32 for n in range(33))}))
"""The points of an edge that is no straight line."""
PALE = 0.3
"""How opaque the weights of an idle unit are."""
COLOURS, PALE_COLOURS = (NEGATIVE, POSITIVE), ("#cc7482", "#7a9fc8")
"""Of a weight's number: negative, not negative; and at an idle unit."""
FAINT, GREY = "#bbbbbb", "#767676"
"""The box of an idle unit, and what is written in it."""
CHARACTERS_OF_TITLE = 66
"""Of a line of the title; the playground draws the diagram smaller than it is by itself."""
CHARACTERS_A_LINE = 22
"""A gate's formula is broken into lines of this length in its unit's box."""


def network_diagram(model: HookedMLP, circuit: Circuit | None = None) -> go.Figure:
    """The network as drawn on a board: weights as arrows, biases and gates on the units.

    Positive weights are blue, negative ones red and dashed; the width goes by size. A unit that no
    output of the circuit depends on is pale, without a gate, and so are its weights: what it could
    be read as is said where the mouse is on it.
    """
    require_hooked_mlp(model, "a network diagram")
    if circuit is not None:
        require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    layers = layers_of(model.layer_sizes)
    spots = _spots(layers)
    figure = go.Figure()
    idle, lines = _idle(circuit), _lines(model, spots, _gates(circuit))
    _add_edges(figure, model, spots, lines, idle)
    _add_units(figure, spots, lines, idle)
    widest = max(map(len, layers))
    half = widest / 2 + 0.1
    if model.cfg.direct:
        # the widest arc, and its label
        half = max(half, _peak(model, (model.cfg.d_in - 1) / 2) + 0.2)
    figure.update_xaxes(visible=False, range=[-1.3, len(layers) - 1.5])
    figure.update_yaxes(visible=False, range=[-half, half])
    pale = "; pale: idle" if idle else ""
    heading = f"Weights{_whose_gates(circuit)}"
    key = f"(blue solid +, red dashed -; width by size{pale})"
    space = " " if len(heading) + len(key) < CHARACTERS_OF_TITLE else "<br>"
    title = f"{heading}{space}{key}"
    width, height = max(700, 280 * len(layers)), max(360, round(220 * half + 98))
    return layout(figure, title, width=width, height=height)


def _spots(layers: list[list[Unit]]) -> dict[Unit, Point]:
    """Layers from left to right, each centred, its first unit on top."""
    spots: dict[Unit, Point] = {}
    for layer in layers:
        middle = (len(layer) - 1) / 2
        for unit in layer:
            spots[unit] = (float(unit.layer), middle - unit.index)
    return spots


def _whose_gates(circuit: Circuit | None) -> str:
    """' and gates', of which circuit where that is not the only one that is proved."""
    if circuit is None or not circuit.circuits:
        return ""
    if not circuit.passing:
        return " and gates of the closest circuit, which is not proved"
    return " and gates" + (" of the first circuit" if circuit.passing[1:] else "")


def _idle(circuit: Circuit | None) -> dict[Unit, str]:
    """Unit that no output depends on -> what is said of it where the mouse is on it."""
    if circuit is None:
        return {}
    n = circuit.primary.n_interchange if circuit.primary else 0
    said: dict[Unit, str] = {}
    for unit in circuit.units:
        if not unit.idle:
            continue
        lines = [
            "no output of the circuit depends on it",
            f"it could be read as {' or '.join(unit.could_be)}",
        ]
        if unit.interchange != n:
            lines.append(f"the network agrees on {unit.interchange} of {n} interchanges")
        said[unit.place] = "<br>".join(lines)
    return said


def _gates(circuit: Circuit | None) -> dict[Unit, str]:
    """What is written on a unit: a hidden unit's gate, an output's formula over the units."""
    if circuit is None:
        return {}
    hidden = {
        unit.place: unit.note if unit.idle else unit.gate or "no gate" for unit in circuit.units
    }
    outputs = {gate.unit: gate.formula for gate in circuit.netlist if gate.unit.is_output}
    return hidden | outputs


def _add_edges(
    figure: go.Figure,
    model: HookedMLP,
    spots: dict[Unit, Point],
    lines: dict[Unit, list[str]],
    idle: Collection[Unit],
) -> None:
    """Every weight as an arrow with its number; pale at an idle unit.

    Args:
        lines: what is written in each unit's box, which numbers keep off.
    """
    weights = [weight for weight, _ in model.float64_layers()]
    largest = max(weight.abs().max().item() for weight in weights) or 1.0
    values = chain.from_iterable(weight.flatten().tolist() for weight in weights)
    longest = max(len(number_text(value, signed=True)) for value in values)
    boxes = [(spots[unit], _half_size(lines[unit], longest)) for unit in spots]
    labels: list[Point] = []
    for edge in edges_of(model.layer_sizes, direct=model.cfg.direct):
        column = model.sources[edge.dst.layer].index(edge.src)
        value = weights[edge.dst.layer][edge.dst.index, column].item()
        way = _way(edge, model, spots)
        pale = edge.src in idle or edge.dst in idle
        arrow = _arrow(edge, way, value, abs(value) / largest)
        figure.add_trace(arrow.update(opacity=PALE if pale else 1))
        at = _label_spot(way, labels, boxes)
        labels.append(at)
        figure.add_annotation(
            x=at[0],
            y=at[1],
            text=number_text(value, signed=True),
            font={"color": (PALE_COLOURS if pale else COLOURS)[value >= 0], "size": 12},
            showarrow=False,
            bgcolor="#ffffff",
        )


Way = Callable[[float], Point]
"""Where an edge is after a share of its length."""


def _way(edge: Edge, model: HookedMLP, spots: dict[Unit, Point]) -> Way:
    """Straight from unit to unit; past the hidden layers in an arc over them, or under them."""
    (x0, y0), (x1, y1) = spots[edge.src], spots[edge.dst]
    if not _is_direct(edge):
        return lambda share: (x0 + share * (x1 - x0), y0 + share * (y1 - y0))
    # the inputs of the upper half go over the hidden layers
    side = 1 if y0 > 0 or (y0 == 0 and edge.src.index == 0) else -1
    peak = side * _peak(model, abs(y0))

    def arc(share: float) -> Point:
        rise = 4 * share * (1 - share)
        straight = y0 + share * (y1 - y0)
        return x0 + share * (x1 - x0), straight + rise * (peak - (y0 + y1) / 2)

    return arc


def _is_direct(edge: Edge) -> bool:
    """Whether it passes the hidden layers."""
    return edge.dst.layer - edge.src.layer > 1


def _peak(model: HookedMLP, start: float) -> float:
    """How far from the middle an arc goes: clear of the hidden layers' units.

    The further out it starts, the wider it is, so that arcs do not cross.
    """
    return max(model.cfg.d_hidden) / 2 + 0.1 + 0.35 * start


def _arrow(edge: Edge, way: Way, value: float, size: float) -> go.Scatter:
    """A weight; size is its share of the network's largest."""
    colour, dash = (POSITIVE, "solid") if value >= 0 else (NEGATIVE, "dash")
    shares = ARC_SHARES if _is_direct(edge) else (0.0, ARROW_AT, 1.0)
    points = [way(share) for share in shares]
    head_at = shares.index(ARROW_AT)
    head = {
        "line": {"width": 0},
        "opacity": 1,
        "symbol": "arrow",
        "angleref": "previous",
        "size": [10 + 9 * size if n == head_at else 0 for n in range(len(points))],
        "color": colour,
    }
    x, y = columns_of(points)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": colour, "width": 0.8 + 5 * size, "dash": dash},
        marker=head,
        hoverinfo="skip",
        showlegend=False,
    )


def _half_size(lines: Sequence[str], longest: int) -> Point:
    """Half of what a number keeps off around a unit: its box with these lines, and the number.

    Args:
        longest: how many characters a number has at most.
    """
    across = 7 * max(len(line.removeprefix("<b>").removesuffix("</b>")) for line in lines) + 15
    down = 17 * len(lines) + 15
    return (
        (across + LETTER_SIZE[0] * longest) / 2 / UNIT_PIXELS[0],
        (down + LETTER_SIZE[1]) / 2 / UNIT_PIXELS[1],
    )


def _label_spot(way: Way, labels: list[Point], boxes: list[tuple[Point, Point]]) -> Point:
    """Of several spots along an edge, the one furthest from the labels already there.

    One that touches no box, if there is such a one.

    Args:
        boxes: the middle of each, and how far a label must be from it, across or down.
    """
    along = [way(share) for share in LABEL_PLACES]
    free = [
        (x, y)
        for x, y in along
        if all(abs(x - at[0]) > size[0] or abs(y - at[1]) > size[1] for at, size in boxes)
    ]
    spots = free or along

    def room(spot: Point) -> float:
        # labels are wider than high: a distance along y counts more
        distances = [2 * abs(spot[0] - x) + 3 * abs(spot[1] - y) for x, y in labels]
        return min(distances, default=0.0)

    return max(spots, key=room)


def _lines(
    model: HookedMLP, units: Iterable[Unit], gates: dict[Unit, str]
) -> dict[Unit, list[str]]:
    """What is written in each unit's box: its name, its gate and its bias."""
    biases = [bias for _, bias in model.float64_layers()]
    written: dict[Unit, list[str]] = {}
    for unit in units:
        lines = [f"<b>{unit.name}</b>", *textwrap.wrap(gates.get(unit, ""), CHARACTERS_A_LINE)]
        if unit.layer >= 0:
            bias = biases[unit.layer][unit.index].item()
            lines.append(f"bias {number_text(bias, signed=True)}")
        written[unit] = lines
    return written


def _add_units(
    figure: go.Figure,
    spots: dict[Unit, Point],
    lines: dict[Unit, list[str]],
    idle: dict[Unit, str],
) -> None:
    """Every unit as a box with its lines.

    Args:
        idle: the units that are pale, and what is said of each.
    """
    for unit, (x, y) in spots.items():
        figure.add_annotation(
            x=x,
            y=y,
            text="<br>".join(lines[unit]),
            showarrow=False,
            bgcolor="#ffffff",
            bordercolor=FAINT if unit in idle else INK,
            borderwidth=1.5,
            borderpad=6,
            font={"size": 13, "color": GREY if unit in idle else INK},
            hovertext=idle.get(unit),
        )
