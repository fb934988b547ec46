"""A network made from another one is compared with it: the outputs agree, or an error says where.

Reading layers is not taken on trust: the two are compared on rows of bits, at the network's levels.
"""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.model._config import STEPS, HookedMLPConfig
from xor_mi.model._description import BETWEEN, Activation
from xor_mi.model._places import warn
from xor_mi.model._rule import DecisionRule
from xor_mi.truth import row_name

_NEAR = 0.25
"""Outputs this near to 0 and 1 on every row look like targets that were 0 and 1."""

_MIDDLE = 0.5
"""The threshold of targets that were 0 and 1."""

_STEEPEST = 1.13
"""The largest slope of an activation (gelu); leaky_relu's own slope may be larger."""

_ROUNDINGS = 8.0
"""Two ways to compute a layer may differ by this many times the rounding of one sum."""

_RULES = {"loss_fn", "decision_threshold", "decision_rule"}
"""Settings that say how outputs are decided."""


@runtime_checkable
class Network(Protocol):
    """What is compared: a HookedMLP."""

    cfg: HookedMLPConfig

    def __call__(self, x: Any) -> Tensor: ...
    def float64_layers(self) -> list[tuple[Tensor, Tensor]]: ...
    def activate(self, pre: Tensor, layer: int) -> Tensor: ...


def at_levels(bits: Tensor, levels: tuple[float, float]) -> Tensor:
    """Rows of 0 and 1 -> the same rows with the numbers that stand for them."""
    low, high = (bits.new_tensor(level) for level in levels)
    return torch.where(bits > 0, high, low)


def require_same(
    model: Network,
    given: Tensor,
    bits: Tensor,
    *,
    kind: str,
    dtype: torch.dtype,
    softmax: str = "",
    hint: str = "",
) -> None:
    """Refuse a made network whose outputs or decisions differ from those of the original.

    Args:
        given: the original's outputs [row, d_out], or [row] of one output.
        bits: the rows [row, d_in].
        dtype: the original's; rounding in the coarser of the two is allowed for.
        softmax: "softmax" or "log_softmax" if the original ends in one, which the made network
            leaves out.
        hint: what else may be the reason, for the message.

    Raises:
        XorMiError: naming the first row on which they differ and both values.
    """
    rows = at_levels(bits, model.cfg.input_levels)
    with torch.no_grad():
        made = model(rows).cpu()
    if given.numel() != made.numel():
        raise XorMiError(
            f"the {kind} gives outputs {list(given.shape)}, the network read from it "
            f"{list(made.shape)}{hint}"
        )
    rule = model.cfg.rule
    given = given.detach().cpu().reshape(made.shape)
    # decided as everywhere, in the numbers' own dtype
    decided = (rule.distance(made) > 0) != (rule.distance(given) > 0)
    if softmax:
        # it may round two logits to one probability
        decided &= rule.distance(given) != 0
    eps = max(torch.finfo(one).eps for one in (dtype, model.cfg.dtype))
    made, within = _with_softmax(softmax, made.double(), _rounding(model, rows, eps), eps)
    given = given.double()
    # written so that NaN, which is near nothing, is a difference
    differs = ~((made - given).abs() <= within)
    if bool(differs.any()):
        row, output = (int(index) for index in differs.nonzero()[0])
        raise XorMiError(
            f"on row {_row_name(bits, row)} the {kind} gives {given[row, output].item():.6g} and "
            f"the network read from it {made[row, output].item():.6g}{hint}"
        )
    if bool(decided.any()):
        row, decision = (int(index) for index in decided.nonzero()[0])
        theirs, ours = (rule.scores(one)[row, decision].item() for one in (given, made))
        raise XorMiError(
            f"on row {_row_name(bits, row)} the {kind} gives {theirs:.6g} and the network read "
            f"from it {ours:.6g}, {_two_sides(rule)}{hint}"
        )


def _two_sides(rule: DecisionRule) -> str:
    if rule.name == "argmax":
        return "so another output is the largest"
    return f"on two sides of the threshold {rule.threshold}"


def _row_name(bits: Tensor, row: int) -> str:
    return row_name([int(bit) for bit in bits[row].tolist()])


def _rounding(model: Network, rows: Tensor, eps: float) -> Tensor:
    """How far rounding may take the outputs [row, d_out], layer by layer."""
    rows = rows.cpu().double()
    value, error = rows, torch.zeros_like(rows)
    steepest = max(_STEEPEST, abs(model.cfg.negative_slope))
    for number, (weight, bias) in enumerate(model.float64_layers()):
        if weight.shape[1] > value.shape[1]:
            # direct connections: the readout reads the inputs after its own units
            value = torch.cat([value, rows], dim=1)
            error = torch.cat([error, torch.zeros_like(rows)], dim=1)
        size = value.abs() @ weight.abs().T + bias.abs()
        error = error @ weight.abs().T + eps * (weight.shape[1] + _ROUNDINGS) * size
        value = model.activate(value @ weight.T + bias, number)
        error = steepest * error + eps * _ROUNDINGS * value.abs()
    return error


def _with_softmax(name: str, outputs: Tensor, error: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Outputs and their rounding [row, d_out], both after the softmax of this name."""
    if not name:
        return outputs, error
    # log-probabilities move by at most twice as much as the logits, probabilities by less
    error = 2 * error.amax(dim=1, keepdim=True) + eps * _ROUNDINGS
    if name == "softmax":
        return outputs.softmax(dim=1), error
    values = outputs.log_softmax(dim=1)
    return values, error + eps * _ROUNDINGS * (values.abs() + outputs.abs())


def misread_step(model: Network, found: tuple[Activation, ...], bits: Tensor) -> str:
    """The message if a step meets exactly zero and the network gives another value there, else "".

    Args:
        found: the activations of the original, the output's last.
        bits: the rows [row, d_in].
    """
    if all(one.at_zero is None for one in found):
        return ""
    layers = model.float64_layers()
    for dtype in (torch.float64, model.cfg.dtype):
        rows = at_levels(bits.to(dtype), model.cfg.input_levels)
        value = rows
        for number, (weight, bias) in enumerate(layers):
            if weight.shape[1] > value.shape[1]:
                value = torch.cat([value, rows], dim=1)
            pre = value @ weight.to(dtype).T + bias.to(dtype)
            at_zero = found[number].at_zero
            is_on_it = pre == 0
            if at_zero not in (None, model.cfg.step_at_zero) and bool(is_on_it.any()):
                row, unit = (int(index) for index in is_on_it.nonzero()[0])
                is_output = number == len(layers) - 1
                name = f"y{unit}" if is_output else f"h{number}.{unit}"
                return _about_step(found[number], name, _row_name(bits, row))
            value = model.activate(pre, number)
    return ""


def _about_step(activation: Activation, unit: str, row: str) -> str:
    where = f"{activation.where}; " if activation.where else ""
    low, high = STEPS[activation.name]
    if activation.at_zero == BETWEEN:
        return (
            f"{where}this step gives {(low + high) / 2:g} at exactly zero, where unit {unit} is on "
            f"row {row}; a HookedMLP's gives {low:g} or {high:g}: write it with > or >="
        )
    is_on = "on" if activation.at_zero else "off"
    return (
        f"{where}this step is {is_on} at exactly zero, where unit {unit} is on row {row}, and "
        "another layer's is not; a HookedMLP has one step_at_zero: write all with > or all with >="
    )


def warn_of_rule(cfg: HookedMLPConfig, outputs: Tensor, bits: Tensor, given: Iterable[str]) -> None:
    """Warn if nobody said how outputs are decided and another way is likely to be meant.

    That is likely if all outputs are nearly 0 and 1, if the largest of several outputs decides
    otherwise than a threshold for each, and if squared error seems to have had targets -1 and 1.

    Args:
        outputs: the original's [row, d_out].
        bits: the rows [row, d_in].
        given: the names of the settings that were given.
    """
    outputs = outputs.detach().cpu().reshape(len(bits), cfg.d_out)
    if "decision_threshold" not in given:
        _warn_of_targets_minus_1(cfg, outputs, bits)
    if cfg.out_act_fn != "identity" or _RULES & set(given):
        return
    is_low, is_high = (outputs.abs() <= _NEAR), ((outputs - 1).abs() <= _NEAR)
    if bool((is_low | is_high).all()) and bool(is_low.any()) and bool(is_high.any()):
        warn(
            "the outputs are near 0 and 1 on every row, and decided by threshold 0; "
            "if 0 and 1 were the targets, give decision_threshold=0.5 or loss_fn='mse', "
            "otherwise decision_threshold=0"
        )
        return
    if cfg.d_out == 1 or cfg.target is not None:
        return
    row = _first_row_argmax_differs(cfg, outputs)
    if row is not None:
        warn(
            f"the {cfg.d_out} outputs are decided one by one, by threshold 0, which does not tell "
            f"the larger one on row {_row_name(bits, row)}; if the largest output decides, give "
            "decision_rule='argmax', otherwise decision_threshold=0"
        )


def _warn_of_targets_minus_1(cfg: HookedMLPConfig, outputs: Tensor, bits: Tensor) -> None:
    """Warn of outputs between 0 and squared error's threshold 0.5 if others are near -1."""
    is_between = (outputs > 0) & (outputs < _MIDDLE)
    is_near = bool((outputs < -_MIDDLE).any() and (outputs.abs() <= 1 + _NEAR).all())
    if cfg.decision_threshold == _MIDDLE and is_near and bool(is_between.any()):
        row, output = (int(index) for index in is_between.nonzero()[0])
        warn(
            f"the output {outputs[row, output].item():.3g} on row {_row_name(bits, row)} is below "
            "the threshold 0.5, and others are near -1; if -1 and 1 were the targets, give "
            "decision_threshold=0, otherwise decision_threshold=0.5"
        )


def _first_row_argmax_differs(cfg: HookedMLPConfig, outputs: Tensor) -> int | None:
    """The first row on which the outputs above the threshold are not the largest one alone."""
    winners = DecisionRule("argmax").decide(outputs)
    if cfg.d_out == 2:
        # one decision, that output 1 wins
        winners = torch.cat([1 - winners, winners], dim=1)
    differs = (winners != cfg.rule.decide(outputs)).any(1).nonzero()
    return int(differs[0]) if len(differs) else None
