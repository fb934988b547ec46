"""What a count says beforehand, and what it leaves when it is stopped in the middle."""

import signal
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from threading import Event

import numpy as np
import pytest

from xor_mi import errors, handmade
from xor_mi.errors import MOST_BYTES, XorMiError
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.search import (
    Convention,
    CountStopped,
    PartialCount,
    _counting,
    _counting_cost,
    _fitting,
    count_perfect_subcircuits,
    counting_cost,
    find_subcircuits,
)
from xor_mi.search._counting_cost import CountingCost
from xor_mi.search._problem import Problem
from xor_mi.search._scores import Scores


def untrained(hidden, d_out=1, **settings):
    """A network as it is drawn."""
    return HookedMLP(HookedMLPConfig(2, hidden, d_out, seed=1, **settings))


@pytest.mark.parametrize(
    ("hidden", "d_out", "settings"),
    [
        ((3, 4), 1, {"act_fn": "tanh"}),
        ((4, 3), 1, {}),
        ((10,), 1, {"act_fn": "tanh"}),
        ((2, 3), 2, {"act_fn": "tanh"}),
        ((2, 3, 3), 1, {"act_fn": "tanh"}),
    ],
)
def test_as_many_pairs_are_foretold_as_are_held_against_each_other(
    monkeypatch, hidden, d_out, settings
):
    """Within a factor of three; the choices that are counted one by one are foretold exactly."""
    # how long a pair takes on this machine is not asked
    monkeypatch.setattr(_counting_cost, "_pace", lambda: _counting_cost.USUAL_PACE)
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


def noted_sizes(monkeypatch, name):
    """Of every call how many pairs there are, each at every bound, once and as often as it counts.

    The list fills as a count goes.
    """
    way = getattr(_fitting, name)
    sizes = []

    def noted(halves, stop):
        of_lefts = len(halves.right_times) * len(halves.limits)
        sizes.append((of_lefts * len(halves.left_times), of_lefts * int(halves.left_times.sum())))
        return way(halves, stop)

    monkeypatch.setattr(_fitting, name, noted)
    return sizes


@pytest.mark.parametrize(
    ("hidden", "worth_bitsets", "settings"),
    [((3, 5), 2**12, {"act_fn": "tanh"}), ((5, 3), 2**10, {})],
)
def test_pairs_are_priced_by_the_way_that_they_are_held_against_each_other(
    monkeypatch, hidden, worth_bitsets, settings
):
    """Pairs that are compared and whose bits are intersected, each beside those that were met."""
    model = untrained(hidden, **settings)
    convention = Convention(reference="model")
    monkeypatch.setattr(_counting_cost, "_pace", lambda: _counting_cost.USUAL_PACE)
    monkeypatch.setattr(_counting_cost, "_share_intersected", lambda _: 1.0)
    monkeypatch.setattr(_fitting, "WORTH_BITSETS", worth_bitsets)
    foretold = []
    seconds_at = _counting_cost.Work.seconds_at

    def noted(self, pace):
        foretold.append(self)
        return seconds_at(self, pace)

    monkeypatch.setattr(_counting_cost.Work, "seconds_at", noted)
    counting_cost(model, convention=convention)
    (work,) = foretold
    compared = noted_sizes(monkeypatch, "n_above")
    intersected = noted_sizes(monkeypatch, "n_above_by_bits")
    count_perfect_subcircuits(model, convention=convention)
    in_sets = work.pairs_by_bits + work.pairs_of_repeats
    assert 0.8 < work.pairs / sum(n_pairs for n_pairs, _ in compared) < 1.25
    assert 0.8 < in_sets / sum(n_in_sets for _, n_in_sets in intersected) < 1.25
    assert 0.8 < work.comparisons / len(compared) < 1.25
    assert 0.8 < work.intersections / len(intersected) < 1.25


def test_wider_networks_are_foretold_to_take_longer(monkeypatch):
    """Each of these some ten times as many pairs as the one before, and longer."""
    monkeypatch.setattr(_counting_cost, "_pace", lambda: _counting_cost.USUAL_PACE)
    convention = Convention(reference="model")
    costs = [
        counting_cost(untrained((width, width), act_fn="tanh"), convention=convention)
        for width in (2, 3, 4, 5, 6)
    ]
    for narrow, wide in pairwise(costs):
        assert wide.n_pairs > 10 * narrow.n_pairs
        assert wide.seconds > 2 * narrow.seconds
    assert costs[-1].seconds > 1000 * costs[0].seconds


@pytest.mark.parametrize("worth_bitsets", [1, 2**62])
@pytest.mark.parametrize("with_numba", [True, False])
def test_no_more_memory_is_held_than_is_foretold(monkeypatch, worth_bitsets, with_numba):
    """For two halves, by what NumPy asks of the system; nor is it foretold many times over."""
    monkeypatch.setattr(_fitting, "WORTH_BITSETS", worth_bitsets)
    monkeypatch.setattr(_fitting, "numba_is_usable", lambda: with_numba)
    problem = Problem.of(untrained((3, 6), act_fn="tanh"), None, Convention(reference="model"))
    fitting = _fitting.Fitting(problem, Scores.of(problem))
    rng = np.random.default_rng(0)
    # the right half is the larger one, so that its numbers outweigh tables of fixed size
    units = [
        _fitting.Sums(rng.normal(size=(n, 4)), np.full(n, 3, dtype=np.int64))
        for n in (4, 4, 4, 20, 40, 100)
    ]
    foretold = _counting_cost._n_bytes(fitting, units)
    fitting.n_fitting(units, Event())  # compiled
    tracemalloc.start()
    try:
        fitting.n_fitting(units, Event())
        _, held = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < foretold < 6 * held


def test_as_many_threads_count_as_memory_holds(monkeypatch):
    """Of 64 threads; and where one alone would hold too much, nothing is counted."""
    monkeypatch.setattr(_counting.torch, "get_num_threads", lambda: 64)
    model, convention = untrained((3, 12), act_fn="tanh"), Convention(reference="model")
    cost = counting_cost(model, convention=convention)
    assert 1 < cost.n_threads < 64
    assert cost.n_bytes <= MOST_BYTES < cost.n_bytes * (cost.n_threads + 1) / cost.n_threads
    small = counting_cost(untrained((3, 8), act_fn="tanh"), convention=convention)
    assert small.n_threads == 1  # too few combinations to be worth a second
    monkeypatch.setattr(_counting_cost, "MOST_BYTES", cost.n_bytes // cost.n_threads // 2)
    monkeypatch.setattr(errors, "MOST_BYTES", cost.n_bytes // cost.n_threads // 2)
    for asked in (counting_cost, count_perfect_subcircuits):
        with pytest.raises(XorMiError, match="GB of memory.*narrower"):
            asked(model, convention=convention)


def test_the_cost_is_said_in_words():
    """Seconds, hours and years, with the number of pairs."""
    cost = CountingCost(
        n_configurations=4096, n_pairs=2e12, seconds=4e9, n_bytes=3 * 2**20, n_threads=2
    )
    assert str(cost) == (
        "counting takes about 130 years: 2,000,000,000,000 pairs of halves in 4,096 "
        "configurations, on 2 threads, 3 MiB"
    )
    with pytest.raises(XorMiError, match="years here .2,000,000,000,000 pairs.*narrower layers"):
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
    for n_times in (0, 2, 5, 13, 21):
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


COUNTS = """
import faulthandler
import signal
import torch
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.search import Convention, CountStopped, _fitting, count_perfect_subcircuits

# where it is not stopped it ends by itself, in an error
faulthandler.dump_traceback_later(300, exit=True)
# a process that is started in the background may ignore Ctrl-C, and so would this one
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
by_bits = _fitting.n_above_by_bits

def until_ctrl_c(halves, stop):
    if len(halves.left_times) * len(halves.right_times) < 2**30:
        return by_bits(halves, stop)
    print("counting", flush=True)
    while not stop.is_set():
        n = by_bits(halves, stop)
    return n

_fitting.n_above_by_bits = until_ctrl_c
model = HookedMLP(HookedMLPConfig(2, (3, 12), act_fn="tanh", seed=1))
as_it_decides = Convention(reference="model")
for is_usable in (_fitting.numba_is_usable, lambda: False):
    _fitting.numba_is_usable = is_usable
    try:
        count_perfect_subcircuits(model, convention=as_it_decides, progress=False)
    except CountStopped as stopped:
        count = stopped.count
        print(count.at_least, count.n_done, count.n_configurations, flush=True)
"""
"""Counts until Ctrl-C, with numba where it is there, and then without."""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C goes to all processes there")
def test_ctrl_c_in_the_middle_leaves_what_was_counted():
    """A real interrupt: the thread that counts ends, and what was counted is there."""
    command = [sys.executable, "-c", COUNTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for _ in range(2):
                assert process.stdout.readline() == "counting\n"
                process.send_signal(signal.SIGINT)
                at_least, n_done, n_configurations = map(int, process.stdout.readline().split())
                assert at_least > 0
                assert 0 < n_done < n_configurations == 4**3
            assert process.stdout.read() == ""
        finally:
            process.kill()  # where it has ended, nothing happens
    assert process.returncode == 0


def test_a_small_network_is_foretold_to_be_short():
    """So that nothing is said about it."""
    assert counting_cost(handmade.textbook_xor()).in_words == "less than a second"
