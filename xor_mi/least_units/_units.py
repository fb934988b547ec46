"""the name of a kind of hidden unit -> its activation, and the form that it has or approximates.

Two kinds need the same number of units if one is an affine change of the other: a sign is twice a
step minus 1, and hardtanh, relu6 and hardsigmoid are affine changes of one another. These three are
constant far from zero, so on finitely many rows they can replace a step, and never need more units
than steps do. A smooth unit can approximate a step, or a ReLU, as closely as needed.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from xor_mi.errors import XorMiError, unknown
from xor_mi.kinds import ActivationName

UnitName = Literal[
    "threshold",
    "sign",
    "relu",
    "leaky_relu",
    "relu6",
    "hardtanh",
    "hardsigmoid",
    "sigmoid",
    "tanh",
    "elu",
]
"""The kinds of hidden unit for which least numbers can be found."""

Form = Literal["step", "relu", "leaky_relu", "clip"]
"""What a unit is up to affine changes: a clip is its input limited to -1 and 1."""


@dataclass(frozen=True)
class HiddenUnit:
    """A kind of hidden unit.

    Attributes:
        name: its name as an argument.
        label: its name in a sentence.
        act_fn: the activation of a `HookedMLP` with such units.
        form: the form that it has, or that a smooth unit approximates.
        is_exact: whether it has that form exactly, so that linear arithmetic decides what its
            networks compute.
    """

    name: UnitName
    label: str
    act_fn: ActivationName
    form: Form
    is_exact: bool = True

    @property
    def near_to(self) -> "HiddenUnit | None":
        """The exact kind whose networks a smooth kind approximates; None for an exact kind."""
        if self.is_exact:
            return None
        return KINDS["threshold" if self.form == "step" else "relu"]


KINDS: dict[UnitName, HiddenUnit] = {
    kind.name: kind
    for kind in (
        HiddenUnit("threshold", "threshold", "heaviside", "step"),
        HiddenUnit("sign", "sign", "sign", "step"),
        HiddenUnit("relu", "ReLU", "relu", "relu"),
        HiddenUnit("leaky_relu", "leaky ReLU", "leaky_relu", "leaky_relu"),
        HiddenUnit("relu6", "ReLU6", "relu6", "clip"),
        HiddenUnit("hardtanh", "hardtanh", "hardtanh", "clip"),
        HiddenUnit("hardsigmoid", "hardsigmoid", "hardsigmoid", "clip"),
        HiddenUnit("sigmoid", "sigmoid", "sigmoid", "step", is_exact=False),
        HiddenUnit("tanh", "tanh", "tanh", "step", is_exact=False),
        HiddenUnit("elu", "ELU", "elu", "relu", is_exact=False),
    )
}


def unit_kind(name: object) -> HiddenUnit:
    """The kind of hidden unit with this name.

    Raises:
        XorMiError: an unknown name.
    """
    if isinstance(name, str) and name in KINDS:
        return KINDS[name]
    if isinstance(name, str) and name == "heaviside":
        raise XorMiError("the unit is called 'threshold'; 'heaviside' is the name of its step")
    raise unknown("kind of unit", name, get_args(UnitName), where="known kinds")
