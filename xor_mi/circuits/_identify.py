"""model + target -> Circuit: every reading tried, the survivors measured and scored, a verdict with
its reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from xor_mi.circuits._circuit import Circuit
from xor_mi.circuits._evidence import Evidence, affine, gather
from xor_mi.circuits._netlist import (
    JointReading,
    LocalGate,
    compose,
    compose_swapped,
    measure_netlist,
)
from xor_mi.circuits._readings import MAX_TRIED, Reading, consistent, faithful_readings
from xor_mi.errors import TooManyReadings, XorMiError
from xor_mi.interventions import patch_sweep
from xor_mi.metrics import UNDECIDED, decision, decisions, share_interval
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.truth import MAX_INPUTS, BooleanFunction, row_name, truth_rows
from xor_mi.values import LayerValues, forward_float64

QUOTABLE = 200
"""A longer nested formula is given over the last hidden layer's units in the verdict's sentence;
`Circuit.formulas` has all forms.
"""


@torch.no_grad()
def identify_circuit(
    model: Any,
    target: Any = None,
    *,
    max_readings: int = 10_000,
    with_evidence: bool = True,
    n_controls: int = 0,
) -> Circuit:
    """Which hidden unit acts as which gate: every reading tried, the survivors measured, a verdict
    with its reason.

    Args:
        target: what the network should compute: a gate, a formula or a `BooleanFunction`. Default:
            `model.cfg.target`, and where that is None too, whatever the network decides.
        max_readings: refuse to go on with more joint readings than this (a constant function has
            that many: every reading is faithful).
        evidence: also measure what `Circuit.evidence` holds (a few milliseconds).
        n_controls: how many untrained networks and shuffled targets to run the same pipeline on,
            for two more claims; see `control_rates`.

    >>> from xor_mi.handmade import textbook_xor
    >>> circuit = identify_circuit(textbook_xor())
    >>> circuit.verdict, [unit.gate for unit in circuit.units], circuit.readout
    ('identified', ['OR', 'AND'], 'h0.0 & ~h0.1')

    Raises:
        XorMiError: train mode, weights that are not finite, a target of another width, or too many
            joint readings.
    """
    require_plain_mlp(model, "identifying a circuit")
    if max(model.cfg.d_hidden) > MAX_INPUTS:
        raise XorMiError(
            f"a layer of {max(model.cfg.d_hidden)} units has too many combinations of levels; at most {MAX_INPUTS} units per layer"
        )
    rows = truth_rows(model.cfg.d_in)
    layers = forward_float64(model, torch.tensor(rows))
    decided = decision(layers[-1].post, threshold=model.threshold)
    given = model.cfg.target if target is None else target
    function = BooleanFunction.of(
        _own_function(decided) if given is None else given, model.cfg.d_in
    )
    if function.n_outputs != model.cfg.d_out:
        raise XorMiError(
            f"the target has {function.n_outputs} outputs; the network has {model.cfg.d_out}"
        )
    wrong = _wrong_rows(decided, decisions(model).cpu(), function)
    cfg, weights = (
        replace(model.cfg, target=function, use_edge_result=False),
        tuple(model.float64_layers()),
    )
    if wrong:
        return Circuit(
            function,
            "not_computing",
            f"it does not compute {function.name}: {wrong}",
            (),
            cfg,
            weights,
        )
    kept = list(_kept_readings(model, layers, decided, max_readings))
    network = _interchanged(model) if kept else torch.zeros(0)
    kept = [_with_interchange(model, joint, network) for joint in kept]
    copies = _copies(layers)
    kept.sort(
        key=lambda joint: (
            _told_apart(joint, copies),
            -joint.interchange_accuracy,
            -float(f"{joint.worst_margin:.6g}"),
            joint.gates,
        )
    )
    verdict = ("no_gate_reading", "identified")[len(kept)] if len(kept) < 2 else "ambiguous"
    proof = gather(model, layers, decided, kept, network) if kept and with_evidence else None
    if proof and n_controls:
        claims = [
            _control_claim(line)
            for line in control_rates(model, function, n_networks=n_controls).to_dict("records")[:2]
        ]
        proof = replace(proof, claims=(*proof.claims, *claims))
    return Circuit(
        function, verdict, _reason(verdict, function, kept), tuple(kept), cfg, weights, proof
    )


@torch.no_grad()
def control_rates(
    model: Any, target: Any = None, *, n_networks: int = 100, seed: int = 0, progress: bool = True
) -> pd.DataFrame:
    """The same pipeline where it should find nothing: how often does it name gates all the same?

    Lines: "untrained networks", of this shape with fresh weights, held against the target;
    "shuffled targets", this network held against the target with its rows permuted (never back onto
    itself), which no network that computes its target can meet; "untrained networks, own function",
    held against whatever they happen to compute, constants apart: how often a network that was
    never trained has gates at all. Gates alone are therefore no sign of training. Columns: control,
    n, n_positive, rate, ci_low, ci_high (95 % Clopper-Pearson). An untrained network that computes
    the target by luck counts as a positive.

    >>> from xor_mi.handmade import textbook_xor
    >>> control_rates(textbook_xor(), n_networks=5)["control"].tolist()
    ['untrained networks', 'shuffled targets', 'untrained networks, own function']
    """
    require_plain_mlp(model, "measuring controls")
    if n_networks < 1:
        raise XorMiError(f"n is {n_networks}; give at least one control network")
    asked = model.cfg.target if target is None else target
    function = BooleanFunction.of(
        asked if asked is not None else _decided_function(model), model.cfg.d_in
    )
    found: dict[str, list[bool]] = {
        "untrained networks": [],
        "shuffled targets": [],
        "untrained networks, own function": [],
    }
    generator = torch.Generator().manual_seed(seed)
    for k in tqdm(
        range(n_networks), desc="controls", unit="network", disable=None if progress else True
    ):
        untrained = HookedMLP(replace(model.cfg, seed=seed + k, target=None, use_edge_result=False))
        found["untrained networks"].append(_is_named(untrained, function))
        order = torch.randperm(len(function.rows()), generator=generator).tolist()
        shuffled = tuple(tuple(table[i] for i in order) for table in function.tables)
        if shuffled != function.tables:
            found["shuffled targets"].append(
                _is_named(model, BooleanFunction(function.n_inputs, shuffled))
            )
        own = _decided_function(untrained)
        if any(len(set(table)) > 1 for table in own.tables):
            found["untrained networks, own function"].append(_is_named(untrained, own))
    lines = []
    for what, named in found.items():
        share = share_interval(sum(named), len(named))
        lines.append(
            {
                "control": what,
                "n": len(named),
                "n_positive": sum(named),
                "rate": share.share,
                "ci_low": share.low,
                "ci_high": share.high,
            }
        )
    return pd.DataFrame(lines)


def _is_named(model: HookedMLP, function: BooleanFunction) -> bool:
    try:
        return bool(identify_circuit(model, function, with_evidence=False).readings)
    except TooManyReadings:  # it does have some
        return True


def _control_claim(line: Mapping[Any, Any]) -> Evidence:
    return Evidence(
        kind="control",
        units=(),
        control_runs=line["control"],
        effect=line["n_positive"],
        control=0,
        n=line["n"],
        holds=line["ci_high"] <= 0.1,
    )


def _decided_function(model: HookedMLP) -> BooleanFunction:
    return _own_function(
        decision(forward_float64(model, model.rows())[-1].post, threshold=model.threshold)
    )


def _own_function(decided: Tensor) -> BooleanFunction:
    n_inputs = len(decided).bit_length() - 1
    return BooleanFunction(
        n_inputs, tuple(tuple(column) for column in decided.clamp(min=0).T.tolist())
    )


def _wrong_rows(decided: Tensor, in_its_dtype: Tensor, function: BooleanFunction) -> str:
    """'wrong on 01, undecided on 11', or '' where every row is decided as the function says,
    whatever the rounding.
    """
    goal = torch.tensor(function.tables).T
    names = [row_name(row) for row in function.rows()]
    undecided = [name for name, row in zip(names, decided, strict=True) if (row == UNDECIDED).any()]
    wrong = [
        name
        for name, d, g in zip(names, decided, goal, strict=True)
        if ((d != g) & (d != UNDECIDED)).any()
    ]
    rounded = [
        name for name, d, m in zip(names, decided, in_its_dtype, strict=True) if (d != m).any()
    ]
    found = (("wrong", wrong), ("undecided", undecided), ("decided by rounding alone", rounded))
    parts = [f"{what} on {', '.join(which)}" for what, which in found if which]
    return " and ".join(parts)


def _kept_readings(
    model: HookedMLP, layers: Sequence[LayerValues], decided: Tensor, bound: int
) -> Iterator[JointReading]:
    """Joint readings that are faithful, consistent and compose to the network's decisions."""
    choices: list[tuple[tuple[tuple[Reading, ...], ...], float]] = [((), float("inf"))]
    for layer in range(
        model.cfg.n_layers
    ):  # layer by layer, so that what is inconsistent below is never combined with what is above
        options = faithful_readings(model, layers, layer, decided)
        if len(choices) * len(options) > MAX_TRIED:
            raise TooManyReadings(
                f"{len(choices) * len(options)} joint readings up to layer {layer}; at most {MAX_TRIED} can be tried"
            )
        choices = [
            ((*before, option), min(worst, margin))
            for before, worst in choices
            for option, margin in options
            if not before or consistent(before[-1], option)
        ]
        if len(choices) > bound:
            raise TooManyReadings(
                f"{len(choices)} faithful joint readings, more than max_readings={bound}; raise it (some milliseconds each), "
                "or study fewer units"
            )
    for readings, margin in choices:
        netlist = measure_netlist(model, readings)
        if _composes(netlist, readings, model.layer_sizes, decided):
            yield JointReading(readings, netlist, margin, {}, 4**model.cfg.d_in)


def _composes(
    netlist: Sequence[LocalGate],
    readings: Sequence[Sequence[Reading]],
    layer_sizes: Sequence[int],
    decided: Tensor,
) -> bool:
    """The measured gates, run on all rows, give every hidden unit the bits it is read as, and every
    output its decisions.
    """
    outputs = []
    for unit, bits in compose(netlist, layer_sizes).items():
        if unit.is_output:
            outputs.append(bits)
        elif bits.tolist() != list(readings[unit.layer][unit.index].bits):
            return False
    return torch.equal(torch.stack(outputs, dim=1), decided)


def _copies(layers: Sequence[LayerValues]) -> list[tuple[int, int, int]]:
    """(layer, unit, unit) where one unit's values are a positive multiple of the other's, plus a
    constant: copies, for every purpose.
    """
    found = []
    for layer, values in enumerate(layers[:-1]):
        alive = [
            k
            for k in range(values.post.shape[1])
            if values.post[:, k].max() > values.post[:, k].min()
        ]
        found += [
            (layer, a, b)
            for a, b in combinations(alive, 2)
            if affine(values.post[:, a], values.post[:, b])
        ]
    return found


def _told_apart(joint: JointReading, copies: Sequence[tuple[int, int, int]]) -> int:
    """How many pairs of copies this reading gives different gates, complements apart: it is listed,
    but others come first.
    """
    pairs = [
        (joint.readings[layer][a].bits, joint.readings[layer][b].bits) for layer, a, b in copies
    ]
    return sum(a != b and a != tuple(1 - bit for bit in b) for a, b in pairs)


def _interchanged(model: HookedMLP) -> Tensor:
    """What the network decides with each unit's value taken from each source, [base, source, unit,
    output].
    """
    rows, units = truth_rows(model.cfg.d_in), model.units
    pairs = [(source, base) for base, source in product(rows, repeat=2)]
    sweeps = [
        patch_sweep(model, pairs, units, output=k, progress=False).decisions.T
        for k in range(model.cfg.d_out)
    ]
    return torch.stack(sweeps, dim=-1).cpu().reshape(len(rows), len(rows), len(units), -1)


def _with_interchange(model: HookedMLP, joint: JointReading, network: Tensor) -> JointReading:
    """On how many (base, source) pairs does the network, with one unit's value taken from the
    source, decide as the netlist with that unit's bit taken from the source?"""
    units = model.units
    bits = torch.tensor([joint.of(unit).bits for unit in units])
    predicted = compose_swapped(
        joint.netlist, model.layer_sizes, units, bits
    )  # [base, unit, source, output]
    agreed = (predicted == network.transpose(1, 2)).all(-1).sum((0, 2)).tolist()
    return replace(joint, interchange=dict(zip(units, agreed, strict=True)))


def _reason(verdict: str, function: BooleanFunction, kept: Sequence[JointReading]) -> str:
    if verdict == "no_gate_reading":
        return f"it computes {function.name}, but no reading of its units as bits survives two-level substitution and composes to it"
    first = kept[0]
    share = f"{sum(first.interchange.values())} of {first.n_interchange * len(first.interchange)}"
    written = (
        first.formula
        if len(first.formula) <= QUOTABLE
        else f"({', '.join(gate.formula for gate in first.netlist if gate.unit.is_output)})"
    )
    facts = f"{written}; the netlist gives {function.name} on all rows, and {share} interchanges come out as it predicts"
    if verdict == "identified":
        return f"exactly one joint reading survives: {function.name} = {facts}"
    return f"{len(kept)} joint readings survive, so several explanations hold; under the first, {function.name} = {facts}"
