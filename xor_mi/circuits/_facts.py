"""what was measured about one claim, before it is put into words. There are no sentences here.

`_wording` turns these facts into sentences, and `Evidence` is these facts with their sentences.
Programs use the facts; only people read the sentences.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from xor_mi.graph import Unit

Verdict = Literal["identified", "ambiguous", "approximate", "no_gate_reading", "not_computing"]
"""The verdicts on a network:

- identified: exactly one circuit is proved as far as required;
- ambiguous: several circuits are;
- approximate: circuits survive two-level substitution, but none is proved as far as required;
- no_gate_reading: no circuit survives substitution;
- not_computing: it does not compute its target.
"""

Kind = Literal["substitution", "interchange", "joint", "necessary", "sufficient", "control"]
"""The kinds of claims:

- substitution: two levels per unit are enough for every decision;
- interchange: one unit acts as its gate;
- joint: the units of one layer act together as their gates;
- necessary, sufficient: a set of units is needed, or is enough;
- control: networks that should have no circuit are not given one.
"""

ProofLevel = Literal["substitution", "single", "joint"]
"""How far a circuit is proved, each implying the one before:

- substitution: two levels per unit keep every decision, follow from one another, and compose;
- single: every variable, set to its value on any other row, has the effect that the gates say;
- joint: all variables of a layer have that effect together, each set to its value on its own row.
"""

PROOF_LEVELS: tuple[ProofLevel, ...] = ("substitution", "single", "joint")
"""In this order: each implies the one before."""

Ablation = Literal["mean", "zero"]
"""What an ablated unit is set to: its mean over all rows, or zero."""

Control = Literal["untrained", "shuffled_targets", "untrained_own_function"]
"""Where the same pipeline should find nothing; see `control_rates`."""

Problem = Literal["wrong", "undecided", "rounding"]
"""Why a row does not count as computed: it is decided differently than the target says, it is not
decided, or only the rounding of the network's own dtype decides it as the target says.
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
"""What can be changed about how a network is read. The first five are settings of a
`HookedMLPConfig`; then square weight matrices transposed, the complement of the target, and inputs
or outputs in another order.
"""

NewValue = int | float | str | tuple[float, ...] | tuple[int, ...] | tuple[str, ...] | None
"""What something is changed to: see `ReadingChange.value`."""


class InterchangeCount(NamedTuple):
    """On how many interchanges the network decides as a circuit predicts.

    Attributes:
        n_right: how many come out as predicted.
        n: how many were tried, or are known.
        n_all: how many there are, if a seeded sample was tried; None if all of them were tried.
    """

    n_right: int
    n: int
    n_all: int | None = None

    def __str__(self) -> str:
        sample = f", a seeded sample of {self.n_all:,}" if self.n_all else ""
        return f"{self.n_right:,} of {self.n:,} as predicted{sample}"

    @property
    def exhaustive(self) -> bool:
        """Whether all interchanges were tried, or are known; else a seeded sample was tried."""
        return self.n_all is None

    @property
    def passes(self) -> bool:
        """Whether all interchanges that were tried are as predicted."""
        return self.n_right == self.n


@dataclass(frozen=True)
class ContradictionFacts:
    """What a `Contradiction` is made of."""

    kind: Literal["single", "joint"]
    layer: int
    variables: tuple[tuple[Unit, ...], ...]
    base: str | None
    sources: tuple[str, ...]
    predicted: tuple[int, ...]
    decided: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TwoPredictions:
    """What two circuits predict where they differ, and what the network does there.

    Attributes:
        predicted: by the first circuit, and by the other.
        decided: by the network; -1 where it decides nothing.
    """

    predicted: tuple[tuple[int, ...], tuple[int, ...]]
    decided: tuple[int, ...]

    @property
    def sides_with(self) -> Literal[0, 1] | None:
        """Whose prediction the network follows: the first (0), the other (1) or neither (None)."""
        first, other = self.predicted
        if self.decided == first:
            return 0
        return 1 if self.decided == other else None


@dataclass(frozen=True, kw_only=True)
class TellingInterchange(TwoPredictions):
    """An interchange whose decisions two circuits predict differently.

    Attributes:
        kind, layer, variables, base, sources: which one it is; see `Contradiction`.
    """

    kind: Literal["single", "joint"]
    layer: int
    variables: tuple[tuple[Unit, ...], ...]
    base: str | None
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TellingInput(TwoPredictions):
    """An input between the rows for which two circuits predict different things.

    Attributes:
        values: of the inputs, within the box of the input levels.
        unit: None where they predict different decisions; else the hidden unit, of a layer after
            the first, whose bit they predict differently.
    """

    values: tuple[float, ...]
    unit: Unit | None


class LookedAt(NamedTuple):
    """At which inputs two circuits were compared.

    Attributes:
        n: how many inputs.
        grid: whether these are all points of a grid over the box of the input levels; else they
            are from grids, from a seeded sample, and from lines between pairs of rows.
    """

    n: int
    grid: bool


@dataclass(frozen=True, kw_only=True)
class Apart:
    """What tells a circuit apart from the first.

    Attributes:
        circuits: the numbers of the two in `Circuit.circuits`; that of the first is 0.
        unit: the first hidden unit that they read differently; if they read all units alike, the
            first unit or output whose gate differs.
        gates: its gate in each circuit; None where it is idle. If both read all units alike, the
            gate is written over what the unit reads.
        interchange: one for which they predict different decisions; None if none was found or
            tried.
        input: one for which they predict different things; None if none was found.
        looked_at: where an input was looked for.
    """

    circuits: tuple[int, int]
    unit: Unit
    gates: tuple[str | None, str | None]
    interchange: TellingInterchange | None
    input: TellingInput | None
    looked_at: LookedAt


ObstacleKind = Literal["levels", "consistency", "composition", "margin"]
"""Where the search for a circuit stops:

- levels: two levels per unit of one layer do not keep every decision;
- consistency: a unit's bits are not a function of the bits of the layer before;
- composition: the measured gates give other bits than the units are read as, or other decisions;
- margin: circuits survive, and each has a live unit whose margin is smaller than `min_margin`.
"""


@dataclass(frozen=True)
class Failing:
    """One unit that no reading fits, under the reading that comes closest.

    Attributes:
        unit: the hidden unit, or the output if the netlist fails at a decision.
        gate: the closest reading's gate; for an output, the decisions it should give.
        rows: the rows that fail under this reading; empty if only the margin is too small.
        margin: the reading's margin if it is too small; else None.
    """

    unit: Unit
    gate: str
    rows: tuple[str, ...]
    margin: float | None = None

    def __str__(self) -> str:
        if self.margin is not None:
            return f"{self.unit.name}, read as {self.gate}, has a margin of {self.margin:.3g}"
        return f"{self.unit.name}, at best read as {self.gate}, fails on {', '.join(self.rows)}"


@dataclass(frozen=True)
class ObstacleFacts:
    """What an `Obstacle` is made of."""

    kind: ObstacleKind
    layer: int
    units: tuple[Failing, ...]
    rows: tuple[str, ...]
    lets_in: float | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One claim and what was measured for it.

    Attributes:
        kind: what is claimed.
        units: the hidden units that the claim is about; empty for a control.
        effect: what came out.
        control: the same number where the claim should not hold.
        n: how many runs or rows the effect is counted over.
        holds: whether the claim holds, by the rule of its kind.
        exhaustive: False if only a seeded sample of the runs was tried.
        gate: the gate that the unit is read as (interchange); None for an idle unit, where the
            claim is that it makes no difference.
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
class OnStepFacts:
    """What an `OnStep` is made of."""

    units: tuple[tuple[Unit, tuple[str, ...]], ...]
    step_at_zero: int
    rows_otherwise: tuple[str, ...]


def constant_note(bit: int) -> str:
    """What a unit that never changes is called: "always on" or "dead"."""
    return "always on" if bit else "dead"
