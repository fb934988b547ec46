"""Geometry, margins and handmade networks where inputs are not 0 and 1, the largest output decides,
units have several kinks, layers differ, or inputs are connected to the outputs: against dense
sampling, NumPy, and networks of the ordinary kind that must do the same.
"""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from scipy.special import lambertw

from xor_mi import geometry, margins, plots
from xor_mi.errors import XorMiError
from xor_mi.geometry._brackets import _TURNING_POINTS, enclosed
from xor_mi.geometry._pieces import PIECEWISE_LINEAR
from xor_mi.graph import Unit
from xor_mi.handmade import edit, from_formula, from_gates, from_netlist, textbook_xor
from xor_mi.metrics import decisions
from xor_mi.model import ACTIVATIONS, HookedMLP
from xor_mi.terms import contributions
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

SYMMETRIC = (-1.0, 1.0)
NEW_PIECES = ("relu6", "hardtanh", "hardsigmoid", "sign")


def own_network(seed, act_fn, d_out=1, *, direct=False, **settings):
    """A random 2-4-3-d_out network in float64 that is near its cut in the middle of the plane."""
    rng = np.random.default_rng(seed)
    sizes = (2, 4, 3, d_out)
    layers = [(1.5 * rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in pairwise(sizes)]
    past = rng.normal(size=(d_out, 2)) if direct else None
    raw = HookedMLP.from_weights(layers, act_fn=act_fn, direct=past)
    middle = raw(torch.tensor([[0.3, 0.1]], dtype=torch.float64)).detach().numpy()[0]
    layers[-1] = (layers[-1][0], layers[-1][1] - middle + 0.13 + 0.1 * np.arange(d_out))
    return HookedMLP.from_weights(layers, act_fn=act_fn, direct=past, **settings)


def disagreements(model, found, output=0, n=33):
    """Steps of a grid whose ends are decided differently without a boundary between them, or alike
    with one; and how many steps change the decision.
    """
    low, high = (-1.9, 2.3)
    axis = torch.linspace(low + 1e-4, high - 3e-4, n, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    decided = model.rule.decide(model(points.reshape(-1, 2)))[:, output].reshape(n, n)
    wrong = changes = 0
    for a, b, here, there in (
        (points[:-1], points[1:], decided[:-1], decided[1:]),
        (points[:, :-1], points[:, 1:], decided[:, :-1], decided[:, 1:]),
    ):
        differ = (here != there).flatten().tolist()
        changes += sum(differ)
        odd = n_crossed(found.segments, a.reshape(-1, 1, 2), b.reshape(-1, 1, 2)) % 2
        wrong += int((odd != torch.tensor(differ)).sum())
    return wrong, changes


def n_crossed(segments, a, b):
    """How many segments each way from a to b meets, [step], by signs of orientation."""
    p, q = segments[None, :, 0], segments[None, :, 1]

    def side(u, v, w):
        to_v, to_w = v - u, w - u
        return torch.sign(to_v[..., 0] * to_w[..., 1] - to_v[..., 1] * to_w[..., 0])

    return ((side(p, q, a) != side(p, q, b)) & (side(a, b, p) != side(a, b, q))).sum(-1)


CASES = {
    "levels -1 and 1": {"input_levels": SYMMETRIC},
    "mixed": {"act_fn": ("hardtanh", "relu")},
    "mixed smooth": {"act_fn": ("relu6", "softplus")},
    "sign on at zero": {"act_fn": "sign", "step_at_zero": 1},
    "argmax of two": {"d_out": 2, "decision_rule": "argmax"},
    "argmax of two, smooth": {"d_out": 2, "decision_rule": "argmax", "act_fn": "silu"},
    "argmax of two sigmoids": {
        "d_out": 2,
        "decision_rule": "argmax",
        "act_fn": "tanh",
        "out_act_fn": "sigmoid",
    },
    "argmax of three": {"d_out": 3, "decision_rule": "argmax"},
    "argmax of three, smooth": {"d_out": 3, "decision_rule": "argmax", "act_fn": "elu"},
    "direct": {"direct": True},
    "direct, smooth": {"direct": True, "act_fn": "gelu_tanh"},
    "direct, argmax, kinks": {
        "d_out": 2,
        "decision_rule": "argmax",
        "direct": True,
        "act_fn": ("hardsigmoid", "hardtanh"),
    },
}


def network_of(name, seed):
    """A random network of one of the kinds above."""
    settings = dict(CASES[name])
    act_fn, d_out = settings.pop("act_fn", "relu"), settings.pop("d_out", 1)
    return own_network(seed, act_fn, d_out, **settings)


@pytest.mark.parametrize("name", CASES)
def test_a_step_of_the_grid_changes_the_decision_where_the_boundary_is(name):
    """Dense sampling of the plane by the network's own forward: neighbours are decided differently
    exactly where an odd number of boundary segments lies between them.
    """
    changes = 0
    for seed in (1, 2):
        model = network_of(name, seed)
        output = model.cfg.n_decisions - 1
        found = geometry.boundary(model, bounds=(-1.9, 2.3), output=output, n_points=101)
        wrong, seen = disagreements(model, found, output)
        # chords cut the corners of a curve: a step may end between chord and curve
        assert wrong <= (0 if found.is_piecewise_linear else 3)
        changes += seen
    assert changes > 5


@pytest.mark.parametrize("name", CASES)
def test_decisions_along_a_path_are_those_of_a_fine_scan(name):
    """On 4,001 points of a path each decision is what the list of changes says, apart from points
    within 1e-6 of a change.
    """
    n_changes = 0
    for seed in range(3):
        model = network_of(name, seed)
        start, end = np.array([-1.9, 1.4]), np.array([2.1, -1.2])
        walk = geometry.path(model, start, end)
        t = torch.linspace(0, 1, 4_001, dtype=torch.float64)
        points = torch.from_numpy(start) + t[:, None] * torch.from_numpy(end - start)
        decided = model.rule.decide(model(points))
        for k in range(model.cfg.n_decisions):
            expected, near = decided[:1, k].expand(len(t)).clone(), torch.zeros(len(t)).bool()
            for change in (one for one in walk.changes if one.output == k):
                n_changes += 1
                assert change.before == expected[-1]
                expected[t > change.t] = change.after
                near |= (t - change.t).abs() < 1e-6
            assert torch.equal(expected[~near], decided[~near, k])
        assert torch.equal(walk.scores, model.rule.scores(walk.outputs))
    assert n_changes > 1


@pytest.mark.parametrize(
    ("act_fn", "direct"),
    [*((act_fn, False) for act_fn in NEW_PIECES), (("relu6", "leaky_relu"), True)],
)
def test_regions_tile_the_box_and_each_is_its_affine_map(act_fn, direct):
    """Every sampled point lies in exactly one region; there the map gives the network's outputs,
    and the units that are on and full are those that NumPy finds past their kinks.
    """
    kinks = {"relu6": (0, 6), "hardtanh": (-1, 1), "hardsigmoid": (-3, 3)}
    points = torch.from_numpy(np.random.default_rng(0).uniform((-2, -1), (1.5, 2), (1500, 2)))
    n_full = 0
    for seed in range(2):
        model = own_network(seed, act_fn, 2, direct=direct)
        found = geometry.regions(model, bounds=((-2, 1.5), (-1, 2)))
        assert sum(region.area for region in found) == pytest.approx(3.5 * 3, abs=1e-9)
        inside = torch.stack([region.contains(points, tolerance=0.0) for region in found])
        assert (inside.sum(0) == 1).float().mean() > 0.999  # the rest lies on an edge, to rounding
        assert (inside.sum(0) <= 1).all()
        for region, here in zip(found, inside, strict=True):
            outputs = points[here] @ region.weight.T + region.bias
            assert torch.allclose(model(points[here]), outputs, atol=1e-9)
            _, cache = model.run_with_cache(region.center[None])
            passed = {
                Unit(layer, j): sum(value.item() > kink for kink in kinks.get(name, (0,)))
                for layer, name in enumerate(model.cfg.act_fns)
                for j, value in enumerate(cache["pre", layer][0])
            }
            assert region.on == {unit for unit, n in passed.items() if n}
            assert region.full == {unit for unit, n in passed.items() if n == 2}
        assert len(found) > 4
        assert found.frame()["on"].str.contains("(full)", regex=False).any() == any(
            region.full for region in found
        )
        n_full += sum(bool(region.full) for region in found)
    assert (n_full > 0) == (act_fn in ("relu6", "hardtanh", "hardsigmoid"))


def over_bits(model):
    """The network on 0 and 1 that does the same: W (high - low), b + W low (plain NumPy)."""
    low, high = model.cfg.input_levels
    (weight, bias), *rest = [(w.numpy(), b.numpy()) for w, b in model.float64_layers()]
    layers = [(weight * (high - low), bias + weight.sum(1) * low), *rest]
    return HookedMLP.from_weights(layers, act_fn=model.cfg.act_fn, dtype="float64")


@pytest.mark.parametrize("levels", [SYMMETRIC, (3.0, 1.0), (-0.25, 0.5)])
@pytest.mark.parametrize("act_fn", ["relu", "hardtanh", "tanh"])
def test_other_levels_are_an_affine_picture_of_0_and_1(levels, act_fn):
    """By default the box, the regions, the boundary, a path, the slack of all that is not a first
    weight, and the conditions' values are those of the network over bits, carried over.
    """
    model = own_network(3, act_fn, input_levels=levels, target="XOR")
    bits, (low, high) = over_bits(model), levels

    def moved(points):
        return low + (high - low) * points

    plane, plain = geometry.input_plane(model, n_points=9), geometry.input_plane(bits, n_points=9)
    assert torch.allclose(plane.x0, moved(plain.x0).sort().values)
    order = slice(None) if high > low else torch.arange(8, -1, -1)
    assert torch.allclose(plane.outputs, plain.outputs[order][:, order], atol=1e-9)
    if act_fn != "tanh":
        areas = [sorted(region.area for region in geometry.regions(one)) for one in (model, bits)]
        assert areas[0] == pytest.approx([area * (high - low) ** 2 for area in areas[1]])
    here, there = geometry.boundary(model, n_points=41), geometry.boundary(bits, n_points=41)
    ends = {tuple(end) for end in moved(there.segments).reshape(-1, 2).numpy().round(6)}
    assert {tuple(end) for end in here.segments.reshape(-1, 2).numpy().round(6)} == ends
    walks = [geometry.path(one, "00", "11") for one in (model, bits)]
    assert walks[0].start == (low, low)
    assert walks[0].end == (high, high)
    assert [one.t for one in walks[0].changes] == pytest.approx([one.t for one in walks[1].changes])
    assert [one.units for one in walks[0].kinks] == [one.units for one in walks[1].kinks]
    held = [margins.conditions(one, "XOR", per_unit=True).frame() for one in (model, bits)]
    assert held[0]["value"].tolist() == pytest.approx(held[1]["value"].tolist())
    slack = [margins.slack_to_flip(one).frame().set_index("parameter") for one in (model, bits)]
    rest = [name for name in slack[0].index if not name.startswith("fc1.weight")]
    assert slack[0].loc[rest, "slack"].tolist() == pytest.approx(
        slack[1].loc[rest, "slack"].tolist()
    )


def test_argmax_over_two_is_the_network_of_the_difference():
    """The same boundary, path and slack as the one output y1 - y0 at threshold 0, whose readout is
    the second row minus the first; also with direct connections.
    """
    n_changes = 0
    for direct in (False, True):
        for act_fn in ("relu", "tanh"):
            model = own_network(5, act_fn, 2, direct=direct, decision_rule="argmax")
            *hidden, (weight, bias) = model.float64_layers()
            row = weight[1:] - weight[:1]
            past = row[:, 3:] if direct else None
            one = HookedMLP.from_weights(
                [*hidden, (row[:, :3], bias[1:] - bias[:1])], act_fn=act_fn, direct=past
            )
            found, expected = (geometry.boundary(net, n_points=61) for net in (model, one))
            assert torch.allclose(found.segments, expected.segments, atol=1e-9)
            assert (found.score, len(found.segments) > 0) == ("y1 - y0", True)
            walks = [geometry.path(net, [-1, 2], [2, -1]) for net in (model, one)]
            changes = [[(c.output, c.before, c.after) for c in walk.changes] for walk in walks]
            assert changes[0] == changes[1]
            n_changes += len(changes[0])
            assert torch.allclose(walks[0].scores, walks[1].outputs, atol=1e-9)
            slack = [
                margins.slack_to_flip(net).frame().set_index("parameter") for net in (model, one)
            ]
            same = [name for name in slack[1].index if not name.startswith(("fc3", "direct"))]
            for side in ("down", "up"):
                assert slack[0].loc[same, side].tolist() == pytest.approx(
                    slack[1].loc[same, side].tolist(), abs=1e-7
                )
            assert set(slack[0]["output_upper"]) <= {"", "y1"}
    assert n_changes > 1


def test_one_hidden_unit_with_direct_connections_by_hand():
    """y = x0 + x1 - 2 (x0 + x1 > 1.5), a step: the boundary at 0.5 is x0 + x1 = 0.5, 1.5 and 2.5,
    and the conditions have the direct weights u1 and u2.
    """
    model = HookedMLP.from_weights(
        [([[1, 1]], [-1.5]), ([[-2]], [0])],
        direct=[[1, 1]],
        act_fn="heaviside",
        decision_threshold=0.5,
        target="XOR",
    )
    sums = geometry.boundary(model).segments.sum(-1)
    assert sorted(set(sums.flatten().tolist())) == pytest.approx([0.5, 1.5, 2.5])
    assert [region.weight.tolist() for region in geometry.regions(model)] == [[[1, 1]]] * 2
    held = margins.conditions(model)
    assert [one.inequality for one in held] == [
        "c < 0.5",
        "u2 + c > 0.5",
        "u1 + c > 0.5",
        "v1 + u1 + u2 + c < 0.5",
    ]
    assert held.symbols["u2"] == "direct.weight[0, 1]"
    assert held.all_satisfied
    slack = margins.slack_to_flip(model).frame().set_index("parameter")
    # u1 decides 10 while it is above 0.5, and 11 stays below while it is under 1.5
    assert slack.loc["direct.weight[0, 0]", ["lower", "upper"]].tolist() == [0.5, 1.5]
    assert slack.loc["direct.weight[0, 0]", ["row_lower", "row_upper"]].tolist() == ["10", "11"]
    moved = edit(model, {"x1->y0": 0.25, "direct.weight[0, 0]": 3})
    assert moved.direct is not None
    assert moved.direct.weight.tolist() == [[3, 0.25]]


def test_conditions_name_the_levels():
    """On row 01 of -1 and 1 the first input takes its weight off; other levels are written."""
    model = HookedMLP.from_weights(
        [([[1, 1], [1, 1]], [2, 0]), ([[1, -1]], [-1])], input_levels=SYMMETRIC, target="OR"
    )
    held = margins.conditions(model, per_unit=True)
    assert held.conditions[3].inequality == "v1*(-w11 + w12 + b1) + c > 0"
    assert held.conditions[3].numbers == "1*(-1 + 1 + 2) - 1 > 0"
    assert held.conditions[4].inequality == "-w11 + w12 + b1 > 0"
    model = HookedMLP.from_weights(
        [([[1, 1]], [2]), ([[1]], [-1])], input_levels=(0.5, -2.5), dtype="float64"
    )
    assert next(iter(margins.conditions(model, "OR"))).inequality == (
        "v1*(0.5*w11 + 0.5*w12 + b1) + c < 0"
    )
    assert margins.conditions(model, "OR", per_unit=True).conditions[-1].inequality == (
        "-2.5*w11 - 2.5*w12 + b1 <= 0"
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("levels", [(0.0, 1.0), (-0.7, 1.3)])
def test_symbols_and_numbers_evaluate_to_the_value(name, levels):
    """Python's own evaluation of each inequality, every symbol put to its parameter, is the value;
    the decisions' values are the scores of the network's forward; all hold exactly where the
    network decides as the target says.
    """
    settings = CASES[name] | {"input_levels": levels}
    act_fn, d_out = settings.pop("act_fn", "relu"), settings.pop("d_out", 1)
    model = own_network(4, act_fn, d_out, **settings)
    functions = {
        other: lambda x, other=other: ACTIVATIONS[other](
            torch.tensor(x, dtype=torch.float64)
        ).item()
        for other in ACTIVATIONS
    }
    own = decisions(model).T.tolist()
    wrong = [[1 - bit for bit in own[0]], *own[1:]]
    for tables in (own, wrong):
        target = BooleanFunction(2, tuple(map(tuple, tables)))
        held = margins.conditions(model, target, per_unit=True)
        assert all(c.satisfied for c in held if c.kind == "decision") == (tables == own)
        values = {}
        for symbol, parameter in held.symbols.items():
            tensor, index = parameter.rstrip("]").split("[")
            values[symbol] = model.get_parameter(tensor)[tuple(map(int, index.split(",")))].item()
        assert len(values) == sum(p.numel() for p in model.parameters())
        scores = dict(
            zip(["00", "01", "10", "11"], model.rule.scores(model(model.rows())), strict=True)
        )
        for one in held:
            left, _, _ = one.inequality.rpartition(">" if ">" in one.inequality else "<")
            roughly = one.numbers.rpartition(">" if ">" in one.numbers else "<")[0]
            # a long one is written over the last layer's units, and has no value of its own
            if "*h1." not in left:
                assert eval(left, functions, values) == pytest.approx(one.value, abs=1e-7)
            if "*h1." not in roughly:
                assert eval(roughly, functions) == pytest.approx(one.value, abs=0.05)
            if one.kind == "decision" and d_out < 3 and model.cfg.out_act_fn == "identity":
                assert scores[one.row].item() == pytest.approx(one.value, abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_slack_against_a_scan(name):
    """A few weights moved by hand: inside the interval every decision is kept, and just beyond an
    end one is not.
    """
    model = network_of(name, 6)
    rows = model.rows()
    before, finite = model.rule.decide(model(rows)), 0
    lines = margins.slack_to_flip(model, progress=False).frame().to_dict("records")
    for line in lines[::7]:
        for side, end in ((-1, line["down"]), (1, line["up"])):
            for move in [0.3 * end, end - 1e-7, end + 1e-6] if end < 1e3 else [1.0, 30.0]:
                moved = edit(model, {line["parameter"]: line["value"] + side * move})
                flips = model.rule.decide(moved(rows)) != before
                assert flips.any() == (move > end), (line, move)
                finite += move > end
    assert finite > 0


def test_a_unit_on_its_step_stays_where_step_at_zero_puts_it():
    """x0 >= 0 on inputs 0 and 1 with step_at_zero=1 is on for both: its condition says >=, and the
    bias has no room below.
    """
    model = HookedMLP.from_weights(
        [([[1, 0]], [0]), ([[1]], [-0.5])], act_fn="heaviside", step_at_zero=1, target="TRUE"
    )
    assert margins.conditions(model, per_unit=True).conditions[1].inequality == "b1 >= 0"
    assert margins.conditions(model, per_unit=True).all_satisfied
    bias = margins.slack_to_flip(model, "h0.0").smallest
    assert (bias.down, bias.row_lower) == (0.0, "00, 01")
    off = HookedMLP.from_weights(
        [([[1, 0]], [0]), ([[1]], [-0.5])], act_fn="heaviside", target="x0"
    )
    assert margins.conditions(off, per_unit=True).conditions[1].inequality == "b1 <= 0"


def test_turning_points_are_where_the_derivative_vanishes():
    """silu's in closed form by Lambert's W; at each, autograd's derivative changes its sign; all
    other activations never fall, on a fine grid, nor does softplus but at its own step.
    """
    assert pytest.approx(-(1 + lambertw(1 / np.e).real), abs=1e-15) == _TURNING_POINTS["silu"][0]
    grid = torch.linspace(-6, 6, 40_001, dtype=torch.float64)
    for name, function in ACTIVATIONS.items():
        turns = _TURNING_POINTS.get(name, ())
        if name in ("gelu", "gelu_tanh", "silu"):
            (turn,) = turns
            around = torch.tensor([turn - 1e-12, turn + 1e-12], dtype=torch.float64)
            (slope,) = torch.autograd.grad(function(around.requires_grad_()).sum(), around)
            # flat to the second order: the derivative is about 1e-12 times the curvature
            assert slope.abs().max() < 1e-11
            low, high = grid[grid < turn], grid[grid > turn]
            assert (function(low).diff() <= 1e-16).all()
            assert (function(high).diff() >= 0).all()
        else:
            assert (function(grid).diff() >= 0).all()
    step = torch.tensor(_TURNING_POINTS["softplus"], dtype=torch.float64)
    assert ACTIVATIONS["softplus"](step).diff() < -1e-9


@pytest.mark.parametrize("name", CASES)
def test_enclosures_hold_every_sampled_score(name):
    """Random boxes of inputs: no sampled point's score lies outside the bounds (interval arithmetic
    of the first layer in NumPy).
    """
    model, rng = network_of(name, 7), np.random.default_rng(1)
    low = rng.uniform(-2, 2, (20, 2))
    high = low + rng.uniform(0, 0.7, (20, 2))
    points = low[:, None] + rng.uniform(0, 1, (20, 60, 2)) * (high - low)[:, None]
    weight, bias = (value.numpy() for value in model.float64_layers()[0])
    pre = points @ weight.T + bias
    bounds = enclosed(model, 0, (pre.min(1), pre.max(1)), (points.min(1), points.max(1)))
    outputs = model(torch.from_numpy(points).reshape(-1, 2))
    if model.cfg.out_act_fn == "sigmoid":
        outputs = torch.logit(outputs)
    scores = model.rule.distance(outputs).detach().numpy().reshape(20, 60, -1)
    assert (bounds[0][:, None] <= scores + 1e-9).all()
    assert (bounds[1][:, None] >= scores - 1e-9).all()


def test_softplus_at_its_own_step_is_enclosed():
    """Just above 20 PyTorch's softplus is smaller than at 20; bounds that leave it out would be
    wrong by 2e-9.
    """
    model = HookedMLP.from_weights(
        [([[1.0]], [0.0]), ([[1.0]], [-20.0])], act_fn="softplus", dtype="float64"
    )
    low, high = np.array([[20 - 1e-12]]), np.array([[20 + 1e-11]])
    (lowest,), (highest,) = (ends[0] for ends in enclosed(model, 0, (low, high), (low, high)))
    assert lowest < 1e-13
    assert highest > 2e-9


@pytest.mark.parametrize("levels", [SYMMETRIC, (1.0, 0.0), (-0.5, 2.0)])
def test_handmade_networks_take_levels(levels):
    """Gates, netlists and formulas decide their target on these levels, and with whole numbers the
    textbook's outputs stay 0, 1, 1, 0.
    """
    assert torch.allclose(
        textbook_xor(input_levels=levels)(textbook_xor(input_levels=levels).rows()),
        torch.tensor([[0.0], [1.0], [1.0], [0.0]]),
        atol=1e-6,
    )
    for model in (
        from_gates(["OR", "AND"], input_levels=levels),
        from_gates(["x0>x1", "x1>x0"], act_fn="sign", input_levels=levels),
        from_netlist([["OR", "AND"], ["x0 & ~x1"]], act_fn="sign", input_levels=levels),
        from_netlist([["OR", "NAND"], ["AND"]], act_fn="tanh", input_levels=levels),
        from_formula("x0 ^ x1", input_levels=levels),
    ):
        assert model.cfg.input_levels == levels
        assert decisions(model).flatten().tolist() == [0, 1, 1, 0]
    parity = from_formula("x0 ^ x1 ^ x2", act_fn="sign", input_levels=levels)
    wanted = [sum(row) % 2 for row in product((0, 1), repeat=3)]
    assert decisions(parity).flatten().tolist() == wanted
    with pytest.raises(XorMiError):
        from_formula("x0", input_levels=(1, 1))


def test_every_piecewise_linear_activation_is_one():
    """Each name is an activation, and between its kinks second differences vanish."""
    grid = torch.linspace(-9, 9, 1801, dtype=torch.float64)
    straight = {
        name
        for name, function in ACTIVATIONS.items()
        if (function(grid).diff().diff().abs() > 1e-12).sum() < 8
    }
    assert straight == set(PIECEWISE_LINEAR)


def test_a_tie_along_a_whole_stretch_is_said():
    """Two smooth outputs that are equal everywhere cannot be told apart."""
    model = HookedMLP.from_weights(
        [([[1.0, 1.0]], [0.0]), ([[1.0], [1.0]], [0.0, 0.0])],
        act_fn="tanh",
        decision_rule="argmax",
    )
    with pytest.raises(XorMiError, match="a tie with another"):
        geometry.path(model, "00", "11")


# pictures


def test_the_plane_of_other_levels_is_labelled():
    """Corners stand at the levels under the names of their bits, and the axes say what they are."""
    model = textbook_xor(input_levels=SYMMETRIC)
    figure = plots.input_plane(model, path=geometry.path(model, "00", "11"))
    corners = next(one for one in figure.data if one.name and one.name.startswith("inputs"))
    assert list(zip(corners.x, corners.y, strict=True)) == list(product(SYMMETRIC, repeat=2))
    assert [text[3:8] for text in corners.text] == ["00: 0", "01: 1", "10: 1", "11: 0"]
    assert figure.layout.xaxis.title.text == "x0 (bit 0 is -1, bit 1 is 1)"
    assert tuple(figure.layout.yaxis.range) == (-2, 2)
    moved = plots.weight_slider(margins.move_weight(model, n_steps=3))
    assert tuple(moved.layout.xaxis2.range) == (-2, 2)
    assert moved.layout.xaxis2.title.text == "x0 (bit 0 is -1, bit 1 is 1)"


def test_a_full_unit_is_named_on_the_way_and_in_the_plane():
    """hardtanh(4x - 2) turns on at x = 0.25 and full at 0.75; the path and the plane say so."""
    model = HookedMLP.from_weights(
        [([[4, 0]], [-2]), ([[1]], [0.25])], act_fn="hardtanh", dtype="float64"
    )
    walk = geometry.path(model, "00", "10")
    assert [(kink.t, kink.full) for kink in walk.kinks] == [(0.25, ()), (0.75, (Unit(0, 0),))]
    assert "turn on, off or full" in plots.path_figure(walk).layout.xaxis.title.text
    plane = plots.input_plane(model, path=walk)
    assert any(one.name == "kink: a unit turns on, off or full" for one in plane.data)
    names = next(one for one in plane.data if one.hovertext)
    assert sorted(names.text) == ["all off", "full: h0.0", "on: h0.0"]


def test_argmax_is_drawn_by_its_score():
    """The path's line is y1 - y0 with a dashed line at 0; the plane's title, colours and hover text
    speak of the difference.
    """
    model = own_network(5, "relu", 2, decision_rule="argmax", target="XOR")
    walk = geometry.path(model, [-1, 2], [2, -1])
    figure = plots.path_figure(walk)
    # what is rounding is drawn as 0
    assert list(figure.data[0].y) == pytest.approx(walk.outputs[:, 1] - walk.outputs[:, 0])
    assert figure.layout.yaxis.title.text == "score y1 - y0 (dashed: 0)"
    assert 0 in [shape.y0 for shape in figure.layout.shapes if shape.y0 == shape.y1]
    assert walk.frame().columns.tolist() == ["t", "x0", "x1", "y0", "y1", "y1 - y0"]
    plane = plots.input_plane(model)
    assert "y1 - y0 is above" in plane.layout.title.text
    assert plane.data[0].colorbar.title.text == "y1 -<br>y0"
    regions = [text for one in plane.data if one.hovertext for text in one.hovertext]
    assert regions
    assert all("<br>y1 - y0 = " in text for text in regions)
    assert plots.input_slider(walk).data[0].name == "y1 - y0"
    sweep = margins.move_weight(model, n_steps=3)
    assert set(sweep.frame()["place"]) == {"y1"}
    assert plots.weight_slider(sweep).data[1].colorbar.title.text == "y1 -<br>y0"


def test_direct_edges_are_drawn_around_the_hidden_layer():
    """Each has its number and passes above the hidden unit's box or below it; their columns stand in
    the picture of the contributions.
    """
    model = HookedMLP.from_weights(
        [([[1, 1]], [-1.5]), ([[-2]], [0.5])], direct=[[1.25, -1.75]], act_fn="heaviside"
    )
    figure = plots.network_diagram(model)
    texts = [note.text for note in figure.layout.annotations]
    assert {"u1 +1.25", "u2 -1.75"} <= set(texts)
    box = next(shape for shape in figure.layout.shapes if shape.name == "h0.0")
    for name, is_above in (("x0->y0", True), ("x1->y0", False)):
        (way,) = [one for one in figure.data if one.name == name]
        points = list(zip(way.x, way.y, strict=True))
        passing = [y for x, y in points if abs(x - box.xanchor) <= box.x1 + 1e-6]
        assert passing
        if is_above:
            assert min(passing) > box.yanchor + box.y1 + 5
        else:
            assert max(passing) < box.yanchor + box.y0 - 5
    columns = plots.contributions_heatmap(contributions(model)).data[0].x
    assert [name for name in columns if name.startswith("y0")] == [
        "y0<br>h0.0", "y0<br>x0", "y0<br>x1", "y0<br>bias", "y0<br>sum",
    ]  # fmt: skip
