"""Silent mistakes made loud: what a hook may return, and what a model must be to be analysed."""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from transformer_lens.hook_points import HookPoint

from xor_mi.errors import XorMiError, shown, whole_number

HookFunction = Callable[..., Any]
"""(activation, hook point) -> a new activation of the same shape, or None to leave it."""


def require_device(name: str | torch.device) -> torch.device:
    """A device by name -> it, tried: only using a device shows that it is there.

    Raises:
        XorMiError: a text that names no device, or one that this machine does not have.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # UnicodeDecodeError: torch quotes a device given as bytes in its own error
    except (RuntimeError, TypeError, AssertionError, UnicodeDecodeError) as error:
        # where the locale is not UTF-8, torch's error for such bytes is empty
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise XorMiError(f"no device {str(name)!r} here ({reason}); use device='cpu'") from None
    return device


def guarded(function: HookFunction, value: Tensor, hook: HookPoint) -> Tensor | None:
    """Run a forward hook and check what it did.

    Raises:
        XorMiError: an in-place edit that is not returned, or a return of another shape.
    """
    # PyTorch counts the writes into a tensor, but not under inference_mode
    before = None if value.is_inference() else value._version
    result = function(value, hook=hook)
    if result is None:
        if before is not None and value._version != before:
            raise XorMiError(
                f"the hook on '{hook.name}' edited its activation in place and returned None; "
                "return the new tensor"
            )
        return None
    if not isinstance(result, Tensor) or result.shape != value.shape:
        returned = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise XorMiError(
            f"the hook on '{hook.name}' returned {returned}; "
            f"its activation has shape {list(value.shape)}"
        )
    return result


def all_finite(values: Tensor) -> bool:
    """Whether no entry is NaN or infinite."""
    # one look is enough for the usual dtypes, and each sweep asks this of every parameter
    is_usual = values.dtype in (torch.float32, torch.float64)
    if not is_usual and values.is_complex():
        return bool(values.isfinite().all())
    if not is_usual and values.is_floating_point() and values.element_size() < 2:
        values = values.to(torch.float32)  # PyTorch cannot add 8-bit floats
    # A finite sum has finite terms only; the slower look at each entry is for sums that overflow.
    return isfinite(values.sum().item()) or bool(values.isfinite().all())


def require_evaluable(model: nn.Module, operation: str) -> None:
    """Refuse train mode anywhere in a model, and parameters without numbers or not finite.

    Args:
        operation: what needs it, the subject of the message.

    Raises:
        XorMiError: naming the module or the parameter.
    """
    if not isinstance(model, nn.Module):
        raise XorMiError(
            f"{operation} needs a model, not {type(model).__name__}: {how_to_bring(model)}"
        )
    # one walk: named_parameters would go through the modules again
    for name, module in _named_modules(model):
        if module.training:
            raise XorMiError(
                f"{operation} needs eval mode; {name or 'the model'} is in train mode: "
                "call model.eval() first"
            )
        for key, value in module._parameters.items():
            if value is not None:
                _require_finite(f"{name}.{key}" if name else key, value, operation)


def _named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """As `named_modules`, in its order, but without a generator in each module."""
    seen: set[nn.Module] = set()
    waiting: list[tuple[str, nn.Module]] = [("", model)]
    while waiting:
        name, module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        yield name, module
        start = f"{name}." if name else ""
        inside = [(start + key, one) for key, one in module._modules.items() if one is not None]
        waiting += reversed(inside)


def _require_finite(parameter: str, value: nn.Parameter, operation: str) -> None:
    """Refuse one parameter that has no numbers yet, or some that are not finite."""
    if is_lazy(value):
        raise XorMiError(
            f"{operation} needs weights; {parameter} has no shape yet: run the model once"
        )
    if value.is_meta:
        raise XorMiError(
            f"{operation} needs weights; {parameter} is on the meta device, which holds no "
            "numbers: load the weights"
        )
    if not all_finite(value.detach()):
        raise XorMiError(
            f"{operation} needs finite weights; {parameter} has NaN or infinite entries"
        )


def how_to_bring(
    value: object, *, otherwise: str = "give one, such as handmade.textbook_xor()"
) -> str:
    """What to give in place of a value that holds or names a network and is not a HookedMLP.

    Args:
        otherwise: the answer to a value that does neither.

    >>> how_to_bring("my-model")
    "give HookedMLP.from_pretrained('my-model')"
    """
    if isinstance(value, nn.Module):
        hooked = "other hooked models take patch_sweep, ablation_sweep, find_gates"
        hook_names = getattr(value, "hook_dict", {})
        if any("attn" in name for name in hook_names):
            return hooked
        if hook_names:
            return f"give HookedMLP.from_module(net) if it is made of linear layers; {hooked}"
        return "give HookedMLP.from_module(net)"
    if isinstance(value, type):
        return f"give a network, not a class: {value.__name__}(...)"
    if isinstance(getattr(value, "model", None), nn.Module):
        return "give its .model, as in result.model"
    if isinstance(value, (str, Path)):
        return f"give HookedMLP.from_pretrained({shown(str(value))})"
    if hasattr(value, "coefs_"):
        return "give HookedMLP.from_sklearn(estimator)"
    if hasattr(value, "layers") and hasattr(value, "get_weights"):
        return "give HookedMLP.from_keras(model)"
    if isinstance(value, Mapping):
        return "load it into the network, and give HookedMLP.from_module(net)"
    if hasattr(value, "of_seed"):
        return "give one of its networks, such as population[0]"
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], nn.Module):
        return "give one of these networks, such as the first, networks[0]"
    if isinstance(value, (list, tuple)):
        return "give HookedMLP.from_weights([(weight, bias), ...])"
    return otherwise


def require_output(output: int, n_outputs: int) -> int:
    """The number of an output, counted from 0.

    Raises:
        XorMiError: there is no output of this number.
    """
    number = whole_number("output", output)
    if number >= n_outputs:
        raise XorMiError(f"no output {output}; this network has {n_outputs}, counted from 0")
    return number
