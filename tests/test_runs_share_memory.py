"""The runs of a bounded sweep share the memory of their copies: what one run leaves there must not
reach the next. Held against a sweep of one site at a time, which shares nothing.
"""

import pytest
import torch

from xor_mi.interventions import Site, ablation_sweep, patch_sweep, sites
from xor_mi.model import HookedMLP, HookedMLPConfig

pytestmark = pytest.mark.as_a_user

BOUND = 4000
"""Bytes: a handful of sets in each run."""

ORDERS = {
    "one after the other": list(range(12)),
    "backwards": list(range(11, -1, -1)),
    "some": [1, 2, 3, 5, 8, 9],
    "one twice as a list": [0, [3, 4], 5, [1, 2], 7, 8, 9, 10, 11],
}


@pytest.fixture(params=[False, True], ids=["", "direct"])
def model(request):
    """One hidden layer of twelve, whose sums are written at two hooks."""
    return HookedMLP(HookedMLPConfig(d_hidden=(12, 3), direct=request.param, seed=1))


def alone(model, places, **settings):
    """Each site in a sweep of its own, put together."""
    each = [patch_sweep(model, None, [place], progress=False, **settings) for place in places]
    return torch.cat([sweep.values for sweep in each], dim=1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("stage", ["pre", "post"])
@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_no_run_sees_what_another_wrote(model, order, stage, direction):
    """Units of a layer in several orders, several units at once among them."""
    hook = f"blocks.0.mlp.hook_{stage}"
    places = [Site(hook, ([*entry],) if isinstance(entry, list) else (entry,))
              for entry in ORDERS[order]]  # fmt: skip
    bounded = patch_sweep(
        model, None, places, direction=direction, max_batch_bytes=BOUND, progress=False
    )
    assert torch.allclose(bounded.values, alone(model, places, direction=direction), atol=1e-6)


def test_sites_of_all_kinds_and_sets_of_them(model):
    """Edges, inputs, outputs and units of two layers, and pairs of these."""
    places = [*sites(model, "unit"), *sites(model, "input"), *sites(model, "logit")]
    places += [*sites(model, "edge")[:9], ("h0.1", "h1.0"), ("h0.2", "h0.1"), "x0->h0.3"]
    bounded = patch_sweep(model, None, places, max_batch_bytes=BOUND, progress=False)
    assert torch.allclose(bounded.values, alone(model, places), atol=1e-6)


@pytest.mark.parametrize("value", ["zero", "mean", "resample"])
def test_ablations(model, value):
    """Values of several kinds."""
    bounded = ablation_sweep(model, value=value, max_batch_bytes=1000, progress=False)
    whole = ablation_sweep(model, value=value, progress=False)
    assert torch.allclose(bounded.values, whole.values, atol=1e-6)


def test_an_activation_that_changes_from_run_to_run_is_taken_as_it_is():
    """A hook of the caller's that adds another number in each forward."""
    model = HookedMLP(HookedMLPConfig(d_hidden=12, act_fn="identity", seed=1))
    added: list[float] = []

    def add(value, hook):
        added.append(float(len(added)))
        return value + added[-1]

    with model.hooks(fwd_hooks=[("blocks.0.mlp.hook_post", add)]):
        bounded = patch_sweep(model, None, max_batch_bytes=BOUND, progress=False)
    plain = patch_sweep(model, None, progress=False)
    by_one = model.fc2.weight[0].sum() - model.fc2.weight[0]
    # what is patched in is that of the first forward, in which nothing was added
    moved = (bounded.patched - plain.patched) / by_one.detach()[:, None]
    assert len(added) > 3
    assert torch.allclose(moved, moved.round(), atol=1e-3)
    assert set(moved.round().flatten().tolist()) == set(added[1:])


def test_outputs_that_a_caller_keeps_stay_as_they_were():
    """Where outputs themselves are written, they are nobody's memory."""
    model = HookedMLP(HookedMLPConfig(d_hidden=3, d_out=9, seed=1))
    kept, copies = [], []
    handle = model.register_forward_hook(
        lambda _, __, outputs: (kept.append(outputs), copies.append(outputs.clone()))[2:] or None
    )
    patch_sweep(model, None, sites(model, "logit"), max_batch_bytes=BOUND, progress=False)
    handle.remove()
    assert len(kept) > 3
    assert all(map(torch.equal, kept, copies))


def test_the_same_under_inference_mode(model):
    """Where PyTorch counts no writes."""
    with torch.inference_mode():
        bounded = patch_sweep(model, None, max_batch_bytes=BOUND, progress=False)
    assert torch.allclose(bounded.values, patch_sweep(model, None, progress=False).values)
