"""gates -> a network written by hand, in which the gate of every unit is known in advance.

A gate is one unit exactly when a plane separates its ones from its zeros (14 of the 16 gates of two
inputs; XOR and XNOR are the other two). `from_gates` takes the smallest weights whose
pre-activation is at least 1 on the gate's ones and at most -1 on its zeros.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from xor_mi.errors import XorMiError, unknown
from xor_mi.handmade._separation import separating_weights
from xor_mi.kinds import ActivationName, Levels, Target
from xor_mi.model import ACTIVATIONS, HookedMLP, HookedMLPConfig
from xor_mi.truth import MAX_INPUTS, BooleanFunction, row_name, truth_rows


def textbook_xor(*, input_levels: Levels = (0.0, 1.0)) -> HookedMLP:
    """The XOR network of Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.1.

    Its outputs are exactly 0, 1, 1, 0.

    Hidden unit 0 is relu(x0 + x1) (OR), unit 1 is relu(x0 + x1 - 1) (AND), the output is h0 - 2 h1,
    decided at 0.5.

    Args:
        input_levels: the numbers that stand for bit 0 and bit 1. With other levels than the book's
            0 and 1, the first layer's weights are changed so that it computes the same.
    """
    levels = as_levels(input_levels)
    first = over_levels(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([0.0, -1.0]), levels)
    return HookedMLP.from_weights(
        [first, ([[1, -2]], [0])],
        act_fn="relu",
        decision_threshold=0.5,
        loss_fn="mse",
        target="XOR",
        input_levels=levels,
        dtype=torch.float32,
    )


def from_gates(
    gates: Sequence[Target],
    target: Target = "XOR",
    *,
    act_fn: ActivationName | None = None,
    n_inputs: int = 2,
    input_levels: Levels = (0.0, 1.0),
) -> HookedMLP:
    """A network n-k-m from any two-level netlist: hidden unit i computes gates[i].

    The outputs read the hidden units and decide `target` at 0.

    Args:
        gates: 1 to 12 gates of n_inputs inputs, each a name, a formula or a `BooleanFunction`.
        target: what to decide, with one or several outputs; the gates must determine it.
        act_fn: by default relu if relu units can carry these gates, else heaviside. For XOR two
            pairs need heaviside, {OR, NAND} and {x0>=x1, x1>=x0}: relu is convex, so both units
            grow towards opposite corners and their sum is largest there.
        n_inputs: the number of inputs of the gates and of the network.
        input_levels: the numbers that stand for bit 0 and bit 1.

    >>> from_gates(["OR", "AND"]).fc1.weight.tolist()
    [[2.0, 2.0], [2.0, 2.0]]

    Raises:
        XorMiError: a gate that no single unit can compute, gates that do not determine the target,
            or hidden values that no plane separates.
    """
    functions = _as_gates(gates, n_inputs)
    is_known = isinstance(act_fn, str) and act_fn in ACTIVATIONS
    if act_fn is not None and not is_known:
        raise unknown("activation", act_fn, ACTIVATIONS, where="known activations")
    function = BooleanFunction.of(target, n_inputs)
    levels = as_levels(input_levels)
    # against the larger level: the linear program takes 1e-10 for 0
    largest = max(map(abs, levels))
    rows = np.array(levels)[np.array(truth_rows(n_inputs))] / largest
    weight, bias = _stacked([unit_weights(gate, rows) for gate in functions])
    hidden_layer = weight / largest, bias
    names = " and ".join(gate.name for gate in functions)
    _require_determined(names, functions, function)
    bits = np.array([gate.bits for gate in functions]).T
    candidates = ("relu", "heaviside") if act_fn is None else (act_fn,)
    for tried in candidates:
        hidden = ACTIVATIONS[tried](torch.from_numpy(rows @ weight.T + bias)).numpy()
        readout = _readout(hidden, bits, function)
        if readout is not None:
            return HookedMLP.from_weights(
                [hidden_layer, readout],
                act_fn=tried,
                target=function,
                input_levels=levels,
                dtype=torch.float32,
            )
    if act_fn is None:
        reason = f"{names} do not admit {function.name}: no line separates the readout"
        raise XorMiError(f"{reason}; for XOR try OR and AND")
    reason = f"{names} do not admit {function.name} with {act_fn} units"
    raise XorMiError(
        f"{reason}: no line separates the readout; leave act_fn to be chosen, or try OR and AND"
    )


def as_levels(input_levels: Levels) -> tuple[float, float]:
    """The numbers for bit 0 and bit 1, checked as in a network's config."""
    return HookedMLPConfig(input_levels=input_levels).input_levels


def over_levels(
    weight: Float[ndarray, "unit source"],
    bias: Float[ndarray, " unit"],
    levels: tuple[float, float],
) -> tuple[Float[ndarray, "unit source"], Float[ndarray, " unit"]]:
    """Weights and biases over bits -> those over the numbers that stand for bit 0 and bit 1."""
    low, high = levels
    # a bit is (number - low) / (high - low)
    scale = high - low
    # adding zero, so that no weight is written -0.0
    return weight / scale + 0.0, bias - weight.sum(1) * low / scale + 0.0


def unit_weights(
    gate: BooleanFunction, points: Float[ndarray, "row d_in"]
) -> tuple[Float[ndarray, " d_in"], float]:
    """The weights and the bias of one unit that computes this gate on these points.

    There is one point per row of the gate's table.

    Raises:
        XorMiError: no single unit computes the gate.
    """
    weights = separating_weights(points, np.array(gate.bits))
    if weights is None:
        raise XorMiError(
            f"no single unit is {gate.name}: no line separates its ones from its zeros; "
            "use two units, such as OR and AND, or from_formula"
        )
    return weights


def _as_gates(gates: Sequence[Target], n_inputs: int) -> list[BooleanFunction]:
    """Gates as a caller gives them, each checked to have one output."""
    is_list = isinstance(gates, Sequence) and not isinstance(gates, str)
    if not is_list or not 1 <= len(gates) <= MAX_INPUTS:
        count = f"{len(gates)} gates" if is_list else repr(gates)
        raise XorMiError(
            f"{count} given; from_gates takes 1 to {MAX_INPUTS} gates in a list, "
            "such as ['OR', 'AND']"
        )
    functions = [BooleanFunction.of(gate, n_inputs) for gate in gates]
    for function in functions:
        if function.n_outputs != 1:
            raise XorMiError(
                f"{function.name} has {function.n_outputs} outputs; a hidden unit is a gate "
                "with one"
            )
    return functions


def _stacked(
    units: Sequence[tuple[ndarray, float]],
) -> tuple[Float[ndarray, "unit d_in"], Float[ndarray, " unit"]]:
    """The weights and biases of single units -> those of their layer."""
    weights, biases = zip(*units, strict=True)
    return np.array(weights), np.array(biases)


def _readout(
    hidden: Float[ndarray, "row unit"], bits: Int[ndarray, "row unit"], target: BooleanFunction
) -> tuple[Float[ndarray, "output unit"], Float[ndarray, " output"]] | None:
    """Weights over these hidden values that decide the target; None if there are none.

    They must also decide it where each unit is replaced by its two levels.
    """
    points = np.concatenate([hidden, _two_levels(hidden, bits)])
    units: list[tuple[ndarray, float]] = []
    for table in target.tables:
        # the table twice: once for the hidden values, once for their two levels
        unit = separating_weights(points, np.array(table * 2))
        if unit is None:
            return None
        units.append(unit)
    return _stacked(units)


def _require_determined(
    names: str, gates: Sequence[BooleanFunction], target: BooleanFunction
) -> None:
    """Refuse gates that are equal on two rows on which the target differs."""
    first_row_of: dict[tuple[int, ...], int] = {}
    rows = target.rows()
    for number, row in enumerate(rows):
        bits = tuple(gate.bits[number] for gate in gates)
        first = first_row_of.setdefault(bits, number)
        if any(table[first] != table[number] for table in target.tables):
            raise XorMiError(
                f"{names} do not admit {target.name}: they give {row_name(bits)} on both "
                f"{row_name(rows[first])} and {row_name(row)}, where {target.name} differs; "
                "OR and AND, or x0>x1 and x1>x0, would do for XOR"
            )


def _two_levels(
    hidden: Float[ndarray, "row unit"], bits: Int[ndarray, "row unit"]
) -> Float[ndarray, "row unit"]:
    """Each unit replaced by the mean of its values where its bit is 0 and where it is 1.

    A network of gates must compute the same afterwards, or no reading of it would be faithful.
    """
    levels = hidden
    for bit in (0, 1):
        has_bit = bits == bit
        mean = (hidden * has_bit).sum(0) / has_bit.sum(0).clip(min=1)
        levels = np.where(has_bit, mean, levels)
    return levels
