"""values of units -> the ways to read them as bits, and which of these keep the decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, prod
from typing import TypeVar

import torch
from torch import Tensor

from xor_mi.circuits._facts import constant_note
from xor_mi.circuits._pruned import never_falls, promising_choices
from xor_mi.errors import TooManyReadings, require_kind, unknown
from xor_mi.finding import ListedList, number_text
from xor_mi.graph import Unit
from xor_mi.model import STEPS, HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.truth import name_of_bits
from xor_mi.values import DISTINCT, LayerValues, forward_float64

MAX_READINGS = 40_000
"""At most so many joint readings are listed, unless more are asked for.

Ten tanh units trained to XOR have 7,917 faithful joint readings, which take nine seconds.
"""
MAX_TRIED = 2_000_000
"""How many choices of readings are tried for one layer."""
CHOICES_AT_ONCE = 4096
"""So many choices are run through the rest of the network together."""
MIN_MARGIN = 0.01
"""A circuit with a live unit whose margin is smaller than this is left out by default.

It is about the smallest gap that rounding does not disturb. 13,892 networks 2-2-1 and 2-3-1 of
eleven activations, trained to XOR by default, were rounded to bfloat16. Of their readings with a
margin
below 0.0001, 69 % had bits that no threshold gave any more; up to 0.001, 46 %; up to 0.003, 11 %;
up to 0.01, 18 of 10,380; above that, none of 77,678. So a smaller gap says nothing reliable about a
network.

It costs no circuit that passes joint interchange: in 16,393 such networks, some of them 2-4-1, the
smallest margin of a live unit is 0.017. At 0.05 one network in 270 would lose its circuit (5 % of
2-2-1 with silu), at 0.1 one in 50 (18 % of 2-2-1 with gelu). It leaves out one in six of the
circuits that survive substitution; rounding then changes the list of these in 3.9 % of networks
instead of 6.8 %. `benchmarks/margins_of_readings.py` measures all of this.
"""
ROUNDING = 1e-9
"""A substituted output that is closer to the threshold than this fraction of the output's scale is
on it: undecided, so not faithful.
"""


TWO_LEVELS = {**STEPS, "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
"""The activations that saturate at two levels, with these levels."""


Variables = tuple[tuple[int, ...], ...]
"""The units of a layer, grouped if they are copies of one another; the first of a group stands for
it.
"""


@dataclass(frozen=True)
class Reading:
    """One way to read a unit as a bit.

    Attributes:
        bits: the unit's bit on each input row, in lexicographic order.
        threshold: halfway between the two neighbouring values it separates.
        margin: their gap as a fraction of the unit's range; None for a constant unit.
        low, high: the mean value where the bit is 0 and where it is 1 (both are the value itself
            for a constant unit, unless `with_both_levels` gives it its other level).
        constant: whether the unit has the same value on every row.
    """

    bits: tuple[int, ...]
    threshold: float
    margin: float | None
    low: float
    high: float
    constant: bool = False

    def __str__(self) -> str:
        if self.margin is None:
            return f"{self.gate} ({self.note})"
        size = max(abs(self.low), abs(self.high))
        threshold = number_text(self.threshold, scale=size)
        return f"{self.gate}: 1 above {threshold}, margin {number_text(self.margin)}"

    @property
    def one_level(self) -> bool:
        """Whether bit 0 and bit 1 are the same value."""
        return self.low == self.high

    @property
    def note(self) -> str:
        """ "dead" for a constant unit read as FALSE, "always on" for one read as TRUE, else ""."""
        return constant_note(self.bits[0]) if self.constant else ""

    @property
    def gate(self) -> str:
        """The bits as a function of the network's inputs: a gate's name, or else a formula."""
        return name_of_bits(self.bits)

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the reading among others."""
        return {
            "gate": self.gate,
            "bits": "".join(map(str, self.bits)),
            "threshold": self.threshold,
            "margin": self.margin,
            "note": self.note,
        }


OfUnit = TypeVar("OfUnit")


def of_unit(readings: Sequence[Sequence[OfUnit]], unit: Unit) -> OfUnit:
    """The entry of one hidden unit, from lists with one entry per unit of each hidden layer.

    Raises:
        XorMiError: no such hidden unit.
    """
    require_kind("unit", unit, Unit, give="a hidden unit, such as Unit(0, 1)")
    is_hidden = 0 <= unit.layer < len(readings) and not unit.is_output
    if is_hidden and 0 <= unit.index < len(readings[unit.layer]):
        return readings[unit.layer][unit.index]
    there = [Unit(layer, k) for layer, units in enumerate(readings) for k in range(len(units))]
    raise unknown("hidden unit", unit, there, where="this circuit has")


def unit_readings(values: Tensor) -> list[Reading]:
    """A unit's values on all rows, [row] -> every reading of it.

    There is one per gap between neighbouring distinct values.

    >>> readings = unit_readings(torch.tensor([0.0, 1.0, 1.0, 2.0]))
    >>> [(reading.gate, reading.margin) for reading in readings]
    [('OR', 0.5), ('AND', 0.5)]
    """
    values = values.double()
    ordered = values.sort().values
    spread = (ordered[-1] - ordered[0]).item()
    # a unit that varies by rounding only has no gap to put a threshold in
    if is_constant(values):
        on = bool(values.mean() > 0)
        level = values.mean().item()
        constant = Reading(
            bits=(int(on),) * len(values),
            threshold=level,
            margin=None,
            low=level,
            high=level,
            constant=True,
        )
        return ListedList([constant])
    readings: ListedList[Reading] = ListedList()
    for below, above in pairwise(ordered.tolist()):
        if above - below > DISTINCT * spread:
            threshold = (below + above) / 2
            bits = values > threshold
            readings.append(
                Reading(
                    bits=tuple(bits.int().tolist()),
                    threshold=threshold,
                    margin=(above - below) / spread,
                    low=values[~bits].mean().item(),
                    high=values[bits].mean().item(),
                )
            )
    return readings


def with_both_levels(reading: Reading, act_fn: str) -> Reading:
    """A constant unit's reading with the other level of its activation, if that is known.

    A step that has one value on all rows may have the other value when an interchange sets the
    layer before as no row does, and then what reads it depends on it. The same holds for a sigmoid
    or tanh unit that is saturated on all rows. The reading of any other unit is unchanged.
    """
    if not reading.constant or act_fn not in TWO_LEVELS:
        return reading
    low, high = TWO_LEVELS[act_fn]
    rounding = ROUNDING * (high - low)
    at_high = abs(reading.low - high) <= rounding
    if not at_high and abs(reading.low - low) > rounding:
        return reading
    bits = (int(at_high),) * len(reading.bits)
    return replace(reading, bits=bits, threshold=(low + high) / 2, low=low, high=high)


Option = list[tuple[Reading, ...]]
"""Every reading of one variable, each with one reading per place."""


def is_constant(values: Tensor) -> bool:
    """Whether a unit has the same value on all rows, up to rounding."""
    return bool(values.max() - values.min() <= ROUNDING * values.abs().max())


def tells_apart(a: Reading, b: Reading) -> bool:
    """Whether two readings are different gates that are not complements."""
    same = [x == y for x, y in zip(a.bits, b.bits, strict=True)]
    # All the same: the same gate. None the same: its complement.
    return any(same) and not all(same)


def variable_readings(columns: Sequence[Tensor]) -> list[tuple[Reading, ...]]:
    """The values of a variable in each of its places, [row] -> every reading of it.

    One reading per place, since each place has its own scale. Copies are read alike: the same bits
    in each, or their complement.
    """
    first, *copies = [unit_readings(column) for column in columns]
    # with many rows a copy has many readings, so they are looked up by their bits
    by_bits = [{reading.bits: reading for reading in copy} for copy in copies]
    alike = []
    for reading in first:
        complement = tuple(1 - bit for bit in reading.bits)
        fitting = [known.get(reading.bits) or known.get(complement) for known in by_bits]
        of_copies = [one for one in fitting if one is not None]
        if len(of_copies) == len(copies):
            alike.append((reading, *of_copies))
    return alike


def faithful_readings(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    layer: int,
    *,
    variables: Variables,
    decided: Tensor,
    at_most: int | None = None,
    progress: bool = True,
) -> list[tuple[tuple[Reading, ...], float]]:
    """All choices of one reading per unit of this layer that leave every decision unchanged.

    Copies of a unit are read alike. Each choice comes with its worst margin. If there are few
    choices, all are tried. If there are more, only those that `promising_choices` leaves are tried,
    or, where it can leave none out, all of at most `MAX_TRIED` (12 units of two inputs have at most
    3^12 = 531,441).

    Args:
        at_most: stop as soon as more than so many are found; None for no limit.

    Raises:
        TooManyReadings: more than that, or more than can be tried.
    """
    values_on_rows = layers[layer].post
    options = options_of(model, layers, layer, variables)
    if not all(options):  # no reading fits all copies alike
        return []
    levels = [levels_of_option(option) for option in options]
    choices = _worth_trying(
        model, layers, layer, levels, variables=variables, decided=decided, progress=progress
    )
    sides = (2 * decided - 1).double()  # +1 where the decision is 1, -1 where it is 0
    kept: list[tuple[Tensor, Tensor]] = []  # choices [choice, variable], and their worst margins
    n_kept = 0
    n_chunks = ceil(len(choices) / CHOICES_AT_ONCE)
    for chunk in progress_bar(
        choices.split(CHOICES_AT_ONCE),
        doing=f"trying readings of layer {layer}",
        unit=f"{CHOICES_AT_ONCE} readings",
        total=n_chunks,
        progress=progress,
    ):
        values = torch.empty(len(chunk), *values_on_rows.shape, dtype=torch.float64)
        for v, units in enumerate(variables):
            values[..., list(units)] = levels[v][chunk[:, v]]  # [choice, row, place]
        # the inputs keep their values on each row, because outputs may read them directly
        rest = forward_float64(model, values, start=layer + 1, inputs=layers[0].inputs)
        distance = (model.rule.distance(rest[-1].post) * sides).flatten(1)
        worst, scale = distance.amin(1), distance.abs().amax(1)
        # a row on the threshold, up to rounding, is undecided: such a choice is not faithful
        is_kept = worst > ROUNDING * scale
        kept.append((chunk[is_kept], worst[is_kept]))
        n_kept += len(kept[-1][0])
        if at_most is not None and n_kept > at_most:
            raise TooManyReadings(too_many_for(at_most))
    # listed only when it is known how many there are
    faithful = []
    for of_chunk, worst in kept:
        for numbers, margin in zip(of_chunk.tolist(), worst.tolist(), strict=True):
            picked = [option[n] for option, n in zip(options, numbers, strict=True)]
            faithful.append((_by_unit(variables, picked), margin))
    return faithful


def _worth_trying(
    model: HookedMLP,
    layers: Sequence[LayerValues],
    layer: int,
    levels: Sequence[Tensor],
    *,
    variables: Variables,
    decided: Tensor,
    progress: bool,
) -> Tensor:
    """The choices of one reading per variable that are tried, [choice, variable].

    They are in lexicographic order; every choice that keeps the decisions is among them.

    Args:
        levels: per variable, what its places are replaced by under each of its readings,
            [reading, row, place].
    """
    n_choices = prod(map(len, levels))
    if n_choices > MAX_TRIED or (n_choices > CHOICES_AT_ONCE and never_falls(model, layer)):
        try:
            return promising_choices(
                model,
                layers,
                layer,
                levels,
                variables=variables,
                decided=decided,
                progress=progress,
            )
        except TooManyReadings:
            if n_choices > MAX_TRIED:
                raise
    numbers = [torch.arange(len(of_variable)) for of_variable in levels]
    # reshape: of a single variable the product has no axis for it
    return torch.cartesian_prod(*numbers).reshape(-1, len(levels))


def options_of(
    model: HookedMLP, layers: Sequence[LayerValues], layer: int, variables: Variables
) -> list[Option]:
    """Every reading of every variable of a layer."""
    columns = layers[layer].post.T
    options = [variable_readings([columns[k] for k in units]) for units in variables]
    if layer == 0:  # the inputs have only the combinations of the rows
        return options
    act_fn = model.cfg.act_name(layer)
    return [_with_both_levels(option, act_fn) for option in options]


def _with_both_levels(option: Option, act_fn: str) -> Option:
    """The readings of one variable, with both levels for constant units if these are known."""
    return [tuple(with_both_levels(one, act_fn) for one in places) for places in option]


def levels_of_option(option: Option) -> Tensor:
    """The places of a variable at their levels under each reading, [reading, row, place]."""
    return torch.stack([levels_of_all(places) for places in option])


def _by_unit(variables: Variables, readings: Sequence[tuple[Reading, ...]]) -> tuple[Reading, ...]:
    """One reading per place of each variable -> one per unit, in the order of the units."""
    by_unit: dict[int, Reading] = {}
    for units, of_places in zip(variables, readings, strict=True):
        by_unit |= dict(zip(units, of_places, strict=True))
    return tuple(by_unit[unit] for unit in sorted(by_unit))


def levels_of_all(readings: Sequence[Reading]) -> Tensor:
    """What the places of a variable are replaced by on each row, [row, place]."""
    return torch.stack([levels_of(reading) for reading in readings], dim=-1)


def levels_of(reading: Reading) -> Tensor:
    """What a unit is replaced by on each row, [row]."""
    levels = torch.tensor([reading.low, reading.high], dtype=torch.float64)
    return levels[torch.tensor(reading.bits)]


def too_many_for(max_readings: int) -> str:
    """The message if there are more readings than may be listed."""
    return (
        f"more than max_readings={max_readings} faithful joint readings; raise it (one to "
        "two milliseconds each), or study fewer units"
    )
