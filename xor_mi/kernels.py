"""functions of numbers -> machine code, by numba, where that is installed (the extra `fast`)."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar, cast

__all__ = ["compiled", "inlined", "numba_is_installed", "part"]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
"""Any: numba finds the types."""

_SETTINGS: dict[str, Any] = {
    "nogil": True,  # threads run beside each other
    "error_model": "numpy",  # a division by zero is infinite
    "_nrt": False,  # nothing is allocated, so numba need not count who holds which array
    "no_cfunc_wrapper": True,  # nobody calls them from C
}


def numba_is_installed() -> bool:
    """Without loading it."""
    return find_spec("numba") is not None


def compiled(function: Kernel) -> Kernel:
    """Compiled when it is first called, and kept on disk where there is a folder to keep it in.

    What is kept is made anew when its own file changes. numba does not notice a change in another
    file whose functions or numbers it took in: who edits kernels removes the `.nbi` files.
    """
    from numba import njit

    try:
        return cast(Kernel, njit(cache=True, **_SETTINGS)(function))
    except RuntimeError:  # no folder that may be written
        return cast(Kernel, njit(**_SETTINGS)(function))


def part(function: Kernel) -> Kernel:
    """The function itself to Python; where compiled functions call it, compiled and kept with them.

    Quicker to compile than what `compiled` and `inlined` make of the same function.
    """
    from numba.extending import register_jitable

    return cast(Kernel, register_jitable(no_cpython_wrapper=True, **_SETTINGS)(function))


def inlined(function: Kernel) -> Kernel:
    """Compiled as a part of what calls it."""
    from numba import njit

    return cast(Kernel, njit(inline="always", **_SETTINGS)(function))
