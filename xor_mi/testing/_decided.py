"""model + function -> the rows that the model decides differently, in float64 or in its own
precision.
"""

from dataclasses import dataclass

import torch

from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction
from xor_mi.values import forward_float64


@dataclass(frozen=True)
class WrongRow:
    """A row whose decisions differ from those of a function; decisions are 0, 1 or `UNDECIDED`, one
    per output of the function. `outputs` are the network's outputs.
    """

    row: tuple[int, ...]
    goal: tuple[int, ...]
    in_float64: tuple[int, ...]
    in_its_precision: tuple[int, ...]
    outputs: tuple[float, ...]


def wrong_rows(model: HookedMLP, function: BooleanFunction) -> list[WrongRow]:
    """The rows that are decided wrong in float64 or in the network's own precision, in order."""
    with torch.no_grad():
        outputs = forward_float64(model, model.rows(function.rows()))[-1].post
    in_float64 = model.rule.decide(outputs).tolist()
    in_its_precision = decisions(model).tolist()
    goals = list(zip(*function.tables, strict=True))
    wrong = []
    for k, row in enumerate(function.rows()):
        unrounded, rounded = tuple(in_float64[k]), tuple(in_its_precision[k])
        if unrounded == goals[k] == rounded:
            continue
        wrong.append(
            WrongRow(
                row=tuple(row),
                goal=tuple(goals[k]),
                in_float64=unrounded,
                in_its_precision=rounded,
                outputs=tuple(outputs[k].tolist()),
            )
        )
    return wrong
