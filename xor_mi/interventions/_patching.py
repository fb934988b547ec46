"""(clean, corrupted) pairs x sites -> the effect of every patch, all in one batched forward."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.interventions._run import intervene, named_metrics, read_metrics
from xor_mi.interventions._sites import (
    Coordinates,
    SiteSet,
    coordinates,
    default_sites,
    edges_on,
    name_of,
    require_mlp,
    require_ready,
    site_sets,
)
from xor_mi.metrics import decision, logit
from xor_mi.model import HookedMLP
from xor_mi.truth import as_row, row_name, truth_rows

DIRECTIONS = ("denoising", "noising")
DECIDES = "(the output that is decided)"
Pair = tuple[tuple[int, ...], tuple[int, ...]]


SAME = 1e-6
"""Clean and corrupted metrics closer than this part of the largest one in the sweep count as the
same: no fraction is taken of rounding.
"""


@dataclass(frozen=True)
class PatchEffect:
    """One patch, in one metric. Decisions are 1, 0, or -1 where the output is on the threshold.

    Attributes:
        effect: patched minus the unpatched run it was made in (corrupted under denoising, clean
            under noising).
        recovered_fraction: (patched - corrupted) / (clean - corrupted), or None, and then
            why_no_fraction says why.
        decision_patched, flips: the decision after the patch, and whether the patch changed it;
            None where nothing is decided.
    """

    clean: str
    corrupted: str
    pair: str
    site: str
    direction: str
    metric: str
    value_clean: float
    value_corrupted: float
    value_patched: float
    effect: float
    recovered_fraction: float | None
    why_no_fraction: str
    decision_patched: int | None
    flips: bool | None


@dataclass(frozen=True, eq=False)
class PatchSweep:
    """All patches of a sweep; `frame()` is tidy, one line per patch, one group of columns per
    metric.

    Attributes:
        labels: (clean, corrupted) as text, per pair.
        sites: the sets of sites, each written together.
        direction: "denoising" or "noising".
        metrics: names, the first being the one that `patched`, `effect` and iteration show.
        clean, corrupted: unpatched metrics, [metric, pair].
        values: patched metrics, [metric, site, pair].
        on: what was patched, "a HookedMLP", "another model" or "paths".
        threshold: decision = output > threshold, or None where a model has none; whatever the
            metrics, decisions are the network's own.
        outputs_plain: the output that is decided, on the clean and on the corrupted inputs, [2,
            pair].
        outputs: the same after each patch, [site, pair].
    """

    labels: tuple[tuple[str, str], ...]
    sites: tuple[SiteSet, ...]
    direction: str
    metrics: tuple[str, ...]
    on: str
    clean: Float[Tensor, "metric pair"] = field(repr=False)
    corrupted: Float[Tensor, "metric pair"] = field(repr=False)
    values: Float[Tensor, "metric site pair"] = field(repr=False)
    threshold: float | None = None
    outputs_plain: Float[Tensor, "2 pair"] | None = field(default=None, repr=False)
    outputs: Float[Tensor, "site pair"] | None = field(default=None, repr=False)

    @property
    def base(self) -> Float[Tensor, "metric pair"]:
        """The unpatched run that was patched: corrupted under denoising, clean under noising."""
        return self.corrupted if self.direction == "denoising" else self.clean

    @property
    def patched(self) -> Float[Tensor, "pair site"]:
        """The first metric after each patch."""
        return self.values[0].T

    @property
    def effect(self) -> Float[Tensor, "pair site"]:
        """The first metric's change by each patch: patched minus unpatched."""
        return (self.values[0] - self.base[0]).T

    @property
    def decisions(self) -> Tensor:
        """The decision after each patch, [pair, site]; -1 is undecided."""
        if self.threshold is None or self.outputs is None:
            raise XorMiError(
                "this model has no decision threshold; read .patched or .frame() instead"
            )
        return decision(self.outputs, self.threshold).T

    @property
    def coordinates(self) -> Coordinates:
        """The six coordinates that make two scores comparable (Miller, Chughtai and Saunders 2024,
        arXiv 2407.08734).
        """
        source = f"interchange, from the {'clean' if self.direction == 'denoising' else 'corrupted'} input"
        if self.on == "paths":
            said = coordinates(True, self.sites, f"{source}, along the path alone", self.direction)
            return said._replace(granularity="path", set="the edges of one path together")
        return coordinates(self.on == "a HookedMLP", self.sites, source, self.direction)

    def __getitem__(self, metric: str) -> "PatchSweep":
        """The sweep in one metric."""
        if metric not in self.metrics:
            raise unknown("metric", metric, self.metrics, where="this sweep has")
        k = self.metrics.index(metric)
        clean, corrupted, values = (
            tensor[k : k + 1] for tensor in (self.clean, self.corrupted, self.values)
        )
        return replace(self, metrics=(metric,), clean=clean, corrupted=corrupted, values=values)

    @property
    def result(self) -> Any:
        """TransformerLens' `PatchingResult` [metric, site, pair], with its standard errors,
        bootstrap and permutation p-values.
        """
        from transformer_lens.patching import PatchingResult

        index_df = pd.DataFrame({"site": [name_of(together) for together in self.sites]})
        return PatchingResult(
            self.values,
            [],
            index_df,
            list(self.metrics),
            reduced=False,
            baseline=self.base,
            has_metric_axis=True,
        )

    def __len__(self) -> int:
        return len(self.labels) * len(self.sites)

    def __iter__(self) -> Iterator[PatchEffect]:
        patched, effect = self.patched.tolist(), self.effect.tolist()
        decided = either = None
        if self.threshold is not None and self.outputs_plain is not None:
            decided, either = (
                self.decisions.tolist(),
                decision(self.outputs_plain, self.threshold).tolist(),
            )
        base = None if either is None else either[1 if self.direction == "denoising" else 0]
        same = SAME * max(self.clean[0].abs().max().item(), self.corrupted[0].abs().max().item())
        for p, (clean_name, corrupted_name) in enumerate(self.labels):
            clean, corrupted = self.clean[0, p].item(), self.corrupted[0, p].item()
            why = _why_no_fraction(
                abs(clean - corrupted) <= same,
                None if either is None else [d[p] for d in either],
                self.metrics[0],
            )
            for s, together in enumerate(self.sites):
                yield PatchEffect(
                    clean=clean_name,
                    corrupted=corrupted_name,
                    pair=f"{clean_name} -> {corrupted_name}",
                    site=name_of(together),
                    direction=self.direction,
                    metric=self.metrics[0],
                    value_clean=clean,
                    value_corrupted=corrupted,
                    value_patched=patched[p][s],
                    effect=effect[p][s],
                    recovered_fraction=None
                    if why
                    else (patched[p][s] - corrupted) / (clean - corrupted) + 0.0,
                    why_no_fraction=why,
                    decision_patched=None if decided is None else decided[p][s],
                    flips=None if decided is None or base is None else decided[p][s] != base[p],
                )

    def frame(self) -> pd.DataFrame:
        """One line per patch: pair (clean -> corrupted), site, direction, then per metric m the
        columns m_clean, m_corrupted, m_patched, effect_m. recovered_fraction and why_no_fraction
        are of the first metric; others have them with _m. decision_patched and flips are the
        network's own decision, whatever the metrics."""
        first, *others = [self[metric] for metric in self.metrics]
        lines = [_line(effect) for effect in first]
        for other in others:
            for line, effect in zip(lines, other, strict=True):
                line.update(_columns(effect))
                line[f"recovered_fraction_{effect.metric}"] = effect.recovered_fraction
                line[f"why_no_fraction_{effect.metric}"] = effect.why_no_fraction
        return pd.DataFrame(lines)

    def plot(self) -> Any:
        """A heatmap of the first metric's effects, colours centred at zero."""
        from xor_mi.plots import patching_heatmap

        return patching_heatmap(self)


def _columns(effect: PatchEffect) -> dict[str, float]:
    m = effect.metric
    values = {
        f"{m}_clean": effect.value_clean,
        f"{m}_corrupted": effect.value_corrupted,
        f"{m}_patched": effect.value_patched,
    }
    return values | {f"effect_{m}": effect.effect}


def _line(effect: PatchEffect) -> dict[str, Any]:
    names = ("clean", "corrupted", "pair", "site", "direction")
    rest = ("recovered_fraction", "why_no_fraction", "decision_patched", "flips")
    return (
        {n: getattr(effect, n) for n in names}
        | _columns(effect)
        | {n: getattr(effect, n) for n in rest}
    )


def _why_no_fraction(same: bool, decided: list[int] | None, metric: str) -> str:
    if decided is not None and decided[0] == decided[1]:
        return f"clean and corrupted are both {f'decided {decided[0]}' if decided[0] >= 0 else 'undecided'}"
    return f"clean and corrupted have the same {metric}" if same else ""


def all_pairs(n_inputs: int) -> list[Pair]:
    """All ordered pairs of distinct input rows.

    >>> all_pairs(1)
    [((0,), (1,)), ((1,), (0,))]
    """
    return [(a, b) for a, b in product(truth_rows(n_inputs), repeat=2) if a != b]


@torch.no_grad()
def differing_pairs(model: Any, *, output: int = 0) -> list[Pair]:
    """All ordered pairs of rows that the model decides differently, for one output; undecided rows
    are in no pair.

    >>> from xor_mi.handmade import textbook_xor
    >>> len(differing_pairs(textbook_xor()))
    8
    """
    require_mlp(model, "listing pairs of rows")
    rows = truth_rows(model.cfg.d_in)
    decided = dict(
        zip(
            rows,
            decision(logit(model(model.rows()), output), model.threshold).tolist(),
            strict=True,
        )
    )
    return [
        (a, b)
        for a, b in all_pairs(model.cfg.d_in)
        if -1 not in (decided[a], decided[b]) and decided[a] != decided[b]
    ]


@torch.no_grad()
def patch_sweep(
    model: Any,
    pairs: Any = None,
    sites: Any = None,
    *,
    metrics: Any = None,
    direction: str = "denoising",
    output: int = 0,
    max_batch_bytes: int | None = None,
) -> PatchSweep:
    """Patch every site for every (clean, corrupted) pair: one forward, in chunks where the batch
    would pass max_batch_bytes (with a progress bar where that takes over two seconds).

    Args:
        model: a `HookedMLP`, any `HookedRootModule`, or a `TransformerBridge`.
        pairs: on a HookedMLP, (clean, corrupted) rows, all ordered pairs of distinct rows by
            default. On any model a tuple of two tensors (clean inputs, corrupted inputs), one
            example of each per pair.
        sites: on a HookedMLP units, edges, inputs or outputs, as values or names ("h0.1",
            "x0->h0.1"), all hidden units by default; on any model `Site(hook_name, index)`. An
            entry that is a tuple, list or set of sites is written together; see `subsets`.
        metrics: name -> function of the outputs [pair, ...] giving one number per pair, or one such
            function; by default the logit of `output`.
        output: the output that is decided, and the default metric.
        max_batch_bytes: bound on the activations of one forward; by default 32 MiB for a HookedMLP,
            512 MiB for other models.

    >>> from xor_mi.handmade import textbook_xor
    >>> sweep = patch_sweep(textbook_xor())
    >>> len(sweep), sweep.patched.shape
    (24, torch.Size([12, 2]))

    Raises:
        XorMiError: an unknown site or direction, rows that are not bits, an index outside its
            activation, a hook that does not fire exactly once, train mode, weights that are not
            finite.
    """
    require_ready(model, "patching")
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS, where="directions")
    labels, clean, corrupted = read_pairs(model, pairs)
    sets = site_sets(model, default_sites(model) if sites is None else sites)
    if not sets or not labels:
        raise XorMiError(
            f"{len(labels)} pairs and {len(sets)} sites given; a sweep needs at least one of each"
        )
    rowwise = metrics is None
    named: dict[str, Any] = (
        {"logit": lambda outputs: logit(outputs, output)} if rowwise else named_metrics(metrics)
    )
    decides = isinstance(model, HookedMLP)
    read = (
        {DECIDES: lambda outputs: logit(outputs, output)} | named
        if decides and not rowwise
        else named
    )
    with edges_on(model, sets):
        of_clean, of_corrupted = slice(0, len(labels)), slice(len(labels), None)
        base, source = (
            (of_corrupted, of_clean) if direction == "denoising" else (of_clean, of_corrupted)
        )
        both = torch.cat([clean, corrupted])
        plain, values = intervene(
            model, both, base, sets, lambda _, seen: seen[source], read, max_batch_bytes, rowwise
        )
    sides = read_metrics(read, plain).split(len(labels), dim=1) if rowwise else None
    unpatched = torch.stack(
        sides or [read_metrics(read, plain[side]) for side in (of_clean, of_corrupted)], dim=1
    )
    shown = (
        tuple(labels),
        sets,
        direction,
        tuple(named),
        "a HookedMLP" if decides else "another model",
    )
    clean_read, corrupted_read, patched = (
        tensor[-len(named) :] for tensor in (unpatched[:, 0], unpatched[:, 1], values)
    )
    decided: Any = (model.threshold, unpatched[0], values[0]) if decides else ()
    return PatchSweep(*shown, clean_read, corrupted_read, patched, *decided)


def patch(
    model: Any,
    clean: Any,
    corrupted: Any,
    site: Any,
    *,
    direction: str = "denoising",
    output: int = 0,
    metrics: Any = None,
) -> PatchEffect:
    """Patch one site (or a set of sites together) between two inputs: rows of bits, or on any model
    tensors [1, ...].

    >>> from xor_mi.handmade import textbook_xor
    >>> patch(textbook_xor(), clean="01", corrupted="11", site="h0.1").value_patched  # above the clean run's 1: the AND was held off
    2.0
    """
    pairs = (
        (clean, corrupted) if isinstance(clean, Tensor) and clean.ndim > 1 else [(clean, corrupted)]
    )
    return next(
        iter(patch_sweep(model, pairs, [site], metrics=metrics, direction=direction, output=output))
    )


def read_pairs(model: Any, pairs: Any) -> tuple[list[tuple[str, str]], Tensor, Tensor]:
    """Labels, clean inputs and corrupted inputs."""
    if (
        isinstance(pairs, tuple)
        and len(pairs) == 2
        and all(isinstance(side, Tensor) and side.ndim > 1 for side in pairs)
    ):
        clean, corrupted = pairs
        if clean.shape != corrupted.shape or not len(clean):
            raise XorMiError(
                f"clean inputs are {list(clean.shape)}, corrupted {list(corrupted.shape)}; they must pair up one to one"
            )
        return (
            [(f"clean {i}", f"corrupted {i}") for i in range(len(clean))],
            clean.clone(),
            corrupted.clone(),
        )
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            "give pairs=(clean inputs, corrupted inputs), two tensors [pair, ...]; rows of bits are for a HookedMLP only"
        )
    d_in = model.cfg.d_in
    try:
        rows = (
            all_pairs(d_in)
            if pairs is None
            else [(as_row(a, d_in), as_row(b, d_in)) for a, b in pairs]
        )
    except XorMiError:
        raise
    except (TypeError, ValueError):  # something that is no two
        raise XorMiError(
            f"{pairs!r} are no pairs; give (clean, corrupted) rows such as [('01', '11')], or two tensors"
        ) from None
    names = {row: row_name(row) for row in set(chain.from_iterable(rows))}
    both = model.rows([a for a, _ in rows] + [b for _, b in rows])
    return [(names[a], names[b]) for a, b in rows], both[: len(rows)], both[len(rows) :]
