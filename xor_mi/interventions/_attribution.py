"""model, clean, corrupted, sites -> a score per site and pair: approximations of patching, beside
patching itself.

Every method is an ordinary function `method(model, clean, corrupted, sites, metric) -> [site,
pair]` and estimates the same number: the metric's change when the site gets its clean value in the
corrupted run. `exact_patching` is the truth and `random` is chance, so `score_methods` can hold any
of them, or one of your own with the same signature, against both.

Gradients see only the neighbourhood of the corrupted run. At the kink of a ReLU they are zero
although patching is not: on input 00 of the textbook network every gradient at hook_pre vanishes.
That is a finding about the method."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from math import comb
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Edge, Unit
from xor_mi.interventions._patching import read_pairs
from xor_mi.interventions._run import (
    cache_all,
    inputs_per_run,
    intervene,
    named_metrics,
    read_metrics,
    run_hooked,
)
from xor_mi.interventions._sites import (
    Site,
    SiteSet,
    check_index,
    coordinates,
    default_sites,
    edges_on,
    require_ready,
    site_sets,
)
from xor_mi.metrics import logit
from xor_mi.model import HookedMLP

Metric = Callable[[Tensor], Tensor]
Method = Callable[[Any, Tensor, Tensor, Sequence[Site], Metric], Tensor]
MAX_SHAPLEY = 12
"""Exact Shapley values take 2^k joint patches."""


def exact_patching(
    model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric
) -> Float[Tensor, "site pair"]:
    """The truth: the metric with the clean value patched into the corrupted run, less the metric of
    the corrupted run.
    """
    return _patched(model, clean, corrupted, [(site,) for site in sites], metric)


def attribution_patching(
    model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric
) -> Float[Tensor, "site pair"]:
    """Gradient of the metric at the corrupted run times (clean - corrupted), summed over the site:
    patching to first order.
    """
    (_, clean_cache), (_, cache) = cache_all(model, clean), cache_all(model, corrupted)
    gradients = _gradients(model, corrupted, {site.hook_name for site in sites}, metric)
    return _times_difference(gradients, clean_cache, cache, sites)


def integrated_gradients(
    model: Any,
    clean: Tensor,
    corrupted: Tensor,
    sites: Sequence[Site],
    metric: Metric,
    n_steps: int = 64,
) -> Float[Tensor, "site pair"]:
    """The gradient averaged along the straight line from the corrupted to the clean activation of
    the whole hook, times the difference.

    The scores of all units of one hook sum to the metric's whole change, clean - corrupted, to the
    accuracy of n_steps midpoints (Sundararajan et al. 2017, arXiv 1703.01365; on hidden units,
    conductance)."""
    (_, clean_cache), (_, cache) = cache_all(model, clean), cache_all(model, corrupted)
    averaged = {}
    steps = (torch.arange(n_steps) + 0.5) / n_steps
    steps_per_run = max(
        1, inputs_per_run(model, corrupted) // (2 * len(corrupted))
    )  # a gradient takes as much again
    for name in {site.hook_name for site in sites}:
        low, high = cache[name], clean_cache[name]
        averaged[name] = torch.zeros_like(low)
        for some in steps.split(steps_per_run):
            points = torch.cat(
                [low + step.to(low) * (high - low) for step in some]
            )  # [step * pair, ...]
            repeated = corrupted.repeat(len(some), *[1] * (corrupted.ndim - 1))
            gradient = _gradients(
                model,
                repeated,
                {name},
                lambda outputs: _per_copy(metric, outputs, len(corrupted)),
                {name: points},
            )[name]
            averaged[name] += (
                gradient.reshape(len(some), len(corrupted), *gradient.shape[1:]).sum(0) / n_steps
            )
    return _times_difference(averaged, clean_cache, cache, sites)


def direct_logit(
    model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric
) -> Float[Tensor, "site pair"]:
    """Direct logit contribution: what a site itself adds to the logit, clean - corrupted: readout
    weight times activation for units and edges of the last hidden layer, the logit's own difference
    for the output. 0 for sites further back, which reach it only through these. For a HookedMLP
    without output activation, and a metric that is one of its outputs."""
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            "direct_logit reads the readout weights of a HookedMLP; use attribution_patching on other models"
        )
    with torch.no_grad():
        everywhere = model(model.rows())
        output = next(
            (
                k
                for k in range(model.cfg.d_out)
                if torch.equal(metric(everywhere), everywhere[:, k])
            ),
            None,
        )
    if output is None or model.cfg.out_act_fn != "identity":
        raise XorMiError(
            "direct_logit is about a logit itself; give a metric that is one output of a network without output activation"
        )
    (clean_out, clean_cache), (out, cache) = cache_all(model, clean), cache_all(model, corrupted)
    last = model.units[-1]
    hook_of_units, hook_of_logits = (
        model.hook_site(last)[0],
        model.hook_site(Unit(model.cfg.n_layers, 0, is_output=True))[0],
    )
    hook_of_edges = model.hook_site(Edge(last, Unit(model.cfg.n_layers, 0, is_output=True)))[0]
    terms = (clean_cache[hook_of_units] - cache[hook_of_units]) * model.linears[-1].weight.detach()[
        output
    ]  # [pair, unit]
    edges = torch.zeros(*terms.shape[:1], model.cfg.d_out, terms.shape[1]).to(terms)
    edges[:, output] = terms
    logits = torch.zeros_like(out)
    logits[:, output] = (clean_out - out)[:, output]
    direct = {hook_of_units: terms, hook_of_edges: edges, hook_of_logits: logits}
    found = [
        direct[site.hook_name][(slice(None), *site.slices)].reshape(len(clean), -1).sum(1)
        if site.hook_name in direct
        else torch.zeros(len(clean)).to(terms)
        for site in sites
    ]
    return torch.stack(found)


def shapley(
    model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric
) -> Float[Tensor, "site pair"]:
    """Exact Shapley values over the sites: the mean effect of patching a site over every order in
    which the sites could be patched.

    All 2^k subsets are run in one batch; the values sum to the effect of patching all sites
    together."""
    k = len(sites)
    if k > MAX_SHAPLEY:
        raise XorMiError(
            f"exact Shapley values of {k} sites need 2^{k} patches; at most {MAX_SHAPLEY} sites are taken"
        )
    sets = [picked for size in range(1, k + 1) for picked in combinations(range(k), size)]
    effects = _patched(
        model, clean, corrupted, [tuple(sites[i] for i in picked) for picked in sets], metric
    )
    worth = dict(zip(sets, effects, strict=True)) | {(): torch.zeros_like(effects[0])}
    scores = torch.zeros(k, effects.shape[1], dtype=effects.dtype, device=effects.device)
    for picked in [(), *sets]:
        for i in set(range(k)) - set(picked):
            joined = tuple(sorted((*picked, i)))
            scores[i] += (worth[joined] - worth[picked]) / (k * comb(k - 1, len(picked)))
    return scores


def _per_copy(metric: Metric, outputs: Tensor, n: int) -> Tensor:
    """The metric of several copies of the same inputs: it may tell inputs apart by their place, so
    it sees each copy by itself.
    """
    return torch.cat([metric(copy) for copy in outputs.split(n)])


def random(
    model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric
) -> Float[Tensor, "site pair"]:
    """Chance: normal scores of seed 0, scaled by the metric's mean absolute change between the
    pairs.
    """
    scale = (
        (metric(cache_all(model, clean)[0]) - metric(cache_all(model, corrupted)[0])).abs().mean()
    )
    return (
        torch.randn(len(sites), len(clean), generator=torch.Generator().manual_seed(0)).to(scale)
        * scale.detach()
    )


METHODS: dict[str, Method] = {
    "exact_patching": exact_patching,
    "direct_logit": direct_logit,
    "attribution_patching": attribution_patching,
    "integrated_gradients": integrated_gradients,
    "shapley": shapley,
    "random": random,
}


def attribute(
    model: Any,
    pairs: Any = None,
    sites: Sequence[Any] | None = None,
    *,
    method: str | Method = "exact_patching",
    metric: Metric | None = None,
) -> pd.DataFrame:
    """One method's scores as a tidy frame: pair, site, method, score (in the metric's units); its
    six coordinates are in `frame.attrs`.

    >>> from xor_mi.handmade import textbook_xor
    >>> attribute(textbook_xor(), method="integrated_gradients", pairs=[("01", "11")])["score"].round(3).tolist()
    [-1.0, 2.0]
    """
    labels, clean, corrupted, chosen, read = _request(model, pairs, sites, metric)
    name, function = _method(method)
    with edges_on(model, [tuple(chosen)]):
        scores = function(model, clean, corrupted, chosen, read).detach()
    frame = pd.DataFrame(
        {"pair": f"{a} -> {b}", "site": site.name, "method": name, "score": scores[s, p].item()}
        for p, (a, b) in enumerate(labels)
        for s, site in enumerate(chosen)
    )
    frame.attrs["coordinates"] = coordinates(
        isinstance(model, HookedMLP),
        [(site,) for site in chosen],
        f"{name}, from the clean input",
        "denoising",
    )._asdict()
    return frame


def score_methods(
    model: Any,
    pairs: Any = None,
    sites: Sequence[Any] | None = None,
    *,
    methods: Mapping[str, Method] | None = None,
    metric: Metric | None = None,
) -> pd.DataFrame:
    """Every method (all of `METHODS`, or those given) against exact patching, over all sites and
    pairs.

    Columns: method, mean_abs_error (metric's units), correlation with the truth (empty where either
    is constant), sign_agreement (fraction of the cells with a non-zero true effect on which the
    sign is right), n_cells, why_not (a method that is not for this model)."""
    _, clean, corrupted, chosen, read = _request(model, pairs, sites, metric)
    with edges_on(model, [tuple(chosen)]):
        truth = exact_patching(model, clean, corrupted, chosen, read).flatten().double()
        lines = []
        for name, function in (METHODS if methods is None else methods).items():
            try:
                score = function(model, clean, corrupted, chosen, read).detach().flatten().double()
            except (
                XorMiError
            ) as error:  # a method that is not for this model: said, and the others are scored
                empty = {"mean_abs_error": None, "correlation": None, "sign_agreement": None}
                lines.append({"method": name} | empty | {"n_cells": 0, "why_not": str(error)})
                continue
            varied = len(truth) > 1 and score.std() > 0 and truth.std() > 0
            correlation = (
                torch.corrcoef(torch.stack([score, truth]))[0, 1].item() if varied else None
            )
            moved = truth.abs() > 1e-6
            agreement = (
                (score[moved].sign() == truth[moved].sign()).double().mean().item()
                if moved.any()
                else None
            )
            line = {
                "method": name,
                "mean_abs_error": (score - truth).abs().mean().item(),
                "correlation": correlation,
            }
            lines.append(line | {"sign_agreement": agreement, "n_cells": len(truth), "why_not": ""})
    return pd.DataFrame(lines)


def _request(
    model: Any, pairs: Any, sites: Sequence[Any] | None, metric: Metric | None
) -> tuple[Any, Tensor, Tensor, list[Site], Metric]:
    require_ready(model, "attribution")
    labels, clean, corrupted = read_pairs(model, pairs)
    sets = site_sets(model, default_sites(model) if sites is None else sites)
    if any(len(together) > 1 for together in sets):
        raise XorMiError(
            "attribution scores single sites; patch_sweep takes sets of them, and shapley shares out their joint effect"
        )
    chosen = [site for (site,) in sets]
    if not labels or not chosen:
        raise XorMiError(
            f"{len(labels)} pairs and {len(chosen)} sites given; attribution needs at least one of each"
        )
    return labels, clean, corrupted, chosen, metric or logit


def _method(method: str | Method) -> tuple[str, Method]:
    if isinstance(method, str):
        if method not in METHODS:
            raise unknown("attribution method", method, METHODS, where="methods are")
        return method, METHODS[method]
    return getattr(method, "__name__", "given"), method


def _patched(
    model: Any, clean: Tensor, corrupted: Tensor, sets: Sequence[SiteSet], metric: Metric
) -> Tensor:
    """Effect on the metric of patching each set, [set, pair]."""
    n = len(clean)
    both = torch.cat([clean, corrupted])
    read = named_metrics({"metric": metric})
    plain, after = intervene(model, both, slice(n, None), sets, lambda _, seen: seen[:n], read)
    return after[0] - read_metrics(read, plain[n:])[0]


def _gradients(
    model: Any,
    inputs: Tensor,
    hook_names: set[str],
    metric: Metric,
    replaced: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Gradient of the metric at each hook, [input, ...]; with `replaced`, at those activations
    instead of the model's own.
    """
    added: dict[str, Tensor] = {}

    def add_zero(name: str, activation: Tensor) -> Tensor:
        value = activation if replaced is None else replaced[name].to(activation)
        added[name] = torch.zeros_like(value, requires_grad=True)
        return value + added[name]

    with torch.enable_grad():
        total = metric(
            run_hooked(
                model, inputs, {name: partial(add_zero, name) for name in sorted(hook_names)}
            )
        ).sum()
    names = list(added)
    found = torch.autograd.grad(total, [added[name] for name in names], allow_unused=True)
    return {
        n: torch.zeros_like(added[n]) if g is None else g for n, g in zip(names, found, strict=True)
    }


def _times_difference(
    gradients: Mapping[str, Tensor],
    clean: Mapping[str, Tensor],
    corrupted: Mapping[str, Tensor],
    sites: Sequence[Site],
) -> Tensor:
    """gradient * (clean - corrupted), summed over whatever the site spans, [site, pair]."""
    rows = []
    for site in sites:
        check_index(site, clean[site.hook_name])
        product = gradients[site.hook_name] * (clean[site.hook_name] - corrupted[site.hook_name])
        rows.append(product[(slice(None), *site.slices)].reshape(len(product), -1).sum(1))
    return torch.stack(rows)
