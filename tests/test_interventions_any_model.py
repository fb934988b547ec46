"""Patching and ablation on models that are not ours: a user's own HookedRootModule and a native
transformer.
"""

from functools import partial
from typing import Any

import pandas as pd
import pytest
import torch
from models import OwnModel, native_transformer
from torch import nn
from transformer_lens.patching import PatchingResult, generic_activation_patch

from xor_mi.errors import XorMiError
from xor_mi.interventions import (
    Site,
    ablation_sweep,
    attribute,
    patch_sweep,
    score_methods,
    subsets,
)
from xor_mi.interventions._forward import changed_in_place
from xor_mi.metrics import by_argmax, by_threshold, by_tokens


def first_logit(outputs):
    """One number per example."""
    return outputs[:, 0]


@pytest.fixture
def own():
    """A fresh model of the user's."""
    return OwnModel()


@pytest.fixture
def inputs():
    """Clean and corrupted inputs, one of each per pair."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)


@pytest.fixture(scope="module")
def transformer():
    """A two-layer native transformer, randomly initialised, no download."""
    return native_transformer(d_model=16, d_head=4, n_ctx=6, d_mlp=24, d_vocab=11, seed=0)


def test_own_model_equals_run_with_hooks_one_at_a_time(own, inputs):
    """Every unit of both layers and every pair, against TransformerLens' run_with_hooks called once
    per cell.
    """
    clean, corrupted = inputs
    sites = [Site("hook_first", (k,)) for k in range(6)] + [
        Site("hook_second", (k,)) for k in range(4)
    ]
    sweep = patch_sweep(
        own, (clean, corrupted), sites, metrics={"first": first_logit, "second": lambda o: o[:, 1]}
    )
    _, cache = own.run_with_cache(clean)
    for s, site in enumerate(sites):

        def write(value, hook, site=site):
            value = value.clone()
            value[:, site.index[0]] = cache[site.hook_name][:, site.index[0]]
            return value

        expected = own.run_with_hooks(corrupted, fwd_hooks=[(site.hook_name, write)])
        assert torch.allclose(sweep.values[:, s], expected.T, atol=1e-6)
    assert sweep.effect.abs().max() > 0.1
    frame = sweep.frame()
    assert {
        "patched_first",
        "patched_second",
        "effect_first",
        "effect_second",
        "recovered_fraction",
        "recovered_fraction_second",
    } <= set(frame)
    assert not {"decision_patched", "flips"} & set(frame)
    assert sweep["second"].metrics == ("second",)


def test_own_model_equals_generic_activation_patch(own, inputs):
    """Hook names that TransformerLens' patcher can reach ("first" without a layer) give the same
    numbers.
    """
    clean, corrupted = inputs
    _, cache = own.run_with_cache(clean)

    def setter(value, index, clean_value):
        value = value.clone()
        value[:, index[1]] = clean_value[:, index[1]]
        return value

    index_df = pd.DataFrame({"layer": [None] * 6, "unit": range(6)}, dtype=object)
    result = generic_activation_patch(
        own,
        corrupted,
        cache,
        first_logit,
        setter,
        "first",
        index_df=index_df,
        reduce="none",
        baseline=True,
    )
    sweep = patch_sweep(
        own,
        (clean, corrupted),
        [Site("hook_first", (k,)) for k in range(6)],
        metrics={"first": first_logit},
    )
    assert torch.allclose(sweep.values[0], result.values, atol=1e-6)
    assert torch.allclose(sweep.result.effect()[0], result.effect(), atol=1e-6)


@pytest.mark.parametrize(
    ("act", "hook", "indices"),
    [("z", "blocks.{}.attn.hook_z", 4), ("post", "blocks.{}.mlp.hook_post", 24)],
)
def test_transformer_equals_generic_activation_patch(transformer, act, hook, indices):
    """Heads and MLP neurons of both layers, all positions: equal to TransformerLens' patcher to
    1e-6.
    """
    generator = torch.Generator().manual_seed(2)
    clean, corrupted = (torch.randint(0, 11, (3, 5), generator=generator) for _ in range(2))
    _, cache = transformer.run_with_cache(clean)

    def setter(value, index, clean_value):
        value = value.clone()
        value[:, :, index[1]] = clean_value[:, :, index[1]]
        return value

    def metric(logits):
        return logits[:, -1, 3] - logits[:, -1, 7]

    index_df = pd.DataFrame(
        [(layer, k) for layer in (0, 1) for k in range(indices)], columns=["layer", "unit"]
    )
    result = generic_activation_patch(
        transformer,
        corrupted,
        cache,
        metric,
        setter,
        act,
        index_df=index_df,
        reduce="none",
        baseline=True,
    )
    sites = [Site(hook.format(layer), (None, k)) for layer in (0, 1) for k in range(indices)]
    sweep = patch_sweep(
        transformer, (clean, corrupted), sites, metrics={"logit_difference": metric}
    )
    assert sweep.effect.abs().max() > 1e-4
    assert torch.allclose(sweep.values[0], result.values, atol=1e-6)
    assert torch.allclose(
        patch_sweep(
            transformer, (clean, corrupted), sites, metrics={"m": metric}, max_batch_bytes=20000
        ).values,
        sweep.values,
        atol=1e-6,
    )


def test_one_position_of_one_head(transformer):
    """An index with a position writes there only."""
    clean, corrupted = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 2, 9, 4]])
    sites = [Site("blocks.0.hook_resid_pre", (p,)) for p in range(4)]
    effects = patch_sweep(
        transformer, (clean, corrupted), sites, metrics={"m": lambda logits: logits[:, -1, 0]}
    ).effect[:, 0]
    assert effects[[0, 1, 3]].abs().max() < 1e-6, (
        "positions where the inputs agree carry no difference"
    )
    assert effects[2].abs() > 1e-4


def test_joint_sites_and_whole_hooks(own, inputs):
    """All units of a layer together, and the whole hook, restore the clean run; a subset does
    something else.
    """
    clean, corrupted = inputs
    units = [Site("hook_first", (k,)) for k in range(6)]
    sweep = patch_sweep(
        own,
        (clean, corrupted),
        [tuple(units), Site("hook_first"), tuple(units[:2])],
        metrics={"m": first_logit},
    )
    assert torch.allclose(sweep.patched[0], sweep.clean[0], atol=1e-6)
    assert torch.allclose(sweep.patched[1], sweep.clean[0], atol=1e-6)
    assert not torch.allclose(sweep.patched[2], sweep.clean[0], atol=1e-3)
    assert len(subsets(units)) == 63
    assert [len(together) for together in subsets(units, min_size=2, max_size=2)] == [2] * 15


def test_patching_result_has_its_statistics(own, inputs):
    """`.result` is TransformerLens' PatchingResult: metric, site, pair; standard errors and
    p-values come with it.
    """
    result = patch_sweep(
        own,
        inputs,
        [Site("hook_first", (0,)), Site("hook_second", (1,))],
        metrics={"m": first_logit},
    ).result
    assert isinstance(result, PatchingResult)
    assert result.values.shape == (1, 2, 5)
    assert result.stderr().shape == result["m"].stderr()[None].shape
    assert ((result.permutation_pvalue() >= 0) & (result.permutation_pvalue() <= 1)).all()
    low, high = result.bootstrap_ci(of_effect=True)
    assert (low <= high).all()
    assert list(result.to_dataframe()["site"].unique()) == ["hook_first[0]", "hook_second[1]"]


def test_ablation_and_attribution_work_there_too(own, inputs):
    """Zero ablation by hand on the user's model, and the attribution table."""
    clean, corrupted = inputs
    sweep = ablation_sweep(
        own, [Site("hook_second", (2,))], value="zero", rows=clean, metrics=first_logit
    )
    _, cache = own.run_with_cache(clean)
    expected = sweep.before[0] - cache["hook_second"][:, 2] * own.last[2, 0]
    assert torch.allclose(sweep.after[0], expected, atol=1e-6)
    with pytest.raises(XorMiError, match="nothing says what this model decides; give decide="):
        _ = sweep.decisions
    table = score_methods(
        own,
        methods={k: v for k, v in _methods().items() if k != "direct_logit"},
        pairs=(clean, corrupted),
        sites=[Site("hook_first", (k,)) for k in range(6)],
        metrics=first_logit,
    )
    scores = table.frame().set_index("method")
    assert scores.loc["exact_patching", "mean_abs_error"] == 0
    assert scores.loc["exact_patching", "correlation"] == pytest.approx(1)
    assert (
        scores.loc["random", "mean_abs_error"]
        > scores.loc["attribution_patching", "mean_abs_error"]
        > 0
    )
    with pytest.raises(XorMiError, match="direct_logit reads the readout weights"):
        attribute(
            own,
            method="direct_logit",
            pairs=(clean, corrupted),
            sites=[Site("hook_first", (0,))],
            metrics=first_logit,
        )


def _methods():
    from xor_mi.interventions import METHODS

    return METHODS


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m, p: patch_sweep(m, p, [Site("hook_frist", (0,))], metrics={"m": first_logit}),
            "no hook 'hook_frist'.*did you mean 'hook_first'",
        ),
        (
            lambda m, p: patch_sweep(m, p, ["h0.0"], metrics={"m": first_logit}),
            "no hook 'h0.0'; this model has: hook_first",
        ),
        (
            lambda m, p: patch_sweep(m, p, [Site("hook_unused", (0,))], metrics={"m": first_logit}),
            "'hook_unused' never fired",
        ),
        (
            lambda m, p: patch_sweep(m, p, [Site("hook_first", (6,))], metrics={"m": first_logit}),
            r"index \[6\] is outside 'hook_first', whose activation is \[batch, 6\]",
        ),
        (
            lambda m, p: patch_sweep(
                m, p, [Site("hook_first", (0, 0))], metrics={"m": first_logit}
            ),
            r"index \[0, 0\] is outside",
        ),
        (lambda m, p: patch_sweep(m, p, None, metrics={"m": first_logit}), "give sites="),
        (
            lambda m, p: patch_sweep(
                m, None, [Site("hook_first", (0,))], metrics={"m": first_logit}
            ),
            "give pairs=",
        ),
        (
            lambda m, p: patch_sweep(
                m, (p[0], p[1][:2]), [Site("hook_first")], metrics={"m": first_logit}
            ),
            "must pair up",
        ),
        (
            lambda m, p: patch_sweep(m, p, [Site("hook_first")], metrics={"m": lambda o: o}),
            "must give one number each",
        ),
        (
            lambda m, p: patch_sweep(m, p, [Site("hook_first")], metrics="logit"),
            "metrics is 'logit'; give the function itself, metrics=metrics.logit",
        ),
        (
            lambda m, p: patch_sweep(m, p, [Site("hook_first")], metrics={}),
            "metrics are name -> function",
        ),
        (lambda m, p: patch_sweep(m, p, [()], metrics={"m": first_logit}), "empty set of sites"),
        (
            lambda m, p: patch_sweep(
                m.train(), p, [Site("hook_first")], metrics={"m": first_logit}
            ),
            "call model.eval",
        ),
        (
            lambda m, p: patch_sweep(
                nn.Identity(), p, [Site("hook_first")], metrics={"m": first_logit}
            ),
            "needs a hooked model",
        ),
        (
            lambda m, p: ablation_sweep(m, [Site("hook_first")], rows=None, metrics=first_logit),
            "give rows=",
        ),
        (
            lambda m, p: ablation_sweep(
                m, [Site("hook_first")], value=torch.ones(7), rows=p[0], metrics=first_logit
            ),
            "does not fit an activation",
        ),
    ],
)
def test_mistakes_on_any_model_are_named(own, inputs, call, message):
    """Unknown or silent hooks, indices outside, missing arguments, metrics of the wrong shape,
    train mode, no hooks at all.
    """
    with pytest.raises(XorMiError, match=message):
        call(own, inputs)
    assert all(not point.fwd_hooks for point in own.hook_points())


def test_the_guard_of_what_works_in_place_spoils_no_cache_of_a_transformer(transformer):
    """None of its hooks is overwritten, under either of its names; a cache from before the question
    and one from after it are the same to the last bit. A step that does work in place is found.
    """
    tokens = torch.randint(0, 11, (4, 5), generator=torch.Generator().manual_seed(0))
    _, before = transformer.run_with_cache(tokens)
    names = list(before.keys())
    kept = [before[name].clone() for name in names]
    assert {"blocks.0.mlp.hook_post", "blocks.0.mlp.out.hook_in"} <= set(names)
    assert changed_in_place(transformer, tokens, names) == []
    _, after = transformer.run_with_cache(tokens)
    for name, values in zip(names, kept, strict=True):
        assert torch.equal(before[name], values)
        assert torch.equal(after[name], values)
    assert not any(point.fwd_hooks for point in transformer.hook_dict.values())

    def work_in_place(module, given):
        given[0].add_(1.0)

    planted = transformer.blocks[1].register_forward_pre_hook(work_in_place)
    try:
        assert "blocks.0.hook_resid_post" in changed_in_place(transformer, tokens, names)
    finally:
        planted.remove()


def test_a_hook_that_fires_twice_is_refused(inputs):
    """A hook point used twice in one forward would be written twice; that is an error, not a
    guess.
    """

    class Twice(OwnModel):
        def forward(self, x):
            return (
                self.hook_second(
                    self.hook_first(self.hook_first(x.float() @ self.first)) @ self.second
                )
                @ self.last
            )

    with pytest.raises(XorMiError, match="'hook_first' fired 2 times"):
        patch_sweep(Twice(), inputs, [Site("hook_first", (0,))], metrics={"m": first_logit})


def test_non_finite_weights_and_users_hooks(own, inputs):
    """A NaN parameter is named; a permanent hook of the user's stays and acts."""
    own.add_perma_hook("hook_second", lambda value, hook: value * 0)
    sweep = patch_sweep(own, inputs, [Site("hook_first", (0,))], metrics={"m": first_logit})
    assert sweep.effect.abs().max() == 0
    assert len(own.hook_dict["hook_second"].fwd_hooks) == 1
    with torch.no_grad():
        own.second[0, 0] = float("nan")
    with pytest.raises(XorMiError, match="second has NaN"):
        patch_sweep(own, inputs, [Site("hook_first", (0,))], metrics={"m": first_logit})


@pytest.mark.parametrize(
    ("decide", "says"),
    [
        (by_threshold(), "say which position"),
        (by_argmax(), "say which position"),
        (by_tokens(1, 0, position=9), "there is no position 9"),
        (None, "nothing says which of their numbers matters"),
    ],
)
def test_a_message_says_the_outputs_of_what_was_given(own, inputs, decide, says):
    """Three pairs of five positions are [3, 5, 2], however many copies of them run together."""
    clean, corrupted = [side[:3, None].repeat(1, 5, 1) for side in inputs]
    asked = [Site("hook_first", (None, k)) for k in range(6)]
    calls = [
        lambda: patch_sweep(own, (clean, corrupted), asked, decide=decide),
        lambda: patch_sweep(own, (clean, corrupted), asked, decide=decide, max_batch_bytes=1),
        lambda: ablation_sweep(own, asked, rows=clean, decide=decide),
    ]
    for call in calls:
        with pytest.raises(XorMiError, match=says) as refused:
            call()
        assert "[3, 5, 2]" in str(refused.value)


def test_a_decision_is_no_metric_and_a_function_without_a_name_is_called_metric(own, inputs):
    """By itself, by name, or not yet made; its score is the metric where it is given as decide=."""
    decision = by_threshold()
    unmade: Any = by_threshold
    for metrics in (decision, {"mine": decision}, unmade):
        with pytest.raises(XorMiError, match="give decide="):
            patch_sweep(own, inputs, "hook_first", metrics=metrics)
    sweep = patch_sweep(own, inputs, "hook_first", metrics=lambda outputs: outputs[:, 0])
    assert sweep.metrics == ("metric",)
    by_partial = partial(lambda outputs, column: outputs[:, column], column=0)
    assert patch_sweep(own, inputs, "hook_first", metrics=by_partial).metrics == ("metric",)


def test_lists_in_place_of_two_tensors_are_told_how_to_become_them(own, inputs):
    """They are numbers of inputs, and no rows of bits."""
    lists = tuple(tuple(map(tuple, side[:2].tolist())) for side in inputs)
    with pytest.raises(XorMiError, match=r"torch\.tensor\(clean\), torch\.tensor\(corrupted\)"):
        patch_sweep(own, lists, "hook_first")
    with pytest.raises(XorMiError, match="rows of bits are for a HookedMLP only"):
        patch_sweep(own, [("00", "01")], "hook_first")
