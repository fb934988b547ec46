"""tasks, conventions and their grades -> ExamRun: the exam as a whole, as tables."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from xor_mi.errors import require_kind, unknown
from xor_mi.exam._grades import Grades
from xor_mi.finding import Finding, count_text


@dataclass(frozen=True, eq=False, kw_only=True)
class ExamPart:
    """One task under one convention.

    Attributes:
        task: the name of the task.
        says: what its networks are, in a sentence.
        convention: the name of the convention in `CONVENTIONS`.
        grades: the grades of all methods on all networks.
    """

    task: str
    says: str
    convention: str
    grades: Grades = field(repr=False)

    @property
    def heading(self) -> str:
        """'XOR 2-2-1 relu, zero'."""
        return f"{self.task}, {self.convention}"


@dataclass(frozen=True, eq=False, kw_only=True)
class ExamRun(Finding):
    """Methods graded on several tasks, under one or more conventions.

    Attributes:
        parts: task by task, and convention by convention within.
        n_networks: the number of networks of each task.
        seed: the seed of the first network, and of the random numbers of methods.
        versions: package -> version.
    """

    parts: tuple[ExamPart, ...] = field(repr=False)
    n_networks: int
    seed: int
    versions: Mapping[str, str]

    @classmethod
    def of(cls, grades: Grades, *, name: str = "networks of your own") -> "ExamRun":
        """The result of `grade` as an exam of one part, for example to write a page of it.

        Args:
            name: the name of the networks there.

        Raises:
            XorMiError: an argument that is not Grades, or a name that is not text.
        """
        require_kind("grades", grades, Grades, give="what exam.grade returns")
        require_kind("name", name, str, give="what the networks are called")
        part = ExamPart(
            task=name,
            says="Networks that were given.",
            convention=grades.convention.describe(),
            grades=grades,
        )
        n_networks = len(grades.networks) + len(grades.left_out)
        return cls(parts=(part,), n_networks=n_networks, seed=grades.seed, versions=grades.versions)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods."""
        of_parts = [name for part in self.parts for name in part.grades.methods]
        return tuple(dict.fromkeys(of_parts))

    def part(self, task: str, convention: str) -> ExamPart:
        """One task under one convention, by their names.

        Raises:
            XorMiError: a part that does not exist.
        """
        for one in self.parts:
            if (one.task, one.convention) == (task, convention):
                return one
        asked = f"{task}, {convention}"
        raise unknown("part", asked, [one.heading for one in self.parts], where="there are")

    def frame(self) -> pd.DataFrame:
        """One line per network and method.

        Columns: task, convention, and those of `Grades.frame`; a measure without a value in this
        part is empty.
        """
        return self._together([part.grades.frame() for part in self.parts])

    def board(self, measures: Sequence[str] | None = None) -> pd.DataFrame:
        """One line per part and method, best first within each: see `Grades.board`.

        Columns: task, convention, and those of `Grades.board`.
        """
        graded = [part for part in self.parts if len(part.grades)]
        return self._together([part.grades.board(measures) for part in graded], graded)

    def truth_frame(self) -> pd.DataFrame:
        """The truth about each network: task, convention, and those of `Grades.truth_frame`."""
        return self._together([part.grades.truth_frame() for part in self.parts])

    def _together(
        self, tables: Sequence[pd.DataFrame], parts: Sequence[ExamPart] | None = None
    ) -> pd.DataFrame:
        """The tables of parts as one, each line with its part's names."""
        lines: list[dict[Hashable, object]] = []
        for part, table in zip(self.parts if parts is None else parts, tables, strict=True):
            for line in table.to_dict("records"):
                named: dict[Hashable, object] = {"task": part.task, "convention": part.convention}
                lines.append(named | line)
        return pd.DataFrame(lines)

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "n_networks": self.n_networks,
            "seed": self.seed,
            "left_out": {part.heading: dict(part.grades.left_out) for part in self.parts},
        }

    def to_dict(self) -> dict[str, object]:
        """Settings, and for each part its board, its truth and what was left out; JSON-ready."""
        return {
            "n_networks": self.n_networks,
            "seed": self.seed,
            "versions": dict(self.versions),
            "parts": [_part_dict(part) for part in self.parts],
        }

    def __str__(self) -> str:
        n_graded = sum(len(part.grades.networks) for part in self.parts)
        n_tasks = len({part.task for part in self.parts})
        conventions = list(dict.fromkeys([part.convention for part in self.parts]))
        text = (
            f"{count_text(len(self.methods), 'method')} graded on {count_text(n_tasks, 'task')}, "
            f"{count_text(self.n_networks, 'network')} "
            f"each, under the convention{'s' if len(conventions) > 1 else ''} "
            f"{', '.join(conventions)}"
        )
        n_left_out = sum(len(part.grades.left_out) for part in self.parts)
        if n_left_out:
            text += f"; {n_left_out} of {n_graded + n_left_out} networks are left out, see head()"
        return text

    def _shown(self) -> tuple[str, pd.DataFrame]:
        graded = [part for part in self.parts if len(part.grades)]
        return str(self), self._together([part.grades.compact_board() for part in graded], graded)


def _part_dict(part: ExamPart) -> dict[str, object]:
    grades = part.grades
    return {
        "task": part.task,
        "says": part.says,
        "convention": {"name": part.convention, "is": grades.convention.describe()},
        "metric": grades.metric,
        "networks": [network.name for network in grades.networks],
        "left_out": dict(grades.left_out),
        "board": _lines(grades.board()) if len(grades) else [],
        "truth": _lines(grades.truth_frame()),
        "missing": [
            {"method": one.method, "network": one.network, "why_not": one.why_not}
            for one in grades.grades
            if one.why_not
        ],
    }


def _lines(table: pd.DataFrame) -> list[dict[str, object]]:
    """A table as JSON: missing values are null."""
    lines = table.to_dict("records")
    return [
        {str(name): None if pd.isna(value) else value for name, value in line.items()}
        for line in lines
    ]
