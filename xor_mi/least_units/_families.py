"""sets of gates -> families of sets, as `identify_circuit` tells networks apart.

A family is the same for all orders of the inputs and for complements of gates. It includes the
outputs, each a threshold function of the gates. If the gates do not produce every pattern of bits,
several threshold functions may agree with the output on all rows and differ on patterns that no row
produces. `identify_circuit` reads an output on those patterns as well, because an interchange can
produce them, and tells such networks apart. So one set of gates may belong to several families, and
is counted in each. A gate that no output reads is left out of the text, as `identify_circuit` does.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from xor_mi.circuits import LocalGate, family_of
from xor_mi.errors import require_at_most
from xor_mi.graph import Unit
from xor_mi.least_units._readouts import pattern_masks, readouts_fit
from xor_mi.least_units._symmetries import as_numbers, as_sets
from xor_mi.truth import BooleanFunction, name_of_bits, threshold_tables

SETS_AT_ONCE = 1 << 12
"""The outputs of so many sets are computed in one step."""

MOST_READINGS = 1_000_000
"""More sets with outputs than this are not sorted into families: it would take minutes."""


class GateFamily(NamedTuple):
    """One family, represented by its first member.

    Attributes:
        gates: the numbers of the gates that are read, ascending.
        readouts: per output its packed table over these; empty with direct connections.
    """

    gates: tuple[int, ...]
    readouts: tuple[int, ...]


def families_of_gates(
    sets: Int[ndarray, "set unit"], images: Int[ndarray, "order gate"]
) -> dict[GateFamily, int]:
    """Sets of gates -> the families of their gates alone, and how many sets belong to each.

    Args:
        images: what each gate becomes, for every order of the inputs that changes no output.
    """
    first_sets, counts = _up_to_order(sets, images)
    members = map(tuple, first_sets.tolist())
    return {
        GateFamily(gates, ()): count for gates, count in zip(members, counts.tolist(), strict=True)
    }


def families_of_circuits(
    sets: Int[ndarray, "set unit"],
    images: Int[ndarray, "order gate"],
    function: BooleanFunction,
    bits: UInt8[ndarray, "gate row"],
) -> dict[GateFamily, int]:
    """Sets of gates -> the families with the outputs, and how many sets belong to each.

    Raises:
        XorMiError: more than `MOST_READINGS` choices of outputs.
    """
    first_sets, counts = _up_to_order(sets, images)
    becomes = images.tolist()
    families: Counter[GateFamily] = Counter()
    n_readings = 0
    for start in range(0, len(first_sets), SETS_AT_ONCE):
        part = first_sets[start : start + SETS_AT_ONCE]
        readouts = list(_readouts(part, function, bits))
        n_readings += sum(prod(map(len, of_outputs)) for of_outputs in readouts)
        require_at_most(
            n_readings, MOST_READINGS, what="choices of outputs", do="ask for fewer units"
        )
        members = zip(part.tolist(), counts[start:].tolist(), readouts, strict=False)
        for gates, count, of_outputs in members:
            # a set counts once in a family, even if several choices of its outputs belong to it
            found = {_first_member(gates, chosen, becomes) for chosen in product(*of_outputs)}
            families.update(dict.fromkeys(found, count))
    return dict(families)


def family_text(
    family: GateFamily, function: BooleanFunction, bits: UInt8[ndarray, "gate row"]
) -> str:
    """A family as `identify_circuit` writes it; with direct connections the gates' names."""
    tables = [tuple(bits[gate].tolist()) for gate in family.gates]
    if not family.readouts:
        return ", ".join(map(name_of_bits, tables))
    inputs = tuple(f"x{i}" for i in range(function.n_inputs))
    n_units = len(family.gates)
    units = [Unit(0, k) for k in range(n_units)]
    names = tuple(unit.name for unit in units)
    hidden = [LocalGate(unit, inputs, table) for unit, table in zip(units, tables, strict=True)]
    outputs = [
        LocalGate(Unit(1, k), names, _unpacked(readout, n_units))
        for k, readout in enumerate(family.readouts)
    ]
    return family_of([*hidden, *outputs], [function.n_inputs, n_units, function.n_outputs])


def _up_to_order(
    sets: Int[ndarray, "set unit"], images: Int[ndarray, "order gate"]
) -> tuple[Int[ndarray, "family unit"], Int[ndarray, " family"]]:
    """The first set of each kind, and how many sets are of that kind."""
    n_gates = images.shape[1]
    first = as_numbers(sets, n_gates)
    for image in images:
        first = np.minimum(first, as_numbers(image[sets], n_gates))
    numbers, counts = np.unique(first, return_counts=True)
    return as_sets(numbers, n_gates, sets.shape[1]), counts


def _readouts(
    sets: Int[ndarray, "set unit"], function: BooleanFunction, bits: UInt8[ndarray, "gate row"]
) -> Iterator[list[list[int]]]:
    """Per set and output, the packed tables of the threshold functions that give the output."""
    n_units = sets.shape[1]
    tables = threshold_tables(n_units)
    fits = [readouts_fit(masks, n_units) for masks in pattern_masks(sets, function, bits)]
    for k in range(len(sets)):
        yield [tables[of_output[k]].tolist() for of_output in fits]


def _first_member(
    gates: list[int], readouts: tuple[int, ...], becomes: list[list[int]]
) -> GateFamily:
    """The first of all forms of a set with these outputs, without gates that no output reads.

    Args:
        becomes: what each gate becomes, [order][gate], as `images`.
    """
    n_units = len(gates)
    read = sorted(set().union(*(_essential(readout, n_units) for readout in readouts)))
    kept = [gates[k] for k in read]
    members = []
    for image in becomes:
        moved = [image[gate] for gate in kept]
        order = sorted(range(len(kept)), key=moved.__getitem__)
        places = tuple(read[k] for k in order)
        moved_readouts = tuple(_over(readout, places, n_units) for readout in readouts)
        members.append(GateFamily(tuple(sorted(moved)), moved_readouts))
    return min(members)


@lru_cache(maxsize=4096)
def _essential(readout: int, n_units: int) -> tuple[int, ...]:
    """The units that a packed table depends on."""
    return BooleanFunction(n_units, (_unpacked(readout, n_units),)).essential_inputs


@lru_cache(maxsize=65536)
def _over(readout: int, places: tuple[int, ...], n_units: int) -> int:
    """The packed table over the units at these places, in this order; it depends on no other."""
    packed = 0
    for pattern in range(2 ** len(places)):
        # the first unit is the most significant, in both patterns
        bits = (pattern >> k & 1 for k in reversed(range(len(places))))
        before = sum(bit << (n_units - 1 - place) for bit, place in zip(bits, places, strict=True))
        packed |= (readout >> before & 1) << pattern
    return packed


def _unpacked(readout: int, n_units: int) -> tuple[int, ...]:
    return tuple(readout >> pattern & 1 for pattern in range(2**n_units))
