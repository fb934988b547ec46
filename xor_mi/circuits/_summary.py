"""circuits in one line each: what `identify_circuit` says of one network, or of many at once.

`identify_many` decides what it can for all networks together (`_batch`), and gives the rest to
`identify_circuit` one by one: other shapes, very many readings, and numbers so close to a bound
that rounding might decide. The answers are the same, only sooner.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from xor_mi.circuits import _batch, _batch_proof
from xor_mi.circuits._batch import JointReadings, Networks
from xor_mi.circuits._batch_proof import Circuits, Proofs
from xor_mi.circuits._candidates import compared_margin
from xor_mi.circuits._circuit import Circuit
from xor_mi.circuits._facts import PROOF_LEVELS, ProofLevel
from xor_mi.circuits._identify import identify_circuit
from xor_mi.circuits._netlist import LocalGate
from xor_mi.circuits._readings import MIN_MARGIN
from xor_mi.circuits._required import Required, verdict_of
from xor_mi.circuits._signature import (
    Form,
    family_of,
    form_of,
    or_empty,
    picked,
    rows_before,
    signature_of_forms,
    up_to_complement,
)
from xor_mi.circuits._steps import STEPS
from xor_mi.errors import XorMiError, require_kind
from xor_mi.finding import ListedList
from xor_mi.graph import layers_of
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.progress import progress_bar
from xor_mi.truth import MONOTONE_ACTIVATIONS, name_of_bits

MAX_CHOICES = 1024
"""Networks with more joint readings than this go to `identify_circuit` one by one."""
MAX_WIDTH = 12
"""So do networks with more hidden units than this."""
NUMBERS_AT_ONCE = 2_000_000
"""Numbers held for one step: networks are taken in chunks of as many as fit."""
SAME_MARGIN = 1e-12
"""Margins closer than this part of themselves differ in their last bits only: they are equal."""
CLEAR_MARGIN = 1e-5
"""Margins further apart than this differ in the six digits that `compared_margin` looks at."""


class Summary(NamedTuple):
    """A circuit in one line.

    Attributes:
        verdict: one of `VERDICTS`; None for a network that could not be tried.
        gates, margins: one per hidden unit, NaN for the margin of a constant one; empty without a
            circuit.
        live: one per hidden unit, whether some output of the first circuit depends on it.
        n_readings: how many joint readings the circuits have; this and the other numbers are None
            for a network that could not be tried.
        n_circuits: how many circuits survive two-level substitution and are clear enough.
        n_circuits_single, n_circuits_joint: how many of these are proved by single interchange at
            least, and by joint interchange.
        proof_level: how far the first circuit is proved; None without one.
        why_not: why it could not be tried, else "".
    """

    verdict: str | None
    gates: tuple[str, ...] = ()
    live: tuple[bool, ...] = ()
    n_readings: int | None = 0
    n_circuits: int | None = 0
    n_circuits_single: int | None = 0
    n_circuits_joint: int | None = 0
    proof_level: ProofLevel | None = None
    margins: tuple[float, ...] = ()
    signature: str = ""
    family: str = ""
    why_not: str = ""

    @property
    def gate_set(self) -> str:
        """As `Circuit.gate_set`: '{AND, OR}', of the live units alone; "" without a circuit."""
        if not self.n_circuits:
            return ""
        live = [gate for gate, is_live in zip(self.gates, self.live, strict=True) if is_live]
        return "{" + ", ".join(sorted(live)) + "}"

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the network among others."""
        varying = [margin for margin in self.margins if margin == margin]
        return {
            "verdict": self.verdict,
            "gates": self.gates,
            "family": self.family,
            "circuits": self.n_circuits,
            "proof level": self.proof_level,
            "smallest margin": min(varying, default=None),
            "why not": self.why_not,
        }


def summarize(circuit: Circuit) -> Summary:
    """Circuit -> its line."""
    require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    units = circuit.units if circuit.primary else ()
    margins = [float("nan") if unit.margin is None else unit.margin for unit in units]
    return Summary(
        verdict=circuit.verdict,
        gates=tuple(unit.gate for unit in units if unit.gate),
        live=tuple(not unit.idle for unit in units),
        n_readings=len(circuit.readings),
        n_circuits=len(circuit.circuits),
        n_circuits_single=sum(one.has("single") for one in circuit.circuits),
        n_circuits_joint=sum(one.has("joint") for one in circuit.circuits),
        proof_level=circuit.proof_level,
        margins=tuple(margins),
        signature=or_empty(lambda: circuit.signature),
        family=or_empty(lambda: circuit.family),
    )


def identify_many(
    models: Callable[[int], HookedMLP],
    layers: Sequence[tuple[Tensor, Tensor]],
    cfg: HookedMLPConfig,
    *,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    progress: bool = True,
) -> list[Summary]:
    """One summary per network.

    Args:
        models: number -> network, for those that are identified one by one.
        layers: W [network, d_out, d_in] and b [network, d_out] per layer.
        require, min_margin: what a circuit must have to count; see `identify_circuit`.

    Raises:
        XorMiError: a level of proof or a margin that does not exist.
    """
    required = Required.of(require, min_margin)
    n_networks = len(layers[0][0])
    summaries: dict[int, Summary] = {}
    with progress_bar(
        doing="identifying", unit="network", total=n_networks, progress=progress
    ) as bar:
        if _covered(cfg):
            for numbers in torch.arange(n_networks).split(_networks_at_once(cfg)):
                of_chunk = [(weight[numbers], bias[numbers]) for weight, bias in layers]
                chunk = Networks.of(of_chunk, cfg)
                sure = {int(numbers[k]): summary for k, summary in _summaries(chunk, required)}
                summaries |= sure
                bar.update(len(sure))
        # whatever is not sure by now
        for number in range(n_networks):
            if number not in summaries:
                summaries[number] = _alone(models, number, required)
                bar.update()
    return ListedList(summaries[number] for number in range(n_networks))


def _covered(cfg: HookedMLPConfig) -> bool:
    """Whether networks of this shape and these conventions can be identified together."""
    # One step or difference at the output: its scores must be linear in the hidden units, but for
    # an activation that does not jump.
    is_difference = cfg.rule.name == "argmax" and cfg.d_out == 2 and cfg.out_act_fn == "identity"
    is_threshold = cfg.rule.name == "threshold" and cfg.out_act_fn not in STEPS
    # what comes after the sum must never fall, so that a sum of extremes is the worst there is
    falls = cfg.out_act_fn == "leaky_relu" and cfg.negative_slope < 0
    rises = cfg.out_act_fn in MONOTONE_ACTIVATIONS and not falls
    # A unit has at most one reading per gap between neighbouring rows' values.
    return (
        (is_threshold or is_difference)
        and rises
        and not cfg.direct
        and cfg.dtype in (torch.float32, torch.float64)
        and cfg.n_layers == 1
        and cfg.target is not None
        and cfg.d_hidden[0] <= MAX_WIDTH
        and (2**cfg.d_in - 1) ** cfg.d_hidden[0] <= MAX_CHOICES
    )


def _networks_at_once(cfg: HookedMLPConfig) -> int:
    """How many networks fit: the largest tensor is [network, choice, row, unit or output].

    Or, of few rows, [joint, combination, unit].
    """
    width, n_rows = cfg.d_hidden[0], 2**cfg.d_in
    n_choices = (n_rows - 1) ** width
    n_numbers = max(n_choices * n_rows, 2**width) * max(width, cfg.d_out)
    return max(1, NUMBERS_AT_ONCE // n_numbers)


def _alone(models: Callable[[int], HookedMLP], number: int, required: Required) -> Summary:
    """One network's summary by `identify_circuit` itself."""
    try:
        circuit = identify_circuit(
            models(number),
            require=required.level,
            min_margin=required.min_margin,
            with_evidence=False,
            progress=False,
        )
        return summarize(circuit)
    # More readings than are listed, or weights that are not finite: no reason to lose the others.
    except XorMiError as error:
        return Summary(
            verdict=None,
            n_readings=None,
            n_circuits=None,
            n_circuits_single=None,
            n_circuits_joint=None,
            why_not=str(error),
        )


def _summaries(networks: Networks, required: Required) -> Iterator[tuple[int, Summary]]:
    """(number within the chunk, summary) of every network that is sure."""
    computing = _batch.computing(networks)
    for number in computing.wrong.nonzero().flatten().tolist():
        yield number, _without_a_circuit("not_computing")
    if not computing.right.any():
        return
    numbers = computing.right.nonzero().flatten()
    for number, summary in _identified(networks.take(numbers), required):
        yield int(numbers[number]), summary


def _without_a_circuit(verdict: str) -> Summary:
    """As `Circuit`: without a reading the verdict stands for signature and family."""
    return Summary(verdict=verdict, signature=verdict, family=verdict)


def _identified(networks: Networks, required: Required) -> Iterator[tuple[int, Summary]]:
    """(number, summary) of every network that is sure, of networks that compute the target."""
    variables = _batch.variables_of(networks)
    readings = _batch.read_units(networks.hidden)
    joint = _batch.faithful(networks, readings, variables)
    netlists = _batch.netlists(networks, joint, variables)
    kept = netlists.composes.nonzero().flatten()
    joint, tables = joint.take(kept), netlists.tables[kept]
    circuits = _batch_proof.circuits_of(
        networks, variables, joint, tables, min_margin=required.min_margin
    )
    first = circuits.reading
    proofs = _batch_proof.proofs(networks, variables, joint.take(first), circuits, tables[first])
    parts = (variables, readings, joint, netlists, circuits, proofs)
    unsure = torch.stack([part.unsure for part in parts]).any(0).tolist()

    # where two outputs are one decision, it has one gate
    *before, _ = networks.cfg.layer_sizes
    sizes = (*before, networks.cfg.n_decisions)
    candidates = _candidates(joint, tables, circuits, proofs, n_networks=len(unsure))
    for network, of_network in enumerate(candidates):
        if unsure[network]:
            continue
        summary = _summary(of_network, required, sizes)
        if summary is not None:
            yield network, summary


class _Joint(NamedTuple):
    """One joint reading.

    Attributes:
        margins: of the units; NaN for a constant one.
        worst: the smallest distance to the threshold under substitution.
    """

    key: "_Key"
    margins: tuple[float, ...]
    worst: float


class _Candidate(NamedTuple):
    """One circuit, with what circuits are ordered by.

    Attributes:
        live: per hidden unit.
        n_variables: how many units are live, copies counted once.
        level: the place of its level of proof in `PROOF_LEVELS`.
        n_right: how many single interchanges come out as predicted.
    """

    readings: list[_Joint]
    live: tuple[bool, ...]
    n_variables: int
    smallest_margin: float
    level: int
    n_right: int


def _candidates(
    joint: JointReadings,
    tables: Tensor,
    circuits: Circuits,
    proofs: Proofs,
    *,
    n_networks: int,
) -> list[list[_Candidate]]:
    """The circuits of every network, in no order."""
    columns = zip(
        circuits.network.tolist(),
        circuits.live.tolist(),
        circuits.stands_live.sum(1).tolist(),
        circuits.smallest_margin.tolist(),
        proofs.level.tolist(),
        proofs.n_right.tolist(),
        strict=True,
    )
    every: list[_Candidate] = []
    of_networks: list[list[_Candidate]] = [[] for _ in range(n_networks)]
    for network, live, n_variables, smallest_margin, level, n_right in columns:
        candidate = _Candidate([], tuple(live), n_variables, smallest_margin, level, n_right)
        every.append(candidate)
        of_networks[network].append(candidate)

    keys = _keys(joint.bits, tables)
    margins, worst = joint.margin.tolist(), joint.worst.tolist()
    for number, circuit in enumerate(circuits.circuit_of.tolist()):
        # those of circuits that are not clear enough have none
        if circuit >= 0:
            reading = _Joint(keys[number], tuple(margins[number]), worst[number])
            every[circuit].readings.append(reading)
    return of_networks


def _summary(
    candidates: Sequence[_Candidate], required: Required, sizes: tuple[int, ...]
) -> Summary | None:
    """The summary of a network with these circuits; None where rounding might decide."""
    if not candidates:
        return _without_a_circuit("no_gate_reading")
    first = _first(candidates, sizes)
    primary = _clearest(first.readings) if first else None
    if first is None or primary is None:
        return None
    n_at = [sum(one.level >= level for one in candidates) for level in range(len(PROOF_LEVELS))]
    level = PROOF_LEVELS.index(required.level)
    # as `Circuit.signature`: of what is proved as far as required, else of all there is
    counted = [one for one in candidates if one.level >= level] or candidates
    keys = {_with_units_sorted(one.readings[0].key) for one in counted}
    return Summary(
        verdict=verdict_of(len(candidates), n_at[level]),
        gates=_gates(primary.key),
        live=first.live,
        n_readings=sum(len(one.readings) for one in candidates),
        n_circuits=len(candidates),
        n_circuits_single=n_at[PROOF_LEVELS.index("single")],
        n_circuits_joint=n_at[PROOF_LEVELS.index("joint")],
        proof_level=PROOF_LEVELS[first.level],
        margins=primary.margins,
        signature=or_empty(lambda: signature_of_forms({_form(key, sizes) for key in keys})),
        family=_family(_with_units_sorted(primary.key), sizes),
    )


def _first(candidates: Sequence[_Candidate], sizes: tuple[int, ...]) -> _Candidate | None:
    """The circuit that `identify_circuit` puts first; None where rounding might decide."""
    lead = max((one.level, one.n_right) for one in candidates)
    tied = [one for one in candidates if (one.level, one.n_right) == lead]
    if not _told_apart([one.smallest_margin for one in tied]):
        return None
    # each step keeps those that are equal so far
    clearest = max(compared_margin(one.smallest_margin) for one in tied)
    tied = [one for one in tied if compared_margin(one.smallest_margin) == clearest]
    fewest = min(one.n_variables for one in tied)
    tied = [one for one in tied if one.n_variables == fewest]
    if len(tied) == 1:  # a canonical text is slow to find
        return tied[0]
    if not all(map(_told_apart, zip(*map(_margins, tied), strict=False))):
        return None
    return min(tied, key=lambda one: _canonical(one, sizes))


def _canonical(
    one: _Candidate, sizes: tuple[int, ...]
) -> tuple[int, str, str, list[float], list[str], list[int], list[str]]:
    """As `_candidates` orders circuits that are equal in all else."""
    key = _with_units_sorted(one.readings[0].key)
    text = _up_to_complement(key, sizes)
    clearest = [-compared_margin(margin) for margin in _margins(one)]
    live = [k for k, is_live in enumerate(one.live) if is_live]
    gates_of_all = _gates(one.readings[0].key)
    gates = [gates_of_all[k] for k in live]
    return len(text), _family(key, sizes), text, clearest, sorted(gates), live, gates


def _margins(one: _Candidate) -> list[float]:
    """Those of its live units, the smallest first."""
    margins = zip(one.readings[0].margins, one.live, strict=True)
    return sorted(margin for margin, is_live in margins if is_live)


def _clearest(readings: Sequence[_Joint]) -> _Joint | None:
    """The reading that stands first in its circuit; None where rounding might decide."""
    if not _told_apart([one.worst for one in readings]):
        return None
    return min(readings, key=lambda one: (-compared_margin(one.worst), _gates(one.key)))


def _told_apart(margins: Sequence[float]) -> bool:
    """Whether any two margins are equal, or differ in the digits that they are compared by."""
    for a, b in combinations(margins, 2):
        # In between, rounding might decide which comes first. (Of infinite ones NaN.)
        if SAME_MARGIN < abs(a - b) / (abs(a) or 1.0) < CLEAR_MARGIN:
            return False
    return True


class _Key(NamedTuple):
    """All there is to a netlist of one hidden layer.

    Attributes:
        bits: those of the hidden units on the rows, which are their tables.
        tables: those of the outputs over the hidden units.
    """

    bits: tuple[tuple[int, ...], ...]
    tables: tuple[tuple[int, ...], ...]


def _keys(bits: Tensor, tables: Tensor) -> list[_Key]:
    """[joint, unit, row] and [joint, combination, output] -> one key per joint reading."""
    both = zip(bits.int().tolist(), tables.mT.int().tolist(), strict=True)
    return [
        _Key(bits=tuple(map(tuple, units)), tables=tuple(map(tuple, outputs)))
        for units, outputs in both
    ]


def _gates(key: _Key) -> tuple[str, ...]:
    return tuple(name_of_bits(bits) for bits in key.bits)


def _netlist(key: _Key, sizes: Sequence[int]) -> tuple[LocalGate, ...]:
    """The netlist as `measure_netlist` gives it; a hidden unit's bits are its table."""
    gates: list[LocalGate] = []
    for (before, after), tables in zip(pairwise(layers_of(sizes)), key, strict=True):
        parents = tuple(unit.name for unit in before)
        gates += [
            LocalGate(unit, parents, table) for unit, table in zip(after, tables, strict=True)
        ]
    return tuple(gates)


# Thousands of networks share a few dozen netlists, and a canonical form is slow to find.
@lru_cache(maxsize=65536)
def _form(key: _Key, sizes: tuple[int, ...]) -> Form:
    return form_of(_netlist(key, sizes), sizes)


@lru_cache(maxsize=65536)
def _up_to_complement(key: _Key, sizes: tuple[int, ...]) -> str:
    return or_empty(lambda: up_to_complement(_netlist(key, sizes), sizes))


@lru_cache(maxsize=65536)
def _family(key: _Key, sizes: tuple[int, ...]) -> str:
    return or_empty(lambda: family_of(_netlist(key, sizes), sizes))


def _with_units_sorted(key: _Key) -> _Key:
    """Hidden units in the order of their bits.

    There are fewer different netlists of this kind, and they have the same canonical forms.
    """
    order = sorted(range(len(key.bits)), key=lambda unit: key.bits[unit])
    # Unit order[k] becomes unit k, and the outputs' tables follow.
    new_number = {unit: k for k, unit in enumerate(order)}
    before = rows_before(tuple(new_number[unit] for unit in range(len(order))))
    return _Key(
        bits=tuple(key.bits[unit] for unit in order),
        tables=tuple(picked(table, before) for table in key.tables),
    )
