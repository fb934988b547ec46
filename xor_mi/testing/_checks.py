"""a record -> its entries that make no sense, although every value is of the right kind.

A baseline that was edited by hand or merged badly is refused before it is compared; otherwise
nonsense would appear as a difference, or as none."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence

from xor_mi.circuits import MAX_UNITS, PROOF_LEVELS
from xor_mi.errors import cut_short, shown
from xor_mi.graph import edges_of, layers_of
from xor_mi.model import DecisionRule
from xor_mi.testing._entries import (
    CircuitRecord,
    ConventionsRecord,
    SetsRecord,
    conventions_of,
)
from xor_mi.truth import MAX_INPUTS

MOST_CHARACTERS = 500_000
"""The most characters of a text in a record; the longest formula of one gate, of twelve inputs, has
under 100,000.
"""
FREE_TEXT = {"test"}
"""Entries that a person writes, not this package; messages cut and escape them."""

Sizes = Sequence[int]
"""(inputs, units of each hidden layer, outputs)."""


def nonsense_in(record: CircuitRecord) -> str:
    """The first entry that contradicts another or is impossible, and why; or ''."""
    return next(_complaints(record), "")


def _complaints(record: CircuitRecord) -> Iterator[str]:
    """All complaints, in an order in which each may rely on the checks before; only the first is
    used.
    """
    for key, value in record.items():
        if key in CircuitRecord.__annotations__ and key not in FREE_TEXT:
            yield from _of_texts(value, key)
    sizes = record["layer_sizes"]
    yield from _of_sizes(sizes, n_units=len(record["units"]))
    conventions = conventions_of(record)
    yield from _of_conventions(conventions, n_outputs=sizes[-1])
    yield from _of_tables(record["target"]["tables"], sizes, conventions)
    n_decisions = len(record["target"]["tables"])
    yield from _of_proof(record)
    yield from _of_verdict(record)
    yield from _of_wrong_rows(record["wrong_rows"], record["verdict"], sizes[0], n_decisions)
    units = {unit.name for layer in layers_of(sizes)[1:-1] for unit in layer}
    yield from _of_names(
        "units[{}].unit", [unit["unit"] for unit in record["units"]], units, "a hidden unit"
    )
    yield from _of_numbers(record)
    edges = {edge.name for edge in edges_of(sizes, direct=conventions["direct"])}
    yield from _of_names("edges[{}]", record["edges"], edges, f"an edge of {_written(sizes)}")
    if not record["families"]:
        yield "'families' is empty"
    yield from _of_sets("necessary_sets", record["necessary_sets"], units)
    yield from _of_sets("sufficient_sets", record["sufficient_sets"], units)
    for k, claim in enumerate(record["evidence"]):
        yield from _of_names(f"evidence[{k}].units[{{}}]", claim["units"], units, "a hidden unit")
        if claim["n"] < 0:
            yield f"'evidence[{k}].n' is {claim['n']}, not a count"


def _of_texts(value: object, where: str) -> Iterator[str]:
    """Texts that are too long for a line, or that must not be sent to a terminal."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _of_texts(key, where)
            yield from _of_texts(entry, f"{where}.{key}")
    elif isinstance(value, list):
        for k, entry in enumerate(value):
            yield from _of_texts(entry, f"{where}[{k}]")
    elif isinstance(value, str):
        if len(value) > MOST_CHARACTERS:
            yield f"'{cut_short(where)}' has {len(value):,} characters; at most {MOST_CHARACTERS:,}"
        if not value.isprintable():
            yield f"'{cut_short(where)}' is {_quoted(value)}, which cannot be printed"


def _of_sizes(sizes: Sizes, *, n_units: int) -> Iterator[str]:
    if len(sizes) < 3:
        yield f"'layer_sizes' is {sizes}, not inputs, hidden layers and outputs"
    for k, size in enumerate(sizes):
        # the number of outputs is that of the tables, which is checked below
        is_output = k == len(sizes) - 1
        most = MAX_INPUTS if k == 0 else MAX_UNITS
        if size < 1 or (size > most and not is_output):
            yield f"'layer_sizes[{k}]' is {size}, not 1 to {most}"
    if n_units != sum(sizes[1:-1]):
        yield f"'units' has {n_units} units, and 'layer_sizes' says {sum(sizes[1:-1])}"


def _of_conventions(conventions: ConventionsRecord, *, n_outputs: int) -> Iterator[str]:
    levels = conventions["input_levels"]
    if len(levels) != 2 or levels[0] == levels[1]:
        yield f"'conventions.input_levels' is {shown(levels)}, not two different numbers"
    if conventions["step_at_zero"] not in (0, 1):
        yield f"'conventions.step_at_zero' is {conventions['step_at_zero']}, not 0 or 1"
    if conventions["decision_rule"] == "argmax" and n_outputs < 2:
        yield f"'conventions.decision_rule' is \"argmax\", and there is {n_outputs} output"


def _of_tables(
    tables: Sequence[Sequence[int]], sizes: Sizes, conventions: ConventionsRecord
) -> Iterator[str]:
    rule = DecisionRule(conventions["decision_rule"])
    n_decisions = rule.n_decisions(sizes[-1])
    if len(tables) != n_decisions:
        one = ", which are one decision" if n_decisions < sizes[-1] else ""
        yield f"'target.tables' has {len(tables)} tables for {sizes[-1]} outputs{one}"
    n_rows = 2 ** sizes[0]
    for k, table in enumerate(tables):
        if len(table) != n_rows or not set(table) <= {0, 1}:
            yield f"'target.tables[{k}]' is {shown(table)}, not {n_rows} bits"


def _of_proof(record: CircuitRecord) -> Iterator[str]:
    """Levels of proof and margins that do not exist, and counts that do not fit together."""
    for key, level in (("require", record["require"]), ("proof_level", record["proof_level"])):
        if level is not None and level not in PROOF_LEVELS:
            yield f"'{key}' is {_quoted(level)}, not one of {', '.join(PROOF_LEVELS)}"
    margin = record["min_margin"]
    if margin is not None and not 0 <= margin <= 1:
        yield f"'min_margin' is {margin}, not 0 to 1"
    n_circuits, n_passing = record["n_circuits"], record["n_passing"]
    if n_circuits is not None and not 0 <= n_circuits <= record["n_readings"]:
        yield f"'n_circuits' is {n_circuits}, and 'n_readings' is {record['n_readings']}"
    if n_passing is not None and not 0 <= n_passing <= (n_circuits or 0):
        yield f"'n_passing' is {n_passing}, and 'n_circuits' is {n_circuits}"
    if n_circuits is not None and (n_circuits > 0) != (record["proof_level"] is not None):
        yield f"'proof_level' is {record['proof_level']}, and 'n_circuits' is {n_circuits}"


def _of_verdict(record: CircuitRecord) -> Iterator[str]:
    # an old baseline counts readings
    key = "n_readings" if record["n_passing"] is None else "n_passing"
    n_found = record["n_readings"] if record["n_passing"] is None else record["n_passing"]
    n_survive = record["n_readings"]
    fits = {
        "identified": n_found == 1,
        "ambiguous": n_found > 1,
        "approximate": n_found == 0 < n_survive,
        "no_gate_reading": n_survive == 0,
        "not_computing": n_survive == 0,
    }
    verdict = record["verdict"]
    if verdict not in fits:
        yield f"'verdict' is {_quoted(verdict)}, not one of {', '.join(fits)}"
    if not fits[verdict]:
        if verdict in ("no_gate_reading", "not_computing"):
            key, n_found = "n_readings", n_survive
        yield f"'{key}' is {n_found}, and 'verdict' is {_quoted(verdict)}"


def _of_wrong_rows(
    rows: Mapping[str, Sequence[Sequence[int]]], verdict: str, n_inputs: int, n_decisions: int
) -> Iterator[str]:
    if rows and verdict != "not_computing":
        yield f"'wrong_rows' names rows, and 'verdict' is {_quoted(verdict)}"
    for row, decided in rows.items():
        if len(row) != n_inputs or not set(row) <= set("01"):
            yield f"'wrong_rows' has {_quoted(row)}, which is not a row of {n_inputs} inputs"
        # [] if an old baseline does not have them
        if decided and [len(one) for one in decided] != [n_decisions] * 2:
            yield f"'wrong_rows.{row}' is {shown(decided)}, not two times {n_decisions} decisions"
        if not {bit for one in decided for bit in one} <= {-1, 0, 1}:
            yield f"'wrong_rows.{row}' is {shown(decided)}; decisions are 0, 1 or -1"


def _of_numbers(record: CircuitRecord) -> Iterator[str]:
    for k, unit in enumerate(record["units"]):
        margin, share, n_rows = unit["margin"], unit["interchange"], unit["rows_changed"]
        if margin is not None and margin < 0:
            yield f"'units[{k}].margin' is {margin}, not at least 0"
        if share is not None and not 0 <= share <= 1:
            yield f"'units[{k}].interchange' is {share}, not 0 to 1"
        most = 2 ** record["layer_sizes"][0]
        if n_rows is not None and not 0 <= n_rows <= most:
            yield f"'units[{k}].rows_changed' is {n_rows}, not 0 to {most}"
    n_layers = len(record["layer_sizes"]) - 2
    if len(record["joint_interchange"]) > n_layers:
        yield f"'joint_interchange' has more numbers than the {n_layers} hidden layers"
    for k, share in enumerate(record["joint_interchange"]):
        if share is not None and not 0 <= share <= 1:
            yield f"'joint_interchange[{k}]' is {share}, not 0 to 1"


def _of_sets(where: str, sets: SetsRecord, units: Collection[str]) -> Iterator[str]:
    by_ablation = {"mean": sets["mean"], "zero": sets["zero"]}
    for ablation, listed in by_ablation.items():
        for k, one in enumerate(listed):
            yield from _of_names(f"{where}.{ablation}[{k}][{{}}]", one, units, "a hidden unit")


def _of_names(
    where: str, names: Sequence[str], exists: Collection[str], kind: str
) -> Iterator[str]:
    """Names that do not exist or occur twice.

    Args:
        where: the place of a name, with {} for its number.
        kind: what each name has to be.
    """
    seen: set[str] = set()
    for k, name in enumerate(names):
        if name not in exists:
            yield f"'{where.format(k)}' is {_quoted(name)}, which is not {kind}"
        if name in seen:
            yield f"'{where.format(k)}' is {_quoted(name)}, which occurs twice"
        seen.add(name)


def _written(sizes: Sizes) -> str:
    """'2-2-1'."""
    return cut_short("-".join(map(str, sizes)))


def _quoted(text: str) -> str:
    """The text as in the file, cut if it is long."""
    return f'"{cut_short(json.dumps(text)[1:-1])}"'
