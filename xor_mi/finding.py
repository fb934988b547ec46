"""the base of every result: it has a table, a picture, and a view for notebooks.

Findings are frozen values. Each has `frame()`, a tidy pandas table; `plot()`, a plotly figure; and
`_repr_html_`, what a notebook cell that ends in it shows. A finding that is not a table or has
no picture says so, with what to do instead. Nothing heavy is imported here.
"""

import html
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from xor_mi.errors import XorMiError, whole_number

__all__ = [
    "ROWS_SHOWN",
    "Finding",
    "Listed",
    "ListedList",
    "count_text",
    "flips_text",
    "folded_text",
    "in_words",
    "number_text",
    "parameter_text",
    "table_text",
]

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ROWS_SHOWN = 20
"""A notebook cell shows at most this many lines of a finding's table."""

NARROWEST = 40
"""The shortest lines, in characters, that printed text and tables can be folded to."""
NARROWEST_CELL = 20
"""A column of text is never made narrower than this many characters."""
BETWEEN_COLUMNS = "  "

ROUNDING = 1e-6
"""A number below this fraction of a network's own numbers is rounding, and is written as zero.

Float32 carries about 1e-7 of a number, and a sum over a few units a little less.
"""

FLIPS_NAMED = 4
"""A sentence on flipped decisions names all places if they are no more than this, else one less."""

LONG_NUMBER = 1e6
"""A number of at least this size is written with its power of ten, and so is a very small one."""


def number_text(
    value: float, *, decimals: int = 2, signed: bool = False, scale: float = 0.0
) -> str:
    """A number with this many decimals, or with three significant figures if those are all zero.

    Args:
        scale: the size of the numbers that this one is made of; a value that is only rounding
            beside it is written as zero.

    >>> number_text(-0.0), number_text(2 / 3, signed=True), number_text(2e-7), number_text(3e9)
    ('0.00', '+0.67', '2e-07', '3e+09')
    >>> number_text(-2e-16, scale=5.0)
    '0.00'
    """
    sign = "+" if signed else ""
    # + 0.0: a zero has no minus
    value = float(value) + 0.0
    if abs(value) < ROUNDING * scale:
        value = 0.0
    if value and not 10.0**-decimals <= abs(value) < LONG_NUMBER:
        return f"{value:{sign}.3g}"
    return f"{value:{sign}.{decimals}f}"


def in_words(name: str) -> str:
    """A stored name, such as a verdict, in words.

    >>> in_words("no_gate_reading")
    'no gate reading'
    """
    return name.replace("_", " ")


def parameter_text(value: float, *, signed: bool = False, scale: float = 0.0) -> str:
    """A weight, a bias or a threshold: as `number_text`, with at least two significant figures.

    >>> parameter_text(-1.97), parameter_text(0.0328), parameter_text(-0.00255), parameter_text(0.0)
    ('-1.97', '0.033', '-0.0026', '0.00')
    """
    value = float(value)
    is_small = ROUNDING * scale <= abs(value) < 0.1 and value != 0
    if not is_small:
        return number_text(value, signed=signed, scale=scale)
    sign = "+" if signed else ""
    # the sign # keeps a zero at the end
    return f"{value:{sign}#.2g}"


def count_text(n: int, what: str) -> str:
    """A count with its noun, whose plural ends in s.

    >>> count_text(1, "network"), count_text(2000, "network")
    ('1 network', '2,000 networks')
    """
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def flips_text(names: Sequence[str], counts: Sequence[int], *, of: int) -> str:
    """How many decisions each of a few places flips; of many places, those that flip most.

    Args:
        names: of the places, such as units.
        counts: how many decisions each place flips.
        of: how many decisions each place could flip.

    >>> flips_text(["h0.0", "h0.1"], [5, 6], of=12)
    'h0.0 flips 5 of 12 decisions, h0.1 6'
    >>> flips_text(["x0", "x1", "x2", "x3", "x4"], [0, 2, 4, 1, 3], of=8)
    'x2 flips 4 of 8 decisions, x4 3, x1 2, each of 2 more at most 1'
    """
    order = list(range(len(names)))
    n_named = len(names)
    if n_named > FLIPS_NAMED:
        n_named = FLIPS_NAMED - 1
        order.sort(key=lambda number: -counts[number])
    first, *others = order[:n_named]
    said = [f"{names[first]} flips {counts[first]:,} of {count_text(of, 'decision')}"]
    said += [f"{names[number]} {counts[number]:,}" for number in others]
    rest = [counts[number] for number in order[n_named:]]
    if rest:
        at_most = "none" if not rest[0] else f"at most {rest[0]:,}"
        said.append(f"each of {len(rest):,} more {at_most}")
    return ", ".join(said)


def folded_text(text: str, *, width: int = 80) -> str:
    """Printed text in lines of at most this many characters; nothing is cut off.

    A line is broken between words. Its rest stands under its last column, or two characters to the
    right of where the line began. A word that is longer than a line stays whole.

    Raises:
        XorMiError: a width below 40.

    >>> print(folded_text("h0.3  NAND   margin 0.47, interchange 16/16, idle", width=40))
    h0.3  NAND   margin 0.47, interchange
                 16/16, idle
    """
    width = whole_number("width", width, at_least=NARROWEST)
    folded: list[str] = []
    for line in text.split("\n"):
        folded += _folded_line(line, width)
    return "\n".join(folded)


def _folded_line(line: str, width: int) -> list[str]:
    """A line, or the lines that it is broken into."""
    if len(line) <= width:
        return [line.rstrip()]
    # the last column begins after two spaces or more; far to the right it has no room
    columns = [match.end() for match in re.finditer(r"(?<=\S) {2,}", line)]
    begins = len(line) - len(line.lstrip(" "))
    fitting = [column for column in columns if column <= 0.6 * width]
    hanging = fitting[-1] if fitting else min(begins + 2, width // 2)
    head, rest = (line[:hanging], line[hanging:]) if fitting else (line[:begins], line[begins:])
    return textwrap.wrap(
        rest,
        width=width,
        initial_indent=head,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table_text(
    columns: Mapping[str, Sequence[object]], *, width: int = 80, right: bool = False
) -> str:
    """A table as printed text, in lines of at most this many characters; nothing is left out.

    Numbers are aligned to the right. If a table is too wide, its headings and then its longest
    texts are broken into several lines; if that is not enough, its last columns follow in a table
    below, which repeats the first column.

    Args:
        columns: heading -> its cells: texts, numbers, truth values or None.
        right: whether all columns but the first are aligned to the right, also texts such as "45%".

    Raises:
        XorMiError: a width below 40; columns of different lengths.

    >>> print(table_text({"unit": ["h0.0", "h0.1"], "effect": [-17.85, 19.412], "flips": [0, 1]}))
    unit   effect  flips
    h0.0  -17.850      0
    h0.1   19.412      1
    """
    width = whole_number("width", width, at_least=NARROWEST)
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise XorMiError(
            f"a table has columns of {', '.join(map(str, sorted(lengths)))} cells; "
            "give as many of each"
        )
    made: list[_Column] = []
    for k, (heading, cells) in enumerate(columns.items()):
        made.append(_Column.of(heading, cells, right=_is_numeric(cells) or (right and k > 0)))
    blocks = _blocks(_narrowed(made, width), width)
    return "\n\n".join("\n".join(_lines_of(block)) for block in blocks)


class _Column(NamedTuple):
    """A column of a printed table.

    Attributes:
        cells: the heading and all cells.
        right: whether it is aligned to the right.
        width: characters of a line.
    """

    cells: tuple[str, ...]
    right: bool
    width: int

    @classmethod
    def of(cls, heading: str, values: Sequence[object], *, right: bool) -> "_Column":
        """As wide as its widest cell."""
        cells = (heading, *map(_printed_cell, values))
        return cls(cells, right=right, width=max(map(len, cells)))

    @property
    def narrowest(self) -> int:
        """How narrow it can be: a number stays whole, a heading is broken between its words."""
        words = max(map(len, self.cells[0].split()), default=0)
        cells = max(map(len, self.cells[1:]), default=0)
        return max(words, cells if self.right else min(cells, NARROWEST_CELL))

    def lines(self, row: int) -> list[str]:
        """A cell in lines."""
        return textwrap.wrap(self.cells[row], self.width, break_on_hyphens=False) or [""]


def _printed_cell(value: object) -> str:
    """A cell of a printed table: three decimals; a truth value as a word; nothing for no value."""
    if isinstance(value, Real) and not isinstance(value, Integral):
        # not a number, such as a missing one, is not equal to itself
        return number_text(float(value), decimals=3) if value == value else ""
    if _is_number(value):
        return f"{value:,}"
    return _cell_text(value)


def _narrowed(columns: Sequence[_Column], width: int) -> list[_Column]:
    """The columns, made narrower from the widest on until they fit, or cannot be narrower."""
    narrowed = list(columns)
    while _width_of(narrowed) > width:
        room = [one.width - one.narrowest for one in narrowed]
        if not any(room):
            break
        k = max(range(len(room)), key=lambda k: (room[k] > 0, narrowed[k].width))
        narrowed[k] = narrowed[k]._replace(width=narrowed[k].width - 1)
    return narrowed


def _blocks(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    """The columns in tables that fit, each with the first column."""
    first, *others = columns
    blocks = [[first]]
    for column in others:
        if len(blocks[-1]) > 1 and _width_of([*blocks[-1], column]) > width:
            blocks.append([first])
        blocks[-1].append(column)
    return blocks


def _width_of(columns: Sequence[_Column]) -> int:
    return sum(one.width for one in columns) + len(BETWEEN_COLUMNS) * (len(columns) - 1)


def _lines_of(columns: Sequence[_Column]) -> list[str]:
    """A table that fits, line by line."""
    printed: list[str] = []
    for row in range(len(columns[0].cells)):
        in_lines = [one.lines(row) for one in columns]
        n_lines = max(map(len, in_lines))
        for k in range(n_lines):
            texts: list[str] = []
            for one, lines in zip(columns, in_lines, strict=True):
                # a heading of fewer lines stands directly above its column
                above = n_lines - len(lines) if row == 0 else 0
                text = lines[k - above] if above <= k < above + len(lines) else ""
                texts.append(text.rjust(one.width) if one.right else text.ljust(one.width))
            printed.append(BETWEEN_COLUMNS.join(texts).rstrip())
    return printed


@runtime_checkable
class _HasLine(Protocol):
    """A value that a table shows as one line."""

    def shown_line(self) -> dict[str, object]:
        """Column -> value."""
        ...


_Thing = TypeVar("_Thing", bound=_HasLine)


class Finding:
    """What an analysis hands back. Subclasses are frozen dataclasses and give `frame()`."""

    def frame(self) -> "pd.DataFrame":
        """The finding as a tidy table.

        Raises:
            XorMiError: a kind of finding that is not a table.
        """
        raise XorMiError(f"a {type(self).__name__} is not a table; print it, or call .plot()")

    def head(self) -> dict[str, object]:
        """Facts about the measurement that are not in the table, such as counts of inputs.

        Name -> a number, a text, a truth value, None, or a list or a mapping of these. A stored
        record of the finding holds them, and compares them. The mapping is empty if the table says
        everything.
        """
        return {}

    def plot(self, **options: Any) -> "go.Figure":
        """The finding as a figure; options are those of its function in `xor_mi.plots`.

        Raises:
            XorMiError: a kind of finding that has no figure.
        """
        # The only import in this package that points up: figures stand above findings.
        from xor_mi.plots import figure

        return figure(self, **options)

    def _shown(self) -> "tuple[str, pd.DataFrame | None]":
        """The words and the table of a notebook cell; here what is printed, and `frame()`."""
        # a finding that does not override `frame` is not a table
        return str(self), None if type(self).frame is Finding.frame else self.frame()

    def _repr_html_(self) -> str:
        """What a notebook shows: the sentence, then the first lines of the table if it has one."""
        words, table = self._shown()
        return _words_html(words) + ("" if table is None else _table_html(table))

    def _repr_mimebundle_(self, **_asked: object) -> dict[str, str]:
        """The same where only text is shown, as in IPython's terminal: what is printed."""
        return {"text/html": self._repr_html_(), "text/plain": str(self)}


class Listed(tuple[_Thing, ...]):
    """Several things that belong together: a tuple, and in a notebook a table, a line of each."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """What a notebook shows: a line per thing."""
        return _lines_html(self)


class ListedList(list[_Thing]):
    """The same as a list, where a function returns one."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """What a notebook shows: a line per thing."""
        return _lines_html(self)


def _lines_html(things: Sequence[_HasLine]) -> str:
    """A table of the first things, a line of each."""
    # loaded only where a notebook asks
    import pandas as pd

    if not things:
        return _words_html("none")
    lines = pd.DataFrame([one.shown_line() for one in things[:ROWS_SHOWN]])
    return _table_html(lines) + _note_html(len(things) - len(lines), "")


def _words_html(words: str) -> str:
    """Text as it is, in lines that break where the page ends."""
    return f'<div style="white-space: pre-wrap">{html.escape(words)}</div>'


def _table_html(table: "pd.DataFrame") -> str:
    """The first lines of a table, without colours of its own: a notebook may be dark."""
    first_lines = table.head(ROWS_SHOWN)
    head: list[str] = []
    columns: list[list[str]] = []
    for name, values in first_lines.items():
        texts = [_cell_text(value) for value in values]
        # a column without any value is left out
        if texts and not any(texts):
            continue
        right = _is_numeric(values)
        head.append(_cell_html("th", in_words(str(name)), right=right))
        columns.append([_cell_html("td", text, right=right) for text in texts])
    lines = [head, *zip(*columns, strict=True)]
    rows = "".join([f"<tr>{''.join(cells)}</tr>" for cells in lines])
    n_more = len(table) - len(first_lines)
    return f"<table>{rows}</table>{_note_html(n_more, '; .frame() has them all')}"


def _note_html(n_more: int, where: str) -> str:
    """How many lines are not shown."""
    return f"<p>... and {count_text(n_more, 'more line')}{where}</p>" if n_more else ""


def _is_numeric(column: Iterable[object]) -> bool:
    """Whether a column holds numbers, which are aligned to the right."""
    kept = [value for value in column if value is not None]
    return bool(kept) and all(_is_number(value) for value in kept)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _cell_html(tag: str, text: str, *, right: bool) -> str:
    side = "right" if right else "left"
    return f'<{tag} style="text-align: {side}; padding: 0.1em 0.6em">{html.escape(text)}</{tag}>'


def _cell_text(value: object) -> str:
    """A value of a table as a person reads it: numbers with three figures, nothing for no value.

    >>> [_cell_text(value) for value in (2 / 3, 12345.678, 7, True, None, float("nan"), 2e-9)]
    ['0.667', '12,346', '7', 'yes', '', '', '2e-09']
    """
    # NumPy's bools are not bools to Python
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if value is None or str(value) in ("nan", "<NA>", "NaT"):
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell_text, value))
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Real):
        number = float(value) + 0.0
        return f"{number:,.0f}" if 1000 <= abs(number) < LONG_NUMBER else f"{number:.3g}"
    return str(value)
