"""How fast are many networks trained and identified, and how soon does that begin?
`python benchmarks/population.py`

Ratios and seconds of this run. What is compared runs in turns, and the best of each counts: other
work on the machine only makes a run longer."""

import os
import subprocess
import sys
import tempfile
import time

import torch

from xor_mi import HookedMLP, HookedMLPConfig, census, identify_circuit, train_population
from xor_mi.population import run_census

FIRST_USE = """
import time
import xor_mi.training
xor_mi.training.train_population("XOR", 2, engine="torch", max_steps=2, progress=False)
start = time.process_time()
xor_mi.training.train_population("XOR", 2, engine="numba", max_steps=2, progress=False)
print(time.process_time() - start)
"""


def seconds(call, clock=time.perf_counter):
    """Wall seconds, or those of another clock, and what came out."""
    start = clock()
    found = call()
    return clock() - start, found


def plain(steps=200):
    """A plain PyTorch loop over one network."""
    model = HookedMLP(HookedMLPConfig(target="XOR"))
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    x, y = model.rows(), torch.tensor([[0.0], [1], [1], [0]])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
        optimizer.step()


def at_once(hidden=2):
    """As many networks as one core trains in about half a second."""
    return train_population("XOR", 10_000, hidden=hidden, progress=False)


def against_a_loop(rounds=5):
    """Wall seconds: a plain loop over 2,000 steps; 10,000 networks, of width 2 and of 8; their
    identification.
    """
    best = [float("inf")] * 4
    with torch.random.fork_rng():
        plain(20)
        for _ in range(rounds):
            loop = 10 * seconds(plain)[0]
            two, population = seconds(at_once)
            eight, _ = seconds(lambda: at_once(8))
            found, _ = seconds(lambda population=population: census(population, progress=False))
            best = [min(pair) for pair in zip(best, (loop, two, eight, found), strict=True)]
    return best


def deep(n_networks=1000, n_alone=20):
    """Seconds for a network of two hidden layers, identified alone, and with others at once."""
    census(train_population("XOR", 20, hidden=(3, 3), seed=n_networks))  # what is done once
    population = train_population("XOR", n_networks, hidden=(3, 3))
    models = [population[number] for number in range(n_alone)]
    alone, _ = seconds(lambda: [identify_circuit(m, with_evidence=False) for m in models])
    at_once, _ = seconds(lambda: census(population))
    return alone / n_alone, at_once / n_networks


def steps_a_second(rounds=5):
    """Network-steps of one core, by its own clock."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    runs = [seconds(at_once, time.process_time) for _ in range(rounds)]
    torch.set_num_threads(n_threads)
    return max(int(population.steps.sum()) / spent for spent, population in runs)


def first_use(rounds=3):
    """CPU seconds until numba trains: with nothing kept from before, and then."""

    def spent(folder):
        process = subprocess.run(
            [sys.executable, "-c", FIRST_USE],
            env=os.environ | {"NUMBA_CACHE_DIR": folder, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            text=True,
        )
        return float(process.stdout)

    with tempfile.TemporaryDirectory() as folder:
        first = spent(folder)
        return first, min(spent(folder) for _ in range(rounds))


def end_to_end(n_networks=100_000):
    """Seconds that a census of so many takes on all cores, files and all."""
    with tempfile.TemporaryDirectory() as folder:
        return seconds(lambda: run_census("XOR", n_networks, directory=f"{folder}/census"))[0]


def main():
    """Some lines; returns the figures by name."""
    train_population("XOR", 2, max_steps=2, progress=False)  # compiled, or read from the disk
    loop, two, eight, found = against_a_loop()
    print(
        f"per network, 2,000 steps: plain loop {loop:.2f} s, at once {two / 1e4 * 1e6:.0f} us: "
        f"ratio {loop / two * 1e4:.0f}"
    )
    print(
        f"width 8 against width 2: {eight / two:.2f}; identifying against training: "
        f"{found / two:.2f}"
    )
    alone, together = deep()
    print(
        f"2-3-3-1 identified: one by one {alone * 1e3:.1f} ms a network, at once "
        f"{together * 1e3:.2f} ms: ratio {alone / together:.0f}"
    )
    steps = steps_a_second()
    print(f"one core: {steps:.3g} network-steps a second")
    first, cached = first_use()
    print(f"compiled in {first:.1f} CPU seconds, read from the disk in {cached:.2f}")
    tenth = end_to_end()
    print(f"100,000 networks trained, identified and written: {tenth:.1f} s")
    return {
        "loop / at once": loop / two * 1e4,
        "network-steps of 2-2-1, one core, a second": steps,
        "width 8 / width 2": eight / two,
        "identifying / training": found / two,
        "2-3-3-1 one by one / at once": alone / together,
        "training compiled, first use, CPU s": first,
        "training compiled before, CPU s": cached,
        "10^6 networks of 2-2-1, end to end, s (10 x 10^5)": 10 * tenth,
    }


if __name__ == "__main__":
    main()
