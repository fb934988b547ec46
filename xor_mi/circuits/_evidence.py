"""model + kept readings -> Evidence: what was claimed, what was done, what came out, what it is
held against.

Every claim is one frozen value, so that reports and regressions only format it. Effects are
counted, never judged by eye: each `rule` says when the claim `holds`. Necessity is claimed of a
*group* of units that carry the same bit, never of one of several copies: losing one copy may shift
an output although another still carries the information."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import torch
from torch import Tensor
from transformer_lens.utilities.statistics import success_rate_ci

from xor_mi.circuits._netlist import JointReading, compose_from, compose_swapped
from xor_mi.errors import unknown
from xor_mi.graph import Unit
from xor_mi.interventions import ablation_sweep
from xor_mi.metrics import decision
from xor_mi.model import HookedMLP
from xor_mi.values import LayerValues, forward_float64

ALL_SUBSETS = 12
"""Up to this many units every subset is ablated; beyond, single units and pairs."""
MAX_JOINT = 65_536
"""Up to this many joint interchanges per layer all are tried; beyond, a seeded sample of this
size.
"""


@dataclass(frozen=True)
class Evidence:
    """One claim and what speaks for it.

    Attributes:
        claim: what is said, such as 'h0.0 acts as OR'.
        intervention: what was done to the network.
        effect: what came out, in `unit`.
        control: the same number where the claim should not hold.
        n: how many runs or rows the effect is taken over.
        rule: when the claim holds, in terms of effect, control and n.
        holds: whether it does.
    """

    claim: str
    intervention: str
    effect: int | float
    unit: str
    control: int | float
    n: int
    rule: str
    holds: bool

    def __str__(self) -> str:
        counted = (
            f"{self.effect} of {self.n}" if isinstance(self.effect, int) else f"{self.effect:.3g}"
        )
        control = self.control if isinstance(self.control, int) else f"{self.control:.3g}"
        return f"{self.claim}: {counted} {self.unit}, control {control} ({'holds' if self.holds else 'does not hold'})"


@dataclass(frozen=True)
class RedundancyGroup:
    """Units of one layer that carry the same bit (their values are affinely related, or every kept
    reading says so).

    Attributes:
        rows_changed_alone: unit -> how many rows are decided otherwise when it alone is
            mean-ablated.
        rows_changed_together: the same for the whole group.
    """

    units: tuple[Unit, ...]
    rows_changed_alone: tuple[int, ...]
    rows_changed_together: int

    @property
    def spare(self) -> bool:
        """No member alone is missed, all together are."""
        return max(self.rows_changed_alone) == 0 < self.rows_changed_together


@dataclass(frozen=True)
class SubsetAblation:
    """What the network decides without each subset of its units.

    Attributes:
        value: "mean" or "zero".
        sets: the subsets ablated.
        rows_changed: for each, how many rows are decided otherwise than before (undecided counts as
            otherwise).
        exhaustive: whether these are all subsets; else single units and pairs.
    """

    value: str
    sets: tuple[tuple[Unit, ...], ...]
    rows_changed: tuple[int, ...]
    exhaustive: bool

    @property
    def breaking(self) -> tuple[tuple[Unit, ...], ...]:
        """Minimal sets whose ablation changes a decision: a measurement. What follows of it is
        `Proof.necessary`.
        """
        return minimal_sets(
            [units for units, changed in zip(self.sets, self.rows_changed, strict=True) if changed]
        )

    @property
    def everything(self) -> tuple[Unit, ...]:
        """All the units there are to ablate."""
        return max(self.sets, key=len)

    @property
    def sufficient(self) -> tuple[tuple[Unit, ...], ...]:
        """Minimal sets that keep every decision when all other units are ablated; known only where
        all subsets were ablated.
        """
        if not self.exhaustive:
            return ()
        everything = self.everything
        kept = [
            tuple(u for u in everything if u not in units)
            for units, n in zip(self.sets, self.rows_changed, strict=True)
            if not n
        ]
        return minimal_sets([*(units for units in kept if units), everything])

    def changed_without(self, units: Sequence[Unit]) -> int | None:
        """Rows decided otherwise without exactly these units; None where that was not run."""
        wanted = tuple(sorted(units))
        return next(
            (n for picked, n in zip(self.sets, self.rows_changed, strict=True) if picked == wanted),
            None,
        )


@dataclass(frozen=True)
class Proof:
    """All that was measured beyond the readings themselves.

    Attributes:
        interchange_matrix: [unit][variable]: on how many of the (base, source) pairs the network,
            with this unit's value taken from the source, decides as the netlist with that
            variable's bit taken from the source. The diagonal is each unit in its own role.
    """

    claims: tuple[Evidence, ...]
    interchange_matrix: tuple[tuple[int, ...], ...]
    ablations: tuple[SubsetAblation, ...]
    redundancy_groups: tuple[RedundancyGroup, ...]

    def ablation(self, value: str) -> SubsetAblation:
        """The subset ablation with this value, "mean" or "zero"."""
        found = {ablation.value: ablation for ablation in self.ablations}
        if value not in found:
            raise unknown("ablation value", value, found, where="values are")
        return found[value]

    def necessary(self, value: str = "mean") -> tuple[tuple[Unit, ...], ...]:
        """Minimal necessary sets: without one of them a decision changes. Of units that carry the
        same bit, all or none are in a set.
        """
        whole = {unit: group.units for group in self.redundancy_groups for unit in group.units}
        sets = self.ablation(value).breaking
        return minimal_sets(
            [
                tuple(sorted({other for unit in units for other in whole.get(unit, (unit,))}))
                for units in sets
            ]
        )

    def sufficient(self, value: str = "mean") -> tuple[tuple[Unit, ...], ...]:
        """Minimal sufficient sets: with all other units ablated every decision stays; empty beyond
        `ALL_SUBSETS` units.
        """
        return self.ablation(value).sufficient


def minimal_sets(sets: Sequence[tuple[Unit, ...]]) -> tuple[tuple[Unit, ...], ...]:
    """Those of the sets that contain no other, smallest first."""
    found: list[tuple[Unit, ...]] = []
    for units in sorted(set(sets), key=lambda s: (len(s), s)):
        if not any(set(smaller) <= set(units) for smaller in found):
            found.append(units)
    return tuple(found)


def gather(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    decided: Tensor,
    kept: Sequence[JointReading],
    network: Tensor,
) -> Proof:
    """Everything measured for the first of the kept readings. network: decisions after every
    interchange, [base, source, unit, output].
    """
    first, units = kept[0], model.units
    bits = torch.tensor([first.readings[unit.layer][unit.index].bits for unit in units])
    predicted = compose_swapped(first.netlist, model.layer_sizes, units, bits).transpose(
        1, 2
    )  # [base, source, variable, output]
    matrix = torch.stack(
        [(network[:, :, [u]] == predicted).all(-1).sum((0, 1)) for u in range(len(units))]
    )
    alike = _alike(layers, kept)
    ablations = tuple(
        _subset_ablation(model, units, decided, value, alike) for value in ("mean", "zero")
    )
    groups = tuple(_group(units_alike, ablations[0]) for units_alike in alike)
    claims = [_substitution(first, layers, decided, model.threshold)]
    claims += _interchange(units, first, matrix)
    claims += [_joint(model, first, layers, layer) for layer in range(model.cfg.n_layers)]
    alive = [unit for unit in units if not first.readings[unit.layer][unit.index].note]
    claims += _necessity(alive, groups, ablations[0], len(decided))
    claims += [_sufficiency(found, len(decided)) for found in ablations if found.exhaustive]
    return Proof(tuple(claims), tuple(map(tuple, matrix.tolist())), ablations, groups)


def _substitution(
    first: JointReading, layers: Sequence[LayerValues], decided: Tensor, threshold: float
) -> Evidence:
    return Evidence(
        claim="two levels per unit are enough",
        intervention="in each hidden layer in turn, every unit replaced by the mean of its values where its bit is 0 and where it is 1",
        effect=first.worst_margin,
        unit="output units between the closest row and the threshold",
        control=((layers[-1].post - threshold) * (2 * decided - 1)).min().item(),
        n=len(decided),
        rule="effect > 0: every row stays on its side; the control is the network as it is",
        holds=first.worst_margin > 0,
    )


def _interchange(units: Sequence[Unit], first: JointReading, matrix: Tensor) -> list[Evidence]:
    found = []
    for k, unit in enumerate(units):
        reading = first.readings[unit.layer][unit.index]
        bits = [first.readings[other.layer][other.index].bits for other in units]
        others = [
            matrix[k, v].item()
            for v, other in enumerate(units)
            if other.layer == unit.layer and bits[v] != reading.bits
        ]
        found.append(
            Evidence(
                claim=f"{unit.name} acts as {reading.gate}"
                + (f" ({reading.note})" if reading.note else ""),
                intervention=f"{unit.name} set to its value on every source, in the run on every base",
                effect=matrix[k, k].item(),
                unit="runs decided as the netlist predicts",
                control=max(others, default=0),
                n=first.n_interchange,
                rule="effect = n > control; the control scores it in the role of another gate of its layer, the best of them",
                holds=matrix[k, k].item() == first.n_interchange > max(others, default=0),
            )
        )
    return found


def _joint(
    model: HookedMLP, first: JointReading, layers: Sequence[LayerValues], layer: int
) -> Evidence:
    """All units of one layer at once, each from a source of its own."""
    values = layers[layer].post
    n_rows, width = values.shape
    exhaustive = n_rows**width <= MAX_JOINT
    if exhaustive:
        sources = torch.tensor(list(product(range(n_rows), repeat=width)))
    else:
        sources = torch.randint(
            n_rows, (MAX_JOINT, width), generator=torch.Generator().manual_seed(0)
        )
    reached = decision(
        forward_float64(model, values[sources, torch.arange(width)], start=layer + 1)[-1].post,
        model.threshold,
    )
    bits = torch.tensor([reading.bits for reading in first.readings[layer]]).T[
        sources, torch.arange(width)
    ]
    other = torch.randperm(len(bits), generator=torch.Generator().manual_seed(0))
    agreed = [
        (compose_from(first.netlist, model.layer_sizes, layer, b) == reached).all(-1).sum().item()
        for b in (bits, bits[other])
    ]
    return Evidence(
        claim=f"the units of layer {layer} act together as their gates",
        intervention="every unit of the layer set to its value on a source of its own"
        + ("" if exhaustive else f", a seeded sample of {MAX_JOINT} choices of sources"),
        effect=agreed[0],
        unit="runs decided as the netlist predicts",
        control=agreed[1],
        n=len(sources),
        rule="effect = n > control; the control holds each run against another run's prediction",
        holds=agreed[0] == len(sources) > agreed[1],
    )


def _subset_ablation(
    model: HookedMLP,
    units: Sequence[Unit],
    decided: Tensor,
    value: str,
    groups: Sequence[tuple[Unit, ...]],
) -> SubsetAblation:
    exhaustive = len(units) <= ALL_SUBSETS
    sizes = range(1, (len(units) if exhaustive else 2) + 1)
    sets = [picked for size in sizes for picked in combinations(units, size)]
    sets += [group for group in groups if len(group) not in sizes]
    outputs = [
        ablation_sweep(model, sets, value=value, output=k).decisions for k in range(model.cfg.d_out)
    ]
    changed = (torch.stack(outputs, dim=-1).cpu() != decided).any(-1).sum(-1)
    return SubsetAblation(value, tuple(sets), tuple(changed.tolist()), exhaustive)


def _group(units: tuple[Unit, ...], mean: SubsetAblation) -> RedundancyGroup:
    return RedundancyGroup(
        units,
        tuple(mean.changed_without([unit]) or 0 for unit in units),
        mean.changed_without(units) or 0,
    )


def _alike(layers: Sequence[LayerValues], kept: Sequence[JointReading]) -> list[tuple[Unit, ...]]:
    """Units that carry the same bit, two or more of them."""
    found = []
    for layer, readings in enumerate(kept[0].readings):
        alive = [k for k, reading in enumerate(readings) if not reading.note]
        leader = {k: k for k in alive}
        for a, b in combinations(alive, 2):
            if leader[b] == b and (
                affine(layers[layer].post[:, a], layers[layer].post[:, b])
                or _always_alike(kept, layer, a, b)
            ):
                leader[b] = leader[a]
        for first in sorted(set(leader.values())):
            units = tuple(Unit(layer, k) for k in alive if leader[k] == first)
            found += [units] if len(units) > 1 else []
    return found


def affine(a: Tensor, b: Tensor) -> bool:
    """One unit's values are a straight-line function of the other's, over all rows."""
    a, b = a - a.mean(), b - b.mean()
    return bool((a * b).sum().abs() >= (1 - 1e-9) * a.norm() * b.norm())


def _always_alike(kept: Sequence[JointReading], layer: int, a: int, b: int) -> bool:
    pairs = [(joint.readings[layer][a].bits, joint.readings[layer][b].bits) for joint in kept]
    return all(first in (second, tuple(1 - bit for bit in second)) for first, second in pairs)


def _necessity(
    units: Sequence[Unit], groups: Sequence[RedundancyGroup], mean: SubsetAblation, n_rows: int
) -> list[Evidence]:
    """One claim per group, and one per unit that is in no group."""
    grouped = {unit: group.units for group in groups for unit in group.units}
    found = []
    for together in dict.fromkeys(grouped.get(unit, (unit,)) for unit in units):
        names = " and ".join(unit.name for unit in together)
        alone = (
            max((mean.changed_without([unit]) or 0 for unit in together), default=0)
            if len(together) > 1
            else 0
        )
        changed = mean.changed_without(together) or 0
        found.append(
            Evidence(
                claim=f"{names} {'are' if len(together) > 1 else 'is'} necessary"
                + (" (as a group)" if len(together) > 1 else ""),
                intervention=f"{names} set to the mean over all rows",
                effect=changed,
                unit="rows decided otherwise",
                control=alone,
                n=n_rows,
                rule="effect > 0; the control is the largest effect of one member alone"
                if len(together) > 1
                else "effect > 0; the control is no ablation",
                holds=changed > 0,
            )
        )
    return found


def _sufficiency(ablation: SubsetAblation, n_rows: int) -> Evidence:
    """The smallest set of units that does it all, with the others ablated."""
    smallest = ablation.sufficient[0]
    names = ", ".join(unit.name for unit in smallest)
    one_less = min(
        (
            ablation.changed_without(
                [u for u in ablation.everything if u not in smallest or u == out]
            )
            or 0
            for out in smallest
        ),
        default=0,
    )
    others = len(ablation.sufficient) - 1
    return Evidence(
        claim=f"{names} {'are' if len(smallest) > 1 else 'is'} sufficient"
        + (f" (and {others} other minimal sets)" if others else ""),
        intervention=f"all other units set to {'the mean over all rows' if ablation.value == 'mean' else 'zero'}",
        effect=n_rows,
        unit="rows decided as before",
        control=n_rows - one_less,
        n=n_rows,
        rule="effect = n > control; the control ablates one more unit, the one that costs least",
        holds=one_less > 0,
    )


def rate_of(what: str, positives: int, n: int) -> dict[str, Any]:
    """One line of the controls: a rate with its 95 % Clopper-Pearson interval (TransformerLens'
    `success_rate_ci`).
    """
    interval = success_rate_ci([True] * positives + [False] * (n - positives)) if n else None
    low, high = (interval.ci_low, interval.ci_high) if interval else (0.0, 1.0)
    return {
        "control": what,
        "n": n,
        "n_positive": positives,
        "rate": positives / n if n else None,
        "ci_low": low,
        "ci_high": high,
    }
