"""Networks from gates: which pairs admit XOR, and what identification finds in them."""

from itertools import product

import pytest

from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.handmade import from_gates
from xor_mi.metrics import decisions
from xor_mi.truth import GATES, BooleanFunction, complement_name

ESSENTIAL = [("AND", "OR"), ("x0>x1", "x1>x0")]
"""XOR as a threshold of two threshold units: these two pairs, each gate also complemented, and
nothing else (REFERENCES: 8 unordered).
"""


def admitting_pairs():
    """All ordered pairs of hidden gates that admit XOR, from the two essential families."""
    pairs = set()
    for a, b in ESSENTIAL:
        for first in (a, complement_name(a)):
            for second in (b, complement_name(b)):
                pairs |= {(first, second), (second, first)}
    return sorted(pairs)


@pytest.mark.parametrize("pair", admitting_pairs())
def test_every_admitting_pair_becomes_a_network_with_those_gates(pair):
    """The network decides XOR, each unit's pre-activation is above zero exactly where its gate is
    1, and identification finds the pair.
    """
    model = from_gates(list(pair))
    assert decisions(model).flatten().tolist() == [0, 1, 1, 0]
    _, cache = model.run_with_cache(model.rows())
    assert [tuple(column) for column in (cache["pre", 0] > 0).int().T.tolist()] == [
        GATES[gate] for gate in pair
    ]
    circuit = identify_circuit(model)
    assert (circuit.verdict, tuple(unit.gate for unit in circuit.units)) == ("identified", pair)


def test_exactly_sixteen_ordered_pairs_admit_xor():
    """Of all 256 ordered pairs, from_gates builds the 16 and refuses the 240 others, each with its
    reason.
    """
    admitting = admitting_pairs()
    assert len(admitting) == 16
    for pair in product(GATES, repeat=2):
        if pair in admitting:
            assert decisions(from_gates(pair)).flatten().tolist() == [0, 1, 1, 0]
        else:
            with pytest.raises(
                XorMiError,
                match="would do for XOR|for XOR try OR and AND|use two units, such as OR and AND",
            ):
                from_gates(pair)


def test_relu_cannot_carry_two_of_the_pairs():
    """{OR, NAND} needs another activation than relu: asked for relu it is refused, by default it
    gets heaviside units.
    """
    assert from_gates(["OR", "NAND"]).cfg.act_fn == "heaviside"
    assert from_gates(["OR", "AND"]).cfg.act_fn == "relu"
    assert decisions(from_gates(["OR", "NAND"], act_fn="tanh")).flatten().tolist() == [0, 1, 1, 0]
    with pytest.raises(
        XorMiError, match=r"OR and NAND do not admit XOR with relu units.*leave act_fn to be chosen"
    ):
        from_gates(["OR", "NAND"], act_fn="relu")


@pytest.mark.parametrize(
    ("gates", "target", "message"),
    [
        (["XOR", "AND"], "XOR", "no single unit is XOR"),
        (
            ["OR", "OR"],
            "XOR",
            "OR and OR do not admit XOR: they give 11 on both 01 and 11, where XOR differs",
        ),
        (["x0", "x1"], "XOR", "x0 and x1 do not admit XOR: no line separates the readout"),
        (["OR", "ANDD"], "XOR", "no gate 'ANDD'"),
        ([], "XOR", "0 gates given"),
        (["OR", "AND"], "XORR", "no gate 'XORR'"),
        (["AND"], "OR", "AND do not admit OR"),
    ],
)
@pytest.mark.unchecked
def test_refusals_say_why(gates, target, message):
    """An inseparable gate, gates that do not determine the target, an inseparable readout, an
    unknown name.
    """
    with pytest.raises(XorMiError, match=message):
        from_gates(gates, target)
    with pytest.raises(XorMiError, match="no activation"):
        from_gates(["OR", "AND"], act_fn="relux")


def test_other_targets():
    """Any two-input target that the gates admit, here XNOR, and a projection."""
    assert decisions(from_gates(["OR", "AND"], "XNOR")).flatten().tolist() == [1, 0, 0, 1]
    assert decisions(from_gates(["x0"], "x0")).flatten().tolist() == [0, 0, 1, 1]


def test_textbook_is_the_readout_or_and_not_and(textbook):
    """h0 AND NOT h1 over the units; XOR over the inputs."""
    circuit = identify_circuit(textbook)
    readout = BooleanFunction.from_formula(
        circuit.readout.replace("h0.0", "x0").replace("h0.1", "x1")
    )
    assert readout.name == "x0>x1"
    assert BooleanFunction.from_formula(circuit.formula).name == "XOR"
