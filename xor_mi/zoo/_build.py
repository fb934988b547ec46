"""seeds -> the folders of the zoo: `python -m xor_mi.zoo._build [NAME ...] [--out DIR] [--check]`.

Trains every network of the table below from its seed, identifies its circuit, holds that against
what the table promises, and only then writes. On one machine two builds give the same bytes;
`--check` writes nothing and says what a rebuild would change."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import XorMiError, unknown
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.training import TrainConfig, train
from xor_mi.truth import BooleanFunction
from xor_mi.zoo import DATA


@dataclass(frozen=True)
class Network:
    """One line of the table.

    Attributes:
        target: a gate of two inputs, or a function of more.
        hidden, act_fn, seed: as `train` takes them; all else is `TrainConfig`'s default.
        gates: what the hidden units must come out as, layer by layer, in a circuit that is
            identified and whose every claim holds; empty where the network must not compute its
            target.
        purpose: what it is for.
        trained: False keeps the weights that the seed draws.
    """

    name: str
    target: Any
    hidden: tuple[int, ...]
    act_fn: str
    seed: int
    gates: tuple[str, ...]
    purpose: str
    trained: bool = True


PARITY = BooleanFunction.named("XOR", 3)
_FEW = "~((x0 & x1) ^ (x0 & x2) ^ (x1 & x2))"  # fewer than two of the three inputs
_NOT_ONE = "~(x0 ^ x1 ^ x2 ^ (x0 & x1 & x2))"  # not exactly one of them

# One line each. The seed is the smallest that gives such a circuit, units in any order, found by a
# search; untrained has that of or-and.
# fmt: off
NETWORKS = (
    Network("or-and", "XOR", (2,), "relu", 29, ("OR", "AND"), "OR and not AND, the textbook solution"),
    Network("nor-and", "XOR", (2,), "relu", 2, ("NOR", "AND"), "neither NOR nor AND: or-and with the OR unit complemented"),
    Network("or-nand", "XOR", (2,), "sigmoid", 91, ("OR", "NAND"), "OR and NAND; two relu units cannot carry this pair"),
    Network("nor-nand", "XOR", (2,), "relu", 46, ("NOR", "NAND"), "NAND and not NOR: or-and with both units complemented"),
    Network("gt-lt", "XOR", (2,), "relu", 5, ("x1>x0", "x0>x1"), "x0>x1 or x0<x1: one unit for each row that is 1"),
    Network("ge-gt", "XOR", (2,), "relu", 15, ("x0>=x1", "x0>x1"), "x0>x1 or not x0>=x1: gt-lt with its lt complemented"),
    Network("le-lt", "XOR", (2,), "relu", 11, ("x1>x0", "x1>=x0"), "x0<x1 or not x0<=x1: gt-lt with its gt complemented"),
    Network("ge-le", "XOR", (2,), "tanh", 11, ("x1>=x0", "x0>=x1"), "not both x0>=x1 and x0<=x1; two relu units cannot carry this pair"),
    Network("redundant-4", "XOR", (4,), "relu", 66, ("NOR", "NOR", "AND", "AND"), "nor-and, each unit twice: either copy will do"),
    Network("dead-4", "XOR", (4,), "relu", 4, ("FALSE", "NOR", "FALSE", "AND"), "nor-and beside two dead units, constant on every row"),
    Network("untrained", "XOR", (2,), "relu", 29, (), "the weights that or-and was trained from: nothing to find", trained=False),
    Network("unsolved", "XOR", (2,), "relu", 0, (), "trained, but XOR is not solved: no gate may be claimed"),
    Network("parity-3", PARITY, (3,), "tanh", 4, ("NOR", _FEW, "AND"), "3-bit parity by counting the ones: at least 1, 2, 3"),
    Network("deep-parity-3", PARITY, (3, 2), "sigmoid", 3, (_FEW, "NAND", "NOR", _NOT_ONE, "AND"), "counts the ones, then: one, or all"),
    Network("deep-xor", "XOR", (2, 2, 2), "relu", 8, ("AND", "OR", "XNOR", "FALSE", "XOR", "FALSE"), "not XOR, then XOR; two dead"),
)
# fmt: on


def rebuild(network: Network) -> tuple[HookedMLP, Circuit]:
    """A line of the table -> the network trained from its seed, and its circuit.

    Raises:
        XorMiError: the circuit is not the one the table promises, or not all its claims hold.
    """
    if network.trained:
        model = train(
            network.target,
            hidden=network.hidden,
            seed=network.seed,
            config=TrainConfig(act_fn=network.act_fn),
        ).model
    else:
        model = HookedMLP(
            HookedMLPConfig(
                d_hidden=network.hidden,
                act_fn=network.act_fn,
                seed=network.seed,
                target=network.target,
            )
        )
    circuit = identify_circuit(model)
    gates = tuple(unit.gate for unit in circuit.units if unit.gate)
    promised = ("identified" if network.gates else "not_computing", network.gates)
    if (circuit.verdict, gates) != promised:
        raise XorMiError(
            f"{network.name} came out as {circuit.verdict} with gates ({', '.join(gates)}); the table says {promised[0]} with "
            f"({', '.join(network.gates)}). Does this machine round differently? Keep the stored folder, or put another seed in the table"
        )
    failed = [evidence.claim for evidence in circuit.evidence if not evidence.holds]
    if failed:
        raise XorMiError(
            f"{network.name} is identified, but not all its claims hold: {'; '.join(failed)}. Put another seed in the table"
        )
    return model, circuit


def write(model: HookedMLP, circuit: Circuit, folder: Path) -> None:
    """config.json, model.safetensors and circuit.json into a folder, made if missing.

    Raises:
        XorMiError: a folder that cannot be written.
    """
    model.save_pretrained(folder)
    (folder / "circuit.json").write_text(circuit.to_json())


def compare(model: HookedMLP, circuit: Circuit, folder: Path) -> str:
    """A rebuilt network against a folder -> "same bytes", "same circuit, other bytes", "another
    circuit" or "not there".
    """
    with TemporaryDirectory() as scratch:
        write(model, circuit, Path(scratch))
        files = sorted(Path(scratch).iterdir())
        if not all((folder / file.name).is_file() for file in files):
            return "not there"
        if all(file.read_bytes() == (folder / file.name).read_bytes() for file in files):
            return "same bytes"
    try:
        stored, fresh = (
            {
                key: found[key]
                for key in ("layer_sizes", "target", "verdict", "signature", "family", "formula")
            }
            for found in (json.loads((folder / "circuit.json").read_text()), circuit.to_dict())
        )
    except (ValueError, KeyError, TypeError):
        return "another circuit"
    return "same circuit, other bytes" if stored == fresh else "another circuit"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild and write, or check; the exit status is 1 where a check finds a network missing or
    with another circuit.

    Raises:
        XorMiError: a name that is not in the table, a broken promise, or a folder that cannot be
            written.
    """
    parser = argparse.ArgumentParser(
        "python -m xor_mi.zoo._build",
        description="Rebuild the networks of the zoo from their seeds.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="networks to rebuild; all if none is named"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=DATA,
        help="where the folders are; by default inside the package",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; say what a rebuild would change"
    )
    options = parser.parse_args(arguments)
    table = {network.name: network for network in NETWORKS}
    for name in options.names:
        if name not in table:
            raise unknown("network", name, table, where="the zoo has")
    chosen = [table[name] for name in dict.fromkeys(options.names)] or NETWORKS
    built = {
        network.name: rebuild(network) for network in chosen
    }  # all of them before the first is written
    wrong = False
    for name, (model, circuit) in built.items():
        if options.check:
            outcome = compare(model, circuit, options.out / name)
            wrong |= outcome in ("another circuit", "not there")
        else:
            write(model, circuit, options.out / name)
            outcome = f"written to {options.out / name}"
        print(f"{name}: {circuit.verdict}, {circuit.signature}: {outcome}")
    return int(wrong)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except XorMiError as error:
        sys.exit(f"error: {error}")
