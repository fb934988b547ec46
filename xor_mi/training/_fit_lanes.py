"""initial weights + task -> trained weights: a loop that numba compiles, one thread per core.

The steps of the networks are the same as in `_fit`, up to the last bits; see `_lanes`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from itertools import pairwise
from threading import Event, Lock

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.model import HookedMLPConfig
from xor_mi.training import _lanes
from xor_mi.training._arithmetic import Task, layer_shapes
from xor_mi.training._config import OPTIMIZERS, TrainConfig
from xor_mi.training._fit import STEPS_UNTIL_CONSTANT, Fitted, adam_factors, penalties_of

SMALLEST_PART = 1024
"""The least number of networks for which a thread is worth starting."""

WORK_AT_ONCE = 7200
"""Steps x rows x weights between two updates of the bar (and looks for Ctrl-C): milliseconds."""


def fit_lanes(
    start: Float[Tensor, "parameter seed"],
    *,
    seeds: Int[Tensor, " seed"],
    task: Task,
    cfg: HookedMLPConfig,
    config: TrainConfig,
    kept_at: Sequence[int],
    report: Callable[[int], object],
) -> Fitted:
    """Train every column of `start`, float32 numbers on the CPU; how many finish is reported.

    Args:
        kept_at: as in `_fit`.
    """
    plan, learning = _plan(task, cfg, is_noisy=config.input_noise > 0), _learning(task, config)
    n_threads = max(1, min(torch.get_num_threads(), len(seeds) // SMALLEST_PART))
    ends = [len(seeds) * k // n_threads for k in range(n_threads + 1)]
    steps_kept = np.array(kept_at, dtype=np.int64)
    # one memory for all networks; each part writes to its own
    kept = np.empty((len(kept_at), *start.shape), dtype=np.float32)
    kept_losses = np.empty((len(kept_at), len(seeds)), dtype=np.float32)
    parts = [
        _networks(
            start[:, a:b],
            seeds[a:b],
            kept_at=steps_kept,
            kept=kept[:, :, a:b],
            kept_losses=kept_losses[:, a:b],
        )
        for a, b in pairwise(ends)
    ]
    stop, one_at_a_time = Event(), Lock()

    def report_finished(n_finished: int) -> None:
        with one_at_a_time:
            report(n_finished)

    _compile(plan, learning, parts[0])
    train = partial(_train_part, plan, learning, stop=stop, report=report_finished)
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            running = [pool.submit(train, part) for part in parts]
            wait(running, return_when=FIRST_EXCEPTION)
        finally:  # the threads end before this function does, also after Ctrl-C
            stop.set()
        for one in running:
            one.result()
    return Fitted(
        flat=torch.from_numpy(np.concatenate([part.final for part in parts], axis=1)),
        losses=torch.from_numpy(np.concatenate([part.losses for part in parts])),
        steps=torch.from_numpy(np.concatenate([part.steps for part in parts])),
        history=(),
        kept=torch.from_numpy(kept),
        kept_losses=torch.from_numpy(kept_losses),
    ).with_finished(kept_at)


def _networks(
    start: Float[Tensor, "parameter seed"],
    seeds: Int[Tensor, " seed"],
    *,
    kept_at: _lanes.Wholes,
    kept: _lanes.Floats,
    kept_losses: _lanes.Floats,
) -> _lanes.Networks:
    return _lanes.Networks(
        seeds=seeds.numpy(),
        start=start.contiguous().numpy(),
        final=np.empty(start.shape, dtype=np.float32),
        losses=np.empty(len(seeds), dtype=np.float32),
        steps=np.empty(len(seeds), dtype=np.int64),
        kept_at=kept_at,
        kept=kept,
        kept_losses=kept_losses,
    )


def _compile(plan: _lanes.Plan, learning: _lanes.Learning, networks: _lanes.Networks) -> None:
    """Compile, by a first call without a step; here, unlike in a thread, Ctrl-C is noticed."""
    lanes = _empty_lanes(n_parameters=len(networks.start))
    values = _empty_values(plan, has_dropout=bool(learning.dropout > 0))
    _lanes.advance(plan, learning, lanes, values, networks, 0)


def _train_part(
    plan: _lanes.Plan,
    learning: _lanes.Learning,
    networks: _lanes.Networks,
    *,
    stop: Event,
    report: Callable[[int], None],
) -> None:
    """Train these networks, one after the other in every lane, until all are done."""
    lanes = _empty_lanes(n_parameters=len(networks.start))
    values = _empty_values(plan, has_dropout=bool(learning.dropout > 0))
    n_left = len(networks.seeds)
    n_rounds = max(1, WORK_AT_ONCE // (len(plan.inputs) * len(networks.start)))
    while n_left and not stop.is_set():
        n_finished = _lanes.advance(plan, learning, lanes, values, networks, n_rounds)
        n_left -= n_finished
        report(n_finished)


def _plan(task: Task, cfg: HookedMLPConfig, *, is_noisy: bool) -> _lanes.Plan:
    """The task as the kernels take it."""
    shapes = layer_shapes(task.sizes, direct=task.direct)
    sizes, n_read = (np.array(column) for column in zip(*shapes, strict=True))
    inputs = task.rows.numpy()
    is_bit = ((inputs == 0) | (inputs == 1)) & (not is_noisy)
    return _lanes.Plan(
        sizes=sizes,
        n_read=n_read,
        value_at=_starts(sizes),
        weight_at=_starts(sizes * (n_read + 1)),
        act_fns=np.array([_lanes.ACT_FNS.index(name) for name in task.act_fns]),
        negative_slope=np.float32(cfg.negative_slope),
        inputs=inputs,
        kinds=np.where(is_bit, inputs, _lanes.A_NUMBER).astype(np.int8),
        targets=task.targets[..., 0].numpy(),
        loss_fn=_lanes.LOSS_FNS.index(cfg.loss_fn),
    )


def _learning(task: Task, config: TrainConfig) -> _lanes.Learning:
    """The settings as the kernels take them."""
    penalties = penalties_of(task.sizes, direct=task.direct, l1=config.l1)
    return _lanes.Learning(
        max_steps=config.max_steps,
        stop_loss=np.float32(config.stop_loss),
        optimizer=OPTIMIZERS.index(config.optimizer),
        lr=np.float32(config.lr),
        weight_decay=np.float32(config.weight_decay),
        momentum=np.float32(config.momentum),
        adam=_adam(config),
        has_penalties=config.l1 > 0,
        penalties=np.array(penalties, dtype=np.float32),
        input_noise=np.float32(config.input_noise),
        batch_size=len(task.rows) if config.batch_size is None else config.batch_size,
        dropout=np.float32(config.dropout),
    )


def _adam(config: TrainConfig) -> _lanes.Floats:
    """Adam's factors at every step, until they no longer change."""
    n_steps = 0 if config.optimizer == "sgd" else min(config.max_steps + 1, STEPS_UNTIL_CONSTANT)
    factors = [adam_factors(step, config.lr) for step in range(1, n_steps + 1)]
    return np.array(factors, dtype=np.float32).reshape(n_steps, 2)


def _starts(lengths: _lanes.Wholes) -> _lanes.Wholes:
    """The starting positions of consecutive parts."""
    return np.concatenate([[0], np.cumsum(lengths)[:-1]])


def _numbers(*shape: int) -> _lanes.Floats:
    """Zeros for every lane."""
    return np.zeros((*shape, _lanes.WIDTH), dtype=np.float32)


def _empty_lanes(*, n_parameters: int) -> _lanes.Lanes:
    """Memory for the lanes. All count as done, so that the first step loads the first networks."""

    def wholes() -> _lanes.Wholes:
        return np.zeros(_lanes.WIDTH, dtype=np.int64)

    return _lanes.Lanes(
        numbers=np.array([0, _lanes.WIDTH, _lanes.WIDTH]),
        network=wholes() - 1,
        seed=wholes(),
        step=wholes(),
        done=np.ones(_lanes.WIDTH, dtype=np.bool_),
        n_kept=wholes(),
        next_kept=wholes() + _lanes.NO_STEP,
        weights=_numbers(n_parameters),
        mean=_numbers(n_parameters),
        square=_numbers(n_parameters),
        gradient=_numbers(n_parameters),
        loss=_numbers(),
        scale=_numbers(),
        rate=_numbers(),
    )


def _empty_values(plan: _lanes.Plan, *, has_dropout: bool) -> _lanes.Values:
    """Memory for what the networks in the lanes have on every row."""
    n_rows, d_in = plan.inputs.shape
    n_units = int(plan.sizes.sum())
    post = _numbers(n_rows, n_units)
    return _lanes.Values(
        inputs=plan.inputs[..., None] + _numbers(n_rows, d_in),
        pre=_numbers(n_rows, n_units),
        post=post,
        # the same memory if nothing stands between the two
        read=_numbers(n_rows, n_units) if has_dropout else post,
        slope=_numbers(n_rows, n_units),
        factors=_numbers(n_rows, n_units if has_dropout else 0),
        is_drawn=_numbers(n_rows) + np.float32(1),
    )
