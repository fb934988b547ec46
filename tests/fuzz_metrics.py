"""A random network: every column about decisions, in every sweep, against plain Python.

Weights are small whole numbers, so that outputs tie and lie exactly on the threshold.
"""

import random
from itertools import pairwise, product

import torch
from oracles import decisions as by_hand

from xor_mi.interventions import ablation_sweep, attribute, patch_sweep, path_sweep
from xor_mi.metrics import accuracy, decisions, logit_difference
from xor_mi.model import HookedMLP
from xor_mi.values import compare

SHAPES = ((1, 1, 1), (2, 2, 1), (2, 3, 2), (2, 2, 3), (3, 2, 2), (2, 2, 2, 1), (2, 2, 2, 3))
ACTS = ("relu", "leaky_relu", "identity", "hardtanh", "heaviside", "sign")


def drawn(rng: random.Random) -> tuple[HookedMLP, by_hand.Layers, str]:
    """A network, and the same as lists."""
    sizes = rng.choice(SHAPES)
    layers = [
        (
            [[float(rng.randint(-2, 2)) for _ in range(d_in)] for _ in range(d_out)],
            [float(rng.randint(-1, 1)) for _ in range(d_out)],
        )
        for d_in, d_out in pairwise(sizes)
    ]
    act = rng.choice(ACTS)
    rule = rng.choice(("threshold", "argmax")) if sizes[-1] > 1 else "threshold"
    n_decisions = 1 if rule == "argmax" and sizes[-1] == 2 else sizes[-1]
    target = None
    if n_decisions == 1 and rng.random() < 0.5:
        n_rows = 2 ** sizes[0]
        bits = [rng.randint(0, 1) for _ in range(n_rows)]
        names = ["".join(map(str, row)) for row in product((0, 1), repeat=sizes[0])]
        ones = [name for name, bit in zip(names, bits, strict=True) if bit]
        target = _formula(ones, sizes[0])
    model = HookedMLP.from_weights(
        layers,
        act_fn=act,
        negative_slope=0.25,
        out_act_fn=rng.choice(("identity", "hardtanh")),
        decision_rule=rule,
        decision_threshold=0.0 if rule == "argmax" else rng.choice((0.0, 0.5, 1.0, -1.0)),
        input_levels=rng.choice(((0.0, 1.0), (-1.0, 1.0))),
        target=target,
        dtype="float64",
    )
    return model, layers, act


def _formula(ones: list[str], n_inputs: int) -> str:
    terms = [
        " & ".join(f"x{k}" if bit == "1" else f"~x{k}" for k, bit in enumerate(row)) for row in ones
    ]
    return " | ".join(f"({term})" for term in terms) if terms else f"x{n_inputs - 1} & ~x0 & x0"


def mismatches(rng: random.Random) -> tuple[int, list[str]]:
    """How many comparisons were made of one drawn network, and a line for each that differs."""
    model, layers, act = drawn(rng)
    cfg = model.cfg
    output = rng.randrange(cfg.n_decisions)
    rows = list(product((0, 1), repeat=cfg.d_in))
    names = ["".join(map(str, row)) for row in rows]
    told: list[str] = []
    n = 0

    def check(what: str, found: object, expected: object) -> None:
        nonlocal n
        n += 1
        if found != expected:
            told.append(f"{what}: {found}, not {expected}, of {cfg.to_dict()}, {layers}")

    def run(row, held=None):
        at = [cfg.input_levels[bit] for bit in row]
        hidden, outputs = by_hand.run(layers, act, cfg.out_act_fn, at, held)
        decided = by_hand.decide(outputs, cfg.decision_rule, cfg.threshold)
        return hidden, by_hand.score(outputs, cfg.decision_rule, output), decided[output], decided

    plain = {name: run(row) for name, row in zip(names, rows, strict=True)}
    check("decisions", decisions(model).tolist(), [plain[name][3] for name in names])
    for a, b in (rng.sample(names, 2), rng.sample(names, 2)):
        two = compare(model, a, b)
        check("compare", (two.decision_a, two.decision_b), (tuple(plain[a][3]), tuple(plain[b][3])))

    direction = rng.choice(("denoising", "noising"))
    sweep = patch_sweep(model, direction=direction, output=output).frame()
    for line in sweep.to_dict("records"):
        layer, unit = (int(part) for part in line["site"][1:].split("."))
        base, source = line["corrupted"], line["clean"]
        if direction == "noising":
            base, source = source, base
        held = {(layer, unit): plain[source][0][layer][unit]}
        _, value, decided, _ = run(rows[names.index(base)], held)
        name = model.rule.score_name
        check("patched score", line[f"patched_{name}"], value)
        check("clean score", line[f"clean_{name}"], plain[line["clean"]][1])
        check("decision_patched", line["decision_patched"], decided)
        check("flips", line["flips"], decided != plain[base][2])

    for line in ablation_sweep(model, value="zero", output=output).frame().to_dict("records"):
        layer, unit = (int(part) for part in line["site"][1:].split("."))
        row = rows[names.index(line["row"])]
        _, value, decided, _ = run(row, {(layer, unit): 0.0})
        before = plain[line["row"]][2]
        check("ablated score", line[f"after_{model.rule.score_name}"], value)
        check("decision_after", line["decision_after"], decided)
        check("ablation flips", line["flips"], decided != before)
        if cfg.target is not None:
            check("right", line["right"], decided == cfg.target(*row))

    # a path of two units is the first one's change along one edge: with a hidden layer alone that
    # is the unit patched for this output only
    if len(layers) == 2 and cfg.n_decisions == cfg.d_out:
        weight, _ = layers[1]
        paths = path_sweep(model, [["h0.0", f"y{output}"]], output=output).frame()
        for line in paths.to_dict("records"):
            base, source = line["corrupted"], line["clean"]
            held = {(0, 0): plain[source][0][0][0]}
            at = [cfg.input_levels[int(bit)] for bit in base]
            _, moved = by_hand.run(layers, act, cfg.out_act_fn, at, held)
            _, before = by_hand.run(layers, act, cfg.out_act_fn, at)
            before[output] = moved[output]
            decided = by_hand.decide(before, cfg.decision_rule, cfg.threshold)[output]
            check("path decision", line["decision_patched"], decided)
            check("path flips", line["flips"], decided != plain[base][2])
        assert weight

    pairs = [(a, b) for a, b in product(names, repeat=2) if a != b and plain[a][2] != -1]
    labels = {
        name: plain[name][2] if cfg.target is None else cfg.target(*row)
        for name, row in zip(names, rows, strict=True)
    }
    cut = 0.0 if cfg.decision_rule == "argmax" else cfg.threshold
    if pairs:
        signed = patch_sweep(model, pairs, metrics=logit_difference, output=output)
        scores = attribute(model, pairs, metrics={"ld": logit_difference}, output=output)
        effects = scores.scores[0].T.flatten().tolist()
        for number, line in enumerate(signed.frame().to_dict("records")):
            sign = 1 if labels[line["clean"]] else -1
            layer, unit = (int(part) for part in line["site"][1:].split("."))
            held = {(layer, unit): plain[line["clean"]][0][layer][unit]}
            _, value, _, _ = run(rows[names.index(line["corrupted"])], held)
            was = plain[line["corrupted"]][1]
            check("logit difference", line["patched_logit_difference"], sign * (value - cut))
            check("attributed", effects[number], sign * (value - was))
    if cfg.target is not None:
        share = sum(plain[name][2] == labels[name] for name in names) / len(names)
        found = accuracy(model(model.rows()), [labels[name] for name in names], rule=model.rule)
        check("accuracy", found, float(torch.tensor(share)))
    return n, told
