"""a network -> how many of its subcircuits decide every row right, without listing them.

The true number, at sizes far beyond memory.

The "every kept unit is read" constraint is handled by inclusion-exclusion: over all sets S of units
of the layer before that may be read, with sign (-1)^(units not in S). What is left is free: every
unit of the last hidden layer takes one of its options (dropped, or a set of kept sources and of
outputs that read it) independently, and adds its contribution to each row's score: the output, or
the difference of two of which the larger wins. Two halves of the units are added up separately; a
left and a right half fit together if on every row their sum lies on the right side, which only asks
where the right half's value stands among the sorted bounds that the left halves leave: whole
numbers are compared, all pairs at once, or where these are millions, sets of bits are intersected
(`_bitsets`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import combinations, islice, product
from math import comb, prod
from operator import or_
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray

from xor_mi.errors import XorMiError, require_at_most, require_memory
from xor_mi.kernels import numba_is_installed
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.search import _bitsets
from xor_mi.search._convention import AnyConvention
from xor_mi.search._problem import Numbers, Problem

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
MAX_CONFIGURATIONS = 2**22
"""How many choices of what the last hidden layer may read are gone through: some take an hour."""
WORTH_THREADS = 2**28
"""Where the largest configuration has so many choices, several are counted at once."""
CONFIGURATIONS_A_THREAD = 8
"""A thread is given so many configurations before the next ones are made."""
DIGIT_BITS = 32
"""Numbers of times beyond 64 bits are added up digit by digit, in digits of so many bits."""

Bounds = tuple[Numbers, Numbers]
"""Between which numbers each row's score must lie, low and high, [row] each."""


def count_perfect_subcircuits(
    model: HookedMLP,
    target: Target | None = None,
    *,
    convention: AnyConvention = None,
    progress: bool = True,
) -> int:
    """How many subcircuits decide every row right, as `find_subcircuits(...).n_perfect`.

    For one output, or two of which the larger wins, and one or two hidden layers.

    >>> from xor_mi.handmade import textbook_xor
    >>> count_perfect_subcircuits(textbook_xor())
    1

    Raises:
        XorMiError: other shapes, an output activation that is not increasing (or is any, between
            two outputs), or a last hidden layer too wide to be counted.
    """
    return count_perfect(Problem.of(model, target, convention), progress)


def count_perfect(problem: Problem, progress: bool) -> int:
    """How many subcircuits of a problem decide every row right."""
    sizes = problem.sizes
    if problem.labels.shape[1] != 1 or len(sizes) > 4:
        raise XorMiError(
            "counting without listing is for one output and one or two hidden layers, or for two "
            f"outputs of which the larger wins, not {sizes}; use find_subcircuits"
        )
    bounds = _bounds_before_activation(problem)
    total = _count(problem, bounds, progress, all_on=False)
    if problem.convention.all_units:
        return total
    # the convention leaves out the subcircuits that keep every unit: they are counted and taken off
    return total - _count(problem, bounds, progress, all_on=True)


def _bounds_before_activation(problem: Problem) -> Bounds:
    """The bounds on each row's score before the output's activation function."""
    name = problem.model.cfg.out_act_fn
    if problem.sizes[-1] == 2 and name != "identity":
        raise XorMiError(
            f"the output activation {name} cannot be undone in a difference of two outputs; "
            "use find_subcircuits"
        )
    slope = problem.model.cfg.negative_slope
    inverses: dict[str, Callable[[Numbers], Numbers]] = {
        "identity": lambda y: y,
        "leaky_relu": lambda y: np.where(y > 0, y, y / slope),
        "tanh": _inverse_tanh,
        "sigmoid": _inverse_sigmoid,
        "softplus": _inverse_softplus,
        "elu": _inverse_elu,
    }
    if name not in inverses or (name == "leaky_relu" and slope <= 0):
        raise XorMiError(f"the output activation {name} cannot be undone; use find_subcircuits")
    # a bound that no output reaches divides by zero; `np.where` then puts infinity there
    with np.errstate(invalid="ignore", divide="ignore"):
        return inverses[name](problem.low[:, 0]), inverses[name](problem.high[:, 0])


def _inverse_tanh(y: Numbers) -> Numbers:
    """What is never reached lies at infinity."""
    inside = np.arctanh(np.clip(y, -1, 1))
    return np.where(y <= -1, -np.inf, np.where(y >= 1, np.inf, inside))


def _inverse_sigmoid(y: Numbers) -> Numbers:
    """What is never reached lies at infinity."""
    inside = np.log(np.clip(y, 0, 1) / np.clip(1 - y, 0, 1))
    return np.where(y <= 0, -np.inf, np.where(y >= 1, np.inf, inside))


def _inverse_softplus(y: Numbers) -> Numbers:
    """What is never reached lies at infinity."""
    return np.where(y <= 0, -np.inf, y + np.log(-np.expm1(-np.abs(y))))


def _inverse_elu(y: Numbers) -> Numbers:
    """What is never reached lies at infinity."""
    below = np.where(y <= -1, -np.inf, np.log1p(np.clip(y, -1, 0)))
    return np.where(y > 0, y, below)


class _Readable(NamedTuple):
    """What the last hidden layer may read.

    Attributes:
        weight: how often this counts, with its sign from inclusion-exclusion.
        sources: the units (or inputs) that may be read, by index.
        values: what these hold, [source, row].
    """

    weight: int
    sources: list[int]
    values: Numbers


def _count(problem: Problem, bounds: Bounds, progress: bool, *, all_on: bool) -> int:
    """Perfect subcircuits, or of these only the ones that keep every hidden unit."""
    n_inputs, *widths, n_outputs = problem.sizes
    n_units = widths[-1]
    n_sources = n_inputs if len(widths) == 1 else widths[0]
    # one choice of sources for each unit of the layer before, or of the inputs
    n_configurations = 2**n_inputs if len(widths) == 1 else 2 ** (n_inputs * n_sources)
    require_at_most(
        n_configurations,
        MAX_CONFIGURATIONS,
        what="choices of what the last hidden layer may read",
        do="take a network with fewer inputs or a narrower first layer",
    )
    n_options = 2**n_sources * (2**n_outputs - 1)
    require_memory(
        3 * 8 * n_units * n_options * len(problem.rows),
        what=f"{n_options:,} options of {n_units} units on {len(problem.rows):,} rows",
        do="take a network with fewer inputs or narrower layers, or a smaller n_noisy",
    )
    if len(widths) == 1:
        configurations = _readable_inputs(problem)
    else:
        configurations = _readable_units(problem, all_on=all_on)
    n_threads = torch.get_num_threads() if n_options**n_units >= WORTH_THREADS else 1
    counted = _counted(problem, configurations, bounds, n_threads, all_on=all_on)
    return sum(
        progress_bar(
            counted,
            doing="counting",
            unit="configuration",
            total=n_configurations,
            progress=progress,
        )
    )


def _counted(
    problem: Problem,
    configurations: Iterable[_Readable],
    bounds: Bounds,
    n_threads: int,
    *,
    all_on: bool,
) -> Iterator[int]:
    """What each configuration adds to the count, some at a time."""

    def count(readable: _Readable) -> int:
        if not readable.weight:
            return 0
        return readable.weight * _n_fitting(problem, readable, bounds, all_on=all_on)

    if n_threads == 1:
        yield from map(count, configurations)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        waiting = iter(configurations)
        # some at a time, so that Ctrl-C ends soon and few wait in memory
        while some := list(islice(waiting, CONFIGURATIONS_A_THREAD * n_threads)):
            yield from pool.map(count, some)


def _readable_inputs(problem: Problem) -> Iterator[_Readable]:
    """With one hidden layer: every set of inputs, since all inputs must be read.

    The largest comes first: what is too much for it is refused at once.
    """
    rows = problem.rows.T
    n_inputs = len(rows)
    for mask in range(2**n_inputs - 1, 0, -1):
        sources = [i for i in range(n_inputs) if mask >> i & 1]
        sign = (-1) ** (n_inputs - len(sources))
        yield _Readable(weight=sign, sources=sources, values=rows[sources])


def _readable_units(problem: Problem, *, all_on: bool) -> Iterator[_Readable]:
    """With two hidden layers: every set S of units of the first, each with a set of inputs.

    The largest come first: what is too much for them is refused at once.
    """
    n_inputs, n_units = problem.sizes[:2]
    cut = problem.layers[0]
    centred = problem.rows.T - cut.carried[:, None]  # [input, row]
    # a unit's values depend on its own inputs only: each (unit, set of inputs) is evaluated once
    values: dict[tuple[int, int], Numbers] = {}
    for unit, mask in product(range(n_units), range(1, 2**n_inputs)):
        bits = (mask >> np.arange(n_inputs)) & 1
        pre = cut.weight[unit] * bits @ centred + cut.bias_if_all_dropped[unit]
        values[unit, mask] = problem.activate(pre, 0)
    for masks in product(range(2**n_inputs - 1, -1, -1), repeat=n_units):
        # a unit without inputs is one that is not in S
        in_s = [unit for unit, mask in enumerate(masks) if mask]
        n_unread = n_inputs - reduce(or_, masks).bit_count()
        n_others = n_units - len(in_s)
        weight = _ways_of_the_others(n_inputs, n_unread, n_others, all_on=all_on)
        if in_s:
            of_s = [values[unit, masks[unit]] for unit in in_s]
            yield _Readable(weight=weight, sources=in_s, values=np.array(of_s))


def _ways_of_the_others(n_inputs: int, n_unread: int, n_others: int, *, all_on: bool) -> int:
    """What the units outside S may be, each way with its sign.

    Each of them is absent, or there with some set of inputs; the latter counts -1, being a unit
    that S leaves out. And the inputs that no unit of S reads must be read by one of them:
    inclusion-exclusion again, over how many of these inputs all of them skip.

    Args:
        n_unread: inputs that no unit of S reads.
        all_on: whether every unit must be there.
    """
    ways_absent = 0 if all_on else 1
    total = 0
    for n_skipped in range(n_unread + 1):
        # there: with any non-empty set of the inputs that are not skipped
        ways_there = 2 ** (n_inputs - n_skipped) - 1
        ways_of_each = ways_absent - ways_there
        sign = (-1) ** n_skipped
        total += sign * comb(n_unread, n_skipped) * ways_of_each**n_others
    return total


Times = NDArray[np.int64] | NDArray[np.object_]


class _Sums(NamedTuple):
    """Distinct sums of contributions.

    Attributes:
        values: what each adds to the score, [combination, row].
        times: how many choices of edges come to it, [combination]; Python's own whole numbers where
            64 bits might not hold them.
    """

    values: Numbers
    times: Times


def _signs(problem: Problem) -> NDArray[np.int64]:
    """How each output comes into the score, [output]: of two outputs, it is the second - first."""
    return np.array([1]) if problem.sizes[-1] == 1 else np.array([-1, 1])


def _n_fitting(problem: Problem, readable: _Readable, bounds: Bounds, *, all_on: bool) -> int:
    """How many choices of one option per unit of the last hidden layer decide every row right.

    Each output must read something: inclusion-exclusion once more, over the outputs that may.
    """
    added = _added_by_units(problem, readable)
    outputs = range(problem.sizes[-1])
    # where no output may read, every unit is dropped; that the bounds allow it counts as one
    if_all_dropped = float(_signs(problem) @ problem.layers[-1].bias_if_all_dropped)
    low, high = bounds
    dropped_fits = bool(((if_all_dropped > low) & (if_all_dropped < high)).all())
    total = (-1) ** len(outputs) * (dropped_fits and not all_on)
    for n_reading in range(1, len(outputs) + 1):
        sign = (-1) ** (len(outputs) - n_reading)
        for reading in combinations(outputs, n_reading):
            units = _contributions(problem, added, reading=reading, all_on=all_on)
            total += sign * _n_fitting_choices(units, bounds, if_all_dropped=if_all_dropped)
    return total


def _n_fitting_choices(units: list[_Sums], bounds: Bounds, *, if_all_dropped: float) -> int:
    """How many choices of one contribution per unit lie between the bounds on every row.

    Args:
        if_all_dropped: the score where every unit is dropped.
    """
    # the left half takes up to half of the units; those with few options come first, so that these
    # are many
    units.sort(key=lambda unit: len(unit.times))
    n_left, left_size = 0, 1
    while n_left < len(units) // 2 and left_size * len(units[n_left].times) <= MAX_LEFT:
        left_size *= len(units[n_left].times)
        n_left += 1
    right_size = prod(len(unit.times) for unit in units[n_left:])
    n_rows = len(bounds[0])
    combinations = "combinations in one half of the last hidden layer"
    require_at_most(right_size, MAX_RIGHT, what=combinations, do="take a narrower network")
    require_memory(
        2 * 8 * right_size * n_rows,
        what=f"{right_size:,} {combinations} on {n_rows:,} rows",
        do="take a narrower network, or a smaller n_noisy",
    )
    # the score is what it is with every unit dropped, and each unit's contribution on top of that
    left = _summed(units[:n_left], n_rows=n_rows, offset=if_all_dropped)
    right = _summed(units[n_left:], n_rows=n_rows, offset=0.0)
    return _n_fitting_pairs(left, right, bounds)


def _added_by_units(problem: Problem, readable: _Readable) -> Numbers:
    """What each unit of the last hidden layer adds to an output of weight 1.

    That is its value with each set of kept sources but the empty one, over what a dropped edge
    carries, [unit, subset, row].
    """
    cut, last = problem.layers[-2], problem.layers[-1]
    n_sources = len(readable.sources)
    subsets = (np.arange(1, 2**n_sources)[:, None] >> np.arange(n_sources)) & 1  # [subset, source]
    # over what a dropped edge carries, so that dropping one is a weight of zero
    centred = readable.values - cut.carried[readable.sources][:, None]
    pre = (cut.weight[:, None, readable.sources] * subsets) @ centred  # [unit, subset, row]
    pre = pre + cut.bias_if_all_dropped[:, None, None]
    values = problem.activate(pre, len(problem.layers) - 2)
    return values - last.carried[:, None, None]


def _contributions(
    problem: Problem, added: Numbers, *, reading: Sequence[int], all_on: bool
) -> list[_Sums]:
    """For every unit of the last hidden layer, what each of its options adds to the score.

    The options are the sets of its sources and of the outputs that read it, and, unless every unit
    must be there, that it is dropped. Equal contributions are counted together.

    Args:
        added: [unit, subset, row], as `_added_by_units` gives it.
        reading: the outputs that may read units.
    """
    signed = _signs(problem)[:, None] * problem.layers[-1].weight  # [output, unit]
    read_by = [list(some) for n in range(1, len(reading) + 1) for some in combinations(reading, n)]
    weights = np.array([signed[some].sum(0) for some in read_by])  # [set of outputs, unit]
    dropped = np.zeros((0 if all_on else 1, added.shape[-1]))
    contributions: list[_Sums] = []
    for weight, of_unit in zip(weights.T, added, strict=True):
        options = (weight[:, None, None] * of_unit).reshape(-1, added.shape[-1])
        contributions.append(_distinct(np.concatenate([dropped, options])))
    return contributions


def _distinct(values: Numbers) -> _Sums:
    """Equal lines once, with how many there were; for so few, `np.unique` takes five times as long.

    Args:
        values: [combination, row].
    """
    ordered = values[np.lexsort(values.T)]
    is_end = np.ones(
        len(values) + 1, dtype=np.bool_
    )  # of a run of equal lines, and before the first
    is_end[1:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
    ends = np.flatnonzero(is_end)
    return _Sums(values=ordered[ends[:-1]], times=ends[1:] - ends[:-1])


def _summed(units: Sequence[_Sums], *, n_rows: int, offset: float) -> _Sums:
    """One option per unit, added up in every combination; of no unit the one that adds nothing."""
    values = np.full((1, n_rows), offset)
    in_all = prod(_total(unit.times) for unit in units)
    times: Times = np.ones(1, dtype=np.int64)
    if in_all >= 2**63:
        times = times.astype(np.object_)
    for unit in units:
        values = (values[:, None] + unit.values).reshape(-1, n_rows)
        times = np.multiply.outer(times, unit.times).reshape(-1)
    return _Sums(values, times)


def _total(times: Times) -> int:
    """The sum as Python's own whole number, which has no end."""
    return sum(times.tolist())


Ranks = Int[np.ndarray, " _"]
"""Places among the left half's sorted limits, [combination]; at most `MAX_LEFT`."""


def _n_fitting_pairs(left: _Sums, right: _Sums, bounds: Bounds) -> int:
    """How many (left, right) combinations lie strictly between the bounds on every row.

    Counted with multiplicity.

    A pair fits at a bound where the right half's position among the sorted limits that the left
    halves leave is above the left half's rank among them.
    """
    ranks: list[Ranks] = []
    positions: list[Ranks] = []
    for row, (low, high) in enumerate(zip(*bounds, strict=True)):
        # right > low - left, and -right > left - high: the same question with the sign turned
        for sign, bound in ((1, low), (-1, high)):
            if sign * bound == np.inf:
                return 0  # no number lies beyond infinity
            if np.isfinite(bound):
                limits = sign * (bound - left.values[:, row])
                rank, position = _compared(limits, sign * right.values[:, row])
                ranks.append(rank)
                positions.append(position)
    if not ranks:  # no bound can be missed
        return _total(left.times) * _total(right.times)
    # a half that fits with no other at some bound is left out before any pair is made: a right one
    # above no limit, a left one whose limit no right one is above
    possible = np.all([position > 0 for position in positions], axis=0)
    if not possible.any():
        return 0
    positions = [position[possible] for position in positions]
    highest = [int(position.max()) for position in positions]
    below_highest = [rank < top for rank, top in zip(ranks, highest, strict=True)]
    useful = np.all(below_highest, axis=0)
    return _n_above(
        ranks=[rank[useful] for rank in ranks],
        left_times=left.times[useful],
        positions=positions,
        right_times=right.times[possible],
    )


def _compared(limits: Numbers, values: Numbers) -> tuple[Ranks, Ranks]:
    """The rank of each limit, and for each value how many limits it is above."""
    dtype = np.int16 if len(limits) <= MAX_16_BITS else np.int32
    order = np.argsort(limits)  # which of two equal limits comes first makes no difference
    rank = np.empty(len(limits), dtype=dtype)
    rank[order] = np.arange(len(limits))
    # "left": a value equal to a limit is not above it, since bounds are strict
    position = np.searchsorted(limits[order], values, side="left").astype(dtype)
    return rank, position


def _n_above(
    *,
    ranks: Sequence[Ranks],
    left_times: Times,
    positions: Sequence[Ranks],
    right_times: Times,
) -> int:
    """How many pairs have every position above its rank, with multiplicity."""
    n_lefts = _total(left_times)
    if len(left_times) * len(right_times) >= WORTH_BITSETS and n_lefts <= MAX_REPEATED:
        counts = _n_lefts_below(ranks, left_times, positions)
        return sum((counts.astype(object) * right_times).tolist())
    # torch compares 16-bit numbers on all threads
    rank_columns = [torch.from_numpy(rank)[:, None] for rank in ranks]
    position_rows = [torch.from_numpy(position) for position in positions]
    # in 64 bits at once where no sum can leave them
    fits_64_bits = _total(left_times) * _total(right_times) < 2**63
    digits = [right_times] if fits_64_bits else _digits(right_times)
    right_digits = [torch.from_numpy(digit.astype(np.int64)) for digit in digits]
    # where no right half stands for several choices, counting them saves a product per pair
    each_once = bool((right_times == 1).all())
    step = max(1, PAIRS_AT_ONCE // len(right_times))
    total = 0
    for start in range(0, len(left_times), step):
        these = slice(start, start + step)
        fits = position_rows[0] > rank_columns[0][these]  # [left, right]
        for position, rank in zip(position_rows[1:], rank_columns[1:], strict=True):
            fits &= position > rank[these]
        for place, digit in enumerate(right_digits):
            n_right = (fits.sum(1) if each_once else (fits * digit).sum(1)).numpy()
            if fits_64_bits:
                total += int((n_right * left_times[these]).sum())
            else:
                of_digit = (n_right.astype(object) * left_times[these]).sum()
                total += int(of_digit) << DIGIT_BITS * place
    return total


def _n_lefts_below(
    ranks: Sequence[Ranks], left_times: Times, positions: Sequence[Ranks]
) -> NDArray[np.int64]:
    """Of each right half, how many lefts it is above on every row, each as often as it counts."""
    times = left_times.astype(np.int64)
    repeated: list[NDArray[np.int64]] = []
    among_these: list[NDArray[np.int64]] = []
    first_repeat = np.concatenate([[0], np.cumsum(times)[:-1]])
    number_of_repeat = np.arange(times.sum()) - np.repeat(first_repeat, times)
    for rank, position in zip(ranks, positions, strict=True):
        order = np.argsort(rank)
        n_below = np.concatenate([[0], np.cumsum(times[order])])
        first = np.empty(len(rank), dtype=np.int64)
        first[order] = n_below[:-1]
        # a left that counts several times has as many ranks, one after the other
        repeated.append(np.repeat(first, times) + number_of_repeat)
        among_these.append(n_below[np.searchsorted(rank[order], position, side="left")])
    counted_by = _bitsets
    if numba_is_installed():
        # not before it is needed: numba takes a moment to load
        from xor_mi.search import _bitset_kernels as counted_by
    return counted_by.n_lefts_below(np.array(repeated), np.array(among_these))


def _digits(times: Times) -> list[NDArray[np.int64]]:
    """Whole numbers of any size -> their digits, the lowest first; sums of digits fit 64 bits."""
    rest = times.astype(object)
    digits: list[NDArray[np.int64]] = []
    while rest.any():
        digits.append((rest % 2**DIGIT_BITS).astype(np.int64))
        rest //= 2**DIGIT_BITS
    return digits
