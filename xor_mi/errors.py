"""what was asked + what exists -> one error that says the next step.

Every error a caller can cause is an `XorMiError`, so `except XorMiError` is enough for a program
and one line is enough for a person: what was asked, what exists, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class XorMiError(ValueError):
    """The one base of every error this package raises on purpose."""


class TooManyReadings(XorMiError):
    """There are more ways to read a network's units as bits than are tried or listed."""


def unknown(kind: str, asked: object, exists: Iterable[object], where: str = "there") -> XorMiError:
    """A name that is not there -> the error that lists what is, with the closest name as the next
    step.

    >>> print(unknown("gate", "ANDD", ["AND", "OR"], where="known gates"))
    no gate 'ANDD'; known gates: AND, OR; did you mean 'AND'?
    """
    names = [str(name) for name in exists]
    close = get_close_matches(str(asked), names, n=1, cutoff=0.5)
    shown = ", ".join(names[:24]) + (f", ... ({len(names)} in all)" if len(names) > 24 else "")
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return XorMiError(f"no {kind} '{asked}'; {where}: {shown or 'none'}{hint}")
