"""How networks are trained."""

from dataclasses import dataclass
from math import inf
from numbers import Real

from xor_mi.errors import XorMiError, unknown, whole_number
from xor_mi.kinds import ActivationName, LossName, OptimizerName
from xor_mi.model import ACTIVATIONS

OPTIMIZERS = ("adam", "adamw", "sgd")
"""Names of the optimisers, by PyTorch's definitions and default settings."""


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
            for each network from its own seed. The loss that is compared with `stop_loss` is then
            the noisy one.

    Raises:
        XorMiError: a setting that is not a number, out of range or unknown.

    >>> from xor_mi import train
    >>> train("XOR", config=TrainConfig(act_fn="tanh", lr=0.1), seed=2).solved
    True
    """

    lr: float = 0.05
    max_steps: int = 2000
    stop_loss: float = 0.01
    optimizer: OptimizerName = "adam"
    weight_decay: float = 0.0
    act_fn: ActivationName = "relu"
    out_act_fn: ActivationName = "identity"
    loss_fn: LossName = "bce"
    input_noise: float = 0.0

    def __post_init__(self) -> None:
        # NumPy's numbers and whole learning rates are welcome; each field keeps its one type.
        for name in ("lr", "stop_loss", "weight_decay", "input_noise"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        object.__setattr__(self, "max_steps", whole_number("max_steps", self.max_steps, at_least=1))
        if self.optimizer not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS, where="known optimizers")
        for name in (self.act_fn, self.out_act_fn):
            if name not in ACTIVATIONS:
                raise unknown("activation", name, ACTIVATIONS, where="known activations")
        for name in ("lr", "stop_loss"):
            # written so that NaN, which no comparison is true of, is refused too
            if not 0 < getattr(self, name) < inf:
                raise XorMiError(f"{name} is {getattr(self, name)}; it must be a positive number")
        for name in ("weight_decay", "input_noise"):
            if not 0 <= getattr(self, name) < inf:
                raise XorMiError(
                    f"{name} is {getattr(self, name)}; it must be a number of at least 0"
                )
        if "heaviside" in (self.act_fn, self.out_act_fn):
            raise XorMiError(
                "heaviside has no gradient, so it cannot be trained; "
                "use sigmoid or tanh, or write the weights by hand"
            )

    @classmethod
    def of(cls, config: "TrainConfig | None") -> "TrainConfig":
        """What every `config=` argument accepts: settings, or None for those by default.

        Raises:
            XorMiError: a value of another kind.
        """
        if config is None:
            return cls()
        if not isinstance(config, cls):
            raise XorMiError(
                f"config is {config!r}; give a TrainConfig, such as TrainConfig(lr=0.1)"
            )
        return config


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise XorMiError(f"{name} is {value!r}; give a number")
    return float(value)
