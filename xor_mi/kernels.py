"""functions of numbers -> machine code by numba, if that is installed (the extra `fast`)."""

import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from inspect import getfile
from pathlib import Path
from typing import Any, TypeVar, cast

from xor_mi.errors import cut_short

__all__ = [
    "compiled",
    "inlined",
    "is_kept",
    "numba_is_installed",
    "part",
    "sources_digest",
    "why_not_numba",
]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
"""Any: numba finds the types."""

_SETTINGS: dict[str, Any] = {
    "nogil": True,  # threads run in parallel
    "error_model": "numpy",  # a division by zero is infinite
    "_nrt": False,  # nothing is allocated, so numba need not count who holds which array
    "no_cfunc_wrapper": True,  # they are not called from C
}


def numba_is_installed() -> bool:
    """Whether numba is installed; it is not loaded."""
    return find_spec("numba") is not None


@cache
def why_not_numba() -> str:
    """Why numba cannot be used, in words that follow its name in a message; '' if it can.

    An installed numba is loaded to find out: it refuses a NumPy that is newer than itself.
    """
    if not numba_is_installed():
        return "is not installed: pip install 'xor-mi[fast]'"
    try:
        import_module("numba")
    except Exception as error:  # the packages that it needs may fail in any way
        said = cut_short(f"{type(error).__name__}: {error}", at_most=200)
        return f"is installed but does not load ({said}): pip install --upgrade numba"
    return ""


def compiled(function: Kernel) -> Kernel:
    """Compile a function when it is first called, and keep it on disk if there is a folder for it.

    That folder is `__pycache__` beside its file, else numba's folder in the user's cache, or the
    one that the environment variable NUMBA_CACHE_DIR names. The function is compiled anew when a
    file changes that it may use; see `sources_digest`.
    """
    from numba import njit

    # numba checks only the function's own file, and keeps the compiled function under this name
    function.__qualname__ = f"{function.__qualname__}_{sources_digest(Path(getfile(function)))}"
    try:
        return cast(Kernel, njit(cache=True, **_SETTINGS)(function))
    except RuntimeError:  # there is no folder that can be written
        return cast(Kernel, njit(**_SETTINGS)(function))


def is_kept(kernel: object) -> bool:
    """Whether what `compiled` returned need not be compiled: it was in this process, or is on disk.

    A plain Python function need not be either.
    """
    # Any: numba has no types
    kept: Any = kernel
    if not hasattr(kept, "py_func") or kept.signatures:
        return True
    folder = kept.stats.cache_path  # None if there is nowhere to keep it
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    pattern = f"*.{kept.py_func.__qualname__}-*.{version}.nbi"
    return folder is not None and any(Path(folder).glob(pattern))


def part(function: Kernel) -> Kernel:
    """The plain function in Python; in compiled functions that call it, compiled and kept with
    them.

    It is quicker to compile than the results of `compiled` and `inlined` for the same function.
    """
    from numba.extending import register_jitable

    return cast(Kernel, register_jitable(no_cpython_wrapper=True, **_SETTINGS)(function))


def inlined(function: Kernel) -> Kernel:
    """Compile a function as a part of the functions that call it."""
    from numba import njit

    return cast(Kernel, njit(inline="always", **_SETTINGS)(function))


def sources_digest(file: Path) -> str:
    """A digest of everything that the functions of a file may be compiled from: all modules of its
    folder, the names of all choices, and this module. No kernel uses other files.
    """
    here = Path(__file__)
    digest = sha256()
    for source in [*sorted(file.parent.glob("*.py")), here, here.with_name("kinds.py")]:
        if source.is_file():  # there is no such file if the package lies in an archive
            content = source.read_bytes()
            digest.update(f"{source.name} {len(content)} ".encode())
            digest.update(content)
    return digest.hexdigest()[:16]
