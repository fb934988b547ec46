"""Edits of weights: what was asked is changed, and nothing else."""

import pytest
import torch

from xor_mi.errors import XorMiError
from xor_mi.graph import Edge, Unit
from xor_mi.handmade import edit


def test_edit_changes_what_was_asked_and_nothing_else(textbook):
    """Entries, tensors, edges and biases; the given model is left alone and shares nothing with the
    new one.
    """
    before = {name: value.clone() for name, value in textbook.state_dict().items()}
    edited = edit(
        textbook,
        {
            "fc1.weight[0, 1]": 1.5,
            "x0->h0.1": 3,
            Edge(Unit(0, 1), Unit(1, 0, True)): -4.0,
            "h0.1": -2,
            "y0": 0.25,
        },
    )
    assert edited.fc1.weight.tolist() == [[1.0, 1.5], [3.0, 1.0]]
    assert (edited.fc1.bias.tolist(), edited.fc2.weight.tolist(), edited.fc2.bias.tolist()) == (
        [0.0, -2.0],
        [[1.0, -4.0]],
        [0.25],
    )
    assert edit(textbook, {"fc2.weight": [[5, 6]]}).fc2.weight.tolist() == [[5.0, 6.0]]
    assert all(torch.equal(before[name], value) for name, value in textbook.state_dict().items())
    assert edited.cfg == textbook.cfg
    assert not edited.training


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fc1.weight[0, 2]": 1.0}, r"no entry fc1.weight\[0, 2\]; fc1.weight has shape \[2, 2\]"),
        ({"fc1.bias[0, 1]": 1.0}, "no entry"),
        ({"fc3.weight[0, 0]": 1.0}, "no parameter 'fc3.weight"),
        ({"fc1.weigth[0, 0]": 1.0}, r"no parameter.*did you mean 'fc1.weight'"),
        ({3: 1.0}, "no parameter '3'"),
        ({"w12": 1.0}, r"no parameter 'w12'; margins.weight_symbols\(model\) says what 'w12' is"),
        ({"c": 1.0}, r"no parameter 'c'; margins.weight_symbols\(model\) says what 'c' is"),
        ({"x0": 1.0}, "x0 is an input and has no bias"),
        ({"h0.7": 1.0}, "no unit or edge 'h0.7'"),
        ({"fc1.weight[0, 1]": float("nan")}, "give a finite number"),
        ({"fc1.weight[0, 1]": [1.0, 2.0]}, "give a finite number"),
        ({"fc1.weight": [1.0]}, r"give finite numbers \[2, 2\]"),
        ({"fc1.weight": "big"}, "give numbers"),
        ({}, "give the changes as a dict"),
        ([("fc1.bias[0]", 1.0)], "give the changes as a dict"),
    ],
)
def test_edits_that_name_nothing_are_refused(textbook, changes, message):
    """No such entry, tensor, place; values that are not finite numbers of its shape; nothing at
    all.
    """
    with pytest.raises(XorMiError, match=message):
        edit(textbook, changes)
