"""A function becomes its class's representative as it is said, and classes are those of a slow
count.
"""

import random
from itertools import permutations, product

import numpy as np
import pytest
from oracles.closures import smallest_of_class

from xor_mi.errors import XorMiError
from xor_mi.truth import BooleanFunction, npn_class, npn_classes

pytestmark = pytest.mark.as_a_user


def packed(function):
    """Bit r of the number is the value on row r."""
    return sum(bit << row for row, bit in enumerate(function.bits))


@pytest.mark.parametrize("seed", range(20))
def test_a_function_is_its_representative_after_the_changes(seed):
    """On every row: inputs taken in the order given, negated where it says so, and the output."""
    rng = random.Random(seed)
    n_inputs = rng.randint(1, 5)
    function = BooleanFunction(n_inputs, [rng.randint(0, 1) for _ in range(2**n_inputs)])
    found = npn_class(function)
    assert found.function == function
    assert sorted(found.permutation) == list(range(n_inputs))
    for x in function.rows():
        y = [x[found.permutation[j]] ^ found.negated_inputs[j] for j in range(n_inputs)]
        assert function(*x) == found.representative(*y) ^ found.negated_output


@pytest.mark.parametrize(("n_inputs", "n_classes"), [(1, 2), (2, 4), (3, 14), (4, 222)])
def test_every_class_is_there_once(n_inputs, n_classes):
    """As many as are published (OEIS A000370), by their smallest tables, with their sizes."""
    smallest, sizes = np.unique(smallest_of_class(n_inputs), return_counts=True)
    classes = npn_classes(n_inputs)
    assert len(classes) == n_classes
    assert [packed(entry.representative) for entry in classes] == smallest.tolist()
    assert [entry.size for entry in classes] == sizes.tolist()
    assert all(entry.function == entry.representative for entry in classes)


def test_three_inputs_by_a_slow_count():
    """Plain Python: the whole orbit of every function, one function at a time."""
    rows = list(product((0, 1), repeat=3))
    for number in random.Random(0).sample(range(256), 30):
        table = {row: number >> place & 1 for place, row in enumerate(rows)}
        orbit = set()
        for order in permutations(range(3)):
            for flips in product((0, 1), repeat=3):
                moved = [table[tuple(row[order[j]] ^ flips[j] for j in range(3))] for row in rows]
                image = sum(bit << place for place, bit in enumerate(moved))
                orbit |= {image, 255 - image}
        found = npn_class(BooleanFunction(3, list(table.values())))
        assert packed(found.representative) == min(orbit)
        assert found.size == len(orbit)


def test_what_has_no_class_is_refused():
    """Six inputs, two outputs, no function; and five inputs have too many classes to list."""
    with pytest.raises(XorMiError, match="6 inputs are more than the 5"):
        npn_class("XOR", n_inputs=6)
    with pytest.raises(XorMiError, match=r"has 2 outputs; ask for the class of each of \.outputs"):
        npn_class("XOR, AND")
    with pytest.raises(XorMiError, match="not a target"):
        npn_class(6)  # type: ignore[arg-type]
    with pytest.raises(XorMiError, match="5 inputs are more than the 4"):
        npn_classes(5)
    for wrong in (0, 2.5, True, "2"):
        with pytest.raises(XorMiError, match="n_inputs"):
            npn_classes(wrong)
