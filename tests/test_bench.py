"""What the bench is told of a network, the pages that hold it, and the code that makes a network
again. What the module makes of it is tested in a browser, in test_bench_browser.py.
"""

import json
import re

import pytest
import torch

import xor_mi
from xor_mi import bench, handmade, margins, zoo
from xor_mi.circuits import identify_circuit
from xor_mi.errors import TooManyReadings, XorMiError
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.saving import BENCH_MARK, mark_of
from xor_mi.truth import BooleanFunction

EVERY_SETTING = {
    "tanh": HookedMLPConfig(3, (4, 2), 2, act_fn="tanh", seed=5, target="XOR, AND"),
    "classes": HookedMLPConfig(2, 3, 3, decision_rule="argmax", act_fn="gelu", seed=1),
    "one decision": HookedMLPConfig(2, 2, 2, decision_rule="argmax", loss_fn="bce", target="OR"),
    "direct": HookedMLPConfig(2, 1, 1, direct=True, act_fn="sign", step_at_zero=1, dtype="float64"),
    "levels": HookedMLPConfig(
        2, (2, 1), input_levels=(-1, 1), act_fn=("leaky_relu", "relu"), negative_slope=0.2
    ),
    "probability": HookedMLPConfig(2, out_act_fn="sigmoid", decision_threshold=0.0, target="NOR"),
    "targets": HookedMLPConfig(2, loss_fn="mse", out_act_fn="tanh", target="x0 & ~x1"),
    "wide target": HookedMLPConfig(
        4, 2, target=BooleanFunction(4, [int(n in (0, 3, 7, 9, 10)) for n in range(16)])
    ),
}
"""Networks that between them have every setting other than its default."""


def text_of(page: str) -> dict:
    """The spec that a page carries."""
    found = re.search(r'<script type="application/json">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_the_spec_holds_the_weights_by_their_symbols(counted):
    """Weights 1 to 9, all different, each beside the symbol and the place that conditions use."""
    spec = bench.bench_spec(counted)
    held = dict(zip(margins.weight_symbols(counted), spec["networks"][0]["weights"], strict=True))
    assert held == {"w11": 1, "w12": -2, "w21": 3, "w22": 4, "b1": 5, "b2": -6, "v1": 7, "v2": -8, "c": 9}  # fmt: skip
    for one in spec["symbols"]:
        tensor, index = one["parameter"].rstrip("]").split("[")
        number = counted.get_parameter(tensor)[tuple(map(int, index.split(",")))].item()
        assert number == held[one["symbol"]]


def test_a_circuit_is_named_by_the_units_that_matter():
    """Of a network with dead units the gates of the live ones, and what the dead are called."""
    found = bench.found_spec(identify_circuit(zoo.load("dead-4")))
    assert found["gates"] == {"h0.1": "NOR", "h0.3": "AND"}
    assert found["idle"] == {"h0.0": "dead", "h0.2": "dead"}
    assert found["verdict"] == "identified"
    assert bench.bench_spec(zoo.load("dead-4"))["networks"][0]["found"] is None


def test_the_stored_circuits_of_presets_are_those_of_the_networks():
    """What is told of each network that can be chosen is what is found in it."""
    spec = bench.bench_spec(handmade.textbook_xor())
    presets = bench.preset_models(handmade.textbook_xor())
    assert [one["name"] for one in spec["networks"]] == ["this network", *presets]
    assert {"or-and", "gt-lt", "unsolved"} < set(presets)
    for shown in spec["networks"][1:]:
        again = bench.found_spec(identify_circuit(presets[shown["name"]]))
        assert shown["found"]["gates"] == again["gates"], shown["name"]
        assert shown["found"]["verdict"] == again["verdict"], shown["name"]
        assert shown["found"]["idle"] == again["idle"], shown["name"]


@pytest.mark.parametrize("name", EVERY_SETTING)
def test_the_code_makes_the_same_network(name):
    """Run, it gives every weight to the last digit, and every setting."""
    model = HookedMLP(EVERY_SETTING[name])
    made: dict[str, HookedMLP] = {}
    exec(bench.network_code(model), made)
    again = made["model"]
    assert again.cfg == model.cfg
    for parameter, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[parameter], tensor)


def test_a_page_of_several_networks_has_one_module(tmp_path, textbook):
    """The module is written once; every network has its numbers; the file is known as ours."""
    page = bench.write_bench(
        tmp_path / "bench.html", {"a </script> b": textbook, "c": zoo.load("or-and")}
    )
    text = page.read_text(encoding="utf-8")
    assert text.count(bench.module_text()) == 1
    assert text.count("data-xor-mi-bench>") == 2
    assert "a &lt;/script&gt; b" in text
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:,)", text)
    assert text_of(text)["networks"][0]["found"]["gates"] == {"h0.0": "OR", "h0.1": "AND"}
    assert mark_of(page) == BENCH_MARK
    # its own page is written again, another's file is not
    bench.write_bench(page, textbook)
    assert "<h2>" not in page.read_text(encoding="utf-8").split("<main>")[1]
    page.write_text("mine", encoding="utf-8")
    with pytest.raises(XorMiError, match="is there, and is not a file of xor_mi.bench"):
        bench.write_bench(page, textbook)
    assert page.read_text(encoding="utf-8") == "mine"


def test_a_part_of_a_page_takes_the_target_of_the_circuit(textbook):
    """Held against XNOR, the rows are."""
    part = bench.bench_html(textbook, identify_circuit(textbook, target="XNOR"), with_module=False)
    own = text_of(part)["networks"][0]
    assert own["target"] == {"name": "XNOR", "tables": [[1, 0, 0, 1]]}
    assert own["found"]["verdict"] == "not_computing"
    assert bench.module_text() not in part


def test_a_part_of_a_page_has_the_gates_that_a_page_has(tmp_path):
    """Whichever of the two writes the network, it is identified."""
    model = zoo.load("or-and").with_target(None)
    part = text_of(bench.bench_html(model))
    whole = text_of(bench.write_bench(tmp_path / "b.html", model).read_text(encoding="utf-8"))
    assert part == whole
    assert part["networks"][0]["found"]["gates"] == {"h0.0": "OR", "h0.1": "AND"}
    with pytest.raises(XorMiError, match="this network has 5 and 15"):
        bench.bench_html(HookedMLP(HookedMLPConfig(5, 2)))


def test_a_network_with_too_many_readings_has_a_bench_without_gates(monkeypatch):
    """Sliders and values need no circuit."""

    def refused(*_args, **_settings):
        raise TooManyReadings("more than the limit")

    monkeypatch.setattr("xor_mi.bench._page.identify_circuit", refused)
    own, *_ = text_of(bench.bench_html(zoo.load("or-and")))["networks"]
    assert own["found"] is None


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bench.bench_spec(HookedMLP(HookedMLPConfig(5, 2))), "this network has 5 and 15"),
        (lambda: bench.bench_spec(HookedMLP(HookedMLPConfig(2, 17))), "this network has 2 and 69"),
        (lambda: bench.bench_spec(torch.nn.Identity()), "not Identity"),
        (lambda: bench.bench_spec(zoo.load("parity-3"), identify_circuit(zoo.load("or-and"))), "2-2-1, and this network is 3-3-1"),
        (lambda: bench.write_bench("bench.html", {}), "models is empty"),
        (lambda: bench.write_bench("bench.html", {"a": "or-and"}), "a HookedMLP"),
        (lambda: bench.write_bench("bench.html", {0: handmade.textbook_xor()}), "a name in models"),
        (lambda: bench.write_bench("bench.html", {None: handmade.textbook_xor()}), "a name in models"),
        (lambda: bench.write_bench("bench.html", {"": handmade.textbook_xor()}), "a name in models is empty"),
        (lambda: bench.write_bench("bench.html", {"a\ud800": handmade.textbook_xor()}), r"'a\\ud800', which UTF-8"),
    ],
)  # fmt: skip
def test_what_has_no_bench_is_refused(call, message):
    """Too many inputs or weights, no network, a circuit of another one."""
    with pytest.raises(XorMiError, match=message):
        call()


def test_the_module_is_shipped():
    """It lies in the package, where a wheel takes it from, and loads nothing. A page is spared its
    comments, after the first.
    """
    assert xor_mi.bench.module_text().startswith("// The bench of xor_mi")
    assert len(re.findall(r"^ *//", bench.module_text(), flags=re.M)) == 1
    assert not re.search(r"^\s*import\b|\bimport\(|https?://(?!www\.w3\.org/2000/svg)", bench.module_text(), flags=re.M)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_spec_has_the_levels_that_the_network_computes_with(dtype):
    """As PyTorch rounds them; beside them the numbers that were given."""
    cfg = HookedMLPConfig(2, input_levels=(0.1, 1 / 3), dtype=dtype)
    shown = bench.bench_spec(HookedMLP(cfg))["networks"][0]
    held = torch.tensor([0.1, 1 / 3], dtype=torch.float64).to(getattr(torch, dtype)).tolist()
    assert shown["levels"] == held
    assert shown["given_levels"] == [0.1, 1 / 3]
