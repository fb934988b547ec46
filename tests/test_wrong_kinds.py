"""Arguments of the wrong kind get the package's own error; session-wide settings of torch change
nothing.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from xor_mi import handmade, identify_circuit, train, train_population
from xor_mi.errors import XorMiError
from xor_mi.margins import slack_to_flip
from xor_mi.model import HookedMLP
from xor_mi.population import (
    census,
    identity_experiment,
    population_from_census,
    run_census,
    width_study,
)
from xor_mi.testing import assert_acts_as, assert_patch_effect
from xor_mi.training import TrainConfig


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train_population("XOR", 10.0), "n_networks must be .*, not 10.0"),
        (lambda: train_population("XOR", "10"), "n_networks must be .*, not '10'"),
        (lambda: train_population("XOR", 2, seed=True), "seed must be .*, not True"),
        (lambda: train_population("XOR", 2, config={"lr": 1}), "give a TrainConfig"),
        (lambda: train("XOR", hidden="two"), "hidden is 'two'; give the width of each"),
        (lambda: train("XOR", hidden=2.5), "hidden is 2.5; give the width of each"),
        (lambda: train("XOR", n_inputs="two"), "n_inputs must be .*, not 'two'"),
        (lambda: train_population("XOR", 2, rows=5), "name the input rows"),
        (lambda: train_population("XOR", 4)[0:3], "one by one"),
        (lambda: TrainConfig(lr="a"), "lr is 'a'; give a number"),
        (lambda: TrainConfig(max_steps=1.5), "max_steps must be a whole number .*, not 1.5"),
        (lambda: run_census(n_jobs=0), "n_jobs is 0"),
        (lambda: run_census(config="x"), "give a TrainConfig"),
        (lambda: population_from_census(census(train_population("XOR", 1)).iloc[:0], HookedMLP().cfg), "this census has no networks"),
        (lambda: width_study(widths=2, n_networks=5), "widths is 2; give several"),
        (lambda: width_study(widths=[2], n_networks=5, act_fns=1), "act_fns is 1; give names"),
        (lambda: width_study(widths=[2], n_networks=5, config="x"), "give a TrainConfig"),
        (lambda: identity_experiment(2, seen=5), "give even numbers as bits"),
        (lambda: slack_to_flip(handmade.textbook_xor(), rows=[]), "rows is empty"),
        (lambda: assert_acts_as(handmade.textbook_xor(), {"OR": []}), "names no unit"),
        (lambda: assert_patch_effect(handmade.textbook_xor(), "01", "11", "h0.1", effect="a"), "give a finite number"),
        (lambda: assert_patch_effect(handmade.textbook_xor(), "01", "11", "h0.1", effect=float("nan")), "give a finite number"),
    ],
)  # fmt: skip
def test_the_package_s_own_error(call, message):
    """One line that says what to give."""
    with pytest.raises(XorMiError, match=message):
        call()


@pytest.mark.unchecked
def test_numpy_s_numbers_are_numbers():
    """Counts, seeds and truth values from NumPy are taken as such."""
    assert len(train_population("XOR", np.int64(3), seed=np.int64(4))) == 3
    assert_patch_effect(
        handmade.textbook_xor(), "01", "11", "h0.1", flips=np.bool_(True), effect=np.float64(2.0)
    )
    short = TrainConfig(max_steps=20)
    study = width_study(widths=[2], n_networks=5, act_fns="relu", config=short)
    assert study["act_fn"].tolist() == ["relu"]


def test_published_numbers_stand_beside_like_studies_only():
    """Another loss, noise or decay has no published figure."""
    study = partial(width_study, widths=[2], n_networks=5, act_fns="relu")
    short = TrainConfig(max_steps=20)
    assert study(config=short)["published"].item() == 0.28
    for other in ({"loss_fn": "mse"}, {"input_noise": 0.1}, {"weight_decay": 0.1}):
        assert study(config=replace(short, **other))["published"].isna().all()


def test_rows_as_bits_or_text():
    """The identity experiment takes its rows either way."""
    text, bits = (
        identity_experiment(3, hidden=4, config=TrainConfig(max_steps=30), seen=seen)
        for seen in (["00", "10"][:1], [(0, 0)])
    )
    assert text.equals(bits)


def test_torch_s_default_dtype_changes_nothing():
    """Networks are float32 whatever the session's default is, bit for bit."""
    here = train("XOR", seed=29)
    torch.set_default_dtype(torch.float64)
    try:
        there = train("XOR", seed=29)
    finally:
        torch.set_default_dtype(torch.float32)
    assert here.steps == there.steps
    assert all(
        torch.equal(a, b) and a.dtype == b.dtype
        for a, b in zip(here.model.parameters(), there.model.parameters(), strict=True)
    )


def test_the_slope_travels_with_the_population():
    """Networks taken out of a population have its slope, so that they are read as the population
    is.
    """
    population = train_population("XOR", 20, config=TrainConfig(act_fn="leaky_relu"))
    other = population_from_census(census(population), replace(population.cfg, negative_slope=0.5))
    assert other[0].cfg.negative_slope == 0.5
    table = census(other)
    assert table["verdict"].tolist() == [identify_circuit(other[i]).verdict for i in range(20)]
