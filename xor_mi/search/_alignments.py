"""a network and a formula -> every way to place the formula's variables in the network's units,
checked by interchange on all pairs.

A set of units stands for a variable if giving the units the values they have on a source input
changes the network's decision as giving the variable its value there changes the formula's, for
every (base, source) pair (interchange accuracy 1; Geiger et al., arXiv 2301.04709). An alignment
gives every variable a set, disjoint ones, in a network that decides every row as the formula; it is
minimal if no set can be made smaller. Subsets of disjoint sets are disjoint, so the minimal
alignments are the disjoint choices among the minimal sets of each variable: the sets are found once
per network, for all formulas together, and the alignments are counted and listed from them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.search._convention import Convention
from xor_mi.search._formulas import Formula, formulas
from xor_mi.search._interchange import interchanged, pairs_of, require_output, whole_network
from xor_mi.search._subcircuits import Problem, problem_of
from xor_mi.truth import BooleanFunction

MAX_SETS = 2**16
"""More sets of units than this are refused."""
MAX_NUMBERS = 2**26
"""How many activations the interchange of all sets may hold."""


@dataclass(frozen=True)
class Alignment:
    """One placing of a formula's variables: the k-th set of units stands for the k-th variable."""

    formula: Formula
    units: tuple[tuple[Unit, ...], ...]

    def __str__(self) -> str:
        named = zip(self.formula.variables, self.units, strict=True)
        return f"{self.formula}: " + ", ".join(
            f"{variable} -> {{{', '.join(u.name for u in units)}}}" for variable, units in named
        )

    @property
    def up_to_negation(self) -> Any:
        """Equal for two alignments that place the same variables, up to negation, at the same units
        in formulas equal up to negation.
        """
        full = (1 << 2**self.formula.n_inputs) - 1
        tables = [self.formula.bits(variable) for variable in self.formula.variables]
        return self.formula.up_to_negation, frozenset(
            (min(t, full ^ t), u) for t, u in zip(tables, self.units, strict=True)
        )


@dataclass(frozen=True, eq=False)
class AlignmentSearch:
    """Every formula tried. Iterating gives the minimal alignments.

    Attributes:
        formulas: all that were tried.
        aligned: those with an alignment, each with the number of its minimal ones.
        sets: per (formula with an alignment), the minimal sets of every variable.
    """

    target: BooleanFunction
    depth: int
    convention: Convention
    formulas: tuple[Formula, ...] = field(repr=False)
    aligned: dict[Formula, int]
    sets: dict[Formula, tuple[tuple[tuple[Unit, ...], ...], ...]] = field(repr=False)

    @cached_property
    def n_minimal(self) -> int:
        """How many minimal alignments there are, over all formulas."""
        return sum(self.aligned.values())

    def __len__(self) -> int:
        return self.n_minimal

    def __iter__(self) -> Iterator[Alignment]:
        for formula in self.aligned:
            yield from (Alignment(formula, units) for units in _disjoint(self.sets[formula]))

    def merged(self) -> tuple[tuple[Alignment, ...], ...]:
        """The minimal alignments in groups that differ by negations, and the order of a gate's
        inputs, only.
        """
        groups: dict[Any, list[Alignment]] = defaultdict(list)
        for alignment in self:
            groups[alignment.up_to_negation].append(alignment)
        return tuple(map(tuple, groups.values()))

    def frame(self) -> pd.DataFrame:
        """One row per formula that aligns: its text, its variables, and how many minimal alignments
        it has.
        """
        rows = [(str(f), ", ".join(map(str, f.variables)), n) for f, n in self.aligned.items()]
        return pd.DataFrame(rows, columns=["formula", "variables", "n_minimal_alignments"])

    def __str__(self) -> str:
        return f"{len(self.aligned)} of {len(self.formulas)} formulas of depth {self.depth} align, in {self.n_minimal} minimal ways"


def find_alignments(
    model: Any, target: Any = None, *, depth: int = 3, convention: Any = None, output: Any = 0
) -> AlignmentSearch:
    """Every formula of the target up to `depth`, each with its minimal alignments.

    The convention's switches that count here: `trees`, `pairs`, `across_layers`, `reference`; rows
    are clean, the network decides by its threshold.

    >>> from xor_mi.handmade import textbook_xor
    >>> print(find_alignments(textbook_xor(), depth=2))
    1 of 2 formulas of depth 2 align, in 1 minimal ways
    >>> print(next(iter(find_alignments(textbook_xor(), depth=2))))
    ~(x0 & x1) & (x0 | x1): ~(x0 & x1) -> {h0.1}, x0 | x1 -> {h0.0}

    Raises:
        XorMiError: no target, an output that is not there, too many sets of units, or too many
            formulas.
    """
    convention = Convention.of(convention)
    setting = problem_of(model, target, convention)
    require_output(model, output)
    labels = setting.labels[: 2**model.cfg.d_in, output]
    function = BooleanFunction(model.cfg.d_in, (tuple(int(bit) for bit in labels),))
    every = formulas(function, depth=depth, enumeration=convention.trees)
    pairs = pairs_of(len(labels), convention.pairs)
    place = _sets_by_effect(setting, output, pairs, convention.across_layers)
    aligned: dict[Formula, int] = {}
    sets: dict[Formula, tuple[tuple[tuple[Unit, ...], ...], ...]] = {}
    rows = (np.arange(len(labels)), np.arange(len(labels)))
    clean = interchanged(
        setting, whole_network(model), np.zeros((1, sum(model.layer_sizes[1:-1])), dtype=bool), rows
    )[0, :, output]
    computed = (
        every if (clean == labels).all() else ()
    )  # a network that decides a row otherwise runs no formula of the target
    for formula, effects in zip(
        computed, _effects(function, depth, convention.trees, convention.pairs), strict=False
    ):
        options = tuple(place.get(effect, ()) for effect in effects)
        if all(options) and (n := sum(1 for _ in _disjoint(options))):
            aligned[formula], sets[formula] = n, options
    return AlignmentSearch(function, depth, convention, every, aligned, sets)


@lru_cache(maxsize=64)
def _effects(
    target: BooleanFunction, depth: int, trees: str, which: str
) -> list[tuple[bytes, ...]]:
    """For every formula and variable: the formula's value on each base with the variable as on the
    source, one byte per pair.
    """
    base, source = pairs_of(2**target.n_inputs, which)
    return [
        tuple(formula.effect(variable, base, source).tobytes() for variable in formula.variables)
        for formula in formulas(target, depth=depth, enumeration=trees)
    ]


def _sets_by_effect(
    setting: Problem, output: int, pairs: tuple[np.ndarray, np.ndarray], across: bool
) -> dict[bytes, tuple[tuple[Unit, ...], ...]]:
    """Decisions under interchange, one byte per pair -> the minimal sets of units that bring them
    about.
    """
    widths = setting.model.layer_sizes[1:-1]
    places = setting.model.units
    n_sets = 2 ** sum(widths) if across else sum(2**width for width in widths)
    if n_sets > MAX_SETS or n_sets * len(pairs[0]) * max(widths) > MAX_NUMBERS:
        raise XorMiError(
            f"{n_sets} sets of units x {len(pairs[0])} pairs; at most {MAX_SETS} sets and {MAX_NUMBERS} activations: "
            "keep across_layers=False, or take a narrower network"
        )
    masks = sets_of_units(widths, across)
    decided = interchanged(setting, whole_network(setting.model), masks, pairs)[..., output]
    grouped: dict[bytes, list[int]] = defaultdict(list)
    for index in np.argsort(masks.sum(1), kind="stable").tolist():
        grouped[decided[index].tobytes()].append(index)
    return {effect: _minimal(masks, indices, places) for effect, indices in grouped.items()}


def sets_of_units(widths: Sequence[int], across: bool) -> np.ndarray:
    """Every non-empty set of hidden units, within one layer or across layers, [set, unit]."""
    total = sum(widths)
    if across:
        return ((np.arange(1, 2**total)[:, None] >> np.arange(total)) & 1).astype(bool)
    found, start = [], 0
    for width in widths:
        layer = np.zeros((2**width - 1, total), dtype=bool)
        layer[:, start : start + width] = (np.arange(1, 2**width)[:, None] >> np.arange(width)) & 1
        found.append(layer)
        start += width
    return np.concatenate(found)


def _minimal(
    masks: np.ndarray, indices: Sequence[int], places: Sequence[Unit]
) -> tuple[tuple[Unit, ...], ...]:
    """Of these sets, smallest first, those that contain no other of them."""
    kept: list[int] = []
    for index in indices:
        if not any((masks[other] <= masks[index]).all() for other in kept):
            kept.append(index)
    return tuple(tuple(places[k] for k in np.flatnonzero(masks[index]).tolist()) for index in kept)


def _disjoint(
    options: Sequence[Sequence[tuple[Unit, ...]]], used: frozenset[Unit] = frozenset()
) -> Iterator[tuple[tuple[Unit, ...], ...]]:
    """One set per variable, no unit twice."""
    if not options:
        yield ()
        return
    for units in options[0]:
        if not used.intersection(units):
            yield from ((units, *rest) for rest in _disjoint(options[1:], used.union(units)))
