"""Paths: kinks and changes against a fine scan, closed forms, NumPy and autograd, on random
networks of every kind.
"""

from itertools import pairwise
from math import log

import numpy as np
import pytest
import torch
from networks import random_network

from xor_mi.errors import XorMiError
from xor_mi.geometry import DecisionChange, path
from xor_mi.graph import Unit
from xor_mi.metrics import decision
from xor_mi.model import ACTIVATIONS, HookedMLP, HookedMLPConfig

OUTPUTS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "heaviside", "softplus")
KINDS = [(act, "identity") for act in ACTIVATIONS] + [
    (act, out) for act in ("relu", "tanh") for out in OUTPUTS
]


def scanned(model, start, end, n=20_001):
    """t of a fine grid and the decisions there, by the network itself."""
    t = torch.linspace(0, 1, n, dtype=torch.float64)
    start, end = torch.tensor(start, dtype=torch.float64), torch.tensor(end, dtype=torch.float64)
    return t, decision(model(start + t[:, None] * (end - start)), threshold=model.threshold)


def test_the_textbook_diagonal_by_hand(textbook):
    """From 00 to 11 unit 1 turns on halfway and the output 2t, then 2 - 2t, crosses 0.5 at a
    quarter and three quarters.
    """
    walk = path(textbook, "00", "11", n_points=3)
    assert [(k.t, k.input, k.units) for k in walk.kinks] == [(0.5, (0.5, 0.5), (Unit(0, 1),))]
    assert [(c.t, c.input, c.output, c.before, c.after) for c in walk.changes] == [
        (0.25, (0.25, 0.25), 0, 0, 1),
        (0.75, (0.75, 0.75), 0, 1, 0),
    ]
    assert walk.t.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert walk.outputs[:, 0].tolist() == [0, 0.5, 1, 0.5, 0]
    assert walk.tolerance == 0
    assert walk.frame().columns.tolist() == ["t", "x0", "x1", "y0"]


@pytest.mark.as_a_user
@pytest.mark.parametrize(("act_fn", "out_act_fn"), KINDS)
def test_decisions_are_those_of_a_fine_scan(act_fn, out_act_fn):
    """On 20,001 points of a path, no point outside 1e-6 of a change is decided otherwise than the
    list of changes says; both outputs.
    """
    n_changes = 0
    for seed in range(8):
        threshold = {"heaviside": 0.5, "relu": 0.2, "sigmoid": 0.4}.get(out_act_fn, 0.05)
        model = random_network(seed, act_fn, out_act_fn, decision_threshold=threshold)
        start, end = [-2.0, 1.5, 0.3], [1.7, -1.0, 2.2]
        walk = path(model, start, end)
        t, decided = scanned(model, start, end)
        for k in range(2):
            changes = [change for change in walk.changes if change.output == k]
            n_changes += len(changes)
            expected = decided[:1, k].expand(len(t)).clone()
            near = torch.zeros(len(t), dtype=torch.bool)
            for change in changes:
                assert change.before == expected[-1]
                expected[t > change.t] = change.after
                near |= (t - change.t).abs() < 1e-6
            assert torch.equal(expected[~near], decided[~near, k])
    assert n_changes >= 3


@pytest.mark.parametrize("act_fn", ["relu", "leaky_relu", "heaviside"])
def test_between_kinks_the_network_is_affine_and_at_each_it_is_not(act_fn):
    """Second differences vanish between neighbouring kinks; autograd's slope along the path differs
    across each kink that reaches the output.
    """
    model = random_network(1, act_fn, sizes=(2, 6, 4, 1), negative_slope=0.3)
    start, end = np.array([-1.5, 2.0]), np.array([2.0, -1.7])
    walk = path(model, start, end)
    assert len(walk.kinks) >= 5
    edges = [0.0, *(kink.t for kink in walk.kinks), 1.0]
    slopes = []
    for low, high in pairwise(edges):
        inside = torch.linspace(low, high, 7, dtype=torch.float64)[1:-1]
        values = model(torch.from_numpy(start) + inside[:, None] * torch.from_numpy(end - start))[
            :, 0
        ]
        assert values.diff().diff().abs().max() < 1e-9
        t = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        if act_fn != "heaviside":
            (slope,) = torch.autograd.grad(
                model(torch.from_numpy(start) + t * torch.from_numpy(end - start)).sum(), t
            )
            slopes.append(slope.item())
            assert slope.item() == pytest.approx(
                ((values[-1] - values[0]) / (inside[-1] - inside[0])).item(), abs=1e-8
            )
    if slopes:
        assert min(abs(a - b) for a, b in pairwise(slopes)) > 1e-9


def test_kinks_are_where_a_pre_activation_vanishes():
    """NumPy: at each kink exactly the named units have pre-activation zero, and all others are away
    from it.
    """
    model = random_network(3, "relu", sizes=(4, 6, 5, 1))
    walk = path(model, "0000", "1111")
    assert walk.kinks
    for kink in walk.kinks:
        value, zero = np.array(kink.input), set()
        for layer, (weight, bias) in enumerate(model.float64_layers()[:-1]):
            pre = weight.numpy() @ value + bias.numpy()
            zero |= {Unit(layer, int(j)) for j in np.nonzero(np.abs(pre) < 1e-9)[0]}
            value = np.maximum(pre, 0)
        assert zero == set(kink.units)


def test_a_smooth_change_in_closed_form():
    """tanh(4 t) = 0.5 and a sigmoid readout at threshold 0.8: t = atanh(0.5) / 4, and log(4) /
    6.
    """
    model = HookedMLP.from_weights(
        [([[4.0]], [0.0]), ([[1.0]], [-0.5])], act_fn="tanh", dtype="float64"
    )
    (change,) = path(model, [0.0], [1.0]).changes
    assert change.t == pytest.approx(np.arctanh(0.5) / 4, abs=1e-12)
    model = HookedMLP.from_weights(
        [([[2.0]], [0.0]), ([[3.0]], [0.0])],
        act_fn="relu",
        out_act_fn="sigmoid",
        decision_threshold=0.8,
        dtype="float64",
    )
    (change,) = path(model, [0.0], [1.0]).changes
    assert change.t == pytest.approx(log(4) / 6, abs=1e-14)


def test_a_hump_far_narrower_than_the_grid_is_found():
    """tanh(1e5 (x - a)) - tanh(1e5 (x - a - 1e-5)): above the threshold on a stretch of about 1e-5,
    which enclosures cannot miss.
    """
    a = 0.4321234
    model = HookedMLP.from_weights(
        [([[1e5], [1e5]], [-1e5 * a, -1e5 * (a + 1e-5)]), ([[1.0, -1.0]], [-0.5])],
        act_fn="tanh",
        dtype="float64",
    )
    on, off = path(model, [0.0], [1.0]).changes
    assert (on.after, off.after) == (1, 0)
    assert a - 1e-4 < on.t < off.t < a + 1e-4
    for change in (on, off):
        assert abs(model(torch.tensor([change.input], dtype=torch.float64)).item()) < 1e-6


def test_flat_on_the_threshold_is_undecided():
    """relu(x - 0.5) at threshold 0 is exactly 0 before the kink: undecided, then 1."""
    model = HookedMLP.from_weights([([[1.0]], [-0.5]), ([[1.0]], [0.0])])
    (change,) = path(model, [0.0], [1.0]).changes
    assert (change.t, change.before, change.after) == (0.5, -1, 1)


def test_heaviside_jumps_without_crossing():
    """A step decides at its own kink."""
    model = HookedMLP.from_weights([([[2.0]], [-0.5]), ([[1.0]], [-0.5])], act_fn="heaviside")
    walk = path(model, [0.0], [1.0])
    assert [(change.t, change.before, change.after) for change in walk.changes] == [(0.25, 0, 1)]


def test_an_identity_network_has_no_kinks(deep):
    """A linear network is one piece; an untrained tanh one has none either, and says how it
    searched.
    """
    linear = random_network(0, "identity")
    assert path(linear, "000", "111").kinks == ()
    assert path(deep, "000", "111").kinks == ()
    assert path(deep, "000", "111").tolerance == 1e-9


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("start", "end", "settings", "message"),
    [
        ("00", "00", {}, "starts and ends at"),
        ("0", "11", {}, "has 1 bit;"),
        ([0.0, 1.0, 2.0], "11", {}, "takes 2 finite numbers"),
        ([float("nan"), 1.0], "11", {}, "takes 2 finite numbers"),
        (object(), "11", {}, "is not an input"),
        ("00", "11", {"n_points": 1}, "at least 2"),
        ("00", "11", {"n_points": 2.5}, "at least 2"),
    ],
)
def test_what_is_no_path_is_refused(textbook, start, end, settings, message):
    """Ends that coincide, are too short, not finite, no numbers; grids with nothing in them."""
    with pytest.raises(XorMiError, match=message):
        path(textbook, start, end, **settings)


def test_a_network_that_stays_on_the_threshold_is_refused():
    """A smooth network whose output is the threshold everywhere cannot be bracketed; it is said,
    not looped over.
    """
    model = HookedMLP.from_weights([([[1.0, 1.0]], [0.0]), ([[0.0]], [0.0])], act_fn="tanh")
    with pytest.raises(XorMiError, match="stays within rounding of the threshold"):
        path(model, "00", "11")


@pytest.mark.unchecked
def test_other_models_and_train_mode_are_refused():
    """A path needs a HookedMLP in eval mode."""
    model = HookedMLP(HookedMLPConfig())
    model.train()
    with pytest.raises(XorMiError, match="train mode"):
        path(model, "00", "11")
    with pytest.raises(XorMiError, match="needs a HookedMLP"):
        path("a network", "00", "11")


@pytest.mark.parametrize(
    ("t", "written"),
    [
        (0.0, "0.00"),
        (1.73e-7, "0.00 (by rounding)"),
        (1 - 2e-7, "1.00 (by rounding)"),
        (0.7474, "0.75"),
        (0.0123, "0.01"),
    ],
)
def test_a_change_says_where_it_is_in_one_way(t, written):
    """With two decimals; at an end that only rounding takes it off, that is said."""
    change = DecisionChange(t=t, input=(t, t), output=0, before=1, after=0)
    assert change.place == written
