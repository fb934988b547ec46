"""The numbers read off outputs, by hand and in plain Python."""

import random
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from fuzz_metrics import mismatches
from models import OwnModel
from oracles import decisions as by_hand
from transformer_lens.utilities.statistics import success_rate_ci

from xor_mi import handmade, metrics
from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.interventions import (
    Site,
    ablation_sweep,
    attribute,
    patch_sweep,
    path_sweep,
    paths_from,
    score_methods,
)
from xor_mi.metrics import (
    UNDECIDED,
    accuracy,
    decision,
    logit,
    logit_difference,
    probability,
    score,
)
from xor_mi.model import DecisionRule, HookedMLP, HookedMLPConfig
from xor_mi.plots import figure
from xor_mi.testing import assert_patch_effect

LOGITS = DecisionRule()
PROBABILITIES = DecisionRule("threshold", 0.5, outputs="probability")


def test_decisions_are_strict_and_ties_are_undecided():
    """Exactly on the threshold is -1, never rounded, and never counted as right."""
    outputs = torch.tensor([[0.4], [0.5], [0.6]])
    assert decision(outputs, threshold=0.5).flatten().tolist() == [0, UNDECIDED, 1]
    for label in (0, 1):
        labels = torch.full((3, 1), label)
        assert accuracy(outputs, labels, threshold=0.5) == pytest.approx(1 / 3)


@pytest.mark.unchecked
def test_decisions_are_not_taken_for_outputs():
    """True and False are not numbers to decide by: False would be on the threshold."""
    for read in (decision, score, logit, probability, partial(accuracy, labels=[0, 1])):
        with pytest.raises(XorMiError, match="decided already; give the numbers"):
            read(torch.tensor([[False], [True]]))


@pytest.mark.parametrize("n", [1, 2, 7, 40, 1000])
def test_intervals_of_shares_are_those_of_transformer_lens(n):
    """It goes through the single outcomes of a tail, by itself."""
    for count in {0, 1, n // 3, n - 1, n}:
        theirs = success_rate_ci([True] * count + [False] * (n - count))
        found = metrics.share_interval(count, n)
        expected = (theirs.point_estimate, theirs.ci_low, theirs.ci_high)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_share_of_more_trials_than_a_float_can_count_is_refused():
    """Also of a number that Python cannot print; of fewer the interval is narrow."""
    for n in (10**12 + 1, 2**70, 10**5000):
        with pytest.raises(XorMiError, match="trials are more than the 1,000,000,000,000"):
            metrics.share_interval(1, n)
    narrow = metrics.share_interval(220_074, 10**6)
    assert 0.2192 < narrow.low < 0.220074 < narrow.high < 0.2209


UNNAMED: dict[str, partial] = {
    "logit": partial(logit),
    "probability": partial(probability),
    "logit_difference": partial(logit_difference, labels=[0, 1]),
    "decision": partial(decision),
    "accuracy": partial(accuracy, labels=[0, 1]),
}


@pytest.mark.parametrize("name", UNNAMED)
def test_outputs_that_look_like_probabilities_are_not_taken_for_logits_in_silence(name):
    """A warning says what to give, at the caller's line; with a rule, or of logits, there is none."""
    read = UNNAMED[name]
    with pytest.warns(XorMiWarning, match=r"rule=model\.rule") as said:
        read(torch.tensor([[0.2], [0.9]]))
    assert [warning.filename for warning in said] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(torch.tensor([[0.2], [0.9]]), rule=PROBABILITIES)
        read(torch.tensor([[0.2], [-0.9]]))


def test_metrics_by_hand():
    """Logit, probability and signed logit difference of two outputs."""
    outputs = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    assert logit(outputs, output=1).tolist() == [-1.0, 3.0]
    assert probability(outputs).tolist() == pytest.approx([0.880797, 0.5])
    assert logit_difference(outputs, torch.tensor([1, 0]), threshold=0.5).tolist() == [1.5, 0.5]
    assert logit_difference(outputs, torch.tensor([0, 1]), threshold=0.5).tolist() == [-1.5, -0.5]
    with pytest.raises(XorMiError, match="no output 2"):
        logit(outputs, output=2)


def test_accuracy_needs_every_output_right():
    """A row with one wrong output of two is wrong."""
    outputs = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    assert accuracy(outputs, torch.tensor([[1, 0], [1, 0]])) == 0.5


def test_every_decision_in_every_sweep_is_that_of_plain_python():
    """Random networks of every rule, threshold, shape and pair of levels: scores, decisions, flips,
    right answers, logit differences and accuracies are those of an implementation in plain Python.
    """
    rng = random.Random(18)
    compared = [mismatches(rng) for _ in range(20)]
    assert [line for _, lines in compared for line in lines] == []
    assert sum(n for n, _ in compared) > 3_000


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1, 0],
        [[0], [1], [1], [0]],
        (False, True, True, False),
        np.array([0, 1, 1, 0]),
        torch.tensor([[0.0], [1.0], [1.0], [0.0]]),
    ],
)
def test_one_column_or_none_and_labels_in_every_form_mean_the_same(shape, labels):
    """[batch] and [batch, 1], of outputs as of labels, give one number per example in all metrics."""
    outputs = torch.tensor([-1.0, 2.0, 3.0, -4.0]).reshape(shape)
    assert accuracy(outputs, labels) == 1
    assert logit_difference(outputs, labels).tolist() == [1, 2, 3, 4]
    assert logit(outputs).tolist() == score(outputs).tolist() == [-1, 2, 3, -4]
    assert probability(outputs).tolist() == torch.sigmoid(outputs.flatten()).tolist()
    assert decision(outputs).flatten().tolist() == [0, 1, 1, 0]


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 1], r"labels have shape \[3\] for 4 examples of one decision.*here \[4, 1\]"),
        ([[0, 1, 1, 0]], r"labels have shape \[1, 4\] for 4 examples"),
        ([[0, 1]] * 4, r"labels have shape \[4, 2\] for 4 examples"),
        (1, r"labels have shape \[\] for 4 examples"),
        ([-1, 1, 1, -1], r"label -1 is neither 0 nor 1; of -1 and 1 give \(labels > 0\)"),
        ([0, 1, 2, 1], "label 2 is neither 0 nor 1"),
        ([0, 1, 0.5, 1], "label 0.5 is neither"),
        ([0, 1, float("nan"), 1], "label nan is neither"),
        (["a"] * 4, "cannot read .* as labels; give 0 and 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused_by_both_that_take_them(labels, message):
    """Other shapes are named beside the one asked for; -1 is what an undecided output is called."""
    outputs = torch.tensor([[-1.0], [2.0], [3.0], [-4.0]])
    for metric in (accuracy, logit_difference):
        with pytest.raises(XorMiError, match=message):
            metric(outputs, labels)


def test_the_loss_refuses_the_same_labels():
    """-1 is named, and not the shape; a network of one input has a loss too."""
    model = HookedMLP()
    with pytest.raises(XorMiError, match=r"label -1 is not a number from 0 to 1; of -1 and 1 give"):
        model(model.rows(), return_type="loss", labels=[-1, 1, 1, -1])
    alone = HookedMLP(HookedMLPConfig(d_in=1, target="~x0"))
    given = alone(alone.rows(), return_type="loss", labels=[1, 0])
    assert torch.equal(alone(alone.rows(), return_type="loss"), given)


def test_several_decisions_have_labels_for_each_or_for_one():
    """Accuracy wants a label per decision; logit_difference reads its own column, or takes the
    labels of its decision alone.
    """
    outputs, labels = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), [[1, 1], [0, 1]]
    assert logit_difference(outputs, labels, output=1).tolist() == [-1, 3]
    assert logit_difference(outputs, [1, 1], output=1).tolist() == [-1, 3]
    with pytest.raises(XorMiError, match=r"for 2 examples of 2 decisions; .*here \[2, 2\]"):
        accuracy(outputs, [1, 1])


@pytest.mark.parametrize("n_outputs", [1, 2, 3, 4])
def test_logits_and_probabilities_are_those_of_plain_python(n_outputs):
    """Sigmoid, softmax and log odds from their definitions; a probability is not squashed again."""
    generator = torch.Generator().manual_seed(n_outputs)
    outputs = torch.randn(30, n_outputs, generator=generator, dtype=torch.float64)
    rules = ["threshold"] if n_outputs == 1 else ["threshold", "argmax"]
    for name in rules:
        rule = DecisionRule(name)
        for k in range(rule.n_decisions(n_outputs)):
            expected = [by_hand.probability(row, name, k) for row in outputs.tolist()]
            assert probability(outputs, output=k, rule=rule).tolist() == pytest.approx(expected)
            expected = [by_hand.score(row, name, k) for row in outputs.tolist()]
            assert score(outputs, output=k, rule=rule).tolist() == expected
    squashed = torch.sigmoid(outputs)
    assert torch.equal(probability(squashed, rule=PROBABILITIES), squashed[:, 0])
    expected = [by_hand.log_odds(row[0]) for row in squashed.tolist()]
    assert logit(squashed, rule=PROBABILITIES).tolist() == pytest.approx(expected)
    signed = logit_difference(squashed, [0] * 30, rule=PROBABILITIES).tolist()
    assert signed == pytest.approx([-odds for odds in expected])
    at_tenth = DecisionRule("threshold", 0.1, outputs="probability")
    signed = logit_difference(squashed, [1] * 30, rule=at_tenth).tolist()
    assert signed == pytest.approx([odds - by_hand.log_odds(0.1) for odds in expected])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: logit(torch.tensor([1.0, 0.5]), rule=PROBABILITIES), "1 of these probabilities is 0 or 1, whose logit is infinite"),
        (lambda: probability(torch.ones(2, 1), rule=DecisionRule(outputs="output")), "neither logits nor probabilities; read metrics.score"),
        (lambda: probability(torch.ones(2, 2), rule=DecisionRule("argmax", outputs="probability")), "largest of several probabilities"),
        (lambda: logit(torch.ones(2, 2), rule=DecisionRule("argmax", outputs="probability")), "largest of several probabilities"),
        (lambda: logit_difference(torch.full((2, 1), 0.5), [1, 1], rule=DecisionRule(outputs="probability")), "no probability crosses the threshold 0"),
        (lambda: logit(torch.ones(2, 3, 4)), r"outputs have shape \[2, 3, 4\], not \[batch, d_out\].*metrics=lambda"),
        (lambda: score(torch.ones(2), rule=DecisionRule("argmax")), "argmax compares outputs with each other, and here there are 1"),
        (lambda: accuracy(torch.ones(0, 1), []), "no examples"),
    ],
)  # fmt: skip
def test_what_has_no_such_number_is_refused(call, message):
    """No logit of a certain probability, no probability of an output that is none, no share of
    nothing.
    """
    with pytest.raises(XorMiError, match=message):
        call()


@pytest.mark.unchecked
def test_outputs_that_are_no_tensor_are_refused():
    """A list says that the model's own outputs are meant."""
    for metric in (logit, probability, score, decision, partial(accuracy, labels=[1])):
        with pytest.raises(XorMiError, match="outputs is .*give what the model returned"):
            metric([1.0])


NAMED = {
    "logit": {},
    "probability": {"out_act_fn": "sigmoid"},
    "output": {"loss_fn": "mse"},
    "probability_difference": {"d_out": 2, "decision_rule": "argmax", "out_act_fn": "sigmoid"},
    "output_difference": {"d_out": 2, "decision_rule": "argmax", "out_act_fn": "tanh"},
}


@pytest.mark.parametrize("name", NAMED)
def test_the_default_metric_is_called_by_what_it_is(name):
    """By output unit, loss and rule, in sweeps, paths, attribution and their figures; only what is
    a logit is called one.
    """
    model = HookedMLP(HookedMLPConfig(seed=3, **NAMED[name]))
    assert model.rule.score_name == name
    sweep = patch_sweep(model)
    assert sweep.metrics == ablation_sweep(model).metrics == attribute(model).metrics == (name,)
    assert path_sweep(model, paths_from(model, "x0", f"y{model.cfg.d_out - 1}")).metrics == (name,)
    assert {f"clean_{name}", f"patched_{name}"} <= set(sweep.frame())
    beside = [note.text.replace("<br>", " ") for note in figure(sweep).layout.annotations]
    assert f"change of the {name.replace('_', ' ')}" in beside
    if name != "logit":
        assert not [column for column in sweep.frame() if "logit" in column]
    own = OwnModel()
    inputs = torch.ones(2, 3), torch.zeros(2, 3)
    assert patch_sweep(own, inputs, [Site("hook_first", (0,))]).metrics == ("output",)


def test_probability_given_to_a_sweep_as_it_is_reads_by_the_networks_rule():
    """A sigmoid output is a probability already, and its logit is what went into the sigmoid; a
    setting that is given stays.
    """
    layers = HookedMLP(HookedMLPConfig(seed=3)).float64_layers()
    plain, squashed = (
        HookedMLP.from_weights(layers, out_act_fn=name) for name in ("identity", "sigmoid")
    )
    wanted = {"p": probability, "l": logit}
    a, b = (patch_sweep(model, metrics=wanted) for model in (plain, squashed))
    assert torch.allclose(a.values, b.values)
    assert torch.equal(b.values[0], patch_sweep(squashed).values[0])
    twice = patch_sweep(squashed, metrics=partial(probability, rule=LOGITS))
    assert torch.equal(twice.values, torch.sigmoid(b.values[:1]))
    assert twice.metrics == ("probability",)


def test_logit_difference_given_to_a_sweep_as_it_is_has_the_targets_labels():
    """Patching, paths, attribution and ablation of one network: the sign is the target's on the
    clean input, or on the input itself; without a target it is the network's own decision.
    """
    model = handmade.textbook_xor()
    wanted = {"ld": logit_difference}
    plain = patch_sweep(model)
    sign = torch.tensor([1 if clean in ("01", "10") else -1 for clean, _ in plain.pairs])
    assert torch.equal(patch_sweep(model, metrics=wanted).patched, sign * (plain.patched - 0.5))
    paths = paths_from(model, "x0")
    along = path_sweep(model, paths, metrics=wanted).patched
    assert torch.equal(along, sign * (path_sweep(model, paths).patched - 0.5))
    assert torch.equal(attribute(model, metrics=wanted).scores[0], sign * plain.effect)
    ablated = ablation_sweep(model, metrics=logit_difference)
    of_row = torch.tensor([-1, 1, 1, -1])
    assert torch.equal(ablated.after, of_row * (ablation_sweep(model).after - 0.5))
    assert ablated.metrics == ("logit_difference",)
    scored = score_methods(model, metrics=wanted).frame().set_index("method")
    assert scored.loc["exact_patching", "mean_abs_error"] == 0
    # OR with the weights of XOR: by its target it is wrong on 11, by its own decision nowhere
    other, alone = (model.with_weights(model.float64_layers(), target=t) for t in ("OR", None))
    clean = patch_sweep(other, metrics=wanted).clean[0]
    assert [p[0] for p, x in zip(plain.pairs, clean, strict=True) if x < 0] == ["11"] * 3
    assert (patch_sweep(alone, metrics=wanted).clean > 0).all()
    # a function of one's own that asks for labels gets the same ones
    own = patch_sweep(other, metrics=lambda outputs, labels: labels + 0 * outputs[:, 0])
    assert own.clean[0].tolist() == [clean != "00" for clean, _ in plain.pairs]
    # inputs that are not bits have no target
    noisy = patch_sweep(other, (other.rows(["11"]) + 0.1, other.rows(["01"])), metrics=wanted)
    assert noisy.clean.item() > 0


def test_labels_that_nobody_can_say_are_asked_for():
    """Of a model without decisions, and where the network is undecided; given ones are taken."""
    own, inputs = OwnModel(), (torch.ones(2, 3), torch.zeros(2, 3))
    sites = [Site("hook_first", (0,))]
    with pytest.raises(XorMiError, match="neither a target nor decisions.*partial"):
        patch_sweep(own, inputs, sites, metrics=logit_difference)
    given = partial(logit_difference, labels=[1, 0])
    outputs = own(inputs[0])[:, 0]
    assert torch.equal(
        patch_sweep(own, inputs, sites, metrics=given).clean[0], outputs * torch.tensor([1, -1])
    )
    model = handmade.textbook_xor()
    tied = model.with_weights(model.float64_layers(), target=None, decision_threshold=1)
    with pytest.raises(XorMiError, match="undecided on 6 of the inputs"):
        patch_sweep(tied, metrics=logit_difference)


def test_a_patch_is_asserted_by_the_networks_own_rule():
    """Two outputs of which the larger wins, both far above any threshold: the flip is seen."""
    model = HookedMLP.from_weights(
        [([[1.0, 0.0], [0.0, 1.0]], [0, 0]), ([[1.0, 0.0], [0.0, 1.0]], [5, 5.5])],
        decision_rule="argmax",
    )
    assert metrics.decisions(model).flatten().tolist() == [1, 1, 0, 1]
    assert_patch_effect(model, "01", "10", "h0.0", flips=True, effect=1)
    assert_patch_effect(model, "10", "01", "h0.0", flips=False, effect=-1)
    assert_patch_effect(model, "10", "01", ("h0.0", "h0.1"), flips=True, effect=-2)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float32])
def test_whole_numbers_have_a_largest_class(dtype):
    """By NumPy's argmax, ties apart, also of numbers that float32 cannot tell apart."""
    outputs = torch.tensor([[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]])
    if dtype in (torch.int32, torch.int64):
        outputs = outputs + 2**30
    outputs = outputs.to(dtype)
    decided = metrics.by_argmax(one=1)(outputs).tolist()
    # all rows but the third, which is a tie, have one largest number
    largest = outputs.numpy().argmax(axis=1).tolist()
    assert [int(number == 1) for number in largest] == [1, 0, 0, 0]
    assert decided == [1, 0, -1, 0]
