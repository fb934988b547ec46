"""Conditions on weights: the inequalities worked out as they are written, and held against what the
network decides.
"""

import numpy as np
from drawn import Tally, built, drawn
from oracles.conditions import left_side, numbers_of
from oracles.networks import STEPS, decide, run

from xor_mi import margins
from xor_mi.truth import BooleanFunction


def mismatches(rng):
    """One network, one target, with its own pattern of units or with that of a network nearby."""
    case, tally = drawn(rng, huge=False, dtypes=("float64",)), Tally()
    net, rows = case.net, case.net.rows
    n_decisions = case.model.cfg.n_decisions
    values, errors = run(net, net.inputs(rows))
    decided, is_sure = decide(net, values[-1], errors[-1])
    target = decided.clip(0, 1).T
    if rng.random() < 0.6:
        target = np.array([[rng.randrange(2) for _ in rows] for _ in range(n_decisions)])
    function = BooleanFunction(net.n_inputs, tuple(map(tuple, target.tolist())))
    near = None
    if rng.random() < 0.4:
        generator = np.random.default_rng(rng.randrange(2**32))
        moved = [(w + generator.normal(size=w.shape) / 4, b) for w, b in net.layers]
        near = built(type(net)(**{**vars(net), "layers": moved}))
    found = margins.conditions(case.model, function, near=near, per_unit=True)

    text = f"{case.text}, {function.tables}{', near another' * bool(near)}"
    numbers = numbers_of(net, found.symbols)
    size = 1 + sum(np.abs(w).sum() + np.abs(b).sum() for w, b in net.layers)
    by_decision, of_units = {}, []
    for one in found:
        row = int(one.row, 2)
        what = f"{text}: {one.row} {one.inequality}"
        if near is None or "h0." not in one.inequality:
            of_row = [value[row] for value in values[1:-1]]
            value = left_side(net, one.inequality, numbers, of_row)
            tally.near(what, value, 1e-9 * size * (1 + abs(value)), one.value)
        if one.kind == "decision":
            by_decision.setdefault((row, one.place), []).append(one.satisfied)
        else:
            of_units.append(one.satisfied)
    if near is None:
        tally.same(f"{text}: the network's own pattern holds", True, all(of_units))
    is_reliable = near is None or all(of_units)
    places = case.names[-1][-n_decisions:]
    right = target == decided.T
    for (row, place), satisfied in by_decision.items():
        k = places.index(place)
        if is_reliable:
            what = f"{text}: {place} on row {row} is right"
            tally.sure(what, right[k, row], is_sure[row, k], all(satisfied))
    if is_reliable and not {*net.acts, net.out_act} & set(STEPS):
        tally.sure(f"{text}: all", right.all(), is_sure.all(), all(map(all, by_decision.values())))
    return tally.result
