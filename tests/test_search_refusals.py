"""Searches refuse by size before they begin, and count what they would not list."""

import random
from itertools import product

import pytest

from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.search import (
    _alignments,
    compare_conventions,
    find_alignments,
    identifiability_report,
    node_masks,
)

pytestmark = pytest.mark.as_a_user


def untrained(*layer_sizes):
    """A network with random weights."""
    d_in, *d_hidden, d_out = layer_sizes
    config = HookedMLPConfig(d_in=d_in, d_hidden=tuple(d_hidden), d_out=d_out)
    return HookedMLP(config).eval()


def test_disjoint_choices_are_counted_as_going_through_all_counts_them():
    """One set of units for each variable, none of which has a unit in common with another."""
    rng = random.Random(0)
    units = [Unit(0, k) for k in range(6)]
    for _ in range(100):
        options = [
            [tuple(rng.sample(units, rng.randint(1, 2))) for _ in range(rng.randint(1, 5))]
            for _ in range(rng.randint(0, 4))
        ]
        n_disjoint = 0
        for choice in product(*options):
            used = [unit for placed in choice for unit in placed]
            n_disjoint += len(used) == len(set(used))
        assert _alignments._n_disjoint(options) == n_disjoint


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((2, 17, 1), "131,072 sets of units are more than the 65,536"),
        ((8, 12, 1), "4,096 sets of units on 65,536 pairs of inputs would take 78 GB"),
    ],
)
def test_alignments_are_refused_before_formulas_are_made(sizes, message, monkeypatch):
    """Too many sets of units, and sets on too many pairs of inputs."""
    monkeypatch.setattr(_alignments, "formulas_of", None)
    with pytest.raises(XorMiError, match=f"{message}.*take a narrower network"):
        find_alignments(untrained(*sizes), "x0")


def test_node_masks_too_large_to_hold_are_refused():
    """Sets times pairs of inputs that are decided differently, before any is patched."""
    first = [[8.0] + [0.0] * 7] * 14, [-4.0] * 14
    model = HookedMLP.from_weights([first, ([[1.0] * 14], [0.0])], act_fn="tanh", target="x0")
    with pytest.raises(XorMiError, match="16,383 sets of units on 32,768 pairs of inputs would"):
        node_masks(model, "x0")


def test_conventions_are_compared_where_nothing_can_be_counted():
    """Three hidden layers may be too many to list and to count: the formulas are."""
    compared = compare_conventions(untrained(4, 4, 12, 4, 1), "x0", depth=1, progress=False)
    assert compared.frame()["n_perfect"].isna().all()
    for one in compared.counts:
        assert one.n_perfect is None
        assert one.n_formulas is not None
        assert "choices of what the last hidden layer may read are more than" in one.why_not
    assert str(compared)


def test_what_is_too_much_to_align_is_said_beside_the_other_counts(textbook, monkeypatch):
    """Too many sets of units, or alignments: counts and report say why, and have the rest."""
    monkeypatch.setattr(_alignments, "MAX_GROUPED", 0)
    report = identifiability_report(textbook, progress=False)
    assert report.n_alignments is None
    assert "minimal alignments are more than the 0 that are allowed" in report.why_no_alignments
    assert report.counts.counts[0].n_alignments > 0
    with pytest.raises(XorMiError, match="iterate over them"):
        find_alignments(textbook).merged()
    monkeypatch.setattr(_alignments, "MAX_SETS", 3)
    compared = compare_conventions(textbook, progress=False).counts[0]
    assert compared.n_perfect == 1
    assert compared.n_alignments is None
    assert "4 sets of units are more than the 3 that are allowed" in compared.why_not
    report = identifiability_report(textbook, progress=False)
    assert report.n_perfect == 1
    assert "4 sets of units" in report.why_no_alignments
