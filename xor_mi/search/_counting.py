"""a network -> how many of its subcircuits decide every row right, without listing them.

The number is exact, also at sizes far beyond memory.

Every choice of what the last hidden layer may read is tried (`_readable`). For each choice only the
scores restrict the remaining edges, which are counted by halves (`_fitting`). That every kept unit
must be read is handled by inclusion and exclusion over the sets of units that may be read. The
parts of a set are counted before the set, so that a count that is stopped knows how many
subcircuits are right among those that it reached.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from itertools import islice
from threading import Event

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from xor_mi.finding import Finding, count_text
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.search._convention import AnyConvention
from xor_mi.search._counting_cost import CountingCost, cost_of
from xor_mi.search._fitting import Fitting
from xor_mi.search._problem import Problem
from xor_mi.search._readable import Readable, Wholes, readable_by_last_hidden
from xor_mi.search._scores import Scores

NUMBERS_AT_ONCE = 2**18
"""How many numbers the contributions that are computed in one step may be."""
CHOICES_AT_ONCE = 256
"""A thread gets at most so many choices of what may be read at once."""
WORTH_THREADS = 2**28
"""If the largest choice of what may be read leaves so many choices of edges, several choices are
counted at once, and a thread gets only a few.
"""
LARGE_AT_ONCE = 4
"""A thread gets so many large choices at once."""
WAITING_FOR_A_THREAD = 2
"""So many pieces of work are prepared for each thread."""
SECONDS_UNHEARD = 0.5
"""Ctrl-C waits at most so many seconds on systems where it does not end a wait."""


@dataclass(frozen=True)
class PartialCount(Finding):
    """What a count had found when it was stopped.

    A configuration is a choice of what the last hidden layer may read.

    Attributes:
        at_least: how many subcircuits decide every row right in the configurations that were
            counted.
        n_done: how many configurations were counted.
        n_configurations: how many there are.
    """

    at_least: int
    n_done: int
    n_configurations: int

    @property
    def share(self) -> float:
        """The share of configurations that were counted, 0 to 1; some take longer than others."""
        return self.n_done / self.n_configurations

    def frame(self) -> pd.DataFrame:
        """A table with one row.

        Columns: at_least, n_done, n_configurations, share.
        """
        return pd.DataFrame([asdict(self) | {"share": self.share}])

    def __str__(self) -> str:
        return (
            f"at least {count_text(self.at_least, 'subcircuit')} "
            f"{'decides' if self.at_least == 1 else 'decide'} every row right; {self.n_done:,} of "
            f"{count_text(self.n_configurations, 'configuration')} were counted"
        )


class CountStopped(KeyboardInterrupt):
    """Ctrl-C in the middle of a count; `count` says how many were found until then."""

    def __init__(self, count: PartialCount) -> None:
        super().__init__(str(count))
        self.count = count


def count_perfect_subcircuits(
    model: HookedMLP,
    target: Target | None = None,
    *,
    convention: AnyConvention = None,
    progress: bool = True,
) -> int:
    """How many subcircuits decide every row right, as `find_subcircuits(...).n_perfect`.

    It works for any number of outputs and hidden layers, if there is time: `counting_cost` says
    beforehand how long it takes.

    >>> from xor_mi.handmade import textbook_xor
    >>> count_perfect_subcircuits(textbook_xor())
    1

    Raises:
        XorMiError: an output activation that is not increasing (if outputs are compared, any output
            activation), or a network that is too large to be counted.
        CountStopped: Ctrl-C; it has how many were found until then.
    """
    return count_perfect(Problem.of(model, target, convention), progress)


def counting_cost(
    model: HookedMLP, target: Target | None = None, *, convention: AnyConvention = None
) -> CountingCost:
    """What `count_perfect_subcircuits` would take, without counting.

    It examines some of the choices of what the last hidden layer may read, and measures the
    machine's pace on a few small pieces of work, which takes a moment. If threads would need more
    than 2 GB together, fewer work at once. The time holds for that many idle cores, within a factor
    of three.

    >>> from xor_mi.handmade import textbook_xor
    >>> counting_cost(textbook_xor()).n_configurations
    4

    Raises:
        XorMiError: a network that `count_perfect_subcircuits` cannot count, or for which it would
            need more memory than it may use.
    """
    problem = Problem.of(model, target, convention)
    fitting = Fitting(problem, Scores.of(problem))
    readable = readable_by_last_hidden(problem)
    return cost_of(fitting, readable, n_threads=_n_threads(fitting, readable), roughly=False)


def count_perfect(problem: Problem, progress: bool) -> int:
    """How many subcircuits of a problem decide every row right."""
    fitting = Fitting(problem, Scores.of(problem))
    readable = readable_by_last_hidden(problem)
    n_threads = _n_threads(fitting, readable)
    cost = cost_of(fitting, readable, n_threads=n_threads, roughly=True)
    cost.require_reasonable()
    tally = _Tally(readable)
    try:
        _count(fitting, tally, cost, progress)
    except KeyboardInterrupt:
        raise CountStopped(tally.so_far()) from None
    return tally.total()


@dataclass(eq=False)
class _Tally:
    """How many choices of the last edges are right, for each choice of what may be read.

    Attributes:
        n: the number for each, [choice].
        n_all_on: the number that keep every unit of the last hidden layer, if these do not count.
        is_done: which choices were counted.
        is_begun: which were stopped in the middle, so that `n` is too small.
    """

    readable: Readable
    n: NDArray[np.object_] = field(init=False)
    n_all_on: NDArray[np.object_] = field(init=False)
    is_done: NDArray[np.bool_] = field(init=False)
    is_begun: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        n_choices = len(self.readable)
        self.n, self.n_all_on = np.zeros((2, n_choices), dtype=np.object_)
        self.is_done, self.is_begun = np.zeros((2, n_choices), dtype=np.bool_)
        # if nothing may be read, nothing reads
        self.is_done[self.readable.held.sum(1) == 0] = True

    def total(self) -> int:
        """How many are right in all."""
        readable = self.readable
        right = readable.signed(readable.ways) @ self.n
        # the convention may leave out the subcircuits that keep every unit
        left_out = readable.signed(readable.ways_all_on) @ self.n_all_on
        return int(right - left_out)

    def so_far(self) -> PartialCount:
        """How many are known to be right: those where all parts of what is kept were counted."""
        readable = self.readable
        n, n_all_on = self.n.copy(), self.n_all_on.copy()
        is_known = self.is_done.copy()
        parts_known = np.ones_like(is_known)
        for unit in range(readable.held.shape[1]):
            has, parts = readable.without(unit)
            # from how many read no more than this to how many read all of it
            n[has] -= n[parts]
            n_all_on[has] -= n_all_on[parts]
            parts_known[has] &= parts_known[parts] & self.is_done[parts]
        is_known &= parts_known
        right = readable.ways * n - readable.ways_all_on * n_all_on
        in_the_middle = self.is_begun & parts_known
        at_least = sum(right[is_known].tolist())
        at_least += sum(max(0, one) for one in right[in_the_middle].tolist())
        return PartialCount(
            at_least=at_least, n_done=int(self.is_done.sum()), n_configurations=len(readable)
        )


def _count(fitting: Fitting, tally: _Tally, cost: CountingCost, progress: bool) -> None:
    """Count for every choice of what may be read, several at a time."""
    stop = Event()
    work = _pieces(fitting, tally, stop)
    n_threads = cost.n_threads
    running: set[Future[int]] = set()
    bar = progress_bar(
        doing=f"counting, {cost.in_words}",
        unit="configuration",
        total=len(tally.readable),
        progress=progress,
    )
    with bar, ThreadPoolExecutor(n_threads) as pool:
        try:
            while True:
                n_free = WAITING_FOR_A_THREAD * n_threads - len(running)
                running |= {pool.submit(piece) for piece in islice(work, n_free)}
                if not running:
                    break
                ready, running = wait(running, timeout=SECONDS_UNHEARD, return_when=FIRST_COMPLETED)
                for piece in ready:
                    bar.update(piece.result())
        finally:  # after Ctrl-C, too, the threads end before this does
            stop.set()


def _n_threads(fitting: Fitting, readable: Readable) -> int:
    return torch.get_num_threads() if _is_large(fitting, readable.held.shape[1]) else 1


def _is_large(fitting: Fitting, n_sources: int) -> bool:
    """Whether a choice with so many units that may be read is slow to count."""
    n_units = fitting.problem.sizes[-2]
    return fitting.n_options(n_sources) ** n_units >= WORTH_THREADS


def _pieces(fitting: Fitting, tally: _Tally, stop: Event) -> Iterator[Callable[[], int]]:
    """Pieces of work, each for some choices of what may be read; each returns how many."""
    for units, choices in tally.readable.groups():
        n_numbers = fitting.n_numbers(len(units))
        at_once = min(CHOICES_AT_ONCE, max(1, NUMBERS_AT_ONCE // n_numbers))
        if _is_large(fitting, len(units)):
            at_once = min(at_once, LARGE_AT_ONCE)
        for start in range(0, len(choices), at_once):
            some = choices[start : start + at_once]

            def piece(units: list[int] = units, some: Wholes = some) -> int:
                _count_some(fitting, tally, units, some, stop)
                return len(some)

            yield piece


def _count_some(
    fitting: Fitting, tally: _Tally, units: list[int], choices: Wholes, stop: Event
) -> None:
    """Fill in how many are right for these choices of what may be read, all of the same units."""
    values = tally.readable.values_of(units, choices)
    if not fitting.problem.convention.all_units:
        all_on = _n_of_each(fitting, units, values, stop, all_on=True)
        for choice, n in zip(choices, all_on, strict=False):
            tally.n_all_on[choice] = n
    if stop.is_set():
        return
    left = _n_of_each(fitting, units, values, stop, all_on=False)
    for choice, n in zip(choices, left, strict=False):  # fewer if it is told to stop
        tally.n[choice] = n
        tally.is_begun[choice] = stop.is_set()
        tally.is_done[choice] = not stop.is_set()


def _n_of_each(
    fitting: Fitting, units: list[int], values: NDArray[np.float64], stop: Event, *, all_on: bool
) -> Iterator[int]:
    """For each choice, how many choices of the last edges are right.

    If it is told to stop, the last number that it yields is too small.
    """
    terms = list(fitting.terms(units, values, all_on=all_on))
    for of_one in zip(*(term.units for term in terms), strict=True):
        n = fitting.if_none_reads(all_on=all_on)
        for term, contributions in zip(terms, of_one, strict=True):
            if stop.is_set():
                return
            if contributions is not None:
                n += term.sign * fitting.n_fitting(contributions, stop).n
        yield n
