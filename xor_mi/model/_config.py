"""The shape and conventions of a `HookedMLP`, its activation functions, its initial weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from itertools import pairwise
from math import isfinite
from numbers import Real
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from xor_mi.errors import SEEDS_BELOW, XorMiError, require_kind, shown, unknown, whole_number
from xor_mi.kinds import (
    ActivationName,
    DecisionRuleName,
    HiddenActivations,
    Levels,
    LossName,
    Number,
    OutputKind,
    StepAtZero,
    Target,
    Widths,
)
from xor_mi.model._numbers import in_dtype
from xor_mi.model._rule import DecisionRule
from xor_mi.truth import BooleanFunction


def _heaviside(x: Tensor, step_at_zero: int = 0) -> Tensor:
    is_on = x >= 0 if step_at_zero else x > 0
    # what is not a number is neither on nor off, so that a decision by it stays undecided
    return torch.where(x.isnan(), x, is_on.to(x.dtype))


def _sign(x: Tensor, step_at_zero: int = 0) -> Tensor:
    return 2 * _heaviside(x, step_at_zero) - 1


ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "elu": F.elu,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    # a copy: hook_pre and hook_post must never share memory
    "identity": torch.clone,
    # no gradient: such a network runs, but cannot be trained
    "heaviside": _heaviside,
    "sign": _sign,
}
"""Name -> activation function, with PyTorch's default parameters.

heaviside steps from 0 to 1, sign from -1 to 1; both are off at exactly zero, see `step_at_zero`.
"""

STEPS = {"heaviside": (0.0, 1.0), "sign": (-1.0, 1.0)}
"""Activations that step at zero -> what they are when off and when on."""

LOSSES = ("bce", "mse", "ce")
"""Names of the losses a network is trained with."""

DECISION_RULES = ("threshold", "argmax")
"""Names of the rules that outputs are decided by."""

MAX_PARAMETERS = 10**8
"""A network with more weights and biases is refused before memory is asked for."""

MAX_LAYERS = 1000
"""A network with more hidden layers is refused before one is built; so many take a second."""

LARGEST_SETTING = 1e300
"""No setting is larger than this, a little inside float64's range; infinity and NaN are refused."""

OF_WEIGHTS = ("d_in", "d_hidden", "d_out", "direct")
"""Settings that follow from a network's weights."""

_Name = TypeVar("_Name", bound=str)

_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_NEVER_NEGATIVE = ("sigmoid", "hardsigmoid", "heaviside", "relu", "relu6", "softplus")
"""Outputs that are never below zero: their zeros must not lie on the threshold."""

_PROBABILITIES = ("sigmoid", "hardsigmoid")
"""Outputs that are probabilities."""


@dataclass(init=False)
class HookedMLPConfig:
    """The shape and the conventions of a `HookedMLP`; TransformerLens' names where it has one.

    Change one with `dataclasses.replace(cfg, seed=1)`.

    Attributes:
        d_in, d_hidden, d_out: inputs, widths of the hidden layers, outputs. A number given for
            d_hidden means one hidden layer.
        direct: whether the inputs are connected to the outputs too, past the hidden layers.
        act_fn: a name in `ACTIVATIONS` for all hidden layers, or one per hidden layer; `act_fns`
            has one per layer in any case.
        out_act_fn: the same for the output.
        negative_slope: slope of leaky_relu below zero, wherever it is used.
        step_at_zero: what heaviside and sign do at exactly zero: 0 for off, 1 for on.
        input_levels: the numbers that stand for bit 0 and for bit 1, such as (-1, 1). Rows are
            named by their bits whatever the levels.
        decision_rule: "threshold", each output on its own, or "argmax", the largest of several
            outputs wins. By argmax two outputs are one decision, 1 where output 1 is the larger.
        decision_threshold: decision = output > threshold, strictly. By default 0 for logits; 0.5
            for MSE targets, and for outputs that are never below zero (such as sigmoid, relu,
            heaviside). 0 under argmax, which compares outputs with each other.
        loss_fn: "bce" (on logits), "mse" (outputs against 0 and 1) or "ce" (cross-entropy between
            outputs of which the largest wins). "ce" and argmax imply each other where only one of
            them is given.
        target: the function the network is meant to compute, if any; may be given as a gate name, a
            formula or a `BooleanFunction`. It has one output per decision.
        use_edge_result: fire the edge hooks too (costs one [batch, d_out, d_in] product per layer).

    Raises:
        XorMiError: a value that a setting cannot have, naming the setting.
    """

    d_in: int
    d_hidden: tuple[int, ...]
    d_out: int
    direct: bool
    act_fn: ActivationName | tuple[ActivationName, ...]
    out_act_fn: ActivationName
    negative_slope: float
    step_at_zero: StepAtZero
    input_levels: tuple[float, float]
    decision_rule: DecisionRuleName
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
        direct: bool = False,
        act_fn: HiddenActivations = "relu",
        out_act_fn: ActivationName = "identity",
        negative_slope: Number = 0.01,
        step_at_zero: StepAtZero = 0,
        input_levels: Levels = (0.0, 1.0),
        decision_rule: DecisionRuleName | None = None,
        decision_threshold: Number | None = None,
        loss_fn: LossName | None = None,
        target: Target | None = None,
        seed: int = 0,
        dtype: str | torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        use_edge_result: bool = False,
    ) -> None:
        self.d_in = whole_number("d_in", d_in, at_least=1)
        self.d_hidden = _widths(d_hidden)
        self.d_out = whole_number("d_out", d_out, at_least=1)
        self.direct = _switch("direct", direct)
        _require_few_parameters(self.layer_sizes, n_direct=self.d_in * self.d_out * self.direct)
        self.act_fn = _hidden_activations(act_fn, self.n_layers)
        self.out_act_fn = _name("activation", out_act_fn, ACTIVATIONS)
        self.negative_slope = _finite_number("negative_slope", negative_slope)
        self.step_at_zero = _step(step_at_zero)
        self.input_levels = _levels(input_levels)
        self.decision_rule, self.loss_fn = _rule_and_loss(decision_rule, loss_fn, self.d_out)
        self.decision_threshold = self._threshold(decision_threshold)
        self.target = _target(target, self)
        self.seed = whole_number("seed", seed, below=SEEDS_BELOW)
        self.dtype = _dtype(dtype)
        levels_in(self.dtype, self.input_levels)
        threshold = torch.tensor(self.decision_threshold, dtype=torch.float64)
        in_dtype(threshold, self.dtype, "decision_threshold")
        self.device = _device(device)
        self.use_edge_result = _switch("use_edge_result", use_edge_result)

    def _threshold(self, given: Number | None) -> float:
        """The threshold that is given, or the one that goes with the outputs."""
        by_argmax = self.decision_rule == "argmax"
        if given is None:
            is_half = self.out_act_fn in _NEVER_NEGATIVE or self.loss_fn == "mse"
            return 0.5 if is_half and not by_argmax else 0.0
        threshold = _finite_number("decision_threshold", given)
        if by_argmax and threshold != 0:
            raise XorMiError(
                f"decision_threshold is {threshold:g}, but argmax compares outputs with "
                "each other; leave it out"
            )
        return threshold

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

    @property
    def rule(self) -> DecisionRule:
        """How the outputs are decided."""
        return DecisionRule(self.decision_rule, self.decision_threshold, self._kind_of_outputs())

    def _kind_of_outputs(self) -> OutputKind:
        """What the outputs are, by their activation and by the loss they are trained with."""
        if self.out_act_fn in _PROBABILITIES:
            return "probability"
        is_logit = self.out_act_fn == "identity" and self.loss_fn != "mse"
        return "logit" if is_logit else "output"

    @property
    def n_decisions(self) -> int:
        """How many decisions the outputs are: one for two outputs under argmax, else d_out."""
        return self.rule.n_decisions(self.d_out)

    @property
    def act_fns(self) -> tuple[ActivationName, ...]:
        """One activation per hidden layer."""
        return self.act_fn if isinstance(self.act_fn, tuple) else (self.act_fn,) * self.n_layers

    def act_name(self, layer: int) -> ActivationName:
        """The activation after linear layer `layer`, counted from 0 and up to the readout's.

        Raises:
            XorMiError: a layer that the network does not have.
        """
        names = (*self.act_fns, self.out_act_fn)
        return names[whole_number("layer", layer, below=len(names))]

    def activation(self, layer: int) -> Callable[[Tensor], Tensor]:
        """The function of that name, with this network's slope and step."""
        return activation(self.act_name(layer), self.negative_slope, step_at_zero=self.step_at_zero)

    def conventions(self) -> dict[str, Any]:
        """Every setting except those that follow from the weights.

        A network with other weights may have the same ones.
        """
        settings: dict[str, Any] = self._settings()
        for name in OF_WEIGHTS:
            del settings[name]
        return settings

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready dict that `from_dict` reads back."""
        return self._settings() | {
            "d_hidden": list(self.d_hidden),
            "act_fn": list(self.act_fn) if isinstance(self.act_fn, tuple) else self.act_fn,
            "input_levels": list(self.input_levels),
            "target": None if self.target is None else _written_target(self.target),
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "HookedMLPConfig":
        """Settings by name, such as `to_dict` writes -> the config.

        Raises:
            XorMiError: anything but a mapping, a key that is not a setting, or a value it cannot
                have.
        """
        require_kind("values", values, Mapping, give="settings by name, as cfg.to_dict() has them")
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
        # JSON has no tuples
        if isinstance(settings.get("input_levels"), list):
            settings["input_levels"] = tuple(settings["input_levels"])
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


def _require_few_parameters(layer_sizes: Sequence[int], *, n_direct: int) -> None:
    n_parameters = sum(d_out * (d_in + 1) for d_in, d_out in pairwise(layer_sizes)) + n_direct
    if n_parameters > MAX_PARAMETERS:
        raise XorMiError(
            f"{n_parameters:,} weights and biases; at most {MAX_PARAMETERS:,}: give smaller layers"
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


def _hidden_activations(
    given: HiddenActivations, n_layers: int
) -> ActivationName | tuple[ActivationName, ...]:
    """One name if all layers have the same one; otherwise one per layer."""
    if not isinstance(given, (list, tuple)):
        # `_name` refuses all but names; a checker knows no more of it than that it is text
        only: Any = given
        return _name("activation", only, ACTIVATIONS)
    names: tuple[ActivationName, ...] = tuple(
        _name("activation", name, ACTIVATIONS) for name in given
    )
    if len(names) != n_layers:
        raise XorMiError(
            f"act_fn has {len(names)} activations for {n_layers} hidden layers; "
            "give one per layer, or one name for all"
        )
    return names[0] if len(set(names)) == 1 else names


def _switch(name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise XorMiError(f"{name} must be True or False, not {shown(value)}")
    return value


def _step(step_at_zero: StepAtZero) -> StepAtZero:
    number = whole_number("step_at_zero", step_at_zero)
    if number not in (0, 1):
        raise XorMiError(f"step_at_zero is {number}; give 0, off at zero (>), or 1, on there (>=)")
    return 1 if number else 0


def _levels(levels: Levels) -> tuple[float, float]:
    if not isinstance(levels, (list, tuple)) or len(levels) != 2:
        raise XorMiError(
            f"input_levels is {shown(levels)}; "
            "give the numbers for bit 0 and bit 1, such as (-1, 1)"
        )
    low, high = (_finite_number("each of input_levels", level) for level in levels)
    if low == high:
        raise XorMiError(f"input_levels are both {low:g}; give two different numbers")
    return low, high


@lru_cache(maxsize=64)
def levels_in(dtype: torch.dtype, levels: tuple[float, float]) -> tuple[float, float]:
    """The two levels as a network of this dtype has them.

    Raises:
        XorMiError: levels that are one number in this dtype, or too large for it.
    """
    given = torch.tensor(levels, dtype=torch.float64)
    low, high = given.to(dtype).tolist()
    if low == high and isfinite(low):
        name = str(dtype).removeprefix("torch.")
        raise XorMiError(
            f"input_levels are {levels[0]} and {levels[1]}, which {name} does not tell apart; "
            "give others, or dtype='float64'"
        )
    in_dtype(given, dtype, "input_levels")
    return low, high


def _rule_and_loss(
    rule: DecisionRuleName | None, loss: LossName | None, d_out: int
) -> tuple[DecisionRuleName, LossName]:
    """Both, if one or none is given: cross-entropy and argmax imply each other."""
    # checked before they are compared: of an array `==` has no answer
    if rule is not None:
        _name("decision rule", rule, DECISION_RULES)
    if loss is not None:
        _name("loss", loss, LOSSES)
    default_rule: DecisionRuleName = "argmax" if loss == "ce" else "threshold"
    default_loss: LossName = "ce" if rule == "argmax" else "bce"
    chosen_rule: DecisionRuleName = default_rule if rule is None else rule
    chosen_loss: LossName = default_loss if loss is None else loss
    if chosen_loss == "ce" and chosen_rule == "threshold":
        raise XorMiError("loss_fn='ce' is for decision_rule='argmax', not 'threshold'; use 'bce'")
    if chosen_rule == "argmax" and d_out < 2:
        asked = "loss_fn='ce'" if rule is None else "decision_rule='argmax'"
        raise XorMiError(f"{asked} needs at least two outputs; this network has 1")
    return chosen_rule, chosen_loss


def _target(target: Target | None, cfg: "HookedMLPConfig") -> BooleanFunction | None:
    return None if target is None else target_for(cfg, BooleanFunction.of(target, cfg.d_in))


def one_of_a_pair(function: BooleanFunction) -> BooleanFunction:
    """The second of two outputs that are complements of each other; other functions unchanged.

    Two outputs of which the larger decides are written in this way: "XNOR, XOR".

    >>> one_of_a_pair(BooleanFunction.of("XNOR, XOR")).name
    'XOR'
    """
    if function.n_outputs != 2:
        return function
    first, second = function.outputs
    return second if first.complement() == second else function


def target_for(cfg: "HookedMLPConfig", function: BooleanFunction) -> BooleanFunction:
    """The function, checked to have one output per decision.

    For one decision over two outputs, a target with a function for each is accepted too, such as
    "XNOR, XOR".

    Raises:
        XorMiError: a target with another number of outputs; the message says how many decisions the
            network makes.
    """
    n_decisions = cfg.n_decisions
    if n_decisions < cfg.d_out:
        function = one_of_a_pair(function)
    wanted = function.n_outputs
    if wanted == n_decisions:
        return function
    outputs = "1 output" if wanted == 1 else f"{wanted} outputs"
    has = str(cfg.d_out) if n_decisions == cfg.d_out else "one decision, the larger of its outputs"
    hint = ""
    if wanted == 1 and cfg.d_out == 2:
        hint = "; where the larger output decides, give decision_rule='argmax'"
    raise XorMiError(f"the target has {outputs}; the network has {has}{hint}")


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


def initial_weights(
    layer_sizes: Sequence[int], seed: int, *, direct: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """PyTorch's default nn.Linear initialisation from a seed: per layer W and b, float32.

    W [d_out, d_in] and b [d_out] are uniform in +-1/sqrt(d_in), drawn in the order W, b, layer by
    layer. No global random state is read or changed.

    Args:
        direct: draw the direct weights too, [d_out, d_in] of the whole network, as an nn.Linear of
            their own and after all others. They are the readout's last columns.
    """
    uniform = partial(_uniform, torch.Generator().manual_seed(seed))
    layers: list[tuple[Tensor, Tensor]] = []
    for d_in, d_out in pairwise(layer_sizes):
        bound = d_in**-0.5
        # one generator for both: the weight has to be drawn first
        weight = uniform((d_out, d_in), bound)
        bias = uniform((d_out,), bound)
        layers.append((weight, bias))
    if direct:
        n_inputs, n_outputs = layer_sizes[0], layer_sizes[-1]
        readout, bias = layers[-1]
        past_hidden = uniform((n_outputs, n_inputs), n_inputs**-0.5)
        layers[-1] = (torch.cat([readout, past_hidden], dim=1), bias)
    return layers


def _uniform(generator: torch.Generator, shape: Sequence[int], bound: float) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound


def activation(
    name: str, negative_slope: float, *, step_at_zero: int = 0
) -> Callable[[Tensor], Tensor]:
    """The activation function of this name, with its slope below zero or its step."""
    if name == "leaky_relu":
        return partial(F.leaky_relu, negative_slope=negative_slope)
    if name in STEPS:
        return partial(ACTIVATIONS[name], step_at_zero=step_at_zero)
    return ACTIVATIONS[name]
