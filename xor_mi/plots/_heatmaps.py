"""numbers per input, unit or pair -> labelled heatmaps.

Activations, comparison, contributions, patching, ablation, interchange.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.basedatatypes import BaseTraceType
from torch import Tensor

from xor_mi.circuits import Circuit
from xor_mi.errors import require_kind
from xor_mi.finding import ROUNDING, flips_text, in_words, number_text
from xor_mi.graph import layers_of
from xor_mi.interventions import AblationSweep, Attribution, PatchSweep
from xor_mi.model import stage_of_hook
from xor_mi.plots._heatmap import Group, Texts, heatmap
from xor_mi.plots._style import RISING, as_written, listed, reach, text_beside
from xor_mi.terms import Contributions, DifferenceExplanation
from xor_mi.values import Activations, Comparison

Measured = TypeVar("Measured", PatchSweep, AblationSweep, Attribution)
"""A finding in one metric or several."""

MOST_NAMED = 4
"""The most units or sites that a title describes one by one; of more, it describes three."""
MOST_ROWS_NAMED = 8
"""The most inputs that a title names; of more, it has the number."""
LONGEST_ROLE = 12
"""Characters of a gate in a title."""
ROLE_WIDTH = 76
"""Pixels of a column of the interchange matrix."""
FLIP_LEGEND = "; " + "* = the decision flips".replace(" ", "\N{NO-BREAK SPACE}")
"""What a star means, in a title, which breaks its lines elsewhere."""
WHEN = {
    "embed": "as an input",
    "pre": "before activation",
    "post": "after activation",
    "readout": "before activation",
    "logits": "as an output",
}
"""The place of a hook in its layer, as hover texts say it."""


def activations_heatmap(values: Activations) -> go.Figure:
    """Every value at every hook point, one line per input row."""
    require_kind("values", values, Activations, give="what activations(model) returns")
    table = values.wide_frame()
    hooks: list[tuple[str, str]] = []
    for hook, units in values.units.items():
        hooks += [(hook, unit) for unit in units]
    scales = {hook: values.scales.get(hook, 0.0) for hook in values.units}
    numbers: list[list[float]] = table.to_numpy(float).tolist()
    hovers: Texts = []
    for row, line in zip(table.index, numbers, strict=True):
        said = [
            f"on {row}, {unit} is {number_text(number, scale=scales[hook])} {_when(hook)}"
            for (hook, unit), number in zip(hooks, line, strict=True)
        ]
        hovers.append(said)
    return heatmap(
        numbers,
        columns=[f"{unit}<br>{stage_of_hook(hook)}" for hook, unit in hooks],
        rows=list(table.index),
        unit="value",
        title=_what_is_on(values, list(table.index)),
        groups=_hook_groups(hooks, scales),
        hovers=hovers,
        row_title="input",
        column_title="unit, and where its value is read",
    )


def _when(hook: str) -> str:
    return WHEN.get(stage_of_hook(hook), f"at {hook}")


def _hook_groups(
    hooks: Sequence[tuple[str, str]], scales: dict[str, float] | None = None
) -> list[Group]:
    """The columns of each hook point, in the order in which the network runs them."""
    units_of: dict[str, list[str]] = {}
    for hook, unit in hooks:
        units_of.setdefault(hook, []).append(unit)
    groups: list[Group] = []
    for hook, units in units_of.items():
        what = units[0] if len(units) == 1 else f"{units[0]} to {units[-1]}"
        scale = (scales or {}).get(hook, 0.0)
        groups.append(Group(f"{what}, {_when(hook)}", len(units), scale))
    return groups


def _what_is_on(values: Activations, rows: Sequence[str]) -> str:
    """The inputs on which each hidden unit is above 0 before its activation function."""
    on: dict[str, list[str]] = {}
    said_of: dict[str, str] = {}
    for hook, units in values.units.items():
        if stage_of_hook(hook) == "pre":
            numbers = values[hook].double().flatten().tolist()
            size = reach(numbers, scale=values.scales.get(hook, 0.0))
            # a row that was given twice is one line
            lines = dict(zip(values.rows, values[hook].tolist(), strict=True))
            for number, unit in enumerate(units):
                own = [row for row in rows if lines[row][number] > ROUNDING * size]
                barely = [row for row in own if _is_written_as_zero(lines[row][number], size)]
                on[unit] = own
                but = f" (barely on {listed(barely)})" if barely else ""
                said_of[unit] = f"{listed(own) or 'no input'}{but}"
    if not on:
        return "Every value on every input"
    if len(on) <= MOST_NAMED and len(rows) <= MOST_ROWS_NAMED:
        units_on: dict[str, list[str]] = {}
        for unit, where in said_of.items():
            units_on.setdefault(where, []).append(unit)
        said = [f"{listed(units)} above 0 on {where}" for where, units in units_on.items()]
        return f"Before activation: {'; '.join(said)}"
    never = sum(not own for own in on.values())
    always = sum(len(own) == len(rows) for own in on.values())
    return (
        f"Of {len(on)} hidden units {never} are above 0 on no input and {always} on every one "
        f"of the {len(rows)}, before activation"
    )


def _is_written_as_zero(number: float, size: float) -> bool:
    """Whether its cell, which shows three figures of the largest number, has a zero."""
    return float(text_beside(number, largest=size)) == 0


def comparison_heatmap(comparison: Comparison) -> go.Figure:
    """Every value on two inputs side by side, and the difference."""
    require_kind("comparison", comparison, Comparison, give="what compare(model, a, b) returns")
    table = comparison.frame()
    shown_columns = ["value_a", "value_b", "difference"]
    hooks = list(zip(table["hook"], table["unit"], strict=True))
    places = [f"{unit} {_when(hook)}" for hook, unit in hooks]
    hovers: Texts = []
    for column, on in zip(shown_columns, (comparison.a, comparison.b, None), strict=True):
        texts = [number_text(number) for number in table[column]]
        pairs = zip(places, texts, strict=True)
        if on is not None:
            hovers.append([f"on {on}, {place}: {text}" for place, text in pairs])
        else:
            between = f"from {comparison.a} to {comparison.b}"
            hovers.append([f"{between}, {place}: changes by {text}" for place, text in pairs])
    return heatmap(
        [table[column].tolist() for column in shown_columns],
        columns=[f"{unit}<br>{stage_of_hook(hook)}" for hook, unit in hooks],
        rows=[comparison.a, comparison.b, "difference"],
        unit="value",
        title=_how_different(comparison),
        groups=_hook_groups(hooks),
        hovers=hovers,
        row_title="input",
        column_title="unit, and where its value is read",
    )


def _how_different(comparison: Comparison) -> str:
    """The hidden places whose values differ on the two inputs, and whether the decisions agree."""
    alike = "the same decision" if comparison.same_decision else "different or missing decisions"
    n_different = len(comparison.differing)
    if not n_different:
        inside = "no hidden value tells them apart"
    elif n_different <= MOST_NAMED:
        inside = f"told apart at {listed(comparison.differing)}"
    else:
        inside = f"told apart at {n_different} hidden places"
    return f"{comparison.a} and {comparison.b}: {alike}; {inside}"


def contributions_heatmap(explained: Contributions | DifferenceExplanation) -> go.Figure:
    """The term that each edge adds.

    For `contributions`: per input row, the terms of each unit, its bias and their sum, the
    pre-activation. For `explain_difference`: per unit, the terms by which its pre-activation
    changes, their sum, and the change after its activation function.
    """
    require_kind(
        "explained",
        explained,
        (Contributions, DifferenceExplanation),
        give="what contributions or explain_difference returns",
    )
    if isinstance(explained, DifferenceExplanation):
        return _difference_heatmap(explained)
    columns = _term_columns(explained)
    values = _term_values(explained)
    groups = _term_groups(explained)
    scales: list[float] = []
    for group in groups:
        scales += [group.scale] * group.n_columns
    hovers: Texts = []
    for row, line in zip(explained.rows, values, strict=True):
        sentences = [
            _term_sentence(row, unit, adds, number_text(number, signed=True, scale=scale))
            for (unit, adds), number, scale in zip(columns, line, scales, strict=True)
        ]
        hovers.append(sentences)
    return heatmap(
        values,
        columns=[f"{unit}<br>{adds}" for unit, adds in columns],
        rows=list(explained.rows),
        unit="added to the pre-activation",
        title=_largest_terms(explained),
        groups=groups,
        hovers=hovers,
        row_title="input",
        column_title="unit, and what adds to it: weight x value",
    )


def _term_columns(explained: Contributions) -> list[tuple[str, str]]:
    """Per unit: each source, the bias, the sum."""
    units = layers_of(explained.layer_sizes)[1:]
    columns: list[tuple[str, str]] = []
    for sources, targets in zip(explained.sources, units, strict=True):
        adds = [*(source.name for source in sources), "bias", "sum"]
        for target in targets:
            columns += [(target.name, name) for name in adds]
    return columns


def _term_groups(explained: Contributions) -> list[Group]:
    """The columns of each layer; those of a unit stay together."""
    groups: list[Group] = []
    units = layers_of(explained.layer_sizes)[1:]
    layers = zip(explained.sources, units, explained.scales, strict=True)
    for sources, targets, scale in layers:
        first, last = targets[0].name, targets[-1].name
        into = first if len(targets) == 1 else f"{first} to {last}"
        n_each = len(sources) + 2
        name = f"what adds to {into}: weight x value"
        groups.append(Group(name, n_each * len(targets), scale, together=n_each))
    return groups


def _term_sentence(row: str, unit: str, adds: str, text: str) -> str:
    if adds == "sum":
        return f"on {row}, {unit} adds up to {text} before activation"
    who = f"the bias of {unit}" if adds == "bias" else f"{adds} into {unit}"
    return f"on {row}, {who} adds {text}"


def _largest_terms(explained: Contributions) -> str:
    """The largest term of an output, and its input."""
    # the readout's terms [row, unit, source]
    terms = explained.terms[-1].double()
    if not terms.numel():
        return "What adds up to each unit"
    place = int(terms.abs().argmax())
    row, unit, source = [int(number) for number in np.unravel_index(place, tuple(terms.shape))]
    number = terms[row, unit, source].item()
    text = number_text(number, signed=True, scale=explained.scales[-1])
    if not float(text):
        but = ", up to rounding" if number else ""
        return f"No weight into an output adds anything on any input{but}"
    outputs = layers_of(explained.layer_sizes)[-1]
    return (
        f"{explained.sources[-1][source].name} adds most to {outputs[unit].name}: {text} on "
        f"{explained.rows[row]}"
    )


def _term_values(explained: Contributions) -> list[list[float]]:
    """The numbers under `_term_columns`, one line per input row."""
    lines: list[list[float]] = [[] for _ in explained.rows]
    for terms, bias, pre in zip(explained.terms, explained.biases, explained.pre, strict=True):
        # terms [row, unit, source], bias [unit], pre [row, unit]
        for j in range(len(bias)):
            for r, line in enumerate(lines):
                line += [*terms[r, j].tolist(), bias[j].item(), pre[r, j].item()]
    return lines


def _difference_heatmap(explained: DifferenceExplanation) -> go.Figure:
    edges = explained.edges
    change_of: dict[tuple[str, str], float] = {}
    for edge in edges.to_dict("records"):
        change_of[edge["target"], edge["source"]] = edge["term_change"]
    sources: list[str] = list(dict.fromkeys(edges["source"]))
    values: list[list[float | None]] = []
    hovers: Texts = []
    for unit in explained.units.to_dict("records"):
        name, before, after = unit["unit"], unit["pre_change"], unit["post_change"]
        # a source in another layer has no edge to this unit, so the cell is empty
        along_edges = [change_of.get((name, source)) for source in sources]
        values.append([*along_edges, before, after])
        said = [
            "" if number is None else f"{source} changes {name} by {_signed(number)}"
            for source, number in zip(sources, along_edges, strict=True)
        ]
        said += [
            f"{name} changes by {_signed(before)} before activation",
            f"{name} changes by {_signed(after)} after activation",
        ]
        between = f"from {explained.a} to {explained.b}, "
        hovers.append([between + text if text else "" for text in said])
    return heatmap(
        values,
        columns=[*(f"via<br>{source}" for source in sources), "sum", "passed<br>on"],
        rows=explained.units["unit"].tolist(),
        unit="change",
        title=_what_changes(explained),
        groups=[*_source_groups(sources), Group("the sum, and what is passed on", 2)],
        hovers=hovers,
        row_title="unit",
        column_title="weight x change of the source, their sum, what is passed on",
    )


def _layer_of(source: str) -> str:
    """'x' of an input, 'h0' of a unit of the first hidden layer."""
    return "x" if source.startswith("x") else source.partition(".")[0]


def _source_groups(sources: Sequence[str]) -> list[Group]:
    """The columns of the sources of each layer: x0, x1 or h0.0, h0.1."""
    groups: list[Group] = []
    for _, named in groupby(sources, key=_layer_of):
        own = list(named)
        which = own[0] if len(own) == 1 else f"{own[0]} to {own[-1]}"
        groups.append(Group(f"via {which}: weight x its change", len(own)))
    return groups


def _signed(number: float) -> str:
    return number_text(number, signed=True)


def _what_changes(explained: DifferenceExplanation) -> str:
    """The change of the first output, and the units through which most of it comes."""
    readout = explained.of_output(0).to_dict("records")
    total = sum(line["term_change"] for line in readout)
    size = max([abs(line["term_change"]) for line in readout], default=0.0)
    between = f"From {explained.a} to {explained.b}"
    passing = [line for line in readout if abs(line["term_change"]) > ROUNDING * size]
    if not passing:
        return f"{between} y0 does not change: nothing that feeds it does"
    via = sorted(passing, key=lambda line: -abs(line["term_change"]))[: MOST_NAMED - 1]
    said: list[str] = []
    for line in via:
        change = text_beside(line["term_change"], largest=size, signed=True)
        said.append(f"{change} via {line['source']}")
    rest = len(passing) - len(via)
    others = f" and {rest} more" if rest else ""
    change = text_beside(total, largest=size, signed=True)
    return f"{between} y0 changes by {change}: {', '.join(said)}{others}"


def patching_heatmap(sweep: PatchSweep, *, metric: str | None = None) -> go.Figure:
    """The effect of each patch on a metric; * marks a flipped decision.

    One line per pair (clean -> corrupted), one column per site. In denoising the value comes from
    the run on the clean input, in noising from the run on the corrupted one.

    Args:
        metric: the name of a metric; by default the first.
    """
    require_kind("sweep", sweep, PatchSweep, give="what patch_sweep or path_sweep returns")
    sweep = in_metric(sweep, metric)
    flipped = None  # [site, pair]
    if sweep.decided is not None:
        of_clean, of_corrupted = sweep.decided.decisions_before
        before = of_corrupted if sweep.direction == "denoising" else of_clean
        flipped = sweep.decided.decisions_after != before
    gives = "clean" if sweep.direction == "denoising" else "corrupted"
    shown = as_written(in_words(sweep.metrics[0]))
    names = list(map(as_written, sweep.site_names))
    of_paths = sweep.coordinates.granularity == "path"
    what = "Patching along" if of_paths else "Patching"
    scale = _scale(sweep.scale, sweep.base, sweep.values)
    found = _found(what, names, sweep.effect, flipped, shown, scale=scale)
    legend = "" if flipped is None or not flipped.any() else FLIP_LEGEND
    return heatmap(
        sweep.effect.T.tolist(),  # [site, pair], and a line of the picture is a pair
        columns=names,
        rows=list(map(as_written, sweep.pair_names)),
        unit=f"change of the {shown}",
        title=f"{found} ({sweep.direction}{legend})",
        scale=scale,
        marks=None if flipped is None else stars(flipped.T),
        hovers=_patch_sentences(sweep, flipped, scale),
        row_title=f"clean -> corrupted,<br>value from {gives}",
        column_title="path" if of_paths else "patched",
    )


def _scale(own: float, *measured: Tensor) -> float:
    """The size of the largest number of several metrics, or of their terms."""
    numbers = torch.cat([one.detach().double().cpu().flatten() for one in measured])
    return reach(numbers.tolist(), scale=own)


def _found(
    what: str,
    names: Sequence[str],
    effects: Tensor,
    flipped: Tensor | None,
    metric: str,
    *,
    scale: float,
) -> str:
    """How many decisions each intervention flips, or which of many interventions flip most.

    If nothing is decided: the intervention with the largest effect.

    Args:
        effects, flipped: [site, pair], or [site, row].
    """
    if flipped is None:
        sizes = effects.detach().double().abs().nan_to_num(0.0, 0.0, 0.0).mean(dim=1).cpu()
        place = int(sizes.argmax())
        size = number_text(sizes[place].item(), scale=scale)
        if not float(size):
            return f"{what} any of {len(names)} places changes nothing"
        return f"{what} {names[place]} changes the {metric} most, by {size} on average"
    counts: list[int] = flipped.sum(dim=1).tolist()
    if not any(counts):
        largest = effects.detach().double().abs().nan_to_num(0.0).max().item()
        only = ", and changes nothing" if largest <= ROUNDING * scale else ""
        return f"{what} any one flips none of {flipped.numel()} decisions{only}"
    return f"{what} {flips_text(names, counts, of=flipped.shape[1])}"


def _patch_sentences(sweep: PatchSweep, flipped: Tensor | None, scale: float) -> Texts:
    """The hover text of each patch, [pair][site]."""
    shown = as_written(in_words(sweep.metrics[0]))
    is_denoising = sweep.direction == "denoising"
    base: list[float] = sweep.base[0].tolist()
    patched: list[list[float]] = sweep.patched.tolist()
    sentences: Texts = []
    for p, (clean, corrupted) in enumerate(sweep.pairs):
        source, into = (clean, corrupted) if is_denoising else (corrupted, clean)
        where = f"from {source} into {into}"
        if sweep.pair_names[p] != f"{clean} -> {corrupted}":
            where = f"in {sweep.pair_names[p]}"
        before = number_text(base[p], scale=scale)
        line: list[str] = []
        for s, site in enumerate(sweep.site_names):
            after = number_text(patched[s][p], scale=scale)
            ends = "" if flipped is None else _ending(bool(flipped[s, p]))
            said = f"patching {as_written(site)} {as_written(where)}"
            line.append(f"{said}: {shown} {before} -> {after}{ends}")
        sentences.append(line)
    return sentences


def _ending(is_flipped: bool) -> str:
    return ", the decision flips" if is_flipped else ", the decision stays"


def ablation_heatmap(sweep: AblationSweep, *, metric: str | None = None) -> go.Figure:
    """The change of a metric by each ablation on each input row; * marks a flipped decision.

    Args:
        metric: the name of a metric; by default the first.
    """
    require_kind("sweep", sweep, AblationSweep, give="what ablation_sweep returns")
    sweep = in_metric(sweep, metric)
    flipped = None  # [site, row]
    if sweep.decided is not None:
        flipped = sweep.decided.decisions_after != sweep.decided.decisions_before
    shown = as_written(in_words(sweep.metrics[0]))
    names = list(map(as_written, sweep.site_names))
    rows = list(map(as_written, sweep.rows))
    scale = _scale(sweep.scale, sweep.before, sweep.values)
    found = _found("Ablating", names, sweep.effect, flipped, shown, scale=scale)
    legend = "" if flipped is None or not flipped.any() else FLIP_LEGEND
    before = [number_text(number, scale=scale) for number in sweep.before[0].tolist()]
    hovers: Texts = []
    for s, (name, line) in enumerate(zip(names, sweep.after.tolist(), strict=True)):
        said: list[str] = []
        for r, (row, after) in enumerate(zip(rows, line, strict=True)):
            change = f"{shown} {before[r]} -> {number_text(after, scale=scale)}"
            ends = "" if flipped is None else _ending(bool(flipped[s, r]))
            said.append(f"ablating {name} on {row}: {change}{ends}")
        hovers.append(said)
    return heatmap(
        sweep.effect.tolist(),
        columns=rows,
        rows=names,
        unit=f"change of the {shown}",
        title=f"{found} (ablated: {sweep.value}{legend})",
        scale=scale,
        marks=None if flipped is None else stars(flipped),
        hovers=hovers,
        row_title="ablated together" if any(len(one) > 1 for one in sweep.sites) else "ablated",
        column_title="input",
    )


def in_metric(finding: Measured, metric: str | None) -> Measured:
    """The finding in the metric of this name, or in its first metric."""
    return finding if metric is None else finding[metric]


def stars(flipped: Tensor) -> Texts:
    """A star for each flipped decision, to put behind its number."""
    return np.where(flipped.numpy(force=True), " *", "").tolist()


def interchange_matrix(circuit: Circuit) -> go.Figure:
    """Each unit tried in every unit's role; its own role is framed.

    Numbers count the (base, source) pairs on which the network decides as predicted.

    Raises:
        XorMiError: a circuit without evidence.
    """
    require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    table = circuit.interchange_matrix()
    n = circuit.primary.n_interchange if circuit.primary else 0
    roles = list(map(as_written, table.columns))
    units: list[str] = list(table.index)
    hovers: Texts = []
    counts: list[list[int]] = table.to_numpy(int).tolist()
    for unit, line in zip(units, counts, strict=True):
        sentences = [
            f"{unit} taken from the source, scored as {role}: {count} of {n} pairs come out as "
            "the role predicts"
            for role, count in zip(roles, line, strict=True)
        ]
        hovers.append(sentences)
    figure = heatmap(
        table.to_numpy(float).tolist(),
        columns=roles,
        rows=units,
        unit="pairs as predicted",
        title=_roles_played(table, n, _other_roles(circuit)),
        hovers=hovers,
        column_width=ROLE_WIDTH,
        row_title="unit taken",
        column_title="role it is scored in (its own is framed)",
    )
    start = 0
    traces: tuple[BaseTraceType, ...] = figure.data  # pyright: ignore[reportAssignmentType]
    for number, trace in enumerate(traces):
        part = slice(start, start + len(trace.to_plotly_json()["x"]))
        trace.update(text=[[f"{count} of {n}" for count in line[part]] for line in counts])
        suffix = f"{number + 1}" if number else ""
        for unit in range(*part.indices(len(units))):
            _add_frame(figure, unit - start, unit, suffix)
        start = part.stop
    ticks = {"tickvals": [0, n / 2, n], "ticktext": ["0", f"{n / 2:g}", f"{n}"]}
    return figure.update_traces(zmin=0, zmax=n, colorscale=RISING, colorbar=ticks)


def _other_roles(circuit: Circuit) -> np.ndarray:
    """[unit, role]: whether the role is of another bit; a copy's or a complement's is not."""
    places = [unit.place for unit in circuit.units]
    first = circuit.primary
    if first is None:
        return np.zeros((len(places), len(places)), dtype=bool)
    return np.array([[first.tells_apart(unit, role) for role in places] for unit in places])


def _roles_played(table: pd.DataFrame, n: int, is_another: np.ndarray) -> str:
    """On how many pairs the units play their own role, and at most another's."""
    counts = table.to_numpy(int)
    own = np.diag(counts)
    if len(own) <= MOST_NAMED:
        said: list[str] = []
        for unit, named, count in zip(table.index, table, own, strict=True):
            role = as_written(str(named).removesuffix(f" ({unit})"))
            said.append(
                f"{unit} plays {role if len(role) <= LONGEST_ROLE else 'its role'} on {count}"
            )
        found = f"{listed(said)} of {n} pairs"
    else:
        found = _roles_of_many(dict(zip(map(str, table.index), own.tolist(), strict=True)), n)
    others = counts[is_another]
    if not len(others):
        return found
    # every role but its own, unless copies or complements were left out
    is_whole = is_another.sum() == is_another.size - len(own)
    which = "another's" if is_whole else "another's, copies and complements apart,"
    return f"{found} (base, source), and {which} on at most {others.max()}"


def _roles_of_many(own: Mapping[str, int], n: int) -> str:
    """How many units play their own role on all pairs, and which do not.

    Args:
        own: unit -> on how many of the n pairs it plays its role.

    >>> _roles_of_many({"h0.0": 16, "h0.1": 12, "h0.2": 16, "h0.3": 14, "h0.4": 16}, 16)
    'h0.1 plays its role on 12, h0.3 on 14 and the other 3 units on all of 16 pairs'
    """
    missing = {unit: count for unit, count in own.items() if count < n}
    if not missing:
        return f"Each of {len(own)} units plays its role on all {n} pairs"
    worst, *others = sorted(missing, key=lambda unit: missing[unit])
    said = [f"{worst} plays its role on {missing[worst]}"]
    said += [f"{unit} on {missing[unit]}" for unit in others[: MOST_NAMED - 1]]
    n_more = len(missing) - len(said)
    n_right = len(own) - len(missing)
    if n_more:
        least = missing[others[MOST_NAMED - 1]]
        said.append(f"{n_more} more {'unit' if n_more == 1 else 'units'} on {least} or more")
    if n_right:
        said.append(f"the other {n_right} {'unit' if n_right == 1 else 'units'} on all")
    return f"{listed(said)} of {n} pairs"


def _add_frame(figure: go.Figure, column: int, line: int, suffix: str) -> None:
    """A frame around a cell of a panel."""
    figure.add_shape(
        type="rect",
        xref=f"x{suffix}",
        yref=f"y{suffix}",
        x0=column - 0.5,
        x1=column + 0.5,
        y0=line - 0.5,
        y1=line + 0.5,
        line={"width": 4},
        fillcolor="rgba(0,0,0,0)",
        opacity=1,
    )


def attribution_heatmap(attribution: Attribution, *, metric: str | None = None) -> go.Figure:
    """The scores of one attribution method in a metric.

    One line per pair (clean -> corrupted), one column per site.

    Args:
        metric: the name of a metric; by default the first.
    """
    require_kind("attribution", attribution, Attribution, give="what attribute returns")
    attribution = in_metric(attribution, metric)
    shown = as_written(in_words(attribution.metrics[0]))
    names = [as_written(site.name) for site in attribution.sites]
    pairs = list(map(as_written, attribution.pair_names))
    scores = attribution.scores[0]  # [site, pair]
    sizes = scores.detach().double().abs().nan_to_num(0.0, 0.0, 0.0).mean(dim=1).cpu()
    largest = int(sizes.argmax())
    scale = attribution.scale
    size = number_text(sizes[largest].item(), scale=scale)
    hovers: Texts = []
    lines: list[list[float]] = scores.T.tolist()
    for pair, line in zip(pairs, lines, strict=True):
        said = [
            f"{pair}: {name} has a score of {number_text(number, scale=scale)} in the {shown}"
            for name, number in zip(names, line, strict=True)
        ]
        hovers.append(said)
    return heatmap(
        lines,
        columns=names,
        rows=pairs,
        unit=f"score, in the {shown}",
        title=f"By {attribution.method} {names[largest]} matters most to the {shown}: "
        f"a score of {size} on average, without signs",
        scale=scale,
        hovers=hovers,
        row_title="clean -> corrupted",
        column_title="site",
    )
