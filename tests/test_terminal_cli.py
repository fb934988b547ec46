"""What a person sees in a terminal: every line of every command fits eighty columns and no word is
lost; colour only where there is a terminal; bars that say what they count and whose clock moves.
"""

import io
import os
import random
import re
import subprocess
import sys
import time

import pytest

from xor_mi import cli, progress
from xor_mi.circuits import identify_circuit
from xor_mi.cli._findings import print_findings
from xor_mi.errors import XorMiError
from xor_mi.exam import METHODS
from xor_mi.finding import folded_text, table_text
from xor_mi.handmade import from_formula, textbook_xor
from xor_mi.progress import progress_bar
from xor_mi.report import find_out
from xor_mi.training import train

pytestmark = pytest.mark.as_a_user

COMMANDS = ("tour", "watch", "identify", "search", "census", "exam")
ESCAPE = "\x1b"
VERDICT_IN_COLOUR = (
    "from xor_mi.cli._screen import print_heading, print_verdict\n"
    "print_heading('5. Which unit acts as which gate')\n"
    "print_verdict('identified: exactly one circuit', verdict='identified')\n"
)


class Terminal(io.StringIO):
    """A stream that a person watches."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    """Whatever the terminal is in which the tests run."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def printed(capsys, monkeypatch, *arguments):
    """What a command prints; it succeeds."""
    monkeypatch.setattr(sys, "argv", ["xor-mi", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    return out


def words(text):
    """A text without its line breaks."""
    return " ".join(text.split())


def too_wide(text):
    """The lines that a terminal of eighty columns breaks by itself."""
    return [line for line in text.splitlines() if len(line) > 80]


# help


def test_alone_it_prints_the_help(capsys, monkeypatch):
    """No mistake: the same as --help, with every command."""
    alone = printed(capsys, monkeypatch)
    assert words(alone) == words(printed(capsys, monkeypatch, "--help"))
    assert re.findall(r"^  (\w+)  +\S", alone.split("Commands:")[1], flags=re.M) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_and_says_what_is_written(capsys, monkeypatch, command):
    """Each says what is written, or that nothing is."""
    out = printed(capsys, monkeypatch, command, "--help")
    assert too_wide(out) == []
    assert re.search(r"[Ww]ritten|with --out written", out)


# widths


def test_what_commands_print_fits(tmp_path, capsys, monkeypatch):
    """Eight units, a formula longer than a line, the longest names of methods; piped, so that there
    is not a colour in it.
    """
    monkeypatch.chdir(tmp_path)
    wide = ["--hidden", "8", "--seed", "3"]
    out = {"watch": printed(capsys, monkeypatch, "watch", *wide, "--no-page")}
    findings = find_out(train("XOR", hidden=8, seed=3).model, progress=False)
    print_findings(findings)
    out["tour"] = capsys.readouterr().out
    long = from_formula("(x0 & ~x1 & x2) | (~x0 & x1 & x3) | (x0 ^ x1 ^ x2 ^ x3)")
    long.save_pretrained("long")
    out["identify"] = printed(capsys, monkeypatch, "identify", "long")
    circuit = identify_circuit(long)
    assert len(circuit.formula or "") > 80
    assert words(out["identify"]) == words(str(circuit))
    textbook_xor().save_pretrained("small")
    out["search"] = printed(capsys, monkeypatch, "search", "small", "--depth", "2")
    out["list"] = printed(capsys, monkeypatch, "exam", "--list")
    for name, method in METHODS.items():
        assert f"{name} {method.gives} of {method.over}; {words(method.source)}" in words(
            out["list"]
        )
    steps = ["--networks", "4", "--steps", "20", "--jobs", "1"]
    out["census"] = printed(capsys, monkeypatch, "census", *steps)
    for command, text in out.items():
        assert too_wide(text) == [], command
        assert ESCAPE not in text, command
        assert "..." not in text, command


def test_a_folded_text_has_the_same_words():
    """Of any text, at any width: no word lost or cut, no line wider than it must be."""
    rng = random.Random(3)
    for _ in range(200):
        width = rng.randint(40, 100)
        pieces = ["h0.0", "OR", "  ", "margin", "~(x0 & x1)", "\n", "   ", "interchange"]
        text = " ".join(rng.choices(pieces, k=60))
        folded = folded_text(text, width=width)
        assert folded.split() == text.split()
        assert max(map(len, folded.splitlines())) <= width
    long = "x" * 90
    assert long in folded_text(f"Written: {long} (open it)", width=80).split()
    with pytest.raises(XorMiError, match="width must be a whole number of at least 40"):
        folded_text("", width=3)


def test_a_table_has_all_its_cells_in_any_width():
    """Drawn tables: all characters of all cells are there, each as often as in the cells and the
    repeated first column.
    """
    rng = random.Random(5)
    for _ in range(60):
        n_lines, width = rng.randint(1, 6), rng.randint(40, 90)
        columns: dict[str, list[str] | list[float]] = {"unit": [f"h0.{k}" for k in range(n_lines)]}
        for k in range(rng.randint(1, 9)):
            cells = [rng.choice(["x0 & ~x1 | x2 & x3", "OR", ""]) for _ in range(n_lines)]
            numbers = [rng.uniform(-9, 9) for _ in range(n_lines)]
            columns[f"column {k}"] = rng.choice([cells, numbers])
        text = table_text(columns, width=width)
        assert max(map(len, text.splitlines())) <= width
        tables = text.count("\n\n") + 1
        assert text.count("h0.0") == tables
        whole = [cell for cells in columns.values() for cell in cells if isinstance(cell, float)]
        for number in whole:
            assert f"{number:.3f}" in text or abs(number) < 1e-3
        flat = "".join(text.split())
        expected = sum(cell.count("&") for cells in columns.values() for cell in map(str, cells))
        assert flat.count("&") == expected
    with pytest.raises(XorMiError, match="give as many of each"):
        table_text({"a": [1, 2], "b": [1]})


def test_a_table_in_the_terminal_s_width(capsys, monkeypatch, tmp_path):
    """COLUMNS is asked: wider, fewer lines; the words are the same."""
    textbook_xor().save_pretrained(tmp_path)
    narrow = printed(capsys, monkeypatch, "identify", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    wide = printed(capsys, monkeypatch, "identify", str(tmp_path))
    assert words(narrow) == words(wide)
    assert len(wide.splitlines()) < len(narrow.splitlines())


# colour


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_in_a_terminal_unless_they_are_refused(no_color):
    """In a pseudo-terminal the heading is bold and the verdict green; with NO_COLOR nothing is; the
    words are the same.
    """
    reader, terminal = os.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "NO_COLOR": no_color}
    subprocess.run(
        [sys.executable, "-c", VERDICT_IN_COLOUR], stdout=terminal, env=environment, check=True
    )
    os.close(terminal)
    text = os.read(reader, 10_000).decode()
    os.close(reader)
    assert (ESCAPE in text) is (not no_color)
    if not no_color:
        assert f"{ESCAPE}[1;32midentified{ESCAPE}[0m: exactly" in text
    plain = re.sub(rf"{ESCAPE}\[[0-9;]*m", "", text)
    assert plain.split("\r\n")[:2] == [
        "5. Which unit acts as which gate",
        "identified: exactly one circuit",
    ]


# bars


def watching(monkeypatch):
    """Standard error becomes a terminal, and bars come at once.

    No fixture: pytest sets its own standard error between a fixture and the test.
    """
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "SECONDS_BEFORE_A_BAR", 0.02)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN", 0.02)
    return terminal


def drawn_until(terminal, text):
    """What was drawn, as soon as this is there; ten seconds are more than enough."""
    for _ in range(1000):
        if text in terminal.getvalue():
            break
        time.sleep(0.01)
    return terminal.getvalue()


def test_a_bar_moves_before_the_first_unit_is_done(monkeypatch):
    """It is drawn while nothing is done yet, says what it counts, and ends its line."""
    watched = watching(monkeypatch)
    with progress_bar(doing="census", unit="network", total=2_000_000) as bar:
        first = drawn_until(watched, "under way")
        assert "census: 0 of 2,000,000 networks" in first
        time.sleep(0.2)
        # its clock moves although nothing is done
        assert watched.getvalue().count("0 of 2,000,000") > first.count("0 of 2,000,000")
        bar.update(1_000_000)
        assert "left" in drawn_until(watched, "1,000,000 of 2,000,000 networks")
    assert watched.getvalue().endswith("\n")


def test_what_an_earlier_run_did_is_not_in_the_pace(monkeypatch):
    """900 of 1,000 were there: what is left is told from the one that came since."""
    watched = watching(monkeypatch)
    with progress_bar(doing="census", unit="batch", total=1_000, n_before=900) as bar:
        drawn_until(watched, "900 of 1,000 batches")
        time.sleep(0.2)
        bar.update(1)
        text = drawn_until(watched, "901 of 1,000 batches")
    # one in a fifth of a second or more: at most five a second, and at least 19 seconds left
    pace = int(re.findall(r"(\d+)/s", text)[-1])
    assert pace <= 5


def test_work_that_is_quick_or_silenced_shows_nothing(monkeypatch):
    """Neither a bar that is not wanted, nor one that ends before its time."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert sum(progress_bar([1, 2], doing="adding", unit="number")) == 3
    monkeypatch.setattr(progress, "SECONDS_BEFORE_A_BAR", 0.0)
    assert sum(progress_bar([1, 2], doing="adding", unit="number", progress=False)) == 3
    assert terminal.getvalue().strip() == ""


def test_the_bar_of_a_training_ends_at_its_last_step(monkeypatch):
    """Of 2,000 steps those that were taken are counted, and the others are not said to be."""
    bars = []

    def kept(**settings):
        bars.append(progress_bar(**settings))
        return bars[-1]

    monkeypatch.setattr("xor_mi.training._train.progress_bar", kept)
    result = train("XOR", seed=29, progress=False)
    (bar,) = bars
    assert bar.total == result.steps < 2000
