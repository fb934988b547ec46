"""the output of a command -> lines that fit the terminal, in colour if it has colours.

The words are the same everywhere. There is no colour if standard output is not a terminal, or if
NO_COLOR is set (https://no-color.org).
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from xor_mi.finding import folded_text, table_text

NARROWEST, WIDEST = 40, 100
"""The most characters of a line; longer lines are hard to read, however wide the terminal is."""
INDENT = "   "
"""The indent of text under a heading."""
HEADING = "bold"
HEAD_OF_TABLE = "dim"
COLOURS = {
    "identified": "bold green",
    "ambiguous": "bold yellow",
    "approximate": "bold yellow",
    "no_gate_reading": "bold red",
    "not_computing": "bold red",
}
"""Verdict -> the style of its name."""


def width() -> int:
    """Characters of a line: COLUMNS, or the terminal's width, or 80 without either."""
    return max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST))


def print_text(text: str = "", *, style: str = "", indent: str = "") -> None:
    """Print a text, folded.

    It is flushed at once, even into a file or a pipe, because somebody may be watching.
    """
    folded = folded_text(text, width=width() - len(indent))
    _print("\n".join(f"{indent}{line}".rstrip() for line in folded.split("\n")), style=style)


def print_heading(text: str) -> None:
    """Print the heading of a part."""
    print_text(text, style=HEADING)


def print_table(
    columns: Mapping[str, Sequence[object]], *, right: bool = False, indent: str = INDENT
) -> None:
    """Print a table, and an empty line after it.

    Args:
        columns, right: see `table_text`.
    """
    text = table_text(columns, width=width() - len(indent), right=right)
    head, _, rest = text.partition("\n")
    _print(f"{indent}{head}", style=HEAD_OF_TABLE)
    _print("".join(f"{indent}{line}".rstrip() + "\n" for line in rest.split("\n")))


def print_verdict(text: str, *, verdict: str, indent: str = "") -> None:
    """Print a text that begins with a verdict, which is coloured.

    Args:
        verdict: one of `circuits.VERDICTS`, which the text writes with spaces.
    """
    folded = folded_text(text, width=width() - len(indent))
    lines = "\n".join(f"{indent}{line}".rstrip() for line in folded.split("\n"))
    begins = len(indent)
    _print(lines, style=COLOURS[verdict], start=begins, end=begins + len(verdict))


def _print(text: str, *, style: str = "", start: int = 0, end: int | None = None) -> None:
    """Print a text, with a style between two characters if there are colours."""
    if not (style and _has_colours()):
        print(text, flush=True)
        return
    # loaded only if there is a terminal
    from rich.console import Console
    from rich.text import Text

    styled = Text(text)
    styled.stylize(style, start, end)
    Console(file=sys.stdout).print(styled, soft_wrap=True)


def _has_colours() -> bool:
    """Whether standard output is a terminal that may be written to in colour.

    There is no standard output at all if it was closed (`>&-`), or without a console.
    """
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return is_terminal and not os.environ.get("NO_COLOR")
