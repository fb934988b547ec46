"""record <-> file: the format of a stored circuit, JSON that a person can read and a diff shows
line by line.

The typed dictionaries below are the format, and what is read is held against them."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypedDict, cast, get_args, get_origin, get_type_hints, is_typeddict

from xor_mi.errors import XorMiError, as_path, require_kind
from xor_mi.kinds import PathLike
from xor_mi.saving import write_file

FORMAT = "xor_mi.regression"
VERSION = 2
"""The version of the record's format; a record of a later one is refused."""

ClaimKind = Literal["substitution", "interchange", "joint", "necessary", "sufficient", "control"]
"""What a claim says; see `xor_mi.circuits.Evidence`."""


class UnitRecord(TypedDict):
    """One hidden unit: its gate, whether it never changes, whether an output depends on it, and
    numbers that do not depend on its scale.
    """

    unit: str
    gate: str | None
    constant: bool
    live: bool
    margin: float | None
    interchange: float | None
    rows_changed: int | None


class ClaimRecord(TypedDict):
    """One claim of the evidence. `claim` and `counted` are sentences for a reader; programs ask
    `kind` and `units`.
    """

    kind: ClaimKind
    units: list[str]
    claim: str
    effect: float
    control: float
    n: int
    counted: str
    holds: bool


class SetsRecord(TypedDict):
    """Minimal sets of units, by what the ablated units were set to."""

    mean: list[list[str]]
    zero: list[list[str]]


class TargetRecord(TypedDict):
    """The function that the network was held against, one truth table per output."""

    name: str
    tables: list[list[int]]


class CircuitRecord(TypedDict):
    """What is kept of a circuit. `reason` is a sentence for a reader; `wrong_rows` says the same to
    a program: row -> its decisions, -1 for undecided, in float64 and in the network's own
    precision; [] where an old baseline does not say them. `versions` has releases: a baseline does
    not change with the build of a package.
    """

    format: str
    version: int
    test: str
    versions: dict[str, str]
    layer_sizes: list[int]
    target: TargetRecord
    verdict: str
    reason: str
    wrong_rows: dict[str, list[list[int]]]
    n_readings: int
    formula: str | None
    readout: str | None
    signature: str
    families: list[str]
    units: list[UnitRecord]
    edges: list[str]
    worst_margin: float | None
    joint_interchange: list[float | None]
    necessary_sets: SetsRecord
    sufficient_sets: SetsRecord
    evidence: list[ClaimRecord]


def release_of(version: str) -> str:
    """The numbers a version starts with; without them, the version as it is.

    The build and the stage of development are left out: a CPU and a CUDA build of one release are
    the same to a baseline.

    >>> release_of("2.13.0+cpu"), release_of("2.14.0.dev20260801+cu130"), release_of("unknown")
    ('2.13.0', '2.14.0', 'unknown')
    """
    numbers = re.match(r"\d+(\.\d+)*", version)
    return numbers[0] if numbers else version


def write_record(record: CircuitRecord, path: PathLike) -> None:
    """The record as JSON, one unit and one claim per line; a reader meanwhile sees the old file or
    the new, never a part of one.

    Whatever is under that name is replaced: --force-regen writes a damaged baseline anew.
    """
    require_kind("record", record, dict, give="what record_of returns")
    write_file(as_path("path", path), _text(record))


def read_record(path: PathLike) -> CircuitRecord:
    """A record from a file; one of an earlier format is brought to today's.

    Raises:
        XorMiError: a file that is not JSON, not a record, a record with entries missing or of
            another kind, or of a later format; the message says where.
    """
    file = as_path("path", path)
    try:
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise _unreadable(file, str(error)) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _unreadable(file, f"it has no 'format': '{FORMAT}'")
    version = content.get("version")
    # asked before the shape, which a later format may have changed
    if isinstance(version, int) and version > VERSION:
        raise XorMiError(
            f"the baseline '{file}' is of format {version}; this xor-mi reads up to {VERSION}: "
            "install a later xor-mi"
        )
    if version == 1:
        content = _from_format_1(content)
    wrong = _misshapen(content, CircuitRecord, "")
    if wrong:
        raise _unreadable(file, wrong)
    record = cast(CircuitRecord, content)
    names = [unit["unit"] for unit in record["units"]]
    odd = [name for name in names if not re.fullmatch(r"h\d+\.\d+", name)]
    if odd:
        raise _unreadable(file, f"'{odd[0]}' is not a unit's name")
    return record


def require_record(name: str, record: object) -> None:
    """Refuse what is not a record of a circuit, as `record_of` gives it."""
    wrong = _misshapen(record, CircuitRecord, "")
    if wrong:
        raise XorMiError(f"{name} is not a record: {wrong}; give what record_of returns")


def _unreadable(file: Path, why: str) -> XorMiError:
    return XorMiError(
        f"the baseline '{file}' cannot be read: {why}; take it back from version control, or write "
        "it anew with pytest --force-regen"
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number a baseline can hold")


# Format 1 told its claims apart by their sentences alone. These are words in the files that it
# wrote, whatever the sentences of today are; nothing but this upgrade looks at them.
_WORDS_OF_FORMAT_1: dict[str, ClaimKind] = {
    "two levels": "substitution",
    "acts as": "interchange",
    "act together": "joint",
    "necessary": "necessary",
    "sufficient": "sufficient",
    "not named": "control",
}


def _from_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """A record of format 1 as one of today; what is misshapen stays so, and is refused as such."""
    new = content | {"version": VERSION}
    if isinstance(content.get("units"), list):
        new["units"] = [_unit_from_format_1(unit) for unit in content["units"]]
    if isinstance(content.get("evidence"), list):
        new["evidence"] = [_claim_from_format_1(claim) for claim in content["evidence"]]
    new["wrong_rows"] = {}
    if content.get("verdict") == "not_computing":
        # The rows stood in the reason only; what was decided on them did not stand anywhere.
        new["wrong_rows"] = {row: [] for row in re.findall(r"\b[01]+\b", str(new.get("reason")))}
    return new


def _unit_from_format_1(unit: object) -> object:
    if not isinstance(unit, dict) or not isinstance(unit.get("note"), str):
        return unit
    rest = {key: value for key, value in unit.items() if key != "note"}
    return rest | {"constant": unit["note"] != ""}


def _claim_from_format_1(claim: object) -> object:
    if not isinstance(claim, dict) or not isinstance(claim.get("claim"), str):
        return claim
    text = claim["claim"]
    kinds = [kind for words, kind in _WORDS_OF_FORMAT_1.items() if words in text]
    rest = {key: value for key, value in claim.items() if key != "unit"}
    upgraded = {"units": re.findall(r"\bh\d+\.\d+\b", text), "counted": claim.get("unit")}
    return rest | upgraded | ({"kind": kinds[0]} if kinds else {})


def _misshapen(value: object, kind: Any, where: str) -> str:
    """Where a value is not of the kind that the format asks for, or ''."""
    if is_typeddict(kind):
        return _misshapen_entries(value, get_type_hints(kind), where)
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            return f"{where or 'it'} is not an object"
        _, entry = get_args(kind)
        return _first(_misshapen(one, entry, f"{where}.{key}") for key, one in value.items())
    if get_origin(kind) is list:
        if not isinstance(value, list):
            return f"'{where.lstrip('.')}' is not a list"
        (entry,) = get_args(kind)
        return _first(_misshapen(one, entry, f"{where}[{k}]") for k, one in enumerate(value))
    if get_origin(kind) is Literal:
        exists = get_args(kind)
        wrong = f"{_shown(value, where)}, not one of {', '.join(exists)}"
        return "" if value in exists else wrong
    kinds = set(get_args(kind)) if isinstance(kind, UnionType) else {kind}
    # type() and not isinstance: true is not a number here
    if type(value) in kinds or (float in kinds and type(value) is int):
        return ""
    names = " or ".join(sorted("null" if one is NoneType else one.__name__ for one in kinds))
    return f"{_shown(value, where)}, not {names}"


def _shown(value: object, where: str) -> str:
    """'units[0].live' is 1: a value as the file has it."""
    # default: a record that was never in a file may hold anything
    return f"'{where.lstrip('.')}' is {json.dumps(value, default=repr)}"


def _misshapen_entries(value: object, entries: dict[str, Any], where: str) -> str:
    if not isinstance(value, dict):
        return f"{where or 'it'} is not an object"
    missing = [f"{where}.{key}".lstrip(".") for key in entries if key not in value]
    if missing:
        return f"'{missing[0]}' is missing"
    return _first(_misshapen(value[key], kind, f"{where}.{key}") for key, kind in entries.items())


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


def _text(record: CircuitRecord) -> str:
    """JSON with one entry per line, and one line per unit and claim."""
    lines = []
    for key, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            entries = ",\n".join(f"    {_json(entry)}" for entry in value)
            lines.append(f"  {_json(key)}: [\n{entries}\n  ]")
        else:
            lines.append(f"  {_json(key)}: {_json(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
