"""Every ratio beside its goal, on this machine, in one table: `make bench`, or `python
benchmarks/table.py [--keep]`.

With --keep the figures are stored in benchmarks/results.json; without, they are shown beside the
stored ones. Ratios compare; seconds depend on the machine. Two to four minutes on two quiet cores,
and at the end it says how many it took."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import atlas
import exam
import one_network
import patching
import population
import search
import torch
import trajectories

RESULTS = Path(__file__).parent / "results.json"
GOALS = {
    "16 pairs x 64 units of a 2-64-1 network": (">=", 20.0),
    "16 pairs x 1,024 units of a 2-1024-1 network": (">=", 8.0),
    "3 pairs x 128 neurons of a 2-layer transformer": (">=", 3.0),
    "plain forward / hooked forward, 4096 inputs, 2-64-1": (">=", 0.63),
    "plain forward / hooked forward, 4 inputs, 2-64-1": (">=", 0.8),
    "network-steps of 2-2-1, one core, a second": (">=", 5e7),
    "loop / at once": (">=", 30_000.0),
    "10^6 networks of 2-2-1, end to end, s (10 x 10^5)": ("<=", 60.0),
    "training compiled, first use, CPU s": ("<=", 10.0),
    "training compiled before, CPU s": ("<=", 0.5),
    "width 8 / width 2": ("<=", 3.0),
    "identifying / training": ("<=", 1.0),
    "10,000 networks at 41 checkpoints / training alone, ratio": ("<=", 3.0),
    "one hooked forward each / 9,625 subcircuits": (">=", 200.0),
    "2-4-4-1 counted, s": ("<=", 0.3),
    "2-5-5-1 counted, s": ("<=", 0.25),
    "2-6-6-1 counted, s": ("<=", 240.0),
    "2-5-5-1 foretold / counted, or the inverse": ("<=", 3.0),
    "2-6-6-1 foretold / counted, or the inverse": ("<=", 3.0),
    "alignments of one network, ordered formulas, s": ("<=", 0.1),
    "truth over the 2^18 edge masks of 2-3-3-1, ms": ("<=", 50.0),
    "identifiability report of 2-3-3-1, s": ("<=", 0.5),
    "2-9-1 tanh identified, s": ("<=", 2.0),
    "slider of a 4-5-1 report, s": ("<=", 3.0),
    "exam of 100 networks 2-3-3-1, all methods, s": ("<=", 120.0),
    "GiB at most": ("<=", 2.0),
    "the slowest of every tenth class of 4 inputs, least numbers and sets, s": ("<=", 3.0),
    "xor-mi --help, s": ("<=", 0.3),
    "import of the pytest plugin, s": ("<=", 0.05),
}


def machine() -> str:
    """Processor, cores, Python, torch."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        cpu = next(
            (
                line.split(":")[1].strip()
                for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                if line.startswith("model name")
            ),
            cpu,
        )
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{cpu}, {os.cpu_count()} cores; {versions}"


def started(code: str) -> float:
    """Seconds that a fresh interpreter takes for some code, without its own start; the best of
    five.
    """

    def run(text: str) -> float:
        start = perf_counter()
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True)
        return perf_counter() - start

    return min(run(code) for _ in range(5)) - min(run("pass") for _ in range(5))


def beside_goal(name: str, value: float) -> tuple[str, str]:
    """The goal as text, and "yes" or "NO"; both empty where there is none."""
    if name not in GOALS:
        return "", ""
    sign, goal = GOALS[name]
    reached = value >= goal if sign == ">=" else value <= goal
    return f"{sign} {goal:g}", "yes" if reached else "NO"


def main() -> None:
    """Measure, print, and keep if asked to."""
    start = perf_counter()
    print(f"{machine()}\ntwo to four minutes on two quiet cores\n", flush=True)
    search_figures = search.main()  # first: its memory is measured too
    patching.main()
    figures = (
        {entry["work"]: entry["measured"] for entry in patching.MEASURED}
        | population.main()
        | search_figures
        | one_network.main()
        | exam.main()
        | trajectories.main()
        | atlas.main()
    )
    figures["xor-mi --help, s"] = started(
        "import sys; sys.argv = ['xor-mi', '--help']; from xor_mi.cli import main; main()"
    )
    figures["import of the pytest plugin, s"] = started(
        "import pytest; import xor_mi.pytest_plugin"
    ) - started("import pytest")
    assert GOALS.keys() <= figures.keys(), f"not measured: {GOALS.keys() - figures.keys()}"
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))["figures"] if RESULTS.exists() else {}
    print(f"\n{machine()}\n{'work':62} {'measured':>10} {'goal':>10} {'reached':>8} {'stored':>10}")
    for name, value in figures.items():
        goal, reached = beside_goal(name, value)
        before = f"{stored[name]:.4g}" if name in stored else ""
        print(f"{name:62} {value:10.4g} {goal:>10} {reached:>8} {before:>10}")
    print(f"\nmeasured in {(perf_counter() - start) / 60:.1f} minutes")
    if "--keep" in sys.argv:
        rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
        text = json.dumps({"machine": machine(), "figures": rounded}, indent=2)
        RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
