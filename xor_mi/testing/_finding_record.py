"""finding -> record: the table of any finding, and what was measured and how, for a baseline;
record <-> file.

A column is compared exactly (names, gates, verdicts, decisions, counts) or has numbers that are
compared with a tolerance. The type of its values decides which."""

import math
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, Literal, TypedDict, cast

import pandas as pd

from xor_mi.circuits import Circuit
from xor_mi.errors import XorMiError, as_path, cut_short, require_at_most, require_kind, shown
from xor_mi.finding import Finding
from xor_mi.interventions import Coordinates
from xor_mi.kinds import PathLike
from xor_mi.reading import read_json
from xor_mi.testing._entries import (
    FINDING_FORMAT,
    FINDING_VERSION,
    FORMAT,
    Cell,
    ColumnKind,
    FindingRecord,
    release_of,
)
from xor_mi.testing._format import NEXT_STEP, misshapen
from xor_mi.testing._record import found_with, short

MAX_CELLS = 200_000
"""The most cells of a stored table, some megabytes of text."""
NOT_FINITE = {"inf": math.inf, "-inf": -math.inf}
"""Numbers that JSON does not have, as texts; NaN is null."""

FindingLike = Finding | pd.DataFrame
"""A finding with a table, or such a table itself."""


def record_of_finding(finding: FindingLike, *, test: str = "") -> FindingRecord:
    """The stored form of a finding of any model, such as a sweep, a scan or an interchange
    accuracy; JSON-ready.

    Args:
        finding: a finding with a table, or a DataFrame, such as a part of a larger table.
        test: the name of the test that the record belongs to.

    >>> from xor_mi.handmade import textbook_xor
    >>> from xor_mi import ablation_sweep
    >>> record = record_of_finding(ablation_sweep(textbook_xor(), value="zero", rows=["11"]))
    >>> record["columns"]["effect_output"], record["lines"][0]["effect_output"]
    ('number', -2.0)

    Raises:
        XorMiError: a value that is not a finding, a finding without a table, a circuit (see
            `record_of`), or a table that is too large.
    """
    require_kind(
        "finding", finding, (Finding, pd.DataFrame), give="a finding, such as a sweep, or its table"
    )
    if isinstance(finding, Circuit):
        raise XorMiError("a circuit has a record of its own; call record_of")
    table = _tidy(finding if isinstance(finding, pd.DataFrame) else finding.frame())
    names = [str(name) for name in table.columns]
    if len(set(names)) < len(names):
        raise XorMiError(f"the table has two columns of one name: {', '.join(names)}")
    require_at_most(
        table.size,
        MAX_CELLS,
        what="cells of the table",
        do="store a part of it: a DataFrame, such as the lines that matter",
    )
    columns = [_column(table.iloc[:, k]) for k in range(len(names))]
    kinds: dict[str, ColumnKind] = {
        name: kind for name, (kind, _) in zip(names, columns, strict=True)
    }
    cells = [values for _, values in columns]
    lines = [dict(zip(names, line, strict=True)) for line in zip(*cells, strict=True)]
    return {
        "format": FINDING_FORMAT,
        "version": FINDING_VERSION,
        "test": test,
        "versions": {package: release_of(version) for package, version in found_with().items()},
        "kind": type(finding).__name__,
        "says": str(finding) if isinstance(finding, Finding) else f"{len(lines)} lines",
        "how": _how(finding),
        "head": dict(_head(finding.head() if isinstance(finding, Finding) else {})),
        "columns": kinds,
        "lines": lines,
    }


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a named index as columns; an unnamed index only numbers the lines."""
    has_names = any(name is not None for name in table.index.names)
    return table.reset_index() if has_names else table


def _how(finding: FindingLike) -> dict[str, str]:
    """The coordinates of an intervention; {} for anything else."""
    found = getattr(finding, "coordinates", None)
    if not isinstance(found, Coordinates):
        return {}
    return {name: str(value) for name, value in found._asdict().items()}


def _head(entries: Mapping[str, object], of: str = "") -> Iterator[tuple[str, Cell]]:
    """What was measured and how, each entry with its own name, such as 'n_possible.either'."""
    for key, value in entries.items():
        name = f"{of}{key}"
        if isinstance(value, Mapping):
            yield from _head(cast(Mapping[str, object], value), f"{name}.")
        else:
            yield name, _stored_exactly(_cell(value))


def _column(values: pd.Series) -> tuple[ColumnKind, list[Cell]]:
    """A column's kind, and its values for JSON."""
    cells = [_cell(value) for value in values]
    # a column of floats may have no number on any line
    is_of_floats = pd.api.types.is_float_dtype(values.dtype)
    measured = is_of_floats or any(type(cell) is float for cell in cells)
    if measured and all(_is_number(cell) or cell is None for cell in cells):
        return "number", [_stored_number(cell) for cell in cells]
    return "exact", [_stored_exactly(cell) for cell in cells]


def _cell(value: Any) -> Cell:
    """One value in the types of JSON; NaN, None and NA are null."""
    if isinstance(value, list | tuple | set | frozenset):
        entries = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_cell(entry) for entry in entries]
    if hasattr(value, "tolist"):
        # a number, a text or an array of NumPy
        value = value.tolist()
        return [_cell(entry) for entry in value] if isinstance(value, list) else _cell(value)
    if value is None or value is pd.NA:
        return None
    if isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return None if math.isnan(number) else number
    return str(value)


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _stored_number(cell: Cell) -> Cell:
    if cell is None:
        return None
    number = float(cast(float, cell))
    return short(number) if math.isfinite(number) else str(number)


def _stored_exactly(cell: Cell) -> Cell:
    """The same cell, with floats cut to the digits that are stored."""
    if isinstance(cell, list):
        return [_stored_exactly(entry) for entry in cell]
    return _stored_number(cell) if isinstance(cell, float) else cell


def number_in(cell: Cell) -> float | None:
    """The number in a cell of a column of numbers."""
    if isinstance(cell, str):
        return NOT_FINITE[cell]
    return None if cell is None else float(cast(float, cell))


# record <-> file


def read_finding_record(path: PathLike) -> FindingRecord:
    """A record of a finding from a file that `write_record` wrote.

    Raises:
        XorMiError: a file that is not JSON or not a record of a finding; a record with entries that
            are missing, of another kind or without sense; or a record of another format. The
            message says where.
    """
    file = as_path("path", path)
    called = f"the baseline '{file}'"
    content = read_json(file, called=called, next_step=NEXT_STEP)
    format_of_it = content.get("format") if isinstance(content, dict) else None
    if not isinstance(content, dict) or format_of_it != FINDING_FORMAT:
        hint = "; it is of a circuit, which read_record reads" * (format_of_it == FORMAT)
        raise XorMiError(
            f"{called} cannot be read: it has no 'format': '{FINDING_FORMAT}'{hint}; {NEXT_STEP}"
        )
    version = content.get("version")
    # checked before the shape, which a later format may have changed
    if isinstance(version, int) and version > FINDING_VERSION:
        raise XorMiError(
            f"{called} is of format {version}; this xor-mi reads up to {FINDING_VERSION}: "
            "install a later xor-mi"
        )
    if isinstance(version, int) and version < FINDING_VERSION:
        raise XorMiError(
            f"{called} is of format {version}, which did not hold what was measured and how; write "
            "it anew with pytest --force-regen"
        )
    wrong = _wrong_in(content)
    if wrong:
        raise XorMiError(f"{called} cannot be read: {wrong}; {NEXT_STEP}")
    return cast(FindingRecord, content)


def require_finding_record(name: str, record: object) -> None:
    """Refuse anything but a record of a finding, as `record_of_finding` returns it."""
    wrong = _wrong_in(record)
    if wrong:
        raise XorMiError(f"{name} is not a record: {wrong}; give what record_of_finding returns")


class _Head(TypedDict):
    """The entries of a record without those that hold cells."""

    format: Literal["xor_mi.finding"]
    version: int
    test: str
    versions: dict[str, str]
    kind: str
    says: str
    how: dict[str, str]
    columns: dict[str, ColumnKind]


def _wrong_in(content: object) -> str:
    """The first value of a record that has the wrong kind or makes no sense; or ''."""
    wrong = misshapen(content, _Head)
    if wrong:
        return wrong
    record = cast(Mapping[str, Any], content)
    head = record.get("head")
    if not isinstance(head, dict):
        return "'head' is not an object"
    for name, cell in cast(dict[str, object], head).items():
        if not _fits(cell, "exact"):
            return f"'head.{cut_short(name)}' is {shown(cell)}, not {_ASKED['exact']}"
    lines, columns = record.get("lines"), record["columns"]
    if not isinstance(lines, list):
        return "'lines' is not a list"
    for number, line in enumerate(lines):
        where = f"lines[{number}]"
        if not isinstance(line, dict):
            return f"'{where}' is not an object"
        odd = sorted(set(line) ^ set(columns))
        if odd:
            which = "is missing" if odd[0] in columns else "is not a column"
            return f"'{where}.{cut_short(odd[0])}' {which}"
        for name, cell in line.items():
            if not _fits(cell, columns[name]):
                return f"'{where}.{cut_short(name)}' is {shown(cell)}, not {_ASKED[columns[name]]}"
    return ""


_ASKED: dict[str, str] = {
    "number": "a number, inf, -inf or null",
    "exact": "a text, a number, true, false, null or a list of these",
}


def _fits(cell: object, kind: str) -> bool:
    if kind == "number":
        is_word = isinstance(cell, str) and cell in NOT_FINITE
        return cell is None or is_word or (_is_number(cell) and math.isfinite(cast(float, cell)))
    if isinstance(cell, list):
        return all(_fits(entry, kind) for entry in cast(Iterable[object], cell))
    if isinstance(cell, float):
        return math.isfinite(cell)
    return cell is None or isinstance(cell, str | int | bool)
