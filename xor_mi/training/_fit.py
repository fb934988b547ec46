"""initial weights + task -> trained weights: the loop, in blocks of networks that fit into
cache.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.training._arithmetic import Task, views
from xor_mi.training._config import TrainConfig
from xor_mi.training._noise import normal

BLOCK = 4096
"""Networks that take a step together."""
LANES = 64
"""The seed axis is filled up to a multiple of this, so that vector instructions never meet a
remainder.
"""
_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Fitted:
    """Weights as they were kept, [parameter, seed], with each network's loss and steps; the history
    is that of a single network.
    """

    flat: Tensor
    losses: Tensor
    steps: Tensor
    history: tuple[float, ...]


def fit(
    start: Float[Tensor, "parameter seed"],
    seeds: Int[Tensor, " seed"],
    task: Task,
    config: TrainConfig,
    report: Callable[[int, int], None] = lambda _steps, _finished: None,
) -> Fitted:
    """Train every column of `start`. report: called with how many steps' worth of work and how many
    finished networks were added.
    """
    parts = [
        _fit_block(s, i, task, config, report)
        for s, i in zip(start.split(BLOCK, 1), seeds.split(BLOCK), strict=True)
    ]
    flat, losses, steps = (
        torch.cat([p.flat for p in parts], 1),
        torch.cat([p.losses for p in parts]),
        torch.cat([p.steps for p in parts]),
    )
    return Fitted(flat, losses, steps, parts[0].history if start.shape[1] == 1 else ())


class _Optimizer:
    """Adam, AdamW or SGD with PyTorch's defaults on flat parameters; constant factors are drawn out
    of Adam's running means.
    """

    def __init__(self, flat: Tensor, config: TrainConfig) -> None:
        self.config, self.steps = config, 0
        self.state = (
            [torch.zeros_like(flat), torch.zeros_like(flat)] if config.optimizer != "sgd" else []
        )

    def select(self, index: Tensor) -> None:
        self.state = [part[:, index] for part in self.state]

    def step(self, flat: Tensor, gradient: Tensor) -> None:
        config = self.config
        self.steps += 1
        if config.weight_decay and config.optimizer == "adamw":
            flat.mul_(1 - config.lr * config.weight_decay)
        elif config.weight_decay:
            gradient.add_(flat * config.weight_decay)
        if config.optimizer == "sgd":
            flat.sub_(gradient.mul_(config.lr))
            return
        mean, square = self.state  # PyTorch's exp_avg / (1 - beta1) and exp_avg_sq / (1 - beta2)
        mean.mul_(_BETA1).add_(gradient)
        square.mul_(_BETA2).add_(gradient.mul_(gradient))
        scale = ((1 - _BETA2**self.steps) / (1 - _BETA2)) ** 0.5
        rate = config.lr * (1 - _BETA1) / (1 - _BETA1**self.steps) * scale
        flat.sub_(torch.div(mean, torch.sqrt(square).add_(_EPS * scale), out=gradient).mul_(rate))


def _fit_block(
    start: Tensor,
    seeds: Tensor,
    task: Task,
    config: TrainConfig,
    report: Callable[[int, int], None],
) -> Fitted:
    """All networks of a block take each step together; a finished one is kept as it was, and
    columns of finished ones are dropped.
    """
    n = start.shape[1]
    kept, losses = (
        start.clone(),
        torch.full((n,), torch.inf, dtype=start.dtype, device=start.device),
    )
    steps = torch.full((n,), config.max_steps, device=start.device)
    place, is_open, n_open = *_filled(torch.arange(n, device=start.device)), n
    flat, history = start[:, place], []
    optimizer = _Optimizer(flat, config)
    gradient = torch.empty_like(flat)
    layers, into = views(flat, task.sizes), views(gradient, task.sizes)
    for step in range(config.max_steps + 1):
        noise = _noise(seeds[place], step, task, config)
        values = task.forward(layers, noise)
        now, slope = task.losses(values[-1][1])
        history += [now[0].item()] if n == 1 else []
        finished = is_open if step == config.max_steps else is_open & (now < config.stop_loss)
        if finished.any():
            which = finished.nonzero().flatten()
            kept[:, place[which]], losses[place[which]], steps[place[which]] = (
                flat[:, which],
                now[which],
                step,
            )
            is_open = is_open & ~finished
            n_open -= len(which)
            report(0, len(which) if step < config.max_steps else 0)
        if not n_open:
            break
        task.gradient(layers, values, slope, into, noise)
        optimizer.step(flat, gradient)
        if n_open < 0.75 * len(place) and len(place) > LANES:
            index, is_open = _filled(is_open.nonzero().flatten())
            place, flat = place[index], flat[:, index]
            optimizer.select(index)
            gradient = torch.empty_like(flat)
            layers, into = views(flat, task.sizes), views(gradient, task.sizes)
        report(1, 0)
    report(config.max_steps - step, 0)
    return Fitted(kept, losses, steps, tuple(history))


def _filled(index: Tensor) -> tuple[Tensor, Tensor]:
    """Columns, filled up to a multiple of LANES with repeats of the first; and which of them are
    not fillers.
    """
    fill = index[:1].expand(-len(index) % LANES)
    return torch.cat([index, fill]), torch.arange(
        len(index) + len(fill), device=index.device
    ) < len(index)


def _noise(seeds: Tensor, step: int, task: Task, config: TrainConfig) -> Tensor | None:
    """[row, d_in, seed], each network's own."""
    if not config.input_noise:
        return None
    count = task.rows.numel()
    return (normal(seeds, step * count, count) * config.input_noise).view(*task.rows.shape, -1)
