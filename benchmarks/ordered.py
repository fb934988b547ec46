"""What do three levels explain that two do not? Trained networks, and untrained ones to compare.

    python benchmarks/ordered.py [networks]

Networks of one hidden layer are trained on XOR, and `identify_circuit(levels=3)` reads those that
solve it. Such a network has at most one circuit that passes joint interchange, whatever number of
levels is allowed: two values of a unit are at one level exactly if no joint interchange is decided
otherwise when the one takes the place of the other. So either two levels per unit are enough, or
three are, or some unit needs four; and where a margin is required, the one circuit has it or has
not. The same is asked of networks that were never trained, held against whatever they compute,
constants apart: what three levels explain of these, nobody meant."""

import sys
from collections.abc import Iterable, Iterator
from math import inf
from typing import Literal

import pandas as pd
import torch
from tqdm import tqdm

from xor_mi.circuits import OrderedCircuit, identify_circuit
from xor_mi.metrics import decisions, share_interval
from xor_mi.model import HookedMLP
from xor_mi.training import TrainConfig, train_population

Activation = Literal["tanh", "relu"]
SHAPES: tuple[tuple[Activation, int], ...] = (("tanh", 3), ("relu", 3), ("relu", 4))
MARGINS = (0.0, 0.01, 0.05, 0.1)
"""Circuits with a smaller margin of a live unit are left out."""


def trained(act_fn: Activation, width: int, n_networks: int) -> Iterator[HookedMLP]:
    """Those that solve XOR."""
    population = train_population(
        "XOR", n_networks, hidden=width, config=TrainConfig(act_fn=act_fn), progress=False
    )
    for index in population.solved.nonzero().flatten().tolist():
        yield population[index]


def untrained(act_fn: Activation, width: int, n_networks: int) -> Iterator[HookedMLP]:
    """Weights about as large as training makes them; those that decide nothing are left out."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(n_networks):
        hidden, readout = (
            3 * torch.randn(shape, generator=generator) for shape in ((width, 2), (1, width))
        )
        bias, last = (torch.randn(n, generator=generator) for n in (width, 1))
        model = HookedMLP.from_weights([(hidden, bias), (readout, last)], act_fn=act_fn)
        if set(decisions(model).flatten().tolist()) == {0, 1}:
            yield model


def study(models: Iterable[HookedMLP]) -> pd.DataFrame:
    """One line per network: how many levels its circuit needs (0 where three are not enough), its
    smallest margin, and how many units have three levels.
    """
    lines = []
    for model in models:
        circuit = identify_circuit(
            model, min_margin=0.0, levels=3, with_evidence=False, progress=False
        )
        if circuit.verdict == "not_computing":  # a row on the threshold
            continue
        passing = circuit.passing or (circuit.ordered.passing if circuit.ordered else ())
        assert len(passing) <= 1
        n_levels, margin, n_units = 0, inf, 0
        for only in passing:
            n_levels, margin = 2, only.smallest_margin
            if isinstance(only, OrderedCircuit):
                n_levels, n_units = 3, len(only.three_levels)
        lines.append({"n_levels": n_levels, "margin": margin, "n_units": n_units})
    return pd.DataFrame(lines)


def share(number: int, n: int) -> str:
    """With its 95 % interval."""
    found = share_interval(number, n)
    return f"{number} of {n}: {found.share:.1%} ({found.low:.1%} to {found.high:.1%})"


def main() -> None:
    """Shape by shape, margin by margin."""
    n_networks = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    torch.set_num_threads(1)
    for act_fn, width in SHAPES:
        for name, made in (("trained on XOR", trained), ("untrained", untrained)):
            models = made(act_fn, width, n_networks)
            bar = tqdm(models, desc=f"2-{width}-1 {act_fn}, {name}", unit="network", disable=None)
            found = study(bar)
            print(f"\n2-{width}-1 {act_fn}, {name}: {len(found)} networks")
            two, three = found[found["n_levels"] == 2], found[found["n_levels"] == 3]
            n_rest = len(found) - len(two)
            print(f"  no two-level circuit passes in {share(n_rest, len(found))}")
            for margin in MARGINS:
                clear = three[three["margin"] >= margin]
                by_units = clear["n_units"].value_counts().sort_index().to_dict()
                units = ", ".join(f"{k} in {n}" for k, n in by_units.items())
                print(
                    f"  of these a three-level one does, margin at least {margin:g}, in "
                    f"{share(len(clear), n_rest)}; units of three levels: {units or 'none'}"
                )
                lost = int((two["margin"] < margin).sum())
                if lost:
                    print(f"    ({lost} two-level circuits have a smaller margin)")


if __name__ == "__main__":
    main()
