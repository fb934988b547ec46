"""model + target -> Circuit: every reading is tried, the survivors tested, a verdict given."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from xor_mi.circuits._candidates import candidates_of
from xor_mi.circuits._circuit import Circuit
from xor_mi.circuits._controls import ControlRate, ControlRates, control_claims
from xor_mi.circuits._diagnose import decided_in_float64, own_function, problems_of
from xor_mi.circuits._evidence import Proof, gather
from xor_mi.circuits._facts import Control, ProofLevel
from xor_mi.circuits._interchange import Interchanges
from xor_mi.circuits._layerwise import Choice, NetworkOnRows, read_layers
from xor_mi.circuits._measured import in_batches
from xor_mi.circuits._netlist import JointReading
from xor_mi.circuits._ordered_search import circuits_of
from xor_mi.circuits._readings import MAX_READINGS, MIN_MARGIN
from xor_mi.circuits._required import Required, checked_levels, verdict_of
from xor_mi.circuits._signature import picked
from xor_mi.circuits._steps import on_step
from xor_mi.circuits._tables import MAX_UNITS
from xor_mi.circuits._variables import values_on_rows
from xor_mi.errors import TooManyReadings, XorMiError, whole_number
from xor_mi.finding import Listed
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.model._range import require_finite_run
from xor_mi.progress import progress_bar
from xor_mi.truth import MAX_INPUTS, BooleanFunction

MAX_ENTRIES = 10_000 * 2**12
"""The tables of all readings together may have at most so many entries of 8 bytes each, if a layer
is wider than 12 units or there are more readings than `ALWAYS_LISTED`.
"""
ALWAYS_LISTED = 10_000
"""There is always room for so many readings if gates read at most 12 units."""


@torch.no_grad()
def identify_circuit(
    model: HookedMLP,
    target: Target | None = None,
    *,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    levels: int = 2,
    max_readings: int = MAX_READINGS,
    with_evidence: bool = True,
    n_controls: int = 0,
    progress: bool = True,
) -> Circuit:
    """Which hidden unit acts as which gate, by trying every reading; a verdict with its reason.

    Layers may have up to 16 units; the top of `xor_mi.circuits` says how many readings fit.

    Args:
        target: what the network should compute: a gate, a formula or a `BooleanFunction`. Default:
            `model.cfg.target`, or if that is None, the function that the network computes.
        require: how far a circuit must be proved to count: "substitution", "single" or "joint".
        min_margin: leave out circuits with a live unit whose threshold lies in a gap smaller than
            this fraction of the unit's range; 0 leaves out none.
        levels: give 3 to read units with up to three levels as well if no circuit of two levels is
            proved far enough (`Circuit.ordered`). The verdict is still the one for two levels.
        max_readings: refuse to list more joint readings than this. (A constant function may have so
            many, because every reading is faithful.) They are counted before any is listed, and
            take one to two milliseconds each. If layers have more than 10 units, fewer fit into
            memory; the error says how many.
        with_evidence: also measure what `Circuit.evidence` holds (a few milliseconds).
        n_controls: how many untrained networks and shuffled targets to run the same pipeline on,
            for two more claims; see `control_rates`.
        progress: show a bar if the work takes over half a second.

    >>> from xor_mi.handmade import textbook_xor
    >>> circuit = identify_circuit(textbook_xor())
    >>> circuit.verdict, [unit.gate for unit in circuit.units], circuit.readout
    ('identified', ['OR', 'AND'], 'h0.0 & ~h0.1')
    >>> circuit.proof_level
    'joint'

    Raises:
        XorMiError: train mode, weights that are not finite, a target of another width, a level of
            proof, a margin or a number of levels that does not exist, or too many joint readings.
    """
    # Check.
    require_plain_mlp(model, "identifying a circuit")
    require, min_margin = Required.of(require, min_margin)
    levels = checked_levels(levels)
    max_readings = whole_number("max_readings", max_readings)
    n_controls = whole_number("n_controls", n_controls)
    _require_narrow(model)

    # Look: the units' values on every row, what is decided, and whether that is the target.
    layers = values_on_rows(model)
    require_finite_run(model, [one.inputs for one in layers], "identifying a circuit")
    decided = model.rule.decide(layers[-1].post)
    function = _target_or_own(model, target, decided)
    circuit = Circuit(
        target=function,
        verdict="not_computing",
        circuits=Listed(),
        cfg=replace(model.cfg, target=function, use_edge_result=False),
        weights=tuple(model.float64_layers()),
        require=require,
        min_margin=min_margin,
        on_step=on_step(model, layers),
    )
    problems = problems_of(model, function, decided)
    if problems:
        return replace(circuit, problems=problems)

    # Read: every joint reading that survives substitution and composes to the decisions.
    network = NetworkOnRows.of(model, layers)
    variables = network.variables
    joints = list(_kept_readings(network, max_readings=max_readings, progress=progress))

    # Test: the circuits that these are readings of, each under all interchanges.
    interchanges = Interchanges.of(model, layers, variables) if joints else None
    if interchanges:
        candidates = partial(
            candidates_of,
            joints,
            interchanges,
            layer_sizes=model.layer_sizes,
            unconnected=network.unconnected,
            progress=progress,
        )
        circuits = candidates(min_margin=min_margin)
        # if only min_margin leaves circuits out, the first of them shows what is too small
        left_out = None if circuits else candidates(min_margin=0.0)[0]
        verdict = verdict_of(len(circuits), sum(one.has(require) for one in circuits))
        circuit = replace(circuit, verdict=verdict, circuits=Listed(circuits), left_out=left_out)
    else:
        circuit = replace(circuit, verdict="no_gate_reading")

    # Read again, with up to three levels.
    if levels > 2 and not circuit.passing:
        ordered = circuits_of(
            model,
            layers,
            decided,
            function,
            variables=variables,
            interchanges=interchanges,
            require=require,
            min_margin=min_margin,
            max_readings=max_readings,
            progress=progress,
        )
        circuit = replace(circuit, ordered=ordered)

    # Prove.
    if with_evidence and interchanges and circuit.circuits:
        proof = gather(model, layers, decided, circuit.circuits, interchanges)
        if n_controls:
            rates = control_rates(
                model,
                function,
                n_networks=n_controls,
                require=require,
                min_margin=min_margin,
                progress=progress,
            )
            proof = _with_controls(proof, rates)
        circuit = replace(circuit, proof=proof)
    return circuit


@torch.no_grad()
def control_rates(
    model: HookedMLP,
    target: Target | None = None,
    *,
    n_networks: int = 100,
    seed: int = 0,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    progress: bool = True,
) -> ControlRates:
    """The same pipeline where it should find nothing: how often does it name gates nevertheless?

    There are three controls. "untrained" compares networks of this shape with fresh weights with
    the target. "shuffled_targets" compares this network with its target after the rows are permuted
    (never back onto itself), which no network that computes its target can compute.
    "untrained_own_function" compares the untrained networks with the function that each of them
    happens to compute, without constants: how often does a network that was never trained have
    gates at all? Gates alone are therefore not a sign of training.

    An untrained network that computes the target by luck counts as a positive. So does a network
    with more readings than can be listed, because it is not known how far they are proved.

    Args:
        require, min_margin: what a circuit needs in order to count, as for `identify_circuit`.

    >>> from xor_mi.handmade import textbook_xor
    >>> control_rates(textbook_xor(), n_networks=5).frame()["control"].tolist()
    ['untrained', 'shuffled_targets', 'untrained_own_function']

    Raises:
        XorMiError: what `identify_circuit` refuses, or n_networks below 1.
    """
    require_plain_mlp(model, "measuring controls")
    asked = Required.of(require, min_margin)
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
        named["untrained"].append(_is_named(untrained, function, asked))
        # a shuffle may give the target itself back, which the network does compute
        shuffled = _shuffled(function, generator)
        if shuffled.tables != function.tables:
            named["shuffled_targets"].append(_is_named(model, shuffled, asked))
        # without constants: for a constant function every reading is faithful
        own = own_function(decided_in_float64(untrained))
        if any(len(set(table)) > 1 for table in own.tables):
            named["untrained_own_function"].append(_is_named(untrained, own, asked))
    rates = [ControlRate(control, sum(hits), len(hits)) for control, hits in named.items()]
    return ControlRates(tuple(rates))


def _is_named(model: HookedMLP, function: BooleanFunction, asked: Required) -> bool:
    """Whether the network is given gates when this function is its target."""
    try:
        circuit = identify_circuit(
            model,
            function,
            require=asked.level,
            min_margin=asked.min_margin,
            # enough readings to see a circuit, and a hundred networks wait
            max_readings=ALWAYS_LISTED,
            with_evidence=False,
            progress=False,
        )
    except TooManyReadings:  # it does have readings, but too many to list
        return True
    return bool(circuit.passing)


def _shuffled(function: BooleanFunction, generator: torch.Generator) -> BooleanFunction:
    """The same function with its rows in another order."""
    order = torch.randperm(len(function.rows()), generator=generator).tolist()
    tables = tuple(picked(table, order) for table in function.tables)
    return BooleanFunction(function.n_inputs, tables)


def _with_controls(proof: Proof, measured: ControlRates) -> Proof:
    """The proof with two more claims.

    That untrained networks have gates of their own function is not a failure, so it is measured by
    `control_rates` and not claimed here.
    """
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


def _require_room(model: HookedMLP, choices: Sequence[Choice]) -> None:
    """Refuse tables that together have too many entries to be held."""
    narrow = max(len(sources) for sources in model.sources[1:]) <= MAX_INPUTS
    if not choices or (narrow and len(choices) <= ALWAYS_LISTED):
        return
    # whether a unit has one value or several does not depend on its reading, so one choice is
    # enough
    readings = choices[0].readings
    n_parents = [sum(not reading.one_level for reading in layer) for layer in readings]
    n_parents[-1] += model.cfg.d_in * model.cfg.direct
    n_entries = sum(2**number for number in n_parents)
    if len(choices) * n_entries > MAX_ENTRIES:
        raise TooManyReadings(
            f"{len(choices):,} faithful joint readings, with tables of {n_entries:,} entries each; "
            f"at most {MAX_ENTRIES // n_entries:,} of that size are measured: study fewer units, "
            "or single units with scan_gates, patch_sweep and contributions"
        )


def _target_or_own(model: HookedMLP, target: Target | None, decided: Tensor) -> BooleanFunction:
    """The function to compare with: a target, the one of its config, or what it decides itself."""
    if target is None and model.cfg.target is None:
        return own_function(decided)
    return model.target_of(target)


def _kept_readings(
    network: NetworkOnRows, *, max_readings: int, progress: bool
) -> Iterator[JointReading]:
    """Joint readings that are faithful, consistent and compose to the network's decisions."""
    model = network.model
    choices: list[Choice] = []
    for read in read_layers(network, max_readings=max_readings, progress=progress):
        choices = read.choices
    _require_room(model, choices)
    doing = "measuring readings"
    with progress_bar(total=len(choices), doing=doing, unit="reading", progress=progress) as bar:
        for batch in in_batches(model, [choice.readings for choice in choices], network.variables):
            first = int(bar.n)
            for k in batch.composing(network.decided, unconnected=network.unconnected):
                yield JointReading(
                    readings=batch.choices[k],
                    netlist=batch.netlist(k),
                    worst_margin=choices[first + k].worst_margin,
                    interchange={},  # measured once for all readings of a circuit
                    n_interchange=4**model.cfg.d_in,  # every row with every row
                )
            bar.update(len(batch.choices))
