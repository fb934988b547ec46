"""sites x a value that carries no information -> what the network still does without them.

Zero is the number 0 and has no special meaning to a network; the mean keeps the scale; resampling
keeps the distribution. Ablating one site at a time misses redundancy (with every unit doubled,
losing one copy changes nothing), so subsets are swept too.
"""

from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, product
from math import comb, nan

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xor_mi.errors import SEEDS_BELOW, XorMiError, require_kind, shown, unknown, whole_number
from xor_mi.finding import Finding, count_text
from xor_mi.graph import name_of_set
from xor_mi.interventions._cells import effects_table, flips_found, largest_effect
from xor_mi.interventions._examples import Examples, as_inputs, distinct_inputs, examples_of
from xor_mi.interventions._hooks import probe_hooks
from xor_mi.interventions._pairs import own_names
from xor_mi.interventions._readout import Decided, decisions_of, readers_of, warn_of_cells
from xor_mi.interventions._run import intervene
from xor_mi.interventions._sites import (
    MAX_SUBSETS,
    Coordinates,
    SiteSet,
    coordinates,
    edges_where_needed,
    require_model_first,
    require_ready,
    site_sets,
)
from xor_mi.interventions._sites import subsets as all_subsets
from xor_mi.kinds import (
    AblationValue,
    Decide,
    HookedModel,
    Inputs,
    Metrics,
    ModelKwargs,
    Sites,
    SubsetRule,
)
from xor_mi.model import UNDECIDED, HookedMLP, NamedInputs, read_inputs, warn
from xor_mi.model._numbers import in_dtype, read_numbers
from xor_mi.truth import is_array, row_number
from xor_mi.values import own_score_scale

VALUES = ("zero", "mean", "resample")

SUBSET_SIZES: dict[SubsetRule, int | None] = {"single": 1, "pairs": 2, "all": None}
"""How many sites are ablated together under each rule; None means any number."""


@dataclass(frozen=True, eq=False, kw_only=True)
class AblationSweep(Finding):
    """The results of every ablation; `frame()` has one line per ablation and input row.

    Attributes:
        rows: names of the inputs.
        sites: the sets ablated together.
        value: "zero", "mean over ...", "resample from ... (seed ...)" or "given".
        metrics: names; `after` and `effect` show the first one.
        before: the metrics without ablation, [metric, row].
        values: the metrics after each ablation, [metric, site, row].
        coordinates: what was intervened on and how.
        decided: the decisions before and after; None if nothing says what a model decides.
        labels: the right decision per row, if there is a target and all rows are bits.
        scale: the size of the numbers that a network's own score is made of, if that is the metric;
            else 0.
    """

    rows: tuple[str, ...]
    sites: tuple[SiteSet, ...]
    value: str
    metrics: tuple[str, ...]
    before: Float[Tensor, "metric row"] = field(repr=False)
    values: Float[Tensor, "metric site row"] = field(repr=False)
    coordinates: Coordinates = field(repr=False)
    decided: Decided | None = field(repr=False)
    labels: tuple[int, ...] | None
    scale: float = field(default=0.0, repr=False)

    def __str__(self) -> str:
        size = f"{count_text(len(self.sites), 'ablation')} x {count_text(len(self.rows), 'row')}"
        done = f"Ablation, {self.value}: {size}, in {', '.join(self.metrics)}"
        flipped = self._flipped()
        return done if flipped is None else f"{done}; {flips_found(flipped, self.site_names)}"

    def _flipped(self) -> Bool[Tensor, "site row"] | None:
        """Whether each ablation flips the decision; None if nothing says what a model decides."""
        if self.decided is None:
            return None
        before, after = self.decided.decisions_before[0].cpu(), self.decided.decisions_after.cpu()
        # what was not run has no number, and flips nothing
        is_run = (~self.values.isnan()).any(0).cpu()
        return (after != before) & ((after != UNDECIDED) | is_run)

    def _shown(self) -> tuple[str, pd.DataFrame]:
        names = self.site_names
        of_metrics = [(name, self[name].effect) for name in self.metrics]
        others: dict[str, list[object]] = {}
        largest = largest_effect(self.effect, names, metric=self.metrics[0], what="effect")
        words = f"{self}. {largest}"
        if self.decided is not None:
            summary = self.summary()
            others["flips"] = [f"{n} of {len(self.rows)}" for n in summary["n_flipped"]]
            n_flipped, n_ablations = int(summary["n_flipped"].sum()), self.effect.numel()
            words += f" {n_flipped} of {n_ablations} decisions flip."
            if "accuracy" in summary:
                others["accuracy"] = summary["accuracy"].tolist()
        return words, effects_table(of_metrics, names, what="effect", others=others)

    def head(self) -> dict[str, object]:
        """The value that was written and the labels, which the table does not hold."""
        return {
            "value": self.value,
            "labels": self.labels,
        }

    def __getitem__(self, metric: str) -> "AblationSweep":
        """The sweep in one metric."""
        if metric not in self.metrics:
            raise unknown("metric", metric, self.metrics, where="this sweep has")
        k = self.metrics.index(metric)
        one = slice(k, k + 1)
        return replace(self, metrics=(metric,), before=self.before[one], values=self.values[one])

    @property
    def after(self) -> Float[Tensor, "site row"]:
        """The first metric after each ablation."""
        return self.values[0]

    @property
    def effect(self) -> Float[Tensor, "site row"]:
        """The first metric's change by each ablation."""
        return self.values[0] - self.before[0]

    @property
    def decisions(self) -> Int[Tensor, "site row"]:
        """Decisions after each ablation; -1 is undecided.

        Raises:
            XorMiError: a model that decides nothing.
        """
        return decisions_of(self.decided)

    @property
    def site_names(self) -> tuple[str, ...]:
        """Each set of sites as text, "h0.0" or "h0.0 + h0.1"."""
        return tuple([name_of_set(together) for together in self.sites])

    def frame(self) -> pd.DataFrame:
        """One line per ablation and row.

        Columns site, n_sites, row, per metric m before_m, after_m, effect_m, and where the model
        decides decision_before, decision_after, flips, undecided (the network's own, whatever the
        metrics); right, where there is a target.
        """
        cells = list(product(zip(self.site_names, self.sites, strict=True), self.rows))
        columns: dict[str, object] = {
            "site": [name for (name, _), _ in cells],
            "n_sites": [len(together) for (_, together), _ in cells],
            "row": [row for _, row in cells],
        }
        # A line per site and, within it, per row: what is per row is repeated site by site.
        n_sites = len(self.sites)
        for name, before, after in zip(self.metrics, self.before, self.values, strict=True):
            # In Python's float64: the difference of two float32 would be rounded once more.
            was, now = before.tolist() * n_sites, after.flatten().tolist()
            columns[f"before_{name}"] = was
            columns[f"after_{name}"] = now
            columns[f"effect_{name}"] = [b - a for a, b in zip(was, now, strict=True)]
        flipped = self._flipped()
        if self.decided is not None and flipped is not None:
            was = self.decided.decisions_before[0].tolist() * n_sites
            now = self.decided.decisions_after.flatten().tolist()
            columns["decision_before"] = was
            columns["decision_after"] = now
            columns["flips"] = flipped.flatten().tolist()
            columns["undecided"] = [b == UNDECIDED for b in now]
            if self.labels is not None:
                right = self.labels * n_sites
                columns["right"] = [b == label for b, label in zip(now, right, strict=True)]
        return pd.DataFrame(columns)

    def summary(self) -> pd.DataFrame:
        """One line per ablation, over all rows.

        Columns site, n_sites, n_flipped, n_undecided (of rows), the mean effect on each metric, and
        the accuracy against the target (undecided is not right).
        """
        frame = self.frame()
        # By position, because two sites may bear the same label.
        position = frame.index // len(self.rows)
        groups = frame.groupby(position, sort=False)
        columns = {"site": groups["site"].first(), "n_sites": groups["n_sites"].first()}
        if self.decided is not None:
            columns["n_flipped"] = groups["flips"].sum()
            columns["n_undecided"] = groups["undecided"].sum()
        for metric in self.metrics:
            columns[f"mean_effect_{metric}"] = groups[f"effect_{metric}"].mean()
        if "right" in frame:
            columns["accuracy"] = groups["right"].mean()
        return pd.DataFrame(columns).reset_index(drop=True)


@torch.no_grad()
def ablation_sweep(
    model: HookedModel,
    sites: Sites | None = None,
    *,
    value: AblationValue = "mean",
    subsets: SubsetRule = "single",
    rows: Inputs | None = None,
    over: Inputs | None = None,
    metrics: Metrics | None = None,
    decide: Decide | None = None,
    output: int = 0,
    seed: int = 0,
    model_kwargs: ModelKwargs | None = None,
    row_names: Sequence[str] | None = None,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> AblationSweep:
    """Ablate sites, one at a time, in pairs or in every combination, on every input row.

    Args:
        sites: as in `patch_sweep`; on a HookedMLP all hidden units by default.
        value: "zero" writes the number 0, even at a place that never has it (an input with the
            levels -1 and 1, or a unit after a sign); "mean" takes the mean over the rows in `over`
            (whole numbers have none: NaN at their sites, which a warning names); "resample" gives
            each input the activation of another one (a random cyclic shift by `seed`), or of a
            random one of `over`. Or give a number, or a tensor of the hook's activation, [...] for
            all inputs alike or [input, ...].
        subsets: "single", "pairs" (exactly two together) or "all" (every non-empty subset).
        rows: inputs to run on: rows of bits or of other numbers that the network takes, or an array
            [input, ...] for other models. Default: all rows.
        over: the inputs the mean or the resampled activations are taken from; default: `rows`.
        metrics: as in `patch_sweep`; labels are those of the inputs that are run on.
        decide, output: what is decided, as in `patch_sweep`.
        model_kwargs: as in `patch_sweep`, for the rows; the inputs in `over` cannot have any.
        row_names: what to call the inputs in frames and pictures, one text each.
        max_batch_bytes: as in `patch_sweep`.

    >>> from xor_mi.handmade import textbook_xor
    >>> ablation_sweep(textbook_xor(), value="zero").after.tolist()
    [[0.0, 0.0, 0.0, -2.0], [0.0, 1.0, 1.0, 2.0]]

    The first line is without the OR, the second without the AND.

    Raises:
        XorMiError: an unknown value or subset rule, a mean if no site has one, a number that a hook
            of whole numbers cannot hold, `over` with a value that uses no other inputs, too many
            subsets, and all that `patch_sweep` refuses.
    """
    require_model_first(model, (sites, rows), "ablation_sweep(model, sites)")
    require_ready(model, "ablation")
    if not isinstance(subsets, str) or subsets not in SUBSET_SIZES:
        raise unknown("subset rule", subsets, SUBSET_SIZES, where="rules are")
    _require_value(value)
    reads_over = isinstance(value, str) and value in ("mean", "resample")
    if over is not None and not reads_over:
        raise XorMiError(
            f"over has no effect with value={shown(value)}; leave it out, or give value='mean' or "
            "'resample'"
        )
    seed = whole_number("seed", seed, below=SEEDS_BELOW)
    read = _read_inputs(model, rows)
    if row_names is not None:
        read = read._replace(names=own_names("row_names", row_names, len(read.names)))
    inputs = examples_of(model, read.values, model_kwargs)
    reference = None if over is None else _read_inputs(model, over).values
    if reference is not None and inputs.each:
        raise XorMiError(
            f"over has no entries of {', '.join(inputs.each)}, which model_kwargs gives for the "
            "rows; leave over out, and average over the rows"
        )
    sets = _joint_sets(model, sites, subsets)
    readers = readers_of(model, metrics, output, inputs.inputs, decide)
    averages = isinstance(value, str) and value == "mean"
    tried = _where_a_mean_is(model, inputs, sets) if averages else range(len(sets))

    n = len(inputs)
    # The reference inputs are run beside the others, and nothing is written on them.
    plain = inputs
    if reference is not None:
        plain = inputs.and_then(Examples(reference, {}, inputs.whole))
    with edges_where_needed(model, sets):
        outputs, values = intervene(
            model,
            plain,
            slice(0, n),
            [sets[number] for number in tried],
            replacement=partial(_replaced, value, n, reference is not None, seed),
            readers=readers,
            max_batch_bytes=max_batch_bytes,
            progress=progress,
        )
    before = readers.read(outputs[:n], read.names)
    n_metrics = len(readers.metrics)
    written = [sets[number] for number in tried]
    warn_of_cells(readers.metrics, values[:n_metrics], written, [(name,) for name in read.names])
    if reads_over:
        _warn_if_nothing_is_ablated(model, inputs, reference, str(value))
    decided = readers.decided(before[:, None], values)
    if len(tried) < len(sets):
        values = _with_nan(values, tried, len(sets))
        decided = None if decided is None else _undecided_elsewhere(decided, tried, len(sets))

    value_name = _name_of_value(value, "the rows run on" if over is None else "given rows", seed)
    labels = None
    # inputs between the levels have no right answer, and neither has a caller's own decision
    if isinstance(model, HookedMLP) and decide is None:
        target = model.cfg.target
        if target is not None and read.bits is not None:
            labels = tuple([target.tables[output][row_number(row)] for row in read.bits])
    return AblationSweep(
        rows=read.names,
        sites=sets,
        value=value_name,
        metrics=readers.metrics,
        before=before[:n_metrics],
        values=values[:n_metrics],
        coordinates=coordinates(model, sets, value=value_name, direction="noising (ablation)"),
        decided=decided,
        labels=labels,
        scale=own_score_scale(model, inputs.inputs) if metrics is None else 0.0,
    )


def _require_value(value: object) -> None:
    """Refuse what is neither a named value, a number nor an array."""
    if isinstance(value, str):
        known = value in VALUES
    else:
        known = isinstance(value, (int, float, Tensor)) or hasattr(value, "__array__")
    if not known:
        raise unknown("ablation value", value, VALUES, where="values are a number, a tensor, or")


def _name_of_value(value: AblationValue, source: str, seed: int) -> str:
    """The value as text, with its source."""
    if not isinstance(value, str):
        return "given"
    if value == "mean":
        return f"mean over {source}"
    return f"resample from {source} (seed {seed})" if value == "resample" else "zero"


def _joint_sets(model: HookedModel, sites: Sites | None, rule: SubsetRule) -> tuple[SiteSet, ...]:
    """The sets that are ablated: the entries of `sites`, joined as the rule says."""
    entries = site_sets(model, sites)
    if not entries:
        raise XorMiError("no sites given; an ablation needs at least one")
    # Counted before anything is listed: 2^n sets would fill the memory.
    n, size = len(entries), SUBSET_SIZES[rule]
    count = 2**n - 1 if size is None else comb(n, size)
    if count > MAX_SUBSETS:
        raise XorMiError(
            f"{count} subsets of {n} sites; at most {MAX_SUBSETS} are run: give fewer sites, "
            "or a smaller rule"
        )
    if count == 0:
        raise XorMiError(f"{n} site has no {rule}; give two sites or more, or subsets='single'")
    joined = all_subsets(entries, min_size=size or 1, max_size=size)
    return tuple([tuple(chain.from_iterable(together)) for together in joined])


def _warn_if_nothing_is_ablated(
    model: HookedModel, inputs: Examples, reference: Tensor | None, value: str
) -> None:
    """Say it if the mean or the resampled values come from the very input that is run on."""
    sources = inputs.inputs if reference is None else reference
    kinds = {(tuple(side.shape[1:]), side.dtype) for side in (inputs.inputs, sources)}
    if inputs.each or len(kinds) > 1:
        return
    everything = inputs.inputs if reference is None else torch.cat([inputs.inputs, reference])
    if len(distinct_inputs(everything)[0]) > 1:
        return
    of_rows = count_text(len(sources), "row")
    same = "the same one" if len(sources) == 1 else "all of them the same"
    done = "the mean is taken over" if value == "mean" else "the values are drawn from"
    next_step = "over=model.rows()" if isinstance(model, HookedMLP) else "more inputs in over="
    warn(f"{done} {of_rows}, {same}: nothing is ablated; give {next_step}")


def _where_a_mean_is(
    model: HookedModel, inputs: Examples, sets: Sequence[SiteSet]
) -> Sequence[int]:
    """The numbers of the sets whose hooks all carry numbers that have a mean of their own kind.

    A warning names the hooks of the other sets.

    Raises:
        XorMiError: there is no such set.
    """
    everyone = range(len(sets))
    if isinstance(model, HookedMLP):
        return everyone
    probed = probe_hooks(model, inputs, warns=False)
    kinds: dict[str, str] = {}
    for site in chain.from_iterable(sets):
        dtype = probed.hooks[site.hook_name].dtype
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            kinds[site.hook_name] = str(dtype).removeprefix("torch.")
    if not kinds:
        return everyone
    tried: list[int] = []
    for number, together in enumerate(sets):
        if kinds.keys().isdisjoint([site.hook_name for site in together]):
            tried.append(number)
    carry = [f"hook '{name}' carries {kind} numbers" for name, kind in kinds.items()]
    why = f"{', '.join(carry)}, which have no mean of their kind"
    if not tried:
        raise XorMiError(f"{why}; give value='zero', 'resample' or a number")
    warn(f"{why}: the ablations there are not run and are NaN, and the others stand")
    return tried


def _with_nan(
    values: Float[Tensor, "function tried row"], tried: Sequence[int], n_sets: int
) -> Float[Tensor, "function site row"]:
    """The numbers of the sets that were run, with NaN for the sets that were not."""
    everyone = values.new_full((len(values), n_sets, values.shape[2]), nan)
    everyone[:, list(tried)] = values
    return everyone


def _undecided_elsewhere(decided: Decided, tried: Sequence[int], n_sets: int) -> Decided:
    """Decisions of the sets that were run, and "undecided" for the sets that were not."""
    after = _with_nan(decided.after.unsqueeze(0), tried, n_sets)[0]
    return Decided(decided.before, after, partial(_or_undecided, decided.decisions_by))


def _or_undecided(decisions_by: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """The decisions, -1 if there is no number to decide by."""
    is_known = ~values.isnan()
    known = decisions_by(torch.where(is_known, values, 0.0))
    return torch.where(is_known, known, UNDECIDED)


def _replaced(
    value: AblationValue,
    n_inputs: int,
    has_reference: bool,
    seed: int,
    hook_name: str,
    activation: Tensor,
    numbers: Tensor,
) -> Tensor:
    """What these inputs' activations are replaced by; the inputs after them are the reference."""
    del hook_name
    reference = activation[n_inputs:] if has_reference else None
    return _replacement(value, activation[:n_inputs], reference, seed)[numbers]


def _replacement(
    value: AblationValue, activation: Tensor, reference: Tensor | None, seed: int
) -> Tensor:
    """What a whole activation [input, ...] is replaced by."""
    if not isinstance(value, str):
        new = _given_numbers(value, activation.dtype).to(activation.device)
        each, alike = activation.shape, activation.shape[1:]
        if new.ndim and new.shape not in (each, alike):
            raise XorMiError(
                f"a value of shape {list(new.shape)} does not fit an activation {list(each)}; "
                f"give one number, {list(alike)} for all inputs alike, or {list(each)}"
            )
        return new.expand_as(activation)
    if value == "zero":
        return torch.zeros_like(activation)
    if value == "mean":
        averaged = activation if reference is None else reference
        return averaged.mean(dim=0, keepdim=True).expand_as(activation)
    return _resampled(activation, reference, seed)


def _given_numbers(value: object, dtype: torch.dtype) -> Tensor:
    """A number or an array of the caller's in the dtype of an activation."""
    try:
        numbers = read_numbers(value)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(
            f"the ablation value {shown(value)} holds no numbers; give a number, or a tensor of "
            "the hook's activation"
        ) from None
    given = in_dtype(numbers.detach(), dtype, "the value")
    if not given.ndim and not given.isfinite():
        raise XorMiError(
            f"the ablation value is {given.item()}; an intervention needs a finite one"
        )
    return given


def _resampled(activation: Tensor, reference: Tensor | None, seed: int) -> Tensor:
    """Another input's activation for each input, or one of the reference inputs'."""
    n = len(activation)
    generator = torch.Generator().manual_seed(seed)
    if reference is not None:
        return reference[torch.randint(len(reference), (n,), generator=generator)]
    if n < 2:
        raise XorMiError(
            "resampling needs at least two inputs, so that each can get another one's activation; "
            "give more rows, or over= the inputs to draw from, such as model.rows()"
        )
    # A cyclic shift: no input keeps its own activation, which could happen in a shuffle.
    shift = 1 + int(torch.randint(n - 1, (1,), generator=generator))
    return activation.roll(shift, 0)


def _read_inputs(model: HookedModel, rows: Inputs | None) -> NamedInputs:
    """The inputs [input, ...] and their names."""
    given = rows
    if given is not None and not is_array(rows):
        require_kind("rows", given, Iterable, give="input rows, or a tensor [input, ...]")
        given = list(given)
    is_empty = isinstance(given, Sized) and getattr(given, "ndim", 1) > 0 and not len(given)
    if is_empty:
        raise XorMiError("no rows given; an ablation needs at least one input")
    if isinstance(model, HookedMLP):
        return read_inputs(model, given)
    # [input] counts too: a model that takes one number per input
    if is_array(rows) and getattr(rows, "ndim", 0) > 0:
        inputs = as_inputs(model, rows, "rows").clone()
        return NamedInputs(tuple([str(i) for i in range(len(inputs))]), inputs, None)
    raise XorMiError(
        "give rows=inputs, a tensor [input, ...]; rows of bits are for a HookedMLP only"
    )
