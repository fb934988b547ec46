"""the same pipeline where it should find nothing -> how often it names gates nevertheless."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from xor_mi.circuits._evidence import Evidence
from xor_mi.circuits._facts import Control
from xor_mi.circuits._wording import control_words
from xor_mi.finding import Finding
from xor_mi.metrics import ShareInterval, share_interval

MAX_RATE = 0.1
"""A control holds if the upper end of its 95 % interval is at most this.

If no network at all is given gates, this takes 36 networks, the first n with 1 - 0.025^(1/n) <=
0.1; `_wording` says so too.
"""


class ControlRate(NamedTuple):
    """How many of n networks were given gates although they should have none."""

    control: Control
    n_positive: int
    n: int

    def __str__(self) -> str:
        rate = self.rate
        return (
            f"{control_words(self.control)}: {self.n_positive:,} of {self.n:,} given gates "
            f"(95% interval {rate.low:.0%} to {rate.high:.0%})"
        )

    @property
    def rate(self) -> ShareInterval:
        """The share with its 95 % Clopper-Pearson interval; NaN if no network was tried."""
        return share_interval(self.n_positive, self.n)


@dataclass(frozen=True)
class ControlRates(Finding):
    """What `control_rates` found: one rate per control, in the order of its docstring."""

    rates: tuple[ControlRate, ...]

    def frame(self) -> pd.DataFrame:
        """One line per control: control, n, n_positive, rate, ci_low, ci_high."""
        rows = [
            {
                "control": one.control,
                "n": one.n,
                "n_positive": one.n_positive,
                "rate": one.rate.share,
                "ci_low": one.rate.low,
                "ci_high": one.rate.high,
            }
            for one in self.rates
        ]
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        return "\n".join(map(str, self.rates))


def control_claims(rates: Sequence[ControlRate]) -> tuple[Evidence, ...]:
    """One claim per control: it is not given gates."""
    return tuple(
        Evidence(
            kind="control",
            units=(),
            control_runs=one.control,
            effect=one.n_positive,
            control=0,
            n=one.n,
            holds=one.rate.high <= MAX_RATE,
        )
        for one in rates
    )
