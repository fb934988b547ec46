"""target + seed -> TrainResult or Population."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from numbers import Integral

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xor_mi.errors import SEEDS_BELOW, XorMiError, whole_number
from xor_mi.finding import Finding
from xor_mi.kinds import Rows, Target, Widths
from xor_mi.metrics import decision, decisions
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.progress import progress_bar
from xor_mi.training._arithmetic import Task
from xor_mi.training._config import TrainConfig
from xor_mi.training._fit import NETWORKS_PER_BLOCK, fit
from xor_mi.training._population import (
    Population,
    initial_parameters,
    outputs_of_flat,
    rows_or_all,
)
from xor_mi.truth import BooleanFunction, row_name


@dataclass(frozen=True)
class TrainResult(Finding):
    """One trained network and how training went.

    Attributes:
        solved: whether the final network decides every row right; a low loss alone is not enough.
        steps: optimiser steps taken.
        loss_history: the loss at every step, the last one that of the final network.
        wrong_rows: the rows decided wrong or not at all.
    """

    model: HookedMLP
    solved: bool
    steps: int
    seed: int
    loss_history: tuple[float, ...] = field(repr=False)
    wrong_rows: tuple[str, ...] = ()

    @property
    def final_loss(self) -> float:
        return self.loss_history[-1]

    def frame(self) -> pd.DataFrame:
        """The loss at every step: step, loss."""
        steps = range(len(self.loss_history))
        return pd.DataFrame({"step": steps, "loss": self.loss_history})

    def __str__(self) -> str:
        task = self.model.target_of().name
        if self.solved:
            outcome = f"solved {task}"
        else:
            outcome = f"did NOT solve {task}: wrong or undecided on {', '.join(self.wrong_rows)}"
        return f"seed {self.seed} {outcome} after {self.steps} steps (loss {self.final_loss:.4f})"


def train(
    target: Target = "XOR",
    *,
    hidden: Widths = (2,),
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int = 2,
    progress: bool = True,
) -> TrainResult:
    """Train one network from its seed.

    The same seed gives the same network, bit for bit, on the same machine.

    Args:
        target: gate name, formula or `BooleanFunction`.
        hidden: width of each hidden layer; a number means one layer.
        n_inputs: how many inputs a gate name or formula has; a `BooleanFunction` brings its own.
        progress: show a bar when training takes over two seconds.

    Raises:
        XorMiError: as `train_population`, or a run that diverged.

    >>> result = train("XOR", seed=29)
    >>> result.solved, result.steps < 2000
    (True, True)
    """
    population = train_population(
        target, 1, hidden=hidden, seed=seed, config=config, n_inputs=n_inputs, progress=progress
    )
    if not population.flat.isfinite().all():
        raise XorMiError(
            f"training diverged: the weights of seed {seed} are no longer finite; give a lower lr"
        )
    model = population[0]
    wrong_rows = _wrong_rows(model)
    return TrainResult(
        model=model,
        solved=not wrong_rows,
        steps=int(population.steps[0]),
        seed=int(population.seeds[0]),
        loss_history=population.loss_history[0],
        wrong_rows=wrong_rows,
    )


def train_population(
    target: Target = "XOR",
    n_networks: int = 1000,
    *,
    hidden: Widths = (2,),
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int = 2,
    rows: Rows | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Population:
    """Train n networks at once, with seeds seed, seed + 1, ...

    On a CPU each is bit for bit the network it would be if trained alone.

    Args:
        target: gate name, formula or `BooleanFunction`.
        hidden: width of each hidden layer; a number means one layer.
        n_inputs: how many inputs a gate name or formula has; a `BooleanFunction` brings its own.
        rows: train on these input rows only ('0010' or bits); `solved` is still judged on all rows.
        device: where to train; the population itself is on the CPU.
        progress: show a bar when training takes over two seconds.

    Raises:
        XorMiError: settings that cannot be trained, a target whose width is not the network's, rows
            that are not bit strings, or no such device.

    >>> population = train_population("XOR", 8)
    >>> population.solved.nonzero().flatten().tolist()
    [2, 5]
    >>> population[5].cfg.seed
    5
    """
    n_networks = whole_number("n_networks", n_networks, at_least=1)
    seed = whole_number("seed", seed)
    if seed + n_networks >= SEEDS_BELOW:
        raise XorMiError(f"seeds must be below 2^62; {n_networks} from {seed} on are not")
    config = TrainConfig.of(config)
    function = _target_function(target, n_inputs)
    cfg = HookedMLPConfig(
        d_in=function.n_inputs,
        d_hidden=_hidden_widths(hidden),
        d_out=function.n_outputs,
        act_fn=config.act_fn,
        out_act_fn=config.out_act_fn,
        loss_fn=config.loss_fn,
        target=function,
        seed=seed,
    )
    task = _task(function, rows, cfg=cfg, device=_device(device))
    seeds = torch.arange(seed, seed + n_networks)
    start = initial_parameters(cfg.layer_sizes, seeds, progress=progress)

    n_blocks = ceil(n_networks / NETWORKS_PER_BLOCK)
    n_finished_in_all = 0
    bar = progress_bar(
        doing="training", unit="step", total=config.max_steps * n_blocks, progress=progress
    )

    def report(*, n_steps: int = 0, n_finished: int = 0) -> None:
        nonlocal n_finished_in_all
        n_finished_in_all += n_finished
        if n_finished:
            bar.set_postfix_str(f"{n_finished_in_all} of {n_networks} finished", refresh=False)
        bar.update(n_steps)

    with bar:
        fitted = fit(
            start.to(task.rows.device),
            seeds=seeds.to(task.rows.device),
            task=task,
            config=config,
            report=report,
        )
    flat = fitted.flat.cpu()
    return Population.from_flat(
        flat.T,
        cfg=cfg,
        seeds=seeds,
        steps=fitted.steps.cpu(),
        losses=fitted.losses.cpu(),
        solved=_solved(flat, function, cfg),
        loss_history=(fitted.history,) if fitted.history else (),
    )


def _target_function(target: Target, n_inputs: int) -> BooleanFunction:
    # a function brings its number of inputs; n_inputs is for names and formulas
    if isinstance(target, BooleanFunction):
        return target
    return BooleanFunction.of(target, whole_number("n_inputs", n_inputs, at_least=1))


def _hidden_widths(hidden: Widths) -> tuple[int, ...]:
    if isinstance(hidden, Integral):
        return (whole_number("hidden", hidden, at_least=1),)
    if isinstance(hidden, str) or not isinstance(hidden, Iterable):
        raise XorMiError(
            f"hidden is {hidden!r}; give the width of each hidden layer, such as 2 or (3, 3)"
        )
    widths = tuple(whole_number("a width in hidden", width, at_least=1) for width in hidden)
    if not widths:
        raise XorMiError("hidden is empty; give at least one hidden layer, such as (2,)")
    return widths


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
        # Only using a device shows that it is there.
        torch.empty(1, device=device)
    # UnicodeDecodeError: torch quotes a device given as bytes in its own error
    except (RuntimeError, TypeError, AssertionError, UnicodeDecodeError) as error:
        # where the locale is not UTF-8, torch's error for such bytes is empty
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise XorMiError(f"no device {str(name)!r} here ({reason}); use device='cpu'") from None
    return device


def _task(
    function: BooleanFunction, rows: Rows | None, *, cfg: HookedMLPConfig, device: torch.device
) -> Task:
    """The function on these rows, by default on all."""
    bits = rows_or_all(rows, function.n_inputs)
    outputs_of_row = dict(zip(function.rows(), _table(function).tolist(), strict=True))
    return Task(
        rows=torch.tensor(bits, device=device).float(),
        targets=torch.tensor([outputs_of_row[row] for row in bits], device=device).float(),
        cfg=cfg,
    )


def _table(function: BooleanFunction) -> Int[Tensor, "row d_out"]:
    """What the function says on every row."""
    return torch.tensor(function.tables).T


def _solved(
    flat: Float[Tensor, "parameter seed"], function: BooleanFunction, cfg: HookedMLPConfig
) -> Bool[Tensor, " seed"]:
    """Which networks decide every row as the function says. An undecided row is not right."""
    rows = torch.tensor(function.rows()).float()
    outputs = outputs_of_flat(flat, rows, cfg)  # [row, d_out, seed]
    is_right = decision(outputs, threshold=cfg.threshold) == _table(function)[..., None]
    return is_right.all(1).all(0)


def _wrong_rows(model: HookedMLP) -> tuple[str, ...]:
    """Names of the rows on which a decision is not the target's."""
    function = model.target_of()
    is_right = (decisions(model) == _table(function)).all(1).tolist()
    judged_rows = zip(function.rows(), is_right, strict=True)
    return tuple(row_name(row) for row, right in judged_rows if not right)
