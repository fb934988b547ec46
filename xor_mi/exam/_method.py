"""A method for finding circuits: a function of one ExamProblem, with a description of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from numpy.typing import ArrayLike
from torch import Tensor

from xor_mi.exam._problem import ExamProblem, Over
from xor_mi.graph import Edge, Subcircuit, Unit
from xor_mi.interventions import HighLevelModel, Subspace
from xor_mi.kinds import OneSite

Gives = Literal["scores", "set", "gates", "alignment"]
"""The kind of a method's answer.

"scores": a number per edge or unit; the larger, the likelier it is in the circuit. "set": which
edges or units are in the circuit. "gates": the gates of some or all units. "alignment": the places
of the variables of a causal model.
"""


class AlignedModel(NamedTuple):
    """A causal model and the places of its variables in the network.

    Attributes:
        model: the causal model.
        alignment: variable -> the units or the subspace of a hook that hold it.
        control: what the same search reaches where there is nothing to find, such as the
            interchange accuracy on an untrained network; None if unknown.
    """

    model: HighLevelModel
    alignment: Mapping[str, OneSite | Iterable[OneSite] | Subspace]
    control: float | None = None


Answer = (
    ArrayLike
    | Tensor
    | Subcircuit
    | Iterable[Edge]
    | Iterable[Unit]
    | Mapping[Edge, float]
    | Mapping[Unit, float]
    | Mapping[Unit, str]
    | AlignedModel
)
"""What a method may return.

Scores: numbers [edge] or [unit], in the order of `problem.edges` or `problem.units`, or a mapping
from each of them. A set: True or False [edge] or [unit], a collection of edges or units, or a
Subcircuit. Gates: unit -> the name of a gate of the inputs. An alignment: an `AlignedModel`.
"""

Method = Callable[[ExamProblem], Answer]
"""A method: any function of a problem."""


@dataclass(frozen=True, kw_only=True)
class ExamMethod:
    """A method that is ready to run, with a description.

    Attributes:
        name: its name in tables.
        run: the function.
        over: whether it answers over edges or over units.
        gives: the kind of its answer.
        source: the publication that the idea is from.
        needs: the package of the extra `exam` that must be installed for it; "" for none.
    """

    name: str
    run: Method
    over: Over
    gives: Gives
    source: str
    needs: str = ""

    def __call__(self, problem: ExamProblem) -> Answer:
        return self.run(problem)
