"""many networks of one hidden layer -> their kept joint readings, all networks at once, as tensors.

The rules of `identify_circuit` with the networks as leading axis. Each stage is a function of
frozen values and says of which networks it is `unsure`: there a number lies so close to a bound of
the rules that the order of additions could decide. `identify_many` gives those networks to
`identify_circuit` itself, so the answers are the same, only sooner. What circuits these readings
are, and how far each is proved, is found in `_batch_proof`.

Axes: network, row, unit and output as everywhere; `cut` counts the gaps between a unit's
neighbouring values in order; `choice` counts the ways to pick one cut per unit; `joint` counts the
joint readings, of all networks one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xor_mi.circuits._readings import ROUNDING
from xor_mi.circuits._steps import STEPS
from xor_mi.circuits._variables import CLEARLY, COPIES_WITHIN, apart
from xor_mi.model import HookedMLPConfig, decide
from xor_mi.truth import row_numbers, truth_rows
from xor_mi.values import DISTINCT

FLOAT32_ROUNDING = 1e-4
"""An output closer to the threshold than this part of its terms may be decided otherwise in
float32.
"""
FLOAT64_ROUNDING = 1e-12
"""The same for float64."""
SLOPES = {"sigmoid": 0.25, "hardsigmoid": 1 / 6}
"""These are nowhere steeper: a change of their input reaches their output as at most this part."""
BARELY_VARIES = 1e-6
"""A unit whose range is a smaller part of its values than this is too nearly constant to be
compared with another.
"""


@dataclass(frozen=True)
class Networks:
    """Networks with one hidden layer, in float64.

    Attributes:
        cfg: their common shape and conventions.
        hidden: what each hidden unit is on each row, [network, row, unit].
        readout, readout_bias: of each decision's score, [network, decision, unit] and
            [network, decision].
        sizes, bias_sizes: the same shapes; what their rounding is relative to.
        goal: what the target is on each row, [row, decision].
        connected: whether some output has a weight for the unit, [network, unit].
        sure: whether all weights are finite, and no hidden unit is so close to its step that
            rounding might decide, [network].
    """

    cfg: HookedMLPConfig
    hidden: Tensor
    readout: Tensor
    readout_bias: Tensor
    sizes: Tensor
    bias_sizes: Tensor
    goal: Tensor
    connected: Tensor
    sure: Tensor

    @classmethod
    def of(cls, layers: Sequence[tuple[Tensor, Tensor]], cfg: HookedMLPConfig) -> "Networks":
        """Weights [network, d_out, d_in] and biases [network, d_out] of both layers."""
        layers = [(weight.double(), bias.double()) for weight, bias in layers]
        (weight, bias), (readout, readout_bias) = layers
        assert cfg.target is not None  # `identify_many` sends no others here
        rows = _input_rows(cfg)
        pre = rows @ weight.mT + bias[:, None]
        tensors = (weight, bias, readout, readout_bias)
        sure = torch.stack([tensor.flatten(1).isfinite().all(1) for tensor in tensors]).all(0)
        if cfg.act_name(0) in STEPS:
            terms = rows.abs() @ weight.abs().mT + bias.abs()[:, None]
            sure &= (pre.abs() > FLOAT32_ROUNDING * terms).flatten(1).all(1)
        return cls(
            cfg=cfg,
            hidden=cfg.activation(0)(pre),
            readout=_scored(readout, cfg),
            readout_bias=_scored(readout_bias, cfg),
            sizes=_added_up(readout, cfg),
            bias_sizes=_added_up(readout_bias, cfg),
            goal=torch.tensor(cfg.target.tables).T,
            connected=(readout != 0).any(1),
            sure=sure,
        )

    def take(self, numbers: Tensor) -> "Networks":
        """These networks, in this order; a number may come several times."""
        return Networks(
            cfg=self.cfg,
            hidden=self.hidden[numbers],
            readout=self.readout[numbers],
            readout_bias=self.readout_bias[numbers],
            sizes=self.sizes[numbers],
            bias_sizes=self.bias_sizes[numbers],
            goal=self.goal,
            connected=self.connected[numbers],
            sure=self.sure[numbers],
        )

    def outputs(self, values: Tensor) -> Tensor:
        """Hidden values [network, ..., unit] -> the decisions' scores [network, ..., decision].

        Under a threshold the scores are the outputs.
        """
        # one matrix product per network, whatever lies between the network and the unit axis
        pre = values.flatten(1, -2) @ self.readout.mT + self.readout_bias[:, None]
        return self.activate(pre.view(*values.shape[:-1], pre.shape[-1]))

    def activate(self, sums: Tensor) -> Tensor:
        """What the outputs add up -> the decisions' scores, of the same shape."""
        return self.cfg.activation(self.cfg.n_layers)(sums)

    def close(self, values: Tensor, outputs: Tensor, *, rounding: float) -> Tensor:
        """Which scores are so close to the cut that rounding might decide otherwise."""
        # rounding is relative to the terms that are added up, not to a sum in which they cancel
        terms = values.abs().flatten(1, -2) @ self.sizes.mT + self.bias_sizes[:, None]
        scale = (terms + abs(self.cfg.rule.cut)).view(outputs.shape)
        slope = SLOPES.get(self.cfg.out_act_fn, 1.0)
        return (outputs - self.cfg.rule.cut).abs() <= rounding * slope * scale


def _input_rows(cfg: HookedMLPConfig) -> Tensor:
    """All rows as the network takes them, at its levels in its dtype, [row, input]."""
    low, high = torch.tensor(cfg.input_levels, dtype=cfg.dtype).double()
    return torch.where(torch.tensor(truth_rows(cfg.d_in), dtype=torch.bool), high, low)


def _scored(of_outputs: Tensor, cfg: HookedMLPConfig) -> Tensor:
    """[network, output, ...] -> of each decision's score: where two are one, their difference."""
    if cfg.rule.name == "threshold":
        return of_outputs
    return of_outputs[:, 1:] - of_outputs[:, :1]


def _added_up(of_outputs: Tensor, cfg: HookedMLPConfig) -> Tensor:
    """The sizes of the terms that `_scored` is made of, added up."""
    if cfg.rule.name == "threshold":
        return of_outputs.abs()
    return of_outputs.abs().sum(1, keepdim=True)


@dataclass(frozen=True)
class Computing:
    """Which networks compute the target, [network] each; a network is one of the three."""

    right: Tensor
    wrong: Tensor
    unsure: Tensor


@dataclass(frozen=True)
class Variables:
    """Which units are copies of one another: one variable, in several places.

    Attributes:
        first: the number of the unit that stands for each unit, itself or one that it is a copy of,
            [network, unit].
        unsure: [network].
    """

    first: Tensor
    unsure: Tensor

    @property
    def stands(self) -> Tensor:
        """Whether the unit stands for its variable, [network, unit]."""
        return self.first == torch.arange(self.first.shape[1])

    def take(self, numbers: Tensor) -> "Variables":
        """Those of these networks; a number may come several times."""
        return Variables(first=self.first[numbers], unsure=self.unsure[numbers])


@dataclass(frozen=True)
class UnitReadings:
    """Every reading of every unit of every network.

    Attributes:
        bits: [network, unit, cut, row].
        low, high, margin: [network, unit, cut]; the margin of a constant unit is NaN.
        valid: whether there is a reading at this cut, [network, unit, cut].
        unsure: [network].
    """

    bits: Tensor
    low: Tensor
    high: Tensor
    margin: Tensor
    valid: Tensor
    unsure: Tensor


@dataclass(frozen=True)
class JointReadings:
    """Joint readings, of all networks one after the other.

    Attributes:
        network: whose reading it is, [joint], ascending.
        bits: [joint, unit, row].
        low, high, margin: [joint, unit].
        worst: smallest distance to the threshold, on the right side, [joint].
        unsure: [network].
    """

    network: Tensor
    bits: Tensor
    low: Tensor
    high: Tensor
    margin: Tensor
    worst: Tensor
    unsure: Tensor

    def take(self, numbers: Tensor) -> "JointReadings":
        """These joint readings."""
        return JointReadings(
            network=self.network[numbers],
            bits=self.bits[numbers],
            low=self.low[numbers],
            high=self.high[numbers],
            margin=self.margin[numbers],
            worst=self.worst[numbers],
            unsure=self.unsure,
        )


@dataclass(frozen=True)
class Netlists:
    """The outputs' gates under each joint reading.

    Attributes:
        tables: over every combination of the hidden units' levels, [joint, combination, output].
        composes: whether the netlist gives the target on all rows, [joint].
        unsure: [network].
    """

    tables: Tensor
    composes: Tensor
    unsure: Tensor


def computing(networks: Networks) -> Computing:
    """Networks that compute the target for sure, and those that do not for sure."""
    outputs = networks.outputs(networks.hidden)
    differs = decide(outputs, cut=networks.cfg.rule.cut) != networks.goal
    # Wrong is wrong in float64; right must be right in float32 too, in any order of additions.
    clear = ~networks.close(networks.hidden, outputs, rounding=FLOAT64_ROUNDING)
    wrong = (differs & clear).flatten(1).any(1) & networks.sure
    close = networks.close(networks.hidden, outputs, rounding=FLOAT32_ROUNDING)
    unsure = ~networks.sure | (close.flatten(1).any(1) & ~wrong)
    return Computing(right=~wrong & ~unsure, wrong=wrong, unsure=unsure)


def variables_of(networks: Networks) -> Variables:
    """Units of which one is the other after a straight line, on every row, are copies."""
    values = networks.hidden.mT  # [network, unit, row]
    n_units = values.shape[1]
    largest = values.abs().amax(-1)
    spread = values.amax(-1) - values.amin(-1)
    varying = spread > ROUNDING * largest  # [network, unit]
    # Of a nearly constant unit it is rounding noise what it is a copy of.
    unsure = (varying & (spread < BARELY_VARIES * largest)).any(1)

    both = varying[:, :, None] & varying[:, None]  # [network, unit, unit]
    how_far = apart(values[:, :, None], values[:, None])
    # rounding moves this by far less than a thousandth
    close = ((how_far - COPIES_WITHIN).abs() < COPIES_WITHIN / 1000) & both
    copies = ((how_far <= COPIES_WITHIN) & both) | torch.eye(n_units, dtype=torch.bool)
    # what is a copy of a copy is one too: each product doubles how many steps that may take
    for _ in range(n_units.bit_length()):
        copies = (copies.double() @ copies.double()) > 0

    # Of copies a rising one stands for all, one that leads nowhere only where there is no other.
    rises, near_clear = _rises(values)
    has_copy = copies.sum(2) > 1
    close_calls = close.flatten(1).any(1) | (near_clear & has_copy).any(1)
    preference = torch.arange(n_units) + n_units * (~rises + 2 * ~networks.connected)
    among = torch.where(copies, preference[:, None], 4 * n_units)
    return Variables(first=among.argmin(2), unsure=unsure | close_calls)


def _rises(values: Tensor) -> tuple[Tensor, Tensor]:
    """Whether a unit is higher than on the first row where it first clearly differs.

    Also where rounding might decide that. Both [network, unit].

    Args:
        values: [network, unit, row].
    """
    change = values - values[..., :1]
    share = share_of(change.abs(), change.abs().amax(-1, keepdim=True))
    first_clear = (share > CLEARLY).int().argmax(-1, keepdim=True)  # of equal ones the first
    rises = change.gather(-1, first_clear)[..., 0] > 0
    return rises, ((share - CLEARLY).abs() < CLEARLY / 1000).any(-1)


def share_of(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, at every size that a float64 can have; 0 where both are 0."""
    return part / torch.where(whole > 0, whole, 1.0)


def read_units(hidden: Tensor) -> UnitReadings:
    """Values [network, row, unit] -> every reading of every unit."""
    values = hidden.mT  # [network, unit, row]
    n_rows = values.shape[-1]
    ordered = values.sort(-1).values
    gaps = ordered.diff(dim=-1)  # [network, unit, cut]
    spread = ordered[..., -1] - ordered[..., 0]
    largest = values.abs().amax(-1)
    constant = (spread <= ROUNDING * largest)[..., None]  # [network, unit, 1]

    margin = share_of(gaps, spread[..., None])
    nearly_constant = near(share_of(spread, largest), ROUNDING)
    nearly_distinct = near(margin, DISTINCT).any(-1)

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
    return UnitReadings(
        bits=bits,
        low=torch.where(constant, mean, mean_low),
        high=torch.where(constant, mean, mean_high),
        margin=torch.where(constant, torch.nan, margin),
        valid=valid,
        unsure=(nearly_constant | nearly_distinct).any(-1),
    )


def faithful(networks: Networks, readings: UnitReadings, variables: Variables) -> JointReadings:
    """The joint readings under which two levels per unit keep every decision.

    Copies of a unit are read alike.
    """
    # What each unit is replaced by on each row, [network, unit, cut, row].
    levels = torch.where(readings.bits, readings.high[..., None], readings.low[..., None])
    n_units, n_cuts = levels.shape[1:3]
    cuts_per_unit = [torch.arange(n_cuts)] * n_units
    # `view`: of a single unit the product has no unit axis.
    choices = torch.cartesian_prod(*cuts_per_unit).view(-1, n_units)  # [choice, unit]
    columns = list(enumerate(choices.T))  # unit, and its cut in every choice
    values = torch.stack([levels[:, u, cuts] for u, cuts in columns], dim=-1)
    valid = torch.stack([readings.valid[:, u, cuts] for u, cuts in columns]).all(0)
    valid &= _copies_read_alike(readings.bits, variables, choices)

    # Distances to the threshold, positive on the right side: [network, choice, row, output].
    sides = 2 * networks.goal - 1
    distance = (networks.outputs(values) - networks.cfg.rule.cut) * sides
    worst = distance.flatten(2).amin(2)
    scale = distance.flatten(2).abs().amax(2)
    on_the_bound = valid & near(share_of(worst, scale), ROUNDING)
    # Network by network, since `nonzero` goes through the leading axis first.
    network, choice = (valid & (worst > ROUNDING * scale)).nonzero(as_tuple=True)
    cut = choices[choice]  # [joint, unit]

    def picked(of_readings: Tensor) -> Tensor:
        """[network, unit, cut, ...] -> at the cuts of each joint reading, [joint, unit, ...]."""
        return torch.stack([of_readings[network, u, cut[:, u]] for u in range(n_units)], dim=1)

    return JointReadings(
        network=network,
        bits=picked(readings.bits),
        low=picked(readings.low),
        high=picked(readings.high),
        margin=picked(readings.margin),
        worst=worst[network, choice],
        unsure=on_the_bound.any(1),
    )


def _copies_read_alike(bits: Tensor, variables: Variables, choices: Tensor) -> Tensor:
    """Whether a choice gives every copy the bits of the unit it is a copy of, or their complement.

    Gives [network, choice].

    Args:
        bits: [network, unit, cut, row].
        choices: [choice, unit].
    """
    n_networks, n_units = bits.shape[:2]
    alike = torch.ones(n_networks, len(choices), dtype=torch.bool)
    for copy in range(n_units):
        for first in range(n_units):
            (numbers,) = (variables.first[:, copy] == first).nonzero(as_tuple=True)
            if copy == first or len(numbers) == 0:
                continue
            # [network, cut of the copy, cut of the first, row]
            same = bits[numbers, copy][:, :, None] == bits[numbers, first][:, None]
            fits = same.all(-1) | ~same.any(-1)
            alike[numbers] &= fits[:, choices[:, copy], choices[:, first]]
    return alike


def netlists(networks: Networks, joint: JointReadings, variables: Variables) -> Netlists:
    """The outputs' gates under each joint reading, and whether they give the target.

    Measured on every combination of the hidden units' levels. A copy is at the level that goes with
    the bit of the unit that stands for it, whatever its own bit is.
    """
    each_joint = torch.arange(len(joint.network))[:, None]
    first = variables.first[joint.network]  # [joint, unit]
    complement = (joint.bits != joint.bits[each_joint, first]).any(-1)  # [joint, unit]
    combinations_of_bits = torch.tensor(truth_rows(joint.bits.shape[1]), dtype=torch.bool)
    bits = combinations_of_bits[:, first].movedim(0, 1) ^ complement[:, None]
    levels = torch.where(bits, joint.high[:, None], joint.low[:, None])  # as bits
    distance = networks.take(joint.network).outputs(levels) - networks.cfg.rule.cut
    # A tie is told as `_netlist` tells it: relative to the largest distance of the same output.
    share = share_of(distance.abs(), distance.abs().amax(1, keepdim=True))
    on_the_bound = near(share, ROUNDING).flatten(1).any(1)
    # what is undecided is written as 0
    tables = (distance > 0) & (share > ROUNDING)

    # On each row the hidden units have some combination of bits: the output there is the target's.
    reached = row_numbers(joint.bits.mT)  # [joint, row]
    right = tables[each_joint, reached] == networks.goal  # [joint, row, output]
    return Netlists(
        tables=tables,
        composes=right.flatten(1).all(1),
        unsure=marked(joint.network[on_the_bound], len(networks.hidden)),
    )


def near(value: Tensor, bound: float) -> Tensor:
    """So close to a bound that rounding might decide."""
    # Rounding moves these numbers by far less than a factor of two; few networks lie inside it.
    return (value > bound / 2) & (value < bound * 2)


def marked(numbers: Tensor, n: int) -> Tensor:
    """True at these numbers, [n]."""
    marks = torch.zeros(n, dtype=torch.bool)
    marks[numbers] = True
    return marks
