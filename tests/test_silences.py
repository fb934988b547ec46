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


def zero_in_place(value, hook):
    """A hook that edits its activation and forgets to return it."""
    value.zero_()


def unchanged(value, hook):
    """A hook that changes nothing."""
    return value


CACHED = {
    "an unknown name": ("blocks.0.mlp.hook_pots", f"no hook 'blocks.0.mlp.hook_pots'.*did you mean '{POST}'"),
    "an unknown name among known ones": (["hook_embed", "nope"], "no hook 'nope'"),
    "an empty filter": ([], "an empty filter"),
    "a predicate that matches nothing": (lambda name: False, "a predicate that matches nothing"),
    "a predicate for a transformer": (lambda name: name.endswith("hook_z"), "a predicate that matches nothing"),
    "a hook that is switched off": ("hook_edge", "is switched off; call model.set_use_edge_result"),
}  # fmt: skip
HOOKED = {
    "an unknown name": ("hook_nope", unchanged, "no hook 'hook_nope'"),
    "a name nearly right": ("blocks.0.mlp.hook_pots", unchanged, f"no hook 'blocks.0.mlp.hook_pots'.*did you mean '{POST}'"),
    "a predicate that matches nothing": (lambda name: "zzz" in name, unchanged, "a predicate that matches nothing"),
    "a predicate for a transformer": (lambda name: "attn" in name, unchanged, "a predicate that matches nothing"),
    "a hook that is switched off": ("hook_edge", unchanged, "is switched off; call model.set_use_edge_result"),
    "a value for one example": (POST, lambda value, hook: value[:1], r"returned \[1, 2\]; its activation has shape \[4, 2\]"),
    "an output for one example": ("hook_logits", lambda value, hook: value[:1], r"returned \[1, 1\]; its activation has shape \[4, 1\]"),
    "a number": ("hook_logits", lambda value, hook: 3, "returned int"),
    "an edit in place": (POST, zero_in_place, "edited its activation in place and returned None"),
    "an edit of the output in place": ("hook_logits", zero_in_place, "edited its activation in place and returned None"),
}  # fmt: skip


@pytest.mark.parametrize("case", CACHED)
def test_a_filter_that_finds_nothing(textbook, case):
    """An empty cache, or one without what was asked for, is never returned."""
    names_filter, message = CACHED[case]
    with pytest.raises(XorMiError, match=message):
        textbook.run_with_cache(textbook.rows(), names_filter=names_filter)


@pytest.mark.parametrize("case", HOOKED)
def test_a_hook_that_would_change_nothing_or_too_much(textbook, case):
    """A hook that would be added nowhere, a value that would broadcast over the batch, and an edit
    that is not returned: refused, and no hook stays behind.
    """
    name, hook, message = HOOKED[case]
    with pytest.raises(XorMiError, match=message):
        textbook.run_with_hooks(textbook.rows(), fwd_hooks=[(name, hook)])
    assert all(not point.fwd_hooks for point in textbook.hook_points()), "a hook was left behind"


def test_a_lasting_hook_that_would_be_added_nowhere(textbook):
    """add_hook knows the same names."""
    with pytest.raises(XorMiError, match="no hook 'hook_nope'"):
        textbook.add_hook("hook_nope", unchanged)
    with pytest.raises(XorMiError, match="a predicate that matches nothing"):
        textbook.add_hook(lambda name: "attn" in name, unchanged)


def test_unknown_hook_in_an_intervention(textbook):
    """A name that no hook has is refused by every intervention, with the nearest name."""
    site = Site("blocks.0.mlp.hook_pots", 0)
    for call in (
        lambda: patch_sweep(textbook, sites=[site]),
        lambda: ablation_sweep(textbook, [site]),
    ):
        with pytest.raises(
            XorMiError, match=f"no hook 'blocks.0.mlp.hook_pots'.*did you mean '{POST}'"
        ):
            call()


def test_wrong_shaped_ablation(textbook):
    """An ablation's tensor that would broadcast over the batch is refused."""
    with pytest.raises(
        XorMiError, match=r"a value of shape \[4\] does not fit an activation \[4, 2\]"
    ):
        ablation_sweep(textbook, value=torch.zeros(4))


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
    for pos_slice in (0, slice(0, 1)):
        with pytest.raises(XorMiError, match="pos_slice would cut the batch"):
            textbook.run_with_cache(textbook.rows(), pos_slice=pos_slice)


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
    with pytest.raises(XorMiError, match="the ablation value is inf; an intervention needs"):
        ablation_sweep(model, value=float("inf"))
    with torch.no_grad():
        model.fc1.weight[0, 0] = float("inf")
    with pytest.raises(XorMiError, match="finite weights; fc1.weight has NaN or infinite"):
        patch_sweep(model)


def test_a_site_that_never_fired():
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
    """It is still there afterwards, and what it does is part of every run, cached or patched."""
    textbook.add_perma_hook(POST, lambda value, hook: value * 2)
    _, cache = textbook.run_with_cache(textbook.rows())
    assert cache["hook_logits"].flatten().tolist() == [0, 2, 2, 0]
    assert len(textbook.hook_dict[POST].fwd_hooks) == 1
    textbook.reset_hooks(including_permanent=True)
    plain = patch_sweep(textbook, [("01", "11")]).patched
    textbook.add_perma_hook("hook_logits", lambda value, hook: value + 10)
    assert torch.equal(patch_sweep(textbook, [("01", "11")]).patched, plain + 10)
    assert [name for name, point in textbook.hook_dict.items() if point.fwd_hooks] == [
        "hook_logits"
    ]
