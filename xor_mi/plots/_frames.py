"""a finding with steps -> what a slider says and shows at each.

The same words and numbers stand in the figure and in report.json.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xor_mi.circuits import Circuit
from xor_mi.errors import XorMiError, require_kind
from xor_mi.finding import ROUNDING, in_words
from xor_mi.geometry import InputPath
from xor_mi.handmade._edits import entries
from xor_mi.margins import Conditions, WeightSweep, weight_symbols
from xor_mi.model import decide
from xor_mi.plots._style import decision_text, point_text


@dataclass(frozen=True)
class SliderFrame:
    """One position of a slider.

    Attributes:
        label: what it says.
        values: the bars that it shows, name -> number.
    """

    label: str
    values: dict[str, float]


def path_frames(path: InputPath) -> list[SliderFrame]:
    """Of each point of a path: where it is, what is decided there, and the value of every unit."""
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
    """Of each step of a moved weight: its value, what comes of it, and every condition's slack.

    What comes of it is, with circuits, the verdict and the readout, else how many conditions hold.

    Args:
        circuits: that of each of `sweep.models`, in order.

    Raises:
        XorMiError: circuits of another number than the sweep has steps.
    """
    require_kind("sweep", sweep, WeightSweep, give="what move_weight returns")
    if circuits is not None:
        require_kind("circuits", circuits, Sequence, give="a circuit for each of sweep.models")
    if circuits is not None and len(circuits) != len(sweep):
        raise XorMiError(
            f"{len(circuits)} circuits for {len(sweep)} steps; give one for each of sweep.models"
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
    """The size of the largest weight or bias of the layer that the moved one is in.

    The network is as it was; less than a millionth of this is rounding.
    """
    model = sweep.models[sweep.start]
    (moved,) = entries(model, sweep.parameter)
    weight, bias = model.float64_layers()[moved.layer]
    return max(weight.abs().max().item(), bias.abs().max().item())


def symbol_of(sweep: WeightSweep) -> str:
    """The short name of the weight that is moved."""
    symbols = weight_symbols(sweep.models[0])
    return next(one for one, parameter in symbols.items() if parameter == sweep.parameter)


def _slack_by_name(held: Conditions) -> dict[str, float]:
    """'00 y0' -> slack; a decision that is several inequalities has '00 y0 (2)' and so on too."""
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
