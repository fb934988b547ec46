"""The module of the bench in a real Chromium: what it computes is what this package computes, every
slider moves it by keyboard and by pointer, what is pointed at is marked in every view.
"""

import itertools
import random

import pytest
import torch
from networks import random_network
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_bench import EVERY_SETTING
from test_browser import browser, needs_browser  # noqa: F401 (a fixture)

from xor_mi import bench, handmade, margins, zoo
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.model._config import ACTIVATIONS
from xor_mi.plots._style import text_beside
from xor_mi.values import forward_float64

pytestmark = [pytest.mark.as_a_user, needs_browser]

PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>t</title>
<link rel="icon" href="data:,"></head><body style="margin: 0"><main id="here"></main>
<script type="module">{module}
window.benches = {{ mount, evaluate, conditionsOf, codeOf, erf, numberText, textBeside }};
</script></body></html>"""

READ = """
return arguments[0].map(({spec, inputs}) => {
  const net = spec.networks[0];
  return {
    values: inputs.map(input => benches.evaluate(net, null, input)),
    conditions: benches.conditionsOf(spec, net, net.weights),
    code: benches.codeOf(net, net.weights),
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
    numbers = [0.0, -0.0, -0.004, 2 / 3, -12.346, 2e-7, 3e9, 999999.0]
    said = page.execute_script("return arguments[0].map(n => benches.numberText(n))", numbers)
    assert said == ["0.00", "0.00", "-0.004", "0.67", "-12.35", "2e-07", "3e+09", "999999.00"]
    beside = [(-0.02, 0.02), (0.00431, 0.02), (3e-8, 2e-7), (1 / 3, 300.0), (-0.001, 6.3), (2, 4e7)]
    read = "return arguments[0].map(([n, most]) => benches.textBeside(n, most))"
    assert page.execute_script(read, beside) == [
        text_beside(number, largest=most) for number, most in beside
    ]


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
