"""What a network gives, holds and decides, against the oracle's own arithmetic."""

import torch
from drawn import Tally, drawn
from oracles.networks import decide, run, scores

from xor_mi import activations
from xor_mi.metrics import decisions


def mismatches(rng):
    """All values, terms and decisions of one network, on all rows and on numbers between them."""
    case, tally = drawn(rng), Tally()
    net, model = case.net, case.model
    inputs = net.inputs(net.rows)
    values, errors = run(net, inputs)
    tally.near(f"{case.text}: outputs", values[-1], errors[-1], model(model.rows()).detach())
    found = activations(model)
    for names, value, error in zip(case.names[1:-1], values[1:-1], errors[1:-1], strict=True):
        hook_name, _ = model.hook_site(names[0])
        tally.near(f"{case.text}: {hook_name}", value, error, found[hook_name])
    expected, is_sure = decide(net, values[-1], errors[-1])
    tally.sure(f"{case.text}: decisions", expected, is_sure, decisions(model))
    score, bound = scores(net, values[-1], errors[-1])
    tally.near(
        f"{case.text}: distance", score, bound, model.rule.distance(model(model.rows())).detach()
    )

    # numbers that are not levels; quarters, so that exact networks stay exact
    between = torch.tensor(
        [[rng.randrange(-8, 9) / 4 for _ in range(net.n_inputs)] for _ in range(3)]
    )
    values, errors = run(net, between.double().numpy())
    tally.near(
        f"{case.text}: outputs at {between.tolist()}",
        values[-1],
        errors[-1],
        model(between).detach(),
    )
    return tally.result
