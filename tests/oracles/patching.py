"""Interventions on paper: a place set to what it is on another input, to zero, to a mean; along one
path alone; several places, each from an input of its own.

All by running the network again with these places written over.
"""

from itertools import combinations, pairwise, product

import numpy as np

from oracles.networks import decide, place, run, scores


def value_at(net, ran, name):
    """What a place holds in a run, and the bound of its rounding: of an edge its term, [run]."""
    values, errors = ran
    kind, *ends = place(name)
    if kind == "unit":
        layer, index = ends
        return values[layer][:, index], errors[layer][:, index]
    (source, i), _ = ends
    weight = weight_of(net, name)
    value = weight * values[source][:, i]
    return value, abs(weight) * errors[source][:, i] + net.eps * np.abs(value)


def weight_of(net, name):
    """The weight of an edge."""
    _, (source, i), (target, j) = place(name)
    if source == 0 and target == -1 and net.direct is not None:
        return net.direct[j, i]
    return net.layers[target - 1 if target > 0 else -1][0][j, i]


def patched(net, base, source, names):
    """The base inputs run with these places as they are on the source inputs."""
    of_source = run(net, source)
    return run(net, base, [(name, *value_at(net, of_source, name)) for name in names])


def along(net, base, source, path):
    """The base inputs run with the path's first unit from the source, along this path alone."""
    value, error = value_at(net, run(net, source), path[0])
    for a, b in pairwise(path):
        weight = weight_of(net, f"{a}->{b}")
        term = value * weight, abs(weight) * error + net.eps * np.abs(value * weight)
        ran = run(net, base, [(f"{a}->{b}", *term)])
        value, error = value_at(net, ran, b)
    # a path that ends at a hidden unit acts on everything after it
    return ran if path[-1].startswith("y") else run(net, base, [(path[-1], value, error)])


def ablated(net, inputs, names, replaced):
    """The inputs run with each place at `replaced(name, values [run], bounds [run])`."""
    plain = run(net, inputs)
    writes = []
    for name in names:
        value, error = replaced(name, *value_at(net, plain, name))
        writes.append((name, value + np.zeros(len(inputs)), error + np.zeros(len(inputs))))
    return run(net, inputs, writes)


def mean(net, value, error):
    """The mean over the runs, and its bound."""
    return value.mean(), error.max() + net.eps * np.abs(value).max()


def subsets(names, rule):
    """What is ablated together: one at a time, two, or every choice, the small ones first."""
    sizes = {"single": (1,), "pairs": (2,), "all": range(1, len(names) + 1)}[rule]
    return [one for size in sizes for one in combinations(names, size)]


def metric(net, ran, k):
    """What decision k is made by, on the scale of its cut, and its bound; the decision, and if sure.

    By a threshold that is output k; by argmax its distance from the largest of the others.
    """
    values, errors = ran[0][-1], ran[1][-1]
    score, bound = scores(net, values, errors)
    decided, is_sure = decide(net, values, errors)
    cut = net.threshold if net.rule == "threshold" else 0.0
    rounding = net.eps * (np.abs(score[:, k]) + abs(cut))
    return (score[:, k] + cut, bound[:, k] + rounding), (decided[:, k], is_sure[:, k])


def difference(net, after, before):
    """An effect and its bound, of two metrics with theirs."""
    (a, of_a), (b, of_b) = after, before
    return a - b, of_a + of_b + net.eps * (np.abs(a) + np.abs(b))


def interchanged(net, base, sources):
    """The base rows run with each group of places as on a row of its own.

    Args:
        base: bits, [run, input].
        sources: (names, bits [run, input]) for every group.
    """
    writes = []
    for names, bits in sources:
        of_source = run(net, net.inputs(bits))
        writes += [(name, *value_at(net, of_source, name)) for name in names]
    return run(net, net.inputs(base), writes)


def agreements(net, groups, predicted):
    """On how many interchanges network and algorithm decide alike, of all choices of rows.

    Args:
        groups: the places of each variable.
        predicted: (base row, source row per group) -> the decision that the algorithm makes.

    Returns:
        agreed, tried, and whether every decision was sure; of decision 0.
    """
    rows = net.rows
    choices = list(product(range(len(rows)), repeat=1 + len(groups)))
    chosen = np.array(choices)
    sources = [(names, rows[chosen[:, k + 1]]) for k, names in enumerate(groups)]
    values, errors = interchanged(net, rows[chosen[:, 0]], sources)
    decided, is_sure = decide(net, values[-1], errors[-1])
    expected = [predicted(tuple(rows[base]), [tuple(rows[k]) for k in of]) for base, *of in choices]
    return int((decided[:, 0] == expected).sum()), len(choices), bool(is_sure[:, 0].all())
