"""a file of JSON -> what it holds, or one short error at once. No torch.

A file may be cut off, edited by hand, or made to do harm, and every JSON file of this package is
read here. Cases that JSON leaves to its reader are refused: a number that is infinite or has
thousands of digits, a name that is given twice, brackets thousands deep. Something that is not a
file, such as a pipe, is refused too, instead of waiting for it.
"""

import json
import math
from pathlib import Path
from stat import S_ISREG

from xor_mi.errors import XorMiError, cut_short, shown

__all__ = ["LARGEST_JSON", "read_json", "read_json_text"]

LARGEST_JSON = 2**24
"""The largest file that is read, in bytes, which takes a second or two; no file that this package
writes is a tenth as large.
"""

DEEPEST = 20
"""The deepest nesting of lists and objects that is read; this package nests them less deeply."""

MOST_DIGITS = 20
"""The most digits of a whole number; this package's largest, 2^62, has 19."""


def read_json(file: Path, *, called: str, next_step: str) -> object:
    """What a JSON file holds; its numbers are finite.

    A byte order mark, which some editors put in front, is skipped.

    Args:
        called: the file as messages name it, such as "the baseline 'a.json'".
        next_step: what to do about a file that cannot be read.

    Raises:
        XorMiError: no such file, or one that is not JSON as this package writes it; one short line
            that says where.
    """
    try:
        return _parsed(_text_of(file))
    except (OSError, ValueError, RecursionError) as error:
        raise XorMiError(f"{called} cannot be read: {_why(error)}; {next_step}") from None


def read_json_text(text: str, *, called: str, next_step: str) -> object:
    """What a text of JSON holds, as `read_json` reads it from a file.

    Raises:
        XorMiError: as in `read_json`.
    """
    try:
        # no more characters than a file may have bytes
        if len(text) > LARGEST_JSON:
            raise ValueError(f"it has {len(text):,} characters; at most {LARGEST_JSON:,} are read")
        return _parsed(_not_empty(text))
    except (ValueError, RecursionError) as error:
        raise XorMiError(f"{called} cannot be read: {_why(error)}; {next_step}") from None


def _parsed(text: str) -> object:
    content = json.loads(
        text,
        parse_constant=_no_constant,
        parse_float=_finite,
        parse_int=_not_too_long,
        object_pairs_hook=_without_repeats,
    )
    _require_shallow(content)
    return content


def _text_of(file: Path) -> str:
    about = file.stat()
    # asked before it is opened: opening a pipe would wait for its other end
    if not S_ISREG(about.st_mode):
        raise ValueError("it is not a file")
    if about.st_size > LARGEST_JSON:
        raise ValueError(f"it has {about.st_size:,} bytes; at most {LARGEST_JSON:,} are read")
    return _not_empty(file.read_text(encoding="utf-8-sig"))


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {error.start})"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError):
        return error.strerror or "the system refuses it"
    return str(error)


def _require_shallow(content: object) -> None:
    """Refuse nesting deeper than `DEEPEST`, level by level, so that any depth can be checked."""
    level = [content]
    for _ in range(DEEPEST):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = inner
    if any(isinstance(value, dict | list) for value in level):
        raise ValueError("it is nested too deep")


# what the parser asks of a word it has found


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number that JSON has")


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{cut_short(word)} is too large for a number")
    return number


def _not_too_long(word: str) -> int:
    n_digits = len(word.lstrip("-"))
    # before int(), which is slow for thousands of digits, or raises an error of Python's own
    if n_digits > MOST_DIGITS:
        raise ValueError(f"a number in it has {n_digits:,} digits")
    return int(word)


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"{shown(name)} is given twice")
            seen.add(name)
    return entries
