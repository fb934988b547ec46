"""one ExamProblem -> a score per hidden unit: the field's methods, each a short function.

Scores are in the order of `problem.units`, [unit]; the larger, the likelier the unit is in the
circuit. A score is the mean over rows of the absolute effect, except for Shapley values, which are
signed and of the mean metric.

A unit is dropped with all its edges. A mask between 0 and 1 takes that share of what it sends.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xor_mi.errors import whole_number
from xor_mi.exam._exact_methods import ElementScores, denoising, noising, shapley
from xor_mi.exam._method import ExamMethod, Method
from xor_mi.exam._problem import ExamProblem, require_slopes, slopes_of
from xor_mi.exam._slopes import midpoints, run_whole, with_gradients

N_STEPS = 50
"""Points of the path over which a gradient is averaged."""


def unit_noising(problem: ExamProblem) -> ElementScores:
    """Exact: how far the metric moves when one unit is dropped from the whole network.

    Heimersheim and Nanda 2024, arXiv 2404.15255.

    >>> from xor_mi.handmade import textbook_xor
    >>> unit_noising(ExamProblem.of(textbook_xor())).tolist()
    [1.0, 0.5]
    """
    return noising(problem, "units")


def unit_denoising(problem: ExamProblem) -> ElementScores:
    """Exact: how far the metric moves when one unit is restored while all others are dropped.

    Heimersheim and Nanda 2024, arXiv 2404.15255. With two hidden layers, one unit alone does not
    connect an input to an output.

    >>> from xor_mi.handmade import textbook_xor
    >>> unit_denoising(ExamProblem.of(textbook_xor())).tolist()
    [1.0, 0.5]
    """
    return denoising(problem, "units")


def attribution_patching(problem: ExamProblem) -> ElementScores:
    """The metric's slope in what a unit sends, times the change to what its dropped edges carry.

    The slope is taken in the whole network. Nanda 2023; Kramár, Lieberum, Shah and Nanda 2024,
    arXiv 2403.00745.

    >>> from xor_mi.handmade import textbook_xor
    >>> attribution_patching(ExamProblem.of(textbook_xor())).tolist()
    [1.0, 0.5]

    Raises:
        XorMiError: the metric "accuracy", which has no slope.
    """
    whole = np.ones((1, len(problem.edges)))
    return _effects_of_units(problem, problem.gradient(whole))


def integrated_gradients(problem: ExamProblem, *, n_steps: int = N_STEPS) -> ElementScores:
    """Attribution patching with the slope averaged while all units are restored together, 0 to 1.

    Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365) of the metric in the
    mask of units. On every row the signed effects add up to the metric of the whole network minus
    that of the empty one, to the accuracy of n_steps midpoints.

    Raises:
        XorMiError: the metric "accuracy", or n_steps that is not a whole number of at least 1.
    """
    steps = midpoints(whole_number("n_steps", n_steps, at_least=1))
    from_inputs = ~_sends(problem).any(0)
    path = np.where(from_inputs, 1.0, steps[:, None].numpy())
    return _effects_of_units(problem, problem.gradient(path))


@with_gradients
def conductance(problem: ExamProblem, *, n_steps: int = N_STEPS) -> ElementScores:
    """The part of the metric's change that passes through a unit from a baseline input to the row.

    At each step the effect is the metric's slope in the unit's value, times the move of that value;
    the effects of one layer add up to the metric's whole change on every row. The baseline is what
    dropped edges of the inputs carry, 0 or the mean row. Dhamdhere, Sundararajan and Yan 2018,
    arXiv 1805.12233.

    Raises:
        XorMiError: the metric "accuracy", or n_steps that is not a whole number of at least 1.
    """
    require_slopes(problem)
    numbers = problem.numbers
    middles = midpoints(whole_number("n_steps", n_steps, at_least=1))
    baseline = torch.from_numpy(numbers.layers[0].carried)
    moved = problem.inputs - baseline
    ends = torch.arange(n_steps + 1, dtype=torch.float64) / n_steps
    at_middles = run_whole(numbers, baseline + middles[:, None, None] * moved)
    at_ends = run_whole(numbers, baseline + ends[:, None, None] * moved)
    problem.cost.forwards += 2 * n_steps + 1
    problem.cost.backwards += n_steps
    slopes = slopes_of(problem.metric_of(at_middles.outputs), at_middles.entering[1:])
    of_layers: list[Tensor] = []
    for slope, values in zip(slopes, at_ends.entering[1:], strict=True):
        of_layers.append((slope * values.detach().diff(dim=0)).sum(0))
    return torch.cat(of_layers, dim=-1).abs().mean(0).numpy()


def unit_shapley_margin(problem: ExamProblem) -> ElementScores:
    """Exact Shapley values of the mean margin over all sets of units, signed.

    Shapley 1953; of units, Ghorbani and Zou 2020, arXiv 2002.09815.

    Raises:
        XorMiError: more than `MAX_SHAPLEY` units.
    """
    return shapley(problem, "units", "margin")


def unit_shapley_accuracy(problem: ExamProblem) -> ElementScores:
    """Exact Shapley values of the share of rows that are right over all sets of units, signed.

    Shapley 1953; of units, Ghorbani and Zou 2020, arXiv 2002.09815.

    Raises:
        XorMiError: more than `MAX_SHAPLEY` units.
    """
    return shapley(problem, "units", "accuracy")


def unit_magnitude(problem: ExamProblem) -> ElementScores:
    """The L2 norm of a unit's incoming weights times that of its outgoing weights.

    This adapts Han, Pool, Tran and Dally 2015, arXiv 1506.02626, to units: scaling a ReLU unit's
    incoming weights and bias up and its outgoing weights down does not change the network, and does
    not change this product.

    >>> from xor_mi.handmade import textbook_xor
    >>> unit_magnitude(ExamProblem.of(textbook_xor())).round(3).tolist()
    [1.414, 2.828]
    """
    layers = problem.numbers.layers
    incoming = [np.linalg.norm(layer.weight, axis=1) for layer in layers[:-1]]
    outgoing = [np.linalg.norm(layer.weight, axis=0) for layer in layers[1:]]
    return np.concatenate(incoming) * np.concatenate(outgoing)


def random_units(problem: ExamProblem) -> ElementScores:
    """Chance: a random number from 0 to 1 per unit."""
    return problem.generator("unit_random").random(len(problem.units))


def _sends(problem: ExamProblem) -> NDArray[np.bool_]:
    """Which edges each unit is the source of, [unit, edge]."""
    return np.array([[edge.src == unit for edge in problem.edges] for unit in problem.units])


def _effects_of_units(
    problem: ExamProblem, slopes: Float[Tensor, "mask row edge"]
) -> Float[np.ndarray, " unit"]:
    """Slopes in edges' masks -> the absolute effects of their sources, averaged over masks."""
    sends = torch.from_numpy(_sends(problem)).double()
    return (slopes.mean(0) @ sends.T).abs().mean(0).numpy()


def _scores(name: str, run: Method, source: str) -> ExamMethod:
    return ExamMethod(name=name, run=run, over="units", gives="scores", source=source)


_PATCHING = "Heimersheim and Nanda 2024, arXiv 2404.15255"
_SHAPLEY = "Shapley 1953; Ghorbani and Zou 2020, arXiv 2002.09815"

UNIT_METHODS: tuple[ExamMethod, ...] = (
    _scores("unit_noising", unit_noising, _PATCHING),
    _scores("unit_denoising", unit_denoising, _PATCHING),
    _scores(
        "attribution_patching",
        attribution_patching,
        "Nanda 2023; Kramár, Lieberum, Shah and Nanda 2024, arXiv 2403.00745",
    ),
    _scores(
        "integrated_gradients",
        integrated_gradients,
        "Sundararajan, Taly and Yan 2017, arXiv 1703.01365, of the metric in the mask of units",
    ),
    _scores("conductance", conductance, "Dhamdhere, Sundararajan and Yan 2018, arXiv 1805.12233"),
    _scores("unit_shapley_margin", unit_shapley_margin, _SHAPLEY),
    _scores("unit_shapley_accuracy", unit_shapley_accuracy, _SHAPLEY),
    _scores(
        "unit_magnitude",
        unit_magnitude,
        "adapted to units from Han, Pool, Tran and Dally 2015, arXiv 1506.02626",
    ),
    _scores("unit_random", random_units, "chance"),
)
"""The methods that score hidden units."""
