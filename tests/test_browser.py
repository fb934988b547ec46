"""A real Chromium without a network, and the playground in it: keys move its sliders, nothing is
asked of a network, no error is in the console.
"""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

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
