"""configuration -> a folder of Parquet files, one for every few thousand networks; stopped or
killed, it goes on where it was.

A shard is a range of seeds. It is trained, identified and written as a whole, under its name only
when complete, so a file that is there is done. Networks do not depend on the batch they are trained
in, so neither do the rows on how often the work was interrupted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from xor_mi.errors import XorMiError
from xor_mi.population._census import census, write_census
from xor_mi.training import TrainConfig, train_population
from xor_mi.truth import BooleanFunction

PLAN = "plan.json"


@dataclass(frozen=True)
class _Plan:
    """What a folder of shards is a census of."""

    target: BooleanFunction
    hidden: tuple[int, ...]
    seed: int
    n_networks: int
    shard_size: int
    config: TrainConfig

    def text(self) -> str:
        about = asdict(self) | {
            "target": {
                "n_inputs": self.target.n_inputs,
                "tables": ["".join(map(str, t)) for t in self.target.tables],
            }
        }
        return json.dumps(about | {"hidden": list(self.hidden)}, indent=2) + "\n"

    def shards(self) -> list[tuple[int, int]]:
        """(first seed, how many) of each."""
        end = self.seed + self.n_networks
        return [
            (start, min(self.shard_size, end - start))
            for start in range(self.seed, end, self.shard_size)
        ]


def run_census(
    target: Any = "XOR",
    n_networks: int = 10**6,
    *,
    config: Any = None,
    directory: Any = "census",
    hidden: Any = (2,),
    seed: int = 0,
    n_inputs: int = 2,
    shard_size: int = 10_000,
    n_jobs: Any = None,
    progress: bool = True,
) -> Path:
    """Train and identify n networks and leave one Parquet file per shard in a folder, which
    `read_census` reads.

    Called again with the same arguments it does only what is missing. The work goes through joblib:
    to this machine's cores, or to whatever `joblib.parallel_config` says.

    Args:
        out: the folder; made if missing.
        shard_size: networks per file; at most this many are lost when a run is killed.
        n_jobs: processes; by default one per core, or what the active `parallel_config` says.

    Returns:
        The folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(file.name for file in run_census(out=folder, n_networks=4, shard_size=2, n_jobs=1).glob("*.parquet"))
    ['seeds-000000000000-000000000001.parquet', 'seeds-000000000002-000000000003.parquet']

    Raises:
        XorMiError: settings that cannot be trained, a folder that cannot be written or that holds
            another census, a worker that died.
    """
    from joblib import Parallel, delayed

    if n_jobs is not None and (
        isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0
    ):
        raise XorMiError(
            f"n_jobs is {n_jobs!r}; give a number of processes, -1 for one per core, or leave it out"
        )
    if config is not None and not isinstance(config, TrainConfig):
        raise XorMiError(f"config is {config!r}; give a TrainConfig, such as TrainConfig(lr=0.1)")
    plan = _checked(config or TrainConfig(), target, hidden, seed, n_inputs, n_networks, shard_size)
    folder = _folder(directory, plan)
    todo = [shard for shard in plan.shards() if not _file(folder, *shard).is_file()]
    calls = [delayed(_run_shard)(plan, *shard, _file(folder, *shard)) for shard in todo]
    n_left = sum(count for _, count in todo)
    bar = tqdm(
        total=n_networks,
        initial=n_networks - n_left,
        desc="census",
        unit="network",
        disable=None if progress else True,
    )
    n_solved = n_done = 0
    with bar:
        for count, solved in _results(Parallel, _n_jobs(n_jobs), calls):
            n_solved, n_done = n_solved + solved, n_done + count
            bar.set_postfix_str(f"{n_solved} of {n_done} solved", refresh=False)
            bar.update(count)
    for leftover in folder.glob(".*.partial"):  # of runs that were killed while writing
        leftover.unlink(missing_ok=True)
    return folder


def _results(parallel: Any, n_jobs: int | None, calls: list[Any]) -> Iterator[tuple[int, int]]:
    """What each shard answers, as soon as it does; at the end, where the backend cannot say before
    (ray).
    """
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if not calls:
        return
    try:
        pool = parallel(n_jobs=n_jobs, return_as="generator_unordered")
    except ValueError:
        pool = parallel(n_jobs=n_jobs)
    try:
        yield from pool(calls)
    except TerminatedWorkerError:
        raise XorMiError(
            "a worker process died (out of memory?); what is written is kept: run the census again, with a lower n_jobs"
        ) from None


def _n_jobs(asked: int | None) -> int | None:
    """The number asked for; else the active `parallel_config` decides, and where there is none, all
    cores.
    """
    from joblib.parallel import LokyBackend, get_active_backend

    backend, configured = get_active_backend()
    return (
        -1 if asked is None and configured is None and isinstance(backend, LokyBackend) else asked
    )


def _run_shard(plan: _Plan, start: int, count: int, path: Path) -> tuple[int, int]:
    """Train, identify, write. Returns how many networks, and how many solved."""
    with _one_thread():
        population = train_population(
            plan.target, count, hidden=plan.hidden, seed=start, config=plan.config
        )
        write_census(census(population), path, about=json.loads(plan.text()))
    return count, int(population.solved.sum())


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread per process: operations this small gain nothing from more, and processes share the
    cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _checked(
    config: TrainConfig,
    target: Any,
    hidden: Any,
    seed: int,
    n_inputs: int,
    n_networks: int,
    shard_size: int,
) -> _Plan:
    """The plan, or the error that its first shard would end with."""
    for name, number in (("n_networks", n_networks), ("shard_size", shard_size)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise XorMiError(f"{name} is {number!r}; give a whole number of at least 1")
    function = BooleanFunction.of(
        target, target.n_inputs if isinstance(target, BooleanFunction) else n_inputs
    )
    probe = train_population(
        function, 1, hidden=hidden, seed=seed, config=replace(config, max_steps=1)
    )
    train_population(
        function, 1, hidden=hidden, seed=seed + n_networks - 1, config=replace(config, max_steps=1)
    )
    return _Plan(function, tuple(probe.cfg.d_hidden), seed, n_networks, shard_size, config)


def _folder(out: Any, plan: _Plan) -> Path:
    """The folder with its plan; one that holds another plan is refused."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / PLAN).is_file():
            if any(folder.glob("*.parquet")):
                raise XorMiError(
                    f"'{folder}' holds Parquet files but no {PLAN}; choose an empty folder"
                )
            partial = folder / f".{PLAN}.partial"
            partial.write_text(plan.text())
            partial.replace(folder / PLAN)
        stored = (folder / PLAN).read_text()
    except OSError as error:
        raise XorMiError(
            f"cannot write to '{folder}': {error.strerror or error}; choose a folder you may write to"
        ) from None
    if stored != plan.text():
        raise XorMiError(
            f"'{folder}' holds another census ({_difference(stored, plan.text())}); choose another folder, or ask for that one"
        )
    return folder


def _difference(stored: str, asked: str) -> str:
    try:
        there, here = json.loads(stored), json.loads(asked)
        there, here = there | there.pop("config"), here | here.pop("config")
        return (
            "; ".join(
                f"{key}: {there.get(key)} there, {here[key]} asked"
                for key in here
                if there.get(key) != here[key]
            )
            or "unreadable"
        )
    except (ValueError, AttributeError, TypeError, KeyError):
        return f"its {PLAN} is damaged"


def _file(folder: Path, start: int, count: int) -> Path:
    return folder / f"seeds-{start:012d}-{start + count - 1:012d}.parquet"
