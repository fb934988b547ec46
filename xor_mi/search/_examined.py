"""explanations that look alike -> for each, what tells it apart, if anything does.

A perfect subcircuit is compared with the whole network under interchange and ablation of the same
units; an alignment that passes with fewer pairs is tried on all ordered pairs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xor_mi.finding import count_text
from xor_mi.graph import Subcircuit, name_of_set
from xor_mi.progress import progress_bar
from xor_mi.search._alignments import Alignment, UnitSet, sets_of_units, smallest_first
from xor_mi.search._convention import Convention
from xor_mi.search._interchange import (
    Replacement,
    RowPairs,
    UnitSets,
    each_row,
    interchanged,
    interchanged_in_all,
    pairs_of,
    units_in,
)
from xor_mi.search._problem import VALUES_AT_ONCE, KeptEdges, Problem
from xor_mi.search._searches import MAX_EXAMINED, Searches
from xor_mi.truth import row_name, truth_rows

MAX_INTERCHANGES = 2**17
"""Sets of units times pairs of inputs: up to this number all sets are interchanged, above it only
single units.
"""
SETS_AT_ONCE = 8
"""So many sets are tried on all subcircuits before the subcircuits that differ from the network are
left out; one of the first sets shows it for most of them.
"""


@dataclass(frozen=True)
class Witness:
    """An intervention that tells apart two explanations that are alike on every input.

    Attributes:
        what: the units, or the variable of a formula, that were replaced.
        base: the input row.
        source: the row that their values came from; None if they were ablated.
    """

    what: str
    base: str
    source: str | None = None

    def __str__(self) -> str:
        if self.source is None:
            return f"{self.what}: {self.base}"
        return f"{self.what}: base {self.base}, source {self.source}"


@dataclass(frozen=True, kw_only=True)
class ExaminedSubcircuit:
    """A perfect subcircuit and what tells it from the whole network.

    Attributes:
        subcircuit: the subcircuit itself.
        n_interpretations: how many interpretations it has.
        minimal: whether it contains no other perfect one; None if there are too many to compare.
        ruled_out_by_interchange: the first units and inputs where an interchange makes network and
            subcircuit decide differently, if there are any.
        ruled_out_by_ablation: the same for an ablation.
    """

    subcircuit: Subcircuit
    minimal: bool | None
    n_interpretations: int
    ruled_out_by_interchange: Witness | None
    ruled_out_by_ablation: Witness | None

    def __str__(self) -> str:
        kind = "a minimal perfect subcircuit" if self.minimal else "a perfect subcircuit"
        said = [
            f"{kind} of {count_text(len(self.subcircuit.units), 'unit')} and "
            f"{count_text(len(self.subcircuit.edges), 'edge')}",
            count_text(self.n_interpretations, "interpretation"),
        ]
        if self.ruled_out_by_interchange:
            said.append(f"ruled out by interchange of {self.ruled_out_by_interchange}")
        if self.ruled_out_by_ablation:
            said.append(f"ruled out by ablation of {self.ruled_out_by_ablation}")
        if self.survives:
            said.append("nothing that was tried rules it out")
        return "; ".join(said)

    @property
    def survives(self) -> bool:
        """Whether nothing that was tried tells it apart from the whole network."""
        return self.ruled_out_by_interchange is None and self.ruled_out_by_ablation is None


@dataclass(frozen=True)
class ExaminedAlignment:
    """A minimal alignment that passes on unordered pairs, and what rules it out on ordered ones.

    Attributes:
        alignment: it passes when every unordered pair of inputs is tried once.
        ruled_out_by: the first ordered pair that rules it out, if any does.
    """

    alignment: Alignment
    ruled_out_by: Witness | None

    def __str__(self) -> str:
        outcome = "holds on all ordered pairs"
        if self.ruled_out_by:
            outcome = f"ruled out by {self.ruled_out_by}"
        return f"{self.alignment}; {outcome}"

    @property
    def survives(self) -> bool:
        """Whether it holds on all ordered pairs."""
        return self.ruled_out_by is None


def examined_subcircuits(
    searches: Searches, convention: Convention
) -> tuple[tuple[ExaminedSubcircuit, ...], str]:
    """The first perfect subcircuits, each with what tells it apart from the whole network.

    Also returns, in words, which sets of units were tried.
    """
    if not searches.can_list:
        return (), "no units"
    search, problem = searches.subcircuits(convention), searches.problem(convention)
    n_examined = min(search.n_perfect, MAX_EXAMINED)
    # finding the minimal ones compares all with all, which is only feasible for short lists
    minimal = set(search.minimal) if n_examined == search.n_perfect else None
    n_interpretations = searches.n_interpretations(convention)
    trial = _Trial.of(problem)
    examined: list[ExaminedSubcircuit] = []
    bar = progress_bar(
        trial.witnesses(search.kept_edges(slice(n_examined))),
        doing="perfect subcircuits",
        unit="subcircuit",
        total=n_examined,
        progress=searches.progress,
    )
    for index, (by_interchange, by_ablation) in enumerate(bar):
        subcircuit = search[index]
        examined.append(
            ExaminedSubcircuit(
                subcircuit=subcircuit,
                minimal=None if minimal is None else subcircuit in minimal,
                n_interpretations=n_interpretations[index],
                ruled_out_by_interchange=by_interchange,
                ruled_out_by_ablation=by_ablation,
            )
        )
    return tuple(examined), trial.in_words


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """What every perfect subcircuit is compared with: the whole network's decisions.

    Attributes:
        sets: the units interchanged and ablated together, small sets first.
        names: the sets as text.
        in_words: which sets these are, such as 'all 3 sets of units'.
        rows: the clean rows as text.
        pairs: all ordered (base, source) pairs of rows.
        exchanged: what the network decides with the units of a set on each base as on each source,
            [set, pair, decision].
        ablated: what it decides without them, [set, row, decision].
    """

    problem: Problem
    sets: UnitSets
    names: list[str]
    in_words: str
    rows: list[str]
    pairs: RowPairs
    exchanged: NDArray[np.int8]
    ablated: NDArray[np.int8]

    @classmethod
    def of(cls, problem: Problem) -> "_Trial":
        """All sets of hidden units, or only single units if there are too many sets."""
        units = problem.model.units
        pairs = pairs_of(len(problem.clean), "all")
        if 2 ** len(units) * len(pairs[0]) <= MAX_INTERCHANGES:
            sets = sets_of_units([len(units)], across=True)
            sets = sets[smallest_first(sets)]
            in_words = f"all {len(sets)} sets of units"
        else:
            sets = np.eye(len(units), dtype=bool)
            in_words = "single units"
        return cls(
            problem=problem,
            sets=sets,
            names=[name_of_set(units_in(in_set, units)) for in_set in sets.tolist()],
            in_words=in_words,
            rows=_row_names(problem),
            pairs=pairs,
            exchanged=interchanged(problem, problem.whole, sets, pairs),
            ablated=interchanged(
                problem,
                problem.whole,
                sets,
                each_row(len(problem.clean)),
                replacement=problem.convention.ablation,
            ),
        )

    def witnesses(
        self, edges: Sequence[KeptEdges]
    ) -> Iterator[tuple[Witness | None, Witness | None]]:
        """Where an interchange, and where an ablation, tells each subcircuit from the network."""
        n_pairs, widest = len(self.pairs[0]), max(self.problem.sizes)
        # some at a time, because the values of all their units are held
        step = max(1, VALUES_AT_ONCE // (SETS_AT_ONCE * n_pairs * widest))
        for start in range(0, len(edges[0]), step):
            some = [of_layer[start : start + step] for of_layer in edges]
            exchanges = self._first_differences(some, self.pairs, self.exchanged)
            rows = each_row(len(self.problem.clean))
            ablations = self._first_differences(
                some, rows, self.ablated, replacement=self.problem.convention.ablation
            )
            for exchange, ablation in zip(exchanges, ablations, strict=True):
                by_interchange = by_ablation = None
                if exchange is not None:
                    which_set, pair = exchange
                    base, source = (self.rows[rows[pair]] for rows in self.pairs)
                    by_interchange = Witness(self.names[which_set], base, source)
                if ablation is not None:
                    which_set, row = ablation
                    by_ablation = Witness(self.names[which_set], self.rows[row])
                yield by_interchange, by_ablation

    def _first_differences(
        self,
        edges: Sequence[KeptEdges],
        pairs: RowPairs,
        of_whole: NDArray[np.int8],
        *,
        replacement: Replacement = "source",
    ) -> list[tuple[int, int] | None]:
        """For each subcircuit, the first (set, pair) where it decides differently than the network.

        Args:
            of_whole: what the whole network decides, [set, pair, decision].
        """
        problem = self.problem
        layers = problem.kept_of_all(edges)
        is_kept = np.concatenate([of_layer.any(2) for of_layer in edges[:-1]], axis=1)
        first: list[tuple[int, int] | None] = [None] * len(is_kept)
        alike = np.arange(len(is_kept))  # those that nothing has told apart from the network so far
        for start in range(0, len(self.sets), SETS_AT_ONCE):
            these = slice(start, start + SETS_AT_ONCE)
            # a unit that the subcircuit drops must have no effect in it
            sets = self.sets[these] & is_kept[alike][:, None]
            of_alike = [(weight[alike], bias[alike]) for weight, bias in layers]
            decided = interchanged_in_all(problem, of_alike, sets, pairs, replacement=replacement)
            differs = (decided != of_whole[these]).any(-1)  # [subcircuit, set, pair]
            flat = differs.reshape(len(alike), -1)
            is_told = flat.any(1)
            for number, place in zip(
                alike[is_told].tolist(), flat[is_told].argmax(1).tolist(), strict=True
            ):
                which_set, pair = divmod(place, differs.shape[2])
                first[number] = (start + which_set, pair)
            alike = alike[~is_told]
            if not len(alike):
                break
        return first


def examined_alignments(
    searches: Searches, convention: Convention
) -> tuple[ExaminedAlignment, ...]:
    """The alignments that pass with unordered pairs, each tried on all ordered ones.

    The witness is the first ordered pair on which it fails.
    """
    problem = searches.problem(convention)
    bases, sources = pairs_of(len(problem.clean), "all")
    rows = _row_names(problem)
    examined: list[ExaminedAlignment] = []
    passing = searches.alignments(convention, "unordered")
    bar = progress_bar(
        passing,
        doing="alignments on all pairs",
        unit="alignment",
        total=passing.n_minimal,
        progress=searches.progress,
    )
    # many alignments place a variable at the same units
    decided: dict[UnitSet, NDArray[np.int8]] = {}
    for alignment in bar:
        formula = alignment.formula
        witness = None
        for variable, placed in zip(formula.variables, alignment.units, strict=True):
            if placed not in decided:
                decided[placed] = _decided_with(problem, placed, (bases, sources), searches.output)
            wrong = np.flatnonzero(decided[placed] != formula.effect(variable, bases, sources))
            if len(wrong):
                first = wrong[0]
                witness = Witness(str(variable), rows[bases[first]], rows[sources[first]])
                break
        examined.append(ExaminedAlignment(alignment, witness))
    return tuple(examined)


def _decided_with(
    problem: Problem, placed: UnitSet, pairs: RowPairs, output: int
) -> NDArray[np.int8]:
    """What the network decides at an output with these units interchanged, [pair]."""
    in_set = np.array([unit in placed for unit in problem.model.units])
    return interchanged(problem, problem.whole, in_set[None], pairs)[0, :, output]


def _row_names(problem: Problem) -> list[str]:
    """The clean rows as text: "00", "01", ..."""
    return [row_name(row) for row in truth_rows(problem.sizes[0])]
