"""What decides where training takes a network, and what those that fail are stuck in.

    python benchmarks/endings.py [NETWORKS [NUDGED]]

Trains so many networks 2-2-1 of XOR (10,000 unless said otherwise), ReLU and tanh, from seed 0 on,
with the settings by default, and prints for each activation: the kinds of what networks are stuck
in, with nudges of NUDGED (200) of each kind; how many of each kind ten times as many steps would
have solved; which signs of the first weights lead where; and how often the end is predicted right
at steps 0 to 1,000, on the half that nothing was fitted on. The tables of
docs/results/endings.md. Some three minutes on one core with numba.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter

import numpy as np
import pandas as pd
import torch

from xor_mi.population import outcome_by_sign_pattern, predict_ending, stuck_shares
from xor_mi.population._start import sign_patterns
from xor_mi.population._stuck_kinds import Stage
from xor_mi.training import Population, train_population
from xor_mi.truth import truth_rows


def main() -> None:
    """Train, and print three tables per activation."""
    numbers = [int(word) for word in sys.argv[1:]]
    n_networks = numbers[0] if numbers else 10_000
    n_nudged = numbers[1] if len(numbers) > 1 else 200
    torch.set_num_threads(1)
    pd.set_option("display.width", 200, "display.max_columns", 20, "display.max_rows", 100)
    for act_fn in ("relu", "tanh"):
        start = perf_counter()
        population = train_population("XOR", n_networks, act_fn=act_fn, progress=False)
        n_failing = n_networks - int(population.solved.sum())
        print(f"\n2-2-1 {act_fn}: {n_failing:,} of {n_networks:,} networks fail")
        tables: dict[str, Callable[[], pd.DataFrame]] = {
            "what they are stuck in": partial(stuck_shares, population, n_nudged=n_nudged),
            "ten times as many steps": partial(solved_later, population),
            "which units die": partial(deaths, population),
            "where first signs lead": partial(outcome_by_sign_pattern, population),
            "predicted": partial(predict_ending, population),
        }
        for title, table in tables.items():
            shown = table(progress=False)
            print(f"\n{title} ({perf_counter() - start:.0f} s since training began)")
            print(shown.to_string(index=False, float_format=lambda number: f"{number:.4g}"))


def solved_later(population: Population, *, progress: bool) -> pd.DataFrame:
    """Of the networks of each kind, how many the same training of ten times as many steps solves.

    Columns kind, n_networks, n_solved, n_even: how many say next to nothing, with a loss within
    0.003 of that of even guesses on all rows, log 2.
    """
    assert population.config is not None
    longer = train_population(
        "XOR",
        len(population),
        config=replace(population.config, max_steps=10 * population.config.max_steps),
        progress=progress,
    )
    stage = Stage(population.cfg, list(truth_rows(2)))
    fails = ~population.solved
    state = stage.state_of(population.flat[fails].T)
    found = pd.DataFrame({"kind": state.kinds, "n_networks": 1})
    found["n_solved"] = longer.solved[fails].numpy().astype(int)
    found["n_even"] = (np.abs(state.losses - np.log(2)) < 0.003).astype(int)
    return found.groupby("kind").sum().reset_index()


def deaths(population: Population, *, progress: bool) -> pd.DataFrame:  # noqa: ARG001
    """How many hidden units end constant on all rows, by the signs of the weights they start with.

    Columns signs, n_units, n_dead.
    """
    weight, _ = population.start[0]
    signs = [sign_patterns(weight[:, [unit]]) for unit in range(weight.shape[1])]
    dead = Stage(population.cfg, list(truth_rows(2))).state_of(population.flat.T).dead
    found = pd.DataFrame({"signs": np.concatenate(signs), "n_units": 1, "n_dead": dead.ravel() * 1})
    return found.groupby("signs").sum().reset_index()


if __name__ == "__main__":
    main()
