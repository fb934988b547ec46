"""initial weights + task -> trained weights: the loop, in blocks that fit into cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xor_mi.training._arithmetic import Sample, Task, layer_shapes
from xor_mi.training._config import TrainConfig
from xor_mi.training._noise import kept, normal, rows_drawn

NETWORKS_PER_BLOCK = 4096
"""How many networks take a step together; more would not stay in the cache between operations."""

COLUMN_MULTIPLE = 64
"""The seed axis is filled up to a multiple of this, so that vectors leave no remainder.

For a remainder PyTorch uses scalar functions, which round differently.
"""

WORTH_DROPPING = 0.75
"""Columns of finished networks are dropped once less than this share of a block still trains."""

# PyTorch's defaults for Adam and AdamW, also eps: the steps are PyTorch's.
BETA_1 = 0.9
BETA_2 = 0.999
_EPS = 1e-8

STEPS_UNTIL_CONSTANT = ceil(-54 / log2(BETA_2))
"""From this step on 1 - beta ** step is 1 in float64, and `adam_factors` are the same."""


@runtime_checkable
class Report(Protocol):
    """Called with new counts: steps of a block, and networks that fell below `stop_loss`.

    It is also called once for each block with the steps that no network needed any more.
    """

    def __call__(self, *, n_steps: int = 0, n_finished: int = 0, n_spared: int = 0) -> None: ...


@dataclass(frozen=True)
class Fitted:
    """The weights that were kept, with each network's loss and steps.

    Attributes:
        history: the loss at every step, if there is only one network.
        kept, kept_losses: the networks at each checkpoint, and the loss there.
    """

    flat: Float[Tensor, "parameter seed"]
    losses: Float[Tensor, " seed"]
    steps: Int[Tensor, " seed"]
    history: tuple[float, ...]
    kept: Float[Tensor, "checkpoint parameter seed"]
    kept_losses: Float[Tensor, "checkpoint seed"]

    def with_finished(self, kept_at: Sequence[int]) -> "Fitted":
        """Fill in finished networks at the checkpoints after their end, in place."""
        for number, step in enumerate(kept_at):
            is_finished = self.steps <= step
            torch.where(is_finished, self.flat, self.kept[number], out=self.kept[number])
            losses = self.kept_losses[number]
            torch.where(is_finished, self.losses, losses, out=losses)
        return self


@runtime_checkable
class OnStep(Protocol):
    """Called before each step of a block of one network, with its parameters and its loss."""

    def __call__(self, step: int, flat: Float[Tensor, "parameter 1"], loss: float) -> None: ...


def fit(
    start: Float[Tensor, "parameter seed"],
    *,
    seeds: Int[Tensor, " seed"],
    task: Task,
    config: TrainConfig,
    kept_at: Sequence[int],
    report: Report,
    on_step: OnStep | None = None,
) -> Fitted:
    """Train every column of `start`.

    Args:
        kept_at: steps, in order, after which networks are kept as well.
        on_step: called at every step, of one network alone.
    """
    blocks = []
    kept = start.new_empty(len(kept_at), *start.shape)
    kept_losses = start.new_empty(len(kept_at), len(seeds))
    for columns in torch.arange(len(seeds)).split(NETWORKS_PER_BLOCK):
        of_block = slice(int(columns[0]), int(columns[-1]) + 1)
        block = _fit_block(
            start[:, of_block],
            seeds=seeds[of_block],
            task=task,
            config=config,
            kept_at=kept_at,
            kept=kept[:, :, of_block],
            kept_losses=kept_losses[:, of_block],
            report=report,
            on_step=on_step,
        )
        blocks.append(block)
    return Fitted(
        flat=torch.cat([block.flat for block in blocks], dim=1),
        losses=torch.cat([block.losses for block in blocks]),
        steps=torch.cat([block.steps for block in blocks]),
        history=blocks[0].history if len(seeds) == 1 else (),
        kept=kept,
        kept_losses=kept_losses,
    )


def adam_factors(step: int, lr: float) -> tuple[float, float]:
    """For the sums after this many steps: the number added to the root of the squares, and the
    rate.

    They come from mean_hat / (sqrt(square_hat) + eps), with both sides multiplied by the factor
    that turns the root of the squares' mean into the root of their sum.
    """
    scale = ((1 - BETA_2**step) / (1 - BETA_2)) ** 0.5
    return _EPS * scale, lr * (1 - BETA_1) / (1 - BETA_1**step) * scale


class _Optimizer:
    """Adam, AdamW or SGD with PyTorch's defaults, on flat parameters [parameter, seed]."""

    def __init__(self, flat: Tensor, config: TrainConfig) -> None:
        self.config = config
        self.steps = 0
        # sgd keeps its momentum in `mean` and has no `square`
        # Sums that decay, and not PyTorch's running means: exp_avg / (1 - beta1) and
        # exp_avg_sq / (1 - beta2). The constant factors are pulled out and applied once a step
        # to two numbers, `scale` and `rate`, instead of twice to every parameter.
        self.mean = torch.zeros_like(flat)
        self.square = torch.zeros_like(flat)

    def select(self, columns: Tensor) -> None:
        """Keep only these columns."""
        self.mean = self.mean[:, columns]
        self.square = self.square[:, columns]

    def step(self, flat: Tensor, gradient: Tensor) -> None:
        """Change `flat` in place; `gradient` is used as scratch memory."""
        config = self.config
        self.steps += 1
        # AdamW shrinks the weights themselves; the others add the decay to the gradient
        if config.weight_decay and config.optimizer == "adamw":
            flat.mul_(1 - config.lr * config.weight_decay)
        elif config.weight_decay:
            gradient.add_(flat * config.weight_decay)
        if config.optimizer == "sgd" and config.momentum:
            self.mean.mul_(config.momentum).add_(gradient)
            flat.sub_(torch.mul(self.mean, config.lr, out=gradient))
            return
        if config.optimizer == "sgd":
            flat.sub_(gradient.mul_(config.lr))
            return
        self.mean.mul_(BETA_1).add_(gradient)
        self.square.mul_(BETA_2).add_(gradient.mul_(gradient))
        scale, rate = adam_factors(self.steps, config.lr)
        denominator = torch.sqrt(self.square).add_(scale)
        flat.sub_(torch.div(self.mean, denominator, out=gradient).mul_(rate))


def _fit_block(
    start: Tensor,
    *,
    seeds: Tensor,
    task: Task,
    config: TrainConfig,
    kept_at: Sequence[int],
    kept: Tensor,
    kept_losses: Tensor,
    report: Report,
    on_step: OnStep | None,
) -> Fitted:
    """All networks of a block take each step together.

    A finished network is kept from the step at which it finished; the columns of finished networks
    are dropped now and then.

    Args:
        kept, kept_losses: the tensors that the checkpoints are written into.
    """
    number_of_checkpoint = {step: number for number, step in enumerate(kept_at)}
    n = start.shape[1]
    # The result, one column per network, written when the network finishes.
    final = start.clone()
    losses = torch.full((n,), torch.inf, dtype=start.dtype, device=start.device)
    steps = torch.full((n,), config.max_steps, device=start.device)
    # The columns that train: column c belongs to network network_of[c]; fillers are never open.
    network_of, is_open = _filled_up(torch.arange(n, device=start.device))
    n_open = n
    seed_of = seeds[network_of]
    flat = start[:, network_of]
    gradient = torch.empty_like(flat)
    layers, gradient_layers = task.views(flat), task.views(gradient)
    optimizer = _Optimizer(flat, config)
    penalties = _penalties(task, config) if config.l1 else None
    history = []
    step = 0
    # one round more than steps: the last one only looks at the loss
    for step in range(config.max_steps + 1):
        noise = _noise(seed_of, step=step, task=task, config=config)
        values = task.values(layers, noise)
        loss, slope = task.losses(values[-1].post)  # loss [column]
        if n == 1:
            history.append(loss[0].item())
        if on_step is not None:
            on_step(step, flat[:, :1], history[-1])
        number = number_of_checkpoint.get(step)
        if number is not None:
            columns = is_open.nonzero().flatten()
            kept[number][:, network_of[columns]] = flat[:, columns]
            kept_losses[number][network_of[columns]] = loss[columns]
        is_last = step == config.max_steps
        # NaN is not below: a network that diverged is never done before the last round
        is_done = is_open if is_last else is_open & (loss < config.stop_loss)
        if is_done.any():
            columns = is_done.nonzero().flatten()
            networks = network_of[columns]
            final[:, networks] = flat[:, columns]
            losses[networks] = loss[columns]
            steps[networks] = step
            is_open = is_open & ~is_done
            n_open -= len(columns)
            # those that ran out of steps are not counted as finished
            report(n_finished=0 if is_last else len(columns))
        if not n_open:
            break
        sample = _sample(seed_of, step=step, task=task, config=config)
        if sample is not None:
            # the loss above is that of all rows and units; this step learns from fewer
            values = task.values(layers, noise, sample=sample)
            _, slope = task.losses(values[-1].post, sample)
        task.gradient(layers, values, slope, out=gradient_layers, sample=sample)
        if penalties is not None:
            gradient.add_(torch.sign(flat).mul_(penalties))
        optimizer.step(flat, gradient)
        is_worth_dropping = n_open < WORTH_DROPPING * len(network_of)
        if is_worth_dropping and len(network_of) > COLUMN_MULTIPLE:
            columns, still_open = _filled_up(is_open.nonzero().flatten())
            network_of, is_open = network_of[columns], still_open
            seed_of = seeds[network_of]
            flat = flat[:, columns]
            gradient = torch.empty_like(flat)
            # the memory is new, so the views are made anew
            layers, gradient_layers = task.views(flat), task.views(gradient)
            optimizer.select(columns)
        report(n_steps=1)
    report(n_spared=config.max_steps - step)
    fitted = Fitted(
        flat=final,
        losses=losses,
        steps=steps,
        history=tuple(history),
        kept=kept,
        kept_losses=kept_losses,
    )
    return fitted.with_finished(kept_at)


def _filled_up(
    columns: Int[Tensor, " column"],
) -> tuple[Int[Tensor, " filled"], Bool[Tensor, " filled"]]:
    """Columns, filled up to a multiple of COLUMN_MULTIPLE; and which of them are not fillers.

    Fillers repeat the first column; what comes out of them is never read.
    """
    n_fillers = -len(columns) % COLUMN_MULTIPLE
    filled = torch.cat([columns, columns[:1].expand(n_fillers)])
    is_own = torch.arange(len(filled), device=columns.device) < len(columns)
    return filled, is_own


def _noise(
    seeds: Tensor, *, step: int, task: Task, config: TrainConfig
) -> Float[Tensor, "row d_in seed"] | None:
    """Each network's own noise at this step."""
    if not config.input_noise:
        return None
    count = task.rows.numel()
    # every step has its own range of the stream
    noise = normal(seeds, start=step * count, count=count) * config.input_noise
    n_rows, d_in = task.rows.shape
    return noise.view(n_rows, d_in, -1)


def _sample(seeds: Tensor, *, step: int, task: Task, config: TrainConfig) -> Sample | None:
    """Each network's own rows and units at this step; None if it learns from all of them."""
    n_rows = len(task.rows)
    n_drawn = n_rows if config.batch_size is None else config.batch_size
    rows = None
    if n_drawn < n_rows:
        rows = rows_drawn(seeds, step=step, n_rows=n_rows, n_drawn=n_drawn)
    factors = None
    if config.dropout:
        widths = task.sizes[1:-1]
        count = n_drawn * sum(widths)
        # every step has its own range of the stream, and in it every layer its own
        is_kept = kept(seeds, start=step * count, count=count, dropped=config.dropout)
        by_layer = is_kept.split([n_drawn * width for width in widths])
        factors = [
            layer.view(n_drawn, width, -1).to(task.rows.dtype).div_(1 - config.dropout)
            for layer, width in zip(by_layer, widths, strict=True)
        ]
    return None if rows is None and factors is None else Sample(rows, factors)


def _penalties(task: Task, config: TrainConfig) -> Float[Tensor, "parameter 1"]:
    costs = penalties_of(task.sizes, direct=task.direct, l1=config.l1)
    return torch.tensor(costs, dtype=task.rows.dtype, device=task.rows.device)[:, None]


def penalties_of(sizes: Sequence[int], *, direct: bool, l1: float) -> list[float]:
    """What the absolute value of each parameter costs: l1 for a weight, nothing for a bias."""
    costs: list[float] = []
    for d_out, d_in in layer_shapes(sizes, direct=direct):
        costs += [l1] * (d_out * d_in) + [0.0] * d_out
    return costs
