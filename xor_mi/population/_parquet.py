"""a census <-> a Parquet file, or a folder of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from xor_mi.errors import XorMiError, as_path, cut_short, require_kind, unknown
from xor_mi.kinds import PathLike
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
    "margins",
    "weights",
)
"""The columns of a census, in their order."""

CENSUS_FORMAT = 2
"""Raised whenever a column is renamed or means something else.

Format 1 had `readings` for `n_readings`, and no `why_not`.
"""

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
        XorMiError: a table that is not a census, a file that cannot be written, or one of that name
            which is not a census.
    """
    import pyarrow.parquet as pq

    require_kind("networks", networks, pd.DataFrame, give="a census, as census() returns it")
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

    The folder is as `run_census` leaves it.

    Args:
        columns: only these; a million networks without their weights take a tenth of the memory.

    Raises:
        XorMiError: nothing there, a damaged or foreign file, one of another version of xor-mi, a
            seed that is in two files, or no such column.

    >>> import tempfile
    >>> from xor_mi.population import census
    >>> from xor_mi.training import train_population
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_census(census(train_population("XOR", 3)), Path(folder) / "three.parquet")
    ...     read_census(file, columns=["seed", "solved"]).values.tolist()
    [[0, False], [1, False], [2, True]]
    """
    import pyarrow as pa

    columns = CENSUS_COLUMNS if columns is None else columns
    require_kind(
        "columns", columns, Iterable, give=f"names of columns, such as {CENSUS_COLUMNS[:2]}"
    )
    for name in columns:
        if name not in CENSUS_COLUMNS:
            raise unknown("column", name, CENSUS_COLUMNS, where="a census has")
    wanted = list(columns or CENSUS_COLUMNS)
    # The order of the rows needs the seeds, wanted or not.
    with_seed = list(dict.fromkeys(["seed", *wanted]))
    tables = {file: _read_file(file, with_seed) for file in _files(as_path("path", path))}
    networks = pa.concat_tables(list(tables.values()))
    _require_seeds_once(tables, networks)
    frame = networks.sort_by("seed").to_pandas()
    if "n_readings" in frame:
        # Parquet's missing numbers come back as NaN, and NaN makes floats of them all.
        frame["n_readings"] = frame["n_readings"].astype("Int32")
    return frame[wanted]


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
        # asked before it is opened: opening a pipe would wait for its other end
        if not file.is_file():
            raise OSError("it is not a file")
        _require_this_format(file, parquet_metadata(file))
        # opened here: Arrow reads "~" and "s3:" in a name as other places than Python does
        with file.open("rb") as opened:
            require_footer(opened)
            # read_table passes over a column that is missing; select raises the KeyError
            table = pq.read_table(opened, columns=columns).select(columns)
        _require_kinds(table.schema)
    except XorMiError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        # Arrow says more in further lines, and sometimes nothing
        reason = cut_short(next(iter(str(error).splitlines()), "it is damaged"))
        raise XorMiError(
            f"'{file}' is not a census: {reason}; delete it and run the census again"
        ) from None
    return table


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


def _require_this_format(file: Path, metadata: Mapping[bytes, bytes]) -> None:
    if _FORMAT_KEY not in metadata and _ABOUT_KEY not in metadata:
        raise XorMiError(f"'{file}' is not a census; give what write_census or run_census wrote")
    # the first format did not write its number
    stored = cut_short(metadata.get(_FORMAT_KEY, b"1").decode(errors="replace"))
    if stored != str(CENSUS_FORMAT):
        raise XorMiError(
            f"'{file}' is a census of format {stored}, and this version of xor-mi reads "
            f"format {CENSUS_FORMAT}; run the census again"
        )


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
        "n_readings": pa.int32(),
        "margins": pa.list_(pa.float64()),
        "weights": pa.list_(pa.float32()),
    }
    return {name: kinds.get(name, pa.string()) for name in columns}
