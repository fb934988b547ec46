"""model + target -> Circuit: every reading tried, the survivors measured and scored, a verdict with its reason."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import prod
from typing import Any

import torch
from torch import Tensor

from xor_mi.activations import LayerValues, exact_forward
from xor_mi.circuits.circuit import Circuit, JointReading
from xor_mi.circuits.netlist import compose, compose_swapped, measure_netlist
from xor_mi.circuits.readings import consistent, faithful_readings
from xor_mi.errors import XorMiError
from xor_mi.interventions import patch_sweep
from xor_mi.metrics import UNDECIDED, decision, decisions
from xor_mi.model import HookedMLP, require_exact
from xor_mi.truth import MAX_INPUTS, BooleanFunction, row_name, truth_rows


@torch.no_grad()
def identify_circuit(model: Any, target: Any = None, max_readings: int = 10_000) -> Circuit:
    """Which hidden unit acts as which gate: every reading tried, the survivors measured, a verdict with its reason.

    Args:
        target: what the network should compute: a gate, a formula or a `BooleanFunction`. Default: `model.cfg.target`, and where that is
            None too, whatever the network decides.
        max_readings: refuse to go on with more joint readings than this (a constant function has that many: every reading is faithful).

    >>> from xor_mi.handmade import textbook_xor
    >>> circuit = identify_circuit(textbook_xor())
    >>> circuit.verdict, [unit.gate for unit in circuit.units], circuit.readout
    ('identified', ['OR', 'AND'], 'h0.0 & ~h0.1')

    Raises:
        XorMiError: train mode, weights that are not finite, a target of another width, or too many joint readings.
    """
    require_exact(model, "identifying a circuit")
    if max(model.cfg.d_hidden) > MAX_INPUTS:
        raise XorMiError(
            f"a layer of {max(model.cfg.d_hidden)} units has too many combinations of levels; at most {MAX_INPUTS} units per layer"
        )
    rows = truth_rows(model.cfg.d_in)
    layers = exact_forward(model, torch.tensor(rows))
    decided = decision(layers[-1].post, model.threshold)
    given = model.cfg.target if target is None else target
    function = BooleanFunction.of(_own_function(decided) if given is None else given, model.cfg.d_in)
    if function.n_outputs != model.cfg.d_out:
        raise XorMiError(f"the target has {function.n_outputs} outputs; the network has {model.cfg.d_out}")
    wrong = _wrong_rows(decided, decisions(model).cpu(), function)
    if wrong:
        return Circuit(function, "not_computing", f"it does not compute {function.name}: {wrong}", (), model.layer_sizes)
    kept = list(_kept_readings(model, layers, decided, max_readings))
    kept = _with_interchange(model, kept)
    kept.sort(key=lambda joint: (-joint.interchange_accuracy, -joint.worst_margin, joint.gates))
    verdict = ("no_gate_reading", "identified")[len(kept)] if len(kept) < 2 else "ambiguous"
    return Circuit(function, verdict, _reason(verdict, function, kept), tuple(kept), model.layer_sizes)


def _own_function(decided: Tensor) -> BooleanFunction:
    n_inputs = len(decided).bit_length() - 1
    return BooleanFunction(n_inputs, tuple(tuple(column) for column in decided.clamp(min=0).T.tolist()))


def _wrong_rows(decided: Tensor, in_its_dtype: Tensor, function: BooleanFunction) -> str:
    """'wrong on 01, undecided on 11', or '' where every row is decided as the function says, whatever the rounding."""
    goal = torch.tensor(function.tables).T
    names = [row_name(row) for row in function.rows()]
    undecided = [name for name, row in zip(names, decided, strict=True) if (row == UNDECIDED).any()]
    wrong = [name for name, d, g in zip(names, decided, goal, strict=True) if ((d != g) & (d != UNDECIDED)).any()]
    rounded = [name for name, d, m in zip(names, decided, in_its_dtype, strict=True) if (d != m).any()]
    found = (("wrong", wrong), ("undecided", undecided), ("decided by rounding alone", rounded))
    parts = [f"{what} on {', '.join(which)}" for what, which in found if which]
    return " and ".join(parts)


def _kept_readings(model: HookedMLP, layers: Sequence[LayerValues], decided: Tensor, bound: int) -> Iterator[JointReading]:
    """Joint readings that are faithful, consistent and compose to the network's decisions."""
    per_layer = [faithful_readings(model, layers, layer, decided) for layer in range(model.cfg.n_layers)]
    count = prod(len(options) for options in per_layer)
    if count > bound:
        raise XorMiError(
            f"{count} faithful joint readings, more than max_readings={bound}; raise it (some milliseconds each), or study fewer units"
        )
    for choice in product(*per_layer):
        readings = tuple(option for option, _ in choice)
        if not all(consistent(before, after) for before, after in pairwise(readings)):
            continue
        netlist = measure_netlist(model, readings)
        if torch.equal(compose(netlist, model.layer_sizes), decided):
            yield JointReading(readings, netlist, min(margin for _, margin in choice), {}, 4**model.cfg.d_in)


def _with_interchange(model: HookedMLP, joints: Sequence[JointReading]) -> list[JointReading]:
    """Score every kept reading: on how many (base, source) pairs does the network, with one unit's value taken from the source, decide as
    the netlist with that unit's bit taken from the source?"""
    if not joints:
        return []
    rows, units = truth_rows(model.cfg.d_in), model.units()
    pairs = [(source, base) for base, source in product(rows, repeat=2)]
    sweeps = [patch_sweep(model, pairs, units, output=k).decisions for k in range(model.cfg.d_out)]
    network = torch.stack(sweeps, dim=-1).cpu().reshape(len(rows), len(rows), len(units), -1)  # [base, source, unit, output]
    scored = []
    for joint in joints:
        bits = torch.tensor([joint.readings[unit.layer][unit.index].bits for unit in units])
        predicted = compose_swapped(joint.netlist, model.layer_sizes, units, bits)  # [base, unit, source, output]
        agreed = (predicted == network.transpose(1, 2)).all(-1).sum((0, 2)).tolist()
        scored.append(replace(joint, interchange=dict(zip(units, agreed, strict=True))))
    return scored


def _reason(verdict: str, function: BooleanFunction, kept: Sequence[JointReading]) -> str:
    if verdict == "no_gate_reading":
        return f"it computes {function.name}, but no reading of its units as bits survives two-level substitution and composes to it"
    first = kept[0]
    share = f"{sum(first.interchange.values())} of {first.n_interchange * len(first.interchange)}"
    facts = f"{first.formula}; the netlist gives {function.name} on all rows, and {share} interchanges come out as it predicts"
    if verdict == "identified":
        return f"exactly one joint reading survives: {function.name} = {facts}"
    return f"{len(kept)} joint readings survive, so several explanations hold; under the first, {function.name} = {facts}"
