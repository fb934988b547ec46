"""model + target -> what its weights must satisfy, row by row: the conditions for XOR, with slack.

On one input row, a unit that is off contributes nothing and a unit that is on is a sum of weights,
so the decision is one inequality. The symbols are: w12 is the weight from input 2 to hidden unit 1,
b1 that unit's bias, v1 the weight from unit 1 to the output, c the output's bias, u1 the weight of
a direct connection from input 1 to the output. With several outputs, v, c and u have the output's
number first (v12 is the weight from unit 2 to output 1). Deeper networks number the layers: w2_12,
b2_1. Counting starts at 1 in symbols, and at 0 in places (w12 is `fc1.weight[0, 1]`, the edge
x1->h0.0). Indices above 9 are joined by "_".

An input adds its level times its weight: with levels -1 and 1, row 01 gives -w11 + w12 + b1. With
argmax an output is compared with another: (v21 - v11)*(w11 + b1) + (c2 - c1) > 0.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.finding import ROUNDING, Finding, number_text, parameter_text
from xor_mi.geometry._pieces import (
    FULL,
    MONOTONE,
    PIECEWISE_LINEAR,
    PiecewiseLinearUnit,
    readout_cut,
    state_text,
)
from xor_mi.graph import Unit
from xor_mi.handmade._edits import Entry, entries
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_hooked_mlp, require_plain_mlp
from xor_mi.truth import BooleanFunction, row_name
from xor_mi.values import forward_float64, own_scales, own_value_scales

LONGEST_WRITTEN = 400
"""An inequality with more characters is written over the last hidden layer's units."""

LARGEST_ONE_DIGIT = 9
"""If an index is larger than this, the two indices of a symbol are joined by "_"."""

HARDSIGMOID_SLOPE = 1 / 6
"""It is written as a division, because it has no exact decimal form."""

Kind = Literal["decision", "unit"]
Sign = Literal[">", "<", ">=", "<="]
States = list[list[int]]
"""The state of each hidden unit on one row, [layer][unit]: 0 off, 1 on, 2 full; smooth ones 0."""


@dataclass(frozen=True)
class Condition:
    """One inequality that the weights must satisfy on one input row.

    Attributes:
        place: the output that is decided ("y0"; with argmax over two outputs "y1"), or the hidden
            unit whose state is required ("h0.1").
        kind: "decision", or "unit" for the state of a unit.
        inequality: the inequality in symbols.
        numbers: the same with this network's weights.
        value: the value of the left side.
        slack: distance to the other side of the inequality, in the output's units before a sigmoid
            or tanh; negative where it fails.
        pattern: the units that are assumed to be on; a "full" unit does not grow further, such as
            relu6 above 6.
    """

    row: str
    place: str
    kind: Kind
    inequality: str
    numbers: str
    value: float
    slack: float
    satisfied: bool
    pattern: str

    def __str__(self) -> str:
        outcome = "holds" if self.satisfied else "fails"
        slack = number_text(self.slack)
        return f"row {self.row}, {self.place}: {self.inequality} {outcome}, with slack {slack}"


@dataclass(frozen=True)
class Conditions(Finding):
    """The inequalities that make a network decide each row as a target does.

    Iterating gives each as a `Condition`.

    Attributes:
        target: the function that the network should compute.
        symbols: symbol -> its parameter, such as w12 -> "fc1.weight[0, 1]".
        scale: the size of the terms that the sides of decisions are sums of.
    """

    target: BooleanFunction
    conditions: tuple[Condition, ...] = field(repr=False)
    symbols: dict[str, str] = field(repr=False)
    scale: float = field(default=0.0, repr=False)

    @property
    def all_satisfied(self) -> bool:
        """Whether every inequality holds."""
        return all(condition.satisfied for condition in self)

    @property
    def n_satisfied(self) -> int:
        """How many inequalities hold."""
        return sum(condition.satisfied for condition in self)

    def frame(self) -> pd.DataFrame:
        """One line per inequality; see `Condition`.

        Columns row, place, kind, inequality, numbers, value, slack, satisfied, pattern.
        """
        return pd.DataFrame([asdict(condition) for condition in self])

    def __len__(self) -> int:
        return len(self.conditions)

    def __iter__(self) -> Iterator[Condition]:
        return iter(self.conditions)

    def __str__(self) -> str:
        lines = [f"{self.n_satisfied} of {len(self)} conditions for {self.target.name} hold"]
        for condition in self:
            if not condition.satisfied:
                by = self._short_by(abs(condition.slack))
                lines.append(f"  {condition.row} fails by {by}: {condition.inequality}")
        return "\n".join(lines)

    def _short_by(self, distance: float) -> str:
        """'0.25', or what says that only rounding makes the condition fail."""
        if 0 < distance < ROUNDING * self.scale:
            return f"rounding alone ({parameter_text(distance)})"
        return number_text(distance)


@torch.no_grad()
def conditions(
    model: HookedMLP,
    target: Target | None = None,
    *,
    near: HookedMLP | None = None,
    per_unit: bool = False,
) -> Conditions:
    """The inequalities that make a network decide each row as the target does.

    Each comes with its value, its slack and whether it holds.

    A ReLU network's inequalities depend on which units are on. By default the network's own pattern
    of units is assumed, and then all "decision" inequalities are satisfied exactly if the network
    computes the target. With `near` the pattern of another network is assumed (for example the one
    before `edit`), and the unit inequalities, which say that the pattern still holds, are listed,
    too: if all are satisfied, the network computes the target. Smooth units (tanh, sigmoid, gelu,
    ...) have no pattern; they are written as functions. With argmax over more than two outputs, the
    output that should win has an inequality for each other output, and an output that should not
    win is compared with the best of the others.

    Args:
        target: a gate, a formula or a `BooleanFunction`; by default `model.cfg.target`.
        near: a network of the same shape and activations whose pattern of units is assumed.
        per_unit: list the inequalities of the pattern as well.

    >>> from xor_mi.handmade import textbook_xor
    >>> held = conditions(textbook_xor())
    >>> [(condition.inequality, condition.slack) for condition in held][1:3]
    [('v1*(w12 + b1) + c > 0.5', 0.5), ('v1*(w11 + b1) + c > 0.5', 0.5)]

    Raises:
        XorMiError: no target, a target of another width, or a `near` of another shape.
    """
    require_plain_mlp(model, "conditions")
    function = model.target_of(target)
    pattern_of = model if near is None else near
    _require_same_shape(model, pattern_of)
    rows = model.rows(function.rows())
    states = _states(pattern_of, rows)
    # per layer [row, unit]
    pres = _assuming(model, rows.double().cpu(), states)
    places = model.decision_units
    units = model.units if per_unit or near is not None else ()
    inequalities: list[Condition] = []
    for number, row in enumerate(function.rows()):
        writer = _Writer(model, row, [layer[number].tolist() for layer in states])
        of_row = [pre[number] for pre in pres]
        for place, table in zip(places, function.tables, strict=True):
            wanted = bool(table[number])
            inequalities += _decision_conditions(writer, place, of_row[-1], should_be_above=wanted)
        for unit in units:
            pre = of_row[unit.layer][unit.index].item()
            inequalities += _unit_conditions(writer, unit, pre)
    return Conditions(
        target=function,
        conditions=tuple(inequalities),
        symbols=weight_symbols(model),
        scale=_scale_of_sides(model, rows),
    )


def weight_symbols(model: HookedMLP) -> dict[str, str]:
    """The short name of every weight and bias -> its parameter, layer by layer.

    Conditions, figures, sliders and tables all use this name. In each layer the weights come first,
    row by row, then the biases. With a single hidden layer, w12 is the weight from input 2 to
    hidden unit 1, b1 is that unit's bias, v1 is the weight from unit 1 to the output, and c is the
    output's bias; deeper networks number their layers, and u1 is a direct connection.

    >>> from xor_mi.handmade import textbook_xor
    >>> list(weight_symbols(textbook_xor()))
    ['w11', 'w12', 'w21', 'w22', 'b1', 'b2', 'v1', 'v2', 'c']
    >>> weight_symbols(textbook_xor())["w12"]
    'fc1.weight[0, 1]'

    Raises:
        XorMiError: `model` is not a `HookedMLP`.
    """
    require_hooked_mlp(model, "weight_symbols")
    return {_symbol(model, entry): entry.name for entry in entries(model)}


def _scale_of_sides(model: HookedMLP, rows: Tensor) -> float:
    """The size of the terms of the sides of decisions: of sums, or of values after a function."""
    layers = forward_float64(model, rows)
    scales = own_scales if _is_undone(model) else own_value_scales
    return scales(model, layers)[-1]


def _is_undone(model: HookedMLP) -> bool:
    """Whether the sums before the output activation are compared, not its values."""
    act_fn = model.cfg.out_act_fn
    if model.rule.name == "argmax":
        # the output with the largest sigmoid or tanh has the largest readout
        return act_fn in ("identity", *MONOTONE)
    # an infinite cut is a threshold that the activation never reaches, so there is nothing to
    # compare
    return act_fn == "identity" or (act_fn in MONOTONE and isfinite(readout_cut(model)))


def _require_same_shape(model: HookedMLP, near: HookedMLP) -> None:
    """Refuse a network whose pattern of units cannot be assumed for this one."""
    require_plain_mlp(near, "the pattern of conditions")
    of_model, of_near = [
        (
            *(m.layer_sizes, m.cfg.act_fn, m.cfg.out_act_fn, m.cfg.negative_slope, m.threshold),
            *(m.cfg.input_levels, m.rule.name, m.cfg.step_at_zero, m.cfg.direct),
        )
        for m in (model, near)
    ]
    if of_model != of_near:
        raise XorMiError(
            f"near is a network of {of_near}; the conditions are for {of_model} "
            "(sizes, activations, slope, threshold, levels, rule, step at zero, direct)"
        )


def _has_states(model: HookedMLP, layer: int) -> bool:
    """Whether its units are on or off: piecewise linear, and not the identity."""
    is_linear = model.cfg.act_name(layer) in PIECEWISE_LINEAR
    return is_linear and bool(PiecewiseLinearUnit.of(model, layer).kinks)


def _states(model: HookedMLP, rows: Tensor) -> list[Int[ndarray, "row unit"]]:
    """The states of the hidden units on every row, per layer [row, unit]."""
    states: list[ndarray] = []
    for layer, values in enumerate(forward_float64(model, rows)[:-1]):
        state = np.zeros(values.pre.shape, dtype=int)
        if _has_states(model, layer):
            state = PiecewiseLinearUnit.of(model, layer).states(values.pre.numpy())
        states.append(state)
    return states


def _assuming(model: HookedMLP, rows: Tensor, states: list[ndarray]) -> list[Tensor]:
    """The pre-activations of every layer, each unit taken to be in the given state."""
    cfg = model.cfg
    pres: list[Tensor] = []
    value = rows
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        if cfg.direct and layer == cfg.n_layers:
            value = torch.cat([value, rows], dim=1)
        pre = value @ weight.T + bias
        pres.append(pre)
        if layer == cfg.n_layers:
            break
        if cfg.act_name(layer) in PIECEWISE_LINEAR:
            # not `model.activate`: a unit has the assumed state, whatever its own value is here
            unit, state = PiecewiseLinearUnit.of(model, layer), states[layer]
            value = torch.from_numpy(pre.numpy() * unit.factors(state) + unit.added(state))
        else:
            value = model.activate(pre, layer)
    return pres


@dataclass(frozen=True)
class _Side:
    """The left side of an inequality, and the bound that it is compared with.

    Attributes:
        place: the unit whose sum is written.
        minus: another output whose sum or value is subtracted.
        function: the function that is written around each sum, if any.
    """

    place: Unit
    value: float
    bound: float
    minus: int | None = None
    function: str = ""


def _decision_conditions(
    writer: "_Writer", place: Unit, readout: Tensor, *, should_be_above: bool
) -> list[Condition]:
    """What one decision needs on one row; with argmax it may be several inequalities."""
    model = writer.model
    sign: Sign = ">" if should_be_above else "<"
    if model.rule.name == "threshold":
        sides = [_against_threshold(model, place, readout)]
    else:
        sides = _against_others(model, place, readout, all_of_them=should_be_above)
    return [_condition(writer, "decision", place, side, sign) for side in sides]


def _against_threshold(model: HookedMLP, place: Unit, readout: Tensor) -> _Side:
    """The readout against its cut, or the output against the threshold.

    The output is compared if the output activation cannot be undone.
    """
    act_fn, cut = model.cfg.out_act_fn, readout_cut(model)
    value = readout[place.index].item()
    if _is_undone(model):
        return _Side(place, value, cut)
    output = model.activate(readout, model.cfg.n_layers)[place.index]
    return _Side(place, output.item(), model.threshold, function=act_fn)


def _against_others(
    model: HookedMLP, place: Unit, readout: Tensor, *, all_of_them: bool
) -> list[_Side]:
    """An output against every other, or against the best of them."""
    act_fn = model.cfg.out_act_fn
    is_undone = _is_undone(model)
    values = readout if is_undone else model.activate(readout, model.cfg.n_layers)
    others = [k for k in range(model.cfg.d_out) if k != place.index]
    if not all_of_them:
        others = [max(others, key=lambda k: values[k].item())]
    function = "" if is_undone else act_fn
    return [
        _Side(place, (values[place.index] - values[k]).item(), 0.0, minus=k, function=function)
        for k in others
    ]


def _unit_conditions(writer: "_Writer", unit: Unit, pre: float) -> list[Condition]:
    """What keeps a hidden unit in its assumed state: the kinks that it must lie between."""
    if not _has_states(writer.model, unit.layer):
        return []
    kind = PiecewiseLinearUnit.of(writer.model, unit.layer)
    state = writer.states[unit.layer][unit.index]
    # a value exactly on a kink belongs to one of the pieces
    above: Sign = ">=" if kind.kink_is_above else ">"
    below: Sign = "<" if kind.kink_is_above else "<="
    held: list[Condition] = []
    if state > 0:
        side = _Side(unit, pre, kind.kinks[state - 1])
        held.append(_condition(writer, "unit", unit, side, above))
    if state < len(kind.kinks):
        side = _Side(unit, pre, kind.kinks[state])
        held.append(_condition(writer, "unit", unit, side, below))
    return held


def _condition(writer: "_Writer", kind: Kind, place: Unit, side: _Side, sign: Sign) -> Condition:
    """One inequality, written and measured."""
    is_above = sign in (">", ">=")
    slack = side.value - side.bound if is_above else side.bound - side.value
    right = f"{sign} {side.bound + 0.0:.6g}"
    return Condition(
        row=row_name(writer.row),
        place=place.name,
        kind=kind,
        inequality=f"{writer.left(side, in_symbols=True)} {right}",
        numbers=f"{writer.left(side, in_symbols=False)} {right}",
        value=side.value,
        slack=slack,
        satisfied=slack > 0 or (sign in ("<=", ">=") and slack == 0),
        pattern=_pattern(writer.model, writer.states),
    )


def _pattern(model: HookedMLP, states: States) -> str:
    if not any(_has_states(model, layer) for layer in range(model.cfg.n_layers)):
        return "no pattern"
    on = [unit for unit in model.units if states[unit.layer][unit.index]]
    full = [unit for unit in on if states[unit.layer][unit.index] == FULL]
    return f"on: {state_text(on, full)}" if on else "all off"


def _symbol(model: HookedMLP, entry: Entry) -> str:
    """w12, b1, v1, c; w2_12 and b2_1 in deeper networks."""
    is_readout = entry.layer == model.cfg.n_layers
    source = entry.source if entry.direct_input is None else entry.direct_input
    if entry.direct_input is not None:
        letter = "u"
    elif source is None:
        letter = "c" if is_readout else "b"
    else:
        letter = "v" if is_readout else "w"
    if not is_readout and model.cfg.n_layers > 1:
        letter += f"{entry.layer + 1}_"
    # a single output is not numbered
    indices = [] if is_readout and model.cfg.d_out == 1 else [entry.unit + 1]
    indices += [] if source is None else [source + 1]
    joint = "_" if max(indices, default=0) > LARGEST_ONE_DIGIT else ""
    return letter + joint.join(map(str, indices))


class _Writer:
    """Writes one row's sums as text, in symbols or in numbers."""

    def __init__(self, model: HookedMLP, row: tuple[int, ...], states: States) -> None:
        self.model = model
        self.row = row
        self.states = states
        self.weights = model.float64_layers()
        self.sources = model.sources
        # how the methods below write; each call of `left` sets it
        self.in_symbols = True

    def left(self, side: _Side, *, in_symbols: bool) -> str:
        """The left side of an inequality."""
        self.in_symbols = in_symbols
        layer, unit = side.place.layer, side.place.index
        if not side.function:
            return self.pre_activation(layer, unit, minus=side.minus)
        text = f"{side.function}({self.pre_activation(layer, unit)})"
        if side.minus is None:
            return text
        return f"{text} - {side.function}({self.pre_activation(layer, side.minus)})"

    def pre_activation(self, layer: int, unit: int, *, minus: int | None = None) -> str:
        """A unit's pre-activation, written as a sum.

        Its terms are the weighted inputs at their levels, or the weighted units before it that are
        not off, and the bias.

        Args:
            minus: a unit of the same layer that reads the same, and whose sum is subtracted.
        """
        bias = self._weight(layer, unit, None, minus)
        text = _sum([*self._terms(layer, unit, minus, short=False), bias])
        # a sum over one layer contains, when written out, every sum over the layer before it
        if layer > 0 and len(text) > LONGEST_WRITTEN:
            text = _sum([*self._terms(layer, unit, minus, short=True), bias])
        return text

    def _weight(self, layer: int, unit: int, source: int | None, minus: int | None) -> str:
        """A weight, or the difference of two that read the same."""
        own = self._entry(layer, unit, source)
        return own if minus is None else _difference(own, self._entry(layer, minus, source))

    def _entry(self, layer: int, unit: int, source: int | None) -> str:
        if self.in_symbols:
            read = None if source is None else self.sources[layer][source]
            direct_input = read.index if read and layer > 0 and read.layer < 0 else None
            return _symbol(self.model, Entry(layer, unit, source, direct_input))
        weight, bias = self.weights[layer]
        number = bias[unit] if source is None else weight[unit, source]
        # + 0.0: a zero has no minus
        return f"{number.item() + 0.0:.4g}"

    def _terms(self, layer: int, unit: int, minus: int | None, *, short: bool) -> list[str]:
        """What a unit's sources add: each source's value times its weight."""
        terms: list[str] = []
        for number, source in enumerate(self.sources[layer]):
            weight = self._weight(layer, unit, number, minus)
            if source.layer < 0:
                text, value = "", self.model.cfg.input_levels[self.row[source.index]]
            else:
                text, value = self._activation(source, short=short)
            if text:
                terms.append(f"{weight}*{text}")
            elif value:
                terms.append(_times(value, weight))
        return terms

    def _activation(self, unit: Unit, *, short: bool) -> tuple[str, float]:
        """A hidden unit's activation as a factor, or its value if that is a constant."""
        layer, act_fn = unit.layer, self.model.cfg.act_name(unit.layer)
        if act_fn not in PIECEWISE_LINEAR:
            text = unit.name if short else f"{act_fn}({self.pre_activation(layer, unit.index)})"
            return text, 0.0
        kind, state = PiecewiseLinearUnit.of(self.model, layer), self.states[layer][unit.index]
        slope, constant = kind.slopes[state], kind.constants[state]
        if not slope:
            return "", constant
        if short:
            return unit.name, 0.0
        return _sloped(self.pre_activation(layer, unit.index), slope, constant), 0.0


def _sloped(text: str, slope: float, constant: float) -> str:
    """A sum times a slope plus a constant, as a factor."""
    if slope == 1:
        needs_brackets = " " in text or text.startswith("-")
        scaled = f"({text})" if needs_brackets else text
    elif slope == HARDSIGMOID_SLOPE:
        scaled = f"({text})/6"
    else:
        scaled = f"{slope:.4g}*({text})"
    return f"({scaled} + {constant:g})" if constant else scaled


def _times(value: float, weight: str) -> str:
    """A number other than zero times a weight; a factor of one is not written."""
    if value == 1:
        return weight
    is_negative = (value < 0) != weight.startswith("-")
    size, bare = abs(value), weight.removeprefix("-")
    # all digits of the number, with 2 instead of 2.0
    text = bare if size == 1 else f"{str(size).removesuffix('.0')}*{bare}"
    return f"-{text}" if is_negative else text


def _difference(a: str, b: str) -> str:
    # "a - -1" is written "a + 1"
    return f"({a} + {b[1:]})" if b.startswith("-") else f"({a} - {b})"


def _sum(terms: list[str]) -> str:
    # "2 + -1" is written "2 - 1"
    return " + ".join(terms).replace("+ -", "- ")
