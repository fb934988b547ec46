"""circuits in one line each: what `identify_circuit` says of one network, or of many at once.

`identify_many` decides what it can for all networks together (`_batch`), and gives the rest to
`identify_circuit` one by one: other shapes, very many readings, and numbers so close to a bound
that rounding might decide. The answers are the same, only sooner.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, combinations, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from xor_mi.circuits import _batch
from xor_mi.circuits._batch import JointReadings, Networks, Ranks
from xor_mi.circuits._candidates import compared_margin
from xor_mi.circuits._circuit import Circuit
from xor_mi.circuits._identify import identify_circuit
from xor_mi.circuits._netlist import LocalGate
from xor_mi.circuits._required import verdict_of
from xor_mi.circuits._signature import (
    Form,
    family_of,
    form_of,
    picked,
    rows_before,
    signature_of_forms,
)
from xor_mi.circuits._steps import STEPS
from xor_mi.errors import XorMiError, require_kind
from xor_mi.graph import layers_of
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.progress import progress_bar
from xor_mi.truth import name_of_bits

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
        n_readings: how many joint readings were kept; None for a network that could not be tried.
        why_not: why it could not be tried, else "".
    """

    verdict: str | None
    gates: tuple[str, ...] = ()
    n_readings: int | None = 0
    margins: tuple[float, ...] = ()
    signature: str = ""
    family: str = ""
    why_not: str = ""


def summarize(circuit: Circuit) -> Summary:
    """Circuit -> its line."""
    require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    units = circuit.units if circuit.primary else ()
    margins = [float("nan") if unit.margin is None else unit.margin for unit in units]
    return Summary(
        verdict=circuit.verdict,
        gates=tuple(unit.gate for unit in units if unit.gate),
        n_readings=len(circuit.readings),
        margins=tuple(margins),
        signature=_or_empty(lambda: circuit.signature),
        family=_or_empty(lambda: circuit.family),
    )


def identify_many(
    models: Callable[[int], HookedMLP],
    layers: Sequence[tuple[Tensor, Tensor]],
    cfg: HookedMLPConfig,
    *,
    progress: bool = True,
) -> list[Summary]:
    """One summary per network.

    Args:
        models: number -> network, for those that are identified one by one.
        layers: W [network, d_out, d_in] and b [network, d_out] per layer.
    """
    n_networks = len(layers[0][0])
    summaries: dict[int, Summary] = {}
    with progress_bar(
        doing="identifying", unit="network", total=n_networks, progress=progress
    ) as bar:
        if _covered(cfg):
            for numbers in torch.arange(n_networks).split(_networks_at_once(cfg)):
                of_chunk = [(weight[numbers], bias[numbers]) for weight, bias in layers]
                chunk = Networks.of(of_chunk, cfg)
                sure = {int(numbers[k]): summary for k, summary in _summaries(chunk)}
                summaries |= sure
                bar.update(len(sure))
        # whatever is not sure by now
        for number in range(n_networks):
            if number not in summaries:
                summaries[number] = _alone(models, number)
                bar.update()
    return [summaries[number] for number in range(n_networks)]


def _covered(cfg: HookedMLPConfig) -> bool:
    """Whether networks of this shape and these conventions can be identified together."""
    # One step or difference at the output: its scores must be linear in the hidden units, but for
    # an activation that does not jump.
    is_difference = cfg.rule.name == "argmax" and cfg.d_out == 2 and cfg.out_act_fn == "identity"
    is_threshold = cfg.rule.name == "threshold" and cfg.out_act_fn not in STEPS
    # A unit has at most one reading per gap between neighbouring rows' values.
    return (
        (is_threshold or is_difference)
        and not cfg.direct
        and cfg.dtype in (torch.float32, torch.float64)
        and cfg.n_layers == 1
        and cfg.target is not None
        and cfg.d_hidden[0] <= MAX_WIDTH
        and (2**cfg.d_in - 1) ** cfg.d_hidden[0] <= MAX_CHOICES
    )


def _networks_at_once(cfg: HookedMLPConfig) -> int:
    """How many networks fit: the largest tensor is [network, choice, row, unit or output]."""
    width, n_rows = cfg.d_hidden[0], 2**cfg.d_in
    n_choices = (n_rows - 1) ** width
    return max(1, NUMBERS_AT_ONCE // (n_choices * n_rows * max(width, cfg.d_out)))


def _alone(models: Callable[[int], HookedMLP], number: int) -> Summary:
    """One network's summary by `identify_circuit` itself."""
    try:
        circuit = identify_circuit(models(number), with_evidence=False, progress=False)
        return summarize(circuit)
    # More readings than are listed, or weights that are not finite: no reason to lose the others.
    except XorMiError as error:
        return Summary(verdict=None, n_readings=None, why_not=str(error))


def _or_empty(name: Callable[[], str]) -> str:
    """A signature or family, or "" where it cannot be found."""
    try:
        return name()
    except XorMiError:  # too many orders of interchangeable units for a canonical form
        return ""


def _summaries(networks: Networks) -> Iterator[tuple[int, Summary]]:
    """(number within the chunk, summary) of every network that is sure."""
    computing = _batch.computing(networks)
    for number in computing.wrong.nonzero().flatten().tolist():
        yield number, _without_a_circuit("not_computing")
    if not computing.right.any():
        return
    numbers = computing.right.nonzero().flatten()
    for number, summary in _identified(networks.take(numbers)):
        yield int(numbers[number]), summary


def _without_a_circuit(verdict: str) -> Summary:
    """As `Circuit`: without a reading the verdict stands for signature and family."""
    return Summary(verdict=verdict, signature=verdict, family=verdict)


def _identified(networks: Networks) -> Iterator[tuple[int, Summary]]:
    """(number, summary) of every network that is sure, of networks that compute the target."""
    readings = _batch.read_units(networks.hidden)
    joint = _batch.faithful(networks, readings)
    netlists = _batch.netlists(networks, joint)
    kept = netlists.composes.nonzero().flatten()
    joint, tables = joint.take(kept), netlists.tables[kept]

    # Only networks with several kept readings need an order among them.
    members: list[list[int]] = [[] for _ in networks.hidden]
    for reading, network in enumerate(joint.network.tolist()):
        members[network].append(reading)
    several = list(chain.from_iterable(group for group in members if len(group) > 1))
    ambiguous = torch.tensor(several, dtype=torch.long)
    ranks = _batch.ranks(networks, joint.take(ambiguous), tables[ambiguous])
    unsure = (readings.unsure | joint.unsure | netlists.unsure | ranks.unsure).tolist()

    keys = _keys(joint.bits, tables)
    order = _order_of(several, ranks)
    for network, group in enumerate(members):
        if unsure[network]:
            continue
        first = _first(group, order, joint, keys)
        if not group:
            yield network, _without_a_circuit("no_gate_reading")
        elif first is not None:
            # where two outputs are one decision, it has one gate
            *before, _ = networks.cfg.layer_sizes
            sizes = (*before, networks.cfg.n_decisions)
            yield network, _summary(group, first, joint, keys, sizes)


def _order_of(readings: Sequence[int], ranks: Ranks) -> dict[int, tuple[int, int]]:
    """Reading -> what it is ordered by, smallest first, before its margin."""
    told_apart, agreed = ranks.told_apart.tolist(), ranks.agreed.tolist()
    keys = [(apart, -agreements) for apart, agreements in zip(told_apart, agreed, strict=True)]
    return dict(zip(readings, keys, strict=True))


def _first(
    group: Sequence[int],
    order: dict[int, tuple[int, int]],
    joint: JointReadings,
    keys: Sequence["_Key"],
) -> int | None:
    """The reading of a network that `identify_circuit` puts first.

    None where rounding might decide, or where there is no reading.
    """
    if len(group) < 2:
        return group[0] if group else None
    lead = min(order[reading] for reading in group)
    tied = [reading for reading in group if order[reading] == lead]
    margins = joint.worst[tied].tolist()
    for a, b in combinations(margins, 2):
        # In between, rounding might decide which comes first.
        if SAME_MARGIN < abs(a - b) / max(abs(a), _batch.TINY) < CLEAR_MARGIN:
            return None
    ranked = [
        (-compared_margin(margin), _gates(keys[reading]), reading)
        for reading, margin in zip(tied, margins, strict=True)
    ]
    return min(ranked)[-1]


def _summary(
    group: Sequence[int],
    first: int,
    joint: JointReadings,
    keys: Sequence["_Key"],
    sizes: tuple[int, ...],
) -> Summary:
    """The summary of a network with these kept readings, reported under `first`."""
    sorted_keys = {_with_units_sorted(keys[reading]) for reading in group}
    return Summary(
        verdict=verdict_of(len(group), len(group)),
        gates=_gates(keys[first]),
        n_readings=len(group),
        margins=tuple(joint.margin[first].tolist()),
        signature=_or_empty(lambda: signature_of_forms({_form(key, sizes) for key in sorted_keys})),
        family=_family(_with_units_sorted(keys[first]), sizes),
    )


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
def _family(key: _Key, sizes: tuple[int, ...]) -> str:
    return _or_empty(lambda: family_of(_netlist(key, sizes), sizes))


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
