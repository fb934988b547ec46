"""A failed or interrupted save leaves what was there: every writer, stopped at every step.

The oracle is the folder's bytes before and after; no test asks `xor_mi.saving` whether it was right.
"""

import errno
import json
import os
import pwd
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import torch
from test_saving import WRITERS, another, contents, filled, model_of, names, report_of, table
from torch import nn

from xor_mi import errors, handmade, saving, testing, zoo
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.population import read_census, run_census
from xor_mi.reading import LARGEST_JSON, read_json
from xor_mi.training import TrainConfig, train_population
from xor_mi.zoo import _build as build

pytestmark = [pytest.mark.as_a_user, pytest.mark.unchecked]

STEPS = ((Path, "open"), (os, "fsync"), (os, "link"), (os, "replace"), (os, "chmod"))
"""What the system is asked for while files are written."""


@contextmanager
def failing(error: BaseException | None, at: int) -> Iterator[list[str]]:
    """The `at`-th step, from 0, ends with the error; the steps that were taken."""
    taken: list[str] = []

    def instead(name: str, original: Callable) -> Callable:
        def step(*arguments, **options):
            mode = options.get("mode") or [*arguments, "", ""][1]
            if name == "open" and "x" not in mode:
                return original(*arguments, **options)
            taken.append(name)
            if error is not None and len(taken) == at + 1:
                raise error
            return original(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patched:
        for room, name in STEPS:
            patched.setattr(room, name, instead(name, getattr(room, name)))
        yield taken


FULL = OSError(errno.ENOSPC, "No space left on device")
FAILURES = [FULL, KeyboardInterrupt()]


@pytest.mark.parametrize("error", FAILURES, ids=["full disk", "Ctrl-C"])
@pytest.mark.parametrize("n_old", [0, 2, 3])
@pytest.mark.parametrize("has_links", [True, False])
def test_of_several_files_all_are_new_or_none(error, n_old, has_links, tmp_path, monkeypatch):
    """Stopped at each step in turn, over none, some and all of the names: the folder is byte for
    byte what it was before, or what it should be, and nothing hidden is left.
    """
    new = {name: f"new {name}".encode() for name in "abc"}
    old = {name: f"old {name}".encode() for name in "cab"[:n_old]}
    if not has_links:
        refused = OSError(errno.ENOTSUP, "Operation not supported")

        def no_links(*arguments, **options):
            raise refused

        monkeypatch.setattr(os, "link", no_links)
    outcomes = []
    for step in range(100):
        folder = filled(tmp_path / str(step), old)
        with failing(error, step) as taken:
            try:
                saving.write_files({folder / name: content for name, content in new.items()})
            except (XorMiError, KeyboardInterrupt):
                outcomes.append(False)
            else:
                outcomes.append(True)
        assert contents(folder) == (new if outcomes[-1] else old), taken
        assert names(folder) == sorted(contents(folder))
        if len(taken) <= step:
            break
    assert step > 6
    assert outcomes[-1]
    assert not outcomes[0]


def one_file(folder: Path) -> None:
    """A baseline of a circuit."""
    testing.write_record(RECORD, folder / "net.circuit.json")


def zoo_folder(folder: Path) -> None:
    """A network of the zoo and its circuit."""
    build.write(*BUILT, folder)


RECORD = testing.record_of(handmade.textbook_xor())
BUILT = (zoo.load("nor-and"), build.identify_circuit(zoo.load("nor-and")))
WRITING: dict[str, tuple[Callable[[Path], None], bool]] = {
    "save_pretrained": (lambda folder: another("save_pretrained")(folder), True),
    "write_report": (lambda folder: another("write_report")(folder), True),
    "zoo": (zoo_folder, True),
    "write_record": (one_file, True),
    "write_census": (lambda folder: table(folder, False), True),
    "search --out": (lambda folder: WRITERS["search --out"].write(folder, False), False),
    "run_census": (lambda folder: WRITERS["run_census"].write(folder, False), False),
}
"""What writes other content than is there; and whether all its files are replaced together."""


@pytest.mark.parametrize("name", WRITING)
def test_every_writer_stopped_at_any_step_loses_nothing(name, tmp_path):
    """Each file is as it was or as it should be, those that belong together are all of one kind,
    and there is nothing beside them.
    """
    write, is_together = WRITING[name]
    old: dict[str, bytes] = {}
    if name in ("save_pretrained", "write_report"):
        old = WRITERS[name].own
    elif name == "zoo":
        old = WRITERS["save_pretrained"].own
    write(filled(tmp_path / "new", old))
    new = contents(tmp_path / "new")
    assert new != old
    with failing(None, 0) as taken:
        write(filled(tmp_path / "counted", old))
    # some of them: all are tried above
    n_tried = 3 if name == "write_report" else 10
    for number, step in enumerate(range(0, len(taken), 1 + len(taken) // n_tried)):
        folder = filled(tmp_path / str(step), old)
        with failing(FAILURES[number % 2], step), suppress(XorMiError, KeyboardInterrupt):
            write(folder)
        after = contents(folder)
        assert names(folder) == sorted(after)
        if is_together:
            assert after in (old, new)
        for each, content in after.items():
            # a search is written as far as it has come
            is_part = each == "search.json" and json.loads(content)["counts"]
            assert is_part or content in (old.get(each), new.get(each)), each
        assert old.keys() <= after.keys()


@pytest.mark.parametrize("n_old", [4, 2])
@pytest.mark.parametrize("n_renamed", [1, 2, 3])
def test_where_nothing_can_be_put_back_the_error_says_what_to_do(n_renamed, n_old, tmp_path):
    """Every rename and removal from one on fails: doing by hand what the error says gives the old
    folder.
    """
    files = [tmp_path / name for name in ("a", "b", "c", "d")]
    for file in files[:n_old]:
        file.write_text(f"old {file.name}", encoding="utf-8")
    before = contents(tmp_path)
    done: list[object] = []

    def stuck(original, *arguments, **options):
        if len(done) == n_renamed:
            raise OSError(errno.EIO, "Input/output error")
        done.append(original(*arguments, **options))

    removed = Path.unlink

    def unlinked(file, **options):
        if file in files:
            raise OSError(errno.EIO, "Input/output error")
        removed(file, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "replace", partial(stuck, os.replace))
        patched.setattr(Path, "unlink", unlinked)
        with pytest.raises(XorMiError, match="Input/output error") as said:
            saving.write_files(dict.fromkeys(files, "new"))
    for kept, name in re.findall(r"rename '([^']+)' to '([^']+)'", str(said.value)):
        (tmp_path / kept).replace(tmp_path / name)
    for name in re.findall(r"remove '([^']+)'", str(said.value)):
        (tmp_path / name).unlink()
    assert contents(tmp_path) == before


def test_a_disk_that_is_full_in_the_middle_of_a_file_leaves_the_old_one(tmp_path):
    """The system itself refuses to write more than so many bytes: the message says what helps."""
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name, write in (("save_pretrained", model_of), ("write_census", table)):
        folder = filled(tmp_path / name, WRITERS[name].own)
        before = contents(folder)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
            with pytest.raises(XorMiError, match=r"cannot write.*; free some space, or choose a"):
                write(folder, False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert contents(folder) == before
        assert names(folder) == sorted(before)


def tied() -> HookedMLP:
    """Two layers that share one weight and one bias."""
    model = HookedMLP(HookedMLPConfig(d_in=2, d_hidden=(2, 2), seed=4))
    model.fc2.weight, model.fc2.bias = model.fc1.weight, model.fc1.bias
    return model


def overlapping() -> HookedMLP:
    """Layers whose weights are pieces of one tensor."""
    model = HookedMLP(HookedMLPConfig(d_in=2, d_hidden=(2, 2), seed=4))
    values = torch.arange(12.0)
    model.fc1.weight = nn.Parameter(values[:4].view(2, 2))
    model.fc2.weight = nn.Parameter(values[2:6].view(2, 2).T)
    return model


@pytest.mark.parametrize("make", [tied, overlapping])
def test_shared_weights_are_saved_for_each_layer(make, tmp_path):
    """Over an existing model too: every value is there after loading, the forward pass the same,
    and the layers are not tied any more: one of them changed leaves the other.
    """
    model = make()
    model_of(tmp_path, False)
    model.save_pretrained(tmp_path)
    loaded = HookedMLP.from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert torch.equal(loaded(loaded.rows()), model(model.rows()))
    before = loaded.fc2.weight.detach().clone()
    loaded.fc1.weight.data += 1
    assert torch.equal(loaded.fc2.weight, before)


def test_two_savings_at_once_do_not_mix(tmp_path):
    """While two threads save two networks into one folder, a third reads: each time a seed with
    that seed's weights, never one network's config with the other's weights.
    """
    models = [HookedMLP(HookedMLPConfig(seed=seed)) for seed in (1, 2)]
    biases = {}
    for model in models:
        model.fc1.bias.data += 10 * model.cfg.seed
        biases[model.cfg.seed] = model.fc1.bias.detach().clone()
        model.save_pretrained(tmp_path)
    wrong: list[str] = []

    def save(model: HookedMLP) -> None:
        try:
            for _ in range(30):
                model.save_pretrained(tmp_path)
        except XorMiError as error:
            wrong.append(str(error))

    threads = [threading.Thread(target=save, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        loaded = HookedMLP.from_pretrained(tmp_path)
        seen.add(loaded.cfg.seed)
        if not torch.equal(loaded.fc1.bias, biases[loaded.cfg.seed]):
            wrong.append(f"seed {loaded.cfg.seed}, bias {loaded.fc1.bias.tolist()}")
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen <= {1, 2}
    assert names(tmp_path) == ["config.json", "model.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="home folders are named otherwise there")
def test_a_tilde_is_the_home_folder_for_every_reader_and_writer(tmp_path, monkeypatch):
    """Where one writes to ~, or to ~ and one's own name, one reads; nothing is called ~."""
    home = tmp_path / "home"
    monkeypatch.chdir(filled(tmp_path / "here", {}))
    monkeypatch.setenv("HOME", str(home))
    census = run_census("XOR", 2, directory="~/census", config=TrainConfig(max_steps=2), n_jobs=1)
    assert census == home / "census"
    assert len(read_census("~/census")) == 2
    assert handmade.textbook_xor().save_pretrained(Path("~/model")) == home / "model"
    HookedMLP.from_pretrained("~/model")
    report_of("~/report", False)
    table(Path("~"), False)
    testing.write_record(RECORD, "~/net.circuit.json")
    testing.read_record("~/net.circuit.json")
    WRITERS["search --out"].write(Path("~/report"), False)
    build.main(["nor-and", "--out", "~/zoo"])
    assert names(home) == [
        *("all.parquet", "census", "model", "net.circuit.json", "report", "zoo"),
    ]
    assert names(tmp_path) == ["here", "home"]
    assert names(tmp_path / "here") == []
    user = pwd.getpwuid(os.getuid())
    assert errors.as_path("directory", f"~{user.pw_name}/a") == Path(user.pw_dir, "a")
    assert errors.as_path("directory", "./~/a") == Path("~/a")


def test_a_tilde_with_an_unknown_user_is_refused(tmp_path, monkeypatch):
    """By name, and no folder is made."""
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: handmade.textbook_xor().save_pretrained("~nobody-of-that-name/a"),
        lambda: read_census("~nobody-of-that-name"),
    ):
        with pytest.raises(XorMiError, match="no home folder for ~nobody-of-that-name here"):
            call()
    assert names(tmp_path) == []


@pytest.mark.parametrize("n_bytes", [LARGEST_JSON, LARGEST_JSON + 1])
def test_what_is_too_long_to_be_read_is_nobodys(n_bytes, tmp_path):
    """Reading and writing draw one line: a JSON file is the package's own where it can be read."""
    file = tmp_path / "report.json"
    start = json.dumps({"schema": "xor_mi.report/3"})[:-1]
    file.write_text(start + " " * (n_bytes - len(start) - 1) + "}", encoding="ascii")
    is_own = n_bytes <= LARGEST_JSON
    assert saving.mark_of(file) == (saving.REPORT_MARK if is_own else "")
    if is_own:
        assert read_json(file, called="it", next_step="") == {"schema": "xor_mi.report/3"}
        return
    with pytest.raises(XorMiError, match="at most 16,777,216 are read"):
        read_json(file, called="it", next_step="")


@pytest.mark.parametrize("train", [train_population, partial(run_census, n_jobs=1)])
def test_the_last_seed_is_below_the_bound(train, tmp_path, monkeypatch):
    """2^62 - 1 is a seed, and none comes after it; refused before anything is trained or made."""
    monkeypatch.chdir(tmp_path)
    settings = {"config": TrainConfig(max_steps=1), "progress": False}
    train("XOR", 2, seed=2**62 - 2, **settings)
    before = names(tmp_path)
    for seed, n_networks in ((2**62 - 2, 3), (2**62 - 1, 2), (2**62, 1)):
        with pytest.raises(XorMiError, match=r"below 2\^62"):
            train("XOR", n_networks, seed=seed, **settings)
    assert names(tmp_path) == before
