"""Do both engines find the same shares? `python benchmarks/engines.py [--networks 100000]`

The same seeds are trained by each. A network of one is that of the other but for the last bits,
which may come to another network where training is unstable; so shares are compared, with their
95 % intervals (Clopper-Pearson). 100,000 networks take the torch engine a CPU minute.

Of the seeds 0 to 99,999, torch 2.13 on a processor with AVX-512, both columns with their intervals:

    solved           .2199 (.2173 to .2225)    .2199 (.2173 to .2224)
    x0>x1 | x1>x0    .5525 (.5459 to .5591)    .5527 (.5461 to .5593)
    OR & ~AND        .4475 (.4409 to .4541)    .4473 (.4407 to .4539)

99.94 % of the networks have the same family in both, and 99.81 % stop at the same step."""

import argparse
import sys
import time

import pandas as pd

from xor_mi import census, train_population
from xor_mi.kinds import EngineName
from xor_mi.metrics import share_interval
from xor_mi.population import family_shares

AT_ONCE = 10_000
ENGINES: tuple[EngineName, ...] = ("torch", "numba")


def networks_of(engine: EngineName, n_networks: int) -> pd.DataFrame:
    """A census of the seeds from 0 on, and on stderr what training took."""
    parts, spent = [], 0.0
    for seed in range(0, n_networks, AT_ONCE):
        n_here = min(AT_ONCE, n_networks - seed)
        start = time.process_time()
        population = train_population("XOR", n_here, seed=seed, engine=engine, progress=False)
        spent += time.process_time() - start
        parts.append(census(population, progress=False))
        print(f"\r{engine}: {seed + n_here:,} of {n_networks:,}", end="", file=sys.stderr)
    print(f"; training took {spent:.0f} CPU seconds", file=sys.stderr)
    return pd.concat(parts, ignore_index=True)


def counts_of(networks: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """How many are solved, of all, and how many of these are of each family: what -> count, n."""
    n_solved = int(networks["solved"].sum())
    families = family_shares(networks)
    return {"solved": (n_solved, len(networks))} | {
        family: (int(count), n_solved)
        for family, count in zip(families["family"], families["n_networks"], strict=True)
    }


def main() -> None:
    """A line per share; ends with 1 where two intervals do not meet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=100_000)
    n_networks = parser.parse_args().networks
    censuses = {engine: networks_of(engine, n_networks) for engine in ENGINES}
    by_torch, by_numba = (counts_of(censuses[engine]) for engine in ENGINES)
    all_meet = True
    print(f"{'what':20} {'torch':>8} {'interval':>17} {'numba':>8} {'interval':>17}  meet")
    for what in by_torch | by_numba:
        # a family that one engine never finds is none of its solved ones
        one = share_interval(*by_torch.get(what, (0, by_torch["solved"][0])))
        other = share_interval(*by_numba.get(what, (0, by_numba["solved"][0])))
        meet = one.low <= other.high and other.low <= one.high
        all_meet &= meet
        figures = [
            f"{found.share:8.4f} {found.low:8.4f} {found.high:8.4f}" for found in (one, other)
        ]
        print(f"{what:20} {' '.join(figures)}  {'yes' if meet else 'NO'}")
    same = {
        column: (censuses["torch"][column] == censuses["numba"][column]).mean()
        for column in ("solved", "steps", "family")
    }
    print("the same in both:", ", ".join(f"{name} {share:.2%}" for name, share in same.items()))
    sys.exit(not all_meet)


if __name__ == "__main__":
    main()
