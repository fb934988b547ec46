"""What the documentation says is run: code, printed output, commands, links; and every public name
is in its reference.
"""

import re
import sys
from pathlib import Path

import code_blocks
import pytest
import typer.main
from test_architecture import exported, public_objects

from xor_mi import cli

pytestmark = pytest.mark.as_a_user

ROOT, DOCS = code_blocks.ROOT, code_blocks.DOCS
PAGES = {
    str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in code_blocks.pages()
}
WITH_CODE = [name for name, text in PAGES.items() if code_blocks.blocks_of(text)]
KINDS = {"python", "text", "sh", "console", "powershell", "toml", "yaml", "json", "html", "bibtex"}
"""What a fenced block may be; a directive of the site has its name in braces."""


@pytest.mark.parametrize("name", WITH_CODE)
def test_the_code_of_a_page_prints_what_the_page_says(name, tmp_path):
    """Its blocks run in order, each after those above it; one without a text block below it prints
    nothing.
    """
    blocks = code_blocks.blocks_of(PAGES[name])
    printed = code_blocks.printed_by(blocks, tmp_path, name=name)
    for block, output in zip(blocks, printed, strict=False):
        assert code_blocks.numbers_rounded(output) == code_blocks.numbers_rounded(block.output)
    assert len(printed) == len(blocks)


@pytest.mark.parametrize("name", PAGES)
def test_every_block_says_what_it_is(name):
    """A kind that the tests know, so that no Python stands under a name that is not run."""
    kinds = {kind for kind, _ in code_blocks.fences_of(PAGES[name])}
    assert {kind for kind in kinds if not re.match(r"\{[\w-]+\}", kind)} <= KINDS


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_a_page_can_be_given(name):
    """Every option and argument of xor-mi is one that it takes; files and targets of make exist."""
    commands = typer.main.get_command(cli.app).commands
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in code_blocks.commands_of(PAGES[name]):
        program, *rest = words
        if program == "xor-mi":
            command, *arguments = rest
            commands[command].make_context(command, arguments)
        elif program == "make":
            assert re.search(rf"^{rest[0]}:", makefile, flags=re.M), words
        elif program == "python" and rest[0].endswith(".py"):
            assert (ROOT / rest[0]).is_file(), words


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_page_lead_somewhere(name):
    """To a file or folder of the repository, so that it can also be read there, unbuilt; the build
    checks where the same links lead on the site. A name of the package is one of the room it leads to.
    """
    place = DOCS / Path(name).parent
    for words, link in re.findall(r"\[([^\]]*)\]\(([^)\s#]+)[^)]*\)", PAGES[name]):
        if link.startswith(("http://", "https://")):
            continue
        target = (place / link).resolve()
        assert target.exists(), link
        inside = target.relative_to(ROOT).parts
        assert inside[:2] not in {("docs", "notebooks"), ("docs", "reference")}, link
        if inside[0] == "xor_mi" and words.startswith("`"):
            room = inside[1].removesuffix(".py")
            name = words.strip("`").removeprefix("xor_mi.").removeprefix(room).removeprefix(".")
            assert name == "" or name.split(".")[0] in exported(room), words


def test_every_term_of_the_glossary_says_where_to_read_more():
    """A definition has a link to a page, or to a name of the reference, and no term stands twice."""
    found = re.findall(r"^\*\*([^*]+)\*\*: ((?:.+\n)+)", PAGES["glossary.md"], flags=re.M)
    assert len(found) > 60
    assert [term for term, words in found if "](" not in words] == []
    terms = [term for names, _ in found for term in names.split(", ")]
    assert len(set(terms)) == len(terms)


def test_every_public_name_is_in_the_reference(monkeypatch):
    """What the build writes for each room has all that the room exports, and nothing else; in the
    list at its head every name has a sentence.
    """
    monkeypatch.syspath_prepend(str(DOCS))
    import _reference

    found = {
        name.removeprefix("xor_mi.")
        for room in _reference.ROOMS
        for name in re.findall(
            r"^\.\. (?:autoclass|autofunction|py:data):: (\S+)",
            _reference.page_of(room),
            flags=re.M,
        )
    }
    # the test run's shape checker adds a module to each room
    assert {name for name in found if not name.endswith(".jaxtyping")} == set(public_objects())
    without_words = [
        f"{room}.{name}"
        for room in _reference.ROOMS
        for name in _reference.exported(room)
        if name != "jaxtyping" and _reference.line_of(room, name).endswith(": ")
    ]
    assert without_words == []
    for module in ("_reference", "_entrances", "_docstrings"):
        sys.modules.pop(module)


def test_every_command_option_and_fixture_is_in_the_reference(monkeypatch):
    """Each command with what its --help lists, and each fixture that `pytest --fixtures` would;
    the names are typed here.
    """
    monkeypatch.syspath_prepend(str(DOCS))
    import _entrances

    commands = _entrances.page_of_commands({})
    for command in ("tour", "watch", "identify", "search", "census", "exam"):
        assert f"xor-mi {command}\n---" in commands
    for option in ("--version", "--hidden <str>", "--no-page", "--any-version", "--no-progress"):
        assert option in commands
    plugin = _entrances.page_of_plugin({})
    for name in ("circuit_regression", "xor_model", "zoo_model", "--fail-unused-circuits"):
        assert f"``{name}``\n   " in plugin
    for module in ("_entrances", "_docstrings"):
        sys.modules.pop(module)
