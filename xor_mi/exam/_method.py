"""What a method for finding circuits is: a function of one ExamProblem, and what is known of it."""

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
"""What a method answers with.

"scores": a number per edge or unit, the more the likelier in the circuit. "set": which are in it.
"gates": the gate of each unit that it names one of. "alignment": where the variables of a causal
model lie.
"""


class AlignedModel(NamedTuple):
    """A causal model and where its variables lie in the network.

    Attributes:
        model: the causal model.
        alignment: variable -> the units or the subspace of a hook that hold it.
        control: what the same search reaches where there is nothing to find, such as the
            interchange accuracy on an untrained network; None where it is not known.
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
"""What a method may give back.

Scores: numbers [edge] or [unit], in the order of `problem.edges` or `problem.units`, or a mapping
from each of them. A set: True or False [edge] or [unit], a collection of edges or units, or a
Subcircuit. Gates: unit -> the name of a gate of the inputs. An alignment: an `AlignedModel`.
"""

Method = Callable[[ExamProblem], Answer]
"""What is graded: any function of a problem."""


@dataclass(frozen=True, kw_only=True)
class ExamMethod:
    """A method that is ready to run, and what is known of it.

    Attributes:
        name: what it is called in tables.
        run: the function.
        over: whether it speaks of edges or of units.
        gives: what it answers with.
        source: where the idea is from.
        needs: the package that must be installed for it, of the extra `exam`; "" for none.
    """

    name: str
    run: Method
    over: Over
    gives: Gives
    source: str
    needs: str = ""

    def __call__(self, problem: ExamProblem) -> Answer:
        return self.run(problem)
