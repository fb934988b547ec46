"""The processes of a census: they end silently when the process that started them ends.

A process that joblib starts removes what a killed process leaves in shared memory.
"""

import os
import sys
import threading
import time
from functools import cache

SECONDS_BETWEEN_LOOKS = 1.0
"""Seconds between a worker's checks whether the process that started it is still there."""

_NO_WARNING = "ignore:resource_tracker:UserWarning"
"""A filter as after Python's -W: ignore warnings that begin with this word."""


@cache  # called once in each process
def end_with(parent: int) -> None:
    """End this process when the one that started it is gone, even if that was killed.

    Without this, a worker waits minutes for work that nobody sends any more. The function does
    nothing in the process that runs the census and in workers that this process did not start, as
    on a cluster.
    """
    if os.name == "nt" or os.getppid() != parent:
        return

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def clean_up_silently() -> None:
    """Start joblib's process that removes what is left of a killed run, with its warning silenced.

    That process lists all that it removes as "leaked", on the terminal of whoever killed the run.
    If it runs already, because the caller has used joblib before, nothing is changed.
    """
    from joblib.externals.loky.backend.resource_tracker import ensure_running

    # it starts with the options of this process
    sys.warnoptions.append(_NO_WARNING)
    try:
        ensure_running()
    finally:
        sys.warnoptions.remove(_NO_WARNING)
