"""networks at every step -> the circuit of each at every step, found by identifying few of them.

A network has a circuit only at steps where all rows are right. Small networks are identified by the
thousand, so every such state is. Other networks take milliseconds to seconds each: their states are
cut into stretches in which every decision and the order of every unit's values stay the same. Both
ends of a stretch and some places in it are identified, and where two neighbouring places differ,
halving finds the step of the change.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from xor_mi.circuits import ProofLevel, Summary, identify_many
from xor_mi.circuits._summary import identified_together
from xor_mi.model import HookedMLPConfig
from xor_mi.population._events import Identity
from xor_mi.population._paths import Facts, Paths

MANY = 256
"""If at least this many networks can be identified at once, all are: halving would gain little."""

LONG = 16
"""Steps between two places of a stretch that are looked at before halving."""

NOT_COMPUTING = 0
"""The number of the identity of a network that decides some row wrong."""

NOT_LOOKED_AT = -1

WRONG = Summary(verdict="not_computing", signature="not_computing", family="not_computing")
"""What `identify_many` says of a network that decides some row wrong."""


def looks_at_every_step(cfg: HookedMLPConfig) -> bool:
    """Whether networks of this shape are identified at every step without being asked to."""
    return identified_together(cfg) >= MANY


class Identities:
    """The identities found so far, each with a number.

    Attributes:
        known: number -> identity.
    """

    def __init__(self, n_units: int) -> None:
        self.n_units = n_units
        self.known: list[Identity] = []
        self._numbers: dict[Identity, int] = {}
        assert self.number(WRONG) == NOT_COMPUTING

    def number(self, summary: Summary) -> int:
        """The number of a summary's identity; a new one is added."""
        identity = Identity.of(summary, self.n_units)
        number = self._numbers.setdefault(identity, len(self.known))
        if number == len(self.known):
            self.known.append(identity)
        return number


def identified(
    paths: Paths,
    facts: Facts,
    identities: Identities,
    *,
    require: ProofLevel,
    min_margin: float,
    every_step: bool,
    report: Callable[[int], object],
) -> Int[np.ndarray, " state"]:
    """The number of each state's identity.

    Args:
        identities: gets the new ones.
        every_step: identify every state in which all rows are right; otherwise find changes by
            halving.
        report: called with how many more were identified.
    """

    def look_at(states: Int[np.ndarray, " seen"]) -> None:
        networks = paths.networks(states)
        summaries = identify_many(
            networks.__getitem__,
            networks.weights,
            networks.cfg,
            require=require,
            min_margin=min_margin,
            progress=False,
        )
        codes[states] = [identities.number(summary) for summary in summaries]
        report(len(states))

    is_right = np.asarray(facts.right.all(1))
    codes = np.where(is_right, NOT_LOOKED_AT, NOT_COMPUTING)
    if every_step:
        look_at(np.flatnonzero(is_right))
        return codes
    begins = _begins(paths, facts, is_right)
    seen = _first_looks(begins, is_right)
    look_at(seen)
    stretch = begins.cumsum()
    while True:
        before, after = seen[:-1], seen[1:]
        is_open = (stretch[before] == stretch[after]) & (codes[before] != codes[after])
        is_open &= after - before > 1
        middles = (before[is_open] + after[is_open]) // 2
        if len(middles) == 0:
            break
        look_at(middles)
        seen = np.sort(np.concatenate([seen, middles]))
    return _filled(codes, seen)


def _begins(
    paths: Paths, facts: Facts, is_right: Bool[np.ndarray, " state"]
) -> Bool[np.ndarray, " state"]:
    """Whether a stretch begins at each state."""
    ranks = facts.clear_ranks.reshape(len(is_right), -1)
    begins = np.ones(len(is_right), dtype=bool)
    begins[1:] = (ranks[1:] != ranks[:-1]).any(1) | (is_right[1:] != is_right[:-1])
    begins[paths.first] = True
    return begins


def _first_looks(
    begins: Bool[np.ndarray, " state"], is_right: Bool[np.ndarray, " state"]
) -> Int[np.ndarray, " seen"]:
    """Both ends of every stretch with all rows right, and places within long ones, in order."""
    states = np.arange(len(begins))
    first = np.flatnonzero(begins)
    length = np.diff(np.append(first, len(begins)))
    place = states - np.repeat(first, length)
    is_last = place == np.repeat(length, length) - 1
    return np.flatnonzero(is_right & ((place % LONG == 0) | is_last))


def _filled(
    codes: Int[np.ndarray, " state"], seen: Int[np.ndarray, " seen"]
) -> Int[np.ndarray, " state"]:
    """Give each state that was not looked at the code of the last one before it that was."""
    is_open = codes == NOT_LOOKED_AT
    last_seen = np.searchsorted(seen, np.flatnonzero(is_open), side="right") - 1
    codes[is_open] = codes[seen[last_seen]]
    return codes
