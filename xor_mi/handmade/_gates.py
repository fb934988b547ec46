"""gates -> a network whose weights are written by hand, so that what every unit does is known
beforehand.

A gate is one unit exactly when a plane separates its ones from its zeros (14 of the 16 gates of two
inputs; XOR and XNOR are the other two). `from_gates` takes the smallest weights whose
pre-activation is at least 1 on the gate's ones and at most -1 on its zeros."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy import ndarray

from xor_mi.errors import XorMiError, unknown
from xor_mi.handmade._separation import separating_weights
from xor_mi.model import ACTIVATIONS, HookedMLP
from xor_mi.truth import MAX_INPUTS, BooleanFunction, row_name, truth_rows


def textbook_xor() -> HookedMLP:
    """The XOR network of Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.1:
    output 0, 1, 1, 0 exactly.

    Hidden unit 0 is relu(x0 + x1) (OR), unit 1 is relu(x0 + x1 - 1) (AND), the output is h0 - 2 h1,
    decided at 0.5."""
    layers = [([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])]
    return HookedMLP.from_weights(
        layers, act_fn="relu", decision_threshold=0.5, loss_fn="mse", target="XOR"
    )


def from_gates(
    gates: Sequence[Any], target: Any = "XOR", *, act_fn: str | None = None, n_inputs: int = 2
) -> HookedMLP:
    """Any two-level netlist: hidden gates -> an n-k-m network whose unit i is gates[i] and whose
    outputs decide `target` at 0.

    Args:
        gates: 1 to 12 gates of n_inputs inputs, each a name, a formula or a `BooleanFunction`.
        target: what to decide, with one or several outputs; the gates must determine it.
        act_fn: by default relu where relu units can carry these gates, else heaviside. For XOR two
            pairs need the latter, {OR, NAND} and {x0>=x1, x1>=x0}: relu is convex, so both units
            grow towards opposite corners and their sum is largest there.

    >>> from_gates(["OR", "AND"]).fc1.weight.tolist()
    [[2.0, 2.0], [2.0, 2.0]]

    Raises:
        XorMiError: a gate that no single unit can be, gates that do not determine the target, or a
            readout that no plane separates.
    """
    if (
        isinstance(gates, str)
        or not isinstance(gates, Sequence)
        or not 1 <= len(gates) <= MAX_INPUTS
    ):
        count = (
            f"{len(gates)} gates"
            if isinstance(gates, Sequence) and not isinstance(gates, str)
            else repr(gates)
        )
        raise XorMiError(
            f"{count} given; from_gates takes 1 to {MAX_INPUTS} gates in a list, such as ['OR', 'AND']"
        )
    if act_fn is not None and act_fn not in ACTIVATIONS:
        raise unknown("activation", act_fn, ACTIVATIONS, where="known activations")
    functions = [_of_one_output(gate, n_inputs) for gate in gates]
    function = BooleanFunction.of(target, n_inputs)
    rows = np.array(truth_rows(n_inputs), dtype=float)
    units = [unit_weights(gate, rows) for gate in functions]
    names = " and ".join(gate.name for gate in functions)
    _require_determined(names, functions, function)
    weight, bias = np.array([w for w, _ in units]), np.array([b for _, b in units])
    bits = np.array([gate.bits for gate in functions]).T
    for act in ("relu", "heaviside") if act_fn is None else (act_fn,):
        hidden = ACTIVATIONS[act](torch.from_numpy(rows @ weight.T + bias)).numpy()
        points = np.concatenate([hidden, _two_levels(hidden, bits)])
        readout = [separating_weights(points, np.array(table * 2)) for table in function.tables]
        if None not in readout:
            last = (np.array([w for w, _ in readout]), np.array([b for _, b in readout]))  # pyright: ignore
            return HookedMLP.from_weights(
                [(weight, bias), last], act_fn=act, target=function, dtype=torch.float32
            )
    advice = "leave act_fn to be chosen, or " if act_fn else ""
    raise XorMiError(
        f"{names} do not admit {function.name}{f' with {act_fn} units' if act_fn else ''}: no line separates the readout; "
        + (f"{advice}try OR and AND" if act_fn else "for XOR try OR and AND")
    )


def unit_weights(gate: BooleanFunction, points: ndarray) -> tuple[ndarray, float]:
    """The weights of one unit that is this gate on these points, one per row of its table.

    Raises:
        XorMiError: there are none.
    """
    found = separating_weights(points, np.array(gate.bits))
    if found is None:
        raise XorMiError(
            f"no single unit is {gate.name}: no line separates its ones from its zeros; use two units, such as OR and AND, or from_formula"
        )
    return found


def _of_one_output(gate: Any, n_inputs: int) -> BooleanFunction:
    function = BooleanFunction.of(gate, n_inputs)
    if function.n_outputs != 1:
        raise XorMiError(
            f"{function.name} has {function.n_outputs} outputs; a hidden unit is a gate with one"
        )
    return function


def _require_determined(
    names: str, gates: Sequence[BooleanFunction], function: BooleanFunction
) -> None:
    seen: dict[tuple[int, ...], int] = {}
    rows = function.rows()
    for index, row in enumerate(rows):
        bits = tuple(gate.bits[index] for gate in gates)
        other = seen.setdefault(bits, index)
        if any(table[other] != table[index] for table in function.tables):
            raise XorMiError(
                f"{names} do not admit {function.name}: they give {row_name(bits)} on both {row_name(rows[other])} "
                f"and {row_name(row)}, where {function.name} differs; OR and AND, or x0>x1 and x1>x0, would do for XOR"
            )


def _two_levels(hidden: ndarray, bits: ndarray) -> ndarray:
    """Each unit replaced by the mean of its values where its bit is 0 and where it is 1 (a gate
    network must survive this).
    """
    levels = hidden.copy()
    for bit in (0, 1):
        chosen = bits == bit
        mean = (hidden * chosen).sum(0) / chosen.sum(0).clip(min=1)
        levels = np.where(chosen, mean, levels)
    return levels
