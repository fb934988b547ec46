"""What the seed decides: the signs of the weights a network starts from, against where training
takes it.
"""

from collections.abc import Sequence

import pandas as pd
import torch

from xor_mi.population._census import rate
from xor_mi.training import starting_weights


def outcome_by_initial_signs(networks: pd.DataFrame, layer_sizes: Sequence[int]) -> pd.DataFrame:
    """A census -> its networks by how many hidden units of the first layer start with weights of
    both signs.

    Such a unit begins by comparing inputs, the others by adding them up. Columns: comparing_units,
    n_networks, n_solved, rate, ci_low, ci_high of the solved, and one column per family with how
    many of the networks end in it."""
    seeds = torch.tensor(networks["seed"].to_list())
    weight, _ = starting_weights(layer_sizes, seeds)[0]
    compares = (weight > 0).any(2) & (weight < 0).any(2)  # [seed, unit]
    comparing = compares.sum(1).tolist()
    families = sorted(networks[networks["solved"]]["family"].unique())
    lines = []
    for number, group in networks.groupby(pd.Series(comparing, index=networks.index)):
        solved = group[group["solved"]]
        line = {
            "comparing_units": number,
            "n_networks": len(group),
            "n_solved": len(solved),
        } | rate(len(solved), len(group))
        lines.append(
            line | {family: int((solved["family"] == family).sum()) for family in families}
        )
    return pd.DataFrame(lines)
