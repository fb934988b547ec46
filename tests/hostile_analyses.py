"""Doors for analyses: scans, sweeps with inputs between the rows, metrics, reports, playgrounds."""

import random
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from hostile_values import Wrong, fingerprint, odd

from xor_mi import (
    HighLevelModel,
    HookedMLP,
    ablation_sweep,
    compare,
    diagnose,
    find_subcircuits,
    handmade,
    identifiability_report,
    identify_circuit,
    interchange_accuracy,
    interventions,
    metrics,
    patch,
    patch_sweep,
    report,
    scan_gates,
    testing,
    widgets,
)
from xor_mi.search import (
    count_perfect_subcircuits,
    counting_cost,
    edge_masks,
    outputs_of_edge_masks,
)

TEXTBOOK = handmade.textbook_xor()
counting_cost(TEXTBOOK)  # numba is loaded, and this machine measured, before a door is timed


def network(rng: random.Random) -> Any:
    """One that solves its target, one that does not, one that cannot be drawn, or something odd."""
    choice = rng.random()
    if choice < 0.4:
        return handmade.textbook_xor()
    if choice < 0.7:
        weight = [[rng.choice([-1.0, 0.0, 1.0, 1e6]) for _ in range(2)] for _ in range(2)]
        readout = [[rng.choice([-2.0, 0.0, 1.0]) for _ in range(2)]]
        target = rng.choice(["XOR", "AND", None])
        return HookedMLP.from_weights([(weight, [0.0, -1.0]), (readout, [0.0])], target=target)
    if choice < 0.9:
        sizes = rng.choice([(1, 1, 1), (3, 2, 1), (2, 2, 2), (2, 2, 2, 1)])
        layers = [
            ([[rng.choice([-1.0, 1.0]) for _ in range(a)] for _ in range(b)], [0.0] * b)
            for a, b in pairwise(sizes)
        ]
        rule = rng.choice(["threshold", "argmax"]) if sizes[-1] == 2 else "threshold"
        act_fn = rng.choice(["relu", "tanh", "heaviside"])
        return HookedMLP.from_weights(layers, act_fn=act_fn, decision_rule=rule)
    if choice < 0.95:
        return handmade.textbook_xor().train()
    return odd(rng)


def mostly(rng: random.Random, usual: list[Any], others: list[Any]) -> Any:
    """One of the usual values, or now and then one of the others."""
    return rng.choice(others if rng.random() < 0.15 else usual)


def numbers(rng: random.Random, *, dims: int = 2) -> Any:
    """A tensor of any shape and kind."""
    shape = [
        rng.choice([0, 1, 2, 2, 3, 4]) for _ in range(rng.choice([dims, dims, rng.randrange(4)]))
    ]
    dtype = rng.choice(
        [
            torch.float32,
            torch.float32,
            torch.float64,
            torch.int64,
            torch.bool,
            torch.complex64,
            torch.float16,
        ]
    )
    size = 1
    for one in shape:
        size *= one
    values = [
        rng.choice(
            [0.0, 1.0, 0.25, -1.0, 1e30, float("nan"), float("inf")]
            if rng.random() < 0.3
            else [0.0, 1.0, 0.5]
        )
        for _ in range(size)
    ]
    return torch.tensor(values).reshape(shape).to(dtype) if rng.random() < 0.9 else odd(rng)


def door_scan(rng: random.Random, _: Path) -> None:
    """Inputs, features and sites of a scan for gates."""
    model = network(rng)
    n = mostly(rng, [4, 8], [0, 1])
    rows = torch.tensor([[k >> 1 & 1, k & 1] for k in range(n)]).reshape(n, 2)
    inputs = mostly(rng, [rows, rows.float()], [numbers(rng)])
    features: Any = {"a": rows[:, 0], "b": rows[:, 1]}
    for _ in range(mostly(rng, [0], [1, 2])):
        features[rng.choice(["a", "b", "c", "", "x y", 3])] = rng.choice(
            [[0, 1] * (n // 2), [0, 2] * 2, "0101", numbers(rng, dims=1), odd(rng)]
        )
    features = mostly(rng, [features], [odd(rng)])
    hooks = ["blocks.0.mlp.hook_post", "hook_logits", "h0.0", ["hook_embed"]]
    sites = mostly(rng, hooks, [odd(rng)])
    settings = {
        name: mostly(rng, [1, 5], [odd(rng)])
        for name in rng.sample(["n_permutations", "seed", "max_batch_bytes"], rng.choice([0, 1]))
    }
    # a shuffle more than this takes seconds and says nothing about hostile values
    if isinstance(settings.get("n_permutations"), int) and settings["n_permutations"] > 10**4:
        settings["n_permutations"] = 5
    scan = scan_gates(
        model, inputs, features, sites, progress=False, **{"n_permutations": 5, **settings}
    )
    frame = scan.frame()
    if len(frame) and not frame["p_value"].dropna().between(0, 1).all():
        raise Wrong("a p-value outside 0 to 1")


def door_sweeps(rng: random.Random, _: Path) -> None:
    """Inputs that are tensors, pairs, rows, metrics and values of interventions."""
    model: Any = network(rng)
    clean, corrupted = numbers(rng), numbers(rng)
    if rng.random() < 0.8:
        n = rng.choice([1, 3])
        clean, corrupted = (
            torch.tensor([[rng.choice([0.0, 1.0, rng.random()]) for _ in "ab"] for _ in range(n)])
            for _ in range(2)
        )
    metric = mostly(
        rng,
        [None, None, metrics.logit, metrics.probability, {"a": metrics.logit}],
        [lambda y: y, lambda y: y.sum(), lambda y: None, {}, odd(rng)],
    )
    direction = mostly(rng, ["denoising", "noising"], [odd(rng)])
    value = mostly(rng, ["zero", "mean", "resample", 0.5], [numbers(rng, dims=1), odd(rng)])
    given: dict[str, Any] = {"metrics": metric, "output": mostly(rng, [0], [1, odd(rng)])}
    method = mostly(rng, [*interventions.METHODS], [odd(rng)])
    algorithm = HighLevelModel({"a": "x0 | x1", "b": "x0 & x1"}, "a & ~b")
    alignment: Any = rng.choice(
        [{"a": "h0.0", "b": "h0.1"}, {"a": "h0.0"}, {"a": odd(rng)}, odd(rng)]
    )
    kept = clean.clone() if isinstance(clean, torch.Tensor) else None
    calls: list[Callable[[], Any]] = [
        lambda: patch_sweep(model, (clean, corrupted), direction=direction, progress=False, **given),
        lambda: patch_sweep(model, [(odd(rng), "01")], direction=direction, progress=False, **given),
        lambda: patch(model, clean, corrupted, "h0.0", direction=direction, **given),
        lambda: ablation_sweep(model, rows=clean, value=value, progress=False, **given),
        lambda: ablation_sweep(model, over=corrupted, value=value, subsets="all", progress=False, **given),
        lambda: interventions.path_sweep(model, [["x0", "h0.0", "y0"]], (clean, corrupted), progress=False, **given),
        lambda: interventions.attribute(model, (clean, corrupted), method=method, progress=False, **given),
        lambda: compare(model, clean, corrupted),
        lambda: interchange_accuracy(model, algorithm, alignment, progress=False).accuracy(),
    ]  # fmt: skip
    found = rng.choice(calls)()
    if kept is not None and not torch.equal(kept.nan_to_num(), clean.nan_to_num()):
        raise Wrong("the caller's tensor was changed")
    frame = found.frame() if hasattr(found, "frame") else None
    if frame is not None and not len(frame):
        raise Wrong("an empty frame")


def door_metrics(rng: random.Random, _: Path) -> None:
    """Outputs, labels, thresholds and rules."""
    outputs = numbers(rng)
    labels: Any = rng.choice([numbers(rng, dims=1), numbers(rng), [0, 1], odd(rng)])
    output: Any = rng.choice([0, 0, 1, -1, odd(rng)])
    rule: Any = rng.choice([None, None, TEXTBOOK.rule, odd(rng)])
    threshold: Any = rng.choice([0.5, 0, odd(rng)])
    calls: list[Callable[[], Any]] = [
        lambda: metrics.logit(outputs, output=output, rule=rule),
        lambda: metrics.probability(outputs, output=output),
        lambda: metrics.logit_difference(outputs, labels, threshold=rng.choice([None, threshold]), output=output, rule=rule),
        lambda: metrics.decision(outputs, threshold=threshold),
        lambda: metrics.accuracy(outputs, labels, threshold=rng.choice([None, threshold]), rule=rule),
        lambda: metrics.decisions(network(rng), rng.choice([None, odd(rng)])),
        lambda: metrics.share_interval(rng.choice([0, 1, 5, odd(rng)]), rng.choice([0, 5, odd(rng)])),
    ]  # fmt: skip
    number = rng.randrange(len(calls))
    found = calls[number]()
    if number == 4 and not 0 <= found <= 1:
        raise Wrong(f"an accuracy of {found}")
    if number < 3 and tuple(found.shape) != tuple(outputs.shape[:1]):
        raise Wrong(f"shape {tuple(found.shape)} for outputs {tuple(outputs.shape)}")


def door_findings(rng: random.Random, _: Path) -> None:
    """Analyses of any network, whether or not it computes its target."""
    model: Any = network(rng)
    target: Any = rng.choice([None, "XOR", "AND", odd(rng)])
    calls: list[Callable[[], Any]] = [
        lambda: identify_circuit(model, target, require=rng.choice(["joint", "single", odd(rng)]), progress=False),
        lambda: identify_circuit(model, target, min_margin=odd(rng), progress=False),
        lambda: diagnose(model, target),
        lambda: find_subcircuits(model, target, convention=rng.choice([None, "meloux_code", odd(rng)]), progress=False),
        lambda: identifiability_report(model, target, progress=False),
        lambda: testing.assert_same_circuit(model, network(rng)),
        lambda: testing.assert_computes(model, target),
        lambda: testing.assert_acts_as(model, rng.choice([{"OR": 0, "AND": 1}, {"OR": odd(rng)}, odd(rng)])),
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = rng.choice(calls)()
        except AssertionError as said:  # what a test is told
            if isinstance(said, Wrong) or not str(said):
                raise
            return
    if found is not None and not str(found):
        raise Wrong("a finding without a text")


def door_masks(rng: random.Random, _: Path) -> None:
    """Sets of edges and counts of any network; numbers of masks that do not exist."""
    model: Any = network(rng)
    target: Any = rng.choice([None, "XOR", "AND", odd(rng)])
    asked: Any = {"convention": rng.choice([None, "meloux_code", odd(rng)])}
    drop_unfed: Any = rng.choice([True, False, odd(rng)])
    masks: Any = rng.choice(
        [0, 63, 64, [1, 2], [], [[1], [1, 2]], [[1, 2]], slice(0, 9), slice("a"), odd(rng)]
    )
    kept: Any = rng.choice(
        [[[1, 1, 0, 0, 1, 0]], [[0, 1]], [], [[1], [1, 2]], [[0.5] * 6], torch.ones(1, 6), odd(rng)]
    )
    calls: list[Callable[[], Any]] = [
        lambda: edge_masks(model, target, drop_unfed=drop_unfed, progress=False, **asked),
        lambda: edge_masks(TEXTBOOK, progress=False).kept(masks),
        lambda: edge_masks(TEXTBOOK, progress=False).subcircuit(masks),
        lambda: edge_masks(TEXTBOOK, progress=False).mask_of(masks),
        lambda: outputs_of_edge_masks(model, kept, drop_unfed=drop_unfed, progress=False, **asked),
        lambda: outputs_of_edge_masks(TEXTBOOK, kept, progress=False),
        lambda: counting_cost(model, target, **asked),
        lambda: count_perfect_subcircuits(model, target, progress=False, **asked),
    ]
    number = rng.randrange(len(calls))
    found = calls[number]()
    if number == 1 and found.shape[-1] != 6:
        raise Wrong(f"masks of 6 edges have the shape {found.shape}")
    if number == 6 and not (found.seconds >= 0 and found.n_bytes > 0 and str(found)):
        raise Wrong(f"a count that costs {found}")


def door_report(rng: random.Random, folder: Path) -> None:
    """A report on any network, into any folder; nothing is left behind where it is refused."""
    model: Any = network(rng)
    target: Any = rng.choice([folder / "new", folder, str(folder / "new"), odd(rng)])
    if (isinstance(target, str) and target in ("..", "/", ".")) or isinstance(target, bytes):
        target = folder
    if isinstance(target, str) and not target.startswith(str(folder)):
        target = str(folder) + "/" + target.replace("/", "_").replace("..", "_")
    before = fingerprint(folder)
    try:
        report.write_report(model, target, progress=False)
    except Exception:
        if fingerprint(folder) != before:
            raise Wrong("a refused report left files behind") from None
        raise


def door_playground(rng: random.Random, _: Path) -> None:
    """Sliders of any network, moved anywhere."""
    play = widgets.playground(network(rng))
    weight = rng.choice([*play.weights, "fc1.weight[0, 1]", "w99"])
    play.move(weight, rng.choice([0.0, 0.5, 1e9, -3, float("nan"), "x"]))
    if play.circuit.verdict not in (
        "identified",
        "ambiguous",
        "approximate",
        "no_gate_reading",
        "not_computing",
    ):
        raise Wrong(play.circuit.verdict)


DOORS_OF_ANALYSES: dict[str, Callable[[random.Random, Path], None]] = {
    name.removeprefix("door_"): door
    for name, door in list(globals().items())
    if name.startswith("door_")
}
