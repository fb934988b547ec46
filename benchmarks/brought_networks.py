"""200 networks of each of eight kinds, trained in plain PyTorch and brought in by one call each:
`python benchmarks/brought_networks.py`.

Outputs and decisions are compared with PyTorch's, circuits with the brute force in
`tests/brought.py`, which shares nothing with the package. The tests do the same with fewer."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from brought import KINDS
from test_brought_networks import compared

N_NETWORKS = 200


def main():
    """One line per kind; an assertion fails where anything differs."""
    for name in KINDS:
        start = time.perf_counter()
        verdicts = compared(name, N_NETWORKS)
        listed = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        print(
            f"{name:<28} {N_NETWORKS} brought in   {listed}   {time.perf_counter() - start:.1f} s"
        )


if __name__ == "__main__":
    main()
