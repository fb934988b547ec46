"""circuit -> record: the content of a baseline.

Its numbers do not depend on the scale of hidden units: a reading's margin as a share of the unit's
range, interchange as a share of its runs, the rows whose decision changes without a unit, and the
worst row after two-level substitution, in output units."""

from importlib.metadata import version as installed_version
from typing import Literal

import torch

from xor_mi import __version__
from xor_mi.circuits import Circuit, Evidence, Proof, family_of, identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP
from xor_mi.testing._decided import wrong_rows
from xor_mi.testing._entries import (
    FORMAT,
    ORDINARY,
    VERSION,
    CircuitRecord,
    ClaimRecord,
    ConventionsRecord,
    SetsRecord,
    UnitRecord,
    release_of,
)
from xor_mi.truth import row_name

MAX_FAMILIES = 100
"""The most circuits whose families are listed; of more, only the family of the first."""
DIGITS = 9
"""Significant digits of a stored number: more than a tolerance needs, but too few to show
differences between machines.
"""


def circuit_of(model_or_circuit: HookedMLP | Circuit) -> Circuit:
    """A circuit unchanged, or the circuit of a model.

    Raises:
        XorMiError: a model whose circuit cannot be identified, or a circuit that was identified
            without evidence.
    """
    if not isinstance(model_or_circuit, Circuit):
        return identify_circuit(model_or_circuit)
    if model_or_circuit.circuits and model_or_circuit.proof is None:
        raise XorMiError(
            "this circuit has no evidence to compare; identify it with with_evidence=True, or give "
            "the model"
        )
    return model_or_circuit


def record_of(model_or_circuit: HookedMLP | Circuit, *, test: str = "") -> CircuitRecord:
    """The stored form of a circuit: verdict, formulas, gates, edges, evidence and the releases of
    packages; JSON-ready.

    Args:
        test: the name of the test to which the record belongs.

    >>> from xor_mi.handmade import textbook_xor
    >>> record = record_of(textbook_xor())
    >>> record["signature"], record["units"][1]["gate"], record["units"][1]["interchange"]
    ('OR & ~AND', 'AND', 1.0)

    Raises:
        XorMiError: as `circuit_of` does.
    """
    circuit = circuit_of(model_or_circuit)
    target = circuit.target
    joint = [claim for claim in circuit.evidence if claim.kind == "joint"]
    record: CircuitRecord = {
        "format": FORMAT,
        "version": VERSION,
        "test": test,
        "versions": {package: release_of(version) for package, version in found_with().items()},
        "layer_sizes": list(circuit.layer_sizes),
        "target": {"name": target.name, "tables": [list(table) for table in target.tables]},
        "verdict": circuit.verdict,
        "reason": circuit.reason,
        "wrong_rows": _wrong_rows(circuit),
        "require": circuit.require,
        "min_margin": circuit.min_margin,
        "proof_level": circuit.proof_level,
        "n_circuits": len(circuit.circuits),
        "n_passing": len(circuit.passing),
        "n_readings": len(circuit.readings),
        "formula": circuit.formula,
        "readout": circuit.readout,
        "signature": circuit.signature,
        "families": _families(circuit),
        "units": _units(circuit),
        "edges": [edge.name for edge in circuit.edges],
        "worst_margin": short(circuit.primary.worst_margin) if circuit.primary else None,
        "joint_interchange": [_share_as_predicted(claim) for claim in joint],
        "necessary_sets": _sets(circuit, "necessary"),
        "sufficient_sets": _sets(circuit, "sufficient"),
        "evidence": [_claim(claim) for claim in circuit.evidence],
    }
    conventions = _conventions(circuit.model)
    # so that an ordinary record is byte by byte the same as before conventions were stored
    if conventions != ORDINARY:
        record["conventions"] = conventions
    return record


def found_with() -> dict[str, str]:
    """The packages that a finding depends on: package -> version."""
    return {
        "xor-mi": __version__,
        "torch": str(torch.__version__),
        "transformer-lens": installed_version("transformer-lens"),
    }


def _conventions(model: HookedMLP) -> ConventionsRecord:
    cfg = model.cfg
    return {
        "input_levels": list(map(float, cfg.input_levels)),
        "decision_rule": cfg.decision_rule,
        "step_at_zero": cfg.step_at_zero,
        "direct": cfg.direct,
    }


def _wrong_rows(circuit: Circuit) -> dict[str, list[list[int]]]:
    if circuit.verdict != "not_computing":
        return {}
    return {
        row_name(wrong.row): [list(wrong.in_float64), list(wrong.in_its_precision)]
        for wrong in wrong_rows(circuit.model, circuit.target)
    }


def short(number: float) -> float:
    """A measurement, rounded to the digits that are stored."""
    return float(f"{number:.{DIGITS}g}")


def _families(circuit: Circuit) -> list[str]:
    counted = circuit.passing or circuit.circuits
    if not 1 < len(counted) <= MAX_FAMILIES:
        return [circuit.family]
    netlists = [one.readings[0].netlist for one in counted]
    return sorted({family_of(netlist, circuit.layer_sizes) for netlist in netlists})


def _live(circuit: Circuit) -> set[Unit]:
    """The hidden units that an output of the first circuit depends on, copies included."""
    return set(circuit.circuits[0].live) if circuit.circuits else set()


def _units(circuit: Circuit) -> list[UnitRecord]:
    live = _live(circuit)
    n_runs = circuit.primary.n_interchange if circuit.primary else 1
    without = circuit.proof.ablation("mean") if circuit.proof else None
    return [
        {
            "unit": unit.place.name,
            "gate": unit.gate,
            "constant": unit.constant,
            "live": unit.place in live,
            "margin": None if unit.margin is None else short(unit.margin),
            "interchange": None if unit.interchange is None else short(unit.interchange / n_runs),
            "rows_changed": without.changed_without([unit.place]) if without else None,
        }
        for unit in circuit.units
    ]


def _share_as_predicted(claim: Evidence) -> float | None:
    """The share of a layer's joint interchanges that came out as predicted; None if only a sample
    was tried, which differs for every order of the units.
    """
    return short(claim.effect / claim.n) if claim.exhaustive else None


def _sets(circuit: Circuit, kind: Literal["necessary", "sufficient"]) -> SetsRecord:
    """Minimal sets of live units. A constant unit carries no information, whatever setting it to
    zero does.
    """
    proof = circuit.proof
    if proof is None:
        return {"mean": [], "zero": []}
    return {
        "mean": _sets_under(circuit, proof, kind, "mean"),
        "zero": _sets_under(circuit, proof, kind, "zero"),
    }


def _sets_under(
    circuit: Circuit,
    proof: Proof,
    kind: Literal["necessary", "sufficient"],
    ablation: Literal["mean", "zero"],
) -> list[list[str]]:
    live = _live(circuit)
    if kind == "necessary":
        sets = [units for units in proof.necessary(ablation) if live.issuperset(units)]
    else:
        sets = list(proof.sufficient(ablation))
    named = []
    for units in sets:
        named.append([unit.name for unit in units if unit in live])
    return named


def _claim(claim: Evidence) -> ClaimRecord:
    record: ClaimRecord = {
        "kind": claim.kind,
        "units": [unit.name for unit in claim.units],
        "claim": claim.claim,
        "effect": _rounded(claim.effect),
        "control": _rounded(claim.control),
        "n": claim.n,
        "counted": claim.counted,
        "holds": claim.holds,
    }
    if claim.ablation is not None:
        record["ablation"] = claim.ablation
    return record


def _rounded(number: int | float) -> int | float:
    """A count unchanged, a measurement rounded to the digits that are stored."""
    return short(number) if isinstance(number, float) else number
