"""target + seed -> TrainResult or Population."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import signature
from math import ceil
from typing import Unpack

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError, require_seeds, whole_number
from xor_mi.finding import Finding, number_text
from xor_mi.kinds import EngineName, Rows, Target, Widths
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, HookedMLPConfig, require_device
from xor_mi.progress import progress_bar
from xor_mi.training._arithmetic import Task
from xor_mi.training._config import TrainConfig, TrainSettings, require_known
from xor_mi.training._engine import engine_of, say_what_numba_saves
from xor_mi.training._fit import NETWORKS_PER_BLOCK, Fitted, fit
from xor_mi.training._memory import require_trainable
from xor_mi.training._population import (
    Population,
    at_levels,
    initial_parameters,
    outputs_of_flat,
    rows_or_all,
)
from xor_mi.training._start import Init, Start, labels_of, start_of
from xor_mi.truth import BooleanFunction, row_name, row_numbers


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
        loss = number_text(self.final_loss, decimals=4)
        return f"seed {self.seed} {outcome} after {self.steps} steps (loss {loss})"


def train(
    target: Target | None = None,
    *,
    hidden: Widths | None = None,
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int | None = None,
    init: Init | None = None,
    progress: bool = True,
    **settings: Unpack[TrainSettings],
) -> TrainResult:
    """Train one network, from its seed or from given weights.

    The same seed gives the same network, bit for bit, on the same machine.

    Args:
        target: gate name, formula or `BooleanFunction`; by default that of `init`, else XOR.
        hidden: width of each hidden layer; a number means one layer. By default that of `init`,
            else 2.
        n_inputs: how many inputs a gate name or formula has; by default as many as the formula
            names, and at least 2. A `BooleanFunction` brings its own.
        init: weights to start from, [(W, b), ...] as `HookedMLP.from_weights` takes them (with
            direct=True the direct weights are the readout's last columns), or a `HookedMLP`, whose
            conventions are then used. float64 weights are trained in float64.
        progress: show a bar when training takes over two seconds.
        settings: any setting of a `TrainConfig`, in place of that of `config`.

    Raises:
        XorMiError: as `train_population`, or a run that diverged.

    >>> result = train("XOR", seed=29)
    >>> result.solved, result.steps < 2000
    (True, True)
    >>> train("a ^ b ^ c", hidden=8, lr=0.1, act_fn="tanh", seed=1).model.layer_sizes
    (3, 8, 1)
    """
    require_known(settings, beside=_BESIDE_SETTINGS["train"])
    population = train_population(
        target,
        1,
        hidden=hidden,
        seed=seed,
        config=config,
        n_inputs=n_inputs,
        init=init,
        engine="torch",
        progress=progress,
        **settings,
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
    target: Target | None = None,
    n_networks: int = 1000,
    *,
    hidden: Widths | None = None,
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int | None = None,
    rows: Rows | None = None,
    init: Init | None = None,
    device: str | torch.device = "cpu",
    engine: EngineName | None = None,
    progress: bool = True,
    **settings: Unpack[TrainSettings],
) -> Population:
    """Train n networks at once, with seeds seed, seed + 1, ...

    On a CPU each is bit for bit the network it would be in any other batch of this engine, and by
    "torch" the one that `train` gives.

    Args:
        target: gate name, formula or `BooleanFunction`; by default that of `init`, else XOR.
        hidden: width of each hidden layer; a number means one layer. By default that of `init`,
            else 2.
        n_inputs: how many inputs a gate name or formula has; by default as many as the formula
            names, and at least 2. A `BooleanFunction` brings its own.
        rows: train on these input rows only ('0010' or bits); `solved` is still judged on all rows.
        init: as in `train`. All networks start there, so several are trained only where something
            drawn from their seeds tells them apart: input_noise, batch_size or dropout.
        device: where to train; the population itself is on the CPU.
        engine: "torch", the reference, or "numba", some twenty times as fast, from the extra
            `fast`: the same steps but for the last bits, which may come to other networks where
            training is unstable. By default numba where it is installed and can do it, which is
            float32 on a CPU and two networks or more. `Population.engine` says which it was. The
            first call with numba compiles for some ten seconds; it is kept on disk.
        progress: show a bar when training takes over two seconds.
        settings: any setting of a `TrainConfig`, in place of that of `config`.

    Raises:
        XorMiError: settings that do not exist, cannot be trained or contradict each other, a target
            whose width is not the network's, rows that are not bit strings, more networks than
            there is memory for, no such device, or an engine that cannot do it.

    >>> population = train_population("XOR", 8)
    >>> population.solved.nonzero().flatten().tolist()
    [2, 5]
    >>> population[5].cfg.seed
    5
    """
    n_networks = whole_number("n_networks", n_networks, at_least=1)
    seed = require_seeds(seed, n_networks)
    require_known(settings, beside=_BESIDE_SETTINGS["train_population"])
    config = TrainConfig.of(config, **settings)
    start = start_of(
        target,
        hidden=hidden,
        n_inputs=n_inputs,
        seed=seed,
        init=init,
        config=config,
        given=settings,
    )
    function, cfg, given_weights = start
    bits = rows_or_all(rows, function.n_inputs)
    _require_differing(start, n_networks, n_rows=len(bits), config=config)
    require_trainable(n_networks, n_rows=len(bits), cfg=cfg)
    device = require_device(device)
    chosen = engine_of(engine, n_networks=n_networks, cfg=cfg, device=device)
    if chosen == "torch" and engine is None and device.type == "cpu":
        say_what_numba_saves(n_networks)
    task = _task(function, bits, cfg=cfg, device=device)
    seeds = torch.arange(seed, seed + n_networks)
    if given_weights is None:
        flat = initial_parameters(cfg.layer_sizes, seeds, direct=cfg.direct, progress=progress)
    else:
        flat = given_weights[:, None].repeat(1, n_networks)

    there = flat.to(task.rows.device)
    if chosen == "numba":
        fitted = _fitted_by_numba(
            there, seeds=seeds, task=task, cfg=cfg, config=config, progress=progress
        )
    else:
        fitted = _fitted_by_torch(
            there, seeds=seeds.to(there.device), task=task, config=config, progress=progress
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
        init=None if given_weights is None else given_weights[None],
        engine=chosen,
    )


def _fitted_by_torch(
    flat: Float[Tensor, "parameter seed"],
    *,
    seeds: Int[Tensor, " seed"],
    task: Task,
    config: TrainConfig,
    progress: bool,
) -> Fitted:
    """Every column trained, under a bar of steps, which PyTorch takes of a block at once."""
    n_networks, n_finished_in_all = len(seeds), 0
    n_blocks = ceil(n_networks / NETWORKS_PER_BLOCK)
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
        return fit(flat, seeds=seeds, task=task, config=config, report=report)


def _fitted_by_numba(
    flat: Float[Tensor, "parameter seed"],
    *,
    seeds: Int[Tensor, " seed"],
    task: Task,
    cfg: HookedMLPConfig,
    config: TrainConfig,
    progress: bool,
) -> Fitted:
    """Every column trained, under a bar of networks, of which threads tell when they are done."""
    # not before it is asked for: numba takes a moment to load, and may not be there
    from xor_mi.training._fit_lanes import fit_lanes

    bar = progress_bar(doing="training", unit="network", total=len(seeds), progress=progress)
    with bar:
        return fit_lanes(flat, seeds=seeds, task=task, cfg=cfg, config=config, report=bar.update)


_BESIDE_SETTINGS = {
    function.__name__: tuple(
        name
        for name, parameter in signature(function).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    )
    for function in (train, train_population)
}
"""What these functions take beside settings: listed with them where a name is none of both."""


def _require_differing(start: Start, n_networks: int, *, n_rows: int, config: TrainConfig) -> None:
    """Refuse networks that would all be the same, and batches that cannot be drawn."""
    if config.batch_size is not None and config.batch_size > n_rows:
        raise XorMiError(
            f"batch_size is {config.batch_size}, of {n_rows} rows; give at most {n_rows}, "
            "or leave it out for all rows at every step"
        )
    is_drawn = config.input_noise or config.dropout or (config.batch_size or n_rows) < n_rows
    if start.flat is not None and n_networks > 1 and not is_drawn:
        raise XorMiError(
            f"{n_networks} networks that all start from init would be the same one; "
            "give n_networks=1, or what is drawn for each: input_noise, batch_size or dropout"
        )


def _task(
    function: BooleanFunction,
    bits: Sequence[tuple[int, ...]],
    *,
    cfg: HookedMLPConfig,
    device: torch.device,
) -> Task:
    """The function on these rows."""
    labels = labels_of(function, cfg)[row_numbers(torch.tensor(bits))]
    return Task(rows=at_levels(bits, cfg).to(device), targets=labels.to(device), cfg=cfg)


def _table(function: BooleanFunction) -> Int[Tensor, "row decision"]:
    """What the function says on every row."""
    return torch.tensor(function.tables).T


def _solved(
    flat: Float[Tensor, "parameter seed"], function: BooleanFunction, cfg: HookedMLPConfig
) -> Bool[Tensor, " seed"]:
    """Which networks decide every row as the function says. An undecided row is not right."""
    rows = at_levels(function.rows(), cfg)
    outputs = outputs_of_flat(flat, rows, cfg).movedim(1, -1)  # [row, seed, d_out]
    is_right = cfg.rule.decide(outputs) == _table(function)[:, None]
    return is_right.all(2).all(0)


def _wrong_rows(model: HookedMLP) -> tuple[str, ...]:
    """Names of the rows on which a decision is not the target's."""
    function = model.target_of()
    is_right = (decisions(model) == _table(function)).all(1).tolist()
    judged_rows = zip(function.rows(), is_right, strict=True)
    return tuple(row_name(row) for row, right in judged_rows if not right)
