"""what a scan returns: the cuts of every unit, the scores, and how often chance does as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

import pandas as pd

from xor_mi.errors import XorMiError, shown
from xor_mi.finding import Finding, count_text, number_text
from xor_mi.gate_scan._cuts import SHOWN, UnitGate
from xor_mi.gate_scan._gates import function_over, index_text, table_of
from xor_mi.graph import Site
from xor_mi.kinds import Target

__all__ = ["GateScan", "polarities", "require_p"]

LARGEST_P = 0.01
"""By default, cuts with a larger p-value are not listed."""
MOST_HOOKS = 5
"""The sentence names at most so many hooks, and counts more."""
MANY_UNITS = 100
"""From here on a mean number of units has no decimals."""
WHOLE = 1e-6
"""A share times a number of units that is this near to a whole number is one."""


@dataclass(frozen=True, eq=False)
class GateScan(Finding):
    """Which gates of the features each unit separates; `frame()` has one line per unit and cut.

    Attributes:
        features: their names; the first is the most significant bit of a row.
        rows_seen: the combinations of features that occur, such as ('00', '01', '11').
        n_samples: how many inputs were given.
        n_distinct: how many of them are different. Only these count; copies are not new evidence.
        n_units: how many units were read.
        n_permutations: how often the combinations were permuted over the different inputs.
        is_every_permutation: whether these are all permutations; then p-values are exact.
        smallest_p: the smallest p-value that a cut can have with these inputs and features. It is 1
            if every input has its own combination, because any unit then separates something.
        control_rate: the mean fraction of all units that separate any gate by chance.
        control_interval: the middle 95 % of that fraction (percentiles: units of one model are not
            independent draws).
        unit_gates: every cut of every unit, hook by hook, from the lowest cut to the highest.
        left_out: hook name -> why it was not read, if every hook was to be read.
    """

    features: tuple[str, ...]
    rows_seen: tuple[str, ...]
    n_samples: int
    n_distinct: int
    n_units: int
    n_permutations: int
    is_every_permutation: bool
    smallest_p: float
    control_rate: float
    control_interval: tuple[float, float]
    unit_gates: tuple[UnitGate, ...] = field(repr=False)
    left_out: Mapping[str, str] = field(repr=False)
    _scores: pd.DataFrame | None = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """One line per unit and cut, and one for each unit without a cut.

        Columns hook, index and site (both as text), then gate, formula, table, margin, threshold,
        n_ones, n_zeros, n_rows_seen, p_value, is_widest, is_decision and note as in `UnitGate`.
        """
        lines = [vars(line) for line in self.unit_gates]
        # the label is in the site's name
        frame = pd.DataFrame(lines, dtype=object).drop(columns="label")
        frame["index"] = [index_text(line.index) for line in self.unit_gates]
        frame.insert(2, "site", [line.site.name for line in self.unit_gates])
        types = dict.fromkeys(("margin", "threshold", "p_value"), "float64")
        types |= dict.fromkeys(("n_ones", "n_zeros", "n_rows_seen"), "Int64")
        types |= dict.fromkeys(("is_widest", "is_decision"), "bool")
        return frame.astype(types)

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "features": self.features,
            "rows_seen": self.rows_seen,
            "n_samples": self.n_samples,
            "n_distinct": self.n_distinct,
            "n_units": self.n_units,
            "n_permutations": self.n_permutations,
            "is_every_permutation": self.is_every_permutation,
            "smallest_p": self.smallest_p,
            "control_rate": self.control_rate,
            "control_interval": dict(zip(("low", "high"), self.control_interval, strict=True)),
            "left_out": sorted(self.left_out),
        }

    def separating(self, *, max_p: float = LARGEST_P) -> pd.DataFrame:
        """The cuts whose p-value is at most this, widest margin first.

        Columns as in `frame`.

        Raises:
            XorMiError: a largest p-value that is not a number.
        """
        require_p(max_p)
        frame = self.frame()
        frame = frame[frame["gate"].notna() & (frame["p_value"] <= max_p)]
        return frame.sort_values("margin", ascending=False, kind="stable").reset_index(drop=True)

    def acting_as(
        self, gate: Target, *, max_p: float = LARGEST_P, up_to_complement: bool = True
    ) -> pd.DataFrame:
        """The separating cuts that are this function on all rows seen.

        Column `polarity` is -1 for those that are its complement.

        Args:
            gate: a gate name, a formula over the features' names, or over x0, x1, ... (the features
                in order), or a `BooleanFunction`.
            max_p: the largest p-value.
            up_to_complement: whether the complement counts too.

        Raises:
            XorMiError: a gate that cannot be read, of another number of inputs, or of several
                outputs; a largest p-value that is not a number.
        """
        polarity_of = polarities(gate, self.features, self.rows_seen)
        frame = self.separating(max_p=max_p)
        frame["polarity"] = [polarity_of.get(table, 0) for table in frame["table"]]
        wanted = [1, -1] if up_to_complement else [1]
        return frame[frame["polarity"].isin(wanted)].reset_index(drop=True)

    def scores(self, *, max_p: float = 1.0, best_only: bool = False) -> pd.DataFrame:
        """How well each unit tells each gate, also if no cut is perfect.

        There is one line per unit and gate; of a gate and its complement, only the one that is 1
        above the cut. Columns hook, index, site, gate, formula, table, then auc (how often the unit
        is larger where the gate is 1; equal values count half), balanced_accuracy (the mean of the
        share of the ones and the share of the zeros that the best cut gets right), threshold (that
        cut), p_auc and p_balanced (how often chance reaches as much for any gate, in this unit
        alone), and is_best (whether it is the unit's gate with the highest balanced accuracy; among
        equal ones the larger AUC, then the shorter formula). If there are more than 8 combinations,
        only gates of one or two features are scored.

        Args:
            max_p: the largest p_balanced.
            best_only: only the best gate of each unit.

        Raises:
            XorMiError: a scan with scores=False, or a largest p-value that is not a number.
        """
        require_p(max_p)
        if self._scores is None:
            raise XorMiError("this scan scored no gates; call scan_gates with scores=True")
        frame = self._scores
        is_asked = frame["p_balanced"] <= max_p
        if best_only:
            is_asked &= frame["is_best"]
        return frame[is_asked].reset_index(drop=True)

    def _shown(self) -> tuple[str, pd.DataFrame]:
        # those that separate something, or, if none does, the others
        found = self.separating()
        table = found if len(found) else self.frame()
        return str(self), table[["site", *SHOWN]]

    def __str__(self) -> str:
        n_separating = self.separating()["site"].nunique()
        left_out = ""
        if self.left_out:
            hooks = count_text(len(self.left_out), "hook")
            was = "was" if len(self.left_out) == 1 else "were"
            left_out = f" {hooks} {was} not read, or only in part: see .left_out."
        return (
            f"{n_separating:,} of {count_text(self.n_units, 'unit')} "
            f"{'separates' if n_separating == 1 else 'separate'} a gate of "
            f"{', '.join(self.features)} at p <= {LARGEST_P:g} on {self.n_distinct:,} different "
            f"inputs ({self.n_samples:,} given; no p-value can be below {self.smallest_p:.3g}). "
            f"{self._counted()} {self._at_any_p()}{left_out}{self._too_few()}"
        )

    def _counted(self) -> str:
        """Which units there are, by hook."""
        sites_of: dict[str, set[Site]] = {}
        for line in self.unit_gates:
            sites_of.setdefault(line.hook, set()).add(line.site)
        if len(sites_of) > MOST_HOOKS:
            return f"Units are the entries of {len(sites_of)} hooks."
        named = [f"{hook} ({len(sites):,})" for hook, sites in sites_of.items()]
        return f"Units are the entries of {', '.join(named)}."

    def _at_any_p(self) -> str:
        """How many units separate anything at all, and how many do so by chance."""
        n_any = len({line.site for line in self.unit_gates if line.gate is not None})
        n = self.n_units
        if n_any == n:
            some = f"every unit ({n:,} of {n:,}) separates some gate"
        elif n_any == 0:
            some = f"no unit (0 of {n:,}) separates any gate"
        else:
            some = f"{n_any:,} of {n:,} units {'separates' if n_any == 1 else 'separate'} some gate"
        tried = f"{'all ' if self.is_every_permutation else ''}{self.n_permutations:,}"
        mean = self.control_rate * n
        low, high = (share * n for share in self.control_interval)
        if max(abs(mean - low), abs(high - mean)) < WHOLE:
            also = "also " if abs(mean - n_any) < WHOLE else ""
            chance = f"{also}{_number_of_units(mean)} of {n:,} (in {tried} permutations)"
        else:
            chance = (
                f"{_number_of_units(mean)} of {n:,} on average (95 % of {tried} "
                f"permutations: {_number_of_units(low)} to {_number_of_units(high)})"
            )
        return f"At any p, {some}; with permuted features {chance}."

    def _too_few(self) -> str:
        """What to do if no cut can have a p-value small enough to be listed."""
        if self.smallest_p <= LARGEST_P:
            return ""
        return (
            " These are too few inputs for a p-value that small; find_gates tells by interchange "
            "which units act as a gate, and so does identify_circuit for a HookedMLP."
        )


def _number_of_units(n: float) -> str:
    """A mean number of units, or a percentile of it: decimals only where they say something."""
    is_whole = abs(n - round(n)) < WHOLE
    return f"{n:,.0f}" if is_whole or n >= MANY_UNITS else number_text(n, decimals=1)


def polarities(gate: Target, features: Sequence[str], rows_seen: Sequence[str]) -> dict[str, int]:
    """The table of a gate on the combinations seen -> 1, that of its complement -> -1.

    Raises:
        XorMiError: a gate that cannot be read, of another number of inputs, or of several outputs.
    """
    function = function_over(gate, features)
    if function.n_outputs != 1:
        raise XorMiError(
            f"{function.name} has {function.n_outputs} outputs; a unit acts as a gate with one"
        )
    bits_of = {1: function.bits, -1: function.complement().bits}
    polarity_of: dict[str, int] = {}
    for polarity, bits in bits_of.items():
        seen = {row: bits[int(row, 2)] for row in rows_seen}
        polarity_of[table_of(seen)] = polarity
    return polarity_of


def require_p(max_p: float) -> None:
    """Refuse what no p-value can be compared with."""
    # a bool is a number to Python, and NaN is neither above nor below any number
    if isinstance(max_p, bool) or not isinstance(max_p, Real) or max_p != max_p:
        raise XorMiError(f"max_p is {shown(max_p)}; give a number from 0 to 1")
