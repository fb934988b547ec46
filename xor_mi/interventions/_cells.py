"""effects of many sites -> the sentence and the table that a notebook cell shows."""

from collections.abc import Mapping, Sequence

import pandas as pd
from torch import Tensor

from xor_mi.finding import ROWS_SHOWN, flips_text, in_words, number_text


def effects_table(
    named: Sequence[tuple[str, Tensor]],
    sites: Sequence[str],
    *,
    what: str,
    others: Mapping[str, Sequence[object]] | None = None,
) -> pd.DataFrame:
    """The table of a notebook cell: per site, each metric's mean effect over pairs and its range.

    If there are more sites than a cell shows, those with the largest effects on the first metric
    come first.

    Args:
        named: metric and its effects, [site, pair].
        what: what an effect is called.
        others: further columns.
    """
    columns: dict[str, object] = {"site": list(sites)}
    several = len(named) > 1
    for metric, effects in named:
        of = f" ({metric})" if several else ""
        values = effects.detach().double().cpu()
        columns[f"mean {what}{of}"] = values.mean(dim=1).tolist()
        columns[f"lowest{of}"] = values.amin(dim=1).tolist()
        columns[f"highest{of}"] = values.amax(dim=1).tolist()
    table = pd.DataFrame(columns | dict(others or {}))
    if len(table) <= ROWS_SHOWN:
        return table
    order = mean_sizes(named[0][1]).argsort(descending=True, stable=True)
    return table.iloc[order.numpy()]


def largest_effect(effects: Tensor, sites: Sequence[str], *, metric: str, what: str) -> str:
    """The site with the largest effects over all pairs, whatever their sign, in a sentence.

    Signs are left out because the effects of a pair and of its reverse may cancel.

    effects: [site, pair].
    """
    sizes = mean_sizes(effects)
    place = int(sizes.argmax())
    if not sizes[place]:
        return f"Every {what} on the {in_words(metric)} is zero."
    size = number_text(sizes[place].item())
    named = in_words(metric)
    return f"{sites[place]} has the largest {what}: a mean size of {size} in the {named}."


def flips_found(flipped: Tensor, sites: Sequence[str]) -> str:
    """How many decisions each intervention flips, as the end of a sentence on a sweep.

    Args:
        flipped: whether a decision is another one than before, [site, pair].
    """
    counts: list[int] = flipped.sum(dim=1).tolist()
    if not any(counts):
        n = flipped.numel()
        return "the decision does not flip" if n == 1 else f"none of {n:,} decisions flips"
    return flips_text(sites, counts, of=flipped.shape[1])


def mean_sizes(effects: Tensor) -> Tensor:
    """The mean absolute effect of each site, [site]; an effect that is not finite counts as 0."""
    return effects.detach().double().abs().nan_to_num(0.0, 0.0, 0.0).mean(dim=1).cpu()
