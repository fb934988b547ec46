"""the bits of a gate on the combinations seen -> its table, and its shortest name."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product

from xor_mi.errors import unknown
from xor_mi.kinds import Target
from xor_mi.truth import BooleanFunction, row_name, truth_rows

__all__ = ["function_over", "gate_said", "index_text", "shortest", "table_of"]

WORD = re.compile(r"[A-Za-z_]\w*")

NUMBERED = re.compile(r"x\d+", re.IGNORECASE)
"""x0, x1, ...: a feature by its number."""

LETTER = re.compile(r"(?:NOT)?[a-dx-z]", re.IGNORECASE)
"""What stands for x0, x1, ... in a formula if inputs have no names."""

OF_GATES = (
    *("AND", "OR", "XOR", "NOT", "NAND", "NOR", "XNOR", "NIMP", "IMPLIES", "TRUE", "FALSE"),
    *("IF", "THEN"),
)
"""Words of a formula, or of a gate's name, that are not features."""

MAX_COMPLETIONS = 2**6
"""A table that can be completed in more ways than this gets no gate name; the table is shown."""


def table_of(bits: Mapping[str, bool | int]) -> str:
    """The bits of the rows seen -> a truth table with '-' for the others, such as '01-1'."""
    n_features = len(next(iter(bits)))
    names = map(row_name, truth_rows(n_features))
    return "".join(str(int(bits[name])) if name in bits else "-" for name in names)


@lru_cache(maxsize=4096)
def shortest(table: str) -> BooleanFunction | None:
    """The completion of a table with the shortest formula; None if there are too many to try.

    Among equally short ones, one without ^ is chosen.
    """
    n_unseen = table.count("-")
    if 2**n_unseen > MAX_COMPLETIONS:
        return None
    n_features = len(table).bit_length() - 1
    with_gaps = table.replace("-", "{}")
    completions = [with_gaps.format(*bits) for bits in product("01", repeat=n_unseen)]
    functions = [BooleanFunction(n_features, bits) for bits in completions]
    return min(functions, key=_length)


def function_over(gate: Target, features: Sequence[str]) -> BooleanFunction:
    """A gate's name, a formula over the features' names or x0, x1, ..., or a function.

    A feature's name always means that feature, even if it has another meaning in formulas; x0, x1,
    ... are the features in order.

    Raises:
        XorMiError: a gate that cannot be read, or of another number of inputs.

    >>> function_over("b & ~a", ("b", "a")).formula
    'x0 & ~x1'
    """
    if not isinstance(gate, str):
        return BooleanFunction.of(gate, len(features))
    numbers = {name: f"x{number}" for number, name in enumerate(features)}
    # an unknown single word is treated as a misspelled gate name
    is_formula = len(WORD.findall(gate)) > 1

    def numbered(word: str) -> str:
        if word in numbers:
            return numbers[word]
        # in other formulas a and b mean x0 and x1, but features have their own names
        is_known = NUMBERED.fullmatch(word) or word.upper() in OF_GATES
        if LETTER.fullmatch(word) or (is_formula and not is_known):
            raise unknown("feature", word, features, where="the features are")
        return word

    # the longest first, so that no name is mistaken for the beginning of another
    names = "|".join(map(re.escape, sorted(features, key=len, reverse=True)))
    word = re.compile(rf"(?<!\w)(?:{names})(?!\w)|{WORD.pattern}")
    return BooleanFunction.of(word.sub(lambda match: numbered(match[0]), gate), len(features))


def gate_said(gate: str, formula: str) -> str:
    """A gate in a sentence.

    It is named by its name, or, if that contains x0, x1, ..., by its formula over the features'
    names.

    >>> gate_said("OR", "a | b"), gate_said("x1>x0", "b & ~a")
    ('OR', 'b & ~a')
    """
    of_numbers = any(NUMBERED.fullmatch(word) for word in WORD.findall(gate))
    return formula if of_numbers else gate


def index_text(index: Sequence[object]) -> str:
    """An index of an activation as text; for several units the last entry is a list.

    >>> index_text((2, 5)), index_text((2, (0, 1)))
    ('2, 5', '2, [0, 1]')
    """
    return ", ".join([str(list(one)) if isinstance(one, tuple) else str(one) for one in index])


def _length(function: BooleanFunction) -> tuple[int, int, bool, str]:
    """A key: inputs written, then signs, then whether it needs ^; the text itself settles ties."""
    formula = function.formula
    return formula.count("x"), len(formula), "^" in formula, formula
