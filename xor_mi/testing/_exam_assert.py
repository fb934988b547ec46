"""a method for finding circuits and a bound -> nothing, or an AssertionError with its grades."""

from collections.abc import Sequence
from math import isfinite
from numbers import Real

from xor_mi.errors import XorMiError, cut_short, require_kind, shown, unknown, whole_number
from xor_mi.exam import MEASURES, Grade, Grades, Measure, Method, SomeConvention, Task, grade
from xor_mi.exam import task as task_by_name
from xor_mi.finding import number_text
from xor_mi.kinds import Number

WORST_NAMED = 3
"""The most networks that a message names."""


def assert_method_passes(
    method: str | Method,
    task: str | Task,
    measure: str,
    at_least: Number | None = None,
    *,
    at_most: Number | None = None,
    networks: int = 20,
    seed: int = 0,
    convention: SomeConvention = None,
) -> None:
    """Assert that a method for finding circuits keeps its grade, in one line of its own tests.

    The mean of a measure over the networks of a task is compared with a bound. Networks, random
    numbers and truth are the same in every run, so the mean is the same too: a test that passes
    keeps passing until the method changes.

        # test_my_method.py
        from xor_mi.testing import assert_method_passes
        from my_library import my_scores   # a function of an ExamProblem

        def test_my_method_finds_small_circuits():
            assert_method_passes(my_scores, "XOR 2-3-3-1 relu", "size", at_most=9.5)

        def test_my_method_is_better_than_chance():
            assert_method_passes(my_scores, "XOR 2-3-3-1 relu", "auroc_union", 0.9)

    Args:
        method: a function of an `exam.ExamProblem`, or the name of one of `exam.METHODS`.
        task: one of `exam.tasks()`, or its name.
        measure: one of `exam.MEASURES`.
        at_least: the least mean allowed, for a measure where higher is better.
        at_most: the largest mean allowed, for a measure where lower is better.
        networks: the number of networks.
        seed: the seed of the first network, and of the method's random numbers.
        convention: as in `exam.grade`.

    >>> assert_method_passes("magnitude", "planted gates relu", "size", at_most=6, networks=3)

    Raises:
        AssertionError: a mean on the wrong side of its bound, a method without a grade on some
            network, or a measure without a value on any. The message has the mean, its interval,
            chance and the worst networks.
        XorMiError: an unknown task, method or measure; both bounds, no bound, or the bound on the
            wrong side for the measure; networks without a circuit to find.
    """
    __tracebackhide__ = True
    if not isinstance(measure, str) or measure not in MEASURES:
        raise unknown("measure", measure, MEASURES, where="measures are")
    bound = _bound(measure, at_least, at_most)
    require_kind("task", task, (str, Task), give="one of exam.tasks(), or its name")
    asked = task if isinstance(task, Task) else task_by_name(task)
    if not isinstance(method, str) and not callable(method):
        raise XorMiError("method is not a function; give a function of an exam.ExamProblem")
    n_networks = whole_number("networks", networks, at_least=1)
    models = asked.networks(n_networks, seed=seed, progress=False)
    grades = grade(method, models, convention, seed=seed, progress=False)
    name = grades.methods[0]
    where = f"{asked.name}, {len(grades.networks)} networks from seed {seed} on"
    missing = [one for one in grades.of(name) if one.why_not]
    if missing:
        raise AssertionError(_why_missing(name, missing, where))
    known = [one for one in grades.of(name) if one.values.get(measure) is not None]
    if not known:
        there = ", ".join(grades.measures)
        raise AssertionError(
            f"failing: {name} has no {measure} on {where}\n"
            f"  it gives {_kind(grades, name)}, and has: {there}\n"
            "  what to do: ask for one of these"
        )
    line = grades.board([measure]).iloc[0]
    mean = float(line[measure])
    is_lower = MEASURES[measure].better == "lower"
    if mean <= bound if is_lower else mean >= bound:
        return
    raise AssertionError(_why_failing(grades, name, measure, bound, where))


def _kind(grades: Grades, name: str) -> str:
    """The kind of a method's answer, in words."""
    first = grades.of(name)[0]
    return f"{first.gives} over {first.over}" if first.over else str(first.gives)


def _bound(measure: str, at_least: Number | None, at_most: Number | None) -> float:
    """The given bound, if it is the only one and on the right side for the measure."""
    is_lower = MEASURES[measure].better == "lower"
    right, wrong = ("at_most", "at_least") if is_lower else ("at_least", "at_most")
    given = {"at_least": at_least, "at_most": at_most}
    if given[wrong] is not None or given[right] is None:
        raise XorMiError(f"for {measure} {MEASURES[measure].better} is better; give only {right}=")
    bound = given[right]
    if isinstance(bound, Real) and not isinstance(bound, bool) and isfinite(bound):
        return float(bound)
    raise XorMiError(f"{right} is {shown(bound)}; give a finite number")


def _why_missing(name: str, missing: Sequence[Grade], where: str) -> str:
    lines = [f"failing: {name} has no grade on {len(missing)} of the networks: {where}"]
    for one in missing[:WORST_NAMED]:
        lines.append(f"  {one.network}: {cut_short(one.why_not, at_most=300)}")
    lines.append(
        f"  what to do: run it on one of these, {name}(exam.ExamProblem.of(network)), and see the "
        "error whole"
    )
    return "\n".join(lines)


def _why_failing(grades: Grades, name: str, measure: str, bound: float, where: str) -> str:
    """Mean, interval, chance, the worst networks, and what to do."""
    about: Measure = MEASURES[measure]
    line = grades.board([measure]).iloc[0]
    values = {
        one.network: value
        for one in grades.of(name)
        if (value := one.values.get(measure)) is not None
    }
    asked = f"at {'most' if about.better == 'lower' else 'least'} {number_text(bound)}"
    low, high, chance = (line[f"{measure}_{end}"] for end in ("low", "high", "chance"))
    spread = "" if low is None else f", 95 % interval {number_text(low)} to {number_text(high)}"
    by_chance = "" if chance is None else f", by chance {number_text(chance)}"
    lines = [
        f"failing: {name} has a mean {measure} of {number_text(line[measure])}, asked {asked}",
        f"  {measure}: {about.what}; {about.better} is better",
        f"  on {where}{spread}{by_chance}",
    ]
    if len(values) < len(grades.networks):
        lines.append(f"  it has a value on only {len(values)} of them")
    is_lower = about.better == "lower"
    n_within = sum(value <= bound if is_lower else value >= bound for value in values.values())
    lines.append(f"  {n_within} of {len(values)} networks are each within the bound")
    worst = sorted(values, key=lambda network: values[network], reverse=is_lower)[:WORST_NAMED]
    lines.append("  worst on:")
    lines += [f"    {network}: {number_text(values[network])}" for network in worst]
    lines.append(
        "  what to do: .plot(kind='failures') of exam.grade(method, networks) draws the worst; if "
        "the method was changed on purpose, move the bound"
    )
    return "\n".join(lines)
