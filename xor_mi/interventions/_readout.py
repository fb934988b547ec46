"""outputs -> the metrics asked for, and what the network decides, of one run or of many."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter, signature
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError, shown
from xor_mi.kinds import HookedModel, LabelledMetric, Metric, Metrics
from xor_mi.metrics import logit, logit_difference, probability, score
from xor_mi.model import UNDECIDED, DecisionRule, HookedMLP, all_finite, decide
from xor_mi.truth import row_number


@dataclass(frozen=True)
class Readers:
    """Functions of the outputs [example, ...], read together; each gives one number per example.

    Attributes:
        metrics: the names of the metrics, which are the first of the functions.
        functions: (name, function). The last one reads the score of the decision that is asked
            for, where the model is a HookedMLP: the default metric itself, or one more after the
            caller's own.
        rowwise: whether they look at each example alone, so that many runs are read in one call.
    """

    metrics: tuple[str, ...]
    functions: tuple[tuple[str, Metric], ...]
    rowwise: bool = False

    def read(self, outputs: Tensor) -> Float[Tensor, "function example"]:
        """Every function of the outputs of one run.

        Raises:
            XorMiError: a metric that is not one finite number per example.
        """
        return torch.stack([_values(name, function, outputs) for name, function in self.functions])

    def read_runs(self, outputs: Tensor) -> Float[Tensor, "function run example"]:
        """Every function of the outputs [run, example, ...].

        Each function sees the examples of one run, in order.
        """
        # The caller's own metric may compare the examples of a run, so it sees one run at a time.
        if self.rowwise:
            return self.read(outputs.flatten(0, 1)).reshape(-1, *outputs.shape[:2])
        return torch.stack([self.read(run) for run in outputs], dim=1)


@dataclass(frozen=True, eq=False)
class Decided:
    """The score that one decision of a HookedMLP is made by, before and after every intervention.

    Whatever the metrics, decisions are the network's own. By a threshold the score is the output
    itself; by argmax over two outputs it is y1 - y0, over more the output minus the largest other.

    Attributes:
        rule: how the network decides; the decision is 1 where the score is above `rule.cut`.
        before: the score of the untouched runs, [run, input]; of a patch sweep the runs are the
            clean and the corrupted one, of an ablation sweep there is one.
        after: the score after each intervention, [site, input].
    """

    rule: DecisionRule
    before: Float[Tensor, "run input"] = field(repr=False)
    after: Float[Tensor, "site input"] = field(repr=False)

    @property
    def decisions_before(self) -> Int[Tensor, "run input"]:
        """1, 0, or -1 where undecided."""
        return decide(self.before, cut=self.rule.cut)

    @property
    def decisions_after(self) -> Int[Tensor, "site input"]:
        """1, 0, or -1 where undecided."""
        return decide(self.after, cut=self.rule.cut)


def decisions_of(decided: Decided | None) -> Int[Tensor, "site input"]:
    """The decisions after every intervention.

    Raises:
        XorMiError: a model that decides nothing.
    """
    if decided is None:
        raise XorMiError(
            "this model has no decision threshold; read .values, .effect or .frame() instead"
        )
    return decided.decisions_after


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the functions of `xor_mi.metrics` are completed with.

    Attributes:
        model: whose rule they read the outputs by, where it has one.
        output: the number of the decision.
        inputs: what the labels are those of: the clean inputs, or those of an ablation.
    """

    model: HookedModel
    output: int
    inputs: Tensor

    def labels(self, output: int) -> Int[Tensor, " input"]:
        """What the network's target says of each input, or what it decides itself without one.

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
        """The bits of each input; None where one of them stands for no bit."""
        assert isinstance(self.model, HookedMLP)
        try:
            return self.model.bits_of(self.inputs).tolist()
        except XorMiError:
            return None


def readers_of(model: HookedModel, metrics: Metrics | None, output: int, inputs: Tensor) -> Readers:
    """The metrics asked for, by default the score of decision `output`, and that decision's score.

    A function of `xor_mi.metrics` that is given as it is reads by the model's rule, of decision
    `output`. One that has an argument `labels` without a default gets them.

    Args:
        inputs: what the labels are those of, [example, ...].

    Raises:
        XorMiError: a decision that a HookedMLP does not make, something that is not a metric, or
            labels that are not known.
    """
    is_mlp = isinstance(model, HookedMLP)
    # On another model nothing is decided, and this is only the default metric.
    decides = ("output", partial(score, output=output))
    if is_mlp:
        output = model.require_output(output)
        decides = (model.rule.score_name, partial(score, output=output, rule=model.rule))
    if metrics is None:
        return Readers(metrics=decides[:1], functions=(decides,), rowwise=True)
    asked = _Asked(model=model, output=output, inputs=inputs)
    named = named_metrics(metrics, asked)
    functions = (*named.items(), decides) if is_mlp else tuple(named.items())
    return Readers(metrics=tuple(named), functions=functions)


def named_metrics(metrics: Metrics, asked: _Asked | None = None) -> dict[str, Metric]:
    """One function, or name -> function, as name -> function.

    Each gets a copy of the outputs, so that none can change what the next one sees.
    """
    if callable(metrics):
        metrics = {_name_of(metrics): metrics}
    if not isinstance(metrics, Mapping) or not metrics or not all(map(callable, metrics.values())):
        raise XorMiError(
            "metrics are name -> function of the outputs, at least one, such as "
            "{'logit': metrics.logit}; or one function"
        )
    return {
        name: partial(_of_a_copy, _completed(function, asked)) for name, function in metrics.items()
    }


def _name_of(metric: Metric | LabelledMetric) -> str:
    function = metric.func if isinstance(metric, partial) else metric
    return getattr(function, "__name__", "metric")


def _completed(metric: Metric | LabelledMetric, asked: _Asked | None) -> Metric:
    """A metric with its labels, and one of `xor_mi.metrics` with all else that is not given."""
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
    if not all_finite(values):
        n_bad = int((~torch.isfinite(values)).sum())
        raise XorMiError(
            f"metric '{name}' is not finite on {n_bad} examples: the network overflows there"
        )
    return values.detach()


def require_one_each(what: str, values: Tensor, outputs: Tensor) -> None:
    """Refuse a metric's values that are not one number per example, [example]."""
    if values.shape != outputs.shape[:1]:
        raise XorMiError(
            f"{what} gives shape {list(values.shape)} for {len(outputs)} examples; "
            "it must give one number each"
        )
