"""a finding with steps -> the label and the bars of a slider at each step.

The figure and report.json have the same words and numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xor_mi.circuits import Circuit
from xor_mi.errors import XorMiError, require_kind
from xor_mi.finding import ROUNDING, count_text, in_words
from xor_mi.geometry import InputPath
from xor_mi.handmade._edits import entries
from xor_mi.margins import Conditions, WeightSweep, weight_symbols
from xor_mi.model import decide
from xor_mi.plots._style import decision_text, point_text


@dataclass(frozen=True)
class SliderFrame:
    """One position of a slider.

    Attributes:
        label: the text at the slider.
        values: its bars, name -> number.
    """

    label: str
    values: dict[str, float]


def path_frames(path: InputPath) -> list[SliderFrame]:
    """For each point of a path: where it is, the decision there, and the value of every unit."""
    require_kind("path", path, InputPath, give="what geometry.path returns")
    names = [unit.name for unit in path.units]
    decided = decide(path.scores, cut=path.threshold).tolist()
    frames: list[SliderFrame] = []
    for n, t in enumerate(path.t.tolist()):
        point = point_text(path.inputs[n].tolist(), 3)
        decisions = ", ".join(decision_text(bit) for bit in decided[n])
        label = f"t = {0 if t < ROUNDING else t:.3g}, input {point}, decided {decisions}"
        values = dict(zip(names, path.values[n].tolist(), strict=True))
        frames.append(SliderFrame(label, values))
    return frames


def weight_frames(
    sweep: WeightSweep, circuits: Sequence[Circuit] | None = None
) -> list[SliderFrame]:
    """For each step of a moved weight: its value, the outcome, and every condition's slack.

    The outcome is the verdict and the readout if circuits are given, otherwise how many conditions
    hold.

    Args:
        circuits: the circuit of each of `sweep.models`, in order.

    Raises:
        XorMiError: not one circuit for each step of the sweep.
    """
    require_kind("sweep", sweep, WeightSweep, give="what move_weight returns")
    if circuits is not None:
        require_kind("circuits", circuits, Sequence, give="a circuit for each of sweep.models")
    if circuits is not None and len(circuits) != len(sweep):
        raise XorMiError(
            f"circuits has {count_text(len(circuits), 'circuit')}, and the sweep "
            f"{count_text(len(sweep), 'step')}; give one for each of sweep.models"
        )
    symbol = symbol_of(sweep)
    frames: list[SliderFrame] = []
    for step, held in enumerate(sweep.conditions):
        as_it_is = " (as it is)" if step == sweep.start else ""
        if circuits is None:
            outcome = f"{held.n_satisfied} of {len(held)} conditions hold"
        else:
            outcome = _verdict(circuits[step])
        value = sweep.values[step]
        written = 0 if abs(value) < ROUNDING * largest_weight(sweep) else value
        label = f"{symbol} = {written:.4g}{as_it_is}: {outcome}"
        frames.append(SliderFrame(label, _slack_by_name(held)))
    return frames


def largest_weight(sweep: WeightSweep) -> float:
    """The size of the largest weight or bias in the layer of the moved one.

    It is that of the unmoved network; less than a millionth of it is rounding.
    """
    model = sweep.models[sweep.start]
    (moved,) = entries(model, sweep.parameter)
    weight, bias = model.float64_layers()[moved.layer]
    return max(weight.abs().max().item(), bias.abs().max().item())


def symbol_of(sweep: WeightSweep) -> str:
    """The symbol of the moved weight, such as w12."""
    symbols = weight_symbols(sweep.models[0])
    return next(one for one, parameter in symbols.items() if parameter == sweep.parameter)


def _slack_by_name(held: Conditions) -> dict[str, float]:
    """'00 y0' -> slack; a decision with several inequalities also has '00 y0 (2)' and so on."""
    slacks: dict[str, float] = {}
    for condition in held:
        name, number = f"{condition.row} {condition.place}", 1
        unique = name
        while unique in slacks:
            number += 1
            unique = f"{name} ({number})"
        slacks[unique] = condition.slack
    return slacks


def _verdict(circuit: Circuit) -> str:
    verdict = in_words(circuit.verdict)
    return f"{verdict}, {circuit.readout}" if circuit.readout else verdict
