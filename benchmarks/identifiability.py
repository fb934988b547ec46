"""How many explanations do trained networks have? The study of Meloux et al. (2025, arXiv
2502.20914), by exhaustion.

    python benchmarks/identifiability.py [networks] [widths such as 2,3,4,5]

Networks 2-k-k-1 with LeakyReLU(0.01) on hidden units and output are trained on XOR as the released
code does: torch's default start, AdamW at 1e-3, batches of 100 from 4,000 rows, until the mean
squared error of an epoch is below 0.01, or 3 epochs pass without improvement, or 1,000 are over.
For those that solve the task: perfect subcircuits, interpretations, formulas and alignments, under
both presets and with all ordered pairs. Published means for k = 3: 52.3 perfect circuits, 2,270
interpretations each, 2.70 formulas, 9.86 mappings."""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import leaky_relu
from tqdm import tqdm

from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.search import (
    Convention,
    count_interpretations,
    count_perfect_subcircuits,
    find_alignments,
    find_subcircuits,
)

ROWS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0])
EPOCHS, PATIENCE, REPEATS, BATCH, TARGET = 1000, 3, 1000, 100, 0.01


def train(width: int, n_networks: int, noise: float = 0.0) -> list[HookedMLP]:
    """Train all networks side by side; those that solve the task on clean rows are returned."""
    generator = torch.Generator().manual_seed(0)
    sizes = (2, width, width, 1)
    layers = []
    for d_in, d_out in pairwise(sizes):
        bound = d_in**-0.5
        shapes = ((n_networks, d_out, d_in), (n_networks, d_out, 1))
        layers.append(
            [
                ((2 * torch.rand(shape, generator=generator) - 1) * bound).requires_grad_()
                for shape in shapes
            ]
        )

    def outputs(x: torch.Tensor) -> torch.Tensor:
        for weight, bias in layers:
            x = leaky_relu(weight @ x + bias, 0.01)
        return x[:, 0]

    optimiser = torch.optim.AdamW([parameter for layer in layers for parameter in layer], lr=1e-3)
    final = [[parameter.detach().clone() for parameter in layer] for layer in layers]
    best = torch.full((n_networks,), torch.inf)
    waited = torch.zeros(n_networks)
    active = torch.ones(n_networks, dtype=torch.bool)
    solved = torch.zeros(n_networks, dtype=torch.bool)
    bar = tqdm(range(EPOCHS), desc=f"training 2-{width}-{width}-1", unit="epoch")
    for _ in bar:
        order = torch.rand((n_networks, 4 * REPEATS), generator=generator).argsort(1) % 4
        total = torch.zeros(n_networks)
        for batch in order.split(BATCH, dim=1):
            rows = ROWS[batch].transpose(1, 2)
            rows = rows + noise * torch.randn(rows.shape, generator=generator) if noise else rows
            losses = (outputs(rows) - LABELS[batch]).square().mean(1)
            optimiser.zero_grad(set_to_none=True)
            losses.sum().backward()
            optimiser.step()
            total += losses.detach() * BATCH / (4 * REPEATS)
        waited = torch.where(total < best, 0, waited + 1)
        best = best.minimum(total)
        done = active & ((total < TARGET) | (waited >= PATIENCE))
        for kept, layer in zip(final, layers, strict=True):
            for old, new in zip(kept, layer, strict=True):
                old[done | active] = new.detach()[done | active]
        solved |= done & (total < TARGET)
        active &= ~done
        bar.set_postfix(solved=int(solved.sum()), training=int(active.sum()))
        if not active.any():
            break
    found = []
    for index in solved.nonzero().flatten().tolist():
        weights = [(weight[index], bias[index, :, 0]) for weight, bias in final]
        names = {"act_fn": "leaky_relu", "negative_slope": 0.01, "out_act_fn": "leaky_relu"}
        model = HookedMLP.from_weights(weights, **names, decision_threshold=0.5, target="XOR")
        if decisions(model).flatten().tolist() == [0, 1, 1, 0]:
            found.append(model)
    return found


def study(models: list[HookedMLP], interpret: bool) -> pd.DataFrame:
    """One row per network and convention."""
    code, paper = Convention.meloux_code(), Convention.meloux_paper()
    named = {
        "code": code,
        "code, all pairs": replace(code, pairs="all"),
        "paper": paper,
        "default": Convention(),
    }
    rows = []
    for number, model in enumerate(tqdm(models, desc="searching", unit="network")):
        for name, convention in named.items():
            alignments = find_alignments(model, convention=convention)
            row = {
                "network": number,
                "convention": name,
                "formulas": len(alignments.aligned),
                "alignments": alignments.n_minimal,
            }
            if interpret:
                parts = list(find_subcircuits(model, convention=convention, progress=False))
                counts = [
                    count_interpretations(model, part, None, convention=convention)
                    for part in parts
                ]
                row |= {
                    "perfect": len(parts),
                    "interpretations": sum(counts),
                    "per_circuit": float(np.mean(counts or [np.nan])),
                }
            else:
                row |= {
                    "perfect": count_perfect_subcircuits(
                        model, None, convention=convention, progress=False
                    )
                }
            rows.append(row)
    return pd.DataFrame(rows)


def interval(values: np.ndarray) -> str:
    """Mean and its 95 % bootstrap interval."""
    generator = np.random.default_rng(0)
    means = generator.choice(values, (10_000, len(values))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.3g} ({low:.3g} to {high:.3g})"


def main() -> None:
    """Train, search and print, width by width."""
    n_networks = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    widths = [int(width) for width in (sys.argv[2] if len(sys.argv) > 2 else "3").split(",")]
    torch.set_num_threads(1)
    for width in widths:
        models = train(width, n_networks)
        found = study(models, interpret=width <= 3)
        print(f"\n2-{width}-{width}-1: {len(models)} of {n_networks} networks solve XOR")
        columns = [
            c
            for c in ("perfect", "per_circuit", "interpretations", "formulas", "alignments")
            if c in found
        ]
        for name, group in found.groupby("convention", sort=False):
            print(
                f"  {name}: "
                + ", ".join(f"{c} {interval(group[c].dropna().to_numpy(float))}" for c in columns)
            )
            print(
                " " * (len(name) + 4)
                + ", ".join(f"median {c} {group[c].median():.6g}" for c in columns)
            )
        wide = found.pivot(index="network", columns="convention", values=["formulas", "alignments"])
        for column in ("formulas", "alignments"):
            drop = (wide[column]["code"] - wide[column]["code, all pairs"]).to_numpy(float)
            aligned = (wide[column]["code"] > 0).mean()
            print(
                f"  all ordered pairs, not each two once: {column} drop by {interval(drop)}; "
                f"code finds one in {aligned:.0%}"
            )


if __name__ == "__main__":
    main()
