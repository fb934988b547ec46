"""many sets of units at once -> what the network does with their values from another input.

NumPy float64, without hooks.

This is the fast twin of the hooked interchange in `xor_mi.interventions`: the tests hold each
against the other, on every set of units and every pair of inputs of small networks.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xor_mi.circuits import ROUNDING
from xor_mi.graph import Unit
from xor_mi.search._convention import PairSet
from xor_mi.search._problem import Affine, Numbers, Problem, size_of_scores

Replacement = Literal["source", "zero", "mean"]
"""What a chosen unit gets: its value on the source row, zero, or its mean over all rows."""

RowPairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Row numbers of bases and of sources, [pair] each."""

UnitSets = NDArray[np.bool_]
"""Which hidden units are in each set, [set, hidden unit]."""


def pairs_of(n_rows: int, which: PairSet) -> RowPairs:
    """The (base, source) pairs that a convention tries."""
    base, source = np.divmod(np.arange(n_rows**2), n_rows)
    if which == "all":
        return base, source
    # "unordered": of two rows the earlier is the source
    wanted = base != source if which == "distinct" else source < base
    return base[wanted], source[wanted]


def n_pairs_of(n_rows: int, which: PairSet) -> int:
    """How many these are."""
    n_distinct = n_rows * (n_rows - 1)
    return {"all": n_rows**2, "distinct": n_distinct, "unordered": n_distinct // 2}[which]


def bytes_of_interchange(n_sets: int, n_pairs: int, widths: Sequence[int]) -> int:
    """What `interchange_scores` holds at once, of hidden layers of these widths.

    What a layer adds up, what its activation makes of that, and what is put in its place.
    """
    return 3 * 8 * n_sets * n_pairs * max(widths)


def each_row(n_rows: int) -> RowPairs:
    """Every row paired with itself: for runs that need no source."""
    return np.arange(n_rows), np.arange(n_rows)


def units_in(in_set: Sequence[bool], units: Sequence[Unit]) -> tuple[Unit, ...]:
    """The units of one set, a row of `UnitSets`."""
    return tuple(unit for unit, is_in in zip(units, in_set, strict=True) if is_in)


def interchanged(
    problem: Problem,
    layers: Sequence[Affine],
    sets: UnitSets,
    pairs: RowPairs,
    *,
    replacement: Replacement = "source",
) -> NDArray[np.int8]:
    """Decisions with these hidden units replaced on each base, [set, pair, decision].

    1, 0, or -1 where undecided.

    Args:
        layers: `problem.whole`, or `problem.kept(subcircuit)`.
    """
    scores, scale = interchange_scores(problem, layers, sets, pairs, replacement=replacement)
    over = scores - problem.model.rule.cut
    is_tie = np.abs(over) <= ROUNDING * scale
    return np.where(is_tie, -1, over > 0).astype(np.int8)


def interchange_scores(
    problem: Problem,
    layers: Sequence[Affine],
    sets: UnitSets,
    pairs: RowPairs,
    *,
    replacement: Replacement = "source",
) -> tuple[Numbers, float]:
    """Scores of the same, [set, pair, decision], and the size of the terms that they sum up.

    The size is what rounding is measured against: see `interchanged`.
    """
    base, source = pairs
    # two runs side by side: the network as it is, and with units replaced in layer after layer
    clean = problem.clean  # [row, unit]
    changed = np.broadcast_to(clean[base], (len(sets), len(base), clean.shape[1]))
    first_unit, scale = 0, 1.0
    for number, (weight, bias) in enumerate(layers):
        # the last layer's stays: ties are told at the output only
        terms = np.abs(weight) @ np.abs(clean).max(0) + np.abs(bias)
        scale = size_of_scores(problem.model, terms)
        clean = problem.activate(clean @ weight.T + bias, number)
        changed = problem.activate(changed @ weight.T + bias, number)
        is_hidden = number < len(layers) - 1
        if is_hidden:
            # sets number the hidden units through, over all layers
            in_set = sets[:, None, first_unit : first_unit + len(weight)]  # [set, 1, unit]
            changed = np.where(in_set, _replacements(clean, source, replacement), changed)
            first_unit += len(weight)
    return problem.scores(changed), scale


def _replacements(clean: Numbers, source: NDArray[np.int64], replacement: Replacement) -> Numbers:
    """What a layer's chosen units get, [pair, unit] or [unit]."""
    if replacement == "source":
        return clean[source]
    if replacement == "mean":
        return clean.mean(0)
    return np.zeros(clean.shape[1])
