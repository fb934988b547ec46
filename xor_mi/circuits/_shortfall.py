"""a network that does not compute its target -> what in its weights is in the way.

Three facts are exact: units that have one value on every row and so pass nothing on; rows on which
some layer has the same values although the target tells them apart, so that no later layer can tell
them apart; and whether any weights of the readout would compute the target. A fourth says whether
training had come to rest.
"""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from xor_mi.circuits import _wording
from xor_mi.circuits._readings import ROUNDING, is_constant
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.handmade._separation import separating_weights
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction
from xor_mi.values import forward_float64

REACH_BOTH_SIDES = ("identity", "sigmoid", "tanh")
"""Activations of an output that reach both sides of the threshold for any direction of a line."""
AT_REST = 1e-4
"""Derivatives of the loss below this fraction of the loss count as next to zero.

A derivative is taken with respect to a weight in the weight's own unit, as in gradient descent.
"""


@dataclass(frozen=True)
class Shortfall:
    """What is in the way of a network that does not compute its target.

    Attributes:
        constant: the hidden units that have one value on every row, with the value.
        n_units: hidden units in all.
        alike: pairs of rows that the target tells apart although a hidden layer has the same values
            on both: no weights after it can decide both right.
        alike_layer: the first hidden layer that has them alike; None where there are none.
        readout_exists: whether some weights of the readout would compute the target from the last
            hidden layer as it is; None if this is not known for the rule or the output's
            activation.
        loss: the network's loss for the target, on all rows; None if the target has another number
            of outputs than the network has decisions.
        steepest: the largest derivative of the loss with respect to a weight; None if the loss is.
        steepest_hidden: the same for the weights and biases of hidden units alone.
    """

    constant: tuple[tuple[Unit, float], ...]
    n_units: int
    alike: tuple[tuple[str, str], ...]
    alike_layer: int | None
    readout_exists: bool | None
    loss: float | None
    steepest: float | None
    steepest_hidden: float | None

    @property
    def at_rest(self) -> bool:
        """Whether the loss has next to no slope for its size: gradient descent stays here."""
        return self._is_flat(self.steepest)

    @property
    def hidden_at_rest(self) -> bool:
        """Whether no weight of a hidden unit has a slope: gradient descent moves the readout alone.

        Then rows on which the hidden units have the same values keep having the same values.
        """
        return self._is_flat(self.steepest_hidden)

    def _is_flat(self, steepest: float | None) -> bool:
        """Whether a slope is next to zero compared with the loss."""
        if self.loss is None or steepest is None:
            return False
        return steepest <= AT_REST * self.loss

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence per fact, the most telling first."""
        return _wording.shortfall(
            constant={unit.name: value for unit, value in self.constant},
            n_units=self.n_units,
            alike=self.alike,
            alike_layer=self.alike_layer,
            readout_exists=self.readout_exists,
            steepest=self.steepest,
            at_rest=self.at_rest,
            is_hopeless=self.hidden_at_rest and bool(self.alike),
        )

    def __str__(self) -> str:
        return "; ".join(self.sentences)


def shortfall_of(
    model: HookedMLP, function: BooleanFunction, row_names: tuple[str, ...]
) -> Shortfall:
    """What is in the way of this network computing this function.

    Args:
        function: with as many outputs as the network has decisions.
    """
    hidden = forward_float64(model, model.rows())[:-1]
    constant = [
        (Unit(layer, k), values[0].item() + 0.0)
        for layer, values_of in enumerate(hidden)
        for k, values in enumerate(values_of.post.T)
        if is_constant(values)
    ]
    goal = torch.tensor(function.tables).T  # [row, output]
    # rows that are alike in a layer are alike in all later layers, unless these read the inputs
    # again
    seen = [values_of.post for values_of in hidden]
    if model.cfg.direct:
        seen = [torch.cat([seen[-1], hidden[0].inputs], dim=-1)]
    alike: tuple[tuple[str, str], ...] = ()
    alike_layer = None
    for layer, values in enumerate(seen):
        alike = _alike(values, goal, row_names)
        if alike:
            alike_layer = layer
            break
    loss, steepest, steepest_hidden = _slope(model, function)
    return Shortfall(
        constant=tuple(constant),
        n_units=len(model.units),
        alike=alike,
        alike_layer=alike_layer,
        readout_exists=False if alike else _readout_exists(model, seen[-1], goal),
        loss=loss,
        steepest=steepest,
        steepest_hidden=steepest_hidden,
    )


def _alike(values: Tensor, goal: Tensor, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of rows with the same values, up to rounding, whose goals differ."""
    rounding = ROUNDING * values.abs().amax(0)
    return tuple(
        (names[a], names[b])
        for a, b in combinations(range(len(values)), 2)
        if bool(((values[a] - values[b]).abs() <= rounding).all())
        and not torch.equal(goal[a], goal[b])
    )


def _readout_exists(model: HookedMLP, values: Tensor, goal: Tensor) -> bool | None:
    """Whether one line, plane, ... per decision has its ones on one side.

    The units are scaled to the same range first: a linear program is exact only for numbers of
    about the same size, and the scale of a unit changes nothing.
    """
    is_one_of_many = model.cfg.decision_rule == "argmax" and model.cfg.n_decisions > 1
    if is_one_of_many or model.cfg.out_act_fn not in REACH_BOTH_SIDES:
        return None
    lowest, highest = values.amin(0), values.amax(0)
    spread = highest - lowest
    # a unit that varies by rounding alone does not tell rows apart
    varies = spread > ROUNDING * values.abs().amax(0)
    points = torch.where(varies, (values - lowest) / spread, 0.0).numpy()
    return all(separating_weights(points, bits.numpy()) is not None for bits in goal.T)


def _slope(
    model: HookedMLP, function: BooleanFunction
) -> tuple[float | None, float | None, float | None]:
    """The loss on all rows, and its largest derivative with respect to a weight, in float64.

    The derivative is given for all weights, and for those of hidden units alone.
    """
    if function.n_outputs != model.cfg.n_decisions:
        return None, None, None
    layers = model.float64_layers()
    held = model.with_weights(layers, target=function, dtype=torch.float64, device="cpu")
    try:
        with torch.enable_grad():
            loss = held(held.rows(), return_type="loss")
    except XorMiError:  # this loss is not defined for this target
        return None, None, None
    parameters = dict(held.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    sizes = [0.0 if one is None else one.abs().max().item() for one in gradients]
    of_readout = ("direct.", f"fc{len(model.cfg.d_hidden) + 1}.")
    of_hidden = [
        size
        for name, size in zip(parameters, sizes, strict=True)
        if not name.startswith(of_readout)
    ]
    return loss.item(), max(sizes), max(of_hidden)
