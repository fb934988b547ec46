"""what the last hidden layer may read -> how many choices of its edges and the outputs' are right.

Every unit takes one of its options (dropped, or a set of kept sources and of outputs that read it)
independently, and adds its contribution to every score. Two halves of the units are added up
separately; a left and a right half fit together if each score lies on the right side, which only
asks where the right half's value stands among the sorted bounds that the left halves leave: whole
numbers are compared, all pairs at once, or where these are many, sets of bits are intersected
(`_bitsets`).
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
"""The left half's size, with a table of bits for every few thousand of it."""
MAX_16_BITS = 32_000
"""A left half of this size has ranks of 16 bits, which are compared twice as fast."""
WORTH_BITSETS = 2**22
"""So many pairs are counted by sets of bits; of fewer, all are compared."""
MAX_REPEATED = 2**22
"""Where left halves stand for more choices than this, each is held against the right ones once."""
MAX_RIGHT = 2**24
"""The right half's size, all of it held in memory; a wider network is refused."""
PAIRS_AT_ONCE = 2**20
"""How many (left, right) pairs are compared in one step."""
DIGIT_BITS = 32
"""Numbers of times beyond 64 bits are added up digit by digit, in digits of so many bits."""
SLACK = 1e-11
"""By so small a part of its terms a sum may miss a bound before it is looked at exactly."""

Times = NDArray[np.int64] | NDArray[np.object_]


class Sums(NamedTuple):
    """Distinct sums of contributions.

    Attributes:
        values: what each adds to every score, [combination, column].
        times: how many choices of edges come to it, [combination]; Python's own whole numbers where
            64 bits might not hold them.
    """

    values: Numbers
    times: Times


class Fitted(NamedTuple):
    """How many fit, and what that took.

    Attributes:
        n: how many choices are right.
        n_pairs: how many pairs of halves were held against each other for it.
    """

    n: int
    n_pairs: int


@dataclass(frozen=True, eq=False)
class Term:
    """One of the sums that a count is made of: the outputs that may read units.

    Attributes:
        sign: how it comes into the count.
        units: of each choice of what may be read, every unit's contributions; None where no choice
            of these can be right.
    """

    sign: int
    units: list[list[Sums] | None]


class Fitting:
    """A problem whose last hidden layer is chosen, with what is the same for all it may read."""

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
        """How many a unit has that may read so many sources, equal ones too, dropping it too."""
        return (2**n_sources - 1) * (2**self.n_outputs - 1) + 1

    def n_numbers(self, n_sources: int) -> int:
        """How many numbers all contributions are, of one choice of so many that may be read."""
        return self.problem.sizes[-2] * self.n_options(n_sources) * len(self.scores.rows)

    def if_none_reads(self, *, all_on: bool) -> int:
        """What is counted where no output may read a unit: that the bounds allow it counts as one.

        Each output must read something: inclusion-exclusion over the outputs that may.
        """
        return (-1) ** self.n_outputs * (self.dropped_fits and not all_on)

    def terms(self, units: Sequence[int], values: Numbers, *, all_on: bool) -> Iterator[Term]:
        """The other sums, that in which every output may read last.

        Args:
            units: those that may be read.
            values: what they hold, [choice, unit, row].
        """
        added = self._added(units, values)
        for n_reading in range(1, self.n_outputs + 1):
            for reading in combinations(range(self.n_outputs), n_reading):
                sign = (-1) ** (self.n_outputs - n_reading)
                yield Term(sign, self._contributions(added, reading=reading, all_on=all_on))

    def _added(self, units: Sequence[int], values: Numbers) -> Numbers:
        """What each unit of the last hidden layer adds to an output of weight 1.

        That is its value with each set of kept sources but the empty one, over what a dropped edge
        carries, [choice, unit, subset, row].
        """
        cut, last = self.problem.layers[-2], self.problem.layers[-1]
        n_sources = len(units)
        subsets = (np.arange(1, 2**n_sources)[:, None] >> np.arange(n_sources)) & 1
        # over what a dropped edge carries, so that dropping one is a weight of zero
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

        The options are the sets of its sources and of the outputs that read it, and, unless every
        unit must be there, that it is dropped. Equal contributions are counted together.
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
        """Whether the largest contributions together are above what is asked, and the least below.

        Args:
            options: [choice, unit, option, column].
        """
        least, most = options.min(2), options.max(2)
        slack = SLACK * (np.maximum(-least, most).sum(1) + np.abs(self.if_all_dropped))
        highest = self.if_all_dropped + most.sum(1) + slack
        lowest = self.if_all_dropped + least.sum(1) - slack
        return ((highest > self.scores.low) & (lowest < self.scores.high)).all(1)

    def halves(self, units: list[Sums]) -> tuple[list[Sums], list[Sums]]:
        """The left half takes up to half of the units.

        Those with few options come first, so that these are many.
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

        Of these, the ones that were met before it was told to stop.
        """
        left_units, right_units = self.halves(units)
        self.require_size(right_units)
        # a score is what it is with every unit dropped, and each unit's contribution on top of that
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
    """Of each choice and unit equal contributions once, with how many there were.

    Args:
        options: [choice, unit, option, column].
    """
    order = np.lexsort(np.moveaxis(options, -1, 0))
    ordered = np.take_along_axis(options, order[..., None], axis=2)
    # of a run of equal ones the first, and past the last
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
    """One option per unit, added up in every combination; of no unit the one that adds nothing."""
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
    """The sum as Python's own whole number, which has no end."""
    return sum(times.tolist())


Ranks = Int[np.ndarray, " _"]
"""Places among the left half's sorted limits, [combination]; at most `MAX_LEFT`."""


class Matched(NamedTuple):
    """Halves as they are held against each other, without those that fit with none.

    Attributes:
        limits: what a right half must be above for each left one, [bound, left].
        values: what the right ones are, [bound, right].
        left_times: how many choices each left one stands for.
        right_times: the same of the right ones.
    """

    limits: Numbers
    values: Numbers
    left_times: Times
    right_times: Times


def matched(left: Sums, right: Sums, scores: Scores) -> Matched:
    """The halves that fit with some other at each bound on its own."""
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

    Counted with multiplicity.
    """
    halves = matched(left, right, scores)
    n_pairs = len(halves.left_times) * len(halves.right_times)
    if not n_pairs:
        return Fitted(0, 0)
    if not len(halves.limits):  # no bound can be missed
        return Fitted(total(left.times) * total(right.times), 0)
    if by_bitsets(n_pairs, total(halves.left_times)):
        return Fitted(n_above_by_bits(halves, stop), n_pairs)
    return Fitted(n_above(halves, stop), n_pairs)


def by_bitsets(n_pairs: int, n_lefts: int) -> bool:
    """Whether sets of bits are worth being made.

    Args:
        n_lefts: left halves, each as often as it counts.
    """
    return n_pairs >= WORTH_BITSETS and n_lefts <= MAX_REPEATED


def compared(limits: Numbers, values: Numbers) -> tuple[Ranks, Ranks]:
    """The rank of each limit, and for each value how many limits it is above.

    A pair fits at a bound where the right half's position among the sorted limits that the left
    halves leave is above the left half's rank among them.
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
    # in 64 bits at once where no sum can leave them
    fits_64_bits = total(left_times) * total(right_times) < 2**63
    digits = [right_times] if fits_64_bits else _digits(right_times)
    right_digits = [torch.from_numpy(digit.astype(np.int64)) for digit in digits]
    # where no right half stands for several choices, counting them saves a product per pair
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
    """The same by sets of bits, in which a left one stands as often as it counts."""
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
        # a left that counts several times has as many ranks, one after the other
        repeated.append(np.repeat(first, times) + number_of_repeat)
        among_these.append(n_below[np.searchsorted(limits[order], values, side="left")])
    counted_by = _bitsets
    if numba_is_usable():
        # not before it is needed: numba takes a moment to load
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
