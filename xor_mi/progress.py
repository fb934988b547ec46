"""work that may take long -> one rule for its bar, for the whole package. No torch.

A bar appears where the work takes over half a second and a person watches (standard error is a
terminal, or a notebook draws it); `progress=False` silences it everywhere. From then on its clock
moves, also while one piece of the work takes long, and it says what is counted.
"""

import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["SECONDS_BEFORE_A_BAR", "progress_bar"]

Item = TypeVar("Item")

SECONDS_BEFORE_A_BAR = 0.5
"""Work that takes fewer seconds shows no bar."""
SECONDS_BETWEEN = 0.5
"""Seconds between two drawings of a bar while nothing new is counted."""
WITH_TOTAL = "{desc}: {counted} |{bar}| {elapsed}, {pace}{postfix}"
WITHOUT_TOTAL = "{desc}: {counted}, {elapsed}, {pace}{postfix}"


class _Bar(tqdm):
    """A bar that one process draws, and whose clock moves by itself."""

    # before __init__, which asks for it where there is no terminal
    _ticking: threading.Event | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if self.disable:
            return
        self._ticking = threading.Event()
        threading.Thread(target=self._tick, args=(self._ticking,), daemon=True).start()

    def _tick(self, ended: threading.Event) -> None:
        """Draw the bar until it is closed."""
        seconds = self.delay
        while not ended.wait(seconds):
            seconds = SECONDS_BETWEEN
            with self.get_lock():
                if ended.is_set():
                    return
                self.refresh()
                if self.last_print_t <= self.start_t + self.delay:
                    # drawn, so that `close` ends its line
                    self.last_print_t = self.start_t + self.delay + 1e-3

    def close(self) -> None:
        """End the line, and the clock."""
        if self._ticking is not None:
            self._ticking.set()
        super().close()

    @property
    def format_dict(self) -> Mapping[str, Any]:
        """What a line is made of: tqdm's own, with what is counted in words."""
        facts = dict(super().format_dict)
        n, total, what = int(facts["n"]), facts["total"], _several(facts["unit"])
        facts["counted"] = f"{n:,} {what}" if total is None else f"{n:,} of {int(total):,} {what}"
        facts["pace"] = _pace(facts)
        facts["bar_format"] = WITHOUT_TOTAL if total is None else WITH_TOTAL
        return facts


def _several(unit: str) -> str:
    """'networks' of "network", 'batches' of "batch"."""
    return f"{unit}es" if unit.endswith(("s", "ch")) else f"{unit}s"


def _pace(facts: Mapping[str, Any]) -> str:
    """'25/s, 01:20 left'; while the first is under way there is no pace."""
    seconds, done = facts["elapsed"], facts["n"] - facts["initial"]
    if done <= 0 or seconds <= 0:
        return "first under way"
    rate = done / seconds
    each = f"{rate:,.0f}/s" if rate >= 1 else f"{1 / rate:,.0f} s each"
    if facts["total"] is None:
        return each
    left = max(0, facts["total"] - facts["n"]) / rate
    return f"{each}, {tqdm.format_interval(left)} left"


# tqdm's own lock is shared between processes, and a killed process leaves it in the system
_Bar.set_lock(threading.RLock())


def progress_bar(
    items: Iterable[Item] | None = None,
    *,
    doing: str,
    unit: str,
    total: int | None = None,
    n_before: int = 0,
    progress: bool = True,
) -> "tqdm[Item]":
    """A tqdm bar under the one rule; iterate over it, or leave `items` out and call `update`.

    Args:
        doing: what is being done, such as "training".
        unit: what is counted, such as "network".
        total: how many units there are, where `items` does not know.
        n_before: units that an earlier run did; they count as done, but not towards the pace.
        progress: False for no bar at all.

    >>> sum(progress_bar([1, 2, 3], doing="adding", unit="number"))
    6
    """
    # Any: tqdm's own type knows no bar without items
    bar: Any = _Bar(
        items,
        total=total,
        initial=n_before,
        desc=doing,
        unit=unit,
        delay=SECONDS_BEFORE_A_BAR,
        # None is tqdm's word for: only where standard error is a terminal; it may be closed
        disable=None if progress and sys.stderr is not None else True,
    )
    return bar
