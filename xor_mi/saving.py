"""text or bytes -> a file that is there as a whole, and never over what somebody else wrote.

Every file of this package is written here. It is written beside its place and then renamed, so a
reader sees the old file or the new one, a failure leaves the old one, and a link is replaced and
not followed. Files that belong together, as a model's do, are renamed one after the other when all
are written, in the order in which they are given; if that fails or is stopped, the renamed ones are
put back. Two processes of one machine do so one after the other, and whoever reads such files waits
(`unchanging`). Old and new files are left mixed only if a process is killed between two renames, or
if the disk refuses to put a file back: then the error names what to rename.

Before that, whoever writes asks whether the place is free: a file counts as this package's by what
is in it, not by its name.
"""

import errno
import json
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import IO

from xor_mi.errors import XorMiError, as_path, require_kind, unwritable
from xor_mi.reading import LARGEST_JSON

if sys.platform != "win32":
    import fcntl

__all__ = [
    "ATLAS_MARK",
    "BENCH_MARK",
    "CENSUS_MARK",
    "CIRCUIT_MARK",
    "EXAM_MARK",
    "MODEL_MARK",
    "REPORT_MARK",
    "SEARCH_MARK",
    "TRAJECTORIES_MARK",
    "TRAJECTORY_MARK",
    "mark_of",
    "parquet_metadata",
    "parquet_metadata_of",
    "remove_abandoned",
    "replacing",
    "require_footer",
    "require_own",
    "require_own_file",
    "require_writable",
    "unchanging",
    "weight_shapes",
    "working_alone",
    "write_file",
    "write_files",
    "write_new",
]

MODEL_MARK = "xor_mi.HookedMLP"
"""The mark of config.json and model.safetensors."""
CIRCUIT_MARK = "xor_mi.Circuit"
"""The mark of circuit.json."""
REPORT_MARK = "xor_mi.report"
"""The mark of report.json, report.html and patching.csv."""
SEARCH_MARK = "xor_mi.search"
"""The mark of search.json."""
CENSUS_MARK = "xor_mi.census"
"""The mark of a census: its plan and every Parquet file."""
TRAJECTORIES_MARK = "xor_mi.trajectories"
"""The mark of a table of trajectories: its plan and every Parquet file."""

EXAM_MARK = "xor_mi.exam"
"""The mark of what `xor-mi exam` writes: plan, lots, grades and page."""

TRAJECTORY_MARK = "xor_mi.trajectory"
"""The mark of the page of a trajectory and of the two tables beside it."""

ATLAS_MARK = "xor_mi.atlas"
"""The mark of the table of least widths."""

BENCH_MARK = "xor_mi.bench"
"""The mark of a page with benches."""

REGRESSION_MARK = "xor_mi.regression"
FINDING_MARK = "xor_mi.finding"
"""The marks of what `testing.write_record` writes: records of circuits, and of other findings."""
MARKS = {
    *(MODEL_MARK, CIRCUIT_MARK, REPORT_MARK, SEARCH_MARK, CENSUS_MARK),
    *(EXAM_MARK, TRAJECTORY_MARK, TRAJECTORIES_MARK, REGRESSION_MARK, FINDING_MARK),
    *(ATLAS_MARK, BENCH_MARK),
}

HEAD = 1024
"""The mark of a page is looked for in this many bytes from its start."""
LARGEST_HEADER = 2**20
"""The longest header of a table or of weights that is read, in bytes."""
LARGEST_FOOTER = 2**26
"""The longest footer of a Parquet file that is read, in bytes; a census has some thousands."""
MOST_NAMED = 3
"""A message names at most this many of the files in the way."""
ABANDONED_AFTER = 24 * 60 * 60
"""Seconds after which a temporary file of another machine counts as abandoned."""

# what systems and Python put into folders by themselves; names with a dot do not count either
_NOT_COUNTED = {"__pycache__", "Thumbs.db", "desktop.ini"}
# a hash, because a machine's name may have signs that a file's name may not
_MACHINE = f"{zlib.crc32(socket.gethostname().encode('utf-8', 'replace')):08x}"
_LONGEST_NAME = 160
"""A temporary file carries the name of its file if that has at most this many bytes."""
_LOCK_START = b"process "
"""The first bytes of a lock file of this package."""
_NEXT_STEP = "choose another folder, or give --force (in Python overwrite=True)"


# may it be written?


def require_own(directory: str | Path, writes: Mapping[str, str], *, overwrite: bool) -> Path:
    """Refuse a folder that holds files which this package did not write.

    Names with a dot in front do not count, and neither does the README.md beside a saved model. A
    folder that is not there is fine.

    Args:
        writes: the files that are to be written, name -> mark, as `mark_of` gives it.
        overwrite: files of others may stand beside, and those under these names may be replaced.

    Raises:
        XorMiError: naming what is in the way, or a folder where a file should be.
    """
    folder = as_path("directory", directory)
    require_kind("overwrite", overwrite, bool, give="True or False")
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        return folder
    except OSError as error:
        raise unwritable(folder, error) from None
    asked = [name for name in names if name in writes]
    for name in asked:
        _require_no_folder(folder / name)
    if overwrite:
        return folder
    clashing = [name for name in asked if mark_of(folder / name) != writes[name]]
    if clashing:
        raise XorMiError(
            f"'{folder}' holds {_listed(iter(clashing))}, which xor-mi did not write, or which is "
            f"damaged; {_NEXT_STEP} to replace just that"
        )
    others = (name for name in names if name not in writes and not _is_own(folder, name))
    named = _listed(others)
    if named:
        raise XorMiError(
            f"'{folder}' holds {named}, which xor-mi did not write; {_NEXT_STEP} to write "
            f"{_listed(iter(writes))} beside that"
        )
    return folder


def require_own_file(file: Path, mark: str, *, overwrite: bool) -> None:
    """Refuse a file that is there and does not have the mark.

    Raises:
        XorMiError: naming it, or a folder where the file should be.
    """
    require_kind("overwrite", overwrite, bool, give="True or False")
    _require_no_folder(file)
    if os.path.lexists(file) and not overwrite and mark_of(file) != mark:
        raise XorMiError(
            f"'{file}' is there, and is not a file of {mark}; choose another name, or give --force "
            "(in Python overwrite=True) to replace it"
        )


def require_writable(
    directory: str | Path, writes: Mapping[str, str], *, overwrite: bool = False
) -> Path:
    """Make the folder and try to write in it, so that it is refused before any work is done.

    Raises:
        XorMiError: it cannot be made, nothing can be written in it, or `require_own` refuses it.
    """
    folder = require_own(directory, writes, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error) from None
    return folder


def _require_no_folder(file: Path) -> None:
    if _is_folder(file):
        raise XorMiError(
            f"cannot write '{file}': a folder is there; move it away, or choose another name"
        )


def _is_folder(path: Path) -> bool:
    """Whether this is a folder; a link to one is not, since the link itself would be replaced."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:  # nothing is there, or it may not be looked at
        return False


def _listed(names: Iterator[str]) -> str:
    """'a, b, c and more', or ''."""
    first = list(islice(names, MOST_NAMED + 1))
    return ", ".join(first[:MOST_NAMED]) + (" and more" if len(first) > MOST_NAMED else "")


def _is_own(folder: Path, name: str) -> bool:
    """Whether an entry of a folder holds nothing that somebody else wrote."""
    if not _counts(name):
        return True
    # the page about a model that goes with it to where models are shared
    if name == "README.md" and mark_of(folder / "config.json") == MODEL_MARK:
        return True
    entry = folder / name
    if not _is_folder(entry):
        return mark_of(entry) != ""
    # an empty file holds nobody's work
    return all(mark_of(file) for file in _files_below(entry))


def _files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those inside it, and links to folders, which nobody enters."""
    for path, folders, files in os.walk(folder, onerror=_unseen):
        links = [name for name in folders if Path(path, name).is_symlink()]
        # in place: os.walk visits what is left in this list
        folders[:] = [name for name in folders if _counts(name)]
        yield from (Path(path, name) for name in [*links, *files] if _counts(name))


def _unseen(error: OSError) -> None:
    """Raise; without this, os.walk passes over a folder that may not be read."""
    raise unwritable(error.filename, error)


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_COUNTED


# whose file is it?


def mark_of(file: Path) -> str:
    """What this package wrote a file as, such as "xor_mi.Circuit"; "" for everybody else's.

    Read from the file's content. Where a name may stand for many things, its neighbours decide too:
    weights are a model's beside its config.json, a table of patches is a report's beside its
    report.json.
    """
    reader = _READERS.get(file.suffix.lower(), _mark_of_json)
    try:
        # asked before it is opened: opening a pipe would wait for its other end
        return reader(file) if stat.S_ISREG(file.stat().st_mode) else ""
    # RecursionError: JSON that is nested thousands of brackets deep
    except (OSError, ValueError, RecursionError):
        return ""


_MARK = re.compile(r"(xor_mi\.\w+)(?:/\d+)?")


def _mark_of_json(file: Path) -> str:
    content = _json_object(file)
    return "" if content is None else _mark_in(content)


def _json_object(file: Path) -> dict[str, object] | None:
    """What a JSON file holds; None if it is too large to be ours, or is not an object."""
    with file.open("rb") as opened:
        # a byte order mark, which some editors put in front, is passed over as in reading
        head = opened.read(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not head.startswith(b"{") or os.fstat(opened.fileno()).st_size > LARGEST_JSON:
            return None
        # read to its end: a text that only begins like one of ours is not ours
        opened.seek(0)
        return json.loads(opened.read(LARGEST_JSON + 1))


def _mark_in(content: dict[str, object]) -> str:
    """The mark that a JSON object carries; "" if it is none of this package's."""
    for key in ("format", "schema"):
        value = content.get(key)
        found = _MARK.fullmatch(value) if isinstance(value, str) else None
        if found and found[1] in MARKS:
            return found[1]
    return _mark_of_0_1_0(content)


_PLAN_OF_0_1_0 = {
    "target": dict,
    "hidden": list,
    "seed": int,
    "n_networks": int,
    "shard_size": int,
    "config": dict,
    "format": int,
}
_SEARCH_OF_0_1_0 = {
    *("counts", "stopped", "convention", "subcircuits", "alignments", "verdict", "formula"),
    *("surviving_subcircuits", "n_surviving", "n_perfect", "sets_tried", "output"),
    *("n_alignments_up_to_negation", "n_alignments_agreeing", "why_no_alignments"),
}
_COUNTS_OF_0_1_0 = {
    *("convention", "differs_in", "n_subcircuits", "n_perfect", "n_minimal", "n_interpretations"),
    *("n_formulas", "n_aligned", "n_alignments", "why_not"),
}
_STOPPED_OF_0_1_0 = {"convention", "n_tried", "n_perfect", "complete"}


def _mark_of_0_1_0(content: dict[str, object]) -> str:
    """search.json and plan.json had no mark in 0.1.0; they are known by their keys."""
    if content.keys() == _PLAN_OF_0_1_0.keys():
        is_a_plan = all(isinstance(content[key], kind) for key, kind in _PLAN_OF_0_1_0.items())
        return CENSUS_MARK if is_a_plan else ""
    if not content.keys() <= _SEARCH_OF_0_1_0:
        return ""
    lines, stopped = content.get("counts"), content.get("stopped", [])
    if not isinstance(lines, list) or not isinstance(stopped, list) or not (lines or stopped):
        return ""
    columns = {"convention", "n_subcircuits", "n_perfect"}
    is_a_search = all(
        isinstance(line, dict) and columns <= line.keys() <= _COUNTS_OF_0_1_0 for line in lines
    ) and all(isinstance(line, dict) and line.keys() == _STOPPED_OF_0_1_0 for line in stopped)
    return SEARCH_MARK if is_a_search else ""


# 0.1.0 named no generator
_START_OF_A_PAGE = re.compile(
    rb'\s*<!DOCTYPE html>\s*<html lang="en">\s*<head>\s*<meta charset="utf-8">\s*'
    rb'<meta name="viewport" content="width=device-width, initial-scale=1">\s*'
    rb'(?:<meta name="generator" content="xor-mi '
    rb'(xor_mi\.(?:report|exam|trajectory|bench))/\d+">\s*)?'
    rb'<link rel="icon" href="data:,">\s*<title>xor-mi: \w[^<]*</title>'
)


def _mark_of_html(file: Path) -> str:
    with file.open("rb") as opened:
        start = _START_OF_A_PAGE.match(opened.read(HEAD))
    if not start:
        return ""
    return REPORT_MARK if start[1] is None else start[1].decode()


def _mark_of_weights(file: Path) -> str:
    # the weights of a model have this name; under another one they are a copy that the user made
    config_file = file.with_name("config.json")
    if file.name != "model.safetensors" or not config_file.is_file():
        return ""
    config = _json_object(config_file)
    if config is None or _mark_in(config) != MODEL_MARK:
        return ""
    with file.open("rb") as opened:
        n_bytes = int.from_bytes(opened.read(8), "little")
        if n_bytes > LARGEST_HEADER:
            return ""
        header = json.loads(opened.read(n_bytes))
    if not isinstance(header, dict):
        return ""
    there = {
        name: about.get("shape") if isinstance(about, dict) else None
        for name, about in header.items()
        if name != "__metadata__"
    }
    return MODEL_MARK if there == _shapes_by(config) else ""


def _shapes_by(config: dict[str, object]) -> dict[str, list[int]] | None:
    """The shapes of the weights of a saved model, by name, as its config has them."""
    widths = config.get("d_hidden")
    sizes = [config.get("d_in"), *(widths if isinstance(widths, list) else [widths])]
    sizes.append(config.get("d_out"))
    whole = [size for size in sizes if isinstance(size, int)]
    if len(whole) < len(sizes):
        return None
    # a config written before there were direct connections does not have this setting
    return weight_shapes(whole, direct=config.get("direct") is True)


def weight_shapes(layer_sizes: Sequence[int], *, direct: bool) -> dict[str, list[int]]:
    """The names under which a model's weights are saved, and their shapes.

    >>> weight_shapes((2, 1, 1), direct=True)["direct.weight"]
    [1, 2]
    """
    shapes: dict[str, list[int]] = {}
    for number, (d_in, d_out) in enumerate(pairwise(layer_sizes), start=1):
        shapes |= {f"fc{number}.weight": [d_out, d_in], f"fc{number}.bias": [d_out]}
    if direct:
        shapes["direct.weight"] = [layer_sizes[-1], layer_sizes[0]]
    return shapes


_FIRST_COLUMNS = ["clean", "corrupted", "pair", "site", "direction"]
# 0.1.0 wrote logit_clean for clean_logit, whatever the outputs were
_FURTHER_COLUMN = re.compile(
    r"(?:clean|corrupted|patched|effect|recovered_fraction|why_no_fraction)"
    r"_(?:logit|(?:probability|output)(?:_difference)?)(?:_y\d+)?"
    r"|logit(?:_y\d+)?_(?:clean|corrupted|patched)"
    r"|recovered_fraction|why_no_fraction|decision_patched|flips"
)


TRAJECTORY_TABLES = {
    "trajectory.csv": (
        *("step", "loss", "n_rows_right", "n_trained_right", "n_held_out_right", "verdict"),
        *("family", "gates", "dead", "margin", "slack"),
    ),
    "events.csv": ("step", "event", "unit", "before", "after"),
}
"""The tables beside the page of a trajectory, and their columns."""


def _mark_of_table(file: Path) -> str:
    with file.open("rb") as opened:
        columns = opened.readline(LARGEST_HEADER).decode().rstrip("\r\n").split(",")
    if tuple(columns) == TRAJECTORY_TABLES.get(file.name):
        is_beside = mark_of(file.with_name("index.html")) == TRAJECTORY_MARK
        return TRAJECTORY_MARK if is_beside else ""
    return _mark_of_patches(file, columns)


def _mark_of_patches(file: Path, columns: Sequence[str]) -> str:
    n_first = len(_FIRST_COLUMNS)
    is_a_sweep = list(columns[:n_first]) == _FIRST_COLUMNS and "recovered_fraction" in columns
    is_a_sweep = is_a_sweep and all(map(_FURTHER_COLUMN.fullmatch, columns[n_first:]))
    is_beside = is_a_sweep and mark_of(file.with_name("report.json")) == REPORT_MARK
    return REPORT_MARK if is_beside else ""


def _mark_of_parquet(file: Path) -> str:
    metadata = parquet_metadata(file)
    if b"xor_mi_trajectories_format" in metadata:
        return TRAJECTORIES_MARK
    if b"xor_mi_atlas_format" in metadata:
        return ATLAS_MARK
    # the first format of a census did not write its number
    number = metadata.get(b"xor_mi_census_format", b"1")
    about = json.loads(metadata.get(b"xor_mi", b"null"))
    return CENSUS_MARK if number.isdigit() and isinstance(about, dict) else ""


def parquet_metadata(file: Path) -> dict[bytes, bytes]:
    """What a Parquet file says of itself by key; its table is not read.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a Parquet file, is damaged, or has a footer longer than any of ours.
    """
    # opened here: Arrow reads "~" and "s3:" in a name as other places than Python does
    with file.open("rb") as opened:
        return parquet_metadata_of(opened)


def parquet_metadata_of(opened: IO[bytes]) -> dict[bytes, bytes]:
    """The same of a file that is open."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_footer(opened)
    try:
        return dict(pq.read_metadata(opened).metadata or {})
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None


def require_footer(opened: IO[bytes]) -> None:
    """Refuse a file without a Parquet file's end; Arrow asks for as much memory as the end says.

    Raises:
        ValueError: saying what is wrong.
    """
    n_bytes = opened.seek(0, os.SEEK_END)
    opened.seek(max(0, n_bytes - 8))
    end = opened.read(8)
    opened.seek(0)
    n_footer = int.from_bytes(end[:4], "little")
    if n_bytes < 12 or end[4:] != b"PAR1":
        raise ValueError("it is empty" if n_bytes == 0 else "it is cut off or not a Parquet file")
    if n_footer > min(n_bytes - 12, LARGEST_FOOTER):
        raise ValueError("it is damaged: its footer cannot be so long")


_READERS: dict[str, Callable[[Path], str]] = {
    ".html": _mark_of_html,
    ".safetensors": _mark_of_weights,
    ".csv": _mark_of_table,
    ".parquet": _mark_of_parquet,
}


# writing


def write_file(file: Path, content: str | bytes) -> None:
    """Write a text (as UTF-8) or bytes under a name, completely or not at all.

    Raises:
        XorMiError: it cannot be written; what was there stays.
    """
    write_files({file: content})


def write_files(contents: Mapping[Path, str | bytes]) -> None:
    """Write texts (as UTF-8) or bytes under several names, in this order. No file takes its name
    before all are written.

    Raises:
        XorMiError: one cannot be written; all names keep what they had. If even putting it back
            fails, it stays in the folder, and the message says under which name.
    """
    waiting: dict[Path, Path] = {}
    try:
        for file, content in contents.items():
            with _naming(file), _beside(file) as (scratch, opened):
                waiting[file] = scratch
                opened.write(_as_bytes(content))
        with _alone_in(file.parent for file in waiting):
            _take_names(waiting)
    finally:
        for scratch in waiting.values():
            _remove(scratch)


def _take_names(waiting: Mapping[Path, Path]) -> None:
    """Give written files their names; if one rename fails, none of them is kept.

    Args:
        waiting: name -> where its content is.
    """
    old: dict[Path, Path | None] = {}
    try:
        for file, scratch in waiting.items():
            with _naming(file):
                # with one file there is nothing to put back
                if len(waiting) > 1:
                    old[file] = _scratch_of(file) if os.path.lexists(file) else None
                    _keep(file, old[file])
                scratch.replace(file)
    except BaseException as error:
        # if the content still waits, the file has not changed
        renamed = [file for file in old if not os.path.lexists(waiting[file])]
        stuck = [file for file in renamed if not _put_back(file, old[file])]
        if stuck:
            # what was kept is all that is left of these files
            beside = [(file, old.pop(file)) for file in stuck]
            raise _not_put_back(beside, error) from error
        raise
    finally:
        for kept in old.values():
            if kept is not None:
                _remove(kept)


def _keep(file: Path, second: Path | None) -> None:
    """A second name for what is there, in the same folder; None if nothing is there."""
    if second is None:
        return
    try:
        os.link(file, second, follow_symlinks=False)
    except OSError:  # a file system without hard links
        _remove(second)
        shutil.copy2(file, second, follow_symlinks=False)


def _put_back(file: Path, old: Path | None) -> bool:
    """Give a name back what it had, and say whether that could be done."""
    try:
        if old is None:
            file.unlink(missing_ok=True)
        else:
            old.replace(file)
    except OSError:
        return False
    return True


def _not_put_back(beside: Sequence[tuple[Path, Path | None]], error: BaseException) -> XorMiError:
    """What to do by hand if neither the new files nor the old ones could take their names.

    Args:
        beside: name -> where its old content is kept, or None if it had none.
    """
    steps = [
        f"remove '{file.name}'" if kept is None else f"rename '{kept.name}' to '{file.name}'"
        for file, kept in beside
    ]
    folder = beside[0][0].parent
    return XorMiError(
        f"{error or 'stopped'}; and what was there could not be put back: "
        f"in '{folder}' {', and '.join(steps)}"
    )


@contextmanager
def unchanging(folder: Path) -> Iterator[None]:
    """While this lasts, `write_files` of this machine renames nothing in a folder.

    Files that belong together are thus read as they were written together. It waits for as long as
    a rename takes. If the system has no such lock, it does nothing.
    """
    with _locked(folder, shared=True):
        yield


@contextmanager
def _alone_in(folders: Iterable[Path]) -> Iterator[None]:
    """Nobody else renames or reads in these folders meanwhile."""
    with ExitStack() as stack:
        # in one order for all processes; otherwise two could wait for each other
        for folder in sorted(set(folders)):
            stack.enter_context(_locked(folder, shared=False))
        yield


@contextmanager
def _locked(folder: Path, *, shared: bool) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:  # the read or write that follows says what is wrong with it
        yield
        return
    try:
        # some network file systems lock no folder
        with suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def write_new(file: Path, content: str | bytes) -> bool:
    """Write a text or bytes under a name if it is free, and say whether it was.

    If two processes do so at once, one is told True, and the other finds a complete file.

    Raises:
        XorMiError: it cannot be written.
    """
    data = _as_bytes(content)
    with _naming(file):
        if os.path.lexists(file):
            return False
        with _beside(file) as (scratch, opened):
            opened.write(data)
        try:
            # unlike a rename, this fails where the name is taken
            os.link(scratch, file)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            return _write_exclusively(file, data)
        finally:
            _remove(scratch)
    return True


def _as_bytes(content: str | bytes) -> bytes:
    """A text is written as UTF-8, on every machine."""
    return content.encode("utf-8") if isinstance(content, str) else content


def _write_exclusively(file: Path, data: bytes) -> bool:
    try:
        with file.open("xb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
    except FileExistsError:
        return False
    return True


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """A file opened for writing bytes that takes its name when the block ends without an error.

    A link is replaced by the file; what it points to stays as it is.

    Raises:
        XorMiError: it cannot be written; what was there stays.
    """
    with _naming(file):
        with _beside(file) as (scratch, opened):
            yield opened
        try:
            scratch.replace(file)
        finally:
            _remove(scratch)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(file, error) from None


@contextmanager
def _beside(file: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A hidden file in the same folder, opened; it stays if the block ends without an error.

    Raises:
        OSError: it cannot be written, or may not take the file's name.
    """
    mode = _mode_of(file)
    scratch = _scratch_of(file)
    try:
        # not with tempfile, whose files nobody else may read
        with scratch.open("xb") as opened:
            yield scratch, opened
            opened.flush()
            # on the disk, not only in the system's memory, before the file takes its name
            os.fsync(opened.fileno())
        if mode is not None:
            scratch.chmod(mode)
    except BaseException:
        _remove(scratch)
        raise


def _remove(scratch: Path) -> None:
    """Delete a temporary file if it is still there."""
    with suppress(OSError):
        scratch.unlink(missing_ok=True)


def _mode_of(file: Path) -> int | None:
    """Permissions to keep: those of the file that is replaced, if there is one.

    Raises:
        OSError: what is there may not be replaced.
    """
    is_link = False
    try:
        # first those of the name itself: a link's permissions are its target's
        is_link = stat.S_ISLNK(file.lstat().st_mode)
        mode = file.stat().st_mode
    except FileNotFoundError:  # nothing there, or a link to nothing
        return None
    except OSError as error:
        if is_link and error.errno == errno.ELOOP:  # a link that ends at itself
            return None
        raise
    if stat.S_ISDIR(mode):
        if is_link:
            return None
        raise IsADirectoryError(errno.EISDIR, "a folder is there")
    if not stat.S_ISREG(mode):
        # /dev/null, a pipe: renaming a file to it would take it from the whole machine
        raise OSError(errno.EINVAL, "it is not a file but a device or a pipe")
    if is_link:
        return None
    # renaming asks for the folder's permission only, and would pass over a file's own
    if not os.access(file, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, "the file is write-protected")
    return stat.S_IMODE(mode)


# one process at a time


@contextmanager
def working_alone(folder: Path, name: str, *, doing: str) -> Iterator[None]:
    """While this lasts, no other process works in a folder under this name.

    A hidden file in the folder says which process works there. The system holds the lock, so a
    process that is killed leaves only the file, which the next process takes over. On a file system
    without locks this does nothing.

    Args:
        name: the file's name.
        doing: what is done there, for messages, such as "a census".

    Raises:
        XorMiError: another process works there, or the file cannot be written.
    """
    file = folder / name
    with _naming(file):
        opened = _held(file, doing)
    try:
        yield
    finally:
        # while it is still held: another process may wait for the name
        _remove(file)
        opened.close()


def _held(file: Path, doing: str) -> IO[bytes]:
    """The lock file, which only this process holds, and which names this process."""
    # the file that a link points to is never written to
    how = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        if file.is_symlink():
            raise _no_lock(file)
        # neither emptied nor made anew: another process may hold it
        opened = os.fdopen(os.open(file, how, 0o666), "r+b")
        try:
            _hold(opened)
        except (BlockingIOError, PermissionError):
            holder = opened.read(HEAD).decode("utf-8", "replace")
            opened.close()
            raise XorMiError(
                f"'{file.parent}' is in use: {holder or 'another process'} runs {doing} there; "
                "wait until it is done, stop it, or choose another folder"
            ) from None
        except OSError:  # this file system has no locks
            pass
        # the process that held it has removed the name since
        if _is_named(opened, file):
            break
        opened.close()
    start = opened.read(len(_LOCK_START))
    if start not in (b"", _LOCK_START):
        opened.close()
        raise _no_lock(file)
    opened.seek(0)
    opened.truncate()
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    opened.write(f"process {os.getpid()} on {socket.gethostname()}, since {since}".encode())
    opened.flush()
    return opened


def _no_lock(file: Path) -> XorMiError:
    return XorMiError(
        f"'{file}' is there, and is not a lock that xor-mi wrote; "
        "move it away, or choose another folder"
    )


def _hold(opened: IO[bytes]) -> None:
    """Take the lock; OSError if another process has it, or if there are no locks."""
    if sys.platform == "win32":
        import msvcrt

        # a byte far behind the text, so that others may still read the text
        opened.seek(2**20)
        msvcrt.locking(opened.fileno(), msvcrt.LK_NBLCK, 1)
        opened.seek(0)
    else:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_named(opened: IO[bytes], file: Path) -> bool:
    """Whether the open file is still the file of that name."""
    try:
        return os.path.samestat(os.fstat(opened.fileno()), file.stat())
    except FileNotFoundError:
        return False


# what a killed process leaves behind

_SCRATCH = re.compile(
    r"\.(?P<name>.+)\.(?:(?P<machine>[0-9a-f]{8})-)?(?P<process>\d+)(?:-[0-9a-f]{8})?\.partial"
)
"""The name of a temporary file; version 0.1.0 wrote the number of the process alone."""


def _scratch_of(file: Path) -> Path:
    """Where a file is written before it takes its name: hidden, and this process's own."""
    name = file.name if len(os.fsencode(file.name)) <= _LONGEST_NAME else "file"
    token = os.urandom(4).hex()
    return file.with_name(f".{name}.{_MACHINE}-{os.getpid()}-{token}.partial")


def remove_abandoned(folder: Path, names: Collection[str]) -> None:
    """Delete the temporary files of killed processes that were writing one of these files.

    Files of a living process of this machine stay, and files of another machine stay for a day.
    """
    for entry in folder.glob(".*.partial"):
        parts = _SCRATCH.fullmatch(entry.name)
        # a folder of that name, or one that may not be removed, is passed over
        with suppress(OSError):
            if parts and parts["name"] in names and _is_abandoned(entry, parts):
                entry.unlink(missing_ok=True)


def _is_abandoned(entry: Path, parts: re.Match[str]) -> bool:
    """Whether nobody writes it any more; OSError if the file was renamed meanwhile."""
    # on Windows os.kill ends a process whatever the signal
    if parts["machine"] == _MACHINE and os.name != "nt":
        return not _is_alive(int(parts["process"]))
    return time.time() - entry.lstat().st_mtime > ABANDONED_AFTER


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 is not sent; it only asks
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is alive, and belongs to another user
        return True
    return True
