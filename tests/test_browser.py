"""Report and playground in a real Chromium, offline: figures drawn, sliders move them, nothing
requested, no error in the console.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from xor_mi.exam import run_exam
from xor_mi.exam_page import write_exam_page
from xor_mi.population import census
from xor_mi.report import find_out, write_report
from xor_mi.training import TrainConfig, train_population

pytestmark = pytest.mark.as_a_user

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DRIVER = shutil.which("chromedriver")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FLAGS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
NOTEBOOK = "from xor_mi.widgets import playground\nplay = playground()\nplay"

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
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(DRIVER or "chromedriver")
    )
    driver.set_network_conditions(offline=True, latency=0, throughput=0)
    yield driver
    driver.quit()


def silent(browser):
    """Nothing was requested, nothing is in the console, and no button offers an upload."""
    assert (
        browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        == []
    )
    assert browser.get_log("browser") == []
    titles = browser.execute_script(
        "return [...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)"
    )
    assert titles
    assert not [
        title
        for title in titles
        if title and ("cloud" in title.lower() or "share" in title.lower())
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory, trained):
    """The report of a trained network, with all that a report can have."""
    networks = census(train_population("XOR", 40, config=TrainConfig(max_steps=400)))
    folder = tmp_path_factory.mktemp("report")
    return write_report(find_out(trained.model), folder, training=trained, networks=networks)


@needs_browser
def test_the_report_draws_offline(report, browser):
    """Every figure is drawn with data; no request leaves the page; the console is silent; the
    upload button is absent.
    """
    browser.get(report.as_uri())
    drawn = "return [...document.querySelectorAll('.js-plotly-plot')].map(p => [p.data.length, p.querySelectorAll('.main-svg').length])"
    figures = browser.execute_script(drawn)
    assert len(figures) == 14
    assert all(traces >= 1 and svgs >= 1 for traces, svgs in figures)
    assert (
        "exactly one explanation survives" in browser.find_element("css selector", ".verdict").text
    )
    silent(browser)


@needs_browser
@pytest.mark.parametrize(
    ("name", "read"),
    [("input_slider", "p.data[1].x[0]"), ("weight_slider", "p.data[0].x[3]")],
    ids=["input", "weight"],
)
def test_a_slider_moves_its_figure(report, browser, name, read):
    """A click at the far end of the rail brings the last frame: other data, another text, the
    numbers of report.json; still no request.
    """
    browser.get(report.as_uri())
    numbers = json.loads((report.parent / "report.json").read_text(encoding="utf-8"))
    frames = numbers["path"]["slider"] if name == "input_slider" else numbers["moved_weight"]
    figure = f"const p = document.querySelector('#figure-{name} .js-plotly-plot'); "
    before = browser.execute_script(figure + f"return {read}")
    rail = browser.find_element("css selector", f"#figure-{name} .slider-rail-touch-rect")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", rail)
    ActionChains(browser).move_to_element_with_offset(
        rail, rail.rect["width"] // 2 - 3, 0
    ).click().perform()
    WebDriverWait(browser, 20).until(
        lambda b: b.execute_script(figure + f"return {read}") != before
    )
    shown = browser.execute_script(figure + f"return {read}")
    last = frames[-1]["values"]
    assert shown == pytest.approx(1.0 if name == "input_slider" else last["11 y0"])
    said = browser.find_element("css selector", f"#figure-{name} .slider-label").text
    assert said == frames[-1]["label"]
    silent(browser)


@pytest.fixture(scope="module")
def exam_page(tmp_path_factory):
    """The page of an exam with all kinds of answers."""
    folder = tmp_path_factory.mktemp("exam") / "exam"
    methods = ["magnitude", "random", "acdc", "unit_random", "gate_rule_chen"]
    asked = {"tasks": ["planted copies relu", "planted dead tanh"], "methods": methods}
    return write_exam_page(run_exam(folder, **asked, n_networks=3, progress=False), folder)


@needs_browser
def test_the_page_of_an_exam_draws_offline(exam_page, browser):
    """Boards of sizes and gates, curves of edges and units, and failures of each of two tasks;
    nothing is requested; where the reader asks for a dark page the ink is lighter than the paper.
    """
    browser.get(exam_page.as_uri())
    # a figure is drawn when it comes near; all are when the page is printed
    n_drawn = "return document.querySelectorAll('.js-plotly-plot').length"
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(n_drawn) > 0)
    assert browser.execute_script(n_drawn) < 2 * 5
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    drawn = "return [...document.querySelectorAll('.js-plotly-plot')].map(p => [p.data.length, p.querySelectorAll('.main-svg').length])"
    figures = browser.execute_script(drawn)
    assert len(figures) == 2 * 5
    assert all(traces >= 1 and svgs >= 1 for traces, svgs in figures)
    silent(browser)
    colours = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor].map(c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0))"
    for scheme in ("light", "dark"):
        asked = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", asked)
        ink, paper = browser.execute_script(colours)
        assert (ink > paper) == (scheme == "dark")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture
def playground_address(tmp_path):
    """Voila, serving a notebook that shows a playground with a live kernel, on this machine
    only.
    """
    import nbformat

    cell = nbformat.v4.new_code_cell(NOTEBOOK)
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=spec), tmp_path / "play.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "voila",
        "play.ipynb",
        "--no-browser",
        f"--port={port}",
        "--Voila.ip=127.0.0.1",
    ]
    homes = {
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
    }
    with (tmp_path / "voila.log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, stdout=log, stderr=log, env=os.environ | homes
        )
    try:
        for _ in range(240):
            assert server.poll() is None, (tmp_path / "voila.log").read_text(encoding="utf-8")
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


@needs_browser
def test_the_playground_plays_offline(browser, playground_address):
    """Nine sliders; keys on one move table and verdict, which comes from the kernel, with why; as
    found, everything is back.
    """
    browser.set_network_conditions(
        offline=False, latency=0, throughput=-1
    )  # this machine is all that it can reach
    try:
        browser.get(playground_address)
        read = "return document.querySelector('.xmb-found')?.textContent || ''"
        WebDriverWait(browser, 120).until(
            lambda b: b.execute_script(read).startswith("identified: exactly one circuit")
        )
        sliders = browser.find_elements("css selector", ".xmb-weights input[type=range]")
        assert len(sliders) == 9
        sliders[1].send_keys(*[Keys.ARROW_LEFT] * 15)  # w12 from 1 to 0.25
        WebDriverWait(browser, 60).until(
            lambda b: (
                b.execute_script(read).startswith("not computing: ")
                and "wrong on 01" in b.execute_script(read)
            )
        )
        now = "return document.querySelector('.xmb-now').textContent"
        assert browser.execute_script(now) == "Right on 3 of 4 rows; 01 is decided 0."
        gates = "return [...document.querySelectorAll('.xmb-weights legend')].map(l => l.textContent).join()"
        assert "OR" not in browser.execute_script(gates)
        browser.find_element("xpath", "//button[text()='Reset']").click()
        WebDriverWait(browser, 60).until(
            lambda b: b.execute_script(read).startswith("identified: exactly one circuit")
        )
        assert "OR" in browser.execute_script(gates)
        names = browser.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
        )
        # Voila's own page asks for an icon font, which is not reached; nothing of ours asks for
        # anything
        assert [
            name
            for name in names
            if not name.startswith(playground_address) and "@fortawesome" not in name
        ] == []
        errors = [
            entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"
        ]
        assert [message for message in errors if "@fortawesome" not in message] == []
    finally:
        browser.set_network_conditions(offline=True, latency=0, throughput=0)
