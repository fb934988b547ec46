"""The pages of the exam: their tables are those of the package, in the same order."""

import re
from pathlib import Path

from xor_mi.exam import MEASURES, METHODS, tasks

HOW_TO = Path(__file__).parent.parent / "docs" / "how_to"


def lines_under(page: str, heading: str) -> list[list[str]]:
    """The cells of each line of the tables under a heading of a page, without the first head."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", section, flags=re.M)
    return [line.split(" | ") for line in lines][1:]


def test_every_measure_is_explained():
    """By name, which way is better, and in the words of the package."""
    lines = lines_under("grade_a_method.md", "Measures")
    stands = [[name.strip("`"), better, what] for name, better, what in lines]
    assert stands == [[name, one.better, one.what] for name, one in MEASURES.items()]


def test_every_method_is_listed_with_its_source():
    """In the order of METHODS."""
    lines = lines_under("exam_lists.md", "Methods")
    stands = [[name.strip("`"), *rest] for name, *rest in lines]
    assert stands == [[name, one.over, one.gives, one.source] for name, one in METHODS.items()]


def test_every_task_is_listed():
    """In the order of tasks()."""
    lines = lines_under("exam_lists.md", "Tasks")
    stands = [(line[0], line[1], int(line[4])) for line in lines]
    assert stands == [(name, one.kind, one.n_edges) for name, one in tasks().items()]
