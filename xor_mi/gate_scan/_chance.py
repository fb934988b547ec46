"""the combination of each input -> every way, or many ways, to permute the combinations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, exp, factorial, lgamma, log, prod

import numpy as np
import torch
from torch import Tensor

__all__ = ["Dealt"]

ALL_DEALS = 1000
"""If the features can be permuted over the inputs in at most so many ways, all are tried."""


@dataclass(frozen=True, eq=False)
class Dealt:
    """How the combinations lie on the inputs, and the permutations of them that are tried.

    Attributes:
        rows: the combinations that occur, in the order of the truth table.
        samples: per combination the numbers of its inputs.
        n_deals: how many permutations are tried.
        are_all: whether these are all that exist.
        smallest_p: the smallest p-value that is possible.
    """

    rows: tuple[str, ...]
    samples: tuple[Tensor, ...]
    n_deals: int
    are_all: bool
    smallest_p: float
    seed: int

    @classmethod
    def of(cls, rows: Sequence[str], n_permutations: int, seed: int) -> "Dealt":
        """The permutations of these combinations.

        Args:
            rows: the combination of each input.
        """
        numbers: dict[str, list[int]] = {row: [] for row in sorted(set(rows))}
        for number, row in enumerate(rows):
            numbers[row].append(number)
        sizes = [len(group) for group in numbers.values()]
        n_ways = _n_ways(sizes, most=max(ALL_DEALS, n_permutations))
        n_deals = n_permutations if n_ways is None else n_ways
        # The statistics do not change if combinations of the same size exchange their names.
        n_names = [factorial(sizes.count(size)) for size in set(sizes)]
        if n_ways is not None:
            smallest_p = prod(n_names) / n_ways
        else:
            log_ways = lgamma(len(rows) + 1) - sum(lgamma(size + 1) for size in sizes)
            of_names = exp(min(0.0, sum(map(log, n_names)) - log_ways))
            smallest_p = max(1 / (1 + n_permutations), of_names)
        return cls(
            rows=tuple(numbers),
            samples=tuple(torch.tensor(group) for group in numbers.values()),
            n_deals=n_deals,
            are_all=n_ways is not None,
            smallest_p=smallest_p,
            seed=seed,
        )

    @property
    def sizes(self) -> list[int]:
        """How many inputs each combination has."""
        return [len(group) for group in self.samples]

    def orders(self) -> Iterator[Tensor]:
        """For each permutation, the numbers of the inputs, those of the first combination first."""
        n = sum(self.sizes)
        if self.are_all:
            yield from map(torch.tensor, _every_order(list(range(n)), self.sizes))
            return
        # Seeded anew for each block of units, so that permutation number n is the same in all
        # blocks.
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.n_deals):
            yield torch.randperm(n, generator=generator)

    def p_values(self, n_as_good: np.ndarray) -> np.ndarray:
        """How many permutations did as well -> p-values."""
        if self.are_all:
            return n_as_good / self.n_deals
        # The unpermuted combinations count as one permutation, so no p-value is 0.
        return (1 + n_as_good) / (1 + self.n_deals)


def _n_ways(sizes: Sequence[int], *, most: int) -> int | None:
    """How many permutations combinations of these sizes have; None if these are too many."""
    # there are at least as many permutations as inputs
    if sum(sizes) > most:
        return None
    n_ways, left = 1, sum(sizes)
    for size in sizes:
        n_ways *= comb(left, size)
        left -= size
        if n_ways > most:
            return None
    return n_ways


def _every_order(numbers: list[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """The numbers in every split into combinations of these sizes, each in any order."""
    if len(sizes) == 1:
        yield numbers
        return
    for first in combinations(numbers, sizes[0]):
        left = [number for number in numbers if number not in first]
        for others in _every_order(left, sizes[1:]):
            yield [*first, *others]
