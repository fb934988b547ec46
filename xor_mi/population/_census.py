"""Population -> one line per network; shares with intervals; Parquet out and in."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from xor_mi.circuits._batch import identify_many
from xor_mi.errors import XorMiError, unknown
from xor_mi.metrics import share_interval
from xor_mi.model import HookedMLPConfig
from xor_mi.training import Population

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "seed",
    "solved",
    "steps",
    "loss",
    "verdict",
    "why_not",
    "gates",
    "family",
    "signature",
    "readings",
    "margins",
    "weights",
)
NOT_TRIED = "not_tried"
"""The verdict of a network that cannot be identified; `why_not` has the reason."""
_NO_GATES = "(no gate reading)"


def census(population: Population, *, progress: bool = True) -> pd.DataFrame:
    """One line per network, the same that `identify_circuit` gives for each.

    Columns: seed, solved, steps, loss, verdict, why_not, gates ('{AND, OR}'; empty without a
    circuit), family, signature, readings (how many), margins (one per hidden unit of the primary
    reading, NaN for a constant unit), weights (W and b flat, layer by layer). A network that cannot
    be identified has the verdict 'not_tried', the reason in `why_not`, and no readings; for all
    others `why_not` is empty."""
    found = identify_many(population.__getitem__, population.weights, population.cfg, progress)
    columns: dict[str, Any] = {
        "seed": population.seeds.numpy(),
        "solved": population.solved.numpy(),
        "steps": population.steps.int().numpy(),
        "loss": population.losses.numpy(),
        "verdict": [one.verdict or NOT_TRIED for one in found],
        "why_not": [one.why_not for one in found],
        "gates": ["{" + ", ".join(sorted(one.gates)) + "}" if one.gates else "" for one in found],
        "family": [one.family for one in found],
        "signature": [one.signature for one in found],
        "readings": pd.array([one.readings for one in found], dtype="Int32"),
        "margins": [np.array(one.margins, dtype=np.float64) for one in found],
        "weights": list(population.flat.numpy()),
    }
    return pd.DataFrame(columns)


def population_from_census(networks: pd.DataFrame, cfg: HookedMLPConfig) -> Population:
    """Lines of a census -> the networks again, for any other analysis.

    >>> from xor_mi.training import train_population
    >>> population = train_population("XOR", 3)
    >>> torch.equal(population_from_census(census(population), population.cfg)[2].fc1.weight, population[2].fc1.weight)
    True

    Raises:
        XorMiError: weights of another shape.
    """
    if networks.empty:
        raise XorMiError("no networks in this census; there is nothing to make a population of")
    flat = torch.from_numpy(np.stack(networks["weights"].to_list()).astype(np.float32))
    return Population.from_flat(
        flat,
        cfg=replace(cfg),
        seeds=torch.tensor(networks["seed"].to_list()),
        steps=torch.tensor(networks["steps"].to_list()),
        losses=torch.tensor(networks["loss"].to_list()),
        solved=torch.tensor(networks["solved"].to_list()),
    )


def family_shares(networks: pd.DataFrame, *, by: str = "family") -> pd.DataFrame:
    """A census -> how often each family (or set of gates, or signature) occurs among the solved
    networks, most frequent first.

    Columns: `by`, n_networks, share (of the solved), ci_low, ci_high (95 % Clopper-Pearson, by
    TransformerLens' `success_rate_ci`)."""
    if by not in networks:
        raise unknown("column", by, networks.columns, where="this census has")
    solved = networks[networks["solved"]]
    counts = solved[by].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    lines = [
        {by: value or _NO_GATES, "n_networks": count} | rate(count, len(solved), "share")
        for value, count in counts.items()
    ]
    return pd.DataFrame(lines, columns=[by, "n_networks", "share", "ci_low", "ci_high"])


def gate_shares(networks: pd.DataFrame) -> pd.DataFrame:
    """`shares` by the set of hidden gates."""
    return family_shares(networks, by="gates")


def rate(count: int, n: int, name: str = "rate") -> dict[str, float]:
    """A count of n -> its share with the 95 % Clopper-Pearson interval."""
    interval = share_interval(count, n)
    return {name: interval.share, "ci_low": interval.low, "ci_high": interval.high}


def write_census(
    networks: pd.DataFrame, path: str | Path, *, about: Mapping[str, Any] | None = None
) -> Path:
    """Write a census as one Parquet file: complete or not at all, whatever interrupts it.

    Args:
        about: JSON-ready values kept in the file's metadata, such as the configuration.

    Raises:
        XorMiError: it cannot be written.
    """
    import pyarrow.parquet as pq

    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    table = _table(networks).replace_schema_metadata({"xor_mi": json.dumps(dict(about or {}))})
    try:
        with partial.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise XorMiError(
            f"cannot write '{path}': {error.strerror or error}; choose a folder you may write to"
        ) from None
    return path


def read_census(path: str | Path, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A Parquet file, or a folder of them as `run_census` leaves it -> the table, in the order of
    seeds.

    Args:
        columns: only these; a million networks without their weights take a tenth of the memory.

    >>> import tempfile
    >>> from xor_mi.training import train_population
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_census(census(train_population("XOR", 3)), Path(folder) / "three.parquet")
    ...     read_census(written, columns=["seed", "solved"]).values.tolist()
    [[0, False], [1, False], [2, True]]

    Raises:
        XorMiError: nothing there, a damaged or foreign file, or no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in columns or ():
        if name not in COLUMNS:
            raise unknown("column", name, COLUMNS, where="a census has")
    folder = Path(path)
    files = (
        sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))
        if folder.is_dir()
        else [folder]
    )
    if not files or not files[0].is_file():
        raise XorMiError(
            f"no census at '{folder}'; run_census(directory=...) or `xor-mi census --out ...` makes one"
        )
    wanted = list(dict.fromkeys(["seed", *(columns or COLUMNS)]))
    tables = []
    for file in files:
        try:
            tables.append(pq.read_table(file, columns=wanted).select(wanted))
        except (pa.ArrowException, OSError, KeyError) as error:
            raise XorMiError(
                f"'{file}' is no census: {str(error).splitlines()[0]}; delete it and run the census again"
            ) from None
    frame = pa.concat_tables(tables).sort_by("seed").to_pandas()
    if "readings" in frame:
        frame["readings"] = frame["readings"].astype("Int32")
    return frame[list(columns or COLUMNS)]


def _table(networks: pd.DataFrame) -> "pa.Table":
    """One schema for every shard: list columns have to be told, an empty one above all."""
    import pyarrow as pa

    kinds: dict[str, Any] = {
        "seed": pa.int64(),
        "solved": pa.bool_(),
        "steps": pa.int32(),
        "loss": pa.float32(),
        "readings": pa.int32(),
    }
    kinds |= {"margins": pa.list_(pa.float64()), "weights": pa.list_(pa.float32())}
    missing = [name for name in COLUMNS if name not in networks]
    if missing:
        raise XorMiError(f"this table has no column {', '.join(missing)}; write what census() gave")
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    return pa.Table.from_pandas(networks[list(COLUMNS)], schema=schema, preserve_index=False)
