"""rows -> the products of literals that together are 1 exactly on these rows (Quine-McCluskey).

First come all prime implicants: products that are 1 only on these rows, and would not be without
one of their literals. Then comes the cheapest choice of primes that covers all rows, found by
branch and bound.

A function that never falls when an input is turned on leaves no choice: for each of its primes
there is a row that only this prime covers. They are its smallest rows. Every weighted sum with a
threshold is such a function once some inputs are turned over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

Literal = tuple[int, int]
"""An input, and the bit that it must have."""
Product = tuple[Literal, ...]
"""Literals that must all hold."""

MAX_EXACT_INPUTS = 5
"""Up to this many inputs no choice of primes is cheaper; the search takes milliseconds."""
MAX_TWO_LEVEL_INPUTS = 8
"""With more inputs there are too many primes."""

LITERAL = 1 << 16
"""What a literal costs, in characters: more than all characters together."""


@dataclass(frozen=True)
class _Prime:
    """A prime implicant.

    Attributes:
        covers: the rows on which it is 1, as the bits of a whole number.
        cost: its literals, and among equals the characters that it is written in.
    """

    product: Product
    covers: int
    cost: int


def shortest_sum(n_inputs: int, wanted: int, *, plain: int) -> tuple[Product, ...]:
    """The products that are 1 exactly on these rows, with the fewest literals, then characters.

    Above `MAX_EXACT_INPUTS` it is a short choice, from which no product can be left out.

    Args:
        wanted: the rows, as the bits of a whole number.
        plain: the bit of a literal that is written without a NOT.
    """
    rising = Rising.of(n_inputs, wanted)
    if rising is not None:
        return rising.products
    primes = _primes(n_inputs, wanted, plain)
    chosen = _greedy(primes, wanted)
    if n_inputs <= MAX_EXACT_INPUTS:
        # plus one, so that the search may also find a choice as cheap as the greedy one
        chosen = _cheapest(primes, wanted, _cost(chosen) + 1) or chosen
    return tuple(prime.product for prime in chosen)


@cache
def rows_without(n_inputs: int, flip: int) -> int:
    """The rows whose number lacks this bit, as the bits of a whole number."""
    return sum(1 << row for row in range(2**n_inputs) if not row & flip)


@dataclass(frozen=True)
class Rising:
    """A function that, with some inputs turned over, never falls when an input is turned on.

    Attributes:
        turned: the inputs that are turned over, as bits of a row's number.
        smallest: after that, the smallest rows on which it is 1, as the bits of a whole number.
    """

    n_inputs: int
    turned: int
    smallest: int

    @classmethod
    def of(cls, n_inputs: int, wanted: int) -> "Rising | None":
        """The function that is 1 on these rows; None if it is not such a function."""
        return _rising(n_inputs, wanted)

    @property
    def n_literals(self) -> int:
        """How many literals its primes have in total."""
        return n_bits_of_rows(self.n_inputs, self.smallest)

    @property
    def products(self) -> tuple[Product, ...]:
        """Its primes: for each there is a row on which only this one is 1."""
        products: list[Product] = []
        # the first input is the most significant bit of a row's number
        bits = [(i, 1 << self.n_inputs - 1 - i) for i in range(self.n_inputs)]
        literals = [(bit, (i, int(not self.turned & bit))) for i, bit in bits]
        smallest = self.smallest
        while smallest:
            row = smallest.bit_length() - 1
            smallest ^= 1 << row
            products.append(tuple([literal for bit, literal in literals if row & bit]))
        return tuple(products)


def n_bits_of_rows(n_inputs: int, rows: int) -> int:
    """How many inputs are on in these rows, in total.

    Args:
        rows: as the bits of a whole number.
    """
    return sum((rows & ~rows_without(n_inputs, 1 << i)).bit_count() for i in range(n_inputs))


def _rising(n_inputs: int, wanted: int) -> Rising | None:
    flips = [1 << i for i in range(n_inputs)]
    turned = 0
    for flip in flips:
        without = rows_without(n_inputs, flip)
        off, on = wanted & without, wanted >> flip & without
        if off & ~on:
            if on & ~off:
                return None
            turned |= flip
            wanted = off << flip | on
    smallest = wanted
    for flip in flips:
        smallest &= ~((wanted & rows_without(n_inputs, flip)) << flip)
    return Rising(n_inputs, turned, smallest)


def _cost(primes: Iterable[_Prime]) -> int:
    return sum(prime.cost for prime in primes)


def _primes(n_inputs: int, wanted: int, plain: int) -> list[_Prime]:
    """Every prime implicant, the cheapest first."""
    # A product is the inputs it reads and their bits, both as bits of a row's number.
    everything = (1 << n_inputs) - 1
    flips = [1 << i for i in range(n_inputs)]
    is_off = {flip: rows_without(n_inputs, flip) for flip in flips}
    # inputs read -> all bits of theirs for which the product holds only on wanted rows, as one
    # number
    implicants = {everything: wanted}
    for read in range(everything - 1, -1, -1):
        flip = everything & ~read & -(everything & ~read)  # any one that is not read
        with_flip = implicants[read | flip]
        implicants[read] = with_flip & with_flip >> flip & is_off[flip]
    primes: list[_Prime] = []
    for read, starts in implicants.items():
        left = starts
        for flip in flips:
            if read & flip:
                without = implicants[read ^ flip]
                left &= ~(without | without << flip)
        while left:
            bits = left.bit_length() - 1
            left ^= 1 << bits
            primes.append(_prime(n_inputs, read, bits, plain))
    return sorted(primes, key=lambda prime: (prime.cost, prime.product))


def _prime(n_inputs: int, read: int, bits: int, plain: int) -> _Prime:
    covers = 1 << bits
    for i in range(n_inputs):
        if not read >> i & 1:
            covers |= covers << (1 << i)
    # the first input is the most significant bit of a row's number
    shifts = [n_inputs - 1 - i for i in range(n_inputs)]
    product = tuple((i, bits >> k & 1) for i, k in enumerate(shifts) if read >> k & 1)
    n_literals = len(product)
    n_nots = sum(bit != plain for _, bit in product)
    # names and NOTs; a sign between two literals; brackets; a sign to the next product
    characters = 2 * n_literals + n_nots + 3 * (n_literals - 1) + 2 * (n_literals > 1) + 3
    return _Prime(product, covers, LITERAL * n_literals + characters)


def _greedy(primes: Sequence[_Prime], wanted: int) -> list[_Prime]:
    """A cover, built by always taking the prime that costs least per newly covered row."""
    chosen: list[_Prime] = []
    left = wanted
    while left:
        best = min(
            (prime for prime in primes if prime.covers & left),
            key=lambda prime: prime.cost / (prime.covers & left).bit_count(),
        )
        chosen.append(best)
        left &= ~best.covers
    # drop primes that later ones have made superfluous, the most expensive first
    for prime in sorted(chosen, key=lambda prime: -prime.cost):
        others = [one for one in chosen if one is not prime]
        if _union(others) == wanted:
            chosen = others
    return chosen


def _union(primes: Iterable[_Prime]) -> int:
    covered = 0
    for prime in primes:
        covered |= prime.covers
    return covered


def _cheapest(primes: Sequence[_Prime], left: int, below: int) -> list[_Prime] | None:
    """The cheapest choice that covers the rows left; None if none costs less than `below`."""
    chosen: list[_Prime] = []
    while True:
        if not left:
            return chosen if below > 0 else None
        primes = _useful(primes, left)
        of_row = _by_row(primes, left)
        needed = {of_row[row][0] for row in of_row if len(of_row[row]) == 1}
        if not needed:
            break
        # a row that one prime covers leaves no choice
        chosen += [primes[k] for k in sorted(needed)]
        below -= sum(primes[k].cost for k in needed)
        left &= ~_union(primes[k] for k in needed)
        if below <= 0:
            return None
    if _at_least(primes, of_row) >= below:
        return None
    best: list[_Prime] | None = None
    # the row with the fewest primes: one of them is in every choice
    row = min(of_row, key=lambda row: (len(of_row[row]), row))
    tried: set[int] = set()
    for k in of_row[row]:
        prime = primes[k]
        # a prime that was tried is not tried again in another order
        others = [one for number, one in enumerate(primes) if number not in tried and number != k]
        found = _cheapest(others, left & ~prime.covers, below - prime.cost)
        if found is not None:
            best = [prime, *found]
            below = _cost(best)
        tried.add(k)
    return None if best is None else [*chosen, *best]


def _useful(primes: Sequence[_Prime], left: int) -> list[_Prime]:
    """The primes, without those that cover no more of the rows left than another, no dearer one."""
    kept: list[_Prime] = []
    for prime in primes:  # the cheapest come first
        covers = prime.covers & left
        if covers and not any(covers & ~other.covers == 0 for other in kept):
            kept.append(prime)
    return kept


def _by_row(primes: Sequence[_Prime], left: int) -> dict[int, list[int]]:
    """Row -> the numbers of its primes, without rows that are covered whenever another one is."""
    columns: dict[int, int] = {}
    row = 0
    while left >> row:
        if left >> row & 1:
            columns[row] = sum(1 << k for k, prime in enumerate(primes) if prime.covers >> row & 1)
        row += 1
    needed: dict[int, list[int]] = {}
    kept: list[int] = []
    for row in sorted(columns, key=lambda row: columns[row].bit_count()):
        # if all primes of another row cover this one too, it needs no prime of its own
        if not any(column & ~columns[row] == 0 for column in kept):
            kept.append(columns[row])
            needed[row] = [k for k in range(len(primes)) if columns[row] >> k & 1]
    return needed


def _at_least(primes: Sequence[_Prime], of_row: dict[int, list[int]]) -> int:
    """A lower bound on the cost of every choice: rows that share no prime need one each."""
    total, used = 0, set[int]()
    for row in sorted(of_row, key=lambda row: len(of_row[row])):
        if used.isdisjoint(of_row[row]):
            total += min(primes[k].cost for k in of_row[row])
            used.update(of_row[row])
    return total
