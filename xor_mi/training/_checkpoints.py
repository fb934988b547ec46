"""the checkpoints that a caller asks for -> their steps; and the networks kept at these steps.

Checkpoints do not change the training: a network at step k is bit for bit what the same training
gives with `max_steps=k`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, NoReturn, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, names_listed, shown
from xor_mi.kinds import CheckpointSteps

STEPS_PER_DOUBLING = 4
"""How many checkpoints "log" gives each time that the step doubles."""

MOST_NAMED = 6
"""A message names at most this many of the steps that exist."""

EVERY = re.compile(r"every\s+([0-9]+)")
"""'every 10'."""

GIVE = "give step numbers such as [0, 10, 100], 'log' or 'every 10'"

Network = TypeVar("Network", covariant=True)


class NoCheckpoint(XorMiError, KeyError):
    """A step at which nothing was kept, so that a mapping of checkpoints has no such key."""

    __str__ = XorMiError.__str__


@dataclass(frozen=True, eq=False)
class Checkpoints(Mapping[int, Network]):
    """Networks while they trained: step -> the network, or the population, after that many steps.

    A network that finished before that step is the finished network.

    Attributes:
        steps: in order.
        flat: the parameters of all of them, as `Population.flat` has them.
        losses: the mean loss over the rows that were trained on.
        failure: what a callback raised, and at which step; "" if it raised nothing.
    """

    steps: tuple[int, ...]
    flat: Float[Tensor, "checkpoint seed parameter"] = field(repr=False)
    losses: Float[Tensor, "checkpoint seed"] = field(repr=False)
    network_at: Callable[[int], Network] = field(repr=False)
    failure: str = ""

    def __getitem__(self, step: int) -> Network:
        if step not in self:
            raise self._not_kept(step)
        return self.network_at(self.steps.index(int(step)))

    def __contains__(self, step: object) -> bool:
        is_number = isinstance(step, Integral) and not isinstance(step, bool)
        return is_number and step in self.steps

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        if not self.steps:
            return "no checkpoints"
        return f"{len(self)} checkpoints, from step {self.steps[0]} to step {self.steps[-1]}"

    def _not_kept(self, step: object) -> NoCheckpoint:
        """The error that names the nearest steps."""
        if not self.steps:
            return NoCheckpoint("no checkpoints were asked for; train with checkpoints='log'")
        if not isinstance(step, Integral) or isinstance(step, bool):
            first = names_listed([str(one) for one in self.steps[:MOST_NAMED]])
            return NoCheckpoint(
                f"{shown(step)} is not a step; give a whole number; of {len(self)} checkpoints the "
                f"first are at {first}"
            )
        number = int(step)
        nearest = sorted(sorted(self.steps, key=lambda one: abs(one - number))[:MOST_NAMED])
        listed = names_listed([str(one) for one in nearest])
        return NoCheckpoint(
            f"no checkpoint at step {shown(number)}; of {len(self)} the nearest are at {listed}; "
            "name the steps that are needed in checkpoints= when training"
        )


def no_checkpoints() -> Checkpoints[Any]:
    """The checkpoints if none were asked for, for any kind of network: hence Any."""
    nothing = torch.empty(0, 0, 0)
    return Checkpoints(steps=(), flat=nothing, losses=torch.empty(0, 0), network_at=_no_network)


def _no_network(number: int) -> NoReturn:
    raise AssertionError(f"there is no checkpoint {number}")


def checkpoint_steps(asked: CheckpointSteps, *, max_steps: int) -> tuple[int, ...]:
    """Steps in order, without repetition.

    Args:
        asked: step numbers; "log", for 0, 1, 2, ... and from 8 on about four to a doubling; or
            "every 10", for 0, 10, 20, .... By a name the last step is always one of them.

    Raises:
        XorMiError: an unknown name, or a step that is not a whole number from 0 to `max_steps`.

    >>> checkpoint_steps("log", max_steps=30)
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 16, 19, 23, 27, 30)
    >>> checkpoint_steps("every 10", max_steps=25), checkpoint_steps([20, 5], max_steps=25)
    ((0, 10, 20, 25), (5, 20))
    """
    if isinstance(asked, str):
        return _steps_by_name(asked, max_steps)
    # iterating over a tensor without numbers ends in an error of its own
    if not isinstance(asked, Iterable) or isinstance(asked, bytes | Mapping):
        raise XorMiError(f"checkpoints is {shown(asked)}; {GIVE}")
    return tuple(sorted({_step(one, max_steps) for one in _entries(asked)}))


def _entries(asked: Iterable[object]) -> Iterator[object]:
    """The entries of a list or an array, as Python's numbers if they are numbers."""
    to_list = getattr(asked, "tolist", None)
    listed = to_list() if to_list is not None else asked
    if not isinstance(listed, Iterable):
        raise XorMiError(f"checkpoints is {shown(asked)}; {GIVE}")
    return iter(listed)


def _step(step: object, max_steps: int) -> int:
    if not isinstance(step, Integral) or isinstance(step, bool):
        raise XorMiError(f"a checkpoint is {shown(step)}; {GIVE}")
    number = int(step)
    if not 0 <= number <= max_steps:
        raise XorMiError(
            f"a checkpoint is at step {shown(number)}, and training has steps 0 to {max_steps} "
            "(max_steps); leave it out, or train for more steps"
        )
    return number


def _steps_by_name(name: str, max_steps: int) -> tuple[int, ...]:
    if name == "log":
        steps, step, number = [0], 1.0, 0
        while step < max_steps:
            steps.append(round(step))
            number += 1
            step = 2 ** (number / STEPS_PER_DOUBLING)
        return tuple(sorted({*steps, max_steps}))
    every = EVERY.fullmatch(name.strip())
    digits = "" if every is None else every[1].lstrip("0")
    if not digits:
        raise XorMiError(f"checkpoints is {shown(name)}; {GIVE}")
    # a number with more digits is beyond every step, and may have too many to be read
    is_beyond = len(digits) > len(str(max_steps))
    return (*range(0, max_steps, max_steps if is_beyond else int(digits)), max_steps)
