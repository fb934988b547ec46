"""The zoo: stored weights carry the circuits recorded beside them, by this package's reckoning and
by others'; a rebuild changes nothing.
"""

import copy
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import readings
from safetensors.numpy import load_file

from xor_mi import zoo
from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.metrics import decisions
from xor_mi.zoo import _build as build
from xor_mi.zoo import _stored

pytestmark = pytest.mark.as_a_user

FILES = ["circuit.json", "config.json", "model.safetensors"]
SMALL = ["or-and", "ge-le", "dead-4", "untrained"]
SOLVED = [network.name for network in build.NETWORKS if network.gates]
ACT = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


def difference(found, stored, path=""):
    """Where two JSON values differ, as a path; numbers up to the last digits; None where
    nowhere.
    """
    if isinstance(found, dict) and isinstance(stored, dict) and found.keys() == stored.keys():
        return next(
            filter(None, (difference(found[key], stored[key], f"{path}.{key}") for key in found)),
            None,
        )
    if isinstance(found, list) and isinstance(stored, list) and len(found) == len(stored):
        return next(
            filter(
                None,
                (
                    difference(a, b, f"{path}[{i}]")
                    for i, (a, b) in enumerate(zip(found, stored, strict=True))
                ),
            ),
            None,
        )
    alike = (
        found == pytest.approx(stored, rel=1e-9, abs=1e-9)
        if isinstance(found, float) and isinstance(stored, float)
        else found == stored
    )
    return None if alike else path


def walk(name):
    """A stored network in NumPy: input rows, each hidden layer's values [row, unit], and the
    outputs [row, output].
    """
    folder = zoo.DATA / name
    config, tensors = (
        json.loads((folder / "config.json").read_text(encoding="utf-8")),
        load_file(folder / "model.safetensors"),
    )
    n = config["d_in"]
    value = rows = np.array(
        [[index >> (n - 1 - bit) & 1 for bit in range(n)] for index in range(2**n)],
        dtype=np.float64,
    )
    layers = []
    for number in range(1, len(tensors) // 2 + 1):
        value = value @ tensors[f"fc{number}.weight"].astype(np.float64).T + tensors[
            f"fc{number}.bias"
        ].astype(np.float64)
        if number < len(tensors) // 2:
            value = ACT[config["act_fn"]](value)
            layers.append(value)
    return rows, layers, value


def without_sentences(circuit):
    """A record without what only people read: a circuit may be worded anew at any time."""
    shorter = {key: value for key, value in circuit.items() if key != "reason"}
    words = {"claim", "intervention", "counted", "rule"}
    shorter["evidence"] = [
        {key: value for key, value in evidence.items() if key not in words}
        for evidence in circuit["evidence"]
    ]
    return shorter


@pytest.mark.parametrize("name", zoo.names())
def test_stored_weights_have_the_recorded_circuit(name):
    """Identifying the stored network gives the recorded circuit: verdict, gates, netlist,
    signature, family and counts exactly, numbers to nine digits.
    """
    found = json.loads(identify_circuit(zoo.load(name)).to_json())
    assert difference(without_sentences(found), without_sentences(zoo.recorded(name))) is None


def test_the_comparison_can_fail():
    """A changed gate, count, number, missing key or shorter list is found, with its place; a last
    digit is not.
    """
    stored = zoo.recorded("or-and")
    changes = {
        ".units[0].gate": lambda c: c["units"][0].update(gate="NOR"),
        ".readings[0].interchange.h0.0": lambda c: c["readings"][0]["interchange"].update(
            {"h0.0": 15}
        ),
        ".units[1].margin": lambda c: c["units"][1].update(margin=c["units"][1]["margin"] + 1e-6),
        ".readings": lambda c: c["readings"].clear(),
        "": lambda c: c.pop("family"),
    }
    for path, change in changes.items():
        changed = copy.deepcopy(stored)
        change(changed)
        assert difference(changed, stored) == path
    changed = copy.deepcopy(stored)
    changed["units"][1]["margin"] *= 1 + 1e-13
    assert changed != stored
    assert difference(changed, stored) is None


@pytest.mark.parametrize("name", zoo.names())
def test_recorded_bits_and_decisions_hold_in_numpy(name):
    """A forward pass in NumPy gives the recorded bit of every unit on every row, and the target, or
    not where the verdict says so.
    """
    stored = zoo.recorded(name)
    rows, layers, outputs = walk(name)
    right = (
        (outputs[:, 0] > 0).astype(int).tolist()
        == stored["target"]["tables"][0]
        == (rows.sum(1) % 2).astype(int).tolist()
    )
    assert right == (stored["verdict"] != "not_computing") == (name in SOLVED)
    for unit in stored["readings"][0]["units"] if stored["readings"] else ():
        reading = stored["readings"][0]["units"][unit]
        layer, index = map(int, unit[1:].split("."))
        assert (layers[layer][:, index] > reading["threshold"]).astype(int).tolist() == reading[
            "bits"
        ]


def test_the_oracle_finds_the_recorded_gates():
    """The brute-force search, which knows relu in one hidden layer, finds exactly the recorded
    reading and no other.
    """
    lines = zoo.describe().query(
        "act_fn == 'relu' and target == 'XOR' and verdict == 'identified' and name != 'deep-xor'"
    )
    assert len(lines) == 8
    for name in lines["name"]:
        model = zoo.load(name)
        (w1, b1), (w2, b2) = model.float64_layers()
        _, found = readings.faithful_gates(w1.tolist(), b1.tolist(), w2[0].tolist(), b2[0].item())
        assert found == [[unit["gate"] for unit in zoo.recorded(name)["units"]]]


def test_every_pair_of_gates_that_solves_xor_is_there_once():
    """The 2-2-1 circuits are the eight pairs: OR or NOR with AND or NAND, x0>x1 or its complement
    with x1>x0 or its; two families.
    """
    lines = zoo.describe().query("shape == '2-2-1' and verdict == 'identified'")
    pairs = [{a, b} for a in ("OR", "NOR") for b in ("AND", "NAND")] + [
        {a, b} for a in ("x0>x1", "x1>=x0") for b in ("x1>x0", "x0>=x1")
    ]
    assert sorted(map(sorted, pairs)) == sorted(
        sorted(gates.split(", ")) for gates in lines["unit_gates"]
    )
    assert lines["signature"].nunique() == 8
    assert lines["family"].value_counts().to_dict() == {"OR & ~AND": 4, "x0>x1 | x1>x0": 4}


def test_each_network_is_what_it_is_there_for():
    """Copies are missed together only, dead units are constant, the untrained weights are those a
    seed draws, the rest is solved and proved.
    """
    copies = identify_circuit(zoo.load("redundant-4"))
    assert [group.spare for group in copies.redundancy_groups] == [True, True]
    dead = walk("dead-4")[1][0]
    assert (dead[:, [0, 2]] == 0).all()
    assert (np.ptp(dead[:, [1, 3]], axis=0) > 1).all()
    assert zoo.recorded("dead-4")["signature"] == zoo.recorded("nor-and")["signature"]
    untrained, trained = zoo.load("untrained"), zoo.load("or-and")
    assert torch.equal(untrained.fc1.weight, type(untrained)(trained.cfg).fc1.weight)
    assert not torch.equal(untrained.fc1.weight, trained.fc1.weight)
    assert decisions(zoo.load("unsolved")).flatten().tolist() != [0, 1, 1, 0]
    for name in SOLVED:
        stored = zoo.recorded(name)
        assert stored["verdict"] == "identified"
        assert all(claim["holds"] for claim in stored["evidence"])
        assert len(stored["evidence"]) > 4
    shapes = zoo.describe()["shape"].head(len(zoo.names()))
    assert sorted(shapes.map(lambda shape: shape.count("-"))) == [2] * 13 + [3, 4]


def test_names_folders_and_lines_are_the_same():
    """Every name has a folder of three files and a line in the table; no folder is left over; all
    of it is small.
    """
    folders = sorted(path.name for path in zoo.DATA.iterdir())
    assert folders == sorted(zoo.names())
    assert list(zoo.describe()["name"]) == [*zoo.names(), *zoo.transformer_names()]
    for name in folders:
        assert sorted(file.name for file in (zoo.DATA / name).iterdir()) == FILES
    assert sum(file.stat().st_size for file in zoo.DATA.rglob("*.*")) < 300_000
    lines = zoo.describe().set_index("name")
    assert list(lines.columns) == [
        "shape",
        "act_fn",
        "target",
        "seed",
        "verdict",
        "proof_level",
        "n_circuits",
        "unit_gates",
        "signature",
        "family",
        "purpose",
    ]
    assert lines.loc["deep-xor"].drop(["signature", "family", "purpose"]).tolist() == [
        "2-2-2-2-1", "relu", "XOR", 8, "identified", "joint", 1, "AND, OR; XNOR, FALSE; XOR, FALSE"
    ]  # fmt: skip
    assert (lines["purpose"].str.len() > 20).all()
    assert lines["purpose"].is_unique


def test_loading_gives_a_network_of_its_own():
    """A loaded network is in eval mode, and changing it, or a recorded circuit, does not reach the
    next one.
    """
    first, record = zoo.load("or-and"), zoo.recorded("or-and")
    assert not first.training
    with torch.no_grad():
        first.fc1.weight.zero_()
    record["units"].clear()
    assert zoo.load("or-and").fc1.weight.abs().min() > 0
    assert len(zoo.recorded("or-and")["units"]) == 2


def test_an_unknown_name_says_what_exists(tmp_path):
    """load, recorded and the script name the zoo's networks and the closest; a path is not a name."""
    for ask in (zoo.load, zoo.recorded, lambda name: build.main([name, "--out", str(tmp_path)])):
        with pytest.raises(
            XorMiError,
            match="no network 'or-andd'; the zoo has: or-and, nor-and.*did you mean 'or-and'",
        ):
            ask("or-andd")
    with pytest.raises(XorMiError, match="no network"):
        zoo.load("../data/or-and")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_said_and_not_guessed(tmp_path, monkeypatch):
    """A circuit.json that is missing or no JSON is an error with the next step."""
    monkeypatch.setattr(_stored, "DATA", tmp_path)
    with pytest.raises(
        XorMiError, match="or-and.circuit.json' of the zoo cannot be read.*xor_mi.zoo._build"
    ):
        zoo.recorded("or-and")
    (tmp_path / "or-and").mkdir()
    (tmp_path / "or-and" / "circuit.json").write_text("{", encoding="utf-8")
    with pytest.raises(XorMiError, match="cannot be read"):
        zoo.recorded("or-and")


def test_two_rebuilds_are_equal_byte_for_byte_and_have_the_stored_circuits(tmp_path, capsys):
    """The script is deterministic on one machine; against the stored folders its verdicts, gates,
    signatures and families are the same.
    """
    first, second = tmp_path / "first", tmp_path / "second"
    assert (
        build.main([*SMALL, "--out", str(first)]) == build.main([*SMALL, "--out", str(second)]) == 0
    )
    assert "or-and: identified, OR & ~AND: written to" in capsys.readouterr().out
    assert sorted(path.name for path in first.iterdir()) == sorted(SMALL)
    for name in SMALL:
        for file in FILES:
            assert (first / name / file).read_bytes() == (second / name / file).read_bytes()
        rebuilt, stored = (
            json.loads((first / name / "circuit.json").read_text(encoding="utf-8")),
            zoo.recorded(name),
        )
        for key in ("layer_sizes", "target", "verdict", "signature", "family", "formula"):
            assert rebuilt[key] == stored[key]
        assert [unit["gate"] for unit in rebuilt["units"]] == [
            unit["gate"] for unit in stored["units"]
        ]
    assert build.main([*SMALL, "--out", str(first), "--check"]) == 0
    assert capsys.readouterr().out.count("same bytes") == len(SMALL)


def test_check_finds_what_differs_and_writes_nothing(tmp_path, capsys):
    """Other bytes are said and pass; another circuit, a damaged one and a missing folder give
    status 1.
    """
    build.main(["or-and", "--out", str(tmp_path)])
    record = tmp_path / "or-and" / "circuit.json"
    written = record.read_text(encoding="utf-8")

    def check():
        capsys.readouterr()
        before = record.read_text(encoding="utf-8") if record.is_file() else None
        status = build.main(["or-and", "--out", str(tmp_path), "--check"])
        assert (record.read_text(encoding="utf-8") if record.is_file() else None) == before
        return status, capsys.readouterr().out.strip().rsplit(": ", 1)[1]

    assert check() == (0, "same bytes")
    record.write_text(written + "\n", encoding="utf-8")
    assert check() == (0, "same circuit, other bytes")
    record.write_text(
        written.replace('"signature": "OR & ~AND"', '"signature": "OR"'), encoding="utf-8"
    )
    assert check() == (1, "another circuit")
    record.write_text("[]", encoding="utf-8")
    assert check() == (1, "another circuit")
    record.unlink()
    assert check() == (1, "not there")


def test_a_broken_promise_is_an_error_and_nothing_is_written(tmp_path, monkeypatch):
    """Gates or a verdict other than the table's, or a claim that does not hold, stop the script
    before the first folder is written.
    """
    good, other = (
        build.NETWORKS[0],
        build.Network(
            name="odd",
            target="XOR",
            hidden=(2,),
            act_fn="relu",
            seed=5,
            gates=("OR", "AND"),
            purpose="promises what seed 5 does not give",
        ),
    )
    monkeypatch.setattr(build, "NETWORKS", (good, other))
    with pytest.raises(
        XorMiError,
        match=r"odd came out as identified with gates \(x1>x0, x0>x1\); the table says identified with \(OR, AND\)",
    ):
        build.main(["--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(XorMiError, match="came out as identified.*the table says not_computing"):
        build.rebuild(
            build.Network(
                name="odd",
                target="XOR",
                hidden=(2,),
                act_fn="relu",
                seed=29,
                gates=(),
                purpose="is solved",
            )
        )
    doubted = identify_circuit(zoo.load("or-and"))
    assert doubted.proof is not None
    claims = tuple(replace(claim, holds=claim.kind != "necessary") for claim in doubted.evidence)
    doubted = replace(doubted, proof=replace(doubted.proof, claims=claims))
    monkeypatch.setattr(build, "identify_circuit", lambda model: doubted)
    with pytest.raises(XorMiError, match="not all its claims hold: h0.0 is necessary; h0.1 is nec"):
        build.rebuild(good)


def test_the_script_runs_as_readme_says(tmp_path, monkeypatch):
    """python -m xor_mi.zoo._build exits 0 without a warning; an error is one line, which Python
    prints with status 1.
    """
    command = [
        sys.executable,
        "-W",
        "error::RuntimeWarning",
        "-m",
        "xor_mi.zoo._build",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run([*command, "untrained"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "untrained" / "model.safetensors").is_file()
    monkeypatch.setattr(sys, "argv", ["_build", "--out", str(tmp_path), "nobody"])
    with pytest.raises(SystemExit, match="^error: no network 'nobody'; the zoo has: or-and"):
        runpy.run_path(build.__file__, run_name="__main__")


def test_the_data_lie_where_hatch_packs_them():
    """The folders are inside the one package whose files, data included, make the wheel."""
    root = Path(__file__).parent.parent
    assert (root / "xor_mi" / "zoo" / "data").samefile(zoo.DATA)
    assert 'packages = ["xor_mi"]' in (root / "pyproject.toml").read_text(encoding="utf-8")
