"""a census <-> a Parquet file, or a folder of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from xor_mi.errors import XorMiError, as_path, cut_short, require_kind, unknown
from xor_mi.kinds import PathLike
from xor_mi.population._census import REQUIREMENTS, require_one_requirement
from xor_mi.saving import (
    CENSUS_MARK,
    parquet_metadata,
    replacing,
    require_footer,
    require_own_file,
)

if TYPE_CHECKING:
    import pyarrow as pa

CENSUS_COLUMNS = (
    "seed",
    "solved",
    "steps",
    "loss",
    "verdict",
    "why_not",
    "gates",
    "family",
    "signature",
    "n_readings",
    "n_circuits",
    "n_circuits_single",
    "n_circuits_joint",
    "proof_level",
    "require",
    "min_margin",
    "margins",
    "weights",
)
"""The columns of a census, in their order."""

CENSUS_FORMAT = 3
"""Raised whenever a column is renamed or means something else.

Format 1 had `readings` for `n_readings`, and no `why_not`. Format 2 counted joint readings and no
circuits.
"""

OLDER_FORMAT = "2"
"""The format before this one, which is read too."""

NEW_IN_FORMAT_3 = (
    "n_circuits",
    "n_circuits_single",
    "n_circuits_joint",
    "proof_level",
    "require",
    "min_margin",
)
"""The columns that a census of format 2 lacks."""

COUNTS = ("n_readings", "n_circuits", "n_circuits_single", "n_circuits_joint")
"""Columns of whole numbers, some of which may be missing."""

# keys of the file's metadata, which Parquet keeps as bytes
_ABOUT_KEY = b"xor_mi"
_FORMAT_KEY = b"xor_mi_census_format"


def write_census(
    networks: pd.DataFrame,
    path: PathLike,
    *,
    about: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a census as one Parquet file: complete or not at all, whatever interrupts it.

    Args:
        about: JSON-ready values kept in the file's metadata, such as the configuration.
        overwrite: replace a file that is not a census.

    Returns:
        The file.

    Raises:
        XorMiError: a table that is not a census, or whose networks were identified with different
            requirements; a file that cannot be written, or one of that name which is not a census.
    """
    import pyarrow.parquet as pq

    require_kind("networks", networks, pd.DataFrame, give="a census, as census() returns it")
    require_one_requirement(networks)
    about = {} if about is None else about
    require_kind("about", about, Mapping, give="JSON-ready values by name")
    path = as_path("path", path)
    metadata = {_ABOUT_KEY: json.dumps(dict(about)), _FORMAT_KEY: str(CENSUS_FORMAT)}
    table = _table(networks).replace_schema_metadata(metadata)
    require_own_file(path, CENSUS_MARK, overwrite=overwrite)
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd")
    return path


def read_census(path: PathLike, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A Parquet file, or a folder of them -> the table, in the order of seeds.

    The folder is as `run_census` leaves it. A census of format 2, from before circuits were
    counted, comes without the columns that it lacks; its verdicts count joint readings.
    `population_from_census` makes networks of it, and `census` of these says the rest.

    Args:
        columns: only these; a million networks without their weights take a tenth of the memory.

    Raises:
        XorMiError: nothing there, a damaged or foreign file, one of another version of xor-mi, a
            seed that is in two files, files of two formats or requirements, or no such column.

    >>> import tempfile
    >>> from xor_mi.population import census
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
    files = _files(as_path("path", path))
    there = _columns_of(files)
    everything = [name for name in CENSUS_COLUMNS if name in there]
    wanted = list(columns or everything)
    _require_there(files[0], wanted, there)
    # The order of the rows needs the seeds, wanted or not; that they are of one census, the rest.
    needed = ["seed", *(name for name in REQUIREMENTS if name in there)]
    with_needed = list(dict.fromkeys([*needed, *wanted]))
    tables = {file: _read_file(file, with_needed) for file in files}
    networks = pa.concat_tables(list(tables.values()))
    _require_seeds_once(tables, networks)
    require_one_requirement(_distinct(networks, needed[1:]))
    frame = networks.select(list(dict.fromkeys(["seed", *wanted]))).sort_by("seed").to_pandas()
    for name in COUNTS:
        if name in frame:
            # Parquet's missing numbers come back as NaN, and NaN makes floats of them all.
            frame[name] = frame[name].astype("Int32")
    return frame[wanted]


def _columns_of(files: Sequence[Path]) -> tuple[str, ...]:
    """The columns that a census of these files has; those of format 2 are fewer.

    Raises:
        XorMiError: files of both formats.
    """
    formats = {file: _format_of(file) for file in files}
    if len(set(formats.values())) > 1:
        other = next(file for file in files if formats[file] != formats[files[0]])
        raise XorMiError(
            f"'{files[0]}' is a census of format {formats[files[0]]} and {other.name} of format "
            f"{formats[other]}; move one away, or read each by itself"
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
            f"and has no {', '.join(lacking)}; read it without, and "
            "census(population_from_census(networks, cfg)) counts them"
        )


def _distinct(networks: "pa.Table", columns: list[str]) -> pd.DataFrame:
    """The different lines that a table has in these columns."""
    if not columns:
        return pd.DataFrame()
    return networks.group_by(columns).aggregate([]).to_pandas()


def about_census(file: Path) -> object:
    """What `write_census` was told about a census; None where it was told nothing."""
    try:
        return json.loads(parquet_metadata(file)[_ABOUT_KEY]) or None
    # RecursionError: nested thousands of brackets deep
    except (OSError, KeyError, ValueError, RecursionError):
        return None


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        # a leading dot is a file that is still being written
        files = [file for file in path.glob("*.parquet") if not file.name.startswith(".")]
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise XorMiError(
            f"no census at '{path}'; run_census(directory=...) or `xor-mi census --out ...` "
            "makes one"
        )
    return sorted(files)


def _read_file(file: Path, columns: list[str]) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # opened here: Arrow reads "~" and "s3:" in a name as other places than Python does
        with file.open("rb") as opened:
            require_footer(opened)
            # read_table passes over a column that is missing; select raises the KeyError
            table = pq.read_table(opened, columns=columns).select(columns)
        _require_kinds(table.schema)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise _no_census(file, error) from None
    return table


def _no_census(file: Path, error: Exception) -> XorMiError:
    """What is said of a file that cannot be read as one."""
    # Arrow says more in further lines, and sometimes nothing
    reason = cut_short(next(iter(str(error).splitlines()), "it is damaged"))
    return XorMiError(f"'{file}' is not a census: {reason}; delete it and run the census again")


def _require_seeds_once(tables: "dict[Path, pa.Table]", networks: "pa.Table") -> None:
    """Refuse files that hold one seed twice: they are not of one census."""
    if len(tables) < 2 or len(networks["seed"].unique()) == len(networks):
        return
    holder: dict[object, Path] = {}
    for file, table in tables.items():
        for seed in table["seed"].to_pylist():
            first = holder.setdefault(seed, file)
            if first != file:
                raise XorMiError(
                    f"seed {seed} is in '{first}' and in {file.name}, which are not of one census; "
                    "move one away, or read each by itself"
                )


def _require_kinds(there: "pa.Schema") -> None:
    """Columns of the right names may hold values of other kinds, where another tool wrote them.

    Raises:
        OSError: naming the column, what it holds and what it should.
    """
    for column, expected in _schema(there.names).items():
        found = there.field(column).type
        if found != expected:
            raise OSError(f"its {column} is {found}, not {expected}")


def _format_of(file: Path) -> str:
    """The format of a census.

    Raises:
        XorMiError: no census, or one of a format that is not read.
    """
    try:
        # asked before it is opened: opening a pipe would wait for its other end
        if not file.is_file():
            raise OSError("it is not a file")
        metadata = parquet_metadata(file)
    except (OSError, ValueError) as error:
        raise _no_census(file, error) from None
    if _FORMAT_KEY not in metadata and _ABOUT_KEY not in metadata:
        raise XorMiError(f"'{file}' is not a census; give what write_census or run_census wrote")
    # the first format did not write its number
    stored = cut_short(metadata.get(_FORMAT_KEY, b"1").decode(errors="replace"))
    if stored not in (OLDER_FORMAT, str(CENSUS_FORMAT)):
        raise XorMiError(
            f"'{file}' is a census of format {stored}, and this version of xor-mi reads "
            f"formats {OLDER_FORMAT} and {CENSUS_FORMAT}; run the census again"
        )
    return stored


def _table(networks: pd.DataFrame) -> "pa.Table":
    """One schema for every shard: an empty list column, above all, does not tell its own type."""
    import pyarrow as pa

    missing = [name for name in CENSUS_COLUMNS if name not in networks]
    if missing:
        raise XorMiError(f"this table has no column {', '.join(missing)}; write what census() gave")
    schema = pa.schema(list(_schema(CENSUS_COLUMNS).items()))
    return pa.Table.from_pandas(networks[list(CENSUS_COLUMNS)], schema=schema, preserve_index=False)


def _schema(columns: Iterable[str]) -> "dict[str, pa.DataType]":
    """Column -> the kind of its values in a file."""
    import pyarrow as pa

    kinds = {
        "seed": pa.int64(),
        "solved": pa.bool_(),
        "steps": pa.int32(),
        "loss": pa.float32(),
        "min_margin": pa.float64(),
        "margins": pa.list_(pa.float64()),
        "weights": pa.list_(pa.float32()),
    } | dict.fromkeys(COUNTS, pa.int32())
    return {name: kinds.get(name, pa.string()) for name in columns}
