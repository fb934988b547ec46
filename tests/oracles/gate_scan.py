"""One unit on some inputs, each with a combination of features: what its thresholds tell apart.

Every threshold is tried, every pair of inputs is counted, every way to deal the combinations out
is listed. Values are whole numbers or fractions, so that ties are ties.
"""

from fractions import Fraction
from itertools import pairwise, permutations, product


def cuts(values, rows):
    """Every threshold that has no combination on both sides, from the lowest to the highest.

    Each as (share of the range, threshold, the combinations above).
    """
    spread, found = max(values) - min(values), []
    for below, above in pairwise(sorted(set(values))):
        high = {row for value, row in zip(values, rows, strict=True) if value >= above}
        low = {row for value, row in zip(values, rows, strict=True) if value <= below}
        if not high & low:
            share = Fraction(above - below) / Fraction(spread)
            found.append((share, Fraction(above + below) / 2, frozenset(high)))
    return found


def widest(values, rows):
    """The share of the range of the widest cut; 0 where there is none."""
    return max((share for share, _, _ in cuts(values, rows)), default=Fraction(0))


def auc(values, bits):
    """How often a one is larger than a zero, over all pairs; an equal pair counts half."""
    ones = [value for value, bit in zip(values, bits, strict=True) if bit]
    zeros = [value for value, bit in zip(values, bits, strict=True) if not bit]
    halves = sum((one > zero) + (one >= zero) for one, zero in product(ones, zeros))
    return Fraction(halves, 2 * len(ones) * len(zeros))


def balanced_accuracy(values, bits, threshold):
    """The mean of the share of ones above a threshold and of zeros not above it."""
    ones = [value > threshold for value, bit in zip(values, bits, strict=True) if bit]
    zeros = [value <= threshold for value, bit in zip(values, bits, strict=True) if not bit]
    return (Fraction(sum(ones), len(ones)) + Fraction(sum(zeros), len(zeros))) / 2


def best_cut(values, bits):
    """The best balanced accuracy, and its lowest threshold; none is below every value."""
    tried = [Fraction(min(values) - 1)]
    tried += [Fraction(a + b) / 2 for a, b in pairwise(sorted(set(values)))]
    shares = [balanced_accuracy(values, bits, threshold) for threshold in tried]
    best = max(shares)
    return best, tried[shares.index(best)] if best > Fraction(1, 2) else None


def gates(rows):
    """Every split of the combinations in two, as the combinations that are 1; both of each pair."""
    names = sorted(set(rows))
    chosen = [set(one) for one in _subsets(names)]
    return [frozenset(one) for one in chosen if 0 < len(one) < len(names)]


def _subsets(names):
    for bits in product((0, 1), repeat=len(names)):
        yield [name for name, bit in zip(names, bits, strict=True) if bit]


def scored(values, rows):
    """Gate -> (AUC, best balanced accuracy, its threshold)."""
    found = {}
    for gate in gates(rows):
        bits = [row in gate for row in rows]
        found[gate] = (auc(values, bits), *best_cut(values, bits))
    return found


def every_deal(rows):
    """All the ways in which these combinations can lie on the inputs."""
    return sorted(set(permutations(rows)))
