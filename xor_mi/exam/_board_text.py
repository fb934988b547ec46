"""grades -> the board as plain text, aligned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xor_mi.errors import require_kind
from xor_mi.exam._grades import Grades
from xor_mi.exam._measures import MEASURES
from xor_mi.finding import folded_text, number_text, table_text


@dataclass(frozen=True)
class _Column:
    """A measure on the text board.

    Attributes:
        head: the heading of its column.
        measure: the name of the measure.
        with_interval: whether the 95 % interval stands beside the mean.
        with_chance: whether a column with the level by chance follows.
    """

    head: str
    measure: str
    with_interval: bool = True
    with_chance: bool = False


_OF_SCORES = (
    _Column("size", "size", with_chance=True),
    _Column("minimum found", "finds_minimum"),
    _Column("CMD", "cmd", with_interval=False),
    _Column("AUROC", "auroc_union", with_interval=False),
)
_OF_SETS = (
    _Column("perfect", "perfect", with_chance=True),
    _Column("size", "size"),
    _Column("minimum found", "finds_minimum"),
)
_KINDS = (
    ("edges", "scores", "scores over edges", _OF_SCORES),
    ("edges", "set", "sets of edges", _OF_SETS),
    ("units", "scores", "scores over units", _OF_SCORES),
    ("units", "set", "sets of units", _OF_SETS),
    (None, "gates", "gates of units", (_Column("right", "gate_agreement", with_chance=True),)),
    (
        None,
        "alignment",
        "alignments",
        (_Column("interchange accuracy", "interchange_accuracy", with_chance=True),),
    ),
)
"""Over, gives, the heading and the columns of each table."""


def board_text(grades: Grades, *, width: int = 100) -> str:
    """The board as text of at most `width` characters a line, with a table per kind of answer.

    The best method comes first; cells are means over networks with their 95 % intervals, and the
    level by chance. `size` is that of the smallest perfect top-k, or of a perfect set; "minimum
    found" is the share of networks on which it is as small as a circuit can be.

    Args:
        width: characters in a line, at least 40.

    >>> from xor_mi.exam import grade
    >>> from xor_mi.handmade import textbook_xor
    >>> def by_name(problem):
    ...     return [len(edge.name) for edge in problem.edges]
    >>> print(board_text(grade(by_name, textbook_xor())))
    scores over edges  size  by chance  minimum found   CMD  forwards
    by_name            6.00       6.00  100% [2, 100]  0.92         0
    """
    require_kind("grades", grades, Grades, give="what exam.grade returns")
    board = grades.board() if len(grades) else pd.DataFrame({"gives": []})
    tables: list[str] = []
    for over, gives, heading, columns in _KINDS:
        lines = board[board["gives"] == gives]
        if over is not None and len(lines):
            lines = lines[lines["over"] == over]
        if len(lines):
            tables.append(_table(heading, lines, columns, width))
    missing = _missing(grades, width)
    return "\n\n".join([*tables, *([missing] if missing else [])])


def _table(heading: str, lines: pd.DataFrame, columns: Sequence[_Column], width: int) -> str:
    """The table of one kind of answer; columns that do not fit follow below."""
    cells = [[heading, *lines["method"]]]
    for column in columns:
        if column.measure not in lines or lines[column.measure].isna().all():
            continue
        records = lines.to_dict("records")
        cells.append([column.head, *(_cell(one, column) for one in records)])
        if column.with_chance:
            is_share = MEASURES[column.measure].is_share
            chances = [_number(one[f"{column.measure}_chance"], is_share) for one in records]
            cells.append(["by chance", *chances])
    if lines["control"].notna().any():
        controls = [_number(control, is_share=False) for control in lines["control"]]
        cells.append(["control", *controls])
    cells.append(["forwards", *map(_forwards, lines["forwards"])])
    return table_text({head: column for head, *column in cells}, width=width, right=True)


def _cell(line: Mapping[Any, Any], column: _Column) -> str:
    """'9.15 [8.37, 9.93]', or '45% [23, 68]' of a share."""
    measure = column.measure
    is_share = MEASURES[measure].is_share
    text = _number(line[measure], is_share)
    low = line[f"{measure}_low"]
    if not text or not column.with_interval or pd.isna(low):
        return text
    ends = [_number(low, is_share), _number(line[f"{measure}_high"], is_share)]
    return f"{text} [{', '.join(ends).replace('%', '')}]"


def _number(value: object, is_share: bool) -> str:
    """A number as the board writes it; "" for None."""
    if not isinstance(value, (int, float)) or pd.isna(value):
        return ""
    return f"{100 * value:.0f}%" if is_share else number_text(value)


def _forwards(n: float) -> str:
    """A count, with a decimal if it is a small mean."""
    return f"{n:,.0f}" if n >= 100 or n == round(n) else f"{n:.1f}"


def _missing(grades: Grades, width: int) -> str:
    """A line per method with missing grades: on how many networks, and why on the first of them."""
    lines: list[str] = []
    for name in grades.methods:
        without = [one for one in grades.of(name) if one.why_not]
        if without:
            n_all = len(grades.of(name))
            text = f"{name}: no grade on {len(without)} of {n_all} networks: {without[0].why_not}"
            lines.append(folded_text(text, width=width))
    return "\n".join(lines)
