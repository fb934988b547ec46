"""Every way to read a unit as a bit, and which units are one variable in several places."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product

import numpy as np

ENDS = {"heaviside": (0.0, 1.0), "sign": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
TOLERANCES = {"rounding": 1e-9, "distinct": 1e-6, "copies": 0.01, "clearly": 0.3}
"""Parts of a range or a scale: what is a tie, what are two values, two units, a clear change."""


@contextmanager
def tolerances(ties, others):
    """Those of ties and of distinct values, and the others, times a factor inside a with block."""
    before = dict(TOLERANCES)
    factors = {"rounding": ties, "distinct": ties, "copies": others, "clearly": others}
    TOLERANCES.update({name: value * factors[name] for name, value in before.items()})
    yield
    TOLERANCES.update(before)


@dataclass(frozen=True)
class Cut:
    """One reading of a unit: its bits, and the levels that stand for them."""

    bits: tuple
    threshold: float
    margin: float | None
    low: float
    high: float

    @property
    def varies(self):
        """Whether there is more than one level."""
        return self.low != self.high

    def at_one_level(self, bit):
        """The same with the level of this bit alone."""
        only = self.high if bit else self.low
        return replace(self, low=only, high=only)


def is_constant(column):
    """Whether a unit is the same on all rows, but for rounding."""
    return column.max() - column.min() <= TOLERANCES["rounding"] * np.abs(column).max()


def cuts(column):
    """Every reading of a unit: a threshold between neighbouring distinct values."""
    if is_constant(column):
        mean = column.mean()
        return [Cut((int(mean > 0),) * len(column), mean, None, mean, mean)]
    ordered, found = np.sort(column), []
    spread = ordered[-1] - ordered[0]
    for below, above in pairwise(ordered):
        if above - below > TOLERANCES["distinct"] * spread:
            on = column > (below + above) / 2
            bits, low, high = tuple(on.astype(int).tolist()), column[~on].mean(), column[on].mean()
            found.append(Cut(bits, (below + above) / 2, (above - below) / spread, low, high))
    return found


def with_both_ends(cut, act):
    """A constant unit that is at an end of its activation, with the other end as its other level.

    For layers after the first: what they read can be as on no row.
    """
    low, high = ENDS.get(act, (np.nan, np.nan))
    near = TOLERANCES["rounding"] * (high - low)
    at_end = [abs(cut.low - end) <= near for end in (low, high)]
    if cut.margin is not None or not any(at_end):
        return cut
    bits = (int(at_end[1]),) * len(cut.bits)
    return Cut(bits, (low + high) / 2, None, low, high)


def are_copies(a, b):
    """Whether two units are one, up to a straight line and a hundredth of their ranges."""
    a, b = ((one - one.mean()) / np.sqrt(((one - one.mean()) ** 2).sum()) for one in (a, b))
    sign = 1 if (a * b).sum() >= 0 else -1
    return np.abs(a - sign * b).max() <= TOLERANCES["copies"] * min(np.ptp(a), np.ptp(b))


def rises(column):
    """Whether a unit is higher than on the first row where it first differs clearly."""
    change = column - column[0]
    clear = np.flatnonzero(np.abs(change) > TOLERANCES["clearly"] * np.abs(change).max())
    return bool(change[clear[0]] > 0)


def groups_of(values, leads_nowhere, n_rows):
    """The units of one layer in groups of copies; the first of each stands for the others.

    The first `n_rows` values are those on the input rows; others are under interchanges before.
    """
    width = values.shape[1]
    alike = {k: {k} for k in range(width)}
    varying = [k for k in range(width) if not is_constant(values[:n_rows, k])]
    for a, b in combinations(varying, 2):
        if are_copies(values[:, a], values[:, b]):
            together = alike[a] | alike[b]
            for k in together:
                alike[k] = together

    def standing(k):
        return bool(leads_nowhere[k]), k in varying and not rises(values[:, k]), k

    groups = {tuple(sorted(group, key=standing)) for group in alike.values()}
    return sorted(groups)


@dataclass
class Variables:
    """Per hidden layer: the groups of units, and for each unit the one that stands for it."""

    groups: list
    standing: list

    @classmethod
    def of(cls, values, next_values, leads_nowhere):
        """Those of a network of one or two hidden layers.

        Args:
            values: per hidden layer, [row, unit].
            next_values: values of the first hidden layer, [run, unit] -> those of the second.
        """
        n_rows, groups = len(values[0]), []
        for layer, nowhere in enumerate(leads_nowhere):
            seen = [values[layer]]
            if layer == 1:
                # what this layer is with every variable of the first as on a row of its own
                chosen = list(product(range(n_rows), repeat=len(groups[0])))
                before = np.zeros((len(chosen), values[0].shape[1]))
                for number, group in enumerate(groups[0]):
                    rows = [choice[number] for choice in chosen]
                    before[:, list(group)] = values[0][rows][:, list(group)]
                seen.append(next_values(before))
            groups.append(groups_of(np.concatenate(seen), nowhere, n_rows))
        standing = [
            [next(g[0] for g in of_layer if k in g) for k in range(one.shape[1])]
            for of_layer, one in zip(groups, values, strict=True)
        ]
        return cls(groups, standing)


def copies_alike(choice, standing):
    """Whether every copy has the bits of the unit that stands for it, or their complement."""
    for one, first in zip(choice, standing, strict=True):
        same = [a == b for a, b in zip(one.bits, choice[first].bits, strict=True)]
        if any(same) and not all(same) and one.margin is not None:
            return False
    return True


def is_consistent(before, after, leads_nowhere):
    """Whether the bits of every connected unit follow from those of the layer before."""
    keys = list(zip(*(one.bits for one in before), strict=True))
    for one, nowhere in zip(after, leads_nowhere, strict=True):
        if not nowhere and len(set(zip(keys, one.bits, strict=True))) != len(set(keys)):
            return False
    return True
