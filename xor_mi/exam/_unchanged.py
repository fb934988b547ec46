"""a problem -> the same problem after a method ran, whatever the method changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xor_mi.exam._problem import ExamProblem
from xor_mi.model import HookedMLP

TORCH_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
"""Where PyTorch keeps the hooks that it calls before and after a module's forward and backward."""
PARTS = ("_parameters", "_buffers", "_modules")
"""Where PyTorch keeps the parts of a module, by name."""


class Changed(Exception):
    """A method changed its problem."""


@contextmanager
def unchanged(problem: ExamProblem) -> Iterator[None]:
    """Restore the network and the problem's numbers after a `with` block, if a method changed them.

    PyTorch's default dtype and gradient mode are restored too.

    Raises:
        Changed: a method that changed weights, parts, settings, hooks, the mode or the problem's
            numbers.
    """
    network = _Network(problem.model)
    arrays = _arrays(problem)
    copies = [array.copy() for array in arrays]
    dtype = torch.get_default_dtype()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        torch.set_default_dtype(dtype)
        changed = network.put_back()
        for array, copy in zip(arrays, copies, strict=True):
            if not np.array_equal(array, copy):
                changed.append("the problem's numbers")
                array[...] = copy
    if changed:
        raise Changed(
            f"the method changed {', '.join(dict.fromkeys(changed))}; work on a copy, such as "
            "copy.deepcopy(problem.model)"
        )


def _arrays(problem: ExamProblem) -> list[NDArray[np.generic]]:
    numbers = problem.numbers
    arrays: list[NDArray[np.generic]] = [numbers.clean, numbers.rows, numbers.labels]
    arrays += [numbers.low, numbers.high]
    for layer in numbers.layers:
        arrays += [layer.weight, layer.bias, layer.carried]
    for weight, bias in numbers.whole:
        arrays += [weight, bias]
    return arrays


class _Weight(NamedTuple):
    """A snapshot of a parameter or a buffer."""

    name: str
    held: Tensor
    value: Tensor
    has_gradient: bool
    gradient: Tensor | None


class _Network:
    """A snapshot of a network before a method ran."""

    def __init__(self, model: HookedMLP) -> None:
        self._model = model
        self._cfg = replace(model.cfg)
        self._mode = model.training
        self._parts: list[tuple[str, nn.Module, str, dict[str, Any]]] = []
        self._hooks: list[tuple[nn.Module, str, dict[Any, Any]]] = []
        for path, owner in model.named_modules():
            self._parts += [(path, owner, kind, dict(getattr(owner, kind))) for kind in PARTS]
            self._hooks += [(owner, name, dict(getattr(owner, name))) for name in TORCH_HOOKS]
        self._weights = [
            _Weight(
                name=name,
                held=held,
                value=held.detach().clone(),
                has_gradient=held.requires_grad,
                gradient=None if held.grad is None else held.grad.clone(),
            )
            for name, held in (*model.named_parameters(), *model.named_buffers())
        ]

    def put_back(self) -> list[str]:
        """Restore everything that changed; return names of what was changed, in words."""
        changed: list[str] = []
        if self._model.cfg != self._cfg:
            changed.append("the network's settings")
            self._model.cfg = self._cfg
        changed += self._put_back_parts()
        for weight in self._weights:
            changed += _put_back_weight(weight)
        if self._model.training != self._mode:
            changed.append("the mode")
        self._model.train(self._mode)
        hooks = [(getattr(owner, name), before) for owner, name, before in self._hooks]
        if any(dict(now) != before for now, before in hooks):
            changed.append("hooks")
            # a network of the exam has no hooks of its own
            self._model.reset_hooks()
            for now, before in hooks:
                now.clear()
                now.update(before)
        return changed

    def _put_back_parts(self) -> list[str]:
        """Restore layers and parameters that were removed, added or replaced."""
        changed: list[str] = []
        for path, owner, kind, before in self._parts:
            now = getattr(owner, kind)
            is_same = list(now) == list(before) and all(now[name] is before[name] for name in now)
            if not is_same:
                changed.append(f"the parts of {path or 'the network'}")
                now.clear()
                now.update(before)
            for name in before:
                # remove an attribute that hides the part
                vars(owner).pop(name, None)
        return changed


def _put_back_weight(weight: _Weight) -> list[str]:
    """Restore one parameter's numbers, and whether it requires a gradient.

    A gradient that a method left behind does not count as a change, and is removed.
    """
    changed: list[str] = []
    held = weight.held
    if held.dtype != weight.value.dtype or held.shape != weight.value.shape:
        changed.append(f"the weight {weight.name}")
        held.data = weight.value
    elif not torch.equal(held, weight.value):
        changed.append(f"the weight {weight.name}")
        held.data.copy_(weight.value)
    if held.requires_grad != weight.has_gradient:
        changed.append("which weights have gradients")
        held.requires_grad_(weight.has_gradient)
    held.grad = weight.gradient
    return changed
