"""`xor-mi exam`: what it writes and prints is what the grades say; stopped or killed it goes on; and
every mistake is one line.
"""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from xor_mi import cli
from xor_mi.errors import XorMiError
from xor_mi.exam import (
    CONVENTIONS,
    METHODS,
    Task,
    TaskNetworks,
    board_text,
    grade,
    read_exam,
    run_exam,
    task,
    tasks,
)
from xor_mi.handmade import textbook_xor
from xor_mi.saving import EXAM_MARK, mark_of, working_alone

pytestmark = pytest.mark.as_a_user

TASKS = ["planted gates relu", "planted copies tanh"]
METHOD_NAMES = ["magnitude", "random", "greedy_removal_once"]
SETTINGS = {"tasks": TASKS, "methods": METHOD_NAMES, "n_networks": 5, "progress": False}


@pytest.fixture(autouse=True)
def small_lots(monkeypatch):
    """Two networks a lot, so that few networks have several."""
    monkeypatch.setattr("xor_mi.exam._run.NETWORKS_OF_A_LOT", 2)


def run_main(capsys, monkeypatch, *arguments):
    """The console script in this process: exit status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["xor-mi", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code, out, err


@pytest.fixture(scope="module")
def undisturbed():
    """The same exam in one go, in memory."""
    return run_exam(**SETTINGS)


def lots(folder):
    """The files of the lots, in order."""
    return sorted((folder / "lots").iterdir())


def same(one, other):
    """Two tables with the same numbers."""
    assert one.to_json(double_precision=15) == other.to_json(double_precision=15)


# what it is


def test_an_exam_is_its_tasks_graded_one_by_one(undisturbed):
    """Each part has the numbers of `grade` on the task's networks all at once."""
    for name in TASKS:
        grades = grade(METHOD_NAMES, task(name).networks(5, progress=False), progress=False)
        part = undisturbed.part(name, "zero")
        same(part.grades.frame(), grades.frame())
        same(part.grades.board(), grades.board())
        same(part.grades.truth_frame(), grades.truth_frame())
    frame = undisturbed.frame()
    assert len(frame) == len(TASKS) * 5 * len(METHOD_NAMES)
    assert frame["task"].unique().tolist() == TASKS
    assert len(undisturbed.board(["size"])) == len(TASKS) * len(METHOD_NAMES)
    assert (
        str(undisturbed)
        == "3 methods graded on 2 tasks, 5 networks each, under the convention zero"
    )


@dataclass(frozen=True, kw_only=True)
class OwnTask(Task):
    """Networks of one's own: the textbook one, and one that never decides 1."""

    def networks(self, n_networks=100, *, seed=0, progress=True):
        """The second of two is the network that fails."""
        good = textbook_xor()
        weights = [(weight * 0, bias * 0) for weight, bias in good.float64_layers()]
        bad = good.with_weights(weights)
        models = {f"own {k}": bad if k % 2 else good for k in range(seed, seed + n_networks)}
        return TaskNetworks(task=self, models=models, planted={}, n_tried=n_networks)


def own_task():
    """A task that `exam.tasks()` does not have."""
    known = task("planted gates relu")
    return OwnTask(
        name="own",
        says="Mine.",
        layer_sizes=known.layer_sizes,
        target=known.target,
        activation="relu",
    )


def test_a_task_of_ones_own_and_networks_without_a_circuit(tmp_path):
    """Every second network fails: it is left out and named, also where it is a lot by itself."""
    run = run_exam(tmp_path / "exam", **SETTINGS | {"tasks": own_task()})
    grades = run.part("own", "zero").grades
    assert [network.name for network in grades.networks] == ["own 0", "own 2", "own 4"]
    assert list(grades.left_out) == ["own 1", "own 3"]
    assert "no circuit to find" in grades.left_out["own 1"]
    assert "2 of 5 networks are left out" in str(run)
    none = run_exam(**SETTINGS | {"tasks": own_task(), "n_networks": 1, "seed": 1})
    assert len(none.part("own", "zero").grades) == 0
    assert none.board().empty
    assert none.to_dict()["parts"][0]["board"] == []


def test_conventions_are_parts_of_their_own():
    """Both ablations, and noisy rows that are counted among the rows."""
    run = run_exam(**SETTINGS | {"tasks": TASKS[0], "conventions": list(CONVENTIONS)})
    assert [part.convention for part in run.parts] == ["zero", "mean", "zero noisy", "mean noisy"]
    for part in run.parts:
        assert part.grades.convention == CONVENTIONS[part.convention]
        n_rows = {network.n_rows for network in part.grades.networks}
        assert n_rows == ({20} if "noisy" in part.convention else {4})


# in a folder


def test_the_folder_has_every_number(tmp_path, undisturbed):
    """The lots read back are the exam itself; grades.json has the boards' numbers, and JSON's own
    null where there is none; every file is known for the package's own.
    """
    folder = tmp_path / "exam"
    run = run_exam(folder, **SETTINGS)
    same(run.frame(), undisturbed.frame())
    same(read_exam(folder).frame(), undisturbed.frame())
    same(read_exam(folder).board(), undisturbed.board())
    content = json.loads((folder / "grades.json").read_text(encoding="utf-8"))
    assert content["n_networks"] == 5
    for part in content["parts"]:
        board = undisturbed.part(part["task"], "zero").grades.board().set_index("method")
        assert [line["method"] for line in part["board"]] == board.index.tolist()
        for line in part["board"]:
            for name in ("size", "size_low", "finds_minimum", "cmd", "forwards"):
                expected = board.loc[line["method"], name]
                if np.isnan(expected):
                    assert line[name] is None
                else:
                    assert line[name] == pytest.approx(expected)
        assert len(part["networks"]) == len(part["truth"]) == 5
    files = [folder / "_plan.json", folder / "grades.json", *lots(folder)]
    assert {mark_of(file) for file in files} == {EXAM_MARK}
    assert len(lots(folder)) == 2 * 3
    assert sorted(file.name for file in folder.iterdir()) == ["_plan.json", "grades.json", "lots"]


class _Stop(KeyboardInterrupt):
    """Ctrl-C at a certain network."""


def stop_at(monkeypatch, number):
    """The grading of the network of this number, over all parts, is interrupted."""
    asked = []

    def graded(*arguments, **settings):
        asked.append(1)
        if len(asked) == number:
            raise _Stop
        return grade(*arguments, **settings)

    monkeypatch.setattr("xor_mi.exam._run.grade", graded)
    return asked


def test_a_stopped_exam_goes_on_where_it_was(tmp_path, monkeypatch, undisturbed):
    """Stopped at the eighth of ten networks, seven are graded, six of them in full lots; the second
    run says so, grades three, leaves the lots as they are, and ends with the same numbers.
    """
    folder = tmp_path / "exam"
    stop_at(monkeypatch, 8)
    with pytest.raises(KeyboardInterrupt):
        run_exam(folder, **SETTINGS)
    # five of the first task (2, 2, 1), two of the second
    assert len(lots(folder)) == 4
    before = {file: file.stat().st_mtime_ns for file in lots(folder)}
    asked = stop_at(monkeypatch, 0)
    said = []
    run = run_exam(folder, **SETTINGS, say=said.append)
    assert said == [f"continuing in '{folder}': 7 of 10 networks are graded already"]
    assert len(asked) == 3
    same(run.frame(), undisturbed.frame())
    assert {file: file.stat().st_mtime_ns for file in before} == before
    finished = run_exam(folder, **SETTINGS)
    assert len(asked) == 3
    same(finished.frame(), undisturbed.frame())


KILLED = """
import os, signal, sys
from xor_mi.exam import _run
whole = _run.grade
asked = []
def grade(*arguments, **settings):
    asked.append(1)
    if len(asked) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*arguments, **settings)
_run.grade = grade
_run.NETWORKS_OF_A_LOT = 2
_run.run_exam(sys.argv[1], tasks=["planted gates relu", "planted copies tanh"],
    methods=["magnitude", "random", "greedy_removal_once"], n_networks=5, progress=False)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_exam_goes_on_too(tmp_path, undisturbed):
    """Killed at the fourth network: one lot of two is there, and the lock holds nobody up."""
    folder = tmp_path / "exam"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(lots(folder)) == 1
    assert (folder / ".exam.lock").exists()
    same(run_exam(folder, **SETTINGS).frame(), undisturbed.frame())


def test_an_exam_is_extended_and_not_shortened(tmp_path, undisturbed):
    """Three networks, then five: the lots of the three stay byte for byte."""
    folder = tmp_path / "exam"
    run_exam(folder, **SETTINGS | {"n_networks": 3})
    before = {file: file.read_bytes() for file in lots(folder)}
    same(run_exam(folder, **SETTINGS).frame(), undisturbed.frame())
    assert {file: file.read_bytes() for file in before} == before
    with pytest.raises(XorMiError, match=r"another exam \(n_networks: 5 there, 4 asked\)"):
        run_exam(folder, **SETTINGS | {"n_networks": 4})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "seed: 0 there, 1 asked"),
        ({"methods": ["random"]}, "methods: .* there, .'random'. asked"),
        ({"tasks": TASKS[:1]}, "tasks: .* there, .'planted gates relu'. asked"),
        ({"conventions": "mean"}, "conventions: .'zero'. there, .'mean'. asked"),
    ],
)
def test_other_settings_are_refused_in_one_sentence(tmp_path, other, message):
    """And nothing there is changed."""
    folder = tmp_path / "exam"
    run_exam(folder, **SETTINGS)
    before = {file: file.read_bytes() for file in folder.rglob("*.json")}
    with pytest.raises(XorMiError, match=f"holds another exam .*{message}.*choose another folder"):
        run_exam(folder, **SETTINGS | other)
    assert {file: file.read_bytes() for file in folder.rglob("*.json")} == before


def test_other_versions_are_another_exam(tmp_path, monkeypatch):
    """Their numbers may differ, so they do not come into one folder."""
    folder = tmp_path / "exam"
    run_exam(folder, **SETTINGS)
    monkeypatch.setattr("xor_mi.exam._run.versions_here", lambda: {"xor-mi": "9.9"})
    with pytest.raises(XorMiError, match=r"xor-mi: .* there, '9\.9' asked"):
        run_exam(folder, **SETTINGS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:50], "cannot be read"),
        (
            lambda content: content.replace('"first": 0', '"first": 99'),
            "does not have the networks",
        ),
        (lambda content: content.replace('"method": "random"', '"method": 5', 1), "cannot be read"),
        (lambda _: "[]", "is not a lot that xor-mi wrote"),
    ],
)
def test_a_damaged_lot_is_named_and_made_anew_where_that_is_asked(
    tmp_path, undisturbed, damage, message
):
    """Nothing is graded over it without `overwrite`."""
    folder = tmp_path / "exam"
    run_exam(folder, **SETTINGS)
    first = lots(folder)[0]
    first.write_text(damage(first.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(XorMiError, match=f"{re.escape(first.name)}|did not write"):
        run_exam(folder, **SETTINGS)
    with pytest.raises(XorMiError, match=message):
        read_exam(folder)
    same(run_exam(folder, **SETTINGS, overwrite=True).frame(), undisturbed.frame())
    same(read_exam(folder).frame(), undisturbed.frame())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_lot_of_another_exam_is_never_written_over(tmp_path, overwrite):
    """Neither where its plan is gone; it stays byte for byte."""
    folder = tmp_path / "exam"
    run_exam(folder, **SETTINGS)
    (folder / "_plan.json").unlink()
    before = {file: file.read_bytes() for file in lots(folder)}
    with pytest.raises(XorMiError, match=r"is of another exam \(seed: 0 there, 7 asked\)"):
        run_exam(folder, **SETTINGS | {"seed": 7}, overwrite=overwrite)
    assert {file: file.read_bytes() for file in lots(folder)} == before


def test_two_tasks_with_one_name_in_files_are_refused(tmp_path):
    """The lots of one would be written over those of the other."""
    named = [replace(task("XOR 2-2-1 relu"), name=name) for name in ("My task", "my-task")]
    assert len(run_exam(tasks=named, methods="magnitude", n_networks=1, progress=False)) == 2
    with pytest.raises(XorMiError, match="'My task' and 'my-task' have the same file name"):
        run_exam(tmp_path / "exam", tasks=named, methods="magnitude", n_networks=1, progress=False)
    assert not (tmp_path / "exam").exists()


def test_a_network_in_two_lots_is_refused(tmp_path):
    """A copy of a lot under another name would count twice."""
    folder = tmp_path / "exam"
    run_exam(folder, **SETTINGS)
    first = lots(folder)[0]
    second = first.with_name(first.name.replace("000000-", "000001-"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(XorMiError, match="in two lots; remove one of them"):
        run_exam(folder, **SETTINGS)


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": "xor_mi.exam/1", "tasks": 3}'])
def test_a_damaged_plan_is_refused(tmp_path, content):
    """Also one that is nobody's."""
    folder = tmp_path / "exam"
    run_exam(folder, **SETTINGS)
    (folder / "_plan.json").write_text(content, encoding="utf-8")
    with pytest.raises(XorMiError, match="_plan.json"):
        run_exam(folder, **SETTINGS)


def test_what_others_wrote_stays(tmp_path):
    """A folder with a file of somebody else's is refused before anything is graded."""
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(XorMiError, match=r"mine\.txt, which xor-mi did not write"):
        run_exam(tmp_path, **SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    run_exam(tmp_path, **SETTINGS, overwrite=True)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_one_process_at_a_time(tmp_path):
    """The second is told who works there."""
    folder = tmp_path / "exam"
    folder.mkdir()
    with (
        working_alone(folder, ".exam.lock", doing="an exam"),
        pytest.raises(XorMiError, match="runs an exam there"),
    ):
        run_exam(folder, **SETTINGS)


def test_a_folder_without_an_exam_cannot_be_read(tmp_path):
    """Neither can one that is not there."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(XorMiError, match="holds no exam"):
            read_exam(folder)


# the command

ASKED = ["--tasks", ",".join(TASKS), "--methods", "magnitude, random", "--networks", "3"]


def test_the_command_prints_the_board(capsys, monkeypatch):
    """No folder: a table of each task in eighty columns, with the means of the frame."""
    status, out, err = run_main(capsys, monkeypatch, "exam", *ASKED, "--no-progress")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    run = run_exam(tasks=TASKS, methods=["magnitude", "random"], n_networks=3, progress=False)
    of_task = out.split("planted ")[1:]
    assert [text.splitlines()[0] for text in of_task] == [
        "gates relu, zero: 3 networks",
        "copies tanh, zero: 3 networks",
    ]
    for text, part in zip(of_task, run.parts, strict=True):
        for method in ("magnitude", "random"):
            (line,) = [line for line in text.splitlines() if line.startswith(f"{method} ")]
            mean = np.mean([one.values["size"] for one in part.grades.of(method)])
            chance = np.mean([one.chance["size"] for one in part.grades.of(method)])
            assert line.split()[1] == f"{mean:.2f}"
            assert f"{chance:.2f}" in line.split()


def test_the_command_writes_and_goes_on(tmp_path, capsys, monkeypatch):
    """With a folder the page is written; the same command says what is there already, and another
    is refused with status 2.
    """
    folder = tmp_path / "exam"
    command = ["exam", *ASKED, "--out", str(folder), "--no-progress"]
    status, out, _ = run_main(capsys, monkeypatch, *command)
    assert status == 0
    assert f"Written: {folder / 'index.html'}" in " ".join(out.split())
    assert mark_of(folder / "index.html") == EXAM_MARK
    status, out, _ = run_main(capsys, monkeypatch, *command)
    assert status == 0
    assert " ".join(out.split()).startswith(
        f"continuing in '{folder}': 6 of 6 networks are graded already "
    )
    status, out, err = run_main(capsys, monkeypatch, *command, "--seed", "4")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "holds another exam (seed: 0 there, 4 asked)" in err


def test_noise_and_both_ablations_are_asked_by_name(capsys, monkeypatch):
    """Two conventions of one task."""
    asked = ["exam", "--tasks", TASKS[0], "--methods", "magnitude", "--networks", "1"]
    _, out, _ = run_main(capsys, monkeypatch, *asked, "--ablation", "both", "--noisy")
    headings = re.findall(r"^planted.*: ", out, flags=re.MULTILINE)
    assert headings == ["planted gates relu, zero noisy: ", "planted gates relu, mean noisy: "]


def test_the_list_names_all_tasks_and_methods(capsys, monkeypatch):
    """Each on a line of its own, and nothing is graded."""
    monkeypatch.setattr("xor_mi.exam._run.grade", lambda *_, **__: pytest.fail("it was graded"))
    status, out, _ = run_main(capsys, monkeypatch, "exam", "--list")
    assert status == 0
    lines = [line.strip() for line in out.splitlines()]
    for name in [*tasks(), *METHODS]:
        assert sum(line.startswith(f"{name}  ") for line in lines) == 1, name


def test_ctrl_c_says_that_what_is_done_is_kept(tmp_path, capsys, monkeypatch):
    """Status 130; without a folder there is nothing to keep."""
    stop_at(monkeypatch, 4)
    folder = str(tmp_path / "exam")
    status, _, err = run_main(capsys, monkeypatch, "exam", *ASKED, "--out", folder)
    assert status == 130
    assert err.splitlines()[-1] == (
        f"xor-mi: stopped; the files in '{folder}' are kept; repeat the command to resume"
    )
    stop_at(monkeypatch, 1)
    status, _, err = run_main(capsys, monkeypatch, "exam", *ASKED)
    assert (status, err.splitlines()[-1]) == (130, "xor-mi: stopped")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "XOR"], "no task 'XOR'; the exam has: "),
        (["--tasks", "planted gates rely"], "did you mean 'planted gates relu'?"),
        (["--tasks", TASKS[0], "--tasks", TASKS[0]], "is asked for twice"),
        (["--tasks", "planted gates relu,"], "--tasks has an empty name"),
        (["--methods", "magnitud"], "did you mean 'magnitude'?"),
        (["--methods", "random,random"], "two methods are called random"),
        (["--networks", "0"], "--networks is 0; give 1 or more"),
        (["--networks", "many"], "Invalid value for '--networks'"),
        (["--ablation", "resample"], "--ablation is 'resample'; give zero, mean or both"),
        (["--seed", "-1"], "--seed must be a whole number of at least 0"),
        (["--out", ""], "--out is empty"),
        (["--out", "{tmp}/file/inside"], "cannot write '"),
        (["--out", "/proc/nowhere"], "cannot write '"),
        (["--out", "{tmp}"], "which xor-mi did not write"),
        (["--tsks", "XOR"], "--tasks"),
    ],
)
def test_every_mistake_is_one_line_and_status_2(tmp_path, capsys, monkeypatch, arguments, message):
    """No traceback, nothing graded: the line names what was wrong."""
    monkeypatch.setattr("xor_mi.exam._run.grade", lambda *_, **__: pytest.fail("it was graded"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    asked = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    status, _, err = run_main(capsys, monkeypatch, "exam", *asked)
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert err.startswith("xor-mi: ")
    assert message in err


# the board as text


def test_the_board_keeps_to_its_width_and_says_what_is_missing():
    """A long name goes on in the next line, columns that do not fit follow below; a method without a
    grade has a line with its whole reason.
    """

    def of_a_very_long_name_that_no_column_has_room_for(problem):
        return [1.0] * len(problem.edges)

    def breaks(problem):
        raise RuntimeError("out of order " * 20)

    networks = task(TASKS[1]).networks(3, progress=False)
    methods = [of_a_very_long_name_that_no_column_has_room_for, breaks]
    grades = grade(methods, networks, progress=False)
    wide, narrow = board_text(grades), board_text(grades, width=60)
    assert max(map(len, wide.splitlines())) <= 100
    assert max(map(len, narrow.splitlines())) <= 60
    assert wide.splitlines()[0].split("  ")[0] == "scores over edges"
    assert "forwards" in wide
    assert "forwards" in narrow
    assert set(re.findall(r"\d\S*", narrow)) == set(re.findall(r"\d\S*", wide))
    for text in (wide, narrow):
        whole = " ".join(text.split())
        assert (
            f"breaks: no grade on 3 of 3 networks: RuntimeError: {'out of order ' * 20}"
            in whole + " "
        )
    with pytest.raises(XorMiError, match="width must be a whole number of at least 40"):
        board_text(grades, width=20)
