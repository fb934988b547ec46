"""The module of the bench in a real Chromium: what it computes is what this package computes, every
slider moves it by keyboard and by pointer, what is pointed at is marked in every view.
"""

import itertools
import random
import re

import numpy as np
import pytest
import torch
from networks import random_network
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_bench import EVERY_SETTING
from test_browser import browser, needs_browser  # noqa: F401 (a fixture)

from xor_mi import bench, handmade, identify_circuit, margins, zoo
from xor_mi.finding import number_text
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.model._config import ACTIVATIONS
from xor_mi.plots._style import text_beside
from xor_mi.values import forward_float64, own_scales, own_value_scales

pytestmark = [pytest.mark.as_a_user, needs_browser]

PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>t</title>
<link rel="icon" href="data:,"></head><body style="margin: 0"><main id="here"></main>
<script type="module">{module}
window.benches = {{ mount, evaluate, conditionsOf, codeOf, erf, numberText, textBeside, general, scalesOf, held }};
</script></body></html>"""

READ = """
return arguments[0].map(({spec, inputs}) => {
  const net = spec.networks[0];
  return {
    values: inputs.map(input => benches.evaluate(net, null, input)),
    conditions: benches.conditionsOf(spec, net, net.weights),
    code: benches.codeOf(net, net.weights),
    scales: benches.scalesOf(net, net.weights, inputs.slice(0, 2 ** net.sizes[0]).map(input => benches.evaluate(net, null, input))),
  };
});
"""


@pytest.fixture
def page(browser, tmp_path):  # noqa: F811 (the fixture)
    """An empty page with the module."""
    file = tmp_path / "page.html"
    file.write_text(PAGE.format(module=bench.module_text()), encoding="utf-8")
    browser.get(file.as_uri())
    browser.get_log("browser")
    yield browser
    assert browser.get_log("browser") == []
    requested = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert browser.execute_script(requested) == []


def networks() -> list[HookedMLP]:
    """Random weights of every activation, hidden and at the output, and of every setting."""
    made = [HookedMLP(cfg) for cfg in EVERY_SETTING.values()]
    for seed, name in enumerate(ACTIVATIONS):
        settings = {"step_at_zero": seed % 2, "negative_slope": 0.1, "seed": seed}
        inner = HookedMLPConfig(2, (3, 2), act_fn=name, target="XOR", dtype="float64", **settings)
        outer = HookedMLPConfig(
            3, 2, act_fn="relu", out_act_fn=name, target="XOR", input_levels=(-1, 2), **settings
        )
        made += [HookedMLP(inner), HookedMLP(outer)]
    # large weights, so that units are off, on and full
    return [
        one.with_weights([(4 * w, 4 * b) for w, b in one.float64_layers()]) for one in made
    ] + made


def test_it_computes_what_this_package_computes(page):
    """Every sum, value, decision, inequality and line of code, of 76 networks in one call."""
    drawn = random.Random(0)
    models = networks()
    asked = []
    for model in models:
        rows = model.rows().double().tolist()
        between = [[drawn.uniform(-2, 3) for _ in range(model.cfg.d_in)] for _ in range(4)]
        asked.append({"spec": bench.bench_spec(model), "inputs": rows + between})
    for model, question, answer in zip(
        models, asked, page.execute_script(READ, asked), strict=True
    ):
        inputs = torch.tensor(question["inputs"], dtype=torch.float64)
        layers = forward_float64(model, inputs)
        for layer, values in enumerate(layers):
            pre = torch.tensor([one["pre"][layer] for one in answer["values"]])
            post = torch.tensor([one["post"][layer] for one in answer["values"]])
            torch.testing.assert_close(pre.double(), values.pre, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(post.double(), values.post, rtol=1e-6, atol=1e-6)
        distance = model.rule.distance(layers[-1].post)
        decided = torch.tensor([one["decisions"] for one in answer["values"]])
        is_clear = distance.abs() > 1e-9
        assert torch.equal(decided[is_clear], model.rule.decide(layers[-1].post)[is_clear])
        assert answer["code"] == bench.network_code(model)
        on_rows = forward_float64(model, model.rows())
        for scales, name in ((own_scales, "sums"), (own_value_scales, "values")):
            theirs = [of_layer[name] for of_layer in answer["scales"]]
            assert theirs == pytest.approx(scales(model, on_rows), rel=1e-6)
        if model.cfg.target is None:
            assert answer["conditions"] == []
            continue
        for ours, theirs in itertools.zip_longest(margins.conditions(model), answer["conditions"]):
            said = (ours.row, ours.place, ours.inequality, ours.numbers)
            assert said == tuple(theirs[key] for key in ("row", "place", "inequality", "numbers"))
            assert theirs["slack"] == pytest.approx(ours.slack, rel=1e-9, abs=1e-9)
            if abs(ours.slack) > 1e-9:
                assert theirs["satisfied"] == ours.satisfied


def test_the_error_function_and_numbers_as_text(page):
    """Against PyTorch's, to 1e-14; numbers against Python's, and never a minus before zero."""
    xs = torch.linspace(-7, 7, 561, dtype=torch.float64)
    read = page.execute_script("return arguments[0].map(benches.erf)", xs.tolist())
    torch.testing.assert_close(torch.tensor(read, dtype=torch.float64), torch.erf(xs), rtol=0, atol=1e-14)  # fmt: skip
    said = page.execute_script("return arguments[0].map(n => benches.numberText(n))", TIES)
    assert said == [number_text(number) for number in TIES]
    said = page.execute_script("return arguments[0].map(n => benches.general(n, 4))", TIES)
    assert said == [f"{number:.4g}" for number in TIES]
    numbers = [0.0, -0.0, -0.004, 2 / 3, -12.346, 2e-7, 3e9, 999999.0]
    said = page.execute_script("return arguments[0].map(n => benches.numberText(n))", numbers)
    assert said == ["0.00", "0.00", "-0.004", "0.67", "-12.35", "2e-07", "3e+09", "999999.00"]
    beside = [(-0.02, 0.02), (0.00431, 0.02), (3e-8, 2e-7), (1 / 3, 300.0), (-0.001, 6.3), (2, 4e7)]
    beside += [
        (number, abs(number) * share) for number in TIES[:-1] for share in (1, 1.5, 300, 9e5)
    ]
    beside += [(2.5, 300.0), (-3.5, 300.0), (123456.0, 5e5), (1e-310, 1e-310), (5e-324, 5e-324)]
    beside += [(5e9, 9e12), (-15e9, 9e12), (0.0, 0.0)]
    read = "return arguments[0].map(([n, most]) => benches.textBeside(n, most))"
    assert page.execute_script(read, beside) == [
        text_beside(number, largest=most) for number, most in beside
    ]


TIES = [
    *(
        1.0625,
        0.125,
        -0.125,
        0.375,
        2.5,
        3.5,
        -2.5,
        1.005,
        2.675,
        0.0625,
        0.03125,
        12345.5,
        99999.5,
    ),
    *(999999.5, 999999.995, 1e-310, 5e-324, 1e22, 123456789012345678.0, 0.0001235, 2.3125, 1.7e308),
]
"""Numbers exactly between two shorter ones, numbers near them, and very small and large ones."""


def test_a_row_exactly_on_the_threshold_is_undecided(page):
    """Row 00 of the textbook's network has the output c, and the threshold is 0.5."""
    model = handmade.edit(handmade.textbook_xor(), {"fc2.bias[0]": 0.5})
    show(page, model)
    assert cells(page)[0][-1] == "✗ undecided"
    assert "00 is undecided" in page.find_element(By.CSS_SELECTOR, ".xmb-now").text


def show(page, model, circuit=None) -> None:
    """Mounts a bench."""
    spec = bench.bench_spec(model, circuit)
    page.execute_script("window.b = benches.mount(document.getElementById('here'), arguments[0])", spec)  # fmt: skip


def cells(page) -> list[list[str]]:
    """The truth table."""
    read = "return [...document.querySelectorAll('.xmb tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    return page.execute_script(read)


def drawn(page) -> None:
    """Waits for the next frame to be drawn."""
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def test_copies_of_the_module_share_one_count(browser, tmp_path, textbook):  # noqa: F811 (the fixture)
    """Cells of a notebook each bring their own; every name of an element is there once."""
    file = tmp_path / "cells.html"
    file.write_text(bench.bench_html(textbook) + bench.bench_html(textbook), encoding="utf-8")
    browser.get(file.as_uri())
    named = "return [...document.querySelectorAll('.xmb [id]')].map(one => one.id)"
    WebDriverWait(browser, 20).until(lambda page: len(page.execute_script(named)) > 20)
    ids = browser.execute_script(named)
    assert len(set(ids)) == len(ids)
    labels = (
        "return [...document.querySelectorAll('section.xmb')].map(one => one.ariaLabel.slice(0, 7))"
    )
    assert browser.execute_script(labels) == ["Bench 1", "Bench 2"]


def test_every_slider_moves_by_keyboard_and_by_pointer(page):
    """A key moves a slider by 0.05, a press on its rail moves it there; then the table is that of
    the network with these weights.
    """
    model = zoo.load("or-and")
    show(page, model)
    symbols = margins.weight_symbols(model)
    read = "return [...b.weights, ...b.input]"
    sliders = page.find_elements(By.CSS_SELECTOR, ".xmb input[type=range]")
    assert len(sliders) == len(symbols) + model.cfg.d_in
    names = [slider.get_attribute("id").split("-", 1)[1] for slider in sliders]
    order = [*symbols, *[f"x{k}" for k in range(model.cfg.d_in)]]
    for slider, key in zip(sliders, names, strict=True):
        at = order.index(key)
        before = page.execute_script(read)
        slider.send_keys(Keys.ARROW_LEFT)
        drawn(page)
        after = page.execute_script(read)
        moved = [k for k, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        assert moved == [at], key
        # a trained weight comes onto the steps first
        assert 0.02 < before[at] - after[at] < 0.08
        ActionChains(page).move_to_element_with_offset(slider, slider.rect["width"] // 2 - 3, 0).click().perform()  # fmt: skip
        drawn(page)
        assert page.execute_script(read)[at] > after[at], key
    weights = page.execute_script("return b.moves")
    assert set(weights) == set(symbols)
    edited = handmade.edit(model, {symbols[symbol]: value for symbol, value in weights.items()})
    outputs = forward_float64(edited, edited.rows())[-1].post.ravel().tolist()
    shown = [float(line[-4]) for line in cells(page)]
    assert shown == pytest.approx(outputs, abs=max(map(abs, outputs)) / 100)
    target = edited.target_of().tables[0]
    right = [(value > edited.threshold) == bool(bit) for value, bit in zip(outputs, target, strict=True)]  # fmt: skip
    assert ["right" in line[-1] for line in cells(page)] == right


def test_what_is_pointed_at_is_marked_in_every_view(page, textbook):
    """A weight, a unit and a row; the same where the focus is on a slider."""
    show(page, textbook)
    views = ["net", "plane", "weights", "table", "conditions"]
    read = "return arguments[0].filter(view => document.querySelector(`.xmb-${view} .xmb-on`))"

    def marked():
        return page.execute_script(read, views)

    assert marked() == []
    for selector in (".xmb-weights [data-key=w12] label", ".xmb-weights legend[data-key='h0.1']"):
        ActionChains(page).move_to_element(page.find_element(By.CSS_SELECTOR, selector)).perform()
        # of a unit, conditions mark its weights
        assert marked() == views, selector
    line = page.find_element(By.CSS_SELECTOR, ".xmb-table tr[data-key='11']")
    ActionChains(page).move_to_element(line).perform()
    assert set(marked()) == {"plane", "table", "conditions"}
    assert page.find_element(By.CSS_SELECTOR, ".xmb-net .xmb-title").text == "Network on row 11"
    ActionChains(page).move_to_element(page.find_element(By.CSS_SELECTOR, ".xmb-now")).perform()
    page.find_element(By.CSS_SELECTOR, "input[type=range][id$='-v2']").send_keys(Keys.ARROW_LEFT)
    drawn(page)
    assert marked() == views


def test_rounding_is_told_by_layer(page):
    """With weights of a million a hidden unit is a million beside an output of 10^12, which is not
    rounding; the output of dead units, 1e-9 beside weights of 1, is.
    """
    large = HookedMLP.from_weights(
        [([[1e6, 1e6], [1e6, 1e6]], [0.0, -1e6]), ([[1e6, -2e6]], [-0.5])], target="XOR"
    )
    show(page, large)
    texts = "return [...document.querySelectorAll('svg text')].map(text => text.textContent)"
    written = page.execute_script(texts)
    assert {"1e+06", "1e+12"} <= set(written)
    dead = HookedMLP.from_weights(
        [([[1.0, 1.0], [1.0, 1.0]], [-3.0, -4.0]), ([[1.0, -2.0]], [1e-9])], target="XOR"
    )
    show(page, dead)
    assert not [text for text in page.execute_script(texts) if "e-" in text]


def test_the_point_moves_by_keys_and_by_pointer(page, textbook):
    """From row 01 upwards by a step, then to where the pointer lets it go, then to a row."""
    show(page, textbook)
    point = page.find_element(By.CSS_SELECTOR, ".xmb-point")
    assert page.execute_script("return b.input") == [0, 1]
    point.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP)
    drawn(page)
    assert page.execute_script("return b.input") == pytest.approx([0.05, 1.05])
    assert point.get_attribute("aria-valuetext") == "x0 is 0.05, x1 is 1.05"
    ActionChains(page).drag_and_drop_by_offset(point, 60, 80).perform()
    drawn(page)
    x, y = page.execute_script("return b.input")
    assert x > 0.2
    assert y < 0.9
    page.find_element(By.CSS_SELECTOR, ".xmb-table tr[data-key='10']").click()
    drawn(page)
    assert page.execute_script("return b.input") == [1, 0]


def test_words_say_what_was_found_and_what_has_moved(page, trained):
    """Two benches in one page; a moved weight makes gates those of the network as it was found; a
    preset and a reset bring others.
    """
    from xor_mi.circuits import identify_circuit

    circuit = identify_circuit(trained.model, with_evidence=False)
    show(page, zoo.load("parity-3"))
    show(page, trained.model, circuit)
    assert len(page.find_elements(By.CSS_SELECTOR, ".xmb")) == 2
    read = "return [b.now.textContent, b.foundNote.textContent]"
    now, found = page.execute_script(read)
    assert now == "Right on all 4 rows: it computes XOR."
    assert found == "Found: identified, h0.0 OR, h0.1 AND."
    page.execute_script("b.move(b.symbols.indexOf('v2'), -1)")
    drawn(page)
    now, found = page.execute_script(read)
    assert now == "Right on 3 of 4 rows; 11 is decided 1."
    assert found.startswith("Of the network as it was found: identified, h0.0 OR, h0.1 AND. Since then v2 has moved")  # fmt: skip
    page.execute_script("b.reset()")
    assert page.execute_script(read)[0] == "Right on all 4 rows: it computes XOR."
    page.execute_script("b.choose(b.spec.networks.findIndex(n => n.name === 'unsolved'))")
    now, found = page.execute_script(read)
    assert now.startswith("Decides 0 on every row; right on 2 of 4.")
    assert found == "Found: not computing, no unit has a gate."


NOT_PROVED = """
const gates = [...document.querySelectorAll(".xmb-unit")].map(unit => unit.querySelector("text.xmb-halo"));
return {
  gates: gates.map(gate => [gate.parentNode.dataset.key, gate.textContent, gate.matches(".xmb-quiet")]),
  groups: [...b.gateNotes].map(([name, note]) => [name, note.textContent]),
  hover: b.unitNodes.get("h0.0").title.textContent,
  note: b.idleNote.textContent,
  found: b.foundNote.textContent,
};
"""


def test_gates_that_are_not_proved_are_marked(page):
    """The closest reading is said to be one in the head, at the unit, in its hover and in a key."""
    layers = [
        ([[-2.2, 0.5], [1.9, 1.9], [-3.0, 3.0]], [2.2, -1.9, 0.0]),
        ([[-3.9, -3.7, 4.0]], [3.9]),
    ]
    model = HookedMLP.from_weights(layers, target="XOR")
    circuit = identify_circuit(model, with_evidence=False)
    assert circuit.verdict == "approximate"
    live = {unit.place.name: unit.gate for unit in circuit.units if not unit.idle}
    show(page, model, circuit)
    seen = page.execute_script(NOT_PROVED)
    gates = ", ".join(f"{unit} {gate}" for unit, gate in live.items())
    assert seen["found"] == f"Not proved (approximate): the closest reading is {gates}."
    for unit, gate in live.items():
        assert [unit, f"{gate}?", True] in seen["gates"]
        assert [unit, f" · {gate}?"] in seen["groups"]
    means = "no explanation survives every test required; this is the closest reading"
    assert seen["note"] == f"?: {means}"
    assert seen["hover"].endswith(f"{live['h0.0']}, not proved: {means}")
    page.execute_script("b.move(0, 2)")
    drawn(page)
    found = page.execute_script(NOT_PROVED)["found"]
    assert found.startswith(f"Of the network as it was found: not proved (approximate), {gates}. ")


HOSTILE = """
.page table { table-layout: fixed; border: 1px solid red; font-size: 9px; margin-left: auto; margin-bottom: 1em; min-width: 90%; }
.page thead { border-bottom: 2px solid red; vertical-align: bottom; }
.page td, .page th, .page tr { text-align: right; padding: 0.7em; line-height: 2; white-space: normal; max-width: 20px; font-size: 9px; }
.page th { font-weight: 900; text-transform: uppercase; background: red; }
.page tbody tr:nth-child(odd) { background: #f00; } .page tbody tr:hover { background: #0f0; }
.page :not(pre) > code { background: red; padding: 5px; font-size: 20px; }
.page pre { border: 3px solid red; margin: 9px; }
.page ul:not(.list-inline) { padding-left: 3em; list-style: disc; } .page li + li { margin-top: 2em; } .page li { padding: 9px; }
.page p { margin-bottom: 2em; } .page * + table { margin-top: 2em; }
.page label, .page legend { display: inline; font-size: 22px; margin: 5px; border-bottom: 1px solid red; }
.page svg { max-width: 50%; } .page b { font-weight: 100; } .page span { letter-spacing: 3px; }
"""
LOOK = """
const properties = ["font-size", "font-weight", "line-height", "letter-spacing", "text-align", "text-transform", "color",
  "background-color", "table-layout", "list-style-type", "white-space", "max-width"];
for (const side of ["top", "right", "bottom", "left"]) properties.push(`margin-${side}`, `padding-${side}`, `border-${side}-width`);
const looks = [...document.querySelectorAll(".xmb-all *")].map(node => {
  const {width, height} = node.getBoundingClientRect();
  const style = getComputedStyle(node);
  return [node.tagName, node.className.baseVal ?? node.className, width, height, ...properties.map(name => style.getPropertyValue(name))].join("; ");
});
return looks;
"""


def test_a_page_with_rules_of_its_own_leaves_the_bench_as_it_is(page):
    """A notebook has rules for tables, lists and code, stronger than one class: every element of the
    bench keeps its size and its look; a table beside the bench has theirs.
    """
    page.execute_script("document.getElementById('here').className = 'page'")
    show(page, zoo.load("parity-3"))
    page.execute_script("b.codeBox.open = true")
    drawn(page)
    before = page.execute_script(LOOK)
    page.execute_script(
        "document.body.append(document.createElement('style'));"
        "document.body.lastChild.textContent = arguments[0];"
        "here.insertAdjacentHTML('beforeend', '<table id=\"beside\"><tr><td>1</td></tr></table>')",
        HOSTILE,
    )
    page.execute_script("b.resize(); b.draw()")
    drawn(page)
    after = page.execute_script(LOOK)
    assert [(one, other) for one, other in zip(before, after, strict=True) if one != other] == []
    beside = "return getComputedStyle(document.getElementById('beside')).tableLayout"
    assert page.execute_script(beside) == "fixed"


WRITTEN = """
return [".xmb-label text", ".xmb-unit .xmb-box", ".xmb-net .xmb-quiet"].map(selector =>
  [...document.querySelectorAll(selector)].map(one => {
    const box = one.getBBox();
    return [box.x, box.x + box.width, box.y, box.y + box.height];
  }));
"""
"""Left, right, top and bottom of each weight's label, each unit's box, and each bias."""


@pytest.mark.parametrize("width", [1280, 600, 400])
@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 3, 3, 1)])
def test_labels_of_the_diagram_keep_apart(page, sizes, width):
    """As the browser measures them: no label lies on another, on a unit or on a bias, but for the
    empty pixels above and below letters.
    """
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    spec = bench.bench_spec(random_network(2, sizes=sizes, target="XOR"))
    page.execute_script("benches.mount(document.getElementById('here'), arguments[0])", spec)
    labels, boxes, biases = page.execute_script(WRITTEN)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    n_weights = sum(a * b for a, b in itertools.pairwise(sizes))
    assert (len(labels), len(boxes)) == (n_weights, 2 * sum(sizes))
    for number, (left, right, top, bottom) in enumerate(labels):
        for other in [*labels[:number], *boxes, *biases]:
            across = min(right, other[1]) - max(left, other[0])
            down = min(bottom, other[3]) - max(top, other[2])
            assert min(across, down) < 3


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_page(page, width):
    """The widest network of the zoo, and one with steps and direct connections."""
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})  # fmt: skip
    try:
        for model in (zoo.load("deep-parity-3"), HookedMLP(EVERY_SETTING["direct"])):
            page.execute_script("document.getElementById('here').replaceChildren()")
            show(page, model)
            drawn(page)
            assert page.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CUT_ON_PAPER = """
return [...document.querySelectorAll('.xmb-card svg, .xmb-stage, .xmb table')].filter(one => {
  const card = one.closest('.xmb-card').getBoundingClientRect();
  const box = one.getBoundingClientRect();
  return box.left < card.left - 1 || box.right > Math.min(card.right, innerWidth) + 1;
}).map(one => one.outerHTML.slice(0, 60));
"""
"""What reaches over its card, or over the sheet."""
FROZEN = "b.watch.disconnect(); return [b.width.net, b.root.scrollWidth];"


@pytest.mark.parametrize("screen", [1280, 740])
@pytest.mark.parametrize("paper", [688, 710, 1016])
def test_nothing_is_cut_on_paper(page, screen, paper):
    """A browser lays out print in style alone, with the sizes that were written for the screen: on
    A4 upright and across, and on Letter, the diagram, the plane and the table are whole.
    """

    def resized(width, medium):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium})
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        drawn(page)

    try:
        for model in (handmade.textbook_xor(), zoo.load("deep-parity-3")):
            page.execute_script("document.getElementById('here').replaceChildren()")
            resized(screen, "")
            show(page, model)
            drawn(page)
            laid_for, _ = page.execute_script(FROZEN)
            resized(paper, "print")
            assert page.execute_script(CUT_ON_PAPER) == []
            assert page.execute_script("return b.width.net") == laid_for
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


PAINTED = """
const canvas = document.querySelector('.xmb canvas');
// a copy: what is read often is kept otherwise by the browser, which says so
const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
copy.drawImage(canvas, 0, 0);
const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
let [sum, n] = [0, 0];
for (let k = 0; k < data.length; k += 4) { sum += data[k] + data[k + 1] + data[k + 2]; n += 3; }
return [sum / n, getComputedStyle(document.querySelector('.xmb')).backgroundColor];
"""


def test_the_plane_is_light_on_paper_and_dark_again_after(page, textbook):
    """In the dark, by the event of a browser that prints and by the style of a sheet; the mean of
    all pixels is what is looked at.
    """
    white, night = "rgb(255, 255, 255)", "rgb(22, 24, 28)"
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]

    def look(medium=""):
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": dark})
        drawn(page)
        return page.execute_script(PAINTED)

    try:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        show(page, textbook)
        mean, paper = look()
        assert mean < 110
        assert paper == night
        page.execute_script("dispatchEvent(new Event('beforeprint'))")
        mean, paper = page.execute_script(PAINTED)
        assert mean > 160
        assert paper == white
        page.execute_script("dispatchEvent(new Event('afterprint'))")
        assert page.execute_script(PAINTED)[0] < 110
        assert look("print")[0] > 160
        assert look()[0] < 110
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.mark.parametrize("width", [360, 1280])
def test_a_long_name_stays_on_the_page(browser, tmp_path, width):  # noqa: F811 (the fixture)
    """Of 300 letters without a space."""
    file = bench.write_bench(tmp_path / "page.html", {"w" * 300: handmade.textbook_xor()})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(file.as_uri())
    drawn(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize(("width", "is_scrolled"), [(320, True), (1280, False)])
def test_a_table_that_is_scrolled_says_so(page, width, is_scrolled):
    """Five outputs, whose columns never go for want of room; keys reach what is scrolled."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    show(page, random_network(2, sizes=(2, 2, 5)))
    drawn(page)
    title = page.find_element(By.CSS_SELECTOR, ".xmb-table .xmb-title").text
    box = page.find_element(By.CSS_SELECTOR, ".xmb-wide")
    reaches = page.execute_script("return arguments[0].scrollWidth - arguments[0].clientWidth", box)
    by_keys = box.get_attribute("tabindex")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert (reaches > 1) == is_scrolled
    assert ("scroll to the right" in title) == is_scrolled
    assert (by_keys == "0") == is_scrolled


BOUNDARY = """
const here = document.getElementById("here");
here.replaceChildren();
const b = benches.mount(here, arguments[0]);
const path = here.querySelector(".xmb-boundary")?.getAttribute("d") || "";
const ends = [...path.matchAll(/([-0-9.]+) ([-0-9.]+)/g)].map(found => b.inverse([+found[1], +found[2]]));
b.destroy();
return ends;
"""


def scaled(scale: float, **settings) -> HookedMLP:
    """Weights drawn by the seed, times a number."""
    model = HookedMLP(HookedMLPConfig(2, **settings))
    return model.with_weights([(scale * w, scale * b) for w, b in model.float64_layers()])


@pytest.mark.parametrize(
    "model",
    [
        scaled(5.0, act_fn="relu", d_hidden=(3, 2), seed=10),
        scaled(3.0, act_fn="sign", d_hidden=2, seed=3, direct=True, step_at_zero=1),
        # exactly on the threshold wherever both units are off
        HookedMLP.from_weights([([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])], out_act_fn="leaky_relu"),
        scaled(6.0, act_fn="tanh", d_hidden=4, seed=7, d_out=3, decision_rule="argmax"),
    ],
    ids=["relu", "steps", "undecided beside a border", "smooth, three classes"],
)  # fmt: skip
def test_the_boundary_is_where_decisions_change(page, model):
    """Between neighbouring points of a grid, by PyTorch, that are decided otherwise a drawn line
    passes; and on both sides of the middle of every drawn line something else is decided.
    """
    ends = page.execute_script(BOUNDARY, bench.bench_spec(model))
    lines = torch.tensor(ends, dtype=torch.float64).reshape(-1, 2, 2)

    def decided(points):
        outputs = forward_float64(model, points)[-1].post
        return model.rule.decide(outputs)[..., 0]

    steps = torch.linspace(-0.47, 1.47, 48, dtype=torch.float64)
    bits = decided(torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1))
    changes = (bits[:, 1:] != bits[:, :-1]).nonzero().tolist()
    assert len(changes) > 5
    start, way = lines[:, 0], lines[:, 1] - lines[:, 0]
    for row, column in changes:
        y, low, high = steps[row], steps[column] - 0.01, steps[column + 1] + 0.01
        share = (y - start[:, 1]) / way[:, 1]
        x = start[:, 0] + share * way[:, 0]
        passes = (share > -0.05) & (share < 1.05) & (x > low) & (x < high)
        level = (way[:, 1].abs() < 0.005) & ((start[:, 1] - y).abs() < 0.02)
        assert bool((passes | level).any()), (row, column)
    long = way.norm(dim=1) > 0.01
    middle = (start + way / 2)[long]
    aside = way[long].flip(1) * torch.tensor([-1.0, 1.0]) / way[long].norm(dim=1)[:, None] / 200
    differ = decided(middle + aside) != decided(middle - aside)
    assert differ.double().mean() > 0.97


XOR_LAYERS = [([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])]
"""h0.0 counts the ones, h0.1 is AND, and the output is XOR."""


def step(sums):
    """1 above zero."""
    return (np.asarray(sums) > 0) * 1.0


def logistic(sums):
    """Without a warning where the sums are large."""
    return 0.5 + 0.5 * np.tanh(np.asarray(sums) / 2)


STEEP = [([[2e7, 2e7], [2e7, 2e7]], [-1e7, -3e7]), ([[1, -1]], [-0.5])]


@pytest.mark.parametrize(
    ("layers", "hidden", "output", "settings"),
    [
        (STEEP, step, np.asarray, {"act_fn": "heaviside"}),
        (STEEP, np.tanh, np.asarray, {"act_fn": "tanh"}),
        ([XOR_LAYERS[0], ([[2e7, -4e7]], [-1e7])], lambda sums: np.maximum(sums, 0), logistic, {"out_act_fn": "sigmoid", "decision_threshold": 0.5}),
    ],
    ids=["heaviside", "tanh", "sigmoid output"],
)  # fmt: skip
def test_values_after_an_activation_are_no_rounding_beside_large_sums(
    page, layers, hidden, output, settings
):
    """Sums of ten million, values of 1: the table and the diagram have what NumPy has."""
    model = HookedMLP.from_weights(layers, target="XOR", dtype="float64", **settings)
    show(page, model)
    (w, b), (v, c) = [(np.array(weight, float), np.array(bias, float)) for weight, bias in layers]
    for line, bits in zip(cells(page), itertools.product((0, 1), repeat=2), strict=True):
        units = hidden(w @ bits + b)
        values = [*units, *output(v @ units + c)]
        assert [float(cell) for cell in line[1:4]] == pytest.approx(values, abs=1e-3)
    # the point is on row 01, the first that should be 1
    units = hidden(w @ (0, 1) + b)
    read = (
        "return [...document.querySelectorAll('.xmb-unit .xmb-value')].map(one => one.textContent)"
    )
    shown = [float(text) for text in page.execute_script(read)]
    assert shown == pytest.approx([0, 1, *units, *output(v @ units + c)], abs=1e-3)
    said = page.execute_script("return b.planeSays.textContent")
    assert "Blue: decides 1; red: decides 0" in said
    assert "everywhere" not in said


def tied(layers, **settings) -> HookedMLP:
    """A network with threshold 0, in float64."""
    return HookedMLP.from_weights(layers, decision_threshold=0.0, dtype="float64", **settings)


SMALL = [([[1e-30, 1e-30], [1e-30, 1e-30]], [0, -1e-30]), ([[1e-30, -2e-30]], [0])]
LARGE_BIAS = [([[1, 1], [1, 1]], [1e6, -1]), ([[1, -2]], [-1e6 - 0.5])]


@pytest.mark.parametrize(
    ("model", "has", "has_not"),
    [
        (tied([([[1, 1]], [-1]), ([[1]], [0])]), ["Blue", "grey: undecided, exactly on the threshold"], ["red", "everywhere"]),
        (tied([([[1, 1]], [-1]), ([[-1]], [0])]), ["Red", "grey"], ["lue:", "everywhere"]),
        (tied([([[-1, -1]], [-1]), ([[1]], [0])]), ["the same everywhere here: 0.00; undecided"], ["decides"]),
        (tied(SMALL), ["Blue: decides 1; red: decides 0; grey"], ["everywhere"]),
        (tied(LARGE_BIAS), ["Blue: decides 1; red: decides 0;"], ["everywhere", "grey"]),
        (tied([([[1, 1]], [0]), ([[1]], [1])]), ["Decides 1 everywhere here."], ["grey", "But"]),
        # on the threshold at one row only
        (tied([([[1, 1], [-1, -1]], [0, 0]), ([[1, 1]], [0])]), ["Decides 1 everywhere here. But for 00, exactly on the threshold"], ["grey"]),
        (tied([([[1]], [-0.5]), ([[1]], [0])]), ["where the output lies on it nothing is decided"], ["everywhere"]),
        (tied([([[-1]], [-1]), ([[1]], [0])]), ["the same everywhere here: 0.00; undecided"], ["decides"]),
        (HookedMLP.from_weights([XOR_LAYERS[0], ([[1, -2], [1, -2]], [0, 0])], decision_rule="argmax"), ["the same everywhere here: 0.00; undecided, as large as another output"], []),
    ],
)  # fmt: skip
def test_the_sentence_of_the_plane_is_true(page, model, has, has_not):
    """What is undecided over an area is said, and the same everywhere is said only where it is."""
    show(page, model)
    said = page.execute_script("return b.planeSays.textContent")
    for part in has:
        assert part in said
    for part in has_not:
        assert part not in said


def test_what_is_typed_is_held_or_refused(page):
    """As NumPy's floats hold it; what they cannot hold goes back, and the reason stands beside."""
    read = "const s = b.sliders.get('w11'); return [b.weights[0], s.number.value, s.row.querySelector('.xmb-why').textContent]"

    def type_into(dtype: str, text: str):
        page.execute_script("document.getElementById('here').replaceChildren()")
        show(page, HookedMLP.from_weights(XOR_LAYERS, dtype=dtype, target="XOR"))
        field = page.execute_script("return b.sliders.get('w11').number")
        page.execute_script("arguments[0].focus(); arguments[0].select()", field)
        field.send_keys(text, Keys.ENTER)
        drawn(page)
        return page.execute_script(read)

    for text in ("1e-13", "1e-30", "0.12345678901234567", "-3e200", "5e-324"):
        weight, field, why = type_into("float64", text)
        assert (weight, float(field), why) == (float(text), float(text), "")
    assert type_into("float32", "0.1")[0] == float(np.float32(0.1))
    assert type_into("float16", "0.1")[0] == float(np.float16(0.1))
    assert type_into("float16", "65519")[0] == 65504
    for dtype, text, reason in [
        ("float16", "65520", "65520 is too large: float16 holds numbers up to 65504."),
        ("float16", "1e-8", "1e-8 is too small: float16 would make 0 of it."),
        ("bfloat16", "3.5e38", "too large: bfloat16 holds numbers up to 3.38953e+38."),
        ("float32", "1e39", "too large: float32 holds numbers up to 3.40282e+38."),
        ("float32", "-1e-50", "-1e-50 is too small: float32 would make 0 of it."),
        ("float64", "1e-400", "1e-400 is too small: float64 would make 0 of it."),
        ("float64", "1e400", "is not a number that float64 holds."),
        ("float64", "1e", "is not a number that float64 holds."),
    ]:
        weight, field, why = type_into(dtype, text)
        assert (weight, field) == (1, "1"), text
        assert reason in why
    # two large factors, each of them held
    assert type_into("float64", "1e307")[0] == 1e307
    page.execute_script("b.sliders.get('v1').number.focus()")
    page.execute_script("const n = b.sliders.get('v1').number; n.value = '1e10'; n.dispatchEvent(new Event('change'))")  # fmt: skip
    assert page.execute_script("return b.weights[6]") == 1
    assert "y0 would not be finite" in page.find_element(By.CSS_SELECTOR, "[data-key=v1] .xmb-why").text  # fmt: skip


def test_half_precisions_are_held_as_numpy_holds_them(page):
    """Random numbers of every size, down to those that become 0."""
    drawn_by = random.Random(3)
    numbers = [drawn_by.uniform(-10, 10) * 10.0 ** drawn_by.randint(-9, 4) for _ in range(300)]
    held = page.execute_script("return arguments[0].map(n => benches.held(n, 'float16'))", numbers)
    with np.errstate(over="ignore"):
        expected = [float(np.float16(number)) for number in numbers]
    assert [np.inf if number is None else number for number in held] == [
        abs(number) if np.isinf(number) else number for number in expected
    ]
    wide = [number * 10.0 ** drawn_by.randint(-36, 30) for number in numbers]
    held = page.execute_script("return arguments[0].map(n => benches.held(n, 'bfloat16'))", wide)
    assert held == torch.tensor(wide, dtype=torch.float64).to(torch.bfloat16).double().tolist()


def test_levels_are_those_that_the_network_holds(page):
    """Output x0 against the threshold 0.1, which float32 holds as a little more than 0.1."""
    layers = [([[1, 0], [0, 1]], [0, 0]), ([[1, 0]], [0])]
    model = HookedMLP.from_weights(
        layers, dtype="float32", input_levels=(0, 0.1), decision_threshold=0.1, target="x0"
    )
    assert np.float64(np.float32(0.1)) > 0.1
    show(page, model)
    assert [line[-3] for line in cells(page)] == ["0", "0", "1", "1"]
    slack = page.execute_script(
        "return benches.conditionsOf(b.spec, b.net, b.weights).map(one => one.slack)"
    )
    at_ones = float(np.float32(0.1)) - 0.1
    assert slack == pytest.approx([0.1, 0.1, at_ones, at_ones], rel=1e-9)


@pytest.mark.parametrize("levels", [(0, 1e-3), (0, 1 / 3), (-1, 1), (1, -1), (3, 7), (0, 1e9)])
def test_both_levels_are_reached_by_keys(page, levels):
    """From either end of the rail by steps of a twentieth of the way between the levels; the same
    for the point in the plane.
    """
    model = HookedMLP.from_weights(XOR_LAYERS, input_levels=levels, dtype="float64", target="XOR")
    show(page, model)
    slider = page.execute_script("return b.sliders.get('x0').range")
    least, most = sorted(levels)
    ends = least - (most - least) / 2, most + (most - least) / 2
    read = "return b.input[0]"
    for key, back, end, reached in [
        (Keys.HOME, Keys.ARROW_RIGHT, ends[0], least),
        (Keys.END, Keys.ARROW_LEFT, ends[1], most),
    ]:
        slider.send_keys(key)
        assert page.execute_script(read) == pytest.approx(end, rel=1e-9)
        slider.send_keys(*[back] * 10)
        # exactly, so that it is on a row
        assert page.execute_script(read) == reached
    page.execute_script("b.input = [...b.net.levels]; b.draw()")
    key = Keys.ARROW_RIGHT if levels[1] > levels[0] else Keys.ARROW_LEFT
    page.find_element(By.CSS_SELECTOR, ".xmb-point").send_keys(*[key] * 20)
    drawn(page)
    assert page.execute_script("return b.input") == [levels[1], levels[1]]
    assert len(page.find_elements(By.CSS_SELECTOR, ".xmb-here")) == 1


@pytest.mark.parametrize("size", [1e-300, 1e-30, 2e-5, 0.3, 1.0, 2.0, 2e7, 1e30])
def test_a_weight_of_any_size_moves_by_keys(page, size):
    """A step is from a thousandth to a tenth of the weight; near 1 it is 0.05."""
    layers = [([[size, size], [size, size]], [0, -size]), ([[1, -2]], [0])]
    show(page, HookedMLP.from_weights(layers, dtype="float64", target="XOR"))
    read = "return [b.weights[0], b.weights[4]]"
    for key, at, found in (("w11", 0, size), ("b1", 1, 0.0)):
        slider = page.execute_script("return b.sliders.get(arguments[0]).range", key)
        slider.send_keys(Keys.ARROW_RIGHT)
        moved = page.execute_script(read)[at] - found
        assert size / 1000 < moved < size / 5
        if 0.1 <= size < 10:
            assert moved == pytest.approx(0.05)
        slider.send_keys(Keys.END)
        assert 2 * size <= page.execute_script(read)[at] < 41 * size
    field = page.execute_script("return b.sliders.get('w12').number")
    page.execute_script("arguments[0].focus()", field)
    field.send_keys(Keys.ARROW_DOWN)
    assert size / 1000 < size - page.execute_script("return b.weights[1]") < size / 5


def test_a_layer_of_nothing_has_no_signs(page):
    """No term is +0.00, whatever the sign of its zero."""
    nothing = [([[-0.0, 0], [0, -0.0]], [-0.0, 0]), ([[-0.0, 0]], [-0.0])]
    show(page, HookedMLP.from_weights(nothing, target="XOR"))
    text = page.execute_script("return b.root.textContent + b.netStage.innerHTML")
    assert not re.search(r"[+-]0(\.0+)?(?![.\d])", text)
