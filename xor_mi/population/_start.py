"""What the seed decides: the signs a network starts from, against where training takes it."""

from collections.abc import Sequence

import pandas as pd
import torch

from xor_mi.errors import XorMiError, require_kind, whole_number
from xor_mi.population._census import counted_as, require_census, share_columns
from xor_mi.training import starting_weights


def outcome_by_initial_signs(networks: pd.DataFrame, layer_sizes: Sequence[int]) -> pd.DataFrame:
    """A census -> where its networks end, by how many units start with weights of both signs.

    Only the first hidden layer counts. Such a unit begins by comparing inputs, the others by adding
    them up. For each number of such units there is one line per family.

    Columns: n_comparing_units; n_networks, n_solved, rate, ci_low, ci_high (95 % Clopper-Pearson)
    of all networks that start so; family; n_in_family, how many of them end in it. Unsolved
    networks are the family 'not_computing', and those of which no circuit is proved as far as was
    required one of their own, as in `family_shares`.
    """
    require_census(networks)
    require_kind("layer_sizes", layer_sizes, (list, tuple), give="widths, such as (2, 2, 1)")
    layer_sizes = [whole_number("a width", width, at_least=1) for width in layer_sizes]
    if len(layer_sizes) < 2:
        raise XorMiError(f"layer_sizes has {len(layer_sizes)} widths; give (2, 2, 1), for example")
    seeds = torch.tensor(networks["seed"].to_list())
    weight, _ = starting_weights(layer_sizes, seeds)[0]  # [seed, unit, input]
    compares = (weight > 0).any(2) & (weight < 0).any(2)  # [seed, unit]
    # with the table's own index, so that groupby matches line to line
    n_comparing = pd.Series(compares.sum(1).tolist(), index=networks.index)
    networks = networks.assign(family=counted_as(networks))
    families = sorted(networks["family"].unique())
    outcomes = []
    for number, group in networks.groupby(n_comparing):
        n_solved = int(group["solved"].sum())
        start = {"n_comparing_units": number, "n_networks": len(group), "n_solved": n_solved}
        start |= share_columns(n_solved, len(group), name="rate")
        for family in families:
            n_in_family = int((group["family"] == family).sum())
            outcomes.append(start | {"family": family, "n_in_family": n_in_family})
    return pd.DataFrame(outcomes)
