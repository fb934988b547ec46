"""target + seed -> TrainResult or Population."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from math import ceil, prod
from typing import Unpack

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short, require_kind, require_seeds, whole_number
from xor_mi.finding import Finding, number_text
from xor_mi.kinds import CheckpointSteps, EngineName, Rows, Target, Widths
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, HookedMLPConfig, require_device
from xor_mi.model._places import warn
from xor_mi.progress import progress_bar
from xor_mi.training._arithmetic import Task
from xor_mi.training._checkpoints import Checkpoints, checkpoint_steps, no_checkpoints
from xor_mi.training._config import TrainConfig, TrainSettings, require_known
from xor_mi.training._engine import engine_of, must_compile, say_what_numba_saves
from xor_mi.training._fit import NETWORKS_PER_BLOCK, Fitted, OnStep, fit
from xor_mi.training._memory import require_trainable
from xor_mi.training._population import (
    Population,
    at_levels,
    flat_parameters,
    initial_parameters,
    layers_of_flat,
    rows_or_all,
    solved_by,
    table_of,
)
from xor_mi.training._start import Init, Start, labels_of, start_of
from xor_mi.truth import BooleanFunction, row_name, row_numbers


@dataclass(frozen=True)
class TrainResult(Finding):
    """One trained network and how training went.

    Attributes:
        solved: whether the final network decides every row right; a low loss alone is not enough.
        steps: optimiser steps taken.
        loss_history: the loss at every step; the last one is that of the final network.
        wrong_rows: the rows that are decided wrong or not at all.
        checkpoints: step -> the network after that many steps, if checkpoints were asked for.
    """

    model: HookedMLP
    solved: bool
    steps: int
    seed: int
    loss_history: tuple[float, ...] = field(repr=False)
    wrong_rows: tuple[str, ...] = ()
    checkpoints: Checkpoints[HookedMLP] = field(
        repr=False, compare=False, default_factory=no_checkpoints
    )

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
    rows: Rows | None = None,
    init: Init | None = None,
    checkpoints: CheckpointSteps | Callable[[int, HookedMLP], object] | None = None,
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
        rows: train on these input rows only ('0010' or bits); `solved` is still judged on all rows.
        init: weights to start from, [(W, b), ...] as `HookedMLP.from_weights` takes them (with
            direct=True the direct weights are the readout's last columns), or a `HookedMLP`, whose
            conventions are then used. float64 weights are trained in float64.
        checkpoints: steps at which the network is kept as well, in `TrainResult.checkpoints`:
            their numbers; "log", for 0, 1, 2, ... and then four to a doubling; or "every 10". Or a
            function that is called at every step of training with the step and the current network;
            the steps for which it returns True are kept. If it raises, the training goes on without
            calling it again, and a warning says why. The trained network is the same, bit for bit,
            with any choice.
        progress: show a bar if training takes over half a second.
        settings: any setting of a `TrainConfig`, in place of that of `config`.

    Raises:
        XorMiError: as in `train_population`, or a run that diverged.

    >>> result = train("XOR", seed=29)
    >>> result.solved, result.steps < 2000
    (True, True)
    >>> train("a ^ b ^ c", hidden=8, lr=0.1, act_fn="tanh", seed=1).model.layer_sizes
    (3, 8, 1)
    >>> watched = train("XOR", seed=29, checkpoints="every 50").checkpoints
    >>> [(step, model.fc1.bias[0].item() > 0) for step, model in watched.items()][:3]
    [(0, True), (50, True), (100, True)]
    """
    require_known(settings, beside=_BESIDE_SETTINGS["train"])
    learning = _learning_of(
        target,
        1,
        hidden=hidden,
        seed=seed,
        config=config,
        n_inputs=n_inputs,
        rows=rows,
        init=init,
        device="cpu",
        engine="torch",
        settings=settings,
    )
    if callable(checkpoints):
        population = _trained_and_shown(learning, checkpoints, progress=progress)
    else:
        population = _trained(learning, checkpoints, progress=progress)
    require_converged(population)
    model = population[0]
    wrong_rows = _wrong_rows(model)
    return TrainResult(
        model=model,
        solved=not wrong_rows,
        steps=int(population.steps[0]),
        seed=int(population.seeds[0]),
        loss_history=population.loss_history[0],
        wrong_rows=wrong_rows,
        checkpoints=_of_one(population.checkpoints),
    )


def require_converged(population: Population) -> None:
    """Refuse a network that diverged.

    Args:
        population: of one network.

    Raises:
        XorMiError: its weights are not finite.
    """
    if not population.flat.isfinite().all():
        raise XorMiError(
            f"training diverged: the weights of seed {int(population.seeds[0])} are no longer "
            "finite; give a lower lr"
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
    checkpoints: CheckpointSteps | Callable[[int, Population], object] | None = None,
    progress: bool = True,
    **settings: Unpack[TrainSettings],
) -> Population:
    """Train n networks at once, with seeds seed, seed + 1, ...

    On a CPU each network is bit for bit the same in any other batch of this engine, and with
    "torch" it is the network that `train` gives.

    Args:
        target: gate name, formula or `BooleanFunction`; by default that of `init`, else XOR.
        hidden: width of each hidden layer; a number means one layer. By default that of `init`,
            else 2.
        n_inputs: how many inputs a gate name or formula has; by default as many as the formula
            names, and at least 2. A `BooleanFunction` brings its own.
        rows: train on these input rows only ('0010' or bits); `solved` is still judged on all rows.
        init: as in `train`. All networks start from it, so there can be several only if something
            drawn from their seeds tells them apart: input_noise, batch_size or dropout.
        device: where to train; the population itself is on the CPU.
        engine: "torch", the reference, or "numba", some twenty times as fast, from the extra
            `fast`: it takes the same steps up to the last bits, which may lead to other networks if
            training is unstable. By default it is numba if that is installed and can do the work:
            float32 on a CPU, and two networks or more. `Population.engine` says which it was. The
            first call with numba compiles for some ten seconds; the result is kept on disk.
        checkpoints: as in `train`, for all networks: `Population.checkpoints`. A function is called
            once they are trained, with the population at each step in order, up to the step at
            which the last of them finished.
        progress: show a bar if training takes over half a second.
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
    require_known(settings, beside=_BESIDE_SETTINGS["train_population"])
    learning = _learning_of(
        target,
        n_networks,
        hidden=hidden,
        seed=seed,
        config=config,
        n_inputs=n_inputs,
        rows=rows,
        init=init,
        device=device,
        engine=engine,
        settings=settings,
    )
    if callable(checkpoints):
        trained = _trained(learning, None, progress=progress)
        return _with_shown(trained, checkpoints, device=learning.device)
    return _trained(learning, checkpoints, progress=progress)


def replay(
    population: Population,
    numbers: Iterable[int] | None = None,
    *,
    device: str | torch.device = "cpu",
    checkpoints: CheckpointSteps = "log",
    progress: bool = True,
) -> Population:
    """Train networks of a population again, bit for bit the same, to see them on the way.

    Args:
        numbers: which networks, by their position in the population; by default all.
        device: where they were trained. Another device, or a GPU that trains another number of
            them, may give other last bits.
        checkpoints: as in `train_population`, without functions.
        progress: show a bar if training takes over half a second.

    Raises:
        XorMiError: a population that does not say how it was trained, such as one from a census; an
            unknown network or step; or a device or an engine that is not available.

    >>> population = train_population("XOR", 8)
    >>> again = replay(population, [5], checkpoints=[0, 100])
    >>> torch.equal(again.flat, population.flat[[5]])
    True
    """
    require_kind("population", population, Population, give="what train_population returns")
    if population.config is None or population.rows is None or population.engine is None:
        raise XorMiError(
            "this population does not say how it was trained, so it cannot be trained again; give "
            "what train_population returns"
        )
    chosen = range(len(population)) if numbers is None else _numbers(numbers, len(population))
    cfg, device = population.cfg, require_device(device)
    assert cfg.target is not None  # what is trained has one
    init = population.init
    given_weights = (
        None if init is None else flat_parameters([(weight[0], bias[0]) for weight, bias in init])
    )
    learning = _Learning(
        start=Start(cfg.target, cfg, given_weights),
        seeds=population.seeds[list(chosen)],
        bits=population.rows,
        config=population.config,
        device=device,
        engine=engine_of(population.engine, n_networks=len(chosen), cfg=cfg, device=device),
    )
    return _trained(learning, checkpoints, progress=progress)


def train_each(
    flat: Float[Tensor, "seed parameter"],
    *,
    cfg: HookedMLPConfig,
    rows: Rows | None,
    config: TrainConfig,
    seeds: Int[Tensor, " seed"],
    progress: bool = True,
) -> Population:
    """Train many networks from weights of their own, as `Population.flat` has them.

    Args:
        cfg: the configuration that they share, with the target that they learn.
        seeds: the seeds of all random draws while they train.

    Raises:
        XorMiError: batches of more rows than there are.
    """
    assert cfg.target is not None
    device = torch.device("cpu")
    bits = tuple(rows_or_all(rows, cfg.d_in))
    _require_batches(config, len(bits))
    engine = engine_of(None, n_networks=len(flat), cfg=cfg, device=device)
    require_trainable(len(flat), n_rows=len(bits), cfg=cfg)
    task = task_of(cfg.target, bits, cfg=cfg, device=device)
    fitted = _fitted(
        flat.T.contiguous().to(cfg.dtype),
        seeds=seeds,
        task=task,
        cfg=cfg,
        config=config,
        engine=engine,
        progress=progress,
    )
    return Population.from_flat(
        fitted.flat.T,
        cfg=cfg,
        seeds=seeds,
        steps=fitted.steps,
        losses=fitted.losses,
        solved=solved_by(fitted.flat, cfg),
        engine=engine,
    )


def _numbers(numbers: Iterable[int], n_networks: int) -> list[int]:
    """Positions in a population.

    Raises:
        XorMiError: no positions, or one that does not exist.
    """
    if not isinstance(numbers, Iterable) or isinstance(numbers, str):
        raise XorMiError(f"numbers is {numbers!r}; name networks by their place, such as [0, 5]")
    places = [whole_number("a number of a network", one, below=n_networks) for one in numbers]
    if not places:
        raise XorMiError("numbers is empty; name networks, or leave it out for all")
    return places


@dataclass(frozen=True, eq=False)
class _Learning:
    """Everything that determines the trained networks.

    Attributes:
        bits: the rows that are trained on.
    """

    start: Start
    seeds: Int[Tensor, " seed"]
    bits: tuple[tuple[int, ...], ...]
    config: TrainConfig
    device: torch.device
    engine: EngineName


def _learning_of(
    target: Target | None,
    n_networks: int,
    *,
    hidden: Widths | None,
    seed: int,
    config: TrainConfig | None,
    n_inputs: int | None,
    rows: Rows | None,
    init: Init | None,
    device: str | torch.device,
    engine: EngineName | None,
    settings: TrainSettings,
) -> _Learning:
    """A caller's arguments, checked."""
    n_networks = whole_number("n_networks", n_networks, at_least=1)
    seed = require_seeds(seed, n_networks)
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
    bits = tuple(rows_or_all(rows, start.function.n_inputs))
    _require_differing(start, n_networks, n_rows=len(bits), config=config)
    device = require_device(device)
    chosen = engine_of(engine, n_networks=n_networks, cfg=start.cfg, device=device)
    if chosen == "torch" and engine is None and device.type == "cpu":
        say_what_numba_saves(n_networks)
    return _Learning(
        start=start,
        seeds=torch.arange(seed, seed + n_networks),
        bits=bits,
        config=config,
        device=device,
        engine=chosen,
    )


def _trained(
    learning: _Learning,
    checkpoints: CheckpointSteps | None,
    *,
    on_step: OnStep | None = None,
    progress: bool,
) -> Population:
    """The networks, and their checkpoints."""
    (function, cfg, given_weights), config = learning.start, learning.config
    seeds, n_networks = learning.seeds, len(learning.seeds)
    kept_at = (
        () if checkpoints is None else checkpoint_steps(checkpoints, max_steps=config.max_steps)
    )
    require_trainable(n_networks, n_rows=len(learning.bits), cfg=cfg, n_checkpoints=len(kept_at))
    task = task_of(function, learning.bits, cfg=cfg, device=learning.device)
    if given_weights is None:
        flat = initial_parameters(cfg.layer_sizes, seeds, direct=cfg.direct, progress=progress)
    else:
        flat = given_weights[:, None].repeat(1, n_networks)

    fitted = _fitted(
        flat,
        seeds=seeds,
        task=task,
        cfg=cfg,
        config=config,
        engine=learning.engine,
        kept_at=kept_at,
        on_step=on_step,
        progress=progress,
    )
    flat = fitted.flat.cpu()
    population = Population.from_flat(
        flat.T,
        cfg=cfg,
        seeds=seeds,
        steps=fitted.steps.cpu(),
        losses=fitted.losses.cpu(),
        solved=solved_by(flat, cfg),
        loss_history=(fitted.history,) if fitted.history else (),
        init=None if given_weights is None else given_weights[None],
        engine=learning.engine,
        config=config,
        rows=learning.bits,
    )
    if checkpoints is None:
        return population
    return _with_checkpoints(
        population, kept_at, fitted.kept.movedim(1, 2).cpu(), fitted.kept_losses.cpu()
    )


# checkpoints


def _with_checkpoints(
    population: Population,
    steps: tuple[int, ...],
    flat: Float[Tensor, "checkpoint seed parameter"],
    losses: Float[Tensor, "checkpoint seed"],
    *,
    failure: str = "",
) -> Population:
    """The population with its checkpoints."""
    kept = Checkpoints(
        steps=steps,
        flat=flat,
        losses=losses,
        network_at=partial(_population_at, population, steps, flat, losses),
        failure=failure,
    )
    return replace(population, checkpoints=kept)


def _population_at(
    population: Population,
    steps: tuple[int, ...],
    flat: Float[Tensor, "checkpoint seed parameter"],
    losses: Float[Tensor, "checkpoint seed"],
    number: int,
) -> Population:
    """All networks of a population at one checkpoint, as training for so many steps gives them.

    Everything in it is a copy, so that a caller who changes it does not change what is kept.
    """
    step, of_step, config = steps[number], flat[number].clone(), population.config
    # nothing is trained in 0 steps
    until_then = None if config is None or step == 0 else replace(config, max_steps=step)
    return replace(
        population,
        seeds=population.seeds.clone(),
        steps=population.steps.clamp(max=step),
        losses=losses[number].clone(),
        solved=solved_by(of_step.T.contiguous(), population.cfg),
        weights=layers_of_flat(of_step, population.cfg.layer_sizes, direct=population.cfg.direct),
        loss_history=tuple(history[: step + 1] for history in population.loss_history),
        config=until_then,
    )


def _of_one(checkpoints: Checkpoints[Population]) -> Checkpoints[HookedMLP]:
    """The checkpoints of a population of one -> those of its network."""
    return Checkpoints(
        steps=checkpoints.steps,
        flat=checkpoints.flat,
        losses=checkpoints.losses,
        network_at=partial(_first_network, checkpoints),
        failure=checkpoints.failure,
    )


def _first_network(checkpoints: Checkpoints[Population], number: int) -> HookedMLP:
    return checkpoints.network_at(number)[0]


def _is_true(answer: object) -> bool:
    """Whether a function returned True, as Python's or NumPy's bool or a tensor of one.

    Any other return value, such as None, does not count.
    """
    if isinstance(answer, Tensor | np.ndarray | np.generic) and prod(answer.shape) == 1:
        answer = answer.item()
    return answer is True


class _Shown:
    """Shows networks to a caller's function, and keeps those for which it returns True."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.flat: list[Tensor] = []
        self.losses: list[Tensor] = []
        self.failure = ""

    def show(
        self,
        call: Callable[[], object],
        *,
        step: int,
        flat: Float[Tensor, "seed parameter"],
        losses: Float[Tensor, " seed"],
    ) -> None:
        """One step. If the function raises, one warning says so, and only the calls end."""
        if self.failure:
            return
        try:
            is_wanted = _is_true(call())
        # any exception: the training that the function only watches must not be lost
        except Exception as error:
            said = cut_short(str(error), at_most=200)
            self.failure = f"{type(error).__name__} at step {step}: {said}"
            warn(
                f"the function given as checkpoints failed ({self.failure}); it is called no "
                "more, and the training goes on"
            )
            return
        if is_wanted:
            self.steps.append(step)
            # copies, because these are parts of a larger tensor
            self.flat.append(flat.clone())
            self.losses.append(losses.clone())

    def on(self, population: Population) -> Population:
        """The population, with the networks that were kept."""
        n_parameters = population.flat.shape[1]
        no_flat = population.flat.new_empty(0, len(population), n_parameters)
        return _with_checkpoints(
            population,
            tuple(self.steps),
            torch.stack(self.flat) if self.flat else no_flat,
            torch.stack(self.losses)
            if self.losses
            else population.losses.new_empty(0, len(population)),
            failure=self.failure,
        )


def _trained_and_shown(
    learning: _Learning, function: Callable[[int, HookedMLP], object], *, progress: bool
) -> Population:
    """One network, shown to a function while it trains."""
    shown, cfg = _Shown(), learning.start.cfg

    def on_step(step: int, flat: Float[Tensor, "parameter 1"], loss: float) -> None:
        # a network cannot have weights that are not finite; `train` refuses it at the end
        if not flat.isfinite().all():
            return
        losses = torch.tensor([loss])
        # of a copy, so that the function cannot change the training
        one = Population.from_flat(
            flat.T.clone(),
            cfg=cfg,
            seeds=learning.seeds,
            steps=torch.tensor([step]),
            losses=losses,
            solved=torch.tensor([False]),
        )
        shown.show(lambda: function(step, one[0]), step=step, flat=flat.T, losses=losses)

    return shown.on(_trained(learning, None, on_step=on_step, progress=progress))


SHOWN_BYTES = 2**28
"""The bytes of networks that are held at once to show them to a function."""


def _with_shown(
    population: Population,
    function: Callable[[int, Population], object],
    *,
    device: torch.device,
) -> Population:
    """Networks that are trained are shown to a function, step by step.

    They are trained again for that, with as many steps at a time as fit into memory.

    Args:
        device: where they were trained.
    """
    shown, config = _Shown(), population.config
    assert config is not None  # they have just been trained on it
    n_steps, n_numbers = int(population.steps.max()), population.flat.numel()
    n_together = max(1, SHOWN_BYTES // (population.flat.element_size() * n_numbers))
    for first in range(0, n_steps + 1, n_together):
        last = min(first + n_together, n_steps + 1) - 1
        until_last = replace(population, config=replace(config, max_steps=max(1, last)))
        again = replay(
            until_last, device=device, checkpoints=range(first, last + 1), progress=False
        )
        seen = again.checkpoints
        for number, step in enumerate(seen.steps):
            networks = seen.network_at(number)
            shown.show(
                partial(function, step, networks),
                step=step,
                flat=seen.flat[number],
                losses=seen.losses[number],
            )
        if shown.failure:
            break
    return shown.on(population)


# the two engines


def _fitted(
    flat: Float[Tensor, "parameter seed"],
    *,
    seeds: Int[Tensor, " seed"],
    task: Task,
    cfg: HookedMLPConfig,
    config: TrainConfig,
    engine: EngineName,
    kept_at: Sequence[int] = (),
    on_step: OnStep | None = None,
    progress: bool,
) -> Fitted:
    """Every column trained by this engine, on the task's device."""
    there = flat.to(task.rows.device)
    if engine == "numba":
        return _fitted_by_numba(
            there,
            seeds=seeds,
            task=task,
            cfg=cfg,
            config=config,
            kept_at=kept_at,
            progress=progress,
        )
    return _fitted_by_torch(
        there,
        seeds=seeds.to(there.device),
        task=task,
        config=config,
        kept_at=kept_at,
        on_step=on_step,
        progress=progress,
    )


def _fitted_by_torch(
    flat: Float[Tensor, "parameter seed"],
    *,
    seeds: Int[Tensor, " seed"],
    task: Task,
    config: TrainConfig,
    kept_at: Sequence[int],
    on_step: OnStep | None,
    progress: bool,
) -> Fitted:
    """Every column trained, under a bar of steps, which PyTorch takes for a block at once."""
    n_networks, n_finished_in_all = len(seeds), 0
    n_blocks = ceil(n_networks / NETWORKS_PER_BLOCK)
    bar = progress_bar(
        doing="training", unit="step", total=config.max_steps * n_blocks, progress=progress
    )

    def report(*, n_steps: int = 0, n_finished: int = 0, n_spared: int = 0) -> None:
        nonlocal n_finished_in_all
        # a bar that says how many steps there were
        bar.total -= n_spared
        n_finished_in_all += n_finished
        if n_finished:
            bar.set_postfix_str(f"{n_finished_in_all} of {n_networks} finished", refresh=False)
        bar.update(n_steps)

    with bar:
        return fit(
            flat,
            seeds=seeds,
            task=task,
            config=config,
            kept_at=kept_at,
            report=report,
            on_step=on_step,
        )


def _fitted_by_numba(
    flat: Float[Tensor, "parameter seed"],
    *,
    seeds: Int[Tensor, " seed"],
    task: Task,
    cfg: HookedMLPConfig,
    config: TrainConfig,
    kept_at: Sequence[int],
    progress: bool,
) -> Fitted:
    """Every column trained, under a bar of networks, which threads report when they are done.

    While the first call compiles, the bar says so.
    """
    # only when it is needed: numba takes a moment to load, and may not be installed
    from xor_mi.training._fit_lanes import fit_lanes

    bar = progress_bar(doing="training", unit="network", total=len(seeds), progress=progress)

    def report(n_finished: int) -> None:
        bar.set_postfix_str("", refresh=False)
        bar.update(n_finished)

    with bar:
        if must_compile():
            bar.set_postfix_str("compiling, once", refresh=False)
        return fit_lanes(
            flat,
            seeds=seeds,
            task=task,
            cfg=cfg,
            config=config,
            kept_at=kept_at,
            report=report,
        )


_BESIDE_SETTINGS = {
    function.__name__: tuple(
        name
        for name, parameter in signature(function).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    )
    for function in (train, train_population)
}
"""Other arguments of these functions, listed beside the settings if a name is unknown."""


def _require_batches(config: TrainConfig, n_rows: int) -> None:
    """Refuse batches of more rows than there are."""
    if config.batch_size is not None and config.batch_size > n_rows:
        raise XorMiError(
            f"batch_size is {config.batch_size}, of {n_rows} rows; give at most {n_rows}, "
            "or leave it out for all rows at every step"
        )


def _require_differing(start: Start, n_networks: int, *, n_rows: int, config: TrainConfig) -> None:
    """Refuse networks that would all be the same, and batches that cannot be drawn."""
    _require_batches(config, n_rows)
    is_drawn = config.input_noise or config.dropout or (config.batch_size or n_rows) < n_rows
    if start.flat is not None and n_networks > 1 and not is_drawn:
        raise XorMiError(
            f"{n_networks} networks that all start from init would be the same one; "
            "give n_networks=1, or what is drawn for each: input_noise, batch_size or dropout"
        )


def task_of(
    function: BooleanFunction,
    bits: Sequence[tuple[int, ...]],
    *,
    cfg: HookedMLPConfig,
    device: torch.device,
) -> Task:
    """The function on these rows."""
    labels = labels_of(function, cfg)[row_numbers(torch.tensor(bits))]
    return Task(rows=at_levels(bits, cfg).to(device), targets=labels.to(device), cfg=cfg)


def _wrong_rows(model: HookedMLP) -> tuple[str, ...]:
    """Names of the rows on which a decision is not the target's."""
    function = model.target_of()
    is_right = (decisions(model) == table_of(function)).all(1).tolist()
    judged_rows = zip(function.rows(), is_right, strict=True)
    return tuple(row_name(row) for row, right in judged_rows if not right)
