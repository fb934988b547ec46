"""what was measured about one claim, before it is put into words. No sentence in here.

`_wording` turns these facts into sentences, and `Evidence` is these facts with their sentences.
Programs ask the facts; only people read the sentences.
"""

from dataclasses import dataclass
from typing import Literal

from xor_mi.graph import Unit

Kind = Literal["substitution", "interchange", "joint", "necessary", "sufficient", "control"]
"""What is claimed:

- substitution: two levels per unit are enough for every decision;
- interchange: one unit acts as its gate;
- joint: the units of one layer act together as their gates;
- necessary, sufficient: a set of units is needed, or is enough;
- control: networks that should have no circuit are not given one.
"""

Ablation = Literal["mean", "zero"]
"""What an ablated unit is set to: its mean over all rows, or zero."""

Control = Literal["untrained", "shuffled_targets", "untrained_own_function"]
"""Where the same pipeline should find nothing; see `control_rates`."""

Problem = Literal["wrong", "undecided", "rounding"]
"""Why a row does not count as computed: decided otherwise than the target says, not decided at all,
or decided so by the rounding of the network's own dtype alone.
"""

Problems = tuple[tuple[Problem, tuple[str, ...]], ...]
"""Each problem that there is, with the rows that have it."""

ChangeKind = Literal[
    "decision_threshold",
    "input_levels",
    "decision_rule",
    "step_at_zero",
    "dtype",
    "layout",
    "complement",
    "input_order",
    "output_order",
]
"""What may be read otherwise. The first five are settings of a `HookedMLPConfig`; then square
weight matrices transposed, the complement of the target asked for, and inputs or outputs in another
order.
"""

NewValue = int | float | str | tuple[float, ...] | tuple[int, ...] | tuple[str, ...] | None
"""What something is changed to: see `ReadingChange.value`."""

ObstacleKind = Literal["levels", "consistency", "composition"]
"""Where the search for a joint reading stops:

- levels: two levels per unit of one layer do not keep every decision;
- consistency: a unit's bits are no function of the bits of the layer before;
- composition: the gates, measured, give other bits than the units are read as, or other decisions.
"""


@dataclass(frozen=True)
class Failing:
    """One unit that no reading fits, under the reading that comes closest.

    Attributes:
        unit: the hidden unit, or where the netlist fails at a decision, the output.
        gate: the closest reading's gate; for an output, the decisions it should give.
        rows: the rows that fail under it.
    """

    unit: Unit
    gate: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Obstacle:
    """Where the search for a joint reading of a network stops.

    Attributes:
        kind: what fails.
        layer: the hidden layer it fails in; for a netlist that fails at the outputs, the number of
            hidden layers.
        units: those that alone are enough to fail; empty where it takes several together.
        rows: the rows that fail under the joint reading that comes closest; empty where there are
            too many joint readings to say.
    """

    kind: ObstacleKind
    layer: int
    units: tuple[Failing, ...]
    rows: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One claim and what was measured for it.

    Attributes:
        kind: what is claimed.
        units: the hidden units that the claim is about; empty for a control.
        effect: what came out.
        control: the same number where the claim should not hold.
        n: how many runs or rows the effect is taken over.
        holds: whether the claim holds, by the rule of its kind.
        exhaustive: False where a seeded sample of the runs was tried, not all of them.
        gate: the gate that the unit is read as (interchange).
        constant: whether the unit has one value on all rows (interchange).
        layer: the hidden layer (joint).
        ablation: what the ablated units are set to (necessary, sufficient).
        n_other_sets: how many other minimal sets there are (sufficient).
        control_runs: what the pipeline was run on (control).
    """

    kind: Kind
    units: tuple[Unit, ...]
    effect: int | float
    control: int | float
    n: int
    holds: bool
    exhaustive: bool = True
    gate: str | None = None
    constant: bool = False
    layer: int | None = None
    ablation: Ablation | None = None
    n_other_sets: int = 0
    control_runs: Control | None = None


@dataclass(frozen=True)
class OnStep:
    """Units of heaviside or sign whose sum is exactly zero, where it is a convention what they do.

    Attributes:
        units: each such hidden unit or output, with the rows on which it is there.
        step_at_zero: what the network's steps are at zero, 0 (off) or 1 (on).
        rows_otherwise: the rows that the network would decide otherwise with the other convention.
    """

    units: tuple[tuple[Unit, tuple[str, ...]], ...]
    step_at_zero: int
    rows_otherwise: tuple[str, ...]


def constant_note(bit: int) -> str:
    """What a unit that never changes is called: "always on" or "dead"."""
    return "always on" if bit else "dead"
