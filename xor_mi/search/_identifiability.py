"""a network -> how many explanations of each kind it has, under which convention, and what tells
them apart.

Subcircuits, interpretations and alignments are three kinds of explanation; `compare_conventions`
counts them side by side, and `identifiability_report` adds what observation cannot see: which
interchange or ablation tells a perfect subcircuit from the whole network, which (base, source) pair
rules out an alignment that fewer pairs let pass, and where `identify_circuit`'s answer stands among
them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.finding import Finding
from xor_mi.graph import Subcircuit, name_of_set
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar
from xor_mi.search._alignments import (
    Alignment,
    AlignmentSearch,
    Placements,
    align,
    formulas_of,
    placements_of,
    sets_of_units,
    smallest_first,
)
from xor_mi.search._convention import AnyConvention, Convention, PairSet
from xor_mi.search._counting import count_perfect
from xor_mi.search._formulas import TooManyFormulas
from xor_mi.search._interchange import each_row, interchanged, pairs_of, units_in
from xor_mi.search._interpretations import n_interpretations
from xor_mi.search._problem import Problem
from xor_mi.search._subcircuits import (
    MAX_LISTED,
    SubcircuitSearch,
    count_subcircuits,
    search_subcircuits,
)
from xor_mi.truth import row_name, truth_rows

CONVENTIONS = {
    "default": Convention(),
    "meloux_paper": Convention.meloux_paper(),
    "meloux_code": Convention.meloux_code(),
}
"""The conventions that are compared unless others are given."""
MAX_EXAMINED = 2_000
"""Perfect subcircuits beyond this many are counted but not examined one by one, and not
interpreted.
"""
MAX_INTERCHANGES = 2**17
"""Sets of units times pairs of inputs: up to here all sets are interchanged together, beyond it
single units.
"""


class SearchStopped(KeyboardInterrupt):
    """Ctrl-C in the middle of a count; `search` holds what was met until then."""

    def __init__(self, search: SubcircuitSearch) -> None:
        super().__init__(str(search))
        self.search = search


@dataclass(frozen=True, kw_only=True)
class ExplanationCounts:
    """How many explanations of each kind a network has under one convention.

    Attributes:
        name: what the convention is called here.
        n_minimal, n_interpretations: of all perfect subcircuits together; None beyond
            `MAX_EXAMINED` of them.
        n_formulas: formulas tried; None, as the next two, where they are too many to try.
        n_aligned: those with an alignment.
        n_alignments: minimal alignments of one output.
        why_not: what was not counted and why; "" where everything was.
    """

    name: str
    convention: Convention
    n_subcircuits: int
    n_perfect: int
    n_minimal: int | None = None
    n_interpretations: int | None = None
    n_formulas: int | None = None
    n_aligned: int | None = None
    n_alignments: int | None = None
    why_not: str = ""


@dataclass(frozen=True)
class ConventionCounts(Finding):
    """The counts of every kind of explanation, side by side for several conventions."""

    counts: tuple[ExplanationCounts, ...]

    def frame(self) -> pd.DataFrame:
        """One row per convention: convention, differs_in (its switches that are not the default's),
        n_subcircuits, n_perfect, n_minimal, n_interpretations, n_formulas, n_aligned, n_alignments,
        why_not.
        """
        columns = {
            "convention": [counts.name for counts in self.counts],
            "differs_in": [counts.convention.describe() for counts in self.counts],
            "n_subcircuits": [counts.n_subcircuits for counts in self.counts],
            "n_perfect": [counts.n_perfect for counts in self.counts],
            "n_minimal": [counts.n_minimal for counts in self.counts],
            "n_interpretations": [counts.n_interpretations for counts in self.counts],
            "n_formulas": [counts.n_formulas for counts in self.counts],
            "n_aligned": [counts.n_aligned for counts in self.counts],
            "n_alignments": [counts.n_alignments for counts in self.counts],
            "why_not": [counts.why_not for counts in self.counts],
        }
        may_be_missing = (
            "n_minimal",
            "n_interpretations",
            "n_formulas",
            "n_aligned",
            "n_alignments",
        )
        return pd.DataFrame(columns).astype(dict.fromkeys(may_be_missing, "Int64"))

    def __str__(self) -> str:
        if not self.counts:
            return "no convention to count under"
        table = self.frame().drop(columns=["differs_in", "why_not"])
        not_counted = [f"  {one.name}: {one.why_not}" for one in self.counts if one.why_not]
        return "\n".join([table.to_string(index=False, na_rep="-"), *not_counted])


@dataclass(frozen=True)
class Witness:
    """Where two explanations, alike on every input, come apart.

    Attributes:
        what: the units, or the variable of a formula, that were replaced.
        base: the input row.
        source: the row that their values came from; None where they were ablated.
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
        minimal: whether it contains no other; None where there are too many to compare.
        ruled_out_by_interchange: the first units and inputs where an interchange makes network and
            subcircuit decide differently, if there are any.
        ruled_out_by_ablation: the same for an ablation.
    """

    subcircuit: Subcircuit
    minimal: bool | None
    n_interpretations: int
    ruled_out_by_interchange: Witness | None
    ruled_out_by_ablation: Witness | None

    @property
    def survives(self) -> bool:
        """Whether nothing that was tried tells it from the whole network."""
        return self.ruled_out_by_interchange is None and self.ruled_out_by_ablation is None


@dataclass(frozen=True)
class ExaminedAlignment:
    """A minimal alignment that every unordered pair of inputs, tried once, lets pass; and the first
    ordered pair that rules it out, if any does.
    """

    alignment: Alignment
    ruled_out_by: Witness | None

    @property
    def survives(self) -> bool:
        """Whether it holds on all ordered pairs."""
        return self.ruled_out_by is None


@dataclass(frozen=True, eq=False, kw_only=True)
class IdentifiabilityReport(Finding):
    """How many explanations of each kind a network has, and what tells them apart.

    Attributes:
        convention: what is examined one by one was found under it.
        counts: see `compare_conventions`.
        n_perfect: how many subcircuits are perfect under the convention.
        subcircuits: these one by one, or the first `MAX_EXAMINED`.
        sets_tried: the units interchanged and ablated together: all sets of hidden units, or single
            ones where these are too many.
        alignments: every minimal alignment that passes with each unordered pair of inputs tried
            once.
        circuit: the answer of `identify_circuit`.
        n_agreeing: minimal alignments, up to negation, that place their variables as the circuit
            reads its units.
        n_alignments: minimal alignments under all pairs, up to negation; None with a reason in
            `why_no_alignments` where they are not searched.
        output: the output that alignments are of.
    """

    convention: Convention
    counts: ConventionCounts
    n_perfect: int
    subcircuits: tuple[ExaminedSubcircuit, ...]
    sets_tried: str
    alignments: tuple[ExaminedAlignment, ...]
    circuit: Circuit
    n_agreeing: int
    n_alignments: int | None
    why_no_alignments: str
    output: int

    @cached_property
    def n_surviving(self) -> int | None:
        """Perfect subcircuits that none of `sets_tried` tells from the whole network; None where
        not all were examined.
        """
        if len(self.subcircuits) < self.n_perfect:
            return None
        return sum(examined.survives for examined in self.subcircuits)

    @property
    def identifiable(self) -> bool:
        """Whether one reading and one minimal alignment, up to negation, are left, and they
        agree.
        """
        return self.circuit.verdict == "identified" and self.n_alignments == self.n_agreeing == 1

    def frame(self) -> pd.DataFrame:
        """The counts, one row per convention; see also `subcircuits_frame` and
        `alignments_frame`.
        """
        return self.counts.frame()

    def subcircuits_frame(self) -> pd.DataFrame:
        """One row per examined subcircuit: n_units, n_edges, edges, minimal, n_interpretations;
        ruled_out_by_interchange and ruled_out_by_ablation, "" where nothing does; survives.
        """
        rows = [
            {
                "n_units": len(examined.subcircuit.units),
                "n_edges": len(examined.subcircuit.edges),
                "edges": " ".join(edge.name for edge in examined.subcircuit.edges),
                "minimal": examined.minimal,
                "n_interpretations": examined.n_interpretations,
                "ruled_out_by_interchange": _text(examined.ruled_out_by_interchange),
                "ruled_out_by_ablation": _text(examined.ruled_out_by_ablation),
                "survives": examined.survives,
            }
            for examined in self.subcircuits
        ]
        return pd.DataFrame(rows, columns=_SUBCIRCUIT_COLUMNS)

    def alignments_frame(self) -> pd.DataFrame:
        """One row per examined alignment: formula, units (of one variable after the other),
        ruled_out_by, "" where nothing does; survives.
        """
        rows = [
            {
                "formula": str(examined.alignment.formula),
                "units": ", ".join(map(name_of_set, examined.alignment.units)),
                "ruled_out_by": _text(examined.ruled_out_by),
                "survives": examined.survives,
            }
            for examined in self.alignments
        ]
        return pd.DataFrame(rows, columns=_ALIGNMENT_COLUMNS)

    def to_dict(self) -> dict[str, object]:
        """Everything as plain JSON values."""
        return {
            "convention": self.convention.describe(),
            "counts": _records(self.frame()),
            "subcircuits": _records(self.subcircuits_frame()),
            "alignments": _records(self.alignments_frame()),
            "n_perfect": self.n_perfect,
            "sets_tried": self.sets_tried,
            "n_surviving": self.n_surviving,
            "verdict": self.circuit.verdict,
            "formula": self.circuit.formula,
            "output": self.output,
            "n_alignments_up_to_negation": self.n_alignments,
            "n_alignments_agreeing": self.n_agreeing,
            "why_no_alignments": self.why_no_alignments,
        }

    def __str__(self) -> str:
        counts = [str(self.counts)] if self.counts.counts else []
        sentences = [self._of_subcircuits(), self._of_alignments(), self._of_the_circuit()]
        return "\n".join([*counts, *sentences])

    def _of_subcircuits(self) -> str:
        n_examined = len(self.subcircuits)
        if n_examined == 0 and self.n_perfect:
            return f"subcircuits: {self.n_perfect:,} perfect ones, too many to examine"
        n_left = sum(examined.survives for examined in self.subcircuits)
        by_interchange = sum(
            examined.ruled_out_by_interchange is not None for examined in self.subcircuits
        )
        by_ablation = n_examined - n_left - by_interchange
        some = "" if n_examined == self.n_perfect else f"; of the first {n_examined:,}"
        return (
            f"subcircuits: {self.n_perfect:,} perfect ones look alike on every input{some}; "
            f"interchange of {self.sets_tried} rules out {by_interchange}, "
            f"ablation {by_ablation} more, {n_left} left"
        )

    def _of_alignments(self) -> str:
        if self.n_alignments is None:
            return f"alignments: not searched; {self.why_no_alignments}"
        witnesses = [one.ruled_out_by for one in self.alignments if not one.survives]
        which = f" of output y{self.output}" if self.circuit.target.n_outputs > 1 else ""
        first = f" (the first by {witnesses[0]})" if witnesses else ""
        return (
            f"alignments{which}: {len(self.alignments)} survive when each unordered pair of inputs "
            f"is tried once; all ordered pairs rule out {len(witnesses)}{first}"
        )

    def _of_the_circuit(self) -> str:
        circuit = self.circuit
        if circuit.primary is None:
            return f"identify_circuit: {circuit.verdict}, {circuit.reason}"
        answer = f"identify_circuit: {circuit.verdict}, {circuit.formula}"
        if self.n_alignments is None:
            return answer
        verb = "agrees" if self.n_agreeing == 1 else "agree"
        return (
            f"{answer}; {self.n_agreeing} of {self.n_alignments} alignments (up to negation) "
            f"{verb} with it"
        )


_SUBCIRCUIT_COLUMNS = [
    "n_units",
    "n_edges",
    "edges",
    "minimal",
    "n_interpretations",
    "ruled_out_by_interchange",
    "ruled_out_by_ablation",
    "survives",
]
_ALIGNMENT_COLUMNS = ["formula", "units", "ruled_out_by", "survives"]


def _text(witness: Witness | None) -> str:
    return "" if witness is None else str(witness)


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """A table's rows as plain JSON values."""
    return json.loads(table.to_json(orient="records"))


def compare_conventions(
    model: HookedMLP,
    target: Target | None = None,
    *,
    depth: int = 3,
    conventions: Mapping[str, AnyConvention] | None = None,
    output: int = 0,
    progress: bool = True,
) -> ConventionCounts:
    """Count every kind of explanation under several conventions.

    Args:
        depth: formulas up to so many gates deep are aligned.
        conventions: names and conventions to count under; None for `CONVENTIONS`.
        output: the output that formulas are aligned with.

    >>> from xor_mi.handmade import textbook_xor
    >>> table = compare_conventions(textbook_xor()).frame()
    >>> table[["convention", "n_perfect", "n_interpretations", "n_aligned"]].values.tolist()
    [['default', 1, 2, 1], ['meloux_paper', 1, 1, 2], ['meloux_code', 0, 0, 2]]

    Raises:
        XorMiError: whatever `find_subcircuits` and `find_alignments` refuse, but for numbers: what
            is too much to count is left out, and `why_not` says so.
        SearchStopped: Ctrl-C, with what was met until then.
    """
    searches = _Searches(model, target, depth=depth, output=output, progress=progress)
    return _compared(searches, conventions)


def identifiability_report(
    model: HookedMLP,
    target: Target | None = None,
    *,
    depth: int = 3,
    convention: AnyConvention = None,
    conventions: Mapping[str, AnyConvention] | None = None,
    output: int = 0,
    progress: bool = True,
) -> IdentifiabilityReport:
    """Count every kind of explanation and say what tells the survivors apart.

    Args:
        depth: formulas up to so many gates deep are aligned.
        convention: a `Convention` or a preset's name; what is examined one by one is found under
            it.
        conventions: names and conventions to count under; None for `CONVENTIONS`, {} for none.
        output: the output that formulas are aligned with.

    >>> from xor_mi.handmade import textbook_xor
    >>> report = identifiability_report(textbook_xor())
    >>> report.n_surviving, report.circuit.verdict, report.n_agreeing, report.identifiable
    (1, 'identified', 1, True)

    Raises:
        XorMiError: as `compare_conventions`.
        SearchStopped: Ctrl-C, with what was met until then.
    """
    convention = Convention.of(convention)
    searches = _Searches(model, target, depth=depth, output=output, progress=progress)
    counts = _compared(searches, conventions)
    circuit = identify_circuit(model, target)
    try:
        merged = searches.alignments(convention, "all").merged()
        alignments = _examined_alignments(searches, convention)
        n_alignments, why_no_alignments = len(merged), ""
    except TooManyFormulas as error:
        merged, alignments = (), ()
        n_alignments, why_no_alignments = None, str(error)
    n_agreeing = 0
    for group in merged:
        n_agreeing += any(_reads_alike(circuit, alignment) for alignment in group)
    subcircuits, sets_tried = _examined_subcircuits(searches, convention)
    return IdentifiabilityReport(
        convention=convention,
        counts=counts,
        n_perfect=searches.n_perfect(convention),
        subcircuits=subcircuits,
        sets_tried=sets_tried,
        alignments=alignments,
        circuit=circuit,
        n_agreeing=n_agreeing,
        n_alignments=n_alignments,
        why_no_alignments=why_no_alignments,
        output=output,
    )


class _Searches:
    """One network's searches: each is made when it is first asked for, and only once."""

    def __init__(
        self,
        model: HookedMLP,
        target: Target | None,
        *,
        depth: int,
        output: int,
        progress: bool,
    ) -> None:
        require_plain_mlp(model, "a count of explanations")
        self.model, self.target = model, target
        self.depth, self.progress = depth, progress
        self.output = model.require_output(output)
        self.n_subcircuits = count_subcircuits(model.layer_sizes)
        self._problems: dict[Convention, Problem] = {}
        self._n_perfect: dict[Convention, int] = {}
        self._subcircuits: dict[Convention, SubcircuitSearch] = {}
        self._n_interpretations: dict[Convention, list[int]] = {}
        self._placements: dict[tuple[PairSet, bool], Placements] = {}
        self._alignments: dict[tuple[Convention, PairSet], AlignmentSearch] = {}

    @property
    def can_list(self) -> bool:
        """Whether the network's subcircuits are few enough to be listed."""
        return self.n_subcircuits <= MAX_LISTED

    def problem(self, convention: Convention) -> Problem:
        if convention not in self._problems:
            self._problems[convention] = Problem.of(self.model, self.target, convention)
        return self._problems[convention]

    def subcircuits(self, convention: Convention) -> SubcircuitSearch:
        """All of them, or `SearchStopped`: half a search is not a count."""
        if convention not in self._subcircuits:
            search = search_subcircuits(self.problem(convention), self.progress)
            if not search.complete:
                raise SearchStopped(search)
            self._subcircuits[convention] = search
        return self._subcircuits[convention]

    def n_perfect(self, convention: Convention) -> int:
        """How many subcircuits are perfect: listed where they can be, else counted."""
        if convention not in self._n_perfect:
            self._n_perfect[convention] = (
                self.subcircuits(convention).n_perfect
                if self.can_list
                else count_perfect(self.problem(convention), self.progress)
            )
        return self._n_perfect[convention]

    def n_interpretations(self, convention: Convention) -> list[int]:
        """Of the perfect subcircuits, or of the first `MAX_EXAMINED` of them, one by one."""
        if convention not in self._n_interpretations:
            problem, search = self.problem(convention), self.subcircuits(convention)
            bar = progress_bar(
                range(min(len(search), MAX_EXAMINED)),
                doing="interpretations",
                unit="subcircuit",
                progress=self.progress,
            )
            counted = [n_interpretations(problem, search[index]) for index in bar]
            self._n_interpretations[convention] = counted
        return self._n_interpretations[convention]

    def alignments(self, convention: Convention, pairs: PairSet) -> AlignmentSearch:
        """Those under the convention, but tried on these pairs."""
        if (convention, pairs) not in self._alignments:
            problem = self.problem(convention)
            formulas = formulas_of(problem, self.depth, self.output)
            # What an interchange does to the network depends on no other switch of a convention.
            shared = (pairs, convention.across_layers)
            if shared not in self._placements:
                self._placements[shared] = placements_of(problem, pairs, self.output)
            self._alignments[convention, pairs] = align(
                problem,
                formulas,
                self._placements[shared],
                depth=self.depth,
                output=self.output,
                pairs=pairs,
            )
        return self._alignments[convention, pairs]


def _compared(
    searches: _Searches, conventions: Mapping[str, AnyConvention] | None
) -> ConventionCounts:
    named = CONVENTIONS if conventions is None else conventions
    return ConventionCounts(
        tuple(
            _counted(name, Convention.of(convention), searches)
            for name, convention in named.items()
        )
    )


def _counted(name: str, convention: Convention, searches: _Searches) -> ExplanationCounts:
    """Every count under one convention; what is too much to count is None, with a reason."""
    why_not: list[str] = []
    n_perfect = searches.n_perfect(convention)
    n_minimal = n_interpretations = None
    if not searches.can_list:
        why_not.append(f"{searches.n_subcircuits} subcircuits are counted, not listed")
        n_subcircuits = searches.n_subcircuits
    else:
        search = searches.subcircuits(convention)
        n_subcircuits = search.total
        if n_perfect <= MAX_EXAMINED:
            n_minimal = len(search.minimal)
            n_interpretations = sum(searches.n_interpretations(convention))
        else:
            why_not.append(f"over {MAX_EXAMINED} perfect subcircuits are not interpreted")
    n_formulas = n_aligned = n_alignments = None
    try:
        alignments = searches.alignments(convention, convention.pairs)
        n_formulas = len(alignments.formulas)
        n_aligned = len(alignments.aligned)
        n_alignments = alignments.n_minimal
        if not n_formulas:
            why_not.append(f"no formula of depth {searches.depth} computes the target")
    except TooManyFormulas as error:
        why_not.append(str(error))
    return ExplanationCounts(
        name=name,
        convention=convention,
        n_subcircuits=n_subcircuits,
        n_perfect=n_perfect,
        n_minimal=n_minimal,
        n_interpretations=n_interpretations,
        n_formulas=n_formulas,
        n_aligned=n_aligned,
        n_alignments=n_alignments,
        why_not="; ".join(why_not),
    )


def _examined_subcircuits(
    searches: _Searches, convention: Convention
) -> tuple[tuple[ExaminedSubcircuit, ...], str]:
    """The first perfect subcircuits, each with what tells it from the whole network; and the sets
    of units tried, in words.
    """
    if not searches.can_list:
        return (), "no units"
    search, problem = searches.subcircuits(convention), searches.problem(convention)
    units = problem.model.units
    n_rows = len(problem.clean)
    pairs, rows = pairs_of(n_rows, "all"), each_row(n_rows)
    takes_all = 2 ** len(units) * len(pairs[0]) <= MAX_INTERCHANGES
    sets = sets_of_units([len(units)], across=True) if takes_all else np.eye(len(units), dtype=bool)
    sets = sets[smallest_first(sets)]
    names = [name_of_set(units_in(chosen, units)) for chosen in sets.tolist()]
    row_names = _row_names(problem)
    bases = [row_names[row] for row in pairs[0]]
    sources = [row_names[row] for row in pairs[1]]
    exchanged_whole = interchanged(problem, problem.whole, sets, pairs)
    ablated_whole = interchanged(problem, problem.whole, sets, rows, convention.ablation)
    n_examined = min(search.n_perfect, MAX_EXAMINED)
    minimal = set(search.minimal) if n_examined == search.n_perfect else None
    counted = searches.n_interpretations(convention)
    examined: list[ExaminedSubcircuit] = []
    for index in progress_bar(
        range(n_examined),
        doing="perfect subcircuits",
        unit="subcircuit",
        progress=searches.progress,
    ):
        subcircuit = search[index]
        layers = problem.kept(subcircuit)
        kept = subcircuit.units
        # a dropped unit is held to have no effect
        kept_sets = sets & np.array([unit in kept for unit in units])
        exchanged = interchanged(problem, layers, kept_sets, pairs)
        ablated = interchanged(problem, layers, kept_sets, rows, convention.ablation)
        examined.append(
            ExaminedSubcircuit(
                subcircuit=subcircuit,
                minimal=None if minimal is None else subcircuit in minimal,
                n_interpretations=counted[index],
                ruled_out_by_interchange=_first_witness(
                    exchanged != exchanged_whole, names, bases, sources
                ),
                ruled_out_by_ablation=_first_witness(ablated != ablated_whole, names, row_names),
            )
        )
    return tuple(examined), f"all {len(sets)} sets of units" if takes_all else "single units"


def _first_witness(
    differs: NDArray[np.bool_],
    names: Sequence[str],
    bases: Sequence[str],
    sources: Sequence[str] | None = None,
) -> Witness | None:
    """The first set of units and inputs on which decisions differ, [set, pair, output]; None if
    they never do.
    """
    places = np.argwhere(differs.any(-1))
    if not len(places):
        return None
    which, pair = places[0].tolist()
    return Witness(names[which], bases[pair], None if sources is None else sources[pair])


def _examined_alignments(
    searches: _Searches, convention: Convention
) -> tuple[ExaminedAlignment, ...]:
    """The alignments that each unordered pair of inputs, tried once, lets pass, each with the first
    ordered pair on which it fails.
    """
    problem = searches.problem(convention)
    units = problem.model.units
    bases, sources = pairs_of(len(problem.clean), "all")
    rows = _row_names(problem)
    examined: list[ExaminedAlignment] = []
    for alignment in searches.alignments(convention, "unordered"):
        sets = [[unit in placed for unit in units] for placed in alignment.units]
        masks = np.array(sets, dtype=bool).reshape(-1, len(units))
        decided = interchanged(problem, problem.whole, masks, (bases, sources))
        witness = None
        for variable, outcome in zip(
            alignment.formula.variables, decided[..., searches.output], strict=True
        ):
            wrong = np.flatnonzero(outcome != alignment.formula.effect(variable, bases, sources))
            if len(wrong):
                first = wrong[0]
                witness = Witness(str(variable), rows[bases[first]], rows[sources[first]])
                break
        examined.append(ExaminedAlignment(alignment, witness))
    return tuple(examined)


def _row_names(problem: Problem) -> list[str]:
    """The clean rows as text: "00", "01", ..."""
    return [row_name(row) for row in truth_rows(problem.sizes[0])]


def _reads_alike(circuit: Circuit, alignment: Alignment) -> bool:
    """Whether the circuit's primary reading gives every unit the bits, up to complement, of the
    variable it is to stand for.
    """
    if circuit.primary is None:
        return False
    full = (1 << 2**alignment.formula.n_inputs) - 1
    for variable, units in zip(alignment.formula.variables, alignment.units, strict=True):
        wanted = alignment.formula.bits(variable)
        for unit in units:
            packed = sum(bit << row for row, bit in enumerate(circuit.primary.of(unit).bits))
            if packed not in (wanted, full ^ wanted):
                return False
    return True
