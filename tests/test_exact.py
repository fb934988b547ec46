"""The package against the slow, independent implementations of `tests/oracles/`, on a fixed sample;
`python benchmarks/fuzz_exact.py N` does it on any number.
"""

from importlib import import_module
from pathlib import Path
from random import Random

import numpy as np
import pytest
from fuzz_exact import compared, topics
from oracles import networks

pytestmark = pytest.mark.as_a_user

SAMPLE = 6
FEWER = {"attribution": 3, "census": 1, "gradients": 2, "in_place": 4}
"""The first networks of these topics take longer."""


@pytest.mark.parametrize("topic", topics())
def test_the_package_agrees_with_the_oracle(topic):
    """On the first networks of this topic, and something is compared."""
    n_cases = FEWER.get(topic, SAMPLE)
    found = compared(topic, seed=0, cases=range(n_cases))
    assert found.lines == ()
    assert found.n_values > n_cases


@pytest.mark.parametrize(
    ("topic", "n_cases"), [("forward", 60), ("patching", 25), ("ablation", 25)]
)
def test_a_wrong_value_is_seen(topic, n_cases, monkeypatch):
    """Where the oracle's relu is another function, and its rounding is none."""
    monkeypatch.setitem(networks.ACTIVATIONS, "relu", lambda x: np.abs(x))
    lines = compared(topic, seed=0, cases=range(n_cases)).lines
    assert any("relu" in line for line in lines)
    # only networks that have such units differ
    assert all("relu" in line for line in lines)


def test_a_crash_is_a_mismatch(monkeypatch):
    """An exception is a line of its own, and the next case is tried all the same."""
    module = import_module("fuzz_forward")
    kept = module.mismatches

    def broken(rng: Random):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(module, "mismatches", broken)
    found = compared("forward", seed=0, cases=range(2))
    assert found.lines == tuple(f"forward, case {k}: ZeroDivisionError: planted" for k in range(2))
    monkeypatch.setattr(module, "mismatches", kept)
    assert compared("forward", seed=0, cases=range(1)).lines == ()


def test_every_oracle_is_independent():
    """No module of `tests/oracles/` imports the package, nor torch."""
    folder = Path(__file__).parent / "oracles"
    sources = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))]
    assert len(sources) > 2
    for source in sources:
        imports = [line for line in source.splitlines() if line.startswith(("import", "from"))]
        assert not [line for line in imports if "xor_mi" in line or "torch" in line]
