"""networks at every step of their training -> what is known of each without identification.

The networks of a chunk are laid end to end: one *state* is one network at one step. Network n has
the states first[n] to last[n], from step 0 to the step at which it finished; after that it no
longer changes and has no states. So one table holds all networks, whenever each of them finished.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from xor_mi.circuits import ROUNDING
from xor_mi.circuits._batch import hidden_layers
from xor_mi.model import HookedMLPConfig
from xor_mi.training import Population
from xor_mi.training._population import (
    at_levels,
    layers_of_flat,
    outputs_of_flat,
    rows_or_all,
    table_of,
)
from xor_mi.values import DISTINCT

NUMBERS_AT_ONCE = 2_000_000
"""The most values of units on rows that are held at once, besides the results."""

VARIES, DEAD, ALWAYS_ON = range(3)
"""A unit on all rows: different values, one value that is not above zero, or one above zero."""


@dataclass(frozen=True)
class Paths:
    """Networks of one shape at every step up to the one at which each finished.

    Attributes:
        cfg: their common shape and conventions.
        flat: parameters as `Population.flat` has them, [state, parameter].
        losses: the mean loss over the rows that were trained on, [state].
        first, last: the states of each network, both included.
        finished: whether its loss fell below `stop_loss`, [network].
    """

    cfg: HookedMLPConfig
    flat: Float[Tensor, "state parameter"]
    losses: Float[Tensor, " state"]
    first: Int[np.ndarray, " network"]
    last: Int[np.ndarray, " network"]
    finished: Bool[np.ndarray, " network"]

    @classmethod
    def of(cls, population: Population) -> "Paths":
        """From a population that was kept at every step, from 0 on."""
        kept, config = population.checkpoints, population.config
        assert config is not None  # not None: they have just been trained
        n_steps = len(kept.steps)
        is_own = torch.arange(n_steps) <= population.steps[:, None]  # [network, step]
        n_states = is_own.sum(1).numpy()
        end = np.cumsum(n_states)
        return cls(
            cfg=population.cfg,
            flat=kept.flat.transpose(0, 1)[is_own],
            losses=kept.losses.T[is_own],
            first=end - n_states,
            last=end - 1,
            finished=(population.losses < config.stop_loss).numpy(),
        )

    def networks(self, states: Int[np.ndarray, " state"]) -> Population:
        """These states as a population, from which each can be taken as a model."""
        return networks_of(self.flat[torch.from_numpy(states)], self.cfg)


def networks_of(flat: Float[Tensor, "network parameter"], cfg: HookedMLPConfig) -> Population:
    """Networks with these parameters, without a record of their training."""
    nothing = torch.zeros(len(flat))
    return Population.from_flat(
        flat,
        cfg=cfg,
        seeds=torch.full((len(flat),), cfg.seed),
        steps=nothing.long(),
        losses=nothing,
        solved=nothing.bool(),
    )


@dataclass(frozen=True)
class Facts:
    """What is known of every state without identification.

    Attributes:
        right: whether every decision on a row is right, [state, row].
        slack: the smallest distance of a decision to its threshold, in the outputs' units; negative
            where it is on the wrong side, [state].
        units: what each hidden unit is on all rows: `VARIES`, `DEAD` or `ALWAYS_ON`,
            [state, unit].
        ranks: per hidden unit, the place of each row's value among its distinct ones, the lowest 0,
            [state, unit, row].
        clear_ranks: the same, where values count as equal if the gap between them is too small a
            part of the unit's range for a reading to count.
    """

    right: Bool[np.ndarray, "state row"]
    slack: Float[np.ndarray, " state"]
    units: UInt8[np.ndarray, "state unit"]
    ranks: Int[np.ndarray, "state unit row"]
    clear_ranks: Int[np.ndarray, "state unit row"]


def facts_of(
    flat: Float[Tensor, "state parameter"], cfg: HookedMLPConfig, *, min_margin: float
) -> Facts:
    """The facts of networks with these parameters.

    Args:
        min_margin: the smallest gap that counts in a reading, as a part of the unit's range.
    """
    n_numbers = 2**cfg.d_in * (sum(cfg.d_hidden) + cfg.d_out)
    found = [
        _facts(part, cfg, min_margin) for part in flat.split(max(1, NUMBERS_AT_ONCE // n_numbers))
    ]
    return Facts(
        right=np.concatenate([one.right for one in found]),
        slack=np.concatenate([one.slack for one in found]),
        units=np.concatenate([one.units for one in found]),
        ranks=np.concatenate([one.ranks for one in found]),
        clear_ranks=np.concatenate([one.clear_ranks for one in found]),
    )


def _facts(
    flat: Float[Tensor, "state parameter"], cfg: HookedMLPConfig, min_margin: float
) -> Facts:
    assert cfg.target is not None  # a trained network has a target
    goal = table_of(cfg.target)
    inputs = at_levels(rows_or_all(None, cfg.d_in), cfg).to(flat.dtype)
    # bit for bit the outputs that `Population.solved` is judged by
    outputs = outputs_of_flat(flat.T.contiguous(), inputs, cfg).permute(2, 0, 1)
    distance = cfg.rule.distance(outputs) * (2 * goal - 1)
    layers = layers_of_flat(flat, cfg.layer_sizes, direct=cfg.direct)
    units = [_Units.of(layer.on_rows.mT, min_margin) for layer in hidden_layers(layers, cfg)]
    return Facts(
        right=(cfg.rule.decide(outputs) == goal).all(2).numpy(),
        slack=distance.flatten(1).amin(1).double().numpy(),
        units=torch.cat([layer.kinds for layer in units], dim=1).numpy(),
        ranks=torch.cat([layer.ranks for layer in units], dim=1).numpy(),
        clear_ranks=torch.cat([layer.clear_ranks for layer in units], dim=1).numpy(),
    )


class _Units(NamedTuple):
    """The `Facts` about units, for one hidden layer."""

    kinds: UInt8[Tensor, "state unit"]
    ranks: Int[Tensor, "state unit row"]
    clear_ranks: Int[Tensor, "state unit row"]

    @classmethod
    def of(cls, values: Float[Tensor, "state unit row"], min_margin: float) -> "_Units":
        """From values of units on rows, by the rules of readings."""
        ordered, row_at = values.sort(-1)
        spread = ordered[..., -1:] - ordered[..., :1]
        is_constant = spread <= ROUNDING * values.abs().amax(-1, keepdim=True)
        is_on = values.mean(-1) > 0
        kinds = torch.where(is_constant[..., 0], torch.where(is_on, ALWAYS_ON, DEAD), VARIES)
        gaps = torch.where(is_constant, 0.0, ordered.diff(dim=-1))

        def ranks(share: float) -> Int[Tensor, "state unit row"]:
            place = torch.zeros(values.shape, dtype=torch.int16)
            place[..., 1:] = (gaps > share * spread).cumsum(-1)
            return torch.empty_like(place).scatter_(-1, row_at, place)

        return cls(kinds.to(torch.uint8), ranks(DISTINCT), ranks(max(DISTINCT, min_margin)))
