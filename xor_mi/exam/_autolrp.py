"""autolrp's layer-wise relevance propagation, over hidden units and over edges.

Layer-wise relevance propagation (Bach et al. 2015, PLoS ONE 10(7) e0130140) starts from the value
of an output and hands it down: each unit distributes its relevance over the terms of its sum, in
proportion. The library's default rules are used: epsilon for linear layers, where a bias keeps its
share; activations pass on what they get. It runs on the network's own hooks, unchanged: the values
at a hook point are wrapped in the library's tensor as they pass, and their relevance is read from
it.

An edge's relevance is what its target hands down to its source: the target's relevance times the
share of the source when only the target is explained. The hook of edges holds a sum of products,
which the library would distribute by absolute values instead.

The number that is explained is not the metric, since relevance belongs to an output, but the score
of the worst decision on the row. The library starts from 1; relevance is proportional to its start,
so it is multiplied by the score afterwards. A row whose score is 0 has no relevance.
"""

from functools import partial
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.exam._exact_methods import ElementScores
from xor_mi.exam._libraries import counted, hooked_copy, library, mean_effects
from xor_mi.exam._method import ExamMethod
from xor_mi.exam._problem import ExamProblem, Over
from xor_mi.exam._slopes import with_gradients
from xor_mi.model import HookedMLP

Wrapped = Any
"""The library's own class of tensor; Any, because the library may not be installed."""


def relevance(problem: ExamProblem, over: Over) -> ElementScores:
    """Layer-wise relevance propagation by autolrp's default rules."""
    return mean_effects(relevance_of_rows(problem, over))


@with_gradients
def relevance_of_rows(problem: ExamProblem, over: Over) -> list[Float[Tensor, "row *place"]]:
    """The relevance of every element: a tensor [row, unit] or [row, target, source] per layer."""
    autolrp = library("autolrp")
    network = hooked_copy(problem, "units")
    names = [name for name, _ in network.hook_places()]
    # the inputs, then for every layer its sums and its values
    n_layers = len(problem.numbers.layers)
    entering, sums = names[0::2][:n_layers], names[1::2][:n_layers]
    if over == "units":
        return [_relevance_at(autolrp, problem, network, name) for name in entering[1:]]
    of_layers: list[Tensor] = []
    for source_name, target_name in zip(entering, sums, strict=True):
        of_targets = _relevance_at(autolrp, problem, network, target_name)
        shares = _shares(autolrp, problem, network, source_name, target_name)
        of_layers.append(of_targets[:, :, None] * shares)
    return of_layers


def _relevance_at(
    autolrp: ModuleType, problem: ExamProblem, network: HookedMLP, name: str
) -> Float[Tensor, "row unit"]:
    """The relevance of the values at one hook point."""
    seen: list[Wrapped] = []
    wrap = partial(_wrapped, autolrp, seen)
    outputs = network.run_with_hooks(problem.inputs, fwd_hooks=[(name, wrap)])
    score: Wrapped = _worst_scores(problem, counted(problem, outputs))
    score.lrp()
    (values,) = seen
    return values.relevance * score.detach().as_subclass(Tensor)[:, None]


def _shares(
    autolrp: ModuleType,
    problem: ExamProblem,
    network: HookedMLP,
    source_name: str,
    target_name: str,
) -> Float[Tensor, "row target source"]:
    """The share of each source in each target's sum, found by explaining every target alone."""
    sources: list[Wrapped] = []
    targets: list[Wrapped] = []
    hooks = [
        (source_name, partial(_wrapped, autolrp, sources)),
        (target_name, partial(_kept, targets)),
    ]
    network.run_with_hooks(problem.inputs, fwd_hooks=hooks)
    problem.cost.forwards += 1
    of_targets: list[Tensor] = []
    for of_target in targets[0].unbind(1):
        of_target.lrp()
        problem.cost.backwards += 1
        of_targets.append(sources[0].relevance)
    return torch.stack(of_targets, dim=1)


def _wrapped(autolrp: ModuleType, seen: list[Wrapped], value: Tensor, hook: object) -> Tensor:
    """A hook that passes a value on as the library's own class of tensor, and keeps it."""
    del hook  # the hook point makes no difference
    seen.append(autolrp.tensor(value))
    return seen[0]


def _kept(seen: list[Wrapped], value: Tensor, hook: object) -> None:
    """A hook that keeps a value unchanged."""
    del hook
    seen.append(value)


def _worst_scores(
    problem: ExamProblem, outputs: Float[Tensor, "row d_out"]
) -> Float[Tensor, " row"]:
    """The score of the worst decision on each row."""
    scores = problem.model.rule.scores(outputs)
    low, high = torch.from_numpy(problem.numbers.low), torch.from_numpy(problem.numbers.high)
    plain = scores.detach().as_subclass(Tensor)
    worst = torch.minimum(plain - low, high - plain).argmin(-1)
    return scores[torch.arange(len(scores)), worst]


_OVERS: tuple[Over, Over] = ("units", "edges")

LRP_METHODS: tuple[ExamMethod, ...] = tuple(
    ExamMethod(
        name="autolrp" if over == "units" else "autolrp_edges",
        run=partial(relevance, over=over),
        over=over,
        gives="scores",
        source="autolrp (Alasad 2026), default rules; Bach et al. 2015, PLoS ONE 10(7) e0130140",
        needs="autolrp",
    )
    for over in _OVERS
)
"""Layer-wise relevance propagation over units, and over edges."""
