"""Attribution, held against the chain rule written out, midpoints along a line, and all orders."""

from itertools import product

import numpy as np
from drawn import Tally, drawn, some
from oracles.attribution import along_the_line, by_gradient, by_orders, directly
from oracles.patching import difference, metric, patched

from xor_mi import interventions


def mismatches(rng):
    """Some units and pairs of one network, by every method."""
    case, tally = drawn(rng, huge=False, dtypes=("float64",)), Tally()
    net = case.net
    if case.model.cfg.n_decisions != 1 and net.rule == "argmax":
        return 0, [], 1  # the largest of three has no gradient where two are equal
    output = rng.randrange(case.model.cfg.n_decisions)
    pairs = some(rng, [(a, b) for a, b in product(net.rows.tolist(), repeat=2) if a != b], 6)
    clean, corrupted = (net.inputs([pair[k] for pair in pairs]) for k in (0, 1))
    sites = some(rng, [name for layer in case.names[:-1] for name in layer], 4)
    asked = {"output": output, "progress": False}

    def scores(method):
        return interventions.attribute(case.model, pairs, sites, method=method, **asked).scores[0]

    text = f"{case.text}, output {output}, {sites}, {pairs}"
    exact, slope, line = (
        scores(one) for one in ("exact_patching", "attribution_patching", "integrated_gradients")
    )
    # PyTorch's slope of hardsigmoid is 1/6 in float32, whatever the dtype
    rounding = 1e-7 if "hardsigmoid" in (*net.acts, net.out_act) else 1e-10
    plain, _ = metric(net, patched(net, corrupted, corrupted, []), output)
    for s, name in enumerate(sites):
        after, _ = metric(net, patched(net, corrupted, clean, [name]), output)
        tally.near(f"{text}: exact {name}", *difference(net, after, plain), exact[s])
        for method, ours, got in (("gradient", by_gradient, slope), ("line", along_the_line, line)):
            value, is_sure = ours(net, output, clean, corrupted, name)
            error = rounding * (1 + np.abs(value).max()) if is_sure else np.inf
            tally.near(f"{text}: {method} {name}", value, error, got[s])
    values, error = by_orders(net, output, clean, corrupted, sites)
    tally.near(f"{text}: shapley", values, error + 4 * net.eps + 1e-14, scores("shapley"))
    if net.out_act == "identity" and (case.model.cfg.n_decisions == 1 or net.rule == "threshold"):
        values = [directly(net, output, clean, corrupted, name) for name in sites]
        error = 1e-12 * (1 + np.abs(values).max())
        tally.near(f"{text}: direct", values, error, scores("direct_logit"))
    return tally.result
