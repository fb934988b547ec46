"""many networks -> the values of their units on every row, and which units are copies, all at once.

The rules of `identify_circuit` with the networks as leading axis. Each stage is a function of
frozen values and says of which networks it is `unsure`: there a number lies so close to a bound of
the rules that the order of additions could decide. `identify_many` gives those networks to
`identify_circuit` itself, so the answers are the same, only sooner. `_batch_readings` finds how the
units are read; `_batch_proof` finds which circuits follow, and how far each is proved.

Axes: network, row, unit and output as everywhere; `run` counts the joint interchanges of a layer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xor_mi.circuits._readings import ROUNDING
from xor_mi.circuits._steps import STEPS
from xor_mi.circuits._variables import CLEARLY, COPIES_WITHIN, LAST_DIGITS
from xor_mi.model import HookedMLPConfig, decide
from xor_mi.truth import truth_rows

FLOAT32_ROUNDING = 1e-5
"""A sum is wrong by a smaller part of its terms in float32, whatever the order of additions."""
FLOAT64_ROUNDING = 1e-14
"""The same for float64."""
FLOAT32_LARGE = 1e25
"""A sum that may be wrong by more than this in float32 may be NaN or infinite there."""
SLOPES = {
    "sigmoid": 0.25,
    "hardsigmoid": 1 / 6,
    "silu": 1.1,
    "gelu": 1.13,
    "gelu_tanh": 1.13,
}
"""The steepest slope of each: an output changes by at most this times the change of its input."""
ENDS = {"tanh": 1.0, "sigmoid": 1.0, "hardtanh": 1.0, "hardsigmoid": 1.0, "relu6": 6.0}
"""The values of these are never further from zero."""
BARELY_VARIES = 1e-6
"""A unit whose range is a smaller part of its values than this is too nearly constant to be
compared with another.
"""
MEASURABLE = 1e-9
"""A unit of a deeper layer that rounding moves by a larger part of its range is not read here."""


class Rounding(NamedTuple):
    """How far rounding may move each value.

    Attributes:
        hidden: per hidden layer, [network, row, unit].
        scores: [network, row, decision].
    """

    hidden: tuple[Tensor, ...]
    scores: Tensor


@dataclass(frozen=True)
class Networks:
    """Networks of one shape, in float64.

    Attributes:
        cfg: their common shape and conventions.
        weights: of every hidden layer, [network, unit, source] and [network, unit].
        hidden: what each unit of each hidden layer is on each row, [network, row, unit].
        readout, readout_bias: of each decision's score, [network, decision, unit] and
            [network, decision].
        sizes, bias_sizes: the same shapes; what their rounding is relative to.
        goal: what the target is on each row, [row, decision].
        connected: per hidden layer, whether some output can depend on the unit, [network, unit].
        sure: whether all weights are finite, no hidden unit is so close to its step that rounding
            might decide, and none varies by what may be rounding alone, [network].
    """

    cfg: HookedMLPConfig
    weights: tuple[tuple[Tensor, Tensor], ...]
    hidden: tuple[Tensor, ...]
    readout: Tensor
    readout_bias: Tensor
    sizes: Tensor
    bias_sizes: Tensor
    goal: Tensor
    connected: tuple[Tensor, ...]
    sure: Tensor

    @classmethod
    def of(cls, layers: Sequence[tuple[Tensor, Tensor]], cfg: HookedMLPConfig) -> "Networks":
        """Weights [network, d_out, d_in] and biases [network, d_out] of all layers."""
        layers = [(weight.double(), bias.double()) for weight, bias in layers]
        *weights, (readout, readout_bias) = layers
        assert cfg.target is not None  # `identify_many` sends no others here
        every = [tensor.flatten(1).isfinite().all(1) for layer in layers for tensor in layer]
        sure = torch.stack(every).all(0)
        hidden: list[Tensor] = []
        for layer in hidden_layers(layers, cfg):
            hidden.append(layer.on_rows)
            sure &= layer.sure
        return cls(
            cfg=cfg,
            weights=tuple(weights),
            hidden=tuple(hidden),
            readout=_scored(readout, cfg),
            readout_bias=_scored(readout_bias, cfg),
            sizes=_added_up(readout, cfg),
            bias_sizes=_added_up(readout_bias, cfg),
            goal=torch.tensor(cfg.target.tables).T,
            connected=_connected(layers),
            sure=sure,
        )

    @property
    def n_layers(self) -> int:
        """How many hidden layers they have."""
        return len(self.hidden)

    def take(self, numbers: Tensor) -> "Networks":
        """These networks, in this order; a number may come several times."""
        return Networks(
            cfg=self.cfg,
            weights=tuple((weight[numbers], bias[numbers]) for weight, bias in self.weights),
            hidden=tuple(values[numbers] for values in self.hidden),
            readout=self.readout[numbers],
            readout_bias=self.readout_bias[numbers],
            sizes=self.sizes[numbers],
            bias_sizes=self.bias_sizes[numbers],
            goal=self.goal,
            connected=tuple(connected[numbers] for connected in self.connected),
            sure=self.sure[numbers],
        )

    def after(self, values: Tensor, layer: int, *, owner: Tensor | None = None) -> Tensor:
        """Values of a hidden layer -> those of the next one, [network, ..., unit].

        Args:
            owner: whose the values are, one number for each of their leading axis.
        """
        weight, bias = self.weights[layer + 1]
        if owner is not None:
            weight, bias = weight[owner], bias[owner]
        return self.cfg.activation(layer + 1)(_linear(values, weight, bias))

    def outputs(
        self, values: Tensor, *, layer: int | None = None, owner: Tensor | None = None
    ) -> Tensor:
        """Values [network, ..., unit] -> the decisions' scores [network, ..., decision].

        Under a threshold the scores are the outputs.

        Args:
            layer: the hidden layer whose values these are; the last where it is not said.
            owner: whose the values are, one number for each of their leading axis.
        """
        last = self.n_layers - 1
        for number in range(last if layer is None else layer, last):
            values = self.after(values, number, owner=owner)
        readout, bias = self.readout, self.readout_bias
        if owner is not None:
            readout, bias = readout[owner], bias[owner]
        return self.activate(_linear(values, readout, bias))

    def activate(self, sums: Tensor) -> Tensor:
        """What the outputs add up -> the decisions' scores, of the same shape."""
        return self.cfg.activation(self.cfg.n_layers)(sums)

    def rounding_on_rows(self, part: float) -> Rounding:
        """How far rounding by this part of the terms of every sum may move what is on the rows."""
        sizes = [values.abs() for values in self.hidden]
        return self._rounding(_input_rows(self.cfg).abs(), sizes, part)

    def rounding_anywhere(self) -> Rounding:
        """The same for float64, with any hidden layer replaced by what its units may be.

        The rows are one: the worst.
        """
        sizes: list[Tensor] = []
        for layer, values in enumerate(self.hidden):
            name = self.cfg.act_name(layer)
            if layer == 0:
                sizes.append(values.abs().amax(1, keepdim=True))
            elif name in ENDS:
                sizes.append(torch.full_like(values[:, :1], ENDS[name]))
            else:
                weight, bias = self.weights[layer]
                terms = _linear(sizes[-1], weight.abs(), bias.abs())
                at_zero = self.cfg.activation(layer)(torch.zeros(())).abs()
                sizes.append(self._slope(layer) * terms + at_zero)
        inputs = _input_rows(self.cfg).abs().amax(0, keepdim=True)
        return self._rounding(inputs, sizes, FLOAT64_ROUNDING)

    def _rounding(self, inputs: Tensor, sizes: Sequence[Tensor], part: float) -> Rounding:
        """From layer to layer: what came before, and what this layer's own sums add to it."""
        before = inputs
        wrong = torch.zeros_like(inputs)
        hidden: list[Tensor] = []
        for layer, ((weight, bias), size) in enumerate(zip(self.weights, sizes, strict=True)):
            weight = weight.abs()
            # a step that is clear of its edge gives its value exactly, whatever the sum
            slope = 0.0 if self.cfg.act_name(layer) in STEPS else self._slope(layer)
            terms = before @ weight.mT + bias.abs()[:, None]
            wrong = slope * (wrong @ weight.mT + part * terms) + part * size
            hidden.append(wrong)
            before = size
        terms = before @ self.sizes.mT + self.bias_sizes[:, None] + abs(self.cfg.rule.cut)
        scores = self._slope(self.n_layers) * (wrong @ self.sizes.mT + part * terms)
        return Rounding(tuple(hidden), scores)

    def _slope(self, layer: int) -> float:
        """How steep a layer's activation is at most."""
        name = self.cfg.act_name(layer)
        if name == "leaky_relu":
            return max(1.0, abs(self.cfg.negative_slope))
        return SLOPES.get(name, 1.0)


class HiddenLayer(NamedTuple):
    """A hidden layer of many networks, in float64.

    Attributes:
        on_rows: what each unit is on each row, [network, row, unit]. Where it varies by the last
            digits of its sum alone it is what it is on the first row.
        sure: whether no unit is so close to its step that rounding might decide, and none varies by
            what may be rounding alone, [network].
    """

    on_rows: Tensor
    sure: Tensor


def hidden_layers(
    layers: Sequence[tuple[Tensor, Tensor]], cfg: HookedMLPConfig
) -> Iterator[HiddenLayer]:
    """Every hidden layer on all rows, of W [network, d_out, d_in] and b of all layers."""
    value = _input_rows(cfg)
    for layer, (weight, bias) in enumerate(layers[:-1]):
        weight, bias = weight.double(), bias.double()
        pre = value @ weight.mT + bias[:, None]
        post = cfg.activation(layer)(pre)
        on_rows, sure = post, torch.ones(len(weight), dtype=torch.bool)
        if cfg.act_name(layer) in STEPS:
            terms = value.abs() @ weight.abs().mT + bias.abs()[:, None]
            sure &= (pre.abs() > 10 * FLOAT32_ROUNDING * terms).flatten(1).all(1)
        if layer > 0:
            # in a deeper layer terms may cancel on every row, all but their last digits
            steady, clear = _varies_by_rounding(value, pre, weight, bias)
            on_rows = torch.where(steady, post[:, :1], post)
            sure &= clear
        yield HiddenLayer(on_rows=on_rows, sure=sure)
        value = post


def _linear(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[network, ..., source] -> [network, ..., unit]."""
    # one matrix product per network, whatever lies between the network and the unit axis
    pre = values.flatten(1, -2) @ weight.mT + bias[:, None]
    return pre.view(*values.shape[:-1], pre.shape[-1])


def _varies_by_rounding(
    value: Tensor, pre: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Which units' sums vary by their last digits only, [network, 1, unit]; where that is clear,
    [network].
    """
    terms = (value.abs() @ weight.abs().mT + bias.abs()[:, None]).amax(1, keepdim=True)
    share = share_of(pre.amax(1, keepdim=True) - pre.amin(1, keepdim=True), terms)
    return share <= LAST_DIGITS, ~near(share, LAST_DIGITS).flatten(1).any(1)


def _connected(layers: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
    """Per hidden layer, to which units a path of weights leads back from some output."""
    found: list[Tensor] = []
    weight, bias = layers[-1]
    reached = torch.ones_like(bias, dtype=torch.bool)
    for weight, _ in reversed(layers[1:]):
        reached = ((weight != 0) & reached[..., None]).any(1)
        found.insert(0, reached)
    return tuple(found)


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


def computing(networks: Networks) -> Computing:
    """Networks that compute the target for sure, and those that do not for sure."""
    cut = networks.cfg.rule.cut
    outputs = networks.outputs(networks.hidden[-1])
    differs = decide(outputs, cut=cut) != networks.goal
    distance = (outputs - cut).abs()
    # Wrong is wrong in float64; right must be right in float32 too, in any order of additions.
    clear = distance > networks.rounding_on_rows(FLOAT64_ROUNDING).scores
    wrong = (differs & clear).flatten(1).any(1) & networks.sure
    rounding = networks.rounding_on_rows(FLOAT32_ROUNDING).scores
    # `~`: what is not a number is not clear
    close = ~((distance > rounding) & (rounding < FLOAT32_LARGE))
    unsure = ~networks.sure | (close.flatten(1).any(1) & ~wrong)
    return Computing(right=~wrong & ~unsure, wrong=wrong, unsure=unsure)


@dataclass(frozen=True)
class Variables:
    """Which units of a layer are copies of one another: one variable, in several places.

    Attributes:
        first: the number of the unit that stands for each unit, itself or one that it is a copy of,
            [network, unit].
        constant: whether the unit has one value on all rows, [network, unit].
        unsure: [network].
    """

    first: Tensor
    constant: Tensor
    unsure: Tensor

    @property
    def stands(self) -> Tensor:
        """Whether the unit stands for its variable, [network, unit]."""
        return self.first == torch.arange(self.first.shape[1])

    def take(self, numbers: Tensor) -> "Variables":
        """Those of these networks; a number may come several times."""
        return Variables(
            first=self.first[numbers], constant=self.constant[numbers], unsure=self.unsure[numbers]
        )


def variables_of_all(networks: Networks) -> tuple[Variables, ...]:
    """The variables of every hidden layer.

    Units of a deeper layer are copies only if they are alike under the joint interchanges before
    it, too, as `identify_circuit` has it.
    """
    n_rows = len(networks.goal)
    # per hidden layer, its values on all rows, and then under the joint interchanges before it
    seen = list(networks.hidden)
    counts = [torch.ones(values.shape[:2], dtype=torch.float64) for values in seen]
    found: list[Variables] = []
    for layer in range(networks.n_layers):
        variables = _variables_of(
            seen[layer].mT, counts[layer], networks.connected[layer], n_rows=n_rows
        )
        found.append(variables)
        if layer + 1 == networks.n_layers:
            break
        values = interchanged(networks.hidden[layer], variables, move_constants=False)
        # a unit that draws no row of its own repeats every run so often
        repeated = (variables.constant | ~variables.stands).sum(1, keepdim=True)
        count = (1.0 / n_rows**repeated).double().expand(-1, values.shape[1])
        for later in range(layer + 1, networks.n_layers):
            values = networks.after(values, later - 1)
            seen[later] = torch.cat([seen[later], values], dim=1)
            counts[later] = torch.cat([counts[later], count], dim=1)
    return tuple(found)


def interchanged(hidden: Tensor, variables: Variables, *, move_constants: bool) -> Tensor:
    """A layer's values in all its joint interchanges, [network, run, unit].

    Args:
        hidden: on all rows, [network, row, unit].
        move_constants: whether constant units are taken from other rows, too.
    """
    n_networks = len(hidden)
    sources = joint_rows(*hidden.shape[1:]).expand(n_networks, -1, -1)
    first = variables.first[:, None].expand(-1, sources.shape[1], -1)
    sources = sources.gather(2, first)
    if not move_constants:
        sources = sources.masked_fill(variables.constant[:, None], 0)
    return hidden.gather(1, sources)


def joint_rows(n_rows: int, n_units: int) -> Tensor:
    """The row that every unit is taken from, in every joint interchange, [run, unit]."""
    rows = [torch.arange(n_rows)] * n_units
    # `view`: of a single unit the product has no unit axis
    return torch.cartesian_prod(*rows).view(-1, n_units)


def _variables_of(values: Tensor, count: Tensor, connected: Tensor, *, n_rows: int) -> Variables:
    """Units of which one is the other after a straight line, everywhere, are copies.

    Args:
        values: on all rows, and then in runs, [network, unit, place].
        count: how often each place counts, [network, place].
        connected: [network, unit].
    """
    n_units = values.shape[1]
    on_rows = values[..., :n_rows]
    largest = on_rows.abs().amax(-1)
    spread = on_rows.amax(-1) - on_rows.amin(-1)
    varying = spread > ROUNDING * largest  # [network, unit]
    # Of a nearly constant unit it is rounding noise what it is a copy of.
    unsure = (varying & (spread < BARELY_VARIES * largest)).any(1)
    if n_units == 1:
        first = torch.zeros(len(values), 1, dtype=torch.long)
        return Variables(first=first, constant=~varying, unsure=unsure)

    both = varying[:, :, None] & varying[:, None]  # [network, unit, unit]
    how_far = _apart(values, count)
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
    preference = torch.arange(n_units) + n_units * (~rises + 2 * ~connected)
    among = torch.where(copies, preference[:, None], 4 * n_units)
    return Variables(first=among.argmin(2), constant=~varying, unsure=unsure | close_calls)


def _apart(values: Tensor, count: Tensor) -> Tensor:
    """How far two units are from being copies, as a part of their range, [network, unit, unit].

    On the place where that is most; NaN for constant units.
    """
    weight = count[:, None]
    mean = (values * weight).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True)
    centred = values - mean
    a = centred / (centred.square() * weight).sum(-1, keepdim=True).sqrt()
    falling = ((a * weight) @ a.mT < 0)[..., None]
    a, b = a[:, :, None], a[:, None]
    most = (a - torch.where(falling, -b, b)).abs().amax(-1)
    extent = (a.amax(-1) - a.amin(-1)).squeeze(2)  # [network, unit]
    return most / torch.minimum(extent[:, :, None], extent[:, None])


def _rises(values: Tensor) -> tuple[Tensor, Tensor]:
    """Whether a unit is higher than on the first row where it first clearly differs.

    Also where rounding might decide that. Both [network, unit].

    Args:
        values: [network, unit, place].
    """
    change = values - values[..., :1]
    share = share_of(change.abs(), change.abs().amax(-1, keepdim=True))
    first_clear = (share > CLEARLY).int().argmax(-1, keepdim=True)  # of equal ones the first
    rises = change.gather(-1, first_clear)[..., 0] > 0
    return rises, ((share - CLEARLY).abs() < CLEARLY / 1000).any(-1)


def share_of(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, at every size that a float64 can have; 0 where both are 0."""
    return part / torch.where(whole > 0, whole, 1.0)


def near(value: Tensor, bound: float) -> Tensor:
    """So close to a bound that rounding might decide."""
    # Rounding moves these numbers by far less than a factor of two; few networks lie inside it.
    return (value > bound / 2) & (value < bound * 2)


def near_the_threshold(distance: Tensor, scale: Tensor, rounding: Tensor) -> Tensor:
    """Which distances rounding might move over the bound of what is decided.

    Args:
        distance: from the threshold.
        scale: the largest of these.
        rounding: how far it may move them.
    """
    share = share_of(distance.abs(), scale)
    # what lies safely inside the bound is undecided, however large the terms
    return near(share, ROUNDING) | ((distance.abs() <= rounding) & (share > ROUNDING / 2))


def marked(numbers: Tensor, n: int) -> Tensor:
    """True at these numbers, [n]."""
    marks = torch.zeros(n, dtype=torch.bool)
    marks[numbers] = True
    return marks
