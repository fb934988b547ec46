"""The twelve places where TransformerLens stays silent, one test each: here every one is an error
that names what exists.
"""

import pytest
import torch
from models import OwnModel

from xor_mi.errors import XorMiError
from xor_mi.interventions import Site, ablation_sweep, patch_sweep
from xor_mi.model import HookedMLP

POST = "blocks.0.mlp.hook_post"


def test_unknown_hook(textbook):
    """A name that no hook has is refused by the cache, by hooks and by every intervention, with the
    nearest name.
    """
    for call in (
        lambda: textbook.run_with_cache(textbook.rows(), names_filter="blocks.0.mlp.hook_pots"),
        lambda: textbook.run_with_hooks(
            textbook.rows(), fwd_hooks=[("blocks.0.mlp.hook_pots", lambda value, hook: value)]
        ),
        lambda: patch_sweep(textbook, sites=[Site("blocks.0.mlp.hook_pots", 0)]),
        lambda: ablation_sweep(textbook, [Site("blocks.0.mlp.hook_pots", 0)]),
    ):
        with pytest.raises(
            XorMiError, match=f"no hook 'blocks.0.mlp.hook_pots'.*did you mean '{POST}'"
        ):
            call()


def test_filter_that_matches_nothing(textbook):
    """An empty cache is never returned."""
    with pytest.raises(XorMiError, match="an empty filter"):
        textbook.run_with_cache(textbook.rows(), names_filter=[])
    with pytest.raises(XorMiError, match="a predicate that matches nothing"):
        textbook.run_with_cache(textbook.rows(), names_filter=lambda name: name.endswith("hook_z"))


def test_predicate_that_matches_nothing(textbook):
    """A hook that would be added nowhere is refused, lasting or not."""
    with pytest.raises(XorMiError, match="a predicate that matches nothing"):
        textbook.run_with_hooks(
            textbook.rows(), fwd_hooks=[(lambda name: "attn" in name, lambda value, hook: value)]
        )
    with pytest.raises(XorMiError, match="a predicate that matches nothing"):
        textbook.add_hook(lambda name: "attn" in name, lambda value, hook: value)


def test_wrong_shaped_patch(textbook):
    """A value that would broadcast over the batch is refused, from a hook and from an ablation's
    tensor.
    """
    with pytest.raises(XorMiError, match=r"returned \[1, 2\]; its activation has shape \[4, 2\]"):
        textbook.run_with_hooks(textbook.rows(), fwd_hooks=[(POST, lambda value, hook: value[:1])])
    with pytest.raises(
        XorMiError, match=r"a value of shape \[4\] does not fit an activation \[4, 2\]"
    ):
        ablation_sweep(textbook, value=torch.zeros(4))


def test_in_place_hook(textbook):
    """An edit in place that is not returned is refused instead of changing the run."""

    def edit(value, hook):
        value[:] = 0

    with pytest.raises(XorMiError, match="edited its activation in place and returned None"):
        textbook.run_with_hooks(textbook.rows(), fwd_hooks=[(POST, edit)])


def test_overwritten_caller_tensor(textbook):
    """Writing at the input hook leaves the caller's tensor as it was."""
    rows = textbook.rows()
    before = rows.clone()

    def zero(value, hook):
        value[:] = 0
        return value

    assert torch.equal(
        textbook.run_with_hooks(rows, fwd_hooks=[("hook_embed", zero)]), torch.zeros(4, 1)
    )
    assert torch.equal(rows, before)
    clean, corrupted = textbook.rows(["01"]), textbook.rows(["11"])
    patch_sweep(textbook, (clean, corrupted), ["x0", "x1"])
    assert clean.tolist() == [[0, 1]]
    assert corrupted.tolist() == [[1, 1]]


def test_pos_slice(textbook):
    """It would cut the batch of two-dimensional activations."""
    with pytest.raises(XorMiError, match="pos_slice would cut the batch"):
        textbook.run_with_cache(textbook.rows(), pos_slice=slice(0, 1))


@pytest.mark.parametrize("model", ["textbook", "own"])
def test_train_mode(textbook, model):
    """No intervention runs in train mode, on our model or the user's; the module is named."""
    chosen, site, pairs = (
        (textbook, "h0.0", None)
        if model == "textbook"
        else (OwnModel(), Site("hook_first", 0), (torch.ones(2, 3),) * 2)
    )
    chosen.train()
    with pytest.raises(XorMiError, match="needs eval mode.*call model.eval"):
        patch_sweep(chosen, pairs, [site], metrics={"first": lambda outputs: outputs[:, 0]})


def test_values_that_are_not_finite():
    """Weights, inputs, ablation values and activations: NaN and infinity are named, not passed
    through a step function.
    """
    layers = [([[2, 2], [2, 2]], [-1, -3]), ([[1, -1]], [-0.5])]
    model = HookedMLP.from_weights(layers, act_fn="heaviside")
    broken = torch.tensor([[0.0, float("nan")]])
    with pytest.raises(XorMiError, match="the inputs have NaN or infinite"):
        patch_sweep(
            model,
            (broken, model.rows(["11"])),
            ["h0.0"],
            metrics={"logit": lambda outputs: outputs[:, 0]},
        )
    with pytest.raises(XorMiError, match=f"the value for '{POST}' has NaN or infinite"):
        ablation_sweep(model, value=float("inf"))
    with torch.no_grad():
        model.fc1.weight[0, 0] = float("inf")
    with pytest.raises(XorMiError, match="finite weights; fc1.weight has NaN or infinite"):
        patch_sweep(model)


def test_a_site_that_never_fired(textbook):
    """A hook point that exists but is not reached in the forward is an error, not an effect of
    zero.
    """
    pairs = (torch.zeros(2, 3), torch.ones(2, 3))
    with pytest.raises(XorMiError, match="hook 'hook_unused' never fired"):
        patch_sweep(
            OwnModel(),
            pairs,
            [Site("hook_unused", 0)],
            metrics={"first": lambda outputs: outputs[:, 0]},
        )
    with pytest.raises(XorMiError, match="is switched off; call model.set_use_edge_result"):
        textbook.run_with_hooks(
            textbook.rows(), fwd_hooks=[("hook_edge", lambda value, hook: value)]
        )


def test_hooks_left_after_an_exception(textbook):
    """Whatever raises in a run, or in a metric, no hook stays behind."""

    def fail(*_, **__):
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        textbook.run_with_hooks(
            textbook.rows(), fwd_hooks=[(POST, lambda value, hook: value), ("hook_logits", fail)]
        )
    with pytest.raises(RuntimeError, match="planted"):
        patch_sweep(textbook, metrics={"fail": fail})
    assert [name for name, point in textbook.hook_dict.items() if point.fwd_hooks] == []


def test_a_users_permanent_hook(textbook):
    """It is still there afterwards, and what it does is part of every run."""
    plain = patch_sweep(textbook, [("01", "11")]).patched
    textbook.add_perma_hook("hook_logits", lambda value, hook: value + 10)
    assert torch.equal(patch_sweep(textbook, [("01", "11")]).patched, plain + 10)
    assert [name for name, point in textbook.hook_dict.items() if point.fwd_hooks] == [
        "hook_logits"
    ]
