"""target + seed -> a trained network, or many at once along a leading `seed` axis.

Network i of a population is trained as if alone: its own seed draws its weights, the loss is the mean over its rows and the sum over
networks, Adam works entry by entry, and a network is kept as it was at the step where its loss first fell below `stop_loss`. `train` is
a population of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from xor_mi.errors import XorMiError, unknown
from xor_mi.metrics import decision, decisions
from xor_mi.model import ACTIVATIONS, HookedMLP, HookedMLPConfig, initial_weights
from xor_mi.truth import BooleanFunction, row_name

_OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@dataclass(frozen=True)
class TrainConfig:
    """How networks are trained: full batch over all rows of the truth table.

    Attributes:
        lr: learning rate.
        max_steps: optimiser steps at most.
        stop_loss: a network whose mean loss falls below this is finished.
        optimizer: "adam", "adamw" or "sgd".
        weight_decay: passed to the optimiser.
        act_fn, out_act_fn, loss_fn: as in `HookedMLPConfig`.
    """

    lr: float = 0.05
    max_steps: int = 2000
    stop_loss: float = 0.01
    optimizer: str = "adam"
    weight_decay: float = 0.0
    act_fn: str = "relu"
    out_act_fn: str = "identity"
    loss_fn: str = "bce"

    def __post_init__(self) -> None:
        if self.optimizer not in _OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, _OPTIMIZERS, where="known optimizers")
        for name in (self.act_fn, self.out_act_fn):
            if name not in ACTIVATIONS:
                raise unknown("activation", name, ACTIVATIONS, where="known activations")
        for name in ("lr", "stop_loss"):
            if not 0 < getattr(self, name) < float("inf"):
                raise XorMiError(f"{name} is {getattr(self, name)}; it must be a positive number")
        if self.max_steps < 1:
            raise XorMiError(f"max_steps is {self.max_steps}; it must be at least 1")
        if "heaviside" in (self.act_fn, self.out_act_fn):
            raise XorMiError("heaviside has no gradient, so it cannot be trained; use sigmoid or tanh, or write the weights by hand")


@dataclass(frozen=True)
class TrainResult:
    """One trained network and how training went. `solved` is a fact about the final network, not about the loss."""

    model: HookedMLP
    solved: bool
    steps: int
    seed: int
    loss_history: tuple[float, ...] = field(repr=False)
    wrong_rows: tuple[str, ...] = ()

    @property
    def final_loss(self) -> float:
        return self.loss_history[-1]

    def __str__(self) -> str:
        task = self.model.cfg.target.name
        outcome = f"solved {task}" if self.solved else f"did NOT solve {task}: wrong or undecided on {', '.join(self.wrong_rows)}"
        return f"seed {self.seed} {outcome} after {self.steps} steps (loss {self.final_loss:.4f})"


@dataclass(frozen=True, eq=False)
class Population:
    """Networks of one shape along a leading seed axis. `population[i]` is a `HookedMLP`.

    Attributes:
        cfg: the configuration they share (each has its own seed).
        seeds, steps, losses, solved: one entry per network; loss is the mean over its rows at the step it was kept.
        weights: per layer W [seed, d_out, d_in] and b [seed, d_out].
    """

    cfg: HookedMLPConfig
    seeds: Int[Tensor, " seed"]
    steps: Int[Tensor, " seed"]
    losses: Float[Tensor, " seed"]
    solved: Bool[Tensor, " seed"]
    weights: tuple[tuple[Tensor, Tensor], ...]
    loss_history: tuple[tuple[float, ...], ...] = field(repr=False, default=())

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> HookedMLP:
        layers = [(weight[index], bias[index]) for weight, bias in self.weights]
        shared = {name: getattr(self.cfg, name) for name in ("act_fn", "out_act_fn", "loss_fn", "target", "decision_threshold")}
        return HookedMLP.from_weights(layers, seed=int(self.seeds[index]), **shared)


def train(
    target: Any = "XOR",
    hidden: Any = (2,),
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int = 2,
    progress: bool = False,
) -> TrainResult:
    """Train one network from its seed. The same seed gives the same network, bit for bit, on the same machine.

    Args:
        target: gate name, formula or `BooleanFunction` (of n_inputs; a BooleanFunction brings its own number).
        hidden: width of each hidden layer; a number means one layer.
        progress: show a progress bar with the loss.

    >>> result = train("XOR", seed=29)
    >>> result.solved, result.steps < 2000
    (True, True)
    """
    population = train_population(target, 1, hidden, seed, config, n_inputs, progress)
    if not all(torch.isfinite(value).all() for layer in population.weights for value in layer):
        raise XorMiError(f"training diverged: the weights of seed {seed} are no longer finite; give a lower lr")
    model = population[0]
    decided, table = decisions(model), torch.tensor(model.cfg.target.tables).T
    wrong = tuple(row_name(row) for row, right in zip(model.cfg.target.rows(), (decided == table).all(1), strict=True) if not right)
    return TrainResult(model, not wrong, int(population.steps[0]), seed, population.loss_history[0], wrong)


def train_population(
    target: Any,
    n_networks: int,
    hidden: Any = (2,),
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int = 2,
    progress: bool = False,
) -> Population:
    """Train n networks at once, with seeds seed, seed + 1, ...; each comes out as it would alone.

    Raises:
        XorMiError: settings that cannot be trained, or a target whose width is not the network's.
    """
    if not isinstance(seed, int) or n_networks < 1 or not 0 <= seed < 2**62 - n_networks:
        raise XorMiError(
            f"{n_networks} networks from seed {seed} asked for; give at least 1, and a seed of at least 0 (a whole number below 2^62)"
        )
    config = config or TrainConfig()
    function = BooleanFunction.of(target, target.n_inputs if isinstance(target, BooleanFunction) else n_inputs)
    shared = {"act_fn": config.act_fn, "out_act_fn": config.out_act_fn, "loss_fn": config.loss_fn, "target": function}
    cfg = HookedMLPConfig(function.n_inputs, hidden, function.n_outputs, seed=seed, **shared)
    drawn = [initial_weights(cfg.layer_sizes, seed + i) for i in range(n_networks)]
    weights = [torch.stack(parts) for layer in zip(*drawn, strict=True) for parts in zip(*layer, strict=True)]
    return _fit(weights, HookedMLP(cfg), config, progress)


def _fit(weights: list[Tensor], shape: HookedMLP, config: TrainConfig, progress: bool) -> Population:
    """The loop: all networks take each step together; a finished one is kept as it was, and its later steps are ignored."""
    cfg, n = shape.cfg, len(weights[0])
    x, y = shape.rows(), torch.tensor(cfg.target.tables, dtype=torch.float32).T
    live = [weight.requires_grad_() for weight in weights]
    optimizer = _OPTIMIZERS[config.optimizer](live, lr=config.lr, weight_decay=config.weight_decay)
    kept, losses, steps = [w.detach().clone() for w in live], torch.full((n,), torch.inf), torch.full((n,), config.max_steps)
    done = torch.zeros(n, dtype=torch.bool)
    history: list[float] = []
    with tqdm(total=config.max_steps, desc="training", unit="step", disable=None if progress else True) as bar:
        for step in range(config.max_steps + 1):
            loss = _losses(_forward(live, x, shape), y, cfg)
            now = loss.detach()
            history += [now[0].item()] if n == 1 else []
            finished = (now < config.stop_loss) & ~done
            if step == config.max_steps or finished.any():
                take = finished if step < config.max_steps else ~done
                kept = [torch.where(take.view(-1, *[1] * (w.ndim - 1)), w.detach(), k) for w, k in zip(live, kept, strict=True)]
                losses, steps = torch.where(take, now, losses), torch.where(take, step, steps)
                done |= finished
            if step == config.max_steps or done.all():
                break
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            if progress and step % 50 == 0:
                bar.set_postfix_str(f"loss {now.mean():.4f}, {int(done.sum())} of {n} finished")
            bar.update(1)
    outputs = _forward(kept, x, shape)[0]
    solved = (decision(outputs, shape.threshold) == y).all(2).all(1)
    layers = tuple(zip(kept[::2], kept[1::2], strict=True))
    return Population(cfg, torch.arange(cfg.seed, cfg.seed + n), steps, losses, solved, layers, (tuple(history),) if history else ())


def _forward(weights: Sequence[Tensor], x: Tensor, shape: HookedMLP) -> tuple[Tensor, Tensor]:
    """Stacked weights, rows [row, d_in] -> outputs and readout pre-activations, each [seed, row, d_out].

    A network's result must not depend, even in the last bit, on how many others are in the batch. Hence products summed over the last
    axis rather than bmm (also faster at these widths), and the logistic function written with tanh: torch.sigmoid rounds an entry
    differently by its place in the batch.
    """
    value = readout = x[None]
    for layer, (weight, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        readout = (weight[:, None] * value[:, :, None]).sum(-1) + bias[:, None]
        is_sigmoid = (shape.cfg.out_act_fn if layer == shape.cfg.n_layers else shape.cfg.act_fn) == "sigmoid"
        value = (1 + torch.tanh(readout / 2)) / 2 if is_sigmoid else shape.activate(readout, layer)
    return value, readout


def _losses(outputs: tuple[Tensor, Tensor], y: Tensor, cfg: HookedMLPConfig) -> Tensor:
    """Mean loss of each network, [seed]."""
    value, readout = outputs
    goal = y.expand_as(value)
    if cfg.loss_fn == "mse":
        return F.mse_loss(value, goal, reduction="none").mean((1, 2))
    logits = readout if cfg.out_act_fn == "sigmoid" else value
    # written out, since torch's own uses torch.sigmoid in its gradient (see _forward)
    softplus = (logits + logits.abs()) / 2 + torch.log1p(torch.exp(-logits.abs()))
    return (softplus - goal * logits).mean((1, 2))
