"""A census in shards: disturbed in every way it is refused or made anew, and in the end it has the
rows of the undisturbed run, row by row.
"""

import errno
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import xor_mi
from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.handmade import textbook_xor
from xor_mi.population import _workers, census, read_census, run_census
from xor_mi.saving import working_alone
from xor_mi.testing import record_of
from xor_mi.training import TrainConfig, train_population

pytestmark = pytest.mark.as_a_user

CONFIG = TrainConfig(max_steps=60)
SIZES = {"config": CONFIG, "shard_size": 4, "n_jobs": 1, "progress": False}


def run(folder, n_networks=12, **settings):
    """A census of three tiny shards."""
    return run_census("XOR", n_networks, directory=folder, **{**SIZES, **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An undisturbed census."""
    return run(tmp_path_factory.mktemp("finished") / "census")


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it that may be disturbed."""
    return shutil.copytree(finished, tmp_path / "census")


def shards(folder):
    """The files of a census, in the order of seeds."""
    return sorted(folder.glob("seeds-*.parquet"))


def test_the_rows_are_those_of_one_batch(finished):
    """Trained at once and identified, the same networks have the same rows."""
    whole = census(train_population("XOR", 12, config=CONFIG, progress=False), progress=False)
    pd.testing.assert_frame_equal(read_census(finished), whole, check_dtype=False)


def test_no_flipped_byte_is_read_as_other_values(finished, folder):
    """Whichever byte of a shard is turned over, it is refused or reads as before."""
    rng = random.Random(0)
    file, before = shards(folder)[1], read_census(finished)
    data, outcomes = bytearray(file.read_bytes()), set()
    for _ in range(60):
        place, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        data[place] ^= bit
        file.write_bytes(data)
        try:
            assert read_census(folder).equals(before)
            outcomes.add("the same")
        except XorMiError:
            outcomes.add("refused")
        data[place] ^= bit
    assert "refused" in outcomes


def damaged(folder):
    """One byte turned over."""
    file = shards(folder)[1]
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 255
    file.write_bytes(data)


def cut_short(folder):
    """The second half is gone."""
    file = shards(folder)[1]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder):
    """Nothing in it."""
    shards(folder)[1].write_bytes(b"")


def half(folder):
    """Half of its networks, written by another program."""
    file = shards(folder)[1]
    pq.write_table(pq.read_table(file).slice(0, 2), file)


def another_shard_s(folder):
    """The rows of another shard."""
    shutil.copy(shards(folder)[0], shards(folder)[1])


def another_census_s(folder):
    """The same seeds, trained otherwise."""
    other = run(folder.parent / "other", config=TrainConfig(max_steps=70))
    shutil.copy(shards(other)[1], shards(folder)[1])


def of_another_type(folder):
    """A column of text where there were numbers."""
    file = shards(folder)[1]
    table = pq.read_table(file)
    column = table.schema.get_field_index("steps")
    text = table["steps"].cast(pa.string())
    pq.write_table(table.set_column(column, "steps", text), file)


@pytest.mark.parametrize(
    "disturb", [damaged, cut_short, empty, half, another_shard_s, another_census_s, of_another_type]
)
def test_a_disturbed_shard_is_noticed_and_made_anew(finished, folder, disturb):
    """Reading names the file; going on refuses it; with overwrite a damaged one is made anew."""
    disturb(folder)
    name = shards(folder)[1].name
    with pytest.raises(XorMiError, match=name):
        read_census(folder)
    with pytest.raises(XorMiError, match=name):
        run(folder)
    shards(folder)[1].unlink()
    run(folder)
    assert read_census(folder).equals(read_census(finished))
    damaged(folder)
    run(folder, overwrite=True)
    assert read_census(folder).equals(read_census(finished))


def test_a_missing_shard_is_made_and_no_other(finished, folder):
    """Only what is missing is made; the others are left as they are."""
    kept = {file.name: file.stat().st_mtime_ns for file in shards(folder)[1:]}
    shards(folder)[0].unlink()
    run(folder)
    assert {file.name: file.stat().st_mtime_ns for file in shards(folder)[1:]} == kept
    assert read_census(folder).equals(read_census(finished))


def test_a_finished_census_is_extended(finished, tmp_path):
    """More networks into the same folder give the rows of one run; other settings are refused, and
    so are fewer.
    """
    folder = run(tmp_path / "grown", 6)
    assert len(read_census(folder)) == 6
    run(folder, 12)
    assert read_census(folder).equals(read_census(finished))
    with pytest.raises(XorMiError, match="another census"):
        run(folder, 12, config=TrainConfig(max_steps=61))
    with pytest.raises(XorMiError):
        run(folder, 12, seed=5)


def test_another_version_s_census_is_refused_unless_allowed(finished, folder):
    """The plan names the versions; with `any_version` it goes on."""
    plan = folder / "_plan.json"
    content = json.loads(plan.read_text(encoding="utf-8"))
    (versions,) = content["versions"]
    assert set(versions) >= {"xor-mi", "torch"}
    versions["torch"] = "1.0.0"
    plan.write_text(json.dumps(content), encoding="utf-8")
    shards(folder)[2].unlink()
    with pytest.raises(XorMiError, match=r"torch.* 1\.0\.0"):
        run(folder)
    run(folder, any_version=True)
    assert read_census(folder).equals(read_census(finished))


HOLDER = """
import sys
from pathlib import Path
from xor_mi.saving import working_alone
with working_alone(Path(sys.argv[1]), ".census.lock", doing="a census"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_which_one_works_there(folder, finished):
    """The number of a real process stands in the refusal. While it holds the folder the census can
    be read; once it is killed the next run goes on, although the lock's file is still there.
    """
    shards(folder)[0].unlink()
    command, pipe = [sys.executable, "-c", HOLDER, str(folder)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(XorMiError, match=rf"in use: process {holder.pid} on .* since"):
            run(folder)
        with pytest.warns(XorMiWarning, match="1 of 3 shards are missing"):
            assert len(read_census(folder)) == 8
        holder.kill()
    assert (folder / ".census.lock").is_file()
    run(folder)
    assert not (folder / ".census.lock").exists()
    assert read_census(folder).equals(read_census(finished))


FAILING_DISKS = {
    errno.ENOSPC: "No space left.*free some space.*kept; repeat the command to continue",
    errno.EROFS: "Read-only file system.*copy this one there",
}


@pytest.mark.parametrize("number", FAILING_DISKS)
def test_a_disk_that_fills_or_turns_read_only_loses_nothing(finished, folder, monkeypatch, number):
    """Of two shards the second cannot be written: said with what helps, nothing half is left, and
    the same call goes on with what is missing.
    """
    made, missing = shards(folder)[1:]
    for file in (made, missing):
        file.unlink()
    sync, n_written = os.fsync, itertools.count()

    def failing(descriptor):
        if next(n_written):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(XorMiError, match=FAILING_DISKS[number]):
        run(folder)
    monkeypatch.undo()
    assert made.is_file()
    assert not missing.exists()
    assert not list(folder.glob(".*"))
    written = made.stat().st_mtime_ns
    run(folder)
    assert made.stat().st_mtime_ns == written
    assert read_census(folder).equals(read_census(finished))


def test_a_read_only_disk_is_said_before_training_and_a_finished_census_needs_none(
    folder, monkeypatch
):
    """Where a shard is missing nothing is trained; where none is, nothing is written."""

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    monkeypatch.setattr("xor_mi.saving.os.open", read_only)
    assert run(folder) == folder
    shards(folder)[0].unlink()
    monkeypatch.setattr(
        "xor_mi.population._shards._make", lambda *_, **__: pytest.fail("it was trained")
    )
    with pytest.raises(XorMiError, match=r"Read-only file system.*copy this one there"):
        run(folder)


KILLED = """
import os, runpy, signal, sys
workers = runpy.run_path(sys.argv[1])
if sys.argv[3] == "silently":
    workers["clean_up_silently"]()
from joblib.externals.loky.backend import resource_tracker
resource_tracker.register(sys.argv[2], "folder")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("how", ["silently", "aloud"])
def test_what_a_killed_run_leaves_is_removed_without_a_word(tmp_path, how):
    """The shared folder of a process that was killed is gone, and nothing is printed, as it is
    where joblib starts its cleaner by itself.
    """
    shared = tmp_path / "shared"
    shared.mkdir()
    module = str(Path(_workers.__file__))
    command = [sys.executable, "-c", KILLED, module, str(shared), how]
    # it ends when the cleaner has, which writes to the same pipe
    said = subprocess.run(command, stderr=subprocess.PIPE, check=False).stderr
    assert not shared.exists()
    assert (b"leaked" in said) == (how == "aloud")
    assert how == "aloud" or said == b""


@pytest.mark.parametrize("is_link", [True, False])
def test_what_is_no_lock_of_ours_is_never_written_into(folder, tmp_path, is_link):
    """A user's file under the lock's name, or a link to one, is named and stays as it is."""
    mine = tmp_path / "mine" if is_link else folder / ".census.lock"
    mine.write_text("my notes", encoding="utf-8")
    if is_link:
        (folder / ".census.lock").symlink_to(mine)
    shards(folder)[0].unlink()
    with pytest.raises(
        XorMiError, match=r"census\.lock.*not a lock that xor-mi wrote; move it away"
    ):
        run(folder)
    assert mine.read_text(encoding="utf-8") == "my notes"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("versions", [], "which versions wrote it"),
        ("versions", [1], "which versions wrote it"),
        ("n_networks", 10**15, "a census cannot have its numbers"),
        ("shard_size", 0, "a census cannot have its numbers"),
        ("seed", 2**62, "a census cannot have its numbers"),
    ],
)
def test_a_plan_edited_by_hand_is_refused_at_once(folder, name, value, message):
    """Also where its numbers would have 10^14 shards; reading and going on say the same."""
    plan = folder / "_plan.json"
    content = json.loads(plan.read_text(encoding="utf-8"))
    plan.write_text(json.dumps(content | {name: value}), encoding="utf-8")
    for call in (read_census, run):
        with pytest.raises(XorMiError, match=f"_plan.json is damaged: .*{message}"):
            call(folder)


def test_a_shard_under_another_name_is_no_part_of_the_census(folder):
    """Reading and going on say the same of it, and leave it where it is."""
    renamed = shards(folder)[1].rename(folder / "seeds-000000000004-000000000006.parquet")
    for call in (read_census, run):
        with pytest.raises(
            XorMiError, match="000006.parquet, which is not part of th(is|e) census"
        ):
            call(folder)
    assert renamed.is_file()


def test_one_process_at_a_time(folder):
    """The second is told who works there; afterwards the folder is free."""
    shards(folder)[0].unlink()
    with (
        working_alone(folder, ".census.lock", doing="a census"),
        pytest.raises(XorMiError, match="process"),
    ):
        run(folder)
    run(folder)


def test_other_programs_read_the_folder(finished):
    """pandas and pyarrow read it as one table, and do not stumble over the plan."""
    ours = read_census(finished)
    for theirs in (pd.read_parquet(finished), ds.dataset(finished).to_table().to_pandas()):
        assert theirs["seed"].tolist() == ours["seed"].tolist()
        assert theirs["loss"].tolist() == ours["loss"].tolist()


def test_the_folder_is_tried_before_anything_is_trained(tmp_path, monkeypatch):
    """A place where nothing can be written is refused at once."""
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    monkeypatch.setattr(
        "xor_mi.population._shards._make", lambda *_, **__: pytest.fail("it was trained")
    )
    with pytest.raises(XorMiError):
        run(tmp_path / "file" / "census")
    with pytest.raises(XorMiError, match="xor-mi did not write"):
        run(tmp_path)


def test_plan_shards_and_records_name_the_version_of_this_code(finished):
    """Not the one that was installed once, which an editable install keeps after the number rose."""
    (versions,) = json.loads((finished / "_plan.json").read_text(encoding="utf-8"))["versions"]
    about = [json.loads(pq.read_schema(file).metadata[b"xor_mi"]) for file in shards(finished)]
    named = [versions["xor-mi"], *(one["versions"]["xor-mi"] for one in about)]
    record = record_of(textbook_xor())["versions"]["xor-mi"]
    assert {*named, xor_mi.__version__} == {xor_mi.__version__}
    assert xor_mi.__version__.startswith(record)
