"""trajectories of many networks <-> Parquet: one file, or a folder with one for every thousand.

A folder is kept like that of a census (`_plan`, `_parquet`): its plan says which networks it holds,
a shard counts as done if every byte of it is right, and the same call makes what is missing.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path

import pandas as pd

from xor_mi.circuits import ProofLevel
from xor_mi.errors import XorMiError, as_path, require_kind
from xor_mi.kinds import PathLike
from xor_mi.population._census import ENGINE
from xor_mi.population._parquet import TableKind, read_file, write_table
from xor_mi.population._plan import (
    PLAN_FILE,
    Plan,
    Shard,
    difference,
    fault_of,
    in_words,
    refused,
    stored_plan,
    versions_here,
    written_config,
    written_target,
)
from xor_mi.progress import progress_bar
from xor_mi.saving import (
    TRAJECTORIES_MARK,
    remove_abandoned,
    require_writable,
    working_alone,
    write_file,
)
from xor_mi.training import Population
from xor_mi.training._population import flat_parameters
from xor_mi.truth import row_name

TRAJECTORY_COLUMNS = (
    *("seed", "solved", "steps", "family"),
    *("event", "unit", "step", "before", "after"),
)
"""The columns of a table of trajectories, in their order."""

TRAJECTORIES_FORMAT = 1
"""Increased whenever a column is renamed or an event changes its meaning."""

TRAJECTORIES = TableKind(
    name="table of trajectories",
    mark=TRAJECTORIES_MARK,
    format_key=b"xor_mi_trajectories_format",
    format=TRAJECTORIES_FORMAT,
    columns=TRAJECTORY_COLUMNS,
    has_a_line_each=False,
    if_damaged="remove it and repeat the call, which makes it anew, or give overwrite=True",
    if_of_another_version=(
        "remove it and repeat the call, which makes it anew, or choose another folder"
    ),
    again="call trajectories again",
    makes="trajectories()",
)

SHARD_SIZE = 1000
"""Networks in a file; at most so many are lost when a run is killed."""

LOCK_FILE = ".trajectories.lock"
"""The file that names the process working in the folder, while there is one."""


def write_trajectories(
    happened: pd.DataFrame,
    path: PathLike,
    *,
    about: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a table of trajectories as one Parquet file: the file is complete or absent.

    Args:
        happened: what `trajectories` returned.
        about: JSON-ready values kept in the file's metadata, such as the configuration.
        overwrite: replace an existing file that is not a table of trajectories.

    Returns:
        The path of the file.

    Raises:
        XorMiError: another table, a file that cannot be written, or an existing file of that name
            that holds something else.
    """
    require_kind("happened", happened, pd.DataFrame, give="a table, as trajectories() returns it")
    return write_table(happened, path, kind=TRAJECTORIES, about=about, overwrite=overwrite)


def read_trajectories(path: PathLike) -> pd.DataFrame:
    """A Parquet file, or a folder that `trajectories` filled -> the table, in the order of seeds.

    Every byte is checked. A folder in which shards are missing is refused; repeat the call that
    began it to make them.

    Raises:
        XorMiError: nothing at this path, or files that are damaged, foreign or missing.

    >>> import tempfile
    >>> from xor_mi.population import trajectories
    >>> from xor_mi.training import train_population
    >>> happened = trajectories(train_population("XOR", 3, max_steps=40))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_trajectories(happened, Path(folder) / "three.parquet")
    ...     read_trajectories(file).equals(happened)
    True
    """
    path = as_path("path", path)
    plan = stored_plan(path, TRAJECTORIES) if path.is_dir() else None
    if plan is not None:
        missing = _missing(path, plan, overwrite=False, progress=False)
        if missing:
            raise XorMiError(
                f"of the trajectories in '{path}' {len(missing)} of {len(plan.shards())} shards "
                f"are missing (the first is {missing[0].name}); repeat the call that began it to "
                "make them"
            )
        return _read(path, plan)
    if not path.is_file():
        raise XorMiError(
            f"no trajectories at '{path}'; trajectories(population, directory=...) makes a folder "
            "of them"
        )
    return _table_in(path)


def in_folder(
    folder: Path,
    plan: Plan,
    make: Callable[[range], pd.DataFrame],
    *,
    overwrite: bool,
    progress: bool,
) -> pd.DataFrame:
    """The trajectories of a plan; `make` gets the numbers of networks that are not in the folder.

    Raises:
        XorMiError: a folder that holds other trajectories, a damaged part or foreign files, that
            cannot be written, or that another process works in.
    """
    plan = _grown(folder, plan)
    _missing(folder, plan, overwrite=overwrite, progress=progress)
    require_writable(folder, plan.files(), overwrite=overwrite)
    with working_alone(folder, LOCK_FILE, doing="trajectories"):
        # checked again under the lock: another process may have continued
        plan = _grown(folder, plan)
        missing = _missing(folder, plan, overwrite=overwrite, progress=False)
        if stored_plan(folder, TRAJECTORIES) != plan:
            write_file(folder / PLAN_FILE, plan.to_json())
        n_missing = sum(shard.n_networks for shard in missing)
        bar = progress_bar(
            doing="trajectories", unit="network", total=plan.n_networks, progress=progress
        )
        with bar:
            bar.update(plan.n_networks - n_missing)
            for shard in missing:
                first = shard.first_seed - plan.seed
                happened = make(range(first, first + shard.n_networks))
                about = plan.about(shard) | {"versions": dict(plan.versions[0])}
                write_trajectories(happened, shard.file(folder), about=about, overwrite=overwrite)
                bar.update(shard.n_networks)
        remove_abandoned(folder, plan.files())
    return _read(folder, plan)


def plan_of(
    population: Population, *, require: ProofLevel, min_margin: float, every_step: bool
) -> Plan:
    """The plan of a folder with the trajectories of these networks.

    Raises:
        XorMiError: networks whose seeds are not consecutive, or that do not say how they were
            trained.
    """
    config, rows, engine = population.config, population.rows, population.engine
    if config is None or rows is None or engine is None or population.cfg.target is None:
        raise XorMiError(
            "this population does not say how it was trained, so it cannot be trained again; give "
            "what train_population returns"
        )
    seeds = population.seeds.tolist()
    if seeds != list(range(seeds[0], seeds[0] + len(seeds))):
        raise XorMiError(
            "a folder holds networks with consecutive seeds, and the seeds of this population are "
            "not consecutive; leave directory out and write the table with write_trajectories"
        )
    return Plan(
        settings={
            "table": "trajectories",
            "target": written_target(population.cfg.target),
            "hidden": list(population.cfg.d_hidden),
            "config": written_config(config),
            "rows": [row_name(row) for row in rows],
            "init": _digest(population),
            "engine": engine,
            "require": require,
            "min_margin": min_margin,
            "every_step": every_step,
            "format": TRAJECTORIES_FORMAT,
        },
        seed=seeds[0],
        n_networks=len(seeds),
        shard_size=SHARD_SIZE,
        versions=(versions_here(engine),),
        kind=TRAJECTORIES,
    )


def _digest(population: Population) -> str | None:
    """A digest of the weights that all networks started from; None if seeds draw the weights."""
    if population.init is None:
        return None
    flat = flat_parameters([(weight[0], bias[0]) for weight, bias in population.init])
    return blake2b(flat.numpy().tobytes(), digest_size=8).hexdigest()


def _grown(folder: Path, asked: Plan) -> Plan:
    """The plan in the folder, extended to the networks asked for, or else the plan asked for.

    Raises:
        XorMiError: the folder holds trajectories of other networks, of more networks, or by other
            versions.
    """
    there = stored_plan(folder, TRAJECTORIES)
    if there is None:
        return asked
    fewer = asked.n_networks < there.n_networks
    otherwise = difference(_compared(there, fewer), _compared(asked, fewer))
    if otherwise:
        hint = "a folder can be extended, not shortened; " if fewer else ""
        raise XorMiError(
            f"'{folder}' holds other trajectories ({otherwise}); {hint}choose another folder, or "
            "ask for those"
        )
    if asked.versions[0] not in there.versions:
        raise XorMiError(
            f"'{folder}' holds trajectories by {in_words(there.versions[0])}, and this is "
            f"{in_words(asked.versions[0])}: the last digits may differ; choose another folder"
        )
    grows = asked.n_networks > there.n_networks
    return there.extended_to(asked.n_networks) if grows else there


def _compared(plan: Plan, with_number: bool) -> dict[str, object]:
    """The settings that two plans of the same networks have in common."""
    found = {**plan.settings, "seed": plan.seed, "shard_size": plan.shard_size}
    return {**found, "n_networks": plan.n_networks} if with_number else found


def _missing(folder: Path, plan: Plan, *, overwrite: bool, progress: bool) -> list[Shard]:
    """The shards that are still to be made.

    Raises:
        XorMiError: a file that is not a shard of the plan.
    """
    ours = plan.files()
    for file in sorted(folder.glob("[!.]*.parquet")):
        if file.name not in ours:
            raise XorMiError(
                f"'{folder}' holds {file.name}, which is not part of these trajectories; move it "
                "away, or choose another folder"
            )
    missing: list[Shard] = []
    for shard in progress_bar(plan.shards(), doing="checking", unit="shard", progress=progress):
        file = shard.file(folder)
        fault = fault_of(file, plan, shard) if file.is_file() else None
        if fault and not (fault.kind == "damaged" and overwrite):
            raise refused(file, fault, kind=TRAJECTORIES)
        if fault or not file.is_file():
            missing.append(shard)
    return missing


def _read(folder: Path, plan: Plan) -> pd.DataFrame:
    """The table of all shards of a plan, in their order."""
    tables = [_table_in(shard.file(folder)) for shard in plan.shards()]
    found = pd.concat(tables, ignore_index=True)
    found.attrs[ENGINE] = plan.engine
    return found


def _table_in(file: Path) -> pd.DataFrame:
    return read_file(file, list(TRAJECTORY_COLUMNS), kind=TRAJECTORIES).to_pandas()
