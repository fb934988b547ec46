"""figures -> their places in one of our pages, and the script that draws them there.

A page is one file that loads nothing. It contains plotly.js (nearly five million characters) and
all figures in packed form: compressed by zlib and written in base 85. The page's script unpacks
them with the browser's `DecompressionStream` and draws each figure when it comes near; all are
drawn before the page is printed. A bundle of plotly.js with fewer kinds of traces would be smaller,
but the Python package has none, and this repository holds no third-party code.
"""

import base64
import html
import json
import re
import zlib
from functools import cache
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from xor_mi.finding import in_words
from xor_mi.plots._style import ENDS_IN_DARK

PLOTLY_CONFIG = {
    "showSendToCloud": False,
    "displaylogo": False,
    "responsive": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
}
"""Options of plotly.js; without the first it offers to upload the chart to a cloud service."""
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%.()*+-;,=:?@^_`{|}~"
"""Python's digits of base 85, with HTML's signs replaced: <, > and & are written , : and ."""
BELOW_AN_AXIS = 60
"""Pixels for the numbers and the title of the axis at the bottom of a figure."""
LINE_OF_TITLE, ABOVE_TITLE = 20, 10
"""Pixels of a line of a figure's title, and above it; on a page the title is text instead."""
LEAST_TOP = 34
"""Pixels above a figure for its buttons."""
USUAL_TOP = 100
"""The top margin of a figure that does not set one."""


class PageFigures:
    """The figures of one page: places to put into it, and the script that draws them.

    A figure's title becomes the caption of its place. Sliders and buttons of figures become those
    of the page, which the keyboard moves too.
    """

    def __init__(self) -> None:
        self._templates: list[object] = []
        self._figures: dict[str, dict[str, Any]] = {}
        self._module = ""

    def place(
        self,
        name: str,
        figure: go.Figure,
        *,
        caption: str | None = None,
        steps: str = "",
        printed: int | None = None,
    ) -> Markup:
        """A figure as part of a page.

        Args:
            name: a name that no other figure of the page has.
            caption: by default the figure's title.
            steps: the label of the slider, if the figure has one.
            printed: the number of the step that is printed on paper; by default the one shown
                first.
        """
        spec: dict[str, Any] = json.loads(str(figure.to_json()), parse_float=_short)
        layout: dict[str, Any] = spec["layout"]
        title = layout.pop("title", {}).get("text", "")
        _without_title(layout, title)
        sliders = layout.pop("sliders", [])
        if sliders:
            _without_room_for_a_slider(layout)
        layout.pop("updatemenus", None)
        layout["template"] = self._number_of(layout.get("template", {}))
        self._figures[name] = spec
        slider = _slider_html(name, sliders[0], steps, printed) if sliders else Markup()
        return Markup(
            '<figure id="figure-{name}"><figcaption id="title-{name}">{title}</figcaption>'
            '<div class="plot" data-figure="{name}" role="group" aria-labelledby="title-{name}" '
            'style="max-width: {width}px; aspect-ratio: {width} / {height}"></div>{slider}</figure>'
        ).format(
            name=name,
            title=as_words(title) if caption is None else caption,
            width=layout["width"],
            height=layout["height"],
            slider=slider,
        )

    def add_module(self, text: str) -> None:
        """Add a JavaScript module for the page to run, packed with the rest."""
        self._module = text

    def scripts(self) -> Markup:
        """The scripts for the end of the page: plotly, the figures and the code that draws them."""
        drawings = {"templates": self._templates, "figures": self._figures}
        figures = json.dumps(drawings, separators=(",", ":"))
        script = _text_of("page.js")
        script = script.replace("PLOTLY_CONFIG", json.dumps(PLOTLY_CONFIG))
        script = script.replace("DIGITS", json.dumps(DIGITS))
        script = script.replace("ENDS_IN_DARK", json.dumps(ENDS_IN_DARK))
        parts = [f"<script>\n{script}</script>"]
        packed: dict[str, str] = {}
        if self._module:
            packed["packed-module"] = pack(self._module)
        if self._figures:
            packed |= {"packed-plotly": _packed_plotly(), "packed-figures": pack(figures)}
        parts = [*(_packed(name, text) for name, text in packed.items()), *parts]
        return Markup("\n".join(parts))

    def _number_of(self, template: object) -> int:
        """The number of a template; most figures share one, which is written once."""
        if template not in self._templates:
            self._templates.append(template)
        return self._templates.index(template)


def _without_room_for_a_slider(layout: dict[str, Any]) -> None:
    """Remove the room of plotly's slider, since the page has its own under the figure."""
    margin = layout["margin"]
    saved = max(0, margin["b"] - BELOW_AN_AXIS)
    margin["b"] -= saved
    layout["height"] -= saved


def render_page(template: str, drawn: PageFigures, /, *, mark: str, **values: object) -> str:
    """One of our pages as text; every inserted text is escaped.

    Args:
        template: the file of the page, which extends page.html.jinja.
        mark: the mark by which the page is recognised as ours.
    """
    # a misspelt name in the template is an error, not an empty place in the page
    environment = Environment(
        loader=FunctionLoader(_text_of),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        mark=mark,
        css=Markup(_text_of("page.css")),
        scripts=drawn.scripts(),
        in_words=in_words,
        **values,
    )


def pack(text: str) -> str:
    """A packed text, which `unpack` of page.js turns back into text.

    >>> set(pack("a" * 1000)) <= set(DIGITS)
    True
    """
    packed = base64.b85encode(zlib.compress(text.encode(), level=9)).decode()
    return packed.translate(str.maketrans("<>&", ",:."))


@cache
def _packed_plotly() -> str:
    return pack(get_plotlyjs())


def _packed(name: str, packed: str) -> str:
    return f'<script id="{name}" type="text/plain">{packed}</script>'


def _text_of(name: str) -> str:
    return files("xor_mi").joinpath(name).read_text(encoding="utf-8")


def _short(number: str) -> float:
    """A number of a figure with no more digits than a screen can show.

    >>> _short("0.12345678901234567")
    0.12345679
    """
    return float(f"{float(number):.8g}")


def _without_title(layout: dict[str, Any], title: str) -> None:
    """Remove the title of a figure, with its pixels."""
    margin: dict[str, int] = layout.setdefault("margin", {})
    top = margin.get("t", USUAL_TOP)
    n_lines = title.count("<br>") + 1 if title else 0
    margin["t"] = min(top, max(LEAST_TOP, top - ABOVE_TITLE - LINE_OF_TITLE * n_lines))
    layout["height"] -= top - margin["t"]


def as_words(title: str) -> str:
    """A figure's title as plain text: plotly reads titles as HTML.

    >>> as_words("h0.0 acts as <b>OR</b>,<br>x0&gt;x1")
    'h0.0 acts as OR, x0>x1'
    """
    return html.unescape(re.sub(r"</?\w[^>]*>", "", title.replace("<br>", " ")))


def _slider_html(name: str, slider: dict[str, Any], steps: str, printed: int | None) -> Markup:
    """A slider that the keyboard moves, with the text of its current step."""
    paper = "" if printed is None else Markup('data-printed="{}" ').format(printed)
    says = [step["label"] for step in slider["steps"]]
    says = [as_words(text) for text in says]
    active = slider.get("active", 0)
    return Markup(
        '<div class="steps"><label for="steps-{name}">{steps}</label>'
        '<input type="range" id="steps-{name}" data-moves="{name}" data-says="{says}" {paper}'
        'min="0" max="{last}" step="1" value="{active}" aria-valuetext="{said}">'
        '<button type="button" data-plays="steps-{name}">Play</button>'
        '<output id="said-{name}" for="steps-{name}">{said}</output></div>'
    ).format(
        name=name,
        steps=steps,
        says=json.dumps(says),
        paper=paper,
        last=len(says) - 1,
        active=active,
        said=says[active],
    )
