"""The numbers read off outputs, by hand."""

import pytest
import torch

from xor_mi.errors import XorMiError
from xor_mi.metrics import UNDECIDED, accuracy, decision, logit, logit_difference, probability


def test_decisions_are_strict_and_ties_are_undecided():
    """Exactly on the threshold is -1, never rounded, and never counted as right."""
    outputs = torch.tensor([[0.4], [0.5], [0.6]])
    assert decision(outputs, threshold=0.5).flatten().tolist() == [0, UNDECIDED, 1]
    for label in (0, 1):
        labels = torch.full((3, 1), label)
        assert accuracy(outputs, labels, threshold=0.5) == pytest.approx(1 / 3)


def test_metrics_by_hand():
    """Logit, probability and signed logit difference of two outputs."""
    outputs = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    assert logit(outputs, output=1).tolist() == [-1.0, 3.0]
    assert probability(outputs).tolist() == pytest.approx([0.880797, 0.5])
    assert logit_difference(outputs, torch.tensor([1, 0]), threshold=0.5).tolist() == [1.5, 0.5]
    assert logit_difference(outputs, torch.tensor([0, 1]), threshold=0.5).tolist() == [-1.5, -0.5]
    with pytest.raises(XorMiError, match="no output 2"):
        logit(outputs, output=2)


def test_accuracy_needs_every_output_right():
    """A row with one wrong output of two is wrong."""
    outputs = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    assert accuracy(outputs, torch.tensor([[1, 0], [1, 0]])) == 0.5
