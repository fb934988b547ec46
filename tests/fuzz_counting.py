"""Subcircuits and interpretations of a drawn network, held against a slow listing."""

import random
from dataclasses import asdict
from fractions import Fraction
from itertools import islice, pairwise

import torch
from oracles import counting

from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP
from xor_mi.search import (
    Convention,
    as_network,
    count_interpretations,
    count_perfect_subcircuits,
    find_subcircuits,
    interpretations,
)
from xor_mi.truth import BooleanFunction

SHAPES = [
    *((1, 1, 1), (1, 2, 1), (1, 3, 1), (2, 1, 1), (2, 2, 1), (2, 3, 1), (3, 1, 1), (3, 2, 1)),
    *((1, 1, 1, 1), (2, 1, 1, 1), (2, 2, 1, 1), (2, 1, 2, 1), (2, 2, 2, 1), (2, 1, 3, 1)),
    *((1, 1, 2), (2, 1, 2), (2, 2, 2), (2, 2, 1, 2), (1, 2, 2, 2), (2, 1, 1, 1, 1)),
    *((1, 1, 3), (2, 2, 3), (2, 2, 2, 2), (1, 2, 2, 2, 1), (2, 2, 1, 2, 1), (2, 1, 2, 1, 2)),
]
EXACT = ("identity", "relu", "leaky_relu", "heaviside")
SMOOTH = ("tanh", "sigmoid")
MOST_LISTED = 200
"""So many interpretations of a subcircuit are listed to be counted."""


def draw_weight(rng: random.Random, kind: str) -> float:
    """One weight; those that are no drawn reals are exact, sums of them too."""
    if kind == "real":
        return rng.gauss(0, 2)
    scale = {"integer": 1.0, "half": 0.5, "huge": 2.0**20}[kind]
    return scale * rng.randint(-2, 2)


def draw_network(rng: random.Random) -> counting.Network:
    """A network with drawn numbers; its tables are what a part of it decides, or are drawn too."""
    sizes = rng.choice(SHAPES)
    kind = rng.choice(("real", "integer", "half", "huge"))
    names = EXACT + SMOOTH if kind == "real" else EXACT
    act_fns = tuple(rng.choice(names) for _ in sizes[1:-1])
    layers = []
    for n_sources, n_targets in pairwise(sizes):
        weight = [[draw_weight(rng, kind) for _ in range(n_sources)] for _ in range(n_targets)]
        bias = [draw_weight(rng, kind) for _ in range(n_targets)]
        if n_targets > 1 and rng.random() < 0.2:  # a copy of another unit
            weight[1], bias[1] = list(weight[0]), bias[0]
        layers.append((weight, bias))
    argmax = sizes[-1] == 2 and rng.random() < 0.6
    out_act_fn = rng.choice(("identity", "identity", "leaky_relu"))
    if kind == "real" and rng.random() < 0.3:
        out_act_fn = rng.choice(SMOOTH)
    return counting.Network(
        layers=layers,
        act_fns=(*act_fns, "identity" if argmax else out_act_fn),
        slope=0.25,
        step_at_zero=rng.choice((0, 1)),
        levels=rng.choice(((0, 1), (-1, 1), (1, 0), (0.25, 0.75))),
        cut=0 if argmax else rng.choice((0, 0.5)),
        argmax=argmax,
        tables=(),
    )


def draw_tables(rng: random.Random, network: counting.Network) -> tuple[counting.Bits, ...]:
    """What is right: what a part of the network decides, a tie as 1, or anything."""
    *_, outputs = counting.run(network, None, counting.Rules())
    if rng.random() < 0.5:
        parts = list(counting.subcircuits(network.sizes))
        *_, outputs = counting.run(network, rng.choice(parts), counting.Rules())
    if network.argmax:
        outputs = [[second - first for first, second in zip(*outputs, strict=True)]]
    tables = tuple(tuple(int(score >= network.cut) for score in scores) for scores in outputs)
    if rng.random() < 0.1:
        return tuple(tuple(rng.randint(0, 1) for _ in table) for table in tables)
    return tables


def draw_rules(rng: random.Random, network: counting.Network) -> counting.Rules:
    """The rules of a convention; outputs that are compared are not rounded."""
    return counting.Rules(
        ablation=rng.choice(("zero", "zero", "mean")),
        biases=rng.choice(("keep", "keep", "drop")),
        all_units=rng.random() < 0.7,
        decision="round" if not network.argmax and rng.random() < 0.3 else "threshold",
        completion=rng.choice(("all", "open")),
        constants=rng.random() < 0.5,
        ban_parity=rng.random() < 0.5,
        margin=rng.choice((0.0, 0.0, 0.3)),
    )


def exactly(network: counting.Network) -> counting.Network:
    """The same in fractions, where no activation needs floats."""
    if set(network.act_fns) & set(SMOOTH):
        return network
    layers = [
        ([[Fraction(w) for w in weights] for weights in weight], [Fraction(b) for b in bias])
        for weight, bias in network.layers
    ]
    numbers = {
        "layers": layers,
        "slope": Fraction(network.slope),
        "step_at_zero": Fraction(network.step_at_zero),
        "levels": tuple(map(Fraction, network.levels)),
        "cut": Fraction(network.cut),
    }
    return counting.Network(**{**vars(network), **numbers})


def as_model(network: counting.Network) -> HookedMLP:
    """The same as the package holds it."""
    return HookedMLP.from_weights(
        [
            (torch.tensor(weight, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64))
            for weight, bias in network.layers
        ],
        act_fn=network.act_fns[:-1],
        out_act_fn=network.act_fns[-1],
        negative_slope=network.slope,
        step_at_zero=network.step_at_zero,
        input_levels=network.levels,
        decision_rule="argmax" if network.argmax else "threshold",
        decision_threshold=network.cut,
        target=BooleanFunction(network.sizes[0], network.tables),
    )


def mismatches(rng: random.Random) -> tuple[int, list[str]]:
    """How many numbers of one drawn network were compared, and a line for each that differs."""
    drawn = draw_network(rng)
    drawn = counting.Network(**{**vars(drawn), "tables": draw_tables(rng, drawn)})
    rules = draw_rules(rng, drawn)
    model, slow = as_model(drawn), exactly(drawn)
    convention = Convention(**asdict(rules))
    found: list[tuple[str, object, object]] = []
    search = find_subcircuits(model, convention=convention, progress=False)
    total, right = counting.perfect(slow, rules)
    found.append(("total", search.total, total))
    found.append(("perfect", {part.sources for part in search}, set(right)))
    try:
        counted = count_perfect_subcircuits(model, convention=convention, progress=False)
        found.append(("counted", counted, len(right)))
    except XorMiError:
        # these are what it says that it does not count
        not_undone = drawn.argmax and drawn.act_fns[-1] != "identity"
        found.append(("counts", not_undone, True))
    parts = list(search)
    for part in rng.sample(parts, min(2, len(parts))):
        n = count_interpretations(model, part, convention=convention)
        found.append(("interpretations", n, counting.n_interpretations(slow, part.sources, rules)))
        listed = islice(interpretations(model, part, convention=convention), MOST_LISTED)
        found.append(("listed", len(set(listed)), min(n, MOST_LISTED)))
        outputs = as_network(model, part, convention=convention)(model.rows()).T
        alone = torch.tensor(
            [
                [float(value) for value in unit]
                for unit in counting.run(slow, part.sources, rules)[-1]
            ],
            dtype=torch.float64,
        )
        found.append(("alone", torch.allclose(outputs, alone, rtol=1e-9, atol=1e-9), True))
    return len(found), [
        f"{what}: {got} and slowly {want}, {drawn}, {rules}"
        for what, got, want in found
        if got != want
    ]
