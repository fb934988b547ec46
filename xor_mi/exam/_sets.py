"""one ExamProblem -> a set of edges or units, by greedy removal, ACDC or optimised masks.

A set is True or False per edge or unit, in the order of the problem.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, shown, whole_number
from xor_mi.exam._method import ExamMethod, Method
from xor_mi.exam._problem import ExamProblem, Over, require_slopes, require_tied
from xor_mi.exam._slopes import with_gradients

ElementSet = NDArray[np.bool_]
"""Which edges or units are in the set."""

ACDC_THRESHOLD = 0.1
"""The default threshold of `acdc`, as a share of the metric's distance between whole and empty."""

N_STEPS = 100
"""The steps of Adam that optimise masks."""
N_STARTS = 8
"""Draws of noise that each setting is tried with; together they take little longer than one."""
LEARNING_RATE = 0.2
"""The step size of Adam, in log-odds of a mask."""
START = 2.0
"""The log-odds with which each mask starts."""
TEMPERATURE, STRETCHED_FROM, STRETCHED_TO = 2 / 3, -0.1, 1.1
"""The constants of hard-concrete masks as in Louizos, Welling and Kingma 2018 (1712.01312)."""
MAX_SIZES = 24
"""The most different sizes that edge pruning tries."""
EDGE_PRUNING_WEIGHT = 10.0
"""The weight of the squared error in size (as a share of all edges) beside the network's metric."""
PROBING_WEIGHTS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""The weights of the expected share of edges beside the loss of the task; each is tried."""


def greedy_removal(problem: ExamProblem) -> ElementSet:
    """Remove edges one by one, outputs first, as long as all right decisions stay right.

    It goes layer by layer from the outputs to the inputs, within a layer in the order of
    `problem.edges`, and starts over until no single edge can be removed. The set is then locally
    minimal (Hadad, Katz and Bassan 2026, arXiv 2602.16823), although two edges together may still
    be removable.

    >>> from xor_mi.handmade import textbook_xor
    >>> greedy_removal(ExamProblem.of(textbook_xor())).tolist()
    [True, True, True, True, True, True]
    """
    return _removed_until_none_goes(problem, "edges", _outputs_first(problem))


def greedy_removal_once(problem: ExamProblem) -> ElementSet:
    """As `greedy_removal`, but each edge is looked at only once.

    The set may keep edges that can be removed: those from a unit that lost all its sources later.
    """
    kept = np.ones(len(problem.edges), dtype=np.bool_)
    return _removed_once(problem, "edges", kept, _outputs_first(problem))


def acdc(problem: ExamProblem, *, threshold: float = ACDC_THRESHOLD) -> ElementSet:
    """Remove edges one by one, outputs first, if the metric moves by less than a threshold.

    Each edge is looked at once, targets and their sources in reverse order; it is removed if the
    metric's distance from that of the whole network grows by less than the threshold. The distance
    is the mean over rows of the absolute difference. Conmy et al. 2023, arXiv 2304.14997, use the
    Kullback-Leibler divergence of the outputs instead.

    Args:
        threshold: a share of the distance between the metrics of the empty and the whole network.

    Raises:
        XorMiError: a problem that is not an ExamProblem, or a threshold that is not a number of at
            least 0.
    """
    _require_problem(problem)
    is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not is_number or not 0 <= threshold < np.inf:
        raise XorMiError(f"threshold is {shown(threshold)}; give a finite number of at least 0")
    kept = np.ones(len(problem.edges), dtype=np.bool_)
    whole, empty = _values(problem, np.stack([kept, ~kept]))
    at_most = threshold * np.abs(whole - empty).mean()
    distance = 0.0
    for edge in reversed(range(len(kept))):
        kept[edge] = False
        (values,) = _values(problem, kept[None])
        without_it = float(np.abs(values - whole).mean())
        if without_it - distance < at_most:
            distance = without_it
        else:
            kept[edge] = True
    return kept


def acdc_decisions(problem: ExamProblem) -> ElementSet:
    """Remove edges one by one, in ACDC's order, as long as all right decisions stay right.

    After Conmy et al. 2023, arXiv 2304.14997, with decisions in place of a threshold.
    """
    kept = np.ones(len(problem.edges), dtype=np.bool_)
    return _removed_once(problem, "edges", kept, reversed(range(len(kept))))


def greedy_removal_units(problem: ExamProblem) -> ElementSet:
    """Remove units one by one, the last layer first, as long as all right decisions stay right.

    It starts over until no single unit can be removed.

    >>> from xor_mi.handmade import textbook_xor
    >>> greedy_removal_units(ExamProblem.of(textbook_xor())).tolist()
    [True, True]
    """
    layers = [unit.layer for unit in problem.units]
    order = sorted(range(len(layers)), key=lambda unit: -layers[unit])
    return _removed_until_none_goes(problem, "units", order)


@with_gradients
def edge_pruning(problem: ExamProblem, *, n_steps: int = N_STEPS) -> ElementSet:
    """Masks of edges by gradient, to stay near the whole network's metric at a wanted size.

    Adam optimises hard-concrete masks all at once, `N_STARTS` for each wanted number of edges (at
    most `MAX_SIZES` numbers, evenly chosen). The loss is the mean absolute distance of the metric
    from that of the whole network, plus the squared error in the expected number of edges; then the
    wanted number of edges with the largest masks is kept. The answer is the smallest such set that
    keeps all right decisions. Bhaskar, Wettig, Friedman and Chen 2024, arXiv 2406.16778, choose one
    size and let its weight grow.

    Raises:
        XorMiError: a problem that is not an ExamProblem, the metric "accuracy", which has no slope,
            or n_steps that is not a whole number of at least 1.
    """
    _require_problem(problem)
    n_steps = whole_number("n_steps", n_steps, at_least=1)
    n_edges = len(problem.edges)
    sizes = np.linspace(1, n_edges, min(n_edges, MAX_SIZES)).round()
    wanted = torch.from_numpy(sizes).repeat(N_STARTS)
    whole, scale = _whole_and_scale(problem)

    def loss(values: Tensor, expected: Tensor) -> Tensor:
        distance = (values - whole).abs().mean(-1) / scale
        missed = (expected.sum(-1) - wanted) / n_edges
        return distance + EDGE_PRUNING_WEIGHT * missed.square()

    log_odds = _optimised(problem, "edge_pruning", loss, n_masks=len(wanted), n_steps=n_steps)
    # among equal masks the earlier edge is kept
    rank = np.argsort(np.argsort(-log_odds, axis=1, kind="stable"), axis=1)
    return _smallest_right(problem, rank < wanted.numpy()[:, None])


@with_gradients
def subnetwork_probing(problem: ExamProblem, *, n_steps: int = N_STEPS) -> ElementSet:
    """Masks of edges by gradient, to do the task with few edges.

    Adam optimises hard-concrete masks all at once, `N_STARTS` for each of `PROBING_WEIGHTS`. The
    loss is the logistic loss of the metric, measured in units of the whole network's, plus a weight
    times the expected share of edges; then masks of at least 1/2 are kept. The answer is the
    smallest such set that keeps all right decisions. Cao, Sanh and Rush 2021, arXiv 2104.03514, use
    one weight.

    Raises:
        XorMiError: a problem that is not an ExamProblem, the metric "accuracy", which has no slope,
            or n_steps that is not a whole number of at least 1.
    """
    _require_problem(problem)
    n_steps = whole_number("n_steps", n_steps, at_least=1)
    weights = torch.tensor(PROBING_WEIGHTS, dtype=torch.float64).repeat(N_STARTS)
    _, scale = _whole_and_scale(problem)

    def loss(values: Tensor, expected: Tensor) -> Tensor:
        of_task = torch.nn.functional.softplus(-values / scale).mean(-1)
        return of_task + weights * expected.mean(-1)

    log_odds = _optimised(
        problem, "subnetwork_probing", loss, n_masks=len(weights), n_steps=n_steps
    )
    return _smallest_right(problem, log_odds >= 0)


def _require_problem(problem: ExamProblem) -> None:
    require_kind("problem", problem, ExamProblem, give="an ExamProblem.of(model)")


def _outputs_first(problem: ExamProblem) -> list[int]:
    """The edges layer by layer from the outputs to the inputs, within a layer in their order."""
    layers = [edge.src.layer for edge in problem.edges]
    return sorted(range(len(layers)), key=lambda edge: -layers[edge])


def _right(problem: ExamProblem, over: Over, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows each mask of elements decides right, [mask, row]."""
    edges = kept if over == "edges" else problem.edges_between(kept)
    return problem.right(edges).numpy()


def _values(problem: ExamProblem, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The metric of masks of edges on every row, [mask, row]."""
    return problem.values(kept).detach().double().numpy()


def _removed_once(
    problem: ExamProblem, over: Over, kept: ElementSet, order: Iterable[int]
) -> ElementSet:
    """One pass: an element is removed if all rows that are right with `kept` stay right."""
    kept = kept.copy()
    (to_stay,) = _right(problem, over, kept[None])
    for element in order:
        if not kept[element]:
            continue
        kept[element] = False
        (right,) = _right(problem, over, kept[None])
        kept[element] = not right[to_stay].all()
    return kept


def _removed_until_none_goes(problem: ExamProblem, over: Over, order: list[int]) -> ElementSet:
    """Passes of `_removed_once`, until one changes nothing."""
    kept = np.ones(len(order), dtype=np.bool_)
    while True:
        fewer = _removed_once(problem, over, kept, order)
        if (fewer == kept).all():
            return kept
        kept = fewer


def _smallest_right(problem: ExamProblem, sets: NDArray[np.bool_]) -> ElementSet:
    """The smallest of these sets of edges with which all rows stay right, or the whole network."""
    whole = np.ones((1, sets.shape[1]), dtype=np.bool_)
    together = np.concatenate([whole, sets])
    right = _right(problem, "edges", together)
    good = together[right[:, right[0]].all(-1)]
    return good[good.sum(-1).argmin()]


def _whole_and_scale(problem: ExamProblem) -> tuple[Tensor, Tensor]:
    """The whole network's metric on every row, and the mean of its size over rows."""
    require_slopes(problem)
    whole = problem.values(np.ones((1, len(problem.edges))))[0].detach()
    scale = whole.abs().mean()
    return whole, scale if scale > 0 else torch.ones_like(scale)


def _optimised(
    problem: ExamProblem,
    name: str,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    n_masks: int,
    n_steps: int,
) -> Float[np.ndarray, "mask edge"]:
    """The log-odds of hard-concrete masks after some steps of Adam.

    Args:
        name: the method's name, which seeds its random numbers.
        loss: (metric [mask, row], chance of each edge to be kept [mask, edge]) -> [mask].
    """
    shape = (n_masks, len(problem.edges))
    log_odds = torch.full(shape, START, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([log_odds], lr=LEARNING_RATE, fused=True)
    generator = problem.generator(name)
    stretched_from = torch.full(shape, STRETCHED_FROM, dtype=torch.float64)
    always_zero = TEMPERATURE * np.log(-STRETCHED_FROM / STRETCHED_TO)
    outputs = _quick_outputs(problem)
    for _ in range(n_steps):
        noise = torch.from_numpy(generator.logistic(0, 1 / TEMPERATURE, size=shape))
        soft = torch.sigmoid(torch.add(noise, log_odds, alpha=1 / TEMPERATURE))
        stretched = torch.add(stretched_from, soft, alpha=STRETCHED_TO - STRETCHED_FROM)
        values = problem.metric_of(outputs(stretched.clamp(0, 1)))
        require_tied(values)
        expected = torch.sigmoid(log_odds - always_zero)
        (log_odds.grad,) = torch.autograd.grad(loss(values, expected).sum(), [log_odds])
        adam.step()
    problem.cost.forwards += n_steps * n_masks
    problem.cost.backwards += n_steps * n_masks
    return log_odds.detach().numpy()


def _quick_outputs(problem: ExamProblem) -> Callable[[Float[Tensor, "mask edge"]], Tensor]:
    """As `problem.outputs`, with fewer operations, which dominate the cost of small masks.

    Returns:
        A function of masks [mask, edge] that returns outputs [mask, row, output].
    """
    numbers = problem.numbers
    sizes = list(pairwise(numbers.sizes))
    n_edges = [n_sources * n_targets for n_sources, n_targets in sizes]
    weights = [torch.from_numpy(layer.weight) for layer in numbers.layers]
    biases = [torch.from_numpy(layer.bias_if_all_dropped)[:, None] for layer in numbers.layers]
    carried = [torch.from_numpy(layer.carried)[:, None] for layer in numbers.layers]
    inputs = problem.inputs.T - carried[0]

    def outputs(kept: Float[Tensor, "mask edge"]) -> Tensor:
        moved = inputs.expand(len(kept), -1, -1)
        live: Tensor | None = None
        values = moved
        for number, of_layer in enumerate(kept.split(n_edges, dim=1)):
            n_sources, n_targets = sizes[number]
            of_layer = of_layer.view(-1, n_targets, n_sources)
            if live is not None:
                # a source without a source of its own is dropped
                of_layer = of_layer * (live.detach() > 0).any(-1)[:, None]
                moved = values - carried[number] if numbers.layers[number].carried.any() else values
            live = of_layer
            sums = torch.baddbmm(biases[number], live * weights[number], moved)
            values = numbers.model.activate(sums, number)
        return values.transpose(1, 2)

    return outputs


def _set(name: str, run: Method, source: str, over: Over = "edges") -> ExamMethod:
    return ExamMethod(name=name, run=run, over=over, gives="set", source=source)


_GREEDY = "Hadad, Katz and Bassan 2026, arXiv 2602.16823"
_ACDC = "Conmy et al. 2023, arXiv 2304.14997"

SET_METHODS: tuple[ExamMethod, ...] = (
    _set("greedy_removal", greedy_removal, _GREEDY),
    _set("greedy_removal_once", greedy_removal_once, _GREEDY),
    _set("acdc", acdc, _ACDC),
    _set("acdc_decisions", acdc_decisions, f"{_ACDC}, with decisions in place of a threshold"),
    _set(
        "edge_pruning",
        edge_pruning,
        "Bhaskar, Wettig, Friedman and Chen 2024, arXiv 2406.16778",
    ),
    _set("subnetwork_probing", subnetwork_probing, "Cao, Sanh and Rush 2021, arXiv 2104.03514"),
    _set("greedy_removal_units", greedy_removal_units, _GREEDY, over="units"),
)
"""The methods that give a set of edges or of units."""
