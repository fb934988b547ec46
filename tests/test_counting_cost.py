"""What a count says beforehand, and what it leaves when it is stopped in the middle."""

from threading import Event

import pytest

from xor_mi import train
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.search import (
    Convention,
    CountStopped,
    PartialCount,
    _counting,
    _fitting,
    count_perfect_subcircuits,
    counting_cost,
    find_subcircuits,
)
from xor_mi.search._counting_cost import CountingCost


def untrained(hidden, d_out=1, **settings):
    """A network as it is drawn."""
    return HookedMLP(HookedMLPConfig(2, hidden, d_out, seed=1, **settings))


@pytest.mark.parametrize(
    ("hidden", "d_out", "settings"),
    [
        ((4, 4), 1, {"act_fn": "tanh"}),
        ((3, 5), 1, {"act_fn": "tanh"}),
        ((5, 3), 1, {}),
        ((10,), 1, {"act_fn": "tanh"}),
        ((3, 3), 2, {"act_fn": "tanh"}),
        ((2, 3, 3), 1, {"act_fn": "tanh"}),
    ],
)
def test_as_many_pairs_are_foretold_as_are_held_against_each_other(
    monkeypatch, hidden, d_out, settings
):
    """Within a factor of three; the choices that are counted one by one are foretold exactly."""
    model = untrained(hidden, d_out, **settings)
    convention = Convention(reference="model")
    foretold = counting_cost(model, convention=convention)
    met: list[int] = []
    n_fitting = _fitting.Fitting.n_fitting

    def counted(self, units, stop):
        fitted = n_fitting(self, units, stop)
        met.append(fitted.n_pairs)
        return fitted

    monkeypatch.setattr(_fitting.Fitting, "n_fitting", counted)
    count_perfect_subcircuits(model, convention=convention)
    assert 1 / 3 < foretold.n_pairs / sum(met) < 3
    if len(hidden) == 2:
        assert foretold.n_configurations == 4 ** hidden[0]
    assert 0 < foretold.seconds < 600


def test_the_cost_is_said_in_words():
    """Seconds, hours and years, with the number of pairs."""
    cost = CountingCost(
        n_configurations=4096, n_pairs=2e12, seconds=4e9, n_bytes=3 * 2**20, n_threads=2
    )
    assert str(cost) == (
        "counting takes about 1.3e+02 years: 2.0e+12 pairs of halves in 4,096 configurations, "
        "on 2 threads, 3 MiB"
    )
    with pytest.raises(XorMiError, match="years here .2.0e.12 pairs.*narrower layers"):
        cost.require_reasonable()


class StopsAfter(Event):
    """Says stop after it was asked so often."""

    def __init__(self, n_times):
        super().__init__()
        self.n_left = n_times

    def is_set(self):
        """Asked once more."""
        self.n_left -= 1
        return super().is_set() or self.n_left < 0


def stopped_after(monkeypatch, n_times, model, convention):
    """What is left of a count that is told to stop in one of its threads, and then by Ctrl-C."""
    events = []

    def made():
        events.append(StopsAfter(n_times))
        return events[-1]

    def interrupted(running, **_):
        for one in running:
            one.result()
        if events[-1].n_left < 0:
            raise KeyboardInterrupt
        return running, set()

    monkeypatch.setattr(_counting, "Event", made)
    monkeypatch.setattr(_counting, "wait", interrupted)
    monkeypatch.setattr(_counting, "CHOICES_AT_ONCE", 3)
    try:
        whole = count_perfect_subcircuits(model, convention=convention)
    except CountStopped as stopped:
        return stopped.count
    # it ended before
    return PartialCount(at_least=whole, n_done=1, n_configurations=1)


@pytest.mark.parametrize("all_units", [True, False])
@pytest.mark.parametrize(
    ("hidden", "d_out"), [((2, 2), 1), ((3, 2), 1), ((3,), 1), ((2, 2), 2), ((2, 2, 2), 1)]
)
def test_a_count_that_is_stopped_is_a_lower_bound(monkeypatch, hidden, d_out, all_units):
    """Wherever it is stopped: never above the whole, never less than a moment before."""
    model = untrained(hidden, d_out)
    convention = Convention(reference="model", all_units=all_units)
    whole = find_subcircuits(model, convention=convention).n_perfect
    before = 0
    for n_times in (0, 1, 2, 3, 5, 8, 13, 21):
        count = stopped_after(monkeypatch, n_times, model, convention)
        assert isinstance(count, PartialCount)
        assert before <= count.at_least <= whole
        assert 0 <= count.share <= 1
        before = count.at_least
    assert before > 0


def test_what_was_counted_is_what_the_choices_gone_through_have(monkeypatch):
    """Of 2-2-2-1, by listing: where both units of the first layer come last, those without both."""
    model = untrained((2, 2), act_fn="tanh")
    convention = Convention(reference="model")
    masks = find_subcircuits(model, convention=convention).masks[0]
    # nothing, or one of the units with one of three sets of inputs
    n_gone_through = 1 + 2 * 3
    for n_times in range(100):
        partial = stopped_after(monkeypatch, n_times, model, convention)
        if partial.n_done == n_gone_through:
            break
    assert partial.n_configurations == 4**2
    assert 0 < partial.at_least == (masks == 0).any(1).sum() < len(masks)


def test_the_demo_network_is_foretold_to_be_short():
    """So that nothing is said about it."""
    assert counting_cost(train("XOR", seed=0).model).in_words == "less than a second"
