"""The census of a population, held against the slow verdict on each network and `identify_circuit`."""

import numpy as np
from drawn import Tally
from oracles.networks import STEPS
from oracles.verdict import LEVELS, is_sure, slow_verdict
from slow_verdicts import net_of

from xor_mi import census, identify_circuit, train_population
from xor_mi.model import ACTIVATIONS

SMOOTH = tuple(name for name in ACTIVATIONS if name not in STEPS)
TARGETS = ("XOR", "AND", "XNOR", "x0 > x1", "x0 & x1 & x2", "x0 ^ x1, x0 & x1")
NETWORKS = 4


def mismatches(rng):
    """A few networks that were trained for a while, together and one by one."""
    tally = Tally()
    target = rng.choice(TARGETS)
    settings = {
        "hidden": rng.choice([1, 2, 2, 3, 4, (2, 2)]),
        "act_fn": rng.choice(SMOOTH),
        "out_act_fn": rng.choice(["identity", "identity", "sigmoid", "tanh"]),
        "input_levels": rng.choice([(0.0, 1.0), (-1.0, 1.0)]),
        "direct": rng.random() < 0.15,
        "loss_fn": rng.choice(["bce", "mse"]),
        "max_steps": rng.choice([1, 100, 400]),
        "seed": rng.randrange(10_000),
    }
    if "," not in target and rng.random() < 0.2:
        settings |= {"decision_rule": "argmax", "loss_fn": "ce", "out_act_fn": "identity"}
    asked = {"require": rng.choice(LEVELS), "min_margin": rng.choice([0.01, 0.0, 0.1])}
    population = train_population(target, NETWORKS, progress=False, **settings)
    found = census(population, progress=False, **asked)
    for k, (_, line) in enumerate(found.iterrows()):
        text = f"{target}, {settings}, {asked}, network {k}"
        if line["verdict"] == "not_tried":
            tally.undecided += 1
            continue
        compare_with_identified(tally, text, line, population[k], asked)
        net = net_of(population[k])
        net.eps = 2e-6  # decided in float32, too
        asked_slowly = asked | {"target": np.array(population.cfg.target.tables)}
        slow = slow_verdict(net, **asked_slowly)
        if not is_sure(net, slow, **asked_slowly):
            tally.undecided += 5
            continue
        tally.same(f"{text}: slow verdict", slow.verdict, line["verdict"])
        tally.same(f"{text}: slow readings", slow.n_readings, line["n_readings"])
        tally.same(f"{text}: slow circuits", len(slow.circuits), line["n_circuits"])
        for level in LEVELS[1:]:
            n = slow.n_at(level)
            tally.same(f"{text}: circuits at {level}", n, line[f"n_circuits_{level}"])
    return tally.result


def compare_with_identified(tally, text, line, model, asked):
    """One line of the census against the circuit found by itself."""
    circuit = identify_circuit(model, with_evidence=False, progress=False, **asked)
    first = circuit.circuits[0] if circuit.circuits else None
    for name, expected in (
        ("verdict", circuit.verdict),
        ("n_readings", len(circuit.readings)),
        ("n_circuits", len(circuit.circuits)),
        ("proof_level", first.proof_level if first else ""),
        ("gates", circuit.gate_set if first else ""),
        ("family", circuit.family),
        ("signature", circuit.signature),
    ):
        tally.same(f"{text}: {name}", expected, line[name])
    if first is None:
        return
    units = (unit for layer in circuit.primary.readings for unit in layer)
    margins = [np.nan if unit.margin is None else unit.margin for unit in units]
    tally.same(
        f"{text}: constant units", np.isnan(margins).tolist(), np.isnan(line["margins"]).tolist()
    )
    varying = ~np.isnan(margins)
    tally.near(f"{text}: margins", np.array(margins)[varying], 1e-9, line["margins"][varying])
