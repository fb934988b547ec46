"""a function and a width -> every set of so many gates that it can be read from, by exhaustion.

A hidden unit that is 0 or 1 is a gate: a threshold function of the inputs. Replacing a gate by its
complement makes no difference, because an output can change the sign of its weight. So only the one
of the two that is 0 on the all-zero row is tried; constants are useless. There are 1, 6, 51 and 940
such gates for one to four inputs, and all sets of them are tried. If none is found, that is a
proof.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import comb
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt8, UInt32
from numpy import ndarray

from xor_mi.errors import XorMiError, shown, whole_number
from xor_mi.finding import ROWS_SHOWN, Finding, count_text
from xor_mi.least_units._covers import as_words, covering_sets
from xor_mi.least_units._direct_readouts import conflicts_broken, have_direct_readout
from xor_mi.least_units._families import (
    GateFamily,
    families_of_circuits,
    families_of_gates,
    family_text,
)
from xor_mi.least_units._readouts import have_readout, pairs_told_apart
from xor_mi.least_units._symmetries import all_images, moved_gates, orders_kept, row_moves
from xor_mi.truth import BooleanFunction, threshold_tables

MAX_INPUTS_OF_GATES = 4
"""Five inputs have 47,285 gates, too many to try all sets of three."""

MAX_GATES = 4
"""There are too many sets of five gates of four inputs to try them all."""

MOST_SETS = 1_000_000
"""More sets than this are not listed."""

MOST_DECIDED = 100_000
"""With direct connections, at most so many sets are decided one by one; ten thousand take a second
or two.
"""

DECIDED_AT_FIRST = 256
"""If one set is enough, so many are decided in one step."""


_Family = tuple[tuple[int, ...], tuple[int, ...]]
"""The two fields of a `GateFamily`."""


class GateSearch(NamedTuple):
    """The first set of gates that was found, or the result that there is none.

    Attributes:
        gates: threshold functions of the inputs of which every output is a threshold function; None
            if no set has this property.
        n_sets: how many sets of so many gates there are, a gate and its complement counted once. If
            `gates` is None, every one of them is excluded.
        n_examined: how many of the sets that were searched tell apart what the outputs must tell
            apart; only these had to be decided one by one.
    """

    gates: tuple[BooleanFunction, ...] | None
    n_sets: int
    n_examined: int


@dataclass(frozen=True)
class GateSets(Finding):
    """Every set of so many gates of which a function's outputs are threshold functions.

    Attributes:
        function: what is computed.
        n_units: gates in a set; all are different, none is constant, none is another's complement.
        direct: whether the outputs read the inputs as well.
        n_sets: how many sets there are if a gate and its complement count as different gates, so
            that each line of `tables` stands for 2^n_units sets.
        tables: the sets in which every gate is 0 on the all-zero row, as packed tables, [set,
            unit]: bit r of a table is the gate on row r.
    """

    function: BooleanFunction
    n_units: int
    direct: bool
    n_sets: int
    tables: UInt32[ndarray, "set unit"] = field(repr=False, compare=False)
    _families: tuple[tuple[_Family, int], ...] = field(repr=False)

    @property
    def n_families(self) -> int:
        """How many families there are; see `families`."""
        return len(self._families)

    @cached_property
    def families(self) -> dict[str, int]:
        """Family -> how many sets belong to it, the most frequent first.

        A family is the same for all orders of the inputs and for complements of gates, as
        `Circuit.family` is, and includes the outputs. Outputs that differ only on patterns of bits
        that no row produces make different families, which `identify_circuit` tells apart as well;
        a set that allows several is counted in each. With direct connections there are too many
        such outputs, so a family is that of the gates alone.

        The texts are computed when they are first read, some five hundred per second.
        """
        _, bits = gates_of(self.function.n_inputs)
        return {
            family_text(GateFamily(*family), self.function, bits): count
            for family, count in self._families
        }

    def head(self) -> dict[str, object]:
        """What was asked, and how many sets and families there are."""
        return {
            "function": self.function.name,
            "n_units": self.n_units,
            "direct": self.direct,
            "n_sets": self.n_sets,
            "n_families": self.n_families,
        }

    def frame(self) -> pd.DataFrame:
        """One line per family, the most frequent first.

        Columns family, n_sets (how many sets belong to it), share (of all sets, 0 to 1; the shares
        add up to more than 1 if a set belongs to several families).
        """
        lines = [
            {"family": text, "n_sets": count, "share": count / self.n_sets}
            for text, count in self.families.items()
        ]
        return pd.DataFrame(lines, columns=["family", "n_sets", "share"])

    def __str__(self) -> str:
        units = count_text(self.n_units, "threshold unit")
        with_inputs = ", read together with the inputs," if self.direct else ""
        name = self.function.name
        if not self.n_sets:
            return f"no set of {units}{with_inputs} computes {name}"
        found = f"{count_text(self.n_sets, 'set')} of {units}{with_inputs} compute {name}"
        if self.n_families > ROWS_SHOWN:
            return f"{found}, in {self.n_families:,} families"
        families = "; ".join(f"{text} ({count:,})" for text, count in self.families.items())
        return f"{found}, by family: {families}"

    def _shown(self) -> tuple[str, pd.DataFrame | None]:
        """What a notebook shows; without the table if it takes long to compute."""
        return str(self), self.frame() if self.n_families <= ROWS_SHOWN else None


def gate_sets(
    target: BooleanFunction | str,
    n_units: int,
    *,
    direct: bool = False,
    n_inputs: int | None = None,
    progress: bool = True,
) -> GateSets:
    """Every set of so many threshold units that computes a function, and their families.

    All sets of different gates of the inputs are tried, so there are no others. Functions of up to
    three inputs take a moment. For four inputs, the smallest sets take one or two seconds, even for
    parity, which needs four gates. There are soon more than a million larger sets, which are
    refused after up to two minutes. With direct connections, sets of two take up to ten seconds.

    Args:
        target: a gate, a formula or a `BooleanFunction` of one to four inputs, with one or several
            outputs, which share the units.
        n_units: 1 to 4.
        direct: whether the outputs read the inputs as well as the units.
        n_inputs: the number of inputs of a target that is given as text; by default as many as it
            names, and at least two.
        progress: show a bar if the work takes over half a second.

    >>> found = gate_sets("XOR", 2)
    >>> found.n_sets, found.families
    (8, {'OR & ~AND': 4, 'x0>x1 | x1>x0': 4})
    >>> gate_sets("XOR", 1).n_sets, gate_sets("XOR", 1, direct=True).n_sets
    (0, 8)

    Raises:
        XorMiError: more than four inputs or four units, more than a million sets, or more than a
            million choices of outputs for them; with direct connections, more than 100,000 sets to
            decide one by one.
    """
    asked = _Asked.of(target, n_units, direct=direct, n_inputs=n_inputs)
    lots = [lot for lot, _ in _lots_found(asked, progress=progress)]
    # with fewer gates than units there is no lot at all
    none = np.empty((0, asked.n_units), dtype=np.int64)
    found = all_images(np.concatenate([none, *lots]), asked.images, at_most=MOST_SETS)
    if found is None:
        raise _too_many(asked)
    orders = moved_gates(asked.gates, asked.bits, orders_kept(asked.function))
    if asked.direct:
        families = families_of_gates(found, orders)
    else:
        families = families_of_circuits(found, orders, asked.function, asked.bits)
    n_signs = 2**asked.n_units
    most_first = sorted(families.items(), key=itemgetter(1, 0), reverse=True)
    return GateSets(
        function=asked.function,
        n_units=asked.n_units,
        direct=asked.direct,
        n_sets=len(found) * n_signs,
        tables=asked.gates[found],
        _families=tuple((family, count * n_signs) for family, count in most_first),
    )


def a_gate_set(
    target: BooleanFunction | str,
    n_units: int,
    *,
    direct: bool = False,
    n_inputs: int | None = None,
    progress: bool = True,
) -> GateSearch:
    """The first set of so many gates that computes a function, or a proof that there is none.

    The arguments are those of `gate_sets`.

    Raises:
        XorMiError: more than four inputs or four units.
    """
    asked = _Asked.of(target, n_units, direct=direct, n_inputs=n_inputs)
    n_sets = comb(len(asked.gates), asked.n_units)
    n_examined = 0
    for lot, n_in_lot in _lots_found(asked, progress=progress, stop_at_first=True):
        n_examined += n_in_lot
        if len(lot):
            tables = asked.bits[lot[0]].tolist()
            gates = [BooleanFunction(asked.function.n_inputs, (tuple(table),)) for table in tables]
            return GateSearch(tuple(gates), n_sets, n_examined)
    return GateSearch(None, n_sets, n_examined)


@cache
def gates_of(n_inputs: int) -> tuple[UInt32[ndarray, " gate"], UInt8[ndarray, "gate row"]]:
    """All gates that are 0 on the all-zero row and not constant, packed (ascending) and by row."""
    tables = threshold_tables(n_inputs)
    is_gate = (tables & np.uint32(1) == 0) & (tables != 0)
    packed = tables[is_gate]
    rows = np.arange(2**n_inputs, dtype=np.uint32)
    return packed, (packed[:, None] >> rows & np.uint32(1)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class _Asked:
    """The request, checked.

    Attributes:
        gates: packed tables of the gates that a set is made of.
        bits: the same by row.
        images: what each gate becomes under every change of the inputs that leaves each output
            unchanged or negates it.
    """

    function: BooleanFunction
    n_units: int
    direct: bool
    gates: UInt32[ndarray, " gate"]
    bits: UInt8[ndarray, "gate row"]
    images: Int[ndarray, "move gate"]

    @classmethod
    def of(
        cls,
        target: BooleanFunction | str,
        n_units: int,
        *,
        direct: bool,
        n_inputs: int | None,
    ) -> "_Asked":
        """The request with these arguments."""
        function = BooleanFunction.of(target, n_inputs)
        if function.n_inputs > MAX_INPUTS_OF_GATES:
            raise XorMiError(
                f"{function.name} has {function.n_inputs} inputs; all sets of gates are looked "
                f"through for at most {MAX_INPUTS_OF_GATES}"
            )
        width = whole_number("n_units", n_units, at_least=1, below=MAX_GATES + 1)
        if not isinstance(direct, bool):
            raise XorMiError(f"direct is {shown(direct)}; give True or False")
        gates, bits = gates_of(function.n_inputs)
        images = moved_gates(gates, bits, row_moves(function))
        return cls(function, width, direct, gates, bits, images)

    def tells_apart(self) -> Bool[ndarray, "gate thing"]:
        """Which gate tells apart which of the things that a set must tell apart."""
        of_function = conflicts_broken if self.direct else pairs_told_apart
        return of_function(self.function, self.bits)

    def are_sets(self, sets: Int[ndarray, "set unit"]) -> Bool[ndarray, " set"]:
        """From which of these sets, which tell all things apart, every output can be read."""
        decide = have_direct_readout if self.direct else have_readout
        return decide(sets, self.function, self.bits)


def _lots_found(
    asked: _Asked, *, progress: bool, stop_at_first: bool = False
) -> Iterator[tuple[Int[ndarray, "set unit"], int]]:
    """The sets of gates in lots, at least one of every kind; and how many were decided.

    Args:
        stop_at_first: whether the caller stops at the first set, so that no number is too large.

    Raises:
        XorMiError: more sets than are listed.
    """
    tells_apart = asked.tells_apart()
    lots = covering_sets(
        as_words(tells_apart),
        tells_apart.shape[1],
        asked.n_units,
        images=asked.images,
        progress=progress,
    )
    n_found = n_decided = 0
    for lot in lots:
        # small lots if only the first set is wanted, lots as large as possible for all
        per_step = DECIDED_AT_FIRST if stop_at_first else max(1, len(lot))
        for part in np.split(lot, range(per_step, len(lot), per_step)):
            n_decided += len(part)
            if asked.direct and n_decided > MOST_DECIDED and not stop_at_first:
                raise _too_many(asked, n_decided=n_decided)
            found = part[asked.are_sets(part)]
            n_found += len(found)
            if n_found > MOST_SETS and not stop_at_first:
                raise _too_many(asked)
            yield found, len(part)


def _too_many(asked: _Asked, *, n_decided: int = 0) -> XorMiError:
    """The error for too many sets to list, or to decide one by one."""
    gates = count_text(asked.n_units, "gate")
    what = f"more than {MOST_SETS:,} sets of {gates} compute {asked.function.name}"
    if n_decided:
        what = (
            f"{n_decided:,} sets of {gates} would have to be decided one by one, "
            f"more than the {MOST_DECIDED:,} that are"
        )
    return XorMiError(f"{what}; ask for fewer units")
