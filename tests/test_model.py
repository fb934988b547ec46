"""HookedMLP: values, hooks, conversion, saving, and what it refuses."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from xor_mi.errors import XorMiError
from xor_mi.graph import Edge, Unit
from xor_mi.model import (
    ACTIVATIONS,
    HookedMLP,
    HookedMLPConfig,
    initial_weights,
    require_evaluable,
)
from xor_mi.training import train
from xor_mi.truth import BooleanFunction


def numpy_forward(model, x):
    """The network written again in NumPy: hidden values per layer, then the output."""
    acts = {
        "relu": lambda v: np.maximum(v, 0),
        "leaky_relu": lambda v: np.where(v > 0, v, model.cfg.negative_slope * v),
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "identity": lambda v: v,
        "heaviside": lambda v: (v > 0).astype(v.dtype),
        "sign": lambda v: np.where(v > 0, 1.0, -1.0),
        "relu6": lambda v: np.clip(v, 0, 6),
        "hardtanh": lambda v: np.clip(v, -1, 1),
        "hardsigmoid": lambda v: np.clip(v / 6 + 0.5, 0, 1),
        "softplus": lambda v: np.log1p(np.exp(v)),
        "elu": lambda v: np.where(v > 0, v, np.expm1(v)),
        "silu": lambda v: v / (1 + np.exp(-v)),
        "gelu_tanh": lambda v: v / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3))),
        "gelu": lambda v: np.array(
            [u / 2 * (1 + torch.erf(torch.tensor(u / 2**0.5)).item()) for u in v.ravel()]
        ).reshape(v.shape),
    }
    value, values = np.asarray(x, dtype=np.float64), []
    for number, linear in enumerate(model.linears):
        pre = value @ linear.weight.detach().numpy().astype(
            np.float64
        ).T + linear.bias.detach().numpy().astype(np.float64)
        value = acts[model.cfg.out_act_fn if number == model.cfg.n_layers else model.cfg.act_fn](
            pre
        )
        values.append((pre, value))
    return values


@pytest.mark.parametrize("act_fn", list(ACTIVATIONS))
@pytest.mark.parametrize("out_act_fn", ["identity", "sigmoid", "leaky_relu"])
@pytest.mark.parametrize("use_edge_result", [False, True])
def test_forward_and_every_hook_agree_with_numpy(act_fn, out_act_fn, use_edge_result):
    """On every row, each hook point holds the value NumPy computes, with and without the edge
    hooks.
    """
    cfg = HookedMLPConfig(
        3,
        (4, 2),
        2,
        act_fn=act_fn,
        out_act_fn=out_act_fn,
        negative_slope=0.2,
        use_edge_result=use_edge_result,
        seed=3,
    )
    model = HookedMLP(cfg)
    x = model.rows()
    logits, cache = model.run_with_cache(x)
    expected = numpy_forward(model, x)
    assert np.allclose(logits.detach().numpy(), expected[-1][1], atol=1e-6)
    for layer in range(2):
        assert np.allclose(cache["pre", layer].numpy(), expected[layer][0], atol=1e-6)
        assert np.allclose(cache["post", layer].numpy(), expected[layer][1], atol=1e-6)
    assert ("hook_readout" in cache) == (out_act_fn != "identity")
    assert ("blocks.0.hook_edge" in cache) == use_edge_result


def test_edge_hooks_hold_the_hadamard_product(counted):
    """Weight times input, term by term; the sum over inputs plus the bias is the pre-activation. By
    hand on weights 1 to 9.
    """
    counted.set_use_edge_result(True)
    _, cache = counted.run_with_cache(torch.tensor([[1, 1]]))
    assert cache["edge", 0].tolist() == [[[1, -2], [3, 4]]]
    assert cache["pre", 0].tolist() == [[1 - 2 + 5, 3 + 4 - 6]]
    assert cache["hook_edge"].tolist() == [[[7 * 4, -8 * 1]]]
    assert counted(torch.tensor([1, 1])).item() == 28 - 8 + 9


def test_textbook_network_gives_xor_exactly(textbook):
    """The golden values of the textbook network: hidden (0,0), (1,0), (1,0), (2,1), output 0, 1, 1,
    0.
    """
    logits, cache = textbook.run_with_cache(textbook.rows())
    assert cache["post", 0].tolist() == [[0, 0], [1, 0], [1, 0], [2, 1]]
    assert logits.flatten().tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    "x",
    [[0, 1], [[0, 1]], torch.tensor([0, 1]), torch.tensor([[False, True]]), torch.tensor([[0.0, 1.0]]), np.array([[0, 1]]), torch.tensor([[0, 1]], dtype=torch.uint8),
     torch.tensor([[0.0, 1.0]], dtype=torch.float64)],
)  # fmt: skip
def test_inputs_of_every_dtype_give_a_batch(textbook, x):
    """int, bool and float bits, one row or many: the output is always [batch, n_outputs]."""
    assert textbook(x).tolist() == [[1.0]]


@pytest.mark.parametrize("act_fn", list(ACTIVATIONS))
def test_hook_pre_and_hook_post_never_share_memory(act_fn):
    """Whatever the activation, an in-place edit at hook_post leaves the cached hook_pre as it was."""
    model = HookedMLP(HookedMLPConfig(act_fn=act_fn))
    _, cache = model.run_with_cache(model.rows())
    assert cache["pre", 0].data_ptr() != cache["post", 0].data_ptr()


def test_from_sequential_is_the_same_network():
    """fc1, activation, fc2, sigmoid as plain PyTorch: equal outputs bit for bit, copied weights,
    probability threshold.
    """
    for act, out in (
        (nn.ReLU(), nn.Sigmoid()),
        (nn.LeakyReLU(0.3), None),
        (nn.Tanh(), nn.Identity()),
        (nn.GELU(), nn.LeakyReLU(0.3)),
    ):
        torch_net = nn.Sequential(
            *[m for m in (_linear(2, 3, 1), act, _linear(3, 1, 2), out) if m is not None]
        )
        model = HookedMLP.from_sequential(torch_net)
        x = torch.tensor([[0.0, 0.0], [0.3, 1.0], [-2.0, 5.0]])
        assert torch.equal(model(x), torch_net(x))
        assert torch.equal(model.fc1.weight, torch_net[0].weight)
        assert model.threshold == (0.5 if isinstance(out, nn.Sigmoid) else 0.0)
        with torch.no_grad():
            torch_net[0].weight.zero_()
        assert model.fc1.weight.abs().sum() > 0


def _linear(d_in, d_out, seed, bias=True):
    linear = torch.nn.utils.skip_init(nn.Linear, d_in, d_out, bias=bias)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return linear


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([_linear(2, 2, 0), nn.Softmax(dim=1), _linear(2, 1, 0)], "module 1 is Softmax"),
        ([nn.ReLU(), _linear(2, 2, 0), _linear(2, 1, 0)], "module 0 is ReLU"),
        (
            [_linear(2, 2, 0), nn.ELU(alpha=0.5), _linear(2, 1, 0)],
            "module 1 is ELU; layer 1 has elu",
        ),
        ([_linear(2, 2, 0)], "1 linear layer found"),
        (
            [_linear(2, 2, 0), nn.ReLU(), _linear(2, 2, 0), nn.Mish(), _linear(2, 1, 0)],
            "module 3 is Mish; layer 2 has the activation mish",
        ),
        (
            [_linear(2, 2, 0), nn.LeakyReLU(0.1), _linear(2, 1, 0), nn.LeakyReLU(0.2)],
            "slopes .* differ",
        ),
        (
            [_linear(2, 2, 0), nn.ReLU(), _linear(3, 1, 0)],
            "module 2 is Linear: it takes 3 values and is given 2",
        ),
    ],
)
def test_from_sequential_refuses_what_it_cannot_be(modules, message):
    """A module with no counterpart is named with its position."""
    with pytest.raises(XorMiError, match=message):
        HookedMLP.from_sequential(nn.Sequential(*modules))


def test_a_linear_without_bias_gets_zeros():
    """bias=False reads as a zero bias."""
    net = nn.Sequential(_linear(2, 2, 0, bias=False), nn.ReLU(), _linear(2, 1, 1))
    assert HookedMLP.from_sequential(net, decision_threshold=0).fc1.bias.tolist() == [0, 0]


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([([[1, 2]], [0])], "1 layers of weights"),
        ([([[1, 2]], [0, 0]), ([[1]], [0])], r"weight \[1, 2\] and bias \[2\]"),
        ([([1, 2], [0]), ([[1]], [0])], "fc1 has weight"),
        ([([[float("nan"), 2]], [0]), ([[1]], [0])], "fc1 has NaN or infinite"),
        ([([[1, 2]], [0]), ([[float("inf")]], [0])], "fc2 has NaN or infinite"),
        ([("no", None), ([[1]], [0])], "fc1 is not a pair"),
        ([[[1, 2]], [[1]]], "fc1 is not a pair"),
    ],
)
def test_from_weights_refuses_bad_weights(layers, message):
    """Shapes and values are checked, naming the layer."""
    with pytest.raises(XorMiError, match=message):
        HookedMLP.from_weights(layers)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_hidden": ()}, "at least one hidden layer"),
        ({"d_hidden": (0,)}, "at least 1"),
        ({"d_in": 2.5}, "d_in must be a whole number of at least 1, not 2.5"),
        ({"d_in": 10**30}, "weights and biases; at most 100,000,000: give smaller layers"),
        ({"d_in": True}, "d_in must be .*, not True"),
        ({"d_hidden": [2, "3"]}, "widths? of the hidden layers .* at least 1, not '3'"),
        ({"negative_slope": float("nan")}, "negative_slope must be a finite number, not nan"),
        (
            {"decision_threshold": float("inf")},
            "decision_threshold must be a finite number, not inf",
        ),
        ({"act_fn": ["relu", "tanh"]}, "act_fn has 2 activations for 1 hidden layers"),
        ({"act_fn": {"relu": 1}}, "no activation .*known activations: relu"),
        ({"target": {"n_inputs": 2}}, "expected n_inputs and tables"),
        ({"act_fn": "rellu"}, "no activation 'rellu'.*did you mean 'relu'"),
        ({"out_act_fn": "softmax"}, "no activation 'softmax'"),
        ({"loss_fn": "hinge"}, "no loss 'hinge'"),
        ({"dtype": "int8"}, "no dtype 'int8'"),
        ({"target": "XORR"}, "no gate 'XORR'"),
        ({"target": "XOR", "d_out": 2}, "target has 1 output; .* has 2; .*decision_rule='argmax'"),
        ({"direct": 1}, "direct must be True or False, not 1"),
        ({"step_at_zero": 2}, r"step_at_zero is 2; give 0, off at zero \(>\), or 1, on there"),
        ({"input_levels": (1, 1)}, "input_levels are both 1; give two different numbers"),
        ({"input_levels": [0, 1, 2]}, r"input_levels is .*; give the numbers for bit 0 and bit 1"),
        ({"input_levels": "01"}, "input_levels is '01'"),
        ({"input_levels": (0, float("nan"))}, "each of input_levels must be a finite number"),
        ({"decision_rule": "max"}, "no decision rule 'max'; known decision rules: threshold, arg"),
        ({"decision_rule": "argmax"}, "decision_rule='argmax' needs at least two outputs"),
        ({"loss_fn": "ce"}, "loss_fn='ce' needs at least two outputs; this network has 1"),
        (
            {"d_out": 2, "loss_fn": "ce", "decision_rule": "threshold"},
            "loss_fn='ce' is for decision_rule='argmax', not 'threshold'",
        ),
        (
            {"d_out": 2, "loss_fn": "ce", "decision_threshold": 0.5},
            "decision_threshold is 0.5, but argmax compares outputs",
        ),
        (
            {"d_out": 2, "loss_fn": "ce", "target": "x0 ^ x1, x0 & x1"},
            "target has 2 outputs; the network has one decision, the larger of its outputs",
        ),
        ({"d_in": 3, "target": BooleanFunction.named("XOR")}, "2 inputs; the network has 3"),
    ],
)
def test_every_check_of_the_config_fires(settings, message):
    """Each wrong setting has its own message."""
    with pytest.raises(XorMiError, match=message):
        HookedMLPConfig.from_dict(settings)


def test_config_round_trip_and_foreign_keys():
    """to_dict -> JSON -> from_dict is the identity; a key that is not a setting is named."""
    cfg = HookedMLPConfig(
        3, (4, 4), 2, act_fn="tanh", target="x0 & x1, x1 ^ x2", dtype=torch.float64, seed=9
    )
    assert HookedMLPConfig.from_dict(json.loads(json.dumps(cfg.to_dict()))) == cfg
    with pytest.raises(XorMiError, match=r"no setting 'widht'.*d_hidden"):
        HookedMLPConfig.from_dict({"widht": 3})


def test_config_has_transformerlens_names():
    """n_layers, d_mlp and the attention fields TransformerLens asks for; d_mlp only where one width
    fits all.
    """
    cfg = HookedMLPConfig(3, (4, 4))
    assert (
        cfg.n_layers,
        cfg.d_mlp,
        cfg.n_heads,
        cfg.n_key_value_heads,
        cfg.attn_only,
        cfg.normalization_type,
    ) == (
        2,
        4,
        0,
        None,
        False,
        None,
    )
    assert HookedMLPConfig(3, (4, 2)).d_mlp is None


def test_default_threshold_follows_the_output():
    """0 for logits, 0.5 for probabilities and for regression targets."""
    assert HookedMLPConfig().decision_threshold == 0.0
    assert HookedMLPConfig(out_act_fn="sigmoid").decision_threshold == 0.5
    assert HookedMLPConfig(loss_fn="mse").decision_threshold == 0.5
    assert HookedMLPConfig(loss_fn="mse", decision_threshold=0.0).decision_threshold == 0.0


def test_weights_come_from_the_seed_alone():
    """The same seed gives the same weights whatever torch's global state, in PyTorch's default
    range.
    """
    first = HookedMLP(HookedMLPConfig(3, (5,), seed=4))
    assert torch.equal(first.fc1.weight, HookedMLP(HookedMLPConfig(3, (5,), seed=4)).fc1.weight)
    assert not torch.equal(first.fc1.weight, HookedMLP(HookedMLPConfig(3, (5,), seed=5)).fc1.weight)
    drawn = torch.cat([initial_weights((3, 5, 1), seed)[0][0].flatten() for seed in range(200)])
    assert drawn.abs().max() <= 3**-0.5
    assert drawn.abs().max() > 0.99 * 3**-0.5
    assert abs(drawn.mean()) < 0.02


def test_loss_is_the_field_s_loss():
    """BCE and MSE against torch's own functions; labels come from the target unless given."""
    table = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = HookedMLP(HookedMLPConfig(target="XOR", seed=2))
    logits, loss = model(model.rows(), return_type="both")
    assert torch.allclose(loss, nn.functional.binary_cross_entropy_with_logits(logits, table))
    flipped = nn.functional.binary_cross_entropy_with_logits(logits, 1 - table)
    assert torch.allclose(model(model.rows(), return_type="loss", labels=1 - table), flipped)
    squared = HookedMLP(HookedMLPConfig(target="XOR", loss_fn="mse", seed=2))
    assert torch.allclose(
        squared(squared.rows(), return_type="loss"), ((logits - table) ** 2).mean()
    )
    probabilities = HookedMLP(HookedMLPConfig(target="XOR", out_act_fn="sigmoid", seed=2))
    assert torch.allclose(probabilities(model.rows(), return_type="loss"), loss)


def test_save_and_load_is_the_identity(tmp_path, deep):
    """Config, weights and outputs come back equal; only JSON and safetensors are written."""
    folder = deep.save_pretrained(tmp_path / "a" / "b")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    loaded = HookedMLP.from_pretrained(folder)
    assert loaded.cfg == deep.cfg
    assert torch.equal(loaded(loaded.rows()), deep(deep.rows()))
    assert not loaded.training


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors missing"),
        (lambda f: (f / "config.json").unlink(), "config.json missing"),
        (lambda f: (f / "config.json").write_text("{", encoding="utf-8"), "cannot be read"),
        (
            lambda f: (f / "config.json").write_text("[]", encoding="utf-8"),
            "is not a xor_mi.HookedMLP/1 config",
        ),
        (
            lambda f: (f / "config.json").write_text('{"format": "other/1"}', encoding="utf-8"),
            "is not a xor_mi.HookedMLP/1 config",
        ),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda f: _edit(f, act_fn="evil"), "no activation 'evil'"),
        (lambda f: _edit(f, surprise=1), "no setting 'surprise'"),
        (lambda f: _edit(f, d_hidden=[3, 2]), "its config says"),
        (lambda f: _edit(f, d_hidden=[10**12]), "6,000,000,000,002 weights and biases; at most"),
        (lambda f: _edit(f, d_in="two"), "d_in must be a whole number of at least 1, not 'two'"),
        (lambda f: _edit(f, target={"n_inputs": 3}), "expected n_inputs and tables"),
        (lambda f: (f / "model.safetensors").write_bytes(b"not tensors"), "cannot be read"),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-3]
            ),
            "cannot be read",
        ),
        (lambda f: _poison(f, float("nan")), "not made of finite"),
        (lambda f: _poison(f, float("inf")), "not made of finite"),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused(tmp_path, deep, damage, message):
    """Each kind of damage is one XorMiError, before a network is built."""
    deep.save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(XorMiError, match=message):
        HookedMLP.from_pretrained(tmp_path)


def _edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8"
    )


def _poison(folder, value):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["fc1.weight"][0, 0] = value
    save_file(tensors, folder / "model.safetensors")


def test_missing_folder_and_unwritable_folder(tmp_path, textbook):
    """Neither is a traceback from deep inside: both say what to do."""
    with pytest.raises(XorMiError, match="no model in .*config.json and model.safetensors missing"):
        HookedMLP.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(XorMiError, match=r"missing; model.save_pretrained\(folder\) writes one"):
        HookedMLP.from_pretrained(tmp_path / "nowhere")
    torch.save({}, tmp_path / "mine.pt")
    with pytest.raises(XorMiError, match="mine.pt' is a file, .* by HookedMLP.from_module"):
        HookedMLP.from_pretrained(tmp_path / "mine.pt")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(XorMiError, match="cannot write .*choose a folder you may write to"):
        textbook.save_pretrained(tmp_path / "file" / "inside")


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(torch.zeros(4, 3)), r"shape \[4, 3\]; this network takes \[batch, 2\]"),
        (lambda m: m("01"), "cannot read '01' as an input"),
        (lambda m: m(m.rows(), return_type="logit"), "no return_type 'logit'.*did you mean 'logits'"),
        (lambda m: HookedMLP()(m.rows(), return_type="loss"), "a loss needs labels"),
        (lambda m: m.place("h0.2"), "no unit or edge 'h0.2'; this network has: x0, x1, h0.0, h0.1, y0"),
        (lambda m: m.place("x0->y0"), "no unit or edge 'x0->y0'; this network has: x0->h0.0, x1->h0.0"),
        (lambda m: m.place(3), "3 is not a unit or an edge"),
        (lambda m: m.rows([[0, 1, 1]]), "3 bits; this network has 2 inputs"),
        (lambda m: m.read_rows([[0]]), "1 bit; this network has 2 inputs"),
        (lambda m: m.require_output(1), "no output 1; this network has 1, counted from 0"),
        (lambda m: m.require_output(-1), "output must be a whole number of at least 0, not -1"),
        (lambda m: HookedMLP().target_of(), "this network has no target; give one"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_an_error_that_names_what_exists(textbook, call, message):
    """Wrong shapes, names, rows and outputs: each speaks."""
    with pytest.raises(XorMiError, match=message), torch.no_grad():
        call(textbook)


def test_cache_can_be_a_plain_dict(textbook):
    """return_cache_object=False gives TransformerLens' plain dict, with every hook that fires."""
    _, cache = textbook.run_with_cache(textbook.rows(), return_cache_object=False)
    assert type(cache) is dict
    assert (
        list(cache)
        == textbook.active_hooks()
        == ["hook_embed", "blocks.0.mlp.hook_pre", "blocks.0.mlp.hook_post", "hook_logits"]
    )


def test_places_have_one_name_each(deep):
    """Units, inputs, outputs and edges are found by value and by name; each has the hook site that
    holds its value.
    """
    assert deep.place("h1.0") == Unit(1, 0) == deep.place(Unit(1, 0))
    assert deep.place("y1") == Unit(2, 1, is_output=True)
    assert deep.place("x2->h0.3") == Edge(Unit(-1, 2), Unit(0, 3))
    assert deep.hook_site("x2") == ("hook_embed", (2,))
    assert deep.hook_site("h1.0") == ("blocks.1.mlp.hook_post", (0,))
    assert deep.hook_site("h0.3->h1.0") == ("blocks.1.hook_edge", (0, 3))
    assert deep.hook_site("h1.1->y0") == ("hook_edge", (0, 1))
    assert deep.hook_site("y0") == ("hook_logits", (0,))
    assert [unit.name for unit in deep.units] == ["h0.0", "h0.1", "h0.2", "h0.3", "h1.0", "h1.1"]
    assert repr(deep.place("h0.3->h1.0")) == "h0.3->h1.0"


@pytest.mark.unchecked
def test_a_width_is_called_what_the_caller_called_it():
    """`train` takes hidden=, the config d_hidden=: each speaks of its own, and says what it is."""
    with pytest.raises(XorMiError, match="hidden is 'two'; give the width of each hidden layer"):
        train(hidden="two")
    for widths in ("two", ["two"]):
        with pytest.raises(
            XorMiError, match=r"width of the hidden layers \(d_hidden\) .*, not 'two'"
        ):
            HookedMLPConfig(d_hidden=widths)


@pytest.mark.unchecked
def test_a_config_is_changed_by_replacing(deep):
    """`dataclasses.replace` gives another config and checks it; the old one stays."""
    other = replace(deep.cfg, d_hidden=3, seed=8, decision_threshold=1)
    assert (other.d_hidden, other.seed, other.threshold) == ((3,), 8, 1.0)
    assert other.act_fn == deep.cfg.act_fn == "tanh"
    assert deep.cfg.d_hidden == (4, 2)
    with pytest.raises(XorMiError, match="no activation 'rellu'"):
        replace(deep.cfg, act_fn="rellu")


def test_a_network_with_other_weights_keeps_the_conventions(textbook):
    """Loss, threshold and target go along unless they are changed; the first network stays."""
    layers = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], None)]
    other = textbook.with_weights(layers)
    assert other.cfg == textbook.cfg
    assert other.cfg.loss_fn == "mse"
    assert other.fc2.bias.tolist() == [0]
    assert textbook.fc2.weight.tolist() == [[1, -2]]
    assert textbook.with_weights(layers, target=None).cfg.target is None


def test_train_mode_and_bad_weights_are_refused_before_analysis(textbook):
    """require_evaluable names the module in train mode, and the parameter that is not finite."""
    textbook.train()
    with pytest.raises(XorMiError, match=r"comparing needs eval mode.*call model.eval"):
        require_evaluable(textbook, "comparing")
    textbook.eval()
    with torch.no_grad():
        textbook.fc2.weight[0, 1] = float("nan")
    with pytest.raises(XorMiError, match=r"fc2.weight has NaN"):
        require_evaluable(textbook, "comparing")


def test_a_deep_copy_is_independent(textbook):
    """A copy has hooks and weights of its own."""
    twin = copy.deepcopy(textbook)
    with torch.no_grad():
        twin.fc1.weight.zero_()
    assert textbook(textbook.rows()).flatten().tolist() == [0, 1, 1, 0]
    assert twin.run_with_cache(twin.rows())[1]["pre", 0].tolist() == [[0, -1]] * 4
    assert torch.equal(twin.blocks[0].mlp.W_in, torch.zeros(2, 2))


def test_to_tokens_reads_bits(textbook):
    """The bits are the tokens: strings, rows and lists of rows become integer batches."""
    assert textbook.to_tokens("01").tolist() == [[0, 1]] == textbook.to_tokens([0, 1]).tolist()
    assert textbook.to_tokens(["01", "11"]).tolist() == [[0, 1], [1, 1]]
    assert textbook.to_tokens("01").dtype == torch.long


def test_float64_and_bfloat16_run(deep):
    """The dtype is the weights'; inputs follow it."""
    for dtype in (torch.float64, torch.bfloat16):
        model = HookedMLP(HookedMLPConfig(3, (4, 2), 2, act_fn="tanh", seed=5, dtype=dtype))
        out = model(model.rows())
        assert out.dtype == dtype
        assert torch.allclose(
            out.float(), deep(deep.rows()), atol=1e-6 if dtype == torch.float64 else 0.03
        )


def test_outputs_that_are_never_negative_are_decided_at_one_half():
    """With threshold 0 every "no" of a relu or heaviside output would lie on the threshold."""
    for name in ("relu", "heaviside", "sigmoid"):
        assert HookedMLPConfig(out_act_fn=name).decision_threshold == 0.5
    assert HookedMLPConfig(out_act_fn="tanh").decision_threshold == 0.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_weights_are_saved_in_their_own_dtype(tmp_path, dtype):
    """model.to(dtype), saved and loaded, is the same network bit for bit; a config that claims
    another dtype is refused.
    """
    model = HookedMLP(HookedMLPConfig(seed=3)).to(dtype)
    loaded = HookedMLP.from_pretrained(model.save_pretrained(tmp_path))
    assert loaded.fc1.weight.dtype == dtype
    assert torch.equal(loaded.fc1.weight, model.fc1.weight)
    _edit(tmp_path, dtype="float32")
    with pytest.raises(XorMiError, match="its config says torch.float32"):
        HookedMLP.from_pretrained(tmp_path)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "labels",
    [
        torch.zeros(1, 4),
        torch.zeros(3, 1),
        torch.full((4, 1), 2.0),
        torch.full((4, 1), float("nan")),
        "0110",
    ],
)
def test_labels_that_do_not_fit_are_refused(textbook, labels):
    """Wrong shapes are never reshaped into place; values lie between 0 and 1."""
    with pytest.raises(XorMiError, match="label"):
        textbook(textbook.rows(), return_type="loss", labels=labels)
    assert (
        textbook(textbook.rows(), return_type="loss", labels=torch.tensor([0, 1, 1, 0])).item() == 0
    )


def test_models_do_not_share_their_config():
    """A switch of one model leaves another built from the same config alone."""
    cfg = HookedMLPConfig()
    first, second = HookedMLP(cfg), HookedMLP(cfg)
    first.set_use_edge_result(True)
    assert not second.cfg.use_edge_result
    assert not cfg.use_edge_result


def test_lasting_hooks_are_guarded_too(textbook):
    """add_hook checks what a hook returns, as the temporary hooks do."""
    textbook.add_hook("hook_logits", lambda value, hook: value[:1])
    with pytest.raises(XorMiError, match="returned"):
        textbook(textbook.rows())


def test_from_weights_takes_no_sizes_and_no_unknown_settings():
    """Sizes follow from the weights; a misspelt setting is named."""
    layers = [([[1, 1]], [0]), ([[1]], [0])]
    with pytest.raises(XorMiError, match="d_in follow from the weights"):
        HookedMLP.from_weights(layers, d_in=5)
    with pytest.raises(XorMiError, match="no setting 'act'"):
        HookedMLP.from_weights(layers, act="relu")
