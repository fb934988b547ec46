"""many networks -> the summary of each that is sure: its circuits in order, and its verdict.

Circuits are ordered as `identify_circuit` orders them; where rounding might decide which comes
first, a network has no line here.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from math import isnan
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64

from xor_mi.circuits import _batch, _batch_proof, _batch_readings
from xor_mi.circuits._batch import Networks
from xor_mi.circuits._batch_proof import Circuits, Proofs
from xor_mi.circuits._batch_readings import JointReadings
from xor_mi.circuits._candidates import compared_margin
from xor_mi.circuits._facts import PROOF_LEVELS, ProofLevel
from xor_mi.circuits._netlist import LocalGate
from xor_mi.circuits._one_line import Summary
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
from xor_mi.graph import layers_of
from xor_mi.truth import name_of_bits

SAME_MARGIN = 1e-12
"""Margins closer than this part of themselves differ in their last bits only: they are equal."""
CLEAR_MARGIN = 1e-5
"""Margins further apart than this differ in the six digits that `compared_margin` looks at."""

Key = bytes
"""All there is to a circuit: `Circuits.live_tables`, layer after layer, a byte for each bit."""
Tables = tuple[tuple[int, ...], ...]
"""One table per unit of a layer."""


def summaries_of(networks: Networks, required: Required) -> Iterator[tuple[int, Summary]]:
    """(number, summary) of every network that is sure."""
    computing = _batch.computing(networks)
    not_computing = _without_a_circuit("not_computing")
    for number in computing.wrong.nonzero().flatten().tolist():
        yield number, not_computing
    if not computing.right.any():
        return
    numbers = computing.right.nonzero().flatten()
    found = _identified(networks.take(numbers), required)
    numbers = numbers.tolist()
    for number, summary in found:
        yield numbers[number], summary


def _without_a_circuit(verdict: str) -> Summary:
    """As `Circuit`: without a reading the verdict stands for signature and family."""
    return Summary(verdict=verdict, signature=verdict, family=verdict)


def _identified(networks: Networks, required: Required) -> Iterator[tuple[int, Summary]]:
    """(number, summary) of every network that is sure, of networks that compute the target."""
    rounding = networks.rounding_anywhere()
    variables = _batch.variables_of_all(networks)
    joint, unsure_read = _batch_readings.read_all(networks, variables, rounding)
    netlists = _batch_readings.netlists(networks, joint, variables, rounding)
    kept = netlists.composes.nonzero().flatten()
    joint, tables = joint.take(kept), [table[kept] for table in netlists.tables]
    circuits = _batch_proof.circuits_of(
        networks, variables, joint, tables, min_margin=required.min_margin
    )
    first = circuits.reading
    proofs = _batch_proof.proofs(
        networks,
        variables,
        joint.take(first),
        circuits,
        [table[first] for table in tables],
        rounding,
    )
    parts = [netlists.unsure, circuits.unsure, proofs.unsure]
    parts += [of_layer.unsure for of_layer in variables]
    unsure = torch.stack([unsure_read, *parts]).any(0).tolist()

    # where two outputs are one decision, it has one gate
    *before, _ = networks.cfg.layer_sizes
    sizes = (*before, networks.cfg.n_decisions)
    readings = _Readings.of(joint)
    no_circuit = _without_a_circuit("no_gate_reading")
    for network, of_network in enumerate(_candidates(circuits, proofs, len(unsure))):
        if unsure[network]:
            continue
        if not of_network:
            yield network, no_circuit
            continue
        summary = _summary(of_network, readings, required, sizes)
        if summary is not None:
            yield network, summary


class _Readings(NamedTuple):
    """What is asked of joint readings by their numbers.

    Attributes:
        bits: those of all hidden units on all rows, a byte for each, joint after joint.
        n_rows: how many rows there are.
        margins: of all hidden units; NaN for a constant one, [joint, unit].
        worst: smallest distance to the threshold, on the right side, [joint].
    """

    bits: bytes
    n_rows: int
    margins: Float64[np.ndarray, "joint unit"]
    worst: list[float]

    @classmethod
    def of(cls, joint: JointReadings) -> "_Readings":
        """All of these."""
        bits = torch.cat([layer.bits for layer in joint.layers], dim=1)
        return cls(
            bits=bits.numpy().tobytes(),
            n_rows=bits.shape[2],
            margins=torch.cat([layer.margin for layer in joint.layers], dim=1).numpy(),
            worst=joint.worst.tolist(),
        )

    def gates(self, number: int) -> tuple[str, ...]:
        """The gates of all hidden units under one joint reading."""
        bits, n_rows = self.bits_of(number), self.n_rows
        places = range(0, len(bits), n_rows)
        return tuple(_gate(bits[place : place + n_rows]) for place in places)

    def bits_of(self, number: int) -> bytes:
        """Those of all hidden units on all rows under one joint reading."""
        size = self.margins.shape[1] * self.n_rows
        return self.bits[number * size : (number + 1) * size]

    def margins_of(self, number: int) -> list[float]:
        """The margins of all hidden units under one joint reading."""
        return self.margins[number].tolist()


class _Candidate(NamedTuple):
    """One circuit, with what circuits are ordered by.

    Attributes:
        readings: the numbers of its joint readings.
        live: per hidden unit.
        n_variables: how many units are live, copies counted once.
        level: the place of its level of proof in `PROOF_LEVELS`.
        n_right: how many single interchanges come out as predicted.
    """

    key: Key
    readings: list[int]
    live: list[bool]
    n_variables: int
    smallest_margin: float
    level: int
    n_right: int


def _candidates(circuits: Circuits, proofs: Proofs, n_networks: int) -> list[list[_Candidate]]:
    """The circuits of every network, in no order."""
    n_circuits = len(circuits.network)
    tables = [table.flatten(1) for table in circuits.live_tables]
    keys = torch.cat(tables, dim=1).numpy().tobytes()
    size = len(keys) // max(n_circuits, 1)
    columns = zip(
        circuits.network.tolist(),
        torch.cat(circuits.live, dim=1).tolist(),
        circuits.n_variables.tolist(),
        circuits.smallest_margin.tolist(),
        proofs.level.tolist(),
        proofs.n_right.tolist(),
        strict=True,
    )
    every: list[_Candidate] = []
    of_networks: list[list[_Candidate]] = [[] for _ in range(n_networks)]
    for number, (network, *columns_of_one) in enumerate(columns):
        candidate = _Candidate(keys[number * size : (number + 1) * size], [], *columns_of_one)
        every.append(candidate)
        of_networks[network].append(candidate)
    for number, circuit in enumerate(circuits.circuit_of.tolist()):
        # those of circuits that are not clear enough have none
        if circuit >= 0:
            every[circuit].readings.append(number)
    return of_networks


def _summary(
    candidates: Sequence[_Candidate],
    readings: _Readings,
    required: Required,
    sizes: tuple[int, ...],
) -> Summary | None:
    """The summary of a network with these circuits; None where rounding might decide."""
    if len(candidates) == 1 and len(candidates[0].readings) == 1:
        return _summary_of_one(candidates[0], readings, required, sizes)
    first = _first(candidates, readings, sizes)
    primary = None if first is None else _clearest(first.readings, readings)
    if first is None or primary is None:
        return None
    n_at = [sum(one.level >= level for one in candidates) for level in range(len(PROOF_LEVELS))]
    level = PROOF_LEVELS.index(required.level)
    # as `Circuit.signature`: of what is proved as far as required, else of all there is
    counted = [one for one in candidates if one.level >= level] or candidates
    return Summary(
        verdict=verdict_of(len(candidates), n_at[level]),
        gates=readings.gates(primary),
        live=tuple(first.live),
        n_readings=sum(len(one.readings) for one in candidates),
        n_circuits=len(candidates),
        n_circuits_single=n_at[PROOF_LEVELS.index("single")],
        n_circuits_joint=n_at[PROOF_LEVELS.index("joint")],
        proof_level=PROOF_LEVELS[first.level],
        margins=tuple(readings.margins_of(primary)),
        signature=_signature([one.key for one in counted], sizes),
        family=_family(first.key, sizes),
    )


def _summary_of_one(
    one: _Candidate, readings: _Readings, required: Required, sizes: tuple[int, ...]
) -> Summary:
    """The summary of a network with one circuit of one reading, the commonest case."""
    (number,) = one.readings
    known = _without_margins(
        one.key, readings.bits_of(number), tuple(one.live), one.level, required.level, sizes
    )
    return known._replace(margins=tuple(readings.margins_of(number)))


# all but the margins is the same in thousands of networks
@lru_cache(maxsize=65536)
def _without_margins(
    key: Key,
    bits: bytes,
    live: tuple[bool, ...],
    level: int,
    required: ProofLevel,
    sizes: tuple[int, ...],
) -> Summary:
    n_single, n_joint = (int(level >= PROOF_LEVELS.index(one)) for one in ("single", "joint"))
    n_rows = 2 ** sizes[0]
    return Summary(
        verdict=verdict_of(1, int(level >= PROOF_LEVELS.index(required))),
        gates=tuple(_gate(bits[place : place + n_rows]) for place in range(0, len(bits), n_rows)),
        live=live,
        n_readings=1,
        n_circuits=1,
        n_circuits_single=n_single,
        n_circuits_joint=n_joint,
        proof_level=PROOF_LEVELS[level],
        signature=_signature_of_one(key, sizes),
        family=_family(key, sizes),
    )


def _first(
    candidates: Sequence[_Candidate], readings: _Readings, sizes: tuple[int, ...]
) -> _Candidate | None:
    """The circuit that `identify_circuit` puts first; None where rounding might decide."""
    if len(candidates) == 1:
        return candidates[0]
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
    margins = [_margins(one, readings) for one in tied]
    if not all(map(_told_apart, zip(*margins, strict=False))):
        return None
    return min(tied, key=lambda one: _canonical(one, readings, sizes))


def _canonical(
    one: _Candidate, readings: _Readings, sizes: tuple[int, ...]
) -> tuple[int, str, str, list[float], list[str], list[int], list[str]]:
    """As `_candidates` orders circuits that are equal in all else."""
    text = _up_to_complement(one.key, sizes)
    clearest = [-compared_margin(margin) for margin in _margins(one, readings)]
    live = [k for k, is_live in enumerate(one.live) if is_live]
    gates_of_all = readings.gates(one.readings[0])
    gates = [gates_of_all[k] for k in live]
    return len(text), _family(one.key, sizes), text, clearest, sorted(gates), live, gates


def _margins(one: _Candidate, readings: _Readings) -> list[float]:
    """Those of its live units, the smallest first; 0 for a unit that is constant on all rows."""
    margins = zip(readings.margins_of(one.readings[0]), one.live, strict=True)
    return sorted(0.0 if isnan(margin) else margin for margin, is_live in margins if is_live)


def _clearest(numbers: Sequence[int], readings: _Readings) -> int | None:
    """The reading that comes first in its circuit; None where rounding might decide."""
    if len(numbers) == 1:
        return numbers[0]
    worst = [readings.worst[number] for number in numbers]
    if not _told_apart(worst):
        return None
    compared = [compared_margin(one) for one in worst]
    largest = max(compared)
    tied = [number for number, one in zip(numbers, compared, strict=True) if one == largest]
    return tied[0] if len(tied) == 1 else min(tied, key=readings.gates)


def _told_apart(margins: Sequence[float]) -> bool:
    """Whether any two margins are equal, or differ in the digits that they are compared by."""
    # In between, rounding might decide which comes first. (Of infinite ones NaN.) Of margins in
    # order, two that are neighbours are closest.
    for a, b in pairwise(sorted(margins)):
        if SAME_MARGIN < abs(a - b) / (abs(a) or 1.0) < CLEAR_MARGIN:
            return False
    return True


@lru_cache(maxsize=65536)
def _gate(bits: bytes) -> str:
    """The name of a gate by its bits on the rows."""
    return name_of_bits(tuple(bits))


def _signature(keys: Sequence[Key], sizes: tuple[int, ...]) -> str:
    """The signature of these circuits together."""
    if len(keys) == 1:
        return _signature_of_one(keys[0], sizes)
    return or_empty(lambda: signature_of_forms({_form(key, sizes) for key in keys}))


# Thousands of networks share a few dozen circuits, and a canonical form is slow to find.
@lru_cache(maxsize=65536)
def _signature_of_one(key: Key, sizes: tuple[int, ...]) -> str:
    return or_empty(lambda: signature_of_forms({_form(key, sizes)}))


@lru_cache(maxsize=65536)
def _form(key: Key, sizes: tuple[int, ...]) -> Form:
    return _form_of(_with_units_sorted(key, sizes), sizes)


@lru_cache(maxsize=65536)
def _up_to_complement(key: Key, sizes: tuple[int, ...]) -> str:
    return _text_up_to_complement(_with_units_sorted(key, sizes), sizes)


@lru_cache(maxsize=65536)
def _family(key: Key, sizes: tuple[int, ...]) -> str:
    return _text_of_family(_with_units_sorted(key, sizes), sizes)


# The same for tables; there are fewer tables than keys.
@lru_cache(maxsize=65536)
def _form_of(tables: tuple[Tables, ...], sizes: tuple[int, ...]) -> Form:
    return form_of(_netlist(tables, sizes), sizes)


@lru_cache(maxsize=65536)
def _text_up_to_complement(tables: tuple[Tables, ...], sizes: tuple[int, ...]) -> str:
    return or_empty(lambda: up_to_complement(_netlist(tables, sizes), sizes))


@lru_cache(maxsize=65536)
def _text_of_family(tables: tuple[Tables, ...], sizes: tuple[int, ...]) -> str:
    return or_empty(lambda: family_of(_netlist(tables, sizes), sizes))


def _netlist(tables: Sequence[Tables], sizes: Sequence[int]) -> tuple[LocalGate, ...]:
    """As `measure_netlist` gives one, of these tables; a unit's bits are its table."""
    gates: list[LocalGate] = []
    for (before, after), of_layer in zip(pairwise(layers_of(sizes)), tables, strict=True):
        parents = tuple(unit.name for unit in before)
        gates += [
            LocalGate(unit, parents, table) for unit, table in zip(after, of_layer, strict=True)
        ]
    return tuple(gates)


def _with_units_sorted(key: Key, sizes: tuple[int, ...]) -> tuple[Tables, ...]:
    """The tables of a key, hidden units in the order of their tables, layer by layer.

    There are fewer different netlists of this kind, and they have the same canonical forms.
    """
    layers: list[Tables] = []
    start, order = 0, list(range(sizes[0]))
    for number, (n_parents, n_units) in enumerate(pairwise(sizes)):
        size = 2**n_parents * n_units
        of_layer = key[start : start + size]
        start += size
        # combination after combination, the bits of all units
        tables = [tuple(of_layer[unit::n_units]) for unit in range(n_units)]
        # Unit order[k] of the layer before became unit k, and these tables follow.
        new_number = {unit: k for k, unit in enumerate(order)}
        before = rows_before(tuple(new_number[unit] for unit in range(n_parents)))
        tables = [picked(table, before) for table in tables]
        order = list(range(n_units))
        if number < len(sizes) - 2:  # the outputs keep their places
            order.sort(key=lambda unit, tables=tables: tables[unit])
        layers.append(tuple(tables[unit] for unit in order))
    return tuple(layers)
