"""model, clean, corrupted, sites, metric -> a score per site and pair: the methods of attribution.

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

from collections.abc import Callable, Mapping, Sequence
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.interventions._direct import direct_logit
from xor_mi.interventions._examples import Examples, as_examples, distinct_examples
from xor_mi.interventions._forward import cache_all
from xor_mi.interventions._gradients import (
    checked_metric,
    gradients_at,
    inputs_with_gradients,
    pairs_of,
    times_difference,
)
from xor_mi.interventions._hooks import warn_of_unread
from xor_mi.interventions._readout import Readers, named_metrics
from xor_mi.interventions._run import intervene
from xor_mi.interventions._sites import Site, SiteSet, subsets
from xor_mi.kinds import HookedModel, Metric
from xor_mi.model import HookedMLP

Method = Callable[[HookedModel, Tensor, Tensor, Sequence[Site], Metric], Tensor]
"""(model, clean inputs, corrupted inputs, sites, metric) -> scores [site, pair]."""

MAX_SHAPLEY = 12
"""Exact Shapley values take 2^k joint patches."""


def exact_patching(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """The truth: how the metric changes with the clean value patched into the corrupted run."""
    sets = [(site,) for site in sites]
    return _patched(model, clean, corrupted, sets, metric, max_batch_bytes=max_batch_bytes)


@torch.inference_mode(mode=False)  # the caller's own may be on, and has no gradients
def attribution_patching(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """Patching to first order: the metric's gradient times (clean - corrupted).

    The gradient is taken at the corrupted run, and the products are summed over the site.
    """
    hook_names = {site.hook_name for site in sites}
    corrupted = as_examples(corrupted)
    _, clean_cache = cache_all(model, clean, hook_names, max_batch_bytes=max_batch_bytes)
    outputs, cache = cache_all(model, corrupted, hook_names, max_batch_bytes=max_batch_bytes)
    checked_metric(metric, outputs)
    at_once = inputs_with_gradients(model, corrupted, max_batch_bytes)
    gradients = gradients_at(model, corrupted, hook_names, metric, at_once=at_once)
    _warn_of_unread(model, corrupted, gradients)
    return times_difference(gradients, clean_cache, cache, sites)


@torch.inference_mode(mode=False)
def integrated_gradients(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
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
    hook_names = sorted({site.hook_name for site in sites})
    corrupted = as_examples(corrupted)
    _, clean_cache = cache_all(model, clean, hook_names, max_batch_bytes=max_batch_bytes)
    outputs, cache = cache_all(model, corrupted, hook_names, max_batch_bytes=max_batch_bytes)
    checked_metric(metric, outputs)
    n_pairs = len(corrupted)
    midpoints = (torch.arange(n_steps) + 0.5) / n_steps
    at_once = inputs_with_gradients(model, corrupted, max_batch_bytes)
    steps_per_run = max(1, at_once // n_pairs)
    averaged: dict[str, Tensor] = {}
    for name in hook_names:
        low, high = cache[name], clean_cache[name]
        for steps in midpoints.split(steps_per_run):
            points = torch.cat([low + step.to(low) * (high - low) for step in steps])
            # All steps in one batch; what does not pass this hook is as in the corrupted run.
            gradients = gradients_at(
                model,
                corrupted.repeated(len(steps)),
                [name],
                metric,
                at_once=at_once,
                n_pairs=n_pairs,
                replaced={name: points},
            )
            # [row, step, pair, ...]
            of_steps = gradients[name].unflatten(1, (len(steps), n_pairs))
            mean_of_steps = of_steps.sum(1) / n_steps
            averaged[name] = averaged.get(name, 0.0) + mean_of_steps
    _warn_of_unread(model, corrupted, averaged)
    return times_difference(averaged, clean_cache, cache, sites)


def shapley(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
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
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
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
    scale = (checked_metric(metric, clean_outputs) - checked_metric(metric, outputs)).abs().mean()
    # A generator of its own: the caller's global seed stays as it is.
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(sites), len(clean), generator=generator).to(scale) * scale


METHODS: dict[str, Method] = {
    "exact_patching": exact_patching,
    "direct_logit": direct_logit,
    "attribution_patching": attribution_patching,
    "integrated_gradients": integrated_gradients,
    "shapley": shapley,
    "random": random,
}


def _warn_of_unread(
    model: HookedModel, examples: Examples, gradients: Mapping[str, Tensor]
) -> None:
    """Where a whole hook has no gradient, ask whether anything reads it."""
    if not isinstance(model, HookedMLP):
        warn_of_unread(model, examples, [name for name, one in gradients.items() if not one.any()])


def _patched(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sets: Sequence[SiteSet],
    metric: Metric,
    *,
    max_batch_bytes: int | None,
) -> Tensor:
    """Effect on the metric of patching each set, [set, pair]."""
    before, after = before_and_after(
        model, clean, corrupted, sets, metric, max_batch_bytes=max_batch_bytes
    )
    return after - before


def before_and_after(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sets: Sequence[SiteSet],
    metric: Metric,
    *,
    max_batch_bytes: int | None,
) -> tuple[Tensor, Tensor]:
    """The metric of the corrupted runs, [pair], and with each set patched in them, [set, pair]."""
    named = named_metrics(metric)
    readers = Readers(metrics=tuple(named), functions=tuple(named.items()))
    both = as_examples(clean).and_then(as_examples(corrupted))
    examples, numbers = distinct_examples(both)
    source, base = numbers.chunk(2)
    plain, after = intervene(
        model,
        examples,
        base,
        sets,
        replacement=lambda _, activation, which: activation[source[which]],
        readers=readers,
        max_batch_bytes=max_batch_bytes,
    )
    return readers.read(plain[base], pairs_of(metric))[0], after[0]
