"""weights of networks that fail -> what each of them is stuck in, and the slope of its loss.

All networks are computed at once, in float64, along a last axis `seed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from xor_mi.handmade._separation import separating_weights
from xor_mi.model import HookedMLPConfig
from xor_mi.training._arithmetic import Task, Values, views
from xor_mi.training._config import require_gradient
from xor_mi.training._population import table_of
from xor_mi.training._train import task_of
from xor_mi.truth import row_name, row_numbers
from xor_mi.values import DISTINCT

StuckKind = Literal[
    "diverged",
    "dead_units",
    "one_sided",
    "merged_rows",
    "straight",
    "plateau",
    "still_falling",
]
"""A kind of being stuck; `STUCK_KINDS` explains each."""

STUCK_KINDS: dict[StuckKind, str] = {
    "diverged": "a weight is no longer a finite number",
    "dead_units": "a hidden unit is constant on every row, and no readout of the others computes",
    "one_sided": (
        "the hidden units order the rows in one way or its reverse, and no readout computes"
    ),
    "merged_rows": "two rows that differ in the target give all hidden units the same values",
    "straight": "every hidden unit is affine in the inputs on these rows, and no readout computes",
    "plateau": "none of these, and the loss has no slope",
    "still_falling": "none of these, and the loss has a slope: the steps ran out",
}
"""Kind -> its meaning. If several kinds apply, the first in this order counts."""

MERGED = 1e-3
"""Values of a unit that are nearer to each other than this share of its range count as equal.

A readout would need weights a thousand times as large as the unit's range to tell them apart.
"""

PLATEAU_GRADIENT = 1e-3
"""The loss has no slope where the norm of its gradient is at most this."""

HESSIAN_STEP = 1e-5
"""The step of the central differences that give second derivatives."""


@dataclass(frozen=True, eq=False)
class StuckState:
    """What many networks are stuck in, and the facts that decide it.

    Attributes:
        is_wrong: whether some row is decided against the target, or not at all.
        dead: which hidden units, layer by layer, are constant on every row.
        merged: which pairs of rows that differ in the target give the readout the same values.
        readout_computes: whether some readout of the unchanged hidden units computes the target.
        losses, gradient_norms: of the mean loss over these rows, without penalties.
    """

    kinds: tuple[StuckKind, ...]
    is_wrong: Bool[ndarray, " seed"]
    dead: Bool[ndarray, "unit seed"]
    pairs: tuple[tuple[int, int], ...]
    merged: Bool[ndarray, "pair seed"]
    readout_computes: Bool[ndarray, " seed"]
    losses: Float[ndarray, " seed"]
    gradient_norms: Float[ndarray, " seed"]


class Stage:
    """The rows, the target and the shape that all networks share."""

    def __init__(self, cfg: HookedMLPConfig, rows: Sequence[tuple[int, ...]]) -> None:
        assert cfg.target is not None
        require_gradient(cfg)
        self.cfg = replace(cfg, dtype=torch.float64, device="cpu")
        self.rows = tuple(rows)
        self.task: Task = task_of(
            cfg.target, list(self.rows), cfg=self.cfg, device=torch.device("cpu")
        )
        numbers = row_numbers(torch.tensor(self.rows))
        self.wanted: Int[ndarray, "row decision"] = table_of(cfg.target)[numbers].numpy()

    def state_of(self, flat: Float[Tensor, "parameter seed"]) -> StuckState:
        """What these networks are stuck in; for a network that computes, the kind means nothing."""
        flat = flat.double().contiguous()
        is_finite = flat.isfinite().all(0).numpy()
        # networks that are not looked at may have any numbers
        flat = torch.where(torch.from_numpy(is_finite), flat, 0.0)
        values = self.task.values(self.task.views(flat))
        losses, gradient = self.gradient(flat)
        hidden = _Hidden.of(self, values)
        readout_computes = self._readout_computes(hidden)
        norms = gradient.norm(dim=0).numpy()
        is_held = ~readout_computes
        is_so = {
            "diverged": ~is_finite,
            "dead_units": is_held & hidden.dead.any(0),
            "one_sided": is_held & hidden.is_one_sided,
            "merged_rows": is_held & hidden.merged.any(0),
            "straight": is_held & hidden.is_straight,
            "plateau": norms <= PLATEAU_GRADIENT,
            "still_falling": np.ones_like(is_held),
        }
        first = np.argmax(np.stack([is_so[kind] for kind in STUCK_KINDS]), axis=0)
        names: tuple[StuckKind, ...] = get_args(StuckKind)
        return StuckState(
            kinds=tuple(names[number] for number in first),
            is_wrong=self.is_wrong(flat) | ~is_finite,
            dead=hidden.dead,
            pairs=hidden.pairs,
            merged=hidden.merged,
            readout_computes=readout_computes,
            losses=losses.numpy(),
            gradient_norms=norms,
        )

    def gradient(
        self, flat: Float[Tensor, "parameter seed"]
    ) -> tuple[Float[Tensor, " seed"], Float[Tensor, "parameter seed"]]:
        """Each network's mean loss, and its gradient at every parameter."""
        layers = self.task.views(flat)
        values = self.task.values(layers)
        outputs = values[-1].post
        losses, slope = self.task.losses(outputs)
        gradient = torch.zeros_like(flat)
        out = views(gradient, self.cfg.layer_sizes, direct=self.cfg.direct)
        self.task.gradient(layers, values, slope, out=out)
        return losses, gradient

    def smallest_curvature(self, flat: Float[Tensor, " parameter"]) -> float:
        """The smallest eigenvalue of the loss's second derivatives at one network's parameters.

        They are central differences of the gradient, which at a kink of a unit mix both of its
        sides.
        """
        step = HESSIAN_STEP * torch.eye(len(flat), dtype=torch.float64)
        at = flat.double()[:, None]
        _, above = self.gradient(at + step)
        _, below = self.gradient(at - step)
        hessian = (above - below) / (2 * HESSIAN_STEP)
        return float(torch.linalg.eigvalsh((hessian + hessian.T) / 2)[0])

    def is_wrong(self, flat: Float[Tensor, "parameter seed"]) -> Bool[ndarray, " seed"]:
        """Which networks decide some row against the target, or not at all."""
        outputs = self.task.values(self.task.views(flat.double().contiguous()))[-1].post
        if self.cfg.loss_fn == "bce" and self.cfg.out_act_fn == "sigmoid":
            # the loss is computed before the sigmoid, and the decision after it
            outputs = torch.sigmoid(outputs)
        decided = self.cfg.rule.decide(outputs.movedim(2, 0)).numpy()
        return ~(decided == self.wanted).all((1, 2))

    def _readout_computes(self, hidden: "_Hidden") -> Bool[ndarray, " seed"]:
        """Whether some readout of the units' levels decides every row right."""
        computes = np.array(~hidden.merged.any(0))
        for seed in np.nonzero(computes)[0]:
            computes[seed] = self._some_readout_computes(hidden.points(int(seed)))
        return computes

    def _some_readout_computes(self, points: Float[ndarray, "row source"]) -> bool:
        """Whether weights and biases exist that decide every row right from these values."""
        if self.cfg.rule.name == "threshold" or self.cfg.n_decisions == 1:
            # the difference of two competing outputs is one unit
            every_unit = [separating_weights(points, bits) for bits in self.wanted.T]
            return all(unit is not None for unit in every_unit)
        apart = _winner_minus_rivals(points, self.wanted)
        # w.z > 0 for all differences z: the same as separating them from their negatives
        both, bits = np.concatenate([apart, -apart]), np.repeat([1, 0], len(apart))
        return separating_weights(both, bits) is not None


def levels_on_rows(
    stage: Stage, flat: Float[Tensor, "parameter seed"]
) -> list[Int[ndarray, "row _ seed"]]:
    """The values of each hidden layer's units on the rows as levels, counted from 0."""
    values = stage.task.values(stage.task.views(flat.double().contiguous()))
    posts = [layer.post.numpy() for layer in values[:-1]]
    return [_levels(post, _is_constant(post)) for post in posts]


def _winner_minus_rivals(
    points: Float[ndarray, "row source"], wanted: Int[ndarray, "row output"]
) -> Float[ndarray, "difference parameter"]:
    """The coefficients of a readout's weights and biases in each winner's lead over each rival.

    Kesler's construction: a choice between several outputs as one linear inequality per rival.
    """
    with_one = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    differences = []
    for read, of_row in zip(with_one, wanted, strict=True):
        for rival in np.nonzero(of_row == 0)[0]:
            lead = np.zeros((len(of_row), len(read)))
            lead[of_row == 1] = read
            lead[rival] = -read
            differences.append(lead.ravel())
    return np.array(differences)


@dataclass(frozen=True, eq=False)
class _Hidden:
    """The values of the hidden units on the rows.

    Attributes:
        dead: the constant units of all hidden layers; the other attributes are about the last one.
        levels: the level of each unit on each row, counted from 0 in order of its values; all 0 for
            a dead unit.
        values: each unit's levels as numbers from 0 to 1; rows of one level have the same number.
        beside: the inputs that the readout reads too, if there are direct connections.
    """

    dead: Bool[ndarray, "unit seed"]
    levels: Int[ndarray, "row last seed"]
    values: Float[ndarray, "row last seed"]
    beside: Float[ndarray, "row d_in"] | None
    pairs: tuple[tuple[int, int], ...]
    merged: Bool[ndarray, "pair seed"]
    is_one_sided: Bool[ndarray, " seed"]
    is_straight: Bool[ndarray, " seed"]

    @classmethod
    def of(cls, stage: Stage, values: Sequence[Values]) -> "_Hidden":
        """From the values of all layers."""
        posts = [layer.post.numpy() for layer in values[:-1]]
        dead = np.concatenate([_is_constant(post) for post in posts])
        last = posts[-1]
        is_dead = _is_constant(last)
        levels = _levels(last, is_dead)
        inputs = stage.task.rows.numpy()
        pairs = tuple(
            (i, j)
            for i, j in combinations(range(len(inputs)), 2)
            if (stage.wanted[i] != stage.wanted[j]).any()
        )
        beside = inputs if stage.cfg.direct else None
        return cls(
            dead=dead,
            levels=levels,
            values=_values_of_levels(last, levels),
            beside=beside,
            pairs=pairs,
            merged=_merged(levels, pairs, beside),
            is_one_sided=_order_alike(levels, is_dead),
            is_straight=_is_affine(last, inputs, is_dead),
        )

    def points(self, seed: int) -> Float[ndarray, "row source"]:
        """What one network's readout reads on each row."""
        own = self.values[:, :, seed]
        return own if self.beside is None else np.concatenate([own, self.beside], axis=1)


def _is_constant(post: Float[ndarray, "row unit seed"]) -> Bool[ndarray, "unit seed"]:
    """Which units have one value on all rows, up to rounding."""
    return np.ptp(post, axis=0) <= DISTINCT * np.abs(post).max(0)


def _levels(
    post: Float[ndarray, "row unit seed"], is_dead: Bool[ndarray, "unit seed"]
) -> Int[ndarray, "row unit seed"]:
    """Each unit's values as levels in order; neighbours nearer than `MERGED` share a level."""
    order = np.argsort(post, axis=0, kind="stable")
    in_order = np.take_along_axis(post, order, axis=0)
    steps_up = np.diff(in_order, axis=0) > MERGED * np.ptp(post, axis=0)
    numbers = np.concatenate([np.zeros_like(order[:1]), np.cumsum(steps_up, axis=0)])
    levels = np.empty_like(order)
    np.put_along_axis(levels, order, numbers, axis=0)
    return np.where(is_dead, 0, levels)


def _values_of_levels(
    post: Float[ndarray, "row unit seed"], levels: Int[ndarray, "row unit seed"]
) -> Float[ndarray, "row unit seed"]:
    """The mean of each level, scaled to 0 for a unit's lowest value and 1 for its highest."""
    is_same = levels[:, None] == levels[None]  # [row, row, unit, seed]
    means = (is_same * post[None]).sum(1) / is_same.sum(1)
    reach = np.ptp(means, axis=0)
    return (means - means.min(0)) / np.where(reach > 0, reach, 1.0)


def _merged(
    levels: Int[ndarray, "row unit seed"],
    pairs: Sequence[tuple[int, int]],
    beside: Float[ndarray, "row d_in"] | None,
) -> Bool[ndarray, "pair seed"]:
    """Which of these pairs of rows have the same levels of all units."""
    merged = np.zeros((len(pairs), levels.shape[2]), dtype=bool)
    for number, (i, j) in enumerate(pairs):
        if beside is None or (beside[i] == beside[j]).all():
            merged[number] = (levels[i] == levels[j]).all(0)
    return merged


def _order_alike(
    levels: Int[ndarray, "row unit seed"], is_dead: Bool[ndarray, "unit seed"]
) -> Bool[ndarray, " seed"]:
    """Networks in which some units vary, and all of these order the rows one way or its reverse."""
    first = np.argmax(~is_dead, axis=0)
    of_first = np.take_along_axis(levels, first[None, None], axis=1)
    is_same = (levels == of_first).all(0)
    is_reversed = (levels == of_first.max(0) - of_first).all(0)
    return (is_same | is_reversed | is_dead).all(0) & ~is_dead.all(0)


def _is_affine(
    post: Float[ndarray, "row unit seed"],
    inputs: Float[ndarray, "row d_in"],
    is_dead: Bool[ndarray, "unit seed"],
) -> Bool[ndarray, " seed"]:
    """Networks in which every unit is affine in the inputs, up to `MERGED` of its range."""
    with_one = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    explained = with_one @ np.linalg.pinv(with_one)
    left = post - np.einsum("ij,jus->ius", explained, post)
    is_sum = np.abs(left).max(0) <= MERGED * np.ptp(post, axis=0)
    return (is_sum | is_dead).all(0)


def pair_names(
    rows: Sequence[tuple[int, ...]], pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[str, str], ...]:
    """Pairs of row numbers -> pairs of row names."""
    return tuple((row_name(rows[i]), row_name(rows[j])) for i, j in pairs)
