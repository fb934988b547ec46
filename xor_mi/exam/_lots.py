"""Which exam a folder holds, and the lots of networks that are done.

The plan is `_plan.json` in the folder. A lot is a range of the networks of one task under one
convention; it is graded and written as a whole, in a file of its own in `lots`, which says to which
exam it belongs.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from xor_mi.errors import XorMiError, shown
from xor_mi.exam._grades import Grades
from xor_mi.reading import read_json
from xor_mi.saving import EXAM_MARK, mark_of, write_file

PLAN_FILE = "_plan.json"
"""The file of the plan; written before the first lot."""
LOTS = "lots"
"""The folder of the lots."""
LOCK_FILE = ".exam.lock"
"""The file that names the process working in the folder, while there is one."""
EXAM_FILES = {PLAN_FILE: EXAM_MARK, "grades.json": EXAM_MARK, "index.html": EXAM_MARK}
"""The files beside the lots: name -> its mark (see `saving.mark_of`)."""
_GO_ON = "remove it and repeat the command, which makes it anew; or choose another folder"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of an exam.

    Attributes:
        tasks, conventions, methods: by name.
        n_networks: the number of networks of each task.
        seed: as in `run_exam`.
        versions: package -> version, for the packages that grades depend on.
    """

    FORMAT: ClassVar[str] = f"{EXAM_MARK}/1"

    tasks: tuple[str, ...]
    conventions: tuple[str, ...]
    methods: tuple[str, ...]
    n_networks: int
    seed: int
    versions: Mapping[str, str]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """(task, convention), in the order in which they are graded."""
        return [(task, convention) for task in self.tasks for convention in self.conventions]

    def settings(self) -> dict[str, Any]:
        """The settings that all lots have in common, JSON-ready."""
        return {
            "tasks": list(self.tasks),
            "conventions": list(self.conventions),
            "methods": list(self.methods),
            "seed": self.seed,
            "versions": dict(self.versions),
        }

    def write(self, folder: Path) -> None:
        """Write the plan, unless the file already holds it."""
        if stored_plan(folder) == self:
            return
        content = {"format": self.FORMAT, **self.settings(), "n_networks": self.n_networks}
        write_file(folder / PLAN_FILE, json.dumps(content, indent=1) + "\n")

    def missing(self, lots: Sequence["Lot"], at_once: int) -> Iterator[range]:
        """The networks of a part that no lot has, in ranges of at most so many."""
        start = 0
        for lot in sorted(lots, key=lambda lot: lot.first):
            yield from _cut(range(start, lot.first), at_once)
            start = lot.first + lot.n_networks
        yield from _cut(range(start, self.n_networks), at_once)


def _cut(numbers: range, at_once: int) -> Iterator[range]:
    for first in range(numbers.start, numbers.stop, at_once):
        yield range(first, min(first + at_once, numbers.stop))


@dataclass(frozen=True, eq=False, kw_only=True)
class Lot:
    """Some networks of one task under one convention, graded.

    Attributes:
        first, n_networks: the range of the task's networks.
    """

    task: str
    convention: str
    first: int
    n_networks: int
    grades: Grades

    def write(self, folder: Path, plan: Plan) -> None:
        """Write the lot to a file of its own."""
        content = {
            "format": Plan.FORMAT,
            **plan.settings(),
            "task": self.task,
            "convention": self.convention,
            "first": self.first,
            "n_networks": self.n_networks,
            "grades": json.loads(self.grades.to_json()),
        }
        last = self.first + self.n_networks - 1
        name = f"{_part_name(self.task, self.convention)}.{self.first:06d}-{last:06d}.json"
        try:
            (folder / LOTS).mkdir(exist_ok=True)
            write_file(folder / LOTS / name, json.dumps(content) + "\n")
        except (OSError, XorMiError) as error:  # such as a full disk
            kept = "the lots that are written are kept; repeat the command to continue"
            raise XorMiError(f"{error}; {kept}") from None


def _part_name(task: str, convention: str) -> str:
    """The beginning of the file names of a part."""
    words = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in (task, convention)]
    return ".".join(words)


def require_files_apart(plan: Plan) -> None:
    """Refuse tasks whose lots would be written into the same files.

    Raises:
        XorMiError: naming two such tasks.
    """
    seen: dict[str, str] = {}
    for task, convention in plan.parts:
        other = seen.setdefault(_part_name(task, convention), task)
        if other != task:
            raise XorMiError(
                f"the tasks '{other}' and '{task}' have the same file name, since file names keep "
                "only the letters a to z and digits; give one of them another name"
            )


def stored_plan(folder: Path) -> Plan | None:
    """The plan in a folder; None if there is none.

    Raises:
        XorMiError: a damaged plan.
    """
    file = folder / PLAN_FILE
    if mark_of(file) != EXAM_MARK:
        return None
    content = read_json(file, called=f"the plan '{file}'", next_step=_GO_ON)
    if not isinstance(content, dict):
        raise XorMiError(f"'{file}' is damaged: it is not the plan of an exam; {_GO_ON}")
    listed = [content.get(name) for name in ("tasks", "conventions", "methods")]
    versions, numbers = content.get("versions"), [content.get("n_networks"), content.get("seed")]
    are_names = all(
        isinstance(names, list) and names and all(isinstance(name, str) for name in names)
        for names in listed
    )
    are_numbers = all(type(number) is int and number >= 0 for number in numbers)
    if not are_names or not are_numbers or not isinstance(versions, dict):
        raise XorMiError(f"'{file}' is damaged: it is not the plan of an exam; {_GO_ON}")
    task_names, conventions, methods = (tuple(map(str, names or ())) for names in listed)
    return Plan(
        tasks=task_names,
        conventions=conventions,
        methods=methods,
        n_networks=int(numbers[0] or 0),
        seed=int(numbers[1] or 0),
        versions={str(name): str(number) for name, number in versions.items()},
    )


def require_same_exam(folder: Path, asked: Plan) -> None:
    """Refuse a folder that holds another exam; the same exam of fewer networks is allowed.

    Raises:
        XorMiError: naming the differences.
    """
    there = stored_plan(folder)
    if there is None:
        return
    # an exam can be extended
    extended = replace(there, n_networks=max(there.n_networks, asked.n_networks))
    otherwise = _difference(extended, asked)
    if otherwise:
        raise XorMiError(
            f"'{folder}' holds another exam ({otherwise}); choose another folder, or ask for that "
            "exam"
        )


def _difference(there: Plan, asked: Plan) -> str:
    """The differences between two plans, as a message says them; "" if there are none."""
    one, other = (
        {"n_networks": plan.n_networks, **plan.settings(), **plan.versions}
        for plan in (there, asked)
    )
    differing = [name for name in other | one if one.get(name) != other.get(name)]
    lines = [
        f"{name}: {shown(one.get(name))} there, {shown(other.get(name))} asked"
        for name in differing
        if name != "versions"
    ]
    return "; ".join(lines)


def lots_in(
    folder: Path, plan: Plan, *, overwrite: bool = False
) -> dict[tuple[str, str], list[Lot]]:
    """(task, convention) -> its lots, in order.

    Args:
        overwrite: treat a damaged lot as missing.

    Raises:
        XorMiError: a damaged lot, or a lot of another exam.
    """
    done: dict[tuple[str, str], list[Lot]] = {}
    for task, convention in plan.parts:
        lots: list[Lot] = []
        for file in sorted((folder / LOTS).glob(f"{_part_name(task, convention)}.*.json")):
            lot = _lot_in(file, plan, task, convention, overwrite=overwrite)
            if lot is not None:
                lots.append(lot)
        done[task, convention] = lots
        for one, following in pairwise(lots):
            if one.first + one.n_networks > following.first:
                raise XorMiError(
                    f"'{folder}' has the network {following.first} of {task}, {convention} in two "
                    "lots; remove one of them"
                )
    return done


def _lot_in(file: Path, plan: Plan, task: str, convention: str, *, overwrite: bool) -> Lot | None:
    """The lot in a file; None if it is damaged and may be made anew."""
    try:
        content = read_json(file, called=f"the lot '{file}'", next_step=_GO_ON)
        if not isinstance(content, dict) or content.get("format") != Plan.FORMAT:
            raise XorMiError(f"'{file}' is not a lot that xor-mi wrote; {_GO_ON}")
        lot = _lot_of(content, file, plan, task, convention)
    except _OfAnotherExam:
        raise
    except XorMiError:
        if overwrite:
            return None
        raise
    return lot


class _OfAnotherExam(XorMiError):
    """An undamaged lot of another exam, which is never overwritten."""


def _lot_of(
    content: Mapping[str, object], file: Path, plan: Plan, task: str, convention: str
) -> Lot:
    """The lot in a file's content.

    Raises:
        XorMiError: naming the file and what is wrong.
    """
    is_of = {"task": task, "convention": convention, **plan.settings()}
    for name, value in is_of.items():
        if content.get(name) != value:
            raise _OfAnotherExam(
                f"'{file}' is of another exam ({name}: {shown(content.get(name))} there, "
                f"{shown(value)} asked); move it away, or choose another folder"
            )
    first, n_networks = content.get("first"), content.get("n_networks")
    try:
        grades = Grades.from_json(json.dumps(content.get("grades")))
    except XorMiError as error:
        raise XorMiError(f"the lot '{file}' is damaged: {error}; {_GO_ON}") from None
    n_held = len(grades.networks) + len(grades.left_out)
    if type(first) is not int or first < 0 or type(n_networks) is not int:
        raise XorMiError(f"'{file}' does not say which networks it has; {_GO_ON}")
    if n_held != n_networks or first + n_networks > plan.n_networks:
        raise XorMiError(f"'{file}' does not have the networks that it names; {_GO_ON}")
    return Lot(task=task, convention=convention, first=first, n_networks=n_networks, grades=grades)
