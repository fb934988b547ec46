"""the last hidden layer -> the joint interchange that takes a decision furthest to the wrong side.

After the last hidden layer a score is a sum with one term per variable, and the function of that
sum is increasing. So of all joint interchanges in which the variables have certain levels, the
lowest sum takes every variable from the row on which its own term is lowest. This needs one run per
combination of levels instead of one per combination of rows, and loses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xor_mi.circuits._readings import Variables
from xor_mi.model import HookedMLP
from xor_mi.truth import MONOTONE_ACTIVATIONS
from xor_mi.values import LayerValues


@dataclass(frozen=True)
class WorstRun:
    """The joint interchange with the decision that is furthest on the wrong side.

    Attributes:
        distance: how far that decision is on the right side; negative on the wrong one.
        levels: the level of every variable, then the bit of every input that is read directly.
        rows: the row that each of them is taken from.
    """

    distance: float
    levels: tuple[int, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Extremes:
    """What the variables of the last hidden layer, and inputs read directly, add to the scores.

    Attributes:
        added: per variable, then per input, [row, decision].
        bias: [decision].
    """

    model: HookedMLP
    added: tuple[Tensor, ...]
    bias: Tensor

    @classmethod
    def of(
        cls, model: HookedMLP, layers: Sequence[LayerValues], variables: Variables
    ) -> "Extremes | None":
        """None if the scores are not sums, or the function after them falls somewhere.

        Args:
            layers: all values on all rows.
            variables: those of the last hidden layer.
        """
        out_act_fn, rule = model.cfg.out_act_fn, model.rule
        weight, bias = model.float64_layers()[-1]
        if rule.name == "argmax":
            if model.cfg.d_out > 2 or out_act_fn != "identity":
                return None
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
        falls = out_act_fn == "leaky_relu" and model.cfg.negative_slope < 0
        if out_act_fn not in MONOTONE_ACTIVATIONS or falls:
            return None
        width = model.cfg.d_hidden[-1]
        read = layers[-1].inputs  # [row, source]: the units, then inputs that are read directly
        groups = [list(units) for units in variables]
        groups += [[source] for source in range(width, read.shape[1])]
        added = [read[:, group] @ weight[:, group].T for group in groups]
        return cls(model=model, added=tuple(added), bias=bias)

    @property
    def largest(self) -> float:
        """The largest distance to the threshold in any joint interchange."""
        low = self.bias + sum(added.amin(0) for added in self.added)
        high = self.bias + sum(added.amax(0) for added in self.added)
        return torch.stack([self._distance(low), self._distance(high)]).abs().max().item()

    def worst(self, on_rows: Tensor, combinations: Tensor, predicted: Tensor) -> WorstRun:
        """The worst of all joint interchanges.

        Args:
            on_rows: the levels of every variable, then the bits of every input that is read
                directly, [row, source].
            combinations: every combination of these, [combination, source].
            predicted: what is decided, [combination, decision].
        """
        sources = list(zip(self.added, on_rows.T, strict=True))
        # [source][level, decision]: the row that adds least, and the one that adds most
        least = [_rows_that_add(-added, own) for added, own in sources]
        most = [_rows_that_add(added, own) for added, own in sources]
        low, high = self._total(least, combinations), self._total(most, combinations)
        on_its_side = torch.where(predicted == 1, self._distance(low), -self._distance(high))
        combination, decision = divmod(int(on_its_side.argmin()), on_its_side.shape[1])
        rows_of = least if predicted[combination, decision] == 1 else most
        here = combinations[combination].tolist()
        rows = [int(rows[level, decision]) for rows, level in zip(rows_of, here, strict=True)]
        return WorstRun(
            distance=on_its_side[combination, decision].item(),
            levels=tuple(here),
            rows=tuple(rows),
        )

    def _total(self, rows: Sequence[Tensor], combinations: Tensor) -> Tensor:
        """The sums with every source at these rows, [combination, decision]."""
        total = self.bias.expand(len(combinations), -1)
        for k, (added, of_source) in enumerate(zip(self.added, rows, strict=True)):
            total = total + added.gather(0, of_source)[combinations[:, k]]
        return total

    def _distance(self, total: Tensor) -> Tensor:
        """How far sums put the scores above the threshold, of the same shape."""
        out = self.model.activate(total, self.model.cfg.n_layers)
        return out - self.model.rule.cut


def _rows_that_add(added: Tensor, levels: Tensor) -> Tensor:
    """The row with each level that adds most to each score, [level, decision].

    A constant unit never has one of the bits; there the row is one with the other bit, with the
    same value.

    Args:
        added: [row, decision].
        levels: [row].
    """
    rows = []
    for level in range(int(levels.max()) + 1):
        has_it = levels == level
        if not has_it.any():
            has_it = ~has_it
        rows.append(added.masked_fill(~has_it[:, None], -torch.inf).argmax(0))
    return torch.stack(rows)
