"""target + seed -> TrainResult or Population."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Integral
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from xor_mi.errors import XorMiError
from xor_mi.metrics import decision, decisions
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.training._arithmetic import ACTIVATION_RULES, Task, views
from xor_mi.training._config import TrainConfig
from xor_mi.training._fit import BLOCK, fit
from xor_mi.truth import BooleanFunction, as_row, row_name, truth_rows


@dataclass(frozen=True)
class TrainResult:
    """One trained network and how training went. `solved` is a fact about the final network, not
    about the loss.
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

    def __str__(self) -> str:
        task = self.model.cfg.target.name
        outcome = (
            f"solved {task}"
            if self.solved
            else f"did NOT solve {task}: wrong or undecided on {', '.join(self.wrong_rows)}"
        )
        return f"seed {self.seed} {outcome} after {self.steps} steps (loss {self.final_loss:.4f})"


@dataclass(frozen=True, eq=False)
class Population:
    """Networks of one shape along a leading seed axis. `population[i]` is a `HookedMLP`.

    Attributes:
        cfg: the configuration they share (each has its own seed).
        seeds, steps, losses, solved: one entry per network; loss is the mean over its rows at the
            step it was kept.
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

    def __getitem__(self, index: Any) -> HookedMLP:
        try:
            index = range(len(self))[operator.index(index)]
        except TypeError:
            raise XorMiError(
                f"{index!r} is no one network; take them one by one: [population[i] for i in range(3)]"
            ) from None
        layers = [(weight[index], bias[index]) for weight, bias in self.weights]
        shared = {
            name: getattr(self.cfg, name)
            for name in (
                "act_fn",
                "out_act_fn",
                "negative_slope",
                "loss_fn",
                "target",
                "decision_threshold",
            )
        }
        return HookedMLP.from_weights(layers, seed=int(self.seeds[index]), **shared)


def train(
    target: Any = "XOR",
    *,
    hidden: Any = (2,),
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int = 2,
    progress: bool = True,
) -> TrainResult:
    """Train one network from its seed. The same seed gives the same network, bit for bit, on the
    same machine.

    Args:
        target: gate name, formula or `BooleanFunction` (of n_inputs; a BooleanFunction brings its
            own number).
        hidden: width of each hidden layer; a number means one layer.
        progress: show a progress bar with the loss.

    >>> result = train("XOR", seed=29)
    >>> result.solved, result.steps < 2000
    (True, True)
    """
    population = train_population(
        target, 1, hidden=hidden, seed=seed, config=config, n_inputs=n_inputs, progress=progress
    )
    if not all(torch.isfinite(value).all() for layer in population.weights for value in layer):
        raise XorMiError(
            f"training diverged: the weights of seed {seed} are no longer finite; give a lower lr"
        )
    model = population[0]
    decided, table = decisions(model), torch.tensor(model.cfg.target.tables).T
    wrong = tuple(
        row_name(row)
        for row, right in zip(model.cfg.target.rows(), (decided == table).all(1), strict=True)
        if not right
    )
    return TrainResult(
        model, not wrong, int(population.steps[0]), seed, population.loss_history[0], wrong
    )


def train_population(
    target: Any,
    n_networks: Any,
    *,
    hidden: Any = (2,),
    seed: Any = 0,
    config: Any = None,
    n_inputs: int = 2,
    progress: bool = True,
    rows: Any = None,
    device: Any = "cpu",
) -> Population:
    """Train n networks at once, with seeds seed, seed + 1, ...; each comes out as it would alone,
    on a CPU to the last bit.

    Args:
        rows: train on these input rows only ('0010' or bits); `solved` still speaks of all rows.
        device: where to train; the population itself is on the CPU.

    Raises:
        XorMiError: settings that cannot be trained, a target whose width is not the network's, rows
            that are none, or no such device.
    """
    whole = all(
        isinstance(number, Integral) and not isinstance(number, bool)
        for number in (n_networks, seed)
    )
    if not whole or n_networks < 1 or not 0 <= seed < 2**62 - n_networks:
        raise XorMiError(
            f"{n_networks!r} networks from seed {seed!r} asked for; give at least 1, and a seed of at least 0 (whole numbers, below 2^62)"
        )
    n_networks, seed, config = int(n_networks), int(seed), config or TrainConfig()
    if not isinstance(config, TrainConfig):
        raise XorMiError(f"config is {config!r}; give a TrainConfig, such as TrainConfig(lr=0.1)")
    function = BooleanFunction.of(
        target, target.n_inputs if isinstance(target, BooleanFunction) else n_inputs
    )
    shared = {
        "act_fn": config.act_fn,
        "out_act_fn": config.out_act_fn,
        "loss_fn": config.loss_fn,
        "target": function,
    }
    cfg = HookedMLPConfig(function.n_inputs, hidden, function.n_outputs, seed=seed, **shared)
    task, seeds = _task(cfg, rows, _device(device)), torch.arange(seed, seed + n_networks)
    start = initial_parameters(cfg.layer_sizes, seeds, progress).to(task.rows.device)
    with tqdm(
        total=config.max_steps * -(-n_networks // BLOCK),
        desc="training",
        unit="step",
        disable=None if progress else True,
    ) as bar:
        finished = 0

        def report(steps: int, more: int) -> None:
            nonlocal finished
            finished += more
            if more:
                bar.set_postfix_str(f"{finished} of {n_networks} solved", refresh=False)
            bar.update(steps)

        fitted = fit(start, seeds.to(task.rows.device), task, config, report)
    flat = fitted.flat.cpu()
    layers = tuple(
        (w.permute(2, 0, 1).contiguous(), b.T.contiguous()) for w, b in views(flat, cfg.layer_sizes)
    )
    history = (fitted.history,) if fitted.history else ()
    return Population(
        cfg, seeds, fitted.steps.cpu(), fitted.losses.cpu(), _solved(flat, cfg), layers, history
    )


def initial_parameters(
    layer_sizes: Any, seeds: Int[Tensor, " seed"], progress: bool = False
) -> Float[Tensor, "parameter seed"]:
    """`initial_weights` of every seed, flat: W, then b, layer by layer; each seed draws from a
    generator of its own.
    """
    bounds = torch.cat(
        [
            torch.full((d_out * (d_in + 1),), d_in**-0.5, dtype=torch.float32)
            for d_in, d_out in pairwise(layer_sizes)
        ]
    )
    drawn, generator = torch.empty(len(seeds), len(bounds), dtype=torch.float32), torch.Generator()
    for line, seed in zip(
        drawn,
        tqdm(seeds.tolist(), desc="drawing", unit="network", disable=None if progress else True),
        strict=True,
    ):
        torch.rand(len(bounds), generator=generator.manual_seed(seed), out=line)
    return ((drawn * 2 - 1) * bounds).T.contiguous()


def _device(asked: Any) -> torch.device:
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise XorMiError(
            f"no device {str(asked)!r} here ({str(error).splitlines()[0]}); use device='cpu'"
        ) from None
    return device


def _task(cfg: HookedMLPConfig, rows: Any, device: torch.device) -> Task:
    """All rows of the target, or those asked for."""
    if rows is not None and not isinstance(rows, Iterable):
        raise XorMiError(f"rows is {rows!r}; name the input rows to train on, such as ['00', '01']")
    chosen = truth_rows(cfg.d_in) if rows is None else [as_row(row, cfg.d_in) for row in rows]
    if not chosen:
        raise XorMiError("rows is empty; name the input rows to train on, or leave it out for all")
    table = dict(zip(cfg.target.rows(), zip(*cfg.target.tables, strict=True), strict=True))
    goal = [table[row] for row in chosen]
    return Task(
        torch.tensor(chosen, device=device).float(), torch.tensor(goal, device=device).float(), cfg
    )


def _solved(flat: Tensor, cfg: HookedMLPConfig) -> Tensor:
    """Which networks decide every row as the target says: a fact about decisions, undecided is not
    right.
    """
    task, right = _task(cfg, None, flat.device), []
    for part in flat.split(BLOCK, 1):
        outputs = ACTIVATION_RULES[cfg.out_act_fn][0](
            task.forward(views(part, cfg.layer_sizes))[-1][0]
        )
        right.append(
            (decision(outputs, float(cfg.decision_threshold or 0.0)) == task.targets).all(1).all(0)
        )
    return torch.cat(right)
