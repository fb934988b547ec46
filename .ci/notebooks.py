"""Execute notebooks and store them as they are read where nothing runs: `python .ci/notebooks.py
[NOTEBOOK ...]`, by default all in notebooks/. `make notebooks` calls it.

A figure is stored twice: as itself, on one line, and as a still of twice its size in few colours.
A widget is not stored, since nothing would draw it without a kernel.
"""

import base64
import io
import json
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parent.parent
FIGURE, STILL = "application/vnd.plotly.v1+json", "image/png"
WIDGET = "application/vnd.jupyter.widget-view+json"
SCALE = 2
"""Pixels of a still per pixel of its figure, so that it is sharp on any screen."""
COLOURS = 256
"""A still has at most so many: no pixel of the input plane's surface is then off by over 3 %."""
TRIES = 2
"""The browser that draws the stills logs its own goodbye as an error once in a while: a notebook
with output on stderr is run again.
"""
IN_THE_KERNEL = f"import plotly.io; plotly.io.renderers['png'].scale = {SCALE}"


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


def without_widgets(notebook: nbformat.NotebookNode) -> None:
    """Take out what shows nothing, and would be printed as text, without a kernel."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                output for output in cell.outputs if WIDGET not in output.get("data", {})
            ]


def in_few_colours(still: str) -> str:
    """A still, in base64, with a palette: a tenth of the bytes, and no difference to be seen."""
    picture = Image.open(io.BytesIO(base64.b64decode(still))).convert("RGB")
    every = Image.Quantize.MAXCOVERAGE
    few = picture.quantize(COLOURS, method=every, dither=Image.Dither.NONE)
    stored = io.BytesIO()
    few.save(stored, "PNG", optimize=True)
    return base64.b64encode(stored.getvalue()).decode("ascii")


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
    without_widgets(notebook)
    for output in outputs_of(notebook):
        data = output.get("data", {})
        if STILL in data:
            data[STILL] = in_few_colours(data[STILL])
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
