"""Names of gates, complements, inputs that matter, and what one unit can decide."""

from functools import cache
from itertools import product

from drawn import Tally
from oracles.gates import MEANINGS, depends_on, table_of, threshold_tables, variants

from xor_mi.truth import BooleanFunction, complement_name, threshold_functions


@cache
def listed(n_inputs):
    """The package's list, table -> (possible, weights, threshold)."""
    found = threshold_functions(n_inputs, act_fn="tanh")
    columns = found[["table", "possible", "weights", "threshold"]].itertuples(index=False)
    return {tuple(map(int, table)): rest for table, *rest in columns}


def mismatches(rng):
    """Some gates by name, and some functions of one to three inputs."""
    tally = Tally()
    for name in rng.sample(sorted(MEANINGS), 4):
        table = table_of(name)
        tally.same(f"{name}: table", table, BooleanFunction.named(name).bits)
        tally.same(f"{name}: name", name, BooleanFunction(2, (table,)).name)
        opposite = tuple(1 - bit for bit in table)
        tally.same(f"{name}: complement", opposite, table_of(complement_name(name)))
    for _ in range(6):
        n = rng.choice([1, 2, 3, 3])
        table = tuple(rng.randrange(2) for _ in range(2**n))
        function = BooleanFunction(n, (table,))
        text = f"{n} inputs, {table}"
        tally.same(f"{text}: inputs", depends_on(table), function.essential_inputs)
        # one unit can decide all of a family, or none of it
        for one in sorted(variants(table, n))[:8]:
            possible, weights, threshold = listed(n)[one]
            tally.same(f"{one}: possible", table in threshold_tables(n), possible)
            if possible:
                rows = product((0, 1), repeat=n)
                sums = [sum(w * bit for w, bit in zip(weights, row, strict=True)) for row in rows]
                tally.same(f"{one}: weights", one, tuple(int(value > threshold) for value in sums))
    return tally.result
