"""Models that work in place, as `nn.ReLU(inplace=True)` does, are analysed like those that do not:
the oracle is the same model written with new tensors.
"""

from functools import partial

import pytest
import torch
from in_place import both
from models import OwnModel
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi import XorMiError, scan_gates
from xor_mi.errors import XorMiWarning
from xor_mi.interventions import METHODS, Site, attribute, score_methods
from xor_mi.interventions._forward import changed_in_place

ROWS = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])


class Xor(HookedRootModule):
    """XOR by OR and AND, with a ReLU that overwrites what `hook_pre` saw."""

    def __init__(self, *, inplace=True):
        super().__init__()
        self.act, self.hook_pre, self.hook_post = nn.ReLU(inplace), HookPoint(), HookPoint()
        self.W1, self.b1 = torch.ones(2, 2), torch.tensor([-0.3, -1.2])
        self.w2 = nn.Parameter(torch.tensor([[1.0], [-2.0]]))
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 2] -> [batch, 1]"""
        return self.hook_post(self.act(self.hook_pre(x @ self.W1 + self.b1))) @ self.w2


SITES = [Site("hook_pre", (0,)), Site("hook_pre", (1,))]
PAIRS = (ROWS[[1, 0]], ROWS[[3, 1]])


def test_gradients_times_differences_by_hand():
    """Between 01 and 11 both pre-activations change by -1, at slopes 1 and -2. From 00 to 01 the OR
    changes by -1 at slope 1, and the AND's slope is 0.
    """
    scores = attribute(Xor(), PAIRS, SITES, method="attribution_patching").scores[0]
    assert torch.allclose(scores, torch.tensor([[-1.0, -1.0], [2.0, 0.0]]))


def test_the_drawn_models_do_work_in_place():
    """Most of them change what a hook point saw, and some their own input; the other version of
    each never does.
    """
    changed = changed_input = 0
    for seed in range(20):
        for model in both(seed):
            inputs = torch.ones(2, model.d_in)
            names = changed_in_place(
                model, inputs, [f"before.{k}" for k in range(len(model.steps))]
            )
            assert torch.equal(inputs, torch.ones(2, model.d_in))
            model(inputs)
            is_changed = not torch.equal(inputs, torch.ones(2, model.d_in))
            assert model.in_place or not (names or is_changed)
            changed, changed_input = changed + bool(names), changed_input + is_changed
    assert changed > 10
    assert changed_input > 5


def test_a_scan_of_gates_is_the_same():
    """Thresholds and margins at the overwritten hook point."""
    features = {"a": ROWS[:, 0].repeat(3), "b": ROWS[:, 1].repeat(3)}
    frames = [
        scan_gates(Xor(inplace=inplace), ROWS.repeat(3, 1), features, ["hook_pre"], progress=False)
        for inplace in (True, False)
    ]
    assert frames[0].frame().equals(frames[1].frame())


def test_no_gradient_method_is_called_perfect():
    """Attribution patching errs by 0.4 and by 0.3 on two of four cells, in place or not."""
    for inplace in (True, False):
        methods = {"attribution_patching": METHODS["attribution_patching"]}
        table = score_methods(Xor(inplace=inplace), PAIRS, SITES, methods=methods).frame()
        assert table["mean_abs_error"].tolist() == pytest.approx([0.175])


def test_an_own_method_is_warned_of_spoiled_caches():
    """A method that reads run_with_cache gets overwritten values there; the package's own methods
    need no warning.
    """

    def mine(model, clean, corrupted, sites, metric):
        _, cache = model.run_with_cache(clean)
        return torch.stack([cache[site.hook_name][:, site.index[0]] for site in sites])

    with pytest.warns(XorMiWarning, match="changes the activation at 'hook_pre' in place"):
        spoiled = attribute(Xor(), PAIRS, SITES, method=mine).scores[0]
    assert not torch.equal(
        spoiled, attribute(Xor(inplace=False), PAIRS, SITES, method=mine).scores[0]
    )
    with pytest.warns(XorMiWarning, match="run_with_cache"):
        score_methods(Xor(), PAIRS, SITES, methods={"mine": mine})


def test_a_gradient_that_is_overwritten_is_named():
    """Where the overwritten values are those that the gradient needs, one error says what to do;
    exact patching still answers.
    """

    class Squares(Xor):
        def forward(self, x):
            pre = self.hook_pre(x @ self.W1 + self.b1)
            squares = pre * pre
            pre += 1
            return self.hook_post(squares + pre) @ self.w2

    with pytest.raises(XorMiError, match="changes in place what its gradient needs"):
        attribute(Squares(), PAIRS, SITES, method="attribution_patching")
    assert attribute(Squares(), PAIRS, SITES).scores.isfinite().all()


def test_chunks_of_gradients_are_those_of_one_run():
    """A metric that compares the pairs of a run sees all of them, whatever the memory bound."""

    def metric(outputs):
        return (outputs[:, 0] - outputs[:, 0].mean()) * outputs[:, 1]

    model = OwnModel()
    generator = torch.Generator().manual_seed(1)
    pairs = tuple(torch.randn(2, 9, 3, generator=generator))
    for by in (
        METHODS["attribution_patching"],
        partial(METHODS["integrated_gradients"], n_steps=4),
    ):
        whole, parts = (
            attribute(
                model,
                pairs,
                ["hook_first"],
                method=partial(by, max_batch_bytes=bound),
                metrics=metric,
            ).scores
            for bound in (None, 200)
        )
        assert whole.abs().max() > 0.1
        assert torch.allclose(whole, parts, atol=1e-5)
