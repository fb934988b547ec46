"""The line of a person's own code that a message or a warning is about."""

import linecache
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

from xor_mi.errors import XorMiWarning, cut_short

_NOT_THEIRS = ("torch", "xor_mi", "jaxtyping", "beartype")
"""Packages whose frames are skipped; the last two check types, if that is switched on."""


_SAID: ContextVar[set[str] | None] = ContextVar("_SAID", default=None)
"""The warnings given so far, inside `each_warning_once`."""


def is_theirs(file: str, module: str) -> bool:
    """Whether code belongs to the person who called, and not to one of these packages."""
    # a file "<@beartype(...)>" is a wrapper that was never written
    return module.partition(".")[0] not in _NOT_THEIRS and not file.startswith("<@beartype")


def users_frame(*, inside: str = "") -> FrameType | None:
    """The innermost frame of the person's code.

    Args:
        inside: a function of this package at which the search ends; None is returned if it finds no
            frame of the person's before.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
        if is_theirs(code.co_filename, module):
            return frame
        if code.co_name == inside:
            return None
        frame = frame.f_back
    return None


def line(file: str, number: int) -> str:
    """A line of code, as a message names it.

    >>> line("no/such/net.py", 3)
    'line 3 of net.py'
    """
    text = linecache.getline(file, number).strip()
    quoted = f" (`{cut_short(text)}`)" if text else ""
    return f"line {number} of {Path(file).name}{quoted}"


@contextmanager
def each_warning_once() -> Iterator[None]:
    """In this block, a warning in the same words as an earlier one is not given again."""
    if _SAID.get() is not None:
        yield
        return
    token = _SAID.set(set())
    try:
        yield
    finally:
        _SAID.reset(token)


def warn(message: str) -> None:
    """A warning that points at the person's line, however many calls lie between."""
    said = _SAID.get()
    if said is not None:
        if message in said:
            return
        said.add(message)
    frame = users_frame()
    if frame is None:
        warnings.warn(message, XorMiWarning, stacklevel=2)
        return
    warnings.warn_explicit(
        message,
        XorMiWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=str(frame.f_globals.get("__name__", "")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
