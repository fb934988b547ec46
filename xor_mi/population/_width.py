"""Why two hidden units? How often training solves the task at each width, beside published
numbers.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from xor_mi.population._census import rate
from xor_mi.training import TrainConfig, train_population

PUBLISHED: dict[tuple[str, str], dict[int, float]] = {
    ("relu", "adam"): {2: 0.28, 3: 0.52, 4: 0.68, 5: 0.81, 6: 0.91, 7: 0.97},
    ("relu", "sgd"): {2: 0.23, 3: 0.47, 4: 0.70, 5: 0.80, 6: 0.89, 7: 0.89},
    ("sigmoid", "adam"): {2: 0.79, 3: 0.98, 4: 1.0, 5: 1.0, 6: 1.0, 7: 1.0},
    ("sigmoid", "sgd"): {2: 0.90, 3: 1.0, 4: 1.0, 5: 1.0, 6: 1.0, 7: 1.0},
}
"""Share of random starts of 2-h-1 networks that converge on XOR, full batch: Swirszcz, Czarnecki
and Pascanu 2016, arXiv 1611.06310, table 1. Their start, learning rate and number of steps are not
ours: the trend compares, the numbers need not."""


def width_study(
    target: Any = "XOR",
    n_networks: int = 2000,
    *,
    widths: Iterable[int] = range(1, 8),
    act_fns: str | Iterable[str] = ("relu", "sigmoid"),
    config: TrainConfig | None = None,
    seed: int = 0,
    n_inputs: int = 2,
    progress: bool = True,
) -> pd.DataFrame:
    """Train n networks at each width and count those that decide every row as the target.

    Columns: act_fn, width, n_networks, n_solved, rate, ci_low, ci_high (95 % Clopper-Pearson),
    published (NaN where there is none, and for other targets, losses, noise or weight decay). That
    one unit never is enough is no matter of luck: see `threshold_functions`."""
    config, lines = config or TrainConfig(), []
    act_fns = [act_fns] if isinstance(act_fns, str) else act_fns
    for act_fn in act_fns:
        for width in widths:
            population = train_population(
                target,
                n_networks,
                hidden=width,
                seed=seed,
                config=replace(config, act_fn=act_fn),
                n_inputs=n_inputs,
                progress=progress,
            )
            n_solved = int(population.solved.sum())
            alike = (
                population.cfg.target.name == "XOR"
                and config.loss_fn == "bce"
                and not config.input_noise
                and not config.weight_decay
            )
            known = PUBLISHED.get((act_fn, config.optimizer), {}) if alike else {}
            line = {
                "act_fn": act_fn,
                "width": width,
                "n_networks": n_networks,
                "n_solved": n_solved,
            }
            lines.append(
                line | rate(n_solved, n_networks) | {"published": known.get(width, float("nan"))}
            )
    return pd.DataFrame(lines)
