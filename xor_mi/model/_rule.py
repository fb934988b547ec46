"""outputs -> what a network decides by them; every decision is made here.

A decision is `score > cut`, strictly. A score exactly on the cut decides nothing: it is UNDECIDED
(-1), never rounded.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.kinds import DecisionRuleName, OutputKind

UNDECIDED = -1
"""The decision of a score that lies exactly on the cut."""


def decide(scores: Float[Tensor, "*batch"], *, cut: float = 0.0) -> Int[Tensor, "*batch"]:
    """1 above the cut, 0 below it, UNDECIDED (-1) exactly on it and where it is not a number."""
    is_open = (scores == cut) | scores.isnan()
    return torch.where(is_open, UNDECIDED, (scores > cut).long())


@dataclass(frozen=True)
class DecisionRule:
    """How outputs are decided.

    Under "threshold" every output is a decision of its own: 1 above the threshold. Under "argmax"
    the largest output wins. Over two outputs that is one decision, 1 where output 1 wins, and its
    score is the difference of the two; over more there is one decision per output, 1 where it
    wins, and its score is the output minus the largest of the others. In a tie for the first place
    the tied decisions are undecided.

    Attributes:
        name: "threshold" or "argmax".
        threshold: for the rule of that name; 0 under argmax.
        outputs: what the outputs are: "logit", "probability" (after a sigmoid), or "output" where
            they are neither, such as those trained towards 0 and 1 by squared error.
    """

    name: DecisionRuleName = "threshold"
    threshold: float = 0.0
    outputs: OutputKind = "logit"

    @property
    def cut(self) -> float:
        """What a score is compared with."""
        return 0.0 if self.name == "argmax" else self.threshold

    @property
    def score_name(self) -> str:
        """What a score is called: the name of the outputs, or of their difference.

        The difference of two logits is a logit again; that of two probabilities is not a
        probability.

        >>> DecisionRule("argmax", outputs="probability").score_name
        'probability_difference'
        """
        is_compared = self.name == "argmax" and self.outputs != "logit"
        return f"{self.outputs}_difference" if is_compared else self.outputs

    def n_decisions(self, d_out: int) -> int:
        """How many decisions this many outputs are."""
        return 1 if self.name == "argmax" and d_out == 2 else d_out

    def scores(self, outputs: Float[Tensor, "*batch d_out"]) -> Float[Tensor, "*batch decision"]:
        """The number that each decision is made by.

        >>> DecisionRule("argmax").scores(torch.tensor([[1.0, 4.0]])).tolist()
        [[3.0]]

        Raises:
            XorMiError: argmax of a single output.
        """
        if self.name == "threshold":
            return outputs
        if outputs.shape[-1] < 2:
            raise XorMiError(
                f"argmax compares outputs with each other, and here there are {outputs.shape[-1]}; "
                "give two or more, [batch, d_out], or a threshold"
            )
        if outputs.shape[-1] == 2:
            return outputs[..., 1:] - outputs[..., :1]
        best, second = outputs.topk(2, dim=-1).values.split(1, dim=-1)
        # the best of the others is the second for the one that wins, and the best for the rest;
        # where two share the first place both of them are at 0
        return torch.where(outputs == best, outputs - second, outputs - best)

    def distance(self, outputs: Float[Tensor, "*batch d_out"]) -> Float[Tensor, "*batch decision"]:
        """Scores minus the cut: above zero where the decision is 1."""
        return self.scores(outputs) - self.cut

    def decide(self, outputs: Float[Tensor, "*batch d_out"]) -> Int[Tensor, "*batch decision"]:
        """1, 0, or -1 where undecided.

        >>> DecisionRule("argmax").decide(torch.tensor([[1.0, 4.0], [2.0, 2.0]])).tolist()
        [[1], [-1]]
        """
        return decide(self.scores(outputs), cut=self.cut)

    def __str__(self) -> str:
        return "the largest output wins" if self.name == "argmax" else f"above {self.threshold:g}"
