"""work that may take long -> one rule for its bar, for the whole package. No torch.

A bar appears where the work takes over two seconds and a person watches (standard error is a
terminal, or a notebook draws it); `progress=False` silences it everywhere.
"""

import threading
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["SECONDS_BEFORE_A_BAR", "progress_bar"]

Item = TypeVar("Item")

SECONDS_BEFORE_A_BAR = 2.0
"""Work that ends before this shows nothing."""


class _Bar(tqdm):
    """A bar that one process draws."""


# tqdm's own lock is one between processes, which a killed process leaves behind in the system
_Bar.set_lock(threading.RLock())


def progress_bar(
    items: Iterable[Item] | None = None,
    *,
    doing: str,
    unit: str,
    total: int | None = None,
    progress: bool = True,
) -> "tqdm[Item]":
    """A tqdm bar under the one rule; iterate over it, or leave `items` out and call `update`.

    Args:
        doing: what is being done, such as "training".
        unit: what is counted, such as "network".
        total: how many units there are, where `items` does not know.
        progress: False for no bar at all.

    >>> sum(progress_bar([1, 2, 3], doing="adding", unit="number"))
    6
    """
    # Any: tqdm's own type knows no bar without items
    bar: Any = _Bar(
        items,
        total=total,
        desc=doing,
        unit=unit,
        delay=SECONDS_BEFORE_A_BAR,
        # None is tqdm's word for: only where standard error is a terminal
        disable=None if progress else True,
    )
    return bar
