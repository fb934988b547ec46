"""The fenced blocks of README and of the documentation, and what their code prints."""

import contextlib
import io
import re
import shlex
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", flags=re.M | re.S)


class Block(NamedTuple):
    """Python code of a page, and the output that the page says it prints."""

    code: str
    output: str


def pages() -> list[Path]:
    """The pages of the documentation that are written by hand, without what its build makes."""
    made = {"_build", "notebooks", "reference"}
    found = DOCS.rglob("*.md")
    return sorted(path for path in found if path.relative_to(DOCS).parts[0] not in made)


def fences_of(text: str) -> list[tuple[str, str]]:
    """(kind, content) of every fenced block, in order."""
    return [(found[2].strip(), found[3]) for found in FENCE.finditer(text)]


def blocks_of(text: str) -> list[Block]:
    """Every Python block, with the text block right below it; one without prints nothing."""
    found = []
    for fence in FENCE.finditer(text):
        if fence[2].strip() == "python":
            below = FENCE.match(text, fence.end() + len("\n\n"))
            output = below[3] if below is not None and below[2].strip() == "text" else ""
            found.append(Block(fence[3], output))
    return found


def commands_of(text: str) -> Iterator[list[str]]:
    """The words of every command line of a shell block, without comments."""
    for kind, content in fences_of(text):
        if kind == "sh":
            for line in content.splitlines():
                if words := shlex.split(line, comments=True):
                    yield words


def numbers_rounded(text: str) -> str:
    """Decimals to two places: another machine may round the last bits of training differently."""
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]) + 0.0:.2f}", text)


def printed_by(blocks: Sequence[Block], place: Path, *, name: str) -> list[str]:
    """What each block prints: they run in order, in one folder and one namespace. A block that
    raises, or that draws from torch's own generator, ends the list with its traceback.

    Args:
        name: of the page, for the traceback.
    """
    outputs: list[str] = []
    space: dict[str, object] = {}
    with contextlib.chdir(place):
        for block in blocks:
            printed = io.StringIO()
            before = torch.get_rng_state()
            try:
                with contextlib.redirect_stdout(printed):
                    exec(compile(block.code, name, "exec"), space)
                assert torch.equal(torch.get_rng_state(), before)
            except Exception:
                return [*outputs, printed.getvalue() + traceback.format_exc()]
            outputs.append(printed.getvalue())
    return outputs
