"""sites set to what they are on other inputs -> does the model follow an algorithm?

Interchange intervention (Geiger et al. 2025, arXiv 2301.04709, definitions 44 and 48): run the base
input with each aligned site set to its value on a source input, and do the same to the high-level
model's variables; the accuracy is the fraction of (base, source) pairs on which both decide alike.
Subspaces that are learned, and their controls, are in `_subspaces.py`.

The package interchanges in five places, each the fastest for its own question. This module, with
hooks, takes any alignment and lets a user's hooks act. `circuits` has two: `identify_circuit`
sweeps every unit over every (source, base) pair with `patch_sweep`, and its evidence replaces whole
layers in float64 arithmetic on the weights (`forward_float64`), where hooks play no part. The hooks
here and that arithmetic share nothing but the definition: they are each other's oracle
(tests/test_circuit_evidence.py). `search` does it in NumPy for thousands of subcircuits, held
against plain TransformerLens hooks by its tests; and `identify_many` in one tensor for thousands of
networks, compared with `identify_circuit`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import NamedTuple

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError, names_listed, require_kind
from xor_mi.finding import Finding
from xor_mi.interventions._accuracy import JOINT, InterchangeAccuracy
from xor_mi.interventions._controls import (
    OTHER_ROLE,
    SHUFFLED,
    UNTRAINED,
    require_hooked_alike,
    shuffled,
    untrained_copy,
)
from xor_mi.interventions._examples import as_examples
from xor_mi.interventions._high_level import HighLevelModel
from xor_mi.interventions._placed import (
    Alignment,
    Placed,
    Subspace,
    Write,
    from_sources,
    name_of_places,
    read_alignment,
    require_apart,
    require_real,
    shapes_at,
    sites_of,
)
from xor_mi.interventions._readout import Readers
from xor_mi.interventions._run import intervene
from xor_mi.interventions._sites import (
    Coordinates,
    coordinates,
    edges_where_needed,
    require_mlp,
    require_model_first,
    require_own_names,
    require_ready,
    site_of,
)
from xor_mi.interventions._task import (
    Runs,
    Task,
    is_nan,
    read_max_runs,
    read_seed,
    read_task,
    runs_of,
    warn_of_nan,
)
from xor_mi.kinds import Decide, Features, HookedModel, Inputs, ModelKwargs, OneSite, Row, SomeSite
from xor_mi.metrics import ScoreAbove, score
from xor_mi.model import HookedMLP
from xor_mi.model._places import each_warning_once
from xor_mi.truth import as_row, row_name

SAME_VALUE = 1e-6
"""An output this close to the predicted 0 or 1 counts as that value.

If all outputs are smaller than 1, it is this fraction of the largest: among outputs of a millionth,
only a zero counts as 0.
"""


@dataclass(frozen=True)
class Interchange(Finding):
    """One interchange: each site set to its value on its own source.

    Attributes:
        base: the row that is run.
        sources: site -> the row it takes its value from.
        outputs: per output of the network, after the interchange.
        decisions: the decisions by these outputs: one per output, or one in all by argmax over two.
        coordinates: what was intervened on and how.
    """

    base: str
    sources: dict[str, str]
    outputs: tuple[float, ...]
    decisions: tuple[int, ...]
    coordinates: Coordinates = field(repr=False)

    def __str__(self) -> str:
        taken = ", ".join(f"{site} from {row}" for site, row in self.sources.items())
        decided = ", ".join(map(str, self.decisions))
        return f"{self.base} with {taken}: decided {decided}"

    def frame(self) -> pd.DataFrame:
        """One line per output: base, sources, output, value, decision.

        By argmax over two outputs the one decision stands in the line of y1.
        """
        sources = ", ".join(f"{site} from {row}" for site, row in self.sources.items())
        decisions: object = self.decisions
        if len(self.decisions) < len(self.outputs):
            without = [None] * (len(self.outputs) - len(self.decisions))
            decisions = pd.array([*without, *self.decisions], dtype="Int64")
        return pd.DataFrame(
            {
                "base": self.base,
                "sources": sources,
                "output": [f"y{k}" for k in range(len(self.outputs))],
                "value": self.outputs,
                "decision": decisions,
            }
        )


@torch.no_grad()
def interchange(model: HookedMLP, sources: Mapping[SomeSite, Row], base: Row) -> Interchange:
    """Run the base input with several sites each set to its value on its own source row.

    >>> from xor_mi.handmade import textbook_xor
    >>> interchange(textbook_xor(), {"h0.0": "11", "h0.1": "00"}, base="01").outputs
    (2.0,)

    Raises:
        XorMiError: no sources, sites that overlap, and all that `patch_sweep` refuses.
    """
    require_kind("sources", sources, Mapping, give="sites and rows, such as {'h0.0': '11'}")
    require_mlp(model, "interchange")
    require_ready(model, "interchange")
    if not sources:
        raise XorMiError(
            "no sources given; name at least one site and the row it takes its value from"
        )
    d_in, d_out = model.cfg.d_in, model.cfg.d_out
    # Not a mapping by site: there, two names of one site would become one entry.
    places = [Placed(site_of(model, place)) for place in sources]
    rows = [as_row(row, d_in) for row in sources.values()]
    base_row = as_row(base, d_in)
    # The plain inputs are the base, then one source per site.
    plain = model.rows([base_row, *rows])
    together = sites_of(places)
    require_own_names([together])
    require_apart(model, places, shapes_at(model, as_examples(plain), together))
    writes = [Write(place, torch.tensor([k])) for k, place in enumerate(places, start=1)]
    names = tuple([f"y{k}" for k in range(d_out)])
    functions = tuple([(name, partial(score, output=k)) for k, name in enumerate(names)])
    with edges_where_needed(model, [together]):
        _, values = intervene(
            model,
            plain,
            slice(0, 1),
            [together],
            replacement=from_sources(writes),
            readers=Readers(metrics=names, functions=functions),
        )
    # [output, site, base], with one set of sites and one base.
    outputs = values[:, 0, 0]
    return Interchange(
        base=row_name(base_row),
        sources={place.site.name: row_name(row) for place, row in zip(places, rows, strict=True)},
        outputs=tuple(outputs.tolist()),
        decisions=tuple(model.rule.decide(outputs).tolist()),
        coordinates=coordinates(
            model,
            [together],
            value="interchange, each site from its own source",
            direction="noising",
        ),
    )


@torch.no_grad()
def interchange_accuracy(
    model: HookedModel,
    high_level: HighLevelModel,
    alignment: Mapping[str, OneSite | Subspace | Sequence[OneSite | Subspace]],
    *,
    inputs: Inputs | None = None,
    features: Features | None = None,
    decide: Decide | None = None,
    model_kwargs: ModelKwargs | None = None,
    joint: bool = True,
    controls: bool = False,
    untrained: HookedModel | None = None,
    max_runs: int | None = None,
    seed: int = 0,
    output: int = 0,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> InterchangeAccuracy:
    """Interchange accuracy over all ordered (base, source) pairs of the inputs.

    Each variable is interchanged alone, and all aligned variables jointly with a source each.

    Args:
        model: a `HookedMLP`, any `HookedRootModule`, or a `TransformerBridge`.
        alignment: variable -> the site, or the sites, that carry it; or the `Subspace` of one.
        inputs: the inputs that base and sources are taken from, a tensor [input, ...]; for a
            HookedMLP all rows by default.
        features: name -> one bit per input. They are the algorithm's inputs in their order, or by
            name if the names are the same; for a HookedMLP the bits of the rows by default.
        decide: outputs [batch, ...] -> 1, 0, or -1 where undecided, such as `metrics.by_argmax()`;
            for a HookedMLP its own rule by default.
        model_kwargs: keyword inputs of the forward, such as masks; tensors are [input, ...].
        joint: whether the joint interchanges are tried as well.
        controls: whether to measure also what the accuracy must exceed: the same variables at other
            entries of their hooks ("shuffled sites": up to ten seeded draws, none of them with an
            entry of the alignment's own; a line of all draws together, whose accuracy is their
            mean, and a line of the best draw), in a copy of the model with fresh weights
            ("untrained network"), and each variable's sites taken for each other variable's
            ("another role"; not for one that carries the same bit on every input, or its
            complement). If a control cannot be run, `why_not` says why.
        untrained: the model for that control, if TransformerLens cannot give a copy fresh weights
            itself: of the same sizes, with the weights that training starts from.
        max_runs: if there are more interchanges than this, a sample of this size is tried; by
            default 1,000,000 for a HookedMLP, and 10,000 for other models.
        seed: of the sample and of the controls.
        output: for a HookedMLP, the number of the decision that is compared.
        max_batch_bytes: as in `patch_sweep`.

    >>> from xor_mi.handmade import textbook_xor
    >>> algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    >>> interchange_accuracy(textbook_xor(), algorithm, {"either": "h0.0", "both": "h0.1"}).n_agreed
    {'either': 16, 'both': 16, '(joint)': 64}

    Raises:
        XorMiError: a variable that the algorithm does not have, places that two variables share, a
            subspace of a hook that holds no real numbers, one input with two combinations of the
            features, missing inputs, features or decision for a model that is not a HookedMLP, an
            untrained model of other sizes, and all that `patch_sweep` refuses.
    """
    order = "interchange_accuracy(model, high_level, alignment)"
    require_model_first(model, (high_level, alignment), order)
    require_kind("alignment", alignment, Mapping, give="variables and sites, {'both': 'h0.1'}")
    task = read_task(
        model,
        high_level,
        operation="interchange accuracy",
        inputs=inputs,
        features=features,
        decide=decide,
        model_kwargs=model_kwargs,
        output=output,
    )
    aligned = read_alignment(model, list(high_level.variables), alignment)
    max_runs, seed = read_max_runs(model, max_runs), read_seed(seed)
    places = list(chain.from_iterable(aligned.values()))
    shapes = shapes_at(model, task.examples, sites_of(places))
    require_apart(model, places, shapes)
    require_hooked_alike(untrained, controls, task.examples, shapes)
    in_subspaces = sites_of([place for place in places if place.basis is not None])
    require_real(model, task.examples, in_subspaces)
    task.warn_of_constants(aligned)
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in aligned}
    if joint and len(aligned) > 1:
        groups[JOINT] = tuple(aligned)
    runs = {
        label: runs_of(len(task), len(group), max_runs=max_runs, seed=seed)
        for label, group in groups.items()
    }
    bench = _Bench(groups, runs, max_batch_bytes, progress)
    why_not: dict[str, str] = {}
    with each_warning_once():
        lines = bench.lines(task, aligned)
        n_differing = task.n_differing(lines[0].tried.plain)
        if controls:
            lines += bench.other_roles(task, lines)
            alone = task.without_another_role(aligned)
            if alone:
                why_not[OTHER_ROLE] = (
                    f"{names_listed(alone)}: every other variable carries the same bit, or its "
                    "complement"
                )
            others = shuffled(aligned, shapes, seed)
            lines += bench.of_draws(task, others.draws)
            try:
                fresh = untrained_copy(model, seed) if untrained is None else untrained
            except XorMiError as error:
                why_not[UNTRAINED] = str(error)
            else:
                lines += bench.lines(replace(task, model=fresh), aligned, control=UNTRAINED)
            if others.why_not:
                why_not[SHUFFLED] = "; ".join(
                    [f"{name}: {why}" for name, why in others.why_not.items()]
                )
    n_runs = {line.name: len(line.predicted) for line in lines}
    # for another role, the runs are those of the variable itself
    own = [line for line in lines if line.control != OTHER_ROLE]
    warn_of_nan({line.name: int(line.tried.is_nan.sum()) for line in own}, n_runs)
    return InterchangeAccuracy(
        n_agreed={line.name: line.n_agreed for line in lines},
        n_runs=n_runs,
        n_possible={line.name: runs[line.label].n_possible * line.n_draws for line in lines},
        n_matched_value={line.name: line.n_matched_value for line in lines}
        if _reads_one_output(model, decide)
        else None,
        sites={line.name: line.sites for line in lines},
        n_inputs=len(task),
        n_differing=n_differing,
        seed=seed,
        controls={line.name: line.control for line in lines if line.control},
        why_not=why_not,
        coordinates=coordinates(
            model,
            [sites_of(together) for together in aligned.values()],
            value="interchange, over all (base, source) pairs"
            if all(len(one.base) == one.n_possible for one in runs.values())
            else "interchange, over (base, source) pairs, some of them a sample",
            direction="noising",
        ),
    )


def _reads_one_output(model: HookedModel, decide: Decide | None) -> bool:
    """Whether the decision is read off one output, whose value can then be the predicted 0 or 1."""
    if decide is None:
        return isinstance(model, HookedMLP) and model.rule.name == "threshold"
    return isinstance(decide, ScoreAbove) and decide.others == ()


class _Tried(NamedTuple):
    """The results of some interchanges.

    Attributes:
        scores: the number that the decision is read off, after each interchange.
        decided: what the model decides after each interchange.
        is_nan: whether an output is NaN after each, or the score if a score decides.
        plain: the outputs of the untouched inputs, [input, ...].
    """

    scores: Float[Tensor, " run"]
    decided: Int[Tensor, " run"]
    is_nan: Bool[Tensor, " run"]
    plain: Tensor


class _Line(NamedTuple):
    """One line of the result.

    Attributes:
        label: what was interchanged, a variable or all of them.
        predicted: what the algorithm decides, per run.
        n_draws: how many draws the runs come from, one draw after the other.
    """

    name: str
    label: str
    control: str
    sites: str
    tried: _Tried
    predicted: Int[Tensor, " run"]
    n_draws: int = 1

    @property
    def n_agreed(self) -> int:
        """Interchanges decided alike; undecided is neither 0 nor 1, and agrees with nothing."""
        return int((self.tried.decided == self.predicted).sum())

    @property
    def n_matched_value(self) -> int:
        """Interchanges whose output is the predicted number."""
        scores = self.tried.scores
        largest = scores[scores.isfinite()].abs().max().item() if scores.isfinite().any() else 0.0
        close = (scores - self.predicted).abs() <= SAME_VALUE * min(1.0, largest)
        return int(close.sum())


def _together(lines: Sequence[_Line]) -> _Line:
    """The runs of several draws as those of one line."""
    tried = [line.tried for line in lines]
    return lines[0]._replace(
        sites=f"{len(lines)} draws",
        tried=_Tried(
            scores=torch.cat([one.scores for one in tried]),
            decided=torch.cat([one.decided for one in tried]),
            is_nan=torch.cat([one.is_nan for one in tried]),
            plain=tried[0].plain,
        ),
        predicted=torch.cat([line.predicted for line in lines]),
        n_draws=len(lines),
    )


@dataclass(frozen=True)
class _Bench:
    """The interchanges that are tried, for any model and any places.

    Attributes:
        groups: label -> the variables that are interchanged together.
        runs: label -> the interchanges.
        max_batch_bytes, progress: as a caller gives them.
    """

    groups: Mapping[str, tuple[str, ...]]
    runs: Mapping[str, Runs]
    max_batch_bytes: int | None
    progress: bool

    def lines(self, task: Task, aligned: Alignment, control: str = "") -> list[_Line]:
        """A line for every group whose variables all have a place."""
        lines: list[_Line] = []
        for label, group in self.groups.items():
            if not set(group) <= set(aligned):
                continue
            runs = self.runs[label]
            of_variable = dict(zip(group, runs.sources, strict=True))
            lines.append(
                _Line(
                    name=f"{label}, {control}" if control else label,
                    label=label,
                    control=control,
                    sites="all" if label == JOINT else name_of_places(aligned[label]),
                    tried=self._tried(task, aligned, runs.base, of_variable),
                    predicted=task.predicted(runs.base, of_variable),
                )
            )
        return lines

    def of_draws(self, task: Task, draws: Sequence[Alignment]) -> list[_Line]:
        """The lines of every group at other places: all draws together, and the best draw alone."""
        of_label: dict[str, list[_Line]] = {}
        for draw in draws:
            for line in self.lines(task, draw, control=SHUFFLED):
                of_label.setdefault(line.label, []).append(line)
        lines: list[_Line] = []
        for label, drawn in of_label.items():
            if len(drawn) == 1:
                lines += drawn
                continue
            lines.append(_together(drawn))
            best = max(drawn, key=lambda line: line.n_agreed)
            lines.append(best._replace(name=f"{label}, best of {len(drawn)} {SHUFFLED}"))
        return lines

    def other_roles(self, task: Task, lines: Sequence[_Line]) -> list[_Line]:
        """The interchanges of each variable, compared with what another variable would have done.

        A variable with the same bits, or their complements, is not another one: exchanging it may
        well have the same effect.
        """
        others: list[_Line] = []
        for line in lines:
            if line.label == JOINT:
                continue
            base, (source,), _ = self.runs[line.label]
            for role in task.high_level.variables:
                if task.tells_apart(line.label, role):
                    predicted = task.predicted(base, {role: source})
                    name = f"{line.label}, taken for {role}"
                    others.append(line._replace(name=name, control=OTHER_ROLE, predicted=predicted))
        return others

    def _tried(
        self, task: Task, aligned: Alignment, base: Tensor, of_variable: Mapping[str, Tensor]
    ) -> _Tried:
        """Run the base inputs with each variable's places taken from its own source inputs."""
        writes = [
            Write(place, source) for name, source in of_variable.items() for place in aligned[name]
        ]
        together = sites_of([write.place for write in writes])
        readers = task.readers
        if not readers.rowwise:
            # a caller's own decision does not show NaN; that decision stays the last function
            readers = replace(readers, functions=(("NaN", is_nan), *readers.functions))
        with edges_where_needed(task.model, [together]):
            plain, values = intervene(
                task.model,
                task.examples,
                base.to(task.examples.device),
                [together],
                replacement=from_sources(writes),
                readers=readers,
                max_batch_bytes=self.max_batch_bytes,
                progress=self.progress,
                is_of_runs=True,
            )
        # [function, site, run]: the last function is what decides, and there is one set of sites.
        scores = values[-1, 0]
        bad = scores.isnan() if readers.rowwise else values[0, 0] > 0
        return _Tried(scores.cpu(), task.decided_by(scores), bad.cpu(), plain)
