"""the name of a kind of hidden unit -> its activation, and what it can be made to do.

Two kinds need the same number of units where one is an affine change of the other: a sign is twice
a step less 1, and hardtanh, relu6 and hardsigmoid are one another's. These, which stay constant far
out, can stand for a step on finitely many rows, so they never need more units than steps do; a
smooth unit comes as near to a step, or to a ReLU, as is asked.
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
"""The kinds of hidden unit that the question is answered for."""

Form = Literal["step", "relu", "leaky_relu", "clip"]
"""What a unit is up to affine changes: clip is its input, cut off at -1 and at 1."""


@dataclass(frozen=True)
class HiddenUnit:
    """A kind of hidden unit.

    Attributes:
        name: as it is asked for.
        label: as it is written in a sentence.
        act_fn: the activation of a `HookedMLP` of such units.
        form: what it is, or for a smooth unit comes near to.
        is_exact: whether it is that form exactly, so that linear arithmetic decides what networks
            of it compute.
    """

    name: UnitName
    label: str
    act_fn: ActivationName
    form: Form
    is_exact: bool = True

    @property
    def near_to(self) -> "HiddenUnit | None":
        """The exact kind whose networks a smooth one comes near to; None for an exact one."""
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
    """The kind of hidden unit of a name.

    Raises:
        XorMiError: there is none.
    """
    if isinstance(name, str) and name in KINDS:
        return KINDS[name]
    if isinstance(name, str) and name == "heaviside":
        raise XorMiError("the unit is called 'threshold'; 'heaviside' is the name of its step")
    raise unknown("kind of unit", name, get_args(UnitName), where="known kinds")
