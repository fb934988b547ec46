"""outputs -> the metrics asked for, and what the network decides, of one run or of many."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.kinds import HookedModel, Metric, Metrics
from xor_mi.metrics import decision, logit
from xor_mi.model import DecisionRule, HookedMLP, all_finite


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
        return decision(self.before, threshold=self.rule.cut)

    @property
    def decisions_after(self) -> Int[Tensor, "site input"]:
        """1, 0, or -1 where undecided."""
        return decision(self.after, threshold=self.rule.cut)


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


def readers_of(model: HookedModel, metrics: Metrics | None, output: int) -> Readers:
    """The metrics asked for, by default the logit of decision `output`, and that decision's score.

    Raises:
        XorMiError: a decision that a HookedMLP does not make, or something that is not a metric.
    """
    is_mlp = isinstance(model, HookedMLP)
    # On another model nothing is decided, and this is only the default metric.
    decides = ("logit", partial(logit, output=output))
    if is_mlp:
        number = model.require_output(output)
        decides = ("logit", partial(logit, output=number, rule=model.rule))
    if metrics is None:
        return Readers(metrics=("logit",), functions=(decides,), rowwise=True)
    named = named_metrics(metrics)
    functions = (*named.items(), decides) if is_mlp else tuple(named.items())
    return Readers(metrics=tuple(named), functions=functions)


def named_metrics(metrics: Metrics) -> dict[str, Metric]:
    """One function, or name -> function, as name -> function.

    Each gets a copy of the outputs, so that none can change what the next one sees.
    """
    if callable(metrics):
        metrics = {getattr(metrics, "__name__", "metric"): metrics}
    if not isinstance(metrics, Mapping) or not metrics or not all(map(callable, metrics.values())):
        raise XorMiError(
            "metrics are name -> function of the outputs, at least one, such as "
            "{'logit': metrics.logit}; or one function"
        )
    return {name: partial(_of_a_copy, function) for name, function in metrics.items()}


def _of_a_copy(metric: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
    return metric(outputs.clone())


def _values(name: str, metric: Metric, outputs: Tensor) -> Tensor:
    """One metric, [example], checked to be one finite number per example."""
    values = torch.as_tensor(metric(outputs))
    # A metric may answer yes or no, or count.
    if not values.is_floating_point():
        values = values.to(torch.get_default_dtype())
    if values.shape != outputs.shape[:1]:
        raise XorMiError(
            f"metric '{name}' gives shape {list(values.shape)} for {len(outputs)} examples; "
            "it must give one number each"
        )
    if not all_finite(values):
        n_bad = int((~torch.isfinite(values)).sum())
        raise XorMiError(
            f"metric '{name}' is not finite on {n_bad} examples: the network overflows there"
        )
    return values.detach()
