"""(clean, corrupted) pairs x sites -> the effect of every patch, all in one batched forward."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from xor_mi.errors import XorMiError, shown, unknown
from xor_mi.finding import Finding, count_text, in_words, number_text
from xor_mi.graph import name_of_set
from xor_mi.interventions._cells import effects_table, flips_found, largest_effect
from xor_mi.interventions._forward import cache_all
from xor_mi.interventions._pairs import ReadPairs, names_of_pairs, one_pair, read_pairs
from xor_mi.interventions._readout import Decided, Readers, decisions_of, readers_of, warn_of_cells
from xor_mi.interventions._run import intervene
from xor_mi.interventions._sites import (
    Coordinates,
    SiteSet,
    coordinates,
    edges_where_needed,
    entries_of,
    hooks_of,
    is_place,
    require_model_first,
    require_ready,
    site_sets,
)
from xor_mi.kinds import (
    Decide,
    Direction,
    HookedModel,
    Metrics,
    ModelKwargs,
    OneSite,
    Pairs,
    Row,
    Sites,
)
from xor_mi.model import UNDECIDED, HookedMLP, warn
from xor_mi.model._layer_sites import axes_of_hook
from xor_mi.values import own_score_scale

if TYPE_CHECKING:
    from transformer_lens.patching import PatchingResult

DIRECTIONS = get_args(Direction)

SAME_METRIC = 1e-6
"""Clean and corrupted metrics closer than this fraction of the larger one (for a HookedMLP, of the
largest in the sweep) count as the same: no fraction is taken of rounding.
"""

SAME_ROUNDINGS = 8
"""Metrics also count as the same up to this many roundings of the largest output: a difference of
large outputs that should be zero is as large as their rounding, and in 16 bits that is much more
than a millionth.
"""


@dataclass(frozen=True)
class PatchEffect(Finding):
    """One patch, in one metric. Decisions are 1, 0, or -1 where the network is undecided.

    Attributes:
        clean_input, corrupted_input: the two inputs as text; pair is "clean -> corrupted".
        site: what was patched; several sites are joined by " + ".
        clean, corrupted: the metric of the two runs, unpatched.
        patched: the metric after the patch.
        effect: patched minus the unpatched run it was made in (corrupted under denoising, clean
            under noising).
        recovered_fraction: (patched - corrupted) / (clean - corrupted), or None, and then
            why_no_fraction says why.
        decision_patched, flips: the decision after the patch, and whether the patch changed it;
            None if nothing is decided.
    """

    clean_input: str
    corrupted_input: str
    pair: str
    site: str
    direction: Direction
    metric: str
    clean: float
    corrupted: float
    patched: float
    effect: float
    recovered_fraction: float | None
    why_no_fraction: str
    decision_patched: int | None
    flips: bool | None

    def __str__(self) -> str:
        base = self.corrupted if self.direction == "denoising" else self.clean
        flips = ""
        if self.flips:
            flips = "; the decision flips"
        elif self.decision_patched is not None:
            is_open = self.decision_patched == UNDECIDED
            flips = f"; the decision stays {'open' if is_open else self.decision_patched}"
        return (
            f"{self.site} patched, {self.direction}, {self.pair}: {in_words(self.metric)} "
            f"{number_text(base)} -> {number_text(self.patched)}{flips}"
        )

    def frame(self) -> pd.DataFrame:
        """The one line that `PatchSweep.frame` has for this patch."""
        # a fraction that is missing is NaN, as in a column of many
        return pd.DataFrame([_first_columns(self)]).astype({"recovered_fraction": "float64"})


@dataclass(frozen=True, eq=False, kw_only=True)
class PatchSweep(Finding):
    """All patches of a sweep; `frame()` is tidy, one line per patch.

    Iterating gives one `PatchEffect` per patch, pair by pair and then site by site; `sweep["name"]`
    is the sweep in one metric.

    Attributes:
        pairs: (clean, corrupted) as text.
        sites: the sets of sites, each written together.
        direction: "denoising" or "noising".
        metrics: names; `patched`, `effect` and iteration show the first one.
        clean, corrupted: unpatched metrics, [metric, pair].
        values: patched metrics, [metric, site, pair].
        coordinates: what was intervened on and how.
        decided: the decisions on the clean and the corrupted runs and after each patch; None if
            nothing says what a model decides.
        rounding: clean and corrupted metrics no further apart than this count as the same.
        pair_names: what each pair is called; "clean -> corrupted" by default.
        scale: the size of the numbers that a network's own score is made of, if that is the metric;
            else 0.
    """

    pairs: tuple[tuple[str, str], ...]
    sites: tuple[SiteSet, ...]
    direction: Direction
    metrics: tuple[str, ...]
    clean: Float[Tensor, "metric pair"] = field(repr=False)
    corrupted: Float[Tensor, "metric pair"] = field(repr=False)
    values: Float[Tensor, "metric site pair"] = field(repr=False)
    coordinates: Coordinates = field(repr=False)
    decided: Decided | None = field(repr=False)
    rounding: Float[Tensor, "metric pair"] = field(repr=False)
    pair_names: tuple[str, ...] = field(default=(), repr=False)
    scale: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        if not self.pair_names:
            object.__setattr__(self, "pair_names", names_of_pairs(self.pairs))

    def __str__(self) -> str:
        done, what = "Patching", "site"
        if self.coordinates.granularity == "path":
            done, what = "Path patching", "path"
        size = f"{count_text(len(self.pairs), 'pair')} x {count_text(len(self.sites), what)}"
        done = f"{done}, {self.direction}: {size}, in {', '.join(self.metrics)}"
        flipped = self._flipped()
        return done if flipped is None else f"{done}; {flips_found(flipped, self.site_names)}"

    def _flipped(self) -> Bool[Tensor, "site pair"] | None:
        """Whether each patch flips the decision; None if nothing says what a model decides."""
        before = self._decisions_before()
        return None if before is None else self.decisions.cpu() != torch.tensor(before)

    def _shown(self) -> tuple[str, pd.DataFrame]:
        names = self.site_names
        of_metrics = [(name, self[name].effect) for name in self.metrics]
        others: dict[str, list[str]] = {}
        largest = largest_effect(self.effect, names, metric=self.metrics[0], what="effect")
        words = f"{self}. {largest}"
        flipped = self._flipped()
        if flipped is not None:
            others["flips"] = [f"{n} of {len(self.pairs)}" for n in flipped.sum(dim=1).tolist()]
            words += f" {int(flipped.sum())} of {flipped.numel()} patches flip the decision."
        return words, effects_table(of_metrics, names, what="effect", others=others)

    @property
    def base(self) -> Float[Tensor, "metric pair"]:
        """The unpatched run that was patched: corrupted under denoising, clean under noising."""
        return self.corrupted if self.direction == "denoising" else self.clean

    @property
    def patched(self) -> Float[Tensor, "site pair"]:
        """The first metric after each patch."""
        return self.values[0]

    @property
    def effect(self) -> Float[Tensor, "site pair"]:
        """The first metric's change by each patch: patched minus unpatched."""
        return self.values[0] - self.base[0]

    @property
    def decisions(self) -> Int[Tensor, "site pair"]:
        """The decision after each patch; -1 is undecided.

        Raises:
            XorMiError: a model that decides nothing.
        """
        return decisions_of(self.decided)

    @property
    def site_names(self) -> tuple[str, ...]:
        """Each set of sites as text, "h0.0" or "h0.0 + h0.1"."""
        return tuple([name_of_set(together) for together in self.sites])

    def __getitem__(self, metric: str) -> "PatchSweep":
        """The sweep in one metric."""
        if metric not in self.metrics:
            raise unknown("metric", metric, self.metrics, where="this sweep has")
        k = self.metrics.index(metric)
        return replace(
            self,
            metrics=(metric,),
            clean=self.clean[k : k + 1],
            corrupted=self.corrupted[k : k + 1],
            values=self.values[k : k + 1],
            rounding=self.rounding[k : k + 1],
        )

    @property
    def result(self) -> "PatchingResult":
        """TransformerLens' `PatchingResult` [metric, site, pair].

        It has standard errors, bootstrap and permutation p-values.
        """
        from transformer_lens.patching import PatchingResult

        return PatchingResult(
            self.values,
            axis_names=[],  # no axes: one flat axis of sites, named in `index_df`
            index_df=pd.DataFrame({"site": self.site_names}),
            metric_names=list(self.metrics),
            reduced=False,
            baseline=self.base,
            has_metric_axis=True,
        )

    def __len__(self) -> int:
        return len(self.pairs) * len(self.sites)

    def __iter__(self) -> Iterator[PatchEffect]:
        names = self.site_names
        patched, effect = self.patched.tolist(), self.effect.tolist()
        after = None if self.decided is None else self.decided.decisions_after.tolist()
        whys = self._why_no_fractions()
        before = self._decisions_before()
        for p, (clean_input, corrupted_input) in enumerate(self.pairs):
            clean, corrupted = self.clean[0, p].item(), self.corrupted[0, p].item()
            for s, site in enumerate(names):
                fraction = None
                if not whys[p]:
                    # + 0.0 makes a negative zero an ordinary one.
                    fraction = (patched[s][p] - corrupted) / (clean - corrupted) + 0.0
                decision_patched = None if after is None else after[s][p]
                yield PatchEffect(
                    clean_input=clean_input,
                    corrupted_input=corrupted_input,
                    pair=self.pair_names[p],
                    site=site,
                    direction=self.direction,
                    metric=self.metrics[0],
                    clean=clean,
                    corrupted=corrupted,
                    patched=patched[s][p],
                    effect=effect[s][p],
                    recovered_fraction=fraction,
                    why_no_fraction=whys[p],
                    decision_patched=decision_patched,
                    flips=None if before is None else decision_patched != before[p],
                )

    def _decisions_before(self) -> list[int] | None:
        """The decision of the unpatched run that was patched, per pair."""
        if self.decided is None:
            return None
        of_clean, of_corrupted = self.decided.decisions_before.tolist()
        return of_corrupted if self.direction == "denoising" else of_clean

    def _why_no_fractions(self) -> list[str]:
        """Per pair, why clean and corrupted have no difference to recover; '' if they have one."""
        apart = (self.clean[0].double() - self.corrupted[0].double()).abs().cpu()
        are_same = (apart <= self.rounding[0]).tolist()
        same_metric = f"clean and corrupted have the same {self.metrics[0]}"
        whys = [same_metric if is_same else "" for is_same in are_same]
        if self.decided is None:
            return whys
        of_clean, of_corrupted = self.decided.decisions_before.tolist()
        # Equal decisions are the better reason: the metrics may still differ a little.
        for p, (a, b) in enumerate(zip(of_clean, of_corrupted, strict=True)):
            if a == b:
                alike = "undecided" if a < 0 else f"decided {a}"
                whys[p] = f"clean and corrupted are both {alike}"
        return whys

    def frame(self) -> pd.DataFrame:
        """One line per patch, and one group of columns per metric.

        Columns clean, corrupted, pair (its name), site, direction, then per metric m
        clean_m, corrupted_m, patched_m, effect_m. recovered_fraction and why_no_fraction belong to
        the first metric; other metrics have theirs with _m. If something is decided,
        decision_patched and flips say what, whatever the metrics are.
        """
        # pair by pair, and in each of them site by site
        cleans, corrupteds = (self._of_pairs(side) for side in zip(*self.pairs, strict=True))
        columns: dict[str, object] = {
            "clean": cleans,
            "corrupted": corrupteds,
            "pair": self._of_pairs(self.pair_names),
            "site": list(self.site_names) * len(self.pairs),
            "direction": self.direction,
        }
        first, *others = [self[metric] for metric in self.metrics]
        columns |= first._metric_columns()
        columns["recovered_fraction"] = first._fractions()
        columns["why_no_fraction"] = self._of_pairs(first._why_no_fractions())
        flipped = self._flipped()
        if flipped is not None:
            columns["decision_patched"] = self.decisions.T.flatten().numpy(force=True)
            columns["flips"] = flipped.T.flatten().numpy()
        for other in others:
            columns |= other._metric_columns()
            name = other.metrics[0]
            columns[f"recovered_fraction_{name}"] = other._fractions()
            columns[f"why_no_fraction_{name}"] = self._of_pairs(other._why_no_fractions())
        return pd.DataFrame(columns)

    def _of_pairs(self, of_pair: Sequence[str]) -> list[str]:
        """A text of each pair, repeated for every site: one per line of the frame."""
        n_sites = len(self.sites)
        return [text for text in of_pair for _ in range(n_sites)]

    def _metric_columns(self) -> dict[str, object]:
        """The columns of the first metric."""
        name, n_sites = self.metrics[0], len(self.sites)
        return {
            f"clean_{name}": _numbers(self.clean[0]).repeat(n_sites),
            f"corrupted_{name}": _numbers(self.corrupted[0]).repeat(n_sites),
            f"patched_{name}": _numbers(self.patched.T.flatten()),
            f"effect_{name}": _numbers(self.effect.T.flatten()),
        }

    def _fractions(self) -> np.ndarray:
        """The fraction of the difference between clean and corrupted that each patch recovers.

        It is NaN if there is no difference to recover.
        """
        clean, corrupted = _numbers(self.clean[0]), _numbers(self.corrupted[0])
        has_one = np.array([not why for why in self._why_no_fractions()])
        difference = np.where(has_one, clean - corrupted, np.nan)
        moved = _numbers(self.patched.T) - corrupted[:, None]
        # + 0.0 makes a negative zero an ordinary one; a metric may not be finite after a patch
        with np.errstate(invalid="ignore"):
            return (moved / difference[:, None] + 0.0).ravel()


def _numbers(values: Tensor) -> np.ndarray:
    """As doubles."""
    return values.double().numpy(force=True)


def _first_columns(effect: PatchEffect) -> dict[str, object]:
    """A line of the frame with the first metric alone."""
    line: dict[str, object] = {
        "clean": effect.clean_input,
        "corrupted": effect.corrupted_input,
        "pair": effect.pair,
        "site": effect.site,
        "direction": effect.direction,
    }
    line |= _metric_columns(effect)
    line["recovered_fraction"] = effect.recovered_fraction
    line["why_no_fraction"] = effect.why_no_fraction
    if effect.flips is not None:
        line["decision_patched"] = effect.decision_patched
        line["flips"] = effect.flips
    return line


def _metric_columns(effect: PatchEffect) -> dict[str, object]:
    return {
        f"clean_{effect.metric}": effect.clean,
        f"corrupted_{effect.metric}": effect.corrupted,
        f"patched_{effect.metric}": effect.patched,
        f"effect_{effect.metric}": effect.effect,
    }


@torch.no_grad()
def patch_sweep(
    model: HookedModel,
    pairs: Pairs | None = None,
    sites: Sites | None = None,
    *,
    metrics: Metrics | None = None,
    direction: Direction = "denoising",
    decide: Decide | None = None,
    output: int = 0,
    model_kwargs: ModelKwargs | None = None,
    pair_names: Sequence[str] | None = None,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> PatchSweep:
    """Patch every site for every (clean, corrupted) pair, in one forward.

    If the batch would exceed max_batch_bytes, it is run in chunks (with a progress bar).

    Args:
        model: a `HookedMLP`, any `HookedRootModule`, or a `TransformerBridge`.
        pairs: on a HookedMLP, (clean, corrupted) rows of bits or of other numbers, all ordered
            pairs of distinct rows by default. On any model a tuple of two arrays (clean inputs,
            corrupted inputs), one example of each per pair; they are the numbers that the model is
            run on, for a HookedMLP its input levels.
        sites: on a HookedMLP units, edges, inputs or outputs, as values or names ("h0.1",
            "x0->h0.1", "x0->y0" where there are direct connections), all hidden units by default;
            on any model `Site(hook_name, index)`. An entry that is a tuple, list or set of sites is
            written together; see `subsets`.
        metrics: name -> function of the outputs [pair, ...] giving one number per pair, or one such
            function; by default the score of decision `output`: the output itself, or by argmax the
            difference that decides, y1 - y0 of two outputs. Its name says what it is: logit,
            probability or output. Functions of `xor_mi.metrics` can be given directly, and use the
            network's rule. A function with an argument `labels`, such as `logit_difference`, gets
            what the network's target says of the clean inputs, or what the network decides on them
            if it has no target.
        direction: "denoising" patches the clean value into the corrupted run, "noising" the other
            way round.
        decide: what is decided, a function of the outputs [pair, ...] giving 1, 0 or -1 (undecided)
            per pair, such as `metrics.by_argmax()` or `metrics.by_tokens(one, zero)`. By default a
            HookedMLP's own decision; on other models nothing is decided without it, and decisions
            and flips have no columns. If no metrics are given, the score that such a decision
            compares is the metric.
        output: the number of the decision, which is the number of an output; by argmax over two
            outputs there is only decision 0.
        model_kwargs: keyword inputs of the model's forward, such as an attention mask; see
            `kinds.ModelKwargs`.
        pair_names: what to call the pairs in frames and pictures, one text each.
        max_batch_bytes: bound on the activations and outputs of one forward; by default 16 MiB for
            a HookedMLP, 512 MiB for other models.

    >>> from xor_mi.handmade import textbook_xor
    >>> sweep = patch_sweep(textbook_xor())
    >>> len(sweep), sweep.patched.shape
    (24, torch.Size([2, 12]))

    Raises:
        XorMiError: an unknown site or direction, rows that are not bits, an index outside its
            activation, a hook that cannot be written per input, a metric that is not one finite
            number per pair before anything is patched, train mode, weights that are not finite.
            If it is not finite after a patch, a warning names the site and the pair.
    """
    require_model_first(model, (pairs, sites), "patch_sweep(model, pairs, sites)")
    require_ready(model, "patching")
    require_direction(direction)
    read = read_pairs(model, pairs, model_kwargs)
    sets = site_sets(model, sites)
    if not sets or not read.names:
        raise XorMiError(
            f"{len(read.names)} pairs and {len(sets)} sites given; a sweep needs at least one of "
            "each"
        )
    called = names_of_pairs(read.names, pair_names)
    readers = readers_of(model, metrics, output, read.inputs.index_select(0, read.clean), decide)

    # Each site of the base run gets its value from the source run.
    denoising = direction == "denoising"
    base, source = (read.corrupted, read.clean) if denoising else (read.clean, read.corrupted)
    with edges_where_needed(model, sets):
        plain, values = intervene(
            model,
            read.examples,
            base,
            sets,
            replacement=partial(_of_sources, source),
            readers=readers,
            max_batch_bytes=max_batch_bytes,
            progress=progress,
        )
    unpatched = _read_unpatched(readers, plain, read)
    n_metrics = len(readers.metrics)
    warn_of_cells(readers.metrics, values[:n_metrics], sets, [(name,) for name in called])
    rounding = rounding_of(
        model, readers, (plain[side] for side in (read.clean, read.corrupted)), unpatched
    )
    effect = values[:n_metrics] - unpatched[:n_metrics, int(denoising)][:, None]
    if not isinstance(model, HookedMLP) and bool((effect.cpu().abs() <= rounding[:, None]).all()):
        _warn_if_nothing_is_patched(model, read, sets, max_batch_bytes)
    return PatchSweep(
        pairs=read.names,
        sites=sets,
        direction=direction,
        metrics=readers.metrics,
        clean=unpatched[:n_metrics, 0],
        corrupted=unpatched[:n_metrics, 1],
        values=values[:n_metrics],
        coordinates=coordinates(model, sets, value=source_of(direction), direction=direction),
        decided=readers.decided(unpatched, values),
        rounding=rounding,
        pair_names=called,
        scale=own_score_scale(model, read.inputs) if metrics is None else 0.0,
    )


def _warn_if_nothing_is_patched(
    model: HookedModel, read: ReadPairs, sets: Sequence[SiteSet], max_batch_bytes: int | None
) -> None:
    """Say it if every site has one value in both runs of every pair, and what its index counts.

    A caller who takes the first axis of a transformer's hook for the heads patches a position.
    """
    hook_names = hooks_of(sets)
    _, seen = cache_all(model, read.examples, hook_names, max_batch_bytes=max_batch_bytes)
    for site in chain.from_iterable(sets):
        activation = seen[site.hook_name]
        entries = entries_of(site, activation)
        clean, corrupted = (activation[side][entries] for side in (read.clean, read.corrupted))
        if not _are_same_but_for_rounding(clean, corrupted):
            return
    alone = sets[0][0]
    is_alone = len(sets) == len(sets[0]) == 1
    who = f"'{alone.name}' has" if is_alone else "all sites of this sweep have"
    said = f"{who} the same value in both runs of every pair, so nothing is patched"
    axes = axes_of_hook(alone.hook_name, seen[alone.hook_name].ndim - 1)
    if axes and alone.index:
        said += f"; the index of '{alone.hook_name}' counts {', '.join(axes)}"
    warn(said)


def _are_same_but_for_rounding(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one shape are equal up to some roundings of the largest entry."""
    if not one.is_floating_point():
        return torch.equal(one, other)
    largest = torch.maximum(one.abs().max(), other.abs().max())
    at_most = SAME_ROUNDINGS * torch.finfo(one.dtype).eps * largest
    return bool(((one - other).abs() <= at_most).all())


def _of_sources(source: Tensor, name: str, activation: Tensor, numbers: Tensor) -> Tensor:
    """The activations at a hook on the source inputs of some pairs, given by number."""
    del name
    sources = source if len(numbers) == len(source) else source[numbers]
    return activation.index_select(0, sources)


def _read_unpatched(
    readers: Readers, plain: Tensor, read: ReadPairs
) -> Float[Tensor, "function side pair"]:
    """What the readers read on the clean inputs and on the corrupted ones.

    plain: outputs of the different inputs, [input, ...].
    """
    if readers.rowwise:
        both = torch.cat([read.clean, read.corrupted])
        of_sides = readers.read(plain).index_select(1, both)
        return of_sides.view(len(of_sides), 2, len(read.names))
    # the caller's own metric may compare the pairs of a run
    cleans, corrupteds = (list(side) for side in zip(*read.names, strict=True))
    of_clean = readers.read(plain[read.clean], cleans)
    of_corrupted = readers.read(plain[read.corrupted], corrupteds)
    return torch.stack([of_clean, of_corrupted], dim=1)


def patch(
    model: HookedModel,
    clean: Row | Tensor,
    corrupted: Row | Tensor,
    site: OneSite | tuple[OneSite, ...],
    *,
    metrics: Metrics | None = None,
    direction: Direction = "denoising",
    decide: Decide | None = None,
    output: int = 0,
    model_kwargs: ModelKwargs | None = None,
) -> PatchEffect:
    """Patch one site (or a set of sites together) between two inputs.

    The inputs are rows of bits or of other numbers that the network takes, [d_in], or on any model
    arrays [1, ...]. The other arguments are those of `patch_sweep`.

    >>> from xor_mi.handmade import textbook_xor
    >>> patch(textbook_xor(), clean="01", corrupted="11", site="h0.1").patched
    2.0

    The clean run gives 1; 2 is above it, because the AND was held off and the OR kept its 2.

    Raises:
        XorMiError: several inputs in one array, and all that `patch_sweep` refuses.
    """
    call = "patch(model, clean, corrupted, site)"
    require_model_first(model, (clean, corrupted, site), call)
    require_ready(model, "patching")
    for name, given in (("clean", clean), ("corrupted", corrupted)):
        if is_place(model, given):
            raise XorMiError(
                f"{name} is {shown(given)}, which is a place and not an input; the order is {call}"
            )
    sweep = patch_sweep(
        model,
        one_pair(model, clean, corrupted),
        [site],
        metrics=metrics,
        direction=direction,
        decide=decide,
        output=output,
        model_kwargs=model_kwargs,
        progress=False,
    )
    return next(iter(sweep))


def rounding_of(
    model: HookedModel,
    readers: Readers,
    outputs: Iterable[Tensor],
    unpatched: Float[Tensor, "function side pair"],
) -> Float[Tensor, "metric pair"]:
    """How far apart each pair's clean and corrupted metrics may be by rounding alone.

    On a model that is not a HookedMLP the metric itself shows it: by how much it changes if the
    outputs change as far as rounding may have changed them, in the coarsest dtype that is involved.
    A difference of two outputs that should be zero is as large as their rounding.

    Args:
        outputs: of the clean inputs, and of the corrupted ones, [pair, ...] each.
        unpatched: what the readers read of the clean and of the corrupted inputs.
    """
    metrics = unpatched[: len(readers.metrics)].double()
    if isinstance(model, HookedMLP):
        # its metrics are as large as its outputs, whose rounding is that of the largest one
        of_each = SAME_METRIC * metrics.abs().amax(dim=(1, 2))
        return of_each[:, None].expand(-1, metrics.shape[2]).cpu()
    rounding = SAME_METRIC * metrics.abs().amax(dim=1)
    coarsest = _coarsest_eps(model)
    for side, of_side in enumerate(outputs):
        if of_side.is_floating_point():
            eps = max(coarsest, torch.finfo(of_side.dtype).eps)
            moved = readers.read_runs(_rounded_otherwise(of_side, eps)[None])
            away = moved[: len(metrics), 0].double() - metrics[:, side]
            rounding = torch.maximum(rounding, away.abs().nan_to_num(0.0, 0.0, 0.0))
    return rounding.cpu()


def _coarsest_eps(model: HookedModel) -> float:
    """The rounding of the coarsest dtype among a model's parameters; 0 without any."""
    dtypes = {one.dtype for one in model.parameters()} if isinstance(model, nn.Module) else set()
    return max([torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point], default=0.0)


def _rounded_otherwise(outputs: Tensor, eps: float) -> Tensor:
    """Outputs [input, ...], each number moved by as much as rounding may have moved the largest.

    eps: the rounding of the coarsest dtype that is involved.
    """
    size = outputs.flatten(1).abs().amax(dim=1) if outputs.ndim > 1 else outputs.abs()
    # terms that cancel in one example are as large as in the others; one huge example does not tell
    # how large they are in the others
    size = torch.maximum(size, size.float().median().to(size))
    by = SAME_ROUNDINGS * eps * size.reshape(-1, *[1] * (outputs.ndim - 1))
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, outputs.shape, generator=generator).to(outputs) * 2 - 1
    return outputs + signs * by


def require_direction(direction: Direction) -> None:
    """Refuse anything but "denoising" and "noising"."""
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS, where="directions")


def source_of(direction: Direction) -> str:
    """Where a patched value comes from, as a coordinate."""
    source = "clean" if direction == "denoising" else "corrupted"
    return f"interchange, from the {source} input"
