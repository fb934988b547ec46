"""the units of a block -> every cut that separates a gate, and how often chance gives one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xor_mi.finding import number_text
from xor_mi.gate_scan._activations import Block
from xor_mi.gate_scan._chance import Dealt
from xor_mi.gate_scan._gates import gate_said, shortest, table_of
from xor_mi.graph import Site
from xor_mi.kinds import HookedModel
from xor_mi.model import HookedMLP

__all__ = ["SHOWN", "Cuts", "UnitGate", "decided_at"]

SHOWN = ("formula", "margin", "threshold", "n_ones", "n_zeros", "p_value", "note")
"""What a notebook shows of a cut."""

SAMPLES_TRIED_FIRST = 6
"""A permutation is tried on so many inputs per combination first: most units have no cut on these,
and so they have no cut on all inputs.
"""


@dataclass(frozen=True)
class UnitGate:
    """One cut of one unit, and the gate it separates.

    A unit without a cut has None in the fields about the cut, and the reason in its note.

    Attributes:
        hook: the hook point.
        index: which entry of its activation, after the batch axis.
        gate: the gate's name, or its table if too many rows are unseen.
        formula: the gate over the features' names.
        table: its bits, row by row of the truth table; '-' if no sample has the row.
        margin: the gap at the cut, as a share of the unit's range.
        threshold: the middle of that gap.
        n_ones, n_zeros: how many different inputs lie above and below it.
        n_rows_seen: how many combinations of the features occur.
        p_value: how often chance gives a cut at least as wide, for this unit alone.
        is_widest: whether it is the unit's widest cut; among equally wide ones, the lowest.
        is_decision: whether a HookedMLP decides by it: the unit is an output, and its threshold
            lies in the gap.
        note: a remark about the cut, or why there is no cut.
        label: the caller's name of the unit; '' if it is named by its hook and index.
    """

    hook: str
    index: tuple[int, ...]
    gate: str | None
    formula: str | None
    table: str | None
    margin: float | None
    threshold: float | None
    n_ones: int | None
    n_zeros: int | None
    n_rows_seen: int
    p_value: float | None
    is_widest: bool
    is_decision: bool
    note: str
    # not compared, as the label of a site is not
    label: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.gate is None or self.formula is None or self.margin is None:
            return f"{self.site.name}: {self.note}"
        gate = gate_said(self.gate, self.formula)
        note = f"; {self.note}" if self.note else ""
        p_value = "" if self.p_value is None else f", p = {self.p_value:.3g}"
        margin = number_text(self.margin)
        return f"{self.site.name} separates {gate}, margin {margin}{p_value}{note}"

    @property
    def site(self) -> Site:
        """The unit as a site, as `patch_sweep` and `ablation_sweep` take it."""
        return Site(self.hook, self.index, self.label)

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the cut among others."""
        line: dict[str, object] = {"site": self.site.name}
        return line | {name: getattr(self, name) for name in SHOWN}


# The functions that run once per permutation name their tensors' axes in their docstrings only:
# checking shapes would take longer than the cut does.


def _gaps(values: Tensor, groups: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Where each combination of the features begins, and the gaps between them.

    Activations [input, unit] and the numbers of each combination's inputs -> the combinations from
    the lowest beginning to the highest [combination, unit], and where each gap begins and ends
    [gap, unit].
    """
    extremes = [torch.stack(torch.aminmax(values[numbers], dim=0)) for numbers in groups]
    low, high = torch.stack(extremes, dim=1).double()
    ordered, order = low.sort(dim=0, stable=True)
    # A cut lies above the highest input of all combinations that begin below it, and below the
    # lowest input of the next combination.
    reach = high.gather(0, order).cummax(0).values
    return order, reach[:-1], ordered[1:]


def _margins(values: Tensor, groups: Sequence[Tensor], spread: Tensor, noise: Tensor) -> Tensor:
    """The widest gap of each unit divided by its range, [unit]; 0 if the gap is noise."""
    _, begin, end = _gaps(values, groups)
    gap = (end - begin).max(0).values
    return torch.where(gap > noise, gap / spread, 0)


def _margins_by_chance(block: Block, groups: Sequence[Tensor]) -> Tensor:
    """Each unit's margin after the combinations are permuted, [unit].

    A cut of all inputs is also a cut of a few, so only units that have a cut of the few are
    examined in full.
    """
    few = [numbers[:SAMPLES_TRIED_FIRST] for numbers in groups]
    margin = _margins(block.values, few, block.spread, block.noise)
    is_open = margin.nonzero()[:, 0]
    if len(is_open) and max(map(len, groups)) > SAMPLES_TRIED_FIRST:
        values = block.values[:, is_open]
        margin[is_open] = _margins(values, groups, block.spread[is_open], block.noise[is_open])
    return margin


class Cuts:
    """All cuts of a block's units, and how often chance gives one as wide.

    A cut lies in a gap between the combinations, which are ordered by where they begin.
    """

    def __init__(self, block: Block, dealt: Dealt) -> None:
        order, self.begin, self.end = _gaps(block.values, dealt.samples)
        gap = self.end - self.begin
        self._block, self._dealt = block, dealt
        self.is_cut = gap > block.noise
        spread = torch.where(block.is_constant, 1.0, block.spread)
        self.margin = torch.where(self.is_cut, gap / spread, 0.0)
        widest = self.margin.max(0).values
        self.is_as_wide = self.is_cut & (self.margin >= widest - block.tied / spread)
        self.order = order.T.tolist()
        self._least = self.margin - block.tied / spread
        self._n_as_wide = torch.zeros(self.margin.shape, dtype=torch.int64)

    def count(self, groups: Sequence[Tensor]) -> int:
        """Try one permutation of the combinations; returns how many units have a cut then."""
        margin = _margins_by_chance(self._block, groups)
        self._n_as_wide += (margin > 0) & (margin >= self._least)
        return int((margin > 0).sum())

    def lines(
        self, decided: Mapping[tuple[int, ...], float], names: Sequence[str]
    ) -> list[UnitGate]:
        """The line of each cut of each unit."""
        block, rows, sizes = self._block, self._dealt.rows, self._dealt.sizes
        p_values = self._dealt.p_values(self._n_as_wide.numpy()).T.tolist()
        lines: list[UnitGate] = []
        for number, (index, label) in enumerate(zip(block.indices, block.labels, strict=True)):
            cuts = self.is_cut[:, number].nonzero()[:, 0].tolist()
            if not cuts:
                note = _why_none(bool(block.is_constant[number]))
                lines.append(_without_gate(block.hook, index, label, len(rows), note))
            as_wide = self.is_as_wide[:, number].nonzero()[:, 0].tolist()
            for cut in cuts:
                above = set(self.order[number][cut + 1 :])
                table = table_of({row: k in above for k, row in enumerate(rows)})
                function = shortest(table)
                lowest = block.lowest[number].item()
                begin = lowest + self.begin[cut, number].item()
                end = lowest + self.end[cut, number].item()
                n_ones = sum(sizes[k] for k in above)
                is_tied = cut in as_wide and len(as_wide) > 1
                lines.append(
                    UnitGate(
                        hook=block.hook,
                        index=index,
                        gate=table if function is None else function.name,
                        formula=table if function is None else function.formula_over(names),
                        table=table,
                        margin=self.margin[cut, number].item(),
                        threshold=(begin + end) / 2,
                        n_ones=n_ones,
                        n_zeros=sum(sizes) - n_ones,
                        n_rows_seen=len(rows),
                        p_value=p_values[number][cut],
                        is_widest=cut == as_wide[0],
                        is_decision=index in decided and begin < decided[index] < end,
                        note=_note(table, is_tied, has_name=function is not None),
                        label=label,
                    )
                )
        return lines


def decided_at(model: HookedModel, hook: str) -> dict[tuple[int, ...], float]:
    """Index of an output at its hook -> the threshold of its decision."""
    if not isinstance(model, HookedMLP) or model.rule.name != "threshold":
        return {}
    sites = [model.hook_site(unit) for unit in model.decision_units]
    return {tuple(index): model.rule.cut for name, index in sites if name == hook}


def _why_none(is_constant: bool) -> str:
    return "constant" if is_constant else "no cut separates the features"


def _without_gate(
    hook: str, index: tuple[int, ...], label: str, n_rows_seen: int, note: str
) -> UnitGate:
    """The line of a unit that no threshold reads as a gate."""
    return UnitGate(
        hook=hook,
        index=index,
        gate=None,
        formula=None,
        table=None,
        margin=None,
        threshold=None,
        n_ones=None,
        n_zeros=None,
        n_rows_seen=n_rows_seen,
        p_value=None,
        is_widest=False,
        is_decision=False,
        note=note,
        label=label,
    )


def _note(table: str, is_tied: bool, *, has_name: bool) -> str:
    """The remark about a gate."""
    notes = ["another cut is as wide"] if is_tied else []
    n_unseen = table.count("-")
    if n_unseen:
        consequence = "so other gates fit as well" if has_name else "too many to name a gate"
        notes.append(f"{n_unseen} of {len(table)} rows unseen, {consequence}")
    return "; ".join(notes)
