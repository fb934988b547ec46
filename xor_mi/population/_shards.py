"""configuration -> a folder of Parquet files, one for every few thousand networks.

If it is stopped or killed, the same call resumes it; with more networks, it is extended.

A shard is a range of seeds. It is trained, identified and written as a whole, gets its name only
when it is complete, and counts as done if it is what the plan says, to the last byte. A network
does not depend on the batch that it is trained in, so the rows do not depend on how often the work
was interrupted. One process at a time works in a folder; its workers end when it does.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from xor_mi.circuits import MIN_MARGIN, ProofLevel
from xor_mi.errors import (
    SEEDS_BELOW,
    XorMiError,
    as_path,
    require_at_most,
    require_kind,
    require_memory,
    require_seeds,
    whole_number,
)
from xor_mi.kernels import why_not_numba
from xor_mi.kinds import EngineName, PathLike, Target, Widths
from xor_mi.population._census import census
from xor_mi.population._parquet import CENSUS_FORMAT, census_in, write_census
from xor_mi.population._plan import (
    MOST_SHARDS,
    OLDER_PLAN_FILE,
    PLAN_FILE,
    Fault,
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
from xor_mi.population._workers import clean_up_silently, end_with
from xor_mi.progress import progress_bar
from xor_mi.saving import (
    CENSUS_MARK,
    mark_of,
    remove_abandoned,
    require_own,
    require_writable,
    working_alone,
    write_file,
    write_new,
)
from xor_mi.training import TrainConfig, train_population
from xor_mi.training._engine import (
    ENGINES,
    engine_of,
    numba_is_usable,
    say_what_numba_saves,
)
from xor_mi.training._memory import training_bytes
from xor_mi.truth import BooleanFunction

LOCK_FILE = ".census.lock"
"""The file that names the process working in the folder, while there is one."""

BYTES_PER_NETWORK = 10_000
"""Bytes that a worker holds for a network while it makes a shard, besides 30 for each weight."""

_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""Function, arguments and keywords, as joblib's `delayed` puts them together."""


class _Done(NamedTuple):
    """The numbers of a finished shard."""

    n_networks: int
    n_solved: int


@dataclass(frozen=True)
class _Task:
    """What is done for each network."""

    target: BooleanFunction
    hidden: tuple[int, ...]
    config: TrainConfig
    engine: EngineName
    require: ProofLevel
    min_margin: float

    def settings(self) -> dict[str, Any]:
        """The settings as they are written into the plan and into each shard, JSON-ready."""
        return {
            "target": written_target(self.target),
            "hidden": list(self.hidden),
            "config": written_config(self.config),
            "engine": self.engine,
            "require": self.require,
            "min_margin": self.min_margin,
            "format": CENSUS_FORMAT,  # so that one folder never gets shards of two formats
        }


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
    engine: EngineName | None = None,
    shard_size: int = 10_000,
    n_jobs: int | None = None,
    overwrite: bool = False,
    any_version: bool = False,
    progress: bool = True,
) -> Path:
    """Train and identify n networks and write them to a folder, which `read_census` reads.

    There is one Parquet file per shard. Called again with the same arguments, it checks the files
    that are there and makes only those that are missing; called with more networks and otherwise
    the same arguments, it extends the census. joblib distributes the work: to this machine's cores,
    or to what `joblib.parallel_config` says.

    The folder may be moved as a whole while no process works in it. A hidden file, `.census.lock`,
    says which process does; a run that was killed leaves this file behind, where it blocks nobody.

    Args:
        target, hidden, seed, config, n_inputs: as in `train_population`.
        engine: as in `train_population`, also for a single network. A census has one engine: by
            default it continues with that, and any other is refused.
        directory: the folder for the files; made if missing.
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        shard_size: networks per file; at most this many per process are lost when a run is killed.
        n_jobs: the number of processes; by default one per core, or what the active
            `parallel_config` says.
        overwrite: replace files that have names of the census but are damaged or not written by
            xor-mi, and write beside foreign files. Nothing else is touched, not even another
            census.
        any_version: continue a census of another version of xor-mi, torch or numba, whose numbers
            may differ in their last digits, and keep what that version has written.

    Returns:
        The folder.

    Raises:
        XorMiError: settings that cannot be trained; more networks than a folder or a worker can
            hold; a folder that cannot be written, that another process works in, or that holds
            another census, a damaged one, one of another version or files that xor-mi did not
            write; a worker that died.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = run_census("XOR", 4, directory=folder, shard_size=2, n_jobs=1)
    ...     sorted(file.name for file in written.glob("*.parquet"))
    ['seeds-000000000000-000000000001.parquet', 'seeds-000000000002-000000000003.parquet']
    """
    folder = as_path("directory", directory)
    chosen = _engine_there(folder) if engine is None else engine
    task, asked = _checked(
        target,
        n_networks,
        hidden=hidden,
        seed=seed,
        config=config,
        n_inputs=n_inputs,
        require=require,
        min_margin=min_margin,
        engine=chosen,
        shard_size=shard_size,
    )
    if engine is None and task.engine == "torch":
        say_what_numba_saves(asked.n_networks)
    n_jobs = _n_processes(n_jobs)
    # the folder is checked before anything is written: a finished census is not touched at all
    plan, missing = _standing(folder, asked, overwrite, any_version, progress=progress)
    if not missing and stored_plan(folder) == plan:
        require_own(folder, plan.files(), overwrite=overwrite)
        remove_abandoned(folder, plan.files())
        return folder
    require_writable(folder, plan.files(), overwrite=overwrite)
    with working_alone(folder, LOCK_FILE, doing="a census"):
        # checked again under the lock: another process may have continued the census
        plan, missing = _standing(folder, asked, overwrite, any_version, progress=progress)
        _write_plan(folder, plan)
        _make(missing, folder, task, plan, n_jobs, overwrite=overwrite, progress=progress)
        remove_abandoned(folder, plan.files())
    return folder


def _make(
    missing: list[Shard],
    folder: Path,
    task: _Task,
    plan: Plan,
    n_jobs: int | None,
    *,
    overwrite: bool,
    progress: bool,
) -> None:
    """Train, identify and write the shards that are missing."""
    from joblib import delayed

    call = delayed(_run_shard)
    calls = [call(task, plan, shard, folder, overwrite, os.getpid()) for shard in missing]
    n_done = n_solved = 0
    n_missing = sum(shard.n_networks for shard in missing)
    bar = progress_bar(
        doing="census",
        unit="network",
        total=plan.n_networks,
        n_before=plan.n_networks - n_missing,
        progress=progress,
    )
    with bar:
        for done in _results(calls, n_jobs):
            n_done += done.n_networks
            n_solved += done.n_solved
            bar.set_postfix_str(f"{n_solved / n_done:.0%} solved", refresh=False)
            bar.update(done.n_networks)


def _checked(
    target: Target,
    n_networks: int,
    *,
    hidden: Widths,
    seed: int,
    config: TrainConfig | None,
    n_inputs: int | None,
    require: ProofLevel,
    min_margin: float,
    engine: EngineName | None,
    shard_size: int,
) -> tuple[_Task, Plan]:
    """The task and the plan, or the error in which the first or last shard would end."""
    n_networks = whole_number("n_networks", n_networks, at_least=1)
    shard_size = whole_number("shard_size", shard_size, at_least=1)
    seed = require_seeds(seed, n_networks)
    n_shards = -(-n_networks // shard_size)
    larger = "give a larger shard_size (--shard)"
    require_at_most(n_shards, MOST_SHARDS, what="shards", do=larger)
    config = TrainConfig.of(config)
    # One step of the first and of the last networks raises every error that settings can cause.
    # Two networks at a time: a census of one may be extended, so its engine is that of many.
    # The workers find on disk what numba compiles here.
    for probe_seed in (min(seed, SEEDS_BELOW - 2), max(0, seed + n_networks - 2)):
        probe = train_population(
            target,
            2,
            hidden=hidden,
            seed=probe_seed,
            config=replace(config, max_steps=1),
            n_inputs=n_inputs,
            engine=engine,
            progress=False,
        )
    chosen = engine_of(engine, n_networks=2, cfg=probe.cfg, device=torch.device("cpu"))
    n_together = min(n_networks, shard_size)
    require_memory(
        n_together * (BYTES_PER_NETWORK + 30 * probe.flat.shape[1])
        + training_bytes(n_together, n_rows=2**probe.cfg.d_in, cfg=probe.cfg),
        what=f"a shard of {n_together:,} networks",
        do="give a smaller shard_size (--shard)",
    )
    # identifying these two raises the errors of the other settings
    census(probe, require=require, min_margin=min_margin, progress=False)
    task = _Task(
        target=BooleanFunction.of(target, probe.cfg.d_in),
        hidden=probe.cfg.d_hidden,
        config=config,
        engine=chosen,
        require=require,
        min_margin=float(min_margin),
    )
    plan = Plan(
        settings=task.settings(),
        seed=seed,
        n_networks=n_networks,
        shard_size=shard_size,
        versions=(versions_here(chosen),),
    )
    return task, plan


def _engine_there(folder: Path) -> EngineName | None:
    """The engine of the census in a folder; None if there is no census or no such engine here."""
    there = stored_plan(folder)
    if there is None:
        return None
    if there.engine == "numba" and numba_is_usable():
        return "numba"
    return "torch" if there.engine == "torch" else None


def _n_processes(n_jobs: int | None) -> int | None:
    """The number of processes for joblib: the number given, or None or -1.

    None leaves the choice to the active `parallel_config`; without one, -1 means all cores.
    """
    from joblib.parallel import LokyBackend, get_active_backend

    if n_jobs is not None:
        if n_jobs == 0 or isinstance(n_jobs, bool) or not isinstance(n_jobs, int):
            raise XorMiError(
                f"n_jobs is {n_jobs!r}; give a number of processes, -1 for one per core, "
                "or leave it out"
            )
        return n_jobs
    # joblib's own default is one process, so without a `parallel_config` ask for all cores
    backend, n_configured = get_active_backend()
    is_default = n_configured is None and isinstance(backend, LokyBackend)
    return -1 if is_default else None


def _results(calls: list[_Call], n_jobs: int | None) -> Iterator[_Done]:
    """The result of each shard, as soon as it is there.

    A backend that cannot return single results (ray) gives all of them at the end.
    """
    from joblib import Parallel
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    from joblib.parallel import LokyBackend, get_active_backend

    if not calls:
        return
    if n_jobs is not None and n_jobs > len(calls):
        n_jobs = len(calls)  # a worker without work would not notice that its parent is gone
    if n_jobs != 1 and isinstance(get_active_backend()[0], LokyBackend):
        clean_up_silently()
    try:
        pool = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    except ValueError:  # a backend without generators
        pool = Parallel(n_jobs=n_jobs)
    try:
        results: Any = pool(calls)
        yield from results
    except TerminatedWorkerError:
        raise XorMiError(
            "a worker process died (out of memory?); the shards that are written are kept: run "
            "the census again, with a lower n_jobs"
        ) from None


def _run_shard(
    task: _Task, plan: Plan, shard: Shard, folder: Path, overwrite: bool, parent: int
) -> _Done:
    """Train, identify and write one shard.

    Args:
        parent: the process that runs the census.
    """
    end_with(parent)
    versions = versions_here(task.engine)
    if versions not in plan.versions:
        of_plan = in_words(plan.versions[-1])
        raise XorMiError(
            f"a worker has {in_words(versions)}, and this census is of {of_plan}; install the same "
            "on all machines"
        )
    with _one_thread():
        population = train_population(
            task.target,
            shard.n_networks,
            hidden=task.hidden,
            seed=shard.first_seed,
            config=task.config,
            engine=task.engine,
            progress=False,
        )
        networks = census(
            population, require=task.require, min_margin=task.min_margin, progress=False
        )
        about = plan.about(shard) | {"versions": dict(versions)}
        try:
            write_census(networks, shard.file(folder), about=about, overwrite=overwrite)
        except XorMiError as error:  # such as a full disk
            kept = "the shards that are written are kept; repeat the command to continue"
            raise XorMiError(f"{error}; {kept}") from None
    return _Done(n_networks=shard.n_networks, n_solved=int(population.solved.sum()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Within this context, one thread per process.

    Operations this small gain nothing from more threads, and the processes share the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _standing(
    folder: Path, asked: Plan, overwrite: bool, any_version: bool, *, progress: bool
) -> tuple[Plan, list[Shard]]:
    """The plan that is valid from now on, and its shards that are still to be made.

    Nothing is written.

    Raises:
        XorMiError: the folder holds another census, fewer networks are asked for than it has, or a
            file is not a shard of this census.
    """
    require_kind("any_version", any_version, bool, give="True or False")
    plan = _grown(folder, asked, any_version)
    _require_no_strays(folder, plan)
    missing = []
    bar = progress_bar(plan.shards(), doing="checking", unit="shard", progress=progress)
    for shard in bar:
        file = shard.file(folder)
        # a name that is taken by a folder, for example, is refused before anything is written
        fault = fault_of(file, plan, shard) if file.is_file() else None
        if fault and fault.kind == "another version" and any_version:
            plan = plan.allowing(_versions_of(file))
            fault = fault_of(file, plan, shard)
        if fault and not (fault.kind == "damaged" and overwrite):
            raise refused(file, fault)
        if fault or not file.is_file():
            missing.append(shard)
    return plan, missing


def _grown(folder: Path, asked: Plan, any_version: bool) -> Plan:
    """The plan in the folder, extended to the networks asked for, or else the plan asked for."""
    there = stored_plan(folder)
    if there is None:
        if mark_of(folder / OLDER_PLAN_FILE) == CENSUS_MARK:
            raise XorMiError(
                f"'{folder}' holds a census that an earlier version of xor-mi began (its plan is "
                f"{OLDER_PLAN_FILE}); this version cannot continue it: choose another folder"
            )
        return asked
    fewer = asked.n_networks < there.n_networks
    otherwise = difference(_compared(there, fewer), _compared(asked, fewer))
    if otherwise:
        hint = "a census can be extended, not shortened; " if fewer else ""
        if there.engine != asked.engine:
            hint += _about_engines(there)
        raise XorMiError(
            f"'{folder}' holds another census ({otherwise}); {hint}"
            "choose another folder, or ask for that census"
        )
    (here,) = asked.versions
    if here not in there.versions and not any_version:
        raise XorMiError(
            f"'{folder}' holds a census of {in_words(there.versions[-1])}, and this is "
            f"{in_words(here)}: the last digits may differ; read_census reads it; choose another "
            "folder for a new census, or continue this one with --any-version (in Python "
            "any_version=True)"
        )
    plan = there.allowing(here)
    grows = asked.n_networks > there.n_networks
    return plan.extended_to(asked.n_networks) if grows else plan


def _about_engines(there: Plan) -> str:
    """What to do if a census of this plan is asked for with another engine."""
    if there.engine == "numba" and not numba_is_usable():
        return f"numba {why_not_numba()}, and the census continues; "
    if there.engine not in ENGINES:
        return ""
    return (
        f"--engine {there.engine} (in Python engine='{there.engine}') continues with the engine "
        "of that census; "
    )


def _compared(plan: Plan, with_number: bool) -> dict[str, Any]:
    """The settings that two plans of one census have in common."""
    found = {**plan.settings, "engine": plan.engine}
    found |= {"seed": plan.seed, "shard_size": plan.shard_size}
    return {**found, "n_networks": plan.n_networks} if with_number else found


def _write_plan(folder: Path, plan: Plan) -> None:
    """Write the plan, which must be there before the shards."""
    file = folder / PLAN_FILE
    if stored_plan(folder) == plan:
        return
    # without file locks two processes may come here at once; then one finds the other's plan
    if mark_of(file) == CENSUS_MARK or not write_new(file, plan.to_json()):
        other = stored_plan(folder)
        otherwise = difference(_compared(other, False), _compared(plan, False)) if other else ""
        if otherwise:
            raise XorMiError(
                f"'{folder}' holds another census ({otherwise}); "
                "choose another folder, or ask for that census"
            )
        write_file(file, plan.to_json())


def _versions_of(file: Path) -> dict[str, str]:
    """The versions that wrote a shard, from its metadata; empty if they do not say."""
    about = census_in(file).about
    versions = about.get("versions") if isinstance(about, dict) else None
    return versions if isinstance(versions, dict) else {}


def _require_no_strays(folder: Path, plan: Plan) -> None:
    """Refuse Parquet files that are not part of the census but would be read with it."""
    ours = plan.files()
    for file in sorted(folder.glob("[!.]*.parquet")):
        if file.name in ours:
            continue
        if mark_of(file) == CENSUS_MARK:
            # such as a shard under another name, or of another census
            fault = "which is not part of this census"
            raise refused(file, Fault("another table", fault))
        raise XorMiError(
            f"'{folder}' holds {file.name}, which would be read as part of the census; "
            "choose another folder"
        )
