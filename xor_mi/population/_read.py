"""A census in a Parquet file or folder -> the table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from xor_mi.errors import XorMiError, as_path, require_kind, unknown
from xor_mi.kinds import PathLike
from xor_mi.model import warn
from xor_mi.population._census import ENGINE, REQUIREMENTS, require_one_requirement
from xor_mi.population._parquet import (
    CENSUS_COLUMNS,
    COUNTS,
    NEW_IN_FORMAT_3,
    OLDER_FORMAT,
    engine_said_in,
    format_of,
    read_file,
)
from xor_mi.population._plan import Plan, fault_of, refused, stored_plan

if TYPE_CHECKING:
    import pyarrow as pa


MOST_NAMED = 3
"""The most missing shards that a message names."""


def read_census(path: PathLike, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A Parquet file, or a folder of them -> the table, in the order of seeds.

    In a folder that `run_census` made, every shard is checked against the plan in that folder, byte
    by byte. If shards are missing, the others are read, with a warning that names the missing ones
    (`XorMiWarning`). A census of format 2, from before circuits were counted, comes without the
    columns that it lacks, and its verdicts count joint readings; `population_from_census` rebuilds
    its networks, and `census` of these has all columns.

    The table's `attrs["engine"]` names the engine that trained the networks, if it is known.

    Args:
        columns: the columns to read, all by default; a million networks without their weights take
            a tenth of the memory.

    Raises:
        XorMiError: nothing at this path, a damaged or foreign file, a shard that is not in the plan
            or was written by a version that the plan does not allow, a seed in two files, files of
            two formats or requirements, or a column that does not exist.

    >>> import tempfile
    >>> from xor_mi.population import census, write_census
    >>> from xor_mi.training import train_population
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_census(census(train_population("XOR", 3)), Path(folder) / "three.parquet")
    ...     read_census(file, columns=["seed", "solved"]).values.tolist()
    [[0, False], [1, False], [2, True]]
    """
    import pyarrow as pa

    asked = CENSUS_COLUMNS if columns is None else columns
    require_kind("columns", asked, Iterable, give=f"names of columns, such as {CENSUS_COLUMNS[:2]}")
    for name in asked:
        if name not in CENSUS_COLUMNS:
            raise unknown("column", name, CENSUS_COLUMNS, where="a census has")
    path = as_path("path", path)
    files = _files(path)
    there = _columns_of(files)
    everything = [name for name in CENSUS_COLUMNS if name in there]
    wanted = list(columns or everything)
    _require_there(files[0], wanted, there)
    # The seeds order the rows, wanted or not; the other columns show that files are of one census.
    needed = ["seed", *(name for name in REQUIREMENTS if name in there)]
    with_needed = list(dict.fromkeys([*needed, *wanted]))
    tables = {file: read_file(file, with_needed) for file in files}
    networks = pa.concat_tables(list(tables.values()))
    _require_seeds_once(tables, networks)
    require_one_requirement(_distinct(networks, needed[1:]))
    frame = networks.select(list(dict.fromkeys(["seed", *wanted]))).sort_by("seed").to_pandas()
    for name in COUNTS:
        if name in frame:
            # Parquet's missing numbers come back as NaN, which turns the whole column into floats.
            frame[name] = frame[name].astype("Int32")
    found = frame[wanted]
    found.attrs |= _engine_of(path, files)
    return found


def _engine_of(path: Path, files: Sequence[Path]) -> dict[str, object]:
    """The engine that the plan names, or that all files name alike, as `attrs`; otherwise empty."""
    plan = stored_plan(path) if path.is_dir() else None
    if plan is not None:
        return {ENGINE: plan.engine}
    engines = [engine_said_in(file) for file in files]
    one = engines[0]
    return {ENGINE: one} if one and all(engine == one for engine in engines) else {}


def _columns_of(files: Sequence[Path]) -> tuple[str, ...]:
    """The columns of a census in these files; format 2 has fewer.

    Raises:
        XorMiError: files of both formats.
    """
    formats = {file: format_of(file) for file in files}
    if len(set(formats.values())) > 1:
        other = next(file for file in files if formats[file] != formats[files[0]])
        raise XorMiError(
            f"'{files[0]}' is a census of format {formats[files[0]]} and {other.name} of format "
            f"{formats[other]}; move one away, or read each file alone"
        )
    if formats[files[0]] == OLDER_FORMAT:
        return tuple(name for name in CENSUS_COLUMNS if name not in NEW_IN_FORMAT_3)
    return CENSUS_COLUMNS


def _require_there(file: Path, wanted: Sequence[str], there: Sequence[str]) -> None:
    """Refuse columns that an older census lacks."""
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise XorMiError(
            f"'{file}' is a census of format {OLDER_FORMAT}, from before circuits were counted, "
            f"and has no {', '.join(lacking)}; read it without these columns, and "
            "census(population_from_census(networks, cfg)) counts circuits"
        )


def _distinct(networks: "pa.Table", columns: list[str]) -> pd.DataFrame:
    """The distinct lines of a table in these columns."""
    if not columns:
        return pd.DataFrame()
    return networks.group_by(columns).aggregate([]).to_pandas()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        # a leading dot is a file that is still being written
        files = [file for file in path.glob("*.parquet") if not file.name.startswith(".")]
        plan = stored_plan(path)
        if plan is not None:
            _require_shards(path, sorted(files), plan)
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise XorMiError(
            f"no census at '{path}'; run_census(directory=...) or `xor-mi census --out ...` "
            "makes one"
        )
    return sorted(files)


def _require_shards(folder: Path, files: Sequence[Path], plan: Plan) -> None:
    """Refuse files that are not shards of a plan, and warn which shards are missing.

    Raises:
        XorMiError: naming the first such file, or that there is no shard at all.
    """
    shards = {shard.name: shard for shard in plan.shards()}
    for file in files:
        if file.name not in shards:
            raise XorMiError(
                f"'{folder}' holds {file.name}, which is not part of the census of its plan; move "
                "it away, or read each file alone"
            )
        fault = fault_of(file, plan, shards[file.name])
        if fault:
            raise refused(file, fault)
    missing = [name for name in shards if not (folder / name).is_file()]
    if not missing:
        return
    named = ", ".join(missing[:MOST_NAMED]) + (" and more" if len(missing) > MOST_NAMED else "")
    n_missing = sum(shards[name].n_networks for name in missing)
    said = (
        f"of the census in '{folder}' {len(missing)} of {len(shards)} shards are missing, with "
        f"{n_missing:,} of {plan.n_networks:,} networks ({named}); repeat the command that began "
        "it to make them"
    )
    if len(missing) == len(shards):
        raise XorMiError(said)
    warn(f"{said}; the others are read")


def _require_seeds_once(tables: "dict[Path, pa.Table]", networks: "pa.Table") -> None:
    """Refuse two files that hold the same seed, because they cannot be of one census."""
    if len(tables) < 2 or len(networks["seed"].unique()) == len(networks):
        return
    holder: dict[object, Path] = {}
    for file, table in tables.items():
        for seed in table["seed"].to_pylist():
            first = holder.setdefault(seed, file)
            if first != file:
                raise XorMiError(
                    f"seed {seed} is in '{first}' and in {file.name}, which are not of one "
                    "census; move one away, or read each file alone"
                )
