"""Networks trained in plain PyTorch, as people write them, brought in by one call each."""

from collections import Counter

import numpy as np
import pytest
import torch
from brought import KINDS, brute_force, distances, trained

from xor_mi.circuits import identify_circuit
from xor_mi.model import HookedMLP

pytestmark = pytest.mark.as_a_user

N_NETWORKS = 30
"""Of each kind; `benchmarks/brought_networks.py` takes 200."""


@pytest.mark.parametrize("name", KINDS)
def test_every_network_is_brought_in_by_one_call_and_labelled_as_by_brute_force(name):
    """Outputs are PyTorch's, decisions PyTorch's and NumPy's; each solved network computes XOR, and
    its readings are those that NumPy finds by trying all of them.
    """
    verdicts = compared(name, N_NETWORKS)
    assert verdicts["identified"] + verdicts["approximate"] >= N_NETWORKS // 4


def compared(name, n_networks):
    """The comparison of so many networks of a kind; how many have which verdict."""
    kind, verdicts = KINDS[name], Counter()
    for net in trained(kind, n_networks):
        model = HookedMLP.from_module(net, target="XOR", **kind.settings)
        with torch.no_grad():
            wanted = net(kind.rows())
            outputs = model(model.rows())
        assert torch.allclose(outputs, wanted, atol=1e-4)
        distance = distances(kind, wanted.double().numpy())
        decided = model.rule.decide(outputs).flatten().numpy()
        assert (decided == np.where(distance == 0, -1, distance > 0)).all()
        circuit = identify_circuit(model, min_margin=0, with_evidence=False)
        verdicts[circuit.verdict] += 1
        if np.abs(distance).min() < 1e-4:
            continue  # units that died: decided by rounding, or not at all
        by_numpy, gates = brute_force(kind, net)
        assert "".join(map(str, decided)) == by_numpy
        assert (circuit.verdict != "not_computing") == (by_numpy == "0110")
        if by_numpy == "0110":
            found = [[reading.gate for reading in joint.readings[0]] for joint in circuit.readings]
            assert sorted(found) == sorted(gates)
    return verdicts
