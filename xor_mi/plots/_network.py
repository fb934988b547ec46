"""a network and its circuit -> the network diagram.

All places are in pixels of the figure, which is drawn at its own size: x to the right, y upwards.
"""

import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from xor_mi.circuits import Circuit
from xor_mi.errors import require_kind
from xor_mi.finding import ROUNDING, parameter_text
from xor_mi.graph import Edge, Unit, edges_of, layers_of
from xor_mi.margins import weight_symbols
from xor_mi.model import HookedMLP, require_hooked_mlp
from xor_mi.plots._places import Box, Point, Way, label_places
from xor_mi.plots._style import INK, NEGATIVE, POSITIVE, columns_of, titled

WIDTH, SIDE = 600.0, 8.0
"""Pixels of the figure, wider only for many layers; and of the margin left and right."""
LETTER, LINE = 7.3, 16.0
"""Pixels that a character and a line of a box or of a label take."""
PAD, LABEL_PAD = 7, 2
"""Pixels between the frame of a box and its text, and around the text on an arrow."""
DASHES = "7px,4px"
"""Pixels of a dash, and of a gap, in the arrow of a negative weight."""
LONG_FORMULA, SHORT_FORMULA = 17, 11
"""Characters of a line in a box: for networks with one hidden layer, and for deeper ones."""
BETWEEN, EACH, EACH_IN_LINES = 10.0, 18.0, 30.0
"""Pixels between a unit and the one below it, and for each number beside it, of so many at most:
where name and number stand beside each other, and where one stands over the other.
"""
MOST_BESIDE = 5
PORT = 15.0
"""Pixels of a box's side for each arrow there, of so many at most."""
ARROW = 60.0
"""Pixels of an arrow that its number leaves free, at least."""
PALE = 0.35
"""How opaque the weights of an idle unit are."""
COLOURS, PALE_COLOURS = (NEGATIVE, POSITIVE), ("#b05060", "#567fb0")
"""The colours of a weight's number: negative, not negative, and at an idle unit."""
FAINT, GREY = "#bbbbbb", "#767676"
"""The frame of an idle unit, and what is written in it."""
IDLE_KEYS = {
    "idle": "no output of the circuit depends on it",
    "dead": "it has one value on every input, and its gate is FALSE",
    "always on": "it has one value on every input, and its gate is TRUE",
}
"""The note on a pale unit (`CircuitUnit.note`) -> why it is pale."""
LONGEST_FINDING = 110
"""The title counts the units of a longer circuit and does not write it out."""
KEY_LINE = 17
"""Pixels of a line of the key under the picture."""
LANE = 26
"""Pixels that the arrow of a direct connection takes above the hidden layers, or below them."""
HOVERED = tuple(number / 16 for number in range(17))
"""The points of an arrow that show its hover text, as shares of its length."""


def network_diagram(model: HookedMLP, circuit: Circuit | None = None) -> go.Figure:
    """The network as on a blackboard: weights as arrows, biases and gates in the units.

    Each arrow has its weight's symbol (`margins.weight_symbols`) and number. Positive weights are
    blue, negative ones red and dashed; larger weights are wider. A unit on which no output of the
    circuit depends is pale and has no gate, and its weights are pale too; its hover text says as
    what it could be read. A number without room is only in the hover text; the key under the
    picture says how many there are.
    """
    require_hooked_mlp(model, "a network diagram")
    if circuit is not None:
        require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    weights = _weights(model)
    idle = _idle(circuit)
    boxes, size = _boxes(model, _lines(model, _gates(circuit)), weights)
    ways = _ways(model, [weight.edge for weight in weights], boxes, size)
    arrows = {weight: ways[weight.edge] for weight in weights}
    labels = {weight: _label_size(weight.label) for weight in weights}
    places = label_places(arrows, labels, list(boxes.values()), size)
    figure = go.Figure()
    pale = {weight for weight in weights if {weight.edge.src, weight.edge.dst} & idle.keys()}
    for weight, way in arrows.items():
        figure.add_trace(_line(weight, way, pale=weight in pale))
    figure.add_trace(_heads(arrows, pale))
    _add_labels(figure, places, pale)
    _add_units(figure, model, boxes, circuit, idle)
    hidden = len(weights) - len(places)
    notes = [] if circuit is None else _notes(circuit)
    return _sized(figure, _title(model, circuit), _key(notes, hidden, len(weights)), size)


@dataclass(frozen=True)
class Weight:
    """One arrow.

    Attributes:
        symbol: its short name, such as w12.
        parameter: the entry it is, such as "fc1.weight[0, 1]".
        size: its size as a share of the network's largest weight.
        in_lines: whether the name stands above the number.
    """

    edge: Edge
    symbol: str
    parameter: str
    value: float
    size: float
    in_lines: bool

    @property
    def number(self) -> str:
        return parameter_text(self.value, signed=True)

    @property
    def label(self) -> str:
        return f"{self.symbol}{'<br>' if self.in_lines else ' '}{self.number}"


def _weights(model: HookedMLP) -> list[Weight]:
    """Every weight that is not a bias, layer by layer; what is rounding in its layer is zero."""
    layers = model.float64_layers()
    largest = max(weight.abs().max().item() for weight, _ in layers) or 1.0
    symbol_of = {parameter: symbol for symbol, parameter in weight_symbols(model).items()}
    weights: list[Weight] = []
    for edge in edges_of(model.layer_sizes, direct=model.cfg.direct):
        of_layer, _ = layers[edge.dst.layer]
        column = model.sources[edge.dst.layer].index(edge.src)
        value = _unless_rounding(of_layer[edge.dst.index, column].item(), _scale(model, edge.dst))
        name = "direct" if _is_direct(edge) else f"fc{edge.dst.layer + 1}"
        parameter = f"{name}.weight[{edge.dst.index}, {edge.src.index}]"
        size = abs(value) / largest
        # a deep network has little room between its layers
        in_lines = model.cfg.n_layers > 1
        weights.append(Weight(edge, symbol_of[parameter], parameter, value, size, in_lines))
    return weights


def _scale(model: HookedMLP, unit: Unit) -> float:
    """The largest weight or bias of the unit's layer."""
    weight, bias = model.float64_layers()[unit.layer]
    return max(weight.abs().max().item(), bias.abs().max().item())


def _unless_rounding(value: float, scale: float) -> float:
    return 0.0 if abs(value) < ROUNDING * scale else value


def _is_direct(edge: Edge) -> bool:
    """Whether the edge passes the hidden layers."""
    return edge.dst.layer - edge.src.layer > 1


# texts about the circuit


def _title(model: HookedMLP, circuit: Circuit | None) -> str:
    """The finding about the network, in one sentence."""
    shape = "-".join(map(str, model.layer_sizes))
    if circuit is None:
        return f"The {len(_weights(model))} weights of a {shape} network"
    if not circuit.circuits:
        return _without_circuit(circuit, shape)
    finding = _finding(circuit)
    if not circuit.passing:
        return f"Not proved, the closest circuit: {finding}"
    n = len(circuit.passing)
    return f"The first of {n} circuits: {finding}" if n > 1 else finding


def _without_circuit(circuit: Circuit, shape: str) -> str:
    """The rows that are decided wrong, or that no gates are found."""
    target = circuit.target.name
    if circuit.verdict != "not_computing":
        return f"A {shape} network that decides {target} right, but no circuit of gates is found"
    rows = {row for _, of_problem in circuit.problems for row in of_problem}
    n = len(circuit.target.rows())
    return f"No circuit: {len(rows)} of {n} inputs are not decided as {target} says"


def _finding(circuit: Circuit) -> str:
    """ "h0.0 acts as OR, h0.1 as AND: XOR = h0.0 & ~h0.1", or a shorter form of a long circuit."""
    live = [unit for unit in circuit.units if unit.gate and not unit.idle]
    named = [
        f"{unit.place.name} {'acts as' if number == 0 else 'as'} {unit.gate}"
        for number, unit in enumerate(live)
    ]
    target = circuit.target.name
    readout = f"{target} = {circuit.readout}"
    text = f"{', '.join(named)}: {readout}" if named else readout
    if len(text) <= LONGEST_FINDING:
        return text
    notes = _notes(circuit)
    idle = "".join([f", {notes.count(note)} {note}" for note in IDLE_KEYS if note in notes])
    if len(readout) <= LONGEST_FINDING:
        return f"{readout}, by {len(live)} units that act as gates{idle}"
    return f"{target} by {len(live)} units that act as gates{idle}"


def _idle(circuit: Circuit | None) -> dict[Unit, str]:
    """Unit on which no output depends -> its hover text."""
    if circuit is None:
        return {}
    n = circuit.primary.n_interchange if circuit.primary else 0
    said: dict[Unit, str] = {}
    for unit in circuit.units:
        if not unit.idle:
            continue
        lines = [f"{unit.place.name} is {unit.note}: {IDLE_KEYS[unit.note]}"]
        if not unit.constant:
            lines.append(f"it could be read as {' or '.join(unit.could_be)}")
        if unit.interchange != n:
            lines.append(f"the network agrees on {unit.interchange} of {n} interchanges")
        said[unit.place] = "<br>".join(lines)
    return said


def _gates(circuit: Circuit | None) -> dict[Unit, str]:
    """The text in each unit's box: a hidden unit's gate, an output's formula over the units.

    Of a circuit that is not proved a gate has a question mark.
    """
    if circuit is None or not circuit.circuits:
        return {}
    # of a circuit that is not proved no gate is written as a fact
    doubt = "" if circuit.passing else "?"
    hidden: dict[Unit, str] = {}
    for unit in circuit.units:
        gate = unit.gate + doubt if unit.gate else "no gate"
        hidden[unit.place] = unit.note if unit.idle else gate
    outputs = {gate.unit: gate.formula for gate in circuit.netlist if gate.unit.is_output}
    return hidden | outputs


def _notes(circuit: Circuit) -> list[str]:
    """The notes of the units on which no output depends."""
    return [unit.note for unit in circuit.units if unit.idle]


def _key(notes: Collection[str], n_hidden: int, n_weights: int) -> str:
    """The key of the picture.

    Args:
        notes: the notes of the pale units.
    """
    lines = [
        "arrow: name and value of a weight; blue: positive; red, dashed: negative; wide: large"
    ]
    pale = [note for note in IDLE_KEYS if note in notes]
    if pale:
        lines.append(f"pale: {' or '.join(pale)}; point at a unit to see why")
    if n_hidden:
        lines.append(
            f"{n_hidden} of {n_weights} numbers have no room: point at an arrow to see its weight"
        )
    return "<br>".join(lines)


# where the units stand


def _lines(model: HookedMLP, gates: dict[Unit, str]) -> dict[Unit, list[str]]:
    """The lines in each unit's box: its name, its gate and its bias."""
    symbol_of = {parameter: symbol for symbol, parameter in weight_symbols(model).items()}
    characters = LONG_FORMULA if model.cfg.n_layers == 1 else SHORT_FORMULA
    written: dict[Unit, list[str]] = {}
    for layer in layers_of(model.layer_sizes):
        for unit in layer:
            lines = [f"<b>{unit.name}</b>", *textwrap.wrap(gates.get(unit, ""), characters)]
            if unit.layer >= 0:
                symbol = symbol_of[_bias(unit)]
                lines.append(f"{symbol} {parameter_text(_bias_of(model, unit), signed=True)}")
            written[unit] = lines
    return written


def _bias(unit: Unit) -> str:
    """The name of the parameter of a unit's bias."""
    return f"fc{unit.layer + 1}.bias[{unit.index}]"


def _bias_of(model: HookedMLP, unit: Unit) -> float:
    _, bias = model.float64_layers()[unit.layer]
    return _unless_rounding(bias[unit.index].item(), _scale(model, unit))


def _label_size(label: str) -> Point:
    """Pixels across and down."""
    lines = label.split("<br>")
    return LETTER * max(map(len, lines)) + 2 * LABEL_PAD, LINE * len(lines)


def _box_size(lines: list[str]) -> Point:
    """Pixels across and down, with the frame."""
    longest = max(len(line.removeprefix("<b>").removesuffix("</b>")) for line in lines)
    return max(40.0, LETTER * longest + 2 * PAD), LINE * len(lines) + 2 * PAD


@dataclass(frozen=True)
class _UnitBox(Box):
    """A unit's box.

    Attributes:
        lines: what is written in it.
    """

    lines: tuple[str, ...] = ()


def _boxes(
    model: HookedMLP, lines: dict[Unit, list[str]], weights: list[Weight]
) -> tuple[dict[Unit, _UnitBox], Point]:
    """Place layers from left to right, each spread evenly from top to bottom, first unit on top.

    Returns the boxes, and the size of the picture.
    """
    layers = layers_of(model.layer_sizes)
    sizes: dict[Unit, Point] = {}
    for unit, written in lines.items():
        wide, high = _box_size(written)
        n_out = sum(one.edge.src == unit for one in weights)
        n_in = sum(one.edge.dst == unit for one in weights)
        sizes[unit] = (wide, max(high, PORT * min(MOST_BESIDE, max(n_in, n_out))))
    across = [max(sizes[unit][0] for unit in layer) for layer in layers]
    gaps = _gaps(weights, len(layers) - 1)
    needed = sum(across) + sum(gaps) + 2 * SIDE
    width = max(WIDTH, needed)
    # the remaining width is shared by the gaps; there is no gap after the last layer
    more = (width - needed) / len(gaps)
    gaps = [*(gap + more for gap in gaps), 0.0]
    each = EACH if model.cfg.n_layers == 1 else EACH_IN_LINES
    n_before, n_after = [0, *model.layer_sizes[:-1]], [*model.layer_sizes[1:], 0]
    heights: list[float] = []
    for layer, before, after in zip(layers, n_before, n_after, strict=True):
        heights.append(_height(layer, sizes, max(before, after), each))
    inside = max(heights)
    # arcs past the hidden layers run above and below them
    room = _arc_room(model)
    height = inside + 2 * room
    boxes: dict[Unit, _UnitBox] = {}
    left = SIDE
    for layer, wide, gap in zip(layers, across, gaps, strict=True):
        pitch = inside / len(layer)
        for unit in layer:
            middle = (left + wide / 2, room + inside - (unit.index + 0.5) * pitch)
            boxes[unit] = _UnitBox(middle, (wide, sizes[unit][1]), tuple(lines[unit]))
        left += wide + gap
    return boxes, (width, height)


def _gaps(weights: list[Weight], n_gaps: int) -> list[float]:
    """Pixels between neighbouring layers: room for an arrow and its widest label."""
    widest = [0.0] * n_gaps
    for one in weights:
        layer = one.edge.dst.layer
        widest[layer] = max(widest[layer], _label_size(one.label)[0])
    return [ARROW + width for width in widest]


def _height(layer: list[Unit], sizes: dict[Unit, Point], n_beside: int, each: float) -> float:
    """Pixels from the top of a layer to its bottom.

    Args:
        n_beside: the number of units in the layer before it or after it.
        each: pixels for each of them.
    """
    between = BETWEEN + each * min(MOST_BESIDE, n_beside)
    return len(layer) * (between + max(sizes[unit][1] for unit in layer))


def _arc_room(model: HookedMLP) -> float:
    """Pixels of the direct connections above the hidden layers, and below them."""
    return float(LANE * ((model.cfg.d_in + 1) // 2)) if model.cfg.direct else 0.0


# the arrows


def _ways(
    model: HookedMLP, edges: Sequence[Edge], boxes: dict[Unit, _UnitBox], size: Point
) -> dict[Edge, Way]:
    """From the right side of one box to the left side of another.

    Each arrow has its own place on these sides. A direct connection passes above or below the
    hidden layers.
    """
    leaving: dict[Unit, list[Edge]] = {}
    entering: dict[Unit, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.src, []).append(edge)
        entering.setdefault(edge.dst, []).append(edge)
    d_in = model.cfg.d_in
    starts: dict[Edge, float] = {}
    ends: dict[Edge, float] = {}
    for unit, out in leaving.items():
        ordered = sorted(out, key=lambda edge: (_lane(edge, d_in), edge.dst))
        starts |= _ports(ordered, boxes[unit])
    for unit, into in entering.items():
        ordered = sorted(into, key=lambda edge: (_lane(edge, d_in), edge.src))
        ends |= _ports(ordered, boxes[unit])
    ways: dict[Edge, Way] = {}
    for edge in edges:
        start = (boxes[edge.src].right, starts[edge])
        end = (boxes[edge.dst].left, ends[edge])
        around = _around(edge, d_in, boxes, size) if _is_direct(edge) else ()
        ways[edge] = Way((start, *around, end))
    return ways


def _ports(edges: Sequence[Edge], box: Box) -> dict[Edge, float]:
    """The height of each arrow at a box, the first on top."""
    _, _, bottom, top = box.edges
    step = (top - bottom) / len(edges)
    return {edge: top - (number + 0.5) * step for number, edge in enumerate(edges)}


def _lane(edge: Edge, d_in: int) -> int:
    """The order of arrows from the top down: above the hidden layers, through them, below them.

    Inputs of the upper half pass above; an outer input has an outer arrow.
    """
    if not _is_direct(edge):
        return 0
    number = edge.src.index
    return number - d_in if 2 * number < d_in else 1 + number


def _around(edge: Edge, d_in: int, boxes: dict[Unit, _UnitBox], size: Point) -> tuple[Point, Point]:
    """The two corners of an arrow past the hidden layers."""
    hidden = [box for unit, box in boxes.items() if unit.layer >= 0 and not unit.is_output]
    left, right = min(box.left for box in hidden), max(box.right for box in hidden)
    number = edge.src.index
    is_above = 2 * number < d_in
    rank = number if is_above else d_in - 1 - number
    inwards = LANE * (rank + 0.5)
    height = size[1] - inwards if is_above else inwards
    return (left, height), (right, height)


def _line(weight: Weight, way: Way, *, pale: bool) -> go.Scatter:
    """The line of an arrow, with its hover text."""
    colour, dash = (POSITIVE, "solid") if weight.value >= 0 else (NEGATIVE, DASHES)
    line = way.short(0.6 * _head_size(weight))
    x, y = columns_of(line.through(HOVERED))
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": colour, "width": _line_width(weight), "dash": dash},
        opacity=PALE if pale else 1,
        hoverinfo="text",
        hovertext=_said(weight),
        name=weight.edge.name,
        showlegend=False,
    )


def _line_width(weight: Weight) -> float:
    return 1.0 + 3.5 * weight.size


def _head_size(weight: Weight) -> float:
    return 9 + 7 * weight.size


def _heads(arrows: dict[Weight, Way], pale: Collection[Weight]) -> go.Scatter:
    """The heads of all arrows; each one's direction is given by an unseen point before it."""
    points: list[Point] = []
    sizes: list[float] = []
    colours: list[str] = []
    opacities: list[float] = []
    for weight, way in arrows.items():
        points += [way.at(way.length - 1), way.end]
        sizes += [0, _head_size(weight)]
        colours += [COLOURS[weight.value >= 0]] * 2
        opacities += [PALE if weight in pale else 1] * 2
    x, y = columns_of(points)
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={
            "symbol": "arrow",
            "angleref": "previous",
            "size": sizes,
            "color": colours,
            "opacity": opacities,
            "line": {"width": 0},
        },
        hoverinfo="skip",
        name="heads",
        showlegend=False,
    )


def _said(weight: Weight) -> str:
    """The hover text of an arrow."""
    source, target = weight.edge.src, weight.edge.dst
    return (
        f"{target.name} takes {weight.number} times {source.name}<br>"
        f"{weight.symbol} = {weight.value:.6g} ({weight.parameter})"
    )


def _add_labels(figure: go.Figure, places: dict[Weight, Point], pale: Collection[Weight]) -> None:
    """Name and number of each weight for which there is room."""
    for weight, (x, y) in places.items():
        colours = PALE_COLOURS if weight in pale else COLOURS
        figure.add_annotation(
            x=x,
            y=y,
            text=weight.label,
            font={"color": colours[weight.value >= 0], "size": 12},
            showarrow=False,
            bgcolor="#ffffff",
            borderpad=LABEL_PAD,
            hovertext=_said(weight),
            name=weight.edge.name,
        )


def _add_units(
    figure: go.Figure,
    model: HookedMLP,
    boxes: dict[Unit, _UnitBox],
    circuit: Circuit | None,
    idle: dict[Unit, str],
) -> None:
    """Every unit as a box with its lines.

    Args:
        idle: pale unit -> its hover text.
    """
    gates = _gates(circuit)
    for unit, box in boxes.items():
        x, y = box.middle
        half_x, half_y = box.size[0] / 2, box.size[1] / 2
        # in pixels around the middle, so that it keeps its size if the figure is made smaller
        figure.add_shape(
            type="rect",
            xsizemode="pixel",
            ysizemode="pixel",
            xanchor=x,
            yanchor=y,
            x0=-half_x,
            x1=half_x,
            y0=-half_y,
            y1=half_y,
            fillcolor="#ffffff",
            line={"color": FAINT if unit in idle else INK, "width": 1.5},
            layer="above",
            name=unit.name,
        )
        figure.add_annotation(
            x=x,
            y=y,
            text="<br>".join(box.lines),
            showarrow=False,
            font={"size": 12, "color": GREY if unit in idle else INK},
            hovertext=idle.get(unit) or _said_of(model, unit, gates.get(unit)),
            name=unit.name,
        )


def _said_of(model: HookedMLP, unit: Unit, gate: str | None) -> str:
    """The hover text of a unit."""
    if unit.layer < 0:
        off, on = model.cfg.input_levels
        return f"{unit.name} is an input: {off:g} for bit 0, {on:g} for bit 1"
    acts = f"{unit.name} acts as {gate}" if gate else f"{unit.name} has no gate"
    bias = parameter_text(_bias_of(model, unit), signed=True)
    activation = model.cfg.act_name(unit.layer) if not unit.is_output else model.cfg.out_act_fn
    return f"{acts}<br>its bias is {bias} ({_bias(unit)}), its activation {activation}"


# the whole picture


def _sized(figure: go.Figure, title: str, key: str, size: Point) -> go.Figure:
    """Title above, key below, and between them the picture at its own size."""
    width, height = size
    below = 12 + KEY_LINE * (key.count("<br>") + 1)
    figure.update_xaxes(visible=False, range=[0, width], fixedrange=True)
    figure.update_yaxes(visible=False, range=[0, height], fixedrange=True)
    figure.add_annotation(
        x=0,
        y=0,
        xref="paper",
        yref="paper",
        xshift=SIDE,
        yshift=-4,
        xanchor="left",
        yanchor="top",
        align="left",
        text=key,
        showarrow=False,
        font={"size": 12, "color": INK},
        name="key",
    )
    titled(figure, title, inside=round(height), below=below, width=round(width))
    return figure.update_layout(margin={"l": 0, "r": 0}, hoverdistance=12)
