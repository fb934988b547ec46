"""The transformers of the zoo: what is recorded of them, against one input at a time through
`run_with_hooks`; a rebuild changes nothing.
"""

import json
from itertools import product

import pandas as pd
import pytest
import torch

from xor_mi import zoo
from xor_mi.errors import XorMiError
from xor_mi.zoo import _build as build
from xor_mi.zoo import _transformers

pytestmark = pytest.mark.as_a_user

NAMES = zoo.transformer_names()
END = 2
Z, POST = "blocks.0.attn.hook_z", "blocks.0.mlp.hook_post"


@pytest.fixture(scope="module")
def bridges():
    """Every transformer by name."""
    return {name: zoo.load_transformer(name) for name in NAMES}


def gates(name):
    """The gates that the table promises."""
    return next(one.gates for one in _transformers.TRANSFORMERS if one.name == name)


def decided(logits):
    """0 or 1 by the larger of the two logits at the end, of one input."""
    return int(logits[0, END, 1] > logits[0, END, 0])


def exchanged(bridge, base, source, hook, places):
    """The decision on one input, with places of a hook at the end taken from another input."""
    _, cache = bridge.run_with_cache(source[None])

    def write(value, hook):
        value = value.clone()
        value[:, END, places] = cache[hook.name][:, END, places]
        return value

    return decided(bridge.run_with_hooks(base[None], fwd_hooks=[(hook, write)]))


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_xor_and_is_in_eval_mode(name, bridges):
    """All four inputs are decided as XOR says; two calls give two models with the same weights, and
    torch's generator is left alone.
    """
    bridge, task = bridges[name], zoo.transformer_task()
    assert [decided(bridge(row[None])) for row in task.inputs] == [0, 1, 1, 0]
    assert task.decide(bridge(task.inputs)).tolist() == task.answer.tolist()
    assert not bridge.training
    before = torch.get_rng_state()
    other = zoo.load_transformer(name)
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in bridge.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
        assert other.state_dict()[key].data_ptr() != value.data_ptr()


@pytest.mark.parametrize("name", NAMES)
def test_its_parts_act_as_either_and_both(name, bridges):
    """Over all 16 pairs, the OR and NOR parts from another input give OR(source) and not AND(base),
    the AND and NAND parts OR(base) and not AND(source); taken for each other they do not.
    """
    bridge, task = bridges[name], zoo.transformer_task()
    hook = Z if name == "xor-attention" else POST
    groups = {
        "either": [k for k, gate in enumerate(gates(name)) if gate in ("OR", "NOR")],
        "both": [k for k, gate in enumerate(gates(name)) if gate in ("AND", "NAND")],
    }
    table = zoo.recorded_findings(name)["interchange"].set_index("what")
    for variable, places in groups.items():
        right = as_the_other = 0
        for base, source in product(task.inputs, repeat=2):
            (a, b), (c, d) = base[:2].tolist(), source[:2].tolist()
            found = exchanged(bridge, base, source, hook, places)
            either, both = (c | d) & ~(a & b), (a | b) & ~(c & d)
            right += found == (either if variable == "either" else both)
            as_the_other += found == (both if variable == "either" else either)
        assert (right, as_the_other) == (16, 6)
        other = "both" if variable == "either" else "either"
        assert table.loc[variable, "n_agreed"] == table.loc[variable, "n_runs"] == 16
        assert table.loc[f"{variable}, taken for {other}", "n_agreed"] == 6
    assert table.loc["(joint)", "n_agreed"] == table.loc["(joint)", "n_runs"] == 64


def test_the_neurons_separate_the_gates_that_are_said(bridges):
    """Read one input at a time, each neuron of the first is, at the widest gap between its four
    values, the gate in the table.
    """
    bits = {"OR": [0, 1, 1, 1], "NOR": [1, 0, 0, 0], "AND": [0, 0, 0, 1], "NAND": [1, 1, 1, 0]}
    values = []
    for row in zoo.transformer_task().inputs:
        _, cache = bridges["xor-transformer"].run_with_cache(row[None])
        values.append(cache[POST][0, END])
    recorded = list(zoo.recorded_findings("xor-transformer")["neurons"]["gate"])
    assert recorded == list(gates("xor-transformer"))
    for gate, of_neuron in zip(recorded, torch.stack(values, dim=1), strict=True):
        if gate == "dead":
            assert of_neuron.unique().numel() == 1
            continue
        ordered = of_neuron.sort().values
        widest = ordered.diff().argmax()
        cut = ordered[widest : widest + 2].mean()
        assert (of_neuron > cut).int().tolist() == bits[gate]


def test_without_its_neurons_most_answers_are_wrong(bridges):
    """With every neuron at "=" at its mean over the four inputs, three of four answers are others,
    by the numbers that are recorded.
    """
    bridge, inputs = bridges["xor-transformer"], zoo.transformer_task().inputs
    means = sum(bridge.run_with_cache(row[None])[1][POST][0, END] for row in inputs) / 4

    def write(value, hook):
        value = value.clone()
        value[:, END] = means
        return value

    table = zoo.recorded_findings("xor-transformer")["without neurons"].set_index("input")
    for row in inputs:
        logits = bridge.run_with_hooks(row[None], fwd_hooks=[(POST, write)])[0, END]
        recorded = table.loc["".join(map(str, row[:2].tolist()))]
        difference = (logits[1] - logits[0]).item()
        assert difference == pytest.approx(recorded["after_logit_difference"], abs=1e-4)
    assert table["flips"].sum() == 3


@pytest.mark.parametrize("name", NAMES)
def test_the_bits_meet_in_what_attention_writes_at_the_end(name, bridges):
    """Before attention each bit is at its own position, and one of them alone decides no pair but
    those that differ in it; what attention adds at "=" decides all.
    """
    table = zoo.recorded_findings(name)["positions"].set_index("site")
    assert table.loc[["L0 @0", "L0 @1", "L0 @2"], "n_flips"].tolist() == [4, 4, 0]
    assert table.loc["L0 attn_out @2", "recovered_fraction"] == pytest.approx(1.0, abs=1e-5)
    assert table.loc["L0 resid_post @2", "n_flips"] == table.loc["L0 resid_post @2", "n_pairs"] == 8
    assert table.loc[["L0 attn_out @0", "L0 attn_out @1"], "n_flips"].tolist() == [0, 0]
    bridge, task = bridges[name], zoo.transformer_task()
    n_flips = 0
    for clean, corrupted in product(task.inputs, repeat=2):
        if decided(bridge(clean[None])) != decided(bridge(corrupted[None])):
            everything = slice(None)
            found = exchanged(bridge, corrupted, clean, "blocks.0.hook_attn_out", everything)
            n_flips += found != decided(bridge(corrupted[None]))
    assert n_flips == 8


@pytest.mark.parametrize("name", NAMES)
def test_each_head_moves_both_bits(name, bridges):
    """Of the four pairs that differ in one bit, each head alone flips those that the table says:
    no head has a bit for itself.
    """
    bridge, task = bridges[name], zoo.transformer_task()
    table = zoo.recorded_findings(name)["heads"].set_index(["site", "bit"])
    for head, (bit, place) in product((0, 1), (("a", 0), ("b", 1))):
        n_flips = 0
        for corrupted in task.inputs:
            clean = corrupted.clone()
            clean[place] = 1 - clean[place]
            found = exchanged(bridge, corrupted, clean, Z, head)
            n_flips += found != decided(bridge(corrupted[None]))
        assert table.loc[(f"L0 H{head} at =", bit), "n_flips"] == n_flips == 2


def test_one_head_looks_for_a_one_and_the_other_for_a_zero(bridges):
    """Of attention alone: where the bits differ, head 0 looks at the 1 and head 1 at the 0, with
    more than nine tenths of its weight.
    """
    table = zoo.recorded_findings("xor-attention")["attention"].set_index(["head", "a", "b"])
    for head, wanted in (("L0 H0 at =", 1), ("L0 H1 at =", 0)):
        for a, b in ((0, 1), (1, 0)):
            assert table.loc[(head, a, b), "to_a" if a == wanted else "to_b"] > 0.9
    row = zoo.transformer_task().inputs[2]
    _, cache = bridges["xor-attention"].run_with_cache(row[None])
    pattern = cache["blocks.0.attn.hook_pattern"][0, :, END]
    recorded = table.xs((1, 0), level=("a", "b")).to_numpy()
    assert torch.allclose(pattern.double(), torch.tensor(recorded), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_direct_contributions_are_products_with_the_weights(name, bridges):
    """What a neuron, or a head, adds to the logit difference is its change times its weights out
    and the difference of two unembedding rows; without a norm all add up to the change of the MLP
    or attention.
    """
    bridge, task = bridges[name], zoo.transformer_task()
    state = {key: value.double() for key, value in bridge.state_dict().items()}
    way_out = state["unembed.weight"][1] - state["unembed.weight"][0]
    _, cache = bridge.run_with_cache(task.inputs)
    table = zoo.recorded_findings(name)["direct"].set_index(["pair", "site"])["score"]
    clean, corrupted = 1, 3  # 01 -> 11
    if name == "xor-transformer":
        moved = (cache[POST][clean, END] - cache[POST][corrupted, END]).double()
        scores = moved * (way_out @ state["blocks.0.mlp.out.weight"])
        parts = [f"L0 N{neuron} at =" for neuron in range(8)]
    else:
        moved = (cache[Z][clean, END] - cache[Z][corrupted, END]).double()  # [head, d_head]
        weights = (way_out @ state["blocks.0.attn.o.weight"]).reshape(2, 4)
        scores = (moved * weights).sum(-1)
        parts = ["L0 H0 at =", "L0 H1 at ="]
    recorded = torch.tensor([table[("01 -> 11", part)] for part in parts])
    assert torch.allclose(scores, recorded.double(), atol=1e-4)


def test_a_rebuild_has_the_same_gates_and_counts(capsys):
    """Trained from its seed here, the one of attention alone has the recorded findings, up to
    rounding.
    """
    assert build.main(["xor-attention", "--check"]) == 0
    outcome = capsys.readouterr().out.rsplit(": ", 1)[1].strip()
    assert outcome in ("same bytes", "same findings, other bytes")


def test_what_differs_from_a_rebuild_is_said(tmp_path):
    """The same bytes, another count, a file that is gone."""
    folder, contents = tmp_path / "xor-attention", _files()
    build.write_transformer(contents, folder)
    assert build.compare_transformer(contents, folder) == "same bytes"
    findings = folder / "findings.json"
    text = findings.read_text(encoding="utf-8")
    findings.write_text(text + "\n", encoding="utf-8")
    assert build.compare_transformer(contents, folder) == "same findings, other bytes"
    findings.write_text(text.replace('"n_agreed": 64', '"n_agreed": 63', 1), encoding="utf-8")
    assert build.compare_transformer(contents, folder) == "other findings"
    findings.unlink()
    assert build.compare_transformer(contents, folder) == "not there"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    """Files that the zoo did not write are not replaced."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(XorMiError, match="holds files that xor-mi did not write"):
        build.write_transformer({"config.json": b"{}"}, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", NAMES)
def test_its_folder_has_three_small_files(name):
    """Settings, weights and findings; the tables are named as the docstring names them."""
    folder = _transformers.DATA / name
    assert sorted(file.name for file in folder.iterdir()) == sorted(_transformers.FILES)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20_000
    tables = zoo.recorded_findings(name)
    of_neurons = ["neurons", "without neurons"] if name == "xor-transformer" else []
    named = ["positions", "heads", "attention", *of_neurons, "interchange", "direct"]
    assert list(tables) == named
    assert all(isinstance(table, pd.DataFrame) and len(table) for table in tables.values())


def test_wrong_names_and_damaged_files_are_one_sentence(tmp_path, monkeypatch):
    """Of either kind of network, and of each file."""
    with pytest.raises(XorMiError, match=r"no transformer 'or-and'; the zoo has: xor-transformer"):
        zoo.load_transformer("or-and")
    with pytest.raises(XorMiError, match=r"is a transformer; call zoo\.load_transformer"):
        zoo.load("xor-transformer")
    monkeypatch.setattr(_transformers, "DATA", tmp_path)
    folder = tmp_path / "xor-attention"
    build.write_transformer(_files(), folder)
    assert zoo.load_transformer("xor-attention") is not None
    for file, damage in (
        ("config.json", b"[]"),
        ("config.json", b'{"format": "other"}'),
        ("model.safetensors", b"cut"),
        ("findings.json", b'{"format": "other"}'),
    ):
        build.write_files({folder / name: content for name, content in _files().items()})
        (folder / file).write_bytes(damage)
        read = zoo.recorded_findings if file == "findings.json" else zoo.load_transformer
        with pytest.raises(XorMiError) as error:
            read("xor-attention")
        assert file in str(error.value)
        assert "\n" not in str(error.value)


def _files():
    """What lies in a folder of the package, which this test does not change."""
    folder = _transformers.Path(_transformers.__file__).parent / "transformers" / "xor-attention"
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["attn_only"]
    return {name: (folder / name).read_bytes() for name in _transformers.FILES}
