"""XOR networks as their authors printed them, each brought in by the door its author would use."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from published import PUBLISHED, ROWS
from torch import nn
from torch.nn import functional as F

from xor_mi.circuits import diagnose, identify_circuit
from xor_mi.model import HookedMLP

pytestmark = pytest.mark.as_a_user

MODULES = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def from_arrays(network):
    """The numbers typed in, [d_out, d_in]."""
    return HookedMLP.from_weights(
        network.layers,
        direct=network.direct,
        act_fn=network.act_fn,
        out_act_fn=network.out_act_fn,
        step_at_zero=int(network.on_at_zero),
        **network.settings(),
    )


def from_arrays_for_row_vectors(network):
    """The numbers typed in the other way round, [d_in, d_out], with an example to check them by."""
    rows = [[network.levels[bit] for bit in row] for row in ROWS]
    return HookedMLP.from_weights(
        [(np.array(weight).T, bias) for weight, bias in network.layers],
        layout="in_out",
        example=(rows, np.round(network.outputs, 3)),
        direct=None if network.direct is None else np.array(network.direct).T,
        act_fn=network.act_fn,
        out_act_fn=network.out_act_fn,
        step_at_zero=int(network.on_at_zero),
        **network.settings(),
    )


def linears(network):
    """nn.Linear with the printed weights, in float64."""
    made = []
    for weight, bias in network.layers:
        layer = nn.utils.skip_init(nn.Linear, len(weight[0]), len(weight), dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
        made.append(layer)
    return made


def from_sequential(network):
    """Layers and activations in a row."""
    *hidden, last = linears(network)
    modules = [one for layer in hidden for one in (layer, MODULES[network.act_fn]())]
    sequential = nn.Sequential(*modules, last, MODULES[network.out_act_fn]())
    return HookedMLP.from_sequential(sequential, **network.settings())


class Written(nn.Module):
    """A module with a forward of its own and activations as functions."""

    def __init__(self, network):
        super().__init__()
        *hidden, self.out = linears(network)
        self.hidden = nn.ModuleList(hidden)
        self.skip = None
        if network.direct is not None:
            weight = torch.tensor(network.direct, dtype=torch.float64)
            self.skip = nn.Parameter(weight)
        self.network = network

    def act(self, name, z):
        """The function of this name; a step is a comparison."""
        if name == "heaviside":
            return (z >= 0).double() if self.network.on_at_zero else (z > 0).double()
        return z if name == "identity" else getattr(torch, name)(z)

    def forward(self, x):
        x = x.double().view(len(x), -1)
        h = x
        for layer in self.hidden:
            h = self.act(self.network.act_fn, layer(h))
        z = self.out(h)
        if self.skip is not None:
            z = z + F.linear(x, self.skip)
        return self.act(self.network.out_act_fn, z)


def from_own_module(network):
    """An nn.Module of one's own."""
    return HookedMLP.from_module(Written(network), **network.settings())


def from_keras_weights(network):
    """What get_weights() gives."""
    arrays = [
        np.array(array, dtype=float)
        for weight, bias in network.layers
        for array in (np.transpose(weight), bias)
    ]
    return HookedMLP.from_keras(
        arrays, act_fn=network.act_fn, out_act_fn=network.out_act_fn, **network.settings()
    )


DOORS = {
    "arrays": from_arrays,
    "arrays for row vectors": from_arrays_for_row_vectors,
    "a module of one's own": from_own_module,
    "nn.Sequential": from_sequential,
    "Keras' weights": from_keras_weights,
}


def fits(network, door):
    """Whether an author of such a network could use this door."""
    if door == "Keras' weights":
        return network.direct is None and network.act_fn != "heaviside"
    if door == "nn.Sequential":
        return network.direct is None and network.act_fn in MODULES
    return True


BROUGHT = [
    (name, door) for name, network in PUBLISHED.items() for door in DOORS if fits(network, door)
]


@pytest.mark.parametrize(("name", "door"), BROUGHT)
def test_a_published_network_is_brought_as_its_author_meant_it(name, door):
    """By whichever door: outputs are the printed ones and NumPy's, units are NumPy's, decisions are
    the author's, and the conventions are kept.
    """
    network = PUBLISHED[name]
    model = DOORS[door](network)
    first, outputs = network.in_numpy()
    rows = model.rows()
    _, cache = model.run_with_cache(rows)
    assert np.allclose(outputs, network.outputs, rtol=0, atol=1e-6)
    assert np.allclose(model(rows).detach().double().numpy(), outputs, rtol=0, atol=1e-5)
    assert np.allclose(cache["post", 0].double().numpy(), first, rtol=0, atol=1e-5)
    decided = model.rule.decide(model(rows).detach())
    assert "".join(str(bit) for bit in decided.flatten().tolist()) == network.decisions
    if network.threshold is None:
        by_hand = (outputs[:, 1] > outputs[:, 0]).astype(int)
    else:
        by_hand = (outputs[:, 0] > network.threshold).astype(int)
    assert "".join(map(str, by_hand)) == network.decisions
    assert model.cfg.input_levels == network.levels
    assert (model.direct is not None) == (network.direct is not None)
    if network.act_fn == "heaviside":
        assert model.cfg.step_at_zero == network.on_at_zero


def test_every_published_network_has_three_doors_or_more():
    """The list of pairs above leaves out none of the networks."""
    doors = {name: [door for one, door in BROUGHT if one == name] for name in PUBLISHED}
    assert len(doors) == 21
    assert all(len(found) >= 3 for found in doors.values())


@pytest.mark.parametrize(("name", "door"), BROUGHT)
def test_its_units_act_as_the_gates_that_its_author_names(name, door):
    """The verdict and, where there is one answer, the gate of every unit, from every door."""
    network = PUBLISHED[name]
    circuit = identify_circuit(DOORS[door](network), with_evidence=False)
    assert circuit.verdict == network.verdict
    if network.gates is not None:
        assert [unit.gate for unit in circuit.units] == network.gates


def test_an_author_who_is_wrong_is_told_what_the_network_computes():
    """By `diagnose` and in the circuit's reason; and that no other reading makes it XOR."""
    wrong = {name: one for name, one in PUBLISHED.items() if one.computes is not None}
    assert list(wrong) == ["claimed-xor-is-nand"]
    for network in wrong.values():
        model = from_arrays(network)
        found = diagnose(model)
        assert (found.works, found.computes.name) == (False, network.computes)
        assert found.answers == ()
        for text in (str(found), identify_circuit(model).reason):
            assert f"it computes {network.computes}" in text
            assert "0.5997, 0.5609, 0.5609, 0.4965" in text
    failing = diagnose(from_arrays(PUBLISHED["bipolar-tanh-failing"]), "XOR")
    assert (failing.works, failing.computes.name) == (False, "OR")


MISREAD = [
    *((name, "threshold", 0) for name, one in PUBLISHED.items() if one.out_act_fn == "identity" and one.threshold),
    *((name, "levels", (0, 1)) for name, one in PUBLISHED.items() if one.levels != (0, 1) and one.target),
    *((name, "on_at_zero", False) for name, one in PUBLISHED.items() if one.on_at_zero),
]  # fmt: skip


@pytest.mark.parametrize(("name", "convention", "misread"), MISREAD)
def test_a_convention_that_is_left_out_is_named(name, convention, misread):
    """Read by the usual convention instead of its author's, a network still computes its target, or
    `diagnose` names the change that its author would make.
    """
    network = replace(PUBLISHED[name], **{convention: misread})
    found = diagnose(from_arrays(network))
    _, outputs = network.in_numpy()
    decided = "".join(str(int(one > network.threshold)) for one in outputs[:, 0])
    is_tied = bool((outputs == network.threshold).any())
    assert found.works == (decided == "0110" and not is_tied)
    if not found.works:
        kind = {
            "threshold": "decision_threshold",
            "levels": "input_levels",
            "on_at_zero": "step_at_zero",
        }[convention]
        assert [change.kind for change in found.answers] == [kind]


def test_two_logits_that_are_read_by_thresholds_are_two_decisions():
    """Both above zero on every row: no XOR, and the change that is named is argmax."""
    network = PUBLISHED["two-logits"]
    model = HookedMLP.from_weights(network.layers)
    found = diagnose(model, "XOR")
    assert model.rule.decide(model(model.rows())).tolist() == [[1, 1]] * 4
    assert not found.works
    assert "argmax" in [change.value for change in found.answers]
