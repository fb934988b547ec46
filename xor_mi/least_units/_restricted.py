"""a function of many inputs -> a lower bound on its units, from its restrictions to four inputs.

A network that computes a function also computes every restriction of it: an input that is fixed is
added to the biases. The restrictions to four inputs are looked up in the atlas.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from xor_mi.least_units._atlas import MOST_INPUTS, AtlasUnit, atlas
from xor_mi.truth import BooleanFunction, npn_class

MOST_LOOKED_UP = 4000
"""At most so many different restrictions are looked up, about a second's work."""


class Restriction(NamedTuple):
    """A function of four inputs that is left when the other inputs of a function are fixed.

    Attributes:
        n_units: hidden units that it needs, and so the whole function needs at least as many.
        output: the output that is restricted.
        fixed: input -> the bit that it is fixed at.
        function: the function of the other inputs, in their order.
    """

    n_units: int
    output: int
    fixed: Mapping[int, int]
    function: BooleanFunction

    def __str__(self) -> str:
        fixed = ", ".join(f"x{index} = {bit}" for index, bit in self.fixed.items())
        n_inputs = self.function.n_inputs + len(self.fixed)
        left = ", ".join(f"x{index}" for index in range(n_inputs) if index not in self.fixed)
        table = "".join(map(str, self.function.bits))
        return (
            f"with {fixed} output y{self.output} is the function {table} of {left}, "
            f"which needs {self.n_units}"
        )


def hardest_restriction(function: BooleanFunction, unit: AtlasUnit, *, direct: bool) -> Restriction:
    """A restriction to four inputs that needs most units, for a function of five inputs or more."""
    column = f"{unit}_direct" if direct else unit
    lines = atlas(n_inputs=MOST_INPUTS).set_index("table")[column]
    most = int(lines.max())
    hardest: Restriction | None = None
    seen: set[tuple[int, ...]] = set()
    for output, fixed, table in _restrictions(function):
        if table in seen:
            continue
        seen.add(table)
        left = BooleanFunction(MOST_INPUTS, (table,))
        representative = npn_class(left).representative
        n_units = int(lines["".join(map(str, representative.bits))])
        if hardest is None or n_units > hardest.n_units:
            hardest = Restriction(n_units, output, fixed, left)
        if n_units == most or len(seen) == MOST_LOOKED_UP:
            break
    assert hardest is not None
    return hardest


def _restrictions(
    function: BooleanFunction,
) -> Iterator[tuple[int, Mapping[int, int], tuple[int, ...]]]:
    """For each output, the inputs that are fixed, and the table that is left."""
    n_inputs = function.n_inputs
    for output, table in enumerate(function.tables):
        cube = np.array(table, dtype=np.uint8).reshape((2,) * n_inputs)
        for chosen in combinations(range(n_inputs), n_inputs - MOST_INPUTS):
            for bits in product((0, 1), repeat=len(chosen)):
                fixed = dict(zip(chosen, bits, strict=True))
                part = cube[tuple(fixed.get(index, slice(None)) for index in range(n_inputs))]
                yield output, fixed, tuple(part.reshape(-1).tolist())
