"""The circuit that was published is the one the stored network has."""

from pathlib import Path

import pytest

from xor_mi import HookedMLP
from xor_mi.testing import assert_acts_as, assert_computes


@pytest.fixture
def network():
    """The network as it is stored."""
    return HookedMLP.from_pretrained(Path(__file__).parent / "network")


def test_published(network, circuit_regression):
    """Gates, edges, verdict and evidence are those that were published."""
    circuit_regression.check(network)


def test_any_seed_of_the_family(network, circuit_regression):
    """Another seed will do, if its circuit is of the same family."""
    circuit_regression.check(network, up_to="family")


def test_in_one_line(network):
    """The same without a baseline."""
    assert_computes(network, "XOR")
    assert_acts_as(network, {"OR": 0, "AND": 1})
