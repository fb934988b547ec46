"""What does it cost to see circuits form, and when do they?

    python benchmarks/trajectories.py                 10,000 networks at 41 checkpoints
    python benchmarks/trajectories.py --events [N]    when what happens to N networks (10,000)
    python benchmarks/trajectories.py --events N FILE the same, drawn too (docs/how_to/*.png)
    python benchmarks/trajectories.py --halving       how often halving misses what is there

Without arguments: the CPU seconds of one core for training 10,000 networks 2-2-1, and for training
them again with 41 checkpoints and identifying all of them there, in turns; the best of each counts.
With --events: the share of networks that each event happens to, with its 95 % interval, and at
which steps. With --halving: the events of networks of several kinds, found by halving and by
looking at every step at which all rows are right.
"""

import sys
import time
from typing import Any

import torch

from xor_mi import train_population
from xor_mi.metrics import share_interval
from xor_mi.plots import event_steps_figure
from xor_mi.population import EVENTS, gates_over_time, trajectories
from xor_mi.population._events import events_of_all
from xor_mi.population._identified import Identities, identified
from xor_mi.population._paths import Paths, facts_of

N_NETWORKS = 10_000
RATIO = "10,000 networks at 41 checkpoints / training alone, ratio"

KINDS: dict[str, dict[str, Any]] = {
    "2-2-1": {},
    "2-3-1": {"hidden": 3},
    "2-2-1 tanh": {"act_fn": "tanh"},
    "2-2-1 l1": {"l1": 0.001},
    "2-2-1 sgd": {"optimizer": "sgd", "lr": 0.5},
    "2-2-1 noise": {"input_noise": 0.1},
}
"""Networks that halving is tried on."""


def seconds(call, clock=time.perf_counter):
    """Wall seconds, or those of another clock, and what came out."""
    start = clock()
    found = call()
    return clock() - start, found


def against_training(rounds=5):
    """CPU seconds of one core: training alone; training with 41 checkpoints and identifying."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        trained, population = seconds(
            lambda: train_population("XOR", N_NETWORKS, progress=False), time.process_time
        )
        shares, table = seconds(
            lambda population=population: gates_over_time(population, progress=False),
            time.process_time,
        )
        assert table["step"].nunique() == 41
        best = [min(pair) for pair in zip(best, (trained, shares), strict=True)]
    torch.set_num_threads(n_threads)
    return best


def steps_of_events(n_networks, picture=None):
    """When what happens to networks 2-2-1."""
    population = train_population("XOR", n_networks, progress=False)
    took, happened = seconds(lambda: trajectories(population))
    print(f"{n_networks:,} networks 2-2-1, every step, in {took:.0f} s")
    print(f"{'event':22} {'share':>7} {'95 %':>15} {'lines':>7}  steps at 5, 25, 50, 75, 95 %")
    for event in EVENTS:
        lines = happened[happened["event"] == event]
        share, low, high = share_interval(lines["seed"].nunique(), n_networks)
        steps = lines["step"].quantile([0.05, 0.25, 0.5, 0.75, 0.95]).tolist() if len(lines) else []
        quantiles = " ".join(f"{step:6.0f}" for step in steps)
        print(f"{event:22} {share:7.4f} {low:7.4f} {high:7.4f} {len(lines):7,}  {quantiles}")
    if picture is not None:
        event_steps_figure(happened).write_image(picture, scale=2)
    by_family = happened[happened["event"] == "reading_last_changes"].groupby("family")["step"]
    print("\nreading_last_changes, by family at the end")
    print(by_family.describe(percentiles=[0.05, 0.5, 0.95]).round(0).to_string())


def missed_by_halving(n_networks=1000, at_once=100):
    """Of how many networks some event is not found."""
    for name, settings in KINDS.items():
        n_differing = n_looked = n_right = 0
        for seed in range(0, n_networks, at_once):
            population = train_population(
                "XOR", at_once, seed=seed, checkpoints="every 1", progress=False, **settings
            )
            paths = Paths.of(population)
            facts = facts_of(paths.flat, paths.cfg, min_margin=0.01)
            n_right += int(facts.right.all(1).sum())
            identities = Identities(sum(paths.cfg.d_hidden))
            looked: list[int] = []
            found = []
            for every_step in (False, True):
                codes = identified(
                    paths,
                    facts,
                    identities,
                    require="joint",
                    min_margin=0.01,
                    every_step=every_step,
                    report=looked.append,
                )
                found.append(
                    list(events_of_all(paths, facts, codes, identities.known, trained=None))
                )
            n_looked += sum(looked) - int(facts.right.all(1).sum())
            n_differing += sum(a != b for a, b in zip(*found, strict=True))
        print(
            f"{name:12} {n_differing:4} of {n_networks:,} networks differ; {n_looked:,} of "
            f"{n_right:,} steps were looked at",
            flush=True,
        )


def main():
    """Name -> measured."""
    trained, identified_too = against_training()
    ratio = identified_too / trained
    print(
        f"{N_NETWORKS:,} networks 2-2-1, one core: trained in {trained:.2f} s; trained with 41 "
        f"checkpoints and identified at each in {identified_too:.2f} s, {ratio:.2f} times as long"
    )
    return {RATIO: ratio}


if __name__ == "__main__":
    if "--events" in sys.argv:
        numbers = [int(one) for one in sys.argv[1:] if one.isdigit()]
        pictures = [one for one in sys.argv[1:] if one.endswith(".png")]
        steps_of_events(*numbers or [N_NETWORKS], *pictures)
    elif "--halving" in sys.argv:
        missed_by_halving()
    else:
        main()
