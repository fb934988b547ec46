"""one ExamProblem -> a score per edge: the field's methods, each a short function.

Scores are in the order of `problem.edges`, [edge]; the larger, the likelier the edge is in the
circuit. A score is the mean over rows of the absolute effect, except for Shapley values, which are
signed and of the mean metric, and for `gradient_x_weight`.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, whole_number
from xor_mi.exam._exact_methods import ElementScores, denoising, noising, shapley
from xor_mi.exam._method import ExamMethod, Method
from xor_mi.exam._problem import ExamProblem, require_slopes, slopes_of
from xor_mi.exam._slopes import add_edges_up, midpoints, run_whole, weights_of, with_gradients

N_STEPS = 50
"""Points of the path over which a gradient is averaged."""


def edge_noising(problem: ExamProblem) -> ElementScores:
    """Exact: how far the metric moves when one edge is dropped from the whole network.

    Heimersheim and Nanda 2024, arXiv 2404.15255.

    >>> from xor_mi.handmade import textbook_xor
    >>> edge_noising(ExamProblem.of(textbook_xor())).tolist()
    [0.5, 0.5, 0.5, 0.5, 1.0, 0.5]
    """
    return noising(problem, "edges")


def edge_denoising(problem: ExamProblem) -> ElementScores:
    """Exact: how far the metric moves when one edge is restored while all others are dropped.

    Heimersheim and Nanda 2024, arXiv 2404.15255. With a hidden layer, one edge alone does not
    connect an input to an output, so if a dropped edge carries nothing, every score is 0.

    >>> from xor_mi.handmade import textbook_xor
    >>> edge_denoising(ExamProblem.of(textbook_xor())).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    return denoising(problem, "edges")


def eap(problem: ExamProblem) -> ElementScores:
    """Edge attribution patching: the metric's slope in an edge's value, times its change.

    The slope is taken in the whole network; the change goes to what a dropped edge carries. Syed,
    Rager and Conmy 2023, arXiv 2310.10348.

    >>> from xor_mi.handmade import textbook_xor
    >>> eap(ExamProblem.of(textbook_xor())).tolist()
    [0.5, 0.5, 0.5, 0.5, 1.0, 0.5]

    Raises:
        XorMiError: the metric "accuracy", which has no slope.
    """
    whole = np.ones((1, len(problem.edges)))
    return problem.gradient(whole)[0].abs().mean(0).numpy()


def eap_ig(problem: ExamProblem, *, n_steps: int = N_STEPS) -> ElementScores:
    """EAP with the slope averaged while all edges are put back together, from 0 to 1.

    Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365) of the metric in the
    mask of edges. On every row the signed effects add up to the metric of the whole network minus
    that of the empty one, to the accuracy of n_steps midpoints.

    Raises:
        XorMiError: the metric "accuracy", or n_steps that is not a whole number of at least 1.
    """
    steps = _steps(n_steps)
    path = steps[:, None].expand(-1, len(problem.edges)).numpy()
    return problem.gradient(path).mean(0).abs().mean(0).numpy()


@with_gradients
def eap_ig_inputs(problem: ExamProblem, *, n_steps: int = N_STEPS) -> ElementScores:
    """EAP with the slope averaged over inputs on the line from a baseline to the row.

    The baseline is what dropped edges of the inputs carry, 0 or the mean row; an edge's change is
    the difference of its values on the row and on the baseline. Hanna, Pezzelle and Belinkov 2024,
    arXiv 2403.17806.

    Raises:
        XorMiError: the metric "accuracy", or n_steps that is not a whole number of at least 1.
    """
    require_slopes(problem)
    numbers = problem.numbers
    baseline = torch.from_numpy(numbers.layers[0].carried).expand(1, -1)
    points = baseline + _steps(n_steps)[:, None, None] * (problem.inputs - baseline)
    run = run_whole(numbers, points)
    slopes = slopes_of(problem.metric_of(run.outputs), run.sums)
    at_rows, at_baseline = run_whole(numbers, problem.inputs), run_whole(numbers, baseline)
    problem.cost.forwards += n_steps + 1 + 1 / problem.n_rows
    problem.cost.backwards += n_steps
    moved = [
        (on_row - on_baseline).detach()
        for on_row, on_baseline in zip(at_rows.entering, at_baseline.entering, strict=True)
    ]
    effects = add_edges_up([one.mean(0) for one in slopes], moved, numbers)
    return effects.abs().mean(0).numpy()


def eap_pairs(problem: ExamProblem) -> ElementScores:
    """Edge attribution patching between rows: the slope at the clean row times the change.

    The change goes to what the edge carries on the corrupted row; the metric is the clean row's.
    The score is the mean of the absolute effect over `problem.pairs`. Syed, Rager and Conmy 2023,
    arXiv 2310.10348.

    Raises:
        XorMiError: the metric "accuracy", or a problem without pairs.
    """
    return _between_rows(problem, torch.ones(1, dtype=torch.float64))


def eap_ig_pairs(problem: ExamProblem, *, n_steps: int = N_STEPS) -> ElementScores:
    """EAP with the slope averaged over inputs on the line from the corrupted to the clean row.

    Hanna, Pezzelle and Belinkov 2024, arXiv 2403.17806.

    Raises:
        XorMiError: the metric "accuracy", a problem without pairs, or n_steps that is not a whole
            number of at least 1.
    """
    return _between_rows(problem, _steps(n_steps))


@with_gradients
def gradient_x_weight(problem: ExamProblem) -> ElementScores:
    """|weight x slope of the metric in it|, where the metric is averaged over rows first.

    The sensitivity of a connection (Lee, Ajanthan and Torr 2019, arXiv 1810.02340). If a dropped
    edge carries nothing, it is `eap` with rows added up before the absolute value.

    >>> from xor_mi.handmade import textbook_xor
    >>> gradient_x_weight(ExamProblem.of(textbook_xor())).tolist()
    [0.0, 0.0, 0.5, 0.5, 0.0, 0.5]

    Raises:
        XorMiError: the metric "accuracy", which has no slope.
    """
    require_slopes(problem)
    weights = [weight.clone().requires_grad_() for weight in weights_of(problem.numbers)]
    outputs = run_whole(problem.numbers, problem.inputs, weights).outputs
    slopes = slopes_of(problem.metric_of(outputs) / problem.n_rows, weights)
    problem.cost.forwards += 1
    problem.cost.backwards += 1
    products = [(slope * weight).flatten() for slope, weight in zip(slopes, weights, strict=True)]
    return torch.cat(products).detach().abs().numpy()


def shapley_margin(problem: ExamProblem) -> ElementScores:
    """Exact Shapley values of the mean margin over all sets of edges, signed.

    Shapley 1953, A value for n-person games.

    >>> from xor_mi.handmade import textbook_xor
    >>> problem = ExamProblem.of(textbook_xor())
    >>> round(float(shapley_margin(problem).sum()), 6)  # 0.5 with all edges, 0.0 with none
    0.5

    Raises:
        XorMiError: more than `MAX_SHAPLEY` edges.
    """
    return shapley(problem, "edges", "margin")


def shapley_accuracy(problem: ExamProblem) -> ElementScores:
    """Exact Shapley values of the share of rows that are right over all sets of edges, signed.

    Shapley 1953, A value for n-person games.

    Raises:
        XorMiError: more than `MAX_SHAPLEY` edges.
    """
    return shapley(problem, "edges", "accuracy")


def magnitude(problem: ExamProblem) -> ElementScores:
    """The absolute weight. Han, Pool, Tran and Dally 2015, arXiv 1506.02626.

    >>> from xor_mi.handmade import textbook_xor
    >>> magnitude(ExamProblem.of(textbook_xor())).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 2.0]
    """
    return np.concatenate([np.abs(layer.weight).ravel() for layer in problem.numbers.layers])


def random_edges(problem: ExamProblem) -> ElementScores:
    """Chance: a random number from 0 to 1 per edge."""
    return problem.generator("random").random(len(problem.edges))


def _steps(n_steps: int) -> Float[Tensor, " step"]:
    return midpoints(whole_number("n_steps", n_steps, at_least=1))


@with_gradients
def _between_rows(problem: ExamProblem, steps: Float[Tensor, " step"]) -> ElementScores:
    """The mean over pairs of the absolute effect of each edge between the pair's two rows.

    Args:
        steps: where slopes are taken between the corrupted row (0) and the clean row (1).
    """
    require_slopes(problem)
    if not problem.pairs:
        raise XorMiError(
            "the problem has no pairs of rows: none were given, or all its labels are the same; "
            "give pairs="
        )
    numbers, pairs = problem.numbers, torch.tensor(problem.pairs)
    clean, corrupted = pairs[:, 0], pairs[:, 1]
    # a metric takes all rows in their order, so the points of a pair replace its clean row; each
    # further pair with the same clean row takes another copy of the rows
    copies = torch.tensor(_times_before(problem.pairs))
    n_copies = int(copies.max()) + 1
    points = problem.inputs.repeat(len(steps), n_copies, 1, 1)
    low, high = problem.inputs[corrupted], problem.inputs[clean]
    points[:, copies, clean] = low + steps[:, None, None] * (high - low)
    run = run_whole(numbers, points)
    of_pairs = problem.metric_of(run.outputs)[:, copies, clean]
    slopes = slopes_of(of_pairs, run.sums)
    at_rows = run_whole(numbers, problem.inputs)
    n_runs = len(steps) * len(pairs) / problem.n_rows
    problem.cost.forwards += n_runs + 1
    problem.cost.backwards += n_runs
    entering = [values.detach() for values in at_rows.entering]
    moved = [values[clean] - values[corrupted] for values in entering]
    averaged = [one[:, copies, clean].mean(0) for one in slopes]
    return add_edges_up(averaged, moved, numbers).abs().mean(0).numpy()


def _times_before(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """For each pair, how many pairs before it have the same clean row."""
    seen: Counter[int] = Counter()
    before: list[int] = []
    for clean, _ in pairs:
        before.append(seen[clean])
        seen[clean] += 1
    return before


def _scores(name: str, run: Method, source: str) -> ExamMethod:
    return ExamMethod(name=name, run=run, over="edges", gives="scores", source=source)


_PATCHING = "Heimersheim and Nanda 2024, arXiv 2404.15255"
_EAP = "Syed, Rager and Conmy 2023, arXiv 2310.10348"
_EAP_IG = "Hanna, Pezzelle and Belinkov 2024, arXiv 2403.17806"
_IG = "Sundararajan, Taly and Yan 2017, arXiv 1703.01365"
_SHAPLEY = "Shapley 1953, A value for n-person games"

EDGE_METHODS: tuple[ExamMethod, ...] = (
    _scores("edge_noising", edge_noising, _PATCHING),
    _scores("edge_denoising", edge_denoising, _PATCHING),
    _scores("eap", eap, _EAP),
    _scores("eap_ig", eap_ig, f"{_IG}, of the metric in the mask of edges"),
    _scores("eap_ig_inputs", eap_ig_inputs, _EAP_IG),
    _scores("eap_pairs", eap_pairs, _EAP),
    _scores("eap_ig_pairs", eap_ig_pairs, _EAP_IG),
    _scores(
        "gradient_x_weight", gradient_x_weight, "Lee, Ajanthan and Torr 2019, arXiv 1810.02340"
    ),
    _scores("shapley_margin", shapley_margin, _SHAPLEY),
    _scores("shapley_accuracy", shapley_accuracy, _SHAPLEY),
    _scores("magnitude", magnitude, "Han, Pool, Tran and Dally 2015, arXiv 1506.02626"),
    _scores("random", random_edges, "chance"),
)
"""The methods that score edges."""
