"""a layer with too many choices of readings to try -> those that may keep every decision.

The variables are given their readings one after another. What the variables not yet read can still
add lies between two bounds, and so does every later value, because activations never fall. A
beginning is dropped if some row cannot stay on its side whatever follows. The choices that are left
are tried as usual, so this saves work and loses no answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from xor_mi.errors import TooManyReadings
from xor_mi.model import DecisionRule, HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.truth import MONOTONE_ACTIVATIONS
from xor_mi.values import LayerValues

MAX_BEGINNINGS = 2_000_000
"""At most so many beginnings are held at once."""
MAX_NUMBERS = 32_000_000
"""Their sums on every row in every unit of the next layer are at most so many numbers."""
AT_ONCE = 32_768
"""So many beginnings are followed through the rest of the network together."""
ROUNDING = 1e-9
"""Bounds are widened by this fraction of their terms, far more than rounding moves them."""


@dataclass(frozen=True)
class _Between:
    """Numbers that are known to lie between two others, of one shape."""

    low: Tensor
    high: Tensor

    def through(self, weight: Tensor, bias: Tensor) -> "_Between":
        """What a linear layer makes of them, [..., d_in] -> [..., d_out]."""
        rising, falling = weight.clamp(min=0).T, weight.clamp(max=0).T
        low = self.low @ rising + self.high @ falling + bias
        high = self.high @ rising + self.low @ falling + bias
        largest = torch.maximum(self.low.abs(), self.high.abs())
        return _Between(low, high).widened(largest @ weight.abs().T + bias.abs())

    def widened(self, terms: Tensor) -> "_Between":
        """With room for rounding, which is relative to the terms that were added up."""
        return _Between(self.low - ROUNDING * terms, self.high + ROUNDING * terms)


def promising_choices(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    layer: int,
    levels: Sequence[Tensor],
    *,
    variables: Sequence[Sequence[int]],
    decided: Tensor,
    progress: bool = True,
) -> Tensor:
    """The choices of one reading per variable that may keep every decision, [choice, variable].

    They are in lexicographic order, and every choice that does keep the decisions is among them.

    Args:
        levels: per variable, what its places are replaced by under each of its readings,
            [reading, row, place].
        variables: per variable, the units that are its places.
        progress: show a bar if the work takes over half a second.

    Raises:
        TooManyReadings: more beginnings than are held, or an activation that falls somewhere.
    """
    _require_rising(model, levels, layer)
    weight, bias = model.float64_layers()[layer + 1]
    # a readout may also read the inputs, which have their values on every row
    width = model.cfg.d_hidden[layer]
    beside = layers[layer + 1].inputs[:, width:] @ weight[:, width:].T
    # what each variable adds in each unit of the next layer, [reading, row, next]
    added = [
        of_places @ weight[:, list(units)].T
        for of_places, units in zip(levels, variables, strict=True)
    ]
    terms = bias.abs() + sum(one.abs().amax(0) for one in added) + beside.abs()  # [row, next]
    # variables that can add most come first: after them most is settled
    order = sorted(range(len(added)), key=lambda u: -_spread(added[u]))

    sums = (bias + beside)[None]  # [beginning, row, next]
    beginnings = torch.zeros(1, 0, dtype=torch.int16)  # [beginning, unit in this order]
    doing = f"reading the units of layer {layer} one after another"
    bar = progress_bar(order, doing=doing, unit="unit", progress=progress)
    for n_read, u in enumerate(bar, start=1):
        n_readings = len(added[u])
        _require_few(len(sums) * n_readings, terms.numel(), levels, layer)
        sums = (sums[:, None] + added[u]).flatten(0, 1)
        reading = torch.arange(n_readings, dtype=torch.int16).repeat(len(beginnings))
        beginnings = torch.cat(
            [beginnings.repeat_interleave(n_readings, 0), reading[:, None]], dim=1
        )
        rest = [added[other] for other in order[n_read:]]
        low = sum((one.amin(0) for one in rest), torch.zeros_like(terms)) - ROUNDING * terms
        high = sum((one.amax(0) for one in rest), torch.zeros_like(terms)) + ROUNDING * terms
        may = torch.cat(
            [
                _may_keep(model, layers, layer, _Between(some + low, some + high), decided)
                for some in sums.split(AT_ONCE)
            ]
        )
        sums, beginnings = sums[may], beginnings[may]
    choices = beginnings[:, np.argsort(order)].long()
    # `lexsort` sorts by its last key first
    return choices[np.lexsort(choices.T.flip(0).numpy())]


def _may_keep(
    model: HookedMLP, layers: Sequence[LayerValues], layer: int, pre: _Between, decided: Tensor
) -> Tensor:
    """Whether every decision can still stay unchanged, [beginning].

    Args:
        pre: bounds of the sums in the units of the layer after `layer`, [beginning, row, unit].
    """
    between = pre
    weights = model.float64_layers()
    for number in range(layer + 1, len(weights)):
        if number > layer + 1:
            weight, bias = weights[number]
            width = between.low.shape[-1]
            beside = layers[number].inputs[:, width:] @ weight[:, width:].T
            between = between.through(weight[:, :width], bias)
            between = _Between(between.low + beside, between.high + beside).widened(beside.abs())
        between = _Between(
            low=model.activate(between.low, number), high=model.activate(between.high, number)
        )
    scores = _scores(between, model.rule)
    # how far on the right side every score can be at most
    best = torch.where(decided == 1, scores.high - model.rule.cut, model.rule.cut - scores.low)
    return (best > 0).flatten(1).all(1)


def _scores(outputs: _Between, rule: DecisionRule) -> _Between:
    """Bounds of the scores, [beginning, row, decision]."""
    n_outputs = outputs.low.shape[-1]
    if rule.name == "threshold":
        return outputs
    if n_outputs == 2:
        # its one score is the second output minus the first
        return _Between(
            low=outputs.low[..., 1:] - outputs.high[..., :1],
            high=outputs.high[..., 1:] - outputs.low[..., :1],
        )
    low, high = [], []
    for own in range(n_outputs):
        others = [k for k in range(n_outputs) if k != own]
        low.append(outputs.low[..., own] - outputs.high[..., others].amax(-1))
        high.append(outputs.high[..., own] - outputs.low[..., others].amax(-1))
    return _Between(torch.stack(low, dim=-1), torch.stack(high, dim=-1))


def _spread(added: Tensor) -> float:
    """How much the choice of a unit's reading can change."""
    return (added.amax(0) - added.amin(0)).sum().item()


def _require_few(n_beginnings: int, n_numbers: int, levels: Sequence[Tensor], layer: int) -> None:
    most = min(MAX_BEGINNINGS, MAX_NUMBERS // n_numbers)
    if n_beginnings > most:
        raise TooManyReadings(
            f"layer {layer} has {prod(map(len, levels)):,} joint readings; at most {most:,} "
            "beginnings of them can be held, and more than these may keep every decision: study a "
            "network with fewer units in a layer, or single units with scan_gates, patch_sweep and "
            "contributions"
        )


def never_falls(model: HookedMLP, layer: int) -> bool:
    """Whether a larger value after this hidden layer never gives a smaller one."""
    return not _falling(model, layer)


def _falling(model: HookedMLP, layer: int) -> list[str]:
    """The activations after this hidden layer that fall somewhere."""
    cfg = model.cfg
    names = {cfg.act_name(number) for number in range(layer + 1, cfg.n_layers + 1)}
    falling = sorted(names - set(MONOTONE_ACTIVATIONS))
    if "leaky_relu" in names and cfg.negative_slope < 0:
        falling.append("leaky_relu")
    return falling


def _require_rising(model: HookedMLP, levels: Sequence[Tensor], layer: int) -> None:
    """Refuse a network in which a larger value may give a smaller one."""
    falling = _falling(model, layer)
    if falling:
        raise TooManyReadings(
            f"layer {layer} has {prod(map(len, levels)):,} joint readings, and none can be left "
            f"out, because {falling[0]} falls somewhere; at most {MAX_BEGINNINGS:,} can be tried: "
            "study a network with fewer units in a layer, or single units with scan_gates, "
            "patch_sweep and contributions"
        )
