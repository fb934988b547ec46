"""Where first signs lead, and how early the end of training is predicted."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from xor_mi.errors import XorMiError
from xor_mi.model import initial_weights
from xor_mi.population import census, outcome_by_sign_pattern, predict_ending
from xor_mi.population._ending import Halves, Seen, held_out, voted
from xor_mi.training import train_population


@pytest.fixture(scope="module")
def population():
    """Networks 2-2-1 with checkpoints, of which some fail."""
    return train_population(
        "XOR", 300, max_steps=600, checkpoints=[0, 10, 100, 300], progress=False
    )


@pytest.fixture(scope="module")
def networks(population):
    """Their census."""
    return census(population, progress=False)


def test_patterns_count_every_network_by_its_first_signs(population, networks):
    """Signs of the drawn weights, read and sorted here one network at a time, against the families
    of the census.
    """
    counted = Counter()
    for seed, family in zip(networks["seed"], networks["family"], strict=True):
        weight = initial_weights((2, 2, 1), seed)[0][0].tolist()
        units = ["".join("+" if one > 0 else "-" for one in unit) for unit in weight]
        counted[" ".join(sorted(units)), family] += 1
    table = outcome_by_sign_pattern(networks, (2, 2, 1))
    found = dict(
        zip(
            zip(table["pattern"], table["outcome"], strict=True),
            table["n_in_outcome"],
            strict=True,
        )
    )
    assert found == counted
    assert set(table["outcome"]) >= {"not_computing", "OR & ~AND"}
    starting = table.groupby("pattern")["n_networks"].first()
    assert starting.sum() == 300
    assert len(starting) == 10
    assert (table.groupby("pattern")["share"].sum() - 1).abs().max() < 1e-12
    assert table.groupby("pattern")["pattern_share"].first().sum() == pytest.approx(1)
    assert table.equals(outcome_by_sign_pattern(population))


def test_a_pattern_is_of_what_training_began_with():
    """Networks that all start from given weights have one pattern, that of these weights."""
    layers = [([[-1.0, 0.5], [2.0, 0.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])]
    population = train_population(
        init=layers, target="XOR", n_networks=5, input_noise=0.1, max_steps=20, progress=False
    )
    assert set(outcome_by_sign_pattern(population)["pattern"]) == {"+0 -+"}


def test_patterns_need_widths_of_a_census_and_of_a_census_alone(population, networks):
    """One of the two says them."""
    with pytest.raises(XorMiError, match="give layer_sizes"):
        outcome_by_sign_pattern(networks)
    with pytest.raises(XorMiError, match="which has its own widths; leave it out"):
        outcome_by_sign_pattern(population, (2, 2, 1))


@pytest.mark.parametrize("hidden", [3, (2, 3)])
def test_what_predictors_see_does_not_depend_on_the_order_of_the_units(hidden):
    """Every network twice, the second time with the units of the last hidden layer reversed: each
    pair is one in signs, orders and, in the order that is made, weights; not all pairs are one.
    """
    population = train_population("XOR", 40, hidden=hidden, max_steps=30, progress=False)
    *before, (weight, bias), (readout, last) = population.weights
    turned = [*before, (weight.flip(1), bias.flip(1)), (readout.flip(2), last)]
    pairs = [
        (torch.cat([a, c]), torch.cat([b, d]))
        for (a, b), (c, d) in zip(population.weights, turned, strict=True)
    ]
    twice = replace(
        population,
        weights=tuple(pairs),
        seeds=population.seeds.repeat(2),
        steps=population.steps.repeat(2),
        losses=population.losses.repeat(2),
        solved=population.solved.repeat(2),
    )
    seen = Seen.of(twice, np.ones(80, dtype=bool))
    for features in (seen.signs, seen.orders, seen.points):
        assert np.array_equal(features[:40], features[40:])
    assert len(np.unique(seen.signs)) > 5
    assert len(np.unique(seen.orders)) > 5


def halves_of(ends, n):
    """The first half fitted on."""
    return Halves(np.array(ends), np.arange(n) < n // 2)


def accuracies(seen, halves):
    """Predictor -> its share right."""
    lines = held_out(seen, halves, np.random.default_rng(0))
    return {line["predictor"]: line["accuracy"] for line in lines}


@pytest.fixture(scope="module")
def at_start():
    """What predictors see of 2,000 networks at step 0."""
    many = train_population("XOR", 2000, max_steps=1, progress=False)
    _, bias = many.start[-1]
    started = replace(many, weights=many.start)
    return Seen.of(started, np.ones(2000, dtype=bool)), bias[:, 0].numpy()


def test_shuffled_ends_give_the_baseline(at_start):
    """Ends dealt out at random, 7 of 10 alike: no predictor beats the majority by more than chance
    does, three standard errors of 1,000 networks.
    """
    seen, _ = at_start
    ends = np.random.default_rng(5).permutation(["a"] * 1400 + ["b"] * 600)
    found = accuracies(seen, halves_of(ends, 2000))
    assert found["majority"] == (ends[1000:] == "a").mean()
    assert max(found.values()) <= found["majority"] + 3 * (0.7 * 0.3 / 1000) ** 0.5


def test_an_end_that_signs_decide_is_predicted_by_them(at_start):
    """The end is the sign of the output's bias: signs know it, neighbours nearly, and neither the
    majority nor the orders of the rows, which no output bias changes.
    """
    seen, bias = at_start
    found = accuracies(seen, halves_of(np.where(bias > 0, "up", "down"), 2000))
    # of 272 patterns some may be met in the second half alone
    assert found["signs"] > 0.97
    assert found["nearest"] > 0.8
    assert found["majority"] < 0.6
    assert found["orders"] < 0.6


def test_neighbours_are_the_nearest():
    """Votes of the k nearest by sorting all distances; a tie goes to the smaller number."""
    generator = np.random.default_rng(1)
    points, asked = generator.normal(size=(50, 3)), generator.normal(size=(20, 3))
    ends = generator.integers(0, 3, size=50)
    for k, of_k in zip((1, 4, 9), voted(points, ends, asked, [1, 4, 9]), strict=True):
        for point, end in zip(asked, of_k, strict=True):
            nearest = np.argsort(((points - point) ** 2).sum(1))[:k]
            votes = [int((ends[nearest] == each).sum()) for each in range(3)]
            assert end == votes.index(max(votes))


def test_a_table_of_predictions_counts_the_held_out_half(population, networks):
    """Networks finished by a step are counted and left out; the majority's line is counted here."""
    table = predict_ending(population, seed=3)
    assert table["step"].unique().tolist() == [0, 10, 50, 100, 200, 500]
    assert table["predictor"].tolist()[:4] == ["majority", "signs", "orders", "nearest"]
    fitted_on = np.random.default_rng(3).permutation(300)[:150]
    is_fitted_on = np.isin(np.arange(300), fitted_on)
    for step, lines in table.groupby("step"):
        is_open = (population.steps > step).numpy()
        assert set(lines["n_finished"]) == {300 - is_open.sum()}
        assert set(lines["n_train"] + lines["n_test"]) == {is_open.sum()}
        ends = networks["family"].to_numpy()
        majority = Counter(ends[is_open & is_fitted_on]).most_common(1)[0][0]
        line = lines[lines["predictor"] == "majority"].iloc[0]
        assert line["n_right"] == (ends[is_open & ~is_fitted_on] == majority).sum()
        assert lines["k"].notna().tolist() == [False, False, False, True]
    assert (table["ci_low"] <= table["accuracy"]).all()
    late = table[(table["step"] == 100) & (table["predictor"] == "nearest")]
    assert late["accuracy"].item() > 0.9


def test_checkpoints_and_training_again_give_the_same_predictions(population):
    """What was kept on the way, or what the same training gives with fewer steps."""
    kept = predict_ending(population, steps=[0, 100, 300])
    again = predict_ending(
        train_population("XOR", 300, max_steps=600, progress=False), steps=[0, 100, 300]
    )
    assert kept.equals(again)
    shorter = train_population("XOR", 300, max_steps=100, progress=False)
    is_open = (population.steps > 100).numpy()
    of_kept = Seen.of(population.checkpoints[100], is_open)
    assert np.array_equal(of_kept.points, Seen.of(shorter, is_open).points)


def test_predictions_of_another_column_and_of_bad_arguments(population):
    """Whether a network solves, a column that is not there, a step that is not there, too few."""
    found = predict_ending(population, steps=[0], of="solved")
    assert found["accuracy"].iloc[0] > 0.5
    with pytest.raises(XorMiError, match="no column 'familly'"):
        predict_ending(population, of="familly")
    with pytest.raises(XorMiError, match="step 601"):
        predict_ending(population, steps=[601])
    with pytest.raises(XorMiError, match="steps is empty"):
        predict_ending(population, steps=[])
    with pytest.raises(XorMiError, match="give 4 networks or more"):
        predict_ending(train_population("XOR", 3, progress=False))


def diverging(n_networks):
    """Networks whose weights are no longer finite after a step or two."""
    return train_population(
        "XOR",
        n_networks,
        act_fn="leaky_relu",
        optimizer="sgd",
        lr=1e38,
        max_steps=20,
        engine="torch",
        progress=False,
    )


def test_networks_that_diverge_are_predicted_from_while_they_are_finite():
    """At a step at which none is finite there is nothing to predict from; its end has a name."""
    population = diverging(12)
    assert not population.flat.isfinite().any(1).all()
    found = predict_ending(population, steps=[0, 10], progress=False)
    assert found["step"].tolist() == [0] * 4
    assert found["n_finished"].tolist() == [0] * 4
    assert found["accuracy"].tolist() == [1.0] * 4
    ends = outcome_by_sign_pattern(population, progress=False)
    assert set(ends["outcome"]) == {"(no gate reading)"}


def test_networks_that_had_finished_before_the_first_step():
    """Of them there is nothing to predict: a table without lines."""
    solved = train_population("XOR", 30, engine="torch", progress=False)
    init = solved[int(solved.solved.nonzero()[0])]
    population = train_population(
        init=init, n_networks=4, input_noise=0.1, stop_loss=1.0, engine="torch", progress=False
    )
    assert population.steps.tolist() == [0] * 4
    assert predict_ending(population, progress=False).empty
