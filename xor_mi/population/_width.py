"""Why two hidden units? How often training solves the task, for each width."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from math import nan

import pandas as pd

from xor_mi.errors import XorMiError, whole_number
from xor_mi.kinds import EngineName, Target
from xor_mi.population._census import share_columns
from xor_mi.progress import progress_bar
from xor_mi.training import Population, TrainConfig, train_population
from xor_mi.training._engine import say_what_numba_saves
from xor_mi.truth import BooleanFunction

PUBLISHED: dict[tuple[str, str], dict[int, float]] = {
    ("relu", "adam"): {2: 0.28, 3: 0.52, 4: 0.68, 5: 0.81, 6: 0.91, 7: 0.97},
    ("relu", "sgd"): {2: 0.23, 3: 0.47, 4: 0.70, 5: 0.80, 6: 0.89, 7: 0.89},
    ("sigmoid", "adam"): {2: 0.79, 3: 0.98, 4: 1.0, 5: 1.0, 6: 1.0, 7: 1.0},
    ("sigmoid", "sgd"): {2: 0.90, 3: 1.0, 4: 1.0, 5: 1.0, 6: 1.0, 7: 1.0},
}
"""(act_fn, optimizer) -> hidden width -> share of random starts that converge on XOR.

2-h-1 networks, full batch: Swirszcz, Czarnecki and Pascanu 2016, arXiv 1611.06310, table 1. Their
initialisation, learning rate and number of steps differ from ours: compare the trend, not the
numbers.
"""


def width_study(
    target: Target = "XOR",
    n_networks: int = 2000,
    *,
    widths: Iterable[int] = range(1, 8),
    act_fns: str | Iterable[str] = ("relu", "sigmoid"),
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int | None = None,
    engine: EngineName | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train n networks at each width and count those that decide every row as the target does.

    Columns: act_fn, width, engine (that trained them), n_networks, n_solved, rate, ci_low, ci_high
    (95 % Clopper-Pearson), published (`PUBLISHED`; NaN if no share is published for this width, or
    if the target, the loss or any option such as noise or weight decay differs from that of the
    published networks). That one unit is never enough for XOR is not a matter of luck: see
    `threshold_functions`.

    Args:
        engine: as in `train_population`.

    Raises:
        XorMiError: settings that cannot be trained.
    """
    n_networks = whole_number("n_networks", n_networks, at_least=1)
    config = TrainConfig.of(config)
    act_fns = [act_fns] if isinstance(act_fns, str) else act_fns
    if not isinstance(widths, Iterable) or isinstance(widths, str):
        raise XorMiError(f"widths is {widths!r}; give several, such as range(1, 8)")
    if not isinstance(act_fns, Iterable):
        raise XorMiError(f"act_fns is {act_fns!r}; give names, such as ['relu', 'tanh']")
    studies = list(product(act_fns, widths))
    if engine is None:
        say_what_numba_saves(n_networks * len(studies))
    rates = []
    for act_fn, width in progress_bar(studies, doing="training", unit="width", progress=progress):
        population = train_population(
            target,
            n_networks,
            hidden=width,
            seed=seed,
            config=replace(config, act_fn=act_fn),
            n_inputs=n_inputs,
            engine=engine,
            progress=False,
        )
        n_solved = int(population.solved.sum())
        rate = {"act_fn": act_fn, "width": width, "engine": population.engine}
        rate |= {"n_networks": n_networks, "n_solved": n_solved}
        rate |= share_columns(n_solved, n_networks, name="rate")
        rate["published"] = _published(population, config).get(width, nan)
        rates.append(rate)
    return pd.DataFrame(rates)


def _published(population: Population, config: TrainConfig) -> dict[int, float]:
    """Width -> published share, for networks trained as the published ones were."""
    # in all else they have the defaults
    alike = TrainConfig(
        lr=config.lr,
        max_steps=config.max_steps,
        stop_loss=config.stop_loss,
        optimizer=config.optimizer,
        act_fn=config.act_fn,
        out_act_fn=config.out_act_fn,
    )
    if config != alike or population.cfg.target != BooleanFunction.of("XOR"):
        return {}
    return PUBLISHED.get((population.cfg.act_fns[0], config.optimizer), {})
