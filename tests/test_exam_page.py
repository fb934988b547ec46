"""The page of an exam: every number on it is the frame's, nothing is loaded, and what a person named
is text.
"""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from pages import drawn_in, unpacked
from plotly.offline import get_plotlyjs

from xor_mi.errors import XorMiError
from xor_mi.exam import MEASURES, METHODS, ExamPart, ExamRun, grade, joined, run_exam
from xor_mi.exam_page import render_exam_page, write_exam_page
from xor_mi.handmade import textbook_xor
from xor_mi.saving import EXAM_MARK, mark_of

pytestmark = pytest.mark.as_a_user

HTML_NAME = "<img src=x onerror=alert(1)>"


def by_weight(problem):
    """Every edge by the size of its weight."""
    return np.concatenate([np.abs(layer.weight).ravel() for layer in problem.numbers.layers])


def backwards(problem):
    """The same, the smallest first."""
    return -by_weight(problem)


def all_edges(problem):
    """The whole network."""
    return problem.edges


def units_in_order(problem):
    """Units by where they stand."""
    return [-unit.index for unit in problem.units]


def breaks(problem):
    """A method without a grade anywhere."""
    raise RuntimeError("<script>out of order</script>")


ASKED = {
    "by_weight": by_weight,
    HTML_NAME: backwards,
    "all_edges": all_edges,
    "units_in_order": units_in_order,
    "gate_rule_joint": METHODS["gate_rule_joint"],
    "breaks": breaks,
}


@pytest.fixture(scope="module")
def run():
    """Two tasks under two conventions, four networks each."""
    return run_exam(
        tasks=["planted copies relu", "planted dead tanh"],
        methods=ASKED,
        conventions=["zero", "mean"],
        n_networks=4,
        progress=False,
    )


@pytest.fixture(scope="module")
def page(run):
    """The page as text."""
    return render_exam_page(run)


class Page(HTMLParser):
    """Headings of parts, and the tables below each, cell by cell; scripts are passed over."""

    def __init__(self, text):
        super().__init__()
        self.tables = []
        self.heading = ""
        self.tags = []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self._open.append(tag)
        self.tags.append((tag, found))
        if tag == "h2":
            self.heading = ""
        if tag == "table":
            self.tables.append({"part": self.heading, **found, "rows": []})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "h2" in self._open:
            self.heading += data
        if "td" in self._open or "th" in self._open:
            self.tables[-1]["rows"][-1][-1] += data


@pytest.fixture(scope="module")
def read(page):
    """The page, read by an HTML parser."""
    return Page(page)


def test_every_number_of_the_tables_is_that_of_the_frame(run, read):
    """Mean and level by chance of every measure of every method, computed here from the frame."""
    n_compared = 0
    boards = [table for table in read.tables if table.get("class") == "board"]
    for part in run.parts:
        frame = part.grades.frame()
        tables = [table for table in boards if table["part"] == part.heading]
        assert {table["data-kind"] for table in tables} == {
            "Scores over edges",
            "Sets of edges",
            "Scores over units",
            "Gates of units",
        }
        for table in tables:
            head, *lines = table["rows"]
            for line in lines:
                own = frame[(frame["method"] == line[0]) & (frame["why_not"] == "")]
                assert len(own) == int(line[1]) == 4
                cells = dict(enumerate(line))
                for place, name in enumerate(head):
                    measure = name.replace(" ", "_")
                    if measure not in MEASURES:
                        continue
                    values = own[measure].dropna().astype(float)
                    mean = re.match(r"[-\d.,e]+", cells[place])
                    assert (mean is None) == values.empty
                    if mean is not None:
                        shown = float(mean[0].replace(",", ""))
                        assert shown == pytest.approx(values.mean(), abs=0.00501, rel=0.005)
                        chance = own[f"{measure}_chance"].dropna().astype(float)
                        if chance.empty:  # of ties
                            assert cells[place + 1] == ""
                        else:
                            assert float(cells[place + 1]) == pytest.approx(
                                chance.mean(), abs=0.00501, rel=0.005
                            )
                        n_compared += 1
                assert float(line[-2].replace(",", "")) == pytest.approx(
                    own["forwards"].mean(), abs=0.00501
                )
    assert n_compared > 80


def test_failures_are_counted_and_the_smallest_is_named(run, read):
    """A method is not right where its size is above the fewest; the table says on how many."""
    tables = [table for table in read.tables if table.get("class") == "failures"]
    for part in run.parts:
        frame = part.grades.frame()
        lines = [
            line for table in tables if table["part"] == part.heading for line in table["rows"][1:]
        ]
        by_hand = {}
        for method, own in frame.groupby("method", sort=False):
            wrong = own[(own["why_not"] == "") & (own["finds_minimum"] == 0)]
            if len(wrong):
                by_hand[method] = len(wrong)
        found = {line[0]: line[1] for line in lines if line[0] != "gate_rule_joint"}
        assert found == {method: f"{n} of 4" for method, n in by_hand.items()}
        for method, _, network, gave in lines:
            if method not in by_hand:
                continue
            own = frame[(frame["method"] == method) & (frame["network"] == network)].iloc[0]
            assert own["finds_minimum"] == 0
            fewest = part.grades.network(network).truth(own["over"]).minimum
            assert gave == f"{own['size']:.0f} {own['over']}; the fewest possible are {fewest}"
    assert any(len(table["rows"]) > 1 for table in tables)


def test_the_truth_is_on_the_page(run, read):
    """Ranges over networks of what exhaustion found."""
    tables = [table for table in read.tables if table.get("class") == "truth"]
    assert [table["part"] for table in tables] == [part.heading for part in run.parts]
    for table, part in zip(tables, run.parts, strict=True):
        head, *lines = table["rows"]
        truth = part.grades.truth_frame()
        for line in lines:
            own = truth[truth["over"] == line[0]]
            found = dict(zip(head, line, strict=True))
            numbers = sorted({f"{n:,}" for n in (own["n_perfect"].min(), own["n_perfect"].max())})
            assert all(number in found["perfect sets"] for number in numbers)
            assert found["unique"] == f"{own['is_unique'].sum()} of 4"


def test_what_was_measured_is_said(run, page):
    """Networks, rows, convention, metric, seed and versions of each part."""
    for part in run.parts:
        assert part.says in page
        assert f"Convention {part.convention}: " in page
        described = part.grades.convention.describe()
        assert described.replace("'", "&#39;") in page
        # the task is in the heading, and is not said again for each network
        name = part.grades.networks[0].name
        assert name.startswith(f"{part.task}, seed ")
        assert f" ({name.removeprefix(f'{part.task}, ')}; " in page
        assert f" ({name}; " not in page
    assert "each on 4 rows. A dropped edge carries nothing. " in page
    assert "each on 4 rows. A dropped edge carries its source&#39;s mean. " in page
    assert "seed 0." in page
    for name, number in run.versions.items():
        assert f"{name} {number}" in page
    for name in ("size", "gate_agreement"):
        assert MEASURES[name].what in page
    assert MEASURES["interchange_accuracy"].what not in page


def test_the_page_stands_alone_and_names_are_text(page, read):
    """Nothing is asked of a network; a method called like HTML and an error with a script are shown
    as they are; every link of the contents leads somewhere; there is a dark and a printed look.
    """
    outside = [
        found for tag, found in read.tags if "src" in found or tag in ("link", "iframe", "img")
    ]
    assert outside == [{"rel": "icon", "href": "data:,"}]
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "&lt;script&gt;out of order" in page
    anchors = {found["id"] for _, found in read.tags if "id" in found}
    links = [found["href"] for tag, found in read.tags if tag == "a"]
    # four parts, the measures, and past the head of the page
    assert len(links) == 6
    assert {link.removeprefix("#") for link in links} <= anchors
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert page.count("breaks: 4 of 4 networks: RuntimeError") == 4
    # plotly.js is written once, and every figure is data
    assert unpacked(page, "plotly") == get_plotlyjs()
    assert len(drawn_in(page)) == page.count('<div class="plot"') == 4 * 5


def test_writing_it_keeps_to_the_folder_of_an_exam(tmp_path, run):
    """Into the folder that the exam is in, or another; never beside what somebody else wrote."""
    folder = tmp_path / "exam"
    small = {"tasks": "planted gates relu", "methods": "magnitude", "n_networks": 2}
    run_exam(folder, **small, progress=False)
    written = write_exam_page(folder)
    assert written == folder / "index.html"
    assert mark_of(written) == EXAM_MARK
    assert "planted gates relu, zero" in written.read_text(encoding="utf-8")
    # again, over its own
    assert write_exam_page(run, folder) == written
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(XorMiError, match=r"mine\.txt, which xor-mi did not write"):
        write_exam_page(run, folder)
    with pytest.raises(XorMiError, match="give a folder to write to"):
        write_exam_page(run)
    with pytest.raises(XorMiError, match="holds no exam"):
        write_exam_page(tmp_path / "nowhere")
    with pytest.raises(XorMiError, match=r"exam is 5; give what exam\.run_exam"):
        write_exam_page(5, folder)


def test_grades_of_ones_own_networks_have_a_page(tmp_path):
    """The same page, with the networks' own names."""
    grades = grade(["magnitude", "eap"], {"mine": textbook_xor()}, "mean")
    page = write_exam_page(grades, tmp_path / "own").read_text(encoding="utf-8")
    assert "networks of your own" in page
    assert "1 network 2-2-1 (mine)" in page
    assert ExamRun.of(grades).parts[0].grades is grades


def test_a_part_without_any_network_says_so(run):
    """All networks left out: they are named with their reason, and nothing is drawn."""
    part = run.parts[0]
    empty = joined([part.grades])
    object.__setattr__(empty, "networks", ())
    object.__setattr__(empty, "grades", ())
    object.__setattr__(empty, "left_out", {"<one>": "it decides rows 01 wrong"})
    alone = ExamRun(
        parts=(ExamPart(task="t", says="", convention="zero", grades=empty),),
        n_networks=1,
        seed=0,
        versions={},
    )
    page = render_exam_page(alone)
    assert "&lt;one&gt;: it decides rows 01 wrong" in page
    assert 'class="plot"' not in page
