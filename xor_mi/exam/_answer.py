"""the answer of a method -> scores, a set, gates or an alignment, checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short, shown
from xor_mi.exam._method import AlignedModel, Gives
from xor_mi.exam._problem import ExamProblem, Over
from xor_mi.graph import Edge, Subcircuit, Unit, name_of_set
from xor_mi.interventions import HighLevelModel

WHAT_TO_GIVE = (
    "give a number for each edge or unit, in the order of problem.edges or problem.units; True or "
    "False for each; a collection of edges or of units; the name of a gate by unit; or an "
    "AlignedModel"
)


@dataclass(frozen=True, eq=False)
class Scores:
    """A number per element, [element]; the larger, the likelier the element is in the circuit."""

    over: Over
    numbers: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Kept:
    """Which elements are in the circuit, [element]."""

    over: Over
    kept: NDArray[np.bool_]


@dataclass(frozen=True)
class Gates:
    """The gate of each unit for which the method names one."""

    gates: Mapping[Unit, str]


ReadAnswer = Scores | Kept | Gates | AlignedModel
GIVES: dict[type, Gives] = {
    Scores: "scores",
    Kept: "set",
    Gates: "gates",
    AlignedModel: "alignment",
}
"""The name of each kind of answer."""


def read_answer(answer: object, problem: ExamProblem, *, over: Over | None = None) -> ReadAnswer:
    """A method's answer, as one of four kinds.

    Args:
        over: edges or units, as the method declares; None to tell it from the answer.

    Raises:
        XorMiError: an answer of another kind or shape, a score that is not a finite number, an
            element that the network does not have, or a mapping that leaves an element out.
    """
    if isinstance(answer, AlignedModel):
        return _of_aligned(answer)
    if isinstance(answer, Subcircuit):
        read: ReadAnswer = _of_subcircuit(answer, problem)
    elif isinstance(answer, Mapping):
        read = _of_mapping(answer, problem)
    elif isinstance(answer, Tensor):
        held = answer.detach().cpu()
        # NumPy has no bfloat16
        held = held.double() if held.is_floating_point() else held
        read = _of_numbers(held.numpy(), problem)
    elif isinstance(answer, np.ndarray):
        read = _of_numbers(answer, problem)
    elif isinstance(answer, Iterable) and not isinstance(answer, (str, bytes)):
        read = _of_several(list(answer), problem, over)
    else:
        raise XorMiError(f"the method gave {shown(answer)}; {WHAT_TO_GIVE}")
    if over is not None and isinstance(read, (Scores, Kept)) and read.over != over:
        raise XorMiError(
            f"the method declares over='{over}', but its answer is over {read.over}; make the two "
            "agree"
        )
    return read


def _of_aligned(answer: AlignedModel) -> AlignedModel:
    if not isinstance(answer.model, HighLevelModel) or not isinstance(answer.alignment, Mapping):
        raise XorMiError(
            f"the method gave {shown(answer)}; give AlignedModel(a HighLevelModel, a mapping from "
            "its variables to places)"
        )
    control = answer.control
    is_number = isinstance(control, (int, float, np.number)) and not isinstance(control, bool)
    if control is None or (is_number and isfinite(control)):
        return answer
    raise XorMiError(f"the method gave the control {shown(control)}; give a finite number, or None")


def _of_subcircuit(answer: Subcircuit, problem: ExamProblem) -> Kept:
    if answer.layer_sizes != problem.numbers.sizes:
        raise XorMiError(
            f"the method gave a subcircuit of layer sizes {answer.layer_sizes}; this network has "
            f"{problem.numbers.sizes}"
        )
    return _of_elements(list(answer.edges), problem, "edges")


def _of_mapping(answer: Mapping[Any, Any], problem: ExamProblem) -> ReadAnswer:
    if not answer:
        return Gates({})
    values = list(answer.values())
    if all(isinstance(value, str) for value in values):
        return _of_gates(answer, problem)
    over = _kind_of(list(answer), problem)
    elements = problem.elements(over)
    left_out = [element for element in elements if element not in answer]
    if left_out:
        raise XorMiError(
            f"the method gave no score for {cut_short(name_of_set(left_out), at_most=100)}; give a "
            f"number for each of the {len(elements)} {over}"
        )
    return _of_numbers(np.asarray([answer[element] for element in elements]), problem)


def _of_gates(answer: Mapping[Any, str], problem: ExamProblem) -> Gates:
    known = {*problem.units, *(edge.dst for edge in problem.edges)}
    for unit in answer:
        if unit not in known:
            raise XorMiError(
                f"the method named a gate of {shown(unit)}, which is not a unit of this network; "
                "give some of problem.units"
            )
    return Gates(dict(answer))


def _of_several(answer: list[Any], problem: ExamProblem, over: Over | None) -> ReadAnswer:
    """A collection of elements, or numbers in a list."""
    if not answer:
        return _of_elements([], problem, over or "edges")
    if any(isinstance(one, (Edge, Unit)) for one in answer):
        return _of_elements(answer, problem, _kind_of(answer, problem))
    plain = [one.detach().cpu().numpy() if isinstance(one, Tensor) else one for one in answer]
    try:
        numbers = np.asarray(plain)
    except ValueError:  # nested lists of different lengths
        raise XorMiError(f"the method gave {shown(answer)}; {WHAT_TO_GIVE}") from None
    return _of_numbers(numbers, problem)


def _kind_of(keys: list[Any], problem: ExamProblem) -> Over:
    """Whether these are edges or units of the network."""
    edges, units = set(problem.edges), set(problem.units)
    for one in keys:
        if not isinstance(one, (Edge, Unit)):
            raise XorMiError(f"the method gave {shown(one)} among its elements; {WHAT_TO_GIVE}")
        if one not in edges and one not in units:
            raise XorMiError(
                f"the method gave {one}, which is neither an edge nor a hidden unit of this network"
            )
    overs: set[Over] = {"edges" if isinstance(one, Edge) else "units" for one in keys}
    if len(overs) > 1:
        raise XorMiError("the method gave edges and units together; give only edges or only units")
    return overs.pop()


def _of_elements(answer: list[Any], problem: ExamProblem, over: Over) -> Kept:
    inside = set(answer)
    return Kept(over, np.array([one in inside for one in problem.elements(over)], dtype=np.bool_))


def _of_numbers(numbers: NDArray[Any], problem: ExamProblem) -> Scores | Kept:
    n_edges, n_units = len(problem.edges), len(problem.units)
    if numbers.ndim != 1 or len(numbers) not in (n_edges, n_units):
        raise XorMiError(
            f"the method gave numbers of the shape {list(numbers.shape)}; this network has "
            f"{n_edges} edges and {n_units} hidden units; {WHAT_TO_GIVE}"
        )
    # every hidden unit has an edge to it and one from it, so there are always more edges than units
    over: Over = "edges" if len(numbers) == n_edges else "units"
    if numbers.dtype == np.bool_:
        return Kept(over, numbers.copy())
    if numbers.dtype.kind not in "iuf":
        raise XorMiError(f"the method gave scores of dtype {numbers.dtype}; {WHAT_TO_GIVE}")
    scores = numbers.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        first = problem.elements(over)[bad[0]]
        raise XorMiError(
            f"the method gave {scores[bad[0]]} for {first}, and {len(bad)} of {len(scores)} scores "
            "are not finite; give a number for each"
        )
    return Scores(over, scores)
