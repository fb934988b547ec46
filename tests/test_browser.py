"""The report in a real Chromium, offline: figures drawn, nothing requested, no error in the console."""

import json
import os
import shutil

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

from xor_mi.population import census
from xor_mi.report import find_out, write_report
from xor_mi.training import TrainConfig, train_population

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and not os.environ.get("CI"),
    reason="needs chromium and chromedriver: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium without a network."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or "chromium"
    for flag in [*FLAGS, "--no-first-run", "--window-size=1200,1600"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER or "chromedriver"))
    driver.set_network_conditions(offline=True, latency=0, throughput=0)
    yield driver
    driver.quit()


def silent(browser):
    """Nothing was requested, nothing is in the console, and no button offers an upload."""
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert browser.get_log("browser") == []
    titles = browser.execute_script("return [...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)")
    assert titles
    assert not [title for title in titles if title and ("cloud" in title.lower() or "share" in title.lower())]


@needs_browser
def test_the_report_draws_offline(tmp_path, trained, browser):
    """Every figure is drawn with data; no request leaves the page; the console is silent; the upload button is absent."""
    networks = census(train_population("XOR", 40, config=TrainConfig(max_steps=400)))
    report = write_report(find_out(trained.model), tmp_path, trained, networks)
    browser.get(report.as_uri())
    drawn = "return [...document.querySelectorAll('.js-plotly-plot')].map(p => [p.data.length, p.querySelectorAll('.main-svg').length])"
    figures = browser.execute_script(drawn)
    assert len(figures) == 14
    assert all(traces >= 1 and svgs >= 1 for traces, svgs in figures)
    assert "exactly one explanation survives" in browser.find_element("css selector", ".verdict").text
    silent(browser)


@needs_browser
@pytest.mark.parametrize(
    ("name", "read"), [("input_slider", "p.data[1].x[0]"), ("weight_slider", "p.data[0].x[3]")], ids=["input", "weight"]
)
def test_a_slider_moves_its_figure(tmp_path, trained, browser, name, read):
    """A click at the far end of the rail brings the last frame: other data, another text, the numbers of report.json; still no request."""
    browser.get(write_report(trained.model, tmp_path).as_uri())
    numbers = json.loads((tmp_path / "report.json").read_text())
    frames = numbers["path"]["slider"] if name == "input_slider" else numbers["moved_weight"]
    figure = f"const p = document.querySelector('#figure-{name} .js-plotly-plot'); "
    before = browser.execute_script(figure + f"return {read}")
    rail = browser.find_element("css selector", f"#figure-{name} .slider-rail-touch-rect")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", rail)
    ActionChains(browser).move_to_element_with_offset(rail, rail.rect["width"] // 2 - 3, 0).click().perform()
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(figure + f"return {read}") != before)
    shown = browser.execute_script(figure + f"return {read}")
    last = frames[-1]["values"]
    assert shown == pytest.approx(1.0 if name == "input_slider" else last["11 y0"])
    said = browser.find_element("css selector", f"#figure-{name} .slider-label").text
    assert said == frames[-1]["label"]
    silent(browser)
