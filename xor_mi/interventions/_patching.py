"""(clean, corrupted) pairs x sites -> the effect of every patch, all in one batched forward."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xor_mi.errors import XorMiError, require_memory, shown, unknown
from xor_mi.finding import Finding, number_text
from xor_mi.graph import name_of_set
from xor_mi.interventions._cells import effects_table, largest_effect
from xor_mi.interventions._examples import (
    Examples,
    as_inputs,
    distinct_examples,
    distinct_inputs,
    pairs_of_examples,
    read_kwargs,
)
from xor_mi.interventions._readout import (
    Decided,
    Readers,
    decisions_of,
    readers_of,
    warn_of_cells,
)
from xor_mi.interventions._run import intervene
from xor_mi.interventions._sites import (
    Coordinates,
    SiteSet,
    coordinates,
    default_sites,
    edges_where_needed,
    require_mlp,
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
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, read_inputs
from xor_mi.truth import is_array, truth_rows

if TYPE_CHECKING:
    from transformer_lens.patching import PatchingResult

DIRECTIONS = get_args(Direction)

Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""Two input rows, (clean, corrupted)."""

BYTES_PER_PAIR = 2**7
"""What a pair takes that is listed: a tuple of two, and its two numbers."""

SAME_METRIC = 1e-6
"""Clean and corrupted metrics closer than this part of the largest one in the sweep count as the
same: no fraction is taken of rounding.
"""

SAME_ROUNDINGS = 8
"""Nor of so many roundings of the largest output: a difference of large outputs is no larger than
their rounding where it should be zero, and in 16 bits much more than a millionth is rounding.
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
            None where nothing is decided.
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

    def _shown(self) -> tuple[str, pd.DataFrame]:
        base = self.corrupted if self.direction == "denoising" else self.clean
        flips = "" if not self.flips else "; the decision flips"
        words = (
            f"{self.site} patched, {self.direction}, {self.pair}: {self.metric} "
            f"{number_text(base)} -> {number_text(self.patched)}{flips}"
        )
        return words, self.frame()

    def frame(self) -> pd.DataFrame:
        """The one line that `PatchSweep.frame` has for this patch."""
        return pd.DataFrame([_first_columns(self)])


@dataclass(frozen=True, eq=False, kw_only=True)
class PatchSweep(Finding):
    """All patches of a sweep; `frame()` is tidy, one line per patch.

    Iterating gives one `PatchEffect` per patch, pair by pair and then site by site; `sweep["name"]`
    is the sweep in one metric.

    Attributes:
        pairs: (clean, corrupted) as text.
        sites: the sets of sites, each written together.
        direction: "denoising" or "noising".
        metrics: names, the first being the one that `patched`, `effect` and iteration show.
        clean, corrupted: unpatched metrics, [metric, pair].
        values: patched metrics, [metric, site, pair].
        coordinates: what was intervened on and how.
        decided: the decisions, of which the runs are the clean and the corrupted one; None where
            nothing says what a model decides.
        rounding: per metric, clean and corrupted no further apart than this are the same.
        pair_names: what each pair is called; "clean -> corrupted" by default.
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
    rounding: Float[Tensor, " metric"] = field(repr=False)
    pair_names: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.pair_names:
            object.__setattr__(self, "pair_names", names_of_pairs(self.pairs))

    def __str__(self) -> str:
        size = f"{len(self.pairs)} pairs x {len(self.sites)} sites"
        return f"Patching, {self.direction}: {size}, in {', '.join(self.metrics)}"

    def _shown(self) -> tuple[str, pd.DataFrame]:
        names = self.site_names
        of_metrics = [(name, self[name].effect) for name in self.metrics]
        others: dict[str, list[str]] = {}
        largest = largest_effect(self.effect, names, metric=self.metrics[0], what="effect")
        words = f"{self}. {largest}"
        before = self._decisions_before()
        if self.decided is not None and before is not None:
            flips = self.decisions.cpu() != torch.tensor(before)
            others["flips"] = [f"{n} of {len(self.pairs)}" for n in flips.sum(dim=1).tolist()]
            words += f" {int(flips.sum())} of {flips.numel()} patches flip the decision."
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
            axis_names=[],  # none: one flat axis of sites, named in `index_df`
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
        """The decision of the run that was patched, per pair."""
        if self.decided is None:
            return None
        of_clean, of_corrupted = self.decided.decisions_before.tolist()
        return of_corrupted if self.direction == "denoising" else of_clean

    def _why_no_fractions(self) -> list[str]:
        """Per pair, why clean and corrupted have no difference to recover; '' where they have."""
        clean, corrupted = self.clean[0], self.corrupted[0]
        largest = max(clean.abs().max().item(), corrupted.abs().max().item())
        within = max(SAME_METRIC * largest, self.rounding[0].item())
        are_same = ((clean.double() - corrupted.double()).abs() <= within).tolist()
        same_metric = f"clean and corrupted have the same {self.metrics[0]}"
        whys = [same_metric if is_same else "" for is_same in are_same]
        if self.decided is None:
            return whys
        of_clean, of_corrupted = self.decided.decisions_before.tolist()
        # Decided alike is the better reason: their metrics may still differ a little.
        for p, (a, b) in enumerate(zip(of_clean, of_corrupted, strict=True)):
            if a == b:
                alike = "undecided" if a < 0 else f"decided {a}"
                whys[p] = f"clean and corrupted are both {alike}"
        return whys

    def frame(self) -> pd.DataFrame:
        """One line per patch, and one group of columns per metric.

        Columns clean, corrupted, pair (its name), site, direction, then per metric m
        clean_m, corrupted_m, patched_m, effect_m. recovered_fraction and why_no_fraction are of the
        first metric; others have them with _m. Where something is decided, decision_patched and
        flips are of that, whatever the metrics.
        """
        n_sites = len(self.sites)
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
        before = self._decisions_before()
        if before is not None:
            after = self.decisions.T.flatten().numpy(force=True)
            columns["decision_patched"] = after
            columns["flips"] = after != np.repeat(before, n_sites)
        for other in others:
            columns |= other._metric_columns()
            name = other.metrics[0]
            columns[f"recovered_fraction_{name}"] = other._fractions()
            columns[f"why_no_fraction_{name}"] = self._of_pairs(other._why_no_fractions())
        return pd.DataFrame(columns)

    def _of_pairs(self, of_pair: Sequence[str]) -> list[str]:
        """What is the same for all sites of a pair, once per line of the frame."""
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
        """What part of the difference between clean and corrupted each patch recovers.

        NaN where there is no difference to recover.
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


def all_pairs(n_inputs: int) -> list[Pair]:
    """All ordered pairs of distinct input rows.

    >>> all_pairs(1)
    [((0,), (1,)), ((1,), (0,))]

    Raises:
        XorMiError: more pairs than memory is allowed for.
    """
    rows = truth_rows(n_inputs)
    _require_listable(n_inputs)
    return [(a, b) for a, b in product(rows, repeat=2) if a != b]


def differing_pairs(model: HookedMLP, *, output: int = 0) -> list[Pair]:
    """All ordered pairs of rows that the model decides differently, in one decision.

    Undecided rows are in no pair.

    >>> from xor_mi.handmade import textbook_xor
    >>> len(differing_pairs(textbook_xor()))
    8
    """
    require_mlp(model, "listing pairs of rows")
    model.require_output(output)
    column = decisions(model)[:, output].tolist()
    decided = dict(zip(truth_rows(model.cfg.d_in), column, strict=True))
    return [(a, b) for a, b in all_pairs(model.cfg.d_in) if {decided[a], decided[b]} == {0, 1}]


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

    Where the batch would pass max_batch_bytes it is run in chunks (with a progress bar where that
    takes over two seconds).

    Args:
        model: a `HookedMLP`, any `HookedRootModule`, or a `TransformerBridge`.
        pairs: on a HookedMLP, (clean, corrupted) rows of bits or of other numbers, all ordered
            pairs of distinct rows by default. On any model a tuple of two arrays (clean inputs,
            corrupted inputs), one example of each per pair; they are the numbers that the model is
            run on, of a HookedMLP its input levels.
        sites: on a HookedMLP units, edges, inputs or outputs, as values or names ("h0.1",
            "x0->h0.1", "x0->y0" where there are direct connections), all hidden units by default;
            on any model `Site(hook_name, index)`. An entry that is a tuple, list or set of sites is
            written together; see `subsets`.
        metrics: name -> function of the outputs [pair, ...] giving one number per pair, or one such
            function; by default the score of decision `output`: the output itself, and by argmax
            what decides, y1 - y0 of two outputs. It is called by what it is: logit, probability or
            output. Functions of `xor_mi.metrics` are given as they are, and read by the network's
            rule. A function with an argument `labels`, such as `logit_difference`, gets what the
            network's target says of the clean inputs, or what it decides on them without one.
        direction: "denoising" patches the clean value into the corrupted run, "noising" the other
            way round.
        decide: what is decided, a function of the outputs [pair, ...] giving 1, 0 or -1 (undecided)
            per pair, such as `metrics.by_argmax()` or `metrics.by_tokens(one, zero)`. By default a
            HookedMLP's own decision; on other models nothing is decided without it, and decisions
            and flips have no columns. Where no metrics are given, the score that one of these goes
            by is the metric.
        output: the number of the decision, which is that of an output; by argmax over two outputs
            there is one decision.
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
            Where it is not finite after a patch, a warning names the site and the pair.
    """
    require_ready(model, "patching")
    require_direction(direction)
    read = read_pairs(model, pairs, model_kwargs)
    sets = site_sets(model, default_sites(model) if sites is None else sites)
    if not sets or not read.names:
        raise XorMiError(
            f"{len(read.names)} pairs and {len(sets)} sites given; a sweep needs at least one of "
            "each"
        )
    called = names_of_pairs(read.names, pair_names)
    readers = readers_of(model, metrics, output, read.inputs[read.clean], decide)

    # Each site of the base gets what it is in the source.
    denoising = direction == "denoising"
    base, source = (read.corrupted, read.clean) if denoising else (read.clean, read.corrupted)
    with edges_where_needed(model, sets):
        plain, values = intervene(
            model,
            read.examples,
            base,
            sets,
            replacement=lambda _, activation, numbers: activation[source[numbers]],
            readers=readers,
            max_batch_bytes=max_batch_bytes,
            progress=progress,
        )
    unpatched = _read_unpatched(readers, plain, read)
    n_metrics = len(readers.metrics)
    warn_of_cells(readers.metrics, values[:n_metrics], sets, [(name,) for name in called])
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
        rounding=rounding_of(model, readers, plain[read.clean], unpatched[:n_metrics, 0]),
        pair_names=called,
    )


def _read_unpatched(
    readers: Readers, plain: Tensor, read: "ReadPairs"
) -> Float[Tensor, "function side pair"]:
    """What the readers read of the clean inputs and of the corrupted ones.

    plain: outputs of the different inputs, [input, ...].
    """
    if readers.rowwise:
        return readers.read(plain)[:, torch.stack([read.clean, read.corrupted])]
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
    batches = _two_batches(model, (clean, corrupted))
    if batches is not None and max(map(len, batches)) > 1:
        raise XorMiError(
            f"clean has {len(batches[0])} inputs and corrupted {len(batches[1])}, and patch takes "
            "one of each, [1, ...]; patch_sweep takes several"
        )
    pairs: Pairs = [(clean, corrupted)] if batches is None else batches
    sweep = patch_sweep(
        model,
        pairs,
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
    model: HookedModel, readers: Readers, outputs: Tensor, values: Tensor
) -> Float[Tensor, " metric"]:
    """By how much each metric moves where the outputs move as far as rounding may have moved them.

    In the coarsest dtype that is involved: a difference of two outputs is no larger than their
    rounding where it should be zero.

    Args:
        outputs: of the inputs, [input, ...].
        values: the metrics there, [metric, input].
    """
    n_metrics = len(readers.metrics)
    # a HookedMLP's metrics are near its outputs, for which `SAME_METRIC` is enough
    if isinstance(model, HookedMLP) or not outputs.is_floating_point():
        return torch.zeros(n_metrics, dtype=torch.float64)
    dtypes = [outputs.dtype]
    if isinstance(model, nn.Module):
        dtypes += [one.dtype for one in model.parameters()]
    eps = [torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point]
    largest = outputs.flatten(1).abs().amax(dim=1) if outputs.ndim > 1 else outputs.abs()
    by = SAME_ROUNDINGS * max(eps) * largest.reshape(-1, *[1] * (outputs.ndim - 1))
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(2, outputs.shape, generator=generator).to(outputs) * 2 - 1
    moved = readers.read_runs((outputs + signs * by)[None])[:n_metrics, 0]
    return (moved.double() - values.double()).abs().nan_to_num(0.0, 0.0, 0.0).amax(dim=1).cpu()


def require_direction(direction: Direction) -> None:
    """Refuse anything but "denoising" and "noising"."""
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS, where="directions")


def source_of(direction: Direction) -> str:
    """What a patched value is, as a coordinate."""
    source = "clean" if direction == "denoising" else "corrupted"
    return f"interchange, from the {source} input"


class ReadPairs(NamedTuple):
    """Pairs of inputs, each different input once: there are far fewer than pairs of them.

    Attributes:
        names: (clean, corrupted) as text, per pair.
        examples: the different inputs, with their keyword inputs.
        clean, corrupted: the numbers of each pair's inputs among them, [pair].
    """

    names: tuple[tuple[str, str], ...]
    examples: Examples
    clean: Tensor
    corrupted: Tensor

    @property
    def inputs(self) -> Tensor:
        """The different inputs, [input, ...]."""
        return self.examples.inputs


def read_pairs(
    model: HookedModel, pairs: Pairs | None, model_kwargs: ModelKwargs | None = None
) -> ReadPairs:
    """The pairs that a caller names, with each different input once.

    Raises:
        XorMiError: pairs that are neither rows nor two arrays of equally many inputs.
    """
    batches = _two_batches(model, pairs)
    if batches is not None:
        clean, corrupted = batches
        if clean.shape != corrupted.shape:
            raise XorMiError(
                f"clean inputs are {list(clean.shape)}, corrupted {list(corrupted.shape)}; "
                "they must pair up one to one"
            )
        if not len(clean):
            raise XorMiError(f"there are no pairs: both tensors are {list(clean.shape)}; give some")
        numbered = tuple((f"clean {i}", f"corrupted {i}") for i in range(len(clean)))
        both = pairs_of_examples(model, clean, corrupted, model_kwargs)
        examples, numbers = distinct_examples(both)
        return ReadPairs(numbered, examples, *numbers.chunk(2))
    if not isinstance(model, HookedMLP):
        raise XorMiError(_no_two_tensors(pairs))
    read_kwargs(model, model_kwargs)  # which a HookedMLP does not take
    if pairs is None:
        return _all_read_pairs(model)
    listed, number_of = _each_once(list(chain.from_iterable(_as_pairs(pairs))))
    if not listed:
        return ReadPairs((), Examples(model.rows([])), *torch.zeros(2, 0, dtype=torch.long))
    read = read_inputs(model, listed)
    inputs, numbers = distinct_inputs(read.values)
    names = [read.names[number] for number in number_of]
    named = tuple(zip(names[::2], names[1::2], strict=True))
    numbers = numbers[torch.tensor(number_of, device=numbers.device)]
    return ReadPairs(named, Examples(inputs), numbers[::2], numbers[1::2])


def names_of_pairs(
    pairs: Sequence[tuple[str, str]], given: Sequence[str] | None = None
) -> tuple[str, ...]:
    """What pairs are called: what a caller gives, or "clean -> corrupted".

    Raises:
        XorMiError: what is not one text per pair.
    """
    if given is None:
        return tuple([f"{clean} -> {corrupted}" for clean, corrupted in pairs])
    return own_names("pair_names", given, len(pairs))


def own_names(argument: str, given: Sequence[str], n: int) -> tuple[str, ...]:
    """A caller's own names of pairs or rows, one text each.

    Raises:
        XorMiError: another number of them, something that is no text, or a name twice.
    """
    is_sequence = isinstance(given, Sequence) and not isinstance(given, str)
    if not is_sequence or not all(isinstance(name, str) and name for name in given):
        raise XorMiError(f"{argument} is {shown(given)}; give a list of {n} texts")
    if len(given) != n or len(set(given)) < n:
        raise XorMiError(
            f"{argument} has {len(given)} names, {len(set(given))} of them different; give {n}, "
            "all different"
        )
    return tuple(given)


def _each_once(rows: list[Row]) -> tuple[list[Row], list[int]]:
    """Rows -> those that are read, and the number of each among them.

    Texts and tuples are named once however often they stand there, as in pairs they do.
    """
    numbers: dict[object, int] = {}
    listed: list[Row] = []
    number_of: list[int] = []
    for row in rows:
        # 1, 1.0 and True are equal and mean one input each, but are not read alike
        kinds = tuple(map(type, row)) if isinstance(row, tuple) else None
        key = (row, kinds) if isinstance(row, str) or _are_numbers(row) else object()
        if key not in numbers:
            numbers[key] = len(listed)
            listed.append(row)
        number_of.append(numbers[key])
    return listed, number_of


def _are_numbers(row: object) -> bool:
    """Whether this is a tuple of plain numbers."""
    return isinstance(row, tuple) and all(isinstance(entry, (int, float)) for entry in row)


def _no_two_tensors(pairs: object) -> str:
    """What to say of pairs that a model without rows of bits cannot run."""
    give = "give pairs=(clean inputs, corrupted inputs), two tensors [pair, ...]"
    sides = pairs if isinstance(pairs, tuple) and len(pairs) == 2 else ()
    if sides and all(is_array(side) for side in sides):
        shapes = " and ".join([str(list(getattr(side, "shape", ()))) for side in sides])
        return f"the two arrays are {shapes}, without an axis of pairs; {give}, such as x[None]"
    return f"{give}; rows of bits are for a HookedMLP only"


def _all_read_pairs(model: HookedMLP) -> ReadPairs:
    """All ordered pairs of distinct rows, in the order of `all_pairs`."""
    _require_listable(model.cfg.d_in)
    read = read_inputs(model)
    names, n_rows = read.names, len(read.names)
    number = torch.arange(n_rows, device=read.values.device)
    clean, corrupted = number.repeat_interleave(n_rows), number.repeat(n_rows)
    differ = clean != corrupted
    named = tuple([(a, b) for a, b in product(names, repeat=2) if a is not b])
    return ReadPairs(named, Examples(read.values), clean[differ], corrupted[differ])


def _require_listable(n_inputs: int) -> None:
    """Refuse all pairs of too many rows, before they are listed."""
    n_pairs = 2**n_inputs * (2**n_inputs - 1)
    require_memory(
        n_pairs * BYTES_PER_PAIR,
        what=f"all {n_pairs:,} ordered pairs of the rows of {n_inputs} inputs",
        do="name the pairs you want, such as [('01', '11')]",
    )


def _two_batches(model: HookedModel, pairs: object) -> tuple[Tensor, Tensor] | None:
    """(clean inputs, corrupted inputs), two arrays [pair, ...], as tensors; None of other pairs."""
    if not isinstance(pairs, tuple) or len(pairs) != 2:
        return None
    if not all(is_array(side) and getattr(side, "ndim", 0) > 1 for side in pairs):
        return None
    clean, corrupted = pairs
    return as_inputs(model, clean, "pairs"), as_inputs(model, corrupted, "pairs")


def _as_pairs(pairs: Pairs) -> list[tuple[Row, Row]]:
    """(clean, corrupted) rows, each pair with two."""
    # two inputs alone, each [d_in], are one pair
    is_one_pair = isinstance(pairs, tuple) and all(
        is_array(side) and getattr(side, "ndim", 0) == 1 for side in pairs
    )
    listed: Any = [pairs] if is_one_pair else pairs
    try:
        read = [(a, b) for a, b in listed]
    except (TypeError, ValueError):  # something that does not unpack into two
        raise _no_pairs(pairs) from None
    # a mapping is gone through by its keys, and the rows of one array are no pairs of rows
    if isinstance(pairs, Mapping) or any(map(_is_number, chain.from_iterable(read))):
        raise _no_pairs(pairs)
    return read


def _no_pairs(pairs: object) -> XorMiError:
    return XorMiError(
        f"{shown(pairs)} are not pairs; give (clean, corrupted) rows such as [('01', '11')], "
        "or two tensors"
    )


def _is_number(side: object) -> bool:
    """Whether a side of a pair is one number and no row."""
    return isinstance(side, (int, float)) or getattr(side, "ndim", 1) == 0
