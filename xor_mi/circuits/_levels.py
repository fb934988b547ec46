"""values of a unit -> its readings as an ordered variable of two or three levels; and tables over
such levels -> formulas a person reads, such as 'h0.0 = 1' or 'h0.0 >= 1 & h0.1 < 2'.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations, pairwise, product
from math import comb, prod

import torch
from torch import Tensor

from xor_mi.circuits import _tables
from xor_mi.circuits._facts import constant_note
from xor_mi.circuits._readings import is_constant
from xor_mi.errors import TooManyReadings
from xor_mi.finding import number_text
from xor_mi.truth import name_of_bits
from xor_mi.values import DISTINCT

MOST_LEVELS = 3
"""A unit is read with at most so many levels. For four values on four rows, a reading with four
levels would say nothing: it would just list the values.
"""
MAX_OF_A_UNIT = 10_000
"""A unit may have at most so many readings: more than seven inputs can give it."""
MAX_BOXES = 60_000
"""A formula is searched for only if there are at most so many products of literals: five parents
with three levels have 16,807.
"""
MAX_STEPS = 20_000
"""So many beginnings of a shortest formula are tried; after that a short one is accepted."""

THREE_LEVELS = {
    (0,): "= 0",
    (1,): "= 1",
    (2,): "= 2",
    (0, 1): "< 2",
    (1, 2): ">= 1",
    (0, 2): "!= 1",
}
"""Each proper set of three levels, as it is written after a name."""


@dataclass(frozen=True)
class OrderedReading:
    """One way to read a unit as an ordered variable: thresholds in gaps between its values.

    Attributes:
        levels: the unit's level on each input row, in lexicographic order: how many thresholds its
            value is above.
        thresholds: rising, each halfway between the two neighbouring values it separates; none for
            a constant unit.
        values: the mean value at each level.
        margin: the smaller gap as a fraction of the unit's range; None for a constant unit.
    """

    levels: tuple[int, ...]
    thresholds: tuple[float, ...]
    values: tuple[float, ...]
    margin: float | None

    def __str__(self) -> str:
        if self.margin is None:
            return f"{self.gate} ({self.note})"
        size = max(map(abs, self.values))
        at = ", ".join(number_text(value, scale=size) for value in self.values)
        return f"{self.gate}: {self.n_levels} levels at {at}, margin {number_text(self.margin)}"

    @property
    def n_levels(self) -> int:
        """1 for a constant unit, else 2 or 3."""
        return len(self.values)

    @property
    def constant(self) -> bool:
        """Whether the unit has the same value on every row."""
        return self.n_levels == 1

    @property
    def note(self) -> str:
        """ "dead" or "always on" for a constant unit, else ""."""
        return constant_note(self.values[0] > 0) if self.constant else ""

    @property
    def cuts(self) -> tuple[str, ...]:
        """What each threshold computes, as a function of the inputs: ('OR', 'AND') for a count of
        two.
        """
        at_least = range(1, self.n_levels)
        return tuple(
            name_of_bits(tuple(int(level >= cut) for level in self.levels)) for cut in at_least
        )

    @property
    def gate(self) -> str:
        """The cuts, joined by ', '; "TRUE" or "FALSE" for a constant unit."""
        if self.constant:
            return "TRUE" if self.values[0] > 0 else "FALSE"
        return ", ".join(self.cuts)


def ordered_readings(values: Tensor, *, most_levels: int = MOST_LEVELS) -> list[OrderedReading]:
    """A unit's values on all rows, [row] -> every reading of it with up to so many levels.

    Those with two levels come first. A unit with two distinct values has only the one with two.

    Raises:
        TooManyReadings: more than 10,000 of them.

    >>> readings = ordered_readings(torch.tensor([0.0, 1.0, 1.0, 2.0]))
    >>> [(reading.gate, reading.levels) for reading in readings]
    [('OR', (0, 1, 1, 1)), ('AND', (0, 0, 0, 1)), ('OR, AND', (0, 1, 1, 2))]
    """
    values = values.double()
    if is_constant(values):
        constant = OrderedReading(
            levels=(0,) * len(values), thresholds=(), values=(values.mean().item(),), margin=None
        )
        return [constant]
    ordered = values.sort().values.tolist()
    spread = ordered[-1] - ordered[0]
    gaps = [(low, high) for low, high in pairwise(ordered) if high - low > DISTINCT * spread]
    n_readings = sum(comb(len(gaps), n_cuts) for n_cuts in range(1, most_levels))
    if n_readings > MAX_OF_A_UNIT:
        raise TooManyReadings(
            f"a unit with {len(gaps) + 1} values has {n_readings:,} readings with up to "
            f"{most_levels} levels; at most {MAX_OF_A_UNIT:,} are tried: read it with levels=2"
        )
    several = (combinations(gaps, n_cuts) for n_cuts in range(1, most_levels))
    readings = []
    for cuts in chain.from_iterable(several):
        thresholds = tuple((low + high) / 2 for low, high in cuts)
        levels = torch.stack([values > threshold for threshold in thresholds]).sum(0)
        means = [values[levels == level].mean().item() for level in range(len(cuts) + 1)]
        readings.append(
            OrderedReading(
                levels=tuple(levels.tolist()),
                thresholds=thresholds,
                values=tuple(means),
                margin=min(high - low for low, high in cuts) / spread,
            )
        )
    return readings


def read_alike(columns: Sequence[Tensor], *, most_levels: int) -> list[tuple[OrderedReading, ...]]:
    """The values of a variable in each of its places, [row] -> every reading of it, one per place.

    Copies are read alike: at the same levels, or at the same levels counted from the other end.
    """
    first, *copies = [ordered_readings(column, most_levels=most_levels) for column in columns]
    by_levels = [{reading.levels: reading for reading in copy} for copy in copies]
    alike = []
    for reading in first:
        over = from_the_other_end(reading)
        fitting = [known.get(reading.levels) or known.get(over) for known in by_levels]
        of_copies = [one for one in fitting if one is not None]
        if len(of_copies) == len(copies):
            alike.append((reading, *of_copies))
    return alike


def from_the_other_end(reading: OrderedReading) -> tuple[int, ...]:
    """Its levels, counted down."""
    top = reading.n_levels - 1
    return tuple(top - level for level in reading.levels)


_Box = tuple[tuple[int, ...], ...]
"""A product of literals: per parent, the levels it allows."""


@lru_cache(maxsize=65536)
def formula_over_levels(
    table: tuple[int, ...], radices: tuple[int, ...], names: tuple[str, ...]
) -> str:
    """A bit for every combination of levels -> the shortest formula, as a sum or as a product.

    If there are too many parents to find a formula, only their names are given: 'f(h0.0, h0.1)'.

    Args:
        table: the first parent is the most significant.
        radices: how many levels each parent has.

    >>> formula_over_levels((0, 1, 0), (3,), ("h0.0",))
    'h0.0 = 1'
    >>> formula_over_levels((0, 0, 0, 1, 1, 0, 1, 1, 0), (3, 3), ("h0.0", "h0.1"))
    'h0.0 >= 1 & h0.1 < 2'
    """
    if len(set(table)) == 1:
        return "TRUE" if table[0] else "FALSE"
    if all(radix == 2 for radix in radices):
        return _tables.formula_over(table, names)
    if prod(2**radix - 1 for radix in radices) > MAX_BOXES:
        return _tables.named(names)
    on = [number for number, bit in enumerate(table) if bit]
    off = [number for number, bit in enumerate(table) if not bit]
    summed, multiplied = _shortest_cover(on, radices), _shortest_cover(off, radices)
    if _length(multiplied, radices) < _length(summed, radices):
        # it is 1 where no product of the off side holds: the complements of all products, joined
        return _written([_complement(box, radices) for box in multiplied], radices, names, "|&")
    return _written(summed, radices, names, "&|")


def _length(boxes: Sequence[_Box], radices: Sequence[int]) -> tuple[int, int]:
    """Literals, then products."""
    return sum(_n_literals(box, radices) for box in boxes), len(boxes)


def _n_literals(box: _Box, radices: Sequence[int]) -> int:
    return sum(len(levels) < radix for levels, radix in zip(box, radices, strict=True))


def _complement(box: _Box, radices: Sequence[int]) -> _Box:
    """For each literal the levels that it does not allow; a parent that is free stays free."""
    turned_over = []
    for levels, radix in zip(box, radices, strict=True):
        others = tuple(level for level in range(radix) if level not in levels)
        turned_over.append(others or levels)
    return tuple(turned_over)


def _written(
    boxes: Sequence[_Box], radices: Sequence[int], names: Sequence[str], signs: str
) -> str:
    """Literals joined by the first sign, and the results joined by the second."""
    inner, outer = signs
    parts = []
    for box in boxes:
        literals = [
            _literal(name, levels, radix)
            for name, levels, radix in zip(names, box, radices, strict=True)
            if len(levels) < radix
        ]
        text = f" {inner} ".join(literals)
        parts.append(f"({text})" if len(literals) > 1 and len(boxes) > 1 else text)
    return f" {outer} ".join(sorted(parts))


def _literal(name: str, levels: Sequence[int], radix: int) -> str:
    """One parent at some of its levels: 'h0.0', '~h0.0', 'h0.0 >= 1', 'h0.0 = 2', 'h0.0 != 1'."""
    if radix == 2:
        return name if levels == (1,) else f"~{name}"
    return f"{name} {THREE_LEVELS[tuple(levels)]}"


def _shortest_cover(wanted: Sequence[int], radices: tuple[int, ...]) -> list[_Box]:
    """The fewest products of literals that hold on these combinations and on no other.

    If several covers have as few, the one with the fewest literals, then the first.
    """
    goal = sum(1 << number for number in wanted)
    masks = {box: mask for box, mask in _boxes(radices) if mask & ~goal == 0}
    prime = [box for box in masks if not any(wider in masks for wider in _wider(box, radices))]
    order = sorted(prime, key=lambda box: (_n_literals(box, radices), -masks[box].bit_count(), box))
    best = _greedy(order, masks, goal)
    steps = 0
    # depth first: the first combination not covered yet is covered in every way
    stack: list[tuple[int, tuple[_Box, ...]]] = [(0, ())]
    while stack and steps < MAX_STEPS:
        steps += 1
        covered, chosen = stack.pop()
        if covered == goal:
            if _cost(chosen, radices) < _cost(best, radices):
                best = list(chosen)
            continue
        # one more is needed at least
        if len(chosen) + 1 > len(best):
            continue
        missing = goal & ~covered
        first = missing & -missing
        for box in reversed(order):
            if masks[box] & first:
                stack.append((covered | masks[box], (*chosen, box)))
    return best


def _cost(boxes: Sequence[_Box], radices: Sequence[int]) -> tuple[int, int, list[_Box]]:
    return len(boxes), sum(_n_literals(box, radices) for box in boxes), sorted(boxes)


def _greedy(order: Sequence[_Box], masks: dict[_Box, int], goal: int) -> list[_Box]:
    """The product that covers most of what is missing, until nothing is."""
    chosen: list[_Box] = []
    missing = goal
    while missing:
        box = max(order, key=lambda one: (masks[one] & missing).bit_count())
        chosen.append(box)
        missing &= ~masks[box]
    return chosen


# many tables are over the same levels; the largest lists take some 10 MB
@lru_cache(maxsize=4)
def _boxes(radices: tuple[int, ...]) -> tuple[tuple[_Box, int], ...]:
    """Every product of literals, and the combinations it holds on as the bits of a number."""
    weights = [prod(radices[k + 1 :]) for k in range(len(radices))]
    subsets = []
    for radix in radices:
        sizes = (combinations(range(radix), size) for size in range(1, radix + 1))
        subsets.append(list(chain.from_iterable(sizes)))
    boxes: list[tuple[_Box, int]] = []
    for box in product(*subsets):
        # shifting by a level's weight adds it to every number of a combination
        mask = 1
        for levels, weight in zip(box, weights, strict=True):
            mask = sum(mask << level * weight for level in levels)
        boxes.append((box, mask))
    return tuple(boxes)


def _wider(box: _Box, radices: Sequence[int]) -> Iterator[_Box]:
    """The products that allow one level of one parent more."""
    for k, (levels, radix) in enumerate(zip(box, radices, strict=True)):
        for level in range(radix):
            if level not in levels:
                yield (*box[:k], tuple(sorted((*levels, level))), *box[k + 1 :])
