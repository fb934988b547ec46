"""Attribution on models that people bring: the numbers by hand, and one sentence wherever there is no
gradient to take.
"""

import copy
import warnings
from functools import partial

import pytest
import torch
from models import OwnModel, native_transformer
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi import metrics
from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.interventions import (
    METHODS,
    Site,
    ablation_sweep,
    attribute,
    patch_sweep,
    score_methods,
    sites,
)
from xor_mi.interventions._hooks import probe_hooks

GRADIENTS = ("attribution_patching", "integrated_gradients")


def first(outputs):
    """One number per example."""
    return outputs[:, 0]


class Small(HookedRootModule):
    """Two inputs, three hidden units, one output; `step` is what happens to the hidden values, and
    `last` to the outputs.
    """

    def __init__(self, *, step=None, last=None, frozen=False):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.into = nn.Parameter(torch.randn(2, 3, generator=generator))
        self.out = nn.Parameter(torch.randn(3, 1, generator=generator))
        self.requires_grad_(not frozen)
        self.hook_h, self.hook_aside, self.hook_count = HookPoint(), HookPoint(), HookPoint()
        self.step, self.last = step or torch.sigmoid, last or (lambda outputs: outputs)
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 2] -> [batch, 1]"""
        hidden = self.hook_h(x @ self.into)
        self.hook_aside(x * 2.0)
        self.hook_count((x > 0).long())
        return self.last(self.step(hidden) @ self.out)


PAIRS = tuple(torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(1)))


def scores_of(model, method, sites=("hook_h",), metric=first, pairs=PAIRS):
    """[site, pair] by a method."""
    asked = {"method": method, "metrics": metric, "progress": False}
    return attribute(model, pairs, list(sites), **asked).scores[0]


def tripled_in_place(hidden):
    """What a hook saw is three times as large afterwards."""
    return torch.sigmoid(hidden.mul_(3.0))


def residual_in_place(hidden):
    """The residual style: a branch reads a copy and is added in place."""
    hidden += torch.tanh(hidden.clone() * 2.0)
    return hidden


STEPS = {
    tripled_in_place: lambda h: torch.sigmoid(3.0 * h),
    residual_in_place: lambda h: h + torch.tanh(2.0 * h),
}


@pytest.mark.parametrize("step", STEPS)
def test_models_that_edit_in_place_after_a_hook(step):
    """Scores are those of the chain rule written out, and integrated gradients of a whole hook sum
    to the metric's whole change.
    """
    model = Small(step=step)
    clean, corrupted = (inputs @ model.into.detach() for inputs in PAIRS)
    at = corrupted.clone().requires_grad_()
    (slope,) = torch.autograd.grad((STEPS[step](at) @ model.out.detach()).sum(), at)
    by_hand = (slope * (clean - corrupted)).sum(1)
    assert by_hand.abs().max() > 0.1
    assert torch.allclose(scores_of(model, "attribution_patching")[0], by_hand, atol=1e-5)
    with torch.no_grad():
        whole = (model(PAIRS[0].clone()) - model(PAIRS[1].clone()))[:, 0]
    assert torch.allclose(scores_of(model, "integrated_gradients")[0], whole, atol=1e-3)


class BatchSecond(HookedRootModule):
    """A hook with the batch on its second axis, and one on a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(2))
        self.hook_turned, self.hook_weight = HookPoint(), HookPoint()
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, time, 2] -> [batch, 2]"""
        return self.hook_turned(x.transpose(0, 1) @ self.hook_weight(self.weight)).sum(0)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"direct_logit", "random"}))
@pytest.mark.parametrize("hook_name", ["hook_turned", "hook_weight"])
def test_a_hook_without_a_leading_batch_axis_is_refused(hook_name, method):
    """Also where its first axis happens to be as long as the batch, as 2 pairs of 2 times are."""
    pairs = tuple(torch.rand(2, 2, 2, 2, generator=torch.Generator().manual_seed(1)))
    with pytest.raises(XorMiError, match=f"'{hook_name}' has an activation without a batch axis"):
        scores_of(BatchSecond(), method, [hook_name], pairs=pairs)


@pytest.mark.parametrize("method", [*GRADIENTS, "exact_patching"])
@pytest.mark.unchecked
def test_metrics_are_checked_by_every_method_alike(method):
    """The whole outputs, a mean over the pairs, and NaN are refused with the metric's name; on a
    transformer nobody says which logit the default metric reads.
    """
    for metric, message in (
        (lambda o: o, r"metric 'mine' gives shape \[4, 1\] for 4 examples"),
        (lambda o: o[:, 0].mean(), r"metric 'mine' gives shape \[\] for 4 examples"),
        (
            lambda o: o[:, 0].abs().neg().sqrt(),
            "metric 'mine' is nan on clean 0 -> corrupted 0 and 3 more",
        ),
    ):
        with pytest.raises(XorMiError, match=message):
            scores_of(Small(), method, metric={"mine": metric})
    for name, message in (
        ("logit", "^metrics is 'logit'; give the function itself, metrics=metrics.logit$"),
        ("logits", "no metric 'logits'; .*did you mean 'logit'"),
    ):
        with pytest.raises(XorMiError, match=message):
            scores_of(Small(), method, metric=name)
    for not_one in ({}, {"mine": 3}):
        with pytest.raises(XorMiError, match="metrics are name -> function"):
            scores_of(Small(), method, metric=not_one)
    bridge = native_transformer(d_model=8, d_head=2, n_ctx=4, d_mlp=8, d_vocab=5, seed=0)
    tokens = torch.tensor([[0, 1, 2], [3, 4, 0]])
    with pytest.raises(XorMiError, match="metric"):
        scores_of(bridge, method, ["blocks.0.hook_mlp_out"], None, (tokens, tokens.flip(0)))


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_metric_that_compares_pairs_is_scored_as_patching_sees_it(method):
    """On a linear model gradients are exact, also of a metric that takes the mean of the pairs off
    and multiplies by the next pair's output; every pair's change counts there.
    """
    model = Small(step=lambda hidden: hidden)

    def compared(outputs):
        return 3.0 * outputs[:, 0] - outputs[:, 0].mean() + 2.0 * outputs[:, 0].roll(1)

    sites = ["hook_h", *(Site("hook_h", (k,)) for k in range(3))]
    exact = scores_of(model, "exact_patching", sites, compared)
    assert exact.abs().max() > 0.1
    assert torch.allclose(scores_of(model, method, sites, compared), exact, atol=1e-5)


@pytest.mark.parametrize("n_pairs", [2, 9, 70])
def test_two_pairs_that_are_compared_are_found_however_many_there_are(n_pairs):
    """A metric in which only the last pair reads the first one's output."""
    model = Small(step=lambda hidden: hidden)
    pairs = tuple(torch.randn(2, n_pairs, 2, generator=torch.Generator().manual_seed(1)))

    def compared(outputs):
        added = torch.zeros_like(outputs[:, 0])
        added[-1] = 1.0
        return outputs[:, 0] + added * outputs[0, 0]

    exact, score = (
        scores_of(model, method, metric=compared, pairs=pairs)
        for method in ("exact_patching", "attribution_patching")
    )
    assert torch.allclose(score, exact, atol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", GRADIENTS)
def test_a_site_that_does_not_feed_the_metric_scores_zero(method, frozen):
    """Parameters frozen or not; the site beside it keeps its score."""
    model = Small(frozen=frozen)
    with pytest.warns(XorMiWarning, match="noise at 'hook_aside' changes no output"):
        scores = scores_of(model, method, ["hook_aside", "hook_h"])
    assert scores[0].tolist() == [0, 0, 0, 0]
    assert torch.equal(scores[1], scores_of(Small(), method)[0])


def made_under_inference_mode():
    """A model whose parameters take part in no gradient."""
    with torch.inference_mode():
        return Small()


class WithoutGradient(Small):
    """Its author runs it under no_grad."""

    @torch.no_grad()
    def forward(self, x):
        """[batch, 2] -> [batch, 1]"""
        return super().forward(x)


NO_GRADIENT = {
    "detached metric": (Small, lambda o: o[:, 0].detach(), "this metric has no gradient; give one"),
    "argmax": (Small, lambda o: o.argmax(1), "this metric has no gradient; give one"),
    "list": (Small, lambda o: o[:, 0].tolist(), "this metric has no gradient; give one"),
    "numpy": (Small, lambda o: o[:, 0].numpy(), r"this metric has no gradient \(Can't call numpy"),
    "no_grad": (WithoutGradient, first, "switches gradients off in its forward"),
    "inference": (made_under_inference_mode, first, "made under torch.inference_mode"),
    "detached model": (
        lambda: Small(step=lambda h: h.detach() * 2.0),
        first,
        "no gradient reaches 'hook_h' although the outputs depend on it",
    ),
    "whole numbers": (
        lambda: Small(last=lambda o: (10 * o).long()),
        first,
        "the outputs of this model are int64 numbers, which have no gradient",
    ),
    "complex": (
        lambda: Small(last=lambda o: o * 1j),
        lambda o: o[:, 0].abs(),
        "the outputs of this model are complex64 numbers",
    ),
}


@pytest.mark.unchecked
@pytest.mark.parametrize("case", NO_GRADIENT)
def test_why_there_is_no_gradient_is_said_in_one_sentence(case):
    """By both methods that need one; among all methods they say so in `why_not`, and patching and
    chance are scored.
    """
    make, metric, message = NO_GRADIENT[case]
    model = make()
    for method in GRADIENTS:
        with pytest.raises(XorMiError, match=message):
            scores_of(model, method, metric=metric)
    table = score_methods(model, PAIRS, ["hook_h"], metrics=metric, progress=False).frame()
    why_not = table.set_index("method")["why_not"]
    assert (why_not[list(GRADIENTS)] != "").all()
    assert (why_not[["exact_patching", "shapley", "random"]] == "").all()


def test_a_copy_of_a_model_made_under_inference_mode_has_gradients():
    """The next step that the error names is one."""
    model = copy.deepcopy(made_under_inference_mode())
    expected = scores_of(Small(), "attribution_patching")
    assert torch.equal(scores_of(model, "attribution_patching"), expected)


@pytest.mark.parametrize("method", METHODS)
def test_inside_inference_mode_scores_are_the_same(method):
    """The caller's inference mode is left for the gradients, and is on again afterwards."""
    if method == "direct_logit":
        model = native_transformer(d_model=8, d_head=2, n_ctx=4, d_mlp=8, d_vocab=5, seed=0)
        pairs = (torch.tensor([[0, 1, 2]]), torch.tensor([[3, 4, 0]]))
        asked = {"sites": ["blocks.0.hook_mlp_out"], "metric": lambda o: o[:, -1, 0]}
    else:
        model, pairs, asked = Small(), PAIRS, {}
    expected = scores_of(model, method, pairs=pairs, **asked)
    assert expected.any()
    with torch.inference_mode():
        # made inside: such inputs are in no graph either
        inside = scores_of(model, method, pairs=tuple(side.clone() for side in pairs), **asked)
        assert torch.is_inference_mode_enabled()
    assert torch.equal(inside, expected)


@pytest.mark.parametrize("method", [*GRADIENTS, "exact_patching"])
def test_a_metric_that_edits_its_outputs_changes_nothing(method):
    """It gets a copy, each time it is asked."""

    def edits(outputs):
        outputs *= 2.0
        return outputs[:, 0]

    twice = 2.0 * scores_of(Small(), method)
    assert torch.allclose(scores_of(Small(), method, metric=edits), twice, atol=1e-6)


class Counts(HookedRootModule):
    """How many of the inputs are positive, counted in numbers of another kind."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.hook_count = getattr(torch, kind), HookPoint()
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, d] -> [batch, 1]"""
        return self.hook_count((x > 0).to(self.kind)).abs().float().sum(1, keepdim=True)


@pytest.mark.parametrize("kind", ["int64", "complex64"])
@pytest.mark.parametrize("method", GRADIENTS)
def test_hooks_of_whole_numbers_have_no_gradient_and_can_be_patched(method, kind):
    """One sentence by gradients, numbers by patching."""

    pairs = (torch.ones(2, 2), -torch.ones(2, 2))
    asked = {"sites": ["hook_count"], "pairs": pairs}
    with pytest.raises(
        XorMiError, match=f"'hook_count' carries {kind} numbers, which have no grad"
    ):
        scores_of(Counts(kind), method, **asked)
    assert scores_of(Counts(kind), "exact_patching", **asked).tolist() == [[2.0, 2.0]]


class Several(HookedRootModule):
    """Hooks with a gradient and without, that all feed the output; `n_runs` counts forwards."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.into = nn.Parameter(torch.randn(2, 3, generator=generator))
        self.hook_count, self.hook_is, self.hook_h = HookPoint(), HookPoint(), HookPoint()
        self.hook_cut, self.hook_apart, self.n_runs = HookPoint(), HookPoint(), 0
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 2] -> [batch, 3]"""
        self.n_runs += 1
        count, is_positive = self.hook_count((4 * x).long()), self.hook_is(x > 0)
        hidden = torch.sigmoid(self.hook_h(x @ self.into))
        cut = self.hook_cut(2.0 * hidden).detach()
        with torch.no_grad():
            apart = self.hook_apart(hidden + 1.0)
        return hidden + cut + apart + (count + is_positive.long()).sum(1, keepdim=True)


WITHOUT = ["hook_count", "hook_is", "hook_cut", "hook_apart"]


@pytest.mark.parametrize("method", GRADIENTS)
def test_hooks_without_a_gradient_do_not_lose_the_others(method):
    """Whole numbers, yes and no, a hook that is detached and one under no_grad are NaN, and named
    in one warning for all metrics; the others have the scores that they have alone. By no hook at
    all it is refused.
    """
    model, names = Several(), [*WITHOUT[:2], "hook_h", *WITHOUT[2:]]
    asked = {"metrics": {"one": first, "two": lambda o: o[:, 1]}, "method": method}
    alone = attribute(model, PAIRS, ["hook_h"], progress=False, **asked).scores
    assert (alone.abs().amax(-1) > 0.01).all()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        scores = attribute(model, PAIRS, names, progress=False, **asked).scores
    (warning,) = said
    assert all(f"'{name}'" in str(warning.message) for name in WITHOUT)
    assert "'hook_h'" not in str(warning.message)
    assert torch.equal(scores[:, 2:3], alone)
    assert scores[:, [0, 1, 3, 4]].isnan().all()
    with pytest.raises(XorMiError, match="have no gradient; use exact_patching"):
        attribute(model, PAIRS, WITHOUT[:2], progress=False, **asked)


def test_methods_are_scored_on_the_hooks_that_have_a_gradient():
    """Cells without one are left out and counted, patching is scored on all, and hooks and a model
    that couples its examples are each said once, however many metrics and methods there are.
    """

    class Coupled(Several):
        def forward(self, x):
            outputs = super().forward(x)
            return outputs + 0.5 * outputs.mean(0)

    model = Coupled()
    methods = {name: METHODS[name] for name in (*GRADIENTS, "exact_patching", "shapley")}
    asked = {"metrics": {"a": first, "b": first}, "methods": methods, "progress": False}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        scores = score_methods(model, PAIRS, ["hook_h", *WITHOUT], **asked).scores
    assert [score.n_cells for score in scores] == [4, 4, 20, 20] * 2
    assert not any(score.why_not for score in scores)
    texts = [str(one.message) for one in said]
    assert len(texts) == len(set(texts)) == 2
    assert sum("beside another one than alone" in text for text in texts) == 1
    assert sum("the scores there are NaN" in text for text in texts) == 1


@pytest.mark.filterwarnings("ignore:A hook on attn.hook_attn_scores:UserWarning")
@pytest.mark.filterwarnings("ignore:noise at:xor_mi.errors.XorMiWarning")
def test_all_hooks_of_a_transformer_are_scored_but_for_tokens_and_positions():
    """By both gradient methods, and ablated by their mean, each as without those two."""
    bridge = native_transformer(d_model=8, d_head=2, n_ctx=4, d_mlp=8, d_vocab=5, seed=0)
    tokens = torch.tensor([[0, 1, 2], [3, 4, 0]])
    every_hook = sites(bridge, "hook", inputs=tokens)
    whole = ("embed.hook_in", "pos_embed.hook_in")
    others = [k for k, site in enumerate(every_hook) if site.name not in whole]
    assert len(others) == len(every_hook) - 2
    assert len(others) > 50

    def metric(outputs):
        return outputs[:, -1, 0]

    asked = {"metrics": metric, "progress": False}
    methods = {
        "first order": METHODS["attribution_patching"],
        "on a line": partial(METHODS["integrated_gradients"], n_steps=1),
    }
    pairs = (tokens, tokens.flip(0))
    match = "'embed.hook_in' carries int64 numbers.* 'pos_embed.hook_in' carries int64"
    with pytest.warns(XorMiWarning, match=match):
        table = score_methods(bridge, pairs, every_hook, methods=methods, **asked).scores
    assert [score.n_cells for score in table] == [2 * len(others)] * 2
    with pytest.warns(XorMiWarning, match=match):
        swept = ablation_sweep(bridge, every_hook, rows=tokens, value="mean", **asked)
    assert swept.effect.isnan().all(1).sum() == 2
    alone = ablation_sweep(
        bridge, [every_hook[k] for k in others], rows=tokens, value="mean", **asked
    )
    assert torch.allclose(swept.values[:, others], alone.values, atol=1e-6)


def test_a_model_is_looked_at_once_before_its_gradients_are_taken():
    """Beside that there are two runs, one of all inputs and one with a gradient."""
    model, looked_at = Several(), Several()
    probe_hooks(looked_at, torch.cat(PAIRS))
    scores_of(model, "attribution_patching")
    assert model.n_runs == looked_at.n_runs + 2


def test_a_method_that_raises_does_not_lose_the_others():
    """The type and the words of what a caller's own method raised are in `why_not`."""

    def broken(model, clean, corrupted, sites, metric):
        raise KeyError("no such\nlayer")

    methods = {"broken": broken, "exact_patching": METHODS["exact_patching"]}
    asked = {"methods": methods, "metrics": {"a": first, "b": first}, "progress": False}
    table = score_methods(
        OwnModel(), (torch.ones(2, 3), torch.zeros(2, 3)), ["hook_first"], **asked
    )
    assert [score.why_not for score in table.scores] == ["KeyError: 'no such\\nlayer'", ""] * 2


def test_scores_that_are_not_finite_are_named_and_the_others_stand():
    """A slope of infinity at one pair; the others are scored, alone and against patching."""

    def rooted(outputs):
        return (outputs[:, 0] - outputs[1, 0].detach()).abs().sqrt()

    model, asked = Small(), {"metric": rooted}
    with pytest.warns(
        XorMiWarning, match="the score of hook_h by attribution_patching for clean 1"
    ):
        scores = scores_of(model, "attribution_patching", **asked)
    assert scores.isfinite().tolist() == [[True, False, True, True]]
    methods = {name: METHODS[name] for name in ("exact_patching", "attribution_patching")}
    table = score_methods(
        model, PAIRS, ["hook_h"], metrics=rooted, methods=methods, progress=False
    ).scores
    assert [score.n_cells for score in table] == [4, 3]
    assert table[1].mean_abs_error is not None
    assert not table[1].why_not


@pytest.mark.parametrize("kind", ["meta", "lazy"])
def test_parameters_without_numbers_are_named(kind):
    """On the meta device, and before a lazy layer has seen its input."""
    model = Small()
    if kind == "meta":
        model.out = nn.Parameter(torch.empty(3, 1, device="meta"))
        message = "out is on the meta device"
    else:
        model.after = nn.LazyLinear(2).eval()
        message = "after.weight has no shape yet"
    for call in (patch_sweep, attribute, score_methods):
        with pytest.raises(XorMiError, match=message):
            call(model, PAIRS, ["hook_h"], metrics=first)


class Masked(Small):
    """Its hidden values are multiplied by a keyword input."""

    def forward(self, x, *, mask, power=1):
        """[batch, 2], [batch, 3] -> [batch, 1]"""
        return torch.sigmoid(self.hook_h(x @ self.into)) ** power * mask @ self.out


@pytest.mark.parametrize("method", ["exact_patching", *GRADIENTS, "shapley"])
def test_keyword_inputs_come_with_their_pairs(method):
    """Scores of many pairs at once are those of pair after pair run on a model that holds the mask
    itself; in chunks too.
    """
    model, masks = Masked(), torch.rand(4, 3, generator=torch.Generator().manual_seed(3))
    asked = {"method": method, "metrics": first, "progress": False}
    sites = [Site("hook_h", (k,)) for k in range(3)]
    for bound in (None, 1):
        kwargs = {"mask": masks, "power": 2}
        given = {"model_kwargs": kwargs, "max_batch_bytes": bound, **asked}
        together = attribute(model, PAIRS, sites, **given).scores[0]
        for k, mask in enumerate(masks):
            alone = Small(step=lambda hidden, mask=mask: torch.sigmoid(hidden) ** 2 * mask)
            pair = tuple(side[k : k + 1] for side in PAIRS)
            expected = attribute(alone, pair, sites, **asked).scores[0, :, 0]
            assert torch.allclose(together[:, k], expected, atol=1e-6)


def test_an_own_method_gets_no_keyword_inputs():
    """It says so by itself, and among other methods in `why_not`."""

    def mine(model, clean, corrupted, sites, metric):
        return torch.zeros(len(sites), len(clean))

    asked = {"metrics": first, "model_kwargs": {"mask": torch.ones(4, 3)}, "progress": False}
    with pytest.raises(XorMiError, match="a method of your own gets no model_kwargs"):
        attribute(Masked(), PAIRS, ["hook_h"], method=mine, **asked)
    methods = {"mine": mine, "exact_patching": METHODS["exact_patching"]}
    scores = score_methods(Masked(), PAIRS, ["hook_h"], methods=methods, **asked).scores
    assert "model_kwargs" in scores[0].why_not
    assert scores[1].mean_abs_error == 0


@pytest.mark.unchecked
def test_the_score_of_a_decision_is_the_metric():
    """`decide=` in place of metrics gives the same scores; beside them, or without a score, it is
    refused.
    """
    model = OwnModel()
    pairs = tuple(torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1)))
    site, by_first = [Site("hook_first", (0,))], metrics.by_threshold()
    asked = attribute(model, pairs, site, decide=by_first).scores
    assert torch.equal(asked, attribute(model, pairs, site, metrics=first).scores)
    scored = score_methods(model, pairs, site, decide=by_first).frame()
    assert set(scored["metric"]) == {"output 0"}
    with pytest.raises(XorMiError, match="metrics and decide are both given"):
        attribute(model, pairs, site, decide=by_first, metrics=first)
    with pytest.raises(XorMiError, match="has no score to take a gradient of"):
        score_methods(model, pairs, site, decide=lambda outputs: outputs[:, 0] > 0)
