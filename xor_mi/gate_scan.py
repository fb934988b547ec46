"""any hooked model + binary features of its inputs -> the units that separate a gate of these.

And how often chance does as well.

A unit is one entry of an activation after the batch axis. It separates a gate g of the features if
it lies above a threshold exactly on the samples with g(features) = 1: no combination of features
has samples on both sides. Of several such cuts the widest is taken, and of equally wide ones the
lowest. This says what a unit tells apart on these samples, not what the model does with it: for
that, patch the site.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from math import prod

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xor_mi.errors import SEEDS_BELOW, XorMiError, whole_number
from xor_mi.finding import Finding
from xor_mi.graph import Site
from xor_mi.interventions._run import call_hooked, inputs_per_run
from xor_mi.interventions._sites import check_index, require_ready, site_sets
from xor_mi.kinds import HookedModel, Sites, Target
from xor_mi.model import all_finite
from xor_mi.progress import progress_bar
from xor_mi.truth import ArrayLike, BooleanFunction, as_bit, row_name, truth_rows
from xor_mi.values import DISTINCT

__all__ = ["Features", "GateScan", "UnitGate", "scan_gates"]

MAX_FEATURES = 6
"""More features than this are refused: a table of n features has 2^n rows to be seen."""

MAX_COMPLETIONS = 2**6
"""A table that can be completed in more ways than this stands for itself, without a gate name."""

SAMPLES_TRIED_FIRST = 6
"""A shuffle is tried on so many samples per combination first: most units have no cut on these,
and then they have none on all of them.
"""

TIED_MARGINS = 1e-9
"""Two margins closer than this are equally wide."""

LARGEST_P = 0.01
"""Units of a larger p-value are not listed unless asked for."""

Features = Mapping[str, Sequence[bool | int | float] | ArrayLike]
"""Name -> one bit per sample, as a list, a tensor or an array."""


@dataclass(frozen=True)
class UnitGate:
    """One unit and the gate it separates.

    A unit without a gate has None there, and the reason in its note.

    Attributes:
        hook: the hook point.
        index: which entry of its activation, after the batch axis.
        gate: a gate's name, or the table where too many rows are unseen.
        formula: the gate over the features' names.
        table: its bits, row by row of the truth table; '-' where no sample has the row.
        margin: the gap at the cut, as a share of the unit's range.
        threshold: the middle of that gap.
        n_ones, n_zeros: how many samples lie above and below it.
        n_rows_seen: how many combinations of the features occur.
        p_value: how often chance has a cut at least as wide; of this unit alone.
        note: what to know about the cut, or why there is none.
    """

    hook: str
    index: tuple[int, ...]
    gate: str | None
    formula: str | None
    table: str | None
    margin: float | None
    threshold: float | None
    n_ones: int | None
    n_zeros: int | None
    n_rows_seen: int
    p_value: float | None
    note: str

    @property
    def site(self) -> Site:
        """Where `patch_sweep` or `ablation_sweep` find this unit."""
        return Site(self.hook, self.index)


@dataclass(frozen=True, eq=False)
class GateScan(Finding):
    """Which gate of the features each unit separates; `frame()` has one line per unit.

    Attributes:
        features: their names; the first is the most significant bit of a row.
        rows_seen: the combinations of features that occur, such as ('00', '01', '11').
        n_samples: how many inputs the model was run on.
        n_distinct: how many of them are different inputs. Repeats are no new evidence, but the
            p-values take them for it.
        n_permutations: how often the combinations were shuffled over the samples.
        control_rate: the mean fraction of all units that separate any gate then.
        control_interval: the middle 95 % of that fraction over the shuffles (percentiles: units of
            one model are not independent draws).
        units: every unit, hook by hook.
    """

    features: tuple[str, ...]
    rows_seen: tuple[str, ...]
    n_samples: int
    n_distinct: int
    n_permutations: int
    control_rate: float
    control_interval: tuple[float, float]
    units: tuple[UnitGate, ...] = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """One line per unit.

        Columns hook, index, site (as text), then gate, formula, table, margin, threshold, n_ones,
        n_zeros, n_rows_seen, p_value and note as in `UnitGate`.
        """
        frame = pd.DataFrame([vars(unit) for unit in self.units], dtype=object)
        frame.insert(2, "site", [unit.site.name for unit in self.units])
        types = dict.fromkeys(("margin", "threshold", "p_value"), "float64")
        types |= dict.fromkeys(("n_ones", "n_zeros", "n_rows_seen"), "Int64")
        return frame.astype(types)

    def separating(self, *, max_p: float = LARGEST_P) -> pd.DataFrame:
        """The units with a gate whose p-value is at most this, widest margin first.

        Columns as in `frame`.
        """
        frame = self.frame()
        frame = frame[frame["gate"].notna() & (frame["p_value"] <= max_p)]
        return frame.sort_values("margin", ascending=False, kind="stable").reset_index(drop=True)

    def acting_as(
        self, gate: Target, *, max_p: float = LARGEST_P, up_to_complement: bool = True
    ) -> pd.DataFrame:
        """The separating units that are this function on all rows seen.

        Column `polarity` is -1 for those that are its complement.

        Args:
            gate: a gate name, a formula over x0, x1, ... (the features in order) or a
                `BooleanFunction`.
            max_p: the largest p-value.
            up_to_complement: whether the complement counts too.

        Raises:
            XorMiError: a gate that cannot be read, of another number of inputs, or of several
                outputs.
        """
        function = BooleanFunction.of(gate, len(self.features))
        if function.n_outputs != 1:
            raise XorMiError(
                f"{function.name} has {function.n_outputs} outputs; a unit acts as a gate with one"
            )
        polarity_of = {self._table_of(function.complement()): -1, self._table_of(function): 1}
        frame = self.separating(max_p=max_p)
        frame["polarity"] = [polarity_of.get(table, 0) for table in frame["table"]]
        wanted = [1, -1] if up_to_complement else [1]
        return frame[frame["polarity"].isin(wanted)].reset_index(drop=True)

    def _table_of(self, function: BooleanFunction) -> str:
        return _table({row: function.bits[int(row, 2)] for row in self.rows_seen})

    def __str__(self) -> str:
        n_units, n_separating = len(self.units), len(self.separating())
        any_gate = sum(unit.gate is not None for unit in self.units) / n_units
        low, high = self.control_interval
        return (
            f"{n_separating} of {n_units} units separate a gate of {', '.join(self.features)} "
            f"at p <= {LARGEST_P:g} on {self.n_samples} samples ({self.n_distinct} different). "
            f"Any gate at any p: {any_gate:.2%} of units; with the features shuffled "
            f"{self.control_rate:.2%} (95 % of {self.n_permutations} shuffles: {low:.2%} to "
            f"{high:.2%})."
        )


@torch.no_grad()
def scan_gates(
    model: HookedModel,
    inputs: Tensor,
    features: Features,
    sites: Sites,
    *,
    n_permutations: int = 200,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = True,
) -> GateScan:
    """For every unit at these sites, the gate of the features that its activation separates.

    A permutation control says how often chance does as well.

    Let the inputs vary in more than the features: where the features alone decide the input, every
    unit separates something.

    Args:
        model: a HookedMLP, any HookedRootModule after setup(), or a TransformerBridge; in eval
            mode.
        inputs: what the model is run on, a tensor [sample, ...].
        features: a mapping, name -> one bit per sample, as a list, array or tensor; 1 to 6
            features, two or more combinations.
        sites: a hook name, a `Site` (of a site with an index only the units there), or several of
            them.
        n_permutations: how often the combinations are shuffled over the samples. The p-value of a
            unit is (1 + how often it then has a cut of at least its margin) / (1 + this); it is per
            unit, not corrected for the number of units.
        seed: of the shuffles. p-values depend on it and on the order of the samples; gates and
            margins do not.
        batch_size: samples per forward; by default as many as `patch_sweep` would run at once.
        progress: bars, where the work takes over two seconds.

    Raises:
        XorMiError: features that are not bits, too many or of another length; a hook that is
            unknown, silent, fires twice or has no batch axis; activations that are not finite;
            train mode.

    >>> from xor_mi.handmade import textbook_xor
    >>> rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    >>> scan = scan_gates(textbook_xor(), rows, {"a": rows[:, 0], "b": rows[:, 1]}, "hook_logits")
    >>> scan.separating()[["gate", "formula", "margin"]].values.tolist()
    [['XOR', 'a ^ b', 1.0]]
    """
    require_ready(model, "scanning for gates")
    if not isinstance(inputs, Tensor) or inputs.ndim == 0 or len(inputs) == 0:
        raise XorMiError(
            "inputs must be a tensor [sample, ...] with at least one sample; "
            "give what the model is run on"
        )
    seed = whole_number("seed", seed, below=SEEDS_BELOW)
    n_permutations = whole_number("n_permutations", n_permutations, at_least=1)
    if batch_size is not None:
        batch_size = whole_number("batch_size", batch_size, at_least=1)
    samples_of = _combinations(features, len(inputs))
    sites_of = _sites_by_hook(model, sites)
    activations = _read_activations(model, inputs, list(sites_of), batch_size, progress)
    units: list[UnitGate] = []
    n_separating_by_chance = np.zeros(n_permutations)
    for hook, activation in activations.items():
        values = _unit_values(hook, activation, sites_of[hook])
        cuts = _widest_cuts(values, list(samples_of.values()))
        control = _shuffled_control(
            values,
            cuts,
            [len(samples) for samples in samples_of.values()],
            n_permutations=n_permutations,
            seed=seed,
            progress=progress,
        )
        units += _unit_gates(values, cuts, control, samples_of, tuple(map(str, features)))
        n_separating_by_chance += control.n_separating
    if not units:
        raise XorMiError(f"no unit at {', '.join(activations)}: the activations are empty")
    low, high = np.quantile(n_separating_by_chance / len(units), (0.025, 0.975)).tolist()
    return GateScan(
        features=tuple(map(str, features)),
        rows_seen=tuple(samples_of),
        n_samples=len(inputs),
        n_distinct=len(inputs.unique(dim=0)),
        n_permutations=n_permutations,
        control_rate=n_separating_by_chance.mean().item() / len(units),
        control_interval=(low, high),
        units=tuple(units),
    )


# what is asked


def _combinations(features: Features, n_samples: int) -> dict[str, Int[Tensor, "_"]]:
    """Each combination of the features that occurs, such as '01' -> the numbers of its samples.

    In the order of the truth table.
    """
    if not isinstance(features, Mapping):
        raise XorMiError(
            f"features as {type(features).__name__} given; "
            f"give 1 to {MAX_FEATURES} as {{name: one bit per sample}}"
        )
    if not 1 <= len(features) <= MAX_FEATURES:
        raise XorMiError(
            f"{len(features)} features given; "
            f"give 1 to {MAX_FEATURES} as {{name: one bit per sample}}"
        )
    columns = [_bits(str(name), column, n_samples) for name, column in features.items()]
    rows = [row_name(row) for row in zip(*columns, strict=True)]
    if len(set(rows)) < 2:
        raise XorMiError(
            f"all samples have the same features, {rows[0]}; "
            "give samples of at least two combinations"
        )
    samples_of: dict[str, list[int]] = {row: [] for row in sorted(set(rows))}
    for sample, row in enumerate(rows):
        samples_of[row].append(sample)
    return {row: torch.tensor(samples) for row, samples in samples_of.items()}


def _bits(name: str, column: object, n_samples: int) -> list[int]:
    """A feature's values, checked to be one bit per sample."""
    values = column.tolist() if isinstance(column, ArrayLike) else column
    if not isinstance(values, (list, tuple)) or len(values) != n_samples:
        has = f"{len(values)} values" if isinstance(values, (list, tuple)) else repr(values)
        raise XorMiError(
            f"feature '{name}' has {has} for {n_samples} samples; give one bit per sample"
        )
    try:
        return [as_bit(value) for value in values]
    except XorMiError as error:
        raise XorMiError(
            f"feature '{name}': {error}; threshold it, or split it into several features"
        ) from None


def _sites_by_hook(model: HookedModel, sites: Sites) -> dict[str, list[Site]]:
    """Hook name -> the sites asked for there, in order."""
    by_hook: dict[str, list[Site]] = {}
    for together in site_sets(model, sites):
        for site in together:
            by_hook.setdefault(site.hook_name, []).append(site)
    if not by_hook:
        raise XorMiError(
            f"no hook given; this model has {len(model.hook_dict)}, listed in model.hook_dict"
        )
    return by_hook


# activations


def _read_activations(
    model: HookedModel,
    inputs: Tensor,
    hooks: Sequence[str],
    batch_size: int | None,
    progress: bool,
) -> dict[str, Tensor]:
    """Hook name -> its activation on all inputs, [sample, ...]."""
    size = batch_size or inputs_per_run(model, inputs)
    # Two small runs first: they tell a batch axis from another axis that happens to be as long.
    probes = [inputs[:1], inputs[:2]]
    batches = [*probes, *inputs.split(size)]
    read: dict[str, list[Tensor]] = {hook: [] for hook in hooks}
    for batch in progress_bar(batches, doing="running the model", unit="batch", progress=progress):
        call_hooked(model, batch, {hook: partial(_keep, read[hook]) for hook in hooks})
        for hook, values in read.items():
            _require_batch_axis(hook, values[0], values[-1], len(batch))
    return {hook: torch.cat(values[len(probes) :]) for hook, values in read.items()}


def _keep(read: list[Tensor], activation: Tensor) -> None:
    # A copy: the model may go on to edit its activation in place.
    read.append(activation.clone() if isinstance(activation, Tensor) else activation)


def _require_batch_axis(hook: str, of_one: object, activation: object, n_inputs: int) -> None:
    """An activation must have one entry per input, each of the shape that a single input has."""
    if isinstance(of_one, Tensor) and isinstance(activation, Tensor):
        shape = list(activation.shape)
        if shape == [n_inputs, *of_one.shape[1:]]:
            return
    else:
        shape = type(activation).__name__
    raise XorMiError(
        f"hook '{hook}' gives {shape} on {n_inputs} inputs: no batch axis, "
        "so nothing to read per input; leave it out"
    )


@dataclass(frozen=True, eq=False)
class _Cuts:
    """The widest cut of each unit that splits no combination of the features.

    Attributes:
        margin: the gap at the cut over the unit's range; 0 without a cut.
        threshold: the middle of the gap.
        is_above: whether a combination lies above it.
        is_tied: whether another cut is as wide.
    """

    margin: Float[Tensor, " unit"]
    threshold: Float[Tensor, " unit"]
    is_above: Bool[Tensor, "combination unit"]
    is_tied: Bool[Tensor, " unit"]


@dataclass(frozen=True, eq=False)
class _UnitValues:
    """The units of one hook that are asked for.

    Attributes:
        indices: of each unit, after the batch axis.
        values: their activations.
        spread: the range of each unit.
        noise: a gap no wider than this is none.
        is_constant: whether the range is rounding.
    """

    hook: str
    indices: list[tuple[int, ...]]
    values: Float[Tensor, "sample unit"]
    spread: Float[Tensor, " unit"]
    noise: Float[Tensor, " unit"]
    is_constant: Bool[Tensor, " unit"]


# The two functions that run once a shuffle name their tensors' axes in words: checking shapes would
# take longer there than the cut does.


def _gaps(values: Tensor, combinations: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Where each combination of the features begins, and the gaps between them.

    Activations [sample, unit] and the numbers of each combination's samples -> the lowest sample of
    each combination [combination, unit], and where each gap begins and ends [gap, unit].
    """
    extremes = [torch.stack(torch.aminmax(values[samples], dim=0)) for samples in combinations]
    low, high = torch.stack(extremes, dim=1).double()
    ordered, order = low.sort(0)
    # A cut lies above the highest sample of all combinations that begin below it, and below the
    # lowest sample of the next one.
    reach = high.gather(0, order).cummax(0).values
    return low, reach[:-1], ordered[1:]


def _margins(
    values: Tensor, combinations: Sequence[Tensor], spread: Tensor, noise: Tensor
) -> Tensor:
    """The widest gap of each unit over its range, [unit]; 0 where it is noise."""
    _, begin, end = _gaps(values, combinations)
    gap = (end - begin).max(0).values
    return torch.where(gap > noise, gap / spread, 0)


def _widest_cuts(units: _UnitValues, combinations: Sequence[Tensor]) -> _Cuts:
    """The widest cut of each unit, given the numbers of each combination's samples."""
    low, begin, end = _gaps(units.values, combinations)
    gaps = end - begin
    gap, widest = gaps.max(0)
    threshold = (end.gather(0, widest[None]) + begin.gather(0, widest[None]))[0] / 2
    return _Cuts(
        margin=_margins(units.values, combinations, units.spread, units.noise),
        threshold=threshold,
        is_above=low > threshold,
        is_tied=(gaps >= gap - TIED_MARGINS * units.spread).sum(0) > 1,
    )


def _unit_values(hook: str, activation: Tensor, sites: Sequence[Site]) -> _UnitValues:
    """An activation [sample, ...] -> the units that the sites name, each once, with ranges."""
    shape = activation.shape[1:]
    numbers = torch.arange(prod(shape)).reshape(shape)
    wanted: dict[int, None] = {}  # a set that keeps the order
    for site in sites:
        check_index(site, activation)
        wanted |= dict.fromkeys(numbers[site.slices].flatten().tolist())
    every_index = list(product(*map(range, shape)))
    flat = activation.reshape(len(activation), prod(shape))[:, list(wanted)]
    # Whole numbers and bools have no range in floating point: bfloat16 is the least that has.
    values = flat.to(torch.promote_types(activation.dtype, torch.bfloat16))
    if not all_finite(values):
        n_wrong = int((~values.isfinite()).sum())
        raise XorMiError(
            f"hook '{hook}' has {n_wrong} activations that are NaN or infinite; leave it out"
        )
    bottom, top = torch.stack(torch.aminmax(values, dim=0)).double()
    largest = torch.maximum(top.abs(), bottom.abs())
    # A few units in the last place of the unit's largest value.
    rounding = 4 * torch.finfo(values.dtype).eps * largest
    spread = top - bottom
    return _UnitValues(
        hook=hook,
        indices=[every_index[number] for number in wanted],
        values=values,
        spread=spread,
        noise=torch.maximum(DISTINCT * spread, rounding),
        is_constant=spread <= rounding,
    )


# chance


@dataclass(frozen=True, eq=False)
class _Control:
    """What the same units do with the combinations shuffled over the samples.

    Attributes:
        n_as_wide: in how many shuffles each unit has a cut at least as wide as its own.
        n_separating: how many units have a cut at all, in each shuffle.
    """

    n_as_wide: Int[Tensor, " unit"]
    n_separating: Float[np.ndarray, " shuffle"]


def _shuffled_control(
    values: _UnitValues,
    cuts: _Cuts,
    sizes: list[int],
    *,
    n_permutations: int,
    seed: int,
    progress: bool,
) -> _Control:
    """The cuts of shuffled combinations of these sizes; the same shuffles for every hook."""
    # Seeded anew for each hook: shuffle number n is the same one in all of them.
    generator = torch.Generator().manual_seed(seed)
    n_as_wide = torch.zeros(len(values.indices), dtype=torch.int64)
    n_separating = np.zeros(n_permutations)
    shuffles = progress_bar(
        range(n_permutations),
        doing=f"shuffling {values.hook}",
        unit="shuffle",
        progress=progress,
    )
    for number in shuffles:
        order = torch.randperm(len(values.values), generator=generator)
        margin = _margins_by_chance(values, order.split(sizes))
        n_as_wide += margin >= cuts.margin - TIED_MARGINS
        n_separating[number] = int((margin > 0).sum())
    return _Control(n_as_wide, n_separating)


def _margins_by_chance(units: _UnitValues, shuffled: Sequence[Tensor]) -> Tensor:
    """Each unit's margin under shuffled combinations, [unit].

    A cut of all samples is also one of a few, so only units that have one of these are looked at in
    full.
    """
    few = [samples[:SAMPLES_TRIED_FIRST] for samples in shuffled]
    margin = _margins(units.values, few, units.spread, units.noise)
    is_open = margin.nonzero()[:, 0]
    if len(is_open) and max(map(len, shuffled)) > SAMPLES_TRIED_FIRST:
        values = units.values[:, is_open]
        spread, noise = units.spread[is_open], units.noise[is_open]
        margin[is_open] = _margins(values, shuffled, spread, noise)
    return margin


# gates


def _unit_gates(
    values: _UnitValues,
    cuts: _Cuts,
    control: _Control,
    samples_of: Mapping[str, Tensor],
    features: Sequence[str],
) -> list[UnitGate]:
    """What is said of each unit of one hook."""
    sizes = {row: len(samples) for row, samples in samples_of.items()}
    # The features as they are count as one of the shuffles: no p-value is 0.
    p_values = ((1 + control.n_as_wide.double()) / (1 + len(control.n_separating))).tolist()
    margins, thresholds = cuts.margin.tolist(), cuts.threshold.tolist()
    is_above, is_tied = cuts.is_above.T.tolist(), cuts.is_tied.tolist()
    gates: list[UnitGate] = []
    for number, index in enumerate(values.indices):
        if not margins[number]:
            is_constant = bool(values.is_constant[number])
            gates.append(_without_gate(values.hook, index, len(sizes), is_constant))
            continue
        ones = [row for row, bit in zip(sizes, is_above[number], strict=True) if bit]
        table = _table({row: row in ones for row in sizes})
        function = _shortest(table)
        n_ones = sum(sizes[row] for row in ones)
        gates.append(
            UnitGate(
                hook=values.hook,
                index=index,
                gate=table if function is None else function.name,
                formula=table if function is None else function.formula_over(features),
                table=table,
                margin=margins[number],
                threshold=thresholds[number],
                n_ones=n_ones,
                n_zeros=sum(sizes.values()) - n_ones,
                n_rows_seen=len(sizes),
                p_value=p_values[number],
                note=_note(table, is_tied[number], has_name=function is not None),
            )
        )
    return gates


def _without_gate(
    hook: str, index: tuple[int, ...], n_rows_seen: int, is_constant: bool
) -> UnitGate:
    """A unit that no threshold reads as a gate."""
    return UnitGate(
        hook=hook,
        index=index,
        gate=None,
        formula=None,
        table=None,
        margin=None,
        threshold=None,
        n_ones=None,
        n_zeros=None,
        n_rows_seen=n_rows_seen,
        p_value=None,
        note="constant" if is_constant else "no cut separates the features",
    )


def _note(table: str, is_tied: bool, *, has_name: bool) -> str:
    """What to know about a gate."""
    notes = ["another cut is as wide"] if is_tied else []
    n_unseen = table.count("-")
    if n_unseen:
        consequence = "so other gates fit as well" if has_name else "too many to name a gate"
        notes.append(f"{n_unseen} of {len(table)} rows unseen, {consequence}")
    return "; ".join(notes)


def _table(bits: Mapping[str, bool | int]) -> str:
    """The bits of the rows seen -> a truth table with '-' for the others, such as '01-1'."""
    n_features = len(next(iter(bits)))
    names = map(row_name, truth_rows(n_features))
    return "".join(str(int(bits[name])) if name in bits else "-" for name in names)


@lru_cache(maxsize=4096)
def _shortest(table: str) -> BooleanFunction | None:
    """The completion of a table with the shortest formula; None if there are too many to try.

    Among equally short ones one without ^ is taken.
    """
    n_unseen = table.count("-")
    if 2**n_unseen > MAX_COMPLETIONS:
        return None
    n_features = len(table).bit_length() - 1
    with_gaps = table.replace("-", "{}")
    completions = [with_gaps.format(*bits) for bits in product("01", repeat=n_unseen)]
    functions = [BooleanFunction(n_features, bits) for bits in completions]
    return min(functions, key=_length)


def _length(function: BooleanFunction) -> tuple[int, int, bool, str]:
    """Inputs written, then signs, then whether it needs ^; the text itself settles the rest."""
    formula = function.formula
    return formula.count("x"), len(formula), "^" in formula, formula
