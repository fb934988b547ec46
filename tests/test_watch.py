"""What is said while a network trains is what the trajectory, identified at every step, says after
it.
"""

import pytest
from test_report_cli import run_main

from xor_mi import train, trajectory
from xor_mi.population import watch
from xor_mi.saving import MODEL_MARK, TRAJECTORY_MARK, mark_of

pytestmark = pytest.mark.as_a_user

QUIET = {"progress": False}
ASKED = {
    "at once": {"target": "XOR", "seed": 29, "max_steps": 70},
    "lost and won again": {"target": "XOR", "seed": 9, "hidden": 3, "max_steps": 50},
    "units die": {"target": "XOR", "seed": 0, "max_steps": 30},
    "two layers": {"target": "XOR", "seed": 4, "hidden": (3, 3), "max_steps": 60},
    "tanh": {"target": "AND", "seed": 3, "act_fn": "tanh", "lr": 0.2, "max_steps": 60},
    "some rows": {"target": "OR", "seed": 1, "rows": ["00", "01", "10"], "lr": 0.1},
}


def told_by(moments, trained):
    """The lines that plain comparison of each step with the one before it gives."""
    lines = []
    n_rows = 4
    happened = set()
    for number, moment in enumerate(moments):
        before = moments[number - 1] if number else None
        at = f"step {moment.step}: "
        if trained is not None and moment.n_trained_right == trained and "fit" not in happened:
            happened.add("fit")
            lines.append(at + "every row trained on is decided right")
        is_solved = moment.n_rows_right == n_rows
        was_solved = before is not None and before.n_rows_right == n_rows
        if is_solved and not was_solved:
            again = " again" if "solved" in happened else ""
            happened.add("solved")
            lines.append(at + f"every row is decided right{again}")
        if was_solved and not is_solved:
            right = f"{moment.n_rows_right} of {n_rows} rows right"
            lines.append(at + f"a row is decided wrong again ({right}), so there is no circuit")
        for unit, now in enumerate(moment.gates):
            was = before.gates[unit] if before else ""
            name = f"h{unit // 3}.{unit % 3}" if len(moment.gates) == 6 else f"h0.{unit}"
            if moment.dead[unit] != (before.dead[unit] if before else False):
                lines.append((at, name, moment.dead[unit]))
            if was == now or (was_solved and not is_solved):
                continue
            acts = "is idle: no output depends on it" if now == "idle" else f"acts as {now}"
            if not now:
                acts = f"is no longer read as a gate: there is no circuit (it was {was})"
            elif was:
                acts = f"now {acts} (it was {was})"
            lines.append(f"{at}{name} {acts}")
    return lines


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_every_line_is_what_the_trajectory_has_at_that_step(asked):
    """Line for line: rows that come right and are lost, units that die and come back, and every
    change of reading, the last one at the step of that event; nothing else is said but how far
    training is.
    """
    said = []
    result = watch(**asked, say=said.append)
    n_steps = result.steps
    exact = trajectory(**asked, checkpoints=range(n_steps + 1), every_step=True, **QUIET)
    trained = len(asked["rows"]) if "rows" in asked else None
    expected = told_by(exact.moments, trained)
    events = [line for line in said[1:-1] if "loss" not in line]
    assert len(events) == len(expected)
    for line in expected:
        if isinstance(line, str):
            assert line in events
            continue
        step, unit, is_dead = line
        words = ("died: it ", "is dead from the start: it ") if is_dead else ("varies again (",)
        assert any(one.startswith(f"{step}{unit} {word}") for one in events for word in words)
    for event in exact.happened:
        if event.event == "reading_last_changes":
            own = [line for line in said if f": {event.unit} " in line and "acts as" in line]
            assert own[-1].startswith(f"step {event.step}: {event.unit} ")
            assert f"acts as {event.after}" in own[-1]
    assert said[0].startswith("step 0: loss ")
    assert said[-1].startswith(f"step {n_steps}: training is over")


def test_it_trains_the_network_that_train_gives():
    """Bit for bit, watched or not; where nothing happens for long a line says so."""
    said = []
    watched = watch("XOR", 0, max_steps=260, say=said.append)
    alone = train("XOR", seed=0, max_steps=260, **QUIET)
    assert watched.loss_history == alone.loss_history
    assert watched.model.fc1.weight.tolist() == alone.model.fc1.weight.tolist()
    silent = [int(line.split()[1].rstrip(":")) for line in said if " loss " in line]
    assert silent == [0, 104, 208]


def test_what_goes_wrong_in_saying_is_raised():
    """Not swallowed with the warning that a failing callback of `train` gets."""

    def closed(line):
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError, match="step 0"):
        watch("XOR", 29, max_steps=5, say=closed)


def test_the_command_says_it_and_writes_the_page(tmp_path, capsys, monkeypatch):
    """Events, what became of each unit, the circuit, and where the page is; with --no-page nothing
    is written.
    """
    out = tmp_path / "run"
    status, printed, err = run_main(capsys, monkeypatch, "watch", "--out", str(out))
    assert (status, err) == (0, "")
    lines = printed.splitlines()
    first = lines.index("step 60: every row is decided right")
    assert lines[first + 1 : first + 3] == ["step 60: h0.0 acts as OR", "step 60: h0.1 acts as AND"]
    assert any(line.startswith("  h0.1 acts as AND from step 60 on") for line in lines)
    assert "identified: exactly one circuit passes joint interchange" in printed
    # a sentence that is longer than a line goes on in the next one
    assert f"Written: {out / 'index.html'}" in " ".join(map(str.strip, lines))
    marks = {path.name: mark_of(path) for path in out.iterdir()}
    assert marks == {
        **dict.fromkeys(("config.json", "model.safetensors"), MODEL_MARK),
        **dict.fromkeys(("index.html", "events.csv", "trajectory.csv"), TRAJECTORY_MARK),
    }
    monkeypatch.chdir(tmp_path)
    asked = ("watch", "AND", "--seed", "1", "--steps", "30", "--hidden", "3", "--no-page")
    status, printed, _ = run_main(capsys, monkeypatch, *asked)
    assert status == 0
    assert "training is over" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "asked",
    [
        ("watch", "a ^ "),
        ("watch", "XORR", "--out", "a/b"),
        ("watch", "--inputs", "40"),
        ("watch", "--lr", "1e30", "--optimizer", "sgd"),
        ("watch", "--steps", "0"),
        ("tour", "--loss", "ace"),
        ("tour", "--levels", "1,1"),
        ("tour", "--levels", "1e200,1e300", "--out", "a/b"),
        ("census", "--target", "a ^ "),
        ("census", "--networks", "0"),
        ("exam", "--tasks", "x", "--out", "e"),
        ("search", "nowhere", "--out", "x.json"),
    ],
)
def test_a_refused_command_leaves_no_folder(tmp_path, capsys, monkeypatch, asked):
    """Whatever the mistake, the place is as empty as before."""
    monkeypatch.chdir(tmp_path)
    status, _, _ = run_main(capsys, monkeypatch, *asked)
    assert status == 2
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("command", ["watch", "tour"])
def test_ctrl_c_in_training_leaves_no_folder(tmp_path, capsys, monkeypatch, command):
    """Nothing is written, so no folder either; one that was there stays."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    name = "xor_mi.population.watch" if command == "watch" else "xor_mi.training.train"
    monkeypatch.setattr(name, interrupted)
    status, _, _ = run_main(capsys, monkeypatch, command, "--out", "a/b")
    assert (status, [*tmp_path.iterdir()]) == (130, [])
    (tmp_path / "a").mkdir()
    status, _, _ = run_main(capsys, monkeypatch, command, "--out", "a/b")
    assert (status, [*tmp_path.rglob("*")]) == (130, [tmp_path / "a"])


def test_ctrl_c_after_training_keeps_the_network(tmp_path, capsys, monkeypatch):
    """Stopped while it is analysed: the line says what is kept, and it is."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("xor_mi.population.trajectory", interrupted)
    out = tmp_path / "run"
    status, _, err = run_main(capsys, monkeypatch, "watch", "--steps", "5", "--out", str(out))
    assert status == 130
    assert err == f"xor-mi: stopped; the trained network is kept in '{out}', without a page\n"
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors"}


def test_rows_may_be_walked_through_but_once():
    """What is said is the same for a list and for a generator."""
    rows, said = ["00", "01"], []
    for given in (rows, (row for row in rows)):
        said.append([])
        watch("XOR", 1, rows=given, max_steps=20, say=said[-1].append)
    assert "nan" not in said[0][0]
    assert said[0] == said[1]
