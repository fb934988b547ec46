"""a sweep or attribution over the layers of a model -> layer x head, position or neuron."""

from math import isfinite
from typing import Literal

import plotly.graph_objects as go
import torch
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, unknown, whole_number
from xor_mi.finding import in_words, number_text
from xor_mi.interventions import AblationSweep, Attribution, PatchSweep
from xor_mi.model._layer_sites import GridKind, GridPlace, place_in_block, place_in_grid, short_hook
from xor_mi.plots._heatmap import Texts, heatmap
from xor_mi.plots._style import as_written, reach

FEW_NUMBERS = 32
"""Wider grids have narrower cells, without numbers."""

NARROW, NARROWEST = 14, 4
"""Pixels of a column without numbers, for few columns and for many."""

GRID_WIDTH = 450
"""Pixels of all columns without numbers, if the narrowest fit into it."""


def grid_heatmap(
    finding: PatchSweep | AblationSweep | Attribution,
    *,
    metric: str | None = None,
    pairs: Literal["mean"] | int | str = "mean",
    kind: GridKind | None = None,
) -> go.Figure:
    """A grid of patching, ablation or attribution: layer x head, position or neuron.

    Cells have the mean effect over all pairs (for an ablation, over all rows), or the effect in one
    pair. Sites without one number in their index, such as whole hooks, are left out, and the title
    says how many; a cell without a site is empty. If a layer has sites at several hooks, each hook
    has a line, in the order in which the model runs them.

    Args:
        metric: the name of a metric; by default the first.
        pairs: "mean", or one pair by its number or name.
        kind: "head", "neuron" or "position", if the finding has several of them; the others are
            left out.

    >>> from xor_mi.handmade import textbook_xor
    >>> from xor_mi.interventions import patch_sweep
    >>> grid_heatmap(patch_sweep(textbook_xor())).data[0].x
    ('0', '1')

    Raises:
        XorMiError: no site with a layer and a number, several kinds of sites without `kind`, the
            same place twice, paths, or an unknown metric, pair or kind.
    """
    kinds = (PatchSweep, AblationSweep, Attribution)
    require_kind("finding", finding, kinds, give="what patch_sweep or ablation_sweep returns")
    if not isinstance(finding, Attribution) and finding.coordinates.granularity == "path":
        raise XorMiError(
            "a grid has no cell for a path, which has a sender and receivers; draw paths with "
            "patching_heatmap"
        )
    finding = finding if metric is None else finding[metric]
    values, whose = _of_pairs(finding, pairs)
    places = _places(finding)
    counted = {place.kind for place in places.values()}
    if kind is not None:
        # a list is searched by equality, so an unhashable kind gets the message too
        if kind not in list(counted):
            raise unknown("kind", kind, sorted(counted), where="kinds in this finding are")
        places = {number: place for number, place in places.items() if place.kind == kind}
        counted = {kind}
    if len(counted) > 1:
        what = " and ".join([f"{one}s" for one in sorted(counted)])
        raise XorMiError(
            f"a grid shows one kind of place, and this finding has {what}; give "
            f"kind='{min(counted)}' or another of these"
        )
    if not counted:
        raise XorMiError(
            "a grid shows heads, positions or neurons, and this finding has no site with a layer "
            "and a number; sweep sites(model, 'head') or another kind"
        )
    (drawn_kind,) = counted
    cells = {place: values[number].item() for number, place in places.items()}
    if len(cells) < len(places):
        raise XorMiError(
            "two sites of this finding lie in one cell of the grid; sweep each place once"
        )
    # dict.fromkeys keeps the order of the finding
    found = dict.fromkeys((place.layer, place.hook) for place in cells)
    lines = sorted(found, key=lambda line: (line[0], place_in_block(line[1])))
    given = {place.number for place in cells}
    # numbers counted from the end have their own columns, before the others
    numbers = sorted({*given, *range(max(given) + 1)})
    narrow = max(NARROWEST, min(NARROW, GRID_WIDTH // len(numbers)))
    several = len({hook for _, hook in lines}) > 1
    drawn_of = type(finding).__name__
    n_left = len(_sets(finding)) - len(places)
    are = "site of another kind is" if n_left == 1 else "sites of another kind are"
    left_out = f"; {n_left} {are} not drawn" if n_left else ""
    shown = as_written(in_words(finding.metrics[0]))
    named = {
        (layer, hook): f"L{layer} {short_hook(hook)}" if several else f"L{layer}"
        for layer, hook in lines
    }
    scale = _scale(finding)
    drawn: list[list[float | None]] = []
    hovers: Texts = []
    for layer, hook in lines:
        of_line = [cells.get(GridPlace(layer, hook, drawn_kind, number)) for number in numbers]
        where = f"{named[layer, hook]} {drawn_kind}"
        said = [
            "" if value is None else f"{where} {number}: {number_text(value, scale=scale)}"
            for number, value in zip(numbers, of_line, strict=True)
        ]
        drawn.append(of_line)
        hovers.append(said)
    has_numbers = len(numbers) <= FEW_NUMBERS
    found = _largest(cells, named, shown, scale=scale)
    return heatmap(
        drawn,
        columns=[str(number) for number in numbers],
        rows=list(named.values()),
        unit=f"score, in the {shown}" if drawn_of == "Attribution" else f"change of the {shown}",
        title=f"{found} ({_what(finding)}, {as_written(whose)}{left_out})",
        scale=scale,
        # with a sentence for each of very many cells a page would be twice as long
        hovers=hovers if has_numbers else None,
        column_width=None if has_numbers else narrow,
        with_numbers=has_numbers,
        row_title="layer",
        column_title=drawn_kind,
    )


def _scale(finding: PatchSweep | AblationSweep | Attribution) -> float:
    """The size of the numbers whose differences are the effects; 0 for scores, which have none."""
    if isinstance(finding, Attribution):
        return 0.0
    before = finding.base if isinstance(finding, PatchSweep) else finding.before
    numbers = torch.cat([before.flatten(), finding.values.flatten()])
    return reach(numbers.detach().double().tolist(), scale=finding.scale)


def _largest(
    cells: dict[GridPlace, float],
    named: dict[tuple[int, str], str],
    metric: str,
    *,
    scale: float,
) -> str:
    """The cell with the largest number, whatever its sign."""
    finite = {place: value for place, value in cells.items() if isfinite(value)}
    place = max(finite, key=lambda place: abs(finite[place]), default=None)
    if place is None:
        return f"No site has a number in the {metric}"
    text = number_text(finite[place], signed=True, scale=scale)
    if not float(text):
        return f"No site changes the {metric}"
    where = f"{named[place.layer, place.hook]} {place.kind} {place.number}"
    return f"{where} has the largest number, {text} in the {metric}"


def _sets(finding: PatchSweep | AblationSweep | Attribution) -> list[tuple[object, ...]]:
    """The sites of each intervention."""
    if isinstance(finding, Attribution):
        return [(site,) for site in finding.sites]
    return [tuple(together) for together in finding.sites]


def _places(finding: PatchSweep | AblationSweep | Attribution) -> dict[int, GridPlace]:
    """Number of a single site -> its place, for sites that have a place."""
    if isinstance(finding, Attribution):
        singles = dict(enumerate(finding.sites))
    else:
        singles = {k: one[0] for k, one in enumerate(finding.sites) if len(one) == 1}
    found = {number: place_in_grid(site) for number, site in singles.items()}
    return {number: place for number, place in found.items() if place is not None}


def _of_pairs(
    finding: PatchSweep | AblationSweep | Attribution, pairs: int | str
) -> tuple[Tensor, str]:
    """The effect of each site, and the pairs that it is from, in words."""
    if isinstance(finding, Attribution):
        effects, names = finding.scores[0], finding.pair_names
    elif isinstance(finding, PatchSweep):
        effects, names = finding.effect, finding.pair_names
    else:
        effects, names = finding.effect, finding.rows
    each = "row" if isinstance(finding, AblationSweep) else "pair"
    if isinstance(pairs, str) and pairs == "mean" and pairs not in names:
        return effects.double().mean(dim=1), f"mean over {len(names)} {each}s"
    if isinstance(pairs, str):
        if pairs not in names:
            raise unknown(each, pairs, names, where="this has")
        number = names.index(pairs)
    else:
        number = whole_number("pairs, where it is not 'mean',", pairs, below=len(names))
    return effects[:, number].to(torch.float64), names[number]


def _what(finding: PatchSweep | AblationSweep | Attribution) -> str:
    if isinstance(finding, Attribution):
        return f"attribution by {finding.method}"
    if isinstance(finding, AblationSweep):
        return f"ablation, {finding.value}"
    return f"patching, {finding.direction}"
