"""Patching and path patching, held against running the network again by hand."""

from itertools import product

import numpy as np
from drawn import Tally, drawn, some
from oracles.networks import run
from oracles.patching import along, difference, metric, patched

from xor_mi import interventions, patch_sweep


def mismatches(rng):
    """Every pair of rows, some places and sets of places, one direction; and some paths."""
    case, tally = drawn(rng), Tally()
    pairs = some(rng, [(a, b) for a, b in product(case.net.rows.tolist(), repeat=2) if a != b], 12)
    direction = rng.choice(["denoising", "noising"])
    output = rng.randrange(case.model.cfg.n_decisions)
    asked = {"direction": direction, "output": output, "progress": False}

    units = [name for layer in case.names for name in layer]
    sites = [(name,) for name in some(rng, [*units, *case.edges], 6)]
    sites.append(tuple(some(rng, units, 2)))
    sweep = patch_sweep(case.model, pairs, sites, **asked)
    text = f"{case.text}, {direction}, output {output}"
    for s, names in enumerate(sites):
        what = f"{text}, {'+'.join(names)}"
        asked_for = {"s": s, "k": output, "intervened": patched, "names": names}
        compare(tally, what, case.net, pairs, sweep, **asked_for)
    path = [rng.choice(layer) for layer in case.names]
    path = path[rng.randrange(len(path) - 1) :]
    # a path that ends at an output is read there
    if case.model.cfg.n_decisions > 1:
        path[-1] = f"y{output}"
    if case.net.direct is not None and rng.random() < 0.3:
        path = [case.names[0][0], path[-1]]
    sweep = interventions.path_sweep(case.model, [path], pairs, **asked)
    text = f"{text}, path {'-'.join(path)}"
    asked_for = {"s": 0, "k": output, "intervened": along, "names": path}
    compare(tally, text, case.net, pairs, sweep, **asked_for)
    return tally.result


def compare(tally, text, net, pairs, sweep, *, s, k, intervened, names):
    """Site s of a sweep in decision k: metric, effect, fraction, decision, flips, pair by pair."""
    clean, corrupted = (net.inputs([pair[k] for pair in pairs]) for k in (0, 1))
    denoising = sweep.direction == "denoising"
    base, source = (corrupted, clean) if denoising else (clean, corrupted)
    ran = intervened(net, base, source, names)
    plain = {"clean": run(net, clean), "corrupted": run(net, corrupted)}
    scored, decided = {}, {}
    for name, one in {**plain, "patched": ran}.items():
        scored[name], decided[name] = metric(net, one, k)
    for name, got in (("clean", sweep.clean), ("corrupted", sweep.corrupted)):
        tally.near(f"{text}: {name}", *scored[name], got[0])
    tally.near(f"{text}: patched", *scored["patched"], sweep.patched[s])
    base_name = "corrupted" if denoising else "clean"
    effect, bound = difference(net, scored["patched"], scored[base_name])
    tally.near(f"{text}: effect", effect, bound, sweep.effect[s])
    tally.sure(f"{text}: decisions", *decided["patched"], sweep.decisions[s])

    effects = list(sweep)[s :: len(sweep.sites)]
    flips = decided["patched"][0] != decided[base_name][0]
    is_sure = decided["patched"][1] & decided[base_name][1]
    tally.sure(f"{text}: flips", flips, is_sure, [one.flips for one in effects])
    fraction, bound, has_one, is_sure = fractions(scored, decided)
    given = [one.recovered_fraction for one in effects]
    tally.sure(f"{text}: has a fraction", has_one, is_sure, [one is not None for one in given])
    got = np.array([np.nan if one is None else one for one in given])
    both = has_one & is_sure & ~np.isnan(got)
    bound = bound + 4 * net.eps * (1 + np.abs(np.nan_to_num(fraction)))
    tally.near(f"{text}: fraction", fraction[both], bound[both], got[both])


def fractions(scored, decided):
    """(patched - corrupted) / (clean - corrupted), its bound, whether there is one, and if sure."""
    (clean, e1), (corrupted, e2), (after, e3) = (
        scored[k] for k in ("clean", "corrupted", "patched")
    )
    apart = np.abs(clean - corrupted)
    least = 1e-6 * max(np.abs(clean).max(), np.abs(corrupted).max())
    alike = decided["clean"][0] == decided["corrupted"][0]
    has_one = ~alike & (apart > least)
    is_sure = decided["clean"][1] & decided["corrupted"][1]
    is_sure &= (np.abs(apart - least) > 8 * (e1 + e2)) | alike | ((e1 + e2 == 0) & (apart == 0))
    with np.errstate(all="ignore"):
        fraction = (after - corrupted) / (clean - corrupted)
        bound = ((e3 + e2) + np.abs(fraction) * (e1 + e2)) / np.maximum(apart - 8 * (e1 + e2), 0)
    return fraction, np.where(np.isnan(bound), np.inf, bound), has_one, is_sure
