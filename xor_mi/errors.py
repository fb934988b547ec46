"""what was asked + what exists -> one error that says the next step.

Every error a caller can cause is an `XorMiError`, so `except XorMiError` is enough for a program.
Its message is one line for a person: what was asked, what exists, what to do.
"""

import errno
import os
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from math import log10
from numbers import Integral
from os import PathLike
from pathlib import Path
from sysconfig import get_path
from traceback import format_exception
from types import TracebackType
from typing import Any

__all__ = [
    "SEEDS_BELOW",
    "TooManyReadings",
    "XorMiError",
    "XorMiWarning",
    "as_path",
    "cut_short",
    "names_listed",
    "require_at_most",
    "require_kind",
    "require_memory",
    "require_seeds",
    "shown",
    "unknown",
    "unwritable",
    "whole_number",
]

MAX_VALUE_SHOWN = 60
"""A message quotes at most this many characters of a value."""

MAX_NAMES_SHOWN = 32
"""A message lists at most this many of the names that exist."""

MOST_NEAREST = 8
"""Where there are more names than that, it lists at most this many of the nearest ones."""

LEAST_LIKENESS = 0.5
"""A name this similar to a wrong one, or more, is suggested (`difflib`'s ratio, 0 to 1)."""

SEEDS_BELOW = 2**62
"""Seeds are smaller than this, so that a seed plus the number of a network fits in 64 bits."""


MOST_BYTES = 2**31
"""Work that would hold more bytes than this at once is refused before it begins."""


class XorMiError(ValueError):
    """The one base of every error this package raises on purpose.

    Its message is one line, also where it quotes the name of a file that has a line break in it.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(_printable(message))

    def _render_traceback_(self) -> list[str]:
        """What IPython and Jupyter show: the frames of the person's own code, and the message.

        IPython asks an exception for this method. A plain Python traceback has all frames.
        """
        of_person, n_left_out = _frames_of_person(self.__traceback__)
        left_out = "1 frame is" if n_left_out == 1 else f"{n_left_out} frames are"
        said = f"({left_out} left out: xor_mi and the libraries that it calls)"
        cause, is_silent = self.__cause__, self.__suppress_context__
        reason = cause if cause is not None or is_silent else self.__context__
        if reason is not None and _begins_inside(reason):
            self.__cause__ = None  # the message alone: what it was raised from lies inside xor_mi
        shell = _running_shell()
        try:
            if shell is None:
                lines = format_exception(type(self), self, of_person)
            else:
                lines = shell.InteractiveTB.structured_traceback(
                    type(self), self, of_person, tb_offset=0
                )
        finally:
            self.__cause__, self.__suppress_context__ = cause, is_silent
        return [*lines, said] if n_left_out else list(lines)


class XorMiWarning(UserWarning):
    """A caller may have meant something else; the function goes on and gives its answer."""


class TooManyReadings(XorMiError):
    """There are more ways to read a network's units as bits than are tried or listed."""


def _frames_of_person(traceback: TracebackType | None) -> tuple[TracebackType | None, int]:
    """The frames of a person's own code, and how many frames below it are left out.

    Left out are those of xor_mi, and below its first one all that are not the person's. The frames
    of IPython, which runs a cell, are neither shown nor counted.
    """
    frames: list[TracebackType] = []
    while traceback is not None:
        if frames or _package_of(traceback) != "IPython":
            frames.append(traceback)
        traceback = traceback.tb_next
    inside = [number for number, frame in enumerate(frames) if _package_of(frame) == "xor_mi"]
    first = inside[0] if inside else len(frames)
    # a decorator of torch's around a function of xor_mi is not what the person called
    while inside and first > 0 and _package_of(frames[first - 1]) == "torch":
        first -= 1
    kept = frames[:first] + [frame for frame in frames[first:] if _is_of_person(frame)]
    chained: TracebackType | None = None
    for frame in reversed(kept):
        chained = TracebackType(chained, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return chained, len(frames) - len(kept)


def _begins_inside(reason: BaseException) -> bool:
    """Whether an exception was caught by xor_mi, so that none of its frames is the person's."""
    return reason.__traceback__ is None or _package_of(reason.__traceback__) == "xor_mi"


def _package_of(frame: TracebackType) -> str:
    """The package whose code a frame runs; "__main__" of a script or a cell."""
    return str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_of_person(frame: TracebackType) -> bool:
    """Whether a frame runs a script, a cell or a module of the person's, no installed one."""
    package, file = _package_of(frame), frame.tb_frame.f_code.co_filename
    if package in ("__main__", "xor_mi"):
        return package == "__main__"
    # "<string>" and its like are code that a library has made
    is_made = file.startswith(("<", get_path("stdlib"), get_path("platstdlib")))
    return not is_made and "site-packages" not in file and "dist-packages" not in file


def _running_shell() -> Any:  # IPython, which may be not installed, has the type
    """The IPython that runs this process, if one does."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython() if callable(get_ipython) else None


def shown(value: object) -> str:
    """A value as a message quotes it: on one line, and cut where it is long.

    >>> shown("01"), shown([0] * 1000)[-9:]
    ("'01'", ' 0, 0,...')
    """
    try:
        return cut_short(repr(value))
    except ValueError:  # Python writes no whole number of thousands of digits
        return f"a value of type {type(value).__name__}"


def cut_short(text: str, *, at_most: int = MAX_VALUE_SHOWN) -> str:
    """A text made fit for a message: on one line, cut if it is long, and printable.

    Args:
        at_most: characters, the dots at the end among them.

    >>> cut_short("h0.1"), len(cut_short("h" * 1000))
    ('h0.1', 60)
    >>> print(cut_short(f"red {chr(27)}[31m"))
    red \\x1b[31m
    """
    if "\n" in text:
        text = " ".join(text.split())
    # cut first, so that a million characters are not escaped; and again, because escapes are longer
    text = _printable(text[: at_most + 1])
    return text if len(text) <= at_most else f"{text[: at_most - 3]}..."


def _printable(text: str) -> str:
    """Escapes in place of characters that a terminal would obey or that no encoding has."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def names_listed(names: Sequence[str]) -> str:
    """Names in a message, the first `MAX_NAMES_SHOWN` of them.

    >>> names_listed(["AND", "OR"])
    'AND, OR'
    """
    listed = ", ".join(names[:MAX_NAMES_SHOWN]) or "none"
    if len(names) > MAX_NAMES_SHOWN:
        listed += f", ... ({len(names)} in all)"
    return listed


def _nearest_listed(name: str, names: Sequence[str]) -> str:
    """The names that exist; of more than a message lists, those nearest to the one asked for."""
    nearest: list[str] = []
    if len(names) > MAX_NAMES_SHOWN:
        nearest = get_close_matches(name, names, n=MOST_NEAREST, cutoff=LEAST_LIKENESS)
    if not nearest:
        return names_listed(names)
    return f"{', '.join(nearest)}, ... (the nearest of {len(names)})"


def unknown(
    kind: str, asked: object, exists: Iterable[object], *, where: str = "there"
) -> XorMiError:
    """A name that does not exist -> the error that lists what does, and the closest name.

    Of more than 32 names those nearest to the one that was asked for are listed.

    Args:
        kind: what was asked for, such as "gate".
        where: the words before the list of what exists.

    >>> print(unknown("gate", "ANDD", ["AND", "OR"], where="known gates"))
    no gate 'ANDD'; known gates: AND, OR; did you mean 'AND'?
    >>> print(unknown("gate", "or", ["AND", "OR"], where="known gates"))
    no gate 'or'; known gates: AND, OR; did you mean 'OR'?
    """
    names = [str(name) for name in exists]
    name = cut_short(asked) if isinstance(asked, str) else shown(asked)
    listed = _nearest_listed(name, names)
    same = [known for known in names if known.casefold() == name.casefold()]
    closest = same or get_close_matches(name, names, n=1, cutoff=LEAST_LIKENESS)
    hint = f"; did you mean '{closest[0]}'?" if closest else ""
    return XorMiError(f"no {kind} '{name}'; {where}: {listed}{hint}")


def whole_number(name: str, value: object, *, at_least: int = 0, below: int | None = None) -> int:
    """A setting that must be a whole number -> it as an int. True and False are not numbers.

    Raises:
        XorMiError: naming the setting, its bounds and what was given.

    >>> whole_number("seed", 3)
    3
    >>> whole_number("n_networks", 0, at_least=1)
    Traceback (most recent call last):
        ...
    xor_mi.errors.XorMiError: n_networks must be a whole number of at least 1, not 0
    """
    # Integral and not int: NumPy's whole numbers are welcome
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
        if number >= at_least and (below is None or number < below):
            return number
    bounds = f"at least {at_least}"
    if below is not None:
        # nobody reads 4611686018427387904 as a power of two
        written = "2^62" if below == SEEDS_BELOW else str(below)
        bounds += f" and below {written}"
    raise XorMiError(f"{name} must be a whole number of {bounds}, not {shown(value)}")


def require_seeds(seed: object, n_networks: int) -> int:
    """The first seed of several networks -> it as an int; the other networks have the next seeds.

    Raises:
        XorMiError: a seed that is not a whole number, or a last seed that is not below 2^62.

    >>> require_seeds(2**62 - 2, 2) == 2**62 - 2
    True
    """
    number = whole_number("seed", seed, below=SEEDS_BELOW)
    if number + n_networks > SEEDS_BELOW:
        raise XorMiError(
            f"seeds must be below 2^62; {n_networks:,} from {number} on are not: give a lower seed"
        )
    return number


def require_kind(name: str, value: object, kind: type | tuple[type, ...], *, give: str) -> None:
    """Refuse an argument that is not of the kind a function works on.

    Raises:
        XorMiError: naming the argument, what was given and what to give.

    >>> require_kind("rows", 3.5, list, give="input rows such as ['00', '01']")
    Traceback (most recent call last):
        ...
    xor_mi.errors.XorMiError: rows is 3.5; give input rows such as ['00', '01']
    """
    if isinstance(value, kind):
        return
    text = repr(value)
    is_readable = len(text) <= MAX_VALUE_SHOWN and "\n" not in text
    quoted = text if is_readable else f"of type {type(value).__name__}"
    raise XorMiError(f"{name} is {quoted}; give {give}")


def require_at_most(count: int, most: int, *, what: str, do: str) -> None:
    """Refuse work that is too large, by its size, before it is begun.

    Args:
        what: what is counted, such as "points of the grid".
        do: the next step, such as "give a smaller n_points".

    Raises:
        XorMiError: with both numbers and the next step.

    >>> require_at_most(5_000, 1_000, what="paths", do="name fewer")
    Traceback (most recent call last):
        ...
    xor_mi.errors.XorMiError: 5,000 paths are more than the 1,000 that are allowed; name fewer
    """
    if count > most:
        raise XorMiError(
            f"{_counted(count)} {what} are more than the {_counted(most)} that are allowed; {do}"
        )


def require_memory(n_bytes: int, *, what: str, do: str) -> None:
    """Refuse work that would hold more than `MOST_BYTES` at once, before it is begun.

    Args:
        n_bytes: the bytes of everything that is held at the same time.
        what: what takes them, such as "a grid of 20,001 x 20,001 points".
        do: the next step, such as "give a smaller n_points".

    Raises:
        XorMiError: with the size in GB and the next step.
    """
    if n_bytes > MOST_BYTES:
        raise XorMiError(
            f"{what} would take {_counted(n_bytes // 10**9 + 1)} GB of memory, more than the "
            f"{MOST_BYTES // 10**9} GB that are allowed; {do}"
        )


def _counted(count: int) -> str:
    """A number as a person reads it; a huge one as its power of ten."""
    return f"{count:,}" if count < 10**15 else f"about 10^{int(log10(count))}"


def as_path(name: str, value: object) -> Path:
    """A file or folder given as text or as a path -> the path.

    A leading "~" or "~name" is the home folder, as in a shell.

    Raises:
        XorMiError: naming the argument and what was given. Empty text is refused, because `Path`
            would read it as the current folder; so is the home folder of an unknown user.

    >>> as_path("directory", "")
    Traceback (most recent call last):
        ...
    xor_mi.errors.XorMiError: directory is empty; give a place on disk, such as 'my-run'
    """
    require_kind(name, value, (str, PathLike), give="a place on disk, as text or as a Path")
    if value == "":
        raise XorMiError(f"{name} is empty; give a place on disk, such as 'my-run'")
    path = Path(value)  # pyright: ignore[reportArgumentType]
    if not _is_nameable(path):
        raise XorMiError(
            f"{name} is {shown(str(path))}, which cannot be a place on disk; give another name"
        )
    try:
        return path.expanduser() if str(value).startswith("~") else path
    except RuntimeError:
        raise XorMiError(
            f"{name} is {shown(str(value))}, and there is no home folder for "
            f"{cut_short(path.parts[0])} here; write the folder out, or put ./ in front where the "
            "name itself begins with ~"
        ) from None


def _is_nameable(path: Path) -> bool:
    try:
        if b"\0" in os.fsencode(path):
            return False
        os.lstat(path)
    except UnicodeEncodeError:  # half of a character
        return False
    except OSError as error:  # a place may still be empty, but a name can be too long
        return error.errno != errno.ENAMETOOLONG
    return True


def unwritable(path: str | Path, error: OSError) -> XorMiError:
    """A place on disk that could not be written -> the error that says why, and the next step."""
    next_step = "choose a folder you may write to"
    if error.errno in _DISK_IS_FULL:
        next_step = "free some space, or choose a folder on another disk"
    elif error.errno == errno.EROFS:
        next_step = "choose a folder on a disk you may write to, or copy this one there"
    return XorMiError(f"cannot write '{path}': {error.strerror or error}; {next_step}")


# Windows does not have EDQUOT (the user's quota is used up)
_DISK_IS_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
