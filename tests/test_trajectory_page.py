"""The page of a trajectory: every number on it is the frame's, nothing is loaded, and what a person
named is text.
"""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from pages import drawn_in, unpacked
from plotly.offline import get_plotlyjs

from xor_mi import HookedMLP, train, trajectory, trajectory_page
from xor_mi.errors import XorMiError
from xor_mi.saving import TRAJECTORY_MARK, mark_of
from xor_mi.trajectory_page import render_trajectory_page, write_trajectory_page

pytestmark = pytest.mark.as_a_user

QUIET = {"progress": False}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="xor-mi xor_mi.trajectory/1">
<link rel="icon" href="data:,">
<title>xor-mi: trajectory</title>"""
"""How a page begins, by which it is known."""


@pytest.fixture(scope="module")
def solved():
    """Three units, one of them dead; readings come and go."""
    return trajectory("XOR", 9, hidden=3, **QUIET)


class Page(HTMLParser):
    """The tables by their ids, cell by cell; scripts are passed over."""

    def __init__(self, text):
        super().__init__()
        self.tables = {}
        self.tags = []
        self._open = []
        self._rows = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self._open.append(tag)
        self.tags.append((tag, found))
        if tag == "table":
            self._rows = self.tables.setdefault(found["id"], [])
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "td" in self._open or "th" in self._open:
            self._rows[-1][-1] += data


def test_the_tables_are_the_frame_and_the_events(solved):
    """Every event, every checkpoint before training is over and the network when it is, and the
    units of the circuit at the end.
    """
    text = render_trajectory_page(solved)
    page = Page(text)
    head, *lines = page.tables["table-events"]
    assert head[:5] == ["step", "event", "unit", "before", "after"]
    told = [[int(line[0]), line[1].replace(" ", "_"), *line[2:5]] for line in lines]
    assert told == solved.events().to_numpy().tolist()
    head, *lines = page.tables["table-checkpoints"]
    assert head == [
        *("step", "loss", "rows right", "slack", "verdict", "h0.0", "h0.1", "h0.2", "margin"),
    ]
    every = solved.frame()
    last = len(solved.losses) - 1
    n_later = int((every["step"] > last).sum())
    assert n_later > 3
    assert f"Training ended at step {last}: at the {n_later} later checkpoints" in text
    # the network at the end of training, whatever the next checkpoint's number
    frame = every[: len(every) - n_later + 1].copy()
    frame.iloc[-1, 0] = last
    assert len(lines) == len(frame)
    for line, (_, own) in zip(lines, frame.iterrows(), strict=True):
        assert int(line[0]) == own["step"]
        assert float(line[1]) == pytest.approx(own["loss"], abs=0.0000501)
        assert line[2] == f"{own['n_rows_right']} of 4"
        assert float(line[3]) == pytest.approx(own["slack"], abs=0.00501)
        assert line[4] == own["verdict"].replace("_", " ")
        gates = [
            "dead" if dead else gate for gate, dead in zip(own["gates"], own["dead"], strict=True)
        ]
        assert line[5:8] == gates
        assert (line[8] == "") == pd.isna(own["margin"])
    units = page.tables["table-units"][1:]
    last = solved.moments[-1]
    named = ["dead" if dead else gate for gate, dead in zip(last.gates, last.dead, strict=True)]
    assert [line[1] for line in units] == named
    assert "dead" in named
    trained = dict(page.tables["table-trained"])
    assert trained["network"] == "2-3-1"
    assert trained["seed"] == "9"
    assert trained["steps"] == f"{len(solved.losses) - 1} of at most 2000"


def test_the_page_stands_alone_and_names_are_text():
    """Nothing is asked of a network; a gate called x0>x1 is shown as it is; every link of the
    contents leads somewhere; there is a dark and a printed look; plotly is written once.
    """
    found = trajectory("x0>x1", 2, max_steps=100, weight_decay=0.01, **QUIET)
    page = render_trajectory_page(found)
    tags = Page(page).tags
    outside = [found for tag, found in tags if "src" in found or tag in ("link", "iframe", "img")]
    assert outside == [{"rel": "icon", "href": "data:,"}]
    assert "How the circuit of x0&gt;x1 forms" in page
    assert ">x0>x1" not in page
    anchors = {found["id"] for _, found in tags if "id" in found}
    links = [found["href"].removeprefix("#") for tag, found in tags if tag == "a"]
    # six sections, and past the head of the page
    assert len(links) == 7
    assert set(links) <= anchors
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert unpacked(page, "plotly") == get_plotlyjs()
    assert set(drawn_in(page)) == {"gates", "moving"}
    assert dict(Page(page).tables["table-trained"])["weight decay"] == "0.01"


def test_what_is_no_trajectory_is_refused(tmp_path):
    """Nothing is written."""
    with pytest.raises(XorMiError, match=r"give what population\.trajectory returns"):
        write_trajectory_page(5, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_network_that_is_never_solved_has_a_page(solved):
    """It says so, which rows are wrong, what is in the way, and what it is stuck in."""
    found = trajectory("XOR", 0, max_steps=60, **QUIET)
    page = render_trajectory_page(found)
    words = " ".join(re.sub(r"<[^>]+>", " ", page[page.index("<h1>") :]).split())
    assert "never all rows right; training ended at step 60" in words
    assert "What there is at the end" in words
    assert "not computing : it does not compute XOR: wrong on 00, 11" in words
    assert "What is in the way of XOR" in words
    assert "h0.0 is dead from step 2 on" in words
    assert found.stuck is not None
    assert found.stuck.kind == "dead_units"
    assert f"{found.stuck}." in words
    assert solved.stuck is None


def test_the_files_beside_it(tmp_path, solved):
    """Two tables that read back as the frames, and the trained network."""
    written = write_trajectory_page(solved, tmp_path / "run")
    assert written == tmp_path / "run" / "index.html"
    folder = written.parent
    assert {path.name for path in folder.iterdir()} == {
        *("index.html", "events.csv", "trajectory.csv", "config.json", "model.safetensors")
    }
    for name in ("index.html", "events.csv", "trajectory.csv"):
        assert mark_of(folder / name) == TRAJECTORY_MARK
    events = pd.read_csv(folder / "events.csv", keep_default_na=False)
    assert events.to_numpy().tolist() == solved.events().to_numpy().tolist()
    table = pd.read_csv(folder / "trajectory.csv", keep_default_na=False)
    frame = solved.frame()
    for name in ("step", "loss", "n_rows_right", "verdict", "family", "slack"):
        assert table[name].tolist() == pytest.approx(frame[name].tolist(), abs=1e-12)
    assert table["gates"].tolist() == [
        "; ".join(gates) if any(gates) else "" for gates in frame["gates"]
    ]
    assert table["dead"].tolist() == [
        "; ".join(f"h0.{k}" for k, is_dead in enumerate(dead) if is_dead) for dead in frame["dead"]
    ]
    saved = HookedMLP.from_pretrained(folder)
    last = solved.networks[max(solved.networks)]
    assert saved.fc1.weight.tolist() == last.fc1.weight.tolist()


def test_the_network_beside_it_is_the_finished_one(tmp_path, monkeypatch):
    """Whatever checkpoints were asked for."""
    monkeypatch.setattr(trajectory_page, "render_trajectory_page", lambda _: PAGE)
    found = trajectory("XOR", 29, checkpoints=[0], max_steps=20, **QUIET)
    write_trajectory_page(found, tmp_path / "run")
    saved = HookedMLP.from_pretrained(tmp_path / "run")
    trained = train("XOR", seed=29, max_steps=20, **QUIET).model
    assert saved.fc1.weight.tolist() == trained.fc1.weight.tolist()
    assert saved.fc1.weight.tolist() != found.networks[0].fc1.weight.tolist()


def test_what_others_wrote_is_not_touched(tmp_path, monkeypatch, solved):
    """Tables without the page beside them are somebody's; a folder of others is refused."""
    monkeypatch.setattr(trajectory_page, "render_trajectory_page", lambda _: PAGE)
    folder = tmp_path / "run"
    folder.mkdir()
    table = "step,event,unit,before,after\n0,unit_dies,h0.0,,dead\n"
    (folder / "events.csv").write_text(table, encoding="utf-8")
    with pytest.raises(XorMiError, match=r"holds events\.csv, which xor-mi did not write"):
        write_trajectory_page(solved, folder)
    assert (folder / "events.csv").read_text(encoding="utf-8") == table
    write_trajectory_page(solved, folder, overwrite=True)
    write_trajectory_page(solved, folder)
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(XorMiError, match=r"holds mine\.txt, which xor-mi did not write"):
        write_trajectory_page(solved, folder)
    with pytest.raises(XorMiError, match="directory is empty"):
        write_trajectory_page(solved, "")


def test_a_row_that_is_named_twice_is_one_row():
    """The counts of the page are of different rows."""
    found = trajectory("XOR", 29, rows=["00", "01", "01", "10"], max_steps=5, **QUIET)
    (table,) = [
        rows
        for rows in Page(render_trajectory_page(found)).tables.values()
        if "held-out rows right" in rows[0]
    ]
    assert table[1][2].endswith(" of 3")
    assert table[1][3].endswith(" of 1")
