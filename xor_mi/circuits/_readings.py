"""values of units -> the ways to read them as bits, and which of these keep the decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from xor_mi.circuits._facts import constant_note
from xor_mi.circuits._pruned import promising_choices
from xor_mi.model import HookedMLP
from xor_mi.truth import name_of_bits
from xor_mi.values import DISTINCT, LayerValues, forward_float64

MAX_TRIED = 2_000_000
"""How many choices of readings are tried for one layer."""
CHOICES_AT_ONCE = 4096
"""So many choices are run through the rest of the network together."""
ROUNDING = 1e-9
"""A substituted output within this part of the output's scale from the threshold is on it:
undecided, so not faithful.
"""


@dataclass(frozen=True)
class Reading:
    """One way to read a unit as a bit.

    Attributes:
        bits: the unit's bit on each input row, in lexicographic order.
        threshold: halfway between the two neighbouring values it separates.
        margin: their gap as a fraction of the unit's range; None for a constant unit.
        low, high: the mean value where the bit is 0 and where it is 1 (both the value itself for a
            constant unit).
        constant: whether the unit has the same value on every row.
    """

    bits: tuple[int, ...]
    threshold: float
    margin: float | None
    low: float
    high: float
    constant: bool = False

    @property
    def note(self) -> str:
        """ "dead" for a constant unit read as FALSE, "always on" for one read as TRUE, else ""."""
        return constant_note(self.bits[0]) if self.constant else ""

    @property
    def gate(self) -> str:
        """The bits as a function of the network's inputs: a gate's name, or else a formula."""
        return name_of_bits(self.bits)


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
    # a unit that varies by rounding only has one value, and no gap to put a threshold in
    if spread <= ROUNDING * values.abs().max().item():
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
        return [constant]
    readings = []
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


def faithful_readings(
    model: HookedMLP, layers: Sequence[LayerValues], layer: int, *, decided: Tensor
) -> list[tuple[tuple[Reading, ...], float]]:
    """All choices of one reading per unit of this layer that leave every decision as it was.

    Each comes with its worst margin. Up to `MAX_TRIED` choices all are tried (12 units of two
    inputs have at most 3^12 = 531,441), of more those that `promising_choices` leaves.

    Raises:
        TooManyReadings: even these are too many.
    """
    options = [unit_readings(values) for values in layers[layer].post.T]  # per unit
    # per unit, what it is replaced by under each of its readings, [reading, row]
    levels = [torch.stack([levels_of(reading) for reading in unit]) for unit in options]
    if prod(map(len, options)) > MAX_TRIED:
        choices = promising_choices(model, layers, layer, levels, decided=decided)
    else:
        numbers = [torch.arange(len(unit)) for unit in options]
        # reshape: of a single unit the product has no unit axis
        choices = torch.cartesian_prod(*numbers).reshape(-1, len(options))
    sides = (2 * decided - 1).double()  # +1 where the decision is 1, -1 where it is 0
    faithful = []
    for chunk in choices.split(CHOICES_AT_ONCE):
        columns = [levels[u][chunk[:, u]] for u in range(len(options))]
        values = torch.stack(columns, dim=-1)  # [choice, row, unit]
        # the inputs are as they were on each row: outputs may read them directly
        rest = forward_float64(model, values, start=layer + 1, inputs=layers[0].inputs)
        distance = (model.rule.distance(rest[-1].post) * sides).flatten(1)
        worst, scale = distance.amin(1), distance.abs().amax(1)
        # a row on the threshold, up to rounding, is undecided: such a choice is not faithful
        for k in (worst > ROUNDING * scale).nonzero().flatten().tolist():
            readings = [unit[n] for unit, n in zip(options, chunk[k].tolist(), strict=True)]
            faithful.append((tuple(readings), worst[k].item()))
    return faithful


def levels_of(reading: Reading) -> Tensor:
    """What a unit is replaced by on each row, [row]."""
    levels = torch.tensor([reading.low, reading.high], dtype=torch.float64)
    return levels[torch.tensor(reading.bits)]


def consistent(before: Sequence[Reading], after: Sequence[Reading]) -> bool:
    """Every unit's bits are a function of the bits of the layer before."""
    # the layer before, on one row -> this layer there; a second value for a key is a contradiction
    seen: dict[tuple[int, ...], tuple[int, ...]] = {}
    bits_before = zip(*(reading.bits for reading in before), strict=True)
    bits_after = zip(*(reading.bits for reading in after), strict=True)
    rows = zip(bits_before, bits_after, strict=True)
    return all(seen.setdefault(parents, bits) == bits for parents, bits in rows)
