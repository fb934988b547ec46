"""A forward that saves the call of a hook point where nobody listens, held against one that calls
every hook point: the same numbers, bit for bit, and every listener is heard.
"""

import copy
import pickle
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as of_all_modules
from torch.nn.utils import parametrize, prune
from transformer_lens.hook_points import HookPoint

from xor_mi.model import HookedMLP, HookedMLPConfig

pytestmark = pytest.mark.as_a_user

POST = "blocks.0.mlp.hook_post"

SETTINGS = [
    {"d_hidden": 3},
    {"d_in": 3, "d_hidden": (4, 3), "d_out": 2, "act_fn": "tanh"},
    {"d_hidden": 5, "direct": True},
    {"d_hidden": 3, "out_act_fn": "sigmoid"},
    {"d_hidden": 3, "use_edge_result": True},
    {"d_hidden": 3, "use_edge_result": True, "direct": True, "dtype": torch.float64},
]


@pytest.fixture(params=SETTINGS, ids=", ".join)
def model(request):
    """Networks of every kind of hook point, with weights drawn by a seed."""
    return HookedMLP(HookedMLPConfig(**request.param, seed=3))


def every_point_called(model, x):
    """The slow forward: a copy of the inputs, and each hook point called as a module."""

    def affine(linear, value, hook_edge):
        if not model.cfg.use_edge_result:
            return F.linear(value, linear.weight, linear.bias)
        added = hook_edge(linear.weight * value[:, None, :]).sum(-1)
        return added if linear.bias is None else added + linear.bias

    value = inputs = model.hook_embed(x.clone())
    for layer, block in enumerate(model.blocks):
        pre = block.mlp.hook_pre(affine(model.linears[layer], value, block.hook_edge))
        value = block.mlp.hook_post(model.activate(pre, layer))
    readout = affine(model.linears[-1], value, model.hook_edge)
    if model.direct is not None:
        readout = readout + affine(model.direct, inputs, model.hook_edge_direct)
    if model.hook_readout is not None:
        readout = model.hook_readout(readout)
    return model.hook_logits(model.activate(readout, model.cfg.n_layers))


def assert_alike(model, x=None):
    """Ours and the slow forward give the same bits, with gradients and without."""
    x = model.rows() if x is None else x
    assert torch.equal(model(x), every_point_called(model, x))
    with torch.no_grad():
        assert torch.equal(model(x), every_point_called(model, x))
    with torch.inference_mode():
        assert torch.equal(model(x), every_point_called(model, x))


class Doubling(HookPoint):
    """A hook point that is not an identity."""

    def forward(self, x):
        return 2 * x


@contextmanager
def removed_after(*handles):
    """Inside a `with` block these hooks are there; afterwards they are not."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def test_outputs_and_every_activation_without_and_with_a_cache(model):
    """A cached run sees at each hook what a hook added by hand sees in the slow forward."""
    assert_alike(model)
    expected = {}
    points = {name: model.hook_dict[name] for name in model.active_hooks()}
    handles = [
        point.register_forward_hook(lambda _, __, out, name=name: expected.setdefault(name, out))
        for name, point in points.items()
    ]
    with removed_after(*handles):
        every_point_called(model, model.rows())
    outputs, cache = model.run_with_cache(model.rows())
    assert torch.equal(outputs, model(model.rows()))
    assert list(cache.keys()) == list(expected)
    assert all(torch.equal(cache[name], expected[name]) for name in expected)


def test_every_hook_alone_changes_the_run(model):
    """A hook at each point in turn, by every way that TransformerLens has to add one."""
    x = model.rows()
    plain = model(x)
    for name in model.active_hooks():
        change = (name, lambda value, hook: value * 2 + 3)
        by_run = model.run_with_hooks(x, fwd_hooks=[change])
        assert not torch.equal(by_run, plain)
        with model.hooks(fwd_hooks=[change]):
            assert_alike(model)
            assert torch.equal(model(x), by_run)
        model.add_hook(*change)
        assert torch.equal(model(x), by_run)
        model.reset_hooks()
        model.add_perma_hook(*change)
        model.reset_hooks()
        assert torch.equal(model(x), by_run)
        model.reset_hooks(including_permanent=True)
        assert torch.equal(model(x), plain)


def test_backward_hooks_see_the_gradient(model):
    """TransformerLens' backward hooks, at every point, against autograd itself."""
    x = model.rows()
    kept, seen = {}, {}

    def keep(value, hook):
        value.retain_grad()
        kept[hook.name] = value

    def see(gradient, hook):
        seen[hook.name] = gradient.clone()

    # the input has a gradient only where somebody asks for it
    names = [name for name in model.active_hooks() if name != "hook_embed"]
    model.run_with_hooks(x, fwd_hooks=[(name, keep) for name in names]).sum().backward()
    with model.hooks(bwd_hooks=[(name, see) for name in names]):
        model(x).sum().backward()
    assert seen.keys() == kept.keys() == set(names)
    assert all(torch.equal(seen[name], kept[name].grad) for name in names)


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_of_pytorch_on_a_point_are_called(textbook, register):
    """Such hooks are in no list of TransformerLens'."""
    heard = []
    handle = getattr(textbook.hook_dict[POST], register)(lambda *given: heard.append(given))
    with removed_after(handle):
        textbook(textbook.rows())
    textbook(textbook.rows())
    assert len(heard) == 1


@pytest.mark.parametrize(
    "register", ["register_full_backward_hook", "register_full_backward_pre_hook"]
)
def test_backward_hooks_of_pytorch_on_a_point_are_called(textbook, register):
    """As above, on the way back."""
    heard = []
    handle = getattr(textbook.hook_dict[POST], register)(lambda *given: heard.append(given))
    with removed_after(handle):
        textbook(textbook.rows()).sum().backward()
    textbook(textbook.rows()).sum().backward()
    assert len(heard) == 1


@pytest.mark.parametrize(
    "register", ["register_module_forward_hook", "register_module_forward_pre_hook"]
)
def test_hooks_of_all_modules_are_called_at_every_point(model, register):
    """PyTorch's hooks on every module there is: each point that fires, once and in order."""
    heard = []
    handle = getattr(of_all_modules, register)(lambda point, *_: heard.append(point))
    with removed_after(handle):
        model(model.rows())
    names = [point.name for point in heard if isinstance(point, HookPoint)]
    assert names == [name for name in model.hook_dict if name in set(model.active_hooks())]
    heard.clear()
    model(model.rows())
    assert not heard


def test_backward_hooks_of_all_modules_are_called(textbook):
    """As above, on the way back."""
    heard = []
    handle = of_all_modules.register_module_full_backward_hook(
        lambda point, *_: heard.append(point)
    )
    with removed_after(handle):
        textbook(textbook.rows().requires_grad_()).sum().backward()
    assert textbook.hook_dict[POST] in heard
    assert textbook.hook_logits in heard


def test_another_module_in_a_point_s_place_is_called(textbook):
    """Of the root's points; and a point whose own forward was changed."""
    plain = textbook(textbook.rows())
    textbook.hook_logits = Doubling()
    assert torch.equal(textbook(textbook.rows()), 2 * plain)
    textbook.hook_logits = HookPoint()
    assert torch.equal(textbook(textbook.rows()), plain)
    point = textbook.hook_dict[POST]
    point.forward = lambda value: value * 0
    assert_alike(textbook)
    assert not torch.equal(textbook(textbook.rows()), plain)


@pytest.mark.parametrize("name", ["forward", "__call__"])
def test_what_is_put_into_the_class_is_called_at_every_point(model, monkeypatch, name):
    """As tools do that watch all modules."""
    own, seen = getattr(HookPoint, name), []

    def watched(point, value):
        seen.append(point.name)
        return own(point, value)

    monkeypatch.setattr(HookPoint, name, watched)
    model(model.rows())
    ours = seen.copy()
    seen.clear()
    every_point_called(model, model.rows())
    assert ours == seen != []


def test_what_is_put_into_one_point_is_called(textbook):
    """Its own way to be called, and what `compile()` makes of it."""
    textbook.hook_logits._call_impl = lambda value: 3 * value
    assert torch.equal(textbook(textbook.rows()), every_point_called(textbook, textbook.rows()))
    assert textbook(textbook.rows()).flatten().tolist() == [0, 3, 3, 0]
    del textbook.hook_logits._call_impl
    textbook.hook_logits._compiled_call_impl = lambda value: 5 * value
    assert textbook(textbook.rows()).flatten().tolist() == [0, 5, 5, 0]


class Masked(nn.Linear):
    """A layer that computes its weight."""

    @property
    def weight(self):
        """Without the second unit."""
        return self._parameters["weight"] * torch.tensor([[1.0], [0.0]])


def test_a_weight_that_a_layer_computes_is_used(textbook):
    """By the forward, as by everything that reads the layer."""
    textbook.fc1.__class__ = Masked
    assert_alike(textbook)
    assert textbook(textbook.rows()).flatten().tolist() == [0, 1, 1, 2]
    assert textbook.float64_layers()[0][0].tolist() == [[1, 1], [0, 0]]


def test_an_input_is_never_written_into(textbook):
    """A hook that edits in place and returns what it edited does not reach the caller's tensor."""
    for grad in (False, True):
        x = textbook.rows()
        with torch.set_grad_enabled(grad):
            textbook.run_with_hooks(x, fwd_hooks=[("hook_embed", lambda v, hook: v.add_(5))])
            _, cache = textbook.run_with_cache(x)
        cache["hook_embed"].add_(5)
        assert torch.equal(x, textbook.rows())


def test_gradients_are_those_of_the_inputs_that_were_given(textbook):
    """An input that is written into after a forward changes no gradient of it."""
    x = textbook.rows()
    outputs = textbook(x)
    x.fill_(7)
    outputs.sum().backward()
    found = [linear.weight.grad.clone() for linear in textbook.linears]
    textbook.zero_grad()
    every_point_called(textbook, textbook.rows()).sum().backward()
    assert all(map(torch.equal, found, [linear.weight.grad for linear in textbook.linears]))


def test_a_gradient_by_the_input(model):
    """The copy of an input hands its gradient on."""
    x = model.rows().requires_grad_()
    ours, slow = (
        torch.autograd.grad(forward(x).sum(), x)[0]
        for forward in (model, lambda x: every_point_called(model, x))
    )
    assert torch.equal(ours, slow)


def changed_in_place(model):
    """As an optimizer does."""
    with torch.no_grad():
        model.fc1.weight.add_(1)


def changed_as_data(model):
    """Behind autograd's back."""
    model.fc2.bias.data = model.fc2.bias.data + 3


def with_new_parameter(model):
    """Another tensor altogether."""
    model.fc1.weight = nn.Parameter(torch.ones_like(model.fc1.weight))


def with_new_bias(model):
    """The same of the readout's bias."""
    model.fc2.bias = nn.Parameter(torch.ones_like(model.fc2.bias))


def loaded(model):
    """A state copied into the parameters."""
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})


def assigned(model):
    """A state whose tensors become the parameters."""
    state = {name: value + 1 for name, value in model.state_dict().items()}
    model.load_state_dict(state, assign=True)


def pruned(model):
    """The weight becomes a plain attribute, and no parameter of its name is left."""
    prune.l1_unstructured(model.fc1, "weight", amount=2)


def parametrized(model):
    """The weight becomes a property of a new class."""
    parametrize.register_parametrization(model.fc1, "weight", nn.Softplus())


def in_double(model):
    """Another dtype."""
    model.to(torch.float64)


CHANGES = [
    changed_in_place, changed_as_data, with_new_parameter, with_new_bias, loaded, assigned, pruned, parametrized, in_double,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_weights_are_used_at_once(change):
    """Whatever changes a weight, and however often the network ran before."""
    model = HookedMLP(HookedMLPConfig(d_hidden=3, seed=3))
    before = model(model.rows())
    change(model)
    assert_alike(model)
    assert not torch.equal(model(model.rows()), before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_has_hooks_and_weights_of_its_own(textbook, copied):
    """Deep copies and pickles share nothing with what they were made of."""
    plain = textbook(textbook.rows())
    twin = copied(textbook)
    twin.add_hook(POST, lambda value, hook: value + 1)
    with torch.no_grad():
        twin.fc1.weight.mul_(3)
    assert_alike(twin)
    assert torch.equal(textbook(textbook.rows()), plain)
    assert not torch.equal(twin(twin.rows()), plain)


def test_functional_calls_use_the_weights_that_they_are_given(textbook):
    """torch.func puts other tensors in the parameters' places for one call."""
    weights = {name: value * 2 for name, value in textbook.named_parameters()}
    by_call = torch.func.functional_call(textbook, weights, (textbook.rows(),))
    by_vmap = torch.func.vmap(
        lambda given: torch.func.functional_call(textbook, given, (textbook.rows(),))
    )({name: torch.stack([value, value]) for name, value in weights.items()})
    textbook.load_state_dict(weights)
    assert torch.equal(by_call, every_point_called(textbook, textbook.rows()))
    assert torch.equal(by_vmap[1], by_call)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_a_trace_gives_the_same(textbook):
    """torch.jit compares its trace with a second one that it makes without gradients."""
    x = textbook.rows()
    assert torch.equal(torch.jit.trace(textbook, x)(x), textbook(x))
