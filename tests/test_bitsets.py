"""Counting by sets of bits, against comparing every pair, by NumPy and by numba."""

from threading import Event

import numpy as np
import pytest

from xor_mi import train
from xor_mi.search import (
    Convention,
    _bitset_kernels,
    _bitsets,
    _fitting,
    count_perfect_subcircuits,
)

SHAPES = [
    (1, 1, 1), (1, 3, 2), (63, 50, 3), (64, 64, 4), (65, 100, 4), (4095, 50, 4), (4096, 50, 4),
    (4097, 99, 4), (9000, 300, 8), (5000, 100, 1), (5000, 100, 5), (4500, 40, 16),
]  # fmt: skip
"""Lefts, rights and rows: words and tiles that are full, begun, and one more."""


@pytest.mark.parametrize("by", [_bitsets, _bitset_kernels], ids=["numpy", "numba"])
@pytest.mark.parametrize("shape", SHAPES)
def test_lefts_below_are_those_that_are_below_on_every_row(by, shape):
    """Against all pairs, at positions from 0 to past the last."""
    n_left, n_right, n_rows = shape
    rng = np.random.default_rng(n_left + n_rows)
    ranks = np.array([rng.permutation(n_left) for _ in range(n_rows)])
    positions = rng.integers(0, n_left + 1, (n_rows, n_right))
    expected = (positions[:, None] > ranks[:, :, None]).all(0).sum(0)
    assert by.n_lefts_below(ranks, positions, Event()).tolist() == expected.tolist()


@pytest.mark.parametrize("with_numba", [True, False])
@pytest.mark.parametrize(
    ("hidden", "settings", "convention"),
    [
        ((4, 4), {}, None),
        ((3, 4), {"act_fn": "tanh"}, Convention(ablation="mean")),
        ((6,), {}, None),
        ((3, 3), {"decision_rule": "argmax"}, None),
        ((4, 3), {"seed": 2}, Convention(all_units=False)),
    ],
)
def test_counting_by_bits_equals_comparing_all_pairs(
    monkeypatch, with_numba, hidden, settings, convention
):
    """Left halves that stand for several choices, one bound a row or two, one output or two."""
    model = train("XOR", hidden=hidden, **({"seed": 1} | settings)).model
    asked = {"convention": convention, "progress": False}
    monkeypatch.setattr(_fitting, "WORTH_BITSETS", 2**62)
    by_bits = _fitting.n_above_by_bits
    calls = []
    monkeypatch.setattr(
        _fitting, "n_above_by_bits", lambda *given: calls.append(given) or by_bits(*given)
    )
    compared = count_perfect_subcircuits(model, **asked)
    assert not calls
    monkeypatch.setattr(_fitting, "WORTH_BITSETS", 1)
    monkeypatch.setattr(_fitting, "numba_is_usable", lambda: with_numba)
    assert count_perfect_subcircuits(model, **asked) == compared
    assert calls
    assert compared > 0
