"""figures -> their places in a page of ours, and what draws them there.

A page is one file that loads nothing. plotly.js, nearly five million characters of it, and all
figures lie in the page packed: compressed by zlib, written in base 85. Its script unpacks them, by
the browser's `DecompressionStream`, and draws each figure when it comes near; all are drawn before
the page is printed. A bundle of plotly.js with fewer kinds of traces would be smaller, but the
Python package has none, and no third-party code lies in this repository.
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
"""Without the first, plotly.js offers to upload the chart to a cloud service."""
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%.()*+-;,=:?@^_`{|}~"
"""Those of base 85 as Python writes it, but for the signs of HTML: <, > and & are , : and ."""
BELOW_AN_AXIS = 60
"""Pixels for the numbers and the title of an axis at the foot of a figure."""
LINE_OF_TITLE, ABOVE_TITLE = 20, 10
"""Pixels of a line of a figure's title, and of what stands above it: a page has it in words."""
LEAST_TOP = 34
"""Pixels above a figure in which its buttons have room."""
USUAL_TOP = 100
"""The top margin of a figure that says none."""


class PageFigures:
    """The figures of one page: places to put into it, and the script that draws them.

    A figure's title is the caption of its place; the slider and the buttons that some have are
    those of the page, which keys move too.
    """

    def __init__(self) -> None:
        self._templates: list[object] = []
        self._figures: dict[str, dict[str, Any]] = {}
        self._module = ""

    def place(
        self, name: str, figure: go.Figure, *, steps: str = "", printed: int | None = None
    ) -> Markup:
        """A figure as part of a page.

        Args:
            name: unlike that of any other figure of the page.
            steps: what the slider is of, where the figure has one.
            printed: the number of the step that stands on paper; by default the one shown first.
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
            title=_as_words(title),
            width=layout["width"],
            height=layout["height"],
            slider=slider,
        )

    def add_module(self, text: str) -> None:
        """A JavaScript module that the page runs besides, packed with the rest."""
        self._module = text

    def scripts(self) -> Markup:
        """What the page needs at its end, once: plotly and the figures, and what draws them."""
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
        """Most figures have one template, which is written once."""
        if template not in self._templates:
            self._templates.append(template)
        return self._templates.index(template)


def _without_room_for_a_slider(layout: dict[str, Any]) -> None:
    """The page has a slider of its own under the figure: what plotly's would take goes."""
    margin = layout["margin"]
    saved = max(0, margin["b"] - BELOW_AN_AXIS)
    margin["b"] -= saved
    layout["height"] -= saved


def render_page(template: str, drawn: PageFigures, /, *, mark: str, **values: object) -> str:
    """A page of ours as text; every inserted text is escaped.

    Args:
        template: the file of the page, which extends page.html.jinja.
        mark: by which the page is known as ours.
    """
    # a name that the template spells wrongly is an error, not an empty place in the page
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
    """A text as a page has it, which `unpack` of page.js makes text again.

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
    """A number of a figure with as many digits as any screen can show.

    >>> _short("0.12345678901234567")
    0.12345679
    """
    return float(f"{float(number):.8g}")


def _without_title(layout: dict[str, Any], title: str) -> None:
    """Take away the pixels that a figure's title has above it."""
    margin: dict[str, int] = layout.setdefault("margin", {})
    top = margin.get("t", USUAL_TOP)
    n_lines = title.count("<br>") + 1 if title else 0
    margin["t"] = min(top, max(LEAST_TOP, top - ABOVE_TITLE - LINE_OF_TITLE * n_lines))
    layout["height"] -= top - margin["t"]


def _as_words(title: str) -> str:
    """A figure's title, which plotly reads as HTML, without its tags.

    >>> _as_words("h0.0 acts as <b>OR</b>,<br>x0&gt;x1")
    'h0.0 acts as OR, x0>x1'
    """
    return html.unescape(re.sub(r"</?\w[^>]*>", "", title.replace("<br>", " ")))


def _slider_html(name: str, slider: dict[str, Any], steps: str, printed: int | None) -> Markup:
    """A slider that keys move, with what it says of the step that it is at."""
    paper = "" if printed is None else Markup('data-printed="{}" ').format(printed)
    says = [step["label"] for step in slider["steps"]]
    says = [_as_words(text) for text in says]
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
