"""Text files are UTF-8 on every machine: each reading and writing call says so, because Python's
own choice of encoding is the machine's, which on Windows is another.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("xor_mi", "tests", "benchmarks", "examples")


def name_of(call: ast.Call) -> str:
    """The name of what is called, without what it is an attribute of; '' where it has none."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def mode_of(call: ast.Call) -> str:
    """The mode given to `open`: the second argument of the function, the first of the method."""
    place = 0 if isinstance(call.func, ast.Attribute) else 1
    named = [one.value for one in call.keywords if one.arg == "mode"]
    given = [*call.args[place : place + 1], *named]
    return next((ast.unparse(mode) for mode in given), "'r'")


def without_encoding(source: str) -> Iterator[int]:
    """The lines on which a text file is opened, read or written without an encoding."""
    if not re.search("read_text|write_text|open", source):
        return
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or any(one.arg == "encoding" for one in call.keywords):
            continue
        name = name_of(call)
        # os.open gives a number, and a mode with b gives bytes
        if name in ("read_text", "write_text") or (
            name == "open" and ast.unparse(call.func) != "os.open" and "b" not in mode_of(call)
        ):
            yield call.lineno


def python_files() -> list[Path]:
    """Every Python file of the project."""
    inside = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    return [ROOT / "conftest.py", *inside]


def test_every_text_file_is_opened_as_utf_8():
    """In the package, its tests, its benchmarks and its examples."""
    files = python_files()
    assert len(files) > 150
    lacking = {
        str(file.relative_to(ROOT)): lines
        for file in files
        if (lines := list(without_encoding(file.read_text(encoding="utf-8"))))
    }
    assert lacking == {}


@pytest.mark.parametrize(
    ("source", "n_lacking"),
    [
        ("Path('a').read_text()", 1),
        ("(folder / 'a').write_text('ä', newline='')", 1),
        ("open('b.txt')", 1),
        ("with path.open('w') as file:\n    file.write('ä')", 1),
        ("open('b.txt', mode='w')", 1),
        ("Path('a').read_text(encoding='utf-8')", 0),
        ("path.open('rb')", 0),
        ("open('a', mode='wb')", 0),
        ("os.open('a', os.O_RDONLY)", 0),
    ],
)
def test_a_call_without_an_encoding_is_noticed(source, n_lacking):
    """The guard can fail: planted calls are found, their neighbours that are fine are not."""
    assert len(list(without_encoding(source))) == n_lacking
