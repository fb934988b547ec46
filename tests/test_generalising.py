"""When held-out rows come right: held against a plain loop that trains one step at a time."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from xor_mi import XorMiError, identify_circuit
from xor_mi.metrics import decisions
from xor_mi.population import SLOWLY, generalising
from xor_mi.training import train_population
from xor_mi.truth import BooleanFunction

SEEN = ["000", "001", "010", "011", "100", "101", "110"]
"""For XOR of the first two of three inputs; 111 is held out."""
SHAPE = {"n_inputs": 3, "hidden": 6, "lr": 0.03}


@pytest.fixture(scope="module")
def found():
    """XOR of two among three inputs."""
    return generalising("x0 ^ x1", 12, seen=SEEN, max_steps=200, **SHAPE)


def trained_by_hand(seed, n_steps):
    """Outputs on all eight rows and the weights after each step, by autograd and torch's AdamW."""
    started = train_population("x0 ^ x1", 1, seed=seed, max_steps=1, **SHAPE)
    (w1, b1), (w2, b2) = [(w[0].clone(), b[0].clone()) for w, b in started.start]
    parameters = [p.requires_grad_() for p in (w1, b1, w2, b2)]
    rows = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
    seen = [int(row, 2) for row in SEEN]
    wanted = (rows[:, 0] != rows[:, 1]).float()
    learn = torch.optim.AdamW(parameters, lr=SHAPE["lr"], weight_decay=SLOWLY.weight_decay)
    for _ in range(n_steps + 1):
        output = (torch.relu(rows @ w1.T + b1) @ w2.T + b2)[:, 0]
        yield output.detach(), w1.detach().clone()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(output[seen], wanted[seen])
        learn.zero_grad()
        loss.backward()
        learn.step()


def test_the_steps_are_those_of_a_plain_loop(found):
    """First fitted, first solved, rows held out, inputs that matter: four networks step by step.

    Rounding may decide an output near zero a step sooner or later.
    """
    wanted = np.array([0, 0, 1, 1, 1, 1, 0, 0])
    seen = [int(row, 2) for row in SEEN]
    held_out = [number for number in range(8) if number not in seen]
    compared = 0
    for seed in range(4):
        line = found.loc[seed]
        fitted = solved = None
        for step, (output, weight) in enumerate(trained_by_hand(seed, 200)):
            right = (output > 0).numpy() == wanted
            if fitted is None and right[seen].all():
                fitted = step
                if step == line["first_fitted"]:
                    assert line["held_out_fitted"] == right[held_out].mean()
                own = weight[:, :2].abs().sum() / weight.abs().sum()
                assert line["own_weight_fitted"] == pytest.approx(float(own), abs=0.01)
            if solved is None and right.all():
                solved = step
        for column, step in (("first_fitted", fitted), ("first_solved", solved)):
            assert pd.isna(line[column]) == (step is None)
            if step is not None:
                assert abs(line[column] - step) <= 1
                compared += 1
        assert line["held_out"] == right[held_out].mean()
        assert line["solved"] == right.all()
        bits = (output > 0).numpy().reshape(2, 2, 2)
        depends = [f"x{k}" for k in range(3) if (np.take(bits, 0, k) != np.take(bits, 1, k)).any()]
        assert line["depends"] == " ".join(depends)
    assert compared >= 5


def test_each_step_is_the_first_by_training_of_fewer_steps(found):
    """The network at the step has all rows right, and the one a step before has not."""
    for line in found.dropna(subset=["first_solved"]).head(3).itertuples():
        for step, expected in ((line.first_solved, True), (line.first_solved - 1, False)):
            alone = train_population(
                "x0 ^ x1",
                2,
                rows=SEEN,
                seed=line.seed,
                config=SLOWLY,
                max_steps=int(step),
                engine=found.attrs["engine"],
                **SHAPE,
            )
            assert bool(alone.solved[0]) is expected
            if expected:
                circuit = identify_circuit(alone[0], progress=False)
                assert line.verdict == circuit.verdict
                assert line.family == (circuit.family if circuit.primary else line.family)


def test_units_have_their_means_over_the_other_inputs(found):
    """`unmixed` against an average taken row by row, with hooks on the network itself."""
    seen = set()
    for line in found.dropna(subset=["first_solved"]).itertuples():
        alone = train_population(
            "x0 ^ x1",
            2,
            rows=SEEN,
            seed=line.seed,
            config=SLOWLY,
            max_steps=int(line.first_solved),
            engine=found.attrs["engine"],
            **SHAPE,
        )[0]

        def mean_of_pairs(value, hook):
            means = [(value[2 * k] + value[2 * k + 1]) / 2 for k in range(4)]
            return torch.stack([means[row // 2] for row in range(8)])

        output = alone.run_with_hooks(
            alone.rows(), fwd_hooks=[("blocks.0.mlp.hook_post", mean_of_pairs)]
        )
        stays = (output[:, 0] > 0).int().tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
        assert line.unmixed == stays
        seen.add(stays)
    assert True in seen


def test_what_never_happens_is_missing():
    """One unit cannot do XOR: no step, no circuit, and shares of rows all the same."""
    found = generalising("x0 ^ x1", 3, seen=["00", "01", "11"], hidden=1, max_steps=30)
    assert found["first_solved"].isna().all()
    assert found["unmixed"].isna().all()
    assert not found["solved"].any()
    assert found["verdict"].tolist() == [""] * 3
    for line in found.itertuples():
        model = train_population(
            "XOR", 3, rows=["00", "01", "11"], hidden=1, config=SLOWLY, max_steps=30
        )[line.seed]
        decided = decisions(model).flatten().tolist()
        assert line.held_out == (decided[2] == 1)


def test_blocks_change_nothing(found, monkeypatch):
    """Networks come out the same where they are trained two at a time."""
    monkeypatch.setattr("xor_mi.population._generalising.STATES_AT_ONCE", 1)
    again = generalising("x0 ^ x1", 5, seen=SEEN, max_steps=200, **SHAPE)
    pd.testing.assert_frame_equal(again, found.head(5), check_exact=True)


def test_a_share_of_the_rows_is_drawn_by_the_seed():
    """So many rows, others for another seed, and a function of all its inputs is never mixed."""
    majority = BooleanFunction.from_callable(lambda *bits: int(sum(bits) >= 3), 5)
    one, other = [
        generalising(majority, 2, seen=0.5, seed=seed, max_steps=200, identify=False)
        for seed in (0, 7)
    ]
    assert len(one.attrs["seen"]) == len(set(one.attrs["seen"])) == 16
    assert one.attrs["seen"] != other.attrs["seen"]
    assert (one["own_weight"] == 1).all()
    assert one["unmixed"].dropna().all()
    assert one["verdict"].tolist() == ["", ""]


@pytest.mark.parametrize(
    "seen", [0.0, 1.0, 1.5, 0.01, [], ["00", "01", "10", "11"], "00", float("nan")]
)
def test_without_rows_seen_and_held_out_it_is_refused(seen):
    """Nothing seen, everything seen, or no rows at all."""
    with pytest.raises(XorMiError, match="some have to be seen and some held out"):
        generalising("XOR", 2, seen=seen)


def test_direct_connections_are_refused():
    """They read inputs past the units whose weights are looked at."""
    with pytest.raises(XorMiError, match="direct=True connects inputs"):
        generalising("XOR", 2, direct=True)
