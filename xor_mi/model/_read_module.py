"""Any nn.Module -> a description of its layers.

Its forward is followed with torch.fx on a copy: the module itself is not changed. Operations are
followed, not modules, so functional calls, submodules of any class and computed weights (weight
norm, parametrizations) are read by what they do.
"""

import copy
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from xor_mi.errors import XorMiError, cut_short
from xor_mi.model._description import Description
from xor_mi.model._forms import InputWidth, Layers, Value
from xor_mi.model._places import is_theirs, line
from xor_mi.model._tracer import Followed, Tracer, conversions_followed
from xor_mi.truth import truth_rows

MOST_INPUTS = 12
"""Up to this many inputs the made network is compared on every row, above it on 4,096 rows."""

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class CopiedModule:
    """A copy of a module in eval mode on the CPU, free of compilers and of parallel wrappers.

    Raises:
        XorMiError: a module that has no Python to follow, or weights that are not there yet.
    """

    def __init__(self, module: nn.Module) -> None:
        for name, parameter in module.named_parameters():
            if isinstance(parameter, UninitializedParameter):
                raise XorMiError(
                    f"{name} has no values yet: run the module once on an input, then bring it"
                )
        self.net = _copied(_unwrapped(module))
        self.dtype = _dtype_of(self.net)
        self.net.eval().cpu()

    @property
    def hint(self) -> str:
        """What else a difference may come from, for a message."""
        hooked = [name for name, one in self.net.named_modules() if _has_own_hooks(one)]
        return f"; a forward hook on {hooked[0] or 'the module'} is not read" if hooked else ""

    def outputs(self, rows: Tensor) -> Tensor:
        """What the module itself gives for rows [row, d_in], hooks included."""
        with _random_state_kept(), torch.no_grad():
            # not the random draws of the first reading, so that a network that draws is found out
            torch.manual_seed(torch.initial_seed() + 1)
            try:
                return torch.as_tensor(self.net(rows.clone()))
            except Exception as error:
                raise _cannot_follow(error) from None

    def described(self) -> Description:
        """The layers, read by following the forward.

        Raises:
            XorMiError: an operation or a line that cannot be followed, and where it is.
        """
        widths = [m.in_features for m in self.net.modules() if isinstance(m, nn.Linear)]
        try:
            return self._described(widths[0] if widths else 2)
        except InputWidth as other:
            return self._described(other.width)

    def _described(self, d_in: int) -> Description:
        layers = Layers(d_in, len(rows_to_compare(d_in, self.dtype)))
        tracer = Tracer(self.net, layers, self.dtype)
        with (
            _random_state_kept(),
            torch.no_grad(),
            _hooks_aside(self.net),
            conversions_followed(),
        ):
            try:
                tracer.trace(tracer.start)
            except XorMiError:
                raise
            except Exception as error:
                raise _cannot_follow(error) from None
        result = tracer.start.result
        if not isinstance(result, Followed) or not isinstance(result.value, Value):
            raise XorMiError(
                f"the module's forward returns {_kind(result)}; "
                "give one whose forward returns its outputs, one tensor"
            )
        return layers.described(result.value, self.dtype)


def rows_to_compare(d_in: int, dtype: torch.dtype) -> Tensor:
    """Rows of 0 and 1 [row, d_in]: all of them, or 4,096 drawn ones of more than 12 inputs."""
    if d_in <= MOST_INPUTS:
        return torch.tensor(truth_rows(d_in), dtype=dtype).view(-1, d_in)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(2, (2**MOST_INPUTS, d_in), generator=generator).to(dtype)


def _has_own_hooks(module: nn.Module) -> bool:
    """Whether it has a forward hook, other than those that compute a weight."""
    before = module._forward_pre_hooks.values()
    return bool(module._forward_hooks) or not all(map(_is_part, before))


def _is_part(hook: object) -> bool:
    """Whether a hook computes a weight, as torch.nn.utils.weight_norm's does."""
    return hasattr(hook, "compute_weight")


def _kind(result: object) -> str:
    if isinstance(result, (tuple, list)):
        return f"a {type(result).__name__} of {len(result)}"
    if isinstance(result, Followed):
        return "an exponential"
    if isinstance(result, Tensor):
        return "a tensor that does not depend on the input"
    return f"something of type {type(result).__name__}"


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module inside torch.compile and the parallel wrappers."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(
            module, (nn.DataParallel, nn.parallel.DistributedDataParallel)
        ):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _copied(module: nn.Module) -> nn.Module:
    # computed tensors have no copy of their own in PyTorch: their values are enough
    memo: dict[int, Any] = {}
    for one in module.modules():
        if isinstance(one, torch.jit.ScriptModule):
            raise XorMiError(
                "a ScriptModule has no Python to follow; give the module it was made from"
            )
        for tensor in _tensors_in(list(vars(one).values())):
            if not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    try:
        net = copy.deepcopy(module, memo | _shared(module, memo))
    except Exception as error:
        raise XorMiError(
            f"the module cannot be copied ({type(error).__name__}: {cut_short(str(error))}); "
            "give its weights with HookedMLP.from_weights"
        ) from None
    for one in list(net.modules()):
        for name, child in one._modules.items():
            if child is not None:
                one._modules[name] = _unwrapped(child)
    return net


def _tensors_in(thing: object) -> Iterator[Tensor]:
    """The tensors in a value, in lists and dicts of it too."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, (list, tuple)):
        for part in thing:
            yield from _tensors_in(part)
    elif isinstance(thing, dict):
        yield from _tensors_in(list(thing.values()))


def _shared(module: nn.Module, memo: dict[int, Any]) -> dict[int, Any]:
    """A memo by which the copy shares what has no copy: locks, open files and the like."""
    own = vars(nn.Module()).keys()
    shared: dict[int, Any] = {}
    for one in module.modules():
        for name, thing in vars(one).items():
            if name in own or isinstance(thing, (nn.Module, Tensor, int, float, str, type(None))):
                continue
            try:
                copy.deepcopy(thing, dict(memo))
            except Exception:
                shared[id(thing)] = thing
    return shared


def _dtype_of(net: nn.Module) -> torch.dtype:
    tensors = [*net.parameters(), *net.buffers()]
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    if not dtypes:
        dtypes = {torch.float32}  # weights that are plain attributes, or written into the forward
    if len(dtypes) > 1 or not dtypes <= set(_DTYPES):
        listed = ", ".join(sorted(map(str, dtypes)))
        raise XorMiError(
            f"the module's weights are {listed}; give one of one dtype, such as module.double()"
        )
    if any(tensor.is_meta for tensor in tensors):
        raise XorMiError(
            "the module's weights are on the meta device, which holds no values; load them first"
        )
    return dtypes.pop()


@contextmanager
def _random_state_kept() -> Iterator[None]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=list(devices)):
        yield


@contextmanager
def _hooks_aside(net: nn.Module) -> Iterator[None]:
    """Without the forward hooks, which are not part of what is read; weight norm's stay."""
    kept = []
    for module in net.modules():
        kept.append((module, module._forward_hooks, module._forward_pre_hooks))
        pre_hooks = module._forward_pre_hooks
        empty = type(pre_hooks)()
        module._forward_hooks = type(module._forward_hooks)()
        for key, hook in pre_hooks.items():
            if _is_part(hook):
                empty[key] = hook
        module._forward_pre_hooks = empty
    try:
        yield
    finally:
        for module, hooks, pre_hooks in kept:
            module._forward_hooks, module._forward_pre_hooks = hooks, pre_hooks


def _cannot_follow(error: Exception) -> XorMiError:
    """An exception out of a module's forward -> the sentence that names the line."""
    lines = [
        line(frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if is_theirs(frame.f_code.co_filename, str(frame.f_globals.get("__name__", "")))
    ]
    where = f" at {lines[-1]}" if lines else ""
    said = " ".join(str(error).split())
    return XorMiError(
        f"the module's forward cannot be followed{where}: {type(error).__name__}: "
        f"{said[:200]}; give the weights with HookedMLP.from_weights"
    )
