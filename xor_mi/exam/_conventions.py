"""The conventions that the exam is held under, by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from xor_mi.errors import unknown
from xor_mi.search import AnyConvention, Convention, Preset

ConventionName = Literal["zero", "mean", "zero noisy", "mean noisy"]
"""A name of `CONVENTIONS`."""
SomeConvention = AnyConvention | ConventionName
"""What the exam takes as a convention: one, a name of `CONVENTIONS` or of a preset, or None."""

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        "zero": Convention(ablation="zero"),
        "mean": Convention(ablation="mean"),
        "zero noisy": Convention(ablation="zero", noise_sd=0.1, n_noisy=4),
        "mean noisy": Convention(ablation="mean", noise_sd=0.1, n_noisy=4),
    }
)
"""What counts as a circuit in the exam, by name.

A dropped edge carries nothing, or its source's mean. Noisy rows are four copies of each row with a
tenth of the distance between the input levels as their standard deviation.
"""


def convention_of(convention: SomeConvention) -> Convention:
    """A convention as it is, or by its name.

    Raises:
        XorMiError: a name that there is not.
    """
    if not isinstance(convention, str):
        return Convention.of(convention)
    presets = {name: Convention.of(name) for name in get_args(Preset)}
    named = {**CONVENTIONS, **presets}
    if convention not in named:
        raise unknown("convention", convention, named, where="a Convention, or one of")
    return named[convention]
