"""model, clean, corrupted, sites -> a score per site and pair.

Approximations of patching, beside patching itself.

Every method is an ordinary function `method(model, clean, corrupted, sites, metric) -> [site,
pair]` and estimates the same number: the metric's change when the site gets its clean value in the
corrupted run. `exact_patching` is the truth and `random` is chance, so `score_methods` can hold any
of them, or one of your own with the same signature, against both.

Gradients see only the neighbourhood of the corrupted run. At the kink of a ReLU they are zero
although patching is not: on input 00 of the textbook network every gradient at hook_pre vanishes.
That is a finding about the method.

Values and gradients are those that the hook point saw, also where the model works in place and
changes the activation afterwards, as `nn.ReLU(inplace=True)` does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from math import comb
from typing import Any, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, require_memory, unknown
from xor_mi.finding import Finding
from xor_mi.graph import Edge, Unit
from xor_mi.interventions._patching import read_pairs
from xor_mi.interventions._readout import Readers, named_metrics, readers_of, require_one_each
from xor_mi.interventions._run import (
    bytes_per_number,
    cache_all,
    changed_in_place,
    distinct_inputs,
    inputs_per_run,
    intervene,
    run_hooked,
)
from xor_mi.interventions._sites import (
    Coordinates,
    Site,
    SiteSet,
    check_index,
    coordinates,
    default_sites,
    edges_where_needed,
    require_ready,
    site_sets,
    subsets,
)
from xor_mi.kinds import AttributionMethod, HookedModel, Metric, Metrics, Pairs, Sites
from xor_mi.model import HookedMLP, warn
from xor_mi.progress import progress_bar

Method = Callable[[HookedModel, Tensor, Tensor, Sequence[Site], Metric], Tensor]
"""(model, clean inputs, corrupted inputs, sites, metric) -> scores [site, pair]."""

MAX_SHAPLEY = 12
"""Exact Shapley values take 2^k joint patches."""

NO_EFFECT = 1e-6
"""A true effect no larger than this part of the largest metric has no sign to agree with: it may be
rounding.
"""


def exact_patching(
    model: HookedModel,
    clean: Tensor,
    corrupted: Tensor,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """The truth: how the metric changes with the clean value patched into the corrupted run."""
    sets = [(site,) for site in sites]
    return _patched(model, clean, corrupted, sets, metric, max_batch_bytes=max_batch_bytes)


def attribution_patching(
    model: HookedModel,
    clean: Tensor,
    corrupted: Tensor,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """Patching to first order: the metric's gradient times (clean - corrupted).

    The gradient is taken at the corrupted run, and the products are summed over the site.
    """
    hook_names = {site.hook_name for site in sites}
    _, clean_cache = cache_all(model, clean, hook_names, max_batch_bytes=max_batch_bytes)
    _, cache = cache_all(model, corrupted, hook_names, max_batch_bytes=max_batch_bytes)
    at_once = _gradients_at_once(model, corrupted, max_batch_bytes)
    gradients = _gradients_in_parts(model, corrupted, hook_names, metric, at_once)
    return _times_difference(gradients, clean_cache, cache, sites)


def integrated_gradients(
    model: HookedModel,
    clean: Tensor,
    corrupted: Tensor,
    sites: Sequence[Site],
    metric: Metric,
    *,
    n_steps: int = 64,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """The gradient averaged from the corrupted to the clean activation, times their difference.

    The average runs along the straight line between the activations of the whole hook.

    The scores of all units of one hook sum to the metric's whole change, clean - corrupted, to the
    accuracy of n_steps midpoints (Sundararajan et al. 2017, arXiv 1703.01365; on hidden units,
    conductance).
    """
    hook_names = {site.hook_name for site in sites}
    _, clean_cache = cache_all(model, clean, hook_names, max_batch_bytes=max_batch_bytes)
    _, cache = cache_all(model, corrupted, hook_names, max_batch_bytes=max_batch_bytes)
    n_pairs = len(corrupted)
    midpoints = (torch.arange(n_steps) + 0.5) / n_steps
    at_once = _gradients_at_once(model, corrupted, max_batch_bytes)
    steps_per_run = max(1, at_once // n_pairs)
    averaged: dict[str, Tensor] = {}
    for name in hook_names:
        low, high = cache[name], clean_cache[name]
        averaged[name] = torch.zeros_like(low)
        for steps in midpoints.split(steps_per_run):
            points = torch.cat([low + step.to(low) * (high - low) for step in steps])
            # All steps in one batch; what does not pass this hook is as in the corrupted run.
            inputs = corrupted.repeat(len(steps), *[1] * (corrupted.ndim - 1))
            per_copy = partial(_per_copy, metric, n_pairs)
            gradients = _gradients_in_parts(
                model, inputs, {name}, per_copy, at_once, {name: points}
            )
            gradient = gradients[name]
            of_steps = gradient.reshape(len(steps), n_pairs, *gradient.shape[1:])
            averaged[name] += of_steps.sum(0) / n_steps
    return _times_difference(averaged, clean_cache, cache, sites)


def direct_logit(
    model: HookedModel,
    clean: Tensor,
    corrupted: Tensor,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """Direct logit contribution: what a site itself adds to the logit, clean - corrupted.

    Readout weight times activation for units and edges of the last hidden layer, and for inputs
    and edges of direct connections; the logit's own difference for the output. 0 for sites further
    back, which reach it only through these. For a HookedMLP without output activation, and a metric
    that is one of its outputs, or the difference y1 - y0 that argmax over two decides by.
    """
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            "direct_logit reads the readout weights of a HookedMLP; use attribution_patching on "
            "other models"
        )
    # A metric is any function, so whether it is an output is seen from its values.
    shares = _shares_of_outputs(metric, model)
    if shares is None or model.cfg.out_act_fn != "identity":
        argmax = ", or the difference of two by argmax" if model.rule.name == "argmax" else ""
        raise XorMiError(
            f"direct_logit is about a logit itself; give a metric that is one output{argmax}, of "
            "a network without output activation"
        )
    readout = Unit(model.cfg.n_layers, 0, is_output=True)
    logits_hook, _ = model.hook_site(readout)
    into_readout = [(model.units[-1], model.linears[-1])]
    if model.direct is not None:
        into_readout.append((Unit(-1, 0), model.direct))
    read_by_it = [model.hook_site(source)[0] for source, _ in into_readout]
    clean_outputs, clean_cache = cache_all(
        model, clean, read_by_it, max_batch_bytes=max_batch_bytes
    )
    outputs, cache = cache_all(model, corrupted, read_by_it, max_batch_bytes=max_batch_bytes)
    logits = torch.zeros_like(outputs)
    for output, share in shares.items():
        logits[:, output] = share * (clean_outputs - outputs)[:, output]
    by_hook = {logits_hook: logits}
    for source, linear in into_readout:
        values_hook, _ = model.hook_site(source)
        edges_hook, _ = model.hook_site(Edge(source, readout))
        difference = clean_cache[values_hook] - cache[values_hook]  # [pair, source]
        edges = torch.zeros(len(difference), *linear.weight.shape).to(difference)
        for output, share in shares.items():
            edges[:, output] = difference * (share * linear.weight.detach()[output])
        by_hook[edges_hook] = edges
        by_hook[values_hook] = edges.sum(1)

    scores: list[Tensor] = []
    for site in sites:
        if site.hook_name in by_hook:
            scores.append(_summed_over(site, by_hook[site.hook_name]))
        else:
            scores.append(torch.zeros(len(clean)).to(outputs))
    return torch.stack(scores)


def shapley(
    model: HookedModel,
    clean: Tensor,
    corrupted: Tensor,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """Exact Shapley values over the sites.

    The mean effect of patching a site over every order in which the sites could be patched.

    All 2^k subsets are run in one batch; the values sum to the effect of patching all sites
    together.
    """
    k = len(sites)
    if k > MAX_SHAPLEY:
        raise XorMiError(
            f"exact Shapley values of {k} sites need 2^{k} patches; at most {MAX_SHAPLEY} sites "
            "are taken"
        )
    # The same subsets in the same order, as numbers and as sites.
    picks = subsets(range(k))
    sets = subsets(sites)
    effects = _patched(model, clean, corrupted, sets, metric, max_batch_bytes=max_batch_bytes)
    worth = dict(zip(picks, effects, strict=True))
    worth[()] = torch.zeros_like(effects[0])
    scores = torch.zeros(k, effects.shape[1], dtype=effects.dtype, device=effects.device)
    for picked in [(), *picks]:
        # Of the k! orders, the share in which exactly these come before i: 1 / (k C(k-1, size)).
        one_in = k * comb(k - 1, len(picked))
        for i in set(range(k)) - set(picked):
            joined = tuple(sorted((*picked, i)))
            scores[i] += (worth[joined] - worth[picked]) / one_in
    return scores


def random(
    model: HookedModel,
    clean: Tensor,
    corrupted: Tensor,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """Chance: normal scores of seed 0.

    They are scaled by the metric's mean absolute change between the pairs.
    """
    clean_outputs, _ = cache_all(model, clean, [], max_batch_bytes=max_batch_bytes)
    outputs, _ = cache_all(model, corrupted, [], max_batch_bytes=max_batch_bytes)
    scale = (metric(clean_outputs) - metric(outputs)).abs().mean()
    # A generator of its own: the caller's global seed stays as it is.
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(sites), len(clean), generator=generator).to(scale) * scale.detach()


METHODS: dict[str, Method] = {
    "exact_patching": exact_patching,
    "direct_logit": direct_logit,
    "attribution_patching": attribution_patching,
    "integrated_gradients": integrated_gradients,
    "shapley": shapley,
    "random": random,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Attribution(Finding):
    """One method's scores, in each metric's units.

    Attributes:
        pairs: (clean, corrupted) as text.
        sites: what is scored.
        method: its name.
        metrics: names.
        scores: [metric, site, pair].
        coordinates: what was intervened on and how.
    """

    pairs: tuple[tuple[str, str], ...]
    sites: tuple[Site, ...]
    method: str
    metrics: tuple[str, ...]
    scores: Float[Tensor, "metric site pair"] = field(repr=False)
    coordinates: Coordinates = field(repr=False)

    def __str__(self) -> str:
        size = f"{len(self.pairs)} pairs x {len(self.sites)} sites"
        return f"Attribution by {self.method}: {size}, in {', '.join(self.metrics)}"

    def frame(self) -> pd.DataFrame:
        """One line per metric, pair and site: pair, site, method, metric, score."""
        pairs = [f"{clean} -> {corrupted}" for clean, corrupted in self.pairs]
        names = [site.name for site in self.sites]
        cells = list(product(self.metrics, pairs, names))
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
class MethodScore:
    """One method against exact patching, in one metric, over all sites and pairs.

    Attributes:
        mean_abs_error: in the metric's units.
        correlation: with the truth; None where either is constant.
        sign_agreement: the fraction of the cells with a non-zero true effect on which the sign is
            right; None where there is no such cell.
        n_cells: sites times pairs.
        why_not: why a method is not for this model, and then the numbers are None.
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
    """Attribution methods held against exact patching; one `MethodScore` per metric and method."""

    scores: tuple[MethodScore, ...]
    coordinates: Coordinates = field(repr=False)

    def __str__(self) -> str:
        return f"{len(self.scores)} scores of attribution methods against exact patching"

    def frame(self) -> pd.DataFrame:
        """One line per metric and method.

        Columns method, metric, mean_abs_error, correlation, sign_agreement, n_cells, why_not.
        """
        return pd.DataFrame([asdict(score) for score in self.scores])


@dataclass(frozen=True)
class _Request:
    """What `attribute` and `score_methods` are asked, checked."""

    pairs: tuple[tuple[str, str], ...]
    clean: Tensor
    corrupted: Tensor
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
    output: int = 0,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> Attribution:
    """One method's scores of every site for every pair.

    Args:
        pairs, sites: as in `patch_sweep`, but single sites only.
        method: one of `METHODS`, or a function with their signature.
        metrics: as in `patch_sweep`.
        max_batch_bytes: as in `patch_sweep`; a function of your own sees to it itself.

    >>> from xor_mi.handmade import textbook_xor
    >>> scored = attribute(textbook_xor(), [("01", "11")], method="integrated_gradients")
    >>> scored.frame()["score"].round(3).tolist()
    [-1.0, 2.0]

    Raises:
        XorMiError: an unknown method or one that is not for this model, a set of sites, and all
            that `patch_sweep` refuses.
    """
    request = _request(model, pairs, sites, metrics, output, max_batch_bytes)
    name, function = _method(method)
    _warn_of_work_in_place(model, request, [function])
    functions = progress_bar(
        request.metrics.values(), doing="attributing", unit="metric", progress=progress
    )
    with edges_where_needed(model, request.sets):
        scores = [_scores(function, model, request, metric) for metric in functions]
    return Attribution(
        pairs=request.pairs,
        sites=request.sites,
        method=name,
        metrics=tuple(request.metrics),
        scores=torch.stack(scores),
        coordinates=coordinates(
            model, request.sets, value=f"{name}, from the clean input", direction="denoising"
        ),
    )


def score_methods(
    model: HookedModel,
    pairs: Pairs | None = None,
    sites: Sites | None = None,
    *,
    methods: Mapping[str, Method] | None = None,
    metrics: Metrics | None = None,
    output: int = 0,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> MethodScores:
    """Every method against exact patching, over all sites and pairs.

    A method that is not for this model says why, and the others are scored.

    Args:
        pairs, sites, metrics, output, max_batch_bytes: as in `attribute`.
        methods: name -> function with the signature of `METHODS`.
    """
    methods = METHODS if methods is None else methods
    require_kind("methods", methods, Mapping, give="names and functions, such as METHODS")
    if not methods:
        raise XorMiError("methods is empty; give names and functions, such as METHODS")
    request = _request(model, pairs, sites, metrics, output, max_batch_bytes)
    for name, method in methods.items():
        if not callable(method):
            raise XorMiError(f"method {name!r} is {method!r}; give a function, as METHODS has")
    _warn_of_work_in_place(model, request, methods.values())
    work = list(product(request.metrics.items(), methods.items()))
    truths: dict[str, _Truth] = {}
    scores: list[MethodScore] = []
    with edges_where_needed(model, request.sets):
        for (metric_name, metric), (method_name, method) in progress_bar(
            work, doing="scoring methods", unit="method", progress=progress
        ):
            # Inside the bar, which would otherwise stand still at the slowest step.
            if metric_name not in truths:
                truths[metric_name] = _truth(model, request, metric)
            truth = truths[metric_name]
            try:
                estimate = _scores(method, model, request, metric)
            except XorMiError as error:  # a method that is not for this model
                scores.append(_not_for_this(method_name, metric_name, str(error)))
            else:
                scores.append(_compared(method_name, metric_name, estimate, truth))
    return MethodScores(
        scores=tuple(scores),
        coordinates=coordinates(
            model, request.sets, value="each method, from the clean input", direction="denoising"
        ),
    )


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


class _Truth(NamedTuple):
    """What exact patching says.

    Attributes:
        effects: of every patch on the metric, [site, pair].
        largest: the largest metric of all runs, with a patch and without.
    """

    effects: Tensor
    largest: float


def _truth(model: HookedModel, request: _Request, metric: Metric) -> _Truth:
    before, after = _before_and_after(
        model,
        # copies: the model may write into its inputs
        request.clean.clone(),
        request.corrupted.clone(),
        request.sets,
        metric,
        max_batch_bytes=request.max_batch_bytes,
    )
    largest = max(before.abs().max().item(), after.abs().max().item())
    return _Truth(after - before, largest)


def _compared(method: str, metric: str, estimate: Tensor, exact: _Truth) -> MethodScore:
    """A method's scores [site, pair] against the true ones."""
    estimate, truth = estimate.flatten().double(), exact.effects.flatten().double()
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


def _request(
    model: HookedModel,
    pairs: Pairs | None,
    sites: Sites | None,
    metrics: Metrics | None,
    output: int,
    max_batch_bytes: int | None,
) -> _Request:
    require_ready(model, "attribution")
    read = read_pairs(model, pairs)
    sets = site_sets(model, default_sites(model) if sites is None else sites)
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
    n_metrics = len(readers.metrics)
    require_memory(
        n_metrics * len(sets) * len(read.names) * bytes_per_number(model),
        what=f"{n_metrics} x {len(sets):,} x {len(read.names):,} scores",
        do="give fewer pairs or sites",
    )
    return _Request(
        pairs=read.names,
        clean=read.inputs[read.clean],
        corrupted=read.inputs[read.corrupted],
        sites=tuple([site for (site,) in sets]),
        metrics=dict(readers.functions[:n_metrics]),
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


def _scores(method: Method, model: HookedModel, request: _Request, metric: Metric) -> Tensor:
    """One method's scores [site, pair], checked to be laid out so.

    Raises:
        XorMiError: a method that gives something else: transposed scores would be read as those of
            other sites and pairs.
    """
    if method in METHODS.values():
        bounded: Any = method  # the package's own methods take the bound, others need not
        method = partial(bounded, max_batch_bytes=request.max_batch_bytes)
    # Copies: the method's own runs, or the model itself, may write into them.
    clean, corrupted = request.clean.clone(), request.corrupted.clone()
    scores = method(model, clean, corrupted, request.sites, metric)
    expected = [len(request.sites), len(request.pairs)]
    if not isinstance(scores, Tensor) or list(scores.shape) != expected:
        got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise XorMiError(f"the method gave {got}; give a tensor [site, pair], here {expected}")
    return scores.detach()


def _warn_of_work_in_place(
    model: HookedModel, request: _Request, methods: Iterable[Method]
) -> None:
    """Warn where a method of the caller's own may read caches that the model has spoiled."""
    if isinstance(model, HookedMLP) or not set(methods) - set(METHODS.values()):
        return
    names = {site.hook_name for site in request.sites}
    for name in changed_in_place(model, request.corrupted[:1], sorted(names)):
        warn(
            f"this model changes the activation at '{name}' in place after the hook point, so "
            "run_with_cache holds the changed values there; a method of your own needs a hook that "
            "makes a copy, as the package's own methods have"
        )


def _shares_of_outputs(metric: Metric, model: HookedMLP) -> dict[int, float] | None:
    """Output -> its share in this metric, where it is one output or argmax's difference of two."""
    with torch.no_grad():
        outputs = model(model.rows())
    try:
        values = _tensor_of(metric, outputs)
    except XorMiError:  # one whose labels are those of the pairs is no output itself
        return None
    for k in range(model.cfg.d_out):
        if torch.equal(values, outputs[:, k]):
            return {k: 1.0}
    scores = model.rule.scores(outputs)
    is_difference = scores.shape[1] < model.cfg.d_out and torch.equal(values, scores[:, 0])
    return {0: -1.0, 1: 1.0} if is_difference else None


def _patched(
    model: HookedModel,
    clean: Tensor,
    corrupted: Tensor,
    sets: Sequence[SiteSet],
    metric: Metric,
    *,
    max_batch_bytes: int | None,
) -> Tensor:
    """Effect on the metric of patching each set, [set, pair]."""
    before, after = _before_and_after(
        model, clean, corrupted, sets, metric, max_batch_bytes=max_batch_bytes
    )
    return after - before


def _before_and_after(
    model: HookedModel,
    clean: Tensor,
    corrupted: Tensor,
    sets: Sequence[SiteSet],
    metric: Metric,
    *,
    max_batch_bytes: int | None,
) -> tuple[Tensor, Tensor]:
    """The metric of the corrupted runs, [pair], and with each set patched in them, [set, pair]."""
    named = named_metrics({"metric": metric})
    readers = Readers(metrics=("metric",), functions=tuple(named.items()))
    inputs, numbers = distinct_inputs(torch.cat([clean, corrupted]))
    source, base = numbers.chunk(2)
    plain, after = intervene(
        model,
        inputs,
        base,
        sets,
        replacement=lambda _, activation, which: activation[source[which]],
        readers=readers,
        max_batch_bytes=max_batch_bytes,
    )
    return readers.read(plain[base])[0], after[0]


def _per_copy(metric: Metric, n_pairs: int, outputs: Tensor) -> Tensor:
    """The metric of several copies of the same inputs.

    It may tell inputs apart by their place, so it sees each copy by itself.
    """
    return torch.cat([_tensor_of(metric, copy) for copy in outputs.split(n_pairs)])


def _tensor_of(metric: Metric, outputs: Tensor) -> Tensor:
    """A metric's values [example], which must be a tensor to have a gradient."""
    values = metric(outputs)
    require_kind("what the metric gives", values, Tensor, give="a tensor, one number per example")
    require_one_each("the metric", values, outputs)
    return values


def _gradients_at_once(model: HookedModel, inputs: Tensor, max_batch_bytes: int | None) -> int:
    """How many inputs one forward with gradients may take: they take as much memory again."""
    return max(1, inputs_per_run(model, inputs, max_batch_bytes) // 2)


def _gradients_in_parts(
    model: HookedModel,
    inputs: Tensor,
    hook_names: set[str],
    metric: Metric,
    at_once: int,
    replaced: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """`_gradients` of any number of inputs, with at most `at_once` in one forward.

    A metric may compare the inputs of a run, so it sees the outputs of all of them: its gradient
    there is taken first, and carried back to the hooks part by part.
    """
    if len(inputs) <= at_once:
        return _gradients(model, inputs, hook_names, metric, replaced)
    starts = range(0, len(inputs), at_once)
    parts = [slice(start, start + at_once) for start in starts]
    outputs = torch.cat(
        [_outputs_with(model, inputs[part], _of_part(replaced, part)) for part in parts]
    ).requires_grad_()
    with torch.enable_grad():
        total = _tensor_of(metric, outputs).sum()
    _require_gradient(total)
    (at_outputs,) = torch.autograd.grad(total, [outputs])
    gradients: dict[str, list[Tensor]] = {name: [] for name in hook_names}
    for part in parts:
        # a metric that is linear in the outputs and has this gradient
        metric_here = partial(_weighted, at_outputs[part])
        of_part = _gradients(model, inputs[part], hook_names, metric_here, _of_part(replaced, part))
        for name, gradient in of_part.items():
            gradients[name].append(gradient)
    return {name: torch.cat(of_parts) for name, of_parts in gradients.items()}


def _of_part(replaced: Mapping[str, Tensor] | None, part: slice) -> dict[str, Tensor] | None:
    return None if replaced is None else {name: one[part] for name, one in replaced.items()}


def _weighted(weights: Tensor, outputs: Tensor) -> Tensor:
    """The sum of an input's outputs [input, ...], each times its weight."""
    return (weights * outputs).reshape(len(outputs), -1).sum(1)


@torch.no_grad()
def _outputs_with(
    model: HookedModel, inputs: Tensor, replaced: Mapping[str, Tensor] | None
) -> Tensor:
    """The outputs with some hooks' activations replaced, without a gradient."""
    hooks = {name: partial(_replace_by, new) for name, new in (replaced or {}).items()}
    return run_hooked(model, inputs, hooks)


def _replace_by(new: Tensor, activation: Tensor) -> Tensor:
    return new.to(activation, copy=True)


def _require_gradient(total: Tensor) -> None:
    if not total.requires_grad:
        raise XorMiError(
            "this metric has no gradient; give one that is computed from the outputs without "
            "rounding or detach, or use exact_patching"
        )


def _gradients(
    model: HookedModel,
    inputs: Tensor,
    hook_names: set[str],
    metric: Metric,
    replaced: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Gradient of the metric at each hook, [input, ...].

    With `replaced`, at those activations instead of the model's own.
    """
    added: dict[str, Tensor] = {}
    # Sorted, so that the same request always runs in the same order.
    hooks = {
        name: partial(_add_zero, added, name, None if replaced is None else replaced[name])
        for name in sorted(hook_names)
    }
    try:
        with torch.enable_grad():
            total = _tensor_of(metric, run_hooked(model, inputs, hooks)).sum()
        _require_gradient(total)
        gradients = torch.autograd.grad(total, list(added.values()), allow_unused=True)
    except RuntimeError as error:
        # torch's own words; what else may go wrong in a model is not ours to answer
        if "inplace operation" not in str(error) and "in-place operation" not in str(error):
            raise
        raise XorMiError(
            "this model changes in place what its gradient needs; write that step so that it makes "
            "a new tensor, or use exact_patching"
        ) from None
    return {
        name: torch.zeros_like(zero) if gradient is None else gradient
        for (name, zero), gradient in zip(added.items(), gradients, strict=True)
    }


def _add_zero(
    added: dict[str, Tensor], name: str, new: Tensor | None, activation: Tensor
) -> Tensor:
    """An activation, or another one in its place, with a zero added that is kept.

    The gradient of the zero is that of the activation, which itself stays untouched.
    """
    value = activation if new is None else new.to(activation)
    added[name] = torch.zeros_like(value, requires_grad=True)
    return value + added[name]


def _times_difference(
    gradients: Mapping[str, Tensor],
    clean: Mapping[str, Tensor],
    corrupted: Mapping[str, Tensor],
    sites: Sequence[Site],
) -> Tensor:
    """gradient * (clean - corrupted), summed over whatever the site spans, [site, pair]."""
    scores: list[Tensor] = []
    for site in sites:
        name = site.hook_name
        check_index(site, clean[name])
        scores.append(_summed_over(site, gradients[name] * (clean[name] - corrupted[name])))
    return torch.stack(scores)


def _summed_over(site: Site, values: Tensor) -> Tensor:
    """Values [pair, ...] of a hook -> their sum over the entries of the site, [pair]."""
    return values[(slice(None), *site.slices)].reshape(len(values), -1).sum(1)
