"""When do rows come right that were never shown? The numbers of docs/results/generalising.md.

    python benchmarks/generalising.py [networks per draw of rows] [draws]

Each draw takes other rows to train on and other seeds. Shares are over all networks, with the least
and the largest share of any draw in brackets. One line per task, width and weight decay is printed
when it is done."""

import sys

import pandas as pd
import torch

from xor_mi.population import generalising
from xor_mi.truth import BooleanFunction

TASKS = {
    "parity of three among six": (BooleanFunction.of("x0 ^ x1 ^ x2", 6), (16,)),
    "majority of five": (BooleanFunction.from_callable(lambda *x: int(sum(x) >= 3), 5), (8,)),
    "identity of four": (BooleanFunction.of("x0, x1, x2, x3", 4), (16,)),
}
DECAYS = (0.0, 0.1)
N_IDENTIFIED = 6
"""So many networks of the first draw are identified."""
LATE = 4
"""All rows come right late where that takes so many times the steps that the rows seen take."""


def networks_of(
    task: BooleanFunction, width: int, decay: float, *, n_networks: int, n_draws: int
) -> pd.DataFrame:
    """The networks of all draws, with the number of the draw."""
    tables: list[pd.DataFrame] = []
    for draw in range(n_draws):
        settings = {"hidden": width, "seed": 10_000 * draw, "weight_decay": decay}
        found = generalising(task, n_networks, identify=False, progress=False, **settings)
        if draw == 0:
            some = generalising(task, N_IDENTIFIED, engine="numba", progress=False, **settings)
            found["verdict"] = some["verdict"].reindex(found.index, fill_value="")
        found["draw"] = draw
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def percent(holds: pd.Series, draws: pd.Series) -> str:
    """'83 (70-96)': the share of all networks, and of the draws with the least and the most."""
    by_draw = 100 * holds.groupby(draws).mean()
    return f"{100 * holds.mean():.0f} ({by_draw.min():.0f}-{by_draw.max():.0f})"


def line_of(found: pd.DataFrame) -> list[str]:
    """What is said of the networks of one task, width and weight decay."""
    has_both = found["first_fitted"].notna() & found["first_solved"].notna()
    solved = found[has_both]
    ratio = (solved["first_solved"] / solved["first_fitted"]).astype(float)
    is_late = has_both & (found["first_solved"] >= LATE * found["first_fitted"]).fillna(False)
    quartiles = ratio.quantile([0.25, 0.5, 0.75]).round(1).tolist() if len(ratio) else []
    weights = [
        f"{100 * found[name].median():.0f}"
        for name in ("own_weight_fitted", "own_weight_solved", "own_weight")
    ]
    verdicts = found["verdict"][found["verdict"] != ""].value_counts()
    return [
        percent(found["first_fitted"].notna(), found["draw"]),
        f"{found['first_fitted'].median():.0f}",
        percent(found["first_solved"].notna(), found["draw"]),
        percent(is_late.astype(bool), found["draw"]),
        percent(found["solved"], found["draw"]),
        " / ".join(map(str, quartiles)),
        f"{100 * found['held_out_fitted'].mean():.0f} / {100 * found['held_out'].mean():.0f}",
        " / ".join(weights),
        f"{100 * solved['unmixed'].astype(float).mean():.0f}",
        ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items()),
    ]


def main() -> None:
    """Print the table, line by line."""
    n_networks = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    n_draws = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    torch.set_num_threads(1)
    for task, (function, widths) in TASKS.items():
        for width in widths:
            for decay in DECAYS:
                found = networks_of(function, width, decay, n_networks=n_networks, n_draws=n_draws)
                print(f"| {task}, {width}, {decay} | {' | '.join(line_of(found))} |", flush=True)


if __name__ == "__main__":
    main()
