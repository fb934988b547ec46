"""facts that are printed alone: their fields with a sentence.

What a program reads are the fields, and what a person reads is `str` of the whole.
"""

from dataclasses import dataclass

from xor_mi.circuits import _wording
from xor_mi.circuits._facts import ContradictionFacts, ObstacleFacts, OnStepFacts


@dataclass(frozen=True)
class Contradiction(ContradictionFacts):
    """An interchange that does not come out as a circuit predicts.

    Attributes:
        kind: "single" or "joint".
        layer: the hidden layer whose units are set.
        variables: what is set, each variable with all its places; one variable if the kind is
            "single".
        base: the row that all other values are from; None if no other value matters.
        sources: the row that each variable is taken from.
        predicted: the decisions by the circuit.
        decided: the network's; -1 where it decides nothing.
    """

    def __str__(self) -> str:
        return _wording.contradicted(self)


@dataclass(frozen=True)
class Obstacle(ObstacleFacts):
    """Where the search for a circuit of a network stops.

    Attributes:
        kind: what fails.
        layer: the hidden layer it fails in; for a netlist that fails at the outputs, the number of
            hidden layers.
        units: the units each of which fails alone; empty if only several together fail.
        rows: the rows that fail under the joint reading that comes closest; empty if there are too
            many joint readings to try, and if only margins are too small.
        lets_in: the largest `min_margin` that keeps the circuit that comes closest; None if no
            `min_margin` does.
    """

    def __str__(self) -> str:
        return _wording.obstacle(self)


@dataclass(frozen=True)
class OnStep(OnStepFacts):
    """Units of heaviside or sign whose sum is exactly zero, where a convention sets their value.

    Attributes:
        units: each such hidden unit or output, with the rows on which its sum is zero.
        step_at_zero: the value of the network's steps at zero, 0 (off) or 1 (on).
        rows_otherwise: the rows that the network would decide differently with the other
            convention.
    """

    def __str__(self) -> str:
        return _wording.on_step(self)
