"""a circuit + interchanges of a layer -> what it decides in each, looked up in one table.

However many interchanges there are, a layer's variables have few combinations of levels. What a
circuit decides is computed once for each combination, and looked up for every interchange by the
combination's number. Its digits are the levels of the layer's variables, the most significant
first, and after them the inputs' bits if outputs read these directly.
"""

from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import accumulate, takewhile
from math import prod
from operator import mul
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

Digit = tuple[int, ...]
"""What one digit adds to the number of a combination on each row."""

LAST_DIGITS = 4
"""The sums over so many variables of a layer are kept for all circuits: with three readings each
there are 81 of them.
"""
MAX_KEPT = 128
"""So many sums are kept, of 65,536 runs with 4 bytes each at most."""


@runtime_checkable
class Predicts(Protocol):
    """A circuit as interchange tests it, however many levels its units have.

    It may also be several circuits of one network together; then every tensor has a circuit axis in
    front.
    """

    def levels(self, layer: int) -> Tensor:
        """The level of each variable of a hidden layer on every row, [row, variable]."""
        ...

    def decided(self, layer: int, levels: Tensor, inputs: Tensor) -> Tensor:
        """What the netlist decides from a layer's levels on, [..., decision].

        Args:
            levels: of the layer's variables, [..., variable]; the same for all circuits.
            inputs: the inputs' bits, for outputs that read them directly, [..., input].
        """
        ...


class DecisionTable(NamedTuple):
    """What a circuit decides on every combination of levels of one hidden layer.

    With several circuits together, everything but the weights has a circuit axis in front.

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
        n_variables = levels.shape[-1]
        on_rows = levels
        if direct:
            of_inputs = input_bits.expand(*levels.shape[:-2], -1, -1)
            on_rows = torch.cat([levels, of_inputs], dim=-1)
        radices = tuple(level + 1 for level in on_rows.flatten(0, -2).amax(0).tolist())
        weights, digits = _combinations(radices)
        # outputs that do not read the inputs decide the same for any inputs
        inputs = digits[:, n_variables:] if direct else input_bits[:1].expand(len(digits), -1)
        decided = circuit.decided(layer, digits[:, :n_variables], inputs)
        return cls(on_rows, weights, decided.mT.contiguous())

    def single(self, n_variables: int) -> Tensor:
        """What is decided with one variable from each source, and all else as on the base.

        [base, source, variable, decision]
        """
        weights = torch.tensor(self.weights)
        base = (self.on_rows * weights).sum(-1)
        levels = self.on_rows[..., :n_variables]
        # [base, source, variable]
        change = (levels[..., None, :, :] - levels[..., None, :]) * weights[:n_variables]
        numbers = base[..., None, None] + change
        # one axis for all of these, and one in front for the decisions
        flat = numbers.flatten(-3)[..., None, :].expand(*self.decided.shape[:-1], -1)
        decided = self.decided.gather(-1, flat)
        return decided.unflatten(-1, numbers.shape[-3:]).movedim(-4, -1)

    @property
    def added(self) -> Tensor:
        """What each digit adds to the number of a combination on each row, [digit, row]."""
        return (self.on_rows * torch.tensor(self.weights)).mT


# the circuits of a network have these in common
@lru_cache(maxsize=16)
def _combinations(radices: tuple[int, ...]) -> tuple[tuple[int, ...], Tensor]:
    """What each digit counts, and every combination of the digits, [combination, digit]."""
    weights = tuple(accumulate(reversed(radices[1:]), mul, initial=1))[::-1]
    numbers = torch.arange(prod(radices))[:, None]
    return weights, numbers // torch.tensor(weights) % torch.tensor(radices)


class NumbersOfRuns:
    """The numbers of the combinations that joint interchanges of a layer set, for any circuit.

    Neighbours in a list of circuits read their first variables alike, so the sums over these are
    kept from the circuit before. All sums over the last few variables are kept.

    Args:
        sources: the row that each digit is taken from, [run, digit].
    """

    def __init__(self, sources: Tensor) -> None:
        self._sources = sources.T.contiguous()
        self._n_first = max(1, len(self._sources) - LAST_DIGITS)
        # per digit, what it adds on each row, and the sum up to it in each run
        self._summed: list[tuple[Digit, Tensor]] = []
        self._last: dict[tuple[Digit, ...], Tensor] = {}

    def of(self, added: Sequence[Digit]) -> Tensor:
        """The numbers for one circuit, [run].

        Args:
            added: what each digit adds on each row.
        """
        first, last = added[: self._n_first], tuple(added[self._n_first :])
        pairs = zip(self._summed, first, strict=False)
        alike = takewhile(lambda pair: pair[0][0] == pair[1], pairs)
        kept = sum(1 for _ in alike)
        del self._summed[kept:]
        for k in range(kept, len(first)):
            numbers = self._of_digit(k, first[k])
            if self._summed:
                numbers += self._summed[-1][1]
            self._summed.append((first[k], numbers))
        numbers = self._summed[-1][1]
        return numbers + self._of_last(last) if last else numbers

    def _of_last(self, added: tuple[Digit, ...]) -> Tensor:
        """The sum over the last digits, [run]."""
        if added not in self._last:
            if len(self._last) == MAX_KEPT:
                self._last.clear()
            places = range(self._n_first, len(self._sources))
            of_digits = map(self._of_digit, places, added)
            self._last[added] = reduce(Tensor.add_, of_digits)
        return self._last[added]

    def _of_digit(self, place: int, added: Digit) -> Tensor:
        """What one digit adds in each run, [run]."""
        on_rows = torch.tensor(added, dtype=torch.int32)
        return on_rows.index_select(0, self._sources[place])
