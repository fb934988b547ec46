"""The conventions of the exam, by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from xor_mi.errors import unknown
from xor_mi.search import AnyConvention, Convention, Preset

ConventionName = Literal["zero", "mean", "zero noisy", "mean noisy"]
"""A name of `CONVENTIONS`."""
SomeConvention = AnyConvention | ConventionName
"""A convention as an argument: a Convention, a name of `CONVENTIONS` or of a preset, or None."""

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        "zero": Convention(ablation="zero"),
        "mean": Convention(ablation="mean"),
        "zero noisy": Convention(ablation="zero", noise_sd=0.1, n_noisy=4),
        "mean noisy": Convention(ablation="mean", noise_sd=0.1, n_noisy=4),
    }
)
"""Name -> what counts as a circuit in the exam.

A dropped edge carries nothing, or its source's mean. Noisy rows are four copies of each row, whose
noise has a tenth of the distance between the input levels as its standard deviation.
"""


def convention_of(convention: SomeConvention) -> Convention:
    """A Convention unchanged, or the one of this name.

    Raises:
        XorMiError: a name that does not exist.
    """
    if not isinstance(convention, str):
        return Convention.of(convention)
    presets = {name: Convention.of(name) for name in get_args(Preset)}
    named = {**CONVENTIONS, **presets}
    if convention not in named:
        raise unknown("convention", convention, named, where="a Convention, or one of")
    return named[convention]
