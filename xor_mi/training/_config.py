"""How networks are trained."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from xor_mi.errors import XorMiError, unknown
from xor_mi.model import ACTIVATIONS

OPTIMIZERS = ("adam", "adamw", "sgd")


@dataclass(frozen=True)
class TrainConfig:
    """How networks are trained: full batch over the rows of the truth table.

    Attributes:
        lr: learning rate.
        max_steps: optimiser steps at most.
        stop_loss: a network whose mean loss falls below this is finished.
        optimizer: "adam", "adamw" or "sgd", as PyTorch defines them with its default settings.
        weight_decay: as in PyTorch's optimisers.
        act_fn, out_act_fn, loss_fn: as in `HookedMLPConfig`.
        input_noise: standard deviation of Gaussian noise added to every input at every step, drawn
            for each network from its own seed. The loss that is held against `stop_loss` is then
            the noisy one.

    >>> from xor_mi import train
    >>> train("XOR", config=TrainConfig(act_fn="tanh", lr=0.1), seed=2).solved
    True
    """

    lr: Any = 0.05
    max_steps: Any = 2000
    stop_loss: Any = 0.01
    optimizer: str = "adam"
    weight_decay: Any = 0.0
    act_fn: str = "relu"
    out_act_fn: str = "identity"
    loss_fn: str = "bce"
    input_noise: Any = 0.0

    def __post_init__(self) -> None:
        numbers = {
            "lr": Real,
            "stop_loss": Real,
            "weight_decay": Real,
            "input_noise": Real,
            "max_steps": Integral,
        }
        for name, kind in numbers.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind):
                raise XorMiError(
                    f"{name} is {value!r}; give a {'whole ' if kind is Integral else ''}number"
                )
        if self.optimizer not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS, where="known optimizers")
        for name in (self.act_fn, self.out_act_fn):
            if name not in ACTIVATIONS:
                raise unknown("activation", name, ACTIVATIONS, where="known activations")
        for name in ("lr", "stop_loss"):
            if not 0 < getattr(self, name) < float("inf"):
                raise XorMiError(f"{name} is {getattr(self, name)}; it must be a positive number")
        for name in ("weight_decay", "input_noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise XorMiError(
                    f"{name} is {getattr(self, name)}; it must be a number of at least 0"
                )
        if self.max_steps < 1:
            raise XorMiError(f"max_steps is {self.max_steps}; it must be at least 1")
        if "heaviside" in (self.act_fn, self.out_act_fn):
            raise XorMiError(
                "heaviside has no gradient, so it cannot be trained; use sigmoid or tanh, or write the weights by hand"
            )
