"""model, clean, corrupted, sites -> a score per site and pair: approximations of patching, beside patching itself.

Every method is an ordinary function `method(model, clean, corrupted, sites, metric) -> [site, pair]` and estimates the same number: the
metric's change when the site gets its clean value in the corrupted run. `exact_patching` is the truth and `random` is chance, so
`score_methods` can hold any of them, or one of your own with the same signature, against both.

Gradients see only the neighbourhood of the corrupted run. At the kink of a ReLU they are zero although patching is not: on input 00 of the
textbook network every gradient at hook_pre vanishes. That is a finding about the method.
"""

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
from xor_mi.interventions.patching import read_pairs
from xor_mi.interventions.run import MAX_BATCH_BYTES, cache_all, intervene, read_metrics
from xor_mi.interventions.sites import Site, SiteSet, default_sites, edges_on, require_ready, site_of
from xor_mi.metrics import logit
from xor_mi.model import HookedMLP

Metric = Callable[[Tensor], Tensor]
Method = Callable[[Any, Tensor, Tensor, Sequence[Site], Metric], Tensor]
MAX_SHAPLEY = 12
"""Exact Shapley values take 2^k joint patches."""


def exact_patching(model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric) -> Float[Tensor, "site pair"]:
    """The truth: the metric with the clean value patched into the corrupted run, less the metric of the corrupted run."""
    return _patched(model, clean, corrupted, [(site,) for site in sites], metric)


def attribution_patching(model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric) -> Float[Tensor, "site pair"]:
    """Gradient of the metric at the corrupted run times (clean - corrupted), summed over the site: patching to first order."""
    (_, clean_cache), (_, cache) = cache_all(model, clean), cache_all(model, corrupted)
    gradients = _gradients(model, corrupted, {site.hook_name for site in sites}, metric)
    return _times_difference(gradients, clean_cache, cache, sites)


def integrated_gradients(
    model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric, n_steps: int = 64
) -> Float[Tensor, "site pair"]:
    """The gradient averaged along the straight line from the corrupted to the clean activation of the whole hook, times the difference.

    The scores of all units of one hook sum to the metric's whole change, clean - corrupted, to the accuracy of n_steps midpoints
    (Sundararajan et al. 2017, arXiv 1703.01365; on hidden units, conductance).
    """
    (_, clean_cache), (_, cache) = cache_all(model, clean), cache_all(model, corrupted)
    averaged = {}
    steps = (torch.arange(n_steps) + 0.5) / n_steps
    for name in {site.hook_name for site in sites}:
        low, high = cache[name], clean_cache[name]
        points = torch.cat([low + step.to(low) * (high - low) for step in steps])  # [step * pair, ...]
        repeated = corrupted.repeat(n_steps, *[1] * (corrupted.ndim - 1))
        gradient = _gradients(model, repeated, {name}, metric, {name: points})[name]
        averaged[name] = gradient.reshape(n_steps, len(corrupted), *gradient.shape[1:]).mean(0)
    return _times_difference(averaged, clean_cache, cache, sites)


def direct_logit(model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric) -> Float[Tensor, "site pair"]:
    """Direct logit contribution: readout weight times (clean - corrupted) activation, for units of the last hidden layer; 0 for all others,
    which reach the output only through them. A HookedMLP without output activation, and the metric "logit"."""
    if not isinstance(model, HookedMLP):
        raise XorMiError("direct_logit reads the readout weights of a HookedMLP; use attribution_patching on other models")
    (out, clean_cache), (_, cache) = cache_all(model, clean), cache_all(model, corrupted)
    name, _ = model.hook_site(model.units()[-1])
    output = next((k for k in range(out.shape[1]) if torch.equal(metric(out), out[:, k])), None)
    if output is None or model.cfg.out_act_fn != "identity":
        raise XorMiError("direct_logit is about a logit itself; give a metric that is one output of a network without output activation")
    weight = model.linears[-1].weight.detach()[output]
    terms = (clean_cache[name] - cache[name]) * weight
    zero = torch.zeros(len(clean), dtype=terms.dtype, device=terms.device)
    return torch.stack([terms[:, site.index[0]] if site.hook_name == name and len(site.index) == 1 else zero for site in sites])


def shapley(model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric) -> Float[Tensor, "site pair"]:
    """Exact Shapley values over the sites: the mean effect of patching a site over every order in which the sites could be patched.

    All 2^k subsets are run in one batch; the values sum to the effect of patching all sites together.
    """
    k = len(sites)
    if k > MAX_SHAPLEY:
        raise XorMiError(f"exact Shapley values of {k} sites need 2^{k} patches; at most {MAX_SHAPLEY} sites are taken")
    sets = [picked for size in range(1, k + 1) for picked in combinations(range(k), size)]
    effects = _patched(model, clean, corrupted, [tuple(sites[i] for i in picked) for picked in sets], metric)
    worth = dict(zip(sets, effects, strict=True)) | {(): torch.zeros_like(effects[0])}
    scores = torch.zeros(k, effects.shape[1], dtype=effects.dtype, device=effects.device)
    for picked in [(), *sets]:
        for i in set(range(k)) - set(picked):
            joined = tuple(sorted((*picked, i)))
            scores[i] += (worth[joined] - worth[picked]) / (k * comb(k - 1, len(picked)))
    return scores


def random(model: Any, clean: Tensor, corrupted: Tensor, sites: Sequence[Site], metric: Metric) -> Float[Tensor, "site pair"]:
    """Chance: normal scores of seed 0, scaled by the metric's mean absolute change between the pairs."""
    scale = (metric(cache_all(model, clean)[0]) - metric(cache_all(model, corrupted)[0])).abs().mean()
    return torch.randn(len(sites), len(clean), generator=torch.Generator().manual_seed(0)).to(scale) * scale.detach()


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
    method: str | Method = "exact_patching",
    pairs: Any = None,
    sites: Sequence[Any] | None = None,
    metric: Metric | None = None,
) -> pd.DataFrame:
    """One method's scores as a tidy frame: pair, site, method, score (in the metric's units).

    >>> from xor_mi.handmade import textbook_xor
    >>> attribute(textbook_xor(), "integrated_gradients", pairs=[("01", "11")])["score"].round(3).tolist()
    [-1.0, 2.0]
    """
    labels, clean, corrupted, chosen, read = _request(model, pairs, sites, metric)
    name, function = _method(method)
    with edges_on(model, [tuple(chosen)]):
        scores = function(model, clean, corrupted, chosen, read).detach()
    return pd.DataFrame(
        {"pair": f"{a} -> {b}", "site": site.name, "method": name, "score": scores[s, p].item()}
        for p, (a, b) in enumerate(labels)
        for s, site in enumerate(chosen)
    )


def score_methods(
    model: Any,
    methods: Mapping[str, Method] | None = None,
    pairs: Any = None,
    sites: Sequence[Any] | None = None,
    metric: Metric | None = None,
) -> pd.DataFrame:
    """Every method (all of `METHODS`, or those given) against exact patching, over all sites and pairs.

    Columns: method, mean_abs_error (metric's units), correlation with the truth (empty where either is constant), sign_agreement
    (fraction of the cells with a non-zero true effect on which the sign is right), n_cells.
    """
    _, clean, corrupted, chosen, read = _request(model, pairs, sites, metric)
    with edges_on(model, [tuple(chosen)]):
        truth = exact_patching(model, clean, corrupted, chosen, read).flatten().double()
        lines = []
        for name, function in (METHODS if methods is None else methods).items():
            score = function(model, clean, corrupted, chosen, read).detach().flatten().double()
            varied = len(truth) > 1 and score.std() > 0 and truth.std() > 0
            correlation = torch.corrcoef(torch.stack([score, truth]))[0, 1].item() if varied else None
            moved = truth.abs() > 1e-6
            agreement = (score[moved].sign() == truth[moved].sign()).double().mean().item() if moved.any() else None
            line = {"method": name, "mean_abs_error": (score - truth).abs().mean().item(), "correlation": correlation}
            lines.append(line | {"sign_agreement": agreement, "n_cells": len(truth)})
    return pd.DataFrame(lines)


def _request(model: Any, pairs: Any, sites: Sequence[Any] | None, metric: Metric | None) -> tuple[Any, Tensor, Tensor, list[Site], Metric]:
    require_ready(model, "attribution")
    labels, clean, corrupted = read_pairs(model, pairs)
    chosen = [site_of(model, site) for site in (default_sites(model) if sites is None else sites)]
    if not labels or not chosen:
        raise XorMiError(f"{len(labels)} pairs and {len(chosen)} sites given; attribution needs at least one of each")
    return labels, clean, corrupted, chosen, metric or logit


def _method(method: str | Method) -> tuple[str, Method]:
    if isinstance(method, str):
        if method not in METHODS:
            raise unknown("attribution method", method, METHODS, where="methods are")
        return method, METHODS[method]
    return getattr(method, "__name__", "given"), method


def _patched(model: Any, clean: Tensor, corrupted: Tensor, sets: Sequence[SiteSet], metric: Metric) -> Tensor:
    """Effect on the metric of patching each set, [set, pair]."""
    n = len(clean)
    both = torch.cat([clean, corrupted])
    plain, after = intervene(model, both, slice(n, None), sets, lambda _, seen: seen[:n], {"metric": metric}, MAX_BATCH_BYTES)
    return after[0] - read_metrics({"metric": metric}, plain[n:])[0]


def _gradients(
    model: Any, inputs: Tensor, hook_names: set[str], metric: Metric, replaced: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Gradient of the metric at each hook, [input, ...]; with `replaced`, at those activations instead of the model's own."""
    added: dict[str, Tensor] = {}

    def add_zero(name: str, activation: Tensor, hook: Any) -> Tensor:
        del hook  # a TransformerBridge may call it by another name than the one asked for
        value = activation if replaced is None else replaced[name].to(activation)
        added[name] = torch.zeros_like(value, requires_grad=True)
        return value + added[name]

    with torch.enable_grad(), model.hooks(fwd_hooks=[(name, partial(add_zero, name)) for name in sorted(hook_names)]):
        total = metric(model(inputs)).sum()
    names = list(added)
    found = torch.autograd.grad(total, [added[name] for name in names], allow_unused=True)
    return {n: torch.zeros_like(added[n]) if g is None else g for n, g in zip(names, found, strict=True)}


def _times_difference(
    gradients: Mapping[str, Tensor], clean: Mapping[str, Tensor], corrupted: Mapping[str, Tensor], sites: Sequence[Site]
) -> Tensor:
    """gradient * (clean - corrupted), summed over whatever the site spans, [site, pair]."""
    rows = []
    for site in sites:
        product = gradients[site.hook_name] * (clean[site.hook_name] - corrupted[site.hook_name])
        rows.append(product[(slice(None), *site.slices)].reshape(len(product), -1).sum(1))
    return torch.stack(rows)
