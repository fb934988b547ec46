"""How a circuit forms while a network trains, against plain arithmetic at every single step."""

import numpy as np
import pandas as pd
import pytest
import torch
from every_step import events_by_looking, values_on_rows

from xor_mi import census, identify_circuit, train, train_population, trajectory
from xor_mi.errors import XorMiError
from xor_mi.margins import conditions
from xor_mi.population import EVENTS, Moment, stuck_in
from xor_mi.population._events import events_of_all
from xor_mi.population._identified import Identities, identified
from xor_mi.population._paths import Paths, facts_of

QUIET = {"progress": False}
FAST = {"lr": 0.1, "max_steps": 60}
"""Few steps, in which much happens."""


def told(found):
    """Step, event and unit of each event."""
    return {(one.step, one.event, one.unit) for one in found}


@pytest.mark.as_a_user
@pytest.mark.parametrize("settings", [{}, {"act_fn": "tanh"}, {"input_noise": 0.2}])
def test_events_are_those_of_every_single_step_looked_at_alone(settings):
    """`identify_circuit` at each step and NumPy's forward say what happened, and when."""
    solved = train_population("XOR", 60, engine="torch", **FAST, **settings, **QUIET).solved
    for seed in [int(solved.nonzero()[0]), int((~solved).nonzero()[0])]:
        found = trajectory("XOR", seed, **FAST, **settings, **QUIET)
        every = train("XOR", seed=seed, checkpoints="every 1", **FAST, **settings, **QUIET)
        families, readings = [], []
        for step in range(every.steps + 1):
            circuit = identify_circuit(every.checkpoints[step], with_evidence=False, **QUIET)
            gates = ["idle" if unit.idle else unit.gate for unit in circuit.units]
            readings.append(gates if circuit.circuits else ["", ""])
            wrong = circuit.verdict == "not_computing"
            families.append(None if wrong else circuit.family if circuit.circuits else "")
        end = "finished" if every.final_loss < 0.01 else "out_of_steps"
        values = values_on_rows(every.checkpoints.flat[: every.steps + 1, 0], every.model.cfg)
        expected = events_by_looking(values, families, readings) | {(every.steps, end, "")}
        assert told(found.happened) == expected
        assert found.losses == every.loss_history
        assert torch.equal(found.networks[60].fc1.weight, every.model.fc1.weight)
        assert (found.circuit.verdict, found.circuit.family) == (circuit.verdict, circuit.family)


def test_moments_are_the_census_of_the_networks_at_checkpoints():
    """Verdict, family, margins and loss of the same training with as many steps as the checkpoint;
    rows counted from the networks' own outputs.
    """
    asked = {"hidden": 3, "rows": ["000", "011", "101", "110", "001"], "lr": 0.1, "max_steps": 60}
    found = trajectory("x0 ^ x1 | x2", 3, checkpoints=[0, 7, 60], act_fn="tanh", **asked, **QUIET)
    goal = torch.tensor([0, 1, 1, 1, 1, 1, 0, 1])
    trained = torch.tensor([0, 3, 5, 6, 1])
    assert found.trained_rows == tuple(asked.pop("rows"))
    for moment, (step, network) in zip(found.moments, found.networks.items(), strict=True):
        output = network(network.rows())[:, 0]
        right = (output > 0) == (goal == 1)
        assert moment.step == step
        assert moment.n_rows_right == right.sum()
        assert moment.n_trained_right == right[trained].sum()
        assert moment.n_held_out_right == right.sum() - right[trained].sum()
        distance = torch.where(goal == 1, output, -output)
        assert moment.slack == pytest.approx(distance.min().item())
        signs = torch.where(goal == 1, 1.0, -1.0)[trained]
        loss = torch.nn.functional.softplus(-signs * output[trained]).mean()
        assert moment.loss == pytest.approx(loss.item(), rel=1e-4)
        circuit = identify_circuit(network, with_evidence=False, **QUIET)
        assert (moment.verdict, moment.family) == (circuit.verdict, circuit.family)
        plain = found.by_step[min(step, found.n_steps)]
        assert plain == tuple(getattr(moment, name) for name in plain._fields)
    assert list(found.frame()["step"]) == [0, 7, 60]
    assert len(found.by_step) == len(found.losses) == found.n_steps + 1
    assert tuple(found.frame().columns) == Moment._fields


@pytest.mark.as_a_user
def test_readings_of_moments_are_those_of_the_circuit():
    """Gates, idle units, dead units and the smallest margin of a solved network of three units."""
    solved = train_population("XOR", 40, hidden=3, engine="torch", **QUIET)
    networks = census(solved, **QUIET)
    n_idle = n_dead = 0
    for seed in solved.solved.nonzero().flatten().tolist()[:6]:
        last = trajectory("XOR", seed, hidden=3, checkpoints=[2000], **QUIET).moments[-1]
        circuit = identify_circuit(solved[seed], with_evidence=False, **QUIET)
        gates = tuple("idle" if unit.idle else unit.gate for unit in circuit.units)
        margins = [unit.margin for unit in circuit.units if not unit.idle]
        assert (last.gates, last.margin) == (gates, pytest.approx(min(margins)))
        assert last.dead == tuple(unit.constant for unit in circuit.units)
        assert last.family == networks["family"][seed]
        assert last.verdict == networks["verdict"][seed]
        n_idle += "idle" in gates
        n_dead += any(last.dead)
    assert n_idle
    assert n_dead


def test_a_unit_dies_when_hand_arithmetic_says_so():
    """One sgd step with rate 1 towards NOT, by hand.

    On row 1 the unit is 1 - 0.9 = 0.1 and so is the output; its loss wants it lower, by
    sigmoid(0.1) / 2 = 0.26. So the weight becomes 0.74 and the bias -1.16: 0 on both rows. On row 0
    it was 0 before.
    """
    init = [([[1.0]], [-0.9]), ([[1.0]], [0.0])]
    found = trajectory("~x0", n_inputs=1, init=init, lr=1.0, optimizer="sgd", max_steps=3, **QUIET)
    died = [one for one in found.happened if one.event == "unit_dies"]
    assert died == [(1, "unit_dies", "h0.0", "varies", "dead")]
    assert [moment.dead for moment in found.moments] == [(False,), (True,), (True,), (True,)]
    # a unit that is dead from the start is so at step 0, and one with a constant above 0 is on
    init = [([[-1.0], [0.0]], [-1.0, 2.0]), ([[1.0, 1.0]], [0.0])]
    found = trajectory("~x0", n_inputs=1, init=init, max_steps=1, **QUIET)
    died = [one for one in found.happened if one.event == "unit_dies"]
    assert died[0] == (0, "unit_dies", "h0.0", "", "dead")
    assert died[1] == (0, "unit_dies", "h0.1", "", "always on")


def test_rows_trained_on_come_right_before_all_do():
    """Trained on 00 and 11 alone XOR is fitted, and never solved; counted from the outputs."""
    found = trajectory("XOR", 29, rows=["00", "11"], checkpoints="every 1", max_steps=80, **QUIET)
    fitted = [
        bool((network(network.rows(["00", "11"])) < 0).all()) for network in found.networks.values()
    ]
    assert found.step_of("first_fitted") == fitted.index(True)
    assert found.step_of("first_solved") is None
    assert "the 2 rows trained on at step" in str(found)
    twice = trajectory("XOR", 29, rows=["00", "11", "11"], max_steps=80, **QUIET)
    assert "the 2 rows trained on at step" in str(twice)
    assert "never all rows right" in str(found)


def test_conditions_at_every_checkpoint():
    """Those of `margins.conditions`, checkpoint after checkpoint."""
    found = trajectory("XOR", 29, checkpoints=[0, 60], **QUIET)
    table = found.conditions()
    assert table["step"].tolist() == [0] * 4 + [60] * 4
    alone = conditions(found.networks[60], "XOR").frame()
    pd.testing.assert_frame_equal(
        table[table["step"] == 60].drop(columns="step").reset_index(drop=True), alone
    )


@pytest.mark.as_a_user
@pytest.mark.parametrize("direct", [True, False])
def test_halving_finds_what_looking_at_every_step_does(direct):
    """Stretches, their ends and the steps between, also of networks with direct connections."""
    asked = {"max_steps": 60, "lr": 0.1, "direct": direct, "engine": "torch"}
    n_networks = 4 if direct else 60
    population = train_population("XOR", n_networks, checkpoints=range(61), **asked, **QUIET)
    paths = Paths.of(population)
    facts = facts_of(paths.flat, paths.cfg, min_margin=0.01)
    identities, looked = Identities(2), []
    codes = {}
    for every in (False, True):
        looked.append(0)

        def report(n):
            looked[-1] += n

        codes[every] = identified(
            paths,
            facts,
            identities,
            require="joint",
            min_margin=0.01,
            every_step=every,
            report=report,
        )
    assert len(np.unique(codes[True])) > 3
    assert (codes[False] == codes[True]).all()
    assert looked[0] < looked[1] / 2
    found = [
        list(events_of_all(paths, facts, one, identities.known, trained=None))
        for one in codes.values()
    ]
    assert found[0] == found[1]


def test_what_fails_says_what_it_is_stuck_in():
    """Seed 0 loses both units; that is what `stuck_in` says of the network `train` gives, whatever
    checkpoints were asked. What has fitted the rows it was trained on is stuck in nothing.
    """
    found = trajectory("XOR", 0, checkpoints=[0], max_steps=200, **QUIET)
    trained = train("XOR", seed=0, max_steps=200, **QUIET).model
    alone = stuck_in(trained, retrain=False)
    assert (found.stuck.kind, found.stuck.nudges) == (alone.kind, alone.nudges)
    assert found.stuck.dead == ("h0.0", "h0.1")
    assert "it is stuck: dead units" in str(found)
    fitted = trajectory("XOR", 29, rows=["00", "11"], checkpoints=[0], max_steps=80, **QUIET)
    assert fitted.stuck is None
    assert "stuck" not in str(fitted)


@pytest.mark.unchecked
def test_bad_input():
    """Every mistake is one sentence with the next step."""
    with pytest.raises(XorMiError, match=r"step 61, and training has steps 0 to 60 \(max_steps\)"):
        trajectory("XOR", checkpoints=[61], **FAST)
    with pytest.raises(XorMiError, match="a checkpoint is 1.5"):
        trajectory("XOR", checkpoints=[1.5], **FAST)
    with pytest.raises(XorMiError, match="checkpoints is empty"):
        trajectory("XOR", checkpoints=[], **FAST)
    with pytest.raises(XorMiError, match="a function that sees each network is for train"):
        trajectory("XOR", checkpoints=lambda step, network: True, **FAST)
    with pytest.raises(XorMiError, match="every_step is 1; give True or False"):
        trajectory("XOR", every_step=1, **FAST)
    with pytest.raises(XorMiError, match="training diverged"):
        trajectory("XOR", 2, lr=1e30, max_steps=20, loss_fn="mse", optimizer="sgd", **QUIET)
    found = trajectory("XOR", 0, **FAST, **QUIET)
    with pytest.raises(XorMiError, match="no event 'first_solve'.*did you mean 'first_solved'"):
        found.step_of("first_solve")
    with pytest.raises(XorMiError, match="no hidden unit 'h1.0'; this network has: h0.0, h0.1"):
        found.step_of("unit_dies", "h1.0")
    assert set(found.head()["events"]) <= set(EVENTS)
