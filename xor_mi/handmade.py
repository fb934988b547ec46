"""gates -> a network whose weights are written by hand, so that what every unit does is known beforehand.

A two-input gate is one unit exactly when a line separates its ones from its zeros (14 of the 16; XOR and XNOR are the other two).
`from_gates` takes the smallest whole-number weights whose pre-activation is at least 1 on the gate's ones and at most -1 on its zeros.
"""

from itertools import product
from typing import Any

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.model import ACTIVATIONS, HookedMLP
from xor_mi.truth import GATES, BooleanFunction, gate_name, row_name, truth_rows


def textbook_xor() -> HookedMLP:
    """The XOR network of Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.1: output 0, 1, 1, 0 exactly.

    Hidden unit 0 is relu(x0 + x1) (OR), unit 1 is relu(x0 + x1 - 1) (AND), the output is h0 - 2 h1, decided at 0.5.
    """
    layers = [([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])]
    return HookedMLP.from_weights(layers, act_fn="relu", decision_threshold=0.5, loss_fn="mse", target="XOR")


def from_gates(gates: list[str] | tuple[str, ...], target: Any = "XOR", act_fn: str | None = None) -> HookedMLP:
    """Hidden gates by name -> a 2-k-1 network whose unit i is gates[i] and whose output decides `target` at 0.

    Args:
        act_fn: by default relu where relu units can carry these gates, else heaviside. For XOR two pairs need the latter, {OR, NAND}
            and {x0>=x1, x1>=x0}: relu is convex, so both units grow towards opposite corners and their sum is largest there.

    >>> from_gates(["OR", "AND"]).fc1.weight.tolist()
    [[2.0, 2.0], [2.0, 2.0]]

    Raises:
        XorMiError: a gate that no single unit can be, gates that do not determine the target, or a readout that no line separates.
    """
    names = [gate_name(gate) for gate in gates]
    if not 1 <= len(names) <= 3:
        raise XorMiError(f"{len(names)} gates given; from_gates takes 1 to 3")
    if act_fn is not None and act_fn not in ACTIVATIONS:
        raise unknown("activation", act_fn, ACTIVATIONS, where="known activations")
    function = BooleanFunction.of(target, 2)
    units = [_unit_weights(name) for name in names]
    _require_determined(names, function)
    weight, bias = torch.tensor([w for w, _ in units]).float(), torch.tensor([b for _, b in units]).float()
    pre = torch.tensor(truth_rows(2)).float() @ weight.T + bias
    bits = torch.tensor([GATES[name] for name in names]).T
    for act in ("relu", "heaviside") if act_fn is None else (act_fn,):
        hidden = ACTIVATIONS[act](pre)
        readout = _readout(torch.cat([hidden, _two_levels(hidden, bits)]), torch.tensor(function.bits * 2))
        if readout is not None:
            return HookedMLP.from_weights([(weight, bias), readout], act_fn=act, target=function)
    raise XorMiError(
        f"{' and '.join(names)} do not admit {function.name}{f' with {act_fn} units' if act_fn else ''}: no line separates the readout; "
        + ("leave act_fn to be chosen, or try OR and AND" if act_fn else "for XOR try OR and AND")
    )


def _unit_weights(gate: str) -> tuple[tuple[int, int], int]:
    """Smallest whole numbers w, b with w.x + b >= 1 on the gate's ones and <= -1 on its zeros."""
    signs = [2 * bit - 1 for bit in GATES[gate]]
    grid = sorted(product(range(-2, 3), range(-2, 3), range(-3, 4)), key=lambda v: (sum(map(abs, v)), v))
    for w0, w1, b in grid:
        if all(sign * (w0 * x0 + w1 * x1 + b) >= 1 for sign, (x0, x1) in zip(signs, truth_rows(2), strict=True)):
            return (w0, w1), b
    raise XorMiError(f"no single unit is {gate}: no line separates its ones from its zeros; use two units, such as OR and AND")


def _require_determined(names: list[str], function: BooleanFunction) -> None:
    seen: dict[tuple[int, ...], int] = {}
    for index, row in enumerate(truth_rows(2)):
        bits = tuple(GATES[name][index] for name in names)
        other = seen.setdefault(bits, index)
        if function.bits[other] != function.bits[index]:
            raise XorMiError(
                f"{' and '.join(names)} do not admit {function.name}: they give {row_name(bits)} on both {row_name(truth_rows(2)[other])} "
                f"and {row_name(row)}, where {function.name} differs; OR and AND, or x0>x1 and x1>x0, would do for XOR"
            )


def _two_levels(hidden: Tensor, bits: Tensor) -> Tensor:
    """Each unit replaced by the mean of its values where its bit is 0 and where it is 1 (a gate network must survive this)."""
    levels = hidden.clone()
    for bit in (0, 1):
        chosen = bits == bit
        mean = (hidden * chosen).sum(0) / chosen.sum(0).clamp(min=1)
        levels = torch.where(chosen, mean, levels)
    return levels


def _readout(hidden: Tensor, goal: Tensor) -> tuple[Tensor, Tensor] | None:
    """Readout weights in whole numbers, bias in halves: the smallest that decide every row by at least 1/4, or None."""
    weights = torch.tensor(list(product(range(-4, 5), repeat=hidden.shape[1]))).float()
    biases = torch.arange(-4, 4.5, 0.5)
    outputs = (hidden @ weights.T)[:, :, None] + biases
    margins = (outputs * (2 * goal - 1)[:, None, None]).amin(0)
    cost = weights.abs().sum(1, keepdim=True) + biases.abs() - margins.clamp(max=0.5)
    cost[margins < 0.25] = torch.inf
    if torch.isinf(cost).all():
        return None
    best = int(cost.argmin())
    return weights[best // len(biases)][None], biases[best % len(biases)][None]
