"""The meta-test of the test run: jaxtyping's shape checks are really on."""

import pytest
import torch
from jaxtyping import TypeCheckError

from xor_mi.metrics import logit
from xor_mi.terms import edge_terms


def test_a_wrong_shape_is_refused_with_the_axes_named():
    """[4, 1] values for a [2, 2] weight would broadcast in plain torch; under the test run it is a
    type error.
    """
    with pytest.raises(TypeCheckError, match="d_in"):
        edge_terms(torch.ones(2, 2), torch.ones(4, 1))
    assert edge_terms(torch.ones(2, 2), torch.ones(4, 2)).shape == (4, 2, 2)


def test_a_wrong_dtype_is_refused():
    """Integer outputs are not logits."""
    with pytest.raises(TypeCheckError, match="outputs"):
        logit(torch.ones(4, 1, dtype=torch.long))
