"""a name -> a stored network, its recorded circuit, or a line of what the zoo holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from xor_mi.errors import XorMiError, unknown
from xor_mi.model import HookedMLP
from xor_mi.reading import read_json
from xor_mi.zoo._networks import DATA, NETWORKS
from xor_mi.zoo._transformers import TRANSFORMERS

_CIRCUIT = (
    *("layer_sizes", "target", "verdict", "proof_level", "n_circuits"),
    *("signature", "family", "formula", "units"),
)
"""Entries that every recorded circuit has, among others."""


def names() -> list[str]:
    """The names that `load` and `recorded` take, the two-unit solutions of XOR first.

    >>> names()[:3]
    ['or-and', 'nor-and', 'or-nand']
    """
    return [network.name for network in NETWORKS]


def load(name: str) -> HookedMLP:
    """A network by name, in eval mode; every call builds a new one, so changing it is safe.

    Raises:
        XorMiError: a name that is not in the zoo.

    >>> from xor_mi.circuits import identify_circuit
    >>> identify_circuit(load("or-and")).signature
    'OR & ~AND'
    """
    return HookedMLP.from_pretrained(_folder(name))


def recorded(name: str) -> dict[str, Any]:
    """The circuit recorded beside a network, as `Circuit.to_dict` wrote it.

    Among its keys: verdict, units, formulas, signature, family, evidence, readings.

    Raises:
        XorMiError: a name that is not in the zoo.
    """
    return recorded_in(_folder(name))


def describe() -> pd.DataFrame:
    """One line per network, then one per transformer.

    Columns: name, shape, act_fn, target, seed, verdict, proof_level, n_circuits, unit_gates,
    signature, family, purpose. n_circuits survive two-level substitution.

    unit_gates has the gate of every hidden unit in the units' order, layers separated by ';', as
    formulas over the inputs; it is empty without a circuit. For a transformer it has the gates of
    its neurons at "=", or the role of each head if there are no neurons; verdict, proof_level,
    n_circuits, signature and family exist only for HookedMLPs.
    """
    rows = []
    for network in NETWORKS:
        config = _read(_folder(network.name) / "config.json", ("act_fn", "seed"))
        circuit = recorded(network.name)
        row = {
            "name": network.name,
            "shape": "-".join(map(str, circuit["layer_sizes"])),
            "act_fn": config["act_fn"],
            "target": circuit["target"]["name"],
            "seed": config["seed"],
            "verdict": circuit["verdict"],
            "proof_level": circuit["proof_level"],
            "n_circuits": circuit["n_circuits"],
            "unit_gates": _unit_gates(circuit),
            "signature": circuit["signature"],
            "family": circuit["family"],
            "purpose": network.purpose,
        }
        rows.append(row)
    # None in columns that only a HookedMLP has
    without = dict.fromkeys(rows[0])
    for entry in TRANSFORMERS:
        parts = f", {entry.d_mlp} neurons" if entry.d_mlp else ", no MLP"
        row = without | {
            "name": entry.name,
            "shape": f"1 layer, {entry.n_heads} heads{parts}",
            "act_fn": "relu" if entry.d_mlp else None,
            "target": "XOR",
            "seed": entry.seed,
            "unit_gates": ", ".join(entry.gates),
            "purpose": entry.purpose,
        }
        rows.append(row)
    return pd.DataFrame(rows).astype({"n_circuits": "Int64"})


def recorded_in(folder: Path) -> dict[str, Any]:
    """The circuit recorded in a network's folder.

    Raises:
        XorMiError: no such file, or a damaged one.
    """
    return _read(folder / "circuit.json", _CIRCUIT)


def _folder(name: str) -> Path:
    known = names()
    if name in [entry.name for entry in TRANSFORMERS]:
        raise XorMiError(
            f"'{name}' is a transformer; call zoo.load_transformer and zoo.recorded_findings"
        )
    if name not in known:
        raise unknown("network", name, known, where="the zoo has")
    return DATA / name


def _read(file: Path, entries: Sequence[str]) -> dict[str, Any]:
    called = f"'{file}' of the zoo"
    next_step = "install xor-mi again, or run python -m xor_mi.zoo._build"
    content = read_json(file, called=called, next_step=next_step)
    if not isinstance(content, dict):
        raise XorMiError(f"{called} is not an object; {next_step}")
    missing = [name for name in entries if name not in content]
    if missing:
        raise XorMiError(f"{called} has no '{missing[0]}'; {next_step}")
    return content


def _unit_gates(circuit: dict[str, Any]) -> str:
    """'AND, OR; XNOR, FALSE' for two hidden layers."""
    layers: dict[int, list[str]] = {}
    for unit in circuit["units"]:
        # a unit of a network without a circuit has no gate: null in the file
        layers.setdefault(unit["layer"], []).append(unit["gate"] or "")
    return "; ".join(", ".join(gates) for gates in layers.values() if any(gates))
