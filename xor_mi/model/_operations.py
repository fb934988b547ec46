"""The operations of PyTorch by name: what each does to the values that are followed.

A function, a method and an operator of one name are one operation; the modules of `torch.nn` come
down to functions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.model._description import BETWEEN, SOFTMAXES, Activation
from xor_mi.model._forms import Exponential, Layers, Value, double

MOVES = (
    *("view", "reshape", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "getitem"),
    *("t", "T", "mT", "H", "mH", "transpose", "permute", "movedim", "swapaxes", "swapdims"),
    *("narrow", "select", "index_select", "chunk", "split", "unbind", "expand", "tile", "repeat"),
    *("contiguous", "clone", "detach", "adjoint", "atleast_2d", "broadcast_to", "alias"),
)
"""Operations that only move entries, and are done to the entries' own numbers."""

CASTS = (
    "float",
    "double",
    "half",
    "bfloat16",
    "to",
    "type",
    "type_as",
    "int",
    "long",
    "cpu",
    "requires_grad",
)
"""Changes of dtype and the like; their rounding is found when the made network is compared."""

_ACTIVATIONS: dict[str, Mapping[str, object]] = {
    "relu": {"inplace": False},
    "relu6": {"inplace": False},
    "leaky_relu": {"negative_slope": 0.01, "inplace": False},
    "elu": {"alpha": 1.0, "inplace": False},
    "celu": {"alpha": 1.0, "inplace": False},
    "selu": {"inplace": False},
    "silu": {"inplace": False},
    "mish": {"inplace": False},
    "gelu": {"approximate": "none"},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0, "inplace": False},
    "hardsigmoid": {"inplace": False},
    "hardswish": {"inplace": False},
    "softplus": {"beta": 1, "threshold": 20},
    "logsigmoid": {},
    "softsign": {},
    "tanhshrink": {},
    "tanh": {},
    "sigmoid": {},
    "sign": {},
    "softmax": {"dim": None},
    "log_softmax": {"dim": None},
    "abs": {},
    "sin": {},
    "cos": {},
    "square": {},
}
"""Activation -> its parameters after the input, in order, with their defaults."""

_ALIASES = {
    "_threshold": "threshold",
    "expit": "sigmoid",
    "swish": "silu",
    "sgn": "sign",
    "absolute": "abs",
    "clip": "clamp",
    "iadd": "add",
    "isub": "sub",
    "subtract": "sub",
    "multiply": "mul",
    "imul": "mul",
    "divide": "div",
    "true_divide": "div",
    "truediv": "div",
    "itruediv": "div",
    "negative": "neg",
    "invert": "logical_not",
    "bitwise_not": "logical_not",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "mv": "matmul",
    "mm": "matmul",
    "concat": "cat",
    "concatenate": "cat",
    "alpha_dropout": "dropout",
    "feature_dropout": "dropout",
    "feature_alpha_dropout": "dropout",
}
_HINT = (
    "bring a network of linear layers and activations, or its weights with HookedMLP.from_weights"
)
_GATED = {"heaviside": "relu", "sigmoid": "silu"}
"""An activation of a value -> what their product is."""

_OUTPUTS = "return the outputs themselves, and give decision_rule='argmax' to the loader"
_HINTS = {
    "argmax": _OUTPUTS,
    "max": _OUTPUTS,
    "topk": _OUTPUTS,
    "round": "return the values before it, and give decision_threshold to the loader",
}
_MIRRORED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}


class Operations:
    """Calls by name on values, as a forward makes them."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], where: str) -> Any:
        """What an operation gives.

        Args:
            args, kwargs: `Value`s, and tensors and numbers that do not depend on the input.

        Raises:
            XorMiError: an operation that is not followed, naming the place.
        """
        name = _ALIASES.get(name, name)
        if name in MOVES:
            return self._move(name, args, kwargs, where)
        if name in CASTS:
            return args[0]
        if name in _ACTIVATIONS and isinstance(args[0], Value):
            return self._activation(name, args, kwargs, where)
        method = getattr(self, f"_{name}", None)
        answer = NotImplemented if method is None else method(*args, where=where, **kwargs)
        if answer is NotImplemented:
            raise XorMiError(
                f"{where}; '{name}' cannot be read as a layer: {_HINTS.get(name, _HINT)}"
            )
        return answer

    def _move(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], where: str) -> Any:
        value, *rest = args
        if not isinstance(value, Value):
            return self._unreadable(where)
        if name in ("clone", "contiguous"):  # the memory format does not matter
            return value
        if name in ("T", "mT", "H", "mH"):
            return self.layers.moved(value, lambda entry: getattr(entry, name), where)
        operation = "__getitem__" if name == "getitem" else name

        def move(entry: Tensor) -> Any:
            return getattr(entry, operation)(*rest, **kwargs)

        return self.layers.moved(value, move, where)

    def _unreadable(self, where: str) -> Any:
        raise XorMiError(f"{where}: an index or a size depends on the input's values")

    # layers

    def _linear(self, input: Any, weight: Any, bias: Any = None, *, where: str) -> Any:
        if not isinstance(input, Value) or isinstance(weight, Value) or isinstance(bias, Value):
            return NotImplemented
        return self.layers.linear(input, weight, bias, where)

    def _matmul(self, input: Any, other: Any, *, where: str) -> Any:
        if isinstance(input, Value) and isinstance(other, Tensor):
            if other.ndim == 1:
                value = self.layers.linear(input, other[None], None, where)
                return self.layers.moved(value, lambda entry: entry.squeeze(-1), where)
            if other.ndim != 2:
                return NotImplemented
            return self.layers.linear(input, other.T, None, where)
        if isinstance(other, Value) and isinstance(input, Tensor) and input.ndim == 2:
            # weight @ columns: the same with both sides transposed
            turned = self.layers.moved(other, lambda entry: entry.T, where)
            value = self.layers.linear(turned, input, None, where)
            return self.layers.moved(value, lambda entry: entry.T, where)
        return NotImplemented

    def _addmm(
        self, input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1, where: str
    ) -> Any:
        product = self._matmul(mat1, mat2, where=where)
        if product is NotImplemented or isinstance(input, Value):
            return NotImplemented
        scaled = self.layers.scaled(product, alpha, where) if alpha != 1 else product
        return self.layers.shifted(scaled, double(input) * beta, where)

    def _einsum(self, equation: Any, *operands: Any, where: str) -> Any:
        """A weight [d_out, d_in] or [d_in, d_out] contracted with a value, whatever the letters."""
        if not isinstance(equation, str) or len(operands) != 2:
            return NotImplemented
        sides, arrow, result = equation.replace(" ", "").partition("->")
        letters = sides.split(",")
        if not arrow or len(letters) != 2 or "." in equation:
            return NotImplemented
        is_first = isinstance(operands[0], Value)
        value, weight = operands if is_first else operands[::-1]
        of_value, of_weight = letters if is_first else letters[::-1]
        if not isinstance(value, Value):
            return NotImplemented
        shared = [one for one in of_value if one in of_weight and one not in result]
        if not isinstance(weight, Tensor) or len(shared) != 1 or len(of_weight) != weight.ndim:
            return NotImplemented
        (summed,) = shared
        kept, new = of_value.replace(summed, ""), of_weight.replace(summed, "")
        if len(new) > 1 or sorted(kept + new) != sorted(result):
            return NotImplemented
        axis = of_value.index(summed)
        turned = self.layers.moved(value, lambda entry: entry.movedim(axis, -1), where)
        rows = weight.movedim(of_weight.index(summed), -1)
        matrix = rows.reshape(-1, rows.shape[-1])
        made = self.layers.linear(turned, matrix, None, where)
        if not new:
            made = self.layers.moved(made, lambda entry: entry.squeeze(-1), where)
        order = [(kept + new).index(one) for one in result]
        return self.layers.moved(made, lambda entry: entry.permute(order), where)

    def _sum(self, input: Value, dim: Any = None, keepdim: bool = False, *, where: str) -> Any:
        if not isinstance(dim, int):
            dims = list(dim) if isinstance(dim, (list, tuple)) else []
            if len(dims) != 1:
                return NotImplemented
            dim = dims[0]
        moved = self.layers.moved(input, lambda entry: entry.movedim(dim, -1), where)
        ones = torch.ones(1, moved.entry.shape[-1])
        summed = self.layers.linear(moved, ones, None, where)
        if keepdim:
            return self.layers.moved(summed, lambda entry: entry.movedim(-1, dim), where)
        return self.layers.moved(summed, lambda entry: entry.squeeze(-1), where)

    def _batch_norm(
        self,
        input: Value,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
        *,
        where: str,
    ) -> Any:
        del momentum  # of use in training only
        if training or running_mean is None or running_var is None:
            raise XorMiError(
                f"{where}; a batch norm without running statistics mixes the rows of a batch: "
                "train it with track_running_stats=True"
            )
        if input.entry.ndim != 2:
            return NotImplemented
        scale = 1 / (running_var.detach().cpu().double() + eps).sqrt()
        scale = scale if weight is None else scale * weight.detach().cpu().double()
        if scale.shape != input.entry.shape[1:]:
            # the inputs' own batch norm says how many there are
            self.layers.linear(input, torch.eye(len(scale)), None, where)
        shift = -running_mean.detach().cpu().double() * scale
        shift = shift if bias is None else shift + bias.detach().cpu().double()
        return self.layers.shifted(self.layers.scaled(input, scale, where), shift, where)

    def _dropout(
        self,
        input: Value,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        *,
        where: str,
    ) -> Value:
        del inplace
        if training and p > 0:
            raise XorMiError(
                f"{where}; it drops values in eval mode too: give it training=self.training"
            )
        return input

    # arithmetic

    def _add(self, input: Any, other: Any, *, alpha: float = 1, where: str) -> Any:
        if alpha != 1:
            other = (
                self._mul(other, alpha, where=where)
                if isinstance(other, Value)
                else (other * alpha)
            )
        if isinstance(input, Exponential) or isinstance(other, Exponential):
            growth, one = (input, other) if isinstance(input, Exponential) else (other, input)
            is_plain = isinstance(one, (int, float, Tensor)) and bool(
                (torch.as_tensor(one) == 1).all()
            )
            if growth.plus_one or not is_plain:
                return NotImplemented
            return Exponential(growth.value, plus_one=True)
        if isinstance(input, Value) and isinstance(other, Value):
            return self.layers.added(input, other, where)
        value, number = (input, other) if isinstance(input, Value) else (other, input)
        return self.layers.shifted(value, number, where)

    def _sub(self, input: Any, other: Any, *, alpha: float = 1, where: str) -> Any:
        return self._add(input, self._mul(other, -alpha, where=where), where=where)

    def _rsub(self, input: Any, other: Any, *, alpha: float = 1, where: str) -> Any:
        return self._sub(other, input, alpha=alpha, where=where)

    def _neg(self, input: Any, *, where: str) -> Any:
        return self._mul(input, -1, where=where)

    def _mul(self, input: Any, other: Any, *, where: str) -> Any:
        if isinstance(input, Value) and isinstance(other, Value):
            return self._gated(input, other, where)
        if isinstance(input, Exponential) or isinstance(other, Exponential):
            return NotImplemented
        if isinstance(input, Value):
            return self.layers.scaled(input, other, where)
        return (
            self.layers.scaled(other, input, where) if isinstance(other, Value) else input * other
        )

    def _gated(self, value: Value, other: Value, where: str) -> Any:
        """z * (z > 0) and z * sigmoid(z), which are relu and silu written out."""
        for one, gate in ((value, other), (other, value)):
            name = _GATED.get(self.layers.activation_between(one, gate, where))
            if name is not None:
                return self._unit(one, name, {}, where)
        return NotImplemented

    def _div(self, input: Any, other: Any, *, rounding_mode: Any = None, where: str) -> Any:
        if rounding_mode is not None:
            return NotImplemented
        if isinstance(other, Exponential):
            if not other.plus_one or bool((torch.as_tensor(input) != 1).any()):
                return NotImplemented
            return self._reciprocal(other, where=where)
        if isinstance(other, Value) or isinstance(input, Exponential):
            return NotImplemented
        return self._mul(input, 1 / double(other), where=where)

    def _reciprocal(self, input: Any, *, where: str) -> Any:
        if not isinstance(input, Exponential) or not input.plus_one:
            return NotImplemented
        # 1 / (1 + exp(v)) is the sigmoid of -v
        return self._activation("sigmoid", (self._neg(input.value, where=where),), {}, where)

    def _pow(self, input: Any, exponent: Any, *, where: str) -> Any:
        return self._reciprocal(input, where=where) if exponent == -1 else NotImplemented

    def _exp(self, input: Any, *, where: str) -> Any:
        del where
        return Exponential(input) if isinstance(input, Value) else NotImplemented

    def _log(self, input: Any, *, where: str) -> Any:
        if not isinstance(input, Exponential) or not input.plus_one:
            return NotImplemented
        return self._activation("softplus", (input.value,), {}, where)

    def _log1p(self, input: Any, *, where: str) -> Any:
        if not isinstance(input, Exponential) or input.plus_one:
            return NotImplemented
        return self._activation("softplus", (input.value,), {}, where)

    def _cat(self, tensors: Any, dim: int = 0, *, where: str) -> Any:
        if not all(isinstance(tensor, Value) for tensor in tensors):
            return NotImplemented
        return self.layers.joined(tensors, lambda entries: torch.cat(entries, dim), where)

    def _stack(self, tensors: Any, dim: int = 0, *, where: str) -> Any:
        if not all(isinstance(tensor, Value) for tensor in tensors):
            return NotImplemented
        return self.layers.joined(tensors, lambda entries: torch.stack(entries, dim), where)

    def _zeros_like(self, input: Value, *, where: str, **_settings: Any) -> Tensor:
        del where
        return torch.zeros(input.entry.shape)

    def _ones_like(self, input: Value, *, where: str, **_settings: Any) -> Tensor:
        del where
        return torch.ones(input.entry.shape)

    def _full_like(self, input: Value, fill_value: Any, *, where: str, **_settings: Any) -> Tensor:
        del where
        return torch.full(input.entry.shape, fill_value, dtype=torch.float64)

    def _new_tensor(self, input: Value, data: Any, *, where: str, **_settings: Any) -> Tensor:
        del input, where
        return double(data)

    def _new_zeros(self, input: Value, *size: Any, where: str, **_settings: Any) -> Tensor:
        del input, where
        return torch.zeros(*size)

    def _new_ones(self, input: Value, *size: Any, where: str, **_settings: Any) -> Tensor:
        del input, where
        return torch.ones(*size)

    # activations

    def _activation(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], where: str
    ) -> Value:
        value, *rest = args
        defaults = _ACTIVATIONS[name]
        # not strict: a call may leave out the last ones
        given = dict(zip(defaults, rest, strict=False)) | kwargs
        parameters = {key: given.get(key, default) for key, default in defaults.items()}
        parameters.pop("inplace", None)
        if name == "hardtanh":
            return self._clamp(value, parameters["min_val"], parameters["max_val"], where=where)
        if name == "gelu":
            name = "gelu" if parameters.pop("approximate") == "none" else "gelu_tanh"
        elif name == "celu" and parameters["alpha"] == 1:
            name = "elu"  # they differ by alpha only
        elif name == "sign":
            parameters = {"at_zero": BETWEEN}
        elif name in SOFTMAXES:
            dim = parameters.pop("dim")
            self.layers.require_whole_rows(value, -1 if dim is None else dim, where)
        return self._unit(value, name, parameters, where)

    def _unit(self, value: Value, name: str, parameters: Mapping[str, object], where: str) -> Value:
        return self.layers.activated(value, Activation(name, parameters, where), where)

    def _prelu(self, input: Value, weight: Tensor, *, where: str) -> Any:
        slopes = weight.detach().flatten()
        if bool((slopes != slopes[0]).any()):
            return NotImplemented
        return self._unit(input, "leaky_relu", {"negative_slope": slopes[0].item()}, where)

    def _clamp(self, input: Value, min: Any = None, max: Any = None, *, where: str) -> Any:
        low, high = (None if end is None else _one_number(end) for end in (min, max))
        if low == 0 and high is None:
            return self._unit(input, "relu", {}, where)
        if low == 0 and high == 6:
            return self._unit(input, "relu6", {}, where)
        if low is None or high is None or low >= high:
            return NotImplemented
        return self._unit(input, "hardtanh", {"min_val": low, "max_val": high}, where)

    def _clamp_min(self, input: Value, min: Any, *, where: str) -> Any:
        return self._clamp(input, min, where=where)

    def _maximum(self, input: Any, other: Any, *, where: str) -> Any:
        value, number = (input, other) if isinstance(input, Value) else (other, input)
        return (
            NotImplemented if isinstance(number, Value) else self._clamp(value, number, where=where)
        )

    def _max(self, input: Any, other: Any = None, *, where: str) -> Any:
        if not isinstance(input, (Value, Tensor)) or not isinstance(other, (Value, Tensor)):
            return NotImplemented
        return self._maximum(input, other, where=where)

    def _threshold(
        self, input: Value, threshold: float, value: float, inplace: bool = False, *, where: str
    ) -> Any:
        del inplace
        is_relu = threshold == 0 and value == 0
        return self._unit(input, "relu", {}, where) if is_relu else NotImplemented

    # steps

    def _heaviside(self, input: Value, values: Any, *, where: str) -> Any:
        at_zero = None if isinstance(values, Value) else _one_number(values)
        if at_zero not in (0, 1, BETWEEN):
            return NotImplemented
        return self._unit(input, "heaviside", {"at_zero": at_zero}, where)

    def _compared(self, name: str, input: Any, other: Any, where: str) -> Any:
        if not isinstance(input, Value):
            return self._compared(_MIRRORED[name], other, input, where)
        difference, is_turned = self._sub(input, other, where=where), name in ("lt", "le")
        if is_turned:
            difference = self._neg(difference, where=where)
        parameters = {"at_zero": int(name in ("ge", "le"))}
        activation = Activation("heaviside", parameters, where, is_turned)
        return self.layers.activated(difference, activation, where)

    def _gt(self, input: Any, other: Any, *, where: str) -> Any:
        return self._compared("gt", input, other, where)

    def _ge(self, input: Any, other: Any, *, where: str) -> Any:
        return self._compared("ge", input, other, where)

    def _lt(self, input: Any, other: Any, *, where: str) -> Any:
        return self._compared("lt", input, other, where)

    def _le(self, input: Any, other: Any, *, where: str) -> Any:
        return self._compared("le", input, other, where)

    def _where(self, condition: Any, input: Any, other: Any, *, where: str) -> Any:
        if not self._is_step(condition):
            return NotImplemented
        if isinstance(input, Value):
            return self._leaky(condition, input, other, where)
        if isinstance(other, Value):
            turned = self._logical_not(condition, where=where)
            return self._leaky(turned, other, input, where)
        on, off = double(input), double(other)
        return self._add(self._mul(condition, on - off, where=where), off, where=where)

    def _leaky(self, condition: Value, input: Value, other: Any, where: str) -> Any:
        """torch.where(z > 0, z, slope * z), or with 0 in the last place."""
        if self.layers.activation_between(input, condition, where) != "heaviside":
            return NotImplemented
        if not isinstance(other, Value):
            return (
                self._unit(input, "relu", {}, where) if _one_number(other) == 0 else NotImplemented
            )
        slope = self.layers.factor_between(input, other, where)
        if slope is None:
            return NotImplemented
        return self._unit(input, "leaky_relu", {"negative_slope": slope}, where)

    def _logical_not(self, input: Any, *, where: str) -> Any:
        if not self._is_step(input):
            return NotImplemented
        return self._add(self._neg(input, where=where), 1, where=where)

    def _is_step(self, condition: Any) -> bool:
        """Whether a value is 0 and 1 only, as a comparison gives it."""
        if not isinstance(condition, Value) or condition.form.is_sum:
            return False
        groups = [self.layers.groups[number] for number in condition.form.parts]
        return all(group.activation.name == "heaviside" for group in groups)


def _one_number(number: Any) -> float | None:
    """The number that every entry of a tensor is; None if they differ or it is not known."""
    if isinstance(number, (Value, Exponential)):
        return None
    entries = double(number).flatten()
    is_one = len(entries) > 0 and bool((entries == entries[0]).all())
    return float(entries[0]) if is_one else None


def operation_name(target: Callable[..., Any]) -> str:
    """The name a function of PyTorch or of `operator` goes by; '' for any other function."""
    home = getattr(target, "__module__", None)
    is_known = home is None or home in ("_operator", "builtins", "math") or home.startswith("torch")
    return target.__name__ if is_known else ""
