"""One line in the tests of a method: what passes, what fails and with which words."""

import re
from pathlib import Path

import numpy as np
import pytest

from xor_mi.errors import XorMiError
from xor_mi.exam import grade, task
from xor_mi.testing import assert_method_passes

pytestmark = pytest.mark.as_a_user

TASK = "planted copies relu"
FEW = {"networks": 4}


def first_edges(problem):
    """Edges in the order of their names, the first the likeliest."""
    return np.arange(len(problem.edges), 0.0, -1.0)


def nothing(problem):
    """A set that is never perfect."""
    return problem.edges[:1]


def breaks(problem):
    """A method that fails on every network."""
    raise RuntimeError("out of order")


@pytest.fixture(scope="module")
def sizes():
    """The sizes of `first_edges`, by network, from the frame of its grades."""
    grades = grade(first_edges, task(TASK).networks(4, progress=False), progress=False)
    return dict(zip(grades.frame()["network"], grades.frame()["size"], strict=True))


def test_a_bound_at_the_mean_holds_and_one_beyond_it_does_not(sizes):
    """Both sides of the bound, within a thousandth, by the mean of the frame."""
    mean = np.mean(list(sizes.values()))
    assert_method_passes(first_edges, TASK, "size", at_most=mean, **FEW)
    assert_method_passes(first_edges, task(TASK), "perfect_share", 0.0, **FEW)
    with pytest.raises(AssertionError):
        assert_method_passes(first_edges, TASK, "size", at_most=mean - 0.001, **FEW)
    with pytest.raises(AssertionError):
        assert_method_passes(first_edges, TASK, "perfect_share", at_least=1.0, **FEW)


def test_the_message_has_mean_interval_chance_and_the_worst_networks(sizes):
    """The first word is the outcome; the numbers are those of the frame, the worst come first."""
    with pytest.raises(AssertionError) as failed:
        assert_method_passes(first_edges, TASK, "size", at_most=2, **FEW)
    first, *lines = str(failed.value).splitlines()
    mean = np.mean(list(sizes.values()))
    assert first == f"failing: first_edges has a mean size of {mean:.2f}, asked at most 2.00"
    grades = grade(first_edges, task(TASK).networks(4, progress=False), progress=False)
    chance = grades.frame()["size_chance"].mean()
    assert "95 % interval" in lines[1]
    assert f"by chance {chance:.2f}" in lines[1]
    assert f"{TASK}, 4 networks from seed 0 on" in lines[1]
    assert "0 of 4 networks are each within the bound" in lines[2]
    named = [line.strip() for line in lines[lines.index("  worst on:") + 1 :][:3]]
    worst = sorted(sizes, key=lambda name: -sizes[name])[:3]
    assert named == [f"{name}: {sizes[name]:.2f}" for name in worst]
    assert "what to do:" in lines[-1]


def test_a_method_that_has_no_grade_fails_with_its_own_words():
    """Also where the bound would hold: a method that raises does not pass."""
    with pytest.raises(AssertionError) as failed:
        assert_method_passes(breaks, TASK, "size", at_most=100, **FEW)
    assert str(failed.value).startswith("failing: breaks has no grade on 4 of the networks")
    assert "RuntimeError: out of order" in str(failed.value)


def test_a_measure_without_a_value_fails_and_says_what_there_is():
    """A set that is nowhere perfect has no size, and a set has no AUROC."""
    for measure, bound in (("size", {"at_most": 9}), ("auroc_union", {"at_least": 0})):
        with pytest.raises(AssertionError, match=f"nothing has no {measure}") as failed:
            assert_method_passes(nothing, TASK, measure, **bound, **FEW)
        assert "it gives set over edges, and has: " in str(failed.value)
        assert "perfect" in str(failed.value)


def test_methods_of_the_exam_are_known_by_name_and_conventions_count():
    """The textbook's planted circuit needs all its six edges; under another convention too."""
    assert_method_passes("magnitude", "planted gates relu", "size", at_most=6, networks=2)
    with pytest.raises(AssertionError, match="asked at most 5"):
        assert_method_passes(
            "magnitude", "planted gates relu", "size", at_most=5, networks=2, convention=None
        )


def test_the_example_of_the_docs_is_what_happens():
    """Its tests pass, and with the lower bound that it names the message is the one it shows."""
    page = Path(__file__).parent.parent / "docs" / "how_to" / "grade_a_method.md"
    text = page.read_text(encoding="utf-8")
    (example,) = [
        code for code in re.findall(r"```python\n(.*?)```", text, re.S) if "def test" in code
    ]
    (message,) = re.findall(r"```text\n(failing: .*?)\n```", text, re.S)
    names = {}
    exec(example, names)
    tests = [thing for name, thing in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for run in tests:
        run()
    with pytest.raises(AssertionError) as failed:
        assert_method_passes(names["by_weight"], "XOR 2-3-1 relu", "size", at_most=6.5, networks=10)
    assert str(failed.value) == message


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"measure": "sise", "at_most": 3}, "did you mean 'size'"),
        ({"measure": "size"}, "for size lower is better; give only at_most="),
        ({"measure": "size", "at_least": 3}, "give only at_most="),
        ({"measure": "size", "at_least": 3, "at_most": 3}, "give only at_most="),
        ({"measure": "cpr", "at_most": 3}, "for cpr higher is better; give only at_least="),
        ({"measure": "size", "at_most": float("nan")}, "at_most is nan; give a finite number"),
        ({"measure": "size", "at_most": 3, "task": "XOR"}, "no task 'XOR'"),
        ({"measure": "size", "at_most": 3, "method": "magnitud"}, "did you mean 'magnitude'"),
        ({"measure": "size", "at_most": 3, "method": 3}, "method is not a function"),
        ({"measure": "size", "at_most": 3, "networks": 0}, "networks must be a whole number"),
    ],
)
def test_a_question_that_cannot_be_is_the_packages_own_error(asked, message):
    """It is about the question and not about the method, so no AssertionError."""
    question = {"method": "magnitude", "task": TASK, **FEW} | asked
    with pytest.raises(XorMiError, match=message):
        assert_method_passes(**question)
