"""what is to be counted -> how much work it is, and how long that takes on this machine.

Some choices of what the last hidden layer may read are drawn, the larger ones more often. Of each
the contributions are made, as they are for counting; halves that would be large are not, but some
of their combinations are drawn. Work is counted as numbers that are made and sorted, and as pairs
of halves that are held against each other; how long these take is measured on small pieces.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import inf, prod
from threading import Event
from time import process_time

import numpy as np

from xor_mi.errors import XorMiError, require_memory
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

N_DRAWN = 128
"""So many choices of what may be read are looked at for an estimate."""
N_DRAWN_ROUGHLY = 12
"""And so many to see whether an estimate is needed."""
MOST_MADE = 2**11
"""Of a larger half so many combinations are drawn."""
SECONDS_OF_A_MOMENT = 2.0
"""What is roughly shorter than this is not estimated any nearer."""
MOST_DAYS = 7
"""What would take longer is refused."""
DAY = 86_400


@dataclass(frozen=True)
class Pace:
    """Seconds on one core.

    Attributes:
        of_choice: for what may be read, beside its numbers.
        of_halves: for making two halves, beside their numbers.
        of_contribution: for each number of a contribution.
        of_number: for each number of a half.
        of_pair: for each pair of halves and each bound, where all are compared.
        of_pair_by_bits: where sets of bits are intersected.
    """

    of_choice: float
    of_halves: float
    of_contribution: float
    of_number: float
    of_pair: float
    of_pair_by_bits: float


USUAL_PACE = Pace(
    of_choice=2e-5,
    of_halves=2e-4,
    of_contribution=8e-8,
    of_number=4e-8,
    of_pair=3e-10,
    of_pair_by_bits=1.2e-11,
)
"""What is roughly so on any machine."""


@dataclass(frozen=True)
class CountingCost:
    """What a count takes; an estimate, but for the numbers of configurations and threads.

    Attributes:
        n_configurations: choices of what the last hidden layer may read: each is counted by itself.
        n_pairs: pairs of halves of the last hidden layer that are held against each other.
        seconds: how long that takes on this machine, if nothing else runs there.
        n_bytes: of memory, beside what Python and its packages take.
        n_threads: how many work at once.
    """

    n_configurations: int
    n_pairs: float
    seconds: float
    n_bytes: int
    n_threads: int

    @property
    def in_words(self) -> str:
        """How long it takes, as a person says it.

        >>> CountingCost(1, 1.0, 5000.0, 1, 1).in_words
        'about 1.4 hours'
        """
        if self.seconds < 1:
            return "less than a second"
        for unit, length in (("year", 365 * DAY), ("day", DAY), ("hour", 3600), ("minute", 60)):
            if self.seconds >= 1.05 * length:
                return f"about {self.seconds / length:,.2g} {unit}s"
        return f"about {self.seconds:.2g} seconds"

    def require_reasonable(self) -> None:
        """Refuse what nobody waits for.

        Raises:
            XorMiError: it would take more than `MOST_DAYS` days.
        """
        if self.seconds > MOST_DAYS * DAY:
            raise XorMiError(
                f"counting would take {self.in_words} here ({self.n_pairs:.1e} pairs of halves in "
                f"{self.n_configurations:,} configurations), more than the {MOST_DAYS} days that "
                "are taken; take a network with narrower layers"
            )

    def __str__(self) -> str:
        return (
            f"counting takes {self.in_words}: {self.n_pairs:.1e} pairs of halves in "
            f"{self.n_configurations:,} configurations, on {self.n_threads} "
            f"{'thread' if self.n_threads == 1 else 'threads'}, "
            f"{max(1, round(self.n_bytes / 2**20)):,} MiB"
        )


@dataclass
class _Work:
    """What is done for some choices of what may be read, with the numbers of `Pace`."""

    n_halves: int = 0
    n_numbers: float = 0
    n_compared: float = 0
    n_by_bits: float = 0
    n_pairs: float = 0
    n_bytes: int = 0


def cost_of(fitting: Fitting, readable: Readable, *, n_threads: int, roughly: bool) -> CountingCost:
    """The cost of counting, or roughly so where that shows that it is short.

    Raises:
        XorMiError: a half that memory would not hold.
    """
    n_drawn = N_DRAWN_ROUGHLY if roughly else N_DRAWN
    cost = _cost(fitting, readable, USUAL_PACE if roughly else _pace(), n_drawn, n_threads)
    if roughly and cost.seconds > SECONDS_OF_A_MOMENT:
        return _cost(fitting, readable, _pace(), N_DRAWN, n_threads)
    return cost


def _cost(
    fitting: Fitting, readable: Readable, pace: Pace, n_drawn: int, n_threads: int
) -> CountingCost:
    groups = list(readable.groups())
    _require_small_halves(fitting, readable)
    n_units = fitting.problem.sizes[-2]
    # a choice is drawn as often as it may be large, but for its equal options
    sizes = [float(fitting.n_options(len(units))) ** min(n_units, 24) for units, _ in groups]
    numbers = [fitting.n_numbers(len(units)) for units, _ in groups]
    weights = np.array([len(choices) for _, choices in groups]) * np.array(sizes)
    shares = weights / weights.sum()
    # some are drawn from every kind, so that small ones count too
    shares = 0.8 * shares + 0.2 * np.array([len(choices) for _, choices in groups]) / len(readable)
    shares /= shares.sum()
    rng = np.random.default_rng(0)
    n_turns = 1 if fitting.problem.convention.all_units else 2
    seconds, n_pairs, n_bytes = 0.0, 0.0, 0
    drawn = rng.choice(len(groups), size=n_drawn, p=shares)
    for group in drawn:
        units, choices = groups[group]
        # so many choices does this one stand for
        stands_for = len(choices) / (shares[group] * n_drawn)
        choice = rng.integers(len(choices))
        work = _work(fitting, units, readable.values_of(units, choices[choice : choice + 1]), rng)
        of_one = (
            pace.of_halves * work.n_halves
            + pace.of_number * work.n_numbers
            + pace.of_pair * work.n_compared
            + pace.of_pair_by_bits * work.n_by_bits
        )
        seconds += n_turns * stands_for * of_one
        n_pairs += n_turns * stands_for * work.n_pairs
        n_bytes = max(n_bytes, work.n_bytes)
    n_terms = n_turns * (2**fitting.n_outputs - 1)
    for (_, choices), n_numbers in zip(groups, numbers, strict=True):
        seconds += n_terms * len(choices) * (pace.of_choice + pace.of_contribution * n_numbers)
    return CountingCost(
        n_configurations=len(readable),
        n_pairs=n_pairs,
        seconds=seconds / n_threads,
        n_bytes=n_threads * n_bytes + readable.held.nbytes,
        n_threads=n_threads,
    )


def _require_small_halves(fitting: Fitting, readable: Readable) -> None:
    """Refuse halves that are too large, going by where all may be read, which is the largest."""
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


def _work(fitting: Fitting, units: list[int], values: Numbers, rng: np.random.Generator) -> _Work:
    """What one choice of what may be read takes, beside its contributions.

    Args:
        units: those that may be read.
        values: what they hold, [1, unit, row].
    """
    work = _Work()
    scores = fitting.scores
    n_columns = len(scores.rows)
    for term in fitting.terms(units, values, all_on=False):
        contributions = term.units[0]
        if contributions is None:
            continue
        left_units, right_units = fitting.halves(contributions)
        fitting.require_size(right_units)
        left_size, right_size = (
            prod(len(unit.times) for unit in half) for half in (left_units, right_units)
        )
        work.n_halves += 1
        work.n_numbers += (left_size + right_size) * n_columns
        left = _some(left_units, left_size, fitting.if_all_dropped, rng)
        right = _some(right_units, right_size, np.zeros(n_columns), rng)
        pairs = matched(left, right, scores)
        n_lefts = len(pairs.left_times) * left_size / len(left.times)
        n_rights = len(pairs.right_times) * right_size / len(right.times)
        n_bounds = len(pairs.limits)
        work.n_pairs += n_lefts * n_rights
        # a left half that stands for several choices stands in a set as often
        in_sets = n_lefts * total(pairs.left_times) / max(1, len(pairs.left_times))
        if by_bitsets(int(n_lefts * n_rights), int(in_sets)):
            # the tables of a tile are as large as the sets of so many right halves
            n_tables = _bitsets.TILE
            work.n_by_bits += in_sets * (n_rights + n_tables) * n_bounds
        else:
            work.n_compared += n_lefts * n_rights * n_bounds
        work.n_bytes = max(work.n_bytes, int(2 * 8 * (left_size + right_size) * n_columns))
    return work


def _some(units: list[Sums], size: int, offset: Numbers, rng: np.random.Generator) -> Sums:
    """Combinations of one option per unit: all, or some, and those that add most and least."""
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
def _pace() -> Pace:
    """This machine's, on small pieces of work."""
    rng = np.random.default_rng(0)
    never = Event()
    scores = Scores(
        signs=np.ones((4, 1)),
        rows=np.arange(4),
        low=np.array([-np.inf, 0.0, 0.0, -np.inf]),
        high=np.array([0.0, np.inf, np.inf, 0.0]),
    )
    options = [Sums(rng.normal(size=(32, 4)), np.ones(32, dtype=np.int64)) for _ in range(3)]

    def seconds_of(work: Callable[[], object]) -> float:
        """The best of three."""
        best = inf
        for _ in range(3):
            start = process_time()
            work()
            best = min(best, process_time() - start)
        return best

    nothing = np.zeros(4)
    left, right = summed(options[:2], offset=nothing), summed(options, offset=nothing)

    def halve() -> None:
        pairs = matched(left, summed(options, offset=nothing), scores)
        for limits, values in zip(pairs.limits, pairs.values, strict=True):
            compared(limits, values)

    of_number = seconds_of(halve) / right.values.size
    few = Matched(left.values.T, left.values.T, left.times, left.times)
    of_pair = seconds_of(lambda: n_above(few, never)) / (4 * len(left.times) ** 2)
    tile = slice(_bitsets.TILE)
    many = Matched(right.values[tile].T, right.values.T, right.times[tile], right.times)
    n_above_by_bits(many, never)  # compiled, where it is
    n_by_bits = 4 * _bitsets.TILE * (_bitsets.TILE + len(right.times))
    # what is done by Python, and by NumPy on few numbers, is slower as much as the rest
    slower = of_number / USUAL_PACE.of_number
    return Pace(
        of_choice=slower * USUAL_PACE.of_choice,
        of_halves=slower * USUAL_PACE.of_halves,
        of_contribution=slower * USUAL_PACE.of_contribution,
        of_number=of_number,
        of_pair=of_pair,
        of_pair_by_bits=seconds_of(lambda: n_above_by_bits(many, never)) / n_by_bits,
    )
