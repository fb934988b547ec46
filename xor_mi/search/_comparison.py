"""a network and some conventions -> the counts of every kind of explanation, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from xor_mi.errors import XorMiError, require_kind
from xor_mi.finding import Finding, count_text, table_text
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP
from xor_mi.search._convention import AnyConvention, Convention
from xor_mi.search._problem import why_not_decided
from xor_mi.search._searches import MAX_EXAMINED, Searches

CONVENTIONS = {
    "default": Convention(),
    "meloux_paper": Convention.meloux_paper(),
    "meloux_code": Convention.meloux_code(),
}
"""The conventions that are compared by default."""


COUNTED = (
    *("n_subcircuits", "n_perfect", "n_minimal", "n_interpretations"),
    *("n_formulas", "n_aligned", "n_alignments"),
)
"""The columns that are counts."""


@dataclass(frozen=True, kw_only=True)
class ExplanationCounts:
    """How many explanations of each kind a network has under one convention.

    Attributes:
        name: what the convention is called here.
        n_perfect: how many subcircuits are perfect; None if they can be neither listed nor counted.
            This and all further counts are None if the convention cannot decide the network's
            outputs.
        n_minimal, n_interpretations: the counts for all perfect subcircuits together; None if there
            are more than `MAX_EXAMINED`.
        n_formulas: formulas tried. This and the next two are None if there are too many formulas or
            sets of units to try.
        n_aligned: formulas with an alignment.
        n_alignments: minimal alignments of one output.
        why_not: what was not counted, and why; "" if everything was counted.
    """

    name: str
    convention: Convention
    n_subcircuits: int
    n_perfect: int | None
    n_minimal: int | None = None
    n_interpretations: int | None = None
    n_formulas: int | None = None
    n_aligned: int | None = None
    n_alignments: int | None = None
    why_not: str = ""

    def __str__(self) -> str:
        counts = [(getattr(self, name), _in_words(name)) for name in COUNTED]
        said = [f"{n:,} {what}" for n, what in counts if n is not None]
        why_not = f"; {self.why_not}" if self.why_not else ""
        return f"{self.name}: {', '.join(said)}{why_not}"

    def to_dict(self) -> dict[str, object]:
        """The row of `ConventionCounts.frame` as plain JSON values."""
        return {
            "convention": self.name,
            "differs_in": self.convention.describe(),
            **{name: getattr(self, name) for name in COUNTED},
            "why_not": self.why_not,
        }


@dataclass(frozen=True)
class ConventionCounts(Finding):
    """The counts of every kind of explanation, side by side for several conventions."""

    counts: tuple[ExplanationCounts, ...]

    def frame(self) -> pd.DataFrame:
        """One row per convention.

        Columns: convention, differs_in (its switches that are not the default's), n_subcircuits,
        n_perfect, n_minimal, n_interpretations, n_formulas, n_aligned, n_alignments, why_not. A
        column of counts that do not fit 64 bits has Python's own whole numbers.
        """
        columns = ["convention", "differs_in", *COUNTED, "why_not"]
        table = pd.DataFrame([one.to_dict() for one in self.counts], columns=columns, dtype=object)
        for name in columns:
            table[name] = _with_a_fitting_type(table[name], name)
        return table

    def _shown(self) -> tuple[str, pd.DataFrame]:
        # the printed text is already a table
        return (
            f"Explanations counted under {count_text(len(self.counts), 'convention')}",
            self.frame(),
        )

    def __str__(self) -> str:
        if not self.counts:
            return "explanations were counted under no convention; give one in conventions="
        columns: dict[str, list[object]] = {"counted": [_in_words(name) for name in COUNTED]}
        for one in self.counts:
            counts = [getattr(one, name) for name in COUNTED]
            columns[one.name] = ["-" if n is None else f"{n:,}" for n in counts]
        not_counted = [f"  {one.name}: {one.why_not}" for one in self.counts if one.why_not]
        return "\n".join([table_text(columns, right=True), *not_counted])


def _in_words(counted: str) -> str:
    """'subcircuits' of n_subcircuits."""
    return counted.removeprefix("n_")


def _with_a_fitting_type(column: pd.Series, name: str) -> pd.Series:
    """Text as text, and counts as whole numbers of any size, of which some may be missing."""
    if name not in COUNTED:
        return column
    made = [count for count in column if count is not None]
    if any(count >= 2**63 for count in made):
        return column.where(column.notna(), pd.NA)
    # "Int64" with a capital I can hold a missing value, so whole numbers stay whole next to it
    never_missing = name in {"n_subcircuits", "n_perfect"} and len(made) == len(column)
    return column.astype("int64" if never_missing else "Int64")


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
        output: the output that formulas are aligned with; where outputs are compared, the decision.

    >>> from xor_mi.handmade import textbook_xor
    >>> table = compare_conventions(textbook_xor()).frame()
    >>> table[["convention", "n_perfect", "n_interpretations", "n_aligned"]].values.tolist()
    [['default', 1, 2, 1], ['meloux_paper', 1, 1, 2], ['meloux_code', 0, 0, 2]]

    Raises:
        XorMiError: whatever `find_subcircuits` and `find_alignments` refuse, except for size. What
            is too much to count is left out, and `why_not` says so. A convention that rounds the
            outputs of a network whose largest output wins is left out in the same way.
        SearchStopped: Ctrl-C during a search; it has what was found until then.
        CountStopped: Ctrl-C while subcircuits are counted and not listed.
    """
    searches = Searches(model, target, depth=depth, output=output, progress=progress)
    return compared(searches, conventions)


def compared(
    searches: Searches, conventions: Mapping[str, AnyConvention] | None
) -> ConventionCounts:
    """The counts under these conventions, `CONVENTIONS` if None; {} counts under none."""
    named = CONVENTIONS if conventions is None else conventions
    require_kind("conventions", named, Mapping, give="names and conventions, such as CONVENTIONS")
    counts = [
        _counted(name, Convention.of(convention), searches) for name, convention in named.items()
    ]
    return ConventionCounts(tuple(counts))


def _counted(name: str, convention: Convention, searches: Searches) -> ExplanationCounts:
    """Every count under one convention; a count that was not made is None, with a reason."""
    cannot_decide = why_not_decided(searches.model, convention)
    if cannot_decide:
        return ExplanationCounts(
            name=name,
            convention=convention,
            n_subcircuits=searches.n_subcircuits,
            n_perfect=None,
            why_not=cannot_decide,
        )
    searches.problem(convention)  # a fault in the question itself is refused
    why_not: list[str] = []
    n_perfect = n_minimal = n_interpretations = None
    if not searches.can_list:
        n_subcircuits = searches.n_subcircuits
        try:
            n_perfect = searches.n_perfect(convention)
            why_not.append(f"{n_subcircuits:,} subcircuits are counted, not listed")
        except XorMiError as error:
            why_not.append(f"{n_subcircuits:,} subcircuits are not listed; {error}")
    else:
        n_perfect = searches.n_perfect(convention)
        search = searches.subcircuits(convention)
        n_subcircuits = search.total
        if n_perfect <= MAX_EXAMINED:
            n_minimal = len(search.minimal)
            n_interpretations = sum(searches.n_interpretations(convention))
        else:
            why_not.append(f"more than {MAX_EXAMINED:,} perfect subcircuits are not interpreted")
    n_formulas = n_aligned = n_alignments = None
    alignments, why_none = searches.alignments_or_why(convention, convention.pairs)
    if alignments is None:
        why_not.append(why_none)
    else:
        n_formulas = len(alignments.formulas)
        n_aligned = len(alignments.aligned)
        n_alignments = alignments.n_minimal
        if not n_formulas:
            why_not.append(f"no formula of depth {searches.depth} computes the target")
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
