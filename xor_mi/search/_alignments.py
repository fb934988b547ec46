"""a network and a formula -> every way to place the formula's variables in the network's units.

Every placement is checked by interchange on all pairs.

A set of units stands for a variable if giving the units the values they have on a source input
changes the network's decision as giving the variable its value there changes the formula's, for
every (base, source) pair (interchange accuracy 1; Geiger et al., arXiv 2301.04709). An alignment
gives every variable a set, and these sets are disjoint, in a network that decides every row as the
formula does; it is minimal if no set can be made smaller. Subsets of disjoint sets are disjoint, so
the minimal alignments are the disjoint choices among the minimal sets of each variable: the sets
are found once per network, for all formulas together, and the alignments are counted and listed
from them.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import chain

import numpy as np
import pandas as pd

from xor_mi.errors import XorMiError, require_at_most, require_memory
from xor_mi.finding import Finding, count_text
from xor_mi.graph import Unit, name_of_set
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.search._convention import AnyConvention, Convention, Enumeration, PairSet
from xor_mi.search._formulas import Formula, TooManyFormulas, formulas
from xor_mi.search._interchange import (
    UnitSets,
    bytes_of_interchange,
    each_row,
    interchanged,
    n_pairs_of,
    pairs_of,
    units_in,
)
from xor_mi.search._problem import Problem
from xor_mi.truth import BooleanFunction

MAX_SETS = 2**16
"""More sets of units than this are refused."""
MAX_GROUPED = 200_000
"""If there are more minimal alignments, they are counted and listed one at a time, not grouped."""

UnitSet = tuple[Unit, ...]

Effect = bytes
"""What is decided on each base with some units or a variable as on the source, a byte per pair."""

Placements = dict[Effect, tuple[UnitSet, ...]]
"""The effect of an interchange -> the minimal sets of units that have it."""


@dataclass(frozen=True)
class Alignment(Finding):
    """A placement of a formula's variables: the k-th set of units stands for the k-th variable."""

    formula: Formula
    units: tuple[UnitSet, ...]

    @property
    def up_to_negation(self) -> Hashable:
        """A key that is equal for two alignments that differ by negations only.

        It is equal if they place the same variables, up to negation, at the same units, in formulas
        that are equal up to negation.
        """
        full = (1 << 2**self.formula.n_inputs) - 1  # all rows: `full ^ table` is the complement
        tables = [self.formula.bits(variable) for variable in self.formula.variables]
        # the smaller number of a table and its complement stands for both
        placed = zip(tables, self.units, strict=True)
        return self.formula.up_to_negation, frozenset(
            (min(table, full ^ table), units) for table, units in placed
        )

    def frame(self) -> pd.DataFrame:
        """One row per variable, and the units that stand for it."""
        return pd.DataFrame(
            {
                "variable": [str(variable) for variable in self.formula.variables],
                "units": [name_of_set(units) for units in self.units],
            }
        )

    def __str__(self) -> str:
        placed = [
            f"{variable} -> {name_of_set(units)}"
            for variable, units in zip(self.formula.variables, self.units, strict=True)
        ]
        return f"{self.formula}: {', '.join(placed)}"


@dataclass(frozen=True, eq=False, kw_only=True)
class AlignmentSearch(Finding):
    """Every formula tried. Iterating gives the minimal alignments.

    Attributes:
        target: what the formulas compute.
        depth: how many gates deep they are at most.
        convention: the convention of the search.
        output: the output, or decision of several outputs, that they were aligned with.
        formulas: all that were tried.
        aligned: those with an alignment, each with the number of its minimal ones.
        sets: per formula with an alignment, the minimal sets of every variable.
    """

    target: BooleanFunction
    depth: int
    convention: Convention
    output: int
    formulas: tuple[Formula, ...] = field(repr=False)
    aligned: dict[Formula, int]
    sets: dict[Formula, tuple[tuple[UnitSet, ...], ...]] = field(repr=False)

    @cached_property
    def n_minimal(self) -> int:
        """How many minimal alignments there are, over all formulas."""
        return sum(self.aligned.values())

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "target": self.target.name,
            "depth": self.depth,
            "convention": asdict(self.convention),
            "output": self.output,
            "n_formulas": len(self.formulas),
            "n_aligned": len(self.aligned),
            "n_minimal": self.n_minimal,
        }

    def __len__(self) -> int:
        return self.n_minimal

    def __iter__(self) -> Iterator[Alignment]:
        for formula in self.aligned:
            for units in _disjoint(self.sets[formula]):
                yield Alignment(formula, units)

    def merged(self, *, progress: bool = True) -> tuple[tuple[Alignment, ...], ...]:
        """The minimal alignments in groups that are the same up to negation.

        The members of a group differ only by negations and by the order of a gate's inputs.

        Args:
            progress: show a bar if the work takes over half a second.

        Raises:
            XorMiError: more than `MAX_GROUPED` alignments.
        """
        require_few_to_group(self)
        groups: dict[Hashable, list[Alignment]] = defaultdict(list)
        bar = progress_bar(
            self,
            doing="grouping alignments",
            unit="alignment",
            total=self.n_minimal,
            progress=progress,
        )
        for alignment in bar:
            groups[alignment.up_to_negation].append(alignment)
        return tuple(map(tuple, groups.values()))

    def frame(self) -> pd.DataFrame:
        """One row per formula that aligns: formula, variables, n_minimal_alignments."""
        return pd.DataFrame(
            {
                "formula": [str(formula) for formula in self.aligned],
                "variables": [", ".join(map(str, formula.variables)) for formula in self.aligned],
                "n_minimal_alignments": list(self.aligned.values()),
            }
        )

    def __str__(self) -> str:
        return (
            f"{len(self.aligned):,} of {count_text(len(self.formulas), 'formula')} of depth "
            f"{self.depth} {'aligns' if len(self.aligned) == 1 else 'align'}, in "
            f"{count_text(self.n_minimal, 'minimal way')}"
        )


def find_alignments(
    model: HookedMLP,
    target: Target | None = None,
    *,
    depth: int = 3,
    convention: AnyConvention = None,
    output: int = 0,
    progress: bool = True,
) -> AlignmentSearch:
    """Every formula of the target up to `depth`, each with its minimal alignments.

    Only these switches of the convention matter here: `enumeration`, `pairs`, `across_layers` and
    `reference`. Rows are clean, and the network decides by its own rule.

    >>> from xor_mi.handmade import textbook_xor
    >>> print(find_alignments(textbook_xor(), depth=2))
    1 of 2 formulas of depth 2 aligns, in 1 minimal way
    >>> print(next(iter(find_alignments(textbook_xor(), depth=2))))
    ~(x0 & x1) & (x0 | x1): ~(x0 & x1) -> h0.1, x0 | x1 -> h0.0

    Raises:
        XorMiError: no target, an output that does not exist, too many sets of units, or more
            activations than there is memory for.
        TooManyFormulas: more formulas than are tried, or more of their effects than there is memory
            for.
    """
    problem = Problem.of(model, target, convention)
    output = model.require_output(output)
    require_few_sets(problem, problem.convention.pairs)
    tried = formulas_of(problem, depth, output, progress=progress)
    placements = placements_of(problem, problem.convention.pairs, output)
    return align(problem, tried, placements, depth=depth, output=output, progress=progress)


def formulas_of(
    problem: Problem, depth: int, output: int, *, progress: bool
) -> tuple[Formula, ...]:
    """Every formula of one output, by the problem's enumeration."""
    function = problem.target.outputs[output]
    enumeration = problem.convention.enumeration
    return formulas(function, depth=depth, enumeration=enumeration, progress=progress)


def align(
    problem: Problem,
    tried: tuple[Formula, ...],
    placements: Placements,
    *,
    depth: int,
    output: int,
    progress: bool,
    pairs: PairSet | None = None,
) -> AlignmentSearch:
    """Formulas, and the sets of units by their effect on the same pairs -> the alignments.

    Args:
        pairs: the pairs of the placements, if they are not those of the problem's convention.
    """
    convention = problem.convention if pairs is None else replace(problem.convention, pairs=pairs)
    function = problem.target.outputs[output]
    aligned: dict[Formula, int] = {}
    sets: dict[Formula, tuple[tuple[UnitSet, ...], ...]] = {}
    # a network that decides a row differently does not run any formula of the target
    if _decides_as_target(problem, output):
        enumeration, which = convention.enumeration, convention.pairs
        effects = _effects(function, depth, enumeration, which, progress=progress)
        for formula, effects_of_variables in zip(tried, effects, strict=True):
            options = tuple(placements.get(effect, ()) for effect in effects_of_variables)
            # a variable that no set stands for leaves no alignment
            n_alignments = _n_disjoint(options) if all(options) else 0
            if n_alignments:
                aligned[formula] = n_alignments
                sets[formula] = options
    return AlignmentSearch(
        target=function,
        depth=depth,
        convention=convention,
        output=output,
        formulas=tried,
        aligned=aligned,
        sets=sets,
    )


def require_few_sets(problem: Problem, which: PairSet) -> None:
    """Refuse what `placements_of` could not interchange, before anything is computed.

    Raises:
        XorMiError: more than `MAX_SETS` sets of units, or more activations than there is memory
            for.
    """
    across, widths = problem.convention.across_layers, problem.sizes[1:-1]
    n_sets = 2 ** sum(widths) if across else sum(2**width for width in widths)
    do = "keep across_layers=False, or take a narrower network"
    require_at_most(n_sets, MAX_SETS, what="sets of units", do=do)
    n_pairs = n_pairs_of(len(problem.clean), which)
    require_memory(
        bytes_of_interchange(n_sets, n_pairs, widths),
        what=f"{n_sets:,} sets of units on {n_pairs:,} pairs of inputs",
        do=f"{do} or one with fewer inputs",
    )


def require_few_to_group(search: AlignmentSearch) -> None:
    """Refuse more alignments than are held together.

    Raises:
        XorMiError: more than `MAX_GROUPED`.
    """
    require_at_most(
        search.n_minimal,
        MAX_GROUPED,
        what="minimal alignments",
        do="give a smaller depth, or iterate over them",
    )


def placements_of(problem: Problem, which: PairSet, output: int) -> Placements:
    """Interchange every set of units on these pairs, and group the sets by the effect.

    The caller calls `require_few_sets` first.
    """
    pairs = pairs_of(len(problem.clean), which)
    sets = sets_of_units(problem.sizes[1:-1], problem.convention.across_layers)
    decided = interchanged(problem, problem.whole, sets, pairs)[..., output]  # [set, pair]
    # sets in order of size, so that `_minimal` sees the sets that a set may contain before it
    by_effect: dict[Effect, list[int]] = defaultdict(list)
    for index in smallest_first(sets):
        by_effect[decided[index].tobytes()].append(index)
    units = problem.model.units
    return {effect: _minimal(sets, indices, units) for effect, indices in by_effect.items()}


def _decides_as_target(problem: Problem, output: int) -> bool:
    """Whether the network decides every clean row as the target says."""
    # an interchange of no unit is the network itself
    nobody = np.zeros((1, len(problem.model.units)), dtype=bool)
    rows = each_row(len(problem.clean))
    decided = interchanged(problem, problem.whole, nobody, rows)[0, :, output]
    return bool((decided == problem.target.tables[output]).all())


# The effects depend on the target only, not on the network that is searched.
@lru_cache(maxsize=64)
def _effects(
    target: BooleanFunction, depth: int, enumeration: Enumeration, which: PairSet, *, progress: bool
) -> list[tuple[Effect, ...]]:
    """For every formula, the effect of each of its variables.

    The effect is the formula's value on each base with the variable as on the source.
    """
    tried = formulas(target, depth=depth, enumeration=enumeration, progress=progress)
    n_variables = sum(len(formula.variables) for formula in tried)
    n_pairs = n_pairs_of(2**target.n_inputs, which)
    try:
        require_memory(
            n_variables * n_pairs,
            what=f"the effects of {n_variables:,} variables on {n_pairs:,} pairs of inputs",
            do="give a smaller depth",
        )
    except XorMiError as error:
        raise TooManyFormulas(str(error)) from None
    base, source = pairs_of(2**target.n_inputs, which)
    effects: list[tuple[Effect, ...]] = []
    for formula in progress_bar(tried, doing="alignments", unit="formula", progress=progress):
        of_variables = [formula.effect(variable, base, source) for variable in formula.variables]
        effects.append(tuple(values.tobytes() for values in of_variables))
    return effects


def sets_of_units(widths: Sequence[int], across: bool) -> UnitSets:
    """Every non-empty set of hidden units, within one layer or across layers."""
    total = sum(widths)
    if across:
        return _non_empty_sets(total)
    by_layer: list[UnitSets] = []
    first_unit = 0
    for width in widths:
        layer = np.zeros((2**width - 1, total), dtype=bool)
        layer[:, first_unit : first_unit + width] = _non_empty_sets(width)
        by_layer.append(layer)
        first_unit += width
    return np.concatenate(by_layer)


def _non_empty_sets(n: int) -> UnitSets:
    """All sets of n things except the empty one, as the binary digits of 1, 2, 3, ..."""
    return ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1).astype(bool)


def smallest_first(sets: UnitSets) -> list[int]:
    """The indices of the sets by their size; stable, so that the order is always the same."""
    return np.argsort(sets.sum(1), kind="stable").tolist()


def _minimal(sets: UnitSets, indices: Sequence[int], units: Sequence[Unit]) -> tuple[UnitSet, ...]:
    """The sets that contain no other of these sets, which are given smallest first."""
    minimal: list[int] = []
    for index in indices:
        # for Booleans, <= is "implies": every unit of the one is in the other
        if not any((sets[smaller] <= sets[index]).all() for smaller in minimal):
            minimal.append(index)
    return tuple(units_in(sets[index].tolist(), units) for index in minimal)


def _n_disjoint(options: Sequence[Sequence[UnitSet]]) -> int:
    """How many choices `_disjoint` lists, counted without listing them."""
    bits: dict[Unit, int] = {}
    for unit in chain.from_iterable(chain.from_iterable(options)):
        bits.setdefault(unit, 1 << len(bits))
    masks = [[_mask(units, bits) for units in sets] for sets in options]
    # choices that use the same units so far can be continued in the same ways
    counts = {0: 1}
    for k, sets in enumerate(masks):
        later = 0
        for mask in chain.from_iterable(masks[k + 1 :]):
            later |= mask
        extended: dict[int, int] = defaultdict(int)
        for used, count in counts.items():
            for mask in sets:
                if not used & mask:
                    extended[(used | mask) & later] += count
        counts = extended
    return sum(counts.values())


def _disjoint(
    options: Sequence[Sequence[UnitSet]], used: frozenset[Unit] = frozenset()
) -> Iterator[tuple[UnitSet, ...]]:
    """Every choice of one set per variable that uses no unit twice."""
    if not options:
        yield ()
        return
    first, *others = options
    for units in first:
        if not used.intersection(units):
            for later in _disjoint(others, used.union(units)):
                yield (units, *later)


def _mask(units: UnitSet, bits: Mapping[Unit, int]) -> int:
    """A set of units as a number with one bit per unit."""
    return sum(bits[unit] for unit in units)
