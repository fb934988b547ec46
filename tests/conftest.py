"""Fixtures shared by all tests.

Nothing heavy is imported before a test asks: the process that hands out the tests to its workers
reads this file too, and they wait for it.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING

import jaxtyping
import pytest

if TYPE_CHECKING:
    import pandas as pd

    from xor_mi.model import HookedMLP
    from xor_mi.training import Population, TrainResult


IMPORTED_BY_MOST = (
    "transformer_lens",
    "pandas",
    "scipy.optimize",
    "scipy.spatial",
    "plotly.graph_objects",
    "hypothesis",
)


@pytest.fixture
def textbook() -> HookedMLP:
    """The 2-2-1 network with known values: OR, AND, OR AND NOT AND."""
    from xor_mi import handmade

    return handmade.textbook_xor()


@pytest.fixture
def counted() -> HookedMLP:
    """A 2-2-1 network with weights 1 to 9, all different and no bias zero, so that any slip of an
    index or a bias shows.
    """
    from xor_mi.model import HookedMLP

    return HookedMLP.from_weights(
        [([[1.0, -2.0], [3.0, 4.0]], [5.0, -6.0]), ([[7.0, -8.0]], [9.0])]
    )


@pytest.fixture
def deep() -> HookedMLP:
    """An untrained 3-4-2-2 tanh network: several layers, several outputs."""
    from xor_mi.model import HookedMLP, HookedMLPConfig

    return HookedMLP(HookedMLPConfig(3, (4, 2), 2, act_fn="tanh", seed=5))


@pytest.fixture(scope="session")
def trained() -> TrainResult:
    """A trained network with an OR unit and an AND unit."""
    from xor_mi.training import train

    return train("XOR", seed=29)


@pytest.fixture(scope="session")
def unsolved() -> TrainResult:
    """A network that training left without a solution."""
    from xor_mi.training import train

    return train("XOR", seed=0)


@pytest.fixture(scope="session")
def population() -> Population:
    """500 networks 2-2-1 with ReLU, trained on XOR."""
    from xor_mi.training import train_population

    return train_population("XOR", 500)


@pytest.fixture(scope="session")
def networks(population: Population) -> pd.DataFrame:
    """The census of the 500 networks."""
    from xor_mi.population import census

    return census(population)


@pytest.fixture(autouse=True)
def _no_global_randomness():
    """No test, and nothing a test calls, may change torch's global random state."""
    import torch

    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session):
    """Where tests run, what most of them import comes before the shape checker reads this package:
    the checker's import hook would have it compiled anew. Little of all this ever becomes garbage,
    so the collector waits until it is there, and never looks at it again.
    """
    if session.config.pluginmanager.hasplugin("dsession"):
        return (yield)  # this process hands out tests and runs none
    gc.disable()
    try:
        for name in IMPORTED_BY_MOST:
            import_module(name)
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    """The shape checker is on, but for two marks: `unchecked` gives wrong kinds on purpose, which
    the checker would answer first; `as_a_user` makes so many calls that checking each doubles the
    time. What these call is checked by the examples in docstrings, test_findings and
    test_dtypes_and_devices. Around all of a test, so that what its modules and sessions share is
    made likewise.
    """
    off = item.get_closest_marker("unchecked") or item.get_closest_marker("as_a_user")
    checker = jaxtyping.config
    checker.update("jaxtyping_disable", off is not None)
    try:
        return (yield)
    finally:
        checker.update("jaxtyping_disable", False)
