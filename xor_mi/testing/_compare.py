"""two records -> Differences: what a person asks first (units, verdict, formula), numbers and
tolerances after.

Units are matched by their gates, not by their numbers, so that a network whose hidden units were
renumbered is compared with itself. Units with the same gate are matched in the order of their
evidence. No torch: records are plain data."""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import isfinite
from typing import Any

from xor_mi.errors import XorMiError, unknown

Record = dict[str, Any]
Pair = tuple[Record | None, Record | None]

TOLERANCE = 1e-6
UP_TO = ("signature", "family")
UNIT_NUMBERS = ("margin", "interchange", "rows_changed")
NUMBERS = (*UNIT_NUMBERS, "worst_margin", "joint_interchange")
"""What a tolerance can be given for."""
KINDS = ("substitution", "interchange", "joint", "necessary", "sufficient", "control")
"""The kinds of claim that evidence is gathered for."""


@dataclass(frozen=True)
class Differences:
    """What a circuit differs in from another; false where it does not.

    Attributes:
        facts: lines on verdict, units, formula and edges that changed; gates are compared exactly.
        same: lines on the units that are as they were.
        numbers: lines on evidence that changed by more than its tolerance.
        notes: lines that say how two records came about; no difference by themselves.
    """

    facts: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.facts or self.numbers)

    def __str__(self) -> str:
        """Changes first, then what is as before, then numbers, then notes."""
        lines = [*self.facts] or (
            ["gates, edges and verdict are as before; the evidence changed"] if self.numbers else []
        )
        if self.same:
            lines.append(f"as before: {'; '.join(self.same)}")
        if self.numbers:
            lines += ["numbers:", *(f"  {line}" for line in self.numbers)]
        return "\n".join([*lines, *self.notes])


def compare_records(
    old: Record, new: Record, *, tolerance: Any = TOLERANCE, up_to: str = "signature"
) -> Differences:
    """What a circuit's record differs in from a baseline's.

    Args:
        tolerance: a number changed if |new - old| > tolerance + tolerance * |old|. One number for
            all, or one per name of `NUMBERS`, the rest keeping the default; None compares no
            numbers.
        up_to: "signature" also lets hidden units be renumbered, rescaled or joined by dead ones;
            "family" complemented as well, and the inputs swapped, and compares no numbers, since
            another network's are others.

    Raises:
        XorMiError: a tolerance that is negative, not finite or of an unknown name, or an unknown
            up_to.
    """
    if up_to not in UP_TO:
        raise unknown("up_to", up_to, UP_TO, where="circuits are compared up to")
    allowed = tolerances(tolerance)
    pairs = list(_matched(old, new))
    facts = _facts(old, new, pairs, up_to)
    same = [_as_before(a, b, old, new) for a, b in pairs if a and b and a["gate"] == b["gate"]]
    numbers = (
        []
        if up_to == "family" or tolerance is None
        else _numbers(old, new, pairs, bool(facts), allowed)
    )
    return Differences(tuple(facts), tuple(same), tuple(numbers), tuple(_notes(old, new)))


def tolerances(tolerance: Any) -> dict[str, int | float]:
    """One tolerance per name of `NUMBERS`."""
    one = TOLERANCE if tolerance is None or isinstance(tolerance, Mapping) else tolerance
    given: dict[str, Any] = {
        **dict.fromkeys(NUMBERS, one),
        **(tolerance if isinstance(tolerance, Mapping) else {}),
    }
    for name, value in given.items():
        if name not in NUMBERS:
            raise unknown("number", name, NUMBERS, where="tolerances are for")
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not isfinite(value)
            or value < 0
        ):
            raise XorMiError(f"the tolerance of {name} is {value!r}; give a number of at least 0")
    return given


def _live(record: Record) -> list[Record]:
    return [unit for unit in record["units"] if unit["live"]]


def _place(unit: Record) -> tuple[int, int]:
    layer, _, index = unit["unit"][1:].partition(".")
    return int(layer), int(index)


def _matched(old: Record, new: Record) -> Iterator[Pair]:
    """(unit of the baseline, unit of the circuit), layer by layer; None where one has no
    partner.
    """
    layers = sorted({_place(unit)[0] for unit in (*_live(old), *_live(new))})
    for layer in layers:
        yield from _matched_in(
            [u for u in _live(old) if _place(u)[0] == layer],
            [u for u in _live(new) if _place(u)[0] == layer],
        )


def _matched_in(old: Sequence[Record], new: Sequence[Record]) -> Iterator[Pair]:
    before, after = list(old), list(new)
    counts = Counter(u["gate"] for u in old), Counter(u["gate"] for u in new)
    found: list[Pair] = []

    def pair(same: Any) -> None:
        for a in list(before):
            b = next((b for b in after if same(a, b)), None)
            if b is not None:
                found.append((a, b))
                before.remove(a)
                after.remove(b)

    before.sort(key=_evidence)
    after.sort(key=_evidence)
    pair(
        lambda a, b: (
            a["gate"] == b["gate"]
            and (counts[0][a["gate"]] == counts[1][a["gate"]] or a["unit"] == b["unit"])
        )
    )
    pair(lambda a, b: a["gate"] == b["gate"])
    pair(lambda a, b: a["unit"] == b["unit"])
    before.sort(key=_place)
    after.sort(key=_place)
    found += zip_longest(before, after)
    yield from sorted(found, key=lambda ab: (ab[1] is None, _place(ab[1] or ab[0] or {})))


def _evidence(unit: Record) -> tuple[int | float, ...]:
    return tuple(unit[name] or 0 for name in ("interchange", "rows_changed", "margin"))


def _name(unit: Record, old: Record, new: Record) -> str:
    """'unit 1' where there is one hidden layer, else 'unit h2.1'."""
    shallow = max(len(old["layer_sizes"]), len(new["layer_sizes"])) == 3
    return f"unit {unit['unit'].split('.')[-1] if shallow else unit['unit']}"


def _as_before(a: Record, b: Record, old: Record, new: Record) -> str:
    moved = f" ({_name(a, old, new)} in the baseline)" if a["unit"] != b["unit"] else ""
    return f"{_name(b, old, new)}{moved}: {b['gate']}"


def _facts(old: Record, new: Record, pairs: Sequence[Pair], up_to: str) -> list[str]:
    family = up_to == "family"
    found = []
    if old["target"]["tables"] != new["target"]["tables"]:
        found.append(f"target: {old['target']['name']} -> {new['target']['name']}")
    verdicts = [record["verdict"] if family else _verdict(record) for record in (old, new)]
    if verdicts[0] != verdicts[1]:
        found.append(f"verdict: {_verdict(old)} -> {_verdict(new)}")
    key = "families" if family else "signature"
    units = list(_unit_changes(old, new, pairs))
    # of several readings with the same evidence another may come first when units are renumbered:
    # then the signature, of all, decides
    if old[key] != new[key] or (
        units and not family and old["verdict"] == new["verdict"] == "identified"
    ):
        found = units + found + _rewritten(old, new, pairs, family)
    return found


def _verdict(record: Record) -> str:
    if record["verdict"] == "ambiguous":
        return f"ambiguous ({record['n_readings']} readings)"
    return (
        f"not_computing ({record['reason']})"
        if record["verdict"] == "not_computing"
        else record["verdict"]
    )


def _unit_changes(old: Record, new: Record, pairs: Sequence[Pair]) -> Iterator[str]:
    if new["n_readings"] == 0 < old["n_readings"]:
        was = ", ".join(f"{_name(unit, old, new)} was {unit['gate']}" for unit in _live(old))
        yield f"no unit has a gate: {was}"
        return
    for a, b in pairs:
        if a is None or b is None:
            unit, what = (b, "is new") if b else (a, "is gone")
            yield f"{_name(unit or {}, old, new)} {what}: {(unit or {})['gate']}"
        elif a["gate"] != b["gate"]:
            moved = f" ({_name(a, old, new)} in the baseline)" if a["unit"] != b["unit"] else ""
            yield f"{_name(b, old, new)}{moved}: {a['gate']} -> {b['gate']}"


def _rewritten(old: Record, new: Record, pairs: Sequence[Pair], family: bool) -> list[str]:
    """Lines on formula, edges, signature and family."""
    if 0 in (old["n_readings"], new["n_readings"]):
        return []
    found = []
    if old["formula"] != new["formula"]:
        found.append(f"formula: {old['formula']} -> {new['formula']}")
    place = {a["unit"]: b["unit"] for a, b in pairs if a and b}
    carried = {tuple(place.get(end, end) for end in edge) for edge in _edges(old, place)}
    kept = set(_edges(new, place.values()))
    found += [f"edge {a}->{b} is gone" for a, b in sorted(carried - kept)]
    found += [f"edge {a}->{b} is new" for a, b in sorted(kept - carried)]
    if old["signature"] != new["signature"]:
        found.append(f"signature: {old['signature']} -> {new['signature']}")
    if old["families"] != new["families"]:
        found.append(f"family: {' / '.join(old['families'])} -> {' / '.join(new['families'])}")
    elif not family:
        found.append(f"family: {' / '.join(new['families'])}, as before")
    return found


def _edges(record: Record, units: Container[str]) -> Iterator[tuple[str, str]]:
    """The edges among inputs, outputs and these units."""
    for edge in record["edges"]:
        src, _, dst = edge.partition("->")
        if all(end in units or end.startswith(("x", "y")) for end in (src, dst)):
            yield src, dst


def _numbers(
    old: Record,
    new: Record,
    pairs: Sequence[Pair],
    changed: bool,
    allowed: Mapping[str, int | float],
) -> list[str]:
    matched = [(a, b) for a, b in pairs if a and b and a["gate"] == b["gate"]]
    found = []
    for a, b in matched if changed or len(matched) == len(pairs) else []:
        found += [
            _moved(f"{_name(b, old, new)} {n.replace('_', ' ')}", a[n], b[n], allowed[n])
            for n in UNIT_NUMBERS
        ]
    if not changed and len(matched) == len(pairs):
        found.append(
            _moved(
                "worst margin", old["worst_margin"], new["worst_margin"], allowed["worst_margin"]
            )
        )
        for layer, both in enumerate(
            zip(old["joint_interchange"], new["joint_interchange"], strict=False)
        ):
            found.append(
                _moved(f"joint interchange of layer {layer}", *both, allowed["joint_interchange"])
            )
        found += _sets_moved(old, new) + _claims_moved(old, new)
    return [line for line in found if line]


def _moved(
    what: str, old: int | float | None, new: int | float | None, tolerance: int | float
) -> str:
    """'unit 1 margin: 0.5 -> 0.4, ...' or '' where it stayed within its tolerance."""
    if old is None or new is None:
        return "" if old == new else f"{what}: {old} -> {new}"
    bound = tolerance + tolerance * abs(old)
    if abs(new - old) <= bound:
        return ""
    rule = f"absolute {tolerance:g} + relative {tolerance:g}"
    return (
        f"{what}: {old:.6g} -> {new:.6g}, off by {abs(new - old):.3g}; allowed {bound:.3g} ({rule})"
    )


def _sets_moved(old: Record, new: Record) -> list[str]:
    """Necessary and sufficient sets of units, written with their gates."""
    found = []
    for kind in ("necessary", "sufficient"):
        for value in ("mean", "zero"):
            before, after = (
                _with_gates(record, record[f"{kind}_sets"][value]) for record in (old, new)
            )
            if before != after:
                found.append(f"{kind} units ({value} ablation): {before} -> {after}")
    return found


def _with_gates(record: Record, sets: Sequence[Sequence[str]]) -> str:
    gates = {unit["unit"]: unit["gate"] for unit in record["units"]}
    deep = len(record["layer_sizes"]) > 3
    named = {
        ", ".join(
            sorted(
                f"{gates.get(u)}{' in layer ' + u[1:].split('.')[0] if deep else ''}" for u in units
            )
        )
        for units in sets
    }
    return "; ".join(f"{{{names}}}" for names in sorted(named)) or "none"


def _claims_moved(old: Record, new: Record) -> list[str]:
    """For each kind of claim, how many do not hold; a constant unit's own claims are left out."""
    if not _tells_kinds(old):
        return []
    before, after = (_failing(record) for record in (old, new))
    return [
        f"claims that do not hold, '{kind}': {len(before[kind])} -> {len(after[kind])}"
        + (f" ({'; '.join(after[kind])})" if after[kind] else "")
        for kind in KINDS
        if len(before[kind]) != len(after[kind])
    ]


def _tells_kinds(record: Record) -> bool:
    """Whether the claims have their kind beside them; the first baselines have sentences only."""
    return all("kind" in claim for claim in record["evidence"])


def _failing(record: Record) -> dict[str, list[str]]:
    """Kind of claim -> the sentences of those that do not hold."""
    constant = {unit["unit"] for unit in record["units"] if unit["note"]}
    failing: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for claim in record["evidence"]:
        of_a_constant = len(claim["units"]) == 1 and claim["units"][0] in constant
        if not claim["holds"] and not of_a_constant:
            failing[claim["kind"]].append(claim["claim"])
    return failing


def _notes(old: Record, new: Record) -> Iterator[str]:
    versions = [
        f"{package} {old['versions'].get(package, 'unknown')} -> {here}"
        for package, here in new["versions"].items()
        if old["versions"].get(package) != here
    ]
    if versions:
        yield f"found with other versions: {', '.join(versions)}"
    if not _tells_kinds(old):
        yield "the baseline has no kinds of claims, so which of them hold is not compared; write it anew"
