"""One line per network, and shares with intervals."""

import pandas as pd
import pytest

from xor_mi.circuits import identify_circuit
from xor_mi.population import gate_shares


def test_census_lines_are_the_single_findings(population, networks):
    """Each line is what identifying that one network gives; unsolved networks have no gates."""
    assert len(networks) == len(population)
    for index in (0, 29, 56, 133, 499):
        circuit = identify_circuit(population[index])
        line = networks.iloc[index]
        assert (line["seed"], line["verdict"], line["gates"], line["n_readings"]) == (
            index,
            circuit.verdict,
            circuit.gate_set or "",
            len(circuit.readings),
        )
    assert (networks["solved"] == (networks["verdict"] != "not_computing")).all()
    assert (networks[~networks["solved"]]["gates"] == "").all()


def test_shares_are_of_the_solved_and_sum_to_one(networks):
    """Counts add up to the solved networks; each interval holds its share; the six ReLU families
    are there.
    """
    shares = gate_shares(networks)
    assert shares["n_networks"].sum() == networks["solved"].sum()
    assert shares["share"].sum() == pytest.approx(1)
    assert ((shares["ci_low"] < shares["share"]) & (shares["share"] < shares["ci_high"])).all()
    assert set(shares["gates"]) == {
        "{AND, OR}",
        "{AND, NOR}",
        "{NAND, NOR}",
        "{x0>x1, x1>x0}",
        "{x0>=x1, x0>x1}",
        "{x1>=x0, x1>x0}",
    }


def test_nothing_solved_gives_an_empty_table():
    """No solved network: no shares, but the columns are there."""
    empty = pd.DataFrame({"seed": [0], "solved": [False], "gates": [""]})
    assert list(gate_shares(empty).columns) == ["gates", "n_networks", "share", "ci_low", "ci_high"]
    assert gate_shares(empty).empty
