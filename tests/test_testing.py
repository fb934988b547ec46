"""Records of circuits, what two of them differ in, and the assertions: against networks whose
difference is known by construction.
"""

import functools
import inspect
import json
import math
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import get_args

import hypothesis.strategies as st
import numpy as np
import packaging.version
import pytest
import torch
from hypothesis import given, settings
from networks import xor_by_other_conventions
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi import BooleanFunction, HookedMLP, Site, handmade, identify_circuit, patch, zoo
from xor_mi.circuits import Circuit, Evidence, _wording, live_units
from xor_mi.errors import XorMiError
from xor_mi.metrics import by_threshold
from xor_mi.testing import (
    NUMBERS,
    ClaimRecord,
    Differences,
    assert_acts_as,
    assert_computes,
    assert_patch_effect,
    assert_same_circuit,
    compare_records,
    read_record,
    record_of,
    write_record,
)
from xor_mi.testing._entries import is_same_release, release_of

pytestmark = pytest.mark.as_a_user

IDLE = [
    ([[1.0, 2.0], [-2.0, 2.0], [1.0, -1.0]], [1.0, 0.0, 1.0]),
    ([[0.0, 2.0, 1.0]], [-1.5]),
]  # unit 0 is not read, so it may read as anything
AMBIGUOUS = [
    ([[1.5, 2.5], [-2.5, 2.5], [-2.5, -2.5]], [-1.5, 0.0, 2.5]),
    ([[-3.75, 2.5, -3.75]], [3.5]),
]  # unit 0 may read as AND or as x1, of which only x1 passes interchange
NAMES = zoo.names()


def arrays(model: HookedMLP) -> list[tuple[np.ndarray, np.ndarray]]:
    """A model's weights as float64 NumPy arrays."""
    return [
        (linear.weight.detach().double().numpy(), linear.bias.detach().double().numpy())
        for linear in model.linears
    ]


def rebuilt(model: HookedMLP, weights: list[tuple[np.ndarray, np.ndarray]]) -> HookedMLP:
    """Such a model with other weights."""
    return HookedMLP.from_weights(
        weights, act_fn=model.cfg.act_fn, out_act_fn=model.cfg.out_act_fn, decision_threshold=model.cfg.decision_threshold, dtype=torch.float64, target=model.cfg.target
    )  # fmt: skip


def reordered(model: HookedMLP, rng: np.random.Generator, scaled: bool) -> HookedMLP:
    """Its hidden units renumbered and, for relu, rescaled by positive factors that the readers take
    back: the same function inside and out.
    """
    weights = arrays(model)
    for layer in range(len(weights) - 1):
        (w, b), (v, c) = weights[layer], weights[layer + 1]
        order, factor = (
            rng.permutation(len(b)),
            np.exp2(rng.integers(-3, 4, len(b))) if scaled else np.ones(len(b)),
        )
        weights[layer] = ((w * factor[:, None])[order], (b * factor)[order])
        weights[layer + 1] = ((v / factor)[:, order], c)
    return rebuilt(model, weights)


def with_constant_unit(model: HookedMLP, bias: float) -> HookedMLP:
    """One more relu unit in the first hidden layer, relu(bias) on every input, which the next layer
    takes off again.
    """
    (w, b), (v, c), *rest = arrays(model)
    more = (np.vstack([w, np.zeros((1, w.shape[1]))]), np.append(b, bias))
    return rebuilt(model, [more, (np.hstack([v, np.ones((len(v), 1))]), c - max(bias, 0)), *rest])


def doubted(circuit: Circuit) -> Circuit:
    """The textbook network's circuit, but one of the interchanges of h0.0 comes out otherwise."""
    claims = [
        replace(claim, effect=15, holds=False)
        if claim.kind == "interchange" and claim.units == (circuit.units[0].place,)
        else claim
        for claim in circuit.evidence
    ]
    return replace(circuit, proof=replace(circuit.proof, claims=tuple(claims)))


@pytest.fixture(scope="module")
def textbook_record():
    """The record of the textbook network; tests copy it before they change it."""
    return record_of(handmade.textbook_xor())


# records


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_what_the_zoo_has_recorded(name):
    """Verdict, gates, signature, edges and counts of a fresh record are those stored beside the
    network.
    """
    record, stored = record_of(zoo.load(name)), zoo.recorded(name)
    assert [(u["unit"], u["gate"]) for u in record["units"]] == [
        (u["unit"], u["gate"]) for u in stored["units"]
    ]
    assert all(
        record[key] == stored[key]
        for key in (
            "verdict",
            "signature",
            "formula",
            "readout",
            "edges",
            "layer_sizes",
            "n_readings",
        )
    )
    assert record["families"] == [stored["family"]]
    assert [claim["claim"] for claim in record["evidence"]] == [
        claim["claim"] for claim in stored["evidence"]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_live_units_are_those_without_which_the_signature_changes(name):
    """A unit is live exactly if it is not constant and some output's gate, followed through the
    netlist, depends on it; of copies one stands for all, and all are live.
    """
    circuit = identify_circuit(zoo.load(name))
    if circuit.primary is None:
        return
    edges = {(e.src.name, e.dst.name) for e in circuit.edges}
    reach = {
        unit.place.name
        for unit in circuit.units
        if not unit.note and any(_path(unit.place.name, out, edges) for out in ("y0",))
    }
    assert {unit.name for unit in circuit.circuits[0].live} == reach
    assert {unit["unit"] for unit in record_of(circuit)["units"] if unit["live"]} == reach
    copies = {unit.name for _, *others in circuit.copies for unit in others}
    standing = {unit.name for unit in live_units(circuit.netlist, circuit.layer_sizes)}
    assert standing == reach - copies


def _path(start: str, end: str, edges: set[tuple[str, str]]) -> bool:
    return start == end or any(_path(b, end, edges) for a, b in edges if a == start)


def test_a_record_comes_back_from_its_file(tmp_path):
    """Written and read, a record is the same; the file is plain JSON with a unit per line, and
    nothing is left beside it.
    """
    record = record_of(zoo.load("redundant-4"), test="test_it")
    write_record(record, tmp_path / "a.circuit.json")
    assert (
        read_record(tmp_path / "a.circuit.json")
        == json.loads((tmp_path / "a.circuit.json").read_text(encoding="utf-8"))
        == record
    )
    assert (
        sum(
            '"unit": "h0.' in line
            for line in (tmp_path / "a.circuit.json").read_text(encoding="utf-8").split("\n")
        )
        == 4
    )
    assert [file.name for file in tmp_path.iterdir()] == ["a.circuit.json"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: "", "cannot be read: it is empty"),
        (lambda text: "[1, 2]", "it has no 'format'"),
        (lambda text: text.replace("xor_mi.regression", "xor_mi.Circuit/2"), "it has no 'format'"),
        (lambda text: text.replace('"version": 3', '"version": 4'), "is of format 4; this xor-mi reads up to 3: install a later"),
        (lambda text: text.replace('"version": 3', '"version": "3"'), "'version' is \"3\", not int"),
        (lambda text: text.replace('"margin": 0.5', '"margin": NaN'), "NaN is not a number"),
        (lambda text: text.replace('"margin": 0.5', '"margin": "0.5"'), "'units[0].margin' is \"0.5\", not float or null"),
        (lambda text: text.replace('"live": true', '"live": 1'), "'units[0].live' is 1, not bool"),
        (lambda text: text.replace('"signature"', '"signed"'), "'signature' is missing"),
        (lambda text: text.replace('"unit": "h0.0"', '"unit": "OR"'), "'units[0].unit' is \"OR\", which is not a hidden unit"),
        (lambda text: text.replace('"edges": [', '"edges": [3, '), "'edges[0]' is 3, not str"),
        (lambda text: text.replace('"kind": "joint"', '"kind": "acts as"'), "'evidence[3].kind' is \"acts as\", not one of substitution, interchange, joint"),
        (lambda text: text.replace('{"mean": [["h0.0"]', '{"means": [["h0.0"]'), "'necessary_sets.mean' is missing"),
    ],
)  # fmt: skip
def test_a_damaged_baseline_is_refused_with_the_place(tmp_path, textbook_record, damage, says):
    """Cut off, foreign, later or edited by hand: one error that names the file, what is wrong and
    where, and what to do.
    """
    file = tmp_path / "b.circuit.json"
    write_record(textbook_record, file)
    before = file.read_text(encoding="utf-8")
    file.write_text(damage(before), encoding="utf-8")
    assert file.read_text(encoding="utf-8") != before
    with pytest.raises(XorMiError) as error:
        read_record(file)
    assert says in str(error.value)
    assert str(file) in str(error.value)


def planted(record, place, value):
    """The record with a value put where the path of keys leads."""
    changed = deepcopy(record)
    *path, last = place
    inside = changed
    for key in path:
        inside = inside[key]
    inside[last] = value
    return changed


NONSENSE = [
    (["layer_sizes"], [2, 1], "'layer_sizes' is [2, 1], not inputs, hidden layers and outputs"),
    (["layer_sizes"], [], "'layer_sizes' is []"),
    (["layer_sizes"], [2, -2, 1], "'layer_sizes[1]' is -2, not 1 to 16"),
    (["layer_sizes"], [0, 2, 1], "'layer_sizes[0]' is 0, not 1 to 12"),
    (["layer_sizes"], [2, 2, 0], "'layer_sizes[2]' is 0"),
    (["layer_sizes"], [2, 17, 1], "'layer_sizes[1]' is 17, not 1 to 16"),
    (["layer_sizes"], [10**9, 2, 1], "'layer_sizes[0]' is 1000000000, not 1 to 12"),
    (["layer_sizes"], [2, True, 1], "'layer_sizes[1]' is true, not int"),
    (["layer_sizes"], [2, 2.0, 1], "'layer_sizes[1]' is 2.0, not int"),
    (["layer_sizes"], [2, 3, 1], "'units' has 2 units, and 'layer_sizes' says 3"),
    (["layer_sizes"], [2, 1, 1, 1], "'units[1].unit' is \"h0.1\", which is not a hidden unit"),
    (["layer_sizes"], [2] + [1] * 10**5 + [1], "'units' has 2 units, and 'layer_sizes' says 100000"),
    (["target", "tables"], [], "'target.tables' has 0 tables for 1 outputs"),
    (["target", "tables", 0], [0, 1, 1], "'target.tables[0]' is [0, 1, 1], not 4 bits"),
    (["target", "tables", 0], [0, 1, 1, 2], "'target.tables[0]' is [0, 1, 1, 2], not 4 bits"),
    (["verdict"], "identify", "'verdict' is \"identify\", not one of identified, ambiguous"),
    (["n_readings"], -1, "'n_circuits' is 1, and 'n_readings' is -1"),
    (["n_readings"], 0, "'n_circuits' is 1, and 'n_readings' is 0"),
    (["n_circuits"], 2, "'n_circuits' is 2, and 'n_readings' is 1"),
    (["n_passing"], 2, "'n_passing' is 2, and 'n_circuits' is 1"),
    (["n_passing"], 0, "'n_passing' is 0, and 'verdict' is \"identified\""),
    (["proof_level"], None, "'proof_level' is None, and 'n_circuits' is 1"),
    (["proof_level"], "certain", "'proof_level' is \"certain\", not one of substitution, single,"),
    (["require"], "certain", "'require' is \"certain\", not one of substitution, single, joint"),
    (["min_margin"], 2.0, "'min_margin' is 2.0, not 0 to 1"),
    (["verdict"], "ambiguous", "'n_passing' is 1, and 'verdict' is \"ambiguous\""),
    (["verdict"], "approximate", "'n_passing' is 1, and 'verdict' is \"approximate\""),
    (["verdict"], "not_computing", "'n_readings' is 1, and 'verdict' is \"not_computing\""),
    (["families"], [], "'families' is empty"),
    (["wrong_rows"], {"00": []}, "'wrong_rows' names rows, and 'verdict' is \"identified\""),
    (["units", 0, "unit"], "h0.7", "'units[0].unit' is \"h0.7\", which is not a hidden unit"),
    (["units", 0, "unit"], "x0", "'units[0].unit' is \"x0\", which is not a hidden unit"),
    (["units", 1, "unit"], "h0.0", "'units[1].unit' is \"h0.0\", which occurs twice"),
    (["units", 0, "unit"], "h" * 10**5, "'units[0].unit' is \"" + "h" * 57 + "...\""),
    (["units", 0, "margin"], -0.1, "'units[0].margin' is -0.1, not at least 0"),
    (["units", 0, "interchange"], 1.5, "'units[0].interchange' is 1.5, not 0 to 1"),
    (["units", 0, "rows_changed"], -1, "'units[0].rows_changed' is -1, not 0 to 4"),
    (["units", 0, "rows_changed"], 5, "'units[0].rows_changed' is 5, not 0 to 4"),
    (["edges", 3], "x9->h0.0", "'edges[3]' is \"x9->h0.0\", which is not an edge of 2-2-1"),
    (["edges", 3], "x0->y0", "'edges[3]' is \"x0->y0\", which is not an edge of 2-2-1"),
    (["edges", 3], "h0.0->x0", "'edges[3]' is \"h0.0->x0\", which is not an edge of 2-2-1"),
    (["edges", 3], "x0 and h0.0", "'edges[3]' is \"x0 and h0.0\", which is not an edge of 2-2-1"),
    (["edges", 3], "x0->h0.0", "'edges[3]' is \"x0->h0.0\", which occurs twice"),
    (["joint_interchange"], [1.0, 1.0], "'joint_interchange' has more numbers than the 1 hidden"),
    (["joint_interchange", 0], 1.5, "'joint_interchange[0]' is 1.5, not 0 to 1"),
    (["necessary_sets", "zero", 0], ["h3.0"], "'necessary_sets.zero[0][0]' is \"h3.0\", which"),
    (["sufficient_sets", "mean", 0], ["h0.0", "h0.0"], "'sufficient_sets.mean[0][1]' is \"h0.0\""),
    (["evidence", 1, "units"], ["h0.5"], "'evidence[1].units[0]' is \"h0.5\", which is not a hidden"),
    (["evidence", 1, "n"], -3, "'evidence[1].n' is -3, not a count"),
    (["signature"], "x" * 10**6, "'signature' has 1,000,000 characters; at most 500,000"),
    (["families", 0], "x" * 10**6, "'families[0]' has 1,000,000 characters"),
    (["units", 0, "gate"], "x" * 10**6, "'units[0].gate' has 1,000,000 characters"),
    (["versions", "torch"], "x" * 10**6, "'versions.torch' has 1,000,000 characters"),
    (["versions", "x" * 10**6], "1.0", "'versions' has 1,000,000 characters"),
    (["versions", "x" * 10**6], 1, "xx...' is 1, not str"),
    (["units", 0, "gate"], "OR\x1b[31m", "'units[0].gate' is \"OR\\u001b[31m\", which cannot be"),
    (["formula"], "a\nb", "'formula' is \"a\\nb\", which cannot be printed"),
    (["reason"], "\0", "'reason' is \"\\u0000\", which cannot be printed"),
    (["evidence", 0, "claim"], "a\rb", "'evidence[0].claim' is \"a\\rb\", which cannot be printed"),
]  # fmt: skip
"""Where, what stands there, and what is said of it."""


@pytest.mark.parametrize(("place", "value", "says"), NONSENSE)
def test_nonsense_of_the_right_kind_is_refused_with_the_place(
    tmp_path, textbook_record, place, value, says
):
    """Sizes, units, edges, tables, counts and verdicts that contradict each other or cannot be, in
    a file and in a record that never was in one: one short line that says where.
    """
    changed = planted(textbook_record, place, value)
    file = tmp_path / "b.circuit.json"
    write_record(changed, file)
    with pytest.raises(XorMiError) as in_a_file:
        read_record(file)
    with pytest.raises(XorMiError) as in_memory:
        compare_records(textbook_record, changed)
    for error in (in_a_file, in_memory):
        message = str(error.value).replace(str(file), "FILE")
        assert says in message
        assert "\n" not in message
        assert len(message) < 300


@pytest.mark.parametrize(
    ("row", "decided", "says"),
    [
        ("010", [], "'wrong_rows' has \"010\", which is not a row of 2 inputs"),
        ("0x", [], "'wrong_rows' has \"0x\", which is not a row of 2 inputs"),
        ("01", [[1]], "'wrong_rows.01' is [[1]], not two times 1 decisions"),
        ("01", [[0, 1], [0]], "'wrong_rows.01' is [[0, 1], [0]], not two times 1 decisions"),
        ("01", [[2], [0]], "'wrong_rows.01' is [[2], [0]]; decisions are 0, 1 or -1"),
    ],
)
def test_wrong_rows_that_cannot_be_are_refused(tmp_path, row, decided, says):
    """Rows of another width and decisions that are none."""
    record = record_of(zoo.load("unsolved"))
    file = tmp_path / "b.circuit.json"
    write_record(record, file)
    assert read_record(file)["wrong_rows"]
    write_record(planted(record, ["wrong_rows", row], decided), file)
    with pytest.raises(XorMiError) as error:
        read_record(file)
    assert says in str(error.value)


def test_half_a_character_is_refused_with_a_message_that_can_be_written(tmp_path, textbook_record):
    """JSON can hold what no encoding has."""
    file = tmp_path / "b.circuit.json"
    file.write_text(json.dumps(textbook_record | {"signature": "\ud800"}), encoding="utf-8")
    with pytest.raises(XorMiError, match="which cannot be printed") as error:
        read_record(file)
    str(error.value).encode()


def test_long_texts_are_compared_in_short_lines_from_where_they_part(textbook_record):
    """A baseline may hold formulas of many thousand characters; a message has no room for them."""
    begin = "x0 | " * 10_000
    old = textbook_record | {"signature": begin + "OLD", "families": [begin + "x1" + "|x2" * 900]}
    found = str(compare_records(old, textbook_record | {"signature": begin + "NEW"}))
    (line,) = [line for line in found.splitlines() if line.startswith("signature: ")]
    assert line == f"signature: ...{begin[-50:]}OLD -> ...{begin[-50:]}NEW"
    longer = deepcopy(textbook_record) | {"signature": "AND"}
    longer["units"][0]["gate"] = "y" * 10**5
    longer["evidence"] = [
        claim | {"holds": False, "claim": "z" * 10**5} for claim in longer["evidence"]
    ]
    for pair in ((old, longer), (longer, old)):
        for up_to in ("signature", "family"):
            assert 100 < len(str(compare_records(*pair, up_to=up_to))) < 6_000


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_record_in_memory_has_finite_numbers_too(textbook_record, number):
    """JSON has no such number, and a record that never was in a file may not have one either."""
    changed = planted(textbook_record, ["worst_margin"], number)
    with pytest.raises(XorMiError, match=f"'worst_margin' is {number}, not a finite number"):
        compare_records(textbook_record, changed)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_makes_sense(tmp_path, name):
    """The record of every network of the zoo is read back, so no rule refuses what is true."""
    record = record_of(zoo.load(name))
    write_record(record, tmp_path / "a.circuit.json")
    assert read_record(tmp_path / "a.circuit.json") == record


def test_a_missing_baseline_is_an_error_too(tmp_path):
    """The library's own error, not the file system's."""
    with pytest.raises(XorMiError, match="cannot be read"):
        read_record(tmp_path / "nothing.circuit.json")


# the versions a circuit was found with


def record_elsewhere(monkeypatch, versions, model=None):
    """A network's record, the textbook's unless another is given, as it comes out where packages
    have other versions.
    """
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("xor_mi.testing._record.found_with", lambda: versions)
        return record_of(model or handmade.textbook_xor())


def moved() -> HookedMLP:
    """The textbook network with other numbers and the same gates."""
    return handmade.edit(handmade.textbook_xor(), {"fc1.weight[0, 1]": 1.01})


HERE = {"xor-mi": "0.2.0", "torch": "2.13.0+cpu", "transformer-lens": "4.3.0"}


@pytest.mark.parametrize(
    "torch_version", ["2.13.0", "2.13.0+cpu", "2.13.0+cu130", "2.13.0a0+git5c2f", "2.13.0.dev20260401", "2.13.0rc2", "2.13.0.post1"],
)  # fmt: skip
def test_a_release_is_stored_and_not_its_build(tmp_path, monkeypatch, torch_version):
    """Written on another build of the same release, a baseline is the same to the last byte. What
    the release is, the standard's own reader of versions says.
    """
    for name, versions in (("a", HERE), ("b", HERE | {"torch": torch_version})):
        write_record(record_elsewhere(monkeypatch, versions), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    release = ".".join(map(str, packaging.version.Version(torch_version).release))
    assert read_record(tmp_path / "b")["versions"]["torch"] == release == "2.13.0"


def test_other_versions_are_said_where_a_number_differs_and_only_there(monkeypatch):
    """A number that moved gets the releases as a hint; a gate that changed gets none, nor does
    what is the same; and another build of one release is no other version.
    """
    old = record_elsewhere(monkeypatch, HERE)
    later = HERE | {"torch": "2.15.0+cu132", "xor-mi": "0.3.0"}
    hint = (
        "found with other versions, which may round differently: xor-mi 0.2.0 -> 0.3.0, "
        "torch 2.13.0 -> 2.15.0"
    )
    found = compare_records(old, record_elsewhere(monkeypatch, later, moved()))
    assert found.numbers
    assert not found.facts
    assert found.notes == (hint,)
    assert str(found).endswith(hint)

    same = compare_records(old, record_elsewhere(monkeypatch, later))
    other_gate = compare_records(old, record_of(zoo.load("nor-and")), tolerance=None)
    assert not same
    assert other_gate.facts
    assert same.notes == other_gate.notes == ()

    another_build = HERE | {"torch": "2.13.0+cu130"}
    found = compare_records(old, record_elsewhere(monkeypatch, another_build, moved()))
    assert found.numbers
    assert found.notes == ()


def test_a_baseline_that_names_a_build_is_compared_by_its_release(monkeypatch):
    """0.1.0 stored 2.13.0+cpu; against 2.13.0 of today that is no other version."""
    new = record_elsewhere(monkeypatch, HERE, moved())
    old = record_elsewhere(monkeypatch, HERE) | {"versions": HERE}
    found = compare_records(old, new)
    assert found.numbers
    assert found.notes == ()
    unknown = compare_records(old | {"versions": {"torch": "home-made"}}, new)
    assert "torch home-made -> 2.13.0" in unknown.notes[0]
    assert "xor-mi unknown -> 0.2.0" in unknown.notes[0]


VERSIONS = [
    *("2.13.0", "2.13", "2.13.0.0", "2.13.0+cpu", "v2.13.0", "02.13.0", " 2.13.0 ", "0!2.13"),
    *("2.13.0rc1", "2.13.0.post1", "2.13.0-1", "2.13.0.dev1", "2.13.0a0+gitabc", "2.13c1.post2"),
    *("1!2.13.0", "1!2.13", "2.14.0.dev20260801+cu130", "2.13.1", "2", "0", "0.0", "2.0.13"),
    *("2,13", "2.", "", "+cpu", "unknown", "\u0662.\u0661", "2.13.x", "2.13.0+", "1!", "2.13-"),
]


@pytest.mark.parametrize("version", VERSIONS)
def test_releases_are_those_that_packaging_reads(version):
    """Epoch, numbers without trailing zeros, neither stage nor build; a candidate and a later post
    of one release count as it. What is not a version is only the same as itself.
    """

    def key(text):
        try:
            found = packaging.version.Version(text)
        except packaging.version.InvalidVersion:
            return text
        numbers = list(found.release)
        while len(numbers) > 1 and numbers[-1] == 0:
            numbers.pop()
        return found.epoch, *numbers

    for other in VERSIONS:
        assert is_same_release(version, other) == (key(version) == key(other)), other
    assert is_same_release(version, release_of(version))


def test_a_version_of_any_length_is_read_at_once_and_said_in_short(monkeypatch):
    """Numbers without end, texts that are nearly versions, and what is none."""
    new = record_elsewhere(monkeypatch, HERE, moved())
    for version in (
        "9" * 10**5,
        "1." * 10**5,
        ".0" * 10**5 + "x",
        "1.0" + ".0" * 10**5,
        "x" * 10**5,
    ):
        old = record_elsewhere(monkeypatch, HERE) | {"versions": HERE | {"torch": version}}
        (note,) = compare_records(old, new).notes
        assert len(note) < 200


# baselines of format 1, written by xor-mi 0.1.0

FORMAT_1 = sorted((Path(__file__).parent / "records_of_format_1").glob("*.circuit.json"))


@pytest.mark.parametrize("file", FORMAT_1, ids=lambda file: file.name.split(".")[0])
def test_a_baseline_of_format_1_compares_equal(file):
    """What an earlier version stored says the same today: every fact, every number, every kind of
    claim.
    """
    assert json.loads(file.read_text(encoding="utf-8"))["version"] == 1
    old, new = read_record(file), record_of(zoo.load(file.name.split(".")[0]))
    assert old["version"] == new["version"] == 3
    assert (old["proof_level"], old["n_circuits"]) == (None, None), "it did not say"
    for up_to in ("signature", "family"):
        found = compare_records(old, new, tolerance=1e-6, up_to=up_to)
        if file.name.startswith("redundant"):
            # copies are one variable now, so the formula is shorter, and a note says why
            assert "pytest --force-regen" in found.notes[0]
        else:
            assert not found, str(found)
    assert [claim["kind"] for claim in old["evidence"]] == [
        claim["kind"] for claim in new["evidence"]
    ]
    assert [unit["constant"] for unit in old["units"]] == [
        unit["constant"] for unit in new["units"]
    ]
    assert old["wrong_rows"].keys() == new["wrong_rows"].keys()


def test_baselines_of_format_1_are_of_every_sort():
    """A network that fails, dead units, copies, two hidden layers."""
    assert [file.name.split(".")[0] for file in FORMAT_1] == [
        "dead-4",
        "deep-xor",
        "redundant-4",
        "unsolved",
    ]
    assert read_record(FORMAT_1[-1])["wrong_rows"] == {"01": [], "10": []}


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("two levels", "substitution"),
        ("h0.1 acts as NOR", "interchange"),
        ("act together", "joint"),
        ("h0.3 is necessary", "necessary"),
        ("sufficient", "sufficient"),
    ],
)
def test_a_claim_of_format_1_that_did_not_hold_is_told_by_its_kind(tmp_path, words, kind):
    """The claim holds today: that is a difference, and it is counted under the right kind."""
    record = json.loads(FORMAT_1[0].read_text(encoding="utf-8"))
    claims = [claim for claim in record["evidence"] if words in claim["claim"]]
    claims[0]["holds"] = False
    (tmp_path / "old.circuit.json").write_text(json.dumps(record), encoding="utf-8")
    found = compare_records(
        read_record(tmp_path / "old.circuit.json"), record_of(zoo.load("dead-4"))
    )
    assert found.numbers == (f"claims that do not hold, '{kind}': 1 -> 0",)


def test_a_network_that_fails_on_other_rows_than_at_format_1_is_said(tmp_path):
    """The rows stood in the old reason alone, and are compared all the same."""
    text = FORMAT_1[-1].read_text(encoding="utf-8").replace("wrong on 01, 10", "wrong on 01, 11")
    (tmp_path / "old.circuit.json").write_text(text, encoding="utf-8")
    found = compare_records(
        read_record(tmp_path / "old.circuit.json"), record_of(zoo.load("unsolved"))
    )
    assert len(found.facts) == 1
    assert found.facts[0].startswith("verdict: not computing (")


# sentences are for people


def reword(monkeypatch) -> None:
    """Every function of circuits/_wording.py that gives a sentence gives another one."""
    for name, function in inspect.getmembers(_wording, inspect.isfunction):
        if function.__module__ == _wording.__name__:
            monkeypatch.setattr(_wording, name, in_other_words(function))


def in_other_words(function):
    """A function whose texts come out in capitals and with the words reversed."""

    def reworded(*args, **kwargs):
        value = function(*args, **kwargs)
        if not isinstance(value, str):
            return value
        return " ".join(reversed(value.upper().split(" "))) + " (in other words)"

    return reworded


def without_sentences(record):
    """What a program may look at."""
    claims = [
        {key: claim[key] for key in claim if key not in ("claim", "counted")}
        for claim in record["evidence"]
    ]
    return {key: record[key] for key in record if key != "reason"} | {"evidence": claims}


@pytest.mark.parametrize("name", NAMES)
def test_rewording_every_sentence_changes_no_verdict_and_no_baseline(name, monkeypatch):
    """The circuit is the same, the record is but for its sentences, and each is held against the
    other without a difference.
    """
    model = zoo.load(name)
    circuit, before = identify_circuit(model), record_of(model)
    said = circuit.reason
    reword(monkeypatch)
    after = record_of(model)
    if circuit.evidence:
        assert [claim["claim"] for claim in before["evidence"]] != [
            claim["claim"] for claim in after["evidence"]
        ]
    assert without_sentences(before) == without_sentences(after)
    assert not compare_records(before, after, tolerance=0)
    assert not compare_records(after, before, tolerance=0)
    assert not compare_records(before, after, up_to="family")
    again = identify_circuit(model)
    assert again.reason != said
    assert again == circuit
    assert (again.signature, again.family) == (circuit.signature, circuit.family)


def test_rewording_changes_no_assertion(monkeypatch):
    """What passes goes on to pass; a circuit whose interchange does not hold goes on to fail, in
    the new words.
    """
    reword(monkeypatch)
    model = handmade.textbook_xor()
    assert_acts_as(model, {"OR": 0, "AND": 1})
    assert_same_circuit(model, handmade.textbook_xor(), tolerance=0)
    with pytest.raises(AssertionError, match=r"h0.0 is read as OR, but .*\(in other words\)"):
        assert_acts_as(doubted(identify_circuit(model)), {"OR": 0})
    with pytest.raises(AssertionError, match="h0.0 acts as OR, not as AND"):
        assert_acts_as(model, {"AND": 0})


def test_rewording_hides_no_claim_that_fails(monkeypatch):
    """A claim that no longer holds is counted under its kind, whatever it is called."""
    circuit = identify_circuit(handmade.textbook_xor())
    before = record_of(circuit)
    reword(monkeypatch)
    (line,) = compare_records(before, record_of(doubted(circuit)), tolerance=0).numbers
    assert line.startswith("claims that do not hold, 'interchange': 0 -> 1 (")


def test_the_kinds_of_a_stored_claim_are_those_of_evidence():
    """The format names its kinds by itself, and they are the same."""
    stored = ClaimRecord.__annotations__["kind"]
    assert get_args(stored) == get_args(Evidence.__dataclass_fields__["kind"].type)


# what stays the same


@functools.cache
def record_of_zoo(name):
    """The record of a network of the zoo."""
    return record_of(zoo.load(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("untrained", "unsolved")])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_renumbered_and_rescaled_units_are_no_difference(name, seed):
    """Every network of the zoo with its units in another order, and rescaled where relu allows it,
    has the same record up to rounding.
    """
    model = zoo.load(name)
    other = reordered(model, np.random.default_rng(seed), scaled=model.cfg.act_fn == "relu")
    found = compare_records(record_of_zoo(name), record_of(other), tolerance=1e-9)
    assert not found, str(found)


@pytest.mark.parametrize("name", ["or-and", "nor-and", "redundant-4", "dead-4", "deep-xor"])
@pytest.mark.parametrize("bias", [-1.0, 0.5])
def test_a_constant_unit_more_or_less_is_no_difference(name, bias):
    """A unit that is off or on whatever the input changes no fact and no number that is
    compared.
    """
    model = zoo.load(name)
    other = with_constant_unit(model, bias)
    assert {unit.note for unit in identify_circuit(other).units} >= {
        "dead" if bias < 0 else "always on"
    }
    for old, new in ((model, other), (other, model)):
        assert not (found := compare_records(record_of(old), record_of(new))), str(found)


def test_several_readings_are_the_same_in_any_order():
    """A network with three readings of one circuit is not another one because its units are
    renumbered, and neither is one with several circuits.
    """
    model = HookedMLP.from_weights(IDLE, target="XOR")
    record = record_of(model)
    assert (record["verdict"], record["n_readings"]) == ("identified", 3)
    several = several_circuits()
    assert (several["verdict"], several["n_passing"]) == ("ambiguous", 2)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        assert not compare_records(record, record_of(reordered(model, rng, scaled=True)))
        assert not compare_records(several, several_circuits(rng))


def several_circuits(rng: np.random.Generator | None = None) -> dict[str, object]:
    """The record of a network of which two circuits survive substitution, perhaps renumbered."""
    model = HookedMLP.from_weights(AMBIGUOUS, target="XOR")
    if rng is not None:
        model = reordered(model, rng, scaled=True)
    return record_of(identify_circuit(model, require="substitution"))


def test_networks_without_a_circuit_compare_by_the_rows_they_get_wrong():
    """not_computing is a finding that can be held, too; other wrong rows are a change."""
    old, new = (
        HookedMLP.from_weights([([[w, w]], [0.0]), ([[1.0]], [-0.5])], target="XOR")
        for w in (1.0, -1.0)
    )
    assert not compare_records(record_of(old), record_of(old))
    (changed,) = compare_records(record_of(old), record_of(new)).facts
    before, after = changed.split(" -> ")
    assert before.startswith("verdict: not computing (it does not compute XOR: wrong on 11; ")
    assert after.startswith("not computing (it does not compute XOR: wrong on 01, 10; ")


# what changed, in words


def facts(old: HookedMLP, new: HookedMLP, **how: object) -> Differences:
    """What a network's circuit differs in from another's."""
    return compare_records(record_of(old), record_of(new), **how)


def test_a_changed_gate_is_said_first():
    """or-and against or-nand: the unit that was AND is NAND; the other is as before; formula,
    signature and family come after.
    """
    found = facts(zoo.load("or-and"), zoo.load("or-nand"))
    assert found.facts[0] == "unit 1: AND -> NAND"
    assert found.same == ("unit 0: OR",)
    assert found.facts[1:] == (
        f"formula: (x0 | x1) & ~(x0 & x1) -> {zoo.recorded('or-nand')['formula']}",
        f"signature: OR & ~AND -> {zoo.recorded('or-nand')['signature']}",
        "family: OR & ~AND, as before",
    )  # fmt: skip
    assert not facts(zoo.load("or-and"), zoo.load("or-nand"), up_to="family")


# XOR of steps: an OR and an AND; then with the AND there twice, and with a dead unit
OR_AND = [([[1, 1], [1, 1]], [-0.5, -1.5]), ([[1, -1]], [-0.5])]
AND_TWICE = [([[1, 1], [1, 1], [1, 1]], [-0.5, -1.5, -1.5]), ([[1, -0.5, -0.5]], [-0.5])]
WITH_DEAD = [([[1, 1], [1, 1], [0, 0]], [-0.5, -1.5, -1]), ([[1, -1, 2]], [-0.5])]


def of_steps(layers, target="XOR"):
    """A network of steps, 1 above 0."""
    return HookedMLP.from_weights(
        layers, act_fn="heaviside", out_act_fn="identity", decision_threshold=0.0, target=target
    )


def test_a_copy_counts_as_a_unit_and_a_dead_unit_does_not():
    """Up to signature, unit by unit; the message says that the signature is the same. Up to family
    neither counts.
    """
    plain = of_steps(OR_AND)
    found = facts(plain, of_steps(AND_TWICE))
    assert found.facts == (
        "layers: 2-2-1 -> 2-3-1",
        "unit 2 is new: AND",
        "signature: OR & ~AND, as before",
        "family: OR & ~AND, as before",
    )
    assert not facts(plain, of_steps(AND_TWICE), up_to="family")
    assert not facts(plain, of_steps(WITH_DEAD))
    assert not facts(plain, of_steps(WITH_DEAD), up_to="family")


def test_another_number_of_inputs_is_said_first():
    """A network of three inputs: its sizes come before all that follows from them."""
    wide = of_steps([([[1, 1, 0], [1, 1, 0]], [-0.5, -1.5]), ([[1, -1]], [-0.5])], "x0 ^ x1")
    first, second, *_ = facts(of_steps(OR_AND), wide).facts
    assert first == "layers: 2-2-1 -> 3-2-1"
    assert second.startswith(("unit", "target"))


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("(x0 | x1) & (~x0 | ~x1)", "(~x1 | ~x0) & (x1 | x0)", True),
        ("x0 ^ x1 ^ x2", "x2 ^ x0 ^ x1", True),
        ("x0 & (x1 | x2)", "x1 & (x0 | x2)", False),
        ("(x0 | x1) & ~(x0 & x1)", "(x0 | x1) & (~x0 | ~x1)", False),
        ("x0, x1", "x1, x0", False),
        ("x0 & (x1", "(x1 & x0", False),
    ],
)
def test_a_formula_in_another_order_is_not_a_change(textbook_record, old, new, is_same):
    """Where a unit changed beside it; other brackets, outputs in another order, or a text that is
    not a formula, are.
    """
    before = deepcopy(textbook_record) | {"formula": old}
    after = deepcopy(textbook_record) | {"formula": new, "signature": "AND"}
    lines = [line for line in compare_records(before, after).facts if line.startswith("formula")]
    assert lines == ([] if is_same else [f"formula: {old} -> {new}"])


def test_the_record_says_what_ablated_units_were_set_to(tmp_path):
    """The two sufficient claims differ by it. A baseline without it, as 0.1.0 wrote, is read and is
    the same; another word is refused.
    """
    record = record_of(of_steps(OR_AND))
    ablated = [(claim["kind"], claim.get("ablation")) for claim in record["evidence"]]
    assert ablated[-2:] == [("sufficient", "mean"), ("sufficient", "zero")]
    assert {kind for kind, value in ablated if value is None} == {
        "substitution",
        "interchange",
        "joint",
    }
    old = deepcopy(record)
    for claim in old["evidence"]:
        claim.pop("ablation", None)
    file = tmp_path / "old.circuit.json"
    write_record(old, file)
    assert not compare_records(read_record(file), record)
    old["evidence"][-1]["ablation"] = "median"
    write_record(old, file)
    with pytest.raises(XorMiError, match=r"evidence\[\d\].ablation.*not one of mean, zero"):
        read_record(file)


def test_a_tolerance_beside_the_family_is_refused(textbook_record):
    """It would be taken and change nothing."""
    for tolerance in (1e-3, {"margin": 0.1}):
        with pytest.raises(XorMiError, match="up_to='family' compares no numbers; leave one"):
            compare_records(textbook_record, textbook_record, tolerance=tolerance, up_to="family")
        with pytest.raises(XorMiError, match="up_to='family' compares no numbers"):
            assert_same_circuit(
                zoo.load("or-and"), zoo.load("or-and"), tolerance=tolerance, up_to="family"
            )
    assert not compare_records(textbook_record, textbook_record, tolerance=None, up_to="family")


def test_arguments_in_another_order_are_told_their_order(textbook_record):
    """What comes first, and how it is written right."""
    model = handmade.textbook_xor()
    wrong = [
        (lambda: assert_same_circuit("x.circuit.json", model), "the network comes first, the stored circuit second"),
        (lambda: assert_same_circuit(Path("x.json"), model), "the network comes first, the stored circuit second"),
        (lambda: assert_same_circuit(textbook_record, model), "the network comes first, the stored circuit second"),
        (lambda: assert_computes("XOR", model), r"assert_computes\(network, 'XOR'\)"),
        (lambda: assert_acts_as({"OR": 0}, model), "the network comes first, then the gates"),
        (lambda: assert_acts_as(model, {0: "OR"}), "write {'OR': 0}: the gate, then the unit"),
        (lambda: assert_acts_as(model, {"h0.1": "AND"}), "write {'AND': 'h0.1'}: the gate, then"),
        (lambda: compare_records(model, textbook_record), r"old is a HookedMLP, not its record; give record_of\("),
        (lambda: compare_records(textbook_record, identify_circuit(model)), r"new is a Circuit, not its record; give record_of\("),
    ]  # fmt: skip
    for call, says in wrong:
        with pytest.raises(XorMiError, match=says):
            call()


def test_a_moved_unit_is_said_with_its_former_number():
    """Units are matched by gate: OR moved from 0 to 1, and what is now unit 0 was unit 1."""
    new = handmade.from_gates(["NAND", "OR"])
    found = facts(zoo.load("or-and"), new)
    assert found.facts[0] == "unit 0 (unit 1 in the baseline): AND -> NAND"
    assert found.same == ("unit 1 (unit 0 in the baseline): OR",)


def test_units_that_come_and_go_are_named():
    """nor-and against its doubled version: two units are new; the other way round two are gone, and
    a pair that stays is not called changed.
    """
    small, doubled = zoo.load("nor-and"), zoo.load("redundant-4")
    assert [line for line in facts(small, doubled).facts if "is new" in line] == [
        "unit 1 is new: NOR",
        "unit 3 is new: AND",
    ]
    gone = [line for line in facts(doubled, small).facts if "is gone" in line]
    assert sorted(line.split(": ")[1] for line in gone) == ["AND", "NOR"]
    assert not [
        line for line in facts(doubled, small).facts if "->" in line and line.startswith("unit")
    ]


def test_another_family_names_the_units():
    """gt-lt instead of or-and: both units change, and the family too."""
    found = facts(zoo.load("or-and"), zoo.load("gt-lt"), up_to="family")
    assert found.facts[:2] == ("unit 0: OR -> x1>x0", "unit 1: AND -> x0>x1")
    assert found.facts[-1] == "family: OR & ~AND -> x0>x1 | x1>x0"
    assert found.numbers == ()


def test_a_unit_that_the_circuit_does_without_is_no_difference():
    """A unit that can be read in three ways, none of which matters, joins a network or leaves it."""
    (w, b), (v, c) = IDLE
    without = HookedMLP.from_weights([(w[1:], b[1:]), ([v[0][1:]], c)], target="XOR")
    beside = HookedMLP.from_weights(IDLE, target="XOR")
    assert not (found := facts(without, beside)), str(found)
    assert not (found := facts(beside, without)), str(found)


def test_a_verdict_that_is_no_longer_unique_is_said():
    """Two circuits in place of one, and what was required of them."""
    one, several = record_of(zoo.load("or-and")), several_circuits()
    there = compare_records(one, several).facts
    assert "verdict: identified -> ambiguous (2 circuits)" in there
    back = compare_records(several, one)
    assert "verdict: ambiguous (2 circuits) -> identified" in back.facts
    assert "require=substitution, min_margin=0.01 -> require=joint" in back.notes[0]


def test_a_changed_level_of_proof_is_a_change():
    """The same circuit, proved less far: the one line says so."""
    record = record_of(zoo.load("or-and"))
    weaker = record | {"proof_level": "single", "verdict": "approximate", "n_passing": 0}
    assert compare_records(record, weaker).facts == (
        "verdict: identified -> approximate (1 circuit survives, none is proved to 'joint')",
        "level of proof: joint -> single",
    )


def test_a_network_that_fails_is_said_with_its_rows_and_its_former_gates():
    """Training that no longer solves XOR: no unit has a gate, and the wrong rows are named."""
    found = facts(zoo.load("or-and"), zoo.load("unsolved"))
    assert found.facts[0] == "no unit has a gate: unit 0 was OR, unit 1 was AND"
    assert found.facts[1].startswith(
        "verdict: identified -> not computing (it does not compute XOR: wrong on "
    )
    back = facts(zoo.load("unsolved"), zoo.load("or-and"))
    assert back.facts[:2] == ("unit 0 is new: OR", "unit 1 is new: AND")


def test_another_target_is_said():
    """A network that computes AND is not compared as if it were to compute XOR."""
    assert (
        "target: XOR -> AND"
        in facts(handmade.textbook_xor(), handmade.from_gates(["AND", "OR"], "AND")).facts
    )


def test_edges_that_come_and_go_are_named():
    """The same gates wired otherwise: y0 reads h0.2 no more."""
    before = record_of(handmade.from_gates(["x0>x1", "x1>x0", "AND"], "OR"))
    after = deepcopy(before)
    after["edges"].remove("h0.2->y0")
    after["signature"] = "another"
    assert "edge h0.2->y0 is gone" in compare_records(before, after).facts
    assert "edge h0.2->y0 is new" in compare_records(after, before).facts


def test_deeper_units_go_by_their_names():
    """With several hidden layers a number alone would not say which unit."""
    found = facts(zoo.load("deep-parity-3"), zoo.load("parity-3"))
    assert any(line.startswith("unit h1.0 is gone") for line in found.facts)


def test_a_baseline_edited_by_hand_does_not_pass():
    """A gate changed in the file, its signature not: the unit is said all the same."""
    record = record_of(handmade.textbook_xor())
    edited = deepcopy(record)
    edited["units"][1]["gate"] = "NAND"
    assert compare_records(edited, record).facts[0] == "unit 1: NAND -> AND"


def with_gates(record, gates):
    """Such a record whose units have these gates, without what else names its units."""
    units = [
        {**record["units"][0], "unit": f"h0.{k}", "gate": gate} for k, gate in enumerate(gates)
    ]
    unnamed = {"edges": [], "evidence": []}
    unnamed |= {kind: {"mean": [], "zero": []} for kind in ("necessary_sets", "sufficient_sets")}
    return record | unnamed | {"layer_sizes": [2, len(gates), 1], "units": units}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["OR", "AND", "NOR"]), min_size=1, max_size=6),
    st.lists(st.sampled_from(["OR", "AND", "NOR"]), min_size=1, max_size=6),
)
def test_matching_pairs_as_many_equal_gates_as_there_are(textbook_record, old, new):
    """Every unit is in exactly one pair, and no pairing has more pairs with the same gate."""
    found = compare_records(with_gates(textbook_record, old), with_gates(textbook_record, new))
    gone = [line for line in found.facts if re.match(r"unit \d is gone", line)]
    here = [line for line in (*found.same, *found.facts) if re.match(r"unit \d", line)]
    here = [line for line in here if line not in gone]
    assert sorted(line[:6] for line in here) == [f"unit {k}" for k in range(len(new))]
    n_new = sum("is new" in line for line in here)
    assert len(here) - n_new + len(gone) == len(old)
    assert len(found.same) == sum(min(old.count(g), new.count(g)) for g in ("OR", "AND", "NOR"))


# numbers


def scaled_readout(model: HookedMLP, factor: float) -> HookedMLP:
    """All outputs, and so their distance from the threshold 0, times a factor."""
    *hidden, (v, c) = arrays(model)
    return rebuilt(model, [*hidden, (v * factor, c * factor)])


@pytest.mark.parametrize("tolerance", [1e-6, 0.01, 0.3])
@pytest.mark.parametrize(
    ("part", "passes"), [(0.99, True), (-0.99, True), (1.01, False), (-1.01, False)]
)
def test_the_bound_of_a_tolerance_is_absolute_plus_relative(tolerance, part, passes):
    """A number may move by tolerance + tolerance * |old|, to either side, and by no more."""
    model = zoo.load("or-and")
    old = record_of(model)["worst_margin"]
    bound = tolerance + tolerance * old
    moved = scaled_readout(model, (old + part * bound) / old)
    assert (not facts(model, moved, tolerance=tolerance)) == passes


def test_a_number_beyond_its_tolerance_is_said_with_both_parts_of_the_bound():
    """Old, new, how far off, what was allowed; gates are as before."""
    record = record_of(handmade.textbook_xor())
    moved = deepcopy(record)
    moved["units"][1]["margin"] = record["units"][1]["margin"] + 0.25
    found = compare_records(record, moved, tolerance={"margin": 0.1})
    assert found.facts == ()
    assert found.numbers == (
        "unit 1 margin: 1 -> 1.25, off by 0.25; allowed 0.2 (absolute 0.1 + relative 0.1)",
    )
    assert str(found).startswith("gates, edges and verdict are as before; the evidence changed\n")
    assert not compare_records(record, moved, tolerance={"margin": 0.125})
    assert not compare_records(record, moved, tolerance=None)


@pytest.mark.parametrize("scale", [0.5, 1.01])
def test_weights_that_move_a_real_number_are_found(scale):
    """Scaling the output layer moves every output's distance from the threshold, and no gate."""
    model = zoo.load("or-and")
    found = facts(model, scaled_readout(model, scale))
    assert found.facts == ()
    assert len(found.numbers) == 1
    assert found.numbers[0].startswith("worst margin: 3.7514")
    assert f"{3.7514567 * scale:.5g}"[:4] in found.numbers[0]


def test_sets_and_claims_that_change_are_said_with_gates():
    """What is necessary is written as gates, since units may be renumbered; a claim that no longer
    holds is quoted.
    """
    record = record_of(handmade.textbook_xor())
    other = deepcopy(record)
    other["necessary_sets"]["mean"] = [["h0.0", "h0.1"]]
    other["evidence"][1]["holds"] = False
    assert compare_records(record, other).numbers == (
        "necessary units (mean ablation): {AND}; {OR} -> {AND, OR}",
        "claims that do not hold, 'interchange': 0 -> 1 (h0.0 acts as OR)",
    )


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"tolerance": -1}, "the tolerance of margin is -1"),
        ({"tolerance": math.nan}, "is nan"),
        ({"tolerance": math.inf}, "is inf"),
        ({"tolerance": True}, "is True"),
        ({"tolerance": "1e-3"}, "is '1e-3'"),
        ({"tolerance": {"marginn": 0.1}}, "no number 'marginn'; tolerances are for: margin, interchange, rows_changed, worst_margin, joint_interchange; did you mean 'margin'?"),
        ({"up_to": "permutation"}, "no up_to 'permutation'; circuits are compared up to: signature, family"),
    ],
)  # fmt: skip
def test_arguments_that_say_nothing_are_refused(textbook_record, how, says):
    """Tolerances are numbers of at least 0 with known names; up_to is one of two words."""
    with pytest.raises(XorMiError) as error:
        compare_records(textbook_record, textbook_record, **how)
    assert says in str(error.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_named_number_is_compared(textbook_record, name):
    """No name of a tolerance is without effect."""
    moved = deepcopy(textbook_record)
    place = moved["units"][0] if name in moved["units"][0] else moved
    # rows are counted, and a share of 1 can only become less
    step = {"rows_changed": 1, "interchange": -0.5, "joint_interchange": -0.5}.get(name, 0.5)
    place[name] = [place[name][0] + step] if isinstance(place[name], list) else place[name] + step
    assert compare_records(textbook_record, moved).numbers
    assert not compare_records(textbook_record, moved, tolerance={name: 1.0})


# assertions


def test_assertions_pass_on_what_is_so():
    """Units by number, name or several; a formula as a function; a patch by hand: 01 with the AND
    held off gives 2.
    """
    model = handmade.textbook_xor()
    assert_acts_as(model, {"OR": 0, "AND": "h0.1"})
    assert_acts_as(identify_circuit(model), {"x0 | x1": [0]})
    assert_acts_as(zoo.load("redundant-4"), {"NOR": [0, 1], "AND": (2, 3)})
    assert_acts_as(zoo.load("deep-xor"), {"XNOR": "h1.0"})
    assert_computes(model, "x0 ^ x1")
    assert_same_circuit(model, zoo.load("or-and"))
    assert_patch_effect(model, "01", "11", "h0.1", effect=2.0, patched=2.0, flips=True)
    assert_patch_effect(model, "01", "11", "h0.0", flips=False, direction="denoising")


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ({"OR": 0, "XOR": 1}, "h0.1 acts as AND, not as XOR\nidentified: "),
        ({"NOR": 0}, "h0.0 acts as OR, not as NOR; its complement: up_to_complement=True would accept it"),
        ({"AND": 0, "OR": 1}, "h0.0 acts as OR, not as AND\nh0.1 acts as AND, not as OR\n"),
    ],
)  # fmt: skip
def test_assert_acts_as_fails_with_the_evidence(gates, says):
    """A line per unit, then the circuit with its margins and interchange counts."""
    with pytest.raises(AssertionError) as error:
        assert_acts_as(handmade.textbook_xor(), gates)
    assert says in str(error.value)
    assert "margin 1.00, interchange 16/16" in str(error.value)


def test_assert_acts_as_up_to_complement():
    """NOR is OR said the other way round, where that is asked for."""
    assert_acts_as(zoo.load("nor-and"), {"OR": 0}, up_to_complement=True)
    with pytest.raises(AssertionError, match="h0.0 acts as NOR"):
        assert_acts_as(zoo.load("nor-and"), {"OR": 0})


def test_assert_acts_as_wants_every_circuit_to_agree():
    """A unit that the circuit does without acts as nothing; one that two circuits read differently
    acts as neither for sure; and where no circuit is proved, no unit is.
    """
    circuit = identify_circuit(HookedMLP.from_weights(IDLE, target="XOR"))
    with pytest.raises(AssertionError, match="h0.0 acts as no gate: it is idle, and could be read"):
        assert_acts_as(circuit, {circuit.units[0].gate: 0})
    assert_acts_as(circuit, {circuit.units[1].gate: 1})
    model = HookedMLP.from_weights(AMBIGUOUS, target="XOR")
    several = identify_circuit(model, require="substitution")
    apart = next(
        unit
        for unit in several.circuits[0].live
        if len({one.readings[0].of(unit).gate for one in several.passing}) > 1
    )
    with pytest.raises(AssertionError, match="under 1 of 2 circuits, as .* under the others"):
        assert_acts_as(several, {several.gate_of(apart): apart})
    unproved = {"verdict": "approximate", "require": "joint"}
    doubtful = replace(several, circuits=several.circuits[1:], **unproved)
    with pytest.raises(AssertionError, match=r"not proved to act as .* required \(joint\)"):
        assert_acts_as(doubtful, {several.gate_of(apart): apart})


def test_assert_acts_as_wants_the_interchange_to_hold():
    """A reading whose interchange does not come out as predicted is not enough: the unit's own
    claim decides.
    """
    doubtful = doubted(identify_circuit(handmade.textbook_xor()))
    with pytest.raises(
        AssertionError, match="h0.0 is read as OR, but h0.0 acts as OR: 15 of 16 .*does not hold"
    ):
        assert_acts_as(doubtful, {"OR": 0})
    assert_acts_as(doubtful, {"AND": 1})


def test_a_network_without_a_circuit_has_no_unit_that_acts():
    """The verdict and the wrong rows are the evidence."""
    with pytest.raises(
        AssertionError,
        match="h0.0 acts as no gate, not as OR\nnot computing: it does not compute XOR: wrong on",
    ):
        assert_acts_as(zoo.load("unsolved"), {"OR": 0})


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ({"ORR": 0}, "ORR"),
        ({"OR": 2}, "no hidden unit 'h0.2'; this network has: h0.0, h0.1"),
        ({"OR": "y0"}, "no hidden unit 'y0'"),
        ({"OR": True}, "no hidden unit 'True'"),
        ({}, "gates is {}; give a gate and its unit"),
        ("OR", "gates is 'OR'"),
    ],
)  # fmt: skip
def test_a_question_about_nothing_is_no_assertion_error(gates, says):
    """A mistyped gate or unit is the test's mistake and says what exists."""
    with pytest.raises(XorMiError) as error:
        assert_acts_as(handmade.textbook_xor(), gates)
    assert says in str(error.value)


def test_a_number_is_no_unit_of_several_layers():
    """Which layer?"""
    with pytest.raises(XorMiError, match="unit 0 of which layer"):
        assert_acts_as(zoo.load("deep-xor"), {"OR": 0})


def test_assert_computes_lists_the_rows():
    """Against OR, XOR is wrong on 11 alone; the network's output stands beside it."""
    with pytest.raises(AssertionError) as error:
        assert_computes(handmade.textbook_xor(), "OR")
    assert str(error.value) == (
        "does not compute OR: 1 of 4 rows are decided differently (threshold 0.5)\n  11: 0, not 1 (output 0)"
    )  # fmt: skip


def test_assert_computes_does_not_round_an_undecided_row():
    """An output on the threshold is not an answer."""
    model = HookedMLP.from_weights(
        [([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]), ([[1.0, -2.0]], [0.0])], decision_threshold=1.0
    )
    with pytest.raises(AssertionError, match="01: undecided, not 1"):
        assert_computes(model, "XOR")


def test_assert_computes_sees_every_output():
    """Two outputs, one of them wrong: the whole row is shown."""
    weights = [([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), ([[1.0, 1.0], [1.0, 1.0]], [-0.5, -0.5])]
    both = BooleanFunction(2, ((0, 1, 1, 1), (0, 0, 0, 1)))
    with pytest.raises(AssertionError, match="01: 1, 1, not 1, 0"):
        assert_computes(HookedMLP.from_weights(weights), both)
    with pytest.raises(XorMiError, match="the function has 1 outputs; the network has 2"):
        assert_computes(HookedMLP.from_weights(weights), "OR")


def test_assert_same_circuit_fails_with_what_changed():
    """Units first; the direction of the arrow is said."""
    with pytest.raises(AssertionError) as error:
        assert_same_circuit(zoo.load("gt-lt"), zoo.load("or-and"), up_to="family")
    assert str(error.value).startswith("unit 0: OR -> x1>x0\nunit 1: AND -> x0>x1\n")
    assert str(error.value).endswith("(expected -> found, up to family)")


def test_assert_same_circuit_compares_numbers_only_when_asked():
    """Two networks of one signature have other margins."""
    assert_same_circuit(zoo.load("or-and"), handmade.textbook_xor())
    with pytest.raises(
        AssertionError, match="gates, edges and verdict are as before; the evidence changed"
    ):
        assert_same_circuit(zoo.load("or-and"), handmade.textbook_xor(), tolerance=0.001)


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        ({"effect": 1.5}, "effect: expected 1.5, found 2, off by 0.5; allowed 2.5e-06"),
        ({"patched": 0.0}, "patched: expected 0.0, found 2, off by 2; allowed 1e-06"),
        ({"flips": False}, "flips: expected False, found True"),
    ],
)  # fmt: skip
def test_assert_patch_effect_fails_with_the_patch(expected, says):
    """What came out, how far off, and the whole patch."""
    with pytest.raises(AssertionError) as error:
        assert_patch_effect(handmade.textbook_xor(), "01", "11", "h0.1", **expected)
    assert says in str(error.value)
    assert str(patch(handmade.textbook_xor(), "01", "11", "h0.1")) in str(error.value)


def test_assert_patch_effect_wants_an_expectation():
    """An assertion that can only pass is a mistake."""
    with pytest.raises(XorMiError, match="nothing is expected of the patch"):
        assert_patch_effect(handmade.textbook_xor(), "01", "11", "h0.1")


STORED = {
    "a record": lambda folder: record_of(zoo.load("or-and")),
    "recorded in the zoo": lambda folder: zoo.recorded("or-and"),
    "a baseline": lambda folder: _written(folder / "a.circuit.json"),
    "a baseline by its name": lambda folder: str(_written(folder / "a.circuit.json")),
    "the zoo's own file": lambda folder: zoo.DATA / "or-and" / "circuit.json",
}


def _written(file: Path) -> Path:
    write_record(record_of(zoo.load("or-and")), file)
    return file


@pytest.mark.parametrize("kind", STORED)
def test_assert_same_circuit_takes_a_stored_one(kind, tmp_path):
    """A record, what the zoo has recorded, or a file with either: the same circuit passes with its
    numbers, and another is told by its units.
    """
    expected = STORED[kind](tmp_path)
    assert_same_circuit(zoo.load("or-and"), expected, tolerance=1e-6)
    with pytest.raises(AssertionError, match="^unit 0: OR -> NOR\n"):
        assert_same_circuit(zoo.load("nor-and"), expected)


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        ({"format": "xor_mi.Circuit/4"}, "is of format 4"),
        ({"verdict": "identified"}, "expected is not a record: 'format' is missing"),
        ("no such file", "'no such file' cannot be read: there is no such file"),
        (3, "give a HookedMLP|HookedMLP"),
    ],
)
def test_what_is_no_stored_circuit_is_refused(expected, says):
    """An old format, another mapping, a file that is not there, a number: one sentence."""
    with pytest.raises(XorMiError, match=says):
        assert_same_circuit(zoo.load("or-and"), expected)


class Foreign(HookedRootModule):
    """A module that decides nothing by itself: the sum of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_in = HookPoint()
        self.setup()
        self.eval()

    def forward(self, x):
        return self.hook_in(x * 1.0).sum(-1, keepdim=True)


PATCHED = {
    "clean": torch.tensor([[1.0, 2.0]]),
    "corrupted": torch.tensor([[-3.0, 2.0]]),
    "site": Site("hook_in", (0,)),
    "metrics": lambda outputs: outputs[:, 0],
}
"""The sum goes from -1 to 3."""


@pytest.mark.parametrize("flips", [True, False])
def test_flips_is_not_asserted_where_nothing_is_decided(flips):
    """Of somebody's own model it is refused without `decide=`; with it, it is true or false."""
    model = Foreign()
    with pytest.raises(XorMiError, match="nothing is decided; give decide="):
        assert_patch_effect(model, **PATCHED, flips=flips)
    assert_patch_effect(model, **PATCHED, effect=4.0, patched=3.0)
    assert_patch_effect(model, **PATCHED, flips=True, decide=by_threshold(0.0))
    assert_patch_effect(model, **PATCHED, flips=False, decide=by_threshold(10.0))
    with pytest.raises(AssertionError, match="flips: expected False, found True"):
        assert_patch_effect(model, **PATCHED, flips=False, decide=by_threshold(0.0))


@pytest.mark.parametrize("flips", [True, False])
def test_no_flip_is_asserted_of_what_is_undecided_throughout(flips):
    """Where nothing is decided before and after the patch, neither answer holds."""

    def undecided(outputs):
        return torch.full((len(outputs),), -1)

    with pytest.raises(AssertionError, match="nothing is decided before or after"):
        assert_patch_effect(Foreign(), **PATCHED, flips=flips, decide=undecided)


def test_no_pair_is_dropped():
    """Four pairs in one call of a function for one pair are refused, saying what takes several."""
    several = PATCHED | {"clean": torch.ones(4, 2), "corrupted": torch.zeros(4, 2)}
    with pytest.raises(XorMiError, match="patch_sweep takes several"):
        assert_patch_effect(Foreign(), **several, effect=1.0)


def test_a_circuit_without_evidence_is_refused():
    """There would be nothing to compare."""
    with pytest.raises(XorMiError, match="with_evidence=True"):
        record_of(identify_circuit(handmade.textbook_xor(), with_evidence=False))


# networks that are read by other conventions


@pytest.mark.parametrize("name", ["levels", "argmax", "steps", "direct"])
def test_a_record_says_by_which_conventions_the_network_is_read(tmp_path, name):
    """Where they are not the ordinary ones, and only there; it comes back from its file."""
    said = {
        "levels": {"input_levels": [-1.0, 1.0]},
        "argmax": {"decision_rule": "argmax"},
        "steps": {"step_at_zero": 1},
        "direct": {"direct": True},
    }
    ordinary = {
        "input_levels": [0.0, 1.0],
        "decision_rule": "threshold",
        "step_at_zero": 0,
        "direct": False,
    }
    record = record_of(xor_by_other_conventions(name))
    assert record["conventions"] == ordinary | said[name]
    write_record(record, tmp_path / "b.circuit.json")
    assert read_record(tmp_path / "b.circuit.json") == record
    assert "conventions" not in record_of(handmade.textbook_xor())
    assert record["verdict"] == "identified"
    assert ("x0->y0" in record["edges"]) == (name == "direct")


@pytest.mark.parametrize("name", ["levels", "argmax"])
def test_other_conventions_alone_are_no_difference(name):
    """The textbook's XOR on -1/+1, or with a class for each answer, is the textbook's circuit; where
    another number differs, the note says what was read otherwise.
    """
    model = xor_by_other_conventions(name)
    assert_same_circuit(model, handmade.textbook_xor())
    assert_acts_as(model, {"OR": 0, "AND": 1})
    new = record_of(model)
    old = deepcopy(record_of(handmade.textbook_xor()))
    old["units"][0]["margin"] = 0.1
    (note,) = compare_records(old, new).notes
    was, now = (
        "inputs 0 and 1, threshold",
        {"levels": "inputs -1 and 1, threshold", "argmax": "inputs 0 and 1, argmax"},
    )
    assert note == f"other conventions: {was} -> {now[name]}"


@pytest.mark.parametrize(
    ("name", "how", "rows"),
    [
        ("levels", "threshold 0", "  11: 0, not 1 (output -0.5)"),
        ("argmax", "1 where class 1 wins", "  11: 0, not 1 (output 0.5, 0)"),
        ("direct", "threshold 0", "  11: 0, not 1 (output -0.5)"),
        ("steps", "threshold 0", "  11: 0, not 1 (output -0.5)"),
    ],
)
def test_assert_computes_says_the_rule(name, how, rows):
    """Each computes XOR; held against OR, the row 11 is named by its bits, with all outputs."""
    model = xor_by_other_conventions(name)
    assert_computes(model, "XOR")
    with pytest.raises(AssertionError) as error:
        assert_computes(model, "OR")
    headline = f"does not compute OR: 1 of 4 rows are decided differently ({how})"
    assert str(error.value) == f"{headline}\n{rows}"


def test_assert_computes_by_argmax_over_three():
    """Class k wins on its rows: three functions; a function of one output is refused, and so is one
    of two outputs where two classes are one decision.
    """
    layers = [(np.eye(2), np.zeros(2)), ([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]], [0.5, 0.0, -1.5])]
    model = HookedMLP.from_weights(layers, decision_rule="argmax")
    none_one_both = BooleanFunction(2, ((1, 0, 0, 0), (0, 1, 1, 0), (0, 0, 0, 1)))
    assert_computes(model, none_one_both)
    with pytest.raises(AssertionError, match="1 for the largest output"):
        assert_computes(model, BooleanFunction(2, ((1, 0, 0, 0), (0, 1, 1, 1), (0, 0, 0, 0))))
    with pytest.raises(XorMiError, match="has 1 outputs; the network has 3"):
        assert_computes(model, "OR")
    two = BooleanFunction(2, ((1, 0, 0, 1), (0, 1, 1, 0)))
    with pytest.raises(
        XorMiError, match="has 2 outputs; the network has 2, which are one decision"
    ):
        assert_computes(xor_by_other_conventions("argmax"), two)


def test_assert_patch_effect_is_in_the_score_of_the_decision():
    """By argmax the effect is that on y1 - y0: of holding the AND off, 2."""
    model = xor_by_other_conventions("argmax")
    assert_patch_effect(model, "01", "11", "h0.1", effect=2.0, patched=1.5, flips=True)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (["conventions", "input_levels"], [1.0, 1.0], "is [1.0, 1.0], not two different numbers"),
        (["conventions", "input_levels"], [1.0], "is [1.0], not two different numbers"),
        (["conventions", "step_at_zero"], 2, "'conventions.step_at_zero' is 2, not 0 or 1"),
        (["conventions", "decision_rule"], "vote", "not one of threshold, argmax"),
        (["conventions", "decision_rule"], "threshold", "'target.tables' has 1 tables for 2 outputs"),
        (["conventions", "direct"], 1, "'conventions.direct' is 1, not bool"),
        (["conventions"], {}, "'conventions.input_levels' is missing"),
        (["edges", 3], "x0->y0", "which is not an edge of 2-2-2"),
    ],
)  # fmt: skip
def test_conventions_that_cannot_be_are_refused(tmp_path, place, value, says):
    """Two outputs that are one decision have one table, and only by argmax; direct edges exist only
    where there are direct connections.
    """
    record = record_of(xor_by_other_conventions("argmax"))
    write_record(planted(record, place, value), tmp_path / "b.circuit.json")
    with pytest.raises(XorMiError) as error:
        read_record(tmp_path / "b.circuit.json")
    assert says in str(error.value)


def test_wrong_rows_by_argmax_hold_one_decision():
    """Of a network of two outputs that computes another function, each row has one decision."""
    record = record_of(identify_circuit(xor_by_other_conventions("argmax"), "OR"))
    assert record["verdict"] == "not_computing"
    assert record["wrong_rows"] == {"11": [[0], [0]]}


def test_a_circuit_is_held_against_its_own_text():
    """What `Circuit.to_json` and a record's file hold is taken as text too, and text that is cut
    off, holds nothing or is not a file's name is answered in a short line.
    """
    model = zoo.load("or-and")
    text = identify_circuit(model).to_json()
    assert_same_circuit(model, text)
    assert_same_circuit(model, json.dumps(record_of(model)))
    with pytest.raises(AssertionError, match="expected -> found"):
        assert_same_circuit(zoo.load("nor-and"), text)
    for wrong in (text[:-9], "{}", "x" * 5000):
        message = "cannot be read|cannot be a place on disk"
        with pytest.raises(XorMiError, match=message) as error:
            assert_same_circuit(model, wrong)
        assert len(str(error.value)) < 500
