"""outputs [batch, d_out] -> one number per example, or the decisions they stand for.

A decision is `output > threshold`, strictly. An output exactly on the threshold decides nothing: it
is UNDECIDED (-1), never rounded. A network's own rule, a threshold or which output is the largest,
is its `model.rule`; with `rule=` the metrics here read the scores that it decides by.
"""

from math import nan
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from transformer_lens.utilities.statistics import success_rate_ci

from xor_mi.errors import XorMiError
from xor_mi.kinds import Rows
from xor_mi.model import (
    UNDECIDED,
    DecisionRule,
    HookedMLP,
    decide,
    require_hooked_mlp,
    require_output,
)

__all__ = [
    "UNDECIDED",
    "ShareInterval",
    "accuracy",
    "decision",
    "decisions",
    "logit",
    "logit_difference",
    "probability",
    "share_interval",
]


def logit(
    outputs: Float[Tensor, "batch d_out"], *, output: int = 0, rule: DecisionRule | None = None
) -> Float[Tensor, " batch"]:
    """The network's output itself, before any decision.

    It is a logit where `out_act_fn` is the identity.

    Args:
        rule: with a network's rule, the score of its decision `output`: by argmax over two outputs
            their difference, y1 - y0.

    Raises:
        XorMiError: no output of this number.

    >>> logit(torch.tensor([[1.0, 4.0]]), rule=DecisionRule("argmax")).tolist()
    [3.0]
    """
    scores = outputs if rule is None else rule.scores(outputs)
    return scores[:, require_output(output, scores.shape[1])]


def probability(
    outputs: Float[Tensor, "batch d_out"], *, output: int = 0
) -> Float[Tensor, " batch"]:
    """Sigmoid of the logit.

    It saturates on one side and is nearly exponential in the logit on the other: prefer
    `logit_difference` for effects.

    Raises:
        XorMiError: no output of this number.

    >>> probability(torch.tensor([[0.0]])).tolist()
    [0.5]
    """
    return torch.sigmoid(logit(outputs, output=output))


def logit_difference(
    outputs: Float[Tensor, "batch d_out"],
    labels: Shaped[Tensor, " batch"],
    *,
    threshold: float | None = None,
    output: int = 0,
    rule: DecisionRule | None = None,
) -> Float[Tensor, " batch"]:
    """Right answer minus wrong answer; positive means decided right.

    It is output - threshold where the label is 1, threshold - output where it is 0: one logit
    against a fixed threshold is a two-way choice whose other logit is the threshold.

    Args:
        threshold: by default 0.
        rule: a network's rule in place of a threshold; by argmax over two outputs it is y1 - y0
            where the label is 1, and y0 - y1 where it is 0.

    Raises:
        XorMiError: no output of this number, or both a threshold and a rule.

    >>> logit_difference(torch.tensor([[2.0], [2.0]]), torch.tensor([1, 0]), threshold=0.5).tolist()
    [1.5, -1.5]
    """
    # in the outputs' dtype: float32 signs would make float16 outputs float32
    sign = torch.where(labels.bool(), 1.0, -1.0).to(outputs.dtype)
    used = _rule_of(threshold, rule)
    return sign * (logit(outputs, output=output, rule=used) - used.cut)


def decision(outputs: Float[Tensor, "*batch"], *, threshold: float = 0.0) -> Int[Tensor, "*batch"]:
    """1 above the threshold, 0 below it, UNDECIDED (-1) exactly on it; any shape.

    An output that is not a number is undecided too.

    >>> decision(torch.tensor([2.0, -2.0, 0.0])).tolist()
    [1, 0, -1]
    """
    return decide(outputs, cut=threshold)


def accuracy(
    outputs: Float[Tensor, "batch d_out"],
    labels: Shaped[Tensor, "batch decision"],
    *,
    threshold: float | None = None,
    rule: DecisionRule | None = None,
) -> float:
    """Fraction of examples whose every decision is as its label; undecided is not right.

    Args:
        labels: one per output, or one per decision of the rule.
        threshold: by default 0.
        rule: a network's rule in place of a threshold.

    Raises:
        XorMiError: both a threshold and a rule.
    """
    is_right = (_rule_of(threshold, rule).decide(outputs) == labels).all(dim=1)
    return is_right.float().mean().item()


def _rule_of(threshold: float | None, rule: DecisionRule | None) -> DecisionRule:
    if rule is None:
        return DecisionRule("threshold", 0.0 if threshold is None else threshold)
    if threshold is not None:
        raise XorMiError("both threshold and rule are given; a rule has its own threshold")
    return rule


@torch.no_grad()
def decisions(model: HookedMLP, rows: Rows | None = None) -> Int[Tensor, "row decision"]:
    """The model's decisions on each input row (all rows by default), by its own rule."""
    require_hooked_mlp(model, "reading decisions")
    return model.rule.decide(model(model.rows(rows)))


class ShareInterval(NamedTuple):
    """A share of n with its 95 % Clopper-Pearson interval."""

    share: float
    low: float
    high: float


def share_interval(count: int, n: int) -> ShareInterval:
    """How often something happened, `count` times of n, with its 95 % Clopper-Pearson interval.

    By TransformerLens' `success_rate_ci`. Of no trials nothing is known: share NaN, 0 to 1.

    >>> share_interval(5, 10)
    ShareInterval(share=0.5, low=0.1870..., high=0.8129...)
    """
    if n == 0:
        return ShareInterval(share=nan, low=0.0, high=1.0)
    # it takes the single outcomes, whose order does not matter
    interval = success_rate_ci([True] * count + [False] * (n - count))
    return ShareInterval(share=interval.point_estimate, low=interval.ci_low, high=interval.ci_high)
