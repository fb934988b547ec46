"""The package's verdicts in the words of `oracles.verdict`, so that the two can be compared."""

from oracles.networks import Net
from oracles.verdict import LEVELS, slow_verdict


def net_of(model):
    """One of the package's networks on paper; only its weights and settings are read."""
    cfg = model.cfg
    layers = [(weight.numpy(), bias.numpy()) for weight, bias in model.float64_layers()]
    direct = None
    if cfg.direct:
        weight, bias = layers[-1]
        direct = weight[:, cfg.d_hidden[-1] :]
        layers[-1] = (weight[:, : cfg.d_hidden[-1]], bias)
    return Net(
        layers=layers,
        acts=cfg.act_fns,
        out_act=cfg.out_act_fn,
        slope=cfg.negative_slope,
        step_at_zero=cfg.step_at_zero,
        direct=direct,
        levels=cfg.input_levels,
        rule=cfg.decision_rule,
        threshold=cfg.decision_threshold,
    )


def slow_verdict_of(model, **settings):
    """The slow verdict on one of the package's networks."""
    target = None if model.cfg.target is None else model.cfg.target.tables
    return slow_verdict(net_of(model), target=target, **settings)


def differences(slow, circuit):
    """What the package's circuit says otherwise than the slow one, in words; nothing where alike.

    The first circuit may be any of those that only a formula's text would tell apart.
    """
    found, theirs = [], [facts_of(one) for one in circuit.circuits]
    verdict, ours = slow.facts
    n_theirs = [sum(one.has(level) for one in circuit.circuits) for level in LEVELS]
    for what, a, b in (
        ("verdict", verdict, circuit.verdict),
        ("readings", slow.n_readings, len(circuit.readings)),
        ("counts", [slow.n_at(level) for level in LEVELS], n_theirs),
        ("circuits", len(slow.circuits), len(theirs)),
    ):
        if a != b:
            found.append(f"{what}: {a} and {b}")
    if ours != set(theirs):
        found.append(f"circuits: {sorted(map(str, ours ^ set(theirs)))}")
    if theirs and not found and theirs[0] not in slow.first:
        found.append(f"first circuit: {slow.first} and {theirs[0]}")
    return found


def facts_of(one):
    """All that is compared of one of the package's circuits."""
    first = one.readings[0]
    live = {((unit.layer, unit.index), first.of(unit).bits) for unit in one.live}
    gates = {(gate.unit.name, gate_of(gate)) for gate in one.netlist if not gate.unit.is_output}
    decisions = tuple(gate_of(gate) for gate in one.netlist if gate.unit.is_output)
    readings = {tuple(tuple(cut.bits for cut in of) for of in j.readings) for j in one.readings}
    return (
        frozenset(live),
        (frozenset(gates), decisions),
        frozenset(readings),
        one.proof_level,
        (one.single.n_right, one.single.n),
        tuple((count.n_right, count.n) for count in one.joint),
        float(f"{one.smallest_margin:.6g}"),
    )


def gate_of(gate):
    """The parents' names and the table over them."""
    return gate.parents, tuple(bit or 0 for bit in gate.table)
