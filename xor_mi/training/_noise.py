"""(seed, counter) -> random numbers that depend on nothing else.

They depend neither on the batch nor on what was drawn before.

A counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), with
splitmix64's finaliser (Steele, Lea, Flood 2014) as the mixing function. Plain 64-bit integer
arithmetic, so a network that finishes leaves no state behind.
"""

import math
from enum import IntEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SPLITMIX_64 = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Its increment and its two multipliers."""

# torch has no uint64 arithmetic, so each is written as the int64 with the same bits
_GOLDEN, _FIRST, _SECOND = [number - (1 << 64) for number in SPLITMIX_64]


class Stream(IntEnum):
    """The purposes of random numbers: each seed has its own stream for each."""

    NOISE = 0
    BATCH = 1
    DROPOUT = 2


def normal(seeds: Int[Tensor, " seed"], *, start: int, count: int) -> Float[Tensor, "count seed"]:
    """Numbers start, start + 1, ... of each seed's own stream of standard normal numbers.

    By Box and Muller's transform, from 24 random bits for the radius and 24 for the angle.
    """
    bits = _bits(seeds, Stream.NOISE, start=start, count=count)
    # 24 bits are what a float32 holds exactly; the + 1 keeps the logarithm away from zero.
    # The two numbers are made of bits 40 to 63 and of bits 8 to 31, which do not overlap.
    uniform_above_0 = (_shifted(bits, 40) + 1).float() / 2**24
    turn = (_shifted(bits, 8) & (2**24 - 1)).float() / 2**24
    radius = torch.sqrt(-2 * torch.log(uniform_above_0))
    return radius * torch.cos(2 * math.pi * turn)


def rows_drawn(
    seeds: Int[Tensor, " seed"], *, step: int, n_rows: int, n_drawn: int
) -> Int[Tensor, "batch seed"]:
    """The rows that each seed's network learns from at this step, without replacement, in order.

    Every row gets a number at every step; those with the smallest numbers are drawn.
    """
    bits = _bits(seeds, Stream.BATCH, start=step * n_rows, count=n_rows)
    numbers = _shifted(bits, 1)  # 63 bits: never negative
    # stable: of two equal numbers the first, whatever else is in the batch
    drawn = torch.argsort(numbers, dim=0, stable=True)[:n_drawn]
    return drawn.sort(dim=0).values


def kept(
    seeds: Int[Tensor, " seed"], *, start: int, count: int, dropped: float
) -> Bool[Tensor, "count seed"]:
    """Which of the values start, start + 1, ... dropout keeps; it drops a share of `dropped`."""
    bits = _bits(seeds, Stream.DROPOUT, start=start, count=count)
    # as in `normal`: 24 bits
    return _shifted(bits, 40).float() / 2**24 >= dropped


def _bits(
    seeds: Int[Tensor, " seed"], stream: Stream, *, start: int, count: int
) -> Int[Tensor, "count seed"]:
    """64 random bits for each of the counters start, start + 1, ..."""
    counters = torch.arange(start, start + count, device=seeds.device)[:, None]
    # seeds are mixed first: otherwise two that differ by _GOLDEN would share one stream, shifted
    keys = _mixed(seeds + _GOLDEN)
    if stream is not Stream.NOISE:
        keys = _mixed(keys + stream.value)
    return _mixed(keys + counters * _GOLDEN)


def _mixed(z: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """splitmix64's finaliser.

    int64 stands for the same 64 bits unsigned, and products wrap around.
    """
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, by: int) -> Tensor:
    """A shift to the right that fills with zeros; torch's own repeats the sign bit."""
    return (z >> by) & ((1 << 64 - by) - 1)
