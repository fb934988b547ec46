"""attribution methods compared with exact patching -> how far each is from it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short, require_kind
from xor_mi.finding import Finding, number_text
from xor_mi.interventions._attribution import (
    Request,
    metric_of,
    request_of,
    scores_by,
    warn_of_work_in_place,
)
from xor_mi.interventions._methods import (
    METHODS,
    Method,
    before_and_after,
    warn_of_no_gradients,
)
from xor_mi.interventions._sites import Coordinates, coordinates, edges_where_needed
from xor_mi.kinds import HookedModel, Metric, Metrics, ModelKwargs, Pairs, Sites
from xor_mi.metrics import ScoreAbove
from xor_mi.model._places import each_warning_once
from xor_mi.progress import progress_bar
from xor_mi.values import own_score_scale

NO_EFFECT = 1e-6
"""A true effect no larger than this fraction of the largest metric may be rounding, so its sign is
not compared.
"""


@dataclass(frozen=True)
class MethodScore:
    """One method compared with exact patching, in one metric, over all sites and pairs.

    Attributes:
        mean_abs_error: in the metric's units.
        correlation: with the truth; None if either is constant.
        sign_agreement: the fraction of the cells with a non-zero true effect on which the sign is
            right; None if there is no such cell.
        n_cells: sites times pairs, without the cells where the metric or the score is not finite.
        why_not: why a method does not work on this model, or what it raised; the numbers are then
            None.
    """

    method: str
    metric: str
    mean_abs_error: float | None
    correlation: float | None
    sign_agreement: float | None
    n_cells: int
    why_not: str = ""


@dataclass(frozen=True)
class MethodScores(Finding):
    """Attribution methods compared with exact patching; one `MethodScore` per metric and method.

    Attributes:
        scale: the size of the numbers that are measured, if they are the network's own score; else
            0.
    """

    scores: tuple[MethodScore, ...]
    coordinates: Coordinates = field(repr=False)
    scale: float = field(default=0.0, repr=False)

    def __str__(self) -> str:
        return f"{len(self.scores)} scores of attribution methods against exact patching"

    def _shown(self) -> tuple[str, pd.DataFrame]:
        errors = {
            one: one.mean_abs_error
            for one in self.scores
            if one.method != "exact_patching" and one.mean_abs_error is not None
        }
        if not errors:
            return str(self), self.frame()
        nearest = min(errors, key=lambda one: errors[one])
        words = (
            f"{self}; nearest is {nearest.method}, "
            f"{number_text(errors[nearest], scale=self.scale)} off on average in the "
            f"{nearest.metric}"
        )
        return words, self.frame()

    def frame(self) -> pd.DataFrame:
        """One line per metric and method.

        Columns method, metric, mean_abs_error, correlation, sign_agreement, n_cells, why_not.
        """
        return pd.DataFrame([asdict(score) for score in self.scores])


def score_methods(
    model: HookedModel,
    pairs: Pairs | None = None,
    sites: Sites | None = None,
    *,
    methods: Mapping[str, Method] | None = None,
    metrics: Metrics | None = None,
    decide: ScoreAbove | None = None,
    output: int = 0,
    model_kwargs: ModelKwargs | None = None,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> MethodScores:
    """Compare every method with exact patching, over all sites and pairs.

    If a method does not work on this model or raises, its `why_not` says why, and the others are
    scored. Methods by a gradient are not scored at hooks without one; one warning names these
    hooks.

    Args:
        pairs, sites, metrics, decide, output, model_kwargs, max_batch_bytes: as in `attribute`.
        methods: name -> function with the signature of `METHODS`.
    """
    methods = METHODS if methods is None else methods
    require_kind("methods", methods, Mapping, give="names and functions, such as METHODS")
    if not methods:
        raise XorMiError("methods is empty; give names and functions, such as METHODS")
    metrics = metric_of(metrics, decide)
    given = metrics is not None
    request = request_of(model, pairs, sites, metrics, output, model_kwargs, max_batch_bytes)
    for name, method in methods.items():
        if not callable(method):
            raise XorMiError(f"method {name!r} is {method!r}; give a function, as METHODS has")
    with each_warning_once(), edges_where_needed(model, request.sets):
        warn_of_work_in_place(model, request, methods.values())
        scores = _scores_of_all(model, request, methods, progress=progress)
    return MethodScores(
        scores=tuple(scores),
        coordinates=coordinates(
            model, request.sets, value="each method, from the clean input", direction="denoising"
        ),
        scale=0.0 if given else own_score_scale(model, request.corrupted.inputs),
    )


def _scores_of_all(
    model: HookedModel, request: Request, methods: Mapping[str, Method], *, progress: bool
) -> list[MethodScore]:
    """Every metric by every method."""
    work = list(product(request.metrics.items(), methods.items()))
    truths: dict[str, _Truth] = {}
    scores: list[MethodScore] = []
    reasons: dict[str, str] = {}
    for (metric_name, metric), (method_name, method) in progress_bar(
        work, doing="scoring methods", unit="method", progress=progress
    ):
        # Inside the bar, which would otherwise stand still during the slowest step.
        if metric_name not in truths:
            truths[metric_name] = _truth(model, request, metric)
        truth = truths[metric_name]
        try:
            scored = scores_by(method, model, request, metric)
        # A method that does not work on this model, or one of the caller's own that fails.
        except Exception as error:
            scores.append(_not_for_this(method_name, metric_name, _why_not(error)))
        else:
            reasons |= scored.reasons
            scores.append(_compared(method_name, metric_name, scored.scores, truth))
    warn_of_no_gradients(reasons)
    return scores


def _not_for_this(method: str, metric: str, why: str) -> MethodScore:
    return MethodScore(
        method=method,
        metric=metric,
        mean_abs_error=None,
        correlation=None,
        sign_agreement=None,
        n_cells=0,
        why_not=why,
    )


def _why_not(error: Exception) -> str:
    """What a method raised, on one line."""
    if isinstance(error, XorMiError):
        return str(error)
    return cut_short(f"{type(error).__name__}: {error}", at_most=300)


class _Truth(NamedTuple):
    """The effects by exact patching.

    Attributes:
        effects: of every patch on the metric, [site, pair].
        largest: the largest metric of all runs, patched or not.
    """

    effects: Tensor
    largest: float


def _truth(model: HookedModel, request: Request, metric: Metric) -> _Truth:
    before, after = before_and_after(
        model,
        request.clean,
        request.corrupted,
        request.sets,
        metric,
        max_batch_bytes=request.max_batch_bytes,
    )
    largest = max(before.abs().max().item(), after.abs().max().item())
    return _Truth(after - before, largest)


def _compared(method: str, metric: str, estimate: Tensor, exact: _Truth) -> MethodScore:
    """A method's scores [site, pair] compared with the true ones."""
    estimate, truth = estimate.flatten().double(), exact.effects.flatten().double()
    both = estimate.isfinite() & truth.isfinite()
    estimate, truth = estimate[both], truth[both]
    if not len(truth):
        return _not_for_this(method, metric, "no cell has a finite score and a finite true effect")
    correlation = agreement = None
    if len(truth) > 1 and estimate.amin() < estimate.amax() and truth.amin() < truth.amax():
        together = torch.stack([_scaled(estimate), _scaled(truth)])
        correlation = torch.corrcoef(together)[0, 1].item()
    has_effect = truth.abs() > NO_EFFECT * exact.largest
    if has_effect.any():
        same_sign = estimate[has_effect].sign() == truth[has_effect].sign()
        agreement = same_sign.double().mean().item()
    return MethodScore(
        method=method,
        metric=metric,
        mean_abs_error=(estimate - truth).abs().mean().item(),
        correlation=correlation,
        sign_agreement=agreement,
        n_cells=len(truth),
    )


def _scaled(values: Tensor) -> Tensor:
    """Values times the power of two that makes the largest about 1: their squares are numbers."""
    return torch.ldexp(values, -torch.frexp(values.abs().max()).exponent)
