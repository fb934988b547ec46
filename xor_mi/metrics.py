"""outputs -> one number per example, or the decisions they stand for.

Outputs are [batch, d_out]; those of a single output may be [batch] as well. Labels are 0 and 1, as
a tensor, an array or a list: one per example, or one per example and decision.

A decision is `output > threshold`, strictly. An output exactly on the threshold decides nothing: it
is UNDECIDED (-1), never rounded. A network's own rule, a threshold or which output is the largest,
is its `model.rule`, which also knows whether the outputs are logits or probabilities. With `rule=`
the metrics here use the number that the rule compares; without it they read the outputs as logits,
and warn (`XorMiWarning`) if all of them lie between 0 and 1, as probabilities do.

A sweep that is given one of these functions itself (`metrics=metrics.logit_difference`) calls it
with the network's rule, the decision that is asked for, and the labels.

Other models than a HookedMLP have no rule. What they decide is a function of their outputs that the
caller names, `decide=`: `by_threshold`, `by_argmax` and `by_tokens` make the usual ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy.special import betaincinv, stdtrit
from torch import Tensor

from xor_mi.errors import XorMiError, require_at_most, require_kind, shown, whole_number
from xor_mi.kinds import Number, Numbers, Rows
from xor_mi.model import (
    UNDECIDED,
    DecisionRule,
    HookedMLP,
    decide,
    require_hooked_mlp,
    require_output,
    warn,
)
from xor_mi.model._numbers import read_numbers

__all__ = [
    "UNDECIDED",
    "MeanInterval",
    "ScoreAbove",
    "ShareInterval",
    "accuracy",
    "by_argmax",
    "by_threshold",
    "by_tokens",
    "decision",
    "decisions",
    "logit",
    "logit_difference",
    "mean_interval",
    "probability",
    "score",
    "share_interval",
]


def score(
    outputs: Float[Tensor, "batch *d_out"], *, output: int = 0, rule: DecisionRule | None = None
) -> Float[Tensor, " batch"]:
    """The number that a decision is made by, one per example: by default the output itself.

    Args:
        rule: with a network's rule, the score of its decision `output`: by argmax over two outputs
            their difference, y1 - y0; over more, the output minus the largest of the others.

    Raises:
        XorMiError: no output of this number, or outputs of another shape.

    >>> score(torch.tensor([[1.0, 4.0]]), rule=DecisionRule("argmax")).tolist()
    [3.0]
    """
    _require_rule(rule)
    scores = _as_outputs(outputs)
    if rule is not None:
        scores = rule.scores(scores)
    return scores[:, require_output(output, scores.shape[1])]


def logit(
    outputs: Float[Tensor, "batch *d_out"], *, output: int = 0, rule: DecisionRule | None = None
) -> Float[Tensor, " batch"]:
    """The logit of a decision, one per example: ln(p / (1 - p)) if the output is a probability p.

    Args:
        rule: a network's rule, which knows what its outputs are. Without it they are read as
            logits. Outputs that are neither logits nor probabilities are returned unchanged.

    Raises:
        XorMiError: no output of this number, outputs of another shape, or probabilities without a
            logit: exactly 0 or 1, or compared with each other by argmax.

    >>> sigmoid = DecisionRule("threshold", 0.5, outputs="probability")
    >>> logit(torch.tensor([[0.5]]), rule=sigmoid).tolist()
    [0.0]
    """
    scores = score(outputs, output=output, rule=rule)
    _warn_of_probabilities(outputs, rule)
    if rule is None:
        return scores
    if rule.outputs != "probability":
        return scores
    _require_one_probability(rule)
    n_certain = int(((scores <= 0) | (scores >= 1)).sum())
    if n_certain:
        verb = "is" if n_certain == 1 else "are"
        raise XorMiError(
            f"{n_certain} of these probabilities {verb} 0 or 1, whose logit is infinite; read "
            "metrics.probability or metrics.score instead"
        )
    return torch.logit(scores)


def probability(
    outputs: Float[Tensor, "batch *d_out"], *, output: int = 0, rule: DecisionRule | None = None
) -> Float[Tensor, " batch"]:
    """The probability of a decision, one per example: a logit's sigmoid, or by argmax the softmax.

    It saturates on one side and is nearly exponential in the logit on the other: prefer
    `logit_difference` for effects.

    Args:
        rule: a network's rule, which knows what its outputs are: probabilities are returned
            unchanged. Without it the outputs are read as logits.

    Raises:
        XorMiError: no output of this number, outputs of another shape, or outputs that are neither
            logits nor probabilities.

    >>> probability(torch.tensor([[0.0]])).tolist()
    [0.5]
    >>> probability(torch.tensor([[0.9]]), rule=DecisionRule(outputs="probability")).tolist()
    [0.89...]
    """
    _require_rule(rule)
    if rule is not None and rule.outputs == "output":
        raise XorMiError(
            "these outputs are neither logits nor probabilities; read metrics.score instead"
        )
    scores = score(outputs, output=output, rule=rule)
    _warn_of_probabilities(outputs, rule)
    if rule is None:
        return torch.sigmoid(scores)
    if rule.outputs == "probability":
        _require_one_probability(rule)
        return scores
    outputs = _as_outputs(outputs)
    if rule.name == "argmax" and outputs.shape[1] > 2:
        return outputs.softmax(dim=1)[:, output]
    # of two outputs the softmax is the sigmoid of their difference
    return torch.sigmoid(scores)


def _require_one_probability(rule: DecisionRule) -> None:
    """Refuse several probabilities of which the largest wins: they need not add up to 1."""
    if rule.name == "argmax":
        raise XorMiError(
            "the largest of several probabilities decides here, and none of them is the "
            "probability of one decision; read metrics.score, which is their difference"
        )


def logit_difference(
    outputs: Float[Tensor, "batch *d_out"],
    labels: Numbers,
    *,
    threshold: Number | None = None,
    output: int = 0,
    rule: DecisionRule | None = None,
) -> Float[Tensor, " batch"]:
    """Logit of the right answer minus the wrong one's, one per example; positive means right.

    It is output - threshold where the label is 1, threshold - output where it is 0: one logit
    against a fixed threshold is a two-way choice whose other logit is the threshold.

    Args:
        labels: 0 or 1, one per example; or one per decision too, of which column `output` is read.
        threshold: by default 0.
        rule: a network's rule in place of a threshold; by argmax over two outputs it is y1 - y0
            where the label is 1, and y0 - y1 where it is 0. For probabilities their logits are
            compared; outputs that are neither are compared unchanged.

    Raises:
        XorMiError: no output of this number, outputs or labels of another shape, labels that are
            not 0 and 1, both a threshold and a rule, or what `logit` refuses.

    >>> logit_difference(torch.tensor([[2.0], [2.0]]), [1, 0], threshold=0.5).tolist()
    [1.5, -1.5]
    """
    used = _rule_of(threshold, rule)
    values = logit(outputs, output=output, rule=used)
    _warn_of_probabilities(outputs, threshold, rule)
    n_decisions = used.n_decisions(_as_outputs(outputs).shape[1])
    # one label per example is that of the decision that is asked for
    bits = _as_labels(labels, len(values), n_decisions, may_be_of_one=True)
    right = bits[:, output if bits.shape[1] > 1 else 0].to(values.device)
    # in the outputs' dtype: float32 signs would make float16 outputs float32
    sign = torch.where(right == 1, 1.0, -1.0).to(values)
    return sign * (values - _cut_of_logits(used))


def _cut_of_logits(rule: DecisionRule) -> float:
    """What a logit is compared with; a threshold among probabilities becomes its own logit."""
    if rule.outputs != "probability":
        return rule.cut
    if not 0 < rule.cut < 1:
        raise XorMiError(
            f"no probability crosses the threshold {rule.cut:g}, which has no logit; "
            "read metrics.score instead"
        )
    return torch.logit(torch.tensor(rule.cut, dtype=torch.float64)).item()


def decision(
    outputs: Float[Tensor, "*batch"],
    *,
    threshold: Number | None = None,
    rule: DecisionRule | None = None,
) -> Int[Tensor, "*decided"]:
    """1 above the threshold, 0 below it, UNDECIDED (-1) exactly on it; any shape.

    An output that is not a number is undecided too.

    Args:
        threshold: by default 0.
        rule: a network's rule in place of a threshold. By argmax the outputs are [batch, d_out],
            and what is decided is [batch, decision].

    Raises:
        XorMiError: both a threshold and a rule.

    >>> decision(torch.tensor([2.0, -2.0, 0.0])).tolist()
    [1, 0, -1]
    """
    _require_real(outputs)
    used = _rule_of(threshold, rule)
    _warn_of_probabilities(outputs, threshold, rule)
    if used.name == "argmax":
        return used.decide(_as_outputs(outputs))
    return decide(outputs, cut=used.cut)


@dataclass(frozen=True)
class ScoreAbove:
    """A decision by one score of the outputs: 1 above the cut, 0 below it, -1 exactly on it.

    `by_threshold`, `by_argmax` and `by_tokens` make these.

    Attributes:
        name: what the score is called.
        one: the output, class or token that stands for 1.
        others: those that it is compared with; None for all others, and empty for none.
        position: the place in a sequence, of outputs [batch, position, d_out]; None of outputs
            [batch, d_out].
        cut: what the score is compared with.
    """

    name: str
    one: int
    others: tuple[int, ...] | None
    position: int | None
    cut: float = 0.0

    def score(self, outputs: Shaped[Tensor, "batch *position d_out"]) -> Float[Tensor, " batch"]:
        """The number that is compared with the cut.

        Raises:
            XorMiError: outputs of another shape, or a position or class that they do not have.
        """
        score = self._compared(self._columns(outputs))
        # whole numbers are subtracted as they are, which rounds nothing
        return score if score.is_floating_point() else score.float()

    def _compared(self, columns: Shaped[Tensor, "batch d_out"]) -> Shaped[Tensor, " batch"]:
        """The output that stands for 1, minus the largest of those that it is compared with."""
        # in float32, so that the difference of two 16-bit numbers is not rounded once more
        if columns.element_size() < 4:
            columns = columns.float()
        n = columns.shape[1]
        number = require_output(self.one, n)
        mine = columns[:, number]
        if self.others is None:
            if n < 2:
                raise XorMiError(
                    "there is only one class, which always wins; give decide=by_threshold(...)"
                )
            others = torch.cat([columns[:, :number], columns[:, number + 1 :]], dim=1)
            return mine - others.amax(dim=1)
        if not self.others:
            return mine
        numbers = [require_output(other, n) for other in self.others]
        return mine - columns[:, numbers].amax(dim=1)

    def __call__(self, outputs: Shaped[Tensor, "batch *position d_out"]) -> Int[Tensor, " batch"]:
        """1, 0, or -1 where undecided, per example."""
        return decide(self.score(outputs), cut=self.cut)

    def _columns(self, outputs: Tensor) -> Shaped[Tensor, "batch d_out"]:
        """The outputs that are compared, at the one position that is read."""
        _require_real(outputs)
        shape = list(outputs.shape)
        if self.position is None:
            if outputs.ndim == 3:
                raise XorMiError(
                    f"outputs have shape {shape}, [batch, position, d_out]; say which position is "
                    "read, such as position=-1"
                )
            return _as_outputs(outputs)
        if outputs.ndim != 3:
            raise XorMiError(
                f"position {self.position} of outputs of shape {shape}; only outputs "
                "[batch, position, d_out] have positions: give position=None"
            )
        if not -shape[1] <= self.position < shape[1]:
            raise XorMiError(
                f"there is no position {self.position}; the outputs {shape} have {shape[1]}"
            )
        return outputs[:, self.position]


def by_threshold(
    threshold: Number = 0.0, *, output: int = 0, position: int | None = None
) -> ScoreAbove:
    """A decision for `decide=`: 1 where one output is above a threshold.

    Args:
        output: the number of the output.
        position: the place in a sequence, where outputs are [batch, position, d_out].

    Raises:
        XorMiError: a threshold that is not a finite number, or an output or position that is not a
            whole number.

    >>> by_threshold(0.5)(torch.tensor([[0.7], [0.5], [0.2]])).tolist()
    [1, -1, 0]
    """
    return ScoreAbove(
        name=f"output {output}",
        one=whole_number("output", output),
        others=(),
        position=_position(position),
        cut=_number(threshold),
    )


def by_argmax(
    *, one: int = 1, among: Sequence[int] | None = None, position: int | None = None
) -> ScoreAbove:
    """A decision for `decide=`: 1 where class `one` has the largest output, 0 where another has.

    It is undecided if that class shares the first place.

    Args:
        one: the number of the class that stands for 1.
        among: the classes that are compared, by default all.
        position: as in `by_threshold`.

    Raises:
        XorMiError: classes or a position that are not whole numbers, or nothing to compare with.

    >>> by_argmax()(torch.tensor([[1.0, 4.0], [2.0, 2.0], [3.0, 0.0]])).tolist()
    [1, -1, 0]
    """
    one = whole_number("one", one)
    others: tuple[int, ...] | None = None
    if among is not None:
        require_kind("among", among, Sequence, give="the numbers of classes, such as [0, 1]")
        listed = [whole_number("a class of among", number) for number in among]
        others = tuple([number for number in listed if number != one])
        if not others:
            raise XorMiError(
                f"among is {list(among)}, with nothing to compare class {one} with; name another "
                "class"
            )
    return ScoreAbove(
        name=f"lead of class {one}", one=one, others=others, position=_position(position)
    )


def by_tokens(one: int, zero: int, *, position: int = -1) -> ScoreAbove:
    """A decision for `decide=`: 1 where the logit of token `one` is above that of token `zero`.

    Args:
        one, zero: the numbers of the tokens.
        position: the place in the sequence where they are read, by default the last; outputs are
            [batch, position, d_vocab].

    Raises:
        XorMiError: tokens or a position that are not whole numbers, or the same token twice.

    >>> by_tokens(2, 0)(torch.tensor([[[9.0, 9.0, 9.0], [1.0, 0.0, 3.0]]])).tolist()
    [1]
    """
    one, zero = whole_number("one", one), whole_number("zero", zero)
    if one == zero:
        raise XorMiError(f"token {one} is compared with itself; give two different tokens")
    return ScoreAbove(
        name="logit_difference", one=one, others=(zero,), position=_position(position)
    )


def _position(position: int | None) -> int | None:
    """A place in a sequence; those before zero count from its end."""
    if position is None:
        return None
    is_whole = isinstance(position, Integral) and not isinstance(position, bool)
    if not is_whole:
        raise XorMiError(f"position is {shown(position)}; give a whole number, such as -1")
    return int(position)


def accuracy(
    outputs: Float[Tensor, "batch *d_out"],
    labels: Numbers,
    *,
    threshold: Number | None = None,
    rule: DecisionRule | None = None,
) -> float:
    """Fraction of examples whose decisions all equal their labels; an undecided one does not.

    Args:
        labels: 0 or 1, one per output, or one per decision of the rule, [batch, decision]; of a
            single decision [batch] too.
        threshold: by default 0.
        rule: a network's rule in place of a threshold.

    Raises:
        XorMiError: outputs or labels of another shape, labels that are not 0 and 1, no examples, or
            both a threshold and a rule.

    >>> accuracy(torch.tensor([[2.0], [-2.0]]), [1, 1])
    0.5
    """
    decided = _rule_of(threshold, rule).decide(_as_outputs(outputs))
    _warn_of_probabilities(outputs, threshold, rule)
    if not len(decided):
        raise XorMiError("there are no examples to take a share of; give at least one")
    bits = _as_labels(labels, *decided.shape).to(decided.device)
    is_right = (decided == bits).all(dim=1)
    return is_right.float().mean().item()


def _rule_of(threshold: Number | None, rule: DecisionRule | None) -> DecisionRule:
    _require_rule(rule)
    if rule is None:
        return DecisionRule("threshold", 0.0 if threshold is None else _number(threshold))
    if threshold is not None:
        raise XorMiError("both threshold and rule are given; a rule has its own threshold")
    return rule


def _warn_of_probabilities(outputs: Tensor, *given: Number | DecisionRule | None) -> None:
    """Warn if several outputs look like probabilities and nothing says what they are.

    Args:
        given: what would say it, a threshold or a rule.
    """
    if any(one is not None for one in given):
        return
    looks_like_them = outputs.numel() > 1 and bool(((outputs > 0) & (outputs < 1)).all())
    if looks_like_them:
        warn(
            "all these outputs lie between 0 and 1 and are taken for logits, decided at 0; if they "
            "are probabilities give rule=model.rule, or rule=DecisionRule(threshold=0.5, "
            "outputs='probability')"
        )


def _require_rule(rule: object) -> None:
    """Refuse what is neither a network's rule nor None."""
    if rule is not None:
        require_kind("rule", rule, DecisionRule, give="a network's own, model.rule")


def _number(threshold: Number) -> float:
    """A threshold that is a finite number."""
    is_number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not is_number or not abs(threshold) < inf:
        raise XorMiError(f"threshold is {shown(threshold)}; give a finite number, such as 0.5")
    return float(threshold)


def _require_real(outputs: Tensor) -> None:
    """Refuse what is not a tensor of real numbers: True and False are decisions already."""
    require_kind("outputs", outputs, Tensor, give="what the model returned, a tensor")
    if outputs.is_complex():
        raise XorMiError("outputs are complex numbers; give real ones, such as outputs.real")
    if outputs.dtype == torch.bool:
        raise XorMiError(
            "outputs are True and False, so they are decided already; give the numbers that the "
            "model returned"
        )


def _as_outputs(outputs: Tensor) -> Shaped[Tensor, "batch d_out"]:
    """Outputs [batch, d_out], or [batch] of a single one."""
    _require_real(outputs)
    if outputs.ndim == 1:
        return outputs[:, None]
    if outputs.ndim != 2:
        raise XorMiError(
            f"outputs have shape {list(outputs.shape)}, not [batch, d_out]; read them by a "
            "function of your own, such as metrics=lambda outputs: outputs[:, -1, 0]"
        )
    return outputs


def _as_labels(
    labels: Numbers, n_examples: int, n_decisions: int, *, may_be_of_one: bool = False
) -> Int[Tensor, "batch decision"]:
    """Labels 0 and 1, checked to be one per example and decision.

    Args:
        may_be_of_one: whether those of a single decision will do where there are several.
    """
    try:
        values = read_numbers(labels)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(
            f"cannot read {shown(labels)} as labels; give 0 and 1, one per example"
        ) from None
    columns = values[:, None] if values.ndim == 1 else values
    widths = (n_decisions, 1) if may_be_of_one else (n_decisions,)
    if columns.ndim != 2 or len(columns) != n_examples or columns.shape[1] not in widths:
        per = f"{n_decisions} decisions" if n_decisions > 1 else "one decision"
        of_one = " or [batch]" if 1 in widths else ""
        raise XorMiError(
            f"labels have shape {list(values.shape)} for {n_examples} examples of {per}; "
            f"give [batch, decision]{of_one}, here [{n_examples}, {n_decisions}]"
        )
    is_bit = (columns == 0) | (columns == 1)
    if not bool(is_bit.all()):
        wrong = columns[~is_bit][0].item()
        # -1 is what an undecided output is called here, so it is not read as a 0
        hint = "of -1 and 1 give (labels > 0)" if wrong == -1 else "give one of these per example"
        raise XorMiError(f"label {wrong:g} is neither 0 nor 1; {hint}")
    return columns.long()


@torch.no_grad()
def decisions(model: HookedMLP, rows: Rows | None = None) -> Int[Tensor, "row decision"]:
    """The model's decisions on each input row (all rows by default), by its own rule."""
    require_hooked_mlp(model, "reading decisions")
    return model.rule.decide(model(model.rows(rows)))


MOST_TRIALS = 10**12
"""A share of more trials is refused: far above, floats do not hold every whole number."""

TAIL = 0.025
"""The largest probability that a share lies outside its interval, on either side."""


class ShareInterval(NamedTuple):
    """A share of n with its 95 % Clopper-Pearson interval."""

    share: float
    low: float
    high: float


def share_interval(count: int, n: int) -> ShareInterval:
    """How often something happened, `count` times of n, with its 95 % Clopper-Pearson interval.

    It is computed from quantiles of the beta distribution, as TransformerLens' `success_rate_ci`
    is, and many trials take no longer than few. With no trials nothing is known: the share is NaN
    and its interval 0 to 1.

    Raises:
        XorMiError: numbers that are not whole, a count above n, or more than 10^12 trials.

    >>> share_interval(5, 10)
    ShareInterval(share=0.5, low=0.1870..., high=0.8129...)
    """
    n = whole_number("n", n)
    require_at_most(n, MOST_TRIALS, what="trials", do="give a share of fewer trials")
    count = whole_number("count", count, below=n + 1)
    if n == 0:
        return ShareInterval(share=nan, low=0.0, high=1.0)
    low = float(betaincinv(count, n - count + 1, TAIL)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - TAIL)) if count < n else 1.0
    return ShareInterval(share=count / n, low=low, high=high)


class MeanInterval(NamedTuple):
    """A mean with Student's 95 % interval; None for what is not known."""

    mean: float | None
    low: float | None
    high: float | None


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """The mean of independent values with Student's 95 % interval.

    One value has no interval, and no values have no mean either: these are None.

    >>> mean_interval([0.0, 1.0, 2.0])
    MeanInterval(mean=1.0, low=-1.484..., high=3.484...)

    Raises:
        XorMiError: anything but a list of numbers.
    """
    is_list = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    if not is_list or not all(isinstance(value, Real) for value in values):
        raise XorMiError(f"values is {shown(values)}; give a list of numbers")
    n = len(values)
    if n == 0:
        return MeanInterval(None, None, None)
    mean = float(np.mean(values))
    if n == 1:
        return MeanInterval(mean, None, None)
    reach = float(stdtrit(n - 1, 1 - TAIL)) * float(np.std(values, ddof=1)) / sqrt(n)
    return MeanInterval(mean, mean - reach, mean + reach)
