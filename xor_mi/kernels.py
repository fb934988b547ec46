"""functions of numbers -> machine code, by numba, where that is installed (the extra `fast`)."""

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
    "nogil": True,  # threads run beside each other
    "error_model": "numpy",  # a division by zero is infinite
    "_nrt": False,  # nothing is allocated, so numba need not count who holds which array
    "no_cfunc_wrapper": True,  # nobody calls them from C
}


def numba_is_installed() -> bool:
    """Without loading it."""
    return find_spec("numba") is not None


@cache
def why_not_numba() -> str:
    """Why numba cannot be used, as it is said after its name; '' where it can.

    One that is installed is loaded, since not every one can be: it refuses a NumPy that is newer
    than itself.
    """
    if not numba_is_installed():
        return "is not installed: pip install 'xor-mi[fast]'"
    try:
        import_module("numba")
    except Exception as error:  # what it needs may fail in any way
        said = cut_short(f"{type(error).__name__}: {error}", at_most=200)
        return f"is installed but does not load ({said}): pip install --upgrade numba"
    return ""


def compiled(function: Kernel) -> Kernel:
    """Compiled when it is first called, and kept on disk where there is a folder to keep it in.

    That is `__pycache__` beside its file, else numba's folder in the user's cache, or the one that
    the environment variable NUMBA_CACHE_DIR names. It is compiled anew when a file changes that it
    may have taken functions or numbers from; see `sources_digest`.
    """
    from numba import njit

    # numba looks at the function's own file alone, and keeps what it made under this name
    function.__qualname__ = f"{function.__qualname__}_{sources_digest(Path(getfile(function)))}"
    try:
        return cast(Kernel, njit(cache=True, **_SETTINGS)(function))
    except RuntimeError:  # no folder that may be written
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
    """The function itself to Python; where compiled functions call it, compiled and kept with them.

    Quicker to compile than what `compiled` and `inlined` make of the same function.
    """
    from numba.extending import register_jitable

    return cast(Kernel, register_jitable(no_cpython_wrapper=True, **_SETTINGS)(function))


def inlined(function: Kernel) -> Kernel:
    """Compiled as a part of what calls it."""
    from numba import njit

    return cast(Kernel, njit(inline="always", **_SETTINGS)(function))


def sources_digest(file: Path) -> str:
    """Of what the functions of a file may be compiled from: all modules of its folder, the names of
    what can be chosen, and this module. Other files are not part of any kernel.
    """
    here = Path(__file__)
    digest = sha256()
    for source in [*sorted(file.parent.glob("*.py")), here, here.with_name("kinds.py")]:
        if source.is_file():  # it is not where the package lies in an archive
            content = source.read_bytes()
            digest.update(f"{source.name} {len(content)} ".encode())
            digest.update(content)
    return digest.hexdigest()[:16]
