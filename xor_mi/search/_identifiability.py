"""a network -> how many explanations of each kind it has, and what tells them apart.

Subcircuits, interpretations and alignments are three kinds of explanation; `compare_conventions`
counts them side by side, and `identifiability_report` adds what observation cannot see: which
interchange or ablation tells a perfect subcircuit apart from the whole network, which (base,
source) pair rules out an alignment that passes with fewer pairs, and which alignments agree with
the answer of `identify_circuit`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import pandas as pd

from xor_mi.circuits import MIN_MARGIN, Circuit, ProofLevel, identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.finding import Finding, count_text, in_words
from xor_mi.graph import Subcircuit, name_of_set
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP
from xor_mi.search._alignments import Alignment, require_few_to_group
from xor_mi.search._comparison import ConventionCounts, compared
from xor_mi.search._convention import AnyConvention, Convention
from xor_mi.search._examined import (
    ExaminedAlignment,
    ExaminedSubcircuit,
    Witness,
    examined_alignments,
    examined_subcircuits,
)
from xor_mi.search._searches import Searches


@dataclass(frozen=True, eq=False, kw_only=True)
class IdentifiabilityReport(Finding):
    """How many explanations of each kind a network has, and what tells them apart.

    Attributes:
        convention: the convention under which explanations were found and examined one by one.
        counts: see `compare_conventions`.
        n_perfect: how many subcircuits are perfect under the convention.
        subcircuits: these one by one, or the first `MAX_EXAMINED`.
        sets_tried: which units were interchanged and ablated together, in words: all sets of hidden
            units, or only single units if there are too many sets.
        alignments: every minimal alignment that passes with each unordered pair of inputs tried
            once.
        circuit: the answer of `identify_circuit`.
        n_agreeing: minimal alignments, up to negation, that place their variables as the circuit
            reads its units.
        n_alignments: minimal alignments under all pairs, up to negation; None, with a reason in
            `why_no_alignments`, if they were not searched.
        output: the output that formulas are aligned with.
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
        """How many perfect subcircuits none of `sets_tried` tells apart from the whole network.

        None if not all were examined.
        """
        if len(self.subcircuits) < self.n_perfect:
            return None
        return sum(examined.survives for examined in self.subcircuits)

    @property
    def identifiable(self) -> bool:
        """Whether exactly one explanation is left.

        That is, exactly one circuit is proved as far as required, exactly one minimal alignment is
        left, and they agree. Alignments are counted up to negation.
        """
        return self.circuit.verdict == "identified" and self.n_alignments == self.n_agreeing == 1

    def frame(self) -> pd.DataFrame:
        """The counts, one row per convention.

        See also `subcircuits_frame` and `alignments_frame`.
        """
        return self.counts.frame()

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "convention": asdict(self.convention),
            "verdict": self.circuit.verdict,
            "n_perfect": self.n_perfect,
            "n_surviving": self.n_surviving,
            "n_agreeing": self.n_agreeing,
            "n_alignments": self.n_alignments,
            "identifiable": self.identifiable,
            "output": self.output,
        }

    def subcircuits_frame(self) -> pd.DataFrame:
        """One row per examined subcircuit.

        Columns: n_units, n_edges, edges, minimal, n_interpretations; ruled_out_by_interchange and
        ruled_out_by_ablation, "" if nothing does; survives.
        """
        return pd.DataFrame(self._subcircuit_rows(), columns=_SUBCIRCUIT_COLUMNS)

    def _subcircuit_rows(self) -> list[dict[str, object]]:
        """The rows of `subcircuits_frame` as plain JSON values."""
        return [
            {
                "n_units": len(examined.subcircuit.units),
                "n_edges": len(examined.subcircuit.edges),
                "edges": _edge_names(examined.subcircuit),
                "minimal": examined.minimal,
                "n_interpretations": examined.n_interpretations,
                "ruled_out_by_interchange": _text(examined.ruled_out_by_interchange),
                "ruled_out_by_ablation": _text(examined.ruled_out_by_ablation),
                "survives": examined.survives,
            }
            for examined in self.subcircuits
        ]

    def alignments_frame(self) -> pd.DataFrame:
        """One row per examined alignment.

        Columns: formula; units, those of each variable in turn; ruled_out_by, "" if nothing does;
        survives.
        """
        return pd.DataFrame(self._alignment_rows(), columns=_ALIGNMENT_COLUMNS)

    def _alignment_rows(self) -> list[dict[str, object]]:
        """The rows of `alignments_frame` as plain JSON values."""
        return [
            {
                "formula": str(examined.alignment.formula),
                "units": ", ".join(map(name_of_set, examined.alignment.units)),
                "ruled_out_by": _text(examined.ruled_out_by),
                "survives": examined.survives,
            }
            for examined in self.alignments
        ]

    def to_dict(self) -> dict[str, object]:
        """Everything as plain JSON values."""
        return {
            "convention": self.convention.describe(),
            "counts": [counts.to_dict() for counts in self.counts.counts],
            "subcircuits": self._subcircuit_rows(),
            "alignments": self._alignment_rows(),
            "n_perfect": self.n_perfect,
            "sets_tried": self.sets_tried,
            "n_surviving": self.n_surviving,
            "verdict": self.circuit.verdict,
            "require": self.circuit.require,
            "min_margin": self.circuit.min_margin,
            "proof_level": self.circuit.proof_level,
            "n_circuits": len(self.circuit.circuits),
            "n_passing": len(self.circuit.passing),
            "formula": self.circuit.formula,
            "output": self.output,
            "n_alignments_up_to_negation": self.n_alignments,
            "n_alignments_agreeing": self.n_agreeing,
            "why_no_alignments": self.why_no_alignments,
        }

    def _sentences(self) -> list[str]:
        return [self._of_subcircuits(), self._of_alignments(), self._of_the_circuit()]

    def _shown(self) -> tuple[str, pd.DataFrame]:
        return "\n".join(self._sentences()), self.frame()

    def __str__(self) -> str:
        counts = [str(self.counts)] if self.counts.counts else []
        return "\n".join([*counts, *self._sentences()])

    def _of_subcircuits(self) -> str:
        n_examined = len(self.subcircuits)
        if n_examined == 0 and self.n_perfect:
            return f"subcircuits: {count_text(self.n_perfect, 'perfect one')}, too many to examine"
        n_left = sum(examined.survives for examined in self.subcircuits)
        by_interchange = sum(
            examined.ruled_out_by_interchange is not None for examined in self.subcircuits
        )
        # only those that pass interchange: each is counted once, under what ruled it out first
        by_ablation = n_examined - n_left - by_interchange
        some = "" if n_examined == self.n_perfect else f"; of the first {n_examined:,}"
        alike = (
            "1 perfect one"
            if self.n_perfect == 1
            else f"{self.n_perfect:,} perfect ones look alike on every input"
        )
        return (
            f"subcircuits: {alike}{some}; "
            f"interchange of {self.sets_tried} rules out {by_interchange:,}, "
            f"ablation {by_ablation:,} more, {n_left:,} left"
        )

    def _of_alignments(self) -> str:
        if self.n_alignments is None:
            return f"alignments: not searched; {self.why_no_alignments}"
        witnesses = [one.ruled_out_by for one in self.alignments if not one.survives]
        which = f" of output y{self.output}" if self.circuit.target.n_outputs > 1 else ""
        first = f" (the first by {witnesses[0]})" if witnesses else ""
        survive = "1 survives" if len(self.alignments) == 1 else f"{len(self.alignments):,} survive"
        return (
            f"alignments{which}: {survive} when each unordered pair of inputs "
            f"is tried once; all ordered pairs rule out {len(witnesses):,}{first}"
        )

    def _of_the_circuit(self) -> str:
        circuit = self.circuit
        verdict = in_words(circuit.verdict)
        if circuit.primary is None:
            return f"circuit: {verdict}, {circuit.reason}"
        several = (
            f" ({count_text(len(circuit.passing), 'circuit')})"
            if circuit.verdict == "ambiguous"
            else ""
        )
        answer = (
            f"circuit: {verdict}{several}, {circuit.formula}, proof level {circuit.proof_level}"
        )
        if self.n_alignments is None:
            return answer
        verb = "agrees" if self.n_agreeing == 1 else "agree"
        return (
            f"{answer}; {self.n_agreeing:,} of {count_text(self.n_alignments, 'alignment')} "
            f"(up to negation) {verb} with it"
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


def _edge_names(subcircuit: Subcircuit) -> str:
    return " ".join(edge.name for edge in subcircuit.edges)


def _text(witness: Witness | None) -> str:
    return "" if witness is None else str(witness)


def identifiability_report(
    model: HookedMLP,
    target: Target | None = None,
    *,
    depth: int = 3,
    convention: AnyConvention = None,
    conventions: Mapping[str, AnyConvention] | None = None,
    output: int = 0,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    progress: bool = True,
) -> IdentifiabilityReport:
    """Count every kind of explanation and say what tells the survivors apart.

    Args:
        depth: formulas up to so many gates deep are aligned.
        convention: a `Convention` or a preset's name, under which explanations are examined one by
            one.
        conventions: names and conventions to count under; None for `CONVENTIONS`, {} for none.
        output: the output that formulas are aligned with.
        require, min_margin: what a circuit needs in order to count; see `identify_circuit`.

    >>> from xor_mi.handmade import textbook_xor
    >>> report = identifiability_report(textbook_xor())
    >>> report.n_surviving, report.circuit.verdict, report.n_agreeing, report.identifiable
    (1, 'identified', 1, True)

    Raises:
        XorMiError: what `compare_conventions` refuses, and what `count_perfect_subcircuits` refuses
            if there are too many subcircuits to list.
        SearchStopped: Ctrl-C during a search; it has what was found until then.
        CountStopped: Ctrl-C while subcircuits are counted and not listed.
    """
    convention = Convention.of(convention)
    searches = Searches(model, target, depth=depth, output=output, progress=progress)
    searches.n_perfect(
        convention
    )  # what must be refused is refused before anything else is counted
    counts = compared(searches, conventions)
    circuit = identify_circuit(
        model, target, require=require, min_margin=min_margin, progress=progress
    )
    merged, alignments, why_no_alignments = _alignments(searches, convention)
    n_alignments = None if why_no_alignments else len(merged)
    # a group is one alignment up to negation: it agrees if any member does
    n_agreeing = 0
    for group in merged:
        n_agreeing += any(_reads_alike(circuit, alignment) for alignment in group)
    subcircuits, sets_tried = examined_subcircuits(searches, convention)
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


def _alignments(
    searches: Searches, convention: Convention
) -> tuple[tuple[tuple[Alignment, ...], ...], tuple[ExaminedAlignment, ...], str]:
    """The minimal alignments up to negation, and those that pass with unordered pairs, examined.

    Also returns why neither was searched for; "" if both were.
    """
    found, why_not = searches.alignments_or_why(convention, "all")
    if found is None:
        return (), (), why_not
    # fewer pairs never give fewer alignments
    try:
        require_few_to_group(searches.alignments(convention, "unordered"))
        require_few_to_group(found)
    except XorMiError as error:
        return (), (), str(error)
    merged = found.merged(progress=searches.progress)
    return merged, examined_alignments(searches, convention), ""


def _reads_alike(circuit: Circuit, alignment: Alignment) -> bool:
    """Whether the circuit reads every placed unit as the variable it stands for.

    This is up to complement, under its primary reading. An idle unit that could be read as several
    gates does not stand for a variable.
    """
    if circuit.primary is None:
        return False
    unsure = {unit.place for unit in circuit.units if len(unit.could_be) > 1}
    full = (1 << 2**alignment.formula.n_inputs) - 1  # all rows: `full ^ table` is the complement
    for variable, units in zip(alignment.formula.variables, alignment.units, strict=True):
        wanted = alignment.formula.bits(variable)
        for unit in units:
            if unit in unsure:
                return False
            packed = sum(bit << row for row, bit in enumerate(circuit.primary.of(unit).bits))
            if packed not in (wanted, full ^ wanted):
                return False
    return True
