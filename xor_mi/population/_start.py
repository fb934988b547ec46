"""What the seed decides: the signs of a network's first weights, against where training ends."""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, whole_number
from xor_mi.finding import count_text
from xor_mi.population._census import census, counted_as, require_census, share_columns
from xor_mi.training import Population, starting_weights


def outcome_by_initial_signs(networks: pd.DataFrame, layer_sizes: Sequence[int]) -> pd.DataFrame:
    """A census -> where training ends, by how many units start with weights of both signs.

    Only the first hidden layer counts. A unit with weights of both signs begins by comparing
    inputs, the others begin by adding them up. There is one line per number of comparing units and
    family.

    Columns: n_comparing_units; n_networks, n_solved, rate, ci_low, ci_high (95 % Clopper-Pearson)
    of all networks that start with this number; family; n_in_family, how many of them end in this
    family. Unsolved networks have the family 'not_computing'; networks of which no circuit is
    proved to the required level count as in `family_shares`.
    """
    weight = _first_weights_of_census(networks, layer_sizes)
    compares = (weight > 0).any(2) & (weight < 0).any(2)  # [seed, unit]
    # with the table's own index, so that groupby matches the lines
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


def outcome_by_sign_pattern(
    networks: pd.DataFrame | Population,
    layer_sizes: Sequence[int] | None = None,
    *,
    progress: bool = True,
) -> pd.DataFrame:
    """Where training ends, by the signs that the first layer's weights start with.

    A pattern has the signs of each unit's weights, in the order of the inputs. The units are sorted
    by them, because their order does not matter to a network. A network with "+- -+" starts with a
    unit that compares x0 with x1 and one that compares x1 with x0. Biases do not count.

    Columns: pattern; n_networks, pattern_share, how many of all networks start with it; outcome,
    the family as in `family_shares`, "not_computing" for networks that fail; n_in_outcome, share,
    ci_low, ci_high (95 % Clopper-Pearson), how many of the networks with this pattern end in this
    outcome. Frequent patterns and outcomes come first.

    Args:
        networks: a census, or a population, whose networks are identified first.
        layer_sizes: the widths of the networks, such as (2, 2, 1); only with a census.
        progress: show a bar if identifying takes over half a second.

    Raises:
        XorMiError: a census without layer_sizes, or a population with layer_sizes.

    >>> from xor_mi import train_population
    >>> found = outcome_by_sign_pattern(train_population("XOR", 8))
    >>> found["pattern"].nunique(), int(found["n_in_outcome"].sum())
    (7, 8)
    """
    if isinstance(networks, Population):
        if layer_sizes is not None:
            raise XorMiError(
                "layer_sizes was given with a population, which has its own widths; leave it out"
            )
        (weight, _), *_ = networks.start
        networks = census(networks, progress=progress)
    else:
        if layer_sizes is None:
            raise XorMiError(
                "a census does not say the widths of its networks; give layer_sizes, such as (2, "
                "2, 1)"
            )
        weight = _first_weights_of_census(networks, layer_sizes)
    ends = counted_as(networks).to_numpy()
    counted = pd.DataFrame({"pattern": sign_patterns(weight), "outcome": ends})
    lines = []
    for pattern, starting in counted.groupby("pattern"):
        start = {
            "pattern": pattern,
            "n_networks": len(starting),
            "pattern_share": len(starting) / len(counted),
        }
        for outcome, count in starting["outcome"].value_counts().sort_index().items():
            end = {"outcome": outcome, "n_in_outcome": count}
            lines.append(start | end | share_columns(count, len(starting), name="share"))
    found = pd.DataFrame(lines)
    by = ["n_networks", "pattern", "n_in_outcome", "outcome"]
    return found.sort_values(by, ascending=[False, True, False, True], ignore_index=True)


def sign_patterns(weight: Float[Tensor, "seed unit source"]) -> list[str]:
    """Each network's first weights -> their signs, unit by unit, with the units sorted by them.

    >>> sign_patterns(torch.tensor([[[-1.0, 2.0], [0.5, -0.5]], [[1.0, 0.0], [-1.0, -1.0]]]))
    ['+- -+', '+0 --']
    """
    patterns = []
    for signs in torch.sign(weight).int().tolist():
        units = ["".join(_SIGNS[sign] for sign in unit) for unit in signs]
        patterns.append(" ".join(sorted(units)))
    return patterns


_SIGNS = {1: "+", 0: "0", -1: "-"}


def _first_weights_of_census(
    networks: pd.DataFrame, layer_sizes: Sequence[int]
) -> Float[Tensor, "seed unit source"]:
    """The first layer's weights that the networks of a census started from."""
    require_census(networks)
    require_kind("layer_sizes", layer_sizes, (list, tuple), give="widths, such as (2, 2, 1)")
    widths = [whole_number("a width", width, at_least=1) for width in layer_sizes]
    if len(widths) < 2:
        raise XorMiError(
            f"layer_sizes has {count_text(len(widths), 'width')}; give at least two, such as (2, "
            "2, 1)"
        )
    seeds = torch.tensor(networks["seed"].to_list())
    weight, _ = starting_weights(widths, seeds)[0]
    return weight
