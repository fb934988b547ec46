"""Does a slow implementation, which shares nothing with the package, come to the same verdicts?

    python benchmarks/verdicts_slowly.py [NETWORKS [RANDOM_NETWORKS]]

So many networks that solve XOR, 300 unless said otherwise, of each of the six shapes of
`benchmarks/verdicts.py`, and so many with random weights, 100 unless said otherwise, of each of
eight more. `tests/oracles/verdict.py` is held against `identify_circuit`: verdict, joint readings,
circuits at every level of proof; of every circuit its live units and their bits, its tables, its
interchanges and its smallest margin; and which circuit is the first. Prints what differs (a network
whose verdict changes with the last bits of a sum is only counted), and for the trained networks the
shares with exactly one circuit at every level, by the slow way alone. A quarter of an hour on one
core."""

import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from networks import random_network
from oracles.verdict import LEVELS, SlowVerdict, is_sure
from slow_verdicts import differences, net_of, slow_verdict_of
from solved import solved_networks

from xor_mi import HookedMLP, identify_circuit
from xor_mi.errors import TooManyReadings

TRAINED = (
    ("relu", (2,)),
    ("sigmoid", (2,)),
    ("relu", (3,)),
    ("tanh", (3,)),
    ("relu", (4,)),
    ("relu", (3, 3)),
)
RANDOM = (
    ("relu", (2, 3, 1)),
    ("tanh", (2, 3, 1)),
    ("relu", (2, 4, 2)),
    ("sigmoid", (2, 3, 2, 1)),
    ("relu", (2, 3, 3, 1)),
    ("tanh", (2, 3, 3, 1)),
    ("relu", (3, 3, 1)),
    ("tanh", (3, 2, 2, 2)),
)
AT_ONCE = 500
"""Networks are trained so many at once, until enough are solved."""


def compared(models: list[HookedMLP], name: str) -> list[SlowVerdict]:
    """The slow verdicts, after printing what differs."""
    start, verdicts, n_differ, n_too_many, n_unsure = perf_counter(), [], 0, 0, 0
    for number, model in enumerate(models):
        try:
            circuit = identify_circuit(model, with_evidence=False, progress=False)
        except TooManyReadings:
            n_too_many += 1
            continue
        verdicts.append(slow_verdict_of(model))
        found = differences(verdicts[-1], circuit)
        if found and not is_sure(net_of(model), verdicts[-1]):
            n_unsure += 1
        elif found:
            n_differ += 1
            print(f"  {name}, network {number}: " + "; ".join(found))
    listed = ", ".join(f"{n} {one}" for one, n in Counter(v.verdict for v in verdicts).items())
    refused = f", {n_too_many} with too many readings left out" if n_too_many else ""
    unsure = f", {n_unsure} differ by a rounding" if n_unsure else ""
    print(
        f"{name}: {n_differ} of {len(verdicts)} networks differ ({listed}{refused}{unsure}), "
        f"{perf_counter() - start:.0f} s",
        flush=True,
    )
    return verdicts


def main() -> None:
    """Compare, shape by shape."""
    numbers = [int(word) for word in sys.argv[1:]]
    n_networks = numbers[0] if numbers else 300
    n_random = numbers[1] if len(numbers) > 1 else 100
    torch.set_num_threads(1)
    for act_fn, hidden in TRAINED:
        name = f"trained {'-'.join(map(str, (2, *hidden, 1)))} {act_fn}"
        verdicts = compared(solved_networks(act_fn, hidden, n_networks, at_once=AT_ONCE), name)
        one_reading = sum(one.n_readings == 1 for one in verdicts) / len(verdicts)
        listed = ", ".join(
            f"{level} {sum(one.n_at(level) == 1 for one in verdicts) / len(verdicts):.3f}"
            for level in LEVELS
        )
        none = sum(one.n_at("joint") == 0 for one in verdicts) / len(verdicts)
        print(f"  exactly one: reading {one_reading:.3f}, {listed}; none at joint {none:.3f}")
    for act_fn, sizes in RANDOM:
        models = [random_network(seed, act_fn, sizes=sizes) for seed in range(n_random)]
        compared(models, f"random {'-'.join(map(str, sizes))} {act_fn}")


if __name__ == "__main__":
    main()
