"""what the last hidden layer may read -> how many choices of its edges and the outputs' are right.

Every unit independently has one of its options (dropped, or a set of kept sources and a set of
outputs that read it), and adds its contribution to every score. Two halves of the units are added
up separately. A left and a right half fit together if each score lies on the right side. For this,
only the position of the right half's value among the sorted bounds of the left halves matters:
whole numbers are compared for all pairs at once, or, if there are many pairs, sets of bits are
intersected (`_bitsets`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from threading import Event
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray

from xor_mi.errors import require_at_most, require_memory
from xor_mi.search import _bitsets
from xor_mi.search._problem import Numbers, Problem
from xor_mi.search._scores import Scores
from xor_mi.training._engine import numba_is_usable

MAX_LEFT = 2**19
"""The largest size of the left half, which has a table of bits for every few thousand sums."""
MAX_16_BITS = 32_000
"""A left half of this size has ranks of 16 bits, which are compared twice as fast."""
WORTH_BITSETS = 2**22
"""From so many pairs on, sets of bits are used; with fewer, all pairs are compared."""
MAX_REPEATED = 2**22
"""If left halves stand for more choices than this, each is compared with the right ones once."""
MAX_RIGHT = 2**24
"""The largest size of the right half, which is held in memory; wider networks are refused."""
PAIRS_AT_ONCE = 2**20
"""How many (left, right) pairs are compared in one step."""
DIGIT_BITS = 32
"""Counts that do not fit 64 bits are added up digit by digit, in digits of so many bits."""
SLACK = 1e-11
"""A sum that misses a bound by less than this fraction of its terms is checked exactly."""

Times = NDArray[np.int64] | NDArray[np.object_]


class Sums(NamedTuple):
    """Distinct sums of contributions.

    Attributes:
        values: what each adds to every score, [combination, column].
        times: how many choices of edges give this sum, [combination]; Python's own whole numbers if
            64 bits might not be enough.
    """

    values: Numbers
    times: Times


class Fitted(NamedTuple):
    """How many choices fit, and how much work that was.

    Attributes:
        n: how many choices are right.
        n_pairs: how many pairs of halves were compared.
    """

    n: int
    n_pairs: int


@dataclass(frozen=True, eq=False)
class Term:
    """One term of the inclusion-exclusion sum over the outputs that may read units.

    Attributes:
        sign: its sign in the count.
        units: for each choice of what may be read, every unit's contributions; None if no choice of
            these can be right.
    """

    sign: int
    units: list[list[Sums] | None]


class Fitting:
    """A problem whose last hidden layer is counted, with what all choices of its sources share."""

    def __init__(self, problem: Problem, scores: Scores) -> None:
        self.problem, self.scores = problem, scores
        last = problem.layers[-1]
        self.if_all_dropped = scores.signs @ last.bias_if_all_dropped
        """The scores where every unit is dropped, [column]."""
        self.dropped_fits = bool(
            ((self.if_all_dropped > scores.low) & (self.if_all_dropped < scores.high)).all()
        )

    @property
    def n_outputs(self) -> int:
        return self.problem.sizes[-1]

    def n_options(self, n_sources: int) -> int:
        """How many options a unit has that may read so many sources, equal options counted."""
        return (2**n_sources - 1) * (2**self.n_outputs - 1) + 1

    def n_numbers(self, n_sources: int) -> int:
        """How many numbers the contributions of one choice are, with so many sources to read."""
        return self.problem.sizes[-2] * self.n_options(n_sources) * len(self.scores.rows)

    def if_none_reads(self, *, all_on: bool) -> int:
        """The term in which no output may read a unit: a signed 1 if the bounds allow it, else 0.

        Each output must read something: inclusion and exclusion over the outputs that may read.
        """
        return (-1) ** self.n_outputs * (self.dropped_fits and not all_on)

    def terms(self, units: Sequence[int], values: Numbers, *, all_on: bool) -> Iterator[Term]:
        """The other terms; the last is the one in which every output may read.

        Args:
            units: the sources that may be read.
            values: their values, [choice, unit, row].
        """
        added = self._added(units, values)
        for n_reading in range(1, self.n_outputs + 1):
            for reading in combinations(range(self.n_outputs), n_reading):
                sign = (-1) ** (self.n_outputs - n_reading)
                yield Term(sign, self._contributions(added, reading=reading, all_on=all_on))

    def _added(self, units: Sequence[int], values: Numbers) -> Numbers:
        """What each unit of the last hidden layer adds to an output that reads it with weight 1.

        This is its value with each non-empty set of kept sources, minus what a dropped edge
        carries, [choice, unit, subset, row].
        """
        cut, last = self.problem.layers[-2], self.problem.layers[-1]
        n_sources = len(units)
        subsets = (np.arange(1, 2**n_sources)[:, None] >> np.arange(n_sources)) & 1
        # minus what a dropped edge carries, so that a dropped edge is a weight of zero
        centred = values - cut.carried[units][:, None]
        weights = cut.weight[:, None, units] * subsets  # [unit, subset, source]
        pre = weights.reshape(-1, n_sources) @ centred
        pre = pre.reshape(len(values), *weights.shape[:2], -1)
        pre = pre + cut.bias_if_all_dropped[:, None, None]
        own = self.problem.activate(pre, len(self.problem.layers) - 2)
        return own - last.carried[:, None, None]

    def _contributions(
        self, added: Numbers, *, reading: Sequence[int], all_on: bool
    ) -> list[list[Sums] | None]:
        """For every unit of the last hidden layer, what each of its options adds to the scores.

        An option is a set of its sources with a set of the outputs that read it, or, unless every
        unit must be kept, that it is dropped. Equal contributions are counted together.
        """
        weight, rows = self.problem.layers[-1].weight, self.scores.rows
        read_by = [
            list(some) for n in range(1, len(reading) + 1) for some in combinations(reading, n)
        ]
        signed = np.array([self.scores.signs[:, some] @ weight[some] for some in read_by])
        # [choice, unit, set of outputs, subset, column]
        options = signed.transpose(2, 0, 1)[None, :, :, None] * added[:, :, None][..., rows]
        n_choices, n_units, *_, n_columns = options.shape
        options = options.reshape(n_choices, n_units, -1, n_columns)
        if not all_on:
            dropped = np.zeros((n_choices, n_units, 1, n_columns))
            options = np.concatenate([dropped, options], axis=2)
        contributions: list[list[Sums] | None] = [None] * n_choices
        possible = np.flatnonzero(self._may_fit(options))
        for choice, own in zip(possible, _distinct(options[possible]), strict=True):
            contributions[choice] = own
        return contributions

    def _may_fit(self, options: Numbers) -> NDArray[np.bool_]:
        """Whether the largest contributions together reach the low bounds, and the least the high.

        Args:
            options: [choice, unit, option, column].
        """
        least, most = options.min(2), options.max(2)
        slack = SLACK * (np.maximum(-least, most).sum(1) + np.abs(self.if_all_dropped))
        highest = self.if_all_dropped + most.sum(1) + slack
        lowest = self.if_all_dropped + least.sum(1) - slack
        return ((highest > self.scores.low) & (lowest < self.scores.high)).all(1)

    def halves(self, units: list[Sums]) -> tuple[list[Sums], list[Sums]]:
        """The units in a left half, which has up to half of them, and a right half.

        Units with few options come first, so that the left half has many units.
        """
        units = sorted(units, key=lambda unit: len(unit.times))
        n_left, left_size = 0, 1
        while n_left < len(units) // 2 and left_size * len(units[n_left].times) <= MAX_LEFT:
            left_size *= len(units[n_left].times)
            n_left += 1
        return units[:n_left], units[n_left:]

    def require_size(self, right: list[Sums]) -> None:
        """Refuse a half that memory would not hold, before it is made."""
        require_few_combinations(
            prod(len(unit.times) for unit in right), n_columns=len(self.scores.rows)
        )

    def n_fitting(self, units: list[Sums], stop: Event) -> Fitted:
        """How many choices of one contribution per unit lie between the bounds in every column.

        If it was told to stop, only the choices before that are counted.
        """
        left_units, right_units = self.halves(units)
        self.require_size(right_units)
        # a score is its value with every unit dropped, plus each unit's contribution
        left = summed(left_units, offset=self.if_all_dropped)
        right = summed(right_units, offset=np.zeros_like(self.if_all_dropped))
        return n_fitting_pairs(left, right, self.scores, stop)


def require_few_combinations(n_right: int, *, n_columns: int) -> None:
    """Refuse a half that memory would not hold."""
    combinations_of_half = "combinations in one half of the last hidden layer"
    require_at_most(n_right, MAX_RIGHT, what=combinations_of_half, do="take a narrower network")
    require_memory(
        2 * 8 * n_right * n_columns,
        what=f"{n_right:,} {combinations_of_half} on {n_columns:,} rows",
        do="take a narrower network, or a smaller n_noisy",
    )


def _distinct(options: Numbers) -> Iterator[list[Sums]]:
    """For each choice and unit, equal contributions once, with how many there were.

    Args:
        options: [choice, unit, option, column].
    """
    order = np.lexsort(np.moveaxis(options, -1, 0))
    ordered = np.take_along_axis(options, order[..., None], axis=2)
    # the first of each run of equal ones, and the end
    shape = (*order.shape[:2], order.shape[2] + 1)
    is_start: NDArray[np.bool_] = np.ones(shape, dtype=np.bool_)
    is_start[:, :, 1:-1] = (ordered[:, :, 1:] != ordered[:, :, :-1]).any(-1)
    for values_of_units, starts_of_units in zip(ordered, is_start, strict=True):
        contributions: list[Sums] = []
        for values, is_start_of_run in zip(values_of_units, starts_of_units, strict=True):
            starts = np.flatnonzero(is_start_of_run)
            contributions.append(Sums(values[starts[:-1]], times=starts[1:] - starts[:-1]))
        yield contributions


def summed(units: Sequence[Sums], *, offset: Numbers) -> Sums:
    """One option per unit, added up in every combination; without units only the offset."""
    values = offset[None]
    in_all = prod(total(unit.times) for unit in units)
    times: Times = np.ones(1, dtype=np.int64)
    if in_all >= 2**63:
        times = times.astype(np.object_)
    for unit in units:
        values = (values[:, None] + unit.values).reshape(-1, len(offset))
        times = np.multiply.outer(times, unit.times).reshape(-1)
    return Sums(values, times)


def total(times: Times) -> int:
    """The sum as Python's own whole number, which can be of any size."""
    return sum(times.tolist())


Ranks = Int[np.ndarray, " _"]
"""Places among the left half's sorted limits, [combination]; at most `MAX_LEFT`."""


class Matched(NamedTuple):
    """Halves to compare, without the halves that fit with no other.

    Attributes:
        limits: what a right half must be above for each left half, [bound, left].
        values: the right halves' values, [bound, right].
        left_times: how many choices each left half stands for.
        right_times: the same for the right halves.
    """

    limits: Numbers
    values: Numbers
    left_times: Times
    right_times: Times


def matched(left: Sums, right: Sums, scores: Scores) -> Matched:
    """The halves that, at each single bound, fit with some other half."""
    # right > low - left, and -right > left - high: the same question with the sign turned
    above, below = np.isfinite(scores.low), np.isfinite(scores.high)
    if (scores.low == np.inf).any() or (scores.high == -np.inf).any():
        # no number lies beyond infinity
        left, right = (Sums(half.values[:0], half.times[:0]) for half in (left, right))
    limits = np.concatenate(
        [
            (scores.low - left.values)[:, above],
            (left.values - scores.high)[:, below],
        ],
        axis=1,
    ).T
    values = np.concatenate([right.values[:, above], -right.values[:, below]], axis=1).T
    if not limits.size or not values.size:
        return Matched(limits, values, left.times, right.times)
    possible = (values > limits.min(1)[:, None]).all(0)
    values = values[:, possible]
    highest = values.max(1) if values.size else np.full(len(values), -np.inf)
    useful = (limits < highest[:, None]).all(0)
    return Matched(
        limits=limits[:, useful],
        values=values,
        left_times=left.times[useful],
        right_times=right.times[possible],
    )


def n_fitting_pairs(left: Sums, right: Sums, scores: Scores, stop: Event) -> Fitted:
    """How many (left, right) combinations lie strictly between the bounds in every column.

    They are counted with multiplicity.
    """
    halves = matched(left, right, scores)
    n_pairs = len(halves.left_times) * len(halves.right_times)
    if not n_pairs:
        return Fitted(0, 0)
    if not len(halves.limits):  # there is no bound that could be missed
        return Fitted(total(left.times) * total(right.times), 0)
    if by_bitsets(n_pairs, total(halves.left_times)):
        return Fitted(n_above_by_bits(halves, stop), n_pairs)
    return Fitted(n_above(halves, stop), n_pairs)


def by_bitsets(n_pairs: int, n_lefts: int) -> bool:
    """Whether sets of bits are worth building.

    Args:
        n_lefts: how many left halves there are, with multiplicity.
    """
    return n_pairs >= WORTH_BITSETS and n_lefts <= MAX_REPEATED


def compared(limits: Numbers, values: Numbers) -> tuple[Ranks, Ranks]:
    """The rank of each limit, and for each value how many limits it is above.

    A pair fits at a bound if the right half's position among the sorted limits of the left halves
    is above the left half's rank among them.
    """
    dtype = np.int16 if len(limits) <= MAX_16_BITS else np.int32
    order = np.argsort(limits)  # which of two equal limits comes first makes no difference
    rank = np.empty(len(limits), dtype=dtype)
    rank[order] = np.arange(len(limits))
    # "left": a value equal to a limit is not above it, since bounds are strict
    position = np.searchsorted(limits[order], values, side="left").astype(dtype)
    return rank, position


def n_above(halves: Matched, stop: Event) -> int:
    """How many pairs have every value above its limit, with multiplicity."""
    left_times, right_times = halves.left_times, halves.right_times
    columns = [compared(*column) for column in zip(halves.limits, halves.values, strict=True)]
    # torch compares 16-bit numbers on all threads
    rank_columns = [torch.from_numpy(rank)[:, None] for rank, _ in columns]
    position_rows = [torch.from_numpy(position) for _, position in columns]
    # in 64 bits at once if no sum can exceed them
    fits_64_bits = total(left_times) * total(right_times) < 2**63
    digits = [right_times] if fits_64_bits else _digits(right_times)
    right_digits = [torch.from_numpy(digit.astype(np.int64)) for digit in digits]
    # if no right half stands for several choices, counting saves a product per pair
    each_once = bool((right_times == 1).all())
    step = max(1, PAIRS_AT_ONCE // len(right_times))
    found = 0
    for start in range(0, len(left_times), step):
        if stop.is_set():
            break
        these = slice(start, start + step)
        fits = position_rows[0] > rank_columns[0][these]  # [left, right]
        for position, rank in zip(position_rows[1:], rank_columns[1:], strict=True):
            fits &= position > rank[these]
        for place, digit in enumerate(right_digits):
            n_right = (fits.sum(1) if each_once else (fits * digit).sum(1)).numpy()
            if fits_64_bits:
                found += int((n_right * left_times[these]).sum())
            else:
                of_digit = (n_right.astype(object) * left_times[these]).sum()
                found += int(of_digit) << DIGIT_BITS * place
    return found


def n_above_by_bits(halves: Matched, stop: Event) -> int:
    """The same by sets of bits, which have a left half as many times as it counts."""
    times = halves.left_times.astype(np.int64)
    repeated: list[NDArray[np.int64]] = []
    among_these: list[NDArray[np.int64]] = []
    first_repeat = np.concatenate([[0], np.cumsum(times)[:-1]])
    number_of_repeat = np.arange(times.sum()) - np.repeat(first_repeat, times)
    for limits, values in zip(halves.limits, halves.values, strict=True):
        order = np.argsort(limits)
        n_below = np.concatenate([[0], np.cumsum(times[order])])
        first = np.empty(len(limits), dtype=np.int64)
        first[order] = n_below[:-1]
        # a left half that counts several times has as many consecutive ranks
        repeated.append(np.repeat(first, times) + number_of_repeat)
        among_these.append(n_below[np.searchsorted(limits[order], values, side="left")])
    counted_by = _bitsets
    if numba_is_usable():
        # imported only when needed, because numba takes a moment to load
        from xor_mi.search import _bitset_kernels as counted_by
    counts = counted_by.n_lefts_below(np.array(repeated), np.array(among_these), stop)
    return sum((counts.astype(object) * halves.right_times).tolist())


def _digits(times: Times) -> list[NDArray[np.int64]]:
    """Whole numbers of any size -> their digits, the lowest first; sums of digits fit 64 bits."""
    rest = times.astype(object)
    digits: list[NDArray[np.int64]] = []
    while rest.any():
        digits.append((rest % 2**DIGIT_BITS).astype(np.int64))
        rest //= 2**DIGIT_BITS
    return digits
