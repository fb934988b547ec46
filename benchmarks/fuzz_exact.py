"""Does the package agree with slow, independent implementations, on any number of networks?

    python benchmarks/fuzz_exact.py [COMPARISONS] [--seed S] [--only TOPIC] [--case K] [--jobs J]

Networks are drawn (1-1-1 to 3-4-2 and 2-3-3-1; every activation; ordinary, whole-number, tied,
duplicated, zero and huge weights; other levels, argmax, steps, direct connections) and each is
compared, in every topic, with what `tests/oracles/` has for it, until so many single values were
compared, 100,000 unless said otherwise. A topic is a module `tests/fuzz_TOPIC.py`. Each mismatch is
one line with the number of its case: `--only TOPIC --seed S --case K` runs that one again. Values
that hang on a tie within rounding are counted apart as undecided, never as equal. Exit status 1 if
anything differs."""

import argparse
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from time import perf_counter
from typing import NamedTuple

from tqdm import tqdm

TESTS = Path(__file__).parent.parent / "tests"
CASES_AT_ONCE = 8
MOST_LINES = 20
"""Of each topic so many mismatches are printed."""


class Compared(NamedTuple):
    """What one topic came to, in so many cases."""

    n_cases: int = 0
    n_values: int = 0
    n_undecided: int = 0
    seconds: float = 0.0
    lines: tuple[str, ...] = ()

    def plus(self, other: "Compared") -> "Compared":
        """Both together."""
        return Compared(*(a + b for a, b in zip(self, other, strict=True)))  # type: ignore[operator]


def topics() -> list[str]:
    """Every `tests/fuzz_TOPIC.py` that there is."""
    return sorted(path.stem.removeprefix("fuzz_") for path in TESTS.glob("fuzz_*.py"))


def compared(topic: str, seed: int, cases: range) -> Compared:
    """Some cases of one topic, one after the other."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    import torch

    torch.set_num_threads(1)
    module = import_module(f"fuzz_{topic}")
    total = Compared()
    for case in cases:
        start = perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", category=UserWarning)
                n_values, wrong, *undecided = module.mismatches(Random(f"{topic} {seed} {case}"))
        except Exception as error:
            n_values, wrong, undecided = 0, [f"{type(error).__name__}: {error}"], []
        lines = tuple(f"{topic}, case {case}: {line}" for line in wrong)
        seconds = perf_counter() - start
        total = total.plus(Compared(1, n_values, sum(undecided), seconds, lines))
    return total


def rounds(
    n_values: int, names: list[str], seed: int, n_jobs: int
) -> Iterator[tuple[str, Compared]]:
    """(topic, what it came to), round after round of all topics, until enough was compared."""
    done, first = 0, 0
    with ProcessPoolExecutor(n_jobs) as pool:
        while done < n_values:
            last = first + n_jobs * CASES_AT_ONCE
            starts = range(first, last, CASES_AT_ONCE)
            asked = [(name, range(k, k + CASES_AT_ONCE)) for name in names for k in starts]
            work = pool.map(partial(_of_topic, seed), asked)
            for (name, _), found in zip(asked, work, strict=True):
                done += found.n_values
                yield name, found
            first = last


def _of_topic(seed: int, asked: tuple[str, range]) -> Compared:
    return compared(asked[0], seed, asked[1])


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("comparisons", nargs="?", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=topics(), action="append")
    parser.add_argument("--case", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    names = given.only or topics()
    totals = dict.fromkeys(names, Compared())
    if given.case is not None:
        for name in names:
            totals[name] = compared(name, given.seed, range(given.case, given.case + 1))
            print(*totals[name].lines, sep="\n")
    else:
        with tqdm(total=given.comparisons, unit="value", unit_scale=True) as bar:
            for name, found in rounds(given.comparisons, names, given.seed, given.jobs):
                n_before = len(totals[name].lines)
                totals[name] = totals[name].plus(found)
                bar.update(found.n_values)
                for line in found.lines[: max(0, MOST_LINES - n_before)]:
                    bar.write(line)

    columns = ("networks", "comparisons", "mismatches", "undecided", "seconds")
    print(f"\n{'topic':16}" + "".join(f"{column:>13}" for column in columns))
    everything = Compared()
    for name, one in [*totals.items(), ("all", None)]:
        one = everything if one is None else one
        everything = everything.plus(one) if name != "all" else everything
        numbers = (one.n_cases, one.n_values, len(one.lines), one.n_undecided)
        print(f"{name:16}" + "".join(f"{n:13,}" for n in numbers) + f"{one.seconds:13.1f}")
    sys.exit(int(bool(everything.lines)))


if __name__ == "__main__":
    main()
