"""one weight moved, all others unchanged -> what the network does at each value.

The values are those of an even grid that reaches past both ends of the weight's slack, and the
weight's own value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi import geometry
from xor_mi.errors import whole_number
from xor_mi.finding import Finding
from xor_mi.geometry import Boundary, InputPlane
from xor_mi.handmade import edit
from xor_mi.kinds import Place, Target
from xor_mi.margins._conditions import Conditions, conditions
from xor_mi.margins._slack import WeightSlack, rounding_of_weights, slack_to_flip
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar
from xor_mi.truth import row_name
from xor_mi.values import forward_float64

PAST_THE_SLACK = 1.5
"""The grid reaches this many times as far as the weight may move before a decision changes."""
LONGEST_SIDE = 2.0
"""A side without an end, or with a far one, reaches at most this many times as far as the other."""
SURFACE_POINTS, BOUNDARY_POINTS = 31, 61
"""Grid points per side of each step's surface, and of the boundary of smooth units."""


@dataclass(frozen=True, eq=False)
class WeightSweep(Finding):
    """A network while one of its weights is moved.

    Attributes:
        parameter: the weight, such as "fc1.weight[0, 1]".
        values: its value at each step, ascending.
        start: the step at which it has its own value.
        slack: how far it may move before a decision changes, except decisions made by rounding
            alone.
        models: the network at each step.
        rows: the input rows.
        outputs: the outputs at each step, [step, row, d_out].
        scores: the score of each decision, [step, row, decision]: the outputs, or with argmax over
            two outputs the second minus the first.
        decisions: 1, 0, or -1 for undecided, [step, row, decision].
        conditions: the inequalities at each step.
        planes, boundaries: the first decision's score over the input plane at each step, and where
            the decision changes; empty unless there are two inputs.
    """

    parameter: str
    values: tuple[float, ...]
    start: int
    slack: WeightSlack
    models: tuple[HookedMLP, ...] = field(repr=False)
    rows: tuple[str, ...] = field(repr=False)
    outputs: Float[Tensor, "step row d_out"] = field(repr=False)
    scores: Float[Tensor, "step row decision"] = field(repr=False)
    decisions: Int[Tensor, "step row decision"] = field(repr=False)
    conditions: tuple[Conditions, ...] = field(repr=False)
    planes: tuple[InputPlane, ...] = field(repr=False)
    boundaries: tuple[Boundary, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.values)

    def frame(self) -> pd.DataFrame:
        """One line per step, row and decision.

        Columns step, value (of the weight), row, place (the output), output (the score), decision,
        slack (of its condition; the smallest if there are several), satisfied.
        """
        places = [unit.name for unit in self.models[0].decision_units]
        lines: list[dict[str, object]] = []
        for step, inequalities in enumerate(self.conditions):
            # the tightest condition comes last, and is the one that is kept
            by_slack = sorted(inequalities, key=lambda one: -one.slack)
            condition_of = {(one.row, one.place): one for one in by_slack}
            for r, row in enumerate(self.rows):
                for k, place in enumerate(places):
                    condition = condition_of[row, place]
                    line = {
                        "step": step,
                        "value": self.values[step],
                        "row": row,
                        "place": place,
                        "output": self.scores[step, r, k].item(),
                        "decision": self.decisions[step, r, k].item(),
                        "slack": condition.slack,
                        "satisfied": condition.satisfied,
                    }
                    lines.append(line)
        return pd.DataFrame(lines)

    def __str__(self) -> str:
        slack = self.slack
        return (
            f"{self.parameter} moved from {self.values[0]:.4g} to {self.values[-1]:.4g} in "
            f"{len(self)} steps; it is {slack.value:.4g}, and every decision is kept between "
            f"{slack.lower:.4g} and {slack.upper:.4g}"
        )


@torch.no_grad()
def move_weight(
    model: HookedMLP,
    parameter: Place | None = None,
    *,
    target: Target | None = None,
    n_steps: int = 25,
    progress: bool = True,
) -> WeightSweep:
    """Move one weight past both ends of its slack, and record the network at each step.

    Args:
        parameter: the weight, named as in `handmade.edit`. For a whole tensor, or by default for
            all weights, the one that may move least is moved. Moves smaller than a millionth of the
            weights of every layer are rounding, and what they flip is left out.
        target: what the conditions are for; by default `model.cfg.target`.
        n_steps: how many values the even grid has; the weight's own value is one more.
        progress: show a bar if the work takes over half a second.

    >>> from xor_mi.handmade import textbook_xor
    >>> sweep = move_weight(textbook_xor(), "fc2.bias[0]", n_steps=3)
    >>> sweep.values, [held.n_satisfied for held in sweep.conditions]
    ((-0.75, 0.0, 0.75), [2, 4, 2])

    Raises:
        XorMiError: no target, a parameter the network does not have, fewer than 2 steps.
    """
    require_plain_mlp(model, "moving a weight")
    n_steps = whole_number("n_steps", n_steps, at_least=2)
    floor = rounding_of_weights(model)
    slack = slack_to_flip(model, parameter, floor=floor, progress=progress).smallest
    values = _values_to_try(slack, n_steps)
    models = tuple(edit(model, {slack.parameter: value}) for value in values)
    bar = progress_bar(models, doing="moving a weight", unit="step", progress=progress)
    conditions_by_step = tuple(conditions(moved, target) for moved in bar)
    outputs = torch.stack([forward_float64(moved, moved.rows())[-1].post for moved in models])
    is_planar = model.cfg.d_in == 2
    return WeightSweep(
        parameter=slack.parameter,
        values=values,
        # exactly equal: `_values_to_try` includes the weight's own value unchanged
        start=values.index(slack.value),
        slack=slack,
        models=models,
        rows=tuple(row_name(row) for row in model.read_rows()),
        outputs=outputs,
        scores=model.rule.scores(outputs),
        decisions=model.rule.decide(outputs),
        conditions=conditions_by_step,
        planes=_planes(models) if is_planar else (),
        boundaries=_boundaries(models) if is_planar else (),
    )


def _values_to_try(slack: WeightSlack, n_steps: int) -> tuple[float, ...]:
    """An even grid past both ends of the slack, and the weight's own value."""
    finite_ends = [end for end in (slack.down, slack.up) if isfinite(end)]
    if not finite_ends:
        # no value of it changes a decision, so it is moved by its own size
        finite_ends = [max(1.0, abs(slack.value))]
    furthest = LONGEST_SIDE * max(finite_ends)
    low = slack.value - PAST_THE_SLACK * min(slack.down, furthest)
    high = slack.value + PAST_THE_SLACK * min(slack.up, furthest)
    grid = np.linspace(low, high, n_steps).tolist()
    # a set, because the grid may hit the weight's own value
    return tuple(sorted({*grid, slack.value}))


def _planes(models: Sequence[HookedMLP]) -> tuple[InputPlane, ...]:
    return tuple(geometry.input_plane(moved, n_points=SURFACE_POINTS) for moved in models)


def _boundaries(models: Sequence[HookedMLP]) -> tuple[Boundary, ...]:
    return tuple(geometry.boundary(moved, n_points=BOUNDARY_POINTS) for moved in models)
