"""How the documentation is built: `make docs`, with every warning an error.

The pages are the Markdown files beside this one. Two folders are written anew at each build, and
are not stored: `notebooks`, a copy of the notebooks as they were executed, and `reference`, a page
for each room with everything it exports.
"""

import os
import re
import shutil
import socket
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from _docstrings import plain  # noqa: E402 (found beside this file)
from _reference import exported, places, write_reference  # noqa: E402 (found beside this file)
from sphinx.application import Sphinx  # noqa: E402

import xor_mi  # noqa: E402

project = "xor-mi"
author = "xor-mi contributors"
copyright = "xor-mi contributors"
version = release = xor_mi.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}

html_theme = "furo"
html_show_search_summary = False  # a page that is opened from the disk may not read another
html_title = "xor-mi"
html_theme_options = {
    "source_repository": "https://github.com/xor-mi/xor-mi/",
    "source_branch": "main",
    "source_directory": "docs/",
}
smartquotes_action = "qe"  # two dashes before an option stay two
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

# a notebook is shown as it was stored: it was executed when it was committed, and its tests run it
nb_execution_mode = "off"
nb_merge_streams = True
# the builder that follows links asks for a kind of output as well; it shows none
nb_mime_priority_overrides = [("linkcheck", "image/png", 0)]
# of a figure the still picture is shown, its other form is for Jupyter; and a name of an axis in an
# annotation, such as "gate" or "row", is not a name of the reference
suppress_warnings = ["mystnb.unknown_mime_type", "ref.python"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_block"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def is_online() -> bool:
    """Whether the world can be reached from here."""
    try:
        with socket.create_connection(("github.com", 443), timeout=3):
            return True
    except OSError:
        return False


ONLINE = os.environ.get("XOR_MI_OFFLINE") != "1" and is_online()
"""Without a network no other project's names are linked, and only links inside are checked."""
intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "numpy": ("https://numpy.org/doc/stable", None),
    }
    if ONLINE
    else {}
)
linkcheck_ignore = [] if ONLINE else [r"https?://.*"]
linkcheck_timeout = 20
linkcheck_anchors = False


COLAB_BADGE = "![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)"
"""A picture from elsewhere, in whose place the site has words: it is read without a network too."""


def copy_notebooks() -> None:
    """The notebooks and the pictures beside them, into the folder of the pages."""
    place = HERE / "notebooks"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for path in sorted((HERE.parent / "notebooks").iterdir()):
        if path.suffix == ".ipynb":
            text = path.read_text(encoding="utf-8")
            text = text.replace(COLAB_BADGE, "Open in Colab")
            # from the place of the copy
            text = text.replace("](../docs/", "](../").replace("](../README.md)", "](../index.md)")
            (place / path.name).write_text(text, encoding="utf-8")
        elif path.suffix == ".png":
            shutil.copy(path, place / path.name)


copy_notebooks()
write_reference(HERE / "reference")

IN_SOURCES = re.compile(r"\[([^\]]+)\]\((?:\.\./)+xor_mi/(\w+)(?:\.py)?\)")
"""A link into the package: the words, and the room."""
TERM = re.compile(r"^\*\*([^*]+)\*\*: ", flags=re.M)
"""The terms of the glossary that are explained together, at the head of their paragraph."""
TO_NOTEBOOK = re.compile(r"\]\((?:\.\./)+notebooks/")


def link_to_reference(words: str, room: str) -> str:
    """A link to a room's sources, as a page of the site has it: to what is in its reference."""
    if not words.startswith("`"):
        return f"[{words}](/reference/{room}.rst)"
    name = words.strip("`")
    of_room = name.removeprefix("xor_mi.").removeprefix(f"{room}.")
    if of_room != room and of_room in exported(room):
        return f"{{py:obj}}`{name} <xor_mi.{room}.{of_room}>`"
    return f"[`{name}`](/reference/{room}.rst)"


def anchor_of(terms: str) -> str:
    """What a link to a paragraph of the glossary ends with: its first term, such as
    `joint-interchange`.
    """
    first = terms.split(",")[0].split(" (")[0]
    return re.sub(r"\W+", "-", first.lower()).strip("-")


def read_page(_app: Sphinx, name: str, texts: list[str]) -> None:
    """Links that lead somewhere in the repository, where a page is read on its own, lead to the
    same on the site.
    """
    if name.startswith(("notebooks/", "reference/")):
        return
    linked = IN_SOURCES.sub(lambda found: link_to_reference(found[1], found[2]), texts[0])
    texts[0] = TO_NOTEBOOK.sub("](/notebooks/", linked)
    if name == "glossary":
        texts[0] = TERM.sub(lambda found: f"{{#{anchor_of(found[1])}}}\n{found[0]}", texts[0])


def setup(app: Sphinx) -> None:
    """Have docstrings read as plain text, before their sections are found, and pages with the links
    of the site.
    """
    app.connect("source-read", read_page)
    app.connect(
        "autodoc-process-docstring",
        lambda _app, _what, _name, _thing, _options, lines: lines.__setitem__(
            slice(None), plain(lines, places())
        ),
        priority=100,
    )
