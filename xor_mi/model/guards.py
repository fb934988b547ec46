"""What a hook may return: the silent mistakes of hooks, made loud."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformer_lens.hook_points import HookPoint

from xor_mi.errors import XorMiError


def guarded(function: Callable[..., Any], value: Tensor, hook: HookPoint) -> Any:
    """Run a forward hook; refuse an in-place edit that is not returned, and a return of another shape."""
    before = None if value.is_inference() else value._version
    result = function(value, hook=hook)
    if result is None and before is not None and value._version != before:
        raise XorMiError(f"the hook on '{hook.name}' edited its activation in place and returned None; return the new tensor")
    if result is not None and (not isinstance(result, Tensor) or result.shape != value.shape):
        got = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise XorMiError(f"the hook on '{hook.name}' returned {got}; its activation has shape {list(value.shape)}")
    return result
