"""What interchange must not say silently: of hooks of whole numbers, decisions that compare examples,
hooks that nobody reads, variables that never vary, outputs of NaN, and no gradients.
"""

import pytest
import torch
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.interventions import (
    HighLevelModel,
    Subspace,
    das_accuracy,
    interchange_accuracy,
    subspace_accuracy,
)
from xor_mi.metrics import by_threshold

EITHER = HighLevelModel({"v": "a ^ b"}, "v", inputs=("a", "b"))
INPUTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
SAID = {
    "inputs": INPUTS,
    "features": {"a": [0, 0, 1, 1, 0, 1], "b": [0, 1, 0, 1, 1, 0]},
    "progress": False,
}
BASIS = torch.linalg.qr(torch.randn(4, 2, generator=torch.Generator().manual_seed(1))).Q


class Own(HookedRootModule):
    """Three numbers to four to one, with a hook between and one that nobody reads."""

    def __init__(self, forward):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 1)
        self.run = forward
        self.hook_h, self.hook_unread = HookPoint(), HookPoint()
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 3] -> [batch, 1]"""
        return self.run(self, x)


def plain(model, x):
    """The ordinary one."""
    hidden = model.a(x)
    model.hook_unread(hidden * 2)
    return model.b(torch.tanh(model.hook_h(hidden)))


def with_nan(model, x):
    """NaN where the first input is large."""
    outputs = plain(model, x).clone()
    outputs[x[:, 0] > 0.1] = float("nan")
    return outputs


def at_subspace(model, hook="hook_h", **given):
    """`interchange_accuracy` of the basis."""
    return interchange_accuracy(model, EITHER, {"v": Subspace(hook, BASIS)}, **SAID | given)


def of_subspace(model, hook="hook_h", **given):
    """`subspace_accuracy` of the basis."""
    return subspace_accuracy(model, EITHER, "v", hook, BASIS, **SAID | given)


def of_das(model, hook="hook_h", **given):
    """`das_accuracy` with few steps."""
    return das_accuracy(model, EITHER, "v", hook, epochs=2, **SAID | given)


EACH = (at_subspace, of_subspace, of_das)


def kinds(kind):
    """A model whose hook carries another kind of number."""

    def forward(model, x):
        return model.b(model.hook_h((model.a(x) * 4).to(kind)).real.float())

    return Own(forward)


@pytest.mark.parametrize("call", EACH)
@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.filterwarnings("ignore:Casting complex:UserWarning")
def test_a_subspace_needs_real_numbers(call, kind):
    """Its directions lie across the numbers of a hook, which whole ones would cut off."""
    with pytest.raises(XorMiError, match="'hook_h' holds .* numbers, and a subspace needs real"):
        call(kinds(kind), decide=by_threshold())


def test_a_decision_that_compares_runs_sees_all_of_them():
    """Above the median of all runs: the same under any bound of memory, and as interchange has it
    through the other machinery.
    """

    def above_the_median(outputs):
        return (outputs[:, 0] > outputs[:, 0].median()).long()

    counts = [
        call(Own(plain), decide=above_the_median, max_batch_bytes=bound).n_agreed
        for call in (at_subspace, of_subspace)
        for bound in (None, 1)
    ]
    assert counts == counts[:1] * 4


@pytest.mark.parametrize("bound", [None, 1])
def test_a_subspace_of_a_hook_that_nobody_reads_is_noticed(bound):
    """Its number is that of the untouched model, and a warning says why."""
    with pytest.warns(XorMiWarning, match="noise at 'hook_unread' changes no output"):
        of_subspace(Own(plain), "hook_unread", decide=by_threshold(), max_batch_bytes=bound)


@pytest.mark.parametrize("call", EACH)
def test_a_variable_that_never_varies_is_named(call):
    """All interchanges of it are of equal values; that they agree says nothing."""
    features = {"a": [1] * 6, "b": [0] * 6}
    with pytest.warns(XorMiWarning, match="'v' is 1 on all 6 inputs"):
        call(Own(plain), decide=by_threshold(), features=features)


@pytest.mark.parametrize("call", EACH)
def test_equal_inputs_with_other_features_are_refused(call):
    """No model can decide one input in two ways."""
    with pytest.raises(XorMiError, match="samples 0 and 2 are the same input with the features 00"):
        call(Own(plain), decide=by_threshold(), inputs=INPUTS[[0, 1, 0, 2, 3, 4]])


def own_decision(outputs):
    """Without a score that shows NaN."""
    return (outputs[:, 0] > 0).long()


@pytest.mark.parametrize(
    ("call", "decide"),
    [*((call, by_threshold()) for call in EACH), *((call, own_decision) for call in EACH[:2])],
)
def test_outputs_of_nan_are_said_with_how_many(call, decide):
    """The runs of the bases whose outputs are NaN, each with six sources."""
    n_bad = 6 * int((INPUTS[:, 0] > 0.1).sum())
    with pytest.warns(XorMiWarning, match=rf"outputs are NaN .*\({n_bad} of 36 of (v|das)"):
        call(Own(with_nan), decide=decide)


def test_das_on_a_score_of_nan_learns_nothing_and_says_so():
    """A NaN in the loss leaves no direction to learn."""

    def everywhere(model, x):
        return plain(model, x) + torch.where(x[:, :1] > 0.1, float("nan"), 1.0) * model.b.bias

    with pytest.raises(XorMiError, match="DAS learned no subspace at 'hook_h': the score is NaN"):
        of_das(Own(everywhere), decide=by_threshold())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_das_learns_where_the_caller_switched_gradients_off(context):
    """The counts and the basis are the same as outside."""
    model = Own(plain)
    outside = of_das(model, decide=by_threshold())
    with context():
        inside = of_das(model, decide=by_threshold(), inputs=INPUTS * 1)
    assert inside.n_agreed == outside.n_agreed
    assert torch.equal(inside.subspace, outside.subspace)
