"""Width, one unit, identity: studies that rest on many networks."""

import itertools
from dataclasses import replace
from math import comb

import numpy as np
import pytest

from xor_mi import plots
from xor_mi.errors import XorMiError
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.population import (
    PUBLISHED,
    census,
    identity_experiment,
    width_study,
)
from xor_mi.training import TrainConfig, train_population
from xor_mi.truth import threshold_functions, truth_rows

pytestmark = pytest.mark.as_a_user

SHORT = TrainConfig(max_steps=700)


@pytest.fixture(scope="module")
def study():
    """200 networks at widths 1 to 3, trained for fewer steps than by default."""
    return width_study(widths=(1, 2, 3), n_networks=200, config=SHORT)


def test_rates_intervals_and_published_shares(study):
    """Counts are the populations' own; intervals are Clopper-Pearson's, by their binomial tails;
    one unit never, more units more often.
    """
    for line in study.to_dict("records"):
        k, n = line["n_solved"], line["n_networks"]
        assert (
            k
            == train_population(
                "XOR", n, hidden=line["width"], config=replace(SHORT, act_fn=line["act_fn"])
            ).solved.sum()
        )
        low, high = line["ci_low"], line["ci_high"]
        assert sum(
            comb(n, i) * high**i * (1 - high) ** (n - i) for i in range(k + 1)
        ) == pytest.approx(0.025, abs=1e-4)
        assert k == 0 or sum(
            comb(n, i) * low**i * (1 - low) ** (n - i) for i in range(k, n + 1)
        ) == pytest.approx(0.025, abs=1e-4)
    relu = study[study["act_fn"] == "relu"]
    assert relu["rate"].is_monotonic_increasing
    assert relu["rate"].iloc[0] == 0
    assert relu["published"].tolist()[1:] == [0.28, 0.52]
    assert PUBLISHED["sigmoid", "sgd"][2] == 0.90
    assert (
        width_study(widths=(1,), n_networks=5, act_fns=("relu",), target="OR")["published"]
        .isna()
        .all()
    )
    # nor are networks alike that learn from batches
    by_batches = TrainConfig(batch_size=2, max_steps=2)
    other = width_study(widths=(2,), n_networks=5, act_fns=("relu",), config=by_batches)
    assert other["published"].isna().all()


@pytest.mark.parametrize(("n_inputs", "possible"), [(1, 4), (2, 14), (3, 104)])
def test_one_unit_gives_exactly_the_threshold_functions(n_inputs, possible):
    """The number of threshold functions is known (OEIS A000609); every witness and every conflict
    is checked here by hand.
    """
    proof, rows = threshold_functions(n_inputs), truth_rows(n_inputs)
    assert len(proof) == 2 ** len(rows)
    assert proof["possible"].sum() == possible
    for line in proof.to_dict("records"):
        if line["possible"]:
            above = [np.dot(line["weights"], row) > line["threshold"] for row in rows]
            assert above == [bit == "1" for bit in line["table"]]
        else:
            ones, zeros = (
                [tuple(map(int, row)) for row in side.split(" + ")]
                for side in line["conflict"].split(" = ")
            )
            bit = dict(zip(rows, line["table"], strict=True))
            assert {bit[row] for row in ones} == {"1"}
            assert {bit[row] for row in zeros} == {"0"}
            assert np.sum(ones, axis=0).tolist() == np.sum(zeros, axis=0).tolist()


def test_no_random_one_unit_network_leaves_the_list():
    """3,000 random 2-1-1 networks of every monotone kind decide only listed functions, and never
    XOR.
    """
    proof, generator = threshold_functions(), np.random.default_rng(0)
    listed, seen = set(proof[proof["possible"]]["table"]), set()
    rows = np.array(truth_rows(2))
    for act in (
        lambda z: np.maximum(z, 0),
        np.tanh,
        lambda z: 1 / (1 + np.exp(-z)),
        lambda z: np.where(z > 0, z, 0.01 * z),
    ):
        for w1, b1, w2, b2 in zip(
            *(generator.normal(size=(750, k)) for k in (2, 1, 1, 1)), strict=True
        ):
            seen.add("".join(str(int(y > 0)) for y in w2 * act(rows @ w1 + b1) + b2))
    assert seen <= listed
    assert len(seen) > 10


def test_gelu_is_refused_for_a_reason():
    """One gelu unit does compute XOR, by its dip below zero; the argument does not speak of it, nor
    of four inputs.
    """
    dip = HookedMLP.from_weights([([[-0.75, -0.75]], [0.0]), ([[-1.0]], [-0.16])], act_fn="gelu")
    tables = {tuple(decisions(dip).flatten().tolist())}
    for scale, bias in itertools.product((0.5, 0.75, 1.0, 1.5), (-2.0, -1.5, -1.0, 0.0)):
        model = HookedMLP.from_weights(
            [([[scale, scale]], [bias]), ([[-1.0]], [-0.12])], act_fn="gelu"
        )
        tables.add(tuple(decisions(model).flatten().tolist()))
    assert (0, 1, 1, 0) in tables
    with pytest.raises(XorMiError, match="never falls.*not 'gelu'"):
        threshold_functions(2, act_fn="gelu")
    with pytest.raises(XorMiError, match="n_inputs is 4"):
        threshold_functions(4)


def test_identity_is_not_learnt_for_the_digit_that_never_varied():
    """Held-out even numbers come out right, odd ones never; the reason is exact: nothing moved the
    last input's weights.
    """
    found = identity_experiment(60)
    assert found["seen"].mean() > 0.9
    assert found["held_out_even"].mean() > 0.7
    assert found["held_out_odd"].max() == 0
    assert found["odd_made_even"].mean() > 0.8
    assert (found["last_input_moved"] == 0).all()
    assert (found["last_bias"] < 0).all()
    assert (found["last_odd"] < 0).all()
    target = "x0, x1, x2, x3"
    rows = ("0000", "0010", "0100", "1000", "1110")
    population = train_population(target, 60, hidden=8, n_inputs=4, rows=rows)
    decided = np.array([decisions(population[k]).numpy() for k in range(60)])
    right = (decided == np.array(truth_rows(4))).all(2)
    assert found["held_out_odd"].tolist() == right[:, 1::2].mean(1).tolist()
    assert found["held_out_even"].tolist() == pytest.approx(right[:, [6, 10, 12]].mean(1).tolist())


def test_the_experiment_reads_outputs_as_the_networks_do():
    """With a sigmoid at the output a bit is decided at 0.5, and not at 0."""
    config = TrainConfig(out_act_fn="sigmoid", max_steps=300)
    experiment = identity_experiment(10, config=config)
    rows = ("0000", "0010", "0100", "1000", "1110")
    population = train_population(
        "x0, x1, x2, x3", 10, hidden=8, n_inputs=4, rows=rows, config=config
    )
    decided = np.array([decisions(population[k]).numpy() for k in range(10)])
    right = (decided == np.array(truth_rows(4))).all(2)
    assert experiment["seen"].tolist() == pytest.approx(right[:, [0, 2, 4, 8, 14]].mean(1).tolist())
    assert experiment["seen"].mean() > 0.5


def test_a_digit_that_varies_is_learnt():
    """The control: trained on all sixteen numbers, the same networks repeat odd ones too."""
    population = train_population("x0, x1, x2, x3", 40, hidden=8, n_inputs=4)
    assert population.solved.float().mean() > 0.6


@pytest.mark.parametrize("seen", [(), ("0011",), tuple(f"{i:03b}0" for i in range(8))])
def test_an_identity_experiment_without_anything_held_out_is_refused(seen):
    """Nothing seen, an odd number, or all even ones."""
    with pytest.raises(XorMiError, match="give even numbers such as"):
        identity_experiment(3, seen=seen)


def test_figures_show_the_findings(study):
    """The curve has the rates, with published points beside; the weights' panels hold every unit of
    every solved network.
    """
    figure = plots.success_curve(study)
    assert [trace.name.split(",")[0] for trace in figure.data] == [
        "relu",
        "relu",
        "sigmoid",
        "sigmoid",
    ]
    assert list(figure.data[0].y) == pytest.approx(
        (100 * study[study["act_fn"] == "relu"]["rate"]).tolist()
    )
    assert list(figure.data[1].y) == pytest.approx([28, 52])
    networks = census(train_population("XOR", 60))
    panels = plots.family_weights(networks)
    assert sum(len(trace.x) for trace in panels.data) == 2 * networks["solved"].sum()
    with pytest.raises(XorMiError, match="2-3-1, with 13 weights each"):
        plots.family_weights(networks, width=3)
