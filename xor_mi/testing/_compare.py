"""two records -> Differences: units, verdict and formula first, then numbers that moved by more
than their tolerance.

Units are matched by their gates, not by their numbers, so that a network whose hidden units were
renumbered is compared with itself. Units with the same gate are matched in the order of their
evidence. The sentences of a record are not compared: claims are matched by their kind."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from math import isfinite
from typing import Literal, get_args

from xor_mi.errors import XorMiError, cut_short, shown, unknown
from xor_mi.finding import in_words
from xor_mi.kinds import Number, UpTo
from xor_mi.testing._entries import (
    CircuitRecord,
    ClaimKind,
    ConventionsRecord,
    SetsRecord,
    UnitRecord,
    conventions_of,
    is_same_release,
    release_of,
)
from xor_mi.testing._format import require_record
from xor_mi.truth import Tree, formula_trees

Tolerance = Number | Mapping[str, Number] | None
"""How far a number may move: one bound for all, one per name of `NUMBERS`, or None for no bound."""
Pair = tuple[UnitRecord | None, UnitRecord | None]
"""(unit of the baseline, unit of the circuit); None for a unit without a partner."""

DEFAULT_TOLERANCE = 1e-6
UNIT_NUMBERS: tuple[Literal["margin", "interchange", "rows_changed"], ...] = (
    "margin",
    "interchange",
    "rows_changed",
)
MAX_TEXT_SHOWN = 500
"""Characters of one formula, signature or reason in a line; a baseline may hold longer ones."""
LONGEST_ORDERED = 10_000
"""Characters of a formula whose order is looked at; longer ones differ where their texts do."""
NUMBERS = (*UNIT_NUMBERS, "worst_margin", "joint_interchange")
"""The numbers for which a tolerance can be given."""
KINDS: tuple[ClaimKind, ...] = get_args(ClaimKind)
"""The kinds of claim that evidence is gathered for."""


@dataclass(frozen=True)
class Differences:
    """The differences of a circuit from another; false if there are none.

    Attributes:
        facts: lines on the verdict, units, formula and edges that changed, which are compared
            exactly.
        same: lines on the units that did not change.
        numbers: lines on evidence that changed by more than its tolerance.
        notes: lines on possible causes of a difference: other conventions of the network and, if
            there are `numbers`, other releases.
    """

    facts: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.facts or self.numbers)

    def __str__(self) -> str:
        """Changes first, then unchanged units, then numbers, then notes."""
        lines = [*self.facts]
        if self.numbers and not lines:
            lines.append("gates, edges and verdict are as before; the evidence changed")
        if self.same:
            lines.append(f"as before: {'; '.join(self.same)}")
        if self.numbers:
            lines.append("numbers:")
            lines += [f"  {number}" for number in self.numbers]
        return "\n".join([*lines, *self.notes])


def compare_records(
    old: CircuitRecord,
    new: CircuitRecord,
    *,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    up_to: UpTo = "signature",
) -> Differences:
    """The differences of a circuit's record from a baseline's record.

    Args:
        old, new: of the baseline, and of what is found now; `record_of` makes one of a network.
        tolerance: a number changed if |new - old| > tolerance + tolerance * |old|; of a worst
            margin, which is in output units, below 1 if |new - old| > 2 * tolerance * |old|. One
            number for all, or one per name of `NUMBERS`, the rest keeping the default; None
            compares no numbers.
        up_to: "signature" compares unit by unit after renumbering and rescaling. A dead unit does
            not count, and a copy counts as a unit, although `Circuit.signature` leaves it out.
            "family" compares the family alone: units may also be copied and complemented and the
            inputs swapped. It compares no numbers, since another network's are others.

    Raises:
        XorMiError: what is not a record, a tolerance that is negative, not finite, of an unknown
            name or beside up_to="family", or an unknown up_to.
    """
    for name, record in (("old", old), ("new", new)):
        require_record(name, record)
    exists = get_args(UpTo)
    if up_to not in exists:
        raise unknown("up_to", up_to, exists, where="circuits are compared up to")
    bounds = tolerances(tolerance)
    if up_to == "family" and tolerance is not None and tolerance != DEFAULT_TOLERANCE:
        raise XorMiError(
            f"tolerance is {shown(tolerance)}, and up_to='family' compares no numbers; leave one "
            "of them out"
        )
    pairs = list(_matched(old, new))
    facts = _facts(old, new, pairs, up_to)
    numbers: list[str] = []
    if up_to == "signature" and tolerance is not None:
        numbers = _numbers(old, new, pairs, bool(facts), bounds)
    return Differences(
        facts=tuple(facts),
        same=tuple(_as_before(a, b, old, new) for a, b in _same_gates(pairs)),
        numbers=tuple(numbers),
        notes=tuple(_notes(old, new, facts, numbers)),
    )


def tolerances(
    tolerance: Tolerance, names: Collection[str] = NUMBERS, *, kind: str = "number"
) -> dict[str, Number]:
    """One tolerance per name.

    Args:
        names: the names for which a tolerance can be given.
        kind: what the names stand for.

    Raises:
        XorMiError: a number that is negative or not finite, or an unknown name.
    """
    # a single number is checked even if there is nothing to compare with it
    given: dict[str, Number] = {}
    if isinstance(tolerance, Mapping):
        given |= tolerance
    elif tolerance is not None:
        given |= dict.fromkeys(names or ("numbers",), tolerance)
    for name, value in given.items():
        if isinstance(tolerance, Mapping) and name not in names:
            raise unknown(kind, name, names, where="tolerances are for")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not isfinite(value) or value < 0:
            raise XorMiError(f"the tolerance of {name} is {value!r}; give a number of at least 0")
    return {name: given.get(name, DEFAULT_TOLERANCE) for name in names}


# units, matched by their gates


def _live(record: CircuitRecord) -> list[UnitRecord]:
    return [unit for unit in record["units"] if unit["live"]]


def _place(unit: UnitRecord) -> tuple[int, int]:
    """(layer, index) of 'h1.2'."""
    layer, _, index = unit["unit"][1:].partition(".")
    return int(layer), int(index)


def _matched(old: CircuitRecord, new: CircuitRecord) -> Iterator[Pair]:
    """Every live unit in one pair, layer by layer."""
    layers = sorted({_place(unit)[0] for unit in (*_live(old), *_live(new))})
    for layer in layers:
        yield from _matched_in(
            [unit for unit in _live(old) if _place(unit)[0] == layer],
            [unit for unit in _live(new) if _place(unit)[0] == layer],
        )


def _matched_in(old: Sequence[UnitRecord], new: Sequence[UnitRecord]) -> list[Pair]:
    """The pairs of one layer: first equal gates, then equal numbers of units, then the rest in
    order.
    """
    n_old = Counter(unit["gate"] for unit in old)
    n_new = Counter(unit["gate"] for unit in new)
    before = sorted(old, key=_evidence)
    after = sorted(new, key=_evidence)
    pairs: list[Pair] = []

    def pair_where(alike: Callable[[UnitRecord, UnitRecord], bool]) -> None:
        for a in list(before):
            b = next((b for b in after if alike(a, b)), None)
            if b is not None:
                pairs.append((a, b))
                before.remove(a)
                after.remove(b)

    def same_gate_and_as_many(a: UnitRecord, b: UnitRecord) -> bool:
        """If a gate became rarer or more common, only the unit of the same name is certainly the
        same unit; otherwise the order of the evidence decides.
        """
        gate = a["gate"]
        return gate == b["gate"] and (n_old[gate] == n_new[gate] or a["unit"] == b["unit"])

    pair_where(same_gate_and_as_many)
    pair_where(lambda a, b: a["gate"] == b["gate"])
    pair_where(lambda a, b: a["unit"] == b["unit"])
    # the rest has neither gate nor number in common, and is paired in order
    pairs += zip_longest(sorted(before, key=_place), sorted(after, key=_place))
    return sorted(pairs, key=_place_of_pair)


def _place_of_pair(pair: Pair) -> tuple[bool, tuple[int, int]]:
    """The circuit's units in order, then those of the baseline that are gone."""
    before, after = pair
    unit = after or before
    assert unit is not None
    return after is None, _place(unit)


def _evidence(unit: UnitRecord) -> tuple[Number, ...]:
    return (unit["interchange"] or 0, unit["rows_changed"] or 0, unit["margin"] or 0)


def _same_gates(pairs: Sequence[Pair]) -> list[tuple[UnitRecord, UnitRecord]]:
    return [(a, b) for a, b in pairs if a and b and a["gate"] == b["gate"]]


def _name(unit: UnitRecord, old: CircuitRecord, new: CircuitRecord) -> str:
    """'unit 1' if there is one hidden layer, otherwise 'unit h2.1'."""
    shallow = max(len(old["layer_sizes"]), len(new["layer_sizes"])) == 3
    return f"unit {unit['unit'].split('.')[-1] if shallow else unit['unit']}"


def _name_in_both(a: UnitRecord, b: UnitRecord, old: CircuitRecord, new: CircuitRecord) -> str:
    """'unit 1', or 'unit 1 (unit 0 in the baseline)' if it was renumbered."""
    moved = f" ({_name(a, old, new)} in the baseline)" if a["unit"] != b["unit"] else ""
    return f"{_name(b, old, new)}{moved}"


def _as_before(a: UnitRecord, b: UnitRecord, old: CircuitRecord, new: CircuitRecord) -> str:
    return f"{_name_in_both(a, b, old, new)}: {_said(b['gate'])}"


def _said(text: str | None) -> str:
    """A text of a record, cut to the room of a line."""
    return cut_short(str(text), at_most=MAX_TEXT_SHOWN)


def _change(old: str | None, new: str | None) -> str:
    """'OR -> NOR'; long texts begin a little before their first difference."""
    was, now = str(old), str(new)
    n_alike = sum(
        1 for _ in takewhile(lambda signs: signs[0] == signs[1], zip(was, now, strict=False))
    )
    skipped = n_alike - MAX_TEXT_SHOWN // 10
    if skipped <= 0 or max(len(was), len(now)) <= MAX_TEXT_SHOWN:
        return f"{_said(was)} -> {_said(now)}"
    return f"{_said('...' + was[skipped:])} -> {_said('...' + now[skipped:])}"


# facts, which are compared exactly


def _facts(old: CircuitRecord, new: CircuitRecord, pairs: Sequence[Pair], up_to: UpTo) -> list[str]:
    family = up_to == "family"
    facts = []
    if old["target"]["tables"] != new["target"]["tables"]:
        facts.append(f"target: {_change(old['target']['name'], new['target']['name'])}")
    same_verdict = old["verdict"] == new["verdict"]
    if not same_verdict or not (family or _alike_in_detail(old, new)):
        facts.append(f"verdict: {_verdict(old)} -> {_verdict(new)}")
    facts += _proof_changes(old, new)
    units = list(_unit_changes(old, new, pairs))
    if family:
        rewritten = old["families"] != new["families"]
    else:
        # among several readings with the same evidence another may come first when units are
        # renumbered; then the signature of all readings decides
        both_identified = old["verdict"] == new["verdict"] == "identified"
        rewritten = old["signature"] != new["signature"] or bool(units and both_identified)
    if rewritten:
        facts = [*units, *facts, *_rewritten(old, new, pairs, family)]
    if facts and old["layer_sizes"] != new["layer_sizes"]:
        facts.insert(0, f"layers: {_sizes(old)} -> {_sizes(new)}")
    return facts


def _sizes(record: CircuitRecord) -> str:
    """'2-2-1'."""
    return "-".join(map(str, record["layer_sizes"]))


def _proof_changes(old: CircuitRecord, new: CircuitRecord) -> list[str]:
    """A line if the level of proof of the first circuit changed; an old baseline has no level."""
    before, after = old["proof_level"], new["proof_level"]
    # if a circuit is gone or new, the verdict says so
    if before is None or after is None or before == after:
        return []
    return [f"level of proof: {before} -> {after}"]


def _alike_in_detail(old: CircuitRecord, new: CircuitRecord) -> bool:
    """Whether the details behind two equal verdicts are equal too."""
    if new["verdict"] in ("ambiguous", "approximate"):
        return _n_counted(old, new, old) == _n_counted(old, new, new)
    if new["verdict"] != "not_computing":
        return True
    before, after = old["wrong_rows"], new["wrong_rows"]
    known = [row for row in before if before[row] and row in after]
    return before.keys() == after.keys() and all(before[row] == after[row] for row in known)


def _n_counted(old: CircuitRecord, new: CircuitRecord, record: CircuitRecord) -> int | None:
    """The number of circuits behind a verdict; of readings, if one of the two records counts only
    these.
    """
    if old["n_circuits"] is None or new["n_circuits"] is None:
        return record["n_readings"]
    return record["n_passing"] if record["verdict"] == "ambiguous" else record["n_circuits"]


def _verdict(record: CircuitRecord) -> str:
    """A verdict with its details, for a reader."""
    verdict = record["verdict"]
    if verdict == "ambiguous" and record["n_passing"] is None:
        return f"ambiguous ({record['n_readings']} readings)"
    if verdict == "ambiguous":
        return f"ambiguous ({record['n_passing']} circuits)"
    if verdict == "approximate":
        n_circuits = record["n_circuits"]
        survive = "1 circuit survives" if n_circuits == 1 else f"{n_circuits} circuits survive"
        return f"approximate ({survive}, none is proved to '{record['require']}')"
    if verdict == "not_computing":
        return f"not computing ({_said(record['reason'])})"
    return in_words(verdict)


def _unit_changes(old: CircuitRecord, new: CircuitRecord, pairs: Sequence[Pair]) -> Iterator[str]:
    if new["n_readings"] == 0 < old["n_readings"]:
        # one line for all units, instead of the same line for each
        was = ", ".join(f"{_name(unit, old, new)} was {_said(unit['gate'])}" for unit in _live(old))
        yield f"no unit has a gate: {was}"
        return
    for a, b in pairs:
        if a and b and a["gate"] != b["gate"]:
            yield f"{_name_in_both(a, b, old, new)}: {_change(a['gate'], b['gate'])}"
        elif a is None and b is not None:
            yield f"{_name(b, old, new)} is new: {_said(b['gate'])}"
        elif b is None and a is not None:
            yield f"{_name(a, old, new)} is gone: {_said(a['gate'])}"


def _rewritten(
    old: CircuitRecord, new: CircuitRecord, pairs: Sequence[Pair], family: bool
) -> list[str]:
    """Lines on formula, edges, signature and family."""
    if 0 in (old["n_readings"], new["n_readings"]):
        return []
    lines = []
    if not _same_up_to_order(old["formula"], new["formula"]):
        lines.append(f"formula: {_change(old['formula'], new['formula'])}")
    lines += _edge_changes(old, new, pairs)
    if old["signature"] != new["signature"]:
        lines.append(f"signature: {_change(old['signature'], new['signature'])}")
    elif not family:
        lines.append(f"signature: {_said(new['signature'])}, as before")
    families = " / ".join(new["families"])
    if old["families"] != new["families"]:
        lines.append(f"family: {_change(' / '.join(old['families']), families)}")
    elif not family:
        lines.append(f"family: {_said(families)}, as before")
    return lines


def _same_up_to_order(old: str | None, new: str | None) -> bool:
    """Whether two formulas are the same but for the order of what &, | and ^ join."""
    if old is None or new is None or len(old) > LONGEST_ORDERED or Counter(old) != Counter(new):
        return old == new
    try:
        before, after = formula_trees(old), formula_trees(new)
    except XorMiError:  # a baseline may be edited by hand
        return old == new
    return [*map(_in_order, before)] == [*map(_in_order, after)]


def _in_order(tree: Tree) -> str:
    """A formula as text, the parts of every operator in alphabetical order."""
    parts = sorted(map(_in_order, tree.parts))
    return f"{tree.kind} {tree.value} ({', '.join(parts)})"


def _edge_changes(old: CircuitRecord, new: CircuitRecord, pairs: Sequence[Pair]) -> list[str]:
    """Changed edges among inputs, outputs and the units that are in both, by their new names."""
    renamed = {a["unit"]: b["unit"] for a, b in pairs if a and b}
    before = {
        (renamed.get(src, src), renamed.get(dst, dst)) for src, dst in _edges(old, renamed.keys())
    }
    after = set(_edges(new, set(renamed.values())))
    gone = [f"edge {src}->{dst} is gone" for src, dst in sorted(before - after)]
    return gone + [f"edge {src}->{dst} is new" for src, dst in sorted(after - before)]


def _edges(record: CircuitRecord, units: Collection[str]) -> Iterator[tuple[str, str]]:
    """The edges among inputs, outputs and these units."""
    for edge in record["edges"]:
        src, _, dst = edge.partition("->")
        if all(end in units or end.startswith(("x", "y")) for end in (src, dst)):
            yield src, dst


# numbers, which are compared within a tolerance


def _numbers(
    old: CircuitRecord,
    new: CircuitRecord,
    pairs: Sequence[Pair],
    changed: bool,
    bounds: Mapping[str, Number],
) -> list[str]:
    matched = _same_gates(pairs)
    everything_matched = len(matched) == len(pairs)
    if not changed and not everything_matched:
        # another reading came first, so its numbers belong to another explanation
        return []
    lines = []
    for a, b in matched:
        for number in UNIT_NUMBERS:
            what = f"{_name(b, old, new)} {in_words(number)}"
            lines.append(moved(what, a[number], b[number], bounds[number]))
    if not changed:
        was, now = old["worst_margin"], new["worst_margin"]
        unit = unit_beside([was or 1.0])
        lines.append(moved("worst margin", was, now, bounds["worst_margin"], unit=unit))
        # not strict: a baseline edited by hand may have fewer
        joint = zip(old["joint_interchange"], new["joint_interchange"], strict=False)
        for layer, (before, after) in enumerate(joint):
            what = f"joint interchange of layer {layer}"
            lines.append(moved(what, before, after, bounds["joint_interchange"]))
        lines += _sets_moved(old, new) + _claims_moved(old, new)
    return [line for line in lines if line]


def unit_beside(numbers: Iterable[Number]) -> float:
    """The unit of an absolute tolerance for numbers in output units.

    It is 1, or the largest number if that is smaller, so that outputs of a millionth can differ
    too.
    """
    return min(1.0, max(map(abs, numbers)))


def moved(
    what: str, old: Number | None, new: Number | None, tolerance: Number, *, unit: float = 1.0
) -> str:
    """'unit 1 margin: 0.5 -> 0.4, ...', or '' if it stayed within its tolerance.

    Args:
        unit: the unit of the absolute part; 1 for a share, whatever the network's scale.
    """
    if old is None or new is None:
        return "" if old == new else f"{what}: {old} -> {new}"
    absolute = tolerance * unit
    bound = absolute + tolerance * abs(old)
    off = abs(new - old)
    if off <= bound:
        return ""
    rule = f"absolute {absolute:g} + relative {tolerance:g}"
    return f"{what}: {old:.6g} -> {new:.6g}, off by {off:.3g}; allowed {bound:.3g} ({rule})"


def _sets_moved(old: CircuitRecord, new: CircuitRecord) -> list[str]:
    """Necessary and sufficient sets of units, written with their gates."""
    necessary = _sets_moved_of("necessary", old, new, old["necessary_sets"], new["necessary_sets"])
    return necessary + _sets_moved_of(
        "sufficient", old, new, old["sufficient_sets"], new["sufficient_sets"]
    )


def _sets_moved_of(
    kind: str, old: CircuitRecord, new: CircuitRecord, before: SetsRecord, after: SetsRecord
) -> list[str]:
    written = {
        "mean": (_with_gates(old, before["mean"]), _with_gates(new, after["mean"])),
        "zero": (_with_gates(old, before["zero"]), _with_gates(new, after["zero"])),
    }
    return [
        f"{kind} units ({ablation} ablation): {_change(was, now)}"
        for ablation, (was, now) in written.items()
        if was != now
    ]


def _with_gates(record: CircuitRecord, sets: Sequence[Sequence[str]]) -> str:
    """'{AND}; {OR}': sets of units by their gates, since units may be renumbered."""
    deep = len(record["layer_sizes"]) > 3
    names = {}
    for unit in record["units"]:
        layer, _ = _place(unit)
        names[unit["unit"]] = f"{unit['gate']}{f' in layer {layer}' if deep else ''}"
    # a set: units of the same gates, renumbered, are one line
    written: set[str] = set()
    for units in sets:
        written.add(", ".join(sorted(names.get(unit, "None") for unit in units)))
    return "; ".join(f"{{{gates}}}" for gates in sorted(written)) or "none"


def _claims_moved(old: CircuitRecord, new: CircuitRecord) -> list[str]:
    """For each kind of claim, how many claims do not hold, if that number changed."""
    before, after = _failing(old), _failing(new)
    lines = []
    for kind in KINDS:
        if len(before[kind]) != len(after[kind]):
            which = f" ({_said('; '.join(after[kind]))})" if after[kind] else ""
            count = f"{len(before[kind])} -> {len(after[kind])}"
            lines.append(f"claims that do not hold, '{kind}': {count}{which}")
    return lines


def _failing(record: CircuitRecord) -> dict[ClaimKind, list[str]]:
    """Kind -> the claims of this kind that do not hold; a constant unit's own are left out."""
    constant = {unit["unit"] for unit in record["units"] if unit["constant"]}
    failing: dict[ClaimKind, list[str]] = {kind: [] for kind in KINDS}
    for claim in record["evidence"]:
        of_a_constant = len(claim["units"]) == 1 and claim["units"][0] in constant
        if not claim["holds"] and not of_a_constant:
            failing[claim["kind"]].append(claim["claim"])
    return failing


def _notes(
    old: CircuitRecord, new: CircuitRecord, facts: Sequence[str], numbers: Sequence[str]
) -> Iterator[str]:
    """Hints on the possible cause of a difference."""
    was, now = conventions_of(old), conventions_of(new)
    if was != now and (facts or numbers):
        yield f"other conventions: {_conventions_said(was)} -> {_conventions_said(now)}"
    if facts and old["n_circuits"] is None and new["n_circuits"] is not None:
        yield (
            "the baseline counts readings, as xor-mi did before circuits had to pass interchange: "
            "write it anew with pytest --force-regen"
        )
    elif facts and _asked(old) != _asked(new):
        yield f"identified with other requirements: {_asked(old)} -> {_asked(new)}"
    # gates and verdicts are exact, so another release cannot explain their change
    if numbers:
        yield from notes_on_releases(old["versions"], new["versions"])


def _asked(record: CircuitRecord) -> str:
    """What a circuit had to have to count: 'require=joint, min_margin=0.01'."""
    return f"require={record['require']}, min_margin={record['min_margin']}"


def notes_on_releases(stored: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """A note if other releases, which may round differently, were used.

    Args:
        stored, found: package -> version, of the baseline and of now.
    """
    others = [
        f"{cut_short(package)} {_release_said(stored.get(package))} -> {_release_said(version)}"
        for package, version in found.items()
        if package not in stored or not is_same_release(stored[package], version)
    ]
    if others:
        yield f"found with other versions, which may round differently: {', '.join(others)}"


def _conventions_said(conventions: ConventionsRecord) -> str:
    """'inputs -1 and 1, argmax': the input levels, and the conventions that are not ordinary."""
    low, high = conventions["input_levels"]
    said = [f"inputs {low:g} and {high:g}", conventions["decision_rule"]]
    if conventions["step_at_zero"]:
        said.append("steps on at zero")
    if conventions["direct"]:
        said.append("direct connections")
    return ", ".join(said)


def _release_said(version: str | None) -> str:
    return "unknown" if version is None else cut_short(release_of(version))
