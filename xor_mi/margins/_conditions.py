"""model + target -> what its weights must satisfy, row by row: the conditions for XOR, with slack.

On one input row each unit that is off drops out and each that is on is a sum of weights, so the
decision is one inequality. In the symbols of the notebook: w12 is the weight from input 2 to hidden
unit 1, b1 that unit's bias, v1 the weight from unit 1 to the output, c the output's bias. With
several outputs v and c carry the output first (v12 reads unit 2 into output 1). Deeper networks
number the layers: w2_12, b2_1. Counting starts at 1 in symbols, at 0 in places (w12 is
`fc1.weight[0, 1]`, the edge x1->h0.0). Indices above 9 are joined by "_"."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.geometry._pieces import PIECEWISE_LINEAR, PiecewiseLinearUnit, readout_cut
from xor_mi.graph import layers_of
from xor_mi.handmade._edits import entries
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.truth import BooleanFunction, row_name
from xor_mi.values import forward_float64

WRITTEN = 400
"""A longer inequality is written over the last hidden layer's units."""


@torch.no_grad()
def conditions(
    model: Any, target: Any = None, *, near: Any = None, per_unit: bool = False
) -> pd.DataFrame:
    """The inequalities that make a network decide each row as the target does, each with its value,
    its slack and whether it holds.

    A ReLU network's inequalities depend on which units are on. Near a network, its own pattern of
    units holds: that is the default, and then all "decision" inequalities are satisfied exactly
    when the network computes the target. With `near` another network's pattern is assumed (for
    example the one before `edit`) and the unit inequalities, which say that the pattern still
    holds, are listed too: all satisfied is then sufficient. Smooth units (tanh, sigmoid, gelu) have
    no pattern; they are written as functions.

    Args:
        target: a gate, a formula or a `BooleanFunction`; by default `model.cfg.target`.
        near: a network of the same shape and activations whose pattern of units is assumed.
        units: list the inequalities of the pattern as well.

    Returns columns row, place (an output, or the unit whose state it is), kind ("decision" or
    "unit"), inequality (in symbols), numbers (in this network's weights), value (of the left side),
    slack (distance to the other side of the inequality, in the output's units before a sigmoid or
    tanh; negative where it fails), satisfied, and pattern, the units that are on.
    `frame.attrs["symbols"]` maps each symbol to its parameter.

    >>> from xor_mi.handmade import textbook_xor
    >>> conditions(textbook_xor())[["inequality", "slack"]].values.tolist()[2:]
    [['v1*(w11 + b1) + c > 0.5', 0.5], ['v1*(w11 + w12 + b1) + v2*(w21 + w22 + b2) + c < 0.5', 0.5]]

    Raises:
        XorMiError: no target, one of another width, or a `near` of another shape.
    """
    require_plain_mlp(model, "conditions")
    target = model.cfg.target if target is None else target
    if target is None:
        raise XorMiError("conditions hold for a target; give one, such as 'XOR'")
    function = BooleanFunction.of(target, model.cfg.d_in)
    if function.n_outputs != model.cfg.d_out:
        raise XorMiError(
            f"the target has {function.n_outputs} outputs; the network has {model.cfg.d_out}"
        )
    pattern_of = model if near is None else near
    require_plain_mlp(pattern_of, "the pattern of conditions")
    shape = [
        (m.layer_sizes, m.cfg.act_fn, m.cfg.out_act_fn, m.cfg.negative_slope, m.threshold)
        for m in (model, pattern_of)
    ]
    if shape[0] != shape[1]:
        raise XorMiError(
            f"near is a network of {shape[1]}; the conditions are for {shape[0]} (sizes, activations, slope, threshold)"
        )
    rows = function.rows()
    on = [layer.pre > 0 for layer in forward_float64(pattern_of, torch.tensor(rows))]
    pres = _assumed(model, torch.tensor(rows).double(), on)
    lines = []
    for index, row in enumerate(rows):
        bits = [layer[index].tolist() for layer in on]
        for kind, number, unit in _asked(model, per_unit or near is not None):
            place = layers_of(model.layer_sizes)[number + 1][unit]
            line = {"row": row_name(row), "place": place.name, "kind": kind}
            goal = function.tables[unit][index] if kind == "decision" else int(bits[number][unit])
            value, bound, wrap = pres[number][index, unit].item(), 0.0, ""
            if kind == "decision":
                value, bound, wrap = _decided_value(model, value)
            sign = (">" if goal else "<") if kind == "decision" else (">" if goal else "<=")
            slack = (value - bound) if goal else (bound - value)
            for column, symbols in (("inequality", True), ("numbers", False)):
                text = _Writer(model, symbols, row, bits).pre(number, unit)
                line[column] = f"{f'{wrap}({text})' if wrap else text} {sign} {bound:.6g}"
            line |= {
                "value": value,
                "slack": slack,
                "satisfied": slack > 0 or (sign == "<=" and slack == 0),
            }
            lines.append(line | {"pattern": _pattern(model, bits)})
    frame = pd.DataFrame(lines)
    frame.attrs["symbols"] = _symbols(model)
    return frame


def _asked(model: HookedMLP, units: bool) -> list[tuple[str, int, int]]:
    """(kind, layer, unit) of a row's inequalities; only units that have two states have one of
    their own.
    """
    last = model.cfg.n_layers
    found = [("decision", last, k) for k in range(model.cfg.d_out)]
    if units and model.cfg.act_fn in PIECEWISE_LINEAR and model.cfg.act_fn != "identity":
        found += [
            ("unit", layer, j) for layer in range(last) for j in range(model.cfg.d_hidden[layer])
        ]
    return found


def _assumed(model: HookedMLP, rows: Tensor, on: list[Tensor]) -> list[Tensor]:
    """The pre-activations of every layer, each unit taken to be in the given state."""
    pres, value = [], rows
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        pres.append(value @ weight.T + bias)
        value = model.activate(pres[-1], layer)
        if layer < model.cfg.n_layers and model.cfg.act_fn in PIECEWISE_LINEAR:
            unit, states = _hidden_unit(model), on[layer].numpy()
            factors = torch.from_numpy(unit.factors(states))
            value = pres[-1] * factors + torch.from_numpy(unit.constants(states))
    return pres


def _hidden_unit(model: HookedMLP) -> PiecewiseLinearUnit:
    return PiecewiseLinearUnit.of(model.cfg.act_fn, model.cfg.negative_slope)


def _decided_value(model: HookedMLP, readout: float) -> tuple[float, float, str]:
    """(what is compared, what with, the function written around it): the readout where the output
    activation can be undone.
    """
    act_fn, cut = model.cfg.out_act_fn, readout_cut(model)
    if act_fn == "identity" or (act_fn in ("sigmoid", "tanh") and abs(cut) < float("inf")):
        return readout, cut, ""
    output = model.activate(torch.tensor(readout, dtype=torch.float64), model.cfg.n_layers).item()
    return output, model.threshold, act_fn


def _pattern(model: HookedMLP, bits: list[list[bool]]) -> str:
    if model.cfg.act_fn not in PIECEWISE_LINEAR or model.cfg.act_fn == "identity":
        return "no pattern"
    hidden = layers_of(model.layer_sizes)[1:-1]
    names = [
        unit.name
        for layer, states in zip(hidden, bits, strict=False)
        for unit, state in zip(layer, states, strict=True)
        if state
    ]
    return ("on: " + ", ".join(names)) if names else "all off"


def _symbol(model: HookedMLP, layer: int, unit: int, source: int | None) -> str:
    """w12, b1, v1, c; w2_12 and b2_1 in deeper networks."""
    last = layer == model.cfg.n_layers
    letter = {(False, True): "v", (True, True): "c", (False, False): "w", (True, False): "b"}[
        source is None, last
    ]
    if not last and model.cfg.n_layers > 1:
        letter += f"{layer + 1}_"
    indices = [] if last and model.cfg.d_out == 1 else [unit + 1]
    indices += [] if source is None else [source + 1]
    return letter + ("_" if max(indices, default=0) > 9 else "").join(map(str, indices))


def _symbols(model: HookedMLP) -> dict[str, str]:
    return {
        _symbol(model, entry.layer, entry.unit, entry.source): entry.name
        for entry in entries(model)
    }


class _Writer:
    """One row's sums as text, in symbols or in numbers."""

    def __init__(
        self, model: HookedMLP, symbols: bool, row: tuple[int, ...], on: list[list[bool]]
    ) -> None:
        self.model, self.symbols, self.row, self.on = model, symbols, row, on
        self.weights = model.float64_layers()

    def pre(self, layer: int, unit: int) -> str:
        """A unit's pre-activation: the inputs that are 1, or the units before it that are on,
        weighted, plus the bias.
        """
        terms = self._terms(layer, unit, short=False)
        text = _sum([*terms, self._entry(layer, unit, None)])
        if layer > 0 and len(text) > WRITTEN:
            text = _sum([*self._terms(layer, unit, short=True), self._entry(layer, unit, None)])
        return text

    def _entry(self, layer: int, unit: int, source: int | None) -> str:
        if self.symbols:
            return _symbol(self.model, layer, unit, source)
        weight, bias = self.weights[layer]
        return f"{(bias[unit] if source is None else weight[unit, source]).item():.4g}"

    def _terms(self, layer: int, unit: int, short: bool) -> list[str]:
        if layer == 0:
            return [self._entry(0, unit, i) for i, bit in enumerate(self.row) if bit]
        found = []
        for source in range(len(self.on[layer - 1])):
            post = self._post(layer - 1, source, short)
            if post:
                weight = self._entry(layer, unit, source)
                found.append(weight if post == "1" else f"{weight}*{post}")
        return found

    def _post(self, layer: int, unit: int, short: bool) -> str:
        """What a unit hands on, as a factor; '' where that is nothing, '1' where it is one."""
        act_fn = self.model.cfg.act_fn
        if act_fn in PIECEWISE_LINEAR:
            unit_map = _hidden_unit(self.model)
            off, constant = unit_map.factor_off, unit_map.constant_on
            state = self.on[layer][unit]
            if act_fn == "heaviside":
                return "1" if state and constant else ""
            if not state and not off:
                return ""
            if short:
                return f"h{layer}.{unit}"
            text = self.pre(layer, unit)
            factor = "" if state or off == 1 else f"{off:.4g}*"
            return f"{factor}({text})" if " " in text or factor or text.startswith("-") else text
        return f"h{layer}.{unit}" if short else f"{act_fn}({self.pre(layer, unit)})"


def _sum(terms: list[str]) -> str:
    return " + ".join(terms).replace("+ -", "- ")
