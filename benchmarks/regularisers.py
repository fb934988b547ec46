"""Do regularisers change how many explanations a network has? The comparison that is planned, and
reported, in docs/results/regularisers.md.

    python benchmarks/regularisers.py [--networks 10000] [--out regularisers] [--jobs 2]

Every arm is stored in a file of its own in the folder when it is done; the same command goes on
with those that are missing, and prints the tables of all."""

import argparse
from collections.abc import Callable
from functools import reduce
from itertools import product
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import norm
from tqdm import tqdm

from xor_mi.model import HookedMLP
from xor_mi.population import census
from xor_mi.search import Convention, compare_conventions, find_alignments, find_subcircuits
from xor_mi.search._mask_cube import minimal_among
from xor_mi.training import Population, train_population
from xor_mi.training._population import SeedLayers

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
TOGETHER = 20
"""Networks that a process takes at a time."""
TIE = 1e-9
"""An output that is no further from a threshold lies on it."""
ROWS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Floats = NDArray[np.float64]


class Subcircuits:
    """All 9,625 subcircuits of 2-3-3-1, to be tried in many networks at once.

    `find_subcircuits` tries them in one network, in ten times the time. An edge into the output is
    kept where its unit is.

    Attributes:
        first, second: which units of the layer before each unit of the first and the second hidden
            layer reads, as bits, [subcircuit, unit]; 0 for a unit that is left out.
        edges: the kept edges into hidden units, as bits, [subcircuit].
    """

    def __init__(self) -> None:
        found = [
            (first, second)
            for first in product(range(4), repeat=3)
            for second in product(range(8), repeat=3)
            if self.hangs_together(first, second)
        ]
        self.first = np.array([first for first, _ in found])
        self.second = np.array([second for _, second in found])
        self.edges = self.first @ np.array([1, 4, 16]) + self.second @ np.array([64, 512, 4096])

    @staticmethod
    def hangs_together(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
        """Whether all inputs are read, all units that are kept read and are read, and one is."""
        kept = sum(1 << unit for unit, read in enumerate(first) if read)
        all_read = reduce(or_, first)
        units_read = reduce(or_, second)
        return all_read == 3 and units_read == kept and any(second)

    def outputs(self, layers: SeedLayers, slope: float) -> Floats:
        """Of networks with these layers, [network, subcircuit, row]; dropped edges give zero."""
        (w1, b1), (w2, b2), (w3, b3) = [
            (weight.double().numpy(), bias.double().numpy()) for weight, bias in layers
        ]
        sets_of_2 = np.arange(4)[:, None] >> np.arange(2) & 1
        sets_of_3 = np.arange(8)[:, None] >> np.arange(3) & 1
        pre = np.einsum("nui,si,ri->nusr", w1, sets_of_2, ROWS) + b1[:, :, None, None]
        post = np.where(pre > 0, pre, slope * pre)
        post[:, :, 0] = 0
        # all 64 choices for the first layer, in the order of `first` read as digits
        choices = np.array(list(product(range(4), repeat=3)))
        values = np.stack([post[:, unit][:, choices[:, unit]] for unit in range(3)], axis=-1)
        pre = np.einsum("nku,su,ncru->nkcsr", w2, sets_of_3, values) + b2[:, :, None, None, None]
        post = np.where(pre > 0, pre, slope * pre)
        post[:, :, :, 0] = 0
        terms = post * w3[:, 0, :, None, None, None]
        choice = self.first @ np.array([16, 4, 1])
        outputs = b3[:, 0, None, None] + np.zeros((len(w3), len(choice), 4))
        for unit in range(3):
            outputs += terms[:, unit, choice, self.second[:, unit]]
        return outputs

    def counted(self, layers: SeedLayers, slope: float) -> pd.DataFrame:
        """Per network the perfect ones by both conventions, and the minimal ones."""
        outputs = self.outputs(layers, slope)
        is_one = np.array([False, True, True, False])
        is_right = np.where(is_one, outputs > 0.5 + TIE, outputs < 0.5 - TIE)
        is_perfect = np.asarray(is_right.all(-1))
        # the code rounds the outputs, and leaves out the subcircuit of all units and edges
        rounds_to_1 = (outputs > 0.5 + TIE) & (outputs < 1.5 - TIE)
        rounds_to_0 = (outputs >= -0.5 - TIE) & (outputs <= 0.5 + TIE)
        by_code = np.where(is_one, rounds_to_1, rounds_to_0).all(-1)
        by_code &= ~((self.first > 0).all(1) & (self.second > 0).all(1))
        return pd.DataFrame(
            {
                "perfect": is_perfect.sum(1),
                "perfect by code": by_code.sum(1),
                "minimal": [self.n_minimal(of_network) for of_network in is_perfect],
            }
        )

    def n_minimal(self, is_perfect: NDArray[np.bool_]) -> int:
        """How many of the perfect ones have no other within them."""
        of_masks = np.zeros(2**15, dtype=bool)
        of_masks[self.edges[is_perfect]] = True
        return int(minimal_among(of_masks).sum())


def counted_in_all(population: Population, place: int) -> pd.DataFrame:
    """What is counted in some networks beside what the census says.

    Args:
        place: of the first of them among all that solve the task.
    """
    torch.set_num_threads(1)
    models = [population[number] for number in range(len(population))]
    if population.cfg.d_hidden == (3, 3):
        counts = Subcircuits().counted(population.weights, population.cfg.negative_slope)
    else:
        found = [find_subcircuits(model, progress=False) for model in models]
        code = Convention.meloux_code()
        by_code = [find_subcircuits(model, convention=code, progress=False) for model in models]
        counts = pd.DataFrame(
            {
                "perfect": [len(one) for one in found],
                "perfect by code": [len(one) for one in by_code],
                "minimal": [len(one.minimal) for one in found],
            }
        )
    counts["alignments"] = [find_alignments(model, progress=False).n_minimal for model in models]
    n_interpreted = min(len(models), max(0, N_INTERPRETED - place))
    counts["interpretations"] = [
        *map(n_interpretations, models[:n_interpreted]),
        *[np.nan] * (len(models) - n_interpreted),
    ]
    return counts


def n_interpretations(model: HookedMLP) -> float:
    """Of all perfect subcircuits together."""
    table = compare_conventions(model, conventions={"default": None}, progress=False).frame()
    return float(table["n_interpretations"].iloc[0])


def chosen(population: Population, numbers: list[int]) -> Population:
    """Some networks of a population."""
    return Population.from_flat(
        population.flat[numbers],
        cfg=population.cfg,
        seeds=population.seeds[numbers],
        steps=population.steps[numbers],
        losses=population.losses[numbers],
        solved=population.solved[numbers],
    )


def of_arm(settings: dict[str, Any], n_networks: int, n_jobs: int) -> pd.DataFrame:
    """One line per network that solves the task: seed and counts."""
    population = train_population("XOR", n_networks, **(LEARNING | settings))
    numbers = population.solved.nonzero().flatten().tolist()
    networks = census(population).iloc[numbers].reset_index(drop=True)
    parts = [
        delayed(counted_in_all)(chosen(population, numbers[first : first + TOGETHER]), first)
        for first in range(0, len(numbers), TOGETHER)
    ]
    bar = tqdm(total=len(numbers), desc="counting", unit="network", disable=None)
    found: list[pd.DataFrame] = []
    # a list, if it were not told to be a generator: joblib does not say which
    counts: Any = Parallel(n_jobs=n_jobs, return_as="generator")(parts)
    with bar:
        for of_part in counts:
            found.append(of_part)
            bar.update(len(of_part))
    lines = pd.concat(found, ignore_index=True)
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
