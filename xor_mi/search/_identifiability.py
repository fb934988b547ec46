"""a network -> how many explanations of each kind it has, under which convention, and what tells
them apart.

Subcircuits, interpretations and alignments are three kinds of explanation; `compare_conventions`
counts them side by side, and `identifiability_report` adds what observation cannot see: which
interchange or ablation tells a perfect subcircuit from the whole network, which (base, source) pair
rules out an alignment that fewer pairs let pass, and where `identify_circuit`'s answer stands among
them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.search._alignments import Alignment, find_alignments, sets_of_units
from xor_mi.search._convention import Convention
from xor_mi.search._counting import count_perfect_subcircuits
from xor_mi.search._formulas import TooManyFormulas
from xor_mi.search._interchange import interchanged, pairs_of, whole_network
from xor_mi.search._interpretations import count_interpretations
from xor_mi.search._subcircuits import (
    MAX_LISTED,
    SubcircuitSearch,
    count_subcircuits,
    find_subcircuits,
    problem_of,
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
RULED_OUT = ["formula", "units", "killed_by"]


COUNTED = [
    "convention",
    "differs_in",
    "n_subcircuits",
    "n_perfect",
    "n_minimal",
    "n_interpretations",
    "n_formulas",
    "n_aligned",
    "n_alignments",
    "why_not",
]


def compare_conventions(
    model: Any,
    target: Any = None,
    *,
    depth: int = 3,
    conventions: Mapping[str, Any] | None = None,
    progress: bool = True,
    output: Any = 0,
) -> pd.DataFrame:
    """The counts of every kind of explanation, one row per convention.

    Columns: convention, differs_in (its switches that are not the default's), n_subcircuits,
    n_perfect, n_minimal, n_interpretations (of all perfect ones together); n_formulas tried,
    n_aligned, n_alignments (minimal ones) of one output; why_not, what was not counted and why:
    minimal ones and interpretations beyond `MAX_EXAMINED` perfect subcircuits, formulas too many to
    try.

    >>> from xor_mi.handmade import textbook_xor
    >>> compare_conventions(textbook_xor())[["convention", "n_perfect", "n_interpretations", "n_aligned"]].values.tolist()
    [['default', 1, 2, 1], ['meloux_paper', 1, 1, 2], ['meloux_code', 0, 0, 2]]
    """
    named = CONVENTIONS if conventions is None else conventions
    rows = [
        _counts(name, model, target, depth, Convention.of(convention), progress, output)
        for name, convention in named.items()
    ]
    return pd.DataFrame(rows, columns=COUNTED).astype(dict.fromkeys(COUNTED[4:-1], "Int64"))


def _counts(
    name: str,
    model: Any,
    target: Any,
    depth: int,
    convention: Convention,
    progress: bool,
    output: Any,
) -> dict[str, Any]:
    line: dict[str, Any] = {"convention": name, "differs_in": convention.describe()}
    why_not = []
    n_all = count_subcircuits(model.layer_sizes)
    if n_all > MAX_LISTED:
        line |= {
            "n_subcircuits": n_all,
            "n_perfect": count_perfect_subcircuits(
                model, target, convention=convention, progress=progress
            ),
        }
        why_not.append(f"{n_all} subcircuits are counted, not listed")
    else:
        found = _whole_search(model, target, convention, progress)
        line |= {"n_subcircuits": found.total, "n_perfect": found.n_perfect}
        if found.n_perfect <= MAX_EXAMINED:
            line |= {
                "n_minimal": len(found.minimal),
                "n_interpretations": sum(_interpreted(model, target, found, progress)),
            }
        else:
            why_not.append(f"over {MAX_EXAMINED} perfect subcircuits are not interpreted")
    try:
        search = find_alignments(model, target, depth=depth, convention=convention, output=output)
        line |= {
            "n_formulas": len(search.formulas),
            "n_aligned": len(search.aligned),
            "n_alignments": search.n_minimal,
        }
        if not search.formulas:
            why_not.append(f"no formula of depth {depth} computes the target")
    except TooManyFormulas as error:
        why_not.append(str(error))
    return line | {"why_not": "; ".join(why_not)}


class SearchStopped(KeyboardInterrupt):
    """Ctrl-C in the middle of a count; `found` holds what was found until then."""

    def __init__(self, found: SubcircuitSearch) -> None:
        super().__init__(str(found))
        self.found = found


def _whole_search(
    model: Any, target: Any, convention: Convention, progress: bool
) -> SubcircuitSearch:
    """Every subcircuit or an interrupt: half a search is no count."""
    found = find_subcircuits(model, target, convention=convention, progress=progress)
    if not found.complete:
        raise SearchStopped(found)
    return found


def _interpreted(model: Any, target: Any, found: SubcircuitSearch, progress: bool) -> list[int]:
    bar = tqdm(
        found,
        total=found.n_perfect,
        desc="interpretations",
        unit="subcircuit",
        delay=2,
        disable=None if progress else True,
    )
    return [count_interpretations(model, part, target, convention=found.convention) for part in bar]


@dataclass(frozen=True, eq=False)
class IdentifiabilityReport:
    """How many explanations of each kind a network has, and what tells them apart.

    Attributes:
        counts: see `compare_conventions`.
        n_perfect: perfect subcircuits under the convention; `subcircuits` has one row for each, or
            for the first `MAX_EXAMINED`.
        subcircuits: its edges, whether it is minimal, its interpretations, what tells it from the
            whole network: killed_by_interchange and killed_by_ablation name the first units and
            inputs where they decide differently, or "".
        sets_tried: the units interchanged and ablated together: all sets of hidden units, or single
            ones where these are too many.
        alignments: one row per minimal alignment that each two rows once let pass, and the pair
            that rules it out when all are tried.
        circuit: the answer of `identify_circuit`; agreeing counts the minimal alignments that place
            their variables as it reads its units.
        n_alignments: minimal alignments under all pairs, up to negation; None with a reason in
            `no_alignments` where they are not searched.
        output: the output that alignments are of.
    """

    convention: Convention
    counts: pd.DataFrame
    n_perfect: int
    subcircuits: pd.DataFrame
    sets_tried: str
    alignments: pd.DataFrame
    circuit: Circuit
    agreeing: int
    n_alignments: int | None
    no_alignments: str
    output: int

    @cached_property
    def surviving_subcircuits(self) -> int | None:
        """Perfect subcircuits that none of `sets_tried` tells from the whole network; None where
        not all were examined.
        """
        if len(self.subcircuits) < self.n_perfect:
            return None
        return int(
            (
                (self.subcircuits["killed_by_interchange"] == "")
                & (self.subcircuits["killed_by_ablation"] == "")
            ).sum()
        )

    @property
    def identifiable(self) -> bool:
        """Whether one reading and one minimal alignment, up to negation, are left, and they
        agree.
        """
        return self.circuit.verdict == "identified" and self.n_alignments == self.agreeing == 1

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        tables = {
            name: json.loads(getattr(self, name).to_json(orient="records"))
            for name in ("counts", "subcircuits", "alignments")
        }
        return {
            "convention": self.convention.describe(),
            **tables,
            "n_perfect": self.n_perfect,
            "sets_tried": self.sets_tried,
            "surviving_subcircuits": self.surviving_subcircuits,
            "verdict": self.circuit.verdict,
            "formula": self.circuit.formula,
            "output": self.output,
            "n_alignments_up_to_negation": self.n_alignments,
            "n_alignments_agreeing": self.agreeing,
            "no_alignments": self.no_alignments,
        }

    def __str__(self) -> str:
        lines = (
            [self.counts.drop(columns=["differs_in", "why_not"]).to_string(index=False, na_rep="-")]
            if len(self.counts)
            else []
        )
        lines += [
            f"  {line.convention}: {line.why_not}"
            for line in self.counts.itertuples()
            if line.why_not
        ]
        return "\n".join(
            [*lines, self._of_subcircuits(), self._of_alignments(), self._of_the_circuit()]
        )

    def _of_subcircuits(self) -> str:
        n = len(self.subcircuits)
        if n == 0 and self.n_perfect:
            return f"subcircuits: {self.n_perfect:,} perfect ones, too many to examine"
        by_interchange = int((self.subcircuits["killed_by_interchange"] != "").sum())
        by_ablation = int(
            (
                (self.subcircuits["killed_by_interchange"] == "")
                & (self.subcircuits["killed_by_ablation"] != "")
            ).sum()
        )
        some = "" if n == self.n_perfect else f"; of the first {n:,}"
        return (
            f"subcircuits: {self.n_perfect:,} perfect ones look alike on every input{some}; interchange of {self.sets_tried} rules out "
            f"{by_interchange}, ablation {by_ablation} more, {n - by_interchange - by_ablation} left"
        )

    def _of_alignments(self) -> str:
        if self.n_alignments is None:
            return f"alignments: not searched; {self.no_alignments}"
        killed = self.alignments[self.alignments["killed_by"] != ""]
        which = f" of output y{self.output}" if self.circuit.target.n_outputs > 1 else ""
        text = f"alignments{which}: {len(self.alignments)} pass with each two inputs once; all ordered pairs rule out {len(killed)}"
        return text + (f" (the first by {killed['killed_by'].iloc[0]})" if len(killed) else "")

    def _of_the_circuit(self) -> str:
        if self.circuit.primary is None:
            return f"identify_circuit: {self.circuit.verdict}, {self.circuit.reason}"
        placed = (
            ""
            if self.n_alignments is None
            else f"; {self.agreeing} of {self.n_alignments} alignments up to negation place it so"
        )
        return f"identify_circuit: {self.circuit.verdict}, {self.circuit.formula}{placed}"


def identifiability_report(
    model: Any,
    target: Any = None,
    *,
    depth: int = 3,
    convention: Any = None,
    conventions: Mapping[str, Any] | None = None,
    progress: bool = True,
    output: Any = 0,
) -> IdentifiabilityReport:
    """Count every kind of explanation and say what tells the survivors apart.

    Args:
        convention: a `Convention` or a preset's name; what is examined one by one is found under
            it.
        conventions: names and conventions to count under; None for `CONVENTIONS`, {} for none.
        output: the output that formulas are aligned with.

    >>> from xor_mi.handmade import textbook_xor
    >>> report = identifiability_report(textbook_xor())
    >>> report.surviving_subcircuits, report.circuit.verdict, report.agreeing, report.identifiable
    (1, 'identified', 1, True)
    """
    convention = Convention.of(convention)
    counts = compare_conventions(
        model, target, depth=depth, conventions=conventions, progress=progress, output=output
    )
    circuit = identify_circuit(model, target)
    ruled_out, merged, why = pd.DataFrame(columns=RULED_OUT), None, ""
    try:
        merged = find_alignments(
            model, target, depth=depth, convention=replace(convention, pairs="all"), output=output
        ).merged()
        ruled_out = _ruled_out(model, target, depth, convention, output)
    except TooManyFormulas as error:
        why = str(error)
    agreeing = sum(
        any(_reads_alike(circuit, alignment) for alignment in group) for group in merged or ()
    )
    n_perfect, examined, tried = _examined(model, target, convention, progress)
    n_merged = None if merged is None else len(merged)
    return IdentifiabilityReport(
        convention,
        counts,
        n_perfect,
        examined,
        tried,
        ruled_out,
        circuit,
        agreeing,
        n_merged,
        why,
        output,
    )


def _examined(
    model: Any, target: Any, convention: Convention, progress: bool
) -> tuple[int, pd.DataFrame, str]:
    """How many are perfect; the first of them, each with what tells it from the whole network; the
    sets of units tried.
    """
    columns = [
        "n_units",
        "n_edges",
        "edges",
        "minimal",
        "n_interpretations",
        "killed_by_interchange",
        "killed_by_ablation",
    ]
    if count_subcircuits(model.layer_sizes) > MAX_LISTED:
        return (
            count_perfect_subcircuits(model, target, convention=convention, progress=progress),
            pd.DataFrame(columns=columns),
            "no units",
        )
    found = _whole_search(model, target, convention, progress)
    setting = problem_of(model, target, convention)
    units = model.units
    names = [row_name(row) for row in truth_rows(model.cfg.d_in)]
    pairs, same = pairs_of(len(names), "all"), (np.arange(len(names)), np.arange(len(names)))
    everything = 2 ** len(units) * len(pairs[0]) <= MAX_INTERCHANGES
    masks = (
        sets_of_units([len(units)], across=True) if everything else np.eye(len(units), dtype=bool)
    )
    masks = masks[np.argsort(masks.sum(1), kind="stable")]
    called = [
        "+".join(unit.name for unit, on in zip(units, mask, strict=True) if on) for mask in masks
    ]
    whole = whole_network(model)
    swapped, ablated = (
        interchanged(setting, whole, masks, pairs),
        interchanged(setting, whole, masks, same, convention.ablation),
    )
    described = [f"base {names[b]}, source {names[s]}" for b, s in zip(*pairs, strict=True)]
    rows, minimal = [], set(found.minimal) if found.n_perfect <= MAX_EXAMINED else None
    bar = tqdm(
        range(min(found.n_perfect, MAX_EXAMINED)),
        desc="perfect subcircuits",
        delay=2,
        disable=None if progress else True,
    )
    for index in bar:
        part = found[index]
        layers = setting.kept(part)
        some = masks & np.array(
            [unit in part.units for unit in units]
        )  # a dropped unit is held to have no effect
        rows.append(
            (
                len(part.units),
                len(part.edges),
                " ".join(edge.name for edge in part.edges),
                None if minimal is None else part in minimal,
                count_interpretations(model, part, target, convention=convention),
                _first(interchanged(setting, layers, some, pairs) != swapped, called, described),
                _first(
                    interchanged(setting, layers, some, same, convention.ablation) != ablated,
                    called,
                    names,
                ),
            )
        )
    return (
        found.n_perfect,
        pd.DataFrame(rows, columns=columns),
        f"all {len(masks)} sets of units" if everything else "single units",
    )


def _first(differs: np.ndarray, units: Sequence[str], inputs: Sequence[str]) -> str:
    """The first units and inputs on which decisions differ, [set, inputs, output]; "" if there are
    none.
    """
    places = np.argwhere(differs.any(-1))
    return f"{units[places[0][0]]}: {inputs[places[0][1]]}" if len(places) else ""


def _ruled_out(
    model: Any, target: Any, depth: int, convention: Convention, output: int
) -> pd.DataFrame:
    """The alignments that each two rows once let pass, each with the first (base, source) pair of
    all on which it fails.
    """
    search = find_alignments(
        model, target, depth=depth, convention=replace(convention, pairs="unordered"), output=output
    )
    setting = problem_of(model, target, convention)
    units = model.units
    whole = whole_network(model)
    names = [row_name(row) for row in truth_rows(model.cfg.d_in)]
    pairs = pairs_of(len(names), "all")
    rows = []
    for alignment in search:
        killed = ""
        masks = np.array(
            [[unit in chosen for unit in units] for chosen in alignment.units], dtype=bool
        ).reshape(-1, len(units))
        decided = interchanged(setting, whole, masks, pairs)[..., output]
        for variable, got in zip(alignment.formula.variables, decided, strict=True):
            wrong = np.flatnonzero(got != alignment.formula.effect(variable, *pairs))
            if len(wrong) and not killed:
                killed = f"{variable}: base {names[pairs[0][wrong[0]]]}, source {names[pairs[1][wrong[0]]]}"
        rows.append(
            (
                str(alignment.formula),
                " ".join("+".join(u.name for u in chosen) for chosen in alignment.units),
                killed,
            )
        )
    return pd.DataFrame(rows, columns=RULED_OUT)


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
            bits = sum(bit << row for row, bit in enumerate(circuit.primary.of(unit).bits))
            if bits not in (wanted, full ^ wanted):
                return False
    return True
