"""The command line and what it writes: the whole path as a person runs it, and one line for every
mistake.
"""

import json
import os
import re
import subprocess
import sys
from functools import cache
from html import unescape
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from networks import xor_by_other_conventions
from pages import drawn_in, unpacked
from plotly.offline import get_plotlyjs

from xor_mi import __version__, cli, handmade, margins, plots, report
from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.handmade import from_gates
from xor_mi.interventions import patch_sweep
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.population import census
from xor_mi.progress import progress_bar
from xor_mi.report import (
    figures_of,
    find_out,
    how_common,
    render_report,
    require_writable,
    schema,
    to_dict,
    write_report,
)
from xor_mi.search import find_subcircuits
from xor_mi.training import TrainConfig, train, train_population
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

FILES = [
    "circuit.json",
    "config.json",
    "model.safetensors",
    "patching.csv",
    "report.html",
    "report.json",
]


@cache
def by_schema():
    """What holds numbers against the schema. Imported late: it takes a second that no other file's
    worker has to wait for.
    """
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


@pytest.fixture(scope="module")
def found(trained):
    """All about the trained network, found out once and only read."""
    return find_out(trained.model)


def nearly_two_ways():
    """XOR by ReLU units that come close to two circuits, of which neither is proved jointly."""
    layers = [
        ([[-2.2, 0.5], [1.9, 1.9], [-3.0, 3.0]], [2.2, -1.9, 0.0]),
        ([[-3.9, -3.7, 4.0]], [3.9]),
    ]
    return HookedMLP.from_weights(layers, target="XOR")


def with_idle_units_and_copies():
    """The textbook XOR with OR in two places, one unit that no output reads, and one that is never
    on.

    The unread one is x0 + 2 x1: 0, 2, 1, 3 on the rows, three gaps, so three gates.
    """
    layers = [
        ([[1, 1], [1, 1], [2, 2], [1, 2], [-1, -1]], [0, -1, 0, 0, -1]),
        ([[0.5, -2, 0.25, 0, 1]], [0]),
    ]
    return HookedMLP.from_weights(layers, decision_threshold=0.5, target="XOR")


def run_main(capsys, monkeypatch, *arguments):
    """The console script in this process: exit status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["xor-mi", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_the_version_is_said_at_once():
    """`python -m xor_mi --version` says the version, and loads nothing heavy for it."""
    script = (
        "import runpy, sys; sys.argv = ['xor-mi', '--version']\n"
        "try: runpy.run_module('xor_mi', run_name='__main__')\n"
        "finally: print(sorted({'torch', 'pandas', 'plotly'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == f"xor-mi {__version__}\n[]\n"
    assert run.returncode == 0


def test_tour_goes_from_training_to_a_proven_circuit(tmp_path, capsys, monkeypatch):
    """The default tour: five stations, an {OR, AND} network, how common it is, and all files;
    identify reads the model back.
    """
    status, out, _ = run_main(
        capsys, monkeypatch, "tour", "--out", str(tmp_path / "tour"), "--networks", "60"
    )
    assert status == 0
    assert [line[:2] for line in out.splitlines() if re.match(r"\d\. ", line)] == [
        "1.",
        "2.",
        "3.",
        "4.",
        "5.",
    ]
    assert "solved XOR" in out
    assert "00 and 11: the same decision" in out
    assert re.search(r"h0\.0 +OR +margin", out)
    assert re.search(r"h0\.1 +AND +margin", out)
    assert "Of 60 networks trained in the same way from seeds 0 to 59" in " ".join(out.split())
    assert sorted(path.name for path in (tmp_path / "tour").iterdir()) == FILES
    circuit = json.loads((tmp_path / "tour" / "circuit.json").read_text(encoding="utf-8"))
    assert circuit["verdict"] == "identified"
    assert circuit["readings"][0]["interchange"] == {"h0.0": 16, "h0.1": 16}
    csv = pd.read_csv(tmp_path / "tour" / "patching.csv", dtype={"clean": str, "corrupted": str})
    model = HookedMLP.from_pretrained(tmp_path / "tour")
    assert torch.allclose(
        torch.tensor(csv["patched_logit"].to_numpy()),
        patch_sweep(model).patched.T.flatten().double(),
        atol=1e-5,
    )
    status, again, _ = run_main(capsys, monkeypatch, "identify", str(tmp_path / "tour"))
    assert status == 0
    assert " ".join(again.split()).startswith(f"{circuit['verdict']}: {circuit['reason']} h0.0")
    status, other, _ = run_main(
        capsys, monkeypatch, "identify", str(tmp_path / "tour"), "--target", "AND"
    )
    assert "not computing: it does not compute AND: wrong on 01, 10, 11" in other


def test_tour_on_a_seed_that_fails_says_so(tmp_path, capsys, monkeypatch):
    """No solution: the words, the report and the JSON all say so, and no unit gets a gate. The
    verdict of the page leaves the outputs to the table under it, where what rounding alone decides
    is told from a number.
    """
    status, out, _ = run_main(
        capsys, monkeypatch, "tour", "--seed", "0", "--networks", "0", "--out", str(tmp_path)
    )
    assert status == 0
    assert "did NOT solve XOR" in out
    assert (
        "not computing: it does not compute XOR: wrong on 00, 11; it computes TRUE, by rounding"
        in " ".join(out.split())
    )
    assert "alone (y0 is 0, 0, 0, 0 on 00, 01, 10, 11; 1 above 0)" in " ".join(out.split())
    assert "not_computing" not in out
    circuit = json.loads((tmp_path / "circuit.json").read_text(encoding="utf-8"))
    assert {unit["gate"] for unit in circuit["units"]} == {None}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert circuit["verdict"] == "not_computing"
    assert "No unit is given a gate" in page
    verdict = re.search(r'<div class="verdict"><p>(.*?)</p>', page)[1]
    assert (
        verdict
        == "<strong>not computing</strong>: wrong on 00, 11. Only by rounding are decided 00, 01, 10 and 11."
    )
    headline = "It does not compute XOR: it decides 1 on every input, by rounding alone"
    assert re.search("<h1>(.*?)</h1>", page)[1] == headline
    # no weight is said to move by what is only rounding
    assert "may move least: 0.00" not in page
    assert [cells[2:4] for cells in cells_of(page, "truth-table")] == [
        ["1 by rounding", "0.000"]
    ] * 4
    # what is in the way stands in the terminal, on the page and in the numbers alike
    diagnosis = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["diagnosis"]
    by_schema().validate(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
    assert diagnosis["in_the_way"]
    for sentence in diagnosis["in_the_way"]:
        assert f"- {sentence}" in " ".join(out.split())
        assert f"<li>{sentence}.</li>" in unescape(page)
    table = diagnosis["rows"]
    assert [line["target"] for line in table] == [[0], [1], [1], [0]]
    assert [line["right"] for line in table] == [
        line["decided"] == line["target"] for line in table
    ]
    assert not all(line["right"] for line in table)
    assert 'id="wrong"' in page


def test_a_failed_tour_names_seeds_that_do_not_fail():
    """The seeds it names solve the task, and are the first that do."""
    config = TrainConfig(max_steps=300)
    population = train_population("XOR", 12, hidden=3, config=config, progress=False)
    networks = census(population, progress=False)
    failed = next(k for k, solved in enumerate(networks["solved"]) if not solved)
    said = how_common(identify_circuit(population[failed]), networks)
    seeds = [
        int(number)
        for number in re.findall(r"\d+", said.partition("the first seeds that do are")[2])
    ]
    assert (
        seeds == [k for k in range(12) if train("XOR", hidden=3, seed=k, config=config).solved][:3]
    )


def test_the_tour_of_the_readme_solves_its_task():
    """The example's seed is one that has something to show: OR and AND are found."""
    text = Path(__file__).parent.parent.joinpath("README.md").read_text(encoding="utf-8")
    seed, hidden = re.search(r"xor-mi tour --seed (\d+) --hidden (\d+)", text).groups()
    trained = train("XOR", hidden=int(hidden), seed=int(seed))
    circuit = identify_circuit(trained.model)
    assert trained.solved
    assert circuit.verdict == "identified"
    assert {"OR", "AND"} <= {unit.gate for unit in circuit.units}


def test_a_report_on_a_network_that_has_no_target(tmp_path):
    """`target=` holds it against one; the model beside the page has it, and the network given is
    as it was.
    """
    model = handmade.textbook_xor().with_target(None)
    assert model.cfg.target is None
    write_report(model, tmp_path / "as-it-is", progress=False)
    write_report(model, tmp_path / "asked", target="XNOR", progress=False)
    told = [
        json.loads((tmp_path / name / "circuit.json").read_text(encoding="utf-8"))
        for name in ("as-it-is", "asked")
    ]
    assert [circuit["verdict"] for circuit in told] == ["identified", "not_computing"]
    asked = HookedMLP.from_pretrained(tmp_path / "asked")
    assert asked.cfg.target == BooleanFunction.of("XNOR", 2)
    assert model.cfg.target is None
    assert all(map(torch.equal, asked.state_dict().values(), model.state_dict().values()))
    with pytest.raises(XorMiError, match="give it to find_out"):
        write_report(find_out(model, progress=False), tmp_path / "third", target="XOR")
    with pytest.raises(XorMiError, match="3 inputs; the network has 2"):
        write_report(model, tmp_path / "third", target=BooleanFunction.named("XOR", 3))
    with pytest.raises(XorMiError, match="give what train returns"):
        write_report(model, tmp_path / "third", training=3)
    assert not list(tmp_path.glob("third/*"))


def test_tour_on_wider_and_deeper_networks(tmp_path, capsys, monkeypatch):
    """--hidden takes one width or several."""
    status, out, _ = run_main(
        capsys,
        monkeypatch,
        "tour",
        "--hidden",
        "3,2",
        "--seed",
        "3",
        "--networks",
        "0",
        "--out",
        str(tmp_path),
    )
    assert status == 0
    assert "2-3-2-1 network" in out
    assert HookedMLP.from_pretrained(tmp_path).layer_sizes == (2, 3, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "n_others", "sizes", "says"),
    [
        (["--loss", "ce", "--levels", "-1,1"], 4, "2-2-2", "An input of -1 is bit 0, 1 is bit 1."),
        (
            ["--direct", "--hidden", "1", "--act", "tanh"],
            0,
            "2-1-1",
            "connected directly to the outputs",
        ),
    ],
)
def test_tour_of_networks_that_are_read_otherwise(
    tmp_path, capsys, monkeypatch, arguments, n_others, sizes, says
):
    """Two classes on -1/+1, and one hidden unit beside direct connections: whole, to the page."""
    how_many = ["--networks", str(n_others)]
    status, out, _ = run_main(
        capsys, monkeypatch, "tour", *arguments, "--out", str(tmp_path), *how_many
    )
    assert status == 0
    assert f"1. Train a {sizes} network on XOR" in out
    assert ("Of 4 networks trained in the same way from seeds 0 to 3" in out) == (n_others == 4)
    assert says in (tmp_path / "report.html").read_text(encoding="utf-8")
    numbers = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    by_schema().validate(numbers)
    assert numbers["layer_sizes"] == [int(size) for size in sizes.split("-")]
    assert numbers["input_levels"] == ([-1, 1] if "--levels" in arguments else [0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["identify", "{tmp}/nowhere"], "no model in"),
        (["identify", "{tmp}"], "config.json and model.safetensors missing"),
        (["identify", "{tmp}", "--target"], "requires an argument"),
        (["tour", "--out", "{tmp}/file/inside"], "cannot write '"),
        (["tour", "--out", "/proc/nowhere"], "cannot write '"),
        (["tour", "--hidden", "two"], "--hidden is 'two'"),
        (["tour", "--hidden", "0"], "--hidden is '0'"),
        (["tour", "--networks", "-1"], "--networks is -1"),
        (["tour", "--seed", "many"], "Invalid value for '--seed'"),
        (["tour", "--seed", "-3"], "seed must be a whole number of at least 0"),
        (["tour", "--seed", "99999999999999999999"], "seed"),
        (["tour", "--seed", "9223372036854775807"], "below 2^62"),
        (["tour", "--hidden", "16"], "1 to 12"),
        (["tour", "--out", ""], "--out is empty"),
        (
            ["tour", "--levels", "low,high"],
            "--levels is 'low,high'; give the numbers for bit 0 and",
        ),
        (["tour", "--levels", "1,1"], "input_levels"),
        (["tour", "--loss", "ace"], "no loss 'ace'"),
        (["tour", "--act", "rely"], "no activation 'rely'"),
        (
            ["tour", "--require", "fully"],
            "no level of proof 'fully'; levels are: substitution, single, joint",
        ),
        (["tour", "--min-margin", "2"], "min_margin is 2.0; give a fraction of a unit's range"),
        (["watch", "--out", ""], "--out is empty; give a folder"),
        (["watch", "XORR"], "XORR"),
        (["watch", "--hidden", "16"], "1 to 12"),
        (["watch", "--seed", "-3"], "--seed must be a whole number of at least 0"),
        (["watch", "--optimizer", "adm"], "no optimizer 'adm'"),
        (["watch", "--act", "rely"], "no activation 'rely'"),
        (["watch", "--lr", "0"], "lr is 0"),
        (["watch", "--steps", "0"], "max_steps must be a whole number of at least 1"),
        (["watch", "a ^ b ^ c", "--inputs", "2", "--no-page"], "n_inputs is 2"),
        (["watch", "--require", "fully"], "no level of proof 'fully'"),
        (["watch", "--out", "{tmp}"], "holds file, which xor-mi did not write"),
        (["watch", "--out", "{tmp}/file"], "cannot write"),
        (["--verzion"], "--version"),
        (["tour", "--sed", "3"], "--sed"),
        (["turn"], "turn"),
    ],
)
def test_every_mistake_is_one_line_and_status_2(tmp_path, capsys, monkeypatch, arguments, message):
    """No traceback, nothing trained: the line names what was wrong."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    status, _, err = run_main(
        capsys, monkeypatch, *[argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    )
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("xor-mi: ")
    assert message in err


@pytest.mark.parametrize(
    ("asked", "message"), [(("--require", "fully"), "fully"), (("--min-margin", "2"), "min_margin")]
)
@pytest.mark.parametrize("command", ["tour", "identify", "search"])
def test_a_requirement_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path, capsys, monkeypatch, textbook, command, asked, message
):
    """By every command that names the circuit of a network: one line, nothing printed, no folder
    made.
    """
    folder, saved = tmp_path / "run", tmp_path / "saved"
    textbook.save_pretrained(saved)
    place = ("--out", str(folder)) if command == "tour" else (str(saved),)
    status, out, err = run_main(capsys, monkeypatch, command, *place, *asked)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    assert not folder.exists()


def test_identify_says_the_other_circuits_and_how_far_they_are_proved(
    tmp_path, capsys, monkeypatch
):
    """What is required decides the verdict, never which circuits are listed: of all that survive
    substitution the first in full, the others with their levels.
    """
    close = nearly_two_ways()
    close.save_pretrained(tmp_path)
    for require, verdict in (("joint", "approximate"), ("substitution", "ambiguous")):
        circuit = identify_circuit(close, require=require, with_evidence=False)
        status, out, _ = run_main(
            capsys, monkeypatch, "identify", str(tmp_path), "--require", require
        )
        assert status == 0
        assert out.startswith(f"{verdict}: ")
        said = " ".join(out.split("Also possible")[1].split())
        listed = re.findall(r"\d\. (.*?\))", said)
        assert len(listed) == len(circuit.circuits) - 1 > 0
        first = dict(zip(circuit.circuits[0].live, circuit.circuits[0].gates, strict=True))
        for line, one in zip(listed, circuit.circuits[1:], strict=True):
            assert f"proved by {one.proof_level}" in line
            # only the units that are read otherwise are named
            here = dict(zip(one.live, one.gates, strict=True))
            differing = {unit.name for unit in {*first, *here} if first.get(unit) != here.get(unit)}
            assert set(re.findall(r"h\d\.\d", line.split(" (proved")[0])) == differing
            assert one.formula not in line
    status, out, _ = run_main(capsys, monkeypatch, "identify", str(tmp_path), "--min-margin", "1")
    assert (
        "no gate reading: it computes XOR, but min_margin=1 leaves out every circuit"
        in " ".join(out.split())
    )


@pytest.mark.parametrize("seed", ["-1", "9223372036854775807"])
def test_a_seed_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path, capsys, monkeypatch, seed
):
    """Nothing is printed of the tour, and there is no folder."""
    folder = tmp_path / "run"
    status, out, err = run_main(capsys, monkeypatch, "tour", "--seed", seed, "--out", str(folder))
    assert (status, out) == (2, "")
    assert err.startswith("xor-mi: --seed must be a whole number of at least 0 and below 2^62")
    assert not folder.exists()


def xor_mi(*arguments, **how):
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "xor_mi", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **how,
    )


def test_a_network_of_one_path_has_one_subcircuit():
    """Of 1-1-1 there is only the whole, whether it is right or not: words for one, not for many."""
    for weight, right in ((-1, True), (1, False)):
        layers = [([[weight]], [1 if right else 0]), ([[1]], [-0.5])]
        model = HookedMLP.from_weights(layers, target="~x0")
        search = find_subcircuits(model, progress=False)
        if right:
            said = report._subcircuits_said(search)
            assert said == "There is one subcircuit, the whole network: no edge can be removed."
        else:
            said = report._none_perfect(search)
            assert said == "No edge can be removed: its one set of edges is the whole network."


FULL = "xor-mi: cannot write the output: No space left on device\n"
has_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no full device"
)


@has_full_device
@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_output_that_cannot_be_written_is_one_line(argument):
    """A full disk behind standard output: said with its reason, status 2, no traceback."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = xor_mi(argument, stdout=full)
    assert (done.returncode, done.stderr) == (2, FULL)


@has_full_device
def test_a_circuit_that_cannot_be_printed_is_one_line(tmp_path, textbook, capsys, monkeypatch):
    """The same of a command that loads a network first; in this process, which has loaded torch."""
    textbook.save_pretrained(tmp_path)
    with Path("/dev/full").open("w", encoding="utf-8") as full, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", full)
        status, _, err = run_main(capsys, monkeypatch, "identify", str(tmp_path))
    assert (status, err) == (2, FULL)


@pytest.mark.skipif(sys.platform == "win32", reason="the shell of Unix")
def test_without_standard_output_a_command_is_quiet(tmp_path, textbook):
    """As a shell closes it, `>&-`: Python then has None in its place."""
    textbook.save_pretrained(tmp_path / "net")
    closed = ["sh", "-c", 'exec "$0" -m xor_mi identify "$1" >&-', sys.executable, "net"]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_standard_error_nothing_of_it_is_among_the_output(capsys, monkeypatch):
    """Neither a refusal nor a bar, which else come there; and a full disk is met without a
    standard output too.
    """
    monkeypatch.setattr(sys, "stderr", None)
    cli._say("cannot")
    assert list(progress_bar(range(3), doing="adding", unit="number")) == [0, 1, 2]
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "stdout", None)
    cli._drop_output()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close otherwise there")
def test_a_closed_pipe_is_quiet():
    """As in `xor-mi --help | head -1`: the reader has gone, and that is not an error to talk of."""
    reader, writer = os.pipe()
    os.close(reader)
    done = xor_mi("--help", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied", "locked/config.json"), "Permission denied"),
        (FileNotFoundError(2, "No such file", "locked/config.json"), "No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(capsys, monkeypatch, error, reason):
    """An OSError that names a file is not a full disk behind standard output, and no traceback."""

    def fail(**_):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    status, out, err = run_main(capsys, monkeypatch)
    assert (status, out) == (2, "")
    assert (
        err
        == f"xor-mi: cannot use 'locked/config.json': {reason}; give one that you may read and write\n"
    )


STOPPABLE = {
    "tour": (["tour", "--out", "{tmp}/out"], "xor_mi.training.train", "stopped"),
    "watch": (
        ["watch", "--out", "{tmp}/out"],
        "xor_mi.population.watch",
        "stopped; nothing is written; repeat the command to train the same network again",
    ),
    "identify": (["identify", "{tmp}"], "xor_mi.circuits.identify_circuit", "stopped"),
    "search": (["search", "{tmp}"], "xor_mi.search.compare_conventions", "stopped"),
    "census": (
        ["census", "--out", "{tmp}/c"],
        "xor_mi.population.run_census",
        "stopped; the files in",
    ),
}
"""Command -> its arguments, what Ctrl-C meets, and what is said."""


@pytest.mark.parametrize("command", STOPPABLE)
def test_ctrl_c_is_one_line_and_status_130(tmp_path, capsys, monkeypatch, textbook, command):
    """At any command, whatever it had begun."""
    textbook.save_pretrained(tmp_path)
    arguments, place, says = STOPPABLE[command]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupted)
    status, _, err = run_main(
        capsys, monkeypatch, *[word.replace("{tmp}", str(tmp_path)) for word in arguments]
    )
    assert status == 130
    assert err.startswith(f"xor-mi: {says}")
    assert len(err.splitlines()) == 1


def test_ctrl_c_that_typer_calls_an_abort_is_the_same(capsys, monkeypatch):
    """Some versions of typer turn it into an error of their own."""

    def aborted(**_):
        raise RuntimeError from KeyboardInterrupt()

    monkeypatch.setattr(cli, "app", aborted)
    assert run_main(capsys, monkeypatch) == (130, "", "xor-mi: stopped\n")


def test_h_is_help(capsys, monkeypatch):
    """Of the whole and of every command."""
    for command in ([], ["tour"], ["watch"], ["identify"], ["search"], ["census"]):
        short = run_main(capsys, monkeypatch, *command, "-h")
        assert short == run_main(capsys, monkeypatch, *command, "--help")
        assert short[0] == 0
        assert "Usage" in short[1]


def test_a_corrupted_folder_is_one_line(tmp_path, capsys, monkeypatch, textbook):
    """A broken weights file at the command line."""
    textbook.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 40)
    status, _, err = run_main(capsys, monkeypatch, "identify", str(tmp_path))
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert "cannot be read" in err


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("setting", "value"),
    [("seed", 10**40), ("decision_threshold", 10**400), ("d_hidden", [2, "x"]), ("dtype", "int64")],
)
def test_hostile_numbers_in_a_config_are_one_line(
    tmp_path, capsys, monkeypatch, textbook, setting, value
):
    """Numbers no setting can have, at the command line."""
    textbook.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {setting: value}), encoding="utf-8")
    status, _, err = run_main(capsys, monkeypatch, "identify", str(tmp_path))
    assert status == 2
    assert len(err.strip().splitlines()) == 1


def test_an_unwritable_folder_is_refused_before_training(tmp_path, capsys, monkeypatch):
    """The out folder is tried before any work is done."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    _, out, _ = run_main(capsys, monkeypatch, "tour", "--out", str(tmp_path / "file"))
    assert "Train" not in out
    with pytest.raises(XorMiError, match="choose a folder you may write to"):
        require_writable(tmp_path / "file")


def test_help_loads_no_torch():
    """`xor-mi --help` and the help of each command answer without importing anything heavy."""
    code = "import sys; sys.argv = ['xor-mi', *sys.argv[1:]]\nfrom xor_mi.cli import main\ntry: main()\nexcept SystemExit as e: print('status', e.code)\n"
    code += "print('loaded', sorted({'torch', 'transformer_lens', 'plotly', 'pandas'} & set(sys.modules)))"
    for arguments in (["--help"], ["tour", "--help"], ["identify", "--help"]):
        out = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        ).stdout
        assert "status 0" in out
        assert "loaded []" in out
        assert "tour" in out or "identify" in out


def test_the_console_script_is_installed():
    """The entry point exists and runs."""
    script = Path(sys.executable).parent / "xor-mi"
    assert (
        "identify"
        in subprocess.run(
            [str(script), "--help"], capture_output=True, text=True, check=True
        ).stdout
    )


def test_report_is_one_offline_file_with_its_numbers(trained, found):
    """Verdict in words at the top, no address to load from, no upload button, the figures inside,
    texts escaped.
    """
    figures = figures_of(found)
    page = render_report(found, figures, training=trained)
    assert (
        page.index("exactly one explanation survives")
        < page.index("<strong>identified</strong>: ")
        < page.index('id="truth-table"')
        < page.index("The network</h2>")
    )
    own = re.sub(r"<script\b.*?</script>", "", page, flags=re.S)
    assert not re.search(r"""(src|href)\s*=\s*["']https?:""", own)
    assert not re.search(r"<script[^>]+src=", page)
    assert set(drawn_in(page)) == set(figures)
    assert own.count("<figure id=") == len(figures) == 11
    assert '"showSendToCloud": false' in page
    assert unpacked(page, "plotly") == get_plotlyjs()
    assert "16 of 16" in own
    assert "h0.0 &amp; ~h0.1" in own
    anchors = re.findall(r'<a href="#([\w-]+)">', own)
    assert len(anchors) == 9
    assert all(f'id="{anchor}"' in own for anchor in anchors)


@pytest.mark.parametrize("seed", [29, 0])
def test_report_json_follows_its_schema_and_holds_the_pages_numbers(tmp_path, monkeypatch, seed):
    """Solved or not: valid JSON of the stated version; each section's key is there, and the
    figures' values are the JSON's.
    """
    result = train("XOR", seed=seed)
    result.model.save_pretrained(tmp_path)
    drawn = []

    def kept(findings):
        drawn.append(figures_of(findings))
        return drawn[-1]

    monkeypatch.setattr(report, "figures_of", kept)
    page = write_report(
        tmp_path, training=result, networks=census(train_population("XOR", 20))
    ).read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    numbers = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    by_schema().check_schema(schema())
    by_schema().validate(numbers)
    assert (numbers["version"], numbers["schema"]) == (3, schema()["$id"])
    keys = re.findall(r'data-json="(\w+)"', page)
    # a network whose outputs are the same everywhere has nothing to patch, to walk or to cut out,
    # and one that does not compute its target no circuit
    said_of_constants = {"weights", "activations", "contributions", "conditions", "slack"}
    said_of_constants |= {"moved_weight", "population", "diagnosis"}
    said_of_all = {"circuit", "comparison", "difference", "patching", "ablation", "path"}
    said_of_all |= {"subcircuits"} | said_of_constants - {"diagnosis"}
    assert sorted(keys) == sorted(said_of_all if result.solved else said_of_constants)
    assert set(keys) <= set(numbers)
    (figures,) = drawn
    assert np.allclose(
        np.array(figures["patching"].data[0].z).ravel(),
        [line["effect_logit"] for line in numbers["patching"]],
    )
    # by the bench's conditions the page's own table is for those without scripts
    held = cells_of(page, "conditions-table")
    assert [cells[:2] for cells in held] == [
        [line["row"], line["inequality"]] for line in numbers["conditions"]
    ]
    for cells, line in zip(held, numbers["conditions"], strict=True):
        holds, _, by = cells[2].partition(" by ")
        assert (holds == "holds") == (line["slack"] > 0)
        size = 0.0 if by == "rounding" else float(by)
        assert size == pytest.approx(abs(line["slack"]), abs=0.006)
    with torch.no_grad():
        ends = result.model(result.model.rows(["00", "11"])).ravel().tolist()
    assert [numbers["path"]["slider"][k]["values"]["y0"] for k in (0, -1)] == pytest.approx(
        ends, abs=1e-5
    )
    assert sum("(as it is)" in frame["label"] for frame in numbers["moved_weight"]) == 1
    assert numbers["population"]["n_solved"] <= numbers["population"]["n_networks"] == 20
    assert numbers["population"]["engine"] in ("torch", "numba")


def test_report_json_holds_the_moved_weight_of_the_finding(trained, found):
    """Written from `WeightSweep` and `InputPath`: each step's slack is that of the edited network's
    conditions, each point's values are a plain forward's.
    """
    numbers = to_dict(found)
    sweep = found.moved_weight
    assert len(numbers["moved_weight"]) == len(sweep) >= 25
    for value, step in zip(sweep.values, numbers["moved_weight"], strict=True):
        edited = handmade.edit(trained.model, {sweep.parameter: value})
        assert list(step["values"].values()) == [c.slack for c in margins.conditions(edited)]
    with torch.no_grad():
        outputs = trained.model(found.slider_path.inputs.float()).ravel().tolist()
    assert [step["values"]["y0"] for step in numbers["path"]["slider"]] == pytest.approx(
        outputs, abs=1e-4
    )


def test_a_broken_report_json_is_refused_by_the_schema(found):
    """The guard can fail: a missing key, another version, a verdict that does not exist, a circuit
    without its level of proof.
    """
    from jsonschema import ValidationError

    good = json.loads(json.dumps(to_dict(found)))
    by_schema().validate(good)
    for bad in (
        {key: good[key] for key in good if key != "slack"},
        good | {"version": 2},
        good | {"circuit": good["circuit"] | {"verdict": "yes"}},
        good
        | {
            "circuit": {
                key: good["circuit"][key] for key in good["circuit"] if key != "proof_level"
            }
        },
    ):
        with pytest.raises(ValidationError):
            by_schema().validate(bad)


def cells_of(page, table):
    """The cells of a table of the page, line by line, as a reader sees them."""
    body = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', page, flags=re.S)[1]
    lines = re.findall(r"<tr.*?</tr>", body, flags=re.S)
    cells = [re.findall(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", line) for line in lines]
    return [[unescape(re.sub(r"<[^>]+>", "", cell)) for cell in line] for line in cells]


def test_a_report_of_an_approximate_network_says_what_contradicts_it(tmp_path):
    """The page has every circuit that survives, with its level; the interchange that it says comes
    out otherwise does so in NumPy, and report.json has the same.
    """
    model = nearly_two_ways()
    page = write_report(model, tmp_path).read_text(encoding="utf-8")
    numbers = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    by_schema().validate(numbers)
    circuit = numbers["circuit"]
    assert (circuit["verdict"], circuit["require"], circuit["n_passing"]) == (
        "approximate",
        "joint",
        0,
    )
    assert "no explanation survives every test required" in page
    # the counts are those of the page
    n = circuit["n_circuits"]
    assert (
        f"{n} circuits survive two-level substitution, with margins of at least 0.01; none" in page
    )
    listed = cells_of(page, "circuits")
    assert len(listed) == len(circuit["circuits"]) == n > 1
    for number, (cells, one) in enumerate(zip(listed, circuit["circuits"], strict=True), start=1):
        single = f"{one['single']['n_right']} of {one['single']['n']}"
        assert cells[:2] == [str(number), one["formula"]]
        assert cells[3:5] == [one["proof_level"], single]
        assert one["proof_level"] != "joint"
    # the interchange in NumPy: every variable from its source, the rest of the layer as on the base
    facts = circuit["contradiction"]
    hidden = relu_by_row(model)
    values = np.zeros(3) if facts["base"] is None else hidden[facts["base"]].copy()
    for names, source in zip(facts["variables"], facts["sources"], strict=True):
        for name in names:
            values[int(name[-1])] = hidden[source][int(name[-1])]
    decided = int((np.array([-3.9, -3.7, 4.0]) @ values + 3.9).item() > 0)
    assert [decided] == facts["decided"] != facts["predicted"]
    (cells,) = cells_of(page, "contradiction")
    assert cells[-2:] == [str(facts["predicted"][0]), str(decided)]
    assert all(
        f"{names[0]} as on {source}" in cells[1]
        for names, source in zip(facts["variables"], facts["sources"], strict=True)
    )


def relu_by_row(model):
    """Row -> its hidden values, by NumPy."""
    weight, bias = (tensor.numpy() for tensor in model.float64_layers()[0])
    rows = [f"{a}{b}" for a in (0, 1) for b in (0, 1)]
    return {row: np.maximum(weight @ [int(bit) for bit in row] + bias, 0) for row in rows}


def test_a_report_says_which_units_are_idle_and_which_are_copies(tmp_path):
    """A unit that no output reads, with the gate of each of its gaps; a dead one; the copies: on the
    page and in report.json, and none of them keeps the circuit from being the only one.
    """
    model = with_idle_units_and_copies()
    page = write_report(model, tmp_path).read_text(encoding="utf-8")
    numbers = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    by_schema().validate(numbers)
    circuit = numbers["circuit"]
    assert (circuit["verdict"], circuit["proof_level"], circuit["n_circuits"]) == (
        "identified",
        "joint",
        1,
    )
    could_be = {unit["unit"]: unit["could_be"] for unit in circuit["units"] if unit["idle"]}
    assert could_be == {"h0.3": ["AND", "OR", "x1"], "h0.4": ["FALSE"]}
    assert circuit["copies"] == [["h0.0", "h0.2"]]
    assert re.findall(r"<li>(h0.*?)</li>", page) == [
        "h0.3: AND, OR or x1",
        "h0.0 and h0.2",
    ]
    assert "it is proved by joint interchange, which is required" in page
    acts_as = {cells[0]: cells[1] for cells in cells_of(page, "units")}
    assert acts_as == {"h0.0": "OR", "h0.1": "AND", "h0.2": "OR", "h0.3": "idle", "h0.4": "dead"}
    assert 'id="circuits"' not in page
    assert 'id="contradiction"' not in page


def test_a_report_says_what_tells_ambiguous_circuits_apart(tmp_path):
    """Where less is required several circuits count: one line for each further one, as the circuit
    says it; the network's moved weight is held against the same requirement.
    """
    model = nearly_two_ways()
    findings = find_out(model, require="substitution", min_margin=0.0)
    page = write_report(findings, tmp_path).read_text(encoding="utf-8")
    circuit = identify_circuit(model, require="substitution", min_margin=0.0)
    assert circuit.verdict == "ambiguous"
    assert "several explanations survive every test required" in page
    lines = re.search(r'<ul id="differences">(.*?)</ul>', page, flags=re.S)[1]
    said = [unescape(line) for line in re.findall(r"<li>(.*?)</li>", lines)]
    assert said == [f"{one}." for one in circuit.differences]
    assert len(said) == len(circuit.circuits) - 1
    assert {(one.require, one.min_margin) for one in findings.moved_circuits} == {
        ("substitution", 0.0)
    }


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere-at-all", "out"), "no model in"),
        ((3, "out"), "not int"),
        ((handmade.textbook_xor(),), "directory is not given"),
    ],
)
def test_a_report_of_nothing_is_refused(tmp_path, monkeypatch, arguments, message):
    """No model, something else, nowhere to write."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(XorMiError, match=message):
        write_report(*arguments)


def test_too_large_for_conditions_is_left_out(tmp_path):
    """73 parameters: no conditions, no slack, no subcircuits; the JSON says null and is valid."""
    model = HookedMLP(HookedMLPConfig(4, (12,), 1, target="x0 & x1"))
    page = write_report(model, tmp_path).read_text(encoding="utf-8")
    numbers = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    by_schema().validate(numbers)
    assert [numbers[key] for key in ("conditions", "slack", "moved_weight", "subcircuits")] == [
        None
    ] * 4
    assert 'id="conditions"' not in page
    why = "the network has 73 weights and 16 decisions; a report examines at most 64 of each"
    assert f"<li>slack, moved weight, conditions, subcircuits: {why}.</li>" in page


def test_weights_that_only_rounding_flips_are_not_shown_moving():
    """Two hidden units cancel and y0 is 1e-8 on every row: each weight, moved by as little, flips
    rows, and none flips one farther on.
    """
    hidden = ([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0])
    model = HookedMLP.from_weights([hidden, ([[1.0, -1.0]], [1e-8])], target="XOR")
    findings = find_out(model, progress=False)
    assert [weight.slack for weight in findings.slack] == [inf] * 9
    figures = figures_of(findings)
    assert findings.moved_weight is None
    assert "weight_slider" not in figures
    assert figures["slack"].layout.title.text.replace("<br>", " ") == (
        "Each weight may move alone as far as it likes: no decision changes, except by rounding"
    )
    page = render_report(findings, figures)
    said = "No weight moved alone changes a decision except by rounding"
    assert f"<p>{said}, so none is shown moving.</p>" in page


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("argmax", "An input of 0 is bit 0, 1 is bit 1. Hidden units: relu. Decided 1: class 1 wins, that is, y1 is larger than y0."),
        ("steps", "Hidden units: heaviside. A step at exactly zero is on. Decided 1: an output above 0."),
        ("direct", "Hidden units: relu. The inputs are also connected directly to the outputs."),
        ("mixed", "Hidden units: relu in layer 0, tanh in layer 1."),
    ],
)  # fmt: skip
def test_a_report_says_by_which_conventions_the_network_is_read(
    tmp_path, capsys, monkeypatch, name, sentence
):
    """Each runs whole; the page says how its numbers are read and why a section is missing, the
    JSON is valid and has the network's own settings and direct weights.
    """
    model = xor_by_other_conventions(name)
    page = write_report(model, tmp_path).read_text(encoding="utf-8")
    assert sentence in page
    numbers = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    by_schema().validate(numbers)
    cfg = model.cfg
    assert numbers["input_levels"] == list(cfg.input_levels)
    assert (numbers["decision_rule"], numbers["step_at_zero"]) == (
        cfg.decision_rule,
        cfg.step_at_zero,
    )
    assert numbers["threshold"] == (None if name == "argmax" else 0)
    assert numbers["act_fns"] == list(cfg.act_fns)
    assert numbers["act_fn"] == (None if name == "mixed" else cfg.act_fns[0])
    assert numbers["direct"] == ([[1.0, 1.0]] if name == "direct" else None)
    assert [np.shape(layer["weight"]) for layer in numbers["weights"]] == [
        tuple(linear.weight.shape) for linear in model.linears
    ]
    missing = ("conditions", "slack", "moved_weight", "subcircuits")
    assert set(numbers["left_out"]) == {key for key in missing if numbers[key] is None}
    assert all(why in page for why in map(str.strip, numbers["left_out"].values()))
    assert ("What was left out" in page) == bool(numbers["left_out"])
    logits = [line["patched_logit"] for line in numbers["patching"]]
    assert logits == pytest.approx(patch_sweep(model).patched.T.flatten().tolist())
    code, out, _ = run_main(capsys, monkeypatch, "identify", str(tmp_path))
    assert (code, "identified" in out or "ambiguous" in out) == (0, True)


def test_a_report_of_several_decisions_by_argmax(tmp_path):
    """Three classes: one logit each, an output less the largest other one."""
    layers = [(np.eye(2), np.zeros(2)), ([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]], [0.5, 0.0, -1.5])]
    target = BooleanFunction(2, ((1, 0, 0, 0), (0, 1, 1, 0), (0, 0, 0, 1)))
    model = HookedMLP.from_weights(layers, decision_rule="argmax", target=target)
    page = write_report(model, tmp_path).read_text(encoding="utf-8")
    assert "Decided 1: the output that is larger than all others." in page
    numbers = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    by_schema().validate(numbers)
    by_hand = patch_sweep(model, output=2).patched.T.flatten().tolist()
    assert [line["patched_logit_y2"] for line in numbers["patching"]] == pytest.approx(by_hand)


def test_a_report_of_many_inputs_is_refused_with_the_number(tmp_path):
    """Five inputs have 992 ordered pairs: too many to draw, said before any work, and the folder is
    left as it was.
    """
    with pytest.raises(
        XorMiError,
        match="the network has 5 inputs, with 992 pairs to patch and draw; a report is written for at most 4 inputs",
    ):
        write_report(handmade.from_formula("x0 ^ x1 ^ x2 ^ x3 ^ x4"), tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()


def test_report_for_three_inputs_has_no_plane(tmp_path):
    """What cannot be drawn is left out, not broken."""
    report = write_report(
        find_out(train(BooleanFunction.named("XOR", 3), hidden=(4,), seed=2).model), tmp_path
    )
    assert 'id="plane"' not in report.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_how_common_counts_the_same_gates(trained):
    """The sentence's numbers are the census's; a circuit nobody shares, and one that does not
    exist, are said as such.
    """
    population = train_population("XOR", 60, config=TrainConfig(max_steps=600))
    networks = census(population)
    same = (networks["gates"] == "{AND, OR}").sum()
    text = how_common(identify_circuit(trained.model), networks)
    assert f"{networks['solved'].sum()} solved XOR; {same} of these" in text
    # each of OR, AND, NOR, NAND in its unit, and every complement: one family
    of_family = networks["gates"].isin(["{AND, OR}", "{NAND, OR}", "{AND, NOR}", "{NAND, NOR}"])
    n_family = (of_family & networks["solved"]).sum()
    assert n_family > same
    assert text.endswith(f"as this one, and {n_family} its family, OR & ~AND.")
    engine = population.engine
    assert f"from seeds 0 to 59 (by the engine {engine}; another rounds differently), " in text
    with pytest.raises(XorMiError, match="at least one network"):
        how_common(identify_circuit(trained.model), networks.head(0))
    one = how_common(identify_circuit(trained.model), networks.head(1))
    assert one.startswith("Of 1 network trained in the same way from seed 0 ")
    networks.attrs.clear()
    assert "from seeds 0 to 59, " in how_common(identify_circuit(trained.model), networks)
    assert "none of these has the hidden gates {NAND, OR}" in how_common(
        identify_circuit(from_gates(["OR", "NAND"])), networks
    )
    assert how_common(
        identify_circuit(HookedMLP(HookedMLPConfig(target="XOR"))), networks
    ).endswith("13 solved XOR; the first seeds that do are 2, 5 and 11.")


def test_a_circuit_that_is_not_proved_is_not_compared_with_others():
    """Networks without a proved circuit have no gates in a table of shares, so how common the gates
    of such a circuit are is not said.
    """
    model = nearly_two_ways()
    networks = pd.DataFrame({"seed": [0, 1], "solved": [True, False], "gates": ["{AND, OR}", ""]})
    said = "Of 2 networks trained in the same way from seeds 0 to 1, 1 solved XOR"
    approximate = identify_circuit(model, with_evidence=False)
    assert how_common(approximate, networks) == f"{said}."
    single = identify_circuit(model, require="single", with_evidence=False)
    assert (
        how_common(single, networks)
        == f"{said}; none of these has the hidden gates {single.gate_set}."
    )


def test_figures_show_the_findings(textbook):
    """Each figure holds the numbers it is a picture of, as data or as text."""
    circuit = identify_circuit(textbook)
    texts = [
        annotation.text
        for annotation in plots.network_diagram(textbook, circuit).layout.annotations
    ]
    assert any("h0.0" in text and "OR" in text for text in texts)
    assert any("y0" in text and "h0.0 & ~h0.1" in text for text in texts)
    assert len([text for text in texts if text.endswith(" +1.00")]) == 5
    assert texts.count("v2 -2.00") == 1
    sweep = patch_sweep(textbook)
    heatmap = plots.patching_heatmap(sweep).data[0]
    assert torch.equal(torch.tensor(heatmap.z), sweep.effect.T)
    assert heatmap.zmin == -heatmap.zmax
    flips = [[text.endswith("*") for text in line] for line in heatmap.text]
    assert flips == [[effect.flips for effect in sweep][i : i + 2] for i in range(0, 24, 2)]
    plane = plots.input_plane(textbook)
    assert [trace.name for trace in plane.data if trace.name] == [
        "contours, with their distance to the threshold",
        "3 affine regions",
        "names of regions",
        "numbers of contours",
        "h0.0 turns on",
        "h0.1 turns on",
        "decision boundary",
        "inputs (filled: decided 1)",
    ]
    assert list(plane.data[-1].text) == [
        "<b>00: 0</b>",
        "<b>01: 1</b>",
        "<b>10: 1</b>",
        "<b>11: 0</b>",
    ]


def test_the_page_shows_small_levels_and_what_is_undecided(tmp_path):
    """Inputs of 0.001 beside outputs of 1, each in the decimals of its own place; a row that is
    exactly on the threshold is undecided, as it is on the bench.
    """
    layers = [([[1000, 1000], [1000, 1000]], [0, -1]), ([[1, -2]], [0])]
    model = HookedMLP.from_weights(
        layers, input_levels=(0, 0.001), decision_threshold=0, dtype="float64", target="XOR"
    )
    page = write_report(model, tmp_path / "report", progress=False).read_text(encoding="utf-8")
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.S)
    lines = [
        [re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]
    inputs = [line for line in lines if line and line[0] in ("x0", "x1") and len(line) == 4]
    assert len(inputs) == 2
    assert {float(number) for line in inputs for number in line[1:]} <= {0.0, 0.001, -0.001}
    assert any(float(line[3]) for line in inputs)
    said = {
        line[0]: line[-1]
        for line in lines
        if (line and line[0] in ("00", "01", "10", "11") and "✓" in line[-1])
        or (line and "✗" in line[-1])
    }
    assert said["00"] == "✗ undecided"
    assert said["01"] == "✓ right"
