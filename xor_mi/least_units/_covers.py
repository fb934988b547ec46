"""what each gate tells apart -> every set of so many gates that tells everything apart.

The sets are found by branching. The next thing to tell apart is the one that the fewest gates tell
apart, and each of these gates is tried in turn. A gate that has been tried is not combined with the
later ones, so that every set is found once. The last two gates of a set are found in one step for
all gates at once. A branch ends if even as many gates as are left, each as good as the best one,
cannot tell the rest apart.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int, UInt64
from numpy import ndarray

from xor_mi.progress import progress_bar

BITS = 64
"""What gates tell apart is stored in words of so many bits."""

GATES_AT_ONCE = 512
"""So many gates are combined with all partners in one step."""

Splits = UInt64[ndarray, "gate word"]
"""Bit p of a gate's words is 1 if the gate tells the two sides of thing p apart."""


def as_words(tells_apart: Bool[ndarray, "gate thing"]) -> Splits:
    """One truth value per gate and thing -> words in which the rarest things come first.

    So the first thing that is left is the one that the fewest gates tell apart.
    """
    n_gates, n_things = tells_apart.shape
    n_words = max(1, -(-n_things // BITS))
    rarest_first = np.argsort(tells_apart.sum(axis=0), kind="stable")
    padded = np.zeros((n_gates, n_words * BITS), dtype=np.uint64)
    padded[:, :n_things] = tells_apart[:, rarest_first]
    powers = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
    return (padded.reshape(n_gates, n_words, BITS) * powers).sum(axis=2, dtype=np.uint64)


def covering_sets(
    splits: Splits,
    n_things: int,
    n_units: int,
    *,
    images: Int[ndarray, "move gate"],
    progress: bool,
) -> Iterator[Int[ndarray, "set unit"]]:
    """Sets of so many different gates that tell all things apart, in lots.

    Args:
        splits: what `as_words` returns.
        n_things: how many bits of the words are in use.
        images: what each gate becomes under the symmetries of the inputs. If these make the work
            shorter, at least one image of every set is yielded; else every set is.
    """
    left = _all_things(n_things, splits.shape[1])
    allowed = np.ones(len(splits), dtype=bool)
    if n_units <= 2:
        yield _last_units(splits, left, allowed, n_units)
        return
    steps = _first_gates(splits, left, allowed, images)
    bar = progress_bar(steps, doing="searching for sets of gates", unit="gate", progress=progress)
    for gate, tried in bar:
        allowed[gate] = False
        for others in _sets_beside(splits, left & ~splits[gate], allowed.copy(), n_units - 1):
            yield _with_first(gate, others)
        allowed[tried] = False


def _first_gates(
    splits: Splits,
    left: UInt64[ndarray, " word"],
    allowed: Bool[ndarray, " gate"],
    images: Int[ndarray, "move gate"],
) -> list[tuple[int, Int[ndarray, " settled"]]]:
    """Gates of which every set has one, and for each the gates that are settled with it.

    They are the gates that tell the first thing apart, or one gate of every orbit if these are
    fewer.
    """
    candidates = _candidates(splits, left, allowed)
    orbits, sizes = np.unique(images.min(axis=0), return_counts=True)
    if len(candidates) <= len(orbits):
        return [(int(gate), np.array([gate])) for gate in candidates]
    # the largest orbits first: gates that are settled need not be tried with later ones
    largest_first = orbits[np.argsort(-sizes, kind="stable")]
    return [(int(gate), np.unique(images[:, gate])) for gate in largest_first]


def _sets_beside(
    splits: Splits, left: UInt64[ndarray, " word"], allowed: Bool[ndarray, " gate"], n_units: int
) -> Iterator[Int[ndarray, "set unit"]]:
    """The sets of so many allowed gates that tell apart what is left. It changes `allowed`."""
    most = _count(splits[allowed] & left).max(initial=0)
    if int(np.bitwise_count(left).sum()) > n_units * most:
        return
    if n_units <= 2:
        yield _last_units(splits, left, allowed, n_units)
        return
    for gate in _candidates(splits, left, allowed).tolist():
        allowed[gate] = False
        for others in _sets_beside(splits, left & ~splits[gate], allowed.copy(), n_units - 1):
            yield _with_first(gate, others)


def _last_units(
    splits: Splits, left: UInt64[ndarray, " word"], allowed: Bool[ndarray, " gate"], n_units: int
) -> Int[ndarray, "set unit"]:
    """The same for one or two gates, all at once."""
    if n_units == 1:
        return np.flatnonzero(allowed & ~_any_bit(left & ~splits))[:, None]
    candidates = _candidates(splits, left, allowed)
    partners = np.flatnonzero(allowed)
    # every earlier gate in the list has been tried with all its partners
    place = np.full(len(splits), len(splits))
    place[candidates] = np.arange(len(candidates))
    still_left = left & ~splits[candidates]
    most = _count(splits[partners] & left).max(initial=0)
    possible = np.flatnonzero(_count(still_left) <= most)
    found = [np.empty((0, 2), dtype=np.int64)]
    for part in np.split(possible, range(GATES_AT_ONCE, len(possible), GATES_AT_ONCE)):
        fits = place[partners] > part[:, None]
        for word in range(splits.shape[1]):
            fits &= (still_left[part, word, None] & ~splits[partners, word]) == 0
        first, second = np.nonzero(fits)
        found.append(np.stack([candidates[part[first]], partners[second]], axis=1))
    return np.concatenate(found)


def _candidates(
    splits: Splits, left: UInt64[ndarray, " word"], allowed: Bool[ndarray, " gate"]
) -> Int[ndarray, " candidate"]:
    """The allowed gates that tell apart the first thing left; all of them if nothing is left."""
    words = np.flatnonzero(left)
    if not len(words):
        return np.flatnonzero(allowed)
    word = words[0]
    lowest_bit = left[word] & (~left[word] + np.uint64(1))
    return np.flatnonzero(allowed & ((splits[:, word] & lowest_bit) != 0))


def _with_first(gate: int, others: Int[ndarray, "set unit"]) -> Int[ndarray, "set unit_more"]:
    """The gate put before the others of each set."""
    return np.insert(others, 0, gate, axis=1)


def _all_things(n_things: int, n_words: int) -> UInt64[ndarray, " word"]:
    """Words in which the bits of all things are 1."""
    bits = np.arange(n_words * BITS).reshape(n_words, BITS) < n_things
    powers = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
    return (bits * powers).sum(axis=1, dtype=np.uint64)


def _any_bit(words: UInt64[ndarray, "*lead word"]) -> Bool[ndarray, "*lead"]:
    return (words != 0).any(axis=-1)


def _count(words: UInt64[ndarray, "*lead word"]) -> Int[ndarray, "*lead"]:
    """How many bits are 1."""
    return np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
