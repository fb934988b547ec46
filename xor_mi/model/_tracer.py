"""torch.fx, which here also works out the value of every operation as it is made."""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from xor_mi.errors import XorMiError
from xor_mi.model._forms import Exponential, Layers, Value
from xor_mi.model._operations import Operations, operation_name
from xor_mi.model._places import line, users_frame


class _Start(nn.Module):
    """Gives the module one argument, and keeps what it returns."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.result: object = None

    def forward(self, inputs: Any) -> Any:
        self.result = self.net(inputs)
        return inputs


class Followed(fx.Proxy):
    """A tensor inside the forward: what is known of it, and its shape, which is concrete."""

    value: Value | Exponential

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what PyTorch asks of what it takes for a tensor
            raise AttributeError(name)
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


class Tracer(fx.Tracer):
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
        return attr_val  # weights unchanged: what is computed from them alone is known

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return Followed(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        del obj
        raise XorMiError(
            f"{self._where()}; it branches on the input's values, so it is more than one network: "
            "take the branch out of the forward"
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
            raise XorMiError(
                f"{self._where()}; '{operation}' cannot be read with these arguments: {error}"
            ) from None
        is_in_place = writes or (operation != "dropout" and self._is_in_place(args, kwargs))
        if is_in_place and isinstance(args[0], Followed) and not isinstance(result, tuple):
            args[0].value = result
        if isinstance(result, tuple):
            return tuple(self._followed(one) for one in result)
        return result if isinstance(result, Tensor) else self._followed(result)

    def _is_in_place(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        # F.leaky_relu(x, slope, True), and kwargs elsewhere
        return kwargs.get("inplace") is True or (len(args) > 1 and args[-1] is True)

    def _followed(self, value: Any) -> Followed:
        followed = Followed(self.create_node("placeholder", "value", (), {}), self)
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
    return argument.value if isinstance(argument, Followed) else argument


@contextmanager
def conversions_followed() -> Iterator[None]:
    """torch.tensor(x) and the like pass on what is followed, as they do a tensor.

    They ask for numbers and never for `__torch_function__`, so they are replaced while a forward is
    followed; torch.fx replaces nn.Module's `__call__` for that time too.
    """
    kept = {name: getattr(torch, name) for name in ("tensor", "as_tensor", "is_tensor")}
    for name, original in kept.items():
        setattr(torch, name, partial(_pass_on, original, True if name == "is_tensor" else None))
    try:
        yield
    finally:
        for name, original in kept.items():
            setattr(torch, name, original)


def _pass_on(
    original: Callable[..., Any], answer: object, data: Any, *args: Any, **kwargs: Any
) -> Any:
    if isinstance(data, Followed):
        return data if answer is None else answer
    return original(data, *args, **kwargs)
