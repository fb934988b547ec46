"""the last hidden layer -> the joint interchange that takes a decision furthest to the wrong side.

Before the outputs nothing bends any more: a score is a sum with one term per variable, and what
comes after only rises. So of all joint interchanges in which the variables have certain bits, the
one that takes the sum furthest down has every variable at the row that does, each by itself. That
is one run per combination of bits in place of one per combination of rows, and nothing is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xor_mi.circuits._readings import Variables
from xor_mi.circuits._tables import combinations_of
from xor_mi.model import HookedMLP
from xor_mi.truth import MONOTONE_ACTIVATIONS
from xor_mi.values import LayerValues


@dataclass(frozen=True)
class WorstRun:
    """The joint interchange with the decision that is furthest on the wrong side.

    Attributes:
        distance: how far that decision is on the right side; negative on the wrong one.
        bits: the bit of every variable, then of every input that is read directly.
        rows: a row on which each of them does that.
    """

    distance: float
    bits: tuple[int, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Extremes:
    """What each variable of the last hidden layer adds to the scores, and each input read directly.

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
        """None where the scores are no sums, or what comes after them falls somewhere.

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

    def worst(self, bits_on_rows: Sequence[Tensor], predicted: Tensor) -> WorstRun:
        """Of all joint interchanges.

        Args:
            bits_on_rows: per variable, then per input that is read directly, [row].
            predicted: what is decided, [combination, decision]; combinations of their bits in the
                order of a truth table.
        """
        bits = combinations_of(len(bits_on_rows))
        sources = list(zip(self.added, bits_on_rows, strict=True))
        # [source][bit, decision]: the row that adds least, and the one that adds most
        least = [_rows_that_add(-added, own) for added, own in sources]
        most = [_rows_that_add(added, own) for added, own in sources]
        low, high = self._total(least, bits), self._total(most, bits)
        on_its_side = torch.where(predicted == 1, self._distance(low), -self._distance(high))
        combination, decision = divmod(int(on_its_side.argmin()), on_its_side.shape[1])
        rows_of = least if predicted[combination, decision] == 1 else most
        here = bits[combination].tolist()
        rows = [int(rows[bit, decision]) for rows, bit in zip(rows_of, here, strict=True)]
        return WorstRun(
            distance=on_its_side[combination, decision].item(), bits=tuple(here), rows=tuple(rows)
        )

    def _total(self, rows: Sequence[Tensor], bits: Tensor) -> Tensor:
        """The sums with every source at these rows, [combination, decision]."""
        total = self.bias.expand(len(bits), -1)
        for k, (added, of_source) in enumerate(zip(self.added, rows, strict=True)):
            total = total + added.gather(0, of_source)[bits[:, k]]
        return total

    def _distance(self, total: Tensor) -> Tensor:
        """From the threshold."""
        out = self.model.activate(total, self.model.cfg.n_layers)
        return out - self.model.rule.cut


def _rows_that_add(added: Tensor, bits: Tensor) -> Tensor:
    """The row with each bit that adds most to each score, [bit, decision].

    Of a bit that a constant unit never has, the row with the other: its value is the same.

    Args:
        added: [row, decision].
        bits: [row].
    """
    rows = []
    for bit in (0, 1):
        has_it = bits == bit
        if not has_it.any():
            has_it = ~has_it
        rows.append(added.masked_fill(~has_it[:, None], -torch.inf).argmax(0))
    return torch.stack(rows)
