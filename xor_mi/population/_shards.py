"""configuration -> a folder of Parquet files, one for every few thousand networks.

If it is stopped or killed, the same call resumes it.

A shard is a range of seeds. It is trained, identified and written as a whole, under its name only
when complete, so a file that is there is done. Networks do not depend on the batch they are trained
in, so neither do the rows on how often the work was interrupted.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from xor_mi.circuits import MIN_MARGIN, ProofLevel
from xor_mi.errors import XorMiError, as_path, cut_short, shown, whole_number
from xor_mi.kinds import PathLike, Target, Widths
from xor_mi.population._census import census
from xor_mi.population._parquet import CENSUS_FORMAT, about_census, write_census
from xor_mi.progress import progress_bar
from xor_mi.reading import read_json
from xor_mi.saving import (
    CENSUS_MARK,
    mark_of,
    remove_abandoned,
    require_writable,
    write_file,
    write_new,
)
from xor_mi.training import TrainConfig, train_population
from xor_mi.truth import BooleanFunction, row_name

PLAN_FILE = "plan.json"
"""What the folder is a census of; written before the first shard."""

MOST_DIFFERENCES = 6
"""A message names at most so many settings in which two plans differ."""

_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""Function, arguments and keywords, as joblib's `delayed` puts them together."""


class _Shard(NamedTuple):
    """A range of seeds."""

    first_seed: int
    n_networks: int

    @property
    def name(self) -> str:
        """The shard's file; with leading zeros, so that names sort as seeds do."""
        last_seed = self.first_seed + self.n_networks - 1
        return f"seeds-{self.first_seed:012d}-{last_seed:012d}.parquet"

    def file(self, folder: Path) -> Path:
        return folder / self.name


class _Done(NamedTuple):
    """What came out of a shard."""

    n_networks: int
    n_solved: int


@dataclass(frozen=True)
class _Plan:
    """What a folder of shards is a census of."""

    target: BooleanFunction
    hidden: tuple[int, ...]
    seed: int
    n_networks: int
    shard_size: int
    config: TrainConfig
    require: ProofLevel
    min_margin: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, as written beside the shards and into each of them."""
        target = {
            "n_inputs": self.target.n_inputs,
            "tables": [row_name(table) for table in self.target.tables],
        }
        return {
            "target": target,
            "hidden": list(self.hidden),
            "seed": self.seed,
            "n_networks": self.n_networks,
            "shard_size": self.shard_size,
            "config": _written_config(self.config),
            "require": self.require,
            "min_margin": self.min_margin,
            "format": CENSUS_FORMAT,  # shards of two formats must not come into one folder
        }

    def shards(self) -> list[_Shard]:
        """The seeds in ranges of `shard_size`; the last one may be shorter."""
        end = self.seed + self.n_networks
        firsts = range(self.seed, end, self.shard_size)
        return [_Shard(first, min(self.shard_size, end - first)) for first in firsts]

    def files(self) -> dict[str, str]:
        """What is written: a file's name -> its mark (see `saving.mark_of`)."""
        names = [PLAN_FILE, *(shard.name for shard in self.shards())]
        return dict.fromkeys(names, CENSUS_MARK)


def _written_config(config: TrainConfig) -> dict[str, object]:
    """JSON-ready settings.

    Those by keyword alone came later. They are left out where they change nothing, so that a census
    begun before there were any is still the same one.
    """
    by_default = _later_settings()
    settings = {field.name: _as_in_json(getattr(config, field.name)) for field in fields(config)}
    return {
        name: value
        for name, value in settings.items()
        if name not in by_default or value != by_default[name]
    }


def _later_settings() -> dict[str, object]:
    """The settings that are given by keyword alone, by default."""
    config = TrainConfig()
    later = [field.name for field in fields(config) if field.kw_only]
    return {name: _as_in_json(getattr(config, name)) for name in later}


def _as_in_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def run_census(
    target: Target = "XOR",
    n_networks: int = 10**6,
    *,
    directory: PathLike = "census",
    hidden: Widths = (2,),
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int | None = None,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    shard_size: int = 10_000,
    n_jobs: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Train and identify n networks and leave them in a folder, which `read_census` reads.

    There is one Parquet file per shard. Called again with the same arguments it does only what is
    missing. The work goes through joblib: to this machine's cores, or to whatever
    `joblib.parallel_config` says.

    Args:
        target, hidden, seed, config, n_inputs: as `train_population` takes them.
        directory: the folder for the files; made if missing.
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        shard_size: networks per file; at most this many per process are lost when a run is killed.
        n_jobs: processes; by default one per core, or what the active `parallel_config` says.
        overwrite: replace files of the census's names that xor-mi did not write, and write beside
            others. Nothing else is touched, another census neither.

    Returns:
        The folder.

    Raises:
        XorMiError: settings that cannot be trained, a folder that cannot be written or that holds
            another census or files which xor-mi did not write, a worker that died.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = run_census("XOR", 4, directory=folder, shard_size=2, n_jobs=1)
    ...     sorted(file.name for file in written.glob("*.parquet"))
    ['seeds-000000000000-000000000001.parquet', 'seeds-000000000002-000000000003.parquet']
    """
    from joblib import delayed

    plan = _checked_plan(
        target,
        n_networks,
        hidden=hidden,
        seed=seed,
        config=config,
        n_inputs=n_inputs,
        require=require,
        min_margin=min_margin,
        shard_size=shard_size,
    )
    n_jobs = _n_processes(n_jobs)
    folder = _folder_of(as_path("directory", directory), plan, overwrite=overwrite)
    missing = [shard for shard in plan.shards() if mark_of(shard.file(folder)) != CENSUS_MARK]
    calls = [delayed(_run_shard)(plan, shard, shard.file(folder), overwrite) for shard in missing]

    n_done = n_solved = 0
    bar = progress_bar(doing="census", unit="network", total=n_networks, progress=progress)
    with bar:
        # What an earlier run left counts as done, but not into the rate.
        bar.update(n_networks - sum(shard.n_networks for shard in missing))
        for done in _results(calls, n_jobs):
            n_done += done.n_networks
            n_solved += done.n_solved
            bar.set_postfix_str(f"{n_solved} of {n_done} solved", refresh=False)
            bar.update(done.n_networks)
    remove_abandoned(folder, plan.files())
    return folder


def _checked_plan(
    target: Target,
    n_networks: int,
    *,
    hidden: Widths,
    seed: int,
    config: TrainConfig | None,
    n_inputs: int | None,
    require: ProofLevel,
    min_margin: float,
    shard_size: int,
) -> _Plan:
    """The plan, or the error that its first or last shard would end with."""
    n_networks = whole_number("n_networks", n_networks, at_least=1)
    shard_size = whole_number("shard_size", shard_size, at_least=1)
    seed = whole_number("seed", seed)
    config = TrainConfig.of(config)
    # One step of the first and of the last network meets every error that settings can cause.
    for probe_seed in (seed, seed + n_networks - 1):
        probe = train_population(
            target,
            1,
            hidden=hidden,
            seed=probe_seed,
            config=replace(config, max_steps=1),
            n_inputs=n_inputs,
            progress=False,
        )
    # and so does identifying that one
    census(probe, require=require, min_margin=min_margin, progress=False)
    return _Plan(
        target=BooleanFunction.of(target, probe.cfg.d_in),
        hidden=probe.cfg.d_hidden,
        seed=seed,
        n_networks=n_networks,
        shard_size=shard_size,
        config=config,
        require=require,
        min_margin=float(min_margin),
    )


def _n_processes(n_jobs: int | None) -> int | None:
    """What joblib is told: the number given, or else who decides.

    None leaves it to the active `parallel_config`; where there is none, -1 means all cores.
    """
    from joblib.parallel import LokyBackend, get_active_backend

    if n_jobs is not None:
        if n_jobs == 0 or isinstance(n_jobs, bool) or not isinstance(n_jobs, int):
            raise XorMiError(
                f"n_jobs is {n_jobs!r}; give a number of processes, -1 for one per core, "
                "or leave it out"
            )
        return n_jobs
    # joblib's own default is one process: without a `parallel_config`, say that all are meant
    backend, n_configured = get_active_backend()
    is_default = n_configured is None and isinstance(backend, LokyBackend)
    return -1 if is_default else None


def _results(calls: list[_Call], n_jobs: int | None) -> Iterator[_Done]:
    """What each shard answers, as soon as it does.

    All at the end, where the backend cannot hand them over before (ray).
    """
    from joblib import Parallel
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if not calls:
        return
    try:
        pool = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    except ValueError:  # a backend without generators
        pool = Parallel(n_jobs=n_jobs)
    try:
        results: Any = pool(calls)
        yield from results
    except TerminatedWorkerError:
        raise XorMiError(
            "a worker process died (out of memory?); what is written is kept: "
            "run the census again, with a lower n_jobs"
        ) from None


def _run_shard(plan: _Plan, shard: _Shard, path: Path, overwrite: bool) -> _Done:
    """Train, identify, write."""
    with _one_thread():
        population = train_population(
            plan.target,
            shard.n_networks,
            hidden=plan.hidden,
            seed=shard.first_seed,
            config=plan.config,
            progress=False,
        )
        networks = census(
            population, require=plan.require, min_margin=plan.min_margin, progress=False
        )
        write_census(networks, path, about=plan.to_dict(), overwrite=overwrite)
    return _Done(n_networks=shard.n_networks, n_solved=int(population.solved.sum()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread per process.

    Operations this small gain nothing from more, and the processes share the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _folder_of(folder: Path, plan: _Plan, *, overwrite: bool) -> Path:
    """The folder with its plan; one that holds another plan, or parts of one, is refused."""
    plan_file = folder / PLAN_FILE
    if mark_of(plan_file) == CENSUS_MARK:
        _require_same_plan(plan_file, plan)
        if not overwrite:
            _require_whole_shards(folder, plan)
    require_writable(folder, plan.files(), overwrite=overwrite)
    _require_no_strays(folder, plan)
    marked = {"schema": f"{CENSUS_MARK}/{CENSUS_FORMAT}"} | plan.to_dict()
    content = json.dumps(marked, indent=2) + "\n"
    # of two processes with two plans that come here at once, one finds the other's
    if not write_new(plan_file, content) and mark_of(plan_file) != CENSUS_MARK:
        write_file(plan_file, content)  # over somebody else's, as overwrite=True says
    _require_same_plan(plan_file, plan)
    return folder


def _require_same_plan(file: Path, plan: _Plan) -> None:
    """Refuse the plan of another census."""
    difference = _difference(_stored_plan(file), plan)
    if difference:
        raise XorMiError(
            f"'{file.parent}' holds another census ({difference}); "
            "choose another folder, or ask for that census"
        )


def _require_whole_shards(folder: Path, plan: _Plan) -> None:
    """Refuse a shard that a failing disk or a copy cut off."""
    for shard in plan.shards():
        file = shard.file(folder)
        if file.is_file() and mark_of(file) != CENSUS_MARK:
            how = "empty" if file.stat().st_size == 0 else "damaged"
            raise XorMiError(
                f"'{folder}' holds {file.name}, a part of this census that is {how}, or somebody "
                "else's file; remove it, or give --force (in Python overwrite=True), and the same "
                "command makes it anew"
            )


def _require_no_strays(folder: Path, plan: _Plan) -> None:
    """Refuse Parquet files that the census would be read with and is not made of."""
    ours = plan.files()
    settings = json.loads(json.dumps(plan.to_dict()))
    for file in sorted(folder.glob("[!.]*.parquet")):
        is_census = mark_of(file) == CENSUS_MARK
        if is_census and (file.name not in ours or about_census(file) != settings):
            raise XorMiError(
                f"'{folder}' holds {file.name} of another census; "
                "move it away, or choose another folder"
            )
        if not is_census and file.name not in ours:
            raise XorMiError(
                f"'{folder}' holds {file.name}, which would be read as part of the census; "
                "choose another folder"
            )


def _stored_plan(file: Path) -> dict[str, Any]:
    """The plan in the folder, its settings side by side."""
    next_step = "remove it, and the same command goes on; or choose another folder"
    damaged = f"'{file.parent}' holds another census: its {file.name} is damaged"
    plan = read_json(file, called=f"{damaged} and", next_step=next_step)
    entries = ("target", "hidden", "seed", "n_networks", "shard_size", "config")
    if not isinstance(plan, dict) or not isinstance(plan.get("config"), dict):
        raise XorMiError(f"{damaged}: it is not the plan of a census; {next_step}")
    missing = [name for name in entries if name not in plan]
    if missing:
        raise XorMiError(f"{damaged}: it has no '{missing[0]}'; {next_step}")
    return _flattened(plan)


def _difference(there: dict[str, Any], plan: _Plan) -> str:
    """What the plan in the folder says otherwise; empty where it is this one."""
    here = _flattened(plan.to_dict())
    # in the plan's own order; then what only the stored plan has
    names = [*here, *(name for name in there if name not in here)]
    differing = [name for name in names if there.get(name) != here.get(name)]
    lines = []
    for name in differing[:MOST_DIFFERENCES]:
        lines.append(
            f"{cut_short(name)}: {shown(there.get(name))} there, {shown(here.get(name))} asked"
        )
    if len(differing) > MOST_DIFFERENCES:
        lines.append(f"{len(differing) - MOST_DIFFERENCES} more")
    return "; ".join(lines)


def _flattened(plan: dict[str, Any]) -> dict[str, Any]:
    """The settings of the training beside those of the census, also those that are left out."""
    settings = {name: value for name, value in plan.items() if name not in ("config", "schema")}
    return settings | _later_settings() | plan["config"]
