"""The figures of style that `benchmarks/style.py` prints, on a small package whose figures are
known by counting.
"""

from pathlib import Path

import pytest
from style import MAX_FUNCTION, closing_imports, import_graph, largest_circle, measure

ROOT = Path(__file__).parent.parent
SAMPLE = '''"""a doc"""
from typing import Any  # a comment


def wide(a: Any, b: int, c: int, *, d: int) -> int:
    """Two
    lines."""
    if a and b or c:
        return [x for row in (a, b) for x in row]
    return 1 if a else 2 if b else 3


def narrow(a, b, c, d):
    print(*a)
    raise ValueError


def _own(a: Any): assert a
'''


@pytest.fixture
def package(tmp_path) -> Path:
    """A package of two files."""
    (tmp_path / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "sample.py").write_text(SAMPLE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("files", 2),
        ("lines", 18),
        ("function lines, most", 4),
        (f"functions over {MAX_FUNCTION} lines", 0),
        ("complexity, most", 8),  # 1, an if, two `bool`s, two `for`s, two conditional expressions
        ("comments, % of lines", 100 / 18),
        ("docstrings, % of lines", 300 / 18),
        ("nested comprehensions per 1,000 lines", 1000 / 18),
        ("nested conditional expressions", 1),
        ("calls with a starred value per 1,000 lines", 1000 / 18),
        ("parameters without a type, %", 400 / 9),
        ("parameters that are Any, %", 200 / 9),
        ("parameters of public functions that are Any, %", 100 / 8),
        ("public functions with a docstring, %", 50),
        ("public functions of 4 or more parameters", 2),
        ("of these with keyword-only ones, %", 50),
        ("raise", 1),
        ("assert", 1),
    ],
)
def test_a_figure_is_what_counting_gives(package, figure, value):
    """Each figure of the sample, counted by hand."""
    assert measure(package)[figure] == pytest.approx(value)


def test_long_functions_and_wide_lines_are_counted(package):
    """One function over the bound, one line over the width."""
    body = "    x = 1\n" * (MAX_FUNCTION + 1)
    (package / "long.py").write_text(f"def f():\n{body}\ny = '{'a' * 101}'\n", encoding="utf-8")
    figures = measure(package)
    assert figures[f"functions over {MAX_FUNCTION} lines"] == 1
    assert figures["lines over 100 columns"] == 1


def test_the_package_itself_can_be_measured():
    """The figures of a room of xor_mi, whatever they are, are all there; the imports are those of
    all rooms.
    """
    room = ROOT / "xor_mi" / "population"
    figures = measure(room)
    assert figures["files"] == len(list(room.rglob("*.py"))) > 10
    everywhere = import_graph(ROOT / "xor_mi")
    at_the_top = import_graph(ROOT / "xor_mi", inside_functions=False)
    assert len(everywhere) > 50
    assert largest_circle(at_the_top) == 0
    assert closing_imports(at_the_top, everywhere) == 1  # Finding.plot
