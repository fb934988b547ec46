"""the units of a block -> how well each tells each gate, even if no cut is perfect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from xor_mi.gate_scan._activations import Block
from xor_mi.gate_scan._chance import Dealt
from xor_mi.gate_scan._gates import index_text, shortest, table_of
from xor_mi.graph import Site

__all__ = ["Gates", "Scorer", "Scores", "UnitScores", "scored_gates"]

TIED_SHARES = 1e-9
"""Two shares closer than this are equal; they are between 0 and 1 whatever the units' scale."""


EVERY_GATE_UP_TO = 8
"""If there are more combinations than this, only gates of one or two features are scored."""


class Gates(NamedTuple):
    """The gates that are scored; of a gate and its complement, only one.

    Attributes:
        bits: whether a gate is 1 on a combination, [gate, combination].
        sizes: how many inputs each combination has.
    """

    bits: Bool[np.ndarray, "gate combination"]
    sizes: tuple[int, ...]


def scored_gates(rows: Sequence[str], sizes: Sequence[int]) -> Gates:
    """Every gate of the combinations seen, or, if there are many, those of one or two features."""
    if len(rows) <= EVERY_GATE_UP_TO:
        tables = [(0, *bits) for bits in product((0, 1), repeat=len(rows) - 1)]
    else:
        tables = [_zero_first(table) for table in _of_two_features(rows)]
    different = [table for table in dict.fromkeys(tables) if any(table)]
    return Gates(bits=np.array(different, dtype=bool), sizes=tuple(sizes))


def _of_two_features(rows: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """The 16 gates of every pair of features, on all combinations seen."""
    for a, b in combinations(range(len(rows[0])), 2):
        # the place of each combination in a gate's table
        places = [2 * int(row[a]) + int(row[b]) for row in rows]
        for bits in product((0, 1), repeat=4):
            yield tuple(bits[place] for place in places)


def _zero_first(table: tuple[int, ...]) -> tuple[int, ...]:
    """A gate, or its complement: the one that is 0 on the first combination."""
    return tuple(bit ^ table[0] for bit in table)


class UnitScores(NamedTuple):
    """The scores of a block's units, [unit, gate] each; see `GateScan.scores`."""

    sites: list[Site]
    is_complement: np.ndarray
    auc: np.ndarray
    balanced: np.ndarray
    threshold: np.ndarray
    p_auc: np.ndarray
    p_balanced: np.ndarray


class Scorer:
    """A block's units against every gate, and how often chance does as well."""

    def __init__(self, block: Block, dealt: Dealt, gates: Gates) -> None:
        self._block, self._dealt = block, dealt
        ordered, self._order = block.values.double().sort(dim=0, stable=True)
        self._sorted = ordered
        is_next = ordered[1:] - ordered[:-1] > block.same
        edge = torch.ones(1, ordered.shape[1], dtype=torch.bool)
        is_first, self._is_last = torch.cat([edge, is_next]), torch.cat([is_next, edge])
        place = torch.arange(len(ordered))[:, None].expand_as(ordered)
        first = torch.where(is_first, place, 0).cummax(0).values
        last = torch.where(self._is_last, place, len(ordered)).flip(0).cummin(0).values.flip(0)
        # how many values are below, plus half of those that are equal
        self._rank = torch.empty_like(ordered).scatter_(
            0, self._order, (first + last + 1).double() / 2
        )
        bits = torch.from_numpy(gates.bits).double()
        sizes = torch.tensor(gates.sizes, dtype=torch.float64)
        self._bits = bits
        self._n_ones, self._n_zeros = (bits @ sizes)[:, None], ((1 - bits) @ sizes)[:, None]
        # adds a share for each one, and subtracts a share for each zero
        self._shares = bits / self._n_ones - (1 - bits) / self._n_zeros
        self._names = torch.arange(len(sizes)).repeat_interleave(torch.tensor(gates.sizes))
        auc, ahead = self._auc(torch.cat(dealt.samples)), self._ahead(torch.cat(dealt.samples))
        self._auc_found, self._ahead_found = auc, ahead
        lowest, highest = ahead.amin(1), ahead.amax(1)
        is_even = (highest + lowest).abs() <= TIED_SHARES
        self._is_complement = torch.where(is_even, auc < 0.5 - TIED_SHARES, highest > -lowest)
        self._auc_of = torch.where(self._is_complement, 1 - auc, auc)
        self._balanced = 0.5 + torch.where(self._is_complement, highest, -lowest) / 2
        self._n_auc = torch.zeros(auc.shape, dtype=torch.int64)
        self._n_balanced = torch.zeros(auc.shape, dtype=torch.int64)
        self._threshold = self._thresholds(ahead, lowest, highest)

    def _auc(self, order: Tensor) -> Tensor:
        """How often a one is larger than a zero, [gate, unit]."""
        names = torch.empty_like(order)
        names[order] = self._names
        sums = torch.zeros(self._bits.shape[1], self._rank.shape[1], dtype=torch.float64)
        sums.index_add_(0, names, self._rank)
        wins = self._bits @ sums - self._n_ones**2 / 2
        return wins / (self._n_ones * self._n_zeros)

    def _ahead(self, order: Tensor) -> Tensor:
        """The share of the ones up to a cut, minus that of the zeros, [gate, cut, unit].

        0 if equal values make a cut impossible.
        """
        names = torch.empty_like(order)
        names[order] = self._names
        in_order = names[self._order]
        n_below = [(in_order == k).cumsum(0) for k in range(self._bits.shape[1])]
        n_below = torch.stack(n_below).double() * self._is_last
        return torch.tensordot(self._shares, n_below, dims=1)

    def _thresholds(self, ahead: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
        """The middle of the lowest best cut, [gate, unit]; NaN if no cut is better than none."""
        best = torch.where(self._is_complement, highest, -lowest)
        signed = torch.where(self._is_complement[:, None], ahead, -ahead)
        is_best = (signed >= best[:, None] - TIED_SHARES) & (signed > TIED_SHARES)
        place = is_best.int().argmax(1)
        after = (place + 1).clamp(max=len(self._sorted) - 1)
        middle = (self._sorted.gather(0, place) + self._sorted.gather(0, after)) / 2
        return torch.where(is_best.any(1), middle + self._block.lowest, torch.nan)

    def count(self, order: Tensor) -> None:
        """Try one permutation of the combinations."""
        auc, ahead = self._auc(order), self._ahead(order)
        best_auc = torch.maximum(auc, 1 - auc).amax(0)
        best = 0.5 + ahead.abs().amax((0, 1)) / 2
        self._n_auc += best_auc >= self._auc_of - TIED_SHARES
        self._n_balanced += best >= self._balanced - TIED_SHARES

    def scores(self) -> UnitScores:
        """The scores, with p-values from all permutations."""
        return UnitScores(
            sites=[
                Site(self._block.hook, index, label)
                for index, label in zip(self._block.indices, self._block.labels, strict=True)
            ],
            is_complement=self._is_complement.T.numpy(),
            auc=self._auc_of.T.numpy(),
            balanced=self._balanced.T.numpy(),
            threshold=self._threshold.T.numpy(),
            p_auc=self._dealt.p_values(self._n_auc.T.numpy()),
            p_balanced=self._dealt.p_values(self._n_balanced.T.numpy()),
        )


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of all units against all gates."""

    gates: Gates
    blocks: tuple[UnitScores, ...]

    def frame(self, features: Sequence[str], rows: Sequence[str]) -> pd.DataFrame:
        """One line per unit and gate; see `GateScan.scores`."""
        gates = [_written(bits, features, rows) for bits in self.gates.bits]
        complements = [_written(~bits, features, rows) for bits in self.gates.bits]
        # [complement or not, gate, what is written]
        written = np.array([gates, complements], object)
        tables, names, formulas = written.transpose(2, 1, 0)
        n_gates = len(tables)
        sites = list(chain.from_iterable([one.sites for one in self.blocks]))
        indices = [index_text(site.index) for site in sites]
        is_complement = np.concatenate([one.is_complement for one in self.blocks])
        gate, flip = np.arange(n_gates)[None].repeat(len(sites), 0), is_complement.astype(int)
        columns: dict[str, object] = {
            "hook": np.repeat(np.array([site.hook_name for site in sites], object), n_gates),
            "index": np.repeat(np.array(indices, object), n_gates),
            "site": np.repeat(np.array([site.name for site in sites], object), n_gates),
            "gate": names[gate, flip].ravel(),
            "formula": formulas[gate, flip].ravel(),
            "table": tables[gate, flip].ravel(),
        }
        auc, balanced, threshold, p_auc, p_balanced = (
            np.concatenate([getattr(one, name) for one in self.blocks])
            for name in ("auc", "balanced", "threshold", "p_auc", "p_balanced")
        )
        columns["auc"] = auc.ravel()
        columns["balanced_accuracy"] = balanced.ravel()
        columns["threshold"] = threshold.ravel()
        columns["p_auc"] = p_auc.ravel()
        columns["p_balanced"] = p_balanced.ravel()
        lengths = np.vectorize(len, otypes=[int])(formulas)[gate, flip]
        columns["is_best"] = _is_best(balanced, auc, lengths).ravel()
        return pd.DataFrame(columns)


class _Written(NamedTuple):
    """A gate as text; if no function of the features has been named, all three are its table."""

    table: str
    name: str
    formula: str


def _written(bits: np.ndarray, features: Sequence[str], rows: Sequence[str]) -> _Written:
    """The texts of a gate.

    Args:
        bits: its bit on every combination of the features that occurs.
        rows: these combinations.
    """
    table = table_of(dict(zip(rows, bits.tolist(), strict=True)))
    function = shortest(table)
    if function is None:
        return _Written(table, table, table)
    return _Written(table, function.name, function.formula_over(features))


def _is_best(balanced: np.ndarray, auc: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The best gate of each unit, [unit, gate], by balanced accuracy, then AUC, then length."""
    is_left = np.ones(balanced.shape, dtype=bool)
    for scores in (balanced, auc, -lengths.astype(float)):
        of_those_left = np.where(is_left, scores, -np.inf)
        is_left &= of_those_left >= of_those_left.max(1, keepdims=True) - TIED_SHARES
    first = is_left.argmax(1)
    is_best = np.zeros_like(is_left)
    is_best[np.arange(len(first)), first] = True
    return is_best
