"""Every subcircuit tried by hand: how many, which are perfect, which minimal, and the closed count."""

from functools import cache

import numpy as np
from drawn import Tally, drawn
from oracles.networks import decide, run
from oracles.subcircuits import edges_of, is_right, minimal, outputs_of, valid_masks

from xor_mi import find_subcircuits
from xor_mi.errors import XorMiError
from xor_mi.search import Convention, count_perfect_subcircuits, count_subcircuits
from xor_mi.truth import BooleanFunction

SHAPES = ((1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1), (2, 3, 1), (2, 2, 2), (3, 2, 1), (2, 2, 2, 1))
CHOICES = {
    "ablation": ("zero", "mean"),
    "biases": ("keep", "keep", "drop"),
    "all_units": (True, True, False),
    "decision": ("threshold", "threshold", "round"),
}
masks_of = cache(valid_masks)


def mismatches(rng):
    """One network under one convention, held against what it decides itself, or a random target."""
    case, tally = drawn(rng, SHAPES, direct=False, huge=False), Tally()
    net = case.net
    settings = {name: rng.choice(values) for name, values in CHOICES.items()}
    if net.rule == "argmax":
        settings["decision"] = "threshold"
    values, errors = run(net, net.inputs(net.rows))
    decided, is_sure = decide(net, values[-1], errors[-1])
    if rng.random() < 0.2:
        decided = np.array([[rng.randrange(2) for _ in row] for row in decided])
    elif not is_sure.all() or (decided < 0).any():
        return 0, [], 1
    target = BooleanFunction(net.n_inputs, tuple(map(tuple, decided.T.tolist())))
    found = find_subcircuits(case.model, target, convention=Convention(**settings), progress=False)

    text = f"{case.text}, {settings}, {target.tables}"
    masks = masks_of(case.model.layer_sizes)
    tally.same(f"{text}: all", count_subcircuits(case.model.layer_sizes), len(masks))
    if not settings["all_units"]:
        masks = [one for one in masks if not all(mask.any(1).all() for mask in one[:-1])]
    perfect, is_sure = set(), True
    options = {
        "carries_mean": settings["ablation"] == "mean",
        "keeps_biases": settings["biases"] == "keep",
    }
    for one in masks:
        outputs, error = outputs_of(net, one, **options)
        right, clear = is_right(
            net, outputs, error, decided, rounds=settings["decision"] == "round"
        )
        is_sure = is_sure and clear
        if right:
            perfect.add(edges_of(one))
    tally.same(f"{text}: tried", len(masks), found.total)
    if not is_sure:
        return tally.n, tally.wrong, len(masks)
    theirs = {frozenset(edge.name for edge in one.edges) for one in found}
    tally.n += len(masks) - 1
    tally.same(f"{text}: perfect, ours and theirs alone", set(), perfect ^ theirs)
    smallest = {frozenset(edge.name for edge in one.edges) for one in found.minimal}
    tally.same(f"{text}: minimal", minimal(perfect), smallest)
    try:
        n = count_perfect_subcircuits(
            case.model, target, convention=Convention(**settings), progress=False
        )
    except XorMiError:  # an output activation that cannot be undone, or several outputs
        return tally.result
    tally.same(f"{text}: counted", len(perfect), n)
    return tally.result
