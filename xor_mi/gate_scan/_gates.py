"""the bits of a gate on the combinations seen -> its table, and the shortest name of it."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import product

from xor_mi.truth import BooleanFunction, row_name, truth_rows

__all__ = ["shortest", "table_of"]

MAX_COMPLETIONS = 2**6
"""A table that can be completed in more ways than this stands for itself, without a gate name."""


def table_of(bits: Mapping[str, bool | int]) -> str:
    """The bits of the rows seen -> a truth table with '-' for the others, such as '01-1'."""
    n_features = len(next(iter(bits)))
    names = map(row_name, truth_rows(n_features))
    return "".join(str(int(bits[name])) if name in bits else "-" for name in names)


@lru_cache(maxsize=4096)
def shortest(table: str) -> BooleanFunction | None:
    """The completion of a table with the shortest formula; None if there are too many to try.

    Among equally short ones one without ^ is taken.
    """
    n_unseen = table.count("-")
    if 2**n_unseen > MAX_COMPLETIONS:
        return None
    n_features = len(table).bit_length() - 1
    with_gaps = table.replace("-", "{}")
    completions = [with_gaps.format(*bits) for bits in product("01", repeat=n_unseen)]
    functions = [BooleanFunction(n_features, bits) for bits in completions]
    return min(functions, key=_length)


def _length(function: BooleanFunction) -> tuple[int, int, bool, str]:
    """Inputs written, then signs, then whether it needs ^; the text itself settles the rest."""
    formula = function.formula
    return formula.count("x"), len(formula), "^" in formula, formula
