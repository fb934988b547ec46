"""Ablation of units, edges and inputs, held against running the network again by hand."""

import numpy as np
from drawn import Tally, drawn, some
from oracles.networks import run
from oracles.patching import ablated, difference, mean, metric, subsets, value_at

from xor_mi import ablation_sweep
from xor_mi.truth import BooleanFunction


def mismatches(rng):
    """One value, one rule of subsets and one decision of one network, on all rows or some."""
    case, tally = drawn(rng), Tally()
    net, model = case.net, case.model
    output = rng.randrange(model.cfg.n_decisions)
    rows = net.rows if rng.random() < 0.6 else np.array(some(rng, net.rows.tolist(), 2))
    units = [name for layer in case.names[:-1] for name in layer]
    sites = some(rng, [*units, *case.edges], 4)
    rule = rng.choice(["single", "pairs", "all"]) if len(sites) > 1 else "single"
    target = rng.choice(["AND", "OR"])
    if len(case.names[-1]) == 1 and net.n_inputs == 2:
        model = model.with_weights(model.float64_layers(), target=target)
    value = rng.choice(["zero", "mean", "resample", "mean over", 0.25])
    over = some(rng, net.rows.tolist(), 2) if value == "mean over" else None
    sweep = ablation_sweep(
        model,
        sites,
        value="mean" if over else value,
        subsets=rule,
        rows=rows.tolist(),
        over=over,
        output=output,
        seed=rng.randrange(5),
        progress=False,
    )
    text = f"{case.text}, {value}, {rule}, rows {rows.tolist()}, output {output}"
    before, decided_before = metric(net, run(net, net.inputs(rows)), output)
    tally.near(f"{text}: before", *before, sweep.before[0])
    if model.cfg.target is not None:
        function = BooleanFunction.named(target)
        tally.same(f"{text}: labels", tuple(function(*row) for row in rows.tolist()), sweep.labels)
    shifts = range(1, len(rows)) if value == "resample" else (0,)
    sets = subsets(sites, rule)
    tally.same(
        f"{text}: sites",
        ["+".join(one) for one in sets],
        ["+".join(site.name for site in one) for one in sweep.sites],
    )
    # by how far resampling shifts is drawn; it is the same for all sites
    tried = [(Tally(), shift) for shift in shifts]
    for found, shift in tried:
        for s, names in enumerate(sets):
            replaced = replacement(net, value, over=over, shift=shift)
            ran = ablated(net, net.inputs(rows), names, replaced)
            after, decided = metric(net, ran, output)
            what = f"{text}: {'+'.join(names)}"
            found.near(what, *after, sweep.after[s])
            found.near(f"{what}, effect", *difference(net, after, before), sweep.effect[s])
            found.sure(f"{what}, decisions", *decided, sweep.decisions[s])
            flips, is_sure = decided[0] != decided_before[0], decided[1] & decided_before[1]
            lines = slice(s * len(rows), (s + 1) * len(rows))
            found.sure(f"{what}, flips", flips, is_sure, sweep.frame()["flips"].to_numpy()[lines])
    best = min((found for found, _ in tried), key=lambda found: len(found.wrong))
    return tally.n + best.n, tally.wrong + best.wrong, tally.undecided + best.undecided


def replacement(net, value, *, over, shift):
    """(name, values, bounds) -> what a place is written over with."""
    if value == "mean over":
        of_over = run(net, net.inputs(over))
        return lambda name, *_: mean(net, *value_at(net, of_over, name))
    if value == "mean":
        return lambda _, *given: mean(net, *given)
    if value == "resample":
        return lambda _, *given: tuple(np.roll(one, shift) for one in given)
    number = 0.0 if value == "zero" else value
    return lambda *_: (number, 0.0)
