"""a network of steps -> which units are exactly on their step, and what hangs on it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from xor_mi.circuits._told import OnStep
from xor_mi.graph import Unit, layers_of
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.truth import row_name, truth_rows
from xor_mi.values import LayerValues, forward_float64

STEPS = ("heaviside", "sign")
"""The activations that jump, at zero."""


def on_step(model: HookedMLP, layers: Sequence[LayerValues]) -> OnStep | None:
    """The hidden units and outputs whose sum is exactly zero on some row, where their step jumps.

    Zero in float64, or in the arithmetic of the network's own dtype. None where there is no such
    unit.

    Args:
        layers: all values in float64.
    """
    if not any(model.cfg.act_name(number) in STEPS for number in range(len(layers))):
        return None
    names = [row_name(row) for row in truth_rows(model.cfg.d_in)]
    units: list[tuple[Unit, tuple[str, ...]]] = []
    sums = zip(layers, _own_sums(model), layers_of(model.layer_sizes)[1:], strict=True)
    for number, (values, own, places) in enumerate(sums):
        if model.cfg.act_name(number) in STEPS:
            at_zero = (values.pre == 0) | (own == 0)  # [row, unit]
            found = zip(places, at_zero.T, strict=True)
            units += [(unit, _named(names, rows)) for unit, rows in found if rows.any()]
    if not units:
        return None
    step_at_zero = model.cfg.step_at_zero
    other = model.with_weights(model.float64_layers(), step_at_zero=1 - step_at_zero)
    otherwise = (_decided(model) != _decided(other)).flatten(1).any(1)
    return OnStep(
        units=tuple(units), step_at_zero=step_at_zero, rows_otherwise=_named(names, otherwise)
    )


def _own_sums(model: HookedMLP) -> list[Tensor]:
    """What each linear layer adds up in the network's own dtype, [row, unit] per layer."""
    inputs = model.rows()
    value, sums = inputs, []
    for number, linear in enumerate(model.linears):
        total = linear(value)
        if model.direct is not None and number == model.cfg.n_layers:
            total = total + model.direct(inputs)
        value = model.activate(total, number)
        sums.append(total.cpu())
    return sums


def _decided(model: HookedMLP) -> Tensor:
    """What is decided in float64 and in the network's own dtype, [row, 2, decision]."""
    exact = model.rule.decide(forward_float64(model, model.rows())[-1].post)
    return torch.stack([exact, decisions(model).cpu()], dim=1)


def _named(names: Sequence[str], rows: Tensor) -> tuple[str, ...]:
    """The names of the rows that are marked."""
    return tuple(name for name, here in zip(names, rows.tolist(), strict=True) if here)
