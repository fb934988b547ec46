"""What failing networks are stuck in, and the smallest nudge that frees them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from xor_mi.errors import XorMiError
from xor_mi.handmade import edit, textbook_xor
from xor_mi.handmade._edits import entries
from xor_mi.margins import slack_to_flip
from xor_mi.margins._slack import MovedWeight, WatchedRows
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.population import STUCK_KINDS, stuck_in, stuck_shares
from xor_mi.population._stuck_kinds import Stage
from xor_mi.training import TrainConfig, train, train_population
from xor_mi.truth import BooleanFunction

ROWS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR = np.array([0, 1, 1, 0])
X0_BEYOND_X1 = ([1, -1], 0.0)


def network(*units, readout=(1.0, 1.0), bias=-0.5, **conventions):
    """A 2-n-1 network of units ((w0, w1), b), and its readout."""
    hidden = ([weights for weights, _ in units], [own for _, own in units])
    layers = [hidden, ([list(readout)], [bias])]
    return HookedMLP.from_weights(layers, target="XOR", **conventions)


HAND_MADE = {
    # h0.1 is relu(-x0 - x1 - 1), which is zero on every row
    "dead_units": network(X0_BEYOND_X1, ([-1, -1], -1.0)),
    "one_sided": network(X0_BEYOND_X1, ([2, -2], 0.0)),
    # x0 > x1 and AND: both are zero on 00 and on 01
    "merged_rows": network(X0_BEYOND_X1, ([1, 1], -1.0)),
    # two sums that are above zero on every row
    "straight": network(([1, 2], 1.0), ([2, 1], 1.0)),
    # the two units of a solution, and a readout that is flat: sigmoid(-50) everywhere
    "plateau": network(
        X0_BEYOND_X1, ([-1, 1], 0.0), bias=-50.0, out_act_fn="sigmoid", loss_fn="mse"
    ),
    "still_falling": network(X0_BEYOND_X1, ([-1, 1], 0.0), bias=-1.5),
}


@pytest.mark.parametrize("kind", sorted(HAND_MADE))
def test_a_network_made_to_be_stuck_is_stuck_in_that(kind):
    """Each kind but divergence, by hand; and what is printed names it."""
    stuck = stuck_in(HAND_MADE[kind], retrain=False)
    assert stuck.kind == kind
    assert stuck.readout_computes == (kind in ("plateau", "still_falling"))
    assert kind.replace("_", " ") in str(stuck)


def test_the_units_and_rows_at_fault_are_named():
    """By hand: which unit is constant, which rows the units cannot tell apart, what is wrong."""
    assert stuck_in(HAND_MADE["dead_units"], retrain=False).dead == ("h0.1",)
    merged = stuck_in(HAND_MADE["merged_rows"], retrain=False)
    assert merged.merged == (("00", "01"),)
    assert merged.dead == ()
    # 0.5 on 10 and on 11
    assert merged.wrong_rows == ("01", "11")


def test_a_network_that_computes_is_refused_and_so_is_one_with_steps():
    """There is nothing to be said of them."""
    with pytest.raises(XorMiError, match="computes XOR"):
        stuck_in(textbook_xor())
    model = network(X0_BEYOND_X1, X0_BEYOND_X1, act_fn="heaviside")
    with pytest.raises(XorMiError, match="heaviside has no gradient"):
        stuck_in(model)


def hidden_of(model):
    """Values of a 2-n-1 network's hidden units, [row, unit]."""
    pre = ROWS @ model.fc1.weight.detach().double().numpy().T + model.fc1.bias.detach().numpy()
    return np.maximum(pre, 0) if model.cfg.act_name(0) == "relu" else np.tanh(pre)


def snapped(values):
    """A unit's values, with those within a thousandth of its range made one."""
    values = values.copy()
    order = np.argsort(values)
    reach = values.max() - values.min()
    for before, after in pairwise(order):
        if values[after] - values[before] <= 1e-3 * reach or reach < 1e-6 * abs(values).max():
            values[after] = values[before]
    return values


def is_separable(points):
    """Whether a plane has a margin between the rows of XOR and the others: a linear program."""
    sides = np.where(XOR == 1, -1, 1)[:, None] * np.c_[points, np.ones(4)]
    # maximise the margin m of weights between -1 and 1
    program = linprog(
        [0] * sides.shape[1] + [-1],
        A_ub=np.c_[sides, np.ones(4)],
        b_ub=np.zeros(4),
        bounds=[(-1, 1)] * sides.shape[1] + [(0, 1)],
    )
    return program.x[-1] > 1e-7


def ranks(values):
    """Values -> their order: the place of each among the different ones."""
    return tuple(np.unique(values, return_inverse=True)[1])


def kind_slowly(model):
    """The definitions of `stuck_in`, unit by unit, up to the slope."""
    units = [snapped(values) for values in hidden_of(model).T]
    varying = [unit for unit in units if np.ptp(unit) > 0]
    if not varying or not is_separable(np.array([u / np.ptp(u) for u in varying]).T):
        if len(varying) < len(units):
            return "dead_units"
        if len({min(ranks(unit), ranks(-unit)) for unit in varying}) == 1:
            return "one_sided"
        points = list(zip(*units, strict=True))
        if any(points[i] == points[j] for i in (0, 3) for j in (1, 2)):
            return "merged_rows"
        # on the four rows a unit is affine where the two diagonals add up to the same
        bends = [abs(unit[0] + unit[3] - unit[1] - unit[2]) for unit in hidden_of(model).T]
        if all(b <= 4e-3 * np.ptp(u) for b, u in zip(bends, units, strict=True)):
            return "straight"
    return "a slope"


@pytest.mark.as_a_user
@pytest.mark.parametrize(("hidden", "act_fn"), [(2, "relu"), (2, "tanh"), (3, "relu")])
def test_every_failing_network_is_of_exactly_one_kind(hidden, act_fn):
    """Kinds of trained networks are those of a slow reading of the definitions, and their numbers
    add up to all that fail.
    """
    population = train_population("XOR", 200, hidden=hidden, act_fn=act_fn, progress=False)
    failing = [k for k in range(200) if not population.solved[k]]
    slowly = [kind_slowly(population[k]) for k in failing]
    stage = Stage(population.cfg, [tuple(row) for row in ROWS.tolist()])
    found = stage.state_of(population.flat[failing].T).kinds
    alone = [stuck_in(population[k], retrain=False).kind for k in failing[:2]]
    assert alone == list(found[:2])
    by_slope = {"plateau": "a slope", "still_falling": "a slope"}
    assert [by_slope.get(kind, kind) for kind in found] == slowly
    assert len(set(slowly)) > 1
    shares = stuck_shares(population, n_nudged=0)
    assert shares["n_networks"].sum() == len(failing)
    counted = dict(zip(shares["kind"], shares["n_networks"], strict=True))
    assert counted == {kind: found.count(kind) for kind in STUCK_KINDS if kind in found}


def loss_of(flat):
    """The mean cross-entropy of a 2-2-1 tanh network with these parameters, in plain PyTorch."""
    weight, bias, readout, last = flat[:4].view(2, 2), flat[4:6], flat[6:8], flat[8]
    rows = torch.tensor(ROWS, dtype=torch.float64)
    outputs = torch.tanh(rows @ weight.T + bias) @ readout + last
    labels = torch.tensor(XOR, dtype=torch.float64)
    return torch.nn.functional.binary_cross_entropy_with_logits(outputs, labels)


@pytest.mark.parametrize("seed", range(4))
def test_slope_and_curvature_are_those_of_autograd(seed):
    """Loss, norm of the gradient and smallest eigenvalue of the Hessian, by PyTorch's autograd."""
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn(9, generator=generator, dtype=torch.float64)
    layers = [(flat[:4].view(2, 2), flat[4:6]), (flat[6:8][None], flat[8:])]
    model = HookedMLP.from_weights(layers, act_fn="tanh", target="XOR")
    stuck = stuck_in(model, retrain=False)
    gradient = torch.autograd.functional.jacobian(loss_of, flat)
    hessian = torch.autograd.functional.hessian(loss_of, flat)
    assert stuck.loss == pytest.approx(float(loss_of(flat)), rel=1e-9)
    assert stuck.gradient_norm == pytest.approx(float(gradient.norm()), rel=1e-9)
    smallest = float(torch.linalg.eigvalsh(hessian)[0])
    assert stuck.smallest_curvature == pytest.approx(smallest, abs=1e-7)


def test_zero_weights_behind_the_units_are_a_saddle():
    """A readout of zeros behind tanh(x0 + x1 - 1) and tanh(x0 - x1): no slope, and a way down.

    Four rows of loss log 2, and by hand: both units' sums over the rows of XOR and over the others
    are zero, so no weight has a gradient. Moving a first bias by e and its readout by d changes the
    loss by d e (sum of y - 1/2 times 1 - h^2) / 4 to second order, of either sign.
    """
    units = (([1, 1], -1), ([1, -1], 0))
    model = network(*units, readout=(0, 0), bias=0, act_fn="tanh")
    stuck = stuck_in(model, retrain=False)
    assert stuck.loss == pytest.approx(np.log(2))
    assert stuck.gradient_norm < 1e-12
    assert stuck.smallest_curvature < -0.01
    assert stuck.is_saddle
    assert not stuck_in(HAND_MADE["still_falling"], retrain=False).is_saddle


@pytest.mark.as_a_user
@pytest.mark.parametrize("act_fn", ["relu", "tanh"])
def test_moves_that_compute_are_those_of_a_grid(act_fn):
    """A solution's last bias is moved off; the values at which all rows come right, on a grid."""
    population = train_population("XOR", 40, act_fn=act_fn, progress=False)
    solved = [k for k in range(40) if population.solved[k]][:3]
    n_computing = 0
    for k in solved:
        model = population[k]
        off = edit(model, {"fc2.bias[0]": model.fc2.bias.item() - 6})
        weights = [[part.numpy() for part in layer] for layer in off.float64_layers()]
        watched = WatchedRows.of(off, [tuple(row) for row in ROWS.tolist()])
        for entry in entries(off):
            grid = np.linspace(-12, 12, 601) + 0.0012345
            (weight, bias), (readout, last) = weights
            tensor = (weights[entry.layer][1 if entry.source is None else 0]).copy()
            computes = []
            for value in grid:
                tensor[entry.index] = value
                own = {"fc1.weight": weight, "fc1.bias": bias}
                own |= {"fc2.weight": readout, "fc2.bias": last, entry.tensor: tensor}
                pre = ROWS @ own["fc1.weight"].T + own["fc1.bias"]
                hidden = np.maximum(pre, 0) if act_fn == "relu" else np.tanh(pre)
                outputs = (hidden @ own["fc2.weight"].T + own["fc2.bias"])[:, 0]
                computes.append(((outputs > 0) == XOR).all())
            moved = MovedWeight.of(watched, entry)
            at = grid - moved.value
            intervals = moved.moves_to(XOR[:, None])
            inside = [any(low < t < high for low, high in intervals) for t in at]
            assert inside == computes
            n_computing += sum(computes)
    assert n_computing > 100


def test_the_smallest_nudge_that_computes():
    """x0>x1 with weight 1 on a readout with bias -1.5 is not seen; by hand: outputs are -1.5, -0.5,
    -0.5, -1.5, so the bias has to grow by 0.5 and may by 1.5, and no other weight moves two rows
    that fail alike.
    """
    stuck = stuck_in(HAND_MADE["still_falling"], retrain=False)
    (nudge,) = stuck.nudges
    assert nudge == stuck.computes
    assert (nudge.parameter, nudge.value, nudge.kind) == ("fc2.bias[0]", -1.5, "computes")
    assert nudge.move == pytest.approx(0.5)
    after = edit(stuck.model, {nudge.parameter: nudge.new_value})
    assert decisions(after).flatten().tolist() == XOR.tolist()
    assert stuck.frame().to_dict("records") == [nudge.shown_line()]


def test_what_frees_was_trained_and_is_the_first_that_does():
    """A dead unit in a network that has all else: training on does not free it, and the network
    that is nudged is solved when `train` takes it; smaller nudges were not solutions.
    """
    model = HAND_MADE["dead_units"]
    stuck = stuck_in(model)
    assert stuck.is_freed_by_training_on is False
    assert not train("XOR", init=model, progress=False).solved
    nudge = stuck.frees
    assert nudge is not None
    assert nudge.kind == "frees"
    assert stuck.n_tried >= 1
    after = edit(model, {nudge.parameter: nudge.new_value})
    assert train("XOR", init=after, progress=False).solved
    assert stuck.frame()["kind"].tolist()[-1] == "frees"


def test_what_has_steps_left_is_freed_by_training_on():
    """A readout that only has to learn its bias needs no nudge."""
    stuck = stuck_in(HAND_MADE["still_falling"])
    assert stuck.is_freed_by_training_on
    assert "more training frees it" in str(stuck)


def test_shares_count_nudges_of_a_sample_that_the_seed_draws():
    """So many networks of each kind at most, the same ones again with the same seed; none more is
    freed than was tried.
    """
    population = train_population("XOR", 120, progress=False)
    shares = stuck_shares(population, n_nudged=5, seed=1)
    assert shares.equals(stuck_shares(population, n_nudged=5, seed=1))
    assert (shares["n_nudged"] == shares["n_networks"].clip(upper=5)).all()
    assert (shares["n_train_on"] <= shares["n_frees"]).all()
    assert (shares["n_frees"] <= shares["n_nudged"]).all()
    assert shares["n_frees"].sum() > 0
    assert shares["share"].sum() == pytest.approx(1)


def test_networks_that_diverged_are_counted_and_not_nudged():
    """Weights that are not finite are a kind of their own."""
    population = train_population("XOR", 6, progress=False)
    (weight, bias), readout = population.weights
    broken = weight.clone()
    broken[[0, 2]] = torch.nan
    diverged = replace(population, weights=((broken, bias), readout))
    shares = stuck_shares(diverged, n_nudged=2).set_index("kind")
    assert shares.loc["diverged", "n_networks"] == 2
    assert shares.loc["diverged", "n_nudged"] == 0
    # seed 2 was solved before
    assert shares["n_networks"].sum() == 5


def test_a_population_of_unknown_training_has_kinds_and_no_nudges():
    """What was read from a file cannot be trained on as it was."""
    population = replace(train_population("XOR", 8, progress=False), config=None)
    assert stuck_shares(population, n_nudged=0)["n_networks"].sum() == 6
    with pytest.raises(XorMiError, match="how it was trained"):
        stuck_shares(population)


def test_the_picture_shows_the_plane_and_the_nudges():
    """Each nudge is a bar as long as its move; of a network with three inputs there is no plane."""
    stuck = stuck_in(HAND_MADE["still_falling"], retrain=False)
    figure = stuck.plot()
    assert [bar.x for bar in figure.data if bar.type == "bar"] == [(stuck.nudges[0].move,)]
    corners = next(trace for trace in figure.data if trace.text is not None and trace.mode)
    assert [text[3:8] for text in corners.text] == ["00: 0", "01: 0", "10: 0", "11: 0"]
    of_three = train_population("a ^ b ^ c", 1, hidden=1, max_steps=5, progress=False)[0]
    figure = stuck_in(of_three, retrain=False).plot()
    assert {trace.type for trace in figure.data} == {"bar"}


def test_a_readout_of_three_outputs_may_win_where_no_line_separates_one():
    """The classes s = x0 + x1 = 0, 1 or 2. By hand: the largest of 1 - 2 s, 0 and 2 s - 3 tells them
    apart, though no threshold of s has 1 alone on its side; x0 > x1 has the same value on 00 and 11.
    """
    classes = BooleanFunction(2, ((1, 0, 0, 0), (0, 1, 1, 0), (0, 0, 0, 1)))
    for unit, computes in ((([1, 1], 0.0), True), (([1, -1], 0.0), False)):
        layers = [([unit[0]], [unit[1]]), ([[0], [0], [0]], [0, 0, 0])]
        model = HookedMLP.from_weights(layers, decision_rule="argmax", target=classes)
        stuck = stuck_in(model, retrain=False)
        assert stuck.readout_computes == computes
        assert stuck.kind == ("still_falling" if computes else "one_sided")


def test_direct_connections_keep_rows_apart():
    """Two rows that are one to the hidden units are two to a readout that reads the inputs too."""
    hidden = ([[1, -1], [1, 1]], [0.0, -1.0])
    kept_apart = HookedMLP.from_weights(
        [hidden, ([[1, 1]], [-0.5])], direct=[[0.0, 0.0]], target="XOR"
    )
    stuck = stuck_in(kept_apart, retrain=False)
    assert stuck.merged == ()
    # x0 + x1 - 2 AND computes XOR
    assert stuck.readout_computes


def test_rows_that_were_trained_on_are_all_that_counts():
    """A network that is wrong on 11 alone is stuck in nothing without it."""
    model = network(([1, 1], 0.0), ([1, 1], -3.0))
    assert stuck_in(model, retrain=False).wrong_rows == ("11",)
    with pytest.raises(XorMiError, match="computes XOR on these rows"):
        stuck_in(model, rows=["00", "01", "10"], retrain=False)


def test_a_weight_that_no_output_depends_on_moves_freely():
    """Two hidden layers, and an output that reads the first unit of the second alone, which reads
    the first unit of the first: the weights of the others have no nudge and no end, though 00 lies on
    the threshold.
    """
    layers = [
        ([[1, 1], [1, 2]], [0, 0]),
        ([[1, 0], [3, 1]], [0, 0]),
        ([[1, 0]], [0]),
    ]
    model = HookedMLP.from_weights(layers, act_fn="tanh", target="XOR")
    slack = {weight.parameter: weight.slack for weight in slack_to_flip(model)}
    unread = ["fc1.weight[1, 0]", "fc1.bias[1]", "fc2.weight[1, 0]", "fc2.bias[1]"]
    assert [slack[name] for name in unread] == [np.inf] * 4
    # on 00 everything is zero, so the least move of a bias decides that row
    assert slack["fc1.bias[0]"] == slack["fc2.bias[0]"] == 0
    assert all(nudge.parameter not in unread for nudge in stuck_in(model, retrain=False).nudges)


def test_batches_of_more_rows_than_there_are_cannot_be_trained_on():
    """As `train` refuses them."""
    model = train_population("XOR", 1, max_steps=2, progress=False)[0]
    with pytest.raises(XorMiError, match=r"batch_size is 4, of 3 rows"):
        stuck_in(model, rows=["00", "01", "11"], config=TrainConfig(batch_size=4))
