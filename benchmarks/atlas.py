"""What does the atlas of least widths cost, class by class, and what limits it?

    python benchmarks/atlas.py           every tenth class of four inputs, as `make bench` does
    python benchmarks/atlas.py --all     all 222 classes of four inputs: some four minutes of CPU

For each part that a line of the atlas is made of: the CPU seconds of one core for all classes, its
share of everything, the seconds for the median class, and for the slowest, by name. The largest
share is what limits it.
"""

import argparse
import statistics
import time

import torch

from xor_mi.least_units._build import NETWORKS, counted_sets, least_number, trained
from xor_mi.progress import progress_bar
from xor_mi.training import train_population
from xor_mi.truth import npn_classes

N_NETWORKS = 2000
EVERY = 10
SLOWEST = "the slowest of every tenth class of 4 inputs, least numbers and sets, s"
PARTS = {
    "threshold": "least threshold units, by exhaustion",
    "threshold_direct": "the same with direct connections",
    "relu": "least ReLU units, by the solver",
    "relu_direct": "the same with direct connections",
    "sets": "sets of gates at that width",
    "training": f"{N_NETWORKS:,} networks at two widths",
}


def seconds(call):
    """CPU seconds of this process, and what came out."""
    start = time.process_time()
    found = call()
    return time.process_time() - start, found


def seconds_of(function):
    """Part -> CPU seconds for one class."""
    took, least = {}, {}
    for column, (unit, direct) in NETWORKS.items():
        took[column], least[column] = seconds(
            lambda unit=unit, direct=direct: least_number(function, unit, direct=direct)
        )
    took["sets"], _ = seconds(lambda: counted_sets(function, least["threshold"]))
    width = max(1, least["relu"])
    took["training"] = sum(
        seconds(lambda n=n: trained(function, n, n_networks=N_NETWORKS))[0]
        for n in (width, width + 1)
    )
    return took


def main(every=EVERY):
    """Name -> measured."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # compiled, and the tables of threshold functions made, before anything is measured
    train_population("XOR", 1, engine="numba", progress=False)
    seconds_of(npn_classes(2)[-1].representative)
    functions = [entry.representative for entry in npn_classes(4)][::every]
    bar = progress_bar(functions, doing="timing the atlas", unit="class")
    took = {function.name: seconds_of(function) for function in bar}
    torch.set_num_threads(n_threads)
    print(f"{len(functions)} classes of 4 inputs, CPU s on one core")
    in_all = sum(map(sum, (parts.values() for parts in took.values())))
    print(f"{'part':44} {'all':>8} {'share':>6} {'median':>8} {'slowest':>8}")
    for part, text in PARTS.items():
        of_all = {name: parts[part] for name, parts in took.items()}
        name, slowest = max(of_all.items(), key=lambda one: one[1])
        median = statistics.median(of_all.values())
        part_in_all = sum(of_all.values())
        share = part_in_all / in_all
        print(f"{text:44} {part_in_all:8.2f} {share:6.0%} {median:8.3f} {slowest:8.2f}  {name}")
    exact = {
        name: sum(value for part, value in parts.items() if part != "training")
        for name, parts in took.items()
    }
    print(f"{'everything':44} {in_all:8.2f}")
    return {SLOWEST: max(exact.values())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="all 222 classes of four inputs")
    main(every=1 if parser.parse_args().all else EVERY)
