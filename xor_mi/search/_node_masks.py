"""a network -> every set of hidden units that could be its circuit, scored.

The sets are scored by observation and by counterfactual patching.

Observation asks whether the units do the task alone; patching gives four recovered fractions, each
of which should be 1. The scores are those of Rios-Sialer's identifiability toy study
(2026): R = (patched - corrupted) / (clean - corrupted) of the output, or of the difference between
outputs where the largest wins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xor_mi.errors import XorMiError, require_at_most, require_memory
from xor_mi.finding import Finding, number_text
from xor_mi.graph import Subcircuit, Unit, layers_of, name_of_set
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.search._convention import AnyConvention, Convention
from xor_mi.search._interchange import (
    UnitSets,
    bytes_of_interchange,
    each_row,
    interchange_scores,
    interchanged,
    units_in,
)
from xor_mi.search._problem import Numbers, Problem
from xor_mi.truth import row_name, truth_rows

MAX_MASKS = 2**14
"""More sets of units than this are not scored."""
SCORES = ("sufficiency", "completeness", "necessity", "independence")
"""Clean values put into the set, into the rest; corrupted values put into the set, into the
rest.
"""


@dataclass(frozen=True, kw_only=True)
class NodeMask:
    """One set of hidden units and its scores; fractions are means over all scored pairs.

    Attributes:
        whole: whether every unit is in the set.
        perfect: whether the set alone decides every row right.
        n_right_rows: how many rows the set alone decides right.
        sufficiency: the fraction that clean values in the set restore.
        completeness: 1 - the fraction that clean values in the rest restore.
        necessity: 1 - the fraction that is left with corrupted values in the set.
        independence: the fraction that is left with corrupted values in the rest.
        worst: the smallest of the four over all pairs.
        worst_pair: the (clean, corrupted) rows of the pair with the smallest one.
    """

    units: tuple[Unit, ...]
    whole: bool
    perfect: bool
    n_right_rows: int
    sufficiency: float
    completeness: float
    necessity: float
    independence: float
    worst: float
    worst_pair: tuple[str, str]

    def __str__(self) -> str:
        does = "decides" if self.perfect else "does not decide"
        clean, corrupted = self.worst_pair
        return (
            f"{name_of_set(self.units)} {does} every row right alone; the worst fraction is "
            f"{number_text(self.worst)}, with clean {clean} and corrupted {corrupted}"
        )


@dataclass(frozen=True, kw_only=True)
class NodeMasks(Finding):
    """Every set of hidden units with at least one per layer, scored; small ones first."""

    convention: Convention
    output: int
    masks: tuple[NodeMask, ...]

    def __len__(self) -> int:
        return len(self.masks)

    def __iter__(self) -> Iterator[NodeMask]:
        return iter(self.masks)

    def frame(self) -> pd.DataFrame:
        """One row per set.

        Columns: units, n_units, whole, perfect, n_right_rows, the four scores, worst, worst_pair.
        """
        return pd.DataFrame(
            {
                "units": [name_of_set(mask.units) for mask in self],
                "n_units": [len(mask.units) for mask in self],
                "whole": [mask.whole for mask in self],
                "perfect": [mask.perfect for mask in self],
                "n_right_rows": [mask.n_right_rows for mask in self],
                "sufficiency": [mask.sufficiency for mask in self],
                "completeness": [mask.completeness for mask in self],
                "necessity": [mask.necessity for mask in self],
                "independence": [mask.independence for mask in self],
                "worst": [mask.worst for mask in self],
                "worst_pair": [
                    f"clean {mask.worst_pair[0]}, corrupted {mask.worst_pair[1]}" for mask in self
                ],
            }
        )

    def __str__(self) -> str:
        n_perfect = sum(mask.perfect for mask in self)
        n_whole = sum(mask.worst >= 1 for mask in self)
        return (
            f"{len(self):,} sets of units: {n_perfect:,} "
            f"{'decides' if n_perfect == 1 else 'decide'} every row right alone, {n_whole:,} fully "
            f"{'restores and keeps' if n_whole == 1 else 'restore and keep'} the output under "
            "patching"
        )


def node_masks(
    model: HookedMLP,
    target: Target | None = None,
    *,
    convention: AnyConvention = None,
    output: int = 0,
    progress: bool = True,
) -> NodeMasks:
    """Score every choice of at least one unit in each hidden layer.

    All edges among kept units are kept.

    Observation: does the set decide every row right alone? Patching: four recovered fractions over
    all ordered pairs of inputs that the network decides differently; see `NodeMask`.

    >>> from xor_mi.handmade import textbook_xor
    >>> table = node_masks(textbook_xor()).frame()
    >>> table[["units", "perfect", "sufficiency", "independence"]].values.tolist()
    [['h0.0', False, 0.0, 0.0], ['h0.1', False, 1.0, 1.0], ['h0.0 + h0.1', True, 1.0, 1.0]]

    Raises:
        XorMiError: no target, a network that decides all inputs alike, more than `MAX_MASKS`
            sets, or more activations than there is memory for.
    """
    problem = Problem.of(model, target, convention)
    output = model.require_output(output)
    widths = model.layer_sizes[1:-1]
    n_sets = prod(2**width - 1 for width in widths)
    require_at_most(n_sets, MAX_MASKS, what="sets of units", do="take a narrower network")
    plain, clean, corrupted = _pairs_decided_differently(problem, output)
    # the activations, and the four scores twice
    scores_held = 8 * 8 * n_sets * len(clean)
    require_memory(
        bytes_of_interchange(n_sets, len(clean), widths) + scores_held,
        what=f"{n_sets:,} sets of units on {len(clean):,} pairs of inputs",
        do="take a narrower network, or one with fewer inputs",
    )
    sets = _sets_with_every_layer(widths)

    def restored(units: UnitSets, base: NDArray[np.int64], source: NDArray[np.int64]) -> Numbers:
        """The recovered fraction with these units on the base as on the source, [set, pair]."""
        scores = interchange_scores(problem, problem.whole, units, (base, source))
        return (scores[..., output] - plain[corrupted]) / (plain[clean] - plain[corrupted])

    # In the order of SCORES; the middle two fractions should be 0, hence 1 minus them.
    scores = np.stack(
        [
            restored(sets, corrupted, clean),
            1 - restored(~sets, corrupted, clean),
            1 - restored(sets, clean, corrupted),
            restored(~sets, clean, corrupted),
        ]
    )  # [score, set, pair]
    names = [row_name(row) for row in truth_rows(model.cfg.d_in)]
    masks: list[NodeMask] = []
    scored = progress_bar(
        zip(sets.tolist(), scores.transpose(1, 0, 2), strict=True),
        doing="node masks",
        unit="set",
        total=len(sets),
        progress=progress,
    )
    for in_set, of_set in scored:  # [hidden unit] and [score, pair]
        units = units_in(in_set, model.units)
        right = _right_rows(problem, _induced(model.layer_sizes, units))
        worst_pair = int(of_set.min(0).argmin())
        # adding 0 turns -0.0 into 0.0
        sufficiency, completeness, necessity, independence = (of_set.mean(1) + 0.0).tolist()
        masks.append(
            NodeMask(
                units=units,
                whole=len(units) == len(model.units),
                perfect=bool(right.all()),
                n_right_rows=int(right.sum()),
                sufficiency=sufficiency,
                completeness=completeness,
                necessity=necessity,
                independence=independence,
                worst=float(of_set.min() + 0.0),
                worst_pair=(names[clean[worst_pair]], names[corrupted[worst_pair]]),
            )
        )
    masks.sort(key=lambda mask: (len(mask.units), name_of_set(mask.units)))
    return NodeMasks(convention=problem.convention, output=output, masks=tuple(masks))


def _sets_with_every_layer(widths: Sequence[int]) -> UnitSets:
    """Every choice of at least one unit per hidden layer, [set, hidden unit]."""
    # all sets of a layer's units except the empty one, which comes first
    per_layer = [list(product((False, True), repeat=width))[1:] for width in widths]
    choices = product(*per_layer)
    return np.array([sum(one_per_layer, ()) for one_per_layer in choices], dtype=bool)


def _pairs_decided_differently(
    problem: Problem, output: int
) -> tuple[Numbers, NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of inputs that patching is scored on.

    Returns the network's own score on every row, and the (clean, corrupted) rows of every ordered
    pair that it decides differently.
    """
    rows = each_row(len(problem.clean))
    nobody = np.zeros((1, len(problem.model.units)), dtype=bool)  # one set, without any unit
    scores = interchange_scores(problem, problem.whole, nobody, rows)
    decided = interchanged(problem, problem.whole, nobody, rows)[0, :, output]
    is_decided = decided >= 0  # -1 is undecided
    differs = decided[:, None] != decided
    clean, corrupted = np.nonzero(differs & is_decided[:, None] & is_decided)
    if not len(clean):
        raise XorMiError("the network decides all inputs alike, so there is nothing to restore")
    return scores[0, :, output], clean, corrupted


def _induced(layer_sizes: tuple[int, ...], kept: Sequence[Unit]) -> Subcircuit:
    """The subcircuit of these hidden units, with every edge among them, inputs and outputs."""
    inputs, *hidden, outputs = layers_of(layer_sizes)
    sources: list[tuple[tuple[int, ...], ...]] = []
    before = tuple(range(len(inputs)))
    for layer in hidden:
        sources.append(tuple(before if unit in kept else () for unit in layer))
        before = tuple(unit.index for unit in layer if unit in kept)
    sources.append((before,) * len(outputs))
    return Subcircuit(layer_sizes, tuple(sources))


def _right_rows(problem: Problem, subcircuit: Subcircuit) -> NDArray[np.bool_]:
    """Which rows a subcircuit decides right, at all outputs, [row]."""
    values = problem.rows
    for number, (weight, bias) in enumerate(problem.kept(subcircuit)):
        values = problem.activate(values @ weight.T + bias, number)
    return problem.right_rows(values)
