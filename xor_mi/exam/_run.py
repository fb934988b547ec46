"""tasks, conventions, methods -> the whole exam, in lots from which a second start continues."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from xor_mi.errors import XorMiError, as_path, require_kind, require_seeds, unknown, whole_number
from xor_mi.exam._conventions import CONVENTIONS
from xor_mi.exam._exam import ExamPart, ExamRun
from xor_mi.exam._grade import NoneGraded, grade, versions_here
from xor_mi.exam._grades import Grades, joined
from xor_mi.exam._lots import (
    EXAM_FILES,
    LOCK_FILE,
    Lot,
    Plan,
    lots_in,
    require_files_apart,
    require_same_exam,
    stored_plan,
)
from xor_mi.exam._method import Method
from xor_mi.exam._methods import SomeMethods, methods_by_name
from xor_mi.exam._tasks import Task, tasks
from xor_mi.kinds import PathLike
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.saving import remove_abandoned, require_writable, working_alone, write_file

NETWORKS_OF_A_LOT = 10
"""Networks that are written together; at most so many are lost when a run is killed."""

SomeTasks = str | Task | Iterable[str | Task] | None
"""Tasks as an argument: names of `tasks()`, your own tasks, or None for all of `tasks()`."""


def run_exam(
    directory: PathLike | None = None,
    *,
    tasks: SomeTasks = None,
    methods: SomeMethods = None,
    conventions: str | Iterable[str] = "zero",
    n_networks: int = 20,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], object] | None = None,
) -> ExamRun:
    """Grade methods on the networks of several tasks.

    With a folder, every ten networks are written there as they are done. A call with the same
    settings makes only what is missing; a call with more networks and otherwise the same settings
    extends the exam. The folder knows methods only by their names: if you have changed a function
    since, choose another folder for it.

    Args:
        directory: the folder, made if missing; None keeps everything in memory.
        tasks: names of `exam.tasks()`, or your own tasks; by default all of `exam.tasks()`.
        methods: as in `grade`; by default all of `METHODS`.
        conventions: names of `exam.CONVENTIONS`, one or more.
        n_networks: the number of networks of each task.
        seed: the seed of the first network of each task, and of the random numbers of methods.
        overwrite: write beside files that xor-mi did not write, and make damaged lots anew. Nothing
            else is touched, not even another exam.
        say: a function such as `print`; it gets a sentence if an earlier run is continued.

    >>> def by_name(problem):
    ...     return [len(edge.name) for edge in problem.edges]
    >>> run = run_exam(tasks="XOR 2-2-1 relu", methods=by_name, n_networks=2)
    >>> run.board(["size"])[["task", "method", "n_networks"]].values.tolist()
    [['XOR 2-2-1 relu', 'by_name', 2]]

    Raises:
        XorMiError: an unknown task, method or convention; a folder that cannot be written, that
            another process works in, or that holds another exam, a damaged one, one of other
            versions or files that xor-mi did not write.
    """
    chosen = _tasks_asked(tasks)
    named_methods = methods_by_name(methods)
    plan = Plan(
        tasks=tuple(one.name for one in chosen),
        conventions=_conventions_asked(conventions),
        methods=tuple(named_methods),
        n_networks=whole_number("n_networks", n_networks, at_least=1),
        seed=require_seeds(seed, n_networks),
        versions=versions_here(),
    )
    if directory is None:
        return _run(plan, chosen, named_methods, None, {}, progress=progress)
    folder = as_path("directory", directory)
    require_kind("overwrite", overwrite, bool, give="True or False")
    require_files_apart(plan)
    require_same_exam(folder, plan)
    require_writable(folder, EXAM_FILES, overwrite=overwrite)
    with working_alone(folder, LOCK_FILE, doing="an exam"):
        # checked again under the lock: another process may have begun an exam
        require_same_exam(folder, plan)
        done = lots_in(folder, plan, overwrite=overwrite)
        n_done = sum(lot.n_networks for lots in done.values() for lot in lots)
        if n_done and say is not None:
            n_all = plan.n_networks * len(plan.parts)
            say(f"continuing in '{folder}': {n_done:,} of {n_all:,} networks are graded already")
        plan.write(folder)
        run = _run(plan, chosen, named_methods, folder, done, progress=progress)
        content = {"format": Plan.FORMAT, **run.to_dict()}
        write_file(folder / "grades.json", json.dumps(content, allow_nan=False) + "\n")
        remove_abandoned(folder, EXAM_FILES)
    return run


def read_exam(directory: PathLike) -> ExamRun:
    """The exam that `run_exam` wrote to a folder, as far as it is done.

    Raises:
        XorMiError: a folder without an exam, or a damaged one.
    """
    folder = as_path("directory", directory)
    plan = stored_plan(folder)
    if plan is None:
        raise XorMiError(f"'{folder}' holds no exam; give a folder that run_exam wrote")
    done = lots_in(folder, plan)
    known = tasks()
    parts: list[ExamPart] = []
    for task, convention in plan.parts:
        lots = done[task, convention]
        if lots:
            says = known[task].says if task in known else ""
            grades = joined([lot.grades for lot in lots])
            parts.append(ExamPart(task=task, says=says, convention=convention, grades=grades))
    return ExamRun(
        parts=tuple(parts), n_networks=plan.n_networks, seed=plan.seed, versions=plan.versions
    )


def _run(
    plan: Plan,
    chosen: Sequence[Task],
    methods: Mapping[str, Method],
    folder: Path | None,
    done: Mapping[tuple[str, str], Sequence[Lot]],
    *,
    progress: bool,
) -> ExamRun:
    """Grade what is missing, part by part, and join all grades."""
    parts: list[ExamPart] = []
    bar = progress_bar(
        doing="exam",
        unit="network",
        total=plan.n_networks * len(plan.parts),
        progress=progress,
    )
    with bar:
        for task in chosen:
            networks: dict[str, HookedMLP] = {}
            for convention in plan.conventions:
                lots = list(done.get((task.name, convention), ()))
                bar.set_postfix_str(f"{task.name}, {convention}", refresh=False)
                bar.update(sum(lot.n_networks for lot in lots))
                for numbers in plan.missing(lots, NETWORKS_OF_A_LOT):
                    if not networks:
                        made = task.networks(plan.n_networks, seed=plan.seed, progress=False)
                        networks = dict(made)
                    names = list(networks)[numbers.start : numbers.stop]
                    grades: list[Grades] = []
                    for name in names:
                        grades.append(_graded(methods, name, networks[name], convention, plan))
                        bar.update()
                    lot = Lot(
                        task=task.name,
                        convention=convention,
                        first=numbers.start,
                        n_networks=len(numbers),
                        grades=joined(grades),
                    )
                    lots.append(lot)
                    if folder is not None:
                        lot.write(folder, plan)
                lots.sort(key=lambda lot: lot.first)
                parts.append(
                    ExamPart(
                        task=task.name,
                        says=task.says,
                        convention=convention,
                        grades=joined([lot.grades for lot in lots]),
                    )
                )
    return ExamRun(
        parts=tuple(parts), n_networks=plan.n_networks, seed=plan.seed, versions=plan.versions
    )


def _graded(
    methods: Mapping[str, Method], name: str, model: HookedMLP, convention: str, plan: Plan
) -> Grades:
    """One network's grades; there are none if there is no circuit to find."""
    asked = CONVENTIONS[convention]
    try:
        return grade(methods, {name: model}, asked, seed=plan.seed, progress=False)
    except NoneGraded as nothing:
        return Grades(
            convention=asked,
            metric="margin",
            seed=plan.seed,
            versions=dict(plan.versions),
            networks=(),
            grades=(),
            left_out=dict(nothing.left_out),
        )


def _tasks_asked(asked: SomeTasks) -> tuple[Task, ...]:
    """Names and tasks -> tasks, in the given order."""
    known = tasks()
    if asked is None:
        return tuple(known.values())
    several = [asked] if isinstance(asked, (str, Task)) else asked
    require_kind("tasks", several, Iterable, give="names of exam.tasks(), or tasks")
    chosen: dict[str, Task] = {}
    for one in several:
        if not isinstance(one, (str, Task)):
            raise unknown("task", one, known, where="the exam has")
        task = known[one] if isinstance(one, str) else one
        if task.name in chosen:
            raise XorMiError(f"the task '{task.name}' is asked for twice; name it once")
        chosen[task.name] = task
    if not chosen:
        raise XorMiError("tasks is empty; give at least one")
    return tuple(chosen.values())


def _conventions_asked(asked: str | Iterable[str]) -> tuple[str, ...]:
    several = [asked] if isinstance(asked, str) else asked
    require_kind("conventions", several, Iterable, give="names of exam.CONVENTIONS")
    names: list[str] = []
    for one in several:
        if not isinstance(one, str) or one not in CONVENTIONS:
            raise unknown("convention", one, CONVENTIONS, where="the exam has")
        if one not in names:
            names.append(one)
    if not names:
        raise XorMiError("conventions is empty; give at least one")
    return tuple(names)
