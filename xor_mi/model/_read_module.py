"""Any nn.Module -> a description of the layers it consists of.

Its forward is followed with torch.fx on a copy: the module itself is left as it is. What is
followed are the operations, not the modules, so functional calls, own submodules and weights that
are computed (weight norm, parametrizations) are read by what they do.
"""

import copy
import operator
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.nn.parameter import UninitializedParameter

from xor_mi.errors import XorMiError, cut_short
from xor_mi.model._description import Description
from xor_mi.model._forms import Exponential, InputWidth, Layers, Value
from xor_mi.model._operations import Operations, operation_name
from xor_mi.model._places import is_theirs, line, users_frame
from xor_mi.truth import truth_rows

MOST_INPUTS = 12
"""Up to so many inputs the made network is compared on every row, beyond it on 4,096 of them."""

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
        hooked = [
            name or "the module"
            for name, one in self.net.named_modules()
            if one._forward_hooks or any(not _is_part(h) for h in one._forward_pre_hooks.values())
        ]
        return f"; a forward hook on {hooked[0]} is not read" if hooked else ""

    def outputs(self, rows: Tensor) -> Tensor:
        """What the module itself gives for rows [row, d_in], hooks included."""
        with _random_state_kept(), torch.no_grad():
            # other draws than when it was read: a network that draws is none
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
        tracer = _Tracer(self.net, layers, self.dtype)
        with _random_state_kept(), torch.no_grad(), _hooks_aside(self.net):
            try:
                tracer.trace(tracer.start)
            except XorMiError:
                raise
            except Exception as error:
                raise _cannot_follow(error) from None
        result = tracer.start.result
        if not isinstance(result, _Followed) or not isinstance(result.value, Value):
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


def _is_part(hook: object) -> bool:
    """Whether a hook computes a weight, as torch.nn.utils.weight_norm's does."""
    return hasattr(hook, "compute_weight")


def _kind(result: object) -> str:
    if isinstance(result, (tuple, list)):
        return f"a {type(result).__name__} of {len(result)}"
    if isinstance(result, _Followed):
        return "an exponential"
    return (
        "a tensor that does not depend on the input"
        if isinstance(result, Tensor)
        else (f"a {type(result).__name__}")
    )


def _unwrapped(module: nn.Module) -> nn.Module:
    """What torch.compile and the parallel wrappers hold."""
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
        for thing in vars(one).values():
            if isinstance(thing, Tensor) and not thing.is_leaf:
                memo[id(thing)] = thing.detach().clone()
    try:
        net = copy.deepcopy(module, memo)
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


def _dtype_of(net: nn.Module) -> torch.dtype:
    tensors = [*net.parameters(), *net.buffers()]
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    if not dtypes:
        dtypes = {torch.float32}  # weights that are plain attributes, or written into the forward
    if len(dtypes) > 1 or not dtypes <= set(_DTYPES):
        listed = ", ".join(sorted(map(str, dtypes)))
        raise XorMiError(
            f"the module's weights are {listed}; give one of one dtype: module.double() makes it so"
        )
    if any(tensor.is_meta for tensor in tensors):
        raise XorMiError("the module's weights are on the meta device, which holds no values")
    return dtypes.pop()


@contextmanager
def _random_state_kept() -> Iterator[None]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=list(devices)):
        yield


@contextmanager
def _hooks_aside(net: nn.Module) -> Iterator[None]:
    """Without the forward hooks, which are no part of what is read; weight norm's stay."""
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


class _Start(nn.Module):
    """Gives the module one argument, and keeps what it returns."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.result: object = None

    def forward(self, inputs: Any) -> Any:
        self.result = self.net(inputs)
        return inputs


class _Followed(fx.Proxy):
    """A tensor inside the forward: what is known of it, and its shape, which is concrete."""

    value: Value | Exponential

    def __getattr__(self, name: str) -> Any:
        if name in ("T", "mT", "H", "mH"):
            return self.tracer.create_proxy("call_method", name, (self,), {})
        if name == "dtype":
            tracer: Any = self.tracer
            return tracer.dtype
        if name == "data":
            return self
        held = self.value
        entry = (held.value if isinstance(held, Exponential) else held).entry
        if name in ("shape", "ndim", "device", "is_cuda", "requires_grad", "layout"):
            return getattr(entry, name)
        if name in ("size", "dim", "ndimension", "numel", "nelement", "get_device", "stride"):
            return getattr(entry, name)
        if name == "is_floating_point":
            return lambda: True
        return super().__getattr__(name)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Any:
        pick = operator.getitem
        return iter(
            [
                self.tracer.create_proxy("call_function", pick, (self, index), {})
                for index in range(len(self))
            ]
        )


class _Tracer(fx.Tracer):
    """torch.fx, with the value of every operation worked out when the forward makes it."""

    def __init__(self, net: nn.Module, layers: Layers, dtype: torch.dtype) -> None:
        super().__init__()
        self.start = _Start(net)
        self.dtype = dtype
        self._layers = layers
        self._operations = Operations(layers)
        self._names = {id(module): name for name, module in net.named_modules()}
        self._calls: list[nn.Module] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del m, module_qualified_name
        return False

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self._calls.append(m)
        try:
            return forward(*args, **kwargs)
        finally:
            self._calls.pop()

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        del attr, parameter_proxy_cache
        return attr_val  # weights as they are: what is computed from them alone is known

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Followed(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        del obj
        raise XorMiError(
            f"{self._where()}; it decides on the input's values, so no one network is it: "
            "take the decision out of the forward"
        )

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Any = None,
    ) -> Any:
        del name, type_expr, proxy_factory_fn
        if kind == "placeholder":
            return self._followed(self._layers.inputs)
        operation = target if isinstance(target, str) else operation_name(target)
        # an operator gives its number first, as in 1 - x; `x.add_(y)` changes x itself
        writes = operation.endswith("_") and not operation.endswith("__")
        operation = operation.strip("_") if operation.endswith("_") else operation
        given, named = map_aggregate((args, kwargs), _held)
        try:
            result = self._operations.call(operation or str(target), given, named, self._where())
        except TypeError as error:
            # other arguments than the operation is known with
            raise XorMiError(f"{self._where()}; '{operation}' is not read so: {error}") from None
        is_in_place = writes or (operation != "dropout" and self._is_in_place(args, kwargs))
        if is_in_place and isinstance(args[0], _Followed) and not isinstance(result, tuple):
            args[0].value = result
        if isinstance(result, tuple):
            return tuple(self._followed(one) for one in result)
        return result if isinstance(result, Tensor) else self._followed(result)

    def _is_in_place(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        # F.leaky_relu(x, slope, True), and kwargs elsewhere
        return kwargs.get("inplace") is True or (len(args) > 1 and args[-1] is True)

    def _followed(self, value: Any) -> _Followed:
        followed = _Followed(self.create_node("placeholder", "value", (), {}), self)
        followed.value = value
        return followed

    def _where(self) -> str:
        """The place in the user's code, the subject of a message."""
        module = self._calls[-1] if self._calls else self.start
        if type(module).__module__.startswith("torch.nn") and id(module) in self._names:
            kind = type(module).__name__.removeprefix("Parametrized")
            return f"module {self._names[id(module)] or 'itself'} is {kind}"
        frame = users_frame(inside="_described")
        if frame is None:
            return f"module {type(module).__name__}"
        return line(frame.f_code.co_filename, frame.f_lineno)


def _held(argument: Any) -> Any:
    return argument.value if isinstance(argument, _Followed) else argument


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
