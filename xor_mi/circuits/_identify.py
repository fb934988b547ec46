"""model + target -> Circuit: every reading tried, the survivors scored, a verdict."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

import torch
from torch import Tensor

from xor_mi.circuits._circuit import Circuit
from xor_mi.circuits._controls import ControlRate, ControlRates, control_claims
from xor_mi.circuits._diagnose import decided_in_float64, own_function, problems_of
from xor_mi.circuits._evidence import Proof, affine, gather
from xor_mi.circuits._facts import Control
from xor_mi.circuits._netlist import (
    JointReading,
    LocalGate,
    compose,
    compose_swapped,
    measure_netlist,
)
from xor_mi.circuits._readings import MAX_TRIED, Reading, consistent, faithful_readings
from xor_mi.circuits._signature import picked
from xor_mi.circuits._steps import on_step
from xor_mi.circuits._tables import MAX_UNITS
from xor_mi.errors import TooManyReadings, XorMiError, whole_number
from xor_mi.graph import Unit
from xor_mi.interventions import patch_sweep
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar
from xor_mi.truth import MAX_INPUTS, BooleanFunction, truth_rows
from xor_mi.values import LayerValues, forward_float64

MAX_ENTRIES = 10_000 * 2**12
"""The tables of all readings together have at most so many entries where a layer is wider than 12
units.
"""


@torch.no_grad()
def identify_circuit(
    model: HookedMLP,
    target: Target | None = None,
    *,
    max_readings: int = 10_000,
    with_evidence: bool = True,
    n_controls: int = 0,
    progress: bool = True,
) -> Circuit:
    """Which hidden unit acts as which gate: every reading tried, a verdict with its reason.

    Layers may have up to 16 units; how far that goes is told at the top of `xor_mi.circuits`.

    Args:
        target: what the network should compute: a gate, a formula or a `BooleanFunction`. Default:
            `model.cfg.target`, and where that is None too, whatever the network decides.
        max_readings: refuse to list more joint readings than this (a constant function has that
            many: every reading is faithful).
        with_evidence: also measure what `Circuit.evidence` holds (a few milliseconds).
        n_controls: how many untrained networks and shuffled targets to run the same pipeline on,
            for two more claims; see `control_rates`.
        progress: show a bar where the work takes over two seconds.

    >>> from xor_mi.handmade import textbook_xor
    >>> circuit = identify_circuit(textbook_xor())
    >>> circuit.verdict, [unit.gate for unit in circuit.units], circuit.readout
    ('identified', ['OR', 'AND'], 'h0.0 & ~h0.1')

    Raises:
        XorMiError: train mode, weights that are not finite, a target of another width, or too many
            joint readings.
    """
    # Check.
    require_plain_mlp(model, "identifying a circuit")
    max_readings = whole_number("max_readings", max_readings)
    n_controls = whole_number("n_controls", n_controls)
    _require_narrow(model)

    # Look: what the units are on every row, what is decided, and whether that is the target.
    layers = forward_float64(model, model.rows().double())
    decided = model.rule.decide(layers[-1].post)
    function = _target_or_own(model, target, decided)
    circuit = Circuit(
        target=function,
        verdict="not_computing",
        readings=(),
        cfg=replace(model.cfg, target=function, use_edge_result=False),
        weights=tuple(model.float64_layers()),
        on_step=on_step(model, layers),
    )
    problems = problems_of(model, function, decided)
    if problems:
        return replace(circuit, problems=problems)

    # Read: every joint reading that survives substitution and composes to the decisions.
    kept = _kept_readings(model, layers, decided, max_readings=max_readings, progress=progress)
    readings = list(kept)
    if not readings:
        return replace(circuit, verdict="no_gate_reading")

    # Score, and put first what the circuit is reported under.
    interchanged = _interchanged(model)
    readings = [_with_interchange(model, joint, interchanged) for joint in readings]
    readings = _in_order(readings, layers)

    # Prove.
    proof = None
    if with_evidence:
        proof = gather(model, layers, decided, readings, network=interchanged)
        if n_controls:
            proof = _with_controls(proof, model, function, n_networks=n_controls, progress=progress)
    verdict = verdict_of(len(readings))
    return replace(circuit, verdict=verdict, readings=tuple(readings), proof=proof)


def verdict_of(n_readings: int) -> str:
    """The verdict on a network that computes its target and has this many kept readings."""
    if n_readings == 0:
        return "no_gate_reading"
    return "identified" if n_readings == 1 else "ambiguous"


def compared_margin(margin: float) -> float:
    """A margin as readings are ordered by it.

    Six digits: beyond, another order of additions gives other digits, and the order of readings
    that are equally good must not hang on them.
    """
    return float(f"{margin:.6g}")


@torch.no_grad()
def control_rates(
    model: HookedMLP,
    target: Target | None = None,
    *,
    n_networks: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> ControlRates:
    """The same pipeline where it should find nothing: how often does it name gates all the same?

    The controls are "untrained", networks of this shape with fresh weights, held against the
    target; "shuffled_targets", this network held against the target with its rows permuted (never
    back onto itself), which no network that computes its target can meet; and
    "untrained_own_function", the untrained ones held against whatever they happen to compute,
    constants apart: how often a network that was never trained has gates at all. Gates alone are
    therefore no sign of training. An untrained network that computes the target by luck counts as
    a positive.

    >>> from xor_mi.handmade import textbook_xor
    >>> control_rates(textbook_xor(), n_networks=5).frame()["control"].tolist()
    ['untrained', 'shuffled_targets', 'untrained_own_function']

    Raises:
        XorMiError: what `identify_circuit` refuses, or n_networks below 1.
    """
    require_plain_mlp(model, "measuring controls")
    n_networks = whole_number("n_networks", n_networks, at_least=1)
    seed = whole_number("seed", seed)
    function = _target_or_own(model, target, decided_in_float64(model))
    # per control, whether each network tried was given gates
    named: dict[Control, list[bool]] = {
        "untrained": [],
        "shuffled_targets": [],
        "untrained_own_function": [],
    }
    generator = torch.Generator().manual_seed(seed)
    numbers = range(n_networks)
    for k in progress_bar(numbers, doing="controls", unit="network", progress=progress):
        untrained = HookedMLP(replace(model.cfg, seed=seed + k, target=None, use_edge_result=False))
        named["untrained"].append(_is_named(untrained, function))
        # a shuffle may give the target itself back, which the network does compute
        shuffled = _shuffled(function, generator)
        if shuffled.tables != function.tables:
            named["shuffled_targets"].append(_is_named(model, shuffled))
        # constants apart: of a constant function every reading is faithful
        own = own_function(decided_in_float64(untrained))
        if any(len(set(table)) > 1 for table in own.tables):
            named["untrained_own_function"].append(_is_named(untrained, own))
    rates = [ControlRate(control, sum(hits), len(hits)) for control, hits in named.items()]
    return ControlRates(tuple(rates))


def _is_named(model: HookedMLP, function: BooleanFunction) -> bool:
    """Whether the network is given gates when it is held against this function."""
    try:
        circuit = identify_circuit(model, function, with_evidence=False, progress=False)
    except TooManyReadings:  # it does have some, too many to list
        return True
    return bool(circuit.readings)


def _shuffled(function: BooleanFunction, generator: torch.Generator) -> BooleanFunction:
    """The same function with its rows in another order."""
    order = torch.randperm(len(function.rows()), generator=generator).tolist()
    tables = tuple(picked(table, order) for table in function.tables)
    return BooleanFunction(function.n_inputs, tables)


def _with_controls(
    proof: Proof,
    model: HookedMLP,
    function: BooleanFunction,
    *,
    n_networks: int,
    progress: bool,
) -> Proof:
    """The proof with two more claims.

    That untrained networks have gates of their own function is no failure, so it is measured by
    `control_rates` and not claimed here.
    """
    measured = control_rates(model, function, n_networks=n_networks, progress=progress)
    claimed = [rate for rate in measured.rates if rate.control != "untrained_own_function"]
    return replace(proof, claims=(*proof.claims, *control_claims(claimed)))


def _require_narrow(model: HookedMLP) -> None:
    """Refuse a layer whose combinations of levels are too many to be one table."""
    instead = (
        "scan_gates, patch_sweep, ablation_sweep, contributions and find_subcircuits do not need it"
    )
    read = model.cfg.d_hidden[-1] + model.cfg.d_in
    if model.cfg.direct and read > MAX_UNITS:
        raise XorMiError(
            f"an output that reads {model.cfg.d_hidden[-1]} units and {model.cfg.d_in} inputs has "
            f"too many combinations of levels; at most {MAX_UNITS} units and inputs together; "
            f"{instead}"
        )
    widest = max(model.cfg.d_hidden)
    if widest > MAX_UNITS:
        raise XorMiError(
            f"a layer of {widest} units has too many combinations of levels; "
            f"at most {MAX_UNITS} units per layer; {instead}"
        )


def _require_room(model: HookedMLP, choices: Sequence["_Choice"]) -> None:
    """Refuse tables that together have too many entries to be held."""
    if not choices or max(len(sources) for sources in model.sources[1:]) <= MAX_INPUTS:
        return
    # a unit has one value or several whatever it is read as, so one choice speaks for all
    readings, _ = choices[0]
    n_parents = [sum(not reading.constant for reading in layer) for layer in readings]
    n_parents[-1] += model.cfg.d_in * model.cfg.direct
    n_entries = sum(2**number for number in n_parents)
    if len(choices) * n_entries > MAX_ENTRIES:
        raise TooManyReadings(
            f"{len(choices)} faithful joint readings, with tables of {n_entries:,} entries each; "
            f"at most {MAX_ENTRIES // n_entries:,} of that size are measured: study fewer units, "
            "or unit by unit, with scan_gates, patch_sweep and contributions"
        )


def _target_or_own(model: HookedMLP, target: Target | None, decided: Tensor) -> BooleanFunction:
    """What the network is held against: a target, its config's, or what it decides itself."""
    if target is None and model.cfg.target is None:
        return own_function(decided)
    return model.target_of(target)


def _kept_readings(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    decided: Tensor,
    *,
    max_readings: int,
    progress: bool,
) -> Iterator[JointReading]:
    """Joint readings that are faithful, consistent and compose to the network's decisions."""
    choices = _consistent_choices(model, layers, decided, max_readings=max_readings)
    _require_room(model, choices)
    for readings, worst in progress_bar(
        choices, doing="measuring readings", unit="reading", progress=progress
    ):
        netlist = measure_netlist(model, readings)
        if _composes(netlist, readings, model.layer_sizes, decided):
            yield JointReading(
                readings=readings,
                netlist=netlist,
                worst_margin=worst,
                interchange={},  # filled in by `_with_interchange`
                n_interchange=4**model.cfg.d_in,  # every row with every row
            )


_Choice = tuple[tuple[tuple[Reading, ...], ...], float]
"""One reading per unit, layer by layer, and the worst margin over these layers."""


def _consistent_choices(
    model: HookedMLP, layers: Sequence[LayerValues], decided: Tensor, *, max_readings: int
) -> list[_Choice]:
    """All choices of readings that are faithful in every layer and consistent between layers."""
    choices: list[_Choice] = [((), float("inf"))]
    # Layer by layer, so that what is inconsistent below is never combined with what is above.
    for layer in range(model.cfg.n_layers):
        options = faithful_readings(model, layers, layer, decided=decided)
        n_tried = len(choices) * len(options)
        if n_tried > MAX_TRIED:
            raise TooManyReadings(
                f"{n_tried} joint readings up to layer {layer}; at most {MAX_TRIED} can be tried: "
                "study fewer units, or unit by unit, with scan_gates, patch_sweep and contributions"
            )
        choices = [
            ((*before, option), min(worst, margin))
            for (before, worst), (option, margin) in product(choices, options)
            if not before or consistent(before[-1], option)
        ]
        if len(choices) > max_readings:
            raise TooManyReadings(
                f"{len(choices)} faithful joint readings, more than max_readings={max_readings}; "
                "raise it (some milliseconds each), or study fewer units"
            )
    return choices


def _composes(
    netlist: Sequence[LocalGate],
    readings: Sequence[Sequence[Reading]],
    layer_sizes: Sequence[int],
    decided: Tensor,
) -> bool:
    """Whether the measured gates, run on all rows, give what the network gives.

    That is, every hidden unit the bits it is read as, and the outputs its decisions.
    """
    outputs = []
    for unit, bits in compose(netlist, layer_sizes).items():
        if unit.is_output:
            outputs.append(bits)
        elif bits.tolist() != list(readings[unit.layer][unit.index].bits):
            return False
    return torch.equal(torch.stack(outputs, dim=1), decided)


def _in_order(
    readings: Sequence[JointReading], layers: Sequence[LayerValues]
) -> list[JointReading]:
    """The readings, the one to report first.

    Copies of a unit read alike, then most interchanges as predicted, then the largest worst margin,
    then the first by the names of its gates.
    """
    copies = _copies(layers)

    def order(joint: JointReading) -> tuple[object, ...]:
        return (
            _n_told_apart(joint, copies),
            -joint.interchange_accuracy,
            -compared_margin(joint.worst_margin),
            joint.gates,
        )

    return sorted(readings, key=order)


def _copies(layers: Sequence[LayerValues]) -> list[tuple[Unit, Unit]]:
    """Pairs of units of one layer that are copies, for every purpose.

    The values of the one are those of the other times a factor, of either sign, plus a constant.
    """
    pairs = []
    for layer, values in enumerate(layers[:-1]):
        columns = list(values.post.T)
        alive = [k for k, column in enumerate(columns) if column.max() > column.min()]
        for a, b in combinations(alive, 2):
            if affine(columns[a], columns[b]):
                pairs.append((Unit(layer, a), Unit(layer, b)))
    return pairs


def _n_told_apart(joint: JointReading, copies: Sequence[tuple[Unit, Unit]]) -> int:
    """How many pairs of copies this reading gives different gates, complements apart.

    Such a reading is listed, but others come first.
    """
    return sum(joint.tells_apart(a, b) for a, b in copies)


def _interchanged(model: HookedMLP) -> Tensor:
    """What the network decides with each unit's value taken from each source.

    [base, source, unit, decision].
    """
    rows, units = truth_rows(model.cfg.d_in), model.units
    # Denoising puts a clean value into the corrupted run: clean is the source, corrupted the base.
    pairs = [(source, base) for base, source in product(rows, repeat=2)]
    outputs = []
    for k in range(model.cfg.n_decisions):
        sweep = patch_sweep(model, pairs, units, output=k, progress=False)
        by_pair = sweep.decisions.T.cpu()  # [pair, unit]
        outputs.append(by_pair.reshape(len(rows), len(rows), len(units)))
    return torch.stack(outputs, dim=-1)


def _with_interchange(model: HookedMLP, joint: JointReading, network: Tensor) -> JointReading:
    """The reading with its interchange counts.

    On how many (base, source) pairs does the network, with one unit's value taken from the source,
    decide as the netlist with that unit's bit taken from the source?
    """
    units = model.units
    bits = torch.tensor([joint.of(unit).bits for unit in units])
    predicted = compose_swapped(joint.netlist, model.layer_sizes, units, bits)
    # a run counts if all decisions are as predicted; `network` has the source before the unit
    as_predicted = predicted == network.transpose(1, 2)  # [base, unit, source, decision]
    agreed = as_predicted.all(-1).sum((0, 2)).tolist()
    return replace(joint, interchange=dict(zip(units, agreed, strict=True)))
