"""The shape and conventions of a `HookedMLP`, its activation functions, its initial weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from numbers import Real
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from xor_mi.errors import SEEDS_BELOW, XorMiError, shown, unknown, whole_number
from xor_mi.kinds import ActivationName, LossName, Number, Target, Widths
from xor_mi.truth import BooleanFunction

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    # a copy: hook_pre and hook_post must never share memory
    "identity": torch.clone,
    # no gradient: such a network runs, but cannot be trained
    "heaviside": lambda x: (x > 0).to(x.dtype),
}
"""Name -> activation function."""

LOSSES = ("bce", "mse")
"""Names of the losses a network is trained with."""

MAX_PARAMETERS = 10**8
"""A network with more weights and biases is refused before memory is asked for."""

MAX_LAYERS = 1000
"""A network with more hidden layers is refused before one is built; so many take a second."""

LARGEST_SETTING = 1e300
"""Settings lie within this of zero, a little inside float64's range: infinity and NaN are out."""

_Name = TypeVar("_Name", bound=str)

_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_NEVER_NEGATIVE = ("sigmoid", "heaviside", "relu")
"""Outputs that are never below zero: their zeros must not lie on the threshold."""


@dataclass(init=False)
class HookedMLPConfig:
    """The shape and the conventions of a `HookedMLP`; TransformerLens' names where it has one.

    Change one with `dataclasses.replace(cfg, seed=1)`.

    Attributes:
        d_in, d_hidden, d_out: inputs, widths of the hidden layers, outputs. A number given for
            d_hidden means one hidden layer.
        act_fn, out_act_fn: names in `ACTIVATIONS`, for the hidden layers and for the output.
        negative_slope: slope of leaky_relu below zero, wherever it is used.
        decision_threshold: decision = output > threshold, strictly. By default 0 for logits; 0.5
            for MSE targets, and for outputs that are never below zero (sigmoid, relu, heaviside).
        loss_fn: "bce" (on logits) or "mse" (outputs against 0 and 1).
        target: the function the network is meant to compute, if any; may be given as a gate name, a
            formula or a `BooleanFunction`.
        use_edge_result: fire the edge hooks too (costs one [batch, d_out, d_in] product per layer).

    Raises:
        XorMiError: a setting that cannot have its value, naming the setting.
    """

    d_in: int
    d_hidden: tuple[int, ...]
    d_out: int
    act_fn: ActivationName
    out_act_fn: ActivationName
    negative_slope: float
    decision_threshold: float
    loss_fn: LossName
    target: BooleanFunction | None
    seed: int
    dtype: torch.dtype
    device: str | torch.device
    use_edge_result: bool

    # TransformerLens reads these of any model's config; here they have one value
    normalization_type: ClassVar[None] = None
    attn_only: ClassVar[bool] = False
    n_heads: ClassVar[int] = 0
    n_key_value_heads: ClassVar[None] = None

    def __init__(
        self,
        d_in: int = 2,
        d_hidden: Widths = (2,),
        d_out: int = 1,
        *,
        act_fn: ActivationName = "relu",
        out_act_fn: ActivationName = "identity",
        negative_slope: Number = 0.01,
        decision_threshold: Number | None = None,
        loss_fn: LossName = "bce",
        target: Target | None = None,
        seed: int = 0,
        dtype: str | torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        use_edge_result: bool = False,
    ) -> None:
        self.d_in = whole_number("d_in", d_in, at_least=1)
        self.d_hidden = _widths(d_hidden)
        self.d_out = whole_number("d_out", d_out, at_least=1)
        _require_few_parameters(self.layer_sizes)
        self.act_fn = _name("activation", act_fn, ACTIVATIONS)
        self.out_act_fn = _name("activation", out_act_fn, ACTIVATIONS)
        self.negative_slope = _finite_number("negative_slope", negative_slope)
        self.loss_fn = _name("loss", loss_fn, LOSSES)
        if decision_threshold is None:
            is_half = self.out_act_fn in _NEVER_NEGATIVE or self.loss_fn == "mse"
            decision_threshold = 0.5 if is_half else 0.0
        self.decision_threshold = _finite_number("decision_threshold", decision_threshold)
        self.target = _target(target, self.d_in, self.d_out)
        self.seed = whole_number("seed", seed, below=SEEDS_BELOW)
        self.dtype = _dtype(dtype)
        self.device = _device(device)
        if not isinstance(use_edge_result, bool):
            raise XorMiError(f"use_edge_result must be True or False, not {shown(use_edge_result)}")
        self.use_edge_result = use_edge_result

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
        """Decision = output > threshold, strictly; short for `decision_threshold`."""
        return self.decision_threshold

    def conventions(self) -> dict[str, Any]:
        """Every setting but the sizes: what a network with other weights may share."""
        settings: dict[str, Any] = self._settings()
        for size in ("d_in", "d_hidden", "d_out"):
            del settings[size]
        return settings

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready dict that `from_dict` reads back."""
        return self._settings() | {
            "d_hidden": list(self.d_hidden),
            "target": None if self.target is None else _written_target(self.target),
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "HookedMLPConfig":
        """Settings by name, such as `to_dict` writes -> the config.

        Raises:
            XorMiError: a key that is not a setting, or a value the setting cannot have.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown("setting", key, known, where="a HookedMLPConfig has")
        settings: dict[str, Any] = dict(values)
        target = settings.get("target")
        # as `to_dict` writes it; a name, a formula or a function goes through as it is
        if isinstance(target, dict):
            if set(target) != {"n_inputs", "tables"}:
                raise XorMiError(f"target is {shown(target)}; expected n_inputs and tables")
            settings["target"] = BooleanFunction(target["n_inputs"], target["tables"])
        return cls(**settings)

    def _settings(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


# each check of a setting takes what a person gave and returns it as its one true type


def _widths(d_hidden: Widths) -> tuple[int, ...]:
    several = tuple(d_hidden) if isinstance(d_hidden, (list, tuple)) else (d_hidden,)
    if not several:
        raise XorMiError(
            "d_hidden, the widths of the hidden layers, is empty; "
            "give at least one hidden layer, such as (2,)"
        )
    if len(several) > MAX_LAYERS:
        raise XorMiError(
            f"d_hidden has {len(several):,} hidden layers; at most {MAX_LAYERS:,}: give fewer"
        )
    # both words: a person who calls `train` typed hidden=, and never d_hidden=
    name = "each width of the hidden layers (d_hidden)"
    return tuple(whole_number(name, width, at_least=1) for width in several)


def _require_few_parameters(layer_sizes: Sequence[int]) -> None:
    n_parameters = sum(d_out * (d_in + 1) for d_in, d_out in pairwise(layer_sizes))
    if n_parameters > MAX_PARAMETERS:
        raise XorMiError(
            f"{n_parameters} weights and biases; at most {MAX_PARAMETERS}: give smaller layers"
        )


def _name(kind: str, name: _Name, known: Sequence[str] | Mapping[str, object]) -> _Name:
    if not isinstance(name, str) or name not in known:
        plural = "losses" if kind == "loss" else f"{kind}s"
        raise unknown(kind, name, known, where=f"known {plural}")
    return name


def _finite_number(name: str, value: Number) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise XorMiError(f"{name} must be a number, not {shown(value)}")
    try:
        number = float(value)
    except OverflowError:  # a whole number with more than 308 digits
        raise XorMiError(f"{name} is too large for a number; give a finite one") from None
    # written so that NaN, which no comparison is true of, is refused too
    if not -LARGEST_SETTING < number < LARGEST_SETTING:
        raise XorMiError(f"{name} must be a finite number, not {number}")
    return number


def _target(target: Target | None, d_in: int, d_out: int) -> BooleanFunction | None:
    if target is None:
        return None
    function = BooleanFunction.of(target, d_in)
    if function.n_outputs != d_out:
        outputs = "1 output" if function.n_outputs == 1 else f"{function.n_outputs} outputs"
        raise XorMiError(f"the target has {outputs}; the network has {d_out}")
    return function


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    known = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if known is None or known not in _DTYPES.values():
        raise unknown("dtype", dtype, _DTYPES, where="known dtypes")
    return known


def _device(device: str | torch.device) -> str | torch.device:
    try:
        if isinstance(device, (str, torch.device)):
            torch.device(device)
            return device
    except RuntimeError:
        pass  # a text that names no device; the message is the same
    raise XorMiError(f"device is {shown(device)}; torch knows 'cpu', 'cuda', 'cuda:0', ...")


def _written_target(target: BooleanFunction) -> dict[str, object]:
    tables = [list(table) for table in target.tables]
    return {"n_inputs": target.n_inputs, "tables": tables}


def initial_weights(layer_sizes: Sequence[int], seed: int) -> list[tuple[Tensor, Tensor]]:
    """PyTorch's default nn.Linear initialisation from a seed: per layer W and b, float32.

    W [d_out, d_in] and b [d_out] are uniform in +-1/sqrt(d_in), drawn in the order W, b, layer by
    layer. No global random state is read or changed.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape: Sequence[int], bound: float) -> Tensor:
        return (torch.rand(shape, generator=generator) * 2 - 1) * bound

    layers: list[tuple[Tensor, Tensor]] = []
    for d_in, d_out in pairwise(layer_sizes):
        bound = d_in**-0.5
        # one generator for both: the weight has to be drawn first
        weight = uniform((d_out, d_in), bound)
        bias = uniform((d_out,), bound)
        layers.append((weight, bias))
    return layers


def activation(name: str, negative_slope: float) -> Callable[[Tensor], Tensor]:
    """The activation function of this name, with its slope below zero where it has one."""
    if name == "leaky_relu":
        return partial(F.leaky_relu, negative_slope=negative_slope)
    return ACTIVATIONS[name]
