"""what is to be counted -> how much work it is, and how long that takes on this machine.

Some choices of what the last hidden layer may read are examined: for each, the contributions are
computed as for counting. Some of these choices are sampled, those with many combinations more
often, and divided into halves; large halves are not computed, but some of their combinations are
sampled. Work is counted as calls, numbers and pairs of halves, separately for each method; how long
these take is measured on small pieces.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from math import inf, prod
from threading import Event
from time import process_time
from typing import NamedTuple

import numpy as np
import pandas as pd

from xor_mi.errors import MOST_BYTES, XorMiError, require_memory
from xor_mi.finding import Finding
from xor_mi.search import _bitsets, _fitting
from xor_mi.search._fitting import (
    Fitting,
    Matched,
    Sums,
    by_bitsets,
    compared,
    matched,
    n_above,
    n_above_by_bits,
    summed,
    total,
)
from xor_mi.search._problem import Numbers
from xor_mi.search._readable import Readable
from xor_mi.search._scores import Scores
from xor_mi.training._engine import numba_is_usable

N_LOOKED_AT = 1024
"""At most so many choices of what may be read are examined for an estimate."""
NUMBERS_LOOKED_AT = 2**21
"""Their contributions are together at most so many numbers, but at least one choice is examined."""
N_DRAWN = 256
"""So many of these choices are divided into halves."""
ROUGHLY = 16
"""To see whether an estimate is needed, so many times fewer choices are examined."""
MOST_MADE = 2**11
"""So many combinations are sampled from a half that is larger."""
EVERY_KIND = 0.2
"""This share is sampled uniformly, so that small choices count, too."""
BYTES_OF_CHOICE = 128
"""In how many ways a choice of what may be read arises, in Python's own numbers."""
SECONDS_OF_A_MOMENT = 2.0
"""A count that is roughly shorter than this many seconds is not estimated more closely."""
MOST_DAYS = 7
"""A count that would take more days is refused."""
DAY = 86_400


@dataclass
class Work:
    """How much work of each kind there is, or how many seconds one unit of it takes on one core.

    Attributes:
        choices: choices of what may be read, without the work on their numbers.
        contributions: numbers in the contributions of these.
        halves: pairs of halves that are computed, without the work on their numbers.
        numbers: numbers in the halves.
        comparisons: comparisons of all pairs of two halves, without the work on their numbers.
        ranks: numbers that are ranked, one for each half and bound, except left halves in sets.
        pairs: pairs that are compared, at one bound each.
        intersections: intersections of sets of bits for two halves, without the work on the bits.
        lefts_in_sets: left halves that are ranked and put into sets, for each bound.
        pairs_by_bits: pairs whose bits are intersected, at one bound each.
        repeats: how often left halves are in these sets again after the first time, for each bound.
        pairs_of_repeats: pairs whose bits are intersected because of that, at one bound each.
    """

    choices: float = 0.0
    contributions: float = 0.0
    halves: float = 0.0
    numbers: float = 0.0
    comparisons: float = 0.0
    ranks: float = 0.0
    pairs: float = 0.0
    intersections: float = 0.0
    lefts_in_sets: float = 0.0
    pairs_by_bits: float = 0.0
    repeats: float = 0.0
    pairs_of_repeats: float = 0.0

    def add(self, other: "Work", times: float) -> None:
        """Add another amount of work so many times."""
        for kind in fields(self):
            more = getattr(self, kind.name) + times * getattr(other, kind.name)
            setattr(self, kind.name, more)

    def seconds_at(self, pace: "Work") -> float:
        """How many seconds it takes on one core."""
        return sum(getattr(self, kind.name) * getattr(pace, kind.name) for kind in fields(self))


USUAL_PACE = Work(
    choices=2e-5,
    contributions=8e-8,
    halves=5e-5,
    numbers=1e-8,
    comparisons=8e-5,
    ranks=5e-8,
    pairs=1e-9,
    intersections=8e-4,
    lefts_in_sets=4e-8,
    pairs_by_bits=8e-12,
    repeats=2e-8,
    pairs_of_repeats=2e-12,
)
"""Seconds per unit of each kind, roughly right on any machine."""


@dataclass(frozen=True)
class CountingCost(Finding):
    """What a count takes. All but the numbers of configurations and threads are estimates.

    `seconds` tells a count of seconds from one of minutes, hours or days, and may be wrong by a
    factor of three. For a count of hundredths of a second, most of which is not spent on pairs, it
    only says that it is short.

    Attributes:
        n_configurations: choices of what the last hidden layer may read; each is counted
            separately.
        n_pairs: pairs of halves of the last hidden layer that are compared.
        seconds: how long that takes on this machine, if nothing else runs there.
        n_bytes: bytes of memory, without those of Python and its packages.
        n_threads: how many threads work at once.
    """

    n_configurations: int
    n_pairs: float
    seconds: float
    n_bytes: int
    n_threads: int

    @property
    def in_words(self) -> str:
        """How long it takes, in the words that a person would use.

        >>> CountingCost(1, 1.0, 5000.0, 1, 1).in_words
        'about 1.4 hours'
        """
        if self.seconds < 1:
            return "less than a second"
        for unit, length in (("year", 365 * DAY), ("day", DAY), ("hour", 3600), ("minute", 60)):
            if self.seconds >= 1.05 * length:
                return f"about {_two_figures(self.seconds / length)} {unit}s"
        return f"about {_two_figures(self.seconds)} seconds"

    def frame(self) -> pd.DataFrame:
        """A table with one row.

        Columns: n_configurations, n_pairs, seconds, n_bytes, n_threads.
        """
        return pd.DataFrame([asdict(self)])

    def require_reasonable(self) -> None:
        """Refuse a count that takes too long.

        Raises:
            XorMiError: it would take more than `MOST_DAYS` days.
        """
        if self.seconds > MOST_DAYS * DAY:
            raise XorMiError(
                f"counting would take {self.in_words} here ({self.pairs_in_words} pairs of halves "
                f"in {self.n_configurations:,} configurations), more than the {MOST_DAYS} days "
                "that are allowed; take a network with narrower layers"
            )

    @property
    def pairs_in_words(self) -> str:
        """About how many pairs, to two figures."""
        return f"{float(f'{self.n_pairs:.2g}'):,.0f}"

    def __str__(self) -> str:
        return (
            f"counting takes {self.in_words}: {self.pairs_in_words} pairs of halves in "
            f"{self.n_configurations:,} configurations, on {self.n_threads} "
            f"{'thread' if self.n_threads == 1 else 'threads'}, "
            f"{max(1, round(self.n_bytes / 2**20)):,} MiB"
        )


def _two_figures(value: float) -> str:
    """A number of at least 1, in the words that a person would use.

    >>> _two_figures(1.37), _two_figures(128.2), _two_figures(5e7)
    ('1.4', '130', 'millions of')
    """
    if value >= 1e6:
        return "millions of"
    rounded = float(f"{value:.2g}")
    return f"{rounded:g}" if rounded < 10 else f"{rounded:,.0f}"


def cost_of(fitting: Fitting, readable: Readable, *, n_threads: int, roughly: bool) -> CountingCost:
    """The cost of counting; a rough estimate if that shows that it is short.

    Args:
        n_threads: how many may work at once; fewer do if there is not enough memory for these.

    Raises:
        XorMiError: more than memory would hold.
    """
    _require_small_halves(fitting, readable)
    pace = USUAL_PACE if roughly else _pace()
    cost = _cost(fitting, readable, pace, n_threads, fewer=ROUGHLY if roughly else 1)
    if roughly and cost.seconds > SECONDS_OF_A_MOMENT:
        return _cost(fitting, readable, _pace(), n_threads, fewer=1)
    return cost


class _LookedAt(NamedTuple):
    """A choice of what may be read that was examined.

    Attributes:
        stands_for: how many choices it represents.
        terms: for each term that can be right, every unit's contributions.
    """

    stands_for: float
    terms: list[list[Sums]]

    @property
    def size(self) -> float:
        """How many combinations of contributions all terms have."""
        return float(sum(prod(len(unit.times) for unit in units) for units in self.terms))


def _cost(
    fitting: Fitting, readable: Readable, pace: Work, n_threads: int, *, fewer: int
) -> CountingCost:
    rng = np.random.default_rng(0)
    choices = _looked_at(fitting, readable, rng, fewer=fewer)
    sizes = np.array([choice.stands_for * choice.size for choice in choices])
    n_alike = np.array([choice.stands_for for choice in choices])
    n_bytes_each = max(
        (_n_bytes(fitting, units) for choice in choices for units in choice.terms), default=0
    )
    n_turns = 1 if fitting.problem.convention.all_units else 2
    work = Work()
    n_pairs = 0.0
    for place, n_times in _drawn(sizes, n_alike, N_DRAWN // fewer, rng):
        for units in choices[place].terms:
            of_term, pairs_of_term = _work(fitting, units, rng)
            stands_for = n_turns * n_times * choices[place].stands_for
            work.add(of_term, stands_for)
            n_pairs += stands_for * pairs_of_term
    n_terms = n_turns * (2**fitting.n_outputs - 1)
    for units, group in readable.groups():
        work.choices += n_terms * len(group)
        work.contributions += n_terms * len(group) * fitting.n_numbers(len(units))
    n_bytes = readable.held.nbytes + BYTES_OF_CHOICE * len(readable)
    n_threads = max(1, min(n_threads, (MOST_BYTES - n_bytes) // max(1, n_bytes_each)))
    n_bytes += n_threads * n_bytes_each
    require_memory(
        n_bytes,
        what="counting by halves of the last hidden layer",
        do="take a network with narrower layers, or a smaller n_noisy",
    )
    return CountingCost(
        n_configurations=len(readable),
        n_pairs=float(n_pairs),
        seconds=float(work.seconds_at(pace) / n_threads),
        n_bytes=n_bytes,
        n_threads=n_threads,
    )


def _looked_at(
    fitting: Fitting, readable: Readable, rng: np.random.Generator, *, fewer: int
) -> list[_LookedAt]:
    """Some choices of what may be read, or all; those that may read much are sampled more."""
    groups = list(readable.groups())
    n_units = fitting.problem.sizes[-2]
    n_terms = 2**fitting.n_outputs - 1
    # the size that a choice would have if no options were equal
    sizes = np.array(
        [float(fitting.n_options(len(units))) ** min(n_units, 24) for units, _ in groups]
    )
    n_alike = np.array([len(choices) for _, choices in groups], dtype=np.float64)
    n_numbers = np.array([n_terms * fitting.n_numbers(len(units)) for units, _ in groups])
    shares = _shares(n_alike * sizes, n_alike)
    most_numbers = NUMBERS_LOOKED_AT // fewer
    n_looked_at = N_LOOKED_AT // fewer
    n_looked_at = max(1, min(n_looked_at, int(most_numbers / (shares @ n_numbers))))
    is_all = n_alike.sum() <= n_looked_at and n_alike @ n_numbers <= most_numbers
    n_of_groups = rng.multinomial(n_looked_at, shares)
    looked_at: list[_LookedAt] = []
    for (units, choices), share, n_here in zip(groups, shares, n_of_groups, strict=True):
        if is_all:
            some, stands_for = choices, 1.0
        elif n_here:
            some = choices[rng.integers(len(choices), size=n_here)]
            stands_for = float(len(choices) / (share * n_looked_at))
        else:
            continue
        terms = list(fitting.terms(units, readable.values_of(units, some), all_on=False))
        for of_one in zip(*(term.units for term in terms), strict=True):
            looked_at.append(_LookedAt(stands_for, [own for own in of_one if own is not None]))
    return looked_at


def _shares(sizes: Numbers, n_alike: Numbers) -> Numbers:
    """How often each is sampled: in proportion to its size, with a share for all alike."""
    alike = n_alike / n_alike.sum()
    by_size = sizes / sizes.sum() if sizes.sum() else alike
    return EVERY_KIND * alike + (1 - EVERY_KIND) * by_size


def _drawn(
    sizes: Numbers, n_alike: Numbers, n_drawn: int, rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    """Sampled places, in equal steps along the sum of the sizes, and how many each represents."""
    shares = _shares(sizes, n_alike)
    ends = np.cumsum(shares)
    places = np.searchsorted(ends / ends[-1], (np.arange(n_drawn) + rng.random()) / n_drawn)
    for place, n_times in zip(*np.unique(places, return_counts=True), strict=True):
        yield int(place), float(n_times / (n_drawn * shares[place]))


def _n_bytes(fitting: Fitting, units: list[Sums]) -> int:
    """How many bytes are held at most while two halves are compared."""
    n_columns = len(fitting.scores.rows)
    n_bounds = int(np.isfinite(fitting.scores.low).sum() + np.isfinite(fitting.scores.high).sum())
    left, right = fitting.halves(units)
    n_left, n_right = (prod(len(unit.times) for unit in half) for half in (left, right))
    # the halves, their limits and what remains of these, and how often each counts
    n_numbers = (n_left + n_right) * (n_columns + 2 * n_bounds + 2)
    if not by_bitsets(n_left * n_right, 0):
        return 8 * (n_numbers + 2 * min(n_left * n_right, _fitting.PAIRS_AT_ONCE))
    n_repeated = min(prod(total(unit.times) for unit in left), _fitting.MAX_REPEATED)
    # ranks and positions: computed, joined, and in the form that intersecting bits needs
    n_numbers += 3 * (max(n_left, n_repeated) + n_right) * n_bounds
    n_sets = 3 * _bitsets.RIGHTS_AT_ONCE + (n_bounds + 2) * _bitsets.TILE
    return 8 * (n_numbers + n_sets * _bitsets.WORDS)


def _require_small_halves(fitting: Fitting, readable: Readable) -> None:
    """Refuse halves that are too large, judged by the largest choice, in which all may be read."""
    units = list(range(readable.held.shape[1]))
    n_numbers, n_rows = fitting.n_numbers(len(units)), len(fitting.problem.rows)
    n_options = fitting.n_options(len(units))
    require_memory(
        3 * 8 * n_numbers,
        what=f"{n_options:,} options of {fitting.problem.sizes[-2]} units on {n_rows:,} rows",
        do="take a network with fewer inputs or narrower layers, or a smaller n_noisy",
    )
    largest = np.array([len(readable) - 1])
    if n_options ** -(-fitting.problem.sizes[-2] // 2) > _fitting.MAX_RIGHT:
        for term in fitting.terms(units, readable.values_of(units, largest), all_on=False):
            if term.units[0] is not None:
                fitting.require_size(fitting.halves(term.units[0])[1])


def _work(fitting: Fitting, units: list[Sums], rng: np.random.Generator) -> tuple[Work, float]:
    """The work for the contributions of one term of one choice, and for comparing pairs."""
    scores = fitting.scores
    n_columns = len(scores.rows)
    left_units, right_units = fitting.halves(units)
    fitting.require_size(right_units)
    left_size, right_size = (
        prod(len(unit.times) for unit in half) for half in (left_units, right_units)
    )
    work = Work(halves=1.0, numbers=float((left_size + right_size) * n_columns))
    left = _some(left_units, left_size, fitting.if_all_dropped, rng)
    right = _some(right_units, right_size, np.zeros(n_columns), rng)
    pairs = matched(left, right, scores)
    n_lefts = len(pairs.left_times) * left_size / len(left.times)
    n_rights = len(pairs.right_times) * right_size / len(right.times)
    n_pairs = n_lefts * n_rights
    n_bounds = len(pairs.limits)
    if not n_pairs or not n_bounds:
        return work, 0.0
    # a left half that stands for several choices is in a set as many times
    in_sets = n_lefts * total(pairs.left_times) / len(pairs.left_times)
    if by_bitsets(int(n_pairs), int(in_sets)):
        work.intersections = 1
        work.ranks = n_rights * n_bounds
        work.lefts_in_sets = n_lefts * n_bounds
        work.repeats = (in_sets - n_lefts) * n_bounds
        n_rights_met = n_rights * _share_intersected(pairs)
        work.pairs_by_bits = n_lefts * n_rights_met * n_bounds
        # equal ones lie together in the tables, which then stay in the cache
        work.pairs_of_repeats = (in_sets - n_lefts) * n_rights_met * n_bounds
    else:
        work.comparisons = 1
        work.ranks = (n_lefts + n_rights) * n_bounds
        work.pairs = n_pairs * n_bounds
    return work, n_pairs


def _share_intersected(pairs: Matched) -> float:
    """The share of pairs whose bits are examined: in compiled code, those that fit at one bound."""
    if not numba_is_usable():
        return 1.0
    order = np.argsort(pairs.limits[0])
    times = pairs.left_times[order].astype(np.float64)
    n_below = np.concatenate([[0.0], np.cumsum(times)])
    positions = np.searchsorted(pairs.limits[0][order], pairs.values[0], side="left")
    return float(n_below[positions].mean() / n_below[-1])


def _some(units: list[Sums], size: int, offset: Numbers, rng: np.random.Generator) -> Sums:
    """Combinations of one option per unit: all, or a sample with those that add most and least."""
    if size <= MOST_MADE:
        return summed(units, offset=offset)
    values = np.repeat(offset[None], MOST_MADE + 2 * len(offset), axis=0)
    times = np.ones(len(values), dtype=np.object_)
    for unit in units:
        extreme = [unit.values.argmax(0), unit.values.argmin(0)]
        chosen = np.concatenate([rng.integers(len(unit.times), size=MOST_MADE), *extreme])
        values = values + unit.values[chosen]
        times = times * unit.times[chosen]
    return Sums(values, times)


@lru_cache(maxsize=1)
def _pace() -> Work:
    """This machine's seconds per unit of work, measured on small pieces."""
    rng = np.random.default_rng(0)
    scores = Scores(
        signs=np.ones((4, 1)),
        rows=np.arange(4),
        low=np.array([-np.inf, 0.0, 0.0, -np.inf]),
        high=np.array([0.0, np.inf, np.inf, 0.0]),
    )
    options = [Sums(rng.normal(size=(32, 4)), np.ones(32, dtype=np.int64)) for _ in range(3)]
    few = [Sums(unit.values[:2], unit.times[:2]) for unit in options]
    nothing = np.zeros(4)
    left, right = summed(options[:2], offset=nothing), summed(options, offset=nothing)

    def halve(units: list[Sums]) -> Matched:
        return matched(left, summed(units, offset=nothing), scores)

    def held(n_lefts: int, n_rights: int) -> Matched:
        """Halves that can be compared, of which about half the pairs fit."""
        return Matched(
            limits=right.values[:n_lefts].T,
            values=right.values[:n_rights].T,
            left_times=right.times[:n_lefts],
            right_times=right.times[:n_rights],
        )

    def seconds_of(work: Callable[[], object]) -> float:
        """The fewest seconds of three runs."""
        best = inf
        for _ in range(3):
            start = process_time()
            work()
            best = min(best, process_time() - start)
        return best

    n_calls = 20
    never = Event()
    tiny, square, long = held(8, 8), held(1024, 1024), held(1024, 2**14)
    halves = seconds_of(lambda: [halve(few) for _ in range(n_calls)]) / n_calls
    numbers = seconds_of(lambda: halve(options)) / right.values.size
    comparisons = seconds_of(lambda: [n_above(tiny, never) for _ in range(n_calls)]) / n_calls

    def rank() -> None:
        for limits, values in zip(long.limits, long.values, strict=True):
            compared(limits, values)

    ranks = seconds_of(rank) / (4 * (1024 + 2**14))
    pairs = seconds_of(lambda: n_above(square, never)) / (4 * 1024**2)
    n_above_by_bits(tiny, never)  # compiled, where it is
    intersections = seconds_of(lambda: n_above_by_bits(tiny, never))

    def by_bits(n_lefts: int, each: int) -> tuple[float, float]:
        """Seconds for a left half in a set, and for a pair, if a left half stands for so many."""
        n_few, n_many = 64, 2**13
        flat, deep = (
            held(n_lefts, n)._replace(left_times=each * right.times[:n_lefts])
            for n in (n_few, n_many)
        )
        of_flat = seconds_of(lambda: n_above_by_bits(flat, never))
        of_pairs = seconds_of(lambda: n_above_by_bits(deep, never)) - of_flat - 4 * n_many * ranks
        n_pairs = each * n_lefts * n_many * _share_intersected(deep)
        return of_flat / (4 * each * n_lefts), max(0.0, of_pairs) / (4 * n_pairs)

    lefts_in_sets, pairs_by_bits = by_bits(2**13, each=1)
    repeats, pairs_of_repeats = by_bits(2**8, each=2**6)
    # work in Python, and in NumPy on few numbers, is slower by the same factor as the rest
    slower = halves / USUAL_PACE.halves
    return Work(
        choices=slower * USUAL_PACE.choices,
        contributions=slower * USUAL_PACE.contributions,
        halves=halves,
        numbers=numbers,
        comparisons=comparisons,
        ranks=ranks,
        pairs=pairs,
        intersections=intersections,
        lefts_in_sets=lefts_in_sets,
        pairs_by_bits=pairs_by_bits,
        repeats=repeats,
        pairs_of_repeats=pairs_of_repeats,
    )
