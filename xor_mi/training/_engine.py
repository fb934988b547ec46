"""which engine trains: PyTorch's operations, or a loop that numba compiles."""

from importlib.util import find_spec

import torch

from xor_mi.errors import XorMiError, unknown
from xor_mi.kinds import EngineName
from xor_mi.model import HookedMLPConfig

ENGINES: tuple[EngineName, ...] = ("torch", "numba")
"""Names of the engines; torch is the one that the other is held against."""


def engine_of(
    engine: EngineName | None, *, n_networks: int, cfg: HookedMLPConfig, device: torch.device
) -> EngineName:
    """The engine that is asked for; None for numba where it is installed and can do the work.

    Raises:
        XorMiError: an engine that does not exist, is not installed or cannot do this.
    """
    why_not = _why_not_numba(n_networks, cfg, device)
    if engine is None:
        return "torch" if why_not else "numba"
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES, where="training has")
    if engine == "numba" and why_not:
        raise XorMiError(f"engine='numba' {why_not}; leave engine out, or give engine='torch'")
    return engine


def _why_not_numba(n_networks: int, cfg: HookedMLPConfig, device: torch.device) -> str:
    """'' where numba can do the work."""
    if device.type != "cpu":
        return f"trains on the CPU, not on '{device}'"
    if cfg.dtype != torch.float32:
        return "trains in float32, and these weights are float64"
    if n_networks == 1:
        return "trains many networks at once, and keeps no loss at every step of a single one"
    if find_spec("numba") is None:
        return "is not installed: pip install 'xor-mi[fast]'"
    return ""
