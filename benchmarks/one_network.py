"""How long does it take to identify one network, and all that the slider of a report asks for?

    python benchmarks/one_network.py

CPU seconds on one thread. A tanh network 2-9-1 trained to XOR has some two thousand joint readings;
the slider of a report asks for the circuit at each of its positions.
"""

import time
from collections.abc import Callable

import torch

from xor_mi import identify_circuit, train
from xor_mi.margins import move_weight
from xor_mi.model import HookedMLP


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def slider(model: HookedMLP) -> float:
    """CPU seconds of the circuits at all positions of the slider of a report."""
    moved = move_weight(model, progress=False)
    return sum(
        seconds(lambda at=at: identify_circuit(at, with_evidence=False, progress=False))
        for at in moved.models
    )


def main() -> dict[str, float]:
    """Measure, print, and return the figures by name."""
    torch.set_num_threads(1)
    wide = train("XOR", hidden=(9,), act_fn="tanh", seed=0, progress=False).model
    parity = train("x0 ^ x1 ^ x2 ^ x3", hidden=(5,), act_fn="tanh", seed=3, progress=False).model
    figures = {
        "2-9-1 tanh identified, s": seconds(lambda: identify_circuit(wide, progress=False)),
        "slider of a 4-5-1 report, s": slider(parity),
    }
    for name, value in figures.items():
        print(f"{name}: {value:.2f}")
    return figures


if __name__ == "__main__":
    main()
