"""The pages as a person meets them, in a real Chromium: on a wide screen, a tablet, a phone, dark,
and on paper.

Six networks: one that is identified, one with an idle unit, a deeper one, one of three inputs, one
that training left unsolved, and one that is constant.
"""

import base64
import json
import os
import re
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise

import pytest
from contrast import LEAST, least_contrast, shades
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_browser import browser as browser
from test_browser import needs_browser

from xor_mi import HookedMLP, train, trajectory
from xor_mi.exam import ExamRun, run_exam
from xor_mi.exam_page import write_exam_page
from xor_mi.handmade import from_formula
from xor_mi.population import census
from xor_mi.report import find_out, write_report
from xor_mi.training import TrainConfig, train_population
from xor_mi.trajectory_page import write_trajectory_page

pytestmark = [pytest.mark.as_a_user, needs_browser]

WIDTHS = (1280, 768, 400)
MOST_BYTES = 2_000_000
"""A report of the default tour's network is no larger."""
has_axe = find_spec("selenium_axe_python") is not None or bool(os.environ.get("CI"))
TO_THE_END = """
const done = arguments[arguments.length - 1];
const wait = () => {
  const places = [...document.querySelectorAll('.plot')];
  if (places.length && !document.documentElement.dataset.figures) return setTimeout(wait, 20);
  const next = places.find(place => !place.querySelector('.main-svg'));
  if (next) { next.scrollIntoView(); return setTimeout(wait, 20); }
  scrollTo(0, 0);
  setTimeout(done, 0);
};
wait();
"""
"""Look at every figure, so that each is drawn."""
OVERFLOWS = """
const wide = [];
for (const one of document.querySelectorAll('main, main *')) {
  if (one.closest('svg') || one.closest('.wide, .plot.scrolls') || one.closest('.js-plotly-plot')) continue;
  const box = one.getBoundingClientRect();
  if (box.width && (box.right > innerWidth + 1 || box.left < -1)) wide.push(one.outerHTML.slice(0, 90));
}
return [document.documentElement.scrollWidth - innerWidth, wide];
"""
AXE = """
const [exclude, done] = arguments;
axe.run({ include: [document], exclude }, { resultTypes: ['violations'] }).then(found => done(found.violations.map(
  one => [one.impact, one.id, one.nodes.length, one.nodes[0].html.slice(0, 200)])));
"""
INKS = """
return [...document.querySelectorAll('.js-plotly-plot')].map(plot => [
  getComputedStyle(plot.querySelector('.main-svg')).backgroundColor,
  ...[...plot.querySelectorAll('.xtick text, .ytick text')].map(text => getComputedStyle(text).fill)])
"""
"""Of each figure its paper, and the ink of every label of an axis."""
WRITTEN_ON = """
return [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot =>
  plot._fullData.filter(one => one.type === 'heatmap').map(under => {
    const beside = plot._fullData.filter(one => one.xaxis === under.xaxis);
    return [under.colorscale, plot._fullLayout.plot_bgcolor, under.opacity, [
      ...(under.texttemplate ? [under.textfont.color] : []),
      ...beside.filter(one => (one.mode ?? '').includes('text')).map(one => one.textfont.color)]];
  }))
"""
"""Of each scale of colours the paper under it, how opaque it is, and the inks that stand on it."""
DRAWN_WIDTHS = "return [...document.querySelectorAll('.js-plotly-plot')].map(p => p.getBoundingClientRect().width)"
UNREACHED = """
return [...document.querySelectorAll('.wide, .plot')].filter(
  box => box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX == 'auto' && box.tabIndex < 0).length
"""
"""Boxes that scroll, but not by keys."""
CUT = """
return [...document.querySelectorAll('.plot:not(.scrolls)')].filter(place =>
  place.firstElementChild.getBoundingClientRect().width > place.parentElement.getBoundingClientRect().width + 1).length
"""
"""Figures that are wider than their place."""

LETTERS = """
return [...document.querySelectorAll('.plot')].map(place => {
  const canvas = place.firstElementChild;
  const written = [...canvas.querySelectorAll('text')].filter(text => text.textContent.trim());
  const scale = canvas.getBoundingClientRect().width / canvas.offsetWidth;
  return scale * Math.min(...written.map(text => parseFloat(getComputedStyle(text).fontSize)));
})
"""
"""Of each figure, the pixels of its smallest letters."""
HINTED = """
return [...document.querySelectorAll('.plot.scrolls')].map(place =>
  getComputedStyle(place.parentElement.querySelector('figcaption'), '::after').content.includes('scroll'))
"""
HIGH = """
return [...document.querySelectorAll('figure:has(> .plot)')].map(figure =>
  figure.querySelector('.plot').getBoundingClientRect().bottom
  - figure.querySelector('figcaption').getBoundingClientRect().top)
"""
"""Of each figure, the pixels of its caption and its picture."""
BENCH_CUT = """
return [...document.querySelectorAll('.xmb-wide, .xmb-scroll')].filter(box =>
  box.scrollWidth > box.clientWidth + 1
  && !getComputedStyle(box.parentElement.querySelector('.xmb-title'), '::after').content.includes('scroll')).length
"""
"""Boxes of the bench that hold more than they show, and do not say so."""
SHEET = (279.4 - 2 * 14) * 96 / 25.4
"""Pixels between the margins of a sheet of Letter, which is shorter than A4."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory, trained, unsolved):
    """Name -> the page, each written once."""
    folder = tmp_path_factory.mktemp("pages")
    config = TrainConfig(max_steps=200)
    networks = census(train_population("XOR", 16, config=config, progress=False), progress=False)
    constant = HookedMLP.from_weights([([[1, 1], [1, 1]], [-3, -4]), ([[1, -2]], [-0.5])])
    reports = {
        "tour": (trained.model, trained, networks),
        "2-3-1": (train("XOR", hidden=3, seed=9, progress=False).model, None, None),
        "2-3-3-1": (train("XOR", hidden=(3, 3), seed=1, progress=False).model, None, None),
        "parity": (from_formula("x0 ^ x1 ^ x2"), None, None),
        "unsolved": (unsolved.model, unsolved, networks),
        "constant": (constant.with_target("XOR"), None, None),
    }
    written = {}
    for name, (model, training, census_of) in reports.items():
        found = find_out(model, progress=False)
        place = folder / name
        written[name] = write_report(found, place, training=training, networks=census_of)
    followed = trajectory("XOR", 9, hidden=3, max_steps=60, progress=False)
    written["trajectory"] = write_trajectory_page(followed, folder / "trajectory")
    asked = {"tasks": "planted copies relu", "methods": ["magnitude", "acdc", "gate_rule_chen"]}
    run = run_exam(**asked, n_networks=2, progress=False)
    written["exam"] = write_exam_page(run, folder / "exam")
    return written


PAGES = ["tour", "2-3-1", "2-3-3-1", "parity", "unsolved", "constant", "trajectory", "exam"]


@pytest.fixture
def look(browser, pages):
    """Open a page on a wide screen, with all its figures drawn or those at its head.

    With `shared` it is the page that a test before had so, its sliders wherever that left them.
    """

    def opened(name, *, whole=True, shared=False):
        size = {"width": WIDTHS[0], "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        address = pages[name].as_uri()
        if shared and browser.execute_script("return window.isShared") == address:
            return browser
        browser.set_script_timeout(60)
        browser.get(address)
        if whole:
            browser.execute_async_script(TO_THE_END)
        if shared:
            browser.execute_script("window.isShared = arguments[0]", address)
        return browser

    yield opened
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_page_of_the_tour_is_small(pages):
    """plotly.js alone has 4.8 million characters."""
    assert pages["tour"].stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_as_it_is_met(look, name):
    """One page after the other, each loaded once: nothing wider than a screen, nothing asked of a
    network, nothing in the console; figures in light ink in the dark, in dark ink on paper, all of
    them and none wider than the sheet; nothing serious by the rules of axe, on a wide screen and
    on a phone.
    """
    browser = look(name)
    # all pages have one look: pictures and the dark are held to the rules on two of them
    is_whole = name in ("tour", "trajectory")
    assert serious(browser, in_pictures=is_whole) == []
    in_order(browser)
    for width in WIDTHS:
        resize(browser, width)
        n_too_wide, wide = browser.execute_script(OVERFLOWS)
        assert (max(0, n_too_wide), wide) == (0, [])
        assert browser.execute_script(UNREACHED) == 0
        assert browser.execute_script(CUT) == 0
        assert browser.execute_script(BENCH_CUT) == 0
        assert min(browser.execute_script(LETTERS)) >= 9.99
        assert all(browser.execute_script(HINTED))
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    next_frame(browser)
    assert not is_whole or serious(browser) == []
    page = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    for paper, *inks in browser.execute_script(INKS):
        assert re.findall(r"\d+", paper)[:3] == re.findall(r"\d+", page)[:3]
        assert all(brightness(ink) > 180 for ink in inks)
    legible(browser)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    legible(browser)
    printed = browser.execute_script(INKS)
    assert len(printed) == len(browser.find_elements(By.CSS_SELECTOR, ".plot")) > 0
    for paper, *inks in printed:
        assert brightness(paper) == 255
        assert all(brightness(ink) < 60 for ink in inks)
    assert max(browser.execute_script(DRAWN_WIDTHS)) <= 650
    resize(browser, 688)  # a caption of a sheet has its lines
    assert max(browser.execute_script(HIGH)) <= SHEET
    titles = browser.execute_script(
        "return [...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title || '')"
    )
    assert titles
    # plotly.js would offer to upload a chart
    assert [one for one in titles if "cloud" in one.lower() or "share" in one.lower()] == []
    requests = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert browser.execute_script(requests) == []
    assert browser.get_log("browser") == []


def test_a_long_name_stays_on_the_page(browser, tmp_path):
    """Of 300 letters without a space, in the contents, a heading and a list, on a phone."""
    asked = {"tasks": "planted copies relu", "methods": ["magnitude"]}
    (part,) = run_exam(**asked, n_networks=1, progress=False).parts
    page = write_exam_page(ExamRun.of(part.grades, name="w" * 300), tmp_path / "exam")
    size = {"width": 360, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    n_too_wide, wide = browser.execute_script(OVERFLOWS)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert (max(0, n_too_wide), wide) == (0, [])


def legible(browser):
    """What stands on colours, with at least 4.5 to 1."""
    for scale, paper, opacity, inks in browser.execute_script(WRITTEN_ON):
        on = shades(scale, paper, opacity)
        assert all(least_contrast(ink, on) >= LEAST for ink in inks)


def resize(browser, width):
    """Another screen; figures are laid out anew in the next frame."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    next_frame(browser)


def next_frame(browser):
    """Wait for what a page does in the frame after a change of its screen or its medium."""
    wait = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done, 100))"
    browser.execute_async_script(wait)


def serious(browser, *, in_pictures=True):
    """What axe finds that keeps somebody out; nothing where axe is not installed, outside CI."""
    if not has_axe:
        return []
    axe = files("selenium_axe_python").joinpath("axe-core/axe.min.js")
    if browser.execute_script("return typeof axe") == "undefined":
        browser.execute_script(axe.read_text(encoding="utf-8"))
    # a picture is of plotly's making: what is in one is looked at on two pages, and its name on all
    found = browser.execute_async_script(AXE, [] if in_pictures else [[".main-svg > *"]])
    return [one for one in found if one[0] in ("serious", "critical")]


def in_order(browser):
    """Headings go down one level at a time; every figure and table has a caption, and a picture is
    called as its caption says.
    """
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    bare = "return document.querySelectorAll('figure:not(:has(figcaption)), table:not(:has(caption), [data-xor-mi-bench] *)').length"
    assert browser.execute_script(bare) == 0
    pictures = browser.execute_script(
        "return [...document.querySelectorAll('.plot .main-svg[role=img]')].map(s => s.getAttribute('aria-label'))"
    )
    captions = browser.execute_script(
        "return [...document.querySelectorAll('figcaption')].map(c => c.textContent)"
    )
    assert pictures == captions
    assert pictures


def brightness(colour):
    """Of rgb(...) in a style, from 0 to 255."""
    red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_axe_is_there():
    """What the page above is held against; skipped where the package is not installed."""
    if not has_axe:
        pytest.skip("needs axe-core, which selenium-axe-python has: pip install --group test")
    axe = files("selenium_axe_python").joinpath("axe-core/axe.min.js").read_text(encoding="utf-8")
    assert re.match(r"/\*! axe v4\.(9|\d\d)", axe)


def test_a_printed_page_has_no_controls(look):
    """Neither buttons nor contents nor the rail of a slider, nor words of what a pointer may do;
    what is shut is opened.
    """
    browser = look("unsolved")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    said = browser.find_element(By.TAG_NAME, "main").text
    assert "Gates and verdict are those" in said
    words = "move the slider|move the point|a click|point at|pointer|hovering"
    assert re.findall(words, said, flags=re.IGNORECASE) == []
    for selector in ("nav", ".steps button", ".steps input", ".skip", ".xmb-rail"):
        assert not any(
            one.is_displayed() for one in browser.find_elements(By.CSS_SELECTOR, selector)
        )
    bars = browser.find_elements(By.CSS_SELECTOR, ".modebar")
    assert bars
    assert all(one.value_of_css_property("display") == "none" for one in bars)
    made = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    pdf = base64.b64decode(made["data"])
    assert pdf.startswith(b"%PDF")
    # drawn for paper and put back: none is left as it was printed
    details = browser.find_elements(By.CSS_SELECTOR, "details:not([data-xor-mi-bench] *)")
    assert details
    assert all(one.get_attribute("open") for one in details)


SHOWN_COLUMNS = "return [...document.querySelectorAll('.xmb-table th')].filter(th => th.offsetWidth).map(th => th.textContent)"


def test_the_bench_has_a_column_of_each_unit_there_is_room_for(look):
    """All of a deeper network on a wide screen, marked with their unit; on a phone the output
    alone, and words that say which are away.
    """
    browser = look("2-3-3-1")
    names = [f"h{layer}.{unit}" for layer in (0, 1) for unit in range(3)]
    assert browser.execute_script(SHOWN_COLUMNS)[:8] == ["row", *names, "y0"]
    unit = browser.find_element(By.CSS_SELECTOR, ".xmb-unit[data-key='h1.1']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", unit)
    ActionChains(browser).move_to_element(unit).perform()
    marked = browser.find_elements(By.CSS_SELECTOR, ".xmb-table th.xmb-on, .xmb-table td.xmb-on")
    assert len(marked) == 1 + 4
    resize(browser, 400)
    shown = browser.execute_script(SHOWN_COLUMNS)
    assert "y0" in shown
    assert names[0] not in shown
    assert f"the columns of {names[0]}, " in browser.find_element(By.CLASS_NAME, "xmb-table").text


def test_a_gate_of_a_moved_network_is_one_as_found(look):
    """In the diagram as at the head of the unit's sliders, in grey; put back, it is in full ink."""
    browser = look("tour")
    read = "return [...document.querySelectorAll('.xmb-unit .xmb-halo')].map(t => [t.textContent, getComputedStyle(t).fill])"
    before = [one for one in browser.execute_script(read) if one[0]]
    assert before
    field = browser.find_element(By.CSS_SELECTOR, ".xmb-slider[data-key=w11] input[type=number]")
    field.clear()
    field.send_keys("1.5")
    field.send_keys(Keys.TAB)
    moved = [one for one in browser.execute_script(read) if one[0]]
    assert [gate for gate, _ in moved] == [f"{gate} as found" for gate, _ in before]
    pairs = zip(before, moved, strict=True)
    assert all(brightness(after) > brightness(ink) for (_, ink), (_, after) in pairs)


def test_paper_shows_where_the_decision_changes(look, pages):
    """The way from one input to another stands on paper at its first change, and goes back."""
    browser = look("tour")
    numbers = json.loads((pages["tour"].parent / "report.json").read_text(encoding="utf-8"))
    path = numbers["path"]
    said = browser.find_element(By.ID, "said-input_slider")
    assert said.text == path["slider"][0]["label"]
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    labels = [frame["label"] for frame in path["slider"]]
    at = labels.index(said.text)
    before, after = (label.split("decided ")[1] for label in labels[at - 1 : at + 2 : 2])
    assert before != after
    bars = "const p = document.querySelector('#figure-input_slider .js-plotly-plot'); return [...p.data.find(t => t.type == 'bar').y]"
    assert browser.execute_script(bars) == pytest.approx(
        list(path["slider"][at]["values"].values())
    )
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert said.text == labels[0]


@pytest.mark.parametrize("name", ["input_slider", "weight_slider"])
def test_keys_move_a_slider_of_the_page(look, pages, name):
    """One step at a time and to either end: the figure is that frame of the finding, and the words
    below it and those read aloud say it.
    """
    browser = look("tour", shared=True)
    numbers = json.loads((pages["tour"].parent / "report.json").read_text(encoding="utf-8"))
    frames = numbers["path"]["slider"] if name == "input_slider" else numbers["moved_weight"]
    steps = browser.find_element(By.ID, f"steps-{name}")
    start = int(steps.get_attribute("value"))
    bars = f"const p = document.querySelector('#figure-{name} .js-plotly-plot'); const b = p.data.find(t => t.type == 'bar'); return [...(b.orientation == 'h' ? b.x : b.y)]"
    for key, at in ((Keys.ARROW_RIGHT, start + 1), (Keys.END, -1), (Keys.HOME, 0)):
        steps.send_keys(key)
        wanted = frames[at]
        WebDriverWait(browser, 10).until(
            lambda b, wanted=wanted: (
                b.execute_script(bars) == pytest.approx(list(wanted["values"].values()))
            )
        )
        assert browser.find_element(By.ID, f"said-{name}").text == wanted["label"]
        assert steps.get_attribute("aria-valuetext") == wanted["label"]


def test_a_pointer_moves_a_slider_of_the_page(look, pages):
    """A click at the end of its rail brings the last frame."""
    browser = look("tour", shared=True)
    numbers = json.loads((pages["tour"].parent / "report.json").read_text(encoding="utf-8"))
    steps = browser.find_element(By.ID, "steps-input_slider")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", steps)
    end = steps.rect["width"] // 2 - 2
    ActionChains(browser).move_to_element_with_offset(steps, end, 0).click().perform()
    said = browser.find_element(By.ID, "said-input_slider")
    assert said.text == numbers["path"]["slider"][-1]["label"]
    steps.send_keys(Keys.HOME)  # the keys' own test goes one step up


def test_the_buttons_of_a_figure_wait_for_the_pointer(look):
    """They are not seen before, and stand above the picture."""
    browser = look("tour", shared=True)
    bar = browser.find_element(By.CSS_SELECTOR, "#figure-patching .modebar")
    assert bar.value_of_css_property("opacity") == "0"


def test_the_first_key_leads_past_the_head_of_the_page(look):
    """A link that only keys meet; it leads to the content."""
    browser = look("constant", whole=False)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    link = browser.switch_to.active_element
    assert link.text == "Skip to the content"
    link.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.activeElement.tagName") == "MAIN"


def test_a_browser_that_cannot_unpack_says_so(browser, pages):
    """In words, in the place of each figure; no message in its console."""
    script = {"source": "delete window.DecompressionStream"}
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    try:
        browser.get(pages["tour"].as_uri())
        said = [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".plot")]
        assert len(said) > 5
        assert all("it has no DecompressionStream" in text for text in said)
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
