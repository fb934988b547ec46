"""circuit -> record: what a baseline holds, as JSON that a person can read and a diff shows line by
line.

Numbers are those that do not depend on how a hidden unit is scaled: a reading's margin as a part of
the unit's range, interchange as a part of its runs, rows decided otherwise without a unit, and the
worst row after two-level substitution, in output units."""

import json
import os
import re
from importlib.metadata import version
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from xor_mi.circuits import Circuit, Evidence, family_of, identify_circuit, live_units
from xor_mi.errors import XorMiError

FORMAT = "xor_mi.regression"
VERSION = 1
"""The version of the record's format; a record of a later one is refused."""
MAX_FAMILIES = 100
"""Of so many readings the families are listed; beyond, the first reading's alone."""
DIGITS = 9
"""Significant digits of a stored number: more than a tolerance asks for, fewer than machines differ
in.
"""

Record = dict[str, Any]
_UNIT = {
    "unit": str,
    "gate": str | None,
    "note": str,
    "live": bool,
    "margin": float | None,
    "interchange": float | None,
    "rows_changed": int | None,
}
_CLAIM = {"claim": str, "effect": float, "control": float, "n": int, "unit": str, "holds": bool}
_SETS = {"mean": [[str]], "zero": [[str]]}
_SHAPE: dict[str, Any] = {
    "format": str,
    "version": int,
    "test": str,
    "versions": {},
    "layer_sizes": [int],
    "target": {"name": str, "tables": [[int]]},
    "verdict": str,
    "reason": str,
    "n_readings": int,
    "formula": str | None,
    "readout": str | None,
    "signature": str,
    "families": [str],
    "units": [_UNIT],
    "edges": [str],
    "worst_margin": float | None,
    "joint_interchange": [float | None],
    "necessary_sets": _SETS,
    "sufficient_sets": _SETS,
    "evidence": [_CLAIM],
}


def circuit_of(model_or_circuit: Any) -> Circuit:
    """A circuit as it is, or the circuit of a model.

    Raises:
        XorMiError: a model whose circuit cannot be identified, or a circuit that was identified
            without evidence.
    """
    if not isinstance(model_or_circuit, Circuit):
        return identify_circuit(model_or_circuit)
    if model_or_circuit.readings and model_or_circuit.proof is None:
        raise XorMiError(
            "this circuit has no evidence to compare; identify it with with_evidence=True, or give the model"
        )
    return model_or_circuit


def record_of(model_or_circuit: Any, test: str = "") -> Record:
    """What is kept of a circuit: verdict, formulas, gates, edges, evidence and the versions it was
    found with; JSON-ready.

    Args:
        test: the name of the test the record belongs to.

    >>> from xor_mi.handmade import textbook_xor
    >>> record = record_of(textbook_xor())
    >>> record["signature"], record["units"][1]["gate"], record["units"][1]["interchange"]
    ('OR & ~AND', 'AND', 1.0)

    Raises:
        XorMiError: as `circuit_of` does.
    """
    circuit = circuit_of(model_or_circuit)
    function = circuit.target
    return {
        "format": FORMAT,
        "version": VERSION,
        "test": test,
        "versions": {
            package: version(package) for package in ("xor-mi", "torch", "transformer-lens")
        },
        "layer_sizes": list(circuit.layer_sizes),
        "target": {"name": function.name, "tables": [list(table) for table in function.tables]},
        "verdict": circuit.verdict,
        "reason": circuit.reason,
        "n_readings": len(circuit.readings),
        "formula": circuit.formula,
        "readout": circuit.readout,
        "signature": circuit.signature,
        "families": _families(circuit),
        "units": _units(circuit),
        "edges": [edge.name for edge in circuit.edges],
        "worst_margin": _short(circuit.primary.worst_margin) if circuit.primary else None,
        "joint_interchange": [_joint(claim) for claim in circuit.evidence if claim.kind == "joint"],
        "necessary_sets": _sets(circuit, "necessary"),
        "sufficient_sets": _sets(circuit, "sufficient"),
        "evidence": [_claim(claim) for claim in circuit.evidence],
    }


def write_record(record: Record, file: Path) -> None:
    """The record as JSON, one unit and one claim per line; a reader meanwhile sees the old file or
    the new, never a part.
    """
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_text(_text(record), encoding="utf-8")
    scratch.replace(file)


def read_record(file: Path) -> Record:
    """A record from a file.

    Raises:
        XorMiError: a file that is no JSON, no record, a record with entries missing or of another
            kind, or of a later format; the message says where.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise _unreadable(file, str(error)) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise _unreadable(file, f"it has no 'format': '{FORMAT}'")
    found = record.get("version")
    if isinstance(found, int) and found > VERSION:
        raise XorMiError(
            f"the baseline '{file}' is of format {found}; this xor-mi reads up to {VERSION}: install a later xor-mi"
        )
    wrong = _misshapen(record, _SHAPE, "")
    odd = (
        []
        if wrong
        else [
            unit["unit"] for unit in record["units"] if not re.fullmatch(r"h\d+\.\d+", unit["unit"])
        ]
    )
    if wrong := wrong or (f"'{odd[0]}' is no unit's name" if odd else ""):
        raise _unreadable(file, wrong)
    return record


def _unreadable(file: Path, why: str) -> XorMiError:
    return XorMiError(
        f"the baseline '{file}' cannot be read: {why}; take it back from version control, or write it anew with pytest --force-regen"
    )


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number a baseline can hold")


def _misshapen(value: Any, shape: Any, place: str) -> str:
    """Where a value has not the shape asked for, or ''."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{place or 'it'} is no object"
        missing = [f"{place}.{key}".lstrip(".") for key in shape if key not in value]
        return (
            f"'{missing[0]}' is missing"
            if missing
            else _first(_misshapen(value[key], shape[key], f"{place}.{key}") for key in shape)
        )
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"'{place.lstrip('.')}' is no list"
        return _first(_misshapen(entry, shape[0], f"{place}[{k}]") for k, entry in enumerate(value))
    kinds = set(shape.__args__) if isinstance(shape, UnionType) else {shape}
    if type(value) in kinds or (float in kinds and type(value) is int):
        return ""
    names = " or ".join(sorted("null" if kind is NoneType else kind.__name__ for kind in kinds))
    return f"'{place.lstrip('.')}' is {json.dumps(value)}, not {names}"


def _first(texts: Any) -> str:
    return next(filter(None, texts), "")


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _families(circuit: Circuit) -> list[str]:
    if not 1 < len(circuit.readings) <= MAX_FAMILIES:
        return [circuit.family]
    return sorted({family_of(joint.netlist, circuit.layer_sizes) for joint in circuit.readings})


def _units(circuit: Circuit) -> list[Record]:
    live = set(live_units(circuit.netlist, circuit.layer_sizes)) if circuit.primary else set()
    runs = circuit.primary.n_interchange if circuit.primary else 1
    alone = circuit.proof.ablation("mean").changed_without if circuit.proof else lambda _: None
    return [
        {
            "unit": unit.place.name,
            "gate": unit.gate,
            "note": unit.note,
            "live": unit.place in live,
            "margin": None if unit.margin is None else _short(unit.margin),
            "interchange": None if unit.interchange is None else _short(unit.interchange / runs),
            "rows_changed": alone([unit.place]),
        }
        for unit in circuit.units
    ]


def _joint(claim: Evidence) -> float | None:
    """The part of a layer's joint interchanges that came out as predicted; None where only a sample
    was tried, which is another for every order of the units."""
    return _short(claim.effect / claim.n) if claim.exhaustive else None


def _sets(circuit: Circuit, kind: str) -> dict[str, list[list[str]]]:
    """Minimal sets of live units; a constant unit carries no information, whatever setting it to
    zero does.
    """
    found: dict[str, list[list[str]]] = {"mean": [], "zero": []}
    if circuit.proof is None:
        return found
    live = set(live_units(circuit.netlist, circuit.layer_sizes))
    for value in found:
        sets = getattr(circuit.proof, kind)(value)
        if kind == "necessary":
            sets = [units for units in sets if live.issuperset(units)]
        found[value] = [[unit.name for unit in units if unit in live] for units in sets]
    return found


def _claim(claim: Evidence) -> Record:
    numbers = {
        key: _short(value) if isinstance(value := getattr(claim, key), float) else value
        for key in ("effect", "control")
    }
    return {
        "kind": claim.kind,
        "units": [unit.name for unit in claim.units],
        "claim": claim.claim,
        **numbers,
        "n": claim.n,
        "unit": claim.counted,
        "holds": claim.holds,
    }


def _text(record: Record) -> str:
    """JSON with one entry per line, and one line per unit and claim."""
    lines = []
    for key, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            entries = ",\n".join(f"    {_json(entry)}" for entry in value)
            lines.append(f"  {_json(key)}: [\n{entries}\n  ]")
        else:
            lines.append(f"  {_json(key)}: {_json(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
