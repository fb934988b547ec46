"""two records of findings -> FindingDifferences: lines that are gone or new, then cells that
changed, then numbers; what was measured and how comes before the lines of the table.

Lines are matched by their names, such as pair and site, not by their order. Lines of the same name,
such as two cuts of one unit, are matched by their exact cells, and the rest in order."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from xor_mi.errors import cut_short
from xor_mi.kinds import Number
from xor_mi.testing._compare import (
    DEFAULT_TOLERANCE,
    Tolerance,
    moved,
    notes_on_releases,
    tolerances,
    unit_beside,
)
from xor_mi.testing._entries import Cell, FindingRecord
from xor_mi.testing._finding_record import number_in, require_finding_record

Line = Mapping[str, Cell]

NAMING = frozenset(
    {
        *("pair", "clean", "corrupted", "direction", "row", "seed", "base", "sources", "input"),
        *(
            "site",
            "sites",
            "n_sites",
            "hook",
            "index",
            "unit",
            "layer",
            "path",
            "sender",
            "receiver",
        ),
        *("receivers", "what", "variable", "control", "method", "metric", "output"),
    }
)
"""The columns that name a line; the other columns have its results."""
OF_A_METRIC = ("clean_", "corrupted_", "patched_", "effect_", "before_", "after_", "mean_effect_")
"""Prefixes of columns: columns with one of these and the same rest are in the units of one metric.
"""
SHARES = ("recovered_fraction",)
"""Prefixes of columns whose unit is always 1, however small they are: shares of a difference."""
MOST_SHOWN = 20
"""The most lines that are gone, new lines, and cells in a message."""
MAX_CELL_SHOWN = 80
"""The most characters of a cell in a message."""


@dataclass(frozen=True)
class FindingDifferences:
    """The differences of a finding from another; false if there are none.

    Attributes:
        lines: texts on columns and lines of the table that are gone or new.
        cells: texts on values that are compared exactly and changed: names, gates, decisions,
            counts.
        numbers: texts on numbers that changed by more than their tolerance.
        same: how many lines did not change, as text.
        notes: texts on possible causes of a difference: another intervention, other releases.
    """

    lines: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    same: str = ""
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lines or self.cells or self.numbers)

    def __str__(self) -> str:
        """Lines first, then changed cells, unchanged lines, numbers and notes."""
        said = [*self.lines, *_first_of(self.cells)]
        if self.numbers and not said:
            said.append("names, gates, decisions and counts are as before; numbers changed")
        if self.same:
            said.append(f"as before: {self.same}")
        if self.numbers:
            said.append("numbers:")
            said += [f"  {number}" for number in _first_of(self.numbers)]
        return "\n".join([*said, *self.notes])


class _Matched(NamedTuple):
    """A line of the baseline and one of the finding; None for a line without a partner."""

    old: Line | None
    new: Line | None


def compare_findings(
    old: FindingRecord, new: FindingRecord, *, tolerance: Tolerance = DEFAULT_TOLERANCE
) -> FindingDifferences:
    """The differences of a finding's record from a baseline's record.

    Args:
        tolerance: a number changed if |new - old| > tolerance * size + tolerance * |old|, where
            size is 1 or, if that is smaller, the largest number of its column, or of all columns of
            its metric; for a number of the head, that number itself. One for all numbers, or one
            per column of numbers or number of the head, where the rest keeps the default; None
            compares no numbers.

    >>> from xor_mi.handmade import textbook_xor
    >>> from xor_mi import ablation_sweep
    >>> from xor_mi.testing import record_of_finding
    >>> both = [ablation_sweep(textbook_xor(), value=value) for value in ("zero", "mean")]
    >>> old, new = (record_of_finding(sweep) for sweep in both)
    >>> print(compare_findings(old, new, tolerance=None).cells[1])
    site h0.0, row 00: decision_after: 0 -> 1, flips: False -> True, right: True -> False

    Raises:
        XorMiError: an argument that is not a record, or a tolerance that is negative, not finite or
            for a column without numbers.
    """
    for name, record in (("old", old), ("new", new)):
        require_finding_record(name, record)
    shared = [name for name in new["columns"] if name in old["columns"]]
    measured = [name for name in shared if _is_measured(name, old, new)]
    of_head = _numbers_of_head(old["head"], new["head"])
    every = tolerances(tolerance, [*measured, *of_head], kind="column of numbers")
    bounds = {name: every[name] for name in measured}
    if old["kind"] != new["kind"]:
        kinds = f"{cut_short(old['kind'])} -> {new['kind']}"
        return FindingDifferences(lines=(f"another kind of finding: {kinds}",))
    named_by = [name for name in shared if name in NAMING and name not in measured]
    exact = [name for name in shared if name not in measured]
    pairs = _matched(old["lines"], new["lines"], named_by, exact)
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    names = _Names(named_by, old["lines"], new["lines"])
    cells = [_cells_changed(a, b, exact, measured, names) for a, b in both]
    numbers: list[list[str]] = [[] for _ in both]
    if tolerance is not None:
        units = _units(old, measured)
        numbers = [_numbers_moved(a, b, bounds, units, names) for a, b in both]
    n_same = sum(not said and not off for said, off in zip(cells, numbers, strict=True))
    lines = [*_columns_changed(old, new), *_lines_changed(pairs, names)]
    bounds_of_head = {} if tolerance is None else {name: every[name] for name in of_head}
    found = FindingDifferences(
        lines=tuple(lines),
        cells=(*_head_changed(old["head"], new["head"], of_head), *chain.from_iterable(cells)),
        numbers=(
            *_head_moved(old["head"], new["head"], bounds_of_head),
            *chain.from_iterable(numbers),
        ),
        same=f"{n_same} of {len(new['lines'])} lines",
    )
    if not found:
        return FindingDifferences()
    notes = tuple(_notes(old, new, is_of_numbers=bool(found.numbers)))
    return FindingDifferences(
        lines=found.lines, cells=found.cells, numbers=found.numbers, same=found.same, notes=notes
    )


def _is_measured(name: str, old: FindingRecord, new: FindingRecord) -> bool:
    """Whether a column has numbers on one side, and nothing else on the other."""
    kinds = {old["columns"][name], new["columns"][name]}
    if kinds != {"exact", "number"}:
        return kinds == {"number"}
    side = old if old["columns"][name] == "exact" else new
    cells = [line[name] for line in side["lines"]]
    # whole numbers, or no number on any line
    return all(cell is None or type(cell) is int for cell in cells)


# the head: what was measured and how


def _numbers_of_head(old: Line, new: Line) -> list[str]:
    """The entries that are numbers on both sides, and not whole on at least one of them."""
    shared = [name for name in new if name in old]
    return [name for name in shared if {type(old[name]), type(new[name])} in _MEASURED]


_MEASURED = ({float}, {float, int})
"""A measured number may happen to be whole; a count always is."""


def _head_changed(old: Line, new: Line, measured: Collection[str]) -> list[str]:
    """One text for all changed entries that are compared exactly, with those on one side only."""
    names = [name for name in dict.fromkeys([*new, *old]) if name not in measured]
    changed = [name for name in names if _key(old.get(name)) != _key(new.get(name))]
    if not changed:
        return []
    said = [f"{name}: {_shown(old.get(name))} -> {_shown(new.get(name))}" for name in changed]
    return [f"what was measured: {', '.join(said)}"]


def _head_moved(old: Line, new: Line, bounds: Mapping[str, Number]) -> list[str]:
    """The numbers that moved by more than their tolerance."""
    texts: list[str] = []
    for name, bound in bounds.items():
        was, now = number_in(old[name]), number_in(new[name])
        assert was is not None and now is not None  # noqa: PT018
        said = moved(name, was, now, bound, unit=unit_beside([was]))
        texts += [f"what was measured: {said}"] if said else []
    return texts


# lines


class _Names:
    """The name of a line: the cells of its naming columns, without those that are the same on all
    lines, and without clean and corrupted if there is a pair.
    """

    def __init__(self, columns: Sequence[str], *tables: Sequence[Line]) -> None:
        lines = list(chain.from_iterable(tables))
        numbered = chain.from_iterable(enumerate(table, start=1) for table in tables)
        self._numbers = {id(line): number for number, line in numbered}
        several = [name for name in columns if len({_key(line[name]) for line in lines}) > 1]
        said = several or list(columns)
        if "pair" in said:
            said = [name for name in said if name not in ("clean", "corrupted")]
        if "site" in said:
            said = [name for name in said if name not in ("hook", "index", "n_sites")]
        self._columns = said

    def of(self, line: Line) -> str:
        """'pair 01 -> 11, site h0.1', or 'line 3' if it has no naming cells."""
        named = [f"{name} {_shown(line[name])}" for name in self._columns]
        return ", ".join(named) or f"line {self._numbers[id(line)]}"


def _key(cell: Cell) -> str:
    """A cell as a hashable text, in which 1 and true differ."""
    return repr(cell)


def _matched(
    old: Sequence[Line], new: Sequence[Line], named_by: Sequence[str], exact: Sequence[str]
) -> list[_Matched]:
    """Every line in one pair, in the order of the finding; lines that are gone come last."""
    partner: dict[int, Line] = {}
    waiting = list(old)
    # first lines with the same exact cells, then the others in their order
    for columns in ([*named_by, *exact], named_by):
        by_name: dict[tuple[str, ...], deque[Line]] = {}
        for line in waiting:
            by_name.setdefault(_of(line, columns), deque()).append(line)
        for number, line in enumerate(new):
            candidates = by_name.get(_of(line, columns))
            if number not in partner and candidates:
                partner[number] = candidates.popleft()
        waiting = [line for lines in by_name.values() for line in lines]
    pairs = [_Matched(partner.get(number), line) for number, line in enumerate(new)]
    return [*pairs, *(_Matched(line, None) for line in waiting)]


def _of(line: Line, columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(_key(line[name]) for name in columns)


def _columns_changed(old: FindingRecord, new: FindingRecord) -> list[str]:
    gone = [name for name in old["columns"] if name not in new["columns"]]
    added = [name for name in new["columns"] if name not in old["columns"]]
    said = [f"column '{cut_short(name)}' is gone" for name in gone]
    return said + [f"column '{cut_short(name)}' is new" for name in added]


def _lines_changed(pairs: Sequence[_Matched], names: _Names) -> list[str]:
    gone = [f"gone: {names.of(a)}" for a, b in pairs if a is not None and b is None]
    added = [f"new: {names.of(b)}" for a, b in pairs if a is None and b is not None]
    return [*_first_of(gone), *_first_of(added)]


# cells


def _cells_changed(
    old: Line, new: Line, exact: Sequence[str], measured: Sequence[str], names: _Names
) -> list[str]:
    """One text for all changed cells of a line, including numbers that are on one side only."""
    changed = [name for name in exact if _key(old[name]) != _key(new[name])]
    changed += [name for name in measured if (old[name] is None) != (new[name] is None)]
    if not changed:
        return []
    said = [f"{name}: {_shown(old[name])} -> {_shown(new[name])}" for name in changed]
    return [f"{names.of(new)}: {', '.join(said)}"]


def _units(old: FindingRecord, measured: Sequence[str]) -> dict[str, float]:
    """Column -> the unit of its absolute tolerance."""
    groups: dict[str, list[float]] = {}
    for name in measured:
        numbers = [number_in(line[name]) for line in old["lines"]]
        groups.setdefault(_metric_of(name), []).extend(one for one in numbers if one is not None)
    return {
        name: 1.0 if name.startswith(SHARES) else unit_beside([*groups[_metric_of(name)], 0.0])
        for name in measured
    }


def _metric_of(name: str) -> str:
    """'a metric logit' for effect_logit and similar columns; for others, the name."""
    starts = [start for start in OF_A_METRIC if name.startswith(start)]
    return f"a metric {name.removeprefix(starts[0])}" if starts else name


def _numbers_moved(
    old: Line,
    new: Line,
    bounds: Mapping[str, Number],
    units: Mapping[str, float],
    names: _Names,
) -> list[str]:
    lines = []
    for name, bound in bounds.items():
        was, now = number_in(old[name]), number_in(new[name])
        # a number on one side only is a changed cell; infinity minus infinity is nan
        if was is None or now is None or was == now:
            continue
        said = moved(name, was, now, bound, unit=units[name])
        lines += [f"{names.of(new)}: {said}"] if said else []
    return lines


# words


def _shown(cell: Cell) -> str:
    if cell is None:
        return "nothing"
    text = cell if isinstance(cell, str) else str(cell)
    return cut_short(text, at_most=MAX_CELL_SHOWN) or "''"


def _first_of(texts: Sequence[str]) -> list[str]:
    n_more = len(texts) - MOST_SHOWN
    more = [f"... and {n_more} more"] if n_more > 0 else []
    return [*texts[:MOST_SHOWN], *more]


def _notes(old: FindingRecord, new: FindingRecord, *, is_of_numbers: bool) -> Iterator[str]:
    """Hints on where a difference may come from."""
    for name, now in new["how"].items():
        was = old["how"].get(name)
        if was is not None and was != now:
            yield f"made with another {name}: {cut_short(was)} -> {cut_short(now)}"
    if is_of_numbers:
        yield from notes_on_releases(old["versions"], new["versions"])
