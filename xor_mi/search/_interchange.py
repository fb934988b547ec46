"""many sets of units at once -> what the network does with their values from another input.

It is computed in NumPy float64, without hooks.

This is the fast twin of the hooked interchange in `xor_mi.interventions`: the tests compare the two
on every set of units and every pair of inputs of small networks.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xor_mi.circuits import ROUNDING
from xor_mi.graph import Unit
from xor_mi.search._convention import PairSet
from xor_mi.search._problem import Affine, Affines, Numbers, Problem, size_of_scores

Replacement = Literal["source", "zero", "mean"]
"""What a chosen unit gets: its value on the source row, zero, or its mean over all rows."""

RowPairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The row numbers of bases and of sources, [pair] each."""

UnitSets = NDArray[np.bool_]
"""Which hidden units are in each set, [set, hidden unit]; many networks have an axis in front."""


def pairs_of(n_rows: int, which: PairSet) -> RowPairs:
    """The (base, source) pairs that a convention tries."""
    base, source = np.divmod(np.arange(n_rows**2), n_rows)
    if which == "all":
        return base, source
    # "unordered": the earlier of two rows is the source
    wanted = base != source if which == "distinct" else source < base
    return base[wanted], source[wanted]


def n_pairs_of(n_rows: int, which: PairSet) -> int:
    """How many pairs these are."""
    n_distinct = n_rows * (n_rows - 1)
    return {"all": n_rows**2, "distinct": n_distinct, "unordered": n_distinct // 2}[which]


def bytes_of_interchange(n_sets: int, n_pairs: int, widths: Sequence[int]) -> int:
    """How many bytes `interchange_scores` holds at once, for hidden layers of these widths.

    They are a layer's sums, its activations, and the values that replace these.
    """
    return 3 * 8 * n_sets * n_pairs * max(widths)


def each_row(n_rows: int) -> RowPairs:
    """Every row paired with itself, for runs that do not need a source."""
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

    A decision is 1, 0, or -1 if undecided.

    Args:
        layers: `problem.whole`, or `problem.kept(subcircuit)`.
    """
    of_one = [(weight[None], bias[None]) for weight, bias in layers]
    return interchanged_in_all(problem, of_one, sets[None], pairs, replacement=replacement)[0]


def interchanged_in_all(
    problem: Problem,
    layers: Sequence[Affines],
    sets: UnitSets,
    pairs: RowPairs,
    *,
    replacement: Replacement = "source",
) -> NDArray[np.int8]:
    """The same for many networks, [network, set, pair, decision].

    Args:
        layers: such as `problem.kept_of_all(edges)`.
        sets: the sets of each network, [network, set, hidden unit].
    """
    scores, scale = _scores_in_all(problem, layers, sets, pairs, replacement=replacement)
    over = scores - problem.model.rule.cut
    is_tie = np.abs(over) <= ROUNDING * scale[:, None, None, None]
    return np.where(is_tie, -1, over > 0).astype(np.int8)


def interchange_scores(
    problem: Problem,
    layers: Sequence[Affine],
    sets: UnitSets,
    pairs: RowPairs,
    *,
    replacement: Replacement = "source",
) -> Numbers:
    """The scores of one network's decisions, [set, pair, decision]; see `interchanged`."""
    of_one = [(weight[None], bias[None]) for weight, bias in layers]
    return _scores_in_all(problem, of_one, sets[None], pairs, replacement=replacement)[0][0]


def _scores_in_all(
    problem: Problem,
    layers: Sequence[Affines],
    sets: UnitSets,
    pairs: RowPairs,
    *,
    replacement: Replacement,
) -> tuple[Numbers, Numbers]:
    """Scores, [network, set, pair, decision], and the size of the terms that they are sums of.

    The size, [network], is what rounding is measured against: see `interchanged`.
    """
    base, source = pairs
    n_networks, n_sets = sets.shape[:2]
    # two runs side by side: the unchanged network, and the one with units replaced, layer by layer
    clean = np.broadcast_to(problem.clean, (n_networks, *problem.clean.shape))  # [.., row, unit]
    on_bases = problem.clean[base]
    changed = np.broadcast_to(on_bases, (n_networks, n_sets, *on_bases.shape))
    first_unit, scale = 0, np.ones(n_networks)
    for number, (weight, bias) in enumerate(layers):
        # the last layer's size is kept, because ties matter at the output only
        largest = np.abs(clean).max(1)[:, :, None]  # [network, unit, 1]
        terms = (np.abs(weight) @ largest)[:, :, 0] + np.abs(bias)
        scale = size_of_scores(problem.model, terms)
        turned = weight.transpose(0, 2, 1)  # [network, d_in, d_out]
        clean = problem.activate(clean @ turned + bias[:, None], number)
        changed = problem.activate(changed @ turned[:, None] + bias[:, None, None], number)
        is_hidden = number < len(layers) - 1
        if is_hidden:
            # sets number the hidden units consecutively over all layers
            in_set = sets[..., None, first_unit : first_unit + weight.shape[1]]
            changed = np.where(in_set, _replacements(clean, source, replacement), changed)
            first_unit += weight.shape[1]
    return problem.scores(changed), scale


def _replacements(clean: Numbers, source: NDArray[np.int64], replacement: Replacement) -> Numbers:
    """What a layer's chosen units get, [network, 1, pair or 1, unit]."""
    if replacement == "source":
        return clean[:, None, source]
    if replacement == "mean":
        return clean.mean(1)[:, None, None]
    return np.zeros((1, 1, 1, clean.shape[2]))
