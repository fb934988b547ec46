"""How networks are trained."""

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, fields, replace
from math import inf
from numbers import Real
from typing import TypedDict, Unpack

from xor_mi.errors import SEEDS_BELOW, XorMiError, shown, unknown, whole_number
from xor_mi.kinds import (
    ActivationName,
    DecisionRuleName,
    HiddenActivations,
    Levels,
    LossName,
    OptimizerName,
)
from xor_mi.model import STEPS, HookedMLPConfig

OPTIMIZERS = ("adam", "adamw", "sgd")
"""Names of the optimisers, by PyTorch's definitions and default settings."""

CONVENTIONS = ("act_fn", "out_act_fn", "loss_fn", "decision_rule", "input_levels", "direct")
"""Settings of the network; all others say how it is trained."""


class TrainSettings(TypedDict, total=False):
    """Every setting of a `TrainConfig` as a keyword of `train` and `train_population`."""

    lr: float
    max_steps: int
    stop_loss: float
    optimizer: OptimizerName
    weight_decay: float
    act_fn: HiddenActivations
    out_act_fn: ActivationName
    loss_fn: LossName
    input_noise: float
    momentum: float
    batch_size: int | None
    l1: float
    dropout: float
    decision_rule: DecisionRuleName
    input_levels: Levels
    direct: bool


@dataclass(frozen=True)
class TrainConfig:
    """How networks are trained, by default on all rows of the truth table at every step.

    Attributes:
        lr: learning rate.
        max_steps: the largest number of optimiser steps.
        stop_loss: a network whose mean loss falls below this is finished. That loss is taken on all
            rows with all units, without the penalty of l1, even if a step learns from fewer.
        optimizer: "adam", "adamw" or "sgd", as PyTorch defines them with its default settings.
        weight_decay: as in PyTorch's optimisers, which decay biases too.
        act_fn, out_act_fn, input_levels, direct: as in `HookedMLPConfig`.
        loss_fn, decision_rule: as in `HookedMLPConfig`; "ce" and "argmax" imply each other if only
            one of them is given. By argmax a target of one output is decided by two outputs, class
            0 and class 1, and a target of three outputs or more names one class on every row. "ce"
            trains on the class, "bce" and "mse" on 1 for the output that should win and 0 for the
            others.
        input_noise: standard deviation of Gaussian noise added to every input at every step, drawn
            for each network from its own seed. The loss that is compared with `stop_loss` is then
            the noisy one.
        momentum: of sgd, as in PyTorch; Adam has its own.
        batch_size: rows that a step learns from, drawn without replacement at every step, for each
            network from its own seed; None for all rows.
        l1: a factor; this times the sum of all weights' absolute values is added to the loss that
            is minimised. Biases cost nothing.
        dropout: the share of hidden units that is left out at random at every step, on each row and
            for each network from its own seed; the others are scaled up, as by PyTorch's Dropout.
            The trained network has all its units.

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
    act_fn: HiddenActivations = "relu"
    out_act_fn: ActivationName = "identity"
    # None is never read back: it is replaced by the loss, or the rule, that fits the other
    loss_fn: LossName | None = None
    input_noise: float = 0.0
    _: KW_ONLY
    momentum: float = 0.0
    batch_size: int | None = None
    l1: float = 0.0
    dropout: float = 0.0
    decision_rule: DecisionRuleName | None = None
    input_levels: Levels = (0.0, 1.0)
    direct: bool = False

    def __post_init__(self) -> None:
        # NumPy's numbers and whole learning rates are accepted; each field keeps its one type.
        at_least_0 = ("weight_decay", "input_noise", "momentum", "l1", "dropout")
        for name in ("lr", "stop_loss", *at_least_0):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        max_steps = whole_number("max_steps", self.max_steps, at_least=1)
        # steps are counted in 64 bits, as seeds are
        whole_number("max_steps", max_steps, below=SEEDS_BELOW)
        object.__setattr__(self, "max_steps", max_steps)
        if self.batch_size is not None:
            size = whole_number("batch_size", self.batch_size, at_least=1)
            object.__setattr__(self, "batch_size", size)
        if not isinstance(self.optimizer, str) or self.optimizer not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS, where="known optimizers")
        for name in ("lr", "stop_loss"):
            # written so that NaN, which no comparison is true of, is refused too
            if not 0 < getattr(self, name) < inf:
                raise XorMiError(f"{name} is {getattr(self, name)}; it must be a positive number")
        for name in at_least_0:
            if not 0 <= getattr(self, name) < inf:
                raise XorMiError(
                    f"{name} is {getattr(self, name)}; it must be a number of at least 0"
                )
        for name in ("momentum", "dropout"):
            if not getattr(self, name) < 1:
                raise XorMiError(f"{name} is {getattr(self, name)}; it must be below 1")
        if self.momentum and self.optimizer != "sgd":
            raise XorMiError(
                f"momentum is for optimizer='sgd'; {self.optimizer} has its own, "
                "so leave momentum out"
            )
        self._settle_conventions()

    def _settle_conventions(self) -> None:
        """Check the settings of the network, and fill in the rule or the loss that follows."""
        names = tuple(self.act_fn) if isinstance(self.act_fn, (list, tuple)) else self.act_fn
        object.__setattr__(self, "act_fn", names)
        # the smallest possible network: its config has the checks and their messages
        n_layers = max(1, len(names)) if isinstance(names, tuple) else 1
        settled = HookedMLPConfig(
            1,
            (1,) * n_layers,
            2,
            act_fn=self.act_fn,
            out_act_fn=self.out_act_fn,
            loss_fn=self.loss_fn,
            decision_rule=self.decision_rule,
            input_levels=self.input_levels,
            direct=self.direct,
        )
        require_gradient(settled)
        for name in ("loss_fn", "decision_rule", "input_levels"):
            object.__setattr__(self, name, getattr(settled, name))

    @classmethod
    def of(cls, config: "TrainConfig | None", **settings: Unpack[TrainSettings]) -> "TrainConfig":
        """What every `config=` argument accepts: a config, or None for the default settings.

        Args:
            settings: they replace those of the config.

        Raises:
            XorMiError: a value of another kind, or a setting that does not exist.

        >>> TrainConfig.of(TrainConfig(lr=0.1), max_steps=5).max_steps
        5
        """
        if config is None:
            config = cls()
        if not isinstance(config, cls):
            raise XorMiError(
                f"config is {config!r}; give a TrainConfig, such as TrainConfig(lr=0.1)"
            )
        require_known(settings)
        follows = {"loss_fn", "decision_rule"} - settings.keys()
        is_default = (config.loss_fn, config.decision_rule) == ("bce", "threshold")
        # if the config says neither, the one that is given here implies the other
        brought = dict.fromkeys(follows) if is_default and len(follows) == 1 else {}
        return replace(config, **{**brought, **settings})


def require_known(settings: Iterable[str], *, beside: Iterable[str] = ()) -> None:
    """Refuse names that are not settings of training.

    Args:
        beside: other arguments that the function takes.

    Raises:
        XorMiError: listing what exists.
    """
    known = [field.name for field in fields(TrainConfig)]
    for name in settings:
        if name not in known:
            raise unknown("setting", name, [*known, *beside], where="training takes")


def require_gradient(cfg: HookedMLPConfig) -> None:
    """Refuse a network with steps.

    Raises:
        XorMiError: naming the step.
    """
    for name in (*cfg.act_fns, cfg.out_act_fn):
        if name in STEPS:
            raise XorMiError(
                f"{name} has no gradient, so it cannot be trained; "
                "use sigmoid or tanh, or write the weights by hand"
            )


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise XorMiError(f"{name} is {shown(value)}; give a number")
    try:
        return float(value)
    except OverflowError:  # a whole number with more than 308 digits
        raise XorMiError(f"{name} is too large for a number; give a smaller one") from None
