"""Does a verdict hang on anything that it must not hang on?

    python benchmarks/verdict_invariance.py [NETWORKS [PROCESSES]]

So many networks, 10,000 unless said otherwise, half of them trained on XOR and half with random
weights, are changed into others that are the same: hidden units renumbered, relu units rescaled,
tanh and sigmoid units complemented, inputs swapped, a dead unit added, dead units joined to the
biases, a unit split into two copies. Every network is changed in one of these ways, in turn, and in
all of them at once. Compared are the verdict, the set of circuits (as text that does not hang on
numbers or complements; where inputs are swapped, nor on their order), how far each is proved, on
how many single interchanges it is wrong, and which is the first. Prints every network where that
is another, with what it is about. Half an hour on two cores."""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from networks import random_network
from same_networks import CHANGES, changes_for, summary

from xor_mi import HookedMLP, identify_circuit, train_population
from xor_mi.errors import TooManyReadings

TRAINED = (
    ("relu", (2,)),
    ("relu", (3,)),
    ("tanh", (3,)),
    ("sigmoid", (3,)),
    ("relu", (4,)),
    ("relu", (3, 3)),
)
RANDOM = (
    ("relu", (2, 3, 1)),
    ("tanh", (2, 3, 1)),
    ("sigmoid", (2, 3, 1)),
    ("relu", (2, 4, 1)),
    ("tanh", (2, 2, 2, 1)),
    ("relu", (3, 3, 1)),
)
AT_ONCE = 50
"""Networks in one piece of work."""

Piece = tuple[str, str, tuple[int, ...], int, int]
"""Whether trained, activation, sizes, the first seed and how many networks."""


def made(piece: Piece) -> Iterator[tuple[int, HookedMLP]]:
    """The networks of a piece by their seeds; trained ones whatever they came to."""
    kind, act_fn, sizes, first, n_networks = piece
    if kind == "trained":
        settings = {"hidden": sizes[1:-1], "act_fn": act_fn, "seed": first, "progress": False}
        population = train_population("XOR", n_networks, **settings)
        yield from ((first + index, population[index]) for index in range(n_networks))
        return
    for seed in range(first, first + n_networks):
        yield seed, random_network(seed, act_fn, sizes=sizes)


def identified(layers: list, act_fn: str, threshold: float):
    """The circuit of these layers, whatever they decide."""
    model = HookedMLP.from_weights(
        layers, act_fn=act_fn, decision_threshold=threshold, dtype="float64"
    )
    return identify_circuit(model, with_evidence=False, progress=False)


def held(piece: Piece) -> tuple[Counter, list[str]]:
    """How many comparisons of each kind were made, and what came out otherwise."""
    torch.set_num_threads(1)
    _, act_fn, sizes, _, _ = piece
    counts, violations = Counter(), []
    names = changes_for(act_fn)
    for seed, model in made(piece):
        layers = [(weight.numpy(), bias.numpy()) for weight, bias in model.float64_layers()]
        threshold = model.cfg.decision_threshold
        rng = np.random.default_rng(seed)
        try:
            before = identified(layers, act_fn, threshold)
            counts[f"verdict {before.verdict}"] += 1
            for chosen in ([names[seed % len(names)]], names):
                other = layers
                for name in chosen:
                    other = CHANGES[name](rng, other, act_fn)
                asked = {"any_order_of_inputs": "swapped" in chosen}
                after = identified(other, act_fn, threshold)
                was, now = (summary(one, sizes[0], **asked) for one in (before, after))
                what = chosen[0] if len(chosen) == 1 else "all at once"
                counts[what] += 1
                if was != now:
                    violations.append(f"{piece[:3]} seed {seed}, {what}: {was} and {now}")
        except TooManyReadings:
            counts["left out: too many readings"] += 1
    return counts, violations


def main() -> None:
    """Compare, and print the counts."""
    numbers = [int(word) for word in sys.argv[1:]]
    n_networks = numbers[0] if numbers else 10_000
    n_processes = numbers[1] if len(numbers) > 1 else 2
    kinds = [("trained", act, (2, *hidden, 1)) for act, hidden in TRAINED]
    kinds += [("random", act, sizes) for act, sizes in RANDOM]
    per_kind = -(-n_networks // len(kinds))
    pieces: list[Piece] = [
        (*kind, first, min(AT_ONCE, per_kind - first))
        for first in range(0, per_kind, AT_ONCE)
        for kind in kinds
    ]
    start, counts, violations = perf_counter(), Counter(), []
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        for of_piece, found in tqdm(pool.map(held, pieces), total=len(pieces), unit="piece"):
            counts += of_piece
            violations += found
            for line in found:
                print(line, flush=True)
    for name, count in sorted(counts.items()):
        print(f"{count:6d}  {name}")
    print(f"{len(violations)} violations, {perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
