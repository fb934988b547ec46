"""How many hidden units a function needs, by building up all functions of so many units: tables in
NumPy, no search and no solver.

A function of n inputs is a whole number whose bit r is its value on row r. The kinds of networks
that are built up from threshold functions alone:

- two or three threshold units: a threshold function of two or three bits is, up to complements and
  the order of the bits, a & b, a & b & c, a & (b | c) or the majority;
- one threshold unit beside direct connections: the unit chooses between two threshold functions
  with parallel borders, which are the two halves of one of n + 1 inputs;
- one ReLU beside direct connections: l + relu(z) > 0 says that l or l + z is above 0, and l - relu(z)
  > 0 that both l and l - z are: two threshold functions and no others, joined by OR or AND;
- two ReLUs whose signs differ: the same two threshold functions by the same argument, once the
  output's bias has a sign; two of one sign: [u > 0] | [v > 0] | [u + v + 1 > 0], or its complement.

A class is what permuting inputs and negating inputs or output makes of a function; it goes by the
smallest number in it.
"""

from functools import cache
from itertools import permutations, product

import numpy as np
from scipy.optimize import linprog

MOST_WEIGHT = {1: 1, 2: 1, 3: 2, 4: 3, 5: 5}
"""Whole weights up to this size give every threshold function of so many inputs: counted in
`all_thresholds`."""
HOW_MANY = {1: 4, 2: 14, 3: 104, 4: 1882, 5: 94572}
"""Threshold functions of n inputs: OEIS A000609."""


def rows_of(n):
    """All rows, the first input most significant, [row, input]."""
    return np.array(list(product((0, 1), repeat=n)))


def thresholds_up_to_signs(n):
    """Those whose weights are not negative and fall from input to input."""
    weights = np.array(list(product(range(MOST_WEIGHT[n] + 1), repeat=n)))
    weights = weights[(np.diff(weights, axis=1) <= 0).all(axis=1)]
    sums = weights @ rows_of(n).T
    places = 1 << np.arange(2**n, dtype=np.int64)
    found = set()
    for threshold in range(-1, MOST_WEIGHT[n] * n + 1):
        found |= set(((sums > threshold) @ places).tolist())
    return np.array(sorted(found))


def reorderings(n):
    """Of the rows, [reordering, row]: inputs permuted and negated."""
    places = 2 ** np.arange(n)[::-1]
    rows = rows_of(n)
    return np.array(
        [
            (rows[:, list(order)] ^ np.array(negated)) @ places
            for order in permutations(range(n))
            for negated in product((0, 1), repeat=n)
        ]
    )


def reordered(tables, rows):
    """Tables with their rows in another order."""
    found = np.zeros_like(tables)
    for place, row in enumerate(rows):
        found |= (tables >> row & 1) << place
    return found


def all_thresholds(n):
    """Every threshold function, as tables."""
    found = thresholds_up_to_signs(n)
    every = np.unique(np.concatenate([reordered(found, rows) for rows in reorderings(n)]))
    assert len(every) == HOW_MANY[n]
    return every


@cache
def smallest_of_class(n):
    """Table -> the smallest table of its class, for all tables of n inputs."""
    every = np.arange(2 ** (2**n))
    smallest = every.copy()
    for rows in reorderings(n):
        other = reordered(every, rows)
        smallest = np.minimum(smallest, np.minimum(other, every[-1] - other))
    return smallest


class Closure:
    """All classes of functions of n inputs, by the networks that compute them.

    Attributes:
        one, two, three: classes of threshold functions, and of functions of two and three of them.
        one_beside: of one threshold unit beside direct connections.
    """

    def __init__(self, n):
        self.n = n
        self.full = 2 ** (2**n) - 1
        self.class_of = smallest_of_class(n)
        self.thresholds = all_thresholds(n)
        # one unit of a set may stand in its class's place: the others are any
        first = thresholds_up_to_signs(n)
        both = self._joined(first, self.thresholds)
        self.one = self._classes(first)
        self.two = self.one | self._classes(both)
        self.three = self.two | self._three(first, both)
        self.one_beside = self.one | self._one_beside()

    def _classes(self, tables):
        seen = np.zeros(self.full + 1, dtype=bool)
        seen[tables.ravel()] = True
        return set(np.unique(self.class_of[seen]).tolist())

    def _joined(self, first, second):
        """All a & b."""
        return np.unique(first[:, None] & second)

    def _three(self, first, both):
        found = set()
        # a & b | c is, complemented, (~a | ~b) & ~c, and ~c then is any
        for pair in np.array_split(both, 8):
            found |= self._classes(pair[:, None] & self.thresholds)
            found |= self._classes(pair[:, None] | self.thresholds)
        either = np.unique(self._joined(self.thresholds, self.thresholds) ^ self.full)
        found |= self._classes(first[:, None] & either)
        a_and_b = self.thresholds[:, None] & self.thresholds
        a_or_b = self.thresholds[:, None] | self.thresholds
        for one in first:
            found |= self._classes(a_and_b | (one & a_or_b))
        return found

    def _one_beside(self):
        """A unit that chooses between the halves of a threshold function of one input more."""
        found = set()
        larger = thresholds_up_to_signs(self.n + 1)
        rows = rows_of(self.n + 1)
        for chooses in range(self.n + 1):
            halves = [np.zeros_like(larger), np.zeros_like(larger)]
            for bit in (0, 1):
                for place, row in enumerate(np.flatnonzero(rows[:, chooses] == bit)):
                    halves[bit] |= (larger >> row & 1) << place
            off, on = halves[0][:, None], halves[1][:, None]
            found |= self._classes((off & ~self.thresholds) | (on & self.thresholds))
        return found


def two_relus_compute(table, n, thresholds):
    """Whether two ReLUs of one sign compute a function or its complement, by one linear programme
    for every two threshold functions [u > 0], [v > 0] within it.
    """
    full = 2 ** (2**n) - 1
    return any(_two_of_one_sign(one, n, thresholds) for one in (table, table ^ full))


def _two_of_one_sign(table, n, thresholds):
    full = 2 ** (2**n) - 1
    within = thresholds[thresholds & ~table == 0]
    first, second = np.triu_indices(len(within))
    rest = table & ~(within[first] | within[second])
    # the third is a threshold function too: one that holds the rest and lies within
    rests = np.unique(rest)
    held = rests[(rests[:, None] & ~within == 0).any(axis=1)]
    return any(
        _is_feasible(
            int(within[first[pair]]), int(within[second[pair]]), int(rest[pair]), table ^ full, n
        )
        for pair in np.flatnonzero(np.isin(rest, held))
    )


def _is_feasible(first, second, rest, zeros, n):
    """Weights and biases of u and v, with u + v + 1 above 0 on the rest and not on zeros."""
    rows = np.hstack([rows_of(n), np.ones((2**n, 1), dtype=int)])
    nothing = np.zeros_like(rows)
    bits = np.arange(2**n)
    u, v = np.hstack([rows, nothing]), np.hstack([nothing, rows])
    least, most = [], []
    # (a, b) with a . x + b >= gap, or <= 0: the gap is a variable, at most 1
    for forms, constant, above in ((u, 0, first), (v, 0, second), (u + v, 1, rest)):
        on = (above >> bits & 1).astype(bool)
        off = ~on if constant == 0 else (zeros >> bits & 1).astype(bool)
        least.append((forms[on], constant))
        most.append((forms[off], constant))
    lhs = [np.hstack([-forms, np.ones((len(forms), 1))]) for forms, _ in least]
    lhs += [np.hstack([forms, np.zeros((len(forms), 1))]) for forms, _ in most]
    rhs = [np.full(len(forms), constant) for forms, constant in least]
    rhs += [np.full(len(forms), -constant) for forms, constant in most]
    aim = np.zeros(2 * (n + 1) + 1)
    aim[-1] = -1
    bounds = [(None, None)] * (2 * (n + 1)) + [(None, 1)]
    found = linprog(aim, np.vstack(lhs), np.concatenate(rhs), bounds=bounds)
    return found.status == 0 and found.x[-1] > 1e-6
