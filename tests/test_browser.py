"""The report in a real Chromium, offline: figures drawn, nothing requested, no error in the console."""

import os
import shutil

import pytest

from xor_mi.population import census
from xor_mi.report import find_out, write_findings
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


@needs_browser
def test_the_report_draws_offline(tmp_path, trained, browser):
    """All five figures are drawn with data; no request leaves the page; the console is silent; the upload button is absent."""
    networks = census(train_population("XOR", 40, config=TrainConfig(max_steps=400)))
    report = write_findings(find_out(trained.model), tmp_path, trained, networks)
    browser.get(report.as_uri())
    drawn = "return [...document.querySelectorAll('.js-plotly-plot')].map(p => [p.data.length, p.querySelectorAll('.main-svg').length])"
    figures = browser.execute_script(drawn)
    assert len(figures) == 5
    assert all(traces >= 1 and svgs >= 1 for traces, svgs in figures)
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert browser.get_log("browser") == []
    buttons = browser.execute_script("return [...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)")
    assert buttons
    assert not [title for title in buttons if title and ("cloud" in title.lower() or "share" in title.lower())]
    assert "identified" in browser.find_element("css selector", ".verdict").text
