"""In what share of the networks that solve XOR is there exactly one circuit, and how far is it
proved? For six shapes, with 95 % Clopper-Pearson intervals:

    python benchmarks/verdicts.py [NETWORKS [DEEP_NETWORKS]] [--keep]

So many solved networks of each shape, 10,000 unless said otherwise, from seed 0 on; the last shape
has two hidden layers, is identified network by network, and may be given a number of its own. With
--keep the table is stored in benchmarks/verdicts.csv. Columns: exactly one joint reading, exactly
one circuit (joint readings that differ in idle units only are one), exactly one that every single
interchange bears out, exactly one that every joint interchange bears out, and none that does.
All by the default smallest margin of a live unit. Ten minutes on one core, nearly all of it for
the last shape."""

import sys
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch
from solved import trained_batches

from xor_mi.population import census, verdict_shares

TABLE = Path(__file__).parent / "verdicts.csv"
SHAPES: list[tuple[str, tuple[int, ...]]] = [
    ("relu", (2,)),
    ("sigmoid", (2,)),
    ("relu", (3,)),
    ("tanh", (3,)),
    ("relu", (4,)),
    ("relu", (3, 3)),
]
AT_ONCE = 1000
"""Networks are trained and identified so many at once, until enough are solved."""


def census_of_solved(act_fn: str, hidden: tuple[int, ...], n_networks: int) -> pd.DataFrame:
    """The census of the first n networks that solve XOR, by their seeds."""
    found: list[pd.DataFrame] = []
    for population in trained_batches(act_fn, hidden, AT_ONCE):
        networks = census(population, progress=False)
        found.append(networks[networks["solved"]])
        if sum(map(len, found)) >= n_networks:
            break
    return pd.concat(found, ignore_index=True).head(n_networks)


def main() -> None:
    """Train, identify and print, shape by shape; keep the table if asked to."""
    numbers = [int(word) for word in sys.argv[1:] if word != "--keep"]
    n_networks = numbers[0] if numbers else 10_000
    n_deep = numbers[1] if len(numbers) > 1 else n_networks
    torch.set_num_threads(1)
    tables: list[pd.DataFrame] = []
    for act_fn, hidden in SHAPES:
        start = perf_counter()
        networks = census_of_solved(act_fn, hidden, n_deep if len(hidden) > 1 else n_networks)
        shares = verdict_shares(networks)
        name = f"{'-'.join(map(str, (2, *hidden, 1)))} {act_fn}"
        print(f"\n{name}: {len(networks)} solved networks, {perf_counter() - start:.0f} s")
        for line in shares.to_dict("records"):
            interval = f"{line['ci_low']:.4f} to {line['ci_high']:.4f}"
            print(f"  {line['counted']:12} {line['share']:.4f}  ({interval})")
        shares.insert(0, "network", name)
        shares.insert(1, "n_solved", len(networks))
        tables.append(shares)
    table = pd.concat(tables, ignore_index=True)
    short = table.pivot(index="network", columns="counted", values="share")
    order = list(tables[0]["counted"])
    print(f"\n{short.loc[[one['network'].iloc[0] for one in tables], order].round(3).to_string()}")
    if "--keep" in sys.argv:
        table.to_csv(TABLE, index=False, float_format="%.5f", lineterminator="\n")


if __name__ == "__main__":
    main()
