"""networks that solve XOR, for the benchmarks: trained so many at once, by their seeds."""

from collections.abc import Iterator
from itertools import count

from xor_mi import HookedMLP
from xor_mi.training import Population, TrainConfig, train_population


def trained_batches(act_fn: str, hidden: tuple[int, ...], at_once: int) -> Iterator[Population]:
    """Networks of seeds 0, 1, ..., without an end."""
    for seed in count(step=at_once):
        yield train_population(
            "XOR",
            at_once,
            hidden=hidden,
            seed=seed,
            config=TrainConfig(act_fn=act_fn),
            progress=False,
        )


def solved_networks(
    act_fn: str, hidden: tuple[int, ...], n_networks: int, *, at_once: int
) -> list[HookedMLP]:
    """The first n that solve XOR."""
    found: list[HookedMLP] = []
    for population in trained_batches(act_fn, hidden, at_once):
        found += [population[number] for number in population.solved.nonzero().flatten().tolist()]
        if len(found) >= n_networks:
            break
    return found[:n_networks]
