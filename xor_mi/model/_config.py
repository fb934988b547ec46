"""The shape and conventions of a `HookedMLP`, its activation functions, and the weights a seed
draws.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from xor_mi.errors import XorMiError, unknown
from xor_mi.truth import BooleanFunction

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "identity": torch.clone,  # a copy: hook_pre and hook_post must never share memory
    "heaviside": lambda x: (x > 0).to(
        x.dtype
    ),  # no gradient: such a network runs, but cannot be trained
}
_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_FROM_ZERO = ("sigmoid", "heaviside", "relu")
"""Outputs that are never below zero: their zeros must not lie on the threshold."""
MOST_PARAMETERS = 10**8
_NUMBER = (int, float)
_KINDS: dict[str, Any] = {
    "d_in": int,
    "d_hidden": (int, list, tuple),
    "d_out": int,
    "act_fn": str,
    "out_act_fn": str,
    "loss_fn": str,
}
_KINDS |= {
    "seed": int,
    "negative_slope": _NUMBER,
    "decision_threshold": (*_NUMBER, type(None)),
    "use_edge_result": bool,
}
_KINDS |= {"dtype": (str, torch.dtype), "device": (str, torch.device)}
"""The kinds of value a setting may have."""


@dataclass
class HookedMLPConfig:
    """The shape and the conventions of a `HookedMLP`; TransformerLens' names where it has one.

    Attributes:
        d_in, d_hidden, d_out: inputs, widths of the hidden layers, outputs. An int for d_hidden
            means one hidden layer.
        act_fn, out_act_fn: names in `ACTIVATIONS`, for the hidden layers and for the output.
        negative_slope: slope of leaky_relu below zero, wherever it is used.
        decision_threshold: decision = output > threshold, strictly. Default 0 for logits; 0.5 for
            MSE targets, and for outputs that are never below zero (sigmoid, relu, heaviside).
        loss_fn: "bce" (on logits) or "mse" (outputs against 0 and 1).
        target: the function the network is meant to compute, if any: a gate name, a formula or a
            `BooleanFunction`.
        use_edge_result: fire the edge hooks too (costs one [batch, d_out, d_in] product per layer).
    """

    d_in: int = 2
    d_hidden: Any = (2,)  # tuple[int, ...] once built
    d_out: int = 1
    act_fn: str = "relu"
    out_act_fn: str = "identity"
    negative_slope: float = 0.01
    decision_threshold: float | None = None
    loss_fn: str = "bce"
    target: Any = None
    seed: int = 0
    dtype: Any = torch.float32
    device: Any = "cpu"
    use_edge_result: bool = False

    normalization_type: ClassVar[None] = None
    attn_only: ClassVar[bool] = False
    n_heads: ClassVar[int] = 0
    n_key_value_heads: ClassVar[None] = None

    def __post_init__(self) -> None:
        _require_kinds(vars(self))
        self.d_hidden = (self.d_hidden,) if isinstance(self.d_hidden, int) else tuple(self.d_hidden)
        if not self.d_hidden:
            raise XorMiError("d_hidden is empty; give at least one hidden layer, such as (2,)")
        for size in (self.d_in, *self.d_hidden, self.d_out):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise XorMiError(f"layer sizes are whole numbers of at least 1, not {size!r}")
        n_parameters = sum(d_out * (d_in + 1) for d_in, d_out in pairwise(self.layer_sizes))
        if n_parameters > MOST_PARAMETERS:
            raise XorMiError(
                f"{n_parameters} weights and biases; at most {MOST_PARAMETERS}: give smaller layers"
            )
        for name in (self.act_fn, self.out_act_fn):
            if name not in ACTIVATIONS:
                raise unknown("activation", name, ACTIVATIONS, where="known activations")
        if self.loss_fn not in ("bce", "mse"):
            raise unknown("loss", self.loss_fn, ("bce", "mse"), where="known losses")
        if isinstance(self.dtype, str):
            if self.dtype not in _DTYPES:
                raise unknown("dtype", self.dtype, _DTYPES, where="known dtypes")
            self.dtype = _DTYPES[self.dtype]
        try:
            torch.device(self.device)
        except RuntimeError:
            raise XorMiError(
                f"device is {self.device!r}; torch knows 'cpu', 'cuda', 'cuda:0', ..."
            ) from None
        if self.dtype not in _DTYPES.values():
            raise unknown("dtype", self.dtype, _DTYPES, where="known dtypes")
        if not 0 <= self.seed < 2**62:
            raise XorMiError(
                f"seed is {self.seed}; a seed is a whole number of at least 0 and below 2^62"
            )
        for name in ("negative_slope", "decision_threshold"):
            if not -1e300 < (getattr(self, name) or 0) < 1e300:
                raise XorMiError(f"{name} is {getattr(self, name)}; it must be finite")
        if self.decision_threshold is None:
            self.decision_threshold = (
                0.5 if self.out_act_fn in _FROM_ZERO or self.loss_fn == "mse" else 0.0
            )
        if self.target is not None:
            self.target = BooleanFunction.of(self.target, self.d_in)
            if self.target.n_outputs != self.d_out:
                raise XorMiError(
                    f"the target has {self.target.n_outputs} outputs; the network has {self.d_out}"
                )

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(d_in, *d_hidden, d_out)."""
        return (self.d_in, *self.d_hidden, self.d_out)

    @property
    def n_layers(self) -> int:
        """Number of hidden layers, as TransformerLens counts blocks."""
        return len(self.d_hidden)

    @property
    def d_mlp(self) -> int | None:
        """Width of the hidden layers where they all have the same one, else None."""
        return self.d_hidden[0] if len(set(self.d_hidden)) == 1 else None

    @property
    def threshold(self) -> float:
        """Decision = output > threshold, strictly; the number that `decision_threshold` stands for."""
        return float(self.decision_threshold or 0.0)

    def conventions(self) -> dict[str, Any]:
        """Every setting but the sizes: what a network with other weights may share with this one."""
        sizes = ("d_in", "d_hidden", "d_out")
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in sizes
        }

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict that `from_dict` reads back."""
        target = (
            None
            if self.target is None
            else {"n_inputs": self.d_in, "tables": [list(t) for t in self.target.tables]}
        )
        dtype = str(self.dtype).removeprefix("torch.")
        return asdict(self) | {
            "d_hidden": list(self.d_hidden),
            "target": target,
            "dtype": dtype,
            "device": str(self.device),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HookedMLPConfig":
        """Raises `XorMiError` for keys that are no setting, and for values no setting can have."""
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown("setting", key, known, where="a HookedMLPConfig has")
        _require_kinds(values)
        settings: dict[str, Any] = dict(values)
        for key in ("negative_slope", "decision_threshold"):
            if settings.get(key) is not None:
                try:
                    settings[key] = float(settings[key])
                except OverflowError:
                    raise XorMiError(
                        f"{key} is a number too large to be one; give a finite one"
                    ) from None
        target = settings.get("target")
        if isinstance(target, dict):
            if set(target) != {"n_inputs", "tables"}:
                raise XorMiError(f"target is {target!r}; expected n_inputs and tables")
            settings["target"] = BooleanFunction(target["n_inputs"], target["tables"])
        return cls(**settings)


def _require_kinds(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        kinds = _KINDS.get(name, object)
        if not isinstance(value, kinds) or (
            isinstance(value, bool) and kinds not in (bool, object)
        ):
            raise XorMiError(f"{name} is {value!r}; that is no value it can have")


def initial_weights(layer_sizes: Sequence[int], seed: int) -> list[tuple[Tensor, Tensor]]:
    """PyTorch's default nn.Linear initialisation from a seed of its own: per layer W [d_out, d_in]
    and b [d_out], float32.

    Both are uniform in +-1/sqrt(d_in), drawn in the order W, b, layer by layer. No global random
    state is read or changed."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, bound: float) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) * bound

    pairs = pairwise(layer_sizes)
    return [
        (uniform(d_out, d_in, bound=d_in**-0.5), uniform(d_out, bound=d_in**-0.5))
        for d_in, d_out in pairs
    ]


def activation(name: str, negative_slope: float) -> Callable[[Tensor], Tensor]:
    """The activation function of this name, with its slope below zero where it has one."""
    return (
        partial(F.leaky_relu, negative_slope=negative_slope)
        if name == "leaky_relu"
        else ACTIVATIONS[name]
    )
