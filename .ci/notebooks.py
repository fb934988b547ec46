"""Execute notebooks and store them as they are read where nothing runs: `python .ci/notebooks.py
[NOTEBOOK ...]`, by default all in notebooks/. `make notebooks` calls it.

A figure is stored twice: as itself, on one line, and as a still of twice its size in few colours.
Of the playground, which nothing would draw without a kernel, a still of its bench is stored.
"""

import base64
import html
import io
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient
from numpy.typing import NDArray
from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parent.parent
FIGURE, STILL = "application/vnd.plotly.v1+json", "image/png"
WIDGET = "application/vnd.jupyter.widget-view+json"
SCALE = 2
"""Pixels of a still per pixel of its figure, so that it is sharp on any screen."""
BENCH, BENCH_WIDTH = "the bench of a network, with a slider for each of its weights", 860
"""What the still of a bench says to who cannot see it, and how wide it is."""
COLOURS = 256
"""A still has at most so many."""
TRIES = 2
"""The browser that draws the stills logs its own goodbye as an error once in a while: a notebook
with output on stderr is run again.
"""
IN_THE_KERNEL = f"""
import plotly.io
from xor_mi.bench import bench_html
plotly.io.renderers["png"].scale = {SCALE}
pages = get_ipython().display_formatter.formatters["text/html"]
pages.for_type_by_name("xor_mi.widgets", "Playground", lambda play: bench_html(play.model))
del pages
"""


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with what its cells give when they are run in order, in its own folder."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=[f"--IPKernelApp.exec_lines={IN_THE_KERNEL}"],
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
    )
    return client.execute()


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Every output of every cell."""
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output for cell in code_cells for output in cell.outputs]


def with_still(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A playground as a picture of its bench."""
    data = {STILL: in_few_colours(still_of(output.data["text/html"]))}
    metadata = {STILL: {"alt": BENCH, "width": BENCH_WIDTH}}
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata)


def still_of(bench: str) -> str:
    """The bench as a browser draws it, in base64."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(flag)
    with tempfile.TemporaryDirectory() as folder, webdriver.Chrome(options=options) as browser:
        page = Path(folder) / "bench.html"
        page.write_text(f'<meta charset="utf-8"><body>{bench}', encoding="utf-8")
        screen = {"width": BENCH_WIDTH, "height": 1600, "deviceScaleFactor": SCALE, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get(page.as_uri())
        WebDriverWait(browser, 30).until(
            lambda page: page.find_elements("css selector", ".xmb svg")
        )
        return browser.find_element("css selector", ".xmb").screenshot_as_base64


def in_few_colours(still: str) -> str:
    """A still, in base64, with a palette: a tenth of the bytes, and no difference to be seen.

    Half of the palette are the colours that most pixels have, so that surfaces are smooth; half are
    spread over all that there are, so that what is small, such as a colour bar, has its own.
    """
    picture = Image.open(io.BytesIO(base64.b64decode(still))).convert("RGB")
    methods = (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE)
    palette = np.concatenate([colours_of(picture, method) for method in methods])
    pixels = np.asarray(picture).reshape(-1, 3)
    different, of_pixel = np.unique(pixels, axis=0, return_inverse=True)
    apart = different[:, None].astype(int) - palette[None]  # [colour, of palette, red green blue]
    nearest = (apart**2).sum(-1).argmin(1).astype(np.uint8)
    few = Image.fromarray(nearest[of_pixel].reshape(picture.height, picture.width), "P")
    few.putpalette(palette.ravel().tolist())
    stored = io.BytesIO()
    few.save(stored, "PNG", optimize=True)
    return base64.b64encode(stored.getvalue()).decode("ascii")


def colours_of(picture: Image.Image, method: Image.Quantize) -> NDArray[np.int64]:
    """Half of a palette: [colour, red green blue]."""
    chosen = picture.quantize(COLOURS // 2, method=method, dither=Image.Dither.NONE).getpalette()
    return np.array(chosen or [], dtype=np.int64).reshape(-1, 3)[: COLOURS // 2]


def how_shown(layout: dict[str, Any]) -> dict[str, Any]:
    """What a page needs to show a still: the width of its figure, and what it says to who cannot
    see it, which is the figure's title.
    """
    title = re.sub(r"<[^>]*>", " ", layout["title"]["text"])
    return {"alt": html.unescape(title), "width": layout["width"]}


def as_text(notebook: nbformat.NotebookNode) -> str:
    """The notebook's JSON as Jupyter writes it, but for figures: each is one line, not one line a
    number.
    """
    figures: dict[str, str] = {}
    for output in outputs_of(notebook):
        data = output.get("data", {})
        if FIGURE in data:
            mark = f"figure {len(figures)} stands here"
            figures[json.dumps(mark)] = json.dumps(
                data[FIGURE], ensure_ascii=False, sort_keys=True, separators=(",", ":")
            )
            data[FIGURE] = mark
    text = json.dumps(notebook, ensure_ascii=False, sort_keys=True, indent=1)
    for mark, figure in figures.items():
        text = text.replace(mark, figure)
    return text + "\n"


def write(path: Path) -> None:
    """Execute one notebook, and write it in its place."""
    start = time.monotonic()
    for _ in range(TRIES):
        notebook = executed(path)
        if not any(output.get("name") == "stderr" for output in outputs_of(notebook)):
            break
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                with_still(output) if WIDGET in output.get("data", {}) else output
                for output in cell.outputs
            ]
    for output in outputs_of(notebook):
        data = output.get("data", {})
        if FIGURE in data:
            data[STILL] = in_few_colours(data[STILL])
            output.metadata[STILL] = how_shown(data[FIGURE]["layout"])
    # texts as lists of lines, as they are stored
    lines = nbformat.v4.rwbase.split_lines(notebook)
    path.write_text(as_text(lines), encoding="utf-8")
    seconds, kilobytes = time.monotonic() - start, path.stat().st_size / 1000
    print(f"{path.name}: {kilobytes:.0f} kB, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype+png"
    os.environ["PYTHONWARNINGS"] = "ignore"
    named = [Path(name) for name in sys.argv[1:]]
    for one in named or sorted((ROOT / "notebooks").glob("*.ipynb")):
        write(one)
