"""Networks as others write them: input levels, steps, layers of their own, argmax, direct edges.

The second way is NumPy, written again for each of them.
"""

import json
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xor_mi import (
    HookedMLP,
    HookedMLPConfig,
    XorMiError,
    activations,
    compare,
    contributions,
    explain_difference,
)
from xor_mi.graph import edges_of, sources_of
from xor_mi.metrics import accuracy, decisions, logit, logit_difference
from xor_mi.model import DecisionRule, hook_site, initial_weights, kind_of_hook
from xor_mi.values import forward_float64

DIRECT = HookedMLPConfig(
    3,
    (4, 2),
    2,
    act_fn=("relu6", "tanh"),
    out_act_fn="sigmoid",
    direct=True,
    input_levels=(-1, 1),
    seed=5,
    dtype=torch.float64,
)


def by_hand(model, inputs):
    """The outputs of a network of DIRECT's shape in NumPy, before and after the last sigmoid."""
    (w1, b1), (w2, b2), (w3, b3) = [
        (linear.weight.detach().numpy(), linear.bias.detach().numpy()) for linear in model.linears
    ]
    first = np.clip(inputs @ w1.T + b1, 0, 6)
    second = np.tanh(first @ w2.T + b2)
    readout = second @ w3.T + b3 + inputs @ model.direct.weight.detach().numpy().T
    return first, second, readout, 1 / (1 + np.exp(-readout))


@pytest.mark.parametrize("use_edge_result", [False, True])
def test_a_network_with_all_of_it_agrees_with_numpy(use_edge_result):
    """Two activations, levels -1 and 1 and direct connections: every hook point holds what NumPy
    computes, and the edge hooks of the direct connections their products.
    """
    model = HookedMLP(DIRECT)
    model.set_use_edge_result(use_edge_result)
    inputs = np.array(list(product([-1.0, 1.0], repeat=3)))
    outputs, cache = model.run_with_cache(model.rows())
    first, second, readout, expected = by_hand(model, inputs)
    assert np.array_equal(cache["hook_embed"], inputs)
    assert np.allclose(cache["post", 0], first)
    assert np.allclose(cache["post", 1], second)
    assert np.allclose(cache["hook_readout"], readout)
    assert np.allclose(outputs.detach(), expected)
    assert ("hook_edge_direct" in cache) == use_edge_result
    if use_edge_result:
        products = model.direct.weight.detach().numpy() * inputs[:, None]
        assert np.allclose(cache["hook_edge_direct"], products)


def test_float64_agrees_and_runs_on_from_a_layer():
    """`forward_float64` is the same network, also from a hidden layer on with the inputs beside,
    and refuses to forget them.
    """
    model = HookedMLP(DIRECT)
    rows = model.rows()
    layers = forward_float64(model, rows)
    assert torch.allclose(layers[-1].post, model(rows))
    assert layers[-1].inputs.shape == (8, 2 + 3)
    later = forward_float64(model, layers[1].post, start=2, inputs=rows)
    assert torch.equal(later[0].post, layers[-1].post)
    # inputs broadcast against further leading axes
    many = layers[1].post.expand(4, 8, 2)
    assert torch.equal(forward_float64(model, many, start=2, inputs=rows)[0].post[3], later[0].post)
    with pytest.raises(XorMiError, match=r"from layer 2 needs inputs=.*connected to the outputs"):
        forward_float64(model, layers[1].post, start=2)


def test_direct_edges_have_names_places_and_terms():
    """`x0->y1` is an edge like others: found by name, patched at its own hook, with a term of its
    own; terms and biases add up to the pre-activations.
    """
    model = HookedMLP(DIRECT)
    edge = model.place("x2->y1")
    assert edge in edges_of(model.layer_sizes, direct=True)
    assert edge not in edges_of(model.layer_sizes)
    assert model.hook_site(edge) == hook_site(edge) == ("hook_edge_direct", (1, 2))
    assert kind_of_hook("hook_edge_direct") == "edge"
    added = contributions(model)
    for layer in range(3):
        assert torch.allclose(added[layer].sum(-1) + added.biases[layer], added.pre[layer])
    line = added.frame().query("source == 'x2' and target == 'y1' and row == '001'")
    assert line["term"].item() == model.direct.weight[1, 2].item()
    explained = explain_difference(model, "000", "001")
    assert explained.leftover < 1e-12
    changed = explained.frame().set_index("edge").loc["x2->y1", "term_change"]
    assert changed == pytest.approx(2 * model.direct.weight[1, 2].item())


def test_networks_without_direct_edges_have_none():
    """Neither a place nor a hook of that name, in a network of one hidden layer either."""
    model = HookedMLP()
    assert model.direct is None
    assert "hook_edge_direct" not in model.hook_dict
    with pytest.raises(XorMiError, match="no unit or edge 'x0->y0'"):
        model.place("x0->y0")
    model.require_no_direct("a search")
    with pytest.raises(XorMiError, match="^a search does not cover connections from inputs"):
        HookedMLP(HookedMLPConfig(direct=True)).require_no_direct("a search")


def test_weights_with_direct_columns_go_round(tmp_path):
    """Weights out and in again, saved and loaded, with their settings: the same network."""
    model = HookedMLP(DIRECT)
    rows = model.rows()
    again = model.with_weights(model.float64_layers())
    assert again.cfg == model.cfg
    assert torch.equal(again(rows), model(rows))
    loaded = HookedMLP.from_pretrained(model.save_pretrained(tmp_path))
    assert loaded.cfg == model.cfg
    assert torch.equal(loaded(rows), model(rows))
    assert model.save_pretrained(tmp_path) == tmp_path  # what it wrote itself it replaces


def test_direct_weights_given_by_hand():
    """Rumelhart's network: one hidden AND, and the inputs connected to the output."""
    layers = [([[1, 1]], [-1.5]), ([[-2]], [-0.5])]
    model = HookedMLP.from_weights(layers, direct=[[1, 1]], act_fn="heaviside", target="XOR")
    assert model(model.rows()).flatten().tolist() == [-0.5, 0.5, 0.5, -0.5]
    turned = [([[1], [1]], [-1.5]), ([[-2]], [-0.5])]
    same = HookedMLP.from_weights(
        turned, direct=[[1], [1]], layout="in_out", act_fn="heaviside", target="XOR"
    )
    assert torch.equal(same(same.rows()), model(model.rows()))


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("direct", "message"),
    [
        ([[1], [1]], r"direct has shape \[2, 1\]; expected \[d_out, d_in\], \[1, 2\]; transposed"),
        ([1, 1], r"direct has shape \[2\]; expected"),
        ("no", "cannot read 'no' as direct weights"),
        ([[1, float("inf")]], "direct has NaN or infinite entries"),
    ],
)
def test_wrong_direct_weights_are_refused(direct, message):
    """One sentence with the shape that fits."""
    with pytest.raises(XorMiError, match=message):
        HookedMLP.from_weights([([[1, 1]], [0]), ([[1]], [0])], direct=direct)


def test_direct_weights_are_drawn_after_all_others():
    """A seed gives the same hidden layers with and without direct connections, and the direct
    weights as an nn.Linear of the inputs would draw them.
    """
    plain, wider = initial_weights((3, 4, 2), 7), initial_weights((3, 4, 2), 7, direct=True)
    assert torch.equal(plain[0][0], wider[0][0])
    assert torch.equal(plain[1][0], wider[1][0][:, :4])
    direct = wider[1][0][:, 4:]
    assert direct.shape == (2, 3)
    assert direct.abs().max() <= 3**-0.5
    assert len(set(direct.flatten().tolist())) == 6


def test_sources_say_what_each_layer_reads():
    """Their number is the width of the layer's weights."""
    model = HookedMLP(DIRECT)
    widths = [weight.shape[1] for weight, _ in model.float64_layers()]
    assert [len(units) for units in model.sources] == widths == [3, 4, 5]
    assert [unit.name for unit in sources_of((3, 4, 2, 2), direct=True)[-1]] == [
        "h1.0", "h1.1", "x0", "x1", "x2",
    ]  # fmt: skip


@pytest.mark.parametrize(("act_fn", "low", "high"), [("heaviside", 0.0, 1.0), ("sign", -1.0, 1.0)])
@pytest.mark.parametrize("step_at_zero", [0, 1])
def test_steps_at_exactly_zero(act_fn, low, high, step_at_zero):
    """Off at zero by default, on with `step_at_zero=1`, on both sides of zero as ever; the same for
    the output's own activation.
    """
    model = HookedMLP.from_weights(
        [([[1, -1], [1, 1]], [0, 0]), ([[1, 0]], [0])],
        act_fn=act_fn,
        out_act_fn=act_fn,
        step_at_zero=step_at_zero,
    )
    at_zero = high if step_at_zero else low
    values = activations(model)["blocks.0.mlp.hook_post"]
    assert values[:, 0].tolist() == [at_zero, low, high, at_zero]
    direct = model.activate(torch.tensor([-1e-30, 0.0, 1e-30], dtype=torch.float64), 1)
    assert direct.tolist() == [low, at_zero, high]


@pytest.mark.parametrize("act_fn", ["heaviside", "sign"])
@pytest.mark.parametrize("step_at_zero", [0, 1])
def test_what_is_not_a_number_does_not_become_one_at_a_step(act_fn, step_at_zero):
    """NaN stays NaN, so that a decision that hangs on it is undecided; infinity is a number."""
    cfg = HookedMLPConfig(act_fn=act_fn, step_at_zero=step_at_zero)
    low = -1.0 if act_fn == "sign" else 0.0
    values = cfg.activation(0)(torch.tensor([float("nan"), float("inf"), -float("inf")]))
    assert values.isnan().tolist() == [True, False, False]
    assert values[1:].tolist() == [1.0, low]


@pytest.mark.unchecked
def test_bits_are_read_off_tensors_only():
    """A list is refused in one line."""
    with pytest.raises(XorMiError, match="give a tensor, such as model.rows"):
        HookedMLP().bits_of([[0, 1]])


def test_rows_are_levels_and_names_are_bits():
    """`rows` gives the numbers, in the network's dtype, `bits_of` gives the bits back, and frames
    are named by bits; bools are bits, numbers are taken as they are.
    """
    model = HookedMLP(HookedMLPConfig(input_levels=(0.1, -3)))
    rows = model.rows()
    low = torch.tensor(0.1, dtype=torch.float32).item()
    assert rows.tolist() == [[low, low], [low, -3], [-3, low], [-3, -3]]
    assert model.bits_of(rows).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert model.rows(["10"]).tolist() == [[-3, low]]
    assert activations(model).rows == ("00", "01", "10", "11")
    assert torch.equal(model(torch.tensor([[True, False]])), model(rows[2:3]))
    assert not torch.equal(model(torch.tensor([[1, 0]])), model(rows[2:3]))
    with pytest.raises(XorMiError, match=r"input 0.5 is neither 0.1 nor -3, .*give labels="):
        model.bits_of(torch.tensor([[0.5, 0.1]]))


def test_levels_that_the_dtype_merges_are_refused():
    """5 and 5.0000001 are one number in float32, and two in float64; a network moved to a coarser
    dtype later says so when it makes rows.
    """
    with pytest.raises(XorMiError, match="5.0 and 5.0000001, which float32 does not tell apart"):
        HookedMLPConfig(input_levels=(5, 5 + 1e-7))
    fine = HookedMLP(HookedMLPConfig(input_levels=(5, 5 + 1e-7), dtype="float64"))
    assert fine.rows().unique().numel() == 2
    with pytest.raises(XorMiError, match="which float32 does not tell apart"):
        fine.float().rows()
    with pytest.raises(XorMiError, match=r"1e\+39, which float32 cannot hold: it would become inf"):
        HookedMLPConfig(input_levels=(0, 1e39))


def test_printed_it_says_how_it_is_read():
    """Shape, activations, levels and the rule stand in what `print(model)` shows first."""
    first = repr(HookedMLP(DIRECT)).splitlines()[1]
    assert first.strip() == "3-4-2-2; relu6, tanh; inputs -1 and 1; decided by: above 0.5"
    two = repr(HookedMLP(HookedMLPConfig(d_out=2, loss_fn="ce"))).splitlines()[1]
    assert two.strip() == "2-2-2; relu; inputs 0 and 1; decided by: the largest output wins"


def test_an_older_config_reads_as_it_was_meant(tmp_path):
    """A config.json without the newer settings is a network with levels 0 and 1 and a threshold."""
    model = HookedMLP(HookedMLPConfig(target="XOR", seed=3))
    folder = model.save_pretrained(tmp_path)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name in ("direct", "step_at_zero", "input_levels", "decision_rule"):
        del settings[name]
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert HookedMLP.from_pretrained(folder).cfg == model.cfg
    assert HookedMLP.from_pretrained(folder).save_pretrained(folder) == folder


# decisions


def decided_by_hand(outputs):
    """Argmax in plain Python: 1 for the only largest, -1 for the tied, 0 for the others."""
    if outputs[0] == outputs[1] and len(outputs) == 2:
        return [-1]
    if len(outputs) == 2:
        return [int(outputs[1] > outputs[0])]
    best = max(outputs)
    tied = outputs.count(best) > 1
    return [(-1 if tied else 1) if output == best else 0 for output in outputs]


@pytest.mark.parametrize("d_out", [2, 3, 4])
def test_argmax_decides_as_by_hand(d_out):
    """On every combination of a few numbers, ties among them, and each score is above zero where
    the decision is 1 and at zero where it is open.
    """
    rule = DecisionRule("argmax")
    outputs = torch.tensor(list(product([-1.0, 0.0, 2.0], repeat=d_out)))
    expected = torch.tensor([decided_by_hand(row) for row in outputs.tolist()])
    decided = rule.decide(outputs)
    assert torch.equal(decided, expected)
    distance = rule.distance(outputs)
    assert torch.equal(distance > 0, expected == 1)
    assert torch.equal(distance == 0, expected == -1)
    assert decided.shape[1] == rule.n_decisions(d_out)
    assert rule.decide(torch.full((1, d_out), float("nan"))).tolist() == [[-1] * decided.shape[1]]


def test_metrics_by_a_rule():
    """Two logits: the logit is their difference, the logit difference is right minus wrong, and
    accuracy counts decisions.
    """
    rule = DecisionRule("argmax")
    outputs = torch.tensor([[1.0, 4.0], [3.0, 1.0]])
    labels = torch.tensor([1, 1])
    assert logit(outputs, rule=rule).tolist() == [3.0, -2.0]
    assert logit_difference(outputs, labels, rule=rule).tolist() == [3.0, -2.0]
    assert logit_difference(outputs, 1 - labels, rule=rule).tolist() == [-3.0, 2.0]
    assert accuracy(outputs, labels[:, None], rule=rule) == 0.5
    at_half = DecisionRule("threshold", 0.5)
    assert logit_difference(outputs, labels, rule=at_half).tolist() == [0.5, 2.5]
    with pytest.raises(XorMiError, match="both threshold and rule are given"):
        accuracy(outputs, labels[:, None], rule=rule, threshold=0.5)
    with pytest.raises(XorMiError, match="no output 1; this network has 1"):
        logit(outputs, output=1, rule=rule)


@pytest.fixture
def two_logits():
    """XOR by two logits: y0 has what the textbook's output is against, y1 its output."""
    hidden = ([[1, 1], [1, 1]], [0, -1])
    return HookedMLP.from_weights(
        [hidden, ([[-1, 2], [1, -2]], [10.5, 9.5])], decision_rule="argmax", target="XOR"
    )


def test_two_logits_are_one_decision(two_logits):
    """One output of the target, one decision per row, named y1; its logit does not see what both
    outputs share.
    """
    assert two_logits.cfg.n_decisions == 1
    assert two_logits.cfg.loss_fn == "ce"
    assert [unit.name for unit in two_logits.decision_units] == ["y1"]
    assert decisions(two_logits).tolist() == [[0], [1], [1], [0]]
    assert logit(two_logits(two_logits.rows()), rule=two_logits.rule).tolist() == [-1, 1, 1, -1]
    assert compare(two_logits, "00", "11").same_decision
    with pytest.raises(XorMiError, match="no output 1; this network has 1"):
        two_logits.require_output(1)


def test_the_decisions_of_three_outputs_are_one_hot():
    """Three classes: three decisions per row, and a target of three outputs."""
    cfg = HookedMLPConfig(2, (3,), 3, decision_rule="argmax", target="~x0 & ~x1, x0 ^ x1, x0 & x1")
    assert cfg.n_decisions == 3
    model = HookedMLP.from_weights(
        [([[1, 1], [1, 1]], [0, -1]), ([[-1, 0], [1, -2], [0, 1]], [0.5, 0, -0.25])],
        decision_rule="argmax",
        target="~x0 & ~x1, x0 ^ x1, x0 & x1",
    )
    assert [unit.name for unit in model.decision_units] == ["y0", "y1", "y2"]
    assert decisions(model).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert model(model.rows(), return_type="loss").item() == pytest.approx(
        F.cross_entropy(model(model.rows()), torch.tensor([0, 1, 1, 2])).item()
    )


@pytest.mark.parametrize("loss_fn", ["ce", "bce", "mse"])
def test_losses_of_two_logits_are_pytorchs(two_logits, loss_fn):
    """Cross-entropy with class numbers; the other two with one-hot labels. Labels may be given per
    decision or per output.
    """
    model = two_logits.with_weights(two_logits.float64_layers(), loss_fn=loss_fn)
    rows, classes = model.rows(), torch.tensor([0, 1, 1, 0])
    outputs, one_hot = model(rows), F.one_hot(classes).float()
    expected = {
        "ce": lambda: F.cross_entropy(outputs, classes),
        "bce": lambda: nn.BCEWithLogitsLoss()(outputs, one_hot),
        "mse": lambda: nn.MSELoss()(outputs, one_hot),
    }[loss_fn]()
    for labels in (None, classes, classes[:, None], one_hot):
        assert model(rows, return_type="loss", labels=labels).item() == expected.item()
    with pytest.raises(XorMiError, match=r"labels have shape \[4, 3\]"):
        model(rows, return_type="loss", labels=torch.zeros(4, 3))


def test_cross_entropy_wants_one_class_per_row(two_logits):
    """Two right outputs, or none, are refused with the sum that was found."""
    rows = two_logits.rows()
    with pytest.raises(XorMiError, match=r"one output is right on every row; .*add up to 2"):
        two_logits(rows, return_type="loss", labels=torch.ones(4, 2))


def test_the_loss_of_other_levels_reads_the_target_by_bits():
    """-1 and 1 are the bits 0 and 1: the labels are the target's on these."""
    model = HookedMLP(HookedMLPConfig(input_levels=(-1, 1), target="AND"))
    rows = model.rows()
    given = model(rows, return_type="loss", labels=torch.tensor([0, 0, 0, 1]))
    assert model(rows, return_type="loss").item() == given.item()
