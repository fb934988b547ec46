"""Population -> one line per network, and back; shares with intervals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from xor_mi.circuits import identify_many
from xor_mi.errors import XorMiError, require_kind, unknown
from xor_mi.metrics import share_interval
from xor_mi.model import HookedMLPConfig
from xor_mi.training import Population

NOT_TRIED = "not_tried"
"""The verdict of a network that cannot be identified; `why_not` has the reason."""

NO_GATES = "(no gate reading)"
"""What stands in a table of shares for solved networks without a circuit."""


def census(population: Population, *, progress: bool = True) -> pd.DataFrame:
    """One line per network: what training did, and what `identify_circuit` says of it.

    Columns: seed, solved, steps, loss, verdict, why_not, gates ('{AND, OR}'; empty without a
    circuit), family, signature, n_readings, margins (one per hidden unit of the primary reading,
    NaN for a constant unit), weights (W and b flat, layer by layer, as `Population.flat`). A
    network that cannot be identified has the verdict 'not_tried', the reason in `why_not`, and no
    n_readings; for all others `why_not` is empty.

    >>> from xor_mi.training import train_population
    >>> found = census(train_population("XOR", 8))
    >>> found[found["solved"]][["seed", "verdict", "gates"]].values.tolist()
    [[2, 'identified', '{AND, NOR}'], [5, 'identified', '{x0>x1, x1>x0}']]
    """
    require_kind("population", population, Population, give="what train_population returns")
    # population[i] builds a model, which most networks do not need: hence the function that does it
    circuits = identify_many(
        population.__getitem__, population.weights, population.cfg, progress=progress
    )
    n_readings = [circuit.n_readings for circuit in circuits]
    columns: dict[str, Any] = {
        "seed": population.seeds.numpy(),
        "solved": population.solved.numpy(),
        "steps": population.steps.int().numpy(),
        "loss": population.losses.numpy(),
        # an empty verdict is that of a network that cannot be identified
        "verdict": [circuit.verdict or NOT_TRIED for circuit in circuits],
        "why_not": [circuit.why_not for circuit in circuits],
        "gates": [circuit.gate_set for circuit in circuits],
        "family": [circuit.family for circuit in circuits],
        "signature": [circuit.signature for circuit in circuits],
        # Int32 and not int32: a network that was not tried has no number of readings.
        "n_readings": pd.array(n_readings, dtype="Int32"),
        "margins": [np.array(circuit.margins, dtype=np.float64) for circuit in circuits],
        "weights": list(population.flat.numpy()),
    }
    return pd.DataFrame(columns)


def population_from_census(networks: pd.DataFrame, cfg: HookedMLPConfig) -> Population:
    """Lines of a census -> the networks again, for any other analysis.

    Raises:
        XorMiError: no lines, or weights of another shape.

    >>> from xor_mi.training import train_population
    >>> population = train_population("XOR", 3)
    >>> again = population_from_census(census(population), population.cfg)
    >>> torch.equal(again[2].fc1.weight, population[2].fc1.weight)
    True
    """
    require_census(networks)
    require_kind("cfg", cfg, HookedMLPConfig, give="the networks' HookedMLPConfig")
    if networks.empty:
        raise XorMiError("no networks in this census; there is nothing to make a population of")
    flat = np.stack(networks["weights"].to_list()).astype(np.float32)  # [seed, parameter]
    return Population.from_flat(
        torch.from_numpy(flat),
        cfg=replace(cfg),  # a copy: it can be changed, and the caller's may be
        seeds=torch.tensor(networks["seed"].to_list()),
        steps=torch.tensor(networks["steps"].to_list()),
        losses=torch.tensor(networks["loss"].to_list()),
        solved=torch.tensor(networks["solved"].to_list()),
    )


def require_census(networks: object) -> None:
    """Refuse what is not a table of networks."""
    require_kind("networks", networks, pd.DataFrame, give="a census, as census() returns it")


def family_shares(networks: pd.DataFrame, *, by: str = "family") -> pd.DataFrame:
    """A census -> how often each family occurs among the solved networks, most frequent first.

    Args:
        by: what to count: "family", "gates" (sets of them), "signature", or another column.

    Columns: `by`, n_networks, share (of the solved), ci_low, ci_high (95 % Clopper-Pearson).

    Raises:
        XorMiError: a column that a census does not have.
    """
    require_census(networks)
    if not isinstance(by, str) or by not in networks:
        raise unknown("column", by, networks.columns, where="this census has")
    solved = networks[networks["solved"]]
    in_alphabetical_order = solved[by].value_counts().sort_index()
    # stable: equally frequent ones stay in alphabetical order
    counts = in_alphabetical_order.sort_values(ascending=False, kind="stable")
    shares = []
    for value, count in counts.items():
        share = share_columns(count, len(solved), name="share")
        shares.append({by: value or NO_GATES, "n_networks": count} | share)
    return pd.DataFrame(shares, columns=[by, "n_networks", "share", "ci_low", "ci_high"])


def gate_shares(networks: pd.DataFrame) -> pd.DataFrame:
    """`family_shares` by the set of hidden gates."""
    return family_shares(networks, by="gates")


def share_columns(count: int, n: int, *, name: str) -> dict[str, float]:
    """A count of n -> its share under this name, and the 95 % Clopper-Pearson interval."""
    interval = share_interval(count, n)
    return {name: interval.share, "ci_low": interval.low, "ci_high": interval.high}
