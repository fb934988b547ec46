"""Records of findings of any model, and what two of them differ in: against tables whose difference
is known by construction.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from networks import OR_AND
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi import (
    Site,
    ablation_sweep,
    find_gates,
    handmade,
    interchange_accuracy,
    patch_sweep,
    scan_gates,
)
from xor_mi.errors import XorMiError
from xor_mi.gate_scan import ModelDecisions
from xor_mi.interventions import attribute
from xor_mi.metrics import by_threshold
from xor_mi.testing import (
    compare_findings,
    read_finding_record,
    read_record,
    record_of,
    record_of_finding,
    write_record,
)

pytestmark = pytest.mark.as_a_user
quiet = {"progress": False}
ROWS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
BITS = {"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]}


class Own(HookedRootModule):
    """A module of somebody else: OR and AND in one hook, as `textbook_xor` has them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(2, 2), nn.Linear(2, 1)
        self.hook_hidden = HookPoint()
        self.setup()
        weights = {self.hidden: ([[1, 1], [1, 1]], [0, -1]), self.out: ([[1, -2]], [-0.5])}
        for layer, (weight, bias) in weights.items():
            layer.weight.data = torch.tensor(weight).float()
            layer.bias.data = torch.tensor(bias).float()
        self.eval()

    def forward(self, x):
        return self.out(self.hook_hidden(torch.relu(self.hidden(x))))


@pytest.fixture(scope="module")
def own():
    """The module above; torch's generator is left as it was."""
    with torch.random.fork_rng():
        return Own()


def first(outputs):
    """The only output."""
    return outputs[:, 0]


def swept(model, **changes):
    """All pairs of rows, both units."""
    clean, corrupted = ROWS.repeat_interleave(4, 0), ROWS.repeat(4, 1)
    sites = [Site("hook_hidden", (unit,)) for unit in (0, 1)]
    options = {"metrics": {"logit": first}, "decide": by_threshold(0.0), **quiet} | changes
    return patch_sweep(model, (clean, corrupted), sites, **options)


FINDINGS = {
    "patch sweep": swept,
    "without a decision": lambda model: swept(model, decide=None),
    "ablation": lambda model: ablation_sweep(
        model, [Site("hook_hidden", (0,))], rows=ROWS, metrics=first, decide=by_threshold(), **quiet
    ),
    "attribution": lambda model: attribute(
        model,
        (ROWS[:2], ROWS[2:]),
        [Site("hook_hidden", (1,))],
        method="exact_patching",
        metrics=first,
        **quiet,
    ),
    "scan": lambda model: scan_gates(model, ROWS, BITS, "hook_hidden", n_permutations=9, **quiet),
    "found gates": lambda model: find_gates(
        model, ROWS, BITS, "hook_hidden", decide=by_threshold(), **quiet
    ),
    "scanned table": lambda model: FINDINGS["scan"](model).frame(),
    "interchange": lambda _: interchange_accuracy(
        handmade.textbook_xor(), OR_AND, {"either": "h0.0", "both": "h0.1"}, **quiet
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_a_record_holds_every_cell_of_the_table(name, own, tmp_path):
    """Written and read, its lines are those of `frame()`, floats to nine digits, and it does not
    differ from itself.
    """
    finding = FINDINGS[name](own)
    record = record_of_finding(finding, test="test_it")
    write_record(record, tmp_path / "a.finding.json")
    back = read_finding_record(tmp_path / "a.finding.json")
    assert back == record == json.loads((tmp_path / "a.finding.json").read_text(encoding="utf-8"))
    table = finding if isinstance(finding, pd.DataFrame) else finding.frame()
    assert list(back["columns"]) == list(table.columns)
    assert len(back["lines"]) == len(table) > 0
    for line, (_, cells) in zip(back["lines"], table.iterrows(), strict=True):
        for column, kind in back["columns"].items():
            stored, cell = line[column], cells[column]
            if kind == "number":
                assert math.isclose(math.nan if stored is None else stored, cell, rel_tol=1e-8) or (
                    stored is None and pd.isna(cell)
                )
            elif stored is None:
                assert cell is None or pd.isna(cell)
            else:
                assert stored == (list(cell) if isinstance(cell, tuple) else cell)
    assert not compare_findings(back, record_of_finding(FINDINGS[name](own)), tolerance=0)


def test_a_column_of_floats_without_a_number_is_one_of_numbers(own):
    """A p-value that no line has may be there another time, and is not compared as text."""
    record = record_of_finding(FINDINGS["found gates"](own))
    assert [line["p_value"] for line in record["lines"]] == [None] * 3
    assert record["columns"]["p_value"] == "number"


def test_sets_of_find_gates_that_changed_are_noticed(own):
    """Where each unit alone comes to be enough, or no sets are looked for, and all else stays."""
    found = FINDINGS["found gates"](own)
    old = record_of_finding(found)
    both = "hook_hidden[[0, 1]]"
    assert [line["in_sufficient_sets"] for line in old["lines"]] == [both] * 3
    first, second = found.sufficient_sets[0]
    alone = replace(found, sufficient_sets=((first,), (second,)))
    unsought = replace(found, necessary_sets=(), sufficient_sets=())
    for changed, n_columns in ((alone, 1), (unsought, 2)):
        difference = compare_findings(old, record_of_finding(changed), tolerance=None)
        assert len(difference.cells) == 3
        assert all(text.count("_sets: ") == n_columns for text in difference.cells)
    assert not compare_findings(old, record_of_finding(replace(found)), tolerance=0)


def test_which_columns_are_exact(own):
    """Names, decisions and flips are exact, metrics are numbers; without a decision its columns are
    not there.
    """
    columns = record_of_finding(swept(own))["columns"]
    numbers = [name for name, kind in columns.items() if kind == "number"]
    assert numbers == [
        *("clean_logit", "corrupted_logit", "patched_logit", "effect_logit", "recovered_fraction"),
    ]
    assert {"decision_patched", "flips"} <= set(columns)
    assert "flips" not in record_of_finding(swept(own, decide=None))["columns"]


# what two records differ in


def table(**columns):
    """The record of a table that is made by hand; sites name its lines."""
    return record_of_finding(pd.DataFrame({"site": ["h0", "h1", "h2"]} | columns))


GATES = {"gate": ["OR", "AND", "OR"], "effect_logit": [1.0, -2.0, 0.0], "n": [16, 16, 7]}


def changed(**columns):
    """The two tables' differences."""
    return compare_findings(table(**GATES), table(**GATES | columns))


def test_order_is_no_difference():
    """Lines are matched by their names."""
    other = pd.DataFrame({"site": ["h0", "h1", "h2"]} | GATES).iloc[[2, 0, 1]]
    assert not compare_findings(table(**GATES), record_of_finding(other))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"gate": ["OR", "NAND", "OR"]}, ["site h1: gate: AND -> NAND", "as before: 2 of 3 lines"]),
        ({"n": [16, 15, 8]}, ["site h1: n: 16 -> 15", "site h2: n: 7 -> 8", "as before: 1 of 3 lines"]),
        ({"gate": ["OR", None, "OR"], "n": [1, 1, 7]}, ["site h0: n: 16 -> 1", "site h1: gate: AND -> nothing, n: 16 -> 1", "as before: 1 of 3 lines"]),
        ({"effect_logit": [1.0, -2.5, 0.0]}, ["names, gates, decisions and counts are as before; numbers changed", "as before: 2 of 3 lines", "numbers:", "  site h1: effect_logit: -2 -> -2.5, off by 0.5; allowed 3e-06 (absolute 1e-06 + relative 1e-06)"]),
        ({"effect_logit": [1.0, np.nan, 0.0]}, ["site h1: effect_logit: -2.0 -> nothing", "as before: 2 of 3 lines"]),
        ({"effect_logit": [1.0, np.inf, 0.0]}, ["names, gates, decisions and counts are as before; numbers changed", "as before: 2 of 3 lines", "numbers:", "  site h1: effect_logit: -2 -> inf, off by inf; allowed 3e-06 (absolute 1e-06 + relative 1e-06)"]),
        ({"site": ["h0", "h1", "h9"]}, ["gone: site h2", "new: site h9", "as before: 2 of 3 lines"]),
        ({"flips": [True, False, False]}, ["column 'flips' is new", "as before: 3 of 3 lines"]),
    ],
)  # fmt: skip
def test_what_changed_is_said(columns, says):
    """Columns and lines first, then cells, what is as before, and numbers; each names its line."""
    assert str(changed(**columns)).split("\n") == says


def test_numbers_are_held_against_the_size_of_their_metric():
    """Where all numbers of a metric are a millionth, a change of a millionth is one; rounding in an
    effect that is zero is none beside a metric that is not.
    """
    small = {"clean_m": [1e-6, 1e-6, 2e-6], "effect_m": [0.0, 0.0, 1e-6]}
    moved = small | {"effect_m": [0.0, 1e-6, 1e-6]}
    assert compare_findings(table(**small), table(**moved))
    large = {"clean_m": [30.0, 30.0, 31.0], "effect_m": [1e-8, 0.0, 0.0]}
    rounded = large | {"effect_m": [-1e-8, 3e-8, 0.0]}
    assert not compare_findings(table(**large), table(**rounded))
    assert compare_findings(table(**large), table(**rounded), tolerance=0)


def test_a_tolerance_per_column_and_none():
    """One column may move further; None compares no numbers, and cells all the same."""
    old, new = table(**GATES), table(**GATES | {"effect_logit": [1.0, -2.1, 0.0]})
    assert compare_findings(old, new)
    assert not compare_findings(old, new, tolerance={"effect_logit": 0.1})
    assert not compare_findings(old, new, tolerance=None)
    assert compare_findings(old, table(**GATES | {"gate": ["OR"] * 3}), tolerance=None)


@pytest.mark.parametrize("tolerance", [-1, math.nan, {"gate": 0.1}, {"effect_logit": -1}, "1"])
def test_a_tolerance_that_says_nothing_is_refused(tolerance):
    """Negative, no number, or of a column without numbers."""
    with pytest.raises(XorMiError, match=r"tolerance"):
        compare_findings(table(**GATES), table(**GATES), tolerance=tolerance)


def test_lines_of_one_name_are_matched_by_what_they_say():
    """Of two cuts of one unit the one that is as before keeps its partner, in any order."""
    old = table(site=["h0", "h0", "h1"], gate=["OR", "AND", "OR"])
    new = table(site=["h0", "h0", "h1"], gate=["NAND", "OR", "OR"])
    assert compare_findings(old, new).cells == ("site h0: gate: AND -> NAND",)


def test_lines_without_names_go_by_number():
    """A table that names nothing is compared line by line."""
    old, new = (
        record_of_finding(pd.DataFrame({"gate": gates})) for gates in (["A", "B"], ["A", "C"])
    )
    assert compare_findings(old, new).cells == ("line 2: gate: B -> C",)


def test_another_kind_of_finding_is_said_alone(own):
    """A sweep held against a scan is one line."""
    old, new = (record_of_finding(FINDINGS[name](own)) for name in ("scan", "patch sweep"))
    assert str(compare_findings(old, new)) == "another kind of finding: GateScan -> PatchSweep"


def test_what_was_done_otherwise_is_noted(own):
    """Another ablation value stands beside the numbers that it moved."""
    site = [Site("hook_hidden", (0,))]
    old, new = (
        record_of_finding(ablation_sweep(own, site, value=value, rows=ROWS, metrics=first, **quiet))
        for value in ("zero", "mean")
    )
    differences = compare_findings(old, new)
    assert differences.numbers
    assert differences.notes[0].startswith("made with another value: ")


def test_long_lists_are_cut():
    """Of many changed cells the first twenty are shown, and the number of the rest."""
    old, new = (
        record_of_finding(pd.DataFrame({"site": range(50), "gate": [gate] * 50}))
        for gate in ("OR", "AND")
    )
    lines = str(compare_findings(old, new)).split("\n")
    assert len(lines) == 22
    assert lines[20:] == ["... and 30 more", "as before: 0 of 50 lines"]


# what was measured and how


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("interchange", {"n_differing": 6}, "n_differing: 0 -> 6"),
        ("interchange", {"n_inputs": 3}, "n_inputs: 4 -> 3"),
        ("interchange", {"seed": 7}, "seed: 0 -> 7"),
        ("interchange", {"why_not": {"untrained": "none"}}, "why_not: [] -> ['untrained']"),
        ("interchange", {"n_possible": {"either": 16, "both": 16, "(joint)": 65}}, "n_possible.(joint): 64 -> 65"),
        ("scan", {"features": ("a", "c")}, "features: ['a', 'b'] -> ['a', 'c']"),
        ("scan", {"n_units": 4000}, "n_units: 2 -> 4000"),
        ("scan", {"n_samples": 5, "n_distinct": 3}, "n_samples: 4 -> 5, n_distinct: 4 -> 3"),
        ("scan", {"is_every_permutation": False}, "is_every_permutation: True -> False"),
        ("scan", {"smallest_p": 1e-9}, "smallest_p: 1 -> 1e-09, off by 1"),
        ("scan", {"control_rate": 0.25}, "control_rate: 1 -> 0.25, off by 0.75"),
        ("scan", {"control_interval": (0.5, 1.0)}, "control_interval.low: 1 -> 0.5"),
        ("scan", {"left_out": {"hook_x": "it never fires"}}, "left_out: [] -> ['hook_x']"),
        ("found gates", {"decided": ModelDecisions("AND", "a & b", "0001", 0)}, "decided.gate: XOR -> AND"),
        ("found gates", {"decided": ModelDecisions("XOR", "a ^ b", "0110", 1)}, "decided.n_unlike: 0 -> 1"),
        ("found gates", {"is_every_pair": False, "n_runs": 11}, "is_every_pair: True -> False, n_runs: 12 -> 11"),
        ("found gates", {"has_p_values": True}, "has_p_values: False -> True"),
        ("found gates", {"max_p": 0.05}, "max_p: 0.01 -> 0.05"),
        ("found gates", {"min_accuracy": 0.5}, "min_accuracy: 1 -> 0.5"),
        ("ablation", {"value": "given"}, " -> given"),
    ],
)  # fmt: skip
def test_what_was_measured_is_compared(name, changes, says, own, tmp_path):
    """A finding with the same table and another count, rate or setting differs from the stored one,
    and one line says in what; as nearly the same number it does not.
    """
    finding = FINDINGS[name](own)
    write_record(record_of_finding(finding), tmp_path / "a")
    difference = compare_findings(
        read_finding_record(tmp_path / "a"), record_of_finding(replace(finding, **changes))
    )
    assert difference
    (line,) = {line for line in str(difference).split("\n") if says in line}
    assert line.strip().startswith("what was measured: ")


def test_numbers_that_were_measured_have_a_tolerance(own):
    """A rate that moved by rounding is the same; one that moved more has the tolerance of its name
    or of all; with None no number is compared, and counts still are.
    """
    scan = FINDINGS["scan"](own)
    old = record_of_finding(scan)
    near, far, other = (
        record_of_finding(replace(scan, **changes))
        for changes in ({"control_rate": 1 - 1e-7}, {"control_rate": 0.9}, {"n_units": 3})
    )
    assert not compare_findings(old, near)
    assert compare_findings(old, far).numbers
    assert not compare_findings(old, far, tolerance={"control_rate": 0.2})
    assert not compare_findings(old, far, tolerance=None)
    assert compare_findings(old, other, tolerance=None).cells


def test_a_finding_without_lines_is_held_by_what_was_measured(own):
    """Without a candidate the table is empty; what the model decides still tells two apart."""
    found = replace(FINDINGS["found gates"](own), found=())
    other = replace(found, decided=ModelDecisions("TRUE", "1", "1111", 0))
    old, new = record_of_finding(found), record_of_finding(other)
    assert old["lines"] == new["lines"] == []
    assert "decided.formula: a ^ b -> 1" in str(compare_findings(old, new))


# what is refused


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[:100], "cannot be read"),
        (lambda text: text.replace('"version": 2', '"version": 3'), "is of format 3; this xor-mi reads up to 2: install a later"),
        (lambda text: text.replace('"version": 2', '"version": 1'), "is of format 1, which did not hold what was measured and how; write it anew with pytest --force-regen"),
        (lambda text: text.replace('"head": {}', '"head": {"n_inputs": {}}'), "'head.n_inputs' is {}, not a text, a number, "),
        (lambda text: text.replace('"head": {}', '"head": []'), "'head' is not an object"),
        (lambda text: text.replace("xor_mi.finding", "spice.finding"), "it has no 'format': 'xor_mi.finding'"),
        (lambda text: text.replace('"kind": ', '"sort": '), "'kind' is missing"),
        (lambda text: text.replace('"gate": "exact"', '"gate": "fuzzy"'), "'columns.gate' is \"fuzzy\", not one of exact, number"),
        (lambda text: text.replace('"gate": "AND"', '"gates": "AND"'), "'lines[1].gate' is missing"),
        (lambda text: text.replace('"effect_logit": -2.0', '"effect_logit": "two"'), "'lines[1].effect_logit' is 'two', not a number, inf, -inf or null"),
        (lambda text: text.replace('"gate": "AND"', '"gate": {}'), "'lines[1].gate' is {}, not a text, a number, "),
        (lambda text: text[: text.index('"lines"')] + '"lines": 3}', "'lines' is not a list"),
    ],
)  # fmt: skip
def test_a_damaged_record_is_refused_with_the_place(damage, says, tmp_path):
    """Cut off, foreign, later or edited: one line that says what is wrong and where."""
    file = tmp_path / "a.finding.json"
    write_record(table(**GATES), file)
    before = file.read_text(encoding="utf-8")
    file.write_text(damage(before), encoding="utf-8")
    assert file.read_text(encoding="utf-8") != before
    with pytest.raises(XorMiError) as error:
        read_finding_record(file)
    assert says in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_each_reader_reads_its_own(tmp_path):
    """A circuit's record is refused by name where a finding's is asked for, and the other way."""
    write_record(record_of(handmade.textbook_xor()), tmp_path / "circuit")
    write_record(table(**GATES), tmp_path / "finding")
    with pytest.raises(XorMiError, match="it is of a circuit, which read_record reads"):
        read_finding_record(tmp_path / "circuit")
    with pytest.raises(XorMiError, match=r"it has no 'format': 'xor_mi\.regression'"):
        read_record(tmp_path / "finding")


def test_what_is_no_table_is_refused():
    """A circuit, a number, a table with two columns of one name, one that is too large."""
    two = pd.DataFrame([[1, 2]], columns=["a", "a"])
    large = pd.DataFrame({"a": np.zeros(200_001)})
    circuit = handmade.textbook_xor()
    for value, says in [
        (3, "give a finding"),
        (circuit, "give a finding"),
        (two, "two columns of one name: a, a"),
        (large, "200,001 cells of the table"),
    ]:
        with pytest.raises(XorMiError, match=says):
            record_of_finding(value)
