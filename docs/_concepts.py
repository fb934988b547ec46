"""The pictures of docs/concepts, each of which says one thing: `make figures` draws them."""

import html
import io
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path

import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots

from xor_mi import HookedMLP, identify_circuit, patch, plots, zoo
from xor_mi.circuits import CircuitUnit, Reading, unit_readings
from xor_mi.handmade import textbook_xor
from xor_mi.truth import row_name, truth_rows

PLACE = Path(__file__).parent / "concepts"
INK, GREY, BLUE, RED = "#222222", "#888888", "#2166ac", "#b2182b"
UNIT_COLOURS, UNIT_DASHES = (BLUE, RED), ("solid", "dash")
PALE, WHITE = "#d1e5f0", "#ffffff"
ROWS = [row_name(row) for row in truth_rows(2)]
MOST_BYTES = 120_000


def write_concepts() -> None:
    """Every picture, as a PNG beside the page that shows it."""
    for name, draw in PICTURES.items():
        file = PLACE / f"{name}.png"
        image = Image.open(io.BytesIO(draw().to_image("png", scale=2))).convert("RGB")
        image.quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)
        size = file.stat().st_size
        assert size < MOST_BYTES, f"{file.name} has {size:,} bytes"
        print(f"{file.name}: {size:,} bytes")


def laid_out(figure: go.Figure, title: str, *, height: int) -> go.Figure:
    """The look that the pictures share: ink on white, 600 pixels, a title that is a finding."""
    return figure.update_layout(
        template="simple_white",
        title={"text": title, "x": 0.02, "y": 0.97, "yanchor": "top", "font": {"size": 15}},
        width=600,
        height=height,
        font={"color": INK, "size": 13},
        margin={"l": 20, "r": 20, "t": 50, "b": 30},
        showlegend=False,
    )


def reading() -> go.Figure:
    """The values of one unit on a line, cut in both places where it can be cut."""
    model = textbook_xor()
    _, cache = model.run_with_cache(model.rows())
    values = cache["post", 0][:, 0]
    found = unit_readings(values)
    at = dict(zip(ROWS, values.tolist(), strict=True))
    figure = make_subplots(rows=len(found), cols=1, vertical_spacing=0.16)
    for line, one in enumerate(found, start=1):
        _draw_cut(figure, line, one, at)
    figure.update_yaxes(visible=False, range=[-1, 1.15])
    figure.update_xaxes(range=[-0.35, 2.35], tickvals=[0, 1, 2])
    figure.update_xaxes(title_text="activation of h0.0", row=len(found))
    title = "One unit, two readings: relu(x0 + x1) is an OR or an AND"
    return laid_out(figure, title, height=390)


def _draw_cut(figure: go.Figure, line: int, one: Reading, at: dict[str, float]) -> None:
    """One line: the values as dots, filled where the bit is 1, the threshold and both levels."""
    places = {
        value: [name for name, other in at.items() if other == value] for value in at.values()
    }
    figure.add_scatter(
        x=list(places),
        y=[0] * len(places),
        mode="markers+text",
        text=[", ".join(names) for names in places.values()],
        textposition="top center",
        marker={
            "size": 16,
            "color": [BLUE if value > one.threshold else WHITE for value in places],
            "line": {"color": BLUE, "width": 2},
        },
        row=line,
        col=1,
    )
    for level, word in ((one.low, "level of bit 0"), (one.high, "level of bit 1")):
        figure.add_scatter(
            x=[level],
            y=[-0.42],
            mode="markers+text",
            text=[f"{word}: {level:.2f}"],
            textposition="bottom center",
            marker={"symbol": "triangle-up", "size": 11, "color": INK},
            row=line,
            col=1,
        )
    cut = {"color": RED, "width": 2, "dash": "dash"}
    figure.add_vline(x=one.threshold, line=cut, row=line, col=1)
    figure.add_annotation(
        x=one.threshold,
        y=1.05,
        text=f"above {one.threshold:g}: <b>{one.gate}</b>, margin {one.margin:.2f}",
        showarrow=False,
        font={"color": RED},
        bgcolor=WHITE,
        row=line,
        col=1,
    )


def proof() -> go.Figure:
    """The decision of every interchange of one unit, beside what either role predicts."""
    model = textbook_xor()
    bits = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1]}
    figure = make_subplots(
        rows=1,
        cols=2,
        horizontal_spacing=0.14,
        subplot_titles=["as AND: 16 of 16", "as OR: 6 of 16"],
    )
    agreed = []
    for column, (gate, table) in enumerate(bits.items(), start=1):
        n_agreed = 0
        for base, source in product(range(4), repeat=2):
            decided = _decided(model, base, source)
            kept = bits["OR"][base] if gate == "AND" else bits["AND"][base]
            bit = table[source]
            predicted = kept & ~bit & 1 if gate == "AND" else bit & ~kept & 1
            agrees = decided == predicted
            n_agreed += agrees
            box = {"x0": source - 0.46, "x1": source + 0.46, "y0": base - 0.46, "y1": base + 0.46}
            figure.add_shape(
                type="rect",
                **box,
                fillcolor=PALE if agrees else WHITE,
                line={"color": BLUE if agrees else RED, "width": 1 if agrees else 2.5},
                row=1,
                col=column,
            )
            words = f"{decided}" if agrees else f"{decided}, not {predicted}"
            figure.add_annotation(
                x=source,
                y=base,
                text=words,
                showarrow=False,
                font={"size": 16 if agrees else 12},
                row=1,
                col=column,
            )
        agreed.append(n_agreed)
    assert agreed == [16, 6]
    axis = {"tickvals": [0, 1, 2, 3], "ticktext": ROWS, "range": [-0.55, 3.55]}
    figure.update_xaxes(title_text="source: where h0.1 is from", **axis)
    figure.update_yaxes(**axis | {"range": [3.55, -0.55]})
    figure.update_yaxes(title_text="base: the input of the rest", col=1)
    title = "With h0.1 from another run, the network decides as an AND would"
    figure = laid_out(figure, title, height=380)
    return figure.update_layout(margin={"l": 70, "t": 90, "b": 60})


def _decided(model: HookedMLP, base: int, source: int) -> int:
    """What the network decides on one row, with unit h0.1 from another row."""
    found = patch(model, clean=ROWS[source], corrupted=ROWS[base], site="h0.1")
    return [0, 1, 1, 0][base] ^ int(found.flips)


def evidence() -> go.Figure:
    """Effect and control of every claim about a network with copies, as shares."""
    claims = [one for one in identify_circuit(zoo.load("redundant-4")).evidence if one.n > 1]
    claims = [one for one in claims if one.kind != "substitution" and one.ablation != "zero"]
    figure = go.Figure()
    for height, one in enumerate(reversed(claims)):
        effect, control = one.effect / one.n, one.control / one.n
        figure.add_shape(
            type="line",
            x0=control,
            x1=effect,
            y0=height,
            y1=height,
            line={"color": GREY, "width": 3},
        )
        figure.add_scatter(
            x=[control],
            y=[height],
            mode="markers",
            marker={"size": 13, "color": WHITE, "line": {"color": INK, "width": 2}},
        )
        figure.add_scatter(
            x=[effect],
            y=[height],
            mode="markers+text",
            text=f"  {one.effect} of {one.n}",
            textposition="middle right",
            marker={"size": 13, "color": BLUE},
        )
    names = [one.claim for one in reversed(claims)]
    short = [name.replace(" (and 3 other minimal sets)", "") for name in names]
    figure.update_yaxes(tickvals=list(range(len(short))), ticktext=short, ticks="", showline=False)
    figure.update_xaxes(
        range=[-0.04, 1.45],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
        title_text="control (open) and effect (filled)",
    )
    title = "Every claim of a network with copies is above its control"
    return laid_out(figure, title, height=400).update_layout(margin={"l": 305, "b": 60})


def verdicts() -> go.Figure:
    """The questions that lead to a verdict, in their order."""
    figure = go.Figure()
    asked = [
        (5.0, "Does the network decide<br>every row as the target does?"),
        (3.3, "Does some circuit survive<br>two-level substitution?"),
        (1.6, "How many of these pass<br>every joint interchange?"),
    ]
    ends = [
        (5.0, "not_computing", "no"),
        (3.3, "no_gate_reading", "none"),
        (2.3, "approximate", "0"),
        (1.35, "identified", "1"),
        (0.4, "ambiguous", "2 or more"),
    ]
    for y, words in asked:
        _box(figure, 2.2, y, words, width=3.6, colour=WHITE)
    for (above, _), (below, _) in pairwise(asked):
        _arrow(figure, (2.2, above - 0.5), (2.2, below + 0.5))
        figure.add_annotation(x=2.45, y=(above + below) / 2, text="yes", showarrow=False)
    for y, verdict, answer in ends:
        start = (4.0, 1.6) if y < 3 else (4.0, y)
        _box(figure, 7.6, y, f"<b>{verdict}</b>", width=2.6, colour=PALE)
        _arrow(figure, start, (6.3, y))
        share = 0.62
        figure.add_annotation(
            x=start[0] + share * (6.3 - start[0]),
            y=start[1] + share * (y - start[1]),
            text=answer,
            showarrow=False,
            bgcolor=WHITE,
        )
    figure.update_xaxes(visible=False, range=[0.2, 9.1])
    figure.update_yaxes(visible=False, range=[-0.2, 5.7])
    return laid_out(figure, "Three questions lead to five verdicts", height=400)


def _box(figure: go.Figure, x: float, y: float, words: str, *, width: float, colour: str) -> None:
    """A frame with words in it."""
    half = width / 2
    figure.add_shape(
        type="rect",
        x0=x - half,
        x1=x + half,
        y0=y - 0.42,
        y1=y + 0.42,
        fillcolor=colour,
        line={"color": INK, "width": 1.5},
    )
    figure.add_annotation(x=x, y=y, text=words, showarrow=False)


def _arrow(figure: go.Figure, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow from one place to another."""
    figure.add_annotation(
        x=end[0],
        y=end[1],
        ax=start[0],
        ay=start[1],
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        text="",
        arrowhead=2,
        arrowwidth=1.5,
        arrowcolor=INK,
    )


def families() -> go.Figure:
    """In the input plane, where the hidden units of a network of either family switch."""
    names = {"or-and": "OR & ~AND", "gt-lt": "x0>x1 | x1>x0"}
    circuits = {name: identify_circuit(zoo.load(name)) for name in names}
    assert [one.family for one in circuits.values()] == list(names.values())
    titles = [
        f"{html.escape(family)}<br>{_coloured(circuits[name].units)}"
        for name, family in names.items()
    ]
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1, subplot_titles=titles)
    for column, name in enumerate(names, start=1):
        model, circuit = zoo.load(name), circuits[name]
        for k, one in enumerate(circuit.primary.readings[0]):
            row = model.fc1.weight[k].tolist()
            # a ReLU that is on is its sum, so the sum is at the threshold where its bit changes
            rest = one.threshold - model.fc1.bias[k].item()
            _line(figure, column, row, rest, colour=UNIT_COLOURS[k], dash=UNIT_DASHES[k])
        figure.add_scatter(
            x=[0, 0, 1, 1],
            y=[0, 1, 0, 1],
            mode="markers+text",
            text=ROWS,
            textposition=["bottom left", "top left", "bottom right", "top right"],
            marker={
                "size": 15,
                "color": [WHITE, INK, INK, WHITE],
                "line": {"color": INK, "width": 2},
            },
            row=1,
            col=column,
        )
    figure.update_xaxes(range=[-0.4, 1.4], tickvals=[0, 1], title_text="x0")
    figure.update_yaxes(range=[-0.4, 1.4], tickvals=[0, 1], title_text="x1")
    title = "Two hidden units solve XOR (filled: 1) in two families of circuits"
    figure = laid_out(figure, title, height=380)
    return figure.update_layout(margin={"l": 55, "t": 100, "b": 55})


def _coloured(units: Sequence[CircuitUnit]) -> str:
    """The gate of each unit in the colour of its line."""
    words = [
        f"<span style='color:{colour}'>{unit.place.name} {html.escape(str(unit.gate))}</span>"
        for unit, colour in zip(units, UNIT_COLOURS, strict=True)
    ]
    return f"<span style='font-size:13px'>{', '.join(words)}</span>"


def _line(
    figure: go.Figure, column: int, row: list[float], rest: float, *, colour: str, dash: str
) -> None:
    """The line row . x = rest, with an arrow to the side where the sum is larger."""
    a, b = row
    ends = [-0.4, 1.4]
    figure.add_scatter(
        x=ends,
        y=[(rest - a * x) / b for x in ends],
        mode="lines",
        line={"color": colour, "width": 2.5, "dash": dash},
        row=1,
        col=column,
    )
    length = (a * a + b * b) ** 0.5
    # the foot of the arrow: the middle of the part of the line that is in the frame
    foot = _middle(a, b, rest)
    tip = (foot[0] + 0.2 * a / length, foot[1] + 0.2 * b / length)
    axis = "" if column == 1 else str(column)
    figure.add_annotation(
        x=tip[0],
        y=tip[1],
        ax=foot[0],
        ay=foot[1],
        xref=f"x{axis}",
        yref=f"y{axis}",
        axref=f"x{axis}",
        ayref=f"y{axis}",
        text="",
        arrowhead=2,
        arrowwidth=2,
        arrowcolor=colour,
    )


def _middle(a: float, b: float, rest: float) -> tuple[float, float]:
    """The middle of the part of the line a x + b y = rest that lies in the frame."""
    inside = [(x / 100, (rest - a * x / 100) / b) for x in range(-40, 141)]
    inside = [(x, y) for x, y in inside if -0.4 <= y <= 1.4]
    return inside[len(inside) // 2]


def conventions() -> go.Figure:
    """The names of inputs, units, weights and the output, on the diagram of a network."""
    figure = plots.network_diagram(textbook_xor())
    return figure.update_layout(title_text="Every unit and every weight has one name")


def exactness() -> go.Figure:
    """What is taken for nothing, by size, as a part of the numbers that it is compared with."""
    kinds = [
        (1e-16, "float64 carries about this much of a number"),
        (1e-9, "an output this near the threshold is on it: undecided"),
        (1e-7, "float32 carries about this much"),
        (1e-6, "two values of a unit this near are one value; what is smaller is written as 0"),
        (1e-2, "a smaller gap is left out (min_margin); units this alike are copies"),
        (1.0, "the range of a unit, the scale of an output"),
    ]
    figure = go.Figure()
    for height, (size, words) in enumerate(reversed(kinds)):
        figure.add_shape(
            type="line", x0=1e-17, x1=size, y0=height, y1=height, line={"color": GREY, "width": 2}
        )
        figure.add_scatter(x=[size], y=[height], mode="markers", marker={"size": 13, "color": BLUE})
        figure.add_annotation(
            x=-17, y=height + 0.36, text=words, showarrow=False, xanchor="left", align="left"
        )
    figure.update_xaxes(
        type="log",
        range=[-17, 1],
        dtick=2,
        exponentformat="power",
        title_text="part of the numbers it is compared with",
    )
    figure.update_yaxes(visible=False, range=[-0.6, len(kinds) - 0.2])
    title = "What counts as nothing, and beside what"
    return laid_out(figure, title, height=400).update_layout(margin={"b": 60})


PICTURES: dict[str, Callable[[], go.Figure]] = {
    "reading": reading,
    "proof": proof,
    "evidence": evidence,
    "verdicts": verdicts,
    "families": families,
    "conventions": conventions,
    "exactness": exactness,
}
"""The name of a page -> what draws its picture."""
