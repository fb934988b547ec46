"""A fixed sample of the hostile inputs of `tests/hostile.py`: every door answers or refuses, the
shape checker being off as it is for a user; and a broken door would be noticed.
"""

import time

import hostile
import pytest

from xor_mi.errors import XorMiError

pytestmark = pytest.mark.as_a_user

SAMPLE = 60


@pytest.mark.unchecked
@pytest.mark.parametrize("name", hostile.DOORS)
def test_a_sample_at_every_door(name):
    """Answered or refused, nothing else; and some refused, so that the door is tried."""
    outcomes = [hostile.knock(name, seed) for seed in range(hostile.inputs_of(name, SAMPLE))]
    assert [outcome for outcome in outcomes if outcome not in ("answered", "refused")] == []
    assert "refused" in outcomes or name in hostile.ONE_IN


@pytest.mark.parametrize(
    ("door", "expected"),
    [
        (lambda rng, folder: 1 / 0, "ZeroDivisionError"),
        (lambda rng, folder: hostile.door_parquet.__wrapped__, "AttributeError"),
    ],
)
def test_a_broken_door_is_noticed(monkeypatch, door, expected):
    """Any exception but the package's own is reported with its name."""
    monkeypatch.setitem(hostile.DOORS, "config", door)
    assert hostile.knock("config", 0).startswith(expected)


def test_a_wrong_answer_and_a_hang_are_noticed(monkeypatch):
    """An answer that a second way does not give, and more time than allowed."""

    def wrong(rng, folder):
        raise hostile.Wrong("two answers")

    monkeypatch.setitem(hostile.DOORS, "config", wrong)
    assert hostile.knock("config", 0) == "Wrong: two answers"
    monkeypatch.setattr(hostile, "HANG", 0.0)
    assert hostile.knock("config", 0).startswith("hung")

    def endless(rng, folder):
        while True:
            pass

    monkeypatch.setitem(hostile.DOORS, "config", endless)
    monkeypatch.setattr(hostile, "HANG", 0.2)
    assert hostile.knock("config", 0).startswith("hung")


def test_a_busy_machine_is_no_hang_and_waiting_forever_is_one(monkeypatch):
    """A door that sleeps longer than it may compute has answered; one that sleeps longer than it may
    wait has not.
    """
    monkeypatch.setitem(hostile.DOORS, "config", lambda rng, folder: time.sleep(0.6))
    monkeypatch.setattr(hostile, "HANG", 0.5)
    assert hostile.knock("config", 0) == "answered"
    monkeypatch.setattr(hostile, "WAIT", 0.1)
    assert hostile.knock("config", 0).startswith("hung")


def test_refusing_is_not_failing(monkeypatch):
    """The package's own error is a refusal."""

    def refuse(rng, folder):
        raise XorMiError("no")

    monkeypatch.setitem(hostile.DOORS, "config", refuse)
    assert hostile.knock("config", 0) == "refused"
