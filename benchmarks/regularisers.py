"""Do regularisers change how many explanations a network has? The comparison that is planned, and
reported, in docs/regularisers.md.

    python benchmarks/regularisers.py [--networks 10000] [--out regularisers] [--jobs 2]

Every arm is stored in a file of its own in the folder when it is done; the same command goes on
with those that are missing, and prints the tables of all."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.stats import norm

from xor_mi.model import HookedMLP
from xor_mi.population import census
from xor_mi.search import Convention, compare_conventions, find_alignments, find_subcircuits
from xor_mi.training import train_population

LEARNING = {"lr": 0.01, "max_steps": 5000, "stop_loss": 0.01, "loss_fn": "mse"}
DEEP = {"hidden": (3, 3), "act_fn": "leaky_relu"}
BASELINE = "none"
ARMS: dict[str, dict[str, Any]] = {
    BASELINE: DEEP,
    "L1 0.0001": DEEP | {"l1": 1e-4},
    "L1 0.001": DEEP | {"l1": 1e-3},
    "L1 0.01": DEEP | {"l1": 1e-2},
    "L2 0.0001": DEEP | {"weight_decay": 1e-4},
    "L2 0.001": DEEP | {"weight_decay": 1e-3},
    "L2 0.01": DEEP | {"weight_decay": 1e-2},
    "dropout 0.01": DEEP | {"dropout": 0.01},
    "dropout 0.05": DEEP | {"dropout": 0.05},
    "dropout 0.1": DEEP | {"dropout": 0.1},
    "noise 0.05": DEEP | {"input_noise": 0.05},
    "noise 0.1": DEEP | {"input_noise": 0.1},
    "noise 0.2": DEEP | {"input_noise": 0.2},
}
WIDTHS: dict[str, dict[str, Any]] = {
    f"2-{width}-1": {"hidden": width, "act_fn": "leaky_relu"} for width in (2, 3, 4)
}
COUNTS = (
    "perfect",
    "perfect by code",
    "minimal",
    "readings",
    "circuits",
    "alignments",
    "interpretations",
)
N_INTERPRETED = 100
"""Interpretations are counted in so many networks of an arm."""


def counted(model: HookedMLP, *, interpreted: bool) -> dict[str, float]:
    """What is counted in one network, beside what the census says."""
    torch.set_num_threads(1)
    found = find_subcircuits(model, progress=False)
    by_code = find_subcircuits(model, convention=Convention.meloux_code(), progress=False)
    counts = {
        "perfect": len(found),
        "perfect by code": len(by_code),
        "minimal": len(found.minimal),
        "alignments": find_alignments(model, progress=False).n_minimal,
        "interpretations": np.nan,
    }
    if interpreted:
        table = compare_conventions(model, conventions={"default": None}, progress=False).frame()
        counts["interpretations"] = float(table["n_interpretations"].iloc[0])
    return counts


def of_arm(settings: dict[str, Any], n_networks: int, n_jobs: int) -> pd.DataFrame:
    """One line per network that solves the task: seed and counts."""
    population = train_population("XOR", n_networks, **(LEARNING | settings))
    numbers = population.solved.nonzero().flatten().tolist()
    networks = census(population).iloc[numbers].reset_index(drop=True)
    calls = [
        delayed(counted)(population[number], interpreted=place < N_INTERPRETED)
        for place, number in enumerate(numbers)
    ]
    lines = pd.DataFrame(list(Parallel(n_jobs=n_jobs, pre_dispatch="4 * n_jobs")(calls)))
    lines["seed"] = networks["seed"]
    lines["readings"] = networks["n_readings"]
    lines["circuits"] = networks["n_circuits_joint"]
    return lines


def stored(name: str, folder: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table of an arm, made where it is not there."""
    file = folder / f"{name.replace(' ', '-')}.csv"
    if not file.is_file():
        table = make()
        unfinished = file.with_suffix(".part")
        table.to_csv(unfinished, index=False)
        unfinished.rename(file)
    return pd.read_csv(file)


def change(arm: pd.Series, base: pd.Series, *, paired: bool) -> tuple[float, float, float, float]:
    """The difference of the means in per cent of the baseline's: it, its 95 % interval, p."""
    arm, base = arm.dropna(), base.dropna()
    if paired:
        both = arm.index.intersection(base.index)  # seeds
        arm, base = arm[both], base[both]
        difference = (arm - base).mean()
        error = (arm - base).std() / len(both) ** 0.5
    else:
        difference = arm.mean() - base.mean()
        error = (arm.var() / len(arm) + base.var() / len(base)) ** 0.5
    p = float(2 * norm.sf(abs(difference) / error)) if error else 1.0
    percent, reach = 100 * difference / base.mean(), 100 * 1.96 * error / base.mean()
    return percent, percent - reach, percent + reach, p


def holm(p_values: list[float]) -> list[float]:
    """p-values by Holm's correction for as many comparisons as there are."""
    order = np.argsort(p_values)
    corrected, largest = np.empty(len(p_values)), 0.0
    for place, number in enumerate(order):
        largest = max(largest, (len(p_values) - place) * p_values[number])
        corrected[number] = min(1.0, largest)
    return corrected.tolist()


def mean_text(values: pd.Series) -> str:
    """'53.5 ± 0.4': the mean and half of its 95 % interval."""
    values = values.dropna()
    return f"{values.mean():.4g} ± {1.96 * values.std() / len(values) ** 0.5:.2g}"


def print_means(tables: dict[str, pd.DataFrame], n_networks: int) -> None:
    """One line per arm: how many solve the task, and the mean of each count."""
    print(f"\n| arm | solved of {n_networks:,} | {' | '.join(COUNTS)} |")
    print("|---" * (len(COUNTS) + 2) + "|")
    for name, table in tables.items():
        cells = [mean_text(table[count]) for count in COUNTS]
        print(f"| {name} | {len(table):,} | {' | '.join(cells)} |")


def print_changes(tables: dict[str, pd.DataFrame], *, paired: bool) -> None:
    """One line per arm: each count against the baseline; * where Holm's p is below 0.05."""
    print(f"\n{'paired, seeds that both solve' if paired else 'all networks that an arm solves'}\n")
    print(f"| arm | {' | '.join(COUNTS)} |")
    print("|---" * (len(COUNTS) + 1) + "|")
    base = tables[BASELINE].set_index("seed")
    arms = {name: table.set_index("seed") for name, table in tables.items() if name != BASELINE}
    columns: list[list[str]] = []
    for count in COUNTS:
        found = [change(arm[count], base[count], paired=paired) for arm in arms.values()]
        corrected = holm([p for *_, p in found])
        columns.append(
            [
                f"{percent:+.1f} ({low:+.1f} to {high:+.1f}){'*' if p < 0.05 else ''}"
                for (percent, low, high, _), p in zip(found, corrected, strict=True)
            ]
        )
    for name, *cells in zip(arms, *columns, strict=True):
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    """Make what is missing, arm by arm, and print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("regularisers"))
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(exist_ok=True)
    tables: dict[str, pd.DataFrame] = {}
    for name, settings in (ARMS | WIDTHS).items():
        print(name, flush=True)
        tables[name] = stored(
            name,
            asked.out,
            lambda settings=settings: of_arm(settings, asked.networks, asked.jobs),
        )
    print_means(tables, asked.networks)
    compared = {name: tables[name] for name in ARMS}
    for paired in (True, False):
        print_changes(compared, paired=paired)


if __name__ == "__main__":
    main()
