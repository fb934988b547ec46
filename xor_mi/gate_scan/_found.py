"""what `find_gates` returns: which units act as which gate, and which only carry one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from xor_mi.finding import Finding, Listed, count_text, number_text
from xor_mi.gate_scan._activations import UnitLabel
from xor_mi.gate_scan._finding import GateScan, polarities
from xor_mi.gate_scan._gates import gate_said, index_text
from xor_mi.graph import Site
from xor_mi.kinds import Target

__all__ = ["FoundGate", "FoundGates", "set_name"]

GateVerdict = Literal["acts", "carries it, not used", "partly", "too few pairs"]

ACTS: GateVerdict = "acts"
NOT_USED: GateVerdict = "carries it, not used"
PARTLY: GateVerdict = "partly"
TOO_FEW: GateVerdict = "too few pairs"

SHOWN = ("gate", "formula", "margin", "p_value")
"""The columns that a notebook shows of every candidate."""

ACCURACIES = ("interchange_accuracy", "control_accuracy")
"""The further columns that a notebook shows of a candidate on which a decision depends."""

MAX_NAMED = 4
"""A sentence names at most so many candidates or sets."""

OTHER_BIT = str.maketrans("01", "10")


@dataclass(frozen=True)
class FoundGate:
    """A unit, or a group of copies, and one gate that it might act as.

    Attributes:
        sites: where it is; a group has several sites, which are interchanged together.
        name: the name of the unit or the group.
        index: which entry of the activation; for a group the last number is a tuple of numbers.
        gate, formula, table: as in `UnitGate`; for a group, the gate that is 0 on the first
            combination seen. Some of its units have this gate, others the complement.
        margin: the gap at the cut as a share of the unit's range; for a group the smallest one.
        p_value: the cut's p-value in the scan, for this unit alone; None for a group, and if no
            p-value can be small enough.
        n_runs: how many base inputs were run with the value from a source input.
        n_other_bit: runs whose source has the other bit of the gate than the base.
        n_flips: runs that end in another decision than the base's own.
        interchange_accuracy: share of the runs whose decision follows from the features of the base
            and the gate of the source; NaN if the verdict is "too few pairs".
        control_accuracy: the mean of that share after the bits of the sources are permuted.
        decided_at_0, decided_at_1: what the model decides with the gate's bit set to 0 or 1: a
            formula over the features of the base, by most of the runs; a table with '-' if the runs
            leave too much open.
        verdict: "acts"; "carries it, not used" (no run ends in another decision); "partly" (some
            runs do, but not as the gate says); or "too few pairs" (no run ends in another decision,
            and for some combination of features no input was run with the other bit).
    """

    sites: tuple[Site, ...]
    name: str
    index: tuple[int | tuple[int, ...], ...]
    gate: str
    formula: str
    table: str
    margin: float
    p_value: float | None
    n_runs: int
    n_other_bit: int
    n_flips: int
    interchange_accuracy: float
    control_accuracy: float
    decided_at_0: str
    decided_at_1: str
    verdict: GateVerdict

    def __str__(self) -> str:
        flips = f"{self.n_flips:,} of {self.n_runs:,} interchanges change the decision"
        return f"{self.name}, {gate_said(self.gate, self.formula)}: {self.verdict} ({flips})"

    @property
    def hook(self) -> str:
        """The hook point."""
        return self.sites[0].hook_name

    @property
    def n_units(self) -> int:
        """How many units are interchanged together."""
        return len(self.sites)

    @property
    def is_group(self) -> bool:
        """Whether these are several units."""
        return len(self.sites) > 1

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the candidate among others."""
        return _shown_line(self, {})


@dataclass(frozen=True)
class ModelDecisions:
    """What the model decides without an intervention.

    Attributes:
        gate, formula, table: the function of the features that most inputs of each combination
            follow. If a combination is mostly undecided, or decided 0 as often as 1, its bit is '-'
            and all three are the table.
        n_unlike: how many inputs are not decided like most of their combination (with two halves,
            one half); there the decisions are not a function of the features.
    """

    gate: str
    formula: str
    table: str
    n_unlike: int

    def __str__(self) -> str:
        unlike = ""
        if self.n_unlike:
            inputs = count_text(self.n_unlike, "input")
            unlike = f"; {inputs} {'is' if self.n_unlike == 1 else 'are'} decided differently"
        return f"the model decides {gate_said(self.gate, self.formula)}{unlike}"


@dataclass(frozen=True, eq=False)
class FoundGates(Finding):
    """Which units act as which gate of the features; `frame()` has a line per unit and gate.

    Attributes:
        scan: what the units tell apart, with the features, the inputs and how often chance does as
            well.
        decided: what the model decides without an intervention, as a function of the features.
        found: all candidates, first the units hook by hook, then the groups of copies.
        is_every_pair: whether every ordered pair of different inputs was run; else a sample was.
        n_runs: how many interchanges each candidate had.
        has_p_values: whether the candidates are cuts with a small p-value. If not, the inputs do
            not allow small p-values, and every perfect cut is a candidate.
        max_p: the largest p-value of a candidate.
        min_accuracy: a unit that is used acts as its gate if its interchange accuracy is at least
            this.
        necessary_sets: the minimal sets of candidates whose ablation by their mean changes a
            decision.
        sufficient_sets: the minimal sets that keep every decision while all other candidates are
            ablated.
        sets_note: what these sets are made of, or why no sets were tried.
    """

    scan: GateScan
    decided: ModelDecisions
    found: tuple[FoundGate, ...] = field(repr=False)
    is_every_pair: bool
    n_runs: int
    has_p_values: bool
    max_p: float
    min_accuracy: float
    seed: int
    necessary_sets: tuple[tuple[Site, ...], ...] = field(repr=False)
    sufficient_sets: tuple[tuple[Site, ...], ...] = field(repr=False)
    sets_note: str

    @property
    def units(self) -> tuple[FoundGate, ...]:
        """The candidates that are one unit."""
        return Listed(one for one in self.found if not one.is_group)

    @property
    def groups(self) -> tuple[FoundGate, ...]:
        """The candidates that are several units with the same gate or its complement."""
        return Listed(one for one in self.found if one.is_group)

    def frame(self) -> pd.DataFrame:
        """One line per unit and gate, then one per group.

        Columns hook, index and site (both as text), gate, formula, table, margin, p_value, n_runs,
        n_other_bit, n_flips, interchange_accuracy, control_accuracy, decided_at_0, decided_at_1,
        verdict, n_units and is_group, as in `FoundGate`; then in_necessary_sets and
        in_sufficient_sets, the sets that have the unit, or the whole group, each as text; None if
        no sets were searched for.
        """
        floats = ("margin", "p_value", "interchange_accuracy", "control_accuracy")
        columns: dict[str, list[object]] = {
            "hook": [one.hook for one in self.found],
            "index": [index_text(one.index) for one in self.found],
            "site": [one.name for one in self.found],
        }
        counts = ("n_runs", "n_other_bit", "n_flips")
        for name in ("gate", "formula", "table", "margin", "p_value", *counts):
            columns[name] = [getattr(one, name) for one in self.found]
        described = ("decided_at_0", "decided_at_1", "verdict", "n_units", "is_group")
        for name in (*floats[2:], *described):
            columns[name] = [getattr(one, name) for one in self.found]
        columns["in_necessary_sets"] = self._in_sets(self.necessary_sets)
        columns["in_sufficient_sets"] = self._in_sets(self.sufficient_sets)
        types = dict.fromkeys(floats, "float64") | {"is_group": "bool"}
        types |= dict.fromkeys((*counts, "n_units"), "int64")
        return pd.DataFrame(columns, dtype=object).astype(types)

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "scan": self.scan.head(),
            "decided": vars(self.decided),
            "is_every_pair": self.is_every_pair,
            "n_runs": self.n_runs,
            "has_p_values": self.has_p_values,
            "max_p": self.max_p,
            "min_accuracy": self.min_accuracy,
            "seed": self.seed,
        }

    def _in_sets(self, sets: Sequence[tuple[Site, ...]]) -> list[object]:
        """For each candidate, the names of the sets that have it, as one text."""
        # if sets were searched for, some set is enough, even if it is the empty set
        if not self.sufficient_sets:
            return [None] * len(self.found)
        named = [(set(together), set_name(together)) for together in sets]
        in_sets: list[object] = []
        for one in self.found:
            of_one = [name for together, name in named if together.issuperset(one.sites)]
            in_sets.append("; ".join(of_one))
        return in_sets

    def acting_as(self, gate: Target, *, up_to_complement: bool = True) -> pd.DataFrame:
        """The units and groups that act as this function on all combinations seen.

        Columns as in `frame`, and polarity, which is -1 for those that are its complement. A group
        has the polarity of the gate with which it is listed.

        Args:
            gate: a gate name, a formula over the features' names, or over x0, x1, ... (the features
                in order), or a `BooleanFunction`.
            up_to_complement: whether the complement counts too.

        Raises:
            XorMiError: a gate that cannot be read, of another number of inputs, or of several
                outputs.
        """
        polarity_of = polarities(gate, self.scan.features, self.scan.rows_seen)
        frame = self.frame()
        frame = frame[frame["verdict"] == ACTS]
        frame["polarity"] = [polarity_of.get(table, 0) for table in frame["table"]]
        wanted = [1, -1] if up_to_complement else [1]
        return frame[frame["polarity"].isin(wanted)].reset_index(drop=True)

    def _shown(self) -> tuple[str, pd.DataFrame]:
        # candidates that act come first, because a cell has room only for the first lines
        place_of = {
            verdict: place for place, verdict in enumerate((ACTS, PARTLY, TOO_FEW, NOT_USED))
        }
        necessary, sufficient = map(self._in_sets, (self.necessary_sets, self.sufficient_sets))
        lines = [
            _shown_line(one, {"necessary": with_it, "sufficient": keeping})
            for one, with_it, keeping in zip(self.found, necessary, sufficient, strict=True)
        ]
        table = pd.DataFrame(lines, columns=None if lines else ["site", "verdict"])
        table = table.sort_values("verdict", key=lambda one: one.map(place_of), kind="stable")
        acting = [one for one in self.found if one.verdict == ACTS]
        words = (
            f"{len(acting):,} of {count_text(len(self.found), 'candidate')} (a unit or group, and "
            f"a gate) {'acts' if len(acting) == 1 else 'act'}."
        )
        sentences = [words if acting else self._of_acting(), self._of_decisions(), self._of_sets()]
        return "\n".join(sentences), table

    def __str__(self) -> str:
        sentences = [
            self._of_acting(),
            self._of_others(),
            self._of_decisions(),
            self._of_runs(),
            self._of_p_values(),
            self._of_sets(),
        ]
        return " ".join(filter(None, sentences))

    def _of_acting(self) -> str:
        acting = [one for one in self.found if one.verdict == ACTS]
        if not acting:
            return f"No unit acts as a gate of {', '.join(self.scan.features)}."
        named = [
            f"{one.name} act{'' if one.is_group else 's'} as {gate_said(one.gate, one.formula)}"
            f"{self._of_opposite(one)} ({one.n_flips:,} of {one.n_runs:,} interchanges change the "
            "decision)"
            for one in acting
        ]
        least = min(one.interchange_accuracy for one in acting)
        chance = sum(one.control_accuracy for one in acting) / len(acting)
        return (
            f"{_listed(named)}. The decision follows from the gate in "
            f"{'all' if least == 1 else f'at least {_percent(least)} of'} interchanges; if the "
            f"sources' bits were permuted, it would in {_percent(chance)}."
        )

    def _of_opposite(self, group: FoundGate) -> str:
        """Which units of a group have the complement of its gate; '' if none does."""
        if not group.is_group:
            return ""
        complement = group.table.translate(OTHER_BIT)
        with_it = {one.sites[0] for one in self.units if one.table == complement}
        opposite = [site for site in group.sites if site in with_it]
        if not opposite:
            return ""
        which = "each unit" if len(opposite) == group.n_units else set_name(opposite)
        return f", {which} with the opposite sign"

    def _of_others(self) -> str:
        n_unused = sum(one.verdict == NOT_USED for one in self.found)
        n_partly = sum(one.verdict == PARTLY for one in self.found)
        n_untried = sum(one.verdict == TOO_FEW for one in self.found)
        parts: list[str] = []
        if n_unused:
            carry = "carries the gate but is" if n_unused == 1 else "carry the gate but are"
            parts.append(f"{n_unused:,} {carry} not used (no decision changes)")
        if n_partly:
            change = "changes" if n_partly == 1 else "change"
            parts.append(f"{n_partly:,} {change} decisions, but not as the gate says")
        if n_untried:
            parts.append(f"{n_untried:,} had too few pairs to tell (give a larger n_pairs)")
        if not parts:
            return ""
        n_found = count_text(len(self.found), "candidate")
        return f"Of {n_found} (a unit or group, and a gate), {', '.join(parts)}."

    def _of_decisions(self) -> str:
        one = self.decided
        if one.n_unlike:
            return (
                f"The model's decisions are not a function of the features: {one.n_unlike:,} of "
                f"{self.scan.n_distinct:,} inputs are not decided like most of their combination. "
                f"By most inputs, the model decides {self._decided_said()}."
            )
        return f"The model decides {self._decided_said()}."

    def _decided_said(self) -> str:
        """What is decided on each combination: a function, or, if some are open, one by one."""
        one = self.decided
        bit_of = {row: one.table[int(row, 2)] for row in self.scan.rows_seen}
        if "-" not in bit_of.values():
            said = gate_said(one.gate, one.formula)
            # constants and tables have no other form
            return said if said == one.formula else f"{said} ({one.formula})"
        parts: list[str] = []
        for bit, words in (("0", "0"), ("1", "1"), ("-", "neither 0 nor 1")):
            rows = [row for row in bit_of if bit_of[row] == bit]
            if rows:
                parts.append(f"{words} on {', '.join(rows)}")
        return f"{'; '.join(parts)} ({', '.join(self.scan.features)})"

    def _of_runs(self) -> str:
        n = self.scan.n_distinct
        if self.is_every_pair:
            return f"Exhaustive: every ordered pair of all {n:,} inputs was run."
        return (
            f"Sampled: {self.n_runs:,} of {n * (n - 1):,} ordered pairs were run, seed {self.seed}."
        )

    def _of_p_values(self) -> str:
        if self.has_p_values:
            return (
                f"Candidates have p <= {self.max_p:g}; p-values are for each unit alone, not "
                f"corrected for the {count_text(self.scan.n_units, 'unit')} that were read."
            )
        return (
            f"With these inputs no p-value can be below {self.scan.smallest_p:.3g}, so every "
            "perfect cut is a candidate."
        )

    def _of_sets(self) -> str:
        if not self.sufficient_sets:
            return f"No necessary or sufficient sets are given: {self.sets_note}."
        if self.sufficient_sets == ((),):
            return "All candidates can be set to their mean at once, and no decision changes."
        necessary = _alternatives([set_name(sites) for sites in self.necessary_sets])
        sufficient = _alternatives([set_name(sites) for sites in self.sufficient_sets])
        return (
            f"Setting {necessary}, and nothing else, to the mean changes a decision. Keeping "
            f"{sufficient}, while all other candidates are at their mean, keeps every decision."
        )


def _shown_line(one: FoundGate, sets: Mapping[str, object]) -> dict[str, object]:
    """What a notebook shows of a candidate, with the sets that it is in."""
    line: dict[str, object] = {"site": one.name}
    line |= {name: getattr(one, name) for name in SHOWN}
    line["flips"] = f"{one.n_flips} of {one.n_runs}"
    # if no decision changes, an accuracy says nothing
    is_used = one.n_flips > 0
    line |= {name: getattr(one, name) if is_used else math.nan for name in ACCURACIES}
    return line | dict(sets) | {"verdict": one.verdict}


def set_name(sites: Sequence[Site]) -> str:
    """All of several units as text; those that differ only in the last number are abbreviated.

    >>> set_name([Site("hook", (2, 0)), Site("hook", (2, 1)), Site("hook", 3, label="third")])
    'hook[2, [0, 1]] + third'
    """
    lasts: dict[tuple[str, tuple[object, ...]], list[object]] = {}
    for site in sites:
        place, index = _place_and_index(site)
        lasts.setdefault((place, index[:-1]), []).append(index[-1] if index else None)
    names: list[str] = []
    for (place, before), last in lasts.items():
        if last[0] is None:
            names.append(place)
        else:
            numbers = last if len(last) == 1 else [tuple(last)]
            names.append(f"{place}[{index_text((*before, *numbers))}]")
    return " + ".join(names)


def _place_and_index(site: Site) -> tuple[str, tuple[object, ...]]:
    """The label of the unit's site, or its hook, and its index there."""
    if isinstance(site.label, UnitLabel):
        return site.label.of_site, site.label.inside
    return (site.label, ()) if site.label else (site.hook_name, site.index)


def _listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    if not names:
        return "none"
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return f"{'; '.join(names[:MAX_NAMED])}{more}"


def _alternatives(names: Sequence[str]) -> str:
    """The first few sets, any one of which is enough."""
    n_more = len(names) - MAX_NAMED
    if n_more > 0:
        return f"{', or '.join(names[:MAX_NAMED])}, or one of {n_more:,} more"
    return ", or ".join(names)


def _percent(share: float) -> str:
    return f"{number_text(100 * share, decimals=0)} %"
