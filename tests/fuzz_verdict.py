"""Verdicts, circuits, gates, proofs and margins, held against every reading and every interchange
tried one by one.
"""

from drawn import Tally, drawn
from oracles.networks import decide, run
from oracles.verdict import LEVELS, is_sure, slow_verdict
from slow_verdicts import differences, facts_of

from xor_mi import identify_circuit
from xor_mi.errors import TooManyReadings
from xor_mi.truth import BooleanFunction

SHAPES = (
    *((1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1), (2, 2, 1), (2, 3, 1), (2, 3, 1), (2, 2, 2)),
    *((2, 2, 3), (2, 4, 1), (3, 2, 1), (3, 2, 2), (2, 2, 2, 1), (2, 2, 2, 2), (2, 3, 2, 1)),
)
VALUES = 4
"""Verdict, readings, circuits, and how many are proved at each level."""
VALUES_OF_A_CIRCUIT = 7
"""Live units, netlist, readings, level of proof, single and joint interchanges, margin."""


def mismatches(rng):
    """One network, one requirement and one smallest margin."""
    case, tally = drawn(rng, SHAPES), Tally()
    net = case.net
    settings = {"require": rng.choice(LEVELS), "min_margin": rng.choice([0.01, 0.0, 0.2])}
    asked = dict(settings)
    if rng.random() < 0.3:
        values, errors = run(net, net.inputs(net.rows))
        decided, _ = decide(net, values[-1], errors[-1])
        settings["target"] = (decided if rng.random() < 0.5 else 1 - decided).clip(0, 1).T
        tables = tuple(map(tuple, settings["target"].tolist()))
        asked["target"] = BooleanFunction(net.n_inputs, tables)
    text = f"{case.text}, {settings}"
    slow = slow_verdict(net, **settings)
    if not is_sure(net, slow, **settings):
        return 0, [], VALUES
    try:
        circuit = identify_circuit(case.model, with_evidence=False, progress=False, **asked)
    except TooManyReadings:
        return 0, [], VALUES
    found = differences(slow, circuit)
    tally.n += VALUES + VALUES_OF_A_CIRCUIT * len(slow.circuits)
    tally.wrong += [f"{text}: {line}" for line in found]
    if circuit.circuits and not found:
        tally.same(f"{text}: the first circuit", True, facts_of(circuit.circuits[0]) in slow.first)
    return tally.result
