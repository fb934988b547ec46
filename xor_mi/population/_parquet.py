"""a census, or another table over many networks <-> a Parquet file."""

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from io import SEEK_END, BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, NamedTuple

import pandas as pd

from xor_mi.errors import XorMiError, as_path, cut_short, require_kind
from xor_mi.kinds import PathLike
from xor_mi.population._census import require_one_requirement
from xor_mi.saving import (
    CENSUS_MARK,
    parquet_metadata,
    parquet_metadata_of,
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
"""Increased whenever a column is renamed or changes its meaning.

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


class TableKind(NamedTuple):
    """A kind of table over many networks that is kept in Parquet files.

    Attributes:
        name: what a message calls it, without an article.
        mark: the mark of its files; see `saving.mark_of`.
        format_key: the key of the format in a file's metadata, as bytes.
        format: increased whenever a column is renamed or changes its meaning.
        columns: in their order.
        has_a_line_each: whether every network has exactly one line.
        if_damaged, if_of_another_version: what a message tells the user to do about such a file in
            its folder.
        again: how to make an unreadable file anew, as a message says it.
        makes: the name of the function that returns such a table.
        more_kinds: column -> Arrow's name of its type, for columns that a census does not have and
            that do not hold text.
    """

    name: str
    mark: str
    format_key: bytes
    format: int
    columns: tuple[str, ...]
    has_a_line_each: bool
    if_damaged: str
    if_of_another_version: str
    again: str
    makes: str
    more_kinds: Mapping[str, str] = MappingProxyType({})


CENSUS = TableKind(
    name="census",
    mark=CENSUS_MARK,
    format_key=b"xor_mi_census_format",
    format=CENSUS_FORMAT,
    columns=CENSUS_COLUMNS,
    has_a_line_each=True,
    if_damaged="remove it and run the census again, which makes it anew, or run it with --force "
    "(in Python run_census(..., overwrite=True))",
    if_of_another_version="remove it and run the census again, which makes it anew, or run it with "
    "--any-version (in Python run_census(..., any_version=True)) to keep it",
    again="run the census again",
    makes="census()",
)

# keys of the file's metadata, which Parquet keeps as bytes
_ABOUT_KEY = b"xor_mi"
_DIGEST_KEY = b"xor_mi_digest"

_DIGEST_START = b"xor-mi blake2b "
"""The bytes that precede the digest of a file."""
_N_DIGEST = len(_DIGEST_START) + blake2b().digest_size
_PIECE = 2**20
"""Bytes of a file that are read at once."""


def write_census(
    networks: pd.DataFrame,
    path: PathLike,
    *,
    about: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a census as one Parquet file: the file is complete or absent, whatever interrupts it.

    Args:
        about: JSON-ready values kept in the file's metadata, such as the configuration.
        overwrite: replace a file that is not a census.

    Returns:
        The path of the file.

    Raises:
        XorMiError: a table that is not a census, or whose networks were identified with different
            requirements; a file that cannot be written, or an existing file of that name that is
            not a census.
    """
    require_kind("networks", networks, pd.DataFrame, give="a census, as census() returns it")
    require_one_requirement(networks)
    return write_table(networks, path, kind=CENSUS, about=about, overwrite=overwrite)


def write_table(
    table: pd.DataFrame,
    path: PathLike,
    *,
    kind: TableKind,
    about: Mapping[str, object] | None,
    overwrite: bool,
) -> Path:
    """Write a table of another kind, in the way of `write_census`."""
    import pyarrow.parquet as pq

    about = {} if about is None else about
    require_kind("about", about, Mapping, give="JSON-ready values by name")
    path = as_path("path", path)
    metadata = {
        _ABOUT_KEY: json.dumps(dict(about)),
        kind.format_key: str(kind.format),
        _DIGEST_KEY: "before the footer",
    }
    with_schema = _table(table, kind).replace_schema_metadata(metadata)
    require_own_file(path, kind.mark, overwrite=overwrite)
    written = BytesIO()
    pq.write_table(with_schema, written, compression="zstd", write_page_checksum=True)
    with replacing(path) as file:
        file.write(_with_digest(written.getvalue()))
    return path


def _with_digest(content: bytes) -> bytes:
    """A Parquet file -> the same with a digest of all its bytes in front of the footer.

    Readers of Parquet find the footer from the end of the file and follow its offsets, so they
    ignore other bytes in front of it. Parquet's own checksums cover pages, but not the footer and
    the page headers.
    """
    n_footer = int.from_bytes(content[-8:-4], "little") + 8
    data, footer = content[:-n_footer], content[-n_footer:]
    return b"".join([data, _DIGEST_START, blake2b(data + footer).digest(), footer])


def require_whole(opened: IO[bytes]) -> bool:
    """Refuse a census in which any byte is not the one that was written.

    Returns:
        Whether this could be checked. It cannot if the file is older than the digests, or if
        another program has rewritten it.

    Raises:
        ValueError: a byte differs; the error says what is wrong.
    """
    require_footer(opened)
    n_bytes = opened.seek(0, SEEK_END)
    opened.seek(n_bytes - 8)
    n_footer = int.from_bytes(opened.read(4), "little") + 8
    n_data = n_bytes - n_footer - _N_DIGEST
    says_so = _DIGEST_KEY in parquet_metadata_of(opened)
    if n_data < 0:
        return False
    opened.seek(n_data)
    start, digest = opened.read(len(_DIGEST_START)), opened.read(_N_DIGEST - len(_DIGEST_START))
    # if only one of the two marks is there, the other one is damaged
    if not says_so and start != _DIGEST_START:
        return False
    found = blake2b()
    opened.seek(0)
    for n_left in range(n_data, 0, -_PIECE):
        found.update(opened.read(min(n_left, _PIECE)))
    opened.seek(n_data + _N_DIGEST)
    found.update(opened.read())
    if found.digest() != digest:
        raise ValueError("it is damaged: its bytes are not those that were written")
    return True


class CensusFile(NamedTuple):
    """What a file's metadata say, and the networks that it holds.

    Attributes:
        about: the `about` that was given to `write_census`.
        seeds: in the order of the file; a range if they are consecutive, otherwise a list.
        is_whole: whether every byte is known to be the one that was written.
    """

    about: object
    seeds: range | list[int]
    is_whole: bool


def census_in(file: Path) -> CensusFile:
    """The census in a file, with the seeds as its only column; every byte is checked.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged or not a census.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # checked before opening: to open a pipe would wait for its other end
    if not file.is_file():
        raise OSError("it is not a file")
    with file.open("rb") as opened:
        is_whole = require_whole(opened)
        metadata = parquet_metadata_of(opened)
        try:
            table = pq.read_table(opened, columns=["seed"], page_checksum_verification=True)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from None
    if table.column_names != ["seed"] or table["seed"].type != pa.int64():
        raise ValueError("it has no seeds")
    seeds = table["seed"].to_pylist()
    following = range(seeds[0], seeds[0] + len(seeds)) if seeds else range(0)
    try:
        about = json.loads(metadata.get(_ABOUT_KEY, b"null"))
    except RecursionError:  # brackets nested thousands deep
        about = None
    return CensusFile(about, following if seeds == list(following) else seeds, is_whole)


def read_file(file: Path, columns: list[str], *, kind: TableKind = CENSUS) -> "pa.Table":
    """These columns of a file, after every byte of it was checked.

    Raises:
        XorMiError: a file that is damaged or not a table of this kind.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # opened by Python: Arrow gives "~" and "s3:" in a name another meaning
        with file.open("rb") as opened:
            require_whole(opened)
            # read_table passes over a column that is missing; select raises the KeyError
            table = pq.read_table(opened, columns=columns, page_checksum_verification=True).select(
                columns
            )
        _require_kinds(table.schema, kind)
        # such as text that is not UTF-8
        table.validate(full=True)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise unreadable(file, error, kind=kind) from None
    return table


def unreadable(file: Path, error: Exception, *, kind: TableKind) -> XorMiError:
    """The error for a file that cannot be read as a table of this kind."""
    # only the first line of Arrow's text, which may also be empty
    reason = cut_short(next(iter(str(error).splitlines()), "it is damaged"))
    return XorMiError(f"'{file}' is not a {kind.name}: {reason}; delete it and {kind.again}")


def _require_kinds(there: "pa.Schema", kind: TableKind) -> None:
    """Refuse a table whose columns hold values of another type, as another tool may write them.

    Raises:
        OSError: naming the column, its type and the expected type.
    """
    for column, expected in _schema(there.names, kind).items():
        found = there.field(column).type
        if found != expected:
            raise OSError(f"its {column} is {found}, not {expected}")


def format_of(file: Path) -> str:
    """The format of the census in a file.

    Raises:
        XorMiError: a file that is not a census, or a census of a format that this version cannot
            read.
    """
    try:
        # checked before opening: to open a pipe would wait for its other end
        if not file.is_file():
            raise OSError("it is not a file")
        metadata = parquet_metadata(file)
    except (OSError, ValueError) as error:
        raise unreadable(file, error, kind=CENSUS) from None
    if CENSUS.format_key not in metadata and _ABOUT_KEY not in metadata:
        raise XorMiError(
            f"'{file}' is not a census; give a file that write_census or run_census wrote"
        )
    # the first format did not write its number
    stored = cut_short(metadata.get(CENSUS.format_key, b"1").decode(errors="replace"))
    if stored not in (OLDER_FORMAT, str(CENSUS_FORMAT)):
        raise XorMiError(
            f"'{file}' is a census of format {stored}, and this version of xor-mi reads "
            f"formats {OLDER_FORMAT} and {CENSUS_FORMAT}; run the census again"
        )
    return stored


def engine_said_in(file: Path) -> object:
    """The engine that trained the networks, from a file's metadata; None if they do not say."""
    try:
        about = json.loads(parquet_metadata(file).get(_ABOUT_KEY, b"null"))
    except (ValueError, RecursionError):  # brackets nested thousands deep
        return None
    return about.get("engine") if isinstance(about, dict) else None


def _table(networks: pd.DataFrame, kind: TableKind) -> "pa.Table":
    """A table with the same schema in every shard: Arrow cannot guess the type of an empty list."""
    import pyarrow as pa

    columns = list(kind.columns)
    missing = [name for name in columns if name not in networks]
    if missing:
        raise XorMiError(
            f"this table has no column {', '.join(missing)}; write a table as {kind.makes} "
            "returns it"
        )
    schema = pa.schema(list(_schema(columns, kind).items()))
    return pa.Table.from_pandas(networks[columns], schema=schema, preserve_index=False)


def _schema(columns: Iterable[str], kind: TableKind) -> "dict[str, pa.DataType]":
    """Column -> the type of its values in a file."""
    import pyarrow as pa

    kinds = {
        "seed": pa.int64(),
        "solved": pa.bool_(),
        "steps": pa.int32(),
        "step": pa.int64(),
        "loss": pa.float32(),
        "min_margin": pa.float64(),
        "margins": pa.list_(pa.float64()),
        "weights": pa.list_(pa.float32()),
    } | dict.fromkeys(COUNTS, pa.int32())
    kinds |= {name: pa.type_for_alias(alias) for name, alias in kind.more_kinds.items()}
    return {name: kinds.get(name, pa.string()) for name in columns}
