"""A fixed sample of the hostile inputs of `benchmarks/fuzz.py`: every door answers or refuses, and a broken door would be noticed."""

import importlib.util
from pathlib import Path

import pytest

from xor_mi.errors import XorMiError

SPEC = importlib.util.spec_from_file_location(
    "fuzz", Path(__file__).parent.parent / "benchmarks" / "fuzz.py"
)
fuzz = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fuzz)
SAMPLE = 60


@pytest.mark.parametrize("name", fuzz.DOORS)
def test_a_sample_at_every_door(name):
    """Answered or refused, nothing else; and some of each kind, so that the door is tried from both sides."""
    outcomes = [fuzz.knock(name, seed) for seed in range(SAMPLE)]
    assert [outcome for outcome in outcomes if outcome not in ("answered", "refused")] == []
    assert "refused" in outcomes


@pytest.mark.parametrize(
    ("door", "expected"),
    [
        (lambda rng, folder: 1 / 0, "ZeroDivisionError"),
        (lambda rng, folder: fuzz.door_parquet.__wrapped__, "AttributeError"),
    ],
)
def test_a_broken_door_is_noticed(monkeypatch, door, expected):
    """Any exception but the package's own is reported with its name."""
    monkeypatch.setitem(fuzz.DOORS, "config", door)
    assert fuzz.knock("config", 0).startswith(expected)


def test_a_wrong_answer_and_a_hang_are_noticed(monkeypatch):
    """An answer that a second way does not give, and more time than allowed."""

    def wrong(rng, folder):
        raise fuzz.Wrong("two answers")

    monkeypatch.setitem(fuzz.DOORS, "config", wrong)
    assert fuzz.knock("config", 0) == "Wrong: two answers"
    monkeypatch.setattr(fuzz, "HANG", 0.0)
    assert fuzz.knock("config", 0).startswith("hung")

    def endless(rng, folder):
        while True:
            pass

    monkeypatch.setitem(fuzz.DOORS, "config", endless)
    monkeypatch.setattr(fuzz, "HANG", 0.2)
    assert fuzz.knock("config", 0).startswith("hung")


def test_refusing_is_not_failing(monkeypatch):
    """The package's own error is a refusal."""

    def refuse(rng, folder):
        raise XorMiError("no")

    monkeypatch.setitem(fuzz.DOORS, "config", refuse)
    assert fuzz.knock("config", 0) == "refused"
