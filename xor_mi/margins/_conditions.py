"""model + target -> what its weights must satisfy, row by row: the conditions for XOR, with slack.

On one input row each unit that is off drops out and each that is on is a sum of weights, so the
decision is one inequality. In the symbols of the notebook: w12 is the weight from input 2 to hidden
unit 1, b1 that unit's bias, v1 the weight from unit 1 to the output, c the output's bias. With
several outputs v and c carry the output first (v12 reads unit 2 into output 1). Deeper networks
number the layers: w2_12, b2_1. Counting starts at 1 in symbols, at 0 in places (w12 is
`fc1.weight[0, 1]`, the edge x1->h0.0). Indices above 9 are joined by "_".
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Literal

import pandas as pd
import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.finding import Finding
from xor_mi.geometry._pieces import PIECEWISE_LINEAR, PiecewiseLinearUnit, readout_cut
from xor_mi.graph import Unit, layers_of, name_of_set
from xor_mi.handmade._edits import Entry, entries
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.truth import BooleanFunction, row_name
from xor_mi.values import forward_float64

LONGEST_WRITTEN = 400
"""An inequality of more characters is written over the last hidden layer's units."""

LARGEST_ONE_DIGIT = 9
"""With larger indices, the two of a symbol are joined by "_"."""

Kind = Literal["decision", "unit"]
States = list[list[bool]]
"""Which units are on, on one row, [layer][unit]."""


@dataclass(frozen=True)
class Condition:
    """One inequality that the weights must satisfy on one input row.

    Attributes:
        place: an output ("y0"), or the hidden unit whose state it is ("h0.1").
        kind: "decision", or "unit" for the state of a unit.
        inequality: in symbols.
        numbers: the same in this network's weights.
        value: of the left side.
        slack: distance to the other side of the inequality, in the output's units before a sigmoid
            or tanh; negative where it fails.
        pattern: the units that are taken to be on.
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


@dataclass(frozen=True)
class Conditions(Finding):
    """The inequalities that make a network decide each row as a target does.

    Iterating gives each as a `Condition`.

    Attributes:
        target: what the network is held against.
        symbols: symbol -> its parameter, such as w12 -> "fc1.weight[0, 1]".
    """

    target: BooleanFunction
    conditions: tuple[Condition, ...] = field(repr=False)
    symbols: dict[str, str] = field(repr=False)

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
                by = abs(condition.slack)
                lines.append(f"  {condition.row} fails by {by:.4g}: {condition.inequality}")
        return "\n".join(lines)


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

    A ReLU network's inequalities depend on which units are on. Near a network, its own pattern of
    units holds: that is the default, and then all "decision" inequalities are satisfied exactly
    when the network computes the target. With `near` another network's pattern is assumed (for
    example the one before `edit`) and the unit inequalities, which say that the pattern still
    holds, are listed too: all satisfied is then sufficient. Smooth units (tanh, sigmoid, gelu) have
    no pattern; they are written as functions.

    Args:
        target: a gate, a formula or a `BooleanFunction`; by default `model.cfg.target`.
        near: a network of the same shape and activations whose pattern of units is assumed.
        per_unit: list the inequalities of the pattern as well.

    >>> from xor_mi.handmade import textbook_xor
    >>> held = conditions(textbook_xor())
    >>> [(condition.inequality, condition.slack) for condition in held][1:3]
    [('v1*(w12 + b1) + c > 0.5', 0.5), ('v1*(w11 + b1) + c > 0.5', 0.5)]

    Raises:
        XorMiError: no target, one of another width, or a `near` of another shape.
    """
    require_plain_mlp(model, "conditions")
    function = model.target_of(target)
    pattern_of = model if near is None else near
    _require_same_shape(model, pattern_of)
    rows = torch.tensor(function.rows())
    # Both [row, unit], layer by layer.
    on = [layer.pre > 0 for layer in forward_float64(pattern_of, rows)]
    pres = _assuming(model, rows.double(), on)
    places = _places(model, with_units=per_unit or near is not None)
    inequalities: list[Condition] = []
    for number, row in enumerate(function.rows()):
        states: States = [layer[number].tolist() for layer in on]
        writer = _Writer(model, row, states)
        for kind, place in places:
            pre = pres[place.layer][number, place.index].item()
            if kind == "decision":
                side = _decision_side(model, pre)
                is_above = bool(function.tables[place.index][number])
            else:
                # a unit is held against zero, and against the state that is assumed of it
                side = _Side(pre, 0.0)
                is_above = states[place.layer][place.index]
            inequality = _condition(writer, kind, place, side, should_be_above=is_above)
            inequalities.append(inequality)
    symbols = {_symbol(model, entry): entry.name for entry in entries(model)}
    return Conditions(target=function, conditions=tuple(inequalities), symbols=symbols)


def _require_same_shape(model: HookedMLP, near: HookedMLP) -> None:
    """Refuse a network whose pattern of units cannot be assumed in this one."""
    require_plain_mlp(near, "the pattern of conditions")
    of_model, of_near = [
        (m.layer_sizes, m.cfg.act_fn, m.cfg.out_act_fn, m.cfg.negative_slope, m.threshold)
        for m in (model, near)
    ]
    if of_model != of_near:
        raise XorMiError(
            f"near is a network of {of_near}; the conditions are for {of_model} "
            "(sizes, activations, slope, threshold)"
        )


def _places(model: HookedMLP, with_units: bool) -> list[tuple[Kind, Unit]]:
    """Whose inequalities each row has: the outputs', and those of hidden units with two states."""
    places: list[tuple[Kind, Unit]] = []
    for unit in layers_of(model.layer_sizes)[-1]:
        places.append(("decision", unit))
    if with_units and _has_states(model):
        for unit in model.units:
            places.append(("unit", unit))
    return places


def _has_states(model: HookedMLP) -> bool:
    """Whether its hidden units are on or off: piecewise linear, and not the identity."""
    return model.cfg.act_fn in PIECEWISE_LINEAR and _hidden_unit(model).has_states


def _hidden_unit(model: HookedMLP) -> PiecewiseLinearUnit:
    return PiecewiseLinearUnit.of(model.cfg.act_fn, model.cfg.negative_slope)


def _assuming(model: HookedMLP, rows: Tensor, on: list[Tensor]) -> list[Tensor]:
    """The pre-activations of every layer, each unit taken to be in the given state."""
    pres: list[Tensor] = []
    value = rows
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        pre = value @ weight.T + bias
        pres.append(pre)
        if layer < model.cfg.n_layers and model.cfg.act_fn in PIECEWISE_LINEAR:
            # not `model.activate`: a unit counts as is assumed, whatever its own sign is here
            unit = _hidden_unit(model)
            above = pre * unit.factor_on + unit.constant_on
            value = torch.where(on[layer], above, pre * unit.factor_off)
        else:
            value = model.activate(pre, layer)
    return pres


@dataclass(frozen=True)
class _Side:
    """The two sides of an inequality, and the function that is written around the left one."""

    value: float
    bound: float
    function: str = ""


def _decision_side(model: HookedMLP, readout: float) -> _Side:
    """The readout against its cut, or the output against the threshold.

    The latter where the output activation cannot be undone.
    """
    act_fn, cut = model.cfg.out_act_fn, readout_cut(model)
    # an infinite cut is a threshold that the activation never reaches: nothing to compare with
    if act_fn == "identity" or (act_fn in ("sigmoid", "tanh") and isfinite(cut)):
        return _Side(readout, cut)
    output = model.activate(torch.tensor(readout, dtype=torch.float64), model.cfg.n_layers)
    return _Side(output.item(), model.threshold, act_fn)


def _condition(
    writer: "_Writer", kind: Kind, place: Unit, side: _Side, *, should_be_above: bool
) -> Condition:
    """One inequality, written and measured."""
    # a unit exactly at zero is off, so its "not above" includes equality; an output on the
    # threshold is undecided, so its does not
    below = "<" if kind == "decision" else "<="
    sign = ">" if should_be_above else below
    slack = side.value - side.bound if should_be_above else side.bound - side.value
    right = f"{sign} {side.bound:.6g}"
    return Condition(
        row=row_name(writer.row),
        place=place.name,
        kind=kind,
        inequality=f"{writer.left(place, side.function, in_symbols=True)} {right}",
        numbers=f"{writer.left(place, side.function, in_symbols=False)} {right}",
        value=side.value,
        slack=slack,
        satisfied=slack > 0 or (sign == "<=" and slack == 0),
        pattern=_pattern(writer.model, writer.states),
    )


def _pattern(model: HookedMLP, states: States) -> str:
    if not _has_states(model):
        return "no pattern"
    on = [unit for unit in model.units if states[unit.layer][unit.index]]
    return f"on: {name_of_set(on)}" if on else "all off"


def _symbol(model: HookedMLP, entry: Entry) -> str:
    """w12, b1, v1, c; w2_12 and b2_1 in deeper networks."""
    is_readout = entry.layer == model.cfg.n_layers
    if entry.source is None:
        letter = "c" if is_readout else "b"
    else:
        letter = "v" if is_readout else "w"
    if not is_readout and model.cfg.n_layers > 1:
        letter += f"{entry.layer + 1}_"
    # the one output of a network is not numbered
    indices = [] if is_readout and model.cfg.d_out == 1 else [entry.unit + 1]
    indices += [] if entry.source is None else [entry.source + 1]
    joint = "_" if max(indices, default=0) > LARGEST_ONE_DIGIT else ""
    return letter + joint.join(map(str, indices))


class _Writer:
    """One row's sums as text, in symbols or in numbers."""

    def __init__(self, model: HookedMLP, row: tuple[int, ...], states: States) -> None:
        self.model = model
        self.row = row
        self.states = states
        self.weights = model.float64_layers()
        # how the methods below write; set anew by each call of `left`
        self.in_symbols = True

    def left(self, place: Unit, function: str, *, in_symbols: bool) -> str:
        """The left side of a place's inequality, inside a function if there is one."""
        self.in_symbols = in_symbols
        text = self.pre_activation(place.layer, place.index)
        return f"{function}({text})" if function else text

    def pre_activation(self, layer: int, unit: int) -> str:
        """A unit's pre-activation, written as a sum.

        The inputs that are 1, or the units before it that are on, weighted, plus the bias.
        """
        bias = self._entry(layer, unit, None)
        text = _sum([*self._terms(layer, unit, short=False), bias])
        # written out, a sum over one layer contains every sum over the layer before it
        if layer > 0 and len(text) > LONGEST_WRITTEN:
            text = _sum([*self._terms(layer, unit, short=True), bias])
        return text

    def _entry(self, layer: int, unit: int, source: int | None) -> str:
        if self.in_symbols:
            return _symbol(self.model, Entry(layer, unit, source))
        weight, bias = self.weights[layer]
        number = bias[unit] if source is None else weight[unit, source]
        return f"{number.item():.4g}"

    def _terms(self, layer: int, unit: int, short: bool) -> list[str]:
        """What a unit's sources add: each source's activation times its weight."""
        if layer == 0:
            return [self._entry(0, unit, i) for i, bit in enumerate(self.row) if bit]
        terms: list[str] = []
        for source in range(self.model.cfg.d_hidden[layer - 1]):
            factor = self._activation(layer - 1, source, short)
            if factor:
                weight = self._entry(layer, unit, source)
                terms.append(weight if factor == "1" else f"{weight}*{factor}")
        return terms

    def _activation(self, layer: int, unit: int, short: bool) -> str:
        """A hidden unit's activation as a factor; '' where it is zero, '1' where it is one."""
        name, act_fn = f"h{layer}.{unit}", self.model.cfg.act_fn
        if act_fn not in PIECEWISE_LINEAR:
            return name if short else f"{act_fn}({self.pre_activation(layer, unit)})"
        kind, is_on = _hidden_unit(self.model), self.states[layer][unit]
        slope = kind.factor_on if is_on else kind.factor_off
        if not slope:
            # a constant: a heaviside unit that is on gives 1, whatever is off gives 0
            return "1" if is_on and kind.constant_on else ""
        if short:
            return name
        text = self.pre_activation(layer, unit)
        factor = "" if slope == 1 else f"{slope:.4g}*"
        needs_brackets = " " in text or factor or text.startswith("-")
        return f"{factor}({text})" if needs_brackets else text


def _sum(terms: list[str]) -> str:
    # "2 + -1" is written "2 - 1"
    return " + ".join(terms).replace("+ -", "- ")
