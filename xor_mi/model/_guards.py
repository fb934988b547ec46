"""What a hook may return, and what a model must be before it is analysed: silent mistakes made
loud.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any

from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from xor_mi.errors import XorMiError, whole_number


def guarded(function: Callable[..., Any], value: Tensor, hook: HookPoint) -> Any:
    """Run a forward hook; refuse an in-place edit that is not returned, and a return of another
    shape.
    """
    before = None if value.is_inference() else value._version
    result = function(value, hook=hook)
    if result is None and before is not None and value._version != before:
        raise XorMiError(
            f"the hook on '{hook.name}' edited its activation in place and returned None; return the new tensor"
        )
    if result is not None and (not isinstance(result, Tensor) or result.shape != value.shape):
        got = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise XorMiError(
            f"the hook on '{hook.name}' returned {got}; its activation has shape {list(value.shape)}"
        )
    return result


def all_finite(values: Tensor) -> bool:
    """Whether no entry is NaN or infinite. A finite sum has finite terms only, so one sum settles
    nearly every case.
    """
    return isfinite(values.sum().item()) or bool(values.isfinite().all())


def require_evaluable(model: nn.Module, operation: str) -> None:
    """Refuse train mode anywhere in a model, and parameters that are not finite, naming the module
    or the parameter.
    """
    for name, module in model.named_modules():
        if module.training:
            raise XorMiError(
                f"{operation} needs eval mode; {name or 'the model'} is in train mode: call model.eval() first"
            )
        for (
            key,
            value,
        ) in (
            module._parameters.items()
        ):  # one walk: named_parameters would go through the modules again
            if value is not None and not all_finite(value.detach()):
                whole = f"{name}.{key}" if name else key
                raise XorMiError(
                    f"{operation} needs finite weights; {whole} has NaN or infinite entries"
                )


def require_output(output: int, n_outputs: int) -> int:
    """The number of an output, counted from 0; `XorMiError` where there is none of this number."""
    number = whole_number("output", output)
    if number >= n_outputs:
        raise XorMiError(f"no output {output}; this network has {n_outputs}, counted from 0")
    return number
