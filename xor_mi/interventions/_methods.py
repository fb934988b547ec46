"""model, clean, corrupted, sites, metric -> a score per site and pair: the methods of attribution.

Every method is an ordinary function `method(model, clean, corrupted, sites, metric) -> [site,
pair]` and estimates the same number: the metric's change when the site gets its clean value in the
corrupted run. `exact_patching` is the truth and `random` is chance, so `score_methods` can compare
any of them, or one of your own with the same signature, with both.

Gradients see only the neighbourhood of the corrupted run. At the kink of a ReLU they are zero
although the effect of a patch is not: on input 00 of the textbook network every gradient at
hook_pre is zero. That is a finding about the method.

Values and gradients are those that the hook point saw, even if the model works in place and changes
the activation afterwards, as `nn.ReLU(inplace=True)` does.

A hook without a gradient, such as one of whole numbers, has scores of NaN; the others have theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import comb, nan
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.interventions._direct import direct_logit
from xor_mi.interventions._examples import Examples, as_examples, distinct_examples
from xor_mi.interventions._forward import cache_all, inputs_per_run, run_plain
from xor_mi.interventions._gradients import (
    checked_metric,
    gradients_at,
    gradients_where_any,
    inputs_with_gradients,
    pairs_of,
    times_difference,
)
from xor_mi.interventions._hooks import probe_hooks, require_hooks, warn_of_unread
from xor_mi.interventions._readout import Readers, named_metrics
from xor_mi.interventions._run import intervene
from xor_mi.interventions._sites import Site, SiteSet, subsets
from xor_mi.kinds import HookedModel, Metric
from xor_mi.model import HookedMLP, warn

Method = Callable[[HookedModel, Tensor, Tensor, Sequence[Site], Metric], Tensor]
"""(model, clean inputs, corrupted inputs, sites, metric) -> scores [site, pair]."""

MOST_NAMED = 10
"""A warning names this many hooks, and says how many others there are."""

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
    """The truth: the metric's change by patching the clean value into the corrupted run, [site,
    pair]."""
    sets = [(site,) for site in sites]
    return _patched(model, clean, corrupted, sets, metric, max_batch_bytes=max_batch_bytes)


def attribution_patching(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """Patching to first order: the metric's gradient times (clean - corrupted), [site, pair].

    The gradient is taken at the corrupted run, and the products are summed over the site.
    """
    estimate = to_first_order(
        model, clean, corrupted, sites, metric, max_batch_bytes=max_batch_bytes
    )
    warn_of_no_gradients(estimate.reasons)
    return estimate.scores


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
    """The gradient, averaged from the corrupted to the clean activation, times their difference.

    The average runs along the straight line between the activations of the whole hook.

    The scores of all units of one hook sum to the metric's whole change, clean - corrupted, to the
    accuracy of n_steps midpoints (Sundararajan et al. 2017, arXiv 1703.01365; on hidden units,
    conductance).
    """
    estimate = along_the_line(
        model,
        clean,
        corrupted,
        sites,
        metric,
        n_steps=n_steps,
        max_batch_bytes=max_batch_bytes,
    )
    warn_of_no_gradients(estimate.reasons)
    return estimate.scores


def shapley(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """Exact Shapley values over the sites, [site, pair].

    A site's value is the mean effect of patching it, over every order in which sites can be
    patched.

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
    """Chance: normal random scores of seed 0, [site, pair].

    They are scaled by the metric's mean absolute change between the pairs.
    """
    both = as_examples(clean).and_then(as_examples(corrupted))
    together, _ = cache_all(model, both, [], max_batch_bytes=max_batch_bytes)
    clean_outputs, outputs = together[: len(clean)], together[len(clean) :]
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
"""The name that `attribute` and `score_methods` take -> the method."""


class Estimate(NamedTuple):
    """Scores by a method that uses gradients.

    Attributes:
        scores: [site, pair]; NaN if the hook has no gradient.
        reasons: hook name -> why it has none.
    """

    scores: Tensor
    reasons: Mapping[str, str]


class _Runs(NamedTuple):
    """The plain runs that a gradient method begins with.

    Attributes:
        outputs: of the corrupted inputs, [pair, ...].
        clean: hook name -> what it saw, [pair, ...].
        corrupted: the same for the corrupted inputs.
        at_once: how many inputs a forward with gradients may take.
    """

    outputs: Tensor
    clean: dict[str, Tensor]
    corrupted: dict[str, Tensor]
    at_once: int


@torch.inference_mode(mode=False)  # the caller's own may be on, and has no gradients
def to_first_order(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Estimate:
    """The scores of `attribution_patching`, and which hooks have no gradient."""
    corrupted = as_examples(corrupted)
    runs = _plain_runs(model, as_examples(clean), corrupted, sites, max_batch_bytes)
    checked_metric(metric, runs.outputs)
    of_hooks = partial(_gradients_of, model, corrupted, metric, runs.at_once)
    together = [sorted(runs.corrupted)]
    gradients, reasons = gradients_where_any(of_hooks, together, runs.corrupted)
    _warn_of_unread(model, corrupted, gradients)
    return Estimate(_with_nan(gradients, runs, sites), reasons)


@torch.inference_mode(mode=False)
def along_the_line(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sites: Sequence[Site],
    metric: Metric,
    *,
    n_steps: int = 64,
    max_batch_bytes: int | None = None,
) -> Estimate:
    """The scores of `integrated_gradients`, and which hooks have no gradient."""
    corrupted = as_examples(corrupted)
    runs = _plain_runs(model, as_examples(clean), corrupted, sites, max_batch_bytes)
    checked_metric(metric, runs.outputs)
    of_hooks = partial(_averaged_gradients, model, corrupted, metric, runs, n_steps)
    one_by_one = [[name] for name in sorted(runs.corrupted)]
    averaged, reasons = gradients_where_any(of_hooks, one_by_one, runs.corrupted)
    _warn_of_unread(model, corrupted, averaged)
    return Estimate(_with_nan(averaged, runs, sites), reasons)


ESTIMATES: dict[Method, Callable[..., Estimate]] = {
    attribution_patching: to_first_order,
    integrated_gradients: along_the_line,
}
"""Each method by a gradient -> the same, which also says which hooks have no gradient."""


def warn_of_no_gradients(reasons: Mapping[str, str]) -> None:
    """Name the hooks that have no gradient, in one warning."""
    if not reasons:
        return
    named = list(reasons.values())[:MOST_NAMED]
    n_more = len(reasons) - len(named)
    more = f"; and so at {n_more} more" if n_more else ""
    warn(f"{'; '.join(named)}{more}: the scores there are NaN, and the others stand")


def _plain_runs(
    model: HookedModel,
    clean: Examples,
    corrupted: Examples,
    sites: Sequence[Site],
    max_batch_bytes: int | None,
) -> _Runs:
    """Clean and corrupted inputs in the same forwards, so that the model is looked at once."""
    both, hook_names = clean.and_then(corrupted), {site.hook_name for site in sites}
    probed = None
    if not isinstance(model, HookedMLP):
        probed = probe_hooks(model, both, asked=hook_names, max_batch_bytes=max_batch_bytes)
        require_hooks(model, probed, sorted(hook_names))
    rows_per_run = inputs_per_run(model, both, max_batch_bytes, probed)
    with torch.no_grad():
        outputs, seen = run_plain(model, both, hook_names, rows_per_run)
    n = len(clean)
    return _Runs(
        outputs=outputs[n:],
        clean={name: activation[:n] for name, activation in seen.items()},
        corrupted={name: activation[n:] for name, activation in seen.items()},
        at_once=inputs_with_gradients(model, both, max_batch_bytes, probed),
    )


def _gradients_of(
    model: HookedModel,
    corrupted: Examples,
    metric: Metric,
    at_once: int,
    hook_names: Sequence[str],
) -> dict[str, Tensor]:
    return gradients_at(model, corrupted, hook_names, metric, at_once=at_once)


def _averaged_gradients(
    model: HookedModel,
    corrupted: Examples,
    metric: Metric,
    runs: _Runs,
    n_steps: int,
    hook_names: Sequence[str],
) -> dict[str, Tensor]:
    """Each hook's gradient [row, pair, ...], averaged along the line between its activations."""
    n_pairs = len(corrupted)
    midpoints = (torch.arange(n_steps) + 0.5) / n_steps
    steps_per_run = max(1, runs.at_once // n_pairs)
    averaged: dict[str, Tensor] = {}
    for name in hook_names:
        low, high = runs.corrupted[name], runs.clean[name]
        for steps in midpoints.split(steps_per_run):
            points = torch.cat([low + step.to(low) * (high - low) for step in steps])
            # All steps in one batch; what does not pass this hook stays as in the corrupted run.
            gradients = gradients_at(
                model,
                corrupted.repeated(len(steps)),
                [name],
                metric,
                at_once=runs.at_once,
                n_pairs=n_pairs,
                replaced={name: points},
            )
            # [row, step, pair, ...]
            of_steps = gradients[name].unflatten(1, (len(steps), n_pairs))
            mean_of_steps = of_steps.sum(1) / n_steps
            averaged[name] = averaged.get(name, 0.0) + mean_of_steps
    return averaged


def _with_nan(gradients: Mapping[str, Tensor], runs: _Runs, sites: Sequence[Site]) -> Tensor:
    """The scores of all sites [site, pair], NaN at hooks that have no gradient."""
    numbers = [k for k, site in enumerate(sites) if site.hook_name in gradients]
    known = times_difference(
        gradients, runs.clean, runs.corrupted, [sites[number] for number in numbers]
    )
    scores = known.new_full((len(sites), known.shape[1]), nan)
    scores[numbers] = known
    return scores


def _warn_of_unread(
    model: HookedModel, examples: Examples, gradients: Mapping[str, Tensor]
) -> None:
    """Warn of hooks that nothing reads, among those whose gradients are all zero."""
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
    named = named_metrics(metric, argument="metric")
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
