"""record <-> file: the format of a stored circuit, JSON that a person can read and a diff shows
line by line.

A record that is read has the kinds of values in `_entries`, and passes the checks in `_checks`."""

import json
import math
import re
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints, is_typeddict

from xor_mi.circuits import Circuit
from xor_mi.errors import MAX_VALUE_SHOWN, XorMiError, as_path, cut_short, require_kind, shown
from xor_mi.kinds import PathLike
from xor_mi.model import HookedMLP
from xor_mi.reading import read_json
from xor_mi.saving import write_file
from xor_mi.testing._checks import nonsense_in
from xor_mi.testing._entries import FORMAT, VERSION, CircuitRecord, ClaimKind, FindingRecord

NEXT_STEP = "take it back from version control, or write it anew with pytest --force-regen"
"""What to do about a baseline that cannot be read."""

LONGEST_PATH = 250
"""The most characters of a file name in a message; longer texts are not file names."""


def write_record(record: CircuitRecord | FindingRecord, path: PathLike) -> None:
    """Write the record as JSON, with one unit, one claim or one line of a table per line.

    Another process sees either the old file or the new one, never a part of it.

    An existing file of that name is always replaced, because --force-regen must be able to replace
    a damaged baseline.
    """
    require_kind("record", record, dict, give="what record_of or record_of_finding returns")
    write_file(as_path("path", path), _text(record))


def read_record(path: PathLike) -> CircuitRecord:
    """A record from a file; an earlier format is converted to the current one.

    Raises:
        XorMiError: a file that is not JSON or not a record; a record with entries that are missing,
            of another kind or without sense; or a record of a later format. The message says where.
    """
    file = as_path("path", path)
    called = f"the baseline '{cut_short(str(file), at_most=LONGEST_PATH)}'"
    return record_in(read_json(file, called=called, next_step=NEXT_STEP), called=called)


def record_in(content: object, *, called: str) -> CircuitRecord:
    """The JSON content of a record -> the record; an earlier format is converted to the current
    one.

    Args:
        called: the name of the file or text in messages.

    Raises:
        XorMiError: as in `read_record`.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _unreadable(called, f"it has no 'format': '{FORMAT}'")
    version = content.get("version")
    # checked before the shape, which a later format may have changed
    if isinstance(version, int) and version > VERSION:
        raise XorMiError(
            f"{called} is of format {version}; this xor-mi reads up to {VERSION}: "
            "install a later xor-mi"
        )
    if version == 1:
        content = _from_format_1(content)
    if version in (1, 2):
        content = _from_format_2(content)
    wrong = _wrong_in(content)
    if wrong:
        raise _unreadable(called, wrong)
    return cast(CircuitRecord, content)


def require_record(name: str, record: object) -> None:
    """Refuse what is not a record of a circuit, as `record_of` gives it."""
    if isinstance(record, HookedMLP | Circuit):
        kind = type(record).__name__
        what = "circuit" if isinstance(record, Circuit) else "network"
        raise XorMiError(f"{name} is a {kind}, not its record; give record_of({what})")
    wrong = _wrong_in(record)
    if wrong:
        raise XorMiError(f"{name} is not a record: {wrong}; give what record_of returns")


def _wrong_in(content: object) -> str:
    """The first value of a record that has the wrong kind or makes no sense; or ''."""
    return misshapen(content, CircuitRecord) or nonsense_in(cast(CircuitRecord, content))


def _unreadable(called: str, why: str) -> XorMiError:
    return XorMiError(f"{called} cannot be read: {why}; {NEXT_STEP}")


# Format 1 had no kinds of claims, only sentences. These words are in the files of that format,
# whatever today's sentences are; only this conversion reads them.
_WORDS_OF_FORMAT_1: dict[str, ClaimKind] = {
    "two levels": "substitution",
    "acts as": "interchange",
    "act together": "joint",
    "necessary": "necessary",
    "sufficient": "sufficient",
    "not named": "control",
}


def _from_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """A record of format 1 as one of format 2; misshapen entries stay misshapen, and are refused
    later.
    """
    new = dict(content)
    if isinstance(content.get("units"), list):
        new["units"] = [_unit_from_format_1(unit) for unit in content["units"]]
    if isinstance(content.get("evidence"), list):
        new["evidence"] = [_claim_from_format_1(claim) for claim in content["evidence"]]
    new["wrong_rows"] = {}
    if content.get("verdict") == "not_computing":
        # the rows were only in the reason, and their decisions were not stored
        new["wrong_rows"] = {row: [] for row in re.findall(r"\b[01]+\b", str(new.get("reason")))}
    return new


# format 2 counted readings; what it did not measure is unknown
_NEW_IN_FORMAT_3 = ("require", "min_margin", "proof_level", "n_circuits", "n_passing")


def _from_format_2(content: dict[str, Any]) -> dict[str, Any]:
    """A record of format 2 in the current format, with null for what it does not have."""
    return dict.fromkeys(_NEW_IN_FORMAT_3) | content | {"version": VERSION}


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


def misshapen(value: object, kind: Any, where: str = "") -> str:
    """The place where a value does not have the kind of the format, or ''."""
    if is_typeddict(kind):
        return _misshapen_entries(value, kind, where)
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            return f"{_place(where) or 'it'} is not an object"
        _, entry = get_args(kind)
        return _first(misshapen(one, entry, f"{where}.{key}") for key, one in value.items())
    if get_origin(kind) is list:
        if not isinstance(value, list):
            return f"'{_place(where)}' is not a list"
        (entry,) = get_args(kind)
        return _first(misshapen(one, entry, f"{where}[{k}]") for k, one in enumerate(value))
    if get_origin(kind) is Literal:
        exists = get_args(kind)
        wrong = f"{_shown(value, where)}, not one of {', '.join(exists)}"
        return "" if value in exists else wrong
    kinds = set(get_args(kind)) if isinstance(kind, UnionType) else {kind}
    # type() and not isinstance, because true is not a number here
    if type(value) in kinds or (float in kinds and type(value) is int):
        # a record that was never in a file may hold NaN, which JSON lacks
        is_number = isinstance(value, float) and not math.isfinite(value)
        return f"'{_place(where)}' is {value}, not a finite number" if is_number else ""
    names = " or ".join(sorted("null" if one is NoneType else one.__name__ for one in kinds))
    return f"{_shown(value, where)}, not {names}"


def _shown(value: object, where: str) -> str:
    """ "'units[0].live' is 1": the place and the value, as in the file."""
    # default: a record that was never in a file may hold anything
    text = json.dumps(value, default=repr)
    return f"'{_place(where)}' is {text if len(text) <= MAX_VALUE_SHOWN else shown(value)}"


def _place(where: str) -> str:
    """The path to a value; it may contain keys from the file."""
    return cut_short(where.lstrip("."))


def _misshapen_entries(value: object, kind: Any, where: str) -> str:
    """The same for entries, of which optional ones may be missing."""
    entries = get_type_hints(kind)
    required = [key for key in entries if key in kind.__required_keys__]
    if not isinstance(value, dict):
        return f"{_place(where) or 'it'} is not an object"
    missing = [f"{where}.{key}".lstrip(".") for key in required if key not in value]
    if missing:
        return f"'{missing[0]}' is missing"
    there = {key: kind for key, kind in entries.items() if key in value}
    return _first(misshapen(value[key], kind, f"{where}.{key}") for key, kind in there.items())


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


def _text(record: CircuitRecord | FindingRecord) -> str:
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
