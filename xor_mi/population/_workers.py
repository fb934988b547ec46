"""The processes of a census: they end when the one that started them does, and say nothing then.

What a killed process leaves in shared memory is removed by a process of joblib's own.
"""

import os
import sys
import threading
import time
from functools import cache

SECONDS_BETWEEN_LOOKS = 1.0
"""A worker asks so often whether the process that started it is still there."""

_NO_WARNING = "ignore:resource_tracker:UserWarning"
"""As after Python's -W: of what begins with this word."""


@cache  # once in each process
def end_with(parent: int) -> None:
    """End this process when the one that started it is gone, even where that was killed.

    Without this, a worker waits minutes for work that nobody sends any more. It does nothing in the
    process that runs the census, and in workers that were not started by it, as on a cluster.
    """
    if os.name == "nt" or os.getppid() != parent:
        return

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def clean_up_silently() -> None:
    """Start the process of joblib's that removes what is left of a killed run, without its warning.

    It lists all that it removes as "leaked", on the terminal of whoever killed the run. One that
    runs already, because the caller has used joblib before, is left as it is.
    """
    from joblib.externals.loky.backend.resource_tracker import ensure_running

    # it is started with the options of this process
    sys.warnoptions.append(_NO_WARNING)
    try:
        ensure_running()
    finally:
        sys.warnoptions.remove(_NO_WARNING)
