"""outputs of one run or of many -> the metrics asked for, and what the network decides."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter, signature
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError, shown, unknown
from xor_mi.graph import name_of_set
from xor_mi.interventions._sites import SiteSet
from xor_mi.kinds import Decide, HookedModel, LabelledMetric, Metric, Metrics
from xor_mi.metrics import (
    ScoreAbove,
    by_argmax,
    by_threshold,
    by_tokens,
    logit,
    logit_difference,
    probability,
    score,
)
from xor_mi.model import UNDECIDED, HookedMLP, all_finite, decide, warn
from xor_mi.truth import row_number

LAMBDA = "<lambda>"
"""Python's name for a function without a name."""
NAMED = ("score", "logit", "probability", "logit_difference")
"""The functions of `xor_mi.metrics` that give one number per example."""


@dataclass(frozen=True, eq=False)
class Decided:
    """What is decided before and after every intervention, whatever the metrics.

    For a HookedMLP these are the network's own decisions, unless others were asked for; for another
    model the decisions of `decide=`.

    Attributes:
        before: the number that decides on the untouched runs, a score or the decision itself; a
            patch sweep has two runs, clean and corrupted, and an ablation sweep has one.
        after: the same after each intervention.
        decisions_by: these numbers -> 1, 0, or -1 where undecided.
    """

    before: Float[Tensor, "run input"] = field(repr=False)
    after: Float[Tensor, "site input"] = field(repr=False)
    decisions_by: Callable[[Tensor], Tensor] = field(repr=False)

    @property
    def decisions_before(self) -> Int[Tensor, "run input"]:
        """1, 0, or -1 where undecided."""
        return self.decisions_by(self.before)

    @property
    def decisions_after(self) -> Int[Tensor, "site input"]:
        """1, 0, or -1 where undecided."""
        return self.decisions_by(self.after)


@dataclass(frozen=True)
class Readers:
    """Functions of the outputs [example, ...], read together; each gives one number per example.

    Attributes:
        metrics: the names of the metrics, which are the first of the functions.
        functions: (name, function). If something is decided, the last function gives the number
            that decides: for a HookedMLP the score of its decision, which may be the default metric
            itself, or the result of `decide=`.
        rowwise: whether they read each example alone, so that many runs are read in one call.
        decisions_by: the last function's values -> 1, 0 or -1; None if nothing is decided.
    """

    metrics: tuple[str, ...]
    functions: tuple[tuple[str, Metric], ...]
    rowwise: bool = False
    decisions_by: Callable[[Tensor], Tensor] | None = None

    def read(self, outputs: Tensor, names: Sequence[str] = ()) -> Float[Tensor, "function example"]:
        """Every function of the outputs of one untouched run.

        Args:
            names: of the examples, for a message.

        Raises:
            XorMiError: a metric that is not one finite number per example.
        """
        values = self._read(outputs)
        for (name, _), of_function in zip(self.functions, values, strict=True):
            if not all_finite(of_function):
                bad = (~of_function.isfinite()).nonzero().flatten().tolist()
                first = names[bad[0]] if names else f"example {bad[0]}"
                more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
                raise XorMiError(
                    f"metric '{name}' is {of_function[bad[0]].item()} on {first}{more}, before "
                    "anything is changed; give a metric that is finite there, or other inputs"
                )
        return values

    def _read(self, outputs: Tensor) -> Tensor:
        return torch.stack([_values(name, function, outputs) for name, function in self.functions])

    def read_runs(self, outputs: Tensor) -> Float[Tensor, "function run example"]:
        """Every function of the outputs [run, example, ...] of interventions.

        Each function sees the examples of one run, in order. A number that is not finite is kept:
        it is the effect of this intervention, and `warn_of_cells` names it.
        """
        # The caller's own metric may compare the examples of a run, so it sees one run at a time.
        if self.rowwise:
            return self._read(outputs.flatten(0, 1)).reshape(-1, *outputs.shape[:2])
        return torch.stack([self._read(run) for run in outputs], dim=1)

    def decided(
        self,
        before: Float[Tensor, "function run input"],
        after: Float[Tensor, "function site input"],
    ) -> Decided | None:
        """The decisions among what was read; None if nothing is decided."""
        if self.decisions_by is None:
            return None
        return Decided(before[-1], after[-1], self.decisions_by)


def warn_of_cells(
    metrics: Sequence[str],
    values: Float[Tensor, "metric site input"],
    sites: Sequence[SiteSet | str],
    inputs: Sequence[tuple[str, ...]],
) -> None:
    """Name the first intervention after which a metric is not finite, and say how many there are.

    Args:
        sites: what was written in each intervention, or its name.
        inputs: the name of each input, or the names of a pair's.

    Raises:
        XorMiError: a metric that is not finite after any of them.
    """
    if all_finite(values):
        return
    for name, of_metric in zip(metrics, values, strict=True):
        bad = (~of_metric.isfinite()).nonzero()
        if not len(bad):
            continue
        site, example = bad[0].tolist()
        written = sites[site]
        changed = written if isinstance(written, str) else name_of_set(written)
        where = f"after {changed} is changed, on {' -> '.join(inputs[example])}"
        found = f"metric '{name}' is {of_metric[site, example].item()} {where}"
        if len(bad) == of_metric.numel():
            raise XorMiError(
                f"{found}, and is not finite after any intervention; give another metric or value"
            )
        warn(f"{found}; {len(bad)} of {of_metric.numel()} numbers are not finite, the others are")


def decisions_of(decided: Decided | None) -> Int[Tensor, "site input"]:
    """The decisions after every intervention.

    Raises:
        XorMiError: a model that decides nothing.
    """
    if decided is None:
        raise XorMiError(
            "nothing says what this model decides; give decide=, such as metrics.by_argmax(), or "
            "read .values, .effect or .frame() instead"
        )
    return decided.decisions_after


@dataclass(frozen=True, eq=False)
class _Asked:
    """The arguments that complete functions of `xor_mi.metrics`.

    Attributes:
        model: the model whose rule they use, if it has one.
        output: the number of the decision.
        inputs: the inputs that the labels belong to: the clean inputs, or those of an ablation.
    """

    model: HookedModel
    output: int
    inputs: Tensor

    def labels(self, output: int) -> Int[Tensor, " input"]:
        """What the network's target says of each input, or without a target what the network
        decides.

        Args:
            output: the number of the decision.

        Raises:
            XorMiError: a model that decides nothing, or one that is undecided and has no target.
        """
        if not isinstance(self.model, HookedMLP):
            raise XorMiError(
                "this model has neither a target nor decisions, so this metric has no labels; "
                "give them: functools.partial(metrics.logit_difference, labels=...)"
            )
        target = self.model.cfg.target
        rows = None if target is None else self._rows()
        if target is not None and rows is not None:
            table = target.tables[self.model.require_output(output)]
            return torch.tensor([table[row_number(row)] for row in rows])
        with torch.no_grad():
            decided = self.model.rule.decide(self.model(self.inputs))
        labels = decided[:, self.model.require_output(output)]
        n_open = int((labels == UNDECIDED).sum())
        if n_open:
            raise XorMiError(
                f"the network has no target and is undecided on {n_open} of the inputs, so "
                "this metric has no labels there; give the network a target, or labels: "
                "functools.partial(metrics.logit_difference, labels=...)"
            )
        return labels

    def _rows(self) -> list[list[int]] | None:
        """The bits of each input; None if a number stands for no bit."""
        assert isinstance(self.model, HookedMLP)
        try:
            return self.model.bits_of(self.inputs).tolist()
        except XorMiError:
            return None


def readers_of(
    model: HookedModel,
    metrics: Metrics | None,
    output: int,
    inputs: Tensor,
    decide: Decide | None = None,
) -> Readers:
    """The metrics asked for, and what is decided.

    By default the metric is the score of decision `output`, and the decision the network's own; on
    a model that is not a HookedMLP the metric is the score that `decide` compares, if it has one.

    A function of `xor_mi.metrics` that is given directly uses the model's rule, for decision
    `output`. A function with an argument `labels` without a default gets the labels.

    Args:
        inputs: the inputs that the labels belong to, [example, ...].
        decide: outputs -> 1, 0 or -1 per example, in place of the network's own decision.

    Raises:
        XorMiError: a decision that a HookedMLP does not make, something that is not a metric or not
            a function, an `output` that has no effect, or labels that are not known.
    """
    is_mlp = isinstance(model, HookedMLP)
    # for a HookedMLP `output` is the number of its own decision; elsewhere a column of the outputs
    if is_mlp:
        output = model.require_output(output)
    elif output != 0 and (metrics is not None or decide is not None):
        raise XorMiError(
            f"output={output} has no effect: on a {type(model).__name__} it is the column of "
            "the default metric, and metrics= or decide= is given; leave it out"
        )
    default = _default_metric(model, output, decide)
    asked = _Asked(model=model, output=output, inputs=inputs)
    named = dict([default]) if metrics is None else named_metrics(metrics, asked)
    functions = tuple(named.items())
    decided = _decided_by(model, decide, default)
    if decided is None:
        return Readers(tuple(named), functions, rowwise=metrics is None)
    # the default metric decides, except if the caller gives a decision
    reads_default = decide is None or (isinstance(decide, ScoreAbove) and not is_mlp)
    if metrics is not None or not reads_default:
        functions = (*functions, (decided.name, decided.function))
    is_rowwise = metrics is None and decided.is_rowwise
    return Readers(tuple(named), functions, rowwise=is_rowwise, decisions_by=decided.decisions_by)


class _DecidedBy(NamedTuple):
    """The number that a decision is read off.

    Attributes:
        name, function: a function of the outputs, [example].
        decisions_by: its values -> 1, 0 or -1.
        is_rowwise: whether it reads each example alone.
    """

    name: str
    function: Metric
    decisions_by: Callable[[Tensor], Tensor]
    is_rowwise: bool


def _decided_by(
    model: HookedModel, decide: Decide | None, default: tuple[str, Metric]
) -> _DecidedBy | None:
    """The number that `decide` reads, or a HookedMLP's own decision; None without either.

    default: the metric if none is given, which is the score of a HookedMLP's own decision.
    """
    if decide is not None:
        _require_function(decide)
        if isinstance(decide, ScoreAbove):
            by_score = partial(_decided_above, decide.cut)
            return _DecidedBy(decide.name, decide.score, by_score, is_rowwise=True)
        return _DecidedBy("decide", partial(_decisions_by, decide), _whole, is_rowwise=False)
    if not isinstance(model, HookedMLP):
        return None
    name, function = default
    by_rule = partial(_decided_above, model.rule.cut)
    return _DecidedBy(name, function, by_rule, is_rowwise=True)


def readers_of_decisions(model: HookedModel, output: int, decide: Decide | None) -> Readers:
    """Readers of the decision only: the score of the network's own decision, or of `decide`.

    Raises:
        XorMiError: a decision that a HookedMLP does not make, an `output` that has no effect, or
            another model without `decide`.
    """
    is_own = False
    if decide is None and isinstance(model, HookedMLP):
        output, is_own = model.require_output(output), True
    elif output != 0:
        raise XorMiError(
            f"output={output} has no effect: it is the number of a HookedMLP's own decision, "
            "and decide= says what is decided; leave it out"
        )
    decided = _decided_by(model, decide, _default_metric(model, output, decide))
    if decided is None:
        _require_function(decide)
    assert decided is not None  # without `decide` the model is a HookedMLP
    return Readers(
        metrics=(decided.name,) if is_own else (),
        functions=((decided.name, decided.function),),
        rowwise=decided.is_rowwise,
        decisions_by=decided.decisions_by,
    )


def _default_metric(model: HookedModel, output: int, decide: Decide | None) -> tuple[str, Metric]:
    """The metric if none is given, with its name."""
    if isinstance(model, HookedMLP):
        rule = model.rule
        return rule.score_name, partial(score, output=output, rule=rule)
    if isinstance(decide, ScoreAbove):
        return decide.name, decide.score
    return "output", partial(_column, output, decide is not None)


def _column(output: int, has_decide: bool, outputs: Tensor) -> Tensor:
    """The default metric of a model that is not a HookedMLP."""
    if outputs.ndim > 2 and has_decide:
        raise XorMiError(
            f"the outputs have shape {list(outputs.shape)}, and decide= says what they decide but "
            "gives no number to measure; give metrics={'name': function of the outputs} too, or a "
            "decision with a score, such as metrics.by_tokens(one, zero)"
        )
    if outputs.ndim > 2:
        raise XorMiError(
            f"the outputs have shape {list(outputs.shape)}, and nothing says which of their "
            "numbers matters; give metrics={'name': function of the outputs}, or decide= such as "
            "metrics.by_tokens(one, zero)"
        )
    return score(outputs, output=output)


def _require_function(decide: object) -> None:
    if decide in (by_argmax, by_threshold, by_tokens):
        name = getattr(decide, "__name__", "")
        given = "one, zero" if decide is by_tokens else ""
        raise XorMiError(
            f"decide is metrics.{name} itself, which makes a decision; call it: {name}({given})"
        )
    if not callable(decide):
        raise XorMiError(
            f"decide is {shown(decide)}; give a function of the outputs, such as "
            "metrics.by_argmax()"
        )


def _decided_above(cut: float, scores: Tensor) -> Tensor:
    return decide(scores, cut=cut)


def _whole(decisions: Tensor) -> Tensor:
    return decisions.long()


def _decisions_by(decide: Decide, outputs: Tensor) -> Tensor:
    """What a caller's own function decides, checked to be 1, 0 or -1 per example."""
    given = decide(outputs.clone())
    try:
        decisions = torch.as_tensor(given).detach()
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(
            f"decide gives {shown(given)}; it must give 1, 0 or -1 per example, [batch]"
        ) from None
    if decisions.layout is not torch.strided:
        decisions = decisions.to_dense()
    require_one_each("decide", decisions, outputs)
    # in numbers that have a sign: in unsigned 8 bits, 255 would equal -1
    signed = decisions if decisions.is_floating_point() else decisions.float()
    known = (signed == 1) | (signed == 0) | (signed == UNDECIDED)
    if not bool(known.all()):
        wrong = decisions[~known][0].item()
        # 1.0000001 must not be written as 1
        said = f"{wrong:g}" if float(f"{wrong:g}") == wrong else repr(wrong)
        raise XorMiError(
            f"decide gives {said} for an example; it must give 1, 0, or -1 where nothing is "
            "decided: compare the outputs, or use metrics.by_threshold, by_argmax or by_tokens"
        )
    return decisions.to(outputs.dtype if outputs.is_floating_point() else torch.float32)


def named_metrics(
    metrics: Metrics, asked: _Asked | None = None, *, argument: str = "metrics"
) -> dict[str, Metric]:
    """One function, or name -> function, as name -> function.

    Each gets a copy of the outputs, so that none can change what the next one sees.

    Args:
        argument: what the caller's argument is called, for messages.

    Raises:
        XorMiError: anything but functions, or a function that decides.
    """
    if callable(metrics):
        metrics = {_name_of(metrics): metrics}
    if isinstance(metrics, str):
        raise _named_by_text(metrics, argument)
    if not isinstance(metrics, Mapping) or not metrics or not all(map(callable, metrics.values())):
        raise XorMiError(
            f"{argument} is {shown(metrics)}; metrics are name -> function of the outputs, "
            "at least one, such as {'logit': metrics.logit}; or one function"
        )
    for function in metrics.values():
        if function in (by_argmax, by_threshold, by_tokens) or isinstance(function, ScoreAbove):
            raise XorMiError(
                "a decision is given as a metric; give decide=, such as "
                "decide=metrics.by_threshold(), whose score is the metric if none is given"
            )
    return {
        name: partial(_of_a_copy, _completed(function, asked)) for name, function in metrics.items()
    }


def _named_by_text(name: str, argument: str) -> XorMiError:
    """A metric's name in place of the function."""
    if name not in NAMED:
        return unknown("metric", name, NAMED, where="the metrics of xor_mi.metrics are")
    give = f"give the function itself, {argument}=metrics.{name}"
    return XorMiError(f"{argument} is {shown(name)}; {give}")


def _name_of(metric: Metric | LabelledMetric) -> str:
    """What a function is called in frames and pictures; one without a name is "metric"."""
    function = metric.func if isinstance(metric, partial) else metric
    name = getattr(function, "__name__", "metric")
    return "metric" if name == LAMBDA else name


def _completed(metric: Metric | LabelledMetric, asked: _Asked | None) -> Metric:
    """A metric with its labels; one of `xor_mi.metrics` also with its rule and output."""
    given: dict[str, Any] = metric.keywords if isinstance(metric, partial) else {}
    function = metric.func if isinstance(metric, partial) else metric
    settings: dict[str, object] = {}
    if asked is not None:
        output: int = given.get("output", asked.output)
        if any(function is one for one in (logit, logit_difference, probability, score)):
            settings["output"] = output
            if isinstance(asked.model, HookedMLP) and not {"rule", "threshold"} & given.keys():
                settings["rule"] = asked.model.rule
        if _wants_labels(metric):
            settings["labels"] = asked.labels(output)
    completed: Callable[..., Tensor] = metric
    return partial(completed, **settings)


def _wants_labels(metric: Metric | LabelledMetric) -> bool:
    try:
        parameters = signature(metric).parameters
    except (TypeError, ValueError):  # written in C, without a signature
        return False
    return "labels" in parameters and parameters["labels"].default is Parameter.empty


def _of_a_copy(metric: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
    return metric(outputs.clone())


def _values(name: str, metric: Metric, outputs: Tensor) -> Tensor:
    """One metric, [example], checked to be one finite number per example."""
    given = metric(outputs)
    try:
        values = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(
            f"metric '{name}' gives {shown(given)}; it must give one number per example"
        ) from None
    # A metric may answer yes or no, or count.
    if not values.is_floating_point():
        values = values.to(torch.get_default_dtype())
    require_one_each(f"metric '{name}'", values, outputs)
    return values.detach()


def require_one_each(what: str, values: Tensor, outputs: Tensor) -> None:
    """Refuse a metric's values that are not one number per example, [example], or hold none."""
    if values.shape != outputs.shape[:1]:
        raise XorMiError(
            f"{what} gives shape {list(values.shape)} for {len(outputs)} examples; "
            "it must give one number each"
        )
    if values.is_meta:
        raise XorMiError(f"{what} gives a tensor on 'meta', which holds no numbers; give numbers")
