"""a network -> how many explanations of each kind it has, under which convention, and what tells them apart.

Subcircuits, interpretations and alignments are three kinds of explanation; `compare_conventions` counts them side by side, and
`identifiability_report` adds what observation cannot see: which interchange or ablation tells a perfect subcircuit from the whole network,
which (base, source) pair rules out an alignment that fewer pairs let pass, and where `identify_circuit`'s answer stands among them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.graph import Unit, layers_of
from xor_mi.search.alignments import Alignment, find_alignments
from xor_mi.search.convention import Convention
from xor_mi.search.counting import count_perfect_subcircuits
from xor_mi.search.exchange import interchanged, pairs_of
from xor_mi.search.interpretations import count_interpretations
from xor_mi.search.subcircuits import MAX_LISTED, SubcircuitSearch, count_subcircuits, find_subcircuits, setting_of
from xor_mi.truth import row_name, truth_rows

CONVENTIONS = {"default": Convention(), "meloux_paper": Convention.meloux_paper(), "meloux_code": Convention.meloux_code()}
"""The conventions that are compared unless others are given."""
MAX_EXAMINED = 2_000
"""Perfect subcircuits beyond this many are counted but not examined one by one, and not interpreted."""


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
]


def compare_conventions(
    model: Any, target: Any = None, depth: int = 3, conventions: Mapping[str, Convention] | None = None, progress: bool = True
) -> pd.DataFrame:
    """The counts of every kind of explanation, one row per convention.

    Columns: convention, differs_in (its switches that are not the default's), n_subcircuits, n_perfect, n_minimal, n_interpretations (of
    all perfect ones together; missing beyond `MAX_EXAMINED` of them), n_formulas tried, n_aligned, n_alignments (minimal ones).

    >>> from xor_mi.handmade import textbook_xor
    >>> compare_conventions(textbook_xor())[["convention", "n_perfect", "n_interpretations", "n_aligned"]].values.tolist()
    [['default', 1, 2, 1], ['meloux_paper', 1, 1, 2], ['meloux_code', 0, 0, 2]]
    """
    named = CONVENTIONS if conventions is None else conventions
    rows = [_counts(name, model, target, depth, convention, progress) for name, convention in named.items()]
    return pd.DataFrame(rows, columns=COUNTED).astype({"n_minimal": "Int64", "n_interpretations": "Int64"})


def _counts(name: str, model: Any, target: Any, depth: int, convention: Convention, progress: bool) -> dict[str, Any]:
    found, total, n_perfect = None, count_subcircuits(model.layer_sizes), 0
    if total <= MAX_LISTED:
        found = _whole_search(model, target, convention, progress)
        total, n_perfect = found.total, found.n_perfect
    else:
        n_perfect = count_perfect_subcircuits(model, target, convention, progress)
    listed = found is not None and n_perfect <= MAX_EXAMINED
    alignments = find_alignments(model, target, depth, convention)
    return {
        "convention": name,
        "differs_in": convention.describe(),
        "n_subcircuits": total,
        "n_perfect": n_perfect,
        "n_minimal": len(found.minimal) if found is not None and listed else None,
        "n_interpretations": sum(_interpreted(model, target, found, progress)) if found is not None and listed else None,
        "n_formulas": len(alignments.formulas),
        "n_aligned": len(alignments.aligned),
        "n_alignments": alignments.n_minimal,
    }


def _whole_search(model: Any, target: Any, convention: Convention, progress: bool) -> SubcircuitSearch:
    """Every subcircuit or an interrupt: half a search is no count."""
    found = find_subcircuits(model, target, convention, progress)
    if not found.complete:
        raise KeyboardInterrupt
    return found


def _interpreted(model: Any, target: Any, found: SubcircuitSearch, progress: bool) -> list[int]:
    bar = tqdm(found, total=found.n_perfect, desc="interpretations", unit="subcircuit", delay=2, disable=None if progress else True)
    return [count_interpretations(model, part, target, found.convention) for part in bar]


@dataclass(frozen=True, eq=False)
class IdentifiabilityReport:
    """How many explanations of each kind a network has, and what tells them apart.

    Attributes:
        counts: see `compare_conventions`.
        subcircuits: one row per perfect subcircuit: its edges, whether it is minimal, its interpretations, what tells it from the whole
            network: killed_by_interchange and killed_by_ablation name the first unit and inputs where they decide differently, or "".
        alignments: one row per minimal alignment that each two rows once let pass, and the pair that rules it out when all are tried.
        circuit: the answer of `identify_circuit`; agreeing counts the minimal alignments that place their variables as it reads its units.
    """

    convention: Convention
    counts: pd.DataFrame
    subcircuits: pd.DataFrame
    alignments: pd.DataFrame
    circuit: Circuit
    agreeing: int
    n_alignments: int

    @cached_property
    def surviving_subcircuits(self) -> int:
        """Perfect subcircuits that no interchange and no ablation tells from the whole network."""
        return int(((self.subcircuits["killed_by_interchange"] == "") & (self.subcircuits["killed_by_ablation"] == "")).sum())

    @property
    def identifiable(self) -> bool:
        """Whether one minimal alignment, up to negation, and one reading is left."""
        return self.circuit.verdict == "identified" and self.n_alignments == 1

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        tables = {name: getattr(self, name).to_dict("records") for name in ("subcircuits", "alignments")}
        return {
            "convention": self.convention.describe(),
            "counts": json.loads(self.counts.to_json(orient="records")),
            **tables,
            "surviving_subcircuits": self.surviving_subcircuits,
            "verdict": self.circuit.verdict,
            "formula": self.circuit.formula,
            "n_alignments_up_to_negation": self.n_alignments,
            "n_alignments_agreeing": self.agreeing,
        }

    def __str__(self) -> str:
        by_interchange = int((self.subcircuits["killed_by_interchange"] != "").sum())
        by_ablation = int(((self.subcircuits["killed_by_interchange"] == "") & (self.subcircuits["killed_by_ablation"] != "")).sum())
        killed = self.alignments[self.alignments["killed_by"] != ""]
        lines = [
            *([self.counts.drop(columns="differs_in").to_string(index=False)] if len(self.counts) else []),
            f"subcircuits: {len(self.subcircuits)} perfect ones look alike on every input; interchange rules out {by_interchange}, "
            f"ablation {by_ablation} more, {self.surviving_subcircuits} left",
            f"alignments: {len(self.alignments)} pass with each two inputs once; all ordered pairs rule out {len(killed)}"
            + (f" (the first by {killed['killed_by'].iloc[0]})" if len(killed) else ""),
            f"identify_circuit: {self.circuit.verdict}"
            + (f", {self.circuit.formula}; {self.agreeing} of {self.n_alignments} alignments up to negation place it so"
               if self.circuit.primary else f", {self.circuit.reason}"),
        ]  # fmt: skip
        return "\n".join(lines)


def identifiability_report(
    model: Any,
    target: Any = None,
    depth: int = 3,
    convention: Convention | None = None,
    conventions: Mapping[str, Convention] | None = None,
    progress: bool = True,
) -> IdentifiabilityReport:
    """Count every kind of explanation and say what tells the survivors apart.

    >>> from xor_mi.handmade import textbook_xor
    >>> report = identifiability_report(textbook_xor())
    >>> report.surviving_subcircuits, report.circuit.verdict, report.agreeing, report.identifiable
    (1, 'identified', 1, True)
    """
    convention = convention or Convention()
    counts = compare_conventions(model, target, depth, conventions, progress)
    aligned = find_alignments(model, target, depth, replace(convention, pairs="all"))
    circuit = identify_circuit(model, target)
    merged = aligned.merged()
    agreeing = sum(any(_reads_alike(circuit, alignment) for alignment in group) for group in merged)
    return IdentifiabilityReport(
        convention,
        counts,
        _examined(model, target, convention, progress),
        _ruled_out(model, target, depth, convention),
        circuit,
        agreeing,
        len(merged),
    )


def _examined(model: Any, target: Any, convention: Convention, progress: bool) -> pd.DataFrame:
    """The perfect subcircuits, each with the first interchange and the first ablation on which the whole network differs."""
    columns = ["n_units", "n_edges", "edges", "minimal", "n_interpretations", "killed_by_interchange", "killed_by_ablation"]
    if count_subcircuits(model.layer_sizes) > MAX_LISTED:
        return pd.DataFrame(columns=columns)
    found = _whole_search(model, target, convention, progress)
    setting = setting_of(model, target, convention)
    units = [unit for layer in layers_of(model.layer_sizes)[1:-1] for unit in layer]
    names = [row_name(row) for row in truth_rows(model.cfg.d_in)]
    pairs = pairs_of(len(names), "all")
    alone = np.eye(len(units), dtype=bool)
    whole = [(w.numpy(), b.numpy()) for w, b in model.exact()]
    same = (np.arange(len(names)), np.arange(len(names)))
    swapped, ablated = interchanged(setting, whole, alone, pairs), interchanged(setting, whole, alone, same, zero=True)
    described = [f"base {names[b]}, source {names[s]}" for b, s in zip(*pairs, strict=True)]
    rows, minimal = [], set(found.minimal) if found.n_perfect <= MAX_EXAMINED else set()
    bar = tqdm(range(min(found.n_perfect, MAX_EXAMINED)), desc="perfect subcircuits", delay=2, disable=None if progress else True)
    for index in bar:
        part = found[index]
        kept = np.isin(np.arange(len(units)), [units.index(unit) for unit in part.units])
        layers, some = setting.kept(part), alone & kept  # a dropped unit is held to have no effect
        rows.append(
            (
                len(part.units),
                len(part.edges),
                " ".join(edge.name for edge in part.edges),
                part in minimal,
                count_interpretations(model, part, target, convention),
                _first(interchanged(setting, layers, some, pairs) != swapped, units, described),
                _first(interchanged(setting, layers, some, same, zero=True) != ablated, units, names),
            )
        )
    return pd.DataFrame(rows, columns=columns)


def _first(differs: np.ndarray, units: Sequence[Unit], inputs: Sequence[str]) -> str:
    """The first unit and inputs on which decisions differ, [unit, inputs, output]; "" if there are none."""
    places = np.argwhere(differs.any(-1))
    return f"{units[places[0][0]].name}: {inputs[places[0][1]]}" if len(places) else ""


def _ruled_out(model: Any, target: Any, depth: int, convention: Convention) -> pd.DataFrame:
    """The alignments that each two rows once let pass, each with the first (base, source) pair of all on which it fails."""
    search = find_alignments(model, target, depth, replace(convention, pairs="unordered"))
    setting = setting_of(model, target, convention)
    units = [unit for layer in layers_of(model.layer_sizes)[1:-1] for unit in layer]
    whole = [(w.numpy(), b.numpy()) for w, b in model.exact()]
    names = [row_name(row) for row in truth_rows(model.cfg.d_in)]
    pairs = pairs_of(len(names), "all")
    rows = []
    for alignment in search:
        killed = ""
        masks = np.array([[unit in chosen for unit in units] for chosen in alignment.units], dtype=bool).reshape(-1, len(units))
        decided = interchanged(setting, whole, masks, pairs)[..., 0]
        for variable, got in zip(alignment.formula.variables, decided, strict=True):
            wrong = np.flatnonzero(got != alignment.formula.effect(variable, *pairs))
            if len(wrong) and not killed:
                killed = f"{variable}: base {names[pairs[0][wrong[0]]]}, source {names[pairs[1][wrong[0]]]}"
        rows.append((str(alignment.formula), " ".join("+".join(u.name for u in chosen) for chosen in alignment.units), killed))
    return pd.DataFrame(rows, columns=["formula", "units", "killed_by"])


def _reads_alike(circuit: Circuit, alignment: Alignment) -> bool:
    """Whether the circuit's primary reading gives every unit the bits, up to complement, of the variable it is to stand for."""
    if circuit.primary is None:
        return False
    full = (1 << 2**alignment.formula.n_inputs) - 1
    for variable, units in zip(alignment.formula.variables, alignment.units, strict=True):
        wanted = alignment.formula.bits(variable)
        for unit in units:
            bits = sum(bit << row for row, bit in enumerate(circuit.primary.readings[unit.layer][unit.index].bits))
            if bits not in (wanted, full ^ wanted):
                return False
    return True
