"""a circuit + interchanges of a layer -> what it decides in each, by one table looked up.

However many interchanges there are, a layer's variables have few combinations of levels. What a
circuit decides is found once on each combination, and looked up for every interchange by its
number: the levels of the layer's variables as digits, the first the most significant, and after
them the inputs' bits where outputs read these directly.
"""

from functools import lru_cache
from itertools import accumulate, takewhile
from math import prod
from operator import mul
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

Digit = tuple[int, ...]
"""What one digit counts on each row."""


@runtime_checkable
class Predicts(Protocol):
    """A circuit as interchange tests it, however many levels its units have."""

    def levels(self, layer: int) -> Tensor:
        """At which level each variable of a hidden layer is on every row, [row, variable]."""
        ...

    def decided(self, layer: int, levels: Tensor, inputs: Tensor) -> Tensor:
        """What the netlist decides from a layer's levels on, [..., decision].

        Args:
            levels: of the layer's variables, [..., variable].
            inputs: the inputs' bits, for outputs that read them directly, [..., input].
        """
        ...


class DecisionTable(NamedTuple):
    """What a circuit decides on every combination of levels of one hidden layer.

    Attributes:
        on_rows: the digits on every row: the variables' levels, and after them the bits of inputs
            that are read directly, [row, digit].
        weights: what each digit counts in the number of a combination.
        decided: [decision, combination].
    """

    on_rows: Tensor
    weights: tuple[int, ...]
    decided: Tensor

    @classmethod
    def of(
        cls, circuit: Predicts, layer: int, input_bits: Tensor, *, direct: bool
    ) -> "DecisionTable":
        """The circuit run on from every combination.

        Args:
            input_bits: of all rows, [row, input].
            direct: whether outputs read the inputs.
        """
        levels = circuit.levels(layer)
        n_variables = levels.shape[1]
        on_rows = torch.cat([levels, input_bits], dim=1) if direct else levels
        radices = tuple(level + 1 for level in on_rows.amax(0).tolist())
        weights, digits = _combinations(radices)
        # outputs that do not read the inputs decide the same whatever these are
        inputs = digits[:, n_variables:] if direct else input_bits[:1].expand(len(digits), -1)
        decided = circuit.decided(layer, digits[:, :n_variables], inputs)
        return cls(on_rows, weights, decided.T.contiguous())

    def single(self, n_variables: int) -> Tensor:
        """With one variable from each source, all else as on the base.

        [base, source, variable, decision]
        """
        weights = torch.tensor(self.weights)
        base = self.on_rows @ weights
        levels = self.on_rows[:, :n_variables]
        change = (levels - levels[:, None]) * weights[:n_variables]  # [base, source, variable]
        return self.decided.T[base[:, None, None] + change]

    def of_numbers(self, numbers: Tensor) -> Tensor:
        """At these numbers of combinations, [run] -> [decision, run]."""
        return torch.stack([decided.index_select(0, numbers) for decided in self.decided])


# the circuits of a network have these in common
@lru_cache(maxsize=16)
def _combinations(radices: tuple[int, ...]) -> tuple[tuple[int, ...], Tensor]:
    """What each digit counts, and every combination of the digits, [combination, digit]."""
    weights = tuple(accumulate(reversed(radices[1:]), mul, initial=1))[::-1]
    numbers = torch.arange(prod(radices))[:, None]
    return weights, numbers // torch.tensor(weights) % torch.tensor(radices)


class NumbersOfRuns:
    """The numbers of the combinations that joint interchanges of a layer set, for any circuit.

    Neighbours in a list of circuits read their first variables alike, so of the circuit before the
    sums over these are kept.

    Args:
        sources: the row that each digit is taken from, [run, digit].
    """

    def __init__(self, sources: Tensor) -> None:
        self._sources = sources.T.contiguous()
        # per digit, what it adds on each row, and the sum up to it in each run
        self._summed: list[tuple[Digit, Tensor]] = []

    def of(self, table: DecisionTable) -> Tensor:
        """For one circuit, [run]."""
        digits = (table.on_rows * torch.tensor(table.weights)).T
        added: list[Digit] = list(map(tuple, digits.tolist()))
        pairs = zip(self._summed, added, strict=False)
        alike = takewhile(lambda pair: pair[0][0] == pair[1], pairs)
        kept = sum(1 for _ in alike)
        del self._summed[kept:]
        for k in range(kept, len(added)):
            on_rows = digits[k].to(torch.int32)
            numbers = on_rows.index_select(0, self._sources[k])
            if self._summed:
                numbers += self._summed[-1][1]
            self._summed.append((added[k], numbers))
        return self._summed[-1][1]
