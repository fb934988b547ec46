"""what is required of a circuit, its proof and its margin; and the verdict that follows."""

from numbers import Real
from typing import NamedTuple

from xor_mi.circuits._facts import PROOF_LEVELS, ProofLevel, Verdict
from xor_mi.errors import XorMiError, shown, unknown, whole_number


class Required(NamedTuple):
    """What a circuit must have to count; see `identify_circuit`."""

    level: ProofLevel
    min_margin: float

    @classmethod
    def of(cls, require: object, min_margin: object) -> "Required":
        """The requirements that the caller gave, checked.

        Raises:
            XorMiError: a level of proof or a margin that does not exist.
        """
        return cls(checked_level(require), checked_margin(min_margin))


def checked_level(require: object) -> ProofLevel:
    """A level of proof that exists."""
    for level in PROOF_LEVELS:
        # the kind first: an array compares element by element
        if isinstance(require, str) and require == level:
            return level
    raise unknown("level of proof", require, PROOF_LEVELS, where="levels are")


def _as_float(number: Real) -> float:
    """A number as a float; a number that is too large for a float is infinite."""
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def checked_margin(min_margin: object) -> float:
    """A fraction of a unit's range, from 0 to 1."""
    # a bool is a number to Python, and NaN is between no two
    if isinstance(min_margin, Real) and not isinstance(min_margin, bool):
        margin = _as_float(min_margin)
        if 0 <= margin <= 1:
            return margin
    raise XorMiError(
        f"min_margin is {shown(min_margin)}; give a fraction of a unit's range, from 0 to 1"
    )


def checked_levels(levels: object) -> int:
    """Two, or three for a second try if no circuit of two levels is proved far enough."""
    number = whole_number("levels", levels, at_least=2)
    if number > 3:
        raise XorMiError(
            f"levels is {number}; give 2, or 3 to read units with up to three levels as well"
        )
    return number


def verdict_of(n_circuits: int, n_passing: int) -> Verdict:
    """The verdict on a network that computes its target.

    Args:
        n_circuits: how many survive two-level substitution.
        n_passing: how many of these are proved as far as required.
    """
    if n_circuits == 0:
        return "no_gate_reading"
    if n_passing == 0:
        return "approximate"
    return "identified" if n_passing == 1 else "ambiguous"
