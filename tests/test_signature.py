"""A circuit's text stands for the circuit: equal texts, equal circuits, and the other way round."""

import random

import fuzz_signature
import pytest

from xor_mi import HookedMLP, HookedMLPConfig, handmade, identify_circuit
from xor_mi.circuits import PROOF_LEVELS, family_of
from xor_mi.circuits._candidates import compared_margin
from xor_mi.circuits._signature import up_to_complement
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


@pytest.mark.parametrize(("width", "seed", "n_circuits"), [(4, 1, 37), (5, 6, 40)])
def test_circuits_stand_in_the_order_of_all_that_they_are_compared_by(width, seed, n_circuits):
    """The search asks for texts and gates only where circuits tie; the order is the same as if it
    had asked for all.
    """
    config = HookedMLPConfig(d_in=2, d_hidden=(width,), act_fn="tanh", seed=seed)
    circuit = identify_circuit(HookedMLP(config).eval(), progress=False)

    def whole(one):
        netlist, first = one.readings[0].netlist, one.readings[0]
        text = up_to_complement(netlist, circuit.layer_sizes)
        margins = sorted(first.of(unit).margin or 0 for unit in one.live)
        credit = (
            -PROOF_LEVELS.index(one.proof_level),
            -one.single.n_right,
            -compared_margin(one.smallest_margin),
            one.n_variables,
        )
        texts = (len(text), family_of(netlist, circuit.layer_sizes), text)
        clearest = [-compared_margin(margin) for margin in margins]
        return credit, texts, clearest, sorted(one.gates), one.live, one.gates

    keys = [whole(one) for one in circuit.circuits]
    assert len(keys) == n_circuits
    assert keys == sorted(keys)
    assert len({key[0] for key in keys}) < n_circuits  # some tie, so that their texts are asked for
