"""any hooked model + binary features of its inputs -> the units that separate a gate of these
features, and how often chance does.

A unit is one entry of an activation after the batch axis. It separates a gate g of the features if
it lies above a threshold exactly on the samples with g(features) = 1: no combination of features
has samples on both sides. Of several such cuts the widest is taken, and of equally wide ones the
lowest. This says what a unit tells apart on these samples, not what the model does with it: for
that, patch the site."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from math import nan, prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from xor_mi.circuits._readings import DISTINCT
from xor_mi.errors import XorMiError, unknown
from xor_mi.interventions import Site
from xor_mi.interventions._run import inputs_per_run
from xor_mi.interventions._sites import require_ready
from xor_mi.model import all_finite
from xor_mi.truth import BooleanFunction, as_bit, row_name, truth_rows

MAX_FEATURES = 6
MAX_COMPLETIONS = (
    2**6
)  # a table that can be completed in more ways stands for itself, without a gate name
FEW = 6  # samples per combination that a shuffle is tried on first: a cut of all samples is also one of these
COLUMNS = [
    "hook",
    "index",
    "site",
    "gate",
    "formula",
    "table",
    "margin",
    "threshold",
    "n_ones",
    "n_zeros",
    "rows_seen",
    "p_value",
    "note",
]
TIE = 1e-9  # two margins closer than this are equal


@dataclass(frozen=True, eq=False)
class GateScan:
    """Which gate of the features every unit separates. `frame()` is tidy: one line per unit.

    Attributes:
        features: their names; input x0 of a gate is the first.
        rows_seen: the combinations of features that occur, such as ('00', '01', '11').
        n_distinct: how many of the samples are different inputs. Repeats are no new evidence, but
            the p-values take them for it.
        control_rate: the mean fraction of all units that separate any gate when the combinations
            are shuffled over the samples.
        control_interval: the middle 95 % of that fraction over the shuffles (percentiles: units of
            one model are not independent draws).
    """

    features: tuple[str, ...]
    rows_seen: tuple[str, ...]
    n_samples: int
    n_distinct: int
    n_permutations: int
    control_rate: float
    control_interval: tuple[float, float]
    _frame: pd.DataFrame = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """Columns hook, index, site, gate, formula, table ('-' where unseen), margin (gap / range),
        threshold, n_ones, n_zeros (samples above and below), rows_seen (how many), p_value, note. A
        unit without a gate has None or NaN there, and the reason in its note."""
        return self._frame.copy()

    def found(self, max_p: float = 0.01) -> pd.DataFrame:
        """The units with a gate whose p-value is at most this, widest margin first."""
        kept = self._frame[self._frame["gate"].notna() & (self._frame["p_value"] <= max_p)]
        return kept.sort_values("margin", ascending=False, kind="stable").reset_index(drop=True)

    def acting_as(
        self, gate: Any, max_p: float = 0.01, up_to_complement: bool = True
    ) -> pd.DataFrame:
        """The found units that are this function on all rows seen; column `polarity` is -1 for
        those that are its complement.

        Args:
            gate: a gate name, a formula over x0, x1, ... (the features in order) or a
                `BooleanFunction`.
        """
        function, frame = BooleanFunction.of(gate, len(self.features)), self.found(max_p)
        wanted, other = (
            _table({row: f(row) for row in self.rows_seen})
            for f in (function, function.complement())
        )
        frame["polarity"] = [{wanted: 1, other: -1}.get(table, 0) for table in frame["table"]]
        return frame[frame["polarity"].isin([1, -1] if up_to_complement else [1])].reset_index(
            drop=True
        )

    def __str__(self) -> str:
        any_gate, (low, high) = self._frame["gate"].notna().mean(), self.control_interval
        return (
            f"{len(self.found())} of {len(self._frame)} units separate a gate of {', '.join(self.features)} at p <= 0.01 on "
            f"{self.n_samples} samples ({self.n_distinct} different). Any gate at any p: {any_gate:.2%} of units; with the features "
            f"shuffled {self.control_rate:.2%} (95 % of {self.n_permutations} shuffles: {low:.2%} to {high:.2%})."
        )


@torch.no_grad()
def scan_gates(
    model: Any,
    inputs: Any,
    features: Any,
    sites: str | Iterable[str],
    *,
    n_permutations: int = 200,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = True,
) -> GateScan:
    """For every unit at these hooks, the gate of the features that its activation separates, with a
    permutation control.

    Let the inputs vary in more than the features: where the features alone decide the input, every
    unit separates something.

    Args:
        model: a HookedMLP, any HookedRootModule after setup(), or a TransformerBridge; in eval
            mode.
        inputs: what the model is run on, a tensor [sample, ...].
        features: a mapping, name -> one bit per sample, as a list, array or tensor; 1 to 6
            features, two or more combinations.
        n_permutations: how often the combinations are shuffled over the samples. The p-value of a
            unit is (1 + how often it then has a cut of at least its margin) / (1 + this); it is per
            unit, not corrected for the number of units.
        seed: of the shuffles. p-values depend on it and on the order of the samples; gates and
            margins do not.
        batch_size: samples per forward; by default as many as `patch_sweep` would run at once.

    Raises:
        XorMiError: features that are no bits, too many or of another length; a hook that is
            unknown, silent, fires twice or has no batch axis; activations that are not finite;
            train mode.

    >>> from xor_mi.handmade import textbook_xor
    >>> rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    >>> scan = scan_gates(textbook_xor(), rows, {"a": rows[:, 0], "b": rows[:, 1]}, "hook_logits")
    >>> scan.found()[["gate", "formula", "margin"]].values.tolist()
    [['XOR', 'a ^ b', 1.0]]
    """
    require_ready(model, "reading gates")
    if not isinstance(inputs, Tensor) or inputs.ndim == 0 or len(inputs) == 0:
        raise XorMiError(
            "inputs must be a tensor [sample, ...] with at least one sample; give what the model is run on"
        )
    for name, number in (
        ("n_permutations", n_permutations),
        ("batch_size", 1 if batch_size is None else batch_size),
    ):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise XorMiError(f"{name} is {number!r}; give a whole number of at least 1")
    groups = _combinations(features, len(inputs))
    read = _read(
        model,
        inputs,
        [sites] if isinstance(sites, str) else list(sites),
        batch_size,
        progress,
    )
    names, sizes = tuple(map(str, features)), {row: len(group) for row, group in groups.items()}
    lines, chance = [], np.zeros(n_permutations)
    for hook, activation in read.items():
        shape = activation.shape[1:]
        values = activation.reshape(len(inputs), prod(shape)).to(
            torch.promote_types(activation.dtype, torch.bfloat16)
        )
        if not all_finite(values):
            raise XorMiError(
                f"hook '{hook}' has {int((~values.isfinite()).sum())} activations that are NaN or infinite; leave it out"
            )
        bottom, top = torch.stack(torch.aminmax(values, dim=0)).double()
        spread, rounding = (
            top - bottom,
            4 * torch.finfo(values.dtype).eps * torch.maximum(top.abs(), bottom.abs()),
        )
        noise = torch.maximum(DISTINCT * spread, rounding)  # a gap no wider than this is none
        margin, threshold, above, tied = _cut(values, list(groups.values()), spread, noise)
        generator, as_wide = (
            torch.Generator().manual_seed(seed),
            torch.zeros_like(margin),
        )  # the same shuffles for every hook
        for n in tqdm(
            range(n_permutations),
            desc=f"shuffling {hook}",
            unit="shuffle",
            disable=None if progress else True,
        ):
            shuffled = torch.randperm(len(values), generator=generator).split(list(sizes.values()))
            by_chance = _cut(values, [group[:FEW] for group in shuffled], spread, noise)[0]
            left = by_chance.nonzero()[:, 0]
            if len(left) and max(sizes.values()) > FEW:
                by_chance[left] = _cut(values[:, left], shuffled, spread[left], noise[left])[0]
            as_wide += by_chance >= margin - TIE
            chance[n] += int((by_chance > 0).sum())
        columns = (
            margin,
            threshold,
            (1 + as_wide) / (1 + n_permutations),
            above.T,
            tied,
            spread <= rounding,
        )
        units = zip(
            product(*map(range, shape)), *(column.tolist() for column in columns), strict=True
        )
        lines += [
            {"hook": hook, "index": index, "site": Site(hook, index)} | _line(names, sizes, *unit)
            for index, *unit in units
        ]
    if not lines:
        raise XorMiError(f"no unit at {', '.join(read)}: the activations are empty")
    types = dict.fromkeys(("margin", "threshold", "p_value"), "float64") | dict.fromkeys(
        ("n_ones", "n_zeros", "rows_seen"), "Int64"
    )
    frame = pd.DataFrame(lines, columns=COLUMNS, dtype=object).astype(types)
    low, high = np.quantile(chance / len(frame), (0.025, 0.975)).tolist()
    counts = (len(inputs), len(inputs.unique(dim=0)), n_permutations)
    return GateScan(
        names, tuple(sizes), *counts, chance.mean().item() / len(frame), (low, high), frame
    )


def _combinations(features: Any, n_samples: int) -> dict[str, Tensor]:
    """Each combination of the features that occurs, such as '01' -> the numbers of its samples; in
    the order of the truth table.
    """
    if not isinstance(features, Mapping) or not 1 <= len(features) <= MAX_FEATURES:
        got = (
            f"{len(features)} features"
            if isinstance(features, Mapping)
            else f"features as {type(features).__name__}"
        )
        raise XorMiError(f"{got} given; give 1 to {MAX_FEATURES} as {{name: one bit per sample}}")
    columns = []
    for name, given in features.items():
        values = given.tolist() if hasattr(given, "tolist") else given
        if not isinstance(values, (list, tuple)) or len(values) != n_samples:
            got = f"{len(values)} values" if isinstance(values, (list, tuple)) else repr(values)
            raise XorMiError(
                f"feature '{name}' has {got} for {n_samples} samples; give one bit per sample"
            )
        try:
            columns.append([as_bit(value) for value in values])
        except XorMiError as error:
            raise XorMiError(
                f"feature '{name}': {error}; threshold it, or split it into several features"
            ) from None
    rows = [row_name(row) for row in zip(*columns, strict=True)]
    if len(set(rows)) < 2:
        raise XorMiError(
            f"all samples have the same features, {rows[0]}; give samples of at least two combinations"
        )
    codes = torch.tensor([int(row, 2) for row in rows])
    return {row: (codes == int(row, 2)).nonzero()[:, 0] for row in sorted(set(rows))}


def _read(
    model: Any, inputs: Tensor, hook_names: Sequence[str], batch_size: int | None, progress: bool
) -> dict[str, Tensor]:
    """Hook name -> its activation on all inputs, [sample, ...]."""
    if not hook_names:
        raise XorMiError(
            f"no hook given; this model has {len(model.hook_dict)}, listed in model.hook_dict"
        )
    kept: dict[str, list[Any]] = {name: [] for name in hook_names}
    for name in kept:
        if name not in model.hook_dict:
            raise unknown("hook", name, model.hook_dict, where="this model has")

    def keep(name: str, value: Any, hook: Any) -> None:
        del hook  # a TransformerBridge may call it by another name than the one asked for
        kept[name].append(value.clone() if isinstance(value, Tensor) else value)

    size = batch_size or inputs_per_run(model, inputs)
    # two small runs first: they tell a batch axis from another axis that happens to be as long
    parts = [
        slice(1),
        slice(2),
        *(slice(start, start + size) for start in range(0, len(inputs), size)),
    ]
    for run, part in enumerate(
        tqdm(parts, desc="running", unit="batch", disable=None if progress else True)
    ):
        with model.hooks(fwd_hooks=[(name, partial(keep, name)) for name in kept]):
            model(inputs[part])
        for name, values in kept.items():
            if len(values) != run + 1:
                times = (
                    f"fired {len(values) - run} times in one forward"
                    if len(values) > run
                    else "never fired"
                )
                raise XorMiError(f"hook '{name}' {times}; reading needs it to fire exactly once")
            got, n = (
                list(values[-1].shape)
                if isinstance(values[-1], Tensor)
                else type(values[-1]).__name__,
                len(inputs[part]),
            )
            if got != [n, *getattr(values[0], "shape", ())[1:]]:
                raise XorMiError(
                    f"hook '{name}' gives {got} on {n} inputs: no batch axis, so nothing to read per input; leave it out"
                )
    return {name: torch.cat(values[2:]) for name, values in kept.items()}


def _cut(
    values: Tensor, groups: Sequence[Tensor], spread: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Activations [sample, unit] and the samples of each group -> the widest cut that splits no
    group.

    Margin [unit] (0 without a cut), threshold [unit], whether a group lies above it [group, unit],
    whether another cut is as wide [unit]."""
    low, high = torch.stack(
        [torch.stack(torch.aminmax(values[group], dim=0)) for group in groups], dim=1
    ).double()
    ordered, order = low.sort(0)
    reach = (
        high.gather(0, order).cummax(0).values
    )  # the highest sample among this group and all that begin lower
    gaps = ordered[1:] - reach[:-1]
    gap, last = gaps.max(0)
    threshold = (ordered.gather(0, last[None] + 1) + reach.gather(0, last[None]))[0] / 2
    return (
        torch.where(gap > noise, gap / spread, 0),
        threshold,
        low > threshold,
        (gaps >= gap - TIE * spread).sum(0) > 1,
    )


def _line(
    names: Sequence[str],
    sizes: Mapping[str, int],
    margin: float,
    threshold: float,
    p: float,
    above: list[bool],
    *more: bool,
) -> dict:
    """What a frame says of one unit; `more` is whether another cut is as wide, and whether the unit
    is constant.
    """
    tied, constant = more
    if not margin:
        line = dict.fromkeys(("gate", "formula", "table", "n_ones", "n_zeros")) | dict.fromkeys(
            ("margin", "threshold", "p_value"), nan
        )
        return line | {
            "rows_seen": len(sizes),
            "note": "constant" if constant else "no cut separates the features",
        }
    table, n_ones = (
        _table(dict(zip(sizes, above, strict=True))),
        sum(n for n, bit in zip(sizes.values(), above, strict=True) if bit),
    )
    function, n_open = _shortest(table), table.count("-")
    gate, formula = (
        (table, table) if function is None else (function.name, function.formula_over(names))
    )
    unseen = f"{n_open} of {len(table)} rows unseen, " + (
        "too many to name a gate" if function is None else "so other gates fit as well"
    )
    line = {
        "gate": gate,
        "formula": formula,
        "table": table,
        "n_ones": n_ones,
        "n_zeros": sum(sizes.values()) - n_ones,
        "margin": margin,
    }
    line |= {"threshold": threshold, "p_value": p, "rows_seen": len(sizes)}
    return line | {"note": "; ".join(["another cut is as wide"] * tied + [unseen] * (n_open > 0))}


def _table(bits: Mapping[str, Any]) -> str:
    """The bits of the rows seen -> a truth table with '-' for the others, such as '01-1'."""
    return "".join(
        str(int(bits[row])) if row in bits else "-"
        for row in map(row_name, truth_rows(len(next(iter(bits)))))
    )


@lru_cache(maxsize=4096)
def _shortest(table: str) -> BooleanFunction | None:
    """The completion of a table with the shortest formula, among equally short ones one without ^;
    None if there are too many to try.
    """
    if 2 ** table.count("-") > MAX_COMPLETIONS:
        return None
    completions = [
        table.replace("-", "{}").format(*bits) for bits in product("01", repeat=table.count("-"))
    ]
    functions = [BooleanFunction(len(table).bit_length() - 1, bits) for bits in completions]
    return min(
        functions, key=lambda f: (f.formula.count("x"), len(f.formula), "^" in f.formula, f.formula)
    )
