"""many networks -> their kept joint readings, all networks at once, as tensors.

Layer by layer, as `identify_circuit` does it: every reading of every unit, the choices of one
reading per unit that keep every decision, those that go with the bits of the layer before, and of
these the ones whose measured gates compose to the target.

Axes: as in `_batch`; `cut` counts the gaps between a unit's neighbouring values in order; `option`
counts the faithful choices of one cut per unit of a layer, and `joint` the joint readings of the
layers so far, of all networks one after the other; `combination` counts the combinations of the
bits of a layer's units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xor_mi.circuits._batch import (
    MEASURABLE,
    Networks,
    Rounding,
    Variables,
    marked,
    near,
    near_the_threshold,
    share_of,
)
from xor_mi.circuits._readings import ROUNDING, TWO_LEVELS
from xor_mi.truth import row_numbers, truth_rows
from xor_mi.values import DISTINCT

NUMBERS_AT_ONCE = 2_000_000
"""How many numbers one step may hold; a longer step is divided into chunks."""
MAX_LISTED = 10_000
"""A network with more joint readings than this is left to `identify_circuit`, which refuses it."""
MAX_COMBINED = 1_000_000
"""A network with more choices of readings up to some layer to compare is left to it, too."""


@dataclass(frozen=True)
class UnitReadings:
    """Every reading of every unit of a layer, of every network.

    Attributes:
        bits: [network, unit, cut, row].
        low, high, threshold, margin: [network, unit, cut]; the margin of a constant unit is NaN.
        valid: whether there is a reading at this cut, [network, unit, cut].
        one_level: whether bit 0 and bit 1 are the same value, [network, unit].
        unsure: [network].
    """

    bits: Tensor
    low: Tensor
    high: Tensor
    threshold: Tensor
    margin: Tensor
    valid: Tensor
    one_level: Tensor
    unsure: Tensor

    @property
    def levels(self) -> Tensor:
        """What each unit is replaced by on each row, [network, unit, cut, row]."""
        return torch.where(self.bits, self.high[..., None], self.low[..., None])


@dataclass(frozen=True)
class Options:
    """The faithful choices of one cut per unit of one layer, of all networks one after the other.

    Attributes:
        network: whose choice it is, [option], ascending.
        cut: [option, unit].
        worst: smallest distance to the threshold, on the right side, [option].
        unsure: [network].
    """

    network: Tensor
    cut: Tensor
    worst: Tensor
    unsure: Tensor


@dataclass(frozen=True)
class LayerRead:
    """A hidden layer as joint readings have it.

    Attributes:
        bits: [joint, unit, row].
        low, high, threshold, margin: [joint, unit].
        one_level: [joint, unit].
    """

    bits: Tensor
    low: Tensor
    high: Tensor
    threshold: Tensor
    margin: Tensor
    one_level: Tensor

    @classmethod
    def of(cls, readings: UnitReadings, network: Tensor, cut: Tensor) -> "LayerRead":
        """These networks' units at these cuts, [joint] and [joint, unit]."""
        numbers = network[:, None], torch.arange(cut.shape[1]), cut
        return cls(
            bits=readings.bits[numbers],
            low=readings.low[numbers],
            high=readings.high[numbers],
            threshold=readings.threshold[numbers],
            margin=readings.margin[numbers],
            one_level=readings.one_level[network],
        )

    def take(self, numbers: Tensor) -> "LayerRead":
        """That of these joint readings."""
        return LayerRead(
            bits=self.bits[numbers],
            low=self.low[numbers],
            high=self.high[numbers],
            threshold=self.threshold[numbers],
            margin=self.margin[numbers],
            one_level=self.one_level[numbers],
        )


@dataclass(frozen=True)
class JointReadings:
    """Joint readings, of all networks one after the other.

    Attributes:
        network: whose reading it is, [joint], ascending.
        layers: the hidden layers that are read so far.
        worst: smallest distance to the threshold, on the right side, [joint].
    """

    network: Tensor
    layers: tuple[LayerRead, ...]
    worst: Tensor

    def take(self, numbers: Tensor) -> "JointReadings":
        """These joint readings."""
        layers = tuple(layer.take(numbers) for layer in self.layers)
        return JointReadings(self.network[numbers], layers, self.worst[numbers])


@dataclass(frozen=True)
class Netlists:
    """The gates under each joint reading.

    Attributes:
        tables: of every hidden layer but the first, and of the decisions, over every combination of
            the bits of the layer before, [joint, combination, unit]. Where there is no bit it is 0.
        composes: whether the netlist gives every unit its bits, and the target, on all rows,
            [joint].
        unsure: [network].
    """

    tables: tuple[Tensor, ...]
    composes: Tensor
    unsure: Tensor


def read_units(networks: Networks, layer: int, rounding: Rounding) -> UnitReadings:
    """Every reading of every unit of a hidden layer."""
    values = networks.hidden[layer].mT  # [network, unit, row]
    n_rows = values.shape[-1]
    ordered = values.sort(-1).values
    gaps = ordered.diff(dim=-1)  # [network, unit, cut]
    spread = ordered[..., -1] - ordered[..., 0]
    largest = values.abs().amax(-1)
    constant = (spread <= ROUNDING * largest)[..., None]  # [network, unit, 1]

    margin = share_of(gaps, spread[..., None])
    # what rounding may move over the bound that it is close to
    moved = 4 * rounding.hidden[layer].amax(1)  # [network, unit]
    nearly_constant = ((spread - ROUNDING * largest).abs() <= moved) & (spread > 0)
    from_bound = (gaps - DISTINCT * spread[..., None]).abs()
    unclear = (from_bound <= moved[..., None]).any(-1)
    if layer > 0:
        unclear |= moved > MEASURABLE * spread
    unsure = nearly_constant | (unclear & ~constant[..., 0])

    # A constant unit has one reading, kept at its first cut: all rows on one side of zero.
    first_cut = torch.arange(gaps.shape[-1]) == 0
    valid = torch.where(constant, first_cut, gaps > DISTINCT * spread[..., None])
    cut = (ordered[..., 1:] + ordered[..., :-1]) / 2
    mean = values.mean(-1)[..., None]
    bits = torch.where(
        constant[..., None], (mean > 0)[..., None], values[:, :, None] > cut[..., None]
    )

    # The two levels: means over the rows of bit 0 and of bit 1. `clamp` is for constant units and
    # for cuts between equal values, which may have no row on one side.
    n_high = bits.sum(-1)  # [network, unit, cut]
    sum_high = (values[:, :, None] * bits).sum(-1)
    sum_low = values.sum(-1)[..., None] - sum_high
    mean_low = sum_low / (n_rows - n_high).clamp(min=1)
    mean_high = sum_high / n_high.clamp(min=1)
    readings = UnitReadings(
        bits=bits,
        low=torch.where(constant, mean, mean_low),
        high=torch.where(constant, mean, mean_high),
        threshold=torch.where(constant, mean, cut),
        margin=torch.where(constant, torch.nan, margin),
        valid=valid,
        one_level=constant[..., 0],
        unsure=unsure.any(-1),
    )
    # the inputs have no combination but those of the rows
    act_fn = networks.cfg.act_name(layer)
    return _with_both_levels(readings, act_fn) if layer > 0 and act_fn in TWO_LEVELS else readings


def _with_both_levels(readings: UnitReadings, act_fn: str) -> UnitReadings:
    """Constant units at one end of their activation have the other level, too."""
    low, high = TWO_LEVELS[act_fn]
    level = readings.low[..., :1]  # of a constant unit at every cut the same
    to_low, to_high = ((level - end).abs() / (high - low) for end in (low, high))
    constant = readings.one_level[..., None]
    at_high = to_high <= ROUNDING
    has_both = constant & (at_high | (to_low <= ROUNDING))
    close = constant & (near(to_low, ROUNDING) | near(to_high, ROUNDING))
    return UnitReadings(
        bits=torch.where(has_both[..., None], at_high[..., None], readings.bits),
        low=torch.where(has_both, low, readings.low),
        high=torch.where(has_both, high, readings.high),
        threshold=torch.where(has_both, (low + high) / 2, readings.threshold),
        margin=readings.margin,
        valid=readings.valid,
        one_level=readings.one_level & ~has_both[..., 0],
        unsure=readings.unsure | close.flatten(1).any(1),
    )


def faithful(
    networks: Networks,
    layer: int,
    readings: UnitReadings,
    variables: Variables,
    rounding: Rounding,
) -> Options:
    """The choices of one cut per unit under which two levels per unit keep every decision.

    Copies of a unit are read alike.
    """
    find = _added_up if layer == networks.n_layers - 1 else _run_through
    found = list(find(networks, layer, readings, variables, rounding))
    network = torch.cat([one.network for one in found])
    order = network.argsort(stable=True)
    n_found = network.bincount(minlength=len(networks.sure))
    return Options(
        network=network[order],
        cut=torch.cat([one.cut for one in found])[order],
        worst=torch.cat([one.worst for one in found])[order],
        unsure=torch.stack([one.unsure for one in found]).any(0) | (n_found > MAX_LISTED),
    )


def _run_through(
    networks: Networks,
    layer: int,
    readings: UnitReadings,
    variables: Variables,
    rounding: Rounding,
) -> Iterator[Options]:
    """Every choice of one layer, run through the rest of the network."""
    levels = readings.levels
    n_networks, n_units, n_cuts, n_rows = levels.shape
    cuts_per_unit = [torch.arange(n_cuts)] * n_units
    # `view`: of a single unit the product has no unit axis.
    choices = torch.cartesian_prod(*cuts_per_unit).view(-1, n_units)  # [choice, unit]
    alike = _read_alike(readings.bits, variables)
    widest = max(*networks.cfg.d_hidden, networks.cfg.d_out)
    at_once = max(1, NUMBERS_AT_ONCE // (n_networks * n_rows * widest))
    for some in choices.split(at_once):
        columns = list(enumerate(some.T))  # unit, and its cut in every choice
        values = torch.stack([levels[:, u, cuts] for u, cuts in columns], dim=-1)
        valid = torch.stack([readings.valid[:, u, cuts] for u, cuts in columns]).all(0)
        for (a, b), fits in alike.items():
            valid &= fits[:, some[:, a], some[:, b]]
        scores = networks.outputs(values, layer=layer)
        kept, worst, unsure = _on_the_right_side(networks, scores, valid, rounding)
        network, choice = kept.nonzero(as_tuple=True)
        yield Options(network, some[choice], worst[kept], unsure)


def _on_the_right_side(
    networks: Networks, scores: Tensor, valid: Tensor, rounding: Rounding
) -> tuple[Tensor, Tensor, Tensor]:
    """Which choices keep every decision, by how much, and which networks are unsure.

    Args:
        scores: [network, choice, row, decision].
        valid: [network, choice].
    """
    sides = 2 * networks.goal - 1
    # positive on the right side
    distance = ((scores - networks.cfg.rule.cut) * sides).flatten(2)
    worst, scale = distance.amin(2), distance.abs().amax(2)
    error = rounding.scores.flatten(1).amax(1, keepdim=True)
    unsure = (valid & near_the_threshold(worst, scale, error)).any(1)
    return valid & (worst > ROUNDING * scale), worst, unsure


class _Beginnings(NamedTuple):
    """Choices of one cut for each of the first units of a layer.

    Attributes:
        network: whose they are, [beginning].
        cut: [beginning, unit so far].
        sums: what these units add up to with the bias, [beginning, row, decision].
    """

    network: Tensor
    cut: Tensor
    sums: Tensor

    def in_parts(self, at_once: int) -> list["_Beginnings"]:
        """So many at once, the last ones first."""
        columns = [column.split(at_once) for column in self]
        return [_Beginnings(*part) for part in zip(*columns, strict=True)][::-1]


def _added_up(
    networks: Networks,
    layer: int,
    readings: UnitReadings,
    variables: Variables,
    rounding: Rounding,
) -> Iterator[Options]:
    """The choices of the last hidden layer, unit after unit.

    Scores are sums of what the units add, and what comes after the sums only rises. What the units
    not yet read can still add lies between two bounds: where a row cannot stay on its side whatever
    follows, a beginning is dropped.
    """
    assert layer == networks.n_layers - 1
    levels = readings.levels
    n_networks, n_units, n_cuts, n_rows = levels.shape
    # [network, unit, cut, row, decision]
    added = levels[..., None] * networks.readout.mT[:, :, None, None]
    least, most = _still_to_come(added)
    alike = _read_alike(readings.bits, variables)
    error = rounding.scores.flatten(1).amax(1)  # [network]
    cut_at = networks.cfg.rule.cut
    at_once = max(1, NUMBERS_AT_ONCE // (n_cuts * n_rows * added.shape[-1]))
    start = _Beginnings(
        network=torch.arange(n_networks),
        cut=torch.zeros(n_networks, 0, dtype=torch.long),
        sums=networks.readout_bias[:, None].expand(-1, n_rows, -1),
    )
    n_found = torch.zeros(n_networks, dtype=torch.long)
    # the first of them is followed to its end before the next, so that few are held together
    waiting = start.in_parts(at_once)
    while waiting:
        network, cut, sums = waiting.pop()
        unit = cut.shape[1]
        if unit == n_units:
            options = _kept(networks, network, cut, sums, error)
            n_found += options.network.bincount(minlength=n_networks)
            yield options
            continue
        # networks that have too many already are left alone
        may = readings.valid[network, unit] & (n_found[network] <= MAX_LISTED)[:, None]
        for (a, b), fits in alike.items():
            if b == unit:
                may &= fits[network, cut[:, a]]
        # every beginning with every cut of the next unit, [beginning, cut, row, decision]
        reached = sums[:, None] + added[network, unit]
        best = torch.where(
            networks.goal == 1,
            networks.activate(reached + most[unit][network, None]) - cut_at,
            cut_at - networks.activate(reached + least[unit][network, None]),
        )
        may &= best.flatten(2).amin(2) > -error[network, None]
        begun, next_cut = may.nonzero(as_tuple=True)
        longer = torch.cat([cut[begun], next_cut[:, None]], dim=1)
        waiting += _Beginnings(network[begun], longer, reached[may]).in_parts(at_once)


def _kept(networks: Networks, network: Tensor, cut: Tensor, sums: Tensor, error: Tensor) -> Options:
    """Those of these choices that keep every decision.

    Args:
        network, cut, sums: of choices for all units, as `_Beginnings` has them.
        error: how far rounding may move a score, [network].
    """
    sides = 2 * networks.goal - 1
    distance = ((networks.activate(sums) - networks.cfg.rule.cut) * sides).flatten(1)
    worst, scale = distance.amin(1), distance.abs().amax(1)
    kept = worst > ROUNDING * scale
    close = near_the_threshold(worst, scale, error[network])
    unsure = marked(network[close], len(networks.sure))
    return Options(network[kept], cut[kept], worst[kept], unsure)


def _still_to_come(added: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The least and the most that the units after each one add, [network, row, decision] each.

    Args:
        added: [network, unit, cut, row, decision].
    """
    least = [torch.zeros_like(added[:, 0, 0])]
    most = [torch.zeros_like(added[:, 0, 0])]
    for unit in reversed(range(1, added.shape[1])):
        least.insert(0, least[0] + added[:, unit].amin(1))
        most.insert(0, most[0] + added[:, unit].amax(1))
    return least, most


def _read_alike(bits: Tensor, variables: Variables) -> dict[tuple[int, int], Tensor]:
    """Two units, the one a copy of the other -> which of their cuts go together.

    Those that give the copy the bits of the unit that stands for it, or their complement;
    [network, cut, cut]. Of networks in which the two are not copies all of them.

    Args:
        bits: [network, unit, cut, row].
    """
    n_networks, n_units, n_cuts = bits.shape[:3]
    alike: dict[tuple[int, int], Tensor] = {}
    for a in range(n_units):
        for b in range(a + 1, n_units):
            are_copies = (variables.first[:, b] == a) | (variables.first[:, a] == b)
            (numbers,) = are_copies.nonzero(as_tuple=True)
            if len(numbers) == 0:
                continue
            # [network, cut, cut, row]
            same = bits[numbers, a][:, :, None] == bits[numbers, b][:, None]
            fits = torch.ones(n_networks, n_cuts, n_cuts, dtype=torch.bool)
            fits[numbers] = same.all(-1) | ~same.any(-1)
            alike[a, b] = fits
    return alike


def read_all(
    networks: Networks, variables: Sequence[Variables], rounding: Rounding
) -> tuple[JointReadings, Tensor]:
    """Choices of one reading per unit that are faithful and consistent; which networks are unsure.

    A choice that is inconsistent in one layer is never combined with the readings of later layers.
    """
    n_networks = len(networks.sure)
    unsure = torch.zeros(n_networks, dtype=torch.bool)
    joint: JointReadings | None = None
    for layer in range(networks.n_layers):
        readings = read_units(networks, layer, rounding)
        options = faithful(networks, layer, readings, variables[layer], rounding)
        read = LayerRead.of(readings, options.network, options.cut)
        unsure |= readings.unsure | options.unsure
        this = JointReadings(options.network, (read,), options.worst)
        if joint is None:
            joint = this
        else:
            joint, too_many = _going_on(joint, this, networks.connected[layer])
            unsure |= too_many
    assert joint is not None
    return joint, unsure


def _going_on(
    before: JointReadings, options: JointReadings, connected: Tensor
) -> tuple[JointReadings, Tensor]:
    """Every choice up to the layer before with every option of this layer that is consistent.

    Also which networks have more of them than are listed, [network].

    Args:
        connected: whether some output can depend on the unit, [network, unit].
    """
    n_networks = len(connected)
    n_before = before.network.bincount(minlength=n_networks)
    n_options = options.network.bincount(minlength=n_networks)
    too_many = n_before * n_options > MAX_COMBINED
    n_options = n_options.masked_fill(too_many, 0)
    first_option = n_options.cumsum(0) - n_options
    # options of networks that have too many are left out, so the numbers of the others move up
    kept_options = (~too_many[options.network]).nonzero().flatten()

    # the bits of the layer before on a row are those of some first row
    numbers = row_numbers(before.layers[-1].bits.mT)  # [joint, row]
    first_row = (numbers[:, :, None] == numbers[:, None]).int().argmax(2)
    bits = options.layers[0].bits
    n_per_choice = n_options[before.network]
    at_once = max(1, NUMBERS_AT_ONCE // bits[0].numel()) if len(bits) else 1
    found: list[tuple[Tensor, Tensor]] = []
    for part in _in_parts(n_per_choice, at_once):
        repeats = n_per_choice[part]
        choice = part.repeat_interleave(repeats)
        start = (repeats.cumsum(0) - repeats).repeat_interleave(repeats)
        within = torch.arange(len(choice)) - start
        network = before.network[choice]
        option = kept_options[first_option[network] + within]
        of_option = bits[option]
        rows = first_row[choice][:, None].expand_as(of_option)
        same = (of_option == of_option.gather(2, rows)).all(2) | ~connected[network]
        fits = same.all(1)
        found.append((choice[fits], option[fits]))
    choice = torch.cat([one for one, _ in found])
    option = torch.cat([one for _, one in found])
    network = before.network[choice]
    too_many |= network.bincount(minlength=n_networks) > MAX_LISTED
    listed = ~too_many[network]
    choice, option = choice[listed], option[listed]
    joint = before.take(choice)
    return JointReadings(
        network=joint.network,
        layers=(*joint.layers, options.layers[0].take(option)),
        worst=torch.minimum(joint.worst, options.worst[option]),
    ), too_many


def _in_parts(sizes: Tensor, at_once: int) -> list[Tensor]:
    """The numbers of things of these sizes, as many together as there is room for."""
    part_of = (sizes.cumsum(0) - sizes).div(at_once, rounding_mode="floor")
    n_each = part_of.unique_consecutive(return_counts=True)[1].tolist()
    # of no things one part, with nothing in it
    return list(torch.arange(len(sizes)).split(n_each or [0]))


def netlists(
    networks: Networks, joint: JointReadings, variables: Sequence[Variables], rounding: Rounding
) -> Netlists:
    """The gates under each joint reading, and whether they compose to the target.

    Measured on every combination of the levels of the layer before. A copy is at the level that
    goes with the bit of the unit that stands for it, whatever its own bit is.
    """
    widest = max(networks.cfg.d_hidden)
    numbers_each = 2**widest * max(widest, networks.cfg.d_out)
    parts = torch.arange(len(joint.network)).split(max(1, NUMBERS_AT_ONCE // numbers_each))
    found = [_netlists(networks, joint.take(part), variables, rounding) for part in parts]
    return Netlists(
        tables=tuple(
            torch.cat(of_layer) for of_layer in zip(*(one.tables for one in found), strict=True)
        ),
        composes=torch.cat([one.composes for one in found]),
        unsure=torch.stack([one.unsure for one in found]).any(0),
    )


def _netlists(
    networks: Networks, joint: JointReadings, variables: Sequence[Variables], rounding: Rounding
) -> Netlists:
    """The same for as many as there is room for."""
    owner, last = joint.network, networks.n_layers - 1
    tables: list[Tensor] = []
    composes = torch.ones(len(owner), dtype=torch.bool)
    on_the_bound = torch.zeros(len(owner), dtype=torch.bool)
    bits = joint.layers[0].bits.mT  # [joint, row, unit]
    for layer, read in enumerate(joint.layers):
        levels = _every_combination(read, variables[layer].first[owner])
        if layer == last:
            distance = networks.outputs(levels, owner=owner) - networks.cfg.rule.cut
            error = rounding.scores[owner]
            table, close = _tables(distance, error)
            expected, counts = networks.goal == 1, torch.ones_like(error, dtype=torch.bool)
        else:
            later = joint.layers[layer + 1]
            distance = networks.after(levels, layer, owner=owner) - later.threshold[:, None]
            table, close = _tables(distance, rounding.hidden[layer + 1][owner])
            # Of a unit with one level the threshold is that: every combination would be a tie.
            one_level = later.one_level[:, None]
            table = torch.where(one_level, later.bits[:, None, :, 0], table)
            close &= ~one_level
            expected, counts = later.bits.mT, networks.connected[layer + 1][owner][:, None]
        on_the_bound |= close.flatten(1).any(1)
        tables.append(table)
        rows = row_numbers(bits)[..., None].expand(-1, -1, table.shape[2])
        bits = table.gather(1, rows)  # [joint, row, unit]
        # no bit of a unit that leads nowhere can matter
        composes &= ((bits == expected) | ~counts).flatten(1).all(1)
    return Netlists(
        tables=tuple(tables),
        composes=composes,
        unsure=marked(owner[on_the_bound], len(networks.sure)),
    )


def _every_combination(read: LayerRead, first: Tensor) -> Tensor:
    """A layer's units at their levels in every combination of bits, [joint, combination, unit].

    Args:
        first: the unit that stands for each, [joint, unit].
    """
    n_units = read.bits.shape[1]
    stands_for = read.bits.gather(1, first[..., None].expand_as(read.bits))
    complement = (read.bits != stands_for).any(-1)  # [joint, unit]
    combinations = torch.tensor(truth_rows(n_units), dtype=torch.bool)
    bits = combinations[:, first].movedim(0, 1) ^ complement[:, None]
    return torch.where(bits, read.high[:, None], read.low[:, None])


def _tables(distance: Tensor, rounding: Tensor) -> tuple[Tensor, Tensor]:
    """Distances [joint, combination, unit] -> bits, and where rounding might decide them.

    A tie is relative to the largest distance of the same unit; it has no bit, which is written as
    0.

    Args:
        rounding: [joint, 1, unit].
    """
    scale = distance.abs().amax(1, keepdim=True)
    share = share_of(distance.abs(), scale)
    close = near_the_threshold(distance, scale, rounding)
    return (distance > 0) & (share > ROUNDING), close
