"""model, pairs, sites, one method -> a score per metric, site and pair.

Arguments are read and checked here as in `patch_sweep`, also for `score_methods`, and so are the
scores that a method returns. The methods themselves are in `_methods`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, require_memory, shown, unknown
from xor_mi.finding import Finding, count_text
from xor_mi.interventions._cells import effects_table, largest_effect
from xor_mi.interventions._examples import Examples, require_finite_inputs
from xor_mi.interventions._forward import bytes_per_number, changed_in_place
from xor_mi.interventions._gradients import NamedMetric
from xor_mi.interventions._hooks import probe_hooks, require_hooks
from xor_mi.interventions._methods import ESTIMATES, METHODS, Method, warn_of_no_gradients
from xor_mi.interventions._pairs import names_of_pairs, read_pairs
from xor_mi.interventions._readout import readers_of
from xor_mi.interventions._sites import (
    Coordinates,
    Site,
    SiteSet,
    coordinates,
    edges_where_needed,
    require_ready,
    site_sets,
)
from xor_mi.kinds import AttributionMethod, HookedModel, Metric, Metrics, ModelKwargs, Pairs, Sites
from xor_mi.metrics import ScoreAbove
from xor_mi.model import HookedMLP, warn
from xor_mi.model._places import each_warning_once
from xor_mi.progress import progress_bar
from xor_mi.values import own_score_scale

LOOK_THEMSELVES = ("exact_patching", "shapley", "attribution_patching", "integrated_gradients")
"""Methods that look at the hooks of a model before they begin."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Attribution(Finding):
    """One method's scores, in each metric's units; NaN at hooks without a gradient if it needs one.

    Attributes:
        pairs: (clean, corrupted) as text.
        sites: what is scored.
        method: its name.
        metrics: names.
        scores: [metric, site, pair].
        coordinates: what was intervened on and how.
        pair_names: what each pair is called; "clean -> corrupted" by default.
        scale: the size of the numbers that the scores of the first metric are made of; 0 if that is
            not known.
    """

    pairs: tuple[tuple[str, str], ...]
    sites: tuple[Site, ...]
    method: str
    metrics: tuple[str, ...]
    scores: Float[Tensor, "metric site pair"] = field(repr=False)
    coordinates: Coordinates = field(repr=False)
    pair_names: tuple[str, ...] = field(default=(), repr=False)
    scale: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        if not self.pair_names:
            object.__setattr__(self, "pair_names", names_of_pairs(self.pairs))

    def _shown(self) -> tuple[str, pd.DataFrame]:
        names = [site.name for site in self.sites]
        of_metrics = list(zip(self.metrics, self.scores, strict=True))
        largest = largest_effect(self.scores[0], names, metric=self.metrics[0], what="score")
        return f"{self}. {largest}", effects_table(of_metrics, names, what="score")

    def __getitem__(self, metric: str) -> "Attribution":
        """The scores in one metric."""
        if metric not in self.metrics:
            raise unknown("metric", metric, self.metrics, where="this attribution has")
        k = self.metrics.index(metric)
        return replace(self, metrics=(metric,), scores=self.scores[k : k + 1])

    def __str__(self) -> str:
        size = f"{count_text(len(self.pairs), 'pair')} x {count_text(len(self.sites), 'site')}"
        return f"Attribution by {self.method}: {size}, in {', '.join(self.metrics)}"

    def frame(self) -> pd.DataFrame:
        """One line per metric, pair and site: pair, site, method, metric, score."""
        names = [site.name for site in self.sites]
        cells = list(product(self.metrics, self.pair_names, names))
        return pd.DataFrame(
            {
                "pair": [pair for _, pair, _ in cells],
                "site": [site for _, _, site in cells],
                "method": self.method,
                "metric": [metric for metric, _, _ in cells],
                # [metric, site, pair] in the order of the cells, [metric, pair, site]
                "score": self.scores.transpose(1, 2).flatten().tolist(),
            }
        )


@dataclass(frozen=True)
class Request:
    """The checked arguments of `attribute` and `score_methods`."""

    pairs: tuple[tuple[str, str], ...]
    clean: Examples
    corrupted: Examples
    sites: tuple[Site, ...]
    metrics: dict[str, Metric]
    max_batch_bytes: int | None

    @property
    def sets(self) -> list[SiteSet]:
        return [(site,) for site in self.sites]


def attribute(
    model: HookedModel,
    pairs: Pairs | None = None,
    sites: Sites | None = None,
    *,
    method: AttributionMethod | Method = "exact_patching",
    metrics: Metrics | None = None,
    decide: ScoreAbove | None = None,
    output: int = 0,
    model_kwargs: ModelKwargs | None = None,
    pair_names: Sequence[str] | None = None,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> Attribution:
    """One method's scores of every site for every pair.

    Args:
        pairs, sites: as in `patch_sweep`, but only single sites.
        method: one of `METHODS`, or a function with their signature. The score is NaN at a hook of
            whole numbers, and wherever else a method needs a gradient that does not exist; one
            warning says so.
        metrics: as in `patch_sweep`.
        decide: a decision of `xor_mi.metrics`, such as `by_tokens(one, zero)`, whose score is the
            metric; in place of metrics.
        model_kwargs: as in `patch_sweep`; a function of your own gets none.
        pair_names: as in `patch_sweep`.
        max_batch_bytes: as in `patch_sweep`; a function of your own has to keep to it itself.

    >>> from xor_mi.handmade import textbook_xor
    >>> scored = attribute(textbook_xor(), [("01", "11")], method="integrated_gradients")
    >>> scored.frame()["score"].round(3).tolist()
    [-1.0, 2.0]

    Raises:
        XorMiError: an unknown method or one that does not work on this model, a set of sites, a
            method that needs a gradient at sites that all have none, and all that `patch_sweep`
            refuses.
    """
    metrics = metric_of(metrics, decide)
    given = metrics is not None
    request = request_of(model, pairs, sites, metrics, output, model_kwargs, max_batch_bytes)
    called = names_of_pairs(request.pairs, pair_names)
    name, function = _method(method)
    with each_warning_once():
        if not isinstance(model, HookedMLP) and name not in LOOK_THEMSELVES:
            asked = list(dict.fromkeys([site.hook_name for site in request.sites]))
            probed = probe_hooks(
                model, request.corrupted, asked=asked, max_batch_bytes=request.max_batch_bytes
            )
            require_hooks(model, probed, asked)
        warn_of_work_in_place(model, request, [function])
        functions = progress_bar(
            request.metrics.values(), doing="attributing", unit="metric", progress=progress
        )
        with edges_where_needed(model, request.sets):
            by_metric = [scores_by(function, model, request, metric) for metric in functions]
        reasons: dict[str, str] = {}
        for scored in by_metric:
            reasons |= scored.reasons
        warn_of_no_gradients(reasons)
        scores = torch.stack([scored.scores for scored in by_metric])
        _warn_of_scores(name, tuple(request.metrics), scores, request, reasons)
    return Attribution(
        pairs=request.pairs,
        sites=request.sites,
        method=name,
        metrics=tuple(request.metrics),
        scores=scores,
        coordinates=coordinates(
            model, request.sets, value=f"{name}, from the clean input", direction="denoising"
        ),
        pair_names=called,
        scale=0.0 if given else own_score_scale(model, request.corrupted.inputs),
    )


def metric_of(metrics: Metrics | None, decide: ScoreAbove | None) -> Metrics | None:
    """The metrics, or the score of the decision that is given instead.

    Raises:
        XorMiError: both are given, or a decision without a score.
    """
    if decide is None:
        return metrics
    if metrics is not None:
        raise XorMiError(
            "metrics and decide are both given, and each names the metric; give one of them"
        )
    if not isinstance(decide, ScoreAbove):
        raise XorMiError(
            f"decide is {shown(decide)}, which has no score to take a gradient of; give "
            "metrics.by_tokens(one, zero) or another of these, or metrics="
        )
    return {decide.name: decide.score}


def request_of(
    model: HookedModel,
    pairs: Pairs | None,
    sites: Sites | None,
    metrics: Metrics | None,
    output: int,
    model_kwargs: ModelKwargs | None,
    max_batch_bytes: int | None,
) -> Request:
    require_ready(model, "attribution")
    read = read_pairs(model, pairs, model_kwargs)
    require_finite_inputs(read.examples)
    sets = site_sets(model, sites)
    if any(len(together) > 1 for together in sets):
        raise XorMiError(
            "attribution scores single sites; patch_sweep takes sets of them, and shapley shares "
            "out their joint effect"
        )
    if not read.names or not sets:
        raise XorMiError(
            f"{len(read.names)} pairs and {len(sets)} sites given; attribution needs at least one "
            "of each"
        )
    readers = readers_of(model, metrics, output, read.inputs[read.clean])
    pairs_text = tuple([f"{clean} -> {corrupted}" for clean, corrupted in read.names])
    n_metrics = len(readers.metrics)
    require_memory(
        n_metrics * len(sets) * len(read.names) * bytes_per_number(model),
        what=f"{n_metrics} x {len(sets):,} x {len(read.names):,} scores",
        do="give fewer pairs or sites",
    )
    return Request(
        pairs=read.names,
        clean=read.examples[read.clean],
        corrupted=read.examples[read.corrupted],
        sites=tuple([site for (site,) in sets]),
        metrics={
            name: NamedMetric(name, one, pairs_text) for name, one in readers.functions[:n_metrics]
        },
        max_batch_bytes=max_batch_bytes,
    )


def _method(method: str | Method) -> tuple[str, Method]:
    if not isinstance(method, str):
        if not callable(method):
            raise XorMiError(
                f"method is {method!r}; give one of {', '.join(METHODS)}, or a function"
            )
        return getattr(method, "__name__", "given"), method
    if method not in METHODS:
        raise unknown("attribution method", method, METHODS, where="methods are")
    return method, METHODS[method]


class Scored(NamedTuple):
    """The result of a method.

    Attributes:
        scores: [site, pair].
        reasons: hook name -> why it has no gradient, so that its scores are NaN.
    """

    scores: Tensor
    reasons: Mapping[str, str]


def is_ours(method: Method) -> bool:
    """Whether this is one of the package's own methods, or one of them with settings."""
    return (method.func if isinstance(method, partial) else method) in METHODS.values()


def scores_by(method: Method, model: HookedModel, request: Request, metric: Metric) -> Scored:
    """One method's scores, checked to be [site, pair].

    Raises:
        XorMiError: a method that gives another shape: transposed scores would be read as the scores
            of other sites and pairs.
    """
    reasons: Mapping[str, str] = {}
    if is_ours(method):
        function, settings = method, {"max_batch_bytes": request.max_batch_bytes}
        if isinstance(method, partial):
            function, settings = method.func, settings | method.keywords
        asked = (model, request.clean, request.corrupted, request.sites, metric)
        if function in ESTIMATES:
            scores, reasons = ESTIMATES[function](*asked, **settings)
        else:
            # the package's own methods take the bound; others do not have to
            bounded: Any = function
            scores = bounded(*asked, **settings)
    elif request.clean.each or request.clean.whole:
        raise XorMiError(
            "a method of your own gets no model_kwargs; close over them in it, or use one of "
            f"{', '.join(METHODS)}"
        )
    else:
        # Copies: the method's own runs, or the model itself, may write into them.
        clean, corrupted = request.clean.inputs.clone(), request.corrupted.inputs.clone()
        scores = method(model, clean, corrupted, request.sites, metric)
    expected = [len(request.sites), len(request.pairs)]
    if not isinstance(scores, Tensor) or list(scores.shape) != expected:
        got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise XorMiError(f"the method gave {got}; give a tensor [site, pair], here {expected}")
    return Scored(scores.detach(), reasons)


def _warn_of_scores(
    name: str,
    metrics: Sequence[str],
    scores: Tensor,
    request: Request,
    without: Iterable[str],
) -> None:
    """Name the first score that is not finite, and say how many there are.

    Args:
        without: hooks that are known to have no gradient.
    """
    has_gradient = torch.tensor([site.hook_name not in without for site in request.sites])
    bad = (~scores.isfinite() & has_gradient.to(scores.device)[:, None]).nonzero()
    if len(bad):
        metric, site, pair = bad[0].tolist()
        clean, corrupted = request.pairs[pair]
        warn(
            f"the score of {request.sites[site].name} by {name} for {clean} -> {corrupted}, in "
            f"{metrics[metric]}, is {scores[metric, site, pair].item()}; {len(bad)} of "
            f"{scores.numel()} scores are not finite, the others are"
        )


def warn_of_work_in_place(model: HookedModel, request: Request, methods: Iterable[Method]) -> None:
    """Warn if a caller's own method may read cached values that the model has changed since."""
    if isinstance(model, HookedMLP) or all(map(is_ours, methods)):
        return
    names = {site.hook_name for site in request.sites}
    for name in changed_in_place(model, request.corrupted[:1], sorted(names)):
        warn(
            f"this model changes the activation at '{name}' in place after the hook point, so "
            "run_with_cache holds the changed values there; a method of your own needs a hook that "
            "makes a copy, as the package's own methods have"
        )
