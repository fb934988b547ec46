"""an exam -> index.html, one file that works offline: boards, curves and failures.

It says what was measured, on which networks and under which convention.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from xor_mi import plots
from xor_mi.errors import require_kind
from xor_mi.exam import (
    MEASURES,
    ExamNetwork,
    ExamPart,
    ExamRun,
    Grade,
    Grades,
    Over,
    read_exam,
)
from xor_mi.exam._lots import EXAM_FILES
from xor_mi.finding import in_words, number_text
from xor_mi.kinds import PathLike
from xor_mi.plots._page import PageFigures, as_words, render_page
from xor_mi.saving import EXAM_MARK, require_writable, write_file

__all__ = ["render_exam_page", "write_exam_page"]

KINDS = {
    ("edges", "scores"): "Scores over edges",
    ("edges", "set"): "Sets of edges",
    ("units", "scores"): "Scores over units",
    ("units", "set"): "Sets of units",
    (None, "gates"): "Gates of units",
    (None, "alignment"): "Alignments",
}
"""(over, gives) -> the heading of a table."""
MOST_NETWORKS_NAMED = 3


def write_exam_page(
    exam: ExamRun | Grades | PathLike, directory: PathLike | None = None, *, overwrite: bool = False
) -> Path:
    """Write index.html of an exam into its folder; return the page's path.

    Args:
        exam: what `exam.run_exam`, `exam.read_exam` or `exam.grade` returns, or the folder of one.
        directory: the folder to write to; by default the folder of the exam.
        overwrite: write beside files that xor-mi did not write, and over an index.html that it did
            not write.

    Raises:
        XorMiError: no exam, no folder to write to, or a folder with files that xor-mi did not
            write.
    """
    give = "what exam.run_exam or exam.grade returns, or the folder of an exam"
    require_kind("exam", exam, (ExamRun, Grades, str, Path), give=give)
    if isinstance(exam, ExamRun):
        run = exam
    elif isinstance(exam, Grades):
        run = ExamRun.of(exam)
    else:
        run = read_exam(exam)
        directory = exam if directory is None else directory
    page = render_exam_page(run)
    give = "a folder to write to"
    require_kind("directory", directory, (str, Path), give=give)
    assert directory is not None
    folder = require_writable(directory, EXAM_FILES, overwrite=overwrite)
    write_file(folder / "index.html", page)
    return folder / "index.html"


def render_exam_page(exam: ExamRun) -> str:
    """The page as text: nothing is loaded from anywhere, every inserted text is escaped."""
    require_kind("exam", exam, ExamRun, give="what exam.run_exam returns")
    measures = [
        {"name": name, "what": measure.what, "better": measure.better}
        for name, measure in MEASURES.items()
        if any(name in part.grades.measures for part in exam.parts)
    ]
    drawn = PageFigures()
    return render_page(
        "exam_page.html.jinja",
        drawn,
        mark=f"{EXAM_MARK}/1",
        summary=str(exam),
        versions=exam.versions,
        parts=[_part_of_page(part, number, drawn) for number, part in enumerate(exam.parts)],
        measures=measures,
    )


def _part_of_page(part: ExamPart, number: int, drawn: PageFigures) -> dict[str, object]:
    """The part of the page for one task under one convention, as values for the template.

    Args:
        drawn: the figures of the page, to which the part's figures are added.
    """
    grades = part.grades
    is_graded = bool(grades.measures)
    boards = [_board(grades, name, number, drawn) for name in _drawn_measures(grades)]
    overs: list[Over] = ["edges", "units"]
    curves: list[Markup] = []
    for over in overs:
        if any(one.over == over and one.faithfulness for one in grades.grades):
            figure = plots.faithfulness_curves(grades, over=over)
            curves.append(drawn.place(f"{number}-curves-{over}", figure))
    failures = list(_failures(grades))
    fails_drawn = any(
        one.gives in ("scores", "set") for name in grades.methods for one in grades.failures(name)
    )
    fails = ""
    if fails_drawn:
        fails = drawn.place(f"{number}-failures", plots.failures_figure(grades))
    return {
        "anchor": f"part-{number}-{re.sub(r'[^a-z0-9]+', '-', part.heading.lower())}",
        "heading": part.heading,
        "measured": _what_was_measured(part),
        "left_out": grades.left_out,
        "truths": _truth_lines(grades.networks),
        "boards": boards,
        "tables": list(_tables(grades.board())) if is_graded else [],
        "curves": curves,
        "failures": failures,
        "drawn": fails,
        "missing": list(_missing(grades)),
    }


def _board(grades: Grades, measure: str, number: int, drawn: PageFigures) -> Markup:
    """The picture of a board; only its title if all bars of the picture would be equal."""
    figure = plots.grades_board(grades, measure=measure)
    means = grades.board([measure])[measure].dropna()
    if len(means) > 1 and means.nunique() == 1:
        return Markup("<p>{}.</p>").format(
            as_words(figure.to_plotly_json()["layout"]["title"]["text"])
        )
    return drawn.place(f"{number}-{measure}", figure)


def _drawn_measures(grades: Grades) -> list[str]:
    """The measures of the boards on the page: sizes, then those of gates and alignments."""
    asked = ("size", "gate_agreement", "interchange_accuracy")
    return [name for name in asked if name in grades.measures]


def _what_was_measured(part: ExamPart) -> list[str]:
    """The networks, the convention, the metric and the seed, sentence by sentence."""
    grades = part.grades
    said = [part.says] if part.says else []
    n = len(grades.networks)
    if n:
        first = grades.networks[0]
        # the task is named in the heading
        task = f"{part.task}, "
        named = grades.networks[:MOST_NETWORKS_NAMED]
        names = [network.name.removeprefix(task) for network in named]
        more = ", ..." if n > MOST_NETWORKS_NAMED else ""
        sizes = "-".join(map(str, first.cfg.layer_sizes))
        said.append(
            f"Graded on {n} network{'s' if n > 1 else ''} {sizes} ({'; '.join(names)}{more}), each "
            f"on {first.n_rows} rows."
        )
    convention = grades.convention
    carries = "nothing" if convention.ablation == "zero" else "its source's mean"
    said.append(f"A dropped edge carries {carries}.")
    if convention.n_noisy:
        said.append(
            f"Besides each clean row, {convention.n_noisy} noisy copies of it must be decided "
            f"right: the standard deviation of the noise is {convention.noise_sd:g} of the "
            "distance between "
            "the levels of the inputs."
        )
    said.append(f"Convention {part.convention}: {convention.describe()}.")
    said.append(f"Metric: {grades.metric}; seed {grades.seed}.")
    return said


def _truth_lines(networks: Sequence[ExamNetwork]) -> list[dict[str, str]]:
    """The truth about edges and units, as ranges over networks."""
    lines: list[dict[str, str]] = []
    for over in ("edges", "units"):
        truths = [one for network in networks for one in network.truths if one.over == over]
        if not truths:
            continue
        defects = [one.monotonicity_defect for one in truths if one.monotonicity_defect is not None]
        n_unique = sum(one.is_unique for one in truths)
        lines.append(
            {
                "over": over,
                "elements": _range([one.n_elements for one in truths]),
                "perfect sets": _range([one.n_perfect for one in truths]),
                "locally minimal": _range([one.n_locally for one in truths]),
                "subset-minimal": _range([one.n_subset for one in truths]),
                "with the fewest": _range([one.n_cardinally for one in truths]),
                "the fewest": _range([one.minimum for one in truths]),
                "unique": f"{n_unique} of {len(truths)}",
                "monotonicity defect": _range(defects),
            }
        )
    return lines


def _range(numbers: Sequence[float]) -> str:
    """'3 to 17, median 5', or one number if all are equal."""
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    if low == high:
        return _count(low)
    return f"{_count(low)} to {_count(high)}, median {_count(float(pd.Series(numbers).median()))}"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number == round(number) else number_text(number)


def _tables(board: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The whole board, as one table per kind of answer."""
    for (over, gives), heading in KINDS.items():
        lines = board[board["gives"] == gives]
        if over is not None:
            lines = lines[lines["over"] == over]
        if lines.empty:
            continue
        there = [name for name in MEASURES if name in lines and lines[name].notna().any()]
        columns = ["method", "networks"]
        for name in there:
            columns += [in_words(name), "by chance"]
        others = ["control"] if lines["control"].notna().any() else []
        others += ["forwards", "backwards"]
        yield {
            "heading": heading,
            "columns": [*columns, *others],
            "lines": [_line(one, there, others) for one in lines.to_dict("records")],
        }


def _line(line: Mapping[str, object], measures: Sequence[str], others: Sequence[str]) -> list[str]:
    """The line of a method in the table."""
    cells = [str(line["method"]), str(line["n_networks"])]
    for name in measures:
        mean, low, high = (_number(line[f"{name}{end}"]) for end in ("", "_low", "_high"))
        cells += [f"{mean} [{low}, {high}]" if low else mean, _number(line[f"{name}_chance"])]
    return [*cells, *(_number(line[name]) for name in others)]


def _number(value: object) -> str:
    """A number of a table; "" for None."""
    if not isinstance(value, (int, float)) or pd.isna(value):
        return ""
    return number_text(value) if abs(value) < 1000 else f"{value:,.0f}"


def _failures(grades: Grades) -> Iterator[dict[str, object]]:
    """For each method that is not always right: how often it fails, and the smallest network."""
    for name in grades.methods:
        wrong = grades.failures(name)
        if wrong:
            n = sum(one.is_right is not None for one in grades.of(name))
            gave = _what_it_gave(wrong[0], grades.network(wrong[0].network))
            yield {
                "method": name,
                "n_failed": len(wrong),
                "n": n,
                "network": wrong[0].network,
                "gave": gave,
            }


def _what_it_gave(grade: Grade, network: ExamNetwork) -> str:
    """A method's wrong answer, in words."""
    if grade.over is not None and grade.gives in ("scores", "set"):
        minimum = network.truth(grade.over).minimum
        size = grade.values.get("size")
        if size is None:
            return (
                f"{len(grade.kept)} {grade.over}, which are not perfect; the fewest possible are "
                f"{minimum}"
            )
        return f"{size:.0f} {grade.over}; the fewest possible are {minimum}"
    for measure in ("gate_agreement", "interchange_accuracy"):
        value = grade.values.get(measure)
        if value is not None:
            return f"{in_words(measure)} {number_text(value)}"
    return "nothing that can be graded"


def _missing(grades: Grades) -> Iterator[str]:
    """'captum: 20 of 20 networks: reason', with the reason of the first network."""
    for name in grades.methods:
        without = [one for one in grades.of(name) if one.why_not]
        if without:
            yield (
                f"{name}: {len(without)} of {len(grades.of(name))} networks: {without[0].why_not}"
            )
