"""Interchange, single and joint, held against running the network again by hand."""

import numpy as np
from drawn import SHAPES, Tally, drawn, some
from oracles.networks import decide
from oracles.patching import agreements, interchanged

from xor_mi import HighLevelModel, interchange_accuracy, interventions

VARIABLES = {
    "x0": lambda x: x[0],
    "~x0": lambda x: 1 - x[0],
    "x1": lambda x: x[1],
    "x0 | x1": lambda x: x[0] | x[1],
    "x0 & x1": lambda x: x[0] & x[1],
    "x0 & ~x1": lambda x: x[0] & (1 - x[1]),
    "x0 ^ x1": lambda x: x[0] ^ x[1],
}
READOUTS = {
    "a & ~b": lambda a, b: a & (1 - b),
    "a | b": lambda a, b: a | b,
    "a ^ b": lambda a, b: a ^ b,
    "~a": lambda a, b: 1 - a,
}


def mismatches(rng):
    """Interchanges of places from several rows, and how often an algorithm is followed."""
    case, tally = drawn(rng, tuple(one for one in SHAPES if one[0] > 1)), Tally()
    net, rows = case.net, case.net.rows
    units = [name for layer in case.names[:-1] for name in layer]
    for _ in range(3):
        kind = case.edges if rng.random() < 0.3 else units
        names = some(rng, kind, rng.choice([1, 2, 3]))
        base, sources = rng.choice(rows.tolist()), [rng.choice(rows.tolist()) for _ in names]
        found = interventions.interchange(case.model, dict(zip(names, sources, strict=True)), base)
        groups = [([name], np.array([row])) for name, row in zip(names, sources, strict=True)]
        values, errors = interchanged(net, np.array([base]), groups)
        text = f"{case.text}: {names} from {sources}, base {base}"
        tally.near(f"{text}, outputs", values[-1][0], errors[-1][0], found.outputs)
        decided, is_sure = decide(net, values[-1], errors[-1])
        tally.sure(f"{text}, decisions", decided[0], is_sure[0], found.decisions)

    formulas = [rng.choice(list(VARIABLES)) for _ in "ab"]
    readout = rng.choice(list(READOUTS))
    layer = rng.choice(case.names[1:-1])
    places = some(rng, layer, 3)
    alignment = {"a": places[:1], "b": places[1:]} if len(places) > 1 else {"a": places}
    algorithm = HighLevelModel(dict(zip("ab", formulas, strict=True)), readout)
    found = interchange_accuracy(case.model, algorithm, alignment, progress=False)
    groups = {name: [name] for name in alignment}
    if len(alignment) > 1:
        groups["(joint)"] = list(alignment)
    for label, group in groups.items():
        predicted = prediction(formulas, readout, group)
        n, n_runs, is_sure = agreements(net, [alignment[name] for name in group], predicted)
        text = f"{case.text}: {alignment}, {formulas}, {readout}, {label}"
        tally.same(f"{text}: runs", n_runs, found.n_runs[label])
        tally.sure(f"{text}: agreed", n, is_sure, found.n_agreed[label])
    return tally.result


def prediction(formulas, readout, group):
    """(base row, source rows) -> what the algorithm decides with the group's bits from these."""

    def predicted(base, sources):
        bits = [VARIABLES[formula](base) for formula in formulas]
        for name, source in zip(group, sources, strict=True):
            number = "ab".index(name)
            bits[number] = VARIABLES[formulas[number]](source)
        return READOUTS[readout](*bits)

    return predicted
