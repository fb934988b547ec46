"""a unit and a gate + runs with the unit's value from another input -> does it act as the gate?

A base input is run with the unit's value from a source input. The unit acts as gate g if the
decision depends on the source through g(source) alone: for every combination x of the features of
the base and every bit v there is one decision F(x, v), and F(x, g(x)) is what the model decides on
the base without an intervention. These are interchange interventions (Geiger, Lu, Icard and Potts
2021, arXiv 2106.02997), with an algorithm of one variable whose readout is whatever fits best.

A unit that changes decisions acts as at most one of its gates. Consider a base that some source
flips: the sources that flip it are then exactly those with the other bit, so they tell the gate
apart from every other gate. Two cuts of one unit are never each other's complement, because one of
them lies above the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from random import Random
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = [
    "Interchanged",
    "Runs",
    "Task",
    "dealt_bits",
    "interchanged",
    "majority",
    "n_unlike_most",
    "runs_of",
]

MOST_PAIRS = 2_000
"""By default, at most so many ordered pairs of inputs are run."""

MOST_DEALS = 100
"""The control permutes a gate's bits over the inputs in every way if there are at most so many
ways, else so often at random.
"""

NUMBERS_AT_ONCE = 2**22
"""So many runs of the control are counted at once."""

N_DECISIONS = 3
"""0, 1 and undecided."""


class Runs(NamedTuple):
    """Which interchanges are run, by the numbers of the inputs.

    Attributes:
        base: the inputs that are run, [run].
        source: the inputs that the unit's value is taken from, [run].
        is_every: whether these are all ordered pairs of two different inputs.
    """

    base: Int[Tensor, " run"]
    source: Int[Tensor, " run"]
    is_every: bool


def runs_of(combination: Int[Tensor, " input"], n_pairs: int | None, seed: int) -> Runs:
    """All ordered pairs of different inputs, or a sample of them if there are too many.

    A sample has equally many pairs for each combination of the base with each combination of the
    source, as far as there are so many. If pairs were drawn uniformly over the inputs, a
    combination that few inputs have would hardly ever be a source, and then nothing would be
    learned about a gate that is 1 only there.

    Args:
        combination: the number of each input's combination of the features.

    >>> runs_of(torch.tensor([0, 1, 1]), None, 0).source.tolist()
    [1, 2, 0, 2, 0, 1]
    """
    n_inputs = len(combination)
    most = MOST_PAIRS if n_pairs is None else n_pairs
    if n_inputs * (n_inputs - 1) <= most:
        number = torch.arange(n_inputs * (n_inputs - 1))
        base, other = number // max(1, n_inputs - 1), number % max(1, n_inputs - 1)
        # a base is not its own source
        return Runs(base=base, source=other + (other >= base), is_every=True)
    members: dict[int, list[int]] = {}
    for number, one in enumerate(combination.tolist()):
        members.setdefault(one, []).append(number)
    pairs = sorted(_sampled_pairs(list(members.values()), most, Random(seed)))
    base, source = torch.tensor(pairs, dtype=torch.long).T
    return Runs(base=base, source=source, is_every=False)


def _sampled_pairs(
    members: Sequence[Sequence[int]], n_pairs: int, random: Random
) -> Iterator[tuple[int, int]]:
    """So many different pairs (base, source), as evenly as possible over the pairs of combinations.

    Args:
        members: per combination the numbers of its inputs; there are more than n_pairs pairs in
            all.
    """
    n = len(members)
    alone = [one for one in range(n) if len(members[one]) > 1]
    # numbers below n (n - 1) stand for two different combinations, those above for one twice
    kinds = range(n * (n - 1) + len(alone))
    chosen = random.sample(kinds, min(n_pairs, len(kinds)))
    sizes: list[tuple[int, int, int]] = []
    for kind in chosen:
        if kind < n * (n - 1):
            base, other = divmod(kind, n - 1)
            source = other + (other >= base)
            sizes.append((len(members[base]) * len(members[source]), base, source))
        else:
            one = alone[kind - n * (n - 1)]
            sizes.append((len(members[one]) * (len(members[one]) - 1), one, one))
    # the smallest first: pairs that they do not have are taken from the larger ones
    n_left = n_pairs
    for place, (size, base, source) in enumerate(sorted(sizes)):
        n_of_kind = min(size, n_left // (len(sizes) - place))
        n_left -= n_of_kind
        n_sources = len(members[source]) - (base == source)
        for number in random.sample(range(size), n_of_kind):
            at_base, at_source = divmod(number, n_sources)
            at_source += base == source and at_source >= at_base
            yield members[base][at_base], members[source][at_source]


@dataclass(frozen=True, eq=False)
class Task:
    """What the interchanges are run on.

    Attributes:
        combination: the number of each input's combination of the features.
        own: what the model decides on each input without an intervention.
    """

    combination: Int[Tensor, " input"]
    own: Int[Tensor, " input"]
    runs: Runs


class Interchanged(NamedTuple):
    """What the runs say about a unit and a gate.

    Attributes:
        n_flips: runs that end in another decision than the base's own.
        n_other_bit: runs whose source has the other bit than the base.
        is_tried: whether inputs of every combination met a source with the other bit.
        accuracy: share of the runs that end as the best fitting F says.
        control: the mean of that share after the bits of the sources are permuted.
        decided_at: F: what is decided on each combination with bit 0 and with bit 1; -1 if no
            decision is the most frequent, or there is no such run.
    """

    n_flips: int
    n_other_bit: int
    is_tried: bool
    accuracy: float
    control: float
    decided_at: Int[Tensor, "2 combination"]


def interchanged(
    task: Task,
    decisions: Int[Tensor, " run"],
    bits: Bool[Tensor, " input"],
    dealt: Bool[Tensor, "deal input"],
) -> Interchanged:
    """The decisions after every run, compared with a gate that has these bits on the inputs.

    Args:
        dealt: the same bits on other inputs, for the control.
    """
    n_flips = int((decisions != task.own[task.runs.base]).sum())
    of_base = bits[task.runs.base]
    (n_right,) = _n_right(task, decisions, of_base, bits[None])
    by_chance = _n_right(task, decisions, of_base, dealt)
    n_runs = max(1, len(decisions))
    is_other = bits[task.runs.source] != of_base
    n_tried = len(task.combination[task.runs.base[is_other]].unique())
    return Interchanged(
        n_flips=n_flips,
        n_other_bit=int(is_other.sum()),
        is_tried=n_tried == len(task.combination.unique()),
        accuracy=n_right.item() / n_runs,
        control=by_chance.double().mean().item() / n_runs,
        decided_at=_decided_at(task, decisions, bits),
    )


def _decided_at(
    task: Task, decisions: Int[Tensor, " run"], bits: Bool[Tensor, " input"]
) -> Int[Tensor, "2 combination"]:
    """F by most of the runs; with a base's own bit it is what the model decides anyway."""
    bit_of = torch.zeros(int(task.combination.max()) + 1, dtype=torch.bool)
    bit_of[task.combination] = bits
    own = majority(task.combination, task.own)
    base, source = task.runs.base, task.runs.source
    is_other = bits[source] != bits[base]
    other = majority(task.combination[base][is_other], decisions[is_other], len(own))
    return torch.stack([torch.where(bit_of, other, own), torch.where(bit_of, own, other)])


def _n_right(
    task: Task,
    decisions: Int[Tensor, " run"],
    of_base: Bool[Tensor, " run"],
    of_inputs: Bool[Tensor, "deal input"],
) -> Int[Tensor, " deal"]:
    """How many runs end as F says, if the sources have these bits.

    A source with the bit of the base leaves the base's own decision. With the other bit, F is the
    decision in which most of these runs of one combination end.
    """
    n_combinations = int(task.combination.max()) + 1
    n_kinds = n_combinations * N_DECISIONS
    kind = task.combination[task.runs.base] * N_DECISIONS + decisions.remainder(N_DECISIONS)
    is_own = decisions == task.own[task.runs.base]
    counts: list[Tensor] = []
    for some in of_inputs.split(max(1, NUMBERS_AT_ONCE // max(1, len(decisions)))):
        is_same = some[:, task.runs.source] == of_base
        n_left_alone = (is_same & is_own).sum(1)
        deal, run = (~is_same).nonzero(as_tuple=True)
        n_of_kind = torch.bincount(deal * n_kinds + kind[run], minlength=len(some) * n_kinds)
        most = n_of_kind.view(len(some), n_combinations, N_DECISIONS).amax(-1)
        counts.append(n_left_alone + most.sum(1))
    return torch.cat(counts)


def dealt_bits(n_inputs: int, n_ones: int, seed: int) -> Bool[Tensor, "deal input"]:
    """Every way to choose so many ones, or many ways drawn with the seed.

    >>> len(dealt_bits(4, 1, 0)), len(dealt_bits(40, 20, 0))
    (4, 100)
    """
    ways = list(_ways(n_inputs, n_ones, seed))
    bits = torch.zeros(len(ways), n_inputs, dtype=torch.bool)
    for deal, ones in enumerate(ways):
        bits[deal, list(ones)] = True
    return bits


def _ways(n_inputs: int, n_ones: int, seed: int) -> Iterator[Sequence[int]]:
    """For each way, the numbers of the inputs whose bit is 1."""
    # comb of large numbers has thousands of digits; with so many inputs it exceeds the bound anyway
    is_few = n_inputs <= MOST_DEALS and comb(n_inputs, n_ones) <= MOST_DEALS
    if is_few:
        yield from combinations(range(n_inputs), n_ones)
        return
    random = Random(seed)
    for _ in range(MOST_DEALS):
        yield random.sample(range(n_inputs), n_ones)


def majority(
    combination: Int[Tensor, " input"],
    decisions: Int[Tensor, " input"],
    n_combinations: int | None = None,
) -> Int[Tensor, " combination"]:
    """The most frequent decision on inputs of each combination; -1 if tied or undecided."""
    counts = _counted(combination, decisions, n_combinations)
    is_tied = (counts == counts.amax(1, keepdim=True)).sum(1) > 1
    winner = counts.argmax(1)
    return torch.where(is_tied | (winner == N_DECISIONS - 1), -1, winner)


def n_unlike_most(combination: Int[Tensor, " input"], decisions: Int[Tensor, " input"]) -> int:
    """How many inputs are not decided like most of their combination; with two halves, one half."""
    return len(decisions) - int(_counted(combination, decisions, None).amax(1).sum())


def _counted(
    combination: Int[Tensor, " input"],
    decisions: Int[Tensor, " input"],
    n_combinations: int | None,
) -> Int[Tensor, "combination decision"]:
    """How many inputs of each combination have each decision; the last one is undecided."""
    if n_combinations is None:
        n_combinations = int(combination.max()) + 1
    counts = torch.zeros(n_combinations, N_DECISIONS, dtype=torch.long)
    kind = decisions.remainder(N_DECISIONS)
    return counts.index_put_((combination, kind), torch.ones_like(kind), accumulate=True)
