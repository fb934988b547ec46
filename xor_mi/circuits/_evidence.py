"""model + circuits -> Evidence: what was claimed, done and measured, and its control.

Every claim is one frozen value, so that reports and regressions only format it. Effects are
counted, never judged by eye: each `rule` says when the claim `holds`. Necessity is claimed of a
*group* of units that carry the same bit, never for one of several copies: losing one copy may shift
an output although another still carries the information.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain, combinations

import torch
from torch import Tensor

from xor_mi.circuits import _wording
from xor_mi.circuits._candidates import CandidateCircuit
from xor_mi.circuits._facts import Ablation, Facts
from xor_mi.circuits._interchange import Interchanges
from xor_mi.circuits._netlist import JointReading
from xor_mi.circuits._variables import are_copies
from xor_mi.errors import require_kind, unknown
from xor_mi.finding import count_text
from xor_mi.graph import Unit, name_of_set
from xor_mi.interventions import ablation_sweep
from xor_mi.model import HookedMLP
from xor_mi.values import LayerValues

ALL_SUBSETS = 12
"""Up to this many units every subset is ablated; with more, only single units and pairs."""


@dataclass(frozen=True, kw_only=True)
class Evidence(Facts):
    """One claim and the evidence for it: the facts are fields, the sentences follow from them."""

    @property
    def claim(self) -> str:
        """The claim as a sentence, such as 'h0.0 acts as OR'."""
        return _wording.claim(self)

    @property
    def intervention(self) -> str:
        """What was done to the network."""
        return _wording.intervention(self)

    @property
    def counted(self) -> str:
        """What the effect counts, such as 'rows decided differently'."""
        return _wording.counted(self)

    @property
    def rule(self) -> str:
        """When the claim holds, in terms of effect, control and n."""
        return _wording.rule(self)

    def __str__(self) -> str:
        return _wording.summary(self)

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the claim among others."""
        return {
            "claim": self.claim,
            "effect": self.effect,
            "control": self.control,
            "n": self.n,
            "counted": self.counted,
            "holds": self.holds,
        }

    def to_dict(self) -> dict[str, object]:
        """Facts and sentences as JSON-ready values, units by name."""
        facts: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self)}
        sentences = {
            "claim": self.claim,
            "intervention": self.intervention,
            "counted": self.counted,
            "rule": self.rule,
        }
        return {**facts, "units": [unit.name for unit in self.units], **sentences}


@dataclass(frozen=True)
class RedundancyGroup:
    """Units of one layer that carry the same bit.

    Their values are affinely related, or every kept reading says so.

    Attributes:
        rows_changed_alone: unit -> how many rows are decided differently when it alone is
            mean-ablated.
        rows_changed_together: the same for the whole group.
    """

    units: tuple[Unit, ...]
    rows_changed_alone: tuple[int, ...]
    rows_changed_together: int

    def __str__(self) -> str:
        alone = ", ".join(map(str, self.rows_changed_alone))
        return (
            f"{name_of_set(self.units)} carry the same bit; rows changed without each alone: "
            f"{alone}; without all: {self.rows_changed_together}"
        )

    @property
    def spare(self) -> bool:
        """Whether losing one member changes no row, while losing all of them does."""
        return max(self.rows_changed_alone) == 0 < self.rows_changed_together

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the group among others."""
        return {
            "units": ", ".join(unit.name for unit in self.units),
            "rows changed alone": self.rows_changed_alone,
            "rows changed together": self.rows_changed_together,
            "spare": self.spare,
        }


@dataclass(frozen=True)
class SubsetAblation:
    """What the network decides without each subset of its units.

    Attributes:
        value: "mean" or "zero".
        sets: the subsets ablated.
        rows_changed: for each, how many rows are decided differently than before (undecided counts
            as different).
        exhaustive: whether these are all subsets; else they are single units and pairs.
    """

    value: Ablation
    sets: tuple[tuple[Unit, ...], ...]
    rows_changed: tuple[int, ...]
    exhaustive: bool

    def __str__(self) -> str:
        n_changing = sum(changed > 0 for changed in self.rows_changed)
        which = "every set of units" if self.exhaustive else "single units and pairs"
        return (
            f"{which} set to {'zero' if self.value == 'zero' else 'the mean'}: {n_changing:,} of "
            f"{count_text(len(self.sets), 'set')} {'changes' if n_changing == 1 else 'change'} a "
            "decision"
        )

    @property
    def breaking(self) -> tuple[tuple[Unit, ...], ...]:
        """Minimal sets whose ablation changes a decision: a measurement.

        `Proof.necessary` draws the conclusion.
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
        """Minimal sets that keep every decision when all other units are ablated.

        Empty if not all subsets were ablated, because then they are not known.
        """
        if not self.exhaustive:
            return ()
        # a sufficient set is the complement of a set that could be ablated without a change
        everything = self.everything
        enough = [everything]
        for ablated, changed in zip(self.sets, self.rows_changed, strict=True):
            others = tuple(unit for unit in everything if unit not in ablated)
            if others and not changed:
                enough.append(others)
        return minimal_sets(enough)

    def changed_without(self, units: Sequence[Unit]) -> int | None:
        """Rows decided differently without exactly these units; None if this was not run.

        Raises:
            XorMiError: no units.
        """
        give = "units, such as [Unit(0, 1)]"
        require_kind("units", units, Iterable, give=give)
        units = list(units)
        for unit in units:
            require_kind("one of the units", unit, Unit, give=give)
        wanted = tuple(sorted(units))
        for ablated, changed in zip(self.sets, self.rows_changed, strict=True):
            if ablated == wanted:
                return changed
        return None


@dataclass(frozen=True)
class Proof:
    """All that was measured beyond the readings themselves.

    Attributes:
        interchange_matrix: [unit][variable]: on how many of the (base, source) pairs the network,
            with this unit's value taken from the source, decides as the netlist does with that
            variable's bit taken from the source. The diagonal has each unit in its own role.
    """

    claims: tuple[Evidence, ...]
    interchange_matrix: tuple[tuple[int, ...], ...]
    ablations: tuple[SubsetAblation, ...]
    redundancy_groups: tuple[RedundancyGroup, ...]

    def __str__(self) -> str:
        n_hold = sum(claim.holds for claim in self.claims)
        head = f"{n_hold} of {count_text(len(self.claims), 'claim')} hold"
        return "\n".join([f"{head}{'s' if n_hold == 1 else ''}", *map(str, self.claims)])

    def ablation(self, value: Ablation) -> SubsetAblation:
        """The subset ablation with this value, "mean" or "zero".

        Raises:
            XorMiError: another value.
        """
        by_value = {ablation.value: ablation for ablation in self.ablations}
        # a list, so that a value without a hash gets the message and not a TypeError
        if value not in list(by_value):
            raise unknown("ablation value", value, by_value, where="values are")
        return by_value[value]

    def necessary(self, value: Ablation = "mean") -> tuple[tuple[Unit, ...], ...]:
        """Minimal necessary sets: ablating any one of them changes a decision.

        A set has all units that carry the same bit, or none of them.
        """
        # losing one copy may shift an output although another still carries the bit, so a set that
        # breaks a decision is widened to whole groups
        sets = []
        for units in self.ablation(value).breaking:
            groups = [self._alike(unit) for unit in units]
            sets.append(tuple(sorted(set(chain.from_iterable(groups)))))
        return minimal_sets(sets)

    def _alike(self, unit: Unit) -> tuple[Unit, ...]:
        """The units that carry the same bit as this one, itself included."""
        groups = [group.units for group in self.redundancy_groups if unit in group.units]
        return groups[0] if groups else (unit,)

    def sufficient(self, value: Ablation = "mean") -> tuple[tuple[Unit, ...], ...]:
        """Minimal sufficient sets: with all other units ablated every decision stays.

        Empty for networks with more than `ALL_SUBSETS` units, where not every subset is tried.
        """
        return self.ablation(value).sufficient


def minimal_sets(sets: Sequence[tuple[Unit, ...]]) -> tuple[tuple[Unit, ...], ...]:
    """Those of the sets that contain no other, smallest first."""
    minimal: list[tuple[Unit, ...]] = []
    for units in sorted(set(sets), key=lambda one: (len(one), one)):
        if not any(set(smaller) <= set(units) for smaller in minimal):
            minimal.append(units)
    return tuple(minimal)


def gather(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    decided: Tensor,
    circuits: Sequence[CandidateCircuit],
    interchanges: Interchanges,
) -> Proof:
    """Everything measured for the first of these circuits."""
    units = model.units
    kept = list(chain.from_iterable(one.readings for one in circuits))
    first = kept[0]
    tables = interchanges.tables(interchanges.with_bits(first))
    matrix = _matrix(units, interchanges, predicted=interchanges.predicted_single(tables))
    alike = _alike(layers, kept)
    ablations = tuple(
        _subset_ablation(model, units, decided, value=value, groups=alike)
        for value in ("mean", "zero")
    )
    by_mean, _ = ablations
    groups = tuple(_group(units_alike, by_mean) for units_alike in alike)
    distance = model.rule.distance(layers[-1].post)
    claims = [_substitution(first, units, distance, decided)]
    claims += _interchange(units, circuits[0], matrix)
    for layer, count in enumerate(circuits[0].joint):
        predicted = interchanges.predicted_joint(tables[layer], layer).T
        claims.append(_joint(first, interchanges, layer, predicted=predicted, passes=count.passes))
    claims += _necessity(circuits[0].live, groups, by_mean, len(decided))
    # sufficient sets are known only where every subset was ablated
    for ablation in ablations:
        if ablation.exhaustive:
            claims.append(_sufficiency(ablation, len(decided)))
    return Proof(
        claims=tuple(claims),
        interchange_matrix=tuple(map(tuple, matrix.tolist())),
        ablations=ablations,
        redundancy_groups=groups,
    )


def _matrix(units: Sequence[Unit], interchanges: Interchanges, *, predicted: Tensor) -> Tensor:
    """[unit, variable]: moving each unit in the network, compared with moving each in the netlist.

    Copies move together, so they have the same numbers.

    Args:
        predicted: by the netlist, in the shape of `Interchanges.single`.
    """
    network = interchanges.single
    n_variables = network.shape[2]
    agreed = [(network[:, :, [own]] == predicted).all(-1).sum((0, 1)) for own in range(n_variables)]
    numbers = [interchanges.variable_of[unit] for unit in units]
    return torch.stack(agreed)[numbers][:, numbers]


def _substitution(
    first: JointReading, units: Sequence[Unit], distance: Tensor, decided: Tensor
) -> Evidence:
    """Every row stays on its side; the control is the unchanged network.

    Args:
        distance: from the threshold, in the unchanged network, [row, decision].
    """
    sides = 2 * decided - 1  # +1 where the decision is 1, -1 where it is 0
    return Evidence(
        kind="substitution",
        units=tuple(units),
        effect=first.worst_margin,
        control=(distance * sides).min().item(),
        n=len(decided),
        holds=first.worst_margin > 0,
    )


def _interchange(
    units: Sequence[Unit], circuit: CandidateCircuit, matrix: Tensor
) -> list[Evidence]:
    """Each unit in its own role; the control is the best of the other roles in its layer.

    Roles with the same bit, or with its complement, do not count as other roles. The control is 0
    if no role is left.

    An idle unit that varies has no role: no value of it makes a difference.
    """
    first = circuit.readings[0]
    idle = {one.unit for one in circuit.idle if not one.constant}
    claims = []
    for k, unit in enumerate(units):
        reading = first.of(unit)
        # a unit with the same bits, or their complement, is not a control: the role fits it as well
        others = [
            int(matrix[k, v])
            for v, other in enumerate(units)
            if other.layer == unit.layer and first.tells_apart(unit, other)
        ]
        agreed, control = int(matrix[k, k]), max(others, default=0)
        gate = reading.gate
        if unit in idle:
            gate, control = None, 0
        claims.append(
            Evidence(
                kind="interchange",
                units=(unit,),
                gate=gate,
                constant=reading.constant,
                effect=agreed,
                control=control,
                n=first.n_interchange,
                holds=agreed == first.n_interchange > control,
            )
        )
    return claims


def _joint(
    first: JointReading,
    interchanges: Interchanges,
    layer: int,
    *,
    predicted: Tensor,
    passes: bool,
) -> Evidence:
    """All units of one layer at once, each variable from its own source.

    Args:
        predicted: by the netlist, [run, decision].
        passes: whether all joint interchanges are as predicted, including those that were not run.
    """
    runs = interchanges.joint[layer]
    n_runs = len(predicted)
    # the control: each run compared with the prediction for another run, chosen by a seed
    other_run = torch.randperm(n_runs, generator=torch.Generator().manual_seed(0))
    agreed = int((predicted == runs.decided).all(-1).sum())
    control = int((predicted[other_run] == runs.decided).all(-1).sum())
    return Evidence(
        kind="joint",
        units=tuple(Unit(layer, index) for index in range(len(first.readings[layer]))),
        layer=layer,
        exhaustive=runs.exhaustive,
        effect=agreed,
        control=control,
        n=n_runs,
        holds=passes and agreed == n_runs > control,
    )


def _subset_ablation(
    model: HookedMLP,
    units: Sequence[Unit],
    decided: Tensor,
    *,
    value: Ablation,
    groups: Sequence[tuple[Unit, ...]],
) -> SubsetAblation:
    """What the network decides without each subset; these groups are always among the subsets."""
    exhaustive = len(units) <= ALL_SUBSETS
    sizes = range(1, (len(units) if exhaustive else 2) + 1)
    sets = list(chain.from_iterable(combinations(units, size) for size in sizes))
    sets += [group for group in groups if len(group) not in sizes]
    outputs = [
        ablation_sweep(model, sets, value=value, output=k, progress=False).decisions
        for k in range(model.cfg.n_decisions)
    ]
    without = torch.stack(outputs, dim=-1).cpu()  # [set, row, decision]
    changed = (without != decided).any(-1).sum(-1)
    return SubsetAblation(
        value=value, sets=tuple(sets), rows_changed=tuple(changed.tolist()), exhaustive=exhaustive
    )


def _group(units: tuple[Unit, ...], mean: SubsetAblation) -> RedundancyGroup:
    """Units that carry the same bit, and what it costs to ablate them alone and together."""
    return RedundancyGroup(
        units=units,
        rows_changed_alone=tuple(mean.changed_without([unit]) or 0 for unit in units),
        rows_changed_together=mean.changed_without(units) or 0,
    )


def _alike(layers: Sequence[LayerValues], kept: Sequence[JointReading]) -> list[tuple[Unit, ...]]:
    """Units that carry the same bit, two or more of them."""
    # Each unit joins the group of the first earlier unit that is like it; a constant unit carries
    # no bit, so it joins no group.
    leader: dict[Unit, Unit] = {}
    for layer, readings in enumerate(kept[0].readings):
        values = layers[layer].post
        alive = [k for k, reading in enumerate(readings) if not reading.constant]
        for n, k in enumerate(alive):
            unit = Unit(layer, k)
            leader[unit] = unit
            for earlier in alive[:n]:
                other = Unit(layer, earlier)
                are_one = are_copies(values[:, earlier], values[:, k])
                if are_one or _always_alike(kept, other, unit):
                    leader[unit] = leader[other]
                    break
    groups: dict[Unit, list[Unit]] = {}
    for unit, first in leader.items():
        groups.setdefault(first, []).append(unit)
    return [tuple(units) for units in groups.values() if len(units) > 1]


def _always_alike(kept: Sequence[JointReading], a: Unit, b: Unit) -> bool:
    """Under every kept reading the two have the same bits, or complements."""
    return not any(joint.tells_apart(a, b) for joint in kept)


def _necessity(
    units: Sequence[Unit], groups: Sequence[RedundancyGroup], mean: SubsetAblation, n_rows: int
) -> list[Evidence]:
    """One claim per group, and one per unit that is in no group."""
    sets = {unit: (unit,) for unit in units}  # unit -> the set that it is claimed with
    for group in groups:
        sets |= {unit: group.units for unit in group.units if unit in sets}
    claims = []
    for together in dict.fromkeys(sets.values()):
        # A single unit has no other member to compare it with; its control is to ablate nothing: 0.
        alone: list[int] = []
        if len(together) > 1:
            alone = [mean.changed_without([unit]) or 0 for unit in together]
        changed = mean.changed_without(together) or 0
        claims.append(
            Evidence(
                kind="necessary",
                units=together,
                ablation="mean",
                effect=changed,
                control=max(alone, default=0),
                n=n_rows,
                holds=changed > 0,
            )
        )
    return claims


def _sufficiency(ablation: SubsetAblation, n_rows: int) -> Evidence:
    """The smallest set of units that keeps every decision while all others are ablated."""
    smallest = ablation.sufficient[0]
    # the control: what it costs to ablate one member more
    costs = []
    for member in smallest:
        ablated = [u for u in ablation.everything if u not in smallest or u == member]
        costs.append(ablation.changed_without(ablated) or 0)
    cheapest = min(costs, default=0)
    return Evidence(
        kind="sufficient",
        units=smallest,
        ablation=ablation.value,
        n_other_sets=len(ablation.sufficient) - 1,
        effect=n_rows,
        control=n_rows - cheapest,
        n=n_rows,
        holds=cheapest > 0,
    )
