"""How long does the exam take: 100 networks 2-3-3-1, every method, two cores?

    python benchmarks/exam.py [--networks N]

Each of two processes trains the same networks and grades every second of them. Seconds per method
are CPU seconds of the method alone; what is left is the truth of each network (all 2^18 sets of its
edges) and the marking.
"""

import argparse
import multiprocessing
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from time import perf_counter, process_time

import torch

from xor_mi.exam import METHODS, Answer, ExamMethod, ExamProblem, Grades, grade, joined, task

TASK = "XOR 2-3-3-1 relu"
N_PROCESSES = 2


def timed(method: ExamMethod, seconds: Counter[str]) -> ExamMethod:
    """The same method, whose seconds are added up."""

    def run(problem: ExamProblem) -> Answer:
        start = process_time()
        try:
            return method.run(problem)
        finally:
            seconds[method.name] += process_time() - start

    return replace(method, run=run)


def graded(part: int, n_networks: int) -> tuple[Grades, Counter[str], float]:
    """The grades of every second network, the seconds of each method, and those of everything."""
    torch.set_num_threads(1)
    networks = task(TASK).networks(n_networks, progress=False)
    names = list(networks)[part::N_PROCESSES]
    seconds: Counter[str] = Counter()
    methods: dict[str, Callable[[ExamProblem], Answer]] = {
        name: timed(method, seconds) for name, method in METHODS.items()
    }
    grades = grade(methods, {name: networks[name] for name in names}, "default", progress=False)
    return grades, seconds, process_time()


def main(n_networks: int = 100) -> dict[str, float]:
    """Measure, print, and return the figure by name."""
    start = perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(N_PROCESSES, mp_context=context) as pool:
        parts = list(pool.map(graded, range(N_PROCESSES), repeat(n_networks)))
    wall = perf_counter() - start
    grades = joined([part for part, _, _ in parts])
    seconds = sum((of_part for _, of_part, _ in parts), Counter[str]())
    for name, spent in seconds.most_common():
        print(f"{name:40} {spent:7.2f} s, {spent / len(grades.networks) * 1e3:7.1f} ms a network")
    failed = sorted({one.method for one in grades.grades if one.why_not})
    of_everything = sum(spent for _, _, spent in parts)
    print(f"CPU: methods {sum(seconds.values()):.1f} s, everything {of_everything:.1f} s")
    print(f"failed somewhere: {', '.join(failed) or 'none'}")
    print(
        f"{len(grades.networks)} networks {TASK}, {len(grades.methods)} methods, "
        f"{N_PROCESSES} processes: {wall:.1f} s"
    )
    return {"exam of 100 networks 2-3-3-1, all methods, s": wall / n_networks * 100}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=100)
    main(parser.parse_args().networks)
