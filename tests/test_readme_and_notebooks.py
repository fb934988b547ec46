"""What README and the notebooks say is run: code, printed output, pictures, commands."""

import ast
import base64
import contextlib
import io
import json
import re
import struct
from pathlib import Path

import code_blocks
import pytest

from xor_mi import cli

pytestmark = pytest.mark.as_a_user

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALLER = {
    "05_why_two_hidden_units": {
        "widths=range(1, 8), n_networks=2000": "widths=(1, 2, 3, 5, 7), n_networks=60",
    },
    "07_train_again": {
        "n_networks=5000": "n_networks=2000",
        "n_networks=200,": "n_networks=20,",
        '("tanh", 3), ("relu", 4), ': "",
    },
    "14_how_good_is_your_method": {".networks(20)": ".networks(6)"},
    "15_when_does_the_circuit_form": {
        'train_population("XOR", 500)': 'train_population("XOR", 60)',
    },
    "12_algebraic_mind": {"n_networks=1000": "n_networks=100", "n_networks=200": "n_networks=20"},
}
"""What the test runs with smaller numbers than the stored copy: text in the notebook's code -> what
replaces it.
"""
FIGURE = "application/vnd.plotly.v1+json"
"""The kind of output that is a figure, and not only a picture of one."""


BLOCKS = code_blocks.blocks_of(README)


@pytest.fixture(scope="session")
def readme_prints(tmp_path_factory) -> list[str]:
    """What each Python block of README prints: the blocks run once."""
    return code_blocks.printed_by(BLOCKS, tmp_path_factory.mktemp("readme"), name="README.md")


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_readme_python_prints_what_readme_says(block, readme_prints):
    """Each example runs, after those above it, and prints the text below it."""
    assert block < len(readme_prints), "an example above this one failed"
    printed = code_blocks.numbers_rounded(readme_prints[block])
    assert printed == code_blocks.numbers_rounded(BLOCKS[block].output)


def test_every_python_block_of_readme_is_tested():
    """No Python stands under another name, and README fits two screens."""
    assert len(BLOCKS) == README.count("```py")
    assert len(README.splitlines()) <= 150


def test_readme_s_commands_and_files_exist():
    """make targets, CLI options and linked files that README names are there; its first example
    starts by line 30.
    """
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    for link in re.findall(r"\]\(([^)#h][^)]*)\)", README) + re.findall(
        r"`(notebooks/[^`]+)`", README
    ):
        assert (ROOT / link).exists(), link
    assert README.splitlines().index("```python") < 30
    assert f"seed={cli.TOUR_SEED}" in README


def test_the_page_on_how_it_is_built_names_every_room():
    """Its table has the rooms of the package, in the order the architecture test holds, each with
    one sentence and, but for the two that nobody imports, a link to its own page.
    """
    from test_architecture import ENTRANCES, ORDER, modules

    page = (code_blocks.DOCS / "built.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| (?:\[`(\w+)`\]\(\.\./xor_mi/\1(?:\.py)?\)|`(\w+)`) \| [^.|]+\. \|$", page, flags=re.M
    )
    assert [linked or plain for linked, plain in listed] == [
        room for room in ORDER if room in {module.split(".")[0] for module in modules()}
    ]
    assert {plain for _, plain in listed if plain} == ENTRANCES


def cells_of(path: Path) -> list[dict]:
    """The cells of a notebook."""
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_cells(path: Path) -> list[dict]:
    """The code cells of a notebook."""
    return [cell for cell in cells_of(path) if cell["cell_type"] == "code"]


def outputs_of(path: Path) -> list[dict]:
    """What its cells gave when they were stored."""
    return [output for cell in code_cells(path) for output in cell["outputs"]]


def opening_of(path: Path) -> list[str]:
    """The paragraphs of the first cell."""
    return "".join(cells_of(path)[0]["source"]).split("\n\n")


def questions_of(path: Path) -> list[str]:
    """The code that the two questions at the end name."""
    asked = "".join(cells_of(path)[-1]["source"]).split("## Two questions to try\n\n")[1]
    return re.findall(r"^[12]\. .*\? .*Run `(.+)`\.$", asked, flags=re.M)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path):
    """Every code cell runs in order, asserts included, and then the code of the questions, each of
    which gives something; what is replaced by smaller numbers is there exactly once.
    """
    sources = ["".join(cell["source"]) for cell in code_cells(path)]
    for text, smaller in SMALLER.get(path.stem, {}).items():
        assert sum(source.count(text) for source in sources) == 1, text
        sources = [source.replace(text, smaller) for source in sources]
    space: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for source in sources:
            exec(
                compile(re.sub(r"^(\s*)%pip.*$", r"\1pass", source, flags=re.M), path.name, "exec"),
                space,
            )
        for question in questions_of(path):
            assert eval(question, space) is not None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_short_and_stored_as_run(path):
    """The stored copy was executed in order without errors, with interactive and still figures; its
    title is a question; cells are short and define no function, nor a class except the user's own
    model."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert 6 <= len(notebook["cells"]) <= 14
    title = "".join(notebook["cells"][0]["source"]).splitlines()[0]
    assert re.fullmatch(rf"# {path.stem[:2]} .*\?.*", title), title
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [
        out
        for cell in cells
        for out in cell["outputs"]
        if out["output_type"] == "error" or out.get("name") == "stderr"
    ]
    drawn = [
        (FIGURE in out["data"], "".join(cell["source"]))
        for cell in cells
        for out in cell["outputs"]
        if "image/png" in out.get("data", {})
    ]
    # of a playground there is a picture only
    assert any(is_figure for is_figure, _ in drawn)
    assert all(is_figure or source.startswith("playground(") for is_figure, source in drawn)
    sources = ["".join(cell["source"]) for cell in cells]
    assert any("assert " in source for source in sources)
    for source in sources:
        assert len(source.splitlines()) < 15
        body = ast.parse(re.sub(r"^(\s*)%pip.*$", r"\1pass", source, flags=re.M)).body
        # but for a method of one's own, which the exam asks for: a function of a problem
        assert not [
            node
            for node in body
            if isinstance(node, ast.FunctionDef)
            and [argument.arg for argument in node.args.args] != ["problem"]
        ], "a function defined in a notebook is a missing API"
        has_a_class = path.stem in ("11_your_own_model", "13_bring_your_own_network")
        assert has_a_class or not [node for node in body if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_say_what_for_and_lead_on(path):
    """The first sentence says what the reader will know and what is needed before; below it is a
    button that opens this notebook in Colab; the end has two questions with the code that answers
    each, and leads to the next notebook, by its title.
    """
    sentence = opening_of(path)[1].replace("\n", " ")
    assert re.fullmatch(
        r"After this notebook you know .+; before it you need [^.;]+(\(notebooks? [^)]+\))?\.",
        sentence,
    ), sentence
    button = opening_of(path)[2]
    assert button.endswith(f"blob/main/notebooks/{path.name})")
    assert button.startswith("[![Open in Colab](")
    assert len(questions_of(path)) == 2
    last = "".join(cells_of(path)[-1]["source"]).splitlines()[-1]
    if path == NOTEBOOKS[-1]:
        assert "[README](../README.md)" in last
    else:
        after = NOTEBOOKS[NOTEBOOKS.index(path) + 1]
        title = opening_of(after)[0].removeprefix("# ")
        named, file = re.fullmatch(r"Next: \[(\d\d .+\?)\]\((\S+)\)", last).groups()
        assert (file, title[: len(named)]) == (after.name, named)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_show_tables_and_figures(path):
    """A cell's result is a table or a figure; what is printed is no Python value, and at most a
    message; a widget, which nothing draws without a kernel, is not stored.
    """
    for output in outputs_of(path):
        if output["output_type"] == "stream":
            assert not re.search(r"^\s*[\[({]|\w\(\w+=", "".join(output["text"]), flags=re.M)
        else:
            assert set(output["data"]) & {"text/html", "image/png"}
            assert "application/vnd.jupyter.widget-view+json" not in output["data"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stills_are_sharp_and_notebooks_small(path):
    """A still has twice as many pixels as it is shown wide, which is what its figure asks for, from
    a palette, and says the figure's title to who cannot see it; a figure is one line of the file,
    and the file has less than a million bytes.
    """
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    stills = [output for output in outputs_of(path) if "image/png" in output.get("data", {})]
    figures = [output for output in stills if FIGURE in output["data"]]
    assert len(re.findall(rf'"{re.escape(FIGURE)}": \{{.*\}}', text)) == len(figures)
    for output in stills:
        as_shown = output["metadata"]["image/png"]
        # the header of a PNG: width and height are its bytes 16 to 23, the kind of colour its 25th
        header = base64.b64decode(output["data"]["image/png"])[:26]
        width, height = struct.unpack(">II", header[16:24])
        assert header[25] == 3
        assert as_shown["alt"]
        # the browser draws the bench within a margin
        assert width == pytest.approx(2 * as_shown["width"], abs=2 if output in figures else 40)
        if output in figures:
            layout = output["data"][FIGURE]["layout"]
            assert (as_shown["width"], round(height / 2)) == (layout["width"], layout["height"])
            assert as_shown["alt"].split()[0] == layout["title"]["text"].split()[0]


def test_the_documentation_lists_every_notebook():
    """Its table has one line per notebook, in order, and nothing else is numbered so; what is made
    smaller exists.
    """
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\d\d)\]\(\.\./notebooks/(\S+)\.ipynb\)", page, flags=re.M) == [
        (path.stem[:2], path.stem) for path in NOTEBOOKS
    ]
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{k:02}" for k in range(1, 16)]
    assert set(SMALLER) <= {path.stem for path in NOTEBOOKS}


def test_notebooks_exist():
    """The test above has something to run, and the picture of README is made."""
    assert NOTEBOOKS
    assert (ROOT / "notebooks" / "circuit.png").stat().st_size > 5000
