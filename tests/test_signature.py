"""A circuit's text stands for the circuit: equal texts, equal circuits, and the other way round."""

import random

import fuzz_signature
import pytest

from xor_mi import handmade, identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.testing import assert_same_circuit


def test_texts_are_equal_exactly_where_renumbering_makes_the_netlists_equal():
    """Signatures up to renumbering, families up to complements and inputs swapped as well."""
    rng = random.Random(0)
    results = [fuzz_signature.mismatches(rng) for _ in range(25)]
    assert sum(n for n, _ in results) == 50
    assert [line for _, lines in results for line in lines] == []


def test_one_unit_that_reads_three_inputs_is_not_three_units():
    """Both networks compute NAND of three inputs, by different circuits."""
    three = [["x0 & x1 & x2", "FALSE", "FALSE"], ["~x0"]]
    one_each = [["x0", "x1", "x2"], ["~(x0 & x1 & x2)"]]
    joined, separate = [
        identify_circuit(handmade.from_netlist(netlist, n_inputs=4), progress=False)
        for netlist in (three, one_each)
    ]
    assert joined.signature == "~[x0 & x1 & x2]"
    assert separate.signature == "~(x0 & x1 & x2)"
    assert joined.family != separate.family
    for up_to in ("signature", "family"):
        with pytest.raises((AssertionError, XorMiError)):
            assert_same_circuit(joined, separate, up_to=up_to)
