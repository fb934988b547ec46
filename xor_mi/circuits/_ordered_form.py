"""the live part of a joint reading over levels -> its key, and a text that no numbering changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, permutations, product
from math import factorial, prod

import numpy as np

from xor_mi.circuits._levels import formula_over_levels
from xor_mi.truth import name_of_bits

Cube = np.ndarray
"""A gate's level on every combination of levels. There is one axis per variable of the layer
before, as long as the variable has levels; a decision then has one of length 2 per input that it
reads directly.
"""

MAX_ORDERS = 5_000
"""At most so many orders of the inputs and of like units are tried; else only the given one."""


@dataclass(frozen=True)
class OrderedCore:
    """What is left of a joint reading without everything that is idle.

    Attributes:
        live: per hidden layer, the numbers of its live variables.
        levels: per hidden layer, the levels of each of them, [row].
        tables: per hidden layer, the tables of these over the live variables before; of the first
            layer none, since there the levels on the rows are the table.
        decisions: over the live variables of the last layer, then inputs that are read directly.
    """

    live: tuple[tuple[int, ...], ...]
    levels: tuple[tuple[Cube, ...], ...]
    tables: tuple[tuple[Cube, ...], ...]
    decisions: tuple[Cube, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal exactly for joint readings that are one circuit."""
        held = (*self.levels, *self.tables, self.decisions)
        return self.live, tuple(tuple(cube.tobytes() for cube in layer) for layer in held)

    @property
    def n_live(self) -> int:
        return sum(map(len, self.live))

    @property
    def n_three_levels(self) -> int:
        return sum(int(levels.max()) > 1 for levels in chain.from_iterable(self.levels))

    @property
    def n_inputs(self) -> int:
        """How many inputs the network has; if no unit is live, how many a decision reads."""
        for levels in chain.from_iterable(self.levels):
            return len(levels).bit_length() - 1
        return self.decisions[0].ndim

    def texts(self) -> tuple[str, str]:
        """The canonical text up to complement of units and order of inputs, and up to complement.

        A complemented unit counts its levels from the other end.
        """
        as_it_is = tuple(range(self.n_inputs))
        orders = [as_it_is]
        if factorial(self.n_inputs) <= MAX_ORDERS:
            orders = list(permutations(as_it_is))
        own = _smallest(self, as_it_is)
        others = [_smallest(self, order) for order in orders if order != as_it_is]
        return _text(min([own, *others])), _text(own)


_Gate = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Levels on the rows (none for a decision), how many levels each parent has, table."""
_Form = tuple[tuple[_Gate, ...], ...]


def _smallest(core: OrderedCore, order: Sequence[int]) -> _Form:
    """The smallest form with the inputs in this order."""
    rows = np.arange(2 ** len(order)).reshape((2,) * len(order)).transpose(order).flatten()
    levels = [[_upright(one[rows]) for one in layer] for layer in core.levels]
    groups = [_alike(layer) for layer in levels]
    n_orders = prod(factorial(len(group)) for group in chain.from_iterable(groups))
    per_layer = [
        [tuple(chain.from_iterable(layer))] if n_orders > MAX_ORDERS else list(_orders(layer))
        for layer in groups
    ]
    return min(_form(core, levels, choice, order) for choice in product(*per_layer))


def _upright(levels: Cube) -> tuple[tuple[int, ...], bool]:
    """The smaller of the levels and the levels counted from the other end; whether it is these."""
    other = levels.max() - levels
    return min((tuple(levels.tolist()), False), (tuple(other.tolist()), True))


def _alike(layer: Sequence[tuple[tuple[int, ...], bool]]) -> list[tuple[int, ...]]:
    """The units in order of their levels; units with the same levels are grouped."""
    ordered = sorted(range(len(layer)), key=lambda k: layer[k][0])
    return [tuple(group) for _, group in groupby(ordered, key=lambda k: layer[k][0])]


def _orders(groups: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Every order of the units that keeps the groups in order."""
    for choice in product(*map(permutations, groups)):
        yield tuple(chain.from_iterable(choice))


def _form(
    core: OrderedCore,
    levels: Sequence[Sequence[tuple[tuple[int, ...], bool]]],
    choice: Sequence[tuple[int, ...]],
    inputs: Sequence[int],
) -> _Form:
    """The gates with the units of each layer in the chosen order."""
    form = []
    # of the layer before: its units in order, and whether each is complemented
    before: list[tuple[int, bool]] = []
    for layer, order in enumerate(choice):
        gates = []
        for k in order:
            own, turned = levels[layer][k]
            table = own
            radices = (2,) * len(inputs)
            if layer > 0:
                cube = _rearranged(core.tables[layer][k], before)
                table = tuple((cube.max() - cube if turned else cube).flatten().tolist())
                radices = cube.shape
            gates.append((own, radices, table))
        form.append(tuple(gates))
        before = [(k, levels[layer][k][1]) for k in order]
    decisions = []
    for decision in core.decisions:
        past = range(len(before), decision.ndim)  # inputs that are read directly
        moved = [(past[i], False) for i in inputs] if past else []
        cube = _rearranged(decision, [*before, *moved])
        decisions.append(((), cube.shape, tuple(cube.flatten().tolist())))
    return *form, tuple(decisions)


def _rearranged(cube: Cube, axes: Sequence[tuple[int, bool]]) -> Cube:
    """A table with its axes in this order, and the marked axes reversed."""
    moved = cube.transpose([axis for axis, _ in axes])
    return np.flip(moved, tuple(k for k, (_, turned) in enumerate(axes) if turned))


def _text(form: _Form) -> str:
    """The decisions over the units, then what these are: 'h0.0 = 1; OR, AND'."""
    *hidden, decisions = form
    names = [f"h{len(hidden) - 1}.{k}" for k in range(len(hidden[-1]))]
    n_inputs = len(decisions[0][1]) - len(names)
    names += [f"x{i}" for i in range(n_inputs)]
    parts = [formula_over_levels(table, radices, tuple(names)) for _, radices, table in decisions]
    for gate in chain.from_iterable(hidden):
        own = gate[0]
        cuts = range(1, max(own) + 1)
        parts.append(", ".join(name_of_bits(tuple(int(k >= cut) for k in own)) for cut in cuts))
    return "; ".join(parts)
