"""A network made from another one, and that one's own outputs -> the same, or an error.

Reading layers is not taken on trust: the two are compared on rows of 0 and 1.
"""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.model._config import HookedMLPConfig
from xor_mi.model._places import warn
from xor_mi.model._rule import DecisionRule
from xor_mi.truth import row_name

_NEAR = 0.25
"""Outputs this near to 0 and 1 on every row look like targets that were 0 and 1."""

_STEEPEST = 1.13
"""The largest slope of an activation (gelu); leaky_relu's own slope may be larger."""

_ROUNDINGS = 8.0
"""How many times the roundings of one sum two ways to compute a layer may lie apart."""


@runtime_checkable
class Network(Protocol):
    """What is compared: a HookedMLP."""

    cfg: HookedMLPConfig

    def __call__(self, x: Any) -> Tensor: ...
    def float64_layers(self) -> list[tuple[Tensor, Tensor]]: ...
    def activate(self, pre: Tensor, layer: int) -> Tensor: ...


def require_same(
    model: Network, given: Tensor, rows: Tensor, *, kind: str, dtype: torch.dtype, hint: str = ""
) -> None:
    """Refuse a made network whose outputs or decisions are not those of what it was made from.

    Args:
        given: the original's outputs [row, d_out], or [row] of one output.
        rows: [row, d_in].
        dtype: the original's; rounding in the coarser of the two is allowed for.
        hint: what else may be the reason, for the message.

    Raises:
        XorMiError: naming the first row on which they differ and both values.
    """
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
    made, given = made.double(), given.double()
    eps = max(torch.finfo(one).eps for one in (dtype, model.cfg.dtype))
    within = _rounding(model, rows.cpu().double(), eps)
    # written so that NaN, which is near nothing, is a difference
    differs = ~((made - given).abs() <= within)
    for is_wrong, why in (
        (differs, ""),
        (decided, _two_sides(rule)),
    ):
        if bool(is_wrong.any()):
            row, output = (int(index) for index in is_wrong.nonzero()[0])
            name = row_name([int(bit) for bit in rows[row].tolist()])
            raise XorMiError(
                f"on row {name} the {kind} gives {given[row, output].item():.6g} and the network "
                f"read from it {made[row, output].item():.6g}{why}{hint}"
            )


def _two_sides(rule: DecisionRule) -> str:
    if rule.name == "argmax":
        return ", and another output is the largest"
    return f", on two sides of the threshold {rule.threshold}"


def _rounding(model: Network, rows: Tensor, eps: float) -> Tensor:
    """How far rounding may take the outputs [row, d_out], layer by layer."""
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


def warn_of_threshold(cfg: HookedMLPConfig, outputs: Tensor, given: Iterable[str]) -> None:
    """Warn where outputs are 0 and 1, nearly, and no one said how they are decided.

    Args:
        given: the names of the settings that were given.
    """
    if cfg.out_act_fn != "identity" or {"loss_fn", "decision_threshold"} & set(given):
        return
    is_low, is_high = (outputs.abs() <= _NEAR), ((outputs - 1).abs() <= _NEAR)
    if bool((is_low | is_high).all()) and bool(is_low.any()) and bool(is_high.any()):
        warn(
            "the outputs are near 0 and 1 on every row, and decided by threshold 0; "
            "if 0 and 1 were the targets, give decision_threshold=0.5 or loss_fn='mse', "
            "otherwise decision_threshold=0"
        )
