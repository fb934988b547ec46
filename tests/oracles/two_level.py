"""How few literals a two-level formula can have: by going through all sets of rows, with no prime
implicants and no bounds.
"""

from itertools import product


def fewest_literals(n_inputs: int, rows: frozenset[int]) -> int:
    """The fewest literals of products that together are 1 on just these rows.

    Every product that is 1 on none but these rows is used, prime or not; the cheapest way to each
    set of rows covered so far is kept.
    """
    wanted = sum(1 << row for row in rows)
    products = {}
    for literals in product((0, 1, None), repeat=n_inputs):
        covered = 0
        for row in range(2**n_inputs):
            bits = [row >> (n_inputs - 1 - i) & 1 for i in range(n_inputs)]
            if all(want is None or want == bit for want, bit in zip(literals, bits, strict=True)):
                covered |= 1 << row
        if covered and not covered & ~wanted:
            n_literals = sum(want is not None for want in literals)
            products[covered] = min(n_literals, products.get(covered, n_literals))
    cheapest = {0: 0}
    for row in sorted(rows):
        # each row in turn must be covered: by one product more, or because it is already
        after: dict[int, int] = {}
        for covered, cost in cheapest.items():
            options = [(covered, cost)] if covered >> row & 1 else []
            if not options:
                options = [
                    (covered | more, cost + price)
                    for more, price in products.items()
                    if more >> row & 1
                ]
            for reached, price in options:
                after[reached] = min(price, after.get(reached, price))
        cheapest = after
    return min(cheapest.values())
