"""which engine trains: PyTorch's operations, or a loop that numba compiles."""

from functools import cache
from typing import get_args

import torch

from xor_mi.errors import XorMiError, unknown
from xor_mi.kernels import is_kept, numba_is_installed, why_not_numba
from xor_mi.kinds import EngineName
from xor_mi.model import HookedMLPConfig
from xor_mi.model._places import warn

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
"""Names of the engines; torch is the reference that numba is compared with."""

WORTH_SAYING = 10_000
"""From this many networks on, a warning says how much time numba would save."""


def engine_of(
    engine: EngineName | None, *, n_networks: int, cfg: HookedMLPConfig, device: torch.device
) -> EngineName:
    """The engine to use; if None is asked for, numba if it is installed and can do the work.

    Raises:
        XorMiError: an engine that does not exist, is not installed, does not load or cannot do
            this.
    """
    if engine is not None and not (isinstance(engine, str) and engine in ENGINES):
        raise unknown("engine", engine, ENGINES, where="training has")
    # only PyTorch's loop keeps the loss at every step of a single network
    if engine == "torch" or (engine is None and n_networks == 1):
        return "torch"
    why_not = _not_its_work(cfg, device)
    if engine is None:
        return "torch" if why_not or not numba_is_usable() else "numba"
    why_not = why_not or why_not_numba()
    if why_not:
        raise XorMiError(f"engine='numba' {why_not}; leave engine out, or give engine='torch'")
    return engine


def numba_is_usable() -> bool:
    """Whether numba can be used; if it is installed but cannot, one warning says why."""
    why_not = why_not_numba()
    if why_not and numba_is_installed():
        _say_why_not(why_not)
    return not why_not


@cache
def _say_why_not(why_not: str) -> None:
    warn(f"numba {why_not}; without it this takes some twenty times as long")


def must_compile() -> bool:
    """Whether training by numba compiles first, which takes 10 to 40 seconds."""
    # numba takes a moment to load, and may not be there
    from xor_mi.training import _lanes

    return not is_kept(_lanes.advance)


def say_what_numba_saves(n_networks: int) -> None:
    """Warn once in a process if numba is not installed and so many networks are trained."""
    if n_networks >= WORTH_SAYING and not numba_is_installed():
        _say_it()


@cache
def _say_it() -> None:
    warn(
        "training this many networks takes some twenty times as long without numba: "
        "pip install 'xor-mi[fast]'"
    )


def _not_its_work(cfg: HookedMLPConfig, device: torch.device) -> str:
    """Why numba cannot train these; '' if it can."""
    if device.type != "cpu":
        return f"trains on the CPU, not on '{device}'"
    if cfg.dtype != torch.float32:
        return "trains in float32, and these weights are float64"
    return ""
