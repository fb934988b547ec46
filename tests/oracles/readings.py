"""A second, independent way to find gate readings: plain Python floats, one hidden layer, every
threshold, nothing shared with the package.

Written from the definitions alone. Slow on purpose.
"""

from itertools import combinations, pairwise, product
from math import exp, tanh

NAMES = {
    "0000": "FALSE", "0001": "AND", "0010": "x0>x1", "0011": "x0", "0100": "x1>x0", "0101": "x1", "0110": "XOR", "0111": "OR",
    "1000": "NOR", "1001": "XNOR", "1010": "~x1", "1011": "x0>=x1", "1100": "~x0", "1101": "x1>=x0", "1110": "NAND", "1111": "TRUE",
}  # fmt: skip
ROWS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def relu(value: float) -> float:
    """max(value, 0)"""
    return value if value > 0 else 0.0


ACTS = {"relu": relu, "tanh": tanh, "sigmoid": lambda value: 1 / (1 + exp(-value))}


def hidden_values(weights1, bias1, act="relu"):
    """[unit][row]"""
    return [
        [ACTS[act](w[0] * a + w[1] * b + c) for a, b in ROWS]
        for w, c in zip(weights1, bias1, strict=True)
    ]


def output(values, weights2, bias2):
    """The readout on one row."""
    return sum(w * v for w, v in zip(weights2, values, strict=True)) + bias2


def bit_strings(values):
    """Every way to cut a unit's values in two by a threshold strictly between neighbouring distinct
    ones.
    """
    spread = max(values) - min(values)
    if spread <= 1e-6 * max(map(abs, values)):
        return ["1111" if sum(values) > 0 else "0000"]
    levels = sorted(values)
    cuts = [(low + high) / 2 for low, high in pairwise(levels) if high - low > 1e-6 * spread]
    return ["".join("1" if value > cut else "0" for value in values) for cut in cuts]


def level_values(values, bits):
    """The unit's value on each row replaced by the mean over the rows with the same bit."""
    mean = {
        b: sum(v for v, c in zip(values, bits, strict=True) if c == b) / bits.count(b)
        for b in set(bits)
    }
    return [mean[b] for b in bits]


def copies(a, b):
    """Whether two units' values are each other's, after a straight line, up to a hundredth of their
    range on every row.
    """

    def standard(unit):
        mean = sum(unit) / len(unit)
        length = sum((value - mean) ** 2 for value in unit) ** 0.5
        return [(value - mean) / length for value in unit]

    if len(set(a)) == 1 or len(set(b)) == 1:
        return False
    a, b = standard(a), standard(b)
    sign = 1 if sum(x * y for x, y in zip(a, b, strict=True)) > 0 else -1
    apart = max(abs(x - sign * y) for x, y in zip(a, b, strict=True))
    return apart <= 0.01 * min(max(a) - min(a), max(b) - min(b))


def read_apart(units, choice):
    """Whether two copies are read as gates that are neither the same nor complements."""
    both = list(zip(units, choice, strict=True))
    for (a, bits_a), (b, bits_b) in combinations(both, 2):
        n_alike = sum(x == y for x, y in zip(bits_a, bits_b, strict=True))
        if copies(a, b) and 0 < n_alike < len(bits_a):
            return True
    return False


def faithful_gates(weights1, bias1, weights2, bias2, threshold=0.0, act="relu"):
    """All choices of one gate name per unit under which replacing every unit by its two levels
    keeps every decision, and copies are read alike.
    """
    units = hidden_values(weights1, bias1, act)
    decisions = [output([u[r] for u in units], weights2, bias2) > threshold for r in range(4)]
    found = []
    for choice in product(*(bit_strings(u) for u in units)):
        if read_apart(units, choice):
            continue
        levels = [level_values(u, bits) for u, bits in zip(units, choice, strict=True)]
        if [
            output([u[r] for u in levels], weights2, bias2) > threshold for r in range(4)
        ] == decisions:
            found.append([NAMES[bits] for bits in choice])
    return decisions, found
