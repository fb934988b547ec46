"""The page of the exam: its tables are those of the package, in the same order."""

import re
from pathlib import Path

from xor_mi.exam import MEASURES, METHODS, tasks

PAGE = (Path(__file__).parent.parent / "docs" / "results" / "exam.md").read_text(encoding="utf-8")


def lines_under(heading: str) -> list[list[str]]:
    """The cells of each line of the first table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", section, flags=re.M)
    return [line.split(" | ") for line in lines][1:]


def test_every_measure_is_explained():
    """By name, which way is better, and in the words of the package."""
    stands = [[name.strip("`"), better, what] for name, better, what in lines_under("Measures")]
    assert stands == [[name, one.better, one.what] for name, one in MEASURES.items()]


def test_every_method_is_listed_with_its_source():
    """In the order of METHODS."""
    stands = [[name.strip("`"), *rest] for name, *rest in lines_under("Methods")]
    assert stands == [[name, one.over, one.gives, one.source] for name, one in METHODS.items()]


def test_every_task_is_listed():
    """In the order of tasks()."""
    stands = [(line[0], line[1], int(line[4])) for line in lines_under("Tasks")]
    assert stands == [(name, one.kind, one.n_edges) for name, one in tasks().items()]
