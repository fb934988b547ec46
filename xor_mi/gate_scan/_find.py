"""a model, its inputs, their features and what it decides -> the units that act as a gate."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from numbers import Real
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from xor_mi.errors import SEEDS_BELOW, XorMiError, require_at_most, shown, whole_number
from xor_mi.finding import Listed
from xor_mi.gate_scan._acting import (
    Runs,
    Task,
    dealt_bits,
    interchanged,
    majority,
    n_unlike_most,
    runs_of,
)
from xor_mi.gate_scan._asked import Samples, read_samples
from xor_mi.gate_scan._chance import Dealt
from xor_mi.gate_scan._cuts import UnitGate
from xor_mi.gate_scan._finding import LARGEST_P, require_p
from xor_mi.gate_scan._found import (
    ACTS,
    NOT_USED,
    PARTLY,
    TOO_FEW,
    FoundGate,
    FoundGates,
    ModelDecisions,
    set_name,
)
from xor_mi.gate_scan._gates import shortest, table_of
from xor_mi.gate_scan._scan import scan_samples
from xor_mi.gate_scan._sets import Plan, minimal_sets, plan_of, subsets_of, to_mean
from xor_mi.graph import Site
from xor_mi.interventions._brought import brought_readers
from xor_mi.interventions._forward import cache_all
from xor_mi.interventions._readout import Readers
from xor_mi.interventions._run import Replacement, intervene
from xor_mi.interventions._sites import (
    SiteKind,
    SiteSet,
    edges_where_needed,
    require_ready,
    site_sets,
    sites,
)
from xor_mi.kinds import Decide, Features, HookedModel, Inputs, ModelKwargs, Sites
from xor_mi.model import HookedMLP
from xor_mi.model._places import each_warning_once

__all__ = ["find_gates"]

MOST_RUNS = 10_000_000
"""More interchanges (candidates times pairs of inputs) than this are refused."""


@torch.no_grad()
def find_gates(
    model: HookedModel,
    inputs: Inputs | None = None,
    features: Features | None = None,
    hooks: Sites | None = None,
    *,
    decide: Decide | None = None,
    output: int = 0,
    model_kwargs: ModelKwargs | None = None,
    max_p: float = LARGEST_P,
    min_accuracy: float = 1.0,
    n_pairs: int | None = None,
    n_permutations: int = 200,
    seed: int = 0,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> FoundGates:
    """Which units of a model act as which gate of the features, causally?

    First `scan_gates` says which units separate a gate. Then each of these units is tried: every
    input is run with the unit's value from every other input. The unit acts as the gate if the
    decision depends on the other input through the gate alone: there is one decision for each
    combination of features and each bit of the gate, and with the input's own bit it is the model's
    own decision. Units of one hook and position with the same gate, or its complement, are also
    exchanged together, and such a group has its own line: copies compensate for each other, so each
    of them may seem unused.

    The result does not say what happens on other inputs: there a unit may act differently. For a
    HookedMLP, `identify_circuit` also says how the gates make up the whole network.

    Chance: in 30 untrained models, with meaningless features, no unit acts as a gate if a p-value
    of 0.01 is possible (8 or 40 inputs). With only four inputs it is not possible, and 16 % of the
    units of a 2-16-1 network act as a gate, and 5 % of a transformer's neurons: `python
    benchmarks/find_gates.py`.

    Args:
        model: a HookedMLP, any HookedRootModule after setup(), or a TransformerBridge; in eval
            mode.
        inputs: what the model is run on, a tensor [input, ...]. Equal inputs count as one. By
            default all rows of a HookedMLP.
        features: name -> one bit per input, as `scan_gates` takes them. By default the bits of a
            HookedMLP's inputs.
        hooks: where to look: a hook name, a site, or several of them; units are named by the labels
            of their sites. By default the hidden units of a HookedMLP.
        decide: outputs -> 1, 0, or -1 if undecided, per input. By default a HookedMLP's own rule.
        output: the number of the decision of a HookedMLP with several decisions.
        model_kwargs: keyword inputs of the model's forward; a tensor has one entry per input.
        max_p: cuts with a larger p-value are not candidates. If the inputs do not allow such a
            small p-value, as with the four rows of a network, every perfect cut is a candidate.
        min_accuracy: the share of the runs that must end as the gate says.
        n_pairs: how many ordered pairs of different inputs are run. By default all of them if there
            are at most 2,000, else 2,000 drawn with the seed, as evenly as possible over the
            combinations of features of base and source, so that rare combinations are sources, too.
            If the runs do not really test a candidate, its verdict is "too few pairs".
        n_permutations: how many permutations the scan tries.
        seed: the seed of the scan's permutations, of the drawn pairs, and of the control.
        max_batch_bytes: how much memory one forward may take.
        progress: show bars if the work takes over half a second.

    Raises:
        XorMiError: what `scan_gates` refuses; on a model other than a HookedMLP, missing inputs,
            features, hooks or decide; too many candidates.

    >>> from xor_mi.handmade import textbook_xor
    >>> found = find_gates(textbook_xor())
    >>> found.frame()[["site", "gate", "n_flips", "verdict"]].values.tolist()
    [['h0.0', 'OR', 5, 'acts'], ['h0.0', 'AND', 5, 'partly'], ['h0.1', 'AND', 5, 'acts']]
    """
    require_p(max_p)
    _require_share(min_accuracy)
    seed = whole_number("seed", seed, below=SEEDS_BELOW)
    n_permutations = whole_number("n_permutations", n_permutations, at_least=1)
    if n_pairs is not None:
        n_pairs = whole_number("n_pairs", n_pairs, at_least=1)
    require_ready(model, "finding gates")
    samples = read_samples(model, inputs, features, model_kwargs)
    readers = brought_readers(model, samples.different, output, decide)
    sets = _hooks(model, hooks)
    with each_warning_once(), edges_where_needed(model, sets):
        dealt = Dealt.of(samples.rows, n_permutations, seed)
        scan = scan_samples(model, samples, sets, dealt, False, max_batch_bytes, progress)
        has_p_values = scan.smallest_p <= max_p
        cuts = [
            cut
            for cut in scan.unit_gates
            if cut.p_value is not None and (cut.p_value <= max_p or not has_p_values)
        ]
        runs = runs_of(samples.combination, n_pairs, seed)
        units = list(dict.fromkeys(cut.site for cut in cuts))
        require_at_most(
            len(units) * len(runs.base),
            MOST_RUNS,
            what="interchanges (units that separate a gate x pairs of inputs)",
            do="give a smaller n_pairs or max_p, or fewer hooks",
        )
        trial = _Trial(model, samples, readers, runs, seed, max_batch_bytes, progress)
        judge = _Judge(trial, trial.own_decisions(), min_accuracy, has_p_values, _labels(model))
        of_units = judge.units(units, cuts)
        groups = _groups(cuts, [one for one in of_units if one.verdict == ACTS])
        of_groups = judge.groups(groups)
        plan = plan_of(
            [judge.named(unit) for unit in units],
            [one.sites for one in of_groups],
            len(samples),
            trial.without_mean({unit.hook_name for unit in units}),
        )
        minimal = minimal_sets(plan, trial.breaks(plan, judge.own))
    return FoundGates(
        scan=scan,
        decided=_decided(samples, judge.own),
        found=Listed([*of_units, *of_groups]),
        is_every_pair=runs.is_every,
        n_runs=len(runs.base),
        has_p_values=has_p_values,
        max_p=float(max_p),
        min_accuracy=float(min_accuracy),
        seed=seed,
        necessary_sets=minimal.necessary,
        sufficient_sets=minimal.sufficient,
        sets_note=minimal.note,
    )


# what is asked


def _require_share(min_accuracy: float) -> None:
    is_number = isinstance(min_accuracy, Real) and not isinstance(min_accuracy, bool)
    if not is_number or not 0 <= min_accuracy <= 1:
        raise XorMiError(f"min_accuracy is {shown(min_accuracy)}; give a number from 0 to 1")


def _hooks(model: HookedModel, hooks: Sites | None) -> tuple[SiteSet, ...]:
    """Where to look; by default at all hidden units of a HookedMLP."""
    if hooks is not None:
        return site_sets(model, hooks)
    if isinstance(model, HookedMLP):
        return tuple((unit,) for unit in sites(model, "unit"))
    raise XorMiError(
        "give hooks=, such as the name of a hook; all hidden units are the default on a HookedMLP "
        "only"
    )


def _labels(model: HookedModel) -> dict[Site, Site]:
    """The sites of a HookedMLP with their names in it, such as h0.1."""
    if not isinstance(model, HookedMLP):
        return {}
    kinds: tuple[SiteKind, ...] = ("input", "unit", "logit", "edge")
    named = chain.from_iterable([sites(model, kind) for kind in kinds])
    return {site: site for site in named}


# what is run


@dataclass(frozen=True, eq=False)
class _Trial:
    """The runs on which candidates are tried."""

    model: HookedModel
    samples: Samples
    readers: Readers
    runs: Runs
    seed: int
    max_batch_bytes: int | None
    progress: bool

    def own_decisions(self) -> Int[Tensor, " input"]:
        """What the model decides by itself."""
        outputs, _ = cache_all(
            self.model, self.samples.different, (), max_batch_bytes=self.max_batch_bytes
        )
        return self._by(self.readers.read(outputs)[-1])

    def after_interchange(self, sets: Sequence[SiteSet]) -> Int[Tensor, "set run"]:
        """The decisions on every base, with each set of sites as on the source."""
        device = self.samples.different.device
        value = partial(_from_source, self.runs.source.to(device))
        return self._after(sets, self.runs.base.to(device), value)

    def without_mean(self, hook_names: Collection[str]) -> set[str]:
        """The hooks among these that carry whole numbers."""
        _, cache = cache_all(self.model, self.samples.different[:1], hook_names)
        return {name for name, seen in cache.items() if not seen.is_floating_point()}

    def breaks(self, plan: Plan, own: Int[Tensor, " input"]) -> Bool[Tensor, " subset"]:
        """Whether a decision changes when a set of atoms is set to its mean, set by set."""
        subsets = subsets_of(plan.atoms)
        everyone = torch.arange(len(self.samples), device=self.samples.different.device)
        return (self._after(subsets, everyone, to_mean) != own).any(1)

    def _after(
        self, sets: Sequence[SiteSet], base: Tensor, replacement: Replacement
    ) -> Int[Tensor, "set base"]:
        if not sets:
            return torch.empty(0, len(base), dtype=torch.long)
        _, values = intervene(
            self.model,
            self.samples.different,
            base,
            sets,
            replacement=replacement,
            readers=self.readers,
            max_batch_bytes=self.max_batch_bytes,
            progress=self.progress,
            is_of_runs=True,
        )
        return self._by(values[-1])

    def _by(self, values: Tensor) -> Int[Tensor, "*input"]:
        by = self.readers.decisions_by
        assert by is not None  # readers_of_decisions always has one
        return by(values).cpu()


def _from_source(source: Tensor, name: str, seen: Tensor, numbers: Tensor) -> Tensor:
    """The replacement of the bases' values by those of their sources, as `intervene` takes it."""
    del name
    return seen[source[numbers]]


# what is found


class _Group(NamedTuple):
    """Units of one hook and position with the same gate, up to complement.

    Attributes:
        table: the gate that is 0 on the first combination seen.
    """

    members: tuple[UnitGate, ...]
    table: str


@dataclass(frozen=True, eq=False)
class _Judge:
    """The trial, and what a verdict depends on.

    Attributes:
        own: what the model decides without an intervention.
        labels: the names of sites.
    """

    trial: _Trial
    own: Int[Tensor, " input"]
    min_accuracy: float
    has_p_values: bool
    labels: Mapping[Site, Site]

    def named(self, site: Site) -> Site:
        """The site with the caller's label, else with the model's label, else unchanged."""
        return site if site.label else self.labels.get(site, site)

    def units(self, units: Sequence[Site], cuts: Sequence[UnitGate]) -> list[FoundGate]:
        """Every cut of every candidate."""
        after = self.trial.after_interchange([(unit,) for unit in units])
        decisions_of = dict(zip(units, after, strict=True))
        found: list[FoundGate] = []
        for cut in cuts:
            assert cut.table is not None and cut.margin is not None  # noqa: PT018
            site = self.named(cut.site)
            p_value = cut.p_value if self.has_p_values else None
            found.append(
                self._line(
                    (site,), site.name, cut.index, cut.table, cut.margin, p_value,
                    decisions_of[cut.site],
                )
            )  # fmt: skip
        return found

    def groups(self, groups: Sequence[_Group]) -> list[FoundGate]:
        """Every group of copies."""
        sets = [self._named_members(group) for group in groups]
        found: list[FoundGate] = []
        for group, together, decisions in zip(
            groups, sets, self.trial.after_interchange(sets), strict=True
        ):
            units = tuple(cut.index[-1] for cut in group.members)
            index = (*group.members[0].index[:-1], units)
            margin = min(cut.margin for cut in group.members if cut.margin is not None)
            name = set_name(together)
            found.append(self._line(together, name, index, group.table, margin, None, decisions))
        return found

    def _named_members(self, group: _Group) -> tuple[Site, ...]:
        return tuple([self.named(cut.site) for cut in group.members])

    def _line(
        self,
        together: tuple[Site, ...],
        name: str,
        index: tuple[int | tuple[int, ...], ...],
        table: str,
        margin: float,
        p_value: float | None,
        decisions: Int[Tensor, " run"],
    ) -> FoundGate:
        """The line of a unit or group and a gate, from the decisions after its interchanges."""
        samples, runs = self.trial.samples, self.trial.runs
        bits = torch.tensor([table[int(row, 2)] == "1" for row in samples.rows])
        result = interchanged(
            Task(samples.combination, self.own, runs),
            decisions,
            bits,
            dealt_bits(len(bits), int(bits.sum()), self.trial.seed),
        )
        verdict = PARTLY
        if not result.n_flips:
            verdict = NOT_USED if result.is_tried else TOO_FEW
        elif result.accuracy >= self.min_accuracy:
            verdict = ACTS
        gate, formula = _written(table, samples.features)
        at_0, at_1 = (_written_decisions(samples, at)[2] for at in result.decided_at)
        return FoundGate(
            sites=together,
            name=name,
            index=index,
            gate=gate,
            formula=formula,
            table=table,
            margin=margin,
            p_value=p_value,
            n_runs=len(runs.base),
            n_other_bit=result.n_other_bit,
            n_flips=result.n_flips,
            # all runs may agree although nothing was tested
            interchange_accuracy=math.nan if verdict == TOO_FEW else result.accuracy,
            control_accuracy=math.nan if verdict == TOO_FEW else result.control,
            decided_at_0=at_0,
            decided_at_1=at_1,
            verdict=verdict,
        )


def _written(table: str, features: Sequence[str]) -> tuple[str, str]:
    """The name and the formula of a gate; its table if too many rows are unseen."""
    function = shortest(table)
    if function is None:
        return table, table
    return function.name, function.formula_over(features)


def _groups(cuts: Sequence[UnitGate], acting: Sequence[FoundGate]) -> list[_Group]:
    """Two or more candidates of one hook and position with the same gate up to complement.

    Every unit is in at most one group: by the gate that it acts as, or else by its widest cut.
    """
    acts_as = {one.sites[0]: one.table for one in acting}
    cut_of: dict[Site, UnitGate] = {}
    for cut in cuts:
        site = cut.site
        is_chosen = acts_as[site] == cut.table if site in acts_as else cut.is_widest
        if is_chosen or site not in cut_of:
            cut_of[site] = cut
    members: dict[tuple[str, tuple[int, ...], str], list[UnitGate]] = {}
    for cut in cut_of.values():
        assert cut.table is not None
        if cut.index:
            key = (cut.hook, cut.index[:-1], _zero_first(cut.table))
            members.setdefault(key, []).append(cut)
    return [
        _Group(tuple(several), table)
        for (_, _, table), several in members.items()
        if len(several) > 1
    ]


def _zero_first(table: str) -> str:
    """The table of a gate or its complement, whichever is 0 on the first combination seen."""
    if table.lstrip("-")[0] == "0":
        return table
    return table.translate(str.maketrans("01", "10"))


def _decided(samples: Samples, own: Int[Tensor, " input"]) -> ModelDecisions:
    """The function of the features that the model decides, as far as there is one."""
    most = majority(samples.combination, own)
    table, gate, formula = _written_decisions(samples, most)
    return ModelDecisions(
        gate=gate,
        formula=formula,
        table=table,
        n_unlike=n_unlike_most(samples.combination, own),
    )


def _written_decisions(
    samples: Samples, decisions: Int[Tensor, " combination"]
) -> tuple[str, str, str]:
    """What is decided on each combination: table, gate and formula.

    If a combination that occurs has no decision, all three are the table, because a name would
    complete it.
    """
    decided = zip(samples.rows_seen, decisions.tolist(), strict=True)
    bits = {row: bit for row, bit in decided if bit >= 0}
    table = table_of(bits) if bits else "-" * 2 ** len(samples.features)
    if len(bits) < len(decisions):
        return table, table, table
    return table, *_written(table, samples.features)
