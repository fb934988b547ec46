"""seeds -> the folders of the zoo: `python -m xor_mi.zoo._build [NAME ...] [--out DIR] [--check]`.

It trains every network of the table in `_networks` from its seed, identifies its circuit, compares
that with what the table promises, and only then writes. On one machine two builds give the same
bytes; `--check` writes nothing and says what a rebuild would change.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import XorMiError, as_path, unknown
from xor_mi.model import MODEL_FILES, HookedMLP, HookedMLPConfig, saved_files
from xor_mi.saving import CIRCUIT_MARK, require_own, require_writable, write_files
from xor_mi.training import TrainConfig, train
from xor_mi.zoo import _findings, _transformers
from xor_mi.zoo._networks import DATA, NETWORKS, Network
from xor_mi.zoo._stored import recorded_in
from xor_mi.zoo._transformers import TRANSFORMERS, Transformer

FILES = MODEL_FILES | {"circuit.json": CIRCUIT_MARK}
"""What a folder of the zoo holds: a file's name -> its mark (see `saving.mark_of`)."""


def rebuild(network: Network) -> tuple[HookedMLP, Circuit]:
    """An entry of the table -> the network trained from its seed, and its circuit.

    Raises:
        XorMiError: the circuit is not the one that the table promises, or not all its claims hold.
    """
    model = _built(network)
    circuit = identify_circuit(model)
    gates = tuple(unit.gate for unit in circuit.units if unit.gate)
    # an entry without gates must have no circuit
    promised = "identified" if network.gates else "not_computing"
    if (circuit.verdict, gates) != (promised, network.gates):
        raise XorMiError(
            f"{network.name} came out as {circuit.verdict} with gates ({', '.join(gates)}); "
            f"the table says {promised} with ({', '.join(network.gates)}). "
            "Does this machine round differently? "
            "Keep the stored folder, or put another seed in the table"
        )
    failed = [evidence.claim for evidence in circuit.evidence if not evidence.holds]
    if failed:
        raise XorMiError(
            f"{network.name} is identified, but not all its claims hold: {'; '.join(failed)}. "
            "Put another seed in the table"
        )
    return model, circuit


def _built(network: Network) -> HookedMLP:
    """The network from its seed, trained unless the table keeps the weights that the seed draws."""
    if not network.trained:
        cfg = HookedMLPConfig(
            d_hidden=network.hidden,
            act_fn=network.act_fn,
            seed=network.seed,
            target=network.target,
        )
        return HookedMLP(cfg)
    config = TrainConfig(act_fn=network.act_fn)
    result = train(network.target, hidden=network.hidden, seed=network.seed, config=config)
    return result.model


def write(model: HookedMLP, circuit: Circuit, folder: Path) -> None:
    """config.json, model.safetensors and circuit.json into a folder, made if missing.

    Raises:
        XorMiError: a folder that cannot be written, or that holds files xor-mi did not write.
    """
    require_writable(folder, FILES)
    contents = saved_files(model.cfg, model.state_dict()) | {"circuit.json": circuit.to_json()}
    write_files({folder / name: content for name, content in contents.items()})


def compare(model: HookedMLP, circuit: Circuit, folder: Path) -> str:
    """A rebuilt network against its folder, in words.

    "same bytes", "same circuit, other bytes", "another circuit" or "not there".
    """
    with TemporaryDirectory() as scratch:
        write(model, circuit, Path(scratch))
        files = sorted(Path(scratch).iterdir())
        if not all((folder / file.name).is_file() for file in files):
            return "not there"
        if all(file.read_bytes() == (folder / file.name).read_bytes() for file in files):
            return "same bytes"
    try:
        stored = recorded_in(folder)
    except XorMiError:  # damaged
        return "another circuit"
    # another machine rounds differently: last digits may differ, the circuit may not
    is_same = _essence(stored) == _essence(circuit.to_dict())
    return "same circuit, other bytes" if is_same else "another circuit"


def _essence(circuit: dict[str, object]) -> dict[str, object]:
    """The part that two records of the same circuit must share; numbers may differ."""
    keys = (
        *("layer_sizes", "target", "verdict", "proof_level", "n_circuits"),
        *("signature", "family", "formula"),
    )
    return {key: circuit[key] for key in keys}


def rebuild_transformer(entry: Transformer) -> dict[str, bytes]:
    """An entry of the table -> the files of its folder, trained from its seed.

    Raises:
        XorMiError: the findings are not those that the table promises.
    """
    bridge = _transformers.trained(entry)
    tables = _findings.find(bridge, entry.gates)
    if entry.d_mlp is not None and tuple(tables["neurons"]["gate"]) != entry.gates:
        raise XorMiError(
            f"{entry.name} came out with gates ({', '.join(tables['neurons']['gate'])}); the table "
            f"says ({', '.join(entry.gates)}). Does this machine round differently? Keep the "
            "stored folder, or put another seed in the table"
        )
    if entry.d_mlp is not None and tables["without neurons"]["flips"].sum() <= 2:
        raise XorMiError(
            f"{entry.name} computes its target without its neurons too; put another seed in the "
            "table"
        )
    found = tables["interchange"].query("control == ''")
    if (found["n_agreed"] != found["n_runs"]).any():
        raise XorMiError(
            f"{entry.name} does not compute as its algorithm in every interchange; put another "
            "seed in the table"
        )
    return _transformers.saved(entry, bridge) | {"findings.json": _findings.written(tables)}


def write_transformer(contents: dict[str, bytes], folder: Path) -> None:
    """config.json, model.safetensors and findings.json into a folder, made if missing.

    Raises:
        XorMiError: a folder that holds something else, or cannot be written.
    """
    others = [file.name for file in folder.glob("*") if file.name not in contents]
    config = folder / "config.json"
    if others or (
        config.exists() and _transformers.FORMAT not in config.read_text(encoding="utf-8")
    ):
        raise XorMiError(f"'{folder}' holds files that xor-mi did not write; choose another place")
    folder.mkdir(parents=True, exist_ok=True)
    write_files({folder / name: content for name, content in contents.items()})


def compare_transformer(contents: dict[str, bytes], folder: Path) -> str:
    """Rebuilt files against those in a folder, in words, as `compare` has them."""
    if not all((folder / name).is_file() for name in contents):
        return "not there"
    if all((folder / name).read_bytes() == content for name, content in contents.items()):
        return "same bytes"
    # another machine rounds differently: gates and counts stay the same
    with TemporaryDirectory() as scratch:
        write_transformer(contents, Path(scratch))
        try:
            both = [_exact_part(one) for one in (folder, Path(scratch))]
        except XorMiError:  # damaged
            return "other findings"
    return "same findings, other bytes" if both[0] == both[1] else "other findings"


def _exact_part(folder: Path) -> list[object]:
    """The part on which two machines must agree: everything except numbers with decimals."""
    tables = _findings.tables_in(folder)
    return [
        [name, table.select_dtypes(exclude="float").to_dict("list")]
        for name, table in tables.items()
        if name not in ("attention", "direct")
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild and write, or check.

    The exit status is 1 if a check finds a network missing or with another circuit.

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
    out = as_path("--out", options.out)
    table = {network.name: network for network in NETWORKS}
    transformers = {entry.name: entry for entry in TRANSFORMERS}
    for name in options.names:
        if name not in table and name not in transformers:
            raise unknown("network", name, [*table, *transformers], where="the zoo has")
    # a name given twice is built once; no names mean all
    asked = dict.fromkeys(options.names or [*table, *transformers])
    networks = [table[name] for name in asked if name in table]
    if not options.check:
        for network in networks:
            require_own(out / network.name, FILES, overwrite=False)
    # All of them are built before the first is written: a broken promise leaves nothing behind.
    built = {network.name: rebuild(network) for network in networks}
    files = {
        name: rebuild_transformer(transformers[name]) for name in asked if name in transformers
    }
    wrong = False
    for name, (model, circuit) in built.items():
        if options.check:
            outcome = compare(model, circuit, out / name)
            wrong |= outcome in ("another circuit", "not there")
        else:
            write(model, circuit, out / name)
            outcome = f"written to {out / name}"
        print(f"{name}: {circuit.verdict}, {circuit.signature}: {outcome}")
    # by default inside the package, beside the folder of the networks
    transformers_out = _transformers.DATA if out == DATA else out
    for name, contents in files.items():
        if options.check:
            outcome = compare_transformer(contents, transformers_out / name)
            wrong |= outcome in ("other findings", "not there")
        else:
            write_transformer(contents, transformers_out / name)
            outcome = f"written to {transformers_out / name}"
        print(f"{name}: {', '.join(transformers[name].gates)}: {outcome}")
    return int(wrong)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except XorMiError as error:
        sys.exit(f"error: {error}")
