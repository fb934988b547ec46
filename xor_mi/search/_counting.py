"""a network -> how many of its subcircuits decide every row right, without listing them.

The true number, at sizes far beyond memory.

What the last hidden layer may read is gone through, choice by choice (`_readable`); what is left
for each is free but for the scores, and is counted by halves (`_fitting`). Every kept unit must be
read, which is inclusion-exclusion over the sets of units that may be: of each set its parts are
counted before it, so that a count which is stopped knows how many are right of those it came to.
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

from xor_mi.finding import Finding
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
"""How many numbers the contributions of a few choices may be that are made in one step."""
CHOICES_AT_ONCE = 256
"""A thread is given at most so many choices of what may be read at once."""
WORTH_THREADS = 2**28
"""Where the largest choice of what may be read has so many of edges, several are counted at once,
few to a thread.
"""
LARGE_AT_ONCE = 4
"""So many of the large ones a thread is given at once."""
WAITING_FOR_A_THREAD = 2
"""So many pieces of work stand ready for each thread."""
SECONDS_UNHEARD = 0.5
"""Ctrl-C waits at most so long where a system does not end a wait for it."""


@dataclass(frozen=True)
class PartialCount(Finding):
    """What a count that was stopped had found.

    Attributes:
        at_least: so many subcircuits decide every row right: those of the choices of what the last
            hidden layer reads that were gone through.
        n_done: so many of these choices were gone through.
        n_configurations: and so many there are.
    """

    at_least: int
    n_done: int
    n_configurations: int

    @property
    def share(self) -> float:
        """The share of the choices that were gone through, 0 to 1; they take unequally long."""
        return self.n_done / self.n_configurations

    def frame(self) -> pd.DataFrame:
        """One row.

        Columns: at_least, n_done, n_configurations, share.
        """
        return pd.DataFrame([asdict(self) | {"share": self.share}])

    def __str__(self) -> str:
        return (
            f"at least {self.at_least:,} subcircuits decide every row right; "
            f"{self.n_done:,} of {self.n_configurations:,} configurations were counted"
        )


class CountStopped(KeyboardInterrupt):
    """Ctrl-C in the middle of a count; `count` holds how many were found until then."""

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

    For any number of outputs and of hidden layers, as far as time allows: `counting_cost` says
    beforehand what it will take.

    >>> from xor_mi.handmade import textbook_xor
    >>> count_perfect_subcircuits(textbook_xor())
    1

    Raises:
        XorMiError: an output activation that is not increasing (or is any, between outputs), or a
            network that is too large to be counted.
        CountStopped: Ctrl-C, with how many were found until then.
    """
    return count_perfect(Problem.of(model, target, convention), progress)


def counting_cost(
    model: HookedMLP, target: Target | None = None, *, convention: AnyConvention = None
) -> CountingCost:
    """What `count_perfect_subcircuits` would take, without counting.

    Some of the choices of what the last hidden layer may read are looked at, and the machine's pace
    is measured on a few small pieces of work: a moment. Where threads would take more than 2 GB
    together, fewer work at once. The time is that on so many idle cores, to a factor of three.

    >>> from xor_mi.handmade import textbook_xor
    >>> counting_cost(textbook_xor()).n_configurations
    4

    Raises:
        XorMiError: a network that `count_perfect_subcircuits` cannot count at all, or only in more
            memory than is taken.
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
    """How many choices of the last edges are right, of each choice of what may be read.

    Attributes:
        n: of all that are left, [choice].
        n_all_on: of those that keep every unit of the last hidden layer, where these do not count.
        is_done: which were gone through.
        is_begun: which were stopped in the middle: `n` is too small.
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
        # nothing reads nothing
        self.is_done[self.readable.held.sum(1) == 0] = True

    def total(self) -> int:
        """How many are right in all."""
        readable = self.readable
        right = readable.signed(readable.ways) @ self.n
        # the convention may leave out the subcircuits that keep every unit
        left_out = readable.signed(readable.ways_all_on) @ self.n_all_on
        return int(right - left_out)

    def so_far(self) -> PartialCount:
        """How many are known to be right: where all parts of what is kept were gone through."""
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
    """Whether a choice with so many units that may be read takes long."""
    n_units = fitting.problem.sizes[-2]
    return fitting.n_options(n_sources) ** n_units >= WORTH_THREADS


def _pieces(fitting: Fitting, tally: _Tally, stop: Event) -> Iterator[Callable[[], int]]:
    """Pieces of work, each for some choices of what may be read; each says how many it did."""
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
    for choice, n in zip(choices, left, strict=False):  # fewer where it is told to stop
        tally.n[choice] = n
        tally.is_begun[choice] = stop.is_set()
        tally.is_done[choice] = not stop.is_set()


def _n_of_each(
    fitting: Fitting, units: list[int], values: NDArray[np.float64], stop: Event, *, all_on: bool
) -> Iterator[int]:
    """Of each choice, how many choices of the last edges are right.

    When it is told to stop, the last one that it gives is too small.
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
