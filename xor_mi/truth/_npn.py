"""a function -> its NPN class: the functions that it becomes by permuting and negating its inputs
and negating its output.

Such changes do not alter how many gates or units a function needs. NPN stands for negation,
permutation, negation; the functions of one to four inputs form 2, 4, 14 and 222 classes (OEIS
A000370).
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import TYPE_CHECKING

from xor_mi.errors import XorMiError, require_at_most, whole_number
from xor_mi.truth._function import BooleanFunction
from xor_mi.truth._gates import row_number, truth_rows

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

MOST_INPUTS = 5
"""A function of this many inputs has 7,680 images; one of six inputs has 92,160."""

MOST_INPUTS_LISTED = 4
"""All classes of up to this many inputs are listed; five inputs have 616,126 classes."""


@dataclass(frozen=True)
class NPNClass:
    """A function, the function that stands for its class, and how one becomes the other.

    For every row x, function(x) = representative(y) ^ negated_output, where y[j] is
    x[permutation[j]] ^ negated_inputs[j].

    Attributes:
        function: the function that was asked for.
        representative: the function of the class with the smallest packed table, whose bit r is the
            value on row r.
        permutation: for each input of the representative, the input of the function that it is.
        negated_inputs: for each input of the representative, 1 if it is the complement.
        negated_output: 1 if the function is the complement.
        size: how many functions are in the class.
    """

    function: BooleanFunction
    representative: BooleanFunction
    permutation: tuple[int, ...]
    negated_inputs: tuple[int, ...]
    negated_output: int
    size: int


def npn_class(target: BooleanFunction | str, *, n_inputs: int | None = None) -> NPNClass:
    """The class of a function of one output and up to five inputs.

    Args:
        target: a gate, a formula or a `BooleanFunction`.
        n_inputs: the number of inputs of a gate or a formula; by default as many as it names, at
            least two.

    Raises:
        XorMiError: more inputs, several outputs, or anything but a function.

    >>> found = npn_class("NAND")
    >>> found.representative.name, found.negated_inputs, found.negated_output, found.size
    ('NOR', (1, 1), 1, 8)
    """
    import numpy as np

    function = BooleanFunction.of(target, n_inputs)
    if function.n_outputs != 1:
        raise XorMiError(
            f"{function.name} has {function.n_outputs} outputs; ask for the class of each of "
            ".outputs"
        )
    require_at_most(
        function.n_inputs,
        MOST_INPUTS,
        what="inputs",
        do="give a function of fewer, such as one of its essential inputs alone",
    )
    changes = _changes(function.n_inputs)
    images = _images(function.bits)
    number = int(np.argmin(images))
    negated_output, change = divmod(number, len(changes))
    permutation, negated_inputs = changes[change]
    # equally many changes lead to each function of the class
    n_alike = int((images == images[number]).sum())
    return NPNClass(
        function=function,
        representative=_unpacked(int(images[number]), function.n_inputs),
        permutation=permutation,
        negated_inputs=negated_inputs,
        negated_output=negated_output,
        size=len(images) // n_alike,
    )


def npn_classes(n_inputs: int) -> tuple[NPNClass, ...]:
    """All classes of the functions of one to four inputs, each given by its representative, in the
    order of packed tables.

    Raises:
        XorMiError: another number of inputs.

    >>> [len(npn_classes(n_inputs)) for n_inputs in (1, 2, 3)]
    [2, 4, 14]
    """
    n_inputs = whole_number("n_inputs", n_inputs, at_least=1)
    require_at_most(
        n_inputs, MOST_INPUTS_LISTED, what="inputs", do="npn_class takes one function of five"
    )
    return _listed(n_inputs)


@cache
def _listed(n_inputs: int) -> tuple[NPNClass, ...]:
    """All classes, found by going through the functions and leaving out the images of each."""
    import numpy as np

    is_new = np.ones(2 ** (2**n_inputs), dtype=bool)
    found: list[NPNClass] = []
    for packed in range(len(is_new)):
        if is_new[packed]:
            function = _unpacked(packed, n_inputs)
            is_new[_images(function.bits)] = False
            found.append(npn_class(function))
    return tuple(found)


@cache
def _changes(n_inputs: int) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """All ways to permute and to negate inputs; the one that does neither comes first."""
    return tuple(product(permutations(range(n_inputs)), product((0, 1), repeat=n_inputs)))


@cache
def _rows_read(n_inputs: int) -> "NDArray[int64]":
    """[change, row of the representative]: which row of the function has its value."""
    import numpy as np

    rows_read: list[list[int]] = []
    for permutation, negated in _changes(n_inputs):
        of_change: list[int] = []
        for row in truth_rows(n_inputs):
            x = [0] * n_inputs
            for place, (index, bit) in enumerate(zip(permutation, negated, strict=True)):
                x[index] = row[place] ^ bit
            of_change.append(row_number(tuple(x)))
        rows_read.append(of_change)
    return np.array(rows_read)


def _images(bits: tuple[int, ...]) -> "NDArray[int64]":
    """The images of a function, packed: by every change of its inputs, then the complements."""
    import numpy as np

    n_inputs = len(bits).bit_length() - 1
    places = 1 << np.arange(len(bits), dtype=np.int64)
    images = np.array(bits)[_rows_read(n_inputs)] @ places
    return np.concatenate([images, 2 ** len(bits) - 1 - images])


def _unpacked(packed: int, n_inputs: int) -> BooleanFunction:
    """The function whose value on row r is bit r."""
    table = tuple(packed >> row & 1 for row in range(2**n_inputs))
    return BooleanFunction(n_inputs, (table,))
