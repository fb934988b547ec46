"""Nothing of the user's is overwritten: every writer of the package in every kind of place.

What is written by other means (the bytes of the user's files before and after, links, inodes) is
the oracle; no test asks `xor_mi.saving` whether it was right.
"""

import ast
import errno
import functools
import json
import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from test_architecture import modules
from test_encoding import mode_of, name_of

from xor_mi import (
    cli,
    handmade,
    population,
    pytest_plugin,
    report,
    saving,
    testing,
    training,
    trajectory_page,
    zoo,
)
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP
from xor_mi.population import (
    census,
    read_census,
    read_trajectories,
    run_census,
    trajectories,
    write_census,
)
from xor_mi.training import TrainConfig, train_population
from xor_mi.zoo import _build as build

pytestmark = [pytest.mark.as_a_user, pytest.mark.unchecked]

MINE = "what the user wrote, nowhere else to be found: ä\n".encode()
SHORT = TrainConfig(max_steps=2)
MODEL = ("config.json", "model.safetensors")
REPORT = (*MODEL, "report.json", "circuit.json", "patching.csv", "report.html")
TRAJECTORY = (*MODEL, "index.html", "trajectory.csv", "events.csv")
SHARDS = (
    "_plan.json",
    "seeds-000000000000-000000000001.parquet",
    "seeds-000000000002-000000000003.parquet",
)


@functools.cache
def findings():
    """Found out once: what is written is the same in every test."""
    return report.find_out(handmade.textbook_xor())


@functools.cache
def networks():
    """A census of four networks."""
    return census(training.train_population("XOR", 4, config=SHORT, progress=False), progress=False)


@functools.cache
def trajectory():
    """How one network was trained, in two steps."""
    return population.trajectory("XOR", config=SHORT, progress=False)


@functools.cache
def trajectory_text():
    """Its page, drawn once."""
    return trajectory_page.render_trajectory_page(trajectory())


figures_of = functools.cache(report.figures_of)
PAGES: dict[bool, str] = {}


def render_report(found, figures, *, training=None, networks=None):
    """A page drawn once."""
    key = networks is None
    if key not in PAGES:
        PAGES[key] = RENDER(found, figures, training=training, networks=networks)
    return PAGES[key]


RENDER = report.render_report


def page_drawn_before():
    """Inside, the page of the trajectory is there."""
    # before it is replaced: this is what draws it
    text = trajectory_text()
    return mock.patch.object(trajectory_page, "render_trajectory_page", return_value=text)


def command(*arguments: str) -> None:
    """The command line, with networks and figures that were made before."""
    result = training.TrainResult(
        model=findings().model, solved=True, steps=1, seed=0, loss_history=(0.0,)
    )
    with (
        mock.patch.object(training, "train", return_value=result),
        mock.patch.object(report, "find_out", return_value=findings()),
        mock.patch.object(report, "figures_of", figures_of),
        mock.patch.object(report, "render_report", render_report),
        mock.patch.object(population, "watch", return_value=result),
        mock.patch.object(population, "trajectory", return_value=trajectory()),
        page_drawn_before(),
    ):
        cli.app(list(arguments), standalone_mode=False)


def tour(folder, overwrite):
    """`xor-mi tour`."""
    command("tour", "--networks", "0", "--out", str(folder), *["--force"] * overwrite)


def watch(folder, overwrite):
    """`xor-mi watch`."""
    command("watch", "--out", str(folder), *["--force"] * overwrite)


def trajectory_of(folder, overwrite):
    """write_trajectory_page."""
    trajectory_text()
    with page_drawn_before():
        trajectory_page.write_trajectory_page(trajectory(), folder, overwrite=overwrite)


def report_of(folder, overwrite):
    """write_report, its page drawn before."""
    with (
        mock.patch.object(report, "figures_of", figures_of),
        mock.patch.object(report, "render_report", render_report),
    ):
        report.write_report(findings(), folder, overwrite=overwrite)


def model_of(folder, overwrite):
    """save_pretrained."""
    findings().model.save_pretrained(folder, overwrite=overwrite)


def census_of(folder, overwrite):
    """run_census in two shards."""
    run_census(
        "XOR", 4, directory=folder, config=SHORT, shard_size=2, n_jobs=1, overwrite=overwrite,
        progress=False,
    )  # fmt: skip


def census_command(folder, overwrite):
    """`xor-mi census`, in two shards."""
    command(
        "census", "--networks", "4", "--steps", "2", "--shard", "2", "--jobs", "1", "--out",
        str(folder), *["--force"] * overwrite,
    )  # fmt: skip


def search(folder, overwrite):
    """`xor-mi search --out FILE` of a network of the zoo."""
    model = str(zoo.DATA / "or-and")
    file = str(folder / "search.json")
    command("search", model, "--depth", "1", "--out", file, *["--force"] * overwrite)


def table(folder, overwrite):
    """write_census."""
    write_census(networks(), folder / "all.parquet", overwrite=overwrite)


@dataclass(frozen=True)
class Writer:
    """A writer, the files it writes, and whether a folder is its own rather than one file."""

    write: Callable[[Path, bool], None]
    names: tuple[str, ...]
    owns_folder: bool = True
    rewrites: bool = True

    @functools.cached_property
    def own(self) -> dict[str, bytes]:
        """What it writes into an empty folder."""
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder), False)
            return contents(Path(folder))


WRITERS = {
    "tour": Writer(tour, REPORT),
    "write_report": Writer(report_of, REPORT),
    "watch": Writer(watch, TRAJECTORY),
    "write_trajectory_page": Writer(trajectory_of, TRAJECTORY),
    "save_pretrained": Writer(model_of, MODEL),
    "run_census": Writer(census_of, SHARDS, rewrites=False),
    "census": Writer(census_command, SHARDS, rewrites=False),
    "search --out": Writer(search, ("search.json",), owns_folder=False),
    "write_census": Writer(table, ("all.parquet",), owns_folder=False),
}
EACH_WRITER = pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
EACH_FOLDER = pytest.mark.parametrize(
    "writer",
    [one for one in WRITERS.values() if one.owns_folder],
    ids=[name for name, one in WRITERS.items() if one.owns_folder],
)
ONE_FILE = [
    pytest.param(writer, file, id=f"{name}-{file}")
    for name, writer in WRITERS.items()
    for file in writer.names
]
EACH_FILE = pytest.mark.parametrize(("writer", "name"), ONE_FILE)
OF_A_FUNCTION = [one for one in ONE_FILE if one.id.split("-")[0] not in ("tour", "watch", "census")]
EACH_FILE_OF_A_FUNCTION = pytest.mark.parametrize(("writer", "name"), OF_A_FUNCTION)
"""Of a command that writes by one of the other writers, it is held for folders and the user's files
that it passes on what is asked; what its writer does about links and folders is held for that.
"""


def names(folder: Path) -> list[str]:
    """Every entry of a folder, hidden ones too."""
    return sorted(entry.name for entry in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its name from there; links are not followed."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_symlink()
    }


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder with these files."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@EACH_WRITER
def test_an_empty_folder_is_written_into(writer, tmp_path):
    """Every file is there, and nothing else, hidden or not."""
    writer.write(filled(tmp_path / "out", {}), False)
    assert names(tmp_path / "out") == sorted(writer.names)
    assert all(contents(tmp_path / "out").values())


@EACH_WRITER
def test_its_own_folder_is_written_into_again(writer, tmp_path):
    """Twice into one folder, and into one that also holds hidden files and Python's, which stay."""
    kept = {".gitignore": MINE, ".git/config": MINE, "__pycache__/a.pyc": MINE, ".DS_Store": MINE}
    out = filled(tmp_path / "out", writer.own | kept)
    writer.write(out, False)
    after = contents(out)
    assert after.keys() == {*writer.names, *kept}
    assert {name: after[name] for name in kept} == kept


@EACH_FILE
def test_a_users_file_of_that_name_is_refused_and_named(writer, name, tmp_path):
    """Where all its neighbours are the package's own, too; with overwrite=True it is replaced."""
    out = filled(tmp_path / "out", writer.own | {name: MINE})
    before = contents(out)
    with pytest.raises(XorMiError, match=f"{name}.*overwrite=True") as refused:
        writer.write(out, False)
    assert "\n" not in str(refused.value)
    assert contents(out) == before
    writer.write(out, True)
    after = contents(out)
    assert after.keys() == set(writer.names)
    assert MINE not in after.values()


@EACH_FOLDER
@pytest.mark.parametrize("name", ["thesis.tex", "notes.json", "chapters/one.tex", "README.md"])
@pytest.mark.parametrize("is_own", [True, False])
def test_a_users_other_file_is_refused_and_named(writer, name, is_own, tmp_path):
    """In an empty folder and beside the package's own files; with overwrite=True it stays as it is.

    README.md beside a saved model may stay.
    """
    out = filled(tmp_path / "out", (writer.own if is_own else {}) | {name: MINE})
    if not (name == "README.md" and is_own and "config.json" in writer.names):
        before = contents(out)
        with pytest.raises(XorMiError, match=f"{name.partition('/')[0]}.*did not write"):
            writer.write(out, False)
        assert contents(out) == before
    writer.write(out, True)
    assert contents(out)[name] == MINE
    assert contents(out).keys() == {name, *writer.names}


@pytest.mark.parametrize("name", ["search --out", "write_census"])
def test_one_file_is_written_beside_whatever_is_there(name, tmp_path):
    """A writer of one file by name asks about that name alone."""
    out = filled(tmp_path / "out", {"thesis.tex": MINE})
    WRITERS[name].write(out, False)
    assert contents(out).keys() == {"thesis.tex", *WRITERS[name].names}
    assert contents(out)["thesis.tex"] == MINE


def test_search_asks_about_the_folder_of_the_model(tmp_path):
    """Without --out its result lies beside the model: a folder with files of the user's is refused
    before anything is counted, and --force writes beside them.
    """
    folder = tmp_path / "run"
    model_of(folder, overwrite=False)
    own = contents(folder)
    filled(folder, own | {"thesis.tex": MINE})
    with pytest.raises(XorMiError, match=r"thesis\.tex.*did not write"):
        command("search", str(folder), "--depth", "1")
    assert contents(folder) == own | {"thesis.tex": MINE}
    command("search", str(folder), "--depth", "1", "--force")
    assert contents(folder).keys() == {*own, "thesis.tex", "search.json"}
    assert contents(folder)["thesis.tex"] == MINE


def test_search_into_a_folder_that_is_not_there_is_refused_at_once(tmp_path):
    """Not after the first count, which may take minutes."""
    model = str(zoo.DATA / "or-and")
    with pytest.raises(XorMiError, match="there is no folder .*make it first"):
        command("search", model, "--out", str(tmp_path / "none" / "a.json"))


@EACH_FILE_OF_A_FUNCTION
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_what_a_link_points_to_is_never_overwritten(writer, name, link, tmp_path):
    """A link to the user's file is refused, and replaced with overwrite=True; a link to one of the
    package's own is replaced. The file it points to stays byte for byte, by each way.
    """
    out = filled(tmp_path / "out", writer.own)
    target = tmp_path / "target"
    for content, overwrite in ((MINE, True), (writer.own[name], False)):
        (out / name).unlink()
        target.write_bytes(content)
        link(target, out / name)
        if overwrite:
            with pytest.raises(XorMiError, match=name):
                writer.write(out, False)
            assert (out / name).samefile(target)
        writer.write(out, overwrite)
        assert target.read_bytes() == content
        if writer.rewrites or overwrite:
            assert not (out / name).is_symlink()
            assert not (out / name).samefile(target)
            assert target.stat().st_nlink == 1
        target.unlink()
        if not (out / name).exists():  # a link that a census kept
            (out / name).unlink()
            writer.write(out, overwrite)


@EACH_FILE_OF_A_FUNCTION
@pytest.mark.parametrize("target", ["nowhere", "folder"])
def test_a_link_to_nothing_or_to_a_folder_is_replaced_only_if_told(writer, name, target, tmp_path):
    """It is the user's, and named; nothing comes to be where it points."""
    out = filled(tmp_path / "out", writer.own)
    filled(tmp_path / "folder", {"mine": MINE})
    (out / name).unlink()
    (out / name).symlink_to(tmp_path / target)
    with pytest.raises(XorMiError, match=name):
        writer.write(out, False)
    assert (out / name).is_symlink()
    writer.write(out, True)
    assert (out / name).is_file()
    assert not (out / name).is_symlink()
    assert not (tmp_path / "nowhere").exists()
    assert contents(tmp_path / "folder") == {"mine": MINE}


@EACH_FILE_OF_A_FUNCTION
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_of_that_name_is_refused(writer, name, overwrite, tmp_path):
    """In one line, before any work, told to overwrite or not."""
    out = filled(tmp_path / "out", {f"{name}/mine": MINE})
    with pytest.raises(XorMiError, match=f"{name}': a folder is there; move it away"):
        writer.write(out, overwrite)
    assert contents(out) == {str(Path(name, "mine")): MINE}
    assert names(out) == [name]


@EACH_WRITER
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_where_the_folder_should_be_is_refused(writer, overwrite, tmp_path):
    """The user's file stays."""
    (tmp_path / "out").write_bytes(MINE)
    with pytest.raises(XorMiError, match="cannot write"):
        writer.write(tmp_path / "out", overwrite)
    assert (tmp_path / "out").read_bytes() == MINE


@EACH_WRITER
def test_a_link_to_a_folder_is_that_folder(writer, tmp_path):
    """Which folder to write into is the user's choice."""
    real = filled(tmp_path / "real", {})
    (tmp_path / "out").symlink_to(real, target_is_directory=True)
    writer.write(tmp_path / "out", False)
    assert (tmp_path / "out").is_symlink()
    assert contents(real).keys() == set(writer.names)


@pytest.fixture
def as_somebody():
    """A folder of a user who is not the superuser, who may write anywhere; and a way to be that
    user.
    """
    if os.name == "nt":
        pytest.skip("permissions are otherwise there")

    @contextmanager
    def somebody():
        """The same process; permissions are asked of the effective user."""
        if os.geteuid() != 0:
            yield
            return
        for file in (folder, *folder.rglob("*")):
            os.chown(file, 65534, 65534)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    # not in tmp_path, which nobody else may enter
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield folder, somebody


@EACH_WRITER
def test_a_read_only_folder_is_refused(writer, as_somebody):
    """In one line, and as it was."""
    folder, somebody = as_somebody
    out = filled(folder / "out", {})
    out.chmod(0o555)
    with somebody(), pytest.raises(XorMiError, match="cannot write"):
        writer.write(out, False)
    assert names(out) == []


@EACH_WRITER
def test_a_full_disk_leaves_the_old_files_and_nothing_else(writer, tmp_path, monkeypatch):
    """The error comes when half is written; the old files are there in full, and no rubbish."""
    old = {name: content for name, content in writer.own.items() if name != writer.names[-1]}
    out = filled(tmp_path / "out", old)

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(XorMiError, match="cannot write.*No space left on device"):
        writer.write(out, False)
    assert contents(out) == old
    assert names(out) == sorted(old)


@pytest.mark.parametrize("write", [report_of, model_of, census_of, table])
@pytest.mark.parametrize("asked", ["yes", 1, None])
def test_overwrite_is_true_or_false(write, asked, tmp_path):
    """What replaces files is not switched on by a slip."""
    with pytest.raises(XorMiError, match=f"overwrite is {asked!r}; give True or False"):
        write(tmp_path / "out", asked)


@pytest.mark.parametrize(
    "call",
    [
        lambda: report.write_report(findings(), ""),
        lambda: report.write_report(""),
        lambda: report.require_writable(""),
        lambda: handmade.textbook_xor().save_pretrained(""),
        lambda: HookedMLP.from_pretrained(""),
        lambda: run_census("XOR", 2, directory="", config=SHORT),
        lambda: read_census(""),
        lambda: write_census(networks(), ""),
        lambda: testing.write_record(testing.record_of(handmade.textbook_xor()), ""),
        lambda: command("tour", "--out", ""),
        lambda: command("census", "--out", ""),
        lambda: command("identify", ""),
        lambda: command("search", ""),
        lambda: command("search", str(zoo.DATA / "or-and"), "--out", ""),
    ],
)
def test_an_empty_name_is_not_the_folder_one_is_in(call, tmp_path, monkeypatch):
    """Refused in one sentence, and nothing is written there."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(XorMiError, match="is empty; give a"):
        call()
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000])
def test_a_name_that_no_file_has_is_refused(name):
    """Text that the file system cannot take, to write there or to read."""
    trained = train_population("XOR", 2, max_steps=2, progress=False)
    for call in (
        handmade.textbook_xor().save_pretrained,
        HookedMLP.from_pretrained,
        read_census,
        read_trajectories,
        lambda name: trajectories(trained, directory=name),
    ):
        with pytest.raises(XorMiError, match="which cannot be a place on disk"):
            call(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes by name here")
def test_a_pipe_or_a_device_is_refused(tmp_path):
    """Renaming a file to /dev/null would take it from the whole machine; and nothing waits for a
    pipe's other end.
    """
    os.mkfifo(tmp_path / "all.parquet")
    for overwrite in (False, True):
        with pytest.raises(XorMiError, match="all.parquet"):
            table(tmp_path, overwrite)
    (tmp_path / "null").symlink_to(os.devnull)
    for file in ("all.parquet", "null"):
        with pytest.raises(XorMiError, match="not a file but a device or a pipe"):
            saving.write_file(tmp_path / file, "text")
    assert stat.S_ISFIFO((tmp_path / "all.parquet").stat().st_mode)
    assert (tmp_path / "null").is_symlink()
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.skipif(os.name == "nt", reason="permissions are otherwise there")
def test_others_may_read_what_the_users_umask_lets_them_read(umask, tmp_path):
    """As of a file that Python opens; one that is replaced keeps the permissions it had."""
    before = os.umask(umask)
    try:
        model_of(tmp_path / "model", False)
        (tmp_path / "plain").write_text("", encoding="utf-8")
    finally:
        os.umask(before)
    file = tmp_path / "model" / "config.json"
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode
    file.chmod(0o640)
    model_of(tmp_path / "model", False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_write_protected_file_stays(as_somebody):
    """A rename would pass over the file's own permissions."""
    folder, somebody = as_somebody
    model_of(folder, False)
    (folder / "config.json").chmod(0o444)
    before = contents(folder)
    with somebody(), pytest.raises(XorMiError, match="the file is write-protected"):
        model_of(folder, False)
    assert contents(folder) == before


def test_a_reader_sees_the_old_file_or_the_new(tmp_path):
    """While a new content is being written, the old one is under its name; an error keeps it."""
    file = tmp_path / "a.txt"
    saving.write_file(file, "old")

    def fail():
        with saving.replacing(file) as opened:
            opened.write(b"half of the n")
            opened.flush()
            assert file.read_text(encoding="utf-8") == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert contents(tmp_path) == {"a.txt": b"old"}
    saving.write_file(file, "ä\n")
    assert contents(tmp_path) == {"a.txt": "ä\n".encode()}


SECOND = {"save_pretrained": "model.safetensors", "write_report": "report.html"}
"""A file that is written after others."""


@functools.cache
def another(name: str) -> Callable[[Path], None]:
    """What writes the same files with another content; its figures are drawn once."""
    other = handmade.textbook_xor()
    other.fc2.bias.data += 0.25
    other.cfg.seed = 7
    if name == "save_pretrained":
        return lambda folder: other.save_pretrained(folder) and None
    found = replace(findings(), model=other)
    page = mock.patch.object(report, "render_report", render_report)

    def write(folder: Path) -> None:
        with mock.patch.object(report, "figures_of", figures_of), page:
            report.write_report(found, folder)

    return write


@pytest.mark.parametrize("name", SECOND)
def test_files_that_belong_together_are_all_replaced_or_none(name, as_somebody, monkeypatch):
    """The second of them is write-protected, or does not fit on the disk any more: the first is
    what it was, byte for byte. Without that, all are replaced.
    """
    folder, somebody = as_somebody
    WRITERS[name].write(folder, False)
    before = contents(folder)
    write = another(name)
    (folder / SECOND[name]).chmod(0o444)
    with somebody(), pytest.raises(XorMiError, match="the file is write-protected"):
        write(folder)
    (folder / SECOND[name]).chmod(0o644)
    assert contents(folder) == before
    calls, sync = [], os.fsync

    def full(number):
        calls.append(number)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(XorMiError, match="No space left on device"):
            write(folder)
    assert contents(folder) == before
    assert names(folder) == sorted(before)
    write(folder)
    after = contents(folder)
    assert all(after[file] != before[file] for file in ("config.json", "model.safetensors"))
    assert contents(folder).keys() == before.keys()


def test_a_link_that_ends_at_itself_is_replaced_only_if_told(tmp_path):
    """As any link to nothing; and the file beside it is not written alone."""
    (tmp_path / "model.safetensors").symlink_to("model.safetensors")
    with pytest.raises(XorMiError, match="holds model.safetensors"):
        model_of(tmp_path, False)
    assert names(tmp_path) == ["model.safetensors"]
    model_of(tmp_path, True)
    assert contents(tmp_path) == WRITERS["save_pretrained"].own


def test_a_message_is_one_line_whatever_a_file_is_called(tmp_path):
    """A line break and what colours a terminal are written out."""
    filled(tmp_path, {"a\nb\x1b[31m": MINE})
    with pytest.raises(XorMiError) as refused:
        model_of(tmp_path, False)
    assert r"holds a\nb\x1b[31m, which" in str(refused.value)
    assert str(refused.value).isprintable()
    with pytest.raises(XorMiError, match=r"no model in '.*x\\ny'"):
        HookedMLP.from_pretrained(tmp_path / "x\ny")


def test_a_long_name_is_written_too(tmp_path):
    """A name of 255 bytes leaves no room for the temporary file's own additions."""
    name = "ä" * 125 + ".json"
    saving.write_file(tmp_path / name, "{}")
    assert names(tmp_path) == [name]


# whose file is it?

LOOKALIKES = {
    "config.json": b'{"model_type": "bert", "architectures": ["BertModel"]}',
    "circuit.json": b'{"format": "spice.Circuit/3", "mine": {"format": "xor_mi.Circuit/3"}}',
    "report.json": b'{"version": 2, "schema": "other.report/2"}',
    "report.html": b"<!DOCTYPE html>\n<html><head><title>xor-mi: my own page</title></head></html>",
    "search.json": b'{"counts": [{"word": "xor", "n": 3}]}',
    "plan.json": b'{"target": "XOR", "seed": 3, "config": {}}',
    "patching.csv": b"clean,corrupted,pair,site,mine\n00,01,00 -> 01,h0.0,1\n",
    "events.csv": b"step,event,unit,before,after\n0,unit_dies,h0.0,,dead\n",
    "trajectory.csv": b"step,loss\n0,0.7\n",
    "second.csv/patching.csv": b"clean,corrupted,pair,site,direction,recovered_fraction,mine\n",
    "a.json": b'{"format": "xor_mi.HookedMLP/1"} are the first words of a config; my notes on it',
    "b.json": b'{"format": "xor_mi.HookedMLP and what I wrote"}',
    "c.json": b'{"schema": "xor_mi.mine/1"}',
    "d.json": b'{"counts": [], "stopped": ["after lunch"]}',
    "e.json": b'{"counts": [{"convention": "Geneva", "n_subcircuits": 3, "n_perfect": 1, "by": "me"}]}',
    "f.json": b'{"target": 0, "hidden": 0, "seed": 0, "n_networks": 0, "shard_size": 0, "config": 0,'
    b' "format": 0}',
    "a.html": b'<!DOCTYPE html><pre><meta name="generator" content="xor-mi xor_mi.report/2"></pre>',
    "b.html": b'<html><!-- <meta name="generator" content="xor-mi xor_mi.report/2"> --> my text',
    "deep.json": b'{"a":' * 100_000,
    "list.json": b"[1, 2]",
    "damaged.parquet": b"PAR1" + b"\0" * 40 + b"PAR1",
    "empty.json": b"",
    "notes": MINE,
}


@pytest.mark.parametrize("name", LOOKALIKES)
def test_what_looks_alike_by_name_is_the_users(name, tmp_path):
    """Other tools' files under the package's names are refused by name."""
    own = WRITERS["write_report"].own["report.json"]
    for beside in ({}, {"report.json": own}):
        files = beside | {name: LOOKALIKES[name]}
        filled(tmp_path, files)
        with pytest.raises(XorMiError, match=name.partition("/")[0]):
            report_of(tmp_path, False)
        assert contents(tmp_path) == files


def test_a_table_with_the_packages_key_is_the_users(tmp_path):
    """Somebody else may keep a note under the key xor_mi."""
    table = pa.table({"mine": [1, 2]})
    for number, metadata in enumerate([{"xor_mi": "I used that"}, {"xor_mi_census_format": "2"}]):
        file = tmp_path / f"{number}.parquet"
        pq.write_table(table.replace_schema_metadata(metadata), file)
        before = file.read_bytes()
        with pytest.raises(XorMiError, match="is not a file of xor_mi.census"):
            write_census(networks(), file)
        assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("model.safetensors", [(64, 784), (64,), (10, 64), (10,)]),
        ("model.safetensors", [(2, 2), (2,), (2, 2), (2,), (1, 2), (1,)]),
        ("best.safetensors", [(2, 2), (2,), (1, 2), (1,)]),
    ],
)
def test_other_weights_beside_a_config_are_the_users(name, shapes, tmp_path):
    """A network of other shapes, of more layers, or under another name."""
    keys = [f"fc{k}.{part}" for k in (1, 2, 3) for part in ("weight", "bias")]
    tensors = {key: torch.ones(shape) for key, shape in zip(keys, shapes, strict=False)}
    files = WRITERS["save_pretrained"].own | {name: safetensors.torch.save(tensors)}
    with pytest.raises(XorMiError, match=f"holds {name}"):
        model_of(filled(tmp_path, files), False)
    assert contents(tmp_path) == files


def test_weights_are_a_models_only_beside_its_config(tmp_path):
    """Another tool's network may name its layers fc1, fc2; and a list is not a header."""
    weights = WRITERS["save_pretrained"].own["model.safetensors"]
    header = json.dumps(["fc1.weight", ["fc1.bias"]]).encode()
    listed = len(header).to_bytes(8, "little") + header
    config = WRITERS["save_pretrained"].own["config.json"]
    for files in (
        {"model.safetensors": weights},
        {"config.json": config, "model.safetensors": listed},
    ):
        folder = filled(tmp_path / str(len(files)), files)
        with pytest.raises(XorMiError, match="holds model.safetensors, which xor-mi did not write"):
            model_of(folder, False)
        assert contents(folder) == files


def test_every_writer_takes_what_the_others_wrote(tmp_path):
    """A model, its report, a search, a census's table and a baseline lie in one folder."""
    record = testing.record_of(handmade.textbook_xor())
    for _ in range(2):
        for name in ("save_pretrained", "search --out", "write_census", "tour", "write_report"):
            WRITERS[name].write(tmp_path, False)
        testing.write_record(record, tmp_path / "net.circuit.json")
    census_of(tmp_path / "census", False)  # a folder of ours in a folder of ours
    model_of(tmp_path, False)
    written = {*WRITERS["tour"].names, "search.json", "all.parquet", "net.circuit.json"}
    assert {*names(tmp_path)} == written | {"census"}


def test_files_of_0_1_0_and_those_written_in_another_order_are_known(tmp_path):
    """search.json and plan.json had no mark, report.html no generator; keys sorted by another
    program say the same. A census of that time is read; another folder takes a new one.
    """
    own = WRITERS["tour"].own | WRITERS["search --out"].own
    page = own["report.html"].decode()
    generator = '<meta name="generator" content="xor-mi xor_mi.report/3">\n'
    assert page.count(generator) == 1
    old = json.loads(own["search.json"])
    assert old.pop("format") == "xor_mi.search/1"
    for later in ("require", "min_margin", "proof_level", "n_circuits", "n_passing"):
        del old[later]
    files = {
        **{name: json.dumps(json.loads(own[name]), sort_keys=True).encode() for name in own if name.endswith(".json")},
        "model.safetensors": own["model.safetensors"],
        "patching.csv": own["patching.csv"],
        "report.html": page.replace(generator, "").encode(),
        "search.json": json.dumps(old).encode(),
    }  # fmt: skip
    tour(filled(tmp_path / "tour", files), False)
    filled(tmp_path / "found", {"search.json": json.dumps(old).encode()})
    search(tmp_path / "found", False)
    before = WRITERS["run_census"].own.copy()
    plan = json.loads(before.pop("_plan.json"))
    assert plan.pop("schema") == "xor_mi.census/3"
    for later in ("engine", "require", "min_margin", "extended_at", "versions"):
        del plan[later]
    before["plan.json"] = json.dumps(plan).encode()
    folder = filled(tmp_path / "census", before)
    with pytest.raises(XorMiError, match=r"a census that an earlier version of xor-mi began"):
        census_of(folder, False)
    assert contents(folder) == before
    assert len(read_census(folder)) == 4


def test_a_message_names_three_and_says_that_there_are_more(tmp_path):
    """A home folder has thousands of files; the message is one line."""
    filled(tmp_path, {f"{name}.txt": MINE for name in "edcba"})
    with pytest.raises(XorMiError, match=r"holds a.txt, b.txt, c.txt and more, which") as refused:
        model_of(tmp_path, False)
    assert len(str(refused.value).splitlines()) == 1


def test_search_does_not_write_over_the_network(tmp_path):
    """A file of the package is not a search result: --out config.json is refused."""
    folder = filled(tmp_path / "out", WRITERS["save_pretrained"].own)
    with pytest.raises(
        XorMiError, match="config.json' is there, and is not a file of xor_mi.search"
    ):
        command("search", str(folder), "--depth", "1", "--out", str(folder / "config.json"))
    assert contents(folder) == WRITERS["save_pretrained"].own


def test_a_file_of_the_package_under_another_name_is_not_lost(tmp_path):
    """A circuit that the user keeps as config.json is not a model's, and is refused."""
    files = {"config.json": WRITERS["write_report"].own["circuit.json"]}
    with pytest.raises(XorMiError, match="holds config.json, which xor-mi did not write"):
        model_of(filled(tmp_path, files), False)
    assert contents(tmp_path) == files


def test_the_zoo_is_built_over_its_own_folders_only(tmp_path):
    """Again over what it wrote; a user's file is refused before anything is trained."""
    arguments = ["or-and", "--out", str(tmp_path)]
    assert build.main(arguments) == build.main(arguments) == 0
    (tmp_path / "or-and" / "circuit.json").write_bytes(MINE)
    before = contents(tmp_path)
    with pytest.raises(XorMiError, match="circuit.json, which xor-mi did not write"):
        build.main(arguments)
    assert contents(tmp_path) == before


def test_a_baseline_is_written_through_no_link(tmp_path):
    """write_record replaces what is there, a link too."""
    (tmp_path / "mine").write_bytes(MINE)
    (tmp_path / "net.circuit.json").symlink_to(tmp_path / "mine")
    testing.write_record(testing.record_of(handmade.textbook_xor()), tmp_path / "net.circuit.json")
    assert testing.read_record(tmp_path / "net.circuit.json")["signature"] == "OR & ~AND"
    assert (tmp_path / "mine").read_bytes() == MINE


# a census: two in one folder, and what killed ones leave


def test_a_census_is_not_mixed_with_other_tables(tmp_path):
    """overwrite=True replaces no other census, and reads no table of somebody else's as its own."""
    census_of(tmp_path / "a", False)
    before = contents(tmp_path / "a")
    with pytest.raises(XorMiError, match="holds another census"):
        run_census("XOR", 6, directory=tmp_path / "a", config=SHORT, n_jobs=1, overwrite=True)
    assert contents(tmp_path / "a") == before
    filled(tmp_path / "b", {"mine.parquet": MINE})
    with pytest.raises(XorMiError, match="mine.parquet, which would be read as part of the census"):
        census_of(tmp_path / "b", True)
    (tmp_path / "a" / "_plan.json").unlink()
    with pytest.raises(XorMiError, match=f"holds {SHARDS[1]}, which is not part of this census"):
        run_census("XOR", 6, directory=tmp_path / "a", config=SHORT, n_jobs=1, overwrite=True)
    census_of(tmp_path / "a", False)  # each shard says that it is of this one
    assert contents(tmp_path / "a") == before


def test_a_damaged_shard_is_made_anew_if_told(tmp_path):
    """It is not taken for done."""
    census_of(tmp_path, False)
    whole = read_census(tmp_path)
    for content, how in ((b"PAR1 half", ""), (b"", "it is empty")):
        (tmp_path / SHARDS[1]).write_bytes(content)
        message = f"holds {SHARDS[1]}, a part of this census that is damaged .*{how}.*makes it anew"
        with pytest.raises(XorMiError, match=message):
            census_of(tmp_path, False)
        census_of(tmp_path, True)
        assert read_census(tmp_path).equals(whole)


def other_census(folder: Path) -> Path:
    """Of the same seeds in the same shards, trained otherwise."""
    config = TrainConfig(max_steps=2, lr=0.5)
    run_census("XOR", 4, directory=folder, config=config, shard_size=2, n_jobs=1, progress=False)
    return folder


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_shard_of_another_census_does_not_count_as_done(overwrite, tmp_path):
    """By what is in it, not by its name: one of the same seeds and of others, in a folder whose
    plan is the one that is asked for.
    """
    census_of(tmp_path / "a", False)
    own = contents(tmp_path / "a")
    other = contents(other_census(tmp_path / "b"))
    assert other[SHARDS[1]] != own[SHARDS[1]]
    for name, put in ((SHARDS[1], SHARDS[1]), ("all.parquet", SHARDS[1])):
        mixed = own | {name: other[put]}
        folder = filled(tmp_path / f"mixed-{name}", mixed)
        with pytest.raises(XorMiError, match=f"holds {name}, .*part of (another|this) census"):
            census_of(folder, overwrite)
        assert contents(folder) == mixed


def test_a_seed_in_two_files_is_refused_in_reading(tmp_path):
    """Two censuses in one folder would be counted as one; both files are named."""
    write_census(networks(), tmp_path / "a.parquet")
    write_census(networks().tail(2), tmp_path / "b.parquet")
    with pytest.raises(XorMiError, match=r"seed 2 is in '.*a\.parquet' and in b\.parquet"):
        read_census(tmp_path)
    write_census(networks().head(2), tmp_path / "a.parquet")
    assert read_census(tmp_path, columns=["solved"]).size == 4


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_censuses_at_once_one_is_refused(has_links, tmp_path, monkeypatch):
    """The other process writes its plan just after this one has looked; its plan stays. Also on a
    file system without hard links.
    """
    first = contents(other_census(tmp_path / "first"))["_plan.json"]
    folder = tmp_path / "out"
    look = os.path.lexists
    seen = []

    def look_and_be_late(file):
        answer = look(file)
        if Path(file) == folder / "_plan.json" and not seen:
            seen.append(answer)
            (folder / "_plan.json").write_bytes(first)
        return answer

    def no_links(source, target):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os.path, "lexists", look_and_be_late)
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(XorMiError, match=r"holds another census \(lr: 0.5 there, 0.05 asked\)"):
        census_of(folder, False)
    assert seen == [False]
    assert contents(folder) == {"_plan.json": first}
    assert names(folder) == ["_plan.json"]
    if not has_links:
        census_of(tmp_path / "alone", False)
        assert contents(tmp_path / "alone") == WRITERS["run_census"].own


@pytest.mark.parametrize("folder", ["s3:", "file:", "gs:x", "http:", "seed=0", "[x]", "a b"])
def test_a_census_is_read_where_it_is_written(folder, tmp_path, monkeypatch):
    """Whatever Arrow takes the folder's name for."""
    if os.name == "nt" and ":" in folder:
        pytest.skip("no name there")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        census_of(folder, False)
    assert contents(tmp_path / folder).keys() == set(SHARDS)
    assert read_census(folder)["seed"].to_list() == [0, 1, 2, 3]
    assert read_census(f"{folder}/{SHARDS[1]}")["seed"].to_list() == [0, 1]


def test_a_footer_that_says_it_is_huge_is_not_believed(tmp_path):
    """Arrow would ask for so much memory; the file has a gigabyte of nothing."""
    file = tmp_path / "huge.parquet"
    with file.open("wb") as opened:
        opened.truncate(2**30)
        opened.seek(2**30)
        opened.write((2**30 - 100).to_bytes(4, "little") + b"PAR1")
    tracemalloc.start()
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated(), pool.max_memory()
    try:
        with pytest.raises(XorMiError, match="huge.parquet' is there"):
            write_census(networks(), file)
        with pytest.raises(XorMiError, match="its footer cannot be so long"):
            read_census(file)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert (pool.bytes_allocated(), pool.max_memory()) <= (before[0] + 2**20, before[1] + 2**26)


WRITING = """
import sys, time
from pathlib import Path
from xor_mi.saving import replacing
with replacing(Path(sys.argv[1])) as file:
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="a process is not asked after there")
def test_a_census_removes_what_its_killed_runs_left_and_nothing_else(tmp_path):
    """A temporary file of a killed process goes, of a living one stays, and so does every file that
    only looks like one.
    """
    lookalikes = (
        ".half.parquet.1.partial", ".plan.json.partial", ".notes.partial", ".download.123.partial",
        f".{SHARDS[1]}.partial", f".{SHARDS[1]}.1.partial.bak", f".{SHARDS[1]}.mine.partial",
        ".seeds-000000000007-000000000009.parquet.00000000-1-00000000.partial",
    )  # fmt: skip
    users = dict.fromkeys(lookalikes, MINE)
    census_of(filled(tmp_path, users), False)
    processes = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITING, str(tmp_path / SHARDS[1])],
            stdout=subprocess.PIPE,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
    killed, living = processes
    try:
        assert len(contents(tmp_path)) == len(SHARDS) + len(users) + 2
        killed.kill()
        killed.wait()
        census_of(tmp_path, False)
        (left,) = contents(tmp_path).keys() - {*SHARDS, *users}
        assert f"-{living.pid}-" in left
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    census_of(tmp_path, False)
    assert contents(tmp_path).keys() == {*SHARDS, *users}
    assert {name: contents(tmp_path)[name] for name in users} == users


def test_a_folder_called_like_a_temporary_file_is_passed_over(tmp_path):
    """It cannot be removed as a file can, and the census is done all the same."""
    folder = tmp_path / f".{SHARDS[1]}.1.partial"
    filled(folder, {"mine": MINE})
    os.utime(folder, (0, 0))
    census_of(tmp_path, False)
    assert names(tmp_path) == sorted([*SHARDS, folder.name])
    assert contents(folder) == {"mine": MINE}


def test_another_machines_temporary_file_is_left_alone_for_a_day(tmp_path):
    """Whether its process lives cannot be asked from here; the file of 0.1.0, which does not say
    its machine, neither.
    """
    census_of(tmp_path, False)
    names = [f".{SHARDS[0]}.ffffffff-1-00000000.partial", f".{SHARDS[1]}.1.partial"]
    filled(tmp_path, dict.fromkeys(names, b"half a shard"))
    census_of(tmp_path, False)
    assert contents(tmp_path).keys() == {*SHARDS, *names}
    for name in names:
        os.utime(tmp_path / name, (time.time() - 90_000,) * 2)
    census_of(tmp_path, False)
    assert contents(tmp_path).keys() == set(SHARDS)


# names


def test_nothing_is_called_what_windows_refuses():
    """No written name has a sign that Windows refuses, nor ends with a dot or a space."""
    names = [name for writer in WRITERS.values() for name in writer.own]
    names += [str(file.relative_to(zoo.DATA)) for file in zoo.DATA.rglob("*")]
    assert len(names) > 60
    for name in names:
        assert not set(name) & set('<>:"|?*\\'), name
        assert all(part == part.rstrip(". ") for part in Path(name).parts), name


@pytest.mark.parametrize(
    ("name", "is_fine"),
    [
        *(("h0.0 und h0.1", True), ("größe", True)),
        *((f"a{sign}b", False) for sign in '/\\<>:"|?*\0\n'),
        *((name, False) for name in ("", ".", "..")),
    ],
)
def test_a_baseline_has_a_name_that_every_system_takes(name, is_fine):
    """basename= is the one name of a file that a caller chooses and others check out."""
    assert pytest_plugin._is_file_name(name) == is_fine


WRITES = ("write_text", "write_bytes", "open", "to_csv", "to_json", "to_parquet", "to_html")
"""What writes a file: always; by its mode; given a place."""


def writes_by_itself(source: str) -> list[int]:
    """The lines on which a file is written without `xor_mi.saving`."""
    if not re.search("|".join(WRITES), source):
        return []
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if (name := name_of(call)) in WRITES[:2]
        or (name == "open" and set("wax+") & set(mode_of(call)))
        or (name in WRITES[3:] and call.args)
    ]


def test_everything_is_written_by_one_room():
    """No other module of the package writes a file by itself; a planted one is noticed."""
    found = {name: writes_by_itself(source) for name, source in modules().items()}
    assert {name for name, lines in found.items() if lines} == {"saving"}
    for planted in ("path.write_text('a')", "open('a', 'w')", "frame.to_csv(file, index=False)"):
        assert writes_by_itself(planted) == [1]
    for fine in ("path.open()", "open('w')", "frame.to_csv(index=False)", "path.open('rb')"):
        assert writes_by_itself(fine) == []


def test_the_example_retrains_over_its_own_folder(tmp_path, monkeypatch):
    """examples/circuit_regression/retrain.py saves over network/; a seed that does not solve XOR ends
    in failure and leaves the stored network.
    """
    example = Path(__file__).parent.parent / "examples" / "circuit_regression"
    shutil.copytree(example, tmp_path / "example")
    script = tmp_path / "example" / "retrain.py"
    stored = tmp_path / "example" / "network" / "config.json"
    monkeypatch.setattr(sys, "argv", [str(script), "5"])
    runpy.run_path(str(script), run_name="__main__")
    assert json.loads(stored.read_text(encoding="utf-8"))["seed"] == 5
    monkeypatch.setattr(sys, "argv", [str(script), "1"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 1
    assert json.loads(stored.read_text(encoding="utf-8"))["seed"] == 5
